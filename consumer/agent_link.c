#include "consumer/agent_link.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "consumer/client.h"
#include "consumer/fork_guard.h"
#include "consumer/set.h"
#include "consumer/share_wire.h"
#include "consumer/shared_content.h"
#include "protocol/base/prng.h"
#include "protocol/base/time.h"

#define RETRY_MIN_NS   (10 * CFC_MS)
#define RETRY_MAX_NS   CFC_S
#define ANSWER_WAIT_NS CFC_S
#define STALE_AFTER_NS (3 * CFC_S) /* without an agent, or a word of it */
#define SLEEP_MAX_NS   CFC_S

enum {
    RECEIVED_MAX = 64 /* messages before calls and forks get their turn */
};

struct cfc_agent_link {
    pthread_mutex_t lock;
    bool is_forking; /* the lock was taken for a fork by the loop thread, which held it */
    struct sockaddr_un address;
    int fd; /* -1: no connection */
    struct cfc_prng prng;
    uint64_t retry_at_ns;
    uint64_t retry_ns;    /* the last pause */
    uint64_t lost_at_ns;  /* when the connection was lost, or the client opened */
    bool is_told;         /* of the loss */
    bool is_version_told; /* the same of an agent that hangs up unheard */
    bool is_heard;        /* an agent's message came on this connection */
    uint64_t heard_at_ns; /* the last one */
    bool is_receiving;    /* so that a callback that subscribes does not receive inside of it */
    uint32_t asked;       /* of the scopes, on this connection */
    struct cfc_share_message states[CFC_RECEIVER_SCOPES_MAX];
    int answers[CFC_RECEIVER_SCOPES_MAX];  /* AGAIN: none yet on this connection */
    int refusals[CFC_RECEIVER_SCOPES_MAX]; /* why the content below is not served; OK */
    uint8_t refused[CFC_RECEIVER_SCOPES_MAX][32];
};

/* ---- State ----------------------------------------------------------------------------------- */

static void
tell(struct confcast_scope *scope, const char *event, int reason)
{
    const struct cfc_share_message *state = &scope->client->link->states[scope->idx];
    struct cfc_receiver_event about = {.scope_idx = scope->idx,
                                       .epoch = state->epoch,
                                       .version = state->serving,
                                       .reason = reason};

    memcpy(about.content.bytes, state->content, sizeof(about.content.bytes));
    cfc_client_tell(scope->client, event, &about,
                    scope->view != NULL ? scope->view->loaded->body_size : 0);
}

static void
refresh_status(struct confcast *client, struct confcast_scope *scope)
{
    struct cfc_agent_link *link = client->link;
    const struct cfc_share_message *state = &link->states[scope->idx];
    int refusal = link->refusals[scope->idx];
    struct confcast_status status;

    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    status.epoch = state->epoch;
    status.accepted = state->accepted;
    status.published = state->published;
    status.durable = state->durable;
    status.fresh_unix_ns = state->fresh_unix_ns;
    status.state =
        refusal != CONFCAST_OK ? CONFCAST_STATE_REJECTED : (enum confcast_state)state->state;
    status.reason = refusal != CONFCAST_OK ? refusal : state->code;
    status.is_control_silent = (state->flags & CFC_SHARE_IS_CONTROL_SILENT) != 0;
    status.is_stale =
        (state->flags & CFC_SHARE_IS_STALE) != 0 ||
        cfc_client_now().mono_ns - (link->is_heard ? link->heard_at_ns : link->lost_at_ns) >=
            STALE_AFTER_NS;
    if (scope->view != NULL) {
        status.serving = scope->view->served.version;
        status.source = CONFCAST_SOURCE_AGENT;
        memcpy(status.content, scope->view->loaded->id.bytes, sizeof(status.content));
        status.content_size = scope->view->loaded->body_size;
    }
    cfc_client_set_status(scope, &status);
}

/* ---- The connection -------------------------------------------------------------------------- */

