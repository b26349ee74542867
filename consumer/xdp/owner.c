#include "consumer/xdp/owner.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/fork_guard.h"
#include "consumer/xdp/member.h"
#include "protocol/base/time.h"

#define OPEN_NS                                                                                    \
    (3 * CFC_S) /* a new owner drops nothing for so long: two looks of the others, and more */

enum {
    MESSAGES_MAX = 64, /* of one party in a turn, as long as they have few records */
    EVENTS_MAX = 8,    /* parties in a turn */
    LISTEN_BACKLOG = 64,
};

void
cfc_xdp_owner_init(struct cfc_xdp_owner *o, struct cfc_xdp_wishes *wishes)
{
    *o = (struct cfc_xdp_owner){
        .wishes = wishes, .mode = CONFCAST_XDP_OFF, .listen_fd = -1, .epoll_fd = -1};
}

void
cfc_xdp_owner_close(struct cfc_xdp_owner *o)
{
    struct cfc_xdp_wishes *w = o->wishes;

    while (w->party_count > 1) {
        cfc_xdp_wishes_remove(w, w->party_count - 1);
    }
    cfc_xdp_owner_counts(o, o->counts_before);
    cfc_fork_guard_lock();
    cfc_xdp_filter_close(w->filter);
    w->filter = NULL;
    if (o->listen_fd >= 0) {
        close(o->listen_fd);
    }
    if (o->epoll_fd >= 0) {
        close(o->epoll_fd);
    }
    o->listen_fd = -1;
    o->epoll_fd = -1;
    o->is_listening = false;
    cfc_fork_guard_unlock();
    o->mode = CONFCAST_XDP_OFF;
}

void
cfc_xdp_owner_abandon(struct cfc_xdp_owner *o)
{
    for (uint32_t i = 1; i < o->wishes->party_count; i++) {
        close(o->wishes->parties[i]->fd);
    }
    if (o->wishes->filter != NULL) {
        cfc_xdp_filter_abandon(o->wishes->filter);
    }
    if (o->listen_fd >= 0) {
        close(o->listen_fd);
    }
    if (o->epoll_fd >= 0) {
        close(o->epoll_fd);
    }
}

void
cfc_xdp_owner_settle(struct cfc_xdp_owner *o, uint64_t now_ns)
{
    if (o->wishes->filter != NULL) {
        cfc_xdp_filter_set_open(o->wishes->filter, now_ns < o->open_until_ns ||
                                                       now_ns < o->crowded_until_ns ||
                                                       cfc_xdp_wishes_are_unclear(o->wishes));
    }
}

/* False when the kernel has no room for it. */
static bool
start_listening(struct cfc_xdp_owner *o)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    o->is_listening = epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, o->listen_fd, &event) == 0;
    return o->is_listening;
}

/* Who waits stays in the queue, unheard, and what it wants must pass meanwhile.  Listening on would
 * be told of it for ever. */
static void
pause_listening(struct cfc_xdp_owner *o, uint64_t now_ns)
{
    o->crowded_until_ns = now_ns + OPEN_NS;
    if (o->is_listening) {
        (void)epoll_ctl(o->epoll_fd, EPOLL_CTL_DEL, o->listen_fd, NULL);
        o->is_listening = false;
    }
}

