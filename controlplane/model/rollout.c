#include "controlplane/model/rollout.h"

#include <stdio.h>

enum {
    PPM = 1000000,
    SHARE_PPM_MAX_DEFAULT = 10000 /* 1 %: fleets of less than 100 tolerate nothing */
};

/* Floored, and without overflow for any count of consumers. */
static uint64_t
share(uint64_t count, uint32_t ppm)
{
    return count / PPM * ppm + count % PPM * ppm / PPM;
}

static uint32_t
limit_of(uint32_t ppm)
{
    return ppm != 0 ? ppm : SHARE_PPM_MAX_DEFAULT;
}

static uint64_t
ppm_of(uint64_t part, uint64_t whole)
{
    return whole != 0 ? part * PPM / whole : 0;
}

enum cfc_rollout_verdict
cfc_rollout_judge(const struct cfc_rollout_counts *counts, const struct cfc_rollout_limits *limits,
                  bool is_baked, char reason[CFC_REASON_SIZE_MAX + 1])
{
    uint64_t lacking = counts->alive - counts->applied;
    size_t size = CFC_REASON_SIZE_MAX + 1;

    if (ppm_of(counts->candidate_rejected, counts->candidate) >
        ppm_of(counts->stable_rejected, counts->stable) + limit_of(limits->rejected_ppm_max)) {
        snprintf(reason, size,
                 "%llu of %llu consumers of the candidate reject it, %llu of %llu of the rest",
                 (unsigned long long)counts->candidate_rejected,
                 (unsigned long long)counts->candidate, (unsigned long long)counts->stable_rejected,
                 (unsigned long long)counts->stable);
        return CFC_ROLLOUT_STOP;
    }
    if (counts->silent > share(counts->total, limit_of(limits->silent_ppm_max))) {
        snprintf(reason, size, "%llu of %llu consumers fell silent during the stage",
                 (unsigned long long)counts->silent, (unsigned long long)counts->total);
        return CFC_ROLLOUT_STOP;
    }
    if (!is_baked) {
        return CFC_ROLLOUT_WAIT;
    }
    if (counts->published_unix_ns == 0) {
        snprintf(reason, size, "the stage was not published: no engine has it");
        return CFC_ROLLOUT_STOP;
    }
    if (counts->candidate_applied == 0) {
        snprintf(reason, size, "no consumer reports that it serves the candidate");
        return CFC_ROLLOUT_STOP;
    }
    if (lacking > share(counts->alive, limit_of(limits->lacking_ppm_max))) {
        snprintf(reason, size, "%llu of %llu consumers that are alive serve the stage",
                 (unsigned long long)counts->applied, (unsigned long long)counts->alive);
        return CFC_ROLLOUT_STOP;
    }
    return CFC_ROLLOUT_GO;
}

bool
cfc_rollout_is_prepared(const struct cfc_rollout_counts *counts, enum cfc_activation activation,
                        uint32_t required_ppm, char text[CFC_REASON_SIZE_MAX + 1])
{
    bool is_timed = activation == CFC_ACTIVATE_AT;
    uint64_t prepared = is_timed ? counts->timely_prepared : counts->prepared;
    uint64_t whole = is_timed ? counts->timely : counts->alive;

    snprintf(text, CFC_REASON_SIZE_MAX + 1, "%llu of %llu consumers%s are prepared",
             (unsigned long long)prepared, (unsigned long long)whole,
             is_timed ? " with a good clock" : "");
    if (required_ppm == 0) {
        return true;
    }
    /* What is required is rounded up: 99 % of 4 are 4. */
    return counts->published_unix_ns != 0 && whole > 0 &&
           prepared >= whole - share(whole, PPM - required_ppm);
}
