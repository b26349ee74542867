/* Memory from the caller: protocol code that has to size things by its input asks this table, so
 * that a plane decides where memory comes from and a test can make the n-th call fail. */
#ifndef CFC_BASE_ALLOC_H
#define CFC_BASE_ALLOC_H

#include <stddef.h>

struct cfc_alloc {
    /* `size` > 0 bytes, aligned for any type, or NULL. */
    void *(*alloc)(void *ctx, size_t size);
    /* Takes back what alloc gave; NULL is fine. */
    void (*free)(void *ctx, void *p);
    void *ctx;
};

static inline void *
cfc_alloc(const struct cfc_alloc *alloc, size_t size)
{
    return alloc->alloc(alloc->ctx, size);
}

static inline void
cfc_free(const struct cfc_alloc *alloc, void *p)
{
    alloc->free(alloc->ctx, p);
}

#endif
