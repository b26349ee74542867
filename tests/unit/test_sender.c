/* What the sender multicasts, in which order and when. */
#include "protocol/session/roster.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/sender_fixture.h"

static void
check_types(const struct bed *bed, const uint8_t *types, uint32_t count)
{
    CU_ASSERT_EQUAL_FATAL(bed->sent_count, count);
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(sent_type(&bed->sent[i]), types[i]);
    }
}

/* -- Heads */

static void
new_head_goes_to_its_group_and_then_the_content(void)
{
    static const uint8_t types[] = {CFC_FRAME_HEAD,   CFC_FRAME_CONTENT, CFC_FRAME_PAGE,
                                    CFC_FRAME_SYMBOL, CFC_FRAME_SYMBOL,  CFC_FRAME_SYMBOL,
                                    CFC_FRAME_SYMBOL, CFC_FRAME_CONTENT};
    struct bed_content *c;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    check_types(&bed, types, sizeof(types));
    for (uint32_t i = 0; i < bed.sent_count; i++) {
        CU_ASSERT_TRUE(bed.sent[i].tx.is_multicast);
        CU_ASSERT_EQUAL(bed.sent[i].tx.group, bed_group(&bed, "acme/web"));
    }
    bed_close(&bed);
}

static void
head_is_repeated_after_0_3_10_50_and_250_ms_and_then_rests(void)
{
    static const uint64_t at_us[] = {0, 300, 10000, 50000, 250000};
    struct bed_content *c;
    uint64_t start_ns;
    uint32_t heads = 0;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    start_ns = bed.now.mono_ns;
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_run(&bed, 10 * CFC_S);
    for (uint32_t i = 0; i < bed.sent_count; i++) {
        if (sent_type(&bed.sent[i]) == CFC_FRAME_HEAD) {
            CU_ASSERT_TRUE_FATAL(heads < 5);
            CU_ASSERT_EQUAL(bed.sent[i].at_ns - start_ns, at_us[heads] * CFC_US);
            heads++;
        }
    }
    CU_ASSERT_EQUAL(heads, 5);
    bed_close(&bed);
}

static void
newer_head_replaces_the_repeats_of_the_older(void)
{
    struct bed_content *c;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_run(&bed, 20 * CFC_MS);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 3);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 2, &c->id), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(bed.sent_count, 5);
    for (uint32_t i = 0; i < bed.sent_count; i++) {
        CU_ASSERT_EQUAL(sent_type(&bed.sent[i]), CFC_FRAME_HEAD);
        CU_ASSERT_EQUAL(cfc_get_u64(bed.sent[i].bytes + 40), 2); /* its version */
    }
    bed_close(&bed);
}

static void
same_head_again_is_not_sent_again(void)
{
    struct bed_content *c;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_run(&bed, CFC_S), 0);
    bed_close(&bed);
}

static void
rollback_to_a_content_that_was_sent_costs_the_head_alone(void)
{
    struct bed_content *c[2];
    struct bed bed;

    bed_open_quiet(&bed);
    c[0] = bed_put_content(&bed, 1, 1000, 16);
    c[1] = bed_put_content(&bed, 2, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c[0]->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 2, &c[1]->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(bed.sent_count, 8);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 3, &c[0]->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    bed_close(&bed);
}

static void
lower_version_and_lower_epoch_are_refused(void)
{
    struct bed_content *c;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 4, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 3, 9, &c->id), CONFCAST_ERR_FENCED);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 4, 7, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 4, 6, &c->id), CONFCAST_ERR_ROLLBACK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    /* After a restore the versions may be lower, under a higher epoch; which raises the fence. */
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 5, 6, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/other", 4, 8, &c->id), CONFCAST_ERR_FENCED);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 4, 10), CONFCAST_ERR_FENCED);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 5, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, CFC_SENDER_SHARDS_MAX, 5, 10),
                    CONFCAST_ERR_RANGE);
    bed_close(&bed);
}

