#include "protocol/session/nack_wait.h"

#include "protocol/session/ask.h"

enum {
    LOG_UNIT = 1 << 16
};

/* Logarithm to base 2 of x >= 1, times LOG_UNIT; between powers of two a straight line, which is at
 * most 0.09 off and the same everywhere. */
static uint64_t
log2_of(uint64_t x)
{
    uint32_t whole = 63 - (uint32_t)__builtin_clzll(x);
    uint64_t rest = x - (UINT64_C(1) << whole);

    return (uint64_t)whole * LOG_UNIT + (whole > 16 ? rest >> (whole - 16) : rest << (16 - whole));
}

static uint64_t
fleet_of(uint32_t nack_us)
{
    uint64_t count = nack_us / CFC_NACK_SERVE_US;

    return count > 1 ? count : 1;
}

uint64_t
cfc_nack_wait_longest(uint32_t nack_us)
{
    return nack_us < CFC_NACK_WAIT_US / CFC_NACK_WAIT_TIMES ? nack_us * CFC_NACK_WAIT_TIMES * CFC_US
                                                            : CFC_NACK_WAIT_US * CFC_US;
}

/* u is uniform in 1..e n, in 1/256 so that small fleets have their share of values: then
 * T log u / log (e n) has the distribution of the header. */
uint64_t
cfc_nack_wait_draw(struct cfc_prng *prng, uint32_t nack_us)
{
    uint64_t window_ns = cfc_nack_wait_longest(nack_us);
    uint64_t end = fleet_of(nack_us) * 696; /* 256 e */
    uint64_t u = 256 + cfc_prng_below(prng, end - 255);

    return window_ns * (log2_of(u) - log2_of(256)) / (log2_of(end) - log2_of(256));
}

uint64_t
cfc_nack_wait_due(const struct cfc_nack_wait *wait, uint64_t first_due_ns, uint32_t nack_us)
{
    struct cfc_prng prng = {.state = wait->seed ^ first_due_ns};
    uint64_t due_ns;

    if (first_due_ns >= CFC_NEVER - CFC_NACK_WAIT_US * CFC_US) {
        return CFC_NEVER;
    }
    due_ns = first_due_ns + (wait->has_rest ? 0 : cfc_nack_wait_draw(&prng, nack_us));
    return due_ns > wait->from_ns ? due_ns : wait->from_ns;
}

void
cfc_nack_wait_sent(struct cfc_nack_wait *wait, bool has_rest)
{
    wait->has_rest = has_rest;
}

uint8_t
cfc_nack_wait_doublings(uint32_t nack_us, uint64_t retry_ns)
{
    uint64_t longest_ns = fleet_of(nack_us) * CFC_NACK_RETRIES_US * CFC_US;
    uint8_t doublings = CFC_ASK_DOUBLINGS_MIN;

    while (doublings < CFC_ASK_DOUBLINGS_MAX && retry_ns << doublings < longest_ns) {
        doublings++;
    }
    return doublings;
}

void
cfc_answer_time_note(struct cfc_answer_time *time, uint64_t sample_ns)
{
    uint64_t off_ns =
        sample_ns > time->mean_ns ? sample_ns - time->mean_ns : time->mean_ns - sample_ns;

    if (time->mean_ns == 0) {
        time->mean_ns = sample_ns > 0 ? sample_ns : 1;
        time->deviation_ns = sample_ns / 2;
        return;
    }
    time->deviation_ns += off_ns / 4 - time->deviation_ns / 4;
    time->mean_ns += sample_ns / 8 - time->mean_ns / 8;
}

uint64_t
cfc_answer_time_first(const struct cfc_answer_time *time, uint64_t retry_ns)
{
    uint64_t first_ns = time->mean_ns + 4 * time->deviation_ns;

    if (time->mean_ns == 0) {
        return 0;
    }
    first_ns = first_ns > CFC_ANSWER_MIN_NS ? first_ns : CFC_ANSWER_MIN_NS;
    return first_ns < retry_ns ? first_ns : retry_ns;
}
