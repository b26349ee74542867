/* Runs the handler of a request that has come in as a whole.
 *
 * What a handler found may rest on commits that are not durable yet, and nobody may be told before
 * they are.  Its connection is then suspended, so that the thread can take the next request, whose
 * commit shares the sync; the committer's thread resumes it.  Big bodies wait for their turn at the
 * gate, and what takes long runs in a thread of its own, suspended likewise. */
#ifndef CFC_API_HANDLING_H
#define CFC_API_HANDLING_H

#include "controlplane/api/exchange.h"

/* In the thread of the connection.  The exchange is answered, or its connection is suspended:
 * x->is_handled tells, once it is resumed, whether to conclude it or to begin once more. */
enum MHD_Result cfc_handling_begin(struct cfc_exchange *x, struct MHD_Connection *mhd);

#endif
