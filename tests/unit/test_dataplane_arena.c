/* Shared memory: what is mapped, what is refused, and when it is let go of. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/arena.h"
#include "tests/unit/cunit_main.h"

enum {
    SIZE = 8192,
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
};

static struct cfc_arenas arenas;
static uint32_t mapped_count;
static uint32_t unmapping_count;

static void
on_mapped(void *ctx, const uint8_t *bytes, uint64_t size)
{
    CU_ASSERT_PTR_EQUAL(ctx, &arenas);
    CU_ASSERT_EQUAL(bytes[0], 0);
    CU_ASSERT_EQUAL(size, SIZE);
    mapped_count++;
}

static void
on_unmapping(void *ctx, const uint8_t *bytes, uint64_t size)
{
    CU_ASSERT_PTR_EQUAL(ctx, &arenas);
    CU_ASSERT_EQUAL(bytes[size - 1], (uint8_t)(SIZE - 1)); /* still mapped */
    unmapping_count++;
}

static void
init(void)
{
    struct cfc_arena_hooks hooks = {.mapped = on_mapped, .unmapping = on_unmapping, .ctx = &arenas};

    mapped_count = 0;
    unmapping_count = 0;
    cfc_arenas_init(&arenas, &hooks);
    cfc_arenas_begin_connection(&arenas);
}

/* A memfd with byte i = i, and these seals. */
static int
make_memory(int seals)
{
    uint8_t bytes[SIZE];
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    for (int i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)i;
    }
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(write(fd, bytes, SIZE), SIZE);
    CU_ASSERT_EQUAL_FATAL(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static int
add(uint64_t number, uint32_t *idx)
{
    int fd = make_memory(SEALS);
    int rc = cfc_arenas_add(&arenas, number, fd, SIZE, idx);

    close(fd);
    return rc;
}

static void
sealed_memory_is_mapped_and_outlives_its_descriptor(void)
{
    const uint8_t *bytes;
    uint32_t found;
    uint32_t idx;

    init();
    CU_ASSERT_EQUAL_FATAL(add(7, &idx), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_arenas_find(&arenas, 7, &found), CONFCAST_OK);
    CU_ASSERT_EQUAL(found, idx);
    CU_ASSERT_EQUAL(cfc_arenas_find(&arenas, 8, &found), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), SIZE);
    bytes = cfc_arena_range(&arenas, idx, 4000, 100);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    CU_ASSERT_EQUAL(bytes[99], (uint8_t)4099);
    CU_ASSERT_EQUAL(mapped_count, 1);
    cfc_arenas_close(&arenas);
    CU_ASSERT_EQUAL(unmapping_count, 1);
}

static void
memory_without_each_of_the_seals_is_refused(void)
{
    static const int lacking[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
    uint32_t idx;

    init();
    for (size_t i = 0; i < sizeof(lacking) / sizeof(lacking[0]); i++) {
        int fd = make_memory(SEALS & ~lacking[i]);

        CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, 1, fd, SIZE, &idx), CONFCAST_ERR_INVALID);
        close(fd);
    }
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), 0);
    CU_ASSERT_EQUAL(mapped_count, 0);
}

static void
memory_that_its_maker_still_adds_to_is_mapped(void)
{
    int fd = make_memory(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
    uint32_t idx;

    init();
    CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, 1, fd, SIZE, &idx), CONFCAST_OK);
    close(fd);
    cfc_arenas_close(&arenas);
}

static void
what_is_no_memory_is_refused(void)
{
    int fds[2];
    uint32_t idx;

    init();
    CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
    CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, 1, fds[0], SIZE, &idx), CONFCAST_ERR_INVALID);
    close(fds[0]);
    close(fds[1]);
    CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, 1, -1, SIZE, &idx), CONFCAST_ERR_INVALID);
}

static void
a_size_that_is_not_the_memorys_is_refused(void)
{
    int fd = make_memory(SEALS);
    uint32_t idx;

    init();
    CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, 1, fd, SIZE - 1, &idx), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, 1, fd, SIZE + 1, &idx), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, 1, fd, 0, &idx), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, 1, fd, CFC_ARENA_SIZE_MAX + 1, &idx),
                    CONFCAST_ERR_LIMIT);
    close(fd);
}

