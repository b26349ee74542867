#include "consumer/trials.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumer/client.h"
#include "protocol/base/time.h"
#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

#define SCOPE UINT64_C(77)
#define NOW   (UINT64_C(1700000000) * CFC_S)

enum {
    STRIKES = 3
};

static struct temp_dir dir;
static int dir_fd;

static void
begin(void)
{
    dir = temp_dir_make();
    dir_fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CU_ASSERT_FATAL(dir_fd >= 0);
}

static void
end(void)
{
    close(dir_fd);
    temp_dir_remove(&dir);
}

static struct cfc_trial_content
content_of(uint64_t version, uint8_t byte)
{
    struct cfc_trial_content content = {.epoch = 1, .version = version};

    memset(content.content.bytes, byte, sizeof(content.content.bytes));
    return content;
}

static bool
is_aside(struct cfc_trials *trials, const struct cfc_trial_content *content)
{
    return cfc_trials_is_aside(trials, SCOPE, content->epoch, content->version, &content->content);
}

/* A process that serves this, for long enough or not, and then crashes, or does not. */
static void
live(const struct cfc_trial_content *content, uint64_t now_ns, bool passes, bool crashes)
{
    struct cfc_trials *trials = cfc_trials_open(dir_fd, STRIKES, now_ns);

    cfc_trials_begin(trials, SCOPE, content, false);
    if (passes) {
        cfc_trials_pass(trials, SCOPE);
    }
    if (crashes) {
        cfc_trials_abandon(trials); /* what is written from now on comes to nobody */
    }
    cfc_trials_close(trials);
}

static bool
is_aside_now(const struct cfc_trial_content *content, uint64_t now_ns)
{
    struct cfc_trials *trials = cfc_trials_open(dir_fd, STRIKES, now_ns);
    bool is = is_aside(trials, content);

    cfc_trials_close(trials);
    return is;
}

static void
enough_crashes_set_a_version_aside(void)
{
    struct cfc_trial_content good = content_of(7, 7);
    struct cfc_trial_content bad = content_of(8, 8);
    struct cfc_trial_content again = content_of(9, 8);
    struct cfc_trials *trials;

    begin();
    live(&good, NOW, true, false);
    for (int i = 0; i < STRIKES; i++) {
        CU_ASSERT_FALSE(is_aside_now(&bad, NOW + 1));
        live(&bad, NOW + 1, false, true);
    }
    trials = cfc_trials_open(dir_fd, STRIKES, NOW + 2);
    CU_ASSERT_TRUE(is_aside(trials, &bad));
    CU_ASSERT_FALSE(is_aside(trials, &good));
    CU_ASSERT_FALSE(is_aside(trials, &again)); /* a later version of it is tried anew */
    CU_ASSERT_EQUAL(cfc_trials_good(trials, SCOPE).version, 7);
    CU_ASSERT_EQUAL(cfc_trials_good(trials, SCOPE + 1).version, 0);
    CU_ASSERT_FALSE(cfc_trials_is_aside(trials, SCOPE + 1, 1, 8, &bad.content));
    /* It stays aside while the good one serves in its place, and over restarts. */
    cfc_trials_begin(trials, SCOPE, &good, true);
    CU_ASSERT_TRUE(is_aside(trials, &bad));
    cfc_trials_abandon(trials);
    cfc_trials_close(trials);
    CU_ASSERT_TRUE(is_aside_now(&bad, NOW + 2 * CFC_STRIKES_NS));
    live(&again, NOW + 3, false, true);
    CU_ASSERT_FALSE(is_aside_now(&again, NOW + 3));
    end();
}

static void
only_crashes_within_the_window_count(void)
{
    struct cfc_trial_content good = content_of(7, 7);
    struct cfc_trial_content bad = content_of(8, 8);

    begin();
    live(&good, NOW, true, false);
    for (int i = 0; i < 2 * STRIKES; i++) { /* orderly ends do not */
        live(&bad, NOW, false, false);
    }
    CU_ASSERT_FALSE(is_aside_now(&bad, NOW));
    for (int i = 0; i < 2 * STRIKES; i++) { /* nor one in a while */
        live(&bad, NOW + (uint64_t)i * (CFC_STRIKES_NS + 1), false, true);
    }
    CU_ASSERT_FALSE(is_aside_now(&bad, NOW));
    end();
    begin();
    live(&good, NOW, true, false);
    /* The last one that counts; each crash is seen by the start after it. */
    live(&bad, NOW, false, true);
    live(&bad, NOW, false, true);
    live(&bad, NOW, false, true);
    CU_ASSERT_TRUE(is_aside_now(&bad, NOW + CFC_STRIKES_NS));
    end();
    begin();
    live(&good, NOW, true, false);
    live(&bad, NOW, false, true);
    live(&bad, NOW, false, true);
    live(&bad, NOW, false, true);
    CU_ASSERT_FALSE(is_aside_now(&bad, NOW + CFC_STRIKES_NS + 1));
    end();
}

