/* Repair symbols at a receiver: what they save, what they are trusted with, and what is asked for.
 */
#include "tests/unit/content_fixture.h"

/* Source symbols `first`..`last` of a block without those of `lost`. */
static void
symbols_but(struct rig *rig, uint32_t block, uint32_t first, uint32_t last, uint64_t lost)
{
    for (uint32_t i = first; i <= last; i++) {
        if ((lost >> i & 1) == 0) {
            CU_ASSERT_EQUAL(symbol(rig, block, i), CONFCAST_OK);
        }
    }
}

static void
is_whole(struct rig *rig)
{
    uint8_t *coded;

    CU_ASSERT_TRUE_FATAL(cfc_content_rx_is_complete(rig->rx));
    coded = cfc_content_rx_take(rig->rx);
    CU_ASSERT_EQUAL(memcmp(coded, rig->m.body, rig->m.size), 0);
    cfc_free(&rig->alloc, coded);
}

static void
a_block_is_whole_as_soon_as_k_of_its_symbols_are_here(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 4);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols_but(&rig, 0, 0, 7, 0x91);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 8), CONFCAST_OK);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 11), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
    CU_ASSERT_EQUAL(symbol(&rig, 0, 9), CONFCAST_OK);
    is_whole(&rig);
    CU_ASSERT_EQUAL(rig.stats.symbols, 5);
    CU_ASSERT_EQUAL(rig.stats.symbols_repair, 3);
    CU_ASSERT_EQUAL(rig.stats.symbols_decoded, 3);
    CU_ASSERT_EQUAL(rig.stats.blocks_decoded, 1);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx) == CFC_NEVER ? 0u : ask(&rig), 0);
    rig_close(&rig);
}

static void
repair_symbols_in_any_order_with_the_sources_give_the_same(void)
{
    struct cfc_prng prng = {5};

    for (uint32_t round = 0; round < 300; round++) {
        struct rig rig;
        uint8_t order[3 * 15 + 3];
        uint32_t count = 0, given = 0;

        /* Blocks of 8, 8 and 3, the last symbol short; every page and symbol, shuffled. */
        rig_open(&rig, 1850, 8, 4);
        for (uint32_t block = 0; block < 3; block++) {
            for (uint32_t i = 0; i < (block == 2 ? 3u : 8u) + 7u; i++) {
                order[count++] = (uint8_t)(block * 16 + i);
            }
            order[count++] = (uint8_t)(block * 16 + 15); /* its page */
        }
        for (uint32_t i = count; i > 1; i--) {
            uint32_t j = (uint32_t)cfc_prng_below(&prng, i);
            uint8_t swap = order[i - 1];

            order[i - 1] = order[j];
            order[j] = swap;
        }
        for (uint32_t i = 0; i < count && !cfc_content_rx_is_complete(rig.rx); i++) {
            uint32_t block = order[i] / 16, index = order[i] % 16;

            given++;
            CU_ASSERT_EQUAL(index == 15 ? page(&rig, 0, block) : symbol(&rig, block, index),
                            CONFCAST_OK);
        }
        CU_ASSERT_TRUE(given >= 19 + 3);
        is_whole(&rig);
        rig_close(&rig);
    }
}

static void
a_short_last_symbol_is_decoded_to_its_size(void)
{
    struct rig rig;

    rig_open(&rig, 401, 8, 2);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 0, 3);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 5), CONFCAST_OK);
    is_whole(&rig);
    CU_ASSERT_EQUAL(rig.stats.symbols_decoded, 1);
    rig_close(&rig);
}

static void
repair_symbols_that_are_not_needed_cost_no_hash_and_no_place(void)
{
    struct rig rig;

    rig_open(&rig, 1600, 8, 4);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 0, 7);
    /* Wrong bytes would be refused if anybody looked at them. */
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 8, 99), CONFCAST_OK);
    CU_ASSERT_EQUAL(rig.stats.symbols_ignored, 1);
    CU_ASSERT_EQUAL(rig.stats.symbols_repair, 0);
    rig_close(&rig);
}

static void
a_repair_symbol_that_comes_twice_counts_once(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 4);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols_but(&rig, 0, 0, 7, 0x03);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 8), CONFCAST_OK);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 8), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
    CU_ASSERT_EQUAL(rig.stats.symbols_duplicate, 1);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 10), CONFCAST_OK);
    is_whole(&rig);
    rig_close(&rig);
}

