#include "protocol/snapshot/body.h"

#include <math.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/snapshot/index.h"
#include "protocol/snapshot/text.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/heap.h"

static struct cfc_test_heap heap;
static struct cfc_alloc alloc_table = {cfc_test_heap_alloc, cfc_test_heap_free, &heap};

static void
key(struct cfc_body_writer *w, const char *text)
{
    cfc_body_key(w, text, strlen(text));
}

/* {"a":[1,-2,true,false,null,1.5,"x"],"b":{},"\u00e9":[]} */
static void
write_sample(struct cfc_body_writer *w)
{
    cfc_body_begin_object(w);
    key(w, "a");
    cfc_body_begin_array(w);
    cfc_body_i64(w, 1);
    cfc_body_i64(w, -2);
    cfc_body_bool(w, true);
    cfc_body_bool(w, false);
    cfc_body_null(w);
    cfc_body_f64(w, 1.5);
    cfc_body_string(w, "x", 1);
    cfc_body_end(w);
    key(w, "b");
    cfc_body_begin_object(w);
    cfc_body_end(w);
    key(w, "\xc3\xa9");
    cfc_body_begin_array(w);
    cfc_body_end(w);
    cfc_body_end(w);
}

static const uint8_t sample[] = {
    'C',  'F',  'B',  0x01, 11,        /* magic, values */
    8,    3,    39,                    /* root: 3 members in 39 bytes */
    1,    'a',  0,                     /* key */
    7,    7,    20,                    /* array of 7 in 20 bytes */
    4,    2,    4,    3,               /* 1, -2 as zigzag */
    3,    2,    1,                     /* true, false, null */
    5,    0,    0,    0,    0,   0, 0, /* 1.5 */
    0xf8, 0x3f, 6,    1,    'x', 0,    /* "x" */
    1,    'b',  0,    8,    0,   0,    /* "b": {} */
    2,    0xc3, 0xa9, 0,    7,   0, 0, /* "e acute": [] */
};

static void
the_bytes_of_a_sample_are_the_documented_ones(void)
{
    struct cfc_body_writer w;
    uint8_t *bytes;
    size_t size;

    cfc_body_writer_init(&w, &alloc_table);
    write_sample(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(size, sizeof(sample));
    CU_ASSERT_EQUAL(memcmp(bytes, sample, size), 0);
    CU_ASSERT_EQUAL(cfc_body_validate(bytes, size), CONFCAST_OK);
    cfc_free(&alloc_table, bytes);
    CU_ASSERT_EQUAL(heap.live_count, 0);
}

static void
the_reader_walks_what_was_written(void)
{
    struct cfc_iter members = cfc_iter_of(cfc_body_root(sample));
    struct cfc_iter elements;
    struct cfc_child child;
    size_t size;

    CU_ASSERT_EQUAL(cfc_body_node_count(sample), 11);
    CU_ASSERT_EQUAL(cfc_value_size(cfc_body_root(sample)), sizeof(sample) - 5);
    CU_ASSERT_EQUAL(cfc_value_count(cfc_body_root(sample)), 3);
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&members, &child));
    CU_ASSERT_STRING_EQUAL(child.key, "a");
    CU_ASSERT_EQUAL(cfc_value_type(child.value), CFC_TYPE_ARRAY);
    CU_ASSERT_EQUAL(cfc_value_count(child.value), 7);

    elements = cfc_iter_of(child.value);
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&elements, &child));
    CU_ASSERT_PTR_NULL(child.key);
    CU_ASSERT_EQUAL(cfc_value_type(child.value), CFC_TYPE_I64);
    CU_ASSERT_EQUAL(cfc_value_i64(child.value), 1);
    CU_ASSERT_EQUAL(cfc_value_f64(child.value), 1.0);
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&elements, &child));
    CU_ASSERT_EQUAL(cfc_value_i64(child.value), -2);
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&elements, &child));
    CU_ASSERT_EQUAL(cfc_value_type(child.value), CFC_TYPE_BOOL);
    CU_ASSERT_TRUE(cfc_value_bool(child.value));
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&elements, &child));
    CU_ASSERT_EQUAL(cfc_value_type(child.value), CFC_TYPE_BOOL);
    CU_ASSERT_FALSE(cfc_value_bool(child.value));
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&elements, &child));
    CU_ASSERT_EQUAL(cfc_value_type(child.value), CFC_TYPE_NULL);
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&elements, &child));
    CU_ASSERT_EQUAL(cfc_value_type(child.value), CFC_TYPE_F64);
    CU_ASSERT_EQUAL(cfc_value_f64(child.value), 1.5);
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&elements, &child));
    CU_ASSERT_EQUAL(cfc_value_type(child.value), CFC_TYPE_STRING);
    CU_ASSERT_STRING_EQUAL(cfc_value_string(child.value, &size), "x");
    CU_ASSERT_EQUAL(size, 1);
    CU_ASSERT_FALSE(cfc_iter_next(&elements, &child));
    CU_ASSERT_STRING_EQUAL(cfc_value_string(child.value, NULL), "x");

    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&members, &child));
    CU_ASSERT_EQUAL(cfc_value_type(child.value), CFC_TYPE_OBJECT);
    CU_ASSERT_EQUAL(cfc_value_count(child.value), 0);
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&members, &child));
    CU_ASSERT_EQUAL(child.key_size, 2);
    CU_ASSERT_FALSE(cfc_iter_next(&members, &child));
}

