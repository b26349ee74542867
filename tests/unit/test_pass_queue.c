/* Whose turn it is: the order of the four classes, and that none of them starves. */
#include "protocol/session/pass_queue.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

enum {
    SLOTS = 16
};

static struct cfc_slot_link links[SLOTS];

/* Adds slots 0, 1, ... of these classes; what `turns` turns give goes to `counts`. */
static void
take_turns(const enum cfc_pass_class *classes, uint32_t count, uint32_t turns, uint32_t *counts)
{
    struct cfc_pass_queue queue;

    cfc_pass_queue_init(&queue, links);
    CU_ASSERT_TRUE(cfc_pass_queue_is_empty(&queue));
    CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), CFC_SLOT_NONE);
    memset(counts, 0, count * sizeof(counts[0]));
    for (uint32_t i = 0; i < count; i++) {
        cfc_pass_queue_add(&queue, classes[i], i);
    }
    CU_ASSERT_FALSE(cfc_pass_queue_is_empty(&queue));
    for (uint32_t i = 0; i < turns; i++) {
        uint32_t slot = cfc_pass_queue_take(&queue);

        CU_ASSERT_TRUE_FATAL(slot < count);
        counts[slot]++;
        cfc_pass_queue_rotate(&queue, classes[slot], slot);
    }
}

static void
alone_each_class_has_every_turn(void)
{
    for (uint32_t i = 0; i < CFC_PASS_CLASSES; i++) {
        enum cfc_pass_class class = (enum cfc_pass_class)i;
        uint32_t count;

        take_turns(&class, 1, 100, &count);
        CU_ASSERT_EQUAL(count, 100);
    }
}

static void
large_ones_take_turns_and_small_ones_are_sent_in_the_order_they_came(void)
{
    static const enum cfc_pass_class large[] = {CFC_PASS_LARGE_NEWS, CFC_PASS_LARGE_NEWS,
                                                CFC_PASS_LARGE_NEWS};
    static const enum cfc_pass_class small[] = {CFC_PASS_SMALL_NEWS, CFC_PASS_SMALL_NEWS};
    uint32_t counts[3];

    take_turns(large, 3, 300, counts);
    CU_ASSERT_EQUAL(counts[0], 100);
    CU_ASSERT_EQUAL(counts[1], 100);
    CU_ASSERT_EQUAL(counts[2], 100);
    take_turns(small, 2, 300, counts);
    CU_ASSERT_EQUAL(counts[0], 300);
    CU_ASSERT_EQUAL(counts[1], 0);
}

static void
news_goes_before_the_rest_and_small_before_large_and_none_starves(void)
{
    static const enum cfc_pass_class classes[] = {CFC_PASS_SMALL_NEWS, CFC_PASS_LARGE_NEWS,
                                                  CFC_PASS_SMALL_REST, CFC_PASS_LARGE_REST};
    uint32_t counts[4];

    take_turns(classes, 4, 1600, counts);
    CU_ASSERT_EQUAL(counts[0], 1500 * 3 / 4);
    CU_ASSERT_EQUAL(counts[1], 1500 / 4);
    CU_ASSERT_EQUAL(counts[2], 100 * 3 / 4);
    CU_ASSERT_EQUAL(counts[3], 100 / 4);
    take_turns(classes, 2, 400, counts);
    CU_ASSERT_EQUAL(counts[0], 300);
    take_turns(classes + 2, 2, 400, counts);
    CU_ASSERT_EQUAL(counts[0], 300);
}

static void
share_grows_while_somebody_waits_and_only_then(void)
{
    struct cfc_pass_queue queue;

    cfc_pass_queue_init(&queue, links);
    cfc_pass_queue_add(&queue, CFC_PASS_LARGE_NEWS, 0);
    for (uint32_t i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), 0);
    }
    cfc_pass_queue_add(&queue, CFC_PASS_SMALL_NEWS, 1);
    CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), 1);
    CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), 1);
    CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), 1);
    CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), 0);
    /* Waiting counts even when small ones come and go meanwhile, else they could starve it. */
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), 1);
        cfc_pass_queue_remove(&queue, CFC_PASS_SMALL_NEWS, 1);
        cfc_pass_queue_add(&queue, CFC_PASS_SMALL_NEWS, 1);
    }
    CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), 0);
    cfc_pass_queue_remove(&queue, CFC_PASS_LARGE_NEWS, 0);
    cfc_pass_queue_remove(&queue, CFC_PASS_SMALL_NEWS, 1);
    CU_ASSERT_EQUAL(cfc_pass_queue_take(&queue), CFC_SLOT_NONE);
}

/* Frames of a sender until the last one of a content, with `large_count` large ones under way. */
static uint32_t
frames_until_done(uint32_t small_number, uint32_t small_count, uint32_t large_count)
{
    struct bed_content *c;
    struct cfc_digest wanted = bed_content_id((uint8_t)(1 + small_number));
    uint32_t last = 0;
    char scope[32];
    struct bed bed;

    bed_open_quiet(&bed);
    for (uint32_t i = 0; i < large_count; i++) {
        c = bed_put_content(&bed, (uint8_t)(100 + i), 400 * BED_SYMBOL_SIZE, 16);
        snprintf(scope, sizeof(scope), "acme/large%u", i);
        CU_ASSERT_EQUAL(bed_put_head(&bed, scope, 1, 1, &c->id), CONFCAST_OK);
    }
    bed_drain_max(&bed, 50);
    for (uint32_t i = 0; i < small_count; i++) {
        c = bed_put_content(&bed, (uint8_t)(1 + i), 4 * BED_SYMBOL_SIZE, 16);
        snprintf(scope, sizeof(scope), "acme/small%u", i);
        CU_ASSERT_EQUAL(bed_put_head(&bed, scope, 1, 1, &c->id), CONFCAST_OK);
    }
    bed_drain(&bed);
    for (uint32_t k = 0; k < bed.sent_count; k++) {
        last = sent_key(&bed.sent[k]) == cfc_digest_key(&wanted) ? k : last;
    }
    bed_close(&bed);
    return last;
}

