/* A helper lcore: sends the contents that are its own and heals their losses, as the first lcore
 * says (crew.h).  It receives nothing and hears no control plane.  An idle one sleeps until
 * something is due or said. */
#ifndef CFC_DATAPLANE_HELPER_H
#define CFC_DATAPLANE_HELPER_H

#include "dataplane/engine.h"

/* Start the engine's helpers on EAL's lcores 1, 2, ...; RESOURCE, logged. */
int cfc_helpers_start(struct cfc_engine *engine);

/* Ends them, and waits: what was theirs is the caller's then. */
void cfc_helpers_stop(struct cfc_engine *engine);

#endif
