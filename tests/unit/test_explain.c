#include <stdlib.h>

#include "controlplane/json/json_body.h"
#include "controlplane/json/json_merge.h"
#include "controlplane/model/explain.h"
#include "tests/unit/model_fixture.h"

/* ---- One merge --------------------------------------------------------------------------------
 */

/* "effect at value" of merging one text into another ("" = nothing yet); static. */
static const char *
step_of(const char *target_text, const char *patch_text, const char *pointer)
{
    static char text[512];
    json_t *target = target_text[0] != '\0' ? json_loads(target_text, 0, NULL) : NULL;
    json_t *patch = json_loads(patch_text, 0, NULL);
    struct cfc_explain_step step;
    char *value;

    CU_ASSERT_EQUAL_FATAL(cfc_pointer_check(pointer), CONFCAST_OK);
    step = cfc_explain_merge(target, patch, pointer);
    value = step.value != NULL ? json_dumps(step.value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    snprintf(text, sizeof(text), "%s \"%.*s\" %s", cfc_explain_effect_word(step.effect),
             (int)step.at_size, pointer, value != NULL ? value : "-");
    free(value);
    json_decref(target);
    json_decref(patch);
    return text;
}

#define STEP_IS(target, patch, pointer, expected)                                                  \
    CU_ASSERT_STRING_EQUAL(step_of(target, patch, pointer), expected)

static void
a_layer_sets_merges_deletes_replaces_or_says_nothing(void)
{
    STEP_IS("{}", "{\"a\":1}", "/a", "sets \"/a\" 1");
    STEP_IS("{\"a\":1}", "{\"b\":2}", "/a", "none \"\" -");
    STEP_IS("{\"a\":1}", "{}", "/a", "none \"\" -");
    STEP_IS("{\"a\":1}", "{\"a\":null}", "/a", "deletes \"/a\" null");
    STEP_IS("{}", "{\"a\":null}", "/a", "deletes \"/a\" null");
    STEP_IS("{\"a\":{\"b\":1}}", "{\"a\":null}", "/a/b", "deletes \"/a\" -");
    STEP_IS("{\"a\":{\"b\":1}}", "{\"a\":5}", "/a/b", "replaces \"/a\" -");
    STEP_IS("{\"a\":{\"b\":1}}", "{\"a\":{\"c\":2}}", "/a", "merges \"/a\" {\"c\":2}");
    STEP_IS("{\"a\":{\"b\":1}}", "{\"a\":{\"c\":2}}", "/a/b", "none \"\" -");
    STEP_IS("{\"a\":7}", "{\"a\":{\"c\":2}}", "/a", "sets \"/a\" {\"c\":2}");
    STEP_IS("", "{\"a\":{\"b\":{\"c\":1}}}", "/a/b/c", "sets \"/a/b/c\" 1");
    STEP_IS("{}", "{\"a\":1}", "", "merges \"\" {\"a\":1}");
}

static void
an_object_in_place_of_a_scalar_or_an_array_replaces_all_below_it(void)
{
    STEP_IS("{\"a\":[1,2]}", "{\"a\":{\"x\":1}}", "/a/0", "replaces \"/a\" -");
    STEP_IS("{\"a\":[1,2]}", "{\"a\":{}}", "/a/0", "replaces \"/a\" -");
    STEP_IS("{\"a\":[1,2]}", "{\"a\":{\"0\":3}}", "/a/0", "sets \"/a/0\" 3");
    STEP_IS("{\"a\":[{\"b\":1}]}", "{\"a\":{\"x\":{}}}", "/a/0/b", "replaces \"/a\" -");
}

static void
arrays_are_one_value_and_pointers_reach_into_them(void)
{
    STEP_IS("{\"a\":[1,2]}", "{\"a\":[3,4]}", "/a/1", "sets \"/a/1\" 4");
    STEP_IS("{\"a\":[1,2]}", "{\"a\":[3]}", "/a/1", "replaces \"/a\" -");
    STEP_IS("{}", "{\"a\":[[{\"b\":9}]]}", "/a/0/0/b", "sets \"/a/0/0/b\" 9");
    STEP_IS("{}", "{\"a\":[null]}", "/a/0", "sets \"/a/0\" null");
    STEP_IS("{}", "{\"a\":[1]}", "/a/00", "replaces \"/a\" -");
    STEP_IS("{}", "{\"a\":[1]}", "/a/-", "replaces \"/a\" -");
    STEP_IS("{}", "{\"a\":[1]}", "/a/", "replaces \"/a\" -");
    STEP_IS("{}", "{\"a\":[1]}", "/a/4294967296", "replaces \"/a\" -");
    STEP_IS("{}", "{\"a\":[1]}", "/a/99999999999999999999", "replaces \"/a\" -");
}

static void
keys_with_slashes_and_tildes_are_escaped(void)
{
    STEP_IS("{}", "{\"a/b\":1,\"m~n\":2,\"~1\":3,\"\":4}", "/a~1b", "sets \"/a~1b\" 1");
    STEP_IS("{}", "{\"a/b\":1,\"m~n\":2,\"~1\":3,\"\":4}", "/m~0n", "sets \"/m~0n\" 2");
    STEP_IS("{}", "{\"a/b\":1,\"m~n\":2,\"~1\":3,\"\":4}", "/~01", "sets \"/~01\" 3");
    STEP_IS("{}", "{\"a/b\":1,\"m~n\":2,\"~1\":3,\"\":4}", "/", "sets \"/\" 4");
    STEP_IS("{}", "{\"a/b\":1}", "/a/b", "none \"\" -");
}

static void
pointers_are_checked_on_both_sides_of_their_limit(void)
{
    static char pointer[CFC_POINTER_SIZE_MAX + 2];

    memset(pointer, '/', CFC_POINTER_SIZE_MAX);
    CU_ASSERT_EQUAL(cfc_pointer_check(pointer), CONFCAST_OK);
    pointer[CFC_POINTER_SIZE_MAX] = '/';
    CU_ASSERT_EQUAL(cfc_pointer_check(pointer), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_pointer_check(""), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_pointer_check("a"), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_pointer_check("/a~"), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_pointer_check("/a~2"), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_pointer_check("/a~0~1"), CONFCAST_OK);
}

/* ---- Against the merge itself -----------------------------------------------------------------
 */

static void
append(char *text, size_t capacity, const char *more)
{
    size_t size = strlen(text);

    CU_ASSERT_FATAL(size + strlen(more) < capacity);
    memcpy(text + size, more, strlen(more) + 1);
}

static uint64_t random_state;

static uint32_t
pick(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* A small value whose keys collide often, so that merges meet each other. */
static json_t *
random_value(int depth)
{
    static const char *const keys[] = {"a", "b", "0", "~", "/"};
    uint32_t kind = pick(depth > 0 ? 6 : 4);
    uint32_t count = pick(3);
    json_t *value;

    switch (kind) {
    case 0:
        return json_null();
    case 1:
    case 2:
        return json_integer(pick(4));
    case 3:
        return json_string("s");
    case 4:
        value = json_array();
        for (uint32_t i = 0; i < count; i++) {
            json_array_append_new(value, random_value(depth - 1));
        }
        return value;
    default:
        value = json_object();
        for (uint32_t i = 0; i < count + 1; i++) {
            json_object_set_new(value, keys[pick(5)], random_value(depth - 1));
        }
        return value;
    }
}

static json_t *
random_object(void)
{
    json_t *object = json_object();

    json_object_set_new(object, "a", random_value(3));
    if (pick(2) == 0) {
        json_object_set_new(object, "b", random_value(2));
    }
    return object;
}

static void
every_effect_is_what_the_merge_does(void)
{
    static const char *const tokens[] = {"/a", "/b", "/0", "/~0", "/~1", "/1"};
    uint32_t effects[5] = {0};
    char pointer[32];

    random_state = 20261123;
    for (int round = 0; round < 20000; round++) {
        json_t *before = random_object();
        json_t *patch = random_object();
        json_t *merged = json_deep_copy(before);
        struct cfc_explain_step step;
        json_t *old;
        json_t *new;

        pointer[0] = '\0';
        for (uint32_t i = pick(4); i > 0; i--) {
            append(pointer, sizeof(pointer), tokens[pick(6)]);
        }
        step = cfc_explain_merge(before, patch, pointer);
        CU_ASSERT_EQUAL_FATAL(cfc_json_merge_patch(&merged, patch), CONFCAST_OK);
        old = cfc_pointer_get(before, pointer);
        new = cfc_pointer_get(merged, pointer);
        effects[step.effect]++;
        switch (step.effect) {
        case CFC_EXPLAIN_NONE:
            CU_ASSERT_TRUE((old == NULL && new == NULL) || json_equal(old, new));
            break;
        case CFC_EXPLAIN_SETS: {
            json_t *given = json_object(); /* as it is merged, without its nulls */

            CU_ASSERT_EQUAL(cfc_json_merge_patch(&given, step.value), CONFCAST_OK);
            /* Inside of an array an object stays as it is. */
            CU_ASSERT_TRUE(new != NULL && (json_equal(given, new) || json_equal(step.value, new)));
            json_decref(given);
            break;
        }
        case CFC_EXPLAIN_MERGES:
            CU_ASSERT_TRUE(json_is_object(old) && json_is_object(new));
            break;
        case CFC_EXPLAIN_DELETES:
        case CFC_EXPLAIN_REPLACES:
            CU_ASSERT_PTR_NULL(new);
            break;
        }
        json_decref(before);
        json_decref(patch);
        json_decref(merged);
    }
    for (int i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(effects[i] > 100);
    }
}

/* ---- In the service ---------------------------------------------------------------------------
 */

/* "value < winner@revision effect | loser@revision effect value ..." ; static. */
static const char *
why(struct model *m, const char *scope, bool wants_candidate, const char *pointer)
{
    static char text[2048];
    struct cfc_explanation out;
    int error = cfc_service_explain(m->service, scope, wants_candidate, pointer, &out);
    size_t size;

    if (error != CONFCAST_OK) {
        return confcast_error_word(error);
    }
    size = (size_t)snprintf(text, sizeof(text), "%s", out.text != NULL ? out.text : "-");
    for (int i = out.winner_idx; i >= 0; i--) {
        const struct cfc_explained_layer *layer = &out.layers[i];

        if (layer->effect == CFC_EXPLAIN_NONE) {
            continue;
        }
        size += (size_t)snprintf(
            text + size, sizeof(text) - size, "%s%s@%llu%s %s %s",
            i == out.winner_idx ? " < " : " | ", layer->scope, (unsigned long long)layer->revision,
            layer->is_candidate ? "*" : "", cfc_explain_effect_word(layer->effect),
            layer->text != NULL ? layer->text : "-");
    }
    cfc_explanation_free(&out);
    return text;
}

static void
a_value_is_explained_by_its_winner_and_its_losers(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"limit\":1e3,\"db\":{\"host\":\"x\",\"port\":1}}"),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"limit\":2,\"db\":{\"port\":0.5}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop/prod", "{\"limit\":null}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(
        why(&m, "acme/shop/prod", false, "/limit"),
        "- < acme/shop/prod@1 deletes null | acme/shop@1 sets 2 | acme@1 sets 1000");
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop/prod", false, "/db"),
                           "{\"host\":\"x\",\"port\":0.5} < acme/shop@1 merges {\"port\":0.5} | "
                           "acme@1 sets {\"host\":\"x\",\"port\":1}");
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop/prod", false, "/db/host"),
                           "\"x\" < acme@1 sets \"x\"");
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop/prod", false, "/nothing"), "-");
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop/prod", false, "/db/host/deeper"),
                           "- < acme@1 replaces -");
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/other", false, "/limit"), "1000 < acme@1 sets 1000");
    CU_ASSERT_STRING_EQUAL(why(&m, "nobody", false, ""), "not_found");
    CU_ASSERT_STRING_EQUAL(why(&m, "acme", false, "limit"), "invalid");
    model_close(&m);
}

