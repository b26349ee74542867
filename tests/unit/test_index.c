#include "protocol/snapshot/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/heap.h"

static struct cfc_test_heap heap;
static const struct cfc_alloc alloc_table = {cfc_test_heap_alloc, cfc_test_heap_free, &heap};

struct built {
    uint8_t *bytes;
    size_t size;
    struct cfc_index index;
};

static void
finish(struct built *b, struct cfc_body_writer *w, uint64_t seed)
{
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(w, &b->bytes, &b->size), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_index_build(&b->index, b->bytes, b->size, seed, &alloc_table),
                          CONFCAST_OK);
}

static void
drop(struct built *b)
{
    cfc_index_free(&b->index, &alloc_table);
    cfc_free(&alloc_table, b->bytes);
    CU_ASSERT_EQUAL(heap.live_count, 0);
}

static const struct cfc_value *
find_seeded(const struct built *b, const char *pointer, uint64_t seed)
{
    struct cfc_index_key key;

    CU_ASSERT_EQUAL(cfc_index_key_init(&key, pointer, strlen(pointer), seed), CONFCAST_OK);
    return cfc_index_lookup(&b->index, &key);
}

static const struct cfc_value *
find(const struct built *b, const char *pointer)
{
    return find_seeded(b, pointer, b->index.seed);
}

static void
member(struct cfc_body_writer *w, const char *key, int64_t i)
{
    cfc_body_key(w, key, strlen(key));
    cfc_body_i64(w, i);
}

static int64_t
found_i64(const struct built *b, const char *pointer)
{
    const struct cfc_value *value = find(b, pointer);

    return value != NULL && cfc_value_type(value) == CFC_TYPE_I64 ? cfc_value_i64(value) : -1;
}

/* The document of RFC 6901, section 5, its keys in order; the backslash and the quote as they are
 * after JSON parsing. */
static void
pointers_of_rfc_6901_find_their_values(void)
{
    struct cfc_body_writer w;
    struct built b;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    member(&w, "", 0);
    member(&w, " ", 7);
    member(&w, "a/b", 1);
    member(&w, "c%d", 2);
    member(&w, "e^f", 3);
    cfc_body_key(&w, "foo", 3);
    cfc_body_begin_array(&w);
    cfc_body_string(&w, "bar", 3);
    cfc_body_string(&w, "baz", 3);
    cfc_body_end(&w);
    member(&w, "g|h", 4);
    member(&w, "i\\j", 5);
    member(&w, "k\"l", 6);
    member(&w, "m~n", 8);
    cfc_body_end(&w);
    finish(&b, &w, 42);

    CU_ASSERT_PTR_EQUAL(find(&b, ""), cfc_body_root(b.bytes));
    CU_ASSERT_EQUAL(cfc_value_type(find(&b, "/foo")), CFC_TYPE_ARRAY);
    CU_ASSERT_STRING_EQUAL(cfc_value_string(find(&b, "/foo/0"), NULL), "bar");
    CU_ASSERT_STRING_EQUAL(cfc_value_string(find(&b, "/foo/1"), NULL), "baz");
    CU_ASSERT_EQUAL(found_i64(&b, "/"), 0);
    CU_ASSERT_EQUAL(found_i64(&b, "/a~1b"), 1);
    CU_ASSERT_EQUAL(found_i64(&b, "/c%d"), 2);
    CU_ASSERT_EQUAL(found_i64(&b, "/e^f"), 3);
    CU_ASSERT_EQUAL(found_i64(&b, "/g|h"), 4);
    CU_ASSERT_EQUAL(found_i64(&b, "/i\\j"), 5);
    CU_ASSERT_EQUAL(found_i64(&b, "/k\"l"), 6);
    CU_ASSERT_EQUAL(found_i64(&b, "/ "), 7);
    CU_ASSERT_EQUAL(found_i64(&b, "/m~0n"), 8);

    CU_ASSERT_PTR_NULL(find(&b, "/a/b"));
    CU_ASSERT_PTR_NULL(find(&b, "/m"));
    CU_ASSERT_PTR_NULL(find(&b, "/foo/2"));
    CU_ASSERT_PTR_NULL(find(&b, "/foo/00"));
    CU_ASSERT_PTR_NULL(find(&b, "/foo/-"));
    CU_ASSERT_PTR_NULL(find(&b, "/foo/"));
    CU_ASSERT_PTR_NULL(find(&b, "/foo/0/"));
    CU_ASSERT_PTR_NULL(find(&b, "//"));
    drop(&b);
}

