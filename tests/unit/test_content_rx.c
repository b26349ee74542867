/* One content under collection: what is stored, what is asked for, and when. */
#include "tests/unit/content_fixture.h"

static void
a_content_that_comes_in_order_is_complete_without_a_request(void)
{
    struct rig rig;
    uint8_t *coded;

    rig_open(&rig, 8050, 8, 0);
    for (uint32_t block = 0; block < rig.m.tree.geometry.block_count; block++) {
        CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
        whole_block(&rig, block);
        CU_ASSERT_EQUAL(ask(&rig), 0);
    }
    CU_ASSERT(cfc_content_rx_is_complete(rig.rx));
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), CFC_NEVER);
    coded = cfc_content_rx_take(rig.rx);
    CU_ASSERT_EQUAL(memcmp(coded, rig.m.body, rig.m.size), 0);
    cfc_free(&rig.alloc, coded);
    CU_ASSERT_EQUAL(rig.stats.symbols, 81);
    CU_ASSERT_EQUAL(rig.stats.symbols_duplicate, 0);
    rig_close(&rig);
}

static void
a_content_that_comes_backwards_is_complete_too(void)
{
    struct rig rig;

    rig_open(&rig, 8050, 8, 0);
    for (uint32_t block = rig.m.tree.geometry.block_count; block > 0; block--) {
        uint32_t count =
            cfc_geometry_block_symbols(&rig.m.tree.geometry, &rig.m.content, block - 1);

        for (uint32_t i = count; i > 0; i--) {
            CU_ASSERT_EQUAL(symbol(&rig, block - 1, i - 1), CONFCAST_OK);
        }
        CU_ASSERT_EQUAL(page(&rig, 0, block - 1), CONFCAST_OK);
    }
    CU_ASSERT(cfc_content_rx_is_complete(rig.rx));
    rig_close(&rig);
}

static void
a_gap_is_asked_for_only_after_the_reorder_delay(void)
{
    struct rig rig;

    rig_open(&rig, 3200, 8, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 0, 1);
    symbols(&rig, 0, 4, 5);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + DELAY);
    rig.now_ns += DELAY - 1;
    CU_ASSERT_EQUAL(ask(&rig), 0);
    rig.now_ns += 1;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].want, CFC_WANT_SYMBOLS);
    CU_ASSERT_EQUAL(rig.entries[0].index, 0);
    CU_ASSERT_EQUAL(rig.entries[0].coding, 1);
    CU_ASSERT_EQUAL(rig.entries[0].key, cfc_digest_key(&rig.m.id));
    /* Of this block, only what is known to have been sent. */
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x0c);
    CU_ASSERT_EQUAL(rig.entries[0].count, 2);
    rig_close(&rig);
}

static void
a_reordered_symbol_in_time_is_never_asked_for(void)
{
    struct rig rig;

    rig_open(&rig, 3200, 8, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 1, 3);
    rig.now_ns += DELAY / 2;
    symbols(&rig, 0, 0, 0);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 0);
    rig_close(&rig);
}

static void
the_stream_going_on_slowly_does_not_hold_back_the_request(void)
{
    struct rig rig;
    uint64_t start_ns;

    rig_open(&rig, 800, 8, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 1, 1);
    start_ns = rig.now_ns;
    for (uint32_t i = 2; i < 5; i++) {
        rig.now_ns += DELAY / 3;
        symbols(&rig, 0, i, i);
    }
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), start_ns + DELAY);
    rig_close(&rig);
}

static void
every_gap_is_asked_for_not_only_the_first(void)
{
    struct rig rig;

    rig_open(&rig, 8000, 8, 0);
    for (uint32_t block = 0; block < 5; block++) {
        CU_ASSERT_EQUAL(page(&rig, 0, block), CONFCAST_OK);
        symbols(&rig, block, block == 1 || block == 3 ? 2 : 0, 7);
    }
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 2);
    CU_ASSERT_EQUAL(rig.entries[0].index + rig.entries[1].index, 4);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 3);
    CU_ASSERT_EQUAL(rig.entries[1].mask, 3);
    rig_close(&rig);
}

static void
requests_for_a_block_back_off_by_doubling_up_to_32_times(void)
{
    static const uint64_t spacings[] = {1, 2, 4, 8, 16, 32, 32, 32};
    struct rig rig;

    rig_open(&rig, 800, 8, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 1, 7);
    rig.now_ns += DELAY;
    for (size_t i = 0; i < sizeof(spacings) / sizeof(spacings[0]); i++) {
        CU_ASSERT_EQUAL(ask(&rig), 1);
        CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + spacings[i] * RETRY);
        rig.now_ns = cfc_content_rx_due(rig.rx) - 1;
        CU_ASSERT_EQUAL(ask(&rig), 0);
        rig.now_ns++;
    }
    rig_close(&rig);
}

