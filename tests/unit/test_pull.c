/* When a consumer pulls what. */
#include "consumer/pull.h"

#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

#define T0    (1000 * CFC_S)
#define WAIT  (10 * CFC_S)
#define RETRY (500 * CFC_MS)
#define MAX   (60 * CFC_S)

static struct cfc_pull p;
static struct cfc_pull_job job;

static void
open_with(uint32_t url_count, uint32_t scope_count, uint64_t seed)
{
    struct cfc_pull_config config = {.url_count = url_count,
                                     .wait_ns = WAIT,
                                     .retry_ns = RETRY,
                                     .retry_max_ns = MAX,
                                     .seed = seed};

    cfc_pull_init(&p, &config);
    cfc_pull_set_scopes(&p, scope_count, T0);
    cfc_pull_start(&p, 0, T0);
}

static bool
next(uint64_t now_ns, enum cfc_pull_kind kind)
{
    return cfc_pull_next(&p, false, now_ns, &job) == CONFCAST_OK && job.kind == kind;
}

static bool
is_quiet(uint64_t now_ns)
{
    struct cfc_pull_job none;

    return cfc_pull_next(&p, true, now_ns, &none) == CONFCAST_ERR_AGAIN;
}

static bool
done(uint32_t status, uint64_t now_ns)
{
    struct cfc_pull_outcome outcome = {.status = status, .is_progress = true};

    return cfc_pull_done(&p, &job, &outcome, now_ns);
}

static void
greet(uint64_t now_ns)
{
    CU_ASSERT_FATAL(next(now_ns, CFC_PULL_HELLO));
    CU_ASSERT_FATAL(done(200, now_ns));
}

static void
nothing_goes_before_start_and_after_stop(void)
{
    struct cfc_pull_config config = {
        .url_count = 1, .wait_ns = WAIT, .retry_ns = RETRY, .retry_max_ns = MAX};

    cfc_pull_init(&p, &config);
    cfc_pull_set_scopes(&p, 1, T0);
    CU_ASSERT(is_quiet(T0));
    CU_ASSERT_EQUAL(cfc_pull_deadline(&p, T0), CFC_NEVER);
    cfc_pull_start(&p, 0, T0);
    CU_ASSERT_EQUAL(cfc_pull_deadline(&p, CFC_NEVER), T0);
    greet(T0);
    CU_ASSERT(next(T0, CFC_PULL_SNAPSHOT));
    cfc_pull_stop(&p);
    CU_ASSERT(is_quiet(T0 + MAX));
    CU_ASSERT_FALSE(done(200, T0 + MAX)); /* what was under way ends all the same */
    CU_ASSERT_EQUAL(p.busy_count, 0);
    CU_ASSERT(is_quiet(T0 + 2 * MAX));
}

static void
a_hello_goes_first_and_alone(void)
{
    open_with(1, 3, 1);
    CU_ASSERT(next(T0, CFC_PULL_HELLO));
    CU_ASSERT(is_quiet(T0));
    CU_ASSERT_EQUAL(cfc_pull_deadline(&p, T0), CFC_NEVER);
    CU_ASSERT(done(200, T0 + 1));
    CU_ASSERT(next(T0 + 1, CFC_PULL_SNAPSHOT));
}

static void
the_first_request_of_a_scope_does_not_wait_and_the_next_ones_do(void)
{
    open_with(1, 1, 1);
    greet(T0);
    CU_ASSERT(next(T0, CFC_PULL_SNAPSHOT));
    CU_ASSERT_EQUAL(job.wait_s, 0);
    done(200, T0 + CFC_MS);
    CU_ASSERT(next(T0 + CFC_MS, CFC_PULL_SNAPSHOT));
    CU_ASSERT_EQUAL(job.wait_s, 10);
    done(200, T0 + 5 * CFC_S);
    CU_ASSERT(next(T0 + 5 * CFC_S, CFC_PULL_SNAPSHOT));
    CU_ASSERT_EQUAL(job.wait_s, 10);
}

