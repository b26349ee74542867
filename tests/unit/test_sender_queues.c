/* The containers under the sender: key map, turns and the queue of upcalls. */
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/heap.h"
#include "protocol/base/prng.h"
#include "protocol/session/key_map.h"
#include "protocol/session/turns.h"
#include "protocol/session/upcall_queue.h"
#include "tests/unit/cunit_main.h"

static void
key_map_agrees_with_a_plain_array_under_random_use(void)
{
    enum {
        KEYS = 64,
        COUNT_MAX = 40
    };
    struct cfc_prng prng = {.state = 11};
    uint32_t expected[KEYS];
    struct cfc_key_map map;
    uint32_t count = 0;

    memset(expected, 0xff, sizeof(expected));
    CU_ASSERT_EQUAL_FATAL(cfc_key_map_init(&map, COUNT_MAX, 5, &cfc_heap), CONFCAST_OK);
    for (uint32_t round = 0; round < 200000; round++) {
        uint32_t key = (uint32_t)cfc_prng_below(&prng, KEYS);
        uint32_t value = (uint32_t)cfc_prng_below(&prng, 1000);

        if (cfc_prng_below(&prng, 2) == 0) {
            cfc_key_map_remove(&map, key);
            count -= expected[key] != CFC_KEY_MAP_NONE;
            expected[key] = CFC_KEY_MAP_NONE;
        } else if (expected[key] != CFC_KEY_MAP_NONE || count < COUNT_MAX) {
            cfc_key_map_put(&map, key, value);
            count += expected[key] == CFC_KEY_MAP_NONE;
            expected[key] = value;
        }
        CU_ASSERT_EQUAL_FATAL(map.count, count);
        for (uint32_t i = 0; i < KEYS; i++) {
            CU_ASSERT_EQUAL_FATAL(cfc_key_map_get(&map, i), expected[i]);
        }
    }
    cfc_key_map_free(&map, &cfc_heap);
}

static void
clients_take_turns_whatever_each_has_waiting(void)
{
    struct cfc_turns turns;
    uint32_t served[3] = {0};

    CU_ASSERT_EQUAL_FATAL(cfc_turns_init(&turns, 3, 100, &cfc_heap), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_turns_next(&turns), CFC_SLOT_NONE);
    for (uint32_t node = 0; node < 90; node++) {
        cfc_turns_add(&turns, 0, node);
    }
    cfc_turns_add(&turns, 1, 90);
    cfc_turns_add(&turns, 2, 91);
    for (uint32_t i = 0; i < 30; i++) {
        served[turns.clients[turns.ring.head]]++;
        cfc_turns_rotate(&turns);
    }
    CU_ASSERT_EQUAL(served[0], 10);
    CU_ASSERT_EQUAL(served[1], 10);
    CU_ASSERT_EQUAL(served[2], 10);
    cfc_turns_free(&turns, &cfc_heap);
}

static void
client_is_served_in_the_order_of_its_nodes_and_leaves_with_the_last(void)
{
    struct cfc_turns turns;

    CU_ASSERT_EQUAL_FATAL(cfc_turns_init(&turns, 2, 10, &cfc_heap), CONFCAST_OK);
    cfc_turns_add(&turns, 1, 7);
    cfc_turns_add(&turns, 1, 3);
    cfc_turns_add(&turns, 0, 5);
    CU_ASSERT_EQUAL(cfc_turns_next(&turns), 7);
    cfc_turns_remove(&turns, 1, 7);
    CU_ASSERT_EQUAL(cfc_turns_next(&turns), 3);
    cfc_turns_remove(&turns, 1, 3);
    CU_ASSERT_EQUAL(cfc_turns_next(&turns), 5);
    cfc_turns_rotate(&turns);
    CU_ASSERT_EQUAL(cfc_turns_next(&turns), 5);
    cfc_turns_remove(&turns, 0, 5);
    CU_ASSERT_EQUAL(cfc_turns_next(&turns), CFC_SLOT_NONE);
    cfc_turns_rotate(&turns);
    CU_ASSERT_EQUAL(cfc_turns_next(&turns), CFC_SLOT_NONE);
    cfc_turns_free(&turns, &cfc_heap);
}

static uint8_t upcall_bytes[9000];

