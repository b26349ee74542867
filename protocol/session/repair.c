#include "protocol/session/repair.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

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

static uint64_t
object_key(const struct cfc_nack_entry *object)
{
    uint64_t h = object->key * UINT64_C(0x9e3779b97f4a7c15);

    h ^= (uint64_t)object->index << 32 | (uint64_t)object->coding << 16 |
         (uint64_t)object->level << 8 | object->want;
    h = (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ (h >> 32);
}

static bool
is_same_object(const struct cfc_nack_entry *a, const struct cfc_nack_entry *b)
{
    return a->want == b->want && a->level == b->level && a->coding == b->coding &&
           a->index == b->index && a->key == b->key;
}

static bool
is_head(const struct cfc_repair *r)
{
    return r->object.want == CFC_WANT_HEAD;
}

static struct cfc_slot_list *
list_of(struct cfc_repair_tx *rt, const struct cfc_repair *r, enum cfc_repair_state state)
{
    return is_head(r) && state == CFC_REPAIR_MULTICAST ? &rt->urgent_multicast : &rt->lists[state];
}

static struct cfc_turns *
turns_of(struct cfc_repair_tx *rt, const struct cfc_repair *r)
{
    return is_head(r) ? &rt->urgent_turns : &rt->turns;
}

/* The only writer of `state`; a repair goes to the end of its list. */
static void
enter(struct cfc_repair_tx *rt, uint32_t slot, enum cfc_repair_state state, uint64_t due_ns)
{
    struct cfc_repair *r = &rt->repairs[slot];

    cfc_slot_list_remove(list_of(rt, r, r->state), rt->links, slot);
    r->state = state;
    r->due_ns = due_ns;
    cfc_slot_list_push(list_of(rt, r, state), rt->links, slot);
}

static void
begin_waiting(struct cfc_repair_tx *rt, uint32_t slot, struct cfc_asker *asker)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (!asker->is_waiting && asker->mask != 0) {
        asker->is_waiting = true;
        cfc_turns_add(turns_of(rt, r), asker->slot,
                      slot * CFC_ASKERS_MAX + (uint32_t)(asker - r->askers));
    }
}

static void
end_waiting(struct cfc_repair_tx *rt, uint32_t slot, struct cfc_asker *asker)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (asker->is_waiting) {
        asker->is_waiting = false;
        cfc_turns_remove(turns_of(rt, r), asker->slot,
                         slot * CFC_ASKERS_MAX + (uint32_t)(asker - r->askers));
    }
}

static void
close_repair(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];
    struct cfc_consumer *opener = &rt->roster->consumers[r->opener];

    for (uint32_t i = 0; i < r->asker_count; i++) {
        end_waiting(rt, slot, &r->askers[i]);
    }
    if (opener->key == r->opener_key && opener->open_repairs > 0) {
        opener->open_repairs--;
    }
    cfc_key_map_remove(&rt->by_object, object_key(&r->object));
    enter(rt, slot, CFC_REPAIR_FREE, CFC_NEVER);
}

static void
begin_sending(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (r->is_multicast) {
        r->left_groups = r->groups;
        enter(rt, slot, CFC_REPAIR_MULTICAST, CFC_NEVER);
        return;
    }
    enter(rt, slot, CFC_REPAIR_UNICAST, CFC_NEVER);
    for (uint32_t i = 0; i < r->asker_count; i++) {
        begin_waiting(rt, slot, &r->askers[i]);
    }
}

/* Lets time pass: gathered repairs become ready, quiet ones end. */
static void
advance(struct cfc_repair_tx *rt, uint64_t now_ns)
{
    struct cfc_slot_list *gathering = &rt->lists[CFC_REPAIR_GATHERING];
    struct cfc_slot_list *quiet = &rt->lists[CFC_REPAIR_QUIET];

    while (gathering->head != CFC_SLOT_NONE && rt->repairs[gathering->head].due_ns <= now_ns) {
        begin_sending(rt, gathering->head);
    }
    while (quiet->head != CFC_SLOT_NONE && rt->repairs[quiet->head].due_ns <= now_ns) {
        close_repair(rt, quiet->head);
    }
}

