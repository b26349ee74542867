/* Every message: what is encoded decodes, encodes again to the same bytes, and no prefix of it is
 * taken for a message. */
#include "tests/unit/wire_fixture.h"

#include "tests/unit/cunit_main.h"

static struct fixture fx;
static uint8_t again[CFC_FRAME_SIZE_MAX];
static size_t again_size;

/* Decodes the frame of its type and encodes it again; the code of the first that fails. */
static int recode(const struct cfc_frame *frame);

static int
recode_head(const struct cfc_frame *frame)
{
    struct cfc_head head;
    int rc = cfc_head_decode(frame, fx.sha, &head);

    return rc == CONFCAST_OK
               ? cfc_head_encode(&head, &fx.signer, fx.sha, again, sizeof(again), &again_size)
               : rc;
}

static int
recode_content(const struct cfc_frame *frame)
{
    struct cfc_content content;
    int rc = cfc_content_decode(frame, &content);

    return rc == CONFCAST_OK
               ? cfc_content_encode(&content, &fx.signer, again, sizeof(again), &again_size)
               : rc;
}

static int
recode_page(const struct cfc_frame *frame)
{
    struct cfc_page page;
    int rc = cfc_page_decode(frame, &page);

    return rc == CONFCAST_OK ? cfc_page_encode(frame->key, &page, again, sizeof(again), &again_size)
                             : rc;
}

static int
recode_hello(const struct cfc_frame *frame)
{
    struct cfc_hello hello;
    int rc = cfc_hello_decode(frame, fx.sha, &hello);

    if (rc == CONFCAST_OK) {
        rc = cfc_hello_check(frame, &fx.session_key);
    }
    return rc == CONFCAST_OK
               ? cfc_hello_encode(&hello, &fx.session_key, again, sizeof(again), &again_size)
               : rc;
}

static int
recode_welcome(const struct cfc_frame *frame)
{
    struct cfc_welcome welcome;
    int rc = cfc_welcome_decode(frame, &welcome);

    return rc == CONFCAST_OK
               ? cfc_welcome_encode(&welcome, &fx.session_key, again, sizeof(again), &again_size)
               : rc;
}

static int
recode_status(const struct cfc_frame *frame)
{
    struct cfc_echo echoes[CFC_STATUS_ECHOES_MAX];
    struct cfc_status status;
    int rc = cfc_status_decode(frame, &status);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < status.echo_count; i++) {
        cfc_status_echo_at(&status, i, &echoes[i]);
    }
    return cfc_status_encode(&status, echoes, again, sizeof(again), &again_size);
}

static int
recode_report(const struct cfc_frame *frame)
{
    struct cfc_report_entry entries[CFC_REPORT_ENTRIES_MAX];
    struct cfc_writer w = cfc_writer_of(again, sizeof(again));
    struct cfc_trailer trailer;
    struct cfc_report report;
    int rc = cfc_report_decode(frame, &report);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < report.entry_count; i++) {
        cfc_report_entry_at(&report, i, &entries[i]);
    }
    rc = cfc_report_write(&w, &report, entries, FIXTURE_CONSUMER, sizeof(FIXTURE_CONSUMER) - 1,
                          &fx.session_key);
    cfc_trailer_read(frame, &trailer);
    return rc == CONFCAST_OK ? cfc_trailer_seal(&w, trailer.session, trailer.seq, &fx.session_key,
                                                &fx.address, &again_size)
                             : rc;
}

static int
recode_nack(const struct cfc_frame *frame)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    struct cfc_writer w = cfc_writer_of(again, sizeof(again));
    struct cfc_trailer trailer;
    struct cfc_nack nack;
    int rc = cfc_nack_decode(frame, &nack);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < nack.entry_count; i++) {
        cfc_nack_entry_at(&nack, i, &entries[i]);
    }
    rc = cfc_nack_write(&w, nack.consumer_key, entries, nack.entry_count);
    cfc_trailer_read(frame, &trailer);
    return rc == CONFCAST_OK ? cfc_trailer_seal(&w, trailer.session, trailer.seq, &fx.session_key,
                                                &fx.address, &again_size)
                             : rc;
}

