/* How many requests a second an identity may make. */
#include "controlplane/auth/rate.h"

#include <stdio.h>

#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

#define T0 (1000 * CFC_S)

static struct cfc_rate rate;

static bool
take(const char *name, uint64_t now_ns)
{
    uint64_t wait_ns;
    bool may = cfc_rate_take(&rate, name, now_ns, &wait_ns);

    CU_ASSERT_EQUAL(may, wait_ns == 0);
    return may;
}

static void
a_burst_of_one_second_is_let_in_and_then_the_rate(void)
{
    uint64_t wait_ns;

    cfc_rate_init(&rate, 10);
    for (int i = 0; i < 10; i++) {
        CU_ASSERT(take("ann", T0));
    }
    CU_ASSERT_FALSE(cfc_rate_take(&rate, "ann", T0, &wait_ns));
    CU_ASSERT_EQUAL(wait_ns, CFC_S / 10);
    CU_ASSERT_FALSE(take("ann", T0 + CFC_S / 10 - 1));
    CU_ASSERT(take("ann", T0 + CFC_S / 10));
    CU_ASSERT_FALSE(take("ann", T0 + CFC_S / 10));
    for (int i = 0; i < 10; i++) {
        CU_ASSERT(take("ann", T0 + 5 * CFC_S));
    }
    CU_ASSERT_FALSE(take("ann", T0 + 5 * CFC_S));
    cfc_rate_destroy(&rate);
}

static void
one_name_does_not_slow_another(void)
{
    cfc_rate_init(&rate, 1);
    CU_ASSERT(take("ann", T0));
    CU_ASSERT_FALSE(take("ann", T0));
    CU_ASSERT(take("bob", T0));
    CU_ASSERT_FALSE(take("bob", T0));
    cfc_rate_destroy(&rate);
}

static void
a_rate_of_nothing_is_no_limit(void)
{
    cfc_rate_init(&rate, 0);
    for (int i = 0; i < 5000; i++) {
        CU_ASSERT_FATAL(take("ann", T0));
    }
    cfc_rate_destroy(&rate);
}

static void
the_fastest_rate_holds_too(void)
{
    int count = 0;

    cfc_rate_init(&rate, 1000000);
    while (take("ann", T0)) {
        count++;
    }
    CU_ASSERT_EQUAL(count, 1000000);
    cfc_rate_destroy(&rate);
}

/* Who is over the rate stays so while others come: the slot that is nearest to full goes first. */
static void
many_names_crowd_out_the_idle_first(void)
{
    cfc_rate_init(&rate, 2);
    CU_ASSERT(take("ann", T0));
    CU_ASSERT(take("ann", T0));
    CU_ASSERT_FALSE(take("ann", T0));
    for (int i = 0; i < CFC_RATE_SET_COUNT; i++) {
        char name[16];

        snprintf(name, sizeof(name), "n%d", i);
        CU_ASSERT(take(name, T0));
    }
    CU_ASSERT_FALSE(take("ann", T0));
    for (int i = 0; i < 10 * CFC_RATE_SET_COUNT * CFC_RATE_WAYS; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%d", i);
        CU_ASSERT(take(name, T0 + CFC_S));
    }
    cfc_rate_destroy(&rate);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_burst_of_one_second_is_let_in_and_then_the_rate),
    CFC_CASE(one_name_does_not_slow_another),
    CFC_CASE(a_rate_of_nothing_is_no_limit),
    CFC_CASE(the_fastest_rate_holds_too),
    CFC_CASE(many_names_crowd_out_the_idle_first),
};

CFC_TEST_MAIN("rate", cases)
