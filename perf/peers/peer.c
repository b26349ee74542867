#include "perf/peers/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_MAX_SIZE = 512
};

void
peer_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

void
peer_init(struct peer *peer, int argc, char **argv)
{
    static const struct option options[] = {
        {"interface", required_argument, NULL, 'i'},
        {"address", required_argument, NULL, 'a'},
        {"group", required_argument, NULL, 'g'},
        {"port", required_argument, NULL, 'p'},
        {"number", required_argument, NULL, 'n'},
        {"receivers", required_argument, NULL, 'r'},
        {"rate", required_argument, NULL, 'b'},
        {"mode", required_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    int option;

    *peer = (struct peer){.interface_name = "eth0",
                          .address = "10.77.0.1",
                          .group = "239.77.9.2",
                          .port = 7610,
                          .number = 1,
                          .receiver_count = 1,
                          .mode = ""};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'i':
            peer->interface_name = optarg;
            break;
        case 'a':
            peer->address = optarg;
            break;
        case 'g':
            peer->group = optarg;
            break;
        case 'p':
            peer->port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            peer->number = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            peer->receiver_count = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            peer->rate_mbit = strtod(optarg, NULL);
            break;
        case 'm':
            peer->mode = optarg;
            break;
        default:
            exit(2);
        }
    }
    peer->is_sender = optind < argc && strcmp(argv[optind], "send") == 0;
    if (optind + 1 != argc || (!peer->is_sender && strcmp(argv[optind], "receive") != 0) ||
        peer->number > PEER_RECEIVERS_MAX || peer->receiver_count > PEER_RECEIVERS_MAX) {
        fprintf(stderr, "usage: %s send|receive [OPTION]...; see perf/peers/README.md\n", argv[0]);
        exit(2);
    }
}

/* Byte by byte, so that nothing waits in a buffer that poll() does not see.  False at the end. */
static bool
read_line(char line[LINE_MAX_SIZE])
{
    size_t size = 0;

    while (size + 1 < LINE_MAX_SIZE) {
        ssize_t got = read(STDIN_FILENO, line + size, 1);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        if (line[size] == '\n') {
            line[size] = '\0';
            return true;
        }
        size++;
    }
    return false;
}

bool
peer_next_order(struct peer_order *order)
{
    static uint8_t *bytes;
    static char line[LINE_MAX_SIZE];
    char *path = line;
    ssize_t got = 1;
    int fd;

    if (bytes == NULL) {
        bytes = peer_memory(PEER_SIZE_MAX);
    }
    if (!read_line(line)) {
        return false;
    }
    *order = (struct peer_order){.round = (uint32_t)strtoul(line, &path, 10), .bytes = bytes};
    path += *path == ' ' ? 1 : 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && got > 0 && order->size < PEER_SIZE_MAX) {
        got = read(fd, bytes + order->size, PEER_SIZE_MAX - order->size);
        order->size += got > 0 ? (size_t)got : 0;
    }
    order->path = path;
    if (fd < 0 || got < 0 || order->size == 0) {
        peer_die(path);
    }
    close(fd);
    return true;
}

bool
peer_is_told(void)
{
    struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&wait, 1, 0) > 0;
}

uint64_t
peer_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

void
peer_say_ready(void)
{
    puts("{\"event\":\"ready\"}");
    fflush(stdout);
}

void
peer_say_sent(uint32_t round, uint64_t begin_ns, uint64_t end_ns)
{
    printf("{\"event\":\"sent\",\"round\":%u,\"begin_ns\":%llu,\"end_ns\":%llu}\n", round,
           (unsigned long long)begin_ns, (unsigned long long)end_ns);
    fflush(stdout);
}

void
peer_say_got(uint32_t round, uint64_t got_ns, const uint8_t *bytes, size_t size)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char line[LINE_MAX_SIZE];

    printf("{\"event\":\"got\",\"round\":%u,\"ns\":%llu,\"size\":%zu}\n", round,
           (unsigned long long)got_ns, size);
    fflush(stdout);
    if (size >= PEER_BULK_SIZE && !read_line(line)) {
        exit(0);
    }
    if (EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) != 1) {
        peer_die("digest");
    }
    printf("{\"event\":\"verified\",\"round\":%u,\"sha256\":\"", round);
    for (int i = 0; i < 32; i++) {
        printf("%02x", digest[i]);
    }
    puts("\"}");
    fflush(stdout);
}

void
peer_say_lost(uint32_t round, uint64_t last_ns, size_t size)
{
    printf("{\"event\":\"lost\",\"round\":%u,\"ns\":%llu,\"size\":%zu}\n", round,
           (unsigned long long)last_ns, size);
    fflush(stdout);
}

uint8_t *
peer_memory(size_t size)
{
    void *bytes =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (bytes == MAP_FAILED) {
        peer_die("memory");
    }
    return (uint8_t *)bytes;
}

int
peer_udp_socket(const struct peer *peer)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int room = PEER_SOCKET_BUFFER;
    struct sockaddr_in group = {.sin_family = AF_INET,
                                .sin_port = htons(peer->port),
                                .sin_addr.s_addr = inet_addr(peer->group)};
    struct ip_mreqn member = {.imr_multiaddr = group.sin_addr,
                              .imr_ifindex = (int)if_nametoindex(peer->interface_name)};

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) != 0) {
        peer_die("socket");
    }
    if (peer->is_sender) {
        if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &member, sizeof(member)) != 0 ||
            connect(fd, (struct sockaddr *)&group, sizeof(group)) != 0) {
            peer_die("sending to the group");
        }
    } else if (bind(fd, (struct sockaddr *)&group, sizeof(group)) != 0 ||
               setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) != 0) {
        peer_die("joining the group");
    }
    return fd;
}
