/* libconfcast as an application uses it: receiving, waiting, callbacks, fork, closing. */
#include "confcast/confcast.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

/* What the callbacks saw. */
struct witness {
    struct bench *b;
    int changes;
    int64_t before; /* /n of the views of the last change; -1 for none */
    int64_t after;
    int asked;
    int64_t refused_n; /* the validator says no to this */
    atomic_bool is_inside;
    atomic_bool was_slow;
};

static void
note_change(void *arg, struct confcast_scope *scope, const struct confcast_view *before,
            const struct confcast_view *after)
{
    struct witness *w = arg;

    CU_ASSERT_PTR_EQUAL(confcast_view(scope), after);
    w->changes++;
    w->before = confcast_get_i64(before, CONFCAST_KEY("/n"), -1, NULL);
    w->after = confcast_get_i64(after, CONFCAST_KEY("/n"), -1, NULL);
}

static int
validate(void *arg, struct confcast_scope *scope, const struct confcast_view *candidate)
{
    struct witness *w = arg;

    CU_ASSERT_PTR_NOT_EQUAL(confcast_view(scope), candidate);
    w->asked++;
    return confcast_get_i64(candidate, CONFCAST_KEY("/n"), -1, NULL) == w->refused_n;
}

static struct confcast_scope_options
watched_by(struct witness *w)
{
    struct confcast_scope_options options = CONFCAST_SCOPE_OPTIONS_INIT;

    options.change = note_change;
    options.change_arg = w;
    options.validate = validate;
    options.validate_arg = w;
    return options;
}

static void
a_version_is_waited_for_read_and_told(void)
{
    struct witness w = {.refused_n = -2};
    struct confcast_scope_options options = watched_by(&w);
    struct confcast_status status;
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, &options);
    CU_ASSERT_EQUAL(bench_n(&b), -1);
    CU_ASSERT_EQUAL(bench_status(&b).state, CONFCAST_STATE_NONE);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 1, 0), CONFCAST_ERR_TIMEOUT);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 1, 30), CONFCAST_ERR_TIMEOUT);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, 0), CONFCAST_ERR_TIMEOUT);
    CU_ASSERT_EQUAL(bench_n(&b), 7);
    CU_ASSERT(w.changes == 1 && w.before == -1 && w.after == 7 && w.asked == 1);
    bench_publish(&b, 11, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT(w.changes == 2 && w.before == 7 && w.after == 8 && w.asked == 2);

    /* The same content under a new version is neither asked for nor told, but it is served. */
    bench_publish(&b, 12, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT(w.changes == 2 && w.asked == 2);
    confcast_read_lock();
    CU_ASSERT_EQUAL(confcast_view_version(confcast_view(b.scope)), 12);
    confcast_read_unlock();
    BENCH_AWAIT(bench_status(&b).durable == 12);
    status = bench_status(&b);
    CU_ASSERT_EQUAL(status.epoch, 1);
    CU_ASSERT_EQUAL(status.accepted, 12);
    CU_ASSERT_EQUAL(status.serving, 12);
    CU_ASSERT_EQUAL(status.state, CONFCAST_STATE_APPLIED);
    CU_ASSERT_EQUAL(status.source, CONFCAST_SOURCE_NETWORK);
    CU_ASSERT_EQUAL(status.reason, 0);
    CU_ASSERT(status.content_size > 0);
    bench_end(&b);
}

static void
what_the_validator_refuses_is_not_served(void)
{
    struct witness w = {.refused_n = 8};
    struct confcast_scope_options options = watched_by(&w);
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, &options);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_publish(&b, 11, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, CLIENT_WAIT_MS), CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(bench_n(&b), 7);
    CU_ASSERT_EQUAL(bench_status(&b).state, CONFCAST_STATE_REJECTED);
    CU_ASSERT_EQUAL(bench_status(&b).reason, CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(bench_status(&b).accepted, 11);
    CU_ASSERT_EQUAL(bench_status(&b).serving, 10);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, 0), CONFCAST_OK);

    /* Repeated, it is not asked for again; the next version is. */
    bench_publish(&b, 11, 8, 0);
    bench_sleep_ms(50);
    CU_ASSERT_EQUAL(w.asked, 2);
    bench_publish(&b, 12, 9, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(w.changes, 2);
    CU_ASSERT_EQUAL(w.before, 7);
    bench_end(&b);
}

