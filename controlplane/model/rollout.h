/* Whether a rollout may go on, from what consumers report.
 *
 * Pure: counts in, a verdict and a sentence out.  Missing reports are not health: a share of nobody
 * is never enough. */
#ifndef CFC_MODEL_ROLLOUT_H
#define CFC_MODEL_ROLLOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/model/release.h"

#define CFC_ROLLOUT_AUTHOR "confcastd" /* of changes that a rollout makes by itself */

/* Shares in parts per million.  0 = the default. */
struct cfc_rollout_limits {
    uint32_t lacking_ppm_max;  /* of those alive may not serve the stage yet; 10,000 */
    uint32_t rejected_ppm_max; /* rejections in the candidate's arm above those in the stable arm;
                                * 10,000 */
    uint32_t silent_ppm_max;   /* of all may have fallen silent since the stage went out; 10,000 */
};

/* Consumers of all scopes that take part, counted once per scope.  All but `total`, `alive` and
 * `silent` follow the published head; all but `total` and `silent` are alive. */
struct cfc_rollout_counts {
    uint64_t total;
    uint64_t alive;
    uint64_t silent; /* fell silent after the published head went out */
    uint64_t prepared;
    uint64_t applied;
    uint64_t timely;          /* alive, with a clock that is right */
    uint64_t timely_prepared; /* of these */
    uint64_t candidate;       /* in the candidate's arm */
    uint64_t candidate_applied;
    uint64_t candidate_rejected;
    uint64_t stable; /* in the stable arm */
    uint64_t stable_rejected;
    uint64_t published_unix_ns; /* of the newest head; 0 = some head was never handed over */
};

enum cfc_rollout_verdict {
    CFC_ROLLOUT_WAIT,
    CFC_ROLLOUT_GO,
    CFC_ROLLOUT_STOP
};

/* A stage that is out.  Before it `is_baked` the verdict is WAIT or STOP.  STOP: `reason` gets a
 * sentence. */
enum cfc_rollout_verdict cfc_rollout_judge(const struct cfc_rollout_counts *counts,
                                           const struct cfc_rollout_limits *limits, bool is_baked,
                                           char reason[CFC_REASON_SIZE_MAX + 1]);

/* Whether enough consumers are PREPARED for the activation; of `activation` AT only those count
 * whose clock is right.  `text` gets "N of M consumers are prepared". */
bool cfc_rollout_is_prepared(const struct cfc_rollout_counts *counts,
                             enum cfc_activation activation, uint32_t required_ppm,
                             char text[CFC_REASON_SIZE_MAX + 1]);

#endif
