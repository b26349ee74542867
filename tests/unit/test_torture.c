/* Readers through swaps by the thousand: what they see belongs together, on every read.
 *
 * An engine on loopback publishes two scopes, always under one version with the same generation, as
 * fast as they are taken: contents inside of heads and as verified symbols, rollbacks, contents
 * that the validator refuses, versions that one scope never gets, frames that are garbage, forged
 * or replayed.  Four threads of this process, and two of another one that reads through the agent,
 * check in each section that all keys of a view are of one content, that the set's views are of one
 * generation, and that versions do not fall.
 *
 * CFC_SWAPS says how many versions (2,000), CFC_SEED which story; scripts/torture runs 100,000
 * under each sanitizer. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "consumer/app/share_server.h"
#include "protocol/base/prng.h"
#include "protocol/snapshot/tree.h"
#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

enum {
    SCOPES = 2,
    KEYS = 32,
    THREADS = 4,
    PROCESS_THREADS = 2,
    SWAPS_DEFAULT = 2000,
    BURST_MAX = 6, /* versions before the readers' side is waited for */
    FRAMES_MAX = 64,
    REPLAYS = 32,
    SYMBOL_SIZE = 1200,
    BLOCK_SYMBOLS = 8,
    BREATH_SECTIONS = 200,
    AGENT_LIVES = 8, /* how often the agent's server is started anew */
    TRIES_MAX = 40   /* of a version, each for 100 ms and more */
};

static const char *const paths[SCOPES] = {CLIENT_SCOPE, "acme/checkout/limits"};

/* ---- Readers --------------------------------------------------------------------------------- */

struct readers {
    struct confcast_scope *scopes[SCOPES];
    struct confcast_set *set;
    pthread_t threads[THREADS];
    int thread_count;
    atomic_bool is_ending;
    atomic_uint_fast64_t sections; /* that saw something */
    atomic_uint_fast64_t mixed;    /* ... keys of several contents */
    atomic_uint_fast64_t torn;     /* ... members of a set that do not belong together */
    atomic_uint_fast64_t fallen;   /* ... an older version than before */
};

static struct confcast_key keys[KEYS];
static char pointers[KEYS][16];

static void
hash_keys(void)
{
    for (int i = 0; i < KEYS; i++) {
        snprintf(pointers[i], sizeof(pointers[i]), "/keys/k%d", i);
        confcast_key_init(&keys[i], pointers[i]);
    }
}

/* The generation of a view, or -1 when not all of its keys are of one. */
static int64_t
generation_of(const struct confcast_view *view)
{
    int64_t generation = confcast_get_i64(view, CONFCAST_KEY("/generation"), -1, NULL);

    for (int i = 0; i < KEYS; i++) {
        if (confcast_get_i64(view, &keys[i], -1, NULL) != generation * 1000 + i) {
            return -1;
        }
    }
    return generation;
}

struct last_seen {
    uint64_t versions[SCOPES];
    uint64_t set_version;
};

static void
read_once(struct readers *r, struct last_seen *last)
{
    const struct confcast_set_view *together;
    int64_t generations[SCOPES];

    confcast_read_lock();
    for (int i = 0; i < SCOPES; i++) {
        const struct confcast_view *view = confcast_view(r->scopes[i]);

        if (view != NULL) {
            atomic_fetch_add(&r->mixed, generation_of(view) < 0);
            atomic_fetch_add(&r->fallen, confcast_view_version(view) < last->versions[i]);
            last->versions[i] = confcast_view_version(view);
        }
    }
    together = confcast_set_view(r->set);
    if (together != NULL) {
        for (int i = 0; i < SCOPES; i++) {
            generations[i] = generation_of(confcast_set_member(together, (size_t)i));
        }
        atomic_fetch_add(&r->mixed, generations[0] < 0);
        atomic_fetch_add(&r->torn, generations[0] != generations[1]);
        atomic_fetch_add(&r->fallen, confcast_set_version(together) < last->set_version);
        last->set_version = confcast_set_version(together);
        atomic_fetch_add(&r->sections, 1);
    }
    confcast_read_unlock();
}

