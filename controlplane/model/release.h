/* The release lifecycle of one scope as one table, and the record that it moves.
 *
 * Pure: no store, no clock, no lock.  The service decides what a revision is and who may act; this
 * unit says what an action does to a record, or that the state does not allow it. */
#ifndef CFC_MODEL_RELEASE_H
#define CFC_MODEL_RELEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/wire/head.h"

/* X(name, word) */
#define CFC_RELEASE_STATES(X)                                                                      \
    X(EMPTY, "EMPTY")       /* nothing was ever released */                                        \
    X(ACTIVE, "ACTIVE")     /* one revision for everybody */                                       \
    X(ROLLING, "ROLLING")   /* a candidate for a part of the fleet */                              \
    X(PAUSED, "PAUSED")     /* the same, and it may not advance */                                 \
    X(DISABLED, "DISABLED") /* the scope adds nothing to anyone, until enabled */                  \
    X(DELETED, "DELETED")   /* a tombstone that consumers see */

enum cfc_release_state {
#define CFC_RELEASE_STATE_ENUM_(name, word) CFC_RELEASE_##name,
    CFC_RELEASE_STATES(CFC_RELEASE_STATE_ENUM_)
#undef CFC_RELEASE_STATE_ENUM_
    CFC_RELEASE_STATE_COUNT
};

#define CFC_RELEASE_ACTIONS(X)                                                                     \
    X(PROMOTE, "promote")                                                                          \
    X(ADVANCE, "advance")                                                                          \
    X(PAUSE, "pause")                                                                              \
    X(RESUME, "resume")                                                                            \
    X(ABORT, "abort")                                                                              \
    X(ROLLBACK, "rollback")                                                                        \
    X(DISABLE, "disable")                                                                          \
    X(ENABLE, "enable")                                                                            \
    X(QUARANTINE, "quarantine")                                                                    \
    X(CONFIRM, "confirm")                                                                          \
    X(DELETE, "delete")

enum cfc_release_action {
#define CFC_RELEASE_ACTION_ENUM_(name, word) CFC_ACTION_##name,
    CFC_RELEASE_ACTIONS(CFC_RELEASE_ACTION_ENUM_)
#undef CFC_RELEASE_ACTION_ENUM_
    CFC_ACTION_COUNT,
    CFC_ACTION_NONE = CFC_ACTION_COUNT /* no action yet: the record of an EMPTY scope */
};

const char *cfc_release_state_word(enum cfc_release_state state);
const char *cfc_release_action_word(enum cfc_release_action action);
/* CONFCAST_OK, or CONFCAST_ERR_INVALID for a word that names none. */
int cfc_release_state_parse(const char *word, enum cfc_release_state *state);
int cfc_release_action_parse(const char *word, enum cfc_release_action *action);

enum {
    CFC_STAGE_COUNT_MAX = 16,
    CFC_STAGE_PPM_ALL = 1000000,   /* a stage that covers everybody */
    CFC_QUARANTINE_COUNT_MAX = 64, /* quarantined revisions of one scope */
};

/* How a candidate reaches the fleet: a list of rising shares, or consumers with one label first.
 * `all` is the single share of 100 %. */
struct cfc_strategy {
    uint32_t stage_ppm[CFC_STAGE_COUNT_MAX]; /* share per stage in parts per million, rising, > 0 */
    uint32_t stage_count;                    /* 1..CFC_STAGE_COUNT_MAX */
    char
        label_key[CFC_LABEL_SIZE_MAX + 1]; /* not empty: stage 0 is the consumers with this label */
    char label_value[CFC_LABEL_SIZE_MAX + 1];
};

enum {
    CFC_STRATEGY_TEXT_MAX = 384 /* bytes of the longest strategy text, with its NUL */
};

/* "all" | "canary:P%" | "stages:P%,P%,..." | "label:KEY=VALUE" (also plain "KEY=VALUE"); P is a
 * decimal in 0.0001..100 with up to four digits after the point; stages rise.  CONFCAST_OK or
 * CONFCAST_ERR_INVALID. */
int cfc_strategy_parse(const char *text, struct cfc_strategy *strategy);
/* The same text again, canonical.  Returns its length. */
size_t cfc_strategy_format(const struct cfc_strategy *strategy, char text[CFC_STRATEGY_TEXT_MAX]);
/* "P%" as above, and also "0%".  CONFCAST_ERR_INVALID. */
int cfc_share_parse(const char *text, uint32_t *ppm);
bool cfc_strategy_is_all(const struct cfc_strategy *strategy);

