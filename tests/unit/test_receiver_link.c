/* The link to the engine: handshake, session, reports, and how NACKs are put together. */
#include <stdio.h>

#include "protocol/session/nack_wait.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

static void
joining_is_hello_challenge_hello_accept(void)
{
    struct bench b;
    struct cfc_hello first, second;
    static const uint8_t zero[CFC_COOKIE_SIZE];
    uint8_t cookie[CFC_COOKIE_SIZE];

    bench_open(&b);
    CU_ASSERT_FALSE(cfc_receiver_is_linked(b.r));
    CU_ASSERT_FATAL(bench_answer_hello(&b, CFC_WELCOME_CHALLENGE, &first));
    CU_ASSERT(b.now.mono_ns <= CFC_S + 20 * CFC_MS);
    CU_ASSERT_EQUAL(memcmp(first.cookie, zero, sizeof(zero)), 0);
    CU_ASSERT_EQUAL(first.incarnation, 12);
    CU_ASSERT_FALSE(cfc_receiver_is_linked(b.r));
    CU_ASSERT_FATAL(bench_answer_hello(&b, CFC_WELCOME_ACCEPT, &second));
    memset(cookie, 0xcc, sizeof(cookie));
    CU_ASSERT_EQUAL(memcmp(second.cookie, cookie, sizeof(cookie)), 0);
    CU_ASSERT_EQUAL(memcmp(second.nonce, first.nonce, sizeof(first.nonce)), 0);
    CU_ASSERT(cfc_receiver_is_linked(b.r));
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->hellos, 2);
    bench_close(&b);
}

static void
nothing_but_hello_goes_before_the_session_stands(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_head head;
    struct cfc_digest content = digest_of(1);
    uint32_t hellos = 0;
    uint64_t last_ns = 0, spacing_ns = 0;

    bench_open(&b);
    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    while (b.now.mono_ns < 60 * CFC_S) {
        uint8_t type = bench_poll(&b, &frame);

        if (type != 0) {
            CU_ASSERT_EQUAL(type, CFC_FRAME_HELLO);
            hellos++;
            spacing_ns = b.now.mono_ns - last_ns;
            last_ns = b.now.mono_ns;
        } else {
            uint64_t deadline_ns = cfc_receiver_deadline(b.r);

            CU_ASSERT_FATAL(deadline_ns > b.now.mono_ns && deadline_ns != CFC_NEVER);
            bench_wait(&b, deadline_ns - b.now.mono_ns);
        }
    }
    /* 200 ms doubled up to 16 times, and up to half of it again. */
    CU_ASSERT(hellos >= 12 && hellos <= 24);
    CU_ASSERT(spacing_ns >= 3200 * CFC_MS && spacing_ns <= 4800 * CFC_MS);
    bench_close(&b);
}

static void
a_welcome_for_another_hello_or_with_another_key_is_refused(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_hello hello;

    bench_open(&b);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_HELLO, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_hello_decode(&frame, b.sha, &hello), CONFCAST_OK);
    hello.nonce[0] ^= 1;
    bench_make_welcome(&b, &hello, CFC_WELCOME_ACCEPT);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_REPLAY);
    hello.nonce[0] ^= 1;
    b.credential_key.bytes[0] ^= 1;
    bench_make_welcome(&b, &hello, CFC_WELCOME_ACCEPT);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_MAC);
    CU_ASSERT_FALSE(cfc_receiver_is_linked(b.r));
    b.credential_key.bytes[0] ^= 1;
    bench_make_welcome(&b, &hello, CFC_WELCOME_ACCEPT);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT(cfc_receiver_is_linked(b.r));
    /* And once only. */
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_REPLAY);
    bench_close(&b);
}

static void
challenges_cannot_make_it_send_hellos_without_end(void)
{
    struct bench b;
    struct cfc_hello hello;
    struct cfc_frame frame;
    uint64_t start_ns;
    uint32_t answered = 0;

    bench_open(&b);
    CU_ASSERT_FATAL(bench_answer_hello(&b, CFC_WELCOME_CHALLENGE, &hello));
    start_ns = b.now.mono_ns;
    for (int i = 0; i < 20; i++) {
        if (bench_poll(&b, &frame) == CFC_FRAME_HELLO) {
            answered++;
        }
        bench_make_welcome(&b, &hello, CFC_WELCOME_CHALLENGE);
        (void)bench_deliver(&b);
    }
    CU_ASSERT_EQUAL(b.now.mono_ns, start_ns);
    CU_ASSERT_EQUAL(answered, 3);
    bench_close(&b);
}

