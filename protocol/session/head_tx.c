#include "protocol/session/head_tx.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/content_tx.h"

enum {
    FIRST_OF_FEW = 1, /* repeat */
    FIRST_OF_MANY = 5
};

/* When a sending comes after the one before it, and whether it has what rides in the head or is the
 * decision alone.  Each has a list of its own, in which times rise. */
static const struct {
    uint64_t spacing_ns;
    uint32_t frames; /* or after so many, when these take less; 0: never */
    bool is_whole;
} sendings[CFC_HEAD_SENDINGS] = {
    {0, 0, true},
    {300 * CFC_US, 0, true},
    {9700 * CFC_US, 0, true},
    {40 * CFC_MS, 0, false},
    {200 * CFC_MS, 0, false},
    {300 * CFC_US, CFC_REMINDER_FIRST, true},
    {700 * CFC_US, CFC_REMINDER_SECOND - CFC_REMINDER_FIRST, true},
    {1500 * CFC_US, CFC_REMINDER_THIRD - CFC_REMINDER_SECOND, true},
    {7500 * CFC_US, 0, true},
    {40 * CFC_MS, 0, false},
    {200 * CFC_MS, 0, false},
};

int
cfc_head_tx_init(struct cfc_head_tx *ht, uint32_t slot_count, uint32_t group_count,
                 uint64_t frame_ns, struct cfc_sha256 *sha, uint64_t seed,
                 const struct cfc_alloc *alloc)
{
    *ht = (struct cfc_head_tx){.alloc = *alloc,
                               .sha = sha,
                               .slot_count = slot_count,
                               .group_count = group_count,
                               .frame_ns = frame_ns};
    ht->slots = cfc_alloc(alloc, slot_count * sizeof(ht->slots[0]));
    ht->links = cfc_alloc(alloc, slot_count * sizeof(ht->links[0]));
    cfc_slot_list_init(&ht->free);
    cfc_slot_list_init(&ht->stops);
    for (uint32_t i = 0; i < CFC_HEAD_SENDINGS; i++) {
        cfc_slot_list_init(&ht->due[i]);
    }
    if (ht->slots == NULL || ht->links == NULL) {
        ht->slot_count = 0;
        return CONFCAST_ERR_NO_MEMORY;
    }
    return cfc_key_map_init(&ht->by_scope, slot_count, seed, alloc);
}

void
cfc_head_tx_free(struct cfc_head_tx *ht)
{
    for (uint32_t i = 0; i < ht->used_count; i++) {
        cfc_free(&ht->alloc, ht->slots[i].frame);
    }
    cfc_free(&ht->alloc, ht->slots);
    cfc_free(&ht->alloc, ht->links);
    cfc_key_map_free(&ht->by_scope, &ht->alloc);
}

uint32_t
cfc_head_tx_find(const struct cfc_head_tx *ht, uint64_t scope_id)
{
    return cfc_key_map_get(&ht->by_scope, scope_id);
}

/* The list that a scheduled slot stands in. */
static struct cfc_slot_list *
list_of(struct cfc_head_tx *ht, const struct cfc_head_slot *s)
{
    return s->sending == 0 && s->is_stop ? &ht->stops : &ht->due[s->sending];
}

static void
unschedule(struct cfc_head_tx *ht, uint32_t slot)
{
    struct cfc_head_slot *s = &ht->slots[slot];

    if (s->sending != CFC_HEAD_RESTING) {
        cfc_slot_list_remove(list_of(ht, s), ht->links, slot);
    }
    s->sending = CFC_HEAD_RESTING;
}

static void
schedule(struct cfc_head_tx *ht, uint32_t slot, uint32_t sending, uint64_t due_ns)
{
    struct cfc_head_slot *s = &ht->slots[slot];

    unschedule(ht, slot);
    s->sending = sending;
    s->due_ns = due_ns;
    if (sending != CFC_HEAD_RESTING) {
        cfc_slot_list_push(list_of(ht, s), ht->links, slot);
    }
}

