/* Definitions through the service: revisions, guards, history, tombstones, errors. */
#include "controlplane/model/definition.h"
#include "controlplane/model/record.h"
#include "tests/unit/model_fixture.h"

static void
revisions_count_up_without_gaps(void)
{
    struct model m;
    struct cfc_definition_meta *items;
    size_t count;

    model_open(&m);
    for (uint64_t i = 1; i <= 5; i++) {
        char text[32];

        snprintf(text, sizeof(text), "{\"n\":%d}", (int)i);
        CU_ASSERT_EQUAL(put_text(&m, "acme", text), CONFCAST_OK);
        CU_ASSERT_EQUAL(m.put.revision, i);
    }
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{"), CONFCAST_ERR_SYNTAX);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.revision, 6);
    CU_ASSERT_EQUAL_FATAL(cfc_service_history(m.service, "acme", 0, 100, &items, &count),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(count, 6);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(items[i].revision, 6 - i);
        CU_ASSERT_STRING_EQUAL(items[i].author, "ann");
        CU_ASSERT_STRING_EQUAL(items[i].message, "why");
        CU_ASSERT_TRUE(i == 0 || items[i].unix_ns < items[i - 1].unix_ns);
    }
    free(items);
    CU_ASSERT_EQUAL(cfc_service_history(m.service, "acme", 4, 2, &items, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 2);
    CU_ASSERT_EQUAL(items[0].revision, 3);
    CU_ASSERT_EQUAL(items[1].revision, 2);
    free(items);
    CU_ASSERT_EQUAL(cfc_service_history(m.service, "acme", 1, 2, &items, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 0);
    free(items);
    model_close(&m);
}

static void
documents_come_back_canonical_at_every_revision(void)
{
    struct model m;
    struct cfc_definition definition;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", " {\"b\": 1.0, \"a\": [true, null]} "), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"b\":2}"), CONFCAST_OK);
    model_reopen(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_service_get(m.service, "acme", 1, &definition), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(definition.text, "{\"a\":[true,null],\"b\":1}");
    CU_ASSERT_EQUAL(definition.meta.size, strlen(definition.text));
    cfc_definition_free(&definition);
    CU_ASSERT_EQUAL_FATAL(cfc_service_get(m.service, "acme", 0, &definition), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(definition.text, "{\"b\":2}");
    CU_ASSERT_EQUAL(definition.meta.revision, 2);
    cfc_definition_free(&definition);
    CU_ASSERT_EQUAL(cfc_service_get(m.service, "acme", 3, &definition), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_service_get(m.service, "other", 0, &definition), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cfc_service_get(m.service, "Other", 0, &definition), CONFCAST_ERR_SCOPE_NAME);
    model_close(&m);
}

static void
equal_documents_have_equal_digests_however_written(void)
{
    struct model m;
    struct cfc_digest first;

    model_open(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1,\"b\":-0}"), CONFCAST_OK);
    first = m.put.digest;
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"b\":0.0,\"a\":1.0}"), CONFCAST_OK);
    CU_ASSERT_TRUE(cfc_digest_equal(&first, &m.put.digest));
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"b\":0.1,\"a\":1.0}"), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_digest_equal(&first, &m.put.digest));
    model_close(&m);
}

static void
of_two_writers_on_one_base_one_wins_and_the_other_learns_who(void)
{
    struct model m;

    model_open(&m);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{}", 1), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(m.refusal.current_revision, 0);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{}", 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{\"x\":1}", 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{\"x\":2}", 1), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_TRUE(m.refusal.has_revision);
    CU_ASSERT_EQUAL(m.refusal.current_revision, 2);
    CU_ASSERT_STRING_EQUAL(m.refusal.current_author, "ann");
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{}", 0), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{}", 2), CONFCAST_OK);
    model_close(&m);
}

