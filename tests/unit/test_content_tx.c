/* Contents of the sender: passes, groups, codings, release, limits. */
#include "protocol/session/content_tx.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

static void
every_page_and_symbol_is_sent_once_in_order_and_verifies(void)
{
    const struct cfc_tree *tree;
    struct bed_content *c;
    uint32_t next_block = 0;
    uint32_t symbols = 0;
    uint32_t pages[2] = {0};
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 165 * BED_SYMBOL_SIZE - 3, 2); /* 83 blocks: two levels */
    tree = &c->tree;
    CU_ASSERT_EQUAL_FATAL(tree->level_count, 2);
    CU_ASSERT_EQUAL_FATAL(tree->geometry.page_counts[1], 2);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1 + 1 + 2 + 83 + 165 + 1 + 3);
    for (uint32_t i = 2; i + 1 < bed.sent_count; i++) {
        struct cfc_symbol symbol;
        struct cfc_frame frame;
        struct cfc_page page;
        uint32_t offset;

        CU_ASSERT_EQUAL_FATAL(cfc_frame_open(bed.sent[i].bytes, bed.sent[i].size, &frame),
                              CONFCAST_OK);
        if (frame.type == CFC_FRAME_PAGE) {
            CU_ASSERT_EQUAL_FATAL(cfc_page_decode(&frame, &page), CONFCAST_OK);
            CU_ASSERT_EQUAL(page.index, pages[page.level]++);
            CU_ASSERT_EQUAL(page.index * (page.level == 0 ? 1 : 80), next_block);
            next_block += page.level == 0;
            offset = cfc_tree_parent_offset(tree, page.level, page.index);
            CU_ASSERT_EQUAL(
                cfc_tree_verify_page(tree, bed.sha, page.level, page.index, page.digests,
                                     page.digest_count,
                                     c->digests + (size_t)offset * CFC_SHORT_DIGEST_SIZE),
                CONFCAST_OK);
            continue;
        }
        if (frame.type == CFC_FRAME_CONTENT) {
            CU_ASSERT_TRUE(i - 2 == CFC_REMINDER_FIRST || i - 3 == CFC_REMINDER_SECOND ||
                           i - 4 == CFC_REMINDER_THIRD);
            continue;
        }
        CU_ASSERT_EQUAL_FATAL(cfc_symbol_decode(&frame, &symbol), CONFCAST_OK);
        CU_ASSERT_EQUAL(symbol.block + 1, next_block);
        CU_ASSERT_EQUAL(symbol.block * 2 + symbol.index, symbols++);
        CU_ASSERT_EQUAL(bed.sent[i].tx.slot, c->slot);
        offset = cfc_tree_page_offset(tree, 0, symbol.block) + symbol.index;
        CU_ASSERT_EQUAL(cfc_tree_verify_symbol(tree, bed.sha, symbol.block, symbol.index,
                                               symbol.bytes, symbol.size,
                                               c->digests + (size_t)offset * CFC_SHORT_DIGEST_SIZE),
                        CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(symbols, 165);
    CU_ASSERT_EQUAL(pages[0], 83);
    CU_ASSERT_EQUAL(pages[1], 2);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->symbols_sent, 165);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->pages_sent, 85);
    bed_close(&bed);
}

static void
contents_take_turns_so_that_a_small_one_is_not_held_up_by_a_large_one(void)
{
    struct bed_content *large;
    struct bed_content *small;
    uint32_t last_small = 0;
    struct bed bed;

    bed_open_quiet(&bed);
    large = bed_put_content(&bed, 1, 1000 * BED_SYMBOL_SIZE, 16);
    small = bed_put_content(&bed, 2, 4 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &large->id), CONFCAST_OK);
    bed_drain_max(&bed, 100);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/db", 1, 1, &small->id), CONFCAST_OK);
    bed_drain(&bed);
    for (uint32_t i = 0; i < bed.sent_count; i++) {
        if (sent_key(&bed.sent[i]) == cfc_digest_key(&small->id)) {
            last_small = i;
        }
    }
    CU_ASSERT_TRUE(last_small >= 6 && last_small <= 1 + 2 * 7);
    bed_close(&bed);
}

