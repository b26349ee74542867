/* One content under collection, without a receiver around it: cfc_content_rx by itself, fed with
 * the frames of a content that bench makes (receiver_fixture.h), in symbols of 100 bytes. */
#ifndef CFC_TESTS_CONTENT_FIXTURE_H
#define CFC_TESTS_CONTENT_FIXTURE_H

#include "protocol/session/content_rx.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

#define DELAY CFC_MS
#define RETRY (10 * CFC_MS)

#define INTACT SIZE_MAX /* a byte that no symbol has */

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

static inline void
rig_collect(struct rig *rig)
{
    static const struct cfc_nack_timing timing = {
        .delay_ns = DELAY, .retry_ns = RETRY, .doublings = CFC_ASK_DOUBLINGS_MIN};

    CU_ASSERT_EQUAL_FATAL(
        cfc_content_rx_new(&rig->m.content, &rig->alloc, &timing, rig->now_ns, &rig->rx),
        CONFCAST_OK);
}

static inline void
rig_open(struct rig *rig, size_t size, uint32_t fec_k, uint8_t repair_leaves)
{
    memset(rig, 0, sizeof(*rig));
    bench_prepare(&rig->b);
    rig->b.repair_leaves = repair_leaves;
    made_content_encoding(&rig->b, &rig->m, size, 100, fec_k, 1);
    rig->alloc = cfc_test_heap_table(&rig->b.heap);
    rig->now_ns = CFC_S;
    rig_collect(rig);
}

static inline void
rig_close(struct rig *rig)
{
    cfc_content_rx_free(rig->rx);
    CU_ASSERT_EQUAL(rig->b.heap.live_count, 0);
    made_free(&rig->m);
    bench_close(&rig->b);
}

static inline int
page(struct rig *rig, uint32_t level, uint32_t index)
{
    struct cfc_frame frame;
    struct cfc_page decoded;

    bench_make_page(&rig->b, &rig->m, level, index);
    CU_ASSERT_EQUAL(cfc_frame_open(rig->b.frame, rig->b.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_page_decode(&frame, &decoded), CONFCAST_OK);
    return cfc_content_rx_page(rig->rx, rig->b.sha, &decoded, rig->now_ns, &rig->stats);
}

/* The symbol with one bit of byte `at` wrong, if it has that many: INTACT has none. */
static inline int
flipped_symbol(struct rig *rig, uint32_t block, uint32_t index, size_t at)
{
    struct cfc_frame frame;
    struct cfc_symbol decoded;

    bench_make_symbol(&rig->b, &rig->m, block, index);
    if (at < rig->b.size - CFC_SYMBOL_HEADER_SIZE) {
        rig->b.frame[CFC_SYMBOL_HEADER_SIZE + at] ^= 1;
    }
    CU_ASSERT_EQUAL(cfc_frame_open(rig->b.frame, rig->b.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_symbol_decode(&frame, &decoded), CONFCAST_OK);
    return cfc_content_rx_symbol(rig->rx, rig->b.sha, &decoded, rig->now_ns, &rig->stats);
}

static inline int
symbol(struct rig *rig, uint32_t block, uint32_t index)
{
    return flipped_symbol(rig, block, index, INTACT);
}

static inline void
symbols(struct rig *rig, uint32_t block, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++) {
        CU_ASSERT_EQUAL(symbol(rig, block, i), CONFCAST_OK);
    }
}

static inline uint32_t
ask(struct rig *rig)
{
    rig->count = cfc_content_rx_ask(rig->rx, rig->now_ns, rig->entries, CFC_NACK_ENTRIES_MAX);
    return rig->count;
}

static inline void
whole_block(struct rig *rig, uint32_t block)
{
    CU_ASSERT_EQUAL(page(rig, 0, block), CONFCAST_OK);
    symbols(rig, block, 0,
            cfc_geometry_block_symbols(&rig->m.tree.geometry, &rig->m.content, block) - 1);
}

#endif
