/* Brings DPDK's environment layer up and down: its arguments, huge pages or not, and where its log
 * goes.  Once per process (EAL cannot start twice).
 *
 * Nothing that EAL keeps outlives a kill -9 in a way that keeps the next start from working: memory
 * is private to the process (--in-memory with huge pages, --no-huge --no-shconf without), and the
 * folders of telemetry sockets that killed engines left are swept at each start (runtime_dir.h). */
#ifndef CFC_DATAPLANE_EAL_H
#define CFC_DATAPLANE_EAL_H

#include <stdbool.h>

#include "dataplane/options.h"

/* Starts EAL with lcores 0, 1, ..., as many as the options say; the first is the calling thread.
 * RESOURCE, and EAL's log says why; LIMIT: too many arguments.  Says whether huge pages are used
 * and what it costs when not. */
int cfc_eal_start(const struct cfc_options *options);

void cfc_eal_stop(void);

#endif
