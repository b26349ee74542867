/* What is refused when a schema is compiled, and both sides of the compiler's limits. */
#include <stdio.h>

#include "protocol/base/limits.h"
#include "tests/unit/schema_fixture.h"

enum {
    INVALID = CONFCAST_ERR_SCHEMA_INVALID,
    UNSUPPORTED = CONFCAST_ERR_SCHEMA_UNSUPPORTED,
};

/* Text of any length; free(). */
struct text {
    char *at;
    size_t size;
    size_t capacity;
};

static void
add(struct text *text, const char *more)
{
    size_t size = strlen(more);

    if (text->size + size + 1 > text->capacity) {
        text->capacity = 2 * (text->size + size + 1);
        text->at = realloc(text->at, text->capacity);
        CU_ASSERT_PTR_NOT_NULL_FATAL(text->at);
    }
    memcpy(text->at + text->size, more, size + 1);
    text->size += size;
}

static void
add_times(struct text *text, const char *more, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        add(text, more);
    }
}

static int
compiled_text(struct text *text)
{
    int code = compiled(text->at);

    free(text->at);
    *text = (struct text){.at = NULL};
    return code;
}

static void
unknown_keywords_are_refused_by_name(void)
{
    REFUSED_AT("{'requird': ['a']}", UNSUPPORTED, "/requird", "requird");
    REFUSED_AT("{'properties': {'a': {'minimun': 1}}}", UNSUPPORTED, "/properties/a/minimun",
               "minimun");
    REFUSED_AT("{'unevaluatedProperties': false}", UNSUPPORTED, "/unevaluatedProperties",
               "unevaluatedProperties");
    REFUSED_AT("{'a/b': 1}", UNSUPPORTED, "/a~1b", "a/b");
    REFUSED_AT("{'x-': 1}", UNSUPPORTED, "/x-", "x-");
    REFUSED_AT("{'': 1}", UNSUPPORTED, "/", "");
    CU_ASSERT_EQUAL(compiled("{'x-mine': 1}"), CONFCAST_OK);
    /* They are refused where no document would come by, too. */
    REFUSED_AT("{'$defs': {'unused': {'$dynamicRef': '#x'}}}", UNSUPPORTED,
               "/$defs/unused/$dynamicRef", "$dynamicRef");
    REFUSED_AT("{'then': {'dependencies': {}}}", UNSUPPORTED, "/then/dependencies", "dependencies");
    /* A long name is cut in both fields. */
    REFUSED_AT("{'abcdefghijklmnopqrstuvwxyz0123456789': 1}", UNSUPPORTED,
               "/abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz01...");
}

static void
keywords_inside_constants_are_no_keywords(void)
{
    CU_ASSERT_EQUAL(compiled("{'const': {'$ref': 'http://elsewhere', 'requird': 1}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'enum': [{'type': 'nonsense'}], 'default': {'$ref': 1}}"),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'properties': {'requird': true, '$ref': true}}"), CONFCAST_OK);
}

static void
other_dialects_are_refused(void)
{
    CU_ASSERT_EQUAL(compiled("{'$schema': 'https://json-schema.org/draft/2020-12/schema'}"),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'$schema': 'https://json-schema.org/draft/2020-12/schema#'}"),
                    CONFCAST_OK);
    REFUSED_AT("{'$schema': 'http://json-schema.org/draft-07/schema#'}", UNSUPPORTED, "/$schema",
               "$schema");
    REFUSED_AT("{'$schema': 1}", UNSUPPORTED, "/$schema", "$schema");
    REFUSED_AT("{'not': {'$schema': 'https://json-schema.org/draft/2020-12/schema'}}", UNSUPPORTED,
               "/not/$schema", "$schema");
}

static void
ids_belong_to_the_root(void)
{
    CU_ASSERT_EQUAL(compiled("{'$id': 'https://example.org/a'}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'$id': 'https://example.org/a#'}"), CONFCAST_OK);
    REFUSED_AT("{'not': {'$id': 'b'}}", UNSUPPORTED, "/not/$id", "$id");
    REFUSED_AT("{'$id': '#a'}", INVALID, "/$id", "$id");
    REFUSED_AT("{'$id': ''}", INVALID, "/$id", "$id");
    REFUSED_AT("{'$id': 1}", INVALID, "/$id", "$id");
}

