/* Blocks with an erasure code, through the sender: repair symbols sent unasked and asked for, and
 * the order in which blocks go. */
#include "protocol/fec/fec.h"
#include "protocol/session/sender_state.h"
#include "tests/unit/repair_fixture.h"

/* A sender whose content of 20 symbols in blocks of 8 with 4 repair leaves has been sent. */
static void
open_coded(struct repair_bed *t, uint32_t count)
{
    bed_init(&t->bed);
    t->bed.config.status_period_ns = 1000 * CFC_S;
    t->bed.repair_leaves = 4;
    start(t, count);
}

/* Whether a SYMBOL is repair symbol `row` of a block, byte for byte. */
static bool
is_row(const struct repair_bed *t, const struct sent *sent, uint32_t block, uint32_t row)
{
    const struct cfc_tree *tree = &t->content->tree;
    uint32_t k = cfc_geometry_block_symbols(&tree->geometry, &tree->content, block);
    uint8_t expected[BED_SYMBOL_SIZE];
    struct cfc_symbol symbol;
    struct cfc_frame frame;

    if (sent_type(sent) != CFC_FRAME_SYMBOL ||
        cfc_frame_open(sent->bytes, sent->size, &frame) != CONFCAST_OK ||
        cfc_symbol_decode(&frame, &symbol) != CONFCAST_OK || symbol.block != block ||
        symbol.index != row || symbol.size != BED_SYMBOL_SIZE) {
        return false;
    }
    CU_ASSERT_EQUAL(
        cfc_fec_encode(t->content->coded + (size_t)block * 8 * BED_SYMBOL_SIZE, k, BED_SYMBOL_SIZE,
                       cfc_geometry_symbol_size(&tree->geometry, &tree->content, block, k - 1), row,
                       1, expected),
        CONFCAST_OK);
    return memcmp(symbol.bytes, expected, sizeof(expected)) == 0;
}

static int
ask_any(struct repair_bed *t, uint32_t consumer, uint32_t block, uint16_t count)
{
    return ask_entry(t, consumer,
                     (struct cfc_nack_entry){.want = CFC_WANT_SYMBOLS,
                                             .coding = 1,
                                             .index = block,
                                             .key = cfc_digest_key(&t->content->id),
                                             .count = count});
}

static int
ask_sources(struct repair_bed *t, uint32_t consumer, uint32_t block, uint64_t mask)
{
    return ask_entry(t, consumer,
                     (struct cfc_nack_entry){.want = CFC_WANT_SYMBOLS,
                                             .level = CFC_NACK_SOURCES,
                                             .coding = 1,
                                             .index = block,
                                             .key = cfc_digest_key(&t->content->id),
                                             .mask = mask,
                                             .count = (uint16_t)__builtin_popcountll(mask)});
}

/* -- Repair */

static void
few_askers_get_the_source_symbols_that_they_lack(void)
{
    struct repair_bed t;

    open_coded(&t, 8);
    CU_ASSERT_EQUAL(ask(&t, 0, 1, 0x05), CONFCAST_OK);
    CU_ASSERT_EQUAL(ask(&t, 1, 1, 0x80), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 3);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, false), 3);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(symbol_index(&t, &t.bed.sent[i], 1) >= 0);
        CU_ASSERT_TRUE(symbol_index(&t, &t.bed.sent[i], 1) < 8);
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_fresh, 0);
    bed_close(&t.bed);
}

static void
many_askers_get_as_many_fresh_repair_symbols_as_the_worst_lacks(void)
{
    struct repair_bed t;

    open_coded(&t, CONSUMERS);
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, i == 17 ? 0xa1 : UINT64_C(1) << (i % 8)), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 3);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(t.bed.sent[i].tx.is_multicast);
        CU_ASSERT_EQUAL(t.bed.sent[i].tx.group, t.group);
        CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[i], 0, 8 + i));
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_multicast, 3);
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_fresh, 3);
    bed_close(&t.bed);
}

static void
many_askers_that_lack_the_same_get_it_itself(void)
{
    struct repair_bed t;

    open_coded(&t, 8);
    for (uint32_t i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, 0x30), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 2);
    CU_ASSERT_EQUAL(symbol_index(&t, &t.bed.sent[0], 0), 4);
    CU_ASSERT_EQUAL(symbol_index(&t, &t.bed.sent[1], 0), 5);
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_fresh, 0);
    bed_close(&t.bed);
}

