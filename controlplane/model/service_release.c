/* Release actions: from an order to one guarded batch and the decisions of all scopes it touches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/definition.h"
#include "controlplane/model/service_internal.h"
#include "controlplane/model/validate.h"
#include "controlplane/store/internal.h"
#include "protocol/base/scope.h"
#include "protocol/base/time.h"

enum {
    PREVIOUS_STEPS_MAX = 64 /* quarantined revisions that a rollback steps over */
};

/* ---- What follows from a release ---------------------------------------------------------------
 */

void
cfc_release_change_free(struct cfc_release_change *change)
{
    cfc_impact_free(&change->impact);
    memset(change, 0, sizeof(*change));
}

/* What was active before a revision that was active once.  CONFCAST_ERR_NOT_FOUND: it never was. */
static int
read_previous(struct cfc_service *service, const struct cfc_scope *scope, uint64_t revision,
              uint64_t *previous)
{
    struct cfc_record_key key = cfc_record_key_numbered('v', scope->path, revision);
    json_t *record;
    int error = cfc_record_get(service->store, &key, &record, NULL);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (!cfc_record_u64(record, "previous", previous)) {
        error = CONFCAST_ERR_CORRUPT;
    }
    json_decref(record);
    return error;
}

int
cfc_release_change_begin(struct cfc_service *service, struct cfc_scope *scope,
                         const struct cfc_release_request *request, uint64_t unix_ns,
                         struct cfc_release_change *change, struct cfc_refusal *refusal)
{
    struct cfc_release *release = &change->release;
    char why[128] = "";
    int error;

    memset(change, 0, sizeof(*change));
    change->scope = scope;
    change->release = scope->release;
    error = cfc_release_apply(&change->release, request, why);
    if (error != CONFCAST_OK) {
        if (why[0] != '\0') {
            cfc_refusal_say(refusal, why);
        }
        cfc_refusal_release(refusal, scope);
        return error;
    }
    release->changed_unix_ns = unix_ns;
    /* Deleted meanwhile and back again: before it was what was before it the first time. */
    return release->active_revision != 0 && release->previous_revision == release->active_revision
               ? read_previous(service, scope, release->active_revision,
                               &release->previous_revision)
               : CONFCAST_OK;
}

int
cfc_release_change_decide(struct cfc_service *service, struct cfc_release_change *change,
                          struct cfc_refusal *refusal)
{
    struct cfc_what_if what_if = {.scope = change->scope, .release = &change->release};
    struct cfc_impact_request request = {.what_if = &what_if};
    int error = cfc_impact_compute(service, &request, &change->impact, refusal);

    if (error == CONFCAST_ERR_STATE) {
        cfc_refusal_release(refusal, change->scope);
    }
    return error;
}

int
cfc_release_change_prepare(struct cfc_service *service, struct cfc_scope *scope,
                           const struct cfc_release_request *request, uint64_t unix_ns,
                           struct cfc_release_change *change, struct cfc_refusal *refusal)
{
    int error = cfc_release_change_begin(service, scope, request, unix_ns, change, refusal);

    return error == CONFCAST_OK ? cfc_release_change_decide(service, change, refusal) : error;
}

void
cfc_release_change_add(const struct cfc_release_change *change,
                       const struct cfc_change_state *state, struct cfc_store_batch *batch)
{
    const struct cfc_release *release = &change->release;
    const struct cfc_release *before = &change->scope->release;
    struct cfc_record_key key = cfc_record_key_named('r', change->scope->path);

    cfc_record_guard(batch, &key, change->scope->release_seq);
    cfc_record_put(batch, &key, cfc_release_to_json(release, state->author, state->message));
    cfc_impact_record(&change->impact, batch);
    /* A rollback finds its way by what was active before each revision. */
    if (release->active_revision != 0 && release->active_revision != before->active_revision) {
        struct cfc_record_key active =
            cfc_record_key_numbered('v', change->scope->path, release->active_revision);

        cfc_record_put(batch, &active,
                       json_pack("{sI}", "previous", (json_int_t)release->previous_revision));
    }
}

void
cfc_release_change_committed(struct cfc_service *service, struct cfc_release_change *change,
                             uint64_t seq)
{
    change->scope->release = change->release;
    change->scope->release_seq = seq;
    /* Also where it is no layer of its own, so that no decision changes with it. */
    change->scope->apply.change = ++service->apply.change;
    cfc_rollout_list(service, change->scope);
    cfc_impact_install(service, &change->impact, seq);
}

