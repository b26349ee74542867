/* NACKs and what comes of them, through the sender. */
#include "protocol/session/repair.h"
#include "tests/unit/repair_fixture.h"

/* -- Symbols */

static void
few_askers_get_by_unicast_exactly_what_each_lacks(void)
{
    struct repair_bed t;
    uint64_t got[2] = {0};

    open_with(&t, 2);
    CU_ASSERT_EQUAL(ask(&t, 0, 1, 0x85), CONFCAST_OK);
    CU_ASSERT_EQUAL(ask(&t, 1, 1, 0x04), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 4);
    for (uint32_t i = 0; i < 4; i++) {
        int index = symbol_index(&t, &t.bed.sent[i], 1);

        CU_ASSERT_TRUE_FATAL(index >= 0);
        for (uint32_t k = 0; k < 2; k++) {
            got[k] |= is_sent_to(&t.bed.sent[i], &t.c[k].address) ? UINT64_C(1) << index : 0;
        }
    }
    CU_ASSERT_EQUAL(got[0], 0x85);
    CU_ASSERT_EQUAL(got[1], 0x04);
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_unicast, 4);
    bed_pass(&t.bed, CFC_S);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    bed_close(&t.bed);
}

static void
many_askers_get_the_union_once_by_multicast(void)
{
    struct repair_bed t;
    uint64_t got = 0;

    open_with(&t, CONSUMERS);
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, UINT64_C(1) << (i % 3)), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 3);
    for (uint32_t i = 0; i < 3; i++) {
        int index = symbol_index(&t, &t.bed.sent[i], 0);

        CU_ASSERT_TRUE_FATAL(index >= 0);
        CU_ASSERT_TRUE(t.bed.sent[i].tx.is_multicast);
        CU_ASSERT_EQUAL(t.bed.sent[i].tx.group, t.group);
        got |= UINT64_C(1) << index;
    }
    CU_ASSERT_EQUAL(got, 0x07);
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_multicast, 3);
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_unicast, 0);
    bed_close(&t.bed);
}

static void
number_of_unicast_askers_is_the_configured_one(void)
{
    for (uint32_t askers_max = 1; askers_max <= 8; askers_max++) {
        for (uint32_t askers = askers_max; askers <= askers_max + 1; askers++) {
            struct repair_bed t;

            bed_init(&t.bed);
            t.bed.config.status_period_ns = 1000 * CFC_S;
            t.bed.config.unicast_askers_max = askers_max;
            start(&t, askers);
            for (uint32_t i = 0; i < askers; i++) {
                CU_ASSERT_EQUAL(ask(&t, i, 0, 1), CONFCAST_OK);
            }
            CU_ASSERT_EQUAL(after_gathering(&t), askers == askers_max ? askers : 1);
            CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, true), askers > askers_max);
            bed_close(&t.bed);
        }
    }
}

static void
one_consumer_that_asks_often_is_one_asker(void)
{
    struct repair_bed t;

    open_with(&t, 1);
    for (uint32_t i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL(ask(&t, 0, 0, 1 | 1u << i % 2), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(after_gathering(&t), 2);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, false), 2);
    bed_close(&t.bed);
}

static void
askers_that_come_while_unicast_runs_turn_it_into_one_multicast_of_the_rest(void)
{
    struct repair_bed t;

    open_with(&t, 3);
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 0x0f), CONFCAST_OK);
    CU_ASSERT_EQUAL(ask(&t, 1, 0, 0x0f), CONFCAST_OK);
    bed_pass(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain_max(&t.bed, 2), 2);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, false), 2);
    CU_ASSERT_EQUAL(ask(&t, 2, 0, 0x10), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 4); /* 1, 2, 3 and 4; both had 0 */
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, true), 4);
    bed_close(&t.bed);
}

