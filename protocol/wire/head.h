/* HEAD: the signed decision for one scope at one version: which content for whom, and when.
 *
 *     16  u16     signed size: the signed part is the `signed size` bytes that begin here
 *     18  u16     scope size
 *     20  u8      kind
 *     21  u8      activation
 *     22  u8      arm count 1..4
 *     23  u8      0
 *     24  u32     shard
 *     28  u32     0
 *     32  u64     epoch >= 1
 *     40  u64     version >= 1
 *     48  u64     issued, unix ns
 *     56  u64     not after, unix ns; 0 = never
 *     64  u64     activate at, unix ns; 0 unless activation is AT
 *     72  u64     confirm by, unix ns; 0 = no confirmation needed
 *     80  u64     rollout salt
 *     88  u8[8]   key id
 *     96          scope path; then the arms, each:
 *                   u8 selector, u8 label key size, u8 label value size, u8 0,
 *                   u32 cohort threshold, u8[32] content id (not zero),
 *                   u8[32] fallback content id (zero = none), label key, label value;
 *                 then signed TLVs to the end of the signed part
 *      .  u8[64]  Ed25519 signature over CFC_DOMAIN_HEAD_SIG and the signed part
 *      .          unsigned TLVs to the end of the frame (INLINE_CONTENT, which its content id
 *                 verifies)
 *
 * The key of the frame is the scope id; the frame header is not signed, but the key must follow
 * from the signed path. */
#ifndef CFC_WIRE_HEAD_H
#define CFC_WIRE_HEAD_H

#include "protocol/trust/digest.h"
#include "protocol/trust/sign.h"
#include "protocol/wire/frame.h"

#define CFC_HEAD_KINDS(X)                                                                          \
    X(NORMAL, 0)                                                                                   \
    X(ROLLBACK, 1) /* content goes back on purpose */                                              \
    X(DISABLED, 2) /* the scope's own layer adds nothing now */                                    \
    X(DELETED, 3)  /* the scope was deleted; what remains comes from its other layers */

#define CFC_ACTIVATIONS(X)                                                                         \
    X(NOW, 0)                                                                                      \
    X(HOLD, 1) /* fetch and prepare; a later head activates */                                     \
    X(AT, 2)   /* switch at activate_unix_ns */

#define CFC_SELECTORS(X)                                                                           \
    X(ALL, 0)    /* everybody; the last arm is always this, and no other */                        \
    X(COHORT, 1) /* cfc_cohort(salt, consumer id) < threshold */                                   \
    X(LABEL, 2)  /* the consumer has this label with this value */

enum cfc_head_kind {
#define CFC_ENUM_(name, number) CFC_HEAD_##name = number,
    CFC_HEAD_KINDS(CFC_ENUM_)
#undef CFC_ENUM_
};

enum cfc_activation {
#define CFC_ENUM_(name, number) CFC_ACTIVATE_##name = number,
    CFC_ACTIVATIONS(CFC_ENUM_)
#undef CFC_ENUM_
};

enum cfc_selector {
#define CFC_ENUM_(name, number) CFC_SELECT_##name = number,
    CFC_SELECTORS(CFC_ENUM_)
#undef CFC_ENUM_
};

struct cfc_arm {
    uint8_t selector;   /* enum cfc_selector */
    uint32_t threshold; /* COHORT: of 2^32; else 0 */
    struct cfc_digest content;
    struct cfc_digest
        fallback; /* served before activation and after an unconfirmed confirm_by; zero = none */
    const char *label_key; /* LABEL: in the frame, no NUL; else size 0 */
    uint8_t label_key_size;
    const char *label_value;
    uint8_t label_value_size;
};

struct cfc_inline_content {
    bool is_present;
    uint8_t arm;
    uint8_t encoding; /* enum cfc_encoding of content.h */
    uint32_t body_size;
    struct cfc_digest base; /* not zero if, and only if, ZSTD_DELTA */
    const uint8_t *coded;   /* in the frame */
    size_t coded_size;
};

struct cfc_head {
    uint8_t kind;
    uint8_t activation;
    uint8_t arm_count;
    uint32_t shard;
    uint64_t epoch;
    uint64_t version;
    uint64_t issued_unix_ns;
    uint64_t not_after_unix_ns;
    uint64_t activate_unix_ns;
    uint64_t confirm_by_unix_ns;
    uint64_t rollout_salt;
    uint8_t key_id[CFC_KEY_ID_SIZE];
    const char *scope; /* in the frame, no NUL */
    uint16_t scope_size;
    struct cfc_arm arms[CFC_ARM_COUNT_MAX];
    struct cfc_inline_content inlined;
    const uint8_t *signed_bytes; /* for the verifier and for cfc_head_digest() */
    size_t signed_size;
    const uint8_t *signature;
};

/* Decodes a frame of type HEAD and checks all that needs no key: sizes, enums, reserved fields, the
 * scope path, that the key follows from the path, and the rules named above (last arm ALL, AT has a
 * time, ...).  `sha` computes the scope id. SHORT, LENGTH, VERSION (reserved or enum), RANGE (arm
 * count, arm index, rules), SCOPE_NAME, UNSUPPORTED (critical TLV), WRONG_STREAM (key and path
 * disagree): drop the frame and count. */
int cfc_head_decode(const struct cfc_frame *frame, struct cfc_sha256 *sha, struct cfc_head *out);

/* Encodes and signs.  Reads every field but signed_bytes, signed_size, signature and key_id (the
 * signer's is used). INVALID for fields outside their rules, LIMIT when it does not fit `capacity`
 * (leave out the inline content and try again), or the signer's error. */
int cfc_head_encode(const struct cfc_head *head, const struct cfc_signer *signer,
                    struct cfc_sha256 *sha, uint8_t *frame, size_t capacity, size_t *size);

/* CONFCAST_OK, or the verifier's error. */
int cfc_head_verify(const struct cfc_head *head, const struct cfc_verifier *verifier,
                    uint64_t unix_ns);

/* The head's digest as FRESH lists it: 16 bytes of SHA-256(CFC_DOMAIN_HEAD_ID, signed part). */
void cfc_head_digest(const struct cfc_head *head, struct cfc_sha256 *sha,
                     uint8_t out[CFC_SHORT_DIGEST_SIZE]);

/* Whether two heads decide the same: scope, shard, version, kind, activation, times but `issued`
 * and `not after`, salt and arms.  Epoch and key may differ: that is a new owner who repeats what
 * was decided. */
bool cfc_head_same_decision(const struct cfc_head *a, const struct cfc_head *b);

#endif
