/* The hot paths of a consumer, with work that is the same in every run (see guard.h): a symbol that
 * comes, a small change from its head to its being served, a block that is decoded, a body that is
 * validated and indexed, a typed read. */
#include "confcast/confcast.h"
#include "consumer/scope.h"
#include "consumer/view.h"
#include "perf/guard/guard.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/index.h"
#include "tests/unit/receiver_fixture.h"

enum {
    SYMBOL_SIZE = 1440,
    K = 64,
    CONTENT_BLOCKS = 10,
    WARM_BLOCKS = 2, /* of a content, before counting begins */
    DECODE_BLOCKS = 4,
    DECODE_LOST = 8,
    SERVICES = 400,
    CHANGES = 40,
    CHANGE_SIZE = 4096,
    CHANGE_FRAMES_MAX = 8,
    READS = 20000,
    READ_KEYS = 256,
};

static void
must(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "guard_consumer: %s failed\n", what);
        exit(1);
    }
}

/* ---- A symbol ---- */

struct kept_frame {
    size_t size;
    uint8_t bytes[CFC_SYMBOL_HEADER_SIZE + SYMBOL_SIZE];
};

static void
keep(const struct bench *b, struct kept_frame *frame)
{
    must(b->size <= sizeof(frame->bytes), "keeping a frame");
    frame->size = b->size;
    memcpy(frame->bytes, b->frame, b->size);
}

/* The page and then the symbols of each block from `first` on. */
static uint32_t
keep_blocks(struct bench *b, const struct made *m, uint32_t first, uint32_t end,
            struct kept_frame *frames)
{
    uint32_t count = 0;

    for (uint32_t block = first; block < end; block++) {
        bench_make_page(b, m, 0, block);
        keep(b, &frames[count++]);
        for (uint32_t i = 0; i < K; i++) {
            bench_make_source(b, m, block, i);
            keep(b, &frames[count++]);
        }
    }
    return count;
}

static void
count_symbols(void)
{
    static struct kept_frame frames[CONTENT_BLOCKS * (K + 1)];
    static struct bench b;
    struct made m;
    struct cfc_head head;
    uint32_t count;
    uint64_t before;

    bench_open(&b);
    b.repair_leaves = 8;
    made_content_encoding(&b, &m, (size_t)CONTENT_BLOCKS * K * SYMBOL_SIZE, SYMBOL_SIZE, K, 1);
    head = bench_head(&b, 1, &m.id);
    must(bench_send_head(&b, &head) == CONFCAST_OK, "head");
    must(bench_send_content(&b, &m) == CONFCAST_OK, "content");
    for (uint32_t level = m.tree.level_count - 1; level > 0; level--) {
        for (uint32_t i = 0; i < m.tree.geometry.page_counts[level]; i++) {
            must(bench_send_page(&b, &m, level, i) == CONFCAST_OK, "page");
        }
    }
    for (uint32_t block = 0; block < WARM_BLOCKS; block++) {
        bench_send_block(&b, &m, block);
    }
    count = keep_blocks(&b, &m, WARM_BLOCKS, CONTENT_BLOCKS - 1, frames);
    before = cfc_receiver_stats(b.r)->symbols;
    cfc_guard_begin();
    for (uint32_t i = 0; i < count; i++) {
        cfc_receiver_on_frame(b.r, frames[i].bytes, frames[i].size, &b.now);
    }
    cfc_guard_end("receive", count, "frame");
    must(cfc_receiver_stats(b.r)->symbols - before ==
             (uint64_t)(CONTENT_BLOCKS - 1 - WARM_BLOCKS) * K,
         "storing every symbol");
    made_free(&m);
    bench_close(&b);
}

/* ---- A small change ---- */

