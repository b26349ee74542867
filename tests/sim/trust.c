#include "tests/sim/trust.h"

#include <string.h>

#include <xxhash.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "protocol/base/prng.h"

static const struct {
    const char *id; /* CFC_KEY_ID_SIZE bytes */
    bool is_in_ring;
    const char *authority; /* scope prefix */
} keys[SIM_KEY_COUNT] = {
    [SIM_KEY_RELEASE] = {"release!", true, ""},
    [SIM_KEY_FOREIGN] = {"foreign!", true, "other/"},
    [SIM_KEY_STRANGER] = {"stranger", false, ""},
};

static void
make_signature(uint64_t secret, const char *domain, const uint8_t *bytes, size_t size,
               uint8_t signature[CFC_SIGNATURE_SIZE])
{
    uint64_t hash = XXH3_64bits_withSeed(bytes, size, secret);
    struct cfc_prng g = {.state = XXH3_64bits_withSeed(domain, strlen(domain), hash)};

    for (size_t i = 0; i < CFC_SIGNATURE_SIZE; i += 8) {
        cfc_put_u64(signature + i, cfc_prng_next(&g));
    }
}

static int
sign(void *ctx, const char *domain, const uint8_t *bytes, size_t size,
     uint8_t signature[CFC_SIGNATURE_SIZE])
{
    const struct sim_trust_key *key = ctx;

    make_signature(key->trust->secrets[key->key], domain, bytes, size, signature);
    return CONFCAST_OK;
}

static int
verify(void *ctx, const uint8_t key_id[CFC_KEY_ID_SIZE], const char *scope, size_t scope_size,
       uint64_t unix_ns, const char *domain, const uint8_t *bytes, size_t size,
       const uint8_t signature[CFC_SIGNATURE_SIZE])
{
    struct sim_trust *trust = ctx;
    uint8_t expected[CFC_SIGNATURE_SIZE];

    (void)unix_ns;
    trust->verify_count++;
    for (int i = 0; i < SIM_KEY_COUNT; i++) {
        size_t prefix_size = strlen(keys[i].authority);

        if (!keys[i].is_in_ring || memcmp(keys[i].id, key_id, CFC_KEY_ID_SIZE) != 0) {
            continue;
        }
        make_signature(trust->secrets[i], domain, bytes, size, expected);
        if (memcmp(expected, signature, CFC_SIGNATURE_SIZE) != 0) {
            return CONFCAST_ERR_SIGNATURE;
        }
        if (scope == NULL) {
            return prefix_size == 0 ? CONFCAST_OK : CONFCAST_ERR_AUTHORITY;
        }
        return scope_size >= prefix_size && memcmp(scope, keys[i].authority, prefix_size) == 0
                   ? CONFCAST_OK
                   : CONFCAST_ERR_AUTHORITY;
    }
    return CONFCAST_ERR_AUTHORITY;
}

void
sim_trust_init(struct sim_trust *trust, uint64_t seed)
{
    struct cfc_prng g = {.state = seed};

    memset(trust, 0, sizeof(*trust));
    for (int i = 0; i < SIM_KEY_COUNT; i++) {
        trust->secrets[i] = cfc_prng_next(&g);
        trust->contexts[i] = (struct sim_trust_key){.trust = trust, .key = (enum sim_key)i};
        memcpy(trust->signers[i].key_id, keys[i].id, CFC_KEY_ID_SIZE);
        trust->signers[i].sign = sign;
        trust->signers[i].ctx = &trust->contexts[i];
    }
    trust->verifier = (struct cfc_verifier){.verify = verify, .ctx = trust};
}