static void *
read_on(void *arg)
{
    const struct timespec breath = {.tv_nsec = 200000};
    struct readers *r = arg;
    struct last_seen last = {.set_version = 0};

    for (unsigned n = 1; !atomic_load_explicit(&r->is_ending, memory_order_relaxed); n++) {
        read_once(r, &last);
        if (n % BREATH_SECTIONS == 0) {
            nanosleep(&breath, NULL); /* others need the machine, too */
        }
    }
    return NULL;
}

static bool
start_readers(struct readers *r, struct confcast *client, int thread_count)
{
    if (confcast_set_open(client, r->scopes, SCOPES, NULL, &r->set) != CONFCAST_OK) {
        return false;
    }
    while (r->thread_count < thread_count &&
           pthread_create(&r->threads[r->thread_count], NULL, read_on, r) == 0) {
        r->thread_count++;
    }
    return r->thread_count == thread_count;
}

static void
stop_readers(struct readers *r)
{
    atomic_store(&r->is_ending, true);
    for (int i = 0; i < r->thread_count; i++) {
        pthread_join(r->threads[i], NULL);
    }
}

static bool
saw_no_wrong(const struct readers *r)
{
    return atomic_load(&r->mixed) == 0 && atomic_load(&r->torn) == 0 &&
           atomic_load(&r->fallen) == 0 && atomic_load(&r->sections) > 0;
}

/* ---- A process that reads through the agent: until its input ends ---------------------------- */

static int
read_through_agent(const char *path)
{
    struct confcast_options options = CONFCAST_OPTIONS_INIT;
    struct readers r = {.thread_count = 0};
    struct confcast *client;
    bool is_fine;
    char byte;

    hash_keys();
    options.agent_path = path;
    if (confcast_open(&options, &client) != CONFCAST_OK) {
        return 2;
    }
    for (int i = 0; i < SCOPES; i++) {
        if (confcast_subscribe(client, paths[i], NULL, &r.scopes[i]) != CONFCAST_OK) {
            return 2;
        }
    }
    if (!start_readers(&r, client, PROCESS_THREADS)) {
        return 2;
    }
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    stop_readers(&r);
    is_fine = saw_no_wrong(&r);
    printf("    through the agent: %" PRIuFAST64 " sections, mixed %" PRIuFAST64
           ", torn %" PRIuFAST64 ", fallen %" PRIuFAST64 "\n",
           atomic_load(&r.sections), atomic_load(&r.mixed), atomic_load(&r.torn),
           atomic_load(&r.fallen));
    fflush(stdout);
    confcast_close(client);
    return is_fine ? 0 : 1;
}

struct process {
    pid_t pid;
    int input;
};

