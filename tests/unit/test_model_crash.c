/* The model on RocksDB, killed at named points between its writes: what was acknowledged is there,
 * nothing is half done, and the same request again finishes it exactly once. */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/model_dump.h"
#include "tests/unit/model_story.h"
#include "tests/unit/temp_dir.h"

static const char *crash_point;
static int crash_after;

static void
crash(const char *point)
{
    if (strcmp(point, crash_point) == 0 && crash_after-- == 0) {
        kill(getpid(), SIGKILL);
    }
}

static int
open_on_disk(struct model *m, const char *path)
{
    struct cfc_store_rocksdb_config config = {.path = path};
    int error;

    memset(m, 0, sizeof(*m));
    m->now = T0;
    error = cfc_store_rocksdb_open(&config, &m->store);
    if (error == CONFCAST_OK) {
        error = cfc_service_open(m->store, NULL, &m->service);
    }
    return error;
}

/* A put that goes through a blob ends the story, so that its points are reached too. */
static bool
long_step(struct model *m, int i, int *error)
{
    static char text[CFC_STORE_BLOB_CHUNK_SIZE * 2 + 100];

    if (i == 0) {
        m->key = "long";
        memset(text, 'x', sizeof(text));
        memcpy(text, "{\"a\":\"", 6);
        memcpy(text + sizeof(text) - 3, "\"}", 3);
        *error = put_text(m, "acme/long", text);
        return true;
    }
    return step(m, i - 1, error);
}

static void
tell_story_until_killed(const char *path, int pipe_fd)
{
    struct model m;
    int error;

    if (open_on_disk(&m, path) != CONFCAST_OK) {
        _exit(1);
    }
    cfc_store_crash_hook = crash;
    for (int i = 0; long_step(&m, i, &error); i++) {
        uint8_t done = 1;

        if (error != CONFCAST_OK || write(pipe_fd, &done, 1) != 1) {
            _exit(1);
        }
    }
    _exit(2); /* the point was not reached so often */
}

/* The state and the audit log after each number of steps, without versions: those differ by the
 * epochs taken. */
static char *
state_of(struct model *m)
{
    char *state = dump(m->service, false);
    char *audit = dump_audit(m->service);
    char *text = NULL;

    CU_ASSERT_FATAL(asprintf(&text, "%s%s", state, audit) >= 0);
    free(state);
    free(audit);
    return text;
}

static char *
state_after(int step_count)
{
    struct model m;
    char *text;
    int error;

    model_open(&m);
    for (int i = 0; i < step_count && long_step(&m, i, &error); i++) {
        CU_ASSERT_EQUAL(error, CONFCAST_OK);
    }
    text = state_of(&m);
    model_close(&m);
    return text;
}

static void
check_and_finish(const char *path, int acknowledged)
{
    char *before = state_after(acknowledged);
    char *after = state_after(acknowledged + 1);
    char *whole = state_after(1000);
    struct model m;
    char *found;
    int error;

    CU_ASSERT_EQUAL_FATAL(open_on_disk(&m, path), CONFCAST_OK);
    found = state_of(&m);
    CU_ASSERT_TRUE(strcmp(found, before) == 0 || strcmp(found, after) == 0);
    free(found);
    /* The client repeats what it got no answer for, and goes on. */
    m.now = T0 + (uint64_t)acknowledged * 1000;
    for (int i = acknowledged; long_step(&m, i, &error); i++) {
        CU_ASSERT_EQUAL(error, CONFCAST_OK);
    }
    found = state_of(&m);
    CU_ASSERT_STRING_EQUAL(found, whole);
    free(found);
    model_close(&m);
    free(before);
    free(after);
    free(whole);
}

/* false when the point is not reached `after` + 1 times. */
static bool
crash_at(const char *point, int after)
{
    struct temp_dir dir = temp_dir_make();
    int acknowledged = 0;
    uint8_t done;
    int fds[2];
    int status;
    pid_t child;

    CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
    crash_point = point;
    crash_after = after;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        close(fds[0]);
        tell_story_until_killed(dir.path, fds[1]);
    }
    close(fds[1]);
    while (read(fds[0], &done, 1) == 1) {
        acknowledged++;
    }
    close(fds[0]);
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
        CU_ASSERT_EQUAL(WTERMSIG(status), SIGKILL);
        check_and_finish(dir.path, acknowledged);
    } else {
        CU_ASSERT_EQUAL(WEXITSTATUS(status), 2);
    }
    temp_dir_remove(&dir);
    return WIFSIGNALED(status);
}

static void
kill_at_every_point_of_every_change_loses_and_doubles_nothing(void)
{
    static const struct {
        const char *point;
        int first;
        int stride; /* the two points of a commit take turns: each step dies at one of them */
        int times;  /* at least so often in the story */
    } points[] = {{"blob:piece", 0, 1, 3},        {"blob:complete", 0, 1, 1},
                  {"commit:compared", 0, 2, 18},  {"commit:written", 1, 2, 18},
                  {"release:prepared", 0, 4, 10}, {"release:committed", 2, 4, 10}};

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        int after = points[i].first;

        while (crash_at(points[i].point, after)) {
            after += points[i].stride;
        }
        CU_ASSERT_TRUE(after >= points[i].times);
    }
}

/* The engine finds these before those of libc. */
static int sync_errno;

int
fdatasync(int fd)
{
    if (sync_errno != 0) {
        errno = sync_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
    if (sync_errno != 0) {
        errno = sync_errno;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static void
after_a_sync_that_failed_memory_follows_what_the_disk_kept(void)
{
    struct temp_dir dir = temp_dir_make();
    char first[4096];
    struct model m;
    char *memory;
    char *fresh;

    CU_ASSERT_EQUAL_FATAL(open_on_disk(&m, dir.path), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    sync_errno = EIO;
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_IO);
    sync_errno = 0;
    snprintf(first, sizeof(first), "%s", effective(&m, "acme"));
    memory = dump(m.service, true);
    model_reopen(&m);
    fresh = dump(m.service, true);
    CU_ASSERT_STRING_EQUAL(memory, fresh);
    CU_ASSERT_STRING_EQUAL(first, effective(&m, "acme"));
    free(memory);
    free(fresh);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":2}");
    model_close(&m);
    temp_dir_remove(&dir);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(after_a_sync_that_failed_memory_follows_what_the_disk_kept),
    CFC_CASE(kill_at_every_point_of_every_change_loses_and_doubles_nothing),
};

CFC_TEST_MAIN("model_crash", cases)
