/* What a body costs: validate, index, look up, print, code, decode, delta, digest tree.
 *
 *   bench_body [FILE [NEXT]]   JSON documents; NEXT is coded as a delta against FILE
 *
 * Without FILE it takes a generated config of 12,000 services, and for NEXT the same with one more.
 * memcpy of the same bytes stands beside it as the limit of the machine. */
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/json/json_parse.h"
#include "perf/bench.h"
#include "protocol/base/prng.h"
#include "protocol/snapshot/coding.h"
#include "protocol/snapshot/index.h"
#include "protocol/snapshot/json_write.h"
#include "protocol/snapshot/tree.h"

enum {
    ROUNDS = 15,
    SERVICE_COUNT = 12000,
    LOOKUPS_MAX = 100000
};

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

static const struct cfc_alloc heap = {heap_alloc, heap_free, NULL};

struct document {
    uint8_t *bytes;
    size_t size;
};

static void
fail(const char *what, int error)
{
    fprintf(stderr, "bench_body: %s: %s\n", what, confcast_error_text(error));
    exit(1);
}

static void
must(const char *what, int error)
{
    if (error != CONFCAST_OK) {
        fail(what, error);
    }
}

static void
text_member(struct cfc_body_writer *w, const char *key, const char *text)
{
    cfc_body_key(w, key, strlen(key));
    cfc_body_string(w, text, strlen(text));
}

static void
i64_member(struct cfc_body_writer *w, const char *key, uint64_t i)
{
    cfc_body_key(w, key, strlen(key));
    cfc_body_i64(w, (int64_t)i);
}

static void
write_service(struct cfc_body_writer *w, struct cfc_prng *prng, int number, const char *suffix)
{
    char text[80];
    int size = snprintf(text, sizeof(text), "service-%05d%s", number, suffix);

    cfc_body_key(w, text, (size_t)size);
    cfc_body_begin_object(w);
    snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)cfc_prng_next(prng),
             (unsigned long long)cfc_prng_next(prng));
    text_member(w, "digest", text);
    cfc_body_key(w, "enabled", 7);
    cfc_body_bool(w, cfc_prng_below(prng, 10) > 0);
    snprintf(text, sizeof(text), "node-%llu.example.com",
             (unsigned long long)cfc_prng_below(prng, 5000));
    text_member(w, "host", text);
    i64_member(w, "port", 1024 + cfc_prng_below(prng, 60000));
    cfc_body_key(w, "tags", 4);
    cfc_body_begin_array(w);
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "tag-%llu", (unsigned long long)cfc_prng_below(prng, 300));
        cfc_body_string(w, text, strlen(text));
    }
    cfc_body_end(w);
    cfc_body_key(w, "timeouts", 8);
    cfc_body_begin_object(w);
    i64_member(w, "connect_ms", cfc_prng_below(prng, 500));
    i64_member(w, "read_ms", cfc_prng_below(prng, 5000));
    cfc_body_end(w);
    cfc_body_key(w, "weight", 6);
    cfc_body_f64(w, (double)cfc_prng_below(prng, 1000) / 1000);
    cfc_body_end(w);
}

static struct document
generate(bool has_one_more)
{
    struct cfc_body_writer w;
    struct cfc_prng prng = {1};
    struct cfc_prng other = {2};
    struct document d;

    cfc_body_writer_init(&w, &heap);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "services", 8);
    cfc_body_begin_object(&w);
    for (int i = 0; i < SERVICE_COUNT; i++) {
        write_service(&w, &prng, i, "");
        if (has_one_more && i == SERVICE_COUNT / 2) {
            write_service(&w, &other, i, "-b");
        }
    }
    cfc_body_end(&w);
    cfc_body_end(&w);
    must("generate", cfc_body_finish(&w, &d.bytes, &d.size));
    return d;
}

static struct document
load(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(CFC_JSON_SIZE_MAX_DEFAULT);
    struct document d;
    json_t *root;
    size_t size;

    if (file == NULL || text == NULL) {
        fail(path, CONFCAST_ERR_IO);
    }
    size = fread(text, 1, CFC_JSON_SIZE_MAX_DEFAULT, file);
    fclose(file);
    must(path, cfc_json_parse_object(text, size, CFC_JSON_SIZE_MAX_DEFAULT, &root, NULL));
    must(path, cfc_json_to_body(root, &d.bytes, &d.size));
    json_decref(root);
    free(text);
    return d;
}

/* Bytes in the time since `start_ns`, as MB/s. */
static double
rate(size_t size, uint64_t start_ns)
{
    return (double)size * 1e3 / (double)(cfc_bench_now_ns() - start_ns);
}

