/* A sender that is shared: the first one and a helper, with the owner's hand between them, which
 * carries over at once, or not at all when a case says so. */
#include "protocol/session/sender_share.h"
#include "protocol/session/sender_state.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

enum {
    BLOCK = 16,
    SLOT_FREE = UINT32_MAX
};

struct pair {
    struct bed first;
    struct bed helper;
    struct cfc_share_hooks hooks;
    uint32_t first_slots[BED_CONTENTS_MAX]; /* by the helper's slot */
    bool is_full;                           /* there is no room for asks */
    uint32_t ask_count;
};

static void
on_put(void *ctx, uint32_t slot, bool is_pull_only)
{
    struct pair *pair = ctx;
    struct cfc_share_content content;
    uint32_t helper_slot = SLOT_FREE;
    int code;

    cfc_sender_share_content(pair->first.sender, slot, &content);
    code =
        cfc_sender_put_content(pair->helper.sender, content.frame, content.frame_size, content.tree,
                               content.tree_size, content.coded, is_pull_only, &helper_slot);
    CU_ASSERT_TRUE(code == CONFCAST_OK || code == CONFCAST_ERR_EXISTS);
    pair->first_slots[helper_slot] = slot;
}

static void
on_want(void *ctx, uint32_t slot, uint32_t group, bool is_news, uint64_t now_ns)
{
    struct pair *pair = ctx;
    struct cfc_share_content content;

    cfc_sender_share_content(pair->first.sender, slot, &content);
    cfc_sender_share_want(pair->helper.sender, content.key, UINT32_C(1) << group, is_news, now_ns);
}

static void
on_drop(void *ctx, uint32_t slot)
{
    struct pair *pair = ctx;
    struct cfc_share_content content;

    cfc_sender_share_content(pair->first.sender, slot, &content);
    cfc_sender_share_drop(pair->helper.sender, content.key);
}

static bool
on_ask(void *ctx, const struct cfc_share_ask *ask)
{
    struct pair *pair = ctx;

    if (pair->is_full) {
        return false;
    }
    pair->ask_count++;
    CU_ASSERT_EQUAL(cfc_sender_share_ask(pair->helper.sender, ask, &pair->first.now), CONFCAST_OK);
    return true;
}

static void
init_pair(struct pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    pair->hooks = (struct cfc_share_hooks){
        .put = on_put, .want = on_want, .drop = on_drop, .ask = on_ask, .ctx = pair};
    bed_init(&pair->first);
    bed_init(&pair->helper);
    pair->first.config.share = &pair->hooks;
    pair->first.config.status_period_ns = 1000 * CFC_S;
    pair->helper.config.is_helper = true;
}

static void
start_pair(struct pair *pair)
{
    bed_start(&pair->first);
    bed_start(&pair->helper);
    bed_drain(&pair->first); /* STATUS */
}

/* The helper sends what it was granted, of half of a megabyte a second. */
static void
start_capped_pair(struct pair *pair)
{
    init_pair(pair);
    pair->helper.config.share_count = 2;
    pair->helper.config.rate_bytes = 1000000;
    pair->helper.config.repair_rate_bytes = 1000000;
    start_pair(pair);
}

static void
open_pair(struct pair *pair)
{
    init_pair(pair);
    start_pair(pair);
}

static void
close_pair(struct pair *pair)
{
    bed_close(&pair->helper);
    bed_close(&pair->first);
}

/* What the helper gives back goes to the first one, as the owner does it. */
static void
carry_releases(struct pair *pair)
{
    struct cfc_upcall up;

    while (cfc_sender_poll_upcall(pair->helper.sender, &up) == CONFCAST_OK) {
        CU_ASSERT_EQUAL(up.type, CFC_UPCALL_RELEASED);
        cfc_sender_payload_done(pair->first.sender, pair->first_slots[up.slot], 1);
    }
}

static void
pass(struct pair *pair, uint64_t ns)
{
    bed_pass(&pair->first, ns);
    pair->helper.now = pair->first.now;
}