static void
nack_that_crossed_the_multicast_is_not_answered_again(void)
{
    struct repair_bed t;

    open_with(&t, 4);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, 0x03), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(after_gathering(&t), 2);
    CU_ASSERT_EQUAL(ask(&t, 3, 0, 0x03), CONFCAST_OK);
    bed_pass(&t.bed, CFC_REPAIR_QUIET_NS - 1);
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 0x03), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    bed_pass(&t.bed, 1);
    CU_ASSERT_EQUAL(ask(&t, 3, 0, 0x03), CONFCAST_OK);
    CU_ASSERT_EQUAL(after_gathering(&t), 2);
    bed_close(&t.bed);
}

static void
what_the_multicast_did_not_hold_is_gathered_anew(void)
{
    struct repair_bed t;

    open_with(&t, 4);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, 0x03), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(after_gathering(&t), 2);
    CU_ASSERT_EQUAL(ask(&t, 3, 0, 0x07), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_EQUAL(symbol_index(&t, &t.bed.sent[0], 0), 2);
    CU_ASSERT_TRUE(is_sent_to(&t.bed.sent[0], &t.c[3].address));
    bed_close(&t.bed);
}

static void
asking_for_any_symbols_of_a_block_gets_all_its_source_symbols(void)
{
    struct repair_bed t;

    open_with(&t, 1);
    CU_ASSERT_EQUAL(ask_entry(&t, 0,
                              (struct cfc_nack_entry){.want = CFC_WANT_SYMBOLS,
                                                      .coding = 1,
                                                      .index = 2,
                                                      .key = cfc_digest_key(&t.content->id),
                                                      .count = 3}),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(after_gathering(&t), 4); /* the last block of 20 by 8 */
    CU_ASSERT_EQUAL(symbol_index(&t, &t.bed.sent[3], 2), 3);
    CU_ASSERT_EQUAL(t.bed.sent[3].size, CFC_SYMBOL_HEADER_SIZE + BED_SYMBOL_SIZE - 56);
    bed_close(&t.bed);
}

static void
symbols_and_pages_that_the_content_does_not_have_are_out_of_range(void)
{
    struct repair_bed t;
    struct cfc_nack_entry page = {.want = CFC_WANT_PAGE, .coding = 1};

    open_with(&t, 1);
    page.key = cfc_digest_key(&t.content->id);
    CU_ASSERT_EQUAL(ask(&t, 0, 3, 1), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(ask(&t, 0, 1, 0x100), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(ask(&t, 0, 2, 0x10), CONFCAST_ERR_RANGE);
    page.index = 3;
    CU_ASSERT_EQUAL(ask_entry(&t, 0, page), CONFCAST_ERR_RANGE);
    page.index = 0;
    page.level = 1;
    CU_ASSERT_EQUAL(ask_entry(&t, 0, page), CONFCAST_ERR_RANGE);
    bed_pass(&t.bed, CFC_S);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    CU_ASSERT_EQUAL(ask(&t, 0, 2, 0x08), CONFCAST_OK);
    bed_close(&t.bed);
}

static void
bad_entry_does_not_keep_the_others_of_its_nack_from_being_answered(void)
{
    struct repair_bed t;
    struct cfc_nack_entry entries[2];

    open_with(&t, 1);
    entries[0] = (struct cfc_nack_entry){.want = CFC_WANT_SYMBOLS,
                                         .coding = 1,
                                         .index = 9,
                                         .key = cfc_digest_key(&t.content->id),
                                         .mask = 1,
                                         .count = 1};
    entries[1] = entries[0];
    entries[1].index = 1;
    CU_ASSERT_EQUAL(consumer_nack(&t.bed, &t.c[0], entries, 2), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(after_gathering(&t), 1);
    bed_close(&t.bed);
}

/* -- What is still to come */

static void
what_the_cursor_has_not_reached_is_not_repaired(void)
{
    struct repair_bed t;
    struct bed_content *c;
    uint32_t sent = 0;

    open_with(&t, 1);
    c = bed_put_content(&t.bed, 2, 40 * BED_SYMBOL_SIZE, 8);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &c->id), CONFCAST_OK);
    /* HEAD, CONTENT, page and symbols of block 0, page and half of block 1. */
    CU_ASSERT_EQUAL(bed_drain_max(&t.bed, 2 + 9 + 5), 16);
    for (uint32_t block = 0; block < 5; block++) {
        CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], c, block, 1), CONFCAST_OK);
    }
    bed_pass(&t.bed, t.bed.config.gather_ns);
    bed_drain(&t.bed);
    for (uint32_t i = 0; i < t.bed.sent_count; i++) {
        if (is_sent_to(&t.bed.sent[i], &t.c[0].address)) {
            CU_ASSERT_EQUAL(cfc_get_u32(t.bed.sent[i].bytes + 20), 0);
            sent++;
        }
    }
    CU_ASSERT_EQUAL(sent, 1);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], c, 4, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(after_gathering(&t), 1);
    bed_close(&t.bed);
}

