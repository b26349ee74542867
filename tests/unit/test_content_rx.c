/* One content under collection: what is stored, what is asked for, and when. */
#include "protocol/session/content_rx.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

#define DELAY CFC_MS
#define RETRY (10 * CFC_MS)

/* A bench without a receiver, and one collection. */
struct rig {
    struct bench b;
    struct made m;
    struct cfc_alloc alloc;
    struct cfc_content_rx *rx;
    struct cfc_content_rx_stats stats;
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    uint32_t count;
    uint64_t now_ns;
};

static void
rig_open(struct rig *rig, size_t size, uint32_t symbol_size, uint32_t fec_k)
{
    static const struct cfc_nack_timing timing = {
        .delay_ns = DELAY, .retry_ns = RETRY, .doublings = CFC_ASK_DOUBLINGS_MIN};

    memset(rig, 0, sizeof(*rig));
    bench_prepare(&rig->b);
    made_content_encoding(&rig->b, &rig->m, size, symbol_size, fec_k, 1);
    rig->alloc = cfc_test_heap_table(&rig->b.heap);
    rig->now_ns = CFC_S;
    CU_ASSERT_EQUAL_FATAL(
        cfc_content_rx_new(&rig->m.content, &rig->alloc, &timing, rig->now_ns, &rig->rx),
        CONFCAST_OK);
}

static void
rig_close(struct rig *rig)
{
    cfc_content_rx_free(rig->rx);
    CU_ASSERT_EQUAL(rig->b.heap.live_count, 0);
    made_free(&rig->m);
    bench_close(&rig->b);
}

static int
page(struct rig *rig, uint32_t level, uint32_t index)
{
    struct cfc_frame frame;
    struct cfc_page decoded;

    bench_make_page(&rig->b, &rig->m, level, index);
    CU_ASSERT_EQUAL(cfc_frame_open(rig->b.frame, rig->b.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_page_decode(&frame, &decoded), CONFCAST_OK);
    return cfc_content_rx_page(rig->rx, rig->b.sha, &decoded, rig->now_ns, &rig->stats);
}

/* The symbol, with one bit of it wrong when `is_bad`. */
static int
damaged_symbol(struct rig *rig, uint32_t block, uint32_t index, bool is_bad)
{
    struct cfc_frame frame;
    struct cfc_symbol decoded;

    bench_make_symbol(&rig->b, &rig->m, block, index);
    if (is_bad) {
        rig->b.frame[rig->b.size - 1] ^= 1;
    }
    CU_ASSERT_EQUAL(cfc_frame_open(rig->b.frame, rig->b.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_symbol_decode(&frame, &decoded), CONFCAST_OK);
    return cfc_content_rx_symbol(rig->rx, rig->b.sha, &decoded, rig->now_ns, &rig->stats);
}

static int
symbol(struct rig *rig, uint32_t block, uint32_t index)
{
    return damaged_symbol(rig, block, index, false);
}

static void
symbols(struct rig *rig, uint32_t block, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++) {
        CU_ASSERT_EQUAL(symbol(rig, block, i), CONFCAST_OK);
    }
}

static void
whole_block(struct rig *rig, uint32_t block)
{
    CU_ASSERT_EQUAL(page(rig, 0, block), CONFCAST_OK);
    symbols(rig, block, 0,
            cfc_geometry_block_symbols(&rig->m.tree.geometry, &rig->m.content, block) - 1);
}

static uint32_t
ask(struct rig *rig)
{
    rig->count = cfc_content_rx_ask(rig->rx, rig->now_ns, rig->entries, CFC_NACK_ENTRIES_MAX);
    return rig->count;
}

static void
a_content_that_comes_in_order_is_complete_without_a_request(void)
{
    struct rig rig;
    uint8_t *coded;

    rig_open(&rig, 8050, 100, 8);
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

    rig_open(&rig, 8050, 100, 8);
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

    rig_open(&rig, 3200, 100, 8);
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

    rig_open(&rig, 3200, 100, 8);
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

    rig_open(&rig, 800, 100, 8);
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

    rig_open(&rig, 8000, 100, 8);
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

    rig_open(&rig, 800, 100, 8);
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

    rig_open(&rig, 800, 100, 8);
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
a_lost_tail_is_asked_for_after_silence(void)
{
    struct rig rig;

    rig_open(&rig, 1600, 100, 8);
    whole_block(&rig, 0);
    rig.now_ns += 4 * DELAY - 1;
    CU_ASSERT_EQUAL(ask(&rig), 0);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + 1);
    rig.now_ns++;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 2);
    CU_ASSERT_EQUAL(rig.entries[0].want, CFC_WANT_PAGE);
    CU_ASSERT_EQUAL(rig.entries[0].level, 0);
    CU_ASSERT_EQUAL(rig.entries[0].index, 1);
    CU_ASSERT_EQUAL(rig.entries[1].want, CFC_WANT_SYMBOLS);
    CU_ASSERT_EQUAL(rig.entries[1].mask, 0x01);
    rig_close(&rig);
}

