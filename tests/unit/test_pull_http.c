/* Requests by libcurl against servers that a test can make badly behaved. */
#include "consumer/pull_http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

static struct cfc_pull_http *http;
static int listen_fd;
static char url[64];
static struct cfc_pull_http_result last;
static uint32_t done_count;
static size_t byte_count;
static bool takes_bytes;

static uint64_t
mono_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

static bool
on_bytes(void *arg, uint32_t slot, const uint8_t *bytes, size_t size)
{
    (void)arg;
    (void)slot;
    (void)bytes;
    byte_count += size;
    return takes_bytes;
}

static void
on_done(void *arg, uint32_t slot, const struct cfc_pull_http_result *result)
{
    (void)arg;
    (void)slot;
    last = *result;
    done_count++;
}

static void
setup(void)
{
    struct cfc_pull_http_config config = {.size_max = 1000,
                                          .connect_timeout_ms = 300,
                                          .stall_timeout_ms = 1000,
                                          .total_timeout_ms = 1500,
                                          .on_bytes = on_bytes,
                                          .on_done = on_done};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(listen_fd, (struct sockaddr *)&address, size), 0);
    CU_ASSERT_EQUAL_FATAL(listen(listen_fd, 8), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", ntohs(address.sin_port));
    memset(&last, 0, sizeof(last));
    done_count = 0;
    byte_count = 0;
    takes_bytes = true;
    CU_ASSERT_EQUAL_FATAL(cfc_pull_http_open(&config, &http), CONFCAST_OK);
}

static void
teardown(void)
{
    cfc_pull_http_close(http);
    close(listen_fd);
}

static void
ask(void)
{
    struct cfc_pull_http_request request = {.url = url, .authorization = "Confcast x"};
    uint32_t slot;

    CU_ASSERT_EQUAL_FATAL(cfc_pull_http_start(http, &request, &slot), CONFCAST_OK);
}

static void
run_for(uint64_t ms, uint32_t wanted)
{
    uint64_t end_ns = mono_ns() + ms * CFC_MS;

    while (done_count < wanted && mono_ns() < end_ns) {
        struct pollfd fd = {.fd = cfc_pull_http_fd(http), .events = POLLIN};
        uint64_t deadline_ns = cfc_pull_http_deadline(http);
        uint64_t now_ns = mono_ns();
        uint64_t wait_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;

        poll(&fd, 1, (int)((wait_ns < 50 * CFC_MS ? wait_ns : 50 * CFC_MS) / CFC_MS) + 1);
        cfc_pull_http_run(http, mono_ns());
    }
}

/* The next connection, once its request came. */
static int
accept_one(void)
{
    char request[2048];
    int fd = -1;

    for (int i = 0; i < 100 && fd < 0; i++) {
        struct pollfd polls = {.fd = listen_fd, .events = POLLIN};

        cfc_pull_http_run(http, mono_ns());
        if (poll(&polls, 1, 10) > 0) {
            fd = accept(listen_fd, NULL, NULL);
        }
    }
    CU_ASSERT_FATAL(fd >= 0);
    for (int i = 0; i < 100; i++) {
        struct pollfd polls = {.fd = fd, .events = POLLIN};

        cfc_pull_http_run(http, mono_ns());
        if (poll(&polls, 1, 10) > 0) {
            CU_ASSERT(read(fd, request, sizeof(request)) > 0);
            break;
        }
    }
    return fd;
}

static void
answer(const char *text)
{
    int fd;

    ask();
    fd = accept_one();
    CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    shutdown(fd, SHUT_WR);
    run_for(3000, 1);
    CU_ASSERT_EQUAL(done_count, 1);
    close(fd);
}

static void
a_whole_answer_has_its_status_nonce_and_time_to_wait(void)
{
    setup();
    answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
           "Confcast-Nonce: 000102030405060708090a0b0c0d0e0f\r\nRetry-After: 7\r\n\r\nabc");
    CU_ASSERT_EQUAL(last.status, 200);
    CU_ASSERT_EQUAL(last.code, CONFCAST_OK);
    CU_ASSERT(last.has_nonce && last.nonce[15] == 15);
    CU_ASSERT_EQUAL(last.retry_s, 7);
    CU_ASSERT_EQUAL(byte_count, 3);
    teardown();
}

static void
what_is_no_200_is_not_handed_on(void)
{
    static const char *const rows[] = {
        "HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 401 No\r\nConfcast-Nonce: zz\r\nRetry-After: -1\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 206 Part\r\nContent-Length: 3\r\n\r\nabc"};
    static const uint32_t statuses[] = {302, 401, 206};

    for (int i = 0; i < 3; i++) {
        setup();
        answer(rows[i]);
        CU_ASSERT_EQUAL(last.status, statuses[i]);
        CU_ASSERT_FALSE(last.has_nonce);
        CU_ASSERT_EQUAL(last.retry_s, 0);
        CU_ASSERT_EQUAL(byte_count, 0);
        teardown();
    }
}

