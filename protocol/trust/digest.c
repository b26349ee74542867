#include "protocol/trust/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct cfc_sha256 {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
};

struct cfc_sha256 *
cfc_sha256_new(void)
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

void
cfc_sha256_free(struct cfc_sha256 *sha)
{
    if (sha != NULL) {
        EVP_MD_CTX_free(sha->ctx);
        EVP_MD_free(sha->md);
        free(sha);
    }
}

void
cfc_sha256_begin(struct cfc_sha256 *sha, const char *domain)
{
    int ok = EVP_DigestInit_ex2(sha->ctx, sha->md, NULL);

    assert(ok == 1);
    (void)ok;
    if (domain != NULL) {
        cfc_sha256_add(sha, domain, strlen(domain) + 1);
    }
}

void
cfc_sha256_add(struct cfc_sha256 *sha, const void *bytes, size_t size)
{
    int ok = EVP_DigestUpdate(sha->ctx, bytes, size);

    assert(ok == 1);
    (void)ok;
}

void
cfc_sha256_end(struct cfc_sha256 *sha, struct cfc_digest *out)
{
    unsigned size = 0;
    int ok = EVP_DigestFinal_ex(sha->ctx, out->bytes, &size);

    assert(ok == 1 && size == sizeof(out->bytes));
    (void)ok;
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