/* ---- Restarts -------------------------------------------------------------------------------- */

static void
a_restart_serves_from_disk_before_the_first_packet(void)
{
    struct witness w = {.refused_n = -2};
    struct confcast_scope_options options = watched_by(&w);
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_close(&b); /* finishes writing */
    bench_open(&b);
    bench_subscribe(&b, &options);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_n(&b), 7);
    CU_ASSERT(w.changes == 1 && w.before == -1 && w.asked == 1);
    CU_ASSERT_EQUAL(bench_status(&b).source, CONFCAST_SOURCE_DISK);
    CU_ASSERT_EQUAL(bench_status(&b).state, CONFCAST_STATE_APPLIED);
    CU_ASSERT_EQUAL(bench_stats(&b).datagrams, 0);
    BENCH_AWAIT(bench_status(&b).is_stale); /* nobody is heard */
    bench_publish(&b, 11, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_status(&b).source, CONFCAST_SOURCE_NETWORK);
    bench_end(&b);
}

static void
remove_files(const struct bench *b, const char *folder)
{
    struct dirent *entry;
    char path[512];
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", b->state_dir, folder);
    dir = opendir(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            CU_ASSERT_EQUAL(unlinkat(dirfd(dir), entry->d_name, 0), 0);
        }
    }
    closedir(dir);
}

/* Serves 10 and accepts 11, whose content never comes. */
static void
accept_without_content(struct bench *b)
{
    uint8_t body[CLIENT_BODY_MAX];
    struct cfc_digest id;
    struct cfc_head head;

    bench_begin(b);
    bench_open(b);
    bench_subscribe(b, NULL);
    bench_publish(b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b->scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_body(b, 8, 0, body, &id);
    head = bench_head(b, 11, &id);
    bench_send_head(b, &head);
    BENCH_AWAIT(bench_status(b).accepted == 11);
    CU_ASSERT_EQUAL(bench_status(b).serving, 10);
    bench_close(b);
}

static void
expect_the_last_good(struct bench *b)
{
    struct confcast_status status;

    bench_open(b);
    bench_subscribe(b, NULL);
    CU_ASSERT_EQUAL(bench_n(b), 7);
    status = bench_status(b);
    CU_ASSERT_EQUAL(status.accepted, 11);
    CU_ASSERT_EQUAL(status.serving, 10);
    CU_ASSERT_EQUAL(status.state, CONFCAST_STATE_RECEIVING);
    CU_ASSERT_EQUAL(status.source, CONFCAST_SOURCE_DISK);

    /* What was accepted does not fall: an older head is refused, the same one with its content is
     * taken. */
    bench_publish(b, 10, 7, 0);
    BENCH_AWAIT(bench_stats(b).refused[-CONFCAST_ERR_ROLLBACK] == 1);
    CU_ASSERT_EQUAL(bench_status(b).accepted, 11);
    bench_publish(b, 11, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b->scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_n(b), 8);
}

static void
a_restart_before_the_content_came_serves_the_last_good_one(void)
{
    struct bench b;

    accept_without_content(&b);
    expect_the_last_good(&b);
    bench_end(&b);

    /* Killed between the floor and the head that rests on it. */
    accept_without_content(&b);
    remove_files(&b, "heads");
    expect_the_last_good(&b);
    bench_end(&b);
}

static void
a_lost_floor_does_not_lose_what_was_served(void)
{
    char path[400];
    struct bench b;

    accept_without_content(&b);
    snprintf(path, sizeof(path), "%s/floor", b.state_dir);
    CU_ASSERT_EQUAL(unlink(path), 0);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    CU_ASSERT_EQUAL(bench_n(&b), 7);
    CU_ASSERT_EQUAL(bench_status(&b).accepted, 10); /* all that can be known */
    CU_ASSERT_EQUAL(bench_status(&b).serving, 10);
    bench_end(&b);
}

/* The one file of a folder of the state directory: reads it, or writes it back. */
static void
move_file(const struct bench *b, const char *folder, char *bytes, size_t *size, bool is_back)
{
    char path[500];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s/%016llx", b->state_dir, folder,
             (unsigned long long)cfc_scope_id(b->sha, CLIENT_SCOPE, sizeof(CLIENT_SCOPE) - 1));
    file = fopen(path, is_back ? "we" : "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    if (is_back) {
        CU_ASSERT_EQUAL(fwrite(bytes, 1, *size, file), *size);
    } else {
        *size = fread(bytes, 1, CFC_FRAME_SIZE_MAX, file);
    }
    fclose(file);
}

