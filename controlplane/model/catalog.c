#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(obj) (is_out_of_memory = true)

#include "controlplane/model/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/rules.h"
#include "protocol/trust/digest.h"

void
cfc_catalog_init(struct cfc_catalog *catalog, struct cfc_sha256 *sha)
{
    *catalog = (struct cfc_catalog){.sha = sha};
}

static void
drop(struct cfc_catalog *catalog, struct cfc_scope *scope)
{
    HASH_DELETE(hh, catalog->by_path, scope);
    cfc_decision_unref(scope->decision);
    cfc_rules_free(scope->rules);
    free(scope->dependents);
    free(scope->path);
    free(scope->apply.detail);
    free(scope);
}

void
cfc_catalog_free(struct cfc_catalog *catalog)
{
    struct cfc_scope *scope;
    struct cfc_scope *next;

    HASH_CLEAR(hh_id, catalog->by_id);
    HASH_ITER(hh, catalog->by_path, scope, next)
    {
        drop(catalog, scope);
    }
    catalog->fresh = NULL;
}

static bool
has_rules(const struct cfc_scope *scope)
{
    return scope->rules != NULL && (scope->rules->heads[CFC_RULE_SCHEMA].revision != 0 ||
                                    scope->rules->heads[CFC_RULE_SETTINGS].revision != 0);
}

static bool
is_needed(const struct cfc_scope *scope)
{
    return scope->is_known || scope->dependent_count > 0 || scope->tenant_scope_count > 0 ||
           has_rules(scope) || scope->release_seq != 0;
}

void
cfc_catalog_tidy(struct cfc_catalog *catalog)
{
    struct cfc_scope *next;

    for (struct cfc_scope *scope = catalog->fresh; scope != NULL; scope = next) {
        next = scope->next_fresh;
        scope->next_fresh = NULL;
        if (!is_needed(scope)) {
            drop(catalog, scope);
        }
    }
    catalog->fresh = NULL;
}

struct cfc_scope *
cfc_catalog_find(struct cfc_catalog *catalog, const char *path)
{
    struct cfc_scope *scope = NULL;

    HASH_FIND(hh, catalog->by_path, path, strlen(path), scope);
    return scope;
}

struct cfc_scope *
cfc_catalog_find_tenant(struct cfc_catalog *catalog, const char *path)
{
    struct cfc_scope *scope = NULL;

    HASH_FIND(hh, catalog->by_path, path, strcspn(path, "/"), scope);
    return scope;
}

struct cfc_scope *
cfc_catalog_find_known(struct cfc_catalog *catalog, const char *path)
{
    struct cfc_scope *scope = cfc_catalog_find(catalog, path);

    return scope != NULL && scope->is_known ? scope : NULL;
}

struct cfc_scope *
cfc_catalog_find_id(struct cfc_catalog *catalog, uint64_t id)
{
    struct cfc_scope *scope = NULL;

    HASH_FIND(hh_id, catalog->by_id, &id, sizeof(id), scope);
    return scope;
}

struct cfc_scope *
cfc_catalog_ensure(struct cfc_catalog *catalog, const char *path)
{
    struct cfc_scope *scope = cfc_catalog_find(catalog, path);
    bool is_out_of_memory = false;

    if (scope != NULL) {
        return scope;
    }
    scope = calloc(1, sizeof(*scope));
    if (scope == NULL) {
        return NULL;
    }
    scope->path = strdup(path);
    if (scope->path == NULL) {
        goto err_free;
    }
    scope->id = cfc_scope_id(catalog->sha, path, strlen(path));
    cfc_release_init(&scope->release);
    HASH_ADD_KEYPTR(hh, catalog->by_path, scope->path, strlen(scope->path), scope);
    if (is_out_of_memory) {
        goto err_free;
    }
    scope->next_fresh = catalog->fresh;
    catalog->fresh = scope;
    return scope;

err_free:
    free(scope->path);
    free(scope);
    return NULL;
}

int
cfc_catalog_prefixes(struct cfc_catalog *catalog, const char *path,
                     struct cfc_scope *layers[CFC_LAYER_COUNT_MAX], uint32_t *count)
{
    char prefix[CFC_SCOPE_SIZE_MAX + 1];
    size_t size = strlen(path);

    *count = 0;
    for (size_t i = 1; i <= size; i++) {
        struct cfc_scope *layer;

        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(prefix, path, i);
        prefix[i] = '\0';
        layer = cfc_catalog_ensure(catalog, prefix);
        if (layer == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
        layers[(*count)++] = layer;
    }
    return CONFCAST_OK;
}

/* The last dependent takes the place of the one that goes, without a search: a layer may have very
 * many. */
static void
forget_dependent(struct cfc_scope *layer, uint32_t place)
{
    struct cfc_scope *last = layer->dependents[--layer->dependent_count];

    layer->dependents[place] = last;
    for (uint32_t i = 0; i < last->layer_count; i++) {
        if (last->layers[i] == layer) {
            last->layer_places[i] = place;
        }
    }
}

static int
reserve_dependent(struct cfc_scope *layer)
{
    uint32_t capacity = layer->dependent_capacity * 2 + 4;
    struct cfc_scope **dependents;

    if (layer->dependent_count < layer->dependent_capacity) {
        return CONFCAST_OK;
    }
    dependents = realloc(layer->dependents, capacity * sizeof(*dependents));
    if (dependents == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    layer->dependents = dependents;
    layer->dependent_capacity = capacity;
    return CONFCAST_OK;
}

int
cfc_catalog_set_layers(struct cfc_scope *scope, struct cfc_scope *const *layers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int error = reserve_dependent(layers[i]);

        if (error != CONFCAST_OK) {
            return error;
        }
    }
    for (uint32_t i = 0; i < scope->layer_count; i++) {
        forget_dependent(scope->layers[i], scope->layer_places[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        scope->layers[i] = layers[i];
        scope->layer_places[i] = layers[i]->dependent_count;
        layers[i]->dependents[layers[i]->dependent_count++] = scope;
    }
    scope->layer_count = count;
    return CONFCAST_OK;
}

int
cfc_catalog_know(struct cfc_catalog *catalog, struct cfc_scope *scope)
{
    struct cfc_scope *layers[CFC_LAYER_COUNT_MAX];
    bool is_out_of_memory = false;
    uint32_t count;
    int error;

    if (scope->is_known) {
        return CONFCAST_OK;
    }
    error = cfc_catalog_prefixes(catalog, scope->path, layers, &count);
    if (error == CONFCAST_OK) {
        error = cfc_catalog_set_layers(scope, layers, count);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    HASH_ADD(hh_id, catalog->by_id, id, sizeof(scope->id), scope);
    if (is_out_of_memory) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    scope->is_known = true;
    layers[0]->tenant_scope_count++; /* the shortest prefix */
    return CONFCAST_OK;
}

int
cfc_scope_compare_paths(const void *a, const void *b)
{
    const struct cfc_scope *const *x = a;
    const struct cfc_scope *const *y = b;

    return strcmp((*x)->path, (*y)->path);
}
