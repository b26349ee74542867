/* The model of the control plane behind one facade: definitions, releases, layers, effective
 * config, decisions and apply states on a store.  HTTP handlers and the publisher call this and
 * nothing below it.
 *
 * Any thread may call any function: one mutex inside serialises them.  It does no networking and
 * signs nothing.  Time is an argument.
 *
 * Every change is one guarded batch with its audit record inside; its commit sequence is the
 * version of all scopes that it touches.  What cannot be computed (a merge beyond a limit) is
 * refused before anything is written.  After CONFCAST_ERR_IO from the store the next call reads
 * everything again.
 *
 * Errors that every changing call may return besides its own:
 *   CONFCAST_ERR_SCOPE_NAME  the path is not well formed                               400
 *   CONFCAST_ERR_INVALID     an argument is out of range                               400
 *   CONFCAST_ERR_REPLAY      the idempotency key was used for another request          422
 *   CONFCAST_ERR_NO_SPACE    nothing was written; the store is read-only for now       507
 *   CONFCAST_ERR_IO, _CORRUPT, _NO_MEMORY                                              503
 */
#ifndef CFC_MODEL_SERVICE_H
#define CFC_MODEL_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "controlplane/json/json_merge.h"
#include "controlplane/json/json_parse.h"
#include "controlplane/log/histogram.h"
#include "controlplane/model/apply.h"
#include "controlplane/model/decision.h"
#include "controlplane/model/explain.h"
#include "controlplane/model/release.h"
#include "controlplane/model/rollout.h"
#include "controlplane/store/store.h"

struct cfc_service;

enum {
    CFC_AUTHOR_SIZE_MAX = 128,           /* bytes, without the NUL */
    CFC_MESSAGE_SIZE_MAX = 1024,         /* bytes, without the NUL; valid UTF-8 */
    CFC_IDEMPOTENCY_KEY_SIZE_MAX = 128,  /* bytes, without the NUL */
    CFC_LAYER_COUNT_MAX = 16,            /* layers of one consumer scope */
    CFC_TENANT_SCOPE_COUNT_MAX = 131072, /* scopes of one tenant, unless its settings say less:
                                          * what one FRESH lists (protocol/wire/fresh.h) */
};

struct cfc_service_config {
    uint64_t stale_after_ns;           /* a consumer silent for longer is stale; 0 = 30 s */
    uint64_t forget_after_ns;          /* one silent for longer is forgotten; 0 = 7 days */
    const char *validators_dir;        /* folder of the validator commands, copied; NULL = none */
    size_t document_size_max;          /* bytes of one definition; 0 = CFC_JSON_SIZE_MAX_DEFAULT */
    uint64_t idempotency_ttl_ns;       /* how long a key is remembered; 0 = 24 h */
    uint64_t clock_error_max_ns;       /* consumers whose clock is off by more do not count for an
                                        * activation at a time; 0 = 1 s */
    struct cfc_rollout_limits rollout; /* what stops a rollout; zero members = the defaults */
    bool shares_syncs; /* changes return before they are durable: see "Durability" below */
};

/* Takes the epoch (so opening is taking ownership), reads everything and computes all decisions,
 * which then wait in the decision queue.  The store stays the caller's and must outlive the
 * service. `config` may be NULL.  Errors of the store; CONFCAST_ERR_CORRUPT for a record that
 * cannot be read. */
int cfc_service_open(struct cfc_store *store, const struct cfc_service_config *config,
                     struct cfc_service **service);
void cfc_service_close(struct cfc_service *service); /* NULL is fine */
/* The process is about to stop: validators that run are ended, and what waits for them is refused.
 * Any thread. */
void cfc_service_interrupt(struct cfc_service *service);

/* For metrics; any thread.  How long syncs of the disk took, NULL when each commit is synced before
 * it returns; bytes of the store, roughly, 0 = not known; scopes that are known. */
const struct cfc_histogram *cfc_service_syncs(struct cfc_service *service);
uint64_t cfc_service_store_size(struct cfc_service *service);
size_t cfc_service_scope_count(struct cfc_service *service);

uint64_t cfc_service_epoch(struct cfc_service *service);
uint64_t cfc_service_seq(struct cfc_service *service); /* last commit that is durable */
/* Decisions computed since opening, for consumer scopes: what a change costs. */
uint64_t cfc_service_decided(struct cfc_service *service);

