/* The control plane's owners in the simulator: each reads the store model, signs what it decides,
 * hands it to the engine as the product's publisher does, and counts what reports say.
 *
 * At most one owner is connected to the engine.  An owner that was fenced (a zombie) may go on
 * trying all the same. */
#ifndef TESTS_SIM_CONTROL_H
#define TESTS_SIM_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/session/sender.h"
#include "protocol/wire/report.h"
#include "tests/sim/store.h"

struct sim;

#define SIM_FRESH_PERIOD_NS (1000 * CFC_MS)

/* What the control plane knows of one consumer and scope. */
struct sim_apply {
    bool is_known;
    struct cfc_report_entry entry;
    uint64_t highest_applied;
};

struct sim_enrolled {
    bool is_seen;
    uint64_t incarnation;
    uint64_t report_seq;
    struct sim_apply scopes[SIM_SCOPE_COUNT];
};

struct sim_handed {
    const struct sim_content *content;
    bool is_named; /* by a head in force */
};

struct sim_control {
    struct sim *sim;
    uint32_t number;
    bool is_alive;
    bool is_frozen; /* alive, but signs no FRESH (a stuck signer) */
    bool is_behind; /* some consumer proved a head beyond our sequence: we publish nothing */
    uint64_t epoch;
    struct sim_state state;  /* as this owner read and wrote it */
    uint64_t beacon_unix_ns; /* time of its last FRESH; strictly upwards, as receivers demand */
    uint64_t generation;     /* of its timer, so that a dead owner's does not fire */
    uint64_t proved_version;
    uint64_t proved_epoch;
    struct sim_enrolled *enrolled; /* by consumer; what reports said since this owner began */
    struct sim_handed handed[64];  /* contents in the engine */
    uint32_t handed_count;
    uint64_t sent_versions[SIM_SCOPE_COUNT]; /* heads in the engine */
    /* ... and what they name for those that no other arm takes. */
    const struct sim_content *bases[SIM_SCOPE_COUNT];
    uint64_t deltas;  /* codings of that kind that it handed over, to be sent to all */
    uint64_t refused; /* FENCED answers of the engine */
    uint64_t reports;
    uint64_t reports_old; /* overtaken ones */
    uint64_t tags_refused;
};

void sim_control_init(struct sim_control *control, struct sim *sim, uint32_t number);
void sim_control_close(struct sim_control *control);

/* Becomes the owner: takes the token, reads the store, connects to the engine. */
void sim_control_start(struct sim_control *control);
void sim_control_kill(struct sim_control *control);
/* Connects an owner, fenced or not, to the engine: hands everything over. */
void sim_control_connect(struct sim_control *control);

/* Commits a change and publishes it.  CONFCAST_OK; FENCED: another owner took the token;
 * CONFCAST_ERR_STATE: refused because the fleet has seen more than this store has. */
int sim_control_commit(struct sim_control *control, const struct sim_state *next);

/* Signs and hands over FRESH once more, now. */
void sim_control_beacon(struct sim_control *control);

/* -- From the engine */
void sim_control_engine_started(struct sim *sim);
void sim_control_on_upcall(struct sim *sim, const struct cfc_upcall *upcall);

/* A HELLO or a REPORT that came to the connected owner itself. */
void sim_control_on_pulled(struct sim *sim, const struct cfc_upcall *upcall);

/* The engine's cache drops a content that a head in force names. */
void sim_control_lose_content(struct sim_control *control, const struct sim_content *content);

/* The HEAD frame of a decision, its size. */
size_t sim_control_make_head(const struct sim_control *control, const struct sim_decision *decision,
                             uint8_t *frame, size_t capacity);

/* Consumers that serve `version` of a scope as their arm of it, by what they reported. */
uint32_t sim_control_applied(const struct sim_control *control, uint32_t scope, uint64_t version);

/* The FRESH frame of a state, its size. */
size_t sim_control_make_fresh(struct sim *sim, const struct cfc_signer *signer,
                              const struct sim_state *state, uint64_t time_unix_ns, uint8_t *frame,
                              size_t capacity);

#endif