static void
content_and_pages_that_are_still_to_come_are_not_repaired_either(void)
{
    /* Frames sent before the NACK: HEAD; CONTENT; page 0; symbols of block 0 and page 1. */
    const struct {
        uint32_t frames;
        uint32_t repaired;
    } cases[] = {{1, 0}, {2, 1}, {3, 2}, {11, 2}, {12, 3}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct repair_bed t;
        struct bed_content *c;
        struct cfc_nack_entry want[3];
        uint32_t repaired = 0;

        open_with(&t, 1);
        c = bed_put_content(&t.bed, 2, 40 * BED_SYMBOL_SIZE, 8);
        CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &c->id), CONFCAST_OK);
        want[0] = (struct cfc_nack_entry){.want = CFC_WANT_CONTENT, .key = cfc_digest_key(&c->id)};
        want[1] = (struct cfc_nack_entry){
            .want = CFC_WANT_PAGE, .coding = 1, .key = cfc_digest_key(&c->id)};
        want[2] = want[1];
        want[2].index = 1;
        CU_ASSERT_EQUAL(bed_drain_max(&t.bed, cases[i].frames), cases[i].frames);
        CU_ASSERT_EQUAL(consumer_nack(&t.bed, &t.c[0], want, 3), CONFCAST_OK);
        bed_pass(&t.bed, t.bed.config.gather_ns);
        bed_drain(&t.bed);
        for (uint32_t k = 0; k < t.bed.sent_count; k++) {
            repaired += is_sent_to(&t.bed.sent[k], &t.c[0].address);
        }
        CU_ASSERT_EQUAL(repaired, cases[i].repaired);
        bed_close(&t.bed);
    }
}

static void
consumer_of_a_group_that_waits_for_its_pass_is_not_repaired_before(void)
{
    struct repair_bed t;
    struct bed_content *c;
    char other[32];
    uint32_t group;

    open_with(&t, 2);
    group = (t.group + 1) % BED_CONTROL_GROUP;
    bed_scope_in(&t.bed, group, 0, other);
    /* The reports tell which groups they follow. */
    CU_ASSERT_EQUAL(consumer_report(&t.bed, &t.c[0], 1, bed_scope_id(&t.bed, scope)), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&t.bed, &t.c[1], 1, bed_scope_id(&t.bed, other)), CONFCAST_OK);
    c = bed_put_content(&t.bed, 2, 40 * BED_SYMBOL_SIZE, 8);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, scope, 1, 6, &c->id), CONFCAST_OK);
    bed_drain_max(&t.bed, 20); /* block 0 is through */
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, other, 1, 6, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[0], c, 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&t.bed, &t.c[1], c, 0, 2), CONFCAST_OK);
    bed_pass(&t.bed, t.bed.config.gather_ns);
    bed_drain(&t.bed);
    for (uint32_t i = 0; i < t.bed.sent_count; i++) {
        CU_ASSERT_FALSE(is_sent_to(&t.bed.sent[i], &t.c[1].address));
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->repairs_unicast, 1);
    bed_close(&t.bed);
}

