/* Who pulls: consumers prove themselves by their credential (protocol/trust/pull_auth.h), over
 * nonces that this process made.
 *
 * A nonce is good for CFC_CONSUMER_NONCE_S to twice that; it is a function of a random key and the
 * time, so nothing is kept of those that were given out.  Within that time a request that was
 * overheard can be repeated: it reads the same snapshot or says the same report again.  A restart
 * makes all nonces void.
 *
 * Immutable once made; any thread. */
#ifndef CFC_AUTH_CONSUMER_H
#define CFC_AUTH_CONSUMER_H

#include <stdint.h>

#include "protocol/trust/mac.h"
#include "protocol/trust/pull_auth.h"

enum {
    CFC_CONSUMER_NONCE_S = 300
};

struct cfc_consumer_auth {
    const struct cfc_key *fleet_report_key; /* borrowed */
    struct cfc_key nonce_key;
};

/* `fleet_report_key` must outlive it. */
void cfc_consumer_auth_init(struct cfc_consumer_auth *auth, const struct cfc_key *fleet_report_key);
void cfc_consumer_auth_wipe(struct cfc_consumer_auth *auth);

/* The nonce of now, as hex with a NUL. */
void cfc_consumer_auth_nonce(const struct cfc_consumer_auth *auth, uint64_t mono_ns,
                             char text[CFC_PULL_NONCE_TEXT_SIZE + 1]);

/* Who asks, by the Authorization header.  `target` is the raw one.  AUTHORITY: not of this scheme,
 * or its MAC is wrong.  REPLAY: the MAC is right, but the nonce is none of ours any more: answer
 * with a new one. */
int cfc_consumer_auth_check(const struct cfc_consumer_auth *auth, const char *authorization,
                            const char *method, const char *target, uint64_t mono_ns,
                            struct cfc_pull_auth *out);

#endif
