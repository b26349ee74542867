/* What cfc_body_validate() and cfc_index_build() refuse.  Both run the same pass, and so do
 * the steps of a body that comes bit by bit; each case asks all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/snapshot/index.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/heap.h"

enum {
    STEPPED_SIZE_MAX = 4096
};

static struct cfc_test_heap heap;
static const struct cfc_alloc alloc_table = {cfc_test_heap_alloc, cfc_test_heap_free, &heap};
static struct cfc_test_heap steps_heap;
static const struct cfc_alloc steps_table = {cfc_test_heap_alloc, cfc_test_heap_free, &steps_heap};

/* The bytes come one by one, and what has not come is something else.  The same error or index. */
static void
check_steps(const uint8_t *bytes, size_t size, int expected, const struct cfc_index *whole)
{
    struct cfc_index index;
    uint8_t *body = malloc(size > 0 ? size : 1);
    struct cfc_index_pass *pass;
    int error = CONFCAST_ERR_AGAIN;

    CU_ASSERT_PTR_NOT_NULL_FATAL(body);
    memset(body, 0xff, size);
    pass = cfc_index_begin(body, size, 1, &steps_table);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pass);
    for (size_t i = 0; i < size && error == CONFCAST_ERR_AGAIN; i++) {
        body[i] = bytes[i];
        error = cfc_index_step(pass, i + 1);
    }
    if (size > 0) {
        CU_ASSERT_EQUAL(error, expected);
        CU_ASSERT_EQUAL(cfc_index_step(pass, size), expected);
    }
    CU_ASSERT_EQUAL(cfc_index_end(pass, &index), expected);
    CU_ASSERT_EQUAL(index.slots != NULL, expected == CONFCAST_OK);
    if (expected == CONFCAST_OK) {
        CU_ASSERT_EQUAL_FATAL(index.line_count, whole->line_count);
        CU_ASSERT_EQUAL(memcmp(index.slots, whole->slots,
                               index.line_count * (4 * sizeof(struct cfc_index_slot))),
                        0);
    }
    cfc_index_free(&index, &steps_table);
    pass = cfc_index_begin(body, size, 1, &steps_table);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pass);
    (void)cfc_index_step(pass, size / 2);
    cfc_index_abandon(pass);
    CU_ASSERT_EQUAL(steps_heap.live_count, 0);
    free(body);
}

/* The bytes lie at the very end of an allocation, where a sanitizer sees every read beyond. */
static int
check(const void *bytes, size_t size)
{
    struct cfc_index index;
    uint8_t *copy = malloc(size > 0 ? size : 1);
    int error;
    int index_error;

    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, bytes, size);
    error = cfc_body_validate(copy, size);
    index_error = cfc_index_build(&index, copy, size, 1, &alloc_table);
    CU_ASSERT_EQUAL(index_error, error);
    CU_ASSERT_EQUAL(heap.live_count, error == CONFCAST_OK ? 1 : 0);
    CU_ASSERT_EQUAL(index.slots != NULL, error == CONFCAST_OK);
    if (size < STEPPED_SIZE_MAX) {
        check_steps(bytes, size, error, &index);
    }
    cfc_index_free(&index, &alloc_table);
    CU_ASSERT_EQUAL(heap.live_count, 0);
    free(copy);
    return error;
}

#define CHECK(...) check((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define MAGIC      'C', 'F', 'B', 1

/* {"a": value} with the bytes of one value. */
#define VALUE(...)                                                                                 \
    value_error((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static int
value_error(const uint8_t *value, size_t size)
{
    uint8_t body[128] = {MAGIC, 2, 8, 1, (uint8_t)(3 + size), 1, 'a', 0};

    memcpy(body + 11, value, size);
    return check(body, 11 + size);
}

static void
the_smallest_body_is_an_empty_object(void)
{
    CU_ASSERT_EQUAL(CHECK(MAGIC, 1, 8, 0, 0), CONFCAST_OK);
}

static void
a_foreign_or_later_prefix_is_refused(void)
{
    CU_ASSERT_EQUAL(check("", 0), CONFCAST_ERR_VERSION);
    CU_ASSERT_EQUAL(CHECK('C', 'F', 'B'), CONFCAST_ERR_VERSION);
    CU_ASSERT_EQUAL(CHECK('C', 'F', 'B', 2, 1, 8, 0, 0), CONFCAST_ERR_VERSION);
    CU_ASSERT_EQUAL(CHECK('C', 'F', 'A', 1, 1, 8, 0, 0), CONFCAST_ERR_VERSION);
    CU_ASSERT_EQUAL(check("{\"a\":1}", 7), CONFCAST_ERR_VERSION);
}

static void
the_root_must_be_an_object_and_stand_alone(void)
{
    CU_ASSERT_EQUAL(CHECK(MAGIC, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 1, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 1, 7, 0, 0), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 1, 8, 0, 0, 0), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 0, 0, 8, 0, 0), CONFCAST_ERR_BODY);
}

