/* What a receiver has served, when, and what it keeps or lets go. */
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

static struct cfc_digest
digest_of(uint8_t byte)
{
    struct cfc_digest digest;

    memset(&digest, byte, sizeof(digest));
    return digest;
}

static bool
is_last_served(const struct bench *b, const struct cfc_digest *content)
{
    return cfc_digest_equal(&bench_last(b, CFC_EVENT_SERVE)->content, content);
}

/* Has contents held by the owner, so that heads are all that matters. */
static void
hold(struct bench *b, const struct cfc_digest *content)
{
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b->r, content), CONFCAST_OK);
}

static void
decide(struct bench *b, const struct cfc_head *head)
{
    CU_ASSERT_EQUAL(bench_send_head(b, head), CONFCAST_OK);
    bench_run_owner(b);
}

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
    CFC_CASE(durable_versions_only_rise_and_never_pass_the_accepted_one),
    CFC_CASE(a_version_after_a_reverted_one_is_served_like_any_other),
    CFC_CASE(activation_of_the_content_that_is_served_already_is_told),
    CFC_CASE(a_refusal_that_comes_after_a_newer_head_does_not_condemn_the_newer_version),
    CFC_CASE(a_content_frame_with_a_wrong_signature_takes_no_memory),
    CFC_CASE(what_is_to_be_served_comes_before_its_fallback),
    CFC_CASE(what_is_to_be_served_may_exceed_the_budget_alone_and_others_may_not),
    CFC_CASE(what_was_put_off_for_want_of_room_is_not_asked_for_meanwhile),
    CFC_CASE(the_size_of_the_coded_bytes_has_the_same_limit),
    CFC_CASE(a_base_that_is_only_on_its_way_is_no_base),
    CFC_CASE(forged_bytes_inside_a_head_are_looked_at_once),
    CFC_CASE(a_content_that_comes_inside_a_head_ends_its_collection),
    CFC_CASE(a_content_above_the_limit_is_not_taken_out_of_a_head_either),
    CFC_CASE(a_content_that_is_only_kept_is_not_collected),
};

CFC_TEST_MAIN("receiver_serving", cases)
