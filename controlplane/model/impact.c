#include "controlplane/model/impact.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"

void
cfc_impact_free(struct cfc_impact *impact)
{
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
}
