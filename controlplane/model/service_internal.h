/* What the files of the service share.  For controlplane/model/ only. */
#ifndef CFC_MODEL_SERVICE_INTERNAL_H
#define CFC_MODEL_SERVICE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "controlplane/model/apply_table.h"
#include "controlplane/model/catalog.h"
#include "controlplane/model/committer.h"
#include "controlplane/model/effective.h"
#include "controlplane/model/impact.h"
#include "controlplane/model/record.h"
#include "controlplane/model/service.h"

/* The end of the audit log, and the entries of a batch that is being built. */
struct cfc_audit {
    uint64_t count;                      /* entries */
    struct cfc_digest head;              /* of the last one; zero for none */
    uint64_t seq;                        /* mod_seq of m/audit */
    const struct cfc_store_batch *batch; /* that got entries and is not committed; NULL = none */
    uint64_t next_count;                 /* count and head once it is */
    struct cfc_digest next_head;
};

struct cfc_service {
    pthread_mutex_t lock;
    struct cfc_store *store;
    struct cfc_service_config config;
    struct cfc_sha256 *sha;
    uint64_t epoch;
    uint64_t floor; /* of versions, after a restore */
    uint64_t seq;   /* last commit that memory knows of */
    struct cfc_audit audit;
    struct cfc_committer *committer; /* NULL: every commit is synced before it returns */
    atomic_bool has_waiting;         /* a decision waits for its commit to be durable */
    bool needs_load;                 /* memory may differ from the store */
    bool has_idle_bodies;
    uint64_t decided; /* decisions computed since opening */
    struct cfc_catalog catalog;
    struct cfc_bodies *bodies;
    struct cfc_apply_table apply;
    struct cfc_scope *queue;       /* decisions that wait for the publisher */
    struct cfc_scope *rollouts;    /* scopes whose release has a candidate */
    uint64_t first_tick_unix_ns;   /* of this process; 0 = none yet */
    struct cfc_stage_judge *judge; /* validators of a stage; NULL = none runs */
    atomic_bool is_interrupted;    /* validators end */
    struct cfc_layers prefixes;    /* scratch */
    int wake_fd;
};

/* Takes the lock and makes memory equal to the store.  On an error the lock is not held. */
int cfc_service_enter(struct cfc_service *service);
void cfc_service_leave(struct cfc_service *service);

/* A known scope by a path from outside.  CONFCAST_ERR_SCOPE_NAME, CONFCAST_ERR_NOT_FOUND. */
int cfc_service_find(struct cfc_service *service, const char *path, struct cfc_scope **scope);

/* Puts a decision in force (takes the reference over; NULL is none) and queues it. */
void cfc_service_install(struct cfc_service *service, struct cfc_scope *scope,
                         struct cfc_decision *decision);

/* Commits a batch under the lock (with shares_syncs it is then staged, not durable), with the audit
 * log's new end when it got entries.  After anything but success, LIMIT, INVALID and NO_SPACE
 * memory is read again before the next use. */
int cfc_service_commit(struct cfc_service *service, struct cfc_store_batch *batch, uint64_t *seq);

/* ---- Changes: who, why, and whether it was asked before ---------------------------------------
 */

/* A change under way. */
struct cfc_change_state {
    const struct cfc_change *change;
    const char *author;               /* never NULL */
    const char *message;              /* never NULL */
    struct cfc_digest request;        /* names the request; under an idempotency key only */
    struct cfc_record_key replay_key; /* where its answer is kept; size 0 = no idempotency key */
};

/* Checks author, message and key, and names the request by `parts` (NULL-terminated strings) and
 * `bytes`.  CONFCAST_ERR_INVALID, CONFCAST_ERR_NO_MEMORY. */
int cfc_change_begin(struct cfc_change_state *state, const struct cfc_change *change,
                     const char *const *parts, const void *bytes, size_t size);
/* The answer that was given to the same request: CONFCAST_OK and its record, with the sequence of
 * its commit.  CONFCAST_ERR_NOT_FOUND: a new request.  CONFCAST_ERR_REPLAY: the key belongs to
 * another one. */
