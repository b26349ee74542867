#include "protocol/wire/nack.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_patch.h"

enum {
    ENTRIES = 24,
    HEAD = ENTRIES,
    CONTENT = HEAD + CFC_NACK_ENTRY_SIZE,
    PAGE = CONTENT + CFC_NACK_ENTRY_SIZE,
    SYMBOLS = PAGE + CFC_NACK_ENTRY_SIZE,
    FRESH = SYMBOLS + CFC_NACK_ENTRY_SIZE,
    TRAILER = FRESH + CFC_NACK_ENTRY_SIZE
};

static struct fixture fx;

static int
write_nack(const struct cfc_nack_entry *entries, uint16_t count, size_t capacity)
{
    struct cfc_writer w = cfc_writer_of(fx.frame, capacity);
    int rc = cfc_nack_write(&w, 0x99, entries, count);

    return rc == CONFCAST_OK ? cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size)
                             : rc;
}

static int
decode_only(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_nack nack;

    (void)f;
    return cfc_nack_decode(frame, &nack);
}

static void
a_decoded_nack_says_what_was_written(void)
{
    struct cfc_nack_entry entry;
    struct cfc_nack nack;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(write_nack(example_nack_entries, 5, sizeof(fx.frame)), CONFCAST_OK);
    CU_ASSERT_EQUAL(fx.size, TRAILER + CFC_TRAILER_SIZE);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_nack_decode(&frame, &nack), CONFCAST_OK);
    CU_ASSERT_EQUAL(nack.consumer_key, 0x99);
    CU_ASSERT_EQUAL_FATAL(nack.entry_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        const struct cfc_nack_entry *in = &example_nack_entries[i];

        cfc_nack_entry_at(&nack, i, &entry);
        CU_ASSERT_EQUAL(entry.want, in->want);
        CU_ASSERT_EQUAL(entry.level, in->level);
        CU_ASSERT_EQUAL(entry.coding, in->coding);
        CU_ASSERT_EQUAL(entry.index, in->index);
        CU_ASSERT_EQUAL(entry.key, in->key);
        CU_ASSERT_EQUAL(entry.mask, in->mask);
        CU_ASSERT_EQUAL(entry.count, in->count);
    }
}

static void
damage_to_each_field_is_named(void)
{
    static const struct patch patches[] = {
        {"no entries", 16, 2, 0, CONFCAST_ERR_RANGE},
        {"one entry less", 16, 2, 4, CONFCAST_ERR_LENGTH},
        {"one entry more", 16, 2, 6, CONFCAST_ERR_LENGTH},
        {"41 entries", 16, 2, 41, CONFCAST_ERR_RANGE},
        {"reserved u16", 18, 2, 1, CONFCAST_ERR_VERSION},
        {"reserved u32", 20, 4, 1, CONFCAST_ERR_VERSION},
        {"want 0", HEAD, 1, 0, CONFCAST_ERR_VERSION},
        {"want 6", HEAD, 1, 6, CONFCAST_ERR_VERSION},
        {"level of HEAD", HEAD + 1, 1, 1, CONFCAST_ERR_VERSION},
        {"coding of HEAD", HEAD + 2, 2, 1, CONFCAST_ERR_VERSION},
        {"index of HEAD", HEAD + 4, 4, 1, CONFCAST_ERR_VERSION},
        {"count of HEAD", HEAD + 24, 2, 1, CONFCAST_ERR_VERSION},
        {"reserved u16 of an entry", HEAD + 26, 2, 1, CONFCAST_ERR_VERSION},
        {"reserved u32 of an entry", FRESH + 28, 4, 1, CONFCAST_ERR_VERSION},
        {"mask of CONTENT", CONTENT + 16, 8, 1, CONFCAST_ERR_VERSION},
        {"coding of CONTENT", CONTENT + 2, 2, 1, CONFCAST_ERR_VERSION},
        {"level 2 of PAGE", PAGE + 1, 1, 2, CONFCAST_OK},
        {"level 3 of PAGE", PAGE + 1, 1, 3, CONFCAST_ERR_RANGE},
        {"count of PAGE", PAGE + 24, 2, 1, CONFCAST_ERR_VERSION},
        {"mask of PAGE", PAGE + 16, 8, 1, CONFCAST_ERR_VERSION},
        {"source symbols only", SYMBOLS + 1, 1, 1, CONFCAST_OK},
        {"level 2 of SYMBOLS", SYMBOLS + 1, 1, 2, CONFCAST_ERR_VERSION},
        {"mask of two for three", SYMBOLS + 16, 8, 0x14, CONFCAST_ERR_RANGE},
        {"mask of four for three", SYMBOLS + 16, 8, 0x55, CONFCAST_ERR_RANGE},
        {"another mask of three", SYMBOLS + 16, 8, UINT64_C(0x8000000000000003), CONFCAST_OK},
        {"no mask", SYMBOLS + 16, 8, 0, CONFCAST_OK},
        {"count 0", SYMBOLS + 24, 2, 0, CONFCAST_ERR_RANGE},
        {"index of FRESH", FRESH + 4, 4, 1, CONFCAST_ERR_VERSION},
        {"shard above 32 bits", FRESH + 12, 4, 1, CONFCAST_ERR_RANGE},
        {"reserved field of the trailer", TRAILER + 4, 4, 1, CONFCAST_ERR_VERSION},
    };
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(write_nack(example_nack_entries, 5, sizeof(fx.frame)), CONFCAST_OK);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_only), 0);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    frame.type = CFC_FRAME_REPORT;
    CU_ASSERT_EQUAL(decode_only(&fx, &frame), CONFCAST_ERR_INVALID);
}