static void
what_served_well_is_good_and_forgiven(void)
{
    struct cfc_trial_content first = content_of(7, 7);
    struct cfc_trial_content second = content_of(8, 8);
    struct cfc_digest ids[2];
    struct cfc_trials *trials;

    begin();
    for (int i = 0; i < 2 * STRIKES; i++) { /* there is nothing else to serve */
        live(&first, NOW, false, true);
    }
    CU_ASSERT_FALSE(is_aside_now(&first, NOW));
    live(&first, NOW, true, true);
    for (int i = 0; i < 2 * STRIKES; i++) { /* once good, it is not judged again */
        live(&first, NOW, false, true);
    }
    CU_ASSERT_FALSE(is_aside_now(&first, NOW));
    live(&second, NOW, false, true);
    live(&second, NOW, false, true);
    live(&second, NOW, true, true);
    live(&second, NOW, false, true);
    CU_ASSERT_FALSE(is_aside_now(&second, NOW));
    trials = cfc_trials_open(dir_fd, STRIKES, NOW);
    CU_ASSERT_EQUAL(cfc_trials_good(trials, SCOPE).version, 8);
    CU_ASSERT_EQUAL(cfc_trials_goods(trials, ids, 2), 1);
    CU_ASSERT(cfc_digest_equal(&ids[0], &second.content));
    CU_ASSERT_EQUAL(cfc_trials_goods(trials, ids, 0), 0);
    cfc_trials_close(trials);
    end();
}

static void
a_damaged_file_is_one_that_was_never_there(void)
{
    struct cfc_trial_content good = content_of(7, 7);
    struct cfc_trial_content bad = content_of(8, 8);
    char path[400];
    int fd;

    begin();
    snprintf(path, sizeof(path), "%s/trials", dir.path);
    for (off_t at = 0; at < 16 + 128; at += 5) {
        uint8_t byte;

        unlink(path);
        live(&good, NOW, true, false);
        for (int i = 0; i < STRIKES; i++) {
            live(&bad, NOW, false, true);
        }
        fd = open(path, O_RDWR | O_CLOEXEC);
        CU_ASSERT_EQUAL(pread(fd, &byte, 1, at), 1);
        byte ^= 0x55;
        CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        /* The magic number, the word of a crash, or the record: nothing is set aside on a guess. */
        CU_ASSERT_FALSE(is_aside_now(&bad, NOW));
    }
    CU_ASSERT_EQUAL(truncate(path, 16 + 100), 0);
    CU_ASSERT_FALSE(is_aside_now(&bad, NOW));
    end();
    CU_ASSERT_FALSE(is_aside(NULL, &bad));
    CU_ASSERT_EQUAL(cfc_trials_good(NULL, SCOPE).version, 0);
    cfc_trials_begin(NULL, SCOPE, &bad, false);
    cfc_trials_withdraw(NULL, SCOPE);
    cfc_trials_pass(NULL, SCOPE);
    cfc_trials_close(NULL);
}

static void
further_scopes_are_not_protected_and_nothing_else(void)
{
    struct cfc_trial_content content = content_of(8, 8);
    struct cfc_trials *trials;

    begin();
    trials = cfc_trials_open(dir_fd, 1, NOW);
    for (uint64_t scope = 1; scope <= CFC_TRIALS_SCOPES_MAX + 1; scope++) {
        cfc_trials_begin(trials, scope, &content, false);
        cfc_trials_pass(trials, scope);
    }
    CU_ASSERT_EQUAL(cfc_trials_good(trials, CFC_TRIALS_SCOPES_MAX).version, 8);
    CU_ASSERT_EQUAL(cfc_trials_good(trials, CFC_TRIALS_SCOPES_MAX + 1).version, 0);
    cfc_trials_close(trials);
    trials = cfc_trials_open(dir_fd, 1, NOW); /* they all come back */
    CU_ASSERT_EQUAL(cfc_trials_good(trials, CFC_TRIALS_SCOPES_MAX).version, 8);
    cfc_trials_close(trials);
    end();
}

/* ---- Whole processes --------------------------------------------------------------------------
 */

enum ending {
    CRASH,
    EXIT,
    CLOSE
};

