#include "dataplane/exporter.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "dataplane/metrics.h"
#include "dataplane/telemetry.h"

enum {
    REQUEST_SIZE_MAX = 16384,
    BACKLOG = 8,
};

struct cfc_exporter {
    const char *path; /* of the unix socket; NULL: TCP */
    struct MHD_Daemon *daemon;
};

static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned status, char *text, size_t size)
{
    static char empty[1];
    struct MHD_Response *response =
        text != NULL ? MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE)
                     : MHD_create_response_from_buffer(0, empty, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result rc = MHD_NO;

    if (response == NULL) {
        free(text);
        return MHD_NO;
    }
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                "text/plain; version=0.0.4; charset=utf-8") == MHD_YES) {
        rc = MHD_queue_response(connection, status, response);
    }
    MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result
on_request(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
           const char *version, const char *body, size_t *body_size, void **request)
{
    struct cfc_engine_snapshot snapshot;
    size_t size = 0;
    char *text;

    (void)ctx;
    (void)version;
    (void)body;
    (void)request;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        *body_size = 0;
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, NULL, 0);
    }
    if (strcmp(url, "/metrics") != 0) {
        return answer(connection, MHD_HTTP_NOT_FOUND, NULL, 0);
    }
    if (!cfc_telemetry_snapshot(&snapshot)) {
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, 0);
    }
    text = malloc(CFC_METRICS_SIZE_MAX);
    if (text != NULL) {
        size = cfc_metrics_write(&snapshot, text, CFC_METRICS_SIZE_MAX);
    }
    if (size == 0) {
        free(text);
        return answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL, 0);
    }
    return answer(connection, MHD_HTTP_OK, text, size);
}

static int
listen_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    mode_t mask;
    int fd;
    int rc;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        close(fd);
        errno = EADDRINUSE;
        return -1;
    }
    if (errno == ECONNREFUSED && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(path);
    }
    mask = umask(S_IXUSR | S_IXGRP | S_IRWXO);
    rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (rc != 0 || listen(fd, BACKLOG) != 0) {
        rc = errno;
        close(fd);
        errno = rc;
        return -1;
    }
    return fd;
}

/* Splits ADDRESS:PORT or [ADDRESS]:PORT.  False when it is neither. */
static bool
split(const char *where, char address[64], const char **port)
{
    const char *colon = strrchr(where, ':');
    size_t size = colon != NULL ? (size_t)(colon - where) : 0;

    if (size >= 2 && where[0] == '[' && where[size - 1] == ']') {
        where++;
        size -= 2;
    } else if (memchr(where, ':', size) != NULL) {
        return false;
    }
    if (size == 0 || size >= 64) {
        return false;
    }
    memcpy(address, where, size);
    address[size] = '\0';
    *port = colon + 1;
    return true;
}

static int
listen_tcp(const char *where)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    const int one = 1;
    struct addrinfo *found;
    const char *port;
    char address[64];
    int saved;
    int fd;

    if (!split(where, address, &port) || getaddrinfo(address, port, &hints, &found) != 0) {
        errno = EINVAL;
        return -1;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
                    bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)) {
        saved = errno;
        close(fd);
        errno = saved;
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static int
error_of(int number)
{
    switch (number) {
    case EINVAL:
    case ENAMETOOLONG:
        return CONFCAST_ERR_INVALID;
    case EADDRINUSE:
        return CONFCAST_ERR_EXISTS;
    default:
        return CONFCAST_ERR_RESOURCE;
    }
}

int
cfc_exporter_open(const char *where, struct cfc_exporter **out)
{
    struct cfc_exporter *exporter = calloc(1, sizeof(*exporter));
    int fd;
    int rc;

    if (exporter == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    fd = where[0] == '/' ? listen_unix(where) : listen_tcp(where);
    if (fd < 0) {
        rc = error_of(errno);
        cfc_log_error("--metrics %s: %s", where, strerror(errno));
        goto err_listen;
    }
    exporter->path = where[0] == '/' ? where : NULL;
    exporter->daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_request,
                         NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)CFC_EXPORTER_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)CFC_EXPORTER_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         (size_t)REQUEST_SIZE_MAX, MHD_OPTION_END);
    if (exporter->daemon == NULL) {
        cfc_log_error("--metrics %s: its thread does not start", where);
        rc = CONFCAST_ERR_RESOURCE;
        goto err_daemon;
    }
    cfc_log_info("metrics: http at %s, /metrics", where);
    *out = exporter;
    return CONFCAST_OK;

err_daemon:
    close(fd);
    if (exporter->path != NULL) {
        unlink(exporter->path);
    }
err_listen:
    free(exporter);
    return rc;
}

void
cfc_exporter_close(struct cfc_exporter *exporter)
{
    if (exporter == NULL) {
        return;
    }
    MHD_stop_daemon(exporter->daemon);
    if (exporter->path != NULL) {
        unlink(exporter->path);
    }
    free(exporter);
}
