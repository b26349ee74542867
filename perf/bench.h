/* What every benchmark shares: rounds, medians and the one JSON line per result.
 *
 * These machines are noisy: compare figures of one run only, best as the ratio that a benchmark
 * prints itself. */
#ifndef CFC_PERF_BENCH_H
#define CFC_PERF_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CFC_BENCH_ROUNDS_MAX = 4096
};

struct cfc_bench {
    double rounds[CFC_BENCH_ROUNDS_MAX];
    uint32_t count;
};

static inline uint64_t
cfc_bench_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static inline void
cfc_bench_add(struct cfc_bench *b, double value)
{
    if (b->count < CFC_BENCH_ROUNDS_MAX) {
        b->rounds[b->count++] = value;
    }
}

static inline int
cfc_bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The value below which `share` (0..1) of the rounds lie; 0 without rounds. */
static inline double
cfc_bench_quantile(struct cfc_bench *b, double share)
{
    uint32_t at;

    if (b->count == 0) {
        return 0;
    }
    qsort(b->rounds, b->count, sizeof(b->rounds[0]), cfc_bench_compare);
    at = (uint32_t)(share * (b->count - 1) + 0.5);
    return b->rounds[at];
}

/* {"bench": ..., "case": ..., "unit": ..., "rounds": n, "min": x, "median": x, "max": x} */
static inline void
cfc_bench_print(struct cfc_bench *b, const char *bench, const char *name, const char *unit)
{
    printf("{\"bench\":\"%s\",\"case\":\"%s\",\"unit\":\"%s\",\"rounds\":%u,\"min\":%.4g,"
           "\"median\":%.4g,\"max\":%.4g}\n",
           bench, name, unit, b->count, cfc_bench_quantile(b, 0), cfc_bench_quantile(b, 0.5),
           cfc_bench_quantile(b, 1));
    fflush(stdout);
}

#endif
