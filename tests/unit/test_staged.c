/* What batches have written and the database lacks. */
#include "controlplane/store/staged.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "tests/unit/cunit_main.h"

static int mallocs_left = -1; /* until one fails; -1 = none does */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *
__wrap_malloc(size_t size)
{
    if (mallocs_left == 0) {
        return NULL;
    }
    mallocs_left -= mallocs_left > 0;
    return __real_malloc(size);
}

/* What the compiler makes of malloc() and memset(). */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *
__wrap_calloc(size_t count, size_t size)
{
    if (mallocs_left == 0) {
        return NULL;
    }
    mallocs_left -= mallocs_left > 0;
    return __real_calloc(count, size);
}

static int
add(struct cfc_staged *staged, uint64_t seq, const char *const *pairs)
{
    struct cfc_store_batch batch;
    int left = mallocs_left;
    int error;

    mallocs_left = -1;
    cfc_store_batch_init(&batch);
    cfc_store_compare_absent(&batch, "guarded", 7);
    for (; pairs[0] != NULL; pairs += 2) {
        if (pairs[1] != NULL) {
            cfc_store_put(&batch, pairs[0], strlen(pairs[0]), pairs[1], strlen(pairs[1]));
        } else {
            cfc_store_delete(&batch, pairs[0], strlen(pairs[0]));
        }
    }
    mallocs_left = left;
    error = cfc_staged_add(staged, &batch, seq, 'k');
    mallocs_left = -1;
    cfc_store_batch_clear(&batch);
    return error;
}

/* "SEQ VALUE", "deleted", or "unknown". */
static const char *
look(const struct cfc_staged *staged, const char *key)
{
    static char text[64];
    const struct cfc_staged_value *value = cfc_staged_find(staged, key, strlen(key));

    if (value == NULL) {
        return "unknown";
    }
    if (value->value == NULL) {
        return "deleted";
    }
    CU_ASSERT_FATAL(value->value_size >= 8);
    snprintf(text, sizeof(text), "%llu %.*s", (unsigned long long)cfc_get_u64(value->value),
             (int)value->value_size - 8, (const char *)value->value + 8);
    return text;
}

