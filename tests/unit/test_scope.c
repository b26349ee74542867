#include "protocol/base/scope.h"

#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

static int
check(const char *path)
{
    return cfc_scope_check(path, strlen(path));
}

static void
well_formed_paths_are_accepted(void)
{
    CU_ASSERT_EQUAL(check("acme"), CONFCAST_OK);
    CU_ASSERT_EQUAL(check("acme/checkout/prod"), CONFCAST_OK);
    CU_ASSERT_EQUAL(check("0/a.b_c-d"), CONFCAST_OK);
    CU_ASSERT_EQUAL(check("a/b/c/d/e/f/g/h"), CONFCAST_OK);
}

static void
look_alikes_and_escapes_are_refused(void)
{
    static const char *const bad[] = {
        "",    "/",  "a/", "/a",   "a//b", "..",    "a/../b",      "A",
        "a b", "-a", ".a", "a/.b", "a\\b", "a%2fb", "caf\xc3\xa9", "a/b/c/d/e/f/g/h/i"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(check(bad[i]), CONFCAST_ERR_SCOPE_NAME);
    }
    CU_ASSERT_EQUAL(cfc_scope_check("a\0b", 3), CONFCAST_ERR_SCOPE_NAME);
}

static void
a_segment_holds_63_bytes_and_not_64(void)
{
    char path[65];

    memset(path, 'a', sizeof(path));
    CU_ASSERT_EQUAL(cfc_scope_check(path, 63), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_scope_check(path, 64), CONFCAST_ERR_SCOPE_NAME);
}

static void
every_error_has_a_word(void)
{
    CU_ASSERT_STRING_EQUAL(confcast_error_word(0), "ok");
    CU_ASSERT_STRING_EQUAL(confcast_error_word(CONFCAST_ERR_DIGEST), "digest");
    CU_ASSERT_STRING_EQUAL(confcast_error_word(-9999), "unknown");
    CU_ASSERT_STRING_EQUAL(confcast_error_text(0), "success");
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(well_formed_paths_are_accepted),
    CFC_CASE(look_alikes_and_escapes_are_refused),
    CFC_CASE(a_segment_holds_63_bytes_and_not_64),
    CFC_CASE(every_error_has_a_word),
};

CFC_TEST_MAIN("scope", cases)
