#include "protocol/trust/keyring.h"

#include <sodium.h>
#include <string.h>

#include "confcast/error.h"

int
cfc_key_id(const uint8_t public_key[CFC_PUBLIC_KEY_SIZE], uint8_t id[CFC_KEY_ID_SIZE])
{
    uint8_t digest[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(digest, public_key, CFC_PUBLIC_KEY_SIZE);
    memcpy(id, digest, CFC_KEY_ID_SIZE);
    return CONFCAST_OK;
}

static const struct cfc_ring_key *
find(const struct cfc_keyring *ring, const uint8_t id[CFC_KEY_ID_SIZE])
{
    for (uint32_t i = 0; i < ring->key_count; i++) {
        if (memcmp(ring->keys[i].id, id, CFC_KEY_ID_SIZE) == 0) {
            return &ring->keys[i];
        }
    }
    return NULL;
}

int
cfc_keyring_add(struct cfc_keyring *ring, const struct cfc_ring_key *key)
{
    struct cfc_ring_key *copy = &ring->keys[ring->key_count];

    if (ring->key_count == CFC_KEYRING_KEYS_MAX || key->prefix_count > CFC_KEYRING_PREFIXES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    *copy = *key;
    cfc_key_id(copy->public_key, copy->id);
    if (find(ring, copy->id) != NULL) {
        return CONFCAST_ERR_EXISTS;
    }
    ring->key_count++;
    return CONFCAST_OK;
}

static bool
covers(const struct cfc_ring_key *key, const char *scope, size_t scope_size)
{
    if (key->prefix_count == 0 || scope == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < key->prefix_count; i++) {
        size_t size = strlen(key->prefixes[i]);

        if (scope_size >= size && memcmp(scope, key->prefixes[i], size) == 0 &&
            (scope_size == size || scope[size] == '/')) {
            return true;
        }
    }
    return false;
}

static int
update_and_verify(const struct cfc_ring_key *key, const char *domain, const uint8_t *bytes,
                  size_t size, const uint8_t *signature)
{
    uint8_t message[CFC_FRAME_SIZE_MAX + 64];
    size_t domain_size = strlen(domain) + 1;

    if (size > CFC_FRAME_SIZE_MAX || domain_size > 64) {
        return CONFCAST_ERR_SIGNATURE;
    }
    memcpy(message, domain, domain_size);
    memcpy(message + domain_size, bytes, size);
    return crypto_sign_ed25519_verify_detached(signature, message, domain_size + size,
                                               key->public_key) == 0
               ? CONFCAST_OK
               : CONFCAST_ERR_SIGNATURE;
}

static int
ring_verify(void *ctx, const uint8_t key_id[CFC_KEY_ID_SIZE], const char *scope, size_t scope_size,
            uint64_t unix_ns, const char *domain, const uint8_t *bytes, size_t size,
            const uint8_t signature[CFC_SIGNATURE_SIZE])
{
    const struct cfc_keyring *ring = ctx;
    const struct cfc_ring_key *key = find(ring, key_id);

    if (key == NULL || !covers(key, scope, scope_size)) {
        return CONFCAST_ERR_AUTHORITY;
    }
    if (key->not_after_unix_ns != 0 && unix_ns > key->not_after_unix_ns) {
        return CONFCAST_ERR_EXPIRED;
    }
    return update_and_verify(key, domain, bytes, size, signature);
}

struct cfc_verifier
cfc_keyring_verifier(const struct cfc_keyring *ring)
{
    return (struct cfc_verifier){.verify = ring_verify, .ctx = (void *)(uintptr_t)ring};
}

int
cfc_signing_key_from_seed(const uint8_t seed[32], struct cfc_signing_key *key)
{
    crypto_sign_ed25519_seed_keypair(key->public_key, key->secret, seed);
    return CONFCAST_OK;
}

static int
key_sign(void *ctx, const char *domain, const uint8_t *bytes, size_t size,
         uint8_t signature[CFC_SIGNATURE_SIZE])
{
    const struct cfc_signing_key *key = ctx;
    uint8_t message[CFC_FRAME_SIZE_MAX + 64];
    size_t domain_size = strlen(domain) + 1;

    if (size > CFC_FRAME_SIZE_MAX || domain_size > 64) {
        return CONFCAST_ERR_INTERNAL;
    }
    memcpy(message, domain, domain_size);
    memcpy(message + domain_size, bytes, size);
    return crypto_sign_ed25519_detached(signature, NULL, message, domain_size + size,
                                        key->secret) == 0
               ? CONFCAST_OK
               : CONFCAST_ERR_INTERNAL;
}

struct cfc_signer
cfc_signing_key_signer(const struct cfc_signing_key *key)
{
    struct cfc_signer signer = {.sign = key_sign, .ctx = (void *)(uintptr_t)key};

    cfc_key_id(key->public_key, signer.key_id);
    return signer;
}
