/* The lookup of index.h in place: what a read costs is mostly calls, so that readers take this
 * instead.  The layout of slots is the business of this header, index.c and index_key.c. */
#ifndef CFC_SNAPSHOT_LOOKUP_H
#define CFC_SNAPSHOT_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/snapshot/index.h"
#include "protocol/snapshot/layout.h"

enum {
    CFC_INDEX_LINE_SLOTS = 4, /* of 16 bytes: one cache line */
    CFC_INDEX_LINE_SIZE = 64,
    CFC_ELEMENT_DIGITS_MAX = 10
};
_Static_assert(sizeof(struct cfc_index_slot) * CFC_INDEX_LINE_SLOTS == CFC_INDEX_LINE_SIZE,
               "four slots fill a line");

/* The entry of a slot: the offset of the value's key, or the number of an array element, or the
 * root. */
#define CFC_ENTRY_ELEMENT (UINT32_C(1) << 30)
#define CFC_ENTRY_ROOT    (UINT32_C(1) << 31)

/* The rare and slow, in index_key.c: the hash of a pointer under another seed; whether a segment
 * that holds escapes names `key`; whether the slot of an element or of the root is the key's. */
uint64_t cfc_index_hash(const char *pointer, size_t size, uint64_t seed);
bool cfc_index_escaped_is(const char *segment, size_t size, const char *key, size_t key_size);
bool cfc_index_numbered_is(const struct cfc_index_slot *slot, const struct cfc_index_key *key);

/* The number of an array element as its segment spells it; its size. */
size_t cfc_index_print_number(char digits[CFC_ELEMENT_DIGITS_MAX], uint32_t number);

/* The line where the search for a hash begins. */
static inline struct cfc_index_slot *
cfc_index_line_of(const struct cfc_index *index, uint64_t hash)
{
    uint64_t line = ((hash >> 32) * index->line_count) >> 32;

    return index->slots + line * CFC_INDEX_LINE_SLOTS;
}

/* The slot with this hash, or the free one where it belongs.  At least half of the slots are
 * free. */
static inline struct cfc_index_slot *
cfc_index_slot_of(const struct cfc_index *index, uint64_t hash)
{
    struct cfc_index_slot *slot = cfc_index_line_of(index, hash);

    while (slot->value != 0 && slot->hash != hash) {
        if (++slot == index->slots + (size_t)index->line_count * CFC_INDEX_LINE_SLOTS) {
            slot = index->slots;
        }
    }
    return slot;
}

/* memcmp() == 0 without its call, which would be a third of a lookup: keys are short. */
static inline bool
cfc_bytes_are_equal(const char *a, const char *b, size_t size)
{
    uint64_t x;
    uint64_t y;
    uint32_t s;
    uint32_t t;

    if (size >= sizeof(x)) {
        for (size_t i = 0; i < size - sizeof(x); i += sizeof(x)) {
            memcpy(&x, a + i, sizeof(x));
            memcpy(&y, b + i, sizeof(y));
            if (x != y) {
                return false;
            }
        }
        memcpy(&x, a + size - sizeof(x), sizeof(x));
        memcpy(&y, b + size - sizeof(y), sizeof(y));
        return x == y;
    }
    if (size >= sizeof(s)) {
        memcpy(&s, a, sizeof(s));
        memcpy(&t, b, sizeof(t));
        if (s != t) {
            return false;
        }
        memcpy(&s, a + size - sizeof(s), sizeof(s));
        memcpy(&t, b + size - sizeof(t), sizeof(t));
        return s == t;
    }
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

static inline bool
cfc_index_slot_is(const struct cfc_index *index, const struct cfc_index_slot *slot,
                  const struct cfc_index_key *key)
{
    uint32_t segment_offset = key->segment_offset & ~CFC_INDEX_KEY_ESCAPED;
    const char *segment = key->pointer + segment_offset;
    size_t size = key->size - segment_offset;
    uint64_t key_size;
    const uint8_t *p;

    if ((slot->entry & (CFC_ENTRY_ELEMENT | CFC_ENTRY_ROOT)) != 0) {
        return cfc_index_numbered_is(slot, key);
    }
    if (key->size == 0) {
        return false;
    }
    p = cfc_varint_get(index->body + slot->entry, &key_size);
    if (key->segment_offset != segment_offset) {
        return cfc_index_escaped_is(segment, size, (const char *)p, (size_t)key_size);
    }
    return size == key_size && cfc_bytes_are_equal(segment, (const char *)p, size);
}

/* As cfc_index_lookup(). */
static inline const struct cfc_value *
cfc_index_find(const struct cfc_index *index, const struct cfc_index_key *key)
{
    const struct cfc_index_slot *slot;
    uint64_t hash = key->hash;

    if (key->pointer == NULL || index->slots == NULL) {
        return NULL;
    }
    if (__builtin_expect(key->seed != index->seed, 0)) {
        hash = cfc_index_hash(key->pointer, key->size, index->seed);
    }
    slot = cfc_index_slot_of(index, hash);
    if (slot->value == 0 || !cfc_index_slot_is(index, slot, key)) {
        return NULL;
    }
    return (const struct cfc_value *)(index->body + slot->value);
}

#endif
