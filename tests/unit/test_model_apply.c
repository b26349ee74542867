/* Apply states: what reports count for, and what they do not. */
#include "controlplane/model/effective.h"
#include "tests/unit/model_fixture.h"

static uint64_t
content_key(struct model *m, const char *scope, uint32_t arm)
{
    struct cfc_decision *decision;
    uint64_t key;

    CU_ASSERT_EQUAL_FATAL(cfc_service_decision(m->service, scope, &decision), CONFCAST_OK);
    key = cfc_digest_key(&decision->arms[arm].content->id);
    cfc_decision_unref(decision);
    return key;
}

static uint64_t
id_of(const char *scope)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    uint64_t id = cfc_scope_id(sha, scope, strlen(scope));

    cfc_sha256_free(sha);
    return id;
}

/* A report that everything is fine at the version in force. */
static struct cfc_report_entry
applied(struct model *m, const char *scope)
{
    uint64_t v = version(m, scope);

    return (struct cfc_report_entry){.scope_id = id_of(scope),
                                     .epoch = cfc_service_epoch(m->service),
                                     .accepted = v,
                                     .serving_version = v,
                                     .durable = v,
                                     .serving_content = content_key(m, scope, 0),
                                     .state = CFC_APPLY_APPLIED};
}

static struct cfc_report_result
report(struct model *m, const char *consumer, uint64_t incarnation, uint64_t seq,
       const struct cfc_report_entry *entry)
{
    struct cfc_report_result result;

    CU_ASSERT_EQUAL(cfc_service_report(m->service, consumer, incarnation, seq, entry, 1,
                                       m->now += 1000, &result),
                    CONFCAST_OK);
    return result;
}

static struct cfc_apply_counts
status(struct model *m, const char *scope)
{
    struct cfc_apply_counts counts;

    CU_ASSERT_EQUAL(cfc_service_status(m->service, scope, &counts), CONFCAST_OK);
    return counts;
}

static struct cfc_apply_view
view_of(struct model *m, const char *consumer)
{
    struct cfc_apply_view *items;
    struct cfc_apply_view view = {.scope = ""};
    size_t count;

    CU_ASSERT_EQUAL_FATAL(cfc_service_consumers(m->service, consumer, NULL, 10, &items, &count),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 1);
    if (count == 1) {
        view = items[0];
    }
    free(items);
    return view;
}

static void
a_report_counts_once_and_only_for_what_is_published(void)
{
    struct model m;
    struct cfc_report_entry entry;
    struct cfc_apply_counts counts;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    counts = status(&m, "acme");
    CU_ASSERT_EQUAL(counts.version, 3);
    CU_ASSERT_EQUAL(counts.published, 0);
    cfc_service_note_published(m.service, "acme", 3, 77);
    entry = applied(&m, "acme");
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).taken, 1);
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).repeated, 1);
    CU_ASSERT_EQUAL(report(&m, "c2", 1, 1, &entry).taken, 1);
    counts = status(&m, "acme");
    CU_ASSERT_EQUAL(counts.published, 3);
    CU_ASSERT_EQUAL(counts.published_unix_ns, 77);
    CU_ASSERT_EQUAL(counts.total, 2);
    CU_ASSERT_EQUAL(counts.accepted, 2);
    CU_ASSERT_EQUAL(counts.prepared, 2);
    CU_ASSERT_EQUAL(counts.applied, 2);
    CU_ASSERT_EQUAL(counts.durable, 2);
    CU_ASSERT_EQUAL(counts.rejected, 0);

    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 2);
    cfc_service_note_published(m.service, "acme", 5, 78);
    counts = status(&m, "acme");
    CU_ASSERT_EQUAL(counts.total, 2);
    CU_ASSERT_EQUAL(counts.applied, 0);
    CU_ASSERT_EQUAL(counts.accepted, 0);
    cfc_service_note_published(m.service, "acme", 4, 79);
    CU_ASSERT_EQUAL(status(&m, "acme").published, 5);
    model_close(&m);
}

