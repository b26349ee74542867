/* The body: the wire form of one effective config.  Reading and writing it.
 *
 * Layout (docs/wire-format.md is the law):
 *
 *     "CFB" 0x01 | node_count varint | value (the root: an object)
 *     value    = tag u8, then by tag
 *       1 null, 2 false, 3 true                   nothing
 *       4 i64     zigzag varint, |x| <= 2^53 - 1
 *       5 f64     8 bytes, IEEE 754 little endian
 *       6 string  size varint, bytes, NUL
 *       7 array   count varint, size varint, values
 *       8 object  count varint, size varint, members: key (size varint, bytes, NUL), value
 *
 * Varints are LEB128 of at most 8 bytes in their shortest form.  `size` of a container is the bytes
 * after it, `count` its direct children, node_count all values of the body, the root included.
 * Strings and keys are well-formed UTF-8 without NUL; their size leaves out the NUL.  Keys of an
 * object ascend strictly by UTF-16 code units.  A number that is an integer with |x| <= 2^53 - 1 is
 * an i64, every other finite one an f64; there is no NaN, infinity or -0 (which is written as 0).
 * So equal JSON values have equal bytes, whatever they were parsed from.  There are no offsets: a
 * small change of the config is a small change of the bytes.
 *
 * The reader below trusts its bytes: they must have passed cfc_index_build() or cfc_body_validate()
 * of index.h, or come from the writer below.  Readers may run in any number of threads.  A writer
 * belongs to one thread. */
#ifndef CFC_SNAPSHOT_BODY_H
#define CFC_SNAPSHOT_BODY_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/base/alloc.h"
#include "protocol/base/buffer.h"
#include "protocol/base/limits.h"
#include "protocol/snapshot/layout.h"

#define CFC_BODY_MAGIC      "CFB\x01"
#define CFC_BODY_MAGIC_SIZE 4

/* The integers that canonical JSON can hold: +-(2^53 - 1). */
#define CFC_INTEGER_MAX INT64_C(9007199254740991)

enum cfc_type {
    CFC_TYPE_NULL,
    CFC_TYPE_BOOL,
    CFC_TYPE_I64,
    CFC_TYPE_F64,
    CFC_TYPE_STRING,
    CFC_TYPE_ARRAY,
    CFC_TYPE_OBJECT,
};

/* One value in place: a pointer to its tag byte inside of a validated body.  It lives as long as
 * the body's bytes. */
struct cfc_value;

/* The root object. */
const struct cfc_value *cfc_body_root(const void *body);

/* Count of all values of the body, the root included. */
uint32_t cfc_body_node_count(const void *body);

/* Small, and on the path of every read: in the header. */
static inline enum cfc_type
cfc_value_type(const struct cfc_value *value)
{
    static const uint8_t types[] = {
        [CFC_TAG_NULL] = CFC_TYPE_NULL,   [CFC_TAG_FALSE] = CFC_TYPE_BOOL,
        [CFC_TAG_TRUE] = CFC_TYPE_BOOL,   [CFC_TAG_I64] = CFC_TYPE_I64,
        [CFC_TAG_F64] = CFC_TYPE_F64,     [CFC_TAG_STRING] = CFC_TYPE_STRING,
        [CFC_TAG_ARRAY] = CFC_TYPE_ARRAY, [CFC_TAG_OBJECT] = CFC_TYPE_OBJECT,
    };
    uint8_t tag = *(const uint8_t *)value;

    assert(tag >= CFC_TAG_NULL && tag <= CFC_TAG_OBJECT);
    return (enum cfc_type)types[tag];
}

/* Each getter below asks for the type in its name; another type is a broken invariant (assert).
 * cfc_value_f64 takes an I64 too: every one of them is exact as a double. */
static inline bool
cfc_value_bool(const struct cfc_value *value)
{
    uint8_t tag = *(const uint8_t *)value;

    assert(tag == CFC_TAG_TRUE || tag == CFC_TAG_FALSE);
    return tag == CFC_TAG_TRUE;
}

static inline int64_t
cfc_value_i64(const struct cfc_value *value)
{
    const uint8_t *p = (const uint8_t *)value;
    uint64_t v;

    assert(*p == CFC_TAG_I64);
    cfc_varint_get(p + 1, &v);
    return cfc_unzigzag(v);
}

static inline double
cfc_value_f64(const struct cfc_value *value)
{
    const uint8_t *p = (const uint8_t *)value;
    double d;

    if (*p == CFC_TAG_I64) {
        return (double)cfc_value_i64(value);
    }
    assert(*p == CFC_TAG_F64);
    memcpy(&d, p + 1, sizeof(d));
    return d;
}

/* The string in place, NUL-terminated.  *size (bytes, without the NUL) may be NULL. */
static inline const char *
cfc_value_string(const struct cfc_value *value, size_t *size)
{
    const uint8_t *p = (const uint8_t *)value;
    uint64_t v;

    assert(*p == CFC_TAG_STRING);
    p = cfc_varint_get(p + 1, &v);
    if (size != NULL) {
        *size = (size_t)v;
    }
    return (const char *)p;
}