static void
heads_go_out_with_the_first_and_contents_with_the_helper(void)
{
    struct pair pair;
    struct bed_content *c;

    open_pair(&pair);
    c = bed_put_content(&pair.first, 1, 10 * BED_SYMBOL_SIZE, BLOCK);
    CU_ASSERT_EQUAL(bed_drain(&pair.helper), 0);
    CU_ASSERT_EQUAL(bed_put_head(&pair.first, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&pair.first), 1);
    CU_ASSERT_EQUAL(bed_count(&pair.first, CFC_FRAME_HEAD, true), 1);
    bed_drain(&pair.helper);
    CU_ASSERT_EQUAL(bed_count(&pair.helper, CFC_FRAME_SYMBOL, true), 10);
    CU_ASSERT_EQUAL(bed_count(&pair.helper, CFC_FRAME_CONTENT, true), 2);
    CU_ASSERT_EQUAL(bed_count(&pair.helper, CFC_FRAME_STATUS, true), 0);
    CU_ASSERT_EQUAL(pair.helper.sent[0].tx.group, bed_group(&pair.first, "acme/web"));
    pass(&pair, 2000 * CFC_S);
    bed_drain(&pair.helper);
    CU_ASSERT_EQUAL(pair.helper.sent_count, 0);
    close_pair(&pair);
}

static void
a_head_that_names_what_nobody_holds_is_refused_by_the_first(void)
{
    struct cfc_digest id = bed_content_id(9);
    struct pair pair;

    open_pair(&pair);
    CU_ASSERT_EQUAL(bed_put_head(&pair.first, "acme/web", 1, 1, &id), CONFCAST_ERR_NOT_FOUND);
    close_pair(&pair);
}

static void
new_heads_are_told_of_until_they_went_out(void)
{
    struct pair pair;
    struct bed_content *c;

    open_pair(&pair);
    c = bed_put_content(&pair.first, 1, BED_SYMBOL_SIZE, BLOCK);
    CU_ASSERT_FALSE(cfc_sender_share_has_new_heads(pair.first.sender));
    bed_put_head(&pair.first, "acme/web", 1, 1, &c->id);
    CU_ASSERT_TRUE(cfc_sender_share_has_new_heads(pair.first.sender));
    bed_drain(&pair.first);
    CU_ASSERT_FALSE(cfc_sender_share_has_new_heads(pair.first.sender));
    close_pair(&pair);
}

static void
what_is_pull_only_waits_until_it_is_not(void)
{
    struct pair pair;
    struct bed_content *c;

    open_pair(&pair);
    c = bed_make_content(&pair.first, 1, 4 * BED_SYMBOL_SIZE, BLOCK);
    CU_ASSERT_EQUAL(bed_put_made(&pair.first, c, true), CONFCAST_OK);
    bed_put_head(&pair.first, "acme/web", 1, 1, &c->id);
    CU_ASSERT_EQUAL(bed_drain(&pair.helper), 0);
    CU_ASSERT_EQUAL(bed_put_made(&pair.first, c, false), CONFCAST_ERR_EXISTS);
    bed_put_head(&pair.first, "acme/web", 1, 2, &c->id);
    bed_drain(&pair.helper);
    CU_ASSERT_EQUAL(bed_count(&pair.helper, CFC_FRAME_SYMBOL, true), 4);
    close_pair(&pair);
}

static void
a_nack_for_symbols_is_checked_by_the_first_and_answered_by_the_helper(void)
{
    struct bed_consumer consumer;
    struct bed_content *c;
    struct pair pair;

    open_pair(&pair);
    c = bed_put_content(&pair.first, 1, 10 * BED_SYMBOL_SIZE, BLOCK);
    bed_put_head(&pair.first, "acme/web", 1, 1, &c->id);
    bed_drain(&pair.helper);
    consumer_init(&pair.first, &consumer, 1);
    consumer_join(&pair.first, &consumer);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&pair.first, &consumer, c, 0, 0x12), CONFCAST_OK);
    CU_ASSERT_EQUAL(pair.ask_count, 1);
    pass(&pair, 10 * CFC_MS);
    bed_drain(&pair.helper);
    CU_ASSERT_EQUAL_FATAL(pair.helper.sent_count, 2);
    CU_ASSERT_TRUE(is_sent_to(&pair.helper.sent[0], &consumer.address));
    CU_ASSERT_EQUAL(memcmp(pair.helper.sent[0].bytes + CFC_SYMBOL_HEADER_SIZE,
                           c->coded + BED_SYMBOL_SIZE, BED_SYMBOL_SIZE),
                    0);
    CU_ASSERT_EQUAL(cfc_sender_stats(pair.helper.sender)->repairs_unicast, 2);
    /* One byte of its MAC is wrong: it goes no further than the first. */
    consumer_write_nack(&consumer,
                        &(struct cfc_nack_entry){.want = CFC_WANT_SYMBOLS,
                                                 .coding = 1,
                                                 .key = cfc_digest_key(&c->id),
                                                 .count = 1,
                                                 .mask = 1},
                        1);
    consumer.frame[consumer.size - 1] ^= 1;
    CU_ASSERT_EQUAL(consumer_give(&pair.first, &consumer), CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(pair.ask_count, 1);
    close_pair(&pair);
}

