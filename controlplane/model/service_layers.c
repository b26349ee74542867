/* Layers, and scopes that are only followed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/preview.h"
#include "controlplane/model/service_internal.h"
#include "controlplane/model/validate.h"
#include "protocol/base/scope.h"

static size_t
tenant_size(const char *path)
{
    return strcspn(path, "/");
}

/* Every layer is well formed, of the scope's tenant, and named once. */
static int
check_layers(const char *scope, const char *const *layers, size_t count,
             struct cfc_refusal *refusal)
{
    size_t tenant = tenant_size(scope);

    if (cfc_scope_check(scope, strlen(scope)) != CONFCAST_OK) {
        return CONFCAST_ERR_SCOPE_NAME;
    }
    if (count > CFC_LAYER_COUNT_MAX) {
        cfc_refusal_say(refusal, "a scope has at most 16 layers");
        return CONFCAST_ERR_LIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        if (cfc_scope_check(layers[i], strlen(layers[i])) != CONFCAST_OK) {
            return CONFCAST_ERR_SCOPE_NAME;
        }
        if (tenant_size(layers[i]) != tenant || memcmp(layers[i], scope, tenant) != 0) {
            cfc_refusal_say(refusal, "a layer belongs to another tenant");
            return CONFCAST_ERR_INVALID;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(layers[i], layers[j]) == 0) {
                cfc_refusal_say(refusal, "a layer is named twice");
                return CONFCAST_ERR_INVALID;
            }
        }
    }
    return CONFCAST_OK;
}

static void
fill_layers(struct cfc_layers *out, struct cfc_scope *const *layers, uint32_t count,
            bool is_default, uint64_t version)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < count; i++) {
        snprintf(out->scopes[i], sizeof(out->scopes[i]), "%s", layers[i]->path);
    }
    out->count = count;
    out->is_default = is_default;
    out->version = version;
}

/* A setting on its way through. */
struct setting {
    struct cfc_change_state change;
    struct cfc_scope *scope;
    struct cfc_scope *layers[CFC_LAYER_COUNT_MAX];
    uint32_t count;
    bool is_default;
    struct cfc_decision *decision;
    struct cfc_validation asked;  /* runs of validators that accepted it */
    struct cfc_validation needed; /* ... and those that it needs */
    struct cfc_preview preview;   /* a dry run: what it would do */
    bool has_preview;
};

