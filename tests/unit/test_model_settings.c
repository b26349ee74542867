/* What settings ask of definitions and consumers: limits, retention, the propagation bound. */
#include "protocol/base/time.h"
#include "tests/unit/model_fixture.h"

static int
set_settings(struct model *m, const char *scope, const char *text)
{
    struct cfc_change change = by_ann(m);
    struct cfc_put put = {.scope = scope, .text = text, .text_size = strlen(text)};

    return cfc_service_put_rule(m->service, &change, CFC_RULE_SETTINGS, &put, &m->put, &m->refusal);
}

#define SET(m, scope, text) CU_ASSERT_EQUAL_FATAL(set_settings(m, scope, text), CONFCAST_OK)

static void
documents_hold_to_size_and_keys_on_both_sides_and_inherit_them(void)
{
    struct model m;

    model_open(&m);
    SET(&m, "acme", "{\"document_size_max\":10,\"document_keys_max\":3}");
    CU_ASSERT_EQUAL(put_text(&m, "acme/a", "{ \"abc\": 123 }"), CONFCAST_ERR_DOCUMENT_SIZE);
    CU_ASSERT_PTR_NOT_NULL(strstr(m.refusal.message, "11 bytes, its scope may have 10"));
    CU_ASSERT_EQUAL(put_text(&m, "acme/a", "{ \"abc\": 12 }"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":[1]}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":[],\"b\":[]}"), CONFCAST_ERR_DOCUMENT_SIZE);
    SET(&m, "acme", "{\"document_keys_max\":3}");
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":[1,2]}"), CONFCAST_ERR_KEYS);
    CU_ASSERT_PTR_NOT_NULL(strstr(m.refusal.message, "4 values, its scope may have 3"));
    /* A scope's own word goes first, 0 is no limit, null asks above. */
    SET(&m, "acme/a", "{\"document_keys_max\":0}");
    CU_ASSERT_EQUAL(put_text(&m, "acme/a/b", "{\"a\":[1,2]}"), CONFCAST_OK);
    SET(&m, "acme/a", "{\"document_keys_max\":null}");
    CU_ASSERT_EQUAL(put_text(&m, "acme/a/b", "{\"a\":[1,2]}"), CONFCAST_ERR_KEYS);
    CU_ASSERT_EQUAL(put_text(&m, "other", "{\"a\":[1,2]}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), 9);
    model_close(&m);
}

static int
put_two(struct model *m, const char *a, const char *b)
{
    struct cfc_batch_item items[2] = {
        {.kind = CFC_BATCH_PUT, .put = {.scope = a, .text = "{}", .text_size = 2}},
        {.kind = CFC_BATCH_PUT, .put = {.scope = b, .text = "{}", .text_size = 2}},
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
a_tenant_has_so_many_scopes_and_no_more(void)
{
    static const char *const layers[] = {"acme"};
    struct model m;

    model_open(&m);
    SET(&m, "acme", "{\"scopes_max\":3}");
    CU_ASSERT_EQUAL(put_text(&m, "acme/a", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_two(&m, "acme/b", "acme/c"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/d", "{}"), CONFCAST_ERR_SCOPE_COUNT);
    CU_ASSERT_PTR_NOT_NULL(strstr(m.refusal.message, "acme has 3 scopes of at most 3"));
    CU_ASSERT_EQUAL(follow(&m, "acme/d"), CONFCAST_ERR_SCOPE_COUNT);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/d", layers, 1), CONFCAST_ERR_SCOPE_COUNT);
    CU_ASSERT_EQUAL(put_text(&m, "acme/a", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, "acme/a"), CONFCAST_OK);
    CU_ASSERT_EQUAL(set_settings(&m, "acme/a", "{\"scopes_max\":3}"), CONFCAST_ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(m.refusal.message, "first segment"));
    /* Another tenant with the same beginning is another tenant. */
    CU_ASSERT_EQUAL(put_text(&m, "acme2/a", "{}"), CONFCAST_OK);
    SET(&m, "acme", "{\"scopes_max\":4}");
    CU_ASSERT_EQUAL(put_two(&m, "acme/d", "acme/e"), CONFCAST_ERR_SCOPE_COUNT);
    CU_ASSERT_EQUAL(put_two(&m, "acme/d", "acme2/e"), CONFCAST_OK);
    model_reopen(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme/e", "{}"), CONFCAST_ERR_SCOPE_COUNT);
    model_close(&m);
}

static int
get(struct model *m, const char *scope, uint64_t revision)
{
    struct cfc_definition definition;
    int error = cfc_service_get(m->service, scope, revision, &definition);

    cfc_definition_free(&definition);
    return error;
}

static void
old_texts_go_and_what_is_released_stays(void)
{
    struct cfc_definition_meta *items;
    struct model m;
    size_t count;
    char text[32];

    model_open(&m);
    SET(&m, "acme", "{\"retained_revisions\":2}");
    CU_ASSERT_EQUAL(publish(&m, "acme/a", "{\"n\":1}"), CONFCAST_OK); /* previous */
    CU_ASSERT_EQUAL(put_text(&m, "acme/a", "{\"n\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/a", "{\"n\":3}"), CONFCAST_OK); /* active */
    for (int i = 4; i <= 6; i++) {
        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        CU_ASSERT_EQUAL(put_text(&m, "acme/a", text), CONFCAST_OK);
    }
    model_reopen(&m);
    for (uint64_t revision = 1; revision <= 6; revision++) {
        bool is_there = revision == 1 || revision == 3 || revision >= 5;

        CU_ASSERT_EQUAL(get(&m, "acme/a", revision), is_there ? CONFCAST_OK : CONFCAST_ERR_GONE);
    }
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/a"), "{\"n\":3}");
    CU_ASSERT_EQUAL(release(&m, "acme/a", CFC_ACTION_PROMOTE, 4, NULL), CONFCAST_ERR_GONE);
    CU_ASSERT_PTR_NOT_NULL(strstr(m.refusal.message, "retained_revisions"));
    /* History has them all the same. */
    CU_ASSERT_EQUAL_FATAL(cfc_service_history(m.service, "acme/a", 0, 10, &items, &count),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 6);
    CU_ASSERT_FALSE(items[0].is_gone);
    CU_ASSERT_TRUE(items[2].is_gone);
    free(items);
    /* Back one step is always possible; what was before that is not kept for ever. */
    CU_ASSERT_EQUAL(act(&m, "acme/a", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/a"), "{\"n\":1}");
    CU_ASSERT_EQUAL(release(&m, "acme/a", CFC_ACTION_PROMOTE, 5, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme/a", "{\"n\":7}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(get(&m, "acme/a", 3), CONFCAST_ERR_GONE);
    CU_ASSERT_EQUAL(release(&m, "acme/a", CFC_ACTION_ROLLBACK, 3, NULL), CONFCAST_ERR_GONE);
    CU_ASSERT_EQUAL(act(&m, "acme/a", CFC_ACTION_ROLLBACK), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/a"), "{\"n\":1}");
    model_close(&m);
}

static void
a_rollback_in_the_batch_of_a_put_keeps_its_revision(void)
{
    struct cfc_batch_item items[2] = {
        {.kind = CFC_BATCH_PUT, .put = {.scope = "a", .text = "{\"n\":9}", .text_size = 7}},
        {.kind = CFC_BATCH_RELEASE,
         .order = {.scope = "a", .action = CFC_ACTION_ROLLBACK, .revision = 1}},
    };
    struct cfc_batch_result result;
    struct cfc_change change;
    struct model m;

    model_open(&m);
    for (int i = 1; i <= 3; i++) {
        char text[32];

        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        CU_ASSERT_EQUAL(publish(&m, "a", text), CONFCAST_OK);
    }
    SET(&m, "a", "{\"retained_revisions\":1}");
    change = by_ann(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_service_batch(m.service, &change, items, 2, &result, &m.refusal),
                          CONFCAST_OK);
    cfc_batch_result_free(&result);
    model_reopen(&m);
    CU_ASSERT_STRING_EQUAL(effective(&m, "a"), "{\"n\":1}");
    model_close(&m);
}

static bool
has_blob(struct model *m, const struct cfc_digest *digest)
{
    struct cfc_store_value value;
    bool has = cfc_store_get_blob(m->store, digest, &value) == CONFCAST_OK;

    cfc_store_value_free(&value);
    return has;
}

static void
a_blob_goes_with_its_last_owner(void)
{
    static char big[300 * 1024];
    struct cfc_digest digest;
    struct model m;

    model_open(&m);
    memset(big, 'x', sizeof(big) - 1);
    memcpy(big, "{\"a\":\"", 6);
    memcpy(big + sizeof(big) - 3, "\"}", 3);
    CU_ASSERT_EQUAL_FATAL(put_text(&m, "a", big), CONFCAST_OK);
    digest = m.put.digest;
    CU_ASSERT_EQUAL_FATAL(put_text(&m, "b", big), CONFCAST_OK);
    SET(&m, "a", "{\"retained_revisions\":1}");
    SET(&m, "b", "{\"retained_revisions\":1}");
    CU_ASSERT_EQUAL(put_text(&m, "a", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(get(&m, "a", 1), CONFCAST_ERR_GONE);
    CU_ASSERT_EQUAL(get(&m, "b", 1), CONFCAST_OK);
    CU_ASSERT_TRUE(has_blob(&m, &digest));
    /* Written again by the very change that lets go of the other one. */
    CU_ASSERT_EQUAL(put_text(&m, "b", big), CONFCAST_OK);
    CU_ASSERT_EQUAL(get(&m, "b", 1), CONFCAST_ERR_GONE);
    CU_ASSERT_EQUAL(get(&m, "b", 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "b", "{}"), CONFCAST_OK);
    CU_ASSERT_FALSE(has_blob(&m, &digest));
    model_close(&m);
}

static void
those_beyond_the_propagation_bound_are_counted(void)
{
    struct cfc_propagation propagation;
    struct cfc_report_entry entry = {.state = CFC_APPLY_APPLIED};
    struct cfc_decision *decision;
    struct model m;

    model_open(&m);
    SET(&m, "acme", "{\"propagation_ms\":500}");
    CU_ASSERT_EQUAL(publish(&m, "acme/a", "{\"n\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m.service, "acme/a", &decision), CONFCAST_OK);
    cfc_service_note_published(m.service, "acme/a", decision->version, T0);
    entry.scope_id = decision->scope_id;
    entry.epoch = cfc_service_epoch(m.service);
    entry.accepted = decision->version;
    entry.serving_version = decision->version;
    entry.serving_content = cfc_digest_key(&decision->arms[0].content->id);
    CU_ASSERT_EQUAL(cfc_service_report(m.service, "c1", 1, 1, &entry, 1, T0, NULL), CONFCAST_OK);
    entry.state = CFC_APPLY_PREPARED;
    entry.serving_version = 0;
    CU_ASSERT_EQUAL(cfc_service_report(m.service, "c2", 1, 1, &entry, 1, T0, NULL), CONFCAST_OK);
    cfc_decision_unref(decision);
    CU_ASSERT_EQUAL(cfc_service_propagation(m.service, "acme/a", T0 + 500 * CFC_MS, &propagation),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(propagation.bound_ms, 500);
    CU_ASSERT_EQUAL(propagation.beyond, 0);
    CU_ASSERT_EQUAL(
        cfc_service_propagation(m.service, "acme/a", T0 + 500 * CFC_MS + 1, &propagation),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(propagation.beyond, 1);
    SET(&m, "acme/a", "{\"propagation_ms\":0}");
    CU_ASSERT_EQUAL(cfc_service_propagation(m.service, "acme/a", T0 + CFC_S, &propagation),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(propagation.bound_ms, 0);
    CU_ASSERT_EQUAL(propagation.beyond, 0);
    CU_ASSERT_EQUAL(cfc_service_propagation(m.service, "nobody", T0, &propagation),
                    CONFCAST_ERR_NOT_FOUND);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(documents_hold_to_size_and_keys_on_both_sides_and_inherit_them),
    CFC_CASE(a_tenant_has_so_many_scopes_and_no_more),
    CFC_CASE(old_texts_go_and_what_is_released_stays),
    CFC_CASE(a_rollback_in_the_batch_of_a_put_keeps_its_revision),
    CFC_CASE(a_blob_goes_with_its_last_owner),
    CFC_CASE(those_beyond_the_propagation_bound_are_counted),
};

CFC_TEST_MAIN("model_settings", cases)
