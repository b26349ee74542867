#include "consumer/big_memory.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/client.h"
#include "consumer/fork_guard.h"
#include "tests/unit/cunit_main.h"

enum {
    MIB = 1 << 20,
    HANG_S = 20 /* what takes so long never ends */
};

static void
what_is_small_is_left_to_others(void)
{
    int local;
    void *p = malloc(4 * MIB);

    CU_ASSERT_PTR_NULL(cfc_big_alloc(0));
    CU_ASSERT_PTR_NULL(cfc_big_alloc(CFC_BIG_SIZE_MIN - 1));
    CU_ASSERT_PTR_NULL(cfc_big_alloc(SIZE_MAX));
    CU_ASSERT_FALSE(cfc_big_free(NULL));
    CU_ASSERT_FALSE(cfc_big_free(&local));
    CU_ASSERT_FALSE(cfc_big_free(p));
    free(p);
}

static void
a_piece_that_was_given_back_is_taken_again(void)
{
    uint8_t *a = cfc_big_alloc(CFC_BIG_SIZE_MIN);
    uint8_t *b = cfc_big_alloc(9 * MIB);
    uint8_t *c;

    CU_ASSERT_FATAL(a != NULL && b != NULL && a != b);
    memset(a, 1, CFC_BIG_SIZE_MIN);
    memset(b, 2, 9 * MIB);
    CU_ASSERT_EQUAL(a[CFC_BIG_SIZE_MIN - 1], 1);
    CU_ASSERT(cfc_big_free(b));
    CU_ASSERT_FALSE(cfc_big_free(b)); /* it is not in use */
    c = cfc_big_alloc(8 * MIB);
    CU_ASSERT_PTR_EQUAL(c, b);
    memset(c, 3, 8 * MIB);
    CU_ASSERT(cfc_big_free(c));
    /* Not one that is far too large, nor one that is too small. */
    c = cfc_big_alloc(2 * MIB);
    CU_ASSERT_PTR_NOT_EQUAL(c, b);
    CU_ASSERT(cfc_big_free(c));
    c = cfc_big_alloc(12 * MIB);
    CU_ASSERT_PTR_NOT_EQUAL(c, b);
    memset(c, 4, 12 * MIB);
    CU_ASSERT(cfc_big_free(c));
    CU_ASSERT(cfc_big_free(a));
    cfc_big_release();
}

static void
what_is_not_needed_goes_after_a_while(void)
{
    uint8_t *a = cfc_big_alloc(4 * MIB);
    uint64_t now_ns = UINT64_C(1000000000);

    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    cfc_big_tend(now_ns);
    CU_ASSERT(cfc_big_free(a));
    cfc_big_tend(now_ns);
    cfc_big_tend(now_ns + CFC_BIG_KEPT_NS - 1);
    CU_ASSERT_EQUAL(cfc_big_kept_size(), 4 * MIB);
    cfc_big_tend(now_ns + CFC_BIG_KEPT_NS);
    CU_ASSERT_EQUAL(cfc_big_kept_size(), 0);
}

static void
what_is_kept_is_bounded(void)
{
    void *pieces[CFC_BIG_KEPT_PIECES_MAX + 2];

    for (int i = 0; i < CFC_BIG_KEPT_PIECES_MAX + 2; i++) {
        pieces[i] = cfc_big_alloc(2 * MIB);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pieces[i]);
    }
    for (int i = 0; i < CFC_BIG_KEPT_PIECES_MAX + 2; i++) {
        CU_ASSERT(cfc_big_free(pieces[i]));
    }
    CU_ASSERT_EQUAL(cfc_big_kept_size(), CFC_BIG_KEPT_PIECES_MAX * 2 * MIB);
    for (int i = 0; i < 3; i++) {
        pieces[i] = cfc_big_alloc(CFC_BIG_KEPT_SIZE_MAX / 2);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pieces[i]);
    }
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(cfc_big_free(pieces[i]));
        CU_ASSERT(cfc_big_kept_size() <= CFC_BIG_KEPT_SIZE_MAX);
    }
    cfc_big_release();
    CU_ASSERT_EQUAL(cfc_big_kept_size(), 0);
}

static void
there_are_so_many_pieces_and_no_more(void)
{
    void *pieces[CFC_BIG_PIECES_MAX];

    for (int i = 0; i < CFC_BIG_PIECES_MAX; i++) {
        pieces[i] = cfc_big_alloc(2 * MIB);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pieces[i]);
    }
    CU_ASSERT_PTR_NULL(cfc_big_alloc(2 * MIB));
    for (int i = 0; i < CFC_BIG_PIECES_MAX; i++) {
        CU_ASSERT(cfc_big_free(pieces[i]));
    }
    cfc_big_release();
}

static void *
hold_the_lock(void *arg)
{
    const struct timespec pause = {.tv_nsec = 200000000};

    cfc_big_lock();
    sem_post(arg);
    nanosleep(&pause, NULL);
    cfc_big_unlock();
    return NULL;
}

static void
a_child_is_not_locked_out_and_inherits_nothing_kept(void)
{
    static struct confcast client; /* has the handlers of fork() set, no more */
    uint8_t *used = cfc_big_alloc(2 * MIB);
    uint8_t *kept = cfc_big_alloc(4 * MIB);
    pthread_t thread;
    sem_t is_held;
    int status = -1;
    pid_t pid;

    CU_ASSERT_FATAL(used != NULL && kept != NULL);
    CU_ASSERT_EQUAL_FATAL(cfc_fork_guard_add(&client), CONFCAST_OK);
    cfc_fork_guard_remove(&client);
    CU_ASSERT(cfc_big_free(kept));
    used[0] = 7;
    sem_init(&is_held, 0, 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, hold_the_lock, &is_held), 0);
    while (sem_wait(&is_held) != 0) {
    }
    pid = fork();
    if (pid == 0) {
        uint8_t *p;

        alarm(HANG_S);
        if (cfc_big_kept_size() != 0 || used[0] != 7 || (p = cfc_big_alloc(4 * MIB)) == NULL) {
            _exit(1);
        }
        p[0] = 1;
        _exit(cfc_big_free(p) && cfc_big_free(used) ? 0 : 2);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pthread_join(thread, NULL);
    sem_destroy(&is_held);
    CU_ASSERT_EQUAL(cfc_big_kept_size(), 4 * MIB);
    CU_ASSERT(cfc_big_free(used));
    cfc_big_release();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_is_small_is_left_to_others),
    CFC_CASE(a_piece_that_was_given_back_is_taken_again),
    CFC_CASE(what_is_not_needed_goes_after_a_while),
    CFC_CASE(what_is_kept_is_bounded),
    CFC_CASE(there_are_so_many_pieces_and_no_more),
    CFC_CASE(a_child_is_not_locked_out_and_inherits_nothing_kept),
};

CFC_TEST_MAIN("big_memory", cases)
