/* The rules of one scope by themselves: latches, targets, and what a REPORT says. */
#include "protocol/session/scope_rx.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

#define NOON BENCH_UNIX_NS

/* A scope with an accepted head, as the receiver would have it. */
static struct cfc_scope_rx *
scope_with(struct cfc_head *head)
{
    static uint8_t frame[1];
    struct cfc_scope_rx *scope = calloc(1, sizeof(*scope) + sizeof(BENCH_SCOPE));

    CU_ASSERT_PTR_NOT_NULL_FATAL(scope);
    if (scope != NULL) {
        memcpy(scope->path, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1);
        scope->path_size = sizeof(BENCH_SCOPE) - 1;
        scope->frame = frame;
        scope->head = *head;
        scope->version = head->version;
        scope->epoch = head->epoch;
    }
    return scope;
}

static struct cfc_head
head_with(uint8_t activation, uint64_t activate_ns, uint64_t confirm_ns, bool has_fallback)
{
    struct cfc_head head;

    memset(&head, 0, sizeof(head));
    head.version = 10;
    head.epoch = 5;
    head.activation = activation;
    head.activate_unix_ns = activate_ns;
    head.confirm_by_unix_ns = confirm_ns;
    head.arm_count = 1;
    memset(&head.arms[0].content, 0xc0, sizeof(head.arms[0].content));
    if (has_fallback) {
        memset(&head.arms[0].fallback, 0xfa, sizeof(head.arms[0].fallback));
    }
    return head;
}

static bool
is_target(const struct cfc_scope_rx *scope, enum cfc_scope_role role, uint8_t expected_state)
{
    uint8_t state;
    const struct cfc_digest *target = cfc_scope_rx_target(scope, &state);

    return target == cfc_scope_rx_named(scope, role) && state == expected_state;
}

static void
a_version_that_waits_needs_no_confirmation_yet(void)
{
    struct cfc_head head = head_with(CFC_ACTIVATE_HOLD, 0, NOON, true);
    struct cfc_scope_rx *scope = scope_with(&head);

    CU_ASSERT_FALSE(cfc_scope_rx_latch(scope, NOON + CFC_S));
    CU_ASSERT_FALSE(scope->is_reverted);
    CU_ASSERT_EQUAL(cfc_scope_rx_next_latch(scope), CFC_NEVER);
    CU_ASSERT(is_target(scope, CFC_SCOPE_FALLBACK, CFC_APPLY_PREPARED));
    free(scope);
}

static void
activation_and_confirmation_latch_one_after_the_other(void)
{
    struct cfc_head head = head_with(CFC_ACTIVATE_AT, NOON, NOON + CFC_S, true);
    struct cfc_scope_rx *scope = scope_with(&head);

    CU_ASSERT_EQUAL(cfc_scope_rx_next_latch(scope), NOON);
    CU_ASSERT_FALSE(cfc_scope_rx_latch(scope, NOON - 1));
    CU_ASSERT(cfc_scope_rx_latch(scope, NOON));
    CU_ASSERT(is_target(scope, CFC_SCOPE_CONTENT, CFC_APPLY_APPLIED));
    CU_ASSERT_EQUAL(cfc_scope_rx_next_latch(scope), NOON + CFC_S);
    CU_ASSERT_FALSE(cfc_scope_rx_latch(scope, NOON + CFC_S - 1));
    CU_ASSERT(cfc_scope_rx_latch(scope, NOON + CFC_S));
    CU_ASSERT(is_target(scope, CFC_SCOPE_FALLBACK, CFC_APPLY_REVERTED));
    CU_ASSERT_EQUAL(cfc_scope_rx_next_latch(scope), CFC_NEVER);
    CU_ASSERT_FALSE(cfc_scope_rx_latch(scope, NOON - CFC_S));
    CU_ASSERT(is_target(scope, CFC_SCOPE_FALLBACK, CFC_APPLY_REVERTED));
    free(scope);
}

