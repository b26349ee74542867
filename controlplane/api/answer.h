/* How an exchange is answered: at once, by a stream, or once there is something new.  In the thread
 * of the connection. */
#ifndef CFC_API_ANSWER_H
#define CFC_API_ANSWER_H

#include "controlplane/api/exchange.h"

/* Queues the reply as it is. */
enum MHD_Result cfc_answer_send(struct cfc_exchange *x, struct MHD_Connection *mhd);

/* The same for what a handler has replied, which may be to wait for a change: the connection is
 * then suspended, and the exchange is concluded again once it is resumed. */
enum MHD_Result cfc_answer_conclude(struct cfc_exchange *x, struct MHD_Connection *mhd);

#endif
