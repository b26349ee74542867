#include "controlplane/api/reply.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

static void
an_error_has_the_one_shape(void)
{
    struct cfc_reply reply = {0};

    cfc_reply_failure(&reply, CONFCAST_ERR_CONFLICT, "the current revision is 3",
                      json_pack("{sI}", "revision", (json_int_t)3));
    CU_ASSERT_EQUAL(reply.status, 409);
    CU_ASSERT_STRING_EQUAL(reply.body,
                           "{\"error\":{\"code\":\"conflict\",\"current\":{\"revision\":3},"
                           "\"message\":\"the current revision is 3\"}}");
    CU_ASSERT_EQUAL(reply.body_size, strlen(reply.body));
    cfc_reply_failure(&reply, CONFCAST_ERR_NOT_FOUND, "", NULL);
    CU_ASSERT_STRING_EQUAL(
        reply.body, "{\"error\":{\"code\":\"not_found\",\"message\":\"there is no such object\"}}");
    cfc_reply_clear(&reply);
    CU_ASSERT_PTR_NULL(reply.body);
}

static void
every_documented_error_has_its_status(void)
{
    static const struct {
        int rc;
        unsigned status;
    } rows[] = {
        {CONFCAST_OK, 200},
        {CONFCAST_ERR_INVALID, 400},
        {CONFCAST_ERR_SYNTAX, 400},
        {CONFCAST_ERR_ENCODING, 400},
        {CONFCAST_ERR_DUPLICATE_KEY, 400},
        {CONFCAST_ERR_DEPTH, 400},
        {CONFCAST_ERR_SCOPE_NAME, 400},
        {CONFCAST_ERR_NOT_FOUND, 404},
        {CONFCAST_ERR_CONFLICT, 409},
        {CONFCAST_ERR_STATE, 409},
        {CONFCAST_ERR_COLLISION, 409},
        {CONFCAST_ERR_NUMBER, 422},
        {CONFCAST_ERR_REPLAY, 422},
        {CONFCAST_ERR_LIMIT, 422},
        {CONFCAST_ERR_NOT_OWNER, 421},
        {CONFCAST_ERR_NO_SPACE, 507},
        {CONFCAST_ERR_IO, 503},
        {CONFCAST_ERR_CORRUPT, 503},
        {CONFCAST_ERR_NO_MEMORY, 503},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_EQUAL(cfc_reply_status(rows[i].rc), rows[i].status);
    }
}

static void
document_with(const char *const *keys, size_t count, const char *expected)
{
    static const char text[] = "{\"x\":0.1}";
    struct cfc_reply reply = {0};
    json_t *meta = json_object();

    for (size_t i = 0; i < count; i++) {
        json_object_set_new(meta, keys[i], json_integer((json_int_t)i));
    }
    cfc_reply_document(&reply, meta, text, sizeof(text) - 1);
    CU_ASSERT_EQUAL(reply.status, 200);
    CU_ASSERT_STRING_EQUAL(reply.body, expected);
    CU_ASSERT_EQUAL(reply.body_size, strlen(expected));
    cfc_reply_clear(&reply);
}

static void
a_document_keeps_its_text_and_its_place_in_the_order(void)
{
    static const char *const both[] = {"scope", "author"};

    document_with(both, 0, "{\"document\":{\"x\":0.1}}");
    document_with(both, 1, "{\"document\":{\"x\":0.1},\"scope\":0}");
    document_with(both + 1, 1, "{\"author\":0,\"document\":{\"x\":0.1}}");
    document_with(both, 2, "{\"author\":1,\"document\":{\"x\":0.1},\"scope\":0}");
}

static void
without_memory_there_is_no_body(void)
{
    struct cfc_reply reply = {0};

    cfc_reply_json(&reply, 200, NULL);
    CU_ASSERT_PTR_NULL(reply.body);
    CU_ASSERT_EQUAL(reply.body_size, 0);
    cfc_reply_document(&reply, NULL, "{}", 2);
    CU_ASSERT_PTR_NULL(reply.body);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(an_error_has_the_one_shape),
    CFC_CASE(every_documented_error_has_its_status),
    CFC_CASE(a_document_keeps_its_text_and_its_place_in_the_order),
    CFC_CASE(without_memory_there_is_no_body),
};

CFC_TEST_MAIN("reply", cases)
