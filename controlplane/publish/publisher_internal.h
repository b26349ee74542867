/* The inside of the publisher, for the files that make it up: publisher.c (its life and its
 * thread), publisher_hand.c (what it hands to the engine), publisher_inbox.c (what the engine
 * says).  Nobody else includes this. */
#ifndef CFC_PUBLISH_PUBLISHER_INTERNAL_H
#define CFC_PUBLISH_PUBLISHER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "controlplane/publish/coded_set.h"
#include "controlplane/publish/engine_link.h"
#include "controlplane/publish/head_set.h"
#include "controlplane/publish/publisher.h"

enum {
    CFC_PUBLISHER_RECONNECT_MS = 100,
    CFC_PUBLISHER_TICK_MS = 500,
    CFC_PUBLISHER_FRESH_PAUSE = 9, /* times what the last FRESH took: it costs a tenth at most */
    CFC_PUBLISHER_CONSUMERS_MAX = 1 << 20, /* told apart for the fleet size */
    CFC_PUBLISHER_HELLOS_MAX = 1024,       /* of consumers that pull, not yet looked at */
};

/* A HELLO that came over HTTP. */
struct cfc_pulled_hello {
    struct cfc_pulled_hello *next;
    size_t size;
    uint8_t frame[];
};

struct cfc_publisher {
    struct cfc_publisher_config config;
    char *engine_socket;
    pthread_t thread;
    int stop_fd;
    atomic_bool is_stopping;

    /* Everything below belongs to the thread. */
    struct cfc_sha256 *sha;
    struct cfc_crew *crew;
    struct cfc_coded_set *contents;
    struct cfc_head_set *heads;
    struct cfc_engine_link link;
    bool is_synced;          /* this connection was handed everything */
    uint32_t frame_size_max; /* that contents and heads were made for */
    uint64_t start_seq;      /* committed before this process began: the fleet may have it */
    uint64_t next_fresh_ns;  /* monotonic */
    uint64_t next_connect_ns;
    uint64_t next_tick_ns;
    bool is_pull_fresh_due;  /* heads changed, and FRESH is in the answers that bring them */
    uint64_t fresh_free_ns;  /* monotonic: not before this for changes alone */
    uint64_t *consumer_keys; /* open addressing, 0 = free: who was seen */
    size_t consumer_capacity;

    pthread_mutex_t lock; /* guards what follows */
    struct cfc_publisher_status status;
    struct cfc_pulled_hello *hellos; /* newest first */
    uint32_t hello_count;
};

uint64_t cfc_publisher_mono_ns(void);
uint64_t cfc_publisher_unix_ns(void);

#define CFC_PUBLISHER_COUNT(p, counter, n)                                                         \
    do {                                                                                           \
        pthread_mutex_lock(&(p)->lock);                                                            \
        (p)->status.counter += (n);                                                                \
        pthread_mutex_unlock(&(p)->lock);                                                          \
    } while (0)

/* Publishes nothing any more, since a fleet has seen this head.  It is remembered in the store, so
 * that a restart does not forget it. */
void cfc_publisher_refuse(struct cfc_publisher *p, uint64_t epoch, uint64_t version);

/* ---- publisher_hand.c ---- */

/* Makes the sets for a port that carries UDP payloads of this size.  NO_MEMORY: there are none
 * then. */
int cfc_publisher_make_sets(struct cfc_publisher *p, uint32_t frame_size_max);
void cfc_publisher_free_sets(struct cfc_publisher *p);
bool cfc_publisher_is_made_for(const struct cfc_publisher *p, uint32_t frame_size_max);

/* Each returns CLOSED when the engine is gone: call cfc_publisher_disconnected(). */
int cfc_publisher_hand_everything(struct cfc_publisher *p);

/* FRESH: to those who pull, and with `is_for_engine` to the engine as well. */
int cfc_publisher_hand_fresh(struct cfc_publisher *p, bool is_for_engine);

/* Signs and hands over what waits in the model, a batch at a time. */
void cfc_publisher_take_decisions(struct cfc_publisher *p);

/* Closes the link and tries again soon. */
void cfc_publisher_disconnected(struct cfc_publisher *p, const char *why);

/* ---- publisher_inbox.c ---- */

/* Acts on the hellos of consumers that pull. */
void cfc_publisher_take_hellos(struct cfc_publisher *p);

/* Acts on the engine's messages that are there now, a bounded number of them. */
void cfc_publisher_take_messages(struct cfc_publisher *p);

#endif