static void
a_consumer_that_came_again_is_answered_where_it_is_now(void)
{
    struct bed_consumer consumer;
    struct bed_content *c;
    struct pair pair;

    open_pair(&pair);
    c = bed_put_content(&pair.first, 1, 10 * BED_SYMBOL_SIZE, BLOCK);
    consumer_init(&pair.first, &consumer, 1);
    consumer_join(&pair.first, &consumer);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&pair.first, &consumer, c, 0, 1), CONFCAST_OK);
    consumer.address.port++;
    consumer.incarnation++;
    consumer.nonce[0] ^= 1;
    consumer_join(&pair.first, &consumer);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&pair.first, &consumer, c, 0, 2), CONFCAST_OK);
    pass(&pair, 10 * CFC_MS);
    bed_drain(&pair.helper);
    /* The first request was of a session that is over. */
    CU_ASSERT_EQUAL_FATAL(pair.helper.sent_count, 1);
    CU_ASSERT_TRUE(is_sent_to(&pair.helper.sent[0], &consumer.address));
    close_pair(&pair);
}

static void
what_nobody_holds_and_what_does_not_exist_never_reaches_the_helper(void)
{
    struct bed_consumer consumer;
    struct bed_content *c;
    struct bed_content *other;
    struct pair pair;

    open_pair(&pair);
    c = bed_put_content(&pair.first, 1, 10 * BED_SYMBOL_SIZE, BLOCK);
    other = bed_make_content(&pair.first, 2, 10 * BED_SYMBOL_SIZE, BLOCK);
    consumer_init(&pair.first, &consumer, 1);
    consumer_join(&pair.first, &consumer);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&pair.first, &consumer, other, 0, 1), CONFCAST_OK);
    bed_drain(&pair.first);
    CU_ASSERT_EQUAL(bed_count(&pair.first, CFC_FRAME_GONE, false), 1);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&pair.first, &consumer, c, 1, 1), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(pair.ask_count, 0);
    close_pair(&pair);
}

static void
a_helper_without_room_is_a_limit_that_the_consumer_outlasts(void)
{
    struct bed_consumer consumer;
    struct bed_content *c;
    struct pair pair;

    open_pair(&pair);
    c = bed_put_content(&pair.first, 1, 10 * BED_SYMBOL_SIZE, BLOCK);
    consumer_init(&pair.first, &consumer, 1);
    consumer_join(&pair.first, &consumer);
    pair.is_full = true;
    CU_ASSERT_EQUAL(consumer_nack_symbols(&pair.first, &consumer, c, 0, 1), CONFCAST_ERR_LIMIT);
    pair.is_full = false;
    CU_ASSERT_EQUAL(consumer_nack_symbols(&pair.first, &consumer, c, 0, 1), CONFCAST_OK);
    close_pair(&pair);
}

static void
memory_is_released_only_when_the_helper_has_let_go_of_it(void)
{
    struct cfc_upcall up;
    struct bed_content *c;
    struct sent *frame;
    struct pair pair;

    open_pair(&pair);
    c = bed_put_content(&pair.first, 1, 10 * BED_SYMBOL_SIZE, BLOCK);
    bed_put_head(&pair.first, "acme/web", 1, 1, &c->id);
    bed_drain(&pair.first);
    frame = &pair.helper.sent[0];
    do {
        CU_ASSERT_EQUAL_FATAL(cfc_sender_poll_frame(pair.helper.sender, &pair.helper.now,
                                                    frame->bytes, sizeof(frame->bytes), &frame->tx),
                              CONFCAST_OK);
    } while (frame->tx.payload == NULL);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(pair.first.sender, &c->id), CONFCAST_OK);
    carry_releases(&pair);
    CU_ASSERT_EQUAL(cfc_sender_poll_upcall(pair.first.sender, &up), CONFCAST_ERR_AGAIN);
    cfc_sender_payload_done(pair.helper.sender, frame->tx.slot, 1);
    carry_releases(&pair);
    CU_ASSERT_EQUAL_FATAL(cfc_sender_poll_upcall(pair.first.sender, &up), CONFCAST_OK);
    CU_ASSERT_EQUAL(up.type, CFC_UPCALL_RELEASED);
    CU_ASSERT_EQUAL(up.slot, c->slot);
    CU_ASSERT_EQUAL(bed_drain(&pair.helper), 0);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(pair.first.sender, &c->id), CONFCAST_ERR_NOT_FOUND);
    close_pair(&pair);
}

