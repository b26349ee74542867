/* The compression function of SHA-256 (FIPS 180-4, 6.2.2) by the SHA extensions of x86 processors,
 * over one stream of blocks or over two at once.
 *
 * One stream leaves half of such a unit idle: each pair of rounds waits for the pair before it. Two
 * streams take 1.7 times as many bytes in the same time, which no library in Debian offers for
 * streams that last (ADR 88).  digest.h is what others use.  No state; any thread. */
#ifndef CFC_TRUST_SHA256_NI_H
#define CFC_TRUST_SHA256_NI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_SHA256_BLOCK_SIZE = 64
};

/* Whether this processor has them; the functions below may be called only then. */
bool cfc_sha256_ni_is_here(void);

/* Takes `count` blocks into a state, which is 8 words as the standard numbers them. */
void cfc_sha256_ni_blocks(uint32_t state[8], const uint8_t *blocks, size_t count);

/* The same of two states, with `count` blocks each; they are not the same one. */
void cfc_sha256_ni_blocks_of_two(uint32_t a[8], const uint8_t *blocks_a, uint32_t b[8],
                                 const uint8_t *blocks_b, size_t count);

#endif
