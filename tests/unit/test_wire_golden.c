/* The golden vectors, which tests/golden/make.py made without this code: every named frame decodes
 * and encodes to its bytes, the examples of the fixture encode to the bytes of theirs, and every
 * digest, key and matrix row is what the vectors say. */
#include "protocol/snapshot/index.h"
#include "protocol/snapshot/tree.h"
#include "tests/unit/golden.h"
#include "tests/unit/wire_recode.h"

#include "tests/unit/cunit_main.h"

static struct fixture fx;
static struct golden_file golden;
static struct recoded again;

static const struct golden *
vector(const char *name)
{
    const struct golden *g = golden_find(&golden, name);

    if (g == NULL) {
        fprintf(stderr, "there is no vector %s\n", name);
        abort();
    }
    return g;
}

static bool
is_vector(const char *name, const void *bytes, size_t size)
{
    const struct golden *g = vector(name);

    if (g->size != size || memcmp(g->bytes, bytes, size) != 0) {
        fprintf(stderr, "%s differs\n", name);
        return false;
    }
    return true;
}

static bool
is_vector_u64(const char *name, uint64_t value)
{
    uint8_t bytes[8];

    cfc_put_u64(bytes, value);
    return is_vector(name, bytes, sizeof(bytes));
}

static void
keys_and_names_are_the_vectors(void)
{
    struct cfc_key cookie_key;
    struct cfc_digest id;
    uint8_t cookie[CFC_COOKIE_SIZE];
    uint8_t cohort[4];

    CU_ASSERT(is_vector("key.public", fx.signing_key.public_key, CFC_PUBLIC_KEY_SIZE));
    CU_ASSERT(is_vector("key.id", fx.signer.key_id, CFC_KEY_ID_SIZE));
    CU_ASSERT(is_vector("key.credential_session", &fx.credential_key, CFC_KEY_SIZE));
    CU_ASSERT(is_vector("key.credential_report", &fx.report_key, CFC_KEY_SIZE));
    CU_ASSERT(is_vector("key.session", &fx.session_key, CFC_KEY_SIZE));
    CU_ASSERT(is_vector_u64("name.scope_id",
                            cfc_scope_id(fx.sha, FIXTURE_SCOPE, sizeof(FIXTURE_SCOPE) - 1)));
    CU_ASSERT(is_vector_u64("name.consumer_key", cfc_consumer_key(fx.sha, FIXTURE_CONSUMER,
                                                                  sizeof(FIXTURE_CONSUMER) - 1)));
    cfc_put_u32(cohort, cfc_cohort(fx.sha, UINT64_C(0x1122334455667788), FIXTURE_CONSUMER,
                                   sizeof(FIXTURE_CONSUMER) - 1));
    CU_ASSERT(is_vector("name.cohort", cohort, sizeof(cohort)));
    CU_ASSERT(is_vector("body.small", example_body, sizeof(example_body)));
    cfc_content_id(fx.sha, example_body, sizeof(example_body), &id);
    CU_ASSERT(is_vector("body.small_id", &id, sizeof(id)));
    memcpy(&cookie_key, vector("key.cookie")->bytes, sizeof(cookie_key));
    cfc_cookie_make(&cookie_key, 28333333,
                    cfc_consumer_key(fx.sha, FIXTURE_CONSUMER, sizeof(FIXTURE_CONSUMER) - 1),
                    &fx.address, cookie);
    CU_ASSERT(is_vector("link.cookie", cookie, sizeof(cookie)));
}

/* What no builder here can make again: a page of several FRESH pages without the others. */
static bool
is_part_of_more(const struct cfc_frame *frame)
{
    struct cfc_fresh fresh;

    return frame->type == CFC_FRAME_FRESH && cfc_fresh_decode(frame, &fresh) == CONFCAST_OK &&
           fresh.page_count > 1;
}

static void
every_frame_decodes_and_encodes_to_the_same_bytes(void)
{
    size_t count = 0;

    for (size_t i = 0; i < golden.count; i++) {
        const struct golden *g = &golden.items[i];
        struct cfc_frame frame;

        if (strncmp(g->name, "frame.", 6) != 0) {
            continue;
        }
        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(g->bytes, g->size, &frame), CONFCAST_OK);
        if (is_part_of_more(&frame)) {
            continue;
        }
        CU_ASSERT_EQUAL(recode(&fx, &frame, &again), CONFCAST_OK);
        CU_ASSERT(is_vector(g->name, again.bytes, again.size));
        count++;
    }
    CU_ASSERT_EQUAL(count, 23);
}

