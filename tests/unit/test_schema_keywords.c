/* Every keyword both ways.  The official suite has more cases of each; these hold the keywords to
 * where the error is said to be, and stay when the suite is not there. */
#include <stdio.h>

#include "tests/unit/schema_fixture.h"

static void
true_takes_everything_and_false_nothing(void)
{
    FITS("true", "{'a': [1]}");
    FITS("{}", "null");
    MISSES_AT("false", "{}", "", "", "");
    CU_ASSERT_STRING_EQUAL(why.message, "no value is allowed here");
}

static void
type_tells_all_seven_apart(void)
{
    static const char *const words[] = {"null",   "boolean", "object", "array",
                                        "string", "number",  "integer"};
    static const char *const values[] = {"null", "true", "{}", "[]", "''", "1.5", "2"};

    for (size_t i = 0; i < 7; i++) {
        for (size_t k = 0; k < 7; k++) {
            char schema[64];
            bool is_fit = i == k || (i == 5 && k == 6); /* an integer is a number */

            snprintf(schema, sizeof(schema), "{'type': '%s'}", words[i]);
            CU_ASSERT_EQUAL(judged(schema, values[k]),
                            is_fit ? CONFCAST_OK : CONFCAST_ERR_SCHEMA_MISMATCH);
        }
    }
}

static void
type_may_list_several(void)
{
    FITS("{'type': ['null', 'integer']}", "null");
    FITS("{'type': ['null', 'integer']}", "7");
    MISSES_AT("{'type': ['null', 'integer']}", "7.5", "", "/type", "type");
    CU_ASSERT_STRING_EQUAL(why.message, "the type is number, and has to be one of null, integer");
    MISSES_AT("{'type': 'string'}", "7", "", "/type", "type");
    CU_ASSERT_STRING_EQUAL(why.message, "the type is integer, and has to be string");
}

static void
numbers_without_a_fraction_are_integers(void)
{
    FITS("{'type': 'integer'}", "1.0");
    FITS("{'type': 'integer'}", "-0.0");
    FITS("{'type': 'integer'}", "1e300");
    FITS("{'type': 'integer'}", "9007199254740991");
    MISSES("{'type': 'integer'}", "1.000001");
    MISSES("{'type': 'integer'}", "1e-300");
}

static void
integers_of_jansson_count_like_reals(void)
{
    struct cfc_schema *schema =
        schema_of("{'type': 'integer', 'minimum': 2, 'multipleOf': 3, 'enum': [3, 6, 7]}");
    json_t *six = json_integer(6);
    json_t *seven = json_integer(7);
    json_t *source = json_of_flags("{'const': 6, 'maximum': 6}", 0);
    struct cfc_schema *from_integers;

    CU_ASSERT_EQUAL(judged_json(schema, six), CONFCAST_OK);
    CU_ASSERT_EQUAL(judged_json(schema, seven), CONFCAST_ERR_SCHEMA_MISMATCH);
    CU_ASSERT_STRING_EQUAL(why.keyword, "multipleOf");
    CU_ASSERT_EQUAL_FATAL(compile_json(source, &from_integers), CONFCAST_OK);
    CU_ASSERT_EQUAL(judged_json(from_integers, six), CONFCAST_OK);
    CU_ASSERT_EQUAL(judged_json(from_integers, seven), CONFCAST_ERR_SCHEMA_MISMATCH);
    json_decref(six);
    json_decref(seven);
    json_decref(source);
    cfc_schema_free(schema);
    cfc_schema_free(from_integers);
}

static void
const_and_enum_compare_values_not_texts(void)
{
    FITS("{'const': {'a': [1, null], 'b': 'x'}}", "{'b': 'x', 'a': [1.0, null]}");
    MISSES_AT("{'const': {'a': 1}}", "{'a': 1, 'b': 2}", "", "/const", "const");
    MISSES("{'const': {'a': 1, 'b': 2}}", "{'a': 1, 'c': 2}");
    MISSES("{'const': [1, 2]}", "[2, 1]");
    MISSES("{'const': 0}", "false");
    MISSES("{'const': null}", "false");
    FITS("{'const': 0}", "-0.0");
    FITS("{'enum': ['a', 1, [true], null]}", "[true]");
    FITS("{'enum': ['a', 1, [true], null]}", "null");
    MISSES_AT("{'enum': ['a', 1, [true]]}", "'b'", "", "/enum", "enum");
    CU_ASSERT_STRING_EQUAL(why.message, "the value is none of the 3 allowed");
    MISSES("{'enum': []}", "1");
}