static void
what_a_backup_puts_back_is_served_but_nothing_below_the_floor_is_accepted(void)
{
    static char head[CFC_FRAME_SIZE_MAX];
    static char serving[CFC_FRAME_SIZE_MAX];
    struct confcast_status status;
    size_t head_size;
    size_t serving_size;
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    BENCH_AWAIT(bench_status(&b).durable == 10);
    move_file(&b, "heads", head, &head_size, false);
    move_file(&b, "serving", serving, &serving_size, false);
    bench_publish(&b, 12, 8, 0);
    BENCH_AWAIT(bench_status(&b).durable == 12);
    bench_close(&b);
    move_file(&b, "heads", head, &head_size, true);
    move_file(&b, "serving", serving, &serving_size, true);

    bench_open(&b);
    bench_subscribe(&b, NULL);
    CU_ASSERT_EQUAL(bench_n(&b), 7);
    status = bench_status(&b);
    CU_ASSERT_EQUAL(status.accepted, 12);
    CU_ASSERT_EQUAL(status.serving, 10);
    CU_ASSERT_EQUAL(status.state, CONFCAST_STATE_RECEIVING);
    bench_publish(&b, 11, 9, 0); /* newer than what is served, below the floor */
    bench_publish(&b, 12, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_n(&b), 8);
    {
        struct confcast_stats stats = {.size = sizeof(stats)};

        CU_ASSERT_EQUAL(confcast_stats(b.client, &stats), CONFCAST_OK);
        CU_ASSERT_EQUAL(stats.refused[-CONFCAST_ERR_ROLLBACK], 1);
    }
    bench_end(&b);
}

static void
what_the_validator_refuses_from_disk_is_not_served(void)
{
    struct witness w = {.refused_n = 7};
    struct confcast_scope_options options = watched_by(&w);
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_close(&b);
    bench_open(&b);
    bench_subscribe(&b, &options);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, 0), CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(bench_n(&b), -1);
    CU_ASSERT(w.changes == 0 && w.asked >= 1);
    bench_publish(&b, 11, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_end(&b);
}

static void
without_a_state_directory_nothing_is_kept(void)
{
    struct bench b;

    bench_begin(&b);
    b.options.state_dir = NULL;
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_status(&b).durable, 0);
    bench_close(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    CU_ASSERT_EQUAL(bench_n(&b), -1);
    bench_end(&b);
}

/* ---- A disk that fails ----------------------------------------------------------------------- */

