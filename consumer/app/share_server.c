#include "consumer/app/share_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "consumer/app/unix_listen.h"
#include "consumer/cache_file.h"
#include "consumer/client.h"
#include "consumer/share_wire.h"
#include "consumer/shared_content.h"

enum {
    RECEIVED_MAX = 64, /* messages of one process before others get their turn */
    BACKLOG = 64,
    SEND_BUFFER_SIZE = 16384, /* about 20 messages */
    NOT_FOLLOWED = CFC_RECEIVER_SCOPES_MAX,
    SHORTAGE_WAIT_MS = 200,
    ALIVE_EVERY_MS = 1000,
    VERSION_EVERY_MS = 60000,
};

/* What the newest state of a scope is, and the memfd of what it serves. */
struct shared_scope {
    struct cfc_share_message state;
    uint64_t serial; /* of this state; 0 = none yet */
    int fd;          /* -1: nothing is served */
};

struct subscription {
    uint32_t token;
    uint32_t scope;      /* NOT_FOLLOWED: only until it is answered */
    uint64_t serial;     /* last state sent */
    uint8_t content[32]; /* last one that the process has */
    bool is_answered;
};

struct peer {
    int fd;
    pid_t pid;
    uint32_t count;
    struct subscription *subscriptions; /* by arrival; at most CFC_RECEIVER_SCOPES_MAX */
    bool is_blocked;                    /* its socket takes no more now */
    uint64_t refusals;                  /* that it told of, but no line was written of */
    uint64_t refusal_told_ms;           /* when the last line was */
    bool is_gone;
};

struct cfc_share_server {
    struct cfc_share_server_config config;
    struct cfc_unix_listener listener;
    int wake_fd;
    bool is_short; /* of descriptors or memory: try again later */
    bool has_hook;
    uint64_t alive_at_ms; /* when everybody is told next */
    uint64_t version_told_ms;
    pthread_t thread;
    bool has_thread;
    atomic_bool is_stopping;
    struct shared_scope scopes[CFC_RECEIVER_SCOPES_MAX];
    struct peer *peers[CFC_SHARE_PEERS_MAX];
    uint32_t peer_count;
    struct pollfd polls[CFC_SHARE_PEERS_MAX + 2];
};

