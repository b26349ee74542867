#include "consumer/xdp/host.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/fork_guard.h"
#include "consumer/xdp/wish_map.h"
#include "protocol/base/time.h"

#define TEND_NS  CFC_S        /* between two looks at the interface and for an owner */
#define OPEN_NS  (3 * CFC_S)  /* a new owner drops nothing for so long: more than two TEND_NS */
#define RETRY_NS (10 * CFC_S) /* between two tries to own the filter */

enum {
    PARTIES_MAX = 1 + CFC_XDP_HOST_MEMBERS_MAX,
    RECORDS_MAX = 255,
    MESSAGES_MAX = 64,          /* of one party in a turn, as long as they have few records */
    MESSAGE_MAGIC = 0x31584643, /* "CFX1" */
    EVENTS_MAX = 8,             /* parties in a turn */
    LISTEN_BACKLOG = 64,
};

/* What one process tells the owner: host order, since it is this host's. */
enum operation {
    WANT = 1,   /* value: scope id */
    UNWANT = 2, /* value: scope id */
    PIN_NONE = 3,
    PIN_NEEDED = 4, /* value: content key */
    PIN_HELD = 5,
};

_Static_assert((int)PARTIES_MAX *CFC_XDP_HOST_SCOPES_MAX <= (int)CFC_XDP_WANTED_MAX,
               "every process's scopes fit the filter");

struct record {
    uint32_t operation;
    uint32_t zero;
    uint64_t value;
};

struct message {
    uint32_t magic;
    uint32_t count;
    struct record records[RECORDS_MAX];
};

/* What one process wants; the first one is this process. */
struct party {
    int fd;
    bool is_unclear; /* it wants more than was noted */
    bool is_trusted; /* of this user, or root's: what it holds counts */
    uint32_t scope_count;
    uint64_t scopes[CFC_XDP_HOST_SCOPES_MAX];
    struct cfc_wish_map pins;
};

/* Contents that the head of an own scope names; in the order of the first party's scopes. */
struct named {
    uint32_t count;
    uint64_t keys[CFC_XDP_HOST_NAMED_MAX];
};

struct cfc_xdp_host {
    char interface[IF_NAMESIZE];
    enum confcast_xdp wanted;
    struct cfc_xdp_filter_config fleet;
    void (*say)(void *arg, int level, const char *line);
    void *say_arg;

    unsigned interface_idx; /* 0: it is not there */
    struct party *parties[PARTIES_MAX];
    uint32_t party_count;
    struct cfc_wish_map scopes; /* of all parties */
    struct cfc_wish_map pins;   /* likewise */
    uint32_t needed_count;      /* of pins: keys that somebody needs */
    struct named named[CFC_XDP_HOST_SCOPES_MAX];
    uint64_t now_ns;
    uint64_t tend_ns;  /* the next look */
    uint64_t retry_ns; /* the next try to own the filter */

    /* As the owner. */
    struct cfc_xdp_filter *filter;
    enum confcast_xdp mode;
    int listen_fd;
    int epoll_fd;
    bool is_listening; /* the listener is in the epoll set */
    uint64_t open_until_ns;
    uint64_t crowded_until_ns;                     /* somebody found no place, and comes again */
    uint64_t counts_before[CFC_XDP_VERDICT_COUNT]; /* of filters that are gone */

    /* As one of the others. */
    int owner_fd;
    struct message outbox;

    int error;
};

