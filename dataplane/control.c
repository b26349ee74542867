#include "dataplane/control_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"

enum {
    MESSAGES_PER_POLL = 64,
    UPCALLS_PER_POLL = 64,
    FDS_PER_PACKET_MAX = 4,
    SEND_BUFFER_SIZE = 1 << 20,
    UPCALL_SIZE_MAX = 64 + CFC_CONSUMER_ID_SIZE_MAX + CFC_FRAME_SIZE_MAX,
};

#define STATS_PERIOD_NS CFC_S

/* True when something answers at the path; removes a socket that nobody listens at any more. */
static bool
is_taken(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct stat st;
    bool is_answered;

    if (fd < 0) {
        return false;
    }
    is_answered = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    if (!is_answered && errno == ECONNREFUSED && lstat(address->sun_path, &st) == 0 &&
        S_ISSOCK(st.st_mode)) {
        unlink(address->sun_path);
    }
    close(fd);
    return is_answered;
}

static int
listen_at(const char *path, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t mask;
    int fd;
    int rc;

    if (strlen(path) >= sizeof(address.sun_path)) {
        cfc_log_error("%s: too long for a socket", path);
        return CONFCAST_ERR_LIMIT;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (is_taken(&address)) {
        cfc_log_error("%s: another engine answers there", path);
        return CONFCAST_ERR_EXISTS;
    }
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        cfc_log_error("socket: %s", strerror(errno));
        return CONFCAST_ERR_RESOURCE;
    }
    mask = umask(S_IRWXG | S_IRWXO);
    rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (rc != 0 || listen(fd, 4) != 0) {
        cfc_log_error("%s: %s", path, strerror(errno));
        close(fd);
        return CONFCAST_ERR_RESOURCE;
    }
    *out = fd;
    return CONFCAST_OK;
}

int
cfc_control_open(const struct cfc_control_config *config, struct cfc_control **out)
{
    struct cfc_control *c = calloc(1, sizeof(*c));
    int rc = CONFCAST_ERR_NO_MEMORY;

    if (c == NULL) {
        return rc;
    }
    c->config = *config;
    c->fd = CFC_CONTROL_NO_FD;
    c->stats_due_ns = CFC_NEVER;
    cfc_arenas_init(&c->arenas, &config->hooks);
    c->ledger = cfc_ledger_new(&c->arenas, config->contents_max, config->scopes_max, config->seed);
    if (c->ledger != NULL) {
        rc = listen_at(config->path, &c->listen_fd);
    }
    if (rc != CONFCAST_OK) {
        cfc_ledger_free(c->ledger);
        free(c);
        return rc;
    }
    *out = c;
    return CONFCAST_OK;
}

static void
disconnect(struct cfc_control *c, const char *why)
{
    cfc_log_info("control plane: %s; what it handed over goes on", why);
    close(c->fd);
    c->fd = CFC_CONTROL_NO_FD;
    c->stats_due_ns = CFC_NEVER;
    c->unsent_size = 0;
    c->answer_count = 0;
}

void
cfc_control_close(struct cfc_control *c)
{
    if (c == NULL) {
        return;
    }
    if (c->fd != CFC_CONTROL_NO_FD) {
        close(c->fd);
    }
    unlink(c->config.path);
    close(c->listen_fd);
    cfc_ledger_free(c->ledger);
    cfc_arenas_close(&c->arenas);
    free(c);
}

/* Sends what an earlier call could not.  False while the socket is full. */
static bool
send_unsent(struct cfc_control *c)
{
    ssize_t sent;

    if (c->unsent_size == 0) {
        return true;
    }
    sent = send(c->fd, c->unsent, c->unsent_size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)) {
        c->stats.blocked++;
        return false;
    }
    c->unsent_size = 0;
    if (sent < 0) {
        disconnect(c, strerror(errno));
        return false;
    }
    c->stats.messages_out++;
    return true;
}

/* False when the socket did not take it at once; it is kept then.  Nothing may be unsent. */
static bool
send_message(struct cfc_control *c, const struct cfc_handoff *message)
{
    int rc;

    assert(c->unsent_size == 0);
    rc = cfc_handoff_encode(message, c->unsent, sizeof(c->unsent), &c->unsent_size);
    if (rc != CONFCAST_OK) {
        cfc_log_error("message %d does not fit: %s", (int)message->type, confcast_error_text(rc));
        c->unsent_size = 0;
        return true;
    }
    return send_unsent(c);
}