static void
the_node_count_must_be_true(void)
{
    CU_ASSERT_EQUAL(CHECK(MAGIC, 0, 8, 0, 0), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 0, 0), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 4, 8, 0, 0), CONFCAST_ERR_BODY); /* more than there are bytes */
    CU_ASSERT_EQUAL(CHECK(MAGIC, 1, 8, 1, 4, 1, 'a', 0, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 1, 4, 1, 'a', 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 4, 1, 'a', 0, 1), CONFCAST_ERR_BODY);
    /* An array whose count wraps past the true one in 32 bits. */
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 11, 1, 'a', 0, 7, 0x81, 0x80, 0x80, 0x80, 0x10, 1, 1),
                    CONFCAST_ERR_BODY);
    /* Each count fits by itself, and the values together would overfill the index. */
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 2, 24, 1, 'a', 0, 7, 1, 1, 1, 1, 'b', 0, 7, 11, 11, 1, 1, 1,
                          1, 1, 1, 1, 1, 1, 1, 1),
                    CONFCAST_ERR_BODY);
}

static void
limits_hold_before_anything_is_allocated(void)
{
    /* 16 Mi values are within the limit but not in these bytes; 16 Mi + 1 are over it. */
    CU_ASSERT_EQUAL(CHECK(MAGIC, 0x80, 0x80, 0x80, 0x08, 8, 0, 0), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 0x81, 0x80, 0x80, 0x08, 8, 0, 0), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 8, 0, 0),
                    CONFCAST_ERR_LIMIT);
    heap.call_count = 0;
    CU_ASSERT_EQUAL(CHECK(MAGIC, 0x80, 0x80, 0x80, 0x08, 8, 0, 0), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(heap.call_count, 0);
}

static void
a_size_above_the_limit_is_refused_unread(void)
{
    struct cfc_index index;

    CU_ASSERT_EQUAL(cfc_body_validate("CFB", (size_t)CFC_BODY_SIZE_MAX + 1), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_index_build(&index, "CFB", SIZE_MAX, 1, &alloc_table), CONFCAST_ERR_LIMIT);
}

