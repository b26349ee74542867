/* One scope as a receiver follows it: the floor, the head accepted last, the arm that it means for
 * this consumer, and what is to be served now.
 *
 * Order of the checks of a head, cheap ones first: scope, epoch, version, jump, times; only then
 * the signature (by the caller), and only then a comparison of decisions.  Rules:
 *
 *   - the accepted version never falls, whatever the epoch (invariant 5);
 *   - an epoch below the highest seen of the shard, or of the scope's floor, is FENCED;
 *   - the same version is accepted again only with the same decision (another owner, or the same
 *     one, repeats it with a newer signature); another decision is EQUIVOCATION: the first one
 *     stays, and the digests of both are kept as evidence;
 *   - the arm is chosen when a version is accepted, and kept until the next version;
 *   - activation and confirm-by are latched: a wall clock that steps back undoes neither.
 *
 * No I/O, no allocation but that of the caller, no clock; one thread at a time. */
#ifndef CFC_SESSION_SCOPE_RX_H
#define CFC_SESSION_SCOPE_RX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/time.h"
#include "protocol/session/ask.h"
#include "protocol/session/content_set.h"
#include "protocol/session/receiver.h"
#include "protocol/wire/head.h"

enum {
    CFC_SCOPE_NAMES_MAX = 2 * CFC_ARM_COUNT_MAX /* contents that one head names */
};

/* Heads may be issued this far in the future of our clock. */
#define CFC_HEAD_SKEW_MAX_NS (300 * CFC_S)

enum cfc_head_verdict {
    CFC_HEAD_NEWER,     /* a version above the accepted one, or the head of a restored floor */
    CFC_HEAD_REPEATED,  /* the accepted head, byte for byte under the signature */
    CFC_HEAD_REENDORSED /* the accepted version under another signature: decisions must match */
};

struct cfc_scope_name {
    struct cfc_entry *entry;
    enum cfc_need need;
};

/* What a content is to a scope under its accepted version. */
enum cfc_scope_role {
    CFC_SCOPE_CONTENT,
    CFC_SCOPE_FALLBACK,
    CFC_SCOPE_ROLES
};

struct cfc_rejection {
    int reason; /* CONFCAST_OK = not rejected */
    bool is_told;
};

struct cfc_scope_rx {
    uint32_t idx;
    uint64_t id;

    /* The accepted head. */
    uint64_t epoch;   /* floor */
    uint64_t version; /* floor; 0 = nothing accepted yet */
    uint8_t *frame;   /* without unsigned TLVs; NULL when only the floor is known */
    size_t frame_size;
    struct cfc_head head; /* of `frame` */
    uint8_t head_digest[CFC_SHORT_DIGEST_SIZE];
    uint32_t shard;
    bool has_shard;
    uint8_t arm;
    bool is_active;   /* latched: the arm's content is to be served */
    bool is_reverted; /* latched: the fallback is to be served again */
    struct cfc_scope_name names[CFC_SCOPE_NAMES_MAX];
    uint32_t name_count;

    /* What readers see. */
    struct cfc_entry *serving; /* NULL = nothing */
    uint64_t serving_version;
    uint64_t serving_epoch;
    uint8_t serving_state; /* enum cfc_apply_state with which it was served */

    /* A SERVE without its answer. */
    struct cfc_entry *pending; /* NULL = none */
    uint64_t pending_version;
    uint64_t pending_epoch;
    uint8_t pending_state;

    uint64_t durable;

    /* The refusal of what the accepted version names for this arm: its content, its fallback. */
    struct cfc_rejection rejections[CFC_SCOPE_ROLES];

    /* The refusal of a head, shown only while FRESH proves that a newer one exists. */
    int head_error;

    /* What FRESH proves. */
    uint64_t published;
    uint8_t published_digest[CFC_SHORT_DIGEST_SIZE];
    bool is_proved;
    uint64_t proved_mono_ns; /* when a valid FRESH last covered this scope */
    uint8_t proved_root[CFC_SHORT_DIGEST_SIZE];
    enum cfc_freshness freshness;

    /* Two decisions under one version. */
    uint64_t equivocations;
    uint64_t evidence_version;
    uint8_t evidence[2][CFC_SHORT_DIGEST_SIZE]; /* head digests: the kept one, the other */

    struct cfc_ask head_ask;
    uint8_t gone_count; /* GONEs that doubled its spacing since FRESH proved something new */
    struct cfc_ask fresh_ask;

    /* Events that are due. */
    bool is_queued;
    struct cfc_scope_rx *next_queued;
    bool is_accepted_due;
    bool is_freshness_due;
    bool is_prepared_told;

    struct cfc_report_entry reported; /* as the last evaluation saw it */

    uint16_t path_size;
    char path[]; /* no NUL */
};

/* Checks a decoded head against what is accepted, all but its signature and decision.
 * `shard_epoch` is the highest epoch seen of the head's shard, `sequence` the highest signed
 * sequence (0 = none known).  CONFCAST_OK with *verdict; WRONG_STREAM, FENCED, ROLLBACK, JUMP,
 * NOT_YET_VALID, EXPIRED: drop the head and count it. */
int cfc_scope_rx_check(const struct cfc_scope_rx *scope, const struct cfc_head *head,
                       uint64_t shard_epoch, uint64_t sequence, uint64_t unix_ns,
                       enum cfc_head_verdict *verdict);

/* The arm of `head` that means a consumer with this id and these labels. */
uint8_t cfc_scope_rx_choose_arm(const struct cfc_head *head, struct cfc_sha256 *sha, const char *id,
                                size_t id_size, const struct cfc_label *labels,
                                uint32_t label_count);

/* Latches activation and confirm-by; true when something changed. */
bool cfc_scope_rx_latch(struct cfc_scope_rx *scope, uint64_t unix_ns);

/* When latch() has something to do next, unix ns; CFC_NEVER for never. */
uint64_t cfc_scope_rx_next_latch(const struct cfc_scope_rx *scope);

/* What is to be served as soon as it is held, and the state that it means.  NULL: what is served
 * now stays. */
const struct cfc_digest *cfc_scope_rx_target(const struct cfc_scope_rx *scope, uint8_t *state);

/* The role of a content that the accepted head names for this arm, and the content of a role (zero
 * for no fallback). */
enum cfc_scope_role cfc_scope_rx_role(const struct cfc_scope_rx *scope,
                                      const struct cfc_digest *content);
const struct cfc_digest *cfc_scope_rx_named(const struct cfc_scope_rx *scope,
                                            enum cfc_scope_role role);

/* Whether the accepted head's arm waits for its activation. */
bool cfc_scope_rx_is_waiting(const struct cfc_scope_rx *scope);

/* What a REPORT says of this scope.  `arm_entry` is the entry of the arm's content, NULL without a
 * head. */
void cfc_scope_rx_report(const struct cfc_scope_rx *scope, const struct cfc_entry *arm_entry,
                         struct cfc_report_entry *out);

#endif
