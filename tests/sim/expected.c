/* Liveness: what a consumer ought to serve by now, by what the store holds. */
#include "confcast/error.h"
#include "tests/sim/checkers.h"
#include "tests/sim/sim.h"

/* Whether a consumer refuses a content before it holds it: the bytes are bad, or it is of the half
 * of the fleet that validates then. */
static bool
is_refused_early(const struct sim_consumer *c, const struct sim_content *content)
{
    return content->kind == SIM_DOCUMENT_BROKEN ||
           (content->kind == SIM_DOCUMENT_UNLIKED && c->idx % 4 < 2);
}

struct sim_expected
sim_check_expected(struct sim *sim, const struct sim_consumer *c, uint32_t scope)
{
    struct cfc_now now = sim_consumer_now(c);
    struct sim_decision d = sim_store_decide(&sim->store.state, scope, &sim->catalog);
    const struct sim_decision_arm *arm;
    struct sim_expected expected = {.version = d.version, .state = CFC_APPLY_NONE};
    const struct sim_when *when = &d.when;

    if (d.version == 0) {
        return expected;
    }
    arm = &d.arms[sim_check_own_arm(sim, c, &d)];
    if (when->activation == CFC_ACTIVATE_HOLD ||
        (when->activation == CFC_ACTIVATE_AT && now.unix_ns < when->activate_unix_ns)) {
        expected.content = arm->fallback;
        expected.state = CFC_APPLY_PREPARED;
    } else if (when->confirm_by_unix_ns != 0 && arm->fallback != NULL &&
               now.unix_ns >= when->confirm_by_unix_ns) {
        expected.content = arm->fallback;
        expected.state = CFC_APPLY_REVERTED;
    } else {
        expected.content = arm->content;
        expected.state = CFC_APPLY_APPLIED;
    }
    if ((expected.content != NULL && expected.content->kind != SIM_DOCUMENT_GOOD) ||
        (expected.state == CFC_APPLY_PREPARED && is_refused_early(c, arm->content))) {
        expected.state = CFC_APPLY_REJECTED;
    }
    if (expected.content != NULL && expected.content->kind != SIM_DOCUMENT_GOOD) {
        expected.content = NULL; /* the last good one stays */
    }
    return expected;
}

bool
sim_check_is_served(struct sim *sim, const struct sim_consumer *c, uint32_t scope)
{
    struct sim_expected expected = sim_check_expected(sim, c, scope);
    struct cfc_receiver_scope now;

    if (c->receiver == NULL ||
        cfc_receiver_scope(c->receiver, c->scope_idx[scope], &now) != CONFCAST_OK) {
        return false;
    }
    return now.entry.accepted == expected.version && now.entry.state == expected.state &&
           (expected.content == NULL || c->serving[scope] == expected.content);
}

bool
sim_check_is_known(struct sim *sim, const struct sim_consumer *c, uint32_t scope)
{
    struct sim_expected expected = sim_check_expected(sim, c, scope);
    const struct sim_apply *apply;

    if (sim->connected == NULL) {
        return false;
    }
    apply = &sim->connected->enrolled[c->idx].scopes[scope];
    return apply->is_known && apply->entry.accepted == expected.version &&
           apply->entry.state == expected.state &&
           apply->entry.serving_content == (c->serving[scope] != NULL ? c->serving[scope]->key : 0);
}

uint64_t
sim_check_errors(struct sim *sim, int code)
{
    uint64_t count = sim->check.errors[-code];

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        if (sim->consumers[i].receiver != NULL) {
            count += cfc_receiver_stats(sim->consumers[i].receiver)->errors[-code];
        }
    }
    return count;
}

uint64_t
sim_check_engine_errors(struct sim *sim, int code)
{
    uint64_t count = sim->check.engine_errors[-code];

    return sim->engine.sender != NULL ? count + cfc_sender_stats(sim->engine.sender)->errors[-code]
                                      : count;
}
