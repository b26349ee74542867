/* Processes of one host and the XDP filter of its interface: several hosts of this process on the
 * lo of a network namespace of the test's own, at times of the test's own.  What passes is asked of
 * the program that is attached there.  Takes CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_SYS_ADMIN.
 */
#include "consumer/xdp/host.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/xdp_fixture.h"

static const char INTERFACE[] = "lo";
static uint64_t now_ns = 1000 * CFC_S;
static char said[4096]; /* by all hosts, a line each */

static void
hear(void *arg, int level, const char *line)
{
    size_t size = strlen(said);

    (void)arg;
    (void)level;
    snprintf(said + size, sizeof(said) - size, "%s\n", line);
}

static unsigned
times_said(const char *word)
{
    unsigned count = 0;

    for (const char *at = said; (at = strstr(at, word)) != NULL; at++) {
        count++;
    }
    return count;
}

static struct cfc_xdp_host *
open_host(enum confcast_xdp wanted)
{
    struct cfc_xdp_host_config config = {.interface = INTERFACE,
                                         .wanted = wanted,
                                         .fleet = fleet_config(),
                                         .say = hear,
                                         .now_ns = now_ns};
    struct cfc_xdp_host *host = NULL;

    CU_ASSERT_EQUAL_FATAL(cfc_xdp_host_open(&config, &host), CONFCAST_OK);
    return host;
}

static struct cfc_xdp_host_stats
stats_of(const struct cfc_xdp_host *host)
{
    struct cfc_xdp_host_stats stats;

    cfc_xdp_host_stats(host, &stats);
    return stats;
}

static void
tend(struct cfc_xdp_host *const *hosts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cfc_xdp_host_tend(hosts[i], now_ns);
    }
}

/* Lets time go by, second by second. */
static void
pass_time(struct cfc_xdp_host *const *hosts, size_t count, unsigned seconds)
{
    for (unsigned s = 0; s < seconds; s++) {
        now_ns += CFC_S;
        tend(hosts, count);
        tend(hosts, count); /* what one told in its turn is heard by those before it */
    }
}

/* The program on the interface: a descriptor, or -1. */
static int
attached_program(void)
{
    __u32 id = 0;

    if (bpf_xdp_query_id((int)if_nametoindex(INTERFACE), 0, &id) != 0 || id == 0) {
        return -1;
    }
    return bpf_prog_get_fd_by_id(id);
}

static bool
is_attached(void)
{
    int fd = attached_program();

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static bool
passes(struct packet p)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = p.bytes, .data_size_in = (uint32_t)p.size,
                .repeat = 1);
    int fd = attached_program();

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(bpf_prog_test_run_opts(fd, &options), 0);
    close(fd);
    return options.retval == XDP_PASS;
}

/* An owner that drops. */
static struct cfc_xdp_host *
open_owner(void)
{
    struct cfc_xdp_host *host = open_host(CONFCAST_XDP_AUTO);

    CU_ASSERT_EQUAL(stats_of(host).mode, CONFCAST_XDP_GENERIC); /* lo has no driver that could */
    pass_time(&host, 1, 4);
    CU_ASSERT_FALSE(stats_of(host).is_open);
    return host;
}

/* ---- Cases ----------------------------------------------------------------------------------- */

static void
a_new_owner_drops_nothing_until_the_others_have_found_it(void)
{
    struct cfc_xdp_host *host = open_host(CONFCAST_XDP_AUTO);

    cfc_xdp_host_want(host, MINE);
    CU_ASSERT_TRUE(stats_of(host).is_open);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    pass_time(&host, 1, 2);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    pass_time(&host, 1, 1);
    CU_ASSERT_FALSE(stats_of(host).is_open);
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_TRUE(passes(plain_head(MINE, B)));
    cfc_xdp_host_unwant(host, MINE);
    CU_ASSERT_FALSE(passes(plain_head(MINE, B)));
    cfc_xdp_host_close(host);
    CU_ASSERT_FALSE(is_attached());
}

