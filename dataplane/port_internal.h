/* What port.c (set-up, receiving) and port_tx.c (sending) share. */
#ifndef CFC_DATAPLANE_PORT_INTERNAL_H
#define CFC_DATAPLANE_PORT_INTERNAL_H

#include <rte_mbuf.h>

#include "dataplane/port.h"

/* Lies in the private area of each mbuf of the ext pool.  Every external buffer has a reference
 * count of its own, which is 1 while it is out: counts that several mbufs share are changed by
 * atomic operations, at 20 cycles each. */
struct cfc_port_ext {
    struct rte_mbuf_ext_shared_info shared;
};

#define CFC_PORT_EXT_PRIVATE_SIZE                                                                  \
    ((uint16_t)RTE_ALIGN(sizeof(struct cfc_port_ext), RTE_MBUF_PRIV_ALIGN))

/* Makes transmit queue `queue_id` of a port whose sizes are known and whose receive pool is there:
 * its memory, not the device's queue.  CONFCAST_OK or NO_MEMORY, logged; free after either. */
int cfc_port_tx_new(struct cfc_port *port, uint16_t queue_id);
void cfc_port_tx_free(struct cfc_port_tx *tx);

/* Gives back what waits and what is at hand, before the device stops. */
void cfc_port_tx_drop(struct cfc_port_tx *tx);

enum {
    CFC_PORT_DESCRIPTORS = 1024,
    /* Of one transmit queue: all descriptors, what waits, and what the cache keeps to itself. */
    CFC_PORT_TX_POOL_SIZE = 2 * CFC_PORT_DESCRIPTORS - 1
};

/* A pool of mbufs with `room` bytes of data each (0: none at all).  NULL, logged. */
struct rte_mempool *cfc_port_make_pool(const char *name, uint16_t queue_id, unsigned count,
                                       uint16_t private_size, size_t room);

#endif
