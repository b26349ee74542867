#include <assert.h>

#include "confcast/error.h"
#include "protocol/session/sender_state.h"

void
cfc_sender_fit_pace(struct cfc_sender *s, uint64_t now_ns)
{
    if (cfc_fleet_loss_tick(&s->loss, now_ns)) {
        cfc_pacer_set_rate(&s->pacer, s->loss.rate, now_ns);
    }
    s->repair.lacking = cfc_fleet_loss_lacking(&s->loss);
    s->contents.parity.reported = cfc_fleet_loss_parity(&s->loss);
}

static void
write_status(const struct cfc_sender *s, const struct cfc_now *now, const struct cfc_echo *echoes,
             uint16_t echo_count, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    struct cfc_status status = {.boot_id = s->config.boot_id,
                                .time_unix_ns = now->unix_ns,
                                .fleet_size = cfc_sender_fleet_size(s),
                                .windows = s->link.windows,
                                .unicast = s->config.unicast,
                                .echo_count = echo_count};
    int code = cfc_status_encode(&status, echoes, header, capacity, &out->header_size);

    assert(code == CONFCAST_OK);
    (void)code;
}

/* Whether the fleet is so small that one frame has room for an echo to everybody. */
static bool
gathers_echoes(const struct cfc_sender *s)
{
    return s->config.echo_ns > 0 && s->roster.known.count <= CFC_STATUS_ECHOES_MAX &&
           cfc_sender_fleet_size(s) <= CFC_STATUS_ECHOES_MAX;
}

uint64_t
cfc_sender_echo_due(const struct cfc_sender *s)
{
    if (cfc_slot_list_is_empty(&s->roster.echoes)) {
        return CFC_NEVER;
    }
    return gathers_echoes(s) ? s->echo_due_ns : 0;
}

/* One by one to those who reported; in a small fleet those of some time in one frame for all. */
static int
poll_echo(struct cfc_sender *s, const struct cfc_now *now, bool may_multicast, uint8_t *header,
          size_t capacity, struct cfc_tx *out)
{
    uint32_t max = gathers_echoes(s) && may_multicast ? CFC_STATUS_ECHOES_MAX : 1;
    struct cfc_echo echoes[CFC_STATUS_ECHOES_MAX];
    const struct cfc_consumer *c = NULL;
    uint16_t count = 0;

    if (cfc_sender_echo_due(s) > now->mono_ns) {
        return CONFCAST_ERR_AGAIN;
    }
    while (count < max && !cfc_slot_list_is_empty(&s->roster.echoes)) {
        c = &s->roster.consumers[cfc_roster_take_echo(&s->roster)];
        echoes[count++] = (struct cfc_echo){.consumer_key = c->key, .report_seq = c->report_seq};
    }
    write_status(s, now, echoes, count, header, capacity, out);
    if (count > 1) {
        out->is_multicast = true;
        out->group = s->config.group_count;
    } else {
        out->to = c->current.address;
    }
    return CONFCAST_OK;
}

static int
poll_status(struct cfc_sender *s, const struct cfc_now *now, uint8_t *header, size_t capacity,
            struct cfc_tx *out)
{
    if (now->mono_ns < s->status_due_ns) {
        return CONFCAST_ERR_AGAIN;
    }
    cfc_sender_fit_windows(s);
    cfc_sender_fit_pace(s, now->mono_ns);
    write_status(s, now, NULL, 0, header, capacity, out);
    out->is_multicast = true;
    out->group = s->config.group_count;
    out->kind = CFC_TX_STATUS;
    s->status_due_ns = now->mono_ns + s->config.status_period_ns;
    return CONFCAST_OK;
}

/* Repair and contents, in turns. */
static int
poll_bulk(struct cfc_sender *s, uint64_t now_ns, bool may_multicast, uint8_t *header,
          size_t capacity, struct cfc_tx *out)
{
    bool is_repair_turn = s->is_repair_turn;

    for (uint32_t i = 0; i < 2; i++) {
        int code = CONFCAST_ERR_AGAIN;

        if (is_repair_turn) {
            code = cfc_repair_poll(&s->repair, now_ns, may_multicast, header, capacity, out);
        } else if (may_multicast) {
            code = cfc_content_tx_poll(&s->contents, header, capacity, out);
        }
        is_repair_turn = !is_repair_turn;
        if (code == CONFCAST_OK) {
            s->is_repair_turn = is_repair_turn;
            return code;
        }
    }
    return CONFCAST_ERR_AGAIN;
}

