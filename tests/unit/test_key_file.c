#include "protocol/trust/key_file.h"

#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static int
parse(const char *text, enum cfc_key_kind kind)
{
    uint8_t key[32];
    static const uint8_t zero[32];
    int rc = cfc_key_file_parse(text, strlen(text), kind, key);

    CU_ASSERT(rc == CONFCAST_OK || memcmp(key, zero, sizeof(key)) == 0);
    return rc;
}

static void
every_kind_round_trips_and_is_no_other(void)
{
    uint8_t key[32];
    uint8_t again[32];
    char line[CFC_KEY_FILE_SIZE_MAX];

    for (int i = 0; i < 32; i++) {
        key[i] = (uint8_t)i;
    }
    for (int kind = 0; kind < CFC_KEY_KIND_COUNT; kind++) {
        size_t size = cfc_key_file_write((enum cfc_key_kind)kind, key, line);

        CU_ASSERT_EQUAL(size, strlen(line));
        for (int other = 0; other < CFC_KEY_KIND_COUNT; other++) {
            CU_ASSERT_EQUAL(cfc_key_file_parse(line, size, (enum cfc_key_kind)other, again),
                            other == kind ? CONFCAST_OK : CONFCAST_ERR_TYPE);
        }
        CU_ASSERT_EQUAL(cfc_key_file_parse(line, size, (enum cfc_key_kind)kind, again),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(memcmp(key, again, sizeof(key)), 0);
    }
    CU_ASSERT_STRING_EQUAL(line, "confcast-key-1 report " HEX "\n");
}

static void
malformed_lines_are_refused(void)
{
    CU_ASSERT_EQUAL(parse("confcast-key-1 root " HEX, CFC_KEY_ROOT), CONFCAST_OK);
    CU_ASSERT_EQUAL(parse("confcast-key-2 root " HEX "\n", CFC_KEY_ROOT), CONFCAST_ERR_VERSION);
    CU_ASSERT_EQUAL(parse("confcast-key-1 boot " HEX "\n", CFC_KEY_ROOT), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(parse("confcast-key-1 root " HEX "\n\n", CFC_KEY_ROOT), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(parse("confcast-key-1 root " HEX "00", CFC_KEY_ROOT), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(parse("confcast-key-1 root A" HEX, CFC_KEY_ROOT), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(parse(HEX, CFC_KEY_ROOT), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(parse("", CFC_KEY_ROOT), CONFCAST_ERR_SYNTAX);
}

static void
every_truncation_but_the_newline_is_refused(void)
{
    static const char line[] = "confcast-key-1 session " HEX "\n";
    uint8_t key[32];

    for (size_t size = 0; size + 2 < sizeof(line); size++) {
        CU_ASSERT_NOT_EQUAL(cfc_key_file_parse(line, size, CFC_KEY_SESSION, key), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_key_file_parse(line, sizeof(line) - 2, CFC_KEY_SESSION, key), CONFCAST_OK);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_kind_round_trips_and_is_no_other),
    CFC_CASE(malformed_lines_are_refused),
    CFC_CASE(every_truncation_but_the_newline_is_refused),
};

CFC_TEST_MAIN("key_file", cases)