static void
ranges_end_with_the_arena(void)
{
    uint32_t idx;

    init();
    CU_ASSERT_EQUAL_FATAL(add(1, &idx), CONFCAST_OK);
    CU_ASSERT_PTR_NOT_NULL(cfc_arena_range(&arenas, idx, 0, SIZE));
    CU_ASSERT_PTR_NULL(cfc_arena_range(&arenas, idx, 0, SIZE + 1));
    CU_ASSERT_PTR_NULL(cfc_arena_range(&arenas, idx, 1, SIZE));
    CU_ASSERT_PTR_NOT_NULL(cfc_arena_range(&arenas, idx, SIZE, 0));
    CU_ASSERT_PTR_NULL(cfc_arena_range(&arenas, idx, SIZE + 1, 0));
    CU_ASSERT_PTR_NULL(cfc_arena_range(&arenas, idx, UINT64_MAX, 2));
    CU_ASSERT_PTR_NULL(cfc_arena_range(&arenas, idx, 2, UINT64_MAX));
    cfc_arenas_close(&arenas);
}

static void
a_number_serves_once_in_a_connection(void)
{
    uint32_t first;
    uint32_t second;

    init();
    CU_ASSERT_EQUAL_FATAL(add(1, &first), CONFCAST_OK);
    CU_ASSERT_EQUAL(add(1, &second), CONFCAST_ERR_EXISTS);
    cfc_arenas_hold(&arenas, first);
    cfc_arenas_begin_connection(&arenas);
    CU_ASSERT_EQUAL(cfc_arenas_find(&arenas, 1, &second), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(add(1, &second), CONFCAST_OK);
    CU_ASSERT_NOT_EQUAL(first, second);
    cfc_arenas_close(&arenas);
}

static void
the_last_content_releases_the_arena(void)
{
    uint64_t number = 0;
    uint32_t idx;

    init();
    CU_ASSERT_EQUAL_FATAL(add(9, &idx), CONFCAST_OK);
    cfc_arenas_hold(&arenas, idx);
    cfc_arenas_hold(&arenas, idx);
    CU_ASSERT_FALSE(cfc_arenas_release(&arenas, idx, &number));
    CU_ASSERT_EQUAL(unmapping_count, 0);
    CU_ASSERT_TRUE(cfc_arenas_release(&arenas, idx, &number));
    CU_ASSERT_EQUAL(number, 9);
    CU_ASSERT_EQUAL(unmapping_count, 1);
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), 0);
}

static void
an_arena_of_an_earlier_connection_is_released_in_silence(void)
{
    uint64_t number;
    uint32_t held;
    uint32_t empty;

    init();
    CU_ASSERT_EQUAL_FATAL(add(1, &held), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(add(2, &empty), CONFCAST_OK);
    cfc_arenas_hold(&arenas, held);
    cfc_arenas_begin_connection(&arenas);
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), SIZE); /* the empty one went at once */
    CU_ASSERT_FALSE(cfc_arenas_release(&arenas, held, &number));
    CU_ASSERT_EQUAL(cfc_arenas_size(&arenas), 0);
    CU_ASSERT_EQUAL(unmapping_count, 2);
}

static void
the_table_is_bounded(void)
{
    int fd = make_memory(SEALS);
    uint32_t idx;

    init();
    for (uint32_t i = 0; i < CFC_ARENAS_MAX; i++) {
        CU_ASSERT_EQUAL_FATAL(cfc_arenas_add(&arenas, i, fd, SIZE, &idx), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_arenas_add(&arenas, CFC_ARENAS_MAX, fd, SIZE, &idx), CONFCAST_ERR_LIMIT);
    close(fd);
    cfc_arenas_close(&arenas);
    CU_ASSERT_EQUAL(unmapping_count, CFC_ARENAS_MAX);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(sealed_memory_is_mapped_and_outlives_its_descriptor),
    CFC_CASE(memory_without_each_of_the_seals_is_refused),
    CFC_CASE(memory_that_its_maker_still_adds_to_is_mapped),
    CFC_CASE(what_is_no_memory_is_refused),
    CFC_CASE(a_size_that_is_not_the_memorys_is_refused),
    CFC_CASE(ranges_end_with_the_arena),
    CFC_CASE(a_number_serves_once_in_a_connection),
    CFC_CASE(the_last_content_releases_the_arena),
    CFC_CASE(an_arena_of_an_earlier_connection_is_released_in_silence),
    CFC_CASE(the_table_is_bounded),
};

CFC_TEST_MAIN("dataplane_arena", cases)