static void
up_to_16_scopes_wait_each_and_more_take_turns(void)
{
    struct cfc_pull_job jobs[CFC_PULL_LONG_MAX];

    open_with(1, CFC_PULL_LONG_MAX, 1);
    greet(T0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CFC_PULL_LONG_MAX; i++) {
            CU_ASSERT_FATAL(next(T0, CFC_PULL_SNAPSHOT));
            CU_ASSERT_EQUAL(job.wait_s, round == 0 ? 0 : 10);
            jobs[i] = job;
        }
        CU_ASSERT_FALSE(next(T0, CFC_PULL_SNAPSHOT));
        for (int i = 0; i < CFC_PULL_LONG_MAX; i++) {
            job = jobs[i];
            done(200, T0);
        }
    }

    open_with(1, CFC_PULL_LONG_MAX + 1, 1);
    greet(T0);
    for (int i = 0; i < CFC_PULL_LONG_MAX; i++) {
        CU_ASSERT_FATAL(next(T0, CFC_PULL_SNAPSHOT));
        jobs[i] = job;
    }
    CU_ASSERT_FALSE(next(T0, CFC_PULL_SNAPSHOT)); /* 17 are due, 16 go */
    job = jobs[3];
    done(200, T0);
    CU_ASSERT(next(T0, CFC_PULL_SNAPSHOT));
    CU_ASSERT_EQUAL(job.scope_idx, CFC_PULL_LONG_MAX);
    job = jobs[4];
    done(200, T0);
    CU_ASSERT_FALSE(next(T0 + WAIT * 7 / 8 - 1, CFC_PULL_SNAPSHOT));
    CU_ASSERT(next(T0 + WAIT, CFC_PULL_SNAPSHOT));
    CU_ASSERT_EQUAL(job.wait_s, 0);
    CU_ASSERT(job.scope_idx == 3 || job.scope_idx == 4);
}

static void
failures_back_off_doubling_half_of_it_random_and_rotate(void)
{
    uint64_t now_ns = T0;
    uint64_t spacing_ns = RETRY;

    open_with(3, 1, 7);
    for (int i = 0; i < 12; i++) {
        uint64_t wait_ns;

        CU_ASSERT_FATAL(next(now_ns, CFC_PULL_HELLO));
        CU_ASSERT_EQUAL(job.url_idx, (uint32_t)i % 3);
        done(i % 2 == 0 ? 0 : 500, now_ns);
        wait_ns = cfc_pull_deadline(&p, CFC_NEVER) - now_ns;
        CU_ASSERT(wait_ns >= spacing_ns / 2 && wait_ns <= spacing_ns);
        CU_ASSERT(is_quiet(now_ns + wait_ns - 1));
        now_ns += wait_ns;
        spacing_ns = 2 * spacing_ns < MAX ? 2 * spacing_ns : MAX;
    }
    CU_ASSERT_FATAL(next(now_ns, CFC_PULL_HELLO));
    done(200, now_ns);
    CU_ASSERT_FATAL(next(now_ns, CFC_PULL_SNAPSHOT));
    done(503, now_ns);
    CU_ASSERT(cfc_pull_deadline(&p, CFC_NEVER) - now_ns >= MAX / 2); /* a HELLO is no success */
    now_ns += MAX;
    greet(now_ns);
    CU_ASSERT_FATAL(next(now_ns, CFC_PULL_SNAPSHOT));
    done(200, now_ns);
    CU_ASSERT_FATAL(next(now_ns, CFC_PULL_SNAPSHOT));
    done(503, now_ns);
    CU_ASSERT(cfc_pull_deadline(&p, CFC_NEVER) - now_ns <= RETRY); /* a snapshot begins anew */
}

static void
consumers_do_not_come_back_together(void)
{
    uint64_t lowest = CFC_NEVER;
    uint64_t highest = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t deadline_ns;

        open_with(1, 1, seed * 7919);
        CU_ASSERT_FATAL(next(T0, CFC_PULL_HELLO));
        done(0, T0);
        deadline_ns = cfc_pull_deadline(&p, CFC_NEVER);
        lowest = deadline_ns < lowest ? deadline_ns : lowest;
        highest = deadline_ns > highest ? deadline_ns : highest;
    }
    CU_ASSERT(highest - lowest > RETRY / 2 * 9 / 10);
}

static void
requests_that_fail_together_count_once(void)
{
    struct cfc_pull_job jobs[4];

    open_with(2, 4, 1);
    greet(T0);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_FATAL(next(T0, CFC_PULL_SNAPSHOT));
        jobs[i] = job;
    }
    for (int i = 0; i < 4; i++) {
        job = jobs[i];
        done(0, T0 + CFC_S);
    }
    CU_ASSERT_EQUAL(p.tries, 1);
    CU_ASSERT_EQUAL(p.url_idx, 1);
    CU_ASSERT(cfc_pull_deadline(&p, CFC_NEVER) <= T0 + CFC_S + RETRY);
}

