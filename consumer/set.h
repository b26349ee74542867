/* Sets: scopes whose readers see them change together (docs/adr/0054-sets.md).
 *
 * A set publishes a view of its own: one view of each member, all of one version and in the same
 * phase of it.  It looks at what its members serve after each round of events; while they differ,
 * the last view stays.  What the members themselves serve, keep on disk and report is not touched.
 *
 * Everything here is the loop thread's, but `view` (readers) and what `lock` guards. */
#ifndef CFC_CONSUMER_SET_H
#define CFC_CONSUMER_SET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "confcast/confcast.h"
#include "consumer/view.h"

struct confcast_set_view {
    uint64_t version;
    struct rcu_head rcu;
    struct cfc_retired *retired; /* where it is counted from its retirement on */
    uint64_t retired_size;
    uint32_t count;
    struct confcast_view members[]; /* in the order of confcast_set_open() */
};

struct confcast_set {
    struct confcast_set_view *view; /* published by RCU; NULL until the members agreed once */
    struct confcast *client;
    struct confcast_set *next; /* of the client's */

    pthread_mutex_t lock; /* guards the next four */
    pthread_cond_t changed;
    struct confcast_set_status status;
    bool is_closed;
    uint32_t waiter_count;

    confcast_set_change_fn *change;
    void *change_arg;
    uint64_t held_told_ns;  /* a set that is held for so long is told of */
    uint64_t held_since_ns; /* monotonic; 0 = it is not held */
    bool is_held_told;
    bool is_short; /* of memory, for its next view */
    uint32_t count;
    struct confcast_scope *scopes[CONFCAST_SET_SCOPES_MAX];
};

/* Lets every set of the client follow its members.  Inside of a set's callback it is put off until
 * that has returned. */
void cfc_sets_update(struct confcast *client);

/* Whether an open set has this member. */
bool cfc_sets_have(const struct confcast *client, const struct confcast_scope *scope);

/* For a forked child: makes the sets' locks anew, with nobody waiting. */
void cfc_sets_reset_locks(struct confcast *client);

/* Closing a client: sends waiters away and waits until they have gone; then frees the sets, when
 * nobody can see their views any more. */
void cfc_sets_close(struct confcast *client);
void cfc_sets_free(struct confcast *client);

#endif
