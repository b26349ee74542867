/* A histogram of times, in buckets that are the same everywhere.  It takes no memory but its own;
 * one thread owns it, others may read a copy. */
#ifndef CFC_SESSION_LATENCY_H
#define CFC_SESSION_LATENCY_H

#include <stdint.h>

#include "protocol/base/time.h"

/* Upper bounds of the buckets, ns; what is above the last falls into one more. */
#define CFC_LATENCY_BOUNDS                                                                         \
    50 * CFC_US, 100 * CFC_US, 250 * CFC_US, 500 * CFC_US, 1 * CFC_MS, 2500 * CFC_US, 5 * CFC_MS,  \
        10 * CFC_MS, 25 * CFC_MS, 50 * CFC_MS, 100 * CFC_MS, 250 * CFC_MS, 500 * CFC_MS,           \
        1 * CFC_S, 5 * CFC_S, 30 * CFC_S

enum {
    CFC_LATENCY_BOUND_COUNT = 16
};

struct cfc_latency {
    uint64_t counts[CFC_LATENCY_BOUND_COUNT + 1]; /* per bucket, not cumulative */
    uint64_t count;
    uint64_t sum_ns;
};

static inline void
cfc_latency_note(struct cfc_latency *latency, uint64_t time_ns)
{
    static const uint64_t bounds_ns[CFC_LATENCY_BOUND_COUNT] = {CFC_LATENCY_BOUNDS};
    uint32_t i = 0;

    while (i < CFC_LATENCY_BOUND_COUNT && time_ns > bounds_ns[i]) {
        i++;
    }
    latency->counts[i]++;
    latency->count++;
    latency->sum_ns += time_ns;
}

#endif
