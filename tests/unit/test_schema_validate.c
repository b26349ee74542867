/* The machine: its bounds, its memory, and the values that it compares. */
#include <math.h>
#include <stdio.h>

#include "controlplane/schema/value.h"
#include "protocol/base/limits.h"
#include "tests/unit/heap.h"
#include "tests/unit/schema_fixture.h"

static int
judged_within(const char *schema_text, const char *document_text, uint64_t steps)
{
    struct cfc_schema *schema = schema_of(schema_text);
    json_t *document = json_of(document_text);
    int code;

    memset(&why, 0, sizeof(why));
    code = cfc_schema_validate_within(schema, document, steps, &why);
    CU_ASSERT_EQUAL(cfc_schema_validate_within(schema, document, steps, NULL), code);
    json_decref(document);
    cfc_schema_free(schema);
    return code;
}

/* `count` levels, each of which asks twice for the next. */
static struct cfc_schema *
doubling_schema(int count)
{
    char text[8192] = "{'$ref': '#/$defs/0', '$defs': {";
    char level[128];

    for (int i = 0; i < count; i++) {
        snprintf(level, sizeof(level),
                 "'%d': {'allOf': [{'$ref': '#/$defs/%d'}, {'$ref': '#/$defs/%d'}]}, ", i, i + 1,
                 i + 1);
        append(text, sizeof(text), level);
    }
    snprintf(level, sizeof(level), "'%d': {}}}", count);
    append(text, sizeof(text), level);
    return schema_of(text);
}

static void
schemas_that_double_run_out_of_steps(void)
{
    struct cfc_schema *schema = doubling_schema(12);
    json_t *document = json_of("{'a': 1}");

    CU_ASSERT_EQUAL(judged_json(schema, document), CONFCAST_OK);
    cfc_schema_free(schema);
    schema = doubling_schema(25);
    CU_ASSERT_EQUAL(cfc_schema_validate(schema, document, &why), CONFCAST_ERR_LIMIT);
    CU_ASSERT_STRING_EQUAL(
        why.message, "checking this document against this schema takes more work than is allowed");
    cfc_schema_free(schema);
    json_decref(document);
}