static void
each_state_counts_where_it_belongs(void)
{
    static const struct {
        uint8_t state;
        bool is_prepared;
        bool is_applied;
        bool is_rejected;
    } rows[] = {
        {CFC_APPLY_NONE, false, false, false},    {CFC_APPLY_RECEIVING, false, false, false},
        {CFC_APPLY_PREPARED, true, false, false}, {CFC_APPLY_APPLIED, true, true, false},
        {CFC_APPLY_REJECTED, false, false, true}, {CFC_APPLY_REVERTED, false, false, true},
        {CFC_APPLY_DEGRADED, false, false, true},
    };
    struct model m;
    struct cfc_report_entry entry;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    cfc_service_note_published(m.service, "acme", 3, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cfc_apply_counts counts;

        entry = applied(&m, "acme");
        entry.state = rows[i].state;
        CU_ASSERT_EQUAL(report(&m, "c1", 1, i + 1, &entry).taken, 1);
        counts = status(&m, "acme");
        CU_ASSERT_EQUAL(counts.total, 1);
        CU_ASSERT_EQUAL(counts.accepted, 1);
        CU_ASSERT_EQUAL(counts.prepared, rows[i].is_prepared);
        CU_ASSERT_EQUAL(counts.applied, rows[i].is_applied);
        CU_ASSERT_EQUAL(counts.durable, rows[i].is_applied);
        CU_ASSERT_EQUAL(counts.rejected, rows[i].is_rejected);
    }
    entry.state = CFC_APPLY_DEGRADED + 1;
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 100, &entry).refused, 1);
    model_close(&m);
}

static void
applied_counts_only_for_the_content_of_the_arm(void)
{
    struct model m;
    struct cfc_report_entry entry;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme", "canary:25%"), CONFCAST_OK);
    entry = applied(&m, "acme");
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).taken, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 1);
    entry.arm = 1; /* the stable arm, but the candidate's content */
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 2, &entry).taken, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 0);
    entry.serving_content = content_key(&m, "acme", 1);
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 3, &entry).taken, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 1);
    entry.arm = 2;
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 4, &entry).taken, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 0);
    entry.arm = 1;
    entry.serving_version = 3;
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 5, &entry).taken, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 0);
    CU_ASSERT_EQUAL(status(&m, "acme").accepted, 1);
    model_close(&m);
}

static void
only_a_higher_incarnation_and_sequence_overwrite(void)
{
    struct model m;
    struct cfc_report_entry entry;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    entry = applied(&m, "acme");
    CU_ASSERT_EQUAL(report(&m, "c1", 5, 10, &entry).taken, 1);
    entry.state = CFC_APPLY_REJECTED;
    CU_ASSERT_EQUAL(report(&m, "c1", 5, 10, &entry).repeated, 1);
    CU_ASSERT_EQUAL(report(&m, "c1", 5, 9, &entry).repeated, 1);
    CU_ASSERT_EQUAL(report(&m, "c1", 4, 99, &entry).repeated, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 1);
    CU_ASSERT_EQUAL(report(&m, "c1", 5, 11, &entry).taken, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 0);
    entry.state = CFC_APPLY_APPLIED;
    CU_ASSERT_EQUAL(report(&m, "c1", 6, 1, &entry).taken, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 1);
    model_close(&m);
}

static void
highest_applied_only_rises_while_serving_says_the_truth(void)
{
    struct model m;
    struct cfc_report_entry entry;
    struct cfc_report_entry old;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    old = applied(&m, "acme");
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &old).taken, 1);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    entry = applied(&m, "acme");
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 2, &entry).taken, 1);
    CU_ASSERT_EQUAL(view_of(&m, "c1").highest_applied, 5);
    CU_ASSERT_EQUAL(report(&m, "c1", 2, 1, &old).taken, 1);
    CU_ASSERT_EQUAL(view_of(&m, "c1").highest_applied, 5);
    CU_ASSERT_EQUAL(view_of(&m, "c1").entry.serving_version, 3);
    entry.state = CFC_APPLY_REVERTED;
    model_close(&m);
}