static void
ranges_hold_at_their_ends(void)
{
    FITS("{'minimum': 1.5}", "1.5");
    MISSES_AT("{'minimum': 1.5}", "1.4999", "", "/minimum", "minimum");
    CU_ASSERT_STRING_EQUAL(why.message, "the number has to be at least 1.5");
    FITS("{'maximum': 1.5}", "1.5");
    MISSES_AT("{'maximum': 1.5}", "1.5001", "", "/maximum", "maximum");
    FITS("{'exclusiveMinimum': 1}", "1.0001");
    MISSES_AT("{'exclusiveMinimum': 1}", "1", "", "/exclusiveMinimum", "exclusiveMinimum");
    FITS("{'exclusiveMaximum': 1}", "0.9999");
    MISSES_AT("{'exclusiveMaximum': 1}", "1", "", "/exclusiveMaximum", "exclusiveMaximum");
    FITS("{'minimum': 1, 'maximum': 0, 'multipleOf': 2}", "'not a number'");
}

static void
multiple_of_is_exact_in_decimal(void)
{
    FITS("{'multipleOf': 0.01}", "4.35");
    FITS("{'multipleOf': 0.1}", "0.3");
    MISSES_AT("{'multipleOf': 0.01}", "4.351", "", "/multipleOf", "multipleOf");
    CU_ASSERT_STRING_EQUAL(why.message, "the number has to be a multiple of 0.01");
    FITS("{'multipleOf': 2.0}", "-6");
    MISSES("{'multipleOf': 2}", "-5");
    FITS("{'multipleOf': 7}", "0");
}

static void
lengths_count_code_points(void)
{
    FITS("{'minLength': 2, 'maxLength': 2}", "'a\xc3\xa9'");
    FITS("{'minLength': 2, 'maxLength': 2}", "'\xf0\x9f\x98\x80\xe2\x82\xac'");
    MISSES_AT("{'minLength': 2}", "'\xf0\x9f\x98\x80'", "", "/minLength", "minLength");
    CU_ASSERT_STRING_EQUAL(why.message, "there are 1 characters, and no fewer than 2 are allowed");
    MISSES_AT("{'maxLength': 1}", "'ab'", "", "/maxLength", "maxLength");
    FITS("{'maxLength': 2.0}", "'ab'");
    FITS("{'minLength': 5}", "[1]");
}

static void
pattern_looks_anywhere_in_the_string(void)
{
    FITS("{'pattern': '[0-9]+'}", "'ab12cd'");
    MISSES_AT("{'pattern': '^[0-9]+$'}", "'ab12cd'", "", "/pattern", "pattern");
    FITS("{'pattern': '^[0-9]+$'}", "12");
    FITS("{'pattern': ''}", "''");
}

static void
items_and_members_are_counted(void)
{
    FITS("{'minItems': 1, 'maxItems': 2}", "[1, 2]");
    MISSES_AT("{'minItems': 1}", "[]", "", "/minItems", "minItems");
    MISSES_AT("{'maxItems': 2}", "[1, 2, 3]", "", "/maxItems", "maxItems");
    FITS("{'minItems': 1}", "{}");
    FITS("{'minProperties': 1, 'maxProperties': 1}", "{'a': 1}");
    MISSES_AT("{'minProperties': 1}", "{}", "", "/minProperties", "minProperties");
    MISSES_AT("{'maxProperties': 0}", "{'a': 1}", "", "/maxProperties", "maxProperties");
    FITS("{'maxProperties': 0}", "[1]");
}

static void
unique_items_finds_equal_ones(void)
{
    FITS("{'uniqueItems': true}", "[1, '1', [1], {'a': 1}, true, null, 0, false]");
    MISSES_AT("{'uniqueItems': true}", "[3, 1, 2, 1.0]", "", "/uniqueItems", "uniqueItems");
    CU_ASSERT_STRING_EQUAL(why.message, "the items 1 and 3 are equal");
    MISSES("{'uniqueItems': true}", "[{'a': 1, 'b': [2]}, {'b': [2], 'a': 1}]");
    FITS("{'uniqueItems': true}", "[{'a': 1, 'b': 2}, {'a': 2, 'b': 1}]");
    FITS("{'uniqueItems': true}", "[]");
    FITS("{'uniqueItems': false}", "[1, 1]");
}

