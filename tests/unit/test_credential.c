#include "protocol/trust/credential.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

#define KEY_A "0101010101010101010101010101010101010101010101010101010101010101"
#define KEY_B "0202020202020202020202020202020202020202020202020202020202020202"
#define KEY_C "0303030303030303030303030303030303030303030303030303030303030303"

static const char golden[] =
    "{\"fleet\":\"dc1\",\"format\":\"confcast-credential-1\",\"id\":\"web-1@rack7\","
    "\"labels\":{\"rack\":\"7\",\"zone\":\"eu-1\"},\"report_key\":\"" KEY_C "\","
    "\"root_key\":\"" KEY_A "\",\"session_key\":\"" KEY_B "\"}";

static void
put(char *out, size_t capacity, const char *text)
{
    CU_ASSERT_FATAL(strlen(text) < capacity);
    memcpy(out, text, strlen(text) + 1);
}

static void
sample(struct cfc_credential *c)
{
    memset(c, 0, sizeof(*c));
    put(c->id, sizeof(c->id), "web-1@rack7");
    put(c->fleet, sizeof(c->fleet), "dc1");
    memset(c->root_key, 1, sizeof(c->root_key));
    memset(c->session_key.bytes, 2, sizeof(c->session_key.bytes));
    memset(c->report_key.bytes, 3, sizeof(c->report_key.bytes));
    c->label_count = 2;
    put(c->labels[0].key, sizeof(c->labels[0].key), "zone");
    put(c->labels[0].value, sizeof(c->labels[0].value), "eu-1");
    put(c->labels[1].key, sizeof(c->labels[1].key), "rack");
    put(c->labels[1].value, sizeof(c->labels[1].value), "7");
}

static int
parse_with(const char *from, const char *to)
{
    struct cfc_credential c;
    char text[4096];
    const char *at = strstr(golden, from);

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - golden), golden, to, at + strlen(from));
    return cfc_credential_parse(text, strlen(text), &c);
}

static void
the_written_form_is_the_golden_one(void)
{
    struct cfc_credential c;
    char *text = NULL;
    size_t size = 0;

    sample(&c);
    CU_ASSERT_EQUAL_FATAL(cfc_credential_write(&c, &text, &size), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(text, golden);
    CU_ASSERT_EQUAL(size, sizeof(golden) - 1);
    free(text);
}

static void
a_credential_reads_back_with_sorted_labels(void)
{
    struct cfc_credential c;

    CU_ASSERT_EQUAL_FATAL(cfc_credential_parse(golden, sizeof(golden) - 1, &c), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(c.id, "web-1@rack7");
    CU_ASSERT_STRING_EQUAL(c.fleet, "dc1");
    CU_ASSERT_EQUAL(c.root_key[31], 1);
    CU_ASSERT_EQUAL(c.session_key.bytes[31], 2);
    CU_ASSERT_EQUAL(c.report_key.bytes[31], 3);
    CU_ASSERT_EQUAL(c.label_count, 2);
    CU_ASSERT_STRING_EQUAL(c.labels[0].key, "rack");
    CU_ASSERT_STRING_EQUAL(c.labels[1].value, "eu-1");
}

static void
every_truncation_is_refused_and_leaves_nothing(void)
{
    static const struct cfc_credential zero;
    struct cfc_credential c;

    for (size_t i = 0; i + 1 < sizeof(golden); i++) {
        CU_ASSERT_NOT_EQUAL(cfc_credential_parse(golden, i, &c), CONFCAST_OK);
        CU_ASSERT_EQUAL(memcmp(&c, &zero, sizeof(c)), 0);
    }
}

static void
malformed_members_are_refused(void)
{
    CU_ASSERT_EQUAL(parse_with("credential-1", "credential-2"), CONFCAST_ERR_VERSION);
    CU_ASSERT_EQUAL(parse_with("web-1", "web 1"), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(parse_with("web-1@rack7", ""), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(parse_with(KEY_B, "02"), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(parse_with("\"" KEY_C "\"", "3"), CONFCAST_ERR_TYPE);
    CU_ASSERT_EQUAL(parse_with("\"rack\":\"7\"", "\"rack\":7"), CONFCAST_ERR_TYPE);
    CU_ASSERT_EQUAL(parse_with("\"rack\"", "\"ra ck\""), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(parse_with("\"rack\":\"7\"", "\"zone\":\"7\""), CONFCAST_ERR_DUPLICATE_KEY);
    CU_ASSERT_EQUAL(parse_with("root_key", "roof_key"), CONFCAST_ERR_TYPE);
}

static void
sixteen_labels_fit_and_seventeen_do_not(void)
{
    struct cfc_credential c;
    char text[4096];
    char labels[1024] = "";

    for (int count = 0; count <= 16; count++) {
        char label[32];

        snprintf(label, sizeof(label), "\"k%d\":\"v\",", count);
        put(labels + strlen(labels), sizeof(labels) - strlen(labels), label);
        snprintf(text, sizeof(text),
                 "{\"fleet\":\"dc1\",\"format\":\"confcast-credential-1\",\"id\":\"a\",\"labels\":"
                 "{%.*s},\"report_key\":\"" KEY_C "\",\"root_key\":\"" KEY_A
                 "\",\"session_key\":\"" KEY_B "\"}",
                 (int)strlen(labels) - 1, labels);
        CU_ASSERT_EQUAL(cfc_credential_parse(text, strlen(text), &c),
                        count < 16 ? CONFCAST_OK : CONFCAST_ERR_RANGE);
    }
}

static void
what_could_not_be_read_is_not_written(void)
{
    struct cfc_credential c;
    char *text = NULL;
    size_t size = 0;

    sample(&c);
    put(c.id, sizeof(c.id), "has space");
    CU_ASSERT_EQUAL(cfc_credential_write(&c, &text, &size), CONFCAST_ERR_INVALID);
    CU_ASSERT_PTR_NULL(text);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(the_written_form_is_the_golden_one),
    CFC_CASE(a_credential_reads_back_with_sorted_labels),
    CFC_CASE(every_truncation_is_refused_and_leaves_nothing),
    CFC_CASE(malformed_members_are_refused),
    CFC_CASE(sixteen_labels_fit_and_seventeen_do_not),
    CFC_CASE(what_could_not_be_read_is_not_written),
};

CFC_TEST_MAIN("credential", cases)