/* In a large fleet NACKs come spread over longer than is gathered. */
static void
in_a_large_fleet_one_asker_stands_for_those_that_wait(void)
{
    struct repair_bed t;

    open_coded(&t, 8);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(t.bed.sender, 0, 1, 100000), CONFCAST_OK);
    CU_ASSERT_EQUAL(ask(&t, 0, 1, 0x05), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 2);
    CU_ASSERT_TRUE(t.bed.sent[0].tx.is_multicast);
    CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[0], 1, 8));
    CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[1], 1, 9));
    /* Multicast does not seem to reach it: it is helped alone. */
    bed_pass(&t.bed, CFC_S);
    CU_ASSERT_EQUAL(ask(&t, 0, 1, 0x05), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 2);
    CU_ASSERT_FALSE(t.bed.sent[0].tx.is_multicast);
    /* The page of a block is everybody's, too. */
    CU_ASSERT_EQUAL(consumer_nack(&t.bed, &t.c[1],
                                  &(struct cfc_nack_entry){.want = CFC_WANT_PAGE,
                                                           .coding = t.content->tree.content.coding,
                                                           .key = cfc_digest_key(&t.content->id)},
                                  1),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_TRUE(t.bed.sent[0].tx.is_multicast);
    bed_close(&t.bed);
}

static void
who_lacks_much_is_helped_alone_in_a_large_fleet(void)
{
    struct bed_content *wide;
    struct repair_bed t;

    open_coded(&t, 8);
    wide = bed_put_content(&t.bed, 2, 32 * BED_SYMBOL_SIZE - 56, 16);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &wide->id), CONFCAST_OK);
    bed_run(&t.bed, CFC_S);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(t.bed.sender, 0, 1, 100000), CONFCAST_OK);
    for (uint32_t count = 8; count <= 9; count++) {
        uint64_t mask = (UINT64_C(1) << count) - 1;

        CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], wide, count - 8, mask), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(after_gathering(&t), count);
        CU_ASSERT_EQUAL(t.bed.sent[0].tx.is_multicast, count == 8);
        bed_pass(&t.bed, CFC_S);
    }
    bed_close(&t.bed);
}

/* One multicast symbol serves a small fleet. */
static void
a_quarter_of_the_consumers_is_many(void)
{
    /* Consumers, askers, and whether that is multicast. */
    static const struct {
        uint32_t consumers;
        uint32_t askers;
        bool is_multicast;
    } rows[] = {{4, 1, false}, {4, 2, true},   {7, 2, true}, {8, 2, false},
                {8, 3, true},  {60, 2, false}, {60, 3, true}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repair_bed t;

        open_coded(&t, rows[i].consumers);
        for (uint32_t k = 0; k < rows[i].askers; k++) {
            CU_ASSERT_EQUAL(ask(&t, k, 0, UINT64_C(1) << k), CONFCAST_OK);
        }
        CU_ASSERT_EQUAL(after_gathering(&t), rows[i].is_multicast ? 1 : rows[i].askers);
        CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, true), rows[i].is_multicast);
        bed_close(&t.bed);
    }
}

static void
every_round_of_repair_symbols_is_a_fresh_one(void)
{
    struct repair_bed t;
    uint32_t next = 8;

    open_coded(&t, 4);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < 4; i++) {
            CU_ASSERT_EQUAL(ask(&t, i, 0, UINT64_C(3) << i), CONFCAST_OK);
        }
        CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 2);
        CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[0], 0, next++));
        CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[1], 0, next++));
        bed_pass(&t.bed, CFC_REPAIR_QUIET_NS);
    }
    bed_close(&t.bed);
}

/* A repair symbol to all costs the sender's link what one to the asker costs, and others that lack
 * something of the block need not ask then. */
