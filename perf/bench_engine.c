/* What a frame costs the engine: the whole path (receive, schedule, header, pace, zero copy, burst)
 * against a loop that does nothing but fill mbufs and call the same PMD, in turns, in one process.
 *
 *   bench_engine [--port [DRIVER:]IF | --vdev ARGS] [--mtu N] [--linear] [--rounds N] [--rate MBIT]
 *                [--scopes N] [--megabytes N] [--symbol BYTES] [--lcore N] [--burst N] [--no-huge]
 *                [--alone]
 *
 * "own" is what the engine adds to the bare loop.  A round is --megabytes of one content (default
 * 16), or with --scopes that much spread over N contents of equal size, whose heads and first
 * frames are sent in the same round; all of them are the same bytes.  What is printed is the median
 * of five consecutive parts of the run, of --rounds each, and the lowest and the highest of
 * them.  --alone leaves out the bare loop, so that a profiler sees the engine.  --rate 0 (the
 * default) sends as fast as the port takes; anything else shows what pacing costs and how well it
 * holds. */
#include <getopt.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <stdbool.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/eal.h"
#include "dataplane/engine_internal.h"
#include "dataplane/options.h"
#include "dataplane/xdp.h"
#include "perf/bench.h"
#include "perf/guard/guard.h"
#include "protocol/session/sender_state.h"
#include "protocol/snapshot/tree.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/frame.h"
#include "protocol/wire/head.h"

enum {
    ROUNDS_DEFAULT = 15,
    MEGABYTES_DEFAULT = 16,
    WARM_UP_ROUNDS = 2,
    PARTS = 5,
    FRAME_ROOM = 16384,
    UDP_PORT = 7500,
};

#define OWN_IP 0x0a4d0001u /* 10.77.0.1 */
#define GROUP  0xef4d0000u /* 239.77.0.0 */

struct bench {
    struct cfc_engine *engine;
    struct cfc_sha256 *sha;
    struct cfc_signing_key key;
    struct cfc_signer signer;
    uint32_t rounds;
    bool is_alone;
    uint32_t scope_count;
    size_t content_size; /* of each scope */
    uint16_t symbol_size;
    uint8_t *coded; /* the same bytes for all: the engine looks at digests only */
    uint8_t *tree;
    uint8_t header[CFC_NET_HEADER_SIZE + CFC_SYMBOL_HEADER_SIZE]; /* of the bare loop's frames */
    uint64_t version;
};

static void
die(const char *what, int code)
{
    fprintf(stderr, "bench_engine: %s: %s\n", what, confcast_error_text(code));
    exit(1);
}

static struct cfc_content
content_of(const struct bench *b, uint64_t number)
{
    struct cfc_content content = {.coding = 1,
                                  .encoding = CFC_ENCODING_RAW,
                                  .fec_code = CFC_FEC_NONE,
                                  .fec_k = 64,
                                  .body_size = b->content_size,
                                  .coded_size = b->content_size,
                                  .symbol_size = b->symbol_size};

    memcpy(content.content.bytes, &number, sizeof(number));
    content.content.bytes[31] = 1;
    return content;
}

static void
make_payload(struct bench *b)
{
    struct cfc_content content = content_of(b, 0);
    struct cfc_tree tree;
    int rc = cfc_tree_init(&tree, &content);

    if (rc != CONFCAST_OK) {
        die("content", rc);
    }
    b->coded = malloc(b->content_size);
    b->tree = malloc(cfc_tree_digests_size(&tree));
    if (b->coded == NULL || b->tree == NULL) {
        die("payload", CONFCAST_ERR_NO_MEMORY);
    }
    memset(b->coded, 0x5a, b->content_size);
    cfc_tree_build(&tree, b->sha, b->coded, NULL, b->tree);
}

