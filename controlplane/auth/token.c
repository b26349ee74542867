#include "controlplane/auth/token.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(CFC_TOKEN_PREFIX) - 1 == 5, "the prefix is part of the sizes");
_Static_assert(crypto_hash_sha256_BYTES == sizeof(struct cfc_digest), "one digest");

void
cfc_token_make(char text[CFC_TOKEN_TEXT_SIZE + 1])
{
    uint8_t random[8 + 32];
    char *p = text + sizeof(CFC_TOKEN_PREFIX) - 1;

    randombytes_buf(random, sizeof(random));
    memcpy(text, CFC_TOKEN_PREFIX, sizeof(CFC_TOKEN_PREFIX) - 1);
    sodium_bin2hex(p, CFC_TOKEN_ID_SIZE + 1, random, 8);
    p += CFC_TOKEN_ID_SIZE;
    *p++ = '_';
    sodium_bin2hex(p, 64 + 1, random + 8, 32);
    sodium_memzero(random, sizeof(random));
}

void
cfc_token_digest(const char *text, struct cfc_digest *digest)
{
    crypto_hash_sha256(digest->bytes, (const uint8_t *)text, strlen(text));
}

bool
cfc_token_digest_equal(const struct cfc_digest *a, const struct cfc_digest *b)
{
    return sodium_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool
is_hex(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';

        if (!is_digit && (text[i] < 'a' || text[i] > 'f')) {
            return false;
        }
    }
    return true;
}

static uint64_t
id_of(const char *digits)
{
    uint64_t id = 0;

    for (size_t i = 0; i < CFC_TOKEN_ID_SIZE; i++) {
        char c = digits[i];

        id = id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return id;
}

bool
cfc_token_id(const char *text, uint64_t *id)
{
    const char *p = text + sizeof(CFC_TOKEN_PREFIX) - 1;

    *id = 0;
    if (strlen(text) != CFC_TOKEN_TEXT_SIZE ||
        memcmp(text, CFC_TOKEN_PREFIX, sizeof(CFC_TOKEN_PREFIX) - 1) != 0 ||
        !is_hex(p, CFC_TOKEN_ID_SIZE) || p[CFC_TOKEN_ID_SIZE] != '_' ||
        !is_hex(p + CFC_TOKEN_ID_SIZE + 1, 64)) {
        return false;
    }
    *id = id_of(p);
    return true;
}

bool
cfc_token_id_parse(const char *text, uint64_t *id)
{
    bool is_id = strlen(text) == CFC_TOKEN_ID_SIZE && is_hex(text, CFC_TOKEN_ID_SIZE);

    *id = is_id ? id_of(text) : 0;
    return is_id;
}
