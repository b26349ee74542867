#include "controlplane/model/validate.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/time.h"
#include "protocol/snapshot/body.h"

/* One content for one scope, with what it is measured against. */
struct candidate {
    const struct cfc_scope *scope;
    struct cfc_config_body *body;
    const struct cfc_config_body *active; /* NULL = nothing was published */
    bool is_given;                        /* some consumers have it already */
    json_t *root;                         /* of the body; made when a schema asks */
};

static bool
is_body(const struct cfc_config_body *a, const struct cfc_config_body *b)
{
    return a != NULL && b != NULL && cfc_digest_equal(&a->id, &b->id);
}

/* Consumers were given this content already. */
static bool
is_given(const struct cfc_decision *decision, const struct cfc_config_body *body)
{
    for (uint32_t i = 0; decision != NULL && i < decision->arm_count; i++) {
        if (is_body(decision->arms[i].content, body) || is_body(decision->arms[i].fallback, body)) {
            return true;
        }
    }
    return false;
}

/* What consumers outside of a rollout serve. */
static const struct cfc_config_body *
active_of(const struct cfc_decision *decision)
{
    const struct cfc_decision_arm *last;

    if (decision == NULL) {
        return NULL;
    }
    last = &decision->arms[decision->arm_count - 1];
    return last->is_candidate && last->fallback != NULL ? last->fallback : last->content;
}

static int
need_root(struct candidate *candidate)
{
    char *text;
    size_t size;
    int error;

    if (candidate->root != NULL) {
        return CONFCAST_OK;
    }
    error = cfc_json_body_to_text(candidate->body->body, candidate->body->body_size, &text, &size);
    if (error == CONFCAST_OK) {
        error = cfc_json_parse_canonical(text, size, &candidate->root);
        free(text);
    }
    return error;
}

static int
check_schema(struct candidate *candidate, const struct cfc_scope *layer,
             struct cfc_refusal *refusal)
{
    struct cfc_schema_error why;
    int error = need_root(candidate);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_schema_validate(layer->rules->schema, candidate->root, &why);
    if (error != CONFCAST_OK && error != CONFCAST_ERR_NO_MEMORY && refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message),
                 "the effective config of %.511s does not fit the schema of %.120s, revision %llu: "
                 "%.120s: %.160s",
                 candidate->scope->path, layer->path,
                 (unsigned long long)layer->rules->heads[CFC_RULE_SCHEMA].revision,
                 why.instance_pointer[0] != '\0' ? why.instance_pointer : "the root", why.message);
    }
    return error;
}

static double
ratio(double a, double b)
{
    return a > b ? a / b : b / a;
}

static int
check_ratio(const struct candidate *candidate, const char *what, double now, double before,
            double max, struct cfc_refusal *refusal)
{
    if (max == 0 || ratio(now, before) <= max) {
        return CONFCAST_OK;
    }
    if (refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message),
                 "the effective config of %s goes from %.0f to %.0f %s, by more than the ratio %g; "
                 "override=1 allows it",
                 candidate->scope->path, before, now, what, max);
    }
    return CONFCAST_ERR_VALIDATION;
}

static int
check_limits(const struct candidate *candidate, const struct cfc_settings *settings,
             struct cfc_refusal *refusal)
{
    const struct cfc_config_body *active = candidate->active;
    int error;

    if (active == NULL || cfc_body_node_count(active->body) <= 1) {
        return CONFCAST_OK; /* the first config is no jump */
    }
    error = check_ratio(candidate, "bytes", (double)candidate->body->body_size,
                        (double)active->body_size, settings->size_ratio_max, refusal);
    if (error != CONFCAST_OK) {
        return error;
    }
    return check_ratio(candidate, "values", cfc_body_node_count(candidate->body->body),
                       cfc_body_node_count(active->body), settings->key_ratio_max, refusal);
}

/* ---- Jobs -------------------------------------------------------------------------------------
 */

static bool
is_job(const struct cfc_validator_job *a, const struct cfc_validator_job *b)
{
    return a->idx == b->idx && a->settings_revision == b->settings_revision &&
           strcmp(a->scope, b->scope) == 0 && is_body(a->body, b->body);
}

static bool
has_job(const struct cfc_validation *validation, const struct cfc_validator_job *job)
{
    for (size_t i = 0; i < validation->job_count; i++) {
        if (is_job(&validation->jobs[i], job)) {
            return true;
        }
    }
    return false;
}

bool
cfc_validation_covers(const struct cfc_validation *done, const struct cfc_validation *needed)
{
    for (size_t i = 0; i < needed->job_count; i++) {
        if (!has_job(done, &needed->jobs[i])) {
            return false;
        }
    }
    return true;
}

