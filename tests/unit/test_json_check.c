/* A body is read back as a consumer does before anybody signs it. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/json/json_check.h"
#include "tests/unit/cunit_main.h"

static const char text[] =
    "{\"a/b\":{\"~\":[1,2.5,null,true,false,\"x\"]},\"e\":{},\"l\":[],\"s\":\"t\",\"n\":-7}";

static int
check(const char *tree, const char *made_from)
{
    json_t *root = json_loads(tree, 0, NULL);
    json_t *other = json_loads(made_from, 0, NULL);
    uint8_t *body;
    size_t size;
    int error;

    CU_ASSERT_EQUAL_FATAL(cfc_json_to_body(other, &body, &size), CONFCAST_OK);
    error = cfc_json_check_body(root, body, size);
    free(body);
    json_decref(root);
    json_decref(other);
    return error;
}

static void
a_body_passes_against_its_own_tree(void)
{
    CU_ASSERT_EQUAL(check(text, text), CONFCAST_OK);
    CU_ASSERT_EQUAL(check("{}", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(check("{\"\":{\"\":1}}", "{\"\":{\"\":1}}"), CONFCAST_OK);
}

static void
every_single_difference_is_noticed(void)
{
    static const char *const others[] = {
        "{\"a\":{\"b\":1}}",         "{\"a\":{\"b\":[1,2]}}",    "{\"a\":{\"b\":[1,3]},\"z\":0}",
        "{\"a\":{\"b\":[1,\"2\"]}}", "{\"a\":{\"c\":[1,3]}}",    "{\"a\":{\"b\":[1,3,3]}}",
        "{\"a\":{\"b\":[null,3]}}",  "{\"a\":{\"b\":[true,3]}}", "{\"a\":{\"b\":[1,3],\"c\":0}}",
        "{\"a\":{\"b\":{}}}",        "{\"b\":{\"b\":[1,3]}}"};

    CU_ASSERT_EQUAL(check("{\"a\":{\"b\":[1,3]}}", "{\"a\":{\"b\":[1,3]}}"), CONFCAST_OK);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CU_ASSERT_EQUAL(check("{\"a\":{\"b\":[1,3]}}", others[i]), CONFCAST_ERR_BODY);
    }
    CU_ASSERT_EQUAL(check("{\"s\":\"ab\"}", "{\"s\":\"ac\"}"), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(check("{\"s\":\"ab\"}", "{\"s\":\"abc\"}"), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(check("{\"s\":false}", "{\"s\":true}"), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(check("{\"s\":1.5}", "{\"s\":1.25}"), CONFCAST_ERR_BODY);
}

static void
no_flipped_byte_passes(void)
{
    json_t *root = json_loads(text, 0, NULL);
    uint8_t *body;
    size_t size;

    CU_ASSERT_EQUAL_FATAL(cfc_json_to_body(root, &body, &size), CONFCAST_OK);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            body[i] ^= (uint8_t)bit;
            CU_ASSERT_NOT_EQUAL(cfc_json_check_body(root, body, size), CONFCAST_OK);
            body[i] ^= (uint8_t)bit;
        }
        CU_ASSERT_NOT_EQUAL(cfc_json_check_body(root, body, i), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_json_check_body(root, body, size), CONFCAST_OK);
    free(body);
    json_decref(root);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_body_passes_against_its_own_tree),
    CFC_CASE(every_single_difference_is_noticed),
    CFC_CASE(no_flipped_byte_passes),
};

CFC_TEST_MAIN("json_check", cases)
