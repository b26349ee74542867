#include "consumer/assembly.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/coding.h"
#include "tests/unit/cunit_main.h"

enum {
    MEMBERS = 20000
};

/* A content as a receiver collects it. */
struct coming {
    struct cfc_digest id;
    uint8_t *body;
    size_t body_size;
    uint8_t *coded;
    size_t coded_size;
    enum cfc_encoding encoding;
    struct cfc_digest base;
};

static struct cfc_sha256 *sha;
static struct cfc_sha256 *symbol_sha; /* of a receiver that digests symbols; NULL: none */
static struct cfc_coder *coder;
static struct cfc_assembly *assembly;

static void
make(struct coming *c, uint64_t seed, int members)
{
    struct cfc_prng prng = {.state = seed};
    struct cfc_body_writer w;
    size_t bound;

    memset(c, 0, sizeof(*c));
    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    for (int i = 0; i < members; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%07d", i);
        cfc_body_key(&w, key, strlen(key));
        cfc_body_i64(&w, (int64_t)cfc_prng_below(&prng, 1000000));
    }
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &c->body, &c->body_size), CONFCAST_OK);
    cfc_content_id(sha, c->body, c->body_size, &c->id);
    bound = cfc_coding_bound(c->body_size);
    c->coded = malloc(bound);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c->coded);
    CU_ASSERT_EQUAL_FATAL(cfc_coding_encode(coder, c->body, c->body_size, c->coded, bound,
                                            &c->coded_size, &c->encoding),
                          CONFCAST_OK);
}

static void
drop(struct coming *c)
{
    cfc_free(&cfc_consumer_heap, c->body);
    free(c->coded);
}

/* The first `size` coded bytes are there. */
static void
take(const struct coming *c, uint64_t collection, size_t size, struct cfc_loaded *base)
{
    struct cfc_receiver_part part = {.collection = collection,
                                     .encoding = (uint8_t)c->encoding,
                                     .coded_size = c->coded_size,
                                     .body_size = c->body_size,
                                     .base = c->base,
                                     .bytes = c->coded,
                                     .size = size,
                                     .sha = symbol_sha};

    while (cfc_assembly_take(assembly, &part, base)) {
    }
}

static int
finish(const struct coming *c, uint64_t collection, struct cfc_loaded **out)
{
    struct cfc_receiver_event event = {.type = CFC_EVENT_CONTENT,
                                       .content = c->id,
                                       .collection = collection,
                                       .encoding = (uint8_t)c->encoding,
                                       .body_size = c->body_size,
                                       .bytes = c->coded,
                                       .size = c->coded_size};

    return cfc_assembly_finish(assembly, &event, out);
}

static void
check_loaded(const struct coming *c, struct cfc_loaded *loaded)
{
    struct cfc_index_key key;

    CU_ASSERT_PTR_NOT_NULL_FATAL(loaded);
    CU_ASSERT(cfc_digest_equal(&loaded->id, &c->id));
    CU_ASSERT_EQUAL_FATAL(loaded->body_size, c->body_size);
    CU_ASSERT_EQUAL(memcmp(loaded->body, c->body, c->body_size), 0);
    for (int i = 0; i < MEMBERS; i += 777) {
        char pointer[16];

        snprintf(pointer, sizeof(pointer), "/k%07d", i);
        CU_ASSERT_EQUAL(cfc_index_key_init(&key, pointer, strlen(pointer), loaded->index.seed),
                        CONFCAST_OK);
        CU_ASSERT_PTR_NOT_NULL(cfc_index_lookup(&loaded->index, &key));
    }
    cfc_loaded_unref(loaded);
}

static void
a_content_that_comes_bit_by_bit_is_there_at_its_end(void)
{
    struct cfc_loaded *loaded;
    struct coming c;

    make(&c, 1, MEMBERS);
    for (size_t size = 0; size < c.coded_size; size += 1440) {
        take(&c, 7, size, NULL);
    }
    CU_ASSERT_EQUAL(finish(&c, 7, &loaded), CONFCAST_OK);
    check_loaded(&c, loaded);
    /* Nothing is left of it. */
    CU_ASSERT_EQUAL(finish(&c, 7, &loaded), CONFCAST_ERR_NOT_FOUND);
    drop(&c);
}

