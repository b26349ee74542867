/* Processes that read through an agent: in here the agent's side is the server of the real agent
 * over a real client, and the process's side a second client of this process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "consumer/app/share_server.h"
#include "consumer/app/unix_listen.h"
#include "consumer/client.h"
#include "consumer/share_wire.h"
#include "consumer/shared_content.h"
#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

struct host {
    struct bench b; /* the agent's client */
    struct cfc_share_server *server;
    char path[320];
    struct confcast_options options; /* of a process */
    struct confcast *client;
    struct confcast_scope *scope;
    atomic_int refusals; /* that the server told of, with their reason */
    atomic_int hang_ups; /* that the process told of */
    atomic_int versions; /* how often it told of a library of another version */
};

static void
on_log(void *arg, int level, const char *line)
{
    struct host *h = arg;

    (void)level;
    if (strstr(line, "a process refused a content") != NULL &&
        strstr(line, "reason=app_reject") != NULL) {
        h->refusals++;
    }
    h->hang_ups += strstr(line, "hangs up: if its agent is of another version") != NULL;
    h->versions += strstr(line, "a library of another version") != NULL;
}

static void
start_server(struct host *h)
{
    static const char *const paths[] = {CLIENT_SCOPE};
    struct cfc_share_server_config config = {.path = h->path,
                                             .mode = 0600,
                                             .client = h->b.client,
                                             .scopes = &h->b.scope,
                                             .paths = paths,
                                             .scope_count = 1,
                                             .log = on_log,
                                             .log_arg = h};

    CU_ASSERT_EQUAL_FATAL(cfc_share_server_start(&config, &h->server), CONFCAST_OK);
}

static void
begin(struct host *h)
{
    memset(h, 0, sizeof(*h));
    bench_begin(&h->b);
    bench_open(&h->b);
    bench_subscribe(&h->b, NULL);
    snprintf(h->path, sizeof(h->path), "%s/share", h->b.dir.path);
    h->options = (struct confcast_options)CONFCAST_OPTIONS_INIT;
    h->options.agent_path = h->path;
    start_server(h);
}

static void
open_process(struct host *h, const struct confcast_scope_options *options)
{
    CU_ASSERT_EQUAL_FATAL(confcast_open(&h->options, &h->client), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(confcast_subscribe(h->client, CLIENT_SCOPE, options, &h->scope),
                          CONFCAST_OK);
}

static void
publish(struct host *h, uint64_t version, int64_t n)
{
    bench_publish(&h->b, version, n, 100);
    CU_ASSERT_EQUAL(confcast_wait(h->b.scope, version, CLIENT_WAIT_MS), CONFCAST_OK);
}

static void
end(struct host *h)
{
    confcast_close(h->client);
    cfc_share_server_stop(h->server);
    bench_end(&h->b);
}

static int64_t
n_of(const struct confcast_scope *scope)
{
    return confcast_read_i64(scope, CONFCAST_KEY("/n"), -1, NULL);
}

static struct confcast_status
status_of(const struct confcast_scope *scope)
{
    struct confcast_status status = {.size = sizeof(status)};

    CU_ASSERT_EQUAL(confcast_status(scope, &status), CONFCAST_OK);
    return status;
}

static void
a_process_serves_what_its_agent_serves(void)
{
    struct confcast_status status;
    struct host h;

    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), 7); /* when subscribe returns */
    status = status_of(h.scope);
    CU_ASSERT_EQUAL(status.serving, 10);
    CU_ASSERT_EQUAL(status.accepted, 10);
    CU_ASSERT_EQUAL(status.epoch, 1);
    CU_ASSERT_EQUAL(status.source, CONFCAST_SOURCE_AGENT);
    CU_ASSERT_EQUAL(status.state, CONFCAST_STATE_APPLIED);
    CU_ASSERT_EQUAL(memcmp(status.content, bench_status(&h.b).content, 32), 0);
    CU_ASSERT_PTR_NOT_NULL(h.scope->view->loaded->mapping);
    publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 8);
    end(&h);
}

static void
a_process_that_comes_first_waits_for_the_content(void)
{
    struct host h;

    begin(&h);
    open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), -1);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 1, 0), CONFCAST_ERR_TIMEOUT);
    publish(&h, 10, 7);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    end(&h);
}

