/* What is read quickly, against Jansson. */
#include "controlplane/json/json_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/json/json_load.h"
#include "protocol/base/prng.h"
#include "tests/unit/cunit_main.h"

enum {
    ROUNDS = 40000,
    TEXT_MAX = 256
};

static const char *const documents[] = {
    "{}",
    " [ ] ",
    "{\"limit\":100,\"name\":\"xxxxxxxxxxxxxxxxxx\"}",
    "{\"a\": [1, 2.5, true, false, null, \"x\"], \"b\": {\"c\": [[], {}, [{}]]}}\r\n\t",
    "[0, -0, 1, -1, 0.5, -0.25e+2, 1E3, 9e-1, 123456789012345678, 1e-400]",
    "[\"\\u00e9\\ud83d\\ude00\\n\\t\\\\\\\"\\/\\b\\f\\r\", \"\xc3\xa9\xf0\x9f\x98\x80\", \"\"]",
    "{\"\xe2\x82\xac\":{\"\":\"\\u0041\\u20ac\\u07ff\\u0800\"},\"z\":[[[[[[1]]]]]]}",
};

static json_t *
load(const char *text, size_t size, size_t flags)
{
    bool is_out_of_memory;
    json_t *root = cfc_json_load(text, size, flags, NULL, &is_out_of_memory);

    CU_ASSERT_FALSE(is_out_of_memory);
    return root;
}

/* Whether Jansson takes it; quick must not take what it does not, nor read it otherwise. */
static bool
compare(const char *text, size_t size, size_t flags)
{
    json_t *jansson = json_loadb(text, size, flags, NULL);
    json_t *quick = cfc_json_tree(text, size, (flags & JSON_DECODE_INT_AS_REAL) != 0);
    json_t *ours = load(text, size, flags);
    bool is_json = jansson != NULL;

    CU_ASSERT_TRUE(quick == NULL || (is_json && json_equal(quick, jansson)));
    CU_ASSERT_EQUAL(ours != NULL, is_json);
    CU_ASSERT_TRUE(!is_json || json_equal(ours, jansson));
    json_decref(jansson);
    json_decref(quick);
    json_decref(ours);
    return is_json;
}

static void
usual_documents_are_read_quickly_and_as_jansson_does(void)
{
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        size_t size = strlen(documents[i]);
        json_t *root = cfc_json_tree(documents[i], size, true);

        CU_ASSERT_PTR_NOT_NULL(root);
        json_decref(root);
        CU_ASSERT_TRUE(compare(documents[i], size, JSON_REJECT_DUPLICATES));
        CU_ASSERT_TRUE(
            compare(documents[i], size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL));
    }
}

static void
what_is_unusual_is_left_to_jansson(void)
{
    static const char *const unusual[] = {
        "{\"\\u0061\":1}", "[1234567890123456789]",
        "[0.1000000000000000055511151231257827021181583404541015625000000001]"};
    char deep[2 * 65];
    json_t *root;

    for (size_t i = 0; i < sizeof(unusual) / sizeof(unusual[0]); i++) {
        CU_ASSERT_PTR_NULL(cfc_json_tree(unusual[i], strlen(unusual[i]), true));
        CU_ASSERT_TRUE(compare(unusual[i], strlen(unusual[i]), JSON_REJECT_DUPLICATES));
    }
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    CU_ASSERT_PTR_NULL(cfc_json_tree(deep, 130, true));
    CU_ASSERT_TRUE(compare(deep, 130, JSON_REJECT_DUPLICATES));
    CU_ASSERT_TRUE(compare(deep + 1, 128, JSON_REJECT_DUPLICATES));
    root = cfc_json_tree(deep + 1, 128, true);
    CU_ASSERT_PTR_NOT_NULL(root);
    json_decref(root);
}

