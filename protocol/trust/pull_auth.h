/* How a consumer proves who it is when it pulls over HTTP, under the report key of its credential:
 *
 *     Authorization: Confcast ID NONCE BODY MAC
 *
 * ID is the consumer id, NONCE the 16 bytes that the control plane gave last (Confcast-Nonce of any
 * of its answers), BODY the digest of the request's body under CFC_DOMAIN_PULL_BODY, all in lower
 * case hex but the id.  MAC is over id, nonce, method, the target as it is sent, and BODY.  So one
 * that is overheard serves for the same request alone, until the nonce ends.  No clock is needed.
 *
 * No state, no allocation; any thread. */
#ifndef CFC_TRUST_PULL_AUTH_H
#define CFC_TRUST_PULL_AUTH_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/trust/digest.h"
#include "protocol/trust/mac.h"

#define CFC_DOMAIN_PULL       "confcast/v1/pull"       /* MAC of a request */
#define CFC_DOMAIN_PULL_BODY  "confcast/v1/pull-body"  /* digest of its body */
#define CFC_DOMAIN_PULL_NONCE "confcast/v1/pull-nonce" /* nonces of a control plane */

enum {
    CFC_PULL_ID_SIZE_MAX = 128,
    CFC_PULL_NONCE_SIZE = 16,
    CFC_PULL_NONCE_TEXT_SIZE = 2 * CFC_PULL_NONCE_SIZE,
    /* "Confcast ID NONCE BODY MAC" with its NUL */
    CFC_PULL_AUTH_TEXT_MAX = 9 + CFC_PULL_ID_SIZE_MAX + 1 + 32 + 1 + 64 + 1 + 32 + 1,
};

struct cfc_pull_auth {
    char id[CFC_PULL_ID_SIZE_MAX + 1];
    uint8_t nonce[CFC_PULL_NONCE_SIZE];
    struct cfc_digest body;
    struct cfc_mac mac;
};

/* Fills the body's digest and the MAC; id and nonce are set.  `report_key` is the consumer's. */
void cfc_pull_auth_make(struct cfc_pull_auth *auth, const struct cfc_key *report_key,
                        const char *method, const char *target, const void *body, size_t body_size,
                        struct cfc_sha256 *sha);

/* The header's value. */
void cfc_pull_auth_write(const struct cfc_pull_auth *auth, char text[CFC_PULL_AUTH_TEXT_MAX]);

/* CONFCAST_ERR_INVALID: not of this form (another scheme, an id that is none, hex). */
int cfc_pull_auth_parse(const char *text, struct cfc_pull_auth *out);

/* The MAC alone: the caller checks the nonce, and the digest once it has the body.  CONFCAST_OK or
 * CONFCAST_ERR_MAC. */
int cfc_pull_auth_check(const struct cfc_pull_auth *auth, const struct cfc_key *report_key,
                        const char *method, const char *target);

/* CONFCAST_OK or CONFCAST_ERR_DIGEST. */
int cfc_pull_auth_check_body(const struct cfc_pull_auth *auth, const void *body, size_t body_size,
                             struct cfc_sha256 *sha);

/* Lower case hex with a NUL; and back: CONFCAST_ERR_INVALID unless exactly `size` bytes. */
void cfc_pull_hex_write(const uint8_t *bytes, size_t size, char *text);
int cfc_pull_hex_parse(const char *text, size_t text_size, uint8_t *bytes, size_t size);

#endif
