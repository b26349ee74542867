/* Views over apply states: that they say what a scan of all states would say, whatever happened. */
#include "controlplane/model/effective.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/prng.h"
#include "protocol/base/time.h"
#include "tests/unit/model_fixture.h"

enum {
    STALE_AFTER_S = 30
};

static struct cfc_scope *
scope_of(struct model *m, const char *path)
{
    struct cfc_scope *scope = cfc_catalog_find_known(&m->service->catalog, path);

    CU_ASSERT_PTR_NOT_NULL_FATAL(scope);
    return scope;
}

static struct cfc_scope_status
status(struct model *m, const char *path, uint64_t bound_ns)
{
    struct cfc_scope_status found;

    cfc_apply_status_of(scope_of(m, path), m->now, bound_ns, &found);
    return found;
}

static struct cfc_report_entry
entry_of(struct model *m, const char *path, uint8_t state)
{
    const struct cfc_scope *scope = scope_of(m, path);
    uint64_t version = scope->decision->version;

    return (struct cfc_report_entry){.scope_id = scope->id,
                                     .epoch = cfc_service_epoch(m->service),
                                     .accepted = version,
                                     .serving_version = state == CFC_APPLY_APPLIED ? version : 0,
                                     .serving_content =
                                         cfc_digest_key(&scope->decision->arms[0].content->id),
                                     .state = state};
}

static void
report(struct model *m, const char *consumer, uint64_t incarnation, uint64_t seq,
       const struct cfc_report_entry *entry)
{
    CU_ASSERT_EQUAL(
        cfc_service_report(m->service, consumer, incarnation, seq, entry, 1, m->now, NULL),
        CONFCAST_OK);
}

static void
say(struct model *m, const char *consumer, uint64_t seq, uint8_t state, int error)
{
    struct cfc_report_entry entry = entry_of(m, "acme", state);

    entry.reason = (uint16_t)-error;
    report(m, consumer, 1, seq, &entry);
}

static void
publish_at(struct model *m, const char *path, const char *text, uint64_t unix_ns)
{
    CU_ASSERT_EQUAL(publish(m, path, text), CONFCAST_OK);
    m->now = unix_ns;
    cfc_service_note_published(m->service, path, version(m, path), unix_ns);
}

static void
pass(struct model *m, uint64_t seconds)
{
    m->now += seconds * CFC_S;
    CU_ASSERT_EQUAL(cfc_service_tick(m->service, m->now), CONFCAST_OK);
}

static struct cfc_apply_view
view_of(struct model *m, const char *consumer)
{
    struct cfc_consumer_query query = {.consumer = consumer, .count_max = 10};
    struct cfc_apply_view *items;
    struct cfc_apply_view view = {.scope = ""};
    size_t count;
    uint64_t next;

    CU_ASSERT_EQUAL_FATAL(cfc_service_find_consumers(m->service, &query, &items, &count, &next),
                          CONFCAST_OK);
    if (count > 0) {
        view = items[0];
    }
    free(items);
    return view;
}

/* "id@scope id@scope ..." of an answer; static. */
static const char *
found(struct model *m, struct cfc_consumer_query query, uint64_t *next)
{
    static char text[4096];
    struct cfc_apply_view *items;
    size_t count;
    size_t size = 0;
    int error = cfc_service_find_consumers(m->service, &query, &items, &count, next);

    if (error != CONFCAST_OK) {
        return confcast_error_word(error);
    }
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s@%s", i > 0 ? " " : "",
                                 items[i].consumer, items[i].scope);
    }
    free(items);
    return text;
}