static void
items_apply_behind_prefix_items(void)
{
    const char *schema =
        "{'prefixItems': [{'type': 'string'}, true], 'items': {'type': 'integer'}}";

    FITS(schema, "['a', {}, 1, 2]");
    FITS(schema, "[]");
    FITS(schema, "['a']");
    FITS(schema, "{'0': 1}");
    MISSES_AT(schema, "[1]", "/0", "/prefixItems/0/type", "type");
    MISSES_AT(schema, "['a', 1, 1, 'b']", "/3", "/items/type", "type");
    MISSES_AT("{'prefixItems': [true], 'items': false}", "[1, 2]", "/1", "/items", "items");
    CU_ASSERT_STRING_EQUAL(why.message, "the item is one more than there may be");
    FITS("{'prefixItems': [{'type': 'null'}]}", "[null, 1, 'a']");
}

static void
contains_counts_what_fits(void)
{
    FITS("{'contains': {'const': 1}}", "[0, 1]");
    MISSES_AT("{'contains': {'const': 1}}", "[0, 2]", "", "/contains", "contains");
    MISSES("{'contains': true}", "[]");
    FITS("{'contains': {'const': 1}}", "'not an array'");
    FITS("{'contains': {'const': 1}, 'minContains': 2, 'maxContains': 3}", "[1, 0, 1]");
    MISSES_AT("{'contains': {'const': 1}, 'minContains': 2}", "[1, 0]", "", "/minContains",
              "minContains");
    CU_ASSERT_STRING_EQUAL(why.message,
                           "1 items fit the schema in contains, and at least 2 have to");
    MISSES_AT("{'contains': {'const': 1}, 'maxContains': 1}", "[1, 0, 1]", "", "/maxContains",
              "maxContains");
    FITS("{'contains': {'const': 1}, 'minContains': 0}", "[]");
    MISSES("{'contains': {'const': 1}, 'minContains': 0, 'maxContains': 0}", "[1]");
    FITS("{'minContains': 2, 'maxContains': 0}", "[1]");
}

static void
required_names_the_missing_member(void)
{
    FITS("{'required': ['a', 'b']}", "{'a': null, 'b': 1}");
    MISSES_AT("{'required': ['a', 'b']}", "{'a': null}", "", "/required", "required");
    CU_ASSERT_STRING_EQUAL(why.message, "there has to be a member b");
    FITS("{'required': ['a']}", "['a']");
    FITS("{'required': []}", "{}");
}

static void
dependent_required_asks_only_beside_its_member(void)
{
    const char *schema = "{'dependentRequired': {'a': ['b', 'c'], 'd': []}}";

    FITS(schema, "{'b': 1}");
    FITS(schema, "{'a': 1, 'b': 1, 'c': 1, 'd': 1}");
    MISSES_AT(schema, "{'a': 1, 'b': 1}", "", "/dependentRequired", "dependentRequired");
    CU_ASSERT_STRING_EQUAL(why.message, "there has to be a member c");
    FITS(schema, "['a']");
}

static void
dependent_schemas_apply_only_beside_their_member(void)
{
    const char *schema = "{'dependentSchemas': {'a': {'required': ['b']}, 'c': false}}";

    FITS(schema, "{'x': 1}");
    FITS(schema, "{'a': 1, 'b': 1}");
    MISSES_AT(schema, "{'a': 1}", "", "/dependentSchemas/a/required", "required");
    MISSES_AT(schema, "{'c': 1}", "", "/dependentSchemas/c", "dependentSchemas");
    FITS(schema, "['a']");
}

static void
property_names_are_strings_to_judge(void)
{
    FITS("{'propertyNames': {'maxLength': 3}}", "{'abc': 'long value'}");
    MISSES_AT("{'propertyNames': {'maxLength': 3}}", "{'abc': 1, 'abcd': 2}", "/abcd",
              "/propertyNames/maxLength", "maxLength");
    MISSES_AT("{'propertyNames': false}", "{'a': 1}", "/a", "/propertyNames", "propertyNames");
    FITS("{'propertyNames': false}", "{}");
    FITS("{'propertyNames': false}", "['a']");
}

static void
properties_apply_to_members_that_are_there(void)
{
    const char *schema = "{'properties': {'a': {'type': 'integer'}, 'b': false}}";

    FITS(schema, "{}");
    FITS(schema, "{'a': 1}");
    FITS(schema, "{'a': 1, 'x': 2, 'y': 3, 'z': 4}");
    MISSES_AT(schema, "{'a': 'x'}", "/a", "/properties/a/type", "type");
    MISSES_AT(schema, "{'x': 2, 'y': 3, 'a': 'x'}", "/a", "/properties/a/type", "type");
    MISSES_AT(schema, "{'b': 1}", "/b", "/properties/b", "properties");
    FITS(schema, "['a']");
}

