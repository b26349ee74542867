/* Reports, status, inventory. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/scope.h"

enum {
    VIEW_COUNT_MAX = 100000 /* views in one answer */
};

/* Under the lock. */
static int
report_entry(struct cfc_service *service, const char *consumer, uint64_t incarnation,
             uint64_t report_seq, const struct cfc_report_entry *entry, uint64_t unix_ns,
             struct cfc_report_result *result)
{
    struct cfc_scope *scope = cfc_catalog_find_id(&service->catalog, entry->scope_id);
    enum cfc_apply_verdict verdict;
    int error;

    if (scope == NULL) {
        result->unknown++;
        return CONFCAST_OK;
    }
    if (entry->epoch > service->epoch) {
        result->refused++;
        return CONFCAST_OK;
    }
    error = cfc_apply_table_report(&service->apply, scope, consumer, incarnation, report_seq, entry,
                                   unix_ns, &verdict);
    if (error != CONFCAST_OK) {
        return error;
    }
    result->taken += verdict == CFC_APPLY_TAKEN;
    result->repeated += verdict == CFC_APPLY_REPEATED;
    result->refused += verdict == CFC_APPLY_REFUSED;
    return CONFCAST_OK;
}

int
cfc_service_report(struct cfc_service *service, const char *consumer, uint64_t incarnation,
                   uint64_t report_seq, const struct cfc_report_entry *entries, size_t count,
                   uint64_t unix_ns, struct cfc_report_result *result)
{
    struct cfc_report_result taken = {0};
    int error = cfc_consumer_id_check(consumer, strlen(consumer));

    if (error != CONFCAST_OK) {
        return error;
    }
    pthread_mutex_lock(&service->lock);
    for (size_t i = 0; error == CONFCAST_OK && i < count; i++) {
        error =
            report_entry(service, consumer, incarnation, report_seq, &entries[i], unix_ns, &taken);
    }
    pthread_mutex_unlock(&service->lock);
    if (result != NULL) {
        *result = taken;
    }
    return error;
}

void
cfc_service_report_clock(struct cfc_service *service, const char *consumer, int64_t clock_error_ns,
                         uint32_t clock_bound_us)
{
    int64_t max_ns = (int64_t)service->config.clock_error_max_ns;

    /* A bound of 0: the consumer has seen no signed time yet. */
    pthread_mutex_lock(&service->lock);
    cfc_apply_table_clock(&service->apply, consumer,
                          clock_bound_us != 0 && clock_error_ns >= -max_ns &&
                              clock_error_ns <= max_ns);
    pthread_mutex_unlock(&service->lock);
}

int
cfc_service_status(struct cfc_service *service, const char *path, struct cfc_apply_counts *counts)
{
    struct cfc_scope *scope;
    int error;

    memset(counts, 0, sizeof(*counts));
    pthread_mutex_lock(&service->lock);
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK) {
        *counts = scope->apply.counts;
        counts->version = scope->decision != NULL ? scope->decision->version : 0;
    }
    pthread_mutex_unlock(&service->lock);
    return error;
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

static int
compare_scopes(const void *a, const void *b)
{
    const struct cfc_apply_view *x = a;
    const struct cfc_apply_view *y = b;

    return strcmp(x->scope, y->scope);
}

/* The views of one consumer, in the order of scopes; as many as there is room for. */
static size_t
view_consumer(const struct cfc_apply_consumer *consumer, struct cfc_apply_view *items,
              size_t count_max)
{
    const struct cfc_apply_entry *state;
    size_t count = 0;

    for (state = consumer->states; state != NULL && count < count_max; state = state->sibling) {
        cfc_apply_view_of(state, &items[count++]);
    }
    qsort(items, count, sizeof(*items), compare_scopes);
    return count;
}

/* The consumers to show, in the order of ids; NULL without memory. */
static struct cfc_apply_consumer **
choose_consumers(struct cfc_service *service, const char *id, const char *after, size_t *count)
{
    size_t known = HASH_COUNT(service->apply.by_id);
    struct cfc_apply_consumer **chosen = calloc(known + 1, sizeof(*chosen));
    struct cfc_apply_consumer *consumer;

    *count = 0;
    if (chosen == NULL) {
        return NULL;
    }
    if (id != NULL) {
        HASH_FIND(hh, service->apply.by_id, id, strlen(id), consumer);
        if (consumer != NULL) {
            chosen[(*count)++] = consumer;
        }
        return chosen;
    }
    for (consumer = service->apply.by_id; consumer != NULL; consumer = consumer->hh.next) {
        if (after == NULL || strcmp(consumer->id, after) > 0) {
            chosen[(*count)++] = consumer;
        }
    }
    qsort(chosen, *count, sizeof(struct cfc_apply_consumer *), cfc_apply_compare_consumers);
    return chosen;
}

static size_t
count_views(struct cfc_apply_consumer *const *consumers, size_t consumer_count, size_t count_max)
{
    size_t count = 0;

    for (size_t i = 0; i < consumer_count && count < count_max; i++) {
        const struct cfc_apply_entry *state;

        for (state = consumers[i]->states; state != NULL; state = state->sibling) {
            count++;
        }
    }
    return count < count_max ? count : count_max;
}

int
cfc_service_consumers(struct cfc_service *service, const char *consumer, const char *after,
                      size_t count_max, struct cfc_apply_view **items, size_t *count)
{
    struct cfc_apply_consumer **consumers;
    size_t consumer_count;
    size_t room = 0;

    *items = NULL;
    *count = 0;
    if (count_max > VIEW_COUNT_MAX) {
        count_max = VIEW_COUNT_MAX;
    }
    pthread_mutex_lock(&service->lock);
    consumers = choose_consumers(service, consumer, after, &consumer_count);
    if (consumers != NULL) {
        room = count_views(consumers, consumer_count, count_max);
        *items = calloc(room + 1, sizeof(**items));
    }
    for (size_t i = 0; *items != NULL && i < consumer_count && *count < room; i++) {
        *count += view_consumer(consumers[i], *items + *count, room - *count);
    }
    pthread_mutex_unlock(&service->lock);
    free(consumers);
    return *items != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}
