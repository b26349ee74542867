/* A listener for benchmarks of senders: joins COUNT groups from BASE on an interface and reads all
 * that comes with recvmmsg, 64 datagrams a call, until it is terminated.  Prints how many came.
 *
 *   bench_listener BASE COUNT PORT INTERFACE */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH = 64,
    DATAGRAM_MAX = 9216,
    BUFFER_SIZE = 64 << 20
};

static uint8_t bytes[BATCH][DATAGRAM_MAX];
static volatile sig_atomic_t is_stopping;

static void
on_signal(int number)
{
    (void)number;
    is_stopping = 1;
}

static int
open_socket(char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10))};
    struct ip_mreqn group = {.imr_ifindex = (int)if_nametoindex(argv[4])};
    int size = BUFFER_SIZE;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
        return -1;
    }
    for (uint32_t i = 0; i < strtoul(argv[2], NULL, 10); i++) {
        group.imr_multiaddr.s_addr = htonl(ntohl(inet_addr(argv[1])) + i);
        if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
            return -1;
        }
    }
    return fd;
}

int
main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct mmsghdr messages[BATCH] = {0};
    struct iovec parts[BATCH];
    uint64_t count = 0;
    int fd = argc == 5 ? open_socket(argv) : -1;

    if (fd < 0) {
        perror("bench_listener");
        return 1;
    }
    sigaction(SIGTERM, &action, NULL);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){.iov_base = bytes[i], .iov_len = DATAGRAM_MAX};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    while (!is_stopping) {
        int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);

        count += got > 0 ? (uint64_t)got : 0;
    }
    fprintf(stderr, "bench_listener: %llu datagrams\n", (unsigned long long)count);
    return 0;
}
