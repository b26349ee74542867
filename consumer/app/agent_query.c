#include "consumer/app/agent_query.h"

#include <errno.h>
#include <fcntl.h>
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
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "consumer/app/agent_stats.h"
#include "consumer/cache.h"
#include "consumer/scope.h"
#include "consumer/view.h"
#include "protocol/base/endian.h"
#include "protocol/base/limits.h"
#include "protocol/base/time.h"
#include "protocol/snapshot/json_write.h"

enum {
    POINTER_SIZE_MAX = 4096,
    REQUEST_SIZE_MAX = CFC_SCOPE_SIZE_MAX + 1 + POINTER_SIZE_MAX + 1, /* scope NUL pointer NUL */
    ANSWER_HEADER_SIZE = 12, /* i32 code, u64 size; then the JSON */
    PAUSE_MS = 100,          /* when a connection cannot be taken */
};

#define ANSWER_SIZE_MAX   (UINT64_C(8) * CFC_BODY_SIZE_MAX) /* of escapes, at most */
#define PEER_TIMEOUT_NS   (30 * CFC_S)                      /* of one query, at the agent */
#define ANSWER_TIMEOUT_NS (60 * CFC_S)                      /* the same, at whoever asks */

static const char SOCKET_NAME[] = "agent.sock";

struct cfc_agent_server {
    int dir_fd;
    int listen_fd;
    int stop_fd;
    pthread_t thread;
    struct cfc_agent_server_config config;
};

/* ---- Both ends ------------------------------------------------------------------------------- */

/* One end of a connection, which gives up at a deadline or when `stop_fd` becomes readable. */
struct peer {
    int fd;
    int stop_fd; /* -1: none */
    uint64_t deadline_ns;
};

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

/* Waits until the other end is ready.  OK, TIMEOUT or CLOSED. */
static int
await(const struct peer *peer, short events)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = peer->fd, .events = events},
                                {.fd = peer->stop_fd, .events = POLLIN}};
        uint64_t now = now_ns();
        int count = now < peer->deadline_ns
                        ? poll(fds, 2, (int)((peer->deadline_ns - now) / CFC_MS) + 1)
                        : 0;

        if (count == 0) {
            return CONFCAST_ERR_TIMEOUT;
        }
        if (count > 0) {
            return fds[1].revents != 0 ? CONFCAST_ERR_CLOSED : CONFCAST_OK;
        }
    }
}

/* Reads at least `size` bytes and at most `capacity`; *done says how many. */
static int
receive(const struct peer *peer, void *bytes, size_t size, size_t capacity, size_t *done)
{
    *done = 0;
    while (*done < size) {
        int error = await(peer, POLLIN);
        ssize_t n;

        if (error != CONFCAST_OK) {
            return error;
        }
        n = recv(peer->fd, (uint8_t *)bytes + *done, capacity - *done, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return CONFCAST_ERR_CLOSED;
        }
        *done += n > 0 ? (size_t)n : 0;
    }
    return CONFCAST_OK;
}

static int
transmit(const struct peer *peer, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;

    while (size > 0) {
        int error = await(peer, POLLOUT);
        ssize_t n;

        if (error != CONFCAST_OK) {
            return error;
        }
        n = send(peer->fd, p, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return CONFCAST_ERR_CLOSED;
        }
        p += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return CONFCAST_OK;
}

/* The address of the socket below a directory: by its descriptor, since a path may be longer than a
 * socket's address. */
static struct sockaddr_un
address_in(int dir_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd,
             SOCKET_NAME);
    return address;
}

static int
json_of(const struct cfc_loaded *loaded, const char *pointer, struct cfc_buffer *json)
{
    const struct cfc_value *value;
    struct cfc_index_key key;
    int error = cfc_index_key_init(&key, pointer, strlen(pointer), cfc_index_seed());

    if (error != CONFCAST_OK) {
        return error;
    }
    value = cfc_index_lookup(&loaded->index, &key);
    return value != NULL ? cfc_json_write(json, value) : CONFCAST_ERR_NOT_FOUND;
}

/* ---- The agent's end ------------------------------------------------------------------------- */

