/* Plain UDP multicast with no protocol at all, as the limit that benchmarks of a fleet are held
 * against.
 *
 *   bench_raw send GROUP PORT INTERFACE
 *   bench_raw receive GROUP PORT INTERFACE [none|sha256|ed25519]
 *
 * The sender takes one round per line on standard input, "ROUND MBIT SIZExCOUNT ...", sends COUNT
 * datagrams of SIZE bytes of UDP payload for each word (MBIT 0: as fast as the kernel takes them)
 * and prints "ROUND BEGIN END", unix ns.  A receiver prints "ready" when it has joined, then "ROUND
 * GOT WANTED LAST": datagrams and when it was through with the last of them.  With sha256 it
 * digests each datagram, with ed25519 it checks one signature before it is through with a round
 * that is whole.  Datagrams of a burst are digested two at a time, as the product does. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "protocol/trust/digest.h"

enum {
    BATCH = 64,
    DATAGRAM_MAX = 9216,
    BUFFER_SIZE = 64 << 20,
    SILENCE_MS = 100, /* after which a round counts as over */
    WORDS_MAX = 16,
};

struct header { /* of each datagram */
    uint32_t round;
    uint32_t count; /* of the round */
};

static uint8_t bytes[BATCH][DATAGRAM_MAX];

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static int
open_socket(char **argv, struct sockaddr_in *group, struct mmsghdr messages[BATCH],
            struct iovec parts[BATCH])
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int size = BUFFER_SIZE;

    *group = (struct sockaddr_in){.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10)),
                                  .sin_addr.s_addr = inet_addr(argv[2])};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
        die("socket");
    }
    memset(messages, 0, BATCH * sizeof(messages[0]));
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){.iov_base = bytes[i], .iov_len = DATAGRAM_MAX};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    return fd;
}

struct size_count {
    uint32_t size;
    uint32_t count;
};

static void
send_round(int fd, uint32_t round, double mbit, const struct size_count *words, int word_count,
           struct mmsghdr messages[BATCH], struct iovec parts[BATCH])
{
    struct header header = {.round = round};
    uint64_t begin_ns = now_ns();
    double sent_bits = 0;

    for (int w = 0; w < word_count; w++) {
        header.count += words[w].count;
    }
    for (int w = 0, done = 0; w < word_count; w++, done = 0) {
        while ((uint32_t)done < words[w].count) {
            uint32_t left = words[w].count - (uint32_t)done;
            unsigned batch = left < BATCH ? left : BATCH;
            int sent;

            for (unsigned i = 0; i < batch; i++) {
                memcpy(bytes[i], &header, sizeof(header));
                parts[i].iov_len = words[w].size;
            }
            while (mbit > 0 && (double)(now_ns() - begin_ns) * mbit / 1e3 < sent_bits) {
            }
            sent = sendmmsg(fd, messages, batch, 0);
            if (sent < 0) {
                die("sendmmsg");
            }
            done += sent;
            sent_bits += 8.0 * words[w].size * sent;
        }
    }
    printf("%u %llu %llu\n", round, (unsigned long long)begin_ns, (unsigned long long)now_ns());
    fflush(stdout);
}

static int
run_sender(char **argv)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in group;
    int fd = open_socket(argv, &group, messages, parts);
    struct ip_mreqn from = {.imr_ifindex = (int)if_nametoindex(argv[4])};
    char line[512];

    if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &from, sizeof(from)) != 0 ||
        connect(fd, (struct sockaddr *)&group, sizeof(group)) != 0) {
        die("sender");
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct size_count words[WORDS_MAX];
        int word_count = 0;
        char *at = line;
        uint32_t round = (uint32_t)strtoul(at, &at, 10);
        double mbit = strtod(at, &at);

        while (word_count < WORDS_MAX) {
            uint32_t size = (uint32_t)strtoul(at, &at, 10);

            if (size < sizeof(struct header) || size > DATAGRAM_MAX || *at != 'x') {
                break;
            }
            words[word_count++] =
                (struct size_count){.size = size, .count = (uint32_t)strtoul(at + 1, &at, 10)};
        }
        send_round(fd, round, mbit, words, word_count, messages, parts);
    }
    return 0;
}