static void
multicast_repair_goes_to_the_groups_of_its_askers(void)
{
    struct repair_bed t;
    char other[32];
    uint32_t group;

    open_with(&t, 6);
    group = (t.group + 1) % BED_CONTROL_GROUP;
    bed_scope_in(&t.bed, group, 0, other);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, other, 1, 6, &t.content->id), CONFCAST_OK);
    bed_run(&t.bed, CFC_S);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(consumer_report(&t.bed, &t.c[i], 1, bed_scope_id(&t.bed, other)),
                        CONFCAST_OK);
    }
    bed_drain(&t.bed);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, 1), CONFCAST_OK);
        CU_ASSERT_EQUAL(ask(&t, 3 + i, 1, 1), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 3);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t block = cfc_get_u32(t.bed.sent[i].bytes + 20);

        /* Of the others nothing is known, so both groups that name the content. */
        CU_ASSERT_TRUE(t.bed.sent[i].tx.group == group ||
                       (block == 1 && t.bed.sent[i].tx.group == t.group));
    }
    bed_close(&t.bed);
}

static void
multicast_repair_goes_to_each_group_that_some_asker_needs(void)
{
    struct repair_bed t;
    uint32_t groups = 0;
    char other[32];
    char third[32];

    open_with(&t, 4);
    bed_scope_in(&t.bed, (t.group + 1) % BED_CONTROL_GROUP, 0, other);
    bed_scope_in(&t.bed, (t.group + 2) % BED_CONTROL_GROUP, 0, third);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, other, 1, 6, &t.content->id), CONFCAST_OK);
    bed_run(&t.bed, CFC_S);
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(
            consumer_report(&t.bed, &t.c[i], 1, bed_scope_id(&t.bed, i < 2 ? other : scope)),
            CONFCAST_OK);
        /* A group that no head of this content is in does not matter. */
        CU_ASSERT_EQUAL(consumer_report(&t.bed, &t.c[i], 2, bed_scope_id(&t.bed, third)),
                        CONFCAST_OK);
    }
    bed_drain(&t.bed);
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 0, 1), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 2);
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_TRUE(t.bed.sent[i].tx.is_multicast);
        groups |= 1u << t.bed.sent[i].tx.group;
    }
    CU_ASSERT_EQUAL(groups, 1u << t.group | 1u << (t.group + 1) % BED_CONTROL_GROUP);
    bed_close(&t.bed);
}

