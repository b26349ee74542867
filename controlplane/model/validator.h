/* Validator commands: programs of the operator's that judge a candidate effective config.
 *
 * A job holds all that a run needs, so that it runs without the service's lock.  The program gets
 * the config on standard input, canonical JSON; exit status 0 accepts it, anything else refuses it,
 * and the first line that it prints says why.  No shell; an environment of PATH, LANG and
 * CONFCAST_SCOPE; no descriptors but 0, 1, 2; no new privileges; a process group of its own, which
 * is killed whole at its end, together with what left the group: the process of the caller becomes
 * the reaper of orphans for that, and must have no other children.  Limits on address space, CPU
 * time, files, and what it may print. */
#ifndef CFC_MODEL_VALIDATOR_H
#define CFC_MODEL_VALIDATOR_H

#include <stdatomic.h>

#include "controlplane/model/decision.h"
#include "controlplane/model/rules.h"

enum {
    CFC_VALIDATOR_OUTPUT_MAX = 64 * 1024, /* bytes it may print */
    CFC_VALIDATOR_MESSAGE_MAX = 600,      /* bytes of them that are kept, with the NUL */
    CFC_VALIDATOR_JOB_COUNT_MAX = 64,     /* runs for one change */
};

struct cfc_validator_job {
    char *argv[CFC_VALIDATOR_ARG_COUNT_MAX + 2]; /* the path first; NULL at the end; owned */
    char scope[CFC_SCOPE_SIZE_MAX + 1];          /* whose settings name it */
    uint64_t settings_revision;
    size_t idx; /* in those settings */
    uint32_t timeout_ms;
    uint32_t memory_mb;
    struct cfc_config_body *body; /* a reference */
};

/* Runs a job to its end, until its own timeout or `deadline_ns`, whichever is first, or until
 * `is_interrupted` (NULL = never), which is looked at ten times a second.  CONFCAST_OK:
 * accepted.  CONFCAST_ERR_VALIDATION: refused, killed at a limit, or it could not be run; `message`
 * says which.  CONFCAST_ERR_RESOURCE, _NO_MEMORY: the system refuses a process. */
int cfc_validator_run(const struct cfc_validator_job *job, uint64_t deadline_ns,
                      const atomic_bool *is_interrupted, char message[CFC_VALIDATOR_MESSAGE_MAX]);

/* The clock of the deadline: monotonic. */
uint64_t cfc_validator_now_ns(void);

void cfc_validator_job_free(struct cfc_validator_job *job);

#endif
