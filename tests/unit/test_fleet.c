#include "protocol/trust/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

/* The public key of the seed 0x02 * 32, and its id. */
#define RELEASE_PUBLIC "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
#define RELEASE_ID     "6a3803d5f059902a"

static const char plain[] =
    "{\"format\":\"confcast-fleet-1\",\"name\":\"dc1\",\"sequence\":7,\"port\":7500,"
    "\"groups\":{\"base\":\"239.192.0.0\",\"count\":4},"
    "\"engines\":[{\"address\":\"10.0.0.1\",\"port\":7501},{\"address\":\"10.0.0.2\",\"port\":7500}"
    "],"
    "\"pull_urls\":[\"https://conf.example:7400\"],"
    "\"release_keys\":[{\"id\":\"" RELEASE_ID "\",\"public_key\":\"" RELEASE_PUBLIC "\","
    "\"not_after\":2000000000,\"scopes\":[\"acme\",\"beta/x\"]}]}";

static struct cfc_fleet fleet;

static void
root_key(uint8_t fill, struct cfc_signing_key *key)
{
    uint8_t seed[32];

    memset(seed, fill, sizeof(seed));
    CU_ASSERT_EQUAL_FATAL(cfc_signing_key_from_seed(seed, key), CONFCAST_OK);
}

/* The sealed form of `text`; the caller frees it. */
static char *
sealed(const char *text, size_t *size)
{
    struct cfc_signing_key root;
    char *out = NULL;

    root_key(1, &root);
    CU_ASSERT_EQUAL_FATAL(cfc_fleet_seal(text, strlen(text), &root, &out, size), CONFCAST_OK);
    return out;
}

/* What sealing `plain` gives once the first `from` in it reads `to`. */
static int
seal_with(const char *from, const char *to)
{
    struct cfc_signing_key root;
    char text[4096];
    const char *at = strstr(plain, from);
    char *out = NULL;
    size_t size = 0;
    int rc;

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - plain), plain, to, at + strlen(from));
    root_key(1, &root);
    rc = cfc_fleet_seal(text, strlen(text), &root, &out, &size);
    CU_ASSERT_EQUAL(rc == CONFCAST_OK, out != NULL);
    free(out);
    return rc;
}

static void
a_sealed_file_reads_back(void)
{
    struct cfc_signing_key root;
    size_t size = 0;
    char *text = sealed(plain, &size);

    root_key(1, &root);
    CU_ASSERT_EQUAL_FATAL(cfc_fleet_parse(text, size, root.public_key, &fleet), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(fleet.name, "dc1");
    CU_ASSERT_EQUAL(fleet.sequence, 7);
    CU_ASSERT_EQUAL(memcmp(fleet.root_key, root.public_key, 32), 0);
    CU_ASSERT_EQUAL(fleet.group_count, 4);
    CU_ASSERT_EQUAL(fleet.group_base.family, 4);
    CU_ASSERT_EQUAL(fleet.group_base.port, 7500);
    CU_ASSERT_EQUAL(fleet.engine_count, 2);
    CU_ASSERT_EQUAL(fleet.engines[0].port, 7501);
    CU_ASSERT_EQUAL(fleet.engines[1].bytes[3], 2);
    CU_ASSERT_EQUAL(fleet.pull_url_count, 1);
    CU_ASSERT_STRING_EQUAL(fleet.pull_urls[0], "https://conf.example:7400");
    CU_ASSERT_EQUAL(fleet.release_keys.key_count, 1);
    CU_ASSERT_EQUAL(fleet.release_keys.keys[0].not_after_unix_ns, UINT64_C(2000000000) * CFC_S);
    CU_ASSERT_EQUAL(fleet.release_keys.keys[0].prefix_count, 2);
    CU_ASSERT_STRING_EQUAL(fleet.release_keys.keys[0].prefixes[1], "beta/x");
    free(text);
}

static void
the_canonical_form_is_sorted_compact_and_fixed(void)
{
    static const char start[] =
        "{\"engines\":[{\"address\":\"10.0.0.1\",\"port\":7501},{\"address\":\"10.0.0.2\","
        "\"port\":7500}],\"format\":\"confcast-fleet-1\",\"groups\":{\"base\":\"239.192.0.0\","
        "\"count\":4},\"name\":\"dc1\",\"port\":7500,\"pull_urls\":[\"https://conf.example:7400\"],"
        "\"release_keys\":[{\"id\":\"" RELEASE_ID
        "\",\"not_after\":2000000000,\"public_key\":\"" RELEASE_PUBLIC
        "\",\"scopes\":[\"acme\",\"beta/x\"]}],"
        "\"root_key\":\"8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c\","
        "\"sequence\":7,\"signature\":\"";
    size_t size = 0;
    char *text = sealed(plain, &size);
    size_t again_size = 0;
    char *again = sealed(text, &again_size);

    CU_ASSERT_EQUAL(strncmp(text, start, sizeof(start) - 1), 0);
    CU_ASSERT_EQUAL(size, sizeof(start) - 1 + 128 + 2);
    CU_ASSERT_STRING_EQUAL(text, again);
    free(text);
    free(again);
}

static void
every_flipped_bit_is_refused(void)
{
    size_t size = 0;
    char *text = sealed(plain, &size);

    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ (1 << bit));
            CU_ASSERT_NOT_EQUAL(cfc_fleet_parse(text, size, NULL, &fleet), CONFCAST_OK);
            CU_ASSERT_EQUAL(fleet.engine_count, 0);
            text[i] = (char)(text[i] ^ (1 << bit));
        }
    }
    CU_ASSERT_EQUAL(cfc_fleet_parse(text, size, NULL, &fleet), CONFCAST_OK);
    free(text);
}

