/* Settings, and approvals of revisions: four eyes before a promotion. */
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/definition.h"
#include "controlplane/model/rules.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/scope.h"

enum {
    APPROVED_COUNT_MAX = 64 /* approvals that are kept of one revision */
};

/* What counts for a scope: its own setting, or that of the nearest scope above it. */
static uint32_t
required_for(struct cfc_service *service, const char *path)
{
    const struct cfc_settings *settings =
        cfc_settings_inherited(&service->catalog, path, CFC_SETTING_APPROVAL);

    return settings != NULL ? settings->approval_count : 0;
}

/* ---- Approvals --------------------------------------------------------------------------------
 */

/* The record of who approved a revision; a new one when nobody did. */
static int
read_approvals(struct cfc_service *service, const char *path,
               const struct cfc_definition_meta *meta, json_t **record, uint64_t *mod_seq)
{
    struct cfc_record_key key = cfc_record_key_numbered('o', path, meta->revision);
    char digest[65];
    int error;

    *mod_seq = 0;
    cfc_digest_to_hex(&meta->digest, digest);
    error = cfc_record_get(service->store, &key, record, mod_seq);
    if (error == CONFCAST_ERR_NOT_FOUND) {
        *record = json_pack("{ss s[]}", "digest", digest, "by");
        return *record != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    }
    if (error == CONFCAST_OK && (!json_is_array(json_object_get(*record, "by")) ||
                                 !json_is_string(json_object_get(*record, "digest")))) {
        json_decref(*record);
        *record = NULL;
        error = CONFCAST_ERR_CORRUPT;
    }
    return error;
}

static bool
is_among(const json_t *by, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach(by, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), name) == 0) {
            return true;
        }
    }
    return false;
}

/* Approvals of this very digest; its author is never among them. */
static uint32_t
count_approvals(const json_t *record, const struct cfc_definition_meta *meta)
{
    char digest[65];

    cfc_digest_to_hex(&meta->digest, digest);
    if (strcmp(json_string_value(json_object_get(record, "digest")), digest) != 0) {
        return 0;
    }
    return (uint32_t)json_array_size(json_object_get(record, "by"));
}

int
cfc_approval_check(struct cfc_service *service, const struct cfc_scope *scope, uint64_t revision,
                   bool is_pending, struct cfc_refusal *refusal)
{
    struct cfc_definition_meta meta;
    json_t *record = NULL;
    uint32_t required = required_for(service, scope->path);
    uint32_t count = 0;
    uint64_t mod_seq;
    int error;

    if (required == 0) {
        return CONFCAST_OK;
    }
    if (!is_pending) {
        error = cfc_definition_read_meta(service->store, scope->path, revision, &meta);
        if (error == CONFCAST_OK) {
            error = read_approvals(service, scope->path, &meta, &record, &mod_seq);
        }
        if (error != CONFCAST_OK) {
            return error;
        }
        count = count_approvals(record, &meta);
        json_decref(record);
    }
    if (count >= required) {
        return CONFCAST_OK;
    }
    if (refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message),
                 "revision %llu has %u of %u approvals by others than its author",
                 (unsigned long long)revision, count, required);
        cfc_refusal_release(refusal, scope);
    }
    return CONFCAST_ERR_APPROVAL;
}

static int
refuse(struct cfc_refusal *refusal, int error, const char *message)
{
    cfc_refusal_say(refusal, message);
    return error;
}

/* Whether the author of the change may approve this revision by this digest. */
static int
check_approver(const struct cfc_change_state *state, const struct cfc_definition_meta *meta,
               const struct cfc_digest *digest, const json_t *by, struct cfc_refusal *refusal)
{
    if (meta->is_tombstone) {
        return refuse(refusal, CONFCAST_ERR_NOT_FOUND, "the revision is a tombstone");
    }
    if (!cfc_digest_equal(&meta->digest, digest)) {
        return refuse(refusal, CONFCAST_ERR_CONFLICT,
                      "the revision has another digest: read it again");
    }
    if (strcmp(state->author, meta->author) == 0) {
        return refuse(refusal, CONFCAST_ERR_APPROVAL,
                      "authors cannot approve what they wrote themselves");
    }
    if (state->change->author == NULL || strcmp(state->author, "anonymous") == 0) {
        return refuse(refusal, CONFCAST_ERR_APPROVAL, "an approval needs a name");
    }
    if (is_among(by, state->author)) {
        return refuse(refusal, CONFCAST_ERR_EXISTS, "you have approved this revision already");
    }
    if (json_array_size(by) >= APPROVED_COUNT_MAX) {
        return refuse(refusal, CONFCAST_ERR_LIMIT, "the revision has too many approvals");
    }
    return CONFCAST_OK;
}