/* A process that opens a client, sees `n` served from disk, and ends. */
static void
run_process(struct bench *b, int64_t n, enum ending ending)
{
    pid_t pid = fork();
    int status = -1;

    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        bool is_right =
            confcast_open(&b->options, &b->client) == CONFCAST_OK &&
            confcast_subscribe(b->client, CLIENT_SCOPE, NULL, &b->scope) == CONFCAST_OK &&
            bench_n(b) == n;

        if (ending == CRASH) {
            _exit(is_right ? 0 : 1);
        }
        if (ending == CLOSE) {
            confcast_close(b->client);
            _exit(is_right ? 0 : 1);
        }
        fclose(stdout); /* what the test printed so far is not the child's to print */
        exit(is_right ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
}

/* A minute goes by. */
static void
pass_trial(struct bench *b)
{
    struct cfc_trials *trials = cfc_cache_trials(b->client->cache);
    uint64_t version = bench_status(b).serving;

    CU_ASSERT(cfc_trials_good(trials, b->scope->scope_id).version != version);
    b->scope->trial_since_ns -= CFC_TRIAL_NS;
    BENCH_AWAIT(cfc_trials_good(trials, b->scope->scope_id).version == version);
}

/* Serves {"n": 7} well, then {"n": 8}, both durable. */
static void
begin_with_two(struct bench *b)
{
    bench_begin(b);
    bench_open(b);
    bench_subscribe(b, NULL);
    bench_publish(b, 7, 7, 2);
    CU_ASSERT_EQUAL(confcast_wait(b->scope, 7, CLIENT_WAIT_MS), CONFCAST_OK);
    BENCH_AWAIT(bench_status(b).durable == 7);
    pass_trial(b);
    bench_publish(b, 8, 8, 2);
    CU_ASSERT_EQUAL(confcast_wait(b->scope, 8, CLIENT_WAIT_MS), CONFCAST_OK);
    BENCH_AWAIT(bench_status(b).durable == 8);
    bench_close(b);
}

/* What is served, as if the process had died before a later one was written. */
static void
put_serving_back(struct bench *b, uint64_t version)
{
    struct cfc_cache_config config = {.dir = b->state_dir, .fleet = "dc1", .size_max = 1 << 20};
    static struct cfc_cache_job job;
    uint8_t body[CLIENT_BODY_MAX];
    struct cfc_loaded *loaded = NULL;
    struct cfc_cache *cache;
    struct cfc_digest id;

    CU_ASSERT_EQUAL_FATAL(cfc_cache_open(&config, &cache), CONFCAST_OK);
    bench_body(b, (int64_t)version, 2, body, &id);
    CU_ASSERT_EQUAL_FATAL(cfc_cache_load(cache, &id, b->sha, &loaded), CONFCAST_OK);
    job = (struct cfc_cache_job){.scope_id =
                                     cfc_scope_id(b->sha, CLIENT_SCOPE, sizeof(CLIENT_SCOPE) - 1),
                                 .serving = {.path = CLIENT_SCOPE,
                                             .epoch = 1,
                                             .version = version,
                                             .state = CFC_APPLY_APPLIED,
                                             .content = id},
                                 .loaded = loaded};
    CU_ASSERT_EQUAL(cfc_cache_commit(cache, &job), CONFCAST_OK);
    cfc_loaded_unref(loaded);
    cfc_cache_close(cache);
}

static void
a_process_in_a_crash_loop_comes_back_with_what_served_well(void)
{
    struct confcast_status status;
    struct bench b;

    begin_with_two(&b);
    for (int i = 0; i < CFC_TRIALS_STRIKES_DEFAULT; i++) {
        run_process(&b, 8, CRASH);
    }
    run_process(&b, 7, CRASH); /* set aside; and whatever else it does */
    run_process(&b, 7, CLOSE);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    CU_ASSERT_EQUAL(bench_n(&b), 7);
    status = bench_status(&b);
    CU_ASSERT_EQUAL(status.state, CONFCAST_STATE_DEGRADED);
    CU_ASSERT_EQUAL(status.reason, CONFCAST_ERR_CRASH_LOOP);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 8, CLIENT_WAIT_MS), CONFCAST_ERR_CRASH_LOOP);
    CU_ASSERT_EQUAL(status.accepted, 8);
    CU_ASSERT_EQUAL(status.serving, 7);
    CU_ASSERT_PTR_NOT_NULL(strstr(b.log, "reason=crash_loop"));
    /* A later version of the same content, and then another. */
    bench_publish(&b, 9, 8, 2);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 9, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_n(&b), 8);
    bench_publish(&b, 10, 10, 2);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_status(&b).state, CONFCAST_STATE_APPLIED);
    bench_end(&b);
}

static void
die_of_eight(void *arg, struct confcast_scope *scope, const struct confcast_view *before,
             const struct confcast_view *after)
{
    (void)arg;
    (void)scope;
    (void)before;
    if (confcast_get_i64(after, CONFCAST_KEY("/n"), 0, NULL) == 8) {
        _exit(0);
    }
}

