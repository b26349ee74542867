/* Counts and lists of a scope, as its states come, change and go. */
#include <string.h>
#include <utlist.h>

#include "controlplane/model/apply_table.h"

enum {
    COUNTED_ALIVE = 1u << 0,
    COUNTED_TIMELY = 1u << 1,
    COUNTED_KEPT = COUNTED_ALIVE | COUNTED_TIMELY, /* whatever is published */
    COUNTED_ACCEPTED = 1u << 2,
    COUNTED_RECEIVING = 1u << 3,
    COUNTED_PREPARED = 1u << 4,
    COUNTED_APPLIED = 1u << 5,
    COUNTED_DURABLE = 1u << 6,
    COUNTED_REJECTED = 1u << 7,
    COUNTED_REVERTED = 1u << 8,
    COUNTED_DEGRADED = 1u << 9,
    COUNTED_SILENT = 1u << 10,
    COUNTED_PATCHABLE = 1u << 11,
    COUNTED_ARM_SHIFT = 16, /* the arm, when ACCEPTED */
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

static bool
is_applied(const struct cfc_scope *scope, const struct cfc_report_entry *entry)
{
    return entry->state == CFC_APPLY_APPLIED && entry->serving_version == entry->accepted &&
           entry->accepted != 0 && serves_its_arm(scope, entry);
}

/* The highest version of which a consumer lacks nothing. */
uint64_t
cfc_apply_good_of(const struct cfc_scope *scope, const struct cfc_report_entry *entry)
{
    if (is_applied(scope, entry)) {
        return entry->accepted;
    }
    if (entry->serving_version < entry->accepted) {
        return entry->serving_version;
    }
    return entry->accepted != 0 ? entry->accepted - 1 : 0;
}

/* What a state adds to the counts of the published version.  Whether it served what its arm names
 * was decided when it was reported: later on the decision is gone. */
static uint32_t
classify_entry(const struct cfc_apply_entry *state)
{
    const struct cfc_scope *scope = state->scope;
    const struct cfc_report_entry *entry = &state->entry;
    uint32_t counted = COUNTED_ACCEPTED | (uint32_t)entry->arm << COUNTED_ARM_SHIFT;
    uint32_t prepared = COUNTED_PREPARED | (state->consumer->takes_deltas ? COUNTED_PATCHABLE : 0);

    if (scope->apply.counts.published == 0 || entry->accepted != scope->apply.counts.published) {
        return 0;
    }
    switch (entry->state) {
    case CFC_APPLY_RECEIVING:
        return counted | COUNTED_RECEIVING;
    case CFC_APPLY_PREPARED:
        return counted | prepared;
    case CFC_APPLY_APPLIED:
        if (state->good != entry->accepted) {
            return counted;
        }
        counted |= prepared | COUNTED_APPLIED;
        return entry->durable >= entry->accepted ? counted | COUNTED_DURABLE : counted;
    case CFC_APPLY_REJECTED:
        return counted | COUNTED_REJECTED;
    case CFC_APPLY_REVERTED:
        return counted | COUNTED_REJECTED | COUNTED_REVERTED;
    case CFC_APPLY_DEGRADED:
        return counted | COUNTED_REJECTED | COUNTED_DEGRADED;
    default:
        return counted;
    }
}

static uint32_t
classify(const struct cfc_apply_entry *state)
{
    const struct cfc_apply_consumer *consumer = state->consumer;

    if (consumer->is_stale) {
        return state->is_silent ? COUNTED_SILENT : 0;
    }
    return classify_entry(state) | COUNTED_ALIVE | (consumer->is_timely ? COUNTED_TIMELY : 0);
}

static void
count_accepted(struct cfc_scope_apply *apply, uint32_t counted, uint16_t reason, uint64_t one)
{
    struct cfc_apply_counts *counts = &apply->counts;
    struct cfc_arm_counts *arm = &counts->arms[counted >> COUNTED_ARM_SHIFT];

    counts->accepted += one;
    arm->alive += one;
    if ((counted & COUNTED_PREPARED) != 0) {
        counts->prepared += one;
        counts->patchable += (counted & COUNTED_PATCHABLE) != 0 ? one : 0;
        counts->timely_prepared += (counted & COUNTED_TIMELY) != 0 ? one : 0;
    }
    if ((counted & COUNTED_APPLIED) != 0) {
        counts->applied += one;
        arm->applied += one;
        counts->durable += (counted & COUNTED_DURABLE) != 0 ? one : 0;
    }
    if ((counted & COUNTED_REJECTED) != 0) {
        counts->rejected += one;
        arm->rejected += one;
        counts->reverted += (counted & COUNTED_REVERTED) != 0 ? one : 0;
        counts->degraded += (counted & COUNTED_DEGRADED) != 0 ? one : 0;
        apply->detail->reasons[reason < CFC_APPLY_REASON_COUNT ? reason : 0] += (uint32_t)one;
    }
    counts->receiving += (counted & COUNTED_RECEIVING) != 0 ? one : 0;
}

static void
count(struct cfc_apply_entry *state, uint64_t one)
{
    struct cfc_scope_apply *apply = &state->scope->apply;
    uint32_t counted = state->counted;

    apply->counts.alive += (counted & COUNTED_ALIVE) != 0 ? one : 0;
    apply->counts.timely += (counted & COUNTED_TIMELY) != 0 ? one : 0;
    apply->counts.silent += (counted & COUNTED_SILENT) != 0 ? one : 0;
    if ((counted & COUNTED_ACCEPTED) != 0) {
        count_accepted(apply, counted, state->entry.reason, one);
    }
}

static void
count_lack(struct cfc_scope_apply *apply, uint64_t good, uint64_t one)
{
    struct cfc_apply_lack *lack = cfc_apply_lack_of(apply, good);

    if (lack != NULL) {
        lack->count += one;
    } else {
        apply->level += one;
    }
}

bool
cfc_apply_is_current(const struct cfc_apply_entry *state)
{
    uint64_t published = state->scope->apply.counts.published;

    return published != 0 && state->good >= published && !state->consumer->is_stale;
}

static void
enter_list(struct cfc_apply_entry *state)
{
    struct cfc_scope_apply *apply = &state->scope->apply;

    if (cfc_apply_is_current(state)) {
        DL_APPEND(apply->current, state);
    } else {
        DL_APPEND(apply->behind, state);
    }
}

void
cfc_apply_note_change(struct cfc_apply_table *table, struct cfc_scope *scope)
{
    struct cfc_scope_apply *apply = &scope->apply;

    apply->change = ++table->change;
    if (table->recent == scope) {
        return;
    }
    if (apply->prev_change != NULL) { /* The list's head has its tail there. */
        DL_DELETE2(table->recent, scope, apply.prev_change, apply.next_change);
    }
    DL_PREPEND2(table->recent, scope, apply.prev_change, apply.next_change);
}

struct cfc_apply_change
cfc_apply_change_begin(struct cfc_apply_entry *state)
{
    struct cfc_apply_change change = {.was_current = cfc_apply_is_current(state),
                                      .good = state->good};

    if (state->generation != state->scope->apply.generation) {
        state->counted &= COUNTED_KEPT;
        state->is_silent = false;
        state->generation = state->scope->apply.generation;
    }
    change.counted = state->counted;
    change.was_rejected = (state->counted & COUNTED_REJECTED) != 0;
    count(state, UINT64_MAX);
    return change;
}

void
cfc_apply_change_end(struct cfc_apply_table *table, struct cfc_apply_entry *state,
                     const struct cfc_apply_change *change)
{
    struct cfc_scope_apply *apply = &state->scope->apply;
    uint64_t good = state->good;

    state->counted = classify(state);
    count(state, 1);
    if (good != change->good) {
        count_lack(apply, change->good, UINT64_MAX);
        count_lack(apply, good, 1);
    }
    if (cfc_apply_is_current(state) != change->was_current) {
        if (change->was_current) {
            DL_DELETE(apply->current, state);
        } else {
            DL_DELETE(apply->behind, state);
        }
        enter_list(state);
    }
    if (state->counted != change->counted || good != change->good) {
        cfc_apply_note_change(table, state->scope);
    }
}

void
cfc_apply_table_published(struct cfc_apply_table *table, struct cfc_scope *scope, uint64_t version,
                          uint64_t unix_ns)
{
    struct cfc_scope_apply *apply = &scope->apply;
    const struct cfc_apply_counts old = apply->counts;

    if (version <= old.published) {
        return;
    }
    apply->counts = (struct cfc_apply_counts){.published = version,
                                              .published_unix_ns = unix_ns,
                                              .total = old.total,
                                              .stale = old.stale,
                                              .cloned = old.cloned,
                                              .alive = old.alive,
                                              .timely = old.timely};
    apply->generation++;
    /* Nobody serves it yet: a report of it would have been the publication. */
    DL_CONCAT(apply->behind, apply->current);
    apply->current = NULL;
    if (apply->detail != NULL) {
        memset(apply->detail->reasons, 0, sizeof(apply->detail->reasons));
        cfc_apply_lack_push(apply, version, unix_ns);
    }
    cfc_apply_note_change(table, scope);
    cfc_apply_mark_published(table, scope);
}

void
cfc_apply_count_enter(struct cfc_apply_table *table, struct cfc_apply_entry *state)
{
    struct cfc_scope_apply *apply = &state->scope->apply;

    apply->counts.total++;
    apply->counts.stale += state->consumer->is_stale;
    apply->counts.cloned += state->consumer->clone != NULL;
    state->generation = apply->generation;
    state->counted = classify(state);
    count(state, 1);
    count_lack(apply, state->good, 1);
    enter_list(state);
    cfc_apply_note_change(table, state->scope);
}

void
cfc_apply_count_leave(struct cfc_apply_table *table, struct cfc_apply_entry *state)
{
    struct cfc_scope_apply *apply = &state->scope->apply;

    cfc_apply_change_begin(state);
    count_lack(apply, state->good, UINT64_MAX);
    if (cfc_apply_is_current(state)) {
        DL_DELETE(apply->current, state);
    } else {
        DL_DELETE(apply->behind, state);
    }
    apply->counts.total--;
    apply->counts.stale -= state->consumer->is_stale;
    apply->counts.cloned -= state->consumer->clone != NULL;
    cfc_apply_note_change(table, state->scope);
}

/* ---- Views ------------------------------------------------------------------------------------
 */

void
cfc_apply_view_of(const struct cfc_apply_entry *state, struct cfc_apply_view *view)
{
    const struct cfc_apply_consumer *consumer = state->consumer;
    const struct cfc_apply_lack *lack = cfc_apply_lack_of(&state->scope->apply, state->good);

    memset(view, 0, sizeof(*view));
    memcpy(view->consumer, consumer->id, consumer->id_size);
    snprintf(view->scope, sizeof(view->scope), "%s", state->scope->path);
    if (consumer->labels != NULL) {
        snprintf(view->labels, sizeof(view->labels), "%s", consumer->labels->text);
    }
    view->entry = state->entry;
    view->highest_applied = state->highest_applied;
    view->incarnation = state->incarnation;
    view->report_seq = state->report_seq;
    view->seen_unix_ns = consumer->seen_unix_ns;
    view->behind_unix_ns = lack != NULL ? lack->unix_ns : 0;
    view->is_stale = consumer->is_stale;
    view->is_cloned = consumer->clone != NULL;
}

/* Puts a reason where it belongs among the most frequent ones; the last place is for the rest. */
static void
rank_reason(struct cfc_scope_status *status, int error, uint64_t count, uint64_t *rest)
{
    struct cfc_reject_reason *reasons = status->reasons;
    size_t room = CFC_REJECT_REASON_COUNT_MAX - 1;
    size_t at = status->reason_count;

    if (error == 0 || (at == room && reasons[at - 1].count >= count)) {
        *rest += count;
        return;
    }
    if (at == room) {
        *rest += reasons[--at].count;
    } else {
        status->reason_count++;
    }
    for (; at > 0 && reasons[at - 1].count < count; at--) {
        reasons[at] = reasons[at - 1];
    }
    reasons[at] = (struct cfc_reject_reason){.error = error, .count = count};
}

void
cfc_apply_status_of(const struct cfc_scope *scope, uint64_t unix_ns, uint64_t bound_ns,
                    struct cfc_scope_status *status)
{
    const struct cfc_scope_apply *apply = &scope->apply;
    uint64_t rest = 0;

    memset(status, 0, sizeof(*status));
    status->counts = apply->counts;
    status->counts.version = scope->decision != NULL ? scope->decision->version : 0;
    status->change = apply->change;
    status->behind = apply->counts.total - apply->counts.applied;
    status->bound_ns = bound_ns;
    if (apply->detail == NULL) {
        return;
    }
    status->behind_unix_ns = cfc_apply_lack_oldest(apply);
    if (bound_ns != 0 && unix_ns > bound_ns) {
        status->beyond_bound = cfc_apply_lack_count(apply, unix_ns - bound_ns);
    }
    for (int i = 0; i < CFC_APPLY_REASON_COUNT; i++) {
        if (apply->detail->reasons[i] != 0) {
            rank_reason(status, -i, apply->detail->reasons[i], &rest);
        }
    }
    if (rest != 0) {
        status->reasons[status->reason_count++] = (struct cfc_reject_reason){.count = rest};
    }
}

int
cfc_apply_compare_consumers(const void *a, const void *b)
{
    const struct cfc_apply_consumer *const *x = a;
    const struct cfc_apply_consumer *const *y = b;

    return strcmp((*x)->id, (*y)->id);
}