static void
a_content_is_needed_from_its_head_on_and_dropped_once_it_is_held(void)
{
    struct cfc_xdp_host *host = open_owner();
    uint64_t keys[2] = {A, B};

    cfc_xdp_host_want(host, MINE);
    cfc_xdp_host_named(host, MINE, keys, 2);
    /* A head of somebody else's scope cannot take it away. */
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_TRUE(passes(symbol(A)));
    cfc_xdp_host_held(host, A);
    CU_ASSERT_FALSE(passes(symbol(A)));
    CU_ASSERT_TRUE(passes(symbol(B)));
    /* Dropped while a head in force names it: needed again. */
    cfc_xdp_host_dropped(host, A);
    CU_ASSERT_TRUE(passes(symbol(A)));
    cfc_xdp_host_held(host, A);
    /* The next head names another one; what it no longer names is nobody's need. */
    keys[0] = C;
    cfc_xdp_host_named(host, MINE, keys, 1);
    CU_ASSERT_FALSE(passes(symbol(A)));
    cfc_xdp_host_dropped(host, A);
    CU_ASSERT_FALSE(passes(symbol(A))); /* as that head on the wire said */
    CU_ASSERT_TRUE(passes(symbol(C)));
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, B)));
    CU_ASSERT_FALSE(passes(symbol(B)));
    cfc_xdp_host_close(host);
}

static void
a_content_of_two_scopes_is_needed_until_neither_names_it(void)
{
    struct cfc_xdp_host *host = open_owner();
    uint64_t key = A;

    cfc_xdp_host_want(host, MINE);
    cfc_xdp_host_want(host, ELSEWHERE);
    cfc_xdp_host_named(host, MINE, &key, 1);
    cfc_xdp_host_named(host, ELSEWHERE, &key, 1);
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    cfc_xdp_host_named(host, MINE, NULL, 0);
    CU_ASSERT_TRUE(passes(symbol(A)));
    cfc_xdp_host_unwant(host, ELSEWHERE);
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_FALSE(passes(symbol(A)));
    cfc_xdp_host_close(host);
}

static void
what_another_process_wants_passes_as_long_as_it_lives(void)
{
    struct cfc_xdp_host *hosts[2] = {open_owner()};

    cfc_xdp_host_want(hosts[0], MINE);
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    hosts[1] = open_host(CONFCAST_XDP_OFF);
    cfc_xdp_host_want(hosts[1], FOREIGN);
    tend(hosts, 1); /* it is heard at once, not with the next look */
    CU_ASSERT_EQUAL(stats_of(hosts[0]).members, 1);
    CU_ASSERT_TRUE(stats_of(hosts[1]).is_member);
    CU_ASSERT_EQUAL(stats_of(hosts[1]).error, CONFCAST_OK);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_TRUE(passes(plain_head(MINE, B)));
    cfc_xdp_host_want(hosts[1], ELSEWHERE);
    tend(hosts, 1);
    CU_ASSERT_TRUE(passes(plain_head(ELSEWHERE, C)));
    cfc_xdp_host_unwant(hosts[1], FOREIGN);
    tend(hosts, 1);
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    cfc_xdp_host_close(hosts[1]);
    tend(hosts, 1);
    CU_ASSERT_EQUAL(stats_of(hosts[0]).members, 0);
    CU_ASSERT_FALSE(passes(plain_head(ELSEWHERE, C)));
    CU_ASSERT_TRUE(passes(plain_head(MINE, B)));
    cfc_xdp_host_close(hosts[0]);
}

static void
a_scope_that_two_want_passes_until_the_second_lets_go(void)
{
    struct cfc_xdp_host *hosts[2] = {open_owner(), open_host(CONFCAST_XDP_OFF)};

    cfc_xdp_host_want(hosts[0], MINE);
    cfc_xdp_host_want(hosts[1], MINE);
    tend(hosts, 1);
    cfc_xdp_host_unwant(hosts[0], MINE);
    CU_ASSERT_TRUE(passes(plain_head(MINE, A)));
    CU_ASSERT_TRUE(passes(symbol(A)));
    cfc_xdp_host_close(hosts[1]);
    tend(hosts, 1);
    CU_ASSERT_FALSE(passes(plain_head(MINE, A)));
    CU_ASSERT_FALSE(passes(symbol(A)));
    cfc_xdp_host_close(hosts[0]);
}