static void
a_delete_is_a_revision_of_its_own_and_numbers_are_never_used_again(void)
{
    struct model m;
    struct cfc_definition definition;

    model_open(&m);
    CU_ASSERT_EQUAL(delete_scope(&m, "acme"), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(delete_scope(&m, "acme"), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.revision, 2);
    CU_ASSERT_EQUAL(delete_scope(&m, "acme"), CONFCAST_ERR_NOT_FOUND);
    model_reopen(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_service_get(m.service, "acme", 0, &definition), CONFCAST_OK);
    CU_ASSERT_TRUE(definition.meta.is_tombstone);
    CU_ASSERT_PTR_NULL(definition.text);
    cfc_definition_free(&definition);
    CU_ASSERT_EQUAL_FATAL(cfc_service_get(m.service, "acme", 1, &definition), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(definition.text, "{\"a\":1}");
    cfc_definition_free(&definition);
    CU_ASSERT_EQUAL(promote(&m, "acme"), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{}", 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.revision, 3);
    model_close(&m);
}

static void
deleting_what_is_released_moves_the_release_in_the_same_commit(void)
{
    struct model m;
    uint64_t before;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{\"b\":1}"), CONFCAST_OK);
    drain(&m);
    before = cfc_service_seq(m.service);
    CU_ASSERT_EQUAL(delete_scope(&m, "acme/shop"), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.seq, before + 1);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), before + 1);
    CU_ASSERT_EQUAL(cfc_service_get_release(m.service, "acme/shop", &m.view), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.view.release.state, CFC_RELEASE_DELETED);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"a\":1}");
    CU_ASSERT_STRING_EQUAL(polled(&m), "acme/shop@6 deleted");
    CU_ASSERT_EQUAL(put_text(&m, "acme/shop", "{\"b\":2}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(canary(&m, "acme/shop", "canary:5%"), CONFCAST_OK);
    CU_ASSERT_EQUAL(delete_scope(&m, "acme/shop"), CONFCAST_ERR_STATE);
    CU_ASSERT_TRUE(m.refusal.has_release);
    model_close(&m);
}

static void
a_dry_run_checks_everything_and_writes_nothing(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_put put = {.scope = "acme", .text = "{\"a\":1}", .text_size = 7};
    struct cfc_definition definition;
    uint64_t before;

    model_open(&m);
    before = cfc_service_seq(m.service);
    change = by_ann(&m);
    change.is_dry_run = true;
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, &m.refusal), CONFCAST_OK);
    CU_ASSERT_EQUAL(m.put.revision, 1);
    CU_ASSERT_EQUAL(m.put.seq, 0);
    put.has_expected_revision = true;
    put.expected_revision = 4;
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, &m.refusal),
                    CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), before);
    CU_ASSERT_EQUAL(cfc_service_get(m.service, "acme", 0, &definition), CONFCAST_ERR_NOT_FOUND);
    model_close(&m);
}

/* {"a":"xxx..."} of exactly `size` bytes; the caller frees it. */
static char *
document_of_size(size_t size)
{
    char *text = malloc(size + 1);

    memset(text, 'x', size);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + size - 2, "\"}", 3);
    return text;
}

static void
documents_above_the_batch_limit_go_through_blobs(void)
{
    static const size_t sizes[] = {CFC_DEFINITION_INLINE_MAX, CFC_DEFINITION_INLINE_MAX + 1,
                                   3 * 1024 * 1024};
    struct model m;

    model_open(&m);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = document_of_size(sizes[i]);
        struct cfc_definition definition;
        struct cfc_effective effective_config;

        CU_ASSERT_EQUAL(publish(&m, "acme", text), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_service_get(m.service, "acme", 0, &definition), CONFCAST_OK);
        CU_ASSERT_EQUAL(definition.meta.size, sizes[i]);
        CU_ASSERT_EQUAL(strcmp(definition.text, text), 0);
        cfc_definition_free(&definition);
        CU_ASSERT_EQUAL_FATAL(cfc_service_effective(m.service, "acme", false, &effective_config),
                              CONFCAST_OK);
        CU_ASSERT_EQUAL(strcmp(effective_config.text, text), 0);
        cfc_effective_free(&effective_config);
        free(text);
    }
    model_close(&m);
}