static void
a_refusal_is_told_and_waited_out(void)
{
    struct bench b;
    struct cfc_hello hello;
    struct cfc_frame frame;
    struct cfc_receiver_event event;

    bench_open(&b);
    CU_ASSERT_FATAL(bench_answer_hello(&b, CFC_WELCOME_REFUSE, &hello));
    CU_ASSERT_EQUAL(cfc_receiver_deadline(b.r), 0);
    do {
        CU_ASSERT_EQUAL_FATAL(cfc_receiver_poll_event(b.r, &b.now, &event), CONFCAST_OK);
    } while (event.type != CFC_EVENT_IDENTITY);
    CU_ASSERT_EQUAL(event.reason, CONFCAST_ERR_EXISTS);
    CU_ASSERT_FALSE(bench_await(&b, CFC_FRAME_HELLO, 3 * CFC_S, &frame));
    CU_ASSERT(bench_await(&b, CFC_FRAME_HELLO, 4 * CFC_S, &frame));
    bench_close(&b);
}

static void
another_boot_of_the_engine_makes_it_join_again_within_the_window(void)
{
    struct bench b;
    struct cfc_hello first, second;
    struct cfc_frame frame;

    bench_open(&b);
    b.windows.hello_ms = 2000;
    CU_ASSERT(bench_answer_hello(&b, CFC_WELCOME_CHALLENGE, &first));
    CU_ASSERT(bench_answer_hello(&b, CFC_WELCOME_ACCEPT, &first));
    bench_wait(&b, 10 * CFC_S);
    CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
    CU_ASSERT_FALSE(bench_await(&b, CFC_FRAME_HELLO, 5 * CFC_S, &frame));
    b.boot_id++;
    CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
    CU_ASSERT(cfc_receiver_is_linked(b.r));
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_HELLO, 2 * CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_hello_decode(&frame, b.sha, &second), CONFCAST_OK);
    CU_ASSERT_NOT_EQUAL(memcmp(second.nonce, first.nonce, sizeof(first.nonce)), 0);
    bench_make_welcome(&b, &second, CFC_WELCOME_ACCEPT);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    /* The new session is told everything. */
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &b.session_key, &b.address), CONFCAST_OK);
    bench_close(&b);
}

static void
forged_boots_cost_at_most_one_handshake_a_second(void)
{
    struct bench b;
    struct cfc_hello hello;
    struct cfc_frame frame;
    uint64_t hellos;

    bench_open(&b);
    b.windows.hello_ms = 1;
    bench_link(&b);
    hellos = cfc_receiver_stats(b.r)->hellos;
    for (int i = 0; i < 1000; i++) {
        uint64_t boot_id = b.boot_id;

        b.boot_id = (uint64_t)i;
        CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
        b.boot_id = boot_id;
        if (bench_await(&b, CFC_FRAME_HELLO, 5 * CFC_MS, &frame)) {
            CU_ASSERT_EQUAL(cfc_hello_decode(&frame, b.sha, &hello), CONFCAST_OK);
            bench_make_welcome(&b, &hello, CFC_WELCOME_ACCEPT);
            CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
        }
    }
    hellos = cfc_receiver_stats(b.r)->hellos - hellos;
    CU_ASSERT(hellos >= 3 && hellos <= 6); /* five seconds */
    bench_close(&b);
}

static void
a_new_report_generation_is_answered_by_a_hello_within_the_window(void)
{
    struct bench b;
    struct cfc_frame frame;

    bench_open(&b);
    b.windows.hello_ms = 2000;
    bench_link(&b);
    bench_wait(&b, 10 * CFC_S);
    CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
    CU_ASSERT_FALSE(bench_await(&b, CFC_FRAME_HELLO, 5 * CFC_S, &frame));
    b.windows.report_generation++;
    CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
    CU_ASSERT(cfc_receiver_is_linked(b.r));
    CU_ASSERT(bench_await(&b, CFC_FRAME_HELLO, 2 * CFC_S, &frame));
    bench_close(&b);
}

