/* The store model: what a shard's owner has committed, and what follows from it.
 *
 * It is written apart from the control plane, as small as the design allows: one shard, one tenant
 * layer under a few consumer scopes with a layer each.  A state is a plain value, so that a backup
 * is a copy.  A commit compares the owner's epoch first (the fencing token), then appends.  Every
 * commit leaves a *reference*: the decision that it means for each scope it touches, encoded by
 * somebody who is not the publisher.  Checkers hold all that is sent and accepted against these. */
#ifndef TESTS_SIM_STORE_H
#define TESTS_SIM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/wire/head.h"
#include "tests/sim/catalog.h"

enum {
    SIM_SHARD = 0,
    SIM_SCOPE_COUNT = 3,
    SIM_LAYER_TENANT = 0,
    SIM_LAYER_COUNT = 1 + SIM_SCOPE_COUNT, /* the own layer of scope s is 1 + s */
    SIM_REFERENCES_MAX = 4096
};

enum sim_layer_state {
    SIM_LAYER_EMPTY,
    SIM_LAYER_ACTIVE,
    SIM_LAYER_ROLLING,
    SIM_LAYER_DISABLED
};

/* When a change counts. */
struct sim_when {
    uint8_t activation; /* enum cfc_activation */
    uint64_t activate_unix_ns;
    uint64_t confirm_by_unix_ns; /* 0 = none */
    uint64_t not_after_unix_ns;  /* 0 = never */
};

struct sim_layer {
    enum sim_layer_state state;
    uint32_t active;   /* documents */
    uint32_t previous; /* before the last change of `active` */
    uint32_t candidate;
    uint32_t threshold;      /* of the candidate's cohort */
    const char *label_value; /* of "zone", instead of a cohort; NULL = cohort */
    uint64_t salt;
    uint64_t version; /* of its last released change; 0 = none yet */
    uint8_t kind;     /* enum cfc_head_kind */
    struct sim_when when;
    uint64_t changed_unix_ns;
};

struct sim_state {
    uint64_t sequence;
    uint64_t epoch; /* of the owner, the fencing token */
    struct sim_layer layers[SIM_LAYER_COUNT];
};

/* What is decided for one scope. */
struct sim_decision {
    uint32_t scope;
    uint64_t version; /* 0 = nothing is decided yet */
    uint8_t kind;
    struct sim_when when;
    uint64_t issued_unix_ns;
    uint64_t salt;
    uint32_t arm_count;
    struct sim_decision_arm {
        uint8_t selector;
        uint32_t threshold;
        const char *label_value;
        const struct sim_content *content;
        const struct sim_content *fallback; /* NULL = none */
    } arms[2];
};

struct sim_reference {
    uint32_t scope;
    uint64_t version;
    uint64_t epoch; /* of the commit */
    uint64_t committed_ns;
    struct sim_decision decision;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t frame_size;
    struct cfc_head head; /* decoded, points into `frame` */
};

struct sim_store {
    struct sim_world *world;
    struct sim_catalog *catalog;
    struct sim_state state;
    struct sim_reference *references[SIM_REFERENCES_MAX];
    uint32_t reference_count;
    uint64_t scope_ids[SIM_SCOPE_COUNT];
    struct sim_state backup;
    uint64_t refused_commits; /* of fenced owners */
};

const char *sim_scope_path(uint32_t scope);

void sim_store_init(struct sim_store *store, struct sim_world *world, struct sim_catalog *catalog);
void sim_store_close(struct sim_store *store);

/* The pure function from a state to the decision for a scope. */
struct sim_decision sim_store_decide(const struct sim_state *state, uint32_t scope,
                                     struct sim_catalog *catalog);

/* The head of a decision at an epoch, without its inline content.  Its pointers live as long as the
 * catalog. */
struct cfc_head sim_store_head(const struct sim_decision *decision, uint64_t epoch);

/* Takes the token: a higher epoch than any before.  Returns it. */
uint64_t sim_store_take_over(struct sim_store *store);

/* Commits `next`, which was derived from store->state: CONFCAST_OK, or CONFCAST_ERR_FENCED when
 * `epoch` is no longer the owner's. */
int sim_store_commit(struct sim_store *store, uint64_t epoch, const struct sim_state *next);

/* The reference of a version of a scope, or NULL when that was never committed. */
const struct sim_reference *sim_store_find(const struct sim_store *store, uint32_t scope,
                                           uint64_t version);

/* The scope with this path or id; SIM_SCOPE_COUNT when it is none of ours. */
uint32_t sim_store_scope_of(const struct sim_store *store, uint64_t scope_id);

void sim_store_take_backup(struct sim_store *store);
/* Puts the backup in place of the state, as an operator would who has lost the disk.  With `lift`,
 * which must lie above whatever was published, everything released gets a new version beyond it and
 * the epoch rises above `epoch_seen`; without (0), the store comes back as it was. */
void sim_store_restore(struct sim_store *store, uint64_t lift, uint64_t epoch_seen);

/* Changes of a layer; each takes the next sequence number. */
void sim_store_publish(struct sim_state *state, uint32_t layer, uint32_t document,
                       const struct sim_when *when, uint64_t unix_ns);
void sim_store_roll(struct sim_state *state, uint32_t layer, uint32_t document, uint32_t percent,
                    const char *label_value, uint64_t unix_ns);
void sim_store_advance(struct sim_state *state, uint32_t layer, uint32_t percent,
                       uint64_t unix_ns); /* 100 ends the rollout */
void sim_store_abort(struct sim_state *state, uint32_t layer, uint64_t unix_ns);
void sim_store_rollback(struct sim_state *state, uint32_t layer, uint64_t unix_ns);
void sim_store_disable(struct sim_state *state, uint32_t layer, uint64_t unix_ns);
void sim_store_enable(struct sim_state *state, uint32_t layer, uint64_t unix_ns);
/* Confirms or activates what is active. */
void sim_store_settle(struct sim_state *state, uint32_t layer, uint64_t unix_ns);

#endif