static void
lose(struct confcast *client)
{
    struct cfc_agent_link *link = client->link;
    uint64_t now_ns = cfc_client_now().mono_ns;

    if (link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
    }
    /* Who takes connections and says nothing that makes sense is no agent. */
    if (link->is_heard) {
        link->is_heard = false;
        link->lost_at_ns = now_ns;
        link->retry_ns = 0;
    }
    link->retry_ns = link->retry_ns == 0 ? RETRY_MIN_NS : 2 * link->retry_ns;
    link->retry_ns = link->retry_ns < RETRY_MAX_NS ? link->retry_ns : RETRY_MAX_NS;
    /* Spread, since all processes of a host lose their agent at once. */
    link->retry_at_ns = now_ns + link->retry_ns / 2 + cfc_prng_next(&link->prng) % link->retry_ns;
    if (!link->is_told) {
        link->is_told = true;
        cfc_client_say(client, 1, "no agent at %s: what is here goes on being served",
                       link->address.sun_path);
    }
}

static int
transmit(struct confcast *client, const struct cfc_share_message *message)
{
    ssize_t n = send(client->link->fd, message, sizeof(*message), MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n == (ssize_t)sizeof(*message)) {
        return CONFCAST_OK;
    }
    if (n < 0 && errno == EAGAIN) {
        return CONFCAST_ERR_AGAIN;
    }
    lose(client);
    return CONFCAST_ERR_CLOSED;
}

static int
ask(struct confcast *client, struct confcast_scope *scope)
{
    struct cfc_share_message message = {
        .magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_SUBSCRIBE, .token = scope->idx};

    client->link->answers[scope->idx] = CONFCAST_ERR_AGAIN;
    memcpy(message.path, scope->path, sizeof(message.path));
    if (scope->view != NULL) {
        memcpy(message.content, scope->view->loaded->id.bytes, sizeof(message.content));
    }
    return transmit(client, &message);
}

/* Asks for the scopes not asked for yet, as many as the socket takes now. */
static void
ask_rest(struct confcast *client)
{
    struct cfc_agent_link *link = client->link;

    while (link->fd >= 0 && link->asked < client->scope_count &&
           ask(client, client->scopes[link->asked]) == CONFCAST_OK) {
        link->asked++;
    }
}

static void
try_connect(struct confcast *client)
{
    struct cfc_agent_link *link = client->link;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 ||
        connect(fd, (const struct sockaddr *)&link->address, sizeof(link->address)) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        lose(client);
        return;
    }
    link->fd = fd;
    link->asked = 0;
    ask_rest(client);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* A reference of the content that the state names: the one that is served, or that of `fd`. */
static int
content_of(const struct confcast_scope *scope, const struct cfc_share_message *state, int fd,
           struct cfc_loaded **out)
{
    struct cfc_digest id;

    memcpy(id.bytes, state->content, sizeof(id.bytes));
    if (scope->view != NULL && cfc_digest_equal(&scope->view->loaded->id, &id)) {
        *out = cfc_loaded_ref(scope->view->loaded);
        return CONFCAST_OK;
    }
    *out = NULL;
    return fd >= 0 ? cfc_shared_content_map(fd, &id, out) : CONFCAST_ERR_NOT_FOUND;
}

static void
refuse(struct confcast *client, struct confcast_scope *scope, int error)
{
    struct cfc_share_message message = client->link->states[scope->idx];

    client->link->refusals[scope->idx] = error;
    memcpy(client->link->refused[scope->idx], message.content, sizeof(message.content));
    cfc_client_say(client, 1, "content not served scope=%s version=%llu error=%s", scope->path,
                   (unsigned long long)message.serving, confcast_error_word(error));
    tell(scope, "rejected", error);
    message.type = CFC_SHARE_REFUSED;
    message.code = error;
    (void)transmit(client, &message); /* the agent only tells of it */
}

/* This process is short of memory or descriptors (a descriptor that was sent and did not come): the
 * agent has to send the content again, on another connection. */
static bool
is_shortage(const struct cfc_agent_link *link, uint32_t idx, int error, int fd)
{
    bool is_refused = link->refusals[idx] != CONFCAST_OK &&
                      memcmp(link->refused[idx], link->states[idx].content, 32) == 0;

    return error == CONFCAST_ERR_NO_MEMORY || error == CONFCAST_ERR_RESOURCE ||
           (error == CONFCAST_ERR_NOT_FOUND && fd < 0 && !is_refused);
}

