/* A receiver and everything that can happen to it.  The input is a script: each step is a byte that
 * says what happens (a head, a page, a symbol, FRESH, time, what the owner answers, a raw datagram,
 * memory that runs out, ...) and the bytes that it takes.  Frames are signed by the test's own
 * cheap signer and may be damaged afterwards.
 *
 * Promised whatever the script: the accepted version and epoch never fall, what is served was named
 * by a signed head of the version under which it is served, after that head was accepted; memory
 * stays bounded; a receiver that has nothing to do does not ask to be called at once; nothing
 * leaks. */
#include <string.h>

#include "tests/fuzz/target.h"
#include "tests/unit/receiver_fixture.h"

enum {
    CONTENTS = 4,
    HEADS_MAX = 256,         /* heads signed in one run */
    MEMORY_MAX = 512 * 1024, /* of a receiver of two scopes and contents of up to 20,000 bytes */
    STEPS_MAX = 4096,
    POLLS_MAX = 1000
};

struct run {
    struct bench b;
    struct made contents[CONTENTS];
    const uint8_t *at, *end;
    struct {
        uint64_t version;
        uint8_t named; /* bits of `contents` */
    } heads[HEADS_MAX];
    uint32_t head_count;
    uint64_t accepted, epoch;
    size_t used_size;
    uint32_t failing; /* allocations that are to fail */
    struct cfc_head last_head;
    bool has_last_head;
};

static void *
bounded_alloc(void *ctx, size_t size)
{
    struct run *run = ctx;
    uint8_t *p;

    if (run->failing > 0) {
        run->failing--;
        return NULL;
    }
    p = malloc(size + 16);
    CFC_FUZZ_CHECK(p != NULL);
    memcpy(p, &size, sizeof(size));
    run->used_size += size;
    run->b.heap.live_count++;
    CFC_FUZZ_CHECK(run->used_size <= MEMORY_MAX);
    return p + 16;
}

static void
bounded_free(void *ctx, void *p)
{
    struct run *run = ctx;
    size_t size;

    if (p != NULL) {
        memcpy(&size, (uint8_t *)p - 16, sizeof(size));
        run->used_size -= size;
        run->b.heap.live_count--;
        free((uint8_t *)p - 16);
    }
}

static uint8_t
take(struct run *run)
{
    return run->at < run->end ? *run->at++ : 0;
}

static struct made *
take_content(struct run *run)
{
    return &run->contents[take(run) % CONTENTS];
}

/* Delivers the last frame made; damaged when the script says so. */
static void
deliver(struct run *run)
{
    uint8_t damage = take(run);

    if ((damage & 0x80) != 0 && run->b.size > 0) {
        run->b.frame[(damage & 0x7f) * run->b.size / 128] ^= (uint8_t)(1 + take(run) % 255);
    }
    (void)bench_deliver(&run->b);
}

static uint8_t
index_bit(const struct run *run, const struct cfc_digest *id)
{
    for (int i = 0; i < CONTENTS; i++) {
        if (cfc_digest_equal(&run->contents[i].id, id)) {
            return (uint8_t)(1u << i);
        }
    }
    return 0;
}

