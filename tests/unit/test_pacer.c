#include "protocol/session/pacer.h"

#include "protocol/base/prng.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

static void
full_bucket_passes_its_burst_at_once_and_no_more(void)
{
    struct cfc_pacer p;

    cfc_pacer_init(&p, 1000, 100, 5);
    CU_ASSERT_TRUE(cfc_pacer_try(&p, 60, 5));
    CU_ASSERT_FALSE(cfc_pacer_try(&p, 41, 5));
    CU_ASSERT_TRUE(cfc_pacer_try(&p, 40, 5));
    CU_ASSERT_FALSE(cfc_pacer_try(&p, 1, 5));
}

static void
units_come_back_at_the_rate(void)
{
    struct cfc_pacer p;

    cfc_pacer_init(&p, 1000, 100, 0);
    CU_ASSERT_TRUE(cfc_pacer_try(&p, 100, 0));
    CU_ASSERT_FALSE(cfc_pacer_has(&p, 1, CFC_MS - 1));
    CU_ASSERT_TRUE(cfc_pacer_has(&p, 1, CFC_MS));
    CU_ASSERT_FALSE(cfc_pacer_has(&p, 11, 11 * CFC_MS - 1));
    CU_ASSERT_TRUE(cfc_pacer_has(&p, 11, 11 * CFC_MS));
}

static void
fractions_of_a_unit_are_not_lost_by_asking_often(void)
{
    struct cfc_pacer p;
    uint32_t passed = 0;

    cfc_pacer_init(&p, 3, 1, 0);
    CU_ASSERT_TRUE(cfc_pacer_try(&p, 1, 0));
    for (uint64_t now_ns = 1; now_ns <= 10 * CFC_S; now_ns += 7 * CFC_MS + 1) {
        passed += cfc_pacer_try(&p, 1, now_ns);
    }
    CU_ASSERT_TRUE(passed >= 29 && passed <= 30);
}

static void
idleness_fills_no_more_than_the_burst(void)
{
    struct cfc_pacer p;

    cfc_pacer_init(&p, CFC_PACER_RATE_MAX, CFC_PACER_BURST_MAX, 0);
    CU_ASSERT_TRUE(cfc_pacer_try(&p, CFC_PACER_BURST_MAX, 0));
    CU_ASSERT_TRUE(cfc_pacer_has(&p, CFC_PACER_BURST_MAX, UINT64_MAX));
    CU_ASSERT_FALSE(cfc_pacer_has(&p, CFC_PACER_BURST_MAX + 1, UINT64_MAX));
    /* What was earned would be 2^64 units. */
    cfc_pacer_init(&p, UINT64_C(1) << 33, CFC_PACER_BURST_MAX, 0);
    CU_ASSERT_TRUE(cfc_pacer_try(&p, CFC_PACER_BURST_MAX, 0));
    CU_ASSERT_TRUE(cfc_pacer_has(&p, CFC_PACER_BURST_MAX, (UINT64_C(1) << 31) * CFC_S));
    cfc_pacer_init(&p, 1, 1, 0);
    CU_ASSERT_TRUE(cfc_pacer_try(&p, 1, 0));
    CU_ASSERT_TRUE(cfc_pacer_try(&p, 1, 3600 * CFC_S));
    CU_ASSERT_FALSE(cfc_pacer_try(&p, 1, 3600 * CFC_S));
}

static void
time_that_stands_still_or_goes_back_earns_nothing(void)
{
    struct cfc_pacer p;

    cfc_pacer_init(&p, 1000000, 10, 100 * CFC_S);
    CU_ASSERT_TRUE(cfc_pacer_try(&p, 10, 100 * CFC_S));
    CU_ASSERT_FALSE(cfc_pacer_try(&p, 1, 100 * CFC_S));
    CU_ASSERT_FALSE(cfc_pacer_try(&p, 1, 1));
    CU_ASSERT_FALSE(cfc_pacer_try(&p, 1, 100 * CFC_S + 999));
    CU_ASSERT_TRUE(cfc_pacer_try(&p, 1, 100 * CFC_S + 1000));
}

