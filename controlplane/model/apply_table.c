#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(obj) (is_out_of_memory = true)

#include "controlplane/model/apply_table.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "confcast/error.h"
#include "controlplane/model/record.h"
#include "protocol/base/cursor.h"
#include "protocol/base/scope.h"

enum {
    COUNTED_ACCEPTED = 1u << 0,
    COUNTED_PREPARED = 1u << 1,
    COUNTED_APPLIED = 1u << 2,
    COUNTED_DURABLE = 1u << 3,
    COUNTED_REJECTED = 1u << 4,
    COUNTED_ALIVE = 1u << 5,
    COUNTED_TIMELY = 1u << 6,
    COUNTED_SILENT = 1u << 7,
    COUNTED_ARM_SHIFT = 8, /* the arm, when ACCEPTED */
};

enum {
    STATE_FORMAT = 1,
    STATE_SIZE = 1 + 9 * 8 + 1 + 1 + 2 + 4,
    FLUSH_COUNT_MAX = 256, /* states written in one batch */
};

/* Whether a consumer that says APPLIED serves what its arm of the decision names.  Of an older
 * version the decision is gone, and its word is all there is. */
static bool
serves_its_arm(const struct cfc_scope *scope, const struct cfc_report_entry *entry)
{
    const struct cfc_decision *decision = scope->decision;

    if (decision == NULL || decision->version != entry->accepted) {
        return true;
    }
    return entry->arm < decision->arm_count &&
           cfc_digest_key(&decision->arms[entry->arm].content->id) == entry->serving_content;
}

/* What an entry adds to the counts of the published version. */
static uint32_t
classify_entry(const struct cfc_scope *scope, const struct cfc_report_entry *entry)
{
    uint32_t counted = COUNTED_ACCEPTED;

    if (scope->apply.counts.published == 0 || entry->accepted != scope->apply.counts.published) {
        return 0;
    }
    switch (entry->state) {
    case CFC_APPLY_PREPARED:
        return counted | COUNTED_PREPARED;
    case CFC_APPLY_APPLIED:
        if (entry->serving_version != entry->accepted || !serves_its_arm(scope, entry)) {
            return counted;
        }
        counted |= COUNTED_PREPARED | COUNTED_APPLIED;
        return entry->durable >= entry->accepted ? counted | COUNTED_DURABLE : counted;
    case CFC_APPLY_REJECTED:
    case CFC_APPLY_REVERTED:
    case CFC_APPLY_DEGRADED:
        return counted | COUNTED_REJECTED;
    default:
        return counted;
    }
}

static uint32_t
classify(const struct cfc_apply_entry *state)
{
    const struct cfc_apply_consumer *consumer = state->consumer;
    uint32_t counted = classify_entry(state->scope, &state->entry);

    counted |= (uint32_t)state->entry.arm << COUNTED_ARM_SHIFT;
    if (consumer->is_stale) {
        return state->is_silent ? counted | COUNTED_SILENT : counted;
    }
    return counted | COUNTED_ALIVE | (consumer->is_timely ? COUNTED_TIMELY : 0);
}

static void
count_alive(struct cfc_apply_counts *counts, uint32_t counted, uint64_t one)
{
    struct cfc_arm_counts *arm = &counts->arms[counted >> COUNTED_ARM_SHIFT];
    bool is_prepared = (counted & COUNTED_PREPARED) != 0;

    counts->alive += one;
    counts->alive_prepared += is_prepared ? one : 0;
    if ((counted & COUNTED_TIMELY) != 0) {
        counts->timely += one;
        counts->timely_prepared += is_prepared ? one : 0;
    }
    if ((counted & COUNTED_ACCEPTED) != 0) {
        arm->alive += one;
        arm->applied += (counted & COUNTED_APPLIED) != 0 ? one : 0;
        arm->rejected += (counted & COUNTED_REJECTED) != 0 ? one : 0;
    }
}

