/* A token bucket that several threads draw from: what all of them take together stays below
 * `burst + rate * t` in any span of t seconds.  One word holds its whole state, the time at which
 * it was or will be empty (the virtual scheduling of ITU-T I.371), and a draw is one
 * compare-and-swap: nobody waits for anybody.
 *
 * Draws are for many frames at once; a sender spends them one by one (sender_share.h). */
#ifndef CFC_DATAPLANE_BUDGET_H
#define CFC_DATAPLANE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cfc_budget {
    _Alignas(128) _Atomic uint64_t empty_ns; /* when the bucket was, or will be, empty */
    _Atomic uint64_t rate;                   /* bytes a second, > 0 */
    uint64_t burst;                          /* bytes */
};

/* Formats a full bucket.  rate 1..CFC_PACER_RATE_MAX, burst 1..CFC_PACER_BURST_MAX
 * (protocol/session/pacer.h). */
void cfc_budget_init(struct cfc_budget *budget, uint64_t rate, uint64_t burst, uint64_t now_ns);

/* From now on; what the bucket holds changes with it. */
void cfc_budget_set_rate(struct cfc_budget *budget, uint64_t rate);

/* Takes `amount` bytes if they and `reserve` more are there, which is how some leave room for
 * others; both together at most the burst.  Else false, and *ready_ns is when it may be so if
 * nobody else draws.  Any thread; their clocks run alike. */
bool cfc_budget_draw(struct cfc_budget *budget, uint64_t amount, uint64_t reserve, uint64_t now_ns,
                     uint64_t *ready_ns);

/* What is there. */
uint64_t cfc_budget_level(const struct cfc_budget *budget, uint64_t now_ns);

#endif