enum {
    CFC_BAKE_S_MAX = 30 * 86400,
    CFC_CONFIRM_WITHIN_S_MAX = 7 * 86400,
    CFC_ACTIVATE_AHEAD_S_MAX = 366 * 86400, /* how far ahead an activation may be set */
    CFC_REASON_SIZE_MAX = 159,              /* bytes of a reason, without its NUL */
};

/* What else a promotion asks for.  All zero: at once, for good, and stages advance by hand. */
struct cfc_release_plan {
    enum cfc_activation activation;
    uint64_t activate_unix_ns;     /* AT; else 0 */
    uint32_t require_prepared_ppm; /* not before this share of consumers is PREPARED; 0 = no need */
    uint64_t bake_s;               /* stages advance by themselves after it; 0 = by hand */
    uint64_t confirm_within_s; /* back again unless confirmed so soon after activation; 0 = no */
};

/* The release record of one scope.
 *
 * A promotion that is not for everybody, at once and for good is ROLLING until it is: in its
 * stages, while it waits for its activation, and while it has to be confirmed. */
struct cfc_release {
    enum cfc_release_state state;
    enum cfc_release_state origin; /* what abort goes back to: EMPTY, ACTIVE or DELETED */
    uint64_t release_version;      /* 1, 2, 3, ... per scope: the guard of every change */
    uint64_t active_revision;      /* 0 = none */
    uint64_t previous_revision;    /* active before active_revision; 0 = none */
    uint64_t candidate_revision;   /* ROLLING and PAUSED; else 0 */
    uint32_t stage_idx;            /* ROLLING and PAUSED: the stage that is out; stage_count:
                                    * everybody, and it has to be confirmed */
    struct cfc_strategy strategy;  /* of the rollout under way, or of the last one */
    enum cfc_release_action last_action;
    uint64_t changed_unix_ns; /* when; set by the service */
    /* ROLLING and PAUSED; else all zero: */
    struct cfc_release_plan plan;
    bool is_waiting;             /* not activated: consumers prepare and serve what was before */
    uint64_t stage_unix_ns;      /* since when the stage is out; 0 while it waits */
    uint64_t confirm_by_unix_ns; /* 0 = no deadline (yet) */
    char reason[CFC_REASON_SIZE_MAX + 1]; /* PAUSED by itself: why; else empty */
    uint64_t quarantined[CFC_QUARANTINE_COUNT_MAX];
    uint32_t quarantined_count;
};

/* What an action asks for. */
struct cfc_release_request {
    enum cfc_release_action action;
    uint64_t revision;            /* promote, quarantine: which; rollback: the target (the service
                                   * has resolved "previous") or 0 to leave a rollout under way */
    struct cfc_strategy strategy; /* promote */
    uint64_t previous_revision;   /* rollback: what was active before the target; 0 = none */
    struct cfc_release_plan plan; /* promote; advance of what waits: AT sets the time instead */
    uint64_t unix_ns;             /* now */
    const char *reason;           /* pause by itself: why; NULL = an operator did */
};

/* advance activates what waits for it, and else goes to the next stage.  An activation whose time
 * has come counts as done, whatever was recorded of it since. */

/* The table: where `action` leads from `state`, or -1 when it is refused.  Some cells have a choice
 * (promote by canary leads to ROLLING, advance of the last stage to ACTIVE); they give the state
 * that a plain request leads to. */
int cfc_release_next(enum cfc_release_state state, enum cfc_release_action action);

/* Applies a request to `*release` and raises release_version.  CONFCAST_ERR_STATE: the state does
 * not allow the action, or the revision is quarantined or the wrong one for it; `why` (at least 128
 * bytes) gets a sentence.  CONFCAST_ERR_INVALID: the request contradicts itself.
 * CONFCAST_ERR_LIMIT: too many quarantined revisions.  On any error `*release` is unchanged. */
int cfc_release_apply(struct cfc_release *release, const struct cfc_release_request *request,
                      char why[128]);

/* The record of a scope that was never released. */
void cfc_release_init(struct cfc_release *release);
bool cfc_release_is_quarantined(const struct cfc_release *release, uint64_t revision);
/* A rollout is under way: ROLLING or PAUSED. */
bool cfc_release_has_candidate(const struct cfc_release *release);
/* A rollout is under way whose stage is everybody. */
bool cfc_release_covers_all(const struct cfc_release *release);
/* Records an activation whose time has come: consumers did it by themselves. */
void cfc_release_settle(struct cfc_release *release, uint64_t unix_ns);
/* What heads made at this time say of the activation. */
enum cfc_activation cfc_release_activation(const struct cfc_release *release, uint64_t unix_ns);
/* The deadline that heads made at this time carry; 0 = none. */
uint64_t cfc_release_confirm_by(const struct cfc_release *release, uint64_t unix_ns);

#endif
