/* A receiver asks for what it lacks: what goes into a NACK, when, and what answers change. */
#include "protocol/session/nack_wait.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

static void
all_that_is_lacking_goes_into_one_nack(void)
{
    struct bench b;
    struct made first, second;
    struct cfc_digest unseen = digest_of(9);
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_head head;
    uint32_t count, idx;

    bench_open(&b);
    made_content(&b, &first, 1600);
    made_content(&b, &second, 1600);
    bench_link(&b);
    bench_run_owner(&b);
    while (bench_await_nack(&b, CFC_MS, entries) > 0) {
    }
    head = bench_head(&b, 10, &first.id);
    head.arms[0].fallback = second.id;
    head.arm_count = 2;
    head.arms[1] = head.arms[0];
    head.arms[0].selector = CFC_SELECT_COHORT;
    head.arms[1].content = unseen;
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, "acme/other", 10, &idx), CONFCAST_OK);
    bench_run_owner(&b);
    count = bench_await_nack(&b, CFC_MS, entries); /* the head of the other scope, at once */
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_EQUAL(bench_send_content(&b, &first), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &second), CONFCAST_OK);
    (void)bench_send_page(&b, &first, 0, 0);
    (void)bench_send_symbol(&b, &first, 0, 7);
    (void)bench_send_page(&b, &second, 0, 1);
    (void)bench_send_symbol(&b, &second, 1, 0);
    bench_wait(&b, 8 * CFC_MS); /* everything is due by now */
    count = bench_await_nack(&b, 0, entries);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->nacks >= 2, true);
    CU_ASSERT_PTR_NOT_NULL(find_want(entries, count, CFC_WANT_CONTENT));
    CU_ASSERT_PTR_NOT_NULL(find_want(entries, count, CFC_WANT_PAGE));
    CU_ASSERT_PTR_NOT_NULL(find_want(entries, count, CFC_WANT_SYMBOLS));
    CU_ASSERT_EQUAL(bench_await_nack(&b, 0, entries), 0);
    made_free(&first);
    made_free(&second);
    bench_close(&b);
}

static void
the_wait_before_a_nack_is_random_within_the_window(void)
{
    uint64_t first_ns = 0, waits = 0;
    bool is_spread = false;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct bench b;
        struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
        struct cfc_digest content = digest_of(1);
        struct cfc_head head;
        uint64_t start_ns, wait_ns;

        bench_prepare(&b);
        b.config.seed = seed;
        b.windows.nack_us = 20000;
        CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope),
                        CONFCAST_OK);
        head = bench_head(&b, 10, &content);
        CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &content), CONFCAST_OK);
        bench_run_owner(&b);
        bench_link(&b);
        head.version = 11;
        CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 11, &head), CONFCAST_OK);
        start_ns = b.now.mono_ns;
        CU_ASSERT_FATAL(bench_await_nack(&b, CFC_S, entries) > 0);
        wait_ns = b.now.mono_ns - start_ns;
        CU_ASSERT(wait_ns >= CFC_MS && wait_ns < 21 * CFC_MS);
        is_spread = is_spread || (first_ns != 0 && wait_ns != first_ns);
        first_ns = wait_ns;
        waits += wait_ns;
        bench_close(&b);
    }
    CU_ASSERT(is_spread);
    CU_ASSERT(waits / 20 > 5 * CFC_MS && waits / 20 < 17 * CFC_MS);
}

static void
gone_is_believed_for_a_while_and_fresh_announces_anew(void)
{
    struct bench b;
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_gone gone;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    bench_link(&b);
    CU_ASSERT_EQUAL_FATAL(bench_await_nack(&b, CFC_S, entries), 1);
    gone = (struct cfc_gone){.key = entries[0].key, .want = CFC_WANT_HEAD};
    CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_await_nack(&b, 7 * CFC_S, entries), 0);
    CU_ASSERT_EQUAL(bench_await_nack(&b, 2 * CFC_S, entries), 1);
    CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_await_nack(&b, 2 * CFC_MS, entries), 1);
    gone.key++;
    CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_WRONG_STREAM);
    bench_close(&b);
}

static void
what_is_gone_again_and_again_is_asked_for_ever_more_rarely(void)
{
    static const uint64_t silent_s[] = {8, 16, 32, 64, 64};
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_digest content = digest_of(1);
    struct cfc_gone gone = {.want = CFC_WANT_HEAD};
    struct cfc_head head;
    struct bench b;

    bench_open(&b);
    bench_link(&b);
    CU_ASSERT_EQUAL_FATAL(bench_await_nack(&b, CFC_S, entries), 1);
    gone.key = entries[0].key;
    for (uint32_t i = 0; i < sizeof(silent_s) / sizeof(silent_s[0]); i++) {
        CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
        CU_ASSERT_EQUAL(bench_await_nack(&b, silent_s[i] * CFC_S / 4, entries), 0);
        /* Said to others, and heard while this one is silent anyhow: no longer for that. */
        CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
        CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
        CU_ASSERT_EQUAL(bench_await_nack(&b, silent_s[i] * CFC_S * 3 / 4 - CFC_MS, entries), 0);
        CU_ASSERT_EQUAL(bench_await_nack(&b, 20 * CFC_MS, entries), 1);
    }
    /* What FRESH proves is another matter, and begins anew. */
    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_fresh(&b, BENCH_EPOCH, 10, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_await_nack(&b, 20 * CFC_MS, entries), 1);
    bench_close(&b);
}