static void
head_that_was_fenced_off_does_not_come_back_for_repair(void)
{
    struct bed_content *c[2];
    struct bed_consumer consumer;
    struct cfc_nack_entry entry = {.want = CFC_WANT_HEAD, .mask = 1};
    struct bed bed;

    bed_open_quiet(&bed);
    consumer_init(&bed, &consumer, 1);
    consumer_join(&bed, &consumer);
    c[0] = bed_put_content(&bed, 1, 1000, 16);
    c[1] = bed_put_content(&bed, 2, 1000, 16);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(bed.sender, 0, 2, 10), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 2, 7, &c[0]->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 8, &c[1]->id), CONFCAST_ERR_FENCED);
    bed_run(&bed, CFC_S);
    entry.key = bed_scope_id(&bed, "acme/web");
    CU_ASSERT_EQUAL(consumer_nack(&bed, &consumer, &entry, 1), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain(&bed), 1);
    CU_ASSERT_EQUAL(cfc_get_u64(bed.sent[0].bytes + 40), 7);
    bed_close(&bed);
}

static void
other_decision_under_the_same_version_is_equivocation_and_the_first_stays(void)
{
    struct bed_content *c[2];
    struct bed bed;

    bed_open_quiet(&bed);
    c[0] = bed_put_content(&bed, 1, 1000, 16);
    c[1] = bed_put_content(&bed, 2, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c[0]->id), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c[1]->id), CONFCAST_ERR_EQUIVOCATION);
    CU_ASSERT_EQUAL(bed_run(&bed, CFC_S), 0);
    /* A new owner that says the same again is none. */
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 2, 1, &c[0]->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    bed_close(&bed);
}

static int
put_with_fallback(struct bed *bed, const struct cfc_digest *content,
                  const struct cfc_digest *fallback, bool is_inlined)
{
    static const uint8_t coded[8];
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_head head = {
        .arm_count = 1,
        .epoch = 1,
        .version = 1,
        .scope = "acme/web",
        .scope_size = 8,
        .arms = {{.selector = CFC_SELECT_ALL, .content = *content, .fallback = *fallback}},
        .inlined = {.is_present = is_inlined,
                    .body_size = sizeof(coded),
                    .coded = coded,
                    .coded_size = sizeof(coded)},
    };
    size_t size;

    CU_ASSERT_EQUAL_FATAL(
        cfc_head_encode(&head, &bed->signer, bed->sha, frame, sizeof(frame), &size), CONFCAST_OK);
    return cfc_sender_put_head(bed->sender, frame, size, &bed->now);
}

static void
head_needs_its_contents_and_fallbacks_held_or_inlined(void)
{
    struct cfc_digest absent = bed_content_id(9);
    struct cfc_digest none = {{0}};
    struct bed_content *c;
    struct bed bed;

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(put_with_fallback(&bed, &absent, &none, false), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(put_with_fallback(&bed, &c->id, &absent, false), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(bed_drain(&bed), 0);
    CU_ASSERT_EQUAL(put_with_fallback(&bed, &absent, &c->id, true), CONFCAST_OK);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 1);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_SYMBOL, true), 4); /* the fallback */
    bed_close(&bed);
}

static void
first_sendings_go_before_repeats(void)
{
    struct bed_content *c;
    struct bed bed;
    char scope[32];

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_drain(&bed);
    bed_pass(&bed, 10 * CFC_MS);
    snprintf(scope, sizeof(scope), "acme/new");
    CU_ASSERT_EQUAL(bed_put_head(&bed, scope, 1, 1, &c->id), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain_max(&bed, 2), 2);
    CU_ASSERT_EQUAL(sent_key(&bed.sent[0]), bed_scope_id(&bed, "acme/new"));
    CU_ASSERT_EQUAL(sent_key(&bed.sent[1]), bed_scope_id(&bed, "acme/web"));
    bed_close(&bed);
}