static void
a_member_is_found_by_its_whole_key(void)
{
    const struct cfc_value *root = cfc_body_root(sample);

    CU_ASSERT_PTR_NOT_NULL_FATAL(cfc_value_member(root, "b", 1));
    CU_ASSERT_EQUAL(cfc_value_type(cfc_value_member(root, "b", 1)), CFC_TYPE_OBJECT);
    CU_ASSERT_PTR_NULL(cfc_value_member(root, "", 0));
    CU_ASSERT_PTR_NULL(cfc_value_member(root, "c", 1));
    CU_ASSERT_PTR_NULL(cfc_value_member(root, "ab", 2));
}

static void
a_copied_value_has_the_same_bytes(void)
{
    struct cfc_body_writer w;
    struct cfc_iter members = cfc_iter_of(cfc_body_root(sample));
    struct cfc_child child;
    uint8_t *bytes;
    size_t size;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_value(&w, cfc_body_root(sample));
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(size, sizeof(sample));
    CU_ASSERT_EQUAL(memcmp(bytes, sample, size), 0);
    cfc_free(&alloc_table, bytes);

    cfc_body_begin_object(&w);
    while (cfc_iter_next(&members, &child)) {
        cfc_body_key(&w, child.key, child.key_size);
        cfc_body_value(&w, child.value);
    }
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(size, sizeof(sample));
    CU_ASSERT_EQUAL(memcmp(bytes, sample, size), 0);
    cfc_free(&alloc_table, bytes);
}

/* The error of a body with one member that `number` makes. */
static int
finish_error(struct cfc_body_writer *w)
{
    uint8_t *bytes;
    size_t size;
    int error = cfc_body_finish(w, &bytes, &size);

    CU_ASSERT_EQUAL(error != CONFCAST_OK, bytes == NULL);
    cfc_free(&alloc_table, bytes);
    CU_ASSERT_EQUAL(heap.live_count, 0);
    return error;
}

static int
number_error(bool is_double, double d, int64_t i)
{
    struct cfc_body_writer w;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    key(&w, "n");
    if (is_double) {
        cfc_body_f64(&w, d);
    } else {
        cfc_body_i64(&w, i);
    }
    cfc_body_end(&w);
    return finish_error(&w);
}

