/* Effective config as it is read: the decision in force, its contents, and why a value is what it
 * is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/json/json_merge.h"
#include "controlplane/json/json_parse.h"
#include "controlplane/model/definition.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/scope.h"

/* What a scope that nobody made known is given: its prefixes that have an entry.  Reading makes no
 * entries, so that nobody fills the memory by asking. */
static void
layers_of_unknown(struct cfc_service *service, const char *path, struct cfc_scope **layers,
                  struct cfc_layer_set *set)
{
    struct cfc_layers *prefixes = &service->prefixes;

    *set = (struct cfc_layer_set){.layers = layers};
    cfc_layers_prefixes(prefixes, path);
    for (uint32_t i = 0; i < prefixes->count; i++) {
        struct cfc_scope *layer = cfc_catalog_find(&service->catalog, prefixes->scopes[i]);

        if (layer != NULL) {
            layers[set->count++] = layer;
        }
    }
}

/* The layers of a scope, known or not, and the decision for it (a reference; NULL = nothing was
 * ever released).  Under the lock. */
static int
find_decision(struct cfc_service *service, const char *path, struct cfc_scope **layers,
              struct cfc_layer_set *set, struct cfc_decision **decision)
{
    struct cfc_scope unknown = {.path = (char *)(uintptr_t)path};
    struct cfc_effective_pass pass;
    struct cfc_scope *scope;
    int error = cfc_service_find(service, path, &scope);

    *decision = NULL;
    if (error == CONFCAST_OK) {
        *set = cfc_effective_layers(scope);
        *decision = scope->decision != NULL ? cfc_decision_ref(scope->decision) : NULL;
    }
    if (error != CONFCAST_ERR_NOT_FOUND) {
        return error;
    }
    unknown.id = cfc_scope_id(service->sha, path, strlen(path));
    layers_of_unknown(service, path, layers, set);
    cfc_effective_begin(&pass, service->store, service->sha, service->bodies, service->floor);
    error = cfc_effective_decide(&pass, &unknown, set, NULL, decision);
    cfc_effective_end(&pass);
    service->has_idle_bodies = true;
    return error;
}

int
cfc_service_decision(struct cfc_service *service, const char *path, struct cfc_decision **decision)
{
    struct cfc_scope *layers[CFC_LAYER_COUNT_MAX];
    struct cfc_layer_set set;
    int error;

    *decision = NULL;
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = find_decision(service, path, layers, &set, decision);
    cfc_service_leave(service);
    return error == CONFCAST_OK && *decision == NULL ? CONFCAST_ERR_NOT_FOUND : error;
}

/* What an arm serves now.  The candidate's arm comes first where there is one, the stable one is
 * always the last; before its activation those in the stable arm serve the fallback. */
static const struct cfc_config_body *
pick_content(const struct cfc_decision *decision, bool wants_candidate, bool *is_candidate)
{
    const struct cfc_decision_arm *arm =
        &decision->arms[wants_candidate ? 0 : decision->arm_count - 1];

    *is_candidate = arm->is_candidate;
    if (arm->is_candidate && !wants_candidate && decision->activation != CFC_ACTIVATE_NOW) {
        *is_candidate = false;
        return arm->fallback;
    }
    return arm->content;
}

int
cfc_service_effective(struct cfc_service *service, const char *path, bool wants_candidate,
                      struct cfc_effective *effective)
{
    const struct cfc_config_body *body;
    struct cfc_decision *decision;
    int error;

    memset(effective, 0, sizeof(*effective));
    error = cfc_service_decision(service, path, &decision);
    if (error != CONFCAST_OK) {
        return error;
    }
    body = pick_content(decision, wants_candidate, &effective->is_candidate);
    effective->version = decision->version;
    effective->content_id = body->id;
    error =
        cfc_json_body_to_text(body->body, body->body_size, &effective->text, &effective->text_size);
    cfc_decision_unref(decision);
    return error;
}

void
cfc_effective_free(struct cfc_effective *effective)
{
    free(effective->text);
    memset(effective, 0, sizeof(*effective));
}

/* ---- Why ---------------------------------------------------------------------------------------
 * The texts of the layers are read under the lock and parsed without it; no bytes: the layer gives
 * nothing. */

static int
read_layer(struct cfc_service *service, const struct cfc_scope *layer,
           const struct cfc_scope *rolling, struct cfc_explained_layer *out,
           struct cfc_store_value *text)
{
    int error;

