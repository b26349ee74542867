#include "consumer/port_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/limits.h"

enum {
    GROUPS_MAX = CFC_GROUP_COUNT_MAX + 1,
    DATAGRAM_ROOM = CFC_FRAME_SIZE_MAX + 1
};

/* A socket address of either family. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct cfc_port_udp {
    int group_fd;
    int unicast_fd;
    unsigned interface_idx;
    union address source; /* of the engine, with its unicast port */
    socklen_t address_size;
    struct cfc_fleet_address groups[GROUPS_MAX];
    uint32_t group_count;
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

/* The interface's first address of a family, port 0: replies must leave by this interface. */
static int
interface_address(const char *name, int family, union address *out)
{
    struct ifaddrs *list = NULL;
    int error = CONFCAST_ERR_NOT_FOUND;

    if (getifaddrs(&list) != 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == family &&
            strcmp(i->ifa_name, name) == 0) {
            memset(out, 0, sizeof(*out));
            memcpy(out, i->ifa_addr,
                   family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
            error = CONFCAST_OK;
            break;
        }
    }
    freeifaddrs(list);
    return error;
}

static int
open_group_socket(struct cfc_port_udp *port, const struct cfc_port_udp_config *config)
{
    int family = port->source.any.sa_family;
    int one = 1;
    int zero = 0;
    int size = (int)config->receive_buffer_size;
    socklen_t size_size = sizeof(size);
    union address any = {0};

    port->group_fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port->group_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    /* Several consumers of one host share the port. */
    setsockopt(port->group_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(port->group_fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
    if (setsockopt(port->group_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
        setsockopt(port->group_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    if (getsockopt(port->group_fd, SOL_SOCKET, SO_RCVBUF, &size, &size_size) == 0) {
        port->stats.buffer_size = (uint32_t)size;
    }
    any.any.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        setsockopt(port->group_fd, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof(zero));
        any.v4.sin_port = htons(config->control_group.port);
    } else {
        setsockopt(port->group_fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &zero, sizeof(zero));
        any.v6.sin6_port = htons(config->control_group.port);
    }
    return bind(port->group_fd, &any.any, port->address_size) == 0 ? CONFCAST_OK : CONFCAST_ERR_IO;
}

static int
open_unicast_socket(struct cfc_port_udp *port, const struct cfc_port_udp_config *config)
{
    union address own;
    int size = (int)config->receive_buffer_size;
    int error = interface_address(config->interface, port->source.any.sa_family, &own);

    if (error != CONFCAST_OK) {
        return error;
    }
    port->unicast_fd = socket(own.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port->unicast_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    if (setsockopt(port->unicast_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
        setsockopt(port->unicast_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    /* Connected: the kernel drops what others send. */
    if (bind(port->unicast_fd, &own.any, port->address_size) != 0 ||
        connect(port->unicast_fd, &port->source.any, port->address_size) != 0) {
        return CONFCAST_ERR_IO;
    }
    return CONFCAST_OK;
}

int
cfc_port_udp_open(const struct cfc_port_udp_config *config, struct cfc_port_udp **out)
{
    struct cfc_port_udp *port = calloc(1, sizeof(*port));
    int error;

    *out = NULL;
    if (port == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    port->group_fd = -1;
    port->unicast_fd = -1;
    port->address_size = to_socket(&config->source, &port->source);
    port->interface_idx = if_nametoindex(config->interface);
    error = port->interface_idx != 0 ? CONFCAST_OK : CONFCAST_ERR_NOT_FOUND;
    if (error == CONFCAST_OK) {
        error = open_group_socket(port, config);
    }
    if (error == CONFCAST_OK) {
        error = open_unicast_socket(port, config);
    }
    if (error == CONFCAST_OK) {
        error = cfc_port_udp_join(port, &config->control_group);
    }
    if (error != CONFCAST_OK) {
        cfc_port_udp_close(port);
        return error;
    }
    for (int i = 0; i < CFC_PORT_BATCH; i++) {
        port->pieces[i] = (struct iovec){.iov_base = port->room[i], .iov_len = DATAGRAM_ROOM};
        port->messages[i].msg_hdr.msg_iov = &port->pieces[i];
        port->messages[i].msg_hdr.msg_iovlen = 1;
    }
    *out = port;
    return CONFCAST_OK;
}

void
cfc_port_udp_close(struct cfc_port_udp *port)
{
    if (port == NULL) {
        return;
    }
    if (port->group_fd >= 0) {
        close(port->group_fd);
    }
    if (port->unicast_fd >= 0) {
        close(port->unicast_fd);
    }
    free(port);
}

int
cfc_port_udp_join(struct cfc_port_udp *port, const struct cfc_fleet_address *group)
{
    struct group_source_req request = {.gsr_interface = port->interface_idx};
    union address address;
    socklen_t size = to_socket(group, &address);
    int level = group->family == 4 ? IPPROTO_IP : IPPROTO_IPV6;

    for (uint32_t i = 0; i < port->group_count; i++) {
        if (memcmp(port->groups[i].bytes, group->bytes, sizeof(group->bytes)) == 0) {
            return CONFCAST_OK;
        }
    }
    if (port->group_count == GROUPS_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    memcpy(&request.gsr_group, &address, size);
    memcpy(&request.gsr_source, &port->source, port->address_size);
    if (setsockopt(port->group_fd, level, MCAST_JOIN_SOURCE_GROUP, &request, sizeof(request)) !=
        0) {
        return errno == ENOBUFS ? CONFCAST_ERR_RESOURCE : CONFCAST_ERR_IO;
    }
    port->groups[port->group_count++] = *group;
    return CONFCAST_OK;
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

    for (int i = 0; i < CFC_PORT_BATCH; i++) {
        struct msghdr *header = &port->messages[i].msg_hdr;

        header->msg_name = &port->from[i];
        header->msg_namelen = sizeof(port->from[i]);
        header->msg_control = port->control[i];
        header->msg_controllen = sizeof(port->control[i]);
    }
    count = recvmmsg(fd, port->messages, CFC_PORT_BATCH, MSG_DONTWAIT, NULL);
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
            datagrams[taken++] =
                (struct cfc_datagram){.bytes = port->room[i], .size = port->messages[i].msg_len};
        }
    }
    return taken;
}

size_t
cfc_port_udp_receive(struct cfc_port_udp *port, struct cfc_datagram *datagrams)
{
    /* Unicast first: it is little, and it is what somebody asked for. */
    size_t count = receive_from(port, port->unicast_fd, datagrams);

    return count > 0 ? count : receive_from(port, port->group_fd, datagrams);
}

int
cfc_port_udp_send(struct cfc_port_udp *port, const void *bytes, size_t size)
{
    ssize_t sent;

    do {
        sent = send(port->unicast_fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        /* ECONNREFUSED is the answer to an earlier datagram; this one was not sent. */
    } while (sent < 0 && (errno == EINTR || errno == ECONNREFUSED));
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