static void
step_head(struct run *run)
{
    struct made *content = take_content(run), *fallback = take_content(run);
    uint8_t flags = take(run);
    struct cfc_head head =
        bench_head(&run->b, run->accepted + take(run) % 4 + (flags & 1), &content->id);
    uint8_t named = index_bit(run, &content->id);

    if (head.version == 0 || run->head_count == HEADS_MAX) {
        return;
    }
    head.epoch = BENCH_EPOCH + take(run) % 3;
    head.activation = (uint8_t)(take(run) % 3);
    if (head.activation == CFC_ACTIVATE_AT) {
        head.activate_unix_ns = run->b.now.unix_ns + take(run) * 10 * CFC_MS;
    }
    if ((flags & 2) != 0) {
        head.arms[0].fallback = fallback->id;
        named |= index_bit(run, &fallback->id);
    }
    if ((flags & 4) != 0) {
        head.arm_count = 2;
        head.arms[1] = head.arms[0];
        head.arms[0].selector = CFC_SELECT_COHORT;
        head.arms[0].threshold = (uint32_t)take(run) << 24;
        head.arms[0].content = fallback->id;
        named |= index_bit(run, &fallback->id);
    }
    if ((flags & 8) != 0) {
        head.confirm_by_unix_ns = run->b.now.unix_ns + take(run) * 10 * CFC_MS;
    }
    if ((flags & 16) != 0 && content->size <= 1000) {
        head.inlined = (struct cfc_inline_content){.is_present = true,
                                                   .arm = (uint8_t)(head.arm_count - 1),
                                                   .encoding = CFC_ENCODING_RAW,
                                                   .body_size = (uint32_t)content->size,
                                                   .coded = content->body,
                                                   .coded_size = content->size};
    }
    if ((flags & 32) != 0) {
        head.not_after_unix_ns = run->b.now.unix_ns + take(run) * CFC_MS;
    }
    bench_make_head(&run->b, &head);
    run->heads[run->head_count].version = head.version;
    run->heads[run->head_count++].named = named;
    run->last_head = head;
    run->last_head.inlined.is_present = false;
    run->has_last_head = true;
    if ((flags & 64) == 0) {
        deliver(run);
    }
}

static void
step_page(struct run *run)
{
    struct made *m = take_content(run);
    uint32_t level = take(run) % m->tree.level_count;

    bench_make_page(&run->b, m, level, take(run) % m->tree.geometry.page_counts[level]);
    deliver(run);
}

static void
step_symbols(struct run *run)
{
    struct made *m = take_content(run);
    uint32_t block = take(run) % m->tree.geometry.block_count;
    uint32_t count = cfc_geometry_block_symbols(&m->tree.geometry, &m->content, block);
    uint8_t mask = take(run);

    for (uint32_t i = 0; i < count; i++) {
        if ((mask >> (i % 8) & 1) != 0) {
            bench_make_symbol(&run->b, m, block, i);
            deliver(run);
        }
    }
}

static void
step_fresh(struct run *run)
{
    uint64_t age_ns = take(run) * CFC_S / 4;
    struct cfc_fresh_entry entry;

    if (!run->has_last_head) {
        return;
    }
    entry.scope_id = cfc_scope_id(run->b.sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1);
    entry.version = run->last_head.version;
    bench_digest_of(&run->b, &run->last_head, entry.head_digest);
    if (bench_make_fresh(&run->b, BENCH_EPOCH + take(run) % 3, run->last_head.version,
                         run->b.now.unix_ns - age_ns, &entry, take(run) % 2, 0) == CONFCAST_OK) {
        deliver(run);
    }
}

static void
step_status(struct run *run)
{
    uint8_t count = take(run) % 3;
    struct cfc_echo echoes[2] = {{0, take(run)}, {0, take(run)}};

    echoes[0].consumer_key = cfc_consumer_key(run->b.sha, BENCH_ID, sizeof(BENCH_ID) - 1);
    run->b.boot_id = BENCH_BOOT_ID + take(run) % 2;
    run->b.windows.report_generation = take(run) % 2;
    (void)bench_send_status(&run->b, echoes, count);
}

static void
step_gone(struct run *run)
{
    struct made *m = take_content(run);
    struct cfc_gone gone = {.want = (uint8_t)(1 + take(run) % 5), .coding = 1};

    gone.key = gone.want == CFC_WANT_HEAD
                   ? cfc_scope_id(run->b.sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1)
               : gone.want == CFC_WANT_FRESH ? BENCH_SHARD
                                             : cfc_digest_key(&m->id);
    if (cfc_gone_encode(&gone, run->b.frame, sizeof(run->b.frame), &run->b.size) == CONFCAST_OK) {
        deliver(run);
    }
}

