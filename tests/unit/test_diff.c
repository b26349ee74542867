#include "protocol/snapshot/diff.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "protocol/base/prng.h"
#include "tests/unit/cunit_main.h"

static struct cfc_diff diff;

static uint8_t *
body_of(const json_t *json)
{
    uint8_t *body = NULL;
    size_t size;

    CU_ASSERT_EQUAL_FATAL(cfc_json_to_body(json, &body, &size), CONFCAST_OK);
    return body;
}

/* "+/a -/b ~/c" for two texts; static. */
static const char *
told(const char *before, const char *after)
{
    static const char signs[] = {
        [CFC_DIFF_ADDED] = '+', [CFC_DIFF_REMOVED] = '-', [CFC_DIFF_CHANGED] = '~'};
    static char out[4096];
    json_t *b = json_loads(before, 0, NULL);
    json_t *a = json_loads(after, 0, NULL);
    uint8_t *before_body = body_of(b);
    uint8_t *after_body = body_of(a);
    struct cfc_diff_item item;
    size_t end = 0;

    out[0] = '\0';
    cfc_diff_begin(&diff, cfc_body_root(before_body), cfc_body_root(after_body));
    while (cfc_diff_next(&diff, &item)) {
        CU_ASSERT_EQUAL(strlen(item.pointer), item.pointer_size);
        CU_ASSERT_EQUAL(item.before == NULL, item.kind == CFC_DIFF_ADDED);
        CU_ASSERT_EQUAL(item.after == NULL, item.kind == CFC_DIFF_REMOVED);
        end += (size_t)snprintf(out + end, sizeof(out) - end, "%s%c%s", end > 0 ? " " : "",
                                signs[item.kind], item.pointer);
    }
    free(before_body);
    free(after_body);
    json_decref(a);
    json_decref(b);
    return out;
}

static void
keys_are_told_where_the_sides_part_in_canonical_order(void)
{
    CU_ASSERT_STRING_EQUAL(told("{}", "{}"), "");
    CU_ASSERT_STRING_EQUAL(told("{\"a\":{\"b\":[1,{\"c\":2}]}}", "{\"a\":{\"b\":[1,{\"c\":2}]}}"),
                           "");
    CU_ASSERT_STRING_EQUAL(told("{\"a\":1,\"b\":{\"c\":2,\"d\":3},\"e\":4}",
                                "{\"a\":1,\"b\":{\"c\":5,\"d\":3},\"f\":4}"),
                           "~/b/c -/e +/f");
    /* An array is one value, and so is an object on one side only. */
    CU_ASSERT_STRING_EQUAL(told("{\"l\":[1,2],\"o\":{},\"p\":1}", "{\"l\":[1,3],\"o\":1,\"p\":{}}"),
                           "~/l ~/o ~/p");
    CU_ASSERT_STRING_EQUAL(told("{\"o\":{\"p\":{\"q\":1}}}", "{\"o\":{\"p\":{}}}"), "-/o/p/q");
    CU_ASSERT_STRING_EQUAL(told("{}", "{\"o\":{\"p\":1}}"), "+/o");
    CU_ASSERT_STRING_EQUAL(told("{\"\":1,\"a/b\":1,\"m~n\":1}", "{\"\":2,\"a/b\":2,\"m~n\":2}"),
                           "~/ ~/a~1b ~/m~0n");
    /* UTF-16 order: U+1F600 (a surrogate pair) comes before U+FB01, though not as bytes. */
    CU_ASSERT_STRING_EQUAL(
        told("{\"\xf0\x9f\x98\x80\":1}", "{\"\xef\xac\x81\":1,\"\xf0\x9f\x98\x80\":2}"),
        "~/\xf0\x9f\x98\x80 +/\xef\xac\x81");
}

