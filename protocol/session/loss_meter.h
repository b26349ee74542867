/* What a receiver has lost lately: the measure that it reports.
 *
 * Losses are counted in source symbols (loss_rx.h says which), in windows of
 * CFC_LOSS_WINDOW_SYMBOLS of them.  The loss is the share that was lost of the last
 * CFC_LOSS_WINDOWS_MAX windows and of the one that is open, the older half weighing less and less:
 * 5 5 5 5 4 3 2 1.  These are the weights that RFC 5348 (5.4), RFC 4654 and RFC 5740 give to loss
 * intervals.  Those weigh intervals between loss events; here windows have one size, since the
 * sender wants to know how much a receiver lacks, not how often TCP would have slowed down.
 *
 * A LOSS goes out some random time after something new was counted, so that a sender that looks at
 * those of a short time sees a random part of its fleet.
 *
 * No I/O, no clock, no allocation; one thread at a time. */
#ifndef CFC_SESSION_LOSS_METER_H
#define CFC_SESSION_LOSS_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/prng.h"
#include "protocol/base/time.h"
#include "protocol/session/loss_rx.h"
#include "protocol/wire/loss.h"

enum {
    CFC_LOSS_WINDOW_SYMBOLS = 128,
    CFC_LOSS_MEMORY_SYMBOLS = CFC_LOSS_WINDOW_SYMBOLS * (CFC_LOSS_WINDOWS_MAX + 1),
    CFC_LOSS_SYMBOLS_MIN = 32, /* that a report is made of, at least */
    CFC_LOSS_SPACING_MIN_MS = 250,
    CFC_LOSS_SPACING_FACTOR = 8 /* LOSS frames are spread over this many report windows */
};

struct cfc_loss_meter {
    struct {
        uint32_t expected;
        uint32_t lost;
    } windows[CFC_LOSS_WINDOWS_MAX + 1]; /* [0] is open, then the newest first */
    uint8_t full_count;                  /* windows behind the open one */
    uint32_t expected;                   /* of the session, modulo 2^32 */
    uint32_t lost;
    uint64_t at_ns; /* when a LOSS is due; CFC_NEVER = nothing new was counted */
};

void cfc_loss_meter_init(struct cfc_loss_meter *meter);

/* A session began: what was lost stays known, what is reported begins anew. */
void cfc_loss_meter_restart(struct cfc_loss_meter *meter);

/* What was counted.  A LOSS is due within the spacing that follows from `report_ms`. */
void cfc_loss_meter_note(struct cfc_loss_meter *meter, const struct cfc_loss_count *count,
                         uint32_t report_ms, struct cfc_prng *prng, uint64_t now_ns);

/* The loss in 1 / CFC_LOSS_ONE, at most CFC_LOSS_ONE - 1; 0 when nothing was counted. */
uint16_t cfc_loss_meter_loss(const struct cfc_loss_meter *meter);

/* Fills expected, lost, loss and windows of the LOSS that is due, which counts as sent.  False:
 * none is due. */
bool cfc_loss_meter_poll(struct cfc_loss_meter *meter, uint64_t now_ns, struct cfc_loss *out);

#endif
