/* Ed25519 (RFC 8032) by libsodium: a key ring as a cfc_verifier and a secret key as a cfc_signer.
 *
 * libsodium refuses non-canonical signatures and small-order keys.  The ring is written at start-up
 * and at key rotation only, by its owner; verify() may then be called from the owner's thread. */
#ifndef CFC_TRUST_KEYRING_H
#define CFC_TRUST_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/trust/sign.h"

enum {
    CFC_KEYRING_KEYS_MAX = 16,
    CFC_KEYRING_PREFIXES_MAX = 8, /* scope prefixes of one key */
    CFC_PUBLIC_KEY_SIZE = 32,
    CFC_SECRET_KEY_SIZE = 64, /* libsodium's form: seed, then public key */
};

struct cfc_ring_key {
    uint8_t id[CFC_KEY_ID_SIZE]; /* first 8 bytes of SHA-256 of the public key */
    uint8_t public_key[CFC_PUBLIC_KEY_SIZE];
    uint64_t not_after_unix_ns; /* 0 = no end */
    uint32_t prefix_count;      /* 0 = authority for every scope */
    char prefixes[CFC_KEYRING_PREFIXES_MAX][CFC_SCOPE_SIZE_MAX + 1]; /* whole segments */
};

struct cfc_keyring {
    struct cfc_ring_key keys[CFC_KEYRING_KEYS_MAX];
    uint32_t key_count;
};

/* The id of a public key.  CONFCAST_OK. */
int cfc_key_id(const uint8_t public_key[CFC_PUBLIC_KEY_SIZE], uint8_t id[CFC_KEY_ID_SIZE]);

/* Adds a copy of `key`, whose id is computed here.  CONFCAST_ERR_LIMIT when the ring is full,
 * CONFCAST_ERR_EXISTS for a second key with this id. */
int cfc_keyring_add(struct cfc_keyring *ring, const struct cfc_ring_key *key);

/* The verifier of a ring; the ring must outlive it. */
struct cfc_verifier cfc_keyring_verifier(const struct cfc_keyring *ring);

struct cfc_signing_key {
    uint8_t secret[CFC_SECRET_KEY_SIZE];
    uint8_t public_key[CFC_PUBLIC_KEY_SIZE];
};

/* Fills `key` from a 32-byte seed.  CONFCAST_OK. */
int cfc_signing_key_from_seed(const uint8_t seed[32], struct cfc_signing_key *key);

/* The signer of a key; the key must outlive it. */
struct cfc_signer cfc_signing_key_signer(const struct cfc_signing_key *key);

#endif