static void
consumer_of_unknown_groups_is_answered_once_the_content_had_a_pass(void)
{
    struct repair_bed t;
    char other[32];

    open_with(&t, 1);
    bed_scope_in(&t.bed, (t.group + 1) % BED_CONTROL_GROUP, 0, other);
    CU_ASSERT_EQUAL(bed_put_head(&t.bed, other, 1, 6, &t.content->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain_max(&t.bed, 3), 3); /* the second pass has begun */
    CU_ASSERT_EQUAL(ask(&t, 0, 2, 1), CONFCAST_OK);
    bed_pass(&t.bed, t.bed.config.gather_ns);
    bed_drain(&t.bed);
    CU_ASSERT_EQUAL(bed_count(&t.bed, CFC_FRAME_SYMBOL, false), 1);
    bed_close(&t.bed);
}

/* -- Heads */

static struct cfc_nack_entry
want_head(struct repair_bed *t, uint64_t version)
{
    return (struct cfc_nack_entry){
        .want = CFC_WANT_HEAD, .key = bed_scope_id(&t->bed, scope), .mask = version};
}

static void
head_is_answered_at_once(void)
{
    struct repair_bed t;

    open_with(&t, 2);
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(ask_entry(&t, i, want_head(&t, 5)), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(bed_drain(&t.bed), 1);
        CU_ASSERT_EQUAL(sent_type(&t.bed.sent[0]), CFC_FRAME_HEAD);
        CU_ASSERT_TRUE(is_sent_to(&t.bed.sent[0], &t.c[i].address));
    }
    bed_pass(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    CU_ASSERT_EQUAL(ask_entry(&t, 0, want_head(&t, 1)), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 1);
    bed_close(&t.bed);
}

static void
head_that_many_ask_for_is_multicast_once(void)
{
    struct repair_bed t;
    uint32_t unicast = 0;
    uint32_t multicast = 0;

    open_with(&t, CONSUMERS);
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        CU_ASSERT_EQUAL(ask_entry(&t, i, want_head(&t, 5)), CONFCAST_OK);
        bed_drain(&t.bed);
        unicast += bed_count(&t.bed, CFC_FRAME_HEAD, false);
        multicast += bed_count(&t.bed, CFC_FRAME_HEAD, true);
    }
    CU_ASSERT_EQUAL(unicast, 2);
    CU_ASSERT_EQUAL(multicast, 1);
    bed_close(&t.bed);
}

/* -- CONTENT, PAGE, FRESH */

static void
content_is_answered_with_the_frames_of_all_its_codings(void)
{
    struct repair_bed t;
    struct bed_content *second;

    open_with(&t, 1);
    second = bed_make_coding(&t.bed, &t.content->id, 2, 700, 4);
    CU_ASSERT_EQUAL(bed_put_made(&t.bed, second, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(ask_entry(&t, 0,
                              (struct cfc_nack_entry){.want = CFC_WANT_CONTENT,
                                                      .key = cfc_digest_key(&t.content->id)}),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 2);
    CU_ASSERT_EQUAL_FATAL(t.bed.sent[0].size, t.content->frame_size);
    CU_ASSERT_EQUAL(memcmp(t.bed.sent[0].bytes, t.content->frame, t.content->frame_size), 0);
    CU_ASSERT_EQUAL_FATAL(t.bed.sent[1].size, second->frame_size);
    CU_ASSERT_EQUAL(memcmp(t.bed.sent[1].bytes, second->frame, second->frame_size), 0);
    bed_close(&t.bed);
}

static void
page_is_answered_with_its_digests(void)
{
    struct repair_bed t;
    struct cfc_frame frame;
    struct cfc_page page;
    uint32_t top;

    open_with(&t, 1);
    CU_ASSERT_EQUAL(ask_entry(&t, 0,
                              (struct cfc_nack_entry){.want = CFC_WANT_PAGE,
                                                      .coding = 1,
                                                      .index = 2,
                                                      .key = cfc_digest_key(&t.content->id)}),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_EQUAL(cfc_frame_open(t.bed.sent[0].bytes, t.bed.sent[0].size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_page_decode(&frame, &page), CONFCAST_OK);
    top = cfc_tree_parent_offset(&t.content->tree, 0, 2);
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&t.content->tree, t.bed.sha, page.level, page.index,
                                         page.digests, page.digest_count,
                                         t.content->digests + (size_t)top * CFC_SHORT_DIGEST_SIZE),
                    CONFCAST_OK);
    bed_close(&t.bed);
}

static uint32_t
fresh_page_index(const struct sent *sent)
{
    struct cfc_frame frame;
    struct cfc_fresh fresh;

    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(sent->bytes, sent->size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
    return fresh.page_index;
}

static void
fresh_is_answered_with_the_page_that_covers_the_scope(void)
{
    /* 100 scopes 10, 20, ... 1000 in pages of 32: pages begin at 10, 330, 650, 970. */
    const struct {
        uint64_t scope_id;
        uint32_t page;
    } cases[] = {{0, 0},   {1, 0},   {10, 0},  {320, 0}, {329, 0},
                 {330, 1}, {649, 1}, {650, 2}, {970, 3}, {UINT64_MAX, 3}};
    struct repair_bed t;

    open_with(&t, 1);
    for (uint32_t page = 0; page < 4; page++) {
        CU_ASSERT_EQUAL(bed_put_fresh_page(&t.bed, 3, 1, 9, 100, page, true), CONFCAST_OK);
    }
    bed_drain(&t.bed);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CU_ASSERT_EQUAL(ask_entry(&t, 0,
                                  (struct cfc_nack_entry){
                                      .want = CFC_WANT_FRESH, .key = 3, .mask = cases[i].scope_id}),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
        CU_ASSERT_EQUAL(fresh_page_index(&t.bed.sent[0]), cases[i].page);
        CU_ASSERT_TRUE(is_sent_to(&t.bed.sent[0], &t.c[0].address));
    }
    bed_close(&t.bed);
}

static void
fresh_that_many_ask_for_is_multicast_on_the_control_group(void)
{
    struct repair_bed t;

    open_with(&t, 5);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&t.bed, 3, 1, 9, 10, 0, true), CONFCAST_OK);
    bed_drain(&t.bed);
    for (uint32_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(ask_entry(&t, i, (struct cfc_nack_entry){.want = CFC_WANT_FRESH, .key = 3}),
                        CONFCAST_OK);
    }
    CU_ASSERT_EQUAL_FATAL(after_gathering(&t), 1);
    CU_ASSERT_TRUE(t.bed.sent[0].tx.is_multicast);
    CU_ASSERT_EQUAL(t.bed.sent[0].tx.group, BED_CONTROL_GROUP);
    bed_close(&t.bed);
}

/* -- GONE */

static void
what_is_not_held_is_answered_by_one_small_gone(void)
{
    struct repair_bed t;
    struct cfc_nack_entry wants[] = {
        {.want = CFC_WANT_HEAD, .key = 99, .mask = 1},
        {.want = CFC_WANT_HEAD, .mask = 6},
        {.want = CFC_WANT_CONTENT, .key = 99},
        {.want = CFC_WANT_PAGE, .coding = 1, .index = 4, .key = 99},
        {.want = CFC_WANT_SYMBOLS, .coding = 1, .index = 4, .key = 99, .mask = 1, .count = 1},
        {.want = CFC_WANT_SYMBOLS, .coding = 2, .index = 1, .mask = 1, .count = 1},
        {.want = CFC_WANT_FRESH, .key = 5},
        {.want = CFC_WANT_FRESH, .key = 64},
    };

    open_with(&t, 1);
    wants[1].key = bed_scope_id(&t.bed, scope); /* held at version 5 */
    wants[5].key = cfc_digest_key(&t.content->id);
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        struct cfc_frame frame;
        struct cfc_gone gone;

        CU_ASSERT_EQUAL(ask_entry(&t, 0, wants[i]), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(bed_drain(&t.bed), 1);
        CU_ASSERT_TRUE(t.bed.sent[0].size <= t.c[0].size);
        CU_ASSERT_TRUE(is_sent_to(&t.bed.sent[0], &t.c[0].address));
        CU_ASSERT_EQUAL(cfc_frame_open(t.bed.sent[0].bytes, t.bed.sent[0].size, &frame),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_gone_decode(&frame, &gone), CONFCAST_OK);
        CU_ASSERT_EQUAL(gone.want, wants[i].want);
        CU_ASSERT_EQUAL(gone.key, wants[i].key);
        CU_ASSERT_EQUAL(gone.coding, wants[i].coding);
        CU_ASSERT_EQUAL(gone.index, wants[i].index);
        bed_pass(&t.bed, t.bed.config.gather_ns);
        CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    }
    CU_ASSERT_EQUAL(cfc_sender_stats(t.bed.sender)->gone_sent, sizeof(wants) / sizeof(wants[0]));
    bed_close(&t.bed);
}

static void
content_that_was_dropped_is_gone_and_what_was_open_ends(void)
{
    struct repair_bed t;

    open_with(&t, 4);
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 0xff), CONFCAST_OK); /* stays unicast */
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(ask(&t, i, 1, 0xff), CONFCAST_OK); /* becomes multicast */
    }
    bed_pass(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain_max(&t.bed, 3), 3);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(t.bed.sender, &t.content->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&t.bed), 1);
    CU_ASSERT_EQUAL(sent_type(&t.bed.sent[0]), CFC_FRAME_GONE);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(t.bed.sender, &t.content->id), CONFCAST_ERR_NOT_FOUND);
    bed_close(&t.bed);
}