struct check {
    bool is_sha256;
    bool is_ed25519;
    struct cfc_sha256 *sha;
    struct cfc_sha256 *second;
    const uint8_t *waiting; /* a datagram that is digested beside the next one */
    unsigned char key[crypto_sign_PUBLICKEYBYTES];
    unsigned char signature[crypto_sign_BYTES];
};

static void
init_check(struct check *check, const char *word)
{
    unsigned char secret[crypto_sign_SECRETKEYBYTES];

    *check = (struct check){.is_sha256 = strcmp(word, "sha256") == 0,
                            .is_ed25519 = strcmp(word, "ed25519") == 0,
                            .sha = cfc_sha256_new(),
                            .second = cfc_sha256_new()};
    if (check->sha == NULL || check->second == NULL || sodium_init() < 0 ||
        crypto_sign_keypair(check->key, secret) != 0 ||
        crypto_sign_detached(check->signature, NULL, bytes[0], 200, secret) != 0) {
        die("keys");
    }
}

struct round {
    struct header header;
    uint32_t got;
    uint64_t last_ns;
};

static void
end_round(struct round *round, struct check *check)
{
    static const uint8_t message[200];

    if (round->header.count == 0) {
        return;
    }
    if (check->is_ed25519 && round->got == round->header.count) {
        if (crypto_sign_verify_detached(check->signature, message, sizeof(message), check->key) !=
            0) {
            die("signature");
        }
        round->last_ns = now_ns();
    }
    printf("%u %u %u %llu\n", round->header.round, round->got, round->header.count,
           (unsigned long long)round->last_ns);
    fflush(stdout);
    *round = (struct round){.got = 0};
}

/* The datagram that waits for another one is digested, alone if none came. */
static void
end_waiting(struct check *check)
{
    struct cfc_digest digest;

    if (check->waiting != NULL) {
        cfc_sha256_end(check->second, &digest);
        check->waiting = NULL;
    }
}

static void
digest_one(struct check *check, const uint8_t *datagram, size_t size)
{
    struct cfc_digest digest;

    if (check->waiting == NULL) {
        check->waiting = datagram;
        cfc_sha256_begin(check->second, NULL);
        cfc_sha256_add_beside(check->second, datagram, size, check->sha, size);
        return;
    }
    cfc_sha256_once(check->sha, NULL, datagram, size, &digest);
    end_waiting(check);
}

static void
take(struct round *round, struct check *check, const uint8_t *datagram, size_t size)
{
    struct header header;

    memcpy(&header, datagram, sizeof(header));
    if (header.round != round->header.round) {
        end_round(round, check);
        round->header = header;
    }
    round->got++;
    if (check->is_sha256) {
        digest_one(check, datagram, size);
    }
}

_Noreturn static void
run_receiver(char **argv, const char *word)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in group;
    int fd = open_socket(argv, &group, messages, parts);
    struct ip_mreqn member = {.imr_multiaddr = group.sin_addr,
                              .imr_ifindex = (int)if_nametoindex(argv[4])};
    struct round round = {.got = 0};
    struct check check;

    init_check(&check, word);
    if (bind(fd, (struct sockaddr *)&group, sizeof(group)) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) != 0) {
        die("receiver");
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int got;

        if (poll(&wait, 1, SILENCE_MS) == 0) {
            end_round(&round, &check);
            continue;
        }
        got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < got; i++) {
            take(&round, &check, bytes[i], messages[i].msg_len);
        }
        end_waiting(&check);
        round.last_ns = now_ns();
        if (round.got == round.header.count) {
            end_round(&round, &check);
        }
    }
}

int
main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "send") == 0) {
        return run_sender(argv);
    }
    if ((argc == 5 || argc == 6) && strcmp(argv[1], "receive") == 0) {
        run_receiver(argv, argc == 6 ? argv[5] : "none");
    }
    fputs("bench_raw: see the head of its source\n", stderr);
    return 2;
}