/* Everything in order of urgency; sender.h says the same in words. */
static int
poll_next(struct cfc_sender *s, const struct cfc_now *now, bool may_multicast, uint8_t *header,
          size_t capacity, struct cfc_tx *out)
{
    uint64_t now_ns = now->mono_ns;

    if (may_multicast &&
        cfc_head_tx_poll_stop(&s->heads, now_ns, header, capacity, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    if (cfc_link_tx_poll(&s->link, header, capacity, out) == CONFCAST_OK ||
        poll_echo(s, now, may_multicast, header, capacity, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    if (may_multicast &&
        (poll_status(s, now, header, capacity, out) == CONFCAST_OK ||
         cfc_gone_tx_poll(&s->gone, header, capacity, out) == CONFCAST_OK ||
         cfc_head_tx_poll(&s->heads, now_ns, header, capacity, out) == CONFCAST_OK ||
         cfc_beacon_tx_poll(&s->beacons, now_ns, header, capacity, out) == CONFCAST_OK ||
         cfc_beacon_tx_poll_sweep(&s->beacons, now_ns, s->config.status_period_ns, header, capacity,
                                  out) == CONFCAST_OK)) {
        return CONFCAST_OK;
    }
    if (cfc_repair_poll_urgent(&s->repair, now_ns, may_multicast, header, capacity, out) ==
            CONFCAST_OK ||
        poll_bulk(s, now_ns, may_multicast, header, capacity, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    return may_multicast ? cfc_beacon_tx_poll_sweep(&s->beacons, now_ns, 0, header, capacity, out)
                         : CONFCAST_ERR_AGAIN;
}

static void
count_latency(struct cfc_sender_stats *stats, const struct cfc_tx *tx, uint64_t now_ns)
{
    stats->contents_sent += tx->is_pass_end;
    if (tx->pass_since_ns != 0) {
        cfc_latency_note(tx->is_pass_end ? &stats->content_latency : &stats->head_latency,
                         now_ns - tx->pass_since_ns);
    }
}

static void
count_frame(struct cfc_sender_stats *stats, const uint8_t *header, size_t size,
            enum cfc_tx_kind kind)
{
    stats->bytes_out += size;
    stats->kind_frames[kind]++;
    stats->kind_bytes[kind] += size;
    stats->parity_sent += kind == CFC_TX_PARITY;
    switch (header[3]) {
    case CFC_FRAME_HEAD:
        stats->heads_sent++;
        break;
    case CFC_FRAME_PAGE:
        stats->pages_sent++;
        break;
    case CFC_FRAME_SYMBOL:
        stats->symbols_sent++;
        break;
    case CFC_FRAME_FRESH:
        stats->fresh_sent++;
        break;
    case CFC_FRAME_STATUS:
        stats->status_sent++;
        break;
    case CFC_FRAME_GONE:
        stats->gone_sent++;
        break;
    default:
        break;
    }
}

/* When anything but the next frame of a content may be due, at the soonest. */
static uint64_t
calm_until(const struct cfc_sender *s)
{
    uint64_t due_ns = s->status_due_ns;

    if (s->link.reply_count > 0 || cfc_gone_tx_is_due(&s->gone)) {
        return 0;
    }
    due_ns = cfc_sender_min(due_ns, cfc_sender_echo_due(s));
    due_ns = cfc_sender_min(due_ns, cfc_head_tx_deadline(&s->heads));
    due_ns = cfc_sender_min(due_ns, cfc_beacon_tx_deadline(&s->beacons));
    due_ns = cfc_sender_min(due_ns, cfc_beacon_tx_sweep_deadline(&s->beacons));
    return cfc_sender_min(due_ns, cfc_repair_deadline(&s->repair, 0));
}

/* The frame that goes next.  While contents stream and nothing else can be due, one comparison
 * stands for all the questions of poll_next(). */
static int
poll_any(struct cfc_sender *s, const struct cfc_now *now, bool may_multicast, uint8_t *header,
         size_t capacity, struct cfc_tx *out)
{
    bool is_calm = may_multicast && now->mono_ns < s->calm_until_ns;

    if (is_calm && cfc_content_tx_poll(&s->contents, header, capacity, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    if (poll_next(s, now, may_multicast, header, capacity, out) != CONFCAST_OK) {
        return CONFCAST_ERR_AGAIN;
    }
    s->calm_until_ns = cfc_content_tx_is_busy(&s->contents) ? calm_until(s) : 0;
    return CONFCAST_OK;
}

int
cfc_sender_poll_frame(struct cfc_sender *s, const struct cfc_now *now, uint8_t *header,
                      size_t capacity, struct cfc_tx *out)
{
    bool may_multicast = cfc_pacer_has(&s->pacer, s->config.frame_size_max, now->mono_ns);
    size_t size;

    assert(capacity >= s->config.frame_size_max);
    *out = (struct cfc_tx){.slot = CFC_SENDER_NO_SLOT};
    if (poll_any(s, now, may_multicast, header, capacity, out) != CONFCAST_OK) {
        return CONFCAST_ERR_AGAIN;
    }
    size = out->header_size + out->payload_size;
    if (out->is_multicast) {
        cfc_pacer_take(&s->pacer, size);
    }
    if (out->kind == CFC_TX_SOURCE) {
        cfc_fleet_loss_sent(&s->loss, 1);
    }
    if (out->is_pass_end || out->pass_since_ns != 0) {
        count_latency(&s->stats, out, now->mono_ns);
    }
    count_frame(&s->stats, header, size, out->kind);
    return CONFCAST_OK;
}

void
cfc_sender_payload_done(struct cfc_sender *s, uint32_t slot, uint32_t count)
{
    cfc_content_tx_payload_done(&s->contents, slot, count);
}

bool
cfc_sender_is_streaming(const struct cfc_sender *s)
{
    return cfc_content_tx_is_busy(&s->contents);
}

uint64_t
cfc_sender_deadline(const struct cfc_sender *s)
{
    uint64_t multicast_ns = cfc_pacer_ready_ns(&s->pacer, s->config.frame_size_max);
    uint64_t due_ns = s->status_due_ns;

    if (s->link.reply_count > 0) {
        return 0;
    }
    if (cfc_content_tx_is_busy(&s->contents) || cfc_gone_tx_is_due(&s->gone)) {
        due_ns = 0;
    }
    due_ns = cfc_sender_min(due_ns, cfc_head_tx_deadline(&s->heads));
    due_ns = cfc_sender_min(due_ns, cfc_beacon_tx_deadline(&s->beacons));
    due_ns = cfc_sender_min(due_ns, cfc_beacon_tx_sweep_deadline(&s->beacons));
    due_ns = cfc_sender_min(cfc_sender_max(due_ns, multicast_ns), cfc_sender_echo_due(s));
    return cfc_sender_min(due_ns, cfc_repair_deadline(&s->repair, multicast_ns));
}