__attribute__((format(printf, 3, 4))) static void
say(struct cfc_share_server *server, int level, const char *format, ...)
{
    char line[256];
    va_list args;

    if (server->config.log == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    server->config.log(server->config.log_arg, level, line);
}

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- States ---------------------------------------------------------------------------------- */

/* A reference of what the scope serves, with its version; NULL when it serves nothing. */
static struct cfc_loaded *
served(const struct confcast_scope *scope, struct cfc_share_message *state)
{
    const struct confcast_view *view;
    struct cfc_loaded *loaded = NULL;

    confcast_read_lock();
    view = confcast_view(scope);
    if (view != NULL) {
        state->epoch = view->served.epoch;
        state->serving = view->served.version;
        state->activate_unix_ns = view->served.activate_unix_ns;
        state->confirm_unix_ns = view->served.confirm_unix_ns;
        state->phase = view->served.phase;
        loaded = cfc_loaded_ref(view->loaded);
    }
    confcast_read_unlock();
    return loaded;
}

static void
take_status(const struct confcast_scope *scope, struct cfc_share_message *state)
{
    struct confcast_status status = {.size = sizeof(status)};

    if (confcast_status(scope, &status) != CONFCAST_OK) {
        return;
    }
    state->epoch = status.epoch;
    state->accepted = status.accepted;
    state->published = status.published;
    state->durable = status.durable;
    state->fresh_unix_ns = status.fresh_unix_ns;
    state->state = (uint32_t)status.state;
    state->code = status.reason;
    state->flags = (status.is_stale ? CFC_SHARE_IS_STALE : 0) |
                   (status.is_control_silent ? CFC_SHARE_IS_CONTROL_SILENT : 0);
}

/* Puts the content into a memfd when it is another one.  Without descriptors or memory the state
 * before stays, and is told of. */
static int
share_content(struct cfc_share_server *server, struct shared_scope *shared,
              const struct cfc_loaded *loaded)
{
    int error;
    int fd;

    if (shared->fd >= 0 && memcmp(shared->state.content, loaded->id.bytes, 32) == 0) {
        return CONFCAST_OK;
    }
    error = cfc_shared_content_make(loaded, &fd);
    if (error != CONFCAST_OK) {
        server->is_short = true;
        say(server, 0, "cannot share a content bytes=%zu error=%s", loaded->body_size,
            confcast_error_word(error));
        return error;
    }
    if (shared->fd >= 0) {
        close(shared->fd); /* processes that map it keep it */
    }
    shared->fd = fd;
    return CONFCAST_OK;
}

static void
refresh(struct cfc_share_server *server, uint32_t i)
{
    struct confcast_scope *scope = server->config.scopes[i];
    struct shared_scope *shared = &server->scopes[i];
    struct cfc_share_message state;
    struct cfc_loaded *loaded;

    memset(&state, 0, sizeof(state)); /* padding too: it is compared below */
    state.magic = CFC_SHARE_MAGIC;
    state.type = CFC_SHARE_STATE;
    take_status(scope, &state);
    loaded = served(scope, &state);
    if (loaded != NULL) {
        memcpy(state.content, loaded->id.bytes, sizeof(state.content));
        if (share_content(server, shared, loaded) != CONFCAST_OK) {
            cfc_loaded_unref(loaded);
            return;
        }
        cfc_loaded_unref(loaded);
    }
    if (shared->serial == 0 || memcmp(&shared->state, &state, sizeof(state)) != 0) {
        shared->state = state;
        shared->serial++;
    }
}

/* ---- Processes ------------------------------------------------------------------------------- */

/* OK, AGAIN: its socket is full; RESOURCE: the system is short of something, such as descriptors
 * under way, which count for all processes; CLOSED. */
static int
send_message(struct peer *peer, const struct cfc_share_message *message, int fd)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (fd >= 0) {
        struct cmsghdr *c;

        m.msg_control = control.bytes;
        m.msg_controllen = sizeof(control.bytes);
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    do {
        n = sendmsg(peer->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(*message)) {
        return CONFCAST_OK;
    }
    if (n < 0 && errno == EAGAIN) {
        return CONFCAST_ERR_AGAIN;
    }
    return n < 0 && (errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM)
               ? CONFCAST_ERR_RESOURCE
               : CONFCAST_ERR_CLOSED;
}

static int
send_state(struct cfc_share_server *server, struct peer *peer, struct subscription *s)
{
    const struct shared_scope *shared = &server->scopes[s->scope];
    struct cfc_share_message message = shared->state;
    bool is_other = message.serving != 0 && memcmp(message.content, s->content, 32) != 0;
    int error;

    message.token = s->token;
    error = send_message(peer, &message, is_other ? shared->fd : -1);
    if (error == CONFCAST_OK) {
        s->serial = shared->serial;
        memcpy(s->content, message.content, sizeof(s->content));
    }
    return error;
}

static int
send_answer(struct peer *peer, struct subscription *s)
{
    struct cfc_share_message answer = {.magic = CFC_SHARE_MAGIC,
                                       .type = CFC_SHARE_ANSWER,
                                       .token = s->token,
                                       .code = s->scope == NOT_FOLLOWED ? CONFCAST_ERR_NOT_FOUND
                                                                        : CONFCAST_OK};
    int error = send_message(peer, &answer, -1);

    s->is_answered = error == CONFCAST_OK;
    return error;
}

/* Makes room of those whose only answer was that they are not there. */
static void
forget_answered(struct peer *peer)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < peer->count; i++) {
        if (peer->subscriptions[i].scope != NOT_FOLLOWED || !peer->subscriptions[i].is_answered) {
            peer->subscriptions[kept++] = peer->subscriptions[i];
        }
    }
    peer->count = kept;
}

