#include "dataplane/telemetry.h"

#include <pthread.h>
#include <rte_ethdev.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "dataplane/metrics.h"
#include "protocol/session/fleet_loss.h"

/* rte_telemetry hands its callbacks no context.  The mutex guards the pointer. */
static pthread_mutex_t engine_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cfc_engine *the_engine;

static void
add(struct rte_tel_data *d, const char *name, uint64_t value)
{
    rte_tel_data_add_dict_u64(d, name, value);
}

/* A second dictionary below the first, with the counters that have a name each. */
static void
add_named(struct rte_tel_data *d, const struct cfc_engine_snapshot *s)
{
    struct rte_tel_data *rx = rte_tel_data_alloc();
    struct rte_tel_data *errors = rte_tel_data_alloc();
    struct rte_tel_data *bytes = rte_tel_data_alloc();

    if (rx == NULL || errors == NULL || bytes == NULL) {
        rte_tel_data_free(rx);
        rte_tel_data_free(errors);
        rte_tel_data_free(bytes);
        return;
    }
    rte_tel_data_start_dict(bytes);
    for (int i = 0; i < CFC_TX_KIND_COUNT; i++) {
        add(bytes, cfc_metrics_kind(i), s->sender.kind_bytes[i]);
    }
    rte_tel_data_add_dict_container(d, "bytes", bytes, 0);
    rte_tel_data_start_dict(rx);
    for (int v = 0; v < CFC_RX_VERDICT_COUNT; v++) {
        add(rx, cfc_rx_verdict_word(v), s->rx_verdicts[v]);
    }
    rte_tel_data_add_dict_container(d, "rx", rx, 0);
    rte_tel_data_start_dict(errors);
    for (int i = 0; i < (int)(sizeof(s->sender.errors) / sizeof(s->sender.errors[0])); i++) {
        if (s->sender.errors[i] > 0) {
            add(errors, confcast_error_word(-i), s->sender.errors[i]);
        }
    }
    rte_tel_data_add_dict_container(d, "errors", errors, 0);
}

bool
cfc_telemetry_snapshot(struct cfc_engine_snapshot *out)
{
    bool has_engine;

    pthread_mutex_lock(&engine_mutex);
    has_engine = the_engine != NULL;
    if (has_engine) {
        cfc_engine_snapshot(the_engine, out);
    }
    pthread_mutex_unlock(&engine_mutex);
    return has_engine;
}

static int
on_stats(const char *command, const char *params, struct rte_tel_data *d)
{
    struct cfc_engine_snapshot s;

    (void)command;
    (void)params;
    rte_tel_data_start_dict(d);
    if (!cfc_telemetry_snapshot(&s)) {
        return 0;
    }
    add(d, "frames_in", s.sender.frames_in);
    add(d, "frames_out", s.port.frames_out);
    add(d, "bytes_out", s.sender.bytes_out);
    add(d, "heads_sent", s.sender.heads_sent);
    add(d, "symbols_sent", s.sender.symbols_sent);
    add(d, "pages_sent", s.sender.pages_sent);
    add(d, "fresh_sent", s.sender.fresh_sent);
    add(d, "status_sent", s.sender.status_sent);
    add(d, "nacks", s.sender.nacks);
    add(d, "contents_sent", s.sender.contents_sent);
    add(d, "nack_entries", s.sender.nack_entries);
    add(d, "nack_entries_suppressed", s.sender.nack_entries_suppressed);
    add(d, "repairs_unicast", s.sender.repairs_unicast);
    add(d, "repairs_multicast", s.sender.repairs_multicast);
    add(d, "repairs_fresh", s.sender.repairs_fresh);
    add(d, "parity_sent", s.sender.parity_sent);
    add(d, "gone_sent", s.sender.gone_sent);
    add(d, "reports", s.sender.reports);
    add(d, "reports_refused", s.sender.reports_refused);
    add(d, "consumers", s.sender.consumers);
    add(d, "consumers_evicted", s.sender.consumers_evicted);
    add(d, "identities_refused", s.sender.identities_refused);
    add(d, "tx_full", s.port.tx_full);
    add(d, "mbuf_shortage", s.port.mbuf_shortage);
    add(d, "rx_oversize", s.port.rx_oversize);
    add(d, "rx_chained", s.port.rx_chained);
    add(d, "arp_replies", s.arp_replies);
    add(d, "nd_replies", s.nd_replies);
    add(d, "no_neighbor", s.no_neighbor);
    add(d, "sleeps", s.sleeps);
    add(d, "turns", s.turns);
    add(d, "control_connected", s.is_connected);
    add(d, "control_connections", s.control.connections);
    add(d, "control_messages_in", s.control.messages_in);
    add(d, "control_messages_out", s.control.messages_out);
    add(d, "control_refused", s.control.refused);
    add(d, "control_blocked", s.control.blocked);
    add(d, "arena_bytes", s.arena_bytes);
    add_named(d, &s);
    return 0;
}