/* A datagram out of the script itself, with the header that it would need. */
static void
step_raw(struct run *run)
{
    struct made *m = take_content(run);
    size_t size = take(run);

    size = size > (size_t)(run->end - run->at) ? (size_t)(run->end - run->at) : size;
    size = size < CFC_FRAME_HEADER_SIZE ? CFC_FRAME_HEADER_SIZE : size;
    for (size_t i = 0; i < size; i++) {
        run->b.frame[i] = take(run);
    }
    cfc_put_u16(run->b.frame, CFC_FRAME_MAGIC);
    run->b.frame[2] = CFC_FRAME_VERSION;
    cfc_put_u16(run->b.frame + 4, (uint16_t)size);
    cfc_put_u16(run->b.frame + 6, 0);
    if (run->b.frame[3] == CFC_FRAME_HEAD) {
        cfc_put_u64(run->b.frame + 8,
                    cfc_scope_id(run->b.sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1));
    } else if (run->b.frame[3] == CFC_FRAME_FRESH) {
        cfc_put_u64(run->b.frame + 8, BENCH_SHARD);
    } else {
        cfc_put_u64(run->b.frame + 8, cfc_digest_key(&m->id));
    }
    run->b.size = size;
    (void)bench_deliver(&run->b);
}

static bool
is_named(const struct run *run, uint64_t version, const struct cfc_digest *content)
{
    for (uint32_t i = 0; i < run->head_count; i++) {
        if (run->heads[i].version == version &&
            (run->heads[i].named & index_bit(run, content)) != 0) {
            return true;
        }
    }
    return false;
}

static void
answer(struct run *run, const struct cfc_receiver_event *event, uint8_t choice)
{
    static const int codes[] = {CONFCAST_OK,
                                CONFCAST_OK,
                                CONFCAST_OK,
                                CONFCAST_ERR_NO_BASE,
                                CONFCAST_ERR_NO_MEMORY,
                                CONFCAST_ERR_BODY,
                                CONFCAST_ERR_APP_REJECT};
    int code = codes[choice % (sizeof(codes) / sizeof(codes[0]))];
    struct bench *b = &run->b;

    switch (event->type) {
    case CFC_EVENT_ACCEPTED:
        CFC_FUZZ_CHECK(event->version >= run->accepted && event->epoch >= run->epoch);
        run->accepted = event->version;
        run->epoch = event->epoch;
        break;
    case CFC_EVENT_CONTENT: {
        struct cfc_digest id;

        CFC_FUZZ_CHECK(event->bytes != NULL && event->size > 0);
        cfc_content_id(b->sha, event->bytes, event->size, &id);
        if (!cfc_digest_equal(&id, &event->content)) {
            code = CONFCAST_ERR_DIGEST;
        }
        if (choice != 0xff) { /* else it keeps the owner busy */
            CFC_FUZZ_CHECK(cfc_receiver_content_done(b->r, &event->content, code, &b->now) ==
                           CONFCAST_OK);
        }
        break;
    }
    case CFC_EVENT_SERVE:
        CFC_FUZZ_CHECK(event->version == run->accepted);
        CFC_FUZZ_CHECK(is_named(run, event->version, &event->content));
        if (choice != 0xff) {
            (void)cfc_receiver_served(b->r, event->scope_idx, code, &b->now);
        }
        break;
    default:
        break;
    }
}

static void
drain(struct run *run, uint8_t choice)
{
    struct cfc_receiver_event event;
    struct bench *b = &run->b;
    uint32_t polls = 0;

    while (cfc_receiver_poll_event(b->r, &b->now, &event) == CONFCAST_OK) {
        CFC_FUZZ_CHECK(++polls < POLLS_MAX);
        answer(run, &event, choice);
    }
}