static void
count(struct cfc_apply_counts *counts, uint32_t counted, bool is_added)
{
    uint64_t one = is_added ? 1 : UINT64_MAX;

    if ((counted & COUNTED_ALIVE) != 0) {
        count_alive(counts, counted, one);
    }
    counts->silent += (counted & COUNTED_SILENT) != 0 ? one : 0;

    counts->accepted += (counted & COUNTED_ACCEPTED) != 0 ? one : 0;
    counts->prepared += (counted & COUNTED_PREPARED) != 0 ? one : 0;
    counts->applied += (counted & COUNTED_APPLIED) != 0 ? one : 0;
    counts->durable += (counted & COUNTED_DURABLE) != 0 ? one : 0;
    counts->rejected += (counted & COUNTED_REJECTED) != 0 ? one : 0;
}

static void
leave_list(struct cfc_apply_entry *state)
{
    struct cfc_scope_apply *apply = &state->scope->apply;

    if (state->is_current) {
        DL_DELETE(apply->current, state);
    } else {
        DL_DELETE(apply->behind, state);
    }
}

static void
enter_list(struct cfc_apply_entry *state)
{
    struct cfc_scope_apply *apply = &state->scope->apply;

    state->is_current = (state->counted & COUNTED_APPLIED) != 0;
    if (state->is_current) {
        DL_APPEND(apply->current, state);
    } else {
        DL_APPEND(apply->behind, state);
    }
}

/* Brings the counts and lists of its scope up to date with the state. */
static void
recount(struct cfc_apply_entry *state)
{
    struct cfc_apply_counts *counts = &state->scope->apply.counts;
    uint32_t counted = classify(state);
    bool is_current = (counted & COUNTED_APPLIED) != 0;

    count(counts, state->counted, false);
    count(counts, counted, true);
    if (is_current != state->is_current) {
        leave_list(state);
        state->counted = counted;
        enter_list(state);
    }
    state->counted = counted;
}

void
cfc_apply_table_published(struct cfc_scope *scope, uint64_t version, uint64_t unix_ns)
{
    struct cfc_apply_counts *counts = &scope->apply.counts;
    struct cfc_apply_entry *all;
    struct cfc_apply_entry *state;
    struct cfc_apply_entry *next;

    if (version <= counts->published) {
        return;
    }
    counts->published = version;
    counts->published_unix_ns = unix_ns;
    DL_CONCAT(scope->apply.behind, scope->apply.current);
    all = scope->apply.behind;
    scope->apply.behind = NULL;
    scope->apply.current = NULL;
    DL_FOREACH_SAFE(all, state, next)
    {
        count(counts, state->counted, false);
        state->is_silent = false;
        state->counted = classify(state);
        count(counts, state->counted, true);
        enter_list(state);
    }
}

static void
mark_dirty(struct cfc_apply_table *table, struct cfc_apply_entry *state)
{
    if (state->is_dirty) {
        return;
    }
    state->is_dirty = true;
    state->dirty_next = NULL;
    if (table->dirty_last != NULL) {
        table->dirty_last->dirty_next = state;
    } else {
        table->dirty = state;
    }
    table->dirty_last = state;
}