static void
values_of_the_wrong_kind_are_refused_at_the_keyword(void)
{
    static const struct {
        const char *schema;
        const char *keyword;
    } wrong[] = {
        {"{'type': 'int'}", "type"},
        {"{'type': 1}", "type"},
        {"{'type': []}", "type"},
        {"{'type': ['null', 'null']}", "type"},
        {"{'type': ['null', 1]}", "type"},
        {"{'enum': 1}", "enum"},
        {"{'multipleOf': 0}", "multipleOf"},
        {"{'multipleOf': -1}", "multipleOf"},
        {"{'multipleOf': '1'}", "multipleOf"},
        {"{'minimum': '1'}", "minimum"},
        {"{'maximum': null}", "maximum"},
        {"{'exclusiveMinimum': true}", "exclusiveMinimum"},
        {"{'exclusiveMaximum': []}", "exclusiveMaximum"},
        {"{'minLength': -1}", "minLength"},
        {"{'maxLength': 1.5}", "maxLength"},
        {"{'minItems': '1'}", "minItems"},
        {"{'maxItems': 1e300}", "maxItems"},
        {"{'minProperties': null}", "minProperties"},
        {"{'maxProperties': {}}", "maxProperties"},
        {"{'pattern': 1}", "pattern"},
        {"{'pattern': '('}", "pattern"},
        {"{'patternProperties': {'(': true}}", "patternProperties"},
        {"{'required': 'a'}", "required"},
        {"{'required': [1]}", "required"},
        {"{'required': ['b', 'a', 'b']}", "required"},
        {"{'dependentRequired': []}", "dependentRequired"},
        {"{'dependentRequired': {'a': 'b'}}", "dependentRequired"},
        {"{'dependentRequired': {'a': ['b', 'b']}}", "dependentRequired"},
        {"{'contains': true, 'minContains': -1}", "minContains"},
        {"{'maxContains': 'x'}", "maxContains"},
        {"{'uniqueItems': 1}", "uniqueItems"},
        {"{'items': [true]}", "items"},
        {"{'prefixItems': []}", "prefixItems"},
        {"{'prefixItems': {}}", "prefixItems"},
        {"{'properties': []}", "properties"},
        {"{'dependentSchemas': 1}", "dependentSchemas"},
        {"{'$defs': []}", "$defs"},
        {"{'allOf': []}", "allOf"},
        {"{'anyOf': {}}", "anyOf"},
        {"{'oneOf': true}", "oneOf"},
        {"{'$ref': 1}", "$ref"},
        {"{'$anchor': 1}", "$anchor"},
        {"{'$anchor': '1a'}", "$anchor"},
        {"{'$anchor': ''}", "$anchor"},
        {"{'$anchor': 'a b'}", "$anchor"},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CU_ASSERT_EQUAL(compiled(wrong[i].schema), INVALID);
        CU_ASSERT_STRING_EQUAL(why.keyword, wrong[i].keyword);
        CU_ASSERT_EQUAL(why.schema_pointer[0], '/');
        CU_ASSERT_STRING_EQUAL(why.schema_pointer + 1, wrong[i].keyword);
    }
}

static void
counts_go_up_to_the_last_exact_integer(void)
{
    CU_ASSERT_EQUAL(compiled("{'maxLength': 0}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'maxLength': 9007199254740991}"), CONFCAST_OK);
    REFUSED_AT("{'maxLength': 9007199254740992}", INVALID, "/maxLength", "maxLength");
}

static void
what_is_no_schema_is_refused_where_it_stands(void)
{
    REFUSED_AT("1", INVALID, "", "");
    CU_ASSERT_STRING_EQUAL(why.message, "a schema is an object, true or false");
    REFUSED_AT("{'not': []}", INVALID, "/not", "");
    REFUSED_AT("{'additionalProperties': 'x'}", INVALID, "/additionalProperties", "");
    REFUSED_AT("{'properties': {'a': {}, 'b': null}}", INVALID, "/properties/b", "");
    REFUSED_AT("{'allOf': [true, 1]}", INVALID, "/allOf/1", "");
    REFUSED_AT("{'$defs': {'a~b': {'items': 'x'}}}", INVALID, "/$defs/a~0b/items", "");
}