/* ---- Durability -------------------------------------------------------------------------------
 * Without config.shares_syncs a change is durable when its call returns.  With it a thread of the
 * service ("confcast-commit") syncs the disk for many changes at once, and calls return before.
 * Then what any call returned, a refusal or a view included, may rest on something that a crash can
 * still take back, and is not told to anybody before
 *
 *     cfc_service_mark_begin(service, &mark);
 *     ... calls of the service ...
 *     cfc_service_mark_end(service, &mark);
 *     error = cfc_service_wait_durable(service, &mark);
 *
 * says CONFCAST_OK.  CONFCAST_ERR_IO: the disk failed; whether the change took place is unknown,
 * and what was read may be gone.  The publisher is held to this by cfc_service_poll_decision(). */

struct cfc_mark {
    uint64_t losses;
    uint64_t seq;
};

/* For those who do not block.  The memory is the caller's until `fn` is called, once. */
struct cfc_waiter {
    struct cfc_mark mark;
    void (*fn)(struct cfc_waiter *waiter, int error); /* in any thread; must not block */
    int error;
    struct cfc_waiter *prev;
    struct cfc_waiter *next;
};

void cfc_service_mark_begin(struct cfc_service *service, struct cfc_mark *mark);
void cfc_service_mark_end(struct cfc_service *service, struct cfc_mark *mark);
bool cfc_service_is_durable(struct cfc_service *service, const struct cfc_mark *mark);
int cfc_service_wait_durable(struct cfc_service *service, const struct cfc_mark *mark);
/* Calls waiter->fn when it is known, at once when it is already. */
void cfc_service_when_durable(struct cfc_service *service, struct cfc_waiter *waiter);

/* ---- Backups and what consumers have proved ---------------------------------------------------
 */

/* cfc_backup_open() of the store. */
struct cfc_backup;
int cfc_service_backup(struct cfc_service *service, uint64_t unix_ns, struct cfc_backup **backup);

/* A consumer proved a head above what this store holds: it is remembered, also by later starts,
 * until a restore lifts the store above it (controlplane/store/backup.h).  Errors of a commit. */
int cfc_service_note_proof(struct cfc_service *service, uint64_t epoch, uint64_t version);
/* Both 0 when there is none.  Errors of the store. */
int cfc_service_get_proof(struct cfc_service *service, uint64_t *epoch, uint64_t *version);

/* How the author of a change was proven. */
#define CFC_PROOFS(X)                                                                              \
    X(NONE, "none")   /* not at all: what the client said */                                       \
    X(PEER, "peer")   /* by the kernel: the user at the other end of the unix socket */            \
    X(TOKEN, "token") /* by a bearer token */                                                      \
    X(CERTIFICATE, "certificate") /* by a client certificate */

enum cfc_proof {
#define CFC_ENUM_(name, word) CFC_PROOF_##name,
    CFC_PROOFS(CFC_ENUM_)
#undef CFC_ENUM_
};

/* Who asks for a change, and how to recognise the same request again. */
struct cfc_change {
    const char *author;          /* 1..128 bytes; NULL = "anonymous" */
    const char *claimed;         /* whom the client named besides, 0..128 bytes; NULL = nobody */
    enum cfc_proof proof;        /* of the author */
    const char *message;         /* 0..1024 bytes of UTF-8; NULL = "" */
    const char *idempotency_key; /* 1..128 printable ASCII; NULL = none */
    uint64_t unix_ns;            /* now */
    bool is_override;            /* limits against the active config do not count */
    bool is_dry_run;             /* check and compute all, write nothing */
};

/* Why a change was refused: filled on CONFCAST_ERR_CONFLICT and CONFCAST_ERR_STATE, message on
 * every error.  May be NULL in all calls. */
struct cfc_refusal {
    char message[1024];        /* one sentence for people */
    bool has_revision;         /* put, delete: */
    uint64_t current_revision; /* ... the latest revision, 0 = none */
    char current_author[CFC_AUTHOR_SIZE_MAX + 1];
    bool has_release;                    /* release: */
    struct cfc_release current_release;  /* ... the record as it is */
    char holder[CFC_SCOPE_SIZE_MAX + 1]; /* not empty: the scope whose rollout is in the way */
    bool has_layers;                     /* layers: the result holds them as they are */
    bool has_item;                       /* batch: */
    size_t item_idx;                     /* ... the item that is refused */
};

