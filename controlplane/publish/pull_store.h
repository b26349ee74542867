/* What consumers that pull can get: the signed heads in force, the newest FRESH, the bodies of the
 * contents, and codings of them, made when somebody asks first and kept within a bound.
 *
 * Threads: the publisher puts heads and FRESH pages; one thread ("confcast-pull") makes answers;
 * any thread may read and free an answer.  One lock inside, never held while something is coded or
 * signed.  What is pulled was committed before, as what an engine sends. */
#ifndef CFC_PUBLISH_PULL_STORE_H
#define CFC_PUBLISH_PULL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/model/decision.h"
#include "controlplane/publish/pull_answer.h"
#include "protocol/trust/digest.h"
#include "protocol/trust/sign.h"

enum {
    CFC_PULL_HAVE_MAX = 8, /* contents that a consumer names as held */
};

struct cfc_pull_store;

struct cfc_pull_store_config {
    struct cfc_signer signer; /* release key; used by whoever makes answers */
    uint32_t shard;
    size_t
        retained_max; /* bytes of bodies that no head names, kept as bases of deltas; 0 = 256 MiB */
    size_t coded_max; /* bytes of codings kept; 0 = 256 MiB */
};

/* NO_MEMORY.  free(NULL) is fine; no answer is made any more, but those there are may live on. */
int cfc_pull_store_new(const struct cfc_pull_store_config *config, struct cfc_pull_store **out);
void cfc_pull_store_free(struct cfc_pull_store *store);

/* Has `fn` called, by the publisher's thread, after a head was put; NULL ends it, and no call is
 * under way then. */
void cfc_pull_store_on_change(struct cfc_pull_store *store,
                              void (*fn)(void *arg, uint64_t scope_id), void *arg);

/* ---- The publisher ---- */

/* A signed head in the place of its scope's earlier one.  NO_MEMORY: the earlier one stays. */
int cfc_pull_store_put(struct cfc_pull_store *store, struct cfc_decision *decision,
                       const uint8_t *head_frame, size_t size);

/* A new FRESH, page by page, ascending; what was there is served until end().  NO_MEMORY: it stays.
 */
void cfc_pull_store_fresh_begin(struct cfc_pull_store *store);
int cfc_pull_store_fresh_page(struct cfc_pull_store *store, const uint8_t *frame, size_t size);
void cfc_pull_store_fresh_end(struct cfc_pull_store *store);

/* Nothing is given out any more: a consumer proved that this store is older than the fleet. */
void cfc_pull_store_refuse(struct cfc_pull_store *store);

/* ---- Asking ---- */

struct cfc_pull_ask {
    uint64_t scope_id;
    uint64_t after; /* the version that the consumer is done with; 0 = it needs everything */
    uint32_t have_count;
    struct cfc_digest have[CFC_PULL_HAVE_MAX]; /* contents that it holds, best base first */
};

/* Whether a version above `after` is in force.  Any thread. */
bool cfc_pull_store_has_news(struct cfc_pull_store *store, const struct cfc_pull_ask *ask);

/* The FRESH page that covers the scope and, if there is news, its head and those contents that the
 * head names, does not carry itself and the consumer does not hold: each as a delta against the
 * first held content that is known here when that is smaller.  One thread.  NO_MEMORY; REGRESS:
 * the store refuses; an error of coding. */
int cfc_pull_store_answer(struct cfc_pull_store *store, const struct cfc_pull_ask *ask,
                          struct cfc_pull_answer **out);

struct cfc_pull_store_stats {
    uint64_t heads;
    uint64_t bodies;
    uint64_t codings;      /* kept */
    uint64_t coded_size;   /* bytes of them */
    uint64_t answers;      /* made */
    uint64_t answers_news; /* of them with a head */
    uint64_t full_sent;    /* contents given out whole, and as a delta */
    uint64_t delta_sent;
    uint64_t full_bytes; /* bytes of their frames */
    uint64_t delta_bytes;
};
void cfc_pull_store_stats(struct cfc_pull_store *store, struct cfc_pull_store_stats *out);

#endif