/* A network that holds frames back for a while is as silent as a sender that has ended. */
static void
silence_is_probed_with_one_symbol_and_the_rest_is_asked_for_when_they_come(void)
{
    struct rig rig;

    rig_open(&rig, 4000, 100, 8); /* 5 blocks */
    whole_block(&rig, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 1), CONFCAST_OK);
    symbols(&rig, 1, 0, 2);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x08);
    rig.now_ns += RETRY; /* no block more before the probe is answered */
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x08);
    symbols(&rig, 1, 3, 3);
    rig.now_ns += DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0xf0);
    rig_close(&rig);
}

static void
what_comes_by_itself_after_a_silence_has_the_next_one_probed_again(void)
{
    struct rig rig;

    rig_open(&rig, 4000, 100, 8);
    whole_block(&rig, 0);
    CU_ASSERT_EQUAL(page(&rig, 0, 1), CONFCAST_OK);
    symbols(&rig, 1, 0, 2);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    symbols(&rig, 1, 3, 7); /* all of it had been held back */
    CU_ASSERT_EQUAL(page(&rig, 0, 2), CONFCAST_OK);
    symbols(&rig, 2, 0, 2);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 1);
    CU_ASSERT_EQUAL(rig.entries[0].index, 2);
    CU_ASSERT_EQUAL(rig.entries[0].mask, 0x08);
    rig_close(&rig);
}

static void
the_content_frame_that_closes_a_pass_cuts_the_silence_short(void)
{
    struct rig rig;

    rig_open(&rig, 4000, 100, 8); /* 5 blocks */
    whole_block(&rig, 0);
    cfc_content_rx_announced(rig.rx, rig.now_ns); /* too early to be the end */
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + 4 * DELAY);
    whole_block(&rig, 1);
    whole_block(&rig, 2);
    CU_ASSERT_EQUAL(page(&rig, 0, 3), CONFCAST_OK);
    symbols(&rig, 3, 0, 3);
    cfc_content_rx_announced(rig.rx, rig.now_ns);
    rig.now_ns += DELAY / CFC_LOSS_CLOSE_SHARE - 1;
    CU_ASSERT_EQUAL(ask(&rig), 0);
    rig.now_ns++;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 3);
    CU_ASSERT_EQUAL(rig.entries[0].index + rig.entries[1].index + rig.entries[2].index, 11);
    rig_close(&rig);
}

/* A head goes some times while it is new. */
static void
a_head_that_comes_again_after_a_silence_ends_it(void)
{
    struct rig rig;

    rig_open(&rig, 2000, 100, 8); /* 3 blocks */
    whole_block(&rig, 0);
    whole_block(&rig, 1);
    cfc_content_rx_probed(rig.rx, rig.now_ns); /* something came just now */
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + 4 * DELAY);
    rig.now_ns += DELAY / CFC_LOSS_CLOSE_SHARE - 1;
    cfc_content_rx_probed(rig.rx, rig.now_ns);
    CU_ASSERT(cfc_content_rx_due(rig.rx) > rig.now_ns + DELAY);
    rig.now_ns++;
    cfc_content_rx_probed(rig.rx, rig.now_ns);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + DELAY / CFC_LOSS_CLOSE_SHARE);
    rig.now_ns += DELAY / CFC_LOSS_CLOSE_SHARE;
    CU_ASSERT_EQUAL_FATAL(ask(&rig), 2); /* the page and the symbols of the last block */
    CU_ASSERT_EQUAL(rig.entries[0].index, 2);
    rig_close(&rig);
}