static void
claims_of_what_was_never_decided_are_refused(void)
{
    struct model m;
    struct cfc_report_entry entry;
    struct cfc_report_entry good;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    good = applied(&m, "acme");
    entry = good;
    entry.accepted = 4;
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).refused, 1);
    entry = good;
    entry.epoch = cfc_service_epoch(m.service) + 1;
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).refused, 1);
    entry = good;
    entry.serving_version = 4;
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).refused, 1);
    entry = good;
    entry.durable = 4;
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).refused, 1);
    entry = good;
    entry.scope_id++;
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).unknown, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").total, 0);
    CU_ASSERT_EQUAL(status(&m, "acme").published, 0);
    CU_ASSERT_EQUAL(cfc_service_report(m.service, "", 1, 1, &good, 1, 1, NULL),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_service_report(m.service, "a b", 1, 1, &good, 1, 1, NULL),
                    CONFCAST_ERR_INVALID);
    model_close(&m);
}

static void
a_report_of_a_decided_version_proves_that_it_was_published(void)
{
    struct model m;
    struct cfc_report_entry entry;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    entry = applied(&m, "acme");
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).taken, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").published, 3);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 1);
    model_close(&m);
}

static void
silent_consumers_become_stale_and_come_back_when_heard(void)
{
    struct model m;
    struct cfc_service_config config = {.stale_after_ns = 1000000};
    struct cfc_report_entry entry;

    model_open(&m);
    cfc_service_close(m.service);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m.store, &config, &m.service), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    entry = applied(&m, "acme");
    report(&m, "c1", 1, 1, &entry);
    m.now += 500000;
    report(&m, "c2", 1, 1, &entry);
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(status(&m, "acme").stale, 0);
    m.now += 600000;
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(status(&m, "acme").stale, 1);
    CU_ASSERT_TRUE(view_of(&m, "c1").is_stale);
    CU_ASSERT_FALSE(view_of(&m, "c2").is_stale);
    /* What a silent consumer does now is not known: it counts as nothing else. */
    CU_ASSERT_EQUAL(status(&m, "acme").total, 2);
    CU_ASSERT_EQUAL(status(&m, "acme").alive, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").accepted, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").prepared, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").durable, 1);
    CU_ASSERT_EQUAL(report(&m, "c1", 1, 1, &entry).repeated, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").stale, 0);
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, T0), CONFCAST_OK);
    CU_ASSERT_EQUAL(status(&m, "acme").stale, 0);
    m.now += 5000000;
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(status(&m, "acme").stale, 2);
    /* A replay of an older life is no sign of life. */
    CU_ASSERT_EQUAL(report(&m, "c1", 0, 9, &entry).repeated, 1);
    CU_ASSERT_EQUAL(status(&m, "acme").stale, 2);
    model_close(&m);
}

static void
states_are_written_at_ticks_and_read_again(void)
{
    struct model m;
    struct cfc_report_entry entry;
    struct cfc_apply_view *items;
    size_t count;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/x", "{\"b\":1}"), CONFCAST_OK);
    for (int i = 0; i < 250; i++) {
        char id[16];

        snprintf(id, sizeof(id), "c%03d", i);
        entry = applied(&m, i % 2 == 0 ? "acme" : "acme/x");
        report(&m, id, 1, 7, &entry);
    }
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
    model_reopen(&m);
    CU_ASSERT_EQUAL(status(&m, "acme").total, 125);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 125);
    cfc_service_note_published(m.service, "acme", version(&m, "acme"), 1);
    CU_ASSERT_EQUAL(status(&m, "acme").applied, 125);
    entry = applied(&m, "acme");
    CU_ASSERT_EQUAL(report(&m, "c000", 1, 7, &entry).repeated, 1);
    CU_ASSERT_EQUAL(report(&m, "c000", 1, 8, &entry).taken, 1);
    CU_ASSERT_EQUAL(view_of(&m, "c000").highest_applied, 3);

    CU_ASSERT_EQUAL(cfc_service_consumers(m.service, NULL, NULL, 3, &items, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 3);
    CU_ASSERT_STRING_EQUAL(items[0].consumer, "c000");
    CU_ASSERT_STRING_EQUAL(items[2].consumer, "c002");
    CU_ASSERT_STRING_EQUAL(items[1].scope, "acme/x");
    free(items);
    CU_ASSERT_EQUAL(cfc_service_consumers(m.service, NULL, "c247", 100, &items, &count),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 2);
    free(items);
    CU_ASSERT_EQUAL(cfc_service_consumers(m.service, "nobody", NULL, 100, &items, &count),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 0);
    free(items);
    model_close(&m);
}

