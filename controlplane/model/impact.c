#include "controlplane/model/impact.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/record.h"
#include "controlplane/model/rules.h"
#include "controlplane/model/service_internal.h"

void
cfc_impact_free(struct cfc_impact *impact)
{
    for (uint32_t i = 0; impact->together.decisions != NULL && i < impact->together.count; i++) {
        cfc_decision_unref(impact->together.decisions[i]);
    }
    free(impact->together.decisions);
    free(impact->together.scopes);
    for (uint32_t i = 0; impact->decisions != NULL && i < impact->count; i++) {
        cfc_decision_unref(impact->decisions[i]);
    }
    free(impact->decisions);
    free(impact->affected);
    memset(impact, 0, sizeof(*impact));
}

int
cfc_impact_layers(struct cfc_service *service, const struct cfc_scope *scope,
                  struct cfc_scope *prefixes[CFC_LAYER_COUNT_MAX], struct cfc_layer_set *set)
{
    if (scope->is_known) {
        *set = cfc_effective_layers(scope);
        return CONFCAST_OK;
    }
    *set = (struct cfc_layer_set){.layers = prefixes};
    return cfc_catalog_prefixes(&service->catalog, scope->path, prefixes, &set->count);
}

static bool
is_changed(const struct cfc_layer_set *set, const struct cfc_what_if *what_if)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (cfc_what_if_release(set->layers[i], what_if) != &set->layers[i]->release) {
            return true;
        }
    }
    return false;
}

/* Sorts by path and drops what is there twice. */
static void
sort_affected(struct cfc_impact *impact)
{
    uint32_t kept = 0;

    qsort(impact->affected, impact->count, sizeof(struct cfc_scope *), cfc_scope_compare_paths);
    for (uint32_t i = 0; i < impact->count; i++) {
        if (kept == 0 || impact->affected[kept - 1] != impact->affected[i]) {
            impact->affected[kept++] = impact->affected[i];
        }
    }
    impact->count = kept;
}

static int
collect_affected(struct cfc_service *service, const struct cfc_impact_request *request,
                 struct cfc_impact *impact)
{
    size_t capacity = request->new_count;

    for (const struct cfc_what_if *w = request->what_if; w != NULL; w = w->next) {
        capacity += w->scope->dependent_count;
    }
    impact->affected = calloc(capacity + 1, sizeof(struct cfc_scope *));
    impact->decisions = calloc(capacity + 1, sizeof(struct cfc_decision *));
    if (impact->affected == NULL || impact->decisions == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (const struct cfc_what_if *w = request->what_if; w != NULL; w = w->next) {
        for (uint32_t i = 0; i < w->scope->dependent_count; i++) {
            impact->affected[impact->count++] = w->scope->dependents[i];
        }
    }
    for (uint32_t i = 0; i < request->new_count; i++) {
        struct cfc_scope *prefixes[CFC_LAYER_COUNT_MAX];
        struct cfc_layer_set set;
        int error = cfc_impact_layers(service, request->new_scopes[i], prefixes, &set);

        if (error != CONFCAST_OK) {
            return error;
        }
        if (is_changed(&set, request->what_if)) {
            impact->affected[impact->count++] = request->new_scopes[i];
        }
    }
    sort_affected(impact);
    return CONFCAST_OK;
}

/* Refuses a rollout that begins while another layer of the same consumers has one. */
static int
check_one_rollout(const struct cfc_layer_set *set, const struct cfc_what_if *what_if,
                  struct cfc_refusal *refusal)
{
    const struct cfc_scope *beginning = NULL;
    const struct cfc_scope *holder = NULL;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct cfc_scope *layer = set->layers[i];

        if (!cfc_release_has_candidate(cfc_what_if_release(layer, what_if))) {
            continue;
        }
        if (beginning == NULL && !cfc_release_has_candidate(&layer->release)) {
            beginning = layer;
        } else {
            holder = layer;
        }
    }
    if (beginning == NULL || holder == NULL) {
        return CONFCAST_OK;
    }
    if (refusal != NULL) {
        snprintf(refusal->holder, sizeof(refusal->holder), "%s", holder->path);
        snprintf(refusal->message, sizeof(refusal->message),
                 "another layer is rolling out for the same consumers");
    }
    return CONFCAST_ERR_STATE;
}