/* The whole of a large fleet would take a pause of the sender for the end. */
static void
in_a_large_fleet_silences_are_longer_and_heads_say_nothing_of_them(void)
{
    static const struct cfc_nack_timing timing = {
        .delay_ns = DELAY, .retry_ns = RETRY, .doublings = CFC_ASK_DOUBLINGS_MIN + 3};
    struct cfc_loss_rx loss;
    struct rig rig;
    uint64_t *memory;

    rig_open(&rig, 700, 100, 8);
    memory = malloc(cfc_loss_rx_size(&rig.m.tree));
    CU_ASSERT_PTR_NOT_NULL_FATAL(memory);
    cfc_loss_rx_init(&loss, &rig.m.tree, &timing, memory, rig.now_ns);
    CU_ASSERT_EQUAL(cfc_loss_rx_due(&loss), rig.now_ns + 4 * 4 * DELAY);
    cfc_loss_rx_probed(&loss, rig.now_ns + DELAY);
    CU_ASSERT_EQUAL(cfc_loss_rx_due(&loss), rig.now_ns + 4 * 4 * DELAY);
    free(memory);
    rig_close(&rig);
}

static void
silence_asks_for_ever_more_blocks_and_waits_ever_longer(void)
{
    static const uint32_t ends[] = {2, 4, 8, 16, 32, 48, 64};
    struct rig rig;

    rig_open(&rig, 64 * 800, 100, 8); /* 64 blocks: one level of index pages above */
    CU_ASSERT_EQUAL_FATAL(rig.m.tree.level_count, 2);
    CU_ASSERT_EQUAL(page(&rig, 1, 0), CONFCAST_OK);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 2);
    whole_block(&rig, 0); /* the probe's answer */
    for (uint32_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        uint32_t doublings = i < 6 ? i : 6;
        uint64_t tail_ns = rig.now_ns + (4 * DELAY << doublings);
        uint32_t end = 0;

        /* Blocks that were asked for already come in their own time. */
        while (cfc_content_rx_due(rig.rx) < tail_ns) {
            rig.now_ns = cfc_content_rx_due(rig.rx);
            while (ask(&rig) > 0) {
                for (uint32_t n = 0; n < rig.count; n++) {
                    CU_ASSERT(rig.entries[n].index < (i > 0 ? ends[i - 1] : 0));
                }
            }
        }
        rig.now_ns = tail_ns;
        while (ask(&rig) > 0) {
            for (uint32_t n = 0; n < rig.count; n++) {
                end = rig.entries[n].index + 1 > end ? rig.entries[n].index + 1 : end;
            }
        }
        CU_ASSERT_EQUAL(end, ends[i]);
    }
    rig_close(&rig);
}

/* Answers what was asked for, as a sender would. */
static uint32_t
repair(struct rig *rig)
{
    uint32_t sent = 0;

    for (uint32_t n = 0; n < rig->count; n++) {
        const struct cfc_nack_entry *e = &rig->entries[n];

        for (uint32_t i = 0; e->want == CFC_WANT_SYMBOLS && i < 64; i++) {
            if ((e->mask >> i & 1) != 0) {
                (void)symbol(rig, e->index, i);
                sent++;
            }
        }
    }
    return sent;
}

static void
a_slow_sender_is_soon_left_to_its_pace(void)
{
    struct rig rig;
    uint32_t early = 0, late = 0, sent = 0;

    rig_open(&rig, 32 * 1600, 100, 16); /* 32 blocks of 16 symbols */
    for (uint32_t block = 0; block < 32; block++) {
        (void)page(&rig, 0, block);
    }
    for (uint32_t block = 0; block < 32; block++) {
        for (uint32_t i = 0; i < 16; i++) {
            /* Three silent intervals by the clock, but that is its pace. */
            for (int n = 0; n < 12; n++) {
                rig.now_ns += DELAY;
                (void)ask(&rig);
                *(sent < 64 ? &early : &late) += repair(&rig);
            }
            (void)symbol(&rig, block, i);
            sent++;
        }
    }
    CU_ASSERT(cfc_content_rx_is_complete(rig.rx));
    /* While it learns, it asks for a dozen blocks too early, and then hardly for any. */
    CU_ASSERT(early <= 12 * 16);
    CU_ASSERT(late <= 2 * 16);
    rig_close(&rig);
}