static void
states_that_could_not_be_written_stay_due(void)
{
    struct model m;
    struct cfc_report_entry entry;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    entry = applied(&m, "acme");
    report(&m, "c1", 1, 1, &entry);
    *cfc_store_fault_plan(m.store) =
        (struct cfc_store_fault){.fail_at = 1, .error = CONFCAST_ERR_NO_SPACE};
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_ERR_NO_SPACE);
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
    entry = applied(&m, "acme");
    entry.state = CFC_APPLY_REJECTED;
    report(&m, "c1", 1, 2, &entry);
    *cfc_store_fault_plan(m.store) =
        (struct cfc_store_fault){.fail_at = 1, .error = CONFCAST_ERR_IO};
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(status(&m, "acme").rejected, 1);
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
    CU_ASSERT_EQUAL(status(&m, "acme").rejected, 1);
    model_reopen(&m);
    CU_ASSERT_EQUAL(view_of(&m, "c1").report_seq, 2);
    CU_ASSERT_EQUAL(view_of(&m, "c1").entry.state, CFC_APPLY_REJECTED);
    model_close(&m);
}

static void
stragglers_are_those_who_do_not_serve_what_is_published(void)
{
    struct model m;
    struct cfc_report_entry entry;
    struct cfc_apply_view *items;
    size_t count;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    entry = applied(&m, "acme");
    report(&m, "c1", 1, 1, &entry);
    report(&m, "c2", 1, 1, &entry);
    CU_ASSERT_EQUAL(cfc_service_stragglers(m.service, "acme", 10, &items, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 0);
    free(items);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    cfc_service_note_published(m.service, "acme", version(&m, "acme"), 1);
    entry = applied(&m, "acme");
    report(&m, "c2", 1, 2, &entry);
    CU_ASSERT_EQUAL(cfc_service_stragglers(m.service, "acme", 10, &items, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_STRING_EQUAL(items[0].consumer, "c1");
    CU_ASSERT_EQUAL(items[0].entry.serving_version, 3);
    free(items);
    CU_ASSERT_EQUAL(cfc_service_stragglers(m.service, "acme", 0, &items, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 0);
    free(items);
    CU_ASSERT_EQUAL(cfc_service_stragglers(m.service, "nope", 0, &items, &count),
                    CONFCAST_ERR_NOT_FOUND);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_report_counts_once_and_only_for_what_is_published),
    CFC_CASE(each_state_counts_where_it_belongs),
    CFC_CASE(applied_counts_only_for_the_content_of_the_arm),
    CFC_CASE(only_a_higher_incarnation_and_sequence_overwrite),
    CFC_CASE(highest_applied_only_rises_while_serving_says_the_truth),
    CFC_CASE(claims_of_what_was_never_decided_are_refused),
    CFC_CASE(a_report_of_a_decided_version_proves_that_it_was_published),
    CFC_CASE(silent_consumers_become_stale_and_come_back_when_heard),
    CFC_CASE(states_are_written_at_ticks_and_read_again),
    CFC_CASE(states_that_could_not_be_written_stay_due),
    CFC_CASE(stragglers_are_those_who_do_not_serve_what_is_published),
};

CFC_TEST_MAIN("model_apply", cases)
