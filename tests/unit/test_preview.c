#include "controlplane/json/json_merge.h"
#include "controlplane/model/preview.h"
#include "tests/unit/model_fixture.h"

/* What promoting a text would do, as compact JSON; static. */
static const char *
previewed(struct model *m, const char *scope, const char *text, const char *strategy)
{
    static char out[16384];
    struct cfc_batch_item items[2] = {
        {.kind = CFC_BATCH_PUT, .put = {.scope = scope, .text = text, .text_size = strlen(text)}},
        {.kind = CFC_BATCH_RELEASE,
         .order = {.scope = scope, .action = CFC_ACTION_PROMOTE, .strategy = strategy}},
    };
    struct cfc_change change = by_ann(m);
    struct cfc_batch_result result;
    uint64_t seq = cfc_service_seq(m->service);
    char *json;
    int error;

    change.is_dry_run = true;
    error = cfc_service_batch(m->service, &change, items, 2, &result, &m->refusal);
    CU_ASSERT_EQUAL(cfc_service_seq(m->service), seq);
    if (error != CONFCAST_OK) {
        return confcast_error_word(error);
    }
    json = json_dumps(result.preview, JSON_COMPACT | JSON_SORT_KEYS);
    snprintf(out, sizeof(out), "%s", json);
    free(json);
    cfc_batch_result_free(&result);
    return out;
}

#define HAS(text, part) CU_ASSERT_PTR_NOT_NULL(strstr(text, part))

static void
added_changed_and_removed_keys_are_named_and_counted(void)
{
    const char *text;
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL_FATAL(
        publish(&m, "a",
                "{\"gone\":1,\"l\":[1,2],\"o\":{\"p\":1,\"q\":2},\"same\":{\"x\":[{}]},"
                "\"t\":1}"),
        CONFCAST_OK);
    text =
        previewed(&m, "a",
                  "{\"l\":[1,3],\"new\":{\"y\":1},\"o\":{\"p\":1,\"q\":{}},\"same\":{\"x\":[{}]},"
                  "\"t\":{},\"z~/\":0}",
                  NULL);
    HAS(text, "\"added\":2,");
    HAS(text, "\"changed\":3,");
    HAS(text, "\"removed\":1,");
    HAS(text, "\"keys\":[{\"change\":\"removed\",\"key\":\"/gone\"},"
              "{\"change\":\"changed\",\"key\":\"/l\"},{\"change\":\"added\",\"key\":\"/new\"},"
              "{\"change\":\"changed\",\"key\":\"/o/q\"},{\"change\":\"changed\",\"key\":\"/t\"},"
              "{\"change\":\"added\",\"key\":\"/z~0~1\"}]");
    /* From nothing, and to what is there already. */
    text = previewed(&m, "b", "{\"k\":1}", NULL);
    HAS(text, "\"bytes_before\":0,");
    HAS(text, "\"keys\":[{\"change\":\"added\",\"key\":\"/k\"}]");
    HAS(previewed(
            &m, "a",
            "{\"t\":1,\"gone\":1.0,\"l\":[1,2],\"o\":{\"p\":1,\"q\":2},\"same\":{\"x\":[{}]}}",
            NULL),
        "\"keys\":[],");
    model_close(&m);
}

