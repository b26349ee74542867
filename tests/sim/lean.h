/* The lean simulator: one content, one sender, up to millions of receivers.
 *
 * The sender is the product's, whole.  A receiver is what the product's receiver decides with:
 * which symbols are here, what lacks, what is asked for and when (protocol/session/loss_rx.h,
 * nack_wait.h, ask.h), and a session to ask under.  It has no payload, hashes nothing and decodes
 * nothing: what is enough to decode a block counts as decoded.  What comes before its HEAD
 * or CONTENT is kept as far as the product keeps it (early_rx.h), and a head of which every sending
 * was lost is asked for after LEAN_FRESH_NS, as FRESH has it.
 *
 * Time goes in steps of LEAN_STEP_NS, of a small fleet in LEAN_FINE_STEP_NS.  Frames take one step
 * down, and one or two steps up.  Loss is independent, in bursts of each link (Gilbert-Elliott), or
 * in bursts of the switch before a link. The same options give the same result. */
#ifndef TESTS_SIM_LEAN_H
#define TESTS_SIM_LEAN_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/prng.h"
#include "protocol/session/loss_rx.h"
#include "protocol/session/nack_wait.h"
#include "protocol/session/sender.h"

#define LEAN_STEP_NS      (100 * CFC_US)
#define LEAN_FINE_STEP_NS (20 * CFC_US)
#define LEAN_FRESH_NS     CFC_S
#define LEAN_GIVE_UP_NS   (60 * CFC_S)

enum {
    LEAN_FINE_MAX = 1000,   /* receivers up to which steps are fine */
    LEAN_SWITCH_PORTS = 48, /* receivers behind one switch */
    LEAN_ETHERNET_SIZE = 42 /* Ethernet, IPv4 and UDP headers of a frame */
};

/* A chain of two states that every frame steps: in the bad one it is lost. */
struct lean_chain {
    struct cfc_prng prng;
    uint32_t left; /* frames until it changes */
    bool is_bad;
};

struct lean_loss {
    double enter; /* probability to become bad; 0 = never */
    double leave; /* and good again */
};

struct lean_options {
    uint32_t receiver_count;
    uint64_t content_size;
    uint32_t content_count; /* one after the other */
    uint64_t seed;
    uint64_t rate_bytes; /* of the sender; 0 = its default */
    struct lean_loss link;
    struct lean_loss switches;
};

/* A receiver; the memory of its losses lies behind it. */
struct lean_receiver {
    struct cfc_loss_rx loss;
    struct cfc_nack_wait wait;
    struct cfc_nack_timing timing;
    struct cfc_answer_time answer_time;
    struct cfc_ask content_ask; /* for the CONTENT, or before it for the HEAD */
    struct cfc_key session_key;
    uint64_t consumer_key;
    uint64_t seq;
    struct lean_chain link;
    uint32_t session;
    uint16_t early_count; /* frames that came before HEAD or CONTENT */
    uint16_t blocks_left;
    bool has_head;
    bool has_early_content; /* CONTENT is among them */
    bool has_content;
    bool is_early_closed; /* what waited for the head ended with a CONTENT */
};

struct lean_result {
    bool is_complete;
    uint64_t content_bytes; /* of all contents */
    uint64_t kind_frames[CFC_TX_KIND_COUNT];
    uint64_t kind_bytes[CFC_TX_KIND_COUNT]; /* with Ethernet, IP and UDP headers */
    uint64_t nacks;                         /* heard by the sender */
    uint64_t nack_entries;
    uint64_t rounds;                  /* of repair */
    uint32_t round_nacks_max;         /* heard in one of them */
    uint64_t simulated_ns;            /* from the heads until everybody has everything */
    uint64_t p50_us, p99_us, p999_us; /* of the contents: until everybody has one */
    uint64_t joined_ms;               /* of this machine's time, for the handshakes */
    size_t receiver_size;             /* bytes of state of one receiver */
};

/* Sends the contents to everybody; what the product must not refuse ends the program. */
void lean_run(const struct lean_options *options, struct lean_result *result);

/* -- lean_chain.c */
void lean_chain_init(struct lean_chain *chain, const struct lean_loss *loss, uint64_t seed);
/* One frame: whether it is lost. */
bool lean_chain_step(struct lean_chain *chain, const struct lean_loss *loss);

#endif
