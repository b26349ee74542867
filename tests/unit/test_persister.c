/* The persister over a cache that does what the test says (--wrap). */
#include "consumer/persister.h"

#include <CUnit/Basic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/cache_fixture.h"
#include "tests/unit/cunit_main.h"

int __wrap_cfc_cache_commit(struct cfc_cache *cache, const struct cfc_cache_job *job);
int __wrap_cfc_cache_store(struct cfc_cache *cache, struct cfc_loaded *loaded);
void __wrap_cfc_cache_trim(struct cfc_cache *cache);

enum {
    LOG_MAX = 64,
    PATIENCE_MS = 5000
};

/* What the cache was asked to do, and what it is to answer. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned permits; /* commits that may go on; beyond them they wait */
    unsigned waiting; /* commits that wait */
    int code;         /* of commits */
    struct cfc_cache_job jobs[LOG_MAX];
    unsigned job_count;
    unsigned store_count;
    unsigned stored_after_jobs; /* job_count at the last store */
    unsigned trim_count;
    unsigned notes;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static struct cfc_sha256 *sha;
static struct cfc_persister *p;

int
__wrap_cfc_cache_commit(struct cfc_cache *cache, const struct cfc_cache_job *job)
{
    int code;

    (void)cache;
    pthread_mutex_lock(&disk.lock);
    disk.waiting++;
    pthread_cond_broadcast(&disk.moved);
    while (disk.permits == 0) {
        pthread_cond_wait(&disk.moved, &disk.lock);
    }
    disk.permits--;
    disk.waiting--;
    if (disk.job_count < LOG_MAX) {
        disk.jobs[disk.job_count++] = *job;
    }
    code = disk.code;
    if (code == CONFCAST_OK && job->loaded != NULL) {
        atomic_store(&job->loaded->is_stored, true);
    }
    pthread_cond_broadcast(&disk.moved);
    pthread_mutex_unlock(&disk.lock);
    return code;
}

int
__wrap_cfc_cache_store(struct cfc_cache *cache, struct cfc_loaded *loaded)
{
    (void)cache;
    pthread_mutex_lock(&disk.lock);
    disk.store_count++;
    disk.stored_after_jobs = disk.job_count;
    atomic_store(&loaded->is_stored, true);
    pthread_cond_broadcast(&disk.moved);
    pthread_mutex_unlock(&disk.lock);
    return CONFCAST_OK;
}

void
__wrap_cfc_cache_trim(struct cfc_cache *cache)
{
    (void)cache;
    pthread_mutex_lock(&disk.lock);
    disk.trim_count++;
    pthread_cond_broadcast(&disk.moved);
    pthread_mutex_unlock(&disk.lock);
}

static void
note(void *arg)
{
    CU_ASSERT_PTR_EQUAL(arg, &disk);
    pthread_mutex_lock(&disk.lock);
    disk.notes++;
    pthread_cond_broadcast(&disk.moved);
    pthread_mutex_unlock(&disk.lock);
}

static void
begin(unsigned permits, int code)
{
    if (sha == NULL) {
        sha = cfc_sha256_new();
    }
    pthread_mutex_lock(&disk.lock);
    disk.permits = permits;
    disk.waiting = disk.job_count = disk.store_count = disk.trim_count = disk.notes = 0;
    disk.code = code;
    pthread_mutex_unlock(&disk.lock);
    CU_ASSERT_EQUAL_FATAL(cfc_persister_start(NULL, note, &disk, &p), CONFCAST_OK);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(cfc_persister_add_scope(p, i, 100 + i), CONFCAST_OK);
    }
}

static void
permit(unsigned count, int code)
{
    pthread_mutex_lock(&disk.lock);
    disk.permits += count;
    disk.code = code;
    pthread_cond_broadcast(&disk.moved);
    pthread_mutex_unlock(&disk.lock);
}

/* Waits until a counter of `disk` is at least `value`. */
static bool
await(const unsigned *counter, unsigned value)
{
    struct timespec until;
    bool is_there;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&disk.lock);
    while (*counter < value && pthread_cond_timedwait(&disk.moved, &disk.lock, &until) == 0) {
    }
    is_there = *counter >= value;
    pthread_mutex_unlock(&disk.lock);
    return is_there;
}

static void
put_head(uint32_t idx, uint8_t byte)
{
    cfc_persister_put_head(p, idx, &byte, 1);
}

static void
put_serving(uint32_t idx, uint64_t version, struct cfc_loaded *loaded)
{
    struct cfc_cache_serving serving = {.version = version, .content = loaded->id};

    cfc_persister_put_serving(p, idx, &serving, loaded);
}