static int
commit_approval(struct cfc_service *service, const struct cfc_change_state *state, const char *path,
                const struct cfc_approval *approval, json_t *record, uint64_t mod_seq)
{
    struct cfc_record_key key = cfc_record_key_numbered('o', path, approval->revision);
    struct cfc_store_batch batch;
    uint64_t seq;
    int error;

    cfc_store_batch_init(&batch);
    cfc_record_guard(&batch, &key, mod_seq);
    cfc_record_put(&batch, &key, json_incref(record));
    cfc_change_record(service, state, &batch, "approve", path, approval->revision,
                      json_pack("{sI sI}", "count", (json_int_t)approval->count, "required",
                                (json_int_t)approval->required));
    error = cfc_service_commit(service, &batch, &seq);
    cfc_store_batch_clear(&batch);
    return error;
}

/* The first answer again. */
static int
read_answer(const json_t *answer, struct cfc_approval *approval)
{
    uint64_t count;
    uint64_t required;

    if (!cfc_record_u64(answer, "count", &count) ||
        !cfc_record_u64(answer, "required", &required)) {
        return CONFCAST_ERR_CORRUPT;
    }
    approval->count = (uint32_t)count;
    approval->required = (uint32_t)required;
    approval->is_replay = true;
    return CONFCAST_OK;
}

/* Under the lock. */
static int
approve(struct cfc_service *service, const struct cfc_change_state *state, const char *path,
        const struct cfc_digest *digest, struct cfc_approval *approval, struct cfc_refusal *refusal)
{
    struct cfc_definition_meta meta;
    struct cfc_scope *scope;
    json_t *record = NULL;
    json_t *answer;
    json_t *by;
    uint64_t mod_seq;
    uint64_t seq;
    int error = cfc_change_replay(service, state, &answer, &seq);

    if (error == CONFCAST_OK) {
        error = read_answer(answer, approval);
        json_decref(answer);
        return error;
    }
    if (error == CONFCAST_ERR_NOT_FOUND) {
        error = cfc_service_find(service, path, &scope);
    }
    if (error == CONFCAST_OK) {
        error = cfc_definition_read_meta(service->store, path, approval->revision, &meta);
    }
    if (error == CONFCAST_OK) {
        error = read_approvals(service, path, &meta, &record, &mod_seq);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    by = json_object_get(record, "by");
    error = check_approver(state, &meta, digest, by, refusal);
    if (error == CONFCAST_OK && json_array_append_new(by, json_string(state->author)) != 0) {
        error = CONFCAST_ERR_NO_MEMORY;
    }
    if (error == CONFCAST_OK) {
        approval->count = count_approvals(record, &meta);
        approval->required = required_for(service, path);
        error = state->change->is_dry_run
                    ? CONFCAST_OK
                    : commit_approval(service, state, path, approval, record, mod_seq);
    }
    json_decref(record);
    return error;
}

int
cfc_service_approve(struct cfc_service *service, const struct cfc_change *change, const char *path,
                    uint64_t revision, const struct cfc_digest *digest,
                    struct cfc_approval *approval, struct cfc_refusal *refusal)
{
    char number[24];
    const char *parts[] = {"approve", path, number, change->message != NULL ? change->message : "",
                           NULL};
    struct cfc_change_state state;
    int error;

    memset(approval, 0, sizeof(*approval));
    snprintf(number, sizeof(number), "%llu", (unsigned long long)revision);
    error = cfc_change_begin(&state, change, parts, digest->bytes, sizeof(digest->bytes));
    if (error == CONFCAST_OK) {
        error = cfc_service_enter(service);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    approval->revision = revision;
    error = approve(service, &state, path, digest, approval, refusal);
    cfc_service_leave(service);
    return error;
}
