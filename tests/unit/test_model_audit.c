/* The audit log: its chain of digests, and what happens to it when somebody edits the store. */
#include <sodium.h>

#include "controlplane/model/record.h"
#include "tests/unit/model_fixture.h"

/* A model with entries: put, promote, put, promote. */
static void
open_with_four_entries(struct model *m)
{
    model_open(m);
    CU_ASSERT_EQUAL_FATAL(publish(m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(publish(m, "acme/eu", "{\"b\":1}"), CONFCAST_OK);
}

/* What the last call of one of the next two named as broken. */
static uint64_t broken;

static int
read_all(struct model *m)
{
    json_t *entries;
    int error = cfc_service_audit(m->service, 0, 100, &entries, &broken);

    json_decref(entries);
    return error;
}

static int
read_lines(struct model *m, uint64_t after, size_t count_max)
{
    char *text;
    size_t size;
    int error = cfc_service_audit_lines(m->service, after, count_max, &text, &size, &broken);

    free(text);
    return error;
}

/* Writes the value of an entry past the service. */
static void
overwrite(struct model *m, uint64_t n, const char *text)
{
    struct cfc_record_key key = cfc_record_key_number('a', n);
    struct cfc_store_batch batch;
    uint64_t seq;

    cfc_store_batch_init(&batch);
    if (text != NULL) {
        cfc_store_put(&batch, key.bytes, key.size, text, strlen(text));
    } else {
        cfc_store_delete(&batch, key.bytes, key.size);
    }
    CU_ASSERT_EQUAL_FATAL(cfc_store_commit(m->store, &batch, &seq), CONFCAST_OK);
    cfc_store_batch_clear(&batch);
}

/* The text of an entry; the caller frees it. */
static char *
stored(struct model *m, uint64_t n)
{
    struct cfc_record_key key = cfc_record_key_number('a', n);
    struct cfc_store_value value;

    CU_ASSERT_EQUAL_FATAL(cfc_store_get(m->store, key.bytes, key.size, &value), CONFCAST_OK);
    return (char *)value.bytes;
}

static void
each_line_names_the_plain_digest_of_the_line_before(void)
{
    struct model m;
    char prev[65];
    char *text;
    size_t size;
    size_t count = 0;

    memset(prev, '0', 64);
    prev[64] = '\0';
    open_with_four_entries(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_service_audit_lines(m.service, 0, 100, &text, &size, NULL),
                          CONFCAST_OK);
    for (char *line = text; line < text + size; count++) {
        char *end = memchr(line, '\n', (size_t)(text + size - line));
        uint8_t digest[crypto_hash_sha256_BYTES];
        char member[96];

        CU_ASSERT_PTR_NOT_NULL_FATAL(end);
        *end = '\0';
        snprintf(member, sizeof(member), "\"prev\":\"%s\"", prev);
        CU_ASSERT_PTR_NOT_NULL(strstr(line, member));
        crypto_hash_sha256(digest, (const uint8_t *)line, strlen(line));
        sodium_bin2hex(prev, sizeof(prev), digest, sizeof(digest));
        line = end + 1;
    }
    CU_ASSERT_EQUAL(count, 4);
    free(text);
    model_close(&m);
}

static void
the_newest_entry_comes_with_the_digest_of_the_last_line(void)
{
    struct model m;
    json_t *entries;
    char *last;
    uint8_t digest[crypto_hash_sha256_BYTES];
    char hex[65];

    open_with_four_entries(&m);
    last = stored(&m, 4);
    crypto_hash_sha256(digest, (const uint8_t *)last, strlen(last));
    sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
    CU_ASSERT_EQUAL_FATAL(cfc_service_audit(m.service, 0, 1, &entries, NULL), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json_array_get(entries, 0), "digest")),
                           hex);
    json_decref(entries);
    free(last);
    model_close(&m);
}

static void
lines_come_in_pages_from_the_oldest_up(void)
{
    struct model m;
    char *text;
    size_t size;

    open_with_four_entries(&m);
    CU_ASSERT_EQUAL(cfc_service_audit_lines(m.service, 1, 2, &text, &size, NULL), CONFCAST_OK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_EQUAL(text[size - 1], '\n');
    text[size - 1] = '\0';
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"n\":2,"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"n\":3,"));
    CU_ASSERT_PTR_NULL(strstr(text, "\"n\":4,"));
    free(text);
    CU_ASSERT_EQUAL(cfc_service_audit_lines(m.service, 4, 2, &text, &size, NULL), CONFCAST_OK);
    CU_ASSERT_PTR_NULL(text);
    CU_ASSERT_EQUAL(size, 0);
    CU_ASSERT_EQUAL(cfc_service_audit_lines(m.service, UINT64_MAX, 2, &text, &size, NULL),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(size, 0);
    model_close(&m);
}

/* Changes one character of an entry's author; whatever entry it is, reading it says so. */
static void
an_edited_entry_is_found_wherever_it_is(void)
{
    for (uint64_t n = 1; n <= 4; n++) {
        struct model m;
        char *text;

        open_with_four_entries(&m);
        CU_ASSERT_EQUAL(read_all(&m), CONFCAST_OK);
        CU_ASSERT_EQUAL(read_lines(&m, 0, 100), CONFCAST_OK);
        text = stored(&m, n);
        memcpy(strstr(text, "\"ann\""), "\"bob\"", 5);
        overwrite(&m, n, text);
        free(text);
        CU_ASSERT_EQUAL(read_all(&m), CONFCAST_ERR_CORRUPT);
        CU_ASSERT_EQUAL(broken, n);
        CU_ASSERT_EQUAL(read_lines(&m, 0, 100), CONFCAST_ERR_CORRUPT);
        CU_ASSERT_EQUAL(broken, n);
        CU_ASSERT_EQUAL(read_lines(&m, n - 1, 1), CONFCAST_ERR_CORRUPT);
        CU_ASSERT_EQUAL(broken, n);
        CU_ASSERT_EQUAL(read_lines(&m, n, 100), CONFCAST_OK);
        CU_ASSERT_EQUAL(broken, 0);
        model_close(&m);
    }
}