static void
where_others_lose_too_the_first_asker_is_answered_by_multicast(void)
{
    struct repair_bed t;

    open_coded(&t, 4);
    /* Blocks of 8 symbols: an eighth of what a full one loses. */
    t.bed.sender->repair.lacking = 3 * CFC_LOSS_ONE - 8;
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, false), 1);

    t.bed.sender->repair.lacking = 3 * CFC_LOSS_ONE;
    CU_ASSERT_EQUAL(ask(&t, 0, 1, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, true), 1);
    CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[0], 1, 8)); /* whoever lacks whichever */
    CU_ASSERT_EQUAL(ask(&t, 1, 1, 2), CONFCAST_OK);   /* crossed it */
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    CU_ASSERT_EQUAL(ask(&t, 2, 1, 0x0c), CONFCAST_OK); /* lacks one more */
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[0], 1, 9));
    bed_close(&t.bed);
}

/* Who lacks most of a block is not one of many: it joined late, or multicast does not reach it. */
static void
who_lacks_much_is_answered_alone_though_others_lose_too(void)
{
    struct repair_bed t;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.repair_leaves = 4;
    bed_start(&t.bed);
    join_all(&t, 4);
    t.content = bed_put_content(&t.bed, 1, 32 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 5, &t.content->id), CONFCAST_OK);
    bed_run(&t.bed, CFC_S);
    t.bed.sender->repair.lacking = 4 * CFC_LOSS_ONE;
    CU_ASSERT_EQUAL(ask(&t, 0, 0, (1u << CFC_REPAIR_FEW) - 1), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), CFC_REPAIR_FEW);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, true), CFC_REPAIR_FEW);
    CU_ASSERT_EQUAL(ask(&t, 0, 1, (2u << CFC_REPAIR_FEW) - 1), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), CFC_REPAIR_FEW + 1);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, true), 0);
    bed_close(&t.bed);
}

static void
rows_begin_anew_after_the_last_one(void)
{
    struct repair_bed t;

    open_coded(&t, 1);
    for (uint32_t round = 0; round < 31; round++) {
        CU_ASSERT_EQUAL(ask_any(&t, 0, 0, 8), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 8);
        CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[7], 0, 8 + 8 * round + 7));
    }
    CU_ASSERT_EQUAL(ask_any(&t, 0, 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[0], 0, 8));
    bed_close(&t.bed);
}

static void
who_does_not_say_which_symbols_gets_as_many_fresh_ones(void)
{
    struct repair_bed t;

    open_coded(&t, 8);
    CU_ASSERT_EQUAL(ask_any(&t, 0, 2, 3), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 3);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(is_sent_to(&t.bed.sent[i], &t.c[0].address));
        CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[i], 2, 4 + i)); /* the last block has 4 */
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_unicast, 3);
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_fresh, 3);
    bed_close(&t.bed);
}

static void
who_can_use_source_symbols_only_gets_them_among_many(void)
{
    struct repair_bed t;
    uint64_t got = 0;
    uint32_t rows = 0;

    open_coded(&t, 6);
    CU_ASSERT_EQUAL(ask_sources(&t, 0, 0, 0x81), CONFCAST_OK);
    for (uint32_t i = 1; i < 6; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, UINT64_C(2) << i), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 3);
    for (uint32_t i = 0; i < 3; i++) {
        int index = symbol_index(&t, &t.bed.sent[i], 0);

        CU_ASSERT_TRUE(t.bed.sent[i].tx.is_multicast);
        got |= index >= 0 && index < 8 ? UINT64_C(1) << index : 0;
        rows += is_row(&t, &t.bed.sent[i], 0, 8);
    }
    CU_ASSERT_EQUAL(got, 0x81);
    CU_ASSERT_EQUAL(rows, 1);
    bed_close(&t.bed);
}

static void
nack_that_crossed_the_repair_symbols_is_answered_by_the_difference(void)
{
    struct repair_bed t;

    open_coded(&t, 8);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, UINT64_C(3) << i), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(after_gathering(&t), 2);
    CU_ASSERT_EQUAL(ask(&t, 4, 0, 0xc0), CONFCAST_OK); /* two lack, two were sent */
    CU_ASSERT_EQUAL(after_gathering(&t), 0);
    bed_close(&t.bed);

    open_coded(&t, 8);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, UINT64_C(3) << i), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(after_gathering(&t), 2);
    CU_ASSERT_EQUAL(ask(&t, 4, 0, 0xe0), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_TRUE(is_sent_to(&t.bed.sent[0], &t.c[4].address));
    CU_ASSERT_EQUAL(symbol_index(&t, &t.bed.sent[0], 0), 5);
    bed_close(&t.bed);
}

