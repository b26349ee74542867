/* What consumers say they do: apply states, and the counts over them.
 *
 * One state per (consumer, scope), overwritten only by a higher (incarnation, report_seq).
 * highest_applied only rises; `serving` says the truth now.  Counts are kept up to date with each
 * report, never computed by scanning.  Nothing here decides anything. */
#ifndef CFC_MODEL_APPLY_H
#define CFC_MODEL_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/wire/report.h"

enum {
    CFC_LABELS_TEXT_MAX = 512,      /* bytes of the labels of one consumer, "k=v,k=v" */
    CFC_REJECT_REASON_COUNT_MAX = 8 /* reasons that a status names; the rest is one sum */
};

/* What whoever checks reports wants to know of a consumer the next time: derived from its id, so
 * that it never changes.  In memory only. */
struct cfc_consumer_memo {
    uint64_t key; /* cfc_consumer_key(), never 0 */
    uint8_t secret[32];
};

struct cfc_apply_view {
    char consumer[CFC_CONSUMER_ID_SIZE_MAX + 1];
    char scope[CFC_SCOPE_SIZE_MAX + 1];
    char labels[CFC_LABELS_TEXT_MAX + 1]; /* "k=v,k=v", sorted; "" = none are known */
    struct cfc_report_entry entry;        /* as it was reported last */
    uint64_t highest_applied;             /* never falls */
    uint64_t incarnation;
    uint64_t report_seq;
    uint64_t seen_unix_ns;   /* last report */
    uint64_t behind_unix_ns; /* since when something is published that it does not serve; 0 = it
                              * serves what is published */
    bool is_stale;           /* silent for longer than the service's stale_after_ns: what it does
                              * now is not known */
    bool is_cloned;          /* two live consumers use its id */
};

/* Consumers in one arm of the published head: alive, and following it. */
struct cfc_arm_counts {
    uint64_t alive;
    uint64_t applied;
    uint64_t rejected;
};

/* Counts of one scope.  What a consumer said before it fell silent is not known to be true any
 * more: it counts in total, stale and silent, and in nothing else. */
struct cfc_apply_counts {
    uint64_t version;           /* decided; 0 = nothing to say for this scope yet */
    uint64_t published;         /* the highest version that was handed over for sending; 0 = none */
    uint64_t published_unix_ns; /* when it was for the first time */
    uint64_t total;             /* consumers that follow the scope */
    uint64_t stale;             /* ... silent for too long: their state is unknown */
    uint64_t cloned;            /* ... whose id two live consumers use */
    uint64_t alive;             /* total - stale.  Of these: */
    uint64_t timely;            /* their clock is right */
    uint64_t accepted;          /* they follow the published head.  Of these: */
    uint64_t receiving;         /* the content of their arm is on its way: RECEIVING */
    uint64_t prepared;          /* they hold it: PREPARED or APPLIED */
    uint64_t patchable;         /* ... and take a delta against it */
    uint64_t timely_prepared;   /* ... and their clock is right */
    uint64_t applied;           /* they serve it: APPLIED */
    uint64_t durable;           /* ... and would still after a power loss */
    uint64_t rejected;          /* REJECTED, REVERTED or DEGRADED; of these: */
    uint64_t reverted;          /* ... REVERTED */
    uint64_t degraded;          /* ... DEGRADED */
    struct cfc_arm_counts arms[CFC_ARM_COUNT_MAX];
    uint64_t silent; /* of those stale: heard until the published version went out, or after it */
};

struct cfc_reject_reason {
    int error; /* CONFCAST_ERR_*; 0 = all others together */
    uint64_t count;
};

/* Counts with what is computed for whoever looks; its size does not depend on the fleet. */
struct cfc_scope_status {
    struct cfc_apply_counts counts;
    uint64_t change;       /* rises with every change of any of this but beyond_bound */
    uint64_t bound_ns;     /* propagation bound of the scope; 0 = none is set */
    uint64_t beyond_bound; /* consumers that lack for longer than that what is published, those that
                            * are stale among them */
    uint64_t behind;       /* consumers that are not known to serve what is published */
    uint64_t behind_unix_ns; /* since when the one that lags most does; 0 = none */
    struct cfc_reject_reason reasons[CFC_REJECT_REASON_COUNT_MAX]; /* most frequent first */
    size_t reason_count;
};

/* How long it took from handing a version over until a consumer reported that it serves it; of
 * consumers that were alive and up to date before. */
#define CFC_LAG_BOUNDS_MS(X)                                                                       \
    X(1)                                                                                           \
    X(2)                                                                                           \
    X(5)                                                                                           \
    X(10)                                                                                          \
    X(20) X(50) X(100) X(200) X(500) X(1000) X(2000) X(5000) X(10000) X(30000) X(60000) X(300000)

enum cfc_lag_idx {
#define CFC_ENUM_(ms) CFC_LAG_##ms,
    CFC_LAG_BOUNDS_MS(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_LAG_BUCKET_COUNT
};

struct cfc_lag_histogram {
    uint64_t buckets[CFC_LAG_BUCKET_COUNT + 1]; /* the last one: above all bounds */
    uint64_t count;
    uint64_t sum_ns;
};

/* What the intake of reports did since the start. */
struct cfc_apply_totals {
    uint64_t taken;    /* entries with a new state */
    uint64_t repeated; /* entries that were known */
    uint64_t refused;  /* entries that claim what was never published */
    uint64_t unknown;  /* entries of scopes that are not known */
    uint64_t consumers;
    uint64_t states;          /* (consumer, scope) */
    uint64_t cloned;          /* consumers now */
    uint64_t unwritten_pages; /* pages of up to 32 states that wait for their next write */
    struct cfc_lag_histogram lag;
};

#endif