/* ---- Orders ------------------------------------------------------------------------------------
 */

/* Finds the target of a rollback and what was active before it. */
static int
resolve_rollback(struct cfc_service *service, const struct cfc_scope *scope,
                 struct cfc_release_request *request)
{
    struct cfc_release settled = scope->release;
    const struct cfc_release *release = &settled;
    int error = CONFCAST_OK;

    cfc_release_settle(&settled, request->unix_ns);
    if (request->revision == 0 && cfc_release_has_candidate(release)) {
        return CONFCAST_OK;
    }
    if (request->revision != 0) {
        return read_previous(service, scope, request->revision, &request->previous_revision);
    }
    request->revision = release->previous_revision;
    for (int i = 0; request->revision != 0; i++) {
        error = read_previous(service, scope, request->revision, &request->previous_revision);
        if (error != CONFCAST_OK || !cfc_release_is_quarantined(release, request->revision)) {
            break;
        }
        request->revision = i < PREVIOUS_STEPS_MAX ? request->previous_revision : 0;
    }
    return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
}

static int
check_revision(struct cfc_service *service, const struct cfc_scope *scope, uint64_t revision,
               struct cfc_refusal *refusal)
{
    struct cfc_definition_meta meta;
    int error = cfc_definition_read_meta(service->store, scope->path, revision, &meta);

    if (error == CONFCAST_ERR_NOT_FOUND) {
        cfc_refusal_say(refusal, "there is no such revision");
    } else if (error == CONFCAST_OK && meta.is_tombstone) {
        cfc_refusal_say(refusal, "the revision is a tombstone");
        error = CONFCAST_ERR_NOT_FOUND;
    } else if (error == CONFCAST_OK && meta.is_gone) {
        cfc_refusal_say(refusal, "the text of the revision is not kept any more: "
                                 "retained_revisions of the settings says how many are");
        error = CONFCAST_ERR_GONE;
    }
    return error;
}

static int
refuse_plan(struct cfc_refusal *refusal, const char *message)
{
    cfc_refusal_say(refusal, message);
    return CONFCAST_ERR_INVALID;
}

static int
check_plan(const struct cfc_release_order *order, const struct cfc_release_request *request,
           struct cfc_refusal *refusal)
{
    const struct cfc_release_plan *plan = &order->plan;
    bool is_promote = order->action == CFC_ACTION_PROMOTE;
    bool is_at = plan->activation == CFC_ACTIVATE_AT;

    if (!is_promote && (plan->bake_s != 0 || plan->confirm_within_s != 0 ||
                        plan->activation == CFC_ACTIVATE_HOLD)) {
        return refuse_plan(refusal, "bake, confirm-within and activate hold belong to promote");
    }
    if (!is_promote && order->action != CFC_ACTION_ADVANCE &&
        (is_at || order->has_require_prepared)) {
        return refuse_plan(refusal, "activate and require-prepared belong to promote and advance");
    }
    if (plan->activation > CFC_ACTIVATE_AT || (is_at != (plan->activate_unix_ns != 0))) {
        return refuse_plan(refusal, "activate is now, hold, or at a time");
    }
    if (is_at && plan->activate_unix_ns <= request->unix_ns) {
        return refuse_plan(refusal, "the time of the activation has passed");
    }
    if (is_at &&
        plan->activate_unix_ns - request->unix_ns > CFC_ACTIVATE_AHEAD_S_MAX * (uint64_t)CFC_S) {
        return refuse_plan(refusal, "the activation is more than 366 days ahead");
    }
    if (plan->bake_s > CFC_BAKE_S_MAX || plan->confirm_within_s > CFC_CONFIRM_WITHIN_S_MAX ||
        plan->require_prepared_ppm > CFC_STAGE_PPM_ALL) {
        return refuse_plan(refusal, "bake is at most 30 days, confirm-within 7 days, "
                                    "require-prepared 100 %");
    }
    if (is_promote && plan->bake_s != 0 && cfc_strategy_is_all(&request->strategy)) {
        return refuse_plan(refusal, "a bake time needs a strategy with stages");
    }
    return CONFCAST_OK;
}

