/* What a change of release records does to consumer scopes, computed before it is committed.
 *
 * Every scope that has one of the changed ones as a layer gets a decision; what cannot be had (a
 * merge beyond a limit, two rollouts at once) refuses the change.  Called under the service's lock.
 */
#ifndef CFC_MODEL_IMPACT_H
#define CFC_MODEL_IMPACT_H

#include "controlplane/model/effective.h"
#include "controlplane/model/service.h"

/* Scopes that an affected one changes together with (the setting `together` of a layer that both
 * have), and that are not affected themselves: they get its version, with the contents that they
 * have. */
struct cfc_impact_together {
    struct cfc_scope **scopes;
    struct cfc_decision **decisions;
    uint32_t count;
    uint32_t capacity;
    uint64_t unix_ns;
};

struct cfc_impact {
    struct cfc_scope **affected; /* in the order of their paths */
    struct cfc_decision **decisions;
    uint32_t count;
    struct cfc_impact_together together;
};

enum {
    CFC_TOGETHER_COUNT_MAX = 64 /* scopes that change together */
};

struct cfc_impact_request {
    const struct cfc_what_if *what_if;     /* the records that change; NULL = none */
    const struct cfc_pending_doc *pending; /* the revisions that are written with them */
    struct cfc_scope *const *new_scopes;   /* the scopes that become known with them */
    uint32_t new_count;
    struct cfc_recipe *put_off; /* struct cfc_effective_pass; NULL = nothing is put off */
};

/* CONFCAST_ERR_STATE: a rollout begins where another layer's is under way (refusal->holder), or two
 * by stages among scopes that change together; LIMIT: too many of those; errors of
 * cfc_effective_decide(), CONFCAST_ERR_AGAIN with put_off only.  Free it on success. */
int cfc_impact_compute(struct cfc_service *service, const struct cfc_impact_request *request,
                       struct cfc_impact *impact, struct cfc_refusal *refusal);

/* The layers of a scope: for one that is not known yet, those that it will have, in `prefixes`.
 * CONFCAST_ERR_NO_MEMORY. */
int cfc_impact_layers(struct cfc_service *service, const struct cfc_scope *scope,
                      struct cfc_scope *prefixes[CFC_LAYER_COUNT_MAX], struct cfc_layer_set *set);

/* Adds to the commit what has to be kept of it. */
void cfc_impact_record(const struct cfc_impact *impact, struct cfc_store_batch *batch);

/* After the commit: the decisions are in force, with its sequence as their version. */
void cfc_impact_install(struct cfc_service *service, struct cfc_impact *impact, uint64_t seq);

void cfc_impact_free(struct cfc_impact *impact);

#endif
