/* Keys of an index: hashing them, and telling whether a slot is theirs. */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"
#include "protocol/snapshot/index.h"
#include "protocol/snapshot/layout.h"
#include "protocol/snapshot/lookup.h"

size_t
cfc_index_print_number(char digits[CFC_ELEMENT_DIGITS_MAX], uint32_t number)
{
    char reversed[CFC_ELEMENT_DIGITS_MAX];
    size_t size = 0;

    do {
        reversed[size++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < size; i++) {
        digits[i] = reversed[size - 1 - i];
    }
    return size;
}

/* Hashes a segment that holds escapes: the text between them in place, '~' and '/' for them. */
static uint64_t
hash_escaped(const char *segment, size_t size, uint64_t seed)
{
    /* Aligned by hand: gcc's instrumented stacks do not keep an alignment of 64. */
    uint8_t room[sizeof(XXH3_state_t) + 63];
    XXH3_state_t *state = (XXH3_state_t *)(void *)(((uintptr_t)room + 63) & ~(uintptr_t)63);
    size_t start = 0;

    XXH3_INITSTATE(state);
    XXH3_64bits_reset_withSeed(state, seed);
    for (size_t i = 0; i < size; i++) {
        if (segment[i] == '~') {
            XXH3_64bits_update(state, segment + start, i - start);
            i++;
            XXH3_64bits_update(state, segment[i] == '0' ? "~" : "/", 1);
            start = i + 1;
        }
    }
    XXH3_64bits_update(state, segment + start, size - start);
    return XXH3_64bits_digest(state);
}

uint64_t
cfc_index_hash(const char *pointer, size_t size, uint64_t seed)
{
    uint64_t hash = seed;
    size_t end = 0;

    while (end < size) {
        size_t start = end + 1; /* behind the '/' */
        bool has_escape = false;

        for (end = start; end < size && pointer[end] != '/'; end++) {
            has_escape |= pointer[end] == '~';
        }
        hash = has_escape ? hash_escaped(pointer + start, end - start, hash)
                          : XXH3_64bits_withSeed(pointer + start, end - start, hash);
    }
    return hash;
}

int
cfc_index_key_init(struct cfc_index_key *key, const char *pointer, size_t size, uint64_t seed)
{
    uint32_t segment_offset = 0;
    uint32_t escaped = 0;

    *key = (struct cfc_index_key){0};
    if (size > CFC_BODY_SIZE_MAX || (size > 0 && pointer[0] != '/')) {
        return CONFCAST_ERR_INVALID;
    }
    for (size_t i = 0; i < size; i++) {
        if (pointer[i] == '/') {
            segment_offset = (uint32_t)i + 1;
            escaped = 0;
        } else if (pointer[i] == '~') {
            if (i + 1 == size || (pointer[i + 1] != '0' && pointer[i + 1] != '1')) {
                return CONFCAST_ERR_INVALID;
            }
            escaped = CFC_INDEX_KEY_ESCAPED;
        }
    }
    *key = (struct cfc_index_key){.hash = cfc_index_hash(pointer, size, seed),
                                  .seed = seed,
                                  .pointer = pointer != NULL ? pointer : "",
                                  .size = (uint32_t)size,
                                  .segment_offset = segment_offset | escaped};
    return CONFCAST_OK;
}

bool
cfc_index_escaped_is(const char *segment, size_t size, const char *key, size_t key_size)
{
    size_t i = 0;

    for (size_t k = 0; k < key_size; k++, i++) {
        char c;

        if (i == size) {
            return false;
        }
        c = segment[i];
        if (c == '~') {
            i++;
            c = segment[i] == '0' ? '~' : '/';
        }
        if (c != key[k]) {
            return false;
        }
    }
    return i == size;
}

bool
cfc_index_numbered_is(const struct cfc_index_slot *slot, const struct cfc_index_key *key)
{
    uint32_t segment_offset = key->segment_offset & ~CFC_INDEX_KEY_ESCAPED;
    char digits[CFC_ELEMENT_DIGITS_MAX];
    size_t digit_count;

    if (slot->entry == CFC_ENTRY_ROOT || key->size == 0) {
        return slot->entry == CFC_ENTRY_ROOT && key->size == 0;
    }
    digit_count = cfc_index_print_number(digits, slot->entry & ~CFC_ENTRY_ELEMENT);
    return key->size - segment_offset == digit_count &&
           memcmp(key->pointer + segment_offset, digits, digit_count) == 0;
}

const struct cfc_value *
cfc_index_lookup(const struct cfc_index *index, const struct cfc_index_key *key)
{
    return cfc_index_find(index, key);
}
