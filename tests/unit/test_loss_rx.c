/* What counts as lost, and as silence; what is asked for, when, is tested with test_content_rx. */
#include "protocol/session/loss_rx.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

enum {
    SYMBOLS = 300, /* four blocks of 64 that go together, and one of 44 */
    GROUP = 4,
    K = 64
};

struct bench {
    struct cfc_tree tree;
    struct cfc_nack_timing timing;
    struct cfc_loss_rx rx;
    void *memory;
    uint64_t now_ns;
    struct cfc_loss_count sum;
};

static struct bench b;

static void
open_bench(uint32_t symbol_count)
{
    struct cfc_content content = {.fec_code = CFC_FEC_RS_CAUCHY,
                                  .fec_k = K,
                                  .symbol_size = 1000,
                                  .body_size = (uint64_t)symbol_count * 1000,
                                  .coded_size = (uint64_t)symbol_count * 1000};

    b = (struct bench){.timing = {.delay_ns = CFC_MS, .retry_ns = 5 * CFC_MS, .doublings = 5},
                       .now_ns = CFC_S};
    CU_ASSERT_EQUAL_FATAL(cfc_tree_init(&b.tree, &content), CONFCAST_OK);
    b.memory = malloc(cfc_loss_rx_size(&b.tree));
    cfc_loss_rx_init(&b.rx, &b.tree, &b.timing, b.memory, b.now_ns);
    for (uint32_t block = 0; block < b.tree.geometry.block_count; block++) {
        cfc_loss_rx_page(&b.rx, 0, block, b.now_ns);
    }
}

static void
close_bench(void)
{
    free(b.memory);
}

/* The symbol that a pass sends at place `n`. */
static void
take(uint32_t n)
{
    uint32_t block = n < GROUP * K ? n % GROUP : GROUP;
    uint32_t index = n < GROUP * K ? n / GROUP : n - GROUP * K;
    struct cfc_loss_count count;
    bool is_repair;

    b.now_ns += 10 * CFC_US;
    if (cfc_loss_rx_source(&b.rx, block, index, b.now_ns, &is_repair)) {
        cfc_loss_rx_settle(&b.rx, block, is_repair, b.now_ns);
    }
    count = cfc_loss_rx_take_count(&b.rx);
    b.sum.expected += count.expected;
    b.sum.lost += count.lost;
    b.sum.late += count.late;
}

static void
wait(uint64_t ns)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];

    b.now_ns += ns;
    cfc_loss_rx_ask(&b.rx, 1, b.now_ns, entries, CFC_NACK_ENTRIES_MAX);
}

static void
a_whole_pass_has_lost_nothing(void)
{
    open_bench(SYMBOLS);
    for (uint32_t n = 0; n < SYMBOLS; n++) {
        take(n);
    }
    CU_ASSERT_EQUAL(b.sum.expected, SYMBOLS);
    CU_ASSERT_EQUAL(b.sum.lost, 0);
    CU_ASSERT_EQUAL(b.sum.late, 0);
    close_bench();
}

static void
what_a_later_symbol_proves_to_be_sent_is_lost(void)
{
    open_bench(SYMBOLS);
    for (uint32_t n = 2; n < SYMBOLS; n += 3) {
        take(n);
    }
    CU_ASSERT_EQUAL(b.sum.expected, SYMBOLS);
    CU_ASSERT_EQUAL(b.sum.lost, 2 * SYMBOLS / 3);
    close_bench();
}

static void
a_slow_sender_is_not_a_lossy_one(void)
{
    open_bench(SYMBOLS);
    for (uint32_t n = 0; n < SYMBOLS; n++) {
        take(n);
        wait(30 * CFC_MS); /* long enough to ask for what has not been sent yet */
    }
    CU_ASSERT_EQUAL(b.sum.lost, 0);
    CU_ASSERT(b.sum.expected <= SYMBOLS);
    close_bench();
}

