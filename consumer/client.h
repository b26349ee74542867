/* The inside of a client.  Three parties: the loop thread (owns the receiver, the port and the
 * tables, under `loop_lock` while it works), the persister thread (disk), and the application's
 * threads (subscribe under `loop_lock`; readers touch none of this). */
#ifndef CFC_CONSUMER_CLIENT_H
#define CFC_CONSUMER_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "confcast/confcast.h"
#include "consumer/cache.h"
#include "consumer/persister.h"
#include "consumer/port_udp.h"
#include "consumer/scope.h"
#include "consumer/view.h"
#include "protocol/session/receiver.h"
#include "protocol/snapshot/coding.h"
#include "protocol/trust/credential.h"
#include "protocol/trust/fleet.h"

enum {
    CFC_CLIENT_CONTENTS_MAX = 1024
};

struct confcast {
    pid_t pid; /* of the process that opened it */
    struct cfc_fleet *fleet;
    struct cfc_credential *credential;
    struct cfc_port_udp *port;
    struct cfc_receiver *receiver;
    struct cfc_cache *cache;         /* NULL without a state directory */
    struct cfc_persister *persister; /* likewise */
    struct cfc_sha256 *sha;
    struct cfc_coder *coder;

    pthread_t thread;
    bool has_thread;
    int wake_fd;
    atomic_bool is_stopping;
    pthread_mutex_t loop_lock; /* recursive: callbacks run under it */

    struct confcast_scope *scopes[CFC_RECEIVER_SCOPES_MAX]; /* index = the receiver's */
    uint32_t scope_count;
    struct cfc_loaded *contents[CFC_CLIENT_CONTENTS_MAX]; /* held for heads in force */
    uint32_t content_count;

    confcast_event_fn *event;
    void *event_arg;
    void (*log)(void *arg, int level, const char *line);
    void *log_arg;
};

/* ---- client_events.c: what the receiver asks for (loop_lock held) ---- */

/* Handles every event that waits. */
void cfc_client_drain_events(struct confcast *client);

/* Copies the receiver's word on every scope into its status and wakes waiters. */
void cfc_client_refresh_status(struct confcast *client);

struct cfc_now cfc_client_now(void);
__attribute__((format(printf, 3, 4))) void cfc_client_say(struct confcast *client, int level,
                                                          const char *format, ...);
void cfc_client_tell(struct confcast *client, const char *event,
                     const struct cfc_receiver_event *about, uint64_t bytes);

/* The content, or NULL. */
struct cfc_loaded *cfc_client_find(struct confcast *client, const struct cfc_digest *id);

/* Loads from disk what this head names and memory lacks, and tells the receiver. */
void cfc_client_load_named(struct confcast *client, const uint8_t *head_frame, size_t size);

#endif
