/* A sender in the midst of a long content: whatever else comes or falls due goes before the
 * content's next frame, and the content goes on after it. */
#include "protocol/session/head_tx.h"
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

/* Whether a head whose content comes by itself goes at these times after it was put, and at no
 * other, to a fleet of this size at this rate. */
static void
check_sendings(uint32_t fleet_size, uint64_t rate_bytes, const uint64_t *at_ns, uint32_t count)
{
    struct bed_content *c;
    uint64_t began_ns;
    struct bed bed;

    bed_init(&bed);
    bed.config.status_period_ns = 1000 * CFC_S;
    bed.config.rate_bytes = rate_bytes;
    bed_start(&bed);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 1, fleet_size), CONFCAST_OK);
    bed_drain(&bed);
    c = bed_make_content(&bed, 1, 100, 64);
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, true), CONFCAST_OK);
    began_ns = bed.now.mono_ns;
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/db", 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_run(&bed, CFC_S), count);
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(sent_type(&bed.sent[i]), CFC_FRAME_HEAD);
        CU_ASSERT_EQUAL(bed.sent[i].at_ns - began_ns, at_ns[i]);
    }
    bed_close(&bed);
}

static void
head_for_many_is_repeated_while_frames_before_it_are_kept(void)
{
    static const uint64_t few_ns[] = {0, 300 * CFC_US, 10 * CFC_MS, 50 * CFC_MS, 250 * CFC_MS};
    static const uint64_t many_ns[] = {0,           300 * CFC_US, CFC_MS,      2500 * CFC_US,
                                       10 * CFC_MS, 50 * CFC_MS,  250 * CFC_MS};
    /* A frame of 1,472 bytes takes 1,177 ns at 10 Gbit/s. */
    static const uint64_t fast_ns[] = {0, 28248, 84744, 169488, 7669488, 47669488, 247669488};

    check_sendings(CFC_HEAD_FOLLOWERS_MAX, 0, few_ns, 5);
    check_sendings(CFC_HEAD_FOLLOWERS_MAX + 1, 0, many_ns, 7);
    check_sendings(CFC_HEAD_FOLLOWERS_MAX + 1, 62500000, many_ns, 7);
    check_sendings(CFC_HEAD_FOLLOWERS_MAX, 1250000000, few_ns, 5);
    check_sendings(CFC_HEAD_FOLLOWERS_MAX + 1, 1250000000, fast_ns, 7);
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
    CFC_CASE(head_for_many_is_repeated_while_frames_before_it_are_kept),
    CFC_CASE(fresh_and_its_replay_interrupt_a_content),
    CFC_CASE(status_interrupts_a_content_when_reports_are_asked_for),
    CFC_CASE(consumer_is_welcomed_echoed_and_repaired_amid_a_content),
};

CFC_TEST_MAIN("sender_stream", cases)
