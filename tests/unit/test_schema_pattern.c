/* Regular expressions: ECMA-262 in, PCRE2 out, and what a match may cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/pattern.h"
#include "protocol/base/buffer.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/heap.h"

enum {
    INVALID = CONFCAST_ERR_SCHEMA_INVALID,
    UNSUPPORTED = CONFCAST_ERR_SCHEMA_UNSUPPORTED,
    PLENTY = 1 << 20,
};

static struct cfc_test_heap heap;
static uint64_t steps_used;

static int
compile(const char *text, struct cfc_schema_pattern *pattern)
{
    static struct cfc_alloc alloc;
    char message[CFC_SCHEMA_MESSAGE_SIZE] = "";

    alloc = cfc_test_heap_table(&heap);
    return cfc_schema_pattern_compile(&alloc, text, strlen(text), pattern, message,
                                      sizeof(message));
}

/* 1: matches, 0: does not, or an error. */
static int
match_sized(const char *text, const char *subject, size_t size, uint64_t steps)
{
    struct cfc_alloc alloc = cfc_test_heap_table(&heap);
    struct cfc_schema_matcher matcher;
    struct cfc_schema_pattern pattern;
    uint64_t left = steps;
    bool matches;
    int code = compile(text, &pattern);

    if (code != CONFCAST_OK) {
        CU_ASSERT_PTR_NULL(pattern.code);
        CU_ASSERT_EQUAL(heap.live_count, 0);
        return code;
    }
    CU_ASSERT(cfc_schema_pattern_size(&pattern) > 0);
    cfc_schema_matcher_init(&matcher, &alloc, &left);
    code = cfc_schema_match(&matcher, &pattern, subject, size, &matches);
    steps_used = steps - left;
    CU_ASSERT(code == CONFCAST_OK || !matches);
    cfc_schema_matcher_free(&matcher);
    cfc_schema_pattern_free(&pattern);
    CU_ASSERT_EQUAL(heap.live_count, 0);
    return code == CONFCAST_OK ? matches : code;
}

static int
match(const char *text, const char *subject)
{
    int code = match_sized(text, subject, strlen(subject), PLENTY);

    if (code != 0 && code != 1) {
        fprintf(stderr, "%s on %s: %s\n", text, subject, confcast_error_word(code));
    }
    return code;
}

/* What compiling gives. */
static int
compiled(const char *text)
{
    return match_sized(text, "", 0, PLENTY) < 0 ? match_sized(text, "", 0, PLENTY) : CONFCAST_OK;
}

