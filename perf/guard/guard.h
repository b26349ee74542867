/* Marks the part of a program that perf/guard/guard counts: only what one thread does between begin
 * and end, without what came before to set it up.
 *
 * Both do nothing unless callgrind runs the program (--instr-atstart=no). */
#ifndef CFC_PERF_GUARD_GUARD_H
#define CFC_PERF_GUARD_GUARD_H

#include <stdint.h>
#include <stdio.h>
#include <valgrind/callgrind.h>

static inline void
cfc_guard_begin(void)
{
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

/* `count` times the `unit` was done since begin.  The dump of callgrind and the line that is
 * printed have the path's name in common. */
static inline void
cfc_guard_end(const char *path, uint64_t count, const char *unit)
{
    CALLGRIND_DUMP_STATS_AT(path);
    CALLGRIND_STOP_INSTRUMENTATION;
    if (RUNNING_ON_VALGRIND) {
        printf("{\"path\":\"%s\",\"count\":%llu,\"unit\":\"%s\"}\n", path,
               (unsigned long long)count, unit);
        fflush(stdout);
    }
}

#endif