static void
start_process(struct process *p, const char *path)
{
    extern char **environ;
    static char name[] = "test_torture";
    static char option[] = "--read";
    char *argv[] = {name, option, (char *)(uintptr_t)path, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];

    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    CU_ASSERT_EQUAL_FATAL(posix_spawn(&p->pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    p->input = ends[1];
}

static void
end_process(struct process *p)
{
    int status = -1;

    close(p->input);
    CU_ASSERT_EQUAL(waitpid(p->pid, &status, 0), p->pid);
    CU_ASSERT_EQUAL(status, 0);
}

/* ---- The engine ------------------------------------------------------------------------------ */

struct frame {
    uint8_t bytes[CFC_FRAME_SIZE_MAX];
    size_t size;
};

struct body {
    uint8_t *bytes;
    size_t size;
    struct cfc_digest id;
};

struct torture {
    struct bench b;
    struct readers readers;
    struct cfc_share_server *server;
    char share_path[320];
    struct process process;
    struct cfc_prng prng;
    struct frame *frames; /* of the version under way */
    int frame_scopes[FRAMES_MAX];
    bool frame_spares[FRAMES_MAX]; /* only sent again */
    bool is_spare;
    int frame_count;
    struct frame *replays; /* heads of earlier versions */
    uint64_t heads;
    uint64_t garbage;
    uint64_t symbols;
    uint64_t rollbacks;
    uint64_t refused;
    uint64_t repeated; /* frames that were lost on loopback */
};

static bool
one_in(struct torture *t, uint32_t n)
{
    return cfc_prng_below(&t->prng, n) == 0;
}

/* {"generation": g, "keys": {"k0": 1000 g, ...}, "pad": "..."}; a poisoned one lies about a key, so
 * that whoever sees it knows, and says so, so that the validator does. */
static struct body
make_body(struct torture *t, int64_t generation, size_t pad_size, bool is_poison)
{
    static char pad[20000];
    static int order[KEYS]; /* canonical: k0, k1, k10, k11, ... */
    struct cfc_body_writer w;
    struct body body;
    int count = 0;

    for (int i = 0; i < 10; i++) {
        order[count++] = i;
        for (int j = 10 * i; i > 0 && j < 10 * i + 10 && j < KEYS; j++) {
            order[count++] = j;
        }
    }
    memset(pad, 'x', sizeof(pad));
    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "generation", 10);
    cfc_body_i64(&w, generation);
    cfc_body_key(&w, "keys", 4);
    cfc_body_begin_object(&w);
    for (int i = 0; i < KEYS; i++) {
        char key[8];
        int size = snprintf(key, sizeof(key), "k%d", order[i]);

        cfc_body_key(&w, key, (size_t)size);
        cfc_body_i64(&w, generation * 1000 + order[i] + (is_poison && i == 5));
    }
    cfc_body_end(&w);
    cfc_body_key(&w, "pad", 3);
    cfc_body_string(&w, pad, pad_size);
    if (is_poison) {
        cfc_body_key(&w, "poison", 6);
        cfc_body_i64(&w, 1);
    }
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &body.bytes, &body.size), CONFCAST_OK);
    cfc_content_id(t->b.sha, body.bytes, body.size, &body.id);
    return body;
}

static struct frame *
add_frame(struct torture *t, int scope)
{
    CU_ASSERT_FATAL(t->frame_count < FRAMES_MAX);
    t->frame_scopes[t->frame_count] = scope;
    t->frame_spares[t->frame_count] = t->is_spare;
    return &t->frames[t->frame_count++];
}

/* CONTENT, pages and symbols of a body that does not ride in its head. */
static void
add_content(struct torture *t, int scope, const struct body *body)
{
    struct cfc_content content = {.coding = 1,
                                  .encoding = CFC_ENCODING_RAW,
                                  .fec_k = BLOCK_SYMBOLS,
                                  .body_size = body->size,
                                  .coded_size = body->size,
                                  .symbol_size = SYMBOL_SIZE,
                                  .content = body->id};
    struct cfc_tree tree;
    struct frame *f;
    uint8_t *digests;

    CU_ASSERT_EQUAL_FATAL(cfc_tree_init(&tree, &content), CONFCAST_OK);
    digests = malloc(cfc_tree_digests_size(&tree));
    cfc_tree_build(&tree, t->b.sha, body->bytes, NULL, digests);
    content.page_levels = (uint8_t)tree.level_count;
    content.top_count = (uint8_t)tree.top_count;
    content.top_digests = digests + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE;
    f = add_frame(t, scope);
    CU_ASSERT_EQUAL_FATAL(
        cfc_content_encode(&content, &t->b.signer, f->bytes, sizeof(f->bytes), &f->size),
        CONFCAST_OK);
    for (uint32_t block = 0; block < tree.geometry.block_count; block++) {
        struct cfc_page page = {.coding = content.coding,
                                .digest_count = (uint8_t)cfc_tree_page_digests(&tree, 0, block),
                                .index = block,
                                .digests = digests + (size_t)cfc_tree_page_offset(&tree, 0, block) *
                                                         CFC_SHORT_DIGEST_SIZE};

        f = add_frame(t, scope);
        CU_ASSERT_EQUAL_FATAL(
            cfc_page_encode(cfc_digest_key(&body->id), &page, f->bytes, sizeof(f->bytes), &f->size),
            CONFCAST_OK);
        for (uint32_t i = 0; i < cfc_geometry_block_symbols(&tree.geometry, &content, block); i++) {
            uint32_t size = cfc_geometry_symbol_size(&tree.geometry, &content, block, i);
            size_t offset = ((size_t)block * BLOCK_SYMBOLS + i) * SYMBOL_SIZE;

            f = add_frame(t, scope);
            cfc_symbol_header(cfc_digest_key(&body->id), content.coding, block, (uint16_t)i, size,
                              f->bytes);
            memcpy(f->bytes + CFC_SYMBOL_HEADER_SIZE, body->bytes + offset, size);
            f->size = CFC_SYMBOL_HEADER_SIZE + size;
            t->symbols += !t->is_spare;
        }
    }
    free(digests);
}

