#include "protocol/snapshot/text.h"

#include <stdint.h>
#include <string.h>

#include "protocol/base/endian.h"

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Bytes of the character that begins at `p`, or 0 when it is ill-formed or NUL.  The ranges are
 * table 3-7 of the Unicode standard. */
static size_t
character_size(const uint8_t *p, const uint8_t *end)
{
    uint8_t lead = *p;
    uint8_t second_min = 0x80;
    uint8_t second_max = 0xbf;
    size_t size;

    if (lead < 0x80) {
        return lead != 0 ? 1 : 0;
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
        size = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        size = 3;
        second_min = lead == 0xe0 ? 0xa0 : 0x80;
        second_max = lead == 0xed ? 0x9f : 0xbf;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        size = 4;
        second_min = lead == 0xf0 ? 0x90 : 0x80;
        second_max = lead == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if ((size_t)(end - p) < size || p[1] < second_min || p[1] > second_max) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool
cfc_utf8_is_valid(const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text;
    const uint8_t *end = p + size;

    while (p < end) {
        size_t step;

        /* Eight bytes at once: all ASCII and none zero, which is nearly always so. */
        if (end - p >= 8) {
            uint64_t word = cfc_get_u64(p);

            if (((word | (word - ONES)) & HIGHS) == 0) {
                p += 8;
                continue;
            }
        }
        step = character_size(p, end);
        if (step == 0) {
            return false;
        }
        p += step;
    }
    return true;
}

/* Lead bytes 0xf0 and up are surrogate pairs in UTF-16, 0xd800 and up, and so sort before 0xee and
 * 0xef, U+E000 and up.  Every other pair of first differing bytes sorts as it is. */
static int
utf16_rank(uint8_t byte)
{
    if (byte < 0xee) {
        return byte;
    }
    return byte >= 0xf0 ? byte - 2 : byte + 16;
}

int
cfc_utf16_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    const uint8_t *pa = (const uint8_t *)a;
    const uint8_t *pb = (const uint8_t *)b;
    size_t common_size = a_size < b_size ? a_size : b_size;
    size_t i = 0;

    while (common_size - i >= 8 && cfc_get_u64(pa + i) == cfc_get_u64(pb + i)) {
        i += 8;
    }
    while (i < common_size && pa[i] == pb[i]) {
        i++;
    }
    if (i < common_size) {
        return utf16_rank(pa[i]) - utf16_rank(pb[i]);
    }
    return (a_size > b_size) - (a_size < b_size);
}