static void
rejections_are_counted_by_reason_the_most_frequent_first(void)
{
    struct model m;
    struct cfc_scope_status s;
    uint64_t sum = 0;
    int n = 0;

    model_open(&m);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    for (int error = 1; error <= 12; error++) { /* error n from n consumers */
        for (int i = 0; i < error; i++) {
            char id[16];

            snprintf(id, sizeof(id), "c%d", n++);
            say(&m, id, 1, CFC_APPLY_REJECTED, -error);
        }
    }
    say(&m, "odd", 1, CFC_APPLY_DEGRADED, -CFC_APPLY_REASON_COUNT);
    s = status(&m, "acme", 0);
    CU_ASSERT_EQUAL(s.counts.rejected, 79);
    CU_ASSERT_EQUAL(s.counts.degraded, 1);
    CU_ASSERT_EQUAL(s.reason_count, 8);
    for (size_t i = 0; i < 7; i++) {
        CU_ASSERT_EQUAL(s.reasons[i].error, -12 + (int)i);
        CU_ASSERT_EQUAL(s.reasons[i].count, 12 - i);
    }
    CU_ASSERT_EQUAL(s.reasons[7].error, 0);
    for (size_t i = 0; i < s.reason_count; i++) {
        sum += s.reasons[i].count;
    }
    CU_ASSERT_EQUAL(sum, 79);

    /* Another reason replaces the one before; a new version begins anew. */
    say(&m, "c0", 2, CFC_APPLY_REVERTED, -12);
    s = status(&m, "acme", 0);
    CU_ASSERT_EQUAL(s.reasons[0].count, 13);
    CU_ASSERT_EQUAL(s.counts.rejected, 79);
    CU_ASSERT_EQUAL(s.counts.reverted, 1);
    say(&m, "c0", 3, CFC_APPLY_APPLIED, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).reasons[0].count, 12);
    publish_at(&m, "acme", "{\"a\":2}", T0 + CFC_S);
    s = status(&m, "acme", 0);
    CU_ASSERT_EQUAL(s.reason_count, 0);
    CU_ASSERT_EQUAL(s.counts.rejected, 0);
    CU_ASSERT_EQUAL(s.behind, 79);
    model_close(&m);
}

static void
who_lags_does_so_since_the_first_version_that_it_lacks(void)
{
    struct model m;
    struct cfc_scope_status s;

    model_open(&m);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    say(&m, "good", 1, CFC_APPLY_APPLIED, 0);
    say(&m, "slow", 1, CFC_APPLY_APPLIED, 0);
    CU_ASSERT_EQUAL(view_of(&m, "slow").behind_unix_ns, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 1).beyond_bound, 0);
    for (int i = 1; i <= 3; i++) { /* each within the bound of the one before */
        publish_at(&m, "acme", i % 2 == 0 ? "{\"a\":1}" : "{\"a\":2}",
                   T0 + 10 * CFC_S * (unsigned)i);
        say(&m, "good", 1 + (uint64_t)i, CFC_APPLY_APPLIED, 0);
    }
    CU_ASSERT_EQUAL(view_of(&m, "slow").behind_unix_ns, T0 + 10 * CFC_S);
    CU_ASSERT_EQUAL(view_of(&m, "good").behind_unix_ns, 0);
    s = status(&m, "acme", 19 * CFC_S);
    CU_ASSERT_EQUAL(s.beyond_bound, 1);
    CU_ASSERT_EQUAL(s.behind, 1);
    CU_ASSERT_EQUAL(s.behind_unix_ns, T0 + 10 * CFC_S);
    CU_ASSERT_EQUAL(status(&m, "acme", 20 * CFC_S).beyond_bound, 0);
    say(&m, "slow", 2, CFC_APPLY_REJECTED, -20);
    CU_ASSERT_EQUAL(status(&m, "acme", 19 * CFC_S).beyond_bound, 1);
    say(&m, "slow", 3, CFC_APPLY_APPLIED, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 1).beyond_bound, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 1).behind_unix_ns, 0);
    model_close(&m);
}