    snprintf(out->scope, sizeof(out->scope), "%s", layer->path);
    out->state = layer->release.state;
    out->is_candidate = layer == rolling;
    out->revision = cfc_effective_revision(&layer->release, out->is_candidate);
    if (out->revision == 0) {
        return CONFCAST_OK;
    }
    error = cfc_definition_read_text(service->store, layer->path, out->revision, text);
    return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
}

static int
read_layers(struct cfc_service *service, const char *path, bool wants_candidate,
            struct cfc_explanation *out, struct cfc_store_value *texts)
{
    struct cfc_scope *layers[CFC_LAYER_COUNT_MAX];
    const struct cfc_scope *rolling;
    struct cfc_decision *decision;
    struct cfc_layer_set set;
    int error = find_decision(service, path, layers, &set, &decision);

    if (error != CONFCAST_OK || decision == NULL) {
        return error != CONFCAST_OK ? error : CONFCAST_ERR_NOT_FOUND;
    }
    pick_content(decision, wants_candidate, &out->is_candidate);
    out->version = decision->version;
    cfc_decision_unref(decision);
    rolling = out->is_candidate ? cfc_effective_rolling(&set, NULL) : NULL;
    for (; error == CONFCAST_OK && out->count < set.count; out->count++) {
        error = read_layer(service, set.layers[out->count], rolling, &out->layers[out->count],
                           &texts[out->count]);
    }
    return error;
}

/* The canonical text of any value. */
static int
text_of(const json_t *value, char **text, size_t *size)
{
    json_t *wrapped;
    int error;

    if (json_is_object(value)) {
        return cfc_json_to_text(value, text, size);
    }
    wrapped = json_pack("{sO}", "v", value);
    if (wrapped == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = cfc_json_to_text(wrapped, text, size);
    json_decref(wrapped);
    if (error == CONFCAST_OK) {
        *size -= strlen("{\"v\":}");
        memmove(*text, *text + strlen("{\"v\":"), *size);
        (*text)[*size] = '\0';
    }
    return error;
}

/* Takes one layer in: what it does, then its merge. */
static int
explain_layer(struct cfc_explanation *out, uint32_t idx, const struct cfc_store_value *text,
              const char *pointer, json_t **merged)
{
    struct cfc_explained_layer *layer = &out->layers[idx];
    struct cfc_explain_step step;
    json_t *patch;
    int error;

    if (text->bytes == NULL) {
        return CONFCAST_OK;
    }
    error = cfc_json_parse_canonical((const char *)text->bytes, text->size, &patch);
    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NO_MEMORY ? error : CONFCAST_ERR_CORRUPT;
    }
    step = cfc_explain_merge(*merged, patch, pointer);
    layer->effect = step.effect;
    layer->at_size = step.at_size;
    if (step.effect != CFC_EXPLAIN_NONE) {
        out->winner_idx = (int)idx;
    }
    if (step.value != NULL) {
        error = text_of(step.value, &layer->text, &layer->text_size);
    }
    if (error == CONFCAST_OK) {
        error = cfc_json_merge_patch(merged, patch);
    }
    json_decref(patch);
    return error;
}

static int
explain(struct cfc_explanation *out, const struct cfc_store_value *texts, const char *pointer)
{
    json_t *merged = json_object();
    int error = merged != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    const json_t *value;

    for (uint32_t i = 0; error == CONFCAST_OK && i < out->count; i++) {
        error = explain_layer(out, i, &texts[i], pointer, &merged);
    }
    value = error == CONFCAST_OK ? cfc_pointer_get(merged, pointer) : NULL;
    if (value != NULL) {
        error = text_of(value, &out->text, &out->text_size);
    }
    json_decref(merged);
    return error;
}

int
cfc_service_explain(struct cfc_service *service, const char *path, bool wants_candidate,
                    const char *pointer, struct cfc_explanation *out)
{
    struct cfc_store_value texts[CFC_LAYER_COUNT_MAX];
    int error = cfc_pointer_check(pointer);

    memset(out, 0, sizeof(*out));
    memset(texts, 0, sizeof(texts));
    out->winner_idx = -1;
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = read_layers(service, path, wants_candidate, out, texts);
    cfc_service_leave(service);
    if (error == CONFCAST_OK) {
        error = explain(out, texts, pointer);
    }
    for (size_t i = 0; i < CFC_LAYER_COUNT_MAX; i++) {
        cfc_store_value_free(&texts[i]);
    }
    if (error != CONFCAST_OK) {
        cfc_explanation_free(out);
    }
    return error;
}

void
cfc_explanation_free(struct cfc_explanation *explanation)
{
    for (uint32_t i = 0; i < explanation->count; i++) {
        free(explanation->layers[i].text);
    }
    free(explanation->text);
    memset(explanation, 0, sizeof(*explanation));
}