static void
hello_proves_the_highest_head_and_names_what_is_held(void)
{
    struct bench b;
    struct cfc_hello hello;
    struct cfc_frame frame, proof;
    struct cfc_head head, proved;
    struct cfc_digest content = digest_of(1);
    const struct cfc_label label = {"zone", "eu-1", 4, 4};

    bench_open(&b);
    CU_ASSERT_EQUAL(cfc_receiver_set_labels(b.r, &label, 1), CONFCAST_OK);
    head = bench_head(&b, 10, &content);
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = 32,
                                               .coded = content.bytes,
                                               .coded_size = 32};
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &content), CONFCAST_OK);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_HELLO, CFC_S, &frame));
    CU_ASSERT_EQUAL_FATAL(cfc_hello_decode(&frame, b.sha, &hello), CONFCAST_OK);
    CU_ASSERT_EQUAL(hello.capabilities, CFC_CAPABILITY_DELTAS);
    CU_ASSERT_EQUAL(hello.hold_count, 1);
    CU_ASSERT_EQUAL(cfc_get_u64(hello.holds), cfc_digest_key(&content));
    CU_ASSERT_EQUAL(hello.label_count, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello.head_proof);
    CU_ASSERT_EQUAL(cfc_frame_open(hello.head_proof, hello.head_proof_size, &proof), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_head_decode(&proof, b.sha, &proved), CONFCAST_OK);
    CU_ASSERT_EQUAL(proved.version, 10);
    CU_ASSERT_FALSE(proved.inlined.is_present);
    CU_ASSERT_EQUAL(cfc_head_verify(&proved, &b.config.verifier, b.now.unix_ns), CONFCAST_OK);
    bench_close(&b);
}

static void
an_idle_receiver_sleeps(void)
{
    struct bench b;
    struct made m;
    struct cfc_frame frame;
    struct cfc_report report;
    struct cfc_echo echo;
    uint32_t wakeups = 0;
    uint64_t end_ns;

    bench_open(&b);
    bench_link(&b);
    made_content(&b, &m, 1000);
    bench_publish(&b, 10, &m);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
    echo = (struct cfc_echo){report.consumer_key, report.report_seq};
    CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
    end_ns = b.now.mono_ns + 3600 * CFC_S;
    while (b.now.mono_ns < end_ns) {
        uint64_t deadline_ns;

        bench_run_owner(&b);
        while (bench_poll(&b, &frame) == CFC_FRAME_REPORT) {
            CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
            echo = (struct cfc_echo){report.consumer_key, report.report_seq};
            CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
            bench_run_owner(&b);
        }
        deadline_ns = cfc_receiver_deadline(b.r);
        CU_ASSERT_FATAL(deadline_ns > b.now.mono_ns);
        bench_wait(&b, deadline_ns - b.now.mono_ns);
        wakeups++;
    }
    /* A refresh every 22 to 30 s. */
    CU_ASSERT(wakeups >= 120 && wakeups <= 170);
    made_free(&m);
    bench_close(&b);
}

static void
a_config_outside_its_ranges_is_refused(void)
{
    struct bench b;

    bench_prepare(&b);
    b.config.frame_size_max = CFC_FRAME_SIZE_MIN - 1;
    CU_ASSERT_EQUAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_ERR_INVALID);
    b.config.frame_size_max = CFC_FRAME_SIZE_MIN;
    b.config.nack_retry_ns = 0;
    CU_ASSERT_EQUAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_ERR_INVALID);
    b.config.nack_retry_ns = 1;
    b.config.content_size_max = CFC_BODY_SIZE_MAX + UINT64_C(1);
    CU_ASSERT_EQUAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_ERR_INVALID);
    b.config.content_size_max = CFC_BODY_SIZE_MAX;
    b.config.id_size = 0;
    CU_ASSERT_EQUAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_ERR_INVALID);
    b.config.id_size = sizeof(BENCH_ID) - 1;
    CU_ASSERT_EQUAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, "Acme", 4, &b.scope), CONFCAST_ERR_SCOPE_NAME);
    bench_close(&b);
    CU_ASSERT_EQUAL(b.heap.live_count, 0);
}