static void
asker_that_comes_while_repair_symbols_go_adds_what_it_lacks_more(void)
{
    struct repair_bed t;

    open_coded(&t, 8);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, UINT64_C(3) << i), CONFCAST_OK);
    }
    bed_pass(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain_max(&t.bed, 1), 1);
    CU_ASSERT_EQUAL(ask(&t, 5, 0, 0x99), CONFCAST_OK);
    CU_ASSERT_EQUAL(ask(&t, 6, 0, 0x0f), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&t.bed), 3);
    CU_ASSERT_TRUE(is_row(&t, &t.bed.sent[2], 0, 11));
    bed_close(&t.bed);
}

static void
budget_of_a_consumer_bounds_the_repair_symbols_that_it_causes(void)
{
    struct repair_bed t;
    uint32_t sent;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.config.repair_rate_bytes = 4; /* a burst of 64 frames, and hardly anything more */
    t.bed.repair_leaves = 4;
    start(&t, 1);
    for (uint32_t i = 0; i < 1000; i++) {
        (void)ask_any(&t, 0, i % 2, 8);
        bed_pass(&t.bed, t.bed.config.gather_ns);
        bed_drain(&t.bed);
    }
    sent = (uint32_t)cfc_sender_stats(t.bed.sender)->repairs_fresh;
    CU_ASSERT_TRUE(sent >= 64);
    CU_ASSERT_TRUE(sent * (BED_SYMBOL_SIZE + CFC_SYMBOL_HEADER_SIZE) <=
                   65 * t.bed.config.frame_size_max);
    bed_close(&t.bed);
}

static void
dropped_content_ends_its_repair_symbols(void)
{
    struct repair_bed t;

    open_coded(&t, 4);
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, UINT64_C(3) << i), CONFCAST_OK);
    }
    bed_pass(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain_max(&t.bed, 1), 1);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(t.bed.sender, &t.content->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    bed_close(&t.bed);
}

/* -- What goes unasked */

/* The block and index of each SYMBOL of a pass, as block * 256 + index. */
static uint32_t
pass_of(struct repair_bed *t, uint8_t number, size_t size, uint8_t k, uint32_t *order)
{
    uint32_t count = 0;

    t->content = bed_put_content(&t->bed, number, size, k);
    CU_ASSERT_EQUAL(bed_put_head(&t->bed, scope, 1, 10u + number, &t->content->id), CONFCAST_OK);
    bed_drain(&t->bed);
    for (uint32_t i = 0; i < t->bed.sent_count; i++) {
        if (sent_type(&t->bed.sent[i]) == CFC_FRAME_SYMBOL) {
            order[count++] = cfc_get_u32(t->bed.sent[i].bytes + 20) * 256 +
                             cfc_get_u16(t->bed.sent[i].bytes + 18);
        }
    }
    return count;
}

/* What receivers report is known before anything is asked for. */
static void
a_pass_begins_with_the_parity_that_reports_call_for(void)
{
    static uint32_t order[4096];
    struct repair_bed t;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.repair_leaves = 4;
    bed_start(&t.bed);
    join_all(&t, 4);
    t.bed.sender->contents.parity.reported = 1;
    /* 8 blocks with one repair symbol each, then none, since nothing is asked for. */
    CU_ASSERT_EQUAL(pass_of(&t, 2, 16 * 32 * BED_SYMBOL_SIZE, 32, order), 16 * 32 + 8);
    t.bed.sender->contents.parity.reported = 0;
    CU_ASSERT_EQUAL(pass_of(&t, 3, 16 * 32 * BED_SYMBOL_SIZE, 32, order), 16 * 32);
    bed_close(&t.bed);
}