/* Hands over a new content of one scope, with its head. */
static void
publish(struct bench *b, uint32_t scope_number)
{
    struct cfc_content content = content_of(b, ++b->version);
    struct cfc_head head = {
        .epoch = 1, .version = b->version, .arm_count = 1, .issued_unix_ns = UINT64_MAX / 2};
    uint8_t bytes[FRAME_ROOM];
    char scope[32];
    struct cfc_tree tree;
    uint32_t slot;
    size_t size;
    int rc = cfc_tree_init(&tree, &content);

    content.page_levels = (uint8_t)tree.level_count;
    content.top_count = (uint8_t)tree.top_count;
    content.top_digests = b->tree + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE;
    if (rc == CONFCAST_OK) {
        rc = cfc_content_encode(&content, &b->signer, bytes, sizeof(bytes), &size);
    }
    if (rc == CONFCAST_OK) {
        rc = cfc_sender_put_content(b->engine->lanes[0].sender, bytes, size, b->tree,
                                    cfc_tree_digests_size(&tree), b->coded, false, &slot);
    }
    if (rc != CONFCAST_OK) {
        die("put_content", rc);
    }
    snprintf(scope, sizeof(scope), "bench/scope-%u", scope_number);
    head.scope = scope;
    head.scope_size = (uint16_t)strlen(scope);
    head.arms[0].content = content.content;
    rc = cfc_head_encode(&head, &b->signer, b->sha, bytes, sizeof(bytes), &size);
    if (rc == CONFCAST_OK) {
        rc = cfc_sender_put_head(b->engine->lanes[0].sender, bytes, size, &b->engine->lanes[0].now);
    }
    if (rc != CONFCAST_OK) {
        die("put_head", rc);
    }
}

struct result {
    double cycles; /* per frame */
    double mpps;
    double gbits; /* Ethernet bytes, without preamble and gap */
};

static struct result
result_of(const struct bench *b, uint64_t cycles, uint64_t frames)
{
    double seconds = (double)cycles / (double)rte_get_tsc_hz();
    double frame_bits = 8.0 * (b->symbol_size + CFC_SYMBOL_HEADER_SIZE + CFC_NET_HEADER_SIZE);

    return (struct result){.cycles = (double)cycles / (double)frames,
                           .mpps = (double)frames / seconds / 1e6,
                           .gbits = (double)frames * frame_bits / seconds / 1e9};
}

static struct result
run_engine(struct bench *b)
{
    uint64_t frames = b->engine->lanes[0].tx->stats.frames_out;
    struct result result;
    uint64_t begin;
    uint32_t found;

    for (uint32_t i = 0; i < b->scope_count; i++) {
        publish(b, i);
    }
    cfc_guard_begin();
    begin = rte_rdtsc();
    while (cfc_content_tx_is_busy(&b->engine->lanes[0].sender->contents) ||
           b->engine->lanes[0].tx->queue_count > 0) {
        cfc_engine_turn(b->engine, &found);
    }
    result = result_of(b, rte_rdtsc() - begin, b->engine->lanes[0].tx->stats.frames_out - frames);
    cfc_guard_end("frame", b->engine->lanes[0].tx->stats.frames_out - frames, "frame");
    return result;
}

/* One burst of frames like the engine's: a header mbuf and an external buffer, or one mbuf with
 * the payload copied into it where the port is linear. */
static void
fill_burst(const struct bench *b, uint32_t at, struct rte_mbuf **burst, struct rte_mbuf **ext)
{
    const struct cfc_port *port = &b->engine->port;
    const size_t header_size = sizeof(b->header);
    size_t symbols = b->content_size / b->symbol_size;

    for (uint32_t i = 0; i < port->burst; i++) {
        uint8_t *payload = b->coded + (at + i) % symbols * b->symbol_size;
        struct rte_mbuf *m = burst[i];
        uint8_t *bytes = rte_pktmbuf_mtod(m, uint8_t *);

        memcpy(bytes, b->header, sizeof(b->header));
        m->data_len = (uint16_t)header_size;
        m->pkt_len = (uint32_t)header_size + b->symbol_size;
        if (!port->is_chained) {
            memcpy(bytes + header_size, payload, b->symbol_size);
            m->data_len = (uint16_t)m->pkt_len;
            continue;
        }
        struct rte_mbuf_ext_shared_info *shared = rte_mbuf_to_priv(ext[i]);

        rte_mbuf_ext_refcnt_set(shared, 1);
        rte_pktmbuf_attach_extbuf(ext[i], payload, (rte_iova_t)(uintptr_t)payload, b->symbol_size,
                                  shared);
        ext[i]->data_off = 0;
        ext[i]->data_len = b->symbol_size;
        m->next = ext[i];
        m->nb_segs = 2;
    }
}

static void
on_ext_free(void *addr, void *opaque)
{
    (void)addr;
    (void)opaque;
}

static void
init_shared(struct rte_mempool *pool, void *opaque, void *object, unsigned index)
{
    struct rte_mbuf_ext_shared_info *shared = rte_mbuf_to_priv(object);

    (void)pool;
    (void)opaque;
    (void)index;
    shared->free_cb = on_ext_free;
}

