#include "protocol/handoff/handoff.h"

#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

static const uint8_t frame[] = {1, 2, 3, 4, 5};

/* One message of every type with every field set. */
static struct cfc_handoff
example(enum cfc_handoff_type type)
{
    struct cfc_handoff m = {.type = type};

    switch (type) {
    case CFC_HANDOFF_CONTROL_HELLO:
        m.u.control_hello.boot_id = 7;
        break;
    case CFC_HANDOFF_SHARD:
        m.u.shard = (struct cfc_handoff_shard){.shard = 3, .fleet_size = 9, .epoch = 11};
        break;
    case CFC_HANDOFF_ARENA:
        m.u.arena = (struct cfc_handoff_arena){.arena = 5, .size = 4096};
        break;
    case CFC_HANDOFF_CONTENT:
        m.u.content = (struct cfc_handoff_content){.arena = 5,
                                                   .tree_offset = 64,
                                                   .tree_size = 32,
                                                   .coded_offset = 128,
                                                   .is_pull_only = true,
                                                   .frame = frame,
                                                   .frame_size = sizeof(frame)};
        break;
    case CFC_HANDOFF_DROP_CONTENT:
        memset(m.u.drop_content.content.bytes, 0xab, 32);
        break;
    case CFC_HANDOFF_HEAD:
        m.u.head = (struct cfc_handoff_head){.frame = frame, .frame_size = sizeof(frame)};
        break;
    case CFC_HANDOFF_DROP_HEAD:
        m.u.drop_head.scope_id = 99;
        break;
    case CFC_HANDOFF_FRESH:
        m.u.fresh = (struct cfc_handoff_fresh){
            .is_changed = true, .frame = frame, .frame_size = sizeof(frame)};
        break;
    case CFC_HANDOFF_SYNCED:
        break;
    case CFC_HANDOFF_ENGINE_HELLO:
        m.u.engine_hello =
            (struct cfc_handoff_engine_hello){.boot_id = 1,
                                              .frame_size_max = 1472,
                                              .unicast = {.ip = {10, 0, 0, 1}, .port = 7500},
                                              .port_text = "net_null",
                                              .port_text_size = 8};
        break;
    case CFC_HANDOFF_CONSUMER:
        m.u.consumer = (struct cfc_handoff_consumer){.address = {.ip = {10, 0, 0, 2}, .port = 1},
                                                     .frame = frame,
                                                     .frame_size = sizeof(frame)};
        break;
    case CFC_HANDOFF_REPORT:
        m.u.report = (struct cfc_handoff_report){
            .id = "host-1", .id_size = 6, .frame = frame, .frame_size = sizeof(frame)};
        break;
    case CFC_HANDOFF_RELEASE_ARENA:
        m.u.release_arena.arena = 5;
        break;
    case CFC_HANDOFF_REFUSED:
        m.u.refused = (struct cfc_handoff_refused){.type = 6, .error = 41, .key = 99};
        break;
    case CFC_HANDOFF_ENGINE_STATS:
        m.u.engine_stats = (struct cfc_handoff_engine_stats){.count = 2, .values = {4, 5}};
        break;
    }
    return m;
}

static const enum cfc_handoff_type types[] = {
#define TYPE(name, number) CFC_HANDOFF_##name,
    CFC_HANDOFF_TYPES(TYPE)
#undef TYPE
};

static void
every_message_survives_the_way_there_and_back(void)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct cfc_handoff m = example(types[i]);
        struct cfc_handoff back;
        uint8_t a[CFC_HANDOFF_SIZE_MAX];
        uint8_t b[CFC_HANDOFF_SIZE_MAX];
        size_t a_size = 0;
        size_t b_size = 0;

        CU_ASSERT_EQUAL_FATAL(cfc_handoff_encode(&m, a, sizeof(a), &a_size), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_handoff_decode(a, a_size, &back), CONFCAST_OK);
        CU_ASSERT_EQUAL(back.type, m.type);
        CU_ASSERT_EQUAL_FATAL(cfc_handoff_encode(&back, b, sizeof(b), &b_size), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(a_size, b_size);
        CU_ASSERT_EQUAL(memcmp(a, b, a_size), 0);
    }
}

static void
every_truncation_and_every_extra_byte_is_refused(void)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct cfc_handoff m = example(types[i]);
        struct cfc_handoff back;
        uint8_t bytes[CFC_HANDOFF_SIZE_MAX] = {0};
        size_t size = 0;

        CU_ASSERT_EQUAL_FATAL(cfc_handoff_encode(&m, bytes, sizeof(bytes), &size), CONFCAST_OK);
        for (size_t cut = 0; cut < size; cut++) {
            CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, cut, &back), CONFCAST_ERR_SHORT);
        }
        CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, size + 1, &back), CONFCAST_ERR_LENGTH);
        CU_ASSERT_EQUAL(cfc_handoff_encode(&m, bytes, size - 1, &size), CONFCAST_ERR_LIMIT);
    }
}