/* All frames of one: its head, CONTENT, page and symbols. */
static uint32_t
keep_change(struct bench *b, uint64_t version, const struct made *m, struct kept_frame *frames)
{
    struct cfc_head head = bench_head(b, version, &m->id);
    uint32_t count = 0;

    bench_make_head(b, &head);
    keep(b, &frames[count++]);
    bench_make_content(b, m);
    keep(b, &frames[count++]);
    bench_make_page(b, m, 0, 0);
    keep(b, &frames[count++]);
    for (uint32_t i = 0; i < m->tree.geometry.symbol_count; i++) {
        bench_make_source(b, m, 0, i);
        keep(b, &frames[count++]);
    }
    return count;
}

static void
take_change(struct bench *b, const struct kept_frame *frames, uint32_t count)
{
    bench_forget(b);
    for (uint32_t i = 0; i < count; i++) {
        cfc_receiver_on_frame(b->r, frames[i].bytes, frames[i].size, &b->now);
        bench_run_owner(b);
    }
}

static void
count_changes(void)
{
    static struct kept_frame frames[CHANGES][CHANGE_FRAMES_MAX];
    static struct bench b;
    uint32_t counts[CHANGES];

    bench_open(&b);
    for (uint32_t n = 0; n < CHANGES; n++) {
        struct made m;

        made_content_encoding(&b, &m, CHANGE_SIZE, SYMBOL_SIZE, K, 1);
        counts[n] = keep_change(&b, n + 1, &m, frames[n]);
        made_free(&m);
    }
    for (uint32_t n = 0; n < CHANGES / 2; n++) { /* what the first ones allocate is there then */
        take_change(&b, frames[n], counts[n]);
    }
    cfc_guard_begin();
    for (uint32_t n = CHANGES / 2; n < CHANGES; n++) {
        take_change(&b, frames[n], counts[n]);
    }
    cfc_guard_end("change", CHANGES - CHANGES / 2, "change");
    must(bench_scope(&b).entry.serving_version == CHANGES, "serving every change");
    bench_close(&b);
}

/* ---- A block ---- */

static void
count_decode(void)
{
    static uint8_t source[K * SYMBOL_SIZE];
    static uint8_t repairs[DECODE_LOST * SYMBOL_SIZE];
    static uint8_t blocks[DECODE_BLOCKS][K * SYMBOL_SIZE];
    uint8_t rows[K] = {0};
    struct cfc_prng prng = {1};

    for (size_t i = 0; i < sizeof(source); i++) {
        source[i] = (uint8_t)cfc_prng_next(&prng);
    }
    must(cfc_fec_encode(source, K, SYMBOL_SIZE, SYMBOL_SIZE, K, DECODE_LOST, repairs) ==
             CONFCAST_OK,
         "encode");
    for (uint32_t i = 0; i < DECODE_LOST; i++) {
        rows[i * (K / DECODE_LOST)] = (uint8_t)(K + i);
    }
    for (uint32_t block = 0; block < DECODE_BLOCKS; block++) {
        memcpy(blocks[block], source, sizeof(source));
        for (uint32_t i = 0; i < DECODE_LOST; i++) {
            memcpy(blocks[block] + (size_t)i * (K / DECODE_LOST) * SYMBOL_SIZE,
                   repairs + (size_t)i * SYMBOL_SIZE, SYMBOL_SIZE);
        }
    }
    cfc_guard_begin();
    for (uint32_t block = 0; block < DECODE_BLOCKS; block++) {
        must(cfc_fec_decode(blocks[block], K, SYMBOL_SIZE, rows) == CONFCAST_OK, "decode");
    }
    cfc_guard_end("decode", DECODE_BLOCKS, "block");
    for (uint32_t block = 0; block < DECODE_BLOCKS; block++) {
        must(memcmp(blocks[block], source, sizeof(source)) == 0, "getting the block back");
    }
}

/* ---- A body ---- */

