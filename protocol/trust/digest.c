#include "protocol/trust/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "protocol/trust/sha256_ni.h"

enum {
    BLOCK_SIZE = CFC_SHA256_BLOCK_SIZE,
    LENGTH_OFFSET = BLOCK_SIZE - 8, /* of the message's bits in its last block */
};

struct cfc_sha256 {
    /* By OpenSSL. */
    EVP_MD *md; /* NULL: by the extensions */
    EVP_MD_CTX *ctx;
    /* By the processor's extensions. */
    uint32_t state[8];
    uint64_t size; /* taken so far, without `late` */
    uint8_t tail[BLOCK_SIZE];
    struct cfc_sha256 *host;  /* digests what is late here along with its own */
    struct cfc_sha256 *guest; /* whose bytes this one digests along */
    const uint8_t *late;      /* begins at a block */
    size_t late_size;
};

struct cfc_sha256 *
cfc_sha256_new_by_library(void)
{
    struct cfc_sha256 *sha = calloc(1, sizeof(*sha));

    if (sha == NULL) {
        return NULL;
    }
    sha->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    sha->ctx = EVP_MD_CTX_new();
    if (sha->md == NULL || sha->ctx == NULL) {
        cfc_sha256_free(sha);
        return NULL;
    }
    return sha;
}

struct cfc_sha256 *
cfc_sha256_new(void)
{
    return cfc_sha256_ni_is_here() ? calloc(1, sizeof(struct cfc_sha256))
                                   : cfc_sha256_new_by_library();
}

/* Ends what one digests for the other; what is late stays so. */
static void
part(struct cfc_sha256 *guest)
{
    if (guest->host != NULL) {
        guest->host->guest = NULL;
        guest->host = NULL;
    }
}

void
cfc_sha256_free(struct cfc_sha256 *sha)
{
    if (sha != NULL) {
        part(sha);
        if (sha->guest != NULL) {
            part(sha->guest);
        }
        EVP_MD_CTX_free(sha->ctx);
        EVP_MD_free(sha->md);
        free(sha);
    }
}

/* ---- By the processor's extensions ----------------------------------------------------------- */

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void
take_blocks(struct cfc_sha256 *sha, const uint8_t *blocks, size_t count)
{
    struct cfc_sha256 *guest = sha->guest;

    if (guest != NULL) {
        size_t both = smaller(count, guest->late_size / BLOCK_SIZE);

        cfc_sha256_ni_blocks_of_two(sha->state, blocks, guest->state, guest->late, both);
        guest->late += both * BLOCK_SIZE;
        guest->late_size -= both * BLOCK_SIZE;
        guest->size += both * BLOCK_SIZE;
        blocks += both * BLOCK_SIZE;
        count -= both;
    }
    cfc_sha256_ni_blocks(sha->state, blocks, count);
}

static void
take(struct cfc_sha256 *sha, const uint8_t *bytes, size_t size)
{
    size_t used = sha->size % BLOCK_SIZE;

    if (size == 0) {
        return; /* memcpy() must not be given the NULL that nothing may be */
    }
    sha->size += size;
    if (used > 0) {
        size_t more = smaller(size, BLOCK_SIZE - used);

        memcpy(sha->tail + used, bytes, more);
        bytes += more;
        size -= more;
        if (used + more < BLOCK_SIZE) {
            return;
        }
        take_blocks(sha, sha->tail, 1);
    }
    take_blocks(sha, bytes, size / BLOCK_SIZE);
    memcpy(sha->tail, bytes + size / BLOCK_SIZE * BLOCK_SIZE, size % BLOCK_SIZE);
}

/* What is late is taken now. */
static void
catch_up(struct cfc_sha256 *sha)
{
    size_t size = sha->late_size;

    part(sha);
    if (size > 0) {
        sha->late_size = 0;
        take(sha, sha->late, size);
    }
}

static void
begin(struct cfc_sha256 *sha)
{
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    part(sha);
    sha->late_size = 0;
    sha->size = 0;
    memcpy(sha->state, first, sizeof(first));
}

static void
put_be(uint8_t *to, uint64_t value, size_t size)
{
    while (size > 0) {
        to[--size] = (uint8_t)value;
        value >>= 8;
    }
}

static void
end(struct cfc_sha256 *sha, struct cfc_digest *out)
{
    uint64_t bits;
    size_t used;

    catch_up(sha);
    bits = 8 * sha->size;
    used = sha->size % BLOCK_SIZE;
    sha->tail[used++] = 0x80;
    if (used > LENGTH_OFFSET) {
        memset(sha->tail + used, 0, BLOCK_SIZE - used);
        take_blocks(sha, sha->tail, 1);
        used = 0;
    }
    memset(sha->tail + used, 0, LENGTH_OFFSET - used);
    put_be(sha->tail + LENGTH_OFFSET, bits, 8);
    take_blocks(sha, sha->tail, 1);
    for (int i = 0; i < 8; i++) {
        put_be(out->bytes + 4 * i, sha->state[i], 4);
    }
}

