/* Four eyes: what may be promoted where settings ask for approval, and who may approve. */
#include "tests/unit/model_fixture.h"

static int
require_approvals(struct model *m, const char *scope, int count)
{
    struct cfc_change change = by_ann(m);
    struct cfc_put_result result;
    char text[40] = "{\"approval\":null}";
    struct cfc_put put = {.scope = scope, .text = text};

    if (count >= 0) {
        snprintf(text, sizeof(text), "{\"approval\":%d}", count);
    }
    put.text_size = strlen(text);
    return cfc_service_put_rule(m->service, &change, CFC_RULE_SETTINGS, &put, &result, &m->refusal);
}

static struct cfc_approval approval;

static int
approve_as(struct model *m, const char *who, const char *scope, uint64_t revision,
           const struct cfc_digest *digest)
{
    struct cfc_change change = by_ann(m);

    change.author = who;
    memset(&m->refusal, 0, sizeof(m->refusal));
    return cfc_service_approve(m->service, &change, scope, revision, digest, &approval,
                               &m->refusal);
}

static void
without_a_setting_nobody_has_to_approve(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    model_close(&m);
}

static void
a_promotion_is_refused_until_another_approves_its_digest(void)
{
    struct cfc_release_view before;
    struct model m;
    uint64_t seq;

    model_open(&m);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme", 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    seq = cfc_service_seq(m.service);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_STRING_EQUAL(m.refusal.message,
                           "revision 1 has 0 of 1 approvals by others than its author");
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:5%"), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    CU_ASSERT_EQUAL(cfc_service_get_release(m.service, "acme", &before), CONFCAST_OK);
    CU_ASSERT_EQUAL(before.release.state, CFC_RELEASE_EMPTY);
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "acme", 1, &m.put.digest), CONFCAST_OK);
    CU_ASSERT_EQUAL(approval.count, 1);
    CU_ASSERT_EQUAL(approval.required, 1);
    model_reopen(&m);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    model_close(&m);
}

static void
authors_and_the_nameless_cannot_approve(void)
{
    struct cfc_digest digest;
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme", 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    digest = m.put.digest;
    CU_ASSERT_EQUAL(approve_as(&m, "ann", "acme", 1, &digest), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_EQUAL(approve_as(&m, NULL, "acme", 1, &digest), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_EQUAL(approve_as(&m, "anonymous", "acme", 1, &digest), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_APPROVAL);
    model_close(&m);
}

static void
an_approval_holds_for_its_revision_and_digest_alone(void)
{
    struct cfc_digest first;
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme", 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    first = m.put.digest;
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "acme", 1, &first), CONFCAST_OK);
    /* The change moves after its approval. */
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "acme", 2, &first), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "acme", 3, &first), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "nowhere", 1, &first), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(release(&m, "acme", CFC_ACTION_PROMOTE, 1, NULL), CONFCAST_OK);
    model_close(&m);
}

static void
two_approvals_are_those_of_two_people(void)
{
    struct cfc_digest digest;
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme", 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    digest = m.put.digest;
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "acme", 1, &digest), CONFCAST_OK);
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "acme", 1, &digest), CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_EQUAL(approve_as(&m, "eve", "acme", 1, &digest), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_OK);
    model_close(&m);
}

static void
an_approval_repeated_under_its_key_happens_once(void)
{
    struct cfc_digest digest;
    struct model m;
    uint64_t seq;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    digest = m.put.digest;
    m.key = "approve-1";
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "acme", 1, &digest), CONFCAST_OK);
    seq = cfc_service_seq(m.service);
    CU_ASSERT_EQUAL(approve_as(&m, "bob", "acme", 1, &digest), CONFCAST_OK);
    CU_ASSERT_TRUE(approval.is_replay);
    CU_ASSERT_EQUAL(approval.count, 1);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    model_close(&m);
}

static void
the_nearest_scope_that_sets_it_counts(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme", 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/shop/prod", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme/shop/prod"), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme/shop", 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme/shop/prod"), CONFCAST_OK);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme/shop", -1), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, "acme/shop/prod"), CONFCAST_ERR_APPROVAL);
    CU_ASSERT_EQUAL(publish(&m, "acmeister", "{}"), CONFCAST_OK);
    model_close(&m);
}

static void
ways_back_need_no_approval(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme", 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_DISABLE), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ENABLE), CONFCAST_OK);
    model_close(&m);
}

static void
a_setting_has_its_bounds_and_lasts(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme", CFC_APPROVAL_COUNT_MAX), CONFCAST_OK);
    CU_ASSERT_EQUAL(require_approvals(&m, "acme", CFC_APPROVAL_COUNT_MAX + 1),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(require_approvals(&m, "..", 1), CONFCAST_ERR_SCOPE_NAME);
    model_reopen(&m);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_APPROVAL);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(without_a_setting_nobody_has_to_approve),
    CFC_CASE(a_promotion_is_refused_until_another_approves_its_digest),
    CFC_CASE(authors_and_the_nameless_cannot_approve),
    CFC_CASE(an_approval_holds_for_its_revision_and_digest_alone),
    CFC_CASE(two_approvals_are_those_of_two_people),
    CFC_CASE(an_approval_repeated_under_its_key_happens_once),
    CFC_CASE(the_nearest_scope_that_sets_it_counts),
    CFC_CASE(ways_back_need_no_approval),
    CFC_CASE(a_setting_has_its_bounds_and_lasts),
};

CFC_TEST_MAIN("model_approval", cases)