struct seen {
    int calls;
    int64_t before;
    int64_t after;
};

static void
on_change(void *arg, struct confcast_scope *scope, const struct confcast_view *before,
          const struct confcast_view *after)
{
    struct seen *seen = arg;

    (void)scope;
    seen->calls++;
    seen->before = confcast_get_i64(before, CONFCAST_KEY("/n"), -1, NULL);
    seen->after = confcast_get_i64(after, CONFCAST_KEY("/n"), -1, NULL);
}

static void
callbacks_see_both_contents_and_the_same_content_is_not_told(void)
{
    struct confcast_scope_options options = CONFCAST_SCOPE_OPTIONS_INIT;
    struct seen seen = {.calls = 0};
    struct host h;

    options.change = on_change;
    options.change_arg = &seen;
    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, &options);
    CU_ASSERT_EQUAL(seen.calls, 1);
    CU_ASSERT_EQUAL(seen.before, -1);
    publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen.calls, 2);
    CU_ASSERT(seen.before == 7 && seen.after == 8);
    publish(&h, 12, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen.calls, 2);
    end(&h);
}

static int
refuse_8(void *arg, struct confcast_scope *scope, const struct confcast_view *candidate)
{
    (void)arg;
    (void)scope;
    return confcast_get_i64(candidate, CONFCAST_KEY("/n"), 0, NULL) == 8;
}

static void
a_refused_content_leaves_the_last_good_one_and_the_agent_says_who(void)
{
    struct confcast_scope_options options = CONFCAST_SCOPE_OPTIONS_INIT;
    struct host h;

    options.validate = refuse_8;
    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, &options);
    publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(status_of(h.scope).state, CONFCAST_STATE_REJECTED);
    CU_ASSERT_EQUAL(status_of(h.scope).serving, 10);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    BENCH_AWAIT(h.refusals == 1);
    publish(&h, 12, 9);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 9);
    CU_ASSERT_EQUAL(status_of(h.scope).state, CONFCAST_STATE_APPLIED);
    end(&h);
}

static void
readers_notice_nothing_of_an_agent_that_dies_and_comes_back(void)
{
    struct confcast_stats stats = {.size = sizeof(stats)};
    const struct confcast_view *view;
    struct host h;

    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, NULL);
    view = confcast_view(h.scope);
    cfc_share_server_stop(h.server);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    BENCH_AWAIT(confcast_stats(h.client, &stats) == CONFCAST_OK && !stats.is_linked);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    BENCH_AWAIT(status_of(h.scope).is_stale);
    start_server(&h);
    BENCH_AWAIT(confcast_stats(h.client, &stats) == CONFCAST_OK && stats.is_linked);
    CU_ASSERT_PTR_EQUAL(confcast_view(h.scope), view); /* the same content is not mapped again */
    publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 8);
    end(&h);
}

static void
a_process_may_start_before_its_agent(void)
{
    struct host h;

    begin(&h);
    publish(&h, 10, 7);
    cfc_share_server_stop(h.server);
    open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), -1);
    start_server(&h);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    end(&h);
}

static void
a_scope_that_the_agent_does_not_follow_is_not_found(void)
{
    struct confcast_scope *other = NULL;
    struct host h;

    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, NULL);
    CU_ASSERT_EQUAL(confcast_subscribe(h.client, "acme/other", NULL, &other),
                    CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_PTR_NULL(other);
    CU_ASSERT_EQUAL(confcast_subscribe(h.client, CLIENT_SCOPE, NULL, &other), CONFCAST_ERR_EXISTS);
    CU_ASSERT_PTR_EQUAL(other, h.scope);
    publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    end(&h);
}

#if !defined(__SANITIZE_THREAD__) /* which cannot make threads in a forked child */
static void
forked_workers_follow_their_agent(void)
{
    struct host h;
    pid_t children[3];

    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, NULL);
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            int wrong = n_of(h.scope) < 7;

            for (uint64_t version = 11; version < 20; version++) {
                wrong += confcast_wait(h.scope, version, CLIENT_WAIT_MS) != CONFCAST_OK;
                wrong += n_of(h.scope) < (int64_t)version - 3;
            }
            confcast_close(h.client);
            _exit(wrong);
        }
    }
    for (uint64_t version = 11; version < 20; version++) {
        publish(&h, version, (int64_t)version - 3);
        CU_ASSERT_EQUAL(confcast_wait(h.scope, version, CLIENT_WAIT_MS), CONFCAST_OK);
        bench_sleep_ms(10);
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;

        CU_ASSERT_EQUAL(waitpid(children[i], &status, 0), children[i]);
        CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    end(&h);
}
#endif

