/* What changes leave when memory runs out in them: all of it or nothing, and the same request again
 * completes it.  The memory of JSON values runs out here; it holds all that is written. */
#include "controlplane/json/json_load.h"
#include "tests/unit/model_dump.h"

static struct {
    uint64_t call_count;
    uint64_t fail_at; /* 0 = none */
} heap;

/* What Jansson reads is looked at below. */
static bool
is_to_fail(bool is_reading)
{
    if (is_reading) {
        return false;
    }
    heap.call_count++;
    return heap.fail_at != 0 && heap.call_count == heap.fail_at;
}

static int
put_settings(struct model *m, const char *text)
{
    struct cfc_change change = by_ann(m);
    struct cfc_put put = {.scope = "acme", .text = text, .text_size = strlen(text)};

    return cfc_service_put_rule(m->service, &change, CFC_RULE_SETTINGS, &put, &m->put, &m->refusal);
}

static int
approve(struct model *m)
{
    struct cfc_change change = by_ann(m);
    struct cfc_definition definition;
    struct cfc_approval approval;
    int error = cfc_service_get(m->service, "acme", 2, &definition);

    change.author = "bob";
    if (error == CONFCAST_OK) {
        error = cfc_service_approve(m->service, &change, "acme", 2, &definition.meta.digest,
                                    &approval, &m->refusal);
        cfc_definition_free(&definition);
    }
    return error;
}

static int
put_and_promote_two(struct model *m)
{
    struct cfc_change change = by_ann(m);
    struct cfc_batch_item items[] = {
        {.kind = CFC_BATCH_PUT, .put = {.scope = "acme", .text = "{\"n\":9}", .text_size = 7}},
        {.kind = CFC_BATCH_PUT, .put = {.scope = "acme/new", .text = "{}", .text_size = 2}},
        {.kind = CFC_BATCH_RELEASE, .order = {.scope = "acme", .action = CFC_ACTION_PROMOTE}},
        {.kind = CFC_BATCH_RELEASE, .order = {.scope = "acme/new", .action = CFC_ACTION_PROMOTE}},
    };
    struct cfc_batch_result result;
    int error = cfc_service_batch(m->service, &change, items, 4, &result, &m->refusal);

    if (error == CONFCAST_OK) {
        CU_ASSERT_EQUAL(result.count, 4);
        cfc_batch_result_free(&result);
    }
    return error;
}

enum {
    CHANGE_COUNT = 9
};

/* The n-th of the changes that are tried. */
static int
change(struct model *m, int n)
{
    static const char *const layers[] = {"acme/mail", "acme", "acme/shop"};

    switch (n) {
    case 0:
        return put_text(m, "acme", "{\"n\":7}"); /* lets the text of revision 6 go */
    case 1:
        return release(m, "acme", CFC_ACTION_QUARANTINE, 1, NULL);
    case 2:
        return set_layers(m, "acme/shop", layers, 3);
    case 3:
        return promote_by(m, "acme", "stages:10%,20%",
                          (struct cfc_release_plan){.bake_s = 60, .confirm_within_s = 60});
    case 4:
        return delete_scope(m, "acme");
    case 5:
        return approve(m);
    case 6:
        return put_and_promote_two(m);
    case 7:
        return put_settings(m, "{\"approval\":2,\"propagation_ms\":500}");
    default:
        return act(m, "acme", CFC_ACTION_ROLLBACK);
    }
}

static void
begin(struct model *m)
{
    model_open(m);
    CU_ASSERT_EQUAL_FATAL(put_settings(m, "{\"retained_revisions\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(publish(m, "acme/shop", "{\"s\":1}"), CONFCAST_OK);
    for (int i = 1; i <= 5; i++) {
        char text[16];

        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        CU_ASSERT_EQUAL_FATAL(put_text(m, "acme", text), CONFCAST_OK);
        if (i <= 2) {
            CU_ASSERT_EQUAL_FATAL(promote(m, "acme"), CONFCAST_OK);
        }
    }
    CU_ASSERT_EQUAL_FATAL(release(m, "acme", CFC_ACTION_QUARANTINE, 5, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(put_text(m, "acme", "{\"n\":6}"), CONFCAST_OK);
    m->key = "change";
}

/* What the change leads to when nothing fails; the caller frees it. */
static char *
expect(int n)
{
    struct model m;
    char *text;

    begin(&m);
    CU_ASSERT_EQUAL_FATAL(change(&m, n), CONFCAST_OK);
    text = dump(m.service, false);
    model_close(&m);
    return text;
}

/* False when there are not so many allocations. */
static bool
change_without_memory(int n, uint64_t fail_at, const char *expected)
{
    struct model m;
    bool has_failed;
    char *memory;
    char *fresh;
    int error;

    begin(&m);
    heap.call_count = 0;
    heap.fail_at = fail_at;
    error = change(&m, n);
    has_failed = heap.call_count >= fail_at;
    heap.fail_at = 0;
    CU_ASSERT_TRUE(error == CONFCAST_OK || error == CONFCAST_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(change(&m, n), CONFCAST_OK);
    memory = dump(m.service, false);
    model_reopen(&m);
    fresh = dump(m.service, false);
    CU_ASSERT_STRING_EQUAL(memory, expected);
    CU_ASSERT_STRING_EQUAL(fresh, expected);
    free(memory);
    free(fresh);
    model_close(&m);
    return has_failed;
}

static void
a_change_without_memory_is_done_whole_or_not_at_all(void)
{
    cfc_json_alloc_hook = is_to_fail;
    for (int n = 0; n < CHANGE_COUNT; n++) {
        char *expected = expect(n);
        uint64_t fail_at = 1;

        while (change_without_memory(n, fail_at, expected)) {
            fail_at++;
        }
        CU_ASSERT_TRUE(fail_at > 3);
        free(expected);
    }
    cfc_json_alloc_hook = NULL;
}

static bool
is_read_to_fail(bool is_reading)
{
    heap.call_count += is_reading;
    return is_reading && heap.call_count == heap.fail_at;
}

/* Strings alone: at a number Jansson itself would crash. */
static void
what_is_read_without_memory_is_not_taken_for_what_was_written(void)
{
    static const char text[] =
        "{\"author\":\"somebody with a name\",\"digest\":\"0123456789abcdef0123456789abcdef\"}";
    size_t failed = 0;

    cfc_json_alloc_hook = is_read_to_fail;
    for (heap.fail_at = 1;; heap.fail_at++) {
        json_t *record = NULL;
        int error;

        heap.call_count = 0;
        error = cfc_record_parse(text, sizeof(text) - 1, &record);
        json_decref(record);
        if (heap.call_count < heap.fail_at) {
            CU_ASSERT_EQUAL(error, CONFCAST_OK);
            break;
        }
        CU_ASSERT_EQUAL(error, CONFCAST_ERR_NO_MEMORY);
        failed++;
    }
    cfc_json_alloc_hook = NULL;
    heap.fail_at = 0;
    CU_ASSERT_TRUE(failed > 5);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_change_without_memory_is_done_whole_or_not_at_all),
    CFC_CASE(what_is_read_without_memory_is_not_taken_for_what_was_written),
};

CFC_TEST_MAIN("model_memory", cases)