static bool
is_under(const struct cfc_served *served, const struct cfc_share_message *state)
{
    return served->version == state->serving && served->epoch == state->epoch &&
           served->phase == state->phase && served->activate_unix_ns == state->activate_unix_ns &&
           served->confirm_unix_ns == state->confirm_unix_ns;
}

static void
on_state(struct confcast *client, struct confcast_scope *scope,
         const struct cfc_share_message *state, int fd)
{
    struct cfc_loaded *loaded = NULL;
    bool is_swapped = false;
    int error;

    client->link->states[scope->idx] = *state;
    if (state->serving == 0) {
        return; /* an agent that has nothing yet: what is here stays */
    }
    if (scope->view != NULL && is_under(&scope->view->served, state) &&
        memcmp(scope->view->loaded->id.bytes, state->content, sizeof(state->content)) == 0) {
        client->link->refusals[scope->idx] = CONFCAST_OK;
        return;
    }
    error = content_of(scope, state, fd, &loaded);
    if (error == CONFCAST_OK) {
        const struct cfc_served served = {.epoch = state->epoch,
                                          .version = state->serving,
                                          .activate_unix_ns = state->activate_unix_ns,
                                          .confirm_unix_ns = state->confirm_unix_ns,
                                          .phase = (uint8_t)state->phase};

        error = cfc_client_swap(scope, loaded, &served);
        is_swapped = error == CONFCAST_OK;
        cfc_loaded_unref(loaded);
    }
    if (is_swapped) {
        client->link->refusals[scope->idx] = CONFCAST_OK;
        tell(scope, "applied", CONFCAST_OK);
    } else if (is_shortage(client->link, scope->idx, error, fd)) {
        cfc_client_say(client, 1, "a content cannot be taken now scope=%s error=%s", scope->path,
                       confcast_error_word(error));
        lose(client);
        client->link->retry_at_ns = cfc_client_now().mono_ns + RETRY_MAX_NS;
    } else if (client->link->refusals[scope->idx] == CONFCAST_OK || fd >= 0) {
        refuse(client, scope, error);
    }
}

static void
on_message(struct confcast *client, const struct cfc_share_message *message, int fd)
{
    struct cfc_agent_link *link = client->link;
    struct confcast_scope *scope;

    if (message->state > CONFCAST_STATE_DEGRADED || message->code > 0) {
        lose(client); /* of no agent of this version */
        return;
    }
    link->is_heard = true;
    link->heard_at_ns = cfc_client_now().mono_ns;
    link->retry_ns = 0;
    link->is_version_told = false;
    if (link->is_told) {
        link->is_told = false;
        cfc_client_say(client, 1, "the agent is there");
    }
    if (message->token >= client->scope_count) {
        return;
    }
    scope = client->scopes[message->token];
    if (message->type == CFC_SHARE_ANSWER) {
        link->answers[scope->idx] = message->code;
    } else if (message->type == CFC_SHARE_STATE) {
        on_state(client, scope, message, fd);
        refresh_status(client, scope);
    }
}

/* AGAIN: nothing there.  *fd is the caller's, -1 = none came. */
static int
receive_one(struct cfc_agent_link *link, struct cfc_share_message *message, int *fd)
{
    struct iovec iov = {.iov_base = message, .iov_len = sizeof(*message)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       /* Without the padding, in which there is room for a second one. */
                       .msg_controllen = CMSG_LEN(sizeof(int))};
    struct cmsghdr *c;
    ssize_t n;

    *fd = -1;
    n = recvmsg(link->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return CONFCAST_ERR_AGAIN;
    }
    c = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(fd, CMSG_DATA(c), sizeof(int));
    }
    return n == (ssize_t)sizeof(*message) && message->magic == CFC_SHARE_MAGIC
               ? CONFCAST_OK
               : CONFCAST_ERR_CLOSED;
}