static int
connect_raw(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path));
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

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

    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, NULL);
    fd = connect_raw(h.path);
    CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    CU_ASSERT_EQUAL(send(fd, &message, sizeof(message), 0), (ssize_t)sizeof(message));
    for (uint64_t version = 11; version < 111; version++) {
        publish(&h, version, (int64_t)version);
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
    end(&h);
}

static void
what_is_no_message_is_hung_up_on(void)
{
    struct cfc_share_message message = {.magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_STATE};
    struct host h;
    char byte;

    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, NULL);
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
    end(&h);
}

static void
the_agent_says_every_second_that_it_lives(void)
{
    const struct timeval patience = {.tv_sec = 3};
    struct cfc_share_message message;
    struct host h;
    int alive = 0;
    int fd;

    begin(&h);
    fd = connect_raw(h.path);
    CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    while (alive < 2 && recv(fd, &message, sizeof(message), 0) == (ssize_t)sizeof(message)) {
        alive += message.type == CFC_SHARE_ALIVE;
    }
    CU_ASSERT_EQUAL(alive, 2);
    close(fd);
    end(&h);
}

static void
a_flood_of_refusals_is_no_flood_of_the_log(void)
{
    struct cfc_share_message message = {
        .magic = CFC_SHARE_MAGIC, .type = CFC_SHARE_SUBSCRIBE, .path = CLIENT_SCOPE};
    struct host h;
    int fd;

    begin(&h);
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
    end(&h);
}

/* ---- An agent of the test's own ---------------------------------------------------------------
 */

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

    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, NULL);
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
    end(&h);
}

static void
a_content_whose_descriptor_got_lost_is_asked_for_again(void)
{
    struct cfc_share_message message;
    struct host h;
    int listen_fd;
    int fd;

    begin(&h);
    publish(&h, 10, 7);
    open_process(&h, NULL);
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
    end(&h);
}

static void
an_agent_that_says_what_cannot_be_is_hung_up_on(void)
{
    struct cfc_share_message message;
    struct host h;
    int listen_fd;

    begin(&h);
    open_process(&h, NULL);
    listen_fd = listen_instead(&h);
    for (int i = 0; i < 2; i++) {
        int fd = take_process(listen_fd);

        say(fd, CFC_SHARE_STATE, 0, i == 0 ? CONFCAST_STATE_DEGRADED + 1 : 0, i == 0 ? 0 : 5);
        CU_ASSERT_EQUAL(recv(fd, &message, sizeof(message), 0), 0);
        close(fd);
    }
    close(listen_fd);
    end(&h);
}

static void
an_agent_that_hangs_up_unheard_is_told_of_once(void)
{
    struct host h;
    int listen_fd;

    begin(&h);
    h.options.log = on_log;
    h.options.log_arg = &h;
    open_process(&h, NULL);
    listen_fd = listen_instead(&h);
    for (int i = 0; i < 3; i++) {
        close(take_process(listen_fd));
    }
    BENCH_AWAIT(h.hang_ups == 1);
    close(listen_fd);
    end(&h);
}