static void
additional_properties_take_what_nobody_took(void)
{
    const char *schema =
        "{'properties': {'a': true}, 'patternProperties': {'^p_': {'type': 'null'},"
        " '_q$': {'type': ['null', 'string']}},"
        " 'additionalProperties': {'type': 'integer'}}";

    FITS(schema, "{'a': 'x', 'p_1': null, 'b_q': 'x', 'other': 1}");
    MISSES_AT(schema, "{'p_1': 1}", "/p_1", "/patternProperties/^p_/type", "type");
    MISSES_AT(schema, "{'p_q': 'x'}", "/p_q", "/patternProperties/^p_/type", "type");
    MISSES_AT(schema, "{'b_q': 1}", "/b_q", "/patternProperties/_q$/type", "type");
    MISSES_AT(schema, "{'x': 1, 'y': 'z'}", "/y", "/additionalProperties/type", "type");
    MISSES_AT("{'properties': {'a': true}, 'additionalProperties': false}", "{'a': 1, 'typo': 1}",
              "/typo", "/additionalProperties", "additionalProperties");
    CU_ASSERT_STRING_EQUAL(why.message, "the member is none of those that are allowed");
    FITS("{'additionalProperties': false}", "['a']");
}

static void
all_of_wants_all(void)
{
    FITS("{'allOf': [{'minimum': 1}, {'maximum': 3}]}", "2");
    MISSES_AT("{'allOf': [{'minimum': 1}, {'maximum': 3}]}", "4", "", "/allOf/1/maximum",
              "maximum");
    MISSES_AT("{'allOf': [true, false]}", "4", "", "/allOf/1", "allOf");
}

static void
any_of_wants_one_and_says_nothing_of_the_others(void)
{
    FITS("{'anyOf': [{'type': 'string'}, {'minimum': 3}]}", "4");
    FITS("{'anyOf': [{'type': 'string'}, {'minimum': 3}]}", "'a'");
    MISSES_AT("{'anyOf': [{'type': 'string'}, {'minimum': 3}]}", "2", "", "/anyOf", "anyOf");
    CU_ASSERT_STRING_EQUAL(why.message,
                           "the value fits none of the 2 schemas of which it has to fit one");
}

static void
one_of_wants_exactly_one(void)
{
    const char *schema = "{'oneOf': [{'minimum': 3}, {'multipleOf': 2}, {'const': 1}]}";

    FITS(schema, "5");
    FITS(schema, "2");
    FITS(schema, "1");
    MISSES_AT(schema, "4", "", "/oneOf", "oneOf");
    CU_ASSERT_STRING_EQUAL(
        why.message,
        "the value fits more than one of the 3 schemas of which it has to fit exactly one");
    MISSES_AT(schema, "-1", "", "/oneOf", "oneOf");
}

static void
not_turns_the_answer_round(void)
{
    FITS("{'not': {'type': 'string'}}", "1");
    MISSES_AT("{'not': {'type': 'string'}}", "'a'", "", "/not", "not");
    FITS("{'not': {'not': {'type': 'string'}}}", "'a'");
    MISSES("{'not': {'not': {'type': 'string'}}}", "1");
    FITS("{'not': {'allOf': [true, {'anyOf': [false, {'properties': {'a': false}}]}]}}",
         "{'a': 1}");
}

static void
if_chooses_between_then_and_else(void)
{
    const char *schema = "{'if': {'properties': {'tls': {'const': true}}, 'required': ['tls']},"
                         " 'then': {'required': ['key']}, 'else': {'not': {'required': ['key']}}}";

    FITS(schema, "{'tls': true, 'key': 'k'}");
    MISSES_AT(schema, "{'tls': true}", "", "/then/required", "required");
    FITS(schema, "{'tls': false}");
    MISSES_AT(schema, "{'key': 'k'}", "", "/else/not", "not");
    FITS("{'if': false, 'then': false}", "1");
    FITS("{'if': true, 'else': false}", "1");
    FITS("{'then': false, 'else': false}", "1");
    FITS("{'if': true}", "1");
}

static void
keywords_beside_a_ref_count_too(void)
{
    const char *schema =
        "{'$defs': {'port': {'type': 'integer', 'maximum': 65535}},"
        " 'properties': {'low': {'$ref': '#/$defs/port', 'exclusiveMaximum': 1024}}}";

    FITS(schema, "{'low': 80}");
    MISSES_AT(schema, "{'low': 8080}", "/low", "/properties/low/exclusiveMaximum",
              "exclusiveMaximum");
    MISSES_AT(schema, "{'low': 80.5}", "/low", "/$defs/port/type", "type");
}