static void
finish(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns)
{
    const struct cfc_repair *r = &rt->repairs[slot];

    if (r->is_multicast || is_head(r)) {
        enter(rt, slot, CFC_REPAIR_QUIET, now_ns + rt->gather_ns);
    } else {
        close_repair(rt, slot);
    }
}

/* The repair of an object, opened if need be; CFC_SLOT_NONE when there is no room for it. */
static uint32_t
open_repair(struct cfc_repair_tx *rt, uint32_t asker, const struct cfc_nack_entry *object,
            uint64_t now_ns)
{
    struct cfc_consumer *c = &rt->roster->consumers[asker];
    uint64_t key = object_key(object);
    uint32_t slot = cfc_key_map_get(&rt->by_object, key);

    if (slot != CFC_KEY_MAP_NONE) {
        return is_same_object(&rt->repairs[slot].object, object) ? slot : CFC_SLOT_NONE;
    }
    if (c->open_repairs >= CFC_REPAIRS_PER_CONSUMER) {
        return CFC_SLOT_NONE;
    }
    if (cfc_slot_list_is_empty(&rt->lists[CFC_REPAIR_FREE])) {
        if (cfc_slot_list_is_empty(&rt->lists[CFC_REPAIR_QUIET])) {
            return CFC_SLOT_NONE;
        }
        close_repair(rt, rt->lists[CFC_REPAIR_QUIET].head);
    }
    slot = cfc_slot_list_pop(&rt->lists[CFC_REPAIR_FREE], rt->links);
    rt->repairs[slot] = (struct cfc_repair){.state = CFC_REPAIR_GATHERING,
                                            .object = *object,
                                            .due_ns = now_ns + rt->gather_ns,
                                            .opener = asker,
                                            .opener_key = c->key};
    cfc_slot_list_push(&rt->lists[CFC_REPAIR_GATHERING], rt->links, slot);
    cfc_key_map_put(&rt->by_object, key, slot);
    c->open_repairs++;
    return slot;
}

/* The lowest bits of `mask` that the consumer's budget pays for; their cost is taken. */
static uint64_t
charge(struct cfc_consumer *c, uint64_t mask, size_t part_size, uint64_t now_ns)
{
    uint64_t paid = 0;

    while (mask != 0 && cfc_pacer_try(&c->repair_budget, part_size, now_ns)) {
        paid |= mask & -mask;
        mask &= mask - 1;
    }
    return paid;
}

static struct cfc_asker *
find_asker(struct cfc_repair *r, uint32_t slot, uint32_t session)
{
    for (uint32_t i = 0; i < r->asker_count; i++) {
        if (r->askers[i].slot == slot && r->askers[i].session == session) {
            return &r->askers[i];
        }
    }
    return NULL;
}

/* From unicast to multicast: what the askers still lack becomes one mask. */
static void
merge_askers(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];

    r->is_multicast = true;
    for (uint32_t i = 0; i < r->asker_count; i++) {
        r->mask |= r->askers[i].mask;
        end_waiting(rt, slot, &r->askers[i]);
        r->askers[i].mask = 0;
    }
    if (r->state == CFC_REPAIR_UNICAST) {
        begin_sending(rt, slot);
    }
}

/* A quiet repair of which something new is wanted gathers anew.  That of a head by unicast only
 * counts on. */
static void
reopen(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (r->is_multicast) {
        r->is_multicast = false;
        r->asker_count = 0;
        r->sent = 0;
        r->groups = 0;
        enter(rt, slot, CFC_REPAIR_GATHERING, now_ns + rt->gather_ns);
    }
}

/* Adds parts that are paid for to what a repair sends to this asker, or to everybody. */
static int
add_parts(struct cfc_repair_tx *rt, uint32_t i, struct cfc_asker *asker, uint32_t slot,
          uint64_t mask)
{
    struct cfc_repair *r = &rt->repairs[i];

    if (asker == NULL && r->asker_count < rt->unicast_askers_max) {
        asker = &r->askers[r->asker_count++];
        *asker =
            (struct cfc_asker){.slot = slot, .session = rt->roster->consumers[slot].current.id};
    }
    if (asker != NULL && !r->is_multicast) {
        asker->mask |= mask;
        if (r->state == CFC_REPAIR_UNICAST) {
            begin_waiting(rt, i, asker);
        }
    } else if (r->groups != 0) {
        r->mask |= mask;
        if (!r->is_multicast) {
            merge_askers(rt, i);
        }
    } else {
        return CONFCAST_ERR_LIMIT;
    }
    if (is_head(r) && (r->state == CFC_REPAIR_GATHERING || r->state == CFC_REPAIR_QUIET)) {
        begin_sending(rt, i);
    }
    return CONFCAST_OK;
}