/* Direct children of an array or object. */
uint32_t cfc_value_count(const struct cfc_value *value);

/* Bytes of the value, tag and subtree included.  Equal values have equal bytes. */
size_t cfc_value_size(const struct cfc_value *value);

/* Walks the direct children of a container in their order. */
struct cfc_iter {
    const uint8_t *p;    /* next child */
    uint32_t left_count; /* children not yet visited */
    bool is_object;
};

struct cfc_child {
    const char *key; /* NUL-terminated, inside the body; NULL in an array */
    size_t key_size; /* bytes, without the NUL */
    const struct cfc_value *value;
};

/* `container` is an array or an object (assert). */
struct cfc_iter cfc_iter_of(const struct cfc_value *container);

/* Steps to the next child; false after the last one, and `child` is untouched then. */
bool cfc_iter_next(struct cfc_iter *iter, struct cfc_child *child);

/* The member of an object with this key, or NULL.  Linear in the object's members; the index is for
 * repeated reads. */
const struct cfc_value *cfc_value_member(const struct cfc_value *object, const char *key,
                                         size_t key_size);

/* Builds a body front to back:
 *
 *     cfc_body_writer_init(&w, &alloc);
 *     cfc_body_begin_object(&w);
 *     cfc_body_key(&w, "port", 4);
 *     cfc_body_i64(&w, 7400);
 *     cfc_body_end(&w);
 *     error = cfc_body_finish(&w, &bytes, &size);
 *
 * Errors are sticky: the first one is kept, later calls do nothing and return it, and finish
 * returns it, so a caller may check once at the end.  Codes:
 *   CONFCAST_ERR_INVALID        calls in a wrong order: a value without a key in an object, a key
 * in an array, a second root, a root that is no object, an end too many CONFCAST_ERR_DUPLICATE_KEY
 * the key equals the one before it CONFCAST_ERR_CANONICAL      the key sorts before the one before
 * it: sort with cfc_utf16_compare CONFCAST_ERR_ENCODING       key or string is not well-formed
 * UTF-8 or holds NUL CONFCAST_ERR_NUMBER         NaN, infinity, or an i64 beyond 2^53 - 1
 *   CONFCAST_ERR_DEPTH          more than CFC_DEPTH_MAX containers inside each other
 *   CONFCAST_ERR_LIMIT          CFC_BODY_SIZE_MAX or CFC_BODY_NODES_MAX would be exceeded
 *   CONFCAST_ERR_NO_MEMORY */
struct cfc_body_writer {
    struct cfc_buffer buffer;
    int error;            /* first error, or CONFCAST_OK */
    bool has_key;         /* the key of the next value is written */
    bool has_root;        /* the root has been begun */
    uint32_t depth;       /* open containers */
    uint32_t node_count;  /* values so far */
    uint32_t last_header; /* offset of the newest container's header space */
    uint32_t saved_size;  /* bytes that the closing pass will take out, so far */
    struct cfc_body_level {
        uint32_t header;     /* offset of this container's header space */
        uint32_t saved_size; /* the writer's saved_size when its children began */
        uint32_t count;      /* direct children so far */
        uint32_t key;        /* offset of the last key's bytes; 0 = none yet */
        uint32_t key_size;
        bool is_object;
    } levels[CFC_DEPTH_MAX];
};

/* Formats `w`; allocates nothing yet.  `alloc` is copied. */
void cfc_body_writer_init(struct cfc_body_writer *w, const struct cfc_alloc *alloc);

/* Gives up: frees what was built.  Fine after finish, too. */
void cfc_body_writer_free(struct cfc_body_writer *w);

int cfc_body_begin_object(struct cfc_body_writer *w);
int cfc_body_begin_array(struct cfc_body_writer *w);
int cfc_body_end(struct cfc_body_writer *w); /* ends the innermost open container */
int cfc_body_key(struct cfc_body_writer *w, const char *key, size_t size);
int cfc_body_null(struct cfc_body_writer *w);
int cfc_body_bool(struct cfc_body_writer *w, bool b);
int cfc_body_i64(struct cfc_body_writer *w, int64_t i);
int cfc_body_f64(struct cfc_body_writer *w, double d); /* an integer value becomes an i64 */
int cfc_body_string(struct cfc_body_writer *w, const char *s, size_t size);

/* Appends a copy of a value of another, validated body with its whole subtree. */
int cfc_body_value(struct cfc_body_writer *w, const struct cfc_value *value);

/* Closes the body and hands its bytes over: free them with cfc_free(alloc, bytes).  The writer is
 * empty afterwards, whatever is returned.  CONFCAST_OK or the first error; *bytes is NULL on an
 * error. */
int cfc_body_finish(struct cfc_body_writer *w, uint8_t **bytes, size_t *size);

#endif
