#include "controlplane/ctl/chain.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

_Static_assert(CFC_CHAIN_DIGEST_SIZE == crypto_hash_sha256_BYTES, "SHA-256");

static bool
from_hex(const char *hex, unsigned char digest[CFC_CHAIN_DIGEST_SIZE])
{
    size_t size = 0;

    return hex != NULL && strlen(hex) == 2 * CFC_CHAIN_DIGEST_SIZE &&
           sodium_hex2bin(digest, CFC_CHAIN_DIGEST_SIZE, hex, strlen(hex), NULL, &size, NULL) ==
               0 &&
           size == CFC_CHAIN_DIGEST_SIZE;
}

bool
cfc_chain_init(struct cfc_chain *chain, const char *head)
{
    memset(chain, 0, sizeof(*chain));
    chain->has_head = head != NULL;
    return head == NULL || from_hex(head, chain->head);
}

/* Entry 1 follows nothing, which is a digest of zeros; a later first entry is taken as it is. */
static bool
check_entry(struct cfc_chain *chain, const json_t *entry, char why[CFC_CHAIN_WHY_SIZE])
{
    unsigned char prev[CFC_CHAIN_DIGEST_SIZE];
    const json_t *number = json_object_get(entry, "n");
    uint64_t n = json_integer_value(number) > 0 ? (uint64_t)json_integer_value(number) : 0;
    uint64_t wanted = chain->last_n + 1;

    if (n == 0 || !from_hex(json_string_value(json_object_get(entry, "prev")), prev)) {
        snprintf(why, CFC_CHAIN_WHY_SIZE, "behind entry %llu: a line that is no entry",
                 (unsigned long long)chain->last_n);
        return false;
    }
    if (chain->first_n == 0 && n > 1) {
        chain->first_n = n;
        memcpy(chain->digest, prev, sizeof(prev));
    } else if (n != wanted) {
        snprintf(why, CFC_CHAIN_WHY_SIZE, "entry %llu stands where entry %llu belongs",
                 (unsigned long long)n, (unsigned long long)wanted);
        return false;
    }
    if (memcmp(prev, chain->digest, sizeof(prev)) != 0) {
        snprintf(why, CFC_CHAIN_WHY_SIZE,
                 "entry %llu names another predecessor: entry %llu was changed, or this one",
                 (unsigned long long)n, (unsigned long long)n - 1);
        return false;
    }
    chain->first_n = chain->first_n == 0 ? n : chain->first_n;
    chain->last_n = n;
    return true;
}

static bool
add_line(struct cfc_chain *chain, const char *line, size_t size, char why[CFC_CHAIN_WHY_SIZE])
{
    json_t *entry = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
    bool is_good = check_entry(chain, entry, why);

    json_decref(entry);
    crypto_hash_sha256(chain->digest, (const unsigned char *)line, size);
    chain->is_head_seen =
        chain->is_head_seen ||
        (chain->has_head && memcmp(chain->digest, chain->head, sizeof(chain->head)) == 0);
    return is_good;
}

bool
cfc_chain_add(struct cfc_chain *chain, const char *text, size_t size, char why[CFC_CHAIN_WHY_SIZE])
{
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t line_size = end != NULL ? (size_t)(end - text) : size;

        if (!add_line(chain, text, line_size, why)) {
            return false;
        }
        line_size += end != NULL ? 1 : 0;
        text += line_size;
        size -= line_size;
    }
    return true;
}

bool
cfc_chain_end(const struct cfc_chain *chain, char why[CFC_CHAIN_WHY_SIZE])
{
    if (chain->has_head && !chain->is_head_seen) {
        snprintf(why, CFC_CHAIN_WHY_SIZE,
                 "no entry has the digest that was given: the log was cut or written anew");
        return false;
    }
    return true;
}

void
cfc_chain_digest_hex(const struct cfc_chain *chain, char hex[65])
{
    sodium_bin2hex(hex, 65, chain->digest, sizeof(chain->digest));
}
