#include "protocol/session/turns.h"

#include "confcast/error.h"

int
cfc_turns_init(struct cfc_turns *turns, uint32_t client_count, uint32_t node_count,
               const struct cfc_alloc *alloc)
{
    cfc_slot_list_init(&turns->ring);
    turns->node_links = cfc_alloc(alloc, node_count * sizeof(turns->node_links[0]));
    turns->queues = cfc_alloc(alloc, client_count * sizeof(turns->queues[0]));
    turns->ring_links = cfc_alloc(alloc, client_count * sizeof(turns->ring_links[0]));
    if (turns->node_links == NULL || turns->queues == NULL || turns->ring_links == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < client_count; i++) {
        cfc_slot_list_init(&turns->queues[i]);
    }
    return CONFCAST_OK;
}

void
cfc_turns_free(struct cfc_turns *turns, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, turns->node_links);
    cfc_free(alloc, turns->queues);
    cfc_free(alloc, turns->ring_links);
}

void
cfc_turns_add(struct cfc_turns *turns, uint32_t client, uint32_t node)
{
    if (cfc_slot_list_is_empty(&turns->queues[client])) {
        cfc_slot_list_push(&turns->ring, turns->ring_links, client);
    }
    cfc_slot_list_push(&turns->queues[client], turns->node_links, node);
}

void
cfc_turns_remove(struct cfc_turns *turns, uint32_t client, uint32_t node)
{
    cfc_slot_list_remove(&turns->queues[client], turns->node_links, node);
    if (cfc_slot_list_is_empty(&turns->queues[client])) {
        cfc_slot_list_remove(&turns->ring, turns->ring_links, client);
    }
}

void
cfc_turns_rotate(struct cfc_turns *turns)
{
    uint32_t client = cfc_slot_list_pop(&turns->ring, turns->ring_links);

    if (client != CFC_SLOT_NONE) {
        cfc_slot_list_push(&turns->ring, turns->ring_links, client);
    }
}
