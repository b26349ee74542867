/* A fair queue: clients take turns, whatever the number of things that each has waiting.  Things
 * are nodes, numbers of the caller's; a node waits at most once.  First come, first served within a
 * client.  One thread owns it. */
#ifndef CFC_SESSION_TURNS_H
#define CFC_SESSION_TURNS_H

#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/session/key_map.h"
#include "protocol/session/slot_list.h"

struct cfc_turns {
    struct cfc_slot_link *node_links; /* over the queues */
    struct cfc_slot_list *queues;     /* nodes of the client at each place */
    uint32_t *clients;                /* by place */
    struct cfc_slot_link *ring_links; /* over `ring` and `free` */
    struct cfc_slot_list ring;        /* places of clients with a node, in order of their turn */
    struct cfc_slot_list free;        /* places */
    struct cfc_key_map places;        /* by client */
};

/* Memory follows the nodes: a client without one costs nothing.  CONFCAST_OK or
 * CONFCAST_ERR_NO_MEMORY; free after either. */
int cfc_turns_init(struct cfc_turns *turns, uint32_t client_count, uint32_t node_count,
                   const struct cfc_alloc *alloc);
void cfc_turns_free(struct cfc_turns *turns, const struct cfc_alloc *alloc);

/* Adds a node that does not wait. */
void cfc_turns_add(struct cfc_turns *turns, uint32_t client, uint32_t node);
/* Removes a node that waits with this client. */
void cfc_turns_remove(struct cfc_turns *turns, uint32_t client, uint32_t node);

/* The node whose turn it is, or CFC_SLOT_NONE. */
static inline uint32_t
cfc_turns_next(const struct cfc_turns *turns)
{
    return turns->ring.head != CFC_SLOT_NONE ? turns->queues[turns->ring.head].head : CFC_SLOT_NONE;
}

/* The client at turn has been served and goes to the end of the ring. */
void cfc_turns_rotate(struct cfc_turns *turns);

#endif
