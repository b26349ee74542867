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

/* Inside of this file only. */
enum {
    COLLISION = 1, /* of two pointers: try another seed */
    MORE = 2       /* what is read next is not all here yet */
};

enum {
    AHEAD = 32, /* values whose cache line is fetched before they are put there; a power of two */
    VALUES_PER_BYTE_MAX = 4, /* that an index is begun for before they are here */
    PREFIX_SIZE_MAX = CFC_BODY_MAGIC_SIZE + CFC_VARINT_SIZE_MAX + 1, /* and the root's tag */
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

/* What precedes the value that comes next. */
struct place {
    uint64_t hash;
    uint32_t entry;
};

struct walk {
    const uint8_t *body;
    const uint8_t *p;         /* next byte */
    const uint8_t *end;       /* of the innermost open container, or of the body */
    const uint8_t *available; /* one past the last byte that is here */
    const uint8_t *body_end;
    struct cfc_index *index;
    uint32_t node_count; /* values seen */
    uint32_t node_count_max;
    uint32_t depth;
    bool has_place; /* `place` belongs to the value at `p` */
    struct place place;
    uint32_t ahead_count; /* values handed to `ahead`; the last AHEAD of them at most wait there */
    uint32_t ahead_done;
    struct cfc_index_slot ahead[AHEAD];
    struct level levels[CFC_DEPTH_MAX];
};

static size_t
left(const struct walk *w)
{
    return (size_t)(w->end - w->p);
}

/* Nothing is read beyond `available`; what then lacks is either to come or cut off. */
static int
lacking(const struct walk *w)
{
    return w->available < w->end ? MORE : CONFCAST_ERR_BODY;
}

static size_t
left_here(const struct walk *w)
{
    return (size_t)((w->available < w->end ? w->available : w->end) - w->p);
}

static int
take_varint(struct walk *w, uint64_t *out)
{
    size_t here = left_here(w);
    size_t size_max = here < CFC_VARINT_SIZE_MAX ? here : CFC_VARINT_SIZE_MAX;
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
    return here < CFC_VARINT_SIZE_MAX ? lacking(w) : CONFCAST_ERR_BODY;
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
    if (v >= left_here(w)) {
        return MORE;
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

    if (left_here(w) < sizeof(d)) {
        return left(w) < sizeof(d) ? CONFCAST_ERR_BODY : MORE;
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

/* Puts the oldest value that waits where it belongs. */
static int
insert_one(struct walk *w)
{
    const struct cfc_index_slot *value = &w->ahead[w->ahead_done % AHEAD];
    struct cfc_index_slot *slot = cfc_index_slot_of(w->index, value->hash);

    if (slot->value != 0) {
        return COLLISION;
    }
    *slot = *value;
    w->ahead_done++;
    return CONFCAST_OK;
}

static int
insert_all(struct walk *w)
{
    int error = CONFCAST_OK;

    while (error == CONFCAST_OK && w->ahead_done != w->ahead_count) {
        error = insert_one(w);
    }
    return error;
}

/* Lines of a large index are far away: they are fetched while the values after this one are read.
 */
static int
insert(struct walk *w, const struct place *place, const uint8_t *value)
{
    if (w->ahead_count - w->ahead_done == AHEAD) {
        int error = insert_one(w);

        if (error != CONFCAST_OK) {
            return error;
        }
    }
    w->ahead[w->ahead_count % AHEAD] = (struct cfc_index_slot){
        .hash = place->hash, .value = (uint32_t)(value - w->body), .entry = place->entry};
    w->ahead_count++;
    __builtin_prefetch(cfc_index_line_of(w->index, place->hash), 1);
    return CONFCAST_OK;
}

static int
take_by_tag(struct walk *w, uint64_t hash)
{
    const char *text;
    size_t size;

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
        return open_container(w, false, hash);
    case CFC_TAG_OBJECT:
        return open_container(w, true, hash);
    default:
        return CONFCAST_ERR_BODY;
    }
}

/* The value at `place`; on MORE nothing has happened. */
static int
take_value(struct walk *w)
{
    const uint8_t *value = w->p;
    int error;

    if (left(w) == 0 || w->node_count == w->node_count_max) {
        return CONFCAST_ERR_BODY;
    }
    if (left_here(w) == 0) {
        return MORE;
    }
    w->node_count++;
    error = take_by_tag(w, w->place.hash);
    if (error == MORE) {
        w->p = value;
        w->node_count--;
    } else if (error == CONFCAST_OK && w->index != NULL) {
        error = insert(w, &w->place, value);
    }
    return error;
}

/* The key before a child of an object, which sorts behind the one before it. */
static int
take_key(struct walk *w, struct level *level, const char **segment, size_t *size)
{
    const uint8_t *from = w->p;
    int error = take_text(w, segment, size);

    if (error != CONFCAST_OK) {
        w->p = from;
        return error;
    }
    if (level->key != NULL) {
        int order = cfc_utf16_compare(level->key, level->key_size, *segment, *size);

        if (order >= 0) {
            return order == 0 ? CONFCAST_ERR_DUPLICATE_KEY : CONFCAST_ERR_CANONICAL;
        }
    }
    level->key = *segment;
    level->key_size = *size;
    w->place.entry = (uint32_t)(from - w->body);
    return CONFCAST_OK;
}

/* Reads what stands before a child of the innermost container: the key in an object, nothing in an
 * array.  On MORE nothing has happened. */
static int
take_place(struct walk *w)
{
    struct level *level = &w->levels[w->depth - 1];
    char digits[CFC_ELEMENT_DIGITS_MAX];
    const char *segment = digits;
    size_t size = 0;

    if (level->is_object) {
        int error = take_key(w, level, &segment, &size);

        if (error != CONFCAST_OK) {
            return error;
        }
    } else {
        w->place.entry = CFC_ENTRY_ELEMENT | level->element_number;
        if (w->index != NULL) {
            size = cfc_index_print_number(digits, level->element_number);
        }
        level->element_number++;
    }
    level->left_count--;
    if (w->index != NULL) {
        w->place.hash = XXH3_64bits_withSeed(segment, size, level->hash);
    }
    w->has_place = true;
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
    w->body_end = w->end;
    w->available = w->end;
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

/* To the root, with an index to fill or without. */
static void
begin_walk(struct walk *w, struct cfc_index *index)
{
    w->index = index;
    w->place = (struct place){.hash = index != NULL ? index->seed : 0, .entry = CFC_ENTRY_ROOT};
    w->has_place = true;
}

/* Walks the values that are here.  OK: all of the body is sound and indexed; MORE; COLLISION asks
 * for another seed. */
static int
take_all(struct walk *w)
{
    int error;

    for (;;) {
        error = w->has_place ? CONFCAST_OK : take_place(w);
        if (error == CONFCAST_OK) {
            error = take_value(w);
        }
        if (error == CONFCAST_OK) {
            w->has_place = false;
            error = close_containers(w);
        }
        if (error != CONFCAST_OK || w->depth == 0) {
            break;
        }
    }
    if (error == CONFCAST_OK && (w->p != w->body_end || w->node_count != w->node_count_max)) {
        error = CONFCAST_ERR_BODY;
    }
    return error == CONFCAST_OK && w->index != NULL ? insert_all(w) : error;
}

int
cfc_body_validate(const void *body, size_t size)
{
    struct walk walk;
    int error = take_prefix(&walk, body, size);

    if (error != CONFCAST_OK) {
        return error;
    }
    begin_walk(&walk, NULL);
    return take_all(&walk);
}

struct cfc_index_pass {
    struct cfc_alloc alloc;
    const uint8_t *body;
    size_t size;
    uint64_t seed;          /* asked for */
    struct cfc_index index; /* without memory until the prefix is here */
    struct cfc_prng seeds;  /* after that one */
    uint32_t collision_count;
    int error; /* CONFCAST_OK: all is sound; MORE: so far */
    struct walk walk;
};

/* Empty slots, and the walk at the root. */
static void
restart(struct cfc_index_pass *pass, const uint8_t *available)
{
    int error;

    memset(pass->index.slots, 0, (size_t)pass->index.line_count * CFC_INDEX_LINE_SIZE);
    error = take_prefix(&pass->walk, pass->body, pass->size);
    assert(error == CONFCAST_OK);
    (void)error;
    pass->walk.available = available;
    begin_walk(&pass->walk, &pass->index);
}

/* Takes the memory for as many slots as the prefix says, once enough of the body is here, and
 * nothing on an error. */
static int
begin_index(struct cfc_index_pass *pass, const uint8_t *available)
{
    struct cfc_index *index = &pass->index;
    int error = take_prefix(&pass->walk, pass->body, pass->size);

    if (error != CONFCAST_OK) {
        return error;
    }
    /* Nothing vouches for the count yet: it gets memory in proportion to what has come. */
    if (pass->walk.node_count_max > VALUES_PER_BYTE_MAX * (uint64_t)(available - pass->body)) {
        return MORE;
    }
    index->line_count = pass->walk.node_count_max / 2 + 1;
    index->memory = cfc_alloc(&pass->alloc, (size_t)index->line_count * CFC_INDEX_LINE_SIZE +
                                                CFC_INDEX_LINE_SIZE - 1);
    if (index->memory == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    index->slots = (void *)(((uintptr_t)index->memory + CFC_INDEX_LINE_SIZE - 1) &
                            ~(uintptr_t)(CFC_INDEX_LINE_SIZE - 1));
    index->body = pass->body;
    index->body_size = (uint32_t)pass->size;
    index->node_count = pass->walk.node_count_max;
    index->seed = pass->seed;
    pass->seeds.state = pass->seed;
    restart(pass, available);
    return MORE;
}

static void
begin_pass(struct cfc_index_pass *pass, const void *body, size_t size, uint64_t seed,
           const struct cfc_alloc *alloc)
{
    memset(pass, 0, offsetof(struct cfc_index_pass, walk));
    pass->alloc = *alloc;
    pass->body = body;
    pass->size = size;
    pass->seed = seed;
    pass->error = MORE;
}

struct cfc_index_pass *
cfc_index_begin(const void *body, size_t size, uint64_t seed, const struct cfc_alloc *alloc)
{
    struct cfc_index_pass *pass = cfc_alloc(alloc, sizeof(*pass));

    if (pass != NULL) {
        begin_pass(pass, body, size, seed, alloc);
    }
    return pass;
}

static int
walk_on(struct cfc_index_pass *pass, const uint8_t *available)
{
    int error;

    pass->walk.available = available;
    error = take_all(&pass->walk);
    while (error == COLLISION) {
        if (++pass->collision_count == CFC_INDEX_TRIES_MAX) {
            return CONFCAST_ERR_LIMIT;
        }
        pass->index.seed = cfc_prng_next(&pass->seeds);
        restart(pass, available);
        error = take_all(&pass->walk);
    }
    return error;
}

static int
step(struct cfc_index_pass *pass, size_t available_size)
{
    const uint8_t *available = pass->body + available_size;

    if (pass->error == MORE && pass->index.memory == NULL &&
        (available_size == pass->size || available_size >= PREFIX_SIZE_MAX)) {
        pass->error = begin_index(pass, available);
    }
    if (pass->error == MORE && pass->index.memory != NULL) {
        pass->error = walk_on(pass, available);
    }
    return pass->error;
}

int
cfc_index_step(struct cfc_index_pass *pass, size_t available_size)
{
    int error = step(pass, available_size);

    return error == MORE ? CONFCAST_ERR_AGAIN : error;
}

static int
end_pass(struct cfc_index_pass *pass, struct cfc_index *index)
{
    int error = step(pass, pass->size);

    assert(error != MORE);
    if (error != CONFCAST_OK) {
        cfc_index_free(&pass->index, &pass->alloc);
    }
    *index = pass->index;
    return error;
}

int
cfc_index_end(struct cfc_index_pass *pass, struct cfc_index *index)
{
    struct cfc_alloc alloc = pass->alloc;
    int error = end_pass(pass, index);

    cfc_free(&alloc, pass);
    return error;
}

void
cfc_index_abandon(struct cfc_index_pass *pass)
{
    if (pass != NULL) {
        struct cfc_alloc alloc = pass->alloc;

        cfc_index_free(&pass->index, &alloc);
        cfc_free(&alloc, pass);
    }
}

int
cfc_index_build(struct cfc_index *index, const void *body, size_t size, uint64_t seed,
                const struct cfc_alloc *alloc)
{
    struct cfc_index_pass pass;

    begin_pass(&pass, body, size, seed, alloc);
    return end_pass(&pass, index);
}

void
cfc_index_free(struct cfc_index *index, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, index->memory);
    memset(index, 0, sizeof(*index));
}