static void
every_truncation_is_refused(void)
{
    size_t size = 0;
    char *text = sealed(plain, &size);

    for (size_t i = 0; i < size; i++) {
        CU_ASSERT_NOT_EQUAL(cfc_fleet_parse(text, i, NULL, &fleet), CONFCAST_OK);
    }
    free(text);
}

/* Changes one value of a sealed file, which stays well formed, so that only the signature can tell.
 */
static void
every_altered_member_fails_the_signature(void)
{
    static const char *const edits[][2] = {
        {"10.0.0.1", "10.0.0.9"},
        {":7501", ":7502"},
        {"239.192.0.0", "239.192.1.0"},
        {"\"count\":4", "\"count\":5"},
        {"dc1", "dc2"},
        {"\"port\":7500,\"pull", "\"port\":7499,\"pull"},
        {"conf.example", "evil.example"},
        {RELEASE_ID, "6a3803d5f059902b"},
        {RELEASE_PUBLIC, "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b395"},
        {":2000000000", ":2000000001"},
        {"\"acme\"", "\"acmf\""},
        {"\"sequence\":7", "\"sequence\":8"},
        {"6f5c\",\"seq", "6f5d\",\"seq"},
    };
    size_t size = 0;
    char *text = sealed(plain, &size);

    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        char copy[4096];
        char *at;

        memcpy(copy, text, size + 1);
        at = strstr(copy, edits[i][0]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(at);
        CU_ASSERT_EQUAL_FATAL(strlen(edits[i][0]), strlen(edits[i][1]));
        memcpy(at, edits[i][1], strlen(edits[i][1]));
        CU_ASSERT_EQUAL(cfc_fleet_parse(copy, size, NULL, &fleet), CONFCAST_ERR_SIGNATURE);
    }
    free(text);
}

static void
an_added_member_fails_the_signature_and_layout_does_not(void)
{
    char copy[4096];
    size_t size = 0;
    char *text = sealed(plain, &size);

    snprintf(copy, sizeof(copy), "{\"extra\":1,%s", text + 1);
    CU_ASSERT_EQUAL(cfc_fleet_parse(copy, strlen(copy), NULL, &fleet), CONFCAST_ERR_SIGNATURE);
    snprintf(copy, sizeof(copy), "\n { %s \n", text + 1);
    CU_ASSERT_EQUAL(cfc_fleet_parse(copy, strlen(copy), NULL, &fleet), CONFCAST_OK);
    free(text);
}

static void
a_member_of_the_future_is_covered_and_ignored(void)
{
    size_t size = 0;
    char *text;

    CU_ASSERT_EQUAL(seal_with("\"name\"", "\"relays\":[{\"address\":\"10.0.0.7\"}],\"name\""),
                    CONFCAST_OK);
    text = sealed(plain, &size);
    CU_ASSERT_EQUAL(cfc_fleet_parse(text, size, NULL, &fleet), CONFCAST_OK);
    free(text);
}

