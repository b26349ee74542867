/* PGM (RFC 3208) by OpenPGM, in UDP: each object goes as messages that fit one packet, since a
 * message of several fragments is not repaired as a whole.
 *
 * Environment: PGM_NAK_BACKOFF_US, PGM_NAK_REPEAT_US, PGM_NAK_DATA_US change what README.md
 * explains. */
#include <poll.h> /* first: the header of the library asks for POLLIN */

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <pgm/pgm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "perf/peers/peer.h"

enum {
    PART_SIZE = 1424, /* of the object in a message; with all headers 1,496 bytes of IP */
    MESSAGE_SIZE = PART_SIZE + sizeof(struct peer_header),
    WINDOW = 60000, /* packets that sender and receivers keep: more than 64 MiB need */
    WAIT_US = 10000,
    DESCRIPTORS_MAX = 8,
    DATA_PORT = 7500,
    SETTLE_US = 300000,
    WARM_UP_ROUND = UINT32_MAX >> 1,
};

static int
setting(const char *name, int value)
{
    const char *word = getenv(name);

    return word != NULL ? (int)strtol(word, NULL, 10) : value;
}

static void
set(pgm_sock_t *sock, int option, int value)
{
    if (!pgm_setsockopt(sock, IPPROTO_PGM, option, &value, sizeof(value))) {
        fprintf(stderr, "option %d\n", option);
        peer_die("pgm_setsockopt");
    }
}

static void
check(bool is_fine, const char *what, pgm_error_t *error)
{
    if (!is_fine) {
        fprintf(stderr, "%s\n", error != NULL ? error->message : "?");
        peer_die(what);
    }
}

static void
set_sender(const struct peer *peer, pgm_sock_t *sock)
{
    const int heartbeats[] = {pgm_msecs(1),   pgm_msecs(1),  pgm_msecs(2),  pgm_msecs(4),
                              pgm_msecs(8),   pgm_msecs(16), pgm_msecs(32), pgm_msecs(64),
                              pgm_msecs(128), pgm_secs(1)};

    set(sock, PGM_SEND_ONLY, 1);
    set(sock, PGM_TXW_SQNS, WINDOW);
    set(sock, PGM_TXW_MAX_RTE, (int)(peer->rate_mbit * 1e6 / 8));
    set(sock, PGM_AMBIENT_SPM, pgm_secs(30));
    check(pgm_setsockopt(sock, IPPROTO_PGM, PGM_HEARTBEAT_SPM, heartbeats, sizeof(heartbeats)),
          "heartbeats", NULL);
}

static void
set_receiver(pgm_sock_t *sock)
{
    set(sock, PGM_RECV_ONLY, 1);
    set(sock, PGM_PASSIVE, 0);
    set(sock, PGM_RXW_SQNS, WINDOW);
    set(sock, PGM_PEER_EXPIRY, pgm_secs(300));
    set(sock, PGM_SPMR_EXPIRY, pgm_msecs(250));
    set(sock, PGM_NAK_BO_IVL, setting("PGM_NAK_BACKOFF_US", 2000));
    set(sock, PGM_NAK_RPT_IVL, setting("PGM_NAK_REPEAT_US", 200000));
    set(sock, PGM_NAK_RDATA_IVL, setting("PGM_NAK_DATA_US", 200000));
    set(sock, PGM_NAK_DATA_RETRIES, 50);
    set(sock, PGM_NAK_NCF_RETRIES, 50);
}

/* The library leaves its sockets at the kernel's default, which loses; they are those that are
 * open by now. */
static void
widen_sockets(void)
{
    int room = PEER_SOCKET_BUFFER;

    for (int fd = 3; fd < 32; fd++) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    }
}

/* The library asks a resolver for the name of an interface. */
static void
own_address(const struct peer *peer, char text[INET_ADDRSTRLEN])
{
    struct ifaddrs *all = NULL;

    text[0] = '\0';
    if (getifaddrs(&all) != 0) {
        peer_die("getifaddrs");
    }
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        struct sockaddr_in address;

        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET &&
            strcmp(i->ifa_name, peer->interface_name) == 0) {
            memcpy(&address, i->ifa_addr, sizeof(address));
            inet_ntop(AF_INET, &address.sin_addr, text, INET_ADDRSTRLEN);
        }
    }
    freeifaddrs(all);
}

