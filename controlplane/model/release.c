#include "controlplane/model/release.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/time.h"

static const char *const state_words[] = {
#define CFC_WORD_(name, word) word,
    CFC_RELEASE_STATES(CFC_WORD_)
#undef CFC_WORD_
};

static const char *const action_words[] = {
#define CFC_WORD_(name, word) word,
    CFC_RELEASE_ACTIONS(CFC_WORD_)
#undef CFC_WORD_
};

/* The lifecycle.  A cell is the state that a plain request leads to; -- is refused. */
#define __ (-1)
#define EM CFC_RELEASE_EMPTY
#define AC CFC_RELEASE_ACTIVE
#define RO CFC_RELEASE_ROLLING
#define PA CFC_RELEASE_PAUSED
#define DI CFC_RELEASE_DISABLED
#define DE CFC_RELEASE_DELETED
/* clang-format off */
static const int8_t next_states[CFC_RELEASE_STATE_COUNT][CFC_ACTION_COUNT] = {
    /*            promote adv pause resume abort rollb disab enabl quara confi delete */
    [EM] = {      AC,     __, __,   __,    __,   __,   __,   __,   EM,   __,   __ },
    [AC] = {      AC,     __, __,   __,    __,   AC,   DI,   __,   AC,   __,   DE },
    [RO] = {      __,     RO, PA,   __,    AC,   AC,   DI,   __,   RO,   RO,   __ },
    [PA] = {      __,     __, __,   RO,    AC,   AC,   DI,   __,   PA,   PA,   __ },
    [DI] = {      __,     __, __,   __,    __,   DI,   __,   AC,   DI,   __,   DE },
    [DE] = {      AC,     __, __,   __,    __,   AC,   __,   __,   DE,   __,   __ },
};
/* clang-format on */
#undef __
#undef EM
#undef AC
#undef RO
#undef PA
#undef DI
#undef DE

const char *
cfc_release_state_word(enum cfc_release_state state)
{
    return state < CFC_RELEASE_STATE_COUNT ? state_words[state] : "?";
}

const char *
cfc_release_action_word(enum cfc_release_action action)
{
    return action < CFC_ACTION_COUNT ? action_words[action] : "none";
}

