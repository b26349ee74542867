/* How a request comes in: its headers, which may refuse it, and its body.  In the thread of the
 * connection. */
#ifndef CFC_API_INTAKE_H
#define CFC_API_INTAKE_H

#include "controlplane/api/exchange.h"

/* Headers are here, the body is not.  A refusal is kept until the body has been read, unless the
 * client waits for word or announces more than would be read: then it is answered now. */
enum MHD_Result cfc_intake_start(struct cfc_exchange *x, struct MHD_Connection *mhd,
                                 const char *method, const char *version);

/* A part of the body: kept, or dropped when the request is refused. */
enum MHD_Result cfc_intake_take_body(struct cfc_exchange *x, const char *bytes, size_t size);

/* Gives back what is held of the body. */
void cfc_intake_drop_body(struct cfc_exchange *x);

#endif
