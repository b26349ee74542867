#include "consumer/app/agent_stats.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

const char *const cfc_agent_xdp_words[] = {[CONFCAST_XDP_OFF] = "off",
                                           [CONFCAST_XDP_AUTO] = "auto",
                                           [CONFCAST_XDP_NATIVE] = "native",
                                           [CONFCAST_XDP_GENERIC] = "generic"};

struct text {
    char *bytes;
    size_t capacity;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static void
add(struct text *text, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text->bytes + text->size, text->capacity - text->size, format, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < text->capacity - text->size);
    text->size += (size_t)n;
}

/* Each with its name in the JSON, and in metrics behind "confcast_agent_"; counters end in _total
 * there. */
#define NUMBERS(X)                                                                                 \
    X(datagrams, "datagrams", "datagrams", "Datagrams that came", false)                           \
    X(wrong_source, "wrong_source", "wrong_source", "Of them not from the engine", false)          \
    X(truncated, "truncated", "truncated", "Of them longer than any frame", false)                 \
    X(overflows, "overflows", "overflows", "Dropped by the kernel: receive buffer full", false)    \
    X(receive_buffer_size, "receive_buffer_bytes", "receive_buffer_bytes",                         \
      "Receive buffer that was granted", true)                                                     \
    X(sockets_opened, "sockets_opened", "sockets_opened", "Times that the sockets were opened",    \
      false)                                                                                       \
    X(frames, "frames", "frames", "Frames given to the protocol", false)                           \
    X(symbols, "symbols", "symbols", "Symbols verified and stored", false)                         \
    X(symbols_duplicate, "symbols_duplicate", "symbols_duplicate", "Symbols that came again",      \
      false)                                                                                       \
    X(symbols_decoded, "symbols_decoded", "symbols_decoded",                                       \
      "Symbols recovered by forward error correction", false)                                      \
    X(nacks, "nacks", "nacks", "NACKs sent", false)                                                \
    X(reports, "reports", "reports", "Reports sent", false)                                        \
    X(contents, "contents", "contents", "Contents completed", false)                               \
    X(retired_size, "retired_bytes", "retired_bytes", "Replaced versions that readers still keep", \
      true)                                                                                        \
    X(pulls, "pulls", "pulls", "HTTP requests that were answered", false)                          \
    X(pull_failures, "pull_failures", "pull_failures", "HTTP requests that failed", false)         \
    X(pull_bytes, "pull_bytes", "pull_bytes", "Bytes of snapshots that were pulled", false)        \
    X(loss_ppm, "loss_ppm", "loss_ppm", "Multicast lost lately, in millionths", true)              \
    X(xdp_processes, "xdp_processes", "xdp_processes",                                             \
      "Other processes that tell this one's XDP filter what they want", true)                      \
    X(xdp_passed, "xdp_passed", "xdp_passed", "Frames that the XDP filter let through", false)     \
    X(xdp_unwanted, "xdp_unwanted", "xdp_dropped_unwanted",                                        \
      "Frames of scopes that nobody here follows, dropped by the XDP filter", false)               \
    X(xdp_held, "xdp_held", "xdp_dropped_held",                                                    \
      "Frames of contents that are held, dropped by the XDP filter", false)                        \
    X(xdp_malformed, "xdp_malformed", "xdp_malformed",                                             \
      "Datagrams on the fleet's port that the XDP filter passed and does not know", false)         \
    X(xdp_others, "xdp_others", "xdp_others",                                                      \
      "Other packets of the interface, passed by the XDP filter", false)

#define TRUTHS(X)                                                                                  \
    X(is_interface_up, "is_interface_up", "interface_up",                                          \
      "1 when the interface is there and has an address")                                          \
    X(is_linked, "is_linked", "linked", "1 when the engine knows this consumer")                   \
    X(is_pulling, "is_pulling", "pulling", "1 while it pulls over HTTP")                           \
    X(is_pull_advised, "is_pull_advised", "pull_advised", "1 while the engine advises to pull")    \
    X(is_xdp_open, "is_xdp_open", "xdp_open", "1 while the XDP filter drops nothing")              \
    X(is_xdp_told, "is_xdp_told", "xdp_told",                                                      \
      "1 when another process's XDP filter knows what this one wants")

size_t
cfc_agent_stats_json(const struct confcast_stats *stats, char *bytes, size_t capacity)
{
    struct text text = {.bytes = bytes, .capacity = capacity};
    const char *comma = "";

    add(&text, "{\"event\":\"stats\"");
#define ADD(member, name, metric, help, is_gauge)                                                  \
    add(&text, ",\"" name "\":%" PRIu64, (uint64_t)stats->member);
    NUMBERS(ADD)
#undef ADD
#define ADD(member, name, metric, help)                                                            \
    add(&text, ",\"" name "\":%s", stats->member ? "true" : "false");
    TRUTHS(ADD)
#undef ADD
    add(&text, ",\"xdp\":\"%s\"", cfc_agent_xdp_words[stats->xdp]);
    if (stats->xdp_error != CONFCAST_OK) {
        add(&text, ",\"xdp_error\":\"%s\"", confcast_error_word(stats->xdp_error));
    }
    add(&text, ",\"refused\":{");
    for (int i = 0; i < (int)(sizeof(stats->refused) / sizeof(stats->refused[0])); i++) {
        if (stats->refused[i] > 0) {
            add(&text, "%s\"%s\":%" PRIu64, comma, confcast_error_word(-i), stats->refused[i]);
            comma = ",";
        }
    }
    add(&text, "}}\n");
    return text.size;
}

static void
describe(struct text *text, const char *name, const char *type, const char *help)
{
    add(text, "# HELP confcast_agent_%s %s\n# TYPE confcast_agent_%s %s\n", name, help, name, type);
}

size_t
cfc_agent_stats_metrics(const struct confcast_stats *stats, char *bytes, size_t capacity)
{
    struct text text = {.bytes = bytes, .capacity = capacity};

#define ADD(member, json, name, help, is_gauge)                                                    \
    describe(&text, is_gauge ? name : name "_total", is_gauge ? "gauge" : "counter", help);        \
    add(&text, "confcast_agent_%s %" PRIu64 "\n", is_gauge ? name : name "_total",                 \
        (uint64_t)stats->member);
    NUMBERS(ADD)
#undef ADD
#define ADD(member, json, name, help)                                                              \
    describe(&text, name, "gauge", help);                                                          \
    add(&text, "confcast_agent_" name " %d\n", stats->member ? 1 : 0);
    TRUTHS(ADD)
#undef ADD
    describe(&text, "xdp_attached", "gauge", "1 when the XDP filter is attached, by its mode");
    for (int i = CONFCAST_XDP_NATIVE; i <= CONFCAST_XDP_GENERIC; i++) {
        add(&text, "confcast_agent_xdp_attached{mode=\"%s\"} %d\n", cfc_agent_xdp_words[i],
            (int)stats->xdp == i);
    }
    describe(&text, "refused_total", "counter", "Frames that the protocol refused, by reason");
    for (int i = 0; i < (int)(sizeof(stats->refused) / sizeof(stats->refused[0])); i++) {
        if (stats->refused[i] > 0) {
            add(&text, "confcast_agent_refused_total{reason=\"%s\"} %" PRIu64 "\n",
                confcast_error_word(-i), stats->refused[i]);
        }
    }
    return text.size;
}