static void
another_root_than_the_pinned_one_has_no_authority(void)
{
    struct cfc_signing_key other;
    size_t size = 0;
    char *text = sealed(plain, &size);

    root_key(3, &other);
    CU_ASSERT_EQUAL(cfc_fleet_parse(text, size, other.public_key, &fleet), CONFCAST_ERR_AUTHORITY);
    free(text);
}

static void
an_unknown_format_is_a_version_error(void)
{
    CU_ASSERT_EQUAL(seal_with("confcast-fleet-1", "confcast-fleet-2"), CONFCAST_ERR_VERSION);
    CU_ASSERT_EQUAL(seal_with("\"confcast-fleet-1\"", "1"), CONFCAST_ERR_TYPE);
}

static void
values_outside_their_range_are_refused(void)
{
    static const char *const range[][2] = {
        {"dc1", ""},
        {"\"sequence\":7", "\"sequence\":0"},
        {"\"port\":7500,\"gr", "\"port\":0,\"gr"},
        {"\"port\":7500,\"gr", "\"port\":65536,\"gr"},
        {"239.192.0.0", "10.0.0.0"},
        {"239.192.0.0", "239.192.0"},
        {"239.192.0.0", "239.255.255.254"}, /* stays multicast: 240.0.0.2 does not */
        {"\"count\":4", "\"count\":0"},
        {"\"count\":4", "\"count\":17"},
        {"10.0.0.1", "239.1.1.1"},
        {"10.0.0.1", "fe80::1"},
        {RELEASE_ID, "0000000000000000"},
        {RELEASE_ID, "6A3803D5F059902A"},
        {"\"acme\"", "\"Acme\""},
        {"\"acme\"", "\"\""},
        {"[\"acme\",\"beta/x\"]", "[]"},
        {"2000000000", "10000000000"},
    };

    for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
        CU_ASSERT_EQUAL(seal_with(range[i][0], range[i][1]), CONFCAST_ERR_RANGE);
    }
    CU_ASSERT_EQUAL(seal_with("\"count\":4", "\"count\":16"), CONFCAST_OK);
    CU_ASSERT_EQUAL(seal_with("[\"acme\",\"beta/x\"]", "[\"\"]"), CONFCAST_OK);
    CU_ASSERT_EQUAL(seal_with("239.192.0.0", "239.255.255.250"), CONFCAST_OK);
}

