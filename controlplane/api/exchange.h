/* One request on its way through the server, and who makes it.  For the files that take it there:
 * server.c, intake.c, handling.c, answer.c, exchange.c.
 *
 * An exchange belongs to the thread of its connection; while the connection is suspended, to
 * whoever will resume it. */
#ifndef CFC_API_EXCHANGE_H
#define CFC_API_EXCHANGE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "controlplane/api/connection.h"
#include "controlplane/api/gate.h"
#include "controlplane/api/headers.h"
#include "controlplane/api/pull_hub.h"
#include "controlplane/api/reaper.h"
#include "controlplane/api/server.h"
#include "controlplane/api/watch.h"

struct cfc_server {
    struct cfc_api *api;
    struct cfc_server_config config;
    struct MHD_Daemon *tcp;
    struct MHD_Daemon *local;
    char *unix_path;
    uint16_t port;
    bool is_loopback; /* TCP is */
    struct cfc_reaper reaper;
    struct cfc_watch_hub watches;
    struct cfc_pull_hub pulls;
    struct cfc_gate big;        /* around handlers of big bodies */
    atomic_ullong body_total;   /* bytes of bodies held now */
    atomic_ullong answer_total; /* bytes of answers that are not sent yet */
    atomic_uint long_count;     /* requests in threads of their own */
    pthread_mutex_t lock;       /* guards what follows */
    pthread_cond_t resumed;
    unsigned suspended_count; /* exchanges that somebody will resume */
    bool is_closing;          /* no exchange is suspended any more */
};

/* One request on its way. */
struct cfc_exchange {
    struct cfc_server *server;
    struct cfc_connection *connection;
    struct cfc_watch *watch;    /* NULL = the answer does not wait for anything */
    struct cfc_pull_wait *pull; /* likewise, of a snapshot */
    char *raw_target;           /* as it came; NULL where nobody asks for it */
    struct cfc_pull_auth consumer;
    bool is_pull;                      /* its route is for consumers */
    const struct cfc_api_route *route; /* NULL once it is refused */
    struct cfc_reply reply;            /* the refusal, while the body is still read */
    int target_rc;
    bool is_started;
    bool is_answered;
    bool must_close; /* the connection, after the answer */
    char *body;
    size_t body_size;
    size_t body_capacity;
    size_t body_size_max;
    size_t drain_max;           /* bytes of body that are read although it is refused */
    size_t dropped_size;        /* bytes of body read and thrown away */
    size_t answer_size;         /* bytes of the answer on its way out */
    struct cfc_headers headers; /* values are the library's, and live as long as the request */
    uint64_t admitted_ns;       /* monotonic: when it was looked at who asks, and */
    uint64_t generation;        /* under which tokens and roles */
    struct cfc_gate_entry turn; /* at the gate */
    /* While the connection is suspended the exchange belongs to whoever will resume it. */
    struct MHD_Connection *mhd;
    struct cfc_waiter waiter;
    bool is_handled; /* the reply is final and may be told */
    char author[CFC_AUTHOR_SIZE_MAX + 1];
    /* What follows is large, and cfc_exchange_new() clears no more of it than has a meaning. */
    struct cfc_identity identity;
    struct cfc_request request;
};

/* An exchange for a target as it came; NULL without memory.  free() it. */
struct cfc_exchange *cfc_exchange_new(struct cfc_server *server, const char *target);

uint64_t cfc_exchange_now_ns(clockid_t clock);

/* Makes the reply an error; the exchange has no route any more. */
void cfc_exchange_refuse(struct cfc_exchange *x, unsigned status, const char *code,
                         const char *message);

/* Refuses what headers a route may not have. */
void cfc_exchange_check_headers(struct cfc_exchange *x);

/* Who asks, by what the connection and the headers prove, and whether they may use the route.
 * False: refused.  A look at the same request again does not count as another one. */
bool cfc_exchange_admit(struct cfc_exchange *x, struct MHD_Connection *mhd, const char *method,
                        bool is_again);

/* Who was let in may have lost the right, or what proves it run out, since the request began: while
 * its body arrived, while it waited for news, or as a stream.  A consumer's credential does not run
 * out, and proves one request.  False: refused.  x->mhd and x->route
 * are set. */
bool cfc_exchange_may_still(struct cfc_exchange *x);

#endif
