/* An interface that comes and goes, in a network namespace of the test's own.  Exits 77 where the
 * kernel does not let this process make one. */
#include "consumer/port_udp.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "tests/unit/cunit_main.h"
#include "tests/unit/port_fixture.h"

/* Sets the address or the flags of an interface of this namespace; address NULL takes it away. */
static void
set_interface(const char *name, const char *address, bool is_up)
{
    struct ifreq request = {.ifr_flags = 0};
    struct sockaddr_in *at = (struct sockaddr_in *)(void *)&request.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    at->sin_family = AF_INET;
    inet_pton(AF_INET, address != NULL ? address : "0.0.0.0", &at->sin_addr);
    CU_ASSERT_EQUAL(ioctl(fd, SIOCSIFADDR, &request), 0);
    request.ifr_flags = is_up ? IFF_UP : 0;
    CU_ASSERT_EQUAL(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
}

static void
write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0) {
            perror(path);
        }
        close(fd);
    }
}

/* A namespace whose lo has no address and is down. */
static bool
enter_namespace(void)
{
    char map[64];
    uid_t uid = getuid();
    gid_t gid = getgid();

    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
        printf("no network namespace for this process: %s\n", strerror(errno));
        return false;
    }
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "0 %u 1", uid);
    write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "0 %u 1", gid);
    write_file("/proc/self/gid_map", map);
    return true;
}

static void
the_port_follows_its_interface(void)
{
    struct cfc_datagram datagrams[CFC_PORT_BATCH];
    struct cfc_fleet_address group;
    const struct cfc_port_udp_stats *stats;
    struct link l = {.engine_port = 7000, .group_port = 7001};
    int fds[2];

    /* No address yet: it opens, and waits. */
    CU_ASSERT_EQUAL_FATAL(try_open(&l, "lo"), CONFCAST_OK);
    stats = cfc_port_udp_stats(l.port);
    group = address_of("239.77.9.10", l.group_port);
    CU_ASSERT_EQUAL(cfc_port_udp_join(l.port, &group), CONFCAST_OK);
    CU_ASSERT(!stats->is_up);
    CU_ASSERT_EQUAL(cfc_port_udp_send(l.port, "hello", 5), CONFCAST_ERR_AGAIN);
    CU_ASSERT_EQUAL(cfc_port_udp_receive(l.port, datagrams), 0);
    cfc_port_udp_fds(l.port, fds);
    CU_ASSERT(fds[0] < 0 && fds[1] < 0);
    now_ns += 2 * CFC_S;
    CU_ASSERT(!cfc_port_udp_tend(l.port, now_ns));

    /* It has one: up, with the group that was joined meanwhile. */
    set_interface("lo", "127.0.0.1", true);
    CU_ASSERT(!cfc_port_udp_tend(l.port, now_ns + CFC_S / 2));
    now_ns += CFC_S;
    CU_ASSERT(cfc_port_udp_tend(l.port, now_ns));
    CU_ASSERT(stats->is_up);
    l.engine_fd = engine_socket(ENGINE, &l.engine_port);
    send_to(l.engine_fd, "239.77.9.10", l.group_port, "group", 5);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 1);

    /* Another one: sending fails, and the sockets move. */
    close(l.engine_fd);
    set_interface("lo", "127.7.7.7", true);
    now_ns += 3 * CFC_S; /* what came last counts for this look */
    (void)cfc_port_udp_tend(l.port, now_ns);
    now_ns += 3 * CFC_S;
    CU_ASSERT(cfc_port_udp_tend(l.port, now_ns));
    CU_ASSERT(stats->is_up);
    CU_ASSERT_EQUAL(stats->opened, 2);

    /* None any more: down, and up again. */
    set_interface("lo", NULL, true);
    now_ns += 3 * CFC_S;
    CU_ASSERT(cfc_port_udp_tend(l.port, now_ns));
    CU_ASSERT(!stats->is_up);
    set_interface("lo", "127.0.0.1", true);
    now_ns += CFC_S;
    CU_ASSERT(cfc_port_udp_tend(l.port, now_ns));
    CU_ASSERT(stats->is_up);
    l.engine_fd = engine_socket(ENGINE, &l.engine_port);
    send_to(l.engine_fd, "239.77.9.10", l.group_port, "group", 5);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 1);
    close_link(&l);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(the_port_follows_its_interface),
};

int
main(void)
{
    if (!enter_namespace()) {
        return 77;
    }
    return cfc_test_main("port_interface", cases, sizeof(cases) / sizeof(cases[0]));
}