int cfc_change_replay(struct cfc_service *service, const struct cfc_change_state *state,
                      json_t **answer, uint64_t *seq);
/* Adds the audit entry, and under an idempotency key the answer (taken over), to the batch, which
 * then goes to cfc_service_commit(). */
void cfc_change_record(struct cfc_service *service, const struct cfc_change_state *state,
                       struct cfc_store_batch *batch, const char *action, const char *scope,
                       uint64_t revision, json_t *answer);
/* Adds an audit entry alone, for a batch of several actions.  An error sticks to the batch. */
void cfc_audit_add(struct cfc_service *service, const struct cfc_change_state *state,
                   struct cfc_store_batch *batch, const char *action, const char *scope,
                   uint64_t revision);
/* Called by cfc_service_commit(): puts the log's new end into the batch; and once the batch is
 * committed (seq) or is not (0), remembers or forgets it. */
void cfc_audit_seal(struct cfc_service *service, struct cfc_store_batch *batch);
void cfc_audit_sealed(struct cfc_service *service, const struct cfc_store_batch *batch,
                      uint64_t seq);
int cfc_audit_load(struct cfc_service *service);
/* Forgets answers that are older than the configured time; at most one batch, *is_done when there
 * are no more. */
int cfc_change_expire(struct cfc_service *service, uint64_t unix_ns, bool *is_done);

/* ---- Big bodies (recipe.h) --------------------------------------------------------------------
 */

/* Makes the body of a recipe, without the lock.  CONFCAST_ERR_AGAIN: something of it is gone by
 * now; errors of cfc_recipe_cook(). */
int cfc_service_cook(struct cfc_service *service, const struct cfc_recipe *recipe,
                     struct cfc_config_body **body);
/* Under the lock again: has later merges of this recipe find the body, for as long as somebody
 * refers to it.  *body is taken over, and becomes the one to hold on to.  CONFCAST_ERR_NO_MEMORY.
 */
int cfc_service_serve(struct cfc_service *service, const struct cfc_recipe *recipe,
                      struct cfc_config_body **body);

/* CONFCAST_ERR_COLLISION: another scope has this one's id. */
int cfc_service_check_scope_id(struct cfc_service *service, const struct cfc_scope *scope);

/* Whether its tenant may have one more scope, besides `pending` others that this change makes.
 * CONFCAST_ERR_SCOPE_COUNT. */
int cfc_service_check_scope_count(struct cfc_service *service, const char *path, uint64_t pending,
                                  struct cfc_refusal *refusal);

/* Adds the record of a scope (latest revision, tombstone) to a batch, and for a new one its id.
 * CONFCAST_ERR_COLLISION, errors of the store. */
int cfc_service_add_scope(struct cfc_service *service, struct cfc_store_batch *batch,
                          const struct cfc_scope *scope, uint64_t latest_revision, bool is_deleted);
/* After that batch: makes the scope known, and decides for it when it was not, unless that is done
 * already (`is_decided`). */
void cfc_service_scope_committed(struct cfc_service *service, struct cfc_scope *scope, uint64_t seq,
                                 uint64_t latest_revision, bool is_deleted, bool is_decided);

/* ---- Releases: what a change of one scope's release does to all that depend on it -------------
 */

struct cfc_release_change {
    struct cfc_scope *scope;
    struct cfc_release release; /* the new record */
    struct cfc_impact impact;   /* of this change alone */
};

/* Applies a request to the scope's release; nothing follows from it yet, and nothing has to be
 * freed.  CONFCAST_ERR_STATE (with refusal). */
int cfc_release_change_begin(struct cfc_service *service, struct cfc_scope *scope,
                             const struct cfc_release_request *request, uint64_t unix_ns,
                             struct cfc_release_change *change, struct cfc_refusal *refusal);
/* The same for an order, whose guard is checked and whose revision is found first. */
int cfc_release_order_begin(struct cfc_service *service, struct cfc_scope *scope,
                            const struct cfc_release_order *order, uint64_t unix_ns,
                            struct cfc_release_change *change, struct cfc_refusal *refusal);