/* An activation by hand counts who is prepared first. */
static int
check_prepared(const struct cfc_scope *scope, const struct cfc_release_order *order,
               struct cfc_refusal *refusal)
{
    const struct cfc_release *release = &scope->release;
    uint32_t required_ppm = order->has_require_prepared ? order->plan.require_prepared_ppm
                                                        : release->plan.require_prepared_ppm;
    struct cfc_rollout_counts counts;
    char text[CFC_REASON_SIZE_MAX + 1];

    if (order->action != CFC_ACTION_ADVANCE || release->state != CFC_RELEASE_ROLLING ||
        !release->is_waiting || required_ppm == 0) {
        return CONFCAST_OK;
    }
    cfc_rollout_count(scope, &counts);
    if (cfc_rollout_is_prepared(&counts, order->plan.activation, required_ppm, text)) {
        return CONFCAST_OK;
    }
    if (refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message), "%s, %g %% are required", text,
                 required_ppm / 10000.0);
    }
    cfc_refusal_release(refusal, scope);
    return CONFCAST_ERR_STATE;
}

static int
resolve_promote(struct cfc_service *service, const struct cfc_scope *scope,
                const struct cfc_release_order *order, struct cfc_release_request *request,
                struct cfc_refusal *refusal)
{
    int error;

    if (request->revision == 0) {
        request->revision = scope->latest_revision;
    }
    if (cfc_strategy_parse(order->strategy != NULL ? order->strategy : "all", &request->strategy) !=
        CONFCAST_OK) {
        return refuse_plan(refusal, "the strategy is not one of all, canary:P%, stages:P%,P%,... "
                                    "with rising shares below 100 %, label:KEY=VALUE");
    }
    error = check_plan(order, request, refusal);
    if (error == CONFCAST_OK && !order->is_pending) {
        error = check_revision(service, scope, request->revision, refusal);
    }
    return error == CONFCAST_OK
               ? cfc_approval_check(service, scope, request->revision, order->is_pending, refusal)
               : error;
}

static int
resolve(struct cfc_service *service, const struct cfc_scope *scope, uint64_t unix_ns,
        const struct cfc_release_order *order, struct cfc_release_request *request,
        struct cfc_refusal *refusal)
{
    int error;

    memset(request, 0, sizeof(*request));
    request->action = order->action;
    request->revision = order->revision;
    request->plan = order->plan;
    request->unix_ns = unix_ns;
    if (order->action == CFC_ACTION_PROMOTE) {
        return resolve_promote(service, scope, order, request, refusal);
    }
    error = check_plan(order, request, refusal);
    if (error == CONFCAST_OK) {
        error = check_prepared(scope, order, refusal);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    switch (order->action) {
    case CFC_ACTION_QUARANTINE:
        return request->revision != 0 ? check_revision(service, scope, request->revision, refusal)
                                      : CONFCAST_OK;
    case CFC_ACTION_ROLLBACK:
        /* The table speaks first: a scope that was never released has nothing to resolve. */
        if (cfc_release_next(scope->release.state, order->action) < 0) {
            return CONFCAST_OK;
        }
        error = resolve_rollback(service, scope, request);
        if (error == CONFCAST_ERR_NOT_FOUND) {
            cfc_refusal_say(refusal, "the revision was never active");
        }
        return error == CONFCAST_OK && request->revision != 0
                   ? check_revision(service, scope, request->revision, refusal)
                   : error;
    default:
        request->revision = 0;
        return CONFCAST_OK;
    }
}

int
cfc_release_order_begin(struct cfc_service *service, struct cfc_scope *scope,
                        const struct cfc_release_order *order, uint64_t unix_ns,
                        struct cfc_release_change *change, struct cfc_refusal *refusal)
{
    struct cfc_release_request request;
    int error;