static void
all_codings_of_a_content_go_and_come_back(void)
{
    struct cfc_digest id = bed_content_id(1);
    struct bed_content *codings[2];
    struct cfc_upcall up;
    struct pair pair;

    open_pair(&pair);
    for (uint16_t i = 0; i < 2; i++) {
        codings[i] = bed_make_coding(&pair.first, &id, (uint16_t)(i + 1), 512, BLOCK);
        CU_ASSERT_EQUAL(bed_put_made(&pair.first, codings[i], false), CONFCAST_OK);
    }
    bed_put_head(&pair.first, "acme/web", 1, 1, &id);
    bed_drain(&pair.helper);
    CU_ASSERT_EQUAL(bed_count(&pair.helper, CFC_FRAME_SYMBOL, true), 4);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(pair.first.sender, &id), CONFCAST_OK);
    carry_releases(&pair);
    CU_ASSERT_EQUAL(cfc_sender_poll_upcall(pair.first.sender, &up), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_sender_poll_upcall(pair.first.sender, &up), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_sender_poll_upcall(pair.first.sender, &up), CONFCAST_ERR_AGAIN);
    close_pair(&pair);
}

static void
nothing_is_multicast_beyond_what_was_granted(void)
{
    const uint64_t frame_max = CFC_FRAME_SIZE_DEFAULT;
    uint64_t granted = 0;
    uint64_t sent = 0;
    struct bed_content *c;
    struct pair pair;

    start_capped_pair(&pair);
    c = bed_put_content(&pair.first, 1, 200 * BED_SYMBOL_SIZE, BLOCK);
    bed_put_head(&pair.first, "acme/web", 1, 1, &c->id);
    for (uint32_t i = 0; i < 20; i++) {
        bed_drain(&pair.helper);
        CU_ASSERT_TRUE(cfc_sender_lacks(pair.helper.sender, CFC_GRANT_MULTICAST));
        for (uint32_t k = 0; k < pair.helper.sent_count; k++) {
            sent += pair.helper.sent[k].size;
        }
        CU_ASSERT_TRUE(sent <= granted);
        CU_ASSERT_TRUE(granted - sent < frame_max);
        cfc_sender_expect(pair.helper.sender, CFC_GRANT_MULTICAST, 77 * CFC_S);
        CU_ASSERT_EQUAL(cfc_sender_deadline(pair.helper.sender), 77 * CFC_S);
        pass(&pair, CFC_S);
        cfc_sender_grant(pair.helper.sender, CFC_GRANT_MULTICAST, frame_max);
        granted += frame_max;
        CU_ASSERT_EQUAL(cfc_sender_deadline(pair.helper.sender), 0);
        CU_ASSERT_FALSE(cfc_sender_lacks(pair.helper.sender, CFC_GRANT_MULTICAST));
    }
    CU_ASSERT_TRUE(sent > 19 * (frame_max - 2 * BED_SYMBOL_SIZE));
    close_pair(&pair);
}

