/* Sender and receivers together, on a line that loses, doubles and reorders: they must understand
 * each other without anybody in between.  The simulator goes further; this one is small enough to
 * be read when that fails. */
#include "protocol/session/sender.h"

#include <stdio.h>

#include "tests/unit/cunit_main.h"
#include "tests/unit/receiver_fixture.h"

enum {
    PEERS_MAX = 8,
    LINE_FRAMES = 4096 /* under way at one time */
};

#define LATENCY_NS (50 * CFC_US)

struct flying {
    uint64_t at_ns;
    int32_t to; /* receiver, or -1 for the sender */
    int32_t from;
    size_t size;
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
};

struct peer {
    char id[16];
    struct cfc_receiver *r;
    struct cfc_address address;
    uint32_t scope;
    uint64_t version; /* served */
    struct cfc_digest content;
    uint64_t served_ns;
};

struct line {
    struct bench b; /* the control plane's hand: contents, heads, clock */
    struct cfc_test_heap heap;
    struct cfc_key fleet_key;
    struct cfc_sender *sender;
    struct peer peers[PEERS_MAX];
    uint32_t peer_count;
    uint32_t loss_percent;
    uint32_t double_percent;
    uint32_t reorder_percent;
    struct cfc_prng prng;
    struct flying *flying;
    uint32_t flying_count;
    uint64_t reports;
};

static void
line_open(struct line *line, uint32_t peer_count, uint64_t seed)
{
    struct cfc_sender_config config;

    memset(line, 0, sizeof(*line));
    bench_prepare(&line->b);
    line->prng.state = seed;
    line->flying = malloc(LINE_FRAMES * sizeof(struct flying));
    memset(&line->fleet_key, 0x33, sizeof(line->fleet_key));
    cfc_sender_config_defaults(&config);
    config.boot_id = BENCH_BOOT_ID;
    config.fleet_key = line->fleet_key;
    memset(&config.cookie_key, 0x44, sizeof(config.cookie_key));
    config.alloc = cfc_test_heap_table(&line->heap);
    config.seed = seed;
    config.unicast = cfc_address_ipv4(0x0a000001, 7401);
    config.group_count = 1;
    config.consumers_max = 64;
    config.scopes_max = 16;
    config.contents_max = 16;
    CU_ASSERT_EQUAL_FATAL(cfc_sender_new(&config, &line->sender), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_sender_set_shard(line->sender, BENCH_SHARD, BENCH_EPOCH, peer_count),
                    CONFCAST_OK);
    line->peer_count = peer_count;
    for (uint32_t i = 0; i < peer_count; i++) {
        struct peer *peer = &line->peers[i];
        struct cfc_receiver_config receiver = line->b.config;

        snprintf(peer->id, sizeof(peer->id), "host-%u", i);
        peer->address = cfc_address_ipv4(0x0a000100 + i, 5000);
        receiver.id = peer->id;
        receiver.id_size = strlen(peer->id);
        receiver.seed = seed * 1000 + i;
        receiver.alloc = cfc_test_heap_table(&line->heap);
        cfc_credential_key(&line->fleet_key, CFC_DOMAIN_CRED_SESSION, peer->id, receiver.id_size,
                           &receiver.session_key);
        CU_ASSERT_EQUAL_FATAL(cfc_receiver_new(&receiver, &peer->r), CONFCAST_OK);
        CU_ASSERT_EQUAL(
            cfc_receiver_subscribe(peer->r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &peer->scope),
            CONFCAST_OK);
    }
}

static void
line_close(struct line *line)
{
    for (uint32_t i = 0; i < line->peer_count; i++) {
        cfc_receiver_free(line->peers[i].r);
    }
    cfc_sender_free(line->sender);
    CU_ASSERT_EQUAL(line->heap.live_count, 0);
    free(line->flying);
    bench_close(&line->b);
}

static bool
chance(struct line *line, uint32_t percent)
{
    return cfc_prng_below(&line->prng, 100) < percent;
}