/* ---- Definitions ------------------------------------------------------------------------------
 */

struct cfc_put {
    const char *scope;
    const char *text; /* JSON, root an object; need not end in NUL */
    size_t text_size;
    json_t *document; /* instead of the text: parsed strictly; borrowed */
    bool has_expected_revision;
    uint64_t expected_revision; /* 0 = the scope must have no definition (or a deleted one) */
};

struct cfc_put_result {
    uint64_t revision;
    struct cfc_digest digest;    /* SHA-256 of the canonical text */
    struct cfc_json_nulls nulls; /* that merging will drop */
    uint64_t seq;                /* commit; 0 for a dry run */
    bool is_replay;              /* the idempotency key was known: this is the first answer again */
};

/* Writes the next revision.  Consumers see nothing of it until a release names it.
 * CONFCAST_ERR_CONFLICT: expected_revision is not the current one.  CONFCAST_ERR_COLLISION: another
 * scope has this scope_id.  CONFCAST_ERR_DOCUMENT_SIZE, CONFCAST_ERR_KEYS: more than the settings
 * allow; CONFCAST_ERR_SCOPE_COUNT: a new scope too many.  Errors of cfc_json_parse_object(). */
int cfc_service_put(struct cfc_service *service, const struct cfc_change *change,
                    const struct cfc_put *put, struct cfc_put_result *result,
                    struct cfc_refusal *refusal);

/* Writes a tombstone as the next revision and, where something is released, moves the release to
 * DELETED in the same batch.  CONFCAST_ERR_NOT_FOUND: no definition, or deleted already.
 * CONFCAST_ERR_STATE: a rollout is under way: abort it first. */
int cfc_service_delete(struct cfc_service *service, const struct cfc_change *change,
                       const char *scope, bool has_expected_revision, uint64_t expected_revision,
                       struct cfc_put_result *result, struct cfc_refusal *refusal);

struct cfc_definition_meta {
    uint64_t revision;
    uint64_t unix_ns;
    char author[CFC_AUTHOR_SIZE_MAX + 1];
    char message[CFC_MESSAGE_SIZE_MAX + 1];
    struct cfc_digest digest; /* SHA-256 of the canonical text; zero for a tombstone */
    uint64_t size;            /* bytes of the canonical text */
    bool is_tombstone;
    bool is_gone; /* its text is not kept any more (retained_revisions of the settings) */
};

struct cfc_definition {
    struct cfc_definition_meta meta;
    char *text; /* canonical JSON, NUL after it; NULL for a tombstone.  cfc_definition_free() */
};

/* revision 0 = the latest.  CONFCAST_ERR_NOT_FOUND: no such scope or revision.  CONFCAST_ERR_GONE:
 * its text is not kept any more.  A tombstone is CONFCAST_OK with is_tombstone. */
int cfc_service_get(struct cfc_service *service, const char *scope, uint64_t revision,
                    struct cfc_definition *definition);
void cfc_definition_free(struct cfc_definition *definition);

/* Revisions from the newest down, at most `count_max` of them starting below `before` (0 = from the
 * newest).  `*items` is on the heap (free); `*count` may be less than asked.
 * CONFCAST_ERR_NOT_FOUND: no such scope. */
int cfc_service_history(struct cfc_service *service, const char *scope, uint64_t before,
                        size_t count_max, struct cfc_definition_meta **items, size_t *count);

/* Every scope that is known, in byte order; `*scopes` is one heap block of NUL-terminated names,
 * one after the other (free). */
int cfc_service_scopes(struct cfc_service *service, char **scopes, size_t *count);

/* ---- Releases ---------------------------------------------------------------------------------
 */

struct cfc_release_order {
    const char *scope;
    enum cfc_release_action action;
    uint64_t revision;    /* promote: 0 = the latest; rollback: 0 = the previous one; quarantine:
                           * which */
    const char *strategy; /* promote: NULL = "all" */
    bool is_pending;      /* promote: `revision` is put in the same step (cfc_service_batch()) */
    /* promote: all of it; advance of what waits for its activation: AT, and the share that has to
     * be PREPARED instead of the one promote asked for. */
    struct cfc_release_plan plan;
    bool has_require_prepared; /* plan.require_prepared_ppm was given */
    bool has_expected_version;
    uint64_t expected_version; /* the release_version that the caller saw; 0 = never released */
};