/* What a scope serves, with a reference; NULL when nothing. */
static struct cfc_loaded *
served(const struct cfc_agent_server *server, const char *scope)
{
    struct cfc_loaded *loaded = NULL;

    confcast_read_lock();
    for (size_t i = 0; i < server->config.scope_count; i++) {
        if (strcmp(server->config.paths[i], scope) == 0) {
            const struct confcast_view *view = confcast_view(server->config.scopes[i]);

            /* The view holds one as long as this section lasts. */
            loaded = view != NULL ? cfc_loaded_ref(view->loaded) : NULL;
        }
    }
    confcast_read_unlock();
    return loaded;
}

static int
answer_stats(const struct cfc_agent_server *server, const char *what, struct cfc_buffer *out)
{
    struct confcast_stats stats = {.size = sizeof(stats)};
    char text[CFC_AGENT_STATS_SIZE_MAX];
    size_t size;
    int error = confcast_stats(server->config.client, &stats);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (strcmp(what, "stats") == 0) {
        size = cfc_agent_stats_json(&stats, text, sizeof(text));
    } else if (strcmp(what, "metrics") == 0) {
        size = cfc_agent_stats_metrics(&stats, text, sizeof(text));
    } else {
        return CONFCAST_ERR_NOT_FOUND;
    }
    return cfc_buffer_add(out, text, size);
}

static int
answer(const struct cfc_agent_server *server, const char *scope, const char *pointer,
       struct cfc_buffer *json)
{
    struct cfc_loaded *loaded = served(server, scope);
    int error = loaded != NULL ? json_of(loaded, pointer, json) : CONFCAST_ERR_NOT_FOUND;

    cfc_loaded_unref(loaded);
    return error;
}

/* Reads until both strings of a request are there. */
static int
receive_request(const struct peer *peer, char request[REQUEST_SIZE_MAX + 1], const char **pointer)
{
    const char *scope_end = NULL;
    size_t size = 0;

    while (scope_end == NULL ||
           memchr(scope_end + 1, '\0', size - 1 - (size_t)(scope_end - request)) == NULL) {
        size_t more;
        int error = size < REQUEST_SIZE_MAX
                        ? receive(peer, request + size, 1, REQUEST_SIZE_MAX - size, &more)
                        : CONFCAST_ERR_LIMIT;

        if (error != CONFCAST_OK) {
            return error;
        }
        size += more;
        scope_end = memchr(request, '\0', size);
    }
    *pointer = scope_end + 1;
    return CONFCAST_OK;
}

static void
serve_one(const struct cfc_agent_server *server, int fd)
{
    struct peer peer = {
        .fd = fd, .stop_fd = server->stop_fd, .deadline_ns = now_ns() + PEER_TIMEOUT_NS};
    char request[REQUEST_SIZE_MAX + 1];
    uint8_t header[ANSWER_HEADER_SIZE];
    struct cfc_buffer json;
    const char *pointer;
    int code = receive_request(&peer, request, &pointer);

    if (code != CONFCAST_OK) {
        return;
    }
    cfc_buffer_init(&json, &cfc_consumer_heap, ANSWER_SIZE_MAX);
    code = request[0] != '\0' ? answer(server, request, pointer, &json)
                              : answer_stats(server, pointer, &json);
    if (code != CONFCAST_OK) {
        json.size = 0;
    }
    cfc_put_u32(header, (uint32_t)code);
    cfc_put_u64(header + 4, json.size);
    if (transmit(&peer, header, sizeof(header)) == CONFCAST_OK) {
        (void)transmit(&peer, json.bytes, json.size); /* whoever asked has gone */
    }
    cfc_buffer_free(&json);
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
        if (fds[0].revents != 0) {
            return NULL;
        }
        fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            serve_one(server, fd);
            close(fd);
        } else if (errno != EAGAIN && errno != EINTR) {
            poll(fds, 1, PAUSE_MS); /* out of descriptors: not in a busy loop */
        }
    }
}

