#include "protocol/snapshot/index.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "protocol/base/prng.h"
#include "protocol/snapshot/layout.h"
#include "protocol/snapshot/lookup.h"
#include "protocol/snapshot/text.h"

enum {
    COLLISION = 1, /* of two pointers, inside this file: try another seed */
    ELEMENT_DIGITS_MAX = 10
};
_Static_assert(CFC_BODY_SIZE_MAX < CFC_ENTRY_ELEMENT,
               "offsets and element numbers fit below the flags");

/* One open container of the walk. */
struct level {
    const uint8_t *end;      /* one past its last byte */
    const char *key;         /* last key; NULL before the first */
    size_t key_size;         /* bytes of it */
    uint64_t hash;           /* of the container's pointer */
    uint32_t left_count;     /* children to come */
    uint32_t element_number; /* of the next element of an array */
    bool is_object;
};

struct walk {
    const uint8_t *body;
    const uint8_t *p;   /* next byte */
    const uint8_t *end; /* of the innermost open container, or of the body */
    struct cfc_index *index;
    uint32_t node_count; /* values seen */
    uint32_t node_count_max;
    uint32_t depth;
    struct level levels[CFC_DEPTH_MAX];
};

/* What precedes the value that comes next. */
struct place {
    uint64_t hash;
    uint32_t entry;
};

static size_t
left(const struct walk *w)
{
    return (size_t)(w->end - w->p);
}

