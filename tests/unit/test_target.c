#include "controlplane/api/target.h"

#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

static struct cfc_target target;

static void
path_and_parameters_are_taken_apart(void)
{
    CU_ASSERT_EQUAL_FATAL(
        cfc_target_parse("/v1/config/acme/web?expected_revision=3&message=a+b%20c&dry_run",
                         &target),
        CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(target.path, "/v1/config/acme/web");
    CU_ASSERT_EQUAL(target.param_count, 3);
    CU_ASSERT_STRING_EQUAL(cfc_target_param(&target, "expected_revision"), "3");
    CU_ASSERT_STRING_EQUAL(cfc_target_param(&target, "message"), "a b c");
    CU_ASSERT_STRING_EQUAL(cfc_target_param(&target, "dry_run"), "");
    CU_ASSERT_PTR_NULL(cfc_target_param(&target, "revision"));
}

static void
escapes_are_decoded_once(void)
{
    CU_ASSERT_EQUAL(cfc_target_parse("/v1/%61cme?m=%2525&n=%C3%A9%3d%26", &target), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(target.path, "/v1/acme");
    CU_ASSERT_STRING_EQUAL(cfc_target_param(&target, "m"), "%25");
    CU_ASSERT_STRING_EQUAL(cfc_target_param(&target, "n"), "\xc3\xa9=&");
}

static void
an_empty_query_is_no_query(void)
{
    CU_ASSERT_EQUAL(cfc_target_parse("/v1?", &target), CONFCAST_OK);
    CU_ASSERT_EQUAL(target.param_count, 0);
    CU_ASSERT_EQUAL(cfc_target_parse("/", &target), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(target.path, "/");
}

static void
what_could_be_read_in_two_ways_is_refused(void)
{
    static const char *const bad[] = {
        "",
        "v1",
        "http://h/v1",
        "/v1/%",
        "/v1/%4",
        "/v1/%zz",
        "/v1/%00",
        "/v1/a%2fb",
        "/v1/a%2Fb",
        "/v1/..",
        "/v1/../x",
        "/v1/%2e%2e/x",
        "/v1/./x",
        "/.",
        "/v1/%0a",
        "/v1/caf\xc3\xa9",
        "/v1/%c3%a9",
        "/v1/%7f",
        "/v1?a=%00",
        "/v1?a=%",
        "/v1?a=%g0",
        "/v1?a=1&a=2",
        "/v1?=1",
        "/v1?a=1&",
        "/v1?&a=1",
        "/v1?a=%ff",
        "/v1?a=%0d%0a",
        "/v1?%61=1&a=2",
        "/v1?a=%ed%a0%80",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(cfc_target_parse(bad[i], &target), CONFCAST_ERR_INVALID);
    }
    CU_ASSERT_EQUAL(cfc_target_parse("/v1/a..b/.../x", &target), CONFCAST_OK);
}

static void
length_is_limited_on_both_sides(void)
{
    char raw[CFC_TARGET_SIZE_MAX + 2];

    memset(raw, 'a', sizeof(raw));
    raw[0] = '/';
    raw[CFC_TARGET_SIZE_MAX] = '\0';
    CU_ASSERT_EQUAL(cfc_target_parse(raw, &target), CONFCAST_OK);
    raw[CFC_TARGET_SIZE_MAX] = 'a';
    raw[CFC_TARGET_SIZE_MAX + 1] = '\0';
    CU_ASSERT_EQUAL(cfc_target_parse(raw, &target), CONFCAST_ERR_LIMIT);
}

static void
the_longest_target_with_the_most_parameters_fits(void)
{
    char raw[CFC_TARGET_SIZE_MAX + 1];
    int size = snprintf(raw, sizeof(raw), "/?a&b&c&d&e&f&g&h");

    memset(raw + size, 'h', sizeof(raw) - 1 - (size_t)size);
    raw[CFC_TARGET_SIZE_MAX] = '\0';
    CU_ASSERT_EQUAL(cfc_target_parse(raw, &target), CONFCAST_OK);
    CU_ASSERT_EQUAL(target.param_count, CFC_TARGET_PARAMS_MAX);
    CU_ASSERT_EQUAL(cfc_target_parse("/?a&b&c&d&e&f&g&h&i", &target), CONFCAST_ERR_LIMIT);
}

static void
numbers_are_plain_decimals_within_their_limit(void)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "0x1",
                                      "1.0",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "a"};
    uint64_t value = 7;

    CU_ASSERT_EQUAL(cfc_target_uint("0", UINT64_MAX, &value), CONFCAST_OK);
    CU_ASSERT_EQUAL(value, 0);
    CU_ASSERT_EQUAL(cfc_target_uint("18446744073709551615", UINT64_MAX, &value), CONFCAST_OK);
    CU_ASSERT_EQUAL(value, UINT64_MAX);
    CU_ASSERT_EQUAL(cfc_target_uint("1000", 1000, &value), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_target_uint("1001", 1000, &value), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_target_uint("9", 5, &value), CONFCAST_ERR_INVALID);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(cfc_target_uint(bad[i], UINT64_MAX, &value), CONFCAST_ERR_INVALID);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(path_and_parameters_are_taken_apart),
    CFC_CASE(escapes_are_decoded_once),
    CFC_CASE(an_empty_query_is_no_query),
    CFC_CASE(what_could_be_read_in_two_ways_is_refused),
    CFC_CASE(length_is_limited_on_both_sides),
    CFC_CASE(the_longest_target_with_the_most_parameters_fits),
    CFC_CASE(numbers_are_plain_decimals_within_their_limit),
};

CFC_TEST_MAIN("target", cases)
