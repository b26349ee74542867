/* The writer half of body.h.
 *
 * The size and count of a container stand before its children but are known after them.  So each
 * container first gets fixed header space, which end() fills in with the final numbers, and
 * finish() makes one pass that turns header spaces into varints and closes the gaps. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/layout.h"
#include "protocol/snapshot/text.h"

enum {
    COUNT_SPACE = 4,         /* for node_count, which has at most 4 bytes as a varint */
    HEADER_SPACE = 12,       /* final size u32, count u32, offset of the next header space u32 */
    CONTAINER_HEADER_MIN = 2 /* bytes of the two varints of an empty container */
};

/* The unfinished form is larger than the body, by the header spaces. */
#define UNFINISHED_SIZE_MAX                                                                        \
    (CFC_BODY_SIZE_MAX + (size_t)CFC_BODY_NODES_MAX * (HEADER_SPACE - CONTAINER_HEADER_MIN) +      \
     COUNT_SPACE)
_Static_assert(UNFINISHED_SIZE_MAX <= UINT32_MAX, "offsets into the unfinished form are 32 bits");
_Static_assert(CFC_BODY_NODES_MAX <= 1u << 28, "node_count fits into COUNT_SPACE");

static int
fail(struct cfc_body_writer *w, int error)
{
    if (w->error == CONFCAST_OK) {
        w->error = error;
    }
    return w->error;
}

void
cfc_body_writer_init(struct cfc_body_writer *w, const struct cfc_alloc *alloc)
{
    memset(w, 0, sizeof(*w));
    cfc_buffer_init(&w->buffer, alloc, UNFINISHED_SIZE_MAX);
}

void
cfc_body_writer_free(struct cfc_body_writer *w)
{
    struct cfc_alloc alloc = w->buffer.alloc;

    cfc_buffer_free(&w->buffer);
    cfc_body_writer_init(w, &alloc);
}

/* Room for `size` bytes, counted as written; NULL after an error. */
static uint8_t *
put(struct cfc_body_writer *w, size_t size)
{
    uint8_t *room;
    int error = cfc_buffer_room(&w->buffer, size, &room);

    if (error != CONFCAST_OK) {
        fail(w, error);
        return NULL;
    }
    w->buffer.size += size;
    return room;
}

static void
put_text(struct cfc_body_writer *w, const char *text, size_t size)
{
    uint8_t *p;

    if (size > CFC_BODY_SIZE_MAX) {
        fail(w, CONFCAST_ERR_LIMIT);
        return;
    }
    if (!cfc_utf8_is_valid(text, size)) {
        fail(w, CONFCAST_ERR_ENCODING);
        return;
    }
    p = put(w, cfc_varint_size(size) + size + 1);
    if (p == NULL) {
        return;
    }
    p = cfc_varint_put(p, size);
    if (size > 0) {
        memcpy(p, text, size);
    }
    p[size] = 0;
}

/* Checks that a value may come here, and writes its tag and room for `size` more bytes, which it
 * returns; NULL after an error. */
static uint8_t *
put_value(struct cfc_body_writer *w, uint8_t tag, size_t size)
{
    uint8_t *p;

    if (w->error != CONFCAST_OK) {
        return NULL;
    }
    if (w->depth > 0) {
        struct cfc_body_level *level = &w->levels[w->depth - 1];

        if (level->is_object != w->has_key) {
            fail(w, CONFCAST_ERR_INVALID);
            return NULL;
        }
        level->count++;
    } else if (w->has_root || tag != CFC_TAG_OBJECT) {
        fail(w, CONFCAST_ERR_INVALID);
        return NULL;
    }
    if (w->node_count == CFC_BODY_NODES_MAX) {
        fail(w, CONFCAST_ERR_LIMIT);
        return NULL;
    }
    w->node_count++;
    w->has_key = false;
    p = put(w, 1 + size);
    if (p == NULL) {
        return NULL;
    }
    *p = tag;
    return p + 1;
}