/* Every op that repeats pays for it: with too few steps each of these stops, and says where. */
static void
every_way_to_spend_time_is_paid_for(void)
{
    static const struct {
        const char *schema;
        const char *document;
    } work[] = {
        {"{'items': true}", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"},
        {"{'contains': false, 'minContains': 0, 'maxContains': 9}",
         "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"},
        {"{'uniqueItems': true}", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"},
        {"{'const': [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}",
         "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"},
        {"{'required': ['a','b','c','d','e','f','g','h','i','j','k','l','m','n','o','p']}",
         "{'a':1,'b':1,'c':1,'d':1,'e':1,'f':1,'g':1,'h':1,'i':1,'j':1,'k':1,'l':1,'m':1,'n':1,"
         "'o':1,'p':1}"},
        {"{'properties': {'a':true,'b':true,'c':true,'d':true,'e':true,'f':true,'g':true,'h':true,"
         "'i':true,'j':true,'k':true,'l':true,'m':true,'n':true,'o':true,'p':true}}",
         "{'1':1,'2':1,'3':1,'4':1,'5':1,'6':1,'7':1,'8':1,'9':1,'10':1,'11':1,'12':1,'13':1,"
         "'14':1,'15':1,'16':1,'17':1}"},
        {"{'additionalProperties': true}",
         "{'a':1,'b':1,'c':1,'d':1,'e':1,'f':1,'g':1,'h':1,'i':1,'j':1,'k':1,'l':1,'m':1,'n':1,"
         "'o':1,'p':1}"},
        {"{'properties': {'x': true}, 'patternProperties': {'y': true}}",
         "{'a':1,'b':1,'c':1,'d':1,'e':1,'f':1,'g':1,'h':1,'i':1,'j':1,'k':1,'l':1,'m':1,'n':1,"
         "'o':1,'p':1}"},
        {"{'propertyNames': true}",
         "{'a':1,'b':1,'c':1,'d':1,'e':1,'f':1,'g':1,'h':1,'i':1,'j':1,'k':1,'l':1,'m':1,'n':1,"
         "'o':1,'p':1}"},
        {"{'dependentSchemas': {'a':true,'b':true,'c':true,'d':true,'e':true,'f':true,'g':true,"
         "'h':true,'i':true,'j':true,'k':true,'l':true,'m':true,'n':true,'o':true,'p':true}}",
         "{}"},
        {"{'allOf': [true,true,true,true,true,true,true,true,true,true,true,true,true,true]}", "1"},
        {"{'pattern': '^(?:a|b)*$'}", "'abababababababab'"},
    };

    for (size_t i = 0; i < sizeof(work) / sizeof(work[0]); i++) {
        CU_ASSERT_EQUAL(judged_within(work[i].schema, work[i].document, 1000), CONFCAST_OK);
        CU_ASSERT_EQUAL(judged_within(work[i].schema, work[i].document, 12), CONFCAST_ERR_LIMIT);
        CU_ASSERT_EQUAL(judged_within(work[i].schema, work[i].document, 0), CONFCAST_ERR_LIMIT);
        /* Any number of steps gives one of the two answers, and no half of one. */
        for (uint64_t steps = 0; steps < 300; steps++) {
            int code = judged_within(work[i].schema, work[i].document, steps);

            CU_ASSERT(code == CONFCAST_OK || code == CONFCAST_ERR_LIMIT);
        }
    }
}

static void
the_place_where_the_steps_ran_out_is_said(void)
{
    const char *schema = "{'items': {'$ref': '#/$defs/a'}, '$defs': {'a': {'pattern': '^[ab]*$'}}}";
    int code = CONFCAST_ERR_LIMIT;
    bool is_seen = false;

    for (uint64_t steps = 0; code == CONFCAST_ERR_LIMIT && steps < 1000; steps++) {
        code = judged_within(schema, "['a', 'aaaaaaaa']", steps);
        is_seen |=
            strcmp(why.schema_pointer, "/$defs/a") == 0 && strcmp(why.instance_pointer, "/1") == 0;
    }
    CU_ASSERT_EQUAL(code, CONFCAST_OK);
    CU_ASSERT_TRUE(is_seen);
}

static void
long_strings_cost_more_than_short_ones(void)
{
    char document[2000] = "'";

    for (int i = 0; i < 64 * 20; i++) {
        append(document, sizeof(document), "a");
    }
    append(document, sizeof(document), "'");
    CU_ASSERT_EQUAL(judged_within("{'minLength': 10}", document, 22), CONFCAST_OK);
    CU_ASSERT_EQUAL(judged_within("{'minLength': 10}", document, 21), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(judged_within("{'const': 'a'}", document, 21), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(judged_within("{'pattern': 'a'}", document, 21), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(judged_within("{'multipleOf': 2}", "1.5", 65), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(judged_within("{'multipleOf': 2}", "1.5", 66), CONFCAST_ERR_SCHEMA_MISMATCH);
    CU_ASSERT_EQUAL(judged_within("{'multipleOf': 2}", "1e300", 65), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(judged_within("{'multipleOf': 2}", "4", 2), CONFCAST_OK);
}

/* `depth` arrays around a number. */
static json_t *
nested(size_t depth)
{
    json_t *value = json_integer(1);

    for (size_t i = 0; i < depth; i++) {
        value = json_pack("[o]", value);
    }
    return value;
}

static void
documents_that_are_too_deep_are_refused(void)
{
    static const char *const schemas[] = {"{'items': {'$ref': '#'}}", "{'uniqueItems': true}",
                                          "{'const': 1}",
                                          "{'allOf': [{'items': {'allOf': [{'$ref': '#'}]}}]}"};
    json_t *deepest = nested(CFC_DEPTH_MAX);
    json_t *deeper = nested(CFC_DEPTH_MAX + 2);
    struct cfc_schema *schema;
    json_t *document;

    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        bool is_unequal = i == 2;

        schema = schema_of(schemas[i]);

        CU_ASSERT_EQUAL(judged_json(schema, deepest),
                        is_unequal ? CONFCAST_ERR_SCHEMA_MISMATCH : CONFCAST_OK);
        if (i != 1) {
            CU_ASSERT_EQUAL(judged_json(schema, deeper), CONFCAST_ERR_DEPTH);
        }
        cfc_schema_free(schema);
    }
    schema = schema_of("{'uniqueItems': true}");
    document = json_pack("[OO]", deepest, deeper);
    CU_ASSERT_EQUAL(judged_json(schema, document), CONFCAST_ERR_DEPTH);
    json_decref(document);
    cfc_schema_free(schema);
    json_decref(deepest);
    json_decref(deeper);
}

static void
unique_items_are_bounded(void)
{
    struct cfc_schema *schema = schema_of("{'uniqueItems': true}");
    json_t *array = json_array();

    for (int i = 0; i < CFC_SCHEMA_UNIQUE_MAX; i++) {
        json_array_append_new(array, json_real(i));
    }
    CU_ASSERT_EQUAL(judged_json(schema, array), CONFCAST_OK);
    json_array_append_new(array, json_real(-1));
    CU_ASSERT_EQUAL(judged_json(schema, array), CONFCAST_ERR_LIMIT);
    json_decref(array);
    cfc_schema_free(schema);
}

static void
strings_that_are_not_utf_8_fit_no_pattern(void)
{
    struct cfc_schema *schema = schema_of("{'pattern': 'a'}");
    json_t *string = json_stringn_nocheck("a\xff", 2);

    CU_ASSERT_EQUAL(judged_json(schema, string), CONFCAST_ERR_ENCODING);
    json_decref(string);
    cfc_schema_free(schema);
}

static void
the_same_input_gives_the_same_error(void)
{
    struct cfc_schema *schema =
        schema_of("{'maximum': 1, 'type': 'string', 'enum': [2], 'not': true}");
    json_t *document = json_of("5");

    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(judged_json(schema, document), CONFCAST_ERR_SCHEMA_MISMATCH);
        CU_ASSERT_STRING_EQUAL(why.keyword, "type");
    }
    json_decref(document);
    cfc_schema_free(schema);
}

/* Of everything that allocates: nodes, names, constants, patterns, anchors, references. */
#define ALL_KINDS                                                                                  \
    "{'$defs': {'a': {'$anchor': 'x', 'enum': [1, {'b': [2]}]}}, 'required': ['v', 'w'],"          \
    " 'properties': {'v': {'$ref': '#x'}, 'w': {'pattern': '^[a-c]+$', 'uniqueItems': true}},"     \
    " 'propertyNames': {'maxLength': 9}, 'patternProperties': {'^u': {'uniqueItems': true}}}"

static void
running_out_of_memory_is_said_and_leaves_nothing_behind(void)
{
    json_t *source = json_of(ALL_KINDS);
    json_t *document = json_of("{'v': {'b': [2]}, 'w': 'abc', 'u': [1, 2, 3]}");
    size_t fail_at = 0;

    for (int for_good = 0; for_good < 2; for_good++) {
        int code = CONFCAST_ERR_NO_MEMORY;

        for (fail_at = 1; code != CONFCAST_OK && fail_at < 1000; fail_at++) {
            struct cfc_test_heap heap = {.fail_at = fail_at, .fails_for_good = for_good != 0};
            struct cfc_alloc alloc = cfc_test_heap_table(&heap);
            struct cfc_schema *schema;

            memset(&why, 0, sizeof(why));
            code = cfc_schema_compile_with(&alloc, source, &schema, &why);
            if (code == CONFCAST_OK) {
                code = cfc_schema_validate(schema, document, &why);
                cfc_schema_free(schema);
            }
            /* An answer that came all the same must not have needed what failed. */
            CU_ASSERT_EQUAL((code == CONFCAST_OK), (heap.call_count < fail_at));
            CU_ASSERT(code == CONFCAST_OK || code == CONFCAST_ERR_NO_MEMORY);
            CU_ASSERT_EQUAL((code == CONFCAST_OK), (why.message[0] == '\0'));
            CU_ASSERT_EQUAL(heap.live_count, 0);
        }
        CU_ASSERT_EQUAL(code, CONFCAST_OK);
        CU_ASSERT(fail_at > 20);
    }
    json_decref(source);
    json_decref(document);
}

static size_t json_calls_left;

static void *
json_alloc_some(size_t size)
{
    return json_calls_left > 0 && json_calls_left-- > 0 ? malloc(size) : NULL;
}

static void
running_out_of_memory_in_jansson_is_said_too(void)
{
    json_t *source = json_of(ALL_KINDS);
    json_t *document = json_of("{'v': {'b': [2]}, 'w': 'abc', 'u': [1, 2, 3]}");
    int code = CONFCAST_ERR_NO_MEMORY;
    size_t calls;

    for (calls = 0; code != CONFCAST_OK && calls < 1000; calls++) {
        struct cfc_schema *schema;

        json_set_alloc_funcs(json_alloc_some, free);
        json_calls_left = calls;
        code = cfc_schema_compile(source, &schema, NULL);
        if (code == CONFCAST_OK) {
            code = cfc_schema_validate(schema, document, NULL);
            cfc_schema_free(schema);
        }
        json_set_alloc_funcs(malloc, free);
        CU_ASSERT(code == CONFCAST_OK || code == CONFCAST_ERR_NO_MEMORY);
    }
    CU_ASSERT_EQUAL(code, CONFCAST_OK);
    CU_ASSERT(calls > 20);
    json_decref(source);
    json_decref(document);
}

static void
multiples_are_those_of_the_printed_decimals(void)
{
    CU_ASSERT_TRUE(cfc_schema_is_multiple(0.0075, 0.0001));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(0.00751, 0.0001));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(19.99, 0.01));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(-19.99, 0.01));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(19.995, 0.01));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(9007199254740991.0, 1));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(9007199254740991.0, 6361));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(9007199254740991.0, 2));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(1e22, 1e21));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(123456e15, 1e15));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(1e21, 1e22));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(1e308, 5e-324));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(5e-324, 1e308));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(5e-324, 5e-324));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(1.7976931348623157e308, 1e291));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(1.7976931348623157e308, 1e293));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(1e308, 0.123456789));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(1, 3));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(0.30000000000000004, 0.00000000000000004));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(0.30000000000000004, 0.1));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(0, 7));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(100, 20));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(1e20, 1e20));
    CU_ASSERT_TRUE(cfc_schema_is_multiple(1050, 10.5));
    CU_ASSERT_FALSE(cfc_schema_is_multiple(0.12345678901234567, 1));
}

