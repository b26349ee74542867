/* When a receiver asks for what lacks: after what silence, as of which time, and when again. */
#include "tests/unit/receiver_decisions.h"

/* Asks for symbol 7 of 8 of a content; how long it waits before it asks again.  `answer_ns`: after
 * that the symbol comes instead. */
static uint64_t
spacing_of(struct bench *b, uint64_t version, uint64_t answer_ns)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_head head;
    struct made m;
    uint64_t asked_ns;

    made_content(b, &m, 800 - version);
    head = bench_head(b, version, &m.id);
    decide(b, &head);
    CU_ASSERT_EQUAL(bench_send_content(b, &m), CONFCAST_OK);
    (void)bench_send_page(b, &m, 0, 0);
    for (uint32_t i = 0; i < 7; i++) {
        CU_ASSERT_EQUAL(bench_send_symbol(b, &m, 0, i), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(bench_send_content(b, &m), CONFCAST_OK);
    CU_ASSERT_FATAL(bench_await_nack(b, CFC_S, entries) > 0);
    asked_ns = b->now.mono_ns;
    if (answer_ns != 0) {
        bench_wait(b, answer_ns);
    } else {
        CU_ASSERT_FATAL(bench_await_nack(b, CFC_S, entries) > 0);
        answer_ns = b->now.mono_ns - asked_ns;
    }
    CU_ASSERT_EQUAL(bench_send_symbol(b, &m, 0, 7), CONFCAST_OK);
    bench_run_owner(b);
    bench_forget(b);
    made_free(&m);
    return answer_ns;
}

static void
what_is_lost_again_is_asked_for_again_as_soon_as_answers_take(void)
{
    struct bench b;

    bench_open(&b);
    b.windows.nack_us = 1;
    bench_link(&b);
    CU_ASSERT(spacing_of(&b, 10, 0) >= 5 * CFC_MS);
    for (uint64_t version = 11; version < 30; version++) {
        (void)spacing_of(&b, version, 500 * CFC_US);
    }
    CU_ASSERT(spacing_of(&b, 30, 0) < 1200 * CFC_US);
    bench_close(&b);
}

/* A head that comes last finds all the rest waiting, the close of the pass with it. */
static void
a_pass_that_waited_for_its_head_is_over_when_that_comes(void)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_head head;
    struct bench b;
    struct made m;
    uint64_t start_ns;

    bench_open(&b);
    b.windows.nack_us = 1;
    bench_link(&b);
    made_content(&b, &m, 800);
    head = bench_head(&b, 10, &m.id);
    (void)bench_send_content(&b, &m);
    (void)bench_send_page(&b, &m, 0, 0);
    for (uint32_t i = 0; i < 7; i++) {
        (void)bench_send_symbol(&b, &m, 0, i);
    }
    (void)bench_send_content(&b, &m);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->frames_early, 10);
    decide(&b, &head);
    start_ns = b.now.mono_ns;
    CU_ASSERT_EQUAL_FATAL(bench_await_nack(&b, CFC_S, entries), 1);
    CU_ASSERT_EQUAL(entries[0].want, CFC_WANT_SYMBOLS);
    CU_ASSERT_EQUAL(entries[0].mask, 0x80);
    CU_ASSERT(b.now.mono_ns - start_ns < CFC_MS);
    made_free(&m);
    bench_close(&b);
}

/* What lacks may wait in a socket that its owner has not had the time to read. */
static void
what_lacks_is_asked_for_as_of_the_time_until_which_the_owner_has_heard(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;
    struct cfc_frame frame;
    uint64_t last_ns;

    bench_open(&b);
    b.windows.nack_us = 1;
    bench_link(&b);
    made_content(&b, &m, 800);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    (void)bench_send_page(&b, &m, 0, 0);
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &m, 0, 0), CONFCAST_OK);
    while (bench_poll(&b, &frame)) {
    }
    last_ns = b.now.mono_ns;
    cfc_receiver_heard(b.r, last_ns);
    bench_wait(&b, 10 * CFC_MS); /* an end of silence for who hears nothing */
    while (bench_poll(&b, &frame)) {
        CU_ASSERT_NOT_EQUAL(frame.type, CFC_FRAME_NACK);
    }
    cfc_receiver_heard(b.r, last_ns + 3 * CFC_MS);
    CU_ASSERT_FALSE(bench_poll(&b, &frame));
    CU_ASSERT(cfc_receiver_deadline(b.r) <= b.now.mono_ns); /* it may be asked for any moment */
    cfc_receiver_heard(b.r, b.now.mono_ns);
    CU_ASSERT_TRUE_FATAL(bench_poll(&b, &frame));
    CU_ASSERT_EQUAL(frame.type, CFC_FRAME_NACK);

    /* Whoever never catches up asks all the same. */
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &m, 0, 1), CONFCAST_OK);
    cfc_receiver_heard(b.r, b.now.mono_ns);
    bench_wait(&b, CFC_RECEIVER_BEHIND_MAX_NS);
    while (bench_poll(&b, &frame)) {
        CU_ASSERT_NOT_EQUAL(frame.type, CFC_FRAME_NACK);
    }
    bench_wait(&b, 2 * CFC_MS);
    CU_ASSERT_TRUE_FATAL(bench_poll(&b, &frame));
    CU_ASSERT_EQUAL(frame.type, CFC_FRAME_NACK);
    made_free(&m);
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_is_lost_again_is_asked_for_again_as_soon_as_answers_take),
    CFC_CASE(a_pass_that_waited_for_its_head_is_over_when_that_comes),
    CFC_CASE(what_lacks_is_asked_for_as_of_the_time_until_which_the_owner_has_heard),
};

CFC_TEST_MAIN("receiver_timing", cases)
