#include "dataplane/engine_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/doorbell.h"
#include "dataplane/log.h"
#include "dataplane/xdp.h"
#include "protocol/wire/loss.h"

enum {
    NEIGHBORS_MAX = 1 << 18,
    BURST_BYTES_MIN = 64 * 1024,
    BURST_BYTES_MAX = 4 * 1024 * 1024,
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

static void
random_bytes(void *bytes, size_t size)
{
    ssize_t got = getrandom(bytes, size, 0);

    /* Up to 256 bytes come whole once the kernel's generator is seeded. */
    assert(got == (ssize_t)size);
    (void)got;
}

static void
on_payload_done(void *ctx, uint32_t queue, uint32_t slot, uint32_t count)
{
    struct cfc_engine *engine = ctx;

    cfc_sender_payload_done(engine->lanes[queue].sender, slot, count);
}

static void
on_mapped(void *ctx, const uint8_t *bytes, uint64_t size)
{
    struct cfc_engine *engine = ctx;

    cfc_port_add_memory(&engine->port, bytes, size);
}

static void
on_unmapping(void *ctx, const uint8_t *bytes, uint64_t size)
{
    struct cfc_engine *engine = ctx;

    cfc_port_remove_memory(&engine->port, bytes, size);
}

static void
on_stats(void *ctx, uint64_t *values)
{
    const struct cfc_engine *engine = ctx;
    const struct cfc_sender_stats *s = cfc_sender_stats(engine->lanes[0].sender);
    const struct cfc_port_stats *p = &engine->lanes[0].tx->stats;
    uint64_t frames_refused = 0;

    for (size_t i = 0; i < sizeof(s->errors) / sizeof(s->errors[0]); i++) {
        frames_refused += s->errors[i];
    }
    for (int v = CFC_RX_OWN; v < CFC_RX_VERDICT_COUNT; v++) {
        frames_refused += engine->rx_verdicts[v];
    }
    const struct {
        uint64_t frames_in, frames_refused, frames_out, bytes_out, heads_sent, symbols_sent,
            pages_sent, fresh_sent, nacks, repairs_unicast, repairs_multicast, gone_sent, reports,
            reports_refused, consumers, tx_full, mbuf_shortage;
    } counters = {
        .frames_in = s->frames_in,
        .frames_refused = frames_refused,
        .frames_out = p->frames_out,
        .bytes_out = s->bytes_out,
        .heads_sent = s->heads_sent,
        .symbols_sent = s->symbols_sent,
        .pages_sent = s->pages_sent,
        .fresh_sent = s->fresh_sent,
        .nacks = s->nacks,
        .repairs_unicast = s->repairs_unicast,
        .repairs_multicast = s->repairs_multicast,
        .gone_sent = s->gone_sent,
        .reports = s->reports,
        .reports_refused = s->reports_refused,
        .consumers = s->consumers,
        .tx_full = p->tx_full,
        .mbuf_shortage = p->mbuf_shortage,
    };
#define VALUE_(name) *values++ = counters.name;
    CFC_ENGINE_COUNTERS(VALUE_)
#undef VALUE_
}

static uint32_t
burst_bytes(uint64_t rate_bytes)
{
    uint64_t burst = rate_bytes / 1000; /* a millisecond's worth */

    if (burst < BURST_BYTES_MIN) {
        return BURST_BYTES_MIN;
    }
    return burst > BURST_BYTES_MAX ? BURST_BYTES_MAX : (uint32_t)burst;
}

static struct cfc_address
own_address(const struct cfc_options *o)
{
    struct cfc_address address = {.port = o->port};

    memcpy(address.ip, o->ip, sizeof(address.ip));
    return address;
}

static int
open_sender(struct cfc_engine *engine, uint64_t *boot_id)
{
    const struct cfc_options *o = engine->options;
    struct cfc_sender_config config;

    cfc_sender_config_defaults(&config);
    random_bytes(&config.boot_id, sizeof(config.boot_id));
    random_bytes(&config.seed, sizeof(config.seed));
    random_bytes(&config.cookie_key, sizeof(config.cookie_key));
    config.fleet_key = o->fleet_key;
    config.alloc = (struct cfc_alloc){.alloc = heap_alloc, .free = heap_free};
    config.unicast = own_address(o);
    config.group_count = o->group_count;
    config.frame_size_max = engine->port.datagram_max;
    config.rate_bytes = o->rate_bytes;
    config.burst_bytes = burst_bytes(o->rate_bytes);
    config.repair_rate_bytes = o->repair_rate_bytes;
    config.rate_floor_bytes = o->rate_floor_bytes;
    config.loss_quantile = (uint16_t)(o->loss_quantile * 10);
    config.loss_max = (uint16_t)((CFC_LOSS_ONE - 1) * o->loss_max / 100);
    config.outlier_min = (uint16_t)((CFC_LOSS_ONE - 1) * o->outlier_loss / 100);
    config.consumers_max = o->consumers_max;
    config.scopes_max = o->scopes_max;
    config.contents_max = o->contents_max;
    *boot_id = config.boot_id;
    return cfc_sender_new(&config, &engine->lanes[0].sender);
}

static int
open_control(struct cfc_engine *engine, uint64_t boot_id)
{
    const struct cfc_options *o = engine->options;
    struct cfc_control_config config = {
        .path = o->control_path,
        .sender = engine->lanes[0].sender,
        .hooks = {.mapped = on_mapped, .unmapping = on_unmapping, .ctx = engine},
        .contents_max = o->contents_max,
        .scopes_max = o->scopes_max,
        .hello = {.boot_id = boot_id,
                  .frame_size_max = (uint32_t)engine->port.datagram_max,
                  .unicast = own_address(o),
                  .port_text = engine->port_text,
                  .port_text_size = strlen(engine->port_text)},
        .stats = on_stats,
        .ctx = engine,
    };

    random_bytes(&config.seed, sizeof(config.seed));
    return cfc_control_open(&config, &engine->control);
}

static void
make_headers(struct cfc_engine *engine)
{
    const struct cfc_options *o = engine->options;

    memcpy(engine->routes.own.ip, o->ip, sizeof(engine->routes.own.ip));
    engine->routes.own.port = o->port;
    memcpy(engine->routes.own.mac, engine->port.mac, sizeof(engine->routes.own.mac));
    engine->rules =
        (struct cfc_rx_rules){.port = o->port, .is_checksum_final = engine->port.needs_dma};
    memcpy(engine->rules.ip, o->ip, sizeof(engine->rules.ip));
    for (uint32_t i = 0; i <= o->group_count; i++) {
        struct cfc_net_endpoint group = {.port = o->group_port};

        memcpy(group.ip, o->group, sizeof(group.ip));
        cfc_net_add(group.ip, i);
        cfc_net_group_mac(group.ip, group.mac);
        cfc_net_template_init(&engine->routes.groups[i], &engine->routes.own, &group, o->ttl);
    }
}

static void
describe_port(struct cfc_engine *engine)
{
    const struct cfc_options *o = engine->options;
    char address[CFC_OPTIONS_IP_TEXT_SIZE];

    cfc_options_ip_text(o->ip, address);
    snprintf(engine->port_text, sizeof(engine->port_text), "%s on %s, %s:%u, MTU %u, %s",
             engine->port.driver, o->interface != NULL ? o->interface : engine->port.name, address,
             o->port, engine->port.mtu,
             engine->port.is_chained ? "chained payload" : "copied payload");
    cfc_log_info("port: %s", engine->port_text);
}

static int
open_parts(struct cfc_engine *engine)
{
    const struct cfc_options *o = engine->options;
    uint64_t boot_id;
    uint64_t seed;
    int rc;

    random_bytes(&seed, sizeof(seed));
    engine->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    engine->lanes[0].neighbors = cfc_neighbors_new(
        o->consumers_max < NEIGHBORS_MAX ? o->consumers_max : NEIGHBORS_MAX, seed);
    if (engine->stop_fd < 0 || engine->lanes[0].neighbors == NULL) {
        cfc_log_error("no memory or descriptors for the engine");
        return CONFCAST_ERR_NO_MEMORY;
    }
    rc = open_sender(engine, &boot_id);
    if (rc != CONFCAST_OK) {
        cfc_log_error("the sender does not start: %s", confcast_error_text(rc));
        return rc;
    }
    if (o->is_doorbell_possible) {
        engine->doorbell_fd = cfc_doorbell_open(o->ip, o->port);
        if (engine->doorbell_fd < 0) {
            return engine->doorbell_fd;
        }
    }
    return open_control(engine, boot_id);
}

static void
init_question(struct cfc_engine_question *q)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&q->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&q->answered, &attributes);
    pthread_condattr_destroy(&attributes);
}

