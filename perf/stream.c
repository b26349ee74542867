/* A stream of contents of one scope, as an engine would send it but unsigned: for whoever follows
 * another scope of its group.
 *
 *   perf_stream INTERFACE SOURCE GROUP PORT SCOPE_ID SECONDS FRAMES_PER_SECOND
 *
 * Each content is a HEAD that names it, a CONTENT, and pages and symbols: 66 frames, of which 60
 * have 1,472 bytes.  FRAMES_PER_SECOND 0: as fast as the kernel takes them.  SCOPE_ID is
 * hexadecimal.  Prints {"frames": n, "seconds": s}. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "protocol/base/endian.h"
#include "protocol/wire/frame.h"

enum {
    SYMBOLS = 60,
    PAGES = 4,
    FRAMES = 2 + PAGES + SYMBOLS, /* of a content */
    FRAME_SIZE = 1472,
    SMALL_SIZE = 300,
    SCOPE_SIZE = 18,
};

static uint8_t frames[FRAMES][FRAME_SIZE];
static struct mmsghdr messages[FRAMES];
static struct iovec parts[FRAMES];

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static int
open_socket(char **argv, struct sockaddr_in *to)
{
    struct ip_mreqn out = {.imr_ifindex = (int)if_nametoindex(argv[1])};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(argv[2])};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    *to = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtoul(argv[4], NULL, 10)),
                               .sin_addr.s_addr = inet_addr(argv[3])};
    if (fd < 0 || out.imr_ifindex == 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out)) != 0) {
        die(argv[1]);
    }
    return fd;
}

static void
make_frames(uint64_t scope_id, struct sockaddr_in *to)
{
    for (int i = 0; i < FRAMES; i++) {
        uint8_t type = i == 0          ? CFC_FRAME_HEAD
                       : i == 1        ? CFC_FRAME_CONTENT
                       : i < 2 + PAGES ? CFC_FRAME_PAGE
                                       : CFC_FRAME_SYMBOL;
        uint16_t size = type == CFC_FRAME_SYMBOL ? FRAME_SIZE : SMALL_SIZE;

        cfc_put_u16(frames[i], CFC_FRAME_MAGIC);
        frames[i][2] = CFC_FRAME_VERSION;
        frames[i][3] = type;
        cfc_put_u16(frames[i] + 4, size);
        if (type == CFC_FRAME_SYMBOL) {
            cfc_put_u16(frames[i] + 18, (uint16_t)(i - 2 - PAGES)); /* index in its block */
        }
        parts[i] = (struct iovec){.iov_base = frames[i], .iov_len = size};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = to, .msg_namelen = sizeof(*to), .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    cfc_put_u64(frames[0] + 8, scope_id);
    cfc_put_u16(frames[0] + 18, SCOPE_SIZE);
    frames[0][22] = 1; /* arm, whose content id begins with the content key */
}

static void
name_content(uint64_t key)
{
    cfc_put_u64(frames[0] + 96 + SCOPE_SIZE + 8, key);
    for (int i = 1; i < FRAMES; i++) {
        cfc_put_u64(frames[i] + 8, key);
    }
}

static void
send_content(int fd)
{
    for (unsigned done = 0; done < FRAMES;) {
        int sent = sendmmsg(fd, messages + done, FRAMES - done, 0);

        if (sent < 0) {
            die("sendmmsg");
        }
        done += (unsigned)sent;
    }
}

/* Sleeps, so that the sender's own time is the same for every receiver. */
static void
sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / UINT64_C(1000000000)),
                          .tv_nsec = (long)(at_ns % UINT64_C(1000000000))};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

int
main(int argc, char **argv)
{
    struct sockaddr_in to;
    uint64_t begin_ns;
    uint64_t end_ns;
    uint64_t count = 0;
    double rate;
    int fd;

    if (argc != 8) {
        fputs("perf_stream: see the head of its source\n", stderr);
        return 2;
    }
    fd = open_socket(argv, &to);
    make_frames(strtoull(argv[5], NULL, 16), &to);
    rate = strtod(argv[7], NULL);
    begin_ns = now_ns();
    end_ns = begin_ns + (uint64_t)(strtod(argv[6], NULL) * 1e9);
    while (now_ns() < end_ns) {
        if (rate > 0) {
            sleep_until(begin_ns + (uint64_t)((double)count / rate * 1e9));
        }
        name_content(begin_ns + count);
        send_content(fd);
        count += FRAMES;
    }
    printf("{\"frames\":%llu,\"seconds\":%.3f}\n", (unsigned long long)count,
           (double)(now_ns() - begin_ns) / 1e9);
    return 0;
}
