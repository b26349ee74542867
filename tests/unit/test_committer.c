/* Many changes, one sync of the disk: nobody is told of a change before it is durable, and when the
 * disk fails nobody is told that a lost one took place.  On RocksDB, over a disk of the test's own.
 */
#include "controlplane/model/committer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/model/service_internal.h"
#include "protocol/base/time.h"
#include "tests/unit/model_dump.h"
#include "tests/unit/model_fixture.h"
#include "tests/unit/temp_dir.h"
#include "tests/unit/write_limit.h"

enum {
    PUT_COUNT = 50,
    THREAD_COUNT = 8,
    PUTS_PER_THREAD = 40,
    PATIENCE_MS = 5000,
    TRIES_MAX = 10,
};

/* ---- The disk ---------------------------------------------------------------------------------
 * RocksDB finds these before those of libc.
 */

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disk_changed = PTHREAD_COND_INITIALIZER;
static bool is_blocked;        /* a sync waits until this is over */
static unsigned waiting_count; /* syncs that do */
static unsigned sync_count;
static int fail_count;       /* so many syncs fail; -1 = all */
static off_t keep_size = -1; /* what a failing sync leaves of its file; -1 = everything */

static int
sync_by_plan(long number, int fd)
{
    bool fails;

    pthread_mutex_lock(&disk_lock);
    sync_count++;
    waiting_count++;
    pthread_cond_broadcast(&disk_changed);
    while (is_blocked) {
        pthread_cond_wait(&disk_changed, &disk_lock);
    }
    waiting_count--;
    fails = fail_count != 0;
    fail_count -= fail_count > 0;
    if (fails && keep_size >= 0) {
        (void)!ftruncate(fd, keep_size);
        keep_size = -1;
    }
    pthread_mutex_unlock(&disk_lock);
    if (fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(number, fd);
}

int
fdatasync(int fd)
{
    return sync_by_plan(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
    return sync_by_plan(SYS_fsync, fd);
}

static void
block_disk(bool blocks)
{
    pthread_mutex_lock(&disk_lock);
    is_blocked = blocks;
    pthread_cond_broadcast(&disk_changed);
    pthread_mutex_unlock(&disk_lock);
}

/* Until a sync hangs in the disk. */
static void
wait_for_sync(void)
{
    pthread_mutex_lock(&disk_lock);
    while (waiting_count == 0) {
        pthread_cond_wait(&disk_changed, &disk_lock);
    }
    pthread_mutex_unlock(&disk_lock);
}

/* ---- The service ------------------------------------------------------------------------------
 */

static struct temp_dir dir;
static struct model m;

static void
setup(void)
{
    struct cfc_store_rocksdb_config store;
    struct cfc_service_config config = {.shares_syncs = true};

    dir = temp_dir_make();
    store = (struct cfc_store_rocksdb_config){.path = dir.path};
    memset(&m, 0, sizeof(m));
    m.now = T0;
    is_blocked = false;
    fail_count = 0;
    keep_size = -1;
    CU_ASSERT_EQUAL_FATAL(cfc_store_rocksdb_open(&store, &m.store), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m.store, &config, &m.service), CONFCAST_OK);
}

static void
teardown(void)
{
    model_close(&m);
    temp_dir_remove(&dir);
}

static struct cfc_mark
begin(void)
{
    struct cfc_mark mark;

    cfc_service_mark_begin(m.service, &mark);
    return mark;
}

static int
end(struct cfc_mark *mark)
{
    cfc_service_mark_end(m.service, mark);
    return cfc_service_wait_durable(m.service, mark);
}

/* What memory says is what the store holds: a service that reads it anew says the same. */
static void
check_memory(void)
{
    char *memory = dump(m.service, true);
    char *fresh;

    model_reopen(&m);
    fresh = dump(m.service, true);
    CU_ASSERT_STRING_EQUAL(memory, fresh);
    free(memory);
    free(fresh);
}

/* The log that RocksDB writes to, and how long it is. */
static off_t
log_size(void)
{
    char command[600];
    off_t newest = 0;
    struct stat st;

    for (int i = 0; i < 100; i++) {
        snprintf(command, sizeof(command), "%s/db/%06d.log", dir.path, i);
        if (stat(command, &st) == 0) {
            newest = st.st_size;
        }
    }
    return newest;
}

static void
changes_that_come_during_a_sync_share_the_next_one(void)
{
    struct cfc_mark mark;
    char scope[32];

    setup();
    CU_ASSERT_EQUAL(put_text(&m, "acme/first", "{}"), CONFCAST_OK);
    mark = begin();
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
    block_disk(true);
    CU_ASSERT_EQUAL(put_text(&m, "acme/second", "{}"), CONFCAST_OK);
    wait_for_sync();
    sync_count = 0;
    for (int i = 0; i < PUT_COUNT; i++) {
        snprintf(scope, sizeof(scope), "acme/s%d", i);
        CU_ASSERT_EQUAL(put_text(&m, scope, "{\"a\":1}"), CONFCAST_OK);
    }
    mark = begin();
    cfc_service_mark_end(m.service, &mark);
    CU_ASSERT_FALSE(cfc_service_is_durable(m.service, &mark));
    block_disk(false);
    CU_ASSERT_EQUAL(cfc_service_wait_durable(m.service, &mark), CONFCAST_OK);
    CU_ASSERT_EQUAL(sync_count, 1);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), cfc_store_seq(m.store));
    teardown();
}