static void
numbers_that_json_cannot_hold_are_refused(void)
{
    CU_ASSERT_EQUAL(number_error(true, (double)NAN, 0), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(number_error(true, (double)INFINITY, 0), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(number_error(true, -(double)INFINITY, 0), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(number_error(false, 0, CFC_INTEGER_MAX + 1), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(number_error(false, 0, -CFC_INTEGER_MAX - 1), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(number_error(false, 0, INT64_MIN), CONFCAST_ERR_NUMBER);
    CU_ASSERT_EQUAL(number_error(false, 0, CFC_INTEGER_MAX), CONFCAST_OK);
    CU_ASSERT_EQUAL(number_error(false, 0, -CFC_INTEGER_MAX), CONFCAST_OK);
    CU_ASSERT_EQUAL(number_error(true, 1.7976931348623157e308, 0), CONFCAST_OK);
}

/* Writes {"n":[d]}, checks it and reads the element's type and value back. */
static enum cfc_type
type_of_double(double d)
{
    struct cfc_body_writer w;
    struct cfc_iter iter;
    struct cfc_child child;
    enum cfc_type type;
    uint8_t *bytes;
    size_t size;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    key(&w, "n");
    cfc_body_begin_array(&w);
    cfc_body_f64(&w, d);
    cfc_body_end(&w);
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_body_validate(bytes, size), CONFCAST_OK);
    iter = cfc_iter_of(cfc_value_member(cfc_body_root(bytes), "n", 1));
    CU_ASSERT_TRUE_FATAL(cfc_iter_next(&iter, &child));
    type = cfc_value_type(child.value);
    CU_ASSERT_EQUAL(cfc_value_f64(child.value), d);
    CU_ASSERT_FALSE(signbit(cfc_value_f64(child.value)) && d == 0);
    cfc_free(&alloc_table, bytes);
    return type;
}

static void
an_integer_value_is_an_i64_whatever_it_came_as(void)
{
    CU_ASSERT_EQUAL(type_of_double(0.0), CFC_TYPE_I64);
    CU_ASSERT_EQUAL(type_of_double(-0.0), CFC_TYPE_I64);
    CU_ASSERT_EQUAL(type_of_double(-1.0), CFC_TYPE_I64);
    CU_ASSERT_EQUAL(type_of_double(9007199254740991.0), CFC_TYPE_I64);
    CU_ASSERT_EQUAL(type_of_double(-9007199254740991.0), CFC_TYPE_I64);
    CU_ASSERT_EQUAL(type_of_double(9007199254740992.0), CFC_TYPE_F64);
    CU_ASSERT_EQUAL(type_of_double(-9007199254740992.0), CFC_TYPE_F64);
    CU_ASSERT_EQUAL(type_of_double(4503599627370495.5), CFC_TYPE_F64);
    CU_ASSERT_EQUAL(type_of_double(0.5), CFC_TYPE_F64);
    CU_ASSERT_EQUAL(type_of_double(5e-324), CFC_TYPE_F64);
    CU_ASSERT_EQUAL(type_of_double(1e308), CFC_TYPE_F64);
}

static int
two_keys(const char *a, const char *b)
{
    struct cfc_body_writer w;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    key(&w, a);
    cfc_body_null(&w);
    key(&w, b);
    cfc_body_null(&w);
    cfc_body_end(&w);
    return finish_error(&w);
}

static void
keys_ascend_by_utf16_code_units(void)
{
    CU_ASSERT_EQUAL(two_keys("a", "b"), CONFCAST_OK);
    CU_ASSERT_EQUAL(two_keys("", "a"), CONFCAST_OK);
    CU_ASSERT_EQUAL(two_keys("a", "ab"), CONFCAST_OK);
    CU_ASSERT_EQUAL(two_keys("b", "a"), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(two_keys("ab", "a"), CONFCAST_ERR_CANONICAL);
    CU_ASSERT_EQUAL(two_keys("a", "a"), CONFCAST_ERR_DUPLICATE_KEY);
    CU_ASSERT_EQUAL(two_keys("", ""), CONFCAST_ERR_DUPLICATE_KEY);
    /* U+1F600 is d83d de00 in UTF-16 and so before U+FB33, though its bytes come after. */
    CU_ASSERT_EQUAL(two_keys("\xf0\x9f\x98\x80", "\xef\xac\xb3"), CONFCAST_OK);
    CU_ASSERT_EQUAL(two_keys("\xef\xac\xb3", "\xf0\x9f\x98\x80"), CONFCAST_ERR_CANONICAL);
}

/* Slow and plain: the code units of both, compared one by one. */
static int
units_of(const char *text, size_t size, uint16_t units[32])
{
    int count = 0;

    for (size_t i = 0; i < size;) {
        uint8_t c = (uint8_t)text[i];
        int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        uint32_t point = more == 0 ? c : more == 1 ? c & 0x1f : more == 2 ? c & 0x0f : c & 0x07;

        for (int k = 1; k <= more; k++) {
            point = point << 6 | ((uint8_t)text[i + (size_t)k] & 0x3f);
        }
        i += (size_t)more + 1;
        if (point >= 0x10000) {
            units[count++] = (uint16_t)(0xd800 + ((point - 0x10000) >> 10));
            units[count++] = (uint16_t)(0xdc00 + ((point - 0x10000) & 0x3ff));
        } else {
            units[count++] = (uint16_t)point;
        }
    }
    return count;
}

static size_t
random_text(struct cfc_prng *prng, char text[40])
{
    static const char *const characters[] = {"a",
                                             "b",
                                             "\x7f",
                                             "\xc2\x80",
                                             "\xdf\xbf",
                                             "\xe0\xa0\x80",
                                             "\xed\x9f\xbf",
                                             "\xee\x80\x80",
                                             "z",
                                             "\xef\xbf\xbf",
                                             "\xf0\x90\x80\x80",
                                             "\xf4\x8f\xbf\xbf",
                                             "\xf3\xa0\x80\x80"};
    size_t count = cfc_prng_below(prng, 10);
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        const char *c = characters[cfc_prng_below(prng, i < 6 ? 2 : 13)];

        memcpy(text + size, c, strlen(c));
        size += strlen(c);
    }
    return size;
}

static void
key_order_agrees_with_decoded_code_units(void)
{
    struct cfc_prng prng = {7};

    for (int i = 0; i < 20000; i++) {
        char a[40];
        char b[40];
        uint16_t ua[32];
        uint16_t ub[32];
        size_t a_size = random_text(&prng, a);
        size_t b_size = random_text(&prng, b);
        int a_count = units_of(a, a_size, ua);
        int b_count = units_of(b, b_size, ub);
        int expected = 0;
        int got = cfc_utf16_compare(a, a_size, b, b_size);

        for (int k = 0; k < a_count && k < b_count && expected == 0; k++) {
            expected = (ua[k] > ub[k]) - (ua[k] < ub[k]);
        }
        expected = expected != 0 ? expected : (a_count > b_count) - (a_count < b_count);
        CU_ASSERT_EQUAL_FATAL((got > 0) - (got < 0), expected);
    }
}

static void
ill_formed_utf8_is_told_from_well_formed(void)
{
    static const struct {
        const char *text;
        size_t size;
        bool is_valid;
    } rows[] = {
        {"", 0, true},
        {"plain ascii, long enough for words", 34, true},
        {"\xc2\x80\xdf\xbf", 4, true},
        {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12, true},
        {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, true},
        {"a\0b", 3, false},
        {"12345678\0", 9, false},
        {"1234567\0", 8, false},
        {"\x80", 1, false},
        {"1234567\x80", 8, false},
        {"\xc0\xaf", 2, false},         /* overlong */
        {"\xc1\xbf", 2, false},         /* overlong */
        {"\xe0\x9f\xbf", 3, false},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 4, false}, /* overlong */
        {"\xed\xa0\x80", 3, false},     /* surrogate */
        {"\xed\xbf\xbf", 3, false},     /* surrogate */
        {"\xf4\x90\x80\x80", 4, false}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 4, false}, /* above U+10FFFF */
        {"\xff", 1, false},
        {"\xc3\xa9", 1, false},         /* cut short */
        {"\xe2\x82\xac", 2, false},     /* cut short */
        {"\xf0\x9f\x98\x80", 3, false}, /* cut short */
        {"\xe2\x82\x41", 3, false},     /* no continuation */
        {"\xf0\x9f\x41\x80", 4, false}, /* no continuation */
        {"\xf0\x9f\x98\x41", 4, false}, /* no continuation */
        {"\xc3\xc3", 2, false},         /* no continuation */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_EQUAL(cfc_utf8_is_valid(rows[i].text, rows[i].size), rows[i].is_valid);
    }
}

static int
string_error(const char *text, size_t size, bool is_key)
{
    struct cfc_body_writer w;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    if (is_key) {
        cfc_body_key(&w, text, size);
        cfc_body_null(&w);
    } else {
        key(&w, "k");
        cfc_body_string(&w, text, size);
    }
    cfc_body_end(&w);
    return finish_error(&w);
}

static void
the_writer_refuses_ill_formed_text(void)
{
    CU_ASSERT_EQUAL(string_error("\xff", 1, true), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(string_error("\xff", 1, false), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(string_error("a\0", 2, true), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(string_error("a\0", 2, false), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(string_error("", 0, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(string_error(NULL, 0, false), CONFCAST_OK);
}

static void
calls_in_a_wrong_order_are_refused(void)
{
    struct cfc_body_writer w;

    cfc_body_writer_init(&w, &alloc_table);
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);

    CU_ASSERT_EQUAL(cfc_body_null(&w), CONFCAST_ERR_INVALID);         /* the root is no object */
    CU_ASSERT_EQUAL(cfc_body_begin_object(&w), CONFCAST_ERR_INVALID); /* the first error stays */
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);

    CU_ASSERT_EQUAL(cfc_body_begin_array(&w), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);

    CU_ASSERT_EQUAL(cfc_body_end(&w), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);

    cfc_body_begin_object(&w);
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID); /* still open */

    cfc_body_begin_object(&w);
    CU_ASSERT_EQUAL(cfc_body_null(&w), CONFCAST_ERR_INVALID); /* no key */
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);

    cfc_body_begin_object(&w);
    key(&w, "a");
    CU_ASSERT_EQUAL(cfc_body_key(&w, "b", 1), CONFCAST_ERR_INVALID); /* no value */
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);

    cfc_body_begin_object(&w);
    key(&w, "a");
    CU_ASSERT_EQUAL(cfc_body_end(&w), CONFCAST_ERR_INVALID); /* no value */
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);

    cfc_body_begin_object(&w);
    key(&w, "a");
    cfc_body_begin_array(&w);
    CU_ASSERT_EQUAL(cfc_body_key(&w, "b", 1), CONFCAST_ERR_INVALID); /* in an array */
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);

    cfc_body_begin_object(&w);
    cfc_body_end(&w);
    CU_ASSERT_EQUAL(cfc_body_begin_object(&w), CONFCAST_ERR_INVALID); /* a second root */
    CU_ASSERT_EQUAL(finish_error(&w), CONFCAST_ERR_INVALID);
}

static int
nested(uint32_t depth)
{
    struct cfc_body_writer w;
    uint8_t *bytes;
    size_t size;
    int error;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    key(&w, "a");
    for (uint32_t i = 1; i < depth; i++) {
        cfc_body_begin_array(&w);
    }
    for (uint32_t i = 1; i < depth; i++) {
        cfc_body_end(&w);
    }
    cfc_body_end(&w);
    error = cfc_body_finish(&w, &bytes, &size);
    if (error == CONFCAST_OK) {
        CU_ASSERT_EQUAL(cfc_body_validate(bytes, size), CONFCAST_OK);
    }
    cfc_free(&alloc_table, bytes);
    return error;
}

static void
nesting_stops_at_64_levels(void)
{
    CU_ASSERT_EQUAL(nested(2), CONFCAST_OK);
    CU_ASSERT_EQUAL(nested(CFC_DEPTH_MAX), CONFCAST_OK);
    CU_ASSERT_EQUAL(nested(CFC_DEPTH_MAX + 1), CONFCAST_ERR_DEPTH);
}

static int
body_of_size(size_t text_size, const char *text)
{
    struct cfc_body_writer w;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    key(&w, "");
    cfc_body_string(&w, text, text_size);
    cfc_body_end(&w);
    return finish_error(&w);
}

static void
a_body_holds_its_limit_of_bytes_and_not_one_more(void)
{
    /* magic 4, node count 1, root 1 + 1 + 4, key 2, string 1 + 4 and its NUL */
    size_t text_size = CFC_BODY_SIZE_MAX - 19;
    char *text = malloc(CFC_BODY_SIZE_MAX + 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'x', CFC_BODY_SIZE_MAX + 1);
    CU_ASSERT_EQUAL(body_of_size(text_size, text), CONFCAST_OK);
    CU_ASSERT_EQUAL(body_of_size(text_size + 1, text), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(body_of_size(CFC_BODY_SIZE_MAX + 1, text), CONFCAST_ERR_LIMIT);
    free(text);
}

static int
body_of_nodes(uint32_t node_count)
{
    struct cfc_body_writer w;
    uint8_t *bytes;
    size_t size;
    int error;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    key(&w, "");
    cfc_body_begin_array(&w);
    for (uint32_t i = 2; i < node_count; i++) {
        cfc_body_null(&w);
    }
    cfc_body_end(&w);
    cfc_body_end(&w);
    error = cfc_body_finish(&w, &bytes, &size);
    if (error == CONFCAST_OK) {
        CU_ASSERT_EQUAL(cfc_body_node_count(bytes), node_count);
        CU_ASSERT_EQUAL(cfc_body_validate(bytes, size), CONFCAST_OK);
    }
    cfc_free(&alloc_table, bytes);
    return error;
}

static void
a_body_holds_its_limit_of_values_and_not_one_more(void)
{
    CU_ASSERT_EQUAL(body_of_nodes(CFC_BODY_NODES_MAX), CONFCAST_OK);
    CU_ASSERT_EQUAL(body_of_nodes(CFC_BODY_NODES_MAX + 1), CONFCAST_ERR_LIMIT);
}

/* Sizes around every step of the varints that the closing pass inserts. */
static void
header_varints_of_every_width_close_up(void)
{
    static const size_t sizes[] = {0,     1,     100,   118,   119,   120,     121,    122,
                                   123,   124,   125,   126,   127,   128,     16370,  16371,
                                   16372, 16373, 16374, 16375, 16376, 16377,   16378,  16379,
                                   16380, 16381, 16382, 16383, 16384, 2097140, 2097152};
    static char text[2097152];

    memset(text, 'y', sizeof(text));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct cfc_body_writer w;
        uint8_t *bytes;
        size_t size;
        size_t got;

        cfc_body_writer_init(&w, &alloc_table);
        cfc_body_begin_object(&w);
        key(&w, "a");
        cfc_body_begin_array(&w);
        cfc_body_begin_array(&w);
        cfc_body_end(&w);
        cfc_body_begin_array(&w);
        cfc_body_string(&w, text, sizes[i]);
        cfc_body_end(&w);
        cfc_body_end(&w);
        key(&w, "b");
        cfc_body_i64(&w, 1);
        cfc_body_end(&w);
        CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_body_validate(bytes, size), CONFCAST_OK);
        got = cfc_value_size(cfc_value_member(cfc_body_root(bytes), "b", 1));
        CU_ASSERT_EQUAL(got, 2);
        cfc_free(&alloc_table, bytes);
    }
}

