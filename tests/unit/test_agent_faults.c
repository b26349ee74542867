/* Processes and agents that fall silent, talk nonsense or ask too much, and the lack of
 * descriptors. */
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "consumer/app/unix_listen.h"
#include "tests/unit/agent_fixture.h"
#include "tests/unit/cunit_main.h"

static void
a_process_that_does_not_read_gets_the_newest_state_and_delays_nobody(void)
{
    struct cfc_share_message message = {
        .magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_SUBSCRIBE, .path = CLIENT_SCOPE};
    const struct timeval patience = {.tv_usec = 500000}; /* below any other wake-up of the server */
    uint64_t newest = 0;
    int count = 0;
    struct host h;
    int fd;

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, NULL);
    fd = connect_raw(h.path);
    CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    CU_ASSERT_EQUAL(send(fd, &message, sizeof(message), 0), (ssize_t)sizeof(message));
    for (uint64_t version = 11; version < 111; version++) {
        host_publish(&h, version, (int64_t)version);
        CU_ASSERT_EQUAL(confcast_wait(h.scope, version, CLIENT_WAIT_MS), CONFCAST_OK);
    }
    /* Nothing else wakes the server any more. */
    BENCH_AWAIT(bench_status(&h.b).durable == 110);
    bench_sleep_ms(50);
    while (newest < 110 && recv(fd, &message, sizeof(message), 0) == (ssize_t)sizeof(message)) {
        newest = message.type == CFC_SHARE_STATE ? message.serving : newest;
        count++;
    }
    CU_ASSERT_EQUAL(newest, 110);
    CU_ASSERT(count < 60);
    close(fd);
    host_end(&h);
}

static void
what_is_no_message_is_hung_up_on(void)
{
    struct cfc_share_message message = {.magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_STATE};
    struct host h;
    char byte;

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, NULL);
    for (int i = 0; i < 4; i++) {
        int fd = connect_raw(h.path);
        size_t size = i == 0 ? 3 : sizeof(message);

        message.magic = i % 2 == 1 ? 7 : CFC_SHARE_MAGIC;
        CU_ASSERT_EQUAL(send(fd, &message, size, 0), (ssize_t)size);
        CU_ASSERT_EQUAL(recv(fd, &byte, 1, 0), 0);
        close(fd);
    }
    CU_ASSERT_EQUAL(h.versions, 1);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    host_end(&h);
}

static void
a_flood_of_refusals_is_no_flood_of_the_log(void)
{
    struct cfc_share_message message = {
        .magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_SUBSCRIBE, .path = CLIENT_SCOPE};
    struct host h;
    int fd;

    host_begin(&h);
    fd = connect_raw(h.path);
    CU_ASSERT_EQUAL(send(fd, &message, sizeof(message), 0), (ssize_t)sizeof(message));
    message.type = CFC_SHARE_REFUSED;
    message.code = CONFCAST_ERR_APP_REJECT;
    for (int i = 0; i < 200; i++) {
        CU_ASSERT_EQUAL(send(fd, &message, sizeof(message), 0), (ssize_t)sizeof(message));
    }
    BENCH_AWAIT(h.refusals > 0);
    bench_sleep_ms(100);
    CU_ASSERT(h.refusals <= 2); /* one, and another one when a second had passed */
    close(fd);
    host_end(&h);
}

static int
listen_instead(struct host *h)
{
    struct cfc_unix_listener listener;

    cfc_share_server_stop(h->server);
    h->server = NULL;
    CU_ASSERT_EQUAL_FATAL(cfc_unix_listen(h->path, 0600, 1, &listener), CONFCAST_OK);
    close(listener.lock_fd);
    return listener.fd;
}

static int
take_process(int listen_fd)
{
    const struct timeval patience = {.tv_sec = 5};
    struct cfc_share_message message;
    struct pollfd polls = {.fd = listen_fd, .events = POLLIN};
    int fd;

    CU_ASSERT_EQUAL_FATAL(poll(&polls, 1, CLIENT_WAIT_MS), 1);
    fd = accept(listen_fd, NULL, NULL);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    CU_ASSERT_EQUAL(recv(fd, &message, sizeof(message), 0), (ssize_t)sizeof(message));
    CU_ASSERT_EQUAL(message.type, CFC_SHARE_SUBSCRIBE);
    return fd;
}