/* Seven frames each: CONTENT, page, four symbols, CONTENT. */
static void
time_of_a_small_content_follows_the_small_ones_before_it_and_not_the_large_ones(void)
{
    uint32_t alone = frames_until_done(0, 1, 0);
    uint32_t beside_one = frames_until_done(0, 1, 1);
    uint32_t beside_five = frames_until_done(0, 1, 5);

    CU_ASSERT_EQUAL(alone, 7);
    CU_ASSERT_TRUE(beside_one <= 1 + 7 * 4 / 3);
    CU_ASSERT_EQUAL(beside_five, beside_one);
    /* Ten heads, then the first of ten small ones does not wait for the others. */
    CU_ASSERT_TRUE(frames_until_done(0, 10, 5) <= 10 + 7 * 4 / 3);
    CU_ASSERT_TRUE(frames_until_done(9, 10, 5) <= 10 + 70 * 4 / 3);
}

static int
put_head_of_kind(struct bed *bed, const char *scope, enum cfc_head_kind kind,
                 const struct cfc_digest *content)
{
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_head head = {.kind = kind,
                            .arm_count = 1,
                            .epoch = 1,
                            .version = 9,
                            .issued_unix_ns = bed->now.unix_ns,
                            .scope = scope,
                            .scope_size = (uint16_t)strlen(scope),
                            .arms = {{.selector = CFC_SELECT_ALL, .content = *content}}};
    size_t size;

    CU_ASSERT_EQUAL_FATAL(
        cfc_head_encode(&head, &bed->signer, bed->sha, frame, sizeof(frame), &size), CONFCAST_OK);
    return cfc_sender_put_head(bed->sender, frame, size, &bed->now);
}

static void
head_that_takes_something_back_goes_before_all_that_waits(void)
{
    static const enum cfc_head_kind kinds[] = {CFC_HEAD_DISABLED, CFC_HEAD_DELETED,
                                               CFC_HEAD_ROLLBACK};
    struct bed_consumer consumer;
    struct bed_content *c;
    char scope[32];
    struct bed bed;

    bed_open_quiet(&bed);
    consumer_init(&bed, &consumer, 1);
    c = bed_put_content(&bed, 1, 100 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/first", 1, 1, &c->id), CONFCAST_OK);
    bed_drain_max(&bed, 20);
    for (uint32_t i = 0; i < 10; i++) {
        snprintf(scope, sizeof(scope), "acme/s%u", i);
        CU_ASSERT_EQUAL(bed_put_head(&bed, scope, 1, 1, &c->id), CONFCAST_OK);
    }
    consumer_hello(&bed, &consumer); /* its answer waits, too */
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(scope, sizeof(scope), "acme/s%u", i + 5);
        CU_ASSERT_EQUAL(put_head_of_kind(&bed, scope, kinds[i], &c->id), CONFCAST_OK);
    }
    bed_drain(&bed);
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(scope, sizeof(scope), "acme/s%u", i + 5);
        CU_ASSERT_EQUAL(sent_type(&bed.sent[i]), CFC_FRAME_HEAD);
        CU_ASSERT_EQUAL(sent_key(&bed.sent[i]), bed_scope_id(&bed, scope));
    }
    CU_ASSERT_EQUAL(sent_type(&bed.sent[3]), CFC_FRAME_WELCOME);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 10);
    /* It is repeated as others are, and a newer head in its place is none any more. */
    bed_run(&bed, CFC_MS);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 11);
    CU_ASSERT_EQUAL(cfc_sender_drop_head(bed.sender, bed_scope_id(&bed, "acme/s5")), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 3 * 10);
    bed_close(&bed);
}

static void
stop_that_a_newer_head_replaces_before_it_is_sent_loses_its_place(void)
{
    struct bed_content *c;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 100, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/a", 1, 1, &c->id), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    CU_ASSERT_TRUE(cfc_sender_deadline(bed.sender) > bed.now.mono_ns);
    CU_ASSERT_EQUAL(put_head_of_kind(&bed, "acme/a", CFC_HEAD_DISABLED, &c->id), CONFCAST_OK);
    CU_ASSERT_TRUE(cfc_sender_deadline(bed.sender) <= bed.now.mono_ns);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/b", 1, 10, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/a", 1, 10, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(sent_key(&bed.sent[0]), bed_scope_id(&bed, "acme/b"));
    CU_ASSERT_EQUAL(sent_key(&bed.sent[1]), bed_scope_id(&bed, "acme/a"));
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 2);
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(alone_each_class_has_every_turn),
    CFC_CASE(large_ones_take_turns_and_small_ones_are_sent_in_the_order_they_came),
    CFC_CASE(news_goes_before_the_rest_and_small_before_large_and_none_starves),
    CFC_CASE(share_grows_while_somebody_waits_and_only_then),
    CFC_CASE(time_of_a_small_content_follows_the_small_ones_before_it_and_not_the_large_ones),
    CFC_CASE(head_that_takes_something_back_goes_before_all_that_waits),
    CFC_CASE(stop_that_a_newer_head_replaces_before_it_is_sent_loses_its_place),
};

CFC_TEST_MAIN("pass_queue", cases)