static void
nothing_counts_as_an_empty_object(void)
{
    json_t *json = json_loads("{\"a\":1}", 0, NULL);
    uint8_t *body = body_of(json);
    struct cfc_diff_item item;

    cfc_diff_begin(&diff, NULL, cfc_body_root(body));
    CU_ASSERT_FATAL(cfc_diff_next(&diff, &item));
    CU_ASSERT_EQUAL(item.kind, CFC_DIFF_ADDED);
    CU_ASSERT_STRING_EQUAL(item.pointer, "/a");
    CU_ASSERT_FALSE(cfc_diff_next(&diff, &item));
    CU_ASSERT_FALSE(cfc_diff_next(&diff, &item));
    cfc_diff_begin(&diff, cfc_body_root(body), NULL);
    CU_ASSERT_FATAL(cfc_diff_next(&diff, &item));
    CU_ASSERT_EQUAL(item.kind, CFC_DIFF_REMOVED);
    CU_ASSERT_FALSE(cfc_diff_next(&diff, &item));
    cfc_diff_begin(&diff, NULL, NULL);
    CU_ASSERT_FALSE(cfc_diff_next(&diff, &item));
    free(body);
    json_decref(json);
}

/* {"o": {"a": v, "<size times x>": v, "z": v}} */
static json_t *
with_long_key(size_t size, int v)
{
    char *key = malloc(size + 1);
    json_t *inner;

    memset(key, 'x', size);
    key[size] = '\0';
    inner = json_pack("{si si si}", "a", v, key, v, "z", v);
    free(key);
    return json_pack("{so}", "o", inner);
}

static void
a_pointer_that_would_be_too_long_is_told_of_as_its_object(void)
{
    for (size_t over = 0; over <= 1; over++) {
        /* "/o/" and the key. */
        json_t *before = with_long_key(CFC_DIFF_POINTER_SIZE_MAX - 4 + over, 1);
        json_t *after = with_long_key(CFC_DIFF_POINTER_SIZE_MAX - 4 + over, 2);
        uint8_t *before_body = body_of(before);
        uint8_t *after_body = body_of(after);
        struct cfc_diff_item item;

        cfc_diff_begin(&diff, cfc_body_root(before_body), cfc_body_root(after_body));
        CU_ASSERT_FATAL(cfc_diff_next(&diff, &item));
        CU_ASSERT_STRING_EQUAL(item.pointer, "/o/a");
        CU_ASSERT_FATAL(cfc_diff_next(&diff, &item));
        CU_ASSERT_EQUAL(item.kind, CFC_DIFF_CHANGED);
        if (over == 0) {
            CU_ASSERT_EQUAL(item.pointer_size, CFC_DIFF_POINTER_SIZE_MAX - 1);
            CU_ASSERT_FATAL(cfc_diff_next(&diff, &item));
            CU_ASSERT_STRING_EQUAL(item.pointer, "/o/z");
        } else {
            CU_ASSERT_STRING_EQUAL(item.pointer, "/o");
            CU_ASSERT_EQUAL(cfc_value_type(item.before), CFC_TYPE_OBJECT);
            CU_ASSERT_EQUAL(cfc_value_type(item.after), CFC_TYPE_OBJECT);
        }
        CU_ASSERT_FALSE(cfc_diff_next(&diff, &item));
        free(before_body);
        free(after_body);
        json_decref(before);
        json_decref(after);
    }
}

static void
the_deepest_document_is_walked(void)
{
    json_t *before = json_integer(1);
    json_t *after = json_integer(2);
    uint8_t *before_body;
    uint8_t *after_body;
    struct cfc_diff_item item;

    for (int i = 0; i < CFC_DEPTH_MAX; i++) {
        before = json_pack("{so}", "k", before);
        after = json_pack("{so}", "k", after);
    }
    before_body = body_of(before);
    after_body = body_of(after);
    cfc_diff_begin(&diff, cfc_body_root(before_body), cfc_body_root(after_body));
    CU_ASSERT_FATAL(cfc_diff_next(&diff, &item));
    CU_ASSERT_EQUAL(item.pointer_size, 2 * CFC_DEPTH_MAX);
    CU_ASSERT_FALSE(cfc_diff_next(&diff, &item));
    free(before_body);
    free(after_body);
    json_decref(before);
    json_decref(after);
}

