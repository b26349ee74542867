/* The parts of confcastctl that need no server: command line, raw members, walks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/args.h"
#include "controlplane/ctl/ctl.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/stream.h"
#include "controlplane/ctl/walk.h"
#include "tests/unit/cunit_main.h"

/* The library leaves the last word to the program. */
int
cfc_ctl_fail(enum cfc_ctl_exit code, const char *format, ...)
{
    (void)format;
    return (int)code;
}

static int
nothing(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    (void)ctl;
    (void)args;
    return 0;
}

static const struct cfc_ctl_option none = {NULL, '\0', NULL, NULL};
static const struct cfc_ctl_option put_options[] = {{"file", 'f', "FILE", ""},
                                                    {"promote", '\0', NULL, ""},
                                                    {"expected-revision", '\0', "N", ""},
                                                    {NULL, '\0', NULL, NULL}};
static const struct cfc_ctl_option init_options[] = {
    {"engine", '\0', "IP", ""}, {"output", 'o', "FILE", ""}, {NULL, '\0', NULL, NULL}};
static const struct cfc_ctl_option program_options[] = {{"server", 's', "URL", ""},
                                                        {"output", 'o', "table|json", ""},
                                                        {"help", 'h', NULL, ""},
                                                        {NULL, '\0', NULL, NULL}};

static const struct cfc_ctl_command commands[] = {
    {"put", "", "", put_options, 1, 2, nothing, NULL},
    {"key init", "", "", init_options, 0, 0, nothing, NULL},
    {"layers", "", "", NULL, 1, 1, nothing, NULL},
    {"layers set", "", "", NULL, 1, 3, nothing, NULL},
    {NULL, NULL, NULL, NULL, 0, 0, NULL, NULL},
};

static struct cfc_ctl_args args;

static int
parse(const char *line)
{
    static char copy[4096];
    char *argv[80];
    int argc = 0;

    snprintf(copy, sizeof(copy), "ctl %s", line);
    for (char *p = copy; *p != '\0'; p += strspn(p, " ")) {
        argv[argc++] = p;
        p += strcspn(p, " ");
        if (*p != '\0') {
            *p++ = '\0';
        }
    }
    return cfc_ctl_args_parse(argc, argv, commands, program_options, &args);
}

static void
options_stand_before_or_after_the_command(void)
{
    CU_ASSERT_EQUAL(parse("-o json put a -f x --promote --server=u b"), CFC_EXIT_OK);
    CU_ASSERT_STRING_EQUAL(args.command->name, "put");
    CU_ASSERT_STRING_EQUAL(cfc_ctl_option(&args, "output"), "json");
    CU_ASSERT_STRING_EQUAL(cfc_ctl_option(&args, "file"), "x");
    CU_ASSERT_STRING_EQUAL(cfc_ctl_option(&args, "server"), "u");
    CU_ASSERT(cfc_ctl_has(&args, "promote"));
    CU_ASSERT_FALSE(cfc_ctl_has(&args, "expected-revision"));
    CU_ASSERT_EQUAL(args.positional_count, 2);
    CU_ASSERT_STRING_EQUAL(cfc_ctl_positional(&args, 1), "b");
    CU_ASSERT_PTR_NULL(cfc_ctl_positional(&args, 2));
    CU_ASSERT_EQUAL(parse("put a -f- -- -b"), CFC_EXIT_OK);
    CU_ASSERT_STRING_EQUAL(cfc_ctl_option(&args, "file"), "-");
    CU_ASSERT_STRING_EQUAL(cfc_ctl_positional(&args, 1), "-b");
    CU_ASSERT_EQUAL(parse("put - -f -"), CFC_EXIT_OK);
    CU_ASSERT_STRING_EQUAL(cfc_ctl_positional(&args, 0), "-");
}

static void
names_of_two_words_win(void)
{
    CU_ASSERT_EQUAL(parse("layers set a"), CFC_EXIT_OK);
    CU_ASSERT_STRING_EQUAL(args.command->name, "layers set");
    CU_ASSERT_EQUAL(parse("layers acme"), CFC_EXIT_OK);
    CU_ASSERT_STRING_EQUAL(args.command->name, "layers");
    CU_ASSERT_EQUAL(parse("key"), CFC_EXIT_USAGE);
    CU_ASSERT_EQUAL(parse("key in"), CFC_EXIT_USAGE);
}

