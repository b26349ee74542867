/* One shard as a receiver sees it through FRESH: the highest epoch, the signed sequence and time,
 * and what one page says of one scope.
 *
 * All pages of a period share their signed part, so the signature is checked once per period.  A
 * page is checked against the signed root.  Monotone: the epoch over heads and FRESH, the sequence
 * always, the time within an epoch and sequence: a new owner's clock may be behind that of the old
 * one, and the owner's own clock may step back, but a higher sequence is news whatever its time.
 *
 * No I/O, no allocation, no clock; one thread at a time. */
#ifndef CFC_SESSION_FRESH_RX_H
#define CFC_SESSION_FRESH_RX_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/time.h"
#include "protocol/trust/digest.h"
#include "protocol/wire/fresh.h"

struct cfc_fresh_rx {
    uint32_t shard;
    uint64_t epoch;  /* highest of accepted heads and FRESH, and of restored floors */
    bool has_period; /* a valid FRESH was seen; what follows is of the newest one */
    uint64_t period_epoch;
    uint64_t sequence;
    uint64_t time_unix_ns;
    uint64_t mono_ns;                    /* when its first page came */
    int64_t clock_error_ns;              /* our clock minus the signed time, then */
    uint8_t memo[CFC_SHORT_DIGEST_SIZE]; /* of its signed part */
    uint8_t root[CFC_SHORT_DIGEST_SIZE];
};

void cfc_fresh_rx_init(struct cfc_fresh_rx *f, uint32_t shard);

/* Checks a decoded page against what is known, all but signature and root.  CONFCAST_OK;
 * *is_same_period tells that the signature was checked before.  FENCED (a stale owner), ROLLBACK
 * (the sequence fell), REPLAY (an older time), EXPIRED, NOT_YET_VALID: drop and count.  *memo is
 * for take(). */
int cfc_fresh_rx_check(const struct cfc_fresh_rx *f, struct cfc_sha256 *sha,
                       const struct cfc_fresh *fresh, uint64_t unix_ns, bool *is_same_period,
                       uint8_t memo[CFC_SHORT_DIGEST_SIZE]);

/* Begins a new period with a page whose signature and root were checked. */
void cfc_fresh_rx_take(struct cfc_fresh_rx *f, const struct cfc_fresh *fresh,
                       const uint8_t memo[CFC_SHORT_DIGEST_SIZE], const struct cfc_now *now);

enum cfc_fresh_answer {
    CFC_FRESH_LISTED, /* *entry says what is current */
    CFC_FRESH_ABSENT, /* the shard has no such scope */
    CFC_FRESH_OUTSIDE /* another page would tell */
};

/* What a checked page says of a scope. */
enum cfc_fresh_answer cfc_fresh_find(const struct cfc_fresh *fresh, uint64_t scope_id,
                                     struct cfc_fresh_entry *entry);

#endif
