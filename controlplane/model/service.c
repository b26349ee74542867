#include "controlplane/model/service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>
#include <utlist.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/model/service_internal.h"
#include "controlplane/store/meta.h"
#include "protocol/base/scope.h"
#include "protocol/base/time.h"

enum {
    STALE_AFTER_DEFAULT_S = 30,
    IDEMPOTENCY_TTL_DEFAULT_S = 24 * 60 * 60,
    CLOCK_ERROR_MAX_DEFAULT_S = 1,
    FORGET_AFTER_DEFAULT_S = 7 * 24 * 60 * 60,
    EXPIRE_BATCH_MAX = 64, /* batches of forgotten answers in a tick */
    EPOCH_SHIFT = 40,      /* changes of one process, so that those of the next are higher */
};

static void
wake(struct cfc_service *service)
{
    uint64_t one = 1;
    ssize_t written = write(service->wake_fd, &one, sizeof(one));

    (void)written; /* It can only be full, and then it is readable. */
}

static void
quiet(struct cfc_service *service)
{
    uint64_t count;
    ssize_t taken = read(service->wake_fd, &count, sizeof(count));

    (void)taken; /* It can only be empty. */
}

static void
enqueue(struct cfc_service *service, struct cfc_scope *scope)
{
    if (scope->is_queued) {
        DL_DELETE(service->queue, scope);
    }
    scope->is_queued = true;
    scope->queued_seq = cfc_store_seq(service->store);
    DL_APPEND(service->queue, scope);
    wake(service);
}

void
cfc_service_install(struct cfc_service *service, struct cfc_scope *scope,
                    struct cfc_decision *decision)
{
    service->has_idle_bodies = true;
    cfc_decision_unref(scope->decision);
    scope->decision = decision;
    cfc_apply_note_change(&service->apply, scope);
    if (decision != NULL) {
        enqueue(service, scope);
    }
}

/* Whoever was told to wait for commits that are gone is told so now. */
static void
note_loss(struct cfc_service *service)
{
    service->needs_load = true;
    if (service->committer != NULL) {
        cfc_committer_lost(service->committer);
    }
}

static void
check_loss(struct cfc_service *service)
{
    if (cfc_store_seq(service->store) < service->seq) {
        note_loss(service);
    }
}

/* CONFCAST_ERR_IO: the batch that was just staged took the number of one that is gone. */
static int
check_staged(struct cfc_service *service, uint64_t seq)
{
    if (seq > service->seq) {
        return CONFCAST_OK;
    }
    note_loss(service);
    return CONFCAST_ERR_IO;
}

/* Makes what was staged durable, or has it done. */
static int
finish_commit(struct cfc_service *service, uint64_t seq)
{
    int error;

    if (service->committer != NULL) {
        cfc_committer_staged(service->committer, seq);
        return CONFCAST_OK;
    }
    error = cfc_store_sync(service->store);
    return error == CONFCAST_OK || cfc_store_settle(service->store) == CONFCAST_OK ? CONFCAST_OK
                                                                                   : error;
}

int
cfc_service_commit(struct cfc_service *service, struct cfc_store_batch *batch, uint64_t *seq)
{
    int error;

    cfc_audit_seal(service, batch);
    batch->seen_seq = service->seq;
    /* What was lost since the service was entered must not be built on. */
    error = cfc_store_seq(service->store) < service->seq
                ? CONFCAST_ERR_IO
                : cfc_store_stage(service->store, batch, seq);
    if (error == CONFCAST_OK && cfc_store_batch_has_writes(batch)) {
        error = check_staged(service, *seq);
    }
    if (error == CONFCAST_OK) {
        error = finish_commit(service, *seq);
    }
    cfc_audit_sealed(service, batch, error == CONFCAST_OK ? *seq : 0);
    switch (error) {
    case CONFCAST_OK:
        service->seq = *seq;
        return CONFCAST_OK;
    case CONFCAST_ERR_LIMIT:
    case CONFCAST_ERR_INVALID:
    case CONFCAST_ERR_NO_SPACE:
        break;
    default:
        service->needs_load = true;
        break;
    }
    check_loss(service);
    return error;
}

