#include "dataplane/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "confcast/error.h"
#include "protocol/session/fleet_loss.h"

struct text {
    char *bytes;
    size_t capacity;
    size_t size;
    bool has_overflown;
};

__attribute__((format(printf, 2, 3))) static void
add(struct text *t, const char *format, ...)
{
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(t->bytes + t->size, t->capacity - t->size, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= t->capacity - t->size) {
        t->has_overflown = true;
        return;
    }
    t->size += (size_t)size;
}

static void
describe(struct text *t, const char *name, const char *type, const char *help)
{
    add(t, "# HELP confcast_engine_%s %s\n# TYPE confcast_engine_%s %s\n", name, help, name, type);
}

static void
counter(struct text *t, const char *name, uint64_t value, const char *help)
{
    describe(t, name, "counter", help);
    add(t, "confcast_engine_%s %" PRIu64 "\n", name, value);
}

static void
gauge(struct text *t, const char *name, uint64_t value, const char *help)
{
    describe(t, name, "gauge", help);
    add(t, "confcast_engine_%s %" PRIu64 "\n", name, value);
}

static void
labelled(struct text *t, const char *name, const char *label, const char *word, uint64_t value)
{
    add(t, "confcast_engine_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, word, value);
}

const char *
cfc_metrics_kind(int kind)
{
    static const char *const words[] = {
        "answer", "status",           "fresh",          "head",        "content", "page", "source",
        "parity", "repair_multicast", "repair_unicast", "repair_other"};

    _Static_assert(sizeof(words) / sizeof(words[0]) == CFC_TX_KIND_COUNT, "a word for each");
    return words[kind];
}

static void
add_traffic(struct text *t, const struct cfc_engine_snapshot *s)
{
    const struct cfc_sender_stats *tx = &s->sender;

    counter(t, "frames_in_total", tx->frames_in, "Datagrams of consumers.");
    counter(t, "frames_out_total", s->port.frames_out, "Frames that the port took.");
    counter(t, "bytes_out_total", tx->bytes_out, "UDP payload sent.");
    describe(t, "sent_frames_total", "counter", "Datagrams made, by what they are for.");
    for (int i = 0; i < CFC_TX_KIND_COUNT; i++) {
        labelled(t, "sent_frames_total", "kind", cfc_metrics_kind(i), tx->kind_frames[i]);
    }
    describe(t, "sent_bytes_total", "counter", "Their UDP payload.");
    for (int i = 0; i < CFC_TX_KIND_COUNT; i++) {
        labelled(t, "sent_bytes_total", "kind", cfc_metrics_kind(i), tx->kind_bytes[i]);
    }
    counter(t, "contents_sent_total", tx->contents_sent, "Passes of contents that were finished.");
    describe(t, "received_total", "counter", "Ethernet frames received, by what they are.");
    for (int v = 0; v < CFC_RX_VERDICT_COUNT; v++) {
        labelled(t, "received_total", "verdict", cfc_rx_verdict_word(v), s->rx_verdicts[v]);
    }
    describe(t, "refused_total", "counter", "Datagrams that the protocol refused, by error.");
    for (int i = 1; i < (int)(sizeof(tx->errors) / sizeof(tx->errors[0])); i++) {
        if (tx->errors[i] > 0) {
            labelled(t, "refused_total", "error", confcast_error_word(-i), tx->errors[i]);
        }
    }
}

static void
add_repair(struct text *t, const struct cfc_engine_snapshot *s)
{
    const struct cfc_sender_stats *tx = &s->sender;

    counter(t, "nacks_total", tx->nacks, "NACKs heard.");
    counter(t, "nack_entries_total", tx->nack_entries, "Objects that NACKs asked for.");
    counter(t, "nack_entries_suppressed_total", tx->nack_entries_suppressed,
            "Of those, what was on its way or had just been sent.");
    counter(t, "repairs_fresh_total", tx->repairs_fresh,
            "Symbols that were asked for and sent as fresh repair symbols, not source symbols.");
}

static void
add_consumers(struct text *t, const struct cfc_engine_snapshot *s)
{
    const struct cfc_sender_stats *tx = &s->sender;

    gauge(t, "consumers", tx->consumers, "Consumers with a session.");
    counter(t, "consumers_evicted_total", tx->consumers_evicted,
            "Silent consumers that made room for others.");
    counter(t, "identities_refused_total", tx->identities_refused,
            "Consumers whose id another living one has.");
    counter(t, "reports_total", tx->reports, "Report frames that went upwards.");
    counter(t, "reports_refused_total", tx->reports_refused,
            "Report frames that found no room; their consumers repeat them.");
    counter(t, "no_neighbor_total", s->no_neighbor,
            "Unicast frames dropped, since nobody knows the way.");
}

static void
add_queues(struct text *t, const struct cfc_engine_snapshot *s)
{
    const struct cfc_sender_queues *q = &s->queues;

    gauge(t, "heads", q->heads, "Scopes held.");
    gauge(t, "contents", q->contents, "Codings of contents held.");
    describe(t, "queue", "gauge", "What waits to be sent or handed over.");
    labelled(t, "queue", "name", "heads", q->heads_due);
    labelled(t, "queue", "name", "contents_news", q->passes_news);
    labelled(t, "queue", "name", "contents_rest", q->passes_rest);
    labelled(t, "queue", "name", "replies", q->replies);
    labelled(t, "queue", "name", "echoes", q->echoes);
    labelled(t, "queue", "name", "repairs_gathering", q->repairs_gathering);
    labelled(t, "queue", "name", "repairs_unicast", q->repairs_unicast);
    labelled(t, "queue", "name", "repairs_multicast", q->repairs_multicast);
    labelled(t, "queue", "name", "upcalls", q->upcalls);
    labelled(t, "queue", "name", "port", s->port_queue);
    gauge(t, "pacing_rate_bytes", q->pacing_rate_bytes,
          "Multicast bytes a second that may be sent; 0 is no limit.");
    gauge(t, "pacing_level_bytes", q->pacing_level_bytes, "What the token bucket holds.");
    gauge(t, "pacing_floor_bytes", q->pacing_floor_bytes,
          "What reported loss never slows it below.");
    describe(t, "pacing_state", "gauge", "1 for the state that the pace is in.");
    for (uint8_t i = 0; i < CFC_PACE_STATE_COUNT; i++) {
        labelled(t, "pacing_state", "state", cfc_pace_state_name(i), q->pacing_state == i);
    }
    counter(t, "pacing_slowdowns_total", q->pacing_slowdowns,
            "Times that reported loss slowed multicast down.");
    gauge(t, "fleet_size", q->fleet_size, "Consumers that the windows allow for.");
    describe(t, "parity_level", "gauge", "Repair symbols that go unasked with a full block.");
    add(t, "confcast_engine_parity_level %g\n", (double)q->parity_sixteenths / 16);
}

static void
add_loss(struct text *t, const struct cfc_engine_snapshot *s)
{
    const struct cfc_sender_queues *q = &s->queues;
    const struct {
        const char *word;
        uint16_t loss;
    } quantiles[] = {{"0.5", q->loss_p50},
                     {"0.9", q->loss_p90},
                     {"0.99", q->loss_p99},
                     {"0.999", q->loss_p999},
                     {"1", q->loss_worst}};

    describe(t, "receiver_loss", "gauge",
             "Share of multicast that this part of the receivers lost no more than.");
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        add(t, "confcast_engine_receiver_loss{quantile=\"%s\"} %.6f\n", quantiles[i].word,
            (double)quantiles[i].loss / CFC_LOSS_ONE);
    }
    gauge(t, "loss_reporters", q->loss_reporters, "Receivers whose loss is known.");
    gauge(t, "loss_outliers", q->loss_outliers, "Of these, those that were told to pull.");
    counter(t, "losses_total", s->sender.losses, "Losses that were reported.");
    counter(t, "advices_total", s->sender.advices_sent, "Times that a receiver was told to pull.");
}