/* The schema {"properties": {"v": {"$ref": REF}}, MORE} refuses "x" where a null is wanted. */
static void
check_ref(const char *ref, const char *more)
{
    char schema[512];

    snprintf(schema, sizeof(schema), "{'properties': {'v': {'$ref': '%s'}}, %s}", ref, more);
    FITS(schema, "{'v': null}");
    MISSES(schema, "{'v': 'x'}");
    CU_ASSERT_STRING_EQUAL(why.instance_pointer, "/v");
}

static void
refs_find_every_kind_of_place(void)
{
    check_ref("#/$defs/a", "'$defs': {'a': {'type': 'null'}}");
    check_ref("#/definitions/a", "'definitions': {'a': {'type': 'null'}}");
    check_ref("#/then/properties/a", "'then': {'properties': {'a': {'type': 'null'}}}");
    check_ref("#/$defs/l/allOf/1", "'$defs': {'l': {'allOf': [true, {'type': 'null'}]}}");
    check_ref("#/$defs/l/items", "'$defs': {'l': {'items': {'type': 'null'}}}");
    check_ref("#/$defs/a~1b~0c%25d%22", "'$defs': {'a/b~c%d\\'': {'type': 'null'}}");
    check_ref("#/$defs/", "'$defs': {'': {'type': 'null'}}");
    check_ref("#/$defs/%61%39%7E1%6a%4A%c3%A9%09",
              "'$defs': {'a9/jJ\xc3\xa9\\t': {'type': 'null'}}");
    check_ref("#here", "'$defs': {'a': {'$anchor': 'here', 'type': 'null'}}");
    check_ref("urn:x:y#here",
              "'$id': 'urn:x:y', '$defs': {'a': {'$anchor': 'here', 'type': 'null'}}");
    check_ref("urn:x:y#/$defs/a", "'$id': 'urn:x:y#', '$defs': {'a': {'type': 'null'}}");
    check_ref("#/$defs/a", "'$defs': {'a': {'$ref': '#/$defs/b'}, 'b': {'$ref': '#c'},"
                           " 'c': {'$anchor': 'c', 'type': 'null'}}");
    FITS("{'items': {'$ref': '#'}, 'maxItems': 1}", "[[[]]]");
    MISSES("{'items': {'$ref': '#'}, 'maxItems': 1}", "[[[1, 2]]]");
    FITS("{'items': {'$ref': 'urn:x'}, '$id': 'urn:x', 'maxItems': 1}", "[[[]]]");
}

static void
refs_to_no_schema_are_refused(void)
{
    static const char *const refs[] = {
        "#/$defs/b",   "#/$defs",      "#/$defs/a/b", "#/properties",
        "#/const",     "#/x-y",        "#/default",   "#nowhere",
        "#/allOf/2",   "#/allOf/01",   "#/allOf/-1",  "#/allOf/",
        "#/allOf",     "#/$defs/a~2",  "#/$defs/a~",  "#/$defs/%zz",
        "#/$defs/a%2", "#/$defs/a/",   "#/allOf/00",  "#/allOf/4294967296",
        "#/not/const", "#/$defs/a%00", "#/$DEFS/a",   "#/dependentRequired/a"};

    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
        char schema[512];

        snprintf(schema, sizeof(schema),
                 "{'properties': {'v': {'$ref': '%s'}}, '$defs': {'a': {}}, 'const': {'not': {}},"
                 " 'allOf': [true, true], 'x-y': {}, 'default': {}, 'not': {'const': {}},"
                 " 'dependentRequired': {'a': []}}",
                 refs[i]);
        REFUSED_AT(schema, INVALID, "/properties/v/$ref", "$ref");
    }
}

