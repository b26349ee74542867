/* A small seeded generator (SplitMix64, Steele, Lea and Flood 2014) for jitter and simulation.  Not
 * for secrets. */
#ifndef CFC_BASE_PRNG_H
#define CFC_BASE_PRNG_H

#include <stdint.h>

struct cfc_prng {
    uint64_t state; /* any value is a valid seed */
};

static inline uint64_t
cfc_prng_next(struct cfc_prng *g)
{
    uint64_t z = (g->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in 0..bound-1; 0 when bound is 0.  The bias of the multiply-shift is below bound / 2^64.
 */
static inline uint64_t
cfc_prng_below(struct cfc_prng *g, uint64_t bound)
{
    __extension__ typedef unsigned __int128 u128;

    return (uint64_t)(((u128)cfc_prng_next(g) * bound) >> 64);
}

#endif