static void
escapes_are_undone_once_and_from_the_left(void)
{
    struct cfc_body_writer w;
    struct built b;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    member(&w, "/", 1);
    member(&w, "~", 2);
    member(&w, "~/", 3);
    member(&w, "~0", 4);
    member(&w, "~1", 5);
    cfc_body_end(&w);
    finish(&b, &w, 42);
    CU_ASSERT_EQUAL(found_i64(&b, "/~1"), 1);
    CU_ASSERT_EQUAL(found_i64(&b, "/~0"), 2);
    CU_ASSERT_EQUAL(found_i64(&b, "/~0~1"), 3);
    CU_ASSERT_EQUAL(found_i64(&b, "/~00"), 4);
    CU_ASSERT_EQUAL(found_i64(&b, "/~01"), 5);
    drop(&b);
}

static void
what_is_no_pointer_is_refused_and_finds_nothing(void)
{
    static const char *const bad[] = {"a",   "a/b", " ",    "#",     "/~",
                                      "/~2", "/a~", "/~/b", "/a/~x", "~0"};
    struct cfc_body_writer w;
    struct cfc_index_key key;
    struct built b;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    member(&w, "a", 1);
    cfc_body_end(&w);
    finish(&b, &w, 42);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(cfc_index_key_init(&key, bad[i], strlen(bad[i]), b.index.seed),
                        CONFCAST_ERR_INVALID);
        CU_ASSERT_PTR_NULL(cfc_index_lookup(&b.index, &key));
    }
    CU_ASSERT_EQUAL(cfc_index_key_init(&key, "/", (size_t)CFC_BODY_SIZE_MAX + 1, 1),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_index_key_init(&key, NULL, 0, b.index.seed), CONFCAST_OK);
    CU_ASSERT_PTR_EQUAL(cfc_index_lookup(&b.index, &key), cfc_body_root(b.bytes));
    drop(&b);
    CU_ASSERT_PTR_NULL(cfc_index_lookup(&b.index, &key)); /* an index that is not there */
}