/* Entry 3 says another digest of entry 2 than it has: entry 3 is the one that was edited. */
static void
an_entry_whose_link_was_edited_is_the_one_that_is_named(void)
{
    struct model m;
    char *text;
    char *link;

    open_with_four_entries(&m);
    text = stored(&m, 3);
    link = strstr(text, "\"prev\":\"") + 8;
    *link = *link == '0' ? '1' : '0';
    overwrite(&m, 3, text);
    free(text);
    CU_ASSERT_EQUAL(read_all(&m), CONFCAST_ERR_CORRUPT);
    CU_ASSERT_EQUAL(broken, 3);
    CU_ASSERT_EQUAL(read_lines(&m, 0, 100), CONFCAST_ERR_CORRUPT);
    CU_ASSERT_EQUAL(broken, 3);
    model_close(&m);
}

static void
a_missing_or_moved_entry_is_found(void)
{
    struct model m;
    char *text;

    open_with_four_entries(&m);
    text = stored(&m, 2);
    overwrite(&m, 2, NULL);
    CU_ASSERT_EQUAL(read_all(&m), CONFCAST_ERR_CORRUPT);
    CU_ASSERT_EQUAL(broken, 2);
    CU_ASSERT_EQUAL(read_lines(&m, 0, 100), CONFCAST_ERR_CORRUPT);
    overwrite(&m, 2, text);
    CU_ASSERT_EQUAL(read_all(&m), CONFCAST_OK);
    overwrite(&m, 3, text);
    CU_ASSERT_EQUAL(read_all(&m), CONFCAST_ERR_CORRUPT);
    free(text);
    model_close(&m);
}

static void
the_chain_goes_on_after_a_restart_and_after_refused_changes(void)
{
    struct model m;

    open_with_four_entries(&m);
    CU_ASSERT_EQUAL(act(&m, "acme", CFC_ACTION_RESUME), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(put_expecting(&m, "acme", "{}", 7), CONFCAST_ERR_CONFLICT);
    model_reopen(&m);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(follow(&m, "acme/us"), CONFCAST_OK);
    CU_ASSERT_EQUAL(read_all(&m), CONFCAST_OK);
    CU_ASSERT_EQUAL(read_lines(&m, 0, 100), CONFCAST_OK);
    model_close(&m);
}

/* The commit fails or is done all the same: either way the next entry follows the last one stored.
 */
static void
a_failing_commit_leaves_no_gap(void)
{
    for (int is_after = 0; is_after <= 1; is_after++) {
        struct model m;
        struct cfc_store_fault *fault;
        json_t *entries;

        open_with_four_entries(&m);
        fault = cfc_store_fault_plan(m.store);
        for (uint64_t call = 1; call <= 6; call++) {
            fault->fail_at = call;
            fault->error = CONFCAST_ERR_IO;
            fault->is_after = is_after != 0;
            fault->call_count = 0;
            put_text(&m, "acme", "{\"c\":1}");
            fault->fail_at = 0;
            CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"d\":1}"), CONFCAST_OK);
            CU_ASSERT_EQUAL(read_all(&m), CONFCAST_OK);
        }
        CU_ASSERT_EQUAL_FATAL(cfc_service_audit(m.service, 0, 100, &entries, NULL), CONFCAST_OK);
        CU_ASSERT(json_array_size(entries) >= 10);
        json_decref(entries);
        model_close(&m);
    }
}

static void
an_entry_says_how_its_author_was_proven(void)
{
    struct model m;
    struct cfc_change change;
    struct cfc_put put = {.scope = "acme", .text = "{}", .text_size = 2};
    json_t *entries;
    const json_t *entry;

    model_open(&m);
    change = by_ann(&m);
    change.proof = CFC_PROOF_CERTIFICATE;
    change.claimed = "bob";
    CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{}"), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_audit(m.service, 0, 2, &entries, NULL), CONFCAST_OK);
    entry = json_array_get(entries, 1);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(entry, "proof")), "certificate");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(entry, "claimed")), "bob");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(entry, "author")), "ann");
    entry = json_array_get(entries, 0);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(entry, "proof")), "none");
    CU_ASSERT_PTR_NULL(json_object_get(entry, "claimed"));
    json_decref(entries);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(each_line_names_the_plain_digest_of_the_line_before),
    CFC_CASE(the_newest_entry_comes_with_the_digest_of_the_last_line),
    CFC_CASE(lines_come_in_pages_from_the_oldest_up),
    CFC_CASE(an_edited_entry_is_found_wherever_it_is),
    CFC_CASE(an_entry_whose_link_was_edited_is_the_one_that_is_named),
    CFC_CASE(a_missing_or_moved_entry_is_found),
    CFC_CASE(the_chain_goes_on_after_a_restart_and_after_refused_changes),
    CFC_CASE(a_failing_commit_leaves_no_gap),
    CFC_CASE(an_entry_says_how_its_author_was_proven),
};

CFC_TEST_MAIN("model_audit", cases)
