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

struct cfc_apply_view {
    char consumer[CFC_CONSUMER_ID_SIZE_MAX + 1];
    char scope[CFC_SCOPE_SIZE_MAX + 1];
    struct cfc_report_entry entry; /* as it was reported last */
    uint64_t highest_applied;      /* never falls */
    uint64_t incarnation;
    uint64_t report_seq;
    uint64_t seen_unix_ns; /* last report */
    bool is_stale;         /* silent for longer than the service's stale_after_ns */
};

/* Consumers in one arm of the published head: alive, and following it. */
struct cfc_arm_counts {
    uint64_t alive;
    uint64_t applied;
    uint64_t rejected;
};

/* Counts of one scope.  All but total and stale speak of the version that is published. */
struct cfc_apply_counts {
    uint64_t version;   /* decided; 0 = nothing to say for this scope yet */
    uint64_t published; /* the highest version that was handed over for sending; 0 = none */
    uint64_t published_unix_ns;
    uint64_t total;    /* consumers that follow the scope */
    uint64_t accepted; /* they follow the published head */
    uint64_t prepared; /* ... and hold the content of their arm: PREPARED or APPLIED */
    uint64_t applied;  /* ... and serve it: APPLIED */
    uint64_t durable;  /* ... and would still after a power loss */
    uint64_t rejected; /* ... and are REJECTED, REVERTED or DEGRADED */
    uint64_t stale;    /* silent for too long, whatever they said last */
    /* Of those that are not stale: */
    uint64_t alive;
    uint64_t alive_prepared;  /* as `prepared` */
    uint64_t timely;          /* their clock is right */
    uint64_t timely_prepared; /* ... and as `prepared` */
    struct cfc_arm_counts arms[CFC_ARM_COUNT_MAX];
    /* Of those that are: */
    uint64_t silent; /* they were heard until the published version went out, or after it */
};

#endif
