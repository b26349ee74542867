/* What bounds repair: budgets, turns and tables. */
#include "tests/unit/repair_fixture.h"

static void
consumer_beyond_its_budget_is_told_to_ask_again_and_others_are_not_held_up(void)
{
    struct repair_bed t;
    uint32_t accepted = 0;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.config.repair_rate_bytes = 4 * 28000; /* a quarter of it: 100 symbols a second */
    t.bed.config.frame_size_max = CFC_FRAME_SIZE_MIN;
    start(&t, 2);
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t before = cfc_sender_stats(t.bed.sender)->repairs_unicast;

        if (ask(&t, 0, 0, 1) == CONFCAST_OK) {
            accepted++;
        }
        bed_run(&t.bed, 4 * CFC_MS);
        CU_ASSERT_TRUE(cfc_sender_stats(t.bed.sender)->repairs_unicast <= before + 1);
    }
    /* 64 frames of 1,232 bytes at once, then 28,000 bytes a second for four seconds, by 280. */
    CU_ASSERT_TRUE(accepted >= 680 && accepted <= 682);
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->errors[-CONFCAST_ERR_LIMIT], 1000 - accepted);
    CU_ASSERT_EQUAL(ask(&t, 1, 0, 1), CONFCAST_OK);
    bed_run(&t.bed, 10 * CFC_MS);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, false), 1);
    bed_close(&t.bed);
}

static void
repair_of_all_consumers_together_keeps_its_rate(void)
{
    struct repair_bed t;
    uint64_t bytes;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.config.repair_rate_bytes = 280000;
    start(&t, CONSUMERS);
    bytes = cfc_sender_stats(t.bed.sender)->bytes_out;
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        for (uint32_t block = 0; block < 2; block++) {
            CU_ASSERT_EQUAL(ask(&t, i, block, UINT64_C(1) << i % 8), CONFCAST_OK);
        }
    }
    for (uint32_t i = 0; i < 100; i++) {
        for (uint32_t k = 0; k < 6; k++) {
            ask(&t, (i * 6 + k) % CONSUMERS, k / 2, 0x0f);
        }
        bed_run(&t.bed, 10 * CFC_MS);
    }
    bytes = cfc_sender_stats(t.bed.sender)->bytes_out - bytes;
    CU_ASSERT_TRUE(bytes <= 280000 + 16 * CFC_FRAME_SIZE_DEFAULT);
    CU_ASSERT_TRUE(bytes > 200000);
    bed_close(&t.bed);
}

static void
flood_of_one_consumer_at_most_doubles_the_wait_of_another(void)
{
    struct repair_bed t;
    struct bed_content *large;
    uint32_t last = 0;
    uint32_t got = 0;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.config.repair_rate_bytes = 100000000;
    start(&t, 2);
    large = bed_put_content(&t.bed, 2, 4096 * BED_SYMBOL_SIZE, 64);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &large->id), CONFCAST_OK);
    bed_run(&t.bed, CFC_S);
    for (uint32_t block = 0; block < 64; block++) {
        CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], large, block, UINT64_MAX),
                        CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(ask(&t, 1, 0, 0xff), CONFCAST_OK);
    bed_pass(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain_max(&t.bed, 100), 100);
    for (uint32_t i = 0; i < 100; i++) {
        if (is_sent_to(&t.bed.sent[i], &t.c[1].address)) {
            got++;
            last = i;
        }
    }
    CU_ASSERT_EQUAL(got, 8);
    CU_ASSERT_TRUE(last < 16);
    bed_close(&t.bed);
}

static void
one_consumer_opens_a_bounded_number_of_repairs_and_gets_them_back(void)
{
    struct repair_bed t;
    struct bed_content *large;
    uint32_t accepted = 0;

    open_with(&t, 2);
    large = bed_put_content(&t.bed, 2, 300 * BED_SYMBOL_SIZE, 1);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &large->id), CONFCAST_OK);
    bed_run(&t.bed, CFC_S);
    for (uint32_t round = 0; round < 2; round++) {
        accepted = 0;
        for (uint32_t block = 0; block < 300; block++) {
            accepted += consumer_nack_symbols(&t.bed, &t.c[0], large, block, 1) == CONFCAST_OK;
        }
        CU_ASSERT_EQUAL(accepted, 256);
        CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[1], large, 299, 1), CONFCAST_OK);
        CU_ASSERT_EQUAL(after_gathering(&t), 257);
    }
    bed_close(&t.bed);
}