struct cfc_release_view {
    struct cfc_release release;
    uint64_t version; /* commit sequence of the last change of this release; 0 = never released */
    char author[CFC_AUTHOR_SIZE_MAX + 1];
    char message[CFC_MESSAGE_SIZE_MAX + 1];
    uint64_t
        affected_count; /* answers of cfc_service_release(): consumer scopes that got the version */
    bool is_replay;
    json_t *preview; /* a dry run: what it would do (preview.h), the caller's; else NULL */
};

/* CONFCAST_OK; CONFCAST_ERR_CONFLICT: expected_version is not the current one; CONFCAST_ERR_STATE:
 * the table refuses, or another layer of some consumer scope is rolling (refusal->holder);
 * CONFCAST_ERR_NOT_FOUND: no such revision.  CONFCAST_ERR_GONE: its text is not kept any more.
 * CONFCAST_ERR_LIMIT: a merged config would be too big.
 * CONFCAST_ERR_INVALID: the plan contradicts itself, or its time is not to come. */
int cfc_service_release(struct cfc_service *service, const struct cfc_change *change,
                        const struct cfc_release_order *order, struct cfc_release_view *view,
                        struct cfc_refusal *refusal);

/* ---- Batches ----------------------------------------------------------------------------------
 */

enum cfc_batch_kind {
    CFC_BATCH_PUT,
    CFC_BATCH_DELETE,
    CFC_BATCH_RELEASE,
};

enum {
    CFC_BATCH_ITEM_COUNT_MAX = 256
};

struct cfc_batch_item {
    enum cfc_batch_kind kind;
    struct cfc_put put;             /* PUT; DELETE: its scope and guard */
    struct cfc_release_order order; /* RELEASE */
};

/* The scope of an item. */
const char *cfc_batch_item_scope(const struct cfc_batch_item *item);

struct cfc_batch_item_result {
    enum cfc_batch_kind kind;
    char scope[CFC_SCOPE_SIZE_MAX + 1];
    uint64_t revision; /* PUT, DELETE */
    struct cfc_digest digest;
    struct cfc_json_nulls nulls; /* PUT, as in cfc_put_result */
    bool has_release;            /* RELEASE, and a DELETE that ended one: */
    struct cfc_release release;
};

struct cfc_batch_result {
    uint64_t seq; /* the version of all that was released; 0 for a dry run */
    uint64_t affected_count;
    bool is_replay;
    char author[CFC_AUTHOR_SIZE_MAX + 1];
    char message[CFC_MESSAGE_SIZE_MAX + 1];
    json_t *preview; /* a dry run: what it would do (preview.h); else NULL */
    size_t count;
    struct cfc_batch_item_result *items; /* `count` of them, on the heap */
};

/* Several puts, deletes and release actions in one step: all or nothing, one version.  Items are
 * applied in their order, so that a put can be promoted by a later item (revision 0 is then what
 * was put).  A scope's definition and its release may be changed once each, and what is deleted is
 * not changed otherwise.  refusal->item_idx names the item that is refused.
 * CONFCAST_ERR_LIMIT: more items than CFC_BATCH_ITEM_COUNT_MAX, or than one commit of the store
 * holds; CONFCAST_ERR_INVALID: none, or a scope twice; errors of put, delete and release.  Free
 * the result on success. */
int cfc_service_batch(struct cfc_service *service, const struct cfc_change *change,
                      const struct cfc_batch_item *items, size_t count,
                      struct cfc_batch_result *result, struct cfc_refusal *refusal);
void cfc_batch_result_free(struct cfc_batch_result *result);

/* An EMPTY record for a scope that exists and was never released.  CONFCAST_ERR_NOT_FOUND. */
int cfc_service_get_release(struct cfc_service *service, const char *scope,
                            struct cfc_release_view *view);

/* ---- Approval ---------------------------------------------------------------------------------
 */

enum {
    CFC_APPROVAL_COUNT_MAX = 8 /* approvals that settings may ask for */
};

struct cfc_approval {
    uint64_t revision;
    uint32_t count;    /* who approved it, its author not among them */
    uint32_t required; /* now */
    bool is_replay;
};

