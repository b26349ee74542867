/* Durations, counted in buckets that all histograms share, as Prometheus wants them.  Any thread
 * may add; who reads sees a count that is a moment old at most. */
#ifndef CFC_LOG_HISTOGRAM_H
#define CFC_LOG_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Upper bounds in microseconds. */
#define CFC_HISTOGRAM_BOUNDS_US(X)                                                                 \
    X(100)                                                                                         \
    X(250)                                                                                         \
    X(500)                                                                                         \
    X(1000)                                                                                        \
    X(2500)                                                                                        \
    X(5000)                                                                                        \
    X(10000)                                                                                       \
    X(25000)                                                                                       \
    X(50000) X(100000) X(250000) X(500000) X(1000000) X(2500000) X(5000000) X(10000000)

enum cfc_histogram_idx {
#define CFC_ENUM_(us) CFC_HISTOGRAM_##us,
    CFC_HISTOGRAM_BOUNDS_US(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_HISTOGRAM_COUNT
};

struct cfc_histogram {
    atomic_ullong buckets[CFC_HISTOGRAM_COUNT + 1]; /* the last one: above all bounds */
    atomic_ullong sum_ns;
};

static inline void
cfc_histogram_add(struct cfc_histogram *histogram, uint64_t ns)
{
    static const uint32_t bounds_us[] = {
#define BOUND_(us) us,
        CFC_HISTOGRAM_BOUNDS_US(BOUND_)
#undef BOUND_
    };
    size_t at = 0;

    while (at < CFC_HISTOGRAM_COUNT && ns > (uint64_t)bounds_us[at] * 1000) {
        at++;
    }
    atomic_fetch_add_explicit(&histogram->buckets[at], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

#endif