static void
what_one_holds_passes_while_another_needs_it(void)
{
    struct cfc_xdp_host *hosts[2] = {open_owner(), open_host(CONFCAST_XDP_OFF)};
    uint64_t key = A;

    cfc_xdp_host_want(hosts[0], MINE);
    cfc_xdp_host_held(hosts[0], A);
    CU_ASSERT_FALSE(passes(symbol(A)));
    cfc_xdp_host_want(hosts[1], MINE);
    cfc_xdp_host_named(hosts[1], MINE, &key, 1);
    tend(hosts, 1);
    CU_ASSERT_TRUE(passes(symbol(A)));
    cfc_xdp_host_held(hosts[1], A);
    tend(hosts, 1);
    CU_ASSERT_FALSE(passes(symbol(A)));
    /* Nor the other way round. */
    cfc_xdp_host_dropped(hosts[0], A);
    cfc_xdp_host_named(hosts[0], MINE, &key, 1);
    CU_ASSERT_TRUE(passes(symbol(A)));
    cfc_xdp_host_held(hosts[0], A);
    CU_ASSERT_FALSE(passes(symbol(A)));
    cfc_xdp_host_named(hosts[0], MINE, NULL, 0);
    /* What the other holds alone is held as well, until it ends. */
    cfc_xdp_host_dropped(hosts[0], A);
    CU_ASSERT_FALSE(passes(symbol(A)));
    cfc_xdp_host_close(hosts[1]);
    tend(hosts, 1);
    CU_ASSERT_TRUE(passes(symbol(A)));
    cfc_xdp_host_close(hosts[0]);
}

static void
the_second_that_asks_is_refused_heard_and_takes_over(void)
{
    struct cfc_xdp_host *hosts[2];

    said[0] = '\0';
    hosts[0] = open_owner();
    pass_time(hosts, 1, 30);
    hosts[1] = open_host(CONFCAST_XDP_AUTO);
    cfc_xdp_host_want(hosts[1], FOREIGN);
    cfc_xdp_host_held(hosts[1], B);
    tend(hosts, 2);
    CU_ASSERT_EQUAL(stats_of(hosts[1]).mode, CONFCAST_XDP_OFF);
    CU_ASSERT_EQUAL(stats_of(hosts[1]).error, CONFCAST_ERR_BUSY);
    CU_ASSERT_TRUE(stats_of(hosts[1]).is_member);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    pass_time(hosts, 2, 3);
    CU_ASSERT_EQUAL(times_said("error=busy"), 1);
    cfc_xdp_host_close(hosts[0]);
    CU_ASSERT_FALSE(is_attached());
    pass_time(hosts + 1, 1, 1);
    CU_ASSERT_EQUAL(stats_of(hosts[1]).mode, CONFCAST_XDP_GENERIC);
    CU_ASSERT_EQUAL(stats_of(hosts[1]).error, CONFCAST_OK);
    CU_ASSERT_TRUE(stats_of(hosts[1]).is_open);
    pass_time(hosts + 1, 1, 3);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_FALSE(passes(plain_head(MINE, A)));
    CU_ASSERT_FALSE(passes(symbol(B)));
    cfc_xdp_host_close(hosts[1]);
}

/* What it did before it found an owner is told then. */
static void
a_process_that_was_there_first_is_heard_by_a_later_owner(void)
{
    struct cfc_xdp_host *hosts[2] = {open_host(CONFCAST_XDP_OFF)};
    uint64_t key = A;

    cfc_xdp_host_want(hosts[0], FOREIGN);
    cfc_xdp_host_named(hosts[0], FOREIGN, &key, 1);
    cfc_xdp_host_held(hosts[0], B);
    CU_ASSERT_FALSE(stats_of(hosts[0]).is_member);
    hosts[1] = open_host(CONFCAST_XDP_GENERIC);
    pass_time(hosts, 2, 4);
    CU_ASSERT_EQUAL(stats_of(hosts[1]).members, 1);
    CU_ASSERT_FALSE(stats_of(hosts[1]).is_open);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_FALSE(passes(plain_head(MINE, A)));
    CU_ASSERT_TRUE(passes(symbol(A)));
    CU_ASSERT_FALSE(passes(symbol(B)));
    cfc_xdp_host_close(hosts[0]);
    cfc_xdp_host_close(hosts[1]);
}

