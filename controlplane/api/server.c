#include "controlplane/api/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/api/connection.h"
#include "controlplane/api/daemon.h"
#include "controlplane/api/exchange.h"
#include "controlplane/api/headers.h"
#include "controlplane/api/listen.h"
#include "controlplane/api/pull_hub.h"
#include "controlplane/api/reaper.h"
#include "controlplane/api/response.h"
#include "controlplane/api/watch.h"
#include "controlplane/log/log.h"
#include "protocol/base/time.h"

#define BODY_TOTAL_MAX_DEFAULT   ((size_t)256 << 20)
#define ANSWER_TOTAL_MAX_DEFAULT ((size_t)512 << 20)

enum {
    REQUEST_TIMEOUT_MS_DEFAULT = 30000,
    CONNECTION_MAX_DEFAULT = 256,
    THREAD_COUNT_DEFAULT = 4,
    BODY_FIRST_SIZE = 16 * 1024,
    /* A body above its limit is read and dropped up to this many times the limit, so that clients
     * that write before they read get their 413 and not a reset. */
    DRAIN_FACTOR = 4,
    /* And of who may not be here at all, only so much. */
    DRAIN_STRANGER_MAX = 1 << 20,
    BIG_BODY_SIZE = 1 << 20, /* bytes; from here on bodies pass through the gate */
};

static const char too_many_body[] =
    "{\"error\":{\"code\":\"rate\",\"message\":\"too many connections of one address\"}}";

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

static struct cfc_connection *
connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

static void
on_connection(void *cls, struct MHD_Connection *mhd, void **context,
              enum MHD_ConnectionNotificationCode code)
{
    struct cfc_server *server = cls;
    const union MHD_ConnectionInfo *address;
    const union MHD_ConnectionInfo *fd;
    struct cfc_connection *c;
    char text[CFC_PEER_TEXT_SIZE];

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        c = *context;
        *context = NULL;
        if (c != NULL) {
            cfc_reaper_remove(c);
            free(c);
        }
        return;
    }
    fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    address = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    c = fd != NULL
            ? cfc_connection_new(fd->connect_fd, address != NULL ? address->client_addr : NULL,
                                 server->config.tls != NULL)
            : NULL;
    if (c == NULL) {
        return;
    }
    *context = c;
    if (cfc_reaper_add(&server->reaper, c) > server->config.peer_connection_max) {
        cfc_reaper_turn_away(c, 429, "Too Many Requests", too_many_body);
        cfc_api_count_reply(server->api, 429);
        if (server->api->access != NULL) {
            cfc_access_deny(server->api->access, CFC_DENIAL_CONNECTIONS, NULL,
                            cfc_connection_peer(c, text));
        }
    }
}

/* Called with the raw target once the request line is known; what it returns is the exchange. */
static void *
on_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct cfc_server *server = cls;
    struct cfc_exchange *x = cfc_exchange_new(server, uri);

    if (x == NULL) {
        return NULL;
    }
    x->connection = connection_of(mhd);
    if (x->connection != NULL) {
        cfc_reaper_enter(x->connection, CFC_CONNECTION_RECEIVING);
    }
    atomic_fetch_add_explicit(&server->api->in_flight, 1, memory_order_relaxed);
    x->raw_target = cfc_pull_is_target(uri) ? strdup(uri) : NULL;
    return x;
}

static void
drop_body(struct cfc_exchange *x)
{
    free(x->body);
    atomic_fetch_sub(&x->server->body_total, x->body_capacity);
    if (x->body_capacity > 0 && x->connection != NULL) {
        cfc_reaper_drop(x->connection);
    }
    x->body = NULL;
    x->body_size = 0;
    x->body_capacity = 0;
}

static void
on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
             enum MHD_RequestTerminationCode code)
{
    struct cfc_exchange *x = *con_cls;

    (void)cls;
    (void)mhd;
    (void)code;
    *con_cls = NULL;
    if (x == NULL) {
        return;
    }
    if (x->connection != NULL) {
        cfc_reaper_enter(x->connection, CFC_CONNECTION_IDLE);
    }
    atomic_fetch_sub_explicit(&x->server->api->in_flight, 1, memory_order_relaxed);
    cfc_gate_leave(&x->server->big, &x->turn);
    drop_body(x);
    atomic_fetch_sub(&x->server->answer_total, x->answer_size);
    cfc_watch_free(x->watch);
    cfc_pull_wait_free(x->pull);
    free(x->raw_target);
    cfc_reply_clear(&x->reply);
    free(x);
}