static void
write_service(struct cfc_body_writer *w, struct cfc_prng *prng, int number)
{
    char text[64];

    snprintf(text, sizeof(text), "service-%05d", number);
    cfc_body_key(w, text, strlen(text));
    cfc_body_begin_object(w);
    cfc_body_key(w, "enabled", 7);
    cfc_body_bool(w, number % 3 == 0);
    cfc_body_key(w, "host", 4);
    snprintf(text, sizeof(text), "node-%llu.example.com",
             (unsigned long long)cfc_prng_below(prng, 5000));
    cfc_body_string(w, text, strlen(text));
    cfc_body_key(w, "port", 4);
    cfc_body_i64(w, (int64_t)cfc_prng_below(prng, 60000));
    cfc_body_key(w, "tags", 4);
    cfc_body_begin_array(w);
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "tag-%llu", (unsigned long long)cfc_prng_below(prng, 300));
        cfc_body_string(w, text, strlen(text));
    }
    cfc_body_end(w);
    cfc_body_key(w, "weight", 6);
    cfc_body_f64(w, (double)cfc_prng_below(prng, 1000) / 1000);
    cfc_body_end(w);
}

static void
count_index(void)
{
    struct cfc_body_writer w;
    struct cfc_prng prng = {1};
    struct cfc_index index;
    uint8_t *body = NULL;
    size_t size = 0;

    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    for (int i = 0; i < SERVICES; i++) {
        write_service(&w, &prng, i);
    }
    cfc_body_end(&w);
    must(cfc_body_finish(&w, &body, &size) == CONFCAST_OK, "body");
    cfc_guard_begin();
    must(cfc_index_build(&index, body, size, 42, &cfc_consumer_heap) == CONFCAST_OK, "index");
    cfc_guard_end("index", cfc_body_node_count(body), "value");
    cfc_index_free(&index, &cfc_consumer_heap);
    cfc_consumer_heap.free(cfc_consumer_heap.ctx, body);
}

/* ---- A read ---- */

static struct confcast_scope scope;
static struct confcast_key keys[READ_KEYS];

static void
open_view(void)
{
    static char pointers[READ_KEYS][32];
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_loaded *loaded = NULL;
    struct cfc_body_writer w;
    struct cfc_digest id;
    uint8_t *body = NULL;
    size_t size = 0;

    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    for (int i = 0; i < READ_KEYS; i++) {
        snprintf(pointers[i], sizeof(pointers[i]), "/key%04d", i);
        cfc_body_key(&w, pointers[i] + 1, strlen(pointers[i]) - 1);
        cfc_body_i64(&w, i);
        confcast_key_init(&keys[i], pointers[i]);
    }
    cfc_body_end(&w);
    must(cfc_body_finish(&w, &body, &size) == CONFCAST_OK, "body");
    cfc_content_id(sha, body, size, &id);
    must(cfc_loaded_new(body, size, &id, sha, &loaded) == CONFCAST_OK, "load");
    scope.view = cfc_view_new(loaded, &(struct cfc_served){.epoch = 1, .version = 1});
    cfc_loaded_unref(loaded);
    cfc_sha256_free(sha);
}

static int64_t
read_some(int count)
{
    int64_t sum = 0;

    for (int i = 0; i < count; i++) {
        sum += confcast_read_i64(&scope, &keys[i % READ_KEYS], -1, NULL);
    }
    return sum;
}

static void
count_reads(void)
{
    int64_t sum;

    open_view();
    read_some(READ_KEYS); /* The thread registers, the keys are bound. */
    cfc_guard_begin();
    sum = read_some(READS);
    cfc_guard_end("read", READS, "read");
    /* READS / READ_KEYS whole turns and the rest of one. */
    must(sum == (int64_t)(READS / READ_KEYS) * READ_KEYS * (READ_KEYS - 1) / 2 +
                    (READS % READ_KEYS) * (READS % READ_KEYS - 1) / 2,
         "reading what was written");
}

int
main(void)
{
    count_symbols();
    count_changes();
    count_decode();
    count_index();
    count_reads();
    return 0;
}