static void
news_goes_before_what_is_handed_over_again(void)
{
    /* Age of the second head against the end of news, and how many of its frames come first. */
    const struct {
        uint64_t age_ns;
        bool is_news;
    } cases[] = {{0, true}, {60 * CFC_S, true}, {60 * CFC_S + 1, false}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bed_content *old;
        struct bed_content *c;
        uint32_t last = 0;
        struct bed bed;

        bed_open_quiet(&bed);
        old = bed_put_content(&bed, 1, 1000 * BED_SYMBOL_SIZE, 16);
        c = bed_put_content(&bed, 2, 40 * BED_SYMBOL_SIZE, 16);
        CU_ASSERT_EQUAL(bed_put_head_of(&bed, "acme/web", 1, 1, &old->id, 1), CONFCAST_OK);
        bed_drain_max(&bed, 100);
        CU_ASSERT_EQUAL(
            bed_put_head_of(&bed, "acme/db", 1, 1, &c->id, bed.now.unix_ns - cases[i].age_ns),
            CONFCAST_OK);
        bed_drain(&bed);
        for (uint32_t k = 0; k < bed.sent_count; k++) {
            last = sent_key(&bed.sent[k]) == cfc_digest_key(&c->id) ? k : last;
        }
        /* The rest has one frame in sixteen meanwhile; small ones beside large ones, three in
         * four. */
        CU_ASSERT_EQUAL(last < (2 + 40 + 3 + 2) * 16 / 15 + 1, cases[i].is_news);
        CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->symbols_sent, 1040);
        bed_close(&bed);
    }
}

static void
content_that_becomes_news_in_the_middle_of_its_pass_overtakes(void)
{
    struct bed_content *c[2];
    uint32_t last = 0;
    struct bed bed;

    bed_open_quiet(&bed);
    for (uint32_t i = 0; i < 2; i++) {
        c[i] = bed_put_content(&bed, (uint8_t)(i + 1), 100 * BED_SYMBOL_SIZE, 16);
        CU_ASSERT_EQUAL(bed_put_head_of(&bed, i == 0 ? "acme/web" : "acme/db", 1, 1, &c[i]->id, 1),
                        CONFCAST_OK);
    }
    bed_drain_max(&bed, 50);
    CU_ASSERT_EQUAL(bed_put_head_of(&bed, "acme/db", 1, 2, &c[1]->id, bed.now.unix_ns),
                    CONFCAST_OK);
    bed_drain(&bed);
    for (uint32_t k = 0; k < bed.sent_count; k++) {
        last = sent_key(&bed.sent[k]) == cfc_digest_key(&c[1]->id) ? k : last;
    }
    CU_ASSERT_TRUE(last < 100);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->symbols_sent, 200);
    bed_close(&bed);
}

static void
news_stays_news_for_the_groups_of_its_next_pass(void)
{
    struct bed_content *c[2];
    uint32_t last = 0;
    char scope[2][32];
    struct bed bed;

    bed_open_quiet(&bed);
    bed_scope_in(&bed, 0, 0, scope[0]);
    bed_scope_in(&bed, 1, 0, scope[1]);
    c[0] = bed_put_content(&bed, 1, 1000 * BED_SYMBOL_SIZE, 16);
    c[1] = bed_put_content(&bed, 2, 40 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head_of(&bed, "acme/old", 1, 1, &c[0]->id, 1), CONFCAST_OK);
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(bed_put_head(&bed, scope[i], 1, 1, &c[1]->id), CONFCAST_OK);
        bed_drain_max(&bed, 20);
    }
    bed_drain(&bed);
    for (uint32_t k = 0; k < bed.sent_count; k++) {
        last = sent_key(&bed.sent[k]) == cfc_digest_key(&c[1]->id) ? k : last;
    }
    CU_ASSERT_TRUE(last < 70);
    CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->symbols_sent, 1080);
    bed_close(&bed);
}

