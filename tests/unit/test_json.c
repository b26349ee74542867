#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/json/json_merge.h"
#include "controlplane/json/json_parse.h"
#include "tests/unit/cunit_main.h"

static int
parse_sized(const char *text, size_t size)
{
    struct cfc_json_error error = {.message = ""};
    json_t *root;
    int code = cfc_json_parse_object(text, size, CFC_JSON_SIZE_MAX_DEFAULT, &root, &error);

    CU_ASSERT_EQUAL(root != NULL, code == CONFCAST_OK);
    CU_ASSERT_EQUAL(error.message[0] != '\0', code != CONFCAST_OK);
    json_decref(root);
    return code;
}

static int
parse(const char *text)
{
    return parse_sized(text, strlen(text));
}

/* The canonical text of a document, or its error's word; static. */
static const char *
canonical(const char *text)
{
    static char out[4096];
    json_t *root;
    size_t size;
    char *made = NULL;
    int code = cfc_json_parse_object(text, strlen(text), CFC_JSON_SIZE_MAX_DEFAULT, &root, NULL);

    if (code == CONFCAST_OK) {
        code = cfc_json_to_text(root, &made, &size);
        json_decref(root);
    }
    if (code == CONFCAST_OK) {
        CU_ASSERT_EQUAL(strlen(made), size);
        snprintf(out, sizeof(out), "%s", made);
    } else {
        snprintf(out, sizeof(out), "%s", confcast_error_word(code));
    }
    free(made);
    return out;
}

static void
plain_documents_are_accepted(void)
{
    CU_ASSERT_EQUAL(parse("{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse(" {\"a\": [1, 2.5, true, false, null, \"x\"]}\n"), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse("{\"\\ud83d\\ude00\": \"\\u00e9\"}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse("{\"a\": \"[[[[{{{{\\\"]\"}"), CONFCAST_OK);
}

static void
what_is_not_json_is_a_syntax_error(void)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "}",
                                      "{]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{'a':1}",
                                      "{\"a\":01}",
                                      "{\"a\":+1}",
                                      "{\"a\":.5}",
                                      "{\"a\":1.}",
                                      "{\"a\":NaN}",
                                      "{\"a\":Infinity}",
                                      "{\"a\":-Infinity}",
                                      "{\"a\":1e400}",
                                      "{\"a\":-1e400}",
                                      "{} {}",
                                      "{}x",
                                      "[]",
                                      "1",
                                      "\"a\"",
                                      "null",
                                      "{\"a\":\"\n\"}",
                                      "{\"a\":\"\\x\"}",
                                      "{\"a\":\"\\u12\"}",
                                      "{/**/}",
                                      "\xef\xbb\xbf{}"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int code = parse(bad[i]);

        if (code != CONFCAST_ERR_SYNTAX) {
            printf("  %s -> %d\n", bad[i], code);
        }
        CU_ASSERT_EQUAL(code, CONFCAST_ERR_SYNTAX);
    }
}

