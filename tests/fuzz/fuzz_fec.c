/* A block, and which of its symbols were lost for which repair symbols, from anybody: what the code
 * does not have is refused, everything else comes back byte for byte. */
#include <stdbool.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/fec/fec.h"
#include "tests/fuzz/target.h"

enum {
    HEADER_SIZE = 4
};

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t rows[CFC_BLOCK_SYMBOLS_MAX] = {0};
    uint8_t *block, *places;
    uint32_t k;
    size_t symbol_size, last_size;
    bool is_good = true;
    int code;

    if (size < HEADER_SIZE) {
        return 0;
    }
    k = bytes[0];
    symbol_size = (size_t)1 + bytes[1] + (bytes[2] & 3u) * 256u;
    last_size = 1 + bytes[3] % symbol_size;
    bytes += HEADER_SIZE;
    size -= HEADER_SIZE;
    if (k < 1 || k > CFC_BLOCK_SYMBOLS_MAX) {
        uint8_t out[1] = {0};

        CFC_FUZZ_CHECK(cfc_fec_encode(out, k, 1, 1, k, 1, out) == CONFCAST_ERR_RANGE);
        CFC_FUZZ_CHECK(cfc_fec_decode(out, k, 1, rows) == CONFCAST_ERR_RANGE);
        return 0;
    }
    if (size < k) {
        return 0;
    }
    block = calloc(k, symbol_size);
    places = malloc(k * symbol_size);
    CFC_FUZZ_CHECK(block != NULL && places != NULL);
    for (size_t i = 0; i < (k - 1) * symbol_size + last_size; i++) {
        block[i] = (uint8_t)(bytes[i % size] + i / size);
    }
    memcpy(places, block, k * symbol_size);
    for (uint32_t j = 0; j < k; j++) {
        rows[j] = bytes[j];
        if (rows[j] == 0) {
            continue;
        }
        code =
            cfc_fec_encode(block, k, symbol_size, last_size, rows[j], 1, places + j * symbol_size);
        CFC_FUZZ_CHECK(code == (rows[j] >= k ? CONFCAST_OK : CONFCAST_ERR_RANGE));
        is_good = is_good && rows[j] >= k && memchr(rows, rows[j], j) == NULL;
    }
    code = cfc_fec_decode(places, k, symbol_size, rows);
    if (code == CONFCAST_OK) {
        CFC_FUZZ_CHECK(is_good);
        CFC_FUZZ_CHECK(memcmp(places, block, k * symbol_size) == 0);
    } else {
        CFC_FUZZ_CHECK(code == CONFCAST_ERR_LIMIT || (code == CONFCAST_ERR_RANGE && !is_good));
    }
    free(block);
    free(places);
    return 0;
}
