/* What a sender tells of itself: queues, the progress of a scope, and how long news takes. */
#include "protocol/session/sender_view.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

static uint64_t
bucket_of(uint64_t time_ns)
{
    struct cfc_latency latency = {0};

    cfc_latency_note(&latency, time_ns);
    CU_ASSERT_EQUAL(latency.count, 1);
    CU_ASSERT_EQUAL(latency.sum_ns, time_ns);
    for (uint32_t i = 0; i <= CFC_LATENCY_BOUND_COUNT; i++) {
        if (latency.counts[i] == 1) {
            return i;
        }
    }
    return UINT64_MAX;
}

static void
time_falls_into_the_bucket_whose_bound_it_does_not_pass(void)
{
    CU_ASSERT_EQUAL(bucket_of(0), 0);
    CU_ASSERT_EQUAL(bucket_of(50 * CFC_US), 0);
    CU_ASSERT_EQUAL(bucket_of(50 * CFC_US + 1), 1);
    CU_ASSERT_EQUAL(bucket_of(1 * CFC_MS), 4);
    CU_ASSERT_EQUAL(bucket_of(30 * CFC_S), 15);
    CU_ASSERT_EQUAL(bucket_of(30 * CFC_S + 1), 16);
    CU_ASSERT_EQUAL(bucket_of(UINT64_MAX), 16);
}

static void
scope_is_seen_to_get_on_from_its_head_to_its_last_symbol(void)
{
    struct cfc_scope_view view;
    struct bed_content *c;
    uint64_t scope_id;
    uint64_t done = 0;
    struct bed bed;

    bed_open_quiet(&bed);
    scope_id = bed_scope_id(&bed, "acme/web");
    CU_ASSERT_EQUAL(cfc_sender_view_scope(bed.sender, scope_id, &view), CONFCAST_ERR_NOT_FOUND);
    c = bed_put_content(&bed, 1, 100 * BED_SYMBOL_SIZE - 7, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 3, 9, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_sender_view_scope(bed.sender, scope_id, &view), CONFCAST_OK);
    CU_ASSERT_EQUAL(view.epoch, 3);
    CU_ASSERT_EQUAL(view.version, 9);
    CU_ASSERT_EQUAL(view.sendings, 0);
    CU_ASSERT_EQUAL(view.group, bed_group(&bed, "acme/web"));
    CU_ASSERT_FALSE(view.is_reported);
    CU_ASSERT_EQUAL_FATAL(view.coding_count, 1);
    CU_ASSERT_TRUE(cfc_digest_equal(&view.codings[0].content, &c->id));
    CU_ASSERT_STRING_EQUAL(view.codings[0].phase, "ANNOUNCE");
    CU_ASSERT_EQUAL(view.codings[0].symbols, 100);
    CU_ASSERT_EQUAL(view.codings[0].symbols_done, 0);
    for (uint32_t i = 0; bed_drain_max(&bed, 1) == 1; i++) {
        done += sent_type(&bed.sent[0]) == CFC_FRAME_SYMBOL;
        CU_ASSERT_EQUAL(cfc_sender_view_scope(bed.sender, scope_id, &view), CONFCAST_OK);
        CU_ASSERT_EQUAL(view.codings[0].symbols_done, done);
    }
    CU_ASSERT_EQUAL(done, 100);
    CU_ASSERT_STRING_EQUAL(view.codings[0].phase, "IDLE");
    CU_ASSERT_EQUAL(view.codings[0].groups, 1u << view.group);
    CU_ASSERT_EQUAL(view.codings[0].sent_groups, 1u << view.group);
    CU_ASSERT_EQUAL(view.sendings, 1);
    bed_close(&bed);
}

