/* A cfc_alloc for tests: counts what is alive and fails the n-th call, once or for good. */
#ifndef CFC_TESTS_HEAP_H
#define CFC_TESTS_HEAP_H

#include <stdbool.h>
#include <stdlib.h>

#include "protocol/base/alloc.h"

struct cfc_test_heap {
    size_t live_count;
    size_t call_count;
    size_t fail_at; /* number of the call that fails, from 1; 0 = none */
    bool fails_for_good;
};

static inline void *
cfc_test_heap_alloc(void *ctx, size_t size)
{
    struct cfc_test_heap *heap = ctx;
    void *p;

    heap->call_count++;
    if (heap->fail_at != 0 && (heap->call_count == heap->fail_at ||
                               (heap->fails_for_good && heap->call_count > heap->fail_at))) {
        return NULL;
    }
    p = malloc(size);
    heap->live_count += p != NULL;
    return p;
}

static inline void
cfc_test_heap_free(void *ctx, void *p)
{
    struct cfc_test_heap *heap = ctx;

    heap->live_count -= p != NULL;
    free(p);
}

static inline struct cfc_alloc
cfc_test_heap_table(struct cfc_test_heap *heap)
{
    return (struct cfc_alloc){
        .alloc = cfc_test_heap_alloc, .free = cfc_test_heap_free, .ctx = heap};
}

#endif
