/* Which contents a receiver collects, keeps and gives up: arms, budget, codings, memory. */
#include "tests/unit/receiver_decisions.h"

static void
contents_of_all_arms_are_fetched_so_that_a_stage_is_one_frame(void)
{
    struct bench b;
    struct made stable, candidate;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &stable, 900);
    made_content(&b, &candidate, 1100);
    bench_publish(&b, 10, &stable);
    head = bench_head(&b, 11, &stable.id);
    head.arm_count = 2;
    head.arms[1] = head.arms[0];
    head.arms[0].selector = CFC_SELECT_COHORT;
    head.arms[0].threshold = 0;
    head.arms[0].content = candidate.id;
    decide(&b, &head);
    bench_send_all(&b, &candidate);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &stable.id));
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 2);
    bench_forget(&b);
    head.version = 12;
    head.arms[0].threshold = UINT32_MAX;
    decide(&b, &head);
    CU_ASSERT_EQUAL(b.event_count, 2);
    CU_ASSERT(is_last_served(&b, &candidate.id));
    CU_ASSERT_EQUAL(bench_scope(&b).entry.arm, 0);
    /* And back again, by one frame. */
    head = bench_head(&b, 13, &stable.id);
    decide(&b, &head);
    CU_ASSERT(is_last_served(&b, &stable.id));
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_RELEASE)->type, CFC_EVENT_RELEASE);
    CU_ASSERT(cfc_digest_equal(&bench_last(&b, CFC_EVENT_RELEASE)->content, &candidate.id));
    made_free(&stable);
    made_free(&candidate);
    bench_close(&b);
}

static void
a_content_is_released_only_when_nothing_names_or_serves_it(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &old);
    head = bench_head(&b, 10, &old);
    decide(&b, &head);
    head = bench_head(&b, 11, &next);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 0);
    hold(&b, &next);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &next));
    CU_ASSERT_EQUAL_FATAL(bench_count(&b, CFC_EVENT_RELEASE), 1);
    CU_ASSERT(cfc_digest_equal(&bench_last(&b, CFC_EVENT_RELEASE)->content, &old));
    /* Released after the swap, not before. */
    CU_ASSERT_EQUAL(b.events[b.event_count - 1].type, CFC_EVENT_RELEASE);
    bench_close(&b);
}

static void
own_content_comes_before_that_of_other_arms_within_the_budget(void)
{
    struct bench b;
    struct made own, other;
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_head head;
    uint32_t count;

    bench_prepare(&b);
    b.config.budget_size = 3000;
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope),
                    CONFCAST_OK);
    bench_link(&b);
    made_content(&b, &own, 2500);
    made_content(&b, &other, 2000);
    head = bench_head(&b, 10, &own.id);
    head.arm_count = 2;
    head.arms[1] = head.arms[0];
    head.arms[0].selector = CFC_SELECT_COHORT;
    head.arms[0].threshold = 0;
    head.arms[0].content = other.id;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &other), CONFCAST_OK);
    bench_send_block(&b, &other, 0);
    /* The own one pushes it out, ... */
    CU_ASSERT_EQUAL(bench_send_content(&b, &own), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &other, 1, 0), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(bench_send_content(&b, &other), CONFCAST_ERR_LIMIT);
    /* ... and it is asked for again when there is room. */
    count = bench_await_nack(&b, 3 * CFC_MS, entries);
    CU_ASSERT_PTR_NULL(find_want(entries, count, CFC_WANT_CONTENT));
    bench_send_all(&b, &own);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &own.id));
    count = bench_await_nack(&b, 100 * CFC_MS, entries);
    CU_ASSERT_EQUAL_FATAL(count, 1);
    CU_ASSERT_EQUAL(entries[0].want, CFC_WANT_CONTENT);
    CU_ASSERT_EQUAL(entries[0].key, cfc_digest_key(&other.id));
    bench_send_all(&b, &other);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 2);
    made_free(&own);
    made_free(&other);
    bench_close(&b);
}