static struct result
run_bare(struct bench *b, struct rte_mempool *headers, struct rte_mempool *exts)
{
    const struct cfc_port *port = &b->engine->port;
    uint32_t count = (uint32_t)(b->content_size / b->symbol_size) * b->scope_count;
    struct rte_mbuf *burst[CFC_PORT_BURST_MAX];
    struct rte_mbuf *ext[CFC_PORT_BURST_MAX];
    uint64_t begin = rte_rdtsc();
    uint32_t sent = 0;

    while (sent < count) {
        uint32_t done = 0;

        if (rte_pktmbuf_alloc_bulk(headers, burst, port->burst) != 0) {
            rte_eth_tx_done_cleanup(port->id, 0, 0);
            rte_eth_tx_burst(port->id, 0, burst, 0);
            continue;
        }
        if (port->is_chained && rte_pktmbuf_alloc_bulk(exts, ext, port->burst) != 0) {
            die("bare loop", CONFCAST_ERR_RESOURCE);
        }
        fill_burst(b, sent, burst, ext);
        while (done < port->burst) {
            done += rte_eth_tx_burst(port->id, 0, burst + done, (uint16_t)(port->burst - done));
        }
        sent += port->burst;
    }
    return result_of(b, rte_rdtsc() - begin, sent);
}

static struct rte_mempool *
make_pool(const char *name, uint16_t private_size, size_t room)
{
    struct rte_mempool *pool = rte_pktmbuf_pool_create(
        name, 4095, 256, private_size, (uint16_t)(room == 0 ? 0 : RTE_PKTMBUF_HEADROOM + room),
        SOCKET_ID_ANY);

    if (pool == NULL) {
        die(name, CONFCAST_ERR_NO_MEMORY);
    }
    return pool;
}

enum figure {
    BARE,
    ENGINE,
    OWN,
    ENGINE_MPPS,
    ENGINE_GBITS,
    RATIO,
    FIGURE_COUNT
};

static void
measure_part(struct bench *b, struct rte_mempool *headers, struct rte_mempool *exts,
             struct cfc_bench parts[FIGURE_COUNT])
{
    static struct cfc_bench rounds[FIGURE_COUNT];

    memset(rounds, 0, sizeof(rounds));
    for (uint32_t i = 0; i < b->rounds; i++) {
        struct result bare = b->is_alone ? (struct result){.mpps = 1} : run_bare(b, headers, exts);
        struct result ours = run_engine(b);

        cfc_bench_add(&rounds[BARE], bare.cycles);
        cfc_bench_add(&rounds[ENGINE], ours.cycles);
        cfc_bench_add(&rounds[OWN], ours.cycles - bare.cycles);
        cfc_bench_add(&rounds[ENGINE_MPPS], ours.mpps);
        cfc_bench_add(&rounds[ENGINE_GBITS], ours.gbits);
        cfc_bench_add(&rounds[RATIO], ours.mpps / bare.mpps);
    }
    for (int f = 0; f < FIGURE_COUNT; f++) {
        cfc_bench_add(&parts[f], cfc_bench_quantile(&rounds[f], 0.5));
    }
}

static void
measure(struct bench *b)
{
    static struct cfc_bench parts[FIGURE_COUNT];
    const struct cfc_port *port = &b->engine->port;
    struct rte_mempool *headers =
        port->is_pool_shared
            ? port->rx_pools[0]
            : make_pool("bench_header", 0, CFC_NET_HEADER_SIZE + port->datagram_max);
    struct rte_mempool *exts = make_pool(
        "bench_ext",
        (uint16_t)RTE_ALIGN(sizeof(struct rte_mbuf_ext_shared_info), RTE_MBUF_PRIV_ALIGN), 0);

    cfc_net_template_write(&b->engine->routes.groups[0], CFC_SYMBOL_HEADER_SIZE + b->symbol_size,
                           b->header);
    rte_mempool_obj_iter(exts, init_shared, NULL);
    for (uint32_t i = 0; i < WARM_UP_ROUNDS; i++) {
        run_bare(b, headers, exts);
        run_engine(b);
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        measure_part(b, headers, exts, parts);
    }
    cfc_bench_print(&parts[ENGINE], "engine", "engine", "cycles/frame");
    cfc_bench_print(&parts[ENGINE_MPPS], "engine", "engine", "Mpps");
    cfc_bench_print(&parts[ENGINE_GBITS], "engine", "engine", "Gbit/s");
    if (b->is_alone) {
        return;
    }
    cfc_bench_print(&parts[BARE], "engine", "bare loop", "cycles/frame");
    cfc_bench_print(&parts[OWN], "engine", "own = engine - bare loop", "cycles/frame");
    cfc_bench_print(&parts[RATIO], "engine", "engine / bare loop", "ratio");
}