static void
add_head(struct torture *t, int scope, uint64_t version, const struct body *body, uint8_t kind)
{
    struct cfc_head head = bench_head(&t->b, version, &body->id);
    struct frame *f = add_frame(t, scope);
    bool is_inlined = body->size <= CLIENT_BODY_MAX;

    head.kind = kind;
    head.scope = paths[scope];
    head.scope_size = (uint16_t)strlen(paths[scope]);
    head.inlined = (struct cfc_inline_content){.is_present = is_inlined,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = (uint32_t)body->size,
                                               .coded = body->bytes,
                                               .coded_size = is_inlined ? body->size : 0};
    CU_ASSERT_EQUAL_FATAL(
        cfc_head_encode(&head, &t->b.signer, t->b.sha, f->bytes, sizeof(f->bytes), &f->size),
        CONFCAST_OK);
    t->replays[t->heads++ % REPLAYS] = *f;
    /* What rides in its head is sent again by itself: a receiver that got other bytes in a head
     * collects what was signed. */
    t->is_spare = is_inlined;
    add_content(t, scope, body);
    t->is_spare = false;
}

static void
send_frame(struct torture *t, int scope, const void *bytes, size_t size)
{
    bench_send_to(&t->b, paths[scope], strlen(paths[scope]), bytes, size);
}

/* Something that nobody signed, or that was said before. */
static void
send_garbage(struct torture *t)
{
    struct frame f = t->frames[cfc_prng_below(&t->prng, (uint32_t)t->frame_count)];
    int scope = (int)cfc_prng_below(&t->prng, SCOPES);

    switch (cfc_prng_below(&t->prng, 4)) {
    case 0:
        f.bytes[cfc_prng_below(&t->prng, (uint32_t)f.size)] ^=
            (uint8_t)(1U << cfc_prng_below(&t->prng, 8));
        break;
    case 1:
        f.size = cfc_prng_below(&t->prng, (uint32_t)f.size);
        break;
    case 2:
        f.size = 1 + cfc_prng_below(&t->prng, 1400);
        for (size_t i = 0; i < f.size; i++) {
            f.bytes[i] = (uint8_t)cfc_prng_next(&t->prng);
        }
        break;
    default:
        if (t->heads > 0) {
            uint64_t kept = t->heads < REPLAYS ? t->heads : REPLAYS;

            f = t->replays[cfc_prng_below(&t->prng, (uint32_t)kept)];
        }
        break;
    }
    if (f.size > 0) {
        send_frame(t, scope, f.bytes, f.size);
        t->garbage++;
    }
}

