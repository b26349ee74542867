/* What confcastctl prints: tables that fit, YAML that reads back as what it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "controlplane/ctl/ctl.h"
#include "controlplane/ctl/grid.h"
#include "controlplane/ctl/yaml_text.h"
#include "protocol/base/prng.h"
#include "tests/unit/cunit_main.h"

int
cfc_ctl_fail(enum cfc_ctl_exit code, const char *format, ...)
{
    (void)format;
    return (int)code;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static void
elided_is(const char *text, size_t width, bool at_end, const char *expected)
{
    char copy[256];

    snprintf(copy, sizeof(copy), "%s", text);
    cfc_grid_elide(copy, width, at_end);
    CU_ASSERT_STRING_EQUAL(copy, expected);
}

static void
names_are_shortened_in_the_middle_and_sentences_at_the_end(void)
{
    elided_is("acme/checkout/prod", 18, false, "acme/checkout/prod");
    elided_is("acme/checkout/prod", 17, false, "acme/ch...ut/prod");
    elided_is("acme/checkout/prod", 12, false, "acme/...prod");
    elided_is("acme/checkout/prod", 4, false, "a...");
    elided_is("raise the limit", 12, true, "raise the...");
    elided_is("raise the limit", 15, true, "raise the limit");
    elided_is("", 4, true, "");
}

static void
columns_are_counted_not_bytes(void)
{
    CU_ASSERT_EQUAL(cfc_grid_width("caf\xc3\xa9"), 4);
    CU_ASSERT_EQUAL(cfc_grid_width("\xe4\xb8\xad\xe6\x96\x87"), 4); /* two wide ones */
    CU_ASSERT_EQUAL(cfc_grid_width("e\xcc\x81"), 1);                /* a combining accent */
    CU_ASSERT_EQUAL(cfc_grid_width("\xff\xc3"), 2);                 /* broken: a column each */
    elided_is("\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87", 7, true,
              "\xe4\xb8\xad\xe6\x96\x87...");
    elided_is("\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad\xe6\x96\x87", 6, true, "\xe4\xb8\xad...");
}

static char *
table_of(const char *json, const struct cfc_ctl_column *columns, size_t count, bool has_color)
{
    json_t *list = json_loads(json, 0, NULL);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    cfc_grid_write(out, list, columns, count, has_color);
    fclose(out);
    json_decref(list);
    return text;
}

static void
a_table_is_as_wide_as_what_is_in_it(void)
{
    static const struct cfc_ctl_column columns[] = {
        {"SCOPE", "scope"}, {"VERSION", "version"}, {"STALE", "stale"}, {"MESSAGE", "message"}};
    char *text = table_of("[{\"scope\":\"acme/checkout\",\"version\":7,\"stale\":true,"
                          "\"message\":\"a\\u001b\\u009b\\u202eb\"},"
                          "{\"scope\":\"b\",\"version\":12345678,\"message\":\"\"}]",
                          columns, 4, false);

    CU_ASSERT_STRING_EQUAL(text, "SCOPE           VERSION  STALE  MESSAGE\n"
                                 "acme/checkout         7  yes    a      b\n"
                                 "b              12345678  -      -\n");
    free(text);
    text = table_of("[]", columns, 2, false);
    CU_ASSERT_STRING_EQUAL(text, "SCOPE  VERSION\n");
    free(text);
}

static void
times_lose_their_fraction_and_nothing_else_does(void)
{
    static const struct {
        const char *value;
        const char *shown;
    } rows[] = {{"2026-07-01T09:30:00.123456Z", "2026-07-01T09:30:00Z"},
                {"2026-07-01T09:30:00Z", "2026-07-01T09:30:00Z"},
                {"2026-07-01T09:30:00.12x456Z", "2026-07-01T09:30:00.12x456Z"},
                {"release-1234567890.12345Z", "release-1234567890.12345Z"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *value = json_string(rows[i].value);
        char *text = cfc_grid_text(value);

        CU_ASSERT_STRING_EQUAL(text, rows[i].shown);
        free(text);
        json_decref(value);
    }
}

static void
check_widths(const char *text, size_t expected_max)
{
    size_t widest = 0;

    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char copy[2048];

        snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(line, "\n"), line);
        widest = cfc_grid_width(copy) > widest ? cfc_grid_width(copy) : widest;
    }
    CU_ASSERT_EQUAL(widest, expected_max);
}

