/* The table of what the processes of a host want, against plain arrays. */
#include "consumer/xdp/wish_map.h"

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

enum {
    KEYS = 1000,
    STEPS = 200000
};

static void
it_says_what_was_added_and_taken_away(void)
{
    static uint32_t needed[KEYS];
    static uint32_t held[KEYS];
    struct cfc_wish_map map = {.count_max = KEYS, .seed = 7};
    uint64_t random = 1;
    uint32_t at = 0;

    for (int step = 0; step < STEPS; step++) {
        uint32_t *of;
        uint32_t k;
        int by;

        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        k = (uint32_t)(random >> 33) % KEYS;
        of = (random >> 62 & 1) != 0 ? needed : held;
        by = of[k] > 0 && (random >> 61 & 1) != 0 ? -1 : 1;
        by = of[k] > 1 ? -1 : by;
        of[k] += (uint32_t)by;
        CU_ASSERT_EQUAL(cfc_wish_map_add(&map, k << 8, of == needed ? by : 0, of == held ? by : 0),
                        CONFCAST_OK);
        if (step % 1000 == 0) {
            uint32_t count = 0;

            for (uint32_t i = 0; i < KEYS; i++) {
                const struct cfc_wish *wish = cfc_wish_map_find(&map, i << 8);

                count += wish != NULL;
                CU_ASSERT_EQUAL(wish != NULL ? wish->needed : 0, needed[i]);
                CU_ASSERT_EQUAL(wish != NULL ? wish->held : 0, held[i]);
            }
            CU_ASSERT_EQUAL(map.count, count);
        }
    }
    for (const struct cfc_wish *wish; (wish = cfc_wish_map_next(&map, &at)) != NULL;) {
        CU_ASSERT_EQUAL(cfc_wish_map_add(&map, wish->key, -(int)wish->needed, -(int)wish->held),
                        CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(map.count, 0);
    cfc_wish_map_clear(&map);
}

static void
a_full_one_takes_no_other_key_until_one_goes(void)
{
    struct cfc_wish_map map = {.count_max = 100};

    CU_ASSERT_PTR_NULL(cfc_wish_map_find(&map, 0));
    for (uint64_t key = 0; key < 100; key++) {
        CU_ASSERT_EQUAL(cfc_wish_map_add(&map, key, 1, 0), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_wish_map_add(&map, 100, 1, 0), CONFCAST_ERR_RESOURCE);
    CU_ASSERT_PTR_NULL(cfc_wish_map_find(&map, 100));
    CU_ASSERT_EQUAL(cfc_wish_map_add(&map, 99, 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_wish_map_add(&map, 0, -1, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_wish_map_add(&map, 100, 0, 1), CONFCAST_OK);
    CU_ASSERT_PTR_NULL(cfc_wish_map_find(&map, 0));
    cfc_wish_map_clear(&map);
    CU_ASSERT_PTR_NULL(cfc_wish_map_find(&map, 100));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(it_says_what_was_added_and_taken_away),
    CFC_CASE(a_full_one_takes_no_other_key_until_one_goes),
};

int
main(void)
{
    return cfc_test_main("xdp_wish_map", cases, sizeof(cases) / sizeof(cases[0]));
}