static void
dropped_head_is_neither_repeated_nor_counted(void)
{
    struct bed_content *c;
    struct bed bed;
    char scope[32];

    bed_open_quiet(&bed);
    c = bed_put_content(&bed, 1, 1000, 16);
    for (uint32_t i = 0; i < bed.config.scopes_max; i++) {
        snprintf(scope, sizeof(scope), "acme/s%u", i);
        CU_ASSERT_EQUAL(bed_put_head(&bed, scope, 1, 1, &c->id), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_ERR_LIMIT);
    for (uint32_t i = 0; i < bed.config.scopes_max; i++) {
        snprintf(scope, sizeof(scope), "acme/s%u", i);
        CU_ASSERT_EQUAL(cfc_sender_drop_head(bed.sender, bed_scope_id(&bed, scope)), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(cfc_sender_drop_head(bed.sender, bed_scope_id(&bed, scope)),
                    CONFCAST_ERR_NOT_FOUND);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 0);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(bed_count(&bed, CFC_FRAME_HEAD, true), 5);
    bed_close(&bed);
}

/* -- Pace and order */

static void
multicast_never_exceeds_its_cap_in_any_span(void)
{
    struct bed_content *c;
    struct bed bed;

    bed_init(&bed);
    bed.config.rate_bytes = 100000;
    bed.config.burst_bytes = 3000;
    bed_start(&bed);
    c = bed_put_content(&bed, 1, 1000 * BED_SYMBOL_SIZE, 64);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_run(&bed, 5 * CFC_S);
    CU_ASSERT_TRUE(bed_count(&bed, CFC_FRAME_SYMBOL, true) == 1000);
    for (uint32_t first = 0; first < bed.sent_count; first++) {
        uint64_t bytes = 0;

        for (uint32_t last = first; last < bed.sent_count; last++) {
            uint64_t span_ns = bed.sent[last].at_ns - bed.sent[first].at_ns;

            bytes += bed.sent[last].size;
            CU_ASSERT_TRUE_FATAL(bytes <= 3000 + span_ns * 100000 / CFC_S + 1);
        }
    }
    bed_close(&bed);
}

static void
cap_is_used_to_the_full_while_there_is_something_to_send(void)
{
    struct bed_content *c;
    struct bed bed;
    uint64_t bytes;

    bed_init(&bed);
    bed.config.rate_bytes = 100000;
    bed.config.burst_bytes = 3000;
    bed_start(&bed);
    c = bed_put_content(&bed, 1, 4000 * BED_SYMBOL_SIZE, 64);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    bed_run(&bed, 5 * CFC_S);
    bytes = cfc_sender_stats(bed.sender)->bytes_out;
    CU_ASSERT_TRUE(bytes >= 500000 && bytes <= 503000);
    bed_close(&bed);
}

static void
heads_and_fresh_go_before_contents_and_repair_alternates_with_them(void)
{
    struct bed_consumer consumer;
    struct bed_content *c[2];
    struct bed bed;
    uint32_t unicast = 0;

    bed_open_quiet(&bed);
    consumer_init(&bed, &consumer, 1);
    consumer_join(&bed, &consumer);
    c[0] = bed_put_content(&bed, 1, 64 * BED_SYMBOL_SIZE, 64);
    c[1] = bed_put_content(&bed, 2, 64 * BED_SYMBOL_SIZE, 64);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c[0]->id), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&bed, &consumer, c[0], 0, UINT64_MAX), CONFCAST_OK);
    bed_pass(&bed, bed.config.gather_ns);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 2, &c[1]->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 0, 1, 5, 10, 0, true), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(bed_drain_max(&bed, 2 + 40), 42);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[0]), CFC_FRAME_HEAD);
    CU_ASSERT_EQUAL(sent_type(&bed.sent[1]), CFC_FRAME_FRESH);
    for (uint32_t i = 2; i < 42; i += 2) {
        unicast += !bed.sent[i].tx.is_multicast + !bed.sent[i + 1].tx.is_multicast;
        CU_ASSERT_NOT_EQUAL(bed.sent[i].tx.is_multicast, bed.sent[i + 1].tx.is_multicast);
    }
    CU_ASSERT_EQUAL(unicast, 20);
    bed_close(&bed);
}

