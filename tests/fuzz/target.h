/* What every file fuzz_<target>.c defines.  A broken promise is an abort. */
#ifndef CFC_TESTS_FUZZ_TARGET_H
#define CFC_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/alloc.h"

/* 0; the bytes are the engine's. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Stays on in every build, unlike what a sanitizer finds. */
#define CFC_FUZZ_CHECK(condition)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void *
cfc_fuzz_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static inline void
cfc_fuzz_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static const struct cfc_alloc cfc_fuzz_heap = {cfc_fuzz_alloc, cfc_fuzz_free, NULL};

#endif