static int
recode_gone(const struct cfc_frame *frame)
{
    struct cfc_gone gone;
    int rc = cfc_gone_decode(frame, &gone);

    return rc == CONFCAST_OK ? cfc_gone_encode(&gone, again, sizeof(again), &again_size) : rc;
}

static int
recode_symbol(const struct cfc_frame *frame)
{
    struct cfc_symbol symbol;
    int rc = cfc_symbol_decode(frame, &symbol);

    if (rc == CONFCAST_OK) {
        cfc_symbol_header(frame->key, symbol.coding, symbol.block, symbol.index, symbol.size,
                          again);
        memcpy(again + CFC_SYMBOL_HEADER_SIZE, symbol.bytes, symbol.size);
        again_size = CFC_SYMBOL_HEADER_SIZE + symbol.size;
    }
    return rc;
}

static int
recode_fresh(const struct cfc_frame *frame)
{
    struct cfc_fresh_entry entries[CFC_FRESH_PAGE_ENTRIES_MAX];
    uint8_t nodes[CFC_SHORT_DIGEST_SIZE];
    struct cfc_fresh_builder builder;
    struct cfc_fresh fresh;
    int rc = cfc_fresh_decode(frame, &fresh);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < fresh.entry_count; i++) {
        cfc_fresh_entry_at(&fresh, i, &entries[i]);
    }
    rc = cfc_fresh_builder_init(&builder, &fresh, entries, fresh.entry_count, nodes, &fx.signer,
                                fx.sha);
    return rc == CONFCAST_OK ? cfc_fresh_encode_page(&builder, 0, again, sizeof(again), &again_size)
                             : rc;
}

static int
recode(const struct cfc_frame *frame)
{
    switch (frame->type) {
    case CFC_FRAME_HEAD:
        return recode_head(frame);
    case CFC_FRAME_CONTENT:
        return recode_content(frame);
    case CFC_FRAME_PAGE:
        return recode_page(frame);
    case CFC_FRAME_SYMBOL:
        return recode_symbol(frame);
    case CFC_FRAME_FRESH:
        return recode_fresh(frame);
    case CFC_FRAME_STATUS:
        return recode_status(frame);
    case CFC_FRAME_WELCOME:
        return recode_welcome(frame);
    case CFC_FRAME_GONE:
        return recode_gone(frame);
    case CFC_FRAME_HELLO:
        return recode_hello(frame);
    case CFC_FRAME_REPORT:
        return recode_report(frame);
    default:
        return recode_nack(frame);
    }
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
    CU_ASSERT_EQUAL_FATAL(recode(&frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(again_size, fx.size);
    CU_ASSERT_EQUAL(memcmp(again, fx.frame, fx.size), 0);
    for (size_t size = 0; size < cut; size++) {
        int rc;
        uint8_t *copy = prefix_of(&fx, size, &frame, &rc);

        CU_ASSERT(size >= CFC_FRAME_HEADER_SIZE || rc == CONFCAST_ERR_SHORT);
        if (rc == CONFCAST_OK) {
            rc = recode(&frame);
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
    struct cfc_head head = example_head();
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(
        cfc_head_encode(&head, &fx.signer, fx.sha, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(recode(&frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(again_size, fx.size);
    CU_ASSERT_EQUAL(memcmp(again, fx.frame, fx.size), 0);
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
        cfc_welcome_encode(&welcome, &fx.session_key, fx.frame, sizeof(fx.frame), &fx.size),
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
        cfc_hello_encode(&hello, &fx.session_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    assert_recodes(CFC_FRAME_HELLO);
    hello.holds = NULL;
    hello.head_proof = NULL;
    CU_ASSERT_EQUAL_FATAL(
        cfc_hello_encode(&hello, &fx.session_key, fx.frame, sizeof(fx.frame), &fx.size),
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
                                           sizeof(FIXTURE_CONSUMER) - 1, &fx.session_key),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size),
                          CONFCAST_OK);
    assert_recodes(CFC_FRAME_REPORT);
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
    CFC_CASE(welcome_recodes), CFC_CASE(gone_recodes),    CFC_CASE(hello_recodes),
    CFC_CASE(report_recodes),  CFC_CASE(nack_recodes),
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