static void
refuse_second(int fd)
{
    struct cfc_handoff answer = {.type = CFC_HANDOFF_REFUSED};
    uint8_t packet[64];
    size_t size;

    answer.u.refused.type = CFC_HANDOFF_CONTROL_HELLO;
    answer.u.refused.error = -CONFCAST_ERR_BUSY;
    if (cfc_handoff_encode(&answer, packet, sizeof(packet), &size) == CONFCAST_OK &&
        send(fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        cfc_log_warning("a second control plane left before it was refused");
    }
    close(fd);
    cfc_log_warning("refused a second control plane");
}

/* Whether somebody connects who is to be let in, or told that there is one already.  accept4()
 * makes a whole socket before it finds that nobody does, so that poll() is asked first. */
static bool
is_knocking(const struct cfc_control *c)
{
    struct pollfd fds[2] = {{.fd = c->listen_fd, .events = POLLIN},
                            {.fd = c->fd}}; /* poll(2) skips -1 */
    bool is_leaving;

    if (poll(fds, 2, 0) <= 0) {
        return false;
    }
    /* The control plane closed its end, though what it sent before may not be read yet.  One that
     * was restarted waits until its last life is over. */
    is_leaving = (fds[1].revents & (POLLHUP | POLLERR)) != 0;
    return fds[0].revents != 0 && !is_leaving;
}

static uint32_t
accept_one(struct cfc_control *c, const struct cfc_now *now)
{
    struct cfc_handoff hello = {.type = CFC_HANDOFF_ENGINE_HELLO};
    int size = SEND_BUFFER_SIZE;
    int fd;

    if (!is_knocking(c)) {
        return 0;
    }
    fd = accept4(c->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    if (c->fd != CFC_CONTROL_NO_FD) {
        refuse_second(fd);
        return 1;
    }
    /* Without a larger buffer the socket is only full sooner. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    c->fd = fd;
    c->has_hello = false;
    c->stats_due_ns = now->mono_ns + STATS_PERIOD_NS;
    c->stats.connections++;
    cfc_ledger_begin_connection(c->ledger);
    cfc_log_info("control plane: connected");
    hello.u.engine_hello = c->config.hello;
    (void)send_message(c, &hello);
    return 1;
}

/* The descriptors of a packet: at most one may come, the rest are closed.  False when too many
 * came. */
static bool
take_descriptor(struct msghdr *message, int *fd)
{
    bool is_good = (message->msg_flags & MSG_CTRUNC) == 0;

    *fd = CFC_CONTROL_NO_FD;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            int one;

            memcpy(&one, CMSG_DATA(at) + i * sizeof(int), sizeof(one));
            if (*fd == CFC_CONTROL_NO_FD) {
                *fd = one;
            } else {
                close(one);
                is_good = false;
            }
        }
    }
    return is_good;
}

/* Receives and applies one packet.  False when there is none. */
static bool
receive_one(struct cfc_control *c, const struct cfc_now *now)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * FDS_PER_PACKET_MAX)];
    } control;
    struct iovec iov = {.iov_base = c->packet, .iov_len = sizeof(c->packet)};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    ssize_t size = recvmsg(c->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cfc_handoff message;
    int rc;
    int fd;

    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (size <= 0) {
        disconnect(c, size == 0 || errno == ECONNRESET ? "gone" : strerror(errno));
        return false;
    }
    c->stats.messages_in++;
    rc = take_descriptor(&header, &fd) && (header.msg_flags & MSG_TRUNC) == 0
             ? cfc_handoff_decode(c->packet, (size_t)size, &message)
             : CONFCAST_ERR_LENGTH;
    if (rc == CONFCAST_OK) {
        rc = cfc_control_apply(c, &message, fd, now);
    } else {
        cfc_log_error("cannot read the control plane: %s", confcast_error_text(rc));
    }
    if (fd != CFC_CONTROL_NO_FD) {
        close(fd);
    }
    if (rc != CONFCAST_OK) {
        disconnect(c, "closed, since the two do not understand each other");
        return false;
    }
    return true;
}

/* An upcall as a message.  False for those that are not for the control plane. */
static bool
translate(struct cfc_control *c, const struct cfc_upcall *up, struct cfc_handoff *message)
{
    switch (up->type) {
    case CFC_UPCALL_CONSUMER:
        message->type = CFC_HANDOFF_CONSUMER;
        message->u.consumer = (struct cfc_handoff_consumer){
            .address = up->address, .frame = up->frame, .frame_size = up->frame_size};
        return true;
    case CFC_UPCALL_REPORT:
        message->type = CFC_HANDOFF_REPORT;
        message->u.report = (struct cfc_handoff_report){
            .id = up->id, .id_size = up->id_size, .frame = up->frame, .frame_size = up->frame_size};
        return true;
    case CFC_UPCALL_RELEASED:
        cfc_control_slot_released(c, up->slot);
        return false;
    default:
        assert(false);
        return false;
    }
}