static void
repair_goes_by_its_own_grants_and_unicast_needs_no_other(void)
{
    struct bed_consumer consumer;
    struct bed_content *c;
    struct pair pair;

    start_capped_pair(&pair);
    c = bed_put_content(&pair.first, 1, 10 * BED_SYMBOL_SIZE, BLOCK);
    consumer_init(&pair.first, &consumer, 1);
    consumer_join(&pair.first, &consumer);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&pair.first, &consumer, c, 0, 3), CONFCAST_OK);
    pass(&pair, 10 * CFC_MS);
    CU_ASSERT_EQUAL(bed_drain(&pair.helper), 0);
    CU_ASSERT_TRUE(cfc_sender_lacks(pair.helper.sender, CFC_GRANT_REPAIR));
    cfc_sender_grant(pair.helper.sender, CFC_GRANT_REPAIR, CFC_FRAME_SIZE_DEFAULT);
    CU_ASSERT_EQUAL(bed_drain(&pair.helper), 1);
    cfc_sender_grant(pair.helper.sender, CFC_GRANT_REPAIR, CFC_FRAME_SIZE_DEFAULT);
    CU_ASSERT_EQUAL(bed_drain(&pair.helper), 1);
    close_pair(&pair);
}

/* However many helpers there are, and whichever of them has what it asks for. */
static void
what_a_consumer_may_ask_for_is_the_first_ones_to_pay(void)
{
    struct bed_consumer consumer;
    struct bed_content *c;
    struct pair pair;
    uint32_t blocks = 0, sent;
    uint64_t paid;

    init_pair(&pair);
    pair.first.config.share_count = 4;
    pair.first.config.repair_rate_bytes = 4000000; /* a quarter: the least burst is above it */
    start_pair(&pair);
    CU_ASSERT_EQUAL(pair.first.sender->roster.config.repair_rate, 1000000);
    CU_ASSERT_EQUAL(pair.helper.sender->roster.config.repair_rate, 0);
    c = bed_put_content(&pair.first, 1, 2000 * BED_SYMBOL_SIZE, BLOCK);
    consumer_init(&pair.first, &consumer, 1);
    consumer_join(&pair.first, &consumer);
    while (consumer_nack_symbols(&pair.first, &consumer, c, blocks, (1u << BLOCK) - 1) ==
           CONFCAST_OK) {
        blocks++;
    }
    paid =
        pair.first.sender->roster.config.repair_burst / (CFC_SYMBOL_HEADER_SIZE + BED_SYMBOL_SIZE);
    CU_ASSERT_EQUAL(blocks, (paid + BLOCK - 1) / BLOCK);
    pass(&pair, 10 * CFC_MS); /* gathered */
    while ((sent = bed_drain(&pair.helper)) > 0) {
        paid -= sent;
    }
    CU_ASSERT_EQUAL(paid, 0);
    close_pair(&pair);
}

