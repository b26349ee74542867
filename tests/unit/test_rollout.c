/* The verdict on a stage, and the share that has to be prepared: both sides of every limit. */
#include "controlplane/model/rollout.h"

#include "tests/unit/cunit_main.h"

static char reason[CFC_REASON_SIZE_MAX + 1];

/* 1,000 consumers, 100 of them in the candidate's arm; all is well. */
static struct cfc_rollout_counts
healthy(void)
{
    return (struct cfc_rollout_counts){.total = 1000,
                                       .alive = 1000,
                                       .prepared = 1000,
                                       .applied = 1000,
                                       .timely = 1000,
                                       .timely_prepared = 1000,
                                       .candidate = 100,
                                       .candidate_applied = 100,
                                       .stable = 900,
                                       .published_unix_ns = 1};
}

static enum cfc_rollout_verdict
judge(const struct cfc_rollout_counts *counts, bool is_baked)
{
    static const struct cfc_rollout_limits limits;

    reason[0] = '\0';
    return cfc_rollout_judge(counts, &limits, is_baked, reason);
}

static void
a_healthy_stage_goes_on_only_after_its_bake(void)
{
    struct cfc_rollout_counts counts = healthy();

    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_WAIT);
    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_GO);
    CU_ASSERT_STRING_EQUAL(reason, "");
}

static void
one_percent_may_lack_and_one_more_stops(void)
{
    struct cfc_rollout_counts counts = healthy();

    counts.applied = 990;
    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_GO);
    counts.applied = 989;
    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_WAIT);
    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_STOP);
    CU_ASSERT_STRING_EQUAL(reason, "989 of 1000 consumers that are alive serve the stage");
}

static void
a_small_fleet_tolerates_nothing(void)
{
    struct cfc_rollout_counts counts = healthy();

    counts.total = counts.alive = 99;
    counts.candidate = counts.candidate_applied = 9;
    counts.applied = 98;
    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_STOP);
    counts.applied = 99;
    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_GO);
    counts.silent = 1;
    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_STOP);
}

static void
rejections_are_compared_with_the_stable_arm_and_stop_at_once(void)
{
    struct cfc_rollout_counts counts = healthy();

    counts.candidate_rejected = 1;
    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_WAIT);
    counts.candidate_rejected = 2;
    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_STOP);
    CU_ASSERT_STRING_EQUAL(reason,
                           "2 of 100 consumers of the candidate reject it, 0 of 900 of the rest");
    counts.stable_rejected = 9;
    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_WAIT);
    counts.candidate_rejected = 3;
    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_STOP);
    counts.stable = counts.stable_rejected = 0;
    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_STOP);
}

static void
consumers_that_fall_silent_stop_it_at_once(void)
{
    struct cfc_rollout_counts counts = healthy();

    counts.silent = 10;
    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_WAIT);
    counts.silent = 11;
    CU_ASSERT_EQUAL(judge(&counts, false), CFC_ROLLOUT_STOP);
    CU_ASSERT_STRING_EQUAL(reason, "11 of 1000 consumers fell silent during the stage");
}

static void
missing_reports_are_not_health(void)
{
    struct cfc_rollout_counts counts = {.published_unix_ns = 1};

    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_STOP);
    CU_ASSERT_STRING_EQUAL(reason, "no consumer reports that it serves the candidate");
    counts = healthy();
    counts.candidate = counts.candidate_applied = 0;
    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_STOP);
    counts = healthy();
    counts.published_unix_ns = 0;
    CU_ASSERT_EQUAL(judge(&counts, true), CFC_ROLLOUT_STOP);
    CU_ASSERT_STRING_EQUAL(reason, "the stage was not published: no engine has it");
}

static void
limits_can_be_set(void)
{
    struct cfc_rollout_counts counts = healthy();
    struct cfc_rollout_limits limits = {
        .lacking_ppm_max = 100000, .rejected_ppm_max = 50000, .silent_ppm_max = 20000};

    counts.applied = 900;
    counts.candidate_rejected = 5;
    counts.silent = 20;
    CU_ASSERT_EQUAL(cfc_rollout_judge(&counts, &limits, true, reason), CFC_ROLLOUT_GO);
    counts.applied = 899;
    CU_ASSERT_EQUAL(cfc_rollout_judge(&counts, &limits, true, reason), CFC_ROLLOUT_STOP);
    counts.applied = 900;
    counts.candidate_rejected = 6;
    CU_ASSERT_EQUAL(cfc_rollout_judge(&counts, &limits, true, reason), CFC_ROLLOUT_STOP);
    counts.candidate_rejected = 5;
    counts.silent = 21;
    CU_ASSERT_EQUAL(cfc_rollout_judge(&counts, &limits, true, reason), CFC_ROLLOUT_STOP);
}

static void
what_has_to_be_prepared_is_rounded_up(void)
{
    struct cfc_rollout_counts counts = {
        .alive = 4, .prepared = 3, .timely = 4, .timely_prepared = 4, .published_unix_ns = 1};

    CU_ASSERT_FALSE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_NOW, 990000, reason));
    CU_ASSERT_STRING_EQUAL(reason, "3 of 4 consumers are prepared");
    CU_ASSERT_TRUE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_NOW, 750000, reason));
    CU_ASSERT_FALSE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_NOW, 750001, reason));
    CU_ASSERT_TRUE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_NOW, 0, reason));
    counts.prepared = 4;
    CU_ASSERT_TRUE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_HOLD, 1000000, reason));
    counts.published_unix_ns = 0;
    CU_ASSERT_FALSE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_HOLD, 1, reason));
}

static void
a_time_counts_only_consumers_whose_clock_is_right(void)
{
    struct cfc_rollout_counts counts = {
        .alive = 10, .prepared = 10, .timely = 8, .timely_prepared = 7, .published_unix_ns = 1};

    CU_ASSERT_TRUE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_HOLD, 990000, reason));
    CU_ASSERT_FALSE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_AT, 990000, reason));
    CU_ASSERT_STRING_EQUAL(reason, "7 of 8 consumers with a good clock are prepared");
    counts.timely_prepared = 8;
    CU_ASSERT_TRUE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_AT, 990000, reason));
    counts.timely = counts.timely_prepared = 0;
    CU_ASSERT_FALSE(cfc_rollout_is_prepared(&counts, CFC_ACTIVATE_AT, 1, reason));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_healthy_stage_goes_on_only_after_its_bake),
    CFC_CASE(one_percent_may_lack_and_one_more_stops),
    CFC_CASE(a_small_fleet_tolerates_nothing),
    CFC_CASE(rejections_are_compared_with_the_stable_arm_and_stop_at_once),
    CFC_CASE(consumers_that_fall_silent_stop_it_at_once),
    CFC_CASE(missing_reports_are_not_health),
    CFC_CASE(limits_can_be_set),
    CFC_CASE(what_has_to_be_prepared_is_rounded_up),
    CFC_CASE(a_time_counts_only_consumers_whose_clock_is_right),
};

CFC_TEST_MAIN("rollout", cases)