static void
a_disk_that_fails_is_shown_and_made_good(void)
{
    struct rlimit none;
    struct rlimit saved;
    struct bench b;
    struct confcast_status status;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    BENCH_AWAIT(bench_status(&b).durable == 10);
    signal(SIGXFSZ, SIG_IGN);
    fflush(stdout); /* which may be a file */
    getrlimit(RLIMIT_FSIZE, &saved);
    none = saved;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &none);
    bench_publish(&b, 11, 8, 0);
    BENCH_AWAIT(bench_status(&b).state == CONFCAST_STATE_DEGRADED);
    status = bench_status(&b);
    setrlimit(RLIMIT_FSIZE, &saved);
    CU_ASSERT_EQUAL(status.serving, 11);
    CU_ASSERT_EQUAL(status.durable, 10);
    CU_ASSERT_EQUAL(status.reason, CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(bench_n(&b), 8);
    BENCH_AWAIT(bench_status(&b).durable == 11);
    BENCH_AWAIT(bench_status(&b).state == CONFCAST_STATE_APPLIED);
    bench_close(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    CU_ASSERT_EQUAL(bench_n(&b), 8);
    bench_end(&b);
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static void
use_the_api(void *arg, struct confcast_scope *scope, const struct confcast_view *before,
            const struct confcast_view *after)
{
    struct witness *w = arg;
    struct confcast_status status = {.size = sizeof(status)};
    struct confcast_stats stats = {.size = sizeof(stats)};
    struct confcast_scope *other = NULL;

    (void)before;
    (void)after;
    w->changes++;
    CU_ASSERT_EQUAL(confcast_subscribe(w->b->client, "acme/other", NULL, &other), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_status(other, &status), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_stats(w->b->client, &stats), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_wait(scope, 99, 0), CONFCAST_ERR_TIMEOUT);
    CU_ASSERT_EQUAL(confcast_wait(scope, 99, 1000), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(confcast_set_validator(scope, NULL, NULL), CONFCAST_OK);
    confcast_close(w->b->client); /* refused: it would wait for itself */
    CU_ASSERT_EQUAL(confcast_on_change(scope, NULL, NULL), CONFCAST_OK);
}

static void
callbacks_may_use_the_api(void)
{
    struct witness w = {.refused_n = -2};
    struct confcast_scope_options options = CONFCAST_SCOPE_OPTIONS_INIT;
    struct bench b;

    bench_begin(&b);
    w.b = &b;
    options.change = use_the_api;
    options.change_arg = &w;
    bench_open(&b);
    bench_subscribe(&b, &options);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(w.changes, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(b.log, "confcast_close() was called from a callback"));
    bench_publish(&b, 11, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(w.changes, 1);
    bench_end(&b);
}

static void
be_slow(void *arg, struct confcast_scope *scope, const struct confcast_view *before,
        const struct confcast_view *after)
{
    struct witness *w = arg;

    (void)scope;
    (void)before;
    (void)after;
    atomic_store(&w->is_inside, true);
    bench_sleep_ms(100);
    atomic_store(&w->is_inside, false);
    atomic_store(&w->was_slow, true);
}

static void
a_callback_that_was_replaced_is_not_under_way(void)
{
    struct witness w = {.refused_n = -2};
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    CU_ASSERT_EQUAL(confcast_on_change(b.scope, be_slow, &w), CONFCAST_OK);
    bench_publish(&b, 10, 7, 0);
    BENCH_AWAIT(atomic_load(&w.is_inside));
    CU_ASSERT_EQUAL(confcast_on_change(b.scope, NULL, NULL), CONFCAST_OK);
    CU_ASSERT(!atomic_load(&w.is_inside) && atomic_load(&w.was_slow));
    bench_end(&b);
}

struct story {
    char words[8000]; /* one that does not fit is cut off */
    size_t size;
};

static void
collect_event(void *arg, const struct confcast_event *event)
{
    struct story *story = arg;

    if (event->scope == NULL || strcmp(event->scope, CLIENT_SCOPE) == 0) {
        size_t left = sizeof(story->words) - story->size;
        size_t size = (size_t)snprintf(story->words + story->size, left, "%s ", event->event);

        story->size += size < left ? size : left - 1;
    }
}

static void
events_tell_the_story_in_order(void)
{
    struct story story = {.size = 0};
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    CU_ASSERT_EQUAL(confcast_on_event(b.client, collect_event, &story), CONFCAST_OK);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    BENCH_AWAIT(bench_status(&b).durable == 10);
    CU_ASSERT_EQUAL(confcast_on_event(b.client, NULL, NULL), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(story.words, "accepted applied durable ");
    bench_publish(&b, 11, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(story.words, "accepted applied durable ");
    bench_end(&b);
}

/* ---- Waiting, closing, forking --------------------------------------------------------------- */

static void *
wait_long(void *arg)
{
    struct bench *b = arg;

    return (void *)(intptr_t)confcast_wait(b->scope, 99, 60000);
}

static void
closing_sends_waiters_away(void)
{
    pthread_t threads[3];
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, wait_long, &b), 0);
    }
    bench_sleep_ms(50);
    confcast_close(b.client);
    b.client = NULL;
    for (int i = 0; i < 3; i++) {
        void *result = NULL;

        pthread_join(threads[i], &result);
        CU_ASSERT_EQUAL((int)(intptr_t)result, CONFCAST_ERR_CLOSED);
    }
    bench_end(&b);
    confcast_close(NULL);
}

static void *
hold_a_view(void *arg)
{
    struct bench *b = arg;
    const struct confcast_view *view;
    int64_t n;

    confcast_read_lock();
    view = confcast_view(b->scope);
    bench_sleep_ms(200);
    n = confcast_get_i64(view, CONFCAST_KEY("/n"), -1, NULL);
    confcast_read_unlock();
    return (void *)(intptr_t)n;
}

static void
closing_waits_for_reader_sections(void)
{
    void *result = NULL;
    pthread_t thread;
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, hold_a_view, &b), 0);
    bench_sleep_ms(50);
    bench_close(&b);
    pthread_join(thread, &result);
    CU_ASSERT_EQUAL((intptr_t)result, 7);
    bench_end(&b);
}

/* In the child: reading works, everything else says so. */
static int
child_of_a_fork(struct bench *b)
{
    struct confcast_status status = {.size = sizeof(status)};
    struct confcast_stats stats = {.size = sizeof(stats)};
    struct confcast_scope *other = NULL;
    struct confcast *second = NULL;
    void *result = NULL;
    pthread_t thread;
    int wrong = 0;

    wrong += bench_n(b) != 7;
#if !defined(__SANITIZE_THREAD__) /* which cannot make threads in a forked child */
    wrong += pthread_create(&thread, NULL, hold_a_view, b) != 0;
    wrong += pthread_join(thread, &result) != 0 || (intptr_t)result != 7;
#else
    (void)thread;
    (void)result;
#endif
    wrong += confcast_status(b->scope, &status) != CONFCAST_ERR_CLOSED;
    wrong += confcast_stats(b->client, &stats) != CONFCAST_ERR_CLOSED;
    wrong += confcast_wait(b->scope, 1, 0) != CONFCAST_ERR_CLOSED;
    wrong += confcast_subscribe(b->client, "acme/x", NULL, &other) != CONFCAST_ERR_CLOSED;
    wrong += confcast_on_change(b->scope, NULL, NULL) != CONFCAST_ERR_CLOSED;
    wrong += confcast_set_validator(b->scope, NULL, NULL) != CONFCAST_ERR_CLOSED;
    wrong += confcast_on_event(b->client, NULL, NULL) != CONFCAST_ERR_CLOSED;
    /* It may open clients of its own, only not in the state directory of its parent's. */
    wrong += confcast_open(&b->options, &second) != CONFCAST_ERR_BUSY || second != NULL;
    confcast_close(b->client);
    return wrong;
}

static void
a_forked_child_reads_and_holds_nothing(void)
{
    struct bench b;
    int pipe_fds[2];
    int status = -1;
    char byte;
    pid_t child;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
    child = fork();
    if (child == 0) {
        int wrong = child_of_a_fork(&b);

        close(pipe_fds[1]);
        (void)!read(pipe_fds[0], &byte, 1); /* lives until the parent says so */
        _exit(wrong);
    }
    close(pipe_fds[0]);
    bench_publish(&b, 11, 8, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_close(&b);
    bench_open(&b); /* the child does not hold the directory */
    bench_subscribe(&b, NULL);
    CU_ASSERT_EQUAL(bench_n(&b), 8);
    close(pipe_fds[1]);
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    bench_end(&b);
}

/* RCU cannot be told of a fork inside a section of the thread that forks: it would wait for it. */
static void
a_fork_inside_a_reader_section_freezes_the_child(void)
{
    struct bench b;
    int status = -1;
    pid_t child;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    confcast_read_lock();
    bench_publish(&b, 11, 8, 0); /* its grace period waits for this section */
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_sleep_ms(20);
    child = fork();
    if (child == 0) {
        struct confcast *second = NULL;
        int wrong = bench_n(&b) != 8;

        wrong += confcast_open(&b.options, &second) != CONFCAST_ERR_CLOSED || second != NULL;
        _exit(wrong);
    }
    confcast_read_unlock();
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    bench_publish(&b, 12, 9, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_end(&b);
}

/* ---- Readers that do not go on --------------------------------------------------------------- */

static void
a_reader_that_parks_bounds_memory_and_is_told_of(void)
{
    struct story story = {.size = 0};
    struct confcast_stats stats;
    struct bench b;
    uint64_t kept;

    bench_begin(&b);
    b.options.memory_max = 30000;
    bench_open(&b);
    CU_ASSERT_EQUAL(confcast_on_event(b.client, collect_event, &story), CONFCAST_OK);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 1, 1, 5000);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 1, CLIENT_WAIT_MS), CONFCAST_OK);
    confcast_read_lock();
    for (uint64_t version = 2; version <= 30; version++) {
        bench_publish(&b, version, (int64_t)version, 5000);
        BENCH_AWAIT(bench_status(&b).accepted == version);
    }
    kept = bench_status(&b).serving;
    stats = bench_stats(&b);
    CU_ASSERT(kept > 2 && kept < 20);
    CU_ASSERT(stats.retired_size > 30000 && stats.retired_size < 50000);
    CU_ASSERT_PTR_NOT_NULL(strstr(story.words, "stalled_reader"));
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 30, 50), CONFCAST_ERR_TIMEOUT);
    confcast_read_unlock();
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 30, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_n(&b), 30);
    BENCH_AWAIT(bench_stats(&b).retired_size == 0);
    bench_end(&b);
}

