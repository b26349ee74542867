/* What the control plane handed over: what is stale after it came back, and when arenas are free.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/ledger.h"
#include "tests/unit/cunit_main.h"

enum {
    SIZE = 4096,
    CONTENTS_MAX = 64,
    SCOPES_MAX = 8,
};

static struct cfc_arenas arenas;

static struct cfc_ledger *
begin(void)
{
    static const struct cfc_arena_hooks none;
    struct cfc_ledger *l;

    cfc_arenas_init(&arenas, &none);
    l = cfc_ledger_new(&arenas, CONTENTS_MAX, SCOPES_MAX, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    cfc_ledger_begin_connection(l);
    return l;
}

static void
end(struct cfc_ledger *l)
{
    cfc_ledger_free(l);
    cfc_arenas_close(&arenas);
}

static uint32_t
add_arena(uint64_t number)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    uint32_t idx = CFC_ARENA_NONE;

    CU_ASSERT_EQUAL_FATAL(ftruncate(fd, SIZE), 0);
    CU_ASSERT_EQUAL_FATAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    CU_ASSERT_EQUAL_FATAL(cfc_arenas_add(&arenas, number, fd, SIZE, &idx), CONFCAST_OK);
    close(fd);
    return idx;
}

/* Contents 1 and 1 + 256 share their key, the first 8 bytes of their digests. */
static struct cfc_digest
digest(uint32_t number)
{
    struct cfc_digest d = {{0}};

    d.bytes[0] = (uint8_t)number;
    d.bytes[31] = (uint8_t)(number >> 8);
    return d;
}

/* Puts a content and says how many arenas became free by it. */
static uint32_t
put(struct cfc_ledger *l, uint32_t slot, uint32_t content, uint32_t arena, bool is_new,
    struct cfc_ledger_free *out)
{
    struct cfc_digest d = digest(content);

    cfc_ledger_put_content(l, slot, &d, arena, is_new, out);
    return out->count;
}

static void
an_arena_is_free_with_its_last_content(void)
{
    struct cfc_ledger *l = begin();
    uint32_t arena = add_arena(11);
    struct cfc_ledger_free out;

    CU_ASSERT_EQUAL(put(l, 0, 1, arena, true, &out), 0);
    CU_ASSERT_EQUAL(put(l, 1, 2, arena, true, &out), 0);
    CU_ASSERT_EQUAL(cfc_ledger_content_count(l), 2);
    cfc_ledger_release_content(l, 0, &out);
    CU_ASSERT_EQUAL(out.count, 0);
    cfc_ledger_release_content(l, 1, &out);
    CU_ASSERT_EQUAL_FATAL(out.count, 1);
    CU_ASSERT_EQUAL(out.arenas[0], 11);
    CU_ASSERT_EQUAL(cfc_ledger_content_count(l), 0);
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), 0);
    end(l);
}

static void
a_content_handed_over_again_holds_both_arenas(void)
{
    struct cfc_ledger *l = begin();
    uint32_t first = add_arena(11);
    struct cfc_ledger_free out;
    uint32_t second;

    put(l, 0, 1, first, true, &out);
    cfc_ledger_begin_connection(l);
    second = add_arena(21);
    CU_ASSERT_EQUAL(put(l, 0, 1, second, false, &out), 0);
    CU_ASSERT_EQUAL(put(l, 0, 1, second, false, &out), 0);
    CU_ASSERT_EQUAL(arenas.table[second].held_count, 1);
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), 2 * SIZE);
    cfc_ledger_release_content(l, 0, &out);
    /* The control plane of now knows of its own arena only. */
    CU_ASSERT_EQUAL_FATAL(out.count, 1);
    CU_ASSERT_EQUAL(out.arenas[0], 21);
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), 0);
    end(l);
}

static void
the_arena_of_a_connection_between_goes(void)
{
    struct cfc_ledger *l = begin();
    uint32_t first = add_arena(1);
    struct cfc_ledger_free out;

    put(l, 0, 1, first, true, &out);
    cfc_ledger_begin_connection(l);
    put(l, 0, 1, add_arena(1), false, &out);
    cfc_ledger_begin_connection(l);
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), 2 * SIZE);
    CU_ASSERT_EQUAL(put(l, 0, 1, add_arena(1), false, &out), 0);
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), 2 * SIZE);
    end(l);
}

static void
a_later_arena_of_the_same_connection_replaces_the_one_before(void)
{
    struct cfc_ledger *l = begin();
    uint32_t first = add_arena(1);
    uint32_t second = add_arena(2);
    uint32_t third = add_arena(3);
    struct cfc_ledger_free out;

    put(l, 0, 1, first, true, &out);
    CU_ASSERT_EQUAL(put(l, 0, 1, second, false, &out), 0);
    CU_ASSERT_EQUAL_FATAL(put(l, 0, 1, third, false, &out), 1);
    CU_ASSERT_EQUAL(out.arenas[0], 2);
    cfc_ledger_release_content(l, 0, &out);
    CU_ASSERT_EQUAL(out.count, 2);
    end(l);
}

