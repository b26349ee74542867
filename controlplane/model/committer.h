/* The committer: one thread that makes staged commits durable, many with one sync of the disk, and
 * tells those who wait for it.
 *
 * Changes are staged one after the other under the service's lock, each on what the ones before it
 * left, so that guards, the audit chain and idempotent answers need no thought of their own.  While
 * a sync is under way the next changes gather behind it.
 *
 * A sync that fails is settled under the service's lock.  When commits were lost, or nobody knows,
 * the loss counter rises: everybody who began before that is told CONFCAST_ERR_IO, whatever they
 * saw, and memory is read again. */
#ifndef CFC_MODEL_COMMITTER_H
#define CFC_MODEL_COMMITTER_H

#include "controlplane/log/histogram.h"
#include "controlplane/model/service.h"

struct cfc_committer;

struct cfc_committer_config {
    struct cfc_store *store;
    /* After a sync, in the committer's thread, which holds nothing: others may be told now. */
    void (*synced)(void *arg);
    /* A sync failed: settles it under the service's lock, and calls cfc_committer_lost() before the
     * lock is let go, so that nothing staged later can take the number of what is lost. */
    void (*settle)(void *arg);
    void *arg;
};

/* CONFCAST_ERR_NO_MEMORY, _RESOURCE. */
int cfc_committer_start(const struct cfc_committer_config *config, struct cfc_committer **out);
/* Syncs what is staged and tells all who wait.  NULL is fine. */
void cfc_committer_stop(struct cfc_committer *c);

/* Something was staged; `seq` is now the last sequence.  The service's thread. */
void cfc_committer_staged(struct cfc_committer *c, uint64_t seq);
/* Commits were lost, or nobody knows.  Under the service's lock. */
void cfc_committer_lost(struct cfc_committer *c);

/* How long the syncs took. */
const struct cfc_histogram *cfc_committer_syncs(const struct cfc_committer *c);

/* service.h, with the same names. */
void cfc_committer_mark_begin(struct cfc_committer *c, struct cfc_mark *mark);
void cfc_committer_mark_end(struct cfc_committer *c, struct cfc_mark *mark);
void cfc_committer_when_durable(struct cfc_committer *c, struct cfc_waiter *waiter);
bool cfc_committer_is_durable(struct cfc_committer *c, const struct cfc_mark *mark);

#endif