static void
more_than_can_be_noted_keeps_the_filter_open(void)
{
    struct cfc_xdp_host *hosts[2] = {open_owner(), open_host(CONFCAST_XDP_OFF)};

    for (uint64_t i = 0; i < CFC_XDP_HOST_SCOPES_MAX; i++) {
        cfc_xdp_host_want(hosts[1], MINE + GROUPS * i);
        tend(hosts, 1);
    }
    CU_ASSERT_FALSE(stats_of(hosts[0]).is_open);
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    cfc_xdp_host_want(hosts[1], FOREIGN);
    tend(hosts, 1);
    CU_ASSERT_TRUE(stats_of(hosts[0]).is_open);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_TRUE(passes(plain_head(ELSEWHERE, A)));
    cfc_xdp_host_close(hosts[1]);
    tend(hosts, 1);
    CU_ASSERT_FALSE(stats_of(hosts[0]).is_open);
    cfc_xdp_host_close(hosts[0]);
}

/* A socket to the owner, as another program or a later version might open one. */
static int
connect_to_owner(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int size = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "confcast-xdp-%u",
                        if_nametoindex(INTERFACE));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    CU_ASSERT_EQUAL(connect(fd, (struct sockaddr *)&at,
                            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size)),
                    0);
    return fd;
}

static void
what_nobody_understands_keeps_the_filter_open_while_its_sender_lives(void)
{
    static const uint8_t messages[][24] = {
        {0},                                          /* no magic */
        {'C', 'F', 'X', '1', 2, 0, 0, 0},             /* two records announced, one there */
        {'C', 'F', 'X', '1', 1, 0, 0, 0, 9, 0, 0, 0}, /* an operation of a later version */
        {'C', 'F', 'X', '1', 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0} /* too many */
    };
    struct cfc_xdp_host *owner = open_owner();

    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        int fd = connect_to_owner();

        tend(&owner, 1);
        CU_ASSERT_FALSE(stats_of(owner).is_open);
        CU_ASSERT_EQUAL(write(fd, messages[i], sizeof(messages[i])), (ssize_t)sizeof(messages[i]));
        tend(&owner, 1);
        CU_ASSERT_TRUE(stats_of(owner).is_open);
        CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
        close(fd);
        tend(&owner, 1);
        CU_ASSERT_FALSE(stats_of(owner).is_open);
    }
    cfc_xdp_host_close(owner);
}

static void
a_process_without_a_place_keeps_the_filter_open_until_there_is_one(void)
{
    struct cfc_xdp_host *owner = open_owner();
    int fds[CFC_XDP_HOST_MEMBERS_MAX + 1];

    for (int i = 0; i < CFC_XDP_HOST_MEMBERS_MAX; i++) {
        fds[i] = connect_to_owner();
        tend(&owner, 1);
    }
    CU_ASSERT_EQUAL(stats_of(owner).members, CFC_XDP_HOST_MEMBERS_MAX);
    CU_ASSERT_FALSE(stats_of(owner).is_open);
    fds[CFC_XDP_HOST_MEMBERS_MAX] = connect_to_owner();
    tend(&owner, 1);
    CU_ASSERT_EQUAL(stats_of(owner).members, CFC_XDP_HOST_MEMBERS_MAX);
    CU_ASSERT_TRUE(stats_of(owner).is_open);
    pass_time(&owner, 1, 2);
    CU_ASSERT_TRUE(stats_of(owner).is_open);
    pass_time(&owner, 1, 2);
    CU_ASSERT_FALSE(stats_of(owner).is_open); /* it did not come again */
    for (int i = 0; i <= CFC_XDP_HOST_MEMBERS_MAX; i++) {
        close(fds[i]);
    }
    /* One a turn: a host of processes that end must not keep the owner from its work. */
    for (uint32_t i = CFC_XDP_HOST_MEMBERS_MAX; i > 0; i--) {
        CU_ASSERT_EQUAL(stats_of(owner).members, i);
        tend(&owner, 1);
    }
    CU_ASSERT_EQUAL(stats_of(owner).members, 0);
    cfc_xdp_host_close(owner);
}