static void
refs_go_round_with_the_document(void)
{
    const char *schema = "{'$ref': '#/$defs/tree', '$defs': {'tree': {'type': 'object',"
                         " 'properties': {'kids': {'items': {'$ref': '#/$defs/tree'}}},"
                         " 'required': ['name']}}}";

    FITS(schema, "{'name': 1, 'kids': [{'name': 2}, {'name': 3, 'kids': [{'name': 4}]}]}");
    MISSES_AT(schema, "{'name': 1, 'kids': [{'name': 2}, {'name': 3, 'kids': [{'kids': []}]}]}",
              "/kids/1/kids/0", "/$defs/tree/required", "required");
}

static void
annotations_say_nothing(void)
{
    FITS("{'title': 1, 'description': false, 'default': [], '$comment': {}, 'examples': 1,"
         " 'format': 'ipv4', 'deprecated': true, 'readOnly': true, 'writeOnly': true,"
         " 'contentEncoding': 'base64', 'contentMediaType': 'a/b', 'contentSchema': false,"
         " 'x-owner': {'type': 'null'}, '$schema': 'https://json-schema.org/draft/2020-12/schema',"
         " '$id': 'https://example.org/x', '$anchor': 'top'}",
         "'not an address'");
}

static void
pointers_are_escaped_and_cut_at_characters(void)
{
    char document[3000] = "{'";

    MISSES_AT("{'properties': {'a/b~c': {'items': {'type': 'null'}}}}", "{'a/b~c': [null, 1]}",
              "/a~1b~0c/1", "/properties/a~1b~0c/items/type", "type");
    for (size_t i = 0; i < 400; i++) {
        append(document, sizeof(document), "\xe2\x82\xac");
    }
    append(document, sizeof(document), "': 1}");
    MISSES("{'additionalProperties': {'type': 'null'}}", document);
    /* "/", 169 times three bytes, and the dots: one more character would not leave room for them.
     */
    CU_ASSERT_EQUAL(strlen(why.instance_pointer), 1 + 169 * 3 + 3);
    CU_ASSERT_EQUAL(strncmp(why.instance_pointer + 1 + 168 * 3, "\xe2\x82\xac...", 6), 0);
}

static void
messages_are_cut_and_hold_no_control_characters(void)
{
    char schema[1200] = "{'required': ['";

    for (size_t i = 0; i < 200; i++) {
        append(schema, sizeof(schema), "\\n\xc3\xa9");
    }
    append(schema, sizeof(schema), "']}");
    MISSES(schema, "{}");
    CU_ASSERT_EQUAL(strncmp(why.message, "there has to be a member ?\xc3\xa9?", 29), 0);
    CU_ASSERT(strlen(why.message) >= CFC_SCHEMA_MESSAGE_SIZE - 3);
    CU_ASSERT_STRING_EQUAL(why.message + strlen(why.message) - 3, "...");
    CU_ASSERT_PTR_NULL(strchr(why.message, '\n'));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(true_takes_everything_and_false_nothing),
    CFC_CASE(type_tells_all_seven_apart),
    CFC_CASE(type_may_list_several),
    CFC_CASE(numbers_without_a_fraction_are_integers),
    CFC_CASE(integers_of_jansson_count_like_reals),
    CFC_CASE(const_and_enum_compare_values_not_texts),
    CFC_CASE(ranges_hold_at_their_ends),
    CFC_CASE(multiple_of_is_exact_in_decimal),
    CFC_CASE(lengths_count_code_points),
    CFC_CASE(pattern_looks_anywhere_in_the_string),
    CFC_CASE(items_and_members_are_counted),
    CFC_CASE(unique_items_finds_equal_ones),
    CFC_CASE(items_apply_behind_prefix_items),
    CFC_CASE(contains_counts_what_fits),
    CFC_CASE(required_names_the_missing_member),
    CFC_CASE(dependent_required_asks_only_beside_its_member),
    CFC_CASE(dependent_schemas_apply_only_beside_their_member),
    CFC_CASE(property_names_are_strings_to_judge),
    CFC_CASE(properties_apply_to_members_that_are_there),
    CFC_CASE(additional_properties_take_what_nobody_took),
    CFC_CASE(all_of_wants_all),
    CFC_CASE(any_of_wants_one_and_says_nothing_of_the_others),
    CFC_CASE(one_of_wants_exactly_one),
    CFC_CASE(not_turns_the_answer_round),
    CFC_CASE(if_chooses_between_then_and_else),
    CFC_CASE(keywords_beside_a_ref_count_too),
    CFC_CASE(refs_go_round_with_the_document),
    CFC_CASE(annotations_say_nothing),
    CFC_CASE(pointers_are_escaped_and_cut_at_characters),
    CFC_CASE(messages_are_cut_and_hold_no_control_characters),
};

CFC_TEST_MAIN("schema_keywords", cases)