static int
fill_job(struct cfc_service *service, const struct cfc_validator *validator,
         struct cfc_validator_job *job)
{
    const char *folder = service->config.validators_dir;

    if (asprintf(&job->argv[0], "%s/%s", folder, validator->command) < 0) {
        job->argv[0] = NULL;
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < validator->arg_count; i++) {
        job->argv[i + 1] = strdup(validator->args[i]);
        if (job->argv[i + 1] == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    job->timeout_ms = validator->timeout_ms;
    job->memory_mb = validator->memory_mb;
    return CONFCAST_OK;
}

static int
add_job(struct cfc_service *service, struct cfc_validation *validation,
        const struct candidate *candidate, const struct cfc_scope *layer, size_t idx,
        struct cfc_refusal *refusal)
{
    struct cfc_validator_job job = {.settings_revision =
                                        layer->rules->heads[CFC_RULE_SETTINGS].revision,
                                    .idx = idx,
                                    .body = candidate->body};
    int error;

    snprintf(job.scope, sizeof(job.scope), "%s", layer->path);
    if (has_job(validation, &job)) {
        return CONFCAST_OK;
    }
    if (service->config.validators_dir == NULL) {
        cfc_refusal_say(refusal, "the settings name validators, but confcastd has no --validators "
                                 "folder");
        return CONFCAST_ERR_VALIDATION;
    }
    if (validation->job_count == CFC_VALIDATOR_JOB_COUNT_MAX) {
        cfc_refusal_say(refusal, "the change needs more than 64 runs of validators");
        return CONFCAST_ERR_LIMIT;
    }
    if (validation->jobs == NULL) {
        validation->jobs = calloc(CFC_VALIDATOR_JOB_COUNT_MAX, sizeof(job));
        if (validation->jobs == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    cfc_config_body_ref(job.body);
    error = fill_job(service, &layer->rules->settings.validators[idx], &job);
    if (error != CONFCAST_OK) {
        cfc_validator_job_free(&job);
        return error;
    }
    validation->is_interrupted = &service->is_interrupted;
    validation->jobs[validation->job_count++] = job;
    return CONFCAST_OK;
}

int
cfc_validation_run(const struct cfc_validation *validation, struct cfc_refusal *refusal)
{
    static atomic_uint running;
    uint64_t deadline_ns = cfc_validator_now_ns() + CFC_VALIDATION_TIME_MAX_MS * CFC_MS;
    char message[CFC_VALIDATOR_MESSAGE_MAX] = "";
    int error = CONFCAST_OK;

    if (atomic_fetch_add(&running, 1) >= CFC_VALIDATION_COUNT_MAX) {
        snprintf(message, sizeof(message), "other changes are being validated: try again");
        error = CONFCAST_ERR_BUSY;
    }
    for (size_t i = 0; error == CONFCAST_OK && i < validation->job_count; i++) {
        error = cfc_validator_run(&validation->jobs[i], deadline_ns, validation->is_interrupted,
                                  message);
    }
    atomic_fetch_sub(&running, 1);
    if (error != CONFCAST_OK) {
        cfc_refusal_say(refusal, message);
    }
    return error;
}

void
cfc_validation_free(struct cfc_validation *validation)
{
    for (size_t i = 0; i < validation->job_count; i++) {
        cfc_validator_job_free(&validation->jobs[i]);
    }
    free(validation->jobs);
    validation->jobs = NULL;
    validation->job_count = 0;
}

/* ---- Judging ----------------------------------------------------------------------------------
 */

static int
judge(struct cfc_service *service, struct candidate *candidate, const struct cfc_layer_set *set,
      struct cfc_validation *validation, struct cfc_refusal *refusal)
{
    int error = CONFCAST_OK;

    for (uint32_t i = 0; error == CONFCAST_OK && i < set->count; i++) {
        const struct cfc_scope *layer = set->layers[i];

        if (layer->rules == NULL) {
            continue;
        }
        if (layer->rules->schema != NULL) {
            error = check_schema(candidate, layer, refusal);
        }
        if (error == CONFCAST_OK && !validation->is_override && !candidate->is_given) {
            error = check_limits(candidate, &layer->rules->settings, refusal);
        }
        for (size_t k = 0; error == CONFCAST_OK && k < layer->rules->settings.validator_count;
             k++) {
            error = add_job(service, validation, candidate, layer, k, refusal);
        }
    }
    json_decref(candidate->root);
    candidate->root = NULL;
    return error;
}

static bool
has_rules(const struct cfc_layer_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->layers[i]->rules != NULL) {
            return true;
        }
    }
    return false;
}

static int
judge_body(struct cfc_service *service, const struct cfc_scope *scope,
           const struct cfc_layer_set *set, struct cfc_config_body *body,
           struct cfc_validation *validation, struct cfc_refusal *refusal)
{
    struct candidate candidate = {
        .scope = scope, .body = body, .active = active_of(scope->decision)};

    candidate.is_given = is_given(scope->decision, body);
    if (candidate.is_given && !validation->has_new_rules &&
        (!validation->is_advance || is_body(candidate.active, body))) {
        return CONFCAST_OK;
    }
    return judge(service, &candidate, set, validation, refusal);
}

static int
judge_decision(struct cfc_service *service, const struct cfc_scope *scope,
               const struct cfc_layer_set *set, const struct cfc_decision *decision,
               struct cfc_validation *validation, struct cfc_refusal *refusal)
{
    struct cfc_config_body *fallback = decision->arms[decision->arm_count - 1].fallback;
    int error = CONFCAST_OK;

    if (!has_rules(set)) {
        return CONFCAST_OK;
    }
    for (uint32_t i = 0; error == CONFCAST_OK && i < decision->arm_count; i++) {
        error = judge_body(service, scope, set, decision->arms[i].content, validation, refusal);
    }
    /* What an unconfirmed candidate for everybody gives way to has no arm of its own. */
    if (error == CONFCAST_OK && fallback != NULL) {
        error = judge_body(service, scope, set, fallback, validation, refusal);
    }
    return error;
}

/* How many consumers a change reaches, against what the layers of any of them allow. */
static int
check_reach(struct cfc_service *service, const struct cfc_impact *impact,
            struct cfc_refusal *refusal)
{
    uint64_t reached = 0;
    uint64_t max = 0;

    for (uint32_t i = 0; i < impact->count; i++) {
        struct cfc_scope *prefixes[CFC_LAYER_COUNT_MAX];
        struct cfc_layer_set set;
        int error = cfc_impact_layers(service, impact->affected[i], prefixes, &set);

        if (error != CONFCAST_OK) {
            return error;
        }
        reached += impact->affected[i]->apply.counts.total;
        for (uint32_t k = 0; k < set.count; k++) {
            const struct cfc_rules *rules = set.layers[k]->rules;
            uint64_t own = rules != NULL ? rules->settings.consumers_max : 0;

            max = own != 0 && (max == 0 || own < max) ? own : max;
        }
    }
    if (max == 0 || reached <= max) {
        return CONFCAST_OK;
    }
    if (refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message),
                 "the change reaches %llu consumers, more than consumers_max %llu; override=1 "
                 "allows it",
                 (unsigned long long)reached, (unsigned long long)max);
    }
    return CONFCAST_ERR_VALIDATION;
}

