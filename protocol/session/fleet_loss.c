#include "protocol/session/fleet_loss.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/loss_meter.h"

enum {
    MANTISSA_BITS = 4,
    MANTISSA = 1 << MANTISSA_BITS,
    DRAIN_DIVISOR = 16, /* of what got through, to let queues drain */
};

#define PARITY_VAIN 0.25 /* chance that a repair symbol is sent unasked and nobody needs it */

/* A loss as one byte: four bits of mantissa and an exponent, plus one. */
static uint8_t
code_of(uint16_t loss)
{
    uint32_t shift;

    if (loss < MANTISSA) {
        return (uint8_t)(loss + 1);
    }
    shift = 31u - (uint32_t)__builtin_clz(loss) - MANTISSA_BITS;
    return (uint8_t)((shift + 1) * MANTISSA + ((uint32_t)loss >> shift) - MANTISSA + 1);
}

static uint16_t
loss_of(uint8_t code)
{
    uint32_t value = code - 1u;

    if (code == 0) {
        return 0;
    }
    if (value < MANTISSA) {
        return (uint16_t)value;
    }
    return (uint16_t)((MANTISSA + value % MANTISSA) << (value / MANTISSA - 1));
}

/* The loss that `rank` of the counted ones do not exceed, 1 being the least. */
static uint16_t
loss_at(const uint32_t counts[CFC_LOSS_CODES], uint32_t rank)
{
    uint32_t sum = 0;

    for (uint32_t code = 1; code < CFC_LOSS_CODES; code++) {
        sum += counts[code];
        if (sum >= rank) {
            return loss_of((uint8_t)code);
        }
    }
    return 0;
}

/* The chance that a receiver with this loss lacks something of a full block, 1 - (1 - p)^64, as
 * x / (1 + x / 2) with x = 64 p: within 3 % as far as it matters, up to x = 1. */
static uint64_t
lacking_of(uint8_t code)
{
    uint64_t x = (uint64_t)loss_of(code) * CFC_BLOCK_SYMBOLS_MAX;
    uint64_t chance = x * CFC_LOSS_ONE / (CFC_LOSS_ONE + x / 2);

    return chance < CFC_LOSS_ONE ? chance : CFC_LOSS_ONE;
}

static void
enter(struct cfc_fleet_loss *f, enum cfc_pace_state state)
{
    f->state = (uint8_t)state;
    f->symbols = 0;
}

int
cfc_fleet_loss_init(struct cfc_fleet_loss *f, const struct cfc_fleet_loss_config *config,
                    const struct cfc_alloc *alloc)
{
    size_t size = config->consumer_count_max * sizeof(f->marks[0]);

    assert(config->rate == 0 || (config->rate_floor >= 1 && config->rate_floor <= config->rate));
    assert(config->quantile >= 1 && config->quantile <= 1000);
    memset(f, 0, sizeof(*f));
    f->config = *config;
    f->rate = config->rate;
    f->marks = cfc_alloc(alloc, size);
    if (f->marks == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(f->marks, 0, size);
    f->round = 1;
    enter(f, CFC_PACE_FREE);
    return CONFCAST_OK;
}

void
cfc_fleet_loss_free(struct cfc_fleet_loss *f, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, f->marks);
    f->marks = NULL;
}

static bool
is_outlier(const struct cfc_loss_mark *mark)
{
    return mark->strikes == CFC_OUTLIER_STRIKES;
}

static void
remove_mark(struct cfc_fleet_loss *f, struct cfc_loss_mark *mark)
{
    if (mark->code == 0) {
        return;
    }
    if (mark->round == f->round && !is_outlier(mark)) {
        f->heard[mark->code]--;
        f->heard_count--;
    }
    if (is_outlier(mark)) {
        f->outliers[mark->code]--;
        f->outlier_count--;
    } else {
        f->lacking -= lacking_of(mark->code);
    }
    f->all[mark->code]--;
    f->all_count--;
}

