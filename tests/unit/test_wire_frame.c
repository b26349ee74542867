#include "protocol/wire/frame.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_patch.h"

static struct fixture fx;

static void
put_header(uint8_t *bytes, uint8_t type, size_t size)
{
    memset(bytes, 0, CFC_FRAME_HEADER_SIZE);
    cfc_put_u16(bytes, 0xcfc5);
    bytes[2] = 1;
    bytes[3] = type;
    cfc_put_u16(bytes + 4, (uint16_t)size);
    cfc_put_u64(bytes + 8, UINT64_C(0x0807060504030201));
}

static int
open_only(const struct fixture *f, const struct cfc_frame *frame)
{
    (void)f;
    (void)frame;
    return CONFCAST_OK;
}

static void
a_header_has_golden_bytes(void)
{
    static const uint8_t golden[] = {0xc5, 0xcf, 1, 17, 18, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    uint8_t bytes[32];
    struct cfc_writer w = cfc_writer_of(bytes, sizeof(bytes));
    struct cfc_frame frame;
    size_t size = 0;

    cfc_frame_begin(&w, CFC_FRAME_REPORT, UINT64_C(0x0807060504030201));
    cfc_write_u16(&w, 0x0a09);
    CU_ASSERT_EQUAL(cfc_frame_finish(&w, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(size, sizeof(golden));
    CU_ASSERT_EQUAL(memcmp(bytes, golden, sizeof(golden)), 0);
    CU_ASSERT_EQUAL(cfc_frame_open(bytes, size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(frame.type, CFC_FRAME_REPORT);
    CU_ASSERT_EQUAL(frame.key, UINT64_C(0x0807060504030201));
    CU_ASSERT_PTR_EQUAL(frame.bytes, bytes);
    CU_ASSERT_EQUAL(frame.size, size);
}

static void
damage_to_a_header_is_named(void)
{
    static const struct patch patches[] = {
        {"nothing", 4, 2, 20, CONFCAST_OK},
        {"magic", 0, 2, 0xcfc4, CONFCAST_ERR_VERSION},
        {"version 0", 2, 1, 0, CONFCAST_ERR_VERSION},
        {"version 2", 2, 1, 2, CONFCAST_ERR_VERSION},
        {"size 0", 4, 2, 0, CONFCAST_ERR_LENGTH},
        {"size below", 4, 2, 19, CONFCAST_ERR_LENGTH},
        {"size above", 4, 2, 21, CONFCAST_ERR_LENGTH},
        {"low flag", 6, 2, 1, CONFCAST_ERR_VERSION},
        {"high flag", 6, 2, 0x8000, CONFCAST_ERR_VERSION},
        {"type 0", 3, 1, 0, CONFCAST_ERR_UNSUPPORTED},
        {"type 9", 3, 1, 9, CONFCAST_ERR_UNSUPPORTED},
        {"type 127", 3, 1, 127, CONFCAST_ERR_UNSUPPORTED},
        {"type 128", 3, 1, 128, CONFCAST_ERR_AGAIN},
        {"type 255", 3, 1, 255, CONFCAST_ERR_AGAIN},
    };

    put_header(fx.frame, CFC_FRAME_NACK, 20);
    fx.size = 20;
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, open_only), 0);
}

static void
sizes_are_held_to_both_limits(void)
{
    static uint8_t bytes[CFC_FRAME_SIZE_MAX + 1];
    struct cfc_frame frame;

    for (size_t size = 0; size < CFC_FRAME_HEADER_SIZE; size++) {
        int rc;
        uint8_t *copy;

        put_header(fx.frame, CFC_FRAME_NACK, size);
        copy = prefix_of(&fx, size, &frame, &rc);
        CU_ASSERT_EQUAL(rc, CONFCAST_ERR_SHORT);
        free(copy);
    }
    put_header(bytes, CFC_FRAME_NACK, CFC_FRAME_HEADER_SIZE);
    CU_ASSERT_EQUAL(cfc_frame_open(bytes, CFC_FRAME_HEADER_SIZE, &frame), CONFCAST_OK);
    put_header(bytes, CFC_FRAME_NACK, CFC_FRAME_SIZE_MAX);
    CU_ASSERT_EQUAL(cfc_frame_open(bytes, CFC_FRAME_SIZE_MAX, &frame), CONFCAST_OK);
    put_header(bytes, CFC_FRAME_NACK, CFC_FRAME_SIZE_MAX + 1);
    CU_ASSERT_EQUAL(cfc_frame_open(bytes, CFC_FRAME_SIZE_MAX + 1, &frame), CONFCAST_ERR_LIMIT);
}

static void
a_frame_that_does_not_fit_is_not_finished(void)
{
    static uint8_t bytes[CFC_FRAME_SIZE_MAX + 8];
    struct cfc_writer w = cfc_writer_of(bytes, 15);
    size_t size = 0;

    cfc_frame_begin(&w, CFC_FRAME_NACK, 1);
    CU_ASSERT_EQUAL(cfc_frame_finish(&w, &size), CONFCAST_ERR_LIMIT);
    w = cfc_writer_of(bytes, sizeof(bytes));
    cfc_frame_begin(&w, CFC_FRAME_NACK, 1);
    cfc_write_zero(&w, CFC_FRAME_SIZE_MAX - CFC_FRAME_HEADER_SIZE);
    CU_ASSERT_EQUAL(cfc_frame_finish(&w, &size), CONFCAST_OK);
    CU_ASSERT_EQUAL(size, CFC_FRAME_SIZE_MAX);
    cfc_write_u8(&w, 0);
    CU_ASSERT_EQUAL(cfc_frame_finish(&w, &size), CONFCAST_ERR_LIMIT);
}

static void
every_type_has_its_name(void)
{
    CU_ASSERT_STRING_EQUAL(cfc_frame_type_name(1), "HEAD");
    CU_ASSERT_STRING_EQUAL(cfc_frame_type_name(8), "GONE");
    CU_ASSERT_STRING_EQUAL(cfc_frame_type_name(18), "NACK");
    CU_ASSERT_STRING_EQUAL(cfc_frame_type_name(0), "?");
    CU_ASSERT_STRING_EQUAL(cfc_frame_type_name(128), "?");
}

static void
tlvs_fill_their_area_exactly(void)
{
    static const uint8_t area[] = {3, 0x80, 2, 0, 0xaa, 0xbb, 9, 0, 0, 0};
    struct cfc_reader r = cfc_reader_of(area, sizeof(area));
    struct cfc_tlv tlv;

    CU_ASSERT_EQUAL(cfc_tlv_next(&r, &tlv), CONFCAST_OK);
    CU_ASSERT_EQUAL(tlv.type, 3);
    CU_ASSERT_TRUE(tlv.is_critical);
    CU_ASSERT_EQUAL(tlv.size, 2);
    CU_ASSERT_PTR_EQUAL(tlv.bytes, area + 4);
    CU_ASSERT_EQUAL(cfc_tlv_next(&r, &tlv), CONFCAST_OK);
    CU_ASSERT_EQUAL(tlv.type, 9);
    CU_ASSERT_FALSE(tlv.is_critical);
    CU_ASSERT_EQUAL(tlv.size, 0);
    CU_ASSERT_EQUAL(cfc_tlv_next(&r, &tlv), CONFCAST_ERR_AGAIN);

    for (size_t size = 0; size < sizeof(area); size++) {
        bool is_boundary = size == 0 || size == 6;
        uint8_t *copy = malloc(size + 1);
        int rc;

        memcpy(copy, area, size);
        r = cfc_reader_of(copy, size);
        while ((rc = cfc_tlv_next(&r, &tlv)) == CONFCAST_OK) {
        }
        CU_ASSERT_EQUAL(rc, is_boundary ? CONFCAST_ERR_AGAIN : CONFCAST_ERR_LENGTH);
        CU_ASSERT(is_boundary || cfc_tlv_next(&r, &tlv) == CONFCAST_ERR_LENGTH);
        free(copy);
    }
}

static void
an_area_of_unknown_types_is_skipped_unless_one_is_critical(void)
{
    uint8_t area[] = {9, 0, 1, 0, 0xaa, 10, 0, 0, 0};
    struct cfc_reader r = cfc_reader_of(area, sizeof(area));

    CU_ASSERT_EQUAL(cfc_tlv_skip_all(&r), CONFCAST_OK);
    r = cfc_reader_of(area, sizeof(area) - 1);
    CU_ASSERT_EQUAL(cfc_tlv_skip_all(&r), CONFCAST_ERR_LENGTH);
    area[6] = 0x80;
    r = cfc_reader_of(area, sizeof(area));
    CU_ASSERT_EQUAL(cfc_tlv_skip_all(&r), CONFCAST_ERR_UNSUPPORTED);
}

static void
a_tlv_is_written_as_it_is_read_and_never_beyond_16_bits(void)
{
    static uint8_t big[UINT16_MAX + 8];
    static uint8_t out[UINT16_MAX + 64];
    struct cfc_writer w = cfc_writer_of(out, sizeof(out));

    cfc_tlv_write(&w, CFC_TLV_CRITICAL | 7, "ab", 2);
    CU_ASSERT_EQUAL(cfc_writer_size(&w), 6);
    CU_ASSERT_EQUAL(memcmp(out,
                           "\x07\x80\x02\x00"
                           "ab",
                           6),
                    0);
    cfc_tlv_write(&w, 7, big, UINT16_MAX);
    CU_ASSERT_FALSE(w.has_failed);
    w = cfc_writer_of(out, sizeof(out));
    cfc_tlv_write(&w, 7, big, UINT16_MAX + 1);
    CU_ASSERT_TRUE(w.has_failed);
}

static void
ipv4_addresses_are_mapped_into_ipv6(void)
{
    static const uint8_t ip[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 2};
    struct cfc_address a = cfc_address_ipv4(0xc0a80102, 7401);
    struct cfc_address b = a;

    CU_ASSERT_EQUAL(memcmp(a.ip, ip, sizeof(ip)), 0);
    CU_ASSERT_EQUAL(a.port, 7401);
    CU_ASSERT_TRUE(cfc_address_equal(&a, &b));
    b.port++;
    CU_ASSERT_FALSE(cfc_address_equal(&a, &b));
    b = a;
    b.ip[15]++;
    CU_ASSERT_FALSE(cfc_address_equal(&a, &b));
}

static void
seal_nack(struct cfc_frame *frame)
{
    struct cfc_writer w = cfc_writer_of(fx.frame, sizeof(fx.frame));

    cfc_frame_begin(&w, CFC_FRAME_NACK, 0x99);
    cfc_write_u64(&w, 0x1234);
    CU_ASSERT_EQUAL_FATAL(cfc_trailer_seal(&w, 77, 5, &fx.session_key, &fx.address, &fx.size),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, frame), CONFCAST_OK);
}

static void
a_trailer_is_read_and_its_mac_checked(void)
{
    struct cfc_trailer trailer;
    struct cfc_frame frame;

    seal_nack(&frame);
    CU_ASSERT_EQUAL(fx.size, CFC_FRAME_HEADER_SIZE + 8 + CFC_TRAILER_SIZE);
    CU_ASSERT_EQUAL(cfc_trailer_read(&frame, &trailer), CONFCAST_OK);
    CU_ASSERT_EQUAL(trailer.session, 77);
    CU_ASSERT_EQUAL(trailer.seq, 5);
    CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &fx.session_key, &fx.address), CONFCAST_OK);
}