static void
bench_copy(const struct document *d)
{
    struct cfc_bench copy = {.count = 0};
    uint8_t *target = malloc(d->size);

    if (target == NULL) {
        fail("memcpy", CONFCAST_ERR_NO_MEMORY);
    }
    memset(target, 1, d->size);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = cfc_bench_now_ns();

        memcpy(target, d->bytes, d->size);
        __asm__ volatile("" ::"r"(target) : "memory");
        cfc_bench_add(&copy, rate(d->size, start));
    }
    cfc_bench_print(&copy, "body", "memcpy", "MB/s");
    free(target);
}

static void
bench_index(const struct document *d, struct cfc_index *index)
{
    struct cfc_bench validate = {.count = 0};
    struct cfc_bench build = {.count = 0};

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = cfc_bench_now_ns();

        must("validate", cfc_body_validate(d->bytes, d->size));
        cfc_bench_add(&validate, rate(d->size, start));
        start = cfc_bench_now_ns();
        must("index", cfc_index_build(index, d->bytes, d->size, 42, &heap));
        cfc_bench_add(&build, rate(d->size, start));
        if (i + 1 < ROUNDS) {
            cfc_index_free(index, &heap);
        }
    }
    cfc_bench_print(&validate, "body", "validate", "MB/s");
    cfc_bench_print(&build, "body", "validate_and_index", "MB/s");
}

/* Pointers to members, two levels below the root at most, shuffled. */
static size_t
collect_keys(const struct document *d, struct cfc_index_key *keys, char *texts, size_t text_size)
{
    struct cfc_iter levels[CFC_DEPTH_MAX] = {cfc_iter_of(cfc_body_root(d->bytes))};
    size_t sizes[CFC_DEPTH_MAX] = {0};
    char pointer[1024];
    struct cfc_prng prng = {9};
    struct cfc_child child;
    size_t count = 0;
    int depth = 1;

    while (depth > 0 && count < LOOKUPS_MAX) {
        size_t size = sizes[depth - 1];
        int added;

        if (!cfc_iter_next(&levels[depth - 1], &child)) {
            depth--;
            continue;
        }
        added = snprintf(pointer + size, sizeof(pointer) - size, "/%s", child.key);
        if ((size_t)added >= sizeof(pointer) - size || strchr(child.key, '/') != NULL ||
            strchr(child.key, '~') != NULL || text_size < size + (size_t)added) {
            continue;
        }
        size += (size_t)added;
        memcpy(texts, pointer, size);
        must("key", cfc_index_key_init(&keys[count++], texts, size, 42));
        texts += size;
        text_size -= size;
        if (cfc_value_type(child.value) == CFC_TYPE_OBJECT && depth < CFC_DEPTH_MAX) {
            levels[depth] = cfc_iter_of(child.value);
            sizes[depth++] = size;
        }
    }
    for (size_t i = count; i > 1; i--) {
        size_t other = cfc_prng_below(&prng, i);
        struct cfc_index_key swap = keys[i - 1];

        keys[i - 1] = keys[other];
        keys[other] = swap;
    }
    return count;
}

static void
bench_lookup(const struct document *d, const struct cfc_index *index)
{
    struct cfc_bench spread = {.count = 0};
    struct cfc_bench hot = {.count = 0};
    struct cfc_bench hash = {.count = 0};
    struct cfc_index_key *keys = calloc(LOOKUPS_MAX, sizeof(*keys));
    size_t text_size = (size_t)LOOKUPS_MAX * 100;
    char *texts = malloc(text_size);
    size_t count;

    if (keys == NULL || texts == NULL) {
        fail("lookup", CONFCAST_ERR_NO_MEMORY);
    }
    count = collect_keys(d, keys, texts, text_size);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = cfc_bench_now_ns();

        for (size_t i = 0; i < count; i++) {
            if (cfc_index_lookup(index, &keys[i]) == NULL) {
                fail("lookup", CONFCAST_ERR_NOT_FOUND);
            }
        }
        cfc_bench_add(&spread, (double)(cfc_bench_now_ns() - start) / (double)count);
        start = cfc_bench_now_ns();
        for (size_t i = 0; i < count; i++) {
            if (cfc_index_lookup(index, &keys[i % 16]) == NULL) {
                fail("lookup", CONFCAST_ERR_NOT_FOUND);
            }
        }
        cfc_bench_add(&hot, (double)(cfc_bench_now_ns() - start) / (double)count);
        start = cfc_bench_now_ns();
        for (size_t i = 0; i < count; i++) {
            struct cfc_index_key key;

            must("key", cfc_index_key_init(&key, keys[i].pointer, keys[i].size, 42));
            __asm__ volatile("" ::"r"(key.hash));
        }
        cfc_bench_add(&hash, (double)(cfc_bench_now_ns() - start) / (double)count);
    }
    cfc_bench_print(&spread, "body", "lookup_spread", "ns");
    cfc_bench_print(&hot, "body", "lookup_hot", "ns");
    cfc_bench_print(&hash, "body", "prepare_key", "ns");
    free(keys);
    free(texts);
}

