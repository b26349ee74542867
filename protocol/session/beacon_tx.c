#include "protocol/session/beacon_tx.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

void
cfc_beacon_tx_init(struct cfc_beacon_tx *bt, uint32_t control_group, uint64_t replay_ns,
                   const struct cfc_alloc *alloc)
{
    assert(replay_ns > 0);
    memset(bt, 0, sizeof(*bt));
    bt->alloc = *alloc;
    bt->control_group = control_group;
    bt->replay_ns = replay_ns;
}

static void
enqueue(struct cfc_beacon_tx *bt, struct cfc_fresh_slot *page, enum cfc_page_queue queue)
{
    struct cfc_page_list *list = &bt->queues[queue];

    page->queue = queue;
    page->prev = list->tail;
    page->next = NULL;
    if (list->tail == NULL) {
        list->head = page;
    } else {
        list->tail->next = page;
    }
    list->tail = page;
}

static void
dequeue(struct cfc_beacon_tx *bt, struct cfc_fresh_slot *page)
{
    struct cfc_page_list *list = &bt->queues[page->queue];

    if (page->prev == NULL) {
        list->head = page->next;
    } else {
        page->prev->next = page->next;
    }
    if (page->next == NULL) {
        list->tail = page->prev;
    } else {
        page->next->prev = page->prev;
    }
}

static void
drop_pages(struct cfc_beacon_tx *bt, struct cfc_fresh_shard *shard)
{
    for (uint32_t i = 0; i < shard->page_count; i++) {
        if (shard->pages[i]->queue == CFC_PAGES_SWEEP) {
            bt->sweep_count--;
        } else {
            dequeue(bt, shard->pages[i]);
        }
        cfc_free(&bt->alloc, shard->pages[i]);
    }
    shard->page_count = 0;
}

void
cfc_beacon_tx_free(struct cfc_beacon_tx *bt)
{
    for (uint32_t i = 0; i < CFC_SENDER_SHARDS_MAX; i++) {
        drop_pages(bt, &bt->shards[i]);
        cfc_free(&bt->alloc, bt->shards[i].pages);
        cfc_free(&bt->alloc, bt->shards[i].signed_part);
    }
}