/* Answers wait in memory for clients that read slowly: beyond the bound they are replaced. */
static void
admit_answer(struct cfc_exchange *x)
{
    struct cfc_server *server = x->server;
    size_t size = x->reply.body_size;

    if (atomic_fetch_add(&server->answer_total, size) + size > server->config.answer_total_max) {
        atomic_fetch_sub(&server->answer_total, size);
        cfc_reply_error(&x->reply, 503, "busy",
                        "too many answers are on their way; try again later");
        x->reply.retry_s = 1;
        return;
    }
    x->answer_size = size;
}

static enum MHD_Result
answer(struct cfc_exchange *x, struct MHD_Connection *mhd)
{
    struct MHD_Response *response;
    enum MHD_Result result;

    admit_answer(x);
    if (x->connection != NULL) {
        cfc_reaper_enter_sending(x->connection, x->answer_size + x->reply.stream.size);
    }
    response = cfc_response_of(&x->reply);
    if (response == NULL) {
        return MHD_NO;
    }
    x->is_answered = true;
    if (x->reply.retry_s > 0) {
        char seconds[16];

        snprintf(seconds, sizeof(seconds), "%u", x->reply.retry_s);
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, x->reply.type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (x->must_close) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    if (x->reply.status == 401) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"confcast\"");
    }
    if (x->is_pull && x->server->api->pull != NULL) {
        char nonce[CFC_PULL_NONCE_TEXT_SIZE + 1];

        cfc_consumer_auth_nonce(&x->server->api->pull->auth, clock_ns(CLOCK_MONOTONIC), nonce);
        MHD_add_response_header(response, "Confcast-Nonce", nonce);
    }
    if (x->reply.is_replay) {
        MHD_add_response_header(response, "Idempotency-Replayed", "true");
    }
    cfc_api_count_reply(x->server->api, x->reply.status);
    result = MHD_queue_response(mhd, x->reply.status, response);
    MHD_destroy_response(response);
    return result;
}

static bool
may_watch(void *arg)
{
    struct cfc_exchange *x = arg;
    const struct cfc_api_route *route = x->route;
    bool may = cfc_exchange_may_still(x);

    x->route = route;
    return may;
}

static enum MHD_Result
take_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
            const char *value, size_t value_size)
{
    (void)kind;
    cfc_headers_add(cls, name, name_size, value, value_size);
    return MHD_YES;
}

/* Headers are here, the body is not.  A refusal is kept until the body has been read, unless the
 * client waits for word or announces more than would be read: then it is answered now. */
static enum MHD_Result
start(struct cfc_exchange *x, struct MHD_Connection *mhd, const char *method, const char *version)
{
    const char *length;
    uint64_t size = 0;

    x->is_started = true;
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, take_header, &x->headers);
    if (!cfc_headers_check_framing(&x->headers, version, &x->reply)) {
        x->must_close = true;
        return answer(x, mhd);
    }
    length = x->headers.content_length;
    if (x->target_rc != CONFCAST_OK) {
        cfc_exchange_refuse(x, 400, "invalid", "the request target is malformed or too long");
    } else {
        x->route = cfc_api_find(&x->request, method, &x->reply);
    }
    if (x->route != NULL) {
        x->body_size_max = cfc_api_body_size_max(x->server->api, x->route);
        cfc_exchange_check_headers(x);
    }
    if (x->route != NULL) {
        x->is_pull = x->route->right == CFC_RIGHT_CONSUME;
        cfc_exchange_admit(x, mhd, method, false);
    }
    if (length != NULL && cfc_target_uint(length, UINT64_MAX, &size) != CONFCAST_OK) {
        size = UINT64_MAX;
    }
    if (x->route != NULL && size > x->body_size_max) {
        cfc_exchange_refuse(x, 413, "limit", "the body is above its limit");
    }
    x->drain_max = DRAIN_FACTOR * x->server->api->document_size_max;
    if ((x->reply.status == 401 || x->reply.status == 429) && x->drain_max > DRAIN_STRANGER_MAX) {
        x->drain_max = DRAIN_STRANGER_MAX;
    }
    if (x->route == NULL && (x->headers.expect != NULL || size > x->drain_max)) {
        return answer(x, mhd);
    }
    return MHD_YES;
}