static void
bench_json(const struct document *d)
{
    struct cfc_bench write = {.count = 0};
    struct cfc_bench ratio = {.count = 0};
    struct cfc_buffer out;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = cfc_bench_now_ns();

        cfc_buffer_init(&out, &heap, SIZE_MAX);
        must("json", cfc_json_write(&out, cfc_body_root(d->bytes)));
        cfc_bench_add(&write, rate(out.size, start));
        cfc_bench_add(&ratio, (double)d->size / (double)out.size);
        cfc_buffer_free(&out);
    }
    cfc_bench_print(&write, "body", "json_write", "MB/s");
    cfc_bench_print(&ratio, "body", "body_size_over_json_size", "ratio");
}

static void
bench_tree(const uint8_t *coded, size_t coded_size)
{
    struct cfc_bench build = {.count = 0};
    struct cfc_content content = {
        .fec_k = 64, .coded_size = coded_size, .symbol_size = CFC_SYMBOL_SIZE_DEFAULT};
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_tree tree;
    uint8_t *digests;

    must("tree", cfc_tree_init(&tree, &content));
    digests = malloc(cfc_tree_digests_size(&tree));
    if (sha == NULL || digests == NULL) {
        fail("tree", CONFCAST_ERR_NO_MEMORY);
    }
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = cfc_bench_now_ns();

        cfc_tree_build(&tree, sha, coded, NULL, digests);
        cfc_bench_add(&build, rate(coded_size, start));
    }
    cfc_bench_print(&build, "body", "tree_build", "MB/s");
    cfc_sha256_free(sha);
    free(digests);
}

static void
bench_coding(const struct document *d, const struct document *next)
{
    struct cfc_bench encode = {.count = 0};
    struct cfc_bench decode = {.count = 0};
    struct cfc_bench ratio = {.count = 0};
    struct cfc_bench delta = {.count = 0};
    struct cfc_bench delta_size = {.count = 0};
    struct cfc_coder *coder = cfc_coder_new(&heap);
    size_t size_max = d->size > next->size ? d->size : next->size;
    size_t capacity = cfc_coding_bound(size_max);
    uint8_t *coded = malloc(capacity);
    uint8_t *back = malloc(size_max);
    enum cfc_encoding encoding;
    size_t size = 0;

    if (coder == NULL || coded == NULL || back == NULL) {
        fail("coding", CONFCAST_ERR_NO_MEMORY);
    }
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = cfc_bench_now_ns();

        must("delta", cfc_coding_encode_delta(coder, d->bytes, d->size, next->bytes, next->size,
                                              coded, capacity, &size));
        cfc_bench_add(&delta, rate(next->size, start));
        cfc_bench_add(&delta_size, (double)size);
        start = cfc_bench_now_ns();
        must("encode",
             cfc_coding_encode(coder, d->bytes, d->size, coded, capacity, &size, &encoding));
        cfc_bench_add(&encode, rate(d->size, start));
        cfc_bench_add(&ratio, (double)d->size / (double)size);
        start = cfc_bench_now_ns();
        must("decode", cfc_coding_decode(coder, encoding, coded, size, NULL, 0, back, d->size));
        cfc_bench_add(&decode, rate(d->size, start));
    }
    cfc_bench_print(&encode, "body", "encode", "MB/s");
    cfc_bench_print(&decode, "body", "decode", "MB/s");
    cfc_bench_print(&ratio, "body", "body_size_over_coded_size", "ratio");
    cfc_bench_print(&delta, "body", "delta_encode", "MB/s");
    cfc_bench_print(&delta_size, "body", "delta_size", "bytes");
    bench_tree(coded, size);
    cfc_coder_free(coder);
    free(coded);
    free(back);
}

int
main(int argc, char **argv)
{
    struct document d = argc > 1 ? load(argv[1]) : generate(false);
    struct document next = argc > 2 ? load(argv[2]) : argc > 1 ? d : generate(true);
    struct cfc_index index;

    printf("{\"bench\":\"body\",\"bytes\":%zu,\"values\":%u}\n", d.size,
           cfc_body_node_count(d.bytes));
    bench_copy(&d);
    bench_index(&d, &index);
    bench_lookup(&d, &index);
    bench_json(&d);
    bench_coding(&d, &next);
    cfc_index_free(&index, &heap);
    if (next.bytes != d.bytes) {
        free(next.bytes);
    }
    free(d.bytes);
    return 0;
}
