#include "dataplane/budget.h"

#include <assert.h>

#include "protocol/base/time.h"
#include "protocol/session/pacer.h"

/* What an amount takes to earn, rounded up so that the cap holds. */
static uint64_t
time_of(uint64_t amount, uint64_t rate)
{
    return (amount * CFC_S + rate - 1) / rate;
}

void
cfc_budget_init(struct cfc_budget *budget, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
    uint64_t full_ns;

    assert(rate >= 1 && rate <= CFC_PACER_RATE_MAX && burst >= 1 && burst <= CFC_PACER_BURST_MAX);
    full_ns = burst * CFC_S / rate;
    budget->burst = burst;
    atomic_init(&budget->rate, rate);
    atomic_init(&budget->empty_ns, now_ns > full_ns ? now_ns - full_ns : 0);
}

void
cfc_budget_set_rate(struct cfc_budget *budget, uint64_t rate)
{
    assert(rate >= 1 && rate <= CFC_PACER_RATE_MAX);
    atomic_store_explicit(&budget->rate, rate, memory_order_relaxed);
}

/* A bucket holds no more than its burst, however long ago it was empty. */
static uint64_t
clip(const struct cfc_budget *budget, uint64_t empty_ns, uint64_t rate, uint64_t now_ns)
{
    uint64_t full_ns = budget->burst * CFC_S / rate;

    return now_ns > full_ns && empty_ns < now_ns - full_ns ? now_ns - full_ns : empty_ns;
}

bool
cfc_budget_draw(struct cfc_budget *budget, uint64_t amount, uint64_t reserve, uint64_t now_ns,
                uint64_t *ready_ns)
{
    uint64_t rate = atomic_load_explicit(&budget->rate, memory_order_relaxed);
    uint64_t seen_ns = atomic_load_explicit(&budget->empty_ns, memory_order_relaxed);
    uint64_t cost_ns = time_of(amount, rate);
    uint64_t reserve_ns = reserve * CFC_S / rate;
    uint64_t empty_ns;

    assert(amount + reserve <= budget->burst);
    do {
        empty_ns = clip(budget, seen_ns, rate, now_ns);
        if (empty_ns + cost_ns + reserve_ns > now_ns) {
            *ready_ns = empty_ns + cost_ns + reserve_ns;
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&budget->empty_ns, &seen_ns, empty_ns + cost_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

uint64_t
cfc_budget_level(const struct cfc_budget *budget, uint64_t now_ns)
{
    uint64_t rate = atomic_load_explicit(&budget->rate, memory_order_relaxed);
    uint64_t empty_ns =
        clip(budget, atomic_load_explicit(&budget->empty_ns, memory_order_relaxed), rate, now_ns);

    return now_ns > empty_ns ? (now_ns - empty_ns) * rate / CFC_S : 0;
}
