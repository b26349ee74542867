/* Rollouts that move by themselves: activations, stages, pauses, and rollbacks of what nobody
 * confirmed.  What is due follows from the release record, the reports and the time alone, so that
 * a restart neither skips a stage nor repeats one. */
#include <string.h>
#include <utlist.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/time.h"

enum {
    ACTIONS_PER_TICK_MAX = 64,
    SETTLE_S = 10 /* consumers get this long to report after a new head, if the bake is longer */
};

void
cfc_rollout_list(struct cfc_service *service, struct cfc_scope *scope)
{
    bool is_rolling = cfc_release_has_candidate(&scope->release);

    if (is_rolling && !scope->is_rolling) {
        DL_APPEND2(service->rollouts, scope, prev_rollout, next_rollout);
    } else if (!is_rolling && scope->is_rolling) {
        DL_DELETE2(service->rollouts, scope, prev_rollout, next_rollout);
    }
    scope->is_rolling = is_rolling;
}

static void
add_scope(const struct cfc_scope *scope, struct cfc_rollout_counts *counts, bool *is_published)
{
    const struct cfc_apply_counts *from = &scope->apply.counts;

    counts->total += from->total;
    counts->alive += from->alive;
    counts->silent += from->silent;
    /* What consumers say of an older head says nothing of this one. */
    if (scope->decision == NULL || from->published != scope->decision->version) {
        *is_published = false;
        return;
    }
    if (from->published_unix_ns > counts->published_unix_ns) {
        counts->published_unix_ns = from->published_unix_ns;
    }
    counts->prepared += from->prepared;
    counts->timely += from->timely;
    counts->timely_prepared += from->timely_prepared;
    for (uint32_t i = 0; i < scope->decision->arm_count; i++) {
        const struct cfc_arm_counts *arm = &from->arms[i];

        counts->applied += arm->applied;
        if (scope->decision->arms[i].is_candidate) {
            counts->candidate += arm->alive;
            counts->candidate_applied += arm->applied;
            counts->candidate_rejected += arm->rejected;
        } else {
            counts->stable += arm->alive;
            counts->stable_rejected += arm->rejected;
        }
    }
}

void
cfc_rollout_count(const struct cfc_scope *scope, struct cfc_rollout_counts *counts)
{
    bool is_published = true;

    memset(counts, 0, sizeof(*counts));
    for (uint32_t i = 0; i < scope->dependent_count; i++) {
        add_scope(scope->dependents[i], counts, &is_published);
    }
    if (!is_published) {
        counts->published_unix_ns = 0;
    }
}

/* What is due for a rollout. */
struct due {
    struct cfc_release_request request;
    char message[CFC_REASON_SIZE_MAX + 1];
    bool is_judged; /* more consumers get the candidate by it: it has to be valid still */
};

static bool
say_due(struct due *due, enum cfc_release_action action, const char *message)
{
    due->request.action = action;
    snprintf(due->message, sizeof(due->message), "%s", message);
    if (action == CFC_ACTION_PAUSE) {
        due->request.reason = due->message;
    }
    return true;
}

static bool
is_waiting_due(const struct cfc_scope *scope, uint64_t unix_ns, struct due *due)
{
    const struct cfc_release_plan *plan = &scope->release.plan;
    char text[CFC_REASON_SIZE_MAX + 1];
    struct cfc_rollout_counts counts;
    bool is_at = plan->activation == CFC_ACTIVATE_AT;
    bool is_time = is_at && plan->activate_unix_ns <= unix_ns;

    if (plan->activation == CFC_ACTIVATE_HOLD) {
        return false;
    }
    if (plan->require_prepared_ppm == 0) {
        return is_time && say_due(due, CFC_ACTION_ADVANCE, "the time of the activation has come");
    }
    cfc_rollout_count(scope, &counts);
    if (is_time) {
        cfc_rollout_is_prepared(&counts, plan->activation, plan->require_prepared_ppm, text);
        return say_due(due, CFC_ACTION_PAUSE, text);
    }
    if (!cfc_rollout_is_prepared(&counts, plan->activation, plan->require_prepared_ppm, text)) {
        return false;
    }
    if (is_at) {
        due->request.plan.activation = CFC_ACTIVATE_AT;
        due->request.plan.activate_unix_ns = plan->activate_unix_ns;
    }
    due->is_judged = true;
    return say_due(due, CFC_ACTION_ADVANCE, text);
}

/* The bake time is over, and consumers had the time to report on the newest head.  A process that
 * has just started waits until those who do not report any more are known. */
static bool
is_baked(const struct cfc_service *service, const struct cfc_release *release,
         const struct cfc_rollout_counts *counts, uint64_t unix_ns)
{
    uint64_t bake_ns = release->plan.bake_s * CFC_S;
    uint64_t settle_ns = bake_ns < SETTLE_S * CFC_S ? bake_ns : SETTLE_S * CFC_S;

    if (release->stage_unix_ns < service->first_tick_unix_ns &&
        unix_ns < service->first_tick_unix_ns + service->config.stale_after_ns) {
        return false;
    }
    return unix_ns >= release->stage_unix_ns + bake_ns &&
           unix_ns >= counts->published_unix_ns + settle_ns;
}

