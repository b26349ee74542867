/* The C library's heap as an allocator, for planes that have nothing better to hand in.  Protocol
 * code does not use it: its memory comes from whoever calls. */
#ifndef CFC_BASE_HEAP_H
#define CFC_BASE_HEAP_H

#include <stdlib.h>

#include "protocol/base/alloc.h"

static inline void *
cfc_heap_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static inline void
cfc_heap_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static const struct cfc_alloc cfc_heap = {.alloc = cfc_heap_alloc, .free = cfc_heap_free};

#endif
