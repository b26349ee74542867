/* The port on the loopback interface; no privileges needed. */
#include "consumer/port_udp.h"

#include "protocol/base/limits.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/port_fixture.h"

static const char OTHER[] = "127.0.0.2";

static void
datagrams_of_the_engine_come_by_group_and_by_unicast(void)
{
    struct cfc_datagram datagrams[CFC_PORT_BATCH];
    struct cfc_fleet_address group;
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    struct link l = open_link();
    char bytes[16];

    send_to(l.engine_fd, "239.77.9.9", l.group_port, "group", 5);
    CU_ASSERT_EQUAL_FATAL(receive(&l, datagrams), 1);
    CU_ASSERT_EQUAL(datagrams[0].size, 5);
    CU_ASSERT_EQUAL(memcmp(datagrams[0].bytes, "group", 5), 0);

    /* A group that was not joined does not come; once it is joined it does. */
    send_to(l.engine_fd, "239.77.9.10", l.group_port, "other", 5);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 0);
    group = address_of("239.77.9.10", l.group_port);
    CU_ASSERT_EQUAL(cfc_port_udp_join(l.port, &group), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_port_udp_join(l.port, &group), CONFCAST_OK);
    send_to(l.engine_fd, "239.77.9.10", l.group_port, "other", 5);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 1);

    CU_ASSERT_EQUAL(cfc_port_udp_send(l.port, "hello", 5), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(
        recvfrom(l.engine_fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size), 5);
    send_to(l.engine_fd, ENGINE, ntohs(from.sin_port), "answer", 6);
    CU_ASSERT_EQUAL_FATAL(receive(&l, datagrams), 1);
    CU_ASSERT_EQUAL(datagrams[0].size, 6);
    CU_ASSERT_EQUAL(cfc_port_udp_stats(l.port)->datagrams, 3);
    CU_ASSERT_EQUAL(cfc_port_udp_stats(l.port)->wrong_source, 0);
    close_link(&l);
}

static void
it_is_drained_when_both_sockets_were_read_to_their_end(void)
{
    struct cfc_datagram datagrams[CFC_PORT_BATCH];
    struct sockaddr_in own;
    socklen_t size = sizeof(own);
    struct link l = open_link();
    int fds[2];

    CU_ASSERT_EQUAL(cfc_port_udp_receive(l.port, datagrams), 0);
    CU_ASSERT(cfc_port_udp_is_drained(l.port));
    for (int i = 0; i < CFC_PORT_BATCH; i++) {
        send_to(l.engine_fd, "239.77.9.9", l.group_port, "group", 5);
    }
    CU_ASSERT_EQUAL(receive(&l, datagrams), CFC_PORT_BATCH);
    CU_ASSERT_FALSE(cfc_port_udp_is_drained(l.port)); /* there may be more */
    CU_ASSERT_EQUAL(cfc_port_udp_receive(l.port, datagrams), 0);
    CU_ASSERT(cfc_port_udp_is_drained(l.port));

    /* What came by unicast leaves the group's socket unread, unless poll found nothing in it. */
    cfc_port_udp_fds(l.port, fds);
    CU_ASSERT_EQUAL(getsockname(fds[1], (struct sockaddr *)&own, &size), 0);
    send_to(l.engine_fd, ENGINE, ntohs(own.sin_port), "answer", 6);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 1);
    CU_ASSERT_FALSE(cfc_port_udp_is_drained(l.port));
    send_to(l.engine_fd, ENGINE, ntohs(own.sin_port), "answer", 6);
    cfc_port_udp_polled(l.port, false, true);
    CU_ASSERT_EQUAL(cfc_port_udp_receive(l.port, datagrams), 1);
    CU_ASSERT(cfc_port_udp_is_drained(l.port));
    close_link(&l);
}

static void
datagrams_of_others_never_come_through(void)
{
    struct cfc_datagram datagrams[CFC_PORT_BATCH];
    struct link l = open_link();
    uint16_t port;
    int other = engine_socket(OTHER, &port);
    struct sockaddr_in own;
    socklen_t size = sizeof(own);
    int fds[2];

    /* By group: the source-specific join leaves them to the kernel. */
    send_to(other, "239.77.9.9", l.group_port, "forged", 6);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 0);
    /* To the group socket's port directly: counted and dropped. */
    send_to(other, ENGINE, l.group_port, "forged", 6);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 0);
    CU_ASSERT_EQUAL(cfc_port_udp_stats(l.port)->wrong_source, 1);
    /* To the unicast socket: it is connected. */
    cfc_port_udp_fds(l.port, fds);
    CU_ASSERT_EQUAL(getsockname(fds[1], (struct sockaddr *)&own, &size), 0);
    send_to(other, ENGINE, ntohs(own.sin_port), "forged", 6);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 0);
    /* The genuine one still comes. */
    send_to(l.engine_fd, "239.77.9.9", l.group_port, "true", 4);
    CU_ASSERT_EQUAL(receive(&l, datagrams), 1);
    close(other);
    close_link(&l);
}

