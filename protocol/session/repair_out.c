/* The frames that repairs send, one at a time. */
#include <assert.h>

#include "confcast/error.h"
#include "protocol/session/repair_state.h"

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
        cfc_repair_close(rt, slot);
        return false;
    }
    cfc_turns_rotate(turns);
    if (cfc_repair_is_served(asker)) {
        cfc_repair_end_waiting(rt, slot, asker);
    }
    for (uint32_t i = 0; i < r->asker_count; i++) {
        is_done = is_done && cfc_repair_is_served(&r->askers[i]);
    }
    if (is_done) {
        cfc_repair_finish(rt, slot, now_ns);
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
        cfc_repair_close(rt, slot);
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
        cfc_repair_finish(rt, slot, now_ns);
    } else {
        cfc_repair_enter(rt, slot, CFC_REPAIR_MULTICAST, CFC_NEVER);
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
    cfc_repair_advance(rt, now_ns);
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