static void
what_came_meanwhile_is_committed_in_one(void)
{
    struct cfc_loaded *a;
    struct cfc_loaded *b;
    struct cfc_persisted out;

    begin(0, CONFCAST_OK);
    a = content_with(sha, 1);
    b = content_with(sha, 2);
    put_head(0, 1);
    CU_ASSERT_FATAL(await(&disk.waiting, 1));
    put_head(0, 2);
    put_serving(0, 1, a);
    put_serving(0, 2, b);
    put_head(0, 3);
    permit(2, CONFCAST_OK);
    CU_ASSERT_FATAL(await(&disk.notes, 2));
    CU_ASSERT_EQUAL(disk.job_count, 2);
    CU_ASSERT_EQUAL(disk.jobs[0].scope_id, 100);
    CU_ASSERT_EQUAL(disk.jobs[0].head[0], 1);
    CU_ASSERT_EQUAL(disk.jobs[0].serving.version, 0);
    CU_ASSERT_PTR_NULL(disk.jobs[0].loaded);
    CU_ASSERT_EQUAL(disk.jobs[1].head[0], 3);
    CU_ASSERT_EQUAL(disk.jobs[1].serving.version, 2);
    CU_ASSERT_PTR_EQUAL(disk.jobs[1].loaded, b);

    /* The head alone makes nothing durable; what is served does, though a newer head came after
     * it. */
    CU_ASSERT_EQUAL(cfc_persister_poll(p, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.scope_idx, 0);
    CU_ASSERT_EQUAL(out.code, CONFCAST_OK);
    CU_ASSERT_EQUAL(out.durable.version, 2);
    CU_ASSERT_EQUAL(cfc_persister_poll(p, &out), CONFCAST_ERR_AGAIN);
    cfc_persister_free(p);
    CU_ASSERT_EQUAL(atomic_load(&a->ref_count), 1);
    CU_ASSERT_EQUAL(atomic_load(&b->ref_count), 1);
    cfc_loaded_unref(a);
    cfc_loaded_unref(b);
}

static void
a_failure_is_told_once_and_tried_again(void)
{
    struct cfc_loaded *a;
    struct cfc_persisted out;

    begin(1, CONFCAST_ERR_NO_SPACE);
    a = content_with(sha, 1);
    put_serving(1, 7, a);
    put_head(1, 7);
    CU_ASSERT_FATAL(await(&disk.notes, 1));
    CU_ASSERT_EQUAL(cfc_persister_poll(p, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.scope_idx, 1);
    CU_ASSERT_EQUAL(out.code, CONFCAST_ERR_NO_SPACE);
    CU_ASSERT_EQUAL(out.durable.version, 0);

    /* By itself, and the same reason is no news. */
    permit(1, CONFCAST_ERR_NO_SPACE);
    CU_ASSERT_FATAL(await(&disk.notes, 2));
    CU_ASSERT_EQUAL(cfc_persister_poll(p, &out), CONFCAST_ERR_AGAIN);

    /* What is new does not wait, and takes along what is left from before. */
    permit(1, CONFCAST_OK);
    put_head(1, 8);
    CU_ASSERT_FATAL(await(&disk.notes, 3));
    CU_ASSERT_EQUAL(disk.jobs[disk.job_count - 1].head[0], 8);
    CU_ASSERT_EQUAL(disk.jobs[disk.job_count - 1].serving.version, 7);
    CU_ASSERT_PTR_EQUAL(disk.jobs[disk.job_count - 1].loaded, a);
    CU_ASSERT_EQUAL(cfc_persister_poll(p, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.code, CONFCAST_OK);
    CU_ASSERT_EQUAL(out.durable.version, 7);
    cfc_persister_free(p);
    CU_ASSERT_EQUAL(atomic_load(&a->ref_count), 1);
    cfc_loaded_unref(a);
}

static void
what_is_durable_is_told_though_a_later_try_fails(void)
{
    struct cfc_loaded *a;
    struct cfc_persisted out;

    begin(1, CONFCAST_OK);
    a = content_with(sha, 1);
    put_serving(0, 1, a);
    CU_ASSERT_FATAL(await(&disk.notes, 1));
    permit(1, CONFCAST_ERR_IO);
    put_serving(0, 2, a);
    CU_ASSERT_FATAL(await(&disk.notes, 2));
    CU_ASSERT_EQUAL(cfc_persister_poll(p, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.durable.version, 1);
    CU_ASSERT_EQUAL(out.code, CONFCAST_ERR_IO);

    /* A head that goes through ends the failure, though it serves nothing new. */
    permit(2, CONFCAST_OK);
    CU_ASSERT_FATAL(await(&disk.notes, 3));
    CU_ASSERT_EQUAL(cfc_persister_poll(p, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.durable.version, 2);
    CU_ASSERT_EQUAL(out.code, CONFCAST_OK);
    cfc_persister_free(p);
    cfc_loaded_unref(a);
}

static void
what_was_held_back_is_written_when_it_is_let_go(void)
{
    struct timespec pause = {.tv_nsec = 5000000};

    begin(LOG_MAX, CONFCAST_OK);
    nanosleep(&pause, NULL); /* the thread most likely sleeps by now */
    for (unsigned round = 1; round <= 3; round++) {
        cfc_persister_hold(p);
        put_head(0, 1);
        put_head(1, 1);
        cfc_persister_let_go(p);
        CU_ASSERT(await(&disk.job_count, 2 * round));
        nanosleep(&pause, NULL);
    }
    cfc_persister_hold(p);
    cfc_persister_let_go(p); /* nothing was put */
    put_head(0, 1);
    CU_ASSERT(await(&disk.job_count, 7));
    cfc_persister_free(p);
}

static void
stopping_finishes_what_is_pending(void)
{
    struct cfc_loaded *a;
    struct cfc_persisted out;

    begin(LOG_MAX, CONFCAST_OK);
    a = content_with(sha, 1);
    put_head(0, 1);
    put_serving(1, 5, a);
    put_head(2, 9);
    cfc_persister_put_content(p, a);
    cfc_persister_stop(p);
    CU_ASSERT_EQUAL(disk.job_count, 3);
    CU_ASSERT_EQUAL(disk.store_count, 1);
    CU_ASSERT_EQUAL(cfc_persister_poll(p, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.scope_idx, 1);
    CU_ASSERT_EQUAL(out.durable.version, 5);
    cfc_persister_free(p);
    CU_ASSERT_EQUAL(atomic_load(&a->ref_count), 1);
    cfc_loaded_unref(a);
    cfc_persister_free(NULL);
}

static void
stopping_ends_though_the_disk_fails(void)
{
    struct cfc_loaded *a;

    begin(LOG_MAX, CONFCAST_ERR_IO);
    a = content_with(sha, 1);
    put_serving(0, 5, a);
    put_serving(1, 5, a);
    cfc_persister_put_content(p, a);
    cfc_persister_free(p);
    CU_ASSERT(disk.job_count > 0 && disk.job_count < 8);
    CU_ASSERT_EQUAL(atomic_load(&a->ref_count), 1);
    cfc_loaded_unref(a);
}

static void
a_busy_scope_starves_no_other(void)
{
    begin(0, CONFCAST_OK);
    put_head(0, 1);
    CU_ASSERT_FATAL(await(&disk.waiting, 1));
    put_head(0, 2);
    put_head(1, 1);
    put_head(2, 1);
    permit(1, CONFCAST_OK);
    CU_ASSERT_FATAL(await(&disk.job_count, 1));
    CU_ASSERT_FATAL(await(&disk.waiting, 1));
    put_head(0, 3);
    permit(1, CONFCAST_OK);
    CU_ASSERT_FATAL(await(&disk.job_count, 2));
    put_head(0, 4);
    permit(2, CONFCAST_OK);
    CU_ASSERT_FATAL(await(&disk.job_count, 4));
    CU_ASSERT_EQUAL(disk.jobs[1].scope_id, 101);
    CU_ASSERT_EQUAL(disk.jobs[2].scope_id, 102);
    CU_ASSERT_EQUAL(disk.jobs[3].scope_id, 100);
    CU_ASSERT_EQUAL(disk.jobs[3].head[0], 4);
    cfc_persister_free(p);
}

static void
heads_go_before_the_contents_that_they_name_and_trimming_is_last(void)
{
    struct cfc_loaded *a;
    struct cfc_loaded *b;

    begin(0, CONFCAST_OK);
    a = content_with(sha, 1);
    b = content_with(sha, 2);
    put_head(0, 1);
    CU_ASSERT_FATAL(await(&disk.waiting, 1));
    cfc_persister_put_content(p, a);
    put_head(1, 1);
    permit(2, CONFCAST_OK);
    CU_ASSERT_FATAL(await(&disk.trim_count, 1));
    CU_ASSERT_EQUAL(disk.store_count, 1);
    CU_ASSERT_EQUAL(disk.stored_after_jobs, 2);

    /* Nothing to trim where no content was written. */
    permit(1, CONFCAST_OK);
    put_serving(0, 2, a);
    CU_ASSERT_FATAL(await(&disk.notes, 3));
    permit(1, CONFCAST_OK);
    put_serving(0, 3, b);
    CU_ASSERT_FATAL(await(&disk.trim_count, 2));
    CU_ASSERT_EQUAL(disk.job_count, 4);
    cfc_persister_free(p);
    cfc_loaded_unref(a);
    cfc_loaded_unref(b);
    cfc_sha256_free(sha);
    sha = NULL;
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_came_meanwhile_is_committed_in_one),
    CFC_CASE(a_failure_is_told_once_and_tried_again),
    CFC_CASE(what_is_durable_is_told_though_a_later_try_fails),
    CFC_CASE(what_was_held_back_is_written_when_it_is_let_go),
    CFC_CASE(stopping_finishes_what_is_pending),
    CFC_CASE(stopping_ends_though_the_disk_fails),
    CFC_CASE(a_busy_scope_starves_no_other),
    CFC_CASE(heads_go_before_the_contents_that_they_name_and_trimming_is_last),
};

CFC_TEST_MAIN("persister", cases)
