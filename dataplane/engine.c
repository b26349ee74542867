#include "dataplane/engine_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
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

/* The first sender, which may have helpers. */
static void
fill_config(struct cfc_engine *engine, struct cfc_sender_config *config)
{
    const struct cfc_options *o = engine->options;

    cfc_sender_config_defaults(config);
    random_bytes(&config->boot_id, sizeof(config->boot_id));
    random_bytes(&config->seed, sizeof(config->seed));
    random_bytes(&config->cookie_key, sizeof(config->cookie_key));
    config->fleet_key = o->fleet_key;
    config->alloc = (struct cfc_alloc){.alloc = heap_alloc, .free = heap_free};
    config->unicast = own_address(o);
    config->group_count = o->group_count;
    config->frame_size_max = engine->port.datagram_max;
    config->rate_bytes = o->rate_bytes;
    config->burst_bytes =
        cfc_lane_burst(burst_bytes(o->rate_bytes), engine->lane_count, engine->port.datagram_max);
    config->repair_rate_bytes = o->repair_rate_bytes;
    config->rate_floor_bytes = o->rate_floor_bytes;
    config->loss_quantile = (uint16_t)(o->loss_quantile * 10);
    config->loss_max = (uint16_t)((CFC_LOSS_ONE - 1) * o->loss_max / 100);
    config->outlier_min = (uint16_t)((CFC_LOSS_ONE - 1) * o->outlier_loss / 100);
    config->consumers_max = o->consumers_max;
    config->scopes_max = o->scopes_max;
    config->contents_max = o->contents_max;
    config->share_count = engine->lane_count;
    config->share = engine->crew != NULL ? cfc_crew_hooks(engine->crew) : NULL;
}

/* The crew, when there are several lcores, and a sender for each of them. */
static int
open_senders(struct cfc_engine *engine, uint64_t *boot_id)
{
    struct cfc_sender_config config;
    int rc;

    if (engine->lane_count > 1) {
        engine->crew =
            cfc_crew_new(engine->lanes, engine->lane_count, engine->options->contents_max);
        if (engine->crew == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    fill_config(engine, &config);
    *boot_id = config.boot_id;
    rc = cfc_sender_new(&config, &engine->lanes[0].sender);
    if (rc != CONFCAST_OK || engine->crew == NULL) {
        return rc;
    }
    cfc_lane_budgets_init(&engine->budgets, &config, engine->lane_count,
                          cfc_clock_now(&engine->lanes[0].clock).mono_ns);
    engine->lanes[0].budgets = &engine->budgets;
    config.share = NULL;
    config.is_helper = true;
    config.scopes_max = 1;
    for (uint32_t i = 1; i < engine->lane_count && rc == CONFCAST_OK; i++) {
        random_bytes(&config.seed, sizeof(config.seed));
        engine->lanes[i].budgets = &engine->budgets;
        rc = cfc_sender_new(&config, &engine->lanes[i].sender);
    }
    return rc;
}

/* The way to consumers, as each lane knows it. */
static int
open_neighbors(struct cfc_engine *engine)
{
    uint32_t count = engine->options->consumers_max;
    uint64_t seed;

    for (uint32_t i = 0; i < engine->lane_count; i++) {
        random_bytes(&seed, sizeof(seed));
        engine->lanes[i].neighbors =
            cfc_neighbors_new(count < NEIGHBORS_MAX ? count : NEIGHBORS_MAX, seed);
        if (engine->lanes[i].neighbors == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    return CONFCAST_OK;
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
        .stats = cfc_engine_fill_counters,
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
    int rc;

    engine->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (engine->stop_fd < 0 || open_neighbors(engine) != CONFCAST_OK) {
        cfc_log_error("no memory or descriptors for the engine");
        return CONFCAST_ERR_NO_MEMORY;
    }
    rc = open_senders(engine, &boot_id);
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

/* Each lcore's transmit queue, and what all of them know. */
static void
init_lanes(struct cfc_engine *engine)
{
    cfc_clock_init(&engine->lanes[0].clock);
    make_headers(engine);
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        struct cfc_lane *lane = &engine->lanes[i];

        lane->number = i;
        lane->engine = engine;
        lane->tx = engine->port.tx[i];
        lane->routes = &engine->routes;
        pthread_mutex_init(&lane->counts_mutex, NULL);
    }
}

static struct cfc_engine *
new_engine(const struct cfc_options *options)
{
    struct cfc_engine *engine = aligned_alloc(_Alignof(struct cfc_engine), sizeof(*engine));

    if (engine == NULL) {
        return NULL;
    }
    memset(engine, 0, sizeof(*engine));
    engine->options = options;
    engine->lane_count = options->lcore_count;
    engine->doorbell_fd = -1;
    engine->stop_fd = -1;
    pthread_mutex_init(&engine->snapshot_mutex, NULL);
    cfc_engine_question_init(&engine->question);
    return engine;
}

int
cfc_engine_open(const struct cfc_options *options, struct cfc_engine **out)
{
    struct cfc_engine *engine = new_engine(options);
    struct cfc_port_config port = {.interface = options->interface,
                                   .mtu = options->mtu,
                                   .header_size = cfc_net_header_size(options->ip),
                                   .needs_multicast = !options->is_kernel_answering &&
                                                      !cfc_net_is_ipv4(options->ip),
                                   .is_linear = options->is_linear,
                                   .slots_max = options->contents_max,
                                   .queue_count = options->lcore_count,
                                   .burst = options->burst,
                                   .payload_done = on_payload_done,
                                   .ctx = engine};
    int rc;

    if (engine == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    rc = cfc_port_open(&port, &engine->port);
    if (rc == CONFCAST_OK) {
        engine->is_port_open = true;
        init_lanes(engine);
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
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        cfc_lane_publish(&engine->lanes[i]);
    }
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
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        cfc_sender_free(engine->lanes[i].sender);
        cfc_neighbors_free(engine->lanes[i].neighbors);
        if (engine->is_port_open) {
            pthread_mutex_destroy(&engine->lanes[i].counts_mutex);
        }
    }
    cfc_crew_free(engine->crew);
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

    engine->is_stopping = true;
    /* It only fails when the counter is full, and then it is readable anyway. */
    if (write(engine->stop_fd, &one, sizeof(one)) < 0) {
        return;
    }
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
