/* What the receivers of a sender lose, and what follows from it: the pace of multicast, and who is
 * better off pulling.
 *
 * Of each receiver the loss that it reported last is kept in one byte (6 % exact), so that a
 * million of them take 4 MB.
 *
 * **The pace** follows a quantile of the losses that are reported in a round, never the worst one:
 * of two reports or more at least one is left out at the top, so that no single receiver slows the
 * others, however much it loses or claims to.
 *
 *     FREE -> SETTLING -> SLOW -> FREE
 *               ^          |
 *               +----------+
 *
 *     FREE      at the configured rate
 *     SETTLING  slowed down; what is reported may still tell of the time before.  Left when
 *               CFC_LOSS_MEMORY_SYMBOLS, which is what a report remembers, were sent since
 *     SLOW      below the configured rate; each round without much loss adds 1/CFC_PACE_STEPS of
 * it, and so do CFC_PACE_IDLE_ROUNDS in which nothing is sent
 *
 * When the quantile is above `loss_max`, the rate falls to what got through: (1 - loss) of it less
 * a sixteenth, so that queues drain; to no less than half at a time, and never below `rate_floor`.
 * Between half of loss_max and loss_max it stays.  This follows RFC 4654 (TFMCC) and RFC 5740
 * (NORM- CC), where the sender is slowed by what receivers measure, once per round of feedback, and
 * rises slowly; but there by the one worst receiver, and to what TCP would get.  Here nobody's
 * repair depends on the rate, a config must reach the many, and the floor keeps liars from stopping
 * it.
 *
 * **Outliers.** A receiver that lost more than `outlier_min` and CFC_OUTLIER_FACTOR times the
 * quantile in CFC_OUTLIER_STRIKES reports one after the other is advised to pull, and again while
 * it goes on reporting so.  From then on it does not count for the pace.
 *
 * **What is lost together.**  From the same follows how many receivers lack something of a block,
 * which decides whether a repair symbol goes to one or to all (repair.h), and how many repair
 * symbols most blocks need, with which a pass begins (content_tx.h).
 *
 * No I/O, no clock; memory is taken at init.  One thread owns it. */
#ifndef CFC_SESSION_FLEET_LOSS_H
#define CFC_SESSION_FLEET_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/time.h"
#include "protocol/wire/loss.h"

enum {
    CFC_LOSS_CODES = 256,      /* of one byte; code 0: nothing is known */
    CFC_PACE_REPORTS_MIN = 16, /* in a round, or half of those who report */
    CFC_PACE_STEPS = 32,       /* rounds from nothing to the configured rate */
    CFC_OUTLIER_FACTOR = 4,
    CFC_OUTLIER_STRIKES = 3,
    CFC_FLEET_PARITY_MAX = 4 /* that is sent because of what is reported */
};

#define CFC_PACE_ROUND_NS      (250 * CFC_MS)
#define CFC_PACE_IDLE_NS       (1 * CFC_S)
#define CFC_PACE_FLOOR_DIVISOR 16 /* default floor: this part of the rate */

#define CFC_PACE_STATES(X) X(FREE) X(SETTLING) X(SLOW)

enum cfc_pace_state {
#define CFC_ENUM_(name) CFC_PACE_##name,
    CFC_PACE_STATES(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_PACE_STATE_COUNT
};

struct cfc_fleet_loss_config {
    uint32_t consumer_count_max;
    uint64_t rate;        /* bytes a second when nobody loses much; 0 = not paced, nothing slows */
    uint64_t rate_floor;  /* 1..rate */
    uint16_t quantile;    /* per mille of the receivers that decides, 1..1000 */
    uint16_t loss_max;    /* above it the rate falls; in 1 / CFC_LOSS_ONE */
    uint16_t outlier_min; /* below it nobody is an outlier; likewise; 0: nobody ever is */
    uint32_t advice_hold_s; /* for how long an ADVICE holds */
};

struct cfc_loss_mark {
    uint8_t code;    /* of the last report; 0 = none */
    uint8_t strikes; /* CFC_OUTLIER_STRIKES: it is an outlier */
    uint16_t round;  /* of it; 0 = long ago */
};

struct cfc_fleet_loss {
    struct cfc_fleet_loss_config config;
    struct cfc_loss_mark *marks;  /* by slot of the roster */
    uint32_t all[CFC_LOSS_CODES]; /* receivers by their last report */
    uint32_t all_count;
    uint32_t outliers[CFC_LOSS_CODES]; /* those of them that are */
    uint32_t outlier_count;
    uint64_t lacking;               /* cfc_fleet_loss_lacking(), the worst receiver with it */
    uint32_t heard[CFC_LOSS_CODES]; /* the same of this round, outliers left out */
    uint32_t heard_count;
    uint16_t round;         /* 1..65,535, then 1 again */
    bool has_loss;          /* a round was judged */
    uint16_t loss;          /* the quantile of the last one that was */
    uint32_t slot_end;      /* slots from here on never reported */
    uint64_t round_ns;      /* when it began */
    uint8_t state;          /* enum cfc_pace_state; written by enter() only */
    uint64_t rate;          /* now */
    uint32_t symbols;       /* multicast since the rate fell */
    uint32_t round_symbols; /* in this round */
    uint64_t idle_ns;       /* since then nothing counted */
    uint64_t slowdowns;
};

/* CONFCAST_OK or CONFCAST_ERR_NO_MEMORY; free after either. */
int cfc_fleet_loss_init(struct cfc_fleet_loss *f, const struct cfc_fleet_loss_config *config,
                        const struct cfc_alloc *alloc);
void cfc_fleet_loss_free(struct cfc_fleet_loss *f, const struct cfc_alloc *alloc);

/* A LOSS of the consumer in `slot`, which counts once in a round.  True: it is to be advised to
 * pull. */
bool cfc_fleet_loss_note(struct cfc_fleet_loss *f, uint32_t slot, const struct cfc_loss *loss);

/* Another consumer has the slot now, or another process of the same. */
void cfc_fleet_loss_forget(struct cfc_fleet_loss *f, uint32_t slot);

/* Source symbols were multicast. */
static inline void
cfc_fleet_loss_sent(struct cfc_fleet_loss *f, uint32_t count)
{
    f->symbols += count;
    f->round_symbols += count;
}

/* Ends the round when it is over.  True when `rate` changed. */
bool cfc_fleet_loss_tick(struct cfc_fleet_loss *f, uint64_t now_ns);

/* The loss that `per_mille` of the receivers that report do not exceed, rounded down to what a code
 * tells; 0 when nobody reports.  1000: the worst. */
uint16_t cfc_fleet_loss_quantile(const struct cfc_fleet_loss *f, uint32_t per_mille);

/* How many receivers are expected to lack something of a full block, outliers and the one of the
 * rest that loses most left out: whoever asks, so many others lack something, too.  In
 * 1/CFC_LOSS_ONE. */
uint64_t cfc_fleet_loss_lacking(const struct cfc_fleet_loss *f);

/* How many repair symbols three full blocks of four need, if losses are independent and as
 * reported, the same left out again.  0..CFC_FLEET_PARITY_MAX. */
uint32_t cfc_fleet_loss_parity(const struct cfc_fleet_loss *f);

const char *cfc_pace_state_name(uint8_t state); /* "free", "settling", "slow" */

#endif
