/* Threads that share the pieces of a job: each piece once, whoever does it. */
#include "controlplane/publish/crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

enum {
    PIECES_MAX = 1000
};

struct job {
    atomic_int done[PIECES_MAX];
    atomic_int at_work[CFC_CREW_SIZE_MAX]; /* pieces that a worker has in hand: never two */
    atomic_int worker_count[CFC_CREW_SIZE_MAX];
    atomic_bool has_clashed;
    long pause_ns;
};

static void
do_piece(void *arg, uint32_t worker, size_t piece)
{
    struct job *job = arg;
    struct timespec pause = {.tv_nsec = job->pause_ns};

    if (worker >= CFC_CREW_SIZE_MAX || atomic_fetch_add(&job->at_work[worker], 1) != 0) {
        atomic_store(&job->has_clashed, true);
        return;
    }
    if (job->pause_ns > 0) {
        nanosleep(&pause, NULL);
    }
    atomic_fetch_add(&job->done[piece], 1);
    atomic_fetch_add(&job->worker_count[worker], 1);
    atomic_fetch_sub(&job->at_work[worker], 1);
}

static int
times_done(const struct job *job, size_t count)
{
    int wrong = 0;

    for (size_t i = 0; i < PIECES_MAX; i++) {
        wrong += atomic_load(&job->done[i]) != (i < count);
    }
    return wrong;
}

static void
every_piece_is_done_once_when_the_caller_goes_on(void)
{
    static const size_t counts[] = {0, 1, 3, 4, 5, 64, PIECES_MAX};

    for (uint32_t size = 1; size <= CFC_CREW_SIZE_MAX; size++) {
        struct cfc_crew *crew;

        CU_ASSERT_EQUAL_FATAL(cfc_crew_new(size, &crew), CONFCAST_OK);
        for (int round = 0; round < 20; round++) {
            for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
                static struct job job;

                memset(&job, 0, sizeof(job));
                cfc_crew_run(crew, counts[i], do_piece, &job);
                CU_ASSERT_EQUAL(times_done(&job, counts[i]), 0);
                CU_ASSERT_FALSE(atomic_load(&job.has_clashed));
            }
        }
        cfc_crew_free(crew);
    }
}

static void
a_batch_is_shared_and_a_few_pieces_are_not(void)
{
    static struct job job;
    struct cfc_crew *crew;

    CU_ASSERT_EQUAL_FATAL(cfc_crew_new(3, &crew), CONFCAST_OK);
    job.pause_ns = 1000000;
    cfc_crew_run(crew, 30, do_piece, &job);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(atomic_load(&job.worker_count[i]) > 0);
    }
    CU_ASSERT_EQUAL(atomic_load(&job.worker_count[3]), 0);
    memset(&job, 0, sizeof(job));
    job.pause_ns = 1000000;
    cfc_crew_run(crew, 3, do_piece, &job);
    CU_ASSERT_EQUAL(atomic_load(&job.worker_count[0]), 3);
    cfc_crew_free(crew);
}

static void
without_a_crew_the_caller_does_all(void)
{
    static struct job job;

    memset(&job, 0, sizeof(job));
    cfc_crew_run(NULL, 100, do_piece, &job);
    CU_ASSERT_EQUAL(times_done(&job, 100), 0);
    CU_ASSERT_EQUAL(atomic_load(&job.worker_count[0]), 100);
    cfc_crew_free(NULL);
    CU_ASSERT(cfc_crew_size_here() >= 1 && cfc_crew_size_here() <= CFC_CREW_SIZE_MAX);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_piece_is_done_once_when_the_caller_goes_on),
    CFC_CASE(a_batch_is_shared_and_a_few_pieces_are_not),
    CFC_CASE(without_a_crew_the_caller_does_all),
};

CFC_TEST_MAIN("crew", cases)