static void
lags_of_many_versions_are_joined_where_they_are_closest(void)
{
    struct model m;
    char id[16];

    model_open(&m);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof(id), "c%02d", i);
        say(&m, id, 1, CFC_APPLY_APPLIED, 0);
    }
    for (int i = 1; i < 30; i++) { /* c00 stays with the first version, c01 with the second, ... */
        publish_at(&m, "acme", i % 2 == 0 ? "{\"a\":1}" : "{\"a\":2}",
                   T0 + (uint64_t)i * i * CFC_S);
        for (int j = i; j < 30; j++) {
            snprintf(id, sizeof(id), "c%02d", j);
            say(&m, id, 1 + (uint64_t)i, CFC_APPLY_APPLIED, 0);
        }
    }
    CU_ASSERT_EQUAL(status(&m, "acme", 0).behind, 29);
    CU_ASSERT_EQUAL(status(&m, "acme", 1).beyond_bound, 28); /* one lacks what is new just now */
    CU_ASSERT_EQUAL(view_of(&m, "c00").behind_unix_ns, T0 + CFC_S);
    for (int i = 0; i < 29; i++) {
        uint64_t since = T0 + (uint64_t)(i + 1) * (unsigned)(i + 1) * CFC_S;
        uint64_t shown;

        snprintf(id, sizeof(id), "c%02d", i);
        shown = view_of(&m, id).behind_unix_ns;
        CU_ASSERT_TRUE(shown <= since);
        CU_ASSERT_TRUE(since - shown <= 140 * CFC_S);
    }
    CU_ASSERT_EQUAL(view_of(&m, "c29").behind_unix_ns, 0);
    model_close(&m);
}

static void
a_second_consumer_of_one_id_is_flagged_but_a_late_frame_is_not(void)
{
    struct model m;
    struct cfc_report_entry entry;

    model_open(&m);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    entry = entry_of(&m, "acme", CFC_APPLY_APPLIED);
    report(&m, "c1", 7, 1, &entry);
    report(&m, "c1", 8, 1, &entry);
    m.now += 5 * CFC_S;
    report(&m, "c1", 7, 2, &entry);
    CU_ASSERT_FALSE(view_of(&m, "c1").is_cloned);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.cloned, 0);
    m.now += 1;
    report(&m, "c1", 7, 3, &entry);
    CU_ASSERT_TRUE(view_of(&m, "c1").is_cloned);
    CU_ASSERT_EQUAL(view_of(&m, "c1").incarnation, 8);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.cloned, 1);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.total, 1);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.applied, 1);
    m.now += 600 * CFC_S;
    report(&m, "c1", 8, 2, &entry);
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
    CU_ASSERT_TRUE(view_of(&m, "c1").is_cloned);
    pass(&m, 1);
    CU_ASSERT_FALSE(view_of(&m, "c1").is_cloned);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.cloned, 0);
    cfc_service_note_clone(m.service, "c1", 2, m.now);
    cfc_service_note_clone(m.service, "nobody", 6, m.now);
    CU_ASSERT_TRUE(view_of(&m, "c1").is_cloned);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.cloned, 1);
    model_close(&m);
}

static void
consumers_that_are_silent_for_long_are_forgotten_and_their_places_used_again(void)
{
    struct model m;
    struct cfc_service_config config = {.forget_after_ns = 100 * CFC_S};

    model_open(&m);
    cfc_service_close(m.service);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m.store, &config, &m.service), CONFCAST_OK);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    say(&m, "gone", 1, CFC_APPLY_APPLIED, 0);
    say(&m, "here", 1, CFC_APPLY_APPLIED, 0);
    pass(&m, 0);
    pass(&m, 60);
    say(&m, "here", 1, CFC_APPLY_APPLIED, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.total, 2);
    pass(&m, 40);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.total, 2);
    pass(&m, 1);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.total, 1);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.stale, 1);
    CU_ASSERT_STRING_EQUAL(view_of(&m, "gone").scope, "");
    CU_ASSERT_STRING_EQUAL(view_of(&m, "here").scope, "acme");
    say(&m, "new", 1, CFC_APPLY_APPLIED, 0);
    CU_ASSERT_EQUAL(m.service->apply.page_count, 1);
    pass(&m, 0);
    model_reopen(&m);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.total, 2);
    CU_ASSERT_STRING_EQUAL(view_of(&m, "gone").scope, "");
    CU_ASSERT_STRING_EQUAL(view_of(&m, "new").scope, "acme");
    model_close(&m);
}