int
cfc_repair_ask(struct cfc_repair_tx *rt, uint32_t slot, const struct cfc_nack_entry *entry,
               uint64_t now_ns)
{
    struct cfc_consumer *c = &rt->roster->consumers[slot];
    struct cfc_repair_target target;
    struct cfc_asker *asker;
    struct cfc_repair *r;
    uint32_t i;
    int code = cfc_repair_resolve(&rt->stock, c, entry, &target);

    if (code != CONFCAST_OK || target.mask == 0) {
        return code;
    }
    advance(rt, now_ns);
    i = open_repair(rt, slot, &target.object, now_ns);
    if (i == CFC_SLOT_NONE) {
        return CONFCAST_ERR_LIMIT;
    }
    r = &rt->repairs[i];
    asker = find_asker(r, slot, c->current.id);
    target.mask &= ~(r->sent | r->mask | (asker != NULL ? asker->mask : 0));
    if (target.mask == 0 || (asker != NULL && r->state == CFC_REPAIR_QUIET && !r->is_multicast)) {
        return CONFCAST_OK;
    }
    target.mask = charge(c, target.mask, target.part_size, now_ns);
    if (target.mask == 0) {
        if (r->state == CFC_REPAIR_GATHERING && r->asker_count == 0) {
            close_repair(rt, i);
        }
        return CONFCAST_ERR_LIMIT;
    }
    if (r->state == CFC_REPAIR_QUIET) {
        reopen(rt, i, now_ns);
        asker = find_asker(r, slot, c->current.id);
    }
    r->groups |= target.groups;
    return add_parts(rt, i, asker, slot, target.mask);
}

/* One frame for the asker at turn.  false: it had lost its session, or the object is gone. */
static bool
send_unicast(struct cfc_repair_tx *rt, struct cfc_turns *turns, uint64_t now_ns, uint8_t *header,
             size_t capacity, struct cfc_tx *out)
{
    uint32_t node = cfc_turns_next(turns);
    uint32_t slot = node / CFC_ASKERS_MAX;
    struct cfc_repair *r = &rt->repairs[slot];
    struct cfc_asker *asker = &r->askers[node % CFC_ASKERS_MAX];
    bool has_sent = false;
    bool is_done = true;

    if (!cfc_roster_is_session(rt->roster, asker->slot, asker->session)) {
        asker->mask = 0;
    } else if (cfc_repair_write_part(&rt->stock, &r->object, (uint32_t)__builtin_ctzll(asker->mask),
                                     header, capacity, out)) {
        has_sent = true;
        asker->mask &= asker->mask - 1;
        out->is_multicast = false;
        out->to = rt->roster->consumers[asker->slot].current.address;
        rt->stats->repairs_unicast += r->object.want == CFC_WANT_SYMBOLS;
    } else {
        close_repair(rt, slot);
        return false;
    }
    cfc_turns_rotate(turns);
    if (asker->mask == 0) {
        end_waiting(rt, slot, asker);
    }
    for (uint32_t i = 0; i < r->asker_count; i++) {
        is_done = is_done && r->askers[i].mask == 0;
    }
    if (is_done) {
        finish(rt, slot, now_ns);
    }
    return has_sent;
}