static int
find_word(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int
cfc_release_state_parse(const char *word, enum cfc_release_state *state)
{
    int i = find_word(state_words, CFC_RELEASE_STATE_COUNT, word);

    if (i < 0) {
        return CONFCAST_ERR_INVALID;
    }
    *state = (enum cfc_release_state)i;
    return CONFCAST_OK;
}

int
cfc_release_action_parse(const char *word, enum cfc_release_action *action)
{
    int i = find_word(action_words, CFC_ACTION_COUNT, word);

    if (i < 0) {
        return CONFCAST_ERR_INVALID;
    }
    *action = (enum cfc_release_action)i;
    return CONFCAST_OK;
}

int
cfc_release_next(enum cfc_release_state state, enum cfc_release_action action)
{
    if (state >= CFC_RELEASE_STATE_COUNT || action >= CFC_ACTION_COUNT) {
        return -1;
    }
    return next_states[state][action];
}

void
cfc_release_init(struct cfc_release *release)
{
    memset(release, 0, sizeof(*release));
    release->last_action = CFC_ACTION_NONE;
    release->strategy.stage_count = 1;
    release->strategy.stage_ppm[0] = CFC_STAGE_PPM_ALL;
}

bool
cfc_release_is_quarantined(const struct cfc_release *release, uint64_t revision)
{
    for (uint32_t i = 0; i < release->quarantined_count; i++) {
        if (release->quarantined[i] == revision) {
            return true;
        }
    }
    return false;
}

bool
cfc_release_has_candidate(const struct cfc_release *release)
{
    return release->state == CFC_RELEASE_ROLLING || release->state == CFC_RELEASE_PAUSED;
}

bool
cfc_release_covers_all(const struct cfc_release *release)
{
    return cfc_release_has_candidate(release) &&
           (release->stage_idx == release->strategy.stage_count ||
            cfc_strategy_is_all(&release->strategy));
}

enum cfc_activation
cfc_release_activation(const struct cfc_release *release, uint64_t unix_ns)
{
    const struct cfc_release_plan *plan = &release->plan;

    if (!release->is_waiting) {
        return CFC_ACTIVATE_NOW;
    }
    if (release->state == CFC_RELEASE_PAUSED || plan->activation == CFC_ACTIVATE_HOLD ||
        plan->require_prepared_ppm != 0) {
        return CFC_ACTIVATE_HOLD;
    }
    return plan->activate_unix_ns > unix_ns ? CFC_ACTIVATE_AT : CFC_ACTIVATE_NOW;
}

uint64_t
cfc_release_confirm_by(const struct cfc_release *release, uint64_t unix_ns)
{
    return cfc_release_activation(release, unix_ns) != CFC_ACTIVATE_HOLD
               ? release->confirm_by_unix_ns
               : 0;
}

/* The rollout is over. */
static void
end_rollout(struct cfc_release *release)
{
    release->candidate_revision = 0;
    release->stage_idx = 0;
    memset(&release->plan, 0, sizeof(release->plan));
    release->is_waiting = false;
    release->stage_unix_ns = 0;
    release->confirm_by_unix_ns = 0;
    memset(release->reason, 0, sizeof(release->reason));
}

/* `revision` becomes the one for everybody; the rollout, if any, is over. */
static void
activate(struct cfc_release *release, uint64_t revision)
{
    if (release->active_revision != 0 && release->active_revision != revision) {
        release->previous_revision = release->active_revision;
    }
    release->active_revision = revision;
    end_rollout(release);
    release->state = CFC_RELEASE_ACTIVE;
}

/* Leaves a rollout for what was there before it. */
static void
drop_candidate(struct cfc_release *release)
{
    end_rollout(release);
    release->state = release->origin;
}

static void
set_deadline(struct cfc_release *release, uint64_t active_unix_ns)
{
    release->confirm_by_unix_ns = release->plan.confirm_within_s != 0
                                      ? active_unix_ns + release->plan.confirm_within_s * CFC_S
                                      : 0;
}

/* The candidate's first stage is out since `unix_ns`. */
static void
begin(struct cfc_release *release, uint64_t unix_ns)
{
    release->is_waiting = false;
    release->plan.activation = CFC_ACTIVATE_NOW;
    release->plan.activate_unix_ns = 0;
    release->plan.require_prepared_ppm = 0;
    release->stage_unix_ns = unix_ns;
    set_deadline(release, unix_ns);
    if (cfc_release_covers_all(release) && release->plan.confirm_within_s == 0) {
        activate(release, release->candidate_revision);
    }
}

void
cfc_release_settle(struct cfc_release *release, uint64_t unix_ns)
{
    if (release->is_waiting && cfc_release_activation(release, unix_ns) == CFC_ACTIVATE_NOW) {
        begin(release, release->plan.activate_unix_ns);
    }
}

static int
say(char why[128], int error, const char *text)
{
    snprintf(why, 128, "%s", text);
    return error;
}

/* For everybody, at once and for good. */
static bool
is_plain(const struct cfc_release_request *request)
{
    return cfc_strategy_is_all(&request->strategy) &&
           request->plan.activation == CFC_ACTIVATE_NOW &&
           request->plan.require_prepared_ppm == 0 && request->plan.confirm_within_s == 0;
}

static int
promote(struct cfc_release *release, const struct cfc_release_request *request, char why[128])
{
    if (request->revision == 0) {
        return say(why, CONFCAST_ERR_INVALID, "promote needs a revision");
    }
    if (cfc_release_is_quarantined(release, request->revision)) {
        return say(why, CONFCAST_ERR_STATE, "the revision is quarantined");
    }
    if (is_plain(request)) {
        release->strategy = request->strategy;
        activate(release, request->revision);
        return CONFCAST_OK;
    }
    if (request->revision == release->active_revision) {
        return say(why, CONFCAST_ERR_STATE, "the revision is active already");
    }
    release->strategy = request->strategy;
    release->origin = release->state;
    release->candidate_revision = request->revision;
    release->stage_idx = 0;
    release->state = CFC_RELEASE_ROLLING;
    release->plan = request->plan;
    release->is_waiting = true;
    if (request->plan.activation == CFC_ACTIVATE_AT) {
        set_deadline(release, request->plan.activate_unix_ns);
    } else if (request->plan.activation == CFC_ACTIVATE_NOW &&
               request->plan.require_prepared_ppm == 0) {
        begin(release, request->unix_ns);
    }
    return CONFCAST_OK;
}

static int
advance(struct cfc_release *release, const struct cfc_release_request *request, char why[128])
{
    const struct cfc_release_plan *plan = &request->plan;

    if (release->is_waiting && plan->activation == CFC_ACTIVATE_AT) {
        release->plan.activation = CFC_ACTIVATE_AT;
        release->plan.activate_unix_ns = plan->activate_unix_ns;
        release->plan.require_prepared_ppm = 0;
        set_deadline(release, plan->activate_unix_ns);
        return CONFCAST_OK;
    }
    if (release->is_waiting) {
        bool is_late = cfc_release_activation(release, request->unix_ns) == CFC_ACTIVATE_NOW;

        begin(release, is_late ? release->plan.activate_unix_ns : request->unix_ns);
        return CONFCAST_OK;
    }
    if (plan->activation == CFC_ACTIVATE_AT) {
        return say(why, CONFCAST_ERR_STATE, "the release was activated already");
    }
    if (cfc_release_covers_all(release)) {
        return say(why, CONFCAST_ERR_STATE,
                   "everybody has the candidate: it waits to be confirmed");
    }
    release->stage_unix_ns = request->unix_ns;
    if (release->stage_idx + 1 < release->strategy.stage_count ||
        release->plan.confirm_within_s != 0) {
        release->stage_idx++;
    } else {
        activate(release, release->candidate_revision);
    }
    return CONFCAST_OK;
}

static int
pause_rollout(struct cfc_release *release, const struct cfc_release_request *request)
{
    release->state = CFC_RELEASE_PAUSED;
    if (request->reason != NULL) {
        snprintf(release->reason, sizeof(release->reason), "%s", request->reason);
    }
    return CONFCAST_OK;
}

/* The stage bakes anew; what should have been activated meanwhile is. */
static int
resume(struct cfc_release *release, const struct cfc_release_request *request)
{
    struct cfc_release_plan *plan = &release->plan;

    release->state = CFC_RELEASE_ROLLING;
    memset(release->reason, 0, sizeof(release->reason));
    if (!release->is_waiting) {
        release->stage_unix_ns = request->unix_ns;
    } else if (plan->activation == CFC_ACTIVATE_AT && plan->activate_unix_ns <= request->unix_ns) {
        if (plan->require_prepared_ppm == 0) {
            begin(release, request->unix_ns);
        } else {
            plan->activation = CFC_ACTIVATE_NOW; /* As soon as enough are prepared. */
            plan->activate_unix_ns = 0;
            release->confirm_by_unix_ns = 0;
        }
    }
    return CONFCAST_OK;
}

static int
confirm(struct cfc_release *release, const struct cfc_release_request *request, char why[128])
{
    if (release->plan.confirm_within_s == 0) {
        return say(why, CONFCAST_ERR_STATE, "there is nothing to confirm");
    }
    if (release->is_waiting) {
        return say(why, CONFCAST_ERR_STATE, "the release is not activated yet");
    }
    if (request->unix_ns >= release->confirm_by_unix_ns) {
        return say(why, CONFCAST_ERR_STATE, "the time to confirm is over: consumers went back");
    }
    release->plan.confirm_within_s = 0;
    release->confirm_by_unix_ns = 0;
    if (cfc_release_covers_all(release)) {
        activate(release, release->candidate_revision);
    }
    return CONFCAST_OK;
}

static int
rollback(struct cfc_release *release, const struct cfc_release_request *request, char why[128])
{
    bool is_rollout = cfc_release_has_candidate(release);
    enum cfc_release_state state = release->state;

    if (is_rollout && (request->revision == 0 || request->revision == release->active_revision)) {
        drop_candidate(release);
        return CONFCAST_OK;
    }
    if (request->revision == 0) {
        return say(why, CONFCAST_ERR_STATE, "there is no previous revision");
    }
    if (cfc_release_is_quarantined(release, request->revision)) {
        return say(why, CONFCAST_ERR_STATE, "the revision is quarantined");
    }
    if (request->revision == release->active_revision) {
        return say(why, CONFCAST_ERR_STATE, "the revision is active already");
    }
    activate(release, request->revision);
    release->previous_revision = request->previous_revision;
    /* What is switched off stays so: enable is a decision of its own. */
    release->state = state == CFC_RELEASE_DISABLED ? state : CFC_RELEASE_ACTIVE;
    return CONFCAST_OK;
}

static int
quarantine(struct cfc_release *release, uint64_t revision, char why[128])
{
    if (revision == 0) {
        return say(why, CONFCAST_ERR_INVALID, "quarantine needs a revision");
    }
    if (revision == release->active_revision || revision == release->candidate_revision) {
        return say(why, CONFCAST_ERR_STATE,
                   "the revision is released: roll back or abort before quarantining it");
    }
    if (cfc_release_is_quarantined(release, revision)) {
        return say(why, CONFCAST_ERR_STATE, "the revision is quarantined already");
    }
    if (release->quarantined_count == CFC_QUARANTINE_COUNT_MAX) {
        return say(why, CONFCAST_ERR_LIMIT, "too many revisions are quarantined");
    }
    release->quarantined[release->quarantined_count++] = revision;
    return CONFCAST_OK;
}

static void
remove_active(struct cfc_release *release)
{
    if (release->active_revision != 0) {
        release->previous_revision = release->active_revision;
    }
    release->active_revision = 0;
    release->state = CFC_RELEASE_DELETED;
}

static int
act(struct cfc_release *release, const struct cfc_release_request *request, char why[128])
{
    switch (request->action) {
    case CFC_ACTION_PROMOTE:
        return promote(release, request, why);
    case CFC_ACTION_ADVANCE:
        return advance(release, request, why);
    case CFC_ACTION_PAUSE:
        return pause_rollout(release, request);
    case CFC_ACTION_RESUME:
        return resume(release, request);
    case CFC_ACTION_ABORT:
        drop_candidate(release);
        return CONFCAST_OK;
    case CFC_ACTION_ROLLBACK:
        return rollback(release, request, why);
    case CFC_ACTION_DISABLE:
        if (cfc_release_has_candidate(release)) {
            drop_candidate(release);
        }
        release->state = CFC_RELEASE_DISABLED;
        return CONFCAST_OK;
    case CFC_ACTION_ENABLE:
        release->state = release->active_revision != 0 ? CFC_RELEASE_ACTIVE : release->origin;
        return CONFCAST_OK;
    case CFC_ACTION_QUARANTINE:
        return quarantine(release, request->revision, why);
    case CFC_ACTION_DELETE:
        remove_active(release);
        return CONFCAST_OK;
    case CFC_ACTION_CONFIRM:
        return confirm(release, request, why);
    case CFC_ACTION_COUNT:
        break;
    }
    return CONFCAST_ERR_INTERNAL;
}

int
cfc_release_apply(struct cfc_release *release, const struct cfc_release_request *request,
                  char why[128])
{
    struct cfc_release changed = *release;
    int error;

    why[0] = '\0';
    if (request->action >= CFC_ACTION_COUNT) {
        return say(why, CONFCAST_ERR_INVALID, "there is no such action");
    }
    if (request->action != CFC_ACTION_ADVANCE) {
        cfc_release_settle(&changed, request->unix_ns);
    }
    if (cfc_release_next(changed.state, request->action) < 0) {
        snprintf(why, 128, "%s is not possible in state %s",
                 cfc_release_action_word(request->action), cfc_release_state_word(changed.state));
        return CONFCAST_ERR_STATE;
    }
    error = act(&changed, request, why);
    if (error != CONFCAST_OK) {
        return error;
    }
    assert(cfc_release_has_candidate(&changed) == (changed.candidate_revision != 0));
    assert(changed.state != CFC_RELEASE_ACTIVE || changed.active_revision != 0);
    changed.last_action = request->action;
    changed.release_version++;
    *release = changed;
    return CONFCAST_OK;
}
