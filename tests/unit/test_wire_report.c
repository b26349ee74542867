#include "protocol/wire/report.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_patch.h"

enum {
    ENTRY_0 = CFC_REPORT_ENTRIES_OFFSET,
    ENTRY_1 = ENTRY_0 + CFC_REPORT_ENTRY_SIZE,
    TRAILER = ENTRY_1 + CFC_REPORT_ENTRY_SIZE
};

static struct fixture fx;
static const char id[] = FIXTURE_CONSUMER;

static int
write_report(const struct cfc_report *report, const struct cfc_report_entry *entries,
             size_t capacity)
{
    struct cfc_writer w = cfc_writer_of(fx.frame, capacity);
    int rc = cfc_report_write(&w, report, entries, id, sizeof(id) - 1, &fx.report_key);

    return rc == CONFCAST_OK ? cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size)
                             : rc;
}

static void
write_example(struct cfc_frame *frame)
{
    struct cfc_report report = example_report(fx.sha);

    CU_ASSERT_EQUAL_FATAL(write_report(&report, example_report_entries, sizeof(fx.frame)),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(fx.size, TRAILER + CFC_TRAILER_SIZE);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, frame), CONFCAST_OK);
}

static int
decode_only(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_report report;

    (void)f;
    return cfc_report_decode(frame, &report);
}

static int
check_tag(const struct fixture *f, const struct cfc_frame *frame)
{
    return cfc_report_check_tag(frame, id, sizeof(id) - 1, &f->report_key);
}

static int
check_mac(const struct fixture *f, const struct cfc_frame *frame)
{
    return cfc_trailer_check(frame, &f->session_key, &f->address);
}