static void
idle_sender_sleeps_until_its_next_status(void)
{
    struct bed bed;

    bed_open(&bed);
    CU_ASSERT_EQUAL(cfc_sender_deadline(bed.sender), 0);
    bed_drain(&bed);
    CU_ASSERT_EQUAL(cfc_sender_deadline(bed.sender), bed.now.mono_ns + bed.config.status_period_ns);
    bed_close(&bed);
}

/* -- The sender as a whole */

/* Everything at once, on a sender whose memory lies elsewhere each time. */
static uint64_t
trace_of(uint64_t seed, uint32_t clutter)
{
    void *holes[64] = {NULL};
    struct bed_consumer consumers[8];
    struct bed_content *c[2];
    uint64_t trace = 14695981039346656037u;
    struct bed bed;

    for (uint32_t i = 0; i < clutter; i++) {
        holes[i] = malloc(1000 + i * 77);
    }
    bed_init(&bed);
    bed.config.seed = seed;
    bed.config.rate_bytes = 500000;
    bed.config.burst_bytes = 3000;
    bed_start(&bed);
    for (uint32_t i = 0; i < 8; i++) {
        consumer_init(&bed, &consumers[i], i + 1);
        consumer_join(&bed, &consumers[i]);
    }
    c[0] = bed_put_content(&bed, 1, 100 * BED_SYMBOL_SIZE, 16);
    c[1] = bed_put_content(&bed, 2, 30 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c[0]->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/db", 1, 1, &c[1]->id), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, 0, 1, 5, 90, 0, true), CONFCAST_OK);
    for (uint32_t step = 0; step < 60; step++) {
        struct bed_consumer *asker = &consumers[step % 8];

        consumer_nack_symbols(&bed, asker, c[step % 2], step % 3 % 2, 1 + step % 200);
        consumer_report(&bed, asker, step + 1, step);
        bed_run(&bed, 7 * CFC_MS);
        for (uint32_t i = 0; i < bed.sent_count; i++) {
            const struct sent *sent = &bed.sent[i];

            for (size_t k = 0; k < sent->size; k++) {
                trace = (trace ^ sent->bytes[k]) * 1099511628211u;
            }
            trace = (trace ^ sent->at_ns ^ sent->tx.group ^ sent->tx.to.ip[15]) * 1099511628211u;
        }
    }
    bed_close(&bed);
    for (uint32_t i = 0; i < clutter; i++) {
        free(holes[i]);
    }
    return trace;
}

static void
same_calls_give_the_same_frames_wherever_memory_lies(void)
{
    uint64_t trace = trace_of(7, 0);

    CU_ASSERT_EQUAL(trace_of(7, 64), trace);
    CU_ASSERT_EQUAL(trace_of(7, 13), trace);
}

static void
config_outside_its_ranges_is_refused(void)
{
    struct cfc_sender *sender;
    struct bed bed;

    bed_init(&bed);
#define REFUSED(member, value)                                                                     \
    do {                                                                                           \
        struct cfc_sender_config config = bed.config;                                              \
        config.rate_bytes = 1000;                                                                  \
        config.member = (value);                                                                   \
        CU_ASSERT_EQUAL(cfc_sender_new(&config, &sender), CONFCAST_ERR_INVALID);                   \
    } while (0)
    REFUSED(group_count, 0);
    REFUSED(group_count, CFC_GROUP_COUNT_MAX + 1);
    REFUSED(frame_size_max, CFC_FRAME_SIZE_MIN - 1);
    REFUSED(frame_size_max, CFC_FRAME_SIZE_MAX + 1);
    REFUSED(burst_bytes, CFC_FRAME_SIZE_DEFAULT - 1);
    REFUSED(consumers_max, 0);
    REFUSED(scopes_max, 0);
    REFUSED(contents_max, 0);
    REFUSED(unicast_askers_max, 0);
    REFUSED(unicast_askers_max, 9);
    REFUSED(status_period_ns, 0);
    REFUSED(alloc.alloc, NULL);
#undef REFUSED
    CU_ASSERT_EQUAL(bed.allocations, 0);
    bed_start(&bed);
    bed_close(&bed);
}

static void
every_allocation_that_fails_is_reported_and_nothing_leaks(void)
{
    size_t needed;
    struct bed bed;

    bed_open(&bed);
    needed = bed.allocations;
    bed_close(&bed);
    CU_ASSERT_TRUE(needed > 10);
    for (size_t n = 1; n <= needed; n++) {
        struct cfc_sender *sender = NULL;

        bed_init(&bed);
        bed.fail_at = n;
        CU_ASSERT_EQUAL(cfc_sender_new(&bed.config, &sender), CONFCAST_ERR_NO_MEMORY);
        CU_ASSERT_EQUAL(bed.live_allocations, 0);
        bed_start(&bed);
        bed_close(&bed);
    }
    cfc_sender_free(NULL);
}

static void
put_without_memory_changes_nothing_and_succeeds_later(void)
{
    struct bed_content *c[2];
    struct bed bed;

    bed_open_quiet(&bed);
    c[0] = bed_make_content(&bed, 1, 300, 16);
    c[1] = bed_put_content(&bed, 2, 300, 16);
    bed.fail_at = bed.allocations + 1;
    CU_ASSERT_EQUAL(bed_put_made(&bed, c[0], false), CONFCAST_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(bed_put_made(&bed, c[0], false), CONFCAST_OK);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c[1]->id), CONFCAST_OK);
    bed_run(&bed, CFC_S);
    bed.fail_at = bed.allocations + 1;
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 2, &c[0]->id), CONFCAST_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(bed_run(&bed, CFC_S), 0);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 2, &c[0]->id), CONFCAST_OK);
    CU_ASSERT_TRUE(bed_run(&bed, CFC_S) > 0);
    for (uint32_t n = 1; n <= 3; n++) {
        bed.fail_at = bed.allocations + n;
        CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, n, 1, 5, 10, 0, true), CONFCAST_ERR_NO_MEMORY);
        CU_ASSERT_EQUAL(bed_drain(&bed), 0);
        CU_ASSERT_EQUAL(bed_put_fresh_page(&bed, n, 1, 5, 10, 0, true), CONFCAST_OK);
        CU_ASSERT_EQUAL(bed_drain(&bed), 1);
    }
    bed_close(&bed);
}

