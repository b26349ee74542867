#include "controlplane/publish/coded_set.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/snapshot/coding.h"
#include "protocol/snapshot/tree.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/content.h"
#include "tests/unit/cunit_main.h"

static struct cfc_signing_key key;
static struct cfc_keyring ring;
static struct cfc_sha256 *sha;

static void *
heap_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void
heap_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static struct cfc_coded_set *
new_set(size_t retained_max)
{
    static const uint8_t seed[32] = {7};
    struct cfc_ring_key ring_key = {.prefix_count = 0};
    struct cfc_coded_set_config config = {.symbol_size = 1440, .retained_max = retained_max};
    struct cfc_coded_set *set = NULL;

    if (sha == NULL) {
        sha = cfc_sha256_new();
        cfc_signing_key_from_seed(seed, &key);
        memcpy(ring_key.public_key, key.public_key, sizeof(ring_key.public_key));
        cfc_keyring_add(&ring, &ring_key);
    }
    config.signer = cfc_signing_key_signer(&key);
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_new(&config, &set), CONFCAST_OK);
    return set;
}

/* Random bytes: no body, but coding and trees do not look inside. */
static struct cfc_config_body *
body_of(size_t size, uint64_t seed)
{
    struct cfc_config_body *body = malloc(sizeof(*body) + size);
    struct cfc_prng prng = {seed};

    for (size_t i = 0; i < size; i++) {
        body->body[i] = (uint8_t)cfc_prng_next(&prng);
    }
    atomic_init(&body->ref_count, 1);
    body->body_size = size;
    cfc_content_id(sha, body->body, size, &body->id);
    return body;
}

static void
a_content_lies_whole_in_its_arena_and_its_frame_verifies(void)
{
    struct cfc_coded_set *set = new_set(0);
    struct cfc_alloc heap = {heap_alloc, heap_free, NULL};
    struct cfc_coder *coder = cfc_coder_new(&heap);
    struct cfc_config_body *body = body_of(300000, 1);
    struct cfc_verifier verifier = cfc_keyring_verifier(&ring);
    struct cfc_content content;
    struct cfc_frame frame;
    struct cfc_tree tree;
    struct cfc_coded *coded;
    uint8_t *decoded = malloc(body->body_size);

    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, &body, 1), CONFCAST_OK);
    coded = cfc_coded_set_find(set, &body->id);
    CU_ASSERT_PTR_NOT_NULL_FATAL(coded);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(coded->frame, coded->frame_size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_content_decode(&frame, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_content_verify(&content, &verifier, 0), CONFCAST_OK);
    CU_ASSERT(cfc_digest_equal(&content.content, &body->id));
    CU_ASSERT_EQUAL_FATAL(content.coded_size, coded->coded_size);

    CU_ASSERT_EQUAL_FATAL(cfc_coding_decode(coder, (enum cfc_encoding)content.encoding,
                                            cfc_coded_bytes(coded), coded->coded_size, NULL, 0,
                                            decoded, body->body_size),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(decoded, body->body, body->body_size), 0);

    /* The tree in the arena leads from the signed top digests to every symbol. */
    CU_ASSERT_EQUAL_FATAL(cfc_tree_init(&tree, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(coded->tree_size, cfc_tree_digests_size(&tree));
    const uint8_t *digests = coded->arena->bytes + coded->tree_offset;
    CU_ASSERT_EQUAL(memcmp(digests + (size_t)cfc_tree_top_offset(&tree) * 16, content.top_digests,
                           (size_t)content.top_count * 16),
                    0);
    CU_ASSERT_EQUAL(
        cfc_tree_verify_symbol(&tree, sha, 2, 5, cfc_coded_bytes(coded) + (2 * 64 + 5) * 1440, 1440,
                               digests + ((size_t)cfc_tree_page_offset(&tree, 0, 2) + 5) * 16),
        CONFCAST_OK);
    free(decoded);
    free(body);
    cfc_coder_free(coder);
    cfc_coded_set_free(set);
}

static void
an_arena_is_sealed_against_every_change(void)
{
    struct cfc_coded_set *set = new_set(0);
    struct cfc_config_body *bodies[] = {body_of(5000, 2), body_of(300 * 1024, 9)};
    const int writes[] = {F_SEAL_FUTURE_WRITE, F_SEAL_WRITE};

    /* A small one, whose arena is added to, and a big one. */
    for (int i = 0; i < 2; i++) {
        struct cfc_coded *coded;
        int wanted = writes[i] | F_SEAL_SHRINK | F_SEAL_GROW;

        CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, &bodies[i], 1), CONFCAST_OK);
        coded = cfc_coded_set_find(set, &bodies[i]->id);
        CU_ASSERT_EQUAL(fcntl(coded->arena->fd, F_GET_SEALS) & wanted, wanted);
        CU_ASSERT(write(coded->arena->fd, "x", 1) < 0);
        CU_ASSERT(ftruncate(coded->arena->fd, 1) != 0);
        CU_ASSERT(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, coded->arena->fd, 0) == MAP_FAILED);
        free(bodies[i]);
    }
    cfc_coded_set_free(set);
}