__attribute__((format(printf, 3, 4))) static void
say(struct cfc_xdp_host *host, int level, const char *format, ...)
{
    char line[256];
    va_list args;

    if (host->say == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    host->say(host->say_arg, level, line);
}

/* ---- What each party wants ------------------------------------------------------------------- */

static struct party *
new_party(const struct cfc_xdp_host *host, int fd)
{
    struct party *party = calloc(1, sizeof(*party));
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t size = sizeof(who);

    if (party == NULL) {
        return NULL;
    }
    party->fd = fd;
    party->is_trusted = fd < 0 || (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
                                   (who.uid == 0 || who.uid == geteuid()));
    party->pins =
        (struct cfc_wish_map){.count_max = CFC_XDP_HOST_CONTENTS_MAX, .seed = host->pins.seed};
    return party;
}

static void
free_party(struct party *party)
{
    if (party != NULL) {
        cfc_wish_map_clear(&party->pins);
        free(party);
    }
}

static uint32_t
find_scope(const struct party *party, uint64_t scope_id)
{
    uint32_t i = 0;

    while (i < party->scope_count && party->scopes[i] != scope_id) {
        i++;
    }
    return i;
}

/* Whoever needs it outdoes all that hold it. */
static uint32_t
pin_in(const struct cfc_wish_map *pins, uint64_t key)
{
    const struct cfc_wish *wish = cfc_wish_map_find(pins, key);

    return wish == NULL ? 0 : wish->needed > 0 ? CFC_XDP_NEEDED : CFC_XDP_HELD;
}

static void
settle(struct cfc_xdp_host *host)
{
    bool is_open = host->now_ns < host->open_until_ns || host->now_ns < host->crowded_until_ns;

    for (uint32_t i = 0; i < host->party_count; i++) {
        is_open = is_open || host->parties[i]->is_unclear;
    }
    if (host->filter != NULL) {
        cfc_xdp_filter_set_open(host->filter, is_open);
    }
}

static void
add_scope(struct cfc_xdp_host *host, struct party *party, uint64_t scope_id)
{
    if (find_scope(party, scope_id) < party->scope_count) {
        return;
    }
    if (party->scope_count == CFC_XDP_HOST_SCOPES_MAX ||
        cfc_wish_map_add(&host->scopes, scope_id, 1, 0) != CONFCAST_OK) {
        party->is_unclear = true;
        return;
    }
    if (host->filter != NULL && cfc_wish_map_find(&host->scopes, scope_id)->needed == 1) {
        cfc_xdp_filter_want(host->filter, scope_id);
    }
    party->scopes[party->scope_count++] = scope_id;
}

static void
remove_scope(struct cfc_xdp_host *host, struct party *party, uint64_t scope_id)
{
    uint32_t i = find_scope(party, scope_id);

    if (i == party->scope_count) {
        return;
    }
    party->scopes[i] = party->scopes[--party->scope_count];
    (void)cfc_wish_map_add(&host->scopes, scope_id, -1, 0);
    if (host->filter != NULL && cfc_wish_map_find(&host->scopes, scope_id) == NULL) {
        cfc_xdp_filter_unwant(host->filter, scope_id);
    }
}

/* That a content is held is only worth something, that it is needed must not be lost. */
static void
set_pin(struct cfc_xdp_host *host, struct party *party, uint64_t key, uint32_t pin)
{
    uint32_t before = pin_in(&party->pins, key);
    uint32_t before_all = pin_in(&host->pins, key);
    uint32_t after_all;
    int needed = (pin == CFC_XDP_NEEDED) - (before == CFC_XDP_NEEDED);
    int held = (pin == CFC_XDP_HELD) - (before == CFC_XDP_HELD);

    if (pin == before) {
        return;
    }
    if (cfc_wish_map_add(&party->pins, key, needed, held) != CONFCAST_OK) {
        party->is_unclear = party->is_unclear || pin == CFC_XDP_NEEDED;
        return;
    }
    if (cfc_wish_map_add(&host->pins, key, needed, held) != CONFCAST_OK) {
        (void)cfc_wish_map_add(&party->pins, key, -needed, -held);
        party->is_unclear = party->is_unclear || pin == CFC_XDP_NEEDED;
        return;
    }
    after_all = pin_in(&host->pins, key);
    host->needed_count += (after_all == CFC_XDP_NEEDED);
    host->needed_count -= (before_all == CFC_XDP_NEEDED);
    if (host->filter != NULL && after_all != before_all) {
        cfc_xdp_filter_pin(host->filter, key, after_all);
    }
}

/* Its wishes end with it. */
static void
remove_party(struct cfc_xdp_host *host, uint32_t i)
{
    struct party *party = host->parties[i];
    uint32_t at = 0;

    while (party->scope_count > 0) {
        remove_scope(host, party, party->scopes[party->scope_count - 1]);
    }
    for (const struct cfc_wish *wish; (wish = cfc_wish_map_next(&party->pins, &at)) != NULL;) {
        set_pin(host, party, wish->key, 0);
    }
    cfc_fork_guard_lock();
    close(party->fd); /* which takes it out of the epoll set */
    free_party(party);
    host->parties[i] = host->parties[--host->party_count];
    cfc_fork_guard_unlock();
}

/* ---- As one of the others -------------------------------------------------------------------- */

static socklen_t
name_socket(unsigned interface_idx, struct sockaddr_un *at)
{
    int size;

    memset(at, 0, sizeof(*at));
    at->sun_family = AF_UNIX;
    size = snprintf(at->sun_path + 1, sizeof(at->sun_path) - 1, "confcast-xdp-%u", interface_idx);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size);
}

