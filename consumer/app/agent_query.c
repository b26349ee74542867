#include "consumer/app/agent_query.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "consumer/cache.h"
#include "consumer/view.h"
#include "protocol/base/endian.h"
#include "protocol/base/limits.h"
#include "protocol/base/scope.h"

enum {
    POINTER_SIZE_MAX = 4096,
    REQUEST_SIZE_MAX = CFC_SCOPE_SIZE_MAX + 1 + POINTER_SIZE_MAX + 1,
    ANSWER_HEADER_SIZE = 12, /* i32 code, u64 size; then the JSON */
    PEER_TIMEOUT_S = 5,
};

struct cfc_agent_server {
    int listen_fd;
    int stop_fd;
    pthread_t thread;
    struct sockaddr_un address;
    struct cfc_agent_server_config config;
};

static int
socket_path(const char *state_dir, struct sockaddr_un *address)
{
    int size;

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    size = snprintf(address->sun_path, sizeof(address->sun_path), "%s/agent.sock", state_dir);
    return size > 0 && (size_t)size < sizeof(address->sun_path) ? CONFCAST_OK
                                                                : CONFCAST_ERR_INVALID;
}

static int
read_full(int fd, void *bytes, size_t size)
{
    uint8_t *p = bytes;

    while (size > 0) {
        ssize_t n = read(fd, p, size);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return CONFCAST_ERR_IO;
        }
        p += n;
        size -= (size_t)n;
    }
    return CONFCAST_OK;
}

static int
write_full(int fd, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;

    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return CONFCAST_ERR_IO;
        }
        p += n;
        size -= (size_t)n;
    }
    return CONFCAST_OK;
}

/* The JSON of one view, grown until it fits. */
static int
json_of(const struct confcast_view *view, const char *pointer, char **json, size_t *size)
{
    struct confcast_key key;
    size_t capacity = 1 << 16;
    int error = confcast_key_init(&key, pointer);

    *json = NULL;
    while (error == CONFCAST_OK) {
        char *bigger = realloc(*json, capacity);

        if (bigger == NULL) {
            error = CONFCAST_ERR_NO_MEMORY;
            break;
        }
        *json = bigger;
        error = confcast_view_json(view, &key, *json, capacity, size);
        if (error != CONFCAST_ERR_LIMIT) {
            break;
        }
        capacity = *size;
        error = CONFCAST_OK;
    }
    if (error != CONFCAST_OK) {
        free(*json);
        *json = NULL;
        *size = 0;
    }
    return error;
}

static int
answer_for(const struct cfc_agent_server *server, const char *scope, const char *pointer,
           char **json, size_t *size)
{
    int error = CONFCAST_ERR_NOT_FOUND;

    for (size_t i = 0; i < server->config.scope_count; i++) {
        if (strcmp(server->config.paths[i], scope) == 0) {
            const struct confcast_view *view;

            confcast_read_lock();
            view = confcast_view(server->config.scopes[i]);
            if (view != NULL) {
                error = json_of(view, pointer, json, size);
            }
            confcast_read_unlock();
        }
    }
    return error;
}

/* A request is one packet: scope NUL pointer NUL. */
static void
serve_one(const struct cfc_agent_server *server, int fd)
{
    struct timeval timeout = {.tv_sec = PEER_TIMEOUT_S};
    char request[REQUEST_SIZE_MAX + 1];
    uint8_t header[ANSWER_HEADER_SIZE];
    char *json = NULL;
    size_t json_size = 0;
    size_t scope_size;
    ssize_t size;
    int code = CONFCAST_ERR_INVALID;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    size = recv(fd, request, sizeof(request) - 1, 0);
    if (size <= 0) {
        return;
    }
    request[size] = '\0';
    scope_size = strlen(request) + 1;
    if (scope_size < (size_t)size && request[size - 1] == '\0') {
        code = answer_for(server, request, request + scope_size, &json, &json_size);
    }
    cfc_put_u32(header, (uint32_t)code);
    cfc_put_u64(header + 4, json_size);
    if (write_full(fd, header, sizeof(header)) == CONFCAST_OK) {
        (void)write_full(fd, json, json_size); /* whoever asked has gone */
    }
    free(json);
}

static void *
run(void *arg)
{
    struct cfc_agent_server *server = arg;

    for (;;) {
        struct pollfd fds[2] = {{.fd = server->stop_fd, .events = POLLIN},
                                {.fd = server->listen_fd, .events = POLLIN}};
        int fd;

        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return NULL;
        }
        if ((fds[0].revents & POLLIN) != 0) {
            return NULL;
        }
        fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            serve_one(server, fd);
            close(fd);
        }
    }
}