static void
content_that_heads_of_two_groups_name_goes_once_to_each(void)
{
    struct bed_content *c;
    uint32_t count[2] = {0};
    char scope[3][32];
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 40 * BED_SYMBOL_SIZE, 16);
    bed_scope_in(&bed, 0, 0, scope[0]);
    bed_scope_in(&bed, 1, 0, scope[1]);
    bed_scope_in(&bed, 1, 1, scope[2]);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(bed_put_head(&bed, scope[i], 1, 1, &c->id), CONFCAST_OK);
    }
    bed_drain(&bed);
    for (uint32_t i = 0; i < bed.sent_count; i++) {
        if (sent_type(&bed.sent[i]) == CFC_FRAME_SYMBOL) {
            CU_ASSERT_TRUE_FATAL(bed.sent[i].tx.group < 2);
            count[bed.sent[i].tx.group]++;
        }
    }
    CU_ASSERT_EQUAL(count[0], 40);
    CU_ASSERT_EQUAL(count[1], 40);
    bed_close(&bed);
}

static void
group_that_comes_in_the_middle_of_a_pass_gets_the_next_one_whole(void)
{
    struct bed_content *c;
    uint32_t count[2] = {0};
    char scope[2][32];
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 40 * BED_SYMBOL_SIZE, 16);
    bed_scope_in(&bed, 0, 0, scope[0]);
    bed_scope_in(&bed, 1, 0, scope[1]);
    CU_ASSERT_EQUAL(bed_put_head(&bed, scope[0], 1, 1, &c->id), CONFCAST_OK);
    bed_drain_max(&bed, 20);
    count[0] = bed_count(&bed, CFC_FRAME_SYMBOL, true);
    CU_ASSERT_EQUAL(bed_put_head(&bed, scope[1], 1, 1, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    for (uint32_t i = 0; i < bed.sent_count; i++) {
        if (sent_type(&bed.sent[i]) == CFC_FRAME_SYMBOL) {
            count[bed.sent[i].tx.group]++;
        }
    }
    CU_ASSERT_EQUAL(count[0], 40);
    CU_ASSERT_EQUAL(count[1], 40);
    bed_close(&bed);
}

static void
further_head_of_a_group_in_the_pass_does_not_make_another(void)
{
    struct bed_content *c;
    uint32_t symbols;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 40 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_drain_max(&bed, 20);
    symbols = bed_count(&bed, CFC_FRAME_SYMBOL, true);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 2, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(symbols + bed_count(&bed, CFC_FRAME_SYMBOL, true), 40);
    bed_close(&bed);
}

static void
pull_only_content_is_sent_to_nobody_that_does_not_ask(void)
{
    struct bed_consumer consumer;
    struct bed_content *c;
    struct bed bed;

    bed_open_quiet(&bed);
    consumer_init(&bed, &consumer, 1);
    consumer_join(&bed, &consumer);
    c = bed_make_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&bed, &consumer, c, 0, 0x0f), CONFCAST_OK);
    bed_pass(&bed, bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain(&bed), 4 + 1); /* the repeat of its head is due, too */
    bed_close(&bed);
}

static void
content_put_again_without_pull_only_is_sent_with_the_next_head(void)
{
    struct bed_content *c;
    char other[32];
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_make_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, false), CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 2, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_SYMBOL, true), 4);
    /* The other way round it stays as it is: other groups get it too. */
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, true), CONFCAST_ERR_EXISTS);
    bed_scope_in(&bed, (bed_group(&bed, "acme/web") + 1) % BED_CONTROL_GROUP, 0, other);
    CU_ASSERT_EQUAL(bed_put_head(&bed, other, 1, 1, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_SYMBOL, true), 4);
    bed_close(&bed);
}