/* Makes room for `size` more bytes.  Doubling means that a client which announces much and sends
 * little costs little. */
static bool
reserve(struct cfc_exchange *x, size_t size)
{
    size_t wanted = x->body_size + size;
    size_t capacity = x->body_capacity > 0 ? x->body_capacity : BODY_FIRST_SIZE;
    size_t total_max = x->server->config.body_total_max;
    size_t peer_max = total_max / 2 > x->body_size_max ? total_max / 2 : x->body_size_max;
    size_t added;
    char *body;

    if (wanted <= x->body_capacity) {
        return true;
    }
    while (capacity < wanted) {
        capacity *= 2;
    }
    capacity = capacity < x->body_size_max ? capacity : x->body_size_max;
    added = capacity - x->body_capacity;
    if (atomic_fetch_add(&x->server->body_total, added) + added > total_max ||
        (x->connection != NULL && !cfc_reaper_hold(x->connection, added, peer_max))) {
        atomic_fetch_sub(&x->server->body_total, added);
        return false;
    }
    body = realloc(x->body, capacity);
    if (body == NULL) {
        atomic_fetch_sub(&x->server->body_total, added);
        return false;
    }
    x->body = body;
    x->body_capacity = capacity;
    return true;
}

static enum MHD_Result
take_body(struct cfc_exchange *x, const char *bytes, size_t size)
{
    atomic_fetch_add_explicit(&x->server->api->body_bytes, size, memory_order_relaxed);
    if (x->route != NULL && size > x->body_size_max - x->body_size) {
        cfc_exchange_refuse(x, 413, "limit", "the body is above its limit");
    } else if (x->route != NULL && !reserve(x, size)) {
        cfc_exchange_refuse(x, 503, "busy", "too many bodies are on their way; try again later");
        x->reply.retry_s = 1;
    }
    if (x->route != NULL) {
        memcpy(x->body + x->body_size, bytes, size);
        x->body_size += size;
        return MHD_YES;
    }
    drop_body(x);
    x->dropped_size += size;
    if (x->dropped_size <= x->drain_max) {
        return MHD_YES;
    }
    if (x->connection != NULL && x->reply.body != NULL) {
        cfc_connection_refuse(x->connection, x->reply.status, "Refused", x->reply.body);
        cfc_api_count_reply(x->server->api, x->reply.status);
    }
    return MHD_NO;
}

/* ---- Replies that have to wait ----------------------------------------------------------------
 * What a handler found may rest on commits that are not durable yet.  Its connection is then
 * suspended, so that the thread can take the next request, whose commit shares the sync.
 */

static bool
suspend(struct cfc_exchange *x)
{
    struct cfc_server *server = x->server;
    bool is_closing;

    pthread_mutex_lock(&server->lock);
    is_closing = server->is_closing;
    if (!is_closing) {
        server->suspended_count++;
        MHD_suspend_connection(x->mhd);
    }
    pthread_mutex_unlock(&server->lock);
    return !is_closing;
}

/* From here on the exchange is the connection's thread's again. */
static void
resume(struct cfc_exchange *x, bool is_handled)
{
    struct cfc_server *server = x->server;

    x->is_handled = is_handled;
    pthread_mutex_lock(&server->lock);
    MHD_resume_connection(x->mhd);
    server->suspended_count--;
    pthread_cond_signal(&server->resumed);
    pthread_mutex_unlock(&server->lock);
}

/* A reply that nobody may see is replaced. */
static void
judge(struct cfc_exchange *x, int error)
{
    if (error != CONFCAST_OK) {
        cfc_reply_failure(&x->reply, error,
                          "the disk failed: whether this took place is not known; read again",
                          NULL);
    }
}

static void
on_durable(struct cfc_waiter *waiter, int error)
{
    struct cfc_exchange *x =
        (struct cfc_exchange *)((char *)waiter - offsetof(struct cfc_exchange, waiter));

    judge(x, error);
    resume(x, true);
}