static void
without_memory_a_receiver_is_not_made_and_nothing_leaks(void)
{
    struct bench b;
    const struct cfc_label label = {"zone", "eu-1", 4, 4};
    size_t n = 0;
    int code;

    bench_prepare(&b);
    b.config.labels = &label;
    b.config.label_count = 1;
    do {
        b.heap.call_count = 0;
        b.heap.fail_at = ++n;
        code = cfc_receiver_new(&b.config, &b.r);
        if (code == CONFCAST_OK) {
            code = cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope);
        }
        if (code != CONFCAST_OK) {
            CU_ASSERT_EQUAL(code, CONFCAST_ERR_NO_MEMORY);
        }
        cfc_receiver_free(b.r);
        b.r = NULL;
        CU_ASSERT_EQUAL(b.heap.live_count, 0);
    } while (code != CONFCAST_OK && n < 100);
    CU_ASSERT_EQUAL(n, 7);
    bench_close(&b);
}

static void
a_cookie_that_brings_no_answer_is_given_up(void)
{
    struct bench b;
    struct cfc_hello hello;
    struct cfc_frame frame;
    static const uint8_t zero[CFC_COOKIE_SIZE];
    uint32_t with_cookie = 0;
    bool is_zero = false;

    bench_open(&b);
    CU_ASSERT_FATAL(bench_answer_hello(&b, CFC_WELCOME_CHALLENGE, &hello));
    while (!is_zero && with_cookie < 20) {
        CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_HELLO, 10 * CFC_S, &frame));
        CU_ASSERT_EQUAL(cfc_hello_decode(&frame, b.sha, &hello), CONFCAST_OK);
        is_zero = memcmp(hello.cookie, zero, sizeof(zero)) == 0;
        with_cookie += !is_zero;
    }
    CU_ASSERT_EQUAL(with_cookie, 4);
    /* The engine's next challenge is taken. */
    bench_make_welcome(&b, &hello, CFC_WELCOME_CHALLENGE);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    CU_ASSERT(bench_answer_hello(&b, CFC_WELCOME_ACCEPT, &hello));
    bench_close(&b);
}

static void
a_refusal_under_another_key_is_told_but_not_obeyed(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_hello hello;

    bench_open(&b);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_HELLO, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_hello_decode(&frame, b.sha, &hello), CONFCAST_OK);
    b.credential_key.bytes[0] ^= 1;
    bench_make_welcome(&b, &hello, CFC_WELCOME_REFUSE);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_MAC);
    b.credential_key.bytes[0] ^= 1;
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_IDENTITY)->reason, CONFCAST_ERR_MAC);
    CU_ASSERT(bench_await(&b, CFC_FRAME_HELLO, 400 * CFC_MS, &frame));
    bench_close(&b);
}

static void
windows_that_a_status_claims_are_bounded(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_report report;
    struct cfc_echo echo;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_prepare(&b);
    b.config.report_refresh_ns = 3600 * CFC_S;
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope),
                    CONFCAST_OK);
    bench_run_owner(&b);
    bench_link(&b);
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_REPORT, CFC_S, &frame));
    CU_ASSERT_EQUAL(cfc_report_decode(&frame, &report), CONFCAST_OK);
    echo = (struct cfc_echo){report.consumer_key, report.report_seq};
    b.windows.hello_ms = UINT32_MAX;
    b.windows.nack_us = UINT32_MAX;
    b.windows.report_ms = UINT32_MAX;
    CU_ASSERT_EQUAL(bench_send_status(&b, &echo, 1), CONFCAST_OK);
    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT(bench_await(&b, CFC_FRAME_NACK, 2 * CFC_S, &frame));
    }
    /* Eight times the window of the WELCOME, and no more. */
    CU_ASSERT(bench_await(&b, CFC_FRAME_REPORT, 8 * 80 * CFC_MS, &frame));
    bench_close(&b);
}

