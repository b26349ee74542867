/* Reports, status, inventory. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/rules.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/scope.h"
#include "protocol/base/time.h"

enum {
    VIEW_COUNT_MAX = 100000,  /* views in one answer */
    PLACES_SEEN_MAX = 200000, /* looked at for one answer, which then says where to go on */
    PLACES_AT_ONCE = 4096,    /* ... without letting others have the lock */
};

/* Under the lock. */
static int
report_entry(struct cfc_service *service, struct cfc_apply_source *source,
             const struct cfc_report_entry *entry, struct cfc_report_result *result)
{
    struct cfc_scope *scope = cfc_catalog_find_id(&service->catalog, entry->scope_id);
    enum cfc_apply_verdict verdict;
    int error;

    if (scope == NULL) {
        result->unknown++;
        service->apply.totals.unknown++;
        return CONFCAST_OK;
    }
    if (entry->epoch > service->epoch) {
        result->refused++;
        service->apply.totals.refused++;
        return CONFCAST_OK;
    }
    error = cfc_apply_table_report(&service->apply, source, scope, entry, &verdict);
    if (error != CONFCAST_OK) {
        return error;
    }
    result->taken += verdict == CFC_APPLY_TAKEN;
    result->repeated += verdict == CFC_APPLY_REPEATED;
    result->refused += verdict == CFC_APPLY_REFUSED;
    return CONFCAST_OK;
}

/* A bound of 0: the consumer has seen no signed time yet. */
static bool
is_timely(const struct cfc_service *service, int64_t clock_error_ns, uint32_t clock_bound_us)
{
    int64_t max_ns = (int64_t)service->config.clock_error_max_ns;

    return clock_bound_us != 0 && clock_error_ns >= -max_ns && clock_error_ns <= max_ns;
}

bool
cfc_service_recall(struct cfc_service *service, const char *id, size_t id_size,
                   struct cfc_consumer_memo *memo)
{
    const struct cfc_apply_consumer *consumer;
    bool is_known;

    pthread_mutex_lock(&service->lock);
    consumer = cfc_apply_table_find(&service->apply, id, id_size);
    is_known = consumer != NULL && consumer->memo.key != 0;
    if (is_known) {
        *memo = consumer->memo;
    }
    pthread_mutex_unlock(&service->lock);
    return is_known;
}

int
cfc_service_take_report(struct cfc_service *service, const struct cfc_report_source *from,
                        const struct cfc_report_entry *entries, size_t count,
                        struct cfc_report_result *result)
{
    struct cfc_report_result taken = {0};
    struct cfc_apply_source source = {.id = from->id,
                                      .id_size = from->id_size,
                                      .incarnation = from->incarnation,
                                      .report_seq = from->report_seq,
                                      .unix_ns = from->unix_ns};
    int error = cfc_consumer_id_check(from->id, from->id_size);

    if (error != CONFCAST_OK) {
        return error;
    }
    pthread_mutex_lock(&service->lock);
    for (size_t i = 0; error == CONFCAST_OK && i < count; i++) {
        error = report_entry(service, &source, &entries[i], &taken);
    }
    if (from->memo != NULL && source.consumer != NULL) {
        source.consumer->memo = *from->memo;
    }
    if (from->has_clock && source.consumer != NULL &&
        from->incarnation == source.consumer->incarnation) {
        cfc_apply_table_clock(&service->apply, source.consumer,
                              is_timely(service, from->clock_error_ns, from->clock_bound_us));
    }
    pthread_mutex_unlock(&service->lock);
    if (result != NULL) {
        *result = taken;
    }
    return error;
}

int
cfc_service_report(struct cfc_service *service, const char *consumer, uint64_t incarnation,
                   uint64_t report_seq, const struct cfc_report_entry *entries, size_t count,
                   uint64_t unix_ns, struct cfc_report_result *result)
{
    struct cfc_report_source source = {.id = consumer,
                                       .id_size = strlen(consumer),
                                       .incarnation = incarnation,
                                       .report_seq = report_seq,
                                       .unix_ns = unix_ns};

    return cfc_service_take_report(service, &source, entries, count, result);
}

void
cfc_service_report_clock(struct cfc_service *service, const char *id, int64_t clock_error_ns,
                         uint32_t clock_bound_us)
{
    struct cfc_apply_consumer *consumer;

    pthread_mutex_lock(&service->lock);
    consumer = cfc_apply_table_find(&service->apply, id, strlen(id));
    if (consumer != NULL) {
        cfc_apply_table_clock(&service->apply, consumer,
                              is_timely(service, clock_error_ns, clock_bound_us));
    }
    pthread_mutex_unlock(&service->lock);
}

