/* The records that every change writes, against the JSON library that reads them. */
#include "controlplane/model/record_text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "tests/unit/cunit_main.h"

enum {
    ROUNDS = 2000,
    STRING_MAX = 40
};

/* Bytes that need care, and some that need none; two-byte UTF-8 among them. */
static void
random_string(struct cfc_prng *prng, char *out)
{
    static const char *const pieces[] = {"\"", "\\",   "\n", "\t", "\r",   "\b",       "\f",
                                         "\1", "\x1f", "/",  "a",  "\x7f", "\xc3\xa4", " "};
    size_t count = cfc_prng_next(prng) % (STRING_MAX / 2);
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[cfc_prng_next(prng) % (sizeof(pieces) / sizeof(pieces[0]))];

        memcpy(out + size, piece, strlen(piece));
        size += strlen(piece);
    }
    out[size] = '\0';
}

static void
what_is_written_reads_back_as_it_was(void)
{
    struct cfc_prng prng = {.state = 1};

    for (int round = 0; round < ROUNDS; round++) {
        char string[STRING_MAX + 1];
        char hex[65];
        struct cfc_digest digest;
        uint64_t number = cfc_prng_next(&prng) >> (1 + cfc_prng_next(&prng) % 63);
        bool flag = cfc_prng_next(&prng) % 2 == 0;
        struct cfc_record_text text;
        const char *bytes;
        size_t size;
        json_t *record;
        char *again;

        random_string(&prng, string);
        for (size_t i = 0; i < sizeof(digest.bytes); i++) {
            digest.bytes[i] = (uint8_t)cfc_prng_next(&prng);
        }
        cfc_digest_to_hex(&digest, hex);
        cfc_record_text_begin(&text);
        cfc_record_text_digest(&text, "digest", &digest);
        cfc_record_text_flag(&text, "flag", flag);
        cfc_record_text_number(&text, "number", number);
        cfc_record_text_string(&text, "string", string);
        CU_ASSERT_EQUAL_FATAL(cfc_record_text_end(&text, &bytes, &size), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_record_parse(bytes, size, &record), CONFCAST_OK);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(record, "digest")), hex);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(record, "string")), string);
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(record, "number")), (json_int_t)number);
        CU_ASSERT_EQUAL(json_is_true(json_object_get(record, "flag")), flag);
        /* Compact and sorted, as the records that a tree is written from. */
        again = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
        CU_ASSERT_EQUAL(strlen(again), size);
        free(again);
        json_decref(record);
        cfc_record_text_free(&text);
    }
}

static void
an_empty_record_is_an_object(void)
{
    struct cfc_record_text text;
    const char *bytes;
    size_t size;

    cfc_record_text_begin(&text);
    CU_ASSERT_EQUAL_FATAL(cfc_record_text_end(&text, &bytes, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL(size, 2);
    CU_ASSERT_EQUAL(memcmp(bytes, "{}", 2), 0);
    cfc_record_text_free(&text);
}

/* {"s":"..."} around a string of `size` bytes. */
static int
put_string_of(size_t size)
{
    char *string = malloc(size + 1);
    struct cfc_store_batch batch;
    struct cfc_record_key key = cfc_record_key_named('s', "a");
    struct cfc_record_text text;
    int error;

    memset(string, 'x', size);
    string[size] = '\0';
    cfc_store_batch_init(&batch);
    cfc_record_text_begin(&text);
    cfc_record_text_string(&text, "s", string);
    cfc_record_text_put(&text, &batch, &key);
    error = batch.error;
    CU_ASSERT_EQUAL(batch.op_count, error == CONFCAST_OK ? 1 : 0);
    cfc_store_batch_clear(&batch);
    free(string);
    return error;
}

static void
a_record_above_the_limit_fails_its_batch(void)
{
    CU_ASSERT_EQUAL(put_string_of(CFC_RECORD_TEXT_SIZE_MAX - 8), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_string_of(CFC_RECORD_TEXT_SIZE_MAX - 7), CONFCAST_ERR_LIMIT);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_is_written_reads_back_as_it_was),
    CFC_CASE(an_empty_record_is_an_object),
    CFC_CASE(a_record_above_the_limit_fails_its_batch),
};

CFC_TEST_MAIN("record_text", cases)