static void
nobody_is_told_before_the_disk_has_it(void)
{
    struct cfc_decision *decision = NULL;
    struct cfc_mark mark;
    uint64_t seq;

    setup();
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    mark = begin();
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
    seq = cfc_service_seq(m.service);
    block_disk(true);
    mark = begin();
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    wait_for_sync();
    /* A reader sees it, so a reader has to wait too; the publisher gets nothing, and a beacon would
     * not name it. */
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
    cfc_service_mark_end(m.service, &mark);
    CU_ASSERT_FALSE(cfc_service_is_durable(m.service, &mark));
    CU_ASSERT_EQUAL(cfc_service_poll_decision(m.service, &decision), CONFCAST_ERR_AGAIN);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    CU_ASSERT_TRUE(cfc_store_seq(m.store) > seq);
    block_disk(false);
    CU_ASSERT_EQUAL(cfc_service_wait_durable(m.service, &mark), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), cfc_store_seq(m.store));
    CU_ASSERT_EQUAL_FATAL(cfc_service_poll_decision(m.service, &decision), CONFCAST_OK);
    CU_ASSERT_EQUAL(decision->version, cfc_store_seq(m.store));
    cfc_decision_unref(decision);
    teardown();
}

static bool
is_readable_within(int fd, int patience_ms)
{
    fd_set set;
    struct timeval patience = {.tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000};

    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, &patience) == 1;
}

static void
the_publisher_is_woken_when_its_decision_is_durable(void)
{
    struct cfc_decision *decision = NULL;
    struct cfc_mark mark;
    int error = CONFCAST_ERR_AGAIN;
    int fd;

    setup();
    mark = begin();
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_wait_durable(m.service, &mark), CONFCAST_OK);
    fd = cfc_service_wake_fd(m.service);
    block_disk(true);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    wait_for_sync();
    CU_ASSERT_EQUAL(cfc_service_poll_decision(m.service, &decision), CONFCAST_ERR_AGAIN);
    CU_ASSERT_FALSE(is_readable_within(fd, 50)); /* it would spin */
    block_disk(false);
    /* A sync that was on its way covers a part of the promotion; the next one all of it. */
    for (int i = 0; error == CONFCAST_ERR_AGAIN && i < 2; i++) {
        CU_ASSERT_TRUE(is_readable_within(fd, PATIENCE_MS));
        error = cfc_service_poll_decision(m.service, &decision);
    }
    CU_ASSERT_EQUAL(error, CONFCAST_OK);
    cfc_decision_unref(decision);
    teardown();
}