static bool
is_stage_due(const struct cfc_service *service, const struct cfc_scope *scope, uint64_t unix_ns,
             struct due *due)
{
    const struct cfc_release *release = &scope->release;
    char reason[CFC_REASON_SIZE_MAX + 1] = "";
    struct cfc_rollout_counts counts;

    if (release->plan.bake_s == 0 || cfc_release_covers_all(release)) {
        return false;
    }
    cfc_rollout_count(scope, &counts);
    switch (cfc_rollout_judge(&counts, &service->config.rollout,
                              is_baked(service, release, &counts, unix_ns), reason)) {
    case CFC_ROLLOUT_GO:
        due->is_judged = true;
        return say_due(due, CFC_ACTION_ADVANCE, "the stage has baked");
    case CFC_ROLLOUT_STOP:
        return say_due(due, CFC_ACTION_PAUSE, reason);
    case CFC_ROLLOUT_WAIT:
        break;
    }
    return false;
}

static bool
is_due(const struct cfc_service *service, const struct cfc_scope *scope, uint64_t unix_ns,
       struct due *due)
{
    const struct cfc_release *release = &scope->release;
    uint64_t confirm_by_unix_ns = cfc_release_confirm_by(release, unix_ns);

    memset(due, 0, sizeof(*due));
    due->request.unix_ns = unix_ns;
    if (confirm_by_unix_ns != 0 && confirm_by_unix_ns <= unix_ns) {
        return say_due(due, CFC_ACTION_ROLLBACK, "nobody confirmed it in time");
    }
    if (release->state != CFC_RELEASE_ROLLING) {
        return false;
    }
    return release->is_waiting ? is_waiting_due(scope, unix_ns, due)
                               : is_stage_due(service, scope, unix_ns, due);
}

/* What cannot be done stays as it is and keeps no other rollout waiting. */
static bool
is_refusal(int error)
{
    return error == CONFCAST_ERR_STATE || error == CONFCAST_ERR_LIMIT ||
           error == CONFCAST_ERR_DEPTH || error == CONFCAST_ERR_NUMBER ||
           error == CONFCAST_ERR_AGAIN || error == CONFCAST_ERR_RESOURCE;
}

/* What schemas and validators refuse now, although they took it when it was promoted, pauses. */
static int
act(struct cfc_service *service, struct cfc_scope *scope, struct due *due)
{
    char why[CFC_REASON_SIZE_MAX + 1] = "";
    int error;

    if (!due->is_judged) {
        return cfc_release_act(service, scope, &due->request, due->message);
    }
    error = cfc_release_act_judged(service, scope, &due->request, due->message, why);
    if (error != CONFCAST_ERR_SCHEMA_MISMATCH && error != CONFCAST_ERR_VALIDATION &&
        !(error == CONFCAST_ERR_LIMIT && why[0] != '\0')) {
        return error;
    }
    due->request.plan = (struct cfc_release_plan){.activation = CFC_ACTIVATE_NOW};
    say_due(due, CFC_ACTION_PAUSE, why);
    return cfc_release_act(service, scope, &due->request, due->message);
}

/* The first rollout that is due, moved on; *is_done when there is none.  One that fails (*failure:
 * the first) keeps no other waiting, unless the store does. */
static int
move_one(struct cfc_service *service, uint64_t unix_ns, bool *is_done, int *failure)
{
    struct cfc_scope *scope;
    struct due due;

    DL_FOREACH2(service->rollouts, scope, next_rollout)
    {
        int error;

        if (!is_due(service, scope, unix_ns, &due)) {
            continue;
        }
        error = act(service, scope, &due);
        if (error == CONFCAST_OK || error == CONFCAST_ERR_NO_SPACE || service->needs_load) {
            return error;
        }
        if (!is_refusal(error) && *failure == CONFCAST_OK) {
            *failure = error;
        }
    }
    *is_done = true;
    return CONFCAST_OK;
}

int
cfc_rollout_tick(struct cfc_service *service, uint64_t unix_ns)
{
    bool is_done = false;
    int failure = CONFCAST_OK;
    int error = CONFCAST_OK;

    for (int i = 0; !is_done && error == CONFCAST_OK && i < ACTIONS_PER_TICK_MAX; i++) {
        error = cfc_service_enter(service);
        if (error != CONFCAST_OK) {
            return error;
        }
        if (service->first_tick_unix_ns == 0) {
            service->first_tick_unix_ns = unix_ns;
        }
        error = move_one(service, unix_ns, &is_done, &failure);
        cfc_service_leave(service);
    }
    return error != CONFCAST_OK ? error : failure;
}

int
cfc_service_rollout(struct cfc_service *service, const char *path, struct cfc_rollout_view *view)
{
    struct cfc_scope *scope;
    int error;

    memset(view, 0, sizeof(*view));
    pthread_mutex_lock(&service->lock);
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK) {
        error = CONFCAST_ERR_NOT_FOUND;
        for (uint32_t i = 0; error != CONFCAST_OK && i < scope->layer_count; i++) {
            const struct cfc_scope *layer = scope->layers[i];

            if (cfc_release_has_candidate(&layer->release)) {
                snprintf(view->holder, sizeof(view->holder), "%s", layer->path);
                view->release = layer->release;
                cfc_rollout_count(layer, &view->counts);
                error = CONFCAST_OK;
            }
        }
    }
    pthread_mutex_unlock(&service->lock);
    return error;
}