/* Where the page with this index stands, or would stand. */
static uint32_t
place_of(const struct cfc_fresh_shard *shard, uint32_t index)
{
    uint32_t low = 0;
    uint32_t high = shard->page_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (shard->pages[middle]->index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Makes room for `count` pages. */
static int
reserve(struct cfc_beacon_tx *bt, struct cfc_fresh_shard *shard, uint32_t count)
{
    struct cfc_fresh_slot **pages;

    if (count <= shard->page_capacity) {
        return CONFCAST_OK;
    }
    pages = cfc_alloc(&bt->alloc, count * sizeof(struct cfc_fresh_slot *));
    if (pages == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (shard->page_count > 0) {
        memcpy(pages, shard->pages, shard->page_count * sizeof(struct cfc_fresh_slot *));
    }
    cfc_free(&bt->alloc, shard->pages);
    shard->pages = pages;
    shard->page_capacity = count;
    return CONFCAST_OK;
}

static struct cfc_fresh_slot *
copy_page(struct cfc_beacon_tx *bt, const struct cfc_frame *frame, const struct cfc_fresh *fresh)
{
    struct cfc_fresh_slot *page = cfc_alloc(&bt->alloc, sizeof(*page) + frame->size);
    struct cfc_fresh_entry first = {.scope_id = 0};

    if (page == NULL) {
        return NULL;
    }
    if (fresh->entry_count > 0) {
        cfc_fresh_entry_at(fresh, 0, &first);
    }
    *page = (struct cfc_fresh_slot){.shard = fresh->shard,
                                    .index = fresh->page_index,
                                    .first_scope = first.scope_id,
                                    .frame_size = frame->size};
    memcpy(page->frame, frame->bytes, frame->size);
    return page;
}

static bool
is_same_period(const struct cfc_fresh_shard *shard, const struct cfc_fresh *fresh)
{
    return shard->signed_part != NULL && shard->signed_size == fresh->signed_size &&
           memcmp(shard->signed_part, fresh->signed_bytes, fresh->signed_size) == 0;
}

/* Forgets the period held and begins the one of `fresh`. */
static int
begin_period(struct cfc_beacon_tx *bt, struct cfc_fresh_shard *shard, const struct cfc_fresh *fresh)
{
    uint8_t *signed_part;

    if (fresh->epoch < shard->epoch ||
        (fresh->epoch == shard->epoch && fresh->sequence < shard->sequence)) {
        return CONFCAST_ERR_ROLLBACK;
    }
    signed_part = cfc_alloc(&bt->alloc, fresh->signed_size);
    if (signed_part == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memcpy(signed_part, fresh->signed_bytes, fresh->signed_size);
    cfc_free(&bt->alloc, shard->signed_part);
    shard->signed_part = signed_part;
    shard->signed_size = fresh->signed_size;
    shard->epoch = fresh->epoch;
    shard->sequence = fresh->sequence;
    drop_pages(bt, shard);
    return CONFCAST_OK;
}

int
cfc_beacon_tx_put(struct cfc_beacon_tx *bt, const struct cfc_frame *frame,
                  const struct cfc_fresh *fresh, bool is_changed)
{
    struct cfc_fresh_shard *shard = &bt->shards[fresh->shard];
    struct cfc_fresh_slot *page;
    uint32_t place;
    int code;

    if (fresh->page_index >= CFC_FRESH_PAGES_MAX || fresh->page_count > CFC_FRESH_PAGES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    code = reserve(bt, shard, fresh->page_count > 0 ? fresh->page_count : 1);
    if (code != CONFCAST_OK) {
        return code;
    }
    page = copy_page(bt, frame, fresh);
    if (page == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (!is_same_period(shard, fresh)) {
        code = begin_period(bt, shard, fresh);
        if (code != CONFCAST_OK) {
            cfc_free(&bt->alloc, page);
            return code;
        }
    }
    place = place_of(shard, fresh->page_index);
    if (place < shard->page_count && shard->pages[place]->index == fresh->page_index) {
        cfc_free(&bt->alloc, page);
        return CONFCAST_OK;
    }
    memmove(shard->pages + place + 1, shard->pages + place,
            (shard->page_count - place) * sizeof(shard->pages[0]));
    shard->pages[place] = page;
    shard->page_count++;
    if (is_changed || shard->page_count == 1) {
        enqueue(bt, page, CFC_PAGES_NEW);
    } else {
        page->queue = CFC_PAGES_SWEEP;
        bt->sweep_count++;
    }
    return CONFCAST_OK;
}

const struct cfc_fresh_slot *
cfc_beacon_tx_find(const struct cfc_beacon_tx *bt, uint32_t shard, uint64_t scope_id)
{
    const struct cfc_fresh_shard *s = &bt->shards[shard];
    uint32_t low = 0;
    uint32_t high = s->page_count;

    if (s->page_count == 0) {
        return NULL;
    }
    /* The last page that begins at or below the scope; the first one when none does. */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (s->pages[middle]->first_scope <= scope_id) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return s->pages[low];
}

const struct cfc_fresh_slot *
cfc_beacon_tx_page(const struct cfc_beacon_tx *bt, uint32_t shard, uint32_t index)
{
    const struct cfc_fresh_shard *s = &bt->shards[shard];
    uint32_t place = place_of(s, index);

    return place < s->page_count && s->pages[place]->index == index ? s->pages[place] : NULL;
}

void
cfc_beacon_tx_write(const struct cfc_fresh_slot *page, uint8_t *header, size_t capacity,
                    struct cfc_tx *out)
{
    assert(capacity >= page->frame_size);
    memcpy(header, page->frame, page->frame_size);
    out->header_size = page->frame_size;
    out->payload = NULL;
    out->payload_size = 0;
    out->slot = CFC_SENDER_NO_SLOT;
}

static void
fill(const struct cfc_beacon_tx *bt, const struct cfc_fresh_slot *page, uint8_t *header,
     size_t capacity, struct cfc_tx *out)
{
    cfc_beacon_tx_write(page, header, capacity, out);
    out->is_multicast = true;
    out->kind = CFC_TX_FRESH;
    out->group = bt->control_group;
}

int
cfc_beacon_tx_poll(struct cfc_beacon_tx *bt, uint64_t now_ns, uint8_t *header, size_t capacity,
                   struct cfc_tx *out)
{
    struct cfc_fresh_slot *page = bt->queues[CFC_PAGES_NEW].head;

    if (page == NULL) {
        page = bt->queues[CFC_PAGES_REPLAY].head;
        if (page == NULL || page->due_ns > now_ns) {
            return CONFCAST_ERR_AGAIN;
        }
    }
    fill(bt, page, header, capacity, out);
    dequeue(bt, page);
    page->due_ns = now_ns + bt->replay_ns;
    enqueue(bt, page, CFC_PAGES_REPLAY);
    return CONFCAST_OK;
}

uint64_t
cfc_beacon_tx_deadline(const struct cfc_beacon_tx *bt)
{
    if (bt->queues[CFC_PAGES_NEW].head != NULL) {
        return 0;
    }
    return bt->queues[CFC_PAGES_REPLAY].head != NULL ? bt->queues[CFC_PAGES_REPLAY].head->due_ns
                                                     : CFC_NEVER;
}

/* The page whose turn it is; sweep_count is not 0. */
static const struct cfc_fresh_slot *
next_of_sweep(struct cfc_beacon_tx *bt)
{
    for (;;) {
        const struct cfc_fresh_shard *shard = &bt->shards[bt->sweep_shard];

        for (uint32_t i = place_of(shard, bt->sweep_index); i < shard->page_count; i++) {
            if (shard->pages[i]->queue == CFC_PAGES_SWEEP) {
                bt->sweep_index = shard->pages[i]->index + 1;
                return shard->pages[i];
            }
        }
        bt->sweep_index = 0;
        bt->sweep_shard = (bt->sweep_shard + 1) % CFC_SENDER_SHARDS_MAX;
    }
}

uint64_t
cfc_beacon_tx_sweep_deadline(const struct cfc_beacon_tx *bt)
{
    return bt->sweep_count > 0 ? bt->swept_ns + CFC_SWEEP_PERIODS * bt->replay_ns / bt->sweep_count
                               : CFC_NEVER;
}

int
cfc_beacon_tx_poll_sweep(struct cfc_beacon_tx *bt, uint64_t now_ns, uint64_t late_ns,
                         uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    uint64_t due_ns = cfc_beacon_tx_sweep_deadline(bt);

    if (bt->sweep_count == 0 || now_ns < due_ns || now_ns - due_ns < late_ns) {
        return CONFCAST_ERR_AGAIN;
    }
    bt->swept_ns = now_ns;
    fill(bt, next_of_sweep(bt), header, capacity, out);
    return CONFCAST_OK;
}