/* Sends what is new to a process: for each subscription the newest state, then its answer. */
static void
serve_peer(struct cfc_share_server *server, struct peer *peer)
{
    int error = CONFCAST_OK;

    for (uint32_t i = 0; error == CONFCAST_OK && i < peer->count; i++) {
        struct subscription *s = &peer->subscriptions[i];

        if (s->scope != NOT_FOLLOWED && s->serial != server->scopes[s->scope].serial) {
            error = send_state(server, peer, s);
        }
        if (error == CONFCAST_OK && !s->is_answered) {
            error = send_answer(peer, s);
        }
    }
    forget_answered(peer);
    peer->is_blocked = error == CONFCAST_ERR_AGAIN;
    server->is_short = server->is_short || error == CONFCAST_ERR_RESOURCE;
    peer->is_gone = peer->is_gone || error == CONFCAST_ERR_CLOSED;
}

static int
find_path(const struct cfc_share_server *server, const char *path, uint32_t *at)
{
    for (*at = 0; *at < server->config.scope_count; (*at)++) {
        if (strcmp(server->config.paths[*at], path) == 0) {
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_NOT_FOUND;
}

static void
on_subscribe(struct cfc_share_server *server, struct peer *peer, struct cfc_share_message *message)
{
    struct subscription *s;
    uint32_t at;

    message->path[sizeof(message->path) - 1] = '\0';
    if (peer->count == CFC_RECEIVER_SCOPES_MAX) {
        peer->is_gone = true;
        return;
    }
    if (find_path(server, message->path, &at) != CONFCAST_OK) {
        at = NOT_FOLLOWED;
    }
    s = realloc(peer->subscriptions, (peer->count + 1) * sizeof(*s));
    if (s == NULL) {
        peer->is_gone = true;
        return;
    }
    peer->subscriptions = s;
    s += peer->count++;
    *s = (struct subscription){.token = message->token, .scope = at};
    memcpy(s->content, message->content, sizeof(s->content));
}

/* One line a second for each process: a flood of refusals is no flood of the log. */
static void
tell_refusal(struct cfc_share_server *server, struct peer *peer, const struct subscription *s,
             const struct cfc_share_message *message)
{
    uint64_t now = now_ms();

    peer->refusals++;
    if (peer->refusal_told_ms != 0 && now - peer->refusal_told_ms < ALIVE_EVERY_MS) {
        return;
    }
    say(server, 1,
        "a process refused a content pid=%d scope=%s version=%llu reason=%s refusals=%llu",
        (int)peer->pid, server->config.paths[s->scope], (unsigned long long)message->serving,
        confcast_error_word(message->code), (unsigned long long)peer->refusals);
    peer->refusals = 0;
    peer->refusal_told_ms = now;
}

static void
on_message(struct cfc_share_server *server, struct peer *peer, struct cfc_share_message *message)
{
    if (message->type == CFC_SHARE_SUBSCRIBE) {
        on_subscribe(server, peer, message);
        return;
    }
    if (message->type != CFC_SHARE_REFUSED) {
        peer->is_gone = true;
        return;
    }
    for (uint32_t i = 0; i < peer->count; i++) {
        if (peer->subscriptions[i].token == message->token &&
            peer->subscriptions[i].scope != NOT_FOLLOWED) {
            tell_refusal(server, peer, &peer->subscriptions[i], message);
            return;
        }
    }
}

/* Such processes come again and again: one line a minute for all of them. */
static void
tell_version(struct cfc_share_server *server, const struct peer *peer)
{
    uint64_t now = now_ms();

    if (server->version_told_ms == 0 || now - server->version_told_ms >= VERSION_EVERY_MS) {
        server->version_told_ms = now;
        say(server, 1, "a process has a library of another version, restart it pid=%d",
            (int)peer->pid);
    }
}

static void
receive(struct cfc_share_server *server, struct peer *peer)
{
    struct cfc_share_message message;

    for (int i = 0; i < RECEIVED_MAX && !peer->is_gone; i++) {
        ssize_t n = recv(peer->fd, &message, sizeof(message), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n != (ssize_t)sizeof(message) || message.magic != CFC_SHARE_MAGIC) {
            peer->is_gone = true;
            if (n >= (ssize_t)sizeof(message.magic) && message.magic != CFC_SHARE_MAGIC) {
                tell_version(server, peer);
            }
            return;
        }
        on_message(server, peer, &message);
    }
}

static void
drop_peer(struct cfc_share_server *server, uint32_t i)
{
    struct peer *peer = server->peers[i];

    close(peer->fd);
    free(peer->subscriptions);
    free(peer);
    server->peers[i] = server->peers[--server->peer_count];
}

static void
take_peer(struct cfc_share_server *server)
{
    const int send_buffer_size = SEND_BUFFER_SIZE;
    struct ucred who = {.pid = 0};
    socklen_t size = sizeof(who);
    struct peer *peer;
    int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        /* Who waits stays in the queue: listening on would be told of it for ever. */
        server->is_short = server->is_short || (errno != EAGAIN && errno != ECONNABORTED);
        return;
    }
    peer = server->peer_count < CFC_SHARE_PEERS_MAX ? calloc(1, sizeof(*peer)) : NULL;
    if (peer == NULL) {
        say(server, 1, "a process was sent away processes=%u", server->peer_count);
        close(fd);
        return;
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
    /* Few messages wait in its socket, and few descriptors: the kernel counts those against us. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_size, sizeof(send_buffer_size));
    peer->fd = fd;
    peer->pid = who.pid;
    server->peers[server->peer_count++] = peer;
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* Every second each process hears that its agent lives; one whose socket is full has enough to
 * read. */
static void
tell_alive(struct cfc_share_server *server)
{
    struct cfc_share_message alive = {
        .magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_ALIVE, .token = CFC_RECEIVER_SCOPES_MAX};
    uint64_t now = now_ms();

    if (now < server->alive_at_ms) {
        return;
    }
    server->alive_at_ms = now + ALIVE_EVERY_MS;
    for (uint32_t i = 0; i < server->peer_count; i++) {
        if (!server->peers[i]->is_blocked) {
            (void)send_message(server->peers[i], &alive, -1);
        }
    }
}

static int
wait_ms(const struct cfc_share_server *server, bool is_short)
{
    uint64_t now = now_ms();
    int alive_ms = server->alive_at_ms > now ? (int)(server->alive_at_ms - now) : 0;

    return is_short && alive_ms > SHORTAGE_WAIT_MS ? SHORTAGE_WAIT_MS
           : server->peer_count > 0 || is_short    ? alive_ms
                                                   : -1;
}

static void
wait_for_events(struct cfc_share_server *server)
{
    uint64_t count;
    bool is_short;

    server->polls[0] = (struct pollfd){.fd = server->wake_fd, .events = POLLIN};
    server->polls[1] = (struct pollfd){
        .fd = server->listener.fd,
        .events = server->peer_count < CFC_SHARE_PEERS_MAX && !server->is_short ? POLLIN : 0};
    for (uint32_t i = 0; i < server->peer_count; i++) {
        server->polls[i + 2] = (struct pollfd){
            .fd = server->peers[i]->fd,
            .events = (short)(POLLIN | (server->peers[i]->is_blocked ? POLLOUT : 0))};
    }
    is_short = server->is_short;
    server->is_short = false;
    if (poll(server->polls, server->peer_count + 2, wait_ms(server, is_short)) <= 0) {
        return;
    }
    if ((server->polls[0].revents & POLLIN) != 0) {
        (void)!read(server->wake_fd, &count, sizeof(count));
    }
}

static void *
run(void *arg)
{
    struct cfc_share_server *server = arg;

    while (!atomic_load(&server->is_stopping)) {
        uint32_t polled = server->peer_count;

        for (uint32_t i = 0; i < server->config.scope_count; i++) {
            refresh(server, i);
        }
        for (uint32_t i = 0; i < polled; i++) {
            receive(server, server->peers[i]);
            serve_peer(server, server->peers[i]);
        }
        for (uint32_t i = server->peer_count; i-- > 0;) {
            if (server->peers[i]->is_gone) {
                drop_peer(server, i);
            }
        }
        tell_alive(server);
        wait_for_events(server);
        if ((server->polls[1].revents & POLLIN) != 0) {
            take_peer(server);
        }
    }
    return NULL;
}

static void
on_status(void *arg)
{
    struct cfc_share_server *server = arg;
    uint64_t one = 1;

    (void)!write(server->wake_fd, &one, sizeof(one));
}

void
cfc_share_adopt_seed(const char *state_dir)
{
    uint8_t *bytes = NULL;
    uint64_t seed = 0;
    size_t size = 0;
    bool is_new;
    int dir_fd;

    if (cfc_dir_open(AT_FDCWD, state_dir, false, &dir_fd, &is_new) != CONFCAST_OK) {
        return;
    }
    if (cfc_file_read(dir_fd, "seed", sizeof(seed), &bytes, &size) == CONFCAST_OK &&
        size == sizeof(seed)) {
        memcpy(&seed, bytes, sizeof(seed));
        cfc_index_seed_adopt(seed);
    } else {
        seed = cfc_index_seed();
        (void)cfc_file_replace(dir_fd, "seed", &seed, sizeof(seed));
    }
    free(bytes);
    close(dir_fd);
}

/* ---- Start and stop -------------------------------------------------------------------------- */

int
cfc_share_server_start(const struct cfc_share_server_config *config, struct cfc_share_server **out)
{
    struct cfc_share_server *server = calloc(1, sizeof(*server));
    int error;

    *out = NULL;
    if (server == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    server->config = *config;
    server->listener = (struct cfc_unix_listener){.fd = -1, .lock_fd = -1};
    for (uint32_t i = 0; i < CFC_RECEIVER_SCOPES_MAX; i++) {
        server->scopes[i].fd = -1;
    }
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    error = server->wake_fd >= 0 ? cfc_unix_listen(server->config.path, server->config.mode,
                                                   BACKLOG, &server->listener)
                                 : CONFCAST_ERR_RESOURCE;
    if (error == CONFCAST_OK) {
        error = cfc_client_on_status(config->client, on_status, server);
        server->has_hook = error == CONFCAST_OK;
    }
    if (error == CONFCAST_OK) {
        server->has_thread = pthread_create(&server->thread, NULL, run, server) == 0;
        error = server->has_thread ? CONFCAST_OK : CONFCAST_ERR_RESOURCE;
    }
    if (error != CONFCAST_OK) {
        cfc_share_server_stop(server);
        return error;
    }
    *out = server;
    return CONFCAST_OK;
}

void
cfc_share_server_stop(struct cfc_share_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->has_hook) {
        (void)cfc_client_on_status(server->config.client, NULL, NULL);
    }
    atomic_store(&server->is_stopping, true);
    if (server->has_thread) {
        on_status(server);
        pthread_join(server->thread, NULL);
    }
    while (server->peer_count > 0) {
        drop_peer(server, server->peer_count - 1);
    }
    for (uint32_t i = 0; i < CFC_RECEIVER_SCOPES_MAX; i++) {
        if (server->scopes[i].fd >= 0) {
            close(server->scopes[i].fd);
        }
    }
    cfc_unix_listen_close(&server->listener, server->config.path);
    if (server->wake_fd >= 0) {
        close(server->wake_fd);
    }
    free(server);
}