static void
options_of_the_network_and_of_an_agent_exclude_each_other(void)
{
    struct confcast *client = NULL;
    char path[200];
    struct host h;

    begin(&h);
    h.b.options.agent_path = h.path;
    CU_ASSERT_EQUAL(confcast_open(&h.b.options, &client), CONFCAST_ERR_INVALID);
    memset(path, 'x', sizeof(path));
    path[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0';
    h.options.agent_path = path;
    CU_ASSERT_EQUAL(confcast_open(&h.options, &client), CONFCAST_ERR_INVALID);
    path[sizeof(((struct sockaddr_un *)0)->sun_path) - 1] = '\0';
    CU_ASSERT_EQUAL(confcast_open(&h.options, &client), CONFCAST_OK);
    confcast_close(client);
    end(&h);
}

static void
a_second_agent_does_not_take_the_socket_of_a_living_one(void)
{
    struct cfc_share_server_config config = {.mode = 0600};
    struct cfc_share_server *server = NULL;
    struct host h;

    begin(&h);
    publish(&h, 10, 7);
    config.path = h.path;
    config.client = h.b.client;
    CU_ASSERT_EQUAL(cfc_share_server_start(&config, &server), CONFCAST_ERR_BUSY);
    CU_ASSERT_PTR_NULL(server);
    cfc_share_server_stop(h.server);
    start_server(&h);
    open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    end(&h);
}

/* ---- Ill will and shortage ------------------------------------------------------------------- */

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

    begin(&h);
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
    end(&h);
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

    begin(&h);
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
    end(&h);
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

    begin(&h);
    publish(&h, 10, 7);
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
    open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    close(fd);
    end(&h);
}

#if !defined(__SANITIZE_THREAD__)
static void
a_child_of_a_reader_section_can_fork(void)
{
    struct host h;
    int status = -1;
    pid_t child;

    begin(&h);
    publish(&h, 10, 7);
    publish(&h, 11, 8); /* the view before was retired: RCU has its thread */
    confcast_read_lock();
    child = fork();
    if (child == 0) {
        confcast_read_unlock();
        alarm(5);
        child = fork();
        if (child == 0) {
            _exit(3);
        }
        _exit(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3 ? 0 : 1);
    }
    confcast_read_unlock();
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    end(&h);
}
#endif

/* ---- Memfds ---------------------------------------------------------------------------------- */

static struct cfc_loaded *
loaded_with(struct host *h, int64_t n, struct cfc_digest *id)
{
    struct cfc_loaded *loaded = NULL;
    uint8_t *body = malloc(CLIENT_BODY_MAX);
    size_t size;

    CU_ASSERT_PTR_NOT_NULL_FATAL(body);
    size = bench_body(&h->b, n, 10, body, id);
    CU_ASSERT_EQUAL_FATAL(cfc_loaded_new(body, size, id, h->b.sha, &loaded), CONFCAST_OK);
    return loaded;
}