static void
what_is_no_json_is_taken_by_neither(void)
{
    static const char *const wrong[] = {"",
                                        " ",
                                        "1",
                                        "\"a\"",
                                        "null",
                                        "{",
                                        "[",
                                        "[1",
                                        "[1,]",
                                        "[,1]",
                                        "[1 2]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\":1,}",
                                        "{a:1}",
                                        "{\"a\":1 ",
                                        "[01]",
                                        "[-]",
                                        "[1.]",
                                        "[.5]",
                                        "[+1]",
                                        "[1e]",
                                        "[1e+]",
                                        "[1e400]",
                                        "[tru]",
                                        "[nulll]",
                                        "[\"a]",
                                        "[\"\\x\"]",
                                        "[\"\\\"]",
                                        "[\"\\u12\"]",
                                        "[\"\\ud800\"]",
                                        "[\"\\udc00\"]",
                                        "[\"\\u0000\"]",
                                        "[\"\n\"]",
                                        "[\"\xff\"]",
                                        "[\"\xc0\x80\"]",
                                        "[\"\xed\xa0\x80\"]",
                                        "{\"a\":1,\"a\":2}",
                                        "[1]]",
                                        "[1}x",
                                        "[1] 2",
                                        "[\"\\ud83d\\u0041\"]",
                                        "[-01]",
                                        "[0x1]",
                                        "[nan]",
                                        "[\f]"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CU_ASSERT_PTR_NULL(cfc_json_tree(wrong[i], strlen(wrong[i]), true));
        CU_ASSERT_FALSE(compare(wrong[i], strlen(wrong[i]), JSON_REJECT_DUPLICATES));
    }
    CU_ASSERT_FALSE(compare("[\"a\0b\"]", 7, JSON_REJECT_DUPLICATES));
    CU_ASSERT_FALSE(compare("[1]\0", 4, JSON_REJECT_DUPLICATES));
}

/* Replaces, removes, inserts or copies some bytes. */
static size_t
mutate(struct cfc_prng *prng, char *text, size_t size)
{
    static const char bytes[] = "{}[]\",:\\u0123456789abcdefDE+-. \ntrulsn\xc3\xa9\xf0\x9f\x98\x80";
    size_t count = 1 + cfc_prng_next(prng) % 3;

    for (size_t i = 0; i < count; i++) {
        size_t at = cfc_prng_next(prng) % (size + 1);
        char byte = bytes[cfc_prng_next(prng) % sizeof(bytes)]; /* NUL is one of them */

        switch (cfc_prng_next(prng) % 3) {
        case 0:
            if (at < size) {
                text[at] = byte;
            }
            break;
        case 1:
            if (at < size) {
                memmove(text + at, text + at + 1, size - at - 1);
                size--;
            }
            break;
        default:
            if (size < TEXT_MAX) {
                memmove(text + at + 1, text + at, size - at);
                text[at] = byte;
                size++;
            }
            break;
        }
    }
    return size;
}

static void
documents_with_any_mistake_are_read_as_jansson_does(void)
{
    struct cfc_prng prng = {.state = 7};
    unsigned json_count = 0;

    for (int round = 0; round < ROUNDS; round++) {
        const char *document =
            documents[cfc_prng_next(&prng) % (sizeof(documents) / sizeof(documents[0]))];
        char text[TEXT_MAX];
        size_t size = strlen(document);

        memcpy(text, document, size);
        size = mutate(&prng, text, size);
        json_count += compare(
            text, size, JSON_REJECT_DUPLICATES | (round % 2 == 0 ? JSON_DECODE_INT_AS_REAL : 0));
    }
    CU_ASSERT_TRUE(json_count > ROUNDS / 50 && json_count < ROUNDS);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(usual_documents_are_read_quickly_and_as_jansson_does),
    CFC_CASE(what_is_unusual_is_left_to_jansson),
    CFC_CASE(what_is_no_json_is_taken_by_neither),
    CFC_CASE(documents_with_any_mistake_are_read_as_jansson_does),
};

CFC_TEST_MAIN("json_tree", cases)