static void
leave_owner(struct cfc_xdp_host *host)
{
    if (host->owner_fd >= 0) {
        cfc_fork_guard_lock();
        close(host->owner_fd);
        host->owner_fd = -1;
        cfc_fork_guard_unlock();
    }
    host->outbox.count = 0;
}

/* What cannot be sent now is sent again, with all else, after the next look. */
static void
flush(struct cfc_xdp_host *host)
{
    size_t size = offsetof(struct message, records) + host->outbox.count * sizeof(struct record);

    if (host->owner_fd >= 0 && host->outbox.count > 0 &&
        send(host->owner_fd, &host->outbox, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size) {
        leave_owner(host);
    }
    host->outbox.count = 0;
}

static void
tell(struct cfc_xdp_host *host, enum operation operation, uint64_t value)
{
    if (host->owner_fd < 0) {
        return;
    }
    if (host->outbox.count == RECORDS_MAX) {
        flush(host);
    }
    host->outbox.records[host->outbox.count++] =
        (struct record){.operation = operation, .value = value};
}

static void
tell_pin(struct cfc_xdp_host *host, uint64_t key, uint32_t pin)
{
    tell(host, pin == CFC_XDP_NEEDED ? PIN_NEEDED : pin == CFC_XDP_HELD ? PIN_HELD : PIN_NONE, key);
}

static void
tell_all(struct cfc_xdp_host *host)
{
    const struct party *own = host->parties[0];
    const struct cfc_wish *wish;

    for (uint32_t i = 0; i < own->scope_count; i++) {
        tell(host, WANT, own->scopes[i]);
    }
    for (uint32_t at = 0; (wish = cfc_wish_map_next(&own->pins, &at)) != NULL; at++) {
        tell_pin(host, wish->key, wish->needed > 0 ? CFC_XDP_NEEDED : CFC_XDP_HELD);
    }
    flush(host);
}

/* Finds the owner of this interface's filter, if there is one. */
static void
join_owner(struct cfc_xdp_host *host)
{
    struct sockaddr_un at;
    socklen_t size = name_socket(host->interface_idx, &at);

    cfc_fork_guard_lock();
    host->owner_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (host->owner_fd >= 0 && connect(host->owner_fd, (struct sockaddr *)&at, size) != 0) {
        close(host->owner_fd);
        host->owner_fd = -1;
    }
    cfc_fork_guard_unlock();
    if (host->owner_fd >= 0) {
        tell_all(host);
    }
}

/* The owner says nothing; that it is gone shows in the socket. */
static bool
is_owner_gone(const struct cfc_xdp_host *host)
{
    uint8_t byte;
    ssize_t n = recv(host->owner_fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* ---- As the owner ---------------------------------------------------------------------------- */

static void
close_owner(struct cfc_xdp_host *host)
{
    uint64_t counts[CFC_XDP_VERDICT_COUNT];

    while (host->party_count > 1) {
        remove_party(host, host->party_count - 1);
    }
    if (host->filter != NULL) {
        cfc_xdp_filter_counts(host->filter, counts);
        for (int i = 0; i < CFC_XDP_VERDICT_COUNT; i++) {
            host->counts_before[i] += counts[i];
        }
    }
    cfc_fork_guard_lock();
    cfc_xdp_filter_close(host->filter);
    host->filter = NULL;
    if (host->listen_fd >= 0) {
        close(host->listen_fd);
    }
    if (host->epoll_fd >= 0) {
        close(host->epoll_fd);
    }
    host->listen_fd = -1;
    host->epoll_fd = -1;
    host->is_listening = false;
    cfc_fork_guard_unlock();
    host->mode = CONFCAST_XDP_OFF;
}

/* False when the kernel has no room for it. */
static bool
start_listening(struct cfc_xdp_host *host)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    host->is_listening = epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, host->listen_fd, &event) == 0;
    return host->is_listening;
}

/* Who waits stays in the queue, unheard, and what it wants must pass meanwhile.  Listening on would
 * be told of it for ever. */
static void
pause_listening(struct cfc_xdp_host *host)
{
    host->crowded_until_ns = host->now_ns + OPEN_NS;
    if (host->is_listening) {
        (void)epoll_ctl(host->epoll_fd, EPOLL_CTL_DEL, host->listen_fd, NULL);
        host->is_listening = false;
    }
}

/* BUSY: another process listens on this interface. */
static int
open_listener(struct cfc_xdp_host *host)
{
    struct sockaddr_un at;
    socklen_t size = name_socket(host->interface_idx, &at);

    host->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    host->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (host->listen_fd < 0 || host->epoll_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    if (bind(host->listen_fd, (struct sockaddr *)&at, size) != 0) {
        return errno == EADDRINUSE ? CONFCAST_ERR_BUSY : CONFCAST_ERR_RESOURCE;
    }
    return listen(host->listen_fd, LISTEN_BACKLOG) == 0 && start_listening(host)
               ? CONFCAST_OK
               : CONFCAST_ERR_RESOURCE;
}

static int
open_filter(struct cfc_xdp_host *host)
{
    const struct cfc_wish *wish;
    int error = cfc_xdp_filter_open(&host->fleet, &host->filter);

    if (error != CONFCAST_OK) {
        return error;
    }
    for (uint32_t at = 0; (wish = cfc_wish_map_next(&host->scopes, &at)) != NULL; at++) {
        cfc_xdp_filter_want(host->filter, wish->key);
    }
    for (uint32_t at = 0; (wish = cfc_wish_map_next(&host->pins, &at)) != NULL; at++) {
        cfc_xdp_filter_pin(host->filter, wish->key, pin_in(&host->pins, wish->key));
    }
    return cfc_xdp_filter_attach(host->filter, host->interface_idx, host->wanted, &host->mode);
}

/* All that is needed fits the filter again. */
static void
retry_needs(struct cfc_xdp_host *host)
{
    const struct cfc_wish *wish;

    cfc_xdp_filter_retry_needs(host->filter);
    for (uint32_t at = 0; (wish = cfc_wish_map_next(&host->pins, &at)) != NULL; at++) {
        if (wish->needed > 0) {
            cfc_xdp_filter_pin(host->filter, wish->key, CFC_XDP_NEEDED);
        }
    }
}

/* One line for each new reason. */
static void
note(struct cfc_xdp_host *host, int error, const char *why)
{
    if (error == CONFCAST_OK) {
        say(host, 2, "XDP filter attached interface=%s mode=%s", host->interface,
            host->mode == CONFCAST_XDP_NATIVE ? "native" : "generic");
    } else if (error != host->error) {
        say(host, error == CONFCAST_ERR_BUSY ? 2 : 1, "no XDP filter interface=%s error=%s: %s",
            host->interface, confcast_error_word(error), why);
    }
    host->error = error;
}

static const char *
why_not(int error)
{
    switch (error) {
    case CONFCAST_ERR_PERMISSION:
        return "it takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN";
    case CONFCAST_ERR_BUSY:
        return "another process's is there, and is told what is wanted here";
    case CONFCAST_ERR_EXISTS:
        return "another XDP program is there";
    case CONFCAST_ERR_UNAVAILABLE:
        return "the kernel or the interface does not take it";
    default:
        return confcast_error_text(error);
    }
}

/* What brings frames to others than the processes of this namespace would be robbed of them. */
static bool
is_shared(const struct cfc_xdp_host *host)
{
    return host->wanted == CONFCAST_XDP_AUTO && cfc_xdp_filter_is_shared(host->interface);
}

static void
become_owner(struct cfc_xdp_host *host)
{
    int error;

    host->retry_ns = host->now_ns + RETRY_NS;
    if (is_shared(host)) {
        note(host, CONFCAST_ERR_UNAVAILABLE,
             "a bridge, bond, VLAN or macvlan is on it, and others may listen there");
        return;
    }
    if (host->error == CONFCAST_ERR_EXISTS && cfc_xdp_filter_is_occupied(host->interface_idx)) {
        return; /* nothing to load for */
    }
    cfc_fork_guard_lock();
    error = open_listener(host);
    if (error == CONFCAST_OK) {
        error = open_filter(host);
    }
    cfc_fork_guard_unlock();
    if (error == CONFCAST_OK) {
        host->open_until_ns = host->now_ns + OPEN_NS;
        settle(host);
    } else {
        close_owner(host);
    }
    if (error == CONFCAST_ERR_PERMISSION || error == CONFCAST_ERR_UNAVAILABLE) {
        host->retry_ns = CFC_NEVER; /* but for another interface of this name */
    }
    note(host, error, why_not(error));
}

static void
apply(struct cfc_xdp_host *host, struct party *party, const struct record *record)
{
    switch (record->operation) {
    case WANT:
        add_scope(host, party, record->value);
        break;
    case UNWANT:
        remove_scope(host, party, record->value);
        break;
    case PIN_NONE:
        set_pin(host, party, record->value, 0);
        break;
    case PIN_NEEDED:
        set_pin(host, party, record->value, CFC_XDP_NEEDED);
        break;
    case PIN_HELD: /* alone of all, this has frames dropped that would pass */
        set_pin(host, party, record->value, party->is_trusted ? CFC_XDP_HELD : 0);
        break;
    default:
        party->is_unclear = true; /* a newer version's */
    }
}

/* False when the party has gone.  The rest of what it says waits for the next turn, so that it
 * cannot keep this process from its own work. */
static bool
hear(struct cfc_xdp_host *host, struct party *party)
{
    struct message message;
    uint32_t heard = 0;

    for (int k = 0; k < MESSAGES_MAX && heard < RECORDS_MAX; k++) {
        ssize_t n = recv(party->fd, &message, sizeof(message), MSG_DONTWAIT);
        size_t size = (size_t)n;

        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        if (size < offsetof(struct message, records) || message.magic != MESSAGE_MAGIC ||
            message.count > RECORDS_MAX ||
            size != offsetof(struct message, records) + message.count * sizeof(struct record)) {
            party->is_unclear = true;
            continue;
        }
        for (uint32_t i = 0; i < message.count; i++) {
            apply(host, party, &message.records[i]);
        }
        heard += message.count;
    }
    return true;
}

/* Takes in who waits.  While somebody finds no place, all passes. */
static void
admit(struct cfc_xdp_host *host)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = 0;

    for (int i = 0; i < EVENTS_MAX && fd >= 0; i++) {
        struct party *party = NULL;

        cfc_fork_guard_lock();
        fd = accept4(host->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            pause_listening(host); /* short of descriptors or memory */
        }
        if (fd >= 0 && host->party_count <= CFC_XDP_HOST_MEMBERS_MAX) {
            party = new_party(host, fd);
        }
        event.data.ptr = party;
        if (party != NULL && epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) {
            host->parties[host->party_count++] = party;
        } else if (fd >= 0) {
            host->crowded_until_ns = host->now_ns + OPEN_NS;
            close(fd);
            free_party(party);
            party = NULL;
        }
        cfc_fork_guard_unlock();
        if (party != NULL) {
            (void)hear(host, party); /* one that has gone already shows in the next round */
        }
    }
}

static void
serve_members(struct cfc_xdp_host *host)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(host->epoll_fd, events, EVENTS_MAX, 0);
    bool is_asked = false;
    bool is_one_gone = false; /* forgetting one is work enough for a turn */

    for (int i = 0; i < count && !is_one_gone; i++) {
        struct party *party = events[i].data.ptr;

        if (party == NULL) {
            is_asked = true;
        } else if (!hear(host, party)) {
            uint32_t k = 1;

            while (host->parties[k] != party) {
                k++;
            }
            remove_party(host, k);
            is_one_gone = true;
        }
    }
    if (is_asked) {
        admit(host);
    }
}