static void
a_content_above_the_limit_is_refused_before_any_allocation(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;
    size_t call_count;

    bench_prepare(&b);
    b.config.content_size_max = 999;
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope),
                    CONFCAST_OK);
    made_content(&b, &m, 1000);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    call_count = b.heap.call_count;
    b.verifications = 0;
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(b.heap.call_count, call_count);
    CU_ASSERT_EQUAL(b.verifications, 0);
    made_free(&m);
    made_content(&b, &m, 999);
    head = bench_head(&b, 11, &m.id);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    made_free(&m);
    bench_close(&b);
}

static void
a_delta_is_taken_only_when_its_base_is_held_and_keeps_it(void)
{
    struct bench b;
    struct made m;
    struct cfc_digest base = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 1000);
    m.content.encoding = CFC_ENCODING_ZSTD_DELTA;
    m.content.base = base;
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_ERR_NO_BASE);
    hold(&b, &base);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    bench_send_all(&b, &m);
    bench_run_owner(&b);
    CU_ASSERT(cfc_digest_equal(&bench_last(&b, CFC_EVENT_CONTENT)->base, &base));
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_CONTENT)->encoding, CFC_ENCODING_ZSTD_DELTA);
    /* Now that the delta is decoded, nothing needs the base. */
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 1);
    made_free(&m);
    bench_close(&b);
}

static void
an_owner_without_the_base_gets_another_coding(void)
{
    struct bench b;
    struct made delta, full;
    struct cfc_digest base = digest_of(1);
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_head head;
    uint32_t count;

    bench_open(&b);
    bench_link(&b);
    made_content(&b, &full, 1000);
    delta = full;
    delta.content.encoding = CFC_ENCODING_ZSTD_DELTA;
    delta.content.base = base;
    hold(&b, &base);
    head = bench_head(&b, 10, &full.id);
    head.arms[0].fallback = base;
    decide(&b, &head);
    bench_send_all(&b, &delta);
    b.content_code = CONFCAST_ERR_NO_BASE;
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
    count = bench_await_nack(&b, 20 * CFC_MS, entries);
    CU_ASSERT_PTR_NOT_NULL(find_want(entries, count, CFC_WANT_CONTENT));
    CU_ASSERT_EQUAL(bench_send_content(&b, &delta), CONFCAST_ERR_NO_BASE);
    b.content_code = 1;
    made_free(&full);
    b.prng.state = 1;
    made_content_encoding(&b, &full, 1000, 100, 8, 2);
    CU_ASSERT(cfc_digest_equal(&full.id, &delta.id));
    bench_send_all(&b, &full);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&full);
    bench_close(&b);
}

static void
an_owner_without_memory_is_told_once_more_and_then_it_is_collected_again(void)
{
    struct bench b;
    struct made m;

    bench_open(&b);
    made_content(&b, &m, 1000);
    b.content_code = CONFCAST_ERR_NO_MEMORY;
    bench_publish(&b, 10, &m);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
    bench_wait(&b, 100 * CFC_MS - 1);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    bench_wait(&b, 1);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 2);
    bench_wait(&b, CFC_S);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 2);
    b.content_code = 1;
    bench_send_all(&b, &m);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&m);
    bench_close(&b);
}

static void
forged_bytes_inside_a_head_do_not_condemn_the_content(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;
    uint8_t garbage[300] = {1, 2, 3};

    bench_open(&b);
    made_content(&b, &m, 300);
    head = bench_head(&b, 10, &m.id);
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = sizeof(garbage),
                                               .coded = garbage,
                                               .coded_size = sizeof(garbage)};
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
    bench_send_all(&b, &m);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&m);
    bench_close(&b);
}

