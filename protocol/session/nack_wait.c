#include "protocol/session/nack_wait.h"

uint64_t
cfc_nack_wait_due(const struct cfc_nack_wait *wait, uint64_t first_due_ns)
{
    if (first_due_ns >= CFC_NEVER - wait->jitter_ns) {
        return CFC_NEVER;
    }
    first_due_ns += wait->jitter_ns;
    return first_due_ns > wait->from_ns ? first_due_ns : wait->from_ns;
}

uint64_t
cfc_nack_wait_draw(struct cfc_prng *prng, uint32_t nack_us)
{
    return cfc_prng_below(prng, nack_us * CFC_US);
}

void
cfc_nack_wait_sent(struct cfc_nack_wait *wait, struct cfc_prng *prng, uint32_t nack_us,
                   bool has_rest)
{
    wait->jitter_ns = has_rest ? 0 : cfc_nack_wait_draw(prng, nack_us);
}
