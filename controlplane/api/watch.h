/* Watching the status: answers that wait for a change, and streams of server-sent events
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 *
 * Every event "status" is a whole state (of one scope, or of all scopes that changed since the last
 * one), so that a client which reads slowly never ends up with a wrong one: it gets fewer events,
 * and an event "missed" says how many were left out.  A client that takes nothing at all is ended
 * by the reaper; one that has closed its end is noticed within a second.  Before each event it is
 * asked whether the client may still read; a change of tokens or roles makes all ask at once.  A
 * stream that cannot go on says why in an event "end" with a code; without one it ends when the
 * daemon stops, and after CFC_WATCH_LIFE_S, so that no client has to trust one connection for ever.
 *
 * Threads: one ("confcast-watch") looks ten times a second whether something changed, while anybody
 * watches; events are made by the HTTP thread of the connection.  Connections are suspended in
 * between and cost neither a thread nor a lock.  Bounds: CFC_WATCH_COUNT_MAX of them, of which TCP
 * gets CFC_WATCH_TCP_MAX and one address CFC_WATCH_PEER_MAX; 64 MiB of events. */
#ifndef CFC_API_WATCH_H
#define CFC_API_WATCH_H

#include <microhttpd.h>
#include <pthread.h>

#include "controlplane/api/api.h"
#include "controlplane/api/reaper.h"

enum {
    CFC_WATCH_COUNT_MAX = 64,
    CFC_WATCH_TCP_MAX = 48,  /* of those; the others are for the unix socket */
    CFC_WATCH_PEER_MAX = 24, /* of one address on TCP */
    CFC_WATCH_PERIOD_MS = 100,
    CFC_WATCH_BEAT_S = 10, /* an idle stream says something this often */
    CFC_WATCH_LIFE_S = 900,
};

struct cfc_watch;

struct cfc_watch_hub {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct cfc_api *api;
    struct cfc_watch *first;
    uint32_t count;
    bool is_stopping;
    atomic_size_t text_total; /* bytes of events that are not sent yet */
};

/* CONFCAST_ERR_RESOURCE: no thread. */
int cfc_watch_hub_start(struct cfc_watch_hub *hub, struct cfc_api *api);
/* Ends all streams and waits; afterwards nothing is suspended any more.  Before the HTTP daemon is
 * stopped. */
void cfc_watch_hub_stop(struct cfc_watch_hub *hub);

/* A request whose reply waits. */
struct cfc_watch_request {
    struct MHD_Connection *mhd;
    struct cfc_connection *connection; /* NULL = not known: counts as TCP without an address */
    struct cfc_wait wait;
    const char *scope;           /* "" = all */
    bool (*may_read)(void *arg); /* whether the client still may; in the connection's thread */
    void *arg;
};

/* NULL: too many watch already, no memory, or the hub is stopping. */
struct cfc_watch *cfc_watch_new(struct cfc_watch_hub *hub, const struct cfc_watch_request *request);
/* Once the request is done, however it ended.  NULL is fine. */
void cfc_watch_free(struct cfc_watch *watch);

/* Suspends the connection until there is something new; its request is then asked for again.
 * False: the hub is stopping. */
bool cfc_watch_park(struct cfc_watch *watch);

/* The stream; NULL without memory.  The caller destroys it as any response. */
struct MHD_Response *cfc_watch_response(struct cfc_watch *watch);

#endif
