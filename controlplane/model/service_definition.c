/* get, history, and scopes that become known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/model/definition.h"
#include "controlplane/model/record_text.h"
#include "controlplane/model/rules.h"
#include "controlplane/model/service_internal.h"
#include "controlplane/store/internal.h"
#include "protocol/base/scope.h"

enum {
    HISTORY_COUNT_MAX = 10000
};

int
cfc_service_check_scope_id(struct cfc_service *service, const struct cfc_scope *scope)
{
    struct cfc_record_key key = cfc_record_key_number('i', scope->id);
    struct cfc_store_value value;
    int error = cfc_store_get(service->store, key.bytes, key.size, &value);

    if (error == CONFCAST_OK) {
        cfc_store_value_free(&value);
        return CONFCAST_ERR_COLLISION;
    }
    return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_OK : error;
}

int
cfc_service_check_scope_count(struct cfc_service *service, const char *path, uint64_t pending,
                              struct cfc_refusal *refusal)
{
    const struct cfc_scope *tenant = cfc_catalog_find_tenant(&service->catalog, path);
    uint64_t count = tenant != NULL ? tenant->tenant_scope_count : 0;
    uint64_t max = CFC_TENANT_SCOPE_COUNT_MAX;

    if (tenant != NULL && tenant->rules != NULL && tenant->rules->settings.scopes_max != 0 &&
        tenant->rules->settings.scopes_max < max) {
        max = tenant->rules->settings.scopes_max;
    }
    if (count + pending < max) {
        return CONFCAST_OK;
    }
    if (refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message),
                 "the tenant %.*s has %llu scopes of at most %llu: %s", (int)strcspn(path, "/"),
                 path, (unsigned long long)(count + pending), (unsigned long long)max,
                 max < CFC_TENANT_SCOPE_COUNT_MAX ? "raise scopes_max in its settings"
                                                  : "use another tenant");
    }
    return CONFCAST_ERR_SCOPE_COUNT;
}

int
cfc_service_add_scope(struct cfc_service *service, struct cfc_store_batch *batch,
                      const struct cfc_scope *scope, uint64_t latest_revision, bool is_deleted)
{
    struct cfc_record_key key = cfc_record_key_named('s', scope->path);
    struct cfc_record_text text;

    if (!scope->is_known) {
        struct cfc_record_key id_key = cfc_record_key_number('i', scope->id);
        int error = cfc_service_check_scope_id(service, scope);

        if (error != CONFCAST_OK) {
            return error;
        }
        cfc_record_guard(batch, &id_key, 0);
        cfc_store_put(batch, id_key.bytes, id_key.size, scope->path, strlen(scope->path));
    }
    cfc_record_guard(batch, &key, scope->seq);
    cfc_record_text_begin(&text);
    cfc_record_text_number(&text, "latest", latest_revision);
    cfc_record_text_flag(&text, "tombstone", is_deleted);
    cfc_record_text_put(&text, batch, &key);
    return CONFCAST_OK;
}

/* The first decision for a scope that has just become known. */
static int
decide_new(struct cfc_service *service, struct cfc_scope *scope)
{
    struct cfc_layer_set set = cfc_effective_layers(scope);
    struct cfc_effective_pass pass;
    struct cfc_decision *decision;
    int error;

    cfc_effective_begin(&pass, service->store, service->sha, service->bodies, service->floor);
    error = cfc_effective_decide(&pass, scope, &set, NULL, &decision);
    cfc_effective_end(&pass);
    service->decided += pass.decide_count;
    if (error == CONFCAST_OK && decision != NULL) {
        cfc_service_install(service, scope, decision);
    }
    return error;
}

void
cfc_service_scope_committed(struct cfc_service *service, struct cfc_scope *scope, uint64_t seq,
                            uint64_t latest_revision, bool is_deleted, bool is_decided)
{
    bool was_known = scope->is_known;
    int error = cfc_catalog_know(&service->catalog, scope);

    scope->seq = seq;
    scope->latest_revision = latest_revision;
    scope->is_deleted = is_deleted;
    if (error == CONFCAST_OK && !was_known && !is_decided) {
        error = decide_new(service, scope);
    }
    if (error != CONFCAST_OK) {
        /* The change is done; memory catches up before the next call. */
        service->needs_load = true;
    }
}

