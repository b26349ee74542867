#include "protocol/session/gone_tx.h"

#include "confcast/error.h"
#include "protocol/wire/nack.h"
#include "tests/unit/cunit_main.h"

enum {
    GROUPS = 16
};

#define SCOPE    UINT64_C(0x1234567800000005)
#define SAME     UINT64_C(0x1234567800000006) /* falls on the same place */
#define OTHER    UINT64_C(0x1234567900000007)
#define BEGAN_NS (5 * CFC_S)

static struct cfc_gone_tx gt;

/* Whether a multicast GONE for this scope is due, and no other. */
static bool
tells(uint64_t scope_id)
{
    uint8_t bytes[CFC_GONE_SIZE];
    struct cfc_frame frame;
    struct cfc_gone gone;
    struct cfc_tx tx = {.payload = NULL};

    if (cfc_gone_tx_poll(&gt, bytes, sizeof(bytes), &tx) != CONFCAST_OK) {
        return false;
    }
    CU_ASSERT_TRUE(tx.is_multicast);
    CU_ASSERT_EQUAL(tx.group, scope_id % GROUPS);
    CU_ASSERT_EQUAL(cfc_frame_open(bytes, tx.header_size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_gone_decode(&frame, &gone), CONFCAST_OK);
    CU_ASSERT_EQUAL(gone.want, CFC_WANT_HEAD);
    CU_ASSERT_EQUAL(gone.key, scope_id);
    return cfc_gone_tx_poll(&gt, bytes, sizeof(bytes), &tx) == CONFCAST_ERR_AGAIN;
}

static void
first_askers_of_a_second_are_answered_alone_as_often_as_they_ask(void)
{
    cfc_gone_tx_init(&gt, GROUPS);
    for (uint64_t ns = 0; ns < CFC_GONE_WINDOW_NS; ns += 100 * CFC_MS) {
        CU_ASSERT_FALSE(cfc_gone_tx_covers(&gt, SCOPE, 7, BEGAN_NS + ns));
        CU_ASSERT_FALSE(cfc_gone_tx_covers(&gt, SCOPE, 9, BEGAN_NS + ns));
    }
    CU_ASSERT_FALSE(cfc_gone_tx_is_due(&gt));
    CU_ASSERT_FALSE(tells(SCOPE));
}

static void
third_asker_is_answered_with_all_others_and_then_there_is_quiet(void)
{
    cfc_gone_tx_init(&gt, GROUPS);
    (void)cfc_gone_tx_covers(&gt, SCOPE, 1, BEGAN_NS);
    (void)cfc_gone_tx_covers(&gt, SCOPE, 2, BEGAN_NS);
    CU_ASSERT_TRUE(cfc_gone_tx_covers(&gt, SCOPE, 3, BEGAN_NS));
    CU_ASSERT_TRUE(cfc_gone_tx_is_due(&gt));
    CU_ASSERT_TRUE(tells(SCOPE));
    CU_ASSERT_TRUE(cfc_gone_tx_covers(&gt, SCOPE, 4, BEGAN_NS + CFC_GONE_QUIET_NS - 1));
    CU_ASSERT_FALSE(cfc_gone_tx_is_due(&gt));
    CU_ASSERT_TRUE(cfc_gone_tx_covers(&gt, SCOPE, 5, BEGAN_NS + CFC_GONE_QUIET_NS));
    CU_ASSERT_TRUE(tells(SCOPE));
}

static void
next_second_begins_with_answers_to_single_ones(void)
{
    cfc_gone_tx_init(&gt, GROUPS);
    for (uint32_t i = 0; i < 3; i++) {
        (void)cfc_gone_tx_covers(&gt, SCOPE, i, BEGAN_NS);
    }
    CU_ASSERT_TRUE(tells(SCOPE));
    CU_ASSERT_TRUE(cfc_gone_tx_covers(&gt, SCOPE, 3, BEGAN_NS + CFC_GONE_WINDOW_NS - 1));
    CU_ASSERT_FALSE(cfc_gone_tx_covers(&gt, SCOPE, 3, BEGAN_NS + CFC_GONE_WINDOW_NS));
    CU_ASSERT_FALSE(cfc_gone_tx_is_due(&gt));
}

static void
scopes_that_share_a_place_are_told_apart(void)
{
    cfc_gone_tx_init(&gt, GROUPS);
    for (uint32_t i = 0; i < 3; i++) {
        (void)cfc_gone_tx_covers(&gt, SCOPE, i, BEGAN_NS);
        CU_ASSERT_FALSE(cfc_gone_tx_covers(&gt, SAME, i, BEGAN_NS));
    }
    CU_ASSERT_TRUE(tells(SCOPE));
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(cfc_gone_tx_covers(&gt, OTHER, i, BEGAN_NS), i == 2);
    }
    CU_ASSERT_TRUE(tells(OTHER));
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(cfc_gone_tx_covers(&gt, SAME, i, BEGAN_NS + CFC_GONE_WINDOW_NS), i == 2);
    }
    CU_ASSERT_TRUE(tells(SAME));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(first_askers_of_a_second_are_answered_alone_as_often_as_they_ask),
    CFC_CASE(third_asker_is_answered_with_all_others_and_then_there_is_quiet),
    CFC_CASE(next_second_begins_with_answers_to_single_ones),
    CFC_CASE(scopes_that_share_a_place_are_told_apart),
};

CFC_TEST_MAIN("gone_tx", cases)
