/* Several puts, deletes and release actions in one step. */
#include "tests/unit/model_fixture.h"

static struct cfc_batch_result result;

static struct cfc_batch_item
putting(const char *scope, const char *text)
{
    return (struct cfc_batch_item){
        .kind = CFC_BATCH_PUT, .put = {.scope = scope, .text = text, .text_size = strlen(text)}};
}

static struct cfc_batch_item
putting_at(const char *scope, const char *text, uint64_t expected)
{
    struct cfc_batch_item item = putting(scope, text);

    item.put.has_expected_revision = true;
    item.put.expected_revision = expected;
    return item;
}

static struct cfc_batch_item
deleting(const char *scope)
{
    return (struct cfc_batch_item){.kind = CFC_BATCH_DELETE, .put = {.scope = scope}};
}

static struct cfc_batch_item
promoting(const char *scope, const char *strategy)
{
    return (struct cfc_batch_item){
        .kind = CFC_BATCH_RELEASE,
        .order = {.scope = scope, .action = CFC_ACTION_PROMOTE, .strategy = strategy}};
}

static int
run(struct model *m, const struct cfc_batch_item *items, size_t count)
{
    struct cfc_change change = by_ann(m);

    cfc_batch_result_free(&result);
    return cfc_service_batch(m->service, &change, items, count, &result, &m->refusal);
}

static void
one_step_gives_everything_one_version(void)
{
    struct cfc_batch_item items[] = {putting("acme", "{\"a\":1}"),
                                     putting("acme/shop", "{\"b\":2}"), promoting("acme", NULL),
                                     promoting("acme/shop", NULL)};
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(follow(&m, "acme/web"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(run(&m, items, 4), CONFCAST_OK);
    CU_ASSERT_EQUAL(result.count, 4);
    CU_ASSERT_EQUAL(result.affected_count, 3);
    CU_ASSERT_EQUAL(result.items[1].revision, 1);
    CU_ASSERT_EQUAL(result.items[3].release.active_revision, 1);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(version(&m, "acme"), result.seq);
        CU_ASSERT_EQUAL(version(&m, "acme/shop"), result.seq);
        CU_ASSERT_EQUAL(version(&m, "acme/web"), result.seq);
        CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"a\":1,\"b\":2}");
        CU_ASSERT_STRING_EQUAL(effective(&m, "acme/web"), "{\"a\":1}");
        model_reopen(&m);
    }
    model_close(&m);
}

static void
the_order_of_items_does_not_change_what_consumers_get(void)
{
    /* The layer below is promoted before the one above has anything. */
    struct cfc_batch_item items[] = {putting("acme/shop", "{\"b\":2,\"a\":3}"),
                                     promoting("acme/shop", NULL), putting("acme", "{\"a\":1}"),
                                     promoting("acme", NULL)};
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL_FATAL(run(&m, items, 4), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"a\":3,\"b\":2}");
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme@2 normal");
    model_close(&m);
}