static void
blocks_with_a_code_go_in_groups_of_four_symbol_by_symbol(void)
{
    /* Blocks of 3 symbols; the last of the six has 2. */
    static const uint32_t blocks[] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 4, 5, 4};
    static const uint32_t indexes[] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 1, 1, 2};
    uint32_t order[64], types[64], page_count = 0;
    struct repair_bed t;

    open_coded(&t, 1);
    CU_ASSERT_EQUAL_FATAL(pass_of(&t, 2, 17 * BED_SYMBOL_SIZE, 3, order), 17);
    for (uint32_t i = 0; i < 17; i++) {
        CU_ASSERT_EQUAL(order[i], blocks[i] * 256 + indexes[i]);
    }
    /* HEAD, CONTENT, four pages, their symbols, two pages, theirs, CONTENT. */
    CU_ASSERT_EQUAL_FATAL(t.bed.sent_count, 2 + 4 + 12 + 2 + 5 + 1);
    for (uint32_t i = 0; i < t.bed.sent_count; i++) {
        types[i] = sent_type(&t.bed.sent[i]);
        page_count += types[i] == CFC_FRAME_PAGE;
    }
    CU_ASSERT_EQUAL(page_count, 6);
    CU_ASSERT_TRUE(types[2] == CFC_FRAME_PAGE && types[5] == CFC_FRAME_PAGE &&
                   types[18] == CFC_FRAME_PAGE && types[19] == CFC_FRAME_PAGE);
    CU_ASSERT_EQUAL(types[25], CFC_FRAME_CONTENT);
    bed_close(&t.bed);
}

/* Has several consumers lack `count` symbols of each of the `blocks` blocks of the content. */
static void
demand(struct repair_bed *t, uint32_t consumers, uint32_t blocks, uint32_t count)
{
    for (uint32_t block = 0; block < blocks; block++) {
        for (uint32_t i = 0; i < consumers; i++) {
            CU_ASSERT_EQUAL(ask(t, i, block, ((UINT64_C(1) << count) - 1) << i), CONFCAST_OK);
        }
    }
    bed_pass(&t->bed, t->bed.config.gather_ns);
    bed_drain(&t->bed);
    bed_pass(&t->bed, t->bed.config.gather_ns);
}

static void
what_several_consumers_lacked_goes_unasked_with_the_next_blocks(void)
{
    static uint32_t order[2048];
    struct repair_bed t;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.repair_leaves = 4;
    bed_start(&t.bed);
    join_all(&t, 4);
    CU_ASSERT_EQUAL_FATAL(pass_of(&t, 2, 4 * 32 * BED_SYMBOL_SIZE, 32, order), 4 * 32);
    demand(&t, 4, 4, 5);
    /* 4 x 4 x 4 / 16 is 4; a block of 32 gets half of what one of 64 does. */
    CU_ASSERT_EQUAL_FATAL(pass_of(&t, 3, 4 * 32 * BED_SYMBOL_SIZE, 32, order), 4 * 34);
    for (uint32_t i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(order[4 * 32 + i], i % 4 * 256 + 32 + i / 4);
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->parity_sent, 8);
    /* What is asked for next is fresh. */
    demand(&t, 4, 1, 1);
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_fresh, 4 * 5 + 1);
    CU_ASSERT_TRUE(order[0] == 0);
    bed_close(&t.bed);
}

static void
what_nobody_lacks_any_more_stops_going_unasked(void)
{
    static uint32_t order[4096];
    struct repair_bed t;
    uint32_t last = 0;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.repair_leaves = 4;
    bed_start(&t.bed);
    join_all(&t, 4);
    CU_ASSERT_EQUAL_FATAL(pass_of(&t, 2, 4 * 32 * BED_SYMBOL_SIZE, 32, order), 4 * 32);
    demand(&t, 4, 4, 5);
    for (uint8_t i = 0; i < 8; i++) {
        last = pass_of(&t, (uint8_t)(3 + i), 4 * 32 * BED_SYMBOL_SIZE, 32, order);
    }
    CU_ASSERT_EQUAL(last, 4 * 32);
    bed_close(&t.bed);
}

/* One bad receiver costs the others nothing. */
static void
what_one_consumer_lacks_raises_no_parity(void)
{
    static uint32_t order[2048];
    struct repair_bed t;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.repair_leaves = 4;
    bed_start(&t.bed);
    join_all(&t, 4);
    CU_ASSERT_EQUAL_FATAL(pass_of(&t, 2, 4 * 32 * BED_SYMBOL_SIZE, 32, order), 4 * 32);
    demand(&t, 1, 4, 20);
    CU_ASSERT_EQUAL(pass_of(&t, 3, 4 * 32 * BED_SYMBOL_SIZE, 32, order), 4 * 32);
    bed_close(&t.bed);
}