/* ---- Random pairs: the diff, done to one side, makes the other --------------------------------
 */

static json_t *
random_value(struct cfc_prng *prng, int depth)
{
    uint64_t what = cfc_prng_next(prng) % 8;

    if (what < 4 && depth > 0) {
        json_t *object = json_object();

        for (uint64_t count = cfc_prng_next(prng) % 6; count > 0; count--) {
            char key[3] = {(char)('a' + cfc_prng_next(prng) % 4), "/~b"[cfc_prng_next(prng) % 3],
                           '\0'};

            json_object_set_new(object, key, random_value(prng, depth - 1));
        }
        return object;
    }
    if (what == 4) {
        json_t *array = json_array();

        json_array_append_new(array, json_integer((json_int_t)(cfc_prng_next(prng) % 2)));
        return array;
    }
    return what == 5 ? json_null() : json_integer((json_int_t)(cfc_prng_next(prng) % 3));
}

static json_t *
random_object(struct cfc_prng *prng)
{
    for (;;) {
        json_t *value = random_value(prng, 4);

        if (json_is_object(value)) {
            return value;
        }
        json_decref(value);
    }
}

/* The object that holds the pointer's last key, which is written to `key`. */
static json_t *
holder_of(json_t *root, const char *pointer, char *key)
{
    json_t *at = root;

    for (;;) {
        size_t size = 0;

        pointer++;
        while (*pointer != '\0' && *pointer != '/') {
            if (*pointer == '~') {
                pointer++;
                key[size++] = *pointer == '0' ? '~' : '/';
            } else {
                key[size++] = *pointer;
            }
            pointer++;
        }
        key[size] = '\0';
        if (*pointer == '\0') {
            return at;
        }
        at = json_object_get(at, key);
    }
}

static void
the_diff_done_to_one_side_makes_the_other(void)
{
    struct cfc_prng prng = {.state = 20260101};
    unsigned told_count = 0;

    for (int round = 0; round < 3000; round++) {
        json_t *before = random_object(&prng);
        json_t *after = random_object(&prng);
        json_t *patched = json_deep_copy(before);
        uint8_t *before_body = body_of(before);
        uint8_t *after_body = body_of(after);
        struct cfc_diff_item item;

        cfc_diff_begin(&diff, cfc_body_root(before_body), cfc_body_root(after_body));
        while (cfc_diff_next(&diff, &item)) {
            char key[16];
            json_t *holder = holder_of(patched, item.pointer, key);
            json_t *was = json_object_get(holder, key);
            json_t *is = json_object_get(holder_of(after, item.pointer, key), key);

            told_count++;
            CU_ASSERT_EQUAL(was == NULL, item.kind == CFC_DIFF_ADDED);
            CU_ASSERT_FALSE(json_equal(was, is)); /* nothing too much */
            CU_ASSERT_FALSE(json_is_object(was) && json_is_object(is));
            if (is == NULL) {
                CU_ASSERT_EQUAL(item.kind, CFC_DIFF_REMOVED);
                json_object_del(holder, key);
            } else {
                json_object_set(holder, key, is);
            }
        }
        CU_ASSERT(json_equal(patched, after)); /* and nothing too little */
        free(before_body);
        free(after_body);
        json_decref(patched);
        json_decref(after);
        json_decref(before);
    }
    CU_ASSERT(told_count > 3000);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(keys_are_told_where_the_sides_part_in_canonical_order),
    CFC_CASE(nothing_counts_as_an_empty_object),
    CFC_CASE(a_pointer_that_would_be_too_long_is_told_of_as_its_object),
    CFC_CASE(the_deepest_document_is_walked),
    CFC_CASE(the_diff_done_to_one_side_makes_the_other),
};

CFC_TEST_MAIN("diff", cases)