static void
plain_characters_mean_themselves(void)
{
    CU_ASSERT_EQUAL(match("a-b c_d,e:f;g<h>i=j!k\"l#m%n&o'p/q@r`s~t", "xa-b c_d,e:f;g<h>i=j!k\"l#"
                                                                      "m%n&o'p/q@r`s~ty"),
                    1);
    CU_ASSERT_EQUAL(match("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98"
                                                                  "\x80"),
                    1);
    CU_ASSERT_EQUAL(match("^\xf0\x9f\x98\x80{2}$", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80"), 1);
    CU_ASSERT_EQUAL(match("a", "A"), 0);
    CU_ASSERT_EQUAL(match("", ""), 1);
    CU_ASSERT_EQUAL(match("#x # y", "#x # y"), 1);
}

static void
ends_are_those_of_the_string(void)
{
    CU_ASSERT_EQUAL(match("^b", "a\nb"), 0);
    CU_ASSERT_EQUAL(match("a$", "a\nb"), 0);
    CU_ASSERT_EQUAL(match("a$", "a\n"), 0);
    CU_ASSERT_EQUAL(match("a$", "ba"), 1);
    CU_ASSERT_EQUAL(match("^$", ""), 1);
    CU_ASSERT_EQUAL(match("a|^b|c$", "xb"), 0);
}

static void
the_dot_stops_at_line_terminators_only(void)
{
    CU_ASSERT_EQUAL(match("^.$", "\n"), 0);
    CU_ASSERT_EQUAL(match("^.$", "\r"), 0);
    CU_ASSERT_EQUAL(match("^.$", "\xe2\x80\xa8"), 0);
    CU_ASSERT_EQUAL(match("^.$", "\xe2\x80\xa9"), 0);
    CU_ASSERT_EQUAL(match("^.$", "\v"), 1);
    CU_ASSERT_EQUAL(match("^.$", "\xc2\x85"), 1);
    CU_ASSERT_EQUAL(match("^.$", "\xf0\x9f\x98\x80"), 1);
}

static void
classes_hold_ranges_sets_and_what_is_special_elsewhere(void)
{
    CU_ASSERT_EQUAL(match("^[a-cx-z_.*+?^$(){}|/-]+$", "abcxyz_.*+?^$(){}|/-"), 1);
    CU_ASSERT_EQUAL(match("^[a-c]$", "d"), 0);
    CU_ASSERT_EQUAL(match("^[^a-c]$", "d"), 1);
    CU_ASSERT_EQUAL(match("^[^a-c]$", "b"), 0);
    CU_ASSERT_EQUAL(match("^[a-a\xe0\xa0\x80]+$", "a\xe0\xa0\x80"), 1);
    CU_ASSERT_EQUAL(match("^[-a]+$", "-a"), 1);
    CU_ASSERT_EQUAL(match("^[a-]+$", "-a"), 1);
    CU_ASSERT_EQUAL(match("^[a\\-z]+$", "-az"), 1);
    CU_ASSERT_EQUAL(match("^[a\\-z]+$", "m"), 0);
    CU_ASSERT_EQUAL(match("^[\\]\\\\\\[]+$", "]\\["), 1);
    CU_ASSERT_EQUAL(match("^[[:alpha]+$", "[:alph"), 1);
    CU_ASSERT_EQUAL(match("^[\\d\\s_]+$", "1 _\t"), 1);
    CU_ASSERT_EQUAL(match("^[\\D]$", "1"), 0);
    CU_ASSERT_EQUAL(match("^[\\D]$", "\xf0\x9f\x98\x80"), 1);
    CU_ASSERT_EQUAL(match("^[\\W]$", "_"), 0);
    CU_ASSERT_EQUAL(match("^[\\W]$", "\xc3\xa9"), 1);
    CU_ASSERT_EQUAL(match("^[^\\w]$", "a"), 0);
    CU_ASSERT_EQUAL(match("^[\\S]$", "\xc2\xa0"), 0);
    CU_ASSERT_EQUAL(match("^[\\S]$", "x"), 1);
    CU_ASSERT_EQUAL(match("^[^\\S]$", "\xe3\x80\x80"), 1);
    CU_ASSERT_EQUAL(match("^[\\b]$", "\b"), 1);
    CU_ASSERT_EQUAL(match("^[\\p{Lu}\\d]+$", "A1\xc3\x89"), 1);
    CU_ASSERT_EQUAL(match("^[^\\P{Lu}]+$", "a"), 0);
    CU_ASSERT_EQUAL(match("^[\xce\xb1-\xcf\x89]+$", "\xce\xb2"), 1);
    CU_ASSERT_EQUAL(match("[]", "a"), 0);
    CU_ASSERT_EQUAL(match("^[^]$", "\n"), 1);
    CU_ASSERT_EQUAL(match("^a[]*$", "a"), 1);
}

static void
sets_are_those_of_ecmascript(void)
{
    /* One for each range of white space, and what lies beside it. */
    static const char *const spaces[] = {"\t",           "\n",           "\v",
                                         "\f",           "\r",           " ",
                                         "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80",
                                         "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9",
                                         "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
                                         "\xef\xbb\xbf"};
    static const char *const others[] = {"\b",           "\x0e",
                                         "\x1f",         "!",
                                         "\xc2\x9f",     "\xc2\xa1",
                                         "\xe1\x99\xbf", "\xe1\x9a\x81",
                                         "\xe1\xbf\xbf", "\xe2\x80\x8b",
                                         "\xe2\x80\xa7", "\xe2\x80\xaa",
                                         "\xe2\x80\xae", "\xe2\x80\xb0",
                                         "\xe2\x81\x9e", "\xe2\x81\xa0",
                                         "\xe2\xbf\xbf", "\xe3\x80\x81",
                                         "\xef\xbb\xbe", "\xef\xbc\x80",
                                         "\xc2\x85",     "\xf4\x8f\xbf\xbf"};

    for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
        CU_ASSERT_EQUAL(match("^\\s$", spaces[i]), 1);
        CU_ASSERT_EQUAL(match("^[\\s]$", spaces[i]), 1);
        CU_ASSERT_EQUAL(match("^\\S$", spaces[i]), 0);
        CU_ASSERT_EQUAL(match("^[\\S]$", spaces[i]), 0);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CU_ASSERT_EQUAL(match("^\\s$", others[i]), 0);
        CU_ASSERT_EQUAL(match("^[\\s]$", others[i]), 0);
        CU_ASSERT_EQUAL(match("^\\S$", others[i]), 1);
        CU_ASSERT_EQUAL(match("^[\\S]$", others[i]), 1);
    }
    CU_ASSERT_EQUAL(match("^\\d+$", "0123456789"), 1);
    CU_ASSERT_EQUAL(match("^\\d$", "\xd9\xa0"), 0);
    CU_ASSERT_EQUAL(match("^\\D$", "\xd9\xa0"), 1);
    CU_ASSERT_EQUAL(match("^\\w+$", "azAZ09_"), 1);
    CU_ASSERT_EQUAL(match("^\\w$", "\xc3\xa9"), 0);
    CU_ASSERT_EQUAL(match("^\\W$", "\xc3\xa9"), 1);
    CU_ASSERT_EQUAL(match("\\bfoo\\b", "a foo."), 1);
    CU_ASSERT_EQUAL(match("\\bfoo\\b", "afoo"), 0);
    CU_ASSERT_EQUAL(match("\\Bfoo", "afoo"), 1);
    CU_ASSERT_EQUAL(match("\\bfoo", "\xc3\xa9"
                                    "foo"),
                    1);
}

static void
escapes_name_characters(void)
{
    CU_ASSERT_EQUAL(match("^\\t\\n\\v\\f\\r$", "\t\n\v\f\r"), 1);
    CU_ASSERT_EQUAL(match("^\\x41\\u0042\\u{43}\\u{00044}$", "ABCD"), 1);
    CU_ASSERT_EQUAL(match("^\\ud83d\\ude00\\u{1F600}$", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80"), 1);
    CU_ASSERT_EQUAL(match("^[\\ud83d\\ude00-\\ud83d\\ude02]$", "\xf0\x9f\x98\x81"), 1);
    CU_ASSERT_EQUAL(match("^\\cJ\\cj$", "\n\n"), 1);
    CU_ASSERT_EQUAL(match_sized("^\\0$", "", 1, PLENTY), 1);
    CU_ASSERT_EQUAL(match("^\\^\\$\\\\\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\|\\/$", "^$\\.*+?()[]{}|/"),
                    1);
    CU_ASSERT_EQUAL(match("^\\-\\_\\\"\\@\\#$", "-_\"@#"), 1);
}

static void
properties_are_known_by_their_ecmascript_names(void)
{
    CU_ASSERT_EQUAL(match("^\\p{L}\\p{Letter}\\p{Lu}$", "a\xc3\xa9"
                                                        "B"),
                    1);
    CU_ASSERT_EQUAL(match("^\\P{L}$", "1"), 1);
    CU_ASSERT_EQUAL(match("^\\p{gc=Nd}\\p{General_Category=Decimal_Number}$", "1\xd9\xa0"), 1);
    CU_ASSERT_EQUAL(
        match("^\\p{Script=Greek}\\p{sc=Greek}\\p{scx=Greek}$", "\xce\xb1\xce\xb2\xce\xb3"), 1);
    CU_ASSERT_EQUAL(match("^\\p{Script=Greek}$", "a"), 0);
    CU_ASSERT_EQUAL(match("^\\p{Alphabetic}\\p{ASCII}\\p{Any}$", "a\x01\n"), 1);
    CU_ASSERT_EQUAL(match("^\\p{LC}\\p{Cased_Letter}$", "aB"), 1);
    CU_ASSERT_EQUAL(compiled("\\p{Greek}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{lu}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{Script=Nonsense}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{Script=}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{gc=Greek}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{x=Lu}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{sc=Greek=Latin}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{^Lu}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\pL"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{L"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{}"), INVALID);
    CU_ASSERT_EQUAL(compiled("\\p{Lllllllllllllllllllllllllllllllllllllllllllllllllllll}"),
                    INVALID);
}

static void
every_property_on_the_list_compiles(void)
{
    static const char *const names[] = {"C",
                                        "Cased_Letter",
                                        "Cs",
                                        "Surrogate",
                                        "Unassigned",
                                        "Private_Use",
                                        "Zs",
                                        "Zl",
                                        "Zp",
                                        "Sk",
                                        "Sm",
                                        "So",
                                        "Sc",
                                        "Emoji",
                                        "Emoji_Presentation",
                                        "ID_Start",
                                        "ID_Continue",
                                        "Ideographic",
                                        "Extended_Pictographic",
                                        "Math",
                                        "Uppercase",
                                        "Lowercase",
                                        "White_Space",
                                        "punct",
                                        "cntrl",
                                        "digit"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[64];

        snprintf(text, sizeof(text), "\\p{%s}[\\P{%s}]", names[i], names[i]);
        CU_ASSERT_EQUAL(compiled(text), CONFCAST_OK);
    }
}

static void
groups_and_looks_work(void)
{
    CU_ASSERT_EQUAL(match("^(a|b(?:c|d))+$", "abcbd"), 1);
    CU_ASSERT_EQUAL(match("^(?<year>\\d{4})-(?<m$_1>\\d\\d)$", "2024-05"), 1);
    CU_ASSERT_EQUAL(match("^(?=.*\\d)(?!.*x)\\w+$", "ab1"), 1);
    CU_ASSERT_EQUAL(match("^(?=.*\\d)(?!.*x)\\w+$", "abx1"), 0);
    CU_ASSERT_EQUAL(match("(?<=a)b", "ab"), 1);
    CU_ASSERT_EQUAL(match("(?<!a)b", "ab"), 0);
    CU_ASSERT_EQUAL(match("^(|a)()$", "a"), 1);
}

static void
quantifiers_work(void)
{
    CU_ASSERT_EQUAL(match("^a*b+c?$", "bb"), 1);
    CU_ASSERT_EQUAL(match("^a{2}$", "aa"), 1);
    CU_ASSERT_EQUAL(match("^a{2}$", "aaa"), 0);
    CU_ASSERT_EQUAL(match("^a{2,}$", "aaaa"), 1);
    CU_ASSERT_EQUAL(match("^a{2,}$", "a"), 0);
    CU_ASSERT_EQUAL(match("^a{1,2}$", "aaa"), 0);
    CU_ASSERT_EQUAL(match("^a{0}$", ""), 1);
    CU_ASSERT_EQUAL(match("^a*?b+?c??d{1,2}?$", "aabbcdd"), 1);
    CU_ASSERT_EQUAL(match("^[ab]{2}(?:cd){2}$", "abcdcd"), 1);
    CU_ASSERT_EQUAL(match("^(?:a*)*$", "aaa"), 1);
}

static const char *const not_ecmascript[] = {
    "(",
    ")",
    "a)",
    "(a",
    "(?",
    "(?a)",
    "(?i)a",
    "(?>a)",
    "(?P<n>a)",
    "(?#c)",
    "(?|a)",
    "(?R)",
    "(?1)",
    "(?&n)",
    "(?<>a)",
    "(?<1a>a)",
    "(?<a",
    "(?<a-b>a)",
    "(*FAIL)",
    "(?C1)",
    "*",
    "+a",
    "a**",
    "a*+",
    "a?+",
    "a++",
    "a{1}{2}",
    "a???",
    "^*",
    "$+",
    "\\b+",
    "(?=a)*",
    "(?<=a)?",
    "(|*)",
    "{",
    "a{",
    "a{}",
    "a{,2}",
    "a{x}",
    "a{1",
    "a{1,",
    "a{1,2",
    "a{2,1}",
    "{1}",
    "}",
    "]",
    "[",
    "[a",
    "[^",
    "[b-a]",
    "[\\d-z]",
    "[a-\\d]",
    "[\\p{L}-z]",
    "[\\B]",
    "[a\\",
    "\\",
    "\\a",
    "\\e",
    "\\z",
    "\\Z",
    "\\A",
    "\\G",
    "\\K",
    "\\Q",
    "\\E",
    "\\R",
    "\\X",
    "\\N",
    "\\h",
    "\\H",
    "\\V",
    "\\o{1}",
    "\\g1",
    "\\l",
    "\\L",
    "\\U",
    "\\C",
    "\\y",
    "\\x4",
    "\\xg1",
    "\\u12",
    "\\u{}",
    "\\u{110000}",
    "\\u{1",
    "\\ud83d",
    "\\ude00",
    "\\ud83dx",
    "\\ud83d\\u0041",
    "\\u{d800}",
    "\\c1",
    "\\c",
    "\\00",
    "\\ ",
    "\\\n",
    "\\\xc3\xa9",
    "[\\00]",
    "\\u{1234567}",
};

static void
what_is_no_ecmascript_is_refused(void)
{
    for (size_t i = 0; i < sizeof(not_ecmascript) / sizeof(not_ecmascript[0]); i++) {
        int code = compiled(not_ecmascript[i]);

        if (code != INVALID) {
            fprintf(stderr, "%s: %s\n", not_ecmascript[i], confcast_error_word(code));
            CU_FAIL("accepted");
        }
    }
    CU_ASSERT_EQUAL(compiled("[]"), CONFCAST_OK); /* which matches nothing */
}

static void
back_references_are_unsupported(void)
{
    CU_ASSERT_EQUAL(compiled("(a)\\1"), UNSUPPORTED);
    CU_ASSERT_EQUAL(compiled("(?<n>a)\\k<n>"), UNSUPPORTED);
    CU_ASSERT_EQUAL(compiled("[\\1]"), UNSUPPORTED);
}

static void
lookbehind_of_any_length_is_refused(void)
{
    CU_ASSERT_EQUAL(compiled("(?<=a*)b"), INVALID);
    CU_ASSERT_EQUAL(compiled("(?<=aa|b)b"), CONFCAST_OK);
}

static void
patterns_that_are_not_utf_8_are_refused(void)
{
    CU_ASSERT_EQUAL(compiled("\xff"), INVALID);
    CU_ASSERT_EQUAL(compiled("\xc3"), INVALID);
    CU_ASSERT_EQUAL(compiled("\xc3("), INVALID);
    CU_ASSERT_EQUAL(compiled("\xc0\x80"), INVALID);
    CU_ASSERT_EQUAL(compiled("[\x80]"), INVALID);
    CU_ASSERT_EQUAL(compiled("\xf5\x80\x80\x80"), INVALID);
}

static void
texts_that_are_not_utf_8_are_refused(void)
{
    CU_ASSERT_EQUAL(match_sized("a", "a\xff", 2, PLENTY), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(match_sized("a", "\xc3", 1, PLENTY), CONFCAST_ERR_ENCODING);
}

static void
size_depth_and_repeats_are_bounded(void)
{
    char text[2 * CFC_SCHEMA_PATTERN_SIZE_MAX] = "";
    size_t depth = CFC_SCHEMA_PATTERN_DEPTH_MAX;

    memset(text, 'a', CFC_SCHEMA_PATTERN_SIZE_MAX);
    CU_ASSERT_EQUAL(compiled(text), CONFCAST_OK);
    text[CFC_SCHEMA_PATTERN_SIZE_MAX] = 'a';
    CU_ASSERT_EQUAL(compiled(text), CONFCAST_ERR_LIMIT);
    for (size_t more = 0; more < 2; more++) {
        memset(text, 0, sizeof(text));
        memset(text, '(', depth + more);
        memset(text + depth + more, ')', depth + more);
        CU_ASSERT_EQUAL(compiled(text), more == 0 ? CONFCAST_OK : CONFCAST_ERR_LIMIT);
    }
    CU_ASSERT_EQUAL(compiled("a{1000}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(compiled("a{1001}"), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(compiled("a{0,1001}"), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(compiled("a{1001,}"), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(compiled("a{99999999999999999999}"), CONFCAST_ERR_LIMIT);
    /* Too big once the groups are unrolled. */
    CU_ASSERT_EQUAL(compiled("(?:(?:a{1000}){1000}){1000}"), CONFCAST_ERR_LIMIT);
    /* Too big once it is translated: each \S of a class is 150 bytes. */
    memset(text, 0, sizeof(text));
    text[0] = '[';
    for (size_t i = 0; i < 500; i++) {
        memcpy(text + 1 + 2 * i, "\\S", 2);
    }
    text[1001] = ']';
    CU_ASSERT_EQUAL(compiled(text), CONFCAST_ERR_LIMIT);
}

static void
exponential_patterns_run_out_of_steps(void)
{
    CU_ASSERT_EQUAL(match("^(a+)+$", "aaaaaaaaaaaaaaa"), 1);
    CU_ASSERT_EQUAL(match("^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"),
                    CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(steps_used, PLENTY);
    CU_ASSERT_EQUAL(match("^(a|a)*[bd]$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"),
                    CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(
        match("(?=(x+x+)+[yz])", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        CONFCAST_ERR_LIMIT);
}

/* A match pays for the distance that it moves over, not only for the items it tries. */
static void
quadratic_patterns_pay_for_their_way(void)
{
    enum {
        SIZE = 20000
    };
    char *subject = malloc(SIZE);

    CU_ASSERT_PTR_NOT_NULL_FATAL(subject);
    memset(subject, 'a', SIZE);
    CU_ASSERT_EQUAL(match_sized("a*[bc]", subject, SIZE, UINT64_MAX), 0);
    /* Each of the starts goes to the end: n^2 / 2 bytes in steps of 16. */
    CU_ASSERT(steps_used > (uint64_t)SIZE * SIZE / 2 / 16);
    CU_ASSERT(steps_used < (uint64_t)SIZE * SIZE);
    CU_ASSERT_EQUAL(match_sized("a*[bc]", subject, SIZE, SIZE * 100), CONFCAST_ERR_LIMIT);
    /* Linear ones pay little. */
    CU_ASSERT_EQUAL(match_sized("^a*$", subject, SIZE, UINT64_MAX), 1);
    CU_ASSERT(steps_used >= SIZE / 64);
    CU_ASSERT(steps_used < SIZE);
    free(subject);
}

/* A repeat of 1,000 may fail 999 characters in without another item being tried. */
static void
long_repeats_make_every_item_dearer(void)
{
    enum {
        SIZE = 10000
    };
    char *subject = malloc(SIZE);

    CU_ASSERT_PTR_NOT_NULL_FATAL(subject);
    memset(subject, 'a', SIZE);
    for (size_t i = 0; i < SIZE; i += 999) {
        subject[i] = 'x';
    }
    CU_ASSERT_EQUAL(match_sized("[ab]{1000}[cd]", subject, SIZE, UINT64_MAX), 0);
    CU_ASSERT(steps_used > (uint64_t)(SIZE - 1000) * 1000 / 16);
    free(subject);
}

/* The same, backwards: before the 600th character each look goes to the begin of the text. */
static void
long_looks_behind_make_every_item_dearer(void)
{
    char subject[600];

    memset(subject, 'a', sizeof(subject));
    CU_ASSERT_EQUAL(match_sized("(?<=(?:[ab]{100}){10})", subject, sizeof(subject), UINT64_MAX), 0);
    CU_ASSERT(steps_used > sizeof(subject) * 1000 / 16);
    CU_ASSERT_EQUAL(match_sized("(?<=[ab][ab])c", subject, sizeof(subject), UINT64_MAX), 0);
    CU_ASSERT(steps_used < sizeof(subject) * 10);
}

static void
backtracking_memory_is_bounded(void)
{
    enum {
        SIZE = 4 << 20
    };
    char *subject = malloc(SIZE);

    CU_ASSERT_PTR_NOT_NULL_FATAL(subject);
    memset(subject, 'a', SIZE);
    CU_ASSERT_EQUAL(match_sized("^(?:a|b)*$", subject, 10000, UINT64_MAX), 1);
    CU_ASSERT_EQUAL(match_sized("^(?:a|b)*$", subject, SIZE, UINT64_MAX), CONFCAST_ERR_LIMIT);
    free(subject);
}

static void
running_out_of_memory_is_said_and_leaves_nothing_behind(void)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        size_t fail_at = 1;
        int code;

        do {
            heap = (struct cfc_test_heap){.fail_at = fail_at, .fails_for_good = for_good != 0};
            code = match_sized("^(?:a|b)*\\p{L}$", "abababababababababab", 20, PLENTY);
            CU_ASSERT(code == 1 || code == CONFCAST_ERR_NO_MEMORY);
            CU_ASSERT_EQUAL((code == 1), (heap.call_count < fail_at));
            CU_ASSERT_EQUAL(heap.live_count, 0);
            fail_at++;
        } while (code != 1 && fail_at < 100);
        CU_ASSERT_EQUAL(code, 1);
        CU_ASSERT(fail_at > 6);
    }
    heap = (struct cfc_test_heap){.fail_at = 0};
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(plain_characters_mean_themselves),
    CFC_CASE(ends_are_those_of_the_string),
    CFC_CASE(the_dot_stops_at_line_terminators_only),
    CFC_CASE(classes_hold_ranges_sets_and_what_is_special_elsewhere),
    CFC_CASE(sets_are_those_of_ecmascript),
    CFC_CASE(escapes_name_characters),
    CFC_CASE(properties_are_known_by_their_ecmascript_names),
    CFC_CASE(every_property_on_the_list_compiles),
    CFC_CASE(groups_and_looks_work),
    CFC_CASE(quantifiers_work),
    CFC_CASE(what_is_no_ecmascript_is_refused),
    CFC_CASE(back_references_are_unsupported),
    CFC_CASE(lookbehind_of_any_length_is_refused),
    CFC_CASE(patterns_that_are_not_utf_8_are_refused),
    CFC_CASE(texts_that_are_not_utf_8_are_refused),
    CFC_CASE(size_depth_and_repeats_are_bounded),
    CFC_CASE(exponential_patterns_run_out_of_steps),
    CFC_CASE(quadratic_patterns_pay_for_their_way),
    CFC_CASE(long_repeats_make_every_item_dearer),
    CFC_CASE(long_looks_behind_make_every_item_dearer),
    CFC_CASE(backtracking_memory_is_bounded),
    CFC_CASE(running_out_of_memory_is_said_and_leaves_nothing_behind),
};

CFC_TEST_MAIN("schema_pattern", cases)