static void
the_newest_write_of_a_key_is_what_is_found(void)
{
    struct cfc_staged staged;

    cfc_staged_init(&staged);
    CU_ASSERT_STRING_EQUAL(look(&staged, "ka"), "unknown");
    CU_ASSERT_EQUAL(add(&staged, 5, (const char *[]){"a", "one", "b", "two", NULL}), CONFCAST_OK);
    CU_ASSERT_EQUAL(add(&staged, 6, (const char *[]){"b", "three and longer", "c", "", NULL}),
                    CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(look(&staged, "ka"), "5 one");
    CU_ASSERT_STRING_EQUAL(look(&staged, "kb"), "6 three and longer");
    CU_ASSERT_STRING_EQUAL(look(&staged, "kc"), "6 ");
    CU_ASSERT_STRING_EQUAL(look(&staged, "a"), "unknown");
    CU_ASSERT_STRING_EQUAL(look(&staged, "kguarded"), "unknown");
    CU_ASSERT_EQUAL(staged.seq, 6);
    CU_ASSERT_EQUAL(add(&staged, 7, (const char *[]){"a", NULL, "b", "4", NULL}), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(look(&staged, "ka"), "deleted");
    CU_ASSERT_STRING_EQUAL(look(&staged, "kb"), "7 4");
    CU_ASSERT_EQUAL(add(&staged, 8, (const char *[]){"a", "back", NULL}), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(look(&staged, "ka"), "8 back");
    cfc_staged_clear(&staged);
    CU_ASSERT_STRING_EQUAL(look(&staged, "ka"), "unknown");
    CU_ASSERT_EQUAL(staged.seq, 0);
    CU_ASSERT_EQUAL(staged.size, 0);
}

static void
each_key_comes_once_in_the_order_of_the_keys(void)
{
    static const char *const expected[] = {"k", "kab", "kabc", "kb", "k\xff"};
    struct cfc_staged staged;
    size_t count = 0;

    cfc_staged_init(&staged);
    CU_ASSERT_PTR_NULL(cfc_staged_sort(&staged));
    CU_ASSERT_EQUAL(add(&staged, 1, (const char *[]){"\xff", "1", "b", "1", NULL}), CONFCAST_OK);
    CU_ASSERT_EQUAL(add(&staged, 2, (const char *[]){"abc", "2", "b", NULL, NULL}), CONFCAST_OK);
    CU_ASSERT_EQUAL(add(&staged, 3, (const char *[]){"ab", "3", "b", "3", NULL}), CONFCAST_OK);
    for (const struct cfc_staged_value *v = cfc_staged_sort(&staged); v != NULL; v = v->hh.next) {
        const char *key = expected[++count < 5 ? count : 0];

        CU_ASSERT_EQUAL(v->key_size, strlen(key));
        CU_ASSERT_EQUAL(memcmp(v->key, key, strlen(key)), 0);
    }
    CU_ASSERT_EQUAL(count, 4);
    CU_ASSERT_STRING_EQUAL(look(&staged, "kb"), "3 3");
    cfc_staged_clear(&staged);
}

/* Enough keys that the table of them grows within one batch, too. */
static void
a_batch_without_memory_leaves_what_was_there(void)
{
    static char names[400][8];
    static const char *pairs[2 * 400 + 1];
    struct cfc_staged staged;
    int failures = 0;
    int error;

    for (size_t i = 0; i < 400; i++) {
        snprintf(names[i], sizeof(names[i]), "n%zu", i);
        pairs[2 * i] = names[i];
        pairs[2 * i + 1] = "new";
    }
    do {
        cfc_staged_init(&staged);
        CU_ASSERT_EQUAL_FATAL(add(&staged, 1, (const char *[]){"n7", "old", "z", "old", NULL}),
                              CONFCAST_OK);
        mallocs_left = failures;
        error = add(&staged, 2, pairs);
        if (error != CONFCAST_OK) {
            CU_ASSERT_EQUAL(error, CONFCAST_ERR_NO_MEMORY);
            CU_ASSERT_STRING_EQUAL(look(&staged, "kn7"), "1 old");
            CU_ASSERT_STRING_EQUAL(look(&staged, "kn0"), "unknown");
            CU_ASSERT_STRING_EQUAL(look(&staged, "kn399"), "unknown");
            CU_ASSERT_EQUAL(staged.seq, 1);
            CU_ASSERT_EQUAL(HASH_COUNT(staged.values), 2);
            CU_ASSERT_EQUAL(add(&staged, 3, pairs), CONFCAST_OK);
        }
        CU_ASSERT_STRING_EQUAL(look(&staged, "kn399"), error != CONFCAST_OK ? "3 new" : "2 new");
        CU_ASSERT_STRING_EQUAL(look(&staged, "kz"), "1 old");
        cfc_staged_clear(&staged);
        failures++;
    } while (error != CONFCAST_OK && failures < 100);
    CU_ASSERT_TRUE(failures > 2 && failures < 100);
}

static void
the_first_batch_without_memory_leaves_nothing(void)
{
    struct cfc_staged staged;

    for (mallocs_left = 0; mallocs_left < 3; mallocs_left++) {
        int left = mallocs_left;

        cfc_staged_init(&staged);
        CU_ASSERT_EQUAL(add(&staged, 1, (const char *[]){"a", "1", NULL}), CONFCAST_ERR_NO_MEMORY);
        CU_ASSERT_STRING_EQUAL(look(&staged, "ka"), "unknown");
        CU_ASSERT_EQUAL(staged.seq, 0);
        cfc_staged_clear(&staged);
        mallocs_left = left;
    }
    mallocs_left = -1;
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(the_newest_write_of_a_key_is_what_is_found),
    CFC_CASE(each_key_comes_once_in_the_order_of_the_keys),
    CFC_CASE(a_batch_without_memory_leaves_what_was_there),
    CFC_CASE(the_first_batch_without_memory_leaves_nothing),
};

CFC_TEST_MAIN("staged", cases)