static void
each_failing_allocation_is_an_error_without_a_leak(void)
{
    static char text[3000];
    bool has_succeeded = false;

    memset(text, 'z', sizeof(text));
    for (size_t n = 1; !has_succeeded && n < 20; n++) {
        struct cfc_body_writer w;
        uint8_t *bytes;
        size_t size;
        int error;

        heap = (struct cfc_test_heap){.fail_at = n};
        cfc_body_writer_init(&w, &alloc_table);
        cfc_body_begin_object(&w);
        key(&w, "a");
        cfc_body_string(&w, text, sizeof(text));
        cfc_body_end(&w);
        error = cfc_body_finish(&w, &bytes, &size);
        has_succeeded = error == CONFCAST_OK;
        CU_ASSERT_TRUE(has_succeeded || error == CONFCAST_ERR_NO_MEMORY);
        CU_ASSERT_EQUAL(heap.live_count, has_succeeded ? 1 : 0);
        CU_ASSERT_TRUE(n > 2 || !has_succeeded);
        cfc_free(&alloc_table, bytes);
    }
    CU_ASSERT_TRUE(has_succeeded);
    CU_ASSERT_EQUAL(heap.live_count, 0);
    heap = (struct cfc_test_heap){0};
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(the_bytes_of_a_sample_are_the_documented_ones),
    CFC_CASE(the_reader_walks_what_was_written),
    CFC_CASE(a_member_is_found_by_its_whole_key),
    CFC_CASE(a_copied_value_has_the_same_bytes),
    CFC_CASE(numbers_that_json_cannot_hold_are_refused),
    CFC_CASE(an_integer_value_is_an_i64_whatever_it_came_as),
    CFC_CASE(keys_ascend_by_utf16_code_units),
    CFC_CASE(key_order_agrees_with_decoded_code_units),
    CFC_CASE(ill_formed_utf8_is_told_from_well_formed),
    CFC_CASE(the_writer_refuses_ill_formed_text),
    CFC_CASE(calls_in_a_wrong_order_are_refused),
    CFC_CASE(nesting_stops_at_64_levels),
    CFC_CASE(a_body_holds_its_limit_of_bytes_and_not_one_more),
    CFC_CASE(a_body_holds_its_limit_of_values_and_not_one_more),
    CFC_CASE(header_varints_of_every_width_close_up),
    CFC_CASE(each_failing_allocation_is_an_error_without_a_leak),
};

CFC_TEST_MAIN("body", cases)
