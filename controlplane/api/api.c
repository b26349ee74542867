#include "controlplane/api/api.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "protocol/base/scope.h"
#include "protocol/base/time.h"

enum {
    LONG_BODY_SIZE = 256 * 1024
};

static const struct cfc_api_route routes[] = {
    {"PUT", "/v1/config/", CFC_TAIL_SCOPE, CFC_BODY_DOCUMENT, "expected_revision message dry_run",
     CFC_RIGHT_WRITE, cfc_api_put_config},
    {"GET", "/v1/config/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "revision", CFC_RIGHT_READ,
     cfc_api_get_config},
    {"DELETE", "/v1/config/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "expected_revision message dry_run",
     CFC_RIGHT_WRITE, cfc_api_delete_config},
    {"POST", "/v1/batch", CFC_TAIL_NONE, CFC_BODY_DOCUMENT, "message dry_run override",
     CFC_RIGHT_IN_BODY, cfc_api_post_batch},
    {"GET", "/v1/history/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "before limit", CFC_RIGHT_READ,
     cfc_api_get_history},
    {"GET", "/v1/release/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "", CFC_RIGHT_READ, cfc_api_get_release},
    {"POST", "/v1/release/", CFC_TAIL_SCOPE, CFC_BODY_SMALL, "message dry_run override",
     CFC_RIGHT_RELEASE, cfc_api_post_release},
    {"POST", "/v1/approve/", CFC_TAIL_SCOPE, CFC_BODY_SMALL, "message dry_run", CFC_RIGHT_APPROVE,
     cfc_api_approve},
    {"GET", "/v1/schema/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "revision", CFC_RIGHT_READ,
     cfc_api_get_schema},
    {"PUT", "/v1/schema/", CFC_TAIL_SCOPE, CFC_BODY_SMALL, "expected_revision message dry_run",
     CFC_RIGHT_WRITE, cfc_api_put_schema},
    {"GET", "/v1/settings/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "revision", CFC_RIGHT_READ,
     cfc_api_get_settings},
    {"PUT", "/v1/settings/", CFC_TAIL_SCOPE, CFC_BODY_SMALL, "expected_revision message dry_run",
     CFC_RIGHT_OPERATE, cfc_api_put_settings},
    {"GET", "/v1/effective/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "explain variant", CFC_RIGHT_READ,
     cfc_api_get_effective},
    {"GET", "/v1/scopes/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "after limit", CFC_RIGHT_READ,
     cfc_api_get_scopes},
    {"GET", "/v1/layers/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "", CFC_RIGHT_READ, cfc_api_get_layers},
    {"PUT", "/v1/layers/", CFC_TAIL_SCOPE, CFC_BODY_SMALL,
     "expected_version message dry_run override", CFC_RIGHT_RELEASE, cfc_api_put_layers},
    {"GET", "/v1/status", CFC_TAIL_NONE, CFC_BODY_NONE, "after wait_s watch", CFC_RIGHT_READ,
     cfc_api_get_status},
    {"GET", "/v1/status/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "after stragglers wait_s watch",
     CFC_RIGHT_READ, cfc_api_get_scope_status},
    {"GET", "/v1/consumers", CFC_TAIL_NONE, CFC_BODY_NONE, "after behind label limit scope state",
     CFC_RIGHT_READ, cfc_api_get_consumers},
    {"GET", "/v1/consumers/", CFC_TAIL_CONSUMER_ID, CFC_BODY_NONE, "", CFC_RIGHT_READ,
     cfc_api_get_consumer},
    {"GET", "/v1/audit", CFC_TAIL_NONE, CFC_BODY_NONE, "after before format limit", CFC_RIGHT_READ,
     cfc_api_get_audit},
    {"GET", "/v1/snapshot/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "after have wait_s", CFC_RIGHT_CONSUME,
     cfc_api_get_snapshot},
    {"POST", "/v1/hello", CFC_TAIL_NONE, CFC_BODY_FRAMES, "", CFC_RIGHT_CONSUME,
     cfc_api_post_hello},
    {"POST", "/v1/ack", CFC_TAIL_NONE, CFC_BODY_FRAMES, "", CFC_RIGHT_CONSUME, cfc_api_post_ack},
    {"GET", "/healthz", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_PUBLIC, cfc_api_get_health},
    {"GET", "/readyz", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_PUBLIC, cfc_api_get_ready},
    {"GET", "/metrics", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_READ, cfc_api_get_metrics},
    {"POST", "/v1/backup", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_OPERATE,
     cfc_api_post_backup},
    {"POST", "/v1/tokens", CFC_TAIL_NONE, CFC_BODY_SMALL, "message dry_run", CFC_RIGHT_OPERATE,
     cfc_api_post_token},
    {"GET", "/v1/tokens", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_OPERATE, cfc_api_get_tokens},
    {"DELETE", "/v1/tokens/", CFC_TAIL_TOKEN_ID, CFC_BODY_NONE, "message dry_run",
     CFC_RIGHT_OPERATE, cfc_api_delete_token},
    {"GET", "/v1/roles", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_OPERATE, cfc_api_get_roles},
    {"PUT", "/v1/roles", CFC_TAIL_NONE, CFC_BODY_SMALL, "expected_version message dry_run",
     CFC_RIGHT_OPERATE, cfc_api_put_roles},
};

/* Whether a route's rule fits what it does. */
static bool
is_guarded(const struct cfc_api_route *route)
{
    bool is_get = strcmp(route->method, "GET") == 0;

    switch (route->right) {
    case CFC_RIGHT_PUBLIC:
        return is_get &&
               (strcmp(route->path, "/healthz") == 0 || strcmp(route->path, "/readyz") == 0);
    case CFC_RIGHT_READ:
        return is_get;
    case CFC_RIGHT_CONSUME:
        return cfc_pull_is_target(route->path);
    case CFC_RIGHT_IN_BODY:
        return !is_get && route->tail == CFC_TAIL_NONE && route->body != CFC_BODY_NONE;
    case CFC_RIGHT_WRITE:
    case CFC_RIGHT_APPROVE:
    case CFC_RIGHT_RELEASE:
    case CFC_RIGHT_OPERATE:
        return true;
    case CFC_RIGHT_UNSET:
    case CFC_RIGHT_COUNT:
        break;
    }
    return false;
}

int
cfc_api_check_routes(const struct cfc_api_route *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(table[i].path);

        if (!is_guarded(&table[i]) || table[i].handle == NULL || size == 0 ||
            (table[i].path[size - 1] == '/') != (table[i].tail != CFC_TAIL_NONE)) {
            return CONFCAST_ERR_AUTHORITY;
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(table[i].method, table[k].method) == 0 &&
                strcmp(table[i].path, table[k].path) == 0) {
                return CONFCAST_ERR_EXISTS;
            }
        }
    }
    return CONFCAST_OK;
}

