/* Makes state durable in the background: one thread, one pending job per scope, the newest wins. */
#ifndef CFC_CONSUMER_PERSISTER_H
#define CFC_CONSUMER_PERSISTER_H

#include "consumer/cache.h"

struct cfc_persister;

/* Called on the persister's thread after a job: code is CONFCAST_OK when `version` and all before
 * it survive power loss. */
typedef void cfc_persisted_fn(void *arg, uint32_t scope_idx, uint64_t version, int code);

/* Writes into `cache`, which must outlive it.  NO_MEMORY, RESOURCE. */
int cfc_persister_start(struct cfc_cache *cache, cfc_persisted_fn *fn, void *arg,
                        struct cfc_persister **out);

/* Finishes what is pending and ends the thread.  NULL is fine. */
void cfc_persister_stop(struct cfc_persister *persister);

/* Replaces the scope's pending job with this one, whose reference to `loaded` is taken over.  A job
 * without a head keeps the pending job's head, one without a served version its served version.
 * `version` is the accepted version that it stands for. */
void cfc_persister_put(struct cfc_persister *persister, uint32_t scope_idx, uint64_t version,
                       const struct cfc_cache_job *job);

/* Contents that trimming must leave, replaced as a whole. */
void cfc_persister_keep(struct cfc_persister *persister, const struct cfc_digest *ids,
                        size_t count);

#endif
