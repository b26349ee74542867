/* The table of Ethernet addresses. */
#include <string.h>

#include "dataplane/neighbor.h"
#include "tests/unit/cunit_main.h"

#define IPV4(ip) ((const uint8_t[CFC_IP_SIZE])CFC_NET_IPV4(ip))

static const uint8_t mac_a[CFC_MAC_ADDRESS_SIZE] = {2, 0, 0, 0, 0, 1};
static const uint8_t mac_b[CFC_MAC_ADDRESS_SIZE] = {2, 0, 0, 0, 0, 2};

static void
what_was_heard_is_found(void)
{
    struct cfc_neighbors *n = cfc_neighbors_new(16, 1);
    const uint8_t *mac;

    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    CU_ASSERT_PTR_NULL(cfc_neighbors_find(n, IPV4(0x0a000001)));
    cfc_neighbors_learn(n, IPV4(0x0a000001), mac_a, 1);
    mac = cfc_neighbors_find(n, IPV4(0x0a000001));
    CU_ASSERT_PTR_NOT_NULL_FATAL(mac);
    CU_ASSERT_EQUAL(memcmp(mac, mac_a, sizeof(mac_a)), 0);
    CU_ASSERT_PTR_NULL(cfc_neighbors_find(n, IPV4(0x0a000002)));
    CU_ASSERT_PTR_NULL(cfc_neighbors_find(n, IPV4(0)));
    CU_ASSERT_PTR_NULL(cfc_neighbors_find(n, (const uint8_t[CFC_IP_SIZE]){0}));
    cfc_neighbors_free(n);
}

static void
the_newest_way_counts(void)
{
    struct cfc_neighbors *n = cfc_neighbors_new(16, 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    cfc_neighbors_learn(n, IPV4(0x0a000001), mac_a, 1);
    cfc_neighbors_learn(n, IPV4(0x0a000001), mac_b, 2);
    CU_ASSERT_EQUAL(memcmp(cfc_neighbors_find(n, IPV4(0x0a000001)), mac_b, sizeof(mac_b)), 0);
    cfc_neighbors_free(n);
}

static void
a_subnet_fits_a_table_of_its_size(void)
{
    struct cfc_neighbors *n = cfc_neighbors_new(4096, 12345);
    uint32_t found = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    for (uint32_t i = 0; i < 4096; i++) {
        cfc_neighbors_learn(n, IPV4(0x0a4d0000 + i), mac_a, i);
    }
    for (uint32_t i = 0; i < 4096; i++) {
        found += cfc_neighbors_find(n, IPV4(0x0a4d0000 + i)) != NULL;
    }
    CU_ASSERT_TRUE(found >= 4096 - 40);
    cfc_neighbors_free(n);
}

static void
the_oldest_of_a_full_set_goes(void)
{
    /* Room for one: a single set of four. */
    struct cfc_neighbors *n = cfc_neighbors_new(1, 7);

    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    for (uint32_t i = 1; i <= 4; i++) {
        cfc_neighbors_learn(n, IPV4(i), mac_a, 10 + i);
    }
    cfc_neighbors_learn(n, IPV4(1), mac_a, 20); /* 2 is the oldest now */
    cfc_neighbors_learn(n, IPV4(5), mac_b, 21);
    CU_ASSERT_PTR_NULL(cfc_neighbors_find(n, IPV4(2)));
    CU_ASSERT_PTR_NOT_NULL(cfc_neighbors_find(n, IPV4(1)));
    CU_ASSERT_PTR_NOT_NULL(cfc_neighbors_find(n, IPV4(3)));
    CU_ASSERT_PTR_NOT_NULL(cfc_neighbors_find(n, IPV4(4)));
    CU_ASSERT_PTR_NOT_NULL(cfc_neighbors_find(n, IPV4(5)));
    cfc_neighbors_free(n);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_was_heard_is_found),
    CFC_CASE(the_newest_way_counts),
    CFC_CASE(a_subnet_fits_a_table_of_its_size),
    CFC_CASE(the_oldest_of_a_full_set_goes),
};

CFC_TEST_MAIN("dataplane_neighbor", cases)