static void
a_damaged_repair_symbol_with_a_leaf_is_refused(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 4);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols_but(&rig, 0, 0, 7, 0x20);
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 11, 99), CONFCAST_ERR_DIGEST);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 11), CONFCAST_OK);
    is_whole(&rig);
    CU_ASSERT_EQUAL(rig.stats.blocks_poisoned, 0);
    rig_close(&rig);
}

static void
a_repair_symbol_of_another_size_is_refused(void)
{
    struct cfc_symbol symbol = {.coding = 1, .index = 8, .block = 0};
    uint8_t bytes[101] = {0};
    struct rig rig;

    rig_open(&rig, 800, 8, 4);
    symbol.bytes = bytes;
    for (symbol.size = 99; symbol.size <= 101; symbol.size += 2) {
        CU_ASSERT_EQUAL(cfc_content_rx_symbol(rig.rx, rig.b.sha, &symbol, rig.now_ns, &rig.stats),
                        CONFCAST_ERR_LENGTH);
    }
    rig_close(&rig);
}

/* Fault 36. */
static void
a_poisoned_repair_symbol_without_a_leaf_is_found_out_and_the_block_heals_without_it(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 2);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols_but(&rig, 0, 0, 7, 0x06);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 8), CONFCAST_OK);
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 40, 99), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
    CU_ASSERT_EQUAL(rig.stats.blocks_poisoned, 1);
    CU_ASSERT_EQUAL(rig.stats.symbols_decoded, 0);
    /* What cannot be checked is not trusted here any more, and source symbols are asked for. */
    CU_ASSERT_EQUAL(symbol(&rig, 0, 41), CONFCAST_OK);
    CU_ASSERT_EQUAL(rig.stats.symbols_ignored, 1);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].level, CFC_NACK_SOURCES);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x06);
    CU_ASSERT_EQUAL(rig.entries[0].count, 2);
    /* What has a leaf still helps. */
    CU_ASSERT_EQUAL(symbol(&rig, 0, 9), CONFCAST_OK);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 1), CONFCAST_OK);
    is_whole(&rig);
    rig_close(&rig);
}

static void
a_poisoned_repair_symbol_before_the_page_is_dropped_with_it(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 2);
    symbols_but(&rig, 0, 0, 7, 0x01);
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 9, 99), CONFCAST_OK);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
    CU_ASSERT_EQUAL(rig.stats.blocks_poisoned, 0);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 8), CONFCAST_OK);
    is_whole(&rig);
    rig_close(&rig);
}

/* What was signed as leaves of repair symbols may be wrong itself. */
static void
repair_symbols_whose_signed_leaves_lie_end_with_source_symbols(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 2);
    rig.m.repairs[0] ^= 1;
    cfc_tree_build(&rig.m.tree, rig.b.sha, rig.m.body, rig.m.repairs, rig.m.digests);
    cfc_content_rx_free(rig.rx);
    rig.m.content.top_digests =
        rig.m.digests + (size_t)cfc_tree_top_offset(&rig.m.tree) * CFC_SHORT_DIGEST_SIZE;
    rig_collect(&rig);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols_but(&rig, 0, 0, 7, 0x80);
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 8, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(rig.stats.blocks_poisoned, 1);
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 8, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(rig.stats.blocks_poisoned, 1);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 9), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].level, CFC_NACK_SOURCES);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 7), CONFCAST_OK);
    is_whole(&rig);
    rig_close(&rig);
}

static void
what_is_asked_for_is_what_lacks_beyond_the_repair_symbols(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 4);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols_but(&rig, 0, 0, 7, 0x96);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 8), CONFCAST_OK);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].want, CFC_WANT_SYMBOLS);
    CU_ASSERT_EQUAL(rig.entries[0].level, CFC_NACK_ANY);
    CU_ASSERT_EQUAL(rig.entries[0].count, 3);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x94);
    symbols(&rig, 0, 2, 2);
    symbols(&rig, 0, 4, 4);
    symbols(&rig, 0, 7, 7);
    is_whole(&rig);
    rig_close(&rig);
}

