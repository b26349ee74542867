#include "protocol/session/repair.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/nack_wait.h"
#include "protocol/session/repair_state.h"

#define GATHER_MORE_NS (50 * CFC_US) /* for the way */

int
cfc_repair_init(struct cfc_repair_tx *rt, const struct cfc_repair_config *config,
                const struct cfc_alloc *alloc)
{
    uint32_t consumer_count = rt->roster->config.consumer_count_max;
    uint32_t node_count = CFC_REPAIRS_MAX * CFC_ASKERS_MAX;
    int code;

    assert(config->unicast_askers_max >= 1 && config->unicast_askers_max <= CFC_ASKERS_MAX);
    rt->gather_ns = config->gather_ns;
    rt->unicast_askers_max = config->unicast_askers_max;
    rt->frame_size_max = config->frame_size_max;
    cfc_pacer_init(&rt->budget, config->rate_bytes, config->burst_bytes, 0);
    rt->repairs = cfc_alloc(alloc, CFC_REPAIRS_MAX * sizeof(rt->repairs[0]));
    rt->links = cfc_alloc(alloc, CFC_REPAIRS_MAX * sizeof(rt->links[0]));
    if (rt->repairs == NULL || rt->links == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(rt->repairs, 0, CFC_REPAIRS_MAX * sizeof(rt->repairs[0]));
    for (uint32_t i = 0; i < CFC_REPAIR_STATE_COUNT; i++) {
        cfc_slot_list_init(&rt->lists[i]);
    }
    cfc_slot_list_init(&rt->urgent_multicast);
    for (uint32_t i = 0; i < CFC_REPAIRS_MAX; i++) {
        cfc_slot_list_push(&rt->lists[CFC_REPAIR_FREE], rt->links, i);
    }
    code = cfc_turns_init(&rt->turns, consumer_count, node_count, alloc);
    if (code == CONFCAST_OK) {
        code = cfc_turns_init(&rt->urgent_turns, consumer_count, node_count, alloc);
    }
    return code == CONFCAST_OK
               ? cfc_key_map_init(&rt->by_object, CFC_REPAIRS_MAX, config->seed, alloc)
               : code;
}

void
cfc_repair_free(struct cfc_repair_tx *rt, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, rt->repairs);
    cfc_free(alloc, rt->links);
    cfc_turns_free(&rt->turns, alloc);
    cfc_turns_free(&rt->urgent_turns, alloc);
    cfc_key_map_free(&rt->by_object, alloc);
}

void
cfc_repair_fit(struct cfc_repair_tx *rt, uint32_t nack_us, uint64_t gather_ns)
{
    uint64_t wait_ns = cfc_nack_wait_longest(nack_us);
    uint64_t enough_ns = wait_ns + GATHER_MORE_NS;

    rt->gather_ns = enough_ns < gather_ns ? enough_ns : gather_ns;
    rt->is_asker_many = wait_ns >= 2 * gather_ns;
}

uint64_t
cfc_repair_key(const struct cfc_nack_entry *object)
{
    uint64_t h = object->key * UINT64_C(0x9e3779b97f4a7c15);

    h ^= (uint64_t)object->index << 32 | (uint64_t)object->coding << 16 |
         (uint64_t)object->level << 8 | object->want;
    h = (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ (h >> 32);
}

static struct cfc_slot_list *
list_of(struct cfc_repair_tx *rt, const struct cfc_repair *r, enum cfc_repair_state state)
{
    return cfc_repair_is_head(r) && state == CFC_REPAIR_MULTICAST ? &rt->urgent_multicast
                                                                  : &rt->lists[state];
}

static struct cfc_turns *
turns_of(struct cfc_repair_tx *rt, const struct cfc_repair *r)
{
    return cfc_repair_is_head(r) ? &rt->urgent_turns : &rt->turns;
}

void
cfc_repair_enter(struct cfc_repair_tx *rt, uint32_t slot, enum cfc_repair_state state,
                 uint64_t due_ns)
{
    struct cfc_repair *r = &rt->repairs[slot];

    cfc_slot_list_remove(list_of(rt, r, r->state), rt->links, slot);
    r->state = state;
    r->due_ns = due_ns;
    cfc_slot_list_push(list_of(rt, r, state), rt->links, slot);
}

void
cfc_repair_begin_waiting(struct cfc_repair_tx *rt, uint32_t slot, struct cfc_asker *asker)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (!asker->is_waiting && !cfc_repair_is_served(asker)) {
        asker->is_waiting = true;
        cfc_turns_add(turns_of(rt, r), asker->slot,
                      slot * CFC_ASKERS_MAX + (uint32_t)(asker - r->askers));
    }
}

