/* What consumers ask for, and whether each is answered alone or all at once. */
#include <assert.h>

#include "confcast/error.h"
#include "protocol/session/repair_state.h"

static bool
is_same_object(const struct cfc_nack_entry *a, const struct cfc_nack_entry *b)
{
    return a->want == b->want && a->level == b->level && a->coding == b->coding &&
           a->index == b->index && a->key == b->key;
}

/* The repair of an object, opened if need be; CFC_SLOT_NONE when there is no room for it. */
static uint32_t
open_repair(struct cfc_repair_tx *rt, uint32_t asker, const struct cfc_nack_entry *object,
            uint64_t now_ns)
{
    struct cfc_consumer *c = &rt->roster->consumers[asker];
    uint64_t key = cfc_repair_key(object);
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
        cfc_repair_close(rt, rt->lists[CFC_REPAIR_QUIET].head);
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
charge(const struct cfc_repair_tx *rt, struct cfc_consumer *c, uint64_t mask, size_t part_size,
       uint64_t now_ns)
{
    uint64_t paid = 0;

    while (mask != 0 && cfc_roster_pay_repair(rt->roster, c, part_size, now_ns)) {
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
    r->is_blind = r->is_blind || cfc_repair_bits(mask) < count;
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

        cfc_repair_end_waiting(rt, slot, asker);
        if (asker->is_any) {
            add_need(r, asker->mask, cfc_repair_bits(asker->mask) + asker->rows);
        } else {
            r->mask |= asker->mask;
        }
        asker->mask = 0;
        asker->rows = 0;
    }
    if (r->state == CFC_REPAIR_UNICAST) {
        cfc_repair_begin_sending(rt, slot);
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
        cfc_repair_enter(rt, slot, CFC_REPAIR_GATHERING, now_ns + rt->gather_ns);
    }
}

/* Whether this asker was answered with others before for the same object, and asks again: multicast
 * may not reach it at all.  Otherwise it is remembered. */
static bool
asks_again(struct cfc_consumer *c, const struct cfc_repair *r)
{
    uint64_t bit = UINT64_C(1) << (cfc_repair_key(&r->object) & 63);

    if ((c->stood & bit) != 0) {
        return true;
    }
    c->stood = (cfc_repair_bits(c->stood) < CFC_REPAIR_STOOD_MAX ? c->stood : 0) | bit;
    return false;
}

/* Whether others are likely to lack something of the same block as this asker. */
static bool
stands_for_losers(const struct cfc_repair_tx *rt, const struct cfc_repair *r, uint32_t slot,
                  uint32_t count)
{
    return cfc_repair_are_others_likely(rt, r) && count <= CFC_REPAIR_FEW && r->groups != 0 &&
           !asks_again(&rt->roster->consumers[slot], r);
}

/* Whether this asker, who lacks `count` of something, stands for others that wait. */
static bool
stands_for_many(const struct cfc_repair_tx *rt, const struct cfc_repair *r, uint32_t slot,
                uint32_t count)
{
    struct cfc_consumer *c = &rt->roster->consumers[slot];

    return rt->is_asker_many && count <= CFC_REPAIR_FEW && c->open_repairs <= CFC_REPAIR_FEW &&
           !asks_again(c, r);
}

/* Adds parts that are paid for to what a repair sends to this asker, or to everybody. */
static int
add_parts(struct cfc_repair_tx *rt, uint32_t i, struct cfc_asker *asker, uint32_t slot,
          uint64_t mask)
{
    struct cfc_repair *r = &rt->repairs[i];

    if (asker == NULL && r->asker_count < rt->unicast_askers_max &&
        (cfc_repair_is_head(r) || !stands_for_many(rt, r, slot, cfc_repair_bits(mask)))) {
        asker = &r->askers[r->asker_count++];
        *asker =
            (struct cfc_asker){.slot = slot, .session = rt->roster->consumers[slot].current.id};
    }
    if (asker != NULL && !r->is_multicast) {
        asker->mask |= mask;
        asker->is_any = false;
        if (r->state == CFC_REPAIR_UNICAST) {
            cfc_repair_begin_waiting(rt, i, asker);
        }
    } else if (r->groups != 0) {
        r->mask |= mask;
        if (!r->is_multicast) {
            merge_askers(rt, i);
        }
    } else {
        return CONFCAST_ERR_LIMIT;
    }
    if (cfc_repair_is_head(r) &&
        (r->state == CFC_REPAIR_GATHERING || r->state == CFC_REPAIR_QUIET)) {
        cfc_repair_begin_sending(rt, i);
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
charge_count(const struct cfc_repair_tx *rt, struct cfc_consumer *c, uint32_t count,
             size_t part_size, uint64_t now_ns)
{
    uint32_t paid = 0;

    while (paid < count && cfc_roster_pay_repair(rt->roster, c, part_size, now_ns)) {
        paid++;
    }
    return paid;
}

static uint64_t
lowest_bits(uint64_t mask, uint32_t count)
{
    while (cfc_repair_bits(mask) > count) {
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
        !stands_for_losers(rt, r, slot, count) && !stands_for_many(rt, r, slot, count)) {
        asker = &r->askers[r->asker_count++];
        *asker = (struct cfc_asker){.slot = slot, .session = session, .is_any = true};
    }
    if (asker != NULL && !r->is_multicast) {
        asker->mask |= mask;
        asker->rows += count - cfc_repair_bits(mask);
        if (r->state == CFC_REPAIR_UNICAST) {
            cfc_repair_begin_waiting(rt, i, asker);
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
    uint32_t covered = r->rows_sent + r->rows_left + (asker != NULL ? asker->rows : 0) +
                       cfc_repair_bits(t->mask & coming);
    uint64_t mask = t->mask & ~coming;
    uint32_t count, paid;

    r->block_symbols = (uint8_t)t->block_symbols;
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
    paid = charge_count(rt, c, count, t->part_size, now_ns);
    if (paid == 0) {
        if (r->state == CFC_REPAIR_GATHERING && r->asker_count == 0 && r->need == 0) {
            cfc_repair_close(rt, i);
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
    cfc_repair_advance(rt, now_ns);
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
    target.mask = charge(rt, c, target.mask, target.part_size, now_ns);
    if (target.mask == 0) {
        if (r->state == CFC_REPAIR_GATHERING && r->asker_count == 0) {
            cfc_repair_close(rt, i);
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
