#include "protocol/session/scope_rx.h"

#include <string.h>

#include "confcast/error.h"

int
cfc_scope_rx_check(const struct cfc_scope_rx *scope, const struct cfc_head *head,
                   uint64_t shard_epoch, uint64_t sequence, uint64_t unix_ns,
                   enum cfc_head_verdict *verdict)
{
    uint64_t known = sequence > scope->version ? sequence : scope->version;

    if (head->scope_size != scope->path_size ||
        memcmp(head->scope, scope->path, scope->path_size) != 0) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    if (head->epoch < shard_epoch || head->epoch < scope->epoch) {
        return CONFCAST_ERR_FENCED;
    }
    if (head->version < scope->version) {
        return CONFCAST_ERR_ROLLBACK;
    }
    if (head->version == scope->version && scope->frame != NULL) {
        if (head->signed_size == scope->head.signed_size &&
            memcmp(head->signed_bytes, scope->head.signed_bytes, head->signed_size) == 0) {
            *verdict = CFC_HEAD_REPEATED;
            return CONFCAST_OK;
        }
        *verdict = CFC_HEAD_REENDORSED;
    } else {
        *verdict = CFC_HEAD_NEWER;
    }
    if (head->version > known && head->version - known > CFC_VERSION_JUMP_MAX) {
        return CONFCAST_ERR_JUMP;
    }
    if (head->issued_unix_ns > unix_ns && head->issued_unix_ns - unix_ns > CFC_HEAD_SKEW_MAX_NS) {
        return CONFCAST_ERR_NOT_YET_VALID;
    }
    if (head->not_after_unix_ns != 0 && unix_ns > head->not_after_unix_ns) {
        return CONFCAST_ERR_EXPIRED;
    }
    return CONFCAST_OK;
}

static bool
has_label(const struct cfc_label *labels, uint32_t label_count, const struct cfc_arm *arm)
{
    for (uint32_t i = 0; i < label_count; i++) {
        if (labels[i].key_size == arm->label_key_size &&
            labels[i].value_size == arm->label_value_size &&
            memcmp(labels[i].key, arm->label_key, arm->label_key_size) == 0 &&
            memcmp(labels[i].value, arm->label_value, arm->label_value_size) == 0) {
            return true;
        }
    }
    return false;
}

uint8_t
cfc_scope_rx_choose_arm(const struct cfc_head *head, struct cfc_sha256 *sha, const char *id,
                        size_t id_size, const struct cfc_label *labels, uint32_t label_count)
{
    uint32_t cohort = cfc_cohort(sha, head->rollout_salt, id, id_size);

    for (uint8_t i = 0; i < head->arm_count; i++) {
        const struct cfc_arm *arm = &head->arms[i];

        if (arm->selector == CFC_SELECT_ALL ||
            (arm->selector == CFC_SELECT_COHORT && cohort < arm->threshold) ||
            (arm->selector == CFC_SELECT_LABEL && has_label(labels, label_count, arm))) {
            return i;
        }
    }
    /* Unreachable: the last arm of a decoded head is for all. */
    return (uint8_t)(head->arm_count - 1);
}

bool
cfc_scope_rx_latch(struct cfc_scope_rx *scope, uint64_t unix_ns)
{
    const struct cfc_head *head = &scope->head;
    bool was_active = scope->is_active, was_reverted = scope->is_reverted;

    if (scope->frame == NULL) {
        return false;
    }
    if (head->activation == CFC_ACTIVATE_NOW ||
        (head->activation == CFC_ACTIVATE_AT && unix_ns >= head->activate_unix_ns)) {
        scope->is_active = true;
    }
    if (scope->is_active && head->confirm_by_unix_ns != 0 && unix_ns >= head->confirm_by_unix_ns &&
        !cfc_digest_is_zero(&head->arms[scope->arm].fallback)) {
        scope->is_reverted = true;
    }
    return scope->is_active != was_active || scope->is_reverted != was_reverted;
}

uint64_t
cfc_scope_rx_next_latch(const struct cfc_scope_rx *scope)
{
    const struct cfc_head *head = &scope->head;

    if (scope->frame == NULL) {
        return CFC_NEVER;
    }
    if (!scope->is_active) {
        return head->activation == CFC_ACTIVATE_AT ? head->activate_unix_ns : CFC_NEVER;
    }
    if (!scope->is_reverted && head->confirm_by_unix_ns != 0 &&
        !cfc_digest_is_zero(&head->arms[scope->arm].fallback)) {
        return head->confirm_by_unix_ns;
    }
    return CFC_NEVER;
}

bool
cfc_scope_rx_is_waiting(const struct cfc_scope_rx *scope)
{
    return scope->frame != NULL && !scope->is_active;
}