static void
what_is_longer_than_a_frame_is_dropped_and_counted(void)
{
    static uint8_t bytes[CFC_FRAME_SIZE_MAX + 100];
    struct cfc_datagram datagrams[CFC_PORT_BATCH];
    struct link l = open_link();

    send_to(l.engine_fd, "239.77.9.9", l.group_port, bytes, CFC_FRAME_SIZE_MAX + 1);
    send_to(l.engine_fd, "239.77.9.9", l.group_port, bytes, CFC_FRAME_SIZE_MAX + 100);
    send_to(l.engine_fd, "239.77.9.9", l.group_port, bytes, CFC_FRAME_SIZE_MAX);
    send_to(l.engine_fd, "239.77.9.9", l.group_port, bytes, 0);
    CU_ASSERT_EQUAL_FATAL(receive(&l, datagrams), 2);
    CU_ASSERT_EQUAL(datagrams[0].size, CFC_FRAME_SIZE_MAX);
    CU_ASSERT_EQUAL(datagrams[1].size, 0);
    CU_ASSERT_EQUAL(cfc_port_udp_stats(l.port)->truncated, 2);
    close_link(&l);
}

static void
a_full_buffer_is_counted(void)
{
    static uint8_t bytes[1400];
    struct cfc_datagram datagrams[CFC_PORT_BATCH];
    struct link l = open_link();
    uint64_t received = 0;
    size_t count;

    CU_ASSERT(cfc_port_udp_stats(l.port)->buffer_size > 0);
    for (int i = 0; i < 2000; i++) {
        send_to(l.engine_fd, "239.77.9.9", l.group_port, bytes, sizeof(bytes));
    }
    while ((count = receive(&l, datagrams)) > 0) {
        received += count;
    }
    /* The kernel tells with the next datagram that fits. */
    send_to(l.engine_fd, "239.77.9.9", l.group_port, bytes, sizeof(bytes));
    CU_ASSERT_EQUAL(receive(&l, datagrams), 1);
    CU_ASSERT(received < 2000);
    CU_ASSERT_EQUAL(cfc_port_udp_stats(l.port)->overflows, 2000 - received);
    close_link(&l);
}

static void
opening_says_what_is_wrong(void)
{
    struct link l = {.engine_port = 9, .group_port = 9999};

    CU_ASSERT_EQUAL(try_open(&l, "nosuchinterface"), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_PTR_NULL(l.port);
    cfc_port_udp_close(NULL);
}

static void
more_groups_than_a_fleet_has_are_refused(void)
{
    struct link l = open_link();
    struct cfc_fleet_address group = address_of("239.77.10.0", l.group_port);

    for (int i = 0; i < CFC_GROUP_COUNT_MAX; i++) {
        group.bytes[3] = (uint8_t)i;
        CU_ASSERT_EQUAL(cfc_port_udp_join(l.port, &group), CONFCAST_OK);
    }
    group.bytes[3] = CFC_GROUP_COUNT_MAX;
    CU_ASSERT_EQUAL(cfc_port_udp_join(l.port, &group), CONFCAST_ERR_LIMIT);
    close_link(&l);
}

static void
nobody_at_the_other_end_is_no_reason_to_reopen(void)
{
    struct link l = open_link();
    const struct cfc_port_udp_stats *stats = cfc_port_udp_stats(l.port);

    close(l.engine_fd); /* the engine died: ICMP says so */
    for (int i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(cfc_port_udp_send(l.port, "hello", 5), CONFCAST_OK);
        now_ns += CFC_S;
        CU_ASSERT(!cfc_port_udp_tend(l.port, now_ns));
    }
    CU_ASSERT_EQUAL(stats->opened, 1);
    CU_ASSERT_EQUAL(stats->rejoined, 0);
    /* Groups are joined again in silence, less and less often. */
    for (int i = 0; i < 120; i++) {
        now_ns += CFC_S;
        CU_ASSERT(!cfc_port_udp_tend(l.port, now_ns));
    }
    CU_ASSERT(stats->rejoined >= 2 && stats->rejoined <= 4);
    l.engine_fd = engine_socket(ENGINE, &l.engine_port);
    close_link(&l);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(datagrams_of_the_engine_come_by_group_and_by_unicast),
    CFC_CASE(it_is_drained_when_both_sockets_were_read_to_their_end),
    CFC_CASE(datagrams_of_others_never_come_through),
    CFC_CASE(what_is_longer_than_a_frame_is_dropped_and_counted),
    CFC_CASE(a_full_buffer_is_counted),
    CFC_CASE(opening_says_what_is_wrong),
    CFC_CASE(more_groups_than_a_fleet_has_are_refused),
    CFC_CASE(nobody_at_the_other_end_is_no_reason_to_reopen),
};

CFC_TEST_MAIN("port_udp", cases)