static void
no_line_is_wider_than_a_hundred_columns(void)
{
    static const struct cfc_ctl_column columns[] = {
        {"SCOPE", "scope"}, {"AUTHOR", "author"}, {"DIGEST", "digest"}, {"MESSAGE", "message"}};
    char json[1024];
    char *text;

    /* 40 for the digest, 6 for the gaps: 54 are left for a scope, an author and a message. */
    snprintf(json, sizeof(json),
             "[{\"scope\":\"%s/end\",\"author\":\"ann\",\"digest\":\"%040d\",\"message\":\"%s\"}]",
             "acme/a-very-long-segment/another-very-long-segment/and-one-more", 1,
             "words and words and words and words and words and words and words");
    text = table_of(json, columns, 4, false);
    check_widths(text, CFC_GRID_WIDTH_MAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "0000000000000000000000000000000000000001"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "acme/"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "/end "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "ann "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "...\n"));
    free(text);
}

static void
colours_are_for_states_and_for_what_is_wrong(void)
{
    static const struct cfc_ctl_column columns[] = {{"STATE", "state"}, {"REJECTED", "rejected"}};
    char *text = table_of("[{\"state\":\"ACTIVE\",\"rejected\":0},"
                          "{\"state\":\"PAUSED\",\"rejected\":2}]",
                          columns, 2, true);

    CU_ASSERT_STRING_EQUAL(text, "\033[1mSTATE\033[0m   \033[1mREJECTED\033[0m\n"
                                 "\033[32mACTIVE\033[0m         0\n"
                                 "\033[1;31mPAUSED\033[0m         \033[1;31m2\033[0m\n");
    free(text);
}

/* ---- YAML ------------------------------------------------------------------------------------ */

static char *
yaml_of(json_t *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT(cfc_yaml_write(out, value));
    fclose(out);
    return text;
}

static void
yaml_is(const char *json, const char *expected)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    char *text;

    CU_ASSERT_PTR_NOT_NULL_FATAL(value);
    text = yaml_of(value);
    CU_ASSERT_STRING_EQUAL(text, expected);
    free(text);
    json_decref(value);
}

static void
yaml_is_blocks(void)
{
    yaml_is("{\"a\":{\"b\":[1,{\"c\":null,\"k\":true}],\"d\":{}},\"e\":\"yes: no\",\"f\":0.1,"
            "\"g\":[]}",
            "a:\n  b:\n  - 1\n  - c: null\n    k: true\n  d: {}\ne: \"yes: no\"\nf: 0.1\ng: []\n");
    yaml_is("{}", "{}\n");
    yaml_is("[[1],[]]", "- - 1\n- []\n");
}

static void
strings_that_look_like_something_else_are_quoted(void)
{
    static const char *const quoted[] = {
        "no",  "NO",   "Yes", "on",         "off",  "y",    "N",     "null", "Null", "~",
        "",    "true", "1",   "1e3",        "0x1f", "0o17", "1_000", ".inf", ".nan", "-",
        "- a", "# a",  "a b", "2026-07-01", "1:30", "=",    "<<",    "!x",   "&x",   "*x",
        "%x",  "@x",   "`x",  " a",         "a ",   "a:",   "+1",    "{}",   "[]",   "---",
    };
    char json[64];
    char expected[64];

    for (size_t i = 0; i < sizeof(quoted) / sizeof(quoted[0]); i++) {
        snprintf(json, sizeof(json), "[\"%s\"]", quoted[i]);
        snprintf(expected, sizeof(expected), "- \"%s\"\n", quoted[i]);
        yaml_is(json, expected);
    }
    yaml_is("{\"no\":1,\"1\":2,\"\":3}", "\"no\": 1\n\"1\": 2\n\"\": 3\n");
    yaml_is("[\"acme/checkout\",\"eu-1\",\"v1.2\",\"e3\"]",
            "- acme/checkout\n- eu-1\n- v1.2\n- e3\n");
}