int
cfc_validate_impact(struct cfc_service *service, const struct cfc_impact *impact,
                    struct cfc_validation *validation, struct cfc_refusal *refusal)
{
    int error = CONFCAST_OK;

    for (uint32_t i = 0; error == CONFCAST_OK && i < impact->count; i++) {
        struct cfc_scope *prefixes[CFC_LAYER_COUNT_MAX];
        struct cfc_layer_set set;

        error = cfc_impact_layers(service, impact->affected[i], prefixes, &set);
        if (error == CONFCAST_OK) {
            error = judge_decision(service, impact->affected[i], &set, impact->decisions[i],
                                   validation, refusal);
        }
    }
    if (error == CONFCAST_OK && validation->has_promote && !validation->is_override) {
        error = check_reach(service, impact, refusal);
    }
    return error;
}

static bool
is_nothing(const struct cfc_config_body *body)
{
    return body == NULL || cfc_body_node_count(body->body) <= 1;
}

/* No consumer gets anything by it. */
static bool
gives_nothing(const struct cfc_decision *decision)
{
    for (uint32_t i = 0; i < decision->arm_count; i++) {
        if (!is_nothing(decision->arms[i].content) || !is_nothing(decision->arms[i].fallback)) {
            return false;
        }
    }
    return true;
}

int
cfc_validate_layers(struct cfc_service *service, const struct cfc_scope *scope,
                    const struct cfc_layer_set *set, const struct cfc_decision *decision,
                    struct cfc_validation *validation, struct cfc_refusal *refusal)
{
    /* Nothing was released for it yet: an order of layers may come first. */
    return gives_nothing(decision)
               ? CONFCAST_OK
               : judge_decision(service, scope, set, decision, validation, refusal);
}
