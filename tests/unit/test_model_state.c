/* State as a whole: the same from any order of insertion, after reopening, after any failed call of
 * the store, and with several threads at once. */
#include <pthread.h>

#include "controlplane/model/service_internal.h"
#include "protocol/base/prng.h"
#include "tests/unit/model_dump.h"
#include "tests/unit/model_story.h"

/* ---- Determinism -------------------------------------------------------------------------------
 */

static const struct {
    const char *scope;
    const char *texts[2]; /* the same object, written differently */
} documents[] = {
    {"acme", {"{\"a\":1,\"b\":{\"x\":1,\"y\":2.50}}", "{\"b\":{\"y\":2.5,\"x\":1.0},\"a\":1e0}"}},
    {"acme/shop", {"{\"b\":{\"x\":null},\"c\":[1,2]}", "{ \"c\" : [1,2] , \"b\":{\"x\":null}}"}},
    {"acme/shop/prod",
     {"{\"\\ufb33\":1,\"\\ud83d\\ude00\":-0}", "{\"\\ud83d\\ude00\":0,\"\\ufb33\":1}"}},
    {"acme/shop/test", {"{\"a\":null}", "{\"\\u0061\":null}"}},
    {"acme/mail", {"{\"c\":{\"d\":{\"e\":[]}}}", "{\"c\":{\"d\":{\"e\":[ ]}}}"}},
    {"other", {"{}", " {\n} "}},
    {"other/deep/er/st", {"{\"z\":1,\"y\":2,\"x\":3}", "{\"x\":3,\"y\":2,\"z\":1}"}},
};

enum {
    DOCUMENT_COUNT = sizeof(documents) / sizeof(documents[0])
};

static void
fill_shuffled(struct model *m, uint64_t seed)
{
    struct cfc_prng prng = {.state = seed};
    size_t order[DOCUMENT_COUNT];

    for (size_t i = 0; i < DOCUMENT_COUNT; i++) {
        size_t j = (size_t)cfc_prng_below(&prng, i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (size_t i = 0; i < DOCUMENT_COUNT; i++) {
        size_t d = order[i];

        CU_ASSERT_EQUAL(
            publish(m, documents[d].scope, documents[d].texts[cfc_prng_below(&prng, 2)]),
            CONFCAST_OK);
    }
}

static void
effective_config_does_not_depend_on_the_order_of_insertion(void)
{
    char *first = NULL;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model m;
        char *text;

        model_open(&m);
        fill_shuffled(&m, seed);
        text = dump(m.service, false);
        if (first == NULL) {
            first = text;
        } else {
            CU_ASSERT_STRING_EQUAL(text, first);
            free(text);
        }
        model_close(&m);
    }
    free(first);
}

static void
reopening_at_any_point_computes_the_same(void)
{
    struct model m;
    int error;

    model_open(&m);
    for (int i = 0; step(&m, i, &error); i++) {
        char *before = dump(m.service, true);
        char *after;

        CU_ASSERT_EQUAL(error, CONFCAST_OK);
        model_reopen(&m);
        after = dump(m.service, true);
        CU_ASSERT_STRING_EQUAL(before, after);
        free(before);
        free(after);
    }
    model_close(&m);
}

/* ---- Failing stores ----------------------------------------------------------------------------
 */

/* Runs the story with the n-th call of the store failing; false when there are not so many. */
static bool
story_with_failure(uint64_t n, int code, bool is_after)
{
    struct cfc_store_fault *plan;
    struct model m;
    int error;
    char *memory;
    char *fresh;
    bool has_failed;

    model_open(&m);
    plan = cfc_store_fault_plan(m.store);
    *plan = (struct cfc_store_fault){.fail_at = n, .error = code, .is_after = is_after};
    for (int i = 0; step(&m, i, &error); i++) {
        /* The same request again, under the same key, until it is done: once and not twice. */
        if (error != CONFCAST_OK) {
            CU_ASSERT_EQUAL(error, code);
            step(&m, i, &error);
        }
        CU_ASSERT_EQUAL(error, CONFCAST_OK);
    }
    has_failed = plan->call_count >= n;
    *plan = (struct cfc_store_fault){0};
    memory = dump(m.service, true);
    model_reopen(&m);
    fresh = dump(m.service, true);
    CU_ASSERT_STRING_EQUAL(memory, fresh);
    CU_ASSERT_PTR_NOT_NULL(strstr(fresh, "acme revision=3 tombstone"));
    free(memory);
    free(fresh);
    model_close(&m);
    return has_failed;
}

static void
whatever_call_of_the_store_fails_memory_and_store_agree_afterwards(void)
{
    static const int codes[] = {CONFCAST_ERR_IO, CONFCAST_ERR_NO_SPACE, CONFCAST_ERR_NO_MEMORY};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        for (int is_after = 0; is_after < 2; is_after++) {
            uint64_t n = 1;

            while (story_with_failure(n, codes[i], is_after != 0)) {
                n++;
            }
            CU_ASSERT_TRUE(n > 60);
        }
    }
}