/* Appends an example to a packet; its new size. */
static size_t
join(uint8_t packet[CFC_HANDOFF_SIZE_MAX], size_t size, enum cfc_handoff_type type)
{
    struct cfc_handoff m = example(type);
    size_t added = 0;

    CU_ASSERT_EQUAL_FATAL(
        cfc_handoff_encode(&m, packet + size, CFC_HANDOFF_SIZE_MAX - size, &added), CONFCAST_OK);
    return size + added;
}

static void
hellos_and_reports_share_a_packet(void)
{
    static const enum cfc_handoff_type order[] = {CFC_HANDOFF_REPORT, CFC_HANDOFF_CONSUMER,
                                                  CFC_HANDOFF_REPORT};
    uint8_t packet[CFC_HANDOFF_SIZE_MAX];
    struct cfc_handoff back;
    size_t size = 0;
    size_t at = 0;

    for (size_t i = 0; i < 3; i++) {
        size = join(packet, size, order[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL_FATAL(cfc_handoff_decode_next(packet, size, &at, &back), CONFCAST_OK);
        CU_ASSERT_EQUAL(back.type, order[i]);
    }
    CU_ASSERT_EQUAL(at, size);
    CU_ASSERT_EQUAL(back.u.report.id_size, 6);
    CU_ASSERT_EQUAL(memcmp(back.u.report.frame, frame, sizeof(frame)), 0);
    CU_ASSERT_EQUAL(cfc_handoff_decode(packet, size, &back), CONFCAST_ERR_LENGTH);
    for (size_t cut = at = 0; cut < 3; cut++) {
        CU_ASSERT_EQUAL(cfc_handoff_decode_next(packet, size - 1, &at, &back),
                        cut < 2 ? CONFCAST_OK : CONFCAST_ERR_SHORT);
    }
}

static void
no_other_message_shares_a_packet(void)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        uint8_t packet[CFC_HANDOFF_SIZE_MAX];
        struct cfc_handoff back;
        size_t size = join(packet, 0, types[i]);
        size_t at = 0;
        bool may = types[i] == CFC_HANDOFF_CONSUMER || types[i] == CFC_HANDOFF_REPORT;

        size = join(packet, size, CFC_HANDOFF_REPORT);
        CU_ASSERT_EQUAL(cfc_handoff_decode_next(packet, size, &at, &back),
                        may ? CONFCAST_OK : CONFCAST_ERR_LENGTH);
        size = join(packet, 0, CFC_HANDOFF_REPORT);
        size = join(packet, size, types[i]);
        at = 0;
        CU_ASSERT_EQUAL(cfc_handoff_decode_next(packet, size, &at, &back), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_handoff_decode_next(packet, size, &at, &back),
                        may ? CONFCAST_OK : CONFCAST_ERR_LENGTH);
    }
}

static void
foreign_bytes_are_refused(void)
{
    struct cfc_handoff m = example(CFC_HANDOFF_FRESH);
    struct cfc_handoff back;
    uint8_t bytes[CFC_HANDOFF_SIZE_MAX];
    size_t size = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_handoff_encode(&m, bytes, sizeof(bytes), &size), CONFCAST_OK);
    bytes[0] ^= 1;
    CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, size, &back), CONFCAST_ERR_VERSION);
    bytes[0] ^= 1;
    bytes[6] ^= 2;
    CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, size, &back), CONFCAST_ERR_VERSION);
    bytes[6] ^= 2;
    bytes[8] = 2; /* a boolean is 0 or 1 */
    CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, size, &back), CONFCAST_ERR_VERSION);
    bytes[8] = 1;
    bytes[10] = 1; /* reserved */
    CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, size, &back), CONFCAST_ERR_VERSION);
    bytes[10] = 0;
    bytes[4] = 200; /* no such type */
    CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, size, &back), CONFCAST_ERR_UNSUPPORTED);
    CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, CFC_HANDOFF_SIZE_MAX + 1, &back), CONFCAST_ERR_LIMIT);
}

static void
more_counters_than_there_is_room_for_are_refused(void)
{
    struct cfc_handoff m = example(CFC_HANDOFF_ENGINE_STATS);
    struct cfc_handoff back;
    uint8_t bytes[CFC_HANDOFF_SIZE_MAX];
    size_t size = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_handoff_encode(&m, bytes, sizeof(bytes), &size), CONFCAST_OK);
    bytes[8] = 65;
    CU_ASSERT_EQUAL(cfc_handoff_decode(bytes, sizeof(bytes), &back), CONFCAST_ERR_LIMIT);
    m.u.engine_stats.count = 65;
    CU_ASSERT_EQUAL(cfc_handoff_encode(&m, bytes, sizeof(bytes), &size), CONFCAST_ERR_INVALID);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_message_survives_the_way_there_and_back),
    CFC_CASE(every_truncation_and_every_extra_byte_is_refused),
    CFC_CASE(hellos_and_reports_share_a_packet),
    CFC_CASE(no_other_message_shares_a_packet),
    CFC_CASE(foreign_bytes_are_refused),
    CFC_CASE(more_counters_than_there_is_room_for_are_refused),
};

CFC_TEST_MAIN("handoff", cases)