int
cfc_service_note_hello(struct cfc_service *service, const char *id, size_t id_size,
                       uint64_t incarnation, const char *labels, uint64_t unix_ns)
{
    struct cfc_apply_source source = {
        .id = id, .id_size = id_size, .incarnation = incarnation, .unix_ns = unix_ns};
    int error = cfc_consumer_id_check(id, id_size);

    if (error != CONFCAST_OK) {
        return error;
    }
    pthread_mutex_lock(&service->lock);
    error = cfc_apply_table_hello(&service->apply, &source);
    if (error == CONFCAST_OK) {
        error = cfc_apply_table_label(&service->apply, source.consumer, labels);
    }
    pthread_mutex_unlock(&service->lock);
    return error;
}

void
cfc_service_note_deltas(struct cfc_service *service, const char *id, size_t id_size,
                        bool takes_deltas)
{
    struct cfc_apply_consumer *consumer;

    pthread_mutex_lock(&service->lock);
    consumer = cfc_apply_table_find(&service->apply, id, id_size);
    if (consumer != NULL) {
        cfc_apply_table_deltas(&service->apply, consumer, takes_deltas);
    }
    pthread_mutex_unlock(&service->lock);
}

void
cfc_service_note_clone(struct cfc_service *service, const char *id, size_t id_size,
                       uint64_t unix_ns)
{
    struct cfc_apply_consumer *consumer;

    pthread_mutex_lock(&service->lock);
    consumer = cfc_apply_table_find(&service->apply, id, id_size);
    if (consumer != NULL) {
        cfc_apply_table_note_clone(&service->apply, consumer, unix_ns);
    }
    pthread_mutex_unlock(&service->lock);
}

int
cfc_service_status(struct cfc_service *service, const char *path, struct cfc_apply_counts *counts)
{
    struct cfc_scope_status status;
    int error = cfc_service_scope_status(service, path, 0, &status);

    *counts = status.counts;
    return error;
}

/* The propagation bound that holds for a scope; 0 = none. */
static uint64_t
bound_ns(struct cfc_service *service, const char *path)
{
    const struct cfc_settings *settings =
        cfc_settings_inherited(&service->catalog, path, CFC_SETTING_PROPAGATION);

    return settings != NULL ? settings->propagation_ms * CFC_MS : 0;
}

int
cfc_service_scope_status(struct cfc_service *service, const char *path, uint64_t unix_ns,
                         struct cfc_scope_status *status)
{
    struct cfc_scope *scope;
    int error;

    memset(status, 0, sizeof(*status));
    pthread_mutex_lock(&service->lock);
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK) {
        cfc_apply_status_of(scope, unix_ns, bound_ns(service, path), status);
    }
    pthread_mutex_unlock(&service->lock);
    return error;
}

int
cfc_service_propagation(struct cfc_service *service, const char *path, uint64_t unix_ns,
                        struct cfc_propagation *propagation)
{
    struct cfc_scope_status status;
    int error = cfc_service_scope_status(service, path, unix_ns, &status);

    *propagation = (struct cfc_propagation){.bound_ms = status.bound_ns / CFC_MS,
                                            .beyond = status.beyond_bound};
    return error;
}

uint64_t
cfc_service_change(struct cfc_service *service)
{
    uint64_t change;

    pthread_mutex_lock(&service->lock);
    change = service->apply.change;
    pthread_mutex_unlock(&service->lock);
    return change;
}

