/* The signed heads in force, one per scope, ascending by scope id, and the FRESH pages over them.
 * One thread owns a set. */
#ifndef CFC_PUBLISH_HEAD_SET_H
#define CFC_PUBLISH_HEAD_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/model/decision.h"
#include "controlplane/publish/coded_set.h"
#include "protocol/trust/sign.h"
#include "protocol/wire/fresh.h"
#include "protocol/wire/head.h"

struct cfc_head_set;

struct cfc_signed_head {
    struct cfc_fresh_entry entry; /* what FRESH says of it */
    struct cfc_decision *decision;
    struct cfc_coded *contents[2 * CFC_ARM_COUNT_MAX]; /* that it names, each counted once */
    size_t content_count;
    uint32_t known;         /* bit per content: the scope's fleet has it, or asks; so it is not sent
                             * to all */
    bool is_news;           /* nobody of the scope had the first arm's content by a head */
    uint64_t fresh_changed; /* number of the FRESH that listed it first */
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t frame_size;
    struct cfc_digest base; /* what nearly all of the fleet held when it was prepared, so that what
                             * is new to them goes as a delta against it, if there is one; zero: do
                             * not look for one */
};

struct cfc_head_set_config {
    struct cfc_signer signer; /* with a crew: for any thread */
    struct cfc_crew *crew;    /* signs what is prepared together; NULL = none.  Outlives the set */
    uint32_t shard;
    uint64_t epoch;
    size_t frame_size_max; /* UDP payload that the engine's port carries */
    /* Whether nearly all who follow the scope hold what the decision in force names, so that a new
     * content may go as a delta against that.  NULL: nobody does.  Called by
     * cfc_head_set_prepare(), by its thread. */
    bool (*is_base_held)(void *arg, const struct cfc_decision *in_force);
    void *arg;
};

int cfc_head_set_new(const struct cfc_head_set_config *config, struct cfc_coded_set *contents,
                     struct cfc_head_set **out);
void cfc_head_set_free(struct cfc_head_set *set);

/* Signs the heads of decisions, whose contents must be in the content set already (assert), one in
 * heads[] for each; takes references.  They are not in the set: each is put or dropped.  A small
 * content of the first arm rides inline.  Where nearly all hold what is in force, contents that are
 * new to the scope are coded as deltas against that, as coded_set.h says; that of the first arm
 * rides inline when it is small enough.  NO_MEMORY, or an error of cfc_head_encode(): none was
 * made. */
int cfc_head_set_prepare(struct cfc_head_set *set, struct cfc_decision *const *decisions,
                         size_t count, uint64_t unix_ns, struct cfc_signed_head **heads);
/* NULL is fine. */
void cfc_head_set_drop(struct cfc_signed_head *head);

/* Puts a prepared head in the place of its scope's earlier one, which tells it what is known.  It
 * is the set's from then on, and valid until the next put.  NO_MEMORY: it stays the caller's. */
int cfc_head_set_put(struct cfc_head_set *set, struct cfc_signed_head *head);

size_t cfc_head_set_count(const struct cfc_head_set *set);
struct cfc_signed_head *cfc_head_set_at(struct cfc_head_set *set, size_t idx);

/* Signs a FRESH over all heads and calls `fn` with each of its pages; a page is changed when one of
 * its heads is new since the last `changed_periods` calls, or when it is the only one.  The signed
 * time rises with every call, also when the clock that tells unix_ns stepped back: consumers refuse
 * an older one of the same sequence.  Without `is_period`, for one that not everybody gets, the
 * call does not count, and pages stay changed for those that follow.  NO_MEMORY, LIMIT (more than
 * 131,072 scopes), or what fn returned. */
int cfc_head_set_fresh(struct cfc_head_set *set, uint64_t sequence, uint64_t unix_ns,
                       uint64_t not_after_unix_ns, uint32_t fleet_size, bool is_period,
                       int (*fn)(void *arg, const uint8_t *frame, size_t size, bool is_changed),
                       void *arg);

#endif