/* Reports with fewer symbols than a window has say too little of one receiver. */
static uint8_t
strikes_after(const struct cfc_fleet_loss *f, const struct cfc_loss_mark *mark,
              const struct cfc_loss *loss)
{
    uint32_t many = (uint32_t)f->loss * CFC_OUTLIER_FACTOR;

    if (f->config.outlier_min == 0 || !f->has_loss || loss->loss < f->config.outlier_min ||
        loss->loss < many) {
        return 0;
    }
    if (is_outlier(mark) || loss->window_count < 2) {
        return mark->strikes;
    }
    /* Without others to compare with nobody lies out. */
    return f->all_count - f->outlier_count > 1 ? (uint8_t)(mark->strikes + 1) : 0;
}

bool
cfc_fleet_loss_note(struct cfc_fleet_loss *f, uint32_t slot, const struct cfc_loss *loss)
{
    struct cfc_loss_mark *mark = &f->marks[slot];
    uint8_t strikes = strikes_after(f, mark, loss);

    assert(slot < f->config.consumer_count_max);
    if (slot >= f->slot_end) {
        f->slot_end = slot + 1;
    }
    remove_mark(f, mark);
    mark->code = code_of(loss->loss);
    mark->round = f->round;
    mark->strikes = strikes;
    f->all[mark->code]++;
    f->all_count++;
    if (is_outlier(mark)) {
        f->outliers[mark->code]++;
        f->outlier_count++;
        return (loss->flags & CFC_LOSS_FLAG_PULLING) == 0;
    }
    f->lacking += lacking_of(mark->code);
    f->heard[mark->code]++;
    f->heard_count++;
    return false;
}

void
cfc_fleet_loss_forget(struct cfc_fleet_loss *f, uint32_t slot)
{
    remove_mark(f, &f->marks[slot]);
    f->marks[slot] = (struct cfc_loss_mark){.code = 0};
}

static void
begin_round(struct cfc_fleet_loss *f, uint64_t now_ns)
{
    memset(f->heard, 0, sizeof(f->heard));
    f->heard_count = 0;
    f->round_symbols = 0;
    f->round_ns = now_ns;
    if (f->round++ == UINT16_MAX) {
        /* A mark of the round that had this number before must not pass for one of this round. */
        for (uint32_t i = 0; i < f->slot_end; i++) {
            f->marks[i].round = 0;
        }
        f->round = 1;
    }
}

static void
slow_down(struct cfc_fleet_loss *f)
{
    uint64_t rate = f->rate - f->rate * f->loss / CFC_LOSS_ONE;

    rate -= rate / DRAIN_DIVISOR;
    if (rate < f->rate / 2) {
        rate = f->rate / 2;
    }
    f->rate = rate > f->config.rate_floor ? rate : f->config.rate_floor;
    f->slowdowns++;
    enter(f, CFC_PACE_SETTLING);
}

static void
speed_up(struct cfc_fleet_loss *f)
{
    uint64_t rate = f->rate + f->config.rate / CFC_PACE_STEPS + 1;

    f->rate = rate < f->config.rate ? rate : f->config.rate;
    if (f->rate == f->config.rate) {
        enter(f, CFC_PACE_FREE);
    }
}

/* What a round with enough reports says. */
static void
judge(struct cfc_fleet_loss *f)
{
    uint32_t rank = (uint32_t)(((uint64_t)f->heard_count * f->config.quantile + 999) / 1000);

    /* Nobody alone slows the others. */
    if (rank == f->heard_count && rank > 1) {
        rank--;
    }
    f->loss = loss_at(f->heard, rank);
    f->has_loss = true;
    if (f->config.rate == 0 || f->state == CFC_PACE_SETTLING) {
        return;
    }
    if (f->loss > f->config.loss_max && f->rate > f->config.rate_floor) {
        slow_down(f);
    } else if (f->state == CFC_PACE_SLOW && f->loss <= f->config.loss_max / 2) {
        speed_up(f);
    }
}

