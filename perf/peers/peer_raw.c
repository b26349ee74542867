/* Plain UDP multicast of an object, with no repair: what the kernel carries at all.
 *
 * --mode is a comma-separated list of words: `gso` (the sender hands the kernel 64 KB at once and
 * has it cut by UDP_SEGMENT), `gro` (receivers take merged datagrams by UDP_GRO), `sha256`
 * (receivers digest each datagram before they count it, as a receiver must that trusts nobody). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/peers/peer.h"

enum {
    BATCH = 64,
    PART_SIZE = 1472 - sizeof(struct peer_header), /* of the object in a datagram at MTU 1500 */
    DATAGRAM_SIZE = PART_SIZE + sizeof(struct peer_header),
    SEGMENTS = 44, /* that fit into one send of 64 KB */
    MERGED_SIZE = 65536,
    SILENCE_MS = 100, /* after which an object counts as over */
};

/* ---- Sender ---- */

/* Up to BATCH datagrams: a header of ours and a part of the object each. */
struct batch {
    struct peer_header headers[BATCH];
    struct iovec parts[2 * BATCH];
    struct mmsghdr messages[BATCH];
    uint32_t count;
};

static void
fill(struct batch *batch, const struct peer_order *order, size_t *done, uint32_t count)
{
    memset(batch->messages, 0, sizeof(batch->messages));
    for (batch->count = 0; batch->count < count && *done < order->size; batch->count++) {
        uint32_t i = batch->count;
        size_t left = order->size - *done;
        size_t size = left < PART_SIZE ? left : PART_SIZE;

        batch->headers[i] = (struct peer_header){
            .round = order->round, .size = (uint32_t)order->size, .offset = (uint32_t)*done};
        batch->parts[2 * i] =
            (struct iovec){.iov_base = &batch->headers[i], .iov_len = sizeof(batch->headers[i])};
        batch->parts[2 * i + 1] = (struct iovec){.iov_base = order->bytes + *done, .iov_len = size};
        batch->messages[i].msg_hdr =
            (struct msghdr){.msg_iov = &batch->parts[2 * i], .msg_iovlen = 2};
        *done += size;
    }
}

static void
wait_for_rate(const struct peer *peer, uint64_t begin_ns, size_t done)
{
    uint64_t due_ns;

    if (peer->rate_mbit > 0) {
        due_ns = begin_ns + (uint64_t)((double)done * 8e3 / peer->rate_mbit);
        while (peer_now_ns() < due_ns) {
        }
    }
}

static void
send_object(const struct peer *peer, int fd, const struct peer_order *order, bool is_gso)
{
    static struct batch batch;
    uint64_t begin_ns = peer_now_ns();

    for (size_t done = 0; done < order->size;) {
        uint32_t sent = 0;

        wait_for_rate(peer, begin_ns, done);
        fill(&batch, order, &done, is_gso ? SEGMENTS : BATCH);
        if (is_gso) {
            struct msghdr all = {.msg_iov = batch.parts, .msg_iovlen = 2 * batch.count};

            if (sendmsg(fd, &all, 0) < 0) {
                peer_die("sendmsg");
            }
            continue;
        }
        while (sent < batch.count) {
            int rc = sendmmsg(fd, batch.messages + sent, batch.count - sent, 0);

            if (rc < 0) {
                peer_die("sendmmsg");
            }
            sent += (uint32_t)rc;
        }
    }
}

static void
run_sender(const struct peer *peer)
{
    bool is_gso = strstr(peer->mode, "gso") != NULL;
    int segment = DATAGRAM_SIZE;
    int fd = peer_udp_socket(peer);
    struct peer_order order;

    if (is_gso && setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) != 0) {
        peer_die("UDP_SEGMENT");
    }
    peer_say_ready();
    while (peer_next_order(&order)) {
        uint64_t begin_ns = peer_now_ns();

        send_object(peer, fd, &order, is_gso);
        peer_say_sent(order.round, begin_ns, peer_now_ns());
    }
    close(fd);
}

/* ---- Receiver ---- */