/* What the engine says of a version, in any order of the scopes, with garbage between. */
static void
publish(struct torture *t, uint64_t version, int64_t generation, bool is_poison, bool is_rollback)
{
    static const size_t pads[] = {10, 10, 10, 800, 5000, 9000, 18000};
    size_t pad_size = pads[cfc_prng_below(&t->prng, sizeof(pads) / sizeof(pads[0]))];
    struct body good = make_body(t, generation, is_rollback ? 10 : pad_size, false);
    struct body bad = make_body(t, generation, 10, true);
    int first = (int)cfc_prng_below(&t->prng, SCOPES);

    t->frame_count = 0;
    for (int i = 0; i < SCOPES; i++) {
        int scope = (first + i) % SCOPES;

        add_head(t, scope, version, is_poison && scope == 1 ? &bad : &good,
                 is_rollback ? CFC_HEAD_ROLLBACK : CFC_HEAD_NORMAL);
    }
    free(good.bytes);
    free(bad.bytes);
    for (int i = 0; i < t->frame_count; i++) {
        if (one_in(t, 8)) {
            send_garbage(t);
        }
        if (!t->frame_spares[i]) {
            send_frame(t, t->frame_scopes[i], t->frames[i].bytes, t->frames[i].size);
        }
    }
}

static void
send_again(struct torture *t)
{
    for (int i = 0; i < t->frame_count; i++) {
        send_frame(t, t->frame_scopes[i], t->frames[i].bytes, t->frames[i].size);
        t->repeated++;
    }
}

/* Until the set serves a version, or the second scope's validator has said no to it. */
static bool
await(struct torture *t, uint64_t version, bool is_poison)
{
    for (int i = 0; i < TRIES_MAX; i++) {
        int code = confcast_set_wait(t->readers.set, version, 100 + 10 * (uint32_t)i);

        if (code == (is_poison ? CONFCAST_ERR_APP_REJECT : CONFCAST_OK)) {
            return true;
        }
        send_again(t);
    }
    return false;
}

/* ---- The story ------------------------------------------------------------------------------- */

static int
validate(void *arg, struct confcast_scope *scope, const struct confcast_view *candidate)
{
    (void)arg;
    (void)scope;
    return confcast_get(candidate, CONFCAST_KEY("/poison")).view != NULL;
}

static void
start_agent(struct torture *t)
{
    struct cfc_share_server_config config = {.path = t->share_path,
                                             .mode = 0600,
                                             .client = t->b.client,
                                             .scopes = t->readers.scopes,
                                             .paths = paths,
                                             .scope_count = SCOPES};

    CU_ASSERT_EQUAL_FATAL(cfc_share_server_start(&config, &t->server), CONFCAST_OK);
}

static void
begin(struct torture *t, uint64_t seed)
{
    struct confcast_scope_options options = CONFCAST_SCOPE_OPTIONS_INIT;

    hash_keys();
    bench_begin(&t->b);
    t->b.options.receive_buffer_size = 8 << 20;
    t->b.options.log = NULL;
    t->prng.state = seed;
    t->frames = calloc(FRAMES_MAX, sizeof(*t->frames));
    t->replays = calloc(REPLAYS, sizeof(*t->replays));
    snprintf(t->share_path, sizeof(t->share_path), "%s/share", t->b.dir.path);
    start_process(&t->process, t->share_path);
    bench_open(&t->b);
    options.validate = validate;
    for (int i = 0; i < SCOPES; i++) {
        CU_ASSERT_EQUAL_FATAL(
            confcast_subscribe(t->b.client, paths[i], &options, &t->readers.scopes[i]),
            CONFCAST_OK);
    }
    start_agent(t);
    CU_ASSERT_TRUE_FATAL(start_readers(&t->readers, t->b.client, THREADS));
}

static uint64_t
environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* What there is to know of a version that does not come. */
static void
tell_stuck(struct torture *t, uint64_t version, bool is_poison)
{
    struct confcast_stats stats = bench_stats(&t->b);

    printf("\n    version %" PRIu64 "%s:", version, is_poison ? ", to be refused" : "");
    for (int i = 0; i < SCOPES; i++) {
        struct confcast_status status = {.size = sizeof(status)};

        (void)confcast_status(t->readers.scopes[i], &status);
        printf(" [%s: accepted %" PRIu64 ", serving %" PRIu64 ", state %d, %s]", paths[i],
               status.accepted, status.serving, (int)status.state,
               confcast_error_word(status.reason));
    }
    for (int i = 0; i < 128; i++) {
        if (stats.refused[i] != 0) {
            printf(" %s %" PRIu64, confcast_error_word(-i), stats.refused[i]);
        }
    }
    printf(" overflows %" PRIu64 "\n", stats.overflows);
}