static void
a_server_that_names_a_time_is_left_alone_for_it(void)
{
    struct cfc_pull_outcome busy = {.status = 503, .retry_s = 20};

    open_with(1, 1, 1);
    greet(T0);
    CU_ASSERT_FATAL(next(T0, CFC_PULL_SNAPSHOT));
    cfc_pull_done(&p, &job, &busy, T0);
    CU_ASSERT(is_quiet(T0 + 20 * CFC_S));
    CU_ASSERT(next(T0 + 21 * CFC_S, CFC_PULL_HELLO));
}

static void
a_new_nonce_is_used_at_once_and_a_second_refusal_is_a_failure(void)
{
    struct cfc_pull_outcome refused = {.status = 401, .has_nonce = true, .nonce = {1, 2, 3}};

    open_with(1, 1, 1);
    CU_ASSERT_FATAL(next(T0, CFC_PULL_HELLO));
    CU_ASSERT_EQUAL(job.nonce[0], 0);
    CU_ASSERT_FALSE(cfc_pull_done(&p, &job, &refused, T0));
    CU_ASSERT_FATAL(next(T0, CFC_PULL_HELLO));
    CU_ASSERT_EQUAL(memcmp(job.nonce, refused.nonce, sizeof(job.nonce)), 0);
    cfc_pull_done(&p, &job, &refused, T0);
    CU_ASSERT(is_quiet(T0 + RETRY / 2 - 1));
    CU_ASSERT(next(T0 + RETRY, CFC_PULL_HELLO));
    CU_ASSERT(done(200, T0 + RETRY));
    CU_ASSERT_FATAL(next(T0 + RETRY, CFC_PULL_SNAPSHOT));
    done(200, T0 + RETRY);

    /* One that ended meanwhile costs a new HELLO and no time. */
    CU_ASSERT_FATAL(next(T0 + RETRY, CFC_PULL_SNAPSHOT));
    refused.nonce[0] = 9;
    cfc_pull_done(&p, &job, &refused, T0 + MAX);
    CU_ASSERT_FATAL(next(T0 + MAX, CFC_PULL_HELLO));
    CU_ASSERT_EQUAL(job.nonce[0], 9);
    CU_ASSERT(done(200, T0 + MAX));
    CU_ASSERT(next(T0 + MAX, CFC_PULL_SNAPSHOT));
    refused.nonce[0] = 10;
    cfc_pull_done(&p, &job, &refused, T0 + MAX); /* again, though the HELLO was taken */
    CU_ASSERT(is_quiet(T0 + MAX + RETRY / 2 - 1));
    greet(T0 + MAX + RETRY);
    CU_ASSERT(next(T0 + MAX + RETRY, CFC_PULL_SNAPSHOT));

    /* Without a new nonce there is nothing to try. */
    refused.has_nonce = false;
    cfc_pull_done(&p, &job, &refused, T0 + 2 * MAX);
    CU_ASSERT(is_quiet(T0 + 2 * MAX));
}

/* Requests under one nonce fail together when it ends. */
static void
a_nonce_that_ends_under_many_requests_costs_one_hello(void)
{
    struct cfc_pull_outcome refused = {.status = 401, .has_nonce = true, .nonce = {1}};
    struct cfc_pull_job jobs[4];

    open_with(1, 4, 1);
    greet(T0);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_FATAL(next(T0, CFC_PULL_SNAPSHOT));
        jobs[i] = job;
    }
    for (int i = 0; i < 4; i++) {
        cfc_pull_done(&p, &jobs[i], &refused, T0 + 1);
    }
    CU_ASSERT_EQUAL(p.tries, 0);
    greet(T0 + 1);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT(next(T0 + 1, CFC_PULL_SNAPSHOT));
    }
}