static void
varints_have_one_form(void)
{
    CU_ASSERT_EQUAL(CHECK(MAGIC, 0x81, 0, 8, 0, 0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 1, 8, 0x80, 0, 0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 1, 8, 0, 0x80, 0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 1, 5, 0x81, 0, 'a', 0, 1), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(VALUE(4, 0x80, 0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(VALUE(4, 0x82, 0x80, 0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(VALUE(6, 0x81, 0, 'x', 0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(VALUE(4, 0x80), CONFCAST_ERR_BODY); /* no last byte */
    CU_ASSERT_EQUAL(VALUE(4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1),
                    CONFCAST_ERR_BODY); /* nine bytes */
}

static void
integers_stop_at_2_to_the_53rd_minus_1(void)
{
    /* zigzag of 2^53 - 1 is 2^54 - 2, of -(2^53 - 1) 2^54 - 3, of -2^53 2^54 - 1, of 2^53 2^54. */
    CU_ASSERT_EQUAL(VALUE(4, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f), CONFCAST_OK);
    CU_ASSERT_EQUAL(VALUE(4, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f), CONFCAST_OK);
    CU_ASSERT_EQUAL(VALUE(4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f),
                    CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(VALUE(4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20),
                    CONFCAST_ERR_CANONICAL);
}

static int
double_error(double d)
{
    uint8_t value[9] = {5};

    memcpy(value + 1, &d, sizeof(d));
    return value_error(value, sizeof(value));
}

static void
a_double_that_has_another_form_is_refused(void)
{
    CU_ASSERT_EQUAL(double_error(1.5), CONFCAST_OK);
    CU_ASSERT_EQUAL(double_error(9007199254740992.0), CONFCAST_OK);
    CU_ASSERT_EQUAL(double_error(-9007199254740992.0), CONFCAST_OK);
    CU_ASSERT_EQUAL(double_error(5e-324), CONFCAST_OK);
    CU_ASSERT_EQUAL(double_error(9007199254740991.0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(double_error(-9007199254740991.0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(double_error(0.0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(double_error(-0.0), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(double_error((double)NAN), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(double_error((double)INFINITY), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(double_error(-(double)INFINITY), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(VALUE(5, 0, 0, 0, 0, 0, 0, 0xf8), CONFCAST_ERR_BODY); /* seven bytes */
}

static void
tags_outside_the_list_are_refused(void)
{
    CU_ASSERT_EQUAL(VALUE(1), CONFCAST_OK);
    CU_ASSERT_EQUAL(VALUE(2), CONFCAST_OK);
    CU_ASSERT_EQUAL(VALUE(3), CONFCAST_OK);
    CU_ASSERT_EQUAL(VALUE(0), CONFCAST_ERR_BODY);
    for (int tag = 9; tag < 256; tag++) {
        CU_ASSERT_EQUAL(VALUE((uint8_t)tag, 0, 0), CONFCAST_ERR_BODY);
    }
}

static void
text_must_be_utf8_with_its_nul_and_no_other(void)
{
    CU_ASSERT_EQUAL(VALUE(6, 2, 0xc3, 0xa9, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(VALUE(6, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(VALUE(6, 1, 'x', 'y'), CONFCAST_ERR_BODY); /* no NUL */
    CU_ASSERT_EQUAL(VALUE(6, 1, 'x'), CONFCAST_ERR_BODY);      /* NUL beyond the end */
    CU_ASSERT_EQUAL(VALUE(6, 9, 'x', 0), CONFCAST_ERR_BODY);   /* text beyond the end */
    CU_ASSERT_EQUAL(VALUE(6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(VALUE(6, 2, 'x', 0, 0), CONFCAST_ERR_ENCODING); /* NUL inside */
    CU_ASSERT_EQUAL(VALUE(6, 1, 0xff, 0), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 1, 4, 1, 0xff, 0, 1), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 1, 4, 1, 'a', 'b', 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 1, 5, 2, 'a', 0, 0, 1), CONFCAST_ERR_ENCODING);
}

static void
keys_ascend_and_differ(void)
{
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 2, 8, 1, 'a', 0, 1, 1, 'b', 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 2, 8, 1, 'a', 0, 1, 1, 'a', 0, 1),
                    CONFCAST_ERR_DUPLICATE_KEY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 2, 8, 1, 'b', 0, 1, 1, 'a', 0, 1), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 2, 7, 1, 'a', 0, 1, 0, 0, 1), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 2, 7, 0, 0, 1, 1, 'a', 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 2, 6, 0, 0, 1, 0, 0, 1), CONFCAST_ERR_DUPLICATE_KEY);
    /* The same key in two objects is no duplicate. */
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 10, 1, 'a', 0, 8, 1, 4, 1, 'a', 0, 1), CONFCAST_OK);
}

static void
container_sizes_and_counts_are_exact(void)
{
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 7, 1, 'a', 0, 7, 1, 1, 1), CONFCAST_OK);
    /* The array's size ends before, and after, its element; beyond its parent; beyond the body. */
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 7, 1, 'a', 0, 7, 1, 0, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 8, 1, 'a', 0, 7, 1, 2, 1, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 7, 1, 'a', 0, 7, 1, 2, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 4, 8, 2, 11, 1, 'a', 0, 7, 1, 2, 1, 1, 'b', 0, 1),
                    CONFCAST_ERR_BODY);
    /* One child fewer, and one more, than there are. */
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 7, 1, 'a', 0, 7, 0, 1, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 7, 1, 'a', 0, 7, 2, 1, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 2, 4, 1, 'a', 0, 1), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(CHECK(MAGIC, 2, 8, 0, 4, 1, 'a', 0, 1), CONFCAST_ERR_BODY);
    /* A child's size that is cut off with its parent. */
    CU_ASSERT_EQUAL(CHECK(MAGIC, 3, 8, 1, 5, 1, 'a', 0, 7, 1, 1, 1), CONFCAST_ERR_BODY);
}

/* {"": [[[...]]]} with `depth` containers in all. */
static size_t
nested(uint8_t *body, size_t depth)
{
    static const uint8_t magic[] = {MAGIC};
    uint8_t inner[512];
    size_t size = 0;

    for (size_t i = 1; i < depth; i++) {
        uint8_t header[4] = {7, size > 0};
        size_t header_size = 2;

        if (size >= 128) {
            header[header_size++] = (uint8_t)(size | 0x80);
            header[header_size++] = (uint8_t)(size >> 7);
        } else {
            header[header_size++] = (uint8_t)size;
        }
        memmove(inner + header_size, inner, size);
        memcpy(inner, header, header_size);
        size += header_size;
    }
    memcpy(body, magic, 4);
    body[4] = (uint8_t)depth;
    body[5] = 8;
    body[6] = 1;
    body[7] = (uint8_t)((size + 2) | 0x80);
    body[8] = (uint8_t)((size + 2) >> 7);
    body[9] = 0;
    body[10] = 0;
    memcpy(body + 11, inner, size);
    return 11 + size;
}

static void
nesting_stops_at_64_levels(void)
{
    uint8_t body[600];
    size_t size = nested(body, CFC_DEPTH_MAX);

    CU_ASSERT_EQUAL(check(body, size), CONFCAST_OK);
    size = nested(body, CFC_DEPTH_MAX + 1);
    CU_ASSERT_EQUAL(check(body, size), CONFCAST_ERR_DEPTH);
}

static size_t
write_sample(uint8_t **bytes)
{
    struct cfc_body_writer w;
    size_t size;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "limits", 6);
    cfc_body_begin_array(&w);
    for (int i = 0; i < 40; i++) {
        cfc_body_begin_object(&w);
        cfc_body_key(&w, "name", 4);
        cfc_body_string(&w, "caf\xc3\xa9 \xf0\x9f\x98\x80", 10);
        cfc_body_key(&w, "rate", 4);
        cfc_body_f64(&w, 0.1 * i + 0.05);
        cfc_body_key(&w, "size", 4);
        cfc_body_i64(&w, -1000 * i);
        cfc_body_end(&w);
    }
    cfc_body_end(&w);
    cfc_body_key(&w, "on", 2);
    cfc_body_bool(&w, true);
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, bytes, &size), CONFCAST_OK);
    return size;
}

static void
every_truncation_is_refused(void)
{
    uint8_t *sample;
    size_t size = write_sample(&sample);

    heap = (struct cfc_test_heap){0};
    CU_ASSERT_EQUAL(check(sample, size), CONFCAST_OK);
    for (size_t i = 0; i < size; i++) {
        CU_ASSERT_NOT_EQUAL(check(sample, i), CONFCAST_OK);
    }
    free(sample);
}

/* A value is visited once, and lengths add up: so that what passes after a change of a byte is
 * another body, which the reader can walk to its end. */
static void
what_passes_after_damage_can_be_walked(void)
{
    uint8_t *sample;
    size_t size = write_sample(&sample);
    struct cfc_prng prng = {11};
    uint32_t accepted_count = 0;

    heap = (struct cfc_test_heap){0};
    for (int i = 0; i < 40000; i++) {
        size_t at = cfc_prng_below(&prng, size);
        uint8_t was = sample[at];
        struct cfc_body_writer w;
        uint8_t *bytes;
        size_t copy_size;

        sample[at] = (uint8_t)(was ^ (1 + cfc_prng_below(&prng, 255)));
        if (check(sample, size) == CONFCAST_OK) {
            accepted_count++;
            cfc_body_writer_init(&w, &alloc_table);
            cfc_body_value(&w, cfc_body_root(sample));
            CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &copy_size), CONFCAST_OK);
            CU_ASSERT_EQUAL(copy_size, size);
            CU_ASSERT_EQUAL(memcmp(bytes, sample, size), 0);
            cfc_free(&alloc_table, bytes);
        }
        sample[at] = was;
    }
    CU_ASSERT_TRUE(accepted_count > 1000);
    free(sample);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(the_smallest_body_is_an_empty_object),
    CFC_CASE(a_foreign_or_later_prefix_is_refused),
    CFC_CASE(the_root_must_be_an_object_and_stand_alone),
    CFC_CASE(the_node_count_must_be_true),
    CFC_CASE(limits_hold_before_anything_is_allocated),
    CFC_CASE(a_size_above_the_limit_is_refused_unread),
    CFC_CASE(varints_have_one_form),
    CFC_CASE(integers_stop_at_2_to_the_53rd_minus_1),
    CFC_CASE(a_double_that_has_another_form_is_refused),
    CFC_CASE(tags_outside_the_list_are_refused),
    CFC_CASE(text_must_be_utf8_with_its_nul_and_no_other),
    CFC_CASE(keys_ascend_and_differ),
    CFC_CASE(container_sizes_and_counts_are_exact),
    CFC_CASE(nesting_stops_at_64_levels),
    CFC_CASE(every_truncation_is_refused),
    CFC_CASE(what_passes_after_damage_can_be_walked),
};

CFC_TEST_MAIN("body_validate", cases)
