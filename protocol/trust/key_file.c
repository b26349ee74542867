#include "protocol/trust/key_file.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "confcast/error.h"

static const char magic[] = "confcast-key-";
static const char version[] = "1 ";

static const char *const words[] = {
#define WORD_(name, word) word,
    CFC_KEY_KINDS(WORD_)
#undef WORD_
};

const char *
cfc_key_kind_word(enum cfc_key_kind kind)
{
    assert(kind < CFC_KEY_KIND_COUNT);
    return words[kind];
}

static char *
append(char *to, const char *text)
{
    size_t size = strlen(text);

    memcpy(to, text, size);
    return to + size;
}

size_t
cfc_key_file_write(enum cfc_key_kind kind, const uint8_t key[32], char line[CFC_KEY_FILE_SIZE_MAX])
{
    char *p = append(append(line, magic), version);

    p = append(p, cfc_key_kind_word(kind));
    *p++ = ' ';
    sodium_bin2hex(p, 65, key, 32);
    p += 64;
    *p++ = '\n';
    *p = '\0';
    return (size_t)(p - line);
}

/* Moves *p beyond `text` when the bytes begin with it. */
static int
skip(const char **p, const char *end, const char *text)
{
    size_t size = strlen(text);

    if ((size_t)(end - *p) < size || memcmp(*p, text, size) != 0) {
        return CONFCAST_ERR_SYNTAX;
    }
    *p += size;
    return CONFCAST_OK;
}

static int
parse_hex(const char *p, const char *end, uint8_t key[32])
{
    size_t written = 0;

    if (end > p && end[-1] == '\n') {
        end--;
    }
    for (const char *c = p; c < end; c++) {
        if (!((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f'))) {
            return CONFCAST_ERR_SYNTAX;
        }
    }
    if (end - p != 64 || sodium_hex2bin(key, 32, p, 64, NULL, &written, NULL) != 0) {
        return CONFCAST_ERR_SYNTAX;
    }
    return CONFCAST_OK;
}

int
cfc_key_file_parse(const void *bytes, size_t size, enum cfc_key_kind kind, uint8_t key[32])
{
    const char *p = bytes;
    const char *end = p + size;
    int rc = CONFCAST_ERR_TYPE;

    memset(key, 0, 32);
    if (size >= CFC_KEY_FILE_SIZE_MAX || skip(&p, end, magic) != CONFCAST_OK) {
        return CONFCAST_ERR_SYNTAX;
    }
    if (skip(&p, end, version) != CONFCAST_OK) {
        return CONFCAST_ERR_VERSION;
    }
    for (int i = 0; i < CFC_KEY_KIND_COUNT; i++) {
        const char *q = p;

        if (skip(&q, end, words[i]) != CONFCAST_OK || skip(&q, end, " ") != CONFCAST_OK) {
            continue;
        }
        if (i != (int)kind) {
            return CONFCAST_ERR_TYPE;
        }
        rc = parse_hex(q, end, key);
        if (rc != CONFCAST_OK) {
            sodium_memzero(key, 32);
        }
        return rc;
    }
    return CONFCAST_ERR_SYNTAX;
}