static void
a_document_above_the_configured_size_is_refused(void)
{
    struct model m;
    struct cfc_service_config config = {.document_size_max = 100};
    char *fits = document_of_size(100);
    char *exceeds = document_of_size(101);

    model_open(&m);
    cfc_service_close(m.service);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m.store, &config, &m.service), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", fits), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", exceeds), CONFCAST_ERR_DOCUMENT_SIZE);
    free(fits);
    free(exceeds);
    model_close(&m);
}

static void
a_scope_with_the_id_of_another_one_is_refused(void)
{
    struct model m;
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_record_key key = cfc_record_key_number('i', cfc_scope_id(sha, "acme/twin", 9));
    struct cfc_store_batch batch;
    uint64_t seq;

    model_open(&m);
    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, key.bytes, key.size, "other/scope", 11);
    CU_ASSERT_EQUAL(cfc_store_commit(m.store, &batch, &seq), CONFCAST_OK);
    cfc_store_batch_clear(&batch);
    CU_ASSERT_EQUAL(put_text(&m, "acme/twin", "{}"), CONFCAST_ERR_COLLISION);
    CU_ASSERT_EQUAL(follow(&m, "acme/twin"), CONFCAST_ERR_COLLISION);
    CU_ASSERT_EQUAL(set_layers(&m, "acme/twin", NULL, 0), CONFCAST_ERR_COLLISION);
    CU_ASSERT_EQUAL(put_text(&m, "acme/single", "{}"), CONFCAST_OK);
    cfc_sha256_free(sha);
    model_close(&m);
}

static void
bad_arguments_are_refused(void)
{
    static const char *const names[] = {"", "..", "acme/", "Acme", "acme/../x", "a b"};
    struct model m;
    struct cfc_change change;
    char long_text[1100];
    struct cfc_put put = {.scope = "acme", .text = "{}", .text_size = 2};

    model_open(&m);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CU_ASSERT_EQUAL(put_text(&m, names[i], "{}"), CONFCAST_ERR_SCOPE_NAME);
        CU_ASSERT_EQUAL(delete_scope(&m, names[i]), CONFCAST_ERR_SCOPE_NAME);
    }
    memset(long_text, 'x', sizeof(long_text));
    long_text[1025] = '\0';
    change = by_ann(&m);
    change.message = long_text;
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_ERR_INVALID);
    long_text[1024] = '\0';
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_OK);
    change.message = "\xff";
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_ERR_INVALID);
    change.message = NULL;
    change.author = "";
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_ERR_INVALID);
    change.author = NULL;
    change.idempotency_key = "with space";
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":9007199254740992}"), CONFCAST_ERR_NUMBER);
    CU_ASSERT_TRUE(strstr(m.refusal.message, "2^53") != NULL);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":1,\"a\":2}"), CONFCAST_ERR_DUPLICATE_KEY);
    model_close(&m);
}

static void
the_same_request_under_one_key_gets_the_first_answer_again(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_put put = {.scope = "acme", .text = "{\"a\":1}", .text_size = 7};
    struct cfc_put_result first;
    uint64_t seq;

    model_open(&m);
    change = by_ann(&m);
    change.idempotency_key = "k1";
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &first, NULL), CONFCAST_OK);
    CU_ASSERT_FALSE(first.is_replay);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"a\":2}"), CONFCAST_OK);
    model_reopen(&m);
    seq = cfc_service_seq(m.service);
    change.unix_ns += 5;
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_OK);
    CU_ASSERT_TRUE(m.put.is_replay);
    CU_ASSERT_EQUAL(m.put.revision, 1);
    CU_ASSERT_EQUAL(m.put.seq, first.seq);
    CU_ASSERT_TRUE(cfc_digest_equal(&m.put.digest, &first.digest));
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);

    put.text = "{\"a\":3}";
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_ERR_REPLAY);
    change.author = "bob";
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_OK);
    CU_ASSERT_FALSE(m.put.is_replay);
    model_close(&m);
}

