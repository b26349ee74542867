#include "protocol/fec/fec.h"

#include <string.h>

#include <isa-l/erasure_code.h>

#include "confcast/error.h"

enum {
    TABLE_SIZE = 32,  /* that ISA-L needs for one coefficient */
    STRIPE_SIZE = 512 /* bytes of each symbol that decode holds at one time */
};

int
cfc_fec_row(uint32_t k, uint32_t row, uint8_t *coefficients)
{
    if (k < 1 || k > CFC_BLOCK_SYMBOLS_MAX || row < k || row > CFC_FEC_ROW_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    for (uint32_t j = 0; j < k; j++) {
        coefficients[j] = gf_inv((unsigned char)(row ^ j));
    }
    return CONFCAST_OK;
}

/* ISA-L writes to none of its sources, though it does not say so. */
static void
combine(const uint8_t *tables, uint32_t in_count, uint8_t **in, uint32_t out_count, uint8_t **out,
        size_t size)
{
    ec_encode_data((int)size, (int)in_count, (int)out_count, (unsigned char *)(uintptr_t)tables, in,
                   out);
}

int
cfc_fec_encode(const uint8_t *symbols, uint32_t k, size_t size, size_t last_size,
               uint32_t first_row, uint32_t row_count, uint8_t *out)
{
    uint8_t matrix[CFC_FEC_ENCODE_MAX * CFC_BLOCK_SYMBOLS_MAX];
    uint8_t tables[CFC_FEC_ENCODE_MAX * CFC_BLOCK_SYMBOLS_MAX * TABLE_SIZE];
    uint8_t *in[CFC_BLOCK_SYMBOLS_MAX];
    uint8_t *rows[CFC_FEC_ENCODE_MAX];

    if (k < 1 || k > CFC_BLOCK_SYMBOLS_MAX || size < 1 || last_size < 1 || last_size > size ||
        first_row < k || first_row > CFC_FEC_ROW_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (row_count < 1 || row_count > CFC_FEC_ENCODE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (first_row + row_count - 1 > CFC_FEC_ROW_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    for (uint32_t j = 0; j < k; j++) {
        in[j] = (uint8_t *)(uintptr_t)symbols + j * size;
    }
    for (uint32_t i = 0; i < row_count; i++) {
        rows[i] = out + i * size;
        (void)cfc_fec_row(k, first_row + i, matrix + (size_t)i * k);
    }
    ec_init_tables((int)k, (int)row_count, matrix, tables);
    combine(tables, k, in, row_count, rows, last_size);
    if (last_size == size) {
        return CONFCAST_OK;
    }
    /* Where the last symbol has ended, only the others add something. */
    for (uint32_t j = 0; j + 1 < k; j++) {
        in[j] += last_size;
    }
    for (uint32_t i = 0; i < row_count; i++) {
        rows[i] += last_size;
        memmove(matrix + (size_t)i * (k - 1), matrix + (size_t)i * k, k - 1);
    }
    if (k == 1) {
        for (uint32_t i = 0; i < row_count; i++) {
            memset(rows[i], 0, size - last_size);
        }
        return CONFCAST_OK;
    }
    ec_init_tables((int)k - 1, (int)row_count, matrix, tables);
    combine(tables, k - 1, in, row_count, rows, size - last_size);
    return CONFCAST_OK;
}

/* What is lacking: source symbols lost[], in whose places the repair symbols rows[] stand. */
struct system {
    uint32_t count;
    uint8_t lost[CFC_FEC_LOST_MAX];
    uint8_t rows[CFC_FEC_LOST_MAX];
    uint8_t *places[CFC_FEC_LOST_MAX];
    uint32_t known_count;
    uint8_t known[CFC_BLOCK_SYMBOLS_MAX];
    uint8_t *known_places[CFC_BLOCK_SYMBOLS_MAX];
};

static int
read_system(uint8_t *symbols, uint32_t k, size_t size, const uint8_t *rows, struct system *s)
{
    uint32_t lost_count = 0;
    uint64_t seen[4] = {0, 0, 0, 0};

    s->count = 0;
    s->known_count = 0;
    for (uint32_t j = 0; j < k; j++) {
        uint32_t row = rows[j];

        if (row == 0) {
            s->known[s->known_count] = (uint8_t)j;
            s->known_places[s->known_count++] = symbols + j * size;
            continue;
        }
        if (row < k || (seen[row / 64] >> (row % 64) & 1) != 0) {
            return CONFCAST_ERR_RANGE;
        }
        seen[row / 64] |= UINT64_C(1) << (row % 64);
        if (++lost_count <= CFC_FEC_LOST_MAX) {
            s->lost[s->count] = (uint8_t)j;
            s->rows[s->count] = (uint8_t)row;
            s->places[s->count++] = symbols + j * size;
        }
    }
    return lost_count <= CFC_FEC_LOST_MAX ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

/* The inverse of the matrix 1 / (rows[i] xor lost[j]), row by row (S. Schechter, On the inversion
 * of certain matrices, 1959).  Rows are k or more, and what is lost is below k, so that no factor
 * is zero. */
static void
invert(const struct system *s, uint8_t *out)
{
    uint8_t by_row[CFC_FEC_LOST_MAX];
    uint8_t by_lost[CFC_FEC_LOST_MAX];
    uint32_t e = s->count;

    for (uint32_t i = 0; i < e; i++) {
        uint8_t row_top = 1, row_bottom = 1, lost_top = 1, lost_bottom = 1;

        for (uint32_t j = 0; j < e; j++) {
            row_top = gf_mul(row_top, (uint8_t)(s->rows[i] ^ s->lost[j]));
            lost_top = gf_mul(lost_top, (uint8_t)(s->rows[j] ^ s->lost[i]));
            if (j != i) {
                row_bottom = gf_mul(row_bottom, (uint8_t)(s->rows[i] ^ s->rows[j]));
                lost_bottom = gf_mul(lost_bottom, (uint8_t)(s->lost[i] ^ s->lost[j]));
            }
        }
        by_row[i] = gf_mul(row_top, gf_inv(row_bottom));
        by_lost[i] = gf_mul(lost_top, gf_inv(lost_bottom));
    }
    for (uint32_t i = 0; i < e; i++) {
        for (uint32_t j = 0; j < e; j++) {
            out[i * e + j] =
                gf_mul(gf_mul(by_lost[i], by_row[j]), gf_inv((uint8_t)(s->rows[j] ^ s->lost[i])));
        }
    }
}

static void
xor_into(uint8_t *to, const uint8_t *from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] ^= from[i];
    }
}

/* Takes what is known out of the repair symbols [first, first + count): what stays depends on what
 * is lost alone. */
static void
subtract_known(const struct system *s, uint32_t first, uint32_t count, size_t size)
{
    uint8_t matrix[CFC_FEC_ENCODE_MAX * CFC_BLOCK_SYMBOLS_MAX];
    uint8_t tables[CFC_FEC_ENCODE_MAX * CFC_BLOCK_SYMBOLS_MAX * TABLE_SIZE];
    uint8_t sums[CFC_FEC_ENCODE_MAX][STRIPE_SIZE];
    uint8_t *in[CFC_BLOCK_SYMBOLS_MAX];
    uint8_t *out[CFC_FEC_ENCODE_MAX];

    if (s->known_count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        out[i] = sums[i];
        for (uint32_t j = 0; j < s->known_count; j++) {
            matrix[i * s->known_count + j] = gf_inv((uint8_t)(s->rows[first + i] ^ s->known[j]));
        }
    }
    ec_init_tables((int)s->known_count, (int)count, matrix, tables);
    for (size_t at = 0; at < size; at += STRIPE_SIZE) {
        size_t stripe = size - at < STRIPE_SIZE ? size - at : STRIPE_SIZE;

        for (uint32_t j = 0; j < s->known_count; j++) {
            in[j] = s->known_places[j] + at;
        }
        combine(tables, s->known_count, in, count, out, stripe);
        for (uint32_t i = 0; i < count; i++) {
            xor_into(s->places[first + i] + at, sums[i], stripe);
        }
    }
}

static void
solve(const struct system *s, size_t size)
{
    uint8_t matrix[CFC_FEC_LOST_MAX * CFC_FEC_LOST_MAX];
    uint8_t tables[CFC_FEC_LOST_MAX * CFC_FEC_LOST_MAX * TABLE_SIZE];
    uint8_t stripes[CFC_FEC_LOST_MAX][STRIPE_SIZE];
    uint8_t *in[CFC_FEC_LOST_MAX];
    uint8_t *out[CFC_FEC_LOST_MAX];

    invert(s, matrix);
    ec_init_tables((int)s->count, (int)s->count, matrix, tables);
    for (size_t at = 0; at < size; at += STRIPE_SIZE) {
        size_t stripe = size - at < STRIPE_SIZE ? size - at : STRIPE_SIZE;

        for (uint32_t i = 0; i < s->count; i++) {
            memcpy(stripes[i], s->places[i] + at, stripe);
            in[i] = stripes[i];
            out[i] = s->places[i] + at;
        }
        combine(tables, s->count, in, s->count, out, stripe);
    }
}

int
cfc_fec_decode(uint8_t *symbols, uint32_t k, size_t size, const uint8_t *rows)
{
    struct system s;
    int code;

    if (k < 1 || k > CFC_BLOCK_SYMBOLS_MAX || size < 1) {
        return CONFCAST_ERR_RANGE;
    }
    code = read_system(symbols, k, size, rows, &s);
    if (code != CONFCAST_OK || s.count == 0) {
        return code;
    }
    for (uint32_t first = 0; first < s.count; first += CFC_FEC_ENCODE_MAX) {
        uint32_t left = s.count - first;

        subtract_known(&s, first, left < CFC_FEC_ENCODE_MAX ? left : CFC_FEC_ENCODE_MAX, size);
    }
    solve(&s, size);
    return CONFCAST_OK;
}
