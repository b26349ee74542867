/* What the tests of the port share: an engine's socket on the loopback interface, and a port. */
#ifndef CFC_TESTS_PORT_FIXTURE_H
#define CFC_TESTS_PORT_FIXTURE_H

#include <CUnit/Basic.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/port_udp.h"
#include "protocol/base/time.h"

static const char ENGINE[] = "127.0.0.1";
static uint64_t now_ns = CFC_S;

static inline struct cfc_fleet_address
address_of(const char *text, uint16_t port)
{
    struct cfc_fleet_address out;

    CU_ASSERT_EQUAL_FATAL(cfc_fleet_address_parse(text, port, &out), CONFCAST_OK);
    return out;
}

/* A socket of an engine, bound to an address and any port. */
static inline int
engine_socket(const char *address, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct in_addr out;
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, address, &at.sin_addr);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    CU_ASSERT_EQUAL(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    inet_pton(AF_INET, ENGINE, &out);
    CU_ASSERT_EQUAL(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out)), 0);
    return fd;
}

static inline void
send_to(int fd, const char *address, uint16_t port, const void *bytes, size_t size)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};

    inet_pton(AF_INET, address, &to.sin_addr);
    CU_ASSERT_EQUAL(sendto(fd, bytes, size, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)size);
}

struct link {
    int engine_fd;
    uint16_t engine_port;
    uint16_t group_port;
    struct cfc_port_udp *port;
};

static inline int
try_open(struct link *l, const char *interface)
{
    struct cfc_port_udp_config config = {
        .interface = interface, .receive_buffer_size = 1 << 18, .seed = 1, .now_ns = now_ns};

    config.source = address_of(ENGINE, l->engine_port);
    config.control_group = address_of("239.77.9.9", l->group_port);
    return cfc_port_udp_open(&config, &l->port);
}

static inline struct link
open_link(void)
{
    struct link l;

    l.engine_fd = engine_socket(ENGINE, &l.engine_port);
    l.group_port = (uint16_t)(20000 + getpid() % 20000);
    CU_ASSERT_EQUAL_FATAL(try_open(&l, "lo"), CONFCAST_OK);
    return l;
}

static inline void
close_link(struct link *l)
{
    cfc_port_udp_close(l->port);
    close(l->engine_fd);
}

/* What comes within a moment, at most `capacity` datagrams. */
static inline size_t
receive(struct link *l, struct cfc_datagram *datagrams)
{
    struct pollfd polls[2] = {{.events = POLLIN}, {.events = POLLIN}};
    int fds[2];
    size_t count = 0;

    cfc_port_udp_fds(l->port, fds);
    polls[0].fd = fds[0];
    polls[1].fd = fds[1];
    while (count == 0 && poll(polls, 2, 100) > 0) {
        count = cfc_port_udp_receive(l->port, datagrams);
    }
    return count;
}

#endif
