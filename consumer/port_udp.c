#include "consumer/port_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/fork_guard.h"
#include "protocol/base/limits.h"
#include "protocol/base/prng.h"
#include "protocol/base/time.h"

enum {
    GROUPS_MAX = CFC_GROUP_COUNT_MAX + 1,
    DATAGRAM_ROOM = CFC_FRAME_SIZE_MAX + 1
};

#define LOOK_NS       (3 * CFC_S)   /* silence until the interface is looked at, and from then on */
#define LOOK_SOON_NS  CFC_S         /* the same while it is down or nothing can be sent */
#define REJOIN_MIN_NS (10 * CFC_S)  /* first silence until the groups are joined again */
#define REJOIN_MAX_NS (320 * CFC_S) /* the last one, doubled each time */

/* A socket address of either family. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct cfc_port_udp {
    char interface[IF_NAMESIZE];
    uint32_t receive_buffer_size;
    uint16_t group_port;
    union address source; /* of the engine, with its unicast port */
    socklen_t address_size;
    struct cfc_fleet_address groups[GROUPS_MAX];
    uint32_t group_count;

    /* While it is up. */
    int group_fd;
    int unicast_fd;
    unsigned interface_idx;
    union address own; /* of the unicast socket; its port is tried again */

    uint64_t looked_ns; /* when the interface was looked at last, or something had come */
    uint64_t rejoin_ns; /* join the groups again then, unless something comes */
    uint64_t rejoin_wait_ns;
    bool is_heard;       /* something came since the last look */
    bool is_send_failed; /* since the last look */
    bool must_reopen;
    bool is_group_quiet;   /* nothing to read at the last poll; for one receive */
    bool is_unicast_quiet; /* likewise */
    bool is_drained;       /* the last receive left nothing */
    struct cfc_prng prng;

    uint32_t overflow_seen;
    struct cfc_port_udp_stats stats;
    struct mmsghdr messages[CFC_PORT_BATCH];
    struct iovec pieces[CFC_PORT_BATCH];
    union address from[CFC_PORT_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[CFC_PORT_BATCH][CMSG_SPACE(sizeof(uint32_t))];
    uint8_t room[CFC_PORT_BATCH][DATAGRAM_ROOM];
};

static socklen_t
to_socket(const struct cfc_fleet_address *from, union address *to)
{
    memset(to, 0, sizeof(*to));
    if (from->family == 4) {
        to->v4.sin_family = AF_INET;
        to->v4.sin_port = htons(from->port);
        memcpy(&to->v4.sin_addr, from->bytes, 4);
        return sizeof(to->v4);
    }
    to->v6.sin6_family = AF_INET6;
    to->v6.sin6_port = htons(from->port);
    memcpy(&to->v6.sin6_addr, from->bytes, 16);
    return sizeof(to->v6);
}

static bool
is_same_host(const union address *a, const union address *b)
{
    if (a->any.sa_family != b->any.sa_family) {
        return false;
    }
    if (a->any.sa_family == AF_INET) {
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    }
    return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
}

static bool
is_usable(const struct sockaddr *address, const union address *source)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;

    if (address == NULL || address->sa_family != source->any.sa_family) {
        return false;
    }
    return address->sa_family != AF_INET6 ||
           (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) != 0) ==
               (IN6_IS_ADDR_LINKLOCAL(&source->v6.sin6_addr) != 0);
}

/* The interface's first address that can talk to the engine, port 0: replies must leave by this
 * interface. */
