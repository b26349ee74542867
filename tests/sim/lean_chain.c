#include <math.h>

#include "tests/sim/lean.h"

/* Frames until something of this probability happens, that one counted. */
static uint32_t
run_length(struct cfc_prng *prng, double probability)
{
    double u = ((double)(cfc_prng_next(prng) >> 11) + 1) / 9007199254740993.0;
    double length;

    if (probability <= 0) {
        return UINT32_MAX;
    }
    length = ceil(log(u) / log1p(-probability));
    return length < 1 ? 1 : length < 4e9 ? (uint32_t)length : UINT32_MAX;
}

void
lean_chain_init(struct lean_chain *chain, const struct lean_loss *loss, uint64_t seed)
{
    chain->prng.state = seed;
    chain->is_bad = false;
    chain->left = run_length(&chain->prng, loss->enter);
}

/* In the bad state `left` frames are lost; the frame that ends a good run is the first of them. */
bool
lean_chain_step(struct lean_chain *chain, const struct lean_loss *loss)
{
    bool is_lost;

    if (--chain->left != 0) {
        return chain->is_bad;
    }
    is_lost = !chain->is_bad || loss->leave >= 1;
    if (chain->is_bad || loss->leave >= 1) {
        is_lost = !chain->is_bad;
        chain->is_bad = false;
        chain->left = run_length(&chain->prng, loss->enter);
        return is_lost;
    }
    chain->is_bad = true;
    chain->left = run_length(&chain->prng, loss->leave);
    return is_lost;
}