static void
add_process(struct text *t, const struct cfc_engine_snapshot *s)
{
    counter(t, "tx_full_total", s->port.tx_full, "Times that the port took less than there was.");
    counter(t, "mbuf_shortage_total", s->port.mbuf_shortage, "Times that a pool was empty.");
    counter(t, "rx_oversize_total", s->port.rx_oversize, "Frames dropped for their size.");
    counter(t, "sleeps_total", s->sleeps, "Times that the engine slept.");
    counter(t, "turns_total", s->turns, "Turns of the engine.");
    gauge(t, "link_up", s->is_link_up, "Whether the port's link is up.");
    gauge(t, "control_connected", s->is_connected, "Whether a control plane is connected.");
    counter(t, "control_connections_total", s->control.connections, "Control planes that came.");
    counter(t, "control_messages_in_total", s->control.messages_in, "Messages handed over.");
    counter(t, "control_messages_out_total", s->control.messages_out, "Messages to it.");
    counter(t, "control_refused_total", s->control.refused, "Messages that were refused.");
    counter(t, "control_blocked_total", s->control.blocked,
            "Times that the control plane did not read fast enough.");
    gauge(t, "arena_bytes", s->arena_bytes, "Shared memory mapped.");
}

static void
histogram(struct text *t, const char *name, const struct cfc_latency *latency, const char *help)
{
    static const uint64_t bounds_ns[CFC_LATENCY_BOUND_COUNT] = {CFC_LATENCY_BOUNDS};
    uint64_t sum = 0;

    describe(t, name, "histogram", help);
    for (uint32_t i = 0; i < CFC_LATENCY_BOUND_COUNT; i++) {
        sum += latency->counts[i];
        add(t, "confcast_engine_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
            (double)bounds_ns[i] / 1e9, sum);
    }
    add(t, "confcast_engine_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, latency->count);
    add(t, "confcast_engine_%s_sum %.9f\n", name, (double)latency->sum_ns / 1e9);
    add(t, "confcast_engine_%s_count %" PRIu64 "\n", name, latency->count);
}

size_t
cfc_metrics_write(const struct cfc_engine_snapshot *s, char *text, size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity};

    add_traffic(&t, s);
    add_repair(&t, s);
    add_consumers(&t, s);
    add_queues(&t, s);
    add_loss(&t, s);
    add_process(&t, s);
    histogram(&t, "head_seconds", &s->sender.head_latency,
              "From the hand-over of news to the first frame of its head.");
    histogram(&t, "content_seconds", &s->sender.content_latency,
              "From the hand-over of news to the last frame of its content's pass.");
    histogram(&t, "ack_seconds", &s->sender.ack_latency,
              "From the hand-over of news to the first report that serves it.");
    return t.has_overflown ? 0 : t.size;
}
