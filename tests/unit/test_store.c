/* The contract of a store, held against every implementation. */
#include "controlplane/store/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/store/meta.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/temp_dir.h"

enum engine {
    MEM,
    ROCKSDB,
    ENGINE_COUNT
};

struct fixture {
    struct cfc_store *store;
    struct temp_dir dir;
    enum engine engine;
};

static struct fixture
open_engine(enum engine engine)
{
    struct fixture f = {.engine = engine};
    int error;

    if (engine == MEM) {
        error = cfc_store_mem_open(&f.store);
    } else {
        struct cfc_store_rocksdb_config config = {.path = f.dir.path};

        f.dir = temp_dir_make();
        error = cfc_store_rocksdb_open(&config, &f.store);
    }
    assert(error == CONFCAST_OK);
    (void)error;
    return f;
}

static void
close_engine(struct fixture *f)
{
    cfc_store_close(f->store);
    if (f->engine == ROCKSDB) {
        temp_dir_remove(&f->dir);
    }
}

static int
put(struct cfc_store *store, const char *key, const char *value, uint64_t *seq)
{
    struct cfc_store_batch batch;
    int error;

    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, key, strlen(key), value, strlen(value));
    error = cfc_store_commit(store, &batch, seq);
    cfc_store_batch_clear(&batch);
    return error;
}

static bool
holds(struct cfc_store *store, const char *key, const char *expected, uint64_t mod_seq)
{
    struct cfc_store_value value;
    bool is_equal;

    if (cfc_store_get(store, key, strlen(key), &value) != CONFCAST_OK) {
        return false;
    }
    is_equal = value.size == strlen(expected) && memcmp(value.bytes, expected, value.size) == 0 &&
               value.bytes[value.size] == 0 && value.mod_seq == mod_seq;
    cfc_store_value_free(&value);
    return is_equal;
}

static bool
is_absent(struct cfc_store *store, const char *key)
{
    struct cfc_store_value value;

    return cfc_store_get(store, key, strlen(key), &value) == CONFCAST_ERR_NOT_FOUND;
}