/* ---- Either way ------------------------------------------------------------------------------ */

void
cfc_sha256_begin(struct cfc_sha256 *sha, const char *domain)
{
    if (sha->md == NULL) {
        begin(sha);
    } else {
        int ok = EVP_DigestInit_ex2(sha->ctx, sha->md, NULL);

        assert(ok == 1);
        (void)ok;
    }
    if (domain != NULL) {
        cfc_sha256_add(sha, domain, strlen(domain) + 1);
    }
}

void
cfc_sha256_add(struct cfc_sha256 *sha, const void *bytes, size_t size)
{
    if (sha->md == NULL) {
        catch_up(sha);
        take(sha, bytes, size);
    } else {
        int ok = EVP_DigestUpdate(sha->ctx, bytes, size);

        assert(ok == 1);
        (void)ok;
    }
}

void
cfc_sha256_add_beside(struct cfc_sha256 *sha, const void *bytes, size_t size,
                      struct cfc_sha256 *host, size_t late_max)
{
    const uint8_t *p = bytes;

    if (sha->md != NULL || host->md != NULL) {
        cfc_sha256_add(sha, bytes, size);
        return;
    }
    assert(sha != host && sha->guest == NULL && host->host == NULL);
    if (sha->host != host || sha->late + sha->late_size != p) {
        size_t first;

        catch_up(sha);
        first = smaller(size, (BLOCK_SIZE - sha->size % BLOCK_SIZE) % BLOCK_SIZE);
        take(sha, p, first);
        if (sha->size % BLOCK_SIZE != 0) {
            return;
        }
        sha->late = p + first;
        sha->late_size = 0;
        size -= first;
        if (host->guest != NULL) {
            part(host->guest);
        }
        host->guest = sha;
        sha->host = host;
    }
    sha->late_size += size;
    if (sha->late_size > late_max) {
        size_t now = smaller((sha->late_size - late_max + BLOCK_SIZE - 1) / BLOCK_SIZE,
                             sha->late_size / BLOCK_SIZE);

        take_blocks(sha, sha->late, now);
        sha->size += now * BLOCK_SIZE;
        sha->late += now * BLOCK_SIZE;
        sha->late_size -= now * BLOCK_SIZE;
    }
}

void
cfc_sha256_end(struct cfc_sha256 *sha, struct cfc_digest *out)
{
    if (sha->md == NULL) {
        end(sha, out);
    } else {
        unsigned size = 0;
        int ok = EVP_DigestFinal_ex(sha->ctx, out->bytes, &size);

        assert(ok == 1 && size == sizeof(out->bytes));
        (void)ok;
    }
}

void
cfc_sha256_once(struct cfc_sha256 *sha, const char *domain, const void *bytes, size_t size,
                struct cfc_digest *out)
{
    cfc_sha256_begin(sha, domain);
    cfc_sha256_add(sha, bytes, size);
    cfc_sha256_end(sha, out);
}

uint64_t
cfc_scope_id(struct cfc_sha256 *sha, const char *path, size_t size)
{
    struct cfc_digest d;

    cfc_sha256_once(sha, NULL, path, size, &d);
    return cfc_digest_key(&d);
}

uint64_t
cfc_consumer_key(struct cfc_sha256 *sha, const char *id, size_t size)
{
    return cfc_scope_id(sha, id, size);
}

uint32_t
cfc_cohort(struct cfc_sha256 *sha, uint64_t salt, const char *id, size_t size)
{
    struct cfc_digest d;
    uint8_t salt_le[8];

    cfc_put_u64(salt_le, salt);
    cfc_sha256_begin(sha, CFC_DOMAIN_COHORT);
    cfc_sha256_add(sha, salt_le, sizeof(salt_le));
    cfc_sha256_add(sha, id, size);
    cfc_sha256_end(sha, &d);
    return cfc_get_u32(d.bytes);
}

void
cfc_content_id(struct cfc_sha256 *sha, const void *body, size_t size, struct cfc_digest *out)
{
    cfc_sha256_once(sha, CFC_DOMAIN_CONTENT, body, size, out);
}

void
cfc_content_id_begin(struct cfc_sha256 *sha)
{
    cfc_sha256_begin(sha, CFC_DOMAIN_CONTENT);
}
