/* Requests of consumers that pull: each waits, suspended, until its scope has a version that the
 * consumer lacks or its time is over, and gets its answer made.
 *
 * Threads: one ("confcast-pull") makes all answers, so that what many ask for is coded once and
 * HTTP threads never code; the publisher's tells it which scopes changed.  Suspended connections
 * cost neither a thread nor a lock.  Lock order: the store's, then the hub's.  Bounds:
 * CFC_PULL_WAIT_MAX requests at once, CFC_PULL_WAIT_S_MAX each. */
#ifndef CFC_API_PULL_HUB_H
#define CFC_API_PULL_HUB_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>

#include "controlplane/api/reply.h"
#include "controlplane/publish/pull_store.h"

enum {
    CFC_PULL_WAIT_MAX = 4096,
    CFC_PULL_WAIT_S_MAX = 60,
};

/* What a snapshot's handler leaves in its reply. */
struct cfc_pull_wish {
    struct cfc_pull_ask ask;
    uint32_t wait_ms; /* for news; 0 = answer at once */
};

struct cfc_pull_wait;

struct cfc_pull_hub {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct cfc_pull_store *store; /* NULL: not started */
    struct cfc_pull_wait *first;
    uint32_t count;
    bool is_stopping;
};

/* CONFCAST_ERR_RESOURCE: no thread. */
int cfc_pull_hub_start(struct cfc_pull_hub *hub, struct cfc_pull_store *store);
/* Ends all waits; afterwards nothing is suspended any more.  Before the HTTP daemon is stopped. */
void cfc_pull_hub_stop(struct cfc_pull_hub *hub);

/* Suspends the connection until its answer is there; its request is then asked for again.  NULL:
 * too many wait, no memory, or the hub is stopping. */
struct cfc_pull_wait *cfc_pull_wait_new(struct cfc_pull_hub *hub, struct MHD_Connection *mhd,
                                        const struct cfc_pull_wish *wish);
/* The answer, or the error, of a connection that was resumed. */
void cfc_pull_wait_reply(struct cfc_pull_wait *wait, struct cfc_reply *reply);
/* Once the request is done, however it ended.  NULL is fine. */
void cfc_pull_wait_free(struct cfc_pull_wait *wait);

#endif