static void
a_restart_finds_everything_as_it_was_and_gives_time_to_be_heard(void)
{
    struct model m;
    struct cfc_scope_status before;
    struct cfc_scope_status after;

    model_open(&m);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    say(&m, "old", 1, CFC_APPLY_APPLIED, 0);
    pass(&m, STALE_AFTER_S + 1);
    publish_at(&m, "acme", "{\"a\":2}", m.now);
    say(&m, "fine", 1, CFC_APPLY_APPLIED, 0);
    say(&m, "bad", 1, CFC_APPLY_REJECTED, -20);
    CU_ASSERT_EQUAL(cfc_service_note_hello(m.service, "fine", 4, 1, "zone=a", m.now), CONFCAST_OK);
    pass(&m, 1);
    before = status(&m, "acme", 1);
    model_reopen(&m);
    after = status(&m, "acme", 1);
    CU_ASSERT_TRUE(after.change > before.change);
    after.change = before.change;
    CU_ASSERT_EQUAL(memcmp(&before, &after, sizeof(before)), 0);
    CU_ASSERT_EQUAL(after.counts.stale, 1);
    CU_ASSERT_EQUAL(after.counts.applied, 1);
    CU_ASSERT_EQUAL(after.reasons[0].error, -20);
    CU_ASSERT_STRING_EQUAL(view_of(&m, "fine").labels, "zone=a");
    CU_ASSERT_TRUE(view_of(&m, "old").is_stale);

    pass(&m, 1000); /* the daemon was down for long: nobody could be heard */
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.stale, 1);
    pass(&m, STALE_AFTER_S - 1);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.stale, 1);
    say(&m, "fine", 1, CFC_APPLY_APPLIED, 0);
    pass(&m, 2);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.stale, 2);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.applied, 1);
    model_close(&m);
}

static void
who_holds_the_content_and_takes_deltas_is_counted_over_restarts(void)
{
    struct model m;

    model_open(&m);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    cfc_service_note_deltas(m.service, "nobody", 6, true); /* is not known: ignored */
    say(&m, "both", 1, CFC_APPLY_APPLIED, 0);
    say(&m, "late", 1, CFC_APPLY_RECEIVING, 0);
    say(&m, "old", 1, CFC_APPLY_APPLIED, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 0);
    cfc_service_note_deltas(m.service, "both", 4, true);
    cfc_service_note_deltas(m.service, "late", 4, true);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 1);
    say(&m, "late", 2, CFC_APPLY_PREPARED, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 2);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.alive, 3);
    pass(&m, 1);
    model_reopen(&m);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 2);
    cfc_service_note_deltas(m.service, "both", 4, false);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 1);
    publish_at(&m, "acme", "{\"a\":2}", m.now);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 0);
    pass(&m, 1);
    model_reopen(&m);
    say(&m, "both", 3, CFC_APPLY_APPLIED, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 0);
    say(&m, "late", 3, CFC_APPLY_APPLIED, 0);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 1);
    pass(&m, STALE_AFTER_S + 1);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.patchable, 0);
    model_close(&m);
}

static void
the_lag_is_that_of_consumers_that_were_there_when_the_version_went_out(void)
{
    struct model m;
    struct cfc_apply_totals totals;

    model_open(&m);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    m.now += CFC_S;
    say(&m, "c1", 1, CFC_APPLY_NONE, 0);
    say(&m, "c1", 2, CFC_APPLY_APPLIED, 0); /* came later than the version */
    cfc_service_apply_totals(m.service, &totals);
    CU_ASSERT_EQUAL(totals.lag.count, 0);
    publish_at(&m, "acme", "{\"a\":2}", T0 + 10 * CFC_S);
    m.now += 150 * CFC_MS;
    say(&m, "c1", 3, CFC_APPLY_PREPARED, 0);
    cfc_service_apply_totals(m.service, &totals);
    CU_ASSERT_EQUAL(totals.lag.count, 0);
    say(&m, "c1", 4, CFC_APPLY_APPLIED, 0);
    say(&m, "c1", 5, CFC_APPLY_APPLIED, 0);
    cfc_service_apply_totals(m.service, &totals);
    CU_ASSERT_EQUAL(totals.lag.count, 1);
    CU_ASSERT_EQUAL(totals.lag.sum_ns, 150 * CFC_MS);
    CU_ASSERT_EQUAL(totals.lag.buckets[CFC_LAG_200], 1);
    publish_at(&m, "acme", "{\"a\":3}", T0 + 20 * CFC_S);
    m.now += 200 * CFC_MS;
    say(&m, "c1", 6, CFC_APPLY_APPLIED, 0);
    m.now += 200 * CFC_MS + 1;
    cfc_service_apply_totals(m.service, &totals);
    CU_ASSERT_EQUAL(totals.lag.buckets[CFC_LAG_200], 2);
    publish_at(&m, "acme", "{\"a\":4}", T0 + 30 * CFC_S);
    pass(&m, STALE_AFTER_S + 1);
    pass(&m, STALE_AFTER_S + 1);
    say(&m, "c1", 7, CFC_APPLY_APPLIED, 0); /* it was away */
    cfc_service_apply_totals(m.service, &totals);
    CU_ASSERT_EQUAL(totals.lag.count, 2);
    model_close(&m);
}