static void
what_is_outside_the_subset_has_its_own_error(void)
{
    CU_ASSERT_EQUAL(seal_with("dc1", "dc\\u0031"), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(seal_with("dc1", "dc\xc3\xa9"), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(seal_with(":7,", ":7.0,"), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(seal_with(":7,", ":-7,"), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(seal_with(":7,", ":true,"), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(seal_with(":7,", ":1000000000000000,"), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(seal_with(":7,", ":999999999999999,"), CONFCAST_OK);
    CU_ASSERT_EQUAL(seal_with(":7,", ":7,\"port\":1,"), CONFCAST_ERR_DUPLICATE_KEY);
    CU_ASSERT_EQUAL(seal_with(":7,", ":07,"), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(seal_with(":7,", ":7,\"x\":[[[[[[[1]]]]]]],"), CONFCAST_OK);
    CU_ASSERT_EQUAL(seal_with(":7,", ":7,\"x\":[[[[[[[[1]]]]]]]],"), CONFCAST_ERR_DEPTH);
    CU_ASSERT_EQUAL(seal_with("\"dc1\"", "5"), CONFCAST_ERR_TYPE);
    CU_ASSERT_EQUAL(cfc_fleet_parse("[]", 2, NULL, &fleet), CONFCAST_ERR_TYPE);
    CU_ASSERT_EQUAL(cfc_fleet_parse("", 0, NULL, &fleet), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(cfc_fleet_parse("{}", 2, NULL, &fleet), CONFCAST_ERR_TYPE);
}

static void
size_is_limited_on_both_sides(void)
{
    size_t size = 0;
    char *text = sealed(plain, &size);
    char *padded = malloc(CFC_FLEET_FILE_SIZE_MAX + 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(padded);
    memset(padded, ' ', CFC_FLEET_FILE_SIZE_MAX + 1);
    memcpy(padded, text, size);
    CU_ASSERT_EQUAL(cfc_fleet_parse(padded, CFC_FLEET_FILE_SIZE_MAX, NULL, &fleet), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fleet_parse(padded, CFC_FLEET_FILE_SIZE_MAX + 1, NULL, &fleet),
                    CONFCAST_ERR_LIMIT);
    free(padded);
    free(text);
}

static void
a_scope_finds_its_group_and_beacons_have_their_own(void)
{
    struct cfc_fleet_address a;
    size_t size = 0;
    char *text = sealed(plain, &size);

    CU_ASSERT_EQUAL_FATAL(cfc_fleet_parse(text, size, NULL, &fleet), CONFCAST_OK);
    cfc_fleet_group(&fleet, UINT64_C(0xffffffffffffffff), &a);
    CU_ASSERT_EQUAL(memcmp(a.bytes, (uint8_t[]){239, 192, 0, 3}, 4), 0);
    CU_ASSERT_EQUAL(a.port, 7500);
    cfc_fleet_group(&fleet, 4, &a);
    CU_ASSERT_EQUAL(memcmp(a.bytes, (uint8_t[]){239, 192, 0, 0}, 4), 0);
    cfc_fleet_control_group(&fleet, &a);
    CU_ASSERT_EQUAL(memcmp(a.bytes, (uint8_t[]){239, 192, 0, 4}, 4), 0);
    free(text);
}

static void
addresses_parse_with_and_without_a_port(void)
{
    struct cfc_fleet_address a;
    static const char *const bad[] = {"",       ":1",        "10.0.0.1:",      "10.0.0.1:0",
                                      "10.0.0", "[::1",      "10.0.0.1:65536", "10.0.0.1:+1",
                                      "[]:1",   "[::1]7500", "10.0.0.1:01",    "host:1"};

    CU_ASSERT_EQUAL(cfc_fleet_address_parse("10.0.0.1", 7500, &a), CONFCAST_OK);
    CU_ASSERT_EQUAL(a.port, 7500);
    CU_ASSERT_EQUAL(cfc_fleet_address_parse("10.0.0.1:65535", 7500, &a), CONFCAST_OK);
    CU_ASSERT_EQUAL(a.port, 65535);
    CU_ASSERT_EQUAL(cfc_fleet_address_parse("ff35::1", 7500, &a), CONFCAST_OK);
    CU_ASSERT_EQUAL(a.family, 6);
    CU_ASSERT_EQUAL(cfc_fleet_address_parse("[ff35::1]:9", 7500, &a), CONFCAST_OK);
    CU_ASSERT_EQUAL(a.port, 9);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(cfc_fleet_address_parse(bad[i], 7500, &a), CONFCAST_ERR_INVALID);
    }
}

static void
ipv6_groups_count_in_the_low_32_bits(void)
{
    struct cfc_fleet_address a;

    memset(&fleet, 0, sizeof(fleet));
    fleet.group_count = 3;
    CU_ASSERT_EQUAL(cfc_fleet_address_parse("[ff35::ffff]:9", 1, &fleet.group_base), CONFCAST_OK);
    cfc_fleet_control_group(&fleet, &a);
    CU_ASSERT_EQUAL(a.bytes[13], 1);
    CU_ASSERT_EQUAL(a.bytes[15], 2);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_sealed_file_reads_back),
    CFC_CASE(the_canonical_form_is_sorted_compact_and_fixed),
    CFC_CASE(every_flipped_bit_is_refused),
    CFC_CASE(every_truncation_is_refused),
    CFC_CASE(every_altered_member_fails_the_signature),
    CFC_CASE(an_added_member_fails_the_signature_and_layout_does_not),
    CFC_CASE(a_member_of_the_future_is_covered_and_ignored),
    CFC_CASE(another_root_than_the_pinned_one_has_no_authority),
    CFC_CASE(an_unknown_format_is_a_version_error),
    CFC_CASE(values_outside_their_range_are_refused),
    CFC_CASE(what_is_outside_the_subset_has_its_own_error),
    CFC_CASE(size_is_limited_on_both_sides),
    CFC_CASE(a_scope_finds_its_group_and_beacons_have_their_own),
    CFC_CASE(addresses_parse_with_and_without_a_port),
    CFC_CASE(ipv6_groups_count_in_the_low_32_bits),
};

CFC_TEST_MAIN("fleet", cases)