static void
what_was_not_mentioned_again_is_stale(void)
{
    struct cfc_ledger *l = begin();
    uint32_t arena = add_arena(1);
    struct cfc_ledger_free out;
    struct cfc_digest stale;
    struct cfc_digest two = digest(2);
    uint64_t scope_id;

    put(l, 0, 1, arena, true, &out);
    put(l, 1, 2, arena, true, &out);
    put(l, 2, 2, arena, true, &out); /* another coding of it */
    for (uint64_t s = 1; s <= 3; s++) {
        CU_ASSERT_EQUAL(cfc_ledger_put_head(l, s), CONFCAST_OK);
    }
    CU_ASSERT_FALSE(cfc_ledger_stale_content(l, &stale));
    CU_ASSERT_FALSE(cfc_ledger_stale_head(l, &scope_id));

    cfc_ledger_begin_connection(l);
    arena = add_arena(2);
    put(l, 0, 1, arena, false, &out);
    put(l, 3, 3, arena, true, &out);
    cfc_ledger_put_head(l, 2);
    cfc_ledger_put_head(l, 4);
    CU_ASSERT_TRUE_FATAL(cfc_ledger_stale_content(l, &stale));
    CU_ASSERT_TRUE(cfc_digest_equal(&stale, &two));
    cfc_ledger_drop_content(l, &stale); /* both codings */
    CU_ASSERT_FALSE(cfc_ledger_stale_content(l, &stale));
    CU_ASSERT_EQUAL(cfc_ledger_content_count(l), 4);

    CU_ASSERT_TRUE_FATAL(cfc_ledger_stale_head(l, &scope_id));
    CU_ASSERT_EQUAL(scope_id, 1);
    cfc_ledger_drop_head(l, 1);
    CU_ASSERT_TRUE_FATAL(cfc_ledger_stale_head(l, &scope_id));
    CU_ASSERT_EQUAL(scope_id, 3);
    cfc_ledger_drop_head(l, 3);
    CU_ASSERT_FALSE(cfc_ledger_stale_head(l, &scope_id));
    CU_ASSERT_EQUAL(cfc_ledger_head_count(l), 2);
    end(l);
}

static void
one_coding_that_is_mentioned_keeps_the_whole_content(void)
{
    struct cfc_ledger *l = begin();
    uint32_t arena = add_arena(1);
    struct cfc_ledger_free out;
    struct cfc_digest stale;

    put(l, 0, 1, arena, true, &out);
    put(l, 1, 1, arena, true, &out);
    cfc_ledger_begin_connection(l);
    put(l, 1, 1, add_arena(2), false, &out);
    CU_ASSERT_FALSE(cfc_ledger_stale_content(l, &stale));
    end(l);
}

static void
a_dropped_content_that_comes_back_is_current(void)
{
    struct cfc_ledger *l = begin();
    uint32_t arena = add_arena(1);
    struct cfc_digest one = digest(1);
    struct cfc_ledger_free out;
    struct cfc_digest stale;

    put(l, 0, 1, arena, true, &out);
    cfc_ledger_drop_content(l, &one);
    put(l, 0, 1, arena, false, &out);
    cfc_ledger_begin_connection(l);
    CU_ASSERT_TRUE(cfc_ledger_stale_content(l, &stale));
    end(l);
}

static void
contents_with_one_key_are_kept_apart(void)
{
    struct cfc_ledger *l = begin();
    uint32_t arena = add_arena(1);
    struct cfc_digest other = digest(1 + 256);
    struct cfc_ledger_free out;
    struct cfc_digest stale;

    put(l, 0, 1, arena, true, &out);
    put(l, 1, 1 + 256, arena, true, &out);
    put(l, 2, 1 + 512, arena, true, &out);
    cfc_ledger_release_content(l, 1, &out); /* from the middle of the chain */
    put(l, 1, 1 + 256, arena, true, &out);
    cfc_ledger_begin_connection(l);
    arena = add_arena(2);
    put(l, 0, 1, arena, false, &out);
    put(l, 2, 1 + 512, arena, false, &out);
    CU_ASSERT_TRUE_FATAL(cfc_ledger_stale_content(l, &stale));
    CU_ASSERT_TRUE(cfc_digest_equal(&stale, &other));
    cfc_ledger_drop_content(l, &stale);
    CU_ASSERT_FALSE(cfc_ledger_stale_content(l, &stale));
    end(l);
}

static void
heads_are_bounded(void)
{
    struct cfc_ledger *l = begin();

    for (uint64_t s = 0; s < SCOPES_MAX; s++) {
        CU_ASSERT_EQUAL(cfc_ledger_put_head(l, s), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_ledger_put_head(l, SCOPES_MAX), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_ledger_put_head(l, 0), CONFCAST_OK);
    cfc_ledger_drop_head(l, 0);
    cfc_ledger_drop_head(l, 0);
    CU_ASSERT_EQUAL(cfc_ledger_head_count(l), SCOPES_MAX - 1);
    CU_ASSERT_EQUAL(cfc_ledger_put_head(l, SCOPES_MAX), CONFCAST_OK);
    end(l);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(an_arena_is_free_with_its_last_content),
    CFC_CASE(a_content_handed_over_again_holds_both_arenas),
    CFC_CASE(the_arena_of_a_connection_between_goes),
    CFC_CASE(a_later_arena_of_the_same_connection_replaces_the_one_before),
    CFC_CASE(what_was_not_mentioned_again_is_stale),
    CFC_CASE(one_coding_that_is_mentioned_keeps_the_whole_content),
    CFC_CASE(a_dropped_content_that_comes_back_is_current),
    CFC_CASE(contents_with_one_key_are_kept_apart),
    CFC_CASE(heads_are_bounded),
};

CFC_TEST_MAIN("dataplane_ledger", cases)
