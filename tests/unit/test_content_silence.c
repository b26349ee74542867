/* One content under collection, while its frames stay away: what silence means, and how slowly a
 * sender may go. */
#include "tests/unit/content_fixture.h"

static void
a_lost_tail_is_asked_for_after_silence(void)
{
    struct rig rig;

    rig_open(&rig, 1600, 8, 0);
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

    rig_open(&rig, 4000, 8, 0); /* 5 blocks */
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

    rig_open(&rig, 4000, 8, 0);
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

    rig_open(&rig, 4000, 8, 0); /* 5 blocks */
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

    rig_open(&rig, 2000, 8, 0); /* 3 blocks */
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

    rig_open(&rig, 700, 8, 0);
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

    rig_open(&rig, 64 * 800, 8, 0); /* 64 blocks: one level of index pages above */
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

    rig_open(&rig, 32 * 1600, 16, 0); /* 32 blocks of 16 symbols */
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

    rig_open(&rig, 1600, 8, 0);
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
news_end_the_long_waits_of_silence(void)
{
    struct rig rig;

    rig_open(&rig, 64 * 800, 8, 0);
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

    rig_open(&rig, 1600, 8, 0);
    whole_block(&rig, 0);
    symbols(&rig, 0, 0, 0);
    rig.now_ns += 4 * DELAY;
    CU_ASSERT(ask(&rig) > 0);
    rig_close(&rig);

    rig_open(&rig, 64 * 800, 8, 0);
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

    rig_open(&rig, 64 * 800, 8, 0);
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

    rig_open(&rig, 64 * 800, 8, 0);
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

    rig_open(&rig, 16 * 800, 8, 0);
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
    CFC_CASE(a_lost_tail_is_asked_for_after_silence),
    CFC_CASE(silence_is_probed_with_one_symbol_and_the_rest_is_asked_for_when_they_come),
    CFC_CASE(what_comes_by_itself_after_a_silence_has_the_next_one_probed_again),
    CFC_CASE(the_content_frame_that_closes_a_pass_cuts_the_silence_short),
    CFC_CASE(a_head_that_comes_again_after_a_silence_ends_it),
    CFC_CASE(in_a_large_fleet_silences_are_longer_and_heads_say_nothing_of_them),
    CFC_CASE(silence_asks_for_ever_more_blocks_and_waits_ever_longer),
    CFC_CASE(a_slow_sender_is_soon_left_to_its_pace),
    CFC_CASE(symbols_that_are_here_already_show_that_the_sender_is_at_it),
    CFC_CASE(news_end_the_long_waits_of_silence),
    CFC_CASE(symbols_that_come_twice_before_any_silence_say_nothing_of_the_pace),
    CFC_CASE(one_symbol_that_comes_twice_after_a_silence_doubles_the_silences_once),
    CFC_CASE(symbols_that_come_by_themselves_begin_the_growth_anew),
    CFC_CASE(blocks_that_are_asked_for_in_vain_come_to_share_their_frames),
};

CFC_TEST_MAIN("content_silence", cases)
