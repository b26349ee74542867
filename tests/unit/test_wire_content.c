#include "protocol/wire/content.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_patch.h"

enum {
    SIGNATURE = 120 + 5 * CFC_SHORT_DIGEST_SIZE,
    SIGNED_SIZE = SIGNATURE - CFC_FRAME_HEADER_SIZE
};

static struct fixture fx;

static int
encode(const struct cfc_content *content)
{
    return cfc_content_encode(content, &fx.signer, fx.frame, sizeof(fx.frame), &fx.size);
}

static int
decode(struct cfc_content *out)
{
    struct cfc_frame frame;
    int rc = cfc_frame_open(fx.frame, fx.size, &frame);

    return rc == CONFCAST_OK ? cfc_content_decode(&frame, out) : rc;
}

static int
decode_only(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_content content;

    (void)f;
    return cfc_content_decode(frame, &content);
}

static int
decode_and_verify(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_content content;
    int rc = cfc_content_decode(frame, &content);

    return rc == CONFCAST_OK ? cfc_content_verify(&content, &f->verifier, 0) : rc;
}

static void
a_decoded_content_says_what_was_encoded(void)
{
    struct cfc_content in = example_content();
    struct cfc_content out;

    CU_ASSERT_EQUAL_FATAL(encode(&in), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(decode(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.coding, in.coding);
    CU_ASSERT_EQUAL(out.encoding, in.encoding);
    CU_ASSERT_EQUAL(out.fec_code, in.fec_code);
    CU_ASSERT_EQUAL(out.fec_k, in.fec_k);
    CU_ASSERT_EQUAL(out.repair_leaves, in.repair_leaves);
    CU_ASSERT_EQUAL(out.body_size, in.body_size);
    CU_ASSERT_EQUAL(out.coded_size, in.coded_size);
    CU_ASSERT_EQUAL(out.symbol_size, in.symbol_size);
    CU_ASSERT_EQUAL(out.page_levels, in.page_levels);
    CU_ASSERT_EQUAL(out.top_count, in.top_count);
    CU_ASSERT_EQUAL(out.shard, in.shard);
    CU_ASSERT_TRUE(cfc_digest_equal(&out.content, &in.content));
    CU_ASSERT_TRUE(cfc_digest_equal(&out.base, &in.base));
    CU_ASSERT_PTR_EQUAL(out.top_digests, fx.frame + 120);
    CU_ASSERT_EQUAL(out.signed_size, SIGNED_SIZE);
    CU_ASSERT_EQUAL(cfc_content_verify(&out, &fx.verifier, 0), CONFCAST_OK);
}

static void
damage_to_each_field_is_named(void)
{
    static const struct patch patches[] = {
        {"signed size below the fixed part", 16, 2, 103, CONFCAST_ERR_LENGTH},
        {"signed size one below", 16, 2, SIGNED_SIZE - 1, CONFCAST_ERR_LENGTH},
        {"signed size one above", 16, 2, SIGNED_SIZE + 1, CONFCAST_ERR_LENGTH},
        {"another coding", 18, 2, 0xffff, CONFCAST_OK},
        {"encoding 3", 20, 1, 3, CONFCAST_ERR_VERSION},
        {"encoding RAW with a base", 20, 1, 0, CONFCAST_ERR_RANGE},
        {"encoding ZSTD with a base", 20, 1, 1, CONFCAST_ERR_RANGE},
        {"FEC code 2", 21, 1, 2, CONFCAST_ERR_VERSION},
        {"repair leaves without FEC", 21, 1, 0, CONFCAST_ERR_RANGE},
        {"k 0", 22, 1, 0, CONFCAST_ERR_RANGE},
        {"k 65", 22, 1, 65, CONFCAST_ERR_LIMIT},
        {"k 64 with the pages of 16", 22, 1, 64, CONFCAST_ERR_RANGE},
        {"k 15 with as many pages", 22, 1, 15, CONFCAST_OK},
        {"16 repair leaves", 23, 1, 16, CONFCAST_OK},
        {"17 repair leaves", 23, 1, 17, CONFCAST_ERR_LIMIT},
        {"body size 0", 24, 8, 0, CONFCAST_ERR_RANGE},
        {"largest body", 24, 8, CFC_BODY_SIZE_MAX, CONFCAST_OK},
        {"body above the limit", 24, 8, CFC_BODY_SIZE_MAX + 1, CONFCAST_ERR_LIMIT},
        {"endless body", 24, 8, UINT64_C(1) << 60, CONFCAST_ERR_LIMIT},
        {"coded size 0", 32, 8, 0, CONFCAST_ERR_RANGE},
        {"coded size above the limit", 32, 8, CFC_BODY_SIZE_MAX + 1, CONFCAST_ERR_LIMIT},
        {"coded size that wraps 32 bits", 32, 8, (UINT64_C(1) << 32) + 100000, CONFCAST_ERR_LIMIT},
        {"coded size with more pages", 32, 8, 5 * 16 * 1440 + 1, CONFCAST_ERR_RANGE},
        {"coded size with as many pages", 32, 8, 5 * 16 * 1440, CONFCAST_OK},
        {"symbol size 0", 40, 2, 0, CONFCAST_ERR_RANGE},
        {"symbol size 63", 40, 2, 63, CONFCAST_ERR_RANGE},
        {"symbol size 8897", 40, 2, 8897, CONFCAST_ERR_LIMIT},
        {"no page level", 42, 1, 0, CONFCAST_ERR_RANGE},
        {"two page levels", 42, 1, 2, CONFCAST_ERR_RANGE},
        {"no top digest", 43, 1, 0, CONFCAST_ERR_LENGTH},
        {"six top digests", 43, 1, 6, CONFCAST_ERR_LENGTH},
        {"another shard", 44, 4, 8, CONFCAST_OK},
        {"another content id", 56, 1, 0x11, CONFCAST_ERR_WRONG_STREAM},
        {"another key", 15, 1, 0, CONFCAST_ERR_WRONG_STREAM},
        {"another end of the content id", 87, 1, 0, CONFCAST_OK},
    };
    struct cfc_content content = example_content();

    CU_ASSERT_EQUAL_FATAL(encode(&content), CONFCAST_OK);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_only), 0);
}

