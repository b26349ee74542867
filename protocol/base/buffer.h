/* A byte buffer that grows through a cfc_alloc up to a stated limit.  One thread at a time. */
#ifndef CFC_BASE_BUFFER_H
#define CFC_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"

struct cfc_buffer {
    uint8_t *bytes;  /* NULL until something was reserved */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t size_max; /* limit of `size` */
    struct cfc_alloc alloc;
};

/* Formats `buffer` as empty; allocates nothing.  `size_max` is an inclusive limit. */
void cfc_buffer_init(struct cfc_buffer *buffer, const struct cfc_alloc *alloc, size_t size_max);

/* Gives the memory back and leaves an empty buffer. */
void cfc_buffer_free(struct cfc_buffer *buffer);

/* Room for `size` more bytes at the end, not yet counted in `size`: fill it, then raise
 * buffer->size.  *room is valid until the next call on this buffer.  CONFCAST_ERR_LIMIT above
 * size_max, CONFCAST_ERR_NO_MEMORY; the buffer is unchanged then. */
int cfc_buffer_room(struct cfc_buffer *buffer, size_t size, uint8_t **room);

/* Appends a copy of `bytes`.  Errors as cfc_buffer_room(). */
int cfc_buffer_add(struct cfc_buffer *buffer, const void *bytes, size_t size);

/* Hands the memory over: the caller frees it with cfc_free(&alloc, bytes).  The buffer is empty
 * afterwards. */
uint8_t *cfc_buffer_take(struct cfc_buffer *buffer, size_t *size);

#endif
