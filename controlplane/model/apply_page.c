/* Where apply states lie: pages of 32 places in memory, each of them one record of the store.
 *
 *   q/NUMBER(8)  a page: u8 format, then per state in it u8 place, u8 flags (1 = stale, 2 = takes
 * deltas), u8 id size, id, u16 labels size, labels (with the consumer's first state only), u64 last
 * seen, u64 scope id, u64 incarnation, u64 report seq, u64 highest applied, and the fields of its
 * report entry u/SCOPE      what is published: u8 format, u64 version, u64 time, then (u64 version,
 * u64 time) of the versions that are told apart among those who lag, oldest first */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "confcast/error.h"
#include "controlplane/model/apply_table.h"
#include "controlplane/model/record.h"
#include "protocol/base/cursor.h"
#include "protocol/base/scope.h"

enum {
    PAGE_FORMAT = 1,
    PUBLISHED_FORMAT = 1,
    FLAG_STALE = 1u << 0,
    FLAG_DELTAS = 1u << 1,
    STATE_SIZE_MAX = 3 + CFC_CONSUMER_ID_SIZE_MAX + 2 + CFC_LABELS_TEXT_MAX + 6 * 8 + 5 * 8 + 8,
    PAGE_SIZE_MAX = 1 + CFC_APPLY_PAGE_COUNT * STATE_SIZE_MAX,
    PUBLISHED_SIZE_MAX = 1 + 16 + 16 * CFC_APPLY_LACK_COUNT_MAX,
    KEY_ROOM = 32,
    PAGE_NUMBER_MAX = 1 << 26,
    PUBLISHED_FLUSH_MAX = CFC_STORE_BATCH_OPS_MAX / 4
};

_Static_assert(CFC_APPLY_PAGE_COUNT == 32, "places are the bits of a u32");

static struct cfc_apply_page *
page_of(struct cfc_apply_entry *state)
{
    struct cfc_apply_entry *first = state - state->place;

    return (struct cfc_apply_page *)((char *)first - offsetof(struct cfc_apply_page, entries));
}

/* Makes `number` a page; NULL without memory. */
static struct cfc_apply_page *
make_page(struct cfc_apply_table *table, size_t number)
{
    struct cfc_apply_page *page;

    if (number >= table->page_capacity) {
        size_t capacity = number < 32 ? 64 : number * 2;
        struct cfc_apply_page **pages = realloc(table->pages, capacity * sizeof(page));

        if (pages == NULL) {
            return NULL;
        }
        memset(pages + table->page_capacity, 0, (capacity - table->page_capacity) * sizeof(page));
        table->pages = pages;
        table->page_capacity = capacity;
    }
    page = calloc(1, sizeof(*page));
    if (page == NULL) {
        return NULL;
    }
    page->number = number;
    for (uint8_t i = 0; i < CFC_APPLY_PAGE_COUNT; i++) {
        page->entries[i].place = i;
    }
    page->is_roomy = true;
    DL_PREPEND2(table->roomy, page, prev_roomy, next_roomy);
    table->pages[number] = page;
    if (number >= table->page_count) {
        table->page_count = number + 1;
    }
    return page;
}

static void
use_place(struct cfc_apply_table *table, struct cfc_apply_page *page, uint32_t place)
{
    page->used |= UINT32_C(1) << place;
    if (page->used == UINT32_MAX) {
        page->is_roomy = false;
        DL_DELETE2(table->roomy, page, prev_roomy, next_roomy);
    }
}

struct cfc_apply_entry *
cfc_apply_place_take(struct cfc_apply_table *table)
{
    struct cfc_apply_page *page = table->roomy;
    uint32_t place = 0;

    if (page == NULL) {
        page = make_page(table, table->page_count);
    }
    if (page == NULL) {
        return NULL;
    }
    while ((page->used & UINT32_C(1) << place) != 0) {
        place++;
    }
    use_place(table, page, place);
    return &page->entries[place];
}

static void
mark_page(struct cfc_apply_table *table, struct cfc_apply_page *page)
{
    if (page->is_dirty) {
        return;
    }
    page->is_dirty = true;
    page->next_dirty = NULL;
    if (table->dirty_last != NULL) {
        table->dirty_last->next_dirty = page;
    } else {
        table->dirty = page;
    }
    table->dirty_last = page;
    table->dirty_count++;
}

void
cfc_apply_mark_dirty(struct cfc_apply_table *table, struct cfc_apply_entry *state)
{
    mark_page(table, page_of(state));
}