static int
on_port(const char *command, const char *params, struct rte_tel_data *d)
{
    struct rte_eth_stats eth;
    const struct cfc_port *port;

    (void)command;
    (void)params;
    rte_tel_data_start_dict(d);
    pthread_mutex_lock(&engine_mutex);
    if (the_engine != NULL) {
        port = cfc_engine_port(the_engine);
        rte_tel_data_add_dict_string(d, "text", cfc_engine_port_text(the_engine));
        rte_tel_data_add_dict_string(d, "driver", port->driver);
        add(d, "mtu", port->mtu);
        add(d, "datagram_max", port->datagram_max);
        add(d, "burst", port->burst);
        add(d, "queues", port->config.queue_count);
        add(d, "chained", port->is_chained);
        add(d, "link_up", port->is_link_up);
        if (rte_eth_stats_get(port->id, &eth) == 0) {
            add(d, "rx_packets", eth.ipackets);
            add(d, "tx_packets", eth.opackets);
            add(d, "rx_missed", eth.imissed);
            add(d, "rx_errors", eth.ierrors);
            add(d, "tx_errors", eth.oerrors);
            add(d, "rx_no_mbuf", eth.rx_nombuf);
        }
    }
    pthread_mutex_unlock(&engine_mutex);
    return 0;
}

static int
on_queues(const char *command, const char *params, struct rte_tel_data *d)
{
    struct cfc_engine_snapshot s;

    (void)command;
    (void)params;
    rte_tel_data_start_dict(d);
    if (!cfc_telemetry_snapshot(&s)) {
        return 0;
    }
    add(d, "heads", s.queues.heads);
    add(d, "contents", s.queues.contents);
    add(d, "heads_due", s.queues.heads_due);
    add(d, "passes_news", s.queues.passes_news);
    add(d, "passes_rest", s.queues.passes_rest);
    add(d, "replies", s.queues.replies);
    add(d, "echoes", s.queues.echoes);
    add(d, "repairs_gathering", s.queues.repairs_gathering);
    add(d, "repairs_unicast", s.queues.repairs_unicast);
    add(d, "repairs_multicast", s.queues.repairs_multicast);
    add(d, "repairs_quiet", s.queues.repairs_quiet);
    add(d, "upcalls", s.queues.upcalls);
    add(d, "port", s.port_queue);
    add(d, "fleet_size", s.queues.fleet_size);
    add(d, "pacing_rate_bytes", s.queues.pacing_rate_bytes);
    add(d, "pacing_level_bytes", s.queues.pacing_level_bytes);
    add(d, "parity_sixteenths", s.queues.parity_sixteenths);
    return 0;
}

/* Losses in millionths. */
static uint64_t
ppm(uint16_t loss)
{
    return (uint64_t)loss * 1000000 / CFC_LOSS_ONE;
}