/* Fault 37. */
static void
a_block_that_lost_more_than_the_code_gives_back_asks_for_source_symbols(void)
{
    struct rig rig;

    rig_open(&rig, 6400, 64, 8);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols_but(&rig, 0, 0, 63, (UINT64_C(1) << 33) - 1);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].level, CFC_NACK_SOURCES);
    CU_ASSERT_EQUAL(rig.entries[0].count, 33);
    /* As many repair symbols as can be decoded are kept, not one more. */
    for (uint32_t row = 64; row < 64 + 33; row++) {
        CU_ASSERT_EQUAL(symbol(&rig, 0, row), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(rig.stats.symbols_repair, 32);
    CU_ASSERT_EQUAL(rig.stats.symbols_ignored, 1);
    CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
    rig.now_ns += RETRY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].count, 1);
    CU_ASSERT_EQUAL(rig.entries[0].mask, UINT64_C(1) << 32);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 5), CONFCAST_OK);
    is_whole(&rig);
    CU_ASSERT_EQUAL(rig.stats.symbols_decoded, 32);
    rig_close(&rig);
}

static void
a_repair_symbol_tells_that_all_source_symbols_have_been_sent(void)
{
    struct rig rig;

    rig_open(&rig, 6400, 8, 4);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 0, 4);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 0);
    CU_ASSERT_EQUAL(symbol(&rig, 0, 9), CONFCAST_OK);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].count, 2);
    rig_close(&rig);
}

/* A group of four blocks goes symbol by symbol, so what one block has does not tell of another. */
static void
blocks_that_go_interleaved_are_not_asked_for_before_their_time(void)
{
    struct rig rig;

    rig_open(&rig, 64 * 100, 8, 4);
    for (uint32_t block = 0; block < 4; block++) {
        CU_ASSERT_EQUAL(page(&rig, 0, block), CONFCAST_OK);
    }
    for (uint32_t i = 0; i < 8; i++) {
        for (uint32_t block = 0; block < 4; block++) {
            /* Symbol 3 of block 1 and the last one of block 2 are lost. */
            if ((block == 1 && i == 3) || (block == 2 && i == 7)) {
                continue;
            }
            CU_ASSERT_EQUAL(symbol(&rig, block, i), CONFCAST_OK);
            if (i < 3) {
                rig.now_ns += DELAY;
                CU_ASSERT_EQUAL(ask(&rig), 0);
            }
        }
    }
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 2);
    CU_ASSERT_EQUAL(rig.entries[0].index, 1);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x08);
    CU_ASSERT_EQUAL(rig.entries[1].index, 2);
    CU_ASSERT_EQUAL(rig.entries[1].mask, 0x80);
    rig_close(&rig);
}

static void
a_symbol_of_the_next_group_tells_that_the_one_before_is_through(void)
{
    struct rig rig;

    rig_open(&rig, 64 * 100, 8, 4);
    for (uint32_t block = 0; block < 5; block++) {
        CU_ASSERT_EQUAL(page(&rig, 0, block), CONFCAST_OK);
    }
    for (uint32_t block = 0; block < 4; block++) {
        symbols(&rig, block, 0, block == 3 ? 6 : 7);
    }
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 0);
    CU_ASSERT_EQUAL(symbol(&rig, 4, 0), CONFCAST_OK);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].index, 3);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x80);
    rig_close(&rig);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_block_is_whole_as_soon_as_k_of_its_symbols_are_here),
    CFC_CASE(repair_symbols_in_any_order_with_the_sources_give_the_same),
    CFC_CASE(a_short_last_symbol_is_decoded_to_its_size),
    CFC_CASE(repair_symbols_that_are_not_needed_cost_no_hash_and_no_place),
    CFC_CASE(a_repair_symbol_that_comes_twice_counts_once),
    CFC_CASE(a_damaged_repair_symbol_with_a_leaf_is_refused),
    CFC_CASE(a_repair_symbol_of_another_size_is_refused),
    CFC_CASE(a_poisoned_repair_symbol_without_a_leaf_is_found_out_and_the_block_heals_without_it),
    CFC_CASE(a_poisoned_repair_symbol_before_the_page_is_dropped_with_it),
    CFC_CASE(repair_symbols_whose_signed_leaves_lie_end_with_source_symbols),
    CFC_CASE(what_is_asked_for_is_what_lacks_beyond_the_repair_symbols),
    CFC_CASE(a_block_that_lost_more_than_the_code_gives_back_asks_for_source_symbols),
    CFC_CASE(a_repair_symbol_tells_that_all_source_symbols_have_been_sent),
    CFC_CASE(blocks_that_go_interleaved_are_not_asked_for_before_their_time),
    CFC_CASE(a_symbol_of_the_next_group_tells_that_the_one_before_is_through),
};

CFC_TEST_MAIN("content_fec", cases)