/* As consumer/xdp/member.h has it. */
enum {
    WANT = 1,
    PIN_NEEDED = 4,
    PIN_HELD = 5,
    RECORDS_MAX = 255
};

/* Says the same of `count` keys from `first` on. */
static void
say_to_owner(int fd, uint32_t operation, uint64_t first, uint32_t count)
{
    struct {
        uint8_t magic[4];
        uint32_t count;
        struct {
            uint32_t operation;
            uint32_t zero;
            uint64_t value;
        } records[RECORDS_MAX];
    } message = {.magic = {'C', 'F', 'X', '1'}, .count = count};
    size_t size = 8 + count * sizeof(message.records[0]);

    for (uint32_t i = 0; i < count; i++) {
        message.records[i].operation = operation;
        message.records[i].value = first + i;
    }
    CU_ASSERT_EQUAL(write(fd, &message, size), (ssize_t)size);
}

static void
who_talks_much_is_heard_a_message_a_turn(void)
{
    struct cfc_xdp_host *owner = open_owner();
    int fd = connect_to_owner();

    tend(&owner, 1);
    for (uint64_t i = 0; i < 3; i++) {
        say_to_owner(fd, PIN_NEEDED, 1 + i * RECORDS_MAX, RECORDS_MAX);
    }
    say_to_owner(fd, WANT, FOREIGN, 1);
    for (int i = 0; i < 3; i++) {
        tend(&owner, 1);
        CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    }
    tend(&owner, 1);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    close(fd);
    cfc_xdp_host_close(owner);
}

static void
more_needs_than_fit_keep_the_filter_open_until_they_fit(void)
{
    enum {
        PARTIES = CFC_XDP_PINNED_MAX / CFC_XDP_HOST_CONTENTS_MAX + 1
    };
    struct cfc_xdp_host *owner = open_owner();
    int fds[PARTIES];

    cfc_xdp_host_want(owner, MINE);
    for (uint64_t i = 0; i < PARTIES; i++) {
        fds[i] = connect_to_owner();
        tend(&owner, 1);
        CU_ASSERT_FALSE(stats_of(owner).is_open);
        for (uint64_t k = 0; k < CFC_XDP_HOST_CONTENTS_MAX; k += 128) {
            say_to_owner(fds[i], PIN_NEEDED, 1 + i * CFC_XDP_HOST_CONTENTS_MAX + k, 128);
            tend(&owner, 1);
        }
    }
    CU_ASSERT_TRUE(stats_of(owner).is_open);
    pass_time(&owner, 1, 2);
    CU_ASSERT_TRUE(stats_of(owner).is_open);
    close(fds[0]);
    pass_time(&owner, 1, 2);
    CU_ASSERT_FALSE(stats_of(owner).is_open);
    /* The last one, which had found no place, has its own now. */
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, PARTIES * CFC_XDP_HOST_CONTENTS_MAX)));
    CU_ASSERT_TRUE(passes(symbol(PARTIES * CFC_XDP_HOST_CONTENTS_MAX)));
    for (int i = 1; i < PARTIES; i++) {
        close(fds[i]);
    }
    cfc_xdp_host_close(owner);
}

/* Else any user of the host could have frames dropped that somebody is about to need. */
static void
what_another_user_holds_does_not_count(void)
{
    struct cfc_xdp_host *owner = open_owner();
    int fds[2];

    cfc_xdp_host_want(owner, MINE);
    CU_ASSERT_EQUAL_FATAL(seteuid(1), 0); /* whose socket it is is told from here on */
    fds[0] = connect_to_owner();
    CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
    fds[1] = connect_to_owner();
    say_to_owner(fds[0], PIN_HELD, A, 1);
    say_to_owner(fds[0], WANT, FOREIGN, 1);
    say_to_owner(fds[1], PIN_HELD, B, 1);
    tend(&owner, 1);
    CU_ASSERT_EQUAL(stats_of(owner).members, 2);
    CU_ASSERT_FALSE(stats_of(owner).is_open);
    CU_ASSERT_TRUE(passes(symbol(A)));
    CU_ASSERT_FALSE(passes(symbol(B)));
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, C))); /* what it wants does */
    say_to_owner(fds[0], PIN_NEEDED, B, 1);
    tend(&owner, 1);
    CU_ASSERT_TRUE(passes(symbol(B)));
    say_to_owner(fds[0], PIN_HELD, B, 1); /* it needs it no more, and that is all */
    tend(&owner, 1);
    CU_ASSERT_FALSE(passes(symbol(B)));
    close(fds[0]);
    close(fds[1]);
    cfc_xdp_host_close(owner);
}

