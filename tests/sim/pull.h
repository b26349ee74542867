/* The way beside multicast: consumers that pull from the owner over links that lose nothing but may
 * break.
 *
 * A consumer's end is the product's: consumer/pull.h says what is asked when, the receiver takes
 * the frames.  When to pull at all is told here in short, as consumer/client_pull.c has it:
 * advised, or held up for SIM_PULL_AFTER_NS; it ends after SIM_PULL_STAY_NS without either, when
 * FRESH comes by multicast.  The
 * owner's end gives FRESH, HEAD and the frames of the product's codings
 * (controlplane/publish/pull_coding.h), and takes HELLOs and REPORTs, as docs/wire-format.md,
 * section 12, says.  There is no HTTP and no authentication in it. */
#ifndef TESTS_SIM_PULL_H
#define TESTS_SIM_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/pull.h"
#include "tests/sim/catalog.h"
#include "tests/sim/world.h"

struct sim;
struct sim_consumer;
struct cfc_pull_coding;

#define SIM_PULL_AFTER_NS (3 * CFC_S)
#define SIM_PULL_STAY_NS  (10 * CFC_S)

enum {
    SIM_PULL_TRANSFERS = 8,  /* of one consumer at one time */
    SIM_PULL_CODINGS = 256,  /* that an owner has made */
    SIM_PULL_RATE = 12500000 /* of each consumer's link, bytes a second */
};

/* A request, and its answer on the way. */
struct sim_transfer {
    bool is_busy;
    struct cfc_pull_job job;
    struct cfc_receiver_need need; /* SNAPSHOT: as it was asked */
    uint64_t until_ns;             /* that the owner waits for news */
    uint64_t report_seq;           /* ACK */
    uint64_t accepted, symbols;    /* when it began */
    struct sim_packet **frames;    /* of the request's body, then of the answer */
    uint32_t frame_count;
    uint32_t frame_idx;
};

struct sim_puller {
    struct sim_consumer *consumer;
    struct cfc_pull machine;
    struct sim_transfer transfers[SIM_PULL_TRANSFERS];
    uint64_t generation; /* of its process: what an earlier one asked for reaches nobody */
    uint64_t timer_ns;
    uint64_t checked_ns;
    uint64_t held_up_ns; /* since when; 0: it is not */
    uint64_t heard_ns;   /* the last FRESH by multicast that was taken */
    uint64_t fine_ns;    /* since when neither is it nor advised; 0: it is */
    bool is_on;
    uint64_t bytes;  /* that it was given */
    uint64_t ended;  /* answers that came whole, */
    uint64_t broken; /* ... and those that did not */
};

/* The owner's end. */
struct sim_pull_server {
    uint32_t break_ppm; /* links break at a frame */
    struct sim_pull_made {
        const struct sim_content *content, *base;
        struct cfc_pull_coding *coding;
    } made[SIM_PULL_CODINGS];
    uint32_t made_count;
};

/* This consumer may pull from now on. */
void sim_pull_allow(struct sim *sim, uint32_t consumer);
/* Its process began, with a receiver and its scopes; its process ended.  No-ops for who may not. */
void sim_pull_started(struct sim_consumer *c);
void sim_pull_ended(struct sim_consumer *c);
/* After anything that the receiver was told. */
void sim_pull_pump(struct sim_consumer *c);
void sim_pull_close(struct sim_puller *puller);
void sim_pull_server_close(struct sim_pull_server *server);

/* Consumers that pull now. */
uint32_t sim_pull_count(const struct sim *sim);

#endif
