/* One engine process in the simulator: the product's sender, its port to the network, and the
 * control plane that is connected to it.  Everything in it is soft: a restart begins with nothing.
 */
#ifndef TESTS_SIM_ENGINE_NODE_H
#define TESTS_SIM_ENGINE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/session/sender.h"
#include "tests/sim/net.h"
#include "tests/sim/world.h"

struct sim;

enum {
    SIM_GROUP_COUNT = 4
};

enum {
    SIM_ETHERNET_SIZE = 42 /* Ethernet, IPv4 and UDP headers of a frame */
};

struct sim_engine {
    struct sim *sim;
    struct cfc_sender *sender; /* NULL while it is down */
    struct sim_counter memory;
    uint64_t boot_count;
    uint64_t timer_ns; /* the earliest poll that is queued, CFC_NEVER = none */
    struct cfc_key fleet_key;
    /* What it sent, by what it was for; with Ethernet, IP and UDP headers. */
    uint64_t kind_frames[CFC_TX_KIND_COUNT];
    uint64_t kind_bytes[CFC_TX_KIND_COUNT];
    uint64_t frame_count; /* sent since the start, over all boots */
    uint64_t released;    /* contents that it gave back */
    uint64_t spin_count;  /* polls in a row at one time */
    uint64_t spin_ns;
};

void sim_engine_init(struct sim_engine *engine, struct sim *sim);
void sim_engine_close(struct sim_engine *engine);

/* A new process with empty memory.  The owner that is connected hands everything over. */
void sim_engine_start(struct sim_engine *engine);
/* kill -9. */
void sim_engine_kill(struct sim_engine *engine);

/* A datagram from the network. */
void sim_engine_on_frame(struct sim_engine *engine, const struct cfc_address *from,
                         const struct sim_packet *packet);

/* Has the engine do what is due now: call it after anything was put into the sender. */
void sim_engine_pump(struct sim_engine *engine);

#endif
