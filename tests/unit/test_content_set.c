/* The contents that a receiver knows of: who refers to them, and what becomes of them. */
#include "protocol/session/content_set.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

enum {
    ASK_AT = 1000
};

static struct cfc_digest
numbered(uint32_t number)
{
    struct cfc_digest digest;

    memset(&digest, 0x5a, sizeof(digest));
    memcpy(digest.bytes, &number, sizeof(number));
    return digest;
}

static void
open_set(struct cfc_content_set *set, struct cfc_test_heap *heap)
{
    struct cfc_alloc alloc = cfc_test_heap_table(heap);

    memset(heap, 0, sizeof(*heap));
    alloc.ctx = heap;
    CU_ASSERT_EQUAL_FATAL(cfc_content_set_init(set, &alloc), CONFCAST_OK);
}

static void
close_set(struct cfc_content_set *set, struct cfc_test_heap *heap)
{
    cfc_content_set_free(set);
    CU_ASSERT_EQUAL(heap->live_count, 0);
}

static void
thousands_of_contents_are_found_again_and_forgotten(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;

    open_set(&set, &heap);
    for (uint32_t i = 0; i < 3000; i++) {
        struct cfc_digest id = numbered(i);

        CU_ASSERT_PTR_NOT_NULL_FATAL(cfc_content_set_acquire(&set, &id, CFC_NEED_TARGET, ASK_AT));
    }
    CU_ASSERT_EQUAL(set.entry_count, 3000);
    CU_ASSERT(set.bucket_count >= 1024);
    for (uint32_t i = 0; i < 3000; i++) {
        struct cfc_digest id = numbered(i);
        struct cfc_entry *entry = cfc_content_set_find(&set, &id);

        CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
        CU_ASSERT(cfc_digest_equal(&entry->id, &id));
        cfc_content_set_release(&set, entry, CFC_NEED_TARGET);
        CU_ASSERT_PTR_NULL(cfc_content_set_find(&set, &id));
    }
    CU_ASSERT_EQUAL(set.entry_count, 0);
    CU_ASSERT_PTR_NULL(set.active);
    close_set(&set, &heap);
}

static void
without_memory_for_more_buckets_everything_is_still_found(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;

    open_set(&set, &heap);
    for (uint32_t i = 0; i < 200; i++) {
        struct cfc_digest id = numbered(i);

        /* The entry's own memory comes first, then that of the buckets. */
        heap.call_count = 0;
        heap.fail_at = 2;
        CU_ASSERT_PTR_NOT_NULL_FATAL(cfc_content_set_acquire(&set, &id, CFC_NEED_OTHER, ASK_AT));
    }
    heap.fail_at = 0;
    CU_ASSERT_EQUAL(set.bucket_count, 16);
    for (uint32_t i = 0; i < 200; i++) {
        struct cfc_digest id = numbered(i);

        CU_ASSERT_PTR_NOT_NULL(cfc_content_set_find(&set, &id));
    }
    close_set(&set, &heap);
}

static void
contents_with_one_key_are_told_apart(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;
    struct cfc_digest first = numbered(1), second = numbered(1), third = numbered(2);
    struct cfc_entry *a, *b;

    open_set(&set, &heap);
    second.bytes[31] ^= 1;
    a = cfc_content_set_acquire(&set, &first, CFC_NEED_TARGET, ASK_AT);
    (void)cfc_content_set_acquire(&set, &third, CFC_NEED_TARGET, ASK_AT);
    b = cfc_content_set_acquire(&set, &second, CFC_NEED_TARGET, ASK_AT);
    CU_ASSERT_PTR_NOT_EQUAL(a, b);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_find(&set, &first), a);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_find(&set, &second), b);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_find_key(&set, cfc_digest_key(&first)), b);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_next_key(b), a);
    CU_ASSERT_PTR_NULL(cfc_content_set_next_key(a));
    cfc_content_set_release(&set, a, CFC_NEED_TARGET);
    CU_ASSERT_PTR_NULL(cfc_content_set_find(&set, &first));
    CU_ASSERT_PTR_EQUAL(cfc_content_set_find(&set, &second), b);
    close_set(&set, &heap);
}

