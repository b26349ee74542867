/* The inside of a client.
 *
 * Threads: the loop thread owns the receiver, the port, the contents and the scopes, and makes
 * every callback.  Application threads hand it what they want done by cfc_client_call(); what they
 * read (views, status) they read without it.  The persister thread writes to the cache. */
#ifndef CFC_CONSUMER_CLIENT_H
#define CFC_CONSUMER_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "confcast/confcast.h"
#include "consumer/assembly.h"
#include "consumer/cache.h"
#include "consumer/contents.h"
#include "consumer/fleet_watch.h"
#include "consumer/persister.h"
#include "consumer/port_udp.h"
#include "consumer/scope.h"
#include "consumer/view.h"
#include "consumer/xdp/host.h"
#include "protocol/session/receiver.h"
#include "protocol/snapshot/coding.h"
#include "protocol/trust/credential.h"
#include "protocol/trust/fleet.h"

/* Something that an application thread wants done. */
struct cfc_call {
    int (*run)(struct confcast *client, void *arg);
    void *arg;
    int result;
    bool is_done;
    struct cfc_call *next;
};

/* What somebody waits on. */
struct cfc_client_waiting {
    pthread_mutex_t *lock;
    pthread_cond_t *changed;
    uint32_t *count;
    const bool *is_closed;
};

struct confcast {
    struct confcast *fork_next; /* fork_guard.c */
    atomic_bool is_forked;      /* this is a child's copy: dead */
    struct cfc_fleet *fleet;
    struct cfc_fleet_watch fleet_watch;
    struct cfc_credential *credential;
    struct cfc_port_udp *port; /* NULL: everything is pulled */
    struct cfc_xdp_host *xdp;  /* likewise */
    struct cfc_receiver *receiver;
    struct cfc_cache *cache;         /* NULL without a state directory */
    struct cfc_persister *persister; /* likewise */
    struct cfc_sha256 *sha;
    struct cfc_coder *coder;
    struct cfc_assembly *assembly;

    pthread_t thread;
    bool has_thread;
    int wake_fd;
    atomic_bool is_stopping;

    pthread_mutex_t call_lock; /* guards the calls */
    pthread_cond_t call_done;
    struct cfc_call *calls; /* first to run */
    struct cfc_call **calls_end;
    bool is_ended; /* the loop takes no more */

    struct confcast_scope *scopes[CFC_RECEIVER_SCOPES_MAX]; /* index = the receiver's */
    uint32_t scope_count;
    struct cfc_contents contents;
    uint64_t stream_ns; /* datagrams are counted since */
    uint32_t stream_count;
    bool is_stream; /* many came lately */
    bool is_draining;
    struct cfc_retired retired;
    uint64_t retired_size_max; /* beyond it new versions wait for readers */
    bool is_stall_told;
    uint64_t overflows_told;
    uint64_t overflows_told_ns;
    struct cfc_client_pull *pull; /* client_pull.h; NULL = never pulls */
    bool is_pulled;               /* the frame under way was */

    struct confcast_set *sets; /* set.h */
    uint32_t set_count;
    bool is_in_sets;   /* they follow their members now */
    bool is_set_again; /* ... and are to do so once more */

    struct cfc_agent_link *link; /* through an agent: then the four above and `receiver` are NULL */

    confcast_event_fn *event;
    void *event_arg;
    void (*on_status)(void *arg); /* some scope's status changed; on the loop thread */
    void *on_status_arg;
    void (*log)(void *arg, int level, const char *line);
    void *log_arg;
};

/* ---- client.c: the loop ---- */

/* Runs the loop until is_stopping; the thread's function. */
void *cfc_client_run(void *client);

/* Wakes the loop.  Any thread; takes a client. */
void cfc_client_wake(void *client);

/* Does what waits to be called; the loop thread's duty. */
void cfc_client_run_calls(struct confcast *client);

/* No call is taken from now on; those that wait are told CLOSED. */
void cfc_client_end_calls(struct confcast *client);

