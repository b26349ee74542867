/* Processes that read through an agent: what they serve, wait for and are told. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/agent_fixture.h"
#include "tests/unit/cunit_main.h"

static void
a_process_serves_what_its_agent_serves(void)
{
    struct confcast_status status;
    struct host h;

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), 7); /* when subscribe returns */
    status = status_of(h.scope);
    CU_ASSERT_EQUAL(status.serving, 10);
    CU_ASSERT_EQUAL(status.accepted, 10);
    CU_ASSERT_EQUAL(status.epoch, 1);
    CU_ASSERT_EQUAL(status.source, CONFCAST_SOURCE_AGENT);
    CU_ASSERT_EQUAL(status.state, CONFCAST_STATE_APPLIED);
    CU_ASSERT_EQUAL(memcmp(status.content, bench_status(&h.b).content, 32), 0);
    CU_ASSERT_PTR_NOT_NULL(h.scope->view->loaded->mapping);
    host_publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 8);
    host_end(&h);
}

static void
a_process_that_comes_first_waits_for_the_content(void)
{
    struct host h;

    host_begin(&h);
    host_open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), -1);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 1, 0), CONFCAST_ERR_TIMEOUT);
    host_publish(&h, 10, 7);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    host_end(&h);
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
    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, &options);
    CU_ASSERT_EQUAL(seen.calls, 1);
    CU_ASSERT_EQUAL(seen.before, -1);
    host_publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen.calls, 2);
    CU_ASSERT(seen.before == 7 && seen.after == 8);
    host_publish(&h, 12, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen.calls, 2);
    host_end(&h);
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
    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, &options);
    host_publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(status_of(h.scope).state, CONFCAST_STATE_REJECTED);
    CU_ASSERT_EQUAL(status_of(h.scope).serving, 10);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    BENCH_AWAIT(h.refusals == 1);
    host_publish(&h, 12, 9);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 9);
    CU_ASSERT_EQUAL(status_of(h.scope).state, CONFCAST_STATE_APPLIED);
    host_end(&h);
}

static void
readers_notice_nothing_of_an_agent_that_dies_and_comes_back(void)
{
    struct confcast_stats stats = {.size = sizeof(stats)};
    const struct confcast_view *view;
    struct host h;

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, NULL);
    view = confcast_view(h.scope);
    cfc_share_server_stop(h.server);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    BENCH_AWAIT(confcast_stats(h.client, &stats) == CONFCAST_OK && !stats.is_linked);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    BENCH_AWAIT(status_of(h.scope).is_stale);
    host_start_server(&h);
    BENCH_AWAIT(confcast_stats(h.client, &stats) == CONFCAST_OK && stats.is_linked);
    CU_ASSERT_PTR_EQUAL(confcast_view(h.scope), view); /* the same content is not mapped again */
    host_publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 8);
    host_end(&h);
}

static void
a_process_may_start_before_its_agent(void)
{
    struct host h;

    host_begin(&h);
    host_publish(&h, 10, 7);
    cfc_share_server_stop(h.server);
    host_open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), -1);
    host_start_server(&h);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    host_end(&h);
}

static void
a_scope_that_the_agent_does_not_follow_is_not_found(void)
{
    struct confcast_scope *other = NULL;
    struct host h;

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, NULL);
    CU_ASSERT_EQUAL(confcast_subscribe(h.client, "acme/other", NULL, &other),
                    CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_PTR_NULL(other);
    CU_ASSERT_EQUAL(confcast_subscribe(h.client, CLIENT_SCOPE, NULL, &other), CONFCAST_ERR_EXISTS);
    CU_ASSERT_PTR_EQUAL(other, h.scope);
    host_publish(&h, 11, 8);
    CU_ASSERT_EQUAL(confcast_wait(h.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    host_end(&h);
}

#if !defined(__SANITIZE_THREAD__) /* which cannot make threads in a forked child */
static void
forked_workers_follow_their_agent(void)
{
    struct host h;
    pid_t children[3];

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_open_process(&h, NULL);
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
        host_publish(&h, version, (int64_t)version - 3);
        CU_ASSERT_EQUAL(confcast_wait(h.scope, version, CLIENT_WAIT_MS), CONFCAST_OK);
        bench_sleep_ms(10);
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;

        CU_ASSERT_EQUAL(waitpid(children[i], &status, 0), children[i]);
        CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    host_end(&h);
}
#endif

static void
the_agent_says_every_second_that_it_lives(void)
{
    const struct timeval patience = {.tv_sec = 3};
    struct cfc_share_message message;
    struct host h;
    int alive = 0;
    int fd;

    host_begin(&h);
    fd = connect_raw(h.path);
    CU_ASSERT_EQUAL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    while (alive < 2 && recv(fd, &message, sizeof(message), 0) == (ssize_t)sizeof(message)) {
        alive += message.type == CFC_SHARE_ALIVE;
    }
    CU_ASSERT_EQUAL(alive, 2);
    close(fd);
    host_end(&h);
}

static void
options_of_the_network_and_of_an_agent_exclude_each_other(void)
{
    struct confcast *client = NULL;
    char path[200];
    struct host h;

    host_begin(&h);
    h.b.options.agent_path = h.path;
    CU_ASSERT_EQUAL(confcast_open(&h.b.options, &client), CONFCAST_ERR_INVALID);
    memset(path, 'x', sizeof(path));
    path[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0';
    h.options.agent_path = path;
    CU_ASSERT_EQUAL(confcast_open(&h.options, &client), CONFCAST_ERR_INVALID);
    path[sizeof(((struct sockaddr_un *)0)->sun_path) - 1] = '\0';
    CU_ASSERT_EQUAL(confcast_open(&h.options, &client), CONFCAST_OK);
    confcast_close(client);
    host_end(&h);
}

static void
a_second_agent_does_not_take_the_socket_of_a_living_one(void)
{
    struct cfc_share_server_config config = {.mode = 0600};
    struct cfc_share_server *server = NULL;
    struct host h;

    host_begin(&h);
    host_publish(&h, 10, 7);
    config.path = h.path;
    config.client = h.b.client;
    CU_ASSERT_EQUAL(cfc_share_server_start(&config, &server), CONFCAST_ERR_BUSY);
    CU_ASSERT_PTR_NULL(server);
    cfc_share_server_stop(h.server);
    host_start_server(&h);
    host_open_process(&h, NULL);
    CU_ASSERT_EQUAL(n_of(h.scope), 7);
    host_end(&h);
}

#if !defined(__SANITIZE_THREAD__)
static void
a_child_of_a_reader_section_can_fork(void)
{
    struct host h;
    int status = -1;
    pid_t child;

    host_begin(&h);
    host_publish(&h, 10, 7);
    host_publish(&h, 11, 8); /* the view before was retired: RCU has its thread */
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
    host_end(&h);
}
#endif

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
    CFC_CASE(the_agent_says_every_second_that_it_lives),
    CFC_CASE(options_of_the_network_and_of_an_agent_exclude_each_other),
    CFC_CASE(a_second_agent_does_not_take_the_socket_of_a_living_one),
#if !defined(__SANITIZE_THREAD__)
    CFC_CASE(a_child_of_a_reader_section_can_fork),
#endif
};

CFC_TEST_MAIN("agent_link", cases)
