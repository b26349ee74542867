/* The engine's counters through rte_telemetry: /confcast/stats and /confcast/port.  EAL's telemetry
 * thread answers, from the engine's snapshot. */
#ifndef CFC_DATAPLANE_TELEMETRY_H
#define CFC_DATAPLANE_TELEMETRY_H

#include "dataplane/engine.h"

/* Once per process; `engine` outlives EAL's telemetry thread or is replaced by NULL first. */
void cfc_telemetry_open(struct cfc_engine *engine);
void cfc_telemetry_close(void);

#endif
