/* Signatures that cost nothing: a keyed hash in the 64 bytes of a signature.  Whoever has a key can
 * sign, as with a real one; nobody else can by chance, and nobody in the simulator tries to break
 * the hash. */
#ifndef TESTS_SIM_TRUST_H
#define TESTS_SIM_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/trust/sign.h"

enum sim_key {
    SIM_KEY_RELEASE,  /* every scope */
    SIM_KEY_FOREIGN,  /* in the ring, with authority for the tenant "other" only */
    SIM_KEY_STRANGER, /* in nobody's ring */
    SIM_KEY_COUNT
};

struct sim_trust {
    uint64_t secrets[SIM_KEY_COUNT];
    struct cfc_signer signers[SIM_KEY_COUNT]; /* ready to use */
    struct cfc_verifier verifier;             /* ready to use */
    struct sim_trust_key {
        struct sim_trust *trust;
        enum sim_key key;
    } contexts[SIM_KEY_COUNT];
    uint64_t verify_count;
};

void sim_trust_init(struct sim_trust *trust, uint64_t seed);

#endif