static int
listen_in(struct cfc_agent_server *server)
{
    struct sockaddr_un address = address_in(server->dir_fd);

    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listen_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    unlinkat(server->dir_fd, SOCKET_NAME, 0);
    /* The mode of the descriptor becomes that of the socket's name. */
    if (fchmod(server->listen_fd, 0600) != 0 ||
        bind(server->listen_fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(server->listen_fd, 16) != 0) {
        return CONFCAST_ERR_IO;
    }
    return CONFCAST_OK;
}

static void
free_server(struct cfc_agent_server *server)
{
    int fds[] = {server->listen_fd, server->stop_fd, server->dir_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(server);
}

int
cfc_agent_server_start(const struct cfc_agent_server_config *config, struct cfc_agent_server **out)
{
    struct cfc_agent_server *server = calloc(1, sizeof(*server));
    int error = CONFCAST_ERR_IO;

    *out = NULL;
    if (server == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    server->config = *config;
    server->listen_fd = -1;
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    server->dir_fd = open(config->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (server->stop_fd >= 0 && server->dir_fd >= 0) {
        error = listen_in(server);
    }
    if (error == CONFCAST_OK && pthread_create(&server->thread, NULL, run, server) != 0) {
        error = CONFCAST_ERR_RESOURCE;
    }
    if (error != CONFCAST_OK) {
        free_server(server);
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
    unlinkat(server->dir_fd, SOCKET_NAME, 0);
    free_server(server);
}

/* ---- The asking end -------------------------------------------------------------------------- */

static int
receive_answer(const struct peer *peer, struct cfc_buffer *json)
{
    uint8_t header[ANSWER_HEADER_SIZE];
    uint8_t *room;
    uint64_t size;
    size_t done;
    int error = receive(peer, header, sizeof(header), sizeof(header), &done);

    if (error == CONFCAST_OK) {
        error = (int)cfc_get_u32(header);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    size = cfc_get_u64(header + 4);
    if (size > json->size_max) {
        return CONFCAST_ERR_LIMIT;
    }
    error = cfc_buffer_room(json, size, &room);
    if (error == CONFCAST_OK) {
        error = receive(peer, room, size, size, &done);
    }
    if (error == CONFCAST_OK) {
        json->size = size;
    }
    return error;
}

static int
connect_in(const char *state_dir, int *fd)
{
    int dir_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct sockaddr_un address;
    int error = CONFCAST_ERR_CLOSED;

    if (dir_fd < 0) {
        return CONFCAST_ERR_CLOSED;
    }
    address = address_in(dir_fd);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        error = CONFCAST_ERR_RESOURCE;
    } else if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        error = CONFCAST_OK;
    } else {
        close(*fd);
    }
    close(dir_fd);
    return error;
}

int
cfc_agent_ask(const char *state_dir, const char *scope, const char *pointer,
              struct cfc_buffer *json)
{
    struct peer peer = {.stop_fd = -1, .deadline_ns = now_ns() + ANSWER_TIMEOUT_NS};
    size_t scope_size = strlen(scope) + 1;
    size_t pointer_size = strlen(pointer) + 1;
    int error;

    cfc_buffer_init(json, &cfc_consumer_heap, ANSWER_SIZE_MAX);
    if (scope_size + pointer_size > REQUEST_SIZE_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    error = connect_in(state_dir, &peer.fd);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = transmit(&peer, scope, scope_size);
    if (error == CONFCAST_OK) {
        error = transmit(&peer, pointer, pointer_size);
    }
    if (error == CONFCAST_OK) {
        error = receive_answer(&peer, json);
    }
    close(peer.fd);
    return error;
}

int
cfc_agent_read_disk(const char *state_dir, const char *scope, const char *pointer,
                    struct cfc_buffer *json)
{
    struct cfc_cache_serving serving;
    struct cfc_loaded *loaded = NULL;
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_cache *cache = NULL;
    int error = sha != NULL ? cfc_cache_open_readonly(state_dir, &cache) : CONFCAST_ERR_NO_MEMORY;

    cfc_buffer_init(json, &cfc_consumer_heap, ANSWER_SIZE_MAX);
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
        error = json_of(loaded, pointer, json);
    }
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
    cfc_sha256_free(sha);
    return error;
}
