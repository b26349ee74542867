/* A token bucket in one word, for tables with some for each of a million consumers: the virtual
 * scheduling algorithm of ITU-T I.371.  The word says when the bucket will be full again; rate and
 * depth are the same for all of a table.  A full bucket is 0.  Times are rounded down to whole
 * nanoseconds in the owner's favour.  One thread owns it. */
#ifndef CFC_SESSION_BUCKET_H
#define CFC_SESSION_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/time.h"
#include "protocol/session/pacer.h"

struct cfc_bucket_limit {
    uint64_t rate;    /* units a second, at most CFC_PACER_RATE_MAX; 0 = everything passes */
    uint64_t full_ns; /* what an empty bucket takes to fill */
};

/* burst 1..CFC_PACER_BURST_MAX. */
static inline struct cfc_bucket_limit
cfc_bucket_limit(uint64_t rate, uint64_t burst)
{
    return (struct cfc_bucket_limit){
        .rate = rate,
        .full_ns = rate != 0 ? burst * CFC_S / rate + (burst * CFC_S % rate != 0) : 0};
}

/* Takes `amount` units, at most CFC_PACER_BURST_MAX, and says true, or leaves the bucket alone and
 * says false. */
static inline bool
cfc_bucket_try(uint64_t *bucket, const struct cfc_bucket_limit *limit, uint64_t amount,
               uint64_t now_ns)
{
    uint64_t from_ns = *bucket > now_ns ? *bucket : now_ns;
    uint64_t cost_ns;

    if (limit->rate == 0) {
        return true;
    }
    cost_ns = amount * CFC_S / limit->rate;
    if (from_ns - now_ns + cost_ns > limit->full_ns) {
        return false;
    }
    *bucket = from_ns + cost_ns;
    return true;
}

#endif
