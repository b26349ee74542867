#include "protocol/session/repair.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/nack_wait.h"

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

static bool
is_served(const struct cfc_asker *asker)
{
    return asker->mask == 0 && asker->rows == 0;
}

static void
begin_waiting(struct cfc_repair_tx *rt, uint32_t slot, struct cfc_asker *asker)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (!asker->is_waiting && !is_served(asker)) {
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

static uint32_t
bits(uint64_t mask)
{
    return (uint32_t)__builtin_popcountll(mask);
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
    if (!rt->is_asker_many && !r->is_blind && bits(r->hints & ~r->mask) <= r->need) {
        r->mask |= r->hints;
    } else {
        r->rows_left += r->need;
    }
    r->hints = 0;
    r->need = 0;
    r->is_blind = false;
}

static void
begin_sending(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (r->is_multicast) {
        choose_symbols(rt, r);
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

/* Somebody needs `count` symbols, whichever they are; those of the mask would do. */
static void
add_need(struct cfc_repair *r, uint64_t mask, uint32_t count)
{
    r->hints |= mask;
    r->is_blind = r->is_blind || bits(mask) < count;
    r->need = count > r->need ? count : r->need;
}

/* From unicast to multicast: what the askers still lack becomes one mask. */
static void
merge_askers(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];

    r->is_multicast = true;
    for (uint32_t i = 0; i < r->asker_count; i++) {
        struct cfc_asker *asker = &r->askers[i];

        end_waiting(rt, slot, asker);
        if (asker->is_any) {
            add_need(r, asker->mask, bits(asker->mask) + asker->rows);
        } else {
            r->mask |= asker->mask;
        }
        asker->mask = 0;
        asker->rows = 0;
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
        r->rows_sent = 0;
        r->groups = 0;
        enter(rt, slot, CFC_REPAIR_GATHERING, now_ns + rt->gather_ns);
    }
}

/* Whether this asker, who lacks `count` of something, stands for others that wait. */
static bool
stands_for_many(const struct cfc_repair_tx *rt, const struct cfc_repair *r, uint32_t slot,
                uint32_t count)
{
    struct cfc_consumer *c = &rt->roster->consumers[slot];
    uint64_t bit = UINT64_C(1) << (object_key(&r->object) & 63);

    if (!rt->is_asker_many || count > CFC_REPAIR_FEW || c->open_repairs > CFC_REPAIR_FEW ||
        (c->stood & bit) != 0) {
        return false;
    }
    c->stood = (bits(c->stood) < CFC_REPAIR_STOOD_MAX ? c->stood : 0) | bit;
    return true;
}

/* Adds parts that are paid for to what a repair sends to this asker, or to everybody. */
static int
add_parts(struct cfc_repair_tx *rt, uint32_t i, struct cfc_asker *asker, uint32_t slot,
          uint64_t mask)
{
    struct cfc_repair *r = &rt->repairs[i];

    if (asker == NULL && r->asker_count < rt->unicast_askers_max &&
        (is_head(r) || !stands_for_many(rt, r, slot, bits(mask)))) {
        asker = &r->askers[r->asker_count++];
        *asker =
            (struct cfc_asker){.slot = slot, .session = rt->roster->consumers[slot].current.id};
    }
    if (asker != NULL && !r->is_multicast) {
        asker->mask |= mask;
        asker->is_any = false;
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

/* Up to how many askers of a block are answered one by one. */
static uint32_t
unicast_askers_max(const struct cfc_repair_tx *rt)
{
    uint32_t quarter = rt->roster->known.count / 4;

    quarter = quarter > 0 ? quarter : 1;
    return quarter < rt->unicast_askers_max ? quarter : rt->unicast_askers_max;
}

/* How many of `count` symbols the consumer's budget pays for; their cost is taken. */
static uint32_t
charge_count(struct cfc_consumer *c, uint32_t count, size_t part_size, uint64_t now_ns)
{
    uint32_t paid = 0;

    while (paid < count && cfc_pacer_try(&c->repair_budget, part_size, now_ns)) {
        paid++;
    }
    return paid;
}

static uint64_t
lowest_bits(uint64_t mask, uint32_t count)
{
    while (bits(mask) > count) {
        mask &= ~(UINT64_C(1) << (63 - __builtin_clzll(mask)));
    }
    return mask;
}

/* Adds `count` symbols that are paid for to what a repair sends; those of the mask would do. */
static int
add_any(struct cfc_repair_tx *rt, uint32_t i, uint32_t slot, uint64_t mask, uint32_t count)
{
    struct cfc_repair *r = &rt->repairs[i];
    uint32_t session = rt->roster->consumers[slot].current.id;
    struct cfc_asker *asker = find_asker(r, slot, session);

    if (asker == NULL && !r->is_multicast && r->asker_count < unicast_askers_max(rt) &&
        !stands_for_many(rt, r, slot, count)) {
        asker = &r->askers[r->asker_count++];
        *asker = (struct cfc_asker){.slot = slot, .session = session, .is_any = true};
    }
    if (asker != NULL && !r->is_multicast) {
        asker->mask |= mask;
        asker->rows += count - bits(mask);
        if (r->state == CFC_REPAIR_UNICAST) {
            begin_waiting(rt, i, asker);
        }
        return CONFCAST_OK;
    }
    if (r->groups == 0) {
        return CONFCAST_ERR_LIMIT;
    }
    if (r->state == CFC_REPAIR_MULTICAST) {
        r->rows_left += count;
        return CONFCAST_OK;
    }
    add_need(r, mask, count);
    if (!r->is_multicast) {
        merge_askers(rt, i);
    }
    return CONFCAST_OK;
}

/* A request that any symbols of its block answer.  What this repair sends or has just sent to
 * everybody, and what it owes this asker, counts. */
static int
ask_any(struct cfc_repair_tx *rt, uint32_t i, uint32_t slot, const struct cfc_repair_target *t,
        uint64_t now_ns)
{
    struct cfc_consumer *c = &rt->roster->consumers[slot];
    struct cfc_repair *r = &rt->repairs[i];
    const struct cfc_asker *asker = find_asker(r, slot, c->current.id);
    uint64_t coming = r->sent | r->mask | (asker != NULL ? asker->mask : 0);
    uint32_t covered =
        r->rows_sent + r->rows_left + (asker != NULL ? asker->rows : 0) + bits(t->mask & coming);
    uint64_t mask = t->mask & ~coming;
    uint32_t count, paid;

    if (covered >= t->count) {
        rt->stats->nack_entries_suppressed++;
        return CONFCAST_OK;
    }
    count = t->count - covered;
    if (r->is_multicast && r->state == CFC_REPAIR_GATHERING && count <= r->need) {
        add_need(r, mask, count);
        r->groups |= t->groups;
        return CONFCAST_OK;
    }
    paid = charge_count(c, count, t->part_size, now_ns);
    if (paid == 0) {
        if (r->state == CFC_REPAIR_GATHERING && r->asker_count == 0 && r->need == 0) {
            close_repair(rt, i);
        }
        return CONFCAST_ERR_LIMIT;
    }
    if (r->state == CFC_REPAIR_QUIET) {
        reopen(rt, i, now_ns);
    }
    r->groups |= t->groups;
    return add_any(rt, i, slot, t->mask != 0 ? lowest_bits(mask, paid) : 0, paid);
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

    if (code != CONFCAST_OK) {
        return code;
    }
    if (target.is_any ? target.count == 0 : target.mask == 0) {
        rt->stats->nack_entries_suppressed++;
        return CONFCAST_OK;
    }
    advance(rt, now_ns);
    i = open_repair(rt, slot, &target.object, now_ns);
    if (i == CFC_SLOT_NONE) {
        return CONFCAST_ERR_LIMIT;
    }
    if (target.is_any) {
        return ask_any(rt, i, slot, &target, now_ns);
    }
    r = &rt->repairs[i];
    asker = find_asker(r, slot, c->current.id);
    target.mask &= ~(r->sent | r->mask | (asker != NULL ? asker->mask : 0));
    if (target.mask == 0 || (asker != NULL && r->state == CFC_REPAIR_QUIET && !r->is_multicast)) {
        rt->stats->nack_entries_suppressed++;
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

/* The next part for an asker; false: the object is gone. */
static bool
take_part(struct cfc_repair_tx *rt, const struct cfc_repair *r, struct cfc_asker *asker,
          uint32_t *part)
{
    if (asker->mask != 0) {
        *part = (uint32_t)__builtin_ctzll(asker->mask);
        asker->mask &= asker->mask - 1;
        return true;
    }
    asker->rows--;
    return cfc_repair_fresh_part(&rt->stock, &r->object, part);
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
    uint32_t part;

    if (!cfc_roster_is_session(rt->roster, asker->slot, asker->session)) {
        asker->mask = 0;
        asker->rows = 0;
    } else if (take_part(rt, r, asker, &part) &&
               cfc_repair_write_part(&rt->stock, &r->object, part, header, capacity, out)) {
        has_sent = true;
        rt->stats->repairs_fresh += part >= CFC_PART_ROW;
        out->is_multicast = false;
        out->kind =
            r->object.want == CFC_WANT_SYMBOLS ? CFC_TX_REPAIR_UNICAST : CFC_TX_REPAIR_OTHER;
        out->to = rt->roster->consumers[asker->slot].current.address;
        rt->stats->repairs_unicast += r->object.want == CFC_WANT_SYMBOLS;
    } else {
        close_repair(rt, slot);
        return false;
    }
    cfc_turns_rotate(turns);
    if (is_served(asker)) {
        end_waiting(rt, slot, asker);
    }
    for (uint32_t i = 0; i < r->asker_count; i++) {
        is_done = is_done && is_served(&r->askers[i]);
    }
    if (is_done) {
        finish(rt, slot, now_ns);
    }
    return has_sent;
}

/* The part at hand, the same one for all groups.  false: the object is gone. */
static bool
multicast_part(struct cfc_repair_tx *rt, struct cfc_repair *r, uint32_t *part)
{
    if (r->row_part == 0 && r->mask != 0) {
        *part = (uint32_t)__builtin_ctzll(r->mask);
        return true;
    }
    if (r->row_part == 0 && !cfc_repair_fresh_part(&rt->stock, &r->object, &r->row_part)) {
        return false;
    }
    *part = r->row_part;
    return true;
}

/* All groups had the part at hand. */
static void
note_multicast(struct cfc_repair *r)
{
    if (r->row_part == 0) {
        r->sent |= r->mask & -r->mask;
        r->mask &= r->mask - 1;
    } else {
        r->row_part = 0;
        r->rows_left--;
        r->rows_sent++;
    }
    r->left_groups = r->groups;
}

/* One frame of a repair in MULTICAST, for one group.  false: the object is gone. */
static bool
send_multicast(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns, uint8_t *header,
               size_t capacity, struct cfc_tx *out)
{
    struct cfc_repair *r = &rt->repairs[slot];
    uint32_t part;

    assert((r->mask != 0 || r->rows_left != 0) && r->left_groups != 0);
    if (!multicast_part(rt, r, &part) ||
        !cfc_repair_write_part(&rt->stock, &r->object, part, header, capacity, out)) {
        close_repair(rt, slot);
        return false;
    }
    out->is_multicast = true;
    out->kind = r->object.want == CFC_WANT_SYMBOLS ? CFC_TX_REPAIR_MULTICAST : CFC_TX_REPAIR_OTHER;
    out->group = (uint32_t)__builtin_ctz(r->left_groups);
    rt->stats->repairs_multicast += r->object.want == CFC_WANT_SYMBOLS;
    rt->stats->repairs_fresh += part >= CFC_PART_ROW;
    r->left_groups &= r->left_groups - 1;
    if (r->left_groups == 0) {
        note_multicast(r);
    }
    if (r->mask == 0 && r->rows_left == 0) {
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