static void
fly(struct line *line, int32_t from, int32_t to, const uint8_t *bytes, size_t size)
{
    uint32_t copies = chance(line, line->loss_percent) ? 0 : 1;

    copies += chance(line, line->double_percent) ? copies : 0;
    for (uint32_t i = 0; i < copies && line->flying_count < LINE_FRAMES; i++) {
        struct flying *f = &line->flying[line->flying_count++];

        f->at_ns = line->b.now.mono_ns + LATENCY_NS;
        if (chance(line, line->reorder_percent)) {
            f->at_ns += cfc_prng_below(&line->prng, 300 * CFC_US);
        }
        f->from = from;
        f->to = to;
        f->size = size;
        memcpy(f->bytes, bytes, size);
    }
}

static void
send_down(struct line *line)
{
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_tx tx;

    while (line->flying_count < LINE_FRAMES - PEERS_MAX * 2 &&
           cfc_sender_poll_frame(line->sender, &line->b.now, bytes, sizeof(bytes), &tx) ==
               CONFCAST_OK) {
        size_t size = tx.header_size + tx.payload_size;

        CU_ASSERT_FATAL(size <= sizeof(bytes));
        if (tx.payload != NULL) {
            memcpy(bytes + tx.header_size, tx.payload, tx.payload_size);
            cfc_sender_payload_done(line->sender, tx.slot, 1);
        }
        for (uint32_t i = 0; i < line->peer_count; i++) {
            if (tx.is_multicast || cfc_address_equal(&tx.to, &line->peers[i].address)) {
                fly(line, -1, (int32_t)i, bytes, size);
            }
        }
    }
}

static void
run_peer(struct line *line, uint32_t i)
{
    struct peer *peer = &line->peers[i];
    const struct cfc_now *now = &line->b.now;
    struct cfc_receiver_event event;
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    size_t size;

    while (cfc_receiver_poll_event(peer->r, now, &event) == CONFCAST_OK) {
        if (event.type == CFC_EVENT_CONTENT) {
            struct cfc_digest id;

            cfc_content_id(line->b.sha, event.bytes, event.size, &id);
            CU_ASSERT(cfc_digest_equal(&id, &event.content));
            (void)cfc_receiver_content_done(peer->r, &event.content, CONFCAST_OK, now);
        } else if (event.type == CFC_EVENT_SERVE) {
            CU_ASSERT(event.version >= peer->version);
            peer->version = event.version;
            peer->content = event.content;
            peer->served_ns = now->mono_ns;
            (void)cfc_receiver_served(peer->r, event.scope_idx, CONFCAST_OK, now);
        }
    }
    while (cfc_receiver_poll_frame(peer->r, now, bytes, sizeof(bytes), &size) == CONFCAST_OK) {
        fly(line, (int32_t)i, -1, bytes, size);
    }
}

/* Delivers what has arrived; lower numbers of equal time first, as they were sent. */
static void
land(struct line *line)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < line->flying_count; i++) {
        struct flying *f = &line->flying[i];

        if (f->at_ns > line->b.now.mono_ns) {
            if (kept != i) {
                line->flying[kept] = *f;
            }
            kept++;
        } else if (f->to < 0) {
            (void)cfc_sender_on_frame(line->sender, f->bytes, f->size,
                                      &line->peers[f->from].address, &line->b.now);
        } else {
            (void)cfc_receiver_on_frame(line->peers[f->to].r, f->bytes, f->size, &line->b.now);
        }
    }
    line->flying_count = kept;
}

static bool
all_serve(const struct line *line, uint64_t version)
{
    for (uint32_t i = 0; i < line->peer_count; i++) {
        if (line->peers[i].version != version) {
            return false;
        }
    }
    return true;
}