static void
repair_under_way_holds_back_the_request_and_resets_its_spacing(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 4, 7);
    rig.now_ns += DELAY;
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(ask(&rig), 1);
        rig.now_ns = cfc_content_rx_due(rig.rx);
    }
    /* A symbol for somebody else's request comes just before ours would go. */
    symbols(&rig, 0, 0, 0);
    CU_ASSERT_EQUAL(ask(&rig), 0);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + DELAY);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x0e);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + RETRY);
    rig_close(&rig);
}

static void
at_most_a_window_of_blocks_is_asked_for_at_one_time(void)
{
    struct rig rig;
    uint64_t asked = 0;
    uint32_t blocks = 0;

    rig_open(&rig, 200 * 200, 2, 0); /* 200 blocks of two symbols */
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(page(&rig, 1, i), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(page(&rig, 0, 199), CONFCAST_OK);
    symbols(&rig, 199, 0, 1);
    rig.now_ns += DELAY;
    while (ask(&rig) > 0) {
        CU_ASSERT(rig.count <= CFC_NACK_ENTRIES_MAX);
        for (uint32_t i = 0; i < rig.count; i++) {
            CU_ASSERT_FATAL(rig.entries[i].index < 64);
            asked |= UINT64_C(1) << rig.entries[i].index;
        }
    }
    CU_ASSERT_EQUAL(asked, UINT64_MAX);
    /* As blocks become complete, the window moves on. */
    for (uint32_t block = 0; block < 10; block++) {
        whole_block(&rig, block);
    }
    while (ask(&rig) > 0) {
        for (uint32_t i = 0; i < rig.count; i++) {
            CU_ASSERT(rig.entries[i].index >= 64 && rig.entries[i].index < 74);
            blocks += rig.entries[i].want == CFC_WANT_SYMBOLS;
        }
    }
    CU_ASSERT_EQUAL(blocks, 10);
    rig_close(&rig);
}

static void
a_lost_page_is_asked_for_when_its_symbols_come(void)
{
    struct rig rig;

    rig_open(&rig, 1600, 8, 0);
    symbols(&rig, 0, 0, 7);
    CU_ASSERT_EQUAL(rig.stats.symbols, 0);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].want, CFC_WANT_PAGE);
    CU_ASSERT_EQUAL(rig.entries[0].index, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(rig.stats.symbols, 8);
    whole_block(&rig, 1);
    CU_ASSERT(cfc_content_rx_is_complete(rig.rx));
    rig_close(&rig);
}

static void
symbols_that_nothing_vouches_for_do_not_make_it_ask_for_everything(void)
{
    struct rig rig;

    rig_open(&rig, 16 * 800, 8, 0);
    for (uint32_t block = 0; block < 16; block++) {
        (void)flipped_symbol(&rig, block, 7, 0);
    }
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 2); /* the pages of the blocks next in line */
    for (uint32_t i = 0; i < rig.count; i++) {
        CU_ASSERT_EQUAL(rig.entries[i].want, CFC_WANT_PAGE);
    }
    rig_close(&rig);
}

static void
a_page_without_its_parent_is_dropped_and_the_parent_asked_for_first(void)
{
    struct rig rig;

    rig_open(&rig, 100 * 800, 8, 0);
    CU_ASSERT_EQUAL_FATAL(rig.m.tree.level_count, 2);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_ERR_NOT_FOUND);
    symbols(&rig, 0, 0, 7);
    symbols(&rig, 1, 0, 7);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].want, CFC_WANT_PAGE);
    CU_ASSERT_EQUAL(rig.entries[0].level, 1);
    CU_ASSERT_EQUAL(rig.entries[0].index, 0);
    CU_ASSERT_EQUAL(page(&rig, 1, 0), CONFCAST_OK);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 2);
    CU_ASSERT_EQUAL(rig.entries[0].level, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(page(&rig, 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(rig.stats.symbols, 16);
    rig_close(&rig);
}

static void
a_wrong_symbol_is_not_stored_and_is_asked_for(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 0, 0), CONFCAST_ERR_DIGEST);
    symbols(&rig, 0, 1, 7);
    CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 1);
    symbols(&rig, 0, 0, 0);
    CU_ASSERT(cfc_content_rx_is_complete(rig.rx));
    rig_close(&rig);
}

static void
a_wrong_symbol_before_its_page_is_cleared_when_the_page_comes(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 0);
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 3, 0), CONFCAST_OK);
    /* The first one wins the place until the page decides. */
    symbols(&rig, 0, 0, 7);
    CU_ASSERT_EQUAL(rig.stats.symbols_duplicate, 1);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(rig.stats.symbols, 7);
    CU_ASSERT_FALSE(cfc_content_rx_is_complete(rig.rx));
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 8);
    symbols(&rig, 0, 3, 3);
    CU_ASSERT(cfc_content_rx_is_complete(rig.rx));
    rig_close(&rig);
}

