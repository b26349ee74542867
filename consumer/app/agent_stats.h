/* The agent's counters as text: one line of JSON (the event `stats`), or the Prometheus text format
 * 0.0.4 for whoever collects metrics of the host.  No state; any thread. */
#ifndef CFC_AGENT_STATS_H
#define CFC_AGENT_STATS_H

#include <stddef.h>

#include "confcast/confcast.h"

enum {
    CFC_AGENT_STATS_SIZE_MAX = 16384 /* more than either text takes */
};

/* By enum confcast_xdp: off, auto, native, generic. */
extern const char *const cfc_agent_xdp_words[];

/* Both return the size of the text, which ends with a newline and a NUL.  `capacity` is at least
 * CFC_AGENT_STATS_SIZE_MAX. */
size_t cfc_agent_stats_json(const struct confcast_stats *stats, char *text, size_t capacity);
size_t cfc_agent_stats_metrics(const struct confcast_stats *stats, char *text, size_t capacity);

#endif
