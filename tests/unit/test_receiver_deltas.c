/* Several codings of one content at a receiver: which it takes, and what it does when one comes to
 * nothing. */
#include "tests/unit/receiver_decisions.h"

/* A content, whole and as a delta against what the receiver serves. */
struct choice {
    struct made whole;
    struct made delta; /* the receiver decodes nothing, so that the same bytes will do */
    struct made other; /* another delta against the same base */
    struct cfc_digest base;
};

static void
make_coding(struct bench *b, struct made *m, uint16_t coding, const struct cfc_digest *base)
{
    b->prng.state = 99; /* the same bytes each time */
    made_content_encoding(b, m, 1000, 100, 8, coding);
    if (base != NULL) {
        m->content.encoding = CFC_ENCODING_ZSTD_DELTA;
        m->content.base = *base;
    }
}

/* Makes a delta a smaller one: of the same bytes, the first three symbols. */
static void
make_small(struct bench *b, struct made *m)
{
    m->content.coded_size = 300;
    CU_ASSERT_EQUAL_FATAL(cfc_tree_init(&m->tree, &m->content), CONFCAST_OK);
    cfc_tree_build(&m->tree, b->sha, m->body, m->repairs, m->digests);
    m->content.page_levels = (uint8_t)m->tree.level_count;
    m->content.top_count = (uint8_t)m->tree.top_count;
    m->content.top_digests =
        m->digests + (size_t)cfc_tree_top_offset(&m->tree) * CFC_SHORT_DIGEST_SIZE;
}

static void
choice_open(struct bench *b, struct choice *c)
{
    struct cfc_head head;

    c->base = digest_of(1);
    bench_open(b);
    bench_link(b);
    hold(b, &c->base);
    head = bench_head(b, 10, &c->base);
    decide(b, &head);
    make_coding(b, &c->whole, 0, NULL);
    make_coding(b, &c->delta, 7, &c->base);
    make_coding(b, &c->other, 8, &c->base);
}

static void
choice_close(struct bench *b, struct choice *c)
{
    made_free(&c->whole);
    made_free(&c->delta);
    made_free(&c->other);
    bench_close(b);
}

static void
name_it(struct bench *b, const struct choice *c)
{
    struct cfc_head head = bench_head(b, 11, &c->whole.id);

    decide(b, &head);
}

static bool
asks_for_content(struct bench *b)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    uint32_t count = bench_await_nack(b, 20 * CFC_MS, entries);

    return find_want(entries, count, CFC_WANT_CONTENT) != NULL;
}

static void
a_delta_that_does_not_decode_gives_way_to_the_whole(void)
{
    static const int codes[] = {CONFCAST_ERR_NO_BASE, CONFCAST_ERR_DIGEST, CONFCAST_ERR_BODY,
                                CONFCAST_ERR_ZSTD, CONFCAST_ERR_ZTRAILING};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct cfc_receiver_need need;
        struct choice c;
        struct bench b;

        choice_open(&b, &c);
        name_it(&b, &c);
        b.content_code = codes[i];
        bench_send_all(&b, &c.delta);
        bench_run_owner(&b);
        CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
        CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
        CU_ASSERT(asks_for_content(&b));
        /* The base is to blame: no delta against it, by whichever way. */
        CU_ASSERT_EQUAL(bench_send_content(&b, &c.delta), CONFCAST_ERR_NO_BASE);
        CU_ASSERT_EQUAL(bench_send_content(&b, &c.other), CONFCAST_ERR_NO_BASE);
        CU_ASSERT_EQUAL_FATAL(cfc_receiver_need(b.r, b.scope, &need), CONFCAST_OK);
        CU_ASSERT_EQUAL(need.have_count, 0);
        CU_ASSERT_EQUAL(need.after, 0);
        b.content_code = 1;
        bench_send_all(&b, &c.whole);
        bench_run_owner(&b);
        CU_ASSERT(is_last_served(&b, &c.whole.id));
        CU_ASSERT_EQUAL_FATAL(cfc_receiver_need(b.r, b.scope, &need), CONFCAST_OK);
        CU_ASSERT_EQUAL(need.have_count, 1);
        choice_close(&b, &c);
    }
}

