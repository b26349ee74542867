#include "protocol/session/pass_queue.h"

void
cfc_pass_queue_init(struct cfc_pass_queue *queue, struct cfc_slot_link *links)
{
    *queue = (struct cfc_pass_queue){.links = links};
    for (uint32_t i = 0; i < CFC_PASS_CLASSES; i++) {
        cfc_slot_list_init(&queue->lists[i]);
    }
}

void
cfc_pass_queue_add(struct cfc_pass_queue *queue, enum cfc_pass_class class, uint32_t slot)
{
    cfc_slot_list_push(&queue->lists[class], queue->links, slot);
    queue->busy |= UINT32_C(1) << class;
}

void
cfc_pass_queue_remove(struct cfc_pass_queue *queue, enum cfc_pass_class class, uint32_t slot)
{
    cfc_slot_list_remove(&queue->lists[class], queue->links, slot);
    if (cfc_slot_list_is_empty(&queue->lists[class])) {
        queue->busy &= ~(UINT32_C(1) << class);
    }
}

/* Whether the second of two has its turn: when the first has nothing, or has had its share while
 * the second waited. */
static bool
is_turn_of_second(bool has_first, bool has_second, uint32_t share, uint32_t *wait)
{
    if (!has_first || !has_second) {
        return has_second;
    }
    *wait = (*wait + 1) % share;
    return *wait == 0;
}

uint32_t
cfc_pass_queue_choose(struct cfc_pass_queue *queue)
{
    bool is_rest = is_turn_of_second(cfc_pass_queue_count(queue, true) > 0,
                                     cfc_pass_queue_count(queue, false) > 0, CFC_PASS_REST_SHARE,
                                     &queue->rest_wait);
    const struct cfc_slot_list *small = &queue->lists[cfc_pass_class(!is_rest, true)];
    bool is_large = is_turn_of_second(small[0].count > 0, small[1].count > 0, CFC_PASS_LARGE_SHARE,
                                      &queue->large_wait[is_rest]);

    return small[is_large].head;
}