struct intake {
    EVP_MD_CTX *sha; /* NULL unless each datagram is digested */
    EVP_MD *algorithm;
    uint8_t *bytes;
    struct peer_header header; /* of the object that comes in; size 0 for none */
    size_t got;
    uint64_t last_ns;
};

static void
end_object(struct intake *intake)
{
    if (intake->header.size != 0 && intake->got == intake->header.size) {
        peer_say_got(intake->header.round, intake->last_ns, intake->bytes, intake->got);
    } else if (intake->header.size != 0) {
        peer_say_lost(intake->header.round, intake->last_ns, intake->got);
    }
    intake->header.size = 0;
}

static void
take(struct intake *intake, const uint8_t *datagram, size_t size)
{
    struct peer_header header;
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (size < sizeof(header)) {
        return;
    }
    memcpy(&header, datagram, sizeof(header));
    size -= sizeof(header);
    if (header.size > PEER_SIZE_MAX || header.offset > header.size ||
        size > header.size - header.offset) {
        return;
    }
    if (header.round != intake->header.round || intake->header.size == 0) {
        end_object(intake);
        intake->header = header;
        intake->got = 0;
    }
    if (intake->sha != NULL &&
        (EVP_DigestInit_ex2(intake->sha, intake->algorithm, NULL) != 1 ||
         EVP_DigestUpdate(intake->sha, datagram, size + sizeof(header)) != 1 ||
         EVP_DigestFinal_ex(intake->sha, digest, NULL) != 1)) {
        peer_die("digest");
    }
    memcpy(intake->bytes + header.offset, datagram + sizeof(header), size);
    intake->got += size;
}

/* What the kernel merged is of one size each, but for the last. */
static void
take_merged(struct intake *intake, struct msghdr *message, const uint8_t *bytes, size_t size)
{
    size_t segment = size;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int word;

            memcpy(&word, CMSG_DATA(c), sizeof(word));
            segment = word > 0 ? (size_t)word : size;
        }
    }
    for (size_t at = 0; at < size; at += segment) {
        take(intake, bytes + at, size - at < segment ? size - at : segment);
    }
}

static void
init_intake(struct intake *intake, bool is_digesting)
{
    *intake = (struct intake){.bytes = peer_memory(PEER_SIZE_MAX)};
    if (is_digesting) {
        intake->sha = EVP_MD_CTX_new();
        intake->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
        if (intake->sha == NULL || intake->algorithm == NULL) {
            peer_die("digest");
        }
    }
}

static void
run_receiver(const struct peer *peer)
{
    bool is_gro = strstr(peer->mode, "gro") != NULL;
    size_t room = is_gro ? MERGED_SIZE : 2048;
    uint8_t *buffers = peer_memory(BATCH * room);
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    char controls[BATCH][CMSG_SPACE(sizeof(int))];
    int fd = peer_udp_socket(peer);
    int on = 1;
    struct intake intake;

    if (is_gro && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) != 0) {
        peer_die("UDP_GRO");
    }
    init_intake(&intake, strstr(peer->mode, "sha256") != NULL);
    peer_say_ready();
    for (;;) {
        struct pollfd waits[2] = {{.fd = fd, .events = POLLIN},
                                  {.fd = STDIN_FILENO, .events = POLLIN}};
        int got = poll(waits, 2, SILENCE_MS);

        if (got == 0) {
            end_object(&intake);
            continue;
        }
        if (waits[0].revents == 0) {
            return; /* The harness has no line for a receiver that waits for datagrams. */
        }
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){.iov_base = buffers + (size_t)i * room, .iov_len = room};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
                                                  .msg_iovlen = 1,
                                                  .msg_control = controls[i],
                                                  .msg_controllen = sizeof(controls[i])};
        }
        got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < got; i++) {
            take_merged(&intake, &messages[i].msg_hdr, buffers + (size_t)i * room,
                        messages[i].msg_len);
        }
        intake.last_ns = peer_now_ns();
        if (intake.header.size != 0 && intake.got == intake.header.size) {
            end_object(&intake);
        }
    }
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