static void
answers_that_bring_a_scope_no_further_slow_that_scope_alone(void)
{
    struct cfc_pull_outcome lacking = {.status = 200, .is_lacking = true, .is_progress = true};
    struct cfc_pull_outcome early = {.status = 200};
    uint64_t now_ns = T0;

    open_with(1, 2, 1);
    greet(T0);
    for (int i = 0; i < 6; i++) {
        do {
            CU_ASSERT_FATAL(next(now_ns, CFC_PULL_SNAPSHOT));
        } while (job.scope_idx != 0);
        cfc_pull_done(&p, &job, &lacking, now_ns);
        CU_ASSERT(p.scopes[0].at_ns >= now_ns + (RETRY << i) / 2);
        now_ns = p.scopes[0].at_ns;
    }
    CU_ASSERT_EQUAL(p.state, CFC_PULL_STATE_POLLING);
    CU_ASSERT_EQUAL(p.tries, 0);

    /* A server that answers long before its time, without anything new. */
    open_with(1, 1, 1);
    greet(T0);
    CU_ASSERT_FATAL(next(T0, CFC_PULL_SNAPSHOT));
    cfc_pull_done(&p, &job, &early, T0);
    CU_ASSERT_FATAL(next(T0, CFC_PULL_SNAPSHOT));
    CU_ASSERT_EQUAL(job.wait_s, 10);
    cfc_pull_done(&p, &job, &early, T0 + CFC_MS);
    CU_ASSERT_FALSE(next(T0 + CFC_MS, CFC_PULL_SNAPSHOT));
    CU_ASSERT(next(T0 + RETRY + CFC_MS, CFC_PULL_SNAPSHOT));
    cfc_pull_done(&p, &job, &early, T0 + RETRY + 2 * CFC_MS); /* a quick one: nothing is wrong */
    CU_ASSERT_FATAL(next(T0 + CFC_S, CFC_PULL_SNAPSHOT));
    cfc_pull_done(&p, &job, &early, T0 + CFC_S + 1); /* and nothing is right: it waits longer */
    CU_ASSERT(p.scopes[0].at_ns > T0 + CFC_S + RETRY);
    CU_ASSERT_FATAL(next(T0 + CFC_S + 3 * RETRY, CFC_PULL_SNAPSHOT));
    cfc_pull_done(&p, &job, &early, T0 + CFC_S + 3 * RETRY);
    CU_ASSERT_FATAL(next(T0 + CFC_S + 3 * RETRY, CFC_PULL_SNAPSHOT));
    cfc_pull_done(&p, &job, &early, T0 + 11 * CFC_S); /* after its time: nothing new is fine */
    CU_ASSERT(next(T0 + 11 * CFC_S, CFC_PULL_SNAPSHOT));
}

static void
one_report_is_under_way_at_a_time(void)
{
    struct cfc_pull_job poll;

    open_with(1, 1, 1);
    greet(T0);
    CU_ASSERT(next(T0, CFC_PULL_SNAPSHOT));
    poll = job;
    CU_ASSERT_EQUAL(cfc_pull_deadline(&p, T0 + 5), T0 + 5);
    CU_ASSERT_EQUAL(cfc_pull_next(&p, true, T0 + 5, &job), CONFCAST_OK);
    CU_ASSERT_EQUAL(job.kind, CFC_PULL_ACK);
    CU_ASSERT(is_quiet(T0 + 5));
    CU_ASSERT_EQUAL(cfc_pull_deadline(&p, T0), CFC_NEVER);
    CU_ASSERT_FALSE(done(200, T0 + 6));
    CU_ASSERT_EQUAL(cfc_pull_next(&p, true, T0 + 7, &job), CONFCAST_OK);
    CU_ASSERT_EQUAL(job.kind, CFC_PULL_ACK);
    job = poll;
    done(200, T0 + 8);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(nothing_goes_before_start_and_after_stop),
    CFC_CASE(a_hello_goes_first_and_alone),
    CFC_CASE(the_first_request_of_a_scope_does_not_wait_and_the_next_ones_do),
    CFC_CASE(up_to_16_scopes_wait_each_and_more_take_turns),
    CFC_CASE(failures_back_off_doubling_half_of_it_random_and_rotate),
    CFC_CASE(consumers_do_not_come_back_together),
    CFC_CASE(requests_that_fail_together_count_once),
    CFC_CASE(a_server_that_names_a_time_is_left_alone_for_it),
    CFC_CASE(a_new_nonce_is_used_at_once_and_a_second_refusal_is_a_failure),
    CFC_CASE(a_nonce_that_ends_under_many_requests_costs_one_hello),
    CFC_CASE(answers_that_bring_a_scope_no_further_slow_that_scope_alone),
    CFC_CASE(one_report_is_under_way_at_a_time),
};

CFC_TEST_MAIN("pull", cases)
