/* What a receiver has its owner serve, and when: activation, confirmation, refusals, order. */
#include "tests/unit/receiver_decisions.h"

static void
a_held_back_version_serves_its_fallback_and_is_prepared(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &old);
    head = bench_head(&b, 10, &old);
    decide(&b, &head);
    bench_forget(&b);

    head = bench_head(&b, 11, &next);
    head.activation = CFC_ACTIVATE_HOLD;
    head.arms[0].fallback = old;
    decide(&b, &head);
    CU_ASSERT(is_last_served(&b, &old));
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->state, CFC_APPLY_PREPARED);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_PREPARED), 0);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_RECEIVING);

    hold(&b, &next);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_PREPARED), 1);
    CU_ASSERT(cfc_digest_equal(&bench_last(&b, CFC_EVENT_PREPARED)->content, &next));
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_PREPARED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 11);

    head = bench_head(&b, 12, &next);
    decide(&b, &head);
    CU_ASSERT(is_last_served(&b, &next));
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    bench_close(&b);
}

static void
a_held_back_version_without_fallback_leaves_what_is_served(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &old);
    hold(&b, &next);
    head = bench_head(&b, 10, &old);
    decide(&b, &head);
    bench_forget(&b);
    head = bench_head(&b, 11, &next);
    head.activation = CFC_ACTIVATE_HOLD;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 0);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_PREPARED), 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 0);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 10);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.accepted, 11);
    bench_close(&b);
}

static void
a_timed_version_activates_at_its_time_and_no_clock_step_undoes_it(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    bench_link(&b);
    hold(&b, &old);
    hold(&b, &next);
    head = bench_head(&b, 11, &next);
    head.activation = CFC_ACTIVATE_AT;
    head.activate_unix_ns = b.now.unix_ns + 5 * CFC_MS;
    head.arms[0].fallback = old;
    decide(&b, &head);
    CU_ASSERT(is_last_served(&b, &old));
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_PREPARED), 1);
    bench_wait(&b, 5 * CFC_MS - 1);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT(cfc_receiver_deadline(b.r) <= b.now.mono_ns + 1);
    bench_wait(&b, 1);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 2);
    CU_ASSERT(is_last_served(&b, &next));
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->state, CFC_APPLY_APPLIED);
    b.now.unix_ns -= 3600 * CFC_S;
    bench_wait(&b, CFC_MS);
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 2);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    bench_close(&b);
}

static void
a_version_that_nobody_confirms_in_time_is_reverted_to_its_fallback(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &old);
    hold(&b, &next);
    head = bench_head(&b, 11, &next);
    head.arms[0].fallback = old;
    head.confirm_by_unix_ns = b.now.unix_ns + CFC_S;
    decide(&b, &head);
    CU_ASSERT(is_last_served(&b, &next));
    bench_wait(&b, CFC_S - 1);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &next));
    bench_wait(&b, 1);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &old));
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->state, CFC_APPLY_REVERTED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_REVERTED);
    /* A clock that steps back does not bring the unconfirmed version back. */
    b.now.unix_ns -= 3600 * CFC_S;
    CU_ASSERT_EQUAL(bench_deliver(&b), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &old));
    bench_close(&b);
}

static void
a_newer_version_in_time_confirms(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &old);
    hold(&b, &next);
    head = bench_head(&b, 11, &next);
    head.arms[0].fallback = old;
    head.confirm_by_unix_ns = b.now.unix_ns + CFC_S;
    decide(&b, &head);
    head = bench_head(&b, 12, &next);
    decide(&b, &head);
    bench_wait(&b, 2 * CFC_S);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &next));
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    bench_close(&b);
}

static void
without_a_fallback_an_unconfirmed_version_stays(void)
{
    struct bench b;
    struct cfc_digest next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &next);
    head = bench_head(&b, 11, &next);
    head.confirm_by_unix_ns = b.now.unix_ns + CFC_S;
    decide(&b, &head);
    bench_wait(&b, 2 * CFC_S);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT(cfc_receiver_deadline(b.r) > b.now.mono_ns || cfc_receiver_deadline(b.r) == 0);
    bench_close(&b);
}

static void
a_late_joiner_of_an_unconfirmed_version_serves_its_fallback_at_once(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &old);
    hold(&b, &next);
    head = bench_head(&b, 11, &next);
    head.arms[0].fallback = old;
    head.confirm_by_unix_ns = b.now.unix_ns;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT(is_last_served(&b, &old));
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_REVERTED);
    bench_close(&b);
}