static void
a_whole_that_does_not_decode_is_refused(void)
{
    struct choice c;
    struct bench b;

    choice_open(&b, &c);
    name_it(&b, &c);
    b.content_code = CONFCAST_ERR_DIGEST;
    bench_send_all(&b, &c.whole);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 1);
    choice_close(&b, &c);
}

/* Nobody signs what rides in a head: anybody may have written it. */
static void
forged_delta_bytes_in_a_head_do_not_give_the_base_a_bad_name(void)
{
    struct cfc_head head;
    struct choice c;
    struct bench b;

    choice_open(&b, &c);
    head = bench_head(&b, 11, &c.whole.id);
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_ZSTD_DELTA,
                                               .body_size = 1000,
                                               .base = c.base,
                                               .coded = (const uint8_t *)"forged",
                                               .coded_size = 6};
    b.content_code = CONFCAST_ERR_DIGEST;
    decide(&b, &head);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_REJECTED), 0);
    b.content_code = CONFCAST_OK;
    CU_ASSERT_EQUAL(bench_send_content(&b, &c.delta), CONFCAST_OK);
    bench_send_all(&b, &c.delta);
    bench_run_owner(&b);
    CU_ASSERT(is_last_served(&b, &c.whole.id));
    choice_close(&b, &c);
}

static void
the_smaller_coding_is_taken_when_both_come(void)
{
    for (int first = 0; first < 2; first++) {
        struct choice c;
        struct bench b;

        choice_open(&b, &c);
        make_small(&b, &c.delta);
        name_it(&b, &c);
        CU_ASSERT_EQUAL(bench_send_content(&b, first == 0 ? &c.delta : &c.whole), CONFCAST_OK);
        CU_ASSERT_EQUAL(bench_send_content(&b, first == 0 ? &c.whole : &c.delta), CONFCAST_OK);
        b.content_code = CONFCAST_OK;
        bench_send_block(&b, &c.delta, 0);
        bench_run_owner(&b);
        CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
        CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_CONTENT)->encoding, CFC_ENCODING_ZSTD_DELTA);
        CU_ASSERT_EQUAL(bench_last(&b, CFC_EVENT_CONTENT)->size, 300);
        choice_close(&b, &c);
    }
}

/* The CONTENT of the delta was lost, what follows it was not; who asks is told of the whole first.
 */
static void
early_frames_of_a_coding_wait_for_its_own_content(void)
{
    struct choice c;
    struct bench b;

    choice_open(&b, &c);
    make_small(&b, &c.delta);
    name_it(&b, &c);
    bench_send_block(&b, &c.delta, 0);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->frames_early, 4);
    CU_ASSERT_EQUAL(bench_send_content(&b, &c.whole), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_receiver_stats(b.r)->symbols_ignored, 0);
    b.content_code = CONFCAST_OK;
    CU_ASSERT_EQUAL(bench_send_content(&b, &c.delta), CONFCAST_OK);
    bench_run_owner(&b);
    CU_ASSERT_EQUAL(bench_count(&b, CFC_EVENT_CONTENT), 1);
    CU_ASSERT(is_last_served(&b, &c.whole.id));
    choice_close(&b, &c);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_delta_that_does_not_decode_gives_way_to_the_whole),
    CFC_CASE(a_whole_that_does_not_decode_is_refused),
    CFC_CASE(forged_delta_bytes_in_a_head_do_not_give_the_base_a_bad_name),
    CFC_CASE(the_smaller_coding_is_taken_when_both_come),
    CFC_CASE(early_frames_of_a_coding_wait_for_its_own_content),
};

CFC_TEST_MAIN("receiver_deltas", cases)
