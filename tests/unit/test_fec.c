/* The erasure code, held to arithmetic of its own: multiplication bit by bit and inverses by trial,
 * so that nothing is shared with the library under test. */
#include "protocol/fec/fec.h"

#include <stdbool.h>
#include <stdlib.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/golden.h"

enum {
    SIZE_MAX_HERE = 1500
};

static uint8_t
slow_mul(uint8_t a, uint8_t b)
{
    uint32_t x = a, product = 0;

    for (int bit = 0; bit < 8; bit++) {
        if ((b >> bit & 1) != 0) {
            product ^= x;
        }
        x <<= 1;
        if ((x & 0x100) != 0) {
            x ^= 0x11d;
        }
    }
    return (uint8_t)product;
}

static uint8_t
slow_inverse(uint8_t a)
{
    for (int b = 1; b < 256; b++) {
        if (slow_mul(a, (uint8_t)b) == 1) {
            return (uint8_t)b;
        }
    }
    return 0;
}

/* Byte n of repair symbol `row`. */
static uint8_t
slow_repair(const uint8_t *symbols, uint32_t k, size_t size, size_t last_size, uint32_t row,
            size_t n)
{
    uint8_t sum = 0;

    for (uint32_t j = 0; j < k; j++) {
        if (j + 1 < k || n < last_size) {
            sum ^= slow_mul(slow_inverse((uint8_t)(row ^ j)), symbols[j * size + n]);
        }
    }
    return sum;
}

struct block {
    uint32_t k;
    size_t size;
    size_t last_size;
    uint8_t *bytes;  /* k * size, padded */
    uint8_t *places; /* a receiver's copy */
    uint8_t rows[CFC_BLOCK_SYMBOLS_MAX];
};

static void
block_make(struct block *b, uint32_t k, size_t size, size_t last_size, uint64_t seed)
{
    struct cfc_prng prng = {seed};

    *b = (struct block){.k = k, .size = size, .last_size = last_size};
    b->bytes = calloc(k, size);
    b->places = calloc(k, size);
    if (b->bytes == NULL || b->places == NULL) {
        abort();
    }
    for (size_t i = 0; i < (k - 1) * size + last_size; i++) {
        b->bytes[i] = (uint8_t)cfc_prng_next(&prng);
    }
    memcpy(b->places, b->bytes, k * size);
}

static void
block_free(struct block *b)
{
    free(b->bytes);
    free(b->places);
}

/* Source symbol j is lost, and repair symbol `row` stands in its place. */
static void
block_lose(struct block *b, uint32_t j, uint32_t row)
{
    uint8_t *repair = malloc(b->size);

    CU_ASSERT_EQUAL(cfc_fec_encode(b->bytes, b->k, b->size, b->last_size, row, 1, repair),
                    CONFCAST_OK);
    memcpy(b->places + j * b->size, repair, b->size);
    b->rows[j] = (uint8_t)row;
    free(repair);
}

static void
rows_are_those_of_the_wire_format(void)
{
    static const struct {
        const char *name;
        uint32_t k;
        uint32_t row;
    } rows[] = {{"fec.row_4_of_4", 4, 4},
                {"fec.row_5_of_4", 4, 5},
                {"fec.row_64_of_64", 64, 64},
                {"fec.row_79_of_64", 64, 79},
                {"fec.row_255_of_64", 64, 255}};
    static struct golden_file golden;

    CU_ASSERT_TRUE_FATAL(golden_open(&golden));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct golden *item = golden_find(&golden, rows[i].name);
        uint8_t row[CFC_BLOCK_SYMBOLS_MAX];

        CU_ASSERT_PTR_NOT_NULL_FATAL(item);
        if (item == NULL) {
            return;
        }
        CU_ASSERT_EQUAL(cfc_fec_row(rows[i].k, rows[i].row, row), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(item->size, rows[i].k);
        CU_ASSERT_EQUAL(memcmp(row, item->bytes, item->size), 0);
    }
}

