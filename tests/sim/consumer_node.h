/* One consumer host in the simulator: the product's receiver, and around it what its owner does:
 * decode and validate contents, swap what readers see, keep a disk, die and come back.
 *
 * As the library does, it keeps contents on disk that the receiver has no need of any more, and
 * says so when a new head names one of them: that makes a rollback one frame.
 *
 * The disk has two faces.  What a process wrote outlives the process at once (a mapped page, the
 * page cache); what was flushed as well outlives the power. */
#ifndef TESTS_SIM_CONSUMER_NODE_H
#define TESTS_SIM_CONSUMER_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/session/receiver.h"
#include "tests/sim/net.h"
#include "tests/sim/store.h"

struct sim;

enum {
    SIM_CACHE_MAX = 24, /* contents that a disk holds */
    SIM_HELD_MAX = 64   /* ... and that a process may have to hold at one time */
};

struct sim_disk_scope {
    uint64_t floor_epoch;
    uint64_t floor_version;
    struct sim_packet *head; /* the HEAD frame accepted last */
    const struct sim_content *served;
    uint64_t served_epoch;
    uint64_t served_version;
    uint8_t served_state;
};

struct sim_disk {
    struct sim_disk_scope scopes[SIM_SCOPE_COUNT];
    const struct sim_content *contents[SIM_CACHE_MAX]; /* oldest first */
    uint32_t content_count;
};

struct sim_consumer {
    struct sim *sim;
    uint32_t idx;
    char id[32];
    size_t id_size;
    struct cfc_key session_key;
    struct cfc_key report_key;
    struct cfc_label labels[2];
    uint32_t scope_mask;  /* scopes that it follows */
    int64_t clock_off_ns; /* its wall clock minus the true one */
    uint64_t incarnation;
    bool is_enrolled; /* was started at least once and is meant to be up */

    struct cfc_receiver *receiver; /* NULL while the process is down */
    struct sim_counter memory;
    uint32_t scope_idx[SIM_SCOPE_COUNT]; /* in the receiver */
    uint64_t timer_ns;
    bool is_dying; /* killed in the middle of an event */
    bool is_flush_queued;
    uint64_t spin_count;
    uint64_t spin_ns;

    /* Contents that the receiver knows us to hold. */
    const struct sim_content *held[SIM_HELD_MAX];
    uint32_t held_count;

    /* One of them whose bytes in memory are not what they were when they were checked. */
    const struct sim_content *damaged;

    /* What readers of the process see. */
    const struct sim_content *serving[SIM_SCOPE_COUNT];

    struct sim_disk disk;    /* survives the process */
    struct sim_disk durable; /* survives the power */

    struct sim_puller *puller; /* NULL: it may not pull */

    uint32_t process_count;
    uint32_t rejections;
    uint32_t identity_refusals;
    uint32_t prepared; /* PREPARED events */
};

void sim_consumer_init(struct sim_consumer *c, struct sim *sim, uint32_t idx);
void sim_consumer_close(struct sim_consumer *c);

/* Starts a process on what the disk holds. */
void sim_consumer_start(struct sim_consumer *c);
/* kill -9. */
void sim_consumer_kill(struct sim_consumer *c);
/* kill -9 of the whole machine: what was not flushed is lost. */
void sim_consumer_cut_power(struct sim_consumer *c);

/* The file of a scope's last head is lost; the floor beside it is not. */
void sim_consumer_lose_head(struct sim_consumer *c, uint32_t scope);

void sim_consumer_on_frame(struct sim_consumer *c, const struct sim_packet *packet);
/* A frame that was pulled. */
void sim_consumer_on_pulled(struct sim_consumer *c, const struct sim_packet *packet);
/* Has the receiver's events and frames out, and its timer set. */
void sim_consumer_pump(struct sim_consumer *c);

/* Its wall clock now. */
struct cfc_now sim_consumer_now(const struct sim_consumer *c);

/* The scope with this number in its receiver. */
uint32_t sim_consumer_scope_of(const struct sim_consumer *c, uint32_t scope_idx);

#endif