static int
die_judging_eight(void *arg, struct confcast_scope *scope, const struct confcast_view *candidate)
{
    die_of_eight(arg, scope, NULL, candidate);
    return 0;
}

/* Ends by itself when it sees 8, or else with 1 after it was seen serving `n`, 2 for another one.
 */
static int
run_mortal(struct bench *b, const struct confcast_scope_options *options, int64_t n)
{
    pid_t pid = fork();
    int status = -1;

    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        if (confcast_open(&b->options, &b->client) != CONFCAST_OK ||
            confcast_subscribe(b->client, CLIENT_SCOPE, options, &b->scope) != CONFCAST_OK) {
            _exit(3);
        }
        bench_sleep_ms(100); /* the loop thread takes what the head says */
        _exit(bench_n(b) == n ? 1 : 2);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* 6 served well, 7 was served for seconds, and each process dies as 8 comes, before it is known on
 * disk as what is served. */
static void
who_dies_in(const struct confcast_scope_options *options)
{
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 6, 6, 2);
    BENCH_AWAIT(bench_status(&b).durable == 6);
    pass_trial(&b);
    bench_publish(&b, 7, 7, 2);
    BENCH_AWAIT(bench_status(&b).durable == 7);
    bench_publish(&b, 8, 8, 2);
    BENCH_AWAIT(bench_status(&b).durable == 8);
    bench_close(&b);
    put_serving_back(&b, 7);
    for (int i = 0; i < CFC_TRIALS_STRIKES_DEFAULT; i++) {
        CU_ASSERT_EQUAL(run_mortal(&b, options, 7), 0);
    }
    CU_ASSERT_EQUAL(run_mortal(&b, options, 7), 1); /* set aside: what was served serves on */
    bench_end(&b);
}

static void
a_version_is_set_aside_though_another_one_is_served_again_at_each_start(void)
{
    struct confcast_scope_options options = CONFCAST_SCOPE_OPTIONS_INIT;

    options.change = die_of_eight;
    who_dies_in(&options);
}

static void
a_validator_that_crashes_is_a_crash(void)
{
    struct confcast_scope_options options = CONFCAST_SCOPE_OPTIONS_INIT;

    options.validate = die_judging_eight;
    who_dies_in(&options);
}

static void
exit_is_no_crash_nor_is_closing(void)
{
    struct bench b;

    begin_with_two(&b);
    for (int i = 0; i < CFC_TRIALS_STRIKES_DEFAULT; i++) {
        run_process(&b, 8, EXIT);
    }
    for (int i = 0; i < CFC_TRIALS_STRIKES_DEFAULT; i++) {
        run_process(&b, 8, CLOSE);
    }
    run_process(&b, 8, CLOSE);
    bench_end(&b);
}

static void
who_asks_for_it_is_not_judged(void)
{
    struct bench b;

    begin_with_two(&b);
    b.options.crash_starts_max = UINT32_MAX;
    for (int i = 0; i < CFC_TRIALS_STRIKES_DEFAULT + 2; i++) {
        run_process(&b, 8, CRASH);
    }
    b.options.crash_starts_max = 1;
    run_process(&b, 7, CLOSE);
    bench_end(&b);
}

static void
the_version_serves_on_when_the_one_before_is_gone(void)
{
    char path[500];
    char name[65];
    uint8_t body[CLIENT_BODY_MAX];
    struct cfc_digest id;
    struct bench b;

    begin_with_two(&b);
    bench_body(&b, 7, 2, body, &id);
    bench_hex(name, id.bytes, sizeof(id.bytes));
    snprintf(path, sizeof(path), "%s/contents/%s", b.state_dir, name);
    CU_ASSERT_EQUAL(unlink(path), 0);
    for (int i = 0; i < CFC_TRIALS_STRIKES_DEFAULT + 2; i++) {
        run_process(&b, 8, CRASH); /* something is always served */
    }
    bench_end(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(enough_crashes_set_a_version_aside),
    CFC_CASE(only_crashes_within_the_window_count),
    CFC_CASE(what_served_well_is_good_and_forgiven),
    CFC_CASE(a_damaged_file_is_one_that_was_never_there),
    CFC_CASE(further_scopes_are_not_protected_and_nothing_else),
    CFC_CASE(a_process_in_a_crash_loop_comes_back_with_what_served_well),
    CFC_CASE(a_version_is_set_aside_though_another_one_is_served_again_at_each_start),
    CFC_CASE(a_validator_that_crashes_is_a_crash),
    CFC_CASE(exit_is_no_crash_nor_is_closing),
    CFC_CASE(who_asks_for_it_is_not_judged),
    CFC_CASE(the_version_serves_on_when_the_one_before_is_gone),
};

CFC_TEST_MAIN("trials", cases)