/* change->author approves a revision that has this digest.  CONFCAST_ERR_NOT_FOUND: no such
 * revision.  CONFCAST_ERR_CONFLICT: it has another digest.  CONFCAST_ERR_APPROVAL: the author may
 * not approve, nor may anonymous.  CONFCAST_ERR_EXISTS: approved by this one already.
 * CONFCAST_ERR_LIMIT: by too many. */
int cfc_service_approve(struct cfc_service *service, const struct cfc_change *change,
                        const char *scope, uint64_t revision, const struct cfc_digest *digest,
                        struct cfc_approval *approval, struct cfc_refusal *refusal);

/* ---- Layers -----------------------------------------------------------------------------------
 */

struct cfc_layers {
    char scopes[CFC_LAYER_COUNT_MAX][CFC_SCOPE_SIZE_MAX + 1]; /* in the order of merging */
    uint32_t count;
    bool is_default;  /* the path's prefixes */
    uint64_t version; /* commit of the last setting; 0 = never set */
    bool is_replay;   /* set_layers: the idempotency key was known */
    json_t *preview;  /* set_layers, a dry run: what it would do (preview.h), the caller's */
};

/* Sets what is merged for a consumer scope; count 0 = back to the path's prefixes.  Every layer is
 * of the same tenant, none twice; they need not exist yet.  has_expected_version guards `version`:
 * after CONFCAST_ERR_CONFLICT with refusal->has_layers *result has what holds, and its author.
 * CONFCAST_ERR_STATE: it would put two rollouts on this scope (refusal->holder).  What the scope
 * gets by it is held to the rules of its new layers, like a promotion:
 * CONFCAST_ERR_SCHEMA_MISMATCH, CONFCAST_ERR_VALIDATION. CONFCAST_ERR_CONFLICT,
 * CONFCAST_ERR_COLLISION, CONFCAST_ERR_LIMIT. */
int cfc_service_set_layers(struct cfc_service *service, const struct cfc_change *change,
                           const char *scope, const char *const *layers, size_t layer_count,
                           bool has_expected_version, uint64_t expected_version,
                           struct cfc_layers *result, struct cfc_refusal *refusal);
/* Also answers for a scope that is not known yet (its default). */
int cfc_service_get_layers(struct cfc_service *service, const char *scope,
                           struct cfc_layers *layers);

/* Makes a scope known that consumers follow and nobody wrote to, so that decisions are made for it
 * from its layers.  Nothing happens when it is known.  CONFCAST_ERR_COLLISION. */
int cfc_service_follow(struct cfc_service *service, const struct cfc_change *change,
                       const char *scope);

/* ---- Schemas and settings ---------------------------------------------------------------------
 */

enum cfc_rule_kind {
    CFC_RULE_SCHEMA,   /* a JSON Schema (controlplane/schema/schema.h) */
    CFC_RULE_SETTINGS, /* controlplane/model/rules.h */
    CFC_RULE_COUNT,
};

enum {
    CFC_RULE_SIZE_MAX = 128 * 1024 /* bytes of one of them */
};

/* Writes the next revision of what a scope asks of effective configs: its own, and those of every
 * scope that has it as a layer.  From then on promotions are held to it; what is released stays.
 * CONFCAST_ERR_CONFLICT; CONFCAST_ERR_INVALID (settings), errors of cfc_schema_compile() and of
 * cfc_json_parse_object(), each with a sentence in the refusal. */
int cfc_service_put_rule(struct cfc_service *service, const struct cfc_change *change,
                         enum cfc_rule_kind kind, const struct cfc_put *put,
                         struct cfc_put_result *result, struct cfc_refusal *refusal);
/* revision 0 = the latest.  CONFCAST_ERR_NOT_FOUND: never set, or no such revision. */
int cfc_service_get_rule(struct cfc_service *service, enum cfc_rule_kind kind, const char *scope,
                         uint64_t revision, struct cfc_definition *rule);
/* As cfc_service_history(). */
int cfc_service_rule_history(struct cfc_service *service, enum cfc_rule_kind kind,
                             const char *scope, uint64_t before, size_t count_max,
                             struct cfc_definition_meta **items, size_t *count);

/* ---- Effective config -------------------------------------------------------------------------
 */