static void
further_coding_goes_to_the_groups_that_know_the_content(void)
{
    struct bed_content *first;
    struct bed_content *second;
    struct bed bed;

    bed_open_quiet(&bed);
    first = bed_put_content(&bed, 1, 1000, 16);
    second = bed_make_coding(&bed, &first->id, 2, 500, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &first->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(bed_put_made(&bed, second, false), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(bed.sent_count, 5);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_SYMBOL, true), 2);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[2]), CFC_FRAME_SYMBOL);
    CU_ASSERT_EQUAL(bed.sent[2].tx.group, bed_group(&bed, "acme/web"));
    CU_ASSERT_EQUAL(cfc_get_u16(bed.sent[2].bytes + 16), 2); /* its coding */
    bed_close(&bed);
}

static void
dropped_content_is_released_when_its_last_payload_has_left(void)
{
    struct bed_content *c;
    struct cfc_upcall up;
    struct cfc_tx tx[3];
    uint8_t header[CFC_FRAME_SIZE_DEFAULT];
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_drain_max(&bed, 3);
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(cfc_sender_poll_frame(bed.sender, &bed.now, header, sizeof(header), &tx[i]),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(tx[i].slot, c->slot);
        CU_ASSERT_PTR_NOT_NULL(tx[i].payload);
    }
    CU_ASSERT_EQUAL(cfc_sender_drop_content(bed.sender, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(bed.sender, &c->id), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    CU_ASSERT_EQUAL(cfc_sender_poll_upcall(bed.sender, &up), CONFCAST_ERR_AGAIN);
    cfc_sender_payload_done(bed.sender, c->slot, 1);
    CU_ASSERT_EQUAL(cfc_sender_poll_upcall(bed.sender, &up), CONFCAST_ERR_AGAIN);
    cfc_sender_payload_done(bed.sender, c->slot, 1);
    CU_ASSERT_EQUAL_FATAL(cfc_sender_poll_upcall(bed.sender, &up), CONFCAST_OK);
    CU_ASSERT_EQUAL(up.type, CFC_UPCALL_RELEASED);
    CU_ASSERT_EQUAL(up.slot, c->slot);
    CU_ASSERT_EQUAL(cfc_sender_poll_upcall(bed.sender, &up), CONFCAST_ERR_AGAIN);
    /* It may be put again, while heads still name it. */
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, false), CONFCAST_OK);
    bed_close(&bed);
}

static void
content_that_is_here_already_is_named_by_its_slot(void)
{
    struct bed_content *c[2];
    uint32_t slot;
    struct bed bed;

    bed_open_quiet(&bed);
    c[0] = bed_put_content(&bed, 1, 1000, 16);
    c[1] = bed_put_content(&bed, 2, 1000, 16);
    slot = c[1]->slot;
    CU_ASSERT_NOT_EQUAL(c[0]->slot, slot);
    c[1]->slot = 77;
    CU_ASSERT_EQUAL(bed_put_made(&bed, c[1], false), CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(c[1]->slot, slot);
    bed_close(&bed);
}

static void
ninth_coding_and_content_without_a_slot_are_refused(void)
{
    struct cfc_digest id = bed_content_id(1);
    struct bed bed;

    bed_init(&bed);
    bed.config.contents_max = 10;
    bed_start(&bed);
    for (uint16_t i = 0; i < 9; i++) {
        CU_ASSERT_EQUAL(bed_put_made(&bed, bed_make_coding(&bed, &id, i, 300, 16), false),
                        i < 8 ? CONFCAST_OK : CONFCAST_ERR_LIMIT);
    }
    for (uint8_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(bed_put_made(&bed, bed_make_content(&bed, i + 2, 300, 16), false),
                        i < 2 ? CONFCAST_OK : CONFCAST_ERR_LIMIT);
    }
    bed_close(&bed);
}

static void
content_whose_frames_do_not_fit_the_port_or_its_tree_is_refused(void)
{
    struct bed_content *c;
    uint32_t slot;
    struct bed bed;

    bed_init(&bed);
    bed.config.frame_size_max = CFC_FRAME_SIZE_MIN;
    bed_start(&bed);
    /* 33 blocks have an index page of 80 digests, which is 1,304 bytes at most. */
    c = bed_make_content(&bed, 1, 33 * BED_SYMBOL_SIZE, 1);
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, false), CONFCAST_ERR_LIMIT);
    c = bed_make_content(&bed, 2, 32 * BED_SYMBOL_SIZE, 1);
    CU_ASSERT_EQUAL(cfc_sender_put_content(bed.sender, c->frame, c->frame_size, c->digests,
                                           cfc_tree_digests_size(&c->tree) - 1, c->coded, false,
                                           &slot),
                    CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(cfc_sender_put_content(bed.sender, c->frame, c->frame_size, c->digests,
                                           cfc_tree_digests_size(&c->tree) + 1, c->coded, false,
                                           &slot),
                    CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, false), CONFCAST_OK);
    bed_close(&bed);
}

