#include "controlplane/model/decision.h"

#include <stdlib.h>

struct cfc_config_body *
cfc_config_body_ref(struct cfc_config_body *content)
{
    atomic_fetch_add_explicit(&content->ref_count, 1, memory_order_relaxed);
    return content;
}

void
cfc_config_body_unref(struct cfc_config_body *content)
{
    if (content != NULL &&
        atomic_fetch_sub_explicit(&content->ref_count, 1, memory_order_acq_rel) == 1) {
        free(content);
    }
}

struct cfc_decision *
cfc_decision_ref(struct cfc_decision *decision)
{
    atomic_fetch_add_explicit(&decision->ref_count, 1, memory_order_relaxed);
    return decision;
}

void
cfc_decision_unref(struct cfc_decision *decision)
{
    if (decision == NULL ||
        atomic_fetch_sub_explicit(&decision->ref_count, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < decision->arm_count; i++) {
        cfc_config_body_unref(decision->arms[i].content);
        cfc_config_body_unref(decision->arms[i].fallback);
    }
    free(decision);
}

const char *
cfc_decision_kind_word(enum cfc_head_kind kind)
{
    switch (kind) {
    case CFC_HEAD_NORMAL:
        return "normal";
    case CFC_HEAD_ROLLBACK:
        return "rollback";
    case CFC_HEAD_DISABLED:
        return "disabled";
    case CFC_HEAD_DELETED:
        return "deleted";
    }
    return "?";
}