/* The frames of all codings answer one entry: they are paid for together, or nobody is asked. */
static void
a_content_is_not_asked_for_with_half_of_its_codings_paid(void)
{
    struct cfc_digest id = bed_content_id(1);
    struct cfc_nack_entry entry = {.want = CFC_WANT_CONTENT, .key = cfc_digest_key(&id)};
    struct bed_consumer consumer;
    struct cfc_roster *roster;
    uint64_t left;
    struct pair pair;

    init_pair(&pair);
    pair.first.config.repair_rate_bytes = 4000000;
    start_pair(&pair);
    for (uint16_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(
            bed_put_made(&pair.first,
                         bed_make_coding(&pair.first, &id, (uint16_t)(i + 1), 512, BLOCK), false),
            CONFCAST_OK);
    }
    consumer_init(&pair.first, &consumer, 1);
    consumer_join(&pair.first, &consumer);
    roster = &pair.first.sender->roster;
    CU_ASSERT_EQUAL(consumer_nack(&pair.first, &consumer, &entry, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(pair.ask_count, 1);
    pass(&pair, 10 * CFC_MS);
    bed_drain(&pair.helper);
    CU_ASSERT_EQUAL_FATAL(bed_count(&pair.helper, CFC_FRAME_CONTENT, false), 2);
    left = pair.helper.sent[0].size + 1;
    pass(&pair, 10 * CFC_S);
    CU_ASSERT_TRUE(cfc_roster_pay_repair(
        roster, &roster->consumers[0], roster->config.repair_burst - left, pair.first.now.mono_ns));
    CU_ASSERT_EQUAL(consumer_nack(&pair.first, &consumer, &entry, 1), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(pair.ask_count, 1);
    close_pair(&pair);
}

static void
a_sender_without_a_limit_lacks_nothing(void)
{
    struct pair pair;

    init_pair(&pair);
    pair.helper.config.share_count = 2;
    start_pair(&pair);
    CU_ASSERT_FALSE(cfc_sender_lacks(pair.helper.sender, CFC_GRANT_MULTICAST));
    CU_ASSERT_FALSE(cfc_sender_lacks(pair.helper.sender, CFC_GRANT_REPAIR));
    close_pair(&pair);
}

static void
the_helper_fits_its_windows_to_the_fleet_of_the_first(void)
{
    struct cfc_share_fleet fleet;
    struct bed_consumer consumer;
    struct pair pair;

    open_pair(&pair);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(pair.first.sender, 0, 1, 100000), CONFCAST_OK);
    consumer_init(&pair.first, &consumer, 1);
    consumer_join(&pair.first, &consumer);
    fleet = cfc_sender_share_fleet(pair.first.sender);
    CU_ASSERT_EQUAL(fleet.size, 100000);
    CU_ASSERT_EQUAL(fleet.consumers, 1);
    CU_ASSERT_EQUAL(fleet.lacking, 0);
    CU_ASSERT_EQUAL(fleet.parity, 0);
    fleet.lacking = 12345; /* as LOSS of many would make it */
    fleet.parity = 2;
    cfc_sender_share_fit(pair.helper.sender, &fleet);
    CU_ASSERT_EQUAL(pair.helper.sender->repair.lacking, 12345);
    CU_ASSERT_EQUAL(pair.helper.sender->contents.parity.reported, 2);
    CU_ASSERT_EQUAL(pair.helper.sender->link.windows.nack_us,
                    pair.first.sender->link.windows.nack_us);
    CU_ASSERT_TRUE(pair.helper.sender->repair.is_asker_many);
    close_pair(&pair);
}

static void
a_scope_is_seen_as_far_as_the_helper_has_got(void)
{
    static struct cfc_scope_view view;
    struct bed_content *c;
    struct pair pair;

    open_pair(&pair);
    c = bed_put_content(&pair.first, 1, 10 * BED_SYMBOL_SIZE, BLOCK);
    bed_put_head(&pair.first, "acme/web", 1, 1, &c->id);
    bed_drain(&pair.helper);
    CU_ASSERT_EQUAL(
        cfc_sender_view_scope(pair.first.sender, bed_scope_id(&pair.first, "acme/web"), &view),
        CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(view.coding_count, 1);
    CU_ASSERT_EQUAL(view.codings[0].symbols_done, 0);
    cfc_sender_share_view(pair.helper.sender, &view);
    CU_ASSERT_EQUAL(view.codings[0].symbols, 10);
    CU_ASSERT_EQUAL(view.codings[0].symbols_done, 10);
    CU_ASSERT_EQUAL(view.codings[0].sent_groups, UINT32_C(1) << bed_group(&pair.first, "acme/web"));
    CU_ASSERT_FALSE(view.codings[0].is_pull_only);
    close_pair(&pair);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(heads_go_out_with_the_first_and_contents_with_the_helper),
    CFC_CASE(a_head_that_names_what_nobody_holds_is_refused_by_the_first),
    CFC_CASE(new_heads_are_told_of_until_they_went_out),
    CFC_CASE(what_is_pull_only_waits_until_it_is_not),
    CFC_CASE(a_nack_for_symbols_is_checked_by_the_first_and_answered_by_the_helper),
    CFC_CASE(a_consumer_that_came_again_is_answered_where_it_is_now),
    CFC_CASE(what_nobody_holds_and_what_does_not_exist_never_reaches_the_helper),
    CFC_CASE(a_helper_without_room_is_a_limit_that_the_consumer_outlasts),
    CFC_CASE(memory_is_released_only_when_the_helper_has_let_go_of_it),
    CFC_CASE(all_codings_of_a_content_go_and_come_back),
    CFC_CASE(nothing_is_multicast_beyond_what_was_granted),
    CFC_CASE(repair_goes_by_its_own_grants_and_unicast_needs_no_other),
    CFC_CASE(what_a_consumer_may_ask_for_is_the_first_ones_to_pay),
    CFC_CASE(a_content_is_not_asked_for_with_half_of_its_codings_paid),
    CFC_CASE(a_sender_without_a_limit_lacks_nothing),
    CFC_CASE(the_helper_fits_its_windows_to_the_fleet_of_the_first),
    CFC_CASE(a_scope_is_seen_as_far_as_the_helper_has_got),
};

int
main(void)
{
    return cfc_test_main("sender_share", cases, sizeof(cases) / sizeof(cases[0]));
}
