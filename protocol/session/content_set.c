#include "protocol/session/content_set.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

enum {
    BUCKETS_FIRST = 16,
    BUCKET_LOAD_MAX = 2
};

int
cfc_content_set_init(struct cfc_content_set *set, const struct cfc_alloc *alloc)
{
    memset(set, 0, sizeof(*set));
    set->alloc = *alloc;
    set->buckets = cfc_alloc(alloc, BUCKETS_FIRST * sizeof(struct cfc_entry *));
    if (set->buckets == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(set->buckets, 0, BUCKETS_FIRST * sizeof(struct cfc_entry *));
    set->bucket_count = BUCKETS_FIRST;
    return CONFCAST_OK;
}

static struct cfc_entry **
bucket_of(const struct cfc_content_set *set, uint64_t key)
{
    return &set->buckets[key & (set->bucket_count - 1)];
}

/* Best effort: without memory for more buckets the chains just grow. */
static void
grow(struct cfc_content_set *set)
{
    uint32_t old_count = set->bucket_count;
    struct cfc_entry **old = set->buckets;
    struct cfc_entry **buckets;

    if (set->entry_count < set->bucket_count * BUCKET_LOAD_MAX) {
        return;
    }
    buckets = cfc_alloc(&set->alloc, 2 * old_count * sizeof(struct cfc_entry *));
    if (buckets == NULL) {
        return;
    }
    memset(buckets, 0, 2 * old_count * sizeof(struct cfc_entry *));
    set->buckets = buckets;
    set->bucket_count = 2 * old_count;
    for (uint32_t i = 0; i < old_count; i++) {
        struct cfc_entry *entry = old[i];

        while (entry != NULL) {
            struct cfc_entry *next = entry->next_in_bucket;
            struct cfc_entry **bucket = bucket_of(set, cfc_digest_key(&entry->id));

            entry->next_in_bucket = *bucket;
            *bucket = entry;
            entry = next;
        }
    }
    cfc_free(&set->alloc, old);
}

struct cfc_entry *
cfc_content_set_find_key(const struct cfc_content_set *set, uint64_t key)
{
    struct cfc_entry *entry = *bucket_of(set, key);

    while (entry != NULL && cfc_digest_key(&entry->id) != key) {
        entry = entry->next_in_bucket;
    }
    return entry;
}

struct cfc_entry *
cfc_content_set_next_key(const struct cfc_entry *entry)
{
    uint64_t key = cfc_digest_key(&entry->id);
    struct cfc_entry *next = entry->next_in_bucket;

    while (next != NULL && cfc_digest_key(&next->id) != key) {
        next = next->next_in_bucket;
    }
    return next;
}

struct cfc_entry *
cfc_content_set_find(const struct cfc_content_set *set, const struct cfc_digest *id)
{
    struct cfc_entry *entry = cfc_content_set_find_key(set, cfc_digest_key(id));

    while (entry != NULL && !cfc_digest_equal(&entry->id, id)) {
        entry = cfc_content_set_next_key(entry);
    }
    return entry;
}

enum cfc_need
cfc_entry_need(const struct cfc_entry *entry)
{
    enum cfc_need need = CFC_NEED_TARGET;

    while (need < CFC_NEED_COUNT && entry->refs[need] == 0) {
        need++;
    }
    return need;
}

bool
cfc_entry_is_wanted(const struct cfc_entry *entry)
{
    return cfc_entry_need(entry) < CFC_NEED_KEEP;
}

/* The active list holds what timers have to look at. */
static void
update_active(struct cfc_content_set *set, struct cfc_entry *entry)
{
    bool is_active = (entry->state == CFC_ENTRY_ABSENT && cfc_entry_is_wanted(entry)) ||
                     entry->state == CFC_ENTRY_COLLECTING || entry->state == CFC_ENTRY_COMPLETE;

    if (is_active == entry->is_active) {
        return;
    }
    entry->is_active = is_active;
    if (is_active) {
        entry->active_prev = NULL;
        entry->active_next = set->active;
        if (set->active != NULL) {
            set->active->active_prev = entry;
        }
        set->active = entry;
        return;
    }
    if (entry->active_prev != NULL) {
        entry->active_prev->active_next = entry->active_next;
    } else {
        set->active = entry->active_next;
    }
    if (entry->active_next != NULL) {
        entry->active_next->active_prev = entry->active_prev;
    }
}

void
cfc_content_set_push_event(struct cfc_content_set *set, struct cfc_entry *entry)
{
    if (entry->is_queued) {
        return;
    }
    entry->is_queued = true;
    entry->next_event = NULL;
    if (set->event_last != NULL) {
        set->event_last->next_event = entry;
    } else {
        set->event_first = entry;
    }
    set->event_last = entry;
}

struct cfc_entry *
cfc_content_set_pop_event(struct cfc_content_set *set)
{
    struct cfc_entry *entry = set->event_first;

    if (entry != NULL) {
        set->event_first = entry->next_event;
        if (set->event_first == NULL) {
            set->event_last = NULL;
        }
        entry->is_queued = false;
    }
    return entry;
}

static void
unqueue(struct cfc_content_set *set, struct cfc_entry *entry)
{
    struct cfc_entry *before = NULL;

    if (!entry->is_queued) {
        return;
    }
    for (struct cfc_entry *at = set->event_first; at != entry; at = at->next_event) {
        before = at;
    }
    if (before != NULL) {
        before->next_event = entry->next_event;
    } else {
        set->event_first = entry->next_event;
    }
    if (set->event_last == entry) {
        set->event_last = before;
    }
    entry->is_queued = false;
}

static bool
has_bytes(enum cfc_entry_state state)
{
    return state == CFC_ENTRY_COLLECTING || state == CFC_ENTRY_COMPLETE ||
           state == CFC_ENTRY_DELIVERED;
}

static struct cfc_entry *
make_entry(struct cfc_content_set *set, const struct cfc_digest *id)
{
    struct cfc_entry *entry;
    struct cfc_entry **bucket;

    if (set->entry_count >= CFC_CONTENT_SET_MAX) {
        return NULL;
    }
    entry = cfc_alloc(&set->alloc, sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    memset(entry, 0, sizeof(*entry));
    entry->state = CFC_ENTRY_ABSENT;
    entry->id = *id;
    cfc_ask_stop(&entry->ask);
    grow(set);
    bucket = bucket_of(set, cfc_digest_key(id));
    entry->next_in_bucket = *bucket;
    *bucket = entry;
    set->entry_count++;
    return entry;
}

/* Frees the bytes of an entry, and lets go of the base that they needed. */
static void
drop_bytes(struct cfc_content_set *set, struct cfc_entry *entry)
{
    struct cfc_entry *base = entry->base_entry;

    cfc_content_rx_free(entry->rx);
    entry->rx = NULL;
    cfc_free(&set->alloc, entry->coded);
    entry->coded = NULL;
    cfc_free(&set->alloc, entry->unproved);
    entry->unproved = NULL;
    entry->base_entry = NULL;
    set->used_size -= entry->coded_size;
    entry->coded_size = 0;
    if (base != NULL) {
        cfc_content_set_release(set, base, CFC_NEED_KEEP);
    }
    /* Others may have waited for this room. */
    for (struct cfc_entry *at = set->active; at != NULL; at = at->active_next) {
        at->is_deferred = false;
    }
}

void
cfc_content_set_forget(struct cfc_content_set *set, struct cfc_entry *entry)
{
    struct cfc_entry **at = bucket_of(set, cfc_digest_key(&entry->id));

    assert(cfc_entry_need(entry) == CFC_NEED_COUNT);
    if (has_bytes(entry->state)) {
        drop_bytes(set, entry);
    }
    entry->state = CFC_ENTRY_REFUSED;
    update_active(set, entry);
    unqueue(set, entry);
    while (*at != entry) {
        at = &(*at)->next_in_bucket;
    }
    *at = entry->next_in_bucket;
    set->entry_count--;
    cfc_free(&set->alloc, entry);
}

/* What becomes of an entry that nobody refers to any more. */
static void
settle(struct cfc_content_set *set, struct cfc_entry *entry)
{
    if (cfc_entry_need(entry) < CFC_NEED_COUNT) {
        return;
    }
    if (entry->state == CFC_ENTRY_HELD) {
        cfc_content_set_push_event(set, entry);
    } else if (entry->state != CFC_ENTRY_DELIVERED) {
        cfc_content_set_forget(set, entry);
    }
}

void
cfc_content_set_state(struct cfc_content_set *set, struct cfc_entry *entry,
                      enum cfc_entry_state state)
{
    enum cfc_entry_state before = entry->state;

    entry->state = (uint8_t)state;
    if (has_bytes(before) && !has_bytes(state)) {
        drop_bytes(set, entry);
    }
    if (state != CFC_ENTRY_ABSENT) {
        cfc_ask_stop(&entry->ask);
    }
    update_active(set, entry);
    settle(set, entry);
}

struct cfc_entry *
cfc_content_set_acquire(struct cfc_content_set *set, const struct cfc_digest *id,
                        enum cfc_need need, uint64_t ask_at_ns)
{
    struct cfc_entry *entry = cfc_content_set_find(set, id);

    if (entry == NULL) {
        entry = make_entry(set, id);
    }
    if (entry == NULL) {
        return NULL;
    }
    entry->refs[need]++;
    entry->is_deferred = false; /* it may be more urgent now */
    if (entry->state == CFC_ENTRY_ABSENT && cfc_entry_is_wanted(entry)) {
        cfc_ask_start(&entry->ask, ask_at_ns);
    }
    update_active(set, entry);
    return entry;
}

void
cfc_content_set_release(struct cfc_content_set *set, struct cfc_entry *entry, enum cfc_need need)
{
    assert(entry->refs[need] > 0);
    entry->refs[need]--;
    update_active(set, entry);
    settle(set, entry);
}

int
cfc_content_set_hold(struct cfc_content_set *set, const struct cfc_digest *id)
{
    struct cfc_entry *entry = cfc_content_set_find(set, id);

    if (entry == NULL) {
        if (set->entry_count >= CFC_CONTENT_SET_MAX) {
            return CONFCAST_ERR_LIMIT;
        }
        entry = make_entry(set, id);
        if (entry == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    /* The bytes of DELIVERED are in the owner's hands: its content_done() says the same soon. */
    if (entry->state != CFC_ENTRY_HELD && entry->state != CFC_ENTRY_DELIVERED) {
        entry->is_from_disk = true;
        if (has_bytes(entry->state)) {
            drop_bytes(set, entry);
        }
        entry->state = CFC_ENTRY_HELD;
        cfc_ask_stop(&entry->ask);
        update_active(set, entry);
    }
    return CONFCAST_OK;
}

void
cfc_content_set_free(struct cfc_content_set *set)
{
    for (uint32_t i = 0; i < set->bucket_count; i++) {
        struct cfc_entry *entry = set->buckets[i];

        while (entry != NULL) {
            struct cfc_entry *next = entry->next_in_bucket;

            cfc_content_rx_free(entry->rx);
            cfc_free(&set->alloc, entry->coded);
            cfc_free(&set->alloc, entry->unproved);
            cfc_free(&set->alloc, entry);
            entry = next;
        }
    }
    cfc_free(&set->alloc, set->buckets);
    memset(set, 0, sizeof(*set));
}