static void
rate_zero_lets_everything_pass(void)
{
    struct cfc_pacer p;

    cfc_pacer_init(&p, 0, 1, 0);
    CU_ASSERT_TRUE(cfc_pacer_try(&p, UINT64_MAX, 0));
    CU_ASSERT_TRUE(cfc_pacer_try(&p, UINT64_MAX, 0));
    CU_ASSERT_EQUAL(cfc_pacer_ready_ns(&p, UINT64_MAX), 0);
}

static void
amount_above_the_burst_is_never_ready(void)
{
    struct cfc_pacer p;

    cfc_pacer_init(&p, 10, 100, 0);
    CU_ASSERT_FALSE(cfc_pacer_has(&p, 101, CFC_S));
    CU_ASSERT_EQUAL(cfc_pacer_ready_ns(&p, 101), CFC_NEVER);
    CU_ASSERT_EQUAL(cfc_pacer_ready_ns(&p, 100), 0);
}

static void
ready_time_is_the_first_moment_at_which_the_amount_passes(void)
{
    struct cfc_prng prng = {.state = 3};

    for (uint32_t round = 0; round < 10000; round++) {
        uint64_t rate = 1 + cfc_prng_below(&prng, round % 2 == 0 ? 1000 : CFC_PACER_RATE_MAX);
        uint64_t burst = 1 + cfc_prng_below(&prng, 100000);
        uint64_t amount = 1 + cfc_prng_below(&prng, burst);
        uint64_t now_ns = cfc_prng_below(&prng, CFC_S);
        struct cfc_pacer p;
        uint64_t ready_ns;

        cfc_pacer_init(&p, rate, burst, 0);
        CU_ASSERT_TRUE(cfc_pacer_try(&p, burst, 0));
        cfc_pacer_has(&p, 1, now_ns);
        ready_ns = cfc_pacer_ready_ns(&p, amount);
        if (ready_ns == 0) {
            CU_ASSERT_TRUE(cfc_pacer_has(&p, amount, now_ns));
            continue;
        }
        CU_ASSERT_TRUE(ready_ns > now_ns);
        CU_ASSERT_FALSE(cfc_pacer_has(&p, amount, ready_ns - 1));
        CU_ASSERT_TRUE(cfc_pacer_has(&p, amount, ready_ns));
    }
}

static void
no_span_of_time_passes_more_than_burst_and_rate_allow(void)
{
    enum {
        RATE = 125000,
        BURST = 3000,
        EVENTS = 3000
    };
    static uint64_t at_ns[EVENTS];
    static uint64_t total[EVENTS + 1];
    struct cfc_prng prng = {.state = 4};
    struct cfc_pacer p;
    uint64_t now_ns = 0;

    cfc_pacer_init(&p, RATE, BURST, 0);
    for (uint32_t i = 0; i < EVENTS; i++) {
        uint64_t amount = 1 + cfc_prng_below(&prng, 1472);

        now_ns += cfc_prng_below(&prng, 20 * CFC_MS);
        at_ns[i] = now_ns;
        total[i + 1] = total[i] + (cfc_pacer_try(&p, amount, now_ns) ? amount : 0);
    }
    for (uint32_t first = 0; first < EVENTS; first++) {
        for (uint32_t last = first; last < EVENTS; last += 37) {
            uint64_t span_ns = at_ns[last] - at_ns[first];

            CU_ASSERT_TRUE_FATAL(total[last + 1] - total[first] <=
                                 BURST + span_ns * RATE / CFC_S + 1);
        }
    }
    CU_ASSERT_TRUE(total[EVENTS] > RATE * (now_ns / CFC_S) / 2);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(full_bucket_passes_its_burst_at_once_and_no_more),
    CFC_CASE(units_come_back_at_the_rate),
    CFC_CASE(fractions_of_a_unit_are_not_lost_by_asking_often),
    CFC_CASE(idleness_fills_no_more_than_the_burst),
    CFC_CASE(time_that_stands_still_or_goes_back_earns_nothing),
    CFC_CASE(rate_zero_lets_everything_pass),
    CFC_CASE(amount_above_the_burst_is_never_ready),
    CFC_CASE(ready_time_is_the_first_moment_at_which_the_amount_passes),
    CFC_CASE(no_span_of_time_passes_more_than_burst_and_rate_allow),
};

CFC_TEST_MAIN("pacer", cases)