static void
a_refused_item_is_named_and_nothing_is_written(void)
{
    struct cfc_batch_item stale[] = {putting("new", "{}"), putting_at("acme", "{\"a\":2}", 7)};
    struct cfc_batch_item unknown[] = {putting("new", "{}"), promoting("new", NULL),
                                       promoting("nobody", NULL)};
    struct cfc_batch_item broken[] = {putting("new", "{}"), putting("acme", "{")};
    struct cfc_batch_item named[] = {putting("new", "{}"), putting("Acme", "{}")};
    struct cfc_batch_item gone[] = {deleting("acme"), deleting("new")};
    struct cfc_release_view view;
    struct model m;
    uint64_t seq;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    seq = cfc_service_seq(m.service);
    CU_ASSERT_EQUAL(run(&m, stale, 2), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_TRUE(m.refusal.has_item && m.refusal.item_idx == 1);
    CU_ASSERT_TRUE(m.refusal.has_revision && m.refusal.current_revision == 1);
    CU_ASSERT_EQUAL(run(&m, unknown, 3), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_TRUE(m.refusal.has_item && m.refusal.item_idx == 2);
    CU_ASSERT_EQUAL(run(&m, broken, 2), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_TRUE(m.refusal.has_item && m.refusal.item_idx == 1);
    CU_ASSERT_EQUAL(run(&m, named, 2), CONFCAST_ERR_SCOPE_NAME);
    CU_ASSERT_TRUE(m.refusal.has_item && m.refusal.item_idx == 1);
    CU_ASSERT_EQUAL(run(&m, gone, 2), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_TRUE(m.refusal.has_item && m.refusal.item_idx == 1);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    CU_ASSERT_EQUAL(cfc_service_get_release(m.service, "new", &view), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
    model_close(&m);
}

static void
a_scope_is_changed_once_in_each_way(void)
{
    struct cfc_batch_item puts[] = {putting("acme", "{}"), putting("acme", "{}")};
    struct cfc_batch_item moves[] = {promoting("acme", NULL), promoting("acme", NULL)};
    struct cfc_batch_item both[] = {deleting("acme"), promoting("acme", NULL)};
    struct cfc_batch_item back[] = {promoting("acme", NULL), deleting("acme")};
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(run(&m, puts, 2), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(run(&m, moves, 2), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(run(&m, both, 2), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(run(&m, back, 2), CONFCAST_ERR_INVALID);
    CU_ASSERT_TRUE(m.refusal.has_item && m.refusal.item_idx == 1);
    CU_ASSERT_EQUAL(run(&m, puts, 0), CONFCAST_ERR_INVALID);
    CU_ASSERT_FALSE(m.refusal.has_item);
    model_close(&m);
}

static void
two_rollouts_for_the_same_consumers_cannot_begin_together(void)
{
    struct cfc_batch_item items[] = {
        putting("acme", "{\"a\":2}"), putting("acme/shop", "{\"b\":2}"),
        promoting("acme", "canary:5%"), promoting("acme/shop", "canary:5%")};
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"b\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(run(&m, items, 4), CONFCAST_ERR_STATE);
    CU_ASSERT_STRING_NOT_EQUAL(m.refusal.holder, "");
    items[3] = promoting("acme/shop", NULL);
    CU_ASSERT_EQUAL(run(&m, items, 4), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"a\":1,\"b\":2}");
    CU_ASSERT_STRING_EQUAL(candidate(&m, "acme/shop"), "{\"a\":2,\"b\":2}");
    model_close(&m);
}

static void
the_same_batch_again_is_answered_and_not_done(void)
{
    struct cfc_batch_item items[] = {putting("acme", "{\"a\":1}"), promoting("acme", NULL)};
    struct cfc_batch_item others[] = {putting("acme", "{\"a\":2}"), promoting("acme", NULL)};
    struct model m;
    uint64_t seq;
    uint64_t now;

    model_open(&m);
    m.key = "k1";
    CU_ASSERT_EQUAL_FATAL(run(&m, items, 2), CONFCAST_OK);
    seq = result.seq;
    model_reopen(&m);
    now = cfc_service_seq(m.service);
    CU_ASSERT_EQUAL_FATAL(run(&m, items, 2), CONFCAST_OK);
    CU_ASSERT_TRUE(result.is_replay);
    CU_ASSERT_EQUAL(result.seq, seq);
    CU_ASSERT_EQUAL(result.count, 2);
    CU_ASSERT_EQUAL(result.affected_count, 1);
    CU_ASSERT_EQUAL(result.items[0].revision, 1);
    CU_ASSERT_EQUAL(result.items[1].release.active_revision, 1);
    CU_ASSERT_EQUAL(run(&m, others, 2), CONFCAST_ERR_REPLAY);
    CU_ASSERT_EQUAL(run(&m, items, 1), CONFCAST_ERR_REPLAY);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), now);
    model_close(&m);
}

static void
what_does_not_fit_one_commit_is_a_limit(void)
{
    static struct cfc_batch_item items[CFC_BATCH_ITEM_COUNT_MAX + 1];
    static char names[CFC_BATCH_ITEM_COUNT_MAX + 1][512];
    struct model m;

    model_open(&m);
    for (size_t i = 0; i <= CFC_BATCH_ITEM_COUNT_MAX; i++) {
        /* Long paths, in eight segments: their records alone fill the commit. */
        size_t size = (size_t)snprintf(names[i], sizeof(names[i]), "s%zu", i);

        for (int k = 0; k < 7; k++) {
            size += (size_t)snprintf(names[i] + size, sizeof(names[i]) - size, "/%060d", k);
        }
        items[i] = putting(names[i], "{}");
    }
    CU_ASSERT_EQUAL(run(&m, items, CFC_BATCH_ITEM_COUNT_MAX + 1), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(run(&m, items, CFC_BATCH_ITEM_COUNT_MAX), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), 1);
    CU_ASSERT_EQUAL(run(&m, items, 11), CONFCAST_OK);
    CU_ASSERT_EQUAL(version(&m, names[0]), 0);
    model_close(&m);
}

static void
a_hundred_and_twenty_eight_new_scopes_are_put_and_promoted_in_one_step(void)
{
    enum {
        SCOPES = CFC_BATCH_ITEM_COUNT_MAX / 2
    };
    static struct cfc_batch_item items[CFC_BATCH_ITEM_COUNT_MAX];
    static char names[SCOPES][32];
    static char texts[SCOPES][1536];
    char long_message[CFC_MESSAGE_SIZE_MAX + 1];
    struct cfc_change change;
    uint64_t before;
    struct model m;

    model_open(&m);
    for (size_t i = 0; i < SCOPES; i++) {
        snprintf(names[i], sizeof(names[i]), "acme/service-%zu/prod", i);
        snprintf(texts[i], sizeof(texts[i]), "{\"n\":%zu,\"text\":\"%01400d\"}", i, 0);
        items[2 * i] = putting(names[i], texts[i]);
        items[2 * i + 1] = promoting(names[i], NULL);
    }
    before = cfc_service_seq(m.service);
    m.key = "one";
    change = by_ann(&m);
    memset(long_message, 'm', sizeof(long_message) - 1);
    long_message[sizeof(long_message) - 1] = '\0';
    change.message = long_message;
    cfc_batch_result_free(&result);
    CU_ASSERT_EQUAL_FATAL(
        cfc_service_batch(m.service, &change, items, CFC_BATCH_ITEM_COUNT_MAX, &result, &m.refusal),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), before + 1);
    CU_ASSERT_EQUAL(result.affected_count, SCOPES);
    CU_ASSERT_EQUAL(result.count, CFC_BATCH_ITEM_COUNT_MAX);
    cfc_batch_result_free(&result);
    model_reopen(&m);
    for (size_t i = 0; i < SCOPES; i++) {
        CU_ASSERT_EQUAL(version(&m, names[i]), before + 1);
        CU_ASSERT_STRING_EQUAL(effective(&m, names[i]), texts[i]);
    }
    model_close(&m);
}

static void
big_documents_share_one_batch(void)
{
    static char big[3][200 * 1024];
    static const char *const names[] = {"a", "b", "c"};
    struct cfc_batch_item items[6];
    struct cfc_definition definition;
    struct model m;

    model_open(&m);
    for (size_t i = 0; i < 3; i++) {
        int head = snprintf(big[i], sizeof(big[i]), "{\"%s\":\"", names[i]);

        memset(big[i] + head, 'x', sizeof(big[i]) - (size_t)head - 3);
        memcpy(big[i] + sizeof(big[i]) - 3, "\"}", 3);
        items[i] = putting(names[i], big[i]);
        items[i + 3] = promoting(names[i], NULL);
    }
    CU_ASSERT_EQUAL_FATAL(run(&m, items, 6), CONFCAST_OK);
    model_reopen(&m);
    for (size_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL_FATAL(cfc_service_get(m.service, names[i], 0, &definition), CONFCAST_OK);
        CU_ASSERT_STRING_EQUAL(definition.text, big[i]);
        cfc_definition_free(&definition);
        CU_ASSERT_EQUAL(version(&m, names[i]), result.seq);
    }
    model_close(&m);
}

static void
every_item_has_its_audit_entry_with_one_version(void)
{
    struct cfc_batch_item items[] = {deleting("gone"), putting("acme", "{}"),
                                     promoting("acme", NULL)};
    static const char *const actions[] = {"delete", "put", "promote"};
    json_t *entries;
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "gone", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(run(&m, items, 3), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_audit(m.service, 0, 10, &entries, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(json_array_size(entries), 5);
    for (size_t i = 0; i < 3; i++) {
        const json_t *entry = json_array_get(entries, 2 - i);

        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(entry, "action")), actions[i]);
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(entry, "version")), result.seq);
    }
    json_decref(entries);
    drain(&m);
    CU_ASSERT_STRING_EQUAL(effective(&m, "gone"), "{}");
    model_close(&m);
}

static void
a_failing_commit_changes_nothing(void)
{
    struct cfc_batch_item items[] = {putting("acme", "{\"a\":2}"), promoting("acme", NULL),
                                     putting("new", "{}"), promoting("new", NULL)};
    static const int errors[] = {CONFCAST_ERR_NO_SPACE, CONFCAST_ERR_IO};

    for (uint64_t at = 1; at <= 8; at++) {
        struct model m;
        int error;

        model_open(&m);
        CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
        *cfc_store_fault_plan(m.store) =
            (struct cfc_store_fault){.fail_at = at, .error = errors[at % 2]};
        error = run(&m, items, 4);
        if (error == CONFCAST_OK) {
            CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":2}");
            CU_ASSERT_EQUAL(version(&m, "new"), version(&m, "acme"));
        } else {
            CU_ASSERT_EQUAL(error, errors[at % 2]);
            CU_ASSERT_STRING_EQUAL(effective(&m, "acme"), "{\"a\":1}");
            CU_ASSERT_EQUAL(version(&m, "new"), 0);
            CU_ASSERT_EQUAL(run(&m, items, 4), CONFCAST_OK);
        }
        model_close(&m);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(one_step_gives_everything_one_version),
    CFC_CASE(the_order_of_items_does_not_change_what_consumers_get),
    CFC_CASE(a_refused_item_is_named_and_nothing_is_written),
    CFC_CASE(a_scope_is_changed_once_in_each_way),
    CFC_CASE(two_rollouts_for_the_same_consumers_cannot_begin_together),
    CFC_CASE(the_same_batch_again_is_answered_and_not_done),
    CFC_CASE(what_does_not_fit_one_commit_is_a_limit),
    CFC_CASE(a_hundred_and_twenty_eight_new_scopes_are_put_and_promoted_in_one_step),
    CFC_CASE(big_documents_share_one_batch),
    CFC_CASE(every_item_has_its_audit_entry_with_one_version),
    CFC_CASE(a_failing_commit_changes_nothing),
};

CFC_TEST_MAIN("model_batch", cases)
