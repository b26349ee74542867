/* Bearer tokens: "cfct_", 16 hexadecimal digits that name the token, "_", 64 that are its secret.
 *
 * Only the SHA-256 of the whole text is kept.  No slow hash is needed: those make guessing a
 * person's password dear, and 256 random bits cannot be guessed at any price.  No state; any
 * thread.
 */
#ifndef CFC_AUTH_TOKEN_H
#define CFC_AUTH_TOKEN_H

#include <stdbool.h>

#include "protocol/trust/digest.h"

#define CFC_TOKEN_PREFIX "cfct_"

enum {
    CFC_TOKEN_ID_SIZE = 16,                   /* characters */
    CFC_TOKEN_TEXT_SIZE = 5 + 16 + 1 + 64,    /* characters of the whole */
    CFC_TOKEN_TEXT_MAX = CFC_TOKEN_TEXT_SIZE, /* longer ones are refused unread */
};

/* Makes a token.  The caller wipes `text` once it was handed out. */
void cfc_token_make(char text[CFC_TOKEN_TEXT_SIZE + 1]);

/* The digest that is kept and compared.  Any text of at most CFC_TOKEN_TEXT_MAX characters. */
void cfc_token_digest(const char *text, struct cfc_digest *digest);

/* Whether two digests are the same, by as many instructions wherever they differ. */
bool cfc_token_digest_equal(const struct cfc_digest *a, const struct cfc_digest *b);

/* The id of a token's text, as a number; false (and 0) for what is no token.  An id is no secret:
 * lists show it. */
bool cfc_token_id(const char *text, uint64_t *id);

/* The same from the id's own 16 digits, and whether this is the form of one. */
bool cfc_token_id_parse(const char *text, uint64_t *id);

#endif