bool
cfc_fleet_loss_tick(struct cfc_fleet_loss *f, uint64_t now_ns)
{
    uint64_t before = f->rate;
    uint32_t reporting = f->all_count - f->outlier_count;
    uint32_t enough = (reporting + 1) / 2;

    if (now_ns < f->round_ns + CFC_PACE_ROUND_NS) {
        return false;
    }
    if (enough > CFC_PACE_REPORTS_MIN) {
        enough = CFC_PACE_REPORTS_MIN;
    }
    if (f->state == CFC_PACE_SETTLING && f->symbols >= CFC_LOSS_MEMORY_SYMBOLS) {
        /* What was heard until now may tell of the time before. */
        enter(f, CFC_PACE_SLOW);
    } else if (f->heard_count > 0 && f->heard_count >= enough) {
        judge(f);
        f->idle_ns = now_ns;
    } else if (f->round_symbols > 0) {
        /* It goes on until enough were heard, or nothing goes out any more. */
        f->round_symbols = 0;
        f->round_ns = now_ns;
        f->idle_ns = now_ns;
        return false;
    } else if (f->state != CFC_PACE_FREE && now_ns >= f->idle_ns + CFC_PACE_IDLE_NS) {
        f->idle_ns += CFC_PACE_IDLE_NS;
        speed_up(f);
    }
    begin_round(f, now_ns);
    return f->rate != before;
}

uint16_t
cfc_fleet_loss_quantile(const struct cfc_fleet_loss *f, uint32_t per_mille)
{
    uint64_t rank = ((uint64_t)f->all_count * per_mille + 999) / 1000;

    return f->all_count > 0 ? loss_at(f->all, rank > 0 ? (uint32_t)rank : 1) : 0;
}

/* Receivers that lose so much and are not advised to pull. */
static uint32_t
served_count(const struct cfc_fleet_loss *f, uint32_t code)
{
    return f->all[code] - f->outliers[code];
}

/* Of the one of them that loses most; 0 when none reports. */
static uint8_t
worst_code(const struct cfc_fleet_loss *f)
{
    uint8_t worst = CFC_LOSS_CODES - 1;

    while (worst > 0 && served_count(f, worst) == 0) {
        worst--;
    }
    return worst;
}

uint64_t
cfc_fleet_loss_lacking(const struct cfc_fleet_loss *f)
{
    return f->lacking - lacking_of(worst_code(f));
}

static double
power_of(double base, uint32_t exponent)
{
    double product = 1;

    for (; exponent > 0; exponent >>= 1) {
        product *= (exponent & 1) != 0 ? base : 1;
        base *= base;
    }
    return product;
}

/* The chance that every receiver but the worst loses at most `count` of a full block's symbols. */
static double
chance_of(const struct cfc_fleet_loss *f, uint32_t count)
{
    uint8_t worst = worst_code(f);
    double all = 1;

    for (uint32_t code = 1; code <= worst && all > PARITY_VAIN; code++) {
        double p = (double)loss_of((uint8_t)code) / CFC_LOSS_ONE;
        double exactly, at_most;

        if (served_count(f, code) == 0 || p == 0) {
            continue;
        }
        exactly = power_of(1 - p, CFC_BLOCK_SYMBOLS_MAX);
        at_most = exactly;
        for (uint32_t i = 1; i <= count; i++) {
            exactly *= p / (1 - p) * (CFC_BLOCK_SYMBOLS_MAX + 1 - i) / i;
            at_most += exactly;
        }
        all *= power_of(at_most < 1 ? at_most : 1, served_count(f, code) - (code == worst));
    }
    return all;
}

uint32_t
cfc_fleet_loss_parity(const struct cfc_fleet_loss *f)
{
    uint32_t parity = 0;

    while (parity < CFC_FLEET_PARITY_MAX && chance_of(f, parity) <= PARITY_VAIN) {
        parity++;
    }
    return parity;
}

const char *
cfc_pace_state_name(uint8_t state)
{
    static const char *const names[] = {"free", "settling", "slow"};

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}
