/* The random wait of a receiver before its NACKs, so that those of a fleet that lost the same do
 * not all come at once.  No clock; one thread at a time. */
#ifndef CFC_SESSION_NACK_WAIT_H
#define CFC_SESSION_NACK_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/prng.h"
#include "protocol/base/time.h"

struct cfc_nack_wait {
    uint64_t jitter_ns; /* of the next NACK */
    uint64_t from_ns;   /* no NACK before: spreads those of a new session */
};

/* When a NACK goes for something that is due at `first_due_ns`. */
uint64_t cfc_nack_wait_due(const struct cfc_nack_wait *wait, uint64_t first_due_ns);

/* A random time within what the window allows. */
uint64_t cfc_nack_wait_draw(struct cfc_prng *prng, uint32_t nack_us);

/* A NACK went; the next one waits anew, unless `has_rest`: what did not fit goes at once. */
void cfc_nack_wait_sent(struct cfc_nack_wait *wait, struct cfc_prng *prng, uint32_t nack_us,
                        bool has_rest);

#endif
