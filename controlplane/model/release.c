#include "controlplane/model/release.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"

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
    [RO] = {      __,     RO, PA,   __,    AC,   AC,   DI,   __,   RO,   __,   __ },
    [PA] = {      __,     __, __,   RO,    AC,   AC,   DI,   __,   PA,   __,   __ },
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

/* `revision` becomes the one for everybody; the rollout, if any, is over. */
static void
activate(struct cfc_release *release, uint64_t revision)
{
    if (release->active_revision != 0 && release->active_revision != revision) {
        release->previous_revision = release->active_revision;
    }
    release->active_revision = revision;
    release->candidate_revision = 0;
    release->stage_idx = 0;
    release->state = CFC_RELEASE_ACTIVE;
}

/* Leaves a rollout for what was there before it. */
static void
drop_candidate(struct cfc_release *release)
{
    release->candidate_revision = 0;
    release->stage_idx = 0;
    release->state = release->origin;
}

static int
say(char why[128], int error, const char *text)
{
    snprintf(why, 128, "%s", text);
    return error;
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
    release->strategy = request->strategy;
    if (cfc_strategy_is_all(&request->strategy)) {
        activate(release, request->revision);
        return CONFCAST_OK;
    }
    if (request->revision == release->active_revision) {
        return say(why, CONFCAST_ERR_STATE, "the revision is active already");
    }
    release->origin = release->state;
    release->candidate_revision = request->revision;
    release->stage_idx = 0;
    release->state = CFC_RELEASE_ROLLING;
    return CONFCAST_OK;
}

static int
advance(struct cfc_release *release)
{
    if (release->stage_idx + 1 < release->strategy.stage_count) {
        release->stage_idx++;
    } else {
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
        return advance(release);
    case CFC_ACTION_PAUSE:
        release->state = CFC_RELEASE_PAUSED;
        return CONFCAST_OK;
    case CFC_ACTION_RESUME:
        release->state = CFC_RELEASE_ROLLING;
        return CONFCAST_OK;
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
    if (cfc_release_next(release->state, request->action) < 0) {
        snprintf(why, 128, "%s is not possible in state %s",
                 cfc_release_action_word(request->action), cfc_release_state_word(release->state));
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