static void
small_contents_share_arenas_and_stay_as_they_were(void)
{
    enum {
        COUNT = 3000 /* of 2 KB: more than one arena */
    };
    static struct cfc_config_body *bodies[COUNT];
    static uint8_t *copies[COUNT];
    struct cfc_coded_set *set = new_set(1 << 30);
    struct cfc_arena *last = NULL;
    int arena_count = 0;

    for (uint64_t i = 0; i < COUNT; i++) {
        struct cfc_coded *coded;

        bodies[i] = body_of(2000, 100 + i);
        CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, &bodies[i], 1), CONFCAST_OK);
        coded = cfc_coded_set_find(set, &bodies[i]->id);
        arena_count += coded->arena != last;
        last = coded->arena;
        copies[i] = malloc(coded->coded_size);
        memcpy(copies[i], cfc_coded_bytes(coded), coded->coded_size);
        CU_ASSERT_FATAL(coded->coded_offset + coded->coded_size <= coded->arena->size);
    }
    CU_ASSERT_EQUAL(arena_count, 2);
    for (int i = 0; i < COUNT; i++) {
        const struct cfc_coded *coded = cfc_coded_set_find(set, &bodies[i]->id);

        CU_ASSERT_EQUAL(memcmp(copies[i], cfc_coded_bytes(coded), coded->coded_size), 0);
        free(bodies[i]);
        free(copies[i]);
    }
    cfc_coded_set_free(set);
}

static void
contents_of_one_batch_share_an_arena_and_come_once(void)
{
    struct cfc_coded_set *set = new_set(1 << 20);
    struct cfc_config_body *bodies[] = {body_of(100, 3), body_of(200, 4), NULL};

    bodies[2] = bodies[0];
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, bodies, 3), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coded_set_count(set), 2);
    CU_ASSERT_PTR_EQUAL(cfc_coded_set_find(set, &bodies[0]->id)->arena,
                        cfc_coded_set_find(set, &bodies[1]->id)->arena);
    CU_ASSERT_EQUAL(cfc_coded_set_find(set, &bodies[0]->id)->arena->content_count, 3);
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, bodies, 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coded_set_count(set), 2);
    free(bodies[0]);
    free(bodies[1]);
    cfc_coded_set_free(set);
}

static void
only_what_nobody_names_is_evicted_and_the_oldest_first(void)
{
    struct cfc_coded_set *set = new_set(6000);
    struct cfc_config_body *bodies[3];
    struct cfc_coded *coded[3];
    struct cfc_digest id;
    bool was_handed;

    for (uint64_t i = 0; i < 3; i++) {
        bodies[i] = body_of(4000, 10 + i);
        CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, &bodies[i], 1), CONFCAST_OK);
        coded[i] = cfc_coded_set_find(set, &bodies[i]->id);
        cfc_coded_set_name(set, coded[i]);
    }
    CU_ASSERT_EQUAL(cfc_coded_set_evict(set, &id, &was_handed), CONFCAST_ERR_AGAIN);
    cfc_coded_set_unname(set, coded[1]); /* 4,000 bytes may stay */
    CU_ASSERT_EQUAL(cfc_coded_set_evict(set, &id, &was_handed), CONFCAST_ERR_AGAIN);
    coded[1]->is_handed = true;
    cfc_coded_set_unname(set, coded[0]);
    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_evict(set, &id, &was_handed), CONFCAST_OK);
    CU_ASSERT(cfc_digest_equal(&id, &bodies[1]->id));
    CU_ASSERT(was_handed);
    CU_ASSERT_PTR_NULL(cfc_coded_set_find(set, &bodies[1]->id));
    CU_ASSERT_PTR_NOT_NULL(cfc_coded_set_find(set, &bodies[0]->id));
    CU_ASSERT_EQUAL(cfc_coded_set_evict(set, &id, &was_handed), CONFCAST_ERR_AGAIN);
    for (int i = 0; i < 3; i++) {
        free(bodies[i]);
    }
    cfc_coded_set_free(set);
}