static void
the_inventory_is_paged_and_filtered(void)
{
    struct model m;
    struct cfc_consumer_query query = {.count_max = 3};
    struct cfc_report_entry both[2];
    uint64_t next;

    model_open(&m);
    publish_at(&m, "acme", "{\"a\":1}", T0);
    publish_at(&m, "acme/x", "{\"a\":1}", T0);
    both[0] = entry_of(&m, "acme", CFC_APPLY_APPLIED);
    both[1] = entry_of(&m, "acme/x", CFC_APPLY_RECEIVING);
    for (int i = 0; i < 3; i++) {
        char id[] = {'c', (char)('0' + i), '\0'};

        CU_ASSERT_EQUAL(cfc_service_report(m.service, id, 1, 1, both, 2, m.now, NULL), CONFCAST_OK);
    }
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c0@acme c0@acme/x");
    query.after_place = next;
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c1@acme c1@acme/x");
    query.after = "c1";
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c2@acme c2@acme/x");
    CU_ASSERT_EQUAL(next, 0);
    query.after = "c9";
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "not_found");
    query = (struct cfc_consumer_query){.count_max = 1};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c0@acme"); /* one that fills it alone */
    query = (struct cfc_consumer_query){.count_max = 100, .scope = "acme/x"};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c0@acme/x c1@acme/x c2@acme/x");
    query.scope = "acme/y";
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "not_found");
    query = (struct cfc_consumer_query){.count_max = 100, .is_behind = true};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c0@acme/x c1@acme/x c2@acme/x");
    query = (struct cfc_consumer_query){
        .count_max = 100, .has_state = true, .state = CFC_APPLY_APPLIED};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c0@acme c1@acme c2@acme");
    CU_ASSERT_EQUAL(cfc_service_note_hello(m.service, "c1", 2, 1, "rack=7,zone=a", m.now),
                    CONFCAST_OK);
    query = (struct cfc_consumer_query){.count_max = 100, .label = "zone=a"};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c1@acme c1@acme/x");
    query.label = "rack=7";
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c1@acme c1@acme/x");
    query.label = "rack=";
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "");
    /* Known by its hello, it follows nothing yet. */
    CU_ASSERT_EQUAL(cfc_service_note_hello(m.service, "c9", 2, 1, "zone=a", m.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(status(&m, "acme", 0).counts.total, 3);
    CU_ASSERT_EQUAL(cfc_service_note_hello(m.service, "a b", 3, 1, "", m.now),
                    CONFCAST_ERR_INVALID);
    query = (struct cfc_consumer_query){.count_max = 100, .label = "zone=a"};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c1@acme c1@acme/x");
    CU_ASSERT_EQUAL(cfc_service_report(m.service, "c9", 1, 1, both, 1, m.now, NULL), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c1@acme c1@acme/x c9@acme");
    CU_ASSERT_EQUAL(cfc_service_note_hello(m.service, "c1", 2, 1, "", m.now), CONFCAST_OK);
    query.label = "rack=7";
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "");
    query = (struct cfc_consumer_query){.count_max = 100, .is_cloned = true};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "");
    cfc_service_note_clone(m.service, "c2", 2, m.now);
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "c2@acme c2@acme/x");
    query = (struct cfc_consumer_query){.count_max = 100, .is_stale = true};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "");
    pass(&m, 0);
    pass(&m, STALE_AFTER_S + 1);
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next),
                           "c0@acme c0@acme/x c1@acme c1@acme/x c2@acme c2@acme/x c9@acme");
    query = (struct cfc_consumer_query){
        .count_max = 100, .has_state = true, .state = CFC_APPLY_APPLIED};
    CU_ASSERT_STRING_EQUAL(found(&m, query, &next), "");
    model_close(&m);
}