static void
scopes_contents_bytes_and_consumers_are_counted_once(void)
{
    struct cfc_report_entry entry = {.state = CFC_APPLY_PREPARED};
    struct cfc_decision *decision;
    const char *text;
    char expected[64];
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL_FATAL(publish(&m, "t", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(publish(&m, "t/own", "{\"b\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(follow(&m, "t/x"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(follow(&m, "t/y"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m.service, "t/x", &decision), CONFCAST_OK);
    entry.scope_id = decision->scope_id;
    entry.accepted = decision->version;
    for (int i = 0; i < 3; i++) {
        char consumer[8];

        snprintf(consumer, sizeof(consumer), "c%d", i);
        CU_ASSERT_EQUAL(cfc_service_report(m.service, consumer, 1, 1, &entry, 1, m.now, NULL),
                        CONFCAST_OK);
    }
    cfc_decision_unref(decision);
    text = previewed(&m, "t", "{\"a\":2}", NULL);
    HAS(text, "\"scopes\":4}");
    HAS(text, "\"contents\":2,"); /* t, t/x and t/y share one */
    HAS(text, "\"consumers\":3,\"contents\"");
    HAS(text, "\"consumers\":3,\"keys\":[{\"change\":\"changed\",\"key\":\"/a\"}],\"removed\":0,"
              "\"scope\":\"t/x\"");
    HAS(text, "\"consumers\":0,\"keys\":[{\"change\":\"changed\",\"key\":\"/a\"}],\"removed\":0,"
              "\"scope\":\"t/own\"");
    CU_ASSERT_EQUAL_FATAL(publish(&m, "t", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m.service, "t", &decision), CONFCAST_OK);
    snprintf(expected, sizeof(expected), "\"bytes_before\":%zu,",
             decision->arms[0].content->body_size);
    cfc_decision_unref(decision);
    HAS(previewed(&m, "t", "{}", NULL), expected);
    model_close(&m);
}

static void
a_canary_is_compared_with_what_is_stable_and_an_abort_with_the_candidate(void)
{
    struct cfc_release_order order = {.scope = "a", .action = CFC_ACTION_ABORT};
    struct cfc_change change;
    struct model m;
    char *text;

    model_open(&m);
    CU_ASSERT_EQUAL_FATAL(publish(&m, "a", "{\"v\":1}"), CONFCAST_OK);
    HAS(previewed(&m, "a", "{\"v\":2}", "canary:5%"),
        "\"keys\":[{\"change\":\"changed\",\"key\":\"/v\"}]");
    CU_ASSERT_EQUAL_FATAL(put_text(&m, "a", "{\"w\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(canary(&m, "a", "canary:5%"), CONFCAST_OK);
    change = by_ann(&m);
    change.is_dry_run = true;
    CU_ASSERT_EQUAL_FATAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                          CONFCAST_OK);
    text = json_dumps(m.view.preview, JSON_COMPACT | JSON_SORT_KEYS);
    HAS(text, "\"keys\":[{\"change\":\"added\",\"key\":\"/v\"},"
              "{\"change\":\"removed\",\"key\":\"/w\"}]");
    HAS(text, "\"bytes\":0,\"consumers\":0,\"contents\":0,");
    free(text);
    json_decref(m.view.preview);
    CU_ASSERT_PTR_NULL(strstr(candidate(&m, "a"), "v"));
    /* The next stage: those who come to the candidate leave what is stable. */
    order.action = CFC_ACTION_PAUSE;
    change = by_ann(&m);
    change.is_dry_run = true;
    CU_ASSERT_EQUAL_FATAL(cfc_service_release(m.service, &change, &order, &m.view, &m.refusal),
                          CONFCAST_OK);
    text = json_dumps(m.view.preview, JSON_COMPACT | JSON_SORT_KEYS);
    HAS(text, "\"keys\":[{\"change\":\"removed\",\"key\":\"/v\"},"
              "{\"change\":\"added\",\"key\":\"/w\"}]");
    free(text);
    json_decref(m.view.preview);
    model_close(&m);
}

static void
long_lists_are_cut_and_still_counted(void)
{
    static char text[4096];
    size_t size = 1;
    const char *out;
    const char *p;
    int listed = 0;
    struct model m;

    model_open(&m);
    text[0] = '{';
    for (int i = 0; i < CFC_PREVIEW_KEY_COUNT_MAX + 1; i++) {
        size +=
            (size_t)snprintf(text + size, sizeof(text) - size, "%s\"k%02d\":1", i ? "," : "", i);
    }
    snprintf(text + size, sizeof(text) - size, "}");
    out = previewed(&m, "a", text, NULL);
    HAS(out, "\"added\":51,");
    for (p = strstr(out, "\"key\""); p != NULL; p = strstr(p + 1, "\"key\"")) {
        listed++;
    }
    CU_ASSERT_EQUAL(listed, CFC_PREVIEW_KEY_COUNT_MAX);
    for (int i = 0; i < CFC_PREVIEW_SCOPE_COUNT_MAX; i++) {
        char scope[16];

        snprintf(scope, sizeof(scope), "a/s%03d", i);
        CU_ASSERT_EQUAL_FATAL(follow(&m, scope), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(publish(&m, "a", "{}"), CONFCAST_OK);
    out = previewed(&m, "a", "{\"x\":1}", NULL);
    HAS(out, "\"scopes\":101}");
    HAS(out, "a/s098");
    CU_ASSERT_PTR_NULL(strstr(out, "a/s099"));
    model_close(&m);
}

static void
nulls_that_merging_drops_are_found_and_those_in_arrays_are_not(void)
{
    static const struct {
        const char *text;
        size_t count;
        const char *first;
    } cases[] = {
        {"{}", 0, ""},
        {"{\"a\":[null,{\"b\":null}]}", 0, ""},
        {"{\"a\":null}", 1, "/a"},
        {"{\"a\":{\"b\":{\"~/\":null}},\"c\":1}", 1, "/a/b/~0~1"},
        {"{\"a\":{\"b\":null},\"c\":null,\"d\":{\"e\":{}}}", 2, NULL},
    };
    struct cfc_json_nulls nulls;
    struct model m;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *root = json_loads(cases[i].text, 0, NULL);

        cfc_json_find_nulls(root, &nulls);
        CU_ASSERT_EQUAL(nulls.count, cases[i].count);
        if (cases[i].first != NULL) {
            CU_ASSERT_STRING_EQUAL(nulls.first, cases[i].first);
        }
        json_decref(root);
    }
    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "a", "{\"x\":{\"y\":null}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.nulls.count, 1);
    CU_ASSERT_STRING_EQUAL(m.put.nulls.first, "/x/y");
    CU_ASSERT_EQUAL(put_text(&m, "a", "{\"x\":[null]}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.nulls.count, 0);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(added_changed_and_removed_keys_are_named_and_counted),
    CFC_CASE(scopes_contents_bytes_and_consumers_are_counted_once),
    CFC_CASE(a_canary_is_compared_with_what_is_stable_and_an_abort_with_the_candidate),
    CFC_CASE(long_lists_are_cut_and_still_counted),
    CFC_CASE(nulls_that_merging_drops_are_found_and_those_in_arrays_are_not),
};

CFC_TEST_MAIN("preview", cases)