/* The same but for `count` bytes from the middle on. */
static struct cfc_config_body *
changed_body_of(const struct cfc_config_body *from, size_t count, uint64_t seed)
{
    struct cfc_config_body *body = malloc(sizeof(*body) + from->body_size);
    struct cfc_prng prng = {seed};

    memcpy(body->body, from->body, from->body_size);
    for (size_t i = 0; i < count; i++) {
        body->body[from->body_size / 2 - count / 2 + i] = (uint8_t)cfc_prng_next(&prng);
    }
    atomic_init(&body->ref_count, 1);
    body->body_size = from->body_size;
    cfc_content_id(sha, body->body, body->body_size, &body->id);
    return body;
}

static void
check_delta(const struct cfc_coded *delta, const struct cfc_config_body *body,
            const struct cfc_config_body *base)
{
    struct cfc_alloc heap = {heap_alloc, heap_free, NULL};
    struct cfc_coder *coder = cfc_coder_new(&heap);
    struct cfc_verifier verifier = cfc_keyring_verifier(&ring);
    uint8_t *decoded = malloc(body->body_size);
    struct cfc_content content;
    struct cfc_frame frame;
    struct cfc_tree tree;

    CU_ASSERT_PTR_NOT_NULL_FATAL(delta);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(delta->frame, delta->frame_size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_content_decode(&frame, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_content_verify(&content, &verifier, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(content.encoding, CFC_ENCODING_ZSTD_DELTA);
    CU_ASSERT_EQUAL(content.coding, delta->coding);
    CU_ASSERT_FALSE(cfc_coding_is_pulled(content.coding));
    CU_ASSERT(cfc_digest_equal(&content.content, &body->id));
    CU_ASSERT(cfc_digest_equal(&content.base, &base->id));
    CU_ASSERT_EQUAL_FATAL(cfc_tree_init(&tree, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL(delta->tree_size, cfc_tree_digests_size(&tree));
    CU_ASSERT_EQUAL_FATAL(cfc_coding_decode(coder, CFC_ENCODING_ZSTD_DELTA, cfc_coded_bytes(delta),
                                            delta->coded_size, base->body, base->body_size, decoded,
                                            body->body_size),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(decoded, body->body, body->body_size), 0);
    free(decoded);
    cfc_coder_free(coder);
}

static void
a_delta_is_kept_up_to_half_of_the_whole(void)
{
    struct cfc_coded_set *set = new_set(0);
    struct cfc_config_body *base = body_of(20000, 30);
    struct cfc_config_body *bodies[] = {changed_body_of(base, 9000, 31),
                                        changed_body_of(base, 11000, 32)};
    struct cfc_delta_wish wishes[] = {{bodies[0], base}, {bodies[1], base}};
    const struct cfc_coded *whole;

    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, bodies, 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coded_set_add_deltas(set, wishes, 2), CONFCAST_OK);
    whole = cfc_coded_set_find(set, &bodies[0]->id);
    CU_ASSERT_EQUAL(whole->coding, 0);
    check_delta(cfc_coded_find_delta(whole, &base->id), bodies[0], base);
    CU_ASSERT(cfc_coded_find_delta(whole, &base->id)->coded_size <= whole->coded_size / 2);
    CU_ASSERT_PTR_NULL(cfc_coded_find_delta(whole, &bodies[1]->id));
    whole = cfc_coded_set_find(set, &bodies[1]->id);
    CU_ASSERT_PTR_NULL(cfc_coded_find_delta(whole, &base->id));
    CU_ASSERT_EQUAL(cfc_coded_set_count(set), 2);
    free(bodies[0]);
    free(bodies[1]);
    free(base);
    cfc_coded_set_free(set);
}

static void
a_content_has_four_deltas_each_with_a_number_of_its_own(void)
{
    enum {
        COUNT = CFC_CODED_DELTAS_MAX + 1
    };
    struct cfc_coded_set *set = new_set(0);
    struct cfc_config_body *body = body_of(20000, 40);
    struct cfc_config_body *bases[COUNT];
    struct cfc_delta_wish wishes[2 * COUNT];
    const struct cfc_coded *whole;
    const struct cfc_coded *first;
    int count = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, &body, 1), CONFCAST_OK);
    whole = cfc_coded_set_find(set, &body->id);
    for (uint64_t i = 0; i < COUNT; i++) {
        bases[i] = changed_body_of(body, 100, 50 + i);
        /* Their keys say the same number. */
        memset(bases[i]->id.bytes, 7, 8);
        wishes[2 * i] = wishes[2 * i + 1] = (struct cfc_delta_wish){body, bases[i]};
    }
    CU_ASSERT_EQUAL(cfc_coded_set_add_deltas(set, wishes, 2), CONFCAST_OK);
    first = whole->deltas;
    CU_ASSERT_EQUAL(cfc_coded_set_add_deltas(set, wishes, 2 * COUNT), CONFCAST_OK);
    CU_ASSERT_PTR_EQUAL(cfc_coded_find_delta(whole, &bases[0]->id), first);
    for (const struct cfc_coded *a = whole->deltas; a != NULL; a = a->next_delta) {
        count++;
        for (const struct cfc_coded *d = a->next_delta; d != NULL; d = d->next_delta) {
            CU_ASSERT_NOT_EQUAL(a->coding, d->coding);
        }
        CU_ASSERT_NOT_EQUAL(a->coding, 0);
    }
    CU_ASSERT_EQUAL(count, CFC_CODED_DELTAS_MAX);
    CU_ASSERT_PTR_NULL(cfc_coded_find_delta(whole, &bases[COUNT - 1]->id));
    for (int i = 0; i < COUNT; i++) {
        free(bases[i]);
    }
    free(body);
    cfc_coded_set_free(set);
}

static void
deltas_count_for_retention_and_go_with_their_content(void)
{
    struct cfc_coded_set *set = new_set(20000);
    struct cfc_config_body *base = body_of(20000, 60);
    struct cfc_config_body *body = changed_body_of(base, 5000, 61);
    struct cfc_delta_wish wish = {body, base};
    struct cfc_coded *whole;
    struct cfc_digest id;
    bool was_handed;

    for (int named = 0; named <= 1; named++) {
        CU_ASSERT_EQUAL_FATAL(cfc_coded_set_add(set, &body, 1), CONFCAST_OK);
        whole = cfc_coded_set_find(set, &body->id);
        CU_ASSERT_EQUAL(cfc_coded_set_evict(set, &id, &was_handed), CONFCAST_ERR_AGAIN);
        if (named != 0) {
            cfc_coded_set_name(set, whole);
        }
        CU_ASSERT_EQUAL(cfc_coded_set_add_deltas(set, &wish, 1), CONFCAST_OK);
        CU_ASSERT_PTR_NOT_NULL(whole->deltas);
        if (named != 0) {
            CU_ASSERT_EQUAL(cfc_coded_set_evict(set, &id, &was_handed), CONFCAST_ERR_AGAIN);
            cfc_coded_set_unname(set, whole);
        }
        CU_ASSERT_EQUAL(cfc_coded_set_evict(set, &id, &was_handed), CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_coded_set_count(set), 0);
    }
    free(body);
    free(base);
    cfc_coded_set_free(set);
}

static void
the_last_four_scopes_that_had_a_content_are_remembered(void)
{
    struct cfc_coded coded = {.coding = 0};

    for (uint64_t scope = 1; scope <= 5; scope++) {
        CU_ASSERT_FALSE(cfc_coded_was_told(&coded, scope));
        cfc_coded_note_told(&coded, scope);
        cfc_coded_note_told(&coded, scope);
        CU_ASSERT(cfc_coded_was_told(&coded, scope));
    }
    CU_ASSERT_FALSE(cfc_coded_was_told(&coded, 1));
    CU_ASSERT(cfc_coded_was_told(&coded, 2));
}

static void
a_failed_batch_adds_nothing(void)
{
    struct cfc_coded_set *set = new_set(1 << 20);
    struct cfc_config_body *bodies[] = {body_of(100, 20), body_of(100, 21)};

    bodies[1]->body_size = 0; /* cannot be coded */
    CU_ASSERT_NOT_EQUAL(cfc_coded_set_add(set, bodies, 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coded_set_count(set), 0);
    CU_ASSERT_PTR_NULL(cfc_coded_set_find(set, &bodies[0]->id));
    free(bodies[0]);
    free(bodies[1]);
    cfc_coded_set_free(set);
    cfc_sha256_free(sha);
    sha = NULL;
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_content_lies_whole_in_its_arena_and_its_frame_verifies),
    CFC_CASE(an_arena_is_sealed_against_every_change),
    CFC_CASE(small_contents_share_arenas_and_stay_as_they_were),
    CFC_CASE(contents_of_one_batch_share_an_arena_and_come_once),
    CFC_CASE(only_what_nobody_names_is_evicted_and_the_oldest_first),
    CFC_CASE(a_delta_is_kept_up_to_half_of_the_whole),
    CFC_CASE(a_content_has_four_deltas_each_with_a_number_of_its_own),
    CFC_CASE(deltas_count_for_retention_and_go_with_their_content),
    CFC_CASE(the_last_four_scopes_that_had_a_content_are_remembered),
    CFC_CASE(a_failed_batch_adds_nothing),
};

CFC_TEST_MAIN("coded_set", cases)
