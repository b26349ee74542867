/* What port.c (set-up, receiving) and port_tx.c (sending) share. */
#ifndef CFC_DATAPLANE_PORT_INTERNAL_H
#define CFC_DATAPLANE_PORT_INTERNAL_H

#include <rte_mbuf.h>

#include "dataplane/port.h"

enum {
    CFC_PORT_QUEUE = 0
};

/* Lies in the private area of each mbuf of the ext pool.  Every external buffer has a reference
 * count of its own, which is 1 while it is out: counts that several mbufs share are changed by
 * atomic operations, at 20 cycles each. */
struct cfc_port_ext {
    struct rte_mbuf_ext_shared_info shared;
};

#define CFC_PORT_EXT_PRIVATE_SIZE                                                                  \
    ((uint16_t)RTE_ALIGN(sizeof(struct cfc_port_ext), RTE_MBUF_PRIV_ALIGN))

/* Makes the ext pool's mbufs ready.  Once, after the pool was made. */
void cfc_port_tx_init(struct cfc_port *port);

#endif