static void
repairs_that_a_budget_refused_leave_nothing_open(void)
{
    struct repair_bed t;
    struct bed_content *large;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.config.repair_rate_bytes = 4 * 100 * 280;
    start(&t, 1);
    large = bed_put_content(&t.bed, 2, 3000 * BED_SYMBOL_SIZE, 4);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &large->id), CONFCAST_OK);
    bed_drain(&t.bed);
    bed_run(&t.bed, CFC_S);
    for (uint32_t block = 0; block < 400; block++) {
        int code = consumer_nack_symbols(&t.bed, &t.c[0], large, block, 0x0f);

        CU_ASSERT_TRUE(code == CONFCAST_OK || block >= 84);
    }
    bed_run(&t.bed, 20 * CFC_S);
    for (uint32_t block = 444; block < 700; block++) {
        CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], large, block, 1), CONFCAST_OK);
    }
    bed_close(&t.bed);
}

static void
gone_takes_from_the_budget_too(void)
{
    struct cfc_nack_entry entries[40];
    struct repair_bed t;
    uint32_t gone = 0;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.config.repair_rate_bytes = 4000;
    start(&t, 1);
    for (uint32_t i = 0; i < 40; i++) {
        entries[i] = (struct cfc_nack_entry){.want = CFC_WANT_CONTENT, .key = 1000 + i};
    }
    for (uint32_t i = 0; i < 200; i++) {
        CU_ASSERT_EQUAL(consumer_nack(&t.bed, &t.c[0], entries, 40), CONFCAST_OK);
        gone += bed_drain(&t.bed);
    }
    CU_ASSERT_EQUAL(gone, 64 * CFC_FRAME_SIZE_DEFAULT / CFC_GONE_SIZE);
    bed_close(&t.bed);
}

static void
quiet_repairs_give_way_when_the_table_is_full(void)
{
    struct repair_bed t;
    struct bed_content *large;

    open_with(&t, 20);
    large = bed_put_content(&t.bed, 2, 5000 * BED_SYMBOL_SIZE, 1);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &large->id), CONFCAST_OK);
    bed_drain(&t.bed);
    bed_drain(&t.bed);
    bed_pass(&t.bed, CFC_S);
    bed_drain(&t.bed);
    for (uint32_t block = 0; block < 4096; block++) {
        for (uint32_t i = 0; i < 3; i++) {
            CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[(block + i) % 20], large, block, 1),
                            CONFCAST_OK);
        }
    }
    CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], large, 4999, 1), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(after_gathering(&t), 4096);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], large, 4999, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(after_gathering(&t), 1);
    bed_close(&t.bed);
}

static void
table_full_of_repairs_refuses_and_recovers(void)
{
    struct repair_bed t;
    struct bed_content *large;
    uint32_t accepted = 0;

    open_with(&t, 20);
    large = bed_put_content(&t.bed, 2, 5000 * BED_SYMBOL_SIZE, 1);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &large->id), CONFCAST_OK);
    bed_drain(&t.bed);
    bed_drain(&t.bed);
    bed_pass(&t.bed, CFC_S);
    bed_drain(&t.bed);
    for (uint32_t block = 0; block < 5000; block++) {
        accepted += consumer_nack_symbols(&t.bed, &t.c[block % 20], large, block, 1) == CONFCAST_OK;
    }
    CU_ASSERT_EQUAL(accepted, 4096);
    CU_ASSERT_EQUAL(after_gathering(&t), 4096);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], large, 4999, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(after_gathering(&t), 1);
    bed_close(&t.bed);
}

static void
unicast_repair_goes_on_when_the_cap_of_multicast_is_reached(void)
{
    struct repair_bed t;
    struct bed_content *large;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.config.rate_bytes = 10000;
    t.bed.config.burst_bytes = CFC_FRAME_SIZE_DEFAULT;
    start(&t, 1);
    large = bed_put_content(&t.bed, 2, 4096 * BED_SYMBOL_SIZE, 64);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &large->id), CONFCAST_OK);
    bed_run(&t.bed, 100 * CFC_MS);
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 0xff), CONFCAST_OK);
    bed_run(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, false), 8);
    bed_close(&t.bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(consumer_beyond_its_budget_is_told_to_ask_again_and_others_are_not_held_up),
    CFC_CASE(repair_of_all_consumers_together_keeps_its_rate),
    CFC_CASE(flood_of_one_consumer_at_most_doubles_the_wait_of_another),
    CFC_CASE(one_consumer_opens_a_bounded_number_of_repairs_and_gets_them_back),
    CFC_CASE(repairs_that_a_budget_refused_leave_nothing_open),
    CFC_CASE(gone_takes_from_the_budget_too),
    CFC_CASE(quiet_repairs_give_way_when_the_table_is_full),
    CFC_CASE(table_full_of_repairs_refuses_and_recovers),
    CFC_CASE(unicast_repair_goes_on_when_the_cap_of_multicast_is_reached),
};

CFC_TEST_MAIN("repair_budget", cases)