/* BUSY: another process listens on this interface. */
static int
open_listener(struct cfc_xdp_owner *o, unsigned interface_idx)
{
    struct sockaddr_un at;
    socklen_t size = cfc_xdp_member_address(interface_idx, &at);

    o->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    o->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (o->listen_fd < 0 || o->epoll_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    if (bind(o->listen_fd, (struct sockaddr *)&at, size) != 0) {
        return errno == EADDRINUSE ? CONFCAST_ERR_BUSY : CONFCAST_ERR_RESOURCE;
    }
    return listen(o->listen_fd, LISTEN_BACKLOG) == 0 && start_listening(o) ? CONFCAST_OK
                                                                           : CONFCAST_ERR_RESOURCE;
}

static int
open_filter(struct cfc_xdp_owner *o, const struct cfc_xdp_filter_config *fleet,
            unsigned interface_idx, enum confcast_xdp wanted)
{
    int error = cfc_xdp_filter_open(fleet, &o->wishes->filter);

    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_xdp_wishes_tell(o->wishes, o->wishes->filter);
    return cfc_xdp_filter_attach(o->wishes->filter, interface_idx, wanted, &o->mode);
}

int
cfc_xdp_owner_open(struct cfc_xdp_owner *o, const struct cfc_xdp_filter_config *fleet,
                   unsigned interface_idx, enum confcast_xdp wanted, uint64_t now_ns)
{
    int error;

    cfc_fork_guard_lock();
    error = open_listener(o, interface_idx);
    if (error == CONFCAST_OK) {
        error = open_filter(o, fleet, interface_idx, wanted);
    }
    cfc_fork_guard_unlock();
    if (error != CONFCAST_OK) {
        cfc_xdp_owner_close(o);
        return error;
    }
    o->open_until_ns = now_ns + OPEN_NS;
    cfc_xdp_owner_settle(o, now_ns);
    return CONFCAST_OK;
}

static void
apply(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party, const struct cfc_xdp_record *record)
{
    switch (record->operation) {
    case CFC_XDP_WANT:
        cfc_xdp_wishes_want(w, party, record->value);
        break;
    case CFC_XDP_UNWANT:
        cfc_xdp_wishes_unwant(w, party, record->value);
        break;
    case CFC_XDP_PIN_NONE:
        cfc_xdp_wishes_pin(w, party, record->value, 0);
        break;
    case CFC_XDP_PIN_NEEDED:
        cfc_xdp_wishes_pin(w, party, record->value, CFC_XDP_NEEDED);
        break;
    case CFC_XDP_PIN_HELD: /* alone of all, this has frames dropped that would pass */
        cfc_xdp_wishes_pin(w, party, record->value, party->is_trusted ? CFC_XDP_HELD : 0);
        break;
    default:
        party->is_unclear = true; /* a newer version's */
    }
}

/* False when the party has gone.  The rest of what it says waits for the next turn, so that it
 * cannot keep this process from its own work. */
static bool
hear(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party)
{
    struct cfc_xdp_message message;
    uint32_t heard = 0;

    for (int k = 0; k < MESSAGES_MAX && heard < CFC_XDP_RECORDS_MAX; k++) {
        ssize_t n = recv(party->fd, &message, sizeof(message), MSG_DONTWAIT);
        size_t size = (size_t)n;

        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        if (size < offsetof(struct cfc_xdp_message, records) ||
            message.magic != CFC_XDP_MESSAGE_MAGIC || message.count > CFC_XDP_RECORDS_MAX ||
            size != offsetof(struct cfc_xdp_message, records) +
                        message.count * sizeof(struct cfc_xdp_record)) {
            party->is_unclear = true;
            continue;
        }
        for (uint32_t i = 0; i < message.count; i++) {
            apply(w, party, &message.records[i]);
        }
        heard += message.count;
    }
    return true;
}

/* Takes in who waits.  While somebody finds no place, all passes. */
static void
admit(struct cfc_xdp_owner *o, uint64_t now_ns)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = 0;

    for (int i = 0; i < EVENTS_MAX && fd >= 0; i++) {
        struct cfc_xdp_party *party = NULL;

        cfc_fork_guard_lock();
        fd = accept4(o->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            pause_listening(o, now_ns); /* short of descriptors or memory */
        }
        if (fd >= 0 && o->wishes->party_count < CFC_XDP_PARTIES_MAX) {
            party = cfc_xdp_party_new(o->wishes, fd);
        }
        event.data.ptr = party;
        if (party != NULL && epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) {
            cfc_xdp_wishes_add(o->wishes, party);
        } else if (fd >= 0) {
            o->crowded_until_ns = now_ns + OPEN_NS;
            close(fd);
            cfc_xdp_party_free(party);
            party = NULL;
        }
        cfc_fork_guard_unlock();
        if (party != NULL) {
            (void)hear(o->wishes, party); /* one that has gone already shows in the next round */
        }
    }
}

static void
serve_parties(struct cfc_xdp_owner *o, uint64_t now_ns)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(o->epoll_fd, events, EVENTS_MAX, 0);
    bool is_asked = false;
    bool is_one_gone = false; /* forgetting one is work enough for a turn */

    for (int i = 0; i < count && !is_one_gone; i++) {
        struct cfc_xdp_party *party = events[i].data.ptr;

        if (party == NULL) {
            is_asked = true;
        } else if (!hear(o->wishes, party)) {
            uint32_t k = 1;

            while (o->wishes->parties[k] != party) {
                k++;
            }
            cfc_xdp_wishes_remove(o->wishes, k);
            is_one_gone = true;
        }
    }
    if (is_asked) {
        admit(o, now_ns);
    }
}

void
cfc_xdp_owner_serve(struct cfc_xdp_owner *o, uint64_t now_ns, bool is_due)
{
    if (o->wishes->filter == NULL) {
        return;
    }
    if (!o->is_listening && is_due && !start_listening(o)) {
        pause_listening(o, now_ns);
    }
    serve_parties(o, now_ns);
}

void
cfc_xdp_owner_counts(const struct cfc_xdp_owner *o, uint64_t counts[CFC_XDP_VERDICT_COUNT])
{
    uint64_t now[CFC_XDP_VERDICT_COUNT] = {0};

    if (o->wishes->filter != NULL) {
        cfc_xdp_filter_counts(o->wishes->filter, now);
    }
    for (int i = 0; i < CFC_XDP_VERDICT_COUNT; i++) {
        counts[i] = o->counts_before[i] + now[i];
    }
}