static void
bytes_in_the_hands_of_the_owner_outlive_the_head_that_named_them(void)
{
    struct bench b;
    struct made m;
    struct cfc_digest next = digest_of(2);
    struct cfc_receiver_event event;
    struct cfc_head head;

    bench_open(&b);
    b.is_lazy = true;
    made_content(&b, &m, 1000);
    bench_publish(&b, 10, &m);
    event = *bench_last(&b, CFC_EVENT_CONTENT);
    CU_ASSERT_EQUAL_FATAL(event.size, 1000);
    hold(&b, &next);
    head = bench_head(&b, 11, &next);
    decide(&b, &head);
    CU_ASSERT_EQUAL(memcmp(event.bytes, m.body, m.size), 0);
    bench_forget(&b);
    CU_ASSERT_EQUAL(cfc_receiver_content_done(b.r, &m.id, CONFCAST_OK, &b.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_content_done(b.r, &m.id, CONFCAST_OK, &b.now),
                    CONFCAST_ERR_NOT_FOUND);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 1);
    made_free(&m);
    bench_close(&b);
}

static void
a_collection_that_nothing_comes_for_is_freed_and_begins_anew_later(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;
    size_t live_count;

    bench_open(&b);
    made_content(&b, &m, 2000);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    live_count = b.heap.live_count;
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    bench_send_block(&b, &m, 0);
    bench_run_owner(&b);
    bench_wait(&b, 119 * CFC_S);
    bench_run_owner(&b);
    CU_ASSERT(b.heap.live_count > live_count);
    bench_wait(&b, CFC_S);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(b.heap.live_count, live_count);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->errors[-CONFCAST_ERR_TIMEOUT], 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
    bench_send_all(&b, &m);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&m);
    bench_close(&b);
}

static void
without_memory_for_a_content_the_last_good_stays_and_a_later_try_succeeds(void)
{
    struct bench b;
    struct made old, next;
    struct cfc_head head;
    size_t n = 0, live_count;
    int code;

    do {
        bench_open(&b);
        made_content(&b, &old, 500);
        made_content(&b, &next, 900);
        bench_publish(&b, 10, &old);
        head = bench_head(&b, 11, &next.id);
        decide(&b, &head);
        live_count = b.heap.live_count;
        b.heap.call_count = 0;
        b.heap.fail_at = ++n;
        b.heap.fails_for_good = true;
        code = bench_send_content(&b, &next);
        if (code != CONFCAST_OK) {
            CU_ASSERT_EQUAL(code, CONFCAST_ERR_NO_MEMORY);
            CU_ASSERT_EQUAL(b.heap.live_count, live_count);
            CU_ASSERT(is_last_served(&b, &old.id));
        }
        b.heap.fail_at = 0;
        bench_send_all(&b, &next);
        bench_run_owner(&b);
        CU_ASSERT(is_last_served(&b, &next.id));
        made_free(&old);
        made_free(&next);
        bench_close(&b);
        CU_ASSERT_EQUAL(b.heap.live_count, 0);
    } while (code != CONFCAST_OK && n < 100);
    CU_ASSERT_EQUAL(n, 3);
}

static void
a_content_frame_with_a_wrong_signature_takes_no_memory(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;
    size_t call_count;

    bench_open(&b);
    made_content(&b, &m, 1000);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    call_count = b.heap.call_count;
    bench_make_content(&b, &m);
    b.frame[b.size - 1] ^= 1;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_SIGNATURE);
    b.frame[b.size - 1] ^= 1;
    b.frame[120] ^= 1; /* a top digest, which the signature covers */
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_ERR_SIGNATURE);
    CU_ASSERT_EQUAL(b.heap.call_count, call_count);
    CU_ASSERT_EQUAL(bench_send_page(&b, &m, 0, 0), CONFCAST_ERR_NOT_FOUND);
    made_free(&m);
    bench_close(&b);
}

static void
open_with_budget(struct bench *b, uint64_t budget_size)
{
    bench_prepare(b);
    b->config.budget_size = budget_size;
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b->config, &b->r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b->r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b->scope),
                    CONFCAST_OK);
}

