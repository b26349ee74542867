/* The bytes of a body, tags and varints.  For the files of this folder; others read through
 * body.h. */
#ifndef CFC_SNAPSHOT_LAYOUT_H
#define CFC_SNAPSHOT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

enum {
    CFC_TAG_NULL = 1,
    CFC_TAG_FALSE = 2,
    CFC_TAG_TRUE = 3,
    CFC_TAG_I64 = 4,
    CFC_TAG_F64 = 5,
    CFC_TAG_STRING = 6,
    CFC_TAG_ARRAY = 7,
    CFC_TAG_OBJECT = 8,
};

enum {
    CFC_VARINT_SIZE_MAX = 8 /* 56 bits: a zigzag integer has 54 */
};

/* Reads a varint that is known to be well formed; returns the byte after it. */
static inline const uint8_t *
cfc_varint_get(const uint8_t *p, uint64_t *out)
{
    uint64_t v = *p & 0x7f;
    unsigned shift = 0;

    while ((*p++ & 0x80) != 0) {
        shift += 7;
        v |= (uint64_t)(*p & 0x7f) << shift;
    }
    *out = v;
    return p;
}

static inline size_t
cfc_varint_size(uint64_t v)
{
    size_t size = 1;

    while (v >= 0x80) {
        v >>= 7;
        size++;
    }
    return size;
}

/* Writes the shortest form; returns the byte after it. */
static inline uint8_t *
cfc_varint_put(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static inline uint64_t
cfc_zigzag(int64_t i)
{
    return ((uint64_t)i << 1) ^ (i < 0 ? UINT64_MAX : 0);
}

static inline int64_t
cfc_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