static void
a_shared_content_can_be_read_and_not_be_changed(void)
{
    struct cfc_loaded *mapped = NULL;
    struct cfc_loaded *loaded;
    struct confcast_view *view;
    struct cfc_digest other;
    struct cfc_digest id;
    struct host h;
    int fd = -1;
    int again;

    begin(&h);
    loaded = loaded_with(&h, 7, &id);
    other = id;
    other.bytes[31] ^= 1;
    CU_ASSERT_EQUAL_FATAL(cfc_shared_content_make(loaded, &fd), CONFCAST_OK);
    CU_ASSERT(write(fd, "x", 1) < 0 && errno == EPERM);
    CU_ASSERT(ftruncate(fd, 10) != 0 && errno == EPERM);
    CU_ASSERT_PTR_EQUAL(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    CU_ASSERT_EQUAL(cfc_shared_content_map(fd, &other, &mapped), CONFCAST_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(cfc_shared_content_map(fd, &id, &mapped), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_shared_content_make(mapped, &again), CONFCAST_ERR_INVALID);
    close(fd);
    view = cfc_view_new(mapped, &(struct cfc_served){.epoch = 1, .version = 1});
    CU_ASSERT_EQUAL(confcast_get_i64(view, CONFCAST_KEY("/n"), -1, NULL), 7);
    CU_ASSERT_STRING_EQUAL(confcast_get_string(view, CONFCAST_KEY("/pad"), "", NULL, NULL),
                           "xxxxxxxxxx");
    cfc_view_free(view);
    cfc_loaded_unref(mapped);
    cfc_loaded_unref(loaded);
    end(&h);
}

/* A memfd with these bytes. */
static int
memfd_with(const void *bytes, size_t size, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CU_ASSERT_EQUAL(write(fd, bytes, size), (ssize_t)size);
    CU_ASSERT_EQUAL(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void
a_memfd_that_lies_is_refused(void)
{
    static const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    struct cfc_share_content header;
    struct cfc_loaded *mapped = NULL;
    struct cfc_loaded *loaded;
    struct cfc_digest id;
    uint8_t bytes[8192];
    struct host h;
    ssize_t size;
    int fd = -1;

    begin(&h);
    loaded = loaded_with(&h, 7, &id);
    CU_ASSERT_EQUAL_FATAL(cfc_shared_content_make(loaded, &fd), CONFCAST_OK);
    size = pread(fd, bytes, sizeof(bytes), 0);
    close(fd);
    CU_ASSERT_FATAL(size > 200 && size < (ssize_t)sizeof(bytes));
    for (int missing = 0; missing < 3; missing++) {
        static const int without[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};

        fd = memfd_with(bytes, (size_t)size, seals & ~without[missing]);
        CU_ASSERT_EQUAL(cfc_shared_content_map(fd, &id, &mapped), CONFCAST_ERR_CORRUPT);
        close(fd);
    }
    for (int lie = 0; lie < 9; lie++) {
        uint8_t changed[sizeof(bytes)];
        size_t changed_size = (size_t)size;
        int expected = CONFCAST_ERR_CORRUPT;

        memcpy(&header, bytes, sizeof(header));
        switch (lie) {
        case 0:
            header.magic++;
            break;
        case 1:
            header.line_count++;
            break;
        case 2:
            header.line_count = 0;
            header.body_offset = header.slots_offset;
            header.body_size = (uint32_t)((uint64_t)size - header.body_offset);
            break;
        case 3:
            header.body_size++;
            break;
        case 4:
            header.body_offset += 64;
            break;
        case 5:
            header.slots_offset += 64;
            break;
        case 6:
            changed_size--;
            break;
        case 7:
            changed_size = 40;
            break;
        default:
            expected = CONFCAST_OK;
        }
        memcpy(changed, bytes, sizeof(changed));
        memcpy(changed, &header, sizeof(header));
        fd = memfd_with(changed, changed_size, seals);
        CU_ASSERT_EQUAL(cfc_shared_content_map(fd, &id, &mapped), expected);
        close(fd);
    }
    cfc_loaded_unref(mapped);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CU_ASSERT_EQUAL(cfc_shared_content_map(fd, &id, &mapped), CONFCAST_ERR_CORRUPT);
    close(fd);
    cfc_loaded_unref(loaded);
    end(&h);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_process_serves_what_its_agent_serves),
    CFC_CASE(a_process_that_comes_first_waits_for_the_content),
    CFC_CASE(callbacks_see_both_contents_and_the_same_content_is_not_told),
    CFC_CASE(a_refused_content_leaves_the_last_good_one_and_the_agent_says_who),
    CFC_CASE(readers_notice_nothing_of_an_agent_that_dies_and_comes_back),
    CFC_CASE(a_process_may_start_before_its_agent),
    CFC_CASE(a_scope_that_the_agent_does_not_follow_is_not_found),
#if !defined(__SANITIZE_THREAD__)
    CFC_CASE(forked_workers_follow_their_agent),
#endif
    CFC_CASE(a_process_that_does_not_read_gets_the_newest_state_and_delays_nobody),
    CFC_CASE(what_is_no_message_is_hung_up_on),
    CFC_CASE(the_agent_says_every_second_that_it_lives),
    CFC_CASE(a_flood_of_refusals_is_no_flood_of_the_log),
    CFC_CASE(an_agent_that_falls_silent_is_noticed),
    CFC_CASE(a_content_whose_descriptor_got_lost_is_asked_for_again),
    CFC_CASE(an_agent_that_says_what_cannot_be_is_hung_up_on),
    CFC_CASE(an_agent_that_hangs_up_unheard_is_told_of_once),
    CFC_CASE(options_of_the_network_and_of_an_agent_exclude_each_other),
    CFC_CASE(a_second_agent_does_not_take_the_socket_of_a_living_one),
    CFC_CASE(many_questions_at_once_are_all_answered),
    CFC_CASE(descriptors_that_nobody_asked_for_are_closed),
    CFC_CASE(an_agent_without_descriptors_waits_for_some_without_spinning),
#if !defined(__SANITIZE_THREAD__)
    CFC_CASE(a_child_of_a_reader_section_can_fork),
#endif
    CFC_CASE(a_shared_content_can_be_read_and_not_be_changed),
    CFC_CASE(a_memfd_that_lies_is_refused),
};

CFC_TEST_MAIN("agent_link", cases)