static void
what_is_to_be_served_comes_before_its_fallback(void)
{
    struct bench b;
    struct made content, fallback;
    struct cfc_head head;

    open_with_budget(&b, 3000);
    made_content(&b, &content, 2500);
    made_content(&b, &fallback, 2000);
    head = bench_head(&b, 10, &content.id);
    head.arms[0].fallback = fallback.id;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &fallback), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &fallback), CONFCAST_ERR_LIMIT);
    made_free(&content);
    made_free(&fallback);
    bench_close(&b);

    /* Held back, it is the other way round. */
    open_with_budget(&b, 3000);
    made_content(&b, &content, 2500);
    made_content(&b, &fallback, 2000);
    head = bench_head(&b, 10, &content.id);
    head.arms[0].fallback = fallback.id;
    head.activation = CFC_ACTIVATE_HOLD;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &fallback), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &content), CONFCAST_ERR_LIMIT);
    made_free(&content);
    made_free(&fallback);
    bench_close(&b);
}

static void
what_is_to_be_served_may_exceed_the_budget_alone_and_others_may_not(void)
{
    struct bench b;
    struct made own, other;
    struct cfc_head head;

    open_with_budget(&b, 1000);
    made_content(&b, &own, 1001);
    made_content(&b, &other, 1002);
    head = bench_head(&b, 10, &own.id);
    head.arm_count = 2;
    head.arms[1] = head.arms[0];
    head.arms[0].selector = CFC_SELECT_COHORT;
    head.arms[0].content = other.id;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &other), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(bench_send_content(&b, &own), CONFCAST_OK);
    made_free(&own);
    made_free(&other);
    bench_close(&b);
}

static void
what_was_put_off_for_want_of_room_is_not_asked_for_meanwhile(void)
{
    struct bench b;
    struct made own, other;
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_head head;
    uint32_t count;

    open_with_budget(&b, 3000);
    bench_link(&b);
    made_content(&b, &own, 2500);
    made_content(&b, &other, 2000);
    head = bench_head(&b, 10, &own.id);
    head.arm_count = 2;
    head.arms[1] = head.arms[0];
    head.arms[0].selector = CFC_SELECT_COHORT;
    head.arms[0].content = other.id;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &other), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &own), CONFCAST_OK);
    for (int i = 0; i < 20; i++) {
        count = bench_await_nack(&b, 50 * CFC_MS, entries);
        CU_ASSERT_PTR_NULL(find_want(entries, count, CFC_WANT_CONTENT));
    }
    made_free(&own);
    made_free(&other);
    bench_close(&b);
}

static void
the_size_of_the_coded_bytes_has_the_same_limit(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_prepare(&b);
    b.config.content_size_max = 999;
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope),
                    CONFCAST_OK);
    made_content(&b, &m, 1000);
    m.content.encoding = CFC_ENCODING_ZSTD;
    m.content.body_size = 999;
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_ERR_LIMIT);
    made_free(&m);
    bench_close(&b);
}

static void
a_base_that_is_only_on_its_way_is_no_base(void)
{
    struct bench b;
    struct made base, m;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &base, 1000);
    made_content(&b, &m, 1000);
    m.content.encoding = CFC_ENCODING_ZSTD_DELTA;
    m.content.base = base.id;
    head = bench_head(&b, 10, &m.id);
    head.arms[0].fallback = base.id;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &base), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_ERR_NO_BASE);
    bench_send_all(&b, &base);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    made_free(&base);
    made_free(&m);
    bench_close(&b);
}

static void
forged_bytes_inside_a_head_are_looked_at_once(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;
    uint8_t garbage[300] = {1, 2, 3};

    bench_open(&b);
    made_content(&b, &m, 300);
    head = bench_head(&b, 10, &m.id);
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_ZSTD,
                                               .body_size = 300,
                                               .coded = garbage,
                                               .coded_size = sizeof(garbage)};
    b.content_code = CONFCAST_ERR_ZSTD;
    for (int i = 0; i < 5; i++) {
        decide(&b, &head);
    }
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    made_free(&m);
    bench_close(&b);
}