static int
on_loss(const char *command, const char *params, struct rte_tel_data *d)
{
    struct cfc_engine_snapshot s;

    (void)command;
    (void)params;
    rte_tel_data_start_dict(d);
    if (!cfc_telemetry_snapshot(&s)) {
        return 0;
    }
    rte_tel_data_add_dict_string(d, "state", cfc_pace_state_name(s.queues.pacing_state));
    add(d, "rate_bytes", s.queues.pacing_rate_bytes);
    add(d, "floor_bytes", s.queues.pacing_floor_bytes);
    add(d, "slowdowns", s.queues.pacing_slowdowns);
    add(d, "reporters", s.queues.loss_reporters);
    add(d, "outliers", s.queues.loss_outliers);
    add(d, "p50_ppm", ppm(s.queues.loss_p50));
    add(d, "p90_ppm", ppm(s.queues.loss_p90));
    add(d, "p99_ppm", ppm(s.queues.loss_p99));
    add(d, "p999_ppm", ppm(s.queues.loss_p999));
    add(d, "worst_ppm", ppm(s.queues.loss_worst));
    add(d, "reports", s.sender.losses);
    add(d, "advices", s.sender.advices_sent);
    return 0;
}

/* Of each lcore; their sums are in /confcast/stats. */
static int
on_lcores(const char *command, const char *params, struct rte_tel_data *d)
{
    struct cfc_engine_snapshot s;
    char name[32];

    (void)command;
    (void)params;
    rte_tel_data_start_dict(d);
    if (!cfc_telemetry_snapshot(&s)) {
        return 0;
    }
    for (uint32_t i = 0; i < s.lane_count; i++) {
        struct rte_tel_data *one = rte_tel_data_alloc();

        if (one == NULL) {
            return 0;
        }
        rte_tel_data_start_dict(one);
        add(one, "frames_out", s.lanes[i].frames_out);
        add(one, "bytes_out", s.lanes[i].bytes_out);
        add(one, "sleeps", s.lanes[i].sleeps);
        add(one, "turns", s.lanes[i].turns);
        snprintf(name, sizeof(name), "lcore_%u", i);
        rte_tel_data_add_dict_container(d, name, one, 0);
    }
    return 0;
}

static void
add_latency(struct rte_tel_data *d, const char *name, const struct cfc_latency *latency)
{
    struct rte_tel_data *one = rte_tel_data_alloc();
    struct rte_tel_data *counts = rte_tel_data_alloc();

    if (one == NULL || counts == NULL) {
        rte_tel_data_free(one);
        rte_tel_data_free(counts);
        return;
    }
    rte_tel_data_start_dict(one);
    add(one, "count", latency->count);
    add(one, "sum_us", latency->sum_ns / CFC_US);
    rte_tel_data_start_array(counts, RTE_TEL_U64_VAL);
    for (uint32_t i = 0; i <= CFC_LATENCY_BOUND_COUNT; i++) {
        rte_tel_data_add_array_u64(counts, latency->counts[i]);
    }
    rte_tel_data_add_dict_container(one, "counts", counts, 0);
    rte_tel_data_add_dict_container(d, name, one, 0);
}

/* Bounds once, then the counts of each histogram; the last count is what lies above all bounds. */
static int
on_latency(const char *command, const char *params, struct rte_tel_data *d)
{
    static const uint64_t bounds_ns[CFC_LATENCY_BOUND_COUNT] = {CFC_LATENCY_BOUNDS};
    struct rte_tel_data *bounds = rte_tel_data_alloc();
    struct cfc_engine_snapshot s;

    (void)command;
    (void)params;
    rte_tel_data_start_dict(d);
    if (bounds == NULL || !cfc_telemetry_snapshot(&s)) {
        rte_tel_data_free(bounds);
        return 0;
    }
    rte_tel_data_start_array(bounds, RTE_TEL_U64_VAL);
    for (uint32_t i = 0; i < CFC_LATENCY_BOUND_COUNT; i++) {
        rte_tel_data_add_array_u64(bounds, bounds_ns[i] / CFC_US);
    }
    rte_tel_data_add_dict_container(d, "bounds_us", bounds, 0);
    add_latency(d, "head", &s.sender.head_latency);
    add_latency(d, "content", &s.sender.content_latency);
    add_latency(d, "ack", &s.sender.ack_latency);
    return 0;
}

