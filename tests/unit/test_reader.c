#include "confcast/confcast.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-bp.h>

#include "consumer/scope.h"
#include "consumer/view.h"
#include "protocol/snapshot/body.h"
#include "tests/unit/cunit_main.h"

static struct cfc_sha256 *sha;

/* {"a":{"b":7,"list":[1,"x",null]},"f":1.5,"n":null,"ok":true,"s":"hej"}, with "b" as given */
static struct cfc_loaded *
loaded_with(int64_t b)
{
    struct cfc_body_writer w;
    struct cfc_loaded *loaded = NULL;
    struct cfc_digest id;
    uint8_t *body = NULL;
    size_t size = 0;

    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "a", 1);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "b", 1);
    cfc_body_i64(&w, b);
    cfc_body_key(&w, "list", 4);
    cfc_body_begin_array(&w);
    cfc_body_i64(&w, 1);
    cfc_body_string(&w, "x", 1);
    cfc_body_null(&w);
    cfc_body_end(&w);
    cfc_body_end(&w);
    cfc_body_key(&w, "f", 1);
    cfc_body_f64(&w, 1.5);
    cfc_body_key(&w, "n", 1);
    cfc_body_null(&w);
    cfc_body_key(&w, "ok", 2);
    cfc_body_bool(&w, true);
    cfc_body_key(&w, "s", 1);
    cfc_body_string(&w, "hej", 3);
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &body, &size), CONFCAST_OK);
    if (sha == NULL) {
        sha = cfc_sha256_new();
    }
    cfc_content_id(sha, body, size, &id);
    CU_ASSERT_EQUAL_FATAL(cfc_loaded_new(body, size, &id, sha, &loaded), CONFCAST_OK);
    return loaded;
}

static struct confcast_view *
view_with(int64_t b, uint64_t version)
{
    struct cfc_loaded *loaded = loaded_with(b);
    struct confcast_view *view =
        cfc_view_new(loaded, &(struct cfc_served){.epoch = 1, .version = version});

    cfc_loaded_unref(loaded);
    return view;
}

static void
typed_getters_find_values_of_their_type(void)
{
    struct confcast_view *view = view_with(7, 42);
    size_t size = 0;
    int why = -1;

    CU_ASSERT_EQUAL(confcast_get_i64(view, CONFCAST_KEY("/a/b"), 0, &why), 7);
    CU_ASSERT_EQUAL(why, CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_get_f64(view, CONFCAST_KEY("/f"), 0, NULL), 1.5);
    CU_ASSERT_EQUAL(confcast_get_f64(view, CONFCAST_KEY("/a/b"), 0, &why), 7.0);
    CU_ASSERT_EQUAL(why, CONFCAST_OK);
    CU_ASSERT(confcast_get_bool(view, CONFCAST_KEY("/ok"), false, NULL));
    CU_ASSERT_STRING_EQUAL(confcast_get_string(view, CONFCAST_KEY("/s"), "", &size, NULL), "hej");
    CU_ASSERT_EQUAL(size, 3);
    CU_ASSERT_STRING_EQUAL(confcast_get_string(view, CONFCAST_KEY("/a/list/1"), "", NULL, NULL),
                           "x");
    CU_ASSERT_EQUAL(confcast_view_version(view), 42);
    cfc_view_free(view);
}

static void
one_call_reads_a_value_of_what_the_scope_serves(void)
{
    struct confcast_scope scope = {.view = NULL};
    char string[8];
    int why = 0;

    CU_ASSERT_EQUAL(confcast_read_i64(&scope, CONFCAST_KEY("/a/b"), 5, &why), 5);
    CU_ASSERT_EQUAL(why, CONFCAST_ERR_NOT_FOUND);
    scope.view = view_with(7, 1);
    CU_ASSERT_EQUAL(confcast_read_i64(&scope, CONFCAST_KEY("/a/b"), 5, &why), 7);
    CU_ASSERT_EQUAL(why, CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_read_f64(&scope, CONFCAST_KEY("/f"), 0, NULL), 1.5);
    CU_ASSERT(confcast_read_bool(&scope, CONFCAST_KEY("/ok"), false, NULL));
    CU_ASSERT(confcast_read_bool(&scope, CONFCAST_KEY("/s"), true, &why));
    CU_ASSERT_EQUAL(why, CONFCAST_ERR_TYPE);
    CU_ASSERT_EQUAL(confcast_read_string(&scope, CONFCAST_KEY("/s"), "", string, 4, &why), 3);
    CU_ASSERT_STRING_EQUAL(string, "hej");
    CU_ASSERT_EQUAL(why, CONFCAST_OK);
    CU_ASSERT_FALSE(urcu_bp_read_ongoing());
    cfc_view_free(scope.view);
}

