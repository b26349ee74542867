/* The receiver as a whole: from a head to what is served, and what bad luck does to it. */
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

static void
a_head_and_its_content_become_accepted_collected_and_served_in_this_order(void)
{
    struct bench b;
    struct made m;

    bench_open(&b);
    made_content(&b, &m, 5050);
    bench_publish(&b, 10, &m);
    CU_ASSERT_EQUAL_FATAL(b.event_count, 3);
    CU_ASSERT_EQUAL(b.events[0].type, CFC_EVENT_ACCEPTED);
    CU_ASSERT_EQUAL(b.events[0].version, 10);
    CU_ASSERT_EQUAL(b.events[0].epoch, BENCH_EPOCH);
    CU_ASSERT_EQUAL(b.events[1].type, CFC_EVENT_CONTENT);
    CU_ASSERT_EQUAL(b.events[1].size, 5050);
    CU_ASSERT_EQUAL(b.events[1].body_size, 5050);
    CU_ASSERT_EQUAL(b.events[2].type, CFC_EVENT_SERVE);
    CU_ASSERT_EQUAL(b.events[2].state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL(b.events[2].version, 10);
    CU_ASSERT(cfc_digest_equal(&b.events[2].content, &m.id));
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 10);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->contents, 1);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->symbols, 51);
    made_free(&m);
    bench_close(&b);
    CU_ASSERT_EQUAL(b.heap.live_count, 0);
}

static void
a_content_inside_its_head_is_delivered_at_once(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 300);
    head = bench_head(&b, 10, &m.id);
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = 300,
                                               .coded = m.body,
                                               .coded_size = 300};
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(b.event_count, 3);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->version, 10);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    /* The head that the owner keeps does not carry the content. */
    CU_ASSERT(b.events[0].size < b.size);
    made_free(&m);
    bench_close(&b);
}

static void
what_was_applied_is_reported_until_it_is_echoed(void)
{
    struct bench b;
    struct made m;
    struct cfc_frame frame;
    struct cfc_report report;
    struct cfc_report_entry entry;
    struct cfc_echo echo;

    bench_open(&b);
    bench_link(&b);
    made_content(&b, &m, 1000);
    bench_publish(&b, 10, &m);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL_FATAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &b.session_key, &b.address), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_report_check_tag(&frame, BENCH_ID, sizeof(BENCH_ID) - 1, &b.report_key),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(report.entry_count, 1);
    cfc_report_entry_at(&report, 0, &entry);
    CU_ASSERT_EQUAL(entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL(entry.accepted, 10);
    CU_ASSERT_EQUAL(entry.serving_version, 10);
    CU_ASSERT_EQUAL(entry.serving_content, cfc_digest_key(&m.id));
    echo = (struct cfc_echo){.consumer_key = report.consumer_key, .report_seq = report.report_seq};
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_FALSE(bench_await(&b, CFC_FRAME_REPORT, 10 * CFC_S, &frame));
    CU_ASSERT(bench_await(&b, CFC_FRAME_REPORT, 20 * CFC_S, &frame));
    made_free(&m);
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_head_and_its_content_become_accepted_collected_and_served_in_this_order),
    CFC_CASE(a_content_inside_its_head_is_delivered_at_once),
    CFC_CASE(what_was_applied_is_reported_until_it_is_echoed),
};

CFC_TEST_MAIN("receiver", cases)
