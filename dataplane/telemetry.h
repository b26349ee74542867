/* What the engine tells through rte_telemetry: /confcast/stats, /confcast/queues,
 * /confcast/latency, /confcast/scope,PATH and /confcast/port.  EAL's telemetry thread answers, from
 * the engine's snapshot; for a scope it asks the engine's thread. */
#ifndef CFC_DATAPLANE_TELEMETRY_H
#define CFC_DATAPLANE_TELEMETRY_H

#include <stdbool.h>

#include "dataplane/engine.h"

/* Once per process; `engine` outlives EAL's telemetry thread or is replaced by NULL first. */
void cfc_telemetry_open(struct cfc_engine *engine);
void cfc_telemetry_close(void);

/* The engine's counters, from any thread; false while there is no engine. */
bool cfc_telemetry_snapshot(struct cfc_engine_snapshot *out);

#endif