static int
make_consumer(struct cfc_apply_table *table, const char *id, struct cfc_apply_consumer **made)
{
    struct cfc_apply_consumer *consumer;
    bool is_out_of_memory = false;

    if (HASH_COUNT(table->by_id) >= CFC_CONSUMER_COUNT_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    consumer = calloc(1, sizeof(*consumer));
    if (consumer == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    consumer->id = strdup(id);
    if (consumer->id != NULL) {
        HASH_ADD_KEYPTR(hh, table->by_id, consumer->id, strlen(consumer->id), consumer);
    }
    if (consumer->id == NULL || is_out_of_memory) {
        free(consumer->id);
        free(consumer);
        return CONFCAST_ERR_NO_MEMORY;
    }
    DL_APPEND(table->heard, consumer);
    *made = consumer;
    return CONFCAST_OK;
}

static int
ensure_state(struct cfc_apply_table *table, const char *id, struct cfc_scope *scope,
             struct cfc_apply_entry **found)
{
    struct cfc_apply_consumer *consumer = NULL;
    struct cfc_apply_entry *state;
    int error = CONFCAST_OK;

    HASH_FIND(hh, table->by_id, id, strlen(id), consumer);
    if (consumer == NULL) {
        error = make_consumer(table, id, &consumer);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    LL_FOREACH2(consumer->states, state, sibling)
    {
        if (state->scope == scope) {
            *found = state;
            return CONFCAST_OK;
        }
    }
    state = calloc(1, sizeof(*state));
    if (state == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    state->consumer = consumer;
    state->scope = scope;
    LL_PREPEND2(consumer->states, state, sibling);
    scope->apply.counts.total++;
    scope->apply.counts.stale += consumer->is_stale;
    enter_list(state);
    recount(state);
    *found = state;
    return CONFCAST_OK;
}

/* `after_ns`: how long the consumer was silent for. */
static void
count_stale(struct cfc_apply_consumer *consumer, bool is_stale, uint64_t after_ns)
{
    struct cfc_apply_entry *state;

    consumer->is_stale = is_stale;
    LL_FOREACH2(consumer->states, state, sibling)
    {
        struct cfc_apply_counts *counts = &state->scope->apply.counts;

        counts->stale += is_stale ? 1 : UINT64_MAX;
        state->is_silent = is_stale && counts->published != 0 &&
                           consumer->seen_unix_ns + after_ns >= counts->published_unix_ns;
        recount(state);
    }
}

static void
hear(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer, uint64_t unix_ns)
{
    if (consumer->is_stale) {
        count_stale(consumer, false, 0);
    } else {
        DL_DELETE(table->heard, consumer);
    }
    DL_APPEND(table->heard, consumer);
    consumer->seen_unix_ns = unix_ns;
}

void
cfc_apply_table_find_stale(struct cfc_apply_table *table, uint64_t unix_ns, uint64_t after_ns)
{
    while (table->heard != NULL && unix_ns > table->heard->seen_unix_ns &&
           unix_ns - table->heard->seen_unix_ns > after_ns) {
        struct cfc_apply_consumer *consumer = table->heard;

        DL_DELETE(table->heard, consumer);
        count_stale(consumer, true, after_ns);
    }
}

void
cfc_apply_table_clock(struct cfc_apply_table *table, const char *id, bool is_timely)
{
    struct cfc_apply_consumer *consumer = NULL;
    struct cfc_apply_entry *state;

    HASH_FIND(hh, table->by_id, id, strlen(id), consumer);
    if (consumer == NULL || consumer->is_timely == is_timely) {
        return;
    }
    consumer->is_timely = is_timely;
    LL_FOREACH2(consumer->states, state, sibling)
    {
        recount(state);
    }
}

/* A consumer cannot follow what nobody decided, nor serve or keep what it did not accept. */
static bool
is_possible(const struct cfc_scope *scope, const struct cfc_report_entry *entry)
{
    uint64_t decided = scope->decision != NULL ? scope->decision->version : 0;

    return entry->accepted <= decided && entry->serving_version <= entry->accepted &&
           entry->durable <= entry->accepted && entry->state <= CFC_APPLY_DEGRADED &&
           entry->arm < CFC_ARM_COUNT_MAX;
}

int
cfc_apply_table_report(struct cfc_apply_table *table, struct cfc_scope *scope, const char *consumer,
                       uint64_t incarnation, uint64_t report_seq,
                       const struct cfc_report_entry *entry, uint64_t unix_ns,
                       enum cfc_apply_verdict *verdict)
{
    struct cfc_apply_entry *state;
    int error;

    *verdict = CFC_APPLY_REFUSED;
    if (!is_possible(scope, entry)) {
        return CONFCAST_OK;
    }
    error = ensure_state(table, consumer, scope, &state);
    if (error != CONFCAST_OK) {
        return error;
    }
    *verdict = CFC_APPLY_REPEATED;
    if (incarnation < state->incarnation) {
        return CONFCAST_OK;
    }
    hear(table, state->consumer, unix_ns);
    if (incarnation == state->incarnation && report_seq <= state->report_seq) {
        return CONFCAST_OK;
    }
    *verdict = CFC_APPLY_TAKEN;
    if (entry->accepted > scope->apply.counts.published) {
        cfc_apply_table_published(scope, entry->accepted, unix_ns);
    }
    state->incarnation = incarnation;
    state->report_seq = report_seq;
    state->entry = *entry;
    recount(state);
    if (entry->state == CFC_APPLY_APPLIED && entry->serving_version > state->highest_applied) {
        state->highest_applied = entry->serving_version;
    }
    mark_dirty(table, state);
    return CONFCAST_OK;
}

static void
encode(const struct cfc_apply_entry *state, uint8_t bytes[STATE_SIZE])
{
    struct cfc_writer w = cfc_writer_of(bytes, STATE_SIZE);

    cfc_write_u8(&w, STATE_FORMAT);
    cfc_write_u64(&w, state->incarnation);
    cfc_write_u64(&w, state->report_seq);
    cfc_write_u64(&w, state->highest_applied);
    cfc_write_u64(&w, state->consumer->seen_unix_ns);
    cfc_write_u64(&w, state->entry.epoch);
    cfc_write_u64(&w, state->entry.accepted);
    cfc_write_u64(&w, state->entry.serving_version);
    cfc_write_u64(&w, state->entry.durable);
    cfc_write_u64(&w, state->entry.serving_content);
    cfc_write_u8(&w, state->entry.state);
    cfc_write_u8(&w, state->entry.arm);
    cfc_write_u16(&w, state->entry.reason);
    cfc_write_u32(&w, state->entry.flags);
}

static bool
decode(const uint8_t *bytes, size_t size, struct cfc_apply_entry *state, uint64_t *seen_unix_ns)
{
    struct cfc_reader r = cfc_reader_of(bytes, size);

    if (cfc_read_u8(&r) != STATE_FORMAT || size != STATE_SIZE) {
        return false;
    }
    state->incarnation = cfc_read_u64(&r);
    state->report_seq = cfc_read_u64(&r);
    state->highest_applied = cfc_read_u64(&r);
    *seen_unix_ns = cfc_read_u64(&r);
    state->entry.epoch = cfc_read_u64(&r);
    state->entry.accepted = cfc_read_u64(&r);
    state->entry.serving_version = cfc_read_u64(&r);
    state->entry.durable = cfc_read_u64(&r);
    state->entry.serving_content = cfc_read_u64(&r);
    state->entry.state = cfc_read_u8(&r);
    state->entry.arm = cfc_read_u8(&r);
    state->entry.reason = cfc_read_u16(&r);
    state->entry.flags = cfc_read_u32(&r);
    return !r.has_failed && state->entry.arm < CFC_ARM_COUNT_MAX;
}

int
cfc_apply_table_flush(struct cfc_apply_table *table, struct cfc_store *store, uint64_t *seq,
                      bool *is_done)
{
    struct cfc_store_batch batch;
    size_t written = 0;
    int error = CONFCAST_OK;

    cfc_store_batch_init(&batch);
    for (struct cfc_apply_entry *state = table->dirty; state != NULL && written < FLUSH_COUNT_MAX;
         state = state->dirty_next) {
        struct cfc_record_key key =
            cfc_record_key_numbered('p', state->consumer->id, state->scope->id);
        uint8_t bytes[STATE_SIZE];

        encode(state, bytes);
        cfc_store_put(&batch, key.bytes, key.size, bytes, sizeof(bytes));
        written++;
    }
    if (written > 0) {
        error = cfc_store_commit(store, &batch, seq);
    }
    cfc_store_batch_clear(&batch);
    if (error == CONFCAST_OK) {
        for (; written > 0; written--) {
            struct cfc_apply_entry *state = table->dirty;

            state->is_dirty = false;
            table->dirty = state->dirty_next;
        }
        if (table->dirty == NULL) {
            table->dirty_last = NULL;
        }
    }
    *is_done = table->dirty == NULL;
    return error;
}

struct load {
    struct cfc_apply_table *table;
    struct cfc_catalog *catalog;
};

static int
load_item(void *arg, const struct cfc_store_item *item)
{
    const struct load *load = arg;
    struct cfc_apply_entry read = {0};
    struct cfc_apply_entry *state;
    struct cfc_scope *scope;
    char id[CFC_CONSUMER_ID_SIZE_MAX + 1];
    uint64_t seen_unix_ns;
    size_t id_size = item->key_size - 2 - 1 - 8;
    int error;

    if (item->key_size < 2 + 1 + 1 + 8 || id_size > CFC_CONSUMER_ID_SIZE_MAX ||
        cfc_consumer_id_check((const char *)item->key + 2, id_size) != CONFCAST_OK ||
        !decode(item->value, item->value_size, &read, &seen_unix_ns)) {
        return CONFCAST_ERR_CORRUPT;
    }
    memcpy(id, item->key + 2, id_size);
    id[id_size] = '\0';
    scope = cfc_catalog_find_id(load->catalog, cfc_be64_get(item->key + item->key_size - 8));
    if (scope == NULL) {
        return CONFCAST_ERR_CORRUPT;
    }
    error = ensure_state(load->table, id, scope, &state);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (state->incarnation > read.incarnation ||
        (state->incarnation == read.incarnation && state->report_seq >= read.report_seq)) {
        return CONFCAST_OK; /* What is in memory is newer and waits to be written. */
    }
    state->incarnation = read.incarnation;
    state->report_seq = read.report_seq;
    state->highest_applied = read.highest_applied;
    state->entry = read.entry;
    state->entry.scope_id = scope->id;
    recount(state);
    if (seen_unix_ns > state->consumer->seen_unix_ns) {
        state->consumer->seen_unix_ns = seen_unix_ns;
    }
    return CONFCAST_OK;
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
    int error = cfc_store_scan(store, "p/", 2, NULL, 0, load_item, &load);

    DL_SORT(table->heard, compare_seen);
    return error;
}

void
cfc_apply_table_free(struct cfc_apply_table *table)
{
    struct cfc_apply_consumer *consumer;
    struct cfc_apply_consumer *next;

    HASH_ITER(hh, table->by_id, consumer, next)
    {
        struct cfc_apply_entry *state;
        struct cfc_apply_entry *sibling;

        HASH_DEL(table->by_id, consumer);
        LL_FOREACH_SAFE2(consumer->states, state, sibling, sibling)
        {
            free(state);
        }
        free(consumer->id);
        free(consumer);
    }
}

void
cfc_apply_view_of(const struct cfc_apply_entry *state, struct cfc_apply_view *view)
{
    memset(view, 0, sizeof(*view));
    snprintf(view->consumer, sizeof(view->consumer), "%s", state->consumer->id);
    snprintf(view->scope, sizeof(view->scope), "%s", state->scope->path);
    view->entry = state->entry;
    view->highest_applied = state->highest_applied;
    view->incarnation = state->incarnation;
    view->report_seq = state->report_seq;
    view->seen_unix_ns = state->consumer->seen_unix_ns;
    view->is_stale = state->consumer->is_stale;
}

int
cfc_apply_compare_consumers(const void *a, const void *b)
{
    const struct cfc_apply_consumer *const *x = a;
    const struct cfc_apply_consumer *const *y = b;

    return strcmp((*x)->id, (*y)->id);
}