static void
say(int fd, uint32_t type, uint64_t serving, uint32_t state, int32_t code)
{
    struct cfc_share_message message = {.magic = CFC_SHARE_MAGIC,
                                        .type = type,
                                        .serving = serving,
                                        .epoch = 1,
                                        .accepted = serving,
                                        .state = state,
                                        .code = code,
                                        .content = {1, 2, 3}};

    CU_ASSERT_EQUAL(send(fd, &message, sizeof(message), MSG_NOSIGNAL), (ssize_t)sizeof(message));
}

/* A state of some content, with a descriptor or without (-1). */
static void
say_content(int fd, uint64_t serving, uint8_t content, int passed_fd)
{
    struct cfc_share_message message = {.magic = CFC_SHARE_MAGIC,
                                        .type = CFC_SHARE_STATE,
                                        .serving = serving,
                                        .epoch = 1,
                                        .accepted = serving,
                                        .state = CONFCAST_STATE_APPLIED,
                                        .content = {content}};
    struct iovec iov = {.iov_base = &message, .iov_len = sizeof(message)};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (passed_fd >= 0) {
        struct cmsghdr *c;

        m.msg_control = control.bytes;
        m.msg_controllen = sizeof(control.bytes);
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &passed_fd, sizeof(int));
    }
    CU_ASSERT_EQUAL(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t)sizeof(message));
}

static void
an_agent_that_falls_silent_is_noticed(void)
{
    struct host h;
    int listen_fd;
    int fd;

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    listen_fd = listen_instead(&h);
    fd = take_process(listen_fd);
    say(fd, CFC_SHARE_ALIVE, 0, 0, 0);
    BENCH_AWAIT(!status_of(h.scope).is_stale);
    bench_sleep_ms(2500);
    say(fd, CFC_SHARE_ALIVE, 0, 0, 0);
    bench_sleep_ms(1500); /* 4 s since the first word, not 3 since the last */
    CU_ASSERT_FALSE(status_of(h.scope).is_stale);
    BENCH_AWAIT(status_of(h.scope).is_stale);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    say(fd, CFC_SHARE_ALIVE, 0, 0, 0);
    BENCH_AWAIT(!status_of(h.scope).is_stale);
    close(fd);
    close(listen_fd);
    host_end(&h);
}

static void
a_content_whose_descriptor_got_lost_is_asked_for_again(void)
{
    struct cfc_share_message message;
    struct host h;
    int listen_fd;
    int fd;

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, NULL);
    listen_fd = listen_instead(&h);
    fd = take_process(listen_fd);
    say(fd, CFC_SHARE_STATE, 11, CONFCAST_STATE_APPLIED, 0);
    CU_ASSERT_EQUAL(recv(fd, &message, sizeof(message), 0), 0); /* it is no refusal */
    close(fd);
    fd = take_process(listen_fd);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    /* Nor is it one after something else was refused. */
    say_content(fd, 12, 1, listen_fd);
    CU_ASSERT_EQUAL(recv(fd, &message, sizeof(message), 0), (ssize_t)sizeof(message));
    CU_ASSERT_EQUAL(message.type, CFC_SHARE_REFUSED); /* that was no memfd */
    say_content(fd, 12, 1, -1);                       /* the same again: refused it is */
    say_content(fd, 13, 2, -1);
    CU_ASSERT_EQUAL(recv(fd, &message, sizeof(message), 0), 0);
    close(fd);
    close(listen_fd);
    host_end(&h);
}

static void
an_agent_that_says_what_cannot_be_is_hung_up_on(void)
{
    struct cfc_share_message message;
    struct host h;
    int listen_fd;

    host_begin(&h);
    host_open_process(&h, NULL);
    listen_fd = listen_instead(&h);
    for (int i = 0; i < 2; i++) {
        int fd = take_process(listen_fd);

        say(fd, CFC_SHARE_STATE, 0, i == 0 ? CONFCAST_STATE_DEGRADED + 1 : 0, i == 0 ? 0 : 5);
        CU_ASSERT_EQUAL(recv(fd, &message, sizeof(message), 0), 0);
        close(fd);
    }
    close(listen_fd);
    host_end(&h);
}

static void
an_agent_that_hangs_up_unheard_is_told_of_once(void)
{
    struct host h;
    int listen_fd;

    host_begin(&h);
    h.options.log = host_log;
    h.options.log_arg = &h;
    host_open_process(&h, NULL);
    listen_fd = listen_instead(&h);
    for (int i = 0; i < 3; i++) {
        close(take_process(listen_fd));
    }
    BENCH_AWAIT(h.hang_ups == 1);
    close(listen_fd);
    host_end(&h);
}