static struct cfc_upcall
upcall_of(uint32_t number, size_t frame_size)
{
    static char id[8];

    memset(id, (int)('a' + number % 26), sizeof(id));
    memset(upcall_bytes, (int)number, sizeof(upcall_bytes));
    return (struct cfc_upcall){.type = number % 2 == 0 ? CFC_UPCALL_REPORT : CFC_UPCALL_CONSUMER,
                               .id = id,
                               .id_size = 1 + number % 8,
                               .address = cfc_address_ipv4(number, (uint16_t)number),
                               .frame = upcall_bytes,
                               .frame_size = frame_size};
}

static void
check_upcall(const struct cfc_upcall *up, uint32_t number, size_t frame_size)
{
    struct cfc_address address = cfc_address_ipv4(number, (uint16_t)number);

    CU_ASSERT_EQUAL(up->type, number % 2 == 0 ? CFC_UPCALL_REPORT : CFC_UPCALL_CONSUMER);
    CU_ASSERT_EQUAL_FATAL(up->id_size, 1 + number % 8);
    CU_ASSERT_EQUAL(up->id[up->id_size - 1], (char)('a' + number % 26));
    CU_ASSERT_TRUE(cfc_address_equal(&up->address, &address));
    CU_ASSERT_EQUAL_FATAL(up->frame_size, frame_size);
    for (size_t i = 0; i < frame_size; i++) {
        CU_ASSERT_EQUAL_FATAL(up->frame[i], (uint8_t)number);
    }
}

static void
upcalls_come_in_order_through_many_turns_of_the_ring(void)
{
    struct cfc_prng prng = {.state = 12};
    struct cfc_upcall_queue queue;
    static size_t sizes[20000];
    uint32_t pushed = 0;
    uint32_t polled = 0;
    uint32_t refused = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_upcall_queue_init(&queue, &cfc_heap), CONFCAST_OK);
    while (polled < 19000) {
        struct cfc_upcall up;

        /* Long stretches of filling and of emptying reach both ends. */
        if (pushed < 20000 && cfc_prng_below(&prng, 10) < (polled / 1000 % 2 == 0 ? 7u : 3u)) {
            size_t size = cfc_prng_below(&prng, sizeof(upcall_bytes) + 1);

            up = upcall_of(pushed, size);
            if (cfc_upcall_queue_push(&queue, &up) == CONFCAST_OK) {
                sizes[pushed++] = size;
            } else {
                CU_ASSERT_TRUE_FATAL(pushed - polled > 20);
                refused++;
            }
        } else if (cfc_upcall_queue_poll(&queue, &up) == CONFCAST_OK) {
            check_upcall(&up, polled, sizes[polled]);
            polled++;
        } else {
            CU_ASSERT_EQUAL_FATAL(pushed, polled);
        }
    }
    CU_ASSERT_TRUE(refused > 100);
    cfc_upcall_queue_free(&queue, &cfc_heap);
}

static void
full_ring_refuses_and_takes_again_after_a_poll(void)
{
    struct cfc_upcall_queue queue;
    struct cfc_upcall up = upcall_of(4, 1000);
    uint32_t count = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_upcall_queue_init(&queue, &cfc_heap), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_upcall_queue_poll(&queue, &up), CONFCAST_ERR_AGAIN);
    while (cfc_upcall_queue_push(&queue, &up) == CONFCAST_OK) {
        count++;
    }
    CU_ASSERT_TRUE(count > 900 && count < 1049);
    CU_ASSERT_EQUAL(cfc_upcall_queue_push(&queue, &up), CONFCAST_ERR_LIMIT);
    /* The record polled is free with the next push, and its room is just enough. */
    CU_ASSERT_EQUAL(cfc_upcall_queue_poll(&queue, &up), CONFCAST_OK);
    up = upcall_of(4, 1000);
    CU_ASSERT_EQUAL(cfc_upcall_queue_push(&queue, &up), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_upcall_queue_push(&queue, &up), CONFCAST_ERR_LIMIT);
    cfc_upcall_queue_free(&queue, &cfc_heap);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(key_map_agrees_with_a_plain_array_under_random_use),
    CFC_CASE(clients_take_turns_whatever_each_has_waiting),
    CFC_CASE(client_is_served_in_the_order_of_its_nodes_and_leaves_with_the_last),
    CFC_CASE(upcalls_come_in_order_through_many_turns_of_the_ring),
    CFC_CASE(full_ring_refuses_and_takes_again_after_a_poll),
};

CFC_TEST_MAIN("sender_queues", cases)