/* What waits in the queue is not heard, so all passes; and the loop is not woken for it. */
static void
without_descriptors_nothing_is_dropped_and_nothing_spins(void)
{
    struct cfc_xdp_host *owner = open_owner();
    struct rlimit before;
    struct rlimit none;
    struct pollfd poll_fd = {.fd = cfc_xdp_host_fd(owner), .events = POLLIN};
    int fd = connect_to_owner();
    int lowest = dup(fd);

    close(lowest);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    CU_ASSERT_EQUAL(poll(&poll_fd, 1, 0), 1);
    tend(&owner, 1);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    CU_ASSERT_EQUAL(stats_of(owner).members, 0);
    CU_ASSERT_TRUE(stats_of(owner).is_open);
    CU_ASSERT_TRUE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_EQUAL(poll(&poll_fd, 1, 0), 0);
    pass_time(&owner, 1, 1); /* there are some again */
    CU_ASSERT_EQUAL(stats_of(owner).members, 1);
    pass_time(&owner, 1, 3);
    CU_ASSERT_FALSE(stats_of(owner).is_open);
    close(fd);
    cfc_xdp_host_close(owner);
}

static void
another_xdp_program_keeps_the_interface(void)
{
    static const struct bpf_insn pass[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT}};
    int idx = (int)if_nametoindex(INTERFACE);
    int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "somebody_else", "GPL", pass, 2, NULL);
    struct cfc_xdp_host *host;

    CU_ASSERT_EQUAL_FATAL(bpf_xdp_attach(idx, program, XDP_FLAGS_SKB_MODE, NULL), 0);
    said[0] = '\0';
    host = open_host(CONFCAST_XDP_AUTO);
    CU_ASSERT_EQUAL(stats_of(host).error, CONFCAST_ERR_EXISTS);
    pass_time(&host, 1, 25);
    CU_ASSERT_EQUAL(stats_of(host).mode, CONFCAST_XDP_OFF);
    CU_ASSERT_EQUAL(times_said("error=exists"), 1);
    /* It looks again now and then. */
    CU_ASSERT_EQUAL(bpf_xdp_detach(idx, XDP_FLAGS_SKB_MODE, NULL), 0);
    pass_time(&host, 1, 11);
    CU_ASSERT_EQUAL(stats_of(host).mode, CONFCAST_XDP_GENERIC);
    cfc_xdp_host_close(host);
    close(program);
}

static void
a_mode_that_the_driver_does_not_have_is_unavailable(void)
{
    struct cfc_xdp_host *host;

    said[0] = '\0';
    host = open_host(CONFCAST_XDP_NATIVE);
    CU_ASSERT_EQUAL(stats_of(host).error, CONFCAST_ERR_UNAVAILABLE);
    pass_time(&host, 1, 25);
    CU_ASSERT_EQUAL(times_said("no XDP filter"), 1);
    cfc_xdp_host_want(host, MINE);
    cfc_xdp_host_close(host);
    CU_ASSERT_FALSE(is_attached());
}

static void
an_interface_that_is_not_there_is_waited_for(void)
{
    struct cfc_xdp_host_config config = {.interface = "none0",
                                         .wanted = CONFCAST_XDP_AUTO,
                                         .fleet = fleet_config(),
                                         .now_ns = now_ns};
    struct cfc_xdp_host *host;

    CU_ASSERT_EQUAL_FATAL(cfc_xdp_host_open(&config, &host), CONFCAST_OK);
    cfc_xdp_host_want(host, MINE);
    pass_time(&host, 1, 3);
    CU_ASSERT_EQUAL(stats_of(host).mode, CONFCAST_XDP_OFF);
    cfc_xdp_host_close(host);
}

