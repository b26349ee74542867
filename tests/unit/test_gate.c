/* The gate: room, order, and who may be let in by whom. */
#include "controlplane/api/gate.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/cunit_main.h"

struct visitor {
    struct cfc_gate_entry entry;
    char name;
};

static struct cfc_gate gate;
static struct visitor visitors[8];
static char gone[16]; /* names, in the order in which they were told to go */

static void
on_go(struct cfc_gate_entry *entry)
{
    struct visitor *v = (struct visitor *)((char *)entry - offsetof(struct visitor, entry));
    size_t size = strlen(gone);

    CU_ASSERT(entry->is_in);
    gone[size] = v->name;
    gone[size + 1] = '\0';
}

static void
begin(size_t max)
{
    cfc_gate_init(&gate, max);
    gone[0] = '\0';
    for (size_t i = 0; i < sizeof(visitors) / sizeof(visitors[0]); i++) {
        visitors[i] = (struct visitor){.entry.go = on_go, .name = (char)('a' + i)};
    }
}

static struct cfc_gate_entry *
weighing(size_t idx, size_t size)
{
    visitors[idx].entry.size = size;
    return &visitors[idx].entry;
}

static void
leave(size_t idx)
{
    cfc_gate_leave(&gate, &visitors[idx].entry);
}

static void
there_is_room_up_to_the_limit_and_not_beyond(void)
{
    begin(100);
    CU_ASSERT(cfc_gate_try(&gate, weighing(0, 60)));
    CU_ASSERT_FALSE(cfc_gate_try(&gate, weighing(1, 41)));
    CU_ASSERT(cfc_gate_try(&gate, weighing(2, 40)));
    CU_ASSERT_FALSE(cfc_gate_try(&gate, weighing(3, 1)));
    leave(2);
    CU_ASSERT(cfc_gate_try(&gate, weighing(3, 1)));
    CU_ASSERT_EQUAL(gate.total, 61);
    leave(0);
    leave(3);
    CU_ASSERT_EQUAL(gate.total, 0);
    cfc_gate_destroy(&gate);
}

static void
one_that_is_too_big_passes_alone(void)
{
    begin(100);
    CU_ASSERT(cfc_gate_try(&gate, weighing(0, SIZE_MAX)));
    CU_ASSERT_FALSE(cfc_gate_try(&gate, weighing(1, 1)));
    leave(0);
    CU_ASSERT(cfc_gate_try(&gate, weighing(1, 1)));
    CU_ASSERT_FALSE(cfc_gate_try(&gate, weighing(0, SIZE_MAX)));
    leave(1);
    cfc_gate_destroy(&gate);
}

static void
they_go_in_their_order_and_nobody_passes_the_first(void)
{
    begin(100);
    CU_ASSERT(cfc_gate_try(&gate, weighing(0, 90)));
    cfc_gate_wait(&gate, weighing(1, 80));
    cfc_gate_wait(&gate, weighing(2, 10));
    /* There would be room for c and for d, but b waits. */
    CU_ASSERT_STRING_EQUAL(gone, "");
    CU_ASSERT_FALSE(cfc_gate_try(&gate, weighing(3, 5)));
    leave(0);
    CU_ASSERT_STRING_EQUAL(gone, "bc");
    CU_ASSERT(cfc_gate_try(&gate, weighing(3, 5)));
    leave(1);
    leave(2);
    leave(3);
    CU_ASSERT_EQUAL(gate.total, 0);
    CU_ASSERT_PTR_NULL(gate.last);
    cfc_gate_destroy(&gate);
}

static void
who_finds_room_on_coming_to_wait_goes_at_once(void)
{
    begin(100);
    CU_ASSERT(cfc_gate_try(&gate, weighing(0, 100)));
    CU_ASSERT_FALSE(cfc_gate_try(&gate, weighing(1, 50)));
    leave(0); /* between the try and the wait */
    cfc_gate_wait(&gate, weighing(1, 50));
    CU_ASSERT_STRING_EQUAL(gone, "b");
    leave(1);
    cfc_gate_destroy(&gate);
}

static void
who_is_in_is_weighed_once_and_leaves_once(void)
{
    begin(100);
    CU_ASSERT(cfc_gate_try(&gate, weighing(0, 60)));
    CU_ASSERT(cfc_gate_try(&gate, &visitors[0].entry));
    CU_ASSERT_EQUAL(gate.total, 60);
    leave(0);
    leave(0);
    leave(1); /* was never in */
    CU_ASSERT_EQUAL(gate.total, 0);
    cfc_gate_destroy(&gate);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(there_is_room_up_to_the_limit_and_not_beyond),
    CFC_CASE(one_that_is_too_big_passes_alone),
    CFC_CASE(they_go_in_their_order_and_nobody_passes_the_first),
    CFC_CASE(who_finds_room_on_coming_to_wait_goes_at_once),
    CFC_CASE(who_is_in_is_weighed_once_and_leaves_once),
};

CFC_TEST_MAIN("gate", cases)