static int
begin(struct cfc_body_writer *w, uint8_t tag)
{
    uint8_t *space;
    uint32_t header;

    if (w->error == CONFCAST_OK && w->depth == CFC_DEPTH_MAX) {
        return fail(w, CONFCAST_ERR_DEPTH);
    }
    if (w->error == CONFCAST_OK && !w->has_root && tag == CFC_TAG_OBJECT) {
        uint8_t *p = put(w, CFC_BODY_MAGIC_SIZE + COUNT_SPACE);

        if (p == NULL) {
            return w->error;
        }
        memcpy(p, CFC_BODY_MAGIC, CFC_BODY_MAGIC_SIZE);
    }
    space = put_value(w, tag, HEADER_SPACE);
    if (space == NULL) {
        return w->error;
    }
    header = (uint32_t)(space - w->buffer.bytes);
    memset(space, 0, HEADER_SPACE);
    if (w->has_root) {
        cfc_put_u32(w->buffer.bytes + w->last_header + 8, header);
    }
    w->has_root = true;
    w->last_header = header;
    w->levels[w->depth++] = (struct cfc_body_level){
        .header = header, .saved_size = w->saved_size, .is_object = tag == CFC_TAG_OBJECT};
    return CONFCAST_OK;
}

int
cfc_body_begin_object(struct cfc_body_writer *w)
{
    return begin(w, CFC_TAG_OBJECT);
}

int
cfc_body_begin_array(struct cfc_body_writer *w)
{
    return begin(w, CFC_TAG_ARRAY);
}

int
cfc_body_end(struct cfc_body_writer *w)
{
    const struct cfc_body_level *level;
    uint32_t size;
    uint8_t *space;

    if (w->error != CONFCAST_OK) {
        return w->error;
    }
    if (w->depth == 0 || w->has_key) {
        return fail(w, CONFCAST_ERR_INVALID);
    }
    level = &w->levels[--w->depth];
    size = (uint32_t)w->buffer.size - level->header - HEADER_SPACE -
           (w->saved_size - level->saved_size);
    space = w->buffer.bytes + level->header;
    cfc_put_u32(space, size);
    cfc_put_u32(space + 4, level->count);
    w->saved_size +=
        HEADER_SPACE - (uint32_t)(cfc_varint_size(size) + cfc_varint_size(level->count));
    return CONFCAST_OK;
}

int
cfc_body_key(struct cfc_body_writer *w, const char *key, size_t size)
{
    struct cfc_body_level *level;

    if (w->error != CONFCAST_OK) {
        return w->error;
    }
    if (w->depth == 0 || w->has_key || !w->levels[w->depth - 1].is_object) {
        return fail(w, CONFCAST_ERR_INVALID);
    }
    level = &w->levels[w->depth - 1];
    if (level->key > 0) {
        const char *last = (const char *)w->buffer.bytes + level->key;
        int order = cfc_utf16_compare(last, level->key_size, key, size);

        if (order >= 0) {
            return fail(w, order == 0 ? CONFCAST_ERR_DUPLICATE_KEY : CONFCAST_ERR_CANONICAL);
        }
    }
    put_text(w, key, size);
    if (w->error != CONFCAST_OK) {
        return w->error;
    }
    level->key = (uint32_t)(w->buffer.size - size - 1);
    level->key_size = (uint32_t)size;
    w->has_key = true;
    return CONFCAST_OK;
}

int
cfc_body_null(struct cfc_body_writer *w)
{
    put_value(w, CFC_TAG_NULL, 0);
    return w->error;
}

int
cfc_body_bool(struct cfc_body_writer *w, bool b)
{
    put_value(w, b ? CFC_TAG_TRUE : CFC_TAG_FALSE, 0);
    return w->error;
}

int
cfc_body_i64(struct cfc_body_writer *w, int64_t i)
{
    uint8_t *p;

    if (w->error == CONFCAST_OK && (i > CFC_INTEGER_MAX || i < -CFC_INTEGER_MAX)) {
        return fail(w, CONFCAST_ERR_NUMBER);
    }
    p = put_value(w, CFC_TAG_I64, cfc_varint_size(cfc_zigzag(i)));
    if (p != NULL) {
        cfc_varint_put(p, cfc_zigzag(i));
    }
    return w->error;
}

int
cfc_body_f64(struct cfc_body_writer *w, double d)
{
    uint8_t *p;

    if (w->error == CONFCAST_OK && !isfinite(d)) {
        return fail(w, CONFCAST_ERR_NUMBER);
    }
    if (fabs(d) <= (double)CFC_INTEGER_MAX && (double)(int64_t)d == d) {
        return cfc_body_i64(w, (int64_t)d);
    }
    p = put_value(w, CFC_TAG_F64, sizeof(d));
    if (p != NULL) {
        memcpy(p, &d, sizeof(d));
    }
    return w->error;
}