/* Whether `head` may follow what is held.  EXISTS: it is the same frame. */
static int
check_follows(const struct cfc_head_tx *ht, const struct cfc_head_slot *held,
              const struct cfc_frame *frame, const struct cfc_head *head)
{
    struct cfc_frame old_frame;
    struct cfc_head old;
    int code;

    if (head->epoch < held->epoch ||
        (head->epoch == held->epoch && head->version < held->version)) {
        return CONFCAST_ERR_ROLLBACK;
    }
    if (head->epoch > held->epoch || head->version > held->version) {
        return CONFCAST_OK;
    }
    if (frame->size == held->frame_size &&
        memcmp(frame->bytes, held->frame, held->frame_size) == 0) {
        return CONFCAST_ERR_EXISTS;
    }
    code = cfc_frame_open(held->frame, held->frame_size, &old_frame);
    if (code == CONFCAST_OK) {
        code = cfc_head_decode(&old_frame, ht->sha, &old);
    }
    assert(code == CONFCAST_OK);
    return cfc_head_same_decision(&old, head) ? CONFCAST_OK : CONFCAST_ERR_EQUIVOCATION;
}

int
cfc_head_tx_put(struct cfc_head_tx *ht, const struct cfc_frame *frame, const struct cfc_head *head,
                uint32_t fleet_size, bool is_news, uint64_t now_ns)
{
    uint32_t slot = cfc_head_tx_find(ht, frame->key);
    struct cfc_head_slot *s;
    uint8_t *copy;

    if (slot != CFC_SLOT_NONE) {
        int code = check_follows(ht, &ht->slots[slot], frame, head);

        if (code != CONFCAST_OK) {
            return code == CONFCAST_ERR_EXISTS ? CONFCAST_OK : code;
        }
    } else if (cfc_slot_list_is_empty(&ht->free) && ht->used_count == ht->slot_count) {
        return CONFCAST_ERR_LIMIT;
    }
    copy = cfc_alloc(&ht->alloc, frame->size);
    if (copy == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memcpy(copy, frame->bytes, frame->size);
    if (slot == CFC_SLOT_NONE) {
        slot = cfc_slot_list_is_empty(&ht->free) ? ht->used_count++
                                                 : cfc_slot_list_pop(&ht->free, ht->links);
        ht->slots[slot] = (struct cfc_head_slot){.sending = CFC_HEAD_RESTING};
        cfc_key_map_put(&ht->by_scope, frame->key, slot);
    }
    s = &ht->slots[slot];
    cfc_free(&ht->alloc, s->frame);
    s->frame = copy;
    s->frame_size = frame->size;
    s->scope_id = frame->key;
    s->epoch = head->epoch;
    s->version = head->version;
    s->group = (uint32_t)(frame->key % ht->group_count);
    s->news_ns = is_news ? now_ns : 0;
    s->holders = 0;
    unschedule(ht, slot);
    s->is_stop = head->kind != CFC_HEAD_NORMAL;
    s->is_for_many =
        !s->is_stop && !head->inlined.is_present && fleet_size > CFC_HEAD_FOLLOWERS_MAX;
    schedule(ht, slot, 0, now_ns);
    return CONFCAST_OK;
}

/* Whether a report says what became of the version of `s`, so that its head is needed no more. */
static bool
is_settled(const struct cfc_head_slot *s, const struct cfc_report_entry *entry)
{
    return entry->epoch == s->epoch && entry->accepted >= s->version &&
           entry->state != CFC_APPLY_NONE && entry->state != CFC_APPLY_RECEIVING;
}

static void
note_follower(struct cfc_head_tx *ht, uint32_t slot, uint32_t consumer,
              const struct cfc_report_entry *entry)
{
    struct cfc_head_slot *s = &ht->slots[slot];
    uint64_t bit;

    if (consumer >= CFC_HEAD_FOLLOWERS_MAX) {
        s->has_many = true;
        return;
    }
    bit = UINT64_C(1) << consumer;
    s->followers |= bit;
    s->holders = is_settled(s, entry) ? s->holders | bit : s->holders & ~bit;
    if (s->sending > 0 && !s->has_many && s->holders == s->followers) {
        unschedule(ht, slot);
    }
}

uint64_t
cfc_head_tx_note_report(struct cfc_head_tx *ht, uint32_t consumer,
                        const struct cfc_report_entry *entry, uint64_t now_ns)
{
    uint32_t slot = cfc_head_tx_find(ht, entry->scope_id);
    uint64_t since_ns;

    if (slot == CFC_SLOT_NONE) {
        return 0;
    }
    note_follower(ht, slot, consumer, entry);
    if (ht->slots[slot].news_ns == 0 || ht->slots[slot].epoch != entry->epoch ||
        ht->slots[slot].version != entry->serving_version) {
        return 0;
    }
    since_ns = ht->slots[slot].news_ns;
    ht->slots[slot].news_ns = 0;
    return now_ns > since_ns ? now_ns - since_ns : 1;
}

int
cfc_head_tx_drop(struct cfc_head_tx *ht, uint64_t scope_id)
{
    uint32_t slot = cfc_head_tx_find(ht, scope_id);

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    schedule(ht, slot, CFC_HEAD_RESTING, 0);
    cfc_key_map_remove(&ht->by_scope, scope_id);
    cfc_free(&ht->alloc, ht->slots[slot].frame);
    ht->slots[slot] = (struct cfc_head_slot){.frame = NULL};
    cfc_slot_list_push(&ht->free, ht->links, slot);
    return CONFCAST_OK;
}

void
cfc_head_tx_write(const struct cfc_head_tx *ht, uint32_t slot, uint8_t *header, size_t capacity,
                  struct cfc_tx *out)
{
    const struct cfc_head_slot *s = &ht->slots[slot];

    assert(capacity >= s->frame_size);
    memcpy(header, s->frame, s->frame_size);
    out->header_size = s->frame_size;
    out->payload = NULL;
    out->payload_size = 0;
    out->slot = CFC_SENDER_NO_SLOT;
}

/* Leaves out what rides in a head: who needs it still asks. */
static void
cut_unsigned(uint8_t *header, struct cfc_tx *out)
{
    size_t size = CFC_FRAME_HEADER_SIZE + (size_t)cfc_get_u16(header + CFC_FRAME_HEADER_SIZE) +
                  CFC_SIGNATURE_SIZE;

    assert(size <= out->header_size); /* it was decoded once */
    cfc_put_u16(header + 4, (uint16_t)size);
    out->header_size = size;
}

/* The sending after one, or CFC_HEAD_RESTING. */
static uint32_t
next_sending(const struct cfc_head_slot *s)
{
    if (s->sending == 0) {
        return s->is_for_many ? FIRST_OF_MANY : FIRST_OF_FEW;
    }
    return s->sending + 1 == FIRST_OF_MANY ? CFC_HEAD_RESTING : s->sending + 1;
}

static uint64_t
spacing(const struct cfc_head_tx *ht, uint32_t sending)
{
    uint64_t frames_ns = sendings[sending].frames * ht->frame_ns;

    return frames_ns > 0 && frames_ns < sendings[sending].spacing_ns ? frames_ns
                                                                     : sendings[sending].spacing_ns;
}

/* Sends one that is due. */
static void
send(struct cfc_head_tx *ht, uint32_t slot, uint64_t now_ns, uint8_t *header, size_t capacity,
     struct cfc_tx *out)
{
    const struct cfc_head_slot *s = &ht->slots[slot];
    uint32_t next = next_sending(s);

    cfc_head_tx_write(ht, slot, header, capacity, out);
    if (!sendings[s->sending].is_whole) {
        cut_unsigned(header, out);
    }
    out->is_multicast = true;
    out->group = s->group;
    out->pass_since_ns = s->sending == 0 ? s->news_ns : 0;
    out->kind = CFC_TX_HEAD;
    schedule(ht, slot, next, next < CFC_HEAD_SENDINGS ? now_ns + spacing(ht, next) : CFC_NEVER);
}

int
cfc_head_tx_poll_stop(struct cfc_head_tx *ht, uint64_t now_ns, uint8_t *header, size_t capacity,
                      struct cfc_tx *out)
{
    uint32_t slot = ht->stops.head;

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_AGAIN;
    }
    send(ht, slot, now_ns, header, capacity, out);
    return CONFCAST_OK;
}

int
cfc_head_tx_poll(struct cfc_head_tx *ht, uint64_t now_ns, uint8_t *header, size_t capacity,
                 struct cfc_tx *out)
{
    for (uint32_t sending = 0; sending < CFC_HEAD_SENDINGS; sending++) {
        uint32_t slot = ht->due[sending].head;

        if (slot != CFC_SLOT_NONE && ht->slots[slot].due_ns <= now_ns) {
            send(ht, slot, now_ns, header, capacity, out);
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_AGAIN;
}

uint64_t
cfc_head_tx_deadline(const struct cfc_head_tx *ht)
{
    uint64_t deadline_ns = ht->stops.head != CFC_SLOT_NONE ? 0 : CFC_NEVER;

    for (uint32_t sending = 0; sending < CFC_HEAD_SENDINGS; sending++) {
        uint32_t slot = ht->due[sending].head;

        if (slot != CFC_SLOT_NONE && ht->slots[slot].due_ns < deadline_ns) {
            deadline_ns = ht->slots[slot].due_ns;
        }
    }
    return deadline_ns;
}
