#include "dataplane/doorbell.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/log.h"

enum {
    CLEAR_MAX = 64
};

static int
bind_to(int fd, const uint8_t ip[CFC_IP_SIZE], uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (cfc_net_is_ipv4(ip)) {
        memcpy(&v4.sin_addr, ip + 12, sizeof(v4.sin_addr));
        return bind(fd, (struct sockaddr *)&v4, sizeof(v4));
    }
    memcpy(&v6.sin6_addr, ip, sizeof(v6.sin6_addr));
    return bind(fd, (struct sockaddr *)&v6, sizeof(v6));
}

int
cfc_doorbell_open(const uint8_t ip[CFC_IP_SIZE], uint16_t port)
{
    /* UDP trims to its header at the least, so this leaves datagrams of no bytes. */
    struct sock_filter cut[] = {BPF_STMT(BPF_RET | BPF_K, 1)};
    struct sock_fprog filter = {.len = 1, .filter = cut};
    bool is_ipv4 = cfc_net_is_ipv4(ip);
    int minimum = 1;
    int on = 1;
    int fd = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0) {
        cfc_log_error("socket: %s", strerror(errno));
        return CONFCAST_ERR_RESOURCE;
    }
    /* IP_FREEBIND: an address given with --ip need not be the kernel's. */
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &minimum, sizeof(minimum)) != 0 ||
        setsockopt(fd, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_FREEBIND : IPV6_FREEBIND,
                   &on, sizeof(on)) != 0) {
        cfc_log_error("setsockopt on the port's UDP socket: %s", strerror(errno));
        close(fd);
        return CONFCAST_ERR_RESOURCE;
    }
    if (bind_to(fd, ip, port) != 0) {
        error = errno;
        close(fd);
        cfc_log_error("UDP port %u is not to be had: %s", port, strerror(error));
        return error == EADDRINUSE ? CONFCAST_ERR_EXISTS : CONFCAST_ERR_RESOURCE;
    }
    return fd;
}

void
cfc_doorbell_clear(int fd)
{
    char none;

    for (int i = 0; i < CLEAR_MAX; i++) {
        if (recv(fd, &none, sizeof(none), MSG_DONTWAIT | MSG_TRUNC) < 0) {
            return;
        }
    }
}
