#include "consumer/contents.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

static uint32_t alive_count; /* references that the test holds besides */

/* A content of which only its name and size matter; the test has a second reference. */
static struct cfc_loaded *
content(uint8_t number, size_t size)
{
    struct cfc_digest id = {.bytes = {number}};
    struct cfc_index index = {.body = NULL};
    struct cfc_loaded *loaded = NULL;

    CU_ASSERT_EQUAL_FATAL(cfc_loaded_take(NULL, size, &id, &index, &loaded), CONFCAST_OK);
    alive_count++;
    return cfc_loaded_ref(loaded);
}

/* Whether only the test has it now; ends it then. */
static bool
is_gone(struct cfc_loaded *loaded)
{
    bool is_last = atomic_load(&loaded->ref_count) == 1;

    if (is_last) {
        cfc_loaded_unref(loaded);
        alive_count--;
    }
    return is_last;
}

static void
what_is_held_is_found_until_it_is_released(void)
{
    struct cfc_contents c = {.held = NULL};
    struct cfc_loaded *all[40];

    for (uint8_t i = 0; i < 40; i++) {
        all[i] = content(i, 100);
        CU_ASSERT_EQUAL(cfc_contents_hold(&c, all[i]), CONFCAST_OK);
    }
    for (uint8_t i = 0; i < 40; i++) {
        CU_ASSERT_PTR_EQUAL(cfc_contents_find(&c, &all[i]->id), all[i]);
    }
    cfc_contents_release(&c, &all[7]->id);
    CU_ASSERT_PTR_NULL(cfc_contents_find(&c, &all[7]->id));
    cfc_contents_release(&c, &all[7]->id); /* nothing happens */
    cfc_contents_free(&c);
    for (uint8_t i = 0; i < 40; i++) {
        CU_ASSERT(is_gone(all[i]));
    }
}

static void
what_was_released_is_kept_and_can_be_taken_once(void)
{
    struct cfc_contents c = {.held = NULL};
    struct cfc_loaded *a = content(1, 100);
    struct cfc_loaded *b = content(2, 100);

    CU_ASSERT_PTR_NULL(cfc_contents_take_kept(&c, &a->id));
    CU_ASSERT_EQUAL(cfc_contents_hold(&c, a), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_contents_hold(&c, b), CONFCAST_OK);
    CU_ASSERT_PTR_NULL(cfc_contents_take_kept(&c, &a->id));
    cfc_contents_release(&c, &a->id);
    cfc_contents_release(&c, &b->id);
    CU_ASSERT_PTR_EQUAL(cfc_contents_take_kept(&c, &a->id), a);
    CU_ASSERT_PTR_NULL(cfc_contents_take_kept(&c, &a->id));
    CU_ASSERT_EQUAL(c.kept_size, 100);
    CU_ASSERT_EQUAL(cfc_contents_hold(&c, a), CONFCAST_OK);
    cfc_contents_free(&c);
    CU_ASSERT(is_gone(a));
    CU_ASSERT(is_gone(b));
}

static void
as_many_are_kept_as_there_is_room_for_and_the_oldest_go(void)
{
    struct cfc_contents c = {.held = NULL};
    struct cfc_loaded *all[CFC_CONTENTS_KEPT_MAX + 1];
    struct cfc_loaded *large[3];

    for (uint8_t i = 0; i < CFC_CONTENTS_KEPT_MAX + 1; i++) {
        all[i] = content(i, 10);
        CU_ASSERT_EQUAL(cfc_contents_hold(&c, all[i]), CONFCAST_OK);
        cfc_contents_release(&c, &all[i]->id);
    }
    CU_ASSERT(is_gone(all[0]));
    CU_ASSERT_FALSE(is_gone(all[1]));
    CU_ASSERT_EQUAL(c.kept_count, CFC_CONTENTS_KEPT_MAX);
    large[0] = content(100, CFC_CONTENTS_KEPT_SIZE_MAX / 2);
    large[1] = content(101, CFC_CONTENTS_KEPT_SIZE_MAX / 2);
    large[2] = content(102, CFC_CONTENTS_KEPT_SIZE_MAX + 1);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(cfc_contents_hold(&c, large[i]), CONFCAST_OK);
        cfc_contents_release(&c, &large[i]->id);
    }
    for (int i = 1; i < CFC_CONTENTS_KEPT_MAX + 1; i++) {
        CU_ASSERT(is_gone(all[i]));
    }
    CU_ASSERT(is_gone(large[2])); /* it would not fit alone, and others do not go for it */
    CU_ASSERT_EQUAL(c.kept_size, CFC_CONTENTS_KEPT_SIZE_MAX);
    CU_ASSERT_EQUAL(c.kept_count, 2);
    cfc_contents_free(&c);
    CU_ASSERT(is_gone(large[0]));
    CU_ASSERT(is_gone(large[1]));
    CU_ASSERT_EQUAL(alive_count, 0);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_is_held_is_found_until_it_is_released),
    CFC_CASE(what_was_released_is_kept_and_can_be_taken_once),
    CFC_CASE(as_many_are_kept_as_there_is_room_for_and_the_oldest_go),
};

CFC_TEST_MAIN("contents", cases)
