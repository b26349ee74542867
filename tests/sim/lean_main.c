/* lean: what repair costs a sender, by the size of its fleet.
 *
 *   lean [--receivers N] [--size BYTES] [--contents N] [--seed N] [--rate BYTES]
 *        [--loss PPM | --burst | --switch] [--price-max N] [--nacks-max N] [--p99-max US]
 *
 * --burst: links lose 1 % in bursts of 5; --switch: on top of the independent loss, a switch loses
 * 0.5 % in bursts of 20 for all behind it.  One JSON line.  Exit code 1 when a receiver did not get
 * everything, or the bytes on the wire per thousand of content are above --price-max, or the NACKs
 * heard in one round of repair above --nacks-max, or 99 of 100 contents take longer than --p99-max
 * until everybody has them. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/lean.h"

static const char *const kind_names[] = {
#define KIND_NAME_(name) #name,
    CFC_TX_KINDS(KIND_NAME_)
#undef KIND_NAME_
};

static const struct option long_options[] = {
    {"receivers", required_argument, NULL, 'r'}, {"size", required_argument, NULL, 's'},
    {"contents", required_argument, NULL, 'c'},  {"seed", required_argument, NULL, 'n'},
    {"rate", required_argument, NULL, 'b'},      {"loss", required_argument, NULL, 'l'},
    {"burst", no_argument, NULL, 'B'},           {"switch", no_argument, NULL, 'S'},
    {"price-max", required_argument, NULL, 'p'}, {"p99-max", required_argument, NULL, 'u'},

    {"nacks-max", required_argument, NULL, 'N'}, {NULL, 0, NULL, 0},
};

static uint64_t
wall_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Bytes for the contents, per ten thousand of theirs; answers to handshakes and reports are not. */
static uint64_t
price(const struct lean_result *r)
{
    uint64_t sum = 0;

    for (int kind = 0; kind < CFC_TX_KIND_COUNT; kind++) {
        sum += kind == CFC_TX_ANSWER || kind == CFC_TX_STATUS ? 0 : r->kind_bytes[kind];
    }
    return sum * 10000 / r->content_bytes;
}

static void
print(const struct lean_options *o, const char *loss, const struct lean_result *r, uint64_t took_ms)
{
    uint64_t permyriad = price(r);

    printf("{\"receivers\": %u, \"loss\": \"%s\", \"seed\": %" PRIu64 ", \"ok\": %s, "
           "\"price\": %" PRIu64 ".%04" PRIu64 ", \"nacks\": %" PRIu64 ", \"rounds\": %" PRIu64
           ", \"nacks_per_round_max\": %u, \"simulated_ms\": %" PRIu64 ", \"p50_us\": %" PRIu64
           ", \"p99_us\": %" PRIu64 ", \"p999_us\": %" PRIu64 ", \"wall_ms\": %" PRIu64
           ", \"joined_ms\": %" PRIu64 ", \"state_bytes\": %zu, \"wire\": {",
           o->receiver_count, loss, o->seed, r->is_complete ? "true" : "false", permyriad / 10000,
           permyriad % 10000, r->nacks, r->rounds, r->round_nacks_max, r->simulated_ns / CFC_MS,
           r->p50_us, r->p99_us, r->p999_us, took_ms, r->joined_ms, r->receiver_size);
    for (int kind = CFC_TX_HEAD; kind < CFC_TX_KIND_COUNT; kind++) {
        printf("%s\"%s\": [%" PRIu64 ", %" PRIu64 "]", kind > CFC_TX_HEAD ? ", " : "",
               kind_names[kind], r->kind_frames[kind], r->kind_bytes[kind]);
    }
    printf("}}\n");
}

static bool
take_number(const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

int
main(int argc, char **argv)
{
    struct lean_options o = {.receiver_count = 1000,
                             .content_size = 1 << 20,
                             .content_count = 1,
                             .seed = 1,
                             .link = {.enter = 0.01, .leave = 1}};
    uint64_t price_max = 0, nacks_max = 0, p99_us_max = 0, number, began = wall_ms();
    const char *loss = "independent";
    struct lean_result result;
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        number = 0;
        if (option == '?' || (optarg != NULL && !take_number(optarg, &number))) {
            fprintf(stderr, "lean: wrong use; see tests/sim/lean_main.c\n");
            return 2;
        }
        switch (option) {
        case 'r':
            o.receiver_count = (uint32_t)number;
            break;
        case 's':
            o.content_size = number;
            break;
        case 'c':
            o.content_count = (uint32_t)number;
            break;
        case 'n':
            o.seed = number;
            break;
        case 'b':
            o.rate_bytes = number;
            break;
        case 'l':
            o.link.enter = (double)number / 1e6;
            break;
        case 'B':
            loss = "bursts";
            o.link = (struct lean_loss){.enter = 0.002, .leave = 0.2};
            break;
        case 'S':
            loss = "switches";
            o.switches = (struct lean_loss){.enter = 0.00025, .leave = 0.05};
            break;
        case 'p':
            price_max = number;
            break;
        case 'N':
            nacks_max = number;
            break;
        case 'u':
            p99_us_max = number;
            break;
        default:
            break;
        }
    }
    if (o.receiver_count == 0 || o.content_size == 0 || o.content_size > 1 << 28) {
        return 2;
    }
    lean_run(&o, &result);
    print(&o, loss, &result, wall_ms() - began);
    return result.is_complete && (price_max == 0 || price(&result) <= price_max * 10) &&
                   (nacks_max == 0 || result.round_nacks_max <= nacks_max) &&
                   (p99_us_max == 0 || result.p99_us <= p99_us_max)
               ? 0
               : 1;
}
