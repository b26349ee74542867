#include "dataplane/telemetry.h"

#include <pthread.h>
#include <rte_ethdev.h>
#include <rte_telemetry.h>
#include <stdio.h>

#include "confcast/error.h"
#include "dataplane/log.h"

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

    if (rx == NULL || errors == NULL) {
        rte_tel_data_free(rx);
        rte_tel_data_free(errors);
        return;
    }
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

static int
take_snapshot(struct cfc_engine_snapshot *out)
{
    int rc = -1;

    pthread_mutex_lock(&engine_mutex);
    if (the_engine != NULL) {
        cfc_engine_snapshot(the_engine, out);
        rc = 0;
    }
    pthread_mutex_unlock(&engine_mutex);
    return rc;
}

static int
on_stats(const char *command, const char *params, struct rte_tel_data *d)
{
    struct cfc_engine_snapshot s;

    (void)command;
    (void)params;
    rte_tel_data_start_dict(d);
    if (take_snapshot(&s) != 0) {
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
    add(d, "nack_entries", s.sender.nack_entries);
    add(d, "repairs_unicast", s.sender.repairs_unicast);
    add(d, "repairs_multicast", s.sender.repairs_multicast);
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

void
cfc_telemetry_open(struct cfc_engine *engine)
{
    pthread_mutex_lock(&engine_mutex);
    the_engine = engine;
    pthread_mutex_unlock(&engine_mutex);
    if (rte_telemetry_register_cmd("/confcast/stats", on_stats,
                                   "Counters of the engine. Takes no parameters.") != 0 ||
        rte_telemetry_register_cmd("/confcast/port", on_port,
                                   "The engine's port. Takes no parameters.") != 0) {
        cfc_log_warning("no telemetry: its commands were refused");
    }
}

void
cfc_telemetry_close(void)
{
    pthread_mutex_lock(&engine_mutex);
    the_engine = NULL;
    pthread_mutex_unlock(&engine_mutex);
}
