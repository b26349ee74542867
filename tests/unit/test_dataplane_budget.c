/* A bucket that several threads draw from: the cap, the reserve, other rates, and threads at once.
 */
#include "dataplane/budget.h"

#include <pthread.h>
#include <stdio.h>

#include "protocol/base/time.h"
#include "protocol/session/pacer.h"
#include "tests/unit/cunit_main.h"

enum {
    THREADS = 4,
    STEPS = 200000
};

static void
a_full_bucket_gives_its_burst_and_then_what_was_earned(void)
{
    static struct cfc_budget b; /* aligned, which a stack under ASan is not */
    uint64_t ready_ns = 0;

    cfc_budget_init(&b, 1000, 500, 10 * CFC_S);
    CU_ASSERT_EQUAL(cfc_budget_level(&b, 10 * CFC_S), 500);
    CU_ASSERT_TRUE(cfc_budget_draw(&b, 500, 0, 10 * CFC_S, &ready_ns));
    CU_ASSERT_EQUAL(cfc_budget_level(&b, 10 * CFC_S), 0);
    CU_ASSERT_FALSE(cfc_budget_draw(&b, 100, 0, 10 * CFC_S, &ready_ns));
    CU_ASSERT_EQUAL(ready_ns, 10 * CFC_S + 100 * CFC_MS);
    CU_ASSERT_FALSE(cfc_budget_draw(&b, 100, 0, ready_ns - 1, &ready_ns));
    CU_ASSERT_TRUE(cfc_budget_draw(&b, 100, 0, ready_ns, &ready_ns));
}

static void
a_bucket_holds_no_more_than_its_burst(void)
{
    static struct cfc_budget b; /* aligned, which a stack under ASan is not */
    uint64_t ready_ns;

    cfc_budget_init(&b, 1000, 500, 0);
    CU_ASSERT_EQUAL(cfc_budget_level(&b, 1000 * CFC_S), 500);
    CU_ASSERT_TRUE(cfc_budget_draw(&b, 500, 0, 1000 * CFC_S, &ready_ns));
    CU_ASSERT_FALSE(cfc_budget_draw(&b, 1, 0, 1000 * CFC_S, &ready_ns));
}

static void
a_reserve_is_left_for_those_who_ask_for_none(void)
{
    static struct cfc_budget b; /* aligned, which a stack under ASan is not */
    uint64_t ready_ns;

    cfc_budget_init(&b, 1000, 500, 10 * CFC_S);
    CU_ASSERT_TRUE(cfc_budget_draw(&b, 300, 200, 10 * CFC_S, &ready_ns));
    CU_ASSERT_FALSE(cfc_budget_draw(&b, 1, 200, 10 * CFC_S, &ready_ns));
    CU_ASSERT_EQUAL(ready_ns, 10 * CFC_S + CFC_MS);
    CU_ASSERT_TRUE(cfc_budget_draw(&b, 200, 0, 10 * CFC_S, &ready_ns));
}

static void
another_rate_holds_from_then_on(void)
{
    static struct cfc_budget b; /* aligned, which a stack under ASan is not */
    uint64_t ready_ns;

    cfc_budget_init(&b, 1000, 500, 10 * CFC_S);
    CU_ASSERT_TRUE(cfc_budget_draw(&b, 500, 0, 10 * CFC_S, &ready_ns));
    cfc_budget_set_rate(&b, 100);
    CU_ASSERT_FALSE(cfc_budget_draw(&b, 100, 0, 10 * CFC_S + 999 * CFC_MS, &ready_ns));
    CU_ASSERT_TRUE(cfc_budget_draw(&b, 100, 0, 11 * CFC_S, &ready_ns));
    CU_ASSERT_FALSE(cfc_budget_draw(&b, 1, 0, 11 * CFC_S, &ready_ns));
}

static void
the_largest_rate_and_burst_do_not_overflow(void)
{
    static struct cfc_budget b; /* aligned, which a stack under ASan is not */
    uint64_t ready_ns;

    cfc_budget_init(&b, CFC_PACER_RATE_MAX, CFC_PACER_BURST_MAX, UINT64_C(1) << 62);
    CU_ASSERT_EQUAL(cfc_budget_level(&b, UINT64_C(1) << 62), CFC_PACER_BURST_MAX);
    CU_ASSERT_TRUE(cfc_budget_draw(&b, CFC_PACER_BURST_MAX, 0, UINT64_C(1) << 62, &ready_ns));
    CU_ASSERT_FALSE(cfc_budget_draw(&b, 1, 0, UINT64_C(1) << 62, &ready_ns));
    cfc_budget_init(&b, 1, 1, 0);
    CU_ASSERT_EQUAL(cfc_budget_level(&b, 0), 0);
    CU_ASSERT_FALSE(cfc_budget_draw(&b, 1, 0, 0, &ready_ns));
    CU_ASSERT_EQUAL(ready_ns, CFC_S);
}

/* One of several that draw as fast as they can while a common clock runs. */
struct drawer {
    struct cfc_budget *budget;
    _Atomic uint64_t *clock_ns;
    uint64_t reserve;
    uint64_t drawn;
};

static void *
draw(void *arg)
{
    struct drawer *d = arg;
    uint64_t ready_ns;

    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t now_ns = atomic_fetch_add(d->clock_ns, 100);

        if (cfc_budget_draw(d->budget, 1000, d->reserve, now_ns, &ready_ns)) {
            d->drawn += 1000;
        }
    }
    return NULL;
}

static void
threads_together_draw_no_more_than_the_cap_and_lose_nothing_of_it(void)
{
    const uint64_t rate = 1000000000;
    const uint64_t burst = 64000;
    _Atomic uint64_t clock_ns = CFC_S;
    struct drawer drawers[THREADS];
    pthread_t threads[THREADS];
    static struct cfc_budget b; /* aligned, which a stack under ASan is not */
    uint64_t sum = 0;
    uint64_t earned;

    cfc_budget_init(&b, rate, burst, CFC_S);
    for (uint32_t i = 0; i < THREADS; i++) {
        drawers[i] =
            (struct drawer){.budget = &b, .clock_ns = &clock_ns, .reserve = i == 0 ? 0 : burst / 4};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, draw, &drawers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += drawers[i].drawn;
    }
    earned = (atomic_load(&clock_ns) - CFC_S) * rate / CFC_S;
    CU_ASSERT_TRUE(sum <= burst + earned);
    /* What is left is in the bucket: nothing was drawn and forgotten. */
    CU_ASSERT_TRUE(sum + cfc_budget_level(&b, atomic_load(&clock_ns)) + THREADS * 1000 >= earned);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_full_bucket_gives_its_burst_and_then_what_was_earned),
    CFC_CASE(a_bucket_holds_no_more_than_its_burst),
    CFC_CASE(a_reserve_is_left_for_those_who_ask_for_none),
    CFC_CASE(another_rate_holds_from_then_on),
    CFC_CASE(the_largest_rate_and_burst_do_not_overflow),
    CFC_CASE(threads_together_draw_no_more_than_the_cap_and_lose_nothing_of_it),
};

int
main(void)
{
    return cfc_test_main("dataplane_budget", cases, sizeof(cases) / sizeof(cases[0]));
}