static void
repeated_options_are_kept_in_order(void)
{
    CU_ASSERT_EQUAL(parse("key init --engine 1 --engine=2 -o a"), CFC_EXIT_OK);
    CU_ASSERT_STRING_EQUAL(cfc_ctl_option_at(&args, "engine", 0), "1");
    CU_ASSERT_STRING_EQUAL(cfc_ctl_option_at(&args, "engine", 1), "2");
    CU_ASSERT_PTR_NULL(cfc_ctl_option_at(&args, "engine", 2));
    CU_ASSERT_STRING_EQUAL(cfc_ctl_option(&args, "engine"), "2");
    CU_ASSERT_STRING_EQUAL(cfc_ctl_option(&args, "output"), "a");
}

static void
wrong_usage_is_refused(void)
{
    static const char *const bad[] = {
        "frob",     "put",          "put a b c",         "put a --frob", "put a -x",
        "put a -f", "put a --file", "put a --promote=1", "-o",           "put a --fil x",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(parse(bad[i]), CFC_EXIT_USAGE);
    }
    CU_ASSERT_EQUAL(parse("put a --"), CFC_EXIT_OK);
    CU_ASSERT_EQUAL(parse("put --help"), CFC_EXIT_OK);
    CU_ASSERT_EQUAL(parse(""), CFC_EXIT_OK);
    CU_ASSERT_PTR_NULL(args.command);
}

static void
sixty_four_options_fit_and_no_more(void)
{
    static char program[] = "ctl";
    static char key[] = "key";
    static char init[] = "init";
    static char engine[] = "--engine=1";
    char *argv[CFC_ARGS_OPTIONS_MAX + 4] = {program, key, init};
    int argc = 3;

    while (argc < CFC_ARGS_OPTIONS_MAX + 3) {
        argv[argc++] = engine;
    }
    CU_ASSERT_EQUAL(cfc_ctl_args_parse(argc, argv, commands, &none, &args), CFC_EXIT_OK);
    CU_ASSERT_EQUAL(args.option_count, CFC_ARGS_OPTIONS_MAX);
    argv[argc++] = engine;
    CU_ASSERT_EQUAL(cfc_ctl_args_parse(argc, argv, commands, &none, &args), CFC_EXIT_USAGE);
}

static void
numbers_and_durations_are_strict(void)
{
    uint64_t value = 0;

    CU_ASSERT(cfc_ctl_uint("18446744073709551615", UINT64_MAX, &value));
    CU_ASSERT_EQUAL(value, UINT64_MAX);
    CU_ASSERT_FALSE(cfc_ctl_uint("18446744073709551616", UINT64_MAX, &value));
    CU_ASSERT_FALSE(cfc_ctl_uint("", 9, &value));
    CU_ASSERT_FALSE(cfc_ctl_uint("-1", 9, &value));
    CU_ASSERT_FALSE(cfc_ctl_uint("1x", 9, &value));
    CU_ASSERT(cfc_ctl_duration_ms("500ms", &value) && value == 500);
    CU_ASSERT(cfc_ctl_duration_ms("60", &value) && value == 60000);
    CU_ASSERT(cfc_ctl_duration_ms("60s", &value) && value == 60000);
    CU_ASSERT(cfc_ctl_duration_ms("10m", &value) && value == 600000);
    CU_ASSERT(cfc_ctl_duration_ms("2h", &value) && value == 7200000);
    CU_ASSERT(cfc_ctl_duration_ms("90d", &value) && value == 7776000000);
    CU_ASSERT_FALSE(cfc_ctl_duration_ms("s", &value));
    CU_ASSERT_FALSE(cfc_ctl_duration_ms("1w", &value));
    CU_ASSERT_FALSE(cfc_ctl_duration_ms("1 s", &value));
}

static void
raw_is(const char *text, const char *expected)
{
    const char *member = NULL;
    size_t size = 0;
    bool found = cfc_ctl_raw_member(text, strlen(text), "document", &member, &size);

    CU_ASSERT_EQUAL(found, expected != NULL);
    if (found && expected != NULL) {
        CU_ASSERT_EQUAL(size, strlen(expected));
        CU_ASSERT_EQUAL(memcmp(member, expected, size), 0);
    }
}