static void
a_wrong_page_is_not_taken(void)
{
    struct rig rig;
    struct made other;
    struct made own;

    rig_open(&rig, 1600, 8, 0);
    made_content_encoding(&rig.b, &other, 1600, 100, 8, 1);
    own = rig.m;
    rig.m = other;
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_ERR_DIGEST);
    rig.m = own;
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    made_free(&other);
    rig_close(&rig);
}

static void
duplicates_are_counted_and_cost_nothing(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 0);
    whole_block(&rig, 0);
    symbols(&rig, 0, 0, 7);
    /* Even a damaged one: what is here needs no look at it. */
    CU_ASSERT_EQUAL(flipped_symbol(&rig, 0, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(rig.stats.symbols, 8);
    CU_ASSERT_EQUAL(rig.stats.symbols_duplicate, 9);
    rig_close(&rig);
}

static void
symbols_and_pages_outside_the_geometry_are_refused(void)
{
    struct rig rig;
    uint8_t bytes[200] = {0};
    struct cfc_symbol bad = {.coding = 1, .index = 0, .block = 2, .bytes = bytes, .size = 100};
    struct cfc_page bad_page = {.coding = 1, .level = 0, .digest_count = 8, .digests = bytes};

    rig_open(&rig, 1250, 8, 0); /* blocks of 8 and 5, the last symbol of 50 bytes */
    CU_ASSERT_EQUAL(cfc_content_rx_symbol(rig.rx, rig.b.sha, &bad, rig.now_ns, &rig.stats),
                    CONFCAST_ERR_RANGE);
    bad.block = 1;
    bad.index = 5;
    CU_ASSERT_EQUAL(cfc_content_rx_symbol(rig.rx, rig.b.sha, &bad, rig.now_ns, &rig.stats),
                    CONFCAST_ERR_RANGE);
    bad.index = 4;
    CU_ASSERT_EQUAL(cfc_content_rx_symbol(rig.rx, rig.b.sha, &bad, rig.now_ns, &rig.stats),
                    CONFCAST_ERR_LENGTH);
    bad.size = 49;
    CU_ASSERT_EQUAL(cfc_content_rx_symbol(rig.rx, rig.b.sha, &bad, rig.now_ns, &rig.stats),
                    CONFCAST_ERR_LENGTH);
    bad.index = 0;
    bad.size = 101;
    CU_ASSERT_EQUAL(cfc_content_rx_symbol(rig.rx, rig.b.sha, &bad, rig.now_ns, &rig.stats),
                    CONFCAST_ERR_LENGTH);
    bad_page.index = 2;
    CU_ASSERT_EQUAL(cfc_content_rx_page(rig.rx, rig.b.sha, &bad_page, rig.now_ns, &rig.stats),
                    CONFCAST_ERR_RANGE);
    bad_page.index = 0;
    bad_page.level = 1;
    CU_ASSERT_EQUAL(cfc_content_rx_page(rig.rx, rig.b.sha, &bad_page, rig.now_ns, &rig.stats),
                    CONFCAST_ERR_RANGE);
    bad_page.level = 0;
    bad_page.digest_count = 7;
    CU_ASSERT_EQUAL(cfc_content_rx_page(rig.rx, rig.b.sha, &bad_page, rig.now_ns, &rig.stats),
                    CONFCAST_ERR_LENGTH);
    rig_close(&rig);
}

static void
repair_symbols_are_counted_and_change_nothing(void)
{
    struct rig rig;
    uint8_t bytes[100] = {0};
    struct cfc_symbol repair = {.coding = 1, .index = 8, .block = 0, .bytes = bytes, .size = 100};

    rig_open(&rig, 1600, 8, 0);
    for (uint16_t i = 8; i < 24; i++) {
        repair.index = i;
        CU_ASSERT_EQUAL(cfc_content_rx_symbol(rig.rx, rig.b.sha, &repair, rig.now_ns, &rig.stats),
                        CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(rig.stats.symbols_ignored, 16);
    CU_ASSERT(cfc_content_rx_is_empty(rig.rx));
    rig_close(&rig);
}

static void
gone_stops_the_requests_for_the_longest_spacing(void)
{
    struct rig rig;

    rig_open(&rig, 800, 8, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    symbols(&rig, 0, 1, 7);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 1);
    cfc_content_rx_gone(rig.rx, rig.now_ns);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + 32 * RETRY);
    rig_close(&rig);
}

static void
what_does_not_fit_a_frame_stays_due(void)
{
    struct rig rig;
    uint32_t total = 0;

    rig_open(&rig, 10 * 800, 8, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 9), CONFCAST_OK);
    symbols(&rig, 9, 0, 7);
    rig.now_ns += DELAY;
    for (int i = 0; i < 9; i++) {
        /* Three places: one block with its page, the next would be torn apart. */
        uint32_t count = cfc_content_rx_ask(rig.rx, rig.now_ns, rig.entries, 3);

        CU_ASSERT_EQUAL(count, 2);
        total += count;
        CU_ASSERT((cfc_content_rx_due(rig.rx) <= rig.now_ns) == (i < 8));
    }
    CU_ASSERT_EQUAL(total, 18);
    rig_close(&rig);
}

static void
losses_of_every_pattern_heal(void)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct cfc_prng g = {.state = seed};
        uint32_t block_count, loss = (uint32_t)cfc_prng_below(&g, 60);
        uint32_t rounds = 0;
        struct rig rig;

        rig_open(&rig, 1 + cfc_prng_below(&g, 60000), 1 + (uint32_t)cfc_prng_below(&g, 16), 0);
        block_count = rig.m.tree.geometry.block_count;
        for (uint32_t level = rig.m.tree.level_count; level > 0; level--) {
            for (uint32_t i = 0; i < rig.m.tree.geometry.page_counts[level - 1]; i++) {
                if (cfc_prng_below(&g, 100) >= loss) {
                    (void)page(&rig, level - 1, i);
                }
            }
        }
        for (uint32_t block = 0; block < block_count; block++) {
            uint32_t count =
                cfc_geometry_block_symbols(&rig.m.tree.geometry, &rig.m.content, block);

            for (uint32_t i = 0; i < count; i++) {
                if (cfc_prng_below(&g, 100) >= loss) {
                    (void)flipped_symbol(&rig, block, i, cfc_prng_below(&g, 50) == 0 ? 0 : INTACT);
                }
            }
        }
        while (!cfc_content_rx_is_complete(rig.rx) && rounds++ < 5000) {
            uint64_t due_ns = cfc_content_rx_due(rig.rx);

            CU_ASSERT_NOT_EQUAL_FATAL(due_ns, CFC_NEVER);
            rig.now_ns = due_ns > rig.now_ns ? due_ns : rig.now_ns;
            (void)ask(&rig);
            for (uint32_t n = 0; n < rig.count; n++) {
                const struct cfc_nack_entry *e = &rig.entries[n];

                if (e->want == CFC_WANT_PAGE && cfc_prng_below(&g, 100) >= loss) {
                    (void)page(&rig, e->level, e->index);
                }
                for (uint32_t i = 0; e->want == CFC_WANT_SYMBOLS && i < 64; i++) {
                    if ((e->mask >> i & 1) != 0 && cfc_prng_below(&g, 100) >= loss) {
                        (void)symbol(&rig, e->index, i);
                    }
                }
            }
        }
        CU_ASSERT_FATAL(cfc_content_rx_is_complete(rig.rx));
        {
            uint8_t *coded = cfc_content_rx_take(rig.rx);

            CU_ASSERT_EQUAL(memcmp(coded, rig.m.body, rig.m.size), 0);
            cfc_free(&rig.alloc, coded);
        }
        rig_close(&rig);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_content_that_comes_in_order_is_complete_without_a_request),
    CFC_CASE(a_content_that_comes_backwards_is_complete_too),
    CFC_CASE(a_gap_is_asked_for_only_after_the_reorder_delay),
    CFC_CASE(a_reordered_symbol_in_time_is_never_asked_for),
    CFC_CASE(the_stream_going_on_slowly_does_not_hold_back_the_request),
    CFC_CASE(every_gap_is_asked_for_not_only_the_first),
    CFC_CASE(requests_for_a_block_back_off_by_doubling_up_to_32_times),
    CFC_CASE(repair_under_way_holds_back_the_request_and_resets_its_spacing),
    CFC_CASE(at_most_a_window_of_blocks_is_asked_for_at_one_time),
    CFC_CASE(a_lost_page_is_asked_for_when_its_symbols_come),
    CFC_CASE(symbols_that_nothing_vouches_for_do_not_make_it_ask_for_everything),
    CFC_CASE(a_page_without_its_parent_is_dropped_and_the_parent_asked_for_first),
    CFC_CASE(a_wrong_symbol_is_not_stored_and_is_asked_for),
    CFC_CASE(a_wrong_symbol_before_its_page_is_cleared_when_the_page_comes),
    CFC_CASE(a_wrong_page_is_not_taken),
    CFC_CASE(duplicates_are_counted_and_cost_nothing),
    CFC_CASE(symbols_and_pages_outside_the_geometry_are_refused),
    CFC_CASE(repair_symbols_are_counted_and_change_nothing),
    CFC_CASE(gone_stops_the_requests_for_the_longest_spacing),
    CFC_CASE(what_does_not_fit_a_frame_stays_due),
    CFC_CASE(losses_of_every_pattern_heal),
};

CFC_TEST_MAIN("content_rx", cases)