static void
a_version_that_only_repeats_the_content_is_served_too(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &content);
    head = bench_head(&b, 10, &content);
    decide(&b, &head);
    head = bench_head(&b, 11, &content);
    head.kind = CFC_HEAD_ROLLBACK;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 2);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->kind, CFC_HEAD_ROLLBACK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 11);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 0);
    bench_close(&b);
}

static void
the_swap_never_goes_from_eight_to_seven(void)
{
    struct bench b;
    struct made seven, eight;
    struct cfc_head head;
    size_t live_count;

    bench_open(&b);
    made_content(&b, &seven, 3000);
    made_content(&b, &eight, 2000);
    head = bench_head(&b, 7, &seven.id);
    decide(&b, &head);
    live_count = b.heap.live_count;
    CU_ASSERT_EQUAL(bench_send_content(&b, &seven), CONFCAST_OK);
    bench_send_block(&b, &seven, 0);
    CU_ASSERT(b.heap.live_count > live_count);
    head = bench_head(&b, 8, &eight.id);
    decide(&b, &head);
    /* What nobody names any more is not collected on. */
    CU_ASSERT_EQUAL(b.heap.live_count, live_count);
    for (uint32_t block = 1; block < seven.tree.geometry.block_count; block++) {
        CU_ASSERT_EQUAL(bench_send_page(&b, &seven, 0, block), CONFCAST_ERR_WRONG_STREAM);
        CU_ASSERT_EQUAL(bench_send_symbol(&b, &seven, block, 0), CONFCAST_ERR_WRONG_STREAM);
    }
    bench_send_all(&b, &eight);
    bench_run_owner(&b);
    bench_send_all(&b, &seven);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT(is_last_served(&b, &eight.id));
    made_free(&seven);
    made_free(&eight);
    bench_close(&b);
}

static void
a_newer_head_while_a_swap_is_under_way_swaps_again_afterwards(void)
{
    struct bench b;
    struct cfc_digest first = digest_of(1), second = digest_of(2);
    struct cfc_receiver_event event;
    struct cfc_head head;

    bench_open(&b);
    b.is_lazy = true;
    hold(&b, &first);
    hold(&b, &second);
    head = bench_head(&b, 10, &first);
    decide(&b, &head);
    head = bench_head(&b, 11, &second);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_ACCEPTED), 2);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT_EQUAL(cfc_receiver_served(b.r, b.scope, CONFCAST_OK, &b.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 10);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_RECEIVING);
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_poll_event(b.r, &b.now, &event), CONFCAST_OK);
    CU_ASSERT_EQUAL(event.type, CFC_EVENT_SERVE);
    CU_ASSERT_EQUAL(event.version, 11);
    CU_ASSERT_EQUAL(cfc_receiver_served(b.r, b.scope, CONFCAST_OK, &b.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_served(b.r, b.scope, CONFCAST_OK, &b.now), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 11);
    bench_close(&b);
}

static void
a_refused_content_rejects_the_version_and_the_last_good_one_stays(void)
{
    struct bench b;
    struct made bad;
    struct cfc_digest good = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &good);
    head = bench_head(&b, 10, &good);
    decide(&b, &head);
    made_content(&b, &bad, 900);
    b.content_code = CONFCAST_ERR_BODY;
    bench_publish(&b, 11, &bad);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 1);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_REJECTED)->reason, CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_REJECTED)->version, 11);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 0);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_REJECTED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.reason, -CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 10);
    /* It is not fetched over and over ... */
    bench_send_all(&b, &bad);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    /* ... until another version names it. */
    b.content_code = 1;
    bench_publish(&b, 12, &bad);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 2);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    made_free(&bad);
    bench_close(&b);
}

static void
a_version_that_the_application_refuses_is_rejected_and_reported(void)
{
    struct bench b;
    struct cfc_digest good = digest_of(1), bad = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &good);
    hold(&b, &bad);
    head = bench_head(&b, 10, &good);
    decide(&b, &head);
    b.serve_code = CONFCAST_ERR_APP_REJECT;
    head = bench_head(&b, 11, &bad);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 2);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_REJECTED)->reason, CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_REJECTED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 10);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_content, cfc_digest_key(&good));
    b.serve_code = CONFCAST_OK;
    head = bench_head(&b, 12, &bad);
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    bench_close(&b);
}