static void
refs_out_of_the_document_are_refused(void)
{
    static const char *const refs[] = {"https://json-schema.org/draft/2020-12/schema",
                                       "other.json#/$defs/a", "http://example.org/a#b", "urn:x:y",
                                       "b"};

    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
        char schema[256];

        snprintf(schema, sizeof(schema), "{'$id': 'urn:x', 'not': {'$ref': '%s'}}", refs[i]);
        REFUSED_AT(schema, UNSUPPORTED, "/not/$ref", "$ref");
    }
    REFUSED_AT("{'$ref': 'urn:x'}", UNSUPPORTED, "/$ref", "$ref");
}

static void
anchors_are_unique(void)
{
    REFUSED_AT("{'$defs': {'a': {'$anchor': 'x'}, 'b': {'$anchor': 'x'}}}", INVALID,
               why.schema_pointer, "$anchor");
    CU_ASSERT_STRING_EQUAL(why.message, "another schema has the same $anchor");
    CU_ASSERT_EQUAL(compiled("{'$defs': {'a': {'$anchor': 'x'}, 'b': {'$anchor': 'X'}}}"),
                    CONFCAST_OK);
}

static void
schemas_that_lead_back_to_themselves_are_refused(void)
{
    REFUSED_AT("{'$ref': '#'}", INVALID, "/$ref", "$ref");
    CU_ASSERT_STRING_EQUAL(why.message,
                           "the schema leads back to itself without going into the document");
    REFUSED_AT("{'$defs': {'a': {'$ref': '#/$defs/b'}, 'b': {'$ref': '#/$defs/a'}}}", INVALID,
               "/$defs/b/$ref", "$ref");
    CU_ASSERT_EQUAL(compiled("{'allOf': [{'$ref': '#'}]}"), INVALID);
    CU_ASSERT_EQUAL(compiled("{'anyOf': [true, {'$ref': '#'}]}"), INVALID);
    CU_ASSERT_EQUAL(compiled("{'oneOf': [{'$ref': '#'}, true]}"), INVALID);
    CU_ASSERT_EQUAL(compiled("{'not': {'$ref': '#'}}"), INVALID);
    CU_ASSERT_EQUAL(compiled("{'if': {'$ref': '#'}}"), INVALID);
    CU_ASSERT_EQUAL(compiled("{'if': true, 'then': {'$ref': '#'}}"), INVALID);
    CU_ASSERT_EQUAL(compiled("{'if': true, 'else': {'$ref': '#'}}"), INVALID);
    CU_ASSERT_EQUAL(compiled("{'dependentSchemas': {'a': {'$ref': '#'}}}"), INVALID);
    /* These go into the document. */
    CU_ASSERT_EQUAL(compiled("{'items': {'$ref': '#'}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'prefixItems': [{'$ref': '#'}]}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'contains': {'$ref': '#'}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'properties': {'a': {'$ref': '#'}}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'additionalProperties': {'$ref': '#'}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'propertyNames': {'$ref': '#'}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'$defs': {'a': {'$ref': '#'}}}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("{'then': {'$ref': '#'}}"), CONFCAST_OK);
    /* Twice to the same place is no circle. */
    CU_ASSERT_EQUAL(compiled("{'allOf': [{'$ref': '#/$defs/a'}, {'$ref': '#/$defs/a'}],"
                             " '$defs': {'a': {'not': {'$ref': '#/$defs/b'}}, 'b': {}}}"),
                    CONFCAST_OK);
}

/* "#/$defs/0" refers to 1 and so on to `count` - 1, which asks for null. */
static int
compile_chain(int count, const char *first_key)
{
    struct text text = {.at = NULL};
    char step[64];

    add(&text, "{'$ref': '#/$defs/0', '$defs': {");
    for (int i = 0; i < count; i++) {
        if (i + 1 < count) {
            snprintf(step, sizeof(step), "'%d': {'$ref': '#/$defs/%d'}, ", i, i + 1);
        } else {
            snprintf(step, sizeof(step), "'%d': {'type': 'null'}, ", i);
        }
        add(&text, step);
    }
    add(&text, first_key);
    add(&text, "}}");
    return compiled_text(&text);
}

static void
chains_of_schemas_for_one_value_are_bounded(void)
{
    /* The root is one of them. */
    CU_ASSERT_EQUAL(compile_chain(CFC_SCHEMA_IN_PLACE_MAX - 1, "'x': true"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compile_chain(CFC_SCHEMA_IN_PLACE_MAX, "'x': true"), CONFCAST_ERR_LIMIT);
    CU_ASSERT_STRING_EQUAL(why.message, "more than 64 schemas follow each other for one value");
    /* The same when the tail is measured before the head. */
    CU_ASSERT_EQUAL(
        compile_chain(CFC_SCHEMA_IN_PLACE_MAX - 1, "'x': {'not': {'$ref': '#/$defs/0'}}"),
        CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(
        compile_chain(CFC_SCHEMA_IN_PLACE_MAX - 2, "'x': {'not': {'$ref': '#/$defs/0'}}"),
        CONFCAST_OK);
}

static void
nesting_is_bounded(void)
{
    struct text text = {.at = NULL};

    add_times(&text, "{'items': ", CFC_DEPTH_MAX);
    add(&text, "true");
    add_times(&text, "}", CFC_DEPTH_MAX);
    CU_ASSERT_EQUAL(compiled_text(&text), CONFCAST_OK);
    add_times(&text, "{'items': ", CFC_DEPTH_MAX);
    add(&text, "{}");
    add_times(&text, "}", CFC_DEPTH_MAX);
    CU_ASSERT_EQUAL(compiled_text(&text), CONFCAST_ERR_DEPTH);
    add_times(&text, "[", CFC_DEPTH_MAX + 1);
    add_times(&text, "]", CFC_DEPTH_MAX + 1);
    CU_ASSERT_EQUAL(compiled_text(&text), CONFCAST_ERR_DEPTH);
    /* An error at the bottom has a pointer for all of it. */
    add_times(&text, "{'not': ", CFC_DEPTH_MAX);
    add(&text, "1");
    add_times(&text, "}", CFC_DEPTH_MAX);
    CU_ASSERT_EQUAL(compiled_text(&text), INVALID);
    CU_ASSERT_EQUAL(strlen(why.schema_pointer), 4 * CFC_DEPTH_MAX);
}

static void
values_are_counted(void)
{
    struct text text = {.at = NULL};

    /* Besides the items there are the root and the array. */
    add(&text, "{'enum': [0");
    add_times(&text, ",0", CFC_SCHEMA_VALUES_MAX - 3);
    add(&text, "]}");
    CU_ASSERT_EQUAL(compiled_text(&text), CONFCAST_OK);
    add(&text, "{'enum': [0");
    add_times(&text, ",0", CFC_SCHEMA_VALUES_MAX - 2);
    add(&text, "]}");
    CU_ASSERT_EQUAL(compiled_text(&text), CONFCAST_ERR_LIMIT);
    CU_ASSERT_STRING_EQUAL(why.message, "the schema has more than 262144 JSON values");
}

static void
patterns_are_counted(void)
{
    /* Besides these there are the one for x, and the one that the schema of x has. */
    static const char *const places[] = {"", "/patternProperties/x/pattern", "/patternProperties"};

    for (int more = 0; more < 3; more++) {
        struct text text = {.at = NULL};
        char one[32];

        add(&text, "{'patternProperties': {");
        for (int i = 0; i < CFC_SCHEMA_PATTERN_COUNT_MAX - 2 + more; i++) {
            snprintf(one, sizeof(one), "'%d': true, ", i);
            add(&text, one);
        }
        add(&text, "'x': {'pattern': 'a'}}}");
        CU_ASSERT_EQUAL(compiled_text(&text), more == 0 ? CONFCAST_OK : CONFCAST_ERR_LIMIT);
        CU_ASSERT_STRING_EQUAL(why.schema_pointer, places[more]);
    }
}

static void
the_compiled_size_is_bounded_and_told(void)
{
    struct cfc_schema *small = schema_of("{}");
    struct cfc_schema *large = schema_of("{'properties': {'a': {'pattern': '(a|b){100}'}}}");
    struct text text = {.at = NULL};

    CU_ASSERT(cfc_schema_size(small) > sizeof(struct cfc_schema));
    CU_ASSERT(cfc_schema_size(small) < 4096);
    /* A hundred copies of a group take some bytes each. */
    CU_ASSERT(cfc_schema_size(large) > cfc_schema_size(small) + 1000);
    cfc_schema_free(small);
    cfc_schema_free(large);
    cfc_schema_free(NULL);
    /* 1,024 patterns of about 50 KiB when compiled. */
    add(&text, "{'allOf': [true");
    for (int i = 0; i < CFC_SCHEMA_PATTERN_COUNT_MAX; i++) {
        add(&text, ", {'pattern': '(?:[a-c]b){900}'}");
    }
    add(&text, "]}");
    CU_ASSERT_EQUAL(compiled_text(&text), CONFCAST_ERR_LIMIT);
    CU_ASSERT_STRING_EQUAL(why.message,
                           "the schema needs more than 33554432 bytes when it is compiled");
}

static void
one_long_string_is_too_big(void)
{
    size_t size = CFC_SCHEMA_SIZE_MAX;
    char *text = malloc(size);
    json_t *source;
    struct cfc_schema *schema;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'a', size);
    source = json_pack("{so}", "title", json_stringn_nocheck(text, size));
    CU_ASSERT_EQUAL(compile_json(source, &schema), CONFCAST_ERR_LIMIT);
    json_decref(source);
    source = json_pack("{so}", "title", json_stringn_nocheck(text, size - 4096));
    CU_ASSERT_EQUAL(compile_json(source, &schema), CONFCAST_OK);
    cfc_schema_free(schema);
    json_decref(source);
    free(text);
}

static void
the_schema_may_go_once_it_is_compiled(void)
{
    struct cfc_schema *schema;
    json_t *source = json_of("{'enum': ['a', {'b': [1]}], 'required': ['b']}");
    json_t *document = json_of("{'b': [1]}");

    CU_ASSERT_EQUAL_FATAL(compile_json(source, &schema), CONFCAST_OK);
    json_object_clear(source);
    json_decref(source);
    CU_ASSERT_EQUAL(judged_json(schema, document), CONFCAST_OK);
    cfc_schema_free(schema);
    json_decref(document);
}

static void
errors_need_no_place_to_go(void)
{
    json_t *source = json_of("{'nonsense': 1}");
    struct cfc_schema *schema = (struct cfc_schema *)source;

    CU_ASSERT_EQUAL(cfc_schema_compile(source, &schema, NULL), UNSUPPORTED);
    CU_ASSERT_PTR_NULL(schema);
    json_decref(source);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(unknown_keywords_are_refused_by_name),
    CFC_CASE(keywords_inside_constants_are_no_keywords),
    CFC_CASE(other_dialects_are_refused),
    CFC_CASE(ids_belong_to_the_root),
    CFC_CASE(values_of_the_wrong_kind_are_refused_at_the_keyword),
    CFC_CASE(counts_go_up_to_the_last_exact_integer),
    CFC_CASE(what_is_no_schema_is_refused_where_it_stands),
    CFC_CASE(refs_find_every_kind_of_place),
    CFC_CASE(refs_to_no_schema_are_refused),
    CFC_CASE(refs_out_of_the_document_are_refused),
    CFC_CASE(anchors_are_unique),
    CFC_CASE(schemas_that_lead_back_to_themselves_are_refused),
    CFC_CASE(chains_of_schemas_for_one_value_are_bounded),
    CFC_CASE(nesting_is_bounded),
    CFC_CASE(values_are_counted),
    CFC_CASE(patterns_are_counted),
    CFC_CASE(the_compiled_size_is_bounded_and_told),
    CFC_CASE(one_long_string_is_too_big),
    CFC_CASE(the_schema_may_go_once_it_is_compiled),
    CFC_CASE(errors_need_no_place_to_go),
};

CFC_TEST_MAIN("schema_compile", cases)