/* ---- Calls ----------------------------------------------------------------------------------- */

int
cfc_xdp_host_open(const struct cfc_xdp_host_config *config, struct cfc_xdp_host **out)
{
    struct cfc_xdp_host *host = calloc(1, sizeof(*host));
    uint64_t seed;

    *out = NULL;
    if (host == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    host->listen_fd = -1;
    host->epoll_fd = -1;
    host->owner_fd = -1;
    host->outbox.magic = MESSAGE_MAGIC;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        free(host);
        return CONFCAST_ERR_RESOURCE;
    }
    host->scopes =
        (struct cfc_wish_map){.count_max = PARTIES_MAX * CFC_XDP_HOST_SCOPES_MAX, .seed = seed};
    host->pins =
        (struct cfc_wish_map){.count_max = PARTIES_MAX * CFC_XDP_HOST_CONTENTS_MAX, .seed = seed};
    host->parties[0] = new_party(host, -1);
    if (host->parties[0] == NULL) {
        free(host);
        return CONFCAST_ERR_NO_MEMORY;
    }
    host->party_count = 1;
    snprintf(host->interface, sizeof(host->interface), "%s", config->interface);
    host->wanted = config->wanted;
    host->fleet = config->fleet;
    host->say = config->say;
    host->say_arg = config->say_arg;
    *out = host;
    cfc_xdp_host_tend(host, config->now_ns);
    return CONFCAST_OK;
}