static void
one_that_somebody_detaches_is_attached_again(void)
{
    struct cfc_xdp_host *host = open_owner();
    uint64_t seen;

    cfc_xdp_host_want(host, MINE);
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    seen = stats_of(host).counts[CFC_XDP_DROPPED_UNWANTED];
    CU_ASSERT_EQUAL(seen, 1);
    {
        __u32 id = 0;

        while (bpf_link_get_next_id(id, &id) == 0) {
            struct bpf_link_info info = {0};
            __u32 size = sizeof(info);
            int fd = bpf_link_get_fd_by_id(id);

            if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
                info.type == BPF_LINK_TYPE_XDP && info.xdp.ifindex == if_nametoindex(INTERFACE)) {
                int program = bpf_prog_get_fd_by_id(info.prog_id);
                int attached = attached_program();
                struct bpf_prog_info mine = {0};
                __u32 mine_size = sizeof(mine);

                /* Ours, and not that of an lo of another namespace. */
                if (attached >= 0 && bpf_obj_get_info_by_fd(attached, &mine, &mine_size) == 0 &&
                    mine.id == info.prog_id) {
                    CU_ASSERT_EQUAL(bpf_link_detach(fd), 0);
                }
                close(program);
                close(attached);
            }
            if (fd >= 0) {
                close(fd);
            }
        }
    }
    CU_ASSERT_FALSE(is_attached());
    pass_time(&host, 1, 15);
    CU_ASSERT_TRUE(is_attached());
    CU_ASSERT_FALSE(stats_of(host).is_open);
    CU_ASSERT_TRUE(passes(plain_head(MINE, A)));
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    CU_ASSERT_EQUAL(stats_of(host).counts[CFC_XDP_DROPPED_UNWANTED], seen + 1);
    cfc_xdp_host_close(host);
}

/* ---- Processes ------------------------------------------------------------------------------- */

static void
a_killed_owner_leaves_nothing_attached(void)
{
    int ready[2];
    uint8_t byte;
    pid_t pid;

    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        byte = stats_of(open_host(CONFCAST_XDP_AUTO)).mode == CONFCAST_XDP_GENERIC;
        (void)!write(ready[1], &byte, 1);
        pause();
        _exit(0);
    }
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    CU_ASSERT_EQUAL(byte, 1);
    CU_ASSERT_TRUE(is_attached());
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CU_ASSERT_FALSE(is_attached());
    close(ready[0]);
    close(ready[1]);
}

static void
a_forked_child_does_not_keep_the_filter_attached(void)
{
    struct cfc_xdp_host *host = open_owner();
    int done[2];
    pid_t pid;

    CU_ASSERT_EQUAL_FATAL(pipe(done), 0);
    pid = fork();
    if (pid == 0) {
        uint8_t byte = 1;

        cfc_xdp_host_abandon(host);
        (void)!write(done[1], &byte, 1);
        pause();
        _exit(0);
    } else {
        uint8_t byte;

        CU_ASSERT_EQUAL(read(done[0], &byte, 1), 1);
    }
    CU_ASSERT_TRUE(is_attached());
    CU_ASSERT_FALSE(passes(plain_head(FOREIGN, A)));
    cfc_xdp_host_close(host);
    CU_ASSERT_FALSE(is_attached());
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(done[0]);
    close(done[1]);
}