static void
a_hello_leaves_out_what_does_not_fit(void)
{
    struct bench b;
    struct cfc_frame frame;
    struct cfc_hello hello;
    struct cfc_label labels[CFC_LABEL_COUNT_MAX];
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;
    char text[2][CFC_LABEL_SIZE_MAX];
    char keys[CFC_LABEL_COUNT_MAX][2];

    memset(text, 'v', sizeof(text));
    for (uint8_t i = 0; i < CFC_LABEL_COUNT_MAX; i++) {
        keys[i][0] = 'k';
        keys[i][1] = (char)('a' + i);
        labels[i] = (struct cfc_label){keys[i], text[0], 2, CFC_LABEL_SIZE_MAX};
    }
    bench_prepare(&b);
    b.config.frame_size_max = CFC_FRAME_SIZE_MIN;
    b.config.labels = labels;
    b.config.label_count = CFC_LABEL_COUNT_MAX;
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope),
                    CONFCAST_OK);
    head = bench_head(&b, 10, &content);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    for (uint8_t i = 0; i < 40; i++) {
        content = digest_of(i);
        CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &content), CONFCAST_OK);
    }
    CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_HELLO, CFC_S, &frame));
    CU_ASSERT(b.size <= CFC_FRAME_SIZE_MIN);
    CU_ASSERT_EQUAL_FATAL(cfc_hello_decode(&frame, b.sha, &hello), CONFCAST_OK);
    CU_ASSERT_EQUAL(hello.label_count, CFC_LABEL_COUNT_MAX);
    CU_ASSERT_EQUAL(hello.hold_count, 0);
    CU_ASSERT_PTR_NULL(hello.head_proof);
    bench_close(&b);
}

static void
a_receiver_follows_256_scopes_and_no_more(void)
{
    struct bench b;
    uint32_t idx;

    bench_open(&b);
    for (uint32_t i = 1; i <= 256; i++) {
        char path[16];
        int size = snprintf(path, sizeof(path), "acme/s%u", i);

        CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, path, (size_t)size, &idx),
                        i < 256 ? CONFCAST_OK : CONFCAST_ERR_LIMIT);
    }
    CU_ASSERT_EQUAL(idx, 255);
    bench_close(&b);
    CU_ASSERT_EQUAL(b.heap.live_count, 0);
}

static void
a_status_shortens_the_wait_for_an_engine_that_was_silent(void)
{
    struct bench b;
    struct cfc_frame frame;

    bench_open(&b);
    while (b.now.mono_ns < 20 * CFC_S) {
        CU_ASSERT_FATAL(bench_await(&b, CFC_FRAME_HELLO, 10 * CFC_S, &frame));
    }
    /* The next one would be due in three seconds. */
    CU_ASSERT_EQUAL(bench_send_status(&b, NULL, 0), CONFCAST_OK);
    CU_ASSERT(bench_await(&b, CFC_FRAME_HELLO, 301 * CFC_MS, &frame));
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(joining_is_hello_challenge_hello_accept),
    CFC_CASE(nothing_but_hello_goes_before_the_session_stands),
    CFC_CASE(a_welcome_for_another_hello_or_with_another_key_is_refused),
    CFC_CASE(challenges_cannot_make_it_send_hellos_without_end),
    CFC_CASE(a_refusal_is_told_and_waited_out),
    CFC_CASE(another_boot_of_the_engine_makes_it_join_again_within_the_window),
    CFC_CASE(forged_boots_cost_at_most_one_handshake_a_second),
    CFC_CASE(a_new_report_generation_is_answered_by_a_hello_within_the_window),
    CFC_CASE(hello_proves_the_highest_head_and_names_what_is_held),
    CFC_CASE(an_idle_receiver_sleeps),
    CFC_CASE(a_config_outside_its_ranges_is_refused),
    CFC_CASE(without_memory_a_receiver_is_not_made_and_nothing_leaks),
    CFC_CASE(a_cookie_that_brings_no_answer_is_given_up),
    CFC_CASE(a_refusal_under_another_key_is_told_but_not_obeyed),
    CFC_CASE(windows_that_a_status_claims_are_bounded),
    CFC_CASE(a_hello_leaves_out_what_does_not_fit),
    CFC_CASE(a_receiver_follows_256_scopes_and_no_more),
    CFC_CASE(a_status_shortens_the_wait_for_an_engine_that_was_silent),
};

CFC_TEST_MAIN("receiver_link", cases)
