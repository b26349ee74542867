/* What is recomputed, and which arms come out, when layers change under each other. */
#include "controlplane/model/catalog.h"
#include "tests/unit/model_fixture.h"

static uint64_t decided_before;

/* Decisions computed since the last call. */
static uint64_t
decided(struct model *m)
{
    uint64_t now = cfc_service_decided(m->service);
    uint64_t since = now - decided_before;

    decided_before = now;
    return since;
}

static struct cfc_decision *
decision_of(struct model *m, const char *scope)
{
    struct cfc_decision *decision;

    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m->service, scope, &decision), CONFCAST_OK);
    return decision;
}

static int
put_and_promote(struct model *m, const char *scope, const char *text)
{
    struct cfc_batch_item items[2] = {
        {.kind = CFC_BATCH_PUT, .put = {.scope = scope, .text = text, .text_size = strlen(text)}},
        {.kind = CFC_BATCH_RELEASE, .order = {.scope = scope, .action = CFC_ACTION_PROMOTE}},
    };
    struct cfc_change change = by_ann(m);
    struct cfc_batch_result result;
    int error = cfc_service_batch(m->service, &change, items, 2, &result, &m->refusal);

    if (error == CONFCAST_OK) {
        cfc_batch_result_free(&result);
    }
    return error;
}