static void
the_most_urgent_reference_says_how_urgent_a_content_is(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;
    struct cfc_digest id = numbered(1);
    struct cfc_entry *entry;

    open_set(&set, &heap);
    entry = cfc_content_set_acquire(&set, &id, CFC_NEED_KEEP, ASK_AT);
    CU_ASSERT_FALSE(cfc_entry_is_wanted(entry));
    CU_ASSERT_FALSE(cfc_ask_is_on(&entry->ask));
    CU_ASSERT_PTR_NULL(set.active);
    (void)cfc_content_set_acquire(&set, &id, CFC_NEED_OTHER, ASK_AT);
    CU_ASSERT_EQUAL(entry->ask.at_ns, ASK_AT);
    CU_ASSERT_PTR_EQUAL(set.active, entry);
    entry->is_deferred = true;
    (void)cfc_content_set_acquire(&set, &id, CFC_NEED_TARGET, ASK_AT + 1);
    CU_ASSERT_EQUAL(cfc_entry_need(entry), CFC_NEED_TARGET);
    CU_ASSERT_FALSE(entry->is_deferred);
    CU_ASSERT_EQUAL(entry->ask.at_ns, ASK_AT);
    cfc_content_set_release(&set, entry, CFC_NEED_TARGET);
    CU_ASSERT_EQUAL(cfc_entry_need(entry), CFC_NEED_OTHER);
    cfc_content_set_release(&set, entry, CFC_NEED_OTHER);
    CU_ASSERT_PTR_NULL(set.active);
    cfc_content_set_release(&set, entry, CFC_NEED_KEEP);
    CU_ASSERT_EQUAL(set.entry_count, 0);
    close_set(&set, &heap);
}

static void
events_keep_their_order_when_one_in_the_middle_goes(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;
    struct cfc_entry *entries[4];

    open_set(&set, &heap);
    for (uint32_t i = 0; i < 4; i++) {
        struct cfc_digest id = numbered(i);

        entries[i] = cfc_content_set_acquire(&set, &id, CFC_NEED_TARGET, ASK_AT);
        cfc_content_set_push_event(&set, entries[i]);
        cfc_content_set_push_event(&set, entries[i]);
    }
    cfc_content_set_release(&set, entries[1], CFC_NEED_TARGET);
    cfc_content_set_release(&set, entries[3], CFC_NEED_TARGET);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_pop_event(&set), entries[0]);
    cfc_content_set_push_event(&set, entries[0]);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_pop_event(&set), entries[2]);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_pop_event(&set), entries[0]);
    CU_ASSERT_PTR_NULL(cfc_content_set_pop_event(&set));
    cfc_content_set_push_event(&set, entries[2]);
    cfc_content_set_push_event(&set, entries[2]);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_pop_event(&set), entries[2]);
    CU_ASSERT_PTR_NULL(cfc_content_set_pop_event(&set));
    cfc_content_set_push_event(&set, entries[2]);
    cfc_content_set_release(&set, entries[2], CFC_NEED_TARGET);
    CU_ASSERT_PTR_NULL(cfc_content_set_pop_event(&set));
    close_set(&set, &heap);
}