void
cfc_xdp_host_close(struct cfc_xdp_host *host)
{
    if (host == NULL) {
        return;
    }
    close_owner(host);
    leave_owner(host);
    free_party(host->parties[0]);
    cfc_wish_map_clear(&host->scopes);
    cfc_wish_map_clear(&host->pins);
    free(host);
}

void
cfc_xdp_host_abandon(struct cfc_xdp_host *host)
{
    if (host == NULL) {
        return;
    }
    for (uint32_t i = 1; i < host->party_count; i++) {
        close(host->parties[i]->fd);
    }
    if (host->filter != NULL) {
        cfc_xdp_filter_abandon(host->filter);
    }
    if (host->listen_fd >= 0) {
        close(host->listen_fd);
    }
    if (host->epoll_fd >= 0) {
        close(host->epoll_fd);
    }
    if (host->owner_fd >= 0) {
        close(host->owner_fd);
    }
}

/* This process's word on a content: held, else needed when a head in force names it. */
static void
refresh(struct cfc_xdp_host *host, uint64_t key, bool is_held)
{
    uint32_t pin = is_held ? CFC_XDP_HELD : 0;

    for (uint32_t i = 0; pin == 0 && i < host->parties[0]->scope_count; i++) {
        for (uint32_t k = 0; k < host->named[i].count; k++) {
            pin = host->named[i].keys[k] == key ? CFC_XDP_NEEDED : pin;
        }
    }
    if (pin_in(&host->parties[0]->pins, key) != pin) {
        set_pin(host, host->parties[0], key, pin);
        tell_pin(host, key, pin);
    }
}