static int
resolve_layers(struct cfc_service *service, struct setting *setting, const char *const *layers,
               size_t count)
{
    setting->is_default = count == 0;
    if (count == 0) {
        return cfc_catalog_prefixes(&service->catalog, setting->scope->path, setting->layers,
                                    &setting->count);
    }
    for (size_t i = 0; i < count; i++) {
        setting->layers[i] = cfc_catalog_ensure(&service->catalog, layers[i]);
        if (setting->layers[i] == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    setting->count = (uint32_t)count;
    return CONFCAST_OK;
}

static int
check_one_rollout(const struct setting *setting, struct cfc_refusal *refusal)
{
    const struct cfc_scope *first = NULL;

    for (uint32_t i = 0; i < setting->count; i++) {
        const struct cfc_scope *layer = setting->layers[i];

        if (!cfc_release_has_candidate(&layer->release)) {
            continue;
        }
        if (first != NULL) {
            cfc_refusal_say(refusal, "two of the layers are rolling out");
            if (refusal != NULL) {
                snprintf(refusal->holder, sizeof(refusal->holder), "%s", first->path);
            }
            return CONFCAST_ERR_STATE;
        }
        first = layer;
    }
    return CONFCAST_OK;
}

static int
decide_setting(struct cfc_service *service, struct setting *setting, struct cfc_refusal *refusal)
{
    struct cfc_layer_set set = {.layers = setting->layers,
                                .count = setting->count,
                                .seq = UINT64_MAX,
                                .unix_ns = setting->change.change->unix_ns};
    struct cfc_effective_pass pass;
    int error;

    cfc_effective_begin(&pass, service->store, service->sha, service->bodies, service->floor);
    error = cfc_effective_decide(&pass, setting->scope, &set, NULL, &setting->decision);
    cfc_effective_end(&pass);
    service->decided += pass.decide_count;
    if (error != CONFCAST_OK) {
        return error;
    }
    setting->needed.is_override = setting->change.change->is_override;
    setting->needed.has_new_rules = true;
    error = cfc_validate_layers(service, setting->scope, &set, setting->decision, &setting->needed,
                                refusal);
    if (error != CONFCAST_OK || cfc_validation_covers(&setting->asked, &setting->needed)) {
        return error;
    }
    if (setting->asked.job_count == 0) {
        return CONFCAST_ERR_AGAIN; /* without the lock, they are asked first */
    }
    cfc_refusal_say(refusal, "something changed while the validators ran: try again");
    return CONFCAST_ERR_CONFLICT;
}

/* A dry run: references, which are compared without the lock. */
static int
collect_preview(struct setting *setting)
{
    const struct cfc_impact impact = {
        .affected = &setting->scope, .decisions = &setting->decision, .count = 1};
    int error = cfc_preview_collect(&impact, &setting->preview);

    setting->has_preview = error == CONFCAST_OK;
    return error;
}

static json_t *
layers_json(const struct setting *setting)
{
    json_t *list = json_array();

    for (uint32_t i = 0; !setting->is_default && i < setting->count; i++) {
        if (json_array_append_new(list, json_string(setting->layers[i]->path)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return json_pack("{so sI ss ss}", "layers", list, "unix_ns",
                     (json_int_t)setting->change.change->unix_ns, "author", setting->change.author,
                     "message", setting->change.message);
}

/* After the commit: memory follows. */
static void
setting_committed(struct cfc_service *service, struct setting *setting, uint64_t seq)
{
    struct cfc_scope *scope = setting->scope;
    bool was_known = scope->is_known;
    int error = cfc_catalog_know(&service->catalog, scope);

    if (error == CONFCAST_OK) {
        error = cfc_catalog_set_layers(scope, setting->layers, setting->count);
    }
    if (error != CONFCAST_OK) {
        service->needs_load = true;
        return;
    }
    if (!was_known) {
        scope->seq = seq;
    }
    scope->has_own_layers = !setting->is_default;
    scope->layers_seq = seq;
    scope->layers_unix_ns = setting->change.change->unix_ns;
    setting->decision->version = seq > service->floor ? seq : service->floor;
    cfc_service_install(service, scope, setting->decision);
    setting->decision = NULL;
}

static int
commit_setting(struct cfc_service *service, struct setting *setting, uint64_t *seq)
{
    struct cfc_record_key key = cfc_record_key_named('l', setting->scope->path);
    struct cfc_store_batch batch;
    int error = CONFCAST_OK;

    cfc_store_batch_init(&batch);
    if (!setting->scope->is_known) {
        error = cfc_service_add_scope(service, &batch, setting->scope, 0, false);
    }
    if (error == CONFCAST_OK) {
        cfc_record_guard(&batch, &key, setting->scope->layers_seq);
        cfc_record_put(&batch, &key, layers_json(setting));
        cfc_change_record(service, &setting->change, &batch, "layers", setting->scope->path, 0,
                          layers_json(setting));
        error = cfc_service_commit(service, &batch, seq);
    }
    cfc_store_batch_clear(&batch);
    if (error == CONFCAST_OK) {
        setting_committed(service, setting, *seq);
    }
    return error;
}

/* Somebody was faster: what they set, and who they are. */
static int
refuse_version(struct cfc_service *service, const struct cfc_scope *scope,
               struct cfc_layers *result, struct cfc_refusal *refusal)
{
    struct cfc_record_key key = cfc_record_key_named('l', scope->path);
    json_t *record = NULL;
    const char *author;
    uint64_t seq;

    fill_layers(result, scope->layers, scope->layer_count, !scope->has_own_layers,
                scope->layers_seq);
    if (refusal == NULL) {
        return CONFCAST_ERR_CONFLICT;
    }
    refusal->has_layers = true;
    snprintf(refusal->message, sizeof(refusal->message),
             "the current version is %llu, not the expected one",
             (unsigned long long)scope->layers_seq);
    if (scope->layers_seq != 0 &&
        cfc_record_get(service->store, &key, &record, &seq) == CONFCAST_OK) {
        author = json_string_value(json_object_get(record, "author"));
        snprintf(refusal->current_author, sizeof(refusal->current_author), "%s",
                 author != NULL ? author : "");
        json_decref(record);
    }
    return CONFCAST_ERR_CONFLICT;
}

/* Under the lock.  A replay has changed nothing since, or whoever did has the last word. */
static int
set_layers(struct cfc_service *service, struct setting *setting, const char *path,
           const char *const *layers, size_t count, const uint64_t *expected_version,
           struct cfc_layers *result, struct cfc_refusal *refusal)
{
    uint64_t version = 0;
    bool is_replay;
    json_t *answer;
    int error = cfc_change_replay(service, &setting->change, &answer, &version);

    if (error != CONFCAST_OK && error != CONFCAST_ERR_NOT_FOUND) {
        return error;
    }
    is_replay = error == CONFCAST_OK;
    json_decref(answer);
    setting->scope = cfc_catalog_ensure(&service->catalog, path);
    if (setting->scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (error == CONFCAST_ERR_NOT_FOUND) {
        if (expected_version != NULL && *expected_version != setting->scope->layers_seq) {
            return refuse_version(service, setting->scope, result, refusal);
        }
        error = resolve_layers(service, setting, layers, count);
        if (error == CONFCAST_OK && !setting->scope->is_known) {
            error = cfc_service_check_scope_count(service, path, 0, refusal);
        }
        if (error == CONFCAST_OK) {
            error = check_one_rollout(setting, refusal);
        }
        if (error == CONFCAST_OK) {
            error = decide_setting(service, setting, refusal);
        }
        if (error == CONFCAST_OK) {
            error = setting->change.change->is_dry_run ? collect_preview(setting)
                                                       : commit_setting(service, setting, &version);
        }
    } else {
        error = resolve_layers(service, setting, layers, count);
    }
    if (error == CONFCAST_OK) {
        fill_layers(result, setting->layers, setting->count, setting->is_default, version);
        result->is_replay = is_replay;
    }
    return error;
}

/* What a first look has made, but for the runs that it asked for. */
static void
forget_look(struct setting *setting)
{
    cfc_decision_unref(setting->decision);
    cfc_validation_free(&setting->asked);
    setting->asked = setting->needed;
    setting->needed = (struct cfc_validation){.jobs = NULL};
    setting->decision = NULL;
    setting->count = 0;
}

static int
enter_and_set(struct cfc_service *service, struct setting *setting, const char *scope,
              const char *const *layers, size_t count, const uint64_t *expected_version,
              struct cfc_layers *result, struct cfc_refusal *refusal)
{
    int error = cfc_service_enter(service);

    if (error == CONFCAST_OK) {
        error =
            set_layers(service, setting, scope, layers, count, expected_version, result, refusal);
        cfc_service_leave(service);
    }
    return error;
}

/* Names the request: every layer in its order. */
static char *
join(const char *const *layers, size_t count)
{
    char *joined = calloc(count + 1, CFC_SCOPE_SIZE_MAX + 2);
    size_t size = 0;

    for (size_t i = 0; joined != NULL && i < count; i++) {
        size_t layer_size = strlen(layers[i]);

        memcpy(joined + size, layers[i], layer_size);
        size += layer_size;
        joined[size++] = ' ';
    }
    return joined;
}

int
cfc_service_set_layers(struct cfc_service *service, const struct cfc_change *change,
                       const char *scope, const char *const *layers, size_t layer_count,
                       bool has_expected_version, uint64_t expected_version,
                       struct cfc_layers *result, struct cfc_refusal *refusal)
{
    struct setting setting = {.scope = NULL};
    char expected[32];
    char *joined = NULL;
    int error;

    memset(result, 0, sizeof(*result));
    if (refusal != NULL) {
        memset(refusal, 0, sizeof(*refusal));
    }
    error = check_layers(scope, layers, layer_count, refusal);
    if (error == CONFCAST_OK) {
        joined = join(layers, layer_count);
        error = joined != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    }
    if (error == CONFCAST_OK) {
        const char *parts[] = {
            "layers", scope, joined, expected, change->message != NULL ? change->message : "",
            NULL};

        snprintf(expected, sizeof(expected), "%d %llu", (int)has_expected_version,
                 (unsigned long long)expected_version);
        error = cfc_change_begin(&setting.change, change, parts, "", 0);
    }
    if (error == CONFCAST_OK) {
        const uint64_t *guard = has_expected_version ? &expected_version : NULL;

        error =
            enter_and_set(service, &setting, scope, layers, layer_count, guard, result, refusal);
        if (error == CONFCAST_ERR_AGAIN) {
            struct cfc_change later = *change;
            uint64_t begun_ns = cfc_validator_now_ns();

            forget_look(&setting);
            error = cfc_validation_run(&setting.asked, refusal);
            later.unix_ns += cfc_validator_now_ns() - begun_ns;
            setting.change.change = &later;
            if (error == CONFCAST_OK) {
                error = enter_and_set(service, &setting, scope, layers, layer_count, guard, result,
                                      refusal);
            }
        }
    }
    if (setting.has_preview) {
        result->preview = error == CONFCAST_OK ? cfc_preview_json(&setting.preview) : NULL;
        error = error == CONFCAST_OK && result->preview == NULL ? CONFCAST_ERR_NO_MEMORY : error;
        cfc_preview_free(&setting.preview);
    }
    cfc_validation_free(&setting.asked);
    cfc_validation_free(&setting.needed);
    free(joined);
    cfc_decision_unref(setting.decision);
    if (error != CONFCAST_OK && refusal != NULL && refusal->message[0] == '\0') {
        cfc_refusal_say(refusal, confcast_error_text(error));
    }
    return error;
}

void
cfc_layers_prefixes(struct cfc_layers *out, const char *path)
{
    size_t size = strlen(path);

    out->count = 0;
    out->is_default = true;
    for (size_t i = 1; i <= size; i++) {
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(out->scopes[out->count], path, i);
            out->scopes[out->count++][i] = '\0';
        }
    }
}

int
cfc_service_get_layers(struct cfc_service *service, const char *path, struct cfc_layers *layers)
{
    struct cfc_scope *scope;
    int error;

    memset(layers, 0, sizeof(*layers));
    if (cfc_scope_check(path, strlen(path)) != CONFCAST_OK) {
        return CONFCAST_ERR_SCOPE_NAME;
    }
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    scope = cfc_catalog_find_known(&service->catalog, path);
    if (scope != NULL) {
        fill_layers(layers, scope->layers, scope->layer_count, !scope->has_own_layers,
                    scope->layers_seq);
    } else {
        cfc_layers_prefixes(layers, path);
    }
    cfc_service_leave(service);
    return CONFCAST_OK;
}

/* Under the lock. */
static int
follow(struct cfc_service *service, const struct cfc_change_state *state, const char *path)
{
    struct cfc_scope *scope = cfc_catalog_ensure(&service->catalog, path);
    struct cfc_store_batch batch;
    uint64_t seq = 0;
    int error;

    if (scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (scope->is_known) {
        return CONFCAST_OK;
    }
    error = cfc_service_check_scope_count(service, path, 0, NULL);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_store_batch_init(&batch);
    error = cfc_service_add_scope(service, &batch, scope, 0, false);
    if (error == CONFCAST_OK) {
        cfc_change_record(service, state, &batch, "follow", path, 0, NULL);
        error = cfc_service_commit(service, &batch, &seq);
    }
    cfc_store_batch_clear(&batch);
    if (error == CONFCAST_OK) {
        cfc_service_scope_committed(service, scope, seq, 0, false, false);
    }
    return error;
}

int
cfc_service_follow(struct cfc_service *service, const struct cfc_change *change, const char *scope)
{
    const char *parts[] = {"follow", scope, NULL};
    struct cfc_change plain = *change;
    struct cfc_change_state state;
    int error = cfc_scope_check(scope, strlen(scope));

    plain.idempotency_key = NULL; /* following twice is following once */
    if (error == CONFCAST_OK) {
        error = cfc_change_begin(&state, &plain, parts, "", 0);
    }
    if (error == CONFCAST_OK) {
        error = cfc_service_enter(service);
        if (error == CONFCAST_OK) {
            error = follow(service, &state, scope);
            cfc_service_leave(service);
        }
    }
    return error;
}
