/* Points in time as operators write them. */
#include "controlplane/api/time_text.h"

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

static uint64_t
parsed(const char *text)
{
    uint64_t unix_ns = 7;

    return cfc_time_parse(text, &unix_ns) == CONFCAST_OK ? unix_ns : 0;
}

static void
times_in_utc_with_fractions_and_offsets_are_read(void)
{
    CU_ASSERT_EQUAL(parsed("2026-07-01T09:30:00Z"), UINT64_C(1782898200000000000));
    CU_ASSERT_EQUAL(parsed("2026-07-01t09:30:00.5z"), UINT64_C(1782898200500000000));
    CU_ASSERT_EQUAL(parsed("2026-07-01 09:30:00.000000001Z"), UINT64_C(1782898200000000001));
    CU_ASSERT_EQUAL(parsed("2026-07-01T11:30:00+02:00"), UINT64_C(1782898200000000000));
    CU_ASSERT_EQUAL(parsed("2026-07-01T04:00:00-05:30"), UINT64_C(1782898200000000000));
    CU_ASSERT_EQUAL(parsed("2028-02-29T00:00:00Z"), UINT64_C(1835395200000000000));
}

static void
whole_numbers_are_unix_nanoseconds(void)
{
    CU_ASSERT_EQUAL(parsed("1782898200000000000"), UINT64_C(1782898200000000000));
    CU_ASSERT_EQUAL(parsed("9999999999999999999"), UINT64_C(9999999999999999999));
    CU_ASSERT_EQUAL(parsed("10000000000000000000"), 0);
}

static void
everything_else_is_refused(void)
{
    static const char *const bad[] = {
        "",
        "now",
        "2026-07-01",
        "2026-07-01T09:30Z",
        "2026-07-01T09:30:00",
        "2026-07-01T09:30:00.Z",
        "2026-07-01T09:30:00.1234567890Z",
        "2026-07-01T09:30:60Z",
        "2026-07-01T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2501-01-01T00:00:00Z",
        "1970-01-01T00:00:00+01:00",
        "2026-07-01T09:30:00+2:00",
        "2026-07-01T09:30:00+24:00",
        "2026-07-01T09:30:00Zx",
        "-1",
        "1 ",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t unix_ns = 7;

        CU_ASSERT_EQUAL(cfc_time_parse(bad[i], &unix_ns), CONFCAST_ERR_INVALID);
        CU_ASSERT_EQUAL(unix_ns, 7);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(times_in_utc_with_fractions_and_offsets_are_read),
    CFC_CASE(whole_numbers_are_unix_nanoseconds),
    CFC_CASE(everything_else_is_refused),
};

CFC_TEST_MAIN("time_text", cases)