static void
a_key_of_another_seed_is_hashed_again(void)
{
    struct cfc_body_writer w;
    struct built b;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    member(&w, "a", 1);
    member(&w, "b~", 2);
    cfc_body_end(&w);
    finish(&b, &w, 42);
    CU_ASSERT_PTR_NOT_NULL_FATAL(find_seeded(&b, "/a", 43));
    CU_ASSERT_PTR_EQUAL(find_seeded(&b, "/a", 43), find(&b, "/a"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find_seeded(&b, "/b~0", 0));
    CU_ASSERT_PTR_NULL(find_seeded(&b, "/c", 43));
    drop(&b);
}

/* Walks a document and looks every value up by a pointer that it spells itself. */
static uint32_t
find_all(const struct built *b, const struct cfc_value *container, char *pointer, size_t size)
{
    struct cfc_iter iter = cfc_iter_of(container);
    struct cfc_child child;
    uint32_t found_count = 0;
    uint32_t number = 0;

    while (cfc_iter_next(&iter, &child)) {
        enum cfc_type type = cfc_value_type(child.value);
        size_t end = size;

        pointer[end++] = '/';
        for (size_t i = 0; i < child.key_size; i++) {
            if (child.key[i] == '~' || child.key[i] == '/') {
                pointer[end++] = '~';
                pointer[end++] = child.key[i] == '~' ? '0' : '1';
            } else {
                pointer[end++] = child.key[i];
            }
        }
        if (child.key == NULL) {
            end += (size_t)snprintf(pointer + end, 12, "%u", number++);
        }
        pointer[end] = '\0';
        found_count += find(b, pointer) == child.value;
        if (type == CFC_TYPE_ARRAY || type == CFC_TYPE_OBJECT) {
            found_count += find_all(b, child.value, pointer, end);
        }
    }
    return found_count;
}

static void
random_key(struct cfc_prng *prng, int number, char key[300])
{
    size_t filler_size = cfc_prng_below(prng, 20) == 0 ? 270 : cfc_prng_below(prng, 12);
    int size = snprintf(key, 300, "k%05d", number); /* ascending */

    for (size_t i = 0; i < filler_size; i++) {
        key[size++] = "ab/~-.x "[cfc_prng_below(prng, 8)];
    }
    key[size] = '\0';
}

static void
random_value(struct cfc_body_writer *w, struct cfc_prng *prng, int depth, int breadth)
{
    bool is_object = depth == 0 || cfc_prng_below(prng, 2) == 0;

    if (depth > 0 && (depth > 6 || cfc_prng_below(prng, 3) > 0)) {
        cfc_body_i64(w, (int64_t)cfc_prng_below(prng, 1000));
        return;
    }
    if (is_object) {
        cfc_body_begin_object(w);
    } else {
        cfc_body_begin_array(w);
    }
    for (int i = 0; i < breadth; i++) {
        char key[300];

        if (is_object) {
            random_key(prng, i, key);
            cfc_body_key(w, key, strlen(key));
        }
        random_value(w, prng, depth + 1, (int)cfc_prng_below(prng, 7));
    }
    cfc_body_end(w);
}

static void
every_value_of_a_document_is_found_and_nothing_else(void)
{
    struct cfc_prng prng = {3};

    for (int i = 0; i < 30; i++) {
        static char pointer[8192];
        struct cfc_body_writer w;
        struct built b;
        char missing[32];

        cfc_body_writer_init(&w, &alloc_table);
        random_value(&w, &prng, 0, i == 0 ? 20000 : i);
        finish(&b, &w, cfc_prng_next(&prng));
        CU_ASSERT_EQUAL(find_all(&b, cfc_body_root(b.bytes), pointer, 0) + 1,
                        cfc_body_node_count(b.bytes));
        CU_ASSERT_EQUAL(b.index.node_count, cfc_body_node_count(b.bytes));
        for (int k = 0; k < 1000; k++) {
            snprintf(missing, sizeof(missing), "/no%05d", k);
            CU_ASSERT_PTR_NULL(find(&b, missing));
        }
        drop(&b);
    }
}

/* XXH3 of 8 bytes turns (text xor mask(seed)) into the hash by a bijection. */
static uint64_t
mask_of(uint64_t seed)
{
    uint64_t flip = XXH_readLE64(XXH3_kSecret + 8) ^ XXH_readLE64(XXH3_kSecret + 16);

    seed ^= (uint64_t)XXH_swap32((uint32_t)seed) << 32;
    return flip - seed;
}

struct collision {
    char parents[2][24];
    char keys[2][9];
};

/* Finds two pointers, /parent/key of 8 ASCII bytes each, that have one hash under `seed`. */
static bool
collide(uint64_t seed, int number, struct collision *c)
{
    for (int i = 0; i < 100000; i++) {
        uint64_t hashes[2];
        uint64_t difference;
        bool is_text = true;

        snprintf(c->parents[0], sizeof(c->parents[0]), "%da", number);
        snprintf(c->parents[1], sizeof(c->parents[1]), "%db%d", number, i);
        for (int k = 0; k < 2; k++) {
            hashes[k] = XXH3_64bits_withSeed(c->parents[k], strlen(c->parents[k]), seed);
        }
        /* The 8 bytes go in as two words, the first one in the upper half. */
        difference = mask_of(hashes[0]) ^ mask_of(hashes[1]);
        difference = difference << 32 | difference >> 32;
        for (int k = 0; k < 8; k++) {
            uint8_t byte = (uint8_t)(difference >> (8 * k));

            c->keys[0][k] = byte == 'x' ? 'y' : 'x';
            c->keys[1][k] = (char)(c->keys[0][k] ^ byte);
            is_text &= byte < 0x80;
        }
        c->keys[0][8] = c->keys[1][8] = '\0';
        if (is_text) {
            return XXH3_64bits_withSeed(c->keys[0], 8, hashes[0]) ==
                   XXH3_64bits_withSeed(c->keys[1], 8, hashes[1]);
        }
    }
    return false;
}

static int
build_collisions(struct built *b, uint64_t seed, int collision_count, struct collision *collisions)
{
    struct cfc_prng seeds = {seed};
    struct cfc_body_writer w;

    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    for (int i = 0; i < collision_count; i++) {
        CU_ASSERT_TRUE_FATAL(collide(i == 0 ? seed : cfc_prng_next(&seeds), i, &collisions[i]));
        for (int k = 0; k < 2; k++) {
            cfc_body_key(&w, collisions[i].parents[k], strlen(collisions[i].parents[k]));
            cfc_body_begin_object(&w);
            cfc_body_key(&w, collisions[i].keys[k], 8);
            cfc_body_i64(&w, i * 2 + k);
            cfc_body_end(&w);
        }
    }
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &b->bytes, &b->size), CONFCAST_OK);
    return cfc_index_build(&b->index, b->bytes, b->size, seed, &alloc_table);
}