static void
a_decoded_report_says_what_was_written(void)
{
    struct cfc_report in = example_report(fx.sha);
    struct cfc_report_entry entry;
    struct cfc_report out;
    struct cfc_frame frame;

    write_example(&frame);
    CU_ASSERT_EQUAL_FATAL(cfc_report_decode(&frame, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.consumer_key, in.consumer_key);
    CU_ASSERT_EQUAL(out.incarnation, 12);
    CU_ASSERT_EQUAL(out.report_seq, 34);
    CU_ASSERT_EQUAL(out.clock_error_ns, -1500000);
    CU_ASSERT_EQUAL(out.clock_bound_us, 900);
    CU_ASSERT_EQUAL(out.part, 0);
    CU_ASSERT_EQUAL(out.part_count, 1);
    CU_ASSERT_EQUAL(out.entry_count, 2);
    cfc_report_entry_at(&out, 0, &entry);
    CU_ASSERT_EQUAL(entry.scope_id, 0x1001);
    CU_ASSERT_EQUAL(entry.epoch, 5);
    CU_ASSERT_EQUAL(entry.accepted, 1042);
    CU_ASSERT_EQUAL(entry.serving_version, 1042);
    CU_ASSERT_EQUAL(entry.durable, 1041);
    CU_ASSERT_EQUAL(entry.serving_content, 0x7001);
    CU_ASSERT_EQUAL(entry.state, CFC_APPLY_APPLIED);
    CU_ASSERT_EQUAL(entry.arm, 2);
    CU_ASSERT_EQUAL(entry.flags, CFC_REPORT_FLAG_FROM_DISK);
    cfc_report_entry_at(&out, 1, &entry);
    CU_ASSERT_EQUAL(entry.state, CFC_APPLY_REJECTED);
    CU_ASSERT_EQUAL(entry.reason, 61);
    CU_ASSERT_EQUAL(check_mac(&fx, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(check_tag(&fx, &frame), CONFCAST_OK);
}

static void
damage_to_each_field_is_named(void)
{
    static const struct patch patches[] = {
        {"part beyond", 44, 1, 1, CONFCAST_ERR_RANGE},
        {"no parts", 45, 1, 0, CONFCAST_ERR_RANGE},
        {"255 parts", 45, 1, 255, CONFCAST_OK},
        {"one entry less", 46, 2, 1, CONFCAST_ERR_LENGTH},
        {"one entry more", 46, 2, 3, CONFCAST_ERR_LENGTH},
        {"25 entries", 46, 2, 25, CONFCAST_ERR_RANGE},
        {"state 6", ENTRY_1 + 48, 1, 6, CONFCAST_OK},
        {"state 7", ENTRY_1 + 48, 1, 7, CONFCAST_ERR_VERSION},
        {"arm 3", ENTRY_1 + 49, 1, 3, CONFCAST_OK},
        {"arm 4", ENTRY_1 + 49, 1, 4, CONFCAST_ERR_RANGE},
        {"any reason", ENTRY_1 + 50, 2, 65535, CONFCAST_OK},
        {"all flags", ENTRY_1 + 52, 4, 7, CONFCAST_OK},
        {"unknown flag", ENTRY_1 + 52, 4, 8, CONFCAST_ERR_VERSION},
        {"unknown high flag", ENTRY_0 + 52, 4, 0x80000000, CONFCAST_ERR_VERSION},
        {"reserved field of the trailer", TRAILER + 4, 4, 1, CONFCAST_ERR_VERSION},
    };
    struct cfc_frame frame;

    write_example(&frame);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_only), 0);
    frame.type = CFC_FRAME_NACK;
    CU_ASSERT_EQUAL(decode_only(&fx, &frame), CONFCAST_ERR_INVALID);
}

static void
no_bit_of_a_report_can_change_on_its_way_to_the_engine(void)
{
    struct cfc_frame frame;

    write_example(&frame);
    CU_ASSERT_EQUAL(flips_accepted(&fx, 0, fx.size, check_mac), 0);
}

static void
no_bit_of_the_state_can_change_on_its_way_to_the_control_plane(void)
{
    struct cfc_frame frame;

    write_example(&frame);
    CU_ASSERT_EQUAL(flips_accepted(&fx, CFC_FRAME_HEADER_SIZE, TRAILER, check_tag), 0);
}

static void
the_tag_belongs_to_one_consumer(void)
{
    struct cfc_key other = fx.report_key;
    struct cfc_frame frame;
    char long_id[256 + sizeof(id)] = FIXTURE_CONSUMER;

    write_example(&frame);
    CU_ASSERT_EQUAL(cfc_report_check_tag(&frame, "host-18.eu-1", sizeof(id) - 1, &fx.report_key),
                    CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(cfc_report_check_tag(&frame, id, sizeof(id) - 2, &fx.report_key),
                    CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(cfc_report_check_tag(&frame, long_id, 256 + sizeof(id) - 1, &fx.report_key),
                    CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(cfc_report_check_tag(&frame, id, sizeof(id) - 1, &fx.session_key),
                    CONFCAST_ERR_MAC);
    other.bytes[31] ^= 1;
    CU_ASSERT_EQUAL(cfc_report_check_tag(&frame, id, sizeof(id) - 1, &other), CONFCAST_ERR_MAC);
    frame.size = CFC_REPORT_ENTRIES_OFFSET + CFC_TRAILER_SIZE - 1;
    CU_ASSERT_EQUAL(check_tag(&fx, &frame), CONFCAST_ERR_MAC);
}

static void
a_report_holds_0_to_24_entries(void)
{
    struct cfc_report_entry entries[CFC_REPORT_ENTRIES_MAX + 1] = {0};
    struct cfc_report report = example_report(fx.sha);
    struct cfc_report out;
    struct cfc_frame frame;

    report.entry_count = 0;
    CU_ASSERT_EQUAL_FATAL(write_report(&report, entries, sizeof(fx.frame)), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_report_decode(&frame, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(check_tag(&fx, &frame), CONFCAST_OK);
    report.entry_count = CFC_REPORT_ENTRIES_MAX;
    CU_ASSERT_EQUAL(write_report(&report, entries, CFC_FRAME_SIZE_DEFAULT), CONFCAST_OK);
    report.entry_count++;
    CU_ASSERT_EQUAL(write_report(&report, entries, sizeof(fx.frame)), CONFCAST_ERR_INVALID);
}

static void
writing_refuses_what_decoding_refuses(void)
{
    struct cfc_report report = example_report(fx.sha);
    struct cfc_report_entry entries[2];
    struct cfc_writer w;

    for (size_t capacity = 0; capacity < TRAILER + CFC_TRAILER_SIZE; capacity++) {
        CU_ASSERT_EQUAL(write_report(&report, example_report_entries, capacity),
                        CONFCAST_ERR_LIMIT);
    }
    memcpy(entries, example_report_entries, sizeof(entries));
    entries[1].state = 7;
    CU_ASSERT_EQUAL(write_report(&report, entries, sizeof(fx.frame)), CONFCAST_ERR_INVALID);
    entries[1].state = 0;
    entries[1].arm = 4;
    CU_ASSERT_EQUAL(write_report(&report, entries, sizeof(fx.frame)), CONFCAST_ERR_INVALID);
    entries[1].arm = 0;
    entries[1].flags = 8;
    CU_ASSERT_EQUAL(write_report(&report, entries, sizeof(fx.frame)), CONFCAST_ERR_INVALID);
    report.part = 1;
    CU_ASSERT_EQUAL(write_report(&report, example_report_entries, sizeof(fx.frame)),
                    CONFCAST_ERR_INVALID);
    report.part = 0;
    w = cfc_writer_of(fx.frame, sizeof(fx.frame));
    CU_ASSERT_EQUAL(cfc_report_write(&w, &report, example_report_entries, id, 0, &fx.report_key),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_report_write(&w, &report, example_report_entries, id,
                                     CFC_CONSUMER_ID_SIZE_MAX + 1, &fx.report_key),
                    CONFCAST_ERR_INVALID);
}

static void
every_state_has_its_name(void)
{
    CU_ASSERT_STRING_EQUAL(cfc_apply_state_name(CFC_APPLY_NONE), "none");
    CU_ASSERT_STRING_EQUAL(cfc_apply_state_name(CFC_APPLY_RECEIVING), "receiving");
    CU_ASSERT_STRING_EQUAL(cfc_apply_state_name(CFC_APPLY_PREPARED), "prepared");
    CU_ASSERT_STRING_EQUAL(cfc_apply_state_name(CFC_APPLY_APPLIED), "applied");
    CU_ASSERT_STRING_EQUAL(cfc_apply_state_name(CFC_APPLY_REJECTED), "rejected");
    CU_ASSERT_STRING_EQUAL(cfc_apply_state_name(CFC_APPLY_REVERTED), "reverted");
    CU_ASSERT_STRING_EQUAL(cfc_apply_state_name(CFC_APPLY_DEGRADED), "degraded");
    CU_ASSERT_STRING_EQUAL(cfc_apply_state_name(7), "?");
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_decoded_report_says_what_was_written),
    CFC_CASE(damage_to_each_field_is_named),
    CFC_CASE(no_bit_of_a_report_can_change_on_its_way_to_the_engine),
    CFC_CASE(no_bit_of_the_state_can_change_on_its_way_to_the_control_plane),
    CFC_CASE(the_tag_belongs_to_one_consumer),
    CFC_CASE(a_report_holds_0_to_24_entries),
    CFC_CASE(writing_refuses_what_decoding_refuses),
    CFC_CASE(every_state_has_its_name),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_report", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
