/* The random wait of a receiver before its NACKs, so that of a fleet that lost the same only some
 * ask before the repair for those comes and puts the others off.
 *
 * The wait is a truncated exponential, as RFC 5401 (section 6) has it: with a fleet of n it lies in
 * 0..T and has the distribution function (e^(L t/T) - 1) / (e^L - 1), L = ln n + 1.  Most of a
 * large fleet waits nearly as long as T, a handful asks much sooner, and the number of those who
 * ask within the time that a repair takes does not grow with n (J. Nonnenmacher and E. Biersack,
 * Scalable feedback for large groups, 1999).  T and n follow from the window that the sender
 * announces: CFC_NACK_SERVE_US for a NACK of everybody, one after the other.  T need not grow
 * further than some times what a repair takes.
 *
 * No clock; one thread at a time. */
#ifndef CFC_SESSION_NACK_WAIT_H
#define CFC_SESSION_NACK_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/prng.h"
#include "protocol/base/time.h"

enum {
    CFC_NACK_SERVE_US = 2,    /* a sender's time for a NACK's MAC and its gathering */
    CFC_NACK_WAIT_TIMES = 4,  /* the longest wait, in windows ... */
    CFC_NACK_WAIT_US = 8000,  /* ... and at most */
    CFC_NACK_RETRIES_US = 100 /* per consumer: what never comes is asked for this rarely, ... */
};

/* How long answers take to come, measured as RFC 6298 measures round trips: its samples are of what
 * was asked for once (Karn's rule). */
struct cfc_answer_time {
    uint64_t mean_ns; /* 0: nothing was measured */
    uint64_t deviation_ns;
};

#define CFC_ANSWER_MIN_NS (1 * CFC_MS) /* it is never expected sooner */

void cfc_answer_time_note(struct cfc_answer_time *time, uint64_t sample_ns);

/* How long an answer is waited for before the question is repeated: the mean and four deviations,
 * CFC_ANSWER_MIN_NS..retry_ns; 0 when nothing was measured. */
uint64_t cfc_answer_time_first(const struct cfc_answer_time *time, uint64_t retry_ns);

struct cfc_nack_wait {
    uint64_t seed;    /* of this receiver's waits */
    uint64_t from_ns; /* no NACK before: spreads those of a new session */
    bool has_rest;    /* what did not fit the last NACK goes at once */
};

/* T, ns. */
uint64_t cfc_nack_wait_longest(uint32_t nack_us);

/* A random wait in the window of `nack_us`. */
uint64_t cfc_nack_wait_draw(struct cfc_prng *prng, uint32_t nack_us);

/* When a NACK goes for something that is due at `first_due_ns`.  The wait is drawn anew for every
 * such time, and is the same whenever it is asked for: whoever kept its wait until it has asked
 * would keep the long ones, and those of a fleet would come closer together from loss to loss. */
uint64_t cfc_nack_wait_due(const struct cfc_nack_wait *wait, uint64_t first_due_ns,
                           uint32_t nack_us);

/* A NACK went.  `has_rest`: something did not fit. */
void cfc_nack_wait_sent(struct cfc_nack_wait *wait, bool has_rest);

/* How often the spacing of repeated requests doubles: so often that those of the whole fleet for
 * what never comes take no more than 1 in CFC_NACK_RETRIES_US of the sender's time.
 * CFC_ASK_DOUBLINGS_MIN..CFC_ASK_DOUBLINGS_MAX. */
uint8_t cfc_nack_wait_doublings(uint32_t nack_us, uint64_t retry_ns);

#endif