static void
refresh_named(struct cfc_xdp_host *host, const struct named *named)
{
    for (uint32_t i = 0; i < named->count; i++) {
        refresh(host, named->keys[i],
                pin_in(&host->parties[0]->pins, named->keys[i]) == CFC_XDP_HELD);
    }
}

void
cfc_xdp_host_want(struct cfc_xdp_host *host, uint64_t scope_id)
{
    struct party *own;

    if (host == NULL) {
        return;
    }
    own = host->parties[0];
    if (find_scope(own, scope_id) < own->scope_count) {
        return;
    }
    add_scope(host, own, scope_id);
    if (own->scope_count > 0 && own->scopes[own->scope_count - 1] == scope_id) {
        host->named[own->scope_count - 1].count = 0;
    }
    settle(host);
    tell(host, WANT, scope_id);
    flush(host);
}

void
cfc_xdp_host_unwant(struct cfc_xdp_host *host, uint64_t scope_id)
{
    struct named gone;
    struct party *own;
    uint32_t i;

    if (host == NULL) {
        return;
    }
    own = host->parties[0];
    i = find_scope(own, scope_id);
    if (i == own->scope_count) {
        return;
    }
    gone = host->named[i];
    host->named[i] = host->named[own->scope_count - 1];
    remove_scope(host, own, scope_id);
    refresh_named(host, &gone);
    tell(host, UNWANT, scope_id);
    flush(host);
}

