/* Who lacks which published version, since when; and how long versions take to arrive. */
#include <string.h>

#include "controlplane/model/apply_table.h"
#include "protocol/base/time.h"

struct cfc_apply_lack *
cfc_apply_lack_of(struct cfc_scope_apply *apply, uint64_t good)
{
    struct cfc_apply_detail *detail = apply->detail;

    if (detail == NULL || good >= apply->counts.published) {
        return NULL;
    }
    for (uint32_t i = 0; i < detail->lack_count; i++) {
        if (detail->lacks[i].version > good) {
            return &detail->lacks[i];
        }
    }
    return NULL;
}

/* Joins the two neighbours that were published closest to each other: who lacks the later one
 * seems to lack it since the earlier one, which is wrong by the least that is possible. */
static void
make_room(struct cfc_apply_detail *detail)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i + 1 < detail->lack_count; i++) {
        if (detail->lacks[i + 1].unix_ns - detail->lacks[i].unix_ns <
            detail->lacks[best + 1].unix_ns - detail->lacks[best].unix_ns) {
            best = i;
        }
    }
    detail->lacks[best].version = detail->lacks[best + 1].version;
    detail->lacks[best].count += detail->lacks[best + 1].count;
    detail->lack_count--;
    memmove(&detail->lacks[best + 1], &detail->lacks[best + 2],
            (detail->lack_count - best - 1) * sizeof(detail->lacks[0]));
}

void
cfc_apply_lack_push(struct cfc_scope_apply *apply, uint64_t version, uint64_t unix_ns)
{
    struct cfc_apply_detail *detail = apply->detail;
    uint32_t idle = 0;

    /* What nobody lacks need not be kept. */
    while (idle < detail->lack_count && detail->lacks[idle].count == 0) {
        idle++;
    }
    detail->lack_count -= idle;
    memmove(&detail->lacks[0], &detail->lacks[idle], detail->lack_count * sizeof(detail->lacks[0]));
    if (detail->lack_count == CFC_APPLY_LACK_COUNT_MAX) {
        make_room(detail);
    }
    detail->lacks[detail->lack_count++] =
        (struct cfc_apply_lack){.version = version, .unix_ns = unix_ns, .count = apply->level};
    apply->level = 0;
}

uint64_t
cfc_apply_lack_count(const struct cfc_scope_apply *apply, uint64_t unix_ns)
{
    const struct cfc_apply_detail *detail = apply->detail;
    uint64_t count = 0;

    for (uint32_t i = 0; i < detail->lack_count; i++) {
        count += detail->lacks[i].unix_ns < unix_ns ? detail->lacks[i].count : 0;
    }
    return count;
}

uint64_t
cfc_apply_lack_oldest(const struct cfc_scope_apply *apply)
{
    const struct cfc_apply_detail *detail = apply->detail;

    for (uint32_t i = 0; i < detail->lack_count; i++) {
        if (detail->lacks[i].count != 0) {
            return detail->lacks[i].unix_ns;
        }
    }
    return 0;
}

void
cfc_apply_lag_observe(struct cfc_lag_histogram *histogram, uint64_t lag_ns)
{
    static const uint64_t bounds_ms[] = {
#define BOUND_(ms) ms,
        CFC_LAG_BOUNDS_MS(BOUND_)
#undef BOUND_
    };
    size_t at = 0;

    while (at < CFC_LAG_BUCKET_COUNT && lag_ns > bounds_ms[at] * CFC_MS) {
        at++;
    }
    histogram->buckets[at]++;
    histogram->count++;
    histogram->sum_ns += lag_ns;
}
