#include "protocol/session/report_rx.h"

#include <string.h>

void
cfc_report_rx_init(struct cfc_report_rx *r, uint64_t retry_ns, uint64_t refresh_ns,
                   struct cfc_prng *prng)
{
    memset(r, 0, sizeof(*r));
    r->at_ns = CFC_NEVER;
    r->retry_ns = retry_ns;
    r->refresh_ns = refresh_ns;
    r->prng = prng;
}

static void
bring_forward(struct cfc_report_rx *r, bool is_urgent, uint32_t window_ms, uint64_t now_ns)
{
    uint64_t window_ns = window_ms * CFC_MS / (is_urgent ? CFC_REPORT_URGENT_PART : 1);
    uint64_t at_ns = now_ns + CFC_REPORT_REST_NS + cfc_prng_below(r->prng, window_ns);

    if (at_ns < r->at_ns) {
        r->at_ns = at_ns;
    }
}

void
cfc_report_rx_changed(struct cfc_report_rx *r, bool is_urgent, uint32_t window_ms, uint64_t now_ns)
{
    /* A change while one waits to be sent goes with it, unless it is more urgent. */
    if (!r->is_changed || is_urgent) {
        bring_forward(r, is_urgent, window_ms, now_ns);
    }
    r->is_changed = true;
}

void
cfc_report_rx_again(struct cfc_report_rx *r, bool is_urgent, uint32_t window_ms, uint64_t now_ns)
{
    r->is_echoed = false;
    r->tries = 0;
    r->part = 0;
    r->at_ns = CFC_NEVER;
    bring_forward(r, is_urgent, window_ms, now_ns);
}

bool
cfc_report_rx_begin(struct cfc_report_rx *r, uint64_t now_ns, uint32_t *part)
{
    if (now_ns < r->at_ns) {
        return false;
    }
    if (r->part == 0 && (r->is_changed || r->seq == 0)) {
        r->seq++;
        r->is_changed = false;
        r->tries = 0;
    }
    r->is_echoed = false;
    *part = r->part;
    return true;
}

bool
cfc_report_rx_sent(struct cfc_report_rx *r, uint32_t part_count, uint64_t now_ns)
{
    uint64_t spacing_ns;

    if (++r->part < part_count) {
        return false;
    }
    r->part = 0;
    spacing_ns =
        r->retry_ns << (r->tries < CFC_REPORT_DOUBLINGS_MAX ? r->tries : CFC_REPORT_DOUBLINGS_MAX);
    r->at_ns = now_ns + spacing_ns + cfc_prng_below(r->prng, spacing_ns / 4);
    if (r->is_changed) {
        /* Changed while its parts went out: the next report follows soon. */
        r->at_ns = now_ns + cfc_prng_below(r->prng, r->retry_ns);
    }
    if (++r->tries < CFC_REPORT_TRIES_MAX) {
        return false;
    }
    r->tries = CFC_REPORT_DOUBLINGS_MAX;
    return true;
}

void
cfc_report_rx_echo(struct cfc_report_rx *r, uint64_t seq, uint64_t now_ns)
{
    if (seq != r->seq || r->is_echoed || r->part != 0) {
        return;
    }
    r->is_echoed = true;
    r->tries = 0;
    if (!r->is_changed) {
        r->at_ns = now_ns + r->refresh_ns - cfc_prng_below(r->prng, r->refresh_ns / 4);
    }
}