/* The state directory's lock is ours, so that a socket which lies there is a dead agent's. */
static int
listen_at(struct cfc_agent_server *server)
{
    mode_t mask;
    int result;

    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listen_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    unlink(server->address.sun_path);
    mask = umask(0177);
    result =
        bind(server->listen_fd, (const struct sockaddr *)&server->address, sizeof(server->address));
    umask(mask);
    return result == 0 && listen(server->listen_fd, 16) == 0 ? CONFCAST_OK : CONFCAST_ERR_IO;
}

int
cfc_agent_server_start(const struct cfc_agent_server_config *config, struct cfc_agent_server **out)
{
    struct cfc_agent_server *server = calloc(1, sizeof(*server));
    int error;

    *out = NULL;
    if (server == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    server->config = *config;
    server->listen_fd = -1;
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    error = server->stop_fd >= 0 ? socket_path(config->state_dir, &server->address)
                                 : CONFCAST_ERR_RESOURCE;
    if (error == CONFCAST_OK) {
        error = listen_at(server);
    }
    if (error == CONFCAST_OK && pthread_create(&server->thread, NULL, run, server) != 0) {
        error = CONFCAST_ERR_RESOURCE;
    }
    if (error != CONFCAST_OK) {
        if (server->listen_fd >= 0) {
            close(server->listen_fd);
        }
        if (server->stop_fd >= 0) {
            close(server->stop_fd);
        }
        free(server);
        return error;
    }
    *out = server;
    return CONFCAST_OK;
}

void
cfc_agent_server_stop(struct cfc_agent_server *server)
{
    uint64_t one = 1;

    if (server == NULL) {
        return;
    }
    while (write(server->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    pthread_join(server->thread, NULL);
    unlink(server->address.sun_path);
    close(server->listen_fd);
    close(server->stop_fd);
    free(server);
}

static int
receive_answer(int fd, char **json, size_t *size)
{
    uint8_t header[ANSWER_HEADER_SIZE];
    uint64_t answer_size;
    int code;

    if (read_full(fd, header, sizeof(header)) != CONFCAST_OK) {
        return CONFCAST_ERR_IO;
    }
    code = (int)cfc_get_u32(header);
    answer_size = cfc_get_u64(header + 4);
    if (code != CONFCAST_OK) {
        return code;
    }
    if (answer_size > 8 * (uint64_t)CFC_BODY_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    *json = malloc(answer_size + 1);
    if (*json == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (read_full(fd, *json, answer_size) != CONFCAST_OK) {
        free(*json);
        *json = NULL;
        return CONFCAST_ERR_IO;
    }
    *size = answer_size;
    return CONFCAST_OK;
}

int
cfc_agent_ask(const char *state_dir, const char *scope, const char *pointer, char **json,
              size_t *size)
{
    char request[REQUEST_SIZE_MAX];
    struct sockaddr_un address;
    size_t scope_size = strlen(scope) + 1;
    size_t pointer_size = strlen(pointer) + 1;
    int error = socket_path(state_dir, &address);
    int fd;

    if (error != CONFCAST_OK || scope_size + pointer_size > sizeof(request)) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(request, scope, scope_size);
    memcpy(request + scope_size, pointer, pointer_size);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        error = CONFCAST_ERR_CLOSED;
    } else if (write_full(fd, request, scope_size + pointer_size) != CONFCAST_OK) {
        error = CONFCAST_ERR_IO;
    } else {
        error = receive_answer(fd, json, size);
    }
    close(fd);
    return error;
}

int
cfc_agent_read_disk(const char *state_dir, const char *scope, const char *pointer, char **json,
                    size_t *size)
{
    struct cfc_cache_serving serving;
    struct cfc_loaded *loaded = NULL;
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_cache *cache = NULL;
    int error = sha != NULL ? cfc_cache_open_readonly(state_dir, &cache) : CONFCAST_ERR_NO_MEMORY;

    if (error == CONFCAST_OK) {
        error = cfc_cache_serving(cache, cfc_scope_id(sha, scope, strlen(scope)), &serving);
    }
    if (error == CONFCAST_OK && strcmp(serving.path, scope) != 0) {
        error = CONFCAST_ERR_NOT_FOUND;
    }
    if (error == CONFCAST_OK) {
        error = cfc_cache_load(cache, &serving.content, sha, &loaded);
    }
    if (error == CONFCAST_OK) {
        struct confcast_view *view = cfc_view_new(loaded, serving.epoch, serving.version);

        error = view != NULL ? json_of(view, pointer, json, size) : CONFCAST_ERR_NO_MEMORY;
        cfc_view_free(view);
    }
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
    cfc_sha256_free(sha);
    return error;
}
