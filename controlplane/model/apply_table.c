#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(obj) (is_out_of_memory = true)

#include "controlplane/model/apply_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
#include <xxhash.h>

#include "confcast/error.h"
#include "protocol/base/time.h"

enum {
    SLOT_COUNT_MIN = 1024,
    FORGET_COUNT_MAX = 4096, /* in one tick */
    CLONE_AFTER_S = 5,       /* frames of the life before are late by less than this */
    CLONE_SHOWN_S = 600,     /* after the last sign */
};

void
cfc_apply_table_init(struct cfc_apply_table *table, uint64_t stale_after_ns, uint64_t seed)
{
    memset(table, 0, sizeof(*table));
    table->stale_after_ns = stale_after_ns;
    table->seed = seed;
}

/* ---- Consumers --------------------------------------------------------------------------------
 */

static uint64_t
hash_id(const struct cfc_apply_table *table, const char *id, size_t id_size)
{
    return XXH3_64bits_withSeed(id, id_size, table->seed);
}

static struct cfc_apply_slot *
find_slot(const struct cfc_apply_table *table, uint64_t hash, const char *id, size_t id_size)
{
    size_t mask = table->slot_count - 1;
    size_t at = hash & mask;

    for (; table->slots[at].consumer != NULL; at = (at + 1) & mask) {
        const struct cfc_apply_consumer *consumer = table->slots[at].consumer;

        if (table->slots[at].hash == hash && consumer->id_size == id_size &&
            memcmp(consumer->id, id, id_size) == 0) {
            break;
        }
    }
    return &table->slots[at];
}

struct cfc_apply_consumer *
cfc_apply_table_find(const struct cfc_apply_table *table, const char *id, size_t id_size)
{
    if (table->slot_count == 0) {
        return NULL;
    }
    return find_slot(table, hash_id(table, id, id_size), id, id_size)->consumer;
}