static void
one_call_cuts_a_string_at_the_end_of_a_character(void)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac"; /* of 1, 2 and 3 bytes */
    static const size_t kept[] = {0, 0, 1, 1, 3, 3, 3, 6, 6};
    struct confcast_scope scope = {.view = NULL};

    for (size_t capacity = 1; capacity < 9; capacity++) {
        char string[9];

        memset(string, '#', sizeof(string));
        CU_ASSERT_EQUAL(
            confcast_read_string(&scope, CONFCAST_KEY("/s"), text, string, capacity, NULL), 6);
        CU_ASSERT_EQUAL(strlen(string), kept[capacity]);
        CU_ASSERT_EQUAL(memcmp(string, text, kept[capacity]), 0);
        CU_ASSERT_EQUAL(string[capacity], '#');
    }
    {
        char string[2] = "#";

        CU_ASSERT_EQUAL(
            confcast_read_string(&scope, CONFCAST_KEY("/s"), NULL, string, sizeof(string), NULL),
            0);
        CU_ASSERT_STRING_EQUAL(string, "");
    }
}

static void
getters_fall_back_and_say_why(void)
{
    struct confcast_view *view = view_with(7, 1);
    size_t size = 9;
    int why = 0;

    CU_ASSERT_EQUAL(confcast_get_i64(view, CONFCAST_KEY("/a/zz"), 5, &why), 5);
    CU_ASSERT_EQUAL(why, CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(confcast_get_i64(view, CONFCAST_KEY("/s"), 5, &why), 5);
    CU_ASSERT_EQUAL(why, CONFCAST_ERR_TYPE);
    CU_ASSERT_EQUAL(confcast_get_i64(view, CONFCAST_KEY("/f"), 5, &why), 5);
    CU_ASSERT_EQUAL(why, CONFCAST_ERR_TYPE);
    CU_ASSERT(confcast_get_bool(NULL, CONFCAST_KEY("/ok"), true, &why));
    CU_ASSERT_EQUAL(why, CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(confcast_get_string(view, CONFCAST_KEY("/n"), "dflt", &size, &why),
                           "dflt");
    CU_ASSERT_EQUAL(size, 4);
    CU_ASSERT_PTR_NULL(confcast_get_string(view, CONFCAST_KEY("/zz"), NULL, &size, NULL));
    CU_ASSERT_EQUAL(size, 0);
    CU_ASSERT_PTR_NULL(confcast_get(view, CONFCAST_KEY("not a pointer")).view);
    cfc_view_free(view);
}

static void
iteration_visits_members_in_canonical_order(void)
{
    static const char *const keys[] = {"a", "f", "n", "ok", "s"};
    struct confcast_view *view = view_with(7, 1);
    struct confcast_iterator it = confcast_iterate(confcast_get(view, CONFCAST_KEY("")));
    uint32_t count = 0;

    while (confcast_next(&it)) {
        CU_ASSERT_FATAL(count < 5);
        CU_ASSERT_STRING_EQUAL(it.key, keys[count]);
        count++;
    }
    CU_ASSERT_EQUAL(count, 5);
    it = confcast_iterate(confcast_get(view, CONFCAST_KEY("/a/list")));
    CU_ASSERT(confcast_next(&it));
    CU_ASSERT_PTR_NULL(it.key);
    CU_ASSERT_EQUAL(confcast_value_i64(it.value, 0, NULL), 1);
    CU_ASSERT(confcast_next(&it));
    CU_ASSERT(confcast_next(&it));
    CU_ASSERT_EQUAL(it.value.type, CONFCAST_NULL);
    CU_ASSERT(!confcast_next(&it));
    it = confcast_iterate(confcast_get(view, CONFCAST_KEY("/s")));
    CU_ASSERT(!confcast_next(&it));
    CU_ASSERT_EQUAL(confcast_value_count(confcast_get(view, CONFCAST_KEY("/a"))), 2);
    CU_ASSERT_EQUAL(confcast_value_count(confcast_get(view, CONFCAST_KEY("/s"))), 0);
    cfc_view_free(view);
}

struct told {
    unsigned count;
    unsigned end_after;
    enum confcast_change_kind kind;
    char pointer[32];
    int64_t before;
    int64_t after;
};

static int
note_change(void *arg, const struct confcast_change *change)
{
    struct told *told = arg;

    told->count++;
    told->kind = change->kind;
    snprintf(told->pointer, sizeof(told->pointer), "%s", change->pointer);
    told->before = confcast_value_i64(change->before, -1, NULL);
    told->after = confcast_value_i64(change->after, -1, NULL);
    return told->count == told->end_after ? 77 : 0;
}

static void
two_views_differ_in_the_keys_that_are_told(void)
{
    struct confcast_view *before = view_with(7, 1);
    struct confcast_view *same = view_with(7, 2);
    struct confcast_view *after = view_with(8, 3);
    struct told told = {.count = 0};

    CU_ASSERT_EQUAL(confcast_diff(before, same, note_change, &told), CONFCAST_OK);
    CU_ASSERT_EQUAL(told.count, 0);
    CU_ASSERT_EQUAL(confcast_diff(before, after, note_change, &told), CONFCAST_OK);
    CU_ASSERT_EQUAL(told.count, 1);
    CU_ASSERT_EQUAL(told.kind, CONFCAST_CHANGED);
    CU_ASSERT_STRING_EQUAL(told.pointer, "/a/b");
    CU_ASSERT_EQUAL(told.before, 7);
    CU_ASSERT_EQUAL(told.after, 8);
    /* From nothing: all five; and the walk ends when it is told to. */
    told = (struct told){.count = 0};
    CU_ASSERT_EQUAL(confcast_diff(NULL, after, note_change, &told), CONFCAST_OK);
    CU_ASSERT_EQUAL(told.count, 5);
    CU_ASSERT_EQUAL(told.kind, CONFCAST_ADDED);
    told = (struct told){.end_after = 2};
    CU_ASSERT_EQUAL(confcast_diff(after, NULL, note_change, &told), 77);
    CU_ASSERT_EQUAL(told.count, 2);
    CU_ASSERT_EQUAL(told.kind, CONFCAST_REMOVED);

    CU_ASSERT_TRUE(confcast_differs(before, after, CONFCAST_KEY("/a/b")));
    CU_ASSERT_TRUE(confcast_differs(before, after, CONFCAST_KEY("/a")));
    CU_ASSERT_FALSE(confcast_differs(before, after, CONFCAST_KEY("/a/list")));
    CU_ASSERT_FALSE(confcast_differs(before, same, CONFCAST_KEY("")));
    CU_ASSERT_FALSE(confcast_differs(before, after, CONFCAST_KEY("/zz")));
    CU_ASSERT_TRUE(confcast_differs(NULL, after, CONFCAST_KEY("/a")));
    CU_ASSERT_FALSE(confcast_differs(NULL, after, CONFCAST_KEY("/zz")));
    cfc_view_free(before);
    cfc_view_free(same);
    cfc_view_free(after);
}

static void
a_view_prints_as_canonical_json(void)
{
    static const char expected[] =
        "{\"a\":{\"b\":7,\"list\":[1,\"x\",null]},\"f\":1.5,\"n\":null,\"ok\":true,\"s\":\"hej\"}";
    struct confcast_view *view = view_with(7, 1);
    char json[128];
    size_t size = 0;

    CU_ASSERT_EQUAL(confcast_view_json(view, CONFCAST_KEY(""), json, sizeof(json), &size),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(size, sizeof(expected) - 1);
    CU_ASSERT_EQUAL(memcmp(json, expected, size), 0);
    CU_ASSERT_EQUAL(confcast_view_json(view, CONFCAST_KEY(""), json, size - 1, &size),
                    CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(size, sizeof(expected) - 1);
    CU_ASSERT_EQUAL(confcast_view_json(view, CONFCAST_KEY("/zz"), json, sizeof(json), &size),
                    CONFCAST_ERR_NOT_FOUND);
    cfc_view_free(view);
}

static void
a_body_under_another_name_is_refused(void)
{
    struct cfc_loaded *good = loaded_with(1);
    struct cfc_loaded *out = NULL;
    struct cfc_digest other = good->id;
    uint8_t *copy = malloc(good->body_size);

    memcpy(copy, good->body, good->body_size);
    other.bytes[31] ^= 1;
    CU_ASSERT_EQUAL(cfc_loaded_new(copy, good->body_size, &other, sha, &out), CONFCAST_ERR_DIGEST);
    CU_ASSERT_PTR_NULL(out);
    cfc_loaded_unref(good);
}

enum {
    SWAPS = 20000,
    READERS = 2
};

static struct confcast_scope scope;
static struct cfc_retired retired;
static atomic_bool is_done;
static atomic_uint mixed;

/* Version and content are told apart only by a mixed view: every view's "b" is its version. */
static void *
read_until_done(void *arg)
{
    uint64_t last = 0;

    while (!atomic_load_explicit(&is_done, memory_order_relaxed)) {
        const struct confcast_view *view;

        confcast_read_lock();
        view = confcast_view(&scope);
        for (int i = 0; i < 4; i++) {
            if ((uint64_t)confcast_get_i64(view, CONFCAST_KEY("/a/b"), -1, NULL) !=
                confcast_view_version(view)) {
                atomic_fetch_add(&mixed, 1);
            }
        }
        if (confcast_view_version(view) < last) {
            atomic_fetch_add(&mixed, 1);
        }
        last = confcast_view_version(view);
        confcast_read_unlock();
    }
    return arg;
}

static void
readers_see_whole_versions_that_only_rise_through_many_swaps(void)
{
    pthread_t readers[READERS];

    scope.view = view_with(1, 1);
    confcast_read_lock(); /* registers this thread, which calls call_rcu() */
    confcast_read_unlock();
    for (int i = 0; i < READERS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&readers[i], NULL, read_until_done, NULL), 0);
    }
    for (int64_t i = 2; i < SWAPS; i++) {
        cfc_view_retire(cfc_view_exchange(&scope.view, view_with(i, (uint64_t)i)), true, &retired);
    }
    atomic_store(&is_done, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    CU_ASSERT_EQUAL(atomic_load(&mixed), 0);
    urcu_bp_barrier();
    CU_ASSERT_EQUAL(atomic_load(&retired.size), 0);
    cfc_view_free(scope.view);
    cfc_sha256_free(sha);
    sha = NULL;
}

static void
one_value_in_a_section_leaves_the_section_open(void)
{
    struct confcast_scope local = {.view = view_with(7, 1)};
    struct confcast_key key;
    bool is_open;

    confcast_key_init(&key, "/a/b");
    CU_ASSERT_EQUAL(confcast_read_i64(&local, &key, 7, NULL), 7); /* registers the thread */
    CU_ASSERT_EQUAL(urcu_bp_read_ongoing(), 0);
    for (int i = 0; i < 2; i++) {
        confcast_read_lock();
        confcast_read_lock();
        (void)confcast_read_i64(&local, &key, 7, NULL);
        (void)confcast_read_bool(&local, &key, false, NULL);
        confcast_read_unlock();
        (void)confcast_read_f64(&local, &key, 7, NULL);
        is_open = urcu_bp_read_ongoing() != 0;
        confcast_read_unlock();
        CU_ASSERT_TRUE(is_open);
        CU_ASSERT_EQUAL(urcu_bp_read_ongoing(), 0);
        urcu_bp_synchronize_rcu(); /* the other phase */
        (void)confcast_read_i64(&local, &key, 7, NULL);
        CU_ASSERT_EQUAL(urcu_bp_read_ongoing(), 0);
    }
    cfc_view_free(local.view);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(typed_getters_find_values_of_their_type),
    CFC_CASE(one_call_reads_a_value_of_what_the_scope_serves),
    CFC_CASE(one_value_in_a_section_leaves_the_section_open),
    CFC_CASE(one_call_cuts_a_string_at_the_end_of_a_character),
    CFC_CASE(getters_fall_back_and_say_why),
    CFC_CASE(iteration_visits_members_in_canonical_order),
    CFC_CASE(two_views_differ_in_the_keys_that_are_told),
    CFC_CASE(a_view_prints_as_canonical_json),
    CFC_CASE(a_body_under_another_name_is_refused),
    CFC_CASE(readers_see_whole_versions_that_only_rise_through_many_swaps),
};

CFC_TEST_MAIN("reader", cases)