int
cfc_service_get(struct cfc_service *service, const char *path, uint64_t revision,
                struct cfc_definition *definition)
{
    struct cfc_store_value text;
    struct cfc_scope *scope;
    int error;

    memset(definition, 0, sizeof(*definition));
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK && scope->latest_revision == 0) {
        error = CONFCAST_ERR_NOT_FOUND;
    }
    if (error == CONFCAST_OK) {
        error = cfc_definition_read_meta(service->store, path,
                                         revision != 0 ? revision : scope->latest_revision,
                                         &definition->meta);
    }
    if (error == CONFCAST_OK && definition->meta.is_gone) {
        error = CONFCAST_ERR_GONE;
    }
    if (error == CONFCAST_OK && !definition->meta.is_tombstone) {
        error = cfc_definition_read_text(service->store, path, definition->meta.revision, &text);
        if (error == CONFCAST_OK) {
            definition->text = (char *)text.bytes;
        } else if (error == CONFCAST_ERR_NOT_FOUND) {
            error = CONFCAST_ERR_CORRUPT;
        }
    }
    cfc_service_leave(service);
    return error;
}

void
cfc_definition_free(struct cfc_definition *definition)
{
    free(definition->text);
    memset(definition, 0, sizeof(*definition));
}

static int
read_history(struct cfc_service *service, const struct cfc_scope *scope, uint64_t before,
             size_t count_max, struct cfc_definition_meta **items, size_t *count)
{
    uint64_t newest = scope->latest_revision;
    int error = CONFCAST_OK;

    if (before != 0 && before <= newest) {
        newest = before - 1;
    }
    if (count_max > newest) {
        count_max = (size_t)newest;
    }
    *items = calloc(count_max + 1, sizeof(**items));
    if (*items == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (; error == CONFCAST_OK && *count < count_max; (*count)++) {
        error = cfc_definition_read_meta(service->store, scope->path, newest - *count,
                                         &(*items)[*count]);
    }
    if (error != CONFCAST_OK) {
        free(*items);
        *items = NULL;
        *count = 0;
        /* Revisions have no gaps. */
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
    }
    return CONFCAST_OK;
}

int
cfc_service_history(struct cfc_service *service, const char *path, uint64_t before,
                    size_t count_max, struct cfc_definition_meta **items, size_t *count)
{
    struct cfc_scope *scope;
    int error;

    *items = NULL;
    *count = 0;
    if (count_max > HISTORY_COUNT_MAX) {
        count_max = HISTORY_COUNT_MAX;
    }
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK) {
        error = read_history(service, scope, before, count_max, items, count);
    }
    cfc_service_leave(service);
    return error;
}

static int
collect_names(struct cfc_service *service, struct cfc_scope **sorted, char **names)
{
    size_t count = 0;
    size_t size = 0;
    char *p;

    for (struct cfc_scope *scope = service->catalog.by_id; scope != NULL;
         scope = scope->hh_id.next) {
        sorted[count++] = scope;
        size += strlen(scope->path) + 1;
    }
    qsort(sorted, count, sizeof(struct cfc_scope *), cfc_scope_compare_paths);
    *names = malloc(size + 1);
    if (*names == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    p = *names;
    for (size_t i = 0; i < count; i++) {
        size_t path_size = strlen(sorted[i]->path) + 1;

        memcpy(p, sorted[i]->path, path_size);
        p += path_size;
    }
    *p = '\0';
    return CONFCAST_OK;
}

size_t
cfc_service_scope_count(struct cfc_service *service)
{
    size_t count;

    pthread_mutex_lock(&service->lock);
    count = HASH_CNT(hh_id, service->catalog.by_id);
    pthread_mutex_unlock(&service->lock);
    return count;
}

int
cfc_service_scopes(struct cfc_service *service, char **scopes, size_t *count)
{
    struct cfc_scope **sorted;
    int error;

    *scopes = NULL;
    *count = 0;
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    *count = HASH_CNT(hh_id, service->catalog.by_id);
    sorted = calloc(*count + 1, sizeof(struct cfc_scope *));
    error = sorted != NULL ? collect_names(service, sorted, scopes) : CONFCAST_ERR_NO_MEMORY;
    free(sorted);
    cfc_service_leave(service);
    if (error != CONFCAST_OK) {
        *count = 0;
    }
    return error;
}
