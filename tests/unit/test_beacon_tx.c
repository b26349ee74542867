/* FRESH and STATUS of the sender. */
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

static void
changed_pages_go_out_at_once_and_in_every_period(void)
{
    struct bed bed;

    bed_open(&bed);
    bed_drain(&bed);
    for (uint32_t page = 0; page < 3; page++) {
        CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 1, 5, 90, page, page == 1), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(bed_drain_max(&bed, 2), 2);
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(sent_type(&bed.sent[i]), CFC_FRAME_FRESH);
        CU_ASSERT_EQUAL(bed.sent[i].tx.group, BED_CONTROL_GROUP);
        /* Page 0 did not change, but the first page of a period always goes. */
        CU_ASSERT_EQUAL(cfc_get_u32(bed.sent[i].bytes + 20), 2);
    }
    bed_run(&bed, bed.config.status_period_ns - 1);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_FRESH, true), 1); /* page 2 by the sweep */
    for (uint32_t i = 0; i < 10; i++) {
        bed_run(&bed, bed.config.status_period_ns);
        CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_FRESH, true), 2);
        CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_STATUS, true), 1);
    }
    bed_close(&bed);
}

static void
sweep_goes_round_although_every_period_begins_anew(void)
{
    uint32_t seen[32] = {0};
    struct bed bed;

    bed_open(&bed);
    bed_drain(&bed);
    for (uint32_t period = 0; period < 40; period++) {
        for (uint32_t page = 0; page < 32; page++) {
            CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 1, 5 + period, 1024, page, false),
                            CONFCAST_OK);
        }
        bed_run(&bed, bed.config.status_period_ns);
        for (uint32_t i = 0; i < bed.sent_count; i++) {
            if (sent_type(&bed.sent[i]) == CFC_FRAME_FRESH) {
                struct cfc_fresh fresh;
                struct cfc_frame frame;

                CU_ASSERT_EQUAL(cfc_frame_open(bed.sent[i].bytes, bed.sent[i].size, &frame),
                                CONFCAST_OK);
                CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
                CU_ASSERT_EQUAL(fresh.sequence, 5 + period);
                seen[fresh.page_index]++;
            }
        }
    }
    /* Round in 16 periods: 40 periods are two rounds and a half. */
    for (uint32_t page = 1; page < 32; page++) {
        CU_ASSERT_TRUE(seen[page] >= 2 && seen[page] <= 4);
    }
    CU_ASSERT_TRUE(seen[0] >= 40);
    bed_close(&bed);
}

static void
sweep_is_not_starved_by_a_content_that_keeps_the_port_busy(void)
{
    struct bed_content *c;
    struct bed bed;

    bed_init(&bed);
    bed.config.rate_bytes = 20000;
    bed.config.burst_bytes = CFC_FRAME_SIZE_DEFAULT;
    bed_start(&bed);
    bed_drain(&bed);
    for (uint32_t page = 0; page < 16; page++) {
        CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 1, 5, 512, page, false), CONFCAST_OK);
    }
    c = bed_put_content(&bed, 1, 4096 * BED_SYMBOL_SIZE, 64);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_run(&bed, 32 * bed.config.status_period_ns);
    CU_ASSERT_TRUE(bed_count(&bed, CFC_FRAME_SYMBOL, true) > 500);
    CU_ASSERT_TRUE(bed_count(&bed, CFC_FRAME_FRESH, true) > 32 + 15);
    bed_close(&bed);
}

static void
sweep_that_is_not_late_yields_to_contents(void)
{
    struct bed_content *c;
    struct bed bed;

    bed_open(&bed);
    bed_drain(&bed);
    for (uint32_t page = 0; page < 2; page++) {
        CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 1, 5, 64, page, false), CONFCAST_OK);
    }
    bed_drain(&bed); /* page 0, and page 1 by the sweep */
    bed_run(&bed, 16 * bed.config.status_period_ns - 1);
    bed_drain(&bed);
    bed_pass(&bed, bed.config.status_period_ns); /* the sweep is due since, but less than, that */
    c = bed_put_content(&bed, 1, 40 * BED_SYMBOL_SIZE, 64);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(cfc_get_u64(bed.sent[bed.sent_count - 1].bytes + 32), 5);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[bed.sent_count - 1]), CFC_FRAME_FRESH);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[bed.sent_count - 2]), CFC_FRAME_CONTENT);
    bed_close(&bed);
}

static void
new_period_replaces_the_pages_of_the_old_one(void)
{
    struct bed bed;

    bed_open(&bed);
    for (uint32_t page = 0; page < 3; page++) {
        CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 1, 5, 90, page, true), CONFCAST_OK);
    }
    bed_drain(&bed);
    bed_pass(&bed, CFC_MS);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 1, 6, 90, 1, true), CONFCAST_OK);
    bed_run(&bed, 10 * bed.config.status_period_ns - 1);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_FRESH, true), 10);
    for (uint32_t i = 0; i < bed.sent_count; i++) {
        if (sent_type(&bed.sent[i]) == CFC_FRAME_FRESH) {
            CU_ASSERT_EQUAL(cfc_get_u64(bed.sent[i].bytes + 32), 6);
        }
    }
    bed_close(&bed);
}

static void
fresh_of_a_lower_epoch_sequence_or_unknown_shard_is_refused(void)
{
    struct bed bed;

    bed_open_quiet(&bed);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 3, 5, 0, 0, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    bed_pass(&bed, CFC_MS);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 2, 9, 0, 0, true), CONFCAST_ERR_FENCED);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 3, 4, 0, 0, true), CONFCAST_ERR_ROLLBACK);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, CFC_SENDER_SHARDS_MAX, 3, 9, 0, 0, true),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 2, 4, 1, 0, 0, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    bed_close(&bed);
}

static void
status_tells_who_the_engine_is_in_every_period(void)
{
    struct cfc_status status;
    struct cfc_frame frame;
    struct bed bed;

    bed_open(&bed);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 1, 1, 300), CONFCAST_OK);
    bed_run(&bed, 10 * bed.config.status_period_ns - 1);
    CU_ASSERT_EQUAL_FATAL(bed.sent_count, 10);
    for (uint32_t i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(cfc_frame_open(bed.sent[i].bytes, bed.sent[i].size, &frame), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_status_decode(&frame, &status), CONFCAST_OK);
        CU_ASSERT_EQUAL(status.boot_id, BED_BOOT_ID);
        CU_ASSERT_EQUAL(status.fleet_size, 300);
        CU_ASSERT_EQUAL(status.echo_count, 0);
        CU_ASSERT_TRUE(cfc_address_equal(&status.unicast, &bed.config.unicast));
        CU_ASSERT_EQUAL(status.time_unix_ns, 1700000000 * CFC_S + i * bed.config.status_period_ns);
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->status_sent, 10);
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(changed_pages_go_out_at_once_and_in_every_period),
    CFC_CASE(sweep_goes_round_although_every_period_begins_anew),
    CFC_CASE(sweep_is_not_starved_by_a_content_that_keeps_the_port_busy),
    CFC_CASE(sweep_that_is_not_late_yields_to_contents),
    CFC_CASE(new_period_replaces_the_pages_of_the_old_one),
    CFC_CASE(fresh_of_a_lower_epoch_sequence_or_unknown_shard_is_refused),
    CFC_CASE(status_tells_who_the_engine_is_in_every_period),
};

CFC_TEST_MAIN("beacon_tx", cases)
