/* Bounded readers and writers over bytes.  An access past the end sets a sticky flag and yields
 * zeroes (or writes nothing), so that a decoder checks once, after its last field.  No state
 * outside the struct. */
#ifndef CFC_BASE_CURSOR_H
#define CFC_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/base/endian.h"

struct cfc_reader {
    const uint8_t *p;   /* next byte */
    const uint8_t *end; /* one past the last byte */
    bool has_failed;    /* an access went past the end */
};

static inline struct cfc_reader
cfc_reader_of(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;

    return (struct cfc_reader){.p = p, .end = size > 0 ? p + size : p, .has_failed = false};
}

static inline size_t
cfc_reader_left(const struct cfc_reader *r)
{
    return (size_t)(r->end - r->p);
}

/* The next `size` bytes in place, or NULL past the end. */
static inline const uint8_t *
cfc_read_bytes(struct cfc_reader *r, size_t size)
{
    const uint8_t *p = r->p;

    if (r->has_failed || cfc_reader_left(r) < size) {
        r->has_failed = true;
        return NULL;
    }
    r->p += size;
    return p;
}

static inline void
cfc_read_copy(struct cfc_reader *r, void *out, size_t size)
{
    const uint8_t *p = cfc_read_bytes(r, size);

    if (p != NULL && size > 0) {
        memcpy(out, p, size);
    } else if (size > 0) {
        memset(out, 0, size);
    }
}

static inline uint8_t
cfc_read_u8(struct cfc_reader *r)
{
    const uint8_t *p = cfc_read_bytes(r, 1);

    return p != NULL ? *p : 0;
}

static inline uint16_t
cfc_read_u16(struct cfc_reader *r)
{
    const uint8_t *p = cfc_read_bytes(r, 2);

    return p != NULL ? cfc_get_u16(p) : 0;
}

static inline uint32_t
cfc_read_u32(struct cfc_reader *r)
{
    const uint8_t *p = cfc_read_bytes(r, 4);

    return p != NULL ? cfc_get_u32(p) : 0;
}

static inline uint64_t
cfc_read_u64(struct cfc_reader *r)
{
    const uint8_t *p = cfc_read_bytes(r, 8);

    return p != NULL ? cfc_get_u64(p) : 0;
}

struct cfc_writer {
    uint8_t *start;  /* first byte of the buffer */
    uint8_t *p;      /* next byte to write */
    uint8_t *end;    /* one past the last byte of the buffer */
    bool has_failed; /* something did not fit */
};

static inline struct cfc_writer
cfc_writer_of(void *bytes, size_t capacity)
{
    uint8_t *p = bytes;

    return (struct cfc_writer){
        .start = p, .p = p, .end = capacity > 0 ? p + capacity : p, .has_failed = false};
}

static inline size_t
cfc_writer_size(const struct cfc_writer *w)
{
    return (size_t)(w->p - w->start);
}

/* Room for `size` bytes to fill in place, or NULL when they do not fit. */
static inline uint8_t *
cfc_write_room(struct cfc_writer *w, size_t size)
{
    uint8_t *p = w->p;

    if (w->has_failed || (size_t)(w->end - w->p) < size) {
        w->has_failed = true;
        return NULL;
    }
    w->p += size;
    return p;
}

static inline void
cfc_write_bytes(struct cfc_writer *w, const void *bytes, size_t size)
{
    uint8_t *p = cfc_write_room(w, size);

    if (p != NULL && size > 0) {
        memcpy(p, bytes, size);
    }
}

static inline void
cfc_write_zero(struct cfc_writer *w, size_t size)
{
    uint8_t *p = cfc_write_room(w, size);

    if (p != NULL && size > 0) {
        memset(p, 0, size);
    }
}

static inline void
cfc_write_u8(struct cfc_writer *w, uint8_t v)
{
    cfc_write_bytes(w, &v, 1);
}

static inline void
cfc_write_u16(struct cfc_writer *w, uint16_t v)
{
    cfc_write_bytes(w, &v, 2);
}

static inline void
cfc_write_u32(struct cfc_writer *w, uint32_t v)
{
    cfc_write_bytes(w, &v, 4);
}

static inline void
cfc_write_u64(struct cfc_writer *w, uint64_t v)
{
    cfc_write_bytes(w, &v, 8);
}

#endif
