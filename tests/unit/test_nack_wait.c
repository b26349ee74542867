#include <stdlib.h>

#include "protocol/session/ask.h"
#include "protocol/session/nack_wait.h"
#include "tests/unit/cunit_main.h"

enum {
    MAX_COUNT = 1 << 20
};

/* Of `count` waits in the window of a fleet of `fleet`, those within `ns` of the first. */
static uint32_t
heard(uint32_t fleet, uint32_t count, uint64_t ns)
{
    struct cfc_prng prng = {.state = fleet};
    uint64_t *waits = malloc(count * sizeof(waits[0]));
    uint64_t first = UINT64_MAX;
    uint32_t sum = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(waits);
    for (uint32_t i = 0; i < count; i++) {
        waits[i] = cfc_nack_wait_draw(&prng, fleet * CFC_NACK_SERVE_US);
        first = waits[i] < first ? waits[i] : first;
    }
    for (uint32_t i = 0; i < count; i++) {
        sum += waits[i] <= first + ns;
    }
    free(waits);
    return sum;
}

static void
waits_lie_within_the_longest_and_reach_both_ends(void)
{
    static const uint32_t windows[] = {1, 2, 50, 2000, 200000, 2000000, UINT32_MAX};

    for (uint32_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        struct cfc_prng prng = {.state = i};
        uint64_t longest = cfc_nack_wait_longest(windows[i]), most = 0;

        CU_ASSERT(longest <= CFC_NACK_WAIT_US * CFC_US);
        for (uint32_t n = 0; n < 10000; n++) {
            uint64_t wait = cfc_nack_wait_draw(&prng, windows[i]);

            CU_ASSERT_FATAL(wait <= longest);
            most = wait > most ? wait : most;
        }
        CU_ASSERT(most >= longest - longest / 100);
    }
    CU_ASSERT_EQUAL(cfc_nack_wait_draw(&(struct cfc_prng){1}, 0), 0);
}

static void
those_who_ask_while_a_repair_is_made_are_few_in_every_fleet(void)
{
    for (uint32_t fleet = 1000; fleet <= MAX_COUNT; fleet *= 10) {
        CU_ASSERT(heard(fleet, fleet, 1500 * CFC_US) <= 100);
        CU_ASSERT(heard(fleet, fleet / 2, 1500 * CFC_US) <= 100);
        CU_ASSERT(heard(fleet, fleet / 100, 1500 * CFC_US) <= 100);
    }
}

static void
the_window_of_a_small_fleet_is_short(void)
{
    CU_ASSERT(cfc_nack_wait_longest(25 + 8 * CFC_NACK_SERVE_US) < 200 * CFC_US);
    CU_ASSERT_EQUAL(cfc_nack_wait_longest(UINT32_MAX), CFC_NACK_WAIT_US * CFC_US);
    CU_ASSERT_EQUAL(cfc_nack_wait_longest(1999), 7996 * CFC_US);
    CU_ASSERT_EQUAL(cfc_nack_wait_longest(2000), 8000 * CFC_US);
}

static void
a_nack_waits_for_what_is_due_and_for_its_session(void)
{
    struct cfc_nack_wait wait = {.seed = 5, .from_ns = 10 * CFC_S};
    uint64_t due_ns = cfc_nack_wait_due(&wait, 20 * CFC_S, 1000);

    CU_ASSERT_EQUAL(cfc_nack_wait_due(&wait, CFC_S, 1000), 10 * CFC_S);
    CU_ASSERT(due_ns > 20 * CFC_S && due_ns <= 20 * CFC_S + cfc_nack_wait_longest(1000));
    CU_ASSERT_EQUAL(cfc_nack_wait_due(&wait, 20 * CFC_S, 1000), due_ns);
    CU_ASSERT_EQUAL(cfc_nack_wait_due(&wait, CFC_NEVER, 1000), CFC_NEVER);
    CU_ASSERT_EQUAL(cfc_nack_wait_due(&wait, CFC_NEVER - 1, 1000), CFC_NEVER);
    cfc_nack_wait_sent(&wait, true);
    CU_ASSERT_EQUAL(cfc_nack_wait_due(&wait, 20 * CFC_S, 1000), 20 * CFC_S);
    cfc_nack_wait_sent(&wait, false);
    CU_ASSERT_EQUAL(cfc_nack_wait_due(&wait, 20 * CFC_S, 1000), due_ns);
}