static void
receive_all(struct confcast *client)
{
    struct cfc_agent_link *link = client->link;

    /* A reader that parks in its section holds up what comes: the agent keeps the newest. */
    for (int i = 0; i < RECEIVED_MAX && link->fd >= 0 && !cfc_client_is_stalled(client) &&
                    !atomic_load(&cfc_fork_is_wanted);
         i++) {
        struct cfc_share_message message;
        int fd;
        int error = receive_one(link, &message, &fd);

        if (error == CONFCAST_OK) {
            on_message(client, &message, fd);
        }
        if (fd >= 0) {
            close(fd);
        }
        if (error == CONFCAST_ERR_CLOSED) {
            if (!link->is_heard && !link->is_version_told) {
                link->is_version_told = true;
                cfc_client_say(client, 1,
                               "%s hangs up: if its agent is of another version than this "
                               "process's library, restart the process",
                               link->address.sun_path);
            }
            lose(client);
        }
        if (error != CONFCAST_OK) {
            return;
        }
    }
}

static void
receive(struct confcast *client)
{
    client->link->is_receiving = true;
    receive_all(client);
    client->link->is_receiving = false;
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void
wait_until(int link_fd, short link_events, int wake_fd, uint64_t deadline_ns)
{
    uint64_t now_ns = cfc_client_now().mono_ns;
    uint64_t wait_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    struct pollfd polls[2] = {{.fd = link_fd, .events = link_events},
                              {.fd = wake_fd, .events = POLLIN}};
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / CFC_S),
                            .tv_nsec = (long)(wait_ns % CFC_S)};
    uint64_t count;

    if (ppoll(polls, 2, &wait, NULL) > 0 && (polls[1].revents & POLLIN) != 0) {
        (void)!read(wake_fd, &count, sizeof(count));
    }
}

static void
stand_back(void)
{
    const struct timespec pause = {.tv_nsec = 50000};

    while (atomic_load(&cfc_fork_is_wanted)) {
        nanosleep(&pause, NULL);
    }
}

static short
events_of(const struct confcast *client)
{
    return client->link->asked < client->scope_count ? POLLIN | POLLOUT : POLLIN;
}

static void
tend(struct confcast *client)
{
    struct cfc_agent_link *link = client->link;

    if (link->fd < 0 && cfc_client_now().mono_ns >= link->retry_at_ns) {
        try_connect(client);
    }
    ask_rest(client);
    receive(client);
    for (uint32_t i = 0; i < client->scope_count; i++) {
        refresh_status(client, client->scopes[i]);
    }
    cfc_sets_update(client);
}

void *
cfc_agent_link_run(void *arg)
{
    struct confcast *client = arg;
    struct cfc_agent_link *link = client->link;

    pthread_mutex_lock(&link->lock);
    while (!atomic_load(&client->is_stopping)) {
        bool is_stalled;
        uint64_t until_ns;
        short events;
        int fd;

        cfc_client_run_calls(client);
        tend(client);
        is_stalled = cfc_client_is_stalled(client);
        until_ns = cfc_client_now().mono_ns + (is_stalled ? RETRY_MIN_NS : SLEEP_MAX_NS);
        fd = is_stalled ? -1 : link->fd;
        if (link->fd < 0 && link->retry_at_ns < until_ns) {
            until_ns = link->retry_at_ns;
        }
        events = events_of(client);
        pthread_mutex_unlock(&link->lock);
        wait_until(fd, events, client->wake_fd, until_ns);
        stand_back();
        pthread_mutex_lock(&link->lock);
    }
    pthread_mutex_unlock(&link->lock);
    cfc_client_end_calls(client);
    return NULL;
}