static int
take_varint(struct walk *w, uint64_t *out)
{
    size_t size_max = left(w) < CFC_VARINT_SIZE_MAX ? left(w) : CFC_VARINT_SIZE_MAX;
    uint64_t v = 0;

    for (size_t i = 0; i < size_max; i++) {
        uint8_t byte = w->p[i];

        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            w->p += i + 1;
            *out = v;
            return byte == 0 && i > 0 ? CONFCAST_ERR_CANONICAL : CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_BODY;
}

static int
take_text(struct walk *w, const char **text, size_t *size)
{
    uint64_t v;
    int error = take_varint(w, &v);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (v >= left(w)) { /* the NUL needs a byte as well */
        return CONFCAST_ERR_BODY;
    }
    *text = (const char *)w->p;
    *size = (size_t)v;
    if (w->p[v] != 0) {
        return CONFCAST_ERR_BODY;
    }
    if (!cfc_utf8_is_valid(*text, *size)) {
        return CONFCAST_ERR_ENCODING;
    }
    w->p += v + 1;
    return CONFCAST_OK;
}

static int
take_i64(struct walk *w)
{
    uint64_t v;
    int error = take_varint(w, &v);

    if (error != CONFCAST_OK) {
        return error;
    }
    return v <= cfc_zigzag(CFC_INTEGER_MAX) ? CONFCAST_OK : CONFCAST_ERR_CANONICAL;
}

static int
take_f64(struct walk *w)
{
    double d;

    if (left(w) < sizeof(d)) {
        return CONFCAST_ERR_BODY;
    }
    memcpy(&d, w->p, sizeof(d));
    w->p += sizeof(d);
    if (!isfinite(d) || (fabs(d) <= (double)CFC_INTEGER_MAX && (double)(int64_t)d == d)) {
        return CONFCAST_ERR_CANONICAL;
    }
    return CONFCAST_OK;
}

static int
open_container(struct walk *w, bool is_object, uint64_t hash)
{
    uint64_t count;
    uint64_t size;
    int error = take_varint(w, &count);

    if (error == CONFCAST_OK) {
        error = take_varint(w, &size);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    if (size > left(w) || count > w->node_count_max - w->node_count) {
        return CONFCAST_ERR_BODY;
    }
    if (w->depth == CFC_DEPTH_MAX) {
        return CONFCAST_ERR_DEPTH;
    }
    w->end = w->p + size;
    w->levels[w->depth++] = (struct level){
        .end = w->end, .hash = hash, .left_count = (uint32_t)count, .is_object = is_object};
    return CONFCAST_OK;
}

/* Leaves every container whose children have all been seen. */
static int
close_containers(struct walk *w)
{
    while (w->depth > 0 && w->levels[w->depth - 1].left_count == 0) {
        if (w->p != w->end) {
            return CONFCAST_ERR_BODY;
        }
        w->depth--;
        if (w->depth > 0) {
            w->end = w->levels[w->depth - 1].end;
        }
    }
    return CONFCAST_OK;
}

static int
insert(struct walk *w, const struct place *place)
{
    struct cfc_index_slot *slot = cfc_index_slot_of(w->index, place->hash);

    if (slot->value != 0) {
        return COLLISION;
    }
    *slot = (struct cfc_index_slot){
        .hash = place->hash, .value = (uint32_t)(w->p - w->body), .entry = place->entry};
    return CONFCAST_OK;
}

static int
take_value(struct walk *w, const struct place *place)
{
    const char *text;
    size_t size;
    int error;

    if (left(w) == 0 || w->node_count == w->node_count_max) {
        return CONFCAST_ERR_BODY;
    }
    w->node_count++;
    if (w->index != NULL) {
        error = insert(w, place);
        if (error != CONFCAST_OK) {
            return error;
        }
    }
    switch (*w->p++) {
    case CFC_TAG_NULL:
    case CFC_TAG_FALSE:
    case CFC_TAG_TRUE:
        return CONFCAST_OK;
    case CFC_TAG_I64:
        return take_i64(w);
    case CFC_TAG_F64:
        return take_f64(w);
    case CFC_TAG_STRING:
        return take_text(w, &text, &size);
    case CFC_TAG_ARRAY:
        return open_container(w, false, place->hash);
    case CFC_TAG_OBJECT:
        return open_container(w, true, place->hash);
    default:
        return CONFCAST_ERR_BODY;
    }
}

static size_t
print_number(char digits[ELEMENT_DIGITS_MAX], uint32_t number)
{
    char reversed[ELEMENT_DIGITS_MAX];
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

/* Reads what stands before a child of the innermost container: the key in an object, nothing in an
 * array. */
static int
take_place(struct walk *w, struct place *place)
{
    struct level *level = &w->levels[w->depth - 1];
    char digits[ELEMENT_DIGITS_MAX];
    const char *segment = digits;
    size_t size = 0;
    int error;

    level->left_count--;
    if (level->is_object) {
        place->entry = (uint32_t)(w->p - w->body);
        error = take_text(w, &segment, &size);
        if (error != CONFCAST_OK) {
            return error;
        }
        if (level->key != NULL) {
            int order = cfc_utf16_compare(level->key, level->key_size, segment, size);

            if (order >= 0) {
                return order == 0 ? CONFCAST_ERR_DUPLICATE_KEY : CONFCAST_ERR_CANONICAL;
            }
        }
        level->key = segment;
        level->key_size = size;
    } else {
        place->entry = CFC_ENTRY_ELEMENT | level->element_number;
        if (w->index != NULL) {
            size = print_number(digits, level->element_number);
        }
        level->element_number++;
    }
    if (w->index != NULL) {
        place->hash = XXH3_64bits_withSeed(segment, size, level->hash);
    }
    return CONFCAST_OK;
}

/* Reads the prefix: CONFCAST_OK with w at the root. */
static int
take_prefix(struct walk *w, const void *body, size_t size)
{
    uint64_t node_count;
    int error;

    memset(w, 0, offsetof(struct walk, levels));
    if (size > CFC_BODY_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (size < CFC_BODY_MAGIC_SIZE || memcmp(body, CFC_BODY_MAGIC, CFC_BODY_MAGIC_SIZE) != 0) {
        return CONFCAST_ERR_VERSION;
    }
    w->body = body;
    w->p = w->body + CFC_BODY_MAGIC_SIZE;
    w->end = w->body + size;
    error = take_varint(w, &node_count);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (node_count > CFC_BODY_NODES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    /* Every value has at least its tag, so a count that lies costs no more memory than the bytes
     * that are really there. */
    if (node_count > left(w) || left(w) == 0 || *w->p != CFC_TAG_OBJECT) {
        return CONFCAST_ERR_BODY;
    }
    w->node_count_max = (uint32_t)node_count;
    return CONFCAST_OK;
}

/* Walks all values.  With an index, fills it; COLLISION asks for another seed. */
static int
take_all(struct walk *w, struct cfc_index *index)
{
    const uint8_t *end = w->end;
    struct place place = {.hash = index != NULL ? index->seed : 0, .entry = CFC_ENTRY_ROOT};
    int error;

    w->index = index;
    for (;;) {
        error = take_value(w, &place);
        if (error == CONFCAST_OK) {
            error = close_containers(w);
        }
        if (error != CONFCAST_OK || w->depth == 0) {
            break;
        }
        error = take_place(w, &place);
        if (error != CONFCAST_OK) {
            break;
        }
    }
    if (error == CONFCAST_OK && (w->p != end || w->node_count != w->node_count_max)) {
        error = CONFCAST_ERR_BODY;
    }
    return error;
}

int
cfc_body_validate(const void *body, size_t size)
{
    struct walk walk;
    int error = take_prefix(&walk, body, size);

    return error == CONFCAST_OK ? take_all(&walk, NULL) : error;
}

int
cfc_index_build(struct cfc_index *index, const void *body, size_t size, uint64_t seed,
                const struct cfc_alloc *alloc)
{
    struct cfc_prng seeds = {.state = seed};
    struct walk walk;
    size_t slots_size;
    int error;

    memset(index, 0, sizeof(*index));
    error = take_prefix(&walk, body, size);
    if (error != CONFCAST_OK) {
        return error;
    }
    index->body = body;
    index->body_size = (uint32_t)size;
    index->node_count = walk.node_count_max;
    index->line_count = walk.node_count_max / 2 + 1;
    index->seed = seed;
    slots_size = (size_t)index->line_count * CFC_INDEX_LINE_SIZE;
    index->memory = cfc_alloc(alloc, slots_size + CFC_INDEX_LINE_SIZE - 1);
    if (index->memory == NULL) {
        memset(index, 0, sizeof(*index));
        return CONFCAST_ERR_NO_MEMORY;
    }
    index->slots = (void *)(((uintptr_t)index->memory + CFC_INDEX_LINE_SIZE - 1) &
                            ~(uintptr_t)(CFC_INDEX_LINE_SIZE - 1));
    for (int i = 0; i < CFC_INDEX_TRIES_MAX; i++) {
        memset(index->slots, 0, slots_size);
        error = take_prefix(&walk, body, size);
        assert(error == CONFCAST_OK);
        error = take_all(&walk, index);
        if (error != COLLISION) {
            break;
        }
        index->seed = cfc_prng_next(&seeds);
    }
    if (error != CONFCAST_OK) {
        cfc_index_free(index, alloc);
        return error == COLLISION ? CONFCAST_ERR_LIMIT : error;
    }
    return CONFCAST_OK;
}

void
cfc_index_free(struct cfc_index *index, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, index->memory);
    memset(index, 0, sizeof(*index));
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
    char digits[ELEMENT_DIGITS_MAX];
    size_t digit_count;

    if (slot->entry == CFC_ENTRY_ROOT || key->size == 0) {
        return slot->entry == CFC_ENTRY_ROOT && key->size == 0;
    }
    digit_count = print_number(digits, slot->entry & ~CFC_ENTRY_ELEMENT);
    return key->size - segment_offset == digit_count &&
           memcmp(key->pointer + segment_offset, digits, digit_count) == 0;
}

const struct cfc_value *
cfc_index_lookup(const struct cfc_index *index, const struct cfc_index_key *key)
{
    return cfc_index_find(index, key);
}