static void
a_part_seen_twice_counts_once(void)
{
    struct cfc_loaded *loaded;
    struct coming c;

    make(&c, 1, MEMBERS);
    take(&c, 1, 30000, NULL);
    take(&c, 1, 30000, NULL);
    take(&c, 1, c.coded_size, NULL);
    CU_ASSERT_EQUAL(finish(&c, 1, &loaded), CONFCAST_OK);
    check_loaded(&c, loaded);
    drop(&c);
}

static void
another_collection_takes_the_place_of_one_that_ended(void)
{
    struct cfc_loaded *loaded;
    struct coming a, b;

    make(&a, 1, MEMBERS);
    make(&b, 2, MEMBERS);
    take(&a, 1, 50000, NULL);
    take(&b, 2, 20000, NULL);
    CU_ASSERT_EQUAL(finish(&a, 1, &loaded), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(finish(&b, 2, &loaded), CONFCAST_OK);
    check_loaded(&b, loaded);
    take(&a, 3, 50000, NULL);
    cfc_assembly_reset(assembly);
    CU_ASSERT_EQUAL(finish(&a, 3, &loaded), CONFCAST_ERR_NOT_FOUND);
    drop(&a);
    drop(&b);
}

static void
a_small_content_is_left_alone(void)
{
    struct cfc_loaded *loaded;
    struct coming c;

    make(&c, 1, 100);
    take(&c, 1, c.coded_size, NULL);
    CU_ASSERT_EQUAL(finish(&c, 1, &loaded), CONFCAST_ERR_NOT_FOUND);
    drop(&c);
}

static void
bytes_that_are_not_the_contents_give_nothing(void)
{
    struct cfc_loaded *loaded;
    struct coming c, other;

    make(&c, 1, MEMBERS);
    make(&other, 2, MEMBERS);
    /* A sound body of another name. */
    c.id = other.id;
    take(&c, 1, 40000, NULL);
    CU_ASSERT_EQUAL(finish(&c, 1, &loaded), CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_PTR_NULL(loaded);
    /* Damage in the middle of the coding, found at once or at the end. */
    other.coded[other.coded_size / 2] ^= 0x10;
    take(&other, 2, other.coded_size - 1, NULL);
    take(&other, 2, other.coded_size, NULL);
    CU_ASSERT_EQUAL(finish(&other, 2, &loaded), CONFCAST_ERR_NOT_FOUND);
    drop(&c);
    drop(&other);
}

static void
a_body_that_is_not_sound_gives_nothing(void)
{
    struct cfc_loaded *loaded;
    struct coming c;

    make(&c, 1, MEMBERS);
    c.body[c.body_size - 20] ^= 0x80;
    memcpy(c.coded, c.body, c.body_size);
    c.coded_size = c.body_size;
    c.encoding = CFC_ENCODING_RAW;
    cfc_content_id(sha, c.body, c.body_size, &c.id);
    take(&c, 1, c.coded_size / 2, NULL);
    take(&c, 1, c.coded_size, NULL);
    CU_ASSERT_EQUAL(finish(&c, 1, &loaded), CONFCAST_ERR_NOT_FOUND);
    drop(&c);
}

static void
a_delta_keeps_its_base_while_it_comes(void)
{
    struct cfc_loaded *base = NULL, *loaded;
    struct coming from, to;
    uint8_t *copy;

    make(&from, 1, MEMBERS);
    make(&to, 2, MEMBERS);
    copy = cfc_alloc(&cfc_consumer_heap, from.body_size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, from.body, from.body_size);
    CU_ASSERT_EQUAL_FATAL(cfc_loaded_new(copy, from.body_size, &from.id, sha, &base), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_coding_encode_delta(coder, from.body, from.body_size, to.body,
                                                  to.body_size, to.coded,
                                                  cfc_coding_bound(to.body_size), &to.coded_size),
                          CONFCAST_OK);
    to.encoding = CFC_ENCODING_ZSTD_DELTA;
    to.base = from.id;
    take(&to, 1, 1000, base);
    cfc_loaded_unref(base); /* whoever held it lets go */
    take(&to, 1, to.coded_size / 2, NULL);
    CU_ASSERT_EQUAL(finish(&to, 1, &loaded), CONFCAST_OK);
    check_loaded(&to, loaded);
    /* Without the base there is nothing to begin with. */
    take(&to, 2, to.coded_size, NULL);
    CU_ASSERT_EQUAL(finish(&to, 2, &loaded), CONFCAST_ERR_NOT_FOUND);
    drop(&from);
    drop(&to);
}

/* What is late of a body goes with it when it is given up, and decides when it is wrong. */
static void
a_body_may_be_digested_beside_the_symbols_that_follow(void)
{
    static const uint8_t symbol[1440];
    struct cfc_loaded *loaded;
    struct cfc_digest d;
    struct coming c;

    symbol_sha = cfc_sha256_new();
    CU_ASSERT_PTR_NOT_NULL_FATAL(symbol_sha);
    make(&c, 1, MEMBERS);
    for (size_t size = 0; size < c.coded_size; size += sizeof(symbol)) {
        take(&c, 1, size, NULL);
        cfc_sha256_once(symbol_sha, CFC_DOMAIN_SYMBOL, symbol, sizeof(symbol), &d);
    }
    CU_ASSERT_EQUAL(finish(&c, 1, &loaded), CONFCAST_OK);
    check_loaded(&c, loaded);
    take(&c, 2, c.coded_size / 2, NULL);
    cfc_assembly_reset(assembly);
    cfc_sha256_once(symbol_sha, CFC_DOMAIN_SYMBOL, symbol, sizeof(symbol), &d);
    take(&c, 3, c.coded_size / 2, NULL);
    c.id.bytes[0] ^= 1;
    CU_ASSERT_EQUAL(finish(&c, 3, &loaded), CONFCAST_ERR_NOT_FOUND);
    cfc_sha256_free(symbol_sha);
    symbol_sha = NULL;
    drop(&c);
}

/* Whoever digests bytes along is nobody's guest: an assertion of the digests sees to that. */
static void
a_body_that_was_given_up_leaves_the_symbols_digest_alone(void)
{
    static const uint8_t symbol[1440];
    struct cfc_sha256 *other = cfc_sha256_new();
    struct cfc_digest want, got;
    struct coming c;

    symbol_sha = cfc_sha256_new();
    CU_ASSERT_FATAL(symbol_sha != NULL && other != NULL);
    make(&c, 1, MEMBERS);
    take(&c, 1, c.coded_size / 2, NULL); /* some of the body is late now */
    cfc_assembly_reset(assembly);
    cfc_sha256_begin(other, NULL);
    cfc_sha256_begin(symbol_sha, NULL);
    cfc_sha256_add_beside(symbol_sha, symbol, sizeof(symbol), other, sizeof(symbol));
    cfc_sha256_end(symbol_sha, &got);
    cfc_sha256_once(sha, NULL, symbol, sizeof(symbol), &want);
    CU_ASSERT(cfc_digest_equal(&got, &want));
    cfc_sha256_free(other);
    cfc_sha256_free(symbol_sha);
    symbol_sha = NULL;
    drop(&c);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_content_that_comes_bit_by_bit_is_there_at_its_end),
    CFC_CASE(a_part_seen_twice_counts_once),
    CFC_CASE(another_collection_takes_the_place_of_one_that_ended),
    CFC_CASE(a_small_content_is_left_alone),
    CFC_CASE(bytes_that_are_not_the_contents_give_nothing),
    CFC_CASE(a_body_that_is_not_sound_gives_nothing),
    CFC_CASE(a_delta_keeps_its_base_while_it_comes),
    CFC_CASE(a_body_may_be_digested_beside_the_symbols_that_follow),
    CFC_CASE(a_body_that_was_given_up_leaves_the_symbols_digest_alone),
};

int
main(void)
{
    int status;

    sha = cfc_sha256_new();
    coder = cfc_coder_new(&cfc_consumer_heap);
    assembly = cfc_assembly_new();
    if (sha == NULL || coder == NULL || assembly == NULL) {
        return 2;
    }
    status = cfc_test_main("assembly", cases, sizeof(cases) / sizeof(cases[0]));
    cfc_assembly_free(assembly);
    cfc_coder_free(coder);
    cfc_sha256_free(sha);
    return status;
}
