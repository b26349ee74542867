#include "controlplane/publish/likeness.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/prng.h"
#include "tests/unit/cunit_main.h"

enum {
    SIZE = 8 << 20,
    WINDOW = 1 << 27
};

static uint8_t *
random_bytes(size_t size, uint64_t seed)
{
    struct cfc_prng g = {seed};
    uint8_t *bytes = malloc(size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = cfc_prng_next(&g);

        memcpy(bytes + i, &word, 8);
    }
    return bytes;
}

/* Whether a body is worth it of which `permille` lie in the base, in pieces all over it, each of
 * them moved by some bytes. */
static bool
is_worth(unsigned permille)
{
    enum {
        PIECE = 1000
    };
    uint8_t *base = random_bytes(SIZE, 1);
    uint8_t *body = random_bytes(SIZE, 2);
    struct cfc_prng g = {3};
    bool is_worth_it;

    for (size_t i = 0; i + 2 * PIECE < SIZE; i += PIECE) {
        if (cfc_prng_below(&g, 1000) < permille) {
            memcpy(body + i, base + i + 3, PIECE);
        }
    }
    is_worth_it = cfc_likeness_is_worth(base, SIZE, body, SIZE);
    free(base);
    free(body);
    return is_worth_it;
}

static void
a_quarter_in_common_is_worth_a_try(void)
{
    CU_ASSERT_TRUE(is_worth(1000));
    CU_ASSERT_TRUE(is_worth(500));
    CU_ASSERT_TRUE(is_worth(330));
    CU_ASSERT_FALSE(is_worth(170));
    CU_ASSERT_FALSE(is_worth(0));
}

static void
small_bodies_are_tried_without_a_look(void)
{
    uint8_t *base = random_bytes(SIZE, 1);
    uint8_t *body = random_bytes(SIZE, 2);

    CU_ASSERT_TRUE(cfc_likeness_is_worth(base, SIZE, body, CFC_LIKENESS_SMALL_MAX));
    CU_ASSERT_FALSE(cfc_likeness_is_worth(base, SIZE, body, 4 * CFC_LIKENESS_SMALL_MAX));
    free(base);
    free(body);
}

static void
what_tells_nothing_is_tried(void)
{
    uint8_t *base = random_bytes(SIZE, 1);
    uint8_t *body = malloc(SIZE);

    memset(body, 'x', SIZE); /* one word, which is not chosen */
    CU_ASSERT_TRUE(cfc_likeness_is_worth(base, SIZE, body, SIZE));
    CU_ASSERT_FALSE(cfc_likeness_is_worth(base, 7, base, SIZE)); /* no word at all in the base */
    free(base);
    free(body);
}

static void
both_bodies_fit_into_the_decoders_window(void)
{
    CU_ASSERT_TRUE(cfc_likeness_fits(1, WINDOW - 1));
    CU_ASSERT_TRUE(cfc_likeness_fits(WINDOW / 2, WINDOW / 2));
    CU_ASSERT_FALSE(cfc_likeness_fits(WINDOW / 2, WINDOW / 2 + 1));
    CU_ASSERT_FALSE(cfc_likeness_fits(WINDOW + 1, 1));
    CU_ASSERT_FALSE(cfc_likeness_fits(2, SIZE_MAX));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_quarter_in_common_is_worth_a_try),
    CFC_CASE(small_bodies_are_tried_without_a_look),
    CFC_CASE(what_tells_nothing_is_tried),
    CFC_CASE(both_bodies_fit_into_the_decoders_window),
};

CFC_TEST_MAIN("likeness", cases)
