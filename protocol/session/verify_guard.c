#include "protocol/session/verify_guard.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "protocol/trust/sign.h"

#define INTERVAL_NS (CFC_S / CFC_VERIFY_RATE)

void
cfc_verify_guard_init(struct cfc_verify_guard *g)
{
    memset(g, 0, sizeof(*g));
}

int
cfc_verify_guard_admit(struct cfc_verify_guard *g, enum cfc_verify_kind kind,
                       struct cfc_sha256 *sha, const uint8_t *signed_bytes, size_t signed_size,
                       const uint8_t *signature, uint64_t now_ns,
                       uint8_t memo[CFC_SHORT_DIGEST_SIZE])
{
    uint64_t from_ns = g->busy_until_ns[kind] > now_ns ? g->busy_until_ns[kind] : now_ns;
    struct cfc_digest digest;

    if (from_ns - now_ns > (CFC_VERIFY_BURST - 1) * INTERVAL_NS) {
        return CONFCAST_ERR_LIMIT;
    }
    cfc_sha256_begin(sha, NULL);
    cfc_sha256_add(sha, signature, CFC_SIGNATURE_SIZE);
    cfc_sha256_add(sha, signed_bytes, signed_size);
    cfc_sha256_end(sha, &digest);
    memcpy(memo, digest.bytes, CFC_SHORT_DIGEST_SIZE);
    for (uint32_t i = 0; i < CFC_VERIFY_MEMO_COUNT; i++) {
        if (memcmp(g->failed[i], memo, CFC_SHORT_DIGEST_SIZE) == 0) {
            return CONFCAST_ERR_SIGNATURE;
        }
    }
    g->busy_until_ns[kind] = from_ns + INTERVAL_NS;
    return CONFCAST_OK;
}

void
cfc_verify_guard_failed(struct cfc_verify_guard *g, const uint8_t memo[CFC_SHORT_DIGEST_SIZE])
{
    memcpy(g->failed[g->failed_next], memo, CFC_SHORT_DIGEST_SIZE);
    g->failed_next = (g->failed_next + 1) % CFC_VERIFY_MEMO_COUNT;
}
