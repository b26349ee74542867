#include "protocol/session/fresh_rx.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/session/scope_rx.h"

void
cfc_fresh_rx_init(struct cfc_fresh_rx *f, uint32_t shard)
{
    memset(f, 0, sizeof(*f));
    f->shard = shard;
}

int
cfc_fresh_rx_check(const struct cfc_fresh_rx *f, struct cfc_sha256 *sha,
                   const struct cfc_fresh *fresh, uint64_t unix_ns, bool *is_same_period,
                   uint8_t memo[CFC_SHORT_DIGEST_SIZE])
{
    struct cfc_digest digest;

    *is_same_period = false;
    if (fresh->epoch < f->epoch) {
        return CONFCAST_ERR_FENCED;
    }
    cfc_sha256_once(sha, NULL, fresh->signed_bytes, fresh->signed_size, &digest);
    memcpy(memo, digest.bytes, CFC_SHORT_DIGEST_SIZE);
    if (f->has_period) {
        *is_same_period = memcmp(memo, f->memo, CFC_SHORT_DIGEST_SIZE) == 0;
        if (fresh->sequence < f->sequence) {
            return CONFCAST_ERR_ROLLBACK;
        }
        if (!*is_same_period && fresh->epoch == f->period_epoch && fresh->sequence == f->sequence &&
            fresh->time_unix_ns <= f->time_unix_ns) {
            return CONFCAST_ERR_REPLAY;
        }
    }
    if (unix_ns > fresh->not_after_unix_ns) {
        return CONFCAST_ERR_EXPIRED;
    }
    if (fresh->time_unix_ns > unix_ns && fresh->time_unix_ns - unix_ns > CFC_HEAD_SKEW_MAX_NS) {
        return CONFCAST_ERR_NOT_YET_VALID;
    }
    return CONFCAST_OK;
}

void
cfc_fresh_rx_take(struct cfc_fresh_rx *f, const struct cfc_fresh *fresh,
                  const uint8_t memo[CFC_SHORT_DIGEST_SIZE], const struct cfc_now *now)
{
    f->has_period = true;
    f->epoch = fresh->epoch;
    f->period_epoch = fresh->epoch;
    f->sequence = fresh->sequence;
    f->time_unix_ns = fresh->time_unix_ns;
    f->mono_ns = now->mono_ns;
    f->clock_error_ns = (int64_t)(now->unix_ns - fresh->time_unix_ns);
    memcpy(f->memo, memo, CFC_SHORT_DIGEST_SIZE);
    memcpy(f->root, fresh->root, CFC_SHORT_DIGEST_SIZE);
}

enum cfc_fresh_answer
cfc_fresh_find(const struct cfc_fresh *fresh, uint64_t scope_id, struct cfc_fresh_entry *entry)
{
    uint32_t low = 0, high = fresh->entry_count;

    /* The first entry that is not below scope_id. */
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        cfc_fresh_entry_at(fresh, middle, entry);
        if (entry->scope_id < scope_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < fresh->entry_count) {
        cfc_fresh_entry_at(fresh, low, entry);
        if (entry->scope_id == scope_id) {
            return CFC_FRESH_LISTED;
        }
        return low > 0 || fresh->page_index == 0 ? CFC_FRESH_ABSENT : CFC_FRESH_OUTSIDE;
    }
    return fresh->page_index + 1 >= fresh->page_count ? CFC_FRESH_ABSENT : CFC_FRESH_OUTSIDE;
}
