/* Whose turn it is among the contents that are being sent.  Passes stand in four classes:
 *
 *                small (up to CFC_PASS_SMALL_SYMBOLS)     large
 *     news       SMALL_NEWS                               LARGE_NEWS
 *     the rest   SMALL_REST                               LARGE_REST
 *
 * News goes before the rest and small before large, but nobody starves: while both wait, the rest
 * gets one frame in CFC_PASS_REST_SHARE, and the large ones of news (or of the rest) one of theirs
 * in CFC_PASS_LARGE_SHARE.  Small ones are sent one after the other, so that the first is not held
 * up by the second; large ones take turns frame by frame, so that none waits for the whole of
 * another. The time that a small content takes thus follows the small ones before it and not the
 * large ones (shortest first, with a share against starvation; L. Schrage, 1968, and deficit round
 * robin by M. Shreedhar and G. Varghese, 1995, are the models).
 *
 * Passes are slots of the caller's; one thread owns it. */
#ifndef CFC_SESSION_PASS_QUEUE_H
#define CFC_SESSION_PASS_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/session/slot_list.h"

enum {
    CFC_PASS_SMALL_SYMBOLS = 64,
    CFC_PASS_REST_SHARE = 16,
    CFC_PASS_LARGE_SHARE = 4,
};

enum cfc_pass_class {
    CFC_PASS_SMALL_NEWS,
    CFC_PASS_LARGE_NEWS,
    CFC_PASS_SMALL_REST,
    CFC_PASS_LARGE_REST,
    CFC_PASS_CLASSES
};

struct cfc_pass_queue {
    struct cfc_slot_link *links; /* the caller's, one per slot */
    struct cfc_slot_list lists[CFC_PASS_CLASSES];
    uint32_t busy;          /* bit per class that has something */
    uint32_t rest_wait;     /* frames of news since the rest, which waits, had one */
    uint32_t large_wait[2]; /* of news and of the rest: frames of small ones, likewise */
};

void cfc_pass_queue_init(struct cfc_pass_queue *queue, struct cfc_slot_link *links);

static inline enum cfc_pass_class
cfc_pass_class(bool is_news, bool is_small)
{
    return (enum cfc_pass_class)((is_news ? 0 : 2) + (is_small ? 0 : 1));
}

/* A slot that stands in none, to the end of its class; and out of the class it stands in. */
void cfc_pass_queue_add(struct cfc_pass_queue *queue, enum cfc_pass_class class, uint32_t slot);
void cfc_pass_queue_remove(struct cfc_pass_queue *queue, enum cfc_pass_class class, uint32_t slot);

/* After a frame: large ones go to the end of their class. */
static inline void
cfc_pass_queue_rotate(struct cfc_pass_queue *queue, enum cfc_pass_class class, uint32_t slot)
{
    struct cfc_slot_list *list = &queue->lists[class];

    if ((class & 1) != 0 && list->head != list->tail) {
        cfc_slot_list_remove(list, queue->links, slot);
        cfc_slot_list_push(list, queue->links, slot);
    }
}

/* cfc_pass_queue_take() with several classes that have something. */
uint32_t cfc_pass_queue_choose(struct cfc_pass_queue *queue);

/* The slot that sends the next frame, which counts as sent with this call; CFC_SLOT_NONE. */
static inline uint32_t
cfc_pass_queue_take(struct cfc_pass_queue *queue)
{
    uint32_t busy = queue->busy;

    if (busy == 0) {
        return CFC_SLOT_NONE;
    }
    return (busy & (busy - 1)) == 0 ? queue->lists[__builtin_ctz(busy)].head
                                    : cfc_pass_queue_choose(queue);
}

static inline uint32_t
cfc_pass_queue_count(const struct cfc_pass_queue *queue, bool is_news)
{
    const struct cfc_slot_list *small = &queue->lists[cfc_pass_class(is_news, true)];

    return small[0].count + small[1].count;
}

static inline bool
cfc_pass_queue_is_empty(const struct cfc_pass_queue *queue)
{
    return queue->busy == 0;
}

#endif