static void
frames_in_and_out_allocate_nothing(void)
{
    struct bed_consumer consumer;
    struct bed_content *c;
    struct cfc_upcall up;
    size_t allocations;
    struct bed bed;

    bed_open(&bed);
    c = bed_put_content(&bed, 1, 100 * BED_SYMBOL_SIZE, 16);
    CU_ASSERT_EQUAL(bed_put_head(&bed, "acme/web", 1, 1, &c->id), CONFCAST_OK);
    allocations = bed.allocations;
    consumer_init(&bed, &consumer, 1);
    consumer_join(&bed, &consumer);
    CU_ASSERT_EQUAL(bed.allocations, allocations + 1); /* the session, until its first frame */
    allocations = bed.allocations;
    bed_run(&bed, CFC_S);
    CU_ASSERT_EQUAL(consumer_nack_symbols(&bed, &consumer, c, 1, 0xff), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_report(&bed, &consumer, 1, 10), CONFCAST_OK);
    CU_ASSERT_TRUE(bed_run(&bed, CFC_S) > 8);
    while (cfc_sender_poll_upcall(bed.sender, &up) == CONFCAST_OK) {
    }
    CU_ASSERT_EQUAL(bed.allocations, allocations);
    bed_close(&bed);
}

static void
ids_of_every_size_are_told_and_told_apart(void)
{
    static const size_t sizes[] = {1, CFC_ROSTER_ID_NEAR - 1, CFC_ROSTER_ID_NEAR,
                                   CFC_ROSTER_ID_NEAR + 1, CFC_CONSUMER_ID_SIZE_MAX};
    char id[CFC_CONSUMER_ID_SIZE_MAX + 1] = "";
    struct bed_consumer consumer;
    struct cfc_upcall up;
    struct bed bed;

    bed_open(&bed);
    memset(id, 'n', CFC_CONSUMER_ID_SIZE_MAX);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t told = 0;

        id[sizes[i]] = '\0';
        consumer_init_named(&bed, &consumer, i + 1, id);
        id[sizes[i]] = 'n';
        consumer_join(&bed, &consumer);
        consumer_join(&bed, &consumer); /* the id that is held is compared with */
        CU_ASSERT_EQUAL(consumer_report(&bed, &consumer, 1, 10), CONFCAST_OK);
        while (cfc_sender_poll_upcall(bed.sender, &up) == CONFCAST_OK) {
            told += up.type == CFC_UPCALL_REPORT;
            CU_ASSERT_EQUAL_FATAL(up.id_size, sizes[i]);
            CU_ASSERT_EQUAL(memcmp(up.id, id, sizes[i]), 0);
        }
        CU_ASSERT_EQUAL(told, 1);
    }
    bed_close(&bed);
}