static pgm_sock_t *
open_socket(const struct peer *peer)
{
    pgm_error_t *error = NULL;
    pgm_sock_t *sock = NULL;
    struct pgm_addrinfo_t *addresses = NULL;
    struct pgm_sockaddr_t own = {.sa_port = DATA_PORT, .sa_addr.sport = DEFAULT_DATA_SOURCE_PORT};
    struct pgm_interface_req_t through;
    char address[INET_ADDRSTRLEN];
    char text[64];

    memset(&through, 0, sizeof(through));
    check(pgm_init(&error), "pgm_init", error);
    own_address(peer, address);
    snprintf(text, sizeof(text), "%s;%s", address, peer->group);
    check(pgm_getaddrinfo(text, NULL, &addresses, &error), "pgm_getaddrinfo", error);
    check(pgm_socket(&sock, AF_INET, SOCK_SEQPACKET, IPPROTO_UDP, &error), "pgm_socket", error);
    set(sock, PGM_UDP_ENCAP_UCAST_PORT, peer->port);
    set(sock, PGM_UDP_ENCAP_MCAST_PORT, peer->port);
    set(sock, PGM_MTU, 1500);
    if (peer->is_sender) {
        set_sender(peer, sock);
    } else {
        set_receiver(sock);
    }
    snprintf(text, sizeof(text), "peer-%d-%u", peer->is_sender, peer->number);
    check(pgm_gsi_create_from_string(&own.sa_addr.gsi, text, -1), "identifier", NULL);
    through.ir_interface = addresses->ai_recv_addrs[0].gsr_interface;
    check(pgm_bind3(sock, &own, sizeof(own), &through, sizeof(through), &through, sizeof(through),
                    &error),
          "pgm_bind", error);
    for (unsigned i = 0; i < addresses->ai_recv_addrs_len; i++) {
        check(pgm_setsockopt(sock, IPPROTO_PGM, PGM_JOIN_GROUP, &addresses->ai_recv_addrs[i],
                             sizeof(struct group_req)),
              "joining", NULL);
    }
    check(pgm_setsockopt(sock, IPPROTO_PGM, PGM_SEND_GROUP, &addresses->ai_send_addrs[0],
                         sizeof(struct group_req)),
          "the group", NULL);
    set(sock, PGM_MULTICAST_LOOP, 0);
    set(sock, PGM_MULTICAST_HOPS, 4);
    set(sock, PGM_NOBLOCK, 1);
    check(pgm_connect(sock, &error), "pgm_connect", error);
    widen_sockets();
    pgm_freeaddrinfo(addresses);
    return sock;
}

/* Until the socket may have something for us, by what the library says of its timers. */
static void
wait_for(pgm_sock_t *sock, int status)
{
    struct pollfd waits[DESCRIPTORS_MAX];
    struct timeval left = {.tv_usec = WAIT_US};
    socklen_t size = sizeof(left);
    struct timespec wait = {.tv_nsec = WAIT_US * 1000};
    int count = DESCRIPTORS_MAX;

    memset(waits, 0, sizeof(waits));
    if (status == PGM_IO_STATUS_TIMER_PENDING) {
        pgm_getsockopt(sock, IPPROTO_PGM, PGM_TIME_REMAIN, &left, &size);
    } else if (status == PGM_IO_STATUS_RATE_LIMITED) {
        pgm_getsockopt(sock, IPPROTO_PGM, PGM_RATE_REMAIN, &left, &size);
    }
    if (left.tv_sec == 0 && left.tv_usec < WAIT_US) {
        wait.tv_nsec = left.tv_usec * 1000;
    }
    pgm_poll_info(sock, waits, &count, POLLIN);
    ppoll(waits, (nfds_t)count, &wait, NULL);
}

/* ---- Sender ---- */

static void *
answer_naks(void *argument)
{
    pgm_sock_t *sock = argument;
    static char bytes[65536];

    for (;;) {
        pgm_error_t *error = NULL;
        size_t size;
        int status = pgm_recv(sock, bytes, sizeof(bytes), MSG_ERRQUEUE, &size, &error);

        if (error != NULL) {
            pgm_error_free(error);
        }
        if (status != PGM_IO_STATUS_NORMAL) {
            wait_for(sock, status);
        }
    }
    return NULL;
}

