/* Whether what a change would publish may be published: schemas, limits, and the validator commands
 * that have to be asked.  Called under the service's lock. */
#ifndef CFC_MODEL_VALIDATE_H
#define CFC_MODEL_VALIDATE_H

#include "controlplane/model/impact.h"
#include "controlplane/model/validator.h"

enum {
    CFC_VALIDATION_COUNT_MAX = 2,        /* at a time: they hold threads that others need */
    CFC_VALIDATION_TIME_MAX_MS = 120000, /* of all runs of one change */
};

/* The runs that a change needs. */
struct cfc_validation {
    bool is_override;   /* limits against the active config do not count */
    bool has_promote;   /* what it reaches is held to consumers_max */
    bool is_advance;    /* what a candidate's arm has already is judged again: by schemas and
                         * validators,  which may have changed since; limits are for what is new */
    bool has_new_rules; /* everything is judged: other layers have other rules */
    const atomic_bool *is_interrupted; /* the service's; set with the first job */
    struct cfc_validator_job *jobs;
    size_t job_count;
};

/* Judges every content of the impact that no consumer was given yet (`is_advance`: that is not what
 * the stable arm has), by the rules of every layer of
 * its scope, and adds the validators that have to be asked.  CONFCAST_ERR_SCHEMA_MISMATCH,
 * _VALIDATION (a limit, or no folder of validators), _LIMIT (too many runs); `refusal` says where.
 */
int cfc_validate_impact(struct cfc_service *service, const struct cfc_impact *impact,
                        struct cfc_validation *validation, struct cfc_refusal *refusal);

/* The same for one scope that gets other layers, with the decision that follows. */
int cfc_validate_layers(struct cfc_service *service, const struct cfc_scope *scope,
                        const struct cfc_layer_set *set, const struct cfc_decision *decision,
                        struct cfc_validation *validation, struct cfc_refusal *refusal);

/* Every run of `needed` is one of `done`. */
bool cfc_validation_covers(const struct cfc_validation *done, const struct cfc_validation *needed);

/* Runs all jobs, without the lock.  The error of the first that does not accept; CONFCAST_ERR_BUSY:
 * CFC_VALIDATION_COUNT_MAX others run theirs; CONFCAST_ERR_VALIDATION also when all of them
 * together take more than CFC_VALIDATION_TIME_MAX_MS. */
int cfc_validation_run(const struct cfc_validation *validation, struct cfc_refusal *refusal);

void cfc_validation_free(struct cfc_validation *validation);

#endif