static void
another_coding_is_taken_when_the_engine_lost_the_present_one(void)
{
    struct bench b;
    struct made first, second;
    struct cfc_gone gone;
    struct cfc_head head;

    bench_open(&b);
    made_content_encoding(&b, &first, 2000, 100, 8, 1);
    b.prng.state = 1;
    made_content_encoding(&b, &second, 2000, 200, 8, 2);
    CU_ASSERT(cfc_digest_equal(&first.id, &second.id));
    head = bench_head(&b, 10, &first.id);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &first), CONFCAST_OK);
    bench_send_block(&b, &first, 0);
    /* As long as the first one comes, the second is of no interest. */
    CU_ASSERT_EQUAL(bench_send_content(&b, &second), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &second, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->symbols_ignored, 1);
    gone = (struct cfc_gone){
        .key = cfc_digest_key(&first.id), .want = CFC_WANT_SYMBOLS, .coding = 1, .index = 1};
    CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    bench_send_all(&b, &second);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&first);
    made_free(&second);
    bench_close(&b);
}

static void
what_does_not_fit_one_nack_goes_with_the_next_at_once(void)
{
    struct bench b;
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    uint64_t start_ns;
    uint32_t idx, count;

    bench_open(&b);
    b.windows.nack_us = 100000;
    for (uint32_t i = 1; i < 100; i++) {
        char path[16] = "acme/s00";

        path[6] = (char)('0' + i / 10);
        path[7] = (char)('0' + i % 10);
        CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, path, 8, &idx), CONFCAST_OK);
    }
    bench_run_owner(&b);
    bench_link(&b);
    for (int round = 0; round < 6; round++) {
        CU_ASSERT_EQUAL(bench_await_nack(&b, CFC_S, entries), CFC_NACK_ENTRIES_MAX);
        start_ns = b.now.mono_ns;
        CU_ASSERT_EQUAL(bench_await_nack(&b, CFC_US, entries), CFC_NACK_ENTRIES_MAX);
        count = bench_await_nack(&b, CFC_US, entries);
        CU_ASSERT_EQUAL(count, 100 - 2 * CFC_NACK_ENTRIES_MAX);
        CU_ASSERT_EQUAL(b.now.mono_ns, start_ns);
    }
    bench_close(&b);
}

static void
symbols_of_a_wanted_content_make_it_ask_for_the_lost_content_frame_soon(void)
{
    struct bench b;
    struct made m;
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_gone gone;
    struct cfc_head head;
    uint64_t start_ns;

    bench_open(&b);
    b.windows.nack_us = 1;
    bench_link(&b);
    made_content(&b, &m, 5000);
    head = bench_head(&b, 10, &m.id);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    start_ns = b.now.mono_ns;
    CU_ASSERT_EQUAL(bench_send_page(&b, &m, 0, 0), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL_FATAL(bench_await_nack(&b, CFC_S, entries), 1);
    CU_ASSERT_EQUAL(entries[0].want, CFC_WANT_CONTENT);
    CU_ASSERT(b.now.mono_ns - start_ns <= CFC_MS + CFC_NACK_WAIT_TIMES * CFC_US);
    /* And an engine that does not have it is believed. */
    gone = (struct cfc_gone){.key = cfc_digest_key(&m.id), .want = CFC_WANT_CONTENT};
    CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_await_nack(&b, 159 * CFC_MS, entries), 0);
    CU_ASSERT_EQUAL(bench_await_nack(&b, 2 * CFC_MS, entries), 1);
    made_free(&m);
    bench_close(&b);
}

static void
a_lost_fresh_page_that_is_gone_is_asked_for_more_rarely(void)
{
    struct bench b;
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_gone gone = {.key = BENCH_SHARD, .want = CFC_WANT_FRESH};
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;
    struct cfc_fresh_entry others[40];
    uint32_t count;
    uint64_t id;

    bench_open(&b);
    bench_link(&b);
    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &content), CONFCAST_OK);
    bench_run_owner(&b);
    id = cfc_scope_id(b.sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1);
    for (uint32_t i = 0; i < 40; i++) {
        others[i].scope_id = id + 1 + i;
        others[i].version = 1;
        memset(others[i].head_digest, 1, sizeof(others[i].head_digest));
    }
    CU_ASSERT_EQUAL(bench_make_fresh(&b, BENCH_EPOCH, 10, b.now.unix_ns, others, 40, 1),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    do {
        count = bench_await_nack(&b, 10 * CFC_S, entries);
        CU_ASSERT_FATAL(count > 0);
    } while (find_want(entries, count, CFC_WANT_FRESH) == NULL);
    CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_await_nack(&b, 31 * CFC_S, entries), 0);
    CU_ASSERT_EQUAL(bench_await_nack(&b, 2 * CFC_S, entries), 1);
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(all_that_is_lacking_goes_into_one_nack),
    CFC_CASE(the_wait_before_a_nack_is_random_within_the_window),
    CFC_CASE(gone_is_believed_for_a_while_and_fresh_announces_anew),
    CFC_CASE(what_is_gone_again_and_again_is_asked_for_ever_more_rarely),
    CFC_CASE(another_coding_is_taken_when_the_engine_lost_the_present_one),
    CFC_CASE(what_does_not_fit_one_nack_goes_with_the_next_at_once),
    CFC_CASE(symbols_of_a_wanted_content_make_it_ask_for_the_lost_content_frame_soon),
    CFC_CASE(a_lost_fresh_page_that_is_gone_is_asked_for_more_rarely),
};

CFC_TEST_MAIN("receiver_asks", cases)
