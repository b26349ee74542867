/* What must hold at every event, whatever happens (the invariants of the design, by their numbers):
 *
 *   3  contents and heads are a pure function of what was committed;
 *   4  what is served is named, for this consumer, by a signed head that it accepted;
 *   5  the accepted version never falls, nor what is served; the floor is written before the swap;
 *   6  a report says what is true, and counts once;
 *   7  nothing of a fenced owner is accepted, and nothing is sent that was not committed;
 *   8  who serves goes on serving;
 *   0  the contracts of sender.h and receiver.h, and liveness.
 *
 * The checkers keep their own books from what the nodes tell them; they look into no product state
 * but through its public calls. */
#ifndef TESTS_SIM_CHECKERS_H
#define TESTS_SIM_CHECKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/session/receiver.h"
#include "protocol/session/sender.h"
#include "tests/sim/consumer_node.h"
#include "tests/sim/store.h"

struct sim;

enum {
    SIM_INVARIANT_COUNT = 9,
    SIM_ERROR_COUNT = 128
};

/* What a consumer truly served once. */
struct sim_served {
    uint64_t version;
    uint64_t content_key;
    uint8_t state;
};

/* The books of one consumer and scope. */
struct sim_truth {
    uint64_t accepted_epoch; /* of this process, the floor at its start included */
    uint64_t accepted_version;
    uint64_t persisted_epoch; /* of the disk */
    uint64_t persisted_version;
    uint64_t durable_version; /* what was acknowledged as durable */
    uint64_t *accepted;       /* versions, ascending */
    uint32_t accepted_count;
    uint8_t arm; /* chosen at the acceptance of accepted_version */
    const struct sim_content *served;
    uint64_t served_version;
    uint8_t served_state;
    struct sim_served *history;
    uint32_t history_count;
};

struct sim_check {
    struct sim_truth (*truths)[SIM_SCOPE_COUNT]; /* by consumer */
    uint64_t *epoch_seen;                        /* by consumer, in this process */
    uint64_t *unix_max;                          /* by consumer */
    uint64_t epoch_max;                          /* that any owner was given */
    uint64_t sent_versions[SIM_SCOPE_COUNT];     /* by the engine since its boot */
    uint64_t sent_epochs[SIM_SCOPE_COUNT];
    uint64_t fresh_epoch;
    uint64_t *report_digests; /* frames handed up since the engine's boot; open addressing */
    uint32_t report_digest_count;
    uint32_t report_digest_capacity;
    uint64_t errors[SIM_ERROR_COUNT]; /* of receivers that are gone */
    uint64_t engine_errors[SIM_ERROR_COUNT];
    uint64_t nacks, symbols, duplicates, contents, repairs_unicast, repairs_multicast;
    uint64_t memory_peak;
    uint64_t checks;
    int broken_invariant; /* -1 = none */
    char text[512];
};

void sim_check_init(struct sim *sim);
void sim_check_close(struct sim *sim);

/* An invariant does not hold: says so and stops the world.  The first one counts. */
void sim_check_fail(struct sim *sim, int invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* -- The engine */
void sim_check_engine_boot(struct sim *sim);
void sim_check_engine_sends(struct sim *sim, const struct sim_packet *packet);
void sim_check_engine_stats(struct sim *sim, const struct cfc_sender_stats *stats);

/* -- The control plane */
/* A REPORT that the engine handed up, before anything was checked. */
void sim_check_report_frame(struct sim *sim, const struct cfc_upcall *upcall);
/* One whose tag held. */
void sim_check_report(struct sim *sim, uint32_t consumer, const struct cfc_frame *frame,
                      const struct cfc_report *report);
/* Everything that the store holds, recomputed by another owner. */
void sim_check_determinism(struct sim *sim);

/* -- Consumers, in the order of their lives */
void sim_check_started(struct sim *sim, struct sim_consumer *c);
void sim_check_restored(struct sim *sim, struct sim_consumer *c);
void sim_check_frame(struct sim *sim, struct sim_consumer *c, const struct sim_packet *packet,
                     int rc);
void sim_check_accepted(struct sim *sim, struct sim_consumer *c, uint32_t scope,
                        const struct cfc_receiver_event *event);
void sim_check_persisted(struct sim *sim, struct sim_consumer *c, uint32_t scope);
void sim_check_content(struct sim *sim, const struct sim_content *content, const uint8_t *body,
                       size_t size);
/* Before the swap ... */
void sim_check_serve(struct sim *sim, struct sim_consumer *c, uint32_t scope,
                     const struct cfc_receiver_event *event, const struct sim_content *content);
/* ... and after it. */
void sim_check_swapped(struct sim *sim, struct sim_consumer *c, uint32_t scope,
                       const struct cfc_receiver_event *event, const struct sim_content *content);
void sim_check_release(struct sim *sim, struct sim_consumer *c, const struct sim_content *content);
void sim_check_durable(struct sim *sim, struct sim_consumer *c, uint32_t scope, uint64_t version);
/* After each of its turns: what the receiver says of itself is true. */
void sim_check_consumer(struct sim *sim, struct sim_consumer *c);
void sim_check_receiver_stats(struct sim *sim, const struct cfc_receiver_stats *stats);
void sim_check_power_lost(struct sim *sim, struct sim_consumer *c);

/* The arm of a decision that means this consumer, written apart from the receiver's choice. */
uint32_t sim_check_own_arm(struct sim *sim, const struct sim_consumer *c,
                           const struct sim_decision *d);

/* -- Liveness (expected.c): what a consumer ought to serve by now.  */
struct sim_expected {
    uint64_t version;
    const struct sim_content *content; /* NULL: whatever it served before */
    uint8_t state;                     /* enum cfc_apply_state that it ought to report */
};
struct sim_expected sim_check_expected(struct sim *sim, const struct sim_consumer *c,
                                       uint32_t scope);
/* Whether the consumer serves it, and whether the control plane knows. */
bool sim_check_is_served(struct sim *sim, const struct sim_consumer *c, uint32_t scope);
bool sim_check_is_known(struct sim *sim, const struct sim_consumer *c, uint32_t scope);

/* Refusals of a kind by all consumers so far, or by the engine. */
uint64_t sim_check_errors(struct sim *sim, int code);
uint64_t sim_check_engine_errors(struct sim *sim, int code);

#endif