/* Every value with every other: equal hashes go with equality, and with nothing else here. */
static void
equality_and_hashes_agree(void)
{
    static const char *const texts[] = {"null",
                                        "true",
                                        "false",
                                        "0",
                                        "1",
                                        "1.5",
                                        "''",
                                        "'a'",
                                        "'1'",
                                        "[]",
                                        "{}",
                                        "[[]]",
                                        "[{}]",
                                        "[0]",
                                        "[1, 0]",
                                        "[0, 1]",
                                        "[[0], 1]",
                                        "[[0, 1]]",
                                        "{'a': 0}",
                                        "{'a': 1}",
                                        "{'b': 0}",
                                        "{'a': {}}",
                                        "{'a': [0]}",
                                        "{'a': {'b': 1}, 'c': 2}",
                                        "{'a': 0, 'b': 1}",
                                        "{'a': 1, 'b': 0}",
                                        "{'': 0}",
                                        "[null]",
                                        "[null, null]"};
    enum {
        COUNT = sizeof(texts) / sizeof(texts[0])
    };

    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < COUNT; k++) {
            json_t *a = json_of(texts[i]);
            json_t *b = json_of_flags(texts[k], 0); /* integers stay integers */
            uint64_t steps = 1000;
            uint64_t a_hash;
            uint64_t b_hash;
            bool is_equal;

            CU_ASSERT_EQUAL(cfc_schema_hash(a, &steps, &a_hash), CONFCAST_OK);
            CU_ASSERT_EQUAL(cfc_schema_hash(b, &steps, &b_hash), CONFCAST_OK);
            CU_ASSERT_EQUAL(cfc_schema_equal(a, b, &steps, &is_equal), CONFCAST_OK);
            CU_ASSERT_EQUAL(is_equal, i == k);
            CU_ASSERT_EQUAL((a_hash == b_hash), is_equal);
            json_decref(a);
            json_decref(b);
        }
    }
}