static void
parse(int argc, char **argv, struct cfc_options *o, struct bench *b, size_t *size)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},      {"vdev", required_argument, NULL, 'v'},
        {"mtu", required_argument, NULL, 'm'},       {"linear", no_argument, NULL, 'l'},
        {"no-huge", no_argument, NULL, 'h'},         {"rounds", required_argument, NULL, 'n'},
        {"rate", required_argument, NULL, 'r'},      {"scopes", required_argument, NULL, 's'},
        {"megabytes", required_argument, NULL, 'b'}, {"lcore", required_argument, NULL, 'c'},
        {"symbol", required_argument, NULL, 'y'},    {"burst", required_argument, NULL, 'u'},
        {"alone", no_argument, NULL, 'a'},           {NULL, 0, NULL, 0},
    };
    const char *colon;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            colon = strchr(optarg, ':');
            o->interface = colon != NULL ? colon + 1 : optarg;
            snprintf(o->driver, sizeof(o->driver), "%.*s",
                     colon != NULL ? (int)(colon - optarg) : 0, optarg);
            if (colon == NULL) {
                snprintf(o->driver, sizeof(o->driver), "net_af_packet");
            }
            o->interface_mtu = 1500;
            o->is_xdp = strcmp(o->driver, "net_af_xdp") == 0;
            o->is_kernel_answering = true;
            o->vdev = NULL;
            break;
        case 'v':
            o->vdev = optarg;
            break;
        case 'm':
            o->mtu = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'u':
            o->burst = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'a':
            b->is_alone = true;
            break;
        case 'l':
            o->is_linear = true;
            break;
        case 'h':
            o->is_huge_refused = true;
            break;
        case 'n':
            b->rounds = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            o->rate_bytes = strtoull(optarg, NULL, 10) * 125000;
            break;
        case 's':
            b->scope_count = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            *size = strtoul(optarg, NULL, 10) << 20;
            break;
        case 'c':
            o->core_count = 1;
            o->cores[0] = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'y':
            b->symbol_size = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
}

int
main(int argc, char **argv)
{
    static const uint8_t seed[32] = {1, 2, 3};
    static struct bench b = {.rounds = ROUNDS_DEFAULT, .scope_count = 1};
    static const uint8_t ip[16] = CFC_NET_IPV4(OWN_IP);
    static const uint8_t group[16] = CFC_NET_IPV4(GROUP);
    static struct cfc_options o;
    size_t size = (size_t)MEGABYTES_DEFAULT << 20;
    char control_path[64];
    int rc;

    cfc_options_default(&o);
    o.vdev = "net_null0,no-rx=1";
    memcpy(o.ip, ip, sizeof(o.ip));
    o.port = UDP_PORT;
    memcpy(o.group, group, sizeof(o.group));
    o.group_count = 16;
    o.group_port = UDP_PORT;
    o.rate_bytes = 0;
    o.scopes_max = 1 << 16;
    o.contents_max = 1 << 19;
    o.consumers_max = 1024;
    o.lcore_count = 1;
    snprintf(control_path, sizeof(control_path), "/tmp/confcast-bench-%d.sock", (int)getpid());
    o.control_path = control_path;
    parse(argc, argv, &o, &b, &size);
    rc = o.is_xdp
             ? cfc_xdp_prepare(o.interface, o.lcore_count, o.xdp_program, sizeof(o.xdp_program))
             : CONFCAST_OK;
    if (rc == CONFCAST_OK) {
        rc = cfc_eal_start(&o);
    }
    if (rc == CONFCAST_OK) {
        rc = cfc_engine_open(&o, &b.engine);
    }
    if (rc != CONFCAST_OK) {
        die("engine", rc);
    }
    b.engine->lanes[0].now = cfc_clock_now(&b.engine->lanes[0].clock);
    b.sha = cfc_sha256_new();
    rc = cfc_signing_key_from_seed(seed, &b.key);
    if (b.sha == NULL || rc != CONFCAST_OK) {
        die("keys", CONFCAST_ERR_NO_MEMORY);
    }
    b.signer = cfc_signing_key_signer(&b.key);
    if (b.symbol_size == 0) {
        b.symbol_size = (uint16_t)(b.engine->port.datagram_max - 32);
    }
    b.content_size = size / b.scope_count;
    make_payload(&b);
    measure(&b);
    cfc_engine_close(b.engine);
    cfc_eal_stop();
    if (o.is_xdp) {
        cfc_xdp_remove(o.interface);
    }
    cfc_sha256_free(b.sha);
    free(b.coded);
    free(b.tree);
    return 0;
}
