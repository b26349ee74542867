#include "protocol/session/repair.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

/* What an entry of a NACK comes down to. */
struct target {
    struct cfc_nack_entry object; /* mask and count not used */
    uint64_t mask;                /* parts wanted; 0 = all of it is on its way */
    size_t part_size;             /* bytes of a part's datagram, at most */
    uint32_t groups;              /* to multicast it to */
};

int
cfc_repair_init(struct cfc_repair_tx *rt, const struct cfc_repair_config *config,
                const struct cfc_alloc *alloc)
{
    assert(config->unicast_askers_max >= 1 && config->unicast_askers_max <= CFC_ASKERS_MAX);
    rt->gather_ns = config->gather_ns;
    rt->unicast_askers_max = config->unicast_askers_max;
    rt->frame_size_max = config->frame_size_max;
    cfc_pacer_init(&rt->budget, config->rate_bytes, config->burst_bytes, 0);
    rt->repairs = cfc_alloc(alloc, CFC_REPAIRS_MAX * sizeof(rt->repairs[0]));
    rt->links = cfc_alloc(alloc, CFC_REPAIRS_MAX * sizeof(rt->links[0]));
    for (uint32_t i = 0; i < CFC_REPAIR_STATE_COUNT; i++) {
        cfc_slot_list_init(&rt->lists[i]);
    }
    cfc_slot_list_init(&rt->urgent_unicast);
    cfc_slot_list_init(&rt->urgent_multicast);
    rt->is_unicast_turn = false;
    if (rt->repairs == NULL || rt->links == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(rt->repairs, 0, CFC_REPAIRS_MAX * sizeof(rt->repairs[0]));
    for (uint32_t i = 0; i < CFC_REPAIRS_MAX; i++) {
        cfc_slot_list_push(&rt->lists[CFC_REPAIR_FREE], rt->links, i);
    }
    return cfc_key_map_init(&rt->by_object, CFC_REPAIRS_MAX, config->seed, alloc);
}

void
cfc_repair_free(struct cfc_repair_tx *rt, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, rt->repairs);
    cfc_free(alloc, rt->links);
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

static struct cfc_nack_entry
object_of(const struct cfc_repair *r)
{
    return (struct cfc_nack_entry){
        .want = r->want, .level = r->level, .coding = r->coding, .index = r->index, .key = r->key};
}

static bool
is_object(const struct cfc_repair *r, const struct cfc_nack_entry *object)
{
    return r->want == object->want && r->level == object->level && r->coding == object->coding &&
           r->index == object->index && r->key == object->key;
}

static struct cfc_slot_list *
list_of(struct cfc_repair_tx *rt, const struct cfc_repair *r, enum cfc_repair_state state)
{
    if (r->want == CFC_WANT_HEAD && state == CFC_REPAIR_UNICAST) {
        return &rt->urgent_unicast;
    }
    if (r->want == CFC_WANT_HEAD && state == CFC_REPAIR_MULTICAST) {
        return &rt->urgent_multicast;
    }
    return &rt->lists[state];
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
close_repair(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];
    struct cfc_consumer *opener = &rt->roster->consumers[r->opener];
    struct cfc_nack_entry object = object_of(r);

    if (opener->key == r->opener_key && opener->open_repairs > 0) {
        opener->open_repairs--;
    }
    cfc_key_map_remove(&rt->by_object, object_key(&object));
    enter(rt, slot, CFC_REPAIR_FREE, CFC_NEVER);
}

static void
begin_sending(struct cfc_repair_tx *rt, uint32_t slot)
{
    struct cfc_repair *r = &rt->repairs[slot];

    r->left_groups = r->groups;
    enter(rt, slot, r->is_multicast ? CFC_REPAIR_MULTICAST : CFC_REPAIR_UNICAST, CFC_NEVER);
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

    if (r->is_multicast || r->want == CFC_WANT_HEAD) {
        enter(rt, slot, CFC_REPAIR_QUIET, now_ns + rt->gather_ns);
    } else {
        close_repair(rt, slot);
    }
}

/* The groups by which a content reaches a consumer: those that name it and that it follows. */
static uint32_t
groups_for(const struct cfc_content_slot *content, const struct cfc_consumer *c)
{
    uint32_t both = content->groups & c->groups;

    if (both != 0) {
        return both;
    }
    return c->groups != 0 ? c->groups : content->groups;
}

static int
resolve_head(struct cfc_repair_tx *rt, struct cfc_consumer *c, const struct cfc_nack_entry *entry,
             struct target *out)
{
    uint32_t slot = cfc_head_tx_find(rt->heads, entry->key);

    c->groups |= UINT32_C(1) << entry->key % rt->heads->group_count;
    if (slot == CFC_SLOT_NONE || rt->heads->slots[slot].version < entry->mask) {
        return CONFCAST_ERR_GONE;
    }
    out->mask = 1;
    out->part_size = rt->heads->slots[slot].frame_size;
    out->groups = UINT32_C(1) << rt->heads->slots[slot].group;
    return CONFCAST_OK;
}

/* Part n of a content's CONTENT frames is that of its n-th coding. */
static int
resolve_content(struct cfc_repair_tx *rt, const struct cfc_consumer *c,
                const struct cfc_nack_entry *entry, struct target *out)
{
    uint32_t slot = cfc_content_tx_find(rt->contents, entry->key);

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_GONE;
    }
    out->groups = groups_for(&rt->contents->slots[slot], c);
    for (uint64_t bit = 1; slot != CFC_SLOT_NONE; bit <<= 1) {
        const struct cfc_content_slot *s = &rt->contents->slots[slot];

        if (!cfc_content_tx_is_coming(rt->contents, slot, c->groups, entry)) {
            out->mask |= bit;
        }
        if (s->frame_size > out->part_size) {
            out->part_size = s->frame_size;
        }
        slot = s->sibling;
    }
    return CONFCAST_OK;
}

