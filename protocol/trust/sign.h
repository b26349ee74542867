/* Signatures behind a seam: protocol code asks a verifier that its caller supplies.  The real one
 * is Ed25519 by libsodium with a key ring (keyring.h); the simulator injects a cheap one. */
#ifndef CFC_TRUST_SIGN_H
#define CFC_TRUST_SIGN_H

#include <stddef.h>
#include <stdint.h>

#define CFC_SIGNATURE_SIZE 64
#define CFC_KEY_ID_SIZE    8

#define CFC_DOMAIN_HEAD_SIG    "confcast/v1/head"
#define CFC_DOMAIN_CONTENT_SIG "confcast/v1/coding"
#define CFC_DOMAIN_FRESH_SIG   "confcast/v1/fresh"
#define CFC_DOMAIN_FLEET_SIG   "confcast/v1/fleet"

/* The bytes under a signature are the domain string with its NUL, then the signed part of the
 * frame. */
struct cfc_verifier {
    /* CONFCAST_OK; CONFCAST_ERR_SIGNATURE (drop the frame, count it); CONFCAST_ERR_AUTHORITY when
     * no key with this id is in the ring or the key has no authority for `scope` (NULL for objects
     * that any key may sign, "" for those that need authority for every scope);
     * CONFCAST_ERR_EXPIRED when the key is past its own not-after at `unix_ns`.
     */
    int (*verify)(void *ctx, const uint8_t key_id[CFC_KEY_ID_SIZE], const char *scope,
                  size_t scope_size, uint64_t unix_ns, const char *domain, const uint8_t *bytes,
                  size_t size, const uint8_t signature[CFC_SIGNATURE_SIZE]);
    void *ctx;
};

struct cfc_signer {
    uint8_t key_id[CFC_KEY_ID_SIZE];
    /* CONFCAST_OK, or CONFCAST_ERR_INTERNAL when the key cannot sign. */
    int (*sign)(void *ctx, const char *domain, const uint8_t *bytes, size_t size,
                uint8_t signature[CFC_SIGNATURE_SIZE]);
    void *ctx;
};

#endif