/* Its turn has come at the gate. */
static void
on_turn(struct cfc_gate_entry *turn)
{
    struct cfc_exchange *x =
        (struct cfc_exchange *)((char *)turn - offsetof(struct cfc_exchange, turn));

    resume(x, false);
}

/* False: the connection is suspended until the exchange may be handled. */
static bool
pass_gate(struct cfc_exchange *x)
{
    struct cfc_gate *gate = &x->server->big;

    x->turn.size = x->body_size;
    x->turn.go = on_turn;
    if (x->body_size < BIG_BODY_SIZE || cfc_gate_try(gate, &x->turn)) {
        return true;
    }
    /* Without suspending there is no waiting: the daemon stops, and this is among the last. */
    if (!suspend(x)) {
        return true;
    }
    cfc_gate_wait(gate, &x->turn);
    return false;
}

/* A handler, or the rest of its work, that takes long. */
static void *
run_later(void *arg)
{
    struct cfc_exchange *x = arg;
    struct cfc_server *server = x->server;

    if (x->reply.later == NULL) {
        cfc_api_handle(server->api, &x->request, x->route, &x->reply);
    }
    if (x->reply.later != NULL) {
        x->reply.later(server->api, &x->request, &x->reply);
    }
    cfc_gate_leave(&server->big, &x->turn);
    drop_body(x);
    atomic_fetch_sub(&server->long_count, 1);
    cfc_service_mark_end(server->api->service, &x->waiter.mark);
    judge(x, cfc_service_wait_durable(server->api->service, &x->waiter.mark));
    resume(x, true);
    return NULL;
}

static bool
start_later(struct cfc_exchange *x)
{
    pthread_attr_t attr;
    pthread_t thread;
    bool is_started;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    is_started = suspend(x);
    if (is_started) {
        atomic_fetch_add(&x->server->long_count, 1);
    }
    if (is_started && pthread_create(&thread, &attr, run_later, x) != 0) {
        atomic_fetch_sub(&x->server->long_count, 1);
        cfc_reply_failure(&x->reply, CONFCAST_ERR_RESOURCE, NULL, NULL);
        resume(x, true);
    }
    pthread_attr_destroy(&attr);
    return is_started;
}

/* True when the connection is suspended: on_request() is called again once it is resumed. */
static bool
handle(struct cfc_exchange *x)
{
    struct cfc_service *service = x->server->api->service;

    if (!pass_gate(x)) {
        return true;
    }
    cfc_service_mark_begin(service, &x->waiter.mark);
    if (cfc_api_takes_long(&x->request, x->route) && start_later(x)) {
        return true;
    }
    cfc_api_handle(x->server->api, &x->request, x->route, &x->reply);
    cfc_gate_leave(&x->server->big, &x->turn);
    if (x->reply.later != NULL) {
        if (start_later(x)) {
            return true;
        }
        cfc_reply_error(&x->reply, 503, "not_ready", "the daemon is stopping");
    }
    cfc_service_mark_end(service, &x->waiter.mark);
    if (cfc_service_is_durable(service, &x->waiter.mark)) {
        return false;
    }
    if (!suspend(x)) {
        judge(x, cfc_service_wait_durable(service, &x->waiter.mark));
        return false;
    }
    x->waiter.fn = on_durable;
    cfc_service_when_durable(service, &x->waiter);
    return true;
}