/* Room for one more consumer. */
static int
grow(struct cfc_apply_table *table)
{
    size_t count = table->slot_count > 0 ? table->slot_count * 2 : SLOT_COUNT_MIN;
    struct cfc_apply_slot *slots;

    if ((table->consumer_count + 1) * 4 <= table->slot_count * 3) {
        return CONFCAST_OK;
    }
    slots = calloc(count, sizeof(*slots));
    if (slots == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < table->slot_count; i++) {
        size_t at = table->slots[i].hash & (count - 1);

        if (table->slots[i].consumer == NULL) {
            continue;
        }
        while (slots[at].consumer != NULL) {
            at = (at + 1) & (count - 1);
        }
        slots[at] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    return CONFCAST_OK;
}

/* Takes a consumer out of the index; those behind it move up. */
static void
unindex(struct cfc_apply_table *table, const struct cfc_apply_consumer *consumer)
{
    size_t mask = table->slot_count - 1;
    struct cfc_apply_slot *slot = find_slot(table, hash_id(table, consumer->id, consumer->id_size),
                                            consumer->id, consumer->id_size);
    size_t hole = (size_t)(slot - table->slots);

    for (size_t at = (hole + 1) & mask; table->slots[at].consumer != NULL; at = (at + 1) & mask) {
        if (((at - table->slots[at].hash) & mask) >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole].consumer = NULL;
    table->consumer_count--;
}

static uint64_t
wheel_width_ns(const struct cfc_apply_table *table)
{
    uint64_t width_ns = table->stale_after_ns / CFC_APPLY_WHEEL_COUNT;

    return width_ns > 0 ? width_ns : 1;
}

/* When a consumer that is not heard any more becomes stale.  Nobody listened before the first look:
 * what was restored gets the whole time from there. */
static uint64_t
deadline_of(const struct cfc_apply_table *table, const struct cfc_apply_consumer *consumer)
{
    bool is_restored = consumer->life_unix_ns == 0 && consumer->seen_unix_ns < table->start_unix_ns;

    return (is_restored ? table->start_unix_ns : consumer->seen_unix_ns) + table->stale_after_ns;
}

static void
enter_wheel(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer)
{
    uint64_t slot = deadline_of(table, consumer) / wheel_width_ns(table) + 1;
    uint64_t last = table->wheel_slot + CFC_APPLY_WHEEL_COUNT - 1;

    if (table->wheel_slot != 0 && slot > last) {
        slot = last;
    }
    if (slot <= table->wheel_slot) {
        slot = table->wheel_slot + 1;
    }
    LL_PREPEND(table->wheel[slot % CFC_APPLY_WHEEL_COUNT], consumer);
}

static void
drop_labels(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer)
{
    struct cfc_apply_labels *labels = consumer->labels;

    consumer->labels = NULL;
    if (labels != NULL && --labels->use_count == 0) {
        HASH_DEL(table->labels, labels);
        free(labels);
    }
}

static void
drop_clone(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer)
{
    struct cfc_apply_entry *state;
    struct cfc_apply_clone *clone = consumer->clone;

    if (clone == NULL) {
        return;
    }
    LL_FOREACH2(consumer->states, state, sibling)
    {
        state->scope->apply.counts.cloned--;
        cfc_apply_note_change(table, state->scope);
    }
    DL_DELETE(table->clones, clone);
    consumer->clone = NULL;
    table->totals.cloned--;
    free(clone);
}

/* Forgets a consumer that is stale. */
static void
forget(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer)
{
    struct cfc_apply_entry *state;
    struct cfc_apply_entry *next;

    assert(consumer->is_stale);
    drop_clone(table, consumer);
    LL_FOREACH_SAFE2(consumer->states, state, next, sibling)
    {
        cfc_apply_count_leave(table, state);
        cfc_apply_place_free(table, state);
        table->state_count--;
    }
    drop_labels(table, consumer);
    unindex(table, consumer);
    DL_DELETE(table->stale, consumer);
    free(consumer);
}

static int
make_consumer(struct cfc_apply_table *table, const char *id, size_t id_size,
              struct cfc_apply_consumer **made)
{
    struct cfc_apply_consumer *consumer;
    uint64_t hash = hash_id(table, id, id_size);
    struct cfc_apply_slot *slot;

    if (table->consumer_count >= CFC_CONSUMER_COUNT_MAX && table->stale != NULL) {
        forget(table, table->stale);
    }
    if (table->consumer_count >= CFC_CONSUMER_COUNT_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    consumer = calloc(1, sizeof(*consumer) + id_size + 1);
    if (consumer == NULL || grow(table) != CONFCAST_OK) {
        free(consumer);
        return CONFCAST_ERR_NO_MEMORY;
    }
    memcpy(consumer->id, id, id_size);
    consumer->id_size = (uint8_t)id_size;
    slot = find_slot(table, hash, id, id_size);
    *slot = (struct cfc_apply_slot){.hash = hash, .consumer = consumer};
    table->consumer_count++;
    *made = consumer;
    return CONFCAST_OK;
}

static int
ensure_detail(struct cfc_scope_apply *apply)
{
    if (apply->detail != NULL) {
        return CONFCAST_OK;
    }
    apply->detail = calloc(1, sizeof(*apply->detail));
    if (apply->detail == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (apply->counts.published != 0) {
        cfc_apply_lack_push(apply, apply->counts.published, apply->counts.published_unix_ns);
    }
    return CONFCAST_OK;
}

/* Makes a state, filled or zero, part of the table: of its consumer, its scope, lists and counts.
 */
static void
link_state(struct cfc_apply_table *table, struct cfc_apply_entry *state,
           struct cfc_apply_consumer *consumer, struct cfc_scope *scope)
{
    state->consumer = consumer;
    state->scope = scope;
    if (consumer->hint != NULL) {
        state->sibling = consumer->hint->sibling;
        consumer->hint->sibling = state;
    } else {
        LL_PREPEND2(consumer->states, state, sibling);
    }
    consumer->hint = state;
    cfc_apply_count_enter(table, state);
    table->state_count++;
}

/* The state of a scope.  Reports name their scopes in the same order each time, so that the next
 * one is mostly the one after the last. */
static struct cfc_apply_entry *
find_state(struct cfc_apply_consumer *consumer, const struct cfc_scope *scope)
{
    struct cfc_apply_entry *start = consumer->hint != NULL ? consumer->hint->sibling : NULL;
    struct cfc_apply_entry *state;

    for (state = start; state != NULL; state = state->sibling) {
        if (state->scope == scope) {
            consumer->hint = state;
            return state;
        }
    }
    for (state = consumer->states; state != start; state = state->sibling) {
        if (state->scope == scope) {
            consumer->hint = state;
            return state;
        }
    }
    return NULL;
}

static int
make_state(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
           struct cfc_scope *scope, struct cfc_apply_entry **made)
{
    struct cfc_apply_entry *state;

    if (ensure_detail(&scope->apply) != CONFCAST_OK) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    state = cfc_apply_place_take(table);
    if (state == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    link_state(table, state, consumer, scope);
    *made = state;
    return CONFCAST_OK;
}

static void
set_stale(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer, bool is_stale)
{
    struct cfc_apply_entry *state;

    /* Every state leaves its list by what the consumer was, and enters by what it is. */
    LL_FOREACH2(consumer->states, state, sibling)
    {
        const struct cfc_apply_counts *counts = &state->scope->apply.counts;
        struct cfc_apply_change change;

        consumer->is_stale = !is_stale;
        change = cfc_apply_change_begin(state);
        consumer->is_stale = is_stale;
        state->is_silent =
            is_stale && counts->published != 0 &&
            consumer->seen_unix_ns + table->stale_after_ns >= counts->published_unix_ns;
        state->scope->apply.counts.stale += is_stale ? 1 : UINT64_MAX;
        cfc_apply_change_end(table, state, &change);
        cfc_apply_mark_dirty(table, state);
    }
    consumer->is_stale = is_stale;
}

/* A consumer gave a sign of life. */
static void
hear(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer, uint64_t incarnation,
     uint64_t unix_ns)
{
    if (incarnation > consumer->incarnation) {
        consumer->incarnation = incarnation;
        consumer->life_unix_ns = unix_ns;
    } else if (consumer->life_unix_ns == 0) {
        consumer->life_unix_ns = 1; /* It lived before this process did. */
    }
    consumer->seen_unix_ns = unix_ns;
    if (consumer->is_stale) {
        DL_DELETE(table->stale, consumer);
        set_stale(table, consumer, false);
        enter_wheel(table, consumer);
    }
}

void
cfc_apply_table_clock(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
                      bool is_timely)
{
    struct cfc_apply_entry *state;

    if (consumer->is_timely == is_timely) {
        return;
    }
    LL_FOREACH2(consumer->states, state, sibling)
    {
        struct cfc_apply_change change = cfc_apply_change_begin(state);

        consumer->is_timely = is_timely;
        cfc_apply_change_end(table, state, &change);
    }
    consumer->is_timely = is_timely;
}

void
cfc_apply_table_deltas(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
                       bool takes_deltas)
{
    struct cfc_apply_entry *state;

    if (consumer->takes_deltas == takes_deltas) {
        return;
    }
    LL_FOREACH2(consumer->states, state, sibling)
    {
        struct cfc_apply_change change = cfc_apply_change_begin(state);

        consumer->takes_deltas = takes_deltas;
        cfc_apply_change_end(table, state, &change);
        cfc_apply_mark_dirty(table, state);
    }
    consumer->takes_deltas = takes_deltas;
}

int
cfc_apply_table_label(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
                      const char *text)
{
    struct cfc_apply_labels *labels = NULL;
    bool is_out_of_memory = false;
    size_t size = strlen(text);

    if (size > CFC_LABELS_TEXT_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (strcmp(consumer->labels != NULL ? consumer->labels->text : "", text) == 0) {
        return CONFCAST_OK;
    }
    if (size > 0) {
        HASH_FIND(hh, table->labels, text, size, labels);
        if (labels == NULL) {
            labels = calloc(1, sizeof(*labels) + size + 1);
            if (labels == NULL) {
                return CONFCAST_ERR_NO_MEMORY;
            }
            memcpy(labels->text, text, size);
            HASH_ADD_KEYPTR(hh, table->labels, labels->text, size, labels);
            if (is_out_of_memory) {
                free(labels);
                return CONFCAST_ERR_NO_MEMORY;
            }
        }
        labels->use_count++;
    }
    drop_labels(table, consumer);
    consumer->labels = labels;
    if (consumer->states != NULL) {
        cfc_apply_mark_dirty(table, consumer->states);
    }
    return CONFCAST_OK;
}

void
cfc_apply_table_note_clone(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
                           uint64_t unix_ns)
{
    struct cfc_apply_clone *clone = consumer->clone;
    struct cfc_apply_entry *state;

    if (clone != NULL) {
        clone->unix_ns = unix_ns;
        return;
    }
    clone = calloc(1, sizeof(*clone));
    if (clone == NULL) {
        return;
    }
    clone->consumer = consumer;
    clone->unix_ns = unix_ns;
    consumer->clone = clone;
    DL_APPEND(table->clones, clone);
    table->totals.cloned++;
    LL_FOREACH2(consumer->states, state, sibling)
    {
        state->scope->apply.counts.cloned++;
        cfc_apply_note_change(table, state->scope);
    }
}

/* ---- Reports ----------------------------------------------------------------------------------
 */

/* A consumer cannot follow what nobody decided, nor serve or keep what it did not accept. */
static bool
is_possible(const struct cfc_scope *scope, const struct cfc_report_entry *entry)
{
    uint64_t decided = scope->decision != NULL ? scope->decision->version : 0;

    return entry->accepted <= decided && entry->serving_version <= entry->accepted &&
           entry->durable <= entry->accepted && entry->state <= CFC_APPLY_DEGRADED &&
           entry->arm < CFC_ARM_COUNT_MAX;
}

/* How long it took, of a consumer that was there when the version went out. */
static void
observe_lag(struct cfc_apply_table *table, const struct cfc_apply_entry *state,
            const struct cfc_apply_change *change, uint64_t unix_ns)
{
    struct cfc_scope_apply *apply = &state->scope->apply;
    const struct cfc_apply_lack *lack = cfc_apply_lack_of(apply, change->good);
    uint64_t since = lack != NULL ? lack->unix_ns : 0;

    if (lack == NULL || !cfc_apply_is_current(state)) {
        return;
    }
    if (change->was_rejected) {
        since = apply->counts.published_unix_ns;
    }
    if (state->consumer->life_unix_ns <= since && unix_ns >= since) {
        cfc_apply_lag_observe(&table->totals.lag, unix_ns - since);
    }
}

static void
overwrite(struct cfc_apply_table *table, struct cfc_apply_entry *state,
          const struct cfc_apply_source *source, const struct cfc_report_entry *entry,
          bool was_stale)
{
    struct cfc_apply_change change = cfc_apply_change_begin(state);
    bool is_first = state->incarnation == 0 && state->report_seq == 0;

    state->entry = *entry;
    state->good = cfc_apply_good_of(state->scope, entry);
    state->incarnation = source->incarnation;
    state->report_seq = source->report_seq;
    if (!is_first && !was_stale) {
        observe_lag(table, state, &change, source->unix_ns);
    }
    cfc_apply_change_end(table, state, &change);
    if (entry->state == CFC_APPLY_APPLIED && entry->serving_version > state->highest_applied) {
        state->highest_applied = entry->serving_version;
    }
    cfc_apply_mark_dirty(table, state);
}

/* The consumer of a report, made where it is not known. */
static int
ensure_consumer(struct cfc_apply_table *table, struct cfc_apply_source *source)
{
    int error;

    if (source->consumer != NULL) {
        return CONFCAST_OK;
    }
    source->consumer = cfc_apply_table_find(table, source->id, source->id_size);
    if (source->consumer != NULL) {
        return CONFCAST_OK;
    }
    error = make_consumer(table, source->id, source->id_size, &source->consumer);
    if (error == CONFCAST_OK) {
        hear(table, source->consumer, source->incarnation, source->unix_ns);
        enter_wheel(table, source->consumer);
    }
    return error;
}

int
cfc_apply_table_hello(struct cfc_apply_table *table, struct cfc_apply_source *source)
{
    return ensure_consumer(table, source);
}

/* A report of an earlier life: late, or there are two. */
static void
hear_old_life(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer, uint64_t unix_ns)
{
    uint64_t since = consumer->life_unix_ns > 1 ? consumer->life_unix_ns : table->start_unix_ns;

    if (!consumer->is_stale && since != 0 && unix_ns > since + CLONE_AFTER_S * CFC_S) {
        cfc_apply_table_note_clone(table, consumer, unix_ns);
    }
}

int
cfc_apply_table_report(struct cfc_apply_table *table, struct cfc_apply_source *source,
                       struct cfc_scope *scope, const struct cfc_report_entry *entry,
                       enum cfc_apply_verdict *verdict)
{
    struct cfc_apply_entry *state;
    bool was_stale;
    int error;

    *verdict = CFC_APPLY_REFUSED;
    if (!is_possible(scope, entry)) {
        table->totals.refused++;
        return CONFCAST_OK;
    }
    error = ensure_consumer(table, source);
    if (error != CONFCAST_OK) {
        return error;
    }
    *verdict = CFC_APPLY_REPEATED;
    if (source->incarnation < source->consumer->incarnation) {
        hear_old_life(table, source->consumer, source->unix_ns);
        table->totals.repeated++;
        return CONFCAST_OK;
    }
    was_stale = source->consumer->is_stale;
    hear(table, source->consumer, source->incarnation, source->unix_ns);
    state = find_state(source->consumer, scope);
    if (state == NULL) {
        error = make_state(table, source->consumer, scope, &state);
    } else if (source->incarnation == state->incarnation &&
               source->report_seq <= state->report_seq) {
        table->totals.repeated++;
        return CONFCAST_OK;
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    *verdict = CFC_APPLY_TAKEN;
    table->totals.taken++;
    if (entry->accepted > scope->apply.counts.published) {
        cfc_apply_table_published(table, scope, entry->accepted, source->unix_ns);
    }
    overwrite(table, state, source, entry, was_stale);
    return CONFCAST_OK;
}

int
cfc_apply_table_restore(struct cfc_apply_table *table, const struct cfc_apply_restored *read,
                        struct cfc_scope *scope, struct cfc_apply_entry *place)
{
    struct cfc_apply_consumer *consumer = cfc_apply_table_find(table, read->id, read->id_size);
    int error = ensure_detail(&scope->apply);

    if (error == CONFCAST_OK && consumer == NULL) {
        error = make_consumer(table, read->id, read->id_size, &consumer);
        if (error == CONFCAST_OK) {
            consumer->is_stale = read->is_stale;
            consumer->takes_deltas = read->takes_deltas;
            consumer->seen_unix_ns = read->seen_unix_ns;
            if (consumer->is_stale) {
                DL_APPEND(table->stale, consumer);
            } else {
                enter_wheel(table, consumer);
            }
        }
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    if (find_state(consumer, scope) != NULL) {
        return CONFCAST_ERR_EXISTS;
    }
    if (place->incarnation > consumer->incarnation) {
        consumer->incarnation = place->incarnation;
    }
    if (read->seen_unix_ns > consumer->seen_unix_ns) {
        consumer->seen_unix_ns = read->seen_unix_ns;
    }
    if (place->entry.accepted > scope->apply.counts.published) {
        cfc_apply_table_published(table, scope, place->entry.accepted, read->seen_unix_ns);
    }
    link_state(table, place, consumer, scope);
    return read->labels[0] != '\0' ? cfc_apply_table_label(table, consumer, read->labels)
                                   : CONFCAST_OK;
}

/* ---- Time -------------------------------------------------------------------------------------
 */

static void
look_at(struct cfc_apply_table *table, uint64_t slot, uint64_t unix_ns)
{
    struct cfc_apply_consumer **list = &table->wheel[slot % CFC_APPLY_WHEEL_COUNT];
    struct cfc_apply_consumer *due = *list;
    struct cfc_apply_consumer *next;

    *list = NULL;
    for (; due != NULL; due = next) {
        next = due->next;
        due->next = NULL;
        if (deadline_of(table, due) < unix_ns) {
            DL_APPEND(table->stale, due);
            set_stale(table, due, true);
        } else {
            enter_wheel(table, due);
        }
    }
}

/* Sorts everybody in anew: at the first look, and after the clock went back. */
static void
restart_wheel(struct cfc_apply_table *table, uint64_t slot)
{
    struct cfc_apply_consumer *all = NULL;
    struct cfc_apply_consumer *next;

    for (size_t i = 0; i < CFC_APPLY_WHEEL_COUNT; i++) {
        LL_CONCAT(all, table->wheel[i]);
        table->wheel[i] = NULL;
    }
    table->wheel_slot = slot;
    for (; all != NULL; all = next) {
        next = all->next;
        all->next = NULL;
        enter_wheel(table, all);
    }
}

static void
expire_clones(struct cfc_apply_table *table, uint64_t unix_ns)
{
    struct cfc_apply_clone *clone;
    struct cfc_apply_clone *next;

    DL_FOREACH_SAFE(table->clones, clone, next)
    {
        if (clone->unix_ns + CLONE_SHOWN_S * CFC_S < unix_ns) {
            drop_clone(table, clone->consumer);
        }
    }
}

void
cfc_apply_table_tick(struct cfc_apply_table *table, uint64_t unix_ns, uint64_t forget_after_ns)
{
    uint64_t slot = unix_ns / wheel_width_ns(table);

    if (table->start_unix_ns == 0) {
        table->start_unix_ns = unix_ns;
        restart_wheel(table, slot - 1);
    } else if (slot < table->wheel_slot) {
        restart_wheel(table, slot - 1);
    }
    if (slot - table->wheel_slot > CFC_APPLY_WHEEL_COUNT) {
        table->wheel_slot = slot - CFC_APPLY_WHEEL_COUNT;
    }
    while (table->wheel_slot < slot) {
        table->wheel_slot++;
        look_at(table, table->wheel_slot, unix_ns);
    }
    for (int i = 0; i < FORGET_COUNT_MAX && table->stale != NULL; i++) {
        uint64_t since = table->stale->seen_unix_ns > table->start_unix_ns
                             ? table->stale->seen_unix_ns
                             : table->start_unix_ns;

        if (unix_ns <= since || unix_ns - since <= forget_after_ns) {
            break;
        }
        forget(table, table->stale);
    }
    expire_clones(table, unix_ns);
}

void
cfc_apply_table_free(struct cfc_apply_table *table)
{
    struct cfc_apply_clone *clone;
    struct cfc_apply_clone *next;

    DL_FOREACH_SAFE(table->clones, clone, next)
    {
        free(clone);
    }
    for (size_t i = 0; i < table->slot_count; i++) {
        struct cfc_apply_consumer *consumer = table->slots[i].consumer;

        if (consumer != NULL) {
            drop_labels(table, consumer);
            free(consumer);
        }
    }
    free(table->slots);
    cfc_apply_pages_free(table);
}