static void
parity_never_exceeds_the_leaves(void)
{
    static uint32_t order[2048];
    struct repair_bed t;

    bed_init(&t.bed);
    t.bed.config.status_period_ns = 1000 * CFC_S;
    t.bed.repair_leaves = 4;
    bed_start(&t.bed);
    join_all(&t, 4);
    CU_ASSERT_EQUAL_FATAL(pass_of(&t, 2, 4 * 64 * BED_SYMBOL_SIZE, 64, order), 4 * 64);
    demand(&t, 4, 4, 30);
    CU_ASSERT_EQUAL(pass_of(&t, 3, 4 * 64 * BED_SYMBOL_SIZE, 64, order), 4 * 68);
    bed_close(&t.bed);
}

static void
what_the_rest_of_the_pass_makes_up_for_is_not_repaired(void)
{
    struct repair_bed t;

    open_coded(&t, 1);
    t.content = bed_put_content(&t.bed, 2, 4 * 8 * BED_SYMBOL_SIZE, 8);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 20, &t.content->id), CONFCAST_OK);
    /* HEAD, CONTENT, four pages, symbols 0 to 3 of each block. */
    CU_ASSERT_EQUAL(bed_drain_max(&t.bed, 2 + 4 + 16), 22);
    CU_ASSERT_EQUAL(ask(&t, 0, 1, 0x30), CONFCAST_OK); /* still to come */
    CU_ASSERT_EQUAL(ask(&t, 0, 2, 0x18), CONFCAST_OK); /* one of them is through */
    bed_pass(&t.bed, t.bed.config.gather_ns);
    bed_drain(&t.bed);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, false), 2);
    for (uint32_t i = 0; i < t.bed.sent_count; i++) {
        if (is_sent_to(&t.bed.sent[i], &t.c[0].address)) {
            CU_ASSERT_EQUAL(cfc_get_u32(t.bed.sent[i].bytes + 20), 2);
        }
    }
    bed_close(&t.bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(few_askers_get_the_source_symbols_that_they_lack),
    CFC_CASE(many_askers_get_as_many_fresh_repair_symbols_as_the_worst_lacks),
    CFC_CASE(many_askers_that_lack_the_same_get_it_itself),
    CFC_CASE(a_quarter_of_the_consumers_is_many),
    CFC_CASE(in_a_large_fleet_one_asker_stands_for_those_that_wait),
    CFC_CASE(who_lacks_much_is_helped_alone_in_a_large_fleet),
    CFC_CASE(every_round_of_repair_symbols_is_a_fresh_one),
    CFC_CASE(where_others_lose_too_the_first_asker_is_answered_by_multicast),
    CFC_CASE(who_lacks_much_is_answered_alone_though_others_lose_too),
    CFC_CASE(a_pass_begins_with_the_parity_that_reports_call_for),
    CFC_CASE(rows_begin_anew_after_the_last_one),
    CFC_CASE(who_does_not_say_which_symbols_gets_as_many_fresh_ones),
    CFC_CASE(who_can_use_source_symbols_only_gets_them_among_many),
    CFC_CASE(nack_that_crossed_the_repair_symbols_is_answered_by_the_difference),
    CFC_CASE(asker_that_comes_while_repair_symbols_go_adds_what_it_lacks_more),
    CFC_CASE(budget_of_a_consumer_bounds_the_repair_symbols_that_it_causes),
    CFC_CASE(dropped_content_ends_its_repair_symbols),
    CFC_CASE(blocks_with_a_code_go_in_groups_of_four_symbol_by_symbol),
    CFC_CASE(what_several_consumers_lacked_goes_unasked_with_the_next_blocks),
    CFC_CASE(what_nobody_lacks_any_more_stops_going_unasked),
    CFC_CASE(what_one_consumer_lacks_raises_no_parity),
    CFC_CASE(parity_never_exceeds_the_leaves),
    CFC_CASE(what_the_rest_of_the_pass_makes_up_for_is_not_repaired),
};

CFC_TEST_MAIN("repair_fec", cases)