static void
what_the_owner_holds_stays_until_it_was_needed_and_is_no_more(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;
    struct cfc_digest id = numbered(1);
    struct cfc_entry *entry;

    open_set(&set, &heap);
    CU_ASSERT_EQUAL(cfc_content_set_hold(&set, &id), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_content_set_hold(&set, &id), CONFCAST_OK);
    CU_ASSERT_PTR_NULL(cfc_content_set_pop_event(&set));
    entry = cfc_content_set_acquire(&set, &id, CFC_NEED_TARGET, ASK_AT);
    CU_ASSERT_EQUAL(entry->state, CFC_ENTRY_HELD);
    CU_ASSERT(entry->is_from_disk);
    CU_ASSERT_FALSE(cfc_ask_is_on(&entry->ask));
    cfc_content_set_release(&set, entry, CFC_NEED_TARGET);
    CU_ASSERT_PTR_EQUAL(cfc_content_set_pop_event(&set), entry);
    cfc_content_set_forget(&set, entry);
    CU_ASSERT_EQUAL(set.entry_count, 0);
    close_set(&set, &heap);
}

static void
the_number_of_contents_is_bounded(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;
    struct cfc_digest id;

    open_set(&set, &heap);
    for (uint32_t i = 0; i < CFC_CONTENT_SET_MAX; i++) {
        id = numbered(i);
        CU_ASSERT_EQUAL_FATAL(cfc_content_set_hold(&set, &id), CONFCAST_OK);
    }
    id = numbered(CFC_CONTENT_SET_MAX);
    CU_ASSERT_EQUAL(cfc_content_set_hold(&set, &id), CONFCAST_ERR_LIMIT);
    CU_ASSERT_PTR_NULL(cfc_content_set_acquire(&set, &id, CFC_NEED_TARGET, ASK_AT));
    id = numbered(0);
    CU_ASSERT_EQUAL(cfc_content_set_hold(&set, &id), CONFCAST_OK);
    close_set(&set, &heap);
}

static void
without_memory_nothing_changes(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;
    struct cfc_digest id = numbered(1);

    open_set(&set, &heap);
    heap.call_count = 0;
    heap.fail_at = 1;
    heap.fails_for_good = true;
    CU_ASSERT_PTR_NULL(cfc_content_set_acquire(&set, &id, CFC_NEED_TARGET, ASK_AT));
    CU_ASSERT_EQUAL(cfc_content_set_hold(&set, &id), CONFCAST_ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(set.entry_count, 0);
    close_set(&set, &heap);
}

static void
the_list_of_what_timers_look_at_stays_whole(void)
{
    struct cfc_content_set set;
    struct cfc_test_heap heap;
    struct cfc_entry *entries[6];
    static const uint32_t order[] = {2, 5, 0, 3, 1, 4};

    open_set(&set, &heap);
    for (uint32_t i = 0; i < 6; i++) {
        struct cfc_digest id = numbered(i);

        entries[i] = cfc_content_set_acquire(&set, &id, CFC_NEED_TARGET, ASK_AT);
    }
    for (uint32_t i = 0; i < 6; i++) {
        const struct cfc_entry *before = NULL;
        uint32_t count = 0;

        for (const struct cfc_entry *at = set.active; at != NULL; at = at->active_next) {
            CU_ASSERT_PTR_EQUAL(at->active_prev, before);
            before = at;
            count++;
        }
        CU_ASSERT_EQUAL(count, 6 - i);
        cfc_content_set_release(&set, entries[order[i]], CFC_NEED_TARGET);
    }
    CU_ASSERT_PTR_NULL(set.active);
    close_set(&set, &heap);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(thousands_of_contents_are_found_again_and_forgotten),
    CFC_CASE(without_memory_for_more_buckets_everything_is_still_found),
    CFC_CASE(contents_with_one_key_are_told_apart),
    CFC_CASE(the_most_urgent_reference_says_how_urgent_a_content_is),
    CFC_CASE(events_keep_their_order_when_one_in_the_middle_goes),
    CFC_CASE(what_the_owner_holds_stays_until_it_was_needed_and_is_no_more),
    CFC_CASE(the_number_of_contents_is_bounded),
    CFC_CASE(without_memory_nothing_changes),
    CFC_CASE(the_list_of_what_timers_look_at_stays_whole),
};

CFC_TEST_MAIN("content_set", cases)