static void
without_rights_it_says_so_once_and_tells_an_owner_what_it_wants(void)
{
    struct cfc_xdp_host *owner = open_owner();
    int told[2];
    int status = 1;
    uint8_t byte;
    pid_t pid;

    CU_ASSERT_EQUAL_FATAL(pipe(told), 0);
    cfc_xdp_host_want(owner, MINE);
    cfc_xdp_host_close(owner);
    pid = fork();
    if (pid == 0) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct none[2] = {{0}};
        struct cfc_xdp_host *host;
        bool is_right;

        said[0] = '\0';
        syscall(SYS_capset, &header, none);
        host = open_host(CONFCAST_XDP_AUTO);
        cfc_xdp_host_want(host, FOREIGN);
        is_right = stats_of(host).error == CONFCAST_ERR_PERMISSION;
        pass_time(&host, 1, 30);
        is_right = is_right && times_said("no XDP filter") == 1 && !stats_of(host).is_member;
        (void)!write(told[1], "", 1);
        for (int i = 0; i < 500 && !stats_of(host).is_member; i++) {
            usleep(10000);
            pass_time(&host, 1, 1);
        }
        _exit(is_right && stats_of(host).is_member &&
                      stats_of(host).error == CONFCAST_ERR_PERMISSION
                  ? 0
                  : 1);
    }
    CU_ASSERT_EQUAL(read(told[0], &byte, 1), 1);
    owner = open_host(CONFCAST_XDP_AUTO);
    for (int i = 0; i < 500 && stats_of(owner).members == 0; i++) {
        usleep(10000);
        tend(&owner, 1);
    }
    CU_ASSERT_EQUAL(stats_of(owner).members, 1);
    waitpid(pid, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    cfc_xdp_host_close(owner);
    close(told[0]);
    close(told[1]);
}

static void
a_client_without_one_is_left_alone(void)
{
    cfc_xdp_host_want(NULL, MINE);
    cfc_xdp_host_unwant(NULL, MINE);
    cfc_xdp_host_named(NULL, MINE, NULL, 0);
    cfc_xdp_host_held(NULL, A);
    cfc_xdp_host_dropped(NULL, A);
    cfc_xdp_host_tend(NULL, now_ns);
    cfc_xdp_host_abandon(NULL);
    cfc_xdp_host_close(NULL);
    CU_ASSERT_EQUAL(cfc_xdp_host_fd(NULL), -1);
    CU_ASSERT_EQUAL(stats_of(NULL).mode, CONFCAST_XDP_OFF);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_new_owner_drops_nothing_until_the_others_have_found_it),
    CFC_CASE(a_content_is_needed_from_its_head_on_and_dropped_once_it_is_held),
    CFC_CASE(a_content_of_two_scopes_is_needed_until_neither_names_it),
    CFC_CASE(what_another_process_wants_passes_as_long_as_it_lives),
    CFC_CASE(a_scope_that_two_want_passes_until_the_second_lets_go),
    CFC_CASE(what_one_holds_passes_while_another_needs_it),
    CFC_CASE(the_second_that_asks_is_refused_heard_and_takes_over),
    CFC_CASE(a_process_that_was_there_first_is_heard_by_a_later_owner),
    CFC_CASE(more_than_can_be_noted_keeps_the_filter_open),
    CFC_CASE(what_nobody_understands_keeps_the_filter_open_while_its_sender_lives),
    CFC_CASE(a_process_without_a_place_keeps_the_filter_open_until_there_is_one),
    CFC_CASE(who_talks_much_is_heard_a_message_a_turn),
    CFC_CASE(more_needs_than_fit_keep_the_filter_open_until_they_fit),
    CFC_CASE(what_another_user_holds_does_not_count),
    CFC_CASE(without_descriptors_nothing_is_dropped_and_nothing_spins),
    CFC_CASE(another_xdp_program_keeps_the_interface),
    CFC_CASE(a_mode_that_the_driver_does_not_have_is_unavailable),
    CFC_CASE(an_interface_that_is_not_there_is_waited_for),
    CFC_CASE(one_that_somebody_detaches_is_attached_again),
    CFC_CASE(a_killed_owner_leaves_nothing_attached),
    CFC_CASE(a_forked_child_does_not_keep_the_filter_attached),
    CFC_CASE(without_rights_it_says_so_once_and_tells_an_owner_what_it_wants),
    CFC_CASE(a_client_without_one_is_left_alone),
};

int
main(void)
{
    struct cfc_xdp_filter_config config = fleet_config();
    struct cfc_xdp_filter *probe = NULL;

    if (unshare(CLONE_NEWNET) != 0 ||
        cfc_xdp_filter_open(&config, &probe) == CONFCAST_ERR_PERMISSION) {
        puts("skipped: it takes CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN");
        return EXIT_SKIP;
    }
    cfc_xdp_filter_close(probe);
    return cfc_test_main("xdp_host", cases, sizeof(cases) / sizeof(cases[0]));
}
