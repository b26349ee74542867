/* A token bucket with a hard cap: in any span of t seconds at most `burst + rate * t` units pass.
 * Units are the caller's (bytes, frames).  It reads no clock; one thread owns it. */
#ifndef CFC_SESSION_PACER_H
#define CFC_SESSION_PACER_H

#include <stdbool.h>
#include <stdint.h>

#define CFC_PACER_RATE_MAX  UINT64_C(16000000000) /* so that 64-bit arithmetic never overflows */
#define CFC_PACER_BURST_MAX UINT64_C(4294967296)

struct cfc_pacer {
    uint64_t rate;       /* units a second; 0 = everything passes at once */
    uint64_t burst;      /* depth, units */
    uint64_t level;      /* units that may pass now */
    uint64_t fraction;   /* of a unit, in 1e-9, not yet in `level` */
    uint64_t updated_ns; /* when `level` was true; granted: when a grant may come */
    bool is_granted;     /* units come from cfc_pacer_grant() and not with time */
};

/* Formats a full bucket.  rate <= CFC_PACER_RATE_MAX, burst 1..CFC_PACER_BURST_MAX. */
void cfc_pacer_init(struct cfc_pacer *pacer, uint64_t rate, uint64_t burst, uint64_t now_ns);

/* Formats an empty bucket that cfc_pacer_grant() fills, for a budget that several share.  Its rate
 * is only told, but 0 is no limit here as well. */
void cfc_pacer_init_granted(struct cfc_pacer *pacer, uint64_t rate);
void cfc_pacer_grant(struct cfc_pacer *pacer, uint64_t amount);

/* No grant will come before `at_ns`: cfc_pacer_ready_ns() says that then. */
void cfc_pacer_expect(struct cfc_pacer *pacer, uint64_t at_ns);

/* Another rate from now on, 1..CFC_PACER_RATE_MAX; what was earned stays.  The pacer has a rate.
 * Of a granted one it is only told. */
void cfc_pacer_set_rate(struct cfc_pacer *pacer, uint64_t rate, uint64_t now_ns);

/* Whether `amount` units may pass now.  An amount above the burst never may. */
bool cfc_pacer_has(struct cfc_pacer *pacer, uint64_t amount, uint64_t now_ns);

/* Takes `amount` units; cfc_pacer_has() must have said yes to at least as many. */
void cfc_pacer_take(struct cfc_pacer *pacer, uint64_t amount);

/* Takes and says true, or leaves the bucket alone and says false. */
bool cfc_pacer_try(struct cfc_pacer *pacer, uint64_t amount, uint64_t now_ns);

/* When `amount` units may pass, ns: 0 when they may since the bucket was last asked, UINT64_MAX
 * when never. */
uint64_t cfc_pacer_ready_ns(const struct cfc_pacer *pacer, uint64_t amount);

#endif