void
cfc_repair_end_waiting(struct cfc_repair_tx *rt, uint32_t slot, struct cfc_asker *asker)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (asker->is_waiting) {
        asker->is_waiting = false;
        cfc_turns_remove(turns_of(rt, r), asker->slot,
                         slot * CFC_ASKERS_MAX + (uint32_t)(asker - r->askers));
    }
}

void
cfc_repair_close(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];
    struct cfc_consumer *opener = &rt->roster->consumers[r->opener];

    for (uint32_t i = 0; i < r->asker_count; i++) {
        cfc_repair_end_waiting(rt, slot, &r->askers[i]);
    }
    if (opener->key == r->opener_key && opener->open_repairs > 0) {
        opener->open_repairs--;
    }
    cfc_key_map_remove(&rt->by_object, cfc_repair_key(&r->object));
    cfc_repair_enter(rt, slot, CFC_REPAIR_FREE, CFC_NEVER);
}

/* Fresh repair symbols help whatever each of them lacks; source symbols need no decoding, so they
 * are better when they are no more and nobody else waits. */
static void
choose_symbols(struct cfc_repair_tx *rt, struct cfc_repair *r)
{
    if (r->need == 0) {
        return;
    }
    cfc_repair_note_demand(&rt->stock, &r->object, r->need);
    if (!rt->is_asker_many && !cfc_repair_are_others_likely(rt, r) && !r->is_blind &&
        cfc_repair_bits(r->hints & ~r->mask) <= r->need) {
        r->mask |= r->hints;
    } else {
        r->rows_left += r->need;
    }
    r->hints = 0;
    r->need = 0;
    r->is_blind = false;
}

void
cfc_repair_begin_sending(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (r->is_multicast) {
        choose_symbols(rt, r);
        r->left_groups = r->groups;
        cfc_repair_enter(rt, slot, CFC_REPAIR_MULTICAST, CFC_NEVER);
        return;
    }
    cfc_repair_enter(rt, slot, CFC_REPAIR_UNICAST, CFC_NEVER);
    for (uint32_t i = 0; i < r->asker_count; i++) {
        cfc_repair_begin_waiting(rt, slot, &r->askers[i]);
    }
}

void
cfc_repair_advance(struct cfc_repair_tx *rt, uint64_t now_ns)
{
    struct cfc_slot_list *gathering = &rt->lists[CFC_REPAIR_GATHERING];
    struct cfc_slot_list *quiet = &rt->lists[CFC_REPAIR_QUIET];

    while (gathering->head != CFC_SLOT_NONE && rt->repairs[gathering->head].due_ns <= now_ns) {
        cfc_repair_begin_sending(rt, gathering->head);
    }
    while (quiet->head != CFC_SLOT_NONE && rt->repairs[quiet->head].due_ns <= now_ns) {
        cfc_repair_close(rt, quiet->head);
    }
}

/* How long what was sent counts as on its way. */
static uint64_t
quiet_ns(const struct cfc_repair_tx *rt, const struct cfc_repair *r)
{
    bool is_short = r->object.want != CFC_WANT_SYMBOLS || rt->gather_ns > CFC_REPAIR_QUIET_NS;

    return is_short ? rt->gather_ns : CFC_REPAIR_QUIET_NS;
}

void
cfc_repair_finish(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns)
{
    const struct cfc_repair *r = &rt->repairs[slot];

    if (r->is_multicast || cfc_repair_is_head(r)) {
        cfc_repair_enter(rt, slot, CFC_REPAIR_QUIET, now_ns + quiet_ns(rt, r));
    } else {
        cfc_repair_close(rt, slot);
    }
}
