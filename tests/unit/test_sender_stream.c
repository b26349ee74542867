/* A sender in the midst of a long content: whatever else comes or falls due goes before the
 * content's next frame, and the content goes on after it. */
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

enum {
    SYMBOLS = 2048
};

/* Sends a long content and stops amid its symbols, past the repeats of its head. */
static struct bed_content *
stream(struct bed *bed)
{
    struct bed_content *c = bed_put_content(bed, 1, SYMBOLS * BED_SYMBOL_SIZE, 64);

    CU_ASSERT_EQUAL(bed_put_head(bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(bed_drain_max(bed, 10), 10);
        bed_pass(bed, 300 * CFC_MS);
    }
    CU_ASSERT_EQUAL(bed_drain_max(bed, 10), 10);
    CU_ASSERT_EQUAL(bed_count(bed, CFC_FRAME_HEAD, true), 0);
    return c;
}

static uint8_t
next_type(struct bed *bed)
{
    CU_ASSERT_EQUAL_FATAL(bed_drain_max(bed, 1), 1);
    return sent_type(&bed->sent[0]);
}

static void
check_content_goes_on(struct bed *bed)
{
    CU_ASSERT_EQUAL(bed_drain_max(bed, 10), 10);
    CU_ASSERT_TRUE(
        bed_count(bed, CFC_FRAME_SYMBOL, true) + bed_count(bed, CFC_FRAME_CONTENT, true) >= 9);
}

static void
new_head_and_its_repeats_interrupt_a_content(void)
{
    static const uint64_t after_ns[] = {0, 300 * CFC_US, 9700 * CFC_US, 40 * CFC_MS, 200 * CFC_MS};
    struct bed_content *small;
    struct bed bed;

    bed_open_quiet(&bed);
    stream(&bed);
    small = bed_make_content(&bed, 2, 100, 64);
    CU_ASSERT_EQUAL(bed_put_made(&bed, small, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/db", 1, 2, &small->id), CONFCAST_OK);
    for (uint32_t i = 0; i < 5; i++) {
        if (after_ns[i] > 0) {
            bed_pass(&bed, after_ns[i] - 1);
            CU_ASSERT_NOT_EQUAL(next_type(&bed), CFC_FRAME_HEAD);
            bed_pass(&bed, 1);
        }
        CU_ASSERT_EQUAL(next_type(&bed), CFC_FRAME_HEAD);
        check_content_goes_on(&bed);
    }
    bed_close(&bed);
}

static void
fresh_and_its_replay_interrupt_a_content(void)
{
    struct bed bed;

    bed_init(&bed);
    bed_start(&bed);
    stream(&bed);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 0, 1, 5, 10, 0, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(next_type(&bed), CFC_FRAME_FRESH);
    check_content_goes_on(&bed);
    bed_pass(&bed, bed.config.status_period_ns);
    CU_ASSERT_EQUAL(next_type(&bed), CFC_FRAME_STATUS);
    CU_ASSERT_EQUAL(next_type(&bed), CFC_FRAME_FRESH);
    check_content_goes_on(&bed);
    bed_close(&bed);
}

static void
status_interrupts_a_content_when_reports_are_asked_for(void)
{
    struct bed bed;

    bed_open_quiet(&bed);
    stream(&bed);
    cfc_sender_ask_reports(bed.sender, &bed.now);
    CU_ASSERT_EQUAL(next_type(&bed), CFC_FRAME_STATUS);
    check_content_goes_on(&bed);
    bed_close(&bed);
}

static void
consumer_is_welcomed_echoed_and_repaired_amid_a_content(void)
{
    struct bed_consumer consumer;
    struct bed_content *old;
    struct bed bed;
    struct cfc_nack_entry head = {.want = CFC_WANT_HEAD};

    bed_open_quiet(&bed);
    consumer_init(&bed, &consumer, 1);
    consumer_join(&bed, &consumer);
    old = bed_put_content(&bed, 3, 64 * BED_SYMBOL_SIZE, 64);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/old", 1, 1, &old->id), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    stream(&bed);

    memset(consumer.cookie, 0, sizeof(consumer.cookie));
    CU_ASSERT_EQUAL(consumer_hello(&bed, &consumer), CONFCAST_OK);
    CU_ASSERT_EQUAL(next_type(&bed), CFC_FRAME_WELCOME);
    check_content_goes_on(&bed);
    CU_ASSERT_EQUAL(consumer_report(&bed, &consumer, 1, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(next_type(&bed), CFC_FRAME_STATUS);
    check_content_goes_on(&bed);
    head.key = bed_scope_id(&bed, "acme/old");
    CU_ASSERT_EQUAL(consumer_nack(&bed, &consumer, &head, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(next_type(&bed), CFC_FRAME_HEAD);
    CU_ASSERT_TRUE(is_sent_to(&bed.sent[0], &consumer.address));
    check_content_goes_on(&bed);

    /* Gathered for a moment, then every other frame is a repair. */
    CU_ASSERT_EQUAL(consumer_nack_symbols(&bed, &consumer, old, 0, 0xff), CONFCAST_OK);
    check_content_goes_on(&bed);
    bed_pass(&bed, bed.config.gather_ns);
    bed_drain_max(&bed, 16);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_SYMBOL, false), 8);
    check_content_goes_on(&bed);
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(new_head_and_its_repeats_interrupt_a_content),
    CFC_CASE(fresh_and_its_replay_interrupt_a_content),
    CFC_CASE(status_interrupts_a_content_when_reports_are_asked_for),
    CFC_CASE(consumer_is_welcomed_echoed_and_repaired_amid_a_content),
};

CFC_TEST_MAIN("sender_stream", cases)