static void
symbols_are_asked_for_by_1_to_64(void)
{
    struct cfc_nack_entry entry = {.want = CFC_WANT_SYMBOLS, .count = 64};

    CU_ASSERT_EQUAL(write_nack(&entry, 1, sizeof(fx.frame)), CONFCAST_OK);
    entry.mask = UINT64_MAX;
    CU_ASSERT_EQUAL(write_nack(&entry, 1, sizeof(fx.frame)), CONFCAST_OK);
    entry.mask = 0;
    entry.count = 65;
    CU_ASSERT_EQUAL(write_nack(&entry, 1, sizeof(fx.frame)), CONFCAST_ERR_INVALID);
    entry.count = 0;
    CU_ASSERT_EQUAL(write_nack(&entry, 1, sizeof(fx.frame)), CONFCAST_ERR_INVALID);
}

static void
a_nack_holds_1_to_40_entries(void)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX + 1];
    size_t size;

    for (size_t i = 0; i < CFC_NACK_ENTRIES_MAX + 1; i++) {
        entries[i] = example_nack_entries[0];
    }
    CU_ASSERT_EQUAL(write_nack(entries, 0, sizeof(fx.frame)), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(write_nack(entries, CFC_NACK_ENTRIES_MAX, CFC_FRAME_SIZE_DEFAULT), CONFCAST_OK);
    CU_ASSERT_EQUAL(write_nack(entries, CFC_NACK_ENTRIES_MAX + 1, sizeof(fx.frame)),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(write_nack(entries, 1, sizeof(fx.frame)), CONFCAST_OK);
    size = fx.size;
    for (size_t capacity = 0; capacity < size; capacity++) {
        CU_ASSERT_EQUAL(write_nack(entries, 1, capacity), CONFCAST_ERR_LIMIT);
    }
}

static int
decode_gone(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_gone gone;

    (void)f;
    return cfc_gone_decode(frame, &gone);
}

static void
gone_names_what_is_gone_and_is_no_larger_than_the_request(void)
{
    static const struct patch patches[] = {
        {"want 0", 16, 1, 0, CONFCAST_ERR_VERSION},
        {"want 5", 16, 1, 5, CONFCAST_OK},
        {"want 6", 16, 1, 6, CONFCAST_ERR_VERSION},
        {"reserved", 17, 1, 1, CONFCAST_ERR_VERSION},
    };
    struct cfc_gone in = {.key = 0x7001, .want = CFC_WANT_SYMBOLS, .coding = 2, .index = 9};
    struct cfc_gone out;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(cfc_gone_encode(&in, fx.frame, sizeof(fx.frame), &fx.size), CONFCAST_OK);
    CU_ASSERT(fx.size < ENTRIES + CFC_NACK_ENTRY_SIZE + CFC_TRAILER_SIZE);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_gone_decode(&frame, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.key, 0x7001);
    CU_ASSERT_EQUAL(out.want, CFC_WANT_SYMBOLS);
    CU_ASSERT_EQUAL(out.coding, 2);
    CU_ASSERT_EQUAL(out.index, 9);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_gone), 0);
    CU_ASSERT_EQUAL(cfc_gone_encode(&in, fx.frame, CFC_GONE_SIZE - 1, &fx.size),
                    CONFCAST_ERR_LIMIT);
    in.want = 6;
    CU_ASSERT_EQUAL(cfc_gone_encode(&in, fx.frame, sizeof(fx.frame), &fx.size),
                    CONFCAST_ERR_INVALID);
    cfc_put_u16(fx.frame + 4, CFC_GONE_SIZE + 1);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, CFC_GONE_SIZE + 1, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_gone(&fx, &frame), CONFCAST_ERR_LENGTH);
    frame.type = CFC_FRAME_NACK;
    CU_ASSERT_EQUAL(decode_gone(&fx, &frame), CONFCAST_ERR_INVALID);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_decoded_nack_says_what_was_written),
    CFC_CASE(damage_to_each_field_is_named),
    CFC_CASE(symbols_are_asked_for_by_1_to_64),
    CFC_CASE(a_nack_holds_1_to_40_entries),
    CFC_CASE(gone_names_what_is_gone_and_is_no_larger_than_the_request),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_nack", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