static int
resolve_page(const struct cfc_content_slot *s, const struct cfc_nack_entry *entry,
             struct target *out)
{
    if (entry->level >= s->tree.level_count ||
        entry->index >= s->tree.geometry.page_counts[entry->level]) {
        return CONFCAST_ERR_RANGE;
    }
    out->mask = 1;
    out->part_size =
        CFC_PAGE_HEADER_SIZE +
        (size_t)cfc_tree_page_digests(&s->tree, entry->level, entry->index) * CFC_SHORT_DIGEST_SIZE;
    return CONFCAST_OK;
}

static int
resolve_symbols(const struct cfc_content_slot *s, const struct cfc_nack_entry *entry,
                struct target *out)
{
    uint32_t count;
    uint64_t all;

    if (entry->index >= s->tree.geometry.block_count) {
        return CONFCAST_ERR_RANGE;
    }
    count = cfc_geometry_block_symbols(&s->tree.geometry, &s->content, entry->index);
    all = UINT64_MAX >> (CFC_BLOCK_SYMBOLS_MAX - count);
    if (entry->count > count || (entry->mask & ~all) != 0) {
        return CONFCAST_ERR_RANGE;
    }
    out->mask = entry->mask != 0 ? entry->mask : all;
    out->part_size = CFC_SYMBOL_HEADER_SIZE + (size_t)s->content.symbol_size;
    return CONFCAST_OK;
}

static int
resolve_coding(struct cfc_repair_tx *rt, const struct cfc_consumer *c,
               const struct cfc_nack_entry *entry, struct target *out)
{
    uint32_t slot = cfc_content_tx_find_coding(rt->contents, entry->key, entry->coding);
    const struct cfc_content_slot *s;
    int code;

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_GONE;
    }
    s = &rt->contents->slots[slot];
    out->groups = groups_for(s, c);
    code =
        entry->want == CFC_WANT_PAGE ? resolve_page(s, entry, out) : resolve_symbols(s, entry, out);
    if (code == CONFCAST_OK && cfc_content_tx_is_coming(rt->contents, slot, c->groups, entry)) {
        out->mask = 0;
    }
    return code;
}

static int
resolve_fresh(struct cfc_repair_tx *rt, const struct cfc_nack_entry *entry, struct target *out)
{
    const struct cfc_fresh_slot *page =
        entry->key < CFC_SENDER_SHARDS_MAX
            ? cfc_beacon_tx_find(rt->beacons, (uint32_t)entry->key, entry->mask)
            : NULL;

    if (page == NULL) {
        return CONFCAST_ERR_GONE;
    }
    out->object.index = page->index;
    out->mask = 1;
    out->part_size = page->frame_size;
    out->groups = UINT32_C(1) << rt->beacons->control_group;
    return CONFCAST_OK;
}

static int
resolve(struct cfc_repair_tx *rt, struct cfc_consumer *c, const struct cfc_nack_entry *entry,
        struct target *out)
{
    *out = (struct target){.object = *entry};
    switch (entry->want) {
    case CFC_WANT_HEAD:
        return resolve_head(rt, c, entry, out);
    case CFC_WANT_CONTENT:
        return resolve_content(rt, c, entry, out);
    case CFC_WANT_PAGE:
    case CFC_WANT_SYMBOLS:
        return resolve_coding(rt, c, entry, out);
    case CFC_WANT_FRESH:
        return resolve_fresh(rt, entry, out);
    default:
        return CONFCAST_ERR_RANGE;
    }
}