static void
signatures_of_the_vectors_verify(void)
{
    static const char *const names[] = {"frame.head", "frame.head_plain", "frame.content_raw",
                                        "frame.content_delta", "frame.fresh_3_page_0"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct golden *g = vector(names[i]);
        struct cfc_content content;
        struct cfc_fresh fresh;
        struct cfc_frame frame;
        struct cfc_head head;
        int rc = CONFCAST_ERR_INTERNAL;

        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(g->bytes, g->size, &frame), CONFCAST_OK);
        if (cfc_head_decode(&frame, fx.sha, &head) == CONFCAST_OK) {
            rc = cfc_head_verify(&head, &fx.verifier, 0);
        } else if (cfc_content_decode(&frame, &content) == CONFCAST_OK) {
            rc = cfc_content_verify(&content, &fx.verifier, 0);
        } else if (cfc_fresh_decode(&frame, &fresh) == CONFCAST_OK) {
            rc = cfc_fresh_verify(&fresh, &fx.verifier, 0);
        }
        CU_ASSERT_EQUAL(rc, CONFCAST_OK);
    }
}

static void
a_head_encodes_to_the_vector(void)
{
    struct cfc_head head = example_head(fx.sha);
    uint8_t digest[CFC_SHORT_DIGEST_SIZE];
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(
        cfc_head_encode(&head, &fx.signer, fx.sha, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.head", fx.frame, fx.size));
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_head_decode(&frame, fx.sha, &head), CONFCAST_OK);
    cfc_head_digest(&head, fx.sha, digest);
    CU_ASSERT(is_vector("head.digest", digest, sizeof(digest)));
}

static void
contents_encode_to_the_vectors(void)
{
    struct cfc_content content = example_content();

    CU_ASSERT_EQUAL_FATAL(
        cfc_content_encode(&content, &fx.signer, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.content_delta", fx.frame, fx.size));

    content = (struct cfc_content){.coding = 3,
                                   .encoding = CFC_ENCODING_RAW,
                                   .fec_code = CFC_FEC_RS_CAUCHY,
                                   .fec_k = 4,
                                   .repair_leaves = 2,
                                   .body_size = vector("body.raw")->size,
                                   .coded_size = vector("body.raw")->size,
                                   .symbol_size = 64,
                                   .page_levels = 1,
                                   .top_count = 3,
                                   .shard = 7,
                                   .top_digests = vector("tree.top")->bytes};
    memcpy(&content.content, vector("body.raw_id")->bytes, sizeof(content.content));
    CU_ASSERT_EQUAL_FATAL(
        cfc_content_encode(&content, &fx.signer, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.content_raw", fx.frame, fx.size));
}

static void
pages_and_symbols_encode_to_the_vectors(void)
{
    const struct golden *digests = vector("tree.page_last");
    const struct golden *body = vector("body.raw");
    struct cfc_page page = {.coding = 3,
                            .digest_count = (uint8_t)(digests->size / CFC_SHORT_DIGEST_SIZE),
                            .index = 2,
                            .digests = digests->bytes};
    uint64_t key = cfc_get_u64(vector("body.raw_id")->bytes);

    CU_ASSERT_EQUAL_FATAL(cfc_page_encode(key, &page, fx.frame, sizeof(fx.frame), &fx.size),
                          CONFCAST_OK);
    CU_ASSERT(is_vector("frame.page_last", fx.frame, fx.size));
    cfc_symbol_header(key, 3, 0, 0, 64, fx.frame);
    memcpy(fx.frame + CFC_SYMBOL_HEADER_SIZE, body->bytes, 64);
    CU_ASSERT(is_vector("frame.symbol_source", fx.frame, CFC_SYMBOL_HEADER_SIZE + 64));
    cfc_symbol_header(key, 3, 0, 5, 64, fx.frame);
    memcpy(fx.frame + CFC_SYMBOL_HEADER_SIZE, vector("fec.block_0_repairs")->bytes + 64, 64);
    CU_ASSERT(is_vector("frame.symbol_repair", fx.frame, CFC_SYMBOL_HEADER_SIZE + 64));
}

static void
the_tree_over_the_coded_bytes_is_the_vectors(void)
{
    const struct golden *content_frame = vector("frame.content_raw");
    uint8_t digests[32 * CFC_SHORT_DIGEST_SIZE];
    struct cfc_content content;
    struct cfc_frame frame;
    struct cfc_tree tree;
    uint32_t last;

    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(content_frame->bytes, content_frame->size, &frame),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_content_decode(&frame, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_tree_init(&tree, &content), CONFCAST_OK);
    CU_ASSERT_FATAL(cfc_tree_digests_size(&tree) <= sizeof(digests));
    cfc_tree_build(&tree, fx.sha, vector("body.raw")->bytes, vector("fec.all_repairs")->bytes,
                   digests);
    CU_ASSERT(is_vector("tree.page_0", digests, 6 * CFC_SHORT_DIGEST_SIZE));
    CU_ASSERT(is_vector("tree.leaf_source", digests, CFC_SHORT_DIGEST_SIZE));
    CU_ASSERT(
        is_vector("tree.leaf_repair", digests + 4 * CFC_SHORT_DIGEST_SIZE, CFC_SHORT_DIGEST_SIZE));
    last = tree.geometry.block_count - 1;
    CU_ASSERT(
        is_vector("tree.page_last",
                  digests + (size_t)cfc_tree_page_offset(&tree, 0, last) * CFC_SHORT_DIGEST_SIZE,
                  (size_t)cfc_tree_page_digests(&tree, 0, last) * CFC_SHORT_DIGEST_SIZE));
    CU_ASSERT(is_vector("tree.top",
                        digests + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE,
                        (size_t)tree.top_count * CFC_SHORT_DIGEST_SIZE));
}

static void
bodies_of_the_vectors_are_valid(void)
{
    CU_ASSERT_EQUAL(cfc_body_validate(vector("body.small")->bytes, vector("body.small")->size),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_body_validate(vector("body.raw")->bytes, vector("body.raw")->size),
                    CONFCAST_OK);
}

static void
fresh_pages_encode_to_the_vectors(void)
{
    static const uint32_t counts[] = {0, 3, 70};
    struct cfc_fresh fixed = {.shard = 7,
                              .epoch = 5,
                              .sequence = 1042,
                              .time_unix_ns = UINT64_C(1700000000000000000),
                              .not_after_unix_ns = UINT64_C(1700000003000000000),
                              .fleet_size = 100};
    struct cfc_fresh_entry entries[70] = {0};
    uint8_t nodes[8 * CFC_SHORT_DIGEST_SIZE];
    char name[64];

    for (uint32_t i = 0; i < 70; i++) {
        entries[i].scope_id = 1000 + 3 * i;
        entries[i].version = 40 + i;
        fill(entries[i].head_digest, CFC_SHORT_DIGEST_SIZE, (uint8_t)i);
    }
    for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
        struct cfc_fresh_builder b;

        CU_ASSERT_FATAL(cfc_fresh_nodes_size(counts[n]) <= sizeof(nodes));
        CU_ASSERT_EQUAL_FATAL(
            cfc_fresh_builder_init(&b, &fixed, entries, counts[n], nodes, &fx.signer, fx.sha),
            CONFCAST_OK);
        snprintf(name, sizeof(name), "fresh.root_of_%u", counts[n]);
        CU_ASSERT(is_vector(name, b.fixed.root, sizeof(b.fixed.root)));
        for (uint32_t page = 0; page < cfc_fresh_page_count(counts[n]); page++) {
            CU_ASSERT_EQUAL_FATAL(
                cfc_fresh_encode_page(&b, page, fx.frame, sizeof(fx.frame), &fx.size), CONFCAST_OK);
            snprintf(name, sizeof(name), "frame.fresh_%u_page_%u", counts[n], page);
            CU_ASSERT(is_vector(name, fx.frame, fx.size));
        }
    }
}

static void
hellos_encode_to_the_vectors(void)
{
    const struct golden *proof = vector("frame.head_plain");
    struct cfc_hello hello = example_hello(fx.sha);
    uint8_t holds[16];

    memcpy(holds, vector("body.raw_id")->bytes, 8);
    cfc_put_u64(holds + 8, 0x7001);
    memcpy(hello.cookie, vector("link.cookie")->bytes, sizeof(hello.cookie));
    hello.head_proof = proof->bytes;
    hello.head_proof_size = proof->size;
    hello.holds = holds;
    hello.capabilities = CFC_CAPABILITY_DELTAS;
    CU_ASSERT_EQUAL_FATAL(
        cfc_hello_encode(&hello, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.hello", fx.frame, fx.size));
    memset(hello.cookie, 0, sizeof(hello.cookie));
    hello.label_count = 0;
    hello.head_proof = NULL;
    hello.holds = NULL;
    hello.capabilities = 0;
    CU_ASSERT_EQUAL_FATAL(
        cfc_hello_encode(&hello, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.hello_first", fx.frame, fx.size));
}

static void
welcomes_and_status_encode_to_the_vectors(void)
{
    struct cfc_welcome welcome = example_welcome();
    struct cfc_status status = example_status();

    CU_ASSERT_EQUAL(
        cfc_welcome_encode(&welcome, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.welcome_accept", fx.frame, fx.size));
    welcome.session = 0;
    welcome.kind = CFC_WELCOME_CHALLENGE;
    memcpy(welcome.token, vector("link.cookie")->bytes, sizeof(welcome.token));
    CU_ASSERT_EQUAL(cfc_welcome_encode(&welcome, NULL, fx.frame, sizeof(fx.frame), &fx.size),
                    CONFCAST_OK);
    CU_ASSERT(is_vector("frame.welcome_challenge", fx.frame, fx.size));
    welcome.kind = CFC_WELCOME_REFUSE;
    welcome.refusal = 27;
    memset(welcome.token, 0, sizeof(welcome.token));
    CU_ASSERT_EQUAL(
        cfc_welcome_encode(&welcome, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.welcome_refuse", fx.frame, fx.size));
    CU_ASSERT_EQUAL(
        cfc_status_encode(&status, example_echoes, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.status", fx.frame, fx.size));
}

static void
reports_nacks_and_gone_encode_to_the_vectors(void)
{
    struct cfc_gone gone = {.key = 0x7001, .want = CFC_WANT_SYMBOLS, .coding = 1, .index = 4};
    struct cfc_writer w = cfc_writer_of(fx.frame, sizeof(fx.frame));
    struct cfc_report report = example_report(fx.sha);
    struct cfc_report decoded;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL(cfc_report_write(&w, &report, example_report_entries, FIXTURE_CONSUMER,
                                     sizeof(FIXTURE_CONSUMER) - 1, &fx.report_key),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_trailer_seal(&w, 77, 3, &fx.session_key, &fx.address, &fx.size),
                    CONFCAST_OK);
    CU_ASSERT(is_vector("frame.report", fx.frame, fx.size));
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_report_decode(&frame, &decoded), CONFCAST_OK);
    CU_ASSERT(is_vector("report.tag", &decoded.tag, sizeof(decoded.tag)));

    w = cfc_writer_of(fx.frame, sizeof(fx.frame));
    CU_ASSERT_EQUAL(cfc_nack_write(&w, report.consumer_key, example_nack_entries, 5), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_trailer_seal(&w, 77, 4, &fx.session_key, &fx.address, &fx.size),
                    CONFCAST_OK);
    CU_ASSERT(is_vector("frame.nack", fx.frame, fx.size));
    CU_ASSERT_EQUAL(cfc_gone_encode(&gone, fx.frame, sizeof(fx.frame), &fx.size), CONFCAST_OK);
    CU_ASSERT(is_vector("frame.gone", fx.frame, fx.size));
}

static void
loss_and_advice_encode_to_the_vectors(void)
{
    struct cfc_loss loss = {.consumer_key = example_report(fx.sha).consumer_key,
                            .expected = 4096,
                            .lost = 200,
                            .loss = 3200,
                            .window_count = 8,
                            .flags = CFC_LOSS_FLAG_PULLING};
    struct cfc_advice advice = {.boot_id = example_welcome().boot_id,
                                .kind = CFC_ADVICE_PULL,
                                .hold_s = 300,
                                .session = 77,
                                .seq = 9};
    struct cfc_writer w = cfc_writer_of(fx.frame, sizeof(fx.frame));
    const struct golden *tlv = vector("loss.with_tlv");
    struct cfc_frame frame;

    CU_ASSERT_EQUAL(cfc_loss_write(&w, &loss), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_trailer_seal(&w, 77, 5, &fx.session_key, &fx.address, &fx.size),
                    CONFCAST_OK);
    CU_ASSERT(is_vector("frame.loss", fx.frame, fx.size));
    CU_ASSERT_EQUAL(
        cfc_advice_encode(&advice, &fx.session_key, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
    CU_ASSERT(is_vector("frame.advice", fx.frame, fx.size));
    /* What a later version adds is skipped. */
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(tlv->bytes, tlv->size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_loss_decode(&frame, &loss), CONFCAST_OK);
    CU_ASSERT_EQUAL(loss.expected, 40);
}

/* The product in GF(2^8) by its logarithms to the base 2, which generates the field of 0x11d. */
static uint8_t
gf_mul(uint8_t a, uint8_t b)
{
    static uint8_t exp[512];
    static uint8_t log[256];

    if (exp[0] == 0) {
        unsigned x = 1;

        for (unsigned i = 0; i < 255; i++) {
            exp[i] = exp[i + 255] = (uint8_t)x;
            log[x] = (uint8_t)i;
            x = (x << 1) ^ ((x & 0x80) != 0 ? 0x11du : 0);
        }
    }
    return a == 0 || b == 0 ? 0 : exp[log[a] + log[b]];
}

static void
matrix_rows_invert_the_xor_of_row_and_column(void)
{
    static const struct {
        const char *name;
        unsigned row;
        unsigned k;
    } rows[] = {{"fec.row_4_of_4", 4, 4},
                {"fec.row_5_of_4", 5, 4},
                {"fec.row_64_of_64", 64, 64},
                {"fec.row_79_of_64", 79, 64},
                {"fec.row_255_of_64", 255, 64}};

    for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
        const struct golden *g = vector(rows[n].name);

        CU_ASSERT_EQUAL_FATAL(g->size, rows[n].k);
        for (unsigned j = 0; j < rows[n].k; j++) {
            CU_ASSERT_EQUAL(gf_mul(g->bytes[j], (uint8_t)(rows[n].row ^ j)), 1);
        }
    }
}

/* The sum that repair symbol `r` of a block must be, byte for byte; the last source may be short.
 */
static bool
repairs_are_sums(const char *name, const uint8_t *sources, size_t sources_size, unsigned k)
{
    const struct golden *g = vector(name);
    bool ok = g->size == 2 * 64;

    for (size_t i = 0; ok && i < g->size; i++) {
        unsigned row = k + (unsigned)(i / 64);
        uint8_t sum = 0;

        for (unsigned j = 0; j < k; j++) {
            size_t at = (size_t)j * 64 + i % 64;
            uint8_t inverse = 1;

            while (gf_mul(inverse, (uint8_t)(row ^ j)) != 1) {
                inverse++;
            }
            sum ^= at < sources_size ? gf_mul(inverse, sources[at]) : 0;
        }
        ok = sum == g->bytes[i];
    }
    return ok;
}

static void
repair_symbols_of_a_full_and_of_a_short_block_are_the_vectors(void)
{
    const struct golden *body = vector("body.raw");
    size_t last = body->size - 2 * 256;

    CU_ASSERT(repairs_are_sums("fec.block_0_repairs", body->bytes, 256, 4));
    CU_ASSERT(repairs_are_sums("fec.block_last_repairs", body->bytes + 512, last,
                               (unsigned)((last + 63) / 64)));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(keys_and_names_are_the_vectors),
    CFC_CASE(every_frame_decodes_and_encodes_to_the_same_bytes),
    CFC_CASE(signatures_of_the_vectors_verify),
    CFC_CASE(a_head_encodes_to_the_vector),
    CFC_CASE(contents_encode_to_the_vectors),
    CFC_CASE(pages_and_symbols_encode_to_the_vectors),
    CFC_CASE(the_tree_over_the_coded_bytes_is_the_vectors),
    CFC_CASE(bodies_of_the_vectors_are_valid),
    CFC_CASE(fresh_pages_encode_to_the_vectors),
    CFC_CASE(hellos_encode_to_the_vectors),
    CFC_CASE(welcomes_and_status_encode_to_the_vectors),
    CFC_CASE(reports_nacks_and_gone_encode_to_the_vectors),
    CFC_CASE(loss_and_advice_encode_to_the_vectors),
    CFC_CASE(matrix_rows_invert_the_xor_of_row_and_column),
    CFC_CASE(repair_symbols_of_a_full_and_of_a_short_block_are_the_vectors),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    if (!golden_open(&golden)) {
        fprintf(stderr, "tests/golden/wire.txt cannot be read; CFC_SOURCE_ROOT names the tree\n");
        return 2;
    }
    failed = cfc_test_main("wire_golden", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