static void
without_a_fallback_there_is_nothing_to_wait_for_or_to_revert_to(void)
{
    struct cfc_head head = head_with(CFC_ACTIVATE_AT, NOON, NOON + CFC_S, false);
    struct cfc_scope_rx *scope = scope_with(&head);
    uint8_t state;

    CU_ASSERT_PTR_NULL(cfc_scope_rx_target(scope, &state));
    CU_ASSERT(cfc_scope_rx_latch(scope, NOON + 2 * CFC_S));
    CU_ASSERT(is_target(scope, CFC_SCOPE_CONTENT, CFC_APPLY_APPLIED));
    CU_ASSERT_EQUAL(cfc_scope_rx_next_latch(scope), CFC_NEVER);
    free(scope);
}

static uint8_t
reported_state(const struct cfc_scope_rx *scope, const struct cfc_entry *arm)
{
    struct cfc_report_entry entry;

    cfc_scope_rx_report(scope, arm, &entry);
    return entry.state;
}

static void
the_reported_state_is_applied_only_while_the_arms_content_is_really_served(void)
{
    struct cfc_head head = head_with(CFC_ACTIVATE_NOW, 0, NOON, true);
    struct cfc_scope_rx *scope = scope_with(&head);
    struct cfc_entry arm = {.state = CFC_ENTRY_HELD, .id = head.arms[0].content};

    (void)cfc_scope_rx_latch(scope, NOON - 1);
    CU_ASSERT_EQUAL(reported_state(scope, &arm), CFC_APPLY_RECEIVING);
    scope->serving = &arm;
    scope->serving_version = 9;
    scope->serving_state = CFC_APPLY_APPLIED;
    CU_ASSERT_EQUAL(reported_state(scope, &arm), CFC_APPLY_RECEIVING);
    scope->serving_version = 10;
    CU_ASSERT_EQUAL(reported_state(scope, &arm), CFC_APPLY_APPLIED);
    /* What an arm of other labels served before a restart is not this arm's content. */
    arm.id.bytes[0] ^= 1;
    CU_ASSERT_EQUAL(reported_state(scope, &arm), CFC_APPLY_RECEIVING);
    arm.id.bytes[0] ^= 1;
    /* Reverted, but the fallback is not served yet: neither the one nor the other. */
    (void)cfc_scope_rx_latch(scope, NOON);
    CU_ASSERT_EQUAL(reported_state(scope, &arm), CFC_APPLY_RECEIVING);
    scope->serving_state = CFC_APPLY_REVERTED;
    CU_ASSERT_EQUAL(reported_state(scope, &arm), CFC_APPLY_REVERTED);
    scope->version = 0;
    CU_ASSERT_EQUAL(reported_state(scope, NULL), CFC_APPLY_NONE);
    free(scope);
}

static void
rejection_shows_with_the_reason_of_what_was_to_be_served(void)
{
    struct cfc_head head = head_with(CFC_ACTIVATE_NOW, 0, NOON, true);
    struct cfc_scope_rx *scope = scope_with(&head);
    struct cfc_report_entry entry;

    (void)cfc_scope_rx_latch(scope, NOON - 1);
    scope->rejections[CFC_SCOPE_FALLBACK].reason = CONFCAST_ERR_BODY;
    CU_ASSERT_EQUAL(reported_state(scope, NULL), CFC_APPLY_RECEIVING);
    scope->rejections[CFC_SCOPE_CONTENT].reason = CONFCAST_ERR_APP_REJECT;
    cfc_scope_rx_report(scope, NULL, &entry);
    CU_ASSERT_EQUAL(entry.state, CFC_APPLY_REJECTED);
    CU_ASSERT_EQUAL(entry.reason, -CONFCAST_ERR_APP_REJECT);
    free(scope);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_version_that_waits_needs_no_confirmation_yet),
    CFC_CASE(activation_and_confirmation_latch_one_after_the_other),
    CFC_CASE(without_a_fallback_there_is_nothing_to_wait_for_or_to_revert_to),
    CFC_CASE(the_reported_state_is_applied_only_while_the_arms_content_is_really_served),
    CFC_CASE(rejection_shows_with_the_reason_of_what_was_to_be_served),
};

CFC_TEST_MAIN("scope_rx", cases)
