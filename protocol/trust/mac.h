/* Symmetric keys: derivation and message authentication with keyed BLAKE2b (RFC 7693), by
 * libsodium.
 *
 * The keys of a fleet: the *fleet session key* (engines have it) and the *fleet report key* (only
 * the control plane has it). A consumer's credential holds derive(fleet session key,
 * "confcast/v1/cred-session", id) and derive(fleet report key, "confcast/v1/cred-report", id).  No
 * state; any thread. */
#ifndef CFC_TRUST_MAC_H
#define CFC_TRUST_MAC_H

#include <stddef.h>
#include <stdint.h>

#define CFC_KEY_SIZE 32
#define CFC_MAC_SIZE 16

#define CFC_DOMAIN_CRED_SESSION "confcast/v1/cred-session" /* key of a consumer towards engines */
#define CFC_DOMAIN_CRED_REPORT                                                                     \
    "confcast/v1/cred-report"                   /* key of a consumer towards the control plane */
#define CFC_DOMAIN_COOKIE  "confcast/v1/cookie" /* stateless address cookie of an engine */
#define CFC_DOMAIN_HELLO   "confcast/v1/hello" /* MAC of HELLO under the credential's session key */
#define CFC_DOMAIN_WELCOME "confcast/v1/welcome" /* MAC of WELCOME under the same */
#define CFC_DOMAIN_SESSION "confcast/v1/session" /* derivation of a session key */
#define CFC_DOMAIN_FRAME   "confcast/v1/frame"   /* MAC of REPORT and NACK under the session key */
#define CFC_DOMAIN_REPORT_TAG                                                                      \
    "confcast/v1/report-tag" /* end-to-end tag of REPORT under the report key */

struct cfc_key {
    uint8_t bytes[CFC_KEY_SIZE];
};

struct cfc_mac {
    uint8_t bytes[CFC_MAC_SIZE];
};

struct cfc_piece {
    const void *bytes;
    size_t size;
};

/* MAC over domain (with its NUL) and the pieces in order.  Every caller's pieces must have sizes
 * that the bytes themselves determine, since the pieces are joined without separators.
 * piece_count 1..8. */
void cfc_mac_make(const struct cfc_key *key, const char *domain, const struct cfc_piece *pieces,
                  size_t piece_count, struct cfc_mac *out);

/* CONFCAST_OK or CONFCAST_ERR_MAC, in constant time. */
int cfc_mac_check(const struct cfc_key *key, const char *domain, const struct cfc_piece *pieces,
                  size_t piece_count, const struct cfc_mac *mac);

/* A new key from `key`, the domain and the pieces: BLAKE2b-256 keyed. */
void cfc_key_derive(const struct cfc_key *key, const char *domain, const struct cfc_piece *pieces,
                    size_t piece_count, struct cfc_key *out);

/* The credential keys of a consumer. */
void cfc_credential_key(const struct cfc_key *fleet_key, const char *domain, const char *id,
                        size_t id_size, struct cfc_key *out);

#endif