const struct cfc_digest *
cfc_scope_rx_named(const struct cfc_scope_rx *scope, enum cfc_scope_role role)
{
    const struct cfc_arm *arm = &scope->head.arms[scope->arm];

    return role == CFC_SCOPE_CONTENT ? &arm->content : &arm->fallback;
}

enum cfc_scope_role
cfc_scope_rx_role(const struct cfc_scope_rx *scope, const struct cfc_digest *content)
{
    return cfc_digest_equal(content, cfc_scope_rx_named(scope, CFC_SCOPE_CONTENT))
               ? CFC_SCOPE_CONTENT
               : CFC_SCOPE_FALLBACK;
}

const struct cfc_digest *
cfc_scope_rx_target(const struct cfc_scope_rx *scope, uint8_t *state)
{
    const struct cfc_arm *arm;

    *state = CFC_APPLY_NONE;
    if (scope->frame == NULL) {
        return NULL;
    }
    arm = &scope->head.arms[scope->arm];
    if (!scope->is_active) {
        *state = CFC_APPLY_PREPARED;
        return cfc_digest_is_zero(&arm->fallback) ? NULL : &arm->fallback;
    }
    if (scope->is_reverted) {
        *state = CFC_APPLY_REVERTED;
        return &arm->fallback;
    }
    *state = CFC_APPLY_APPLIED;
    return &arm->content;
}

static bool
is_refused(const struct cfc_scope_rx *scope, enum cfc_scope_role role)
{
    return scope->rejections[role].reason != CONFCAST_OK;
}

static uint8_t
apply_state(const struct cfc_scope_rx *scope, const struct cfc_entry *arm_entry)
{
    bool is_served = scope->serving != NULL && scope->serving_version == scope->version;

    if (scope->version == 0) {
        return CFC_APPLY_NONE;
    }
    if (is_served && scope->serving_state == CFC_APPLY_REVERTED) {
        return CFC_APPLY_REVERTED;
    }
    if (is_refused(scope, CFC_SCOPE_CONTENT) && !scope->is_reverted) {
        bool is_set_aside = scope->rejections[CFC_SCOPE_CONTENT].reason == CONFCAST_ERR_CRASH_LOOP;

        /* Invariant 5: what stands in for a version that was set aside is never "applied". */
        return is_set_aside && scope->serving != NULL ? CFC_APPLY_DEGRADED : CFC_APPLY_REJECTED;
    }
    /* While the arm waits, its fallback is what is to be served. */
    if (is_refused(scope, CFC_SCOPE_FALLBACK) &&
        (scope->is_reverted || cfc_scope_rx_is_waiting(scope))) {
        return CFC_APPLY_REJECTED;
    }
    if (cfc_scope_rx_is_waiting(scope)) {
        return arm_entry != NULL && arm_entry->state == CFC_ENTRY_HELD ? CFC_APPLY_PREPARED
                                                                       : CFC_APPLY_RECEIVING;
    }
    return is_served && !scope->is_reverted && scope->serving_state == CFC_APPLY_APPLIED &&
                   cfc_digest_equal(&scope->serving->id,
                                    cfc_scope_rx_named(scope, CFC_SCOPE_CONTENT))
               ? CFC_APPLY_APPLIED
               : CFC_APPLY_RECEIVING;
}

static int
shown_reason(const struct cfc_scope_rx *scope)
{
    for (int role = 0; role < CFC_SCOPE_ROLES; role++) {
        if (is_refused(scope, (enum cfc_scope_role)role)) {
            return scope->rejections[role].reason;
        }
    }
    /* By a key that is not known here FRESH says nothing either: a fleet file that is too old. */
    return scope->published > scope->version || (scope->head_error == CONFCAST_ERR_AUTHORITY &&
                                                 scope->freshness == CFC_FRESHNESS_CONTROL_SILENT)
               ? scope->head_error
               : CONFCAST_OK;
}

void
cfc_scope_rx_report(const struct cfc_scope_rx *scope, const struct cfc_entry *arm_entry,
                    struct cfc_report_entry *out)
{
    memset(out, 0, sizeof(*out));
    out->scope_id = scope->id;
    out->epoch = scope->epoch;
    out->accepted = scope->version;
    out->durable = scope->durable;
    out->arm = scope->arm;
    out->state = apply_state(scope, arm_entry);
    if (scope->serving != NULL) {
        out->serving_version = scope->serving_version;
        out->serving_content = cfc_digest_key(&scope->serving->id);
        if (scope->serving->is_from_disk) {
            out->flags |= CFC_REPORT_FLAG_FROM_DISK;
        }
    }
    out->reason = (uint16_t)-shown_reason(scope);
    if (scope->freshness == CFC_FRESHNESS_STALE) {
        out->flags |= CFC_REPORT_FLAG_STALE;
    } else if (scope->freshness == CFC_FRESHNESS_CONTROL_SILENT) {
        out->flags |= CFC_REPORT_FLAG_CONTROL_SILENT;
    }
}