/* ---- Against a scan ---------------------------------------------------------------------------
 */

enum {
    CONSUMERS = 70,
    STEPS = 6000
};

/* What the model of this test knows of a consumer. */
struct known {
    bool exists;
    bool serves; /* what its arm names, when it said so */
    struct cfc_report_entry entry;
    uint64_t incarnation;
    uint64_t seq;
    uint64_t seen;
    bool is_stale;
};

struct world {
    struct model m;
    struct known consumers[CONSUMERS];
    uint64_t published;
    struct cfc_prng prng;
};

static void
scan(const struct world *w, struct cfc_apply_counts *counts)
{
    for (int i = 0; i < CONSUMERS; i++) {
        const struct known *k = &w->consumers[i];
        const struct cfc_report_entry *e = &k->entry;

        counts->total += k->exists;
        counts->stale += k->exists && k->is_stale;
        if (!k->exists || k->is_stale) {
            continue;
        }
        counts->alive++;
        if (w->published == 0 || e->accepted != w->published) {
            continue;
        }
        counts->accepted++;
        counts->receiving += e->state == CFC_APPLY_RECEIVING;
        counts->applied += e->state == CFC_APPLY_APPLIED && k->serves;
        counts->prepared +=
            e->state == CFC_APPLY_PREPARED || (e->state == CFC_APPLY_APPLIED && k->serves);
        counts->durable += e->state == CFC_APPLY_APPLIED && k->serves && e->durable >= e->accepted;
        counts->rejected += e->state >= CFC_APPLY_REJECTED;
        counts->reverted += e->state == CFC_APPLY_REVERTED;
        counts->degraded += e->state == CFC_APPLY_DEGRADED;
    }
}

static bool
agrees(struct world *w)
{
    const struct cfc_scope *scope = scope_of(&w->m, "acme");
    struct cfc_scope_status s = status(&w->m, "acme", 1);
    struct cfc_apply_counts expected = {0};
    struct cfc_apply_view *items;
    size_t count;
    uint64_t arms = 0;
    uint64_t lacking = scope->apply.level;
    uint64_t reasons = 0;

    scan(w, &expected);
    for (size_t i = 0; scope->apply.detail != NULL && i < scope->apply.detail->lack_count; i++) {
        lacking += scope->apply.detail->lacks[i].count;
    }
    for (size_t i = 0; i < s.reason_count; i++) {
        reasons += s.reasons[i].count;
    }
    for (size_t i = 0; i < CFC_ARM_COUNT_MAX; i++) {
        arms += s.counts.arms[i].alive;
    }
    CU_ASSERT_EQUAL_FATAL(cfc_service_stragglers(w->m.service, "acme", CONSUMERS, &items, &count),
                          CONFCAST_OK);
    free(items);
    return s.counts.published == w->published && s.counts.total == expected.total &&
           s.counts.stale == expected.stale && s.counts.alive == expected.alive &&
           s.counts.accepted == expected.accepted && s.counts.receiving == expected.receiving &&
           s.counts.prepared == expected.prepared && s.counts.applied == expected.applied &&
           s.counts.durable == expected.durable && s.counts.rejected == expected.rejected &&
           s.counts.reverted == expected.reverted && s.counts.degraded == expected.degraded &&
           arms == expected.accepted && reasons == expected.rejected && lacking == expected.total &&
           count == expected.total - expected.applied;
}

static uint64_t
below(struct world *w, uint64_t n)
{
    return cfc_prng_below(&w->prng, n);
}