static void
frames_handed_over_that_do_not_decode_are_refused_with_the_decoders_error(void)
{
    struct bed_content *c;
    uint32_t slot;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_make_content(&bed, 1, 1000, 16);
    for (size_t size = 0; size < c->frame_size; size++) {
        CU_ASSERT_NOT_EQUAL(cfc_sender_put_content(bed.sender, c->frame, size, c->digests,
                                                   cfc_tree_digests_size(&c->tree), c->coded, false,
                                                   &slot),
                            CONFCAST_OK);
        CU_ASSERT_NOT_EQUAL(cfc_sender_put_head(bed.sender, c->frame, size, &bed.now), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_sender_put_head(bed.sender, c->frame, c->frame_size, &bed.now),
                    CONFCAST_ERR_UNSUPPORTED);
    CU_ASSERT_EQUAL(cfc_sender_put_fresh(bed.sender, c->frame, c->frame_size, true, &bed.now),
                    CONFCAST_ERR_UNSUPPORTED);
    c->frame[2]++;
    CU_ASSERT_EQUAL(bed_put_made(&bed, c, false), CONFCAST_ERR_VERSION);
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_page_and_symbol_is_sent_once_in_order_and_verifies),
    CFC_CASE(contents_take_turns_so_that_a_small_one_is_not_held_up_by_a_large_one),
    CFC_CASE(news_goes_before_what_is_handed_over_again),
    CFC_CASE(content_that_becomes_news_in_the_middle_of_its_pass_overtakes),
    CFC_CASE(news_stays_news_for_the_groups_of_its_next_pass),
    CFC_CASE(content_that_heads_of_two_groups_name_goes_once_to_each),
    CFC_CASE(group_that_comes_in_the_middle_of_a_pass_gets_the_next_one_whole),
    CFC_CASE(further_head_of_a_group_in_the_pass_does_not_make_another),
    CFC_CASE(pull_only_content_is_sent_to_nobody_that_does_not_ask),
    CFC_CASE(content_put_again_without_pull_only_is_sent_with_the_next_head),
    CFC_CASE(further_coding_goes_to_the_groups_that_know_the_content),
    CFC_CASE(dropped_content_is_released_when_its_last_payload_has_left),
    CFC_CASE(content_that_is_here_already_is_named_by_its_slot),
    CFC_CASE(ninth_coding_and_content_without_a_slot_are_refused),
    CFC_CASE(content_whose_frames_do_not_fit_the_port_or_its_tree_is_refused),
    CFC_CASE(frames_handed_over_that_do_not_decode_are_refused_with_the_decoders_error),
};

CFC_TEST_MAIN("content_tx", cases)
