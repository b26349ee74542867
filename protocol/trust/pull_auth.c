#include "protocol/trust/pull_auth.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/base/scope.h"

static const char scheme[] = "Confcast ";

void
cfc_pull_hex_write(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
cfc_pull_hex_parse(const char *text, size_t text_size, uint8_t *bytes, size_t size)
{
    if (text_size != 2 * size) {
        return CONFCAST_ERR_INVALID;
    }
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return CONFCAST_ERR_INVALID;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return CONFCAST_OK;
}

struct pieces {
    uint8_t id_size;
    uint8_t method_size;
    struct cfc_piece list[7];
};

static void
gather(const struct cfc_pull_auth *auth, const char *method, const char *target,
       struct pieces *pieces)
{
    pieces->id_size = (uint8_t)strlen(auth->id);
    pieces->method_size = (uint8_t)strlen(method);
    pieces->list[0] = (struct cfc_piece){&pieces->id_size, 1};
    pieces->list[1] = (struct cfc_piece){auth->id, pieces->id_size};
    pieces->list[2] = (struct cfc_piece){auth->nonce, sizeof(auth->nonce)};
    pieces->list[3] = (struct cfc_piece){auth->body.bytes, sizeof(auth->body.bytes)};
    pieces->list[4] = (struct cfc_piece){&pieces->method_size, 1};
    pieces->list[5] = (struct cfc_piece){method, pieces->method_size};
    pieces->list[6] = (struct cfc_piece){target, strlen(target)};
}

void
cfc_pull_auth_make(struct cfc_pull_auth *auth, const struct cfc_key *report_key, const char *method,
                   const char *target, const void *body, size_t body_size, struct cfc_sha256 *sha)
{
    struct pieces pieces;

    cfc_sha256_once(sha, CFC_DOMAIN_PULL_BODY, body, body_size, &auth->body);
    gather(auth, method, target, &pieces);
    cfc_mac_make(report_key, CFC_DOMAIN_PULL, pieces.list, 7, &auth->mac);
}

void
cfc_pull_auth_write(const struct cfc_pull_auth *auth, char text[CFC_PULL_AUTH_TEXT_MAX])
{
    size_t id_size = strlen(auth->id);
    char *at = text;

    memcpy(at, scheme, sizeof(scheme) - 1);
    at += sizeof(scheme) - 1;
    memcpy(at, auth->id, id_size);
    at += id_size;
    *at++ = ' ';
    cfc_pull_hex_write(auth->nonce, sizeof(auth->nonce), at);
    at += 2 * sizeof(auth->nonce);
    *at++ = ' ';
    cfc_pull_hex_write(auth->body.bytes, sizeof(auth->body.bytes), at);
    at += 2 * sizeof(auth->body.bytes);
    *at++ = ' ';
    cfc_pull_hex_write(auth->mac.bytes, sizeof(auth->mac.bytes), at);
}

/* The word at *text, which is moved behind it and the blank that ends it. */
static size_t
take_word(const char **text, const char **word)
{
    size_t size = 0;

    while ((*text)[size] != '\0' && (*text)[size] != ' ') {
        size++;
    }
    *word = *text;
    *text += size + ((*text)[size] == ' ');
    return size;
}

int
cfc_pull_auth_parse(const char *text, struct cfc_pull_auth *out)
{
    const char *word;
    size_t size;

    memset(out, 0, sizeof(*out));
    if (strncmp(text, scheme, sizeof(scheme) - 1) != 0 || strlen(text) >= CFC_PULL_AUTH_TEXT_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    text += sizeof(scheme) - 1;
    size = take_word(&text, &word);
    if (size > CFC_PULL_ID_SIZE_MAX || cfc_consumer_id_check(word, size) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(out->id, word, size);
    size = take_word(&text, &word);
    if (cfc_pull_hex_parse(word, size, out->nonce, sizeof(out->nonce)) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    size = take_word(&text, &word);
    if (cfc_pull_hex_parse(word, size, out->body.bytes, sizeof(out->body.bytes)) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    /* The rest is one word: one with a blank in it is no hex. */
    return cfc_pull_hex_parse(text, strlen(text), out->mac.bytes, sizeof(out->mac.bytes));
}

int
cfc_pull_auth_check(const struct cfc_pull_auth *auth, const struct cfc_key *report_key,
                    const char *method, const char *target)
{
    struct pieces pieces;

    gather(auth, method, target, &pieces);
    return cfc_mac_check(report_key, CFC_DOMAIN_PULL, pieces.list, 7, &auth->mac);
}

int
cfc_pull_auth_check_body(const struct cfc_pull_auth *auth, const void *body, size_t body_size,
                         struct cfc_sha256 *sha)
{
    struct cfc_digest digest;

    cfc_sha256_once(sha, CFC_DOMAIN_PULL_BODY, body, body_size, &digest);
    return cfc_digest_equal(&digest, &auth->body) ? CONFCAST_OK : CONFCAST_ERR_DIGEST;
}
