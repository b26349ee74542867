#include "protocol/session/turns.h"

#include "confcast/error.h"

int
cfc_turns_init(struct cfc_turns *turns, uint32_t client_count, uint32_t node_count,
               const struct cfc_alloc *alloc)
{
    uint32_t place_count = client_count < node_count ? client_count : node_count;

    cfc_slot_list_init(&turns->ring);
    cfc_slot_list_init(&turns->free);
    turns->places.cells = NULL;
    turns->node_links = cfc_alloc(alloc, node_count * sizeof(turns->node_links[0]));
    turns->queues = cfc_alloc(alloc, place_count * sizeof(turns->queues[0]));
    turns->clients = cfc_alloc(alloc, place_count * sizeof(turns->clients[0]));
    turns->ring_links = cfc_alloc(alloc, place_count * sizeof(turns->ring_links[0]));
    if (turns->node_links == NULL || turns->queues == NULL || turns->clients == NULL ||
        turns->ring_links == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < place_count; i++) {
        cfc_slot_list_init(&turns->queues[i]);
        cfc_slot_list_push(&turns->free, turns->ring_links, i);
    }
    /* Clients are our own numbers, so nobody chooses where they go. */
    return cfc_key_map_init(&turns->places, place_count, 0, alloc);
}

void
cfc_turns_free(struct cfc_turns *turns, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, turns->node_links);
    cfc_free(alloc, turns->queues);
    cfc_free(alloc, turns->clients);
    cfc_free(alloc, turns->ring_links);
    cfc_key_map_free(&turns->places, alloc);
}

void
cfc_turns_add(struct cfc_turns *turns, uint32_t client, uint32_t node)
{
    uint32_t place = cfc_key_map_get(&turns->places, client);

    if (place == CFC_KEY_MAP_NONE) {
        /* There is one for each node, so one is free. */
        place = cfc_slot_list_pop(&turns->free, turns->ring_links);
        turns->clients[place] = client;
        cfc_key_map_put(&turns->places, client, place);
        cfc_slot_list_push(&turns->ring, turns->ring_links, place);
    }
    cfc_slot_list_push(&turns->queues[place], turns->node_links, node);
}

void
cfc_turns_remove(struct cfc_turns *turns, uint32_t client, uint32_t node)
{
    uint32_t place = cfc_key_map_get(&turns->places, client);

    cfc_slot_list_remove(&turns->queues[place], turns->node_links, node);
    if (cfc_slot_list_is_empty(&turns->queues[place])) {
        cfc_slot_list_remove(&turns->ring, turns->ring_links, place);
        cfc_slot_list_push(&turns->free, turns->ring_links, place);
        cfc_key_map_remove(&turns->places, client);
    }
}

void
cfc_turns_rotate(struct cfc_turns *turns)
{
    uint32_t place = cfc_slot_list_pop(&turns->ring, turns->ring_links);

    if (place != CFC_SLOT_NONE) {
        cfc_slot_list_push(&turns->ring, turns->ring_links, place);
    }
}