static void
an_answer_that_breaks_off_is_none(void)
{
    static const char *const rows[] = {
        "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"};

    for (int i = 0; i < 4; i++) {
        setup();
        answer(rows[i]);
        CU_ASSERT_EQUAL(last.status, 0);
        CU_ASSERT_EQUAL(last.code, CONFCAST_ERR_CLOSED);
        teardown();
    }
}

static void
an_answer_above_its_limit_is_given_up(void)
{
    char text[2200] = "HTTP/1.1 200 OK\r\n\r\n";
    size_t size = strlen(text);

    setup();
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");
    CU_ASSERT_EQUAL(last.code, CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(byte_count, 0);
    teardown();

    /* Without a length it is counted. */
    setup();
    memset(text + size, 'x', 1000);
    answer(text);
    CU_ASSERT_EQUAL(last.status, 200);
    CU_ASSERT_EQUAL(byte_count, 1000);
    teardown();
    setup();
    memset(text + size, 'x', 1001);
    answer(text);
    CU_ASSERT_EQUAL(last.code, CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(last.status, 0);
    teardown();
}

static void
bytes_that_are_refused_end_the_request(void)
{
    setup();
    takes_bytes = false;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    CU_ASSERT_EQUAL(last.code, CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(last.status, 0);
    teardown();
}

static void
nobody_there_and_nobody_who_answers_end_in_time(void)
{
    uint64_t start_ns;
    int fd;

    setup();
    close(listen_fd);
    ask();
    run_for(3000, 1);
    CU_ASSERT_EQUAL(last.code, CONFCAST_ERR_IO);
    cfc_pull_http_close(http);

    setup();
    start_ns = mono_ns();
    ask();
    fd = accept_one();
    run_for(5000, 1);
    CU_ASSERT_EQUAL(last.code, CONFCAST_ERR_TIMEOUT);
    CU_ASSERT(mono_ns() - start_ns < 3 * CFC_S);
    close(fd);
    teardown();
}

static void
closing_and_cancelling_do_not_wait_for_anybody(void)
{
    uint64_t start_ns;
    char byte;
    int fd;

    setup();
    ask();
    fd = accept_one();
    start_ns = mono_ns();
    cfc_pull_http_cancel(http);
    CU_ASSERT_EQUAL(done_count, 1);
    CU_ASSERT_EQUAL(last.code, CONFCAST_ERR_CLOSED);
    close(fd);
    ask();
    fd = accept_one();
    cfc_pull_http_close(http);
    CU_ASSERT(mono_ns() - start_ns < CFC_S);
    CU_ASSERT_EQUAL(done_count, 1); /* closing says nothing */
    CU_ASSERT_EQUAL(read(fd, &byte, 1), 0);
    close(fd);
    close(listen_fd);
}

static void
as_many_requests_as_slots_go_at_one_time(void)
{
    struct cfc_pull_http_request request = {.url = url, .authorization = "Confcast x"};
    uint32_t slot;

    setup();
    for (int i = 0; i < CFC_PULL_HTTP_MAX; i++) {
        ask();
    }
    CU_ASSERT_EQUAL(cfc_pull_http_start(http, &request, &slot), CONFCAST_ERR_AGAIN);
    cfc_pull_http_cancel(http);
    CU_ASSERT_EQUAL(done_count, CFC_PULL_HTTP_MAX);
    ask();
    teardown();
}

static int
count_fds(void)
{
    int count = 0;

    for (int fd = 3; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

/* A child that held the connection would keep it open when its parent is gone. */
static void
a_forked_child_gives_up_its_sockets(void)
{
    pid_t child;
    int before;
    int status = 1;
    int fd;

    setup();
    ask();
    fd = accept_one();
    before = count_fds();
    child = fork();
    if (child == 0) {
        cfc_pull_http_abandon(http);
        _exit(count_fds() == before - 2 ? 0 : 1); /* the socket and the epoll */
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    close(fd);
    teardown();
}

static void
a_file_that_is_not_there_is_told(void)
{
    struct cfc_pull_http_config config = {.ca_file = "/nonexistent/ca.pem"};

    CU_ASSERT_EQUAL(cfc_pull_http_open(&config, &http), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_PTR_NULL(http);
    cfc_pull_http_close(NULL);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_whole_answer_has_its_status_nonce_and_time_to_wait),
    CFC_CASE(what_is_no_200_is_not_handed_on),
    CFC_CASE(an_answer_that_breaks_off_is_none),
    CFC_CASE(an_answer_above_its_limit_is_given_up),
    CFC_CASE(bytes_that_are_refused_end_the_request),
    CFC_CASE(nobody_there_and_nobody_who_answers_end_in_time),
    CFC_CASE(closing_and_cancelling_do_not_wait_for_anybody),
    CFC_CASE(as_many_requests_as_slots_go_at_one_time),
    CFC_CASE(a_forked_child_gives_up_its_sockets),
    CFC_CASE(a_file_that_is_not_there_is_told),
};

CFC_TEST_MAIN("pull_http", cases)
