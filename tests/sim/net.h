/* The simulated network: one engine, many consumers, IP multicast down and UDP unicast both ways.
 *
 * Each copy of a frame meets its own fate: loss (independent; in bursts of its link by a
 * Gilbert-Elliott chain; in bursts of the switch before it, for all links behind that),
 * duplication, a flipped bit, delay and jitter, and now and then a long delay, so that frames
 * overtake each other.  Links can be cut each way, and what comes down can be recorded and played
 * back. */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/wire/frame.h"
#include "tests/sim/world.h"

enum {
    SIM_SWITCH_COUNT = 8,
    SIM_CONTROL_GROUP = 31, /* bit of the control group in a link's `groups` */
    SIM_RECORDS_MAX = 100000
};

/* A two-state chain that is stepped by every frame: in its bad state frames are lost. */
struct sim_burst {
    uint32_t enter_ppm; /* good -> bad; 0 = never */
    uint32_t leave_ppm; /* bad -> good */
};

struct sim_net_faults {
    uint32_t loss_ppm;
    uint32_t duplicate_ppm;
    uint32_t corrupt_ppm;
    uint32_t late_ppm; /* frames that take late_ns longer */
    uint64_t late_ns;
    uint64_t delay_ns;
    uint64_t jitter_ns;
    bool is_reordering; /* frames overtake each other by their jitter; else each link keeps order */
    struct sim_burst link_burst;
    struct sim_burst switch_burst;
};

struct sim_link {
    uint32_t groups; /* bit per joined group */
    uint32_t switch_idx;
    bool is_down_cut; /* nothing comes from the engine */
    bool is_up_cut;   /* nothing goes to it */
    bool is_in_burst;
    bool is_multicast_cut; /* unicast only */
    uint64_t down_ns;      /* when the last frame in order arrives */
    uint64_t up_ns;
};

/* A recorded frame. */
struct sim_record {
    struct sim_packet *packet;
    uint64_t at_ns;
    uint32_t from; /* consumer that sent it; UINT32_MAX: the engine */
};

#define SIM_FROM_ENGINE UINT32_MAX

struct sim_net_stats {
    uint64_t multicast_frames; /* that the engine sent; each counts once */
    uint64_t multicast_bytes;
    uint64_t unicast_frames;
    uint64_t unicast_bytes;
    uint64_t up_frames;
    uint64_t up_bytes;
    uint64_t delivered; /* copies */
    uint64_t lost;      /* copies */
    uint64_t duplicated;
    uint64_t corrupted;
    uint64_t stray; /* unicast to an address of no consumer */
    uint64_t stray_bytes;
    uint64_t down_by_type[256]; /* frames that the engine sent, by frame type */
    uint64_t up_by_type[256];
};

struct sim_net_ends {
    void (*down)(void *ctx, uint32_t consumer, const struct sim_packet *packet);
    void (*up)(void *ctx, const struct cfc_address *from, const struct sim_packet *packet);
    void *ctx;
};

struct sim_net {
    struct sim_world *world;
    struct sim_net_ends ends;
    struct sim_net_faults faults;
    struct sim_link *links;
    uint32_t link_count;
    bool is_switch_in_burst[SIM_SWITCH_COUNT];
    /* A story's own fault: true loses this copy on its way down.  NULL = none. */
    bool (*loses)(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast);
    void *loses_ctx;
    bool is_recording;
    struct sim_record *records;
    uint32_t record_count;
    struct sim_net_stats stats;
};

void sim_net_init(struct sim_net *net, struct sim_world *world, const struct sim_net_ends *ends,
                  uint32_t link_count);
void sim_net_close(struct sim_net *net);

/* A LAN without faults: 50 us, and jitter of the same size. */
void sim_net_calm(struct sim_net *net);

/* The type of a frame; 0 when it has none. */
uint8_t sim_frame_type(const struct sim_packet *packet);

/* The address of a consumer; numbers from link_count on are addresses of nobody. */
struct cfc_address sim_net_address(uint32_t consumer);

/* From the engine.  `group` is a data group's number or SIM_CONTROL_GROUP. */
void sim_net_multicast(struct sim_net *net, uint32_t group, struct sim_packet *packet);
void sim_net_unicast(struct sim_net *net, const struct cfc_address *to, struct sim_packet *packet);
/* From an address towards the engine. */
void sim_net_up(struct sim_net *net, uint32_t from, struct sim_packet *packet);

/* An attacker's frame that reaches this consumer as if the engine had sent it, after the usual
 * delay and without loss. */
void sim_net_inject(struct sim_net *net, uint32_t consumer, struct sim_packet *packet);
/* The same for all consumers. */
void sim_net_inject_all(struct sim_net *net, struct sim_packet *packet);

#endif
