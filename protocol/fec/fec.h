/* Erasure coding of one block: Reed-Solomon over GF(2^8) with a Cauchy matrix, as
 * docs/wire-format.md fixes it (the systematic MDS code of RFC 5510 with another matrix).
 *
 * A block has k source symbols of `size` bytes, one after the other.  Repair symbol number `row`,
 * k <= row <= 255, is the sum over j < k of source symbol j times 1 / (row xor j).  A row does not
 * depend on how many others there are, so a sender goes on making fresh ones: any k different
 * symbols of a block, whichever they are, give it back.
 *
 * The arithmetic of symbols is ISA-L's (docs/adr/0062-erasure-code.md).  It verifies nothing: what
 * was decoded is only as good as what it was decoded from, so check it against its leaves.  No
 * state, no allocation; any thread.  decode takes about 60 KiB of stack, encode 33. */
#ifndef CFC_FEC_FEC_H
#define CFC_FEC_FEC_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"

enum {
    CFC_FEC_ROW_MAX = 255,                      /* so k + the number of repair symbols <= 256 */
    CFC_FEC_ENCODE_MAX = CFC_REPAIR_LEAVES_MAX, /* rows that one call makes */
    CFC_FEC_LOST_MAX = 32                       /* source symbols that one block can get back */
};

/* The coefficients of one row, k of them.  RANGE for k outside 1..64 or a row outside k..255. */
int cfc_fec_row(uint32_t k, uint32_t row, uint8_t *coefficients);

/* Makes the repair symbols first_row, first_row + 1, ... into `out`, row_count * size bytes.
 * `symbols` holds the k source symbols, of which the last one may be shorter (last_size bytes; it
 * counts as padded with zeroes, and nothing behind it is read).
 *   RANGE   k outside 1..64, size 0, last_size outside 1..size, first_row below k, a row above 255
 *   LIMIT   row_count 0 or above CFC_FEC_ENCODE_MAX */
int cfc_fec_encode(const uint8_t *symbols, uint32_t k, size_t size, size_t last_size,
                   uint32_t first_row, uint32_t row_count, uint8_t *out);

/* Gives back the source symbols that a block lacks, in place.  `symbols` is k * size bytes, all of
 * full size (the last one padded with zeroes).  rows[j] is 0 when place j holds source symbol j;
 * else source symbol j is lacking and its place holds repair symbol rows[j], any order, none twice.
 * On CONFCAST_OK every place holds its source symbol; else nothing was changed.
 *   RANGE   k outside 1..64, size 0, a row outside k..255 or named twice
 *   LIMIT   more than CFC_FEC_LOST_MAX lacking
 * Only the e lacking symbols are computed: the known ones are taken out of the e repair symbols,
 * and an e x e Cauchy matrix is inverted by its closed form, which always exists. */
int cfc_fec_decode(uint8_t *symbols, uint32_t k, size_t size, const uint8_t *rows);

#endif