static void
a_frame_replayed_from_another_address_or_session_fails(void)
{
    struct cfc_address other = fx.address;
    struct cfc_key key = fx.session_key;
    struct cfc_frame frame;

    seal_nack(&frame);
    other.port++;
    CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &fx.session_key, &other), CONFCAST_ERR_MAC);
    other = fx.address;
    other.ip[15] ^= 1;
    CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &fx.session_key, &other), CONFCAST_ERR_MAC);
    key.bytes[31] ^= 0x80;
    CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &key, &fx.address), CONFCAST_ERR_MAC);
}

static int
check_mac(const struct fixture *f, const struct cfc_frame *frame)
{
    return cfc_trailer_check(frame, &f->session_key, &f->address);
}

static void
no_bit_of_a_sealed_frame_can_change(void)
{
    struct cfc_frame frame;

    seal_nack(&frame);
    CU_ASSERT_EQUAL(flips_accepted(&fx, 0, fx.size, check_mac), 0);
}

static void
a_trailer_needs_its_room_and_a_zero_field(void)
{
    struct cfc_writer w = cfc_writer_of(fx.frame, CFC_FRAME_HEADER_SIZE + CFC_TRAILER_SIZE - 1);
    struct cfc_trailer trailer;
    struct cfc_frame frame;
    size_t size = 0;

    cfc_frame_begin(&w, CFC_FRAME_NACK, 1);
    CU_ASSERT_EQUAL(cfc_trailer_seal(&w, 1, 1, &fx.session_key, &fx.address, &size),
                    CONFCAST_ERR_LIMIT);
    seal_nack(&frame);
    cfc_put_u32(fx.frame + fx.size - CFC_TRAILER_SIZE + 4, 1);
    CU_ASSERT_EQUAL(cfc_trailer_read(&frame, &trailer), CONFCAST_ERR_VERSION);
    CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &fx.session_key, &fx.address), CONFCAST_ERR_MAC);
    frame.size = CFC_FRAME_HEADER_SIZE + CFC_TRAILER_SIZE - 1;
    CU_ASSERT_EQUAL(cfc_trailer_read(&frame, &trailer), CONFCAST_ERR_SHORT);
    CU_ASSERT_EQUAL(cfc_trailer_check(&frame, &fx.session_key, &fx.address), CONFCAST_ERR_MAC);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_header_has_golden_bytes),
    CFC_CASE(damage_to_a_header_is_named),
    CFC_CASE(sizes_are_held_to_both_limits),
    CFC_CASE(a_frame_that_does_not_fit_is_not_finished),
    CFC_CASE(every_type_has_its_name),
    CFC_CASE(tlvs_fill_their_area_exactly),
    CFC_CASE(an_area_of_unknown_types_is_skipped_unless_one_is_critical),
    CFC_CASE(a_tlv_is_written_as_it_is_read_and_never_beyond_16_bits),
    CFC_CASE(ipv4_addresses_are_mapped_into_ipv6),
    CFC_CASE(a_trailer_is_read_and_its_mac_checked),
    CFC_CASE(a_frame_replayed_from_another_address_or_session_fails),
    CFC_CASE(no_bit_of_a_sealed_frame_can_change),
    CFC_CASE(a_trailer_needs_its_room_and_a_zero_field),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_frame", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