int
cfc_agent_link_subscribe(struct confcast *client, struct confcast_scope *scope)
{
    struct cfc_agent_link *link = client->link;
    uint64_t deadline_ns = cfc_client_now().mono_ns + ANSWER_WAIT_NS;

    if (client->scope_count == CFC_RECEIVER_SCOPES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (link->fd < 0) {
        try_connect(client);
    }
    scope->idx = client->scope_count;
    memset(&link->states[scope->idx], 0, sizeof(link->states[0]));
    link->refusals[scope->idx] = CONFCAST_OK;
    link->answers[scope->idx] = CONFCAST_ERR_AGAIN;
    client->scopes[client->scope_count++] = scope;
    ask_rest(client);
    while (!link->is_receiving && link->fd >= 0 &&
           link->answers[scope->idx] == CONFCAST_ERR_AGAIN && !cfc_client_is_stalled(client) &&
           cfc_client_now().mono_ns < deadline_ns) {
        wait_until(link->fd, events_of(client), -1, deadline_ns);
        ask_rest(client);
        receive(client);
    }
    /* One behind which a callback subscribed to another keeps its place, and so does one that was
     * published before it was said not to be there: they wait for an agent that has them. */
    if (link->answers[scope->idx] == CONFCAST_ERR_NOT_FOUND && scope->view == NULL &&
        client->scopes[client->scope_count - 1] == scope) {
        client->scope_count--;
        link->asked = link->asked < client->scope_count ? link->asked : client->scope_count;
        return CONFCAST_ERR_NOT_FOUND;
    }
    refresh_status(client, scope);
    return CONFCAST_OK;
}

bool
cfc_agent_link_is_up(const struct confcast *client)
{
    return client->link->fd >= 0;
}

/* ---- Opening, closing, forking --------------------------------------------------------------- */

int
cfc_agent_link_open(struct confcast *client, const char *path)
{
    struct cfc_agent_link *link;
    size_t size = strlen(path);

    if (size == 0 || size >= sizeof(link->address.sun_path)) {
        return CONFCAST_ERR_INVALID;
    }
    link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    pthread_mutex_init(&link->lock, NULL);
    link->address.sun_family = AF_UNIX;
    memcpy(link->address.sun_path, path, size);
    link->fd = -1;
    link->lost_at_ns = cfc_client_now().mono_ns;
    link->prng.state = link->lost_at_ns ^ (uint64_t)getpid();
    client->link = link;
    return CONFCAST_OK;
}

void
cfc_agent_link_close(struct confcast *client)
{
    if (client->link == NULL) {
        return;
    }
    if (client->link->fd >= 0) {
        close(client->link->fd);
    }
    pthread_mutex_destroy(&client->link->lock);
    free(client->link);
    client->link = NULL;
}

bool
cfc_agent_link_try_lock(struct confcast *client)
{
    client->link->is_forking = cfc_client_is_own_thread(client);
    return client->link->is_forking || pthread_mutex_trylock(&client->link->lock) == 0;
}

void
cfc_agent_link_unlock(struct confcast *client)
{
    if (!client->link->is_forking) {
        pthread_mutex_unlock(&client->link->lock);
    }
    client->link->is_forking = false;
}

void
cfc_agent_link_abandon(struct confcast *client)
{
    if (client->link->fd >= 0) {
        close(client->link->fd);
    }
}

/* Other threads of the parent may have been anywhere but under the link's lock: what they share
 * with the loop thread is made anew. */
bool
cfc_agent_link_after_fork(struct confcast *client)
{
    struct cfc_agent_link *link = client->link;

    if (link->is_forking) {
        return false;
    }
    pthread_mutex_init(&link->lock, NULL);
    if (link->fd >= 0) {
        close(link->fd); /* the connection is the parent's */
        link->fd = -1;
    }
    link->is_heard = false;
    link->lost_at_ns = cfc_client_now().mono_ns;
    link->prng.state ^= (uint64_t)getpid() << 32; /* siblings spread, too */
    link->retry_at_ns = 0;
    link->retry_ns = 0;
    close(client->wake_fd);
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client->has_thread = false;
    pthread_mutex_init(&client->call_lock, NULL);
    pthread_cond_init(&client->call_done, NULL);
    client->calls = NULL;
    client->calls_end = &client->calls;
    for (uint32_t i = 0; i < client->scope_count; i++) {
        cfc_client_reset_locks(client->scopes[i]);
    }
    cfc_sets_reset_locks(client);
    return true;
}

void
cfc_agent_link_resume(struct confcast *client)
{
    sigset_t all;
    sigset_t before;

    if (client->has_thread) {
        return;
    }
    /* Signals are the application's affair. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    client->has_thread = pthread_create(&client->thread, NULL, cfc_agent_link_run, client) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!client->has_thread) {
        cfc_client_end_calls(client);
        cfc_client_say(client, 0, "no thread in this forked process: its config stays as it is");
    }
}
