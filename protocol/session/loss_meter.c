#include "protocol/session/loss_meter.h"

#include <string.h>

void
cfc_loss_meter_init(struct cfc_loss_meter *meter)
{
    memset(meter, 0, sizeof(*meter));
    meter->at_ns = CFC_NEVER;
}

void
cfc_loss_meter_restart(struct cfc_loss_meter *meter)
{
    meter->expected = 0;
    meter->lost = 0;
    meter->at_ns = CFC_NEVER;
}

void
cfc_loss_meter_note(struct cfc_loss_meter *meter, const struct cfc_loss_count *count,
                    uint32_t report_ms, struct cfc_prng *prng, uint64_t now_ns)
{
    uint64_t spacing_ms = (uint64_t)report_ms * CFC_LOSS_SPACING_FACTOR;
    uint32_t lost = meter->windows[0].lost + count->lost;
    uint32_t late = count->late < lost ? count->late : lost;

    if (count->expected == 0 && late == 0) {
        return;
    }
    meter->expected += count->expected;
    /* What was lost before the session began is not the session's to take back. */
    meter->lost += count->lost;
    meter->lost -= late < meter->lost ? late : meter->lost;
    meter->windows[0].expected += count->expected;
    meter->windows[0].lost = lost - late;
    if (meter->windows[0].expected >= CFC_LOSS_WINDOW_SYMBOLS) {
        memmove(meter->windows + 1, meter->windows,
                CFC_LOSS_WINDOWS_MAX * sizeof(meter->windows[0]));
        meter->windows[0].expected = 0;
        meter->windows[0].lost = 0;
        meter->full_count += meter->full_count < CFC_LOSS_WINDOWS_MAX;
    }
    if (meter->at_ns == CFC_NEVER) {
        if (spacing_ms < CFC_LOSS_SPACING_MIN_MS) {
            spacing_ms = CFC_LOSS_SPACING_MIN_MS;
        }
        meter->at_ns = now_ns + cfc_prng_below(prng, spacing_ms * CFC_MS);
    }
}

static void
sum(const struct cfc_loss_meter *meter, uint64_t *expected, uint64_t *lost)
{
    static const uint8_t weights[CFC_LOSS_WINDOWS_MAX + 1] = {5, 5, 5, 5, 5, 4, 3, 2, 1};

    *expected = 0;
    *lost = 0;
    for (uint32_t i = 0; i <= meter->full_count; i++) {
        *expected += (uint64_t)weights[i] * meter->windows[i].expected;
        *lost += (uint64_t)weights[i] * meter->windows[i].lost;
    }
}

uint16_t
cfc_loss_meter_loss(const struct cfc_loss_meter *meter)
{
    uint64_t expected, lost, loss;

    sum(meter, &expected, &lost);
    if (expected == 0) {
        return 0;
    }
    loss = lost * CFC_LOSS_ONE / expected;
    return loss < CFC_LOSS_ONE ? (uint16_t)loss : CFC_LOSS_ONE - 1;
}

bool
cfc_loss_meter_poll(struct cfc_loss_meter *meter, uint64_t now_ns, struct cfc_loss *out)
{
    bool has_enough = meter->full_count > 0 || meter->windows[0].expected >= CFC_LOSS_SYMBOLS_MIN;

    if (now_ns < meter->at_ns) {
        return false;
    }
    meter->at_ns = CFC_NEVER;
    if (!has_enough) {
        return false;
    }
    out->expected = meter->expected;
    out->lost = meter->lost;
    out->loss = cfc_loss_meter_loss(meter);
    out->window_count = meter->full_count > 0 ? meter->full_count : 1;
    return true;
}
