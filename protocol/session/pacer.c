#include "protocol/session/pacer.h"

#include <assert.h>

#include "protocol/base/time.h"

void
cfc_pacer_init(struct cfc_pacer *pacer, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
    assert(rate <= CFC_PACER_RATE_MAX && burst >= 1 && burst <= CFC_PACER_BURST_MAX);
    *pacer = (struct cfc_pacer){.rate = rate, .burst = burst, .level = burst, .updated_ns = now_ns};
}

void
cfc_pacer_init_granted(struct cfc_pacer *pacer, uint64_t rate)
{
    *pacer = (struct cfc_pacer){.rate = rate, .burst = CFC_PACER_BURST_MAX, .is_granted = true};
}

void
cfc_pacer_grant(struct cfc_pacer *pacer, uint64_t amount)
{
    assert(pacer->is_granted && amount <= pacer->burst - pacer->level);
    pacer->level += amount;
}

void
cfc_pacer_expect(struct cfc_pacer *pacer, uint64_t at_ns)
{
    assert(pacer->is_granted);
    pacer->updated_ns = at_ns;
}

static void
refill(struct cfc_pacer *pacer, uint64_t now_ns)
{
    uint64_t elapsed_ns;
    uint64_t earned;

    if (now_ns <= pacer->updated_ns || pacer->is_granted) {
        return;
    }
    elapsed_ns = now_ns - pacer->updated_ns;
    pacer->updated_ns = now_ns;
    if (elapsed_ns / CFC_S > pacer->burst / pacer->rate) {
        pacer->level = pacer->burst;
        pacer->fraction = 0;
        return;
    }
    earned = elapsed_ns % CFC_S * pacer->rate + pacer->fraction;
    pacer->fraction = earned % CFC_S;
    pacer->level += elapsed_ns / CFC_S * pacer->rate + earned / CFC_S;
    if (pacer->level >= pacer->burst) {
        pacer->level = pacer->burst;
        pacer->fraction = 0;
    }
}

void
cfc_pacer_set_rate(struct cfc_pacer *pacer, uint64_t rate, uint64_t now_ns)
{
    assert(pacer->rate > 0 && rate > 0 && rate <= CFC_PACER_RATE_MAX);
    refill(pacer, now_ns);
    pacer->rate = rate;
}

bool
cfc_pacer_has(struct cfc_pacer *pacer, uint64_t amount, uint64_t now_ns)
{
    if (pacer->rate == 0) {
        return true;
    }
    refill(pacer, now_ns);
    return pacer->level >= amount;
}

void
cfc_pacer_take(struct cfc_pacer *pacer, uint64_t amount)
{
    if (pacer->rate == 0) {
        return;
    }
    assert(pacer->level >= amount);
    pacer->level -= amount;
}

bool
cfc_pacer_try(struct cfc_pacer *pacer, uint64_t amount, uint64_t now_ns)
{
    if (!cfc_pacer_has(pacer, amount, now_ns)) {
        return false;
    }
    cfc_pacer_take(pacer, amount);
    return true;
}

uint64_t
cfc_pacer_ready_ns(const struct cfc_pacer *pacer, uint64_t amount)
{
    uint64_t lacking;
    uint64_t wait_ns;

    if (pacer->rate == 0 || pacer->level >= amount) {
        return 0;
    }
    if (amount > pacer->burst) {
        return CFC_NEVER;
    }
    if (pacer->is_granted) {
        return pacer->updated_ns;
    }
    lacking = (amount - pacer->level) * CFC_S - pacer->fraction;
    wait_ns = lacking / pacer->rate + (lacking % pacer->rate != 0);
    return wait_ns <= CFC_NEVER - pacer->updated_ns ? pacer->updated_ns + wait_ns : CFC_NEVER;
}