static void
a_content_that_comes_inside_a_head_ends_its_collection(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 500);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    (void)bench_send_page(&b, &m, 0, 0);
    (void)bench_send_symbol(&b, &m, 0, 0);
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = 500,
                                               .coded = m.body,
                                               .coded_size = 500};
    /* Without memory for the copy, the collection just goes on. */
    b.heap.call_count = 0;
    b.heap.fail_at = 1;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 0);
    b.heap.fail_at = 0;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &m, 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    made_free(&m);
    bench_close(&b);
}

static void
a_content_above_the_limit_is_not_taken_out_of_a_head_either(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_prepare(&b);
    b.config.content_size_max = 499;
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&b.config, &b.r), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_subscribe(b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b.scope),
                    CONFCAST_OK);
    made_content(&b, &m, 500);
    head = bench_head(&b, 10, &m.id);
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = 500,
                                               .coded = m.body,
                                               .coded_size = 500};
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_ACCEPTED), 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 0);
    made_free(&m);
    bench_close(&b);
}

/* The receiver decodes nothing, so that any bytes will do. */
static void
a_delta_in_a_head_is_taken_by_who_holds_its_base(void)
{
    for (int holds = 0; holds <= 1; holds++) {
        struct digest_pair {
            struct cfc_digest base, next;
        } ids = {digest_of(1), digest_of(2)};
        struct cfc_head head;
        struct bench b;

        bench_open(&b);
        b.content_code = CONFCAST_ERR_NO_BASE;
        if (holds != 0) {
            hold(&b, &ids.base);
        }
        head = bench_head(&b, 10, &ids.base);
        decide(&b, &head);
        head = bench_head(&b, 11, &ids.next);
        head.inlined = (struct cfc_inline_content){.is_present = true,
                                                   .encoding = CFC_ENCODING_ZSTD_DELTA,
                                                   .body_size = 500,
                                                   .base = ids.base,
                                                   .coded = (const uint8_t *)"delta",
                                                   .coded_size = 5};
        decide(&b, &head);
        CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), holds);
        /* The base was lost after all, or never was here: the content is asked for. */
        CU_ASSERT(cfc_receiver_is_held_up(b.r, b.scope));
        if (holds != 0) {
            const struct cfc_receiver_event *event = bench_last(&b, CFC_EVENT_CONTENT);

            CU_ASSERT_EQUAL(event->encoding, CFC_ENCODING_ZSTD_DELTA);
            CU_ASSERT(cfc_digest_equal(&event->base, &ids.base));
            CU_ASSERT(cfc_digest_equal(&event->content, &ids.next));
            CU_ASSERT_EQUAL(event->size, 5);
            CU_ASSERT_EQUAL(event->body_size, 500);
        }
        bench_close(&b);
    }
}

static void
a_content_that_is_only_kept_is_not_collected(void)
{
    struct bench b;
    struct made m;
    struct cfc_digest next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 500);
    hold(&b, &m.id);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    head = bench_head(&b, 11, &next);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_send_symbol(&b, &m, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->symbols_duplicate, 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 0);
    made_free(&m);
    bench_close(&b);
}

static void
a_timer_that_is_due_already_is_served_before_the_owner_sleeps(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 2000);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    /* The owner was busy for two minutes and has not seen a timer since. */
    bench_wait(&b, 121 * CFC_S);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->errors[-CONFCAST_ERR_TIMEOUT], 1);
    made_free(&m);
    bench_close(&b);
}