    if (order->has_expected_version && order->expected_version != scope->release.release_version) {
        cfc_refusal_release(refusal, scope);
        cfc_refusal_say(refusal, "the release has changed since");
        return CONFCAST_ERR_CONFLICT;
    }
    error = resolve(service, scope, unix_ns, order, &request, refusal);
    return error == CONFCAST_OK
               ? cfc_release_change_begin(service, scope, &request, unix_ns, change, refusal)
               : error;
}

uint64_t
cfc_release_subject(const struct cfc_release *release)
{
    if (release->last_action == CFC_ACTION_QUARANTINE) {
        return release->quarantined[release->quarantined_count - 1];
    }
    return release->candidate_revision != 0 ? release->candidate_revision
                                            : release->active_revision;
}

int
cfc_release_change_commit(struct cfc_service *service, struct cfc_release_change *change,
                          const struct cfc_change_state *state, uint64_t *seq)
{
    struct cfc_store_batch batch;
    int error;

    cfc_store_batch_init(&batch);
    cfc_release_change_add(change, state, &batch);
    cfc_change_record(service, state, &batch, cfc_release_action_word(change->release.last_action),
                      change->scope->path, cfc_release_subject(&change->release), NULL);
    cfc_store_crash_point("release:prepared");
    error = cfc_service_commit(service, &batch, seq);
    cfc_store_batch_clear(&batch);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_store_crash_point("release:committed");
    cfc_release_change_committed(service, change, *seq);
    return CONFCAST_OK;
}

/* Schemas at once, validators when they have answered. */
static int
judge_stage(struct cfc_service *service, const struct cfc_release_change *change,
            char why[CFC_REASON_SIZE_MAX + 1])
{
    struct cfc_validation needed = {.is_advance = true};
    struct cfc_refusal refusal = {.message = ""};
    int error = cfc_validate_impact(service, &change->impact, &needed, &refusal);

    if (error == CONFCAST_OK && needed.job_count > 0) {
        error = cfc_stage_judge_ask(service, change->scope, &needed, refusal.message,
                                    sizeof(refusal.message));
    }
    cfc_validation_free(&needed);
    snprintf(why, CFC_REASON_SIZE_MAX + 1, "%.*s", CFC_REASON_SIZE_MAX, refusal.message);
    return error;
}

static int
act(struct cfc_service *service, struct cfc_scope *scope, const struct cfc_release_request *request,
    const char *message, char *why)
{
    static const char *const parts[] = {"rollout", NULL};
    struct cfc_change by = {
        .author = CFC_ROLLOUT_AUTHOR, .message = message, .unix_ns = request->unix_ns};
    struct cfc_release_change change;
    uint64_t seq;
    struct cfc_change_state state;
    int error = cfc_change_begin(&state, &by, parts, "", 0);

    if (error == CONFCAST_OK) {
        error =
            cfc_release_change_prepare(service, scope, request, request->unix_ns, &change, NULL);
    }
    if (error == CONFCAST_OK) {
        error = why != NULL ? judge_stage(service, &change, why) : CONFCAST_OK;
        if (error == CONFCAST_OK) {
            error = cfc_release_change_commit(service, &change, &state, &seq);
        }
        cfc_release_change_free(&change);
    }
    return error;
}

int
cfc_release_act(struct cfc_service *service, struct cfc_scope *scope,
                const struct cfc_release_request *request, const char *message)
{
    return act(service, scope, request, message, NULL);
}

int
cfc_release_act_judged(struct cfc_service *service, struct cfc_scope *scope,
                       const struct cfc_release_request *request, const char *message,
                       char why[CFC_REASON_SIZE_MAX + 1])
{
    return act(service, scope, request, message, why);
}

void
cfc_release_order_name(FILE *out, const struct cfc_release_order *order)
{
    const struct cfc_release_plan *plan = &order->plan;

    fprintf(out, "%s %s %llu %d %llu", cfc_release_action_word(order->action),
            order->strategy != NULL ? order->strategy : "", (unsigned long long)order->revision,
            (int)order->has_expected_version, (unsigned long long)order->expected_version);
    fprintf(out, " plan %d %llu %d %u %llu %llu", (int)plan->activation,
            (unsigned long long)plan->activate_unix_ns, (int)order->has_require_prepared,
            plan->require_prepared_ppm, (unsigned long long)plan->bake_s,
            (unsigned long long)plan->confirm_within_s);
}

int
cfc_service_get_release(struct cfc_service *service, const char *path,
                        struct cfc_release_view *view)
{
    struct cfc_scope *scope;
    int error;

    memset(view, 0, sizeof(*view));
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK && scope->release_seq == 0) {
        cfc_release_init(&view->release);
    } else if (error == CONFCAST_OK) {
        struct cfc_record_key key = cfc_record_key_named('r', path);
        json_t *record;

        error = cfc_record_get(service->store, &key, &record, &view->version);
        if (error == CONFCAST_OK) {
            error = cfc_release_from_json(record, &view->release, view->author, view->message);
            json_decref(record);
        } else if (error == CONFCAST_ERR_NOT_FOUND) {
            error = CONFCAST_ERR_CORRUPT;
        }
    }
    cfc_service_leave(service);
    return error;
}
