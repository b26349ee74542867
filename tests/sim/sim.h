/* The simulator: one world with a store model, its owners, an engine, a network and a fleet, and
 * the verbs that stories are told with.
 *
 * Sender and receiver are the product's own libraries; everything around them is written for tests.
 * A simulation is a pure function of its options: the same seed gives the same trace. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/catalog.h"
#include "tests/sim/checkers.h"
#include "tests/sim/consumer_node.h"
#include "tests/sim/control.h"
#include "tests/sim/engine_node.h"
#include "tests/sim/net.h"
#include "tests/sim/pull.h"
#include "tests/sim/store.h"
#include "tests/sim/trust.h"
#include "tests/sim/world.h"

enum {
    SIM_OWNER_COUNT = 2,
    SIM_SCRATCH_SIZE = 1 << 22, /* the largest body */
    SIM_DECODED_COUNT = 64
};

/* What came of decoding some bytes; consumer_node.c has what the key is made of. */
struct sim_decoded {
    uint64_t key[2];
    const struct sim_content *known;
    int code;
    bool is_used;
};

struct sim_options {
    const char *story;
    uint64_t seed;
    uint32_t consumer_count;
    int32_t loss_ppm;    /* independent, in every phase of every story; -1 = as the story says */
    uint64_t rate_bytes; /* of the engine, 0 = its default */
    uint64_t rate_floor_bytes; /* that loss slows it to, likewise */
    uint64_t budget_size;      /* of receivers, 0 = their default */
    bool is_loud;
    bool skips_claims; /* a story's own claims speak of fleets of its usual size; invariants always
                          hold */
    const char *extra; /* options to repeat when a run is to be told apart, "" */
};

struct sim {
    struct sim_options options;
    struct sim_world world;
    struct sim_trust trust;
    struct sim_catalog catalog;
    struct sim_store store;
    struct sim_control owners[SIM_OWNER_COUNT];
    struct sim_control *connected; /* to the engine; NULL = none */
    struct sim_engine engine;
    struct sim_net net;
    struct sim_pull_server pull;
    struct sim_consumer *consumers;
    uint32_t consumer_count;
    struct cfc_key report_key; /* of the fleet */
    bool has_deltas;           /* owners send deltas to all, as the product's publisher does */
    uint32_t kill_ppm;         /* at every place where a consumer's process may die */
    struct sim_check check;
    uint64_t converged_ns_max; /* the longest that the fleet took to follow a change */
    struct sim_decoded decoded[SIM_DECODED_COUNT];
    uint8_t scratch[SIM_SCRATCH_SIZE];
};

void sim_open(struct sim *sim, const struct sim_options *options);
void sim_close(struct sim *sim);

static inline bool
sim_is_fine(const struct sim *sim)
{
    return !sim->world.has_failed;
}

/* Lets time pass. */
void sim_run(struct sim *sim, uint64_t ns);

/* The true wall clock. */
uint64_t sim_unix(const struct sim *sim);

/* Starts the engine, the first owner and the whole fleet, spread over 100 ms, and lets it settle.
 */
void sim_begin(struct sim *sim);
/* Starts consumers first..end-1, spread over `spread_ns`. */
void sim_start_consumers(struct sim *sim, uint32_t first, uint32_t end, uint64_t spread_ns);

/* -- Documents */
uint32_t sim_small(struct sim *sim);    /* rides inside of its head */
uint32_t sim_medium(struct sim *sim);   /* some tens of symbols */
uint32_t sim_large(struct sim *sim);    /* more than a hundred symbols */
uint32_t sim_huge(struct sim *sim);     /* a megabyte */
uint32_t sim_revision(struct sim *sim); /* as large, but with few values that the others have not */
uint32_t sim_unliked(struct sim *sim);
uint32_t sim_broken(struct sim *sim);

/* -- Changes, by the connected owner; each returns the version it made, 0 when it was refused */
struct sim_control *sim_owner(struct sim *sim);
uint64_t sim_publish(struct sim *sim, uint32_t layer, uint32_t document);
uint64_t sim_publish_when(struct sim *sim, uint32_t layer, uint32_t document,
                          const struct sim_when *when);
uint64_t sim_roll(struct sim *sim, uint32_t layer, uint32_t document, uint32_t percent);
uint64_t sim_roll_label(struct sim *sim, uint32_t layer, uint32_t document, const char *value);
uint64_t sim_advance(struct sim *sim, uint32_t layer, uint32_t percent);
uint64_t sim_abort(struct sim *sim, uint32_t layer);
uint64_t sim_rollback(struct sim *sim, uint32_t layer);
uint64_t sim_disable(struct sim *sim, uint32_t layer);
uint64_t sim_enable(struct sim *sim, uint32_t layer);
uint64_t sim_settle(struct sim *sim, uint32_t layer);

/* -- Faults */
void sim_loss(struct sim *sim, uint32_t loss_ppm); /* and a LAN otherwise */
/* Loss, bursts, duplicates, damage, reordering, all at once. */
void sim_storm(struct sim *sim);
void sim_calm(struct sim *sim);
/* A consumer chosen by the story's stream. */
struct sim_consumer *sim_any(struct sim *sim);

/* -- Judgement.  Each says what is wrong and stops the world. */
/* Waits until every consumer that is up and reachable serves what it ought to; when `is_counted`,
 * also until the control plane knows it from reports. */
void sim_converge(struct sim *sim, uint64_t bound_ns);
void sim_converge_served(struct sim *sim, uint64_t bound_ns);
/* A story's own claim. */
void sim_claim(struct sim *sim, bool holds, const char *what);

/* The consumer with this id, consumer_count when there is none. */
uint32_t sim_consumer_by_id(const struct sim *sim, const char *id, size_t size);

/* Consumers whose current content of a scope is that of these documents. */
uint32_t sim_serving(struct sim *sim, uint32_t scope, uint32_t tenant_document,
                     uint32_t own_document);
/* Scopes of consumers that are up which are as fresh as this. */
uint32_t sim_count_freshness(const struct sim *sim, enum cfc_freshness freshness);
/* Consumers that follow a scope and are up. */
uint32_t sim_followers(const struct sim *sim, uint32_t scope);

#endif
