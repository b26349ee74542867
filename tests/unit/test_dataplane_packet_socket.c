/* Send buffers of packet sockets.  Exits 77 where the kernel does not let this process make one
 * (CAP_NET_RAW) or give it more room than others may have (CAP_NET_ADMIN). */
#include "dataplane/packet_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/cunit_main.h"

enum {
    SIZE = 16 << 20
};

static int
send_buffer(int fd)
{
    int size = 0;
    socklen_t length = sizeof(size);

    CU_ASSERT_EQUAL(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length), 0);
    return size;
}

static void
packet_sockets_get_room_and_no_others(void)
{
    int first = socket(AF_PACKET, SOCK_RAW, 0);
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    int second = socket(AF_PACKET, SOCK_RAW, 0);
    int before = send_buffer(other);

    CU_ASSERT(send_buffer(first) < SIZE);
    CU_ASSERT_EQUAL(cfc_packet_sockets_widen(SIZE), 2);
    CU_ASSERT(send_buffer(first) >= SIZE && send_buffer(second) >= SIZE);
    CU_ASSERT_EQUAL(send_buffer(other), before);
    CU_ASSERT_EQUAL(cfc_packet_sockets_widen(SIZE + 1), 2);
    CU_ASSERT(send_buffer(first) >= SIZE + 1);
    close(first);
    close(second);
    close(other);
}

static void
without_packet_sockets_there_is_nothing_to_do(void)
{
    CU_ASSERT_EQUAL(cfc_packet_sockets_widen(SIZE), 0);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(packet_sockets_get_room_and_no_others),
    CFC_CASE(without_packet_sockets_there_is_nothing_to_do),
};

int
main(void)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    int size = SIZE / 2;
    bool is_denied;

    if (fd < 0) {
        puts("no packet socket for this process");
        return 77;
    }
    is_denied =
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0 && errno == EPERM;
    close(fd);
    if (is_denied) {
        puts("no large send buffer for this process");
        return 77;
    }
    return cfc_test_main("dataplane_packet_socket", cases, sizeof(cases) / sizeof(cases[0]));
}