static int
listen_raw(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path));
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
    return fd;
}

static void
many_questions_at_once_are_all_answered(void)
{
    struct cfc_share_message message = {.magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_SUBSCRIBE};
    const struct timeval patience = {.tv_sec = 2};
    struct host h;
    int fd;

    host_begin(&h);
    fd = connect_raw(h.path);
    CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    for (int round = 0; round < 2; round++) { /* what was answered takes no place */
        for (uint32_t i = 0; i < CFC_RECEIVER_SCOPES_MAX; i++) {
            memset(&message, 0, sizeof(message));
            message.magic = CFC_SHARE_MAGIC;
            message.type = CFC_SHARE_SUBSCRIBE;
            message.token = i;
            snprintf(message.path, sizeof(message.path), "acme/none");
            CU_ASSERT_EQUAL_FATAL(send(fd, &message, sizeof(message), MSG_NOSIGNAL),
                                  (ssize_t)sizeof(message));
        }
        for (uint32_t i = 0; i < CFC_RECEIVER_SCOPES_MAX; i++) {
            CU_ASSERT_EQUAL_FATAL(recv(fd, &message, sizeof(message), 0), (ssize_t)sizeof(message));
            CU_ASSERT(message.type == CFC_SHARE_ANSWER && message.token == i &&
                      message.code == CONFCAST_ERR_NOT_FOUND);
        }
    }
    close(fd);
    host_end(&h);
}

static int
count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void
descriptors_that_nobody_asked_for_are_closed(void)
{
    struct cfc_share_message message = {
        .magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_STATE, .token = CFC_RECEIVER_SCOPES_MAX};
    struct iovec iov = {.iov_base = &message, .iov_len = sizeof(message)};
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = CMSG_LEN(2 * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    const int fds[2] = {0, 1};
    char path[340];
    struct host h;
    int listener;
    int before;
    int fd;

    host_begin(&h);
    snprintf(path, sizeof(path), "%s2", h.path);
    listener = listen_raw(path, SOCK_SEQPACKET);
    h.options.agent_path = path;
    CU_ASSERT_EQUAL_FATAL(confcast_open(&h.options, &h.client), CONFCAST_OK);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    before = count_descriptors();
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(sendmsg(fd, &m, 0), (ssize_t)sizeof(message));
    }
    bench_sleep_ms(50);
    CU_ASSERT_EQUAL(count_descriptors(), before);
    iov.iov_len = 0; /* with nothing but descriptors: hung up on, and closed too */
    CU_ASSERT_EQUAL(sendmsg(fd, &m, 0), 0);
    CU_ASSERT_EQUAL(recv(fd, &message, sizeof(message), 0), 0);
    close(listener);
    close(fd);
    bench_sleep_ms(50);
    CU_ASSERT(count_descriptors() <= before);
    host_end(&h);
}

static uint64_t
cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
an_agent_without_descriptors_waits_for_some_without_spinning(void)
{
    struct rlimit before;
    struct rlimit none;
    uint64_t spent_ms;
    struct host h;
    int last;
    int fd;

    host_begin(&h);
    host_publish(&h, 10, 7);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    last = dup(fd);
    close(last);
    none = before;
    none.rlim_cur = (rlim_t)last;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        memcpy(address.sun_path, h.path, strlen(h.path));
        CU_ASSERT_EQUAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    }
    spent_ms = cpu_ms();
    bench_sleep_ms(400);
    spent_ms = cpu_ms() - spent_ms;
    CU_ASSERT(spent_ms < 150);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    host_open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    close(fd);
    host_end(&h);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_process_that_does_not_read_gets_the_newest_state_and_delays_nobody),
    CFC_CASE(what_is_no_message_is_hung_up_on),
    CFC_CASE(a_flood_of_refusals_is_no_flood_of_the_log),
    CFC_CASE(an_agent_that_falls_silent_is_noticed),
    CFC_CASE(a_content_whose_descriptor_got_lost_is_asked_for_again),
    CFC_CASE(an_agent_that_says_what_cannot_be_is_hung_up_on),
    CFC_CASE(an_agent_that_hangs_up_unheard_is_told_of_once),
    CFC_CASE(many_questions_at_once_are_all_answered),
    CFC_CASE(descriptors_that_nobody_asked_for_are_closed),
    CFC_CASE(an_agent_without_descriptors_waits_for_some_without_spinning),
};

CFC_TEST_MAIN("agent_faults", cases)