int
cfc_engine_open(const struct cfc_options *options, struct cfc_engine **out)
{
    struct cfc_engine *engine = calloc(1, sizeof(*engine));
    struct cfc_port_config port = {.interface = options->interface,
                                   .mtu = options->mtu,
                                   .header_size = cfc_net_header_size(options->ip),
                                   .needs_multicast = !options->is_kernel_answering &&
                                                      !cfc_net_is_ipv4(options->ip),
                                   .is_linear = options->is_linear,
                                   .slots_max = options->contents_max,
                                   .queue_count = 1,
                                   .payload_done = on_payload_done,
                                   .ctx = engine};
    int rc;

    if (engine == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    engine->options = options;
    engine->doorbell_fd = -1;
    engine->stop_fd = -1;
    pthread_mutex_init(&engine->snapshot_mutex, NULL);
    init_question(&engine->question);
    rc = cfc_port_open(&port, &engine->port);
    if (rc == CONFCAST_OK) {
        engine->is_port_open = true;
        engine->lane_count = 1;
        engine->lanes[0].tx = engine->port.tx[0];
        engine->lanes[0].routes = &engine->routes;
        make_headers(engine);
        describe_port(engine);
        rc = open_parts(engine);
    }
    if (rc == CONFCAST_OK && options->is_xdp) {
        struct cfc_address own = own_address(options);

        rc = cfc_xdp_configure(options->interface, &own);
    }
    if (rc != CONFCAST_OK) {
        cfc_engine_close(engine);
        return rc;
    }
    cfc_clock_init(&engine->lanes[0].clock);
    cfc_engine_publish(engine);
    *out = engine;
    return CONFCAST_OK;
}

void
cfc_engine_close(struct cfc_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    /* The port first: it gives back the payloads that are still out, which the sender counts and
     * the arenas hold. */
    if (engine->is_port_open) {
        cfc_port_close(&engine->port);
    }
    cfc_control_close(engine->control);
    cfc_sender_free(engine->lanes[0].sender);
    cfc_neighbors_free(engine->lanes[0].neighbors);
    if (engine->doorbell_fd >= 0) {
        close(engine->doorbell_fd);
    }
    if (engine->stop_fd >= 0) {
        close(engine->stop_fd);
    }
    pthread_mutex_destroy(&engine->snapshot_mutex);
    pthread_mutex_destroy(&engine->question.mutex);
    pthread_cond_destroy(&engine->question.answered);
    free(engine);
}

void
cfc_engine_stop(struct cfc_engine *engine)
{
    const uint64_t one = 1;

    engine->is_stopping = 1;
    /* It only fails when the counter is full, and then it is readable anyway. */
    if (write(engine->stop_fd, &one, sizeof(one)) < 0) {
        return;
    }
}

static void
add_tx_stats(struct cfc_port_stats *sum, const struct cfc_port_stats *tx)
{
    sum->frames_out += tx->frames_out;
    sum->tx_full += tx->tx_full;
    sum->mbuf_shortage += tx->mbuf_shortage;
}

void
cfc_engine_publish(struct cfc_engine *engine)
{
    struct cfc_engine_snapshot *s = &engine->snapshot;

    pthread_mutex_lock(&engine->snapshot_mutex);
    s->sender = *cfc_sender_stats(engine->lanes[0].sender);
    s->port = engine->port.stats;
    add_tx_stats(&s->port, &engine->lanes[0].tx->stats);
    s->control = *cfc_control_stats(engine->control);
    memcpy(s->rx_verdicts, engine->rx_verdicts, sizeof(s->rx_verdicts));
    s->arp_replies = engine->arp_replies;
    s->nd_replies = engine->nd_replies;
    s->no_neighbor = engine->lanes[0].no_neighbor;
    s->sleeps = engine->lanes[0].sleeps;
    s->turns = engine->lanes[0].turns;
    cfc_sender_view_queues(engine->lanes[0].sender, &s->queues);
    s->port_queue = engine->lanes[0].tx->queue_count;
    s->arena_bytes = cfc_control_arena_size(engine->control);
    s->is_connected = cfc_control_is_connected(engine->control);
    s->is_link_up = engine->port.is_link_up;
    pthread_mutex_unlock(&engine->snapshot_mutex);
}

void
cfc_engine_snapshot(struct cfc_engine *engine, struct cfc_engine_snapshot *out)
{
    pthread_mutex_lock(&engine->snapshot_mutex);
    *out = engine->snapshot;
    pthread_mutex_unlock(&engine->snapshot_mutex);
}

void
cfc_engine_answer(struct cfc_engine *engine)
{
    struct cfc_engine_question *q = &engine->question;

    if (!atomic_load_explicit(&q->is_asked, memory_order_relaxed)) {
        return;
    }
    pthread_mutex_lock(&q->mutex);
    q->code = cfc_sender_view_scope(engine->lanes[0].sender, q->scope_id, &q->view);
    atomic_store(&q->is_asked, false);
    q->is_answered = true;
    pthread_cond_signal(&q->answered);
    pthread_mutex_unlock(&q->mutex);
}

int
cfc_engine_ask_scope(struct cfc_engine *engine, uint64_t scope_id, struct cfc_scope_view *out)
{
    struct cfc_engine_question *q = &engine->question;
    struct timespec end;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 1;
    pthread_mutex_lock(&q->mutex);
    if (q->is_taken) {
        pthread_mutex_unlock(&q->mutex);
        return CONFCAST_ERR_BUSY;
    }
    q->is_taken = true;
    q->is_answered = false;
    q->scope_id = scope_id;
    atomic_store(&q->is_asked, true);
    while (!q->is_answered && rc == 0) {
        rc = pthread_cond_timedwait(&q->answered, &q->mutex, &end);
    }
    rc = q->is_answered ? q->code : CONFCAST_ERR_TIMEOUT;
    if (rc == CONFCAST_OK) {
        *out = q->view;
    }
    atomic_store(&q->is_asked, false);
    q->is_taken = false;
    pthread_mutex_unlock(&q->mutex);
    return rc;
}

const struct cfc_port *
cfc_engine_port(const struct cfc_engine *engine)
{
    return &engine->port;
}

const char *
cfc_engine_port_text(const struct cfc_engine *engine)
{
    return engine->port_text;
}