int
cfc_body_string(struct cfc_body_writer *w, const char *s, size_t size)
{
    if (put_value(w, CFC_TAG_STRING, 0) != NULL) {
        put_text(w, s, size);
    }
    return w->error;
}

static void
put_scalar(struct cfc_body_writer *w, const struct cfc_value *value)
{
    const char *text;
    size_t size;

    switch (cfc_value_type(value)) {
    case CFC_TYPE_NULL:
        cfc_body_null(w);
        break;
    case CFC_TYPE_BOOL:
        cfc_body_bool(w, cfc_value_bool(value));
        break;
    case CFC_TYPE_I64:
        cfc_body_i64(w, cfc_value_i64(value));
        break;
    case CFC_TYPE_F64:
        cfc_body_f64(w, cfc_value_f64(value));
        break;
    default:
        text = cfc_value_string(value, &size);
        cfc_body_string(w, text, size);
        break;
    }
}

static bool
is_container(const struct cfc_value *value)
{
    enum cfc_type type = cfc_value_type(value);

    return type == CFC_TYPE_ARRAY || type == CFC_TYPE_OBJECT;
}

static void
begin_like(struct cfc_body_writer *w, const struct cfc_value *container)
{
    begin(w, cfc_value_type(container) == CFC_TYPE_OBJECT ? CFC_TAG_OBJECT : CFC_TAG_ARRAY);
}

int
cfc_body_value(struct cfc_body_writer *w, const struct cfc_value *value)
{
    struct cfc_iter levels[CFC_DEPTH_MAX];
    uint32_t depth = 0;
    struct cfc_child child;

    if (!is_container(value)) {
        put_scalar(w, value);
        return w->error;
    }
    begin_like(w, value);
    levels[depth++] = cfc_iter_of(value);
    while (depth > 0 && w->error == CONFCAST_OK) {
        if (!cfc_iter_next(&levels[depth - 1], &child)) {
            cfc_body_end(w);
            depth--;
            continue;
        }
        if (child.key != NULL) {
            cfc_body_key(w, child.key, child.key_size);
        }
        if (is_container(child.value)) {
            begin_like(w, child.value);
            assert(depth < CFC_DEPTH_MAX);
            levels[depth++] = cfc_iter_of(child.value);
        } else {
            put_scalar(w, child.value);
        }
    }
    return w->error;
}

/* Turns the unfinished form into the body, in place: what is written never overtakes what is still
 * to be read. */
static size_t
close_gaps(struct cfc_body_writer *w)
{
    uint8_t *bytes = w->buffer.bytes;
    uint8_t *out = cfc_varint_put(bytes + CFC_BODY_MAGIC_SIZE, w->node_count);
    uint32_t from = CFC_BODY_MAGIC_SIZE + COUNT_SPACE;
    uint32_t header = from + 1;

    while (header != 0) {
        uint32_t size = cfc_get_u32(bytes + header);
        uint32_t count = cfc_get_u32(bytes + header + 4);
        uint32_t next = cfc_get_u32(bytes + header + 8);

        memmove(out, bytes + from, header - from);
        out = cfc_varint_put(out + (header - from), count);
        out = cfc_varint_put(out, size);
        from = header + HEADER_SPACE;
        header = next;
    }
    memmove(out, bytes + from, w->buffer.size - from);
    return (size_t)(out - bytes) + (w->buffer.size - from);
}

int
cfc_body_finish(struct cfc_body_writer *w, uint8_t **bytes, size_t *size)
{
    int error;

    if (w->depth > 0 || !w->has_root) {
        fail(w, CONFCAST_ERR_INVALID);
    }
    if (w->error == CONFCAST_OK) {
        w->buffer.size = close_gaps(w);
        if (w->buffer.size > CFC_BODY_SIZE_MAX) {
            fail(w, CONFCAST_ERR_LIMIT);
        }
    }
    error = w->error;
    *bytes = NULL;
    *size = 0;
    if (error == CONFCAST_OK) {
        *bytes = cfc_buffer_take(&w->buffer, size);
    }
    cfc_body_writer_free(w);
    return error;
}