static void
symbols_that_are_here_already_show_that_the_sender_is_at_it(void)
{
    struct rig rig;
    uint64_t start_ns;
    uint32_t asked = 0;

    rig_open(&rig, 1600, 100, 8);
    whole_block(&rig, 0);
    start_ns = rig.now_ns;
    /* Repair for others: the end of the silence waits, ... */
    while (rig.now_ns < start_ns + 100 * DELAY) {
        rig.now_ns += DELAY;
        symbols(&rig, 0, 0, 0);
        asked += ask(&rig);
    }
    CU_ASSERT_EQUAL(asked, 0);
    /* ... but not for ever. */
    while (asked == 0 && rig.now_ns < start_ns + 200 * DELAY) {
        rig.now_ns += DELAY;
        symbols(&rig, 0, 0, 0);
        asked += ask(&rig);
    }
    CU_ASSERT(asked > 0);
    CU_ASSERT(rig.now_ns <= start_ns + (4 * 32 + 4) * DELAY);
    rig_close(&rig);
}

static void
at_most_a_window_of_blocks_is_asked_for_at_one_time(void)
{
    struct rig rig;
    uint64_t asked = 0;
    uint32_t blocks = 0;

    rig_open(&rig, 200 * 200, 100, 2); /* 200 blocks of two symbols */
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

    rig_open(&rig, 1600, 100, 8);
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

    rig_open(&rig, 16 * 800, 100, 8);
    for (uint32_t block = 0; block < 16; block++) {
        (void)damaged_symbol(&rig, block, 7, true);
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

    rig_open(&rig, 100 * 800, 100, 8);
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

    rig_open(&rig, 800, 100, 8);
    CU_ASSERT_EQUAL(page(&rig, 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(damaged_symbol(&rig, 0, 0, true), CONFCAST_ERR_DIGEST);
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

    rig_open(&rig, 800, 100, 8);
    CU_ASSERT_EQUAL(damaged_symbol(&rig, 0, 3, true), CONFCAST_OK);
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

    rig_open(&rig, 1600, 100, 8);
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

    rig_open(&rig, 800, 100, 8);
    whole_block(&rig, 0);
    symbols(&rig, 0, 0, 7);
    /* Even a damaged one: what is here needs no look at it. */
    CU_ASSERT_EQUAL(damaged_symbol(&rig, 0, 0, true), CONFCAST_OK);
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

    rig_open(&rig, 1250, 100, 8); /* blocks of 8 and 5, the last symbol of 50 bytes */
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

    rig_open(&rig, 1600, 100, 8);
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

    rig_open(&rig, 800, 100, 8);
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

    rig_open(&rig, 10 * 800, 100, 8);
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

        rig_open(&rig, 1 + cfc_prng_below(&g, 60000), 100, 1 + (uint32_t)cfc_prng_below(&g, 16));
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
                    (void)damaged_symbol(&rig, block, i, cfc_prng_below(&g, 50) == 0);
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

static void
news_end_the_long_waits_of_silence(void)
{
    struct rig rig;

    rig_open(&rig, 64 * 800, 100, 8);
    CU_ASSERT_EQUAL(page(&rig, 1, 0), CONFCAST_OK);
    for (int i = 0; i < 3; i++) {
        rig.now_ns = cfc_content_rx_due(rig.rx);
        while (ask(&rig) > 0) {
        }
    }
    whole_block(&rig, 0);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT(ask(&rig) > 0);
    rig_close(&rig);
}

static void
symbols_that_come_twice_before_any_silence_say_nothing_of_the_pace(void)
{
    struct rig rig;

    rig_open(&rig, 1600, 100, 8);
    whole_block(&rig, 0);
    symbols(&rig, 0, 0, 0);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT(ask(&rig) > 0);
    rig_close(&rig);

    rig_open(&rig, 64 * 800, 100, 8);
    CU_ASSERT_EQUAL(page(&rig, 1, 0), CONFCAST_OK);
    whole_block(&rig, 0);
    symbols(&rig, 0, 0, 0);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 2);
    whole_block(&rig, 1);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + 4 * DELAY);
    rig_close(&rig);
}

static void
one_symbol_that_comes_twice_after_a_silence_doubles_the_silences_once(void)
{
    struct rig rig;

    rig_open(&rig, 64 * 800, 100, 8);
    CU_ASSERT_EQUAL(page(&rig, 1, 0), CONFCAST_OK);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 2);
    whole_block(&rig, 0);
    symbols(&rig, 0, 0, 0);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 2); /* one more block, and the silences count twice from now on */
    whole_block(&rig, 1);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + 8 * DELAY);
    rig.now_ns += 8 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 4);
    whole_block(&rig, 2);
    whole_block(&rig, 3);
    CU_ASSERT_EQUAL(cfc_content_rx_due(rig.rx), rig.now_ns + 8 * DELAY);
    rig_close(&rig);
}

