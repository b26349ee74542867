#include "protocol/session/early_rx.h"

#include <string.h>

void
cfc_early_rx_init(struct cfc_early_rx *early, const struct cfc_alloc *alloc)
{
    *early = (struct cfc_early_rx){.alloc = *alloc};
}

struct cfc_early_frame *
cfc_early_rx_take(struct cfc_early_rx *early, struct cfc_early_frame *previous)
{
    struct cfc_early_frame **place = previous != NULL ? &previous->next : &early->first;
    struct cfc_early_frame *frame = *place;

    if (frame == NULL) {
        return NULL;
    }
    *place = frame->next;
    if (early->last == frame) {
        early->last = previous;
    }
    early->used_size -= sizeof(*frame) + frame->size;
    return frame;
}

void
cfc_early_rx_give_back(struct cfc_early_rx *early, struct cfc_early_frame *frame)
{
    cfc_free(&early->alloc, frame);
}

static void
drop_first(struct cfc_early_rx *early)
{
    cfc_early_rx_give_back(early, cfc_early_rx_take(early, NULL));
}

void
cfc_early_rx_free(struct cfc_early_rx *early)
{
    while (early->first != NULL) {
        drop_first(early);
    }
}

void
cfc_early_rx_expire(struct cfc_early_rx *early, uint64_t now_ns)
{
    while (cfc_early_rx_deadline(early) <= now_ns) {
        drop_first(early);
    }
}

void
cfc_early_rx_put(struct cfc_early_rx *early, const uint8_t *bytes, size_t size, uint64_t now_ns)
{
    size_t need = sizeof(struct cfc_early_frame) + size;
    struct cfc_early_frame *frame;

    cfc_early_rx_expire(early, now_ns);
    while (early->first != NULL && early->used_size + need > CFC_EARLY_SIZE_MAX) {
        drop_first(early);
    }
    frame = cfc_alloc(&early->alloc, need);
    if (frame == NULL) {
        return;
    }
    frame->next = NULL;
    frame->came_ns = now_ns;
    frame->size = size;
    memcpy(frame->bytes, bytes, size);
    if (early->last != NULL) {
        early->last->next = frame;
    } else {
        early->first = frame;
    }
    early->last = frame;
    early->used_size += need;
}