static void
a_rollback_needs_nothing_but_its_head_without_a_disk_too(void)
{
    struct bench b;
    uint8_t body[CLIENT_BODY_MAX];
    struct cfc_digest id;
    struct cfc_head head;

    bench_begin(&b);
    b.options.state_dir = NULL;
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_publish(&b, 1, 100, 20);
    BENCH_AWAIT(bench_n(&b) == 100);
    bench_publish(&b, 2, 200, 20);
    BENCH_AWAIT(bench_n(&b) == 200);
    (void)bench_body(&b, 100, 20, body, &id);
    head = bench_head(&b, 3, &id);
    head.kind = CFC_HEAD_ROLLBACK;
    bench_send_head(&b, &head);
    BENCH_AWAIT(bench_n(&b) == 100);
    CU_ASSERT_EQUAL(bench_status(&b).serving, 3);
    CU_ASSERT_EQUAL(bench_status(&b).source, CONFCAST_SOURCE_NETWORK);
    bench_end(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_version_is_waited_for_read_and_told),
    CFC_CASE(what_the_validator_refuses_is_not_served),
    CFC_CASE(a_restart_serves_from_disk_before_the_first_packet),
    CFC_CASE(a_restart_before_the_content_came_serves_the_last_good_one),
    CFC_CASE(a_lost_floor_does_not_lose_what_was_served),
    CFC_CASE(what_a_backup_puts_back_is_served_but_nothing_below_the_floor_is_accepted),
    CFC_CASE(what_the_validator_refuses_from_disk_is_not_served),
    CFC_CASE(without_a_state_directory_nothing_is_kept),
    CFC_CASE(a_disk_that_fails_is_shown_and_made_good),
    CFC_CASE(callbacks_may_use_the_api),
    CFC_CASE(a_callback_that_was_replaced_is_not_under_way),
    CFC_CASE(events_tell_the_story_in_order),
    CFC_CASE(closing_sends_waiters_away),
    CFC_CASE(closing_waits_for_reader_sections),
    CFC_CASE(a_forked_child_reads_and_holds_nothing),
    CFC_CASE(a_fork_inside_a_reader_section_freezes_the_child),
    CFC_CASE(a_rollback_needs_nothing_but_its_head_without_a_disk_too),
    CFC_CASE(a_reader_that_parks_bounds_memory_and_is_told_of),
};

CFC_TEST_MAIN("client", cases)