/* Commits a prepared change that nobody asked for by a request (no idempotency key). */
int cfc_release_change_commit(struct cfc_service *service, struct cfc_release_change *change,
                              const struct cfc_change_state *state, uint64_t *seq);
/* The revision that the last action was about. */
uint64_t cfc_release_subject(const struct cfc_release *release);
/* Writes all that an order asks for, so that the same order has the same name. */
void cfc_release_order_name(FILE *out, const struct cfc_release_order *order);
/* Computes every decision that follows.  Errors of cfc_impact_compute().  Free it on success. */
int cfc_release_change_decide(struct cfc_service *service, struct cfc_release_change *change,
                              struct cfc_refusal *refusal);
/* begin and decide. */
int cfc_release_change_prepare(struct cfc_service *service, struct cfc_scope *scope,
                               const struct cfc_release_request *request, uint64_t unix_ns,
                               struct cfc_release_change *change, struct cfc_refusal *refusal);
/* Adds the record, guarded, and what has to be remembered of an activation. */
void cfc_release_change_add(const struct cfc_release_change *change,
                            const struct cfc_change_state *state, struct cfc_store_batch *batch);
/* After the commit: memory and queue follow. */
void cfc_release_change_committed(struct cfc_service *service, struct cfc_release_change *change,
                                  uint64_t seq);
void cfc_release_change_free(struct cfc_release_change *change);

/* Puts the scope into the list of rollouts, or takes it out, as its release says. */
void cfc_rollout_list(struct cfc_service *service, struct cfc_scope *scope);
/* What the consumers of all scopes that depend on this one report. */
void cfc_rollout_count(const struct cfc_scope *scope, struct cfc_rollout_counts *counts);
/* The validators of a stage that advances by itself run in a thread of their own, since the tick
 * must not wait: begin, and ask again later.  Under the lock.
 * CONFCAST_OK: they accept; CONFCAST_ERR_AGAIN: not known yet; else they refuse, and `message` says
 * why. */
struct cfc_validation;
int cfc_stage_judge_ask(struct cfc_service *service, const struct cfc_scope *scope,
                        struct cfc_validation *needed, char *message, size_t message_size);
/* Waits for the thread. */
void cfc_stage_judge_end(struct cfc_service *service);

/* Moves every rollout on that is due.  The lock is taken for each one.  Errors of a commit. */
int cfc_rollout_tick(struct cfc_service *service, uint64_t unix_ns);

/* A change of a release by the service itself: guarded by what the caller has seen under the lock,
 * which it holds.  Errors of cfc_release_change_prepare() and of a commit. */
int cfc_release_act(struct cfc_service *service, struct cfc_scope *scope,
                    const struct cfc_release_request *request, const char *message);
/* The same for a stage, if what it gives is still valid: CONFCAST_ERR_AGAIN: its validators run;
 * CONFCAST_ERR_SCHEMA_MISMATCH, _VALIDATION, _LIMIT, _RESOURCE: it is not, `why` says why. */
int cfc_release_act_judged(struct cfc_service *service, struct cfc_scope *scope,
                           const struct cfc_release_request *request, const char *message,
                           char why[CFC_REASON_SIZE_MAX + 1]);

/* Whether a revision may be promoted: as many others than its author have approved its digest as
 * the settings ask for.  `is_pending`: it is not written yet, so that nobody can have.
 * CONFCAST_ERR_APPROVAL, errors of the store. */
int cfc_approval_check(struct cfc_service *service, const struct cfc_scope *scope,
                       uint64_t revision, bool is_pending, struct cfc_refusal *refusal);

/* The prefixes of a path that was checked, the shortest first: its default layers. */
void cfc_layers_prefixes(struct cfc_layers *out, const char *path);

/* Reads the rules of all scopes. */
int cfc_rules_load(struct cfc_service *service);

/* Fills what a refusal says of a release. */
void cfc_refusal_release(struct cfc_refusal *refusal, const struct cfc_scope *scope);
void cfc_refusal_say(struct cfc_refusal *refusal, const char *message);

#endif
