/* How many requests a second somebody may make: a bucket per name, by the virtual scheduling form
 * of the generic cell rate algorithm (ITU-T I.371, Annex A).
 *
 * Names are hashed under a random key into a table of fixed size.  When more names are busy at once
 * than it holds, the one nearest to having its full burst again is forgotten, which errs on the
 * side of letting in.  Any thread; time is an argument. */
#ifndef CFC_AUTH_RATE_H
#define CFC_AUTH_RATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CFC_RATE_SET_COUNT = 512,
    CFC_RATE_WAYS = 4,
};

struct cfc_rate_slot {
    uint64_t hash;
    uint64_t full_ns; /* when the bucket will be full again; 0 = the slot was never used */
};

struct cfc_rate {
    pthread_mutex_t lock;
    uint64_t interval_ns; /* between two requests at the rate; 0 = no limit */
    uint64_t burst_ns;    /* how far ahead of the rate somebody may be */
    uint8_t key[16];
    struct cfc_rate_slot slots[CFC_RATE_SET_COUNT][CFC_RATE_WAYS];
};

/* `per_s` requests a second, 0 = no limit, at most 10^6; a burst of as many. */
void cfc_rate_init(struct cfc_rate *rate, uint32_t per_s);
void cfc_rate_destroy(struct cfc_rate *rate);

/* Whether `name` may make one more request at `now_ns` (monotonic).  If not, nothing is taken, and
 * *wait_ns is when it may. */
bool cfc_rate_take(struct cfc_rate *rate, const char *name, uint64_t now_ns, uint64_t *wait_ns);

#endif