/* The repair of an object, opened if need be; CFC_SLOT_NONE when there is no room for it. */
static uint32_t
open_repair(struct cfc_repair_tx *rt, uint32_t asker, const struct target *target, uint64_t now_ns)
{
    struct cfc_consumer *c = &rt->roster->consumers[asker];
    uint64_t key = object_key(&target->object);
    uint32_t slot = cfc_key_map_get(&rt->by_object, key);

    if (slot != CFC_KEY_MAP_NONE) {
        return is_object(&rt->repairs[slot], &target->object) ? slot : CFC_SLOT_NONE;
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
    slot = rt->lists[CFC_REPAIR_FREE].head;
    cfc_slot_list_remove(&rt->lists[CFC_REPAIR_FREE], rt->links, slot);
    rt->repairs[slot] = (struct cfc_repair){.state = CFC_REPAIR_GATHERING,
                                            .want = target->object.want,
                                            .level = target->object.level,
                                            .coding = target->object.coding,
                                            .index = target->object.index,
                                            .key = target->object.key,
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
        r->askers[i].mask = 0;
    }
    if (r->state == CFC_REPAIR_UNICAST) {
        begin_sending(rt, slot);
    }
}

/* A quiet repair that lacks something new starts over. */
static void
reopen(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (r->want == CFC_WANT_HEAD && !r->is_multicast) {
        return;
    }
    r->is_multicast = false;
    r->asker_count = 0;
    r->mask = 0;
    r->sent = 0;
    r->groups = 0;
    enter(rt, slot, CFC_REPAIR_GATHERING, now_ns + rt->gather_ns);
}

int
cfc_repair_ask(struct cfc_repair_tx *rt, uint32_t slot, const struct cfc_nack_entry *entry,
               uint64_t now_ns)
{
    struct cfc_consumer *c = &rt->roster->consumers[slot];
    struct cfc_asker *asker;
    struct cfc_repair *r;
    struct target target;
    uint32_t i;
    int code = resolve(rt, c, entry, &target);

    if (code != CONFCAST_OK || target.mask == 0) {
        return code;
    }
    advance(rt, now_ns);
    i = open_repair(rt, slot, &target, now_ns);
    if (i == CFC_SLOT_NONE) {
        return CONFCAST_ERR_LIMIT;
    }
    r = &rt->repairs[i];
    asker = find_asker(r, slot, c->current.id);
    target.mask &= ~(r->sent | r->mask);
    if (asker != NULL) {
        target.mask &= ~asker->mask;
    }
    if (target.mask == 0 || (asker != NULL && r->state == CFC_REPAIR_QUIET)) {
        r->groups |= target.groups;
        return CONFCAST_OK;
    }
    target.mask = charge(c, target.mask, target.part_size, now_ns);
    if (target.mask == 0) {
        return CONFCAST_ERR_LIMIT;
    }
    if (r->state == CFC_REPAIR_QUIET) {
        reopen(rt, i, now_ns);
    }
    r->groups |= target.groups;
    if (asker == NULL && r->asker_count < rt->unicast_askers_max) {
        asker = &r->askers[r->asker_count++];
        *asker = (struct cfc_asker){.slot = slot, .session = c->current.id};
    }
    if (!r->is_multicast && asker != NULL) {
        asker->mask |= target.mask;
    } else if (r->groups != 0) {
        r->mask |= target.mask;
        merge_askers(rt, i);
    } else {
        return CONFCAST_ERR_LIMIT;
    }
    if (r->want == CFC_WANT_HEAD &&
        (r->state == CFC_REPAIR_GATHERING || r->state == CFC_REPAIR_QUIET)) {
        begin_sending(rt, i);
    }
    return CONFCAST_OK;
}

/* Writes one part of a repair's object; false when it is not there any more. */
static bool
write_part(struct cfc_repair_tx *rt, const struct cfc_repair *r, uint32_t part, uint8_t *header,
           size_t capacity, struct cfc_tx *out)
{
    const struct cfc_fresh_slot *page;
    uint32_t slot;

    switch (r->want) {
    case CFC_WANT_HEAD:
        slot = cfc_head_tx_find(rt->heads, r->key);
        if (slot != CFC_SLOT_NONE) {
            cfc_head_tx_write(rt->heads, slot, header, capacity, out);
        }
        return slot != CFC_SLOT_NONE;
    case CFC_WANT_CONTENT:
        slot = cfc_content_tx_find(rt->contents, r->key);
        for (uint32_t i = 0; i < part && slot != CFC_SLOT_NONE; i++) {
            slot = rt->contents->slots[slot].sibling;
        }
        if (slot != CFC_SLOT_NONE) {
            cfc_content_tx_write_content(rt->contents, slot, header, capacity, out);
        }
        return slot != CFC_SLOT_NONE;
    case CFC_WANT_FRESH:
        page = cfc_beacon_tx_page(rt->beacons, (uint32_t)r->key, r->index);
        if (page != NULL) {
            cfc_beacon_tx_write(page, header, capacity, out);
        }
        return page != NULL;
    default:
        break;
    }
    slot = cfc_content_tx_find_coding(rt->contents, r->key, r->coding);
    if (slot == CFC_SLOT_NONE) {
        return false;
    }
    if (r->want == CFC_WANT_PAGE) {
        cfc_content_tx_write_page(rt->contents, slot, r->level, r->index, header, capacity, out);
    } else {
        cfc_content_tx_write_symbol(rt->contents, slot, r->index, part, header, capacity, out);
    }
    return true;
}

/* The asker whose turn it is: the first one that still has a session and lacks something. */
static struct cfc_asker *
next_asker(struct cfc_repair_tx *rt, struct cfc_repair *r)
{
    for (uint32_t i = 0; i < r->asker_count; i++) {
        struct cfc_asker *asker = &r->askers[i];

        if (!cfc_roster_is_session(rt->roster, asker->slot, asker->session)) {
            asker->mask = 0;
        }
        if (asker->mask != 0) {
            return asker;
        }
    }
    return NULL;
}

/* One frame of a repair in UNICAST; false when it had nothing left to send. */
static bool
send_unicast(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns, uint8_t *header,
             size_t capacity, struct cfc_tx *out)
{
    struct cfc_repair *r = &rt->repairs[slot];
    struct cfc_asker *asker = next_asker(rt, r);

    if (asker == NULL ||
        !write_part(rt, r, (uint32_t)__builtin_ctzll(asker->mask), header, capacity, out)) {
        close_repair(rt, slot);
        return false;
    }
    asker->mask &= asker->mask - 1;
    out->is_multicast = false;
    out->to = rt->roster->consumers[asker->slot].current.address;
    rt->stats->repairs_unicast += r->want == CFC_WANT_SYMBOLS;
    if (next_asker(rt, r) == NULL) {
        finish(rt, slot, now_ns);
    } else {
        enter(rt, slot, CFC_REPAIR_UNICAST, CFC_NEVER);
    }
    return true;
}

/* One frame, for one group, of a repair in MULTICAST. */
static bool
send_multicast(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns, uint8_t *header,
               size_t capacity, struct cfc_tx *out)
{
    struct cfc_repair *r = &rt->repairs[slot];

    if (r->mask == 0 ||
        !write_part(rt, r, (uint32_t)__builtin_ctzll(r->mask), header, capacity, out)) {
        close_repair(rt, slot);
        return false;
    }
    out->is_multicast = true;
    out->group = (uint32_t)__builtin_ctz(r->left_groups);
    rt->stats->repairs_multicast += r->want == CFC_WANT_SYMBOLS;
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

int
cfc_repair_poll_urgent(struct cfc_repair_tx *rt, uint64_t now_ns, bool may_multicast,
                       uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    while (may_multicast && !cfc_slot_list_is_empty(&rt->urgent_multicast)) {
        if (send_multicast(rt, rt->urgent_multicast.head, now_ns, header, capacity, out)) {
            return CONFCAST_OK;
        }
    }
    while (!cfc_slot_list_is_empty(&rt->urgent_unicast)) {
        if (send_unicast(rt, rt->urgent_unicast.head, now_ns, header, capacity, out)) {
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_AGAIN;
}

/* Repairs that turn out to be void end here, so the loop is bounded by the table. */
static bool
send_any(struct cfc_repair_tx *rt, uint64_t now_ns, bool may_multicast, uint8_t *header,
         size_t capacity, struct cfc_tx *out)
{
    uint32_t unicast;
    uint32_t multicast;

    for (;;) {
        unicast = rt->lists[CFC_REPAIR_UNICAST].head;
        multicast = may_multicast ? rt->lists[CFC_REPAIR_MULTICAST].head : CFC_SLOT_NONE;
        if (unicast != CFC_SLOT_NONE && (rt->is_unicast_turn || multicast == CFC_SLOT_NONE)) {
            rt->is_unicast_turn = false;
            if (send_unicast(rt, unicast, now_ns, header, capacity, out)) {
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

    if (!cfc_slot_list_is_empty(&rt->urgent_unicast)) {
        return 0;
    }
    if (!cfc_slot_list_is_empty(&rt->urgent_multicast)) {
        deadline_ns = multicast_ns;
    }
    if (!cfc_slot_list_is_empty(&rt->lists[CFC_REPAIR_UNICAST])) {
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