static uint32_t
send_answers(struct cfc_control *c)
{
    const uint32_t answers_max = sizeof(c->answers) / sizeof(c->answers[0]);
    uint32_t count = 0;

    while (c->answer_count > 0 && c->unsent_size == 0 && c->fd != CFC_CONTROL_NO_FD) {
        const struct cfc_handoff *answer = &c->answers[c->answer_first];

        c->answer_first = (c->answer_first + 1) % answers_max;
        c->answer_count--;
        (void)send_message(c, answer);
        count++;
    }
    return count;
}

/* Adds a CONSUMER or a REPORT to the packet that is being made: a packet costs both sides more than
 * the messages in it. */
static void
join_message(struct cfc_control *c, const struct cfc_handoff *message)
{
    size_t size;
    int rc = cfc_handoff_encode(message, c->unsent + c->unsent_size,
                                sizeof(c->unsent) - c->unsent_size, &size);

    if (rc != CONFCAST_OK) {
        cfc_log_error("message %d does not fit: %s", (int)message->type, confcast_error_text(rc));
        return;
    }
    c->unsent_size += size;
}

static uint32_t
send_upcalls(struct cfc_control *c)
{
    struct cfc_handoff message;
    struct cfc_upcall up;
    uint32_t count = 0;

    if (c->unsent_size > 0) {
        return 0;
    }
    while (count < UPCALLS_PER_POLL && c->answer_count == 0 && c->fd != CFC_CONTROL_NO_FD &&
           cfc_sender_poll_upcall(c->config.sender, &up) == CONFCAST_OK) {
        if (translate(c, &up, &message)) {
            join_message(c, &message);
        }
        count++;
        if (c->unsent_size > sizeof(c->unsent) - UPCALL_SIZE_MAX && !send_unsent(c)) {
            return count;
        }
    }
    if (c->fd != CFC_CONTROL_NO_FD) {
        (void)send_unsent(c);
    }
    return count;
}

static void
send_stats(struct cfc_control *c, const struct cfc_now *now)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_ENGINE_STATS};

#define COUNT_(name) +1
    message.u.engine_stats.count = 0 CFC_ENGINE_COUNTERS(COUNT_);
#undef COUNT_
    _Static_assert(sizeof(message.u.engine_stats.values) >= 64 * sizeof(uint64_t), "counters");
    c->config.stats(c->config.ctx, message.u.engine_stats.values);
    (void)send_message(c, &message);
    c->stats_due_ns = now->mono_ns + STATS_PERIOD_NS;
}

uint32_t
cfc_control_poll(struct cfc_control *c, const struct cfc_now *now)
{
    uint32_t count = accept_one(c, now);

    for (uint32_t i = 0; i < MESSAGES_PER_POLL && c->fd != CFC_CONTROL_NO_FD; i++) {
        if (!receive_one(c, now)) {
            break;
        }
        count++;
    }
    if (c->fd == CFC_CONTROL_NO_FD || !send_unsent(c)) {
        return count;
    }
    count += send_answers(c);
    count += send_upcalls(c);
    if (c->fd != CFC_CONTROL_NO_FD && c->unsent_size == 0 && now->mono_ns >= c->stats_due_ns) {
        send_stats(c, now);
    }
    return count;
}

uint32_t
cfc_control_wait_on(const struct cfc_control *c, struct pollfd fds[2])
{
    fds[0] = (struct pollfd){.fd = c->listen_fd, .events = POLLIN};
    if (c->fd == CFC_CONTROL_NO_FD) {
        return 1;
    }
    fds[1] = (struct pollfd){.fd = c->fd, .events = POLLIN};
    if (c->unsent_size > 0) {
        fds[1].events |= POLLOUT;
    }
    return 2;
}

uint64_t
cfc_control_deadline(const struct cfc_control *c)
{
    return c->unsent_size > 0 ? CFC_NEVER : c->stats_due_ns;
}

bool
cfc_control_is_connected(const struct cfc_control *c)
{
    return c->fd != CFC_CONTROL_NO_FD;
}

uint64_t
cfc_control_arena_size(const struct cfc_control *c)
{
    return cfc_arenas_size(&c->arenas);
}

const struct cfc_control_stats *
cfc_control_stats(const struct cfc_control *c)
{
    return &c->stats;
}