static void
symbols_that_come_by_themselves_begin_the_growth_anew(void)
{
    struct rig rig;

    rig_open(&rig, 64 * 800, 100, 8);
    CU_ASSERT_EQUAL(page(&rig, 1, 0), CONFCAST_OK);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 2);
    whole_block(&rig, 0);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 2);
    whole_block(&rig, 1);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 4);
    for (uint32_t block = 2; block < 7; block++) {
        whole_block(&rig, block);
    }
    rig.now_ns += 4 * DELAY;
    CU_ASSERT_EQUAL(ask(&rig), 2);
    rig_close(&rig);
}

static void
blocks_that_are_asked_for_in_vain_come_to_share_their_frames(void)
{
    struct rig rig;
    uint32_t frames = 0;
    uint64_t end_ns;

    rig_open(&rig, 16 * 800, 100, 8);
    for (uint32_t block = 0; block < 16; block++) {
        CU_ASSERT_EQUAL(page(&rig, 0, block), CONFCAST_OK);
    }
    /* Silence asks for the blocks in groups, at different times. */
    rig.now_ns += 4 * CFC_S;
    end_ns = rig.now_ns + 32 * RETRY * 10;
    while (rig.now_ns < end_ns) {
        frames += ask(&rig) > 0;
        CU_ASSERT_FATAL(cfc_content_rx_due(rig.rx) > rig.now_ns);
        rig.now_ns = cfc_content_rx_due(rig.rx);
    }
    /* Ten rounds at the longest spacing, and those that led there. */
    CU_ASSERT(frames <= 30);
    CU_ASSERT(frames >= 10);
    rig_close(&rig);
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
    CFC_CASE(a_lost_tail_is_asked_for_after_silence),
    CFC_CASE(silence_is_probed_with_one_symbol_and_the_rest_is_asked_for_when_they_come),
    CFC_CASE(what_comes_by_itself_after_a_silence_has_the_next_one_probed_again),
    CFC_CASE(the_content_frame_that_closes_a_pass_cuts_the_silence_short),
    CFC_CASE(a_head_that_comes_again_after_a_silence_ends_it),
    CFC_CASE(in_a_large_fleet_silences_are_longer_and_heads_say_nothing_of_them),
    CFC_CASE(silence_asks_for_ever_more_blocks_and_waits_ever_longer),
    CFC_CASE(a_slow_sender_is_soon_left_to_its_pace),
    CFC_CASE(symbols_that_are_here_already_show_that_the_sender_is_at_it),
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
    CFC_CASE(news_end_the_long_waits_of_silence),
    CFC_CASE(symbols_that_come_twice_before_any_silence_say_nothing_of_the_pace),
    CFC_CASE(one_symbol_that_comes_twice_after_a_silence_doubles_the_silences_once),
    CFC_CASE(symbols_that_come_by_themselves_begin_the_growth_anew),
    CFC_CASE(blocks_that_are_asked_for_in_vain_come_to_share_their_frames),
};

CFC_TEST_MAIN("content_rx", cases)