void
cfc_apply_mark_published(struct cfc_apply_table *table, struct cfc_scope *scope)
{
    if (!scope->apply.is_dirty) {
        scope->apply.is_dirty = true;
        LL_PREPEND2(table->published, scope, apply.next_dirty);
    }
}

void
cfc_apply_place_free(struct cfc_apply_table *table, struct cfc_apply_entry *state)
{
    struct cfc_apply_page *page = page_of(state);
    uint8_t place = state->place;

    memset(state, 0, sizeof(*state));
    state->place = place;
    page->used &= ~(UINT32_C(1) << place);
    if (!page->is_roomy) {
        page->is_roomy = true;
        DL_PREPEND2(table->roomy, page, prev_roomy, next_roomy);
    }
    mark_page(table, page);
}

void
cfc_apply_pages_free(struct cfc_apply_table *table)
{
    for (size_t i = 0; i < table->page_count; i++) {
        free(table->pages[i]);
    }
    free(table->pages);
}

/* ---- Writing ----------------------------------------------------------------------------------
 */

static void
write_state(struct cfc_writer *w, const struct cfc_apply_entry *state)
{
    const struct cfc_apply_consumer *consumer = state->consumer;
    const char *labels =
        consumer->labels != NULL && consumer->states == state ? consumer->labels->text : "";

    cfc_write_u8(w, state->place);
    cfc_write_u8(w, (consumer->is_stale ? FLAG_STALE : 0) |
                        (consumer->takes_deltas ? FLAG_DELTAS : 0));
    cfc_write_u8(w, consumer->id_size);
    cfc_write_bytes(w, consumer->id, consumer->id_size);
    cfc_write_u16(w, (uint16_t)strlen(labels));
    cfc_write_bytes(w, labels, strlen(labels));
    cfc_write_u64(w, consumer->seen_unix_ns);
    cfc_write_u64(w, state->scope->id);
    cfc_write_u64(w, state->incarnation);
    cfc_write_u64(w, state->report_seq);
    cfc_write_u64(w, state->highest_applied);
    cfc_write_u64(w, state->good);
    cfc_write_u64(w, state->entry.epoch);
    cfc_write_u64(w, state->entry.accepted);
    cfc_write_u64(w, state->entry.serving_version);
    cfc_write_u64(w, state->entry.durable);
    cfc_write_u64(w, state->entry.serving_content);
    cfc_write_u8(w, state->entry.state);
    cfc_write_u8(w, state->entry.arm);
    cfc_write_u16(w, state->entry.reason);
    cfc_write_u32(w, state->entry.flags);
}

static void
put_page(struct cfc_store_batch *batch, const struct cfc_apply_page *page)
{
    struct cfc_record_key key = cfc_record_key_number('q', page->number);
    uint8_t bytes[PAGE_SIZE_MAX];
    struct cfc_writer w = cfc_writer_of(bytes, sizeof(bytes));

    if (page->used == 0) {
        cfc_store_delete(batch, key.bytes, key.size);
        return;
    }
    cfc_write_u8(&w, PAGE_FORMAT);
    for (uint32_t i = 0; i < CFC_APPLY_PAGE_COUNT; i++) {
        if ((page->used & UINT32_C(1) << i) != 0) {
            write_state(&w, &page->entries[i]);
        }
    }
    cfc_store_put(batch, key.bytes, key.size, bytes, cfc_writer_size(&w));
}

static void
put_published(struct cfc_store_batch *batch, const struct cfc_scope *scope)
{
    struct cfc_record_key key = cfc_record_key_named('u', scope->path);
    const struct cfc_apply_detail *detail = scope->apply.detail;
    uint8_t bytes[PUBLISHED_SIZE_MAX];
    struct cfc_writer w = cfc_writer_of(bytes, sizeof(bytes));

    cfc_write_u8(&w, PUBLISHED_FORMAT);
    cfc_write_u64(&w, scope->apply.counts.published);
    cfc_write_u64(&w, scope->apply.counts.published_unix_ns);
    for (uint32_t i = 0; detail != NULL && i < detail->lack_count; i++) {
        cfc_write_u64(&w, detail->lacks[i].version);
        cfc_write_u64(&w, detail->lacks[i].unix_ns);
    }
    cfc_store_put(batch, key.bytes, key.size, bytes, cfc_writer_size(&w));
}

