/* What stands between frames and the signature check, so that a flood of forged frames costs a
 * bounded share of a core (faults 29): a rate limit per kind of object, and a memory of what failed
 * lately, so that the same forgery is not computed twice.
 *
 * Kinds have limits of their own: forged heads cannot keep FRESH out, and a head whose digest a
 * valid FRESH listed does not compete with heads that nobody announced.  No I/O, no allocation; one
 * thread at a time. */
#ifndef CFC_SESSION_VERIFY_GUARD_H
#define CFC_SESSION_VERIFY_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/trust/digest.h"

enum cfc_verify_kind {
    CFC_VERIFY_HEAD,
    CFC_VERIFY_ANNOUNCED, /* a head whose digest FRESH listed */
    CFC_VERIFY_CONTENT,
    CFC_VERIFY_FRESH,
    CFC_VERIFY_KINDS
};

enum {
    CFC_VERIFY_RATE = 1000, /* checks a second and kind: 40 ms of a core at 40 us a check */
    CFC_VERIFY_BURST = 256, /* checks at once, after a pause */
    CFC_VERIFY_MEMO_COUNT = 8
};

struct cfc_verify_guard {
    uint64_t busy_until_ns[CFC_VERIFY_KINDS]; /* each check moves it on by one interval */
    uint8_t failed[CFC_VERIFY_MEMO_COUNT][CFC_SHORT_DIGEST_SIZE]; /* ring; zero = unused */
    uint32_t failed_next;
};

/* Formats `g` with nothing failed and full bursts. */
void cfc_verify_guard_init(struct cfc_verify_guard *g);

/* Whether a signature may be checked now.  CONFCAST_OK: check it, and call failed() with *memo if
 * it is wrong.  CONFCAST_ERR_SIGNATURE: exactly this failed before.  CONFCAST_ERR_LIMIT: too many
 * checks lately; drop the frame, it can be asked for again. */
int cfc_verify_guard_admit(struct cfc_verify_guard *g, enum cfc_verify_kind kind,
                           struct cfc_sha256 *sha, const uint8_t *signed_bytes, size_t signed_size,
                           const uint8_t *signature, uint64_t now_ns,
                           uint8_t memo[CFC_SHORT_DIGEST_SIZE]);

void cfc_verify_guard_failed(struct cfc_verify_guard *g, const uint8_t memo[CFC_SHORT_DIGEST_SIZE]);

#endif