static void
collisions_of_a_body_that_comes_in_steps_start_it_over(void)
{
    struct collision collisions[CFC_INDEX_TRIES_MAX - 1];
    struct cfc_index_pass *pass;
    struct cfc_index index;
    struct built b;

    CU_ASSERT_EQUAL_FATAL(build_collisions(&b, 42, CFC_INDEX_TRIES_MAX - 1, collisions),
                          CONFCAST_OK);
    pass = cfc_index_begin(b.bytes, b.size, 42, &alloc_table);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pass);
    for (size_t i = 0; i < b.size; i++) {
        CU_ASSERT_EQUAL(cfc_index_step(pass, i), CONFCAST_ERR_AGAIN);
    }
    CU_ASSERT_EQUAL(cfc_index_end(pass, &index), CONFCAST_OK);
    CU_ASSERT_EQUAL(index.seed, b.index.seed);
    CU_ASSERT_EQUAL(
        memcmp(index.slots, b.index.slots, index.line_count * (4 * sizeof(struct cfc_index_slot))),
        0);
    cfc_index_free(&index, &alloc_table);
    drop(&b);
}

static void
colliding_hashes_are_resolved_by_another_seed(void)
{
    struct collision collisions[CFC_INDEX_TRIES_MAX - 1];
    struct built b;

    CU_ASSERT_EQUAL_FATAL(build_collisions(&b, 42, CFC_INDEX_TRIES_MAX - 1, collisions),
                          CONFCAST_OK);
    CU_ASSERT_NOT_EQUAL(b.index.seed, 42);
    for (int i = 0; i < CFC_INDEX_TRIES_MAX - 1; i++) {
        for (int k = 0; k < 2; k++) {
            char pointer[256];
            const struct cfc_value *value;

            snprintf(pointer, sizeof(pointer), "/%s/%s", collisions[i].parents[k],
                     collisions[i].keys[k]);
            /* The key was prepared under the seed that everybody uses. */
            value = find_seeded(&b, pointer, 42);
            CU_ASSERT_PTR_NOT_NULL_FATAL(value);
            CU_ASSERT_EQUAL(cfc_value_i64(value), i * 2 + k);
        }
    }
    drop(&b);
}

static void
seeds_are_not_tried_for_ever(void)
{
    struct collision collisions[CFC_INDEX_TRIES_MAX];
    struct built b;

    CU_ASSERT_EQUAL(build_collisions(&b, 42, CFC_INDEX_TRIES_MAX, collisions), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(heap.live_count, 1); /* the body */
    CU_ASSERT_PTR_NULL(b.index.slots);
    drop(&b);
}

/* A pointer that is not there but has the hash of one that is: the segment tells. */
static void
a_foreign_pointer_with_the_same_hash_finds_nothing(void)
{
    struct collision c;
    struct cfc_body_writer w;
    struct built b;
    char pointer[256];

    CU_ASSERT_TRUE_FATAL(collide(42, 1, &c));
    cfc_body_writer_init(&w, &alloc_table);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, c.parents[0], strlen(c.parents[0]));
    cfc_body_begin_object(&w);
    cfc_body_key(&w, c.keys[0], 8);
    cfc_body_null(&w);
    cfc_body_end(&w);
    cfc_body_end(&w);
    finish(&b, &w, 42);
    CU_ASSERT_EQUAL(b.index.seed, 42);
    snprintf(pointer, sizeof(pointer), "/%s/%s", c.parents[1], c.keys[1]);
    CU_ASSERT_PTR_NULL(find(&b, pointer));
    snprintf(pointer, sizeof(pointer), "/%s/%s", c.parents[0], c.keys[0]);
    CU_ASSERT_PTR_NOT_NULL(find(&b, pointer));
    drop(&b);
}