static void
golden_blocks_have_their_golden_repair_symbols(void)
{
    static struct golden_file golden;
    const struct golden *body, *all;
    size_t offset = 0;

    CU_ASSERT_TRUE_FATAL(golden_open(&golden));
    body = golden_find(&golden, "body.raw");
    all = golden_find(&golden, "fec.all_repairs");
    CU_ASSERT_TRUE_FATAL(body != NULL && all != NULL);
    if (body == NULL || all == NULL) {
        return;
    }
    /* Symbols of 64 bytes, blocks of 4, 2 repair symbols, as tests/golden/make.py has it. */
    for (size_t at = 0; at < body->size; at += 256) {
        size_t left = body->size - at < 256 ? body->size - at : 256;
        uint32_t k = (uint32_t)((left + 63) / 64);
        uint8_t repairs[2 * 64];

        CU_ASSERT_EQUAL(cfc_fec_encode(body->bytes + at, k, 64, left - (k - 1) * 64, k, 2, repairs),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(memcmp(repairs, all->bytes + offset, sizeof(repairs)), 0);
        offset += sizeof(repairs);
    }
    CU_ASSERT_EQUAL(offset, all->size);
}

static void
every_coefficient_is_the_slow_inverse(void)
{
    for (uint32_t k = 1; k <= CFC_BLOCK_SYMBOLS_MAX; k++) {
        for (uint32_t row = k; row <= CFC_FEC_ROW_MAX; row += k < 8 ? 1 : 13) {
            uint8_t coefficients[CFC_BLOCK_SYMBOLS_MAX];

            CU_ASSERT_EQUAL_FATAL(cfc_fec_row(k, row, coefficients), CONFCAST_OK);
            for (uint32_t j = 0; j < k; j++) {
                CU_ASSERT_EQUAL(slow_mul(coefficients[j], (uint8_t)(row ^ j)), 1);
            }
        }
    }
}

static void
repair_symbols_are_what_slow_arithmetic_gives(void)
{
    static const struct {
        uint32_t k;
        size_t size;
        size_t last_size;
        uint32_t row;
        uint32_t count;
    } rows[] = {{1, 1, 1, 1, 1},        {1, 40, 7, 1, 16},      {2, 33, 1, 250, 6},
                {5, 64, 64, 5, 3},      {7, 100, 99, 200, 16},  {64, 1440, 1440, 64, 4},
                {64, 1440, 1, 192, 16}, {63, 1439, 700, 64, 9}, {64, 64, 64, 240, 16}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *out = malloc(rows[i].count * rows[i].size);
        struct block b;
        uint32_t wrong = 0;

        block_make(&b, rows[i].k, rows[i].size, rows[i].last_size, i + 1);
        CU_ASSERT_EQUAL(
            cfc_fec_encode(b.bytes, b.k, b.size, b.last_size, rows[i].row, rows[i].count, out),
            CONFCAST_OK);
        for (uint32_t r = 0; r < rows[i].count; r++) {
            for (size_t n = 0; n < b.size; n += n + 40 < b.size && n > 8 ? 31 : 1) {
                wrong += out[r * b.size + n] !=
                         slow_repair(b.bytes, b.k, b.size, b.last_size, rows[i].row + r, n);
            }
        }
        CU_ASSERT_EQUAL(wrong, 0);
        block_free(&b);
        free(out);
    }
}

/* What lies behind a short last symbol is somebody else's: with a red zone of 0xff a read of it
 * changes the result. */
static void
nothing_behind_a_short_last_symbol_is_read(void)
{
    uint8_t out[2][100];
    struct block b;

    block_make(&b, 3, 100, 10, 5);
    CU_ASSERT_EQUAL(cfc_fec_encode(b.bytes, 3, 100, 10, 3, 1, out[0]), CONFCAST_OK);
    memset(b.bytes + 210, 0xff, 90);
    CU_ASSERT_EQUAL(cfc_fec_encode(b.bytes, 3, 100, 10, 3, 1, out[1]), CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(out[0], out[1], 100), 0);
    block_free(&b);
}

static void
a_row_does_not_depend_on_the_others(void)
{
    uint8_t many[16 * 50], one[50];
    struct block b;

    block_make(&b, 20, 50, 50, 6);
    CU_ASSERT_EQUAL(cfc_fec_encode(b.bytes, 20, 50, 50, 100, 16, many), CONFCAST_OK);
    for (uint32_t i = 0; i < 16; i++) {
        CU_ASSERT_EQUAL(cfc_fec_encode(b.bytes, 20, 50, 50, 100 + i, 1, one), CONFCAST_OK);
        CU_ASSERT_EQUAL(memcmp(one, many + i * 50, 50), 0);
    }
    block_free(&b);
}

static void
any_k_symbols_give_the_block_back(void)
{
    struct cfc_prng prng = {99};

    for (uint32_t round = 0; round < 400; round++) {
        uint32_t k = 1 + (uint32_t)cfc_prng_below(&prng, CFC_BLOCK_SYMBOLS_MAX);
        size_t size = 1 + cfc_prng_below(&prng, round % 8 == 0 ? SIZE_MAX_HERE : 90);
        size_t last_size = 1 + cfc_prng_below(&prng, size);
        uint32_t lost_max = k < CFC_FEC_LOST_MAX ? k : CFC_FEC_LOST_MAX;
        uint32_t lost = 1 + (uint32_t)cfc_prng_below(&prng, lost_max);
        bool has_row[256] = {false};
        struct block b;

        block_make(&b, k, size, last_size, round + 1);
        while (lost > 0) {
            uint32_t j = (uint32_t)cfc_prng_below(&prng, k);
            uint32_t row = k + (uint32_t)cfc_prng_below(&prng, 256 - k);

            if (b.rows[j] == 0 && !has_row[row]) {
                has_row[row] = true;
                block_lose(&b, j, row);
                lost--;
            }
        }
        CU_ASSERT_EQUAL(cfc_fec_decode(b.places, k, size, b.rows), CONFCAST_OK);
        CU_ASSERT_EQUAL(memcmp(b.places, b.bytes, k * size), 0);
        block_free(&b);
    }
}

static void
every_single_loss_of_a_full_block_heals_by_every_row(void)
{
    struct block b;

    block_make(&b, 64, 32, 32, 3);
    for (uint32_t j = 0; j < 64; j++) {
        for (uint32_t row = 64; row < 256; row++) {
            block_lose(&b, j, row);
            CU_ASSERT_EQUAL_FATAL(cfc_fec_decode(b.places, 64, 32, b.rows), CONFCAST_OK);
            CU_ASSERT_EQUAL_FATAL(memcmp(b.places, b.bytes, 64 * 32), 0);
            b.rows[j] = 0;
        }
    }
    block_free(&b);
}

static void
a_whole_block_comes_back_from_repair_symbols_alone(void)
{
    struct block b;

    block_make(&b, 32, 200, 200, 4);
    for (uint32_t j = 0; j < 32; j++) {
        block_lose(&b, j, 255 - j);
    }
    CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 32, 200, b.rows), CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(b.places, b.bytes, 32 * 200), 0);
    block_free(&b);
}

