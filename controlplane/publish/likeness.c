#include "controlplane/publish/likeness.h"

#include <stdlib.h>

#include "protocol/base/endian.h"
#include "protocol/base/limits.h"

enum {
    CHOICE_SHIFT = 52, /* a word is chosen whose hash has zeros from here on: one in 4,096 */
    PLACE_SHIFT = 32,  /* ... and the bits below are its place */
    PLACE_COUNT = 1 << (CHOICE_SHIFT - PLACE_SHIFT),
    SAMPLE_COUNT = 64,
    SAMPLE_SIZE = 64 * 1024,
    CHOSEN_MIN = 32, /* fewer say nothing */
    ALIKE_PART = 4   /* this part of them is to be in the base */
};

#define MULTIPLIER UINT64_C(0x9e3779b97f4a7c15) /* 2^64 by the golden ratio */

/* Words chosen, and how many of them are marked. */
struct count {
    size_t chosen;
    size_t found;
};

static bool
is_marked(const uint64_t *marks, uint64_t hash)
{
    uint32_t place = (uint32_t)(hash >> PLACE_SHIFT) % PLACE_COUNT;

    return (marks[place / 64] >> place % 64 & 1) != 0;
}

static void
mark_words(uint64_t *marks, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + sizeof(uint64_t) <= size; i++) {
        uint64_t hash = cfc_get_u64(bytes + i) * MULTIPLIER;

        if (hash >> CHOICE_SHIFT == 0) {
            uint32_t place = (uint32_t)(hash >> PLACE_SHIFT) % PLACE_COUNT;

            marks[place / 64] |= UINT64_C(1) << place % 64;
        }
    }
}

static void
count_words(const uint64_t *marks, const uint8_t *bytes, size_t size, struct count *count)
{
    for (size_t i = 0; i + sizeof(uint64_t) <= size; i++) {
        uint64_t hash = cfc_get_u64(bytes + i) * MULTIPLIER;

        if (hash >> CHOICE_SHIFT == 0) {
            count->chosen++;
            count->found += is_marked(marks, hash);
        }
    }
}

bool
cfc_likeness_fits(size_t base_size, size_t body_size)
{
    size_t window = (size_t)1 << CFC_ZSTD_WINDOW_LOG_MAX;

    return base_size <= window && body_size <= window - base_size;
}

bool
cfc_likeness_is_worth(const uint8_t *base, size_t base_size, const uint8_t *body, size_t body_size)
{
    struct count count = {.chosen = 0};
    size_t step = body_size / SAMPLE_COUNT;
    size_t size = step < SAMPLE_SIZE ? step : SAMPLE_SIZE;
    uint64_t *marks;

    if (body_size <= CFC_LIKENESS_SMALL_MAX) {
        return true;
    }
    marks = calloc(PLACE_COUNT / 64, sizeof(*marks));
    if (marks == NULL) {
        return true;
    }
    mark_words(marks, base, base_size);
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        count_words(marks, body + i * step, size, &count);
    }
    free(marks);
    return count.chosen < CHOSEN_MIN || count.found * ALIKE_PART >= count.chosen;
}