static void
equality_pays_and_has_a_depth(void)
{
    json_t *a = nested(CFC_DEPTH_MAX + 1);
    json_t *b = nested(CFC_DEPTH_MAX + 1);
    json_t *c = nested(CFC_DEPTH_MAX + 2);
    uint64_t steps = 1000;
    uint64_t hash;
    bool is_equal;

    CU_ASSERT_EQUAL(cfc_schema_equal(a, b, &steps, &is_equal), CONFCAST_OK);
    CU_ASSERT_TRUE(is_equal);
    CU_ASSERT_EQUAL(cfc_schema_equal(c, c, &steps, &is_equal), CONFCAST_ERR_DEPTH);
    CU_ASSERT_EQUAL(cfc_schema_hash(a, &steps, &hash), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_schema_hash(c, &steps, &hash), CONFCAST_ERR_DEPTH);
    steps = CFC_DEPTH_MAX + 1;
    CU_ASSERT_EQUAL(cfc_schema_equal(a, b, &steps, &is_equal), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(steps, 0);
    steps = CFC_DEPTH_MAX + 2;
    CU_ASSERT_EQUAL(cfc_schema_equal(a, b, &steps, &is_equal), CONFCAST_OK);
    steps = CFC_DEPTH_MAX + 1;
    CU_ASSERT_EQUAL(cfc_schema_hash(a, &steps, &hash), CONFCAST_ERR_LIMIT);
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(schemas_that_double_run_out_of_steps),
    CFC_CASE(every_way_to_spend_time_is_paid_for),
    CFC_CASE(the_place_where_the_steps_ran_out_is_said),
    CFC_CASE(long_strings_cost_more_than_short_ones),
    CFC_CASE(documents_that_are_too_deep_are_refused),
    CFC_CASE(unique_items_are_bounded),
    CFC_CASE(strings_that_are_not_utf_8_fit_no_pattern),
    CFC_CASE(the_same_input_gives_the_same_error),
    CFC_CASE(running_out_of_memory_is_said_and_leaves_nothing_behind),
    CFC_CASE(running_out_of_memory_in_jansson_is_said_too),
    CFC_CASE(multiples_are_those_of_the_printed_decimals),
    CFC_CASE(equality_and_hashes_agree),
    CFC_CASE(equality_pays_and_has_a_depth),
};

CFC_TEST_MAIN("schema_validate", cases)