struct cfc_effective {
    uint64_t version;
    struct cfc_digest content_id;
    bool is_candidate; /* there is a rollout, and this is its arm */
    char *text;        /* canonical JSON, NUL after it; cfc_effective_free() */
    size_t text_size;
};

/* The stable arm, or the candidate arm (the stable one again when no rollout is under way).  A
 * candidate that everybody serves and that is not confirmed yet is both.  Also answers for a scope
 * that is not known, from its prefixes; nothing is published for it until it is
 * (cfc_service_follow).  CONFCAST_ERR_NOT_FOUND: none of its layers was ever released. */
int cfc_service_effective(struct cfc_service *service, const char *scope, bool wants_candidate,
                          struct cfc_effective *effective);
void cfc_effective_free(struct cfc_effective *effective);

/* What one layer has to do with the value at a pointer. */
struct cfc_explained_layer {
    char scope[CFC_SCOPE_SIZE_MAX + 1];
    enum cfc_release_state state; /* of its release */
    uint64_t revision;            /* that it gives; 0 = nothing */
    bool is_candidate;            /* ... and it is the rollout's */
    enum cfc_explain_effect effect;
    size_t at_size; /* bytes of the pointer down to where it acts */
    char *text;     /* canonical JSON of what it has at the pointer; NULL = nothing */
    size_t text_size;
};

struct cfc_explanation {
    uint64_t version;
    bool is_candidate; /* as in cfc_effective */
    char *text;        /* the value as canonical JSON; NULL: there is none */
    size_t text_size;
    int winner_idx; /* the layer that decided it; -1 = no layer does */
    uint32_t count;
    struct cfc_explained_layer layers[CFC_LAYER_COUNT_MAX]; /* in the order of merging */
};

/* Why the value at a JSON Pointer (RFC 6901) is what it is.  Errors of cfc_service_effective();
 * CONFCAST_ERR_INVALID, CONFCAST_ERR_LIMIT: the pointer is none, or too long.  Free it on success.
 */
int cfc_service_explain(struct cfc_service *service, const char *scope, bool wants_candidate,
                        const char *pointer, struct cfc_explanation *explanation);
void cfc_explanation_free(struct cfc_explanation *explanation);

/* The decision now in force (a reference: cfc_decision_unref).  CONFCAST_ERR_NOT_FOUND as above. */
int cfc_service_decision(struct cfc_service *service, const char *scope,
                         struct cfc_decision **decision);

/* ---- The publisher ----------------------------------------------------------------------------
 */

/* The next changed decision in the order of versions (paths in byte order within one version); a
 * scope that changed twice since comes once, with the newer.  The reference becomes the caller's.
 * CONFCAST_ERR_AGAIN: nothing waits.  One thread polls. */
int cfc_service_poll_decision(struct cfc_service *service, struct cfc_decision **decision);

/* Every decision waits again: the engine has lost everything. */
void cfc_service_requeue_decisions(struct cfc_service *service);

/* An eventfd that is readable while decisions wait: for epoll; do not read, write or close it. */
int cfc_service_wake_fd(struct cfc_service *service);

/* This version of the scope was handed over for sending. */
void cfc_service_note_published(struct cfc_service *service, const char *scope, uint64_t version,
                                uint64_t unix_ns);

/* ---- Apply states -----------------------------------------------------------------------------
 */

/* How the entries of one report were taken. */
struct cfc_report_result {
    uint32_t taken;    /* new state */
    uint32_t repeated; /* not newer than what is known: only "it was heard" is noted */
    uint32_t unknown;  /* no such scope id here */
    uint32_t
        refused; /* claims a version that was never published, or a state that does not exist */
};

/* What was noted with an earlier report of a consumer; false when nothing was, or its consumer was
 * forgotten. */
bool cfc_service_recall(struct cfc_service *service, const char *id, size_t id_size,
                        struct cfc_consumer_memo *memo);

struct cfc_report_source {
    const char *id; /* of the consumer; need not end in NUL */
    size_t id_size;
    const struct cfc_consumer_memo *memo; /* to be noted with the consumer; NULL = nothing */
    uint64_t incarnation;
    uint64_t report_seq;
    uint64_t unix_ns; /* now */
    bool has_clock;   /* the report speaks of the consumer's clock: */
    int64_t clock_error_ns;
    uint32_t clock_bound_us; /* 0 = it has seen no signed time yet */
};

