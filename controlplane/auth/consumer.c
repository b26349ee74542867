#include "controlplane/auth/consumer.h"

#include <sodium.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "protocol/base/time.h"

void
cfc_consumer_auth_init(struct cfc_consumer_auth *auth, const struct cfc_key *fleet_report_key)
{
    auth->fleet_report_key = fleet_report_key;
    randombytes_buf(auth->nonce_key.bytes, sizeof(auth->nonce_key.bytes));
}

void
cfc_consumer_auth_wipe(struct cfc_consumer_auth *auth)
{
    sodium_memzero(auth, sizeof(*auth));
}

static uint64_t
slot_of(uint64_t mono_ns)
{
    return mono_ns / (CFC_CONSUMER_NONCE_S * CFC_S);
}

static void
make_nonce(const struct cfc_consumer_auth *auth, uint64_t slot, struct cfc_mac *nonce)
{
    uint8_t bytes[8];
    struct cfc_piece piece = {bytes, sizeof(bytes)};

    cfc_put_u64(bytes, slot);
    cfc_mac_make(&auth->nonce_key, CFC_DOMAIN_PULL_NONCE, &piece, 1, nonce);
}

void
cfc_consumer_auth_nonce(const struct cfc_consumer_auth *auth, uint64_t mono_ns,
                        char text[CFC_PULL_NONCE_TEXT_SIZE + 1])
{
    struct cfc_mac nonce;

    _Static_assert(sizeof(nonce.bytes) == CFC_PULL_NONCE_SIZE, "a nonce is a MAC");
    make_nonce(auth, slot_of(mono_ns), &nonce);
    cfc_pull_hex_write(nonce.bytes, sizeof(nonce.bytes), text);
}

/* A slot before the first one is a number that no clock reaches. */
static bool
is_nonce_current(const struct cfc_consumer_auth *auth, const uint8_t *nonce, uint64_t mono_ns)
{
    struct cfc_mac now;
    struct cfc_mac before;

    make_nonce(auth, slot_of(mono_ns), &now);
    make_nonce(auth, slot_of(mono_ns) - 1, &before);
    return memcmp(nonce, now.bytes, sizeof(now.bytes)) == 0 ||
           memcmp(nonce, before.bytes, sizeof(before.bytes)) == 0;
}

int
cfc_consumer_auth_check(const struct cfc_consumer_auth *auth, const char *authorization,
                        const char *method, const char *target, uint64_t mono_ns,
                        struct cfc_pull_auth *out)
{
    struct cfc_key key;
    int error;

    if (authorization == NULL || cfc_pull_auth_parse(authorization, out) != CONFCAST_OK) {
        return CONFCAST_ERR_AUTHORITY;
    }
    cfc_credential_key(auth->fleet_report_key, CFC_DOMAIN_CRED_REPORT, out->id, strlen(out->id),
                       &key);
    error = cfc_pull_auth_check(out, &key, method, target);
    sodium_memzero(&key, sizeof(key));
    if (error != CONFCAST_OK) {
        return CONFCAST_ERR_AUTHORITY;
    }
    return is_nonce_current(auth, out->nonce, mono_ns) ? CONFCAST_OK : CONFCAST_ERR_REPLAY;
}