static void
what_was_overtaken_is_given_back(void)
{
    open_bench(SYMBOLS);
    for (uint32_t n = 0; n < SYMBOLS; n += 2) {
        take(n + 1);
        take(n);
    }
    CU_ASSERT_EQUAL(b.sum.expected, SYMBOLS);
    CU_ASSERT_EQUAL(b.sum.lost, SYMBOLS / 2);
    CU_ASSERT_EQUAL(b.sum.late, SYMBOLS / 2);
    close_bench();
}

static void
who_comes_in_the_midst_of_a_pass_has_lost_nothing_before(void)
{
    open_bench(SYMBOLS);
    for (uint32_t n = GROUP * K + 10; n < SYMBOLS; n++) {
        take(n);
    }
    CU_ASSERT_EQUAL(b.sum.expected, SYMBOLS - GROUP * K - 10);
    CU_ASSERT_EQUAL(b.sum.lost, 0);
    close_bench();
}

static void
the_end_of_a_small_pass_is_proved_by_its_close(void)
{
    struct cfc_loss_count count;

    open_bench(8);
    for (uint32_t n = 0; n < 2; n++) {
        bool is_repair;

        (void)cfc_loss_rx_source(&b.rx, 0, 2 * n, b.now_ns, &is_repair);
    }
    cfc_loss_rx_announced(&b.rx, b.now_ns);
    count = cfc_loss_rx_take_count(&b.rx);
    CU_ASSERT_EQUAL(count.expected, 8);
    CU_ASSERT_EQUAL(count.lost, 6);
    close_bench();
}

static void
open_scaled(uint32_t symbol_count, uint8_t tail_scale)
{
    open_bench(symbol_count);
    b.timing.tail_scale = tail_scale;
    cfc_loss_rx_init(&b.rx, &b.tree, &b.timing, b.memory, b.now_ns);
}

/* Whoever learned that a network is slow need not learn it anew with each content. */
static void
the_length_of_silences_is_handed_on_from_large_content_to_large_content(void)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    uint64_t silence_ns = CFC_LOSS_TAIL_DELAYS * CFC_MS;

    open_scaled(SYMBOLS, 2);
    CU_ASSERT_EQUAL(cfc_loss_rx_due(&b.rx), b.now_ns + (silence_ns << 2));
    CU_ASSERT_EQUAL(cfc_loss_rx_tail_scale(&b.rx), 1);
    for (int i = 0; i < 2; i++) { /* what is asked for in the first silence comes twice */
        b.now_ns = cfc_loss_rx_due(&b.rx);
        (void)cfc_loss_rx_ask(&b.rx, 1, b.now_ns, entries, CFC_NACK_ENTRIES_MAX);
        cfc_loss_rx_duplicate(&b.rx, b.now_ns);
        b.now_ns = b.rx.tail_at_ns - 1;
    }
    b.now_ns = b.rx.tail_at_ns;
    (void)cfc_loss_rx_ask(&b.rx, 1, b.now_ns, entries, CFC_NACK_ENTRIES_MAX);
    CU_ASSERT(cfc_loss_rx_tail_scale(&b.rx) > 2);
    close_bench();

    /* One block: its close and the repeats of its head tell its end. */
    open_scaled(K, 2);
    CU_ASSERT_EQUAL(cfc_loss_rx_due(&b.rx), b.now_ns + silence_ns);
    CU_ASSERT_EQUAL(cfc_loss_rx_tail_scale(&b.rx), 2);
    close_bench();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_whole_pass_has_lost_nothing),
    CFC_CASE(what_a_later_symbol_proves_to_be_sent_is_lost),
    CFC_CASE(a_slow_sender_is_not_a_lossy_one),
    CFC_CASE(what_was_overtaken_is_given_back),
    CFC_CASE(who_comes_in_the_midst_of_a_pass_has_lost_nothing_before),
    CFC_CASE(the_end_of_a_small_pass_is_proved_by_its_close),
    CFC_CASE(the_length_of_silences_is_handed_on_from_large_content_to_large_content),
};

CFC_TEST_MAIN("loss_rx", cases)