/* Lets time pass until all serve `version` (0: until the time is over), at most `ns`. */
static bool
line_run(struct line *line, uint64_t version, uint64_t ns)
{
    uint64_t end_ns = line->b.now.mono_ns + ns;
    uint32_t still = 0;

    for (;;) {
        uint64_t before_ns = line->b.now.mono_ns;
        uint64_t next_ns = end_ns;
        struct cfc_upcall upcall;

        land(line);
        send_down(line);
        while (cfc_sender_poll_upcall(line->sender, &upcall) == CONFCAST_OK) {
            line->reports += upcall.type == CFC_UPCALL_REPORT;
        }
        for (uint32_t i = 0; i < line->peer_count; i++) {
            uint64_t due_ns;

            run_peer(line, i);
            due_ns = cfc_receiver_deadline(line->peers[i].r);
            next_ns = due_ns < next_ns ? due_ns : next_ns;
        }
        if (version != 0 && all_serve(line, version)) {
            return true;
        }
        if (line->b.now.mono_ns >= end_ns) {
            return version == 0;
        }
        for (uint32_t i = 0; i < line->flying_count; i++) {
            next_ns = line->flying[i].at_ns < next_ns ? line->flying[i].at_ns : next_ns;
        }
        if (cfc_sender_deadline(line->sender) < next_ns) {
            next_ns = cfc_sender_deadline(line->sender);
        }
        if (next_ns > before_ns) {
            bench_wait(&line->b, next_ns - before_ns);
            still = 0;
        }
        /* Nobody may be due for ever without doing anything. */
        CU_ASSERT_FATAL(++still < 1000);
    }
}

static void
publish(struct line *line, uint64_t version, const struct made *m)
{
    struct cfc_head head = bench_head(&line->b, version, &m->id);
    uint32_t slot;
    int code;

    bench_make_content(&line->b, m);
    code = cfc_sender_put_content(line->sender, line->b.frame, line->b.size, m->digests,
                                  cfc_tree_digests_size(&m->tree), m->body, false, &slot);
    CU_ASSERT(code == CONFCAST_OK || code == CONFCAST_ERR_EXISTS);
    bench_make_head(&line->b, &head);
    CU_ASSERT_EQUAL_FATAL(
        cfc_sender_put_head(line->sender, line->b.frame, line->b.size, &line->b.now), CONFCAST_OK);
}

static void
announce(struct line *line, uint64_t version, const struct made *m)
{
    struct cfc_head head = bench_head(&line->b, version, &m->id);
    struct cfc_fresh_entry entry;

    entry.scope_id = cfc_scope_id(line->b.sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1);
    entry.version = version;
    bench_digest_of(&line->b, &head, entry.head_digest);
    CU_ASSERT_EQUAL(
        bench_make_fresh(&line->b, BENCH_EPOCH, version, line->b.now.unix_ns, &entry, 1, 0),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(
        cfc_sender_put_fresh(line->sender, line->b.frame, line->b.size, true, &line->b.now),
        CONFCAST_OK);
}

static uint64_t
nacks_of(const struct line *line)
{
    uint64_t nacks = 0;

    for (uint32_t i = 0; i < line->peer_count; i++) {
        nacks += cfc_receiver_stats(line->peers[i].r)->nacks;
    }
    return nacks;
}

static void
on_a_clean_line_everybody_applies_without_a_single_request(void)
{
    struct line line;
    struct made m;
    uint64_t nacks;

    line_open(&line, PEERS_MAX, 1);
    made_content_encoding(&line.b, &m, 1000000, 1400, 32, 1);
    CU_ASSERT(line_run(&line, 0, CFC_S));
    nacks = nacks_of(&line);
    publish(&line, 10, &m);
    CU_ASSERT(line_run(&line, 10, CFC_S));
    CU_ASSERT_EQUAL(nacks_of(&line), nacks);
    CU_ASSERT_EQUAL(cfc_sender_stats(line.sender)->repairs_unicast, 0);
    line.reports = 0;
    CU_ASSERT(line_run(&line, 0, 10 * CFC_MS));
    CU_ASSERT_EQUAL(line.reports, PEERS_MAX);
    made_free(&m);
    line_close(&line);
}

static void
losses_doubles_and_reordering_heal_in_good_time(void)
{
    static const uint32_t losses[] = {1, 5, 20, 50};
    static const uint64_t bounds_ms[] = {30, 100, 1000, 10000};

    for (uint32_t n = 0; n < sizeof(losses) / sizeof(losses[0]); n++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct line line;
            struct made m;
            uint64_t start_ns;

            line_open(&line, PEERS_MAX, seed);
            made_content_encoding(&line.b, &m, 500000, 1400, 32, 1);
            CU_ASSERT(line_run(&line, 0, CFC_S));
            line.loss_percent = losses[n];
            line.double_percent = 3;
            line.reorder_percent = 5;
            start_ns = line.b.now.mono_ns;
            publish(&line, 10, &m);
            announce(&line, 10, &m);
            CU_ASSERT(line_run(&line, 10, 60 * CFC_S));
            /* 8 ms of sending; the rest is repair, which may double its waits at the worst loss. */
            CU_ASSERT((line.b.now.mono_ns - start_ns) / CFC_MS < bounds_ms[n]);
            made_free(&m);
            line_close(&line);
        }
    }
}