static void
content_and_base_are_named_as_the_encoding_needs(void)
{
    struct cfc_content content = example_content();
    struct cfc_content bad = content;

    memset(&bad.base, 0, sizeof(bad.base));
    CU_ASSERT_EQUAL(encode(&bad), CONFCAST_ERR_INVALID);
    bad.encoding = CFC_ENCODING_ZSTD;
    CU_ASSERT_EQUAL(encode(&bad), CONFCAST_OK);
    bad.encoding = CFC_ENCODING_RAW;
    CU_ASSERT_EQUAL(encode(&bad), CONFCAST_ERR_INVALID);
    bad.body_size = bad.coded_size;
    CU_ASSERT_EQUAL(encode(&bad), CONFCAST_OK);
    bad = content;
    bad.base = bad.content;
    CU_ASSERT_EQUAL(encode(&bad), CONFCAST_ERR_INVALID);
    bad = content;
    memset(&bad.content, 0, sizeof(bad.content));
    CU_ASSERT_EQUAL(encode(&bad), CONFCAST_ERR_INVALID);
    bad = content;
    bad.body_size = CFC_BODY_SIZE_MAX + 1;
    CU_ASSERT_EQUAL(encode(&bad), CONFCAST_ERR_LIMIT);
}

static void
no_bit_of_a_signed_content_can_change(void)
{
    struct cfc_content content = example_content();

    CU_ASSERT_EQUAL_FATAL(encode(&content), CONFCAST_OK);
    CU_ASSERT_EQUAL(flips_accepted(&fx, 0, fx.size, decode_and_verify), 0);
}

static void
tlvs_are_skipped_unless_critical(void)
{
    static const uint16_t types[] = {9, CFC_TLV_CRITICAL | 9};
    struct cfc_content content = example_content();

    for (size_t i = 0; i < 2; i++) {
        int expected = i == 0 ? CONFCAST_OK : CONFCAST_ERR_UNSUPPORTED;
        uint8_t tlv[4] = {(uint8_t)types[i], (uint8_t)(types[i] >> 8), 0, 0};
        struct cfc_content out;

        CU_ASSERT_EQUAL_FATAL(encode(&content), CONFCAST_OK);
        memcpy(fx.frame + fx.size, tlv, sizeof(tlv));
        fx.size += sizeof(tlv);
        cfc_put_u16(fx.frame + 4, (uint16_t)fx.size);
        CU_ASSERT_EQUAL(decode(&out), expected);
        memmove(fx.frame + SIGNATURE + 4, fx.frame + SIGNATURE, CFC_SIGNATURE_SIZE);
        memcpy(fx.frame + SIGNATURE, tlv, sizeof(tlv));
        cfc_put_u16(fx.frame + 16, SIGNED_SIZE + 4);
        CU_ASSERT_EQUAL(decode(&out), expected);
    }
}

static void
the_frame_fits_exactly_or_not_at_all(void)
{
    struct cfc_content content = example_content();
    size_t size;

    CU_ASSERT_EQUAL_FATAL(encode(&content), CONFCAST_OK);
    size = fx.size;
    CU_ASSERT_EQUAL(size, SIGNATURE + CFC_SIGNATURE_SIZE);
    for (size_t capacity = 0; capacity < size; capacity++) {
        CU_ASSERT_EQUAL(cfc_content_encode(&content, &fx.signer, fx.frame, capacity, &fx.size),
                        CONFCAST_ERR_LIMIT);
    }
    CU_ASSERT_EQUAL(cfc_content_encode(&content, &fx.signer, fx.frame, size, &fx.size),
                    CONFCAST_OK);
}