static void
run_swaps(struct torture *t, uint64_t swaps)
{
    uint64_t lives = 0;
    uint64_t version = 0;

    while (version < swaps) {
        uint32_t burst = 1 + cfc_prng_below(&t->prng, BURST_MAX);
        bool is_poison = false;

        for (uint32_t i = 0; i < burst && version < swaps; i++) {
            int64_t generation = (int64_t)(version + 1);
            bool is_rollback = version > 3 && one_in(t, 10);

            generation -= is_rollback ? 1 + cfc_prng_below(&t->prng, 3) : 0;
            is_poison = version > 0 && version + 1 < swaps && one_in(t, 40);
            publish(t, ++version, generation, is_poison, is_rollback);
            t->rollbacks += is_rollback;
            t->refused += is_poison;
        }
        if (!await(t, version, is_poison)) {
            tell_stuck(t, version, is_poison);
            CU_FAIL_FATAL("a version does not come");
        }
        if (version * AGENT_LIVES / swaps > lives) {
            lives = version * AGENT_LIVES / swaps;
            cfc_share_server_stop(t->server);
            start_agent(t);
        }
    }
}

static void
end(struct torture *t)
{
    stop_readers(&t->readers);
    cfc_share_server_stop(t->server);
    bench_end(&t->b);
    free(t->frames);
    free(t->replays);
}

static void
every_read_sees_one_content_through_all_swaps(void)
{
    uint64_t swaps = environment_number("CFC_SWAPS", SWAPS_DEFAULT);
    uint64_t seed = environment_number("CFC_SEED", 1);
    static struct torture t;
    struct confcast_set_status status = {.size = sizeof(status)};
    struct confcast_stats stats;
    uint64_t refused = 0;

    begin(&t, seed);
    run_swaps(&t, swaps);
    end_process(&t.process);
    CU_ASSERT_EQUAL(confcast_set_status(t.readers.set, &status), CONFCAST_OK);
    CU_ASSERT_EQUAL(status.serving, swaps);
    CU_ASSERT_FALSE(status.is_held);
    stats = bench_stats(&t.b);
    for (size_t i = 0; i < sizeof(stats.refused) / sizeof(stats.refused[0]); i++) {
        refused += stats.refused[i];
    }
    CU_ASSERT(refused > swaps / 10);
    CU_ASSERT(t.symbols > swaps / 10);
    printf("\n    seed %" PRIu64 ": %" PRIu64 " versions of %d scopes, %" PRIu64
           " rollbacks, %" PRIu64 " refused by the validator, %" PRIu64 " symbols, %" PRIu64
           " frames of garbage (%" PRIu64 " refused), %" PRIu64
           " sent again\n    in %d threads: %" PRIuFAST64 " sections, mixed %" PRIuFAST64
           ", torn %" PRIuFAST64 ", fallen %" PRIuFAST64 "\n  ",
           seed, swaps, SCOPES, t.rollbacks, t.refused, t.symbols, t.garbage, refused, t.repeated,
           THREADS, atomic_load(&t.readers.sections), atomic_load(&t.readers.mixed),
           atomic_load(&t.readers.torn), atomic_load(&t.readers.fallen));
    CU_ASSERT_TRUE(saw_no_wrong(&t.readers));
    end(&t);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_read_sees_one_content_through_all_swaps),
};

int
main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "--read") == 0) {
        return read_through_agent(argv[2]);
    }
    return cfc_test_main("torture", cases, sizeof(cases) / sizeof(cases[0]));
}