static enum MHD_Result
answer_stream(struct cfc_exchange *x, struct MHD_Connection *mhd)
{
    struct MHD_Response *response = cfc_watch_response(x->watch);
    enum MHD_Result result;

    if (response == NULL) {
        return MHD_NO;
    }
    x->is_answered = true;
    cfc_api_count_reply(x->server->api, 200);
    result = MHD_queue_response(mhd, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* An answer that goes on, or that says nothing new yet.  True: it has been seen to. */
static bool
wait_for_change(struct cfc_exchange *x, struct MHD_Connection *mhd, enum MHD_Result *result)
{
    struct cfc_wait wait = x->reply.wait;

    x->reply.wait = (struct cfc_wait){.is_stream = false};
    if (x->reply.status != 200 || (!wait.is_stream && !wait.is_poll) || x->watch != NULL) {
        return false;
    }
    x->watch =
        cfc_watch_new(&x->server->watches, &(struct cfc_watch_request){.mhd = mhd,
                                                                       .connection = x->connection,
                                                                       .wait = wait,
                                                                       .scope = x->request.rest,
                                                                       .may_read = may_watch,
                                                                       .arg = x});
    if (x->watch == NULL) {
        cfc_reply_error(&x->reply, 503, "busy", "too many watch already; try again later");
        x->reply.retry_s = 1;
        return false;
    }
    if (wait.is_stream) {
        *result = answer_stream(x, mhd);
        return true;
    }
    x->is_handled = false; /* It is asked again once there is something new. */
    *result = MHD_YES;
    return cfc_watch_park(x->watch);
}

static enum MHD_Result
conclude(struct cfc_exchange *x, struct MHD_Connection *mhd)
{
    enum MHD_Result result;

    drop_body(x);
    if (x->pull != NULL) {
        cfc_pull_wait_reply(x->pull, &x->reply);
    } else if (x->reply.status == 200 && x->reply.wish != NULL) {
        x->pull = cfc_pull_wait_new(&x->server->pulls, mhd, x->reply.wish);
        if (x->pull != NULL) {
            x->is_handled = true;
            return MHD_YES;
        }
        cfc_reply_error(&x->reply, 503, "busy", "too many wait already; try again later");
        x->reply.retry_s = 1;
    }
    if (wait_for_change(x, mhd, &result)) {
        return result;
    }
    if (x->reply.status >= 500) {
        cfc_log(CFC_LOG_WARN, "api", "answered status=%u path=%s", x->reply.status,
                x->request.target.path);
    }
    return answer(x, mhd);
}

static enum MHD_Result
finish(struct cfc_exchange *x, struct MHD_Connection *mhd)
{
    if (x->connection != NULL && !cfc_reaper_enter(x->connection, CFC_CONNECTION_ANSWERING)) {
        cfc_api_count_reply(x->server->api, 408);
        return MHD_NO;
    }
    x->mhd = mhd;
    if (x->route != NULL && cfc_exchange_may_still(x)) {
        x->request.body = x->body;
        x->request.body_size = x->body_size;
        x->request.unix_ns = clock_ns(CLOCK_REALTIME);
        if (handle(x)) {
            return MHD_YES;
        }
    }
    return conclude(x, mhd);
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
           const char *version, const char *bytes, size_t *size, void **con_cls)
{
    struct cfc_exchange *x = *con_cls;
    size_t given = *size;

    (void)cls;
    (void)url;
    if (x == NULL) {
        return MHD_NO;
    }
    if (!x->is_started) {
        return start(x, mhd, method, version);
    }
    if (x->is_answered) {
        *size = 0;
        return MHD_YES;
    }
    if (given > 0) {
        *size = 0;
        return take_body(x, bytes, given);
    }
    return x->is_handled ? conclude(x, mhd) : finish(x, mhd);
}

static struct MHD_Daemon *
start_daemon(struct cfc_server *server, int fd, struct cfc_tls *tls)
{
    const struct cfc_daemon_config config = {
        .fd = fd,
        .thread_count = server->config.thread_count,
        .connection_max = server->config.connection_max,
        .idle_timeout_s = server->config.request_timeout_ms / 1000 * 2 + 2,
        .tls = tls,
        .on_connection = on_connection,
        .on_target = on_target,
        .on_request = on_request,
        .on_completed = on_completed,
        .arg = server,
    };

    return cfc_daemon_start(&config);
}

static int
open_tcp(struct cfc_server *server)
{
    const char *address = server->config.listen;
    int fd = -1;
    int rc = cfc_listen_tcp(address, &fd, &server->port);

    if (rc == CONFCAST_OK) {
        server->is_loopback = cfc_listen_is_loopback(address);
        server->tcp = start_daemon(server, fd, server->config.tls);
        if (server->tcp == NULL) {
            close(fd);
            rc = CONFCAST_ERR_RESOURCE;
        }
    }
    if (rc != CONFCAST_OK) {
        cfc_log(CFC_LOG_ERROR, "api", "cannot listen tcp=%s error=%s reason=\"%s\"", address,
                confcast_error_word(rc), strerror(errno));
        return rc;
    }
    cfc_log(CFC_LOG_INFO, "api", "listening tcp=%s port=%u", address, server->port);
    return CONFCAST_OK;
}

static int
open_unix(struct cfc_server *server)
{
    const char *path = server->config.unix_path;
    int fd = -1;
    int rc = cfc_listen_unix(path, &fd);

    if (rc == CONFCAST_OK) {
        server->unix_path = strdup(path);
        server->local = server->unix_path != NULL ? start_daemon(server, fd, NULL) : NULL;
        if (server->local == NULL) {
            close(fd);
            unlink(path);
            rc = CONFCAST_ERR_RESOURCE;
        }
    }
    if (rc != CONFCAST_OK) {
        cfc_log(CFC_LOG_ERROR, "api", "cannot listen unix=%s error=%s reason=\"%s\"", path,
                confcast_error_word(rc), strerror(errno));
        return rc;
    }
    cfc_log(CFC_LOG_INFO, "api", "listening unix=%s", path);
    return CONFCAST_OK;
}

static void
set_defaults(struct cfc_server_config *config)
{
    if (config->body_total_max == 0) {
        config->body_total_max = BODY_TOTAL_MAX_DEFAULT;
    }
    if (config->answer_total_max == 0) {
        config->answer_total_max = ANSWER_TOTAL_MAX_DEFAULT;
    }
    if (config->request_timeout_ms == 0) {
        config->request_timeout_ms = REQUEST_TIMEOUT_MS_DEFAULT;
    }
    if (config->connection_max == 0) {
        config->connection_max = CONNECTION_MAX_DEFAULT;
    }
    if (config->peer_connection_max == 0) {
        config->peer_connection_max = (config->connection_max + 1) / 2;
    }
    if (config->thread_count == 0) {
        config->thread_count = THREAD_COUNT_DEFAULT;
    }
}

static void
destroy(struct cfc_server *server)
{
    cfc_gate_destroy(&server->big);
    pthread_cond_destroy(&server->resumed);
    pthread_mutex_destroy(&server->lock);
    free(server->unix_path);
    free(server);
}

/* The library must not be stopped while a connection is suspended. */
static void
wait_for_suspended(struct cfc_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->is_closing = true;
    while (server->suspended_count > 0) {
        pthread_cond_wait(&server->resumed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

int
cfc_server_open(struct cfc_api *api, const struct cfc_server_config *config,
                struct cfc_server **out)
{
    struct cfc_server *server = calloc(1, sizeof(*server));
    int rc;

    *out = NULL;
    if (server == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->resumed, NULL);
    server->api = api;
    server->config = *config;
    set_defaults(&server->config);
    if (server->config.body_total_max < api->document_size_max) {
        server->config.body_total_max = api->document_size_max;
    }
    cfc_gate_init(&server->big, api->document_size_max);
    rc = cfc_reaper_start(&server->reaper, server->config.request_timeout_ms * CFC_MS);
    if (rc != CONFCAST_OK) {
        destroy(server);
        return rc;
    }
    rc = cfc_watch_hub_start(&server->watches, api);
    if (rc != CONFCAST_OK) {
        cfc_server_close(server);
        return rc;
    }
    if (api->pull != NULL) {
        rc = cfc_pull_hub_start(&server->pulls, api->pull->store);
        if (rc != CONFCAST_OK) {
            cfc_server_close(server);
            return rc;
        }
    }
    if ((config->listen != NULL && (rc = open_tcp(server)) != CONFCAST_OK) ||
        (config->unix_path != NULL && (rc = open_unix(server)) != CONFCAST_OK)) {
        cfc_server_close(server);
        return rc;
    }
    *out = server;
    return CONFCAST_OK;
}

uint16_t
cfc_server_port(const struct cfc_server *server)
{
    return server->port;
}

unsigned
cfc_server_long_count(const struct cfc_server *server)
{
    return atomic_load(&server->long_count);
}

void
cfc_server_close(struct cfc_server *server)
{
    if (server == NULL) {
        return;
    }
    cfc_watch_hub_stop(&server->watches);
    cfc_pull_hub_stop(&server->pulls);
    wait_for_suspended(server);
    if (server->tcp != NULL) {
        MHD_stop_daemon(server->tcp);
    }
    if (server->local != NULL) {
        MHD_stop_daemon(server->local);
        unlink(server->unix_path);
    }
    cfc_reaper_stop(&server->reaper);
    destroy(server);
}