static void
content_put_again_in_another_shape_is_not_answered_for_the_old_one(void)
{
    struct repair_bed t;
    struct bed_content *small;

    open_with(&t, 1);
    CU_ASSERT_EQUAL(ask(&t, 0, 2, 0x08), CONFCAST_OK);
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 0x04), CONFCAST_OK); /* it will have two symbols */
    CU_ASSERT_EQUAL(ask_entry(&t, 0,
                              (struct cfc_nack_entry){.want = CFC_WANT_PAGE,
                                                      .coding = 1,
                                                      .index = 2,
                                                      .key = cfc_digest_key(&t.content->id)}),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(t.bed.sender, &t.content->id), CONFCAST_OK);
    small = bed_make_coding(&t.bed, &t.content->id, 1, 300, 8);
    CU_ASSERT_EQUAL(bed_put_made(&t.bed, small, false), CONFCAST_OK);
    bed_pass(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    bed_close(&t.bed);
}

static void
consumer_that_lost_its_session_gets_no_more_repair(void)
{
    struct repair_bed t;

    open_with(&t, 1);
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 0xff), CONFCAST_OK);
    t.c[0].nonce[0]++;
    t.c[0].incarnation++;
    t.c[0].address.port++;
    consumer_join(&t.bed, &t.c[0]);
    CU_ASSERT_EQUAL(consumer_report(&t.bed, &t.c[0], 1, 10), CONFCAST_OK);
    bed_drain(&t.bed);
    bed_pass(&t.bed, t.bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_drain(&t.bed), 0);
    CU_ASSERT_EQUAL(ask(&t, 0, 0, 0xff), CONFCAST_OK);
    CU_ASSERT_EQUAL(after_gathering(&t), 8);
    bed_close(&t.bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(few_askers_get_by_unicast_exactly_what_each_lacks),
    CFC_CASE(many_askers_get_the_union_once_by_multicast),
    CFC_CASE(number_of_unicast_askers_is_the_configured_one),
    CFC_CASE(one_consumer_that_asks_often_is_one_asker),
    CFC_CASE(askers_that_come_while_unicast_runs_turn_it_into_one_multicast_of_the_rest),
    CFC_CASE(nack_that_crossed_the_multicast_is_not_answered_again),
    CFC_CASE(what_the_multicast_did_not_hold_is_gathered_anew),
    CFC_CASE(asking_for_any_symbols_of_a_block_gets_all_its_source_symbols),
    CFC_CASE(symbols_and_pages_that_the_content_does_not_have_are_out_of_range),
    CFC_CASE(bad_entry_does_not_keep_the_others_of_its_nack_from_being_answered),
    CFC_CASE(what_the_cursor_has_not_reached_is_not_repaired),
    CFC_CASE(content_and_pages_that_are_still_to_come_are_not_repaired_either),
    CFC_CASE(consumer_of_a_group_that_waits_for_its_pass_is_not_repaired_before),
    CFC_CASE(multicast_repair_goes_to_the_groups_of_its_askers),
    CFC_CASE(multicast_repair_goes_to_each_group_that_some_asker_needs),
    CFC_CASE(consumer_of_unknown_groups_is_answered_once_the_content_had_a_pass),
    CFC_CASE(head_is_answered_at_once),
    CFC_CASE(head_that_many_ask_for_is_multicast_once),
    CFC_CASE(content_is_answered_with_the_frames_of_all_its_codings),
    CFC_CASE(page_is_answered_with_its_digests),
    CFC_CASE(fresh_is_answered_with_the_page_that_covers_the_scope),
    CFC_CASE(fresh_that_many_ask_for_is_multicast_on_the_control_group),
    CFC_CASE(what_is_not_held_is_answered_by_one_small_gone),
    CFC_CASE(content_that_was_dropped_is_gone_and_what_was_open_ends),
    CFC_CASE(content_put_again_in_another_shape_is_not_answered_for_the_old_one),
    CFC_CASE(consumer_that_lost_its_session_gets_no_more_repair),
};

CFC_TEST_MAIN("repair", cases)