static void
no_memory_is_an_error_and_a_later_try_succeeds(void)
{
    static const uint8_t body[] = {'C', 'F', 'B', 1, 1, 8, 0, 0};
    struct cfc_index index;

    heap = (struct cfc_test_heap){.fail_at = 1};
    CU_ASSERT_EQUAL(cfc_index_build(&index, body, sizeof(body), 1, &alloc_table),
                    CONFCAST_ERR_NO_MEMORY);
    CU_ASSERT_PTR_NULL(index.memory);
    CU_ASSERT_EQUAL(cfc_index_build(&index, body, sizeof(body), 1, &alloc_table), CONFCAST_OK);
    cfc_index_free(&index, &alloc_table);
    cfc_index_free(&index, &alloc_table);
    CU_ASSERT_EQUAL(heap.live_count, 0);
}

static void
a_count_that_nobody_vouches_for_takes_memory_as_its_bytes_come(void)
{
    enum {
        COUNT = 16000,
        ENOUGH = COUNT / 4
    };
    uint8_t *body = calloc(1, 2 * COUNT);
    struct cfc_index_pass *pass;

    CU_ASSERT_PTR_NOT_NULL_FATAL(body);
    heap = (struct cfc_test_heap){.fail_at = 0};
    memcpy(body, CFC_BODY_MAGIC, CFC_BODY_MAGIC_SIZE);
    body[CFC_BODY_MAGIC_SIZE] = 0x80 | COUNT % 128;
    body[CFC_BODY_MAGIC_SIZE + 1] = COUNT / 128;
    body[CFC_BODY_MAGIC_SIZE + 2] = CFC_TAG_OBJECT;
    pass = cfc_index_begin(body, 2 * COUNT, 42, &alloc_table);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pass);
    CU_ASSERT_EQUAL(cfc_index_step(pass, 100), CONFCAST_ERR_AGAIN);
    CU_ASSERT_EQUAL(cfc_index_step(pass, ENOUGH - 1), CONFCAST_ERR_AGAIN);
    CU_ASSERT_EQUAL(heap.live_count, 1); /* the pass */
    CU_ASSERT_EQUAL(cfc_index_step(pass, ENOUGH), CONFCAST_ERR_BODY);
    CU_ASSERT_EQUAL(heap.live_count, 2);
    cfc_index_abandon(pass);
    CU_ASSERT_EQUAL(heap.live_count, 0);
    free(body);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(pointers_of_rfc_6901_find_their_values),
    CFC_CASE(escapes_are_undone_once_and_from_the_left),
    CFC_CASE(what_is_no_pointer_is_refused_and_finds_nothing),
    CFC_CASE(a_key_of_another_seed_is_hashed_again),
    CFC_CASE(every_value_of_a_document_is_found_and_nothing_else),
    CFC_CASE(colliding_hashes_are_resolved_by_another_seed),
    CFC_CASE(collisions_of_a_body_that_comes_in_steps_start_it_over),
    CFC_CASE(seeds_are_not_tried_for_ever),
    CFC_CASE(a_foreign_pointer_with_the_same_hash_finds_nothing),
    CFC_CASE(no_memory_is_an_error_and_a_later_try_succeeds),
    CFC_CASE(a_count_that_nobody_vouches_for_takes_memory_as_its_bytes_come),
};

CFC_TEST_MAIN("index", cases)
