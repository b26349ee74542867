/* Scopes that change together: one version for all that have a layer with that setting. */
#include "tests/unit/model_fixture.h"

#define FIRST  "acme/checkout/prod"
#define SECOND "acme/checkout/limits"

static int
set_settings(struct model *m, const char *scope, const char *text)
{
    struct cfc_change change = by_ann(m);
    struct cfc_put put = {.scope = scope, .text = text, .text_size = strlen(text)};

    return cfc_service_put_rule(m->service, &change, CFC_RULE_SETTINGS, &put, &m->put, &m->refusal);
}

static void
begin(struct model *m)
{
    model_open(m);
    CU_ASSERT_EQUAL_FATAL(set_settings(m, "acme/checkout", "{\"together\":true}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(publish(m, FIRST, "{\"n\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(publish(m, SECOND, "{\"n\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(publish(m, "acme/other", "{\"n\":1}"), CONFCAST_OK);
    drain(m);
}

static void
a_release_of_one_gives_all_its_version(void)
{
    uint64_t other;
    struct model m;

    begin(&m);
    other = version(&m, "acme/other");
    CU_ASSERT_EQUAL(version(&m, FIRST), version(&m, SECOND));
    CU_ASSERT_EQUAL(publish(&m, FIRST, "{\"n\":2}"), CONFCAST_OK);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(version(&m, FIRST), m.view.version);
        CU_ASSERT_EQUAL(version(&m, SECOND), m.view.version);
        CU_ASSERT_EQUAL(version(&m, "acme/other"), other);
        CU_ASSERT_STRING_EQUAL(effective(&m, FIRST), "{\"n\":2}");
        CU_ASSERT_STRING_EQUAL(effective(&m, SECOND), "{\"n\":1}");
        model_reopen(&m); /* a new owner computes the same */
    }
    model_close(&m);
}

static void
both_are_given_to_the_publisher(void)
{
    struct model m;
    char given[3][CFC_SCOPE_SIZE_MAX + 64];

    begin(&m);
    CU_ASSERT_EQUAL(publish(&m, SECOND, "{\"n\":2}"), CONFCAST_OK);
    for (int i = 0; i < 3; i++) {
        snprintf(given[i], sizeof(given[i]), "%s", polled(&m));
    }
    CU_ASSERT_NOT_EQUAL(strncmp(given[0], given[1], strlen(FIRST)), 0);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT(strstr(given[i], FIRST "@") == given[i] ||
                  strstr(given[i], SECOND "@") == given[i]);
    }
    CU_ASSERT_PTR_NULL(strchr(given[2], '@'));
    model_close(&m);
}

static void
a_rollback_takes_all_along(void)
{
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(publish(&m, FIRST, "{\"n\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, FIRST, CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_EQUAL(version(&m, FIRST), m.view.version);
    CU_ASSERT_EQUAL(version(&m, SECOND), m.view.version);
    CU_ASSERT_STRING_EQUAL(effective(&m, FIRST), "{\"n\":1}");
    model_close(&m);
}

static void
what_ends_the_setting_ends_it_from_the_next_version_on(void)
{
    uint64_t before;
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(set_settings(&m, "acme/checkout", "{\"together\":false}"), CONFCAST_OK);
    before = version(&m, SECOND);
    CU_ASSERT_EQUAL(publish(&m, FIRST, "{\"n\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(version(&m, SECOND), before); /* which never falls */
    CU_ASSERT(version(&m, FIRST) > before);
    model_reopen(&m);
    CU_ASSERT_EQUAL(version(&m, SECOND), before);
    model_close(&m);
}

static void
a_scope_without_a_release_gets_no_version(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(set_settings(&m, "acme/checkout", "{\"together\":true}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, SECOND), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, FIRST, "{\"n\":1}"), CONFCAST_OK);
    CU_ASSERT_NOT_EQUAL(version(&m, FIRST), 0);
    CU_ASSERT_EQUAL(strncmp(polled(&m), FIRST "@", sizeof(FIRST)), 0);
    CU_ASSERT_PTR_NULL(strchr(polled(&m), '@'));
    model_close(&m);
}

static void
only_one_of_them_rolls_out_by_stages(void)
{
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(put_text(&m, FIRST, "{\"n\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, SECOND, "{\"n\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, FIRST, "canary:5%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(version(&m, SECOND), m.view.version);
    CU_ASSERT_EQUAL(canary(&m, SECOND, "canary:5%"), CONFCAST_ERR_STATE);
    CU_ASSERT_STRING_EQUAL(m.refusal.holder, FIRST);
    CU_ASSERT_EQUAL(promote(&m, SECOND), CONFCAST_OK); /* to all */
    CU_ASSERT_EQUAL(version(&m, FIRST), m.view.version);
    model_close(&m);
}

static void
too_many_that_change_together_are_refused(void)
{
    char path[64];
    struct model m;

    begin(&m);
    CU_ASSERT_EQUAL(put_text(&m, FIRST, "{\"n\":2}"), CONFCAST_OK);
    for (int i = 0; i < 62; i++) {
        snprintf(path, sizeof(path), "acme/checkout/s%d", i);
        CU_ASSERT_EQUAL(follow(&m, path), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(promote(&m, FIRST), CONFCAST_OK); /* 64 */
    CU_ASSERT_EQUAL(put_text(&m, FIRST, "{\"n\":3}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, "acme/checkout/one-more"), CONFCAST_OK);
    CU_ASSERT_EQUAL(promote(&m, FIRST), CONFCAST_ERR_LIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(m.refusal.message, "acme/checkout"));
    CU_ASSERT_EQUAL(set_settings(&m, "acme/checkout", "{\"together\":1}"), CONFCAST_ERR_INVALID);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_release_of_one_gives_all_its_version),
    CFC_CASE(both_are_given_to_the_publisher),
    CFC_CASE(a_rollback_takes_all_along),
    CFC_CASE(what_ends_the_setting_ends_it_from_the_next_version_on),
    CFC_CASE(a_scope_without_a_release_gets_no_version),
    CFC_CASE(only_one_of_them_rolls_out_by_stages),
    CFC_CASE(too_many_that_change_together_are_refused),
};

CFC_TEST_MAIN("model_together", cases)
