/* What the tests of repair share: a sender whose content has been sent whole, and consumers that
 * ask for parts of it. */
#ifndef CFC_TESTS_REPAIR_FIXTURE_H
#define CFC_TESTS_REPAIR_FIXTURE_H

#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

enum {
    CONSUMERS = 60
};

struct repair_bed {
    struct bed bed;
    struct bed_consumer c[CONSUMERS];
    struct bed_content *content; /* sent whole to `group` */
    uint32_t group;
};

static const char scope[] = "acme/web";

static inline void
join_all(struct repair_bed *t, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        consumer_init(&t->bed, &t->c[i], i + 1);
        consumer_join(&t->bed, &t->c[i]);
    }
}

/* A sender whose content of 20 symbols in blocks of 8 has been sent, and `count` consumers. */
static inline void
start(struct repair_bed *t, uint32_t count)
{
    bed_start(&t->bed);
    join_all(t, count);
    t->content = bed_put_content(&t->bed, 1, 20 * BED_SYMBOL_SIZE - 56, 8);
    t->group = bed_group(&t->bed, scope);
    assert(bed_put_head(&t->bed, scope, 1, 5, &t->content->id) == CONFCAST_OK);
    bed_run(&t->bed, CFC_S);
}

static inline void
open_with(struct repair_bed *t, uint32_t count)
{
    bed_init(&t->bed);
    t->bed.config.status_period_ns = 1000 * CFC_S; /* not of interest here */
    start(t, count);
}

static inline uint32_t
after_gathering(struct repair_bed *t)
{
    CU_ASSERT_EQUAL(bed_drain(&t->bed), 0);
    bed_pass(&t->bed, t->bed.config.gather_ns - 1);
    CU_ASSERT_EQUAL(bed_drain(&t->bed), 0);
    bed_pass(&t->bed, 1);
    return bed_drain(&t->bed);
}

/* Block and index of a SYMBOL whose bytes verify against the tree; index -1 when they do not. */
static inline int
symbol_index(struct repair_bed *t, const struct sent *sent, uint32_t block)
{
    const struct cfc_tree *tree = &t->content->tree;
    struct cfc_symbol symbol;
    struct cfc_frame frame;
    uint32_t leaf;

    if (sent_type(sent) != CFC_FRAME_SYMBOL ||
        cfc_frame_open(sent->bytes, sent->size, &frame) != CONFCAST_OK ||
        cfc_symbol_decode(&frame, &symbol) != CONFCAST_OK || symbol.block != block) {
        return -1;
    }
    leaf = cfc_tree_page_offset(tree, 0, block) + symbol.index;
    if (cfc_tree_verify_symbol(tree, t->bed.sha, block, symbol.index, symbol.bytes, symbol.size,
                               t->content->digests + (size_t)leaf * CFC_SHORT_DIGEST_SIZE) !=
        CONFCAST_OK) {
        return -1;
    }
    return symbol.index;
}

static inline int
ask(struct repair_bed *t, uint32_t consumer, uint32_t block, uint64_t mask)
{
    return consumer_nack_symbols(&t->bed, &t->c[consumer], t->content, block, mask);
}

static inline int
ask_entry(struct repair_bed *t, uint32_t consumer, struct cfc_nack_entry entry)
{
    return consumer_nack(&t->bed, &t->c[consumer], &entry, 1);
}

#endif