static void
strings_are_plain_unicode_without_nul(void)
{
    static const char *const bad[] = {"{\"a\":\"\\u0000\"}",         "{\"\\u0000\":1}",
                                      "{\"a\":\"\\ud800\"}",         "{\"a\":\"\\ud800x\"}",
                                      "{\"a\":\"\\ud800\\u0041\"}",  "{\"a\":\"\\udc00\"}",
                                      "{\"a\":\"\\uDFFF\\uD800\"}",  "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\xc0\x80\"}",        "{\"a\":\"\xed\xa0\x80\"}",
                                      "{\"a\":\"\xf4\x90\x80\x80\"}"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(parse(bad[i]), CONFCAST_ERR_ENCODING);
    }
    CU_ASSERT_EQUAL(parse_sized("{\"a\":\"\0\"}", 9), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(parse_sized("{}\0", 3), CONFCAST_ERR_SYNTAX);
}

static void
the_same_key_twice_is_refused_however_it_is_written(void)
{
    CU_ASSERT_EQUAL(parse("{\"a\":1,\"a\":1}"), CONFCAST_ERR_DUPLICATE_KEY);
    CU_ASSERT_EQUAL(parse("{\"a\":1,\"\\u0061\":2}"), CONFCAST_ERR_DUPLICATE_KEY);
    CU_ASSERT_EQUAL(parse("{\"x\":[{\"/\":1,\"\\/\":2}]}"), CONFCAST_ERR_DUPLICATE_KEY);
    CU_ASSERT_EQUAL(parse("{\"a\":{\"a\":1},\"A\":2}"), CONFCAST_OK);
}

static int
parse_nested(int depth, char open, char close)
{
    char text[400];
    size_t size = 0;

    size += (size_t)snprintf(text, sizeof(text), "{\"a\":");
    for (int i = 1; i < depth; i++) {
        text[size++] = open;
        if (open == '{' && i + 1 < depth) {
            size += (size_t)snprintf(text + size, sizeof(text) - size, "\"a\":");
        }
    }
    for (int i = 1; i < depth; i++) {
        text[size++] = close;
    }
    text[size++] = '}';
    return parse_sized(text, size);
}

static void
nesting_ends_at_64_levels(void)
{
    char deep[100000];

    CU_ASSERT_EQUAL(parse_nested(64, '[', ']'), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse_nested(65, '[', ']'), CONFCAST_ERR_DEPTH);
    CU_ASSERT_EQUAL(parse_nested(64, '{', '}'), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse_nested(65, '{', '}'), CONFCAST_ERR_DEPTH);
    memset(deep, '[', sizeof(deep));
    CU_ASSERT_EQUAL(parse_sized(deep, sizeof(deep)), CONFCAST_ERR_DEPTH);
}

static void
integers_end_at_2_to_the_53_minus_1(void)
{
    CU_ASSERT_EQUAL(parse("{\"a\":9007199254740991}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse("{\"a\":9007199254740992}"), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(parse("{\"a\":-9007199254740991}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse("{\"a\":-9007199254740992}"), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(parse("{\"a\":[100000000000000000000000000]}"), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(parse("{\"a\":\"100000000000000000000000000\"}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse("{\"9007199254740992\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse("{\"a\":1e20}"), CONFCAST_OK);
}

static void
a_document_may_be_as_long_as_the_limit(void)
{
    json_t *root;

    CU_ASSERT_EQUAL(cfc_json_parse_object("{}", 2, 2, &root, NULL), CONFCAST_OK);
    json_decref(root);
    CU_ASSERT_EQUAL(cfc_json_parse_object("{} ", 3, 2, &root, NULL), CONFCAST_ERR_LIMIT);
    CU_ASSERT_PTR_NULL(root);
}

static void
every_truncation_is_refused(void)
{
    static const char text[] =
        "{\"a\":[1,-2.5e3,true,null,\"\\ud83d\\ude00\\n\"],\"b\":{\"c\":{}}}";

    CU_ASSERT_EQUAL(parse(text), CONFCAST_OK);
    for (size_t size = 0; size + 1 < sizeof(text); size++) {
        CU_ASSERT_NOT_EQUAL(parse_sized(text, size), CONFCAST_OK);
    }
}

static void
an_error_says_where_and_never_quotes_the_document(void)
{
    struct cfc_json_error error;
    json_t *root;

    CU_ASSERT_EQUAL(cfc_json_parse_object("{\"password\": hunter2}", 21, 100, &root, &error),
                    CONFCAST_ERR_SYNTAX);
    CU_ASSERT_PTR_NULL(strstr(error.message, "hunter2"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "line 1"));
    CU_ASSERT_EQUAL(cfc_json_parse_object("{\"a\": 9007199254740992}", 23, 100, &root, &error),
                    CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(error.offset, 6);
}

static void
canonical_text_follows_rfc_8785(void)
{
    CU_ASSERT_STRING_EQUAL(canonical("{\"b\":1.0,\"a\":-0,\"c\":0.1}"),
                           "{\"a\":0,\"b\":1,\"c\":0.1}");
    CU_ASSERT_STRING_EQUAL(canonical("{\"a\":[1e3,-0.0,333333333.33333329,1E30,4.50,2e-3]}"),
                           "{\"a\":[1000,0,333333333.3333333,1e+30,4.5,0.002]}");
    CU_ASSERT_STRING_EQUAL(canonical("{\"a\":1e-400,\"b\":5e-324}"), "{\"a\":0,\"b\":5e-324}");
    /* U+FB33 sorts before U+1F600 as UTF-8 but after it as UTF-16. */
    CU_ASSERT_STRING_EQUAL(canonical("{\"\\ufb33\":1,\"\\ud83d\\ude00\":2,\"1\":3,\"\":4}"),
                           "{\"\":4,\"1\":3,\"\xf0\x9f\x98\x80\":2,\"\xef\xac\xb3\":1}");
    CU_ASSERT_STRING_EQUAL(canonical("{\"a\":\"\\u20ac\\/\\\"\\\\\\n\\u001f\"}"),
                           "{\"a\":\"\xe2\x82\xac/\\\"\\\\\\n\\u001f\"}");
}

static void
canonical_text_can_be_read_back_whatever_its_numbers(void)
{
    static const char text[] = "{\"a\":100000000000000000000,\"b\":1e+21}";
    json_t *root;
    char *again;
    size_t size;

    CU_ASSERT_STRING_EQUAL(canonical("{\"b\":1e21,\"a\":1e20}"), text);
    CU_ASSERT_EQUAL_FATAL(cfc_json_parse_canonical(text, sizeof(text) - 1, &root), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_json_to_text(root, &again, &size), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(again, text);
    free(again);
    json_decref(root);
}

static void
equal_values_have_equal_bodies(void)
{
    static const char *const same[] = {"{\"a\":1,\"b\":[0,2]}", "{\"b\":[-0,2.0],\"a\":1.0}",
                                       " { \"b\" : [ 0e5 , 20e-1 ] , \"\\u0061\" : 10e-1 } "};
    uint8_t *first = NULL;
    size_t first_size = 0;

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        json_t *root;
        uint8_t *body;
        size_t size;

        CU_ASSERT_EQUAL_FATAL(cfc_json_parse_object(same[i], strlen(same[i]), 1000, &root, NULL),
                              CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_json_to_body(root, &body, &size), CONFCAST_OK);
        json_decref(root);
        if (first == NULL) {
            first = body;
            first_size = size;
            continue;
        }
        CU_ASSERT_EQUAL(size, first_size);
        CU_ASSERT_EQUAL(memcmp(body, first, size), 0);
        free(body);
    }
    free(first);
}

static void
a_body_that_is_damaged_is_no_text(void)
{
    char *text;
    size_t size;

    CU_ASSERT_EQUAL(cfc_json_body_to_text((const uint8_t *)"CFB", 3, &text, &size),
                    CONFCAST_ERR_BODY);
    CU_ASSERT_PTR_NULL(text);
}

/* Appendix A of RFC 7396; the roots that are no objects are wrapped by the test. */
static const struct {
    const char *target;
    const char *patch;
    const char *result;
} rfc_7396[] = {
    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
    {"{\"a\":\"foo\"}", "null", "null"},
    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
};

static void
merge_patch_gives_the_results_of_the_rfc(void)
{
    for (size_t i = 0; i < sizeof(rfc_7396) / sizeof(rfc_7396[0]); i++) {
        json_t *target = json_loads(rfc_7396[i].target, JSON_DECODE_ANY, NULL);
        json_t *patch = json_loads(rfc_7396[i].patch, JSON_DECODE_ANY, NULL);
        json_t *before = json_deep_copy(patch);
        json_t *result = json_loads(rfc_7396[i].result, JSON_DECODE_ANY, NULL);

        CU_ASSERT_EQUAL(cfc_json_merge_patch(&target, patch), CONFCAST_OK);
        CU_ASSERT_TRUE(json_equal(target, result));
        CU_ASSERT_TRUE(json_equal(patch, before));
        json_decref(target);
        json_decref(patch);
        json_decref(before);
        json_decref(result);
    }
}

static void
merge_patch_into_nothing_strips_nulls_and_shares_nothing(void)
{
    json_t *target = NULL;
    json_t *patch = json_loads("{\"a\":{\"b\":null,\"c\":[null]},\"d\":null}", 0, NULL);
    json_t *result = json_loads("{\"a\":{\"c\":[null]}}", 0, NULL);

    CU_ASSERT_EQUAL(cfc_json_merge_patch(&target, patch), CONFCAST_OK);
    CU_ASSERT_TRUE(json_equal(target, result));
    json_object_clear(json_object_get(patch, "a"));
    CU_ASSERT_TRUE(json_equal(target, result));
    json_decref(target);
    json_decref(patch);
    json_decref(result);
}

static json_t *
nested(size_t depth)
{
    json_t *inner = json_object();

    for (size_t i = 1; i < depth; i++) {
        json_t *outer = json_object();

        json_object_set_new(outer, "a", inner);
        inner = outer;
    }
    return inner;
}

static void
merge_and_body_take_64_levels_and_not_65(void)
{
    for (size_t depth = 64; depth <= 65; depth++) {
        int expected = depth == 64 ? CONFCAST_OK : CONFCAST_ERR_DEPTH;
        json_t *target = json_object();
        json_t *patch = nested(depth);
        uint8_t *body;
        size_t size;

        CU_ASSERT_EQUAL(cfc_json_merge_patch(&target, patch), expected);
        CU_ASSERT_EQUAL(cfc_json_to_body(patch, &body, &size), expected);
        free(body);
        json_decref(target);
        json_decref(patch);
    }
}

/* `count` times a piece, between two others. */
static char *
repeated(const char *before, const char *piece, size_t count, const char *after, size_t *size)
{
    size_t piece_size = strlen(piece);
    char *text = malloc(strlen(before) + piece_size * count + strlen(after) + 1);
    char *p = text;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    p = stpcpy(p, before);
    for (size_t i = 0; i < count; i++) {
        p = stpcpy(p, piece);
    }
    p = stpcpy(p, after);
    *size = (size_t)(p - text);
    return text;
}

static char *
with_many_keys(size_t count, size_t *size)
{
    size_t capacity = 32 * count + 8;
    char *text = malloc(capacity);
    char *p = text;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (size_t i = 0; i < count; i++) {
        p += snprintf(p, capacity - (size_t)(p - text), "%c\"%zx\":%s", i == 0 ? '{' : ',',
                      i * 7919, i % 2 == 0 ? "1" : "[]");
    }
    p = stpcpy(p, "}");
    *size = (size_t)(p - text);
    return text;
}

static void
check_tree_size(char *text, size_t size)
{
    uint64_t told = cfc_json_tree_size(text, size);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    size_t taken;
    json_t *root;

    CU_ASSERT_EQUAL_FATAL(cfc_json_parse_object(text, size, SIZE_MAX, &root, NULL), CONFCAST_OK);
    taken = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    CU_ASSERT(taken <= told);
    CU_ASSERT(taken >= told / 4);
    json_decref(root);
    free(text);
}

static void
the_size_of_a_tree_is_told_before_there_is_one(void)
{
    size_t size;
    char *text;

#ifdef __SANITIZE_ADDRESS__
    printf("(skipped: this heap does not tell what is taken) ");
    return;
#endif
    for (size_t count = 1000; count <= 100000; count = count * 5 / 2) {
        text = repeated("{\"a\":[", "{},", count, "1]}", &size);
        check_tree_size(text, size);
        text = repeated("{\"a\":[", "[],", count, "1]}", &size);
        check_tree_size(text, size);
        text = repeated("{\"a\":[", "1,", count, "1]}", &size);
        check_tree_size(text, size);
        text = repeated("{\"a\":[", "\"x\",", count, "1]}", &size);
        check_tree_size(text, size);
        text = repeated("{\"a\":[", "{\"a\":1,\"b\":[\"a long text of no meaning\"]},", count,
                        "1]}", &size);
        check_tree_size(text, size);
        text = with_many_keys(count, &size);
        check_tree_size(text, size);
    }
}

static void
a_small_text_of_a_huge_tree_is_refused_before_the_tree_is_made(void)
{
    struct cfc_json_error error;
    size_t size;
    char *text = repeated("{\"a\":[", "{},", 3800000, "1]}", &size);
    json_t *root;

    CU_ASSERT(size < 12 << 20);
    CU_ASSERT(cfc_json_tree_size(text, size) > CFC_JSON_TREE_SIZE_MAX);
    CU_ASSERT(cfc_json_tree_size(text, size - size / 8) < CFC_JSON_TREE_SIZE_MAX);
    CU_ASSERT_EQUAL(cfc_json_parse_object(text, size, SIZE_MAX, &root, &error), CONFCAST_ERR_LIMIT);
    CU_ASSERT_PTR_NULL(root);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "too many values"));
    free(text);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(plain_documents_are_accepted),
    CFC_CASE(what_is_not_json_is_a_syntax_error),
    CFC_CASE(strings_are_plain_unicode_without_nul),
    CFC_CASE(the_same_key_twice_is_refused_however_it_is_written),
    CFC_CASE(nesting_ends_at_64_levels),
    CFC_CASE(integers_end_at_2_to_the_53_minus_1),
    CFC_CASE(a_document_may_be_as_long_as_the_limit),
    CFC_CASE(every_truncation_is_refused),
    CFC_CASE(an_error_says_where_and_never_quotes_the_document),
    CFC_CASE(canonical_text_follows_rfc_8785),
    CFC_CASE(canonical_text_can_be_read_back_whatever_its_numbers),
    CFC_CASE(equal_values_have_equal_bodies),
    CFC_CASE(a_body_that_is_damaged_is_no_text),
    CFC_CASE(merge_patch_gives_the_results_of_the_rfc),
    CFC_CASE(merge_patch_into_nothing_strips_nulls_and_shares_nothing),
    CFC_CASE(merge_and_body_take_64_levels_and_not_65),
    CFC_CASE(the_size_of_a_tree_is_told_before_there_is_one),
    CFC_CASE(a_small_text_of_a_huge_tree_is_refused_before_the_tree_is_made),
};

CFC_TEST_MAIN("json", cases)