/* The owner's loop: events, frames (HELLOs are answered), until there is nothing to do now. */
static void
step_loop(struct run *run)
{
    uint8_t choice = take(run);
    struct bench *b = &run->b;
    struct cfc_frame frame;
    uint32_t polls = 0;
    uint8_t type;

    drain(run, choice);
    while ((type = bench_poll(b, &frame)) != 0) {
        struct cfc_hello hello;

        CFC_FUZZ_CHECK(++polls < POLLS_MAX);
        CFC_FUZZ_CHECK(b->size <= b->config.frame_size_max);
        if (type == CFC_FRAME_HELLO && choice % 4 != 3 &&
            cfc_hello_decode(&frame, b->sha, &hello) == CONFCAST_OK) {
            bench_make_welcome(b, &hello, choice % 4);
            (void)bench_deliver(b);
        }
        drain(run, choice);
    }
    CFC_FUZZ_CHECK(cfc_receiver_deadline(b->r) > b->now.mono_ns);
}

static void
step_time(struct run *run)
{
    static const uint64_t units[] = {CFC_US, CFC_MS, 100 * CFC_MS, CFC_S, 60 * CFC_S};
    uint64_t unit = units[take(run) % 5];

    bench_wait(&run->b, take(run) * unit);
}

static void
step(struct run *run)
{
    struct bench *b = &run->b;

    switch (take(run) % 16) {
    case 0:
    case 1:
        step_head(run);
        break;
    case 2:
        bench_make_content(b, take_content(run));
        deliver(run);
        break;
    case 3:
        step_page(run);
        break;
    case 4:
    case 5:
        step_symbols(run);
        break;
    case 6:
        step_fresh(run);
        break;
    case 7:
        step_status(run);
        break;
    case 8:
        step_gone(run);
        break;
    case 9:
        step_raw(run);
        break;
    case 10:
        step_time(run);
        break;
    case 11:
        (void)cfc_receiver_content_held(b->r, &take_content(run)->id);
        break;
    case 12:
        run->failing = take(run) % 8;
        break;
    case 13: /* the wall clock steps */
        b->now.unix_ns += take(run) * CFC_S;
        b->now.unix_ns -= take(run) * CFC_S;
        break;
    case 14: /* an owner that was busy answers */
        (void)cfc_receiver_content_done(b->r, &take_content(run)->id, CONFCAST_OK, &b->now);
        (void)cfc_receiver_served(b->r, b->scope, CONFCAST_OK, &b->now);
        break;
    default:
        step_loop(run);
        break;
    }
}

static void
check_scope(struct run *run)
{
    struct cfc_receiver_scope scope;

    CFC_FUZZ_CHECK(cfc_receiver_scope(run->b.r, run->b.scope, &scope) == CONFCAST_OK);
    CFC_FUZZ_CHECK(scope.entry.accepted >= run->accepted);
    CFC_FUZZ_CHECK(scope.entry.serving_version <= scope.entry.accepted);
    if (scope.entry.serving_version > 0) {
        CFC_FUZZ_CHECK(is_named(run, scope.entry.serving_version, &scope.serving));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const size_t sizes[CONTENTS] = {300, 900, 5000, 20000};
    struct run *run = calloc(1, sizeof(*run));
    uint32_t other;

    CFC_FUZZ_CHECK(run != NULL);
    bench_prepare(&run->b);
    for (int i = 0; i < CONTENTS; i++) {
        made_content_encoding(&run->b, &run->contents[i], sizes[i], 100, i == 3 ? 2 : 8, 1);
    }
    run->at = bytes;
    run->end = bytes + size;
    run->b.config.alloc =
        (struct cfc_alloc){.alloc = bounded_alloc, .free = bounded_free, .ctx = run};
    run->b.config.budget_size = 22000;
    CFC_FUZZ_CHECK(cfc_receiver_new(&run->b.config, &run->b.r) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_receiver_subscribe(run->b.r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1,
                                          &run->b.scope) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_receiver_subscribe(run->b.r, "acme", 4, &other) == CONFCAST_OK);
    for (uint32_t i = 0; i < STEPS_MAX && run->at < run->end; i++) {
        step(run);
        check_scope(run);
    }
    run->failing = 0;
    step_loop(run);
    bench_close(&run->b);
    CFC_FUZZ_CHECK(run->b.heap.live_count == 0 && run->used_size == 0);
    for (int i = 0; i < CONTENTS; i++) {
        made_free(&run->contents[i]);
    }
    free(run);
    return 0;
}