static void
the_last_symbol_is_asked_for_soon_after_the_closing_content_frame(void)
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
    made_content(&b, &m, 800);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    (void)bench_send_page(&b, &m, 0, 0);
    for (uint32_t i = 0; i < 7; i++) {
        CU_ASSERT_EQUAL(bench_send_symbol(&b, &m, 0, i), CONFCAST_OK);
    }
    start_ns = b.now.mono_ns;
    CU_ASSERT_EQUAL(bench_send_content(&b, &m), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bench_await_nack(&b, CFC_S, entries), 1);
    CU_ASSERT_EQUAL(entries[0].want, CFC_WANT_SYMBOLS);
    CU_ASSERT(b.now.mono_ns - start_ns <= CFC_MS + CFC_US);
    /* An engine that has it no more is left alone for a while, but for the CONTENT of another
     * coding. */
    gone = (struct cfc_gone){
        .key = cfc_digest_key(&m.id), .want = CFC_WANT_SYMBOLS, .coding = m.content.coding};
    CU_ASSERT_EQUAL(cfc_gone_encode(&gone, b.frame, sizeof(b.frame), &b.size), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    start_ns = b.now.mono_ns;
    for (;;) {
        uint32_t count = bench_await_nack(&b, 159 * CFC_MS - (b.now.mono_ns - start_ns), entries);

        if (count == 0) {
            break;
        }
        CU_ASSERT_EQUAL(count, 1);
        CU_ASSERT_EQUAL(entries[0].want, CFC_WANT_CONTENT);
    }
    made_free(&m);
    bench_close(&b);
}

/* How much of the content is there for the owner; 0 when there is nothing. */
static size_t
part_size(struct bench *b, const struct made *m)
{
    struct cfc_receiver_part part;

    if (cfc_receiver_part(b->r, &part) != CONFCAST_OK) {
        return 0;
    }
    CU_ASSERT_EQUAL(part.coded_size, m->size);
    CU_ASSERT_EQUAL(part.body_size, m->size);
    CU_ASSERT_EQUAL(part.encoding, CFC_ENCODING_RAW);
    CU_ASSERT_EQUAL(memcmp(part.bytes, m->body, part.size), 0);
    return part.size;
}

static void
parts_are_what_is_verified_from_the_beginning_without_a_gap(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &m, 1950); /* 3 blocks of 8 symbols of 100 bytes */
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    CU_ASSERT_EQUAL(part_size(&b, &m), 0);
    (void)bench_send_content(&b, &m);
    (void)bench_send_symbol(&b, &m, 0, 0);
    CU_ASSERT_EQUAL(part_size(&b, &m), 0); /* nothing vouches for it yet */
    (void)bench_send_page(&b, &m, 0, 0);
    CU_ASSERT_EQUAL(part_size(&b, &m), 100);
    (void)bench_send_symbol(&b, &m, 0, 2);
    CU_ASSERT_EQUAL(part_size(&b, &m), 100);
    (void)bench_send_symbol(&b, &m, 0, 1);
    CU_ASSERT_EQUAL(part_size(&b, &m), 300);
    bench_send_block(&b, &m, 1);
    CU_ASSERT_EQUAL(part_size(&b, &m), 300);
    bench_send_block(&b, &m, 0);
    CU_ASSERT_EQUAL(part_size(&b, &m), 1600);
    (void)bench_send_page(&b, &m, 0, 2);
    (void)bench_send_symbol(&b, &m, 2, 3); /* the last one, of 50 bytes */
    (void)bench_send_symbol(&b, &m, 2, 0);
    CU_ASSERT_EQUAL(part_size(&b, &m), 1700);
    (void)bench_send_symbol(&b, &m, 2, 1);
    (void)bench_send_symbol(&b, &m, 2, 2);
    /* It is complete: CONTENT has it all, with the same number. */
    CU_ASSERT_EQUAL(part_size(&b, &m), 0);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &m.id));
    made_free(&m);
    bench_close(&b);
}

static void
parts_of_another_collection_have_another_number(void)
{
    struct bench b;
    struct made m;
    struct cfc_head head;
    struct cfc_receiver_part first, second;

    bench_open(&b);
    made_content(&b, &m, 1950);
    head = bench_head(&b, 10, &m.id);
    decide(&b, &head);
    (void)bench_send_content(&b, &m);
    bench_send_block(&b, &m, 0);
    CU_ASSERT_EQUAL(cfc_receiver_part(b.r, &first), CONFCAST_OK);
    CU_ASSERT_EQUAL(first.size, 800);
    /* Nothing comes for so long that it is given up, and begun anew later. */
    bench_wait(&b, 120 * CFC_S);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(cfc_receiver_part(b.r, &second), CONFCAST_ERR_AGAIN);
    (void)bench_send_content(&b, &m);
    CU_ASSERT_EQUAL(cfc_receiver_part(b.r, &second), CONFCAST_OK);
    CU_ASSERT_NOT_EQUAL(second.collection, first.collection);
    CU_ASSERT_EQUAL(second.size, 0);
    for (uint32_t block = 0; block < 3; block++) {
        bench_send_block(&b, &m, block);
    }
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_CONTENT)->collection, second.collection);
    made_free(&m);
    bench_close(&b);
}