static void
floats_are_floats_in_every_version(void)
{
    yaml_is("[1e22,1.5e300,0.1,-2.0,1e-7]", "- 1.0e+22\n- 1.5e+300\n- 0.1\n- -2\n- 1.0e-07\n");
    yaml_is("[9007199254740991,-1]", "- 9007199254740991\n- -1\n");
}

static void
lines_stand_as_they_are_where_nothing_can_happen_to_them(void)
{
    yaml_is("{\"a\":\"one\\n  two\\n\"}", "a: |\n  one\n    two\n");
    yaml_is("{\"a\":\"one\\ntwo\"}", "a: \"one\\ntwo\"\n");
    yaml_is("{\"a\":\"one \\ntwo\\n\"}", "a: \"one \\ntwo\\n\"\n");
    yaml_is("{\"a\":\" one\\ntwo\\n\"}", "a: \" one\\ntwo\\n\"\n");
    yaml_is("{\"a\":\"one\\n\\n\"}", "a: \"one\\n\\n\"\n");
    yaml_is("{\"a\\nb\":1}", "? \"a\\nb\"\n: 1\n");
    yaml_is("[\"\\u0085\\u2028\\u007f\\ufeff\\t\\u0007\"]", "- \"\\N\\L\\x7F\\uFEFF\\t\\a\"\n");
}

/* The one scalar of a document, as libyaml reads it. */
static void
reads_back(const char *yaml, const char *text, size_t size)
{
    yaml_parser_t parser;
    yaml_event_t event;
    bool is_over = false;
    size_t seen = 0;

    CU_ASSERT_FATAL(yaml_parser_initialize(&parser) != 0);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, strlen(yaml));
    while (!is_over) {
        CU_ASSERT_FATAL(yaml_parser_parse(&parser, &event) != 0);
        if (event.type == YAML_SCALAR_EVENT) {
            CU_ASSERT_EQUAL_FATAL(event.data.scalar.length, size);
            CU_ASSERT_EQUAL(memcmp(event.data.scalar.value, text, size), 0);
            seen++;
        }
        is_over = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    CU_ASSERT_EQUAL(seen, 1);
    yaml_parser_delete(&parser);
}

static void
every_string_reads_back_as_itself(void)
{
    static const char *const pieces[] = {"a",
                                         " ",
                                         "\n",
                                         "\t",
                                         "'",
                                         "\"",
                                         "\\",
                                         ":",
                                         "#",
                                         "-",
                                         "?",
                                         "\xc3\xa9",
                                         "\xe2\x80\xa8",
                                         "\xc2\x85",
                                         "|",
                                         ">",
                                         "\r",
                                         "0",
                                         "%",
                                         "---",
                                         "...",
                                         "\xf0\x9f\x98\x80"};
    struct cfc_prng prng = {7};
    char text[256];

    for (int round = 0; round < 20000; round++) {
        size_t count = cfc_prng_below(&prng, 12);
        size_t size = 0;
        json_t *value;
        char *yaml;

        for (size_t i = 0; i < count; i++) {
            const char *piece = pieces[cfc_prng_below(&prng, sizeof(pieces) / sizeof(pieces[0]))];

            memcpy(text + size, piece, strlen(piece));
            size += strlen(piece);
        }
        value = json_pack("[s%]", text, size);
        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        yaml = yaml_of(value);
        reads_back(yaml, text, size);
        free(yaml);
        json_decref(value);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(names_are_shortened_in_the_middle_and_sentences_at_the_end),
    CFC_CASE(columns_are_counted_not_bytes),
    CFC_CASE(a_table_is_as_wide_as_what_is_in_it),
    CFC_CASE(times_lose_their_fraction_and_nothing_else_does),
    CFC_CASE(no_line_is_wider_than_a_hundred_columns),
    CFC_CASE(colours_are_for_states_and_for_what_is_wrong),
    CFC_CASE(yaml_is_blocks),
    CFC_CASE(strings_that_look_like_something_else_are_quoted),
    CFC_CASE(floats_are_floats_in_every_version),
    CFC_CASE(lines_stand_as_they_are_where_nothing_can_happen_to_them),
    CFC_CASE(every_string_reads_back_as_itself),
};

CFC_TEST_MAIN("ctl_output", cases)