static void
a_block_that_lacks_nothing_stays_as_it_is(void)
{
    struct block b;

    block_make(&b, 9, 70, 70, 8);
    CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 9, 70, b.rows), CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(b.places, b.bytes, 9 * 70), 0);
    block_free(&b);
}

/* Fault 38. */
static void
what_the_code_does_not_have_is_refused(void)
{
    static uint8_t bytes[65 * 8];
    static uint8_t out[17 * 8];
    uint8_t row[CFC_BLOCK_SYMBOLS_MAX];

    CU_ASSERT_EQUAL(cfc_fec_row(0, 1, row), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_row(65, 70, row), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_row(4, 3, row), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_row(4, 256, row), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_row(64, 255, row), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 0, 8, 8, 1, 1, out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 65, 8, 8, 65, 1, out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 0, 0, 4, 1, out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 0, 4, 1, out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 9, 4, 1, out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 8, 3, 1, out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 8, 4, 0, out), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 8, 4, 17, out), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 8, 4, 16, out), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 8, 240, 16, out), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 8, 241, 16, out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_encode(bytes, 4, 8, 8, 256, 1, out), CONFCAST_ERR_RANGE);
}

static void
a_system_that_is_none_is_refused_and_nothing_changes(void)
{
    static const struct {
        uint8_t rows[4];
    } bad[] = {{{0, 3, 0, 0}}, {{4, 0, 4, 0}}, {{1, 0, 0, 0}}, {{255, 0, 0, 255}}};
    struct block b;

    block_make(&b, 4, 16, 16, 7);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 4, 16, bad[i].rows), CONFCAST_ERR_RANGE);
    }
    CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 0, 16, b.rows), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 65, 16, b.rows), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 4, 0, b.rows), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(memcmp(b.places, b.bytes, 4 * 16), 0);
    block_free(&b);
}

static void
more_losses_than_the_limit_are_refused_and_nothing_changes(void)
{
    uint8_t *before = malloc(64 * 20);
    struct block b;

    block_make(&b, 64, 20, 20, 7);
    for (uint32_t j = 0; j <= CFC_FEC_LOST_MAX; j++) {
        block_lose(&b, j, 64 + j);
    }
    memcpy(before, b.places, 64 * 20);
    CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 64, 20, b.rows), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(memcmp(b.places, before, 64 * 20), 0);
    memcpy(b.places, b.bytes, 20);
    b.rows[0] = 0;
    CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 64, 20, b.rows), CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(b.places, b.bytes, 64 * 20), 0);
    block_free(&b);
    free(before);
}

static void
a_wrong_repair_symbol_gives_wrong_sources_and_no_crash(void)
{
    struct block b;

    block_make(&b, 10, 48, 48, 11);
    block_lose(&b, 2, 10);
    block_lose(&b, 7, 12);
    b.places[2 * 48 + 5] ^= 1;
    CU_ASSERT_EQUAL(cfc_fec_decode(b.places, 10, 48, b.rows), CONFCAST_OK);
    CU_ASSERT_NOT_EQUAL(memcmp(b.places, b.bytes, 10 * 48), 0);
    block_free(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(rows_are_those_of_the_wire_format),
    CFC_CASE(golden_blocks_have_their_golden_repair_symbols),
    CFC_CASE(every_coefficient_is_the_slow_inverse),
    CFC_CASE(repair_symbols_are_what_slow_arithmetic_gives),
    CFC_CASE(nothing_behind_a_short_last_symbol_is_read),
    CFC_CASE(a_row_does_not_depend_on_the_others),
    CFC_CASE(any_k_symbols_give_the_block_back),
    CFC_CASE(every_single_loss_of_a_full_block_heals_by_every_row),
    CFC_CASE(a_whole_block_comes_back_from_repair_symbols_alone),
    CFC_CASE(a_block_that_lacks_nothing_stays_as_it_is),
    CFC_CASE(what_the_code_does_not_have_is_refused),
    CFC_CASE(a_system_that_is_none_is_refused_and_nothing_changes),
    CFC_CASE(more_losses_than_the_limit_are_refused_and_nothing_changes),
    CFC_CASE(a_wrong_repair_symbol_gives_wrong_sources_and_no_crash),
};

CFC_TEST_MAIN("fec", cases)