/* One report (or one part of it) of a consumer; `result` may be NULL.  CONFCAST_OK whatever became
 * of the entries; CONFCAST_ERR_INVALID for a consumer id that is not well formed;
 * CONFCAST_ERR_NO_MEMORY; CONFCAST_ERR_LIMIT: too many consumers, and none of them is silent. */
int cfc_service_take_report(struct cfc_service *service, const struct cfc_report_source *source,
                            const struct cfc_report_entry *entries, size_t count,
                            struct cfc_report_result *result);
/* The same without a clock. */
int cfc_service_report(struct cfc_service *service, const char *consumer, uint64_t incarnation,
                       uint64_t report_seq, const struct cfc_report_entry *entries, size_t count,
                       uint64_t unix_ns, struct cfc_report_result *result);

/* The clock of a consumer that has reported, as its report says; kept in memory only. */
void cfc_service_report_clock(struct cfc_service *service, const char *consumer,
                              int64_t clock_error_ns, uint32_t clock_bound_us);

/* A consumer said hello, with labels "k=v,k=v" of at most CFC_LABELS_TEXT_MAX bytes ("" = none).
 * It is known from then on, but follows nothing before it reports.  CONFCAST_ERR_INVALID: no id;
 * CONFCAST_ERR_LIMIT: too long, or too many consumers; CONFCAST_ERR_NO_MEMORY. */
int cfc_service_note_hello(struct cfc_service *service, const char *id, size_t id_size,
                           uint64_t incarnation, const char *labels, uint64_t unix_ns);

/* Whether a consumer takes deltas, as its hello said; kept over restarts once it has reported. */
void cfc_service_note_deltas(struct cfc_service *service, const char *id, size_t id_size,
                             bool takes_deltas);

/* There is a sign that two live consumers use this id: both are shown as cloned, until there was
 * none for ten minutes.  An id that never reported is ignored. */
void cfc_service_note_clone(struct cfc_service *service, const char *id, size_t id_size,
                            uint64_t unix_ns);

/* Call every second or so: writes changed apply states in batches, finds silent consumers, moves
 * rollouts on (activations, stages, pauses, rollbacks of what nobody confirmed; each is a change by
 * CFC_ROLLOUT_AUTHOR), forgets old idempotency keys.  Errors of the store: what was not written
 * stays due. */
int cfc_service_tick(struct cfc_service *service, uint64_t unix_ns);

/* CONFCAST_ERR_NOT_FOUND. */
int cfc_service_status(struct cfc_service *service, const char *scope,
                       struct cfc_apply_counts *counts);

/* The same with all that is computed for whoever looks.  It takes the same time whatever the size
 * of the fleet. */
int cfc_service_scope_status(struct cfc_service *service, const char *scope, uint64_t unix_ns,
                             struct cfc_scope_status *status);

/* Rises with every change of any scope's status; not comparable with that of another process. */
uint64_t cfc_service_change(struct cfc_service *service);
/* The paths of the scopes whose status changed after `change`, each with its NUL, the latest first.
 * Free *scopes.  CONFCAST_ERR_NO_MEMORY. */
int cfc_service_changed_scopes(struct cfc_service *service, uint64_t change, char **scopes,
                               size_t *count);

void cfc_service_apply_totals(struct cfc_service *service, struct cfc_apply_totals *totals);

/* How a scope keeps to the bound that its settings give. */
struct cfc_propagation {
    uint64_t bound_ms; /* consumers should serve what is published so soon; 0 = no bound */
    uint64_t beyond;   /* consumers that do not, and it is later */
};

/* CONFCAST_ERR_NOT_FOUND.  cfc_service_stragglers() names those beyond. */
int cfc_service_propagation(struct cfc_service *service, const char *scope, uint64_t unix_ns,
                            struct cfc_propagation *propagation);

/* The rollout that this scope takes part in.  CONFCAST_ERR_NOT_FOUND: none. */
struct cfc_rollout_view {
    char holder[CFC_SCOPE_SIZE_MAX + 1]; /* the layer that rolls */
    struct cfc_release release;
    struct cfc_rollout_counts counts; /* over all scopes that take part in it */
};
int cfc_service_rollout(struct cfc_service *service, const char *scope,
                        struct cfc_rollout_view *view);