static int
geometry(uint64_t coded_size, uint16_t symbol_size, uint8_t k, struct cfc_geometry *out)
{
    struct cfc_content content = {.coded_size = coded_size, .symbol_size = symbol_size, .fec_k = k};

    return cfc_geometry_of(&content, out);
}

static void
geometry_follows_from_the_sizes(void)
{
    struct cfc_content c = example_content();
    struct cfc_geometry g;

    CU_ASSERT_EQUAL_FATAL(cfc_geometry_of(&c, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(g.symbol_count, 70);
    CU_ASSERT_EQUAL(g.block_count, 5);
    CU_ASSERT_EQUAL(g.last_block_symbols, 6);
    CU_ASSERT_EQUAL(g.last_symbol_size, 100000 - 69 * 1440);
    CU_ASSERT_EQUAL(g.page_counts[0], 5);
    CU_ASSERT_EQUAL(g.page_counts[1], 0);
    CU_ASSERT_EQUAL(cfc_geometry_levels(&g), 1);
    CU_ASSERT_EQUAL(cfc_geometry_block_symbols(&g, &c, 3), 16);
    CU_ASSERT_EQUAL(cfc_geometry_block_symbols(&g, &c, 4), 6);
    CU_ASSERT_EQUAL(cfc_geometry_symbol_size(&g, &c, 4, 4), 1440);
    CU_ASSERT_EQUAL(cfc_geometry_symbol_size(&g, &c, 4, 5), 640);
    CU_ASSERT_EQUAL(cfc_geometry_symbol_size(&g, &c, 3, 15), 1440);
}

static void
levels_are_added_at_33_and_at_2561_blocks(void)
{
    struct cfc_geometry g;

    CU_ASSERT_EQUAL(geometry(32 * 64, 64, 1, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_geometry_levels(&g), 1);
    CU_ASSERT_EQUAL(geometry(32 * 64 + 1, 64, 1, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_geometry_levels(&g), 2);
    CU_ASSERT_EQUAL(g.page_counts[0], 33);
    CU_ASSERT_EQUAL(g.page_counts[1], 1);
    CU_ASSERT_EQUAL(g.last_symbol_size, 1);
    CU_ASSERT_EQUAL(geometry(32 * 80 * 64, 64, 1, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_geometry_levels(&g), 2);
    CU_ASSERT_EQUAL(g.page_counts[1], 32);
    CU_ASSERT_EQUAL(geometry(32 * 80 * 64 + 1, 64, 1, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_geometry_levels(&g), 3);
    CU_ASSERT_EQUAL(g.page_counts[2], 1);
    CU_ASSERT_EQUAL(geometry(32 * 80 * 80 * 64, 64, 1, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(g.page_counts[2], 32);
    CU_ASSERT_EQUAL(geometry(32 * 80 * 80 * 64 + 1, 64, 1, &g), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(geometry(CFC_BODY_SIZE_MAX, CFC_SYMBOL_SIZE_DEFAULT, 64, &g), CONFCAST_OK);
}

static void
geometry_refuses_sizes_outside_the_rules(void)
{
    struct cfc_geometry g;

    CU_ASSERT_EQUAL(geometry(1, 64, 1, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(g.symbol_count, 1);
    CU_ASSERT_EQUAL(g.last_block_symbols, 1);
    CU_ASSERT_EQUAL(g.last_symbol_size, 1);
    CU_ASSERT_EQUAL(geometry(0, 64, 1, &g), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(geometry(1, 63, 1, &g), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(geometry(1, 64, 0, &g), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(geometry(1, 8896, 64, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(geometry(1, 8897, 64, &g), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(geometry(1, 64, 65, &g), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(geometry(CFC_BODY_SIZE_MAX, 8896, 64, &g), CONFCAST_OK);
    CU_ASSERT_EQUAL(geometry(CFC_BODY_SIZE_MAX + UINT64_C(1), 8896, 64, &g), CONFCAST_ERR_LIMIT);
}

static int
decode_page(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_page page;

    (void)f;
    return cfc_page_decode(frame, &page);
}

static void
damage_to_a_page_is_named(void)
{
    static const struct patch patches[] = {
        {"level 2", 18, 1, 2, CONFCAST_OK},
        {"level 3", 18, 1, 3, CONFCAST_ERR_RANGE},
        {"no digest", 19, 1, 0, CONFCAST_ERR_RANGE},
        {"one digest less", 19, 1, 79, CONFCAST_ERR_LENGTH},
        {"81 digests", 19, 1, 81, CONFCAST_ERR_RANGE},
        {"highest index", 20, 4, UINT32_MAX, CONFCAST_OK},
    };
    uint8_t digests[CFC_PAGE_DIGESTS_MAX * CFC_SHORT_DIGEST_SIZE] = {0};
    struct cfc_page page = {.digest_count = CFC_PAGE_DIGESTS_MAX, .digests = digests};

    CU_ASSERT_EQUAL_FATAL(cfc_page_encode(1, &page, fx.frame, sizeof(fx.frame), &fx.size),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_page), 0);
    CU_ASSERT_EQUAL(cfc_page_encode(1, &page, fx.frame, fx.size - 1, &fx.size), CONFCAST_ERR_LIMIT);
    page.digest_count++;
    CU_ASSERT_EQUAL(cfc_page_encode(1, &page, fx.frame, sizeof(fx.frame), &fx.size),
                    CONFCAST_ERR_INVALID);
    page.digest_count = 0;
    CU_ASSERT_EQUAL(cfc_page_encode(1, &page, fx.frame, sizeof(fx.frame), &fx.size),
                    CONFCAST_ERR_INVALID);
    page.digest_count = 1;
    page.level = 3;
    CU_ASSERT_EQUAL(cfc_page_encode(1, &page, fx.frame, sizeof(fx.frame), &fx.size),
                    CONFCAST_ERR_INVALID);
}

static int
decode_symbol_of(size_t payload_size, uint16_t index)
{
    static uint8_t bytes[CFC_FRAME_SIZE_MAX];
    struct cfc_symbol symbol;
    struct cfc_frame frame;
    int rc;

    cfc_symbol_header(1, 2, 3, 4, 64, bytes);
    cfc_put_u16(bytes + 4, (uint16_t)(CFC_SYMBOL_HEADER_SIZE + payload_size));
    cfc_put_u16(bytes + 18, index);
    rc = cfc_frame_open(bytes, CFC_SYMBOL_HEADER_SIZE + payload_size, &frame);
    return rc == CONFCAST_OK ? cfc_symbol_decode(&frame, &symbol) : rc;
}

static void
symbols_are_held_to_their_limits(void)
{
    struct cfc_symbol symbol;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL(decode_symbol_of(0, 0), CONFCAST_ERR_SHORT);
    CU_ASSERT_EQUAL(decode_symbol_of(1, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_symbol_of(1, 255), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_symbol_of(1, 256), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(decode_symbol_of(CFC_SYMBOL_SIZE_MAX, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_symbol_of(CFC_SYMBOL_SIZE_MAX + 1, 0), CONFCAST_ERR_LIMIT);

    cfc_symbol_header(0x77, 2, 3, 4, 10, fx.frame);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, CFC_SYMBOL_HEADER_SIZE + 10, &frame),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_symbol_decode(&frame, &symbol), CONFCAST_OK);
    CU_ASSERT_EQUAL(frame.key, 0x77);
    CU_ASSERT_EQUAL(symbol.coding, 2);
    CU_ASSERT_EQUAL(symbol.block, 3);
    CU_ASSERT_EQUAL(symbol.index, 4);
    CU_ASSERT_EQUAL(symbol.size, 10);
    CU_ASSERT_PTR_EQUAL(symbol.bytes, fx.frame + CFC_SYMBOL_HEADER_SIZE);
}

static void
a_frame_of_another_type_is_the_callers_mistake(void)
{
    struct cfc_frame frame = {.type = CFC_FRAME_HEAD, .bytes = fx.frame, .size = 1000};
    struct cfc_content content;
    struct cfc_symbol symbol;
    struct cfc_page page;

    CU_ASSERT_EQUAL(cfc_content_decode(&frame, &content), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_page_decode(&frame, &page), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_symbol_decode(&frame, &symbol), CONFCAST_ERR_INVALID);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_decoded_content_says_what_was_encoded),
    CFC_CASE(damage_to_each_field_is_named),
    CFC_CASE(content_and_base_are_named_as_the_encoding_needs),
    CFC_CASE(no_bit_of_a_signed_content_can_change),
    CFC_CASE(tlvs_are_skipped_unless_critical),
    CFC_CASE(the_frame_fits_exactly_or_not_at_all),
    CFC_CASE(geometry_follows_from_the_sizes),
    CFC_CASE(levels_are_added_at_33_and_at_2561_blocks),
    CFC_CASE(geometry_refuses_sizes_outside_the_rules),
    CFC_CASE(damage_to_a_page_is_named),
    CFC_CASE(symbols_are_held_to_their_limits),
    CFC_CASE(a_frame_of_another_type_is_the_callers_mistake),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_content", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