static void
random_report(struct world *w)
{
    static const uint8_t states[] = {CFC_APPLY_APPLIED,  CFC_APPLY_APPLIED,  CFC_APPLY_APPLIED,
                                     CFC_APPLY_PREPARED, CFC_APPLY_REJECTED, CFC_APPLY_RECEIVING,
                                     CFC_APPLY_REVERTED, CFC_APPLY_DEGRADED, CFC_APPLY_NONE};
    int i = (int)below(w, CONSUMERS);
    struct known *k = &w->consumers[i];
    struct cfc_report_entry e = entry_of(&w->m, "acme", states[below(w, sizeof(states))]);
    uint64_t incarnation = k->incarnation + (below(w, 20) == 0) - (below(w, 20) == 0 && k->exists);
    uint64_t seq = k->seq + below(w, 3);
    const struct cfc_decision *decision = scope_of(&w->m, "acme")->decision;
    struct cfc_report_result result;
    bool serves;
    bool is_new;
    char id[16];

    e.reason = e.state >= CFC_APPLY_REJECTED ? (uint16_t)(20 + below(w, 3)) : 0;
    if (below(w, 4) == 0 && w->published != 0) { /* an older version */
        e.accepted = e.serving_version = w->published - below(w, 3);
    }
    e.durable = below(w, 2) == 0 ? e.accepted : 0;
    if (below(w, 8) == 0) {
        e.serving_content++;
    }
    serves = e.serving_version == e.accepted &&
             (decision->version != e.accepted ||
              e.serving_content == cfc_digest_key(&decision->arms[0].content->id));
    is_new = !k->exists || incarnation > k->incarnation ||
             (incarnation == k->incarnation && seq > k->seq);
    snprintf(id, sizeof(id), "c%02d", i);
    CU_ASSERT_EQUAL(
        cfc_service_report(w->m.service, id, incarnation, seq, &e, 1, w->m.now, &result),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(result.taken, is_new);
    if (is_new || incarnation == k->incarnation) {
        k->seen = w->m.now;
        k->is_stale = false;
    }
    if (is_new) {
        *k = (struct known){.exists = true,
                            .serves = serves,
                            .entry = e,
                            .incarnation = incarnation,
                            .seq = seq,
                            .seen = w->m.now};
        w->published = e.accepted > w->published ? e.accepted : w->published;
    }
}

static void
random_time(struct world *w)
{
    /* Whole seconds, and staleness at half ones: the wheel's width decides nothing. */
    w->m.now += below(w, 8) * CFC_S;
    CU_ASSERT_EQUAL(cfc_service_tick(w->m.service, w->m.now + CFC_S / 2), CONFCAST_OK);
    for (int i = 0; i < CONSUMERS; i++) {
        struct known *k = &w->consumers[i];

        k->is_stale = k->is_stale || (k->exists && w->m.now >= k->seen + STALE_AFTER_S * CFC_S);
    }
}

static void
random_restart(struct world *w)
{
    CU_ASSERT_EQUAL(cfc_service_tick(w->m.service, w->m.now), CONFCAST_OK);
    model_reopen(&w->m);
    CU_ASSERT_TRUE(agrees(w));
    CU_ASSERT_EQUAL(cfc_service_tick(w->m.service, w->m.now), CONFCAST_OK);
    for (int i = 0; i < CONSUMERS; i++) {
        w->consumers[i].seen = w->m.now; /* time to be heard again */
    }
}

static void
counts_are_what_a_scan_would_find_after_any_history(void)
{
    struct world w = {.published = 0};
    int step;

    model_open(&w.m);
    w.prng = (struct cfc_prng){.state = 20260801};
    CU_ASSERT_EQUAL(publish(&w.m, "acme", "{\"a\":0}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_tick(w.m.service, w.m.now), CONFCAST_OK);
    for (step = 0; step < STEPS; step++) {
        uint64_t dice = below(&w, 200);

        if (dice < 170) {
            random_report(&w);
        } else if (dice < 185) {
            random_time(&w);
        } else if (dice < 194) {
            char text[32];

            snprintf(text, sizeof(text), "{\"a\":%d}", step);
            CU_ASSERT_EQUAL(publish(&w.m, "acme", text), CONFCAST_OK);
        } else if (dice < 198) {
            w.published = version(&w.m, "acme");
            cfc_service_note_published(w.m.service, "acme", w.published, w.m.now);
        } else {
            random_restart(&w);
        }
        if (!agrees(&w)) {
            break;
        }
    }
    CU_ASSERT_EQUAL(step, STEPS);
    model_close(&w.m);
}

static void
expect_changed(struct model *m, uint64_t change, const char *paths)
{
    char text[256] = "";
    char *scopes;
    size_t count;
    const char *p;

    CU_ASSERT_EQUAL_FATAL(cfc_service_changed_scopes(m->service, change, &scopes, &count),
                          CONFCAST_OK);
    p = scopes;
    for (size_t i = 0; i < count; i++, p += strlen(p) + 1) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "", p);
    }
    CU_ASSERT_STRING_EQUAL(text, paths);
    free(scopes);
}

static void
scopes_that_changed_are_found_the_latest_first(void)
{
    struct model m;
    uint64_t change;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "beta", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "gamma", "{}"), CONFCAST_OK);
    expect_changed(&m, 0, "gamma beta acme");
    change = cfc_service_change(m.service);
    expect_changed(&m, change, "");
    say(&m, "c1", 1, CFC_APPLY_PREPARED, 0);
    expect_changed(&m, change, "acme");
    CU_ASSERT_EQUAL(publish(&m, "beta", "{\"b\":1}"), CONFCAST_OK);
    expect_changed(&m, change, "beta acme");
    say(&m, "c1", 2, CFC_APPLY_APPLIED, 0);
    expect_changed(&m, change, "acme beta");
    expect_changed(&m, 0, "acme beta gamma");
    change = cfc_service_change(m.service);
    say(&m, "c1", 2, CFC_APPLY_APPLIED, 0); /* once more, the same */
    expect_changed(&m, change, "");
    CU_ASSERT_EQUAL(publish(&m, "gamma", "{\"c\":1}"), CONFCAST_OK);
    expect_changed(&m, change, "gamma");
    model_close(&m);
}