static void
a_late_joiner_gets_head_and_content_by_asking(void)
{
    struct line line;
    struct made m;

    line_open(&line, 1, 1);
    made_content_encoding(&line.b, &m, 3000000, 1400, 32, 1);
    publish(&line, 10, &m);
    announce(&line, 10, &m);
    /* Everything goes out before anybody is there. */
    line.loss_percent = 100;
    CU_ASSERT(line_run(&line, 0, CFC_S));
    line.loss_percent = 0;
    CU_ASSERT(line_run(&line, 10, 2 * CFC_S));
    /* Asking for blocks in a window fetches each symbol about once. */
    CU_ASSERT(cfc_sender_stats(line.sender)->repairs_unicast < 2143 + 200);
    made_free(&m);
    line_close(&line);
}

static void
a_rollback_to_a_content_that_is_held_is_one_frame(void)
{
    struct line line;
    struct made first, second;
    uint64_t symbols;

    line_open(&line, PEERS_MAX, 1);
    made_content_encoding(&line.b, &first, 100000, 1400, 32, 1);
    made_content_encoding(&line.b, &second, 100000, 1400, 32, 1);
    CU_ASSERT(line_run(&line, 0, CFC_S));
    publish(&line, 10, &first);
    CU_ASSERT(line_run(&line, 10, CFC_S));
    {
        struct cfc_head head = bench_head(&line.b, 11, &second.id);
        uint32_t slot;

        head.arms[0].fallback = first.id;
        bench_make_content(&line.b, &second);
        CU_ASSERT_EQUAL(cfc_sender_put_content(line.sender, line.b.frame, line.b.size,
                                               second.digests, cfc_tree_digests_size(&second.tree),
                                               second.body, false, &slot),
                        CONFCAST_OK);
        bench_make_head(&line.b, &head);
        CU_ASSERT_EQUAL(cfc_sender_put_head(line.sender, line.b.frame, line.b.size, &line.b.now),
                        CONFCAST_OK);
    }
    CU_ASSERT(line_run(&line, 11, CFC_S));
    CU_ASSERT(line_run(&line, 0, CFC_S));
    symbols = cfc_sender_stats(line.sender)->symbols_sent;
    publish(&line, 12, &first);
    CU_ASSERT(line_run(&line, 12, LATENCY_NS));
    CU_ASSERT(line_run(&line, 0, CFC_S));
    CU_ASSERT_EQUAL(cfc_sender_stats(line.sender)->symbols_sent, symbols);
    made_free(&first);
    made_free(&second);
    line_close(&line);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(on_a_clean_line_everybody_applies_without_a_single_request),
    CFC_CASE(losses_doubles_and_reordering_heal_in_good_time),
    CFC_CASE(a_late_joiner_gets_head_and_content_by_asking),
    CFC_CASE(a_rollback_to_a_content_that_is_held_is_one_frame),
};

CFC_TEST_MAIN("session", cases)
