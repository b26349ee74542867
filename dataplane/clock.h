/* The engine's clocks: monotonic time from the TSC, wall time from the kernel.  The protocol gets
 * both as arguments.  One thread owns a clock. */
#ifndef CFC_DATAPLANE_CLOCK_H
#define CFC_DATAPLANE_CLOCK_H

#include <stdint.h>

#include "protocol/base/time.h"

struct cfc_clock {
    uint64_t tsc_hz;
    uint64_t tsc;      /* at the last reading */
    uint64_t fraction; /* of a nanosecond, in 1 / tsc_hz, not yet in mono_ns */
    uint64_t mono_ns;
};

/* Starts at the kernel's CLOCK_MONOTONIC.  After rte_eal_init(). */
void cfc_clock_init(struct cfc_clock *clock);

struct cfc_now cfc_clock_now(struct cfc_clock *clock);

#endif