static const unsigned statuses[] = {
#define STATUS_(status) status,
    CFC_API_STATUSES(STATUS_)
#undef STATUS_
};

void
cfc_api_init(struct cfc_api *api, struct cfc_service *service, size_t document_size_max)
{
    assert(cfc_api_check_routes(routes, sizeof(routes) / sizeof(routes[0])) == CONFCAST_OK);
    memset(api, 0, sizeof(*api));
    api->service = service;
    api->document_size_max = document_size_max;
}

static bool
path_matches(const struct cfc_api_route *route, const char *path)
{
    return route->tail == CFC_TAIL_NONE ? strcmp(route->path, path) == 0
                                        : strncmp(route->path, path, strlen(route->path)) == 0;
}

static const struct cfc_api_route *
lookup(const char *path, const char *method, bool *has_path)
{
    *has_path = false;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!path_matches(&routes[i], path)) {
            continue;
        }
        *has_path = true;
        if (strcmp(routes[i].method, method) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

static bool
tail_is_valid(enum cfc_api_tail tail, const char *rest)
{
    switch (tail) {
    case CFC_TAIL_SCOPE:
        return cfc_scope_check(rest, strlen(rest)) == CONFCAST_OK;
    case CFC_TAIL_CONSUMER_ID:
        return cfc_consumer_id_check(rest, strlen(rest)) == CONFCAST_OK;
    case CFC_TAIL_TOKEN_ID: {
        uint64_t id;

        return cfc_token_id_parse(rest, &id);
    }
    case CFC_TAIL_NONE:
        break;
    }
    return true;
}

static bool
knows_param(const struct cfc_api_route *route, const char *name)
{
    size_t size = strlen(name);

    for (const char *p = route->params; *p != '\0'; p += strspn(p, " ")) {
        size_t word_size = strcspn(p, " ");

        if (word_size == size && memcmp(p, name, size) == 0) {
            return true;
        }
        p += word_size;
    }
    return false;
}

const struct cfc_api_route *
cfc_api_find(struct cfc_request *request, const char *method, struct cfc_reply *reply)
{
    const struct cfc_target *target = &request->target;
    bool has_path = false;
    const struct cfc_api_route *route =
        lookup(target->path, strcmp(method, "HEAD") == 0 ? "GET" : method, &has_path);

    if (route == NULL) {
        if (has_path) {
            cfc_reply_error(reply, 405, "method", "this path does not take this method");
        } else {
            cfc_reply_error(reply, 404, "not_found", "there is no such path");
        }
        return NULL;
    }
    request->rest = route->tail == CFC_TAIL_NONE ? "" : target->path + strlen(route->path);
    if (!tail_is_valid(route->tail, request->rest)) {
        cfc_reply_failure(
            reply, route->tail == CFC_TAIL_SCOPE ? CONFCAST_ERR_SCOPE_NAME : CONFCAST_ERR_INVALID,
            route->tail == CFC_TAIL_SCOPE ? NULL : "the id that ends the path is malformed", NULL);
        return NULL;
    }
    for (uint32_t i = 0; i < target->param_count; i++) {
        if (!knows_param(route, target->params[i].name)) {
            cfc_reply_error(reply, 400, "invalid", "a query parameter is not known here");
            return NULL;
        }
    }
    return route;
}

bool
cfc_api_takes_long(const struct cfc_request *request, const struct cfc_api_route *route)
{
    return request->body_size >= LONG_BODY_SIZE || route->handle == cfc_api_post_release ||
           route->handle == cfc_api_put_layers || route->handle == cfc_api_get_effective;
}

size_t
cfc_api_body_size_max(const struct cfc_api *api, const struct cfc_api_route *route)
{
    switch (route->body) {
    case CFC_BODY_DOCUMENT:
        return api->document_size_max;
    case CFC_BODY_SMALL:
    case CFC_BODY_FRAMES:
        return CFC_API_SMALL_BODY_MAX;
    case CFC_BODY_NONE:
        break;
    }
    return 0;
}

void
cfc_api_count_reply(struct cfc_api *api, unsigned status)
{
    for (size_t i = 0; i < CFC_API_STATUS_COUNT; i++) {
        if (statuses[i] == status) {
            atomic_fetch_add_explicit(&api->replies[i], 1, memory_order_relaxed);
            return;
        }
    }
}

const struct cfc_api_route *
cfc_api_routes(size_t *count)
{
    *count = sizeof(routes) / sizeof(routes[0]);
    return routes;
}

static bool
forbid(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    cfc_access_deny(api->access, CFC_DENIAL_FORBIDDEN, request->identity->name,
                    request->target.path);
    cfc_reply_error(reply, 403, "forbidden", "no role of yours allows this here");
    return false;
}

bool
cfc_api_authorize(struct cfc_api *api, const struct cfc_request *request,
                  const struct cfc_api_route *route, struct cfc_reply *reply)
{
    const char *scope = route->tail == CFC_TAIL_SCOPE ? request->rest : NULL;

    if (route->right == CFC_RIGHT_PUBLIC) {
        return true;
    }
    if (api->access == NULL || request->identity == NULL) {
        cfc_reply_error(reply, 503, "not_ready", "nobody is known here yet");
        return false;
    }
    if (route->right == CFC_RIGHT_IN_BODY) {
        return cfc_identity_allows_somewhere(request->identity, CFC_RIGHT_WRITE) ||
               cfc_identity_allows_somewhere(request->identity, CFC_RIGHT_RELEASE) ||
               forbid(api, request, reply);
    }
    return cfc_identity_allows(request->identity, route->right, scope) ||
           forbid(api, request, reply);
}

bool
cfc_api_require(struct cfc_api *api, const struct cfc_request *request, enum cfc_right right,
                const char *scope, struct cfc_reply *reply)
{
    if (request->check_count != NULL) {
        ++*request->check_count;
    }
    if (request->identity == NULL) {
        cfc_reply_error(reply, 503, "not_ready", "nobody is known here yet");
        return false;
    }
    return cfc_identity_allows(request->identity, right, scope) || forbid(api, request, reply);
}

static uint64_t
mono_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

/* A reply that is made later on has no status yet: only its beginning is counted. */
static void
count_handled(struct cfc_api *api, const struct cfc_api_route *route, unsigned status,
              uint64_t took_ns)
{
    struct cfc_api_route_counts *counts;

    if (route < routes || route >= routes + sizeof(routes) / sizeof(routes[0])) {
        return; /* a test's own */
    }
    counts = &api->routes[route - routes];
    atomic_store_explicit(&counts->is_used, true, memory_order_relaxed);
    if (status >= 100 && status < 600) {
        atomic_fetch_add_explicit(&counts->classes[status / 100 - 1], 1, memory_order_relaxed);
    }
    cfc_histogram_add(&counts->handling, took_ns);
}

_Static_assert(sizeof(routes) / sizeof(routes[0]) <= CFC_API_ROUTES_MAX, "each route is counted");

void
cfc_api_handle(struct cfc_api *api, struct cfc_request *request, const struct cfc_api_route *route,
               struct cfc_reply *reply)
{
    unsigned check_count = 0;
    uint64_t begin_ns = mono_ns();

    request->check_count = &check_count;
    route->handle(api, request, reply);
    request->check_count = NULL;
    count_handled(api, route, reply->status, mono_ns() - begin_ns);
    assert(route->right != CFC_RIGHT_IN_BODY || check_count > 0 || reply->status != 200);
}
