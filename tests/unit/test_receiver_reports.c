/* A receiver's reports: in how many parts they go, and how often until they are echoed. */
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

static void
a_new_report_generation_is_answered_by_a_report(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_report report;
    struct cfc_echo echo;

    bench_open(&b);
    bench_link(&b);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
    echo = (struct cfc_echo){report.consumer_key, report.report_seq};
    CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
    CU_ASSERT_FALSE(bench_await(&b, CFC_FRAME_REPORT, 5 * CFC_S, &frame));
    b.windows.report_generation++;
    CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
    CU_ASSERT(bench_await(&b, CFC_FRAME_REPORT, 80 * CFC_MS, &frame));
    bench_close(&b);
}

static void
reports_repeat_with_back_off_and_many_without_echo_renew_the_session(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_report report;
    uint64_t last_ns, spacing_ns = 0, seq = 0;

    bench_open(&b);
    bench_link(&b);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    last_ns = b.now.mono_ns;
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
        CU_ASSERT(i == 0 || report.report_seq == seq);
        seq = report.report_seq;
        CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, 10 * CFC_S, &frame));
        CU_ASSERT(b.now.mono_ns - last_ns > spacing_ns);
        spacing_ns = b.now.mono_ns - last_ns;
        last_ns = b.now.mono_ns;
    }
    CU_ASSERT(bench_await(&b, CFC_FRAME_HELLO, 2 * CFC_S, &frame));
    CU_ASSERT(cfc_receiver_is_linked(b.r));
    bench_close(&b);
}

static void
an_old_echo_does_not_end_the_repeats(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_report report;
    struct cfc_echo echo;
    struct cfc_head head;
    struct cfc_digest content = digest_of(1);

    bench_open(&b);
    bench_link(&b);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
    echo = (struct cfc_echo){report.consumer_key, report.report_seq};
    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
    CU_ASSERT_EQUAL(report.report_seq, echo.report_seq + 1);
    CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
    CU_ASSERT(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    /* Nor does an echo for somebody else. */
    echo.report_seq++;
    echo.consumer_key++;
    CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
    CU_ASSERT(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    echo.consumer_key--;
    CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
    CU_ASSERT_FALSE(bench_await(&b, CFC_FRAME_REPORT, 5 * CFC_S, &frame));
    bench_close(&b);
}

static void
many_scopes_are_reported_in_as_few_parts_as_they_need(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_report report;
    bool has_part[3] = {false, false, false};
    uint32_t idx, entries = 0;
    uint64_t seq = 0;

    bench_open(&b);
    for (uint32_t i = 1; i < 50; i++) {
        char path[16] = "acme/s00";

        path[6] = (char)('0' + i / 10);
        path[7] = (char)('0' + i % 10);
        CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, path, 8, &idx), CONFCAST_OK);
        CU_ASSERT_EQUAL(idx, i);
        CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, path, 8, &idx), CONFCAST_ERR_EXISTS);
    }
    bench_link(&b);
    bench_run_owner(&b);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, 100 * CFC_MS, &frame));
        CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(report.part_count, 3);
        CU_ASSERT_FATAL(report.part < 3);
        CU_ASSERT(i == 0 || report.report_seq == seq);
        seq = report.report_seq;
        has_part[report.part] = true;
        entries += report.entry_count;
    }
    CU_ASSERT(has_part[0] && has_part[1] && has_part[2]);
    CU_ASSERT_EQUAL(entries, 50);
    bench_close(&b);
}

static void
sealed_frames_carry_rising_numbers(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_trailer trailer;
    uint64_t seq = 0;

    bench_open(&b);
    bench_link(&b);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_FATAL(
            bench_await(&b, i % 2 == 0 ? CFC_FRAME_NACK : CFC_FRAME_REPORT, CFC_S, &frame));
        CU_ASSERT_EQUAL(cfc_trailer_read(&frame, &trailer), CONFCAST_OK);
        CU_ASSERT_EQUAL(trailer.session, 77);
        CU_ASSERT(trailer.seq > seq);
        seq = trailer.seq;
        CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &b.session_key, &b.address), CONFCAST_OK);
    }
    bench_close(&b);
}

static void
an_echo_of_another_boot_does_not_count(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_report report;
    struct cfc_echo echo;

    bench_open(&b);
    b.windows.hello_ms = 60000;
    bench_link(&b);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
    echo = (struct cfc_echo){report.consumer_key, report.report_seq};
    b.boot_id++;
    CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
    CU_ASSERT(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_new_report_generation_is_answered_by_a_report),
    CFC_CASE(reports_repeat_with_back_off_and_many_without_echo_renew_the_session),
    CFC_CASE(an_old_echo_does_not_end_the_repeats),
    CFC_CASE(many_scopes_are_reported_in_as_few_parts_as_they_need),
    CFC_CASE(sealed_frames_carry_rising_numbers),
    CFC_CASE(an_echo_of_another_boot_does_not_count),
};

CFC_TEST_MAIN("receiver_reports", cases)
