/* Tables of damage: each row overwrites a field of a valid frame and names the code that its
 * decoder must give. */
#ifndef CFC_TESTS_WIRE_PATCH_H
#define CFC_TESTS_WIRE_PATCH_H

#include <stdio.h>

#include "tests/unit/wire_fixture.h"

struct patch {
    const char *what;
    size_t offset;
    size_t size; /* 1, 2, 4 or 8 bytes */
    uint64_t value;
    int code;
};

typedef int patch_decode(const struct fixture *f, const struct cfc_frame *frame);

/* How many of the rows give another code than theirs; each is printed. */
static inline unsigned
patches_wrong(const struct fixture *f, const struct patch *patches, size_t count,
              patch_decode *decode)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < count; i++) {
        const struct patch *p = &patches[i];
        uint8_t value[8];
        struct cfc_frame frame;
        uint8_t *copy = malloc(f->size);
        int rc;

        assert(copy != NULL && p->offset + p->size <= f->size);
        memcpy(copy, f->frame, f->size);
        cfc_put_u64(value, p->value);
        memcpy(copy + p->offset, value, p->size);
        rc = cfc_frame_open(copy, f->size, &frame);
        if (rc == CONFCAST_OK) {
            rc = decode(f, &frame);
        }
        if (rc != p->code) {
            printf("\n      %s: %s, not %s", p->what, confcast_error_word(rc),
                   confcast_error_word(p->code));
            wrong++;
        }
        free(copy);
    }
    return wrong;
}

#define PATCHES_WRONG(f, patches, decode)                                                          \
    patches_wrong(f, patches, sizeof(patches) / sizeof((patches)[0]), decode)

/* Of the bits in [begin, end), how many can be flipped so that `accepts` still gives OK. */
static inline unsigned
flips_accepted(const struct fixture *f, size_t begin, size_t end, patch_decode *accepts)
{
    unsigned accepted = 0;

    for (size_t bit = begin * 8; bit < end * 8; bit++) {
        struct cfc_frame frame;
        uint8_t *copy = malloc(f->size);

        assert(copy != NULL);
        memcpy(copy, f->frame, f->size);
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (cfc_frame_open(copy, f->size, &frame) == CONFCAST_OK &&
            accepts(f, &frame) == CONFCAST_OK) {
            printf("\n      bit %zu of byte %zu", bit % 8, bit / 8);
            accepted++;
        }
        free(copy);
    }
    return accepted;
}

#endif