void
cfc_xdp_host_named(struct cfc_xdp_host *host, uint64_t scope_id, const uint64_t *content_keys,
                   size_t count)
{
    struct named before;
    uint32_t i;

    if (host == NULL) {
        return;
    }
    i = find_scope(host->parties[0], scope_id);
    if (i == host->parties[0]->scope_count || count > CFC_XDP_HOST_NAMED_MAX) {
        return;
    }
    before = host->named[i];
    host->named[i].count = (uint32_t)count;
    for (size_t k = 0; k < count; k++) {
        host->named[i].keys[k] = content_keys[k];
    }
    refresh_named(host, &host->named[i]);
    refresh_named(host, &before);
    settle(host);
    flush(host);
}

void
cfc_xdp_host_held(struct cfc_xdp_host *host, uint64_t content_key)
{
    if (host != NULL) {
        refresh(host, content_key, true);
        flush(host);
    }
}

void
cfc_xdp_host_dropped(struct cfc_xdp_host *host, uint64_t content_key)
{
    if (host != NULL) {
        refresh(host, content_key, false);
        settle(host);
        flush(host);
    }
}

/* ---- Looking after it ------------------------------------------------------------------------ */

/* Everything anew when the interface is another one, or gone. */
static void
look_at_interface(struct cfc_xdp_host *host)
{
    unsigned idx = if_nametoindex(host->interface);

    if (idx != host->interface_idx) {
        close_owner(host);
        leave_owner(host);
        host->interface_idx = idx;
        host->error = CONFCAST_OK;
        host->retry_ns = 0;
    } else if (host->filter != NULL && !cfc_xdp_filter_is_attached(host->filter)) {
        say(host, 1, "somebody detached the XDP filter interface=%s", host->interface);
        close_owner(host);
    } else if (host->filter != NULL && is_shared(host)) {
        close_owner(host);
        host->retry_ns = 0; /* which says why not */
    }
}

void
cfc_xdp_host_tend(struct cfc_xdp_host *host, uint64_t now_ns)
{
    if (host == NULL) {
        return;
    }
    host->now_ns = now_ns;
    if (host->filter != NULL && !host->is_listening && now_ns >= host->tend_ns &&
        !start_listening(host)) {
        pause_listening(host);
    }
    if (host->filter != NULL) {
        serve_members(host);
    }
    if (now_ns >= host->tend_ns) {
        host->tend_ns = now_ns + TEND_NS;
        look_at_interface(host);
        if (host->filter != NULL && cfc_xdp_filter_has_lost_need(host->filter) &&
            host->needed_count <= CFC_XDP_PINNED_MAX) {
            retry_needs(host);
        }
        if (host->owner_fd >= 0 && is_owner_gone(host)) {
            leave_owner(host);
            host->retry_ns = 0;
        }
        if (host->interface_idx != 0 && host->filter == NULL && host->owner_fd < 0) {
            if (host->wanted != CONFCAST_XDP_OFF && now_ns >= host->retry_ns) {
                become_owner(host);
            }
            if (host->filter == NULL) {
                join_owner(host);
            }
        }
    }
    settle(host);
}

int
cfc_xdp_host_fd(const struct cfc_xdp_host *host)
{
    return host != NULL ? host->epoll_fd : -1;
}

void
cfc_xdp_host_stats(const struct cfc_xdp_host *host, struct cfc_xdp_host_stats *out)
{
    *out = (struct cfc_xdp_host_stats){.mode = CONFCAST_XDP_OFF};
    if (host == NULL) {
        return;
    }
    out->mode = host->mode;
    out->error = host->filter != NULL ? CONFCAST_OK : host->error;
    out->members = host->party_count - 1;
    out->is_member = host->owner_fd >= 0;
    if (host->filter != NULL) {
        out->is_open = cfc_xdp_filter_is_open(host->filter);
        cfc_xdp_filter_counts(host->filter, out->counts);
    }
    for (int i = 0; i < CFC_XDP_VERDICT_COUNT; i++) {
        out->counts[i] += host->counts_before[i];
    }
}
