/* A doubly linked list through an array of links, one per slot of some table: no pointers, nothing
 * allocated, O(1) everywhere.  A slot stands in at most one list over the same links. */
#ifndef CFC_SESSION_SLOT_LIST_H
#define CFC_SESSION_SLOT_LIST_H

#include <stdbool.h>
#include <stdint.h>

#define CFC_SLOT_NONE UINT32_MAX

struct cfc_slot_link {
    uint32_t prev; /* CFC_SLOT_NONE at the head */
    uint32_t next; /* CFC_SLOT_NONE at the tail */
};

struct cfc_slot_list {
    uint32_t head; /* CFC_SLOT_NONE when empty */
    uint32_t tail;
    uint32_t count;
};

static inline void
cfc_slot_list_init(struct cfc_slot_list *list)
{
    *list = (struct cfc_slot_list){.head = CFC_SLOT_NONE, .tail = CFC_SLOT_NONE, .count = 0};
}

static inline bool
cfc_slot_list_is_empty(const struct cfc_slot_list *list)
{
    return list->head == CFC_SLOT_NONE;
}

static inline void
cfc_slot_list_push(struct cfc_slot_list *list, struct cfc_slot_link *links, uint32_t slot)
{
    links[slot] = (struct cfc_slot_link){.prev = list->tail, .next = CFC_SLOT_NONE};
    if (list->tail == CFC_SLOT_NONE) {
        list->head = slot;
    } else {
        links[list->tail].next = slot;
    }
    list->tail = slot;
    list->count++;
}

static inline void
cfc_slot_list_remove(struct cfc_slot_list *list, struct cfc_slot_link *links, uint32_t slot)
{
    struct cfc_slot_link link = links[slot];

    if (link.prev == CFC_SLOT_NONE) {
        list->head = link.next;
    } else {
        links[link.prev].next = link.next;
    }
    if (link.next == CFC_SLOT_NONE) {
        list->tail = link.prev;
    } else {
        links[link.next].prev = link.prev;
    }
    list->count--;
}

/* The head, taken out, or CFC_SLOT_NONE. */
static inline uint32_t
cfc_slot_list_pop(struct cfc_slot_list *list, struct cfc_slot_link *links)
{
    uint32_t slot = list->head;

    if (slot != CFC_SLOT_NONE) {
        cfc_slot_list_remove(list, links, slot);
    }
    return slot;
}

#endif