static void
a_failed_sync_that_lost_nothing_is_no_failure(void)
{
    struct cfc_mark mark;

    setup();
    mark = begin();
    block_disk(true);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    wait_for_sync();
    fail_count = 1;
    block_disk(false);
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{\"a\":2}", 1), CONFCAST_OK);
    mark = begin();
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
    check_memory();
    teardown();
}

/* The worst that a disk may do: the sync fails, and what it was to sync is gone. */
static void
what_the_disk_lost_is_forgotten_and_nobody_hears_that_it_took_place(void)
{
    struct cfc_definition definition;
    json_t *entries = NULL;
    struct cfc_mark mark;
    struct cfc_mark late;

    setup();
    mark = begin();
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
    block_disk(true);
    keep_size = log_size();
    CU_ASSERT_TRUE(keep_size > 0);
    mark = begin();
    m.key = "once";
    CU_ASSERT_EQUAL(put_text(&m, "acme/new", "{\"b\":1}"), CONFCAST_OK);
    m.key = NULL;
    wait_for_sync();
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    late = begin();
    fail_count = 1;
    block_disk(false);
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_ERR_IO);

    /* Memory is what it was before, and goes on from there. */
    CU_ASSERT_EQUAL(cfc_service_get(m.service, "acme/new", 0, &definition), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
    m.key = "once";
    mark = begin();
    CU_ASSERT_EQUAL(put_expecting(&m, "acme/new", "{\"b\":1}", 0), CONFCAST_OK);
    m.key = NULL;
    CU_ASSERT_EQUAL(m.put.revision, 1);
    CU_ASSERT_FALSE(m.put.is_replay);
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{\"a\":3}", 1), CONFCAST_OK);
    /* Whoever began before the loss is not told by the number that came again. */
    cfc_service_mark_end(m.service, &late);
    CU_ASSERT_EQUAL(cfc_service_wait_durable(m.service, &late), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(cfc_service_audit(m.service, 0, 100, &entries, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(json_array_size(entries), 4);
    json_decref(entries);
    check_memory();
    teardown();
}

static void
while_the_disk_fails_nobody_is_told_anything_and_then_all_goes_on(void)
{
    struct cfc_mark mark;

    setup();
    mark = begin();
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
    fail_count = -1;
    mark = begin();
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":3}"), CONFCAST_ERR_IO);
    fail_count = 0;
    mark = begin();
    /* The log kept it: it is revision 2, which nobody was told, and which a retry would find. */
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{\"a\":3}", 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
    check_memory();
    teardown();
}

static int
commit(const char *key)
{
    struct cfc_store_batch batch;
    uint64_t seq;
    int error;

    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, key, strlen(key), "1", 1);
    error = cfc_service_commit(m.service, &batch, &seq);
    cfc_store_batch_clear(&batch);
    return error;
}

/* A commit is taken, and is lost when the database has to be opened again and cannot be: what the
 * store does itself after a write that failed. */
static void
lose_a_commit(void)
{
    refuse_writes(true);
    CU_ASSERT_EQUAL(commit("zz/1"), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_settle(m.store), CONFCAST_ERR_IO);
    refuse_writes(false);
}

static void
nothing_is_built_on_what_a_write_lost_and_nobody_hears_that_it_took_place(void)
{
    for (int builds = 0; builds < 2; builds++) {
        struct cfc_store_value value;
        struct cfc_mark mark;
        int tries = 0;

        setup();
        mark = begin();
        CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
        CU_ASSERT_EQUAL(end(&mark), CONFCAST_OK);
        mark = begin();
        CU_ASSERT_EQUAL_FATAL(cfc_service_enter(m.service), CONFCAST_OK);
        lose_a_commit();
        if (builds) {
            CU_ASSERT_EQUAL(commit("zz/2"), CONFCAST_ERR_IO);
        }
        cfc_service_mark_end(m.service, &mark);
        cfc_service_leave(m.service);
        /* Also when nobody uses the service any more. */
        CU_ASSERT_EQUAL(cfc_service_wait_durable(m.service, &mark), CONFCAST_ERR_IO);
        /* A sync that found no database may yet take a change back, and says so. */
        do {
            mark = begin();
            CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
        } while (end(&mark) != CONFCAST_OK && ++tries < TRIES_MAX);
        CU_ASSERT_NOT_EQUAL(tries, TRIES_MAX);
        CU_ASSERT_EQUAL_FATAL(cfc_service_enter(m.service), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_store_get(m.store, "zz/1", 4, &value), CONFCAST_ERR_NOT_FOUND);
        CU_ASSERT_EQUAL(cfc_store_get(m.store, "zz/2", 4, &value), CONFCAST_ERR_NOT_FOUND);
        cfc_service_leave(m.service);
        check_memory();
        teardown();
    }
}