/* What went into a batch is not due any more. */
static void
settle(struct cfc_apply_table *table, size_t scope_count, size_t page_count)
{
    for (; scope_count > 0; scope_count--) {
        table->published->apply.is_dirty = false;
        table->published = table->published->apply.next_dirty;
    }
    for (; page_count > 0; page_count--) {
        table->dirty->is_dirty = false;
        table->dirty = table->dirty->next_dirty;
        table->dirty_count--;
    }
    if (table->dirty == NULL) {
        table->dirty_last = NULL;
    }
}

int
cfc_apply_table_flush(struct cfc_apply_table *table, struct cfc_store *store, uint64_t *seq,
                      bool *is_done)
{
    const struct cfc_scope *scope = table->published;
    const struct cfc_apply_page *page = table->dirty;
    struct cfc_store_batch batch;
    size_t scope_count = 0;
    size_t page_count = 0;
    int error = CONFCAST_OK;

    cfc_store_batch_init(&batch);
    for (; scope != NULL && scope_count < PUBLISHED_FLUSH_MAX; scope = scope->apply.next_dirty) {
        put_published(&batch, scope);
        scope_count++;
    }
    for (; page != NULL && batch.op_count < CFC_STORE_BATCH_OPS_MAX &&
           batch.size + KEY_ROOM + PAGE_SIZE_MAX <= CFC_STORE_BATCH_SIZE_MAX;
         page = page->next_dirty) {
        put_page(&batch, page);
        page_count++;
    }
    if (scope_count + page_count > 0) {
        error = cfc_store_stage(store, &batch, seq);
    }
    cfc_store_batch_clear(&batch);
    if (error == CONFCAST_OK) {
        settle(table, scope_count, page_count);
    }
    *is_done = table->dirty == NULL && table->published == NULL;
    return error;
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

struct load {
    struct cfc_apply_table *table;
    struct cfc_catalog *catalog;
};

static int
load_published(void *arg, const struct cfc_store_item *item)
{
    const struct load *load = arg;
    char path[CFC_SCOPE_SIZE_MAX + 1];
    size_t size = item->key_size - 2;
    struct cfc_reader r = cfc_reader_of(item->value, item->value_size);
    struct cfc_scope *scope;
    struct cfc_apply_detail *detail;

    if (item->key_size < 3 || size > CFC_SCOPE_SIZE_MAX || cfc_read_u8(&r) != PUBLISHED_FORMAT) {
        return CONFCAST_ERR_CORRUPT;
    }
    memcpy(path, item->key + 2, size);
    path[size] = '\0';
    scope = cfc_catalog_find_known(load->catalog, path);
    if (scope == NULL) {
        return CONFCAST_ERR_CORRUPT;
    }
    detail = calloc(1, sizeof(*detail));
    if (detail == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    scope->apply.counts.published = cfc_read_u64(&r);
    scope->apply.counts.published_unix_ns = cfc_read_u64(&r);
    while (!r.has_failed && cfc_reader_left(&r) > 0 &&
           detail->lack_count < CFC_APPLY_LACK_COUNT_MAX) {
        struct cfc_apply_lack *lack = &detail->lacks[detail->lack_count++];

        lack->version = cfc_read_u64(&r);
        lack->unix_ns = cfc_read_u64(&r);
    }
    if (r.has_failed || cfc_reader_left(&r) > 0) {
        free(detail);
        return CONFCAST_ERR_CORRUPT;
    }
    if (detail->lack_count == 0) {
        free(detail); /* Nobody followed it: the first consumer makes one. */
    } else {
        scope->apply.detail = detail;
    }
    return CONFCAST_OK;
}

static bool
read_text(struct cfc_reader *r, size_t size, size_t size_max, const char **text)
{
    if (size > size_max || cfc_reader_left(r) < size) {
        return false;
    }
    *text = (const char *)r->p;
    r->p += size;
    return true;
}

/* One state of a page, up to its place; false: damaged. */
static bool
read_state(struct cfc_reader *r, struct cfc_apply_restored *read, uint64_t *scope_id,
           struct cfc_apply_entry *state)
{
    const char *labels = NULL;
    size_t labels_size;
    uint8_t flags = cfc_read_u8(r);

    read->is_stale = (flags & FLAG_STALE) != 0;
    read->takes_deltas = (flags & FLAG_DELTAS) != 0;
    read->id_size = cfc_read_u8(r);
    if (!read_text(r, read->id_size, CFC_CONSUMER_ID_SIZE_MAX, &read->id) ||
        cfc_consumer_id_check(read->id, read->id_size) != CONFCAST_OK) {
        return false;
    }
    labels_size = cfc_read_u16(r);
    if (!read_text(r, labels_size, CFC_LABELS_TEXT_MAX, &labels)) {
        return false;
    }
    memcpy(read->labels, labels, labels_size);
    read->labels[labels_size] = '\0';
    read->seen_unix_ns = cfc_read_u64(r);
    *scope_id = cfc_read_u64(r);
    state->incarnation = cfc_read_u64(r);
    state->report_seq = cfc_read_u64(r);
    state->highest_applied = cfc_read_u64(r);
    state->good = cfc_read_u64(r);
    state->entry.scope_id = *scope_id;
    state->entry.epoch = cfc_read_u64(r);
    state->entry.accepted = cfc_read_u64(r);
    state->entry.serving_version = cfc_read_u64(r);
    state->entry.durable = cfc_read_u64(r);
    state->entry.serving_content = cfc_read_u64(r);
    state->entry.state = cfc_read_u8(r);
    state->entry.arm = cfc_read_u8(r);
    state->entry.reason = cfc_read_u16(r);
    state->entry.flags = cfc_read_u32(r);
    return !r->has_failed && state->entry.arm < CFC_ARM_COUNT_MAX &&
           state->entry.state <= CFC_APPLY_DEGRADED && state->good <= state->entry.accepted;
}

static int
load_state(const struct load *load, struct cfc_apply_page *page, struct cfc_reader *r)
{
    struct cfc_apply_restored read = {.id = NULL};
    struct cfc_apply_entry state = {.place = cfc_read_u8(r)};
    struct cfc_scope *scope;
    uint64_t scope_id = 0;
    int error;

    if (state.place >= CFC_APPLY_PAGE_COUNT || (page->used & UINT32_C(1) << state.place) != 0 ||
        !read_state(r, &read, &scope_id, &state)) {
        return CONFCAST_ERR_CORRUPT;
    }
    scope = cfc_catalog_find_id(load->catalog, scope_id);
    if (scope == NULL) {
        return CONFCAST_ERR_CORRUPT;
    }
    page->entries[state.place] = state;
    use_place(load->table, page, state.place);
    error = cfc_apply_table_restore(load->table, &read, scope, &page->entries[state.place]);
    if (error != CONFCAST_OK) {
        cfc_apply_place_free(load->table, &page->entries[state.place]);
    }
    /* It moved to another page, and this one was not written any more. */
    return error == CONFCAST_ERR_EXISTS ? CONFCAST_OK : error;
}

static int
load_page(void *arg, const struct cfc_store_item *item)
{
    const struct load *load = arg;
    struct cfc_reader r = cfc_reader_of(item->value, item->value_size);
    struct cfc_apply_page *page;
    uint64_t number;
    int error = CONFCAST_OK;

    if (item->key_size != 2 + 8 || cfc_read_u8(&r) != PAGE_FORMAT) {
        return CONFCAST_ERR_CORRUPT;
    }
    number = cfc_be64_get(item->key + 2);
    if (number > PAGE_NUMBER_MAX ||
        (number < load->table->page_count && load->table->pages[number] != NULL)) {
        return CONFCAST_ERR_CORRUPT;
    }
    page = make_page(load->table, (size_t)number);
    if (page == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    while (error == CONFCAST_OK && cfc_reader_left(&r) > 0) {
        error = load_state(load, page, &r);
    }
    return error;
}

static int
compare_seen(const struct cfc_apply_consumer *a, const struct cfc_apply_consumer *b)
{
    return (a->seen_unix_ns > b->seen_unix_ns) - (a->seen_unix_ns < b->seen_unix_ns);
}

int
cfc_apply_table_load(struct cfc_apply_table *table, struct cfc_catalog *catalog,
                     struct cfc_store *store)
{
    struct load load = {.table = table, .catalog = catalog};
    int error;

    if (table->is_loaded) {
        /* The disk failed: what was handed to it last may not be there. */
        for (size_t i = 0; i < table->page_count; i++) {
            if (table->pages[i] != NULL) {
                mark_page(table, table->pages[i]);
            }
        }
        return CONFCAST_OK;
    }
    error = cfc_store_scan(store, "u/", 2, NULL, 0, load_published, &load);
    if (error == CONFCAST_OK) {
        error = cfc_store_scan(store, "q/", 2, NULL, 0, load_page, &load);
    }
    DL_SORT(table->stale, compare_seen);
    table->is_loaded = error == CONFCAST_OK;
    return error;
}
