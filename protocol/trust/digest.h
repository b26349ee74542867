/* SHA-256 and the names made with it.  Every use is separated from every other by a domain string,
 * which is hashed first with its terminating NUL.  Where the processor has SHA extensions they do
 * the work, two streams at once where a caller has two (sha256_ni.h); elsewhere OpenSSL does.  A
 * context belongs to one thread at a time. */
#ifndef CFC_TRUST_DIGEST_H
#define CFC_TRUST_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/base/endian.h"

#define CFC_DOMAIN_CONTENT    "confcast/v1/content"    /* content id over a body */
#define CFC_DOMAIN_SYMBOL     "confcast/v1/symbol"     /* leaf over one symbol */
#define CFC_DOMAIN_PAGE       "confcast/v1/page"       /* page digest */
#define CFC_DOMAIN_COHORT     "confcast/v1/cohort"     /* cohort hash of a consumer */
#define CFC_DOMAIN_FRESH_LEAF "confcast/v1/fresh-leaf" /* Merkle leaf: one FRESH page */
#define CFC_DOMAIN_FRESH_NODE "confcast/v1/fresh-node" /* Merkle inner node */
#define CFC_DOMAIN_HEAD_ID    "confcast/v1/head-id"    /* head digest, as FRESH lists it */
#define CFC_DOMAIN_SALT       "confcast/v1/salt"       /* rollout salt */

#define CFC_SHORT_DIGEST_SIZE 16 /* truncated digests of pages, symbols, heads and Merkle nodes */

struct cfc_digest {
    uint8_t bytes[32];
};

struct cfc_sha256; /* a reusable context; one thread at a time */

/* NULL without memory, or when OpenSSL is needed and cannot provide SHA-256.  Free with
 * cfc_sha256_free(); NULL is fine there. */
struct cfc_sha256 *cfc_sha256_new(void);
struct cfc_sha256 *cfc_sha256_new_by_library(void); /* by OpenSSL on every processor */
void cfc_sha256_free(struct cfc_sha256 *sha);

/* One digest: begin (which hashes `domain` and its NUL; NULL for none), add in pieces, end.  These
 * cannot fail once the context exists: a failure of the library in here is a broken invariant and
 * asserts. */
void cfc_sha256_begin(struct cfc_sha256 *sha, const char *domain);
void cfc_sha256_add(struct cfc_sha256 *sha, const void *bytes, size_t size);
void cfc_sha256_end(struct cfc_sha256 *sha, struct cfc_digest *out);

/* Adds like cfc_sha256_add(), but may take the bytes later, along with those that `host` digests
 * meanwhile: both together take little more time than one of them.  No more than `late_max` bytes
 * and a block are left for later.  The bytes of all such calls must lie where they are until the
 * next begin, add or end of `sha`; pieces that follow each other in memory go on where the last one
 * ended. Both contexts belong to one thread.  A host has one guest, the last to come, and is
 * nobody's. */
void cfc_sha256_add_beside(struct cfc_sha256 *sha, const void *bytes, size_t size,
                           struct cfc_sha256 *host, size_t late_max);

/* The digest of one piece of bytes under a domain. */
void cfc_sha256_once(struct cfc_sha256 *sha, const char *domain, const void *bytes, size_t size,
                     struct cfc_digest *out);

/* scope_id: the first 8 bytes, little endian, of plain SHA-256 over the scope path (no domain
 * string, so that any tool can compute it).  The path must have passed cfc_scope_check(). */
uint64_t cfc_scope_id(struct cfc_sha256 *sha, const char *path, size_t size);

/* consumer_key: the same over a consumer id. */
uint64_t cfc_consumer_key(struct cfc_sha256 *sha, const char *id, size_t size);

/* The cohort of a consumer in a rollout: the first 4 bytes, little endian, of SHA-256(domain, salt
 * LE64, id).  It is in the rollout's first stages when this is below the arm's threshold, so that
 * stages nest. */
uint32_t cfc_cohort(struct cfc_sha256 *sha, uint64_t salt, const char *id, size_t size);

/* SHA-256 over (CFC_DOMAIN_CONTENT, body): the name of a content. */
void cfc_content_id(struct cfc_sha256 *sha, const void *body, size_t size, struct cfc_digest *out);

/* The same of a body that comes in pieces: begin, cfc_sha256_add() of each, cfc_sha256_end(). */
void cfc_content_id_begin(struct cfc_sha256 *sha);

/* The first 8 bytes of a digest, little endian: the `key` of the frames of a content. */
static inline uint64_t
cfc_digest_key(const struct cfc_digest *d)
{
    return cfc_get_u64(d->bytes);
}

static inline bool
cfc_digest_equal(const struct cfc_digest *a, const struct cfc_digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static inline bool
cfc_digest_is_zero(const struct cfc_digest *d)
{
    static const struct cfc_digest zero;

    return cfc_digest_equal(d, &zero);
}

#endif
