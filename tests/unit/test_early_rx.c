#include "protocol/session/early_rx.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

static void
frames_that_overtake_their_head_are_taken_once_it_comes(void)
{
    struct bench b;
    struct cfc_head head;
    struct made m;

    bench_open(&b);
    made_content(&b, &m, 2000);
    head = bench_head(&b, 10, &m.id);
    for (uint32_t block = 0; block < m.tree.geometry.block_count; block++) {
        bench_send_block(&b, &m, block);
    }
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_ERR_WRONG_STREAM);
    CU_ASSERT(cfc_receiver_stats(b.r)->frames_early > 20);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->symbols, 20);
    made_free(&m);
    bench_close(&b);
}

static void
symbols_that_overtake_their_content_are_taken_once_it_comes(void)
{
    struct bench b;
    struct cfc_head head;
    struct made m;

    bench_open(&b);
    made_content(&b, &m, 2000);
    head = bench_head(&b, 10, &m.id);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    bench_send_block(&b, &m, 0);
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &m, 1, 0), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->symbols, 0);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->symbols, 8);
    bench_send_all(&b, &m);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&m);
    bench_close(&b);
}

static void
of_two_early_symbols_for_one_place_the_one_that_verifies_wins(void)
{
    struct bench b;
    struct cfc_head head;
    struct made m;

    bench_open(&b);
    made_content(&b, &m, 800);
    head = bench_head(&b, 10, &m.id);
    bench_make_symbol(&b, &m, 0, 3);
    b.frame[b.size - 1] ^= 1;
    (void)bench_deliver(&b);
    bench_send_block(&b, &m, 0);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->errors[-CONFCAST_ERR_DIGEST], 1);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&m);
    bench_close(&b);
}

static void
a_flood_of_unseen_contents_costs_a_bounded_quarantine_for_a_moment(void)
{
    struct bench b;
    struct cfc_head head;
    struct made m;
    size_t before, most = CFC_EARLY_SIZE_MAX / 1000;

    bench_open(&b);
    bench_run_owner(&b);
    before = b.heap.live_count;
    memset(b.frame, 0x5a, sizeof(b.frame));
    for (uint64_t i = 0; i < 100000; i++) {
        cfc_symbol_header(i * 2654435761u + 1, 0, 0, 1, 1000, b.frame);
        b.size = CFC_SYMBOL_HEADER_SIZE + 1000;
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_WRONG_STREAM);
        CU_ASSERT_FATAL(b.heap.live_count <= before + most);
    }
    CU_ASSERT(b.heap.live_count > before + most / 2);
    bench_wait(&b, CFC_EARLY_AGE_NS);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(b.heap.live_count, before);
    /* And what is published then comes through. */
    made_content(&b, &m, 2000);
    head = bench_head(&b, 10, &m.id);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_send_all(&b, &m);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&m);
    bench_close(&b);
}

static void
what_is_kept_is_looked_after_by_the_deadline(void)
{
    struct bench b;
    struct made m;

    bench_open(&b);
    bench_run_owner(&b);
    made_content(&b, &m, 800);
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &m, 0, 0), CONFCAST_ERR_WRONG_STREAM);
    CU_ASSERT(cfc_receiver_deadline(b.r) <= b.now.mono_ns + CFC_EARLY_AGE_NS);
    made_free(&m);
    bench_close(&b);
}

static void
without_memory_an_early_frame_is_dropped(void)
{
    struct bench b;
    struct made m;
    size_t before;

    bench_open(&b);
    made_content(&b, &m, 800);
    before = b.heap.live_count;
    b.heap.call_count = 0;
    b.heap.fail_at = 1;
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &m, 0, 0), CONFCAST_ERR_WRONG_STREAM);
    CU_ASSERT_EQUAL(b.heap.live_count, before);
    b.heap.fail_at = 0;
    bench_publish(&b, 10, &m);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&m);
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(frames_that_overtake_their_head_are_taken_once_it_comes),
    CFC_CASE(symbols_that_overtake_their_content_are_taken_once_it_comes),
    CFC_CASE(of_two_early_symbols_for_one_place_the_one_that_verifies_wins),
    CFC_CASE(a_flood_of_unseen_contents_costs_a_bounded_quarantine_for_a_moment),
    CFC_CASE(what_is_kept_is_looked_after_by_the_deadline),
    CFC_CASE(without_memory_an_early_frame_is_dropped),
};

CFC_TEST_MAIN("early_rx", cases)