/* ---- Loading ----------------------------------------------------------------------------------
 */

static int
item_path(const struct cfc_store_item *item, char path[CFC_SCOPE_SIZE_MAX + 1])
{
    size_t size = item->key_size - 2;

    if (item->key_size < 3 || size > CFC_SCOPE_SIZE_MAX ||
        cfc_scope_check((const char *)item->key + 2, size) != CONFCAST_OK) {
        return CONFCAST_ERR_CORRUPT;
    }
    memcpy(path, item->key + 2, size);
    path[size] = '\0';
    return CONFCAST_OK;
}

/* The entry and the record of an item. */
static int
open_item(struct cfc_service *service, const struct cfc_store_item *item, struct cfc_scope **scope,
          json_t **record)
{
    char path[CFC_SCOPE_SIZE_MAX + 1];
    int error = item_path(item, path);

    if (error != CONFCAST_OK) {
        return error;
    }
    *scope = cfc_catalog_ensure(&service->catalog, path);
    if (*scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    return cfc_record_parse(item->value, item->value_size, record);
}

static int
load_scope(void *arg, const struct cfc_store_item *item)
{
    struct cfc_service *service = arg;
    struct cfc_scope *scope;
    json_t *record;
    int error = open_item(service, item, &scope, &record);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_catalog_know(&service->catalog, scope);
    scope->seq = item->mod_seq;
    scope->is_deleted = json_is_true(json_object_get(record, "tombstone"));
    if (error == CONFCAST_OK && !cfc_record_u64(record, "latest", &scope->latest_revision)) {
        error = CONFCAST_ERR_CORRUPT;
    }
    json_decref(record);
    return error;
}

static int
load_release(void *arg, const struct cfc_store_item *item)
{
    struct cfc_service *service = arg;
    struct cfc_scope *scope;
    json_t *record;
    int error = open_item(service, item, &scope, &record);

    if (error == CONFCAST_OK) {
        error = cfc_release_from_json(record, &scope->release, NULL, NULL);
        scope->release_seq = item->mod_seq;
        cfc_rollout_list(service, scope);
        json_decref(record);
    }
    return error;
}

static int
read_layers(struct cfc_service *service, struct cfc_scope *scope, const json_t *record)
{
    struct cfc_scope *layers[CFC_LAYER_COUNT_MAX];
    const json_t *list = json_object_get(record, "layers");
    uint32_t count = (uint32_t)json_array_size(list);
    int error = CONFCAST_OK;

    if (!json_is_array(list) || json_array_size(list) > CFC_LAYER_COUNT_MAX ||
        !cfc_record_u64(record, "unix_ns", &scope->layers_unix_ns)) {
        return CONFCAST_ERR_CORRUPT;
    }
    scope->has_own_layers = count > 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *path = json_string_value(json_array_get(list, i));

        if (path == NULL || cfc_scope_check(path, strlen(path)) != CONFCAST_OK) {
            return CONFCAST_ERR_CORRUPT;
        }
        layers[i] = cfc_catalog_ensure(&service->catalog, path);
        if (layers[i] == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    if (count == 0) {
        error = cfc_catalog_prefixes(&service->catalog, scope->path, layers, &count);
    }
    return error == CONFCAST_OK ? cfc_catalog_set_layers(scope, layers, count) : error;
}

static int
load_layers(void *arg, const struct cfc_store_item *item)
{
    struct cfc_service *service = arg;
    struct cfc_scope *scope;
    json_t *record;
    int error = open_item(service, item, &scope, &record);

    if (error == CONFCAST_OK) {
        error = read_layers(service, scope, record);
        scope->layers_seq = item->mod_seq;
        json_decref(record);
    }
    return error;
}

static int
load_together(void *arg, const struct cfc_store_item *item)
{
    struct cfc_service *service = arg;
    struct cfc_scope *scope;
    json_t *record;
    int error = open_item(service, item, &scope, &record);

    if (error == CONFCAST_OK) {
        error = cfc_record_u64(record, "unix_ns", &scope->together_unix_ns) ? CONFCAST_OK
                                                                            : CONFCAST_ERR_CORRUPT;
        scope->together_seq = item->mod_seq;
        json_decref(record);
    }
    return error;
}

static int
compare_versions(const void *a, const void *b)
{
    const struct cfc_scope *const *x = a;
    const struct cfc_scope *const *y = b;
    uint64_t x_version = (*x)->decision->version;
    uint64_t y_version = (*y)->decision->version;

    if (x_version != y_version) {
        return x_version < y_version ? -1 : 1;
    }
    return cfc_scope_compare_paths(a, b);
}

/* Queues the given scopes in the order of versions. */
static void
enqueue_sorted(struct cfc_service *service, struct cfc_scope **scopes, size_t count)
{
    qsort(scopes, count, sizeof(struct cfc_scope *), compare_versions);
    for (size_t i = 0; i < count; i++) {
        enqueue(service, scopes[i]);
    }
}

/* Decides for every known scope and collects those whose version is not the one in memory. */
static int
decide_all(struct cfc_service *service)
{
    size_t capacity = HASH_CNT(hh_id, service->catalog.by_id);
    struct cfc_scope **changed = calloc(capacity + 1, sizeof(*changed));
    struct cfc_effective_pass pass;
    size_t count = 0;
    int error = changed != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;

    cfc_effective_begin(&pass, service->store, service->sha, service->bodies, service->floor);
    for (struct cfc_scope *scope = service->catalog.by_id; scope != NULL && error == CONFCAST_OK;
         scope = scope->hh_id.next) {
        struct cfc_layer_set set = cfc_effective_layers(scope);
        struct cfc_decision *decision;
        bool is_changed;

        error = cfc_effective_decide(&pass, scope, &set, NULL, &decision);
        if (error != CONFCAST_OK || decision == NULL) {
            continue;
        }
        is_changed = scope->decision == NULL || scope->decision->version != decision->version;
        cfc_decision_unref(scope->decision);
        scope->decision = decision;
        if (is_changed) {
            changed[count++] = scope;
        }
    }
    cfc_effective_end(&pass);
    service->decided += pass.decide_count;
    /* After an error as well: the next look finds these versions in memory already. */
    if (changed != NULL) {
        enqueue_sorted(service, changed, count);
    }
    free(changed);
    return error;
}

/* What is in memory may rest on commits that are gone.  Consumers report again. */
static void
forget(struct cfc_service *service)
{
    uint64_t change = service->apply.change;
    uint64_t seed = service->apply.seed;

    service->queue = NULL;
    service->rollouts = NULL;
    cfc_apply_table_free(&service->apply);
    cfc_apply_table_init(&service->apply, service->config.stale_after_ns, seed);
    service->apply.change = change + 1;
    cfc_catalog_free(&service->catalog);
    cfc_catalog_init(&service->catalog, service->sha);
    service->seq = 0;
}

/* Makes memory equal to the store.  Records are never removed, so that what is in memory already
 * only has to be overwritten, unless the store has lost commits.  The first read opens the database
 * again where a failure closed it. */
static int
load(struct cfc_service *service)
{
    struct cfc_store *store = service->store;
    int error = cfc_store_get_floor(store, &service->floor);

    if (error == CONFCAST_OK && cfc_store_seq(store) < service->seq) {
        check_loss(service);
        forget(service);
    }
    if (error == CONFCAST_OK) {
        error = cfc_audit_load(service);
    }
    if (error == CONFCAST_OK) {
        error = cfc_store_scan(store, "s/", 2, NULL, 0, load_scope, service);
    }
    if (error == CONFCAST_OK) {
        error = cfc_store_scan(store, "r/", 2, NULL, 0, load_release, service);
    }
    if (error == CONFCAST_OK) {
        error = cfc_store_scan(store, "l/", 2, NULL, 0, load_layers, service);
    }
    if (error == CONFCAST_OK) {
        error = cfc_store_scan(store, "g/", 2, NULL, 0, load_together, service);
    }
    if (error == CONFCAST_OK) {
        error = cfc_rules_load(service);
    }
    if (error == CONFCAST_OK) {
        error = decide_all(service);
    }
    if (error == CONFCAST_OK) {
        error = cfc_apply_table_load(&service->apply, &service->catalog, store);
    }
    if (error == CONFCAST_OK) {
        service->seq = cfc_store_seq(store);
        service->needs_load = false;
    }
    return error;
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

static void
set_config(struct cfc_service *service, const struct cfc_service_config *config)
{
    if (config != NULL) {
        service->config = *config;
    }
    if (service->config.validators_dir != NULL) {
        service->config.validators_dir = strdup(service->config.validators_dir);
    }
    if (service->config.stale_after_ns == 0) {
        service->config.stale_after_ns = STALE_AFTER_DEFAULT_S * CFC_S;
    }
    if (service->config.forget_after_ns == 0) {
        service->config.forget_after_ns = FORGET_AFTER_DEFAULT_S * CFC_S;
    }
    if (service->config.document_size_max == 0) {
        service->config.document_size_max = CFC_JSON_SIZE_MAX_DEFAULT;
    }
    if (service->config.idempotency_ttl_ns == 0) {
        service->config.idempotency_ttl_ns = IDEMPOTENCY_TTL_DEFAULT_S * CFC_S;
    }
    if (service->config.clock_error_max_ns == 0) {
        service->config.clock_error_max_ns = CLOCK_ERROR_MAX_DEFAULT_S * CFC_S;
    }
}

/* The publisher may go on with what waited. */
static void
on_synced(void *arg)
{
    struct cfc_service *service = arg;

    if (atomic_exchange(&service->has_waiting, false)) {
        wake(service);
    }
}

static void
on_sync_failed(void *arg)
{
    struct cfc_service *service = arg;

    pthread_mutex_lock(&service->lock);
    /* What was lost when the service's thread settled does not fail here any more. */
    if (cfc_store_settle(service->store) != CONFCAST_OK) {
        note_loss(service);
    } else {
        check_loss(service);
    }
    pthread_mutex_unlock(&service->lock);
}

static int
start_committer(struct cfc_service *service)
{
    const struct cfc_committer_config config = {
        .store = service->store, .synced = on_synced, .settle = on_sync_failed, .arg = service};

    return cfc_committer_start(&config, &service->committer);
}

int
cfc_service_open(struct cfc_store *store, const struct cfc_service_config *config,
                 struct cfc_service **service)
{
    struct cfc_service *made = calloc(1, sizeof(*made));
    int error = CONFCAST_ERR_NO_MEMORY;
    uint64_t seed = 0;

    *service = NULL;
    if (made == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    made->store = store;
    set_config(made, config);
    if (pthread_mutex_init(&made->lock, NULL) != 0) {
        free(made);
        return CONFCAST_ERR_RESOURCE;
    }
    made->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (made->wake_fd < 0) {
        error = CONFCAST_ERR_RESOURCE;
        goto err_close;
    }
    made->sha = cfc_sha256_new();
    if (made->sha == NULL || cfc_bodies_new(&made->bodies) != CONFCAST_OK) {
        goto err_close;
    }
    cfc_catalog_init(&made->catalog, made->sha);
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        error = CONFCAST_ERR_RESOURCE;
        goto err_close;
    }
    cfc_apply_table_init(&made->apply, made->config.stale_after_ns, seed);
    error = cfc_store_take_epoch(store, &made->epoch);
    made->apply.change = made->epoch << EPOCH_SHIFT;
    if (error == CONFCAST_OK) {
        error = load(made);
    }
    if (error != CONFCAST_OK) {
        goto err_close;
    }
    if (made->config.shares_syncs) {
        error = start_committer(made);
        if (error != CONFCAST_OK) {
            goto err_close;
        }
    }
    *service = made;
    return CONFCAST_OK;

err_close:
    cfc_service_close(made);
    return error;
}

void
cfc_service_interrupt(struct cfc_service *service)
{
    atomic_store(&service->is_interrupted, true);
}

void
cfc_service_close(struct cfc_service *service)
{
    if (service == NULL) {
        return;
    }
    cfc_service_interrupt(service);
    cfc_stage_judge_end(service);
    cfc_committer_stop(service->committer);
    cfc_apply_table_free(&service->apply);
    cfc_catalog_free(&service->catalog);
    cfc_bodies_free(service->bodies);
    cfc_sha256_free(service->sha);
    free((char *)(uintptr_t)service->config.validators_dir);
    if (service->wake_fd >= 0) {
        close(service->wake_fd);
    }
    pthread_mutex_destroy(&service->lock);
    free(service);
}

int
cfc_service_enter(struct cfc_service *service)
{
    int error = CONFCAST_OK;

    pthread_mutex_lock(&service->lock);
    if (service->needs_load || cfc_store_seq(service->store) != service->seq) {
        error = load(service);
    }
    if (error != CONFCAST_OK) {
        service->needs_load = true;
        pthread_mutex_unlock(&service->lock);
    }
    return error;
}

void
cfc_service_leave(struct cfc_service *service)
{
    service->audit.batch = NULL; /* a batch that was never committed */
    cfc_catalog_tidy(&service->catalog);
    pthread_mutex_unlock(&service->lock);
}

int
cfc_service_find(struct cfc_service *service, const char *path, struct cfc_scope **scope)
{
    if (cfc_scope_check(path, strlen(path)) != CONFCAST_OK) {
        return CONFCAST_ERR_SCOPE_NAME;
    }
    *scope = cfc_catalog_find_known(&service->catalog, path);
    return *scope != NULL ? CONFCAST_OK : CONFCAST_ERR_NOT_FOUND;
}

uint64_t
cfc_service_epoch(struct cfc_service *service)
{
    return service->epoch;
}

uint64_t
cfc_service_seq(struct cfc_service *service)
{
    uint64_t durable;
    uint64_t seq;

    pthread_mutex_lock(&service->lock);
    seq = service->seq;
    durable = cfc_store_durable_seq(service->store);
    pthread_mutex_unlock(&service->lock);
    return durable < seq ? durable : seq;
}

uint64_t
cfc_service_decided(struct cfc_service *service)
{
    uint64_t decided;

    pthread_mutex_lock(&service->lock);
    decided = service->decided;
    pthread_mutex_unlock(&service->lock);
    return decided;
}

/* ---- The publisher ----------------------------------------------------------------------------
 */

/* Whether the commit behind a decision is durable.  The flag goes up before the second look, so
 * that a sync which ends in between is not missed. */
static bool
is_ripe(struct cfc_service *service, const struct cfc_scope *scope)
{
    if (scope->queued_seq <= cfc_store_durable_seq(service->store)) {
        return true;
    }
    quiet(service);
    atomic_store(&service->has_waiting, true);
    return scope->queued_seq <= cfc_store_durable_seq(service->store);
}

int
cfc_service_poll_decision(struct cfc_service *service, struct cfc_decision **decision)
{
    struct cfc_scope *scope;

    *decision = NULL;
    pthread_mutex_lock(&service->lock);
    scope = service->queue;
    if (scope == NULL || !is_ripe(service, scope)) {
        pthread_mutex_unlock(&service->lock);
        return CONFCAST_ERR_AGAIN;
    }
    DL_DELETE(service->queue, scope);
    scope->is_queued = false;
    *decision = cfc_decision_ref(scope->decision);
    if (service->queue == NULL) {
        quiet(service);
    }
    pthread_mutex_unlock(&service->lock);
    return CONFCAST_OK;
}

void
cfc_service_requeue_decisions(struct cfc_service *service)
{
    struct cfc_scope **scopes;
    size_t count = 0;

    pthread_mutex_lock(&service->lock);
    scopes = calloc(HASH_CNT(hh_id, service->catalog.by_id) + 1, sizeof(struct cfc_scope *));
    for (struct cfc_scope *scope = service->catalog.by_id; scope != NULL;
         scope = scope->hh_id.next) {
        if (scope->decision == NULL) {
            continue;
        }
        if (scopes != NULL) {
            scopes[count++] = scope;
        } else {
            enqueue(service, scope); /* Without memory they come all the same, unsorted. */
        }
    }
    if (scopes != NULL) {
        enqueue_sorted(service, scopes, count);
    }
    free(scopes);
    pthread_mutex_unlock(&service->lock);
}

int
cfc_service_wake_fd(struct cfc_service *service)
{
    return service->wake_fd;
}

void
cfc_service_note_published(struct cfc_service *service, const char *path, uint64_t version,
                           uint64_t unix_ns)
{
    struct cfc_scope *scope;

    pthread_mutex_lock(&service->lock);
    scope = cfc_catalog_find_known(&service->catalog, path);
    if (scope != NULL) {
        cfc_apply_table_published(&service->apply, scope, version, unix_ns);
    }
    pthread_mutex_unlock(&service->lock);
}

/* As many as changes can come between two ticks, or they would pile up. */
static int
expire_answers(struct cfc_service *service, uint64_t unix_ns)
{
    bool is_done = false;
    int error = CONFCAST_OK;

    for (int i = 0; !is_done && error == CONFCAST_OK && i < EXPIRE_BATCH_MAX; i++) {
        error = cfc_service_enter(service);
        if (error == CONFCAST_OK) {
            error = cfc_change_expire(service, unix_ns, &is_done);
            cfc_service_leave(service);
        }
    }
    return error;
}

int
cfc_service_tick(struct cfc_service *service, uint64_t unix_ns)
{
    bool is_done = false;
    int error = CONFCAST_OK;

    /* The lock is let go between batches, so that a fleet's reports do not keep others waiting. */
    for (int i = 0; !is_done && error == CONFCAST_OK && i < CFC_APPLY_FLUSH_BATCH_MAX; i++) {
        uint64_t seq = 0;

        error = cfc_service_enter(service);
        if (error != CONFCAST_OK) {
            return error;
        }
        error = cfc_apply_table_flush(&service->apply, service->store, &seq, &is_done);
        if (error == CONFCAST_OK && seq != 0) {
            error = check_staged(service, seq);
        }
        if (error == CONFCAST_OK && seq != 0) {
            error = finish_commit(service, seq);
        }
        if (error == CONFCAST_OK && seq != 0) {
            service->seq = seq;
        } else if (error != CONFCAST_OK && error != CONFCAST_ERR_NO_SPACE) {
            service->needs_load = true;
        }
        cfc_service_leave(service);
    }
    pthread_mutex_lock(&service->lock);
    cfc_apply_table_tick(&service->apply, unix_ns, service->config.forget_after_ns);
    if (service->has_idle_bodies) {
        cfc_bodies_sweep(service->bodies);
        /* The publisher may hold some for a while: they are looked for at the next change. */
        service->has_idle_bodies = false;
    }
    pthread_mutex_unlock(&service->lock);
    if (error == CONFCAST_OK) {
        error = cfc_rollout_tick(service, unix_ns);
    }
    /* Last, since it may take long and nothing waits for it. */
    return error == CONFCAST_OK ? expire_answers(service, unix_ns) : error;
}