/* Has the loop thread call run(client, arg) between two events, and returns what it returned; runs
 * at once on that thread itself.  CLOSED: the client is being closed, or this is a forked child. */
int cfc_client_call(struct confcast *client, int (*run)(struct confcast *client, void *arg),
                    void *arg);

bool cfc_client_is_own_thread(const struct confcast *client);

struct cfc_now cfc_client_now(void);

uint64_t cfc_client_random(void);

/* Waits like confcast_wait() on a lock and condition of its kind until result(arg), under the lock,
 * is not AGAIN; INVALID, CLOSED, TIMEOUT. */
int cfc_client_wait(struct confcast *client, const struct cfc_client_waiting *waiting,
                    int (*result)(const void *arg), const void *arg, uint32_t timeout_ms);

/* A lock, and a condition on the monotonic clock. */
void cfc_client_init_lock(pthread_mutex_t *lock, pthread_cond_t *changed);

/* Gives as much of a struct as the caller, who has set its first member, knows of.  INVALID. */
int cfc_client_give_struct(void *out, const void *mine, size_t size, size_t size_first);

/* ---- client_open.c ---- */

/* All of a regular file, at most size_max bytes; the caller wipes and frees *bytes in any case.
 * NOT_FOUND, IO, LIMIT, NO_MEMORY; AUTHORITY: a secret that others can touch. */
int cfc_client_read_file(const char *path, size_t size_max, bool is_secret, uint8_t **bytes,
                         size_t *size);

/* Marks a forked child's copy as dead and closes its descriptors.  Async-signal-safe. */
void cfc_client_abandon(struct confcast *client);

/* Reads a struct whose first member is its size, of this version of the library or another: what
 * the caller does not know is zero in `out`.  INVALID: shorter than `size_first`, that of the first
 * version, or with something set that this version does not know. */
int cfc_client_take_struct(void *out, size_t size, const void *given, size_t size_first);

/* ---- client_events.c: what the receiver asks for, on the loop thread ---- */

/* Handles every event that waits.  Inside of an event it does nothing, since whoever handles that
 * one goes on. */
void cfc_client_drain_events(struct confcast *client);

/* Goes on with a content that is decoded while it comes; true: there is more of it to decode.  The
 * other one gives its memory back when it does not come any more and no event waits. */
bool cfc_client_assemble(struct confcast *client);
void cfc_client_end_assembly(struct confcast *client);

/* Serves what waited for retired memory, when there is room. */
void cfc_client_serve_deferred(struct confcast *client);

/* Floor, last head, contents and what was served, from disk. */
void cfc_client_restore(struct confcast *client, struct confcast_scope *scope);

/* Copies the receiver's word on every scope into its status and wakes waiters. */
void cfc_client_refresh_status(struct confcast *client);

/* Replaces a scope's status and wakes waiters, when it is another one.  Padding counts: begin with
 * memset(). */
void cfc_client_set_status(struct confcast_scope *scope, const struct confcast_status *status);

/* For a forked child: makes the scope's lock anew, with nobody waiting. */
void cfc_client_reset_locks(struct confcast_scope *scope);

/* Has `fn` called on the loop thread after some scope's status or content changed; NULL ends it,
 * and no call is under way then.  CLOSED. */
int cfc_client_on_status(struct confcast *client, void (*fn)(void *arg), void *arg);

/* Publishes `loaded` under this decision after asking the validator when the content is another
 * one, and tells the application.  APP_REJECT, NO_MEMORY, CRASH_LOOP (the version is set aside):
 * nothing changed. */
int cfc_client_swap(struct confcast_scope *scope, struct cfc_loaded *loaded,
                    const struct cfc_served *served);

/* Whether a reader that does not leave its section keeps too much: then new versions wait. */
bool cfc_client_is_stalled(struct confcast *client);

__attribute__((format(printf, 3, 4))) void cfc_client_say(struct confcast *client, int level,
                                                          const char *format, ...);
void cfc_client_tell(struct confcast *client, const char *event,
                     const struct cfc_receiver_event *about, uint64_t bytes);

#endif