/* A promotion for a tenant whose commit lands although it is reported as failed, at the given call
 * of the store; then the n-th call of what follows fails too.  False when there are not so many, or
 * when nothing landed. */
static bool
publish_with_failures(uint64_t fail_at, uint64_t n)
{
    struct cfc_store_fault *plan;
    struct model m;
    uint64_t seq;
    bool has_failed = false;

    model_open(&m);
    plan = cfc_store_fault_plan(m.store);
    for (int i = 0; i < 5; i++) {
        char scope[16];

        snprintf(scope, sizeof(scope), "acme/s%d", i);
        CU_ASSERT_EQUAL(publish(&m, scope, "{\"a\":1}"), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(put_text(&m, "acme", "{\"b\":2}"), CONFCAST_OK);
    drain(&m);
    seq = cfc_store_seq(m.store);
    *plan =
        (struct cfc_store_fault){.fail_at = fail_at, .error = CONFCAST_ERR_IO, .is_after = true};
    if (promote(&m, "acme") != CONFCAST_OK && cfc_store_seq(m.store) > seq) {
        size_t count = 0;

        *plan = (struct cfc_store_fault){.fail_at = n, .error = CONFCAST_ERR_IO};
        (void)cfc_service_tick(m.service, m.now);
        has_failed = plan->call_count >= n;
        *plan = (struct cfc_store_fault){0};
        CU_ASSERT_EQUAL(cfc_service_tick(m.service, m.now), CONFCAST_OK);
        while (polled(&m)[0] != '\0') {
            count++;
        }
        CU_ASSERT_EQUAL(count, 6);
    }
    *plan = (struct cfc_store_fault){0};
    model_close(&m);
    return has_failed;
}

static void
what_a_failed_load_has_decided_is_published_all_the_same(void)
{
    uint64_t count = 0;

    for (uint64_t fail_at = 1; fail_at < 20; fail_at++) {
        for (uint64_t n = 1; publish_with_failures(fail_at, n); n++) {
            count++;
        }
    }
    CU_ASSERT_TRUE(count > 10);
}

static void
requests_that_come_to_nothing_leave_nothing_in_memory(void)
{
    static const char *const foreign[] = {"acme/new/layer", "acme"};
    struct model m;
    unsigned before;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme/shop", "{}"), CONFCAST_OK);
    before = HASH_CNT(hh, m.service->catalog.by_path);
    CU_ASSERT_EQUAL(before, 2);
    for (int i = 0; i < 100; i++) {
        struct cfc_change change = by_ann(&m);
        struct cfc_put put = {.text = "{}", .text_size = 2};
        struct cfc_layers layers;
        char scope[32];

        snprintf(scope, sizeof(scope), "t%d/a/b", i);
        put.scope = scope;
        CU_ASSERT_EQUAL(put_expecting(&m, scope, "{}", 7), CONFCAST_ERR_CONFLICT);
        change.is_dry_run = true;
        CU_ASSERT_EQUAL(cfc_service_put(m.service, &change, &put, &m.put, NULL), CONFCAST_OK);
        CU_ASSERT_EQUAL(
            cfc_service_put_rule(m.service, &change, CFC_RULE_SCHEMA, &put, &m.put, NULL),
            CONFCAST_OK);
        CU_ASSERT_EQUAL(
            cfc_service_set_layers(m.service, &change, scope, NULL, 0, true, 9, &layers, NULL),
            CONFCAST_ERR_CONFLICT);
        snprintf(scope, sizeof(scope), "acme/x%d", i);
        CU_ASSERT_EQUAL(
            cfc_service_set_layers(m.service, &change, scope, foreign, 2, false, 0, &layers, NULL),
            CONFCAST_OK);
        json_decref(layers.preview);
    }
    CU_ASSERT_EQUAL(HASH_CNT(hh, m.service->catalog.by_path), before);
    /* What something came of stays: a layer that is only named, and a scope with rules alone. */
    CU_ASSERT_EQUAL(set_layers(&m, "acme/shop", foreign, 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(HASH_CNT(hh, m.service->catalog.by_path), before + 1);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(effective(&m, "acme/shop"), "{\"a\":1}");
    model_close(&m);
}

static void
opening_on_a_failing_store_says_so(void)
{
    struct model m;
    uint64_t n;

    model_open(&m);
    CU_ASSERT_EQUAL(publish(&m, "acme", "{}"), CONFCAST_OK);
    for (n = 1; n < 100; n++) {
        struct cfc_service *service = NULL;
        struct cfc_store_fault *plan = cfc_store_fault_plan(m.store);
        int error;

        *plan = (struct cfc_store_fault){.fail_at = n, .error = CONFCAST_ERR_IO};
        error = cfc_service_open(m.store, NULL, &service);
        cfc_service_close(service);
        if (error == CONFCAST_OK) {
            break;
        }
        CU_ASSERT_EQUAL(error, CONFCAST_ERR_IO);
    }
    CU_ASSERT_TRUE(n > 8 && n < 100);
    *cfc_store_fault_plan(m.store) = (struct cfc_store_fault){0};
    CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
    model_close(&m);
}

static void
a_damaged_record_is_corrupt_and_nothing_is_served_from_it(void)
{
    static const char *const keys[] = {"s/acme", "r/acme", "l/acme", "m/audit"};
    static const char *const junk[] = {"", "{", "[]", "{}", "{\"latest\":-1,\"state\":\"ACTIVE\"}"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        for (size_t j = 0; j < sizeof(junk) / sizeof(junk[0]); j++) {
            static const char *const layers[] = {"acme"};
            struct cfc_service *service = NULL;
            struct cfc_store_batch batch;
            struct model m;
            uint64_t seq;

            model_open(&m);
            CU_ASSERT_EQUAL(publish(&m, "acme", "{}"), CONFCAST_OK);
            CU_ASSERT_EQUAL(set_layers(&m, "acme", layers, 1), CONFCAST_OK);
            cfc_store_batch_init(&batch);
            cfc_store_put(&batch, keys[i], strlen(keys[i]), junk[j], strlen(junk[j]));
            CU_ASSERT_EQUAL(cfc_store_commit(m.store, &batch, &seq), CONFCAST_OK);
            cfc_store_batch_clear(&batch);
            CU_ASSERT_EQUAL(cfc_service_open(m.store, NULL, &service), CONFCAST_ERR_CORRUPT);
            CU_ASSERT_PTR_NULL(service);
            CU_ASSERT_EQUAL(publish(&m, "acme", "{}"), CONFCAST_ERR_CORRUPT);
            model_close(&m);
        }
    }
}

/* ---- Another writer ----------------------------------------------------------------------------
 */

static struct model *raced;
static const char *raced_point;
static const char *raced_key;

/* Rewrites a record behind the service's back, between its look at it and its commit. */
static void
race(const char *point)
{
    struct cfc_store *store = raced != NULL ? raced->store : NULL;
    struct cfc_store_value value;
    struct cfc_store_batch batch;
    uint64_t seq;

    if (raced == NULL || strcmp(point, raced_point) != 0) {
        return;
    }
    CU_ASSERT_EQUAL_FATAL(cfc_store_get(store, raced_key, strlen(raced_key), &value), CONFCAST_OK);
    cfc_store_batch_init(&batch);
    cfc_store_put(&batch, raced_key, strlen(raced_key), value.bytes, value.size);
    raced = NULL;
    CU_ASSERT_EQUAL(cfc_store_commit(store, &batch, &seq), CONFCAST_OK);
    cfc_store_batch_clear(&batch);
    cfc_store_value_free(&value);
}

static void
a_commit_on_a_record_that_changed_meanwhile_is_a_conflict(void)
{
    static const struct {
        const char *point;
        const char *key;
    } rows[] = {{"revision:prepared", "s/acme"},
                {"revision:prepared", "m/audit"},
                {"release:prepared", "r/acme"},
                {"release:prepared", "m/audit"}};

    cfc_store_crash_hook = race;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_put = strcmp(rows[i].point, "revision:prepared") == 0;
        struct model m;
        uint64_t seq;

        model_open(&m);
        CU_ASSERT_EQUAL(publish(&m, "acme", "{\"a\":1}"), CONFCAST_OK);
        seq = cfc_store_seq(m.store);
        raced = &m;
        raced_point = rows[i].point;
        raced_key = rows[i].key;
        CU_ASSERT_EQUAL(is_put ? put_text(&m, "acme", "{\"a\":2}") : promote(&m, "acme"),
                        CONFCAST_ERR_CONFLICT);
        CU_ASSERT_PTR_NULL(raced);
        CU_ASSERT_EQUAL(cfc_store_seq(m.store), seq + 1);
        /* What the other one wrote is known now. */
        CU_ASSERT_EQUAL(is_put ? put_text(&m, "acme", "{\"a\":2}") : promote(&m, "acme"),
                        CONFCAST_OK);
        model_close(&m);
    }
    cfc_store_crash_hook = NULL;
}

/* ---- Threads -----------------------------------------------------------------------------------
 */

enum {
    THREAD_COUNT = 4,
    PUTS_PER_THREAD = 50
};

static void *
put_with_cas(void *arg)
{
    struct cfc_service *service = arg;
    struct cfc_put put = {
        .scope = "acme", .text = "{}", .text_size = 2, .has_expected_revision = true};
    struct cfc_change change = {.unix_ns = T0};
    intptr_t conflicts = 0;

    for (int done = 0; done < PUTS_PER_THREAD;) {
        struct cfc_put_result result;
        struct cfc_refusal refusal;
        int error = cfc_service_put(service, &change, &put, &result, &refusal);

        if (error == CONFCAST_OK) {
            put.expected_revision = result.revision;
            done++;
        } else if (error == CONFCAST_ERR_CONFLICT) {
            put.expected_revision = refusal.current_revision;
            conflicts++;
        } else {
            return (void *)(intptr_t)-1;
        }
    }
    return (void *)conflicts;
}

static void
concurrent_writers_neither_lose_nor_double_a_revision(void)
{
    pthread_t threads[THREAD_COUNT];
    struct cfc_definition_meta *items;
    struct model m;
    size_t count;

    model_open(&m);
    for (int i = 0; i < THREAD_COUNT; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, put_with_cas, m.service), 0);
    }
    for (int i = 0; i < THREAD_COUNT; i++) {
        void *conflicts;

        CU_ASSERT_EQUAL(pthread_join(threads[i], &conflicts), 0);
        CU_ASSERT_TRUE((intptr_t)conflicts >= 0);
    }
    CU_ASSERT_EQUAL(cfc_service_history(m.service, "acme", 0, 1000, &items, &count), CONFCAST_OK);
    CU_ASSERT_EQUAL(count, THREAD_COUNT * PUTS_PER_THREAD);
    free(items);
    model_close(&m);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(effective_config_does_not_depend_on_the_order_of_insertion),
    CFC_CASE(reopening_at_any_point_computes_the_same),
    CFC_CASE(whatever_call_of_the_store_fails_memory_and_store_agree_afterwards),
    CFC_CASE(what_a_failed_load_has_decided_is_published_all_the_same),
    CFC_CASE(requests_that_come_to_nothing_leave_nothing_in_memory),
    CFC_CASE(opening_on_a_failing_store_says_so),
    CFC_CASE(a_damaged_record_is_corrupt_and_nothing_is_served_from_it),
    CFC_CASE(a_commit_on_a_record_that_changed_meanwhile_is_a_conflict),
    CFC_CASE(concurrent_writers_neither_lose_nor_double_a_revision),
};

CFC_TEST_MAIN("model_state", cases)
