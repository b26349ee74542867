#include "protocol/session/fleet_loss.h"

#include <stdlib.h>

#include "confcast/error.h"
#include "protocol/session/loss_meter.h"
#include "tests/unit/cunit_main.h"

enum {
    RATE = 64000000,
    FLOOR = 4000000,
    CONSUMERS = 2000
};

static struct cfc_fleet_loss fleet;
static uint64_t now_ns;

static void *
take(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void
give(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static void
open_fleet(void)
{
    struct cfc_alloc alloc = {.alloc = take, .free = give};
    struct cfc_fleet_loss_config config = {.consumer_count_max = CONSUMERS,
                                           .rate = RATE,
                                           .rate_floor = FLOOR,
                                           .quantile = 900,
                                           .loss_max = CFC_LOSS_ONE / 20,
                                           .outlier_min = CFC_LOSS_ONE * 3 / 10};

    now_ns = CFC_S;
    CU_ASSERT_EQUAL_FATAL(cfc_fleet_loss_init(&fleet, &config, &alloc), CONFCAST_OK);
    (void)cfc_fleet_loss_tick(&fleet, now_ns);
}

static void
close_fleet(void)
{
    struct cfc_alloc alloc = {.alloc = take, .free = give};

    cfc_fleet_loss_free(&fleet, &alloc);
}

static bool
report(uint32_t slot, uint32_t percent)
{
    uint32_t loss = percent * CFC_LOSS_ONE / 100;
    struct cfc_loss frame = {.loss = (uint16_t)(loss < CFC_LOSS_ONE ? loss : CFC_LOSS_ONE - 1),
                             .window_count = 8};

    return cfc_fleet_loss_note(&fleet, slot, &frame);
}

/* A round in which the first `bad_count` of `count` lose `percent`, and `symbols` are sent. */
static bool
pass_round(uint32_t count, uint32_t bad_count, uint32_t percent, uint32_t symbols)
{
    for (uint32_t i = 0; i < count; i++) {
        report(i, i < bad_count ? percent : 0);
    }
    cfc_fleet_loss_sent(&fleet, symbols);
    now_ns += CFC_PACE_ROUND_NS;
    return cfc_fleet_loss_tick(&fleet, now_ns);
}

/* Each of four that lose 1 % lacks something of every second block, and the worst of them needs a
 * repair symbol for nine of ten. */
static void
what_others_are_likely_to_lack_follows_from_all_reports_but_the_worst(void)
{
    open_fleet();
    CU_ASSERT_EQUAL(cfc_fleet_loss_lacking(&fleet), 0);
    report(0, 50);
    CU_ASSERT_EQUAL(cfc_fleet_loss_lacking(&fleet), 0); /* who loses that much is alone */
    report(1, 1);
    CU_ASSERT(cfc_fleet_loss_lacking(&fleet) > CFC_LOSS_ONE * 45 / 100);
    CU_ASSERT(cfc_fleet_loss_lacking(&fleet) < CFC_LOSS_ONE * 50 / 100);
    report(2, 1);
    report(3, 1);
    CU_ASSERT(cfc_fleet_loss_lacking(&fleet) > CFC_LOSS_ONE * 135 / 100);
    CU_ASSERT(cfc_fleet_loss_lacking(&fleet) < CFC_LOSS_ONE * 150 / 100);
    cfc_fleet_loss_forget(&fleet, 0);
    CU_ASSERT(cfc_fleet_loss_lacking(&fleet) < CFC_LOSS_ONE);
    for (uint32_t i = 0; i < 4; i++) {
        report(i, 0);
    }
    CU_ASSERT_EQUAL(cfc_fleet_loss_lacking(&fleet), 0);
    close_fleet();
}

/* Two of twenty that multicast hardly reaches are advised to pull; the others lose nothing. */
static void
outliers_call_for_no_repair_of_all(void)
{
    open_fleet();
    for (int round = 0; round <= CFC_OUTLIER_STRIKES; round++) {
        (void)pass_round(20, 2, 50, 100);
    }
    CU_ASSERT_EQUAL_FATAL(fleet.outlier_count, 2);
    CU_ASSERT_EQUAL(cfc_fleet_loss_lacking(&fleet), 0);
    CU_ASSERT_EQUAL(cfc_fleet_loss_parity(&fleet), 0);
    report(0, 50);
    CU_ASSERT_EQUAL(cfc_fleet_loss_lacking(&fleet), 0);
    report(0, 1); /* back among the others, of which it is the worst */
    report(2, 1);
    CU_ASSERT(cfc_fleet_loss_lacking(&fleet) > CFC_LOSS_ONE * 45 / 100);
    cfc_fleet_loss_forget(&fleet, 1);
    CU_ASSERT(cfc_fleet_loss_lacking(&fleet) > CFC_LOSS_ONE * 45 / 100);
    close_fleet();
}

/* The binomial distribution of 64 symbols, and the third quarter of what the worst one lacks. */
static void
parity_is_what_three_blocks_of_four_need(void)
{
    static const struct {
        uint32_t count, percent, parity;
    } rows[] = {
        {1, 5, 0},    /* nobody alone */
        {2, 1, 0},    /* the other one lacks something of every second block */
        {3, 1, 0},    /* 72 % */
        {4, 1, 1},    /* 86 %; two symbols: 35 % */
        {8, 1, 1},    /* two: 64 % */
        {12, 1, 2},   /* two: 79 % */
        {1000, 1, 4}, /* four: 93 % */
        {2000, 5, 4}, /* more than that is never sent because of reports */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        open_fleet();
        CU_ASSERT_EQUAL(cfc_fleet_loss_parity(&fleet), 0);
        for (uint32_t k = 0; k < rows[i].count; k++) {
            report(k, rows[i].percent);
        }
        CU_ASSERT_EQUAL(cfc_fleet_loss_parity(&fleet), rows[i].parity);
        close_fleet();
    }
}

static void
a_quantile_is_that_of_the_last_reports(void)
{
    open_fleet();
    CU_ASSERT_EQUAL(cfc_fleet_loss_quantile(&fleet, 500), 0);
    for (uint32_t i = 0; i < 100; i++) {
        report(i, 99);
        report(i, i);
    }
    CU_ASSERT_EQUAL(fleet.all_count, 100);
    for (uint32_t per_mille = 0; per_mille <= 1000; per_mille += 50) {
        uint32_t exact = per_mille > 0 ? (per_mille / 10 - 1) * CFC_LOSS_ONE / 100 : 0;
        uint32_t found = cfc_fleet_loss_quantile(&fleet, per_mille);

        CU_ASSERT(found <= exact && found >= exact - exact / 16);
    }
    cfc_fleet_loss_forget(&fleet, 99);
    cfc_fleet_loss_forget(&fleet, 99);
    CU_ASSERT_EQUAL(fleet.all_count, 99);
    close_fleet();
}

static void
much_loss_of_many_slows_down_to_what_got_through(void)
{
    open_fleet();
    CU_ASSERT_FALSE(pass_round(100, 100, 4, 10));
    CU_ASSERT_EQUAL(fleet.state, CFC_PACE_FREE);
    CU_ASSERT(pass_round(100, 100, 20, 10));
    CU_ASSERT_EQUAL(fleet.state, CFC_PACE_SETTLING);
    CU_ASSERT(fleet.rate <= RATE / 100 * 80 && fleet.rate >= RATE / 100 * 74);
    CU_ASSERT_EQUAL(fleet.slowdowns, 1);
    close_fleet();
}

static void
a_slowdown_waits_for_its_effect_before_the_next(void)
{
    uint64_t rate;

    open_fleet();
    pass_round(100, 100, 20, 10);
    rate = fleet.rate;
    CU_ASSERT_FALSE(pass_round(100, 100, 20, CFC_LOSS_MEMORY_SYMBOLS - 1));
    CU_ASSERT_EQUAL(fleet.state, CFC_PACE_SETTLING);
    CU_ASSERT_FALSE(pass_round(100, 100, 20, 1));
    CU_ASSERT_EQUAL(fleet.state, CFC_PACE_SLOW);
    CU_ASSERT_EQUAL(fleet.rate, rate);
    CU_ASSERT(pass_round(100, 100, 20, 1));
    CU_ASSERT(fleet.rate < rate);
    close_fleet();
}

static void
it_never_falls_below_the_floor_nor_by_more_than_half(void)
{
    open_fleet();
    for (int i = 0; i < 50; i++) {
        uint64_t rate = fleet.rate;

        pass_round(100, 100, 100, 2 * CFC_LOSS_MEMORY_SYMBOLS);
        CU_ASSERT(fleet.rate >= FLOOR && fleet.rate >= rate / 2);
    }
    CU_ASSERT_EQUAL(fleet.rate, FLOOR);
    close_fleet();
}

static void
it_recovers_step_by_step_when_little_is_lost(void)
{
    int rounds = 0;

    open_fleet();
    for (int i = 0; i < 20; i++) {
        pass_round(100, 100, 60, 2 * CFC_LOSS_MEMORY_SYMBOLS);
    }
    CU_ASSERT_EQUAL(fleet.rate, FLOOR);
    /* Between half of the bound and the bound it stays. */
    pass_round(100, 100, 4, 10);
    pass_round(100, 100, 4, 10);
    CU_ASSERT_EQUAL(fleet.rate, FLOOR);
    while (fleet.state != CFC_PACE_FREE && rounds < 100) {
        uint64_t rate = fleet.rate;

        pass_round(100, 100, 1, 10);
        CU_ASSERT(fleet.rate <= rate + RATE / CFC_PACE_STEPS + 1);
        rounds++;
    }
    CU_ASSERT_EQUAL(fleet.rate, RATE);
    CU_ASSERT(rounds >= 28 && rounds <= 31);
    close_fleet();
}

static void
a_tenth_of_the_fleet_slows_nobody(void)
{
    open_fleet();
    CU_ASSERT_FALSE(pass_round(1000, 100, 90, 10));
    CU_ASSERT_EQUAL(fleet.state, CFC_PACE_FREE);
    CU_ASSERT(pass_round(1000, 101, 90, 10));
    close_fleet();
}

static void
nobody_alone_slows_others(void)
{
    for (uint32_t count = 2; count < 12; count++) {
        open_fleet();
        CU_ASSERT_FALSE(pass_round(count, 1, 100, 10));
        CU_ASSERT_EQUAL(fleet.state, CFC_PACE_FREE);
        close_fleet();
    }
    /* Who is alone is all there is. */
    open_fleet();
    CU_ASSERT(pass_round(1, 1, 50, 10));
    close_fleet();
}

static void
whoever_reports_often_counts_once(void)
{
    open_fleet();
    for (int i = 0; i < 10000; i++) {
        report(0, 100);
    }
    CU_ASSERT_FALSE(pass_round(20, 1, 100, 10));
    CU_ASSERT_EQUAL(fleet.state, CFC_PACE_FREE);
    close_fleet();
}

static void
few_reports_of_many_decide_nothing(void)
{
    open_fleet();
    CU_ASSERT_FALSE(pass_round(1000, 0, 0, 10));
    /* Sixteen are enough, fifteen are not: they count with those that come later. */
    CU_ASSERT_FALSE(pass_round(15, 15, 100, 10));
    CU_ASSERT_EQUAL(fleet.heard_count, 15);
    CU_ASSERT(pass_round(16, 16, 100, 10));
    close_fleet();
}

static void
when_nothing_is_sent_it_recovers(void)
{
    open_fleet();
    pass_round(100, 100, 50, 10);
    CU_ASSERT(fleet.rate < RATE);
    for (uint64_t ns = CFC_PACE_ROUND_NS; ns < CFC_PACE_IDLE_NS; ns += CFC_PACE_ROUND_NS) {
        CU_ASSERT_FALSE(pass_round(0, 0, 0, 0));
    }
    CU_ASSERT(pass_round(0, 0, 0, 0));
    for (uint64_t ns = 0; ns < CFC_PACE_STEPS * CFC_PACE_IDLE_NS; ns += CFC_PACE_ROUND_NS) {
        pass_round(0, 0, 0, 0);
    }
    CU_ASSERT_EQUAL(fleet.rate, RATE);
    CU_ASSERT_EQUAL(fleet.state, CFC_PACE_FREE);
    close_fleet();
}

static void
who_loses_far_more_than_the_others_is_advised_to_pull(void)
{
    struct cfc_loss pulling = {.loss = 60000, .window_count = 8, .flags = CFC_LOSS_FLAG_PULLING};

    open_fleet();
    CU_ASSERT_FALSE(report(7, 60)); /* no round was judged yet */
    CU_ASSERT_FALSE(pass_round(100, 0, 0, 10));
    CU_ASSERT_FALSE(report(7, 60));
    CU_ASSERT_FALSE(report(7, 60));
    CU_ASSERT(report(7, 60));
    CU_ASSERT_EQUAL(fleet.outlier_count, 1);
    CU_ASSERT(report(7, 60));
    CU_ASSERT_FALSE(cfc_fleet_loss_note(&fleet, 7, &pulling));
    CU_ASSERT_EQUAL(fleet.outlier_count, 1);
    /* It does not count for the pace, but in what is shown. */
    CU_ASSERT_EQUAL(fleet.heard_count, 0);
    CU_ASSERT(cfc_fleet_loss_quantile(&fleet, 1000) > 50000);
    CU_ASSERT_FALSE(report(7, 29));
    CU_ASSERT_EQUAL(fleet.outlier_count, 0);
    CU_ASSERT_FALSE(report(7, 60));
    cfc_fleet_loss_forget(&fleet, 7);
    CU_ASSERT_EQUAL(fleet.outlier_count, 0);
    close_fleet();
}

static void
where_all_lose_much_nobody_is_an_outlier(void)
{
    open_fleet();
    for (int i = 0; i < 10; i++) {
        pass_round(100, 100, 40, 10);
    }
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_FALSE(report(0, 100));
    }
    CU_ASSERT_EQUAL(fleet.outlier_count, 0);
    close_fleet();
}

static void
rounds_are_told_apart_after_their_numbers_were_used_up(void)
{
    open_fleet();
    report(0, 10);
    for (uint32_t i = 0; i < 65535; i++) {
        pass_round(0, 0, 0, 0);
    }
    report(0, 20);
    CU_ASSERT_EQUAL(fleet.heard_count, 1);
    CU_ASSERT_EQUAL(fleet.all_count, 1);
    close_fleet();
}

static void
without_a_rate_nothing_slows(void)
{
    open_fleet();
    fleet.config.rate = 0;
    fleet.rate = 0;
    CU_ASSERT_FALSE(pass_round(100, 100, 100, 10));
    CU_ASSERT_EQUAL(fleet.state, CFC_PACE_FREE);
    close_fleet();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_quantile_is_that_of_the_last_reports),
    CFC_CASE(much_loss_of_many_slows_down_to_what_got_through),
    CFC_CASE(a_slowdown_waits_for_its_effect_before_the_next),
    CFC_CASE(it_never_falls_below_the_floor_nor_by_more_than_half),
    CFC_CASE(it_recovers_step_by_step_when_little_is_lost),
    CFC_CASE(a_tenth_of_the_fleet_slows_nobody),
    CFC_CASE(nobody_alone_slows_others),
    CFC_CASE(whoever_reports_often_counts_once),
    CFC_CASE(few_reports_of_many_decide_nothing),
    CFC_CASE(when_nothing_is_sent_it_recovers),
    CFC_CASE(what_others_are_likely_to_lack_follows_from_all_reports_but_the_worst),
    CFC_CASE(outliers_call_for_no_repair_of_all),
    CFC_CASE(parity_is_what_three_blocks_of_four_need),
    CFC_CASE(who_loses_far_more_than_the_others_is_advised_to_pull),
    CFC_CASE(where_all_lose_much_nobody_is_an_outlier),
    CFC_CASE(rounds_are_told_apart_after_their_numbers_were_used_up),
    CFC_CASE(without_a_rate_nothing_slows),
};

CFC_TEST_MAIN("fleet_loss", cases)