static void
send_message(pgm_sock_t *sock, const uint8_t *bytes, size_t size)
{
    size_t written;
    int status;

    while ((status = pgm_send(sock, bytes, size, &written)) != PGM_IO_STATUS_NORMAL) {
        struct timeval left = {.tv_usec = 20};
        socklen_t left_size = sizeof(left);

        if (status == PGM_IO_STATUS_ERROR) {
            peer_die("pgm_send");
        }
        if (status == PGM_IO_STATUS_RATE_LIMITED) {
            pgm_getsockopt(sock, IPPROTO_PGM, PGM_RATE_REMAIN, &left, &left_size);
        }
        if (left.tv_usec >= 20) {
            struct timespec wait = {.tv_nsec = left.tv_usec * 1000};

            nanosleep(&wait, NULL);
        }
    }
}

static void
send_object(pgm_sock_t *sock, const struct peer_order *order)
{
    uint8_t message[MESSAGE_SIZE];

    for (size_t done = 0; done < order->size;) {
        size_t size = order->size - done < PART_SIZE ? order->size - done : PART_SIZE;
        struct peer_header header = {
            .round = order->round, .size = (uint32_t)order->size, .offset = (uint32_t)done};

        memcpy(message, &header, sizeof(header));
        memcpy(message + sizeof(header), order->bytes + done, size);
        send_message(sock, message, sizeof(header) + size);
        done += size;
    }
}

static void
run_sender(pgm_sock_t *sock)
{
    uint8_t warm_up[8] = {0};
    struct peer_order order = {.round = WARM_UP_ROUND, .bytes = warm_up, .size = sizeof(warm_up)};
    pthread_t thread;

    if (pthread_create(&thread, NULL, answer_naks, sock) != 0) {
        peer_die("thread");
    }
    usleep(SETTLE_US);
    send_object(sock, &order); /* From the first message receivers know the session. */
    usleep(SETTLE_US);
    peer_say_ready();
    while (peer_next_order(&order)) {
        uint64_t begin_ns = peer_now_ns();

        send_object(sock, &order);
        peer_say_sent(order.round, begin_ns, peer_now_ns());
    }
}

/* ---- Receiver ---- */

static void
run_receiver(pgm_sock_t *sock)
{
    static uint8_t message[65536];
    uint8_t *bytes = peer_memory(PEER_SIZE_MAX);
    uint32_t round = UINT32_MAX;
    size_t got = 0;

    peer_say_ready();
    while (!peer_is_told()) {
        pgm_error_t *error = NULL;
        struct peer_header header;
        size_t size = 0;
        int status = PGM_IO_STATUS_NORMAL;

        /* The pipe is looked at once in a while only. */
        for (int i = 0; i < 4096 && status == PGM_IO_STATUS_NORMAL; i++) {
            status = pgm_recv(sock, message, sizeof(message), MSG_ERRQUEUE, &size, &error);
            if (status != PGM_IO_STATUS_NORMAL || size <= sizeof(header)) {
                continue;
            }
            memcpy(&header, message, sizeof(header));
            size -= sizeof(header);
            if (header.round == WARM_UP_ROUND || header.size > PEER_SIZE_MAX ||
                header.offset > header.size || size > header.size - header.offset) {
                continue;
            }
            got = header.round == round ? got + size : size;
            round = header.round;
            memcpy(bytes + header.offset, message + sizeof(header), size);
            if (got == header.size) {
                peer_say_got(round, peer_now_ns(), bytes, got);
            }
        }
        if (status == PGM_IO_STATUS_RESET) {
            peer_say_lost(round, peer_now_ns(), got);
        } else if (status != PGM_IO_STATUS_NORMAL) {
            wait_for(sock, status);
        }
        if (error != NULL) {
            pgm_error_free(error);
        }
    }
}

int
main(int argc, char **argv)
{
    struct peer peer;
    pgm_sock_t *sock;

    peer_init(&peer, argc, argv);
    sock = open_socket(&peer);
    if (peer.is_sender) {
        run_sender(sock);
    } else {
        run_receiver(sock);
    }
    fflush(stdout);
    _exit(0); /* The library's threads are not waited for. */
}
