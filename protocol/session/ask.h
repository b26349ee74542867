/* One thing that a receiver asks for by NACK until it comes: when to ask next, and how often it
 * was asked in vain.  Retries double, thing by thing, so that what is hard to get is asked for ever
 * more rarely while the rest keeps its pace.  No state outside the struct. */
#ifndef CFC_SESSION_ASK_H
#define CFC_SESSION_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/time.h"

enum {
    /* The longest spacing is 32 times the first, or as much more as the fleet's size asks for. */
    CFC_ASK_DOUBLINGS_MIN = 5,
    CFC_ASK_DOUBLINGS_MAX = 15
};

struct cfc_ask {
    uint64_t at_ns; /* monotonic; CFC_NEVER = it is not asked for */
    uint8_t tries;  /* 0..CFC_ASK_DOUBLINGS_MAX + 1: doublings of the next spacing, or as
                       cfc_ask_sent_first() says */
};

static inline bool
cfc_ask_is_on(const struct cfc_ask *ask)
{
    return ask->at_ns != CFC_NEVER;
}

static inline void
cfc_ask_stop(struct cfc_ask *ask)
{
    ask->at_ns = CFC_NEVER;
    ask->tries = 0;
}

/* Asks anew from `at_ns` on, whatever was before. */
static inline void
cfc_ask_restart(struct cfc_ask *ask, uint64_t at_ns)
{
    ask->at_ns = at_ns;
    ask->tries = 0;
}

/* The same, unless it is being asked for already. */
static inline void
cfc_ask_start(struct cfc_ask *ask, uint64_t at_ns)
{
    if (!cfc_ask_is_on(ask)) {
        cfc_ask_restart(ask, at_ns);
    }
}

/* It was asked for just now; the spacing doubles up to `doublings` times. */
static inline void
cfc_ask_sent(struct cfc_ask *ask, uint64_t retry_ns, uint8_t doublings, uint64_t now_ns)
{
    ask->at_ns = now_ns + (retry_ns << ask->tries);
    if (ask->tries < doublings) {
        ask->tries++;
    }
}

/* The same where it is known how soon an answer comes: the first spacing is `first_ns`, unless that
 * is 0, and the others are as above. */
static inline void
cfc_ask_sent_first(struct cfc_ask *ask, uint64_t first_ns, uint64_t retry_ns, uint8_t doublings,
                   uint64_t now_ns)
{
    if (first_ns == 0) {
        cfc_ask_sent(ask, retry_ns, doublings, now_ns);
        return;
    }
    ask->at_ns = now_ns + (ask->tries == 0 ? first_ns : retry_ns << (ask->tries - 1));
    if (ask->tries <= doublings) {
        ask->tries++;
    }
}

/* The other side does not have it: wait the longest spacing. */
static inline void
cfc_ask_back_off(struct cfc_ask *ask, uint64_t retry_ns, uint8_t doublings, uint64_t now_ns)
{
    ask->tries = doublings;
    ask->at_ns = now_ns + (retry_ns << doublings);
}

#endif