static void
interleaved_blocks_never_count_more_than_was_sent(void)
{
    struct cfc_scope_view view;
    struct bed_content *c;
    uint64_t scope_id;
    uint64_t done = 0;
    struct bed bed;

    bed_init(&bed);
    bed.config.status_period_ns = 1000 * CFC_S;
    bed.repair_leaves = 4;
    bed_start(&bed);
    bed_drain(&bed);
    scope_id = bed_scope_id(&bed, "acme/web");
    c = bed_put_content(&bed, 1, 100 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    while (bed_drain_max(&bed, 1) == 1) {
        done += sent_type(&bed.sent[0]) == CFC_FRAME_SYMBOL;
        CU_ASSERT_EQUAL(cfc_sender_view_scope(bed.sender, scope_id, &view), CONFCAST_OK);
        CU_ASSERT_TRUE(view.codings[0].symbols_done == done);
    }
    CU_ASSERT_EQUAL(view.codings[0].symbols_done, 100);
    bed_close(&bed);
}

static void
queues_tell_what_waits(void)
{
    struct cfc_sender_queues queues;
    struct bed_content *c[2];
    struct bed bed;

    bed_open_quiet(&bed);
    cfc_sender_view_queues(bed.sender, &queues);
    CU_ASSERT_EQUAL(queues.heads + queues.contents + queues.heads_due + queues.passes_news, 0);
    c[0] = bed_put_content(&bed, 1, 10 * BED_SYMBOL_SIZE, 16);
    c[1] = bed_put_content(&bed, 2, 10 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c[0]->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head_of(&bed, "acme/db", 1, 1, &c[1]->id, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 1, 77), CONFCAST_OK);
    cfc_sender_view_queues(bed.sender, &queues);
    CU_ASSERT_EQUAL(queues.heads, 2);
    CU_ASSERT_EQUAL(queues.contents, 2);
    CU_ASSERT_EQUAL(queues.heads_due, 2);
    CU_ASSERT_EQUAL(queues.passes_news, 1);
    CU_ASSERT_EQUAL(queues.passes_rest, 1);
    CU_ASSERT_EQUAL(queues.fleet_size, 77);
    CU_ASSERT_EQUAL(queues.pacing_rate_bytes, 0);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(cfc_sender_drop_content(bed.sender, &c[0]->id), CONFCAST_OK);
    cfc_sender_view_queues(bed.sender, &queues);
    CU_ASSERT_EQUAL(queues.heads_due, 0);
    CU_ASSERT_EQUAL(queues.passes_news + queues.passes_rest, 0);
    CU_ASSERT_EQUAL(queues.contents, 1);
    bed_close(&bed);
}

static int
report(struct bed *bed, struct bed_consumer *c, uint64_t seq, const struct cfc_report_entry *entry)
{
    struct cfc_writer w = cfc_writer_of(c->frame, sizeof(c->frame));
    struct cfc_report about = {.consumer_key = c->key,
                               .incarnation = c->incarnation,
                               .report_seq = seq,
                               .part_count = 1,
                               .entry_count = 1};
    int code = cfc_report_write(&w, &about, entry, c->id, c->id_size, &c->report_key);

    CU_ASSERT_EQUAL_FATAL(code, CONFCAST_OK);
    code = cfc_trailer_seal(&w, c->session, ++c->seq, &c->session_key, &c->address, &c->size);
    CU_ASSERT_EQUAL_FATAL(code, CONFCAST_OK);
    return consumer_give(bed, c);
}

static void
news_is_timed_to_its_head_its_last_frame_and_its_first_report_and_the_rest_is_not(void)
{
    const struct cfc_sender_stats *stats;
    struct cfc_report_entry entry = {
        .epoch = 1, .accepted = 1, .serving_version = 1, .state = CFC_APPLY_APPLIED};
    struct bed_consumer consumer;
    struct bed_content *c[2];
    struct bed bed;

    bed_open_quiet(&bed);
    consumer_init(&bed, &consumer, 1);
    consumer_join(&bed, &consumer);
    stats = cfc_sender_stats(bed.sender);
    c[0] = bed_put_content(&bed, 1, 10 * BED_SYMBOL_SIZE, 16);
    c[1] = bed_put_content(&bed, 2, 10 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head_of(&bed, "acme/web", 1, 1, &c[0]->id, bed.now.unix_ns),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head_of(&bed, "acme/db", 1, 1, &c[1]->id, 1), CONFCAST_OK);
    bed_pass(&bed, 2 * CFC_MS);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(stats->contents_sent, 2);
    CU_ASSERT_EQUAL(stats->head_latency.count, 1);
    CU_ASSERT_EQUAL(stats->head_latency.sum_ns, 2 * CFC_MS);
    CU_ASSERT_EQUAL(stats->content_latency.count, 1);
    CU_ASSERT_EQUAL(stats->content_latency.sum_ns, 2 * CFC_MS);
    bed_pass(&bed, 3 * CFC_MS);
    entry.scope_id = bed_scope_id(&bed, "acme/web");
    entry.serving_version = 0;
    CU_ASSERT_EQUAL(report(&bed, &consumer, 1, &entry), CONFCAST_OK);
    CU_ASSERT_EQUAL(stats->ack_latency.count, 0);
    entry.serving_version = 1;
    CU_ASSERT_EQUAL(report(&bed, &consumer, 2, &entry), CONFCAST_OK);
    CU_ASSERT_EQUAL(report(&bed, &consumer, 3, &entry), CONFCAST_OK);
    entry.scope_id = bed_scope_id(&bed, "acme/db");
    CU_ASSERT_EQUAL(report(&bed, &consumer, 4, &entry), CONFCAST_OK);
    CU_ASSERT_EQUAL(stats->ack_latency.count, 1);
    CU_ASSERT_EQUAL(stats->ack_latency.sum_ns, 5 * CFC_MS);
    bed_close(&bed);
}

static void
what_was_asked_for_already_counts_as_suppressed(void)
{
    const struct cfc_sender_stats *stats;
    struct bed_consumer consumer;
    struct bed_content *c;
    struct bed bed;

    bed_open_quiet(&bed);
    consumer_init(&bed, &consumer, 1);
    consumer_join(&bed, &consumer);
    stats = cfc_sender_stats(bed.sender);
    c = bed_put_content(&bed, 1, 10 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&bed, &consumer, c, 0, 3), CONFCAST_OK);
    CU_ASSERT_EQUAL(stats->nack_entries_suppressed, 1); /* its pass has yet to begin */
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&bed, &consumer, c, 0, 3), CONFCAST_OK);
    CU_ASSERT_EQUAL(stats->nack_entries_suppressed, 1);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&bed, &consumer, c, 0, 3), CONFCAST_OK);
    CU_ASSERT_EQUAL(stats->nack_entries_suppressed, 2);
    CU_ASSERT_EQUAL(stats->nack_entries, 3);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(stats->repairs_unicast, 2);
    CU_ASSERT_TRUE(stats->kind_bytes[CFC_TX_REPAIR_UNICAST] > 2 * BED_SYMBOL_SIZE);
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(time_falls_into_the_bucket_whose_bound_it_does_not_pass),
    CFC_CASE(scope_is_seen_to_get_on_from_its_head_to_its_last_symbol),
    CFC_CASE(interleaved_blocks_never_count_more_than_was_sent),
    CFC_CASE(queues_tell_what_waits),
    CFC_CASE(news_is_timed_to_its_head_its_last_frame_and_its_first_report_and_the_rest_is_not),
    CFC_CASE(what_was_asked_for_already_counts_as_suppressed),
};

CFC_TEST_MAIN("sender_view", cases)