static void
each_commit_gets_the_next_sequence_and_values_remember_it(struct cfc_store *store)
{
    struct cfc_store_batch batch;
    uint64_t seq;

    CU_ASSERT_EQUAL(cfc_store_seq(store), 0);
    CU_ASSERT_EQUAL(put(store, "a", "1", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(seq, 1);
    CU_ASSERT_EQUAL(put(store, "b", "", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(seq, 2);
    CU_ASSERT_TRUE(holds(store, "a", "1", 1));
    CU_ASSERT_TRUE(holds(store, "b", "", 2));
    CU_ASSERT_TRUE(is_absent(store, "c"));
    CU_ASSERT_EQUAL(cfc_store_seq(store), 2);

    cfc_store_batch_init(&batch);
    cfc_store_delete(&batch, "a", 1);
    cfc_store_delete(&batch, "never", 5);
    cfc_store_put(&batch, "b", 1, "x", 1);
    batch.seq_min = 100;
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_OK);
    cfc_store_batch_clear(&batch);
    CU_ASSERT_EQUAL(seq, 100);
    CU_ASSERT_TRUE(is_absent(store, "a"));
    CU_ASSERT_TRUE(holds(store, "b", "x", 100));
}

enum compare {
    VALUE,
    ABSENT,
    SEQ
};

static int
guarded(struct cfc_store *store, enum compare compare, const char *key, const char *value,
        uint64_t mod_seq)
{
    struct cfc_store_batch batch;
    uint64_t seq;
    int error;

    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, "side", 4, "effect", 6);
    switch (compare) {
    case VALUE:
        cfc_store_compare_value(&batch, key, strlen(key), value, strlen(value));
        break;
    case ABSENT:
        cfc_store_compare_absent(&batch, key, strlen(key));
        break;
    case SEQ:
        cfc_store_compare_seq(&batch, key, strlen(key), mod_seq);
        break;
    }
    error = cfc_store_commit(store, &batch, &seq);
    cfc_store_batch_clear(&batch);
    return error;
}

static void
a_failed_compare_writes_nothing(struct cfc_store *store)
{
    uint64_t seq;

    CU_ASSERT_EQUAL(put(store, "a", "1", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(guarded(store, VALUE, "a", "2", 0), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(guarded(store, VALUE, "a", "11", 0), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(guarded(store, VALUE, "a", "", 0), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(guarded(store, VALUE, "b", "", 0), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(guarded(store, ABSENT, "a", NULL, 0), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(guarded(store, SEQ, "a", NULL, 2), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(guarded(store, SEQ, "b", NULL, 0), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_TRUE(is_absent(store, "side"));
    CU_ASSERT_EQUAL(cfc_store_seq(store), 1);

    CU_ASSERT_EQUAL(guarded(store, VALUE, "a", "1", 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(guarded(store, ABSENT, "b", NULL, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(guarded(store, SEQ, "a", NULL, 1), CONFCAST_OK);
    CU_ASSERT_TRUE(holds(store, "side", "effect", 4));
}

static int
guarded_by_who_has_seen(struct cfc_store *store, uint64_t seen_seq, bool is_absent, uint64_t *seq)
{
    struct cfc_store_batch batch;
    int error;

    cfc_store_batch_init(&batch);
    batch.seen_seq = seen_seq;
    if (is_absent) {
        cfc_store_compare_absent(&batch, "a", 1);
    } else {
        cfc_store_compare_seq(&batch, "a", 1, 7);
    }
    cfc_store_put(&batch, "side", 4, "effect", 6);
    error = cfc_store_commit(store, &batch, seq);
    cfc_store_batch_clear(&batch);
    return error;
}

static void
who_has_seen_all_is_asked_for_no_sequence_of_a_key(struct cfc_store *store)
{
    uint64_t seq;

    CU_ASSERT_EQUAL(put(store, "a", "1", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(guarded_by_who_has_seen(store, 0, false, &seq), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(guarded_by_who_has_seen(store, 1, true, &seq), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_TRUE(is_absent(store, "side"));
    CU_ASSERT_EQUAL(guarded_by_who_has_seen(store, 1, false, &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(seq, 2);
    /* Something came since. */
    CU_ASSERT_EQUAL(guarded_by_who_has_seen(store, 1, false, &seq), CONFCAST_ERR_CONFLICT);
    CU_ASSERT_EQUAL(guarded_by_who_has_seen(store, 3, false, &seq), CONFCAST_ERR_CONFLICT);
}

static void
a_batch_that_only_compares_takes_no_sequence(struct cfc_store *store)
{
    struct cfc_store_batch batch;
    uint64_t seq = 99;

    cfc_store_batch_init(&batch);
    cfc_store_compare_absent(&batch, "a", 1);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(seq, 0);
    cfc_store_compare_seq(&batch, "a", 1, 7);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_ERR_CONFLICT);
    cfc_store_batch_clear(&batch);
}

static void
a_batch_holds_2048_operations_and_not_2049(struct cfc_store *store)
{
    struct cfc_store_batch batch;
    uint64_t seq;
    char key[16];

    cfc_store_batch_init(&batch);
    for (int i = 0; i < 2048; i++) {
        snprintf(key, sizeof(key), "k%04d", i);
        cfc_store_put(&batch, key, strlen(key), "v", 1);
    }
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_OK);
    cfc_store_compare_absent(&batch, "x", 1);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_ERR_LIMIT);
    cfc_store_batch_clear(&batch);
    CU_ASSERT_TRUE(holds(store, "k2047", "v", 1));
    CU_ASSERT_EQUAL(cfc_store_seq(store), 1);
}

static void
a_batch_holds_1_mib_and_not_one_byte_more(struct cfc_store *store)
{
    size_t size = CFC_STORE_BATCH_SIZE_MAX - 1;
    uint8_t *bytes = calloc(1, size + 1);
    struct cfc_store_batch batch;
    struct cfc_store_value value;
    uint64_t seq;

    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, "k", 1, bytes, size);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_OK);
    cfc_store_batch_clear(&batch);
    CU_ASSERT_EQUAL_FATAL(cfc_store_get(store, "k", 1, &value), CONFCAST_OK);
    CU_ASSERT_EQUAL(value.size, size);
    cfc_store_value_free(&value);
    cfc_store_put(&batch, "k", 1, bytes, size + 1);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_ERR_LIMIT);
    cfc_store_batch_clear(&batch);
    cfc_store_put(&batch, "k", 1, bytes, SIZE_MAX);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_ERR_LIMIT);
    cfc_store_batch_clear(&batch);
    free(bytes);
}

static void
keys_have_1_to_1024_bytes_and_are_written_once_in_a_batch(struct cfc_store *store)
{
    char key[1025];
    struct cfc_store_batch batch;
    struct cfc_store_value value;
    uint64_t seq;

    memset(key, 'k', sizeof(key));
    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, key, 1024, "v", 1);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_get(store, key, 1024, &value), CONFCAST_OK);
    cfc_store_value_free(&value);
    CU_ASSERT_EQUAL(cfc_store_get(store, key, 1025, &value), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_store_get(store, key, 0, &value), CONFCAST_ERR_INVALID);
    cfc_store_delete(&batch, key, 1024);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_ERR_INVALID);
    cfc_store_batch_clear(&batch);
    cfc_store_put(&batch, key, 1025, "v", 1);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_ERR_INVALID);
    cfc_store_batch_clear(&batch);
    cfc_store_put(&batch, key, 0, "v", 1);
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_ERR_INVALID);
    cfc_store_batch_clear(&batch);
}

struct seen {
    char keys[256];
    int stop_at;
    int count;
};

static int
note(void *arg, const struct cfc_store_item *item)
{
    struct seen *seen = arg;

    snprintf(seen->keys + strlen(seen->keys), sizeof(seen->keys) - strlen(seen->keys),
             "%.*s=%.*s@%d ", (int)item->key_size, (const char *)item->key, (int)item->value_size,
             (const char *)item->value, (int)item->mod_seq);
    return ++seen->count == seen->stop_at ? 42 : 0;
}

static void
a_scan_sees_a_prefix_in_byte_order_from_a_key_on(struct cfc_store *store)
{
    struct seen seen = {0};
    uint64_t seq;

    CU_ASSERT_EQUAL(put(store, "b/2", "y", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(put(store, "b/\xff", "z", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(put(store, "b/1", "x", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(put(store, "b", "no", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(put(store, "c/1", "no", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_scan(store, "b/", 2, NULL, 0, note, &seen), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(seen.keys, "b/1=x@3 b/2=y@1 b/\xff=z@2 ");

    seen = (struct seen){0};
    CU_ASSERT_EQUAL(cfc_store_scan(store, "b/", 2, "b/11", 4, note, &seen), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(seen.keys, "b/2=y@1 b/\xff=z@2 ");
    seen = (struct seen){0};
    CU_ASSERT_EQUAL(cfc_store_scan(store, "b/", 2, "b/2", 3, note, &seen), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(seen.keys, "b/2=y@1 b/\xff=z@2 ");
    seen = (struct seen){0};
    CU_ASSERT_EQUAL(cfc_store_scan(store, "b/", 2, "a", 1, note, &seen), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen.count, 3);
    seen = (struct seen){.stop_at = 2};
    CU_ASSERT_EQUAL(cfc_store_scan(store, "b/", 2, NULL, 0, note, &seen), 42);
    CU_ASSERT_EQUAL(seen.count, 2);
    seen = (struct seen){0};
    CU_ASSERT_EQUAL(cfc_store_scan(store, "", 0, NULL, 0, note, &seen), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen.count, 5);
    seen = (struct seen){0};
    CU_ASSERT_EQUAL(cfc_store_scan(store, "d", 1, NULL, 0, note, &seen), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen.count, 0);
}

static void
blobs_of_every_size_come_back_whole_and_take_no_sequence(struct cfc_store *store)
{
    static const size_t sizes[] = {0,
                                   1,
                                   CFC_STORE_BLOB_CHUNK_SIZE - 1,
                                   CFC_STORE_BLOB_CHUNK_SIZE,
                                   CFC_STORE_BLOB_CHUNK_SIZE + 1,
                                   3 * CFC_STORE_BLOB_CHUNK_SIZE + 17};
    struct cfc_sha256 *sha = cfc_sha256_new();

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *bytes = malloc(sizes[i] + 1);
        struct cfc_store_value value;
        struct cfc_digest digest;

        for (size_t j = 0; j < sizes[i]; j++) {
            bytes[j] = (uint8_t)(j * 31 + (j >> 9) + i);
        }
        cfc_sha256_once(sha, NULL, bytes, sizes[i], &digest);
        CU_ASSERT_EQUAL(cfc_store_get_blob(store, &digest, &value), CONFCAST_ERR_NOT_FOUND);
        CU_ASSERT_EQUAL(cfc_store_put_blob(store, &digest, bytes, sizes[i]), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_store_put_blob(store, &digest, bytes, sizes[i]), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_store_get_blob(store, &digest, &value), CONFCAST_OK);
        CU_ASSERT_EQUAL(value.size, sizes[i]);
        CU_ASSERT_EQUAL(memcmp(value.bytes, bytes, sizes[i]), 0);
        cfc_store_value_free(&value);
        CU_ASSERT_EQUAL(cfc_store_delete_blob(store, &digest), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_store_delete_blob(store, &digest), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_store_get_blob(store, &digest, &value), CONFCAST_ERR_NOT_FOUND);
        free(bytes);
    }
    CU_ASSERT_EQUAL(cfc_store_seq(store), 0);
    cfc_sha256_free(sha);
}

static void
a_blob_under_a_wrong_name_is_corrupt_and_one_above_the_limit_refused(struct cfc_store *store)
{
    struct cfc_digest digest = {.bytes = {1, 2, 3}};
    struct cfc_store_value value;

    CU_ASSERT_EQUAL(cfc_store_put_blob(store, &digest, "abc", 3), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_store_get_blob(store, &digest, &value), CONFCAST_ERR_CORRUPT);
    CU_ASSERT_PTR_NULL(value.bytes);
    digest.bytes[0] = 2;
    CU_ASSERT_EQUAL(cfc_store_put_blob(store, &digest, "abc", (size_t)CFC_STORE_BLOB_SIZE_MAX + 1),
                    CONFCAST_ERR_LIMIT);
}

static void
epochs_rise_by_one_and_above_what_a_restore_has_seen(struct cfc_store *store)
{
    uint64_t epoch = 99;
    uint64_t floor = 99;
    uint64_t seq;

    CU_ASSERT_EQUAL(cfc_store_get_epoch(store, &epoch), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 0);
    CU_ASSERT_EQUAL(cfc_store_take_epoch(store, &epoch), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 1);
    CU_ASSERT_EQUAL(cfc_store_take_epoch(store, &epoch), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 2);
    CU_ASSERT_EQUAL(cfc_store_get_floor(store, &floor), CONFCAST_OK);
    CU_ASSERT_EQUAL(floor, 0);

    CU_ASSERT_EQUAL(cfc_store_restore(store, 10, 500, &epoch), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 11);
    CU_ASSERT_EQUAL(cfc_store_seq(store), 501);
    CU_ASSERT_EQUAL(cfc_store_get_floor(store, &floor), CONFCAST_OK);
    CU_ASSERT_EQUAL(floor, 501);
    CU_ASSERT_EQUAL(put(store, "a", "1", &seq), CONFCAST_OK);
    CU_ASSERT_EQUAL(seq, 502);

    CU_ASSERT_EQUAL(cfc_store_restore(store, 3, 7, &epoch), CONFCAST_OK);
    CU_ASSERT_EQUAL(epoch, 12);
    CU_ASSERT_EQUAL(cfc_store_seq(store), 503);
    CU_ASSERT_EQUAL(cfc_store_restore(store, UINT64_MAX, 0, &epoch), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_store_restore(store, 0, UINT64_MAX, &epoch), CONFCAST_ERR_INVALID);
}

static void
on_every_engine(void (*run)(struct cfc_store *store))
{
    for (enum engine engine = MEM; engine < ENGINE_COUNT; engine++) {
        struct fixture f = open_engine(engine);

        run(f.store);
        close_engine(&f);
    }
}

#define ON_EVERY_ENGINE(name)                                                                      \
    static void name##_on_every_engine(void)                                                       \
    {                                                                                              \
        on_every_engine(name);                                                                     \
    }

ON_EVERY_ENGINE(each_commit_gets_the_next_sequence_and_values_remember_it)
ON_EVERY_ENGINE(a_failed_compare_writes_nothing)
ON_EVERY_ENGINE(who_has_seen_all_is_asked_for_no_sequence_of_a_key)
ON_EVERY_ENGINE(a_batch_that_only_compares_takes_no_sequence)
ON_EVERY_ENGINE(a_batch_holds_2048_operations_and_not_2049)
ON_EVERY_ENGINE(a_batch_holds_1_mib_and_not_one_byte_more)
ON_EVERY_ENGINE(keys_have_1_to_1024_bytes_and_are_written_once_in_a_batch)
ON_EVERY_ENGINE(a_scan_sees_a_prefix_in_byte_order_from_a_key_on)
ON_EVERY_ENGINE(blobs_of_every_size_come_back_whole_and_take_no_sequence)
ON_EVERY_ENGINE(a_blob_under_a_wrong_name_is_corrupt_and_one_above_the_limit_refused)
ON_EVERY_ENGINE(epochs_rise_by_one_and_above_what_a_restore_has_seen)

static void
the_fault_wrapper_fails_the_call_it_was_told_to(void)
{
    struct fixture f = open_engine(MEM);
    struct cfc_store *store;
    struct cfc_store_fault *plan;
    struct cfc_store_value value;
    uint64_t seq;

    CU_ASSERT_EQUAL_FATAL(cfc_store_fault_open(f.store, &store), CONFCAST_OK);
    f.store = store;
    plan = cfc_store_fault_plan(store);
    CU_ASSERT_EQUAL(put(store, "a", "1", &seq), CONFCAST_OK);
    *plan = (struct cfc_store_fault){.fail_at = 2, .error = CONFCAST_ERR_IO};
    CU_ASSERT_TRUE(holds(store, "a", "1", 1));
    CU_ASSERT_EQUAL(put(store, "a", "2", &seq), CONFCAST_ERR_IO);
    CU_ASSERT_TRUE(holds(store, "a", "1", 1));
    *plan = (struct cfc_store_fault){
        .fail_at = 1, .error = CONFCAST_ERR_NO_SPACE, .is_after = true, .is_lasting = true};
    CU_ASSERT_EQUAL(put(store, "a", "3", &seq), CONFCAST_ERR_NO_SPACE);
    CU_ASSERT_EQUAL(cfc_store_get(store, "a", 1, &value), CONFCAST_ERR_NO_SPACE);
    *plan = (struct cfc_store_fault){0};
    CU_ASSERT_TRUE(holds(store, "a", "3", 2));
    close_engine(&f);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(each_commit_gets_the_next_sequence_and_values_remember_it_on_every_engine),
    CFC_CASE(a_failed_compare_writes_nothing_on_every_engine),
    CFC_CASE(who_has_seen_all_is_asked_for_no_sequence_of_a_key_on_every_engine),
    CFC_CASE(a_batch_that_only_compares_takes_no_sequence_on_every_engine),
    CFC_CASE(a_batch_holds_2048_operations_and_not_2049_on_every_engine),
    CFC_CASE(a_batch_holds_1_mib_and_not_one_byte_more_on_every_engine),
    CFC_CASE(keys_have_1_to_1024_bytes_and_are_written_once_in_a_batch_on_every_engine),
    CFC_CASE(a_scan_sees_a_prefix_in_byte_order_from_a_key_on_on_every_engine),
    CFC_CASE(blobs_of_every_size_come_back_whole_and_take_no_sequence_on_every_engine),
    CFC_CASE(a_blob_under_a_wrong_name_is_corrupt_and_one_above_the_limit_refused_on_every_engine),
    CFC_CASE(epochs_rise_by_one_and_above_what_a_restore_has_seen_on_every_engine),
    CFC_CASE(the_fault_wrapper_fails_the_call_it_was_told_to),
};

CFC_TEST_MAIN("store", cases)
