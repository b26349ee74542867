#include "protocol/snapshot/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/trust/digest.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/heap.h"
#include "tests/unit/json_numbers.h"

static struct cfc_test_heap heap;
static const struct cfc_alloc alloc_table = {cfc_test_heap_alloc, cfc_test_heap_free, &heap};

static double
from_bits(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, sizeof(d));
    return d;
}

static bool
prints(uint64_t bits, const char *text)
{
    char out[CFC_JSON_NUMBER_SIZE_MAX];
    size_t size = cfc_json_write_number(out, from_bits(bits));

    return size == strlen(text) && memcmp(out, text, size) == 0;
}

static void
the_samples_of_rfc_8785_print_as_listed(void)
{
    static const struct {
        uint64_t bits;
        const char *text;
    } rows[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0xffefffffffffffff, "-1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0xc340000000000000, "-9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef4f, "999999999999999900000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555554, "333333333.33333325"},
        {0x41b3de4355555555, "333333333.3333333"},
        {0x41b3de4355555556, "333333333.3333334"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
        {0x43143ff3c1cb0959, "1424953923781206.2"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_TRUE(prints(rows[i].bits, rows[i].text));
    }
}

static void
edges_print_as_ecmascript_prints_them(void)
{
    for (size_t i = 0; i < sizeof(json_numbers) / sizeof(json_numbers[0]); i++) {
        CU_ASSERT_TRUE(prints(json_numbers[i].bits, json_numbers[i].text));
    }
}

/* The families of json_numbers.mjs. */
static double
make_double(enum family family, uint64_t r)
{
    const uint64_t exponent = UINT64_C(0x7ff) << 52;
    double divisor = 1;

    switch (family) {
    case ANY:
        return from_bits(r);
    case NEAR_ONE:
        return from_bits((r & ~exponent) | (993 + ((r >> 52) & 63)) << 52);
    case SUBNORMAL:
        return from_bits((r & ~exponent) >> (r >> 58));
    default:
        for (uint64_t i = (r >> 20) % 12; i > 0; i--) {
            divisor *= 10;
        }
        return (double)(r & 0xfffff) / divisor;
    }
}

static void
add_number(struct cfc_sha256 *sha, double d)
{
    char text[CFC_JSON_NUMBER_SIZE_MAX + 1];
    size_t size = cfc_json_write_number(text, d);

    CU_ASSERT_EQUAL_FATAL(strtod((text[size] = '\0', text), NULL), d);
    text[size] = '\n';
    cfc_sha256_add(sha, text, size + 1);
}

static bool
ends_as(struct cfc_sha256 *sha, const char *hex)
{
    struct cfc_digest digest;
    char text[33];

    cfc_sha256_end(sha, &digest);
    for (int i = 0; i < 16; i++) {
        text[2 * i] = "0123456789abcdef"[digest.bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[digest.bytes[i] & 15];
    }
    text[32] = '\0';
    return strcmp(text, hex) == 0;
}

static void
random_doubles_print_as_ecmascript_prints_them(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();

    CU_ASSERT_PTR_NOT_NULL_FATAL(sha);
    for (size_t i = 0; i < sizeof(json_number_groups) / sizeof(json_number_groups[0]); i++) {
        struct cfc_prng prng = {json_number_groups[i].seed};

        cfc_sha256_begin(sha, NULL);
        for (int k = 0; k < JSON_NUMBERS_GROUP_SIZE;) {
            double d = make_double(json_number_groups[i].family, cfc_prng_next(&prng));

            if (isfinite(d)) {
                add_number(sha, d);
                k++;
            }
        }
        CU_ASSERT_TRUE(ends_as(sha, json_number_groups[i].digest));
    }
    cfc_sha256_free(sha);
}

static void
powers_of_two_and_their_neighbours_print_as_ecmascript_prints_them(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();

    CU_ASSERT_PTR_NOT_NULL_FATAL(sha);
    cfc_sha256_begin(sha, NULL);
    for (int e = -1074; e <= 1023; e++) {
        uint64_t bits = e < -1022 ? UINT64_C(1) << (e + 1074) : (uint64_t)(e + 1023) << 52;

        add_number(sha, from_bits(bits - 1));
        add_number(sha, from_bits(bits));
        add_number(sha, from_bits(bits + 1));
    }
    CU_ASSERT_TRUE(ends_as(sha, json_powers_of_two));
    cfc_sha256_free(sha);
}

static bool
escapes_to(const char *text, size_t size, const char *expected)
{
    struct cfc_buffer out;
    bool is_equal;

    cfc_buffer_init(&out, &alloc_table, 1000);
    CU_ASSERT_EQUAL_FATAL(cfc_json_write_string(&out, text, size), CONFCAST_OK);
    is_equal = out.size == strlen(expected) && memcmp(out.bytes, expected, out.size) == 0;
    cfc_buffer_free(&out);
    return is_equal;
}

static void
strings_escape_what_rfc_8785_says_and_nothing_else(void)
{
    CU_ASSERT_TRUE(escapes_to("", 0, "\"\""));
    CU_ASSERT_TRUE(escapes_to("a/b", 3, "\"a/b\""));
    CU_ASSERT_TRUE(escapes_to("\"\\", 2, "\"\\\"\\\\\""));
    CU_ASSERT_TRUE(escapes_to("\b\t\n\f\r", 5, "\"\\b\\t\\n\\f\\r\""));
    CU_ASSERT_TRUE(escapes_to("\0\x01\x0b\x1f", 4, "\"\\u0000\\u0001\\u000b\\u001f\""));
    CU_ASSERT_TRUE(escapes_to("x\ny", 3, "\"x\\ny\""));
    CU_ASSERT_TRUE(escapes_to(" \x7f\xc2\x80\xe2\x80\xa8\xf0\x9f\x98\x80", 11,
                              "\" \x7f\xc2\x80\xe2\x80\xa8\xf0\x9f\x98\x80\""));
    /* RFC 8785, 3.2.2: the Euro sign, then control characters, and so on. */
    CU_ASSERT_TRUE(escapes_to("\xe2\x82\xac$\x0f\nA'B\"\\\\\"/", 14,
                              "\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\""));
}

static void
write_sample(struct cfc_body_writer *w)
{
    cfc_body_begin_object(w);
    cfc_body_key(w, "", 0);
    cfc_body_begin_array(w);
    cfc_body_begin_array(w);
    cfc_body_end(w);
    cfc_body_begin_object(w);
    cfc_body_end(w);
    cfc_body_i64(w, -7);
    cfc_body_begin_array(w);
    cfc_body_null(w);
    cfc_body_end(w);
    cfc_body_f64(w, 0.1);
    cfc_body_end(w);
    cfc_body_key(w, "a\n", 2);
    cfc_body_begin_object(w);
    cfc_body_key(w, "no", 2);
    cfc_body_bool(w, false);
    cfc_body_key(w, "yes", 3);
    cfc_body_bool(w, true);
    cfc_body_end(w);
    cfc_body_key(w, "n", 1);
    cfc_body_i64(w, CFC_INTEGER_MAX);
    cfc_body_key(w, "z", 1);
    cfc_body_string(w, "\xc3\xa9", 2);
    cfc_body_end(w);
}

static const char sample_text[] =
    "{\"\":[[],{},-7,[null],0.1],\"a\\n\":{\"no\":false,\"yes\":true},\"n\":9007199254740991,"
    "\"z\":\"\xc3\xa9\"}";

static void
a_body_becomes_canonical_json(void)
{
    struct cfc_body_writer w;
    struct cfc_buffer out;
    uint8_t *bytes;
    size_t size;

    cfc_body_writer_init(&w, &alloc_table);
    write_sample(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
    cfc_buffer_init(&out, &alloc_table, sizeof(sample_text) - 1);
    CU_ASSERT_EQUAL_FATAL(cfc_json_write(&out, cfc_body_root(bytes)), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(out.size, sizeof(sample_text) - 1);
    CU_ASSERT_EQUAL(memcmp(out.bytes, sample_text, out.size), 0);
    cfc_buffer_free(&out);

    /* A value inside of it, too. */
    CU_ASSERT_EQUAL_FATAL(cfc_json_write(&out, cfc_value_member(cfc_body_root(bytes), "n", 1)),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(out.size, 16);
    CU_ASSERT_EQUAL(memcmp(out.bytes, "9007199254740991", 16), 0);
    cfc_buffer_free(&out);
    cfc_free(&alloc_table, bytes);
    CU_ASSERT_EQUAL(heap.live_count, 0);
}

static void
every_shortage_of_room_or_memory_is_an_error(void)
{
    struct cfc_body_writer w;
    struct cfc_buffer out;
    uint8_t *bytes;
    size_t size;

    cfc_body_writer_init(&w, &alloc_table);
    write_sample(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
    for (size_t limit = 0; limit < sizeof(sample_text) - 1; limit++) {
        cfc_buffer_init(&out, &alloc_table, limit);
        CU_ASSERT_EQUAL(cfc_json_write(&out, cfc_body_root(bytes)), CONFCAST_ERR_LIMIT);
        CU_ASSERT_TRUE(out.size <= limit);
        cfc_buffer_free(&out);
    }
    heap.fail_at = heap.call_count + 1;
    cfc_buffer_init(&out, &alloc_table, 1000);
    CU_ASSERT_EQUAL(cfc_json_write(&out, cfc_body_root(bytes)), CONFCAST_ERR_NO_MEMORY);
    cfc_buffer_free(&out);
    cfc_free(&alloc_table, bytes);
    CU_ASSERT_EQUAL(heap.live_count, 0);
}

static void
integers_of_every_length_print(void)
{
    int64_t i = 1;
    char expected[32];

    for (int digits = 1; digits <= 15; digits++, i = i * 10 + digits % 10) {
        for (int sign = -1; sign <= 1; sign += 2) {
            struct cfc_body_writer w;
            struct cfc_buffer out;
            uint8_t *bytes;
            size_t size;

            cfc_body_writer_init(&w, &alloc_table);
            cfc_body_begin_object(&w);
            cfc_body_key(&w, "i", 1);
            cfc_body_i64(&w, sign * i);
            cfc_body_end(&w);
            CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
            cfc_buffer_init(&out, &alloc_table, 100);
            CU_ASSERT_EQUAL(cfc_json_write(&out, cfc_body_root(bytes)), CONFCAST_OK);
            CU_ASSERT_EQUAL(cfc_buffer_add(&out, "", 1), CONFCAST_OK);
            snprintf(expected, sizeof(expected), "{\"i\":%lld}", (long long)(sign * i));
            CU_ASSERT_STRING_EQUAL((const char *)out.bytes, expected);
            cfc_buffer_free(&out);
            cfc_free(&alloc_table, bytes);
        }
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(the_samples_of_rfc_8785_print_as_listed),
    CFC_CASE(edges_print_as_ecmascript_prints_them),
    CFC_CASE(random_doubles_print_as_ecmascript_prints_them),
    CFC_CASE(powers_of_two_and_their_neighbours_print_as_ecmascript_prints_them),
    CFC_CASE(strings_escape_what_rfc_8785_says_and_nothing_else),
    CFC_CASE(a_body_becomes_canonical_json),
    CFC_CASE(every_shortage_of_room_or_memory_is_an_error),
    CFC_CASE(integers_of_every_length_print),
};

CFC_TEST_MAIN("json_write", cases)
