/* The HTTP/JSON interface without HTTP: one table of routes, and handlers that parse, call the
 * service and render.  server.h puts sockets before it.
 *
 * Handlers run in any thread; all state is the service's, but for counters. */
#ifndef CFC_API_API_H
#define CFC_API_API_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/api/pull.h"
#include "controlplane/api/reply.h"
#include "controlplane/api/target.h"
#include "controlplane/auth/access.h"
#include "controlplane/log/histogram.h"
#include "controlplane/model/service.h"
#include "controlplane/publish/publisher.h"

enum {
    CFC_API_SMALL_BODY_MAX = 64 * 1024, /* bodies that are no documents */
    CFC_API_LIMIT_MAX = 1000,           /* ?limit= of lists */
    CFC_API_LIMIT_DEFAULT = 100,
};

#define CFC_API_STATUSES(X)                                                                        \
    X(200)                                                                                         \
    X(400)                                                                                         \
    X(401) X(403) X(404) X(405) X(408) X(409) X(412) X(413) X(421) X(422) X(429) X(503) X(507)

enum cfc_api_status_idx {
#define CFC_ENUM_(status) CFC_API_STATUS_##status,
    CFC_API_STATUSES(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_API_STATUS_COUNT
};

enum {
    CFC_API_ROUTES_MAX = 64,
    CFC_API_CLASS_COUNT = 5, /* of statuses: 1xx to 5xx */
};

/* What came to a route's handler. */
struct cfc_api_route_counts {
    atomic_bool is_used;
    atomic_ullong classes[CFC_API_CLASS_COUNT];
    struct cfc_histogram handling;
};

struct cfc_api {
    struct cfc_service *service;
    struct cfc_access *access;       /* NULL: only public routes are served */
    struct cfc_publisher *publisher; /* NULL = this daemon does not publish */
    struct cfc_pull *pull;           /* NULL = consumers cannot pull here */
    void (*publisher_status)(struct cfc_publisher *publisher, struct cfc_publisher_status *out);
    size_t document_size_max;                    /* bytes of a document's body */
    atomic_bool is_ready;                        /* what /readyz answers */
    atomic_ullong replies[CFC_API_STATUS_COUNT]; /* requests answered, by status */
    atomic_ullong body_bytes;                    /* bytes of request bodies taken */
    atomic_ullong in_flight;                     /* requests begun and not yet answered */
    struct cfc_api_route_counts routes[CFC_API_ROUTES_MAX]; /* by place in cfc_api_routes() */
};

struct cfc_request {
    struct cfc_target target;             /* first, since it is large (cfc_exchange_new()) */
    const char *rest;                     /* the scope or id that closes the path; "" for none */
    const char *body;                     /* NULL when there is none */
    size_t body_size;                     /* bytes */
    const char *idempotency_key;          /* NULL for none */
    const char *author;                   /* never NULL */
    const char *claimed;                  /* whom the client named besides; NULL for nobody */
    const struct cfc_pull_auth *consumer; /* who pulls; NULL = no consumer */
    const struct cfc_identity *identity;  /* who asks; NULL = nobody was asked */
    unsigned *check_count;                /* calls of cfc_api_require(); NULL = not counted */
    uint64_t unix_ns;                     /* when the request was complete */
};

typedef void (*cfc_api_handler)(struct cfc_api *api, const struct cfc_request *request,
                                struct cfc_reply *reply);

enum cfc_api_tail {
    CFC_TAIL_NONE,
    CFC_TAIL_SCOPE,       /* a scope path, which closes the URL */
    CFC_TAIL_CONSUMER_ID, /* a consumer id */
    CFC_TAIL_TOKEN_ID,    /* the id of a token */
};

enum cfc_api_body {
    CFC_BODY_NONE,
    CFC_BODY_SMALL,
    CFC_BODY_FRAMES, /* of the wire format, with the limit of small ones */
    CFC_BODY_DOCUMENT,
};

struct cfc_api_route {
    const char *method;
    const char *path; /* ends in '/' when something follows */
    enum cfc_api_tail tail;
    enum cfc_api_body body;
    const char *params; /* names of the query parameters that it knows, separated by blanks */
    /* Who may: over the scope that closes the path, or over all scopes when none does.  It stands
     * before the handler so that a row without it does not compile; start-up checks it again. */
    enum cfc_right right;
    cfc_api_handler handle;
};

/* `service` must outlive the api.  Without the publisher's two members, which the caller sets
 * before the first request, the api says that nothing is published. */
void cfc_api_init(struct cfc_api *api, struct cfc_service *service, size_t document_size_max);

/* Finds the route for a method and a parsed target and sets request->rest.  NULL when there is
 * none, when the path's end is malformed or a parameter is unknown: *reply is then the error. */
const struct cfc_api_route *cfc_api_find(struct cfc_request *request, const char *method,
                                         struct cfc_reply *reply);

/* Whether a table may be served: every route has a rule that fits what it does (only /healthz and
 * /readyz need nothing, what is no GET needs more than reading), a handler, and a path of its own.
 * cfc_api_init() holds its own table to it.  CONFCAST_ERR_AUTHORITY, CONFCAST_ERR_EXISTS. */
int cfc_api_check_routes(const struct cfc_api_route *table, size_t count);

/* All routes, for tests that must miss none. */
const struct cfc_api_route *cfc_api_routes(size_t *count);

/* Whether who asks may use the route here; else *reply is a 403 (or 503, without an access).  Where
 * the scopes are in the body, who may change no scope at all is turned away before it is read. */
bool cfc_api_authorize(struct cfc_api *api, const struct cfc_request *request,
                       const struct cfc_api_route *route, struct cfc_reply *reply);

/* The same for handlers, for another scope or right than their route's: the scopes of a batch, the
 * layers of a scope.  `scope` NULL = all.  Every handler whose rule is CFC_RIGHT_IN_BODY asks for
 * each scope before it does anything. */
bool cfc_api_require(struct cfc_api *api, const struct cfc_request *request, enum cfc_right right,
                     const char *scope, struct cfc_reply *reply);

/* Runs the handler of a request that was authorized. */
void cfc_api_handle(struct cfc_api *api, struct cfc_request *request,
                    const struct cfc_api_route *route, struct cfc_reply *reply);

/* Whether a request may keep its thread for long, so that those whose turn it is on the same thread
 * should not wait for it: a big body, or what may have to make big configs. */
bool cfc_api_takes_long(const struct cfc_request *request, const struct cfc_api_route *route);

/* Bytes of body that a route takes. */
size_t cfc_api_body_size_max(const struct cfc_api *api, const struct cfc_api_route *route);

/* Counts a reply that is about to be sent. */
void cfc_api_count_reply(struct cfc_api *api, unsigned status);

#endif
