#include "protocol/trust/mac.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "confcast/error.h"

static void
keyed_hash(const struct cfc_key *key, const char *domain, const struct cfc_piece *pieces,
           size_t piece_count, uint8_t *out, size_t out_size)
{
    crypto_generichash_state state;

    assert(piece_count <= 8);
    crypto_generichash_init(&state, key->bytes, sizeof(key->bytes), out_size);
    crypto_generichash_update(&state, (const uint8_t *)domain, strlen(domain) + 1);
    for (size_t i = 0; i < piece_count; i++) {
        crypto_generichash_update(&state, pieces[i].bytes, pieces[i].size);
    }
    crypto_generichash_final(&state, out, out_size);
}

void
cfc_mac_make(const struct cfc_key *key, const char *domain, const struct cfc_piece *pieces,
             size_t piece_count, struct cfc_mac *out)
{
    keyed_hash(key, domain, pieces, piece_count, out->bytes, sizeof(out->bytes));
}

int
cfc_mac_check(const struct cfc_key *key, const char *domain, const struct cfc_piece *pieces,
              size_t piece_count, const struct cfc_mac *mac)
{
    struct cfc_mac expected;

    cfc_mac_make(key, domain, pieces, piece_count, &expected);
    return sodium_memcmp(expected.bytes, mac->bytes, sizeof(expected.bytes)) == 0
               ? CONFCAST_OK
               : CONFCAST_ERR_MAC;
}

void
cfc_key_derive(const struct cfc_key *key, const char *domain, const struct cfc_piece *pieces,
               size_t piece_count, struct cfc_key *out)
{
    keyed_hash(key, domain, pieces, piece_count, out->bytes, sizeof(out->bytes));
}

void
cfc_credential_key(const struct cfc_key *fleet_key, const char *domain, const char *id,
                   size_t id_size, struct cfc_key *out)
{
    struct cfc_piece piece = {id, id_size};

    cfc_key_derive(fleet_key, domain, &piece, 1, out);
}