static void
closing_makes_all_that_is_staged_durable(void)
{
    struct cfc_definition definition;

    setup();
    for (int i = 0; i < PUT_COUNT; i++) {
        CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    }
    cfc_service_close(m.service);
    CU_ASSERT_EQUAL(cfc_store_durable_seq(m.store), cfc_store_seq(m.store));
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m.store, NULL, &m.service), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_get(m.service, "acme", PUT_COUNT, &definition), CONFCAST_OK);
    cfc_definition_free(&definition);
    teardown();
}

static atomic_uint conflicts;
static atomic_uint winners;

/* Every thread tries each revision of one scope: one of them wins it. */
static void *
contend(void *arg)
{
    struct cfc_change change = {.author = "ann", .unix_ns = T0};
    struct cfc_put put = {.scope = "acme", .has_expected_revision = true};
    char text[64];

    snprintf(text, sizeof(text), "{\"thread\":%u}", *(unsigned *)arg);
    put.text = text;
    put.text_size = strlen(text);
    for (uint64_t revision = 0; revision < PUTS_PER_THREAD; revision++) {
        struct cfc_put_result result;
        struct cfc_refusal refusal;
        struct cfc_mark mark;
        int error;

        put.expected_revision = revision;
        cfc_service_mark_begin(m.service, &mark);
        error = cfc_service_put(m.service, &change, &put, &result, &refusal);
        cfc_service_mark_end(m.service, &mark);
        if (cfc_service_wait_durable(m.service, &mark) != CONFCAST_OK ||
            cfc_store_durable_seq(m.store) < mark.seq) {
            continue;
        }
        atomic_fetch_add(error == CONFCAST_OK ? &winners : &conflicts, 1);
    }
    return NULL;
}

static void
of_writers_on_one_base_one_wins_however_syncs_are_shared(void)
{
    pthread_t threads[THREAD_COUNT];
    unsigned numbers[THREAD_COUNT];
    json_t *entries = NULL;

    setup();
    atomic_store(&winners, 0);
    atomic_store(&conflicts, 0);
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        numbers[i] = i;
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, contend, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        pthread_join(threads[i], NULL);
    }
    CU_ASSERT_EQUAL(atomic_load(&winners), PUTS_PER_THREAD);
    CU_ASSERT_EQUAL(atomic_load(&conflicts), (THREAD_COUNT - 1) * PUTS_PER_THREAD);
    /* Reads them all, each by the digest in the one after it. */
    CU_ASSERT_EQUAL(cfc_service_audit(m.service, 0, 1000, &entries, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(json_array_size(entries), PUTS_PER_THREAD);
    json_decref(entries);
    check_memory();
    teardown();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(changes_that_come_during_a_sync_share_the_next_one),
    CFC_CASE(nobody_is_told_before_the_disk_has_it),
    CFC_CASE(the_publisher_is_woken_when_its_decision_is_durable),
    CFC_CASE(a_failed_sync_that_lost_nothing_is_no_failure),
    CFC_CASE(what_the_disk_lost_is_forgotten_and_nobody_hears_that_it_took_place),
    CFC_CASE(while_the_disk_fails_nobody_is_told_anything_and_then_all_goes_on),
    CFC_CASE(nothing_is_built_on_what_a_write_lost_and_nobody_hears_that_it_took_place),
    CFC_CASE(closing_makes_all_that_is_staged_durable),
    CFC_CASE(of_writers_on_one_base_one_wins_however_syncs_are_shared),
};

CFC_TEST_MAIN("committer", cases)
