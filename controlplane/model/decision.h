/* What the control plane decided for one consumer scope at one version: the input of a signed head.
 *
 * Decisions and contents are immutable and counted, so that the publisher keeps them for as long as
 * it likes without a lock.  The counts are atomic. */
#ifndef CFC_MODEL_DECISION_H
#define CFC_MODEL_DECISION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/trust/digest.h"
#include "protocol/wire/head.h"

/* One effective config as bytes, whatever decisions name it. */
struct cfc_config_body {
    atomic_uint ref_count;
    struct cfc_digest id; /* cfc_content_id() of the body */
    size_t body_size;     /* bytes */
    uint8_t body[];       /* canonical: protocol/snapshot/body.h */
};

struct cfc_decision_arm {
    enum cfc_selector selector;
    uint32_t threshold; /* COHORT: of 2^32 */
    char label_key[CFC_LABEL_SIZE_MAX + 1];
    char label_value[CFC_LABEL_SIZE_MAX + 1];
    struct cfc_config_body
        *content; /* never NULL: a scope that nothing adds to has the empty object */
    struct cfc_config_body *fallback; /* NULL = none */
    bool is_candidate;                /* the arm of the rollout under way */
};

/* The arms are tried in order; the last one selects everybody. */
struct cfc_decision {
    atomic_uint ref_count;
    char scope[CFC_SCOPE_SIZE_MAX + 1];
    uint64_t scope_id;
    uint64_t version;
    enum cfc_head_kind kind;
    uint64_t salt;            /* of the rollout under way: a function of (layer scope, candidate
                               * revision), so that its stages nest; 0 without one */
    uint64_t changed_unix_ns; /* when the change was committed */
    enum cfc_activation activation;
    uint64_t activate_unix_ns;   /* AT; else 0 */
    uint64_t confirm_by_unix_ns; /* 0 = no confirmation needed */
    uint32_t arm_count;          /* 1..2 */
    struct cfc_decision_arm arms[CFC_ARM_COUNT_MAX];
};

struct cfc_config_body *cfc_config_body_ref(struct cfc_config_body *content);
void cfc_config_body_unref(struct cfc_config_body *content); /* NULL is fine */
struct cfc_decision *cfc_decision_ref(struct cfc_decision *decision);
void cfc_decision_unref(struct cfc_decision *decision); /* NULL is fine */

/* "normal", "rollback", "disabled", "deleted". */
const char *cfc_decision_kind_word(enum cfc_head_kind kind);

#endif