/* Under the lock. */
static int
collect_changed(const struct cfc_service *service, uint64_t change, char **scopes, size_t *count)
{
    const struct cfc_scope *scope;
    size_t size = 0;
    char *p;

    for (scope = service->apply.recent; scope != NULL && scope->apply.change > change;
         scope = scope->apply.next_change) {
        size += strlen(scope->path) + 1;
    }
    p = *scopes = malloc(size + 1);
    if (p == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (scope = service->apply.recent; scope != NULL && scope->apply.change > change;
         scope = scope->apply.next_change) {
        p = stpcpy(p, scope->path) + 1;
        (*count)++;
    }
    return CONFCAST_OK;
}

int
cfc_service_changed_scopes(struct cfc_service *service, uint64_t change, char **scopes,
                           size_t *count)
{
    int error;

    *count = 0;
    pthread_mutex_lock(&service->lock);
    error = collect_changed(service, change, scopes, count);
    pthread_mutex_unlock(&service->lock);
    return error;
}

void
cfc_service_apply_totals(struct cfc_service *service, struct cfc_apply_totals *totals)
{
    pthread_mutex_lock(&service->lock);
    *totals = service->apply.totals;
    totals->consumers = service->apply.consumer_count;
    totals->states = service->apply.state_count;
    totals->unwritten_pages = service->apply.dirty_count;
    pthread_mutex_unlock(&service->lock);
}

/* Under the lock. */
static int
collect_stragglers(const struct cfc_scope *scope, size_t count_max, struct cfc_apply_view **items,
                   size_t *count)
{
    uint64_t behind = scope->apply.counts.total - scope->apply.counts.applied;
    const struct cfc_apply_entry *state;

    if (count_max > behind) {
        count_max = (size_t)behind;
    }
    *items = calloc(count_max + 1, sizeof(**items));
    if (*items == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (state = scope->apply.behind; state != NULL && *count < count_max; state = state->next) {
        cfc_apply_view_of(state, &(*items)[(*count)++]);
    }
    return CONFCAST_OK;
}

int
cfc_service_stragglers(struct cfc_service *service, const char *path, size_t count_max,
                       struct cfc_apply_view **items, size_t *count)
{
    struct cfc_scope *scope;
    int error;

    *items = NULL;
    *count = 0;
    if (count_max > VIEW_COUNT_MAX) {
        count_max = VIEW_COUNT_MAX;
    }
    pthread_mutex_lock(&service->lock);
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK) {
        error = collect_stragglers(scope, count_max, items, count);
    }
    pthread_mutex_unlock(&service->lock);
    return error;
}

/* ---- Inventory --------------------------------------------------------------------------------
 */

/* Whether "k=v" is one of the labels "k=v,k=v". */
static bool
has_label(const struct cfc_apply_consumer *consumer, const char *label)
{
    size_t size = strlen(label);
    const char *p = consumer->labels != NULL ? consumer->labels->text : "";

    for (; *p != '\0'; p += p[strcspn(p, ",")] == ',' ? strcspn(p, ",") + 1 : strcspn(p, ",")) {
        if (strcspn(p, ",") == size && memcmp(p, label, size) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_wanted(const struct cfc_apply_entry *state, const struct cfc_consumer_query *query,
          const struct cfc_scope *scope)
{
    const struct cfc_apply_consumer *consumer = state->consumer;

    return (scope == NULL || state->scope == scope) &&
           (!query->is_behind || consumer->is_stale ||
            state->good < state->scope->apply.counts.published) &&
           (!query->is_stale || consumer->is_stale) && (!query->is_cloned || consumer->clone) &&
           (!query->has_state || (!consumer->is_stale && state->entry.state == query->state)) &&
           (query->label == NULL || has_label(consumer, query->label));
}

static size_t
count_wanted(const struct cfc_apply_consumer *consumer, const struct cfc_consumer_query *query,
             const struct cfc_scope *scope)
{
    const struct cfc_apply_entry *state;
    size_t count = 0;

    for (state = consumer->states; state != NULL; state = state->sibling) {
        count += is_wanted(state, query, scope);
    }
    return count;
}

/* The wanted states of a consumer, as many as there is room for. */
static size_t
view_consumer(const struct cfc_apply_consumer *consumer, const struct cfc_consumer_query *query,
              const struct cfc_scope *scope, struct cfc_apply_view *items, size_t room)
{
    const struct cfc_apply_entry *state;
    size_t count = 0;

    for (state = consumer->states; state != NULL && count < room; state = state->sibling) {
        if (is_wanted(state, query, scope)) {
            cfc_apply_view_of(state, &items[count++]);
        }
    }
    return count;
}

/* The place of a consumer among all: that of its first state, counted from 1. */
static uint64_t
place_of(const struct cfc_apply_consumer *consumer)
{
    const struct cfc_apply_entry *state = consumer->states;
    const struct cfc_apply_entry *first = state - state->place;
    const struct cfc_apply_page *page =
        (const struct cfc_apply_page *)((const char *)first -
                                        offsetof(struct cfc_apply_page, entries));

    return page->number * CFC_APPLY_PAGE_COUNT + state->place + 1;
}

/* Consumers in the order of their places, each where its first state lies.  A consumer whose states
 * do not fit any more begins the next answer, unless it would fill one alone.  True: there are more
 * places to look at for this answer, from *place on. */
static bool
collect_places(struct cfc_service *service, const struct cfc_consumer_query *query,
               const struct cfc_scope *scope, struct cfc_apply_view *items, size_t *count,
               uint64_t *place)
{
    const struct cfc_apply_table *table = &service->apply;
    uint64_t end = (uint64_t)table->page_count * CFC_APPLY_PAGE_COUNT;
    uint64_t last = *place + PLACES_AT_ONCE;
    bool is_full = false;

    for (; *place < end && *place < last; ++*place) {
        const struct cfc_apply_page *page = table->pages[*place / CFC_APPLY_PAGE_COUNT];
        const struct cfc_apply_entry *state;

        if (page == NULL || page->used == 0) {
            *place |= CFC_APPLY_PAGE_COUNT - 1;
            continue;
        }
        state = &page->entries[*place % CFC_APPLY_PAGE_COUNT];
        if (state->consumer == NULL || state->consumer->states != state) {
            continue;
        }
        if (*count > 0 && *count + count_wanted(state->consumer, query, scope) > query->count_max) {
            is_full = true;
            break;
        }
        *count +=
            view_consumer(state->consumer, query, scope, items + *count, query->count_max - *count);
    }
    if (*place >= end) {
        *place = 0;
    }
    return *place != 0 && !is_full;
}

static int
resume(struct cfc_service *service, struct cfc_consumer_query *query)
{
    const struct cfc_apply_consumer *consumer;

    if (query->after == NULL) {
        return CONFCAST_OK;
    }
    consumer = cfc_apply_table_find(&service->apply, query->after, strlen(query->after));
    if (consumer == NULL || consumer->states == NULL) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    query->after_place = place_of(consumer);
    return CONFCAST_OK;
}

/* Under the lock.  *goes_on: call it again, with *place. */
static int
find_some(struct cfc_service *service, const struct cfc_consumer_query *query,
          struct cfc_apply_view *items, size_t *count, uint64_t *place, bool *goes_on)
{
    const struct cfc_apply_consumer *one;
    struct cfc_scope *scope = NULL;
    int error = CONFCAST_OK;

    *goes_on = false;
    if (query->scope != NULL) {
        error = cfc_service_find(service, query->scope, &scope);
    }
    if (error == CONFCAST_OK && query->consumer == NULL) {
        *goes_on = collect_places(service, query, scope, items, count, place);
    } else if (error == CONFCAST_OK) {
        one = cfc_apply_table_find(&service->apply, query->consumer, strlen(query->consumer));
        if (one != NULL) {
            *count = view_consumer(one, query, scope, items, query->count_max);
        }
    }
    return error;
}

int
cfc_service_find_consumers(struct cfc_service *service, const struct cfc_consumer_query *wanted,
                           struct cfc_apply_view **items, size_t *count, uint64_t *next)
{
    struct cfc_consumer_query query = *wanted;
    bool goes_on = false;
    int error;

    *count = 0;
    *next = 0;
    if (query.count_max > VIEW_COUNT_MAX) {
        query.count_max = VIEW_COUNT_MAX;
    }
    *items = calloc(query.count_max + 1, sizeof(**items));
    if (*items == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&service->lock);
    error = resume(service, &query);
    pthread_mutex_unlock(&service->lock);
    if (query.consumer == NULL) {
        *next = query.after_place;
    }
    do {
        pthread_mutex_lock(&service->lock);
        if (error == CONFCAST_OK) {
            error = find_some(service, &query, *items, count, next, &goes_on);
        }
        pthread_mutex_unlock(&service->lock);
    } while (error == CONFCAST_OK && goes_on && *next - query.after_place < PLACES_SEEN_MAX);
    if (error != CONFCAST_OK) {
        free(*items);
        *items = NULL;
    }
    return error;
}

int
cfc_service_consumers(struct cfc_service *service, const char *consumer, const char *after,
                      size_t count_max, struct cfc_apply_view **items, size_t *count)
{
    struct cfc_consumer_query query = {
        .consumer = consumer, .after = after, .count_max = count_max};
    uint64_t next;

    return cfc_service_find_consumers(service, &query, items, count, &next);
}
