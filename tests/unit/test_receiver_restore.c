#include "protocol/session/receiver.h"

#include <CUnit/Basic.h>

#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

/* A receiver with a floor of 10 that has lost its head, while it holds what it served at 8. */
static struct cfc_digest
open_at_floor(struct bench *b)
{
    struct cfc_digest served = digest_of(0x5a);

    bench_open(b);
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_restore(b->r, b->scope, BENCH_EPOCH, 10, NULL, 0, &b->now),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_receiver_content_held(b->r, &served), CONFCAST_OK);
    return served;
}

static void
what_was_served_is_served_again_without_its_head(void)
{
    struct bench b;
    struct cfc_digest served = open_at_floor(&b);
    struct cfc_receiver_scope scope;

    CU_ASSERT_EQUAL(cfc_receiver_restore_serving(b.r, b.scope, 4, 8, &served, CFC_APPLY_NONE),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_restore_serving(b.r, b.scope, 4, 8, &served, CFC_APPLY_NONE),
                    CONFCAST_ERR_BUSY);
    CU_ASSERT_EQUAL(cfc_receiver_served(b.r, b.scope, CONFCAST_OK, &b.now), CONFCAST_OK);
    bench_run_owner(&b);
    scope = bench_scope(&b);
    CU_ASSERT_EQUAL(scope.entry.accepted, 10);
    CU_ASSERT_EQUAL(scope.entry.serving_version, 8);
    CU_ASSERT_EQUAL(scope.entry.state, CFC_APPLY_RECEIVING);
    CU_ASSERT(cfc_digest_equal(&scope.serving, &served));
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 0);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 0);
    bench_close(&b);
}

static void
a_newer_head_replaces_what_was_restored_and_releases_it(void)
{
    struct bench b;
    struct cfc_digest served = open_at_floor(&b);
    struct cfc_digest next = digest_of(0x77);
    struct cfc_head head;

    cfc_receiver_restore_serving(b.r, b.scope, 4, 8, &served, CFC_APPLY_NONE);
    cfc_receiver_served(b.r, b.scope, CONFCAST_OK, &b.now);
    bench_run_owner(&b);
    head = bench_head(&b, 10, &next); /* the floor's own version is taken, and not an older one */
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_content_held(b.r, &next), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 10);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL_FATAL(bench_count(&b, CFC_EVENT_RELEASE), 1);
    CU_ASSERT(cfc_digest_equal(&bench_last(&b, CFC_EVENT_RELEASE)->content, &served));
    bench_close(&b);
}

static void
the_same_content_under_the_restored_head_is_applied_anew(void)
{
    struct bench b;
    struct cfc_digest served = open_at_floor(&b);
    struct cfc_head head;

    cfc_receiver_restore_serving(b.r, b.scope, BENCH_EPOCH, 10, &served, CFC_APPLY_NONE);
    cfc_receiver_served(b.r, b.scope, CONFCAST_OK, &b.now);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_RECEIVING);
    head = bench_head(&b, 10, &served);
    CU_ASSERT_EQUAL(bench_send_head(&b, &head), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_SERVE), 1);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_APPLIED);
    bench_close(&b);
}

static void
an_owner_that_refuses_what_was_served_serves_nothing(void)
{
    struct bench b;
    struct cfc_digest served = open_at_floor(&b);

    cfc_receiver_restore_serving(b.r, b.scope, 4, 8, &served, CFC_APPLY_NONE);
    cfc_receiver_served(b.r, b.scope, CONFCAST_ERR_APP_REJECT, &b.now);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.serving_version, 0);
    CU_ASSERT_EQUAL(bench_scope(&b).entry.state, CFC_APPLY_RECEIVING);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0); /* it was not the accepted version */
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_RELEASE), 1);
    bench_close(&b);
}

static void
what_cannot_have_been_served_is_refused(void)
{
    struct bench b;
    struct cfc_digest served = open_at_floor(&b);
    struct cfc_digest other = digest_of(1);

    CU_ASSERT_EQUAL(cfc_receiver_restore_serving(b.r, 1, 4, 8, &served, CFC_APPLY_NONE),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_receiver_restore_serving(b.r, b.scope, 4, 0, &served, CFC_APPLY_NONE),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_receiver_restore_serving(b.r, b.scope, 4, 11, &served, CFC_APPLY_NONE),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_receiver_restore_serving(b.r, b.scope, 4, 8, &other, CFC_APPLY_NONE),
                    CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_receiver_restore_serving(b.r, b.scope, 4, 10, &served, CFC_APPLY_NONE),
                    CONFCAST_OK);
    bench_close(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_was_served_is_served_again_without_its_head),
    CFC_CASE(a_newer_head_replaces_what_was_restored_and_releases_it),
    CFC_CASE(the_same_content_under_the_restored_head_is_applied_anew),
    CFC_CASE(an_owner_that_refuses_what_was_served_serves_nothing),
    CFC_CASE(what_cannot_have_been_served_is_refused),
};

CFC_TEST_MAIN("receiver_restore", cases)
