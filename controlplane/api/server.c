#include "controlplane/api/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/api/answer.h"
#include "controlplane/api/connection.h"
#include "controlplane/api/daemon.h"
#include "controlplane/api/exchange.h"
#include "controlplane/api/handling.h"
#include "controlplane/api/intake.h"
#include "controlplane/api/listen.h"
#include "controlplane/api/pull_hub.h"
#include "controlplane/api/reaper.h"
#include "controlplane/api/watch.h"
#include "controlplane/log/log.h"
#include "protocol/base/time.h"

#define BODY_TOTAL_MAX_DEFAULT   ((size_t)256 << 20)
#define ANSWER_TOTAL_MAX_DEFAULT ((size_t)512 << 20)

enum {
    REQUEST_TIMEOUT_MS_DEFAULT = 30000,
    CONNECTION_MAX_DEFAULT = 256,
    THREAD_COUNT_MIN = 2, /* so that one that is held up does not hold up all */
    THREAD_COUNT_MAX = 4, /* more would wait for the service's lock */
};

static const char too_many_body[] =
    "{\"error\":{\"code\":\"rate\",\"message\":\"too many connections of one address\"}}";

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
    cfc_intake_drop_body(x);
    atomic_fetch_sub(&x->server->answer_total, x->answer_size);
    cfc_watch_free(x->watch);
    cfc_pull_wait_free(x->pull);
    free(x->raw_target);
    cfc_reply_clear(&x->reply);
    free(x);
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
        return cfc_intake_start(x, mhd, method, version);
    }
    if (x->is_answered) {
        *size = 0;
        return MHD_YES;
    }
    if (given > 0) {
        *size = 0;
        return cfc_intake_take_body(x, bytes, given);
    }
    return x->is_handled ? cfc_answer_conclude(x, mhd) : cfc_handling_begin(x, mhd);
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

/* As many as run at a time: with more of them than processors, each change of a thread costs more
 * than it brings. */
static unsigned
default_thread_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    if (count < THREAD_COUNT_MIN) {
        return THREAD_COUNT_MIN;
    }
    return count < THREAD_COUNT_MAX ? (unsigned)count : THREAD_COUNT_MAX;
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
        config->thread_count = default_thread_count();
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