static void
add_coding(struct rte_tel_data *d, uint32_t number, const struct cfc_scope_coding *coding)
{
    struct rte_tel_data *one = rte_tel_data_alloc();
    char name[32];
    char digest[2 * sizeof(coding->content.bytes) + 1];

    if (one == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof(coding->content.bytes); i++) {
        snprintf(digest + 2 * i, 3, "%02x", coding->content.bytes[i]);
    }
    rte_tel_data_start_dict(one);
    rte_tel_data_add_dict_string(one, "content", digest);
    add(one, "coding", coding->coding);
    rte_tel_data_add_dict_string(one, "phase", coding->phase);
    add(one, "symbols", coding->symbols);
    add(one, "symbols_done", coding->symbols_done);
    add(one, "groups", coding->groups);
    add(one, "sent_groups", coding->sent_groups);
    add(one, "pull_only", coding->is_pull_only);
    snprintf(name, sizeof(name), "coding_%u", number);
    rte_tel_data_add_dict_container(d, name, one, 0);
}

static int
ask_scope(const char *path, struct cfc_scope_view *view)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    int rc = CONFCAST_ERR_NO_MEMORY;

    if (sha == NULL) {
        return rc;
    }
    pthread_mutex_lock(&engine_mutex);
    rc = the_engine == NULL
             ? CONFCAST_ERR_AGAIN
             : cfc_engine_ask_scope(the_engine, cfc_scope_id(sha, path, strlen(path)), view);
    pthread_mutex_unlock(&engine_mutex);
    cfc_sha256_free(sha);
    return rc;
}

static int
on_scope(const char *command, const char *params, struct rte_tel_data *d)
{
    struct cfc_scope_view view;
    int rc;

    (void)command;
    rte_tel_data_start_dict(d);
    rc = params == NULL || params[0] == '\0' ? CONFCAST_ERR_INVALID : ask_scope(params, &view);
    if (rc != CONFCAST_OK) {
        rte_tel_data_add_dict_string(d, "error", confcast_error_word(rc));
        return 0;
    }
    add(d, "epoch", view.epoch);
    add(d, "version", view.version);
    add(d, "head_sendings", view.sendings);
    add(d, "group", view.group);
    add(d, "reported", view.is_reported);
    for (uint32_t i = 0; i < view.coding_count; i++) {
        add_coding(d, i, &view.codings[i]);
    }
    return 0;
}

void
cfc_telemetry_open(struct cfc_engine *engine)
{
    static const struct {
        const char *name;
        telemetry_cb answer;
        const char *help;
    } commands[] = {
        {"/confcast/stats", on_stats, "Counters of the engine. Takes no parameters."},
        {"/confcast/queues", on_queues, "What waits, and pacing. Takes no parameters."},
        {"/confcast/lcores", on_lcores, "What each lcore sent. Takes no parameters."},
        {"/confcast/latency", on_latency, "Histograms of news. Takes no parameters."},
        {"/confcast/loss", on_loss,
         "What receivers lose, by quantile, and the pace that follows. Takes no parameters."},
        {"/confcast/scope", on_scope, "How far a scope has got. Parameter: its path."},
        {"/confcast/port", on_port, "The engine's port. Takes no parameters."},
    };

    pthread_mutex_lock(&engine_mutex);
    the_engine = engine;
    pthread_mutex_unlock(&engine_mutex);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (rte_telemetry_register_cmd(commands[i].name, commands[i].answer, commands[i].help) !=
            0) {
            cfc_log_warning("telemetry refused the command %s", commands[i].name);
        }
    }
}

void
cfc_telemetry_close(void)
{
    pthread_mutex_lock(&engine_mutex);
    the_engine = NULL;
    pthread_mutex_unlock(&engine_mutex);
}