static void
content_and_fallback_may_both_be_refused_and_each_is_told_once(void)
{
    struct bench b;
    struct made m;
    struct cfc_digest fallback = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &fallback);
    made_content(&b, &m, 500);
    b.serve_code = CONFCAST_ERR_APP_REJECT;
    b.content_code = CONFCAST_ERR_BODY;
    head = bench_head(&b, 10, &m.id);
    head.activation = CFC_ACTIVATE_HOLD;
    head.arms[0].fallback = fallback;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 1);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_REJECTED)->reason, CONFCAST_ERR_APP_REJECT);
    CU_ASSERT(cfc_digest_equal(&bench_last(&b, CFC_EVENT_REJECTED)->content, &fallback));
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_REJECTED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.reason, -CONFCAST_ERR_APP_REJECT);
    bench_send_all(&b, &m);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 2);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_REJECTED)->reason, CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_REJECTED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 0);
    made_free(&m);
    bench_close(&b);
}

static void
durable_versions_only_rise_and_never_pass_the_accepted_one(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    head = bench_head(&b, 10, &content);
    decide(&b, &head);
    CU_ASSERT_EQUAL(cfc_receiver_durable(b.r, b.scope, 11, &b.now), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_receiver_durable(b.r, b.scope + 1, 10, &b.now), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_receiver_durable(b.r, b.scope, 10, &b.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_durable(b.r, b.scope, 9, &b.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.durable, 10);
    bench_close(&b);
}

static void
a_version_after_a_reverted_one_is_served_like_any_other(void)
{
    struct bench b;
    struct cfc_digest old = digest_of(1), next = digest_of(2);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &old);
    hold(&b, &next);
    head = bench_head(&b, 11, &next);
    head.arms[0].fallback = old;
    head.confirm_by_unix_ns = b.now.unix_ns;
    decide(&b, &head);
    CU_ASSERT(is_last_served(&b, &old));
    head.version = 12;
    head.confirm_by_unix_ns = b.now.unix_ns + CFC_S;
    decide(&b, &head);
    CU_ASSERT(is_last_served(&b, &next));
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    bench_close(&b);
}

static void
activation_of_the_content_that_is_served_already_is_told(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    hold(&b, &content);
    head = bench_head(&b, 10, &content);
    head.activation = CFC_ACTIVATE_AT;
    head.activate_unix_ns = b.now.unix_ns + CFC_S;
    head.arms[0].fallback = content;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->state, CFC_APPLY_PREPARED);
    bench_wait(&b, CFC_S);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 2);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    bench_close(&b);
}

static void
a_refusal_that_comes_after_a_newer_head_does_not_condemn_the_newer_version(void)
{
    struct bench b;
    struct cfc_digest content = digest_of(1);
    struct cfc_head head;

    bench_open(&b);
    b.is_lazy = true;
    hold(&b, &content);
    head = bench_head(&b, 10, &content);
    decide(&b, &head);
    head.version = 11;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT_EQUAL(cfc_receiver_served(b.r, b.scope, CONFCAST_ERR_APP_REJECT, &b.now),
                    CONFCAST_OK);
    b.is_lazy = false;
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
    CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_SERVE)->version, 11);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_held_back_version_serves_its_fallback_and_is_prepared),
    CFC_CASE(a_held_back_version_without_fallback_leaves_what_is_served),
    CFC_CASE(a_timed_version_activates_at_its_time_and_no_clock_step_undoes_it),
    CFC_CASE(a_version_that_nobody_confirms_in_time_is_reverted_to_its_fallback),
    CFC_CASE(a_newer_version_in_time_confirms),
    CFC_CASE(without_a_fallback_an_unconfirmed_version_stays),
    CFC_CASE(a_late_joiner_of_an_unconfirmed_version_serves_its_fallback_at_once),
    CFC_CASE(a_version_that_only_repeats_the_content_is_served_too),
    CFC_CASE(the_swap_never_goes_from_eight_to_seven),
    CFC_CASE(a_newer_head_while_a_swap_is_under_way_swaps_again_afterwards),
    CFC_CASE(a_refused_content_rejects_the_version_and_the_last_good_one_stays),
    CFC_CASE(a_version_that_the_application_refuses_is_rejected_and_reported),
    CFC_CASE(content_and_fallback_may_both_be_refused_and_each_is_told_once),
    CFC_CASE(durable_versions_only_rise_and_never_pass_the_accepted_one),
    CFC_CASE(a_version_after_a_reverted_one_is_served_like_any_other),
    CFC_CASE(activation_of_the_content_that_is_served_already_is_told),
    CFC_CASE(a_refusal_that_comes_after_a_newer_head_does_not_condemn_the_newer_version),
};

CFC_TEST_MAIN("receiver_serving", cases)