static void
idempotency_keys_are_forgotten_after_their_time(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_put put = {.scope = "acme", .text = "{}", .text_size = 2};
    struct cfc_service_config config = {.idempotency_ttl_ns = 1000};

    model_open(&m);
    cfc_service_close(m.service);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m.store, &config, &m.service), CONFCAST_OK);
    for (int i = 0; i < 1100; i++) { /* more than a batch forgets */
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        change = by_ann(&m);
        change.idempotency_key = key;
        CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_OK);
    }
    change.idempotency_key = "k1099";
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, change.unix_ns + 1000), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_OK);
    CU_ASSERT_TRUE(m.put.is_replay);
    CU_ASSERT_EQUAL(cfc_service_tick(m.service, change.unix_ns + 1001), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_OK);
    CU_ASSERT_FALSE(m.put.is_replay);
    model_close(&m);
}

static void
every_change_has_its_audit_entry(void)
{
    struct model m;
    json_t *entries;
    const json_t *entry;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_DISABLE), CONFCAST_OK);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_DISABLE), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(delete_scope(&m, "acme"), CONFCAST_OK);
    model_reopen(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_service_audit(m.service, 0, 100, &entries, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(json_array_size(entries), 4);
    entry = json_array_get(entries, 1);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(entry, "action")), "disable");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(entry, "author")), "ann");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(entry, "scope")), "acme");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(entry, "revision")), 1);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(entry, "n")), 3);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(entry, "version")), 4);
    json_decref(entries);
    CU_ASSERT_EQUAL(cfc_service_audit(m.service, 3, 1, &entries, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(json_array_size(entries), 1);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json_array_get(entries, 0), "action")),
                           "promote");
    json_decref(entries);
    model_close(&m);
}

static void
known_scopes_are_listed_in_byte_order(void)
{
    struct model m;
    char *names;
    size_t count;

    model_open(&m);
    CU_ASSERT_EQUAL(cfc_service_scopes(m.service, &names, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 0);
    free(names);
    CU_ASSERT_EQUAL(put_text(&m, "b/c/d", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "b", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, "a"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, "a"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_scopes(m.service, &names, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, 3);
    CU_ASSERT_EQUAL(memcmp(names, "a\0b\0b/c/d\0", 11), 0);
    free(names);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(revisions_count_up_without_gaps),
    CFC_CASE(documents_come_back_canonical_at_every_revision),
    CFC_CASE(equal_documents_have_equal_digests_however_written),
    CFC_CASE(of_two_writers_on_one_base_one_wins_and_the_other_learns_who),
    CFC_CASE(a_delete_is_a_revision_of_its_own_and_numbers_are_never_used_again),
    CFC_CASE(deleting_what_is_released_moves_the_release_in_the_same_commit),
    CFC_CASE(a_dry_run_checks_everything_and_writes_nothing),
    CFC_CASE(documents_above_the_batch_limit_go_through_blobs),
    CFC_CASE(a_document_above_the_configured_size_is_refused),
    CFC_CASE(a_scope_with_the_id_of_another_one_is_refused),
    CFC_CASE(bad_arguments_are_refused),
    CFC_CASE(the_same_request_under_one_key_gets_the_first_answer_again),
    CFC_CASE(idempotency_keys_are_forgotten_after_their_time),
    CFC_CASE(every_change_has_its_audit_entry),
    CFC_CASE(known_scopes_are_listed_in_byte_order),
};

CFC_TEST_MAIN("model_definition", cases)