/* One frame of a repair in MULTICAST, for one group.  false: the object is gone. */
static bool
send_multicast(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns, uint8_t *header,
               size_t capacity, struct cfc_tx *out)
{
    struct cfc_repair *r = &rt->repairs[slot];

    assert(r->mask != 0 && r->left_groups != 0);
    if (!cfc_repair_write_part(&rt->stock, &r->object, (uint32_t)__builtin_ctzll(r->mask), header,
                               capacity, out)) {
        close_repair(rt, slot);
        return false;
    }
    out->is_multicast = true;
    out->group = (uint32_t)__builtin_ctz(r->left_groups);
    rt->stats->repairs_multicast += r->object.want == CFC_WANT_SYMBOLS;
    r->left_groups &= r->left_groups - 1;
    if (r->left_groups == 0) {
        r->sent |= r->mask & -r->mask;
        r->mask &= r->mask - 1;
        r->left_groups = r->groups;
    }
    if (r->mask == 0) {
        finish(rt, slot, now_ns);
    } else {
        enter(rt, slot, CFC_REPAIR_MULTICAST, CFC_NEVER);
    }
    return true;
}

/* What turns out to be void is closed on the way, so the loop is bounded by the table; so is the
 * next one. */
int
cfc_repair_poll_urgent(struct cfc_repair_tx *rt, uint64_t now_ns, bool may_multicast,
                       uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    while (may_multicast && !cfc_slot_list_is_empty(&rt->urgent_multicast)) {
        if (send_multicast(rt, rt->urgent_multicast.head, now_ns, header, capacity, out)) {
            return CONFCAST_OK;
        }
    }
    while (cfc_turns_next(&rt->urgent_turns) != CFC_SLOT_NONE) {
        if (send_unicast(rt, &rt->urgent_turns, now_ns, header, capacity, out)) {
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_AGAIN;
}

static bool
send_any(struct cfc_repair_tx *rt, uint64_t now_ns, bool may_multicast, uint8_t *header,
         size_t capacity, struct cfc_tx *out)
{
    for (;;) {
        uint32_t multicast = may_multicast ? rt->lists[CFC_REPAIR_MULTICAST].head : CFC_SLOT_NONE;
        bool has_unicast = cfc_turns_next(&rt->turns) != CFC_SLOT_NONE;

        if (has_unicast && (rt->is_unicast_turn || multicast == CFC_SLOT_NONE)) {
            rt->is_unicast_turn = false;
            if (send_unicast(rt, &rt->turns, now_ns, header, capacity, out)) {
                return true;
            }
        } else if (multicast != CFC_SLOT_NONE) {
            rt->is_unicast_turn = true;
            if (send_multicast(rt, multicast, now_ns, header, capacity, out)) {
                return true;
            }
        } else {
            return false;
        }
    }
}

int
cfc_repair_poll(struct cfc_repair_tx *rt, uint64_t now_ns, bool may_multicast, uint8_t *header,
                size_t capacity, struct cfc_tx *out)
{
    advance(rt, now_ns);
    if (!cfc_pacer_has(&rt->budget, rt->frame_size_max, now_ns) ||
        !send_any(rt, now_ns, may_multicast, header, capacity, out)) {
        return CONFCAST_ERR_AGAIN;
    }
    cfc_pacer_take(&rt->budget, out->header_size + out->payload_size);
    return CONFCAST_OK;
}

static uint64_t
later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t
cfc_repair_deadline(const struct cfc_repair_tx *rt, uint64_t multicast_ns)
{
    uint64_t budget_ns = cfc_pacer_ready_ns(&rt->budget, rt->frame_size_max);
    uint32_t gathering = rt->lists[CFC_REPAIR_GATHERING].head;
    uint64_t deadline_ns = CFC_NEVER;

    if (cfc_turns_next(&rt->urgent_turns) != CFC_SLOT_NONE) {
        return 0;
    }
    if (!cfc_slot_list_is_empty(&rt->urgent_multicast)) {
        deadline_ns = multicast_ns;
    }
    if (cfc_turns_next(&rt->turns) != CFC_SLOT_NONE) {
        deadline_ns = sooner(deadline_ns, budget_ns);
    }
    if (!cfc_slot_list_is_empty(&rt->lists[CFC_REPAIR_MULTICAST])) {
        deadline_ns = sooner(deadline_ns, later(budget_ns, multicast_ns));
    }
    if (gathering != CFC_SLOT_NONE) {
        deadline_ns = sooner(deadline_ns, rt->repairs[gathering].due_ns);
    }
    return deadline_ns;
}