/* Up to `count_max` consumers that do not serve what is published for the scope (count_max 0:
 * none).
 * `*items` is on the heap (free).  CONFCAST_ERR_NOT_FOUND. */
int cfc_service_stragglers(struct cfc_service *service, const char *scope, size_t count_max,
                           struct cfc_apply_view **items, size_t *count);

/* Which apply states to show.  All conditions have to hold. */
struct cfc_consumer_query {
    const char *consumer; /* only of this one; NULL = of all */
    const char *scope;    /* only of this one; NULL = of all */
    const char *label;    /* only of consumers with this label, "k=v"; NULL = of all */
    bool is_behind;       /* only those not known to serve what is published */
    bool is_stale;        /* only those of consumers that are silent */
    bool is_cloned;       /* only those of consumers that are cloned */
    bool has_state;       /* only those in this state, of consumers that are not silent: */
    uint8_t state;
    const char *after;    /* go on after this consumer ... */
    uint64_t after_place; /* ... or, without one, where the last answer said; 0 = from the first */
    size_t count_max;     /* states */
};

/* Apply states by consumer, in the order in which the consumers were heard first.  `*items` is on
 * the heap (free).  *next: where to go on; 0 = this was the end.  An answer may hold fewer states
 * than it has room for, or none, and yet not be the last one: it looks at a bounded number of them.
 * CONFCAST_ERR_NOT_FOUND: no such scope, or no such consumer to go on after. */
int cfc_service_find_consumers(struct cfc_service *service, const struct cfc_consumer_query *query,
                               struct cfc_apply_view **items, size_t *count, uint64_t *next);
/* All states of one consumer, or of all with consumer NULL. */
int cfc_service_consumers(struct cfc_service *service, const char *consumer, const char *after,
                          size_t count_max, struct cfc_apply_view **items, size_t *count);

/* ---- Access: who may do what ------------------------------------------------------------------
 * The records are controlplane/auth's; here they are kept and audited.
 */

enum {
    CFC_ACCESS_NAME_MAX = 64, /* characters [a-z0-9:] of a record's name */
};

struct cfc_access_change {
    const char *action;       /* what the audit log calls it */
    const char *name;         /* of the record; what the audit log has as scope */
    const char *request_name; /* names the request, with `request`, for the idempotency key */
    const void *request;
    size_t request_size;
    json_t *record; /* borrowed; NULL deletes */
    json_t *answer; /* borrowed; what the same request gets again: it must hold no secret */
    bool has_expected_version;
    uint64_t expected_version; /* 0 = must not exist */
};

struct cfc_access_result {
    json_t *answer;   /* the caller's */
    uint64_t version; /* of the record; 0 for a dry run */
    bool is_replay;
};

/* CONFCAST_ERR_CONFLICT: expected_version is not the current one (refusal->current_revision);
 * CONFCAST_ERR_NOT_FOUND: nothing to delete. */
int cfc_service_put_access(struct cfc_service *service, const struct cfc_change *change,
                           const struct cfc_access_change *access, struct cfc_access_result *result,
                           struct cfc_refusal *refusal);

/* All records, as a list of {name, version, record}, which is the caller's. */
int cfc_service_access(struct cfc_service *service, json_t **records);

/* ---- Audit ------------------------------------------------------------------------------------
 */

/* Accepted changes from the newest down, below `before` (0 = from the newest), as JSON objects {n,
 * prev, time_unix_ns, author, proof, claimed (where it was given), action, scope, revision,
 * message, version, digest}.  The array is the caller's (json_decref).  Each entry carries the
 * digest of the one before and is checked as it is read: CONFCAST_ERR_CORRUPT, an entry was changed
 * or is missing, and *broken is its number (0 otherwise; NULL is fine).  What lies on both sides of
 * it can still be read: with `before` at most that number, or by lines with `after` at least that.
 */
int cfc_service_audit(struct cfc_service *service, uint64_t before, size_t count_max,
                      json_t **entries, uint64_t *broken);

/* The same from the oldest up, after entry `after` (0 = from the first), as lines of JSON just as
 * they are stored: "prev" of a line is the plain SHA-256 of the line before it, without its
 * newline.
 * `*text` is on the heap (free), NULL when nothing is left. */
int cfc_service_audit_lines(struct cfc_service *service, uint64_t after, size_t count_max,
                            char **text, size_t *size, uint64_t *broken);

#endif
