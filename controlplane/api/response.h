/* A reply as libmicrohttpd sends it.  No state; any thread. */
#ifndef CFC_API_RESPONSE_H
#define CFC_API_RESPONSE_H

#include <microhttpd.h>

#include "controlplane/api/reply.h"

/* The body or stream of the reply goes over to the response; a reply without either becomes a fixed
 * 503.  NULL without memory.  The caller destroys it once it is queued. */
struct MHD_Response *cfc_response_of(struct cfc_reply *reply);

#endif