/* ---- Scopes that change together --------------------------------------------------------------
 */

static bool
is_together(const struct cfc_scope *layer)
{
    return layer->rules != NULL && layer->rules->settings.is_together;
}

static bool
is_listed(struct cfc_scope *const *scopes, uint32_t count, const struct cfc_scope *scope)
{
    for (uint32_t i = 0; i < count; i++) {
        if (scopes[i] == scope) {
            return true;
        }
    }
    return false;
}

static int
add_together(struct cfc_impact *impact, struct cfc_scope *scope)
{
    struct cfc_impact_together *t = &impact->together;

    /* Affected ones are in the order of their paths. */
    if (bsearch(&scope, impact->affected, impact->count, sizeof(struct cfc_scope *),
                cfc_scope_compare_paths) != NULL ||
        is_listed(t->scopes, t->count, scope)) {
        return CONFCAST_OK;
    }
    if (t->count == t->capacity) {
        uint32_t capacity = t->capacity > 0 ? 2 * t->capacity : 8;
        struct cfc_scope **scopes = realloc(t->scopes, capacity * sizeof(struct cfc_scope *));

        if (scopes == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
        t->scopes = scopes;
        t->capacity = capacity;
    }
    t->scopes[t->count++] = scope;
    return CONFCAST_OK;
}

/* What rolls out by stages among the scopes of a layer: each consumer of theirs takes part in one
 * of them by its own lot, so that two would be seen apart. */
static int
check_stages(const struct cfc_scope *layer, const struct cfc_what_if *what_if,
             struct cfc_refusal *refusal)
{
    const struct cfc_scope *first = NULL;

    for (uint32_t i = 0; i < layer->dependent_count; i++) {
        const struct cfc_scope *scope = layer->dependents[i];

        for (uint32_t n = 0; n < scope->layer_count; n++) {
            const struct cfc_scope *rolling = scope->layers[n];
            const struct cfc_release *release = cfc_what_if_release(rolling, what_if);

            if (!cfc_release_has_candidate(release) || cfc_release_covers_all(release) ||
                rolling == first) {
                continue;
            }
            if (first != NULL) {
                if (refusal != NULL) {
                    snprintf(refusal->holder, sizeof(refusal->holder), "%s", first->path);
                    snprintf(refusal->message, sizeof(refusal->message),
                             "of scopes that change together only one can roll out by stages");
                }
                return CONFCAST_ERR_STATE;
            }
            first = rolling;
        }
    }
    return CONFCAST_OK;
}

/* All that have `scope`'s layers with the setting. */
static int
collect_with(struct cfc_impact *impact, const struct cfc_scope *scope,
             const struct cfc_what_if *what_if, struct cfc_refusal *refusal)
{
    int error = CONFCAST_OK;

    for (uint32_t i = 0; error == CONFCAST_OK && i < scope->layer_count; i++) {
        const struct cfc_scope *layer = scope->layers[i];

        if (!is_together(layer)) {
            continue;
        }
        if (layer->dependent_count > CFC_TOGETHER_COUNT_MAX) {
            if (refusal != NULL) {
                snprintf(refusal->message, sizeof(refusal->message),
                         "more than %d scopes would change together by the settings of %.200s",
                         CFC_TOGETHER_COUNT_MAX, layer->path);
            }
            return CONFCAST_ERR_LIMIT;
        }
        error = check_stages(layer, what_if, refusal);
        for (uint32_t n = 0; error == CONFCAST_OK && n < layer->dependent_count; n++) {
            error = add_together(impact, layer->dependents[n]);
        }
    }
    return error;
}

/* Those of one that was added count as well, until there is none left. */
static int
collect_together(const struct cfc_impact_request *request, struct cfc_impact *impact,
                 struct cfc_refusal *refusal)
{
    int error = CONFCAST_OK;

    for (uint32_t i = 0; error == CONFCAST_OK && i < impact->count; i++) {
        error = collect_with(impact, impact->affected[i], request->what_if, refusal);
    }
    for (uint32_t i = 0; error == CONFCAST_OK && i < impact->together.count; i++) {
        error = collect_with(impact, impact->together.scopes[i], request->what_if, refusal);
    }
    if (error == CONFCAST_OK && impact->together.count > 0) {
        impact->together.unix_ns = request->what_if->release->changed_unix_ns;
        impact->together.decisions = calloc(impact->together.count, sizeof(struct cfc_decision *));
        error = impact->together.decisions != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    }
    return error;
}

static int
decide_together(struct cfc_effective_pass *pass, const struct cfc_impact_request *request,
                struct cfc_impact *impact)
{
    struct cfc_impact_together *t = &impact->together;
    int error = CONFCAST_OK;

    for (uint32_t i = 0; error == CONFCAST_OK && i < t->count; i++) {
        struct cfc_layer_set set = cfc_effective_layers(t->scopes[i]);

        if (t->scopes[i]->decision == NULL) {
            continue; /* nothing was ever released for it */
        }
        set.seq = UINT64_MAX;
        set.unix_ns = t->unix_ns;
        error = cfc_effective_decide(pass, t->scopes[i], &set, request->what_if, &t->decisions[i]);
    }
    return error;
}

void
cfc_impact_record(const struct cfc_impact *impact, struct cfc_store_batch *batch)
{
    const struct cfc_impact_together *t = &impact->together;

    for (uint32_t i = 0; i < t->count; i++) {
        if (t->decisions[i] != NULL) {
            struct cfc_record_key key = cfc_record_key_named('g', t->scopes[i]->path);

            cfc_record_put(batch, &key, json_pack("{sI}", "unix_ns", (json_int_t)t->unix_ns));
        }
    }
}

static void
install_together(struct cfc_service *service, struct cfc_impact_together *t, uint64_t seq)
{
    for (uint32_t i = 0; i < t->count; i++) {
        struct cfc_decision *decision = t->decisions[i];

        t->decisions[i] = NULL;
        if (decision != NULL) {
            t->scopes[i]->together_seq = seq;
            t->scopes[i]->together_unix_ns = t->unix_ns;
            decision->version = seq > service->floor ? seq : service->floor;
            cfc_service_install(service, t->scopes[i], decision);
        }
    }
}

/* ---- Deciding ---------------------------------------------------------------------------------
 */

static int
decide(struct cfc_service *service, const struct cfc_impact_request *request,
       struct cfc_impact *impact, struct cfc_refusal *refusal)
{
    struct cfc_effective_pass pass;
    int error = CONFCAST_OK;

    cfc_effective_begin(&pass, service->store, service->sha, service->bodies, service->floor);
    pass.pending = request->pending;
    pass.put_off = request->put_off;
    for (uint32_t i = 0; error == CONFCAST_OK && i < impact->count; i++) {
        struct cfc_scope *prefixes[CFC_LAYER_COUNT_MAX];
        struct cfc_layer_set set;

        error = cfc_impact_layers(service, impact->affected[i], prefixes, &set);
        if (error == CONFCAST_OK) {
            error = check_one_rollout(&set, request->what_if, refusal);
        }
        if (error == CONFCAST_OK) {
            error = cfc_effective_decide(&pass, impact->affected[i], &set, request->what_if,
                                         &impact->decisions[i]);
        }
    }
    if (error == CONFCAST_OK) {
        error = decide_together(&pass, request, impact);
    }
    cfc_effective_end(&pass);
    service->decided += pass.decide_count;
    service->has_idle_bodies = true;
    return error;
}

int
cfc_impact_compute(struct cfc_service *service, const struct cfc_impact_request *request,
                   struct cfc_impact *impact, struct cfc_refusal *refusal)
{
    int error;

    memset(impact, 0, sizeof(*impact));
    error = collect_affected(service, request, impact);
    if (error == CONFCAST_OK && request->what_if != NULL) {
        error = collect_together(request, impact, refusal);
    }
    if (error == CONFCAST_OK) {
        error = decide(service, request, impact, refusal);
    }
    if (error != CONFCAST_OK) {
        cfc_impact_free(impact);
    }
    return error;
}

void
cfc_impact_install(struct cfc_service *service, struct cfc_impact *impact, uint64_t seq)
{
    for (uint32_t i = 0; i < impact->count; i++) {
        struct cfc_decision *decision = impact->decisions[i];

        assert(decision != NULL);
        impact->decisions[i] = NULL;
        decision->version = seq > service->floor ? seq : service->floor;
        cfc_service_install(service, impact->affected[i], decision);
    }
    install_together(service, &impact->together, seq);
}