static void
a_raw_member_keeps_its_bytes(void)
{
    raw_is("{\"a\":1,\"document\":{\"x\":[0.1,\"}\\\"]\"]},\"z\":2}", "{\"x\":[0.1,\"}\\\"]\"]}");
    raw_is("{\"document\":{}}", "{}");
    raw_is("{\"a\":{\"document\":{}},\"document\":{\"y\":1}}", "{\"y\":1}");
    raw_is("{\"a\":\"document\",\"document\":{\"y\":1}}", "{\"y\":1}");
    raw_is("{\"documents\":{}}", NULL);
    raw_is("{\"a\":{\"document\":{}}}", NULL);
    raw_is("{\"document\":{\"x\":1}", NULL);
    raw_is("{\"document\":\"", NULL);
    raw_is("", NULL);
}

static void
a_value_nested_too_deeply_ends_the_walk(void)
{
    struct cfc_walk walk;
    struct cfc_walk_step step;
    char text[2 * (CFC_WALK_DEPTH_MAX + 1) + 1];
    json_t *value;

    for (size_t depth = CFC_WALK_DEPTH_MAX; depth <= CFC_WALK_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        value = json_loadb(text, 2 * depth, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        cfc_walk_init(&walk, value);
        while (cfc_walk_next(&walk, &step)) {
        }
        CU_ASSERT_EQUAL(walk.is_too_deep, depth > CFC_WALK_DEPTH_MAX);
        json_decref(value);
    }
}

static char told[512];
static int told_max = 100;

static bool
tell(void *arg, const struct cfc_ctl_event *event)
{
    size_t size = strlen(told);

    (void)arg;
    CU_ASSERT_EQUAL(strlen(event->data), event->data_size);
    snprintf(told + size, sizeof(told) - size, "[%s|%s]", event->name, event->data);
    return --told_max > 0;
}

static const char stream_text[] = "retry: 1000\n\n"
                                  ": a comment\n"
                                  "event: status\nid: 7\ndata: {\"a\":1}\n\n"
                                  "event: lost\n\n"
                                  "data:two\r\ndata:  lines\r\n\r\n"
                                  "event:end\ndata\ndata: x\nother: y\n\n"
                                  "data: cut off\n";

static void
events_are_the_same_however_their_bytes_come(void)
{
    struct cfc_ctl_stream stream;

    for (size_t step = 1; step <= sizeof(stream_text); step++) {
        told[0] = '\0';
        cfc_ctl_stream_init(&stream, tell, NULL);
        for (size_t at = 0; at < sizeof(stream_text) - 1; at += step) {
            size_t left = sizeof(stream_text) - 1 - at;

            CU_ASSERT_TRUE(
                cfc_ctl_stream_take(&stream, stream_text + at, step < left ? step : left));
            told_max = 100;
        }
        CU_ASSERT_STRING_EQUAL(told, "[status|{\"a\":1}][message|two\n lines][end|x]");
        cfc_ctl_stream_free(&stream);
    }
}

static void
who_has_enough_is_told_nothing_more(void)
{
    struct cfc_ctl_stream stream;

    told[0] = '\0';
    told_max = 2;
    cfc_ctl_stream_init(&stream, tell, NULL);
    CU_ASSERT_FALSE(cfc_ctl_stream_take(&stream, stream_text, sizeof(stream_text) - 1));
    CU_ASSERT_STRING_EQUAL(told, "[status|{\"a\":1}][message|two\n lines]");
    cfc_ctl_stream_free(&stream);
    told_max = 100;
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(options_stand_before_or_after_the_command),
    CFC_CASE(names_of_two_words_win),
    CFC_CASE(repeated_options_are_kept_in_order),
    CFC_CASE(wrong_usage_is_refused),
    CFC_CASE(sixty_four_options_fit_and_no_more),
    CFC_CASE(numbers_and_durations_are_strict),
    CFC_CASE(a_raw_member_keeps_its_bytes),
    CFC_CASE(events_are_the_same_however_their_bytes_come),
    CFC_CASE(who_has_enough_is_told_nothing_more),
    CFC_CASE(a_value_nested_too_deeply_ends_the_walk),
};

CFC_TEST_MAIN("ctl", cases)