/* Those who waited long and were put off do not stay the ones that wait long. */
static void
each_loss_has_a_wait_of_its_own(void)
{
    uint64_t longest = cfc_nack_wait_longest(1000);
    uint32_t both = 0, first = 0, second = 0;

    for (uint64_t i = 0; i < 10000; i++) {
        struct cfc_nack_wait wait = {.seed = i * UINT64_C(0x9e3779b97f4a7c15)};
        bool is_early = cfc_nack_wait_due(&wait, CFC_S, 1000) < CFC_S + longest / 2;
        bool is_early_again = cfc_nack_wait_due(&wait, 2 * CFC_S, 1000) < 2 * CFC_S + longest / 2;

        first += is_early;
        second += is_early_again;
        both += is_early && is_early_again;
    }
    CU_ASSERT(first > 100 && second > 100);
    CU_ASSERT(both * 10000 < 3 * first * second);
}

static void
what_never_comes_is_asked_for_more_rarely_in_a_larger_fleet(void)
{
    static const struct {
        uint32_t fleet;
        uint8_t doublings; /* of 5 ms */
    } rows[] = {{0, 5}, {1, 5}, {1600, 5}, {1601, 6}, {100000, 11}, {1000000, 15}, {10000000, 15}};

    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_EQUAL(cfc_nack_wait_doublings(rows[i].fleet * CFC_NACK_SERVE_US, 5 * CFC_MS),
                        rows[i].doublings);
    }
}

static void
an_ask_doubles_its_spacing_up_to_the_limit(void)
{
    struct cfc_ask ask = {.at_ns = 0};

    for (uint32_t i = 0; i < 10; i++) {
        cfc_ask_sent(&ask, 3, 7, 1000);
        CU_ASSERT_EQUAL(ask.at_ns, 1000 + (UINT64_C(3) << (i < 7 ? i : 7)));
    }
    cfc_ask_restart(&ask, 5);
    CU_ASSERT_EQUAL(ask.tries, 0);
    cfc_ask_back_off(&ask, 3, 7, 1000);
    CU_ASSERT_EQUAL(ask.at_ns, 1000 + (3 << 7));
}

static void
an_answer_is_expected_after_the_mean_and_four_deviations(void)
{
    struct cfc_answer_time time = {0};

    CU_ASSERT_EQUAL(cfc_answer_time_first(&time, 5 * CFC_MS), 0); /* nothing is known */
    cfc_answer_time_note(&time, 800 * CFC_US);
    CU_ASSERT_EQUAL(time.mean_ns, 800 * CFC_US);
    CU_ASSERT_EQUAL(cfc_answer_time_first(&time, 5 * CFC_MS), 2400 * CFC_US);
    for (int i = 0; i < 100; i++) {
        cfc_answer_time_note(&time, 800 * CFC_US);
    }
    CU_ASSERT_EQUAL(cfc_answer_time_first(&time, 5 * CFC_MS), CFC_ANSWER_MIN_NS); /* no sooner */
    cfc_answer_time_note(&time, 20 * CFC_MS);
    CU_ASSERT_EQUAL(cfc_answer_time_first(&time, 5 * CFC_MS), 5 * CFC_MS); /* no later */
    CU_ASSERT_EQUAL(cfc_answer_time_first(&time, CFC_S), time.mean_ns + 4 * time.deviation_ns);
}

static void
what_is_not_answered_when_it_could_be_is_asked_for_once_more_at_once(void)
{
    static const uint64_t spacings_ms[] = {1, 5, 10, 20, 20};
    struct cfc_ask ask;
    uint64_t now_ns = CFC_S;

    cfc_ask_restart(&ask, now_ns);
    for (uint32_t i = 0; i < sizeof(spacings_ms) / sizeof(spacings_ms[0]); i++) {
        cfc_ask_sent_first(&ask, CFC_MS, 5 * CFC_MS, 2, now_ns);
        CU_ASSERT_EQUAL(ask.at_ns, now_ns + spacings_ms[i] * CFC_MS);
        now_ns = ask.at_ns;
    }
    cfc_ask_restart(&ask, now_ns);
    cfc_ask_sent_first(&ask, 0, 5 * CFC_MS, 2, now_ns);
    CU_ASSERT_EQUAL(ask.at_ns, now_ns + 5 * CFC_MS);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(waits_lie_within_the_longest_and_reach_both_ends),
    CFC_CASE(those_who_ask_while_a_repair_is_made_are_few_in_every_fleet),
    CFC_CASE(the_window_of_a_small_fleet_is_short),
    CFC_CASE(a_nack_waits_for_what_is_due_and_for_its_session),
    CFC_CASE(each_loss_has_a_wait_of_its_own),
    CFC_CASE(what_never_comes_is_asked_for_more_rarely_in_a_larger_fleet),
    CFC_CASE(an_ask_doubles_its_spacing_up_to_the_limit),
    CFC_CASE(an_answer_is_expected_after_the_mean_and_four_deviations),
    CFC_CASE(what_is_not_answered_when_it_could_be_is_asked_for_once_more_at_once),
};

CFC_TEST_MAIN("nack_wait", cases)