static void
a_consumer_that_finds_no_memory_comes_again(void)
{
    char id[CFC_CONSUMER_ID_SIZE_MAX + 1] = "";
    struct bed_consumer consumer;
    struct bed bed;

    bed_open(&bed);
    memset(id, 'n', CFC_CONSUMER_ID_SIZE_MAX);
    consumer_init_named(&bed, &consumer, 1, id);
    consumer_hello(&bed, &consumer);
    consumer_take_welcome(&bed, &consumer);
    for (size_t n = 1; n <= 2; n++) { /* the session, the id */
        bed.fail_at = bed.allocations + n;
        CU_ASSERT_EQUAL(consumer_hello(&bed, &consumer), CONFCAST_ERR_NO_MEMORY);
        CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &consumer), 0);
        CU_ASSERT_EQUAL(cfc_sender_stats(bed.sender)->consumers, 0);
    }
    CU_ASSERT_EQUAL(consumer_hello(&bed, &consumer), CONFCAST_OK);
    CU_ASSERT_EQUAL(consumer_take_welcome(&bed, &consumer), 1);
    CU_ASSERT_EQUAL(consumer_report(&bed, &consumer, 1, 10), CONFCAST_OK);
    bed_close(&bed);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(ids_of_every_size_are_told_and_told_apart),
    CFC_CASE(a_consumer_that_finds_no_memory_comes_again),
    CFC_CASE(new_head_goes_to_its_group_and_then_the_content),
    CFC_CASE(head_is_repeated_after_0_3_10_50_and_250_ms_and_then_rests),
    CFC_CASE(newer_head_replaces_the_repeats_of_the_older),
    CFC_CASE(same_head_again_is_not_sent_again),
    CFC_CASE(rollback_to_a_content_that_was_sent_costs_the_head_alone),
    CFC_CASE(lower_version_and_lower_epoch_are_refused),
    CFC_CASE(head_that_was_fenced_off_does_not_come_back_for_repair),
    CFC_CASE(other_decision_under_the_same_version_is_equivocation_and_the_first_stays),
    CFC_CASE(head_needs_its_contents_and_fallbacks_held_or_inlined),
    CFC_CASE(first_sendings_go_before_repeats),
    CFC_CASE(dropped_head_is_neither_repeated_nor_counted),
    CFC_CASE(multicast_never_exceeds_its_cap_in_any_span),
    CFC_CASE(cap_is_used_to_the_full_while_there_is_something_to_send),
    CFC_CASE(heads_and_fresh_go_before_contents_and_repair_alternates_with_them),
    CFC_CASE(idle_sender_sleeps_until_its_next_status),
    CFC_CASE(same_calls_give_the_same_frames_wherever_memory_lies),
    CFC_CASE(config_outside_its_ranges_is_refused),
    CFC_CASE(every_allocation_that_fails_is_reported_and_nothing_leaks),
    CFC_CASE(put_without_memory_changes_nothing_and_succeeds_later),
    CFC_CASE(frames_in_and_out_allocate_nothing),
};

CFC_TEST_MAIN("sender", cases)
