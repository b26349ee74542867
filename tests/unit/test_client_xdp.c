/* What a client tells the owner of the XDP filter of its interface, who is the test here: no
 * privileges are needed to ask for frames to pass. */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <sys/un.h>

#include "confcast/confcast.h"
#include "protocol/base/scope.h"
#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

enum {
    WANT = 1,
    PIN_NONE = 3,
    PIN_NEEDED = 4,
    PIN_HELD = 5,
    RECORDS_MAX = 255,
};

struct message {
    uint32_t magic;
    uint32_t count;
    struct {
        uint32_t operation;
        uint32_t zero;
        uint64_t value;
    } records[RECORDS_MAX];
};

/* What came of one message that is looked at in turns. */
struct ear {
    int listen_fd;
    int fd;
    struct message message;
    uint32_t next;
};

/* Other runs of this test on the machine may have the name for a moment. */
static void
open_ear(struct ear *ear)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int size =
        snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "confcast-xdp-%u", if_nametoindex("lo"));
    struct timeval patience = {.tv_sec = CLIENT_WAIT_MS / 1000};
    int error = -1;

    memset(ear, 0, sizeof(*ear));
    ear->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    for (int tries = 0; error != 0 && tries < 6000; tries++) {
        error = bind(ear->listen_fd, (struct sockaddr *)&at,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size));
        if (error != 0) {
            bench_sleep_ms(10);
        }
    }
    CU_ASSERT_EQUAL_FATAL(error, 0);
    CU_ASSERT_EQUAL(
        setsockopt(ear->listen_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(ear->listen_fd, 64), 0);
}

/* The next connection of this process; clients of other tests on this machine come, too. */
static void
accept_own(struct ear *ear)
{
    struct ucred who = {0};
    socklen_t size = sizeof(who);

    do {
        ear->fd = accept(ear->listen_fd, NULL, NULL);
        CU_ASSERT_TRUE_FATAL(ear->fd >= 0);
        CU_ASSERT_EQUAL_FATAL(getsockopt(ear->fd, SOL_SOCKET, SO_PEERCRED, &who, &size), 0);
        if (who.pid != getpid()) {
            close(ear->fd);
        }
    } while (who.pid != getpid());
    ear->message.count = 0;
    ear->next = 0;
}

/* Reads on until this is said, and nothing else. */
static void
expect(struct ear *ear, uint32_t operation, uint64_t value)
{
    while (ear->next == ear->message.count) {
        struct pollfd poll_fd = {.fd = ear->fd, .events = POLLIN};

        CU_ASSERT_EQUAL_FATAL(poll(&poll_fd, 1, CLIENT_WAIT_MS), 1);
        CU_ASSERT_FATAL(recv(ear->fd, &ear->message, sizeof(ear->message), 0) > 0);
        ear->next = 0;
    }
    CU_ASSERT_EQUAL(ear->message.records[ear->next].operation, operation);
    CU_ASSERT_EQUAL(ear->message.records[ear->next].value, value);
    ear->next++;
}

static uint64_t
key_of_body(struct bench *b, int64_t n)
{
    uint8_t body[CLIENT_BODY_MAX];
    struct cfc_digest id;

    (void)bench_body(b, n, 0, body, &id);
    return cfc_digest_key(&id);
}

static void
the_owner_is_told_what_is_wanted_needed_held_and_let_go(void)
{
    struct bench b;
    struct ear ear;
    struct cfc_head head;
    struct cfc_digest absent;
    uint64_t scope_id;
    char byte;

    open_ear(&ear);
    bench_begin(&b);
    scope_id = cfc_scope_id(b.sha, CLIENT_SCOPE, strlen(CLIENT_SCOPE));
    bench_open(&b);
    accept_own(&ear);
    CU_ASSERT_TRUE(bench_stats(&b).is_xdp_told);
    CU_ASSERT_EQUAL(bench_stats(&b).xdp, CONFCAST_XDP_OFF);
    CU_ASSERT_EQUAL(bench_stats(&b).xdp_error, CONFCAST_OK);
    bench_subscribe(&b, NULL);
    expect(&ear, WANT, scope_id);

    /* A content that does not come, and the head that no longer names it. */
    memset(&absent, 0x77, sizeof(absent));
    head = bench_head(&b, 10, &absent);
    bench_send_head(&b, &head);
    expect(&ear, PIN_NEEDED, cfc_digest_key(&absent));
    bench_publish(&b, 11, 1, 0);
    expect(&ear, PIN_NEEDED, key_of_body(&b, 1));
    expect(&ear, PIN_NONE, cfc_digest_key(&absent));
    expect(&ear, PIN_HELD, key_of_body(&b, 1));
    bench_publish(&b, 12, 2, 0);
    expect(&ear, PIN_NEEDED, key_of_body(&b, 2));
    expect(&ear, PIN_HELD, key_of_body(&b, 2));
    expect(&ear, PIN_NONE, key_of_body(&b, 1));
    BENCH_AWAIT(bench_status(&b).durable == 12);
    bench_close(&b);
    CU_ASSERT_EQUAL(recv(ear.fd, &byte, 1, 0), 0);
    close(ear.fd);

    /* After a restart, from disk. */
    bench_open(&b);
    accept_own(&ear);
    bench_subscribe(&b, NULL);
    expect(&ear, WANT, scope_id);
    expect(&ear, PIN_HELD, key_of_body(&b, 2));
    CU_ASSERT_EQUAL(bench_n(&b), 2);

    /* The owner goes; another one is told all of it. */
    close(ear.fd);
    accept_own(&ear);
    expect(&ear, WANT, scope_id);
    expect(&ear, PIN_HELD, key_of_body(&b, 2));
    close(ear.fd);
    close(ear.listen_fd);
    bench_publish(&b, 13, 3, 0);
    BENCH_AWAIT(bench_n(&b) == 3);
    bench_end(&b);
}

static void
modes_outside_the_list_and_beside_an_agent_are_refused(void)
{
    struct confcast_options options = CONFCAST_OPTIONS_INIT;
    struct bench b;

    bench_begin(&b);
    b.options.xdp = (enum confcast_xdp)(CONFCAST_XDP_GENERIC + 1);
    CU_ASSERT_EQUAL(confcast_open(&b.options, &b.client), CONFCAST_ERR_INVALID);
    options.agent_path = "/nowhere/share";
    options.xdp = CONFCAST_XDP_AUTO;
    CU_ASSERT_EQUAL(confcast_open(&options, &b.client), CONFCAST_ERR_INVALID);
    bench_end(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(the_owner_is_told_what_is_wanted_needed_held_and_let_go),
    CFC_CASE(modes_outside_the_list_and_beside_an_agent_are_refused),
};

CFC_TEST_MAIN("client_xdp", cases)