static void
a_memo_lasts_as_long_as_its_consumer(void)
{
    struct cfc_consumer_memo memo = {.key = 7, .secret = {1, 2, 3}};
    struct cfc_consumer_memo found;
    struct cfc_report_entry entry;
    struct cfc_report_source source = {
        .id = "c1", .id_size = 2, .memo = &memo, .incarnation = 1, .report_seq = 1};
    struct model m;

    model_open(&m);
    publish_at(&m, "acme", "{}", m.now);
    pass(&m, 1);
    entry = entry_of(&m, "acme", CFC_APPLY_APPLIED);
    source.unix_ns = m.now;
    CU_ASSERT_FALSE(cfc_service_recall(m.service, "c1", 2, &found));
    CU_ASSERT_EQUAL(cfc_service_take_report(m.service, &source, &entry, 1, NULL), CONFCAST_OK);
    CU_ASSERT_TRUE_FATAL(cfc_service_recall(m.service, "c1", 2, &found));
    CU_ASSERT_EQUAL(memcmp(&found, &memo, sizeof(memo)), 0);
    CU_ASSERT_FALSE(cfc_service_recall(m.service, "c", 1, &found));
    source.memo = NULL;
    source.report_seq = 2;
    CU_ASSERT_EQUAL(cfc_service_take_report(m.service, &source, &entry, 1, NULL), CONFCAST_OK);
    CU_ASSERT_TRUE(cfc_service_recall(m.service, "c1", 2, &found));
    pass(&m, 31);
    pass(&m, 8 * 86400);
    CU_ASSERT_FALSE(cfc_service_recall(m.service, "c1", 2, &found));
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(rejections_are_counted_by_reason_the_most_frequent_first),
    CFC_CASE(who_lags_does_so_since_the_first_version_that_it_lacks),
    CFC_CASE(lags_of_many_versions_are_joined_where_they_are_closest),
    CFC_CASE(a_second_consumer_of_one_id_is_flagged_but_a_late_frame_is_not),
    CFC_CASE(consumers_that_are_silent_for_long_are_forgotten_and_their_places_used_again),
    CFC_CASE(who_holds_the_content_and_takes_deltas_is_counted_over_restarts),
    CFC_CASE(a_restart_finds_everything_as_it_was_and_gives_time_to_be_heard),
    CFC_CASE(the_lag_is_that_of_consumers_that_were_there_when_the_version_went_out),
    CFC_CASE(the_inventory_is_paged_and_filtered),
    CFC_CASE(scopes_that_changed_are_found_the_latest_first),
    CFC_CASE(a_memo_lasts_as_long_as_its_consumer),
    CFC_CASE(counts_are_what_a_scan_would_find_after_any_history),
};

CFC_TEST_MAIN("model_status", cases)
