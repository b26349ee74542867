#include "dataplane/clock.h"

#include <rte_cycles.h>
#include <time.h>

static uint64_t
kernel_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * CFC_S + (uint64_t)ts.tv_nsec;
}

void
cfc_clock_init(struct cfc_clock *clock)
{
    clock->tsc_hz = rte_get_tsc_hz();
    clock->tsc = rte_rdtsc();
    clock->fraction = 0;
    clock->mono_ns = kernel_ns(CLOCK_MONOTONIC);
}

struct cfc_now
cfc_clock_now(struct cfc_clock *clock)
{
    uint64_t tsc = rte_rdtsc();
    /* A thread that moved to another core may read a few cycles less; time then stands still. */
    uint64_t cycles = tsc > clock->tsc ? tsc - clock->tsc : 0;
    uint64_t scaled = cycles % clock->tsc_hz * CFC_S + clock->fraction;

    clock->tsc += cycles;
    clock->mono_ns += cycles / clock->tsc_hz * CFC_S + scaled / clock->tsc_hz;
    clock->fraction = scaled % clock->tsc_hz;
    return (struct cfc_now){.mono_ns = clock->mono_ns, .unix_ns = kernel_ns(CLOCK_REALTIME)};
}