static void
a_change_recomputes_its_dependents_and_nobody_else(void)
{
    static const char *const own[] = {"other/shared", "other/x"};
    struct model m;
    char scope[32];

    model_open(&m);
    for (int tenant = 0; tenant < 20; tenant++) {
        snprintf(scope, sizeof(scope), "t%d", tenant);
        CU_ASSERT_EQUAL_FATAL(publish(&m, scope, "{\"t\":1}"), CONFCAST_OK);
        for (int leaf = 0; leaf < 5; leaf++) {
            snprintf(scope, sizeof(scope), "t%d/a/s%d", tenant, leaf);
            CU_ASSERT_EQUAL_FATAL(publish(&m, scope, "{\"l\":1}"), CONFCAST_OK);
        }
    }
    CU_ASSERT_EQUAL_FATAL(publish(&m, "t3/a", "{\"a\":1}"), CONFCAST_OK);
    decided(&m);
    CU_ASSERT_EQUAL(put_text(&m, "t3/a/s0", "{\"l\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(decided(&m), 0);
    drain(&m);
    CU_ASSERT_EQUAL(promote(&m, "t3/a/s0"), CONFCAST_OK);
    CU_ASSERT_EQUAL(decided(&m), 1);
    CU_ASSERT_TRUE(strncmp(polled(&m), "t3/a/s0@", 8) == 0);
    CU_ASSERT_STRING_EQUAL(polled(&m), "");
    CU_ASSERT_EQUAL(publish(&m, "t3/a", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(decided(&m), 6);
    CU_ASSERT_EQUAL(publish(&m, "t3", "{\"t\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(decided(&m), 7);
    CU_ASSERT_EQUAL(m.view.affected_count, 7);
    /* By the layers that were set, and not by the path any more. */
    CU_ASSERT_EQUAL(publish(&m, "other/x", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "other", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_layers(&m, "other/x", own, 2), CONFCAST_OK);
    decided(&m);
    CU_ASSERT_EQUAL(publish(&m, "other", "{\"o\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(decided(&m), 1);
    CU_ASSERT_EQUAL(publish(&m, "other/shared", "{\"s\":1}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "other/x"), "{\"s\":1}");
    CU_ASSERT_EQUAL(decided(&m), 3); /* as a new scope; itself and other/x by the promotion */
    CU_ASSERT_EQUAL(put_and_promote(&m, "t3/a/new", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(decided(&m), 1);
    model_close(&m);
}

static void
both_arms_follow_when_another_layer_changes_and_the_cohort_stays(void)
{
    struct cfc_decision *first;
    struct cfc_decision *then;
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1,\"both\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/x", "{\"x\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2,\"both\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:5%"), CONFCAST_OK);
    first = decision_of(&m, "acme/x");
    CU_ASSERT_EQUAL(publish(&m, "acme/x", "{\"x\":2,\"both\":9}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/x"), "{\"a\":1,\"both\":9,\"x\":2}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/x"), "{\"a\":2,\"both\":9,\"x\":2}");
    then = decision_of(&m, "acme/x");
    CU_ASSERT_TRUE(then->version > first->version);
    CU_ASSERT_EQUAL(then->salt, first->salt);
    CU_ASSERT_EQUAL(then->arms[0].threshold, first->arms[0].threshold);
    CU_ASSERT_TRUE(then->arms[0].is_candidate && !then->arms[1].is_candidate);
    cfc_decision_unref(then);
    /* The ways back of the other layer keep both arms, too. */
    CU_ASSERT_EQUAL(act(&m, "acme/x", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/x"), "{\"a\":1,\"both\":1,\"x\":1}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/x"), "{\"a\":2,\"both\":2,\"x\":1}");
    CU_ASSERT_EQUAL(act(&m, "acme/x", CFC_ACTION_DISABLE), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/x"), "{\"a\":1,\"both\":1}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/x"), "{\"a\":2,\"both\":2}");
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ADVANCE), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/x"), "{\"a\":2,\"both\":2}");
    CU_ASSERT_EQUAL(act(&m, "acme/x", CFC_ACTION_ENABLE), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/x"), "{\"a\":2,\"both\":2,\"x\":1}");
    cfc_decision_unref(first);
    model_close(&m);
}

/* Two rollouts that no scope had in common meet in one that becomes known later. */
static void
of_two_rollouts_that_meet_the_first_layer_counts_until_it_ends(void)
{
    struct cfc_decision *decision;
    struct model m;
    uint64_t salt;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme/a", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/a", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"t\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme/a", "canary:50%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:5%"), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(act(&m, "acme/a", CFC_ACTION_ABORT), CONFCAST_OK);
    /* Roll what has no dependents in common: layers set so, then back. */
    {
        static const char *const own[] = {"acme/a"};

        CU_ASSERT_EQUAL(set_layers(&m, "acme/a", own, 1), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(canary(&m, "acme/a", "canary:50%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:5%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, "acme/a/new"), CONFCAST_OK);
    decision = decision_of(&m, "acme/a/new");
    salt = decision->salt;
    CU_ASSERT_EQUAL(decision->arm_count, 2);
    cfc_decision_unref(decision);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/a/new"), "{\"a\":1}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/a/new"), "{\"a\":1,\"t\":1}");
    model_reopen(&m);
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/a/new"), "{\"a\":1,\"t\":1}");
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ABORT), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/a/new"), "{\"a\":1}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/a/new"), "{\"a\":2}");
    decision = decision_of(&m, "acme/a/new");
    CU_ASSERT_NOT_EQUAL(decision->salt, salt);
    cfc_decision_unref(decision);
    CU_ASSERT_EQUAL(act(&m, "acme/a", CFC_ACTION_ADVANCE), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/a/new"), "{\"a\":2}");
    model_close(&m);
}

static void
equal_content_has_one_name_and_one_body_whatever_the_version(void)
{
    struct cfc_decision *first;
    struct cfc_decision *second;
    struct cfc_decision *other;
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "a", "{\"v\":1,\"w\":[]}"), CONFCAST_OK);
    first = decision_of(&m, "a");
    CU_ASSERT_EQUAL(publish(&m, "a", "{\"w\":[],\"v\":1.0}"), CONFCAST_OK);
    second = decision_of(&m, "a");
    CU_ASSERT_EQUAL(publish(&m, "b", "{\"v\":1e0,\"w\":[]}"), CONFCAST_OK);
    other = decision_of(&m, "b");
    CU_ASSERT_TRUE(second->version > first->version && other->version > second->version);
    CU_ASSERT_PTR_EQUAL(first->arms[0].content, second->arms[0].content);
    CU_ASSERT_PTR_EQUAL(first->arms[0].content, other->arms[0].content);
    cfc_decision_unref(first);
    cfc_decision_unref(second);
    cfc_decision_unref(other);
    model_close(&m);
}

static void
a_document_alone_loses_its_nulls_and_is_not_changed_by_what_merges_into_it(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "n", "{\"a\":null,\"b\":{\"c\":null},\"d\":[null]}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "n"), "{\"b\":{},\"d\":[null]}");
    CU_ASSERT_EQUAL(publish(&m, "t/a", "{\"own\":{\"a\":1}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "t/b", "{\"own\":{\"b\":1}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, "t/c"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "t", "{\"own\":{\"t\":1}}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "t/a"), "{\"own\":{\"a\":1,\"t\":1}}");
    CU_ASSERT_STRING_EQUAL(effective(&m, "t/b"), "{\"own\":{\"b\":1,\"t\":1}}");
    CU_ASSERT_STRING_EQUAL(effective(&m, "t/c"), "{\"own\":{\"t\":1}}");
    CU_ASSERT_STRING_EQUAL(effective(&m, "t"), "{\"own\":{\"t\":1}}");
    model_close(&m);
}

/* A dependent goes out of any place, and the others stay where they can be found. */
static void
dependents_are_forgotten_wherever_they_stand(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_scope *scopes[9];
    struct cfc_catalog catalog;
    struct cfc_scope *layers[2];
    char name[16];

    cfc_catalog_init(&catalog, sha);
    layers[0] = cfc_catalog_ensure(&catalog, "t");
    layers[1] = cfc_catalog_ensure(&catalog, "u");
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof(name), "t/s%d", i);
        scopes[i] = cfc_catalog_ensure(&catalog, name);
        CU_ASSERT_EQUAL(cfc_catalog_set_layers(scopes[i], layers, 2), CONFCAST_OK);
    }
    for (int i = 0; i < 9; i++) {
        struct cfc_scope *leaving = scopes[i * 4 % 9];

        CU_ASSERT_EQUAL(cfc_catalog_set_layers(leaving, &layers[1], 1), CONFCAST_OK);
        CU_ASSERT_EQUAL(layers[0]->dependent_count, 8 - i);
        CU_ASSERT_EQUAL(layers[1]->dependent_count, 9);
        for (uint32_t k = 0; k < layers[0]->dependent_count; k++) {
            CU_ASSERT_PTR_NOT_EQUAL(layers[0]->dependents[k], leaving);
        }
    }
    cfc_catalog_free(&catalog);
    cfc_sha256_free(sha);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_change_recomputes_its_dependents_and_nobody_else),
    CFC_CASE(both_arms_follow_when_another_layer_changes_and_the_cohort_stays),
    CFC_CASE(of_two_rollouts_that_meet_the_first_layer_counts_until_it_ends),
    CFC_CASE(equal_content_has_one_name_and_one_body_whatever_the_version),
    CFC_CASE(a_document_alone_loses_its_nulls_and_is_not_changed_by_what_merges_into_it),
    CFC_CASE(dependents_are_forgotten_wherever_they_stand),
};

CFC_TEST_MAIN("effective", cases)