static void
each_arm_of_a_rollout_is_explained_by_itself(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1,\"b\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"b\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":3,\"b\":3}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:5%"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop", false, "/a"), "1 < acme@1 sets 1");
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop", true, "/a"), "3 < acme@2* sets 3");
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop", true, "/b"),
                           "2 < acme/shop@1 sets 2 | acme@2* sets 3");
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_ABORT), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop", true, "/a"), "1 < acme@1 sets 1");
    CU_ASSERT_EQUAL(act(&m, "acme/shop", CFC_ACTION_DISABLE), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(why(&m, "acme/shop", false, "/b"), "1 < acme@1 sets 1");
    model_close(&m);
}

static void
a_document_of_every_allowed_depth_is_explained(void)
{
    char text[1024] = "";
    char pointer[256] = "";
    struct model m;

    model_open(&m);
    for (int i = 0; i < 63; i++) {
        append(text, sizeof(text), "{\"k\":");
        append(pointer, sizeof(pointer), "/k");
    }
    append(text, sizeof(text), "[7]");
    for (int i = 0; i < 63; i++) {
        append(text, sizeof(text), "}");
    }
    CU_ASSERT_EQUAL_FATAL(publish(&m, "deep", text), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(why(&m, "deep", false, pointer), "[7] < deep@1 sets [7]");
    append(pointer, sizeof(pointer), "/0");
    CU_ASSERT_STRING_EQUAL(why(&m, "deep", false, pointer), "7 < deep@1 sets 7");
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_layer_sets_merges_deletes_replaces_or_says_nothing),
    CFC_CASE(an_object_in_place_of_a_scalar_or_an_array_replaces_all_below_it),
    CFC_CASE(arrays_are_one_value_and_pointers_reach_into_them),
    CFC_CASE(keys_with_slashes_and_tildes_are_escaped),
    CFC_CASE(pointers_are_checked_on_both_sides_of_their_limit),
    CFC_CASE(every_effect_is_what_the_merge_does),
    CFC_CASE(a_value_is_explained_by_its_winner_and_its_losers),
    CFC_CASE(each_arm_of_a_rollout_is_explained_by_itself),
    CFC_CASE(a_document_of_every_allowed_depth_is_explained),
};

CFC_TEST_MAIN("explain", cases)
