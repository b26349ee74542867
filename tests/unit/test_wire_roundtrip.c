/* Every message: what is encoded decodes, encodes again to the same bytes, and no prefix of it is
 * taken for a message. */
#include "tests/unit/wire_recode.h"

#include "tests/unit/cunit_main.h"

static struct fixture fx;
static struct recoded again;

/* Decodes, checks the MAC where a cut at the end of a TLV leaves a whole message, encodes. */
static int
recode_checked(const struct cfc_frame *frame)
{
    int rc = recode(&fx, frame, &again);

    if (rc == CONFCAST_OK && frame->type == CFC_FRAME_HELLO) {
        rc = cfc_hello_check(frame, &fx.credential_key);
    }
    return rc;
}

/* The frame in the fixture survives decode and encode, and none of its prefixes decodes with a
 * size field that fits, but for those of a SYMBOL, whose payload ends where the frame does. */
static void
assert_recodes(enum cfc_frame_type type)
{
    struct cfc_frame frame;
    size_t cut = type == CFC_FRAME_SYMBOL ? CFC_SYMBOL_HEADER_SIZE + 1 : fx.size;

    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(frame.type, type);
    CU_ASSERT_EQUAL_FATAL(recode_checked(&frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(again.size, fx.size);
    CU_ASSERT_EQUAL(memcmp(again.bytes, fx.frame, fx.size), 0);
    for (size_t size = 0; size < cut; size++) {
        int rc;
        uint8_t *copy = prefix_of(&fx, size, &frame, &rc);

        CU_ASSERT(size >= CFC_FRAME_HEADER_SIZE || rc == CONFCAST_ERR_SHORT);
        if (rc == CONFCAST_OK) {
            rc = recode_checked(&frame);
        }
        if (rc != CONFCAST_ERR_SHORT && rc != CONFCAST_ERR_LENGTH && rc != CONFCAST_ERR_RANGE &&
            rc != CONFCAST_ERR_VERSION && rc != CONFCAST_ERR_MAC) {
            CU_FAIL("a prefix decoded or failed with an undocumented code");
        }
        free(copy);
    }
    CU_ASSERT_EQUAL(cfc_frame_open(fx.frame, fx.size - 1, &frame), CONFCAST_ERR_LENGTH);
}

static void
head_recodes(void)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(
        cfc_head_encode(&head, &fx.signer, fx.sha, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(recode_checked(&frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(again.size, fx.size);
    CU_ASSERT_EQUAL(memcmp(again.bytes, fx.frame, fx.size), 0);
    /* Without the inline content, which is not signed and may be left out. */
    head.inlined.is_present = false;
    CU_ASSERT_EQUAL_FATAL(
        cfc_head_encode(&head, &fx.signer, fx.sha, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    assert_recodes(CFC_FRAME_HEAD);
}

static void
content_recodes(void)
{
    struct cfc_content content = example_content();

    CU_ASSERT_EQUAL_FATAL(
        cfc_content_encode(&content, &fx.signer, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    assert_recodes(CFC_FRAME_CONTENT);
}

static void
page_recodes(void)
{
    uint8_t digests[24 * CFC_SHORT_DIGEST_SIZE];
    struct cfc_page page = {.coding = 1, .digest_count = 24, .index = 3, .digests = digests};

    fill(digests, sizeof(digests), 5);
    CU_ASSERT_EQUAL_FATAL(cfc_page_encode(0x77, &page, fx.frame, sizeof(fx.frame), &fx.size),
                          CONFCAST_OK);
    assert_recodes(CFC_FRAME_PAGE);
}

static void
symbol_recodes(void)
{
    cfc_symbol_header(0x77, 1, 3, 17, 100, fx.frame);
    fill(fx.frame + CFC_SYMBOL_HEADER_SIZE, 100, 9);
    fx.size = CFC_SYMBOL_HEADER_SIZE + 100;
    assert_recodes(CFC_FRAME_SYMBOL);
}

static void
fresh_recodes(void)
{
    struct cfc_fresh_entry entries[3] = {
        {.scope_id = 1, .version = 2}, {.scope_id = 5, .version = 3}, {.scope_id = 9}};
    struct cfc_fresh fixed = {.shard = 7,
                              .epoch = 5,
                              .sequence = 1042,
                              .time_unix_ns = 1,
                              .not_after_unix_ns = 2,
                              .fleet_size = 100};
    uint8_t nodes[CFC_SHORT_DIGEST_SIZE];
    struct cfc_fresh_builder builder;

    CU_ASSERT_EQUAL_FATAL(
        cfc_fresh_builder_init(&builder, &fixed, entries, 3, nodes, &fx.signer, fx.sha),
        CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_encode_page(&builder, 0, fx.frame, sizeof(fx.frame), &fx.size),
                          CONFCAST_OK);
    assert_recodes(CFC_FRAME_FRESH);
}

static void
status_recodes(void)
{
    struct cfc_status status = example_status();

    CU_ASSERT_EQUAL_FATAL(
        cfc_status_encode(&status, example_echoes, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    assert_recodes(CFC_FRAME_STATUS);
}

static void
welcome_recodes(void)
{
    struct cfc_welcome welcome = example_welcome();

    CU_ASSERT_EQUAL_FATAL(
        cfc_welcome_encode(&welcome, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    assert_recodes(CFC_FRAME_WELCOME);
}

static void
gone_recodes(void)
{
    struct cfc_gone gone = {.key = 0x7001, .want = CFC_WANT_SYMBOLS, .coding = 1, .index = 4};

    CU_ASSERT_EQUAL_FATAL(cfc_gone_encode(&gone, fx.frame, sizeof(fx.frame), &fx.size),
                          CONFCAST_OK);
    assert_recodes(CFC_FRAME_GONE);
}

static void
hello_recodes(void)
{
    struct cfc_hello hello = example_hello(fx.sha);

    CU_ASSERT_EQUAL_FATAL(
        cfc_hello_encode(&hello, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    assert_recodes(CFC_FRAME_HELLO);
    hello.holds = NULL;
    hello.head_proof = NULL;
    CU_ASSERT_EQUAL_FATAL(
        cfc_hello_encode(&hello, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(fx.size, CFC_HELLO_SIZE_MIN);
    assert_recodes(CFC_FRAME_HELLO);
}

static void
report_recodes(void)
{
    struct cfc_writer w = cfc_writer_of(fx.frame, sizeof(fx.frame));
    struct cfc_report report = example_report(fx.sha);

    CU_ASSERT_EQUAL_FATAL(cfc_report_write(&w, &report, example_report_entries, FIXTURE_CONSUMER,
                                           sizeof(FIXTURE_CONSUMER) - 1, &fx.report_key),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size),
                          CONFCAST_OK);
    assert_recodes(CFC_FRAME_REPORT);
}

static void
loss_recodes(void)
{
    struct cfc_loss loss = {.consumer_key = 0x99, .expected = 5, .loss = 65535, .window_count = 1};
    struct cfc_writer w = cfc_writer_of(fx.frame, sizeof(fx.frame));

    CU_ASSERT_EQUAL_FATAL(cfc_loss_write(&w, &loss), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size),
                          CONFCAST_OK);
    assert_recodes(CFC_FRAME_LOSS);
}

static void
advice_recodes(void)
{
    struct cfc_advice advice = {.boot_id = 5, .kind = CFC_ADVICE_PULL, .hold_s = 1, .seq = 1};

    CU_ASSERT_EQUAL_FATAL(
        cfc_advice_encode(&advice, &fx.session_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    assert_recodes(CFC_FRAME_ADVICE);
}

static void
nack_recodes(void)
{
    struct cfc_writer w = cfc_writer_of(fx.frame, sizeof(fx.frame));

    CU_ASSERT_EQUAL_FATAL(cfc_nack_write(&w, 0x99, example_nack_entries, 5), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size),
                          CONFCAST_OK);
    assert_recodes(CFC_FRAME_NACK);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(head_recodes),    CFC_CASE(content_recodes), CFC_CASE(page_recodes),
    CFC_CASE(symbol_recodes),  CFC_CASE(fresh_recodes),   CFC_CASE(status_recodes),
    CFC_CASE(welcome_recodes), CFC_CASE(gone_recodes),    CFC_CASE(loss_recodes),
    CFC_CASE(advice_recodes),  CFC_CASE(hello_recodes),   CFC_CASE(report_recodes),
    CFC_CASE(nack_recodes),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_roundtrip", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
