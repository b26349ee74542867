/* Plain TCP to each receiver: one thread, one connection each, all of them filled in turn. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/peers/peer.h"

enum {
    CONNECT_TRIES = 500,
    CONNECT_WAIT_MS = 20,
    SEND_SIZE = 1 << 20, /* offered to a connection at once */
};

static struct sockaddr_in
address_of(const struct peer *peer)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(peer->port),
                                .sin_addr.s_addr = inet_addr(peer->address)};
}

/* ---- Sender ---- */

static void
accept_all(const struct peer *peer, struct pollfd *connections)
{
    struct sockaddr_in address = address_of(peer);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, PEER_RECEIVERS_MAX) != 0) {
        peer_die("listening");
    }
    for (uint32_t i = 0; i < peer->receiver_count; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
            peer_die("accepting");
        }
        connections[i] = (struct pollfd){.fd = fd};
    }
    close(listener);
}

static void
send_object(const struct peer *peer, struct pollfd *connections, const struct peer_order *order)
{
    struct peer_header header = {.round = order->round, .size = (uint32_t)order->size};
    size_t total = sizeof(header) + order->size;
    size_t sent[PEER_RECEIVERS_MAX] = {0};
    uint8_t *bytes = order->bytes;
    uint32_t left = peer->receiver_count;

    while (left > 0) {
        for (uint32_t i = 0; i < peer->receiver_count; i++) {
            size_t head = sent[i] < sizeof(header) ? sizeof(header) - sent[i] : 0;
            size_t body = head > 0 ? 0 : sent[i] - sizeof(header);
            size_t size = order->size - body < SEND_SIZE ? order->size - body : SEND_SIZE;
            struct iovec parts[2] = {
                {.iov_base = (uint8_t *)&header + sizeof(header) - head, .iov_len = head},
                {.iov_base = bytes + body, .iov_len = size}};
            struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
            ssize_t rc;

            connections[i].events = 0;
            if (sent[i] == total) {
                continue;
            }
            rc = sendmsg(connections[i].fd, &message, MSG_NOSIGNAL);
            if (rc < 0 && errno != EAGAIN) {
                peer_die("send");
            }
            sent[i] += rc > 0 ? (size_t)rc : 0;
            left -= sent[i] == total ? 1 : 0;
            connections[i].events = sent[i] < total ? POLLOUT : 0;
        }
        if (left > 0) {
            poll(connections, peer->receiver_count, -1);
        }
    }
}

static void
run_sender(const struct peer *peer)
{
    struct pollfd connections[PEER_RECEIVERS_MAX];
    struct peer_order order;

    accept_all(peer, connections);
    peer_say_ready();
    while (peer_next_order(&order)) {
        uint64_t begin_ns = peer_now_ns();

        send_object(peer, connections, &order);
        peer_say_sent(order.round, begin_ns, peer_now_ns());
    }
}

/* ---- Receiver ---- */

static int
connect_to(const struct peer *peer)
{
    struct sockaddr_in address = address_of(peer);

    for (int i = 0; i < CONNECT_TRIES; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0) {
            break;
        }
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
            return fd;
        }
        close(fd);
        poll(NULL, 0, CONNECT_WAIT_MS);
    }
    peer_die("connecting");
}

static bool
read_all(int fd, void *bytes, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t rc = recv(fd, (uint8_t *)bytes + got, size - got, 0);

        if (rc <= 0) {
            return false;
        }
        got += (size_t)rc;
    }
    return true;
}

static void
run_receiver(const struct peer *peer)
{
    uint8_t *bytes = peer_memory(PEER_SIZE_MAX);
    int fd = connect_to(peer);
    struct peer_header header;

    peer_say_ready();
    while (read_all(fd, &header, sizeof(header)) && header.size <= PEER_SIZE_MAX &&
           read_all(fd, bytes, header.size)) {
        peer_say_got(header.round, peer_now_ns(), bytes, header.size);
    }
    close(fd);
}

int
main(int argc, char **argv)
{
    struct peer peer;

    peer_init(&peer, argc, argv);
    if (peer.is_sender) {
        run_sender(&peer);
    } else {
        run_receiver(&peer);
    }
    return 0;
}