static void
parts_are_given_of_what_is_to_be_served_only(void)
{
    struct bench b;
    struct made serving, other;
    struct cfc_receiver_part part;
    struct cfc_head head;

    bench_open(&b);
    made_content(&b, &serving, 1000);
    made_content(&b, &other, 1100);
    head = bench_head(&b, 10, &serving.id);
    head.arms[0].fallback = other.id;
    decide(&b, &head);
    (void)bench_send_content(&b, &other);
    bench_send_block(&b, &other, 0);
    CU_ASSERT_EQUAL(cfc_receiver_part(b.r, &part), CONFCAST_ERR_AGAIN);
    (void)bench_send_content(&b, &serving);
    bench_send_block(&b, &serving, 0);
    CU_ASSERT_EQUAL(cfc_receiver_part(b.r, &part), CONFCAST_OK);
    CU_ASSERT_EQUAL(part.coded_size, 1000);
    made_free(&serving);
    made_free(&other);
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(contents_of_all_arms_are_fetched_so_that_a_stage_is_one_frame),
    CFC_CASE(a_content_is_released_only_when_nothing_names_or_serves_it),
    CFC_CASE(own_content_comes_before_that_of_other_arms_within_the_budget),
    CFC_CASE(a_content_above_the_limit_is_refused_before_any_allocation),
    CFC_CASE(a_delta_is_taken_only_when_its_base_is_held_and_keeps_it),
    CFC_CASE(an_owner_without_the_base_gets_another_coding),
    CFC_CASE(an_owner_without_memory_is_told_once_more_and_then_it_is_collected_again),
    CFC_CASE(forged_bytes_inside_a_head_do_not_condemn_the_content),
    CFC_CASE(bytes_in_the_hands_of_the_owner_outlive_the_head_that_named_them),
    CFC_CASE(a_collection_that_nothing_comes_for_is_freed_and_begins_anew_later),
    CFC_CASE(without_memory_for_a_content_the_last_good_stays_and_a_later_try_succeeds),
    CFC_CASE(a_content_frame_with_a_wrong_signature_takes_no_memory),
    CFC_CASE(what_is_to_be_served_comes_before_its_fallback),
    CFC_CASE(what_is_to_be_served_may_exceed_the_budget_alone_and_others_may_not),
    CFC_CASE(what_was_put_off_for_want_of_room_is_not_asked_for_meanwhile),
    CFC_CASE(the_size_of_the_coded_bytes_has_the_same_limit),
    CFC_CASE(a_base_that_is_only_on_its_way_is_no_base),
    CFC_CASE(forged_bytes_inside_a_head_are_looked_at_once),
    CFC_CASE(a_content_that_comes_inside_a_head_ends_its_collection),
    CFC_CASE(a_content_above_the_limit_is_not_taken_out_of_a_head_either),
    CFC_CASE(a_delta_in_a_head_is_taken_by_who_holds_its_base),
    CFC_CASE(a_content_that_is_only_kept_is_not_collected),
    CFC_CASE(a_timer_that_is_due_already_is_served_before_the_owner_sleeps),
    CFC_CASE(parts_are_what_is_verified_from_the_beginning_without_a_gap),
    CFC_CASE(parts_of_another_collection_have_another_number),
    CFC_CASE(parts_are_given_of_what_is_to_be_served_only),
    CFC_CASE(the_last_symbol_is_asked_for_soon_after_the_closing_content_frame),
};

CFC_TEST_MAIN("receiver_contents", cases)