static int
interface_address(const char *name, const union address *source, union address *out)
{
    struct ifaddrs *list = NULL;
    int error = CONFCAST_ERR_NOT_FOUND;

    if (getifaddrs(&list) != 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    for (struct ifaddrs *i = list; i != NULL && error != CONFCAST_OK; i = i->ifa_next) {
        if (strcmp(i->ifa_name, name) == 0 && is_usable(i->ifa_addr, source)) {
            memset(out, 0, sizeof(*out));
            memcpy(out, i->ifa_addr,
                   source->any.sa_family == AF_INET ? sizeof(out->v4) : sizeof(out->v6));
            error = CONFCAST_OK;
        }
    }
    freeifaddrs(list);
    return error;
}

static void
set_receive_buffer(const struct cfc_port_udp *port, int fd)
{
    int size =
        port->receive_buffer_size < INT_MAX / 2 ? (int)port->receive_buffer_size : INT_MAX / 2;

    /* Beyond the system's limit only with the privilege for it. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
}

static int
open_group_socket(struct cfc_port_udp *port)
{
    int family = port->source.any.sa_family;
    int one = 1;
    int zero = 0;
    int size = 0;
    socklen_t size_size = sizeof(size);
    union address any = {0};

    port->group_fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port->group_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    /* Several consumers of one host share the port. */
    setsockopt(port->group_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(port->group_fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
    set_receive_buffer(port, port->group_fd);
    if (getsockopt(port->group_fd, SOL_SOCKET, SO_RCVBUF, &size, &size_size) == 0) {
        port->stats.buffer_size = (uint32_t)size;
    }
    any.any.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        setsockopt(port->group_fd, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof(zero));
        any.v4.sin_port = htons(port->group_port);
    } else {
        setsockopt(port->group_fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &zero, sizeof(zero));
        any.v6.sin6_port = htons(port->group_port);
    }
    port->overflow_seen = 0;
    return bind(port->group_fd, &any.any, port->address_size) == 0 ? CONFCAST_OK : CONFCAST_ERR_IO;
}

/* Binds to `own`, and to its port when that is free: the engine knows this consumer by it. */
static int
open_unicast_socket(struct cfc_port_udp *port, const union address *own)
{
    union address any_port = *own;
    socklen_t size = sizeof(port->own);

    port->unicast_fd = socket(own->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port->unicast_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    set_receive_buffer(port, port->unicast_fd);
    any_port.v4.sin_port = 0; /* where sin6_port is, too */
    /* Connected: the kernel drops what others send. */
    if ((bind(port->unicast_fd, &own->any, port->address_size) != 0 &&
         bind(port->unicast_fd, &any_port.any, port->address_size) != 0) ||
        connect(port->unicast_fd, &port->source.any, port->address_size) != 0 ||
        getsockname(port->unicast_fd, &port->own.any, &size) != 0) {
        return CONFCAST_ERR_IO;
    }
    return CONFCAST_OK;
}
_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
               "the port is at the same place in both families");

static int
change_membership(struct cfc_port_udp *port, const struct cfc_fleet_address *group, int option)
{
    struct group_source_req request = {.gsr_interface = port->interface_idx};
    union address address;
    socklen_t size = to_socket(group, &address);
    int level = group->family == 4 ? IPPROTO_IP : IPPROTO_IPV6;

    memcpy(&request.gsr_group, &address, size);
    memcpy(&request.gsr_source, &port->source, port->address_size);
    if (setsockopt(port->group_fd, level, option, &request, sizeof(request)) != 0) {
        return errno == ENOBUFS ? CONFCAST_ERR_RESOURCE : CONFCAST_ERR_IO;
    }
    return CONFCAST_OK;
}

static void
close_sockets(struct cfc_port_udp *port)
{
    if (port->group_fd >= 0) {
        close(port->group_fd);
    }
    if (port->unicast_fd >= 0) {
        close(port->unicast_fd);
    }
    port->group_fd = -1;
    port->unicast_fd = -1;
    port->stats.is_up = false;
}

/* Opens both sockets on the interface as it is now and joins all groups; closes what was open.  On
 * an error the port is down. */
static int
open_sockets(struct cfc_port_udp *port, unsigned interface_idx, union address own)
{
    int error;

    if (is_same_host(&port->own, &own)) {
        own = port->own;
    }
    cfc_fork_guard_lock();
    close_sockets(port);
    port->interface_idx = interface_idx;
    error = open_group_socket(port);
    if (error == CONFCAST_OK) {
        error = open_unicast_socket(port, &own);
    }
    for (uint32_t i = 0; error == CONFCAST_OK && i < port->group_count; i++) {
        error = change_membership(port, &port->groups[i], MCAST_JOIN_SOURCE_GROUP);
    }
    if (error != CONFCAST_OK) {
        close_sockets(port);
    }
    cfc_fork_guard_unlock();
    if (error == CONFCAST_OK) {
        port->stats.is_up = true;
        port->stats.opened++;
    }
    return error;
}

/* All is well at this moment. */
static void
set_timers(struct cfc_port_udp *port, uint64_t now_ns)
{
    port->looked_ns = now_ns;
    port->rejoin_wait_ns = REJOIN_MIN_NS;
    port->rejoin_ns = now_ns + REJOIN_MIN_NS + cfc_prng_below(&port->prng, REJOIN_MIN_NS);
    port->is_heard = false;
}

/* The kernel writes down how much of these it used: they are set again for the next datagram. */
static void
set_room(struct cfc_port_udp *port, int i)
{
    struct msghdr *header = &port->messages[i].msg_hdr;

    header->msg_name = &port->from[i];
    header->msg_namelen = sizeof(port->from[i]);
    header->msg_control = port->control[i];
    header->msg_controllen = sizeof(port->control[i]);
}

int
cfc_port_udp_open(const struct cfc_port_udp_config *config, struct cfc_port_udp **out)
{
    struct cfc_port_udp *port = calloc(1, sizeof(*port));
    unsigned interface_idx = if_nametoindex(config->interface);
    union address own;
    int error;

    *out = NULL;
    if (port == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    port->group_fd = -1;
    port->unicast_fd = -1;
    if (interface_idx == 0) {
        free(port);
        return CONFCAST_ERR_NOT_FOUND;
    }
    memcpy(port->interface, config->interface, strlen(config->interface)); /* a name that exists */
    port->receive_buffer_size = config->receive_buffer_size;
    port->group_port = config->control_group.port;
    port->address_size = to_socket(&config->source, &port->source);
    port->prng.state = config->seed;
    port->groups[port->group_count++] = config->control_group;
    for (int i = 0; i < CFC_PORT_BATCH; i++) {
        port->pieces[i] = (struct iovec){.iov_base = port->room[i], .iov_len = DATAGRAM_ROOM};
        port->messages[i].msg_hdr.msg_iov = &port->pieces[i];
        port->messages[i].msg_hdr.msg_iovlen = 1;
        set_room(port, i);
    }
    error = interface_address(config->interface, &port->source, &own);
    if (error == CONFCAST_OK) {
        error = open_sockets(port, interface_idx, own);
    } else if (error == CONFCAST_ERR_NOT_FOUND) {
        error = CONFCAST_OK; /* down, until it has one */
    }
    if (error != CONFCAST_OK) {
        cfc_port_udp_close(port);
        return error;
    }
    set_timers(port, config->now_ns);
    *out = port;
    return CONFCAST_OK;
}

void
cfc_port_udp_close(struct cfc_port_udp *port)
{
    if (port == NULL) {
        return;
    }
    cfc_fork_guard_lock();
    close_sockets(port);
    cfc_fork_guard_unlock();
    free(port);
}

void
cfc_port_udp_abandon(struct cfc_port_udp *port)
{
    close_sockets(port);
}

int
cfc_port_udp_join(struct cfc_port_udp *port, const struct cfc_fleet_address *group)
{
    int error = CONFCAST_OK;

    for (uint32_t i = 0; i < port->group_count; i++) {
        if (memcmp(port->groups[i].bytes, group->bytes, sizeof(group->bytes)) == 0) {
            return CONFCAST_OK;
        }
    }
    if (port->group_count == GROUPS_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (port->stats.is_up) {
        error = change_membership(port, group, MCAST_JOIN_SOURCE_GROUP);
    }
    if (error == CONFCAST_OK) {
        port->groups[port->group_count++] = *group;
    }
    return error;
}

static void
rejoin(struct cfc_port_udp *port, uint64_t now_ns)
{
    for (uint32_t i = 0; i < port->group_count; i++) {
        (void)change_membership(port, &port->groups[i], MCAST_LEAVE_SOURCE_GROUP);
        if (change_membership(port, &port->groups[i], MCAST_JOIN_SOURCE_GROUP) != CONFCAST_OK) {
            port->must_reopen = true;
        }
    }
    port->stats.rejoined++;
    if (port->rejoin_wait_ns < REJOIN_MAX_NS) {
        port->rejoin_wait_ns *= 2;
    }
    port->rejoin_ns =
        now_ns + port->rejoin_wait_ns + cfc_prng_below(&port->prng, port->rejoin_wait_ns);
}

/* Looks at the interface; true when the sockets changed. */
static bool
check_interface(struct cfc_port_udp *port)
{
    unsigned interface_idx = if_nametoindex(port->interface);
    bool was_up = port->stats.is_up;
    union address own;

    if (interface_idx == 0 || interface_address(port->interface, &port->source, &own) != 0) {
        cfc_fork_guard_lock();
        close_sockets(port);
        cfc_fork_guard_unlock();
        return was_up;
    }
    if (was_up && !port->must_reopen && interface_idx == port->interface_idx &&
        is_same_host(&port->own, &own)) {
        return false;
    }
    port->must_reopen = false;
    return open_sockets(port, interface_idx, own) == CONFCAST_OK || was_up;
}

bool
cfc_port_udp_tend(struct cfc_port_udp *port, uint64_t now_ns)
{
    bool is_hurried = !port->stats.is_up || port->is_send_failed;
    bool is_changed;

    if (port->is_heard && !is_hurried) {
        set_timers(port, now_ns);
        return false;
    }
    if (now_ns - port->looked_ns < (is_hurried ? LOOK_SOON_NS : LOOK_NS)) {
        return false;
    }
    port->looked_ns = now_ns;
    port->is_send_failed = false;
    is_changed = check_interface(port);
    if (is_changed) {
        set_timers(port, now_ns);
    } else if (port->stats.is_up && now_ns >= port->rejoin_ns) {
        rejoin(port, now_ns);
    }
    return is_changed;
}

static void
note_overflow(struct cfc_port_udp *port, struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            uint32_t count;

            memcpy(&count, CMSG_DATA(c), sizeof(count));
            port->stats.overflows += count - port->overflow_seen;
            port->overflow_seen = count;
        }
    }
}

static size_t
receive_from(struct cfc_port_udp *port, int fd, struct cfc_datagram *datagrams)
{
    size_t taken = 0;
    int count;

    count = recvmmsg(fd, port->messages, CFC_PORT_BATCH, MSG_DONTWAIT, NULL);
    port->is_drained = count < CFC_PORT_BATCH;
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &port->messages[i].msg_hdr;

        port->stats.datagrams++;
        if (fd == port->group_fd) {
            note_overflow(port, header);
        }
        if (!is_same_host(&port->from[i], &port->source)) {
            port->stats.wrong_source++;
        } else if ((header->msg_flags & MSG_TRUNC) != 0 ||
                   port->messages[i].msg_len > CFC_FRAME_SIZE_MAX) {
            port->stats.truncated++;
        } else {
            port->is_heard = true;
            datagrams[taken++] =
                (struct cfc_datagram){.bytes = port->room[i], .size = port->messages[i].msg_len};
        }
        set_room(port, i);
    }
    return taken;
}

size_t
cfc_port_udp_receive(struct cfc_port_udp *port, struct cfc_datagram *datagrams)
{
    bool is_group_quiet = port->is_group_quiet;
    bool is_unicast_quiet = port->is_unicast_quiet;
    size_t count = 0;

    port->is_group_quiet = false;
    port->is_unicast_quiet = false;
    port->is_drained = true;
    if (!port->stats.is_up) {
        return 0;
    }
    /* Unicast first: it is little, and it is what somebody asked for. */
    if (!is_unicast_quiet) {
        count = receive_from(port, port->unicast_fd, datagrams);
    }
    if (count == 0 && !is_group_quiet) {
        bool is_unicast_drained = port->is_drained;

        count = receive_from(port, port->group_fd, datagrams);
        port->is_drained = port->is_drained && is_unicast_drained;
    } else if (!is_group_quiet) {
        port->is_drained = false;
    }
    return count;
}

bool
cfc_port_udp_is_drained(const struct cfc_port_udp *port)
{
    return port->is_drained;
}

void
cfc_port_udp_polled(struct cfc_port_udp *port, bool is_group_readable, bool is_unicast_readable)
{
    port->is_group_quiet = !is_group_readable;
    port->is_unicast_quiet = !is_unicast_readable;
}

int
cfc_port_udp_send(struct cfc_port_udp *port, const void *bytes, size_t size)
{
    ssize_t sent = -1;

    if (!port->stats.is_up) {
        return CONFCAST_ERR_AGAIN;
    }
    /* ECONNREFUSED is the answer to an earlier datagram; this one was not sent. */
    for (int tries = 0; tries < 3; tries++) {
        sent = send(port->unicast_fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 || (errno != EINTR && errno != ECONNREFUSED)) {
            break;
        }
    }
    if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED) {
        port->is_send_failed = true; /* no route, or the address is gone: look at the interface */
    }
    return sent == (ssize_t)size ? CONFCAST_OK : CONFCAST_ERR_AGAIN;
}

void
cfc_port_udp_fds(const struct cfc_port_udp *port, int fds[2])
{
    fds[0] = port->group_fd;
    fds[1] = port->unicast_fd;
}

const struct cfc_port_udp_stats *
cfc_port_udp_stats(const struct cfc_port_udp *port)
{
    return &port->stats;
}
