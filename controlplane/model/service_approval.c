/* Settings, and approvals of revisions: four eyes before a promotion. */
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/definition.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/scope.h"

enum {
    APPROVED_COUNT_MAX = 64 /* approvals that are kept of one revision */
};

/* ---- Settings ---------------------------------------------------------------------------------
 */

/* What one scope sets; all zero when it sets nothing. */
static int
read_settings(struct cfc_service *service, const char *path, struct cfc_settings *settings)
{
    struct cfc_record_key key = cfc_record_key_named('e', path);
    uint64_t approval = 0;
    json_t *record;
    int error;

    memset(settings, 0, sizeof(*settings));
    error = cfc_record_get(service->store, &key, &record, &settings->version);
    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_OK : error;
    }
    settings->has_approval = json_object_get(record, "approval") != NULL;
    if (settings->has_approval &&
        (!cfc_record_u64(record, "approval", &approval) || approval > CFC_APPROVAL_COUNT_MAX)) {
        error = CONFCAST_ERR_CORRUPT;
    }
    settings->approval_count = (uint32_t)approval;
    json_decref(record);
    return error;
}

/* What counts for a scope: its own setting, or that of the nearest scope above it. */
static int
read_required(struct cfc_service *service, const char *path, uint32_t *required)
{
    char prefix[CFC_SCOPE_SIZE_MAX + 1];

    *required = 0;
    snprintf(prefix, sizeof(prefix), "%s", path);
    for (;;) {
        struct cfc_settings settings;
        int error = read_settings(service, prefix, &settings);
        char *slash = strrchr(prefix, '/');

        if (error != CONFCAST_OK || settings.has_approval) {
            *required = settings.approval_count;
            return error;
        }
        if (slash == NULL) {
            return CONFCAST_OK;
        }
        *slash = '\0';
    }
}

int
cfc_service_get_settings(struct cfc_service *service, const char *path,
                         struct cfc_settings *settings)
{
    int error = cfc_scope_check(path, strlen(path));

    memset(settings, 0, sizeof(*settings));
    if (error == CONFCAST_OK) {
        error = cfc_service_enter(service);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    error = read_settings(service, path, settings);
    cfc_service_leave(service);
    return error;
}

static json_t *
settings_json(const struct cfc_settings *settings)
{
    return settings->has_approval
               ? json_pack("{sI}", "approval", (json_int_t)settings->approval_count)
               : json_object();
}

/* Under the lock. */
static int
set_settings(struct cfc_service *service, const struct cfc_change_state *state, const char *path,
             const struct cfc_settings *settings, const uint64_t *expected_version,
             struct cfc_settings *result, struct cfc_refusal *refusal)
{
    struct cfc_record_key key = cfc_record_key_named('e', path);
    struct cfc_store_batch batch;
    struct cfc_settings before;
    json_t *answer;
    uint64_t seq = 0;
    int error = cfc_change_replay(service, state, &answer, &seq);

    *result = *settings;
    result->version = seq;
    if (error != CONFCAST_ERR_NOT_FOUND) {
        json_decref(answer);
        return error;
    }
    error = read_settings(service, path, &before);
    if (error == CONFCAST_OK && expected_version != NULL && *expected_version != before.version) {
        cfc_refusal_say(refusal, "the settings have changed since");
        error = CONFCAST_ERR_CONFLICT;
    }
    if (error != CONFCAST_OK || state->change->is_dry_run) {
        return error;
    }
    cfc_store_batch_init(&batch);
    cfc_record_guard(&batch, &key, before.version);
    cfc_record_put(&batch, &key, settings_json(settings));
    cfc_change_record(service, state, &batch, "settings", path, 0, settings_json(settings));
    error = cfc_service_commit(service, &batch, &result->version);
    cfc_store_batch_clear(&batch);
    return error;
}

int
cfc_service_set_settings(struct cfc_service *service, const struct cfc_change *change,
                         const char *path, const struct cfc_settings *settings,
                         bool has_expected_version, uint64_t expected_version,
                         struct cfc_settings *result, struct cfc_refusal *refusal)
{
    char numbers[80];
    const char *parts[] = {"settings", path, numbers,
                           change->message != NULL ? change->message : "", NULL};
    struct cfc_change_state state;
    int error = cfc_scope_check(path, strlen(path));

    memset(result, 0, sizeof(*result));
    snprintf(numbers, sizeof(numbers), "%d %u %d %llu", (int)settings->has_approval,
             settings->approval_count, (int)has_expected_version,
             (unsigned long long)expected_version);
    if (error == CONFCAST_OK && (settings->approval_count > CFC_APPROVAL_COUNT_MAX ||
                                 (!settings->has_approval && settings->approval_count != 0))) {
        cfc_refusal_say(refusal, "approval is a number of people from 0 to 8");
        error = CONFCAST_ERR_INVALID;
    }
    if (error == CONFCAST_OK) {
        error = cfc_change_begin(&state, change, parts, "", 0);
    }
    if (error == CONFCAST_OK) {
        error = cfc_service_enter(service);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    error = set_settings(service, &state, path, settings,
                         has_expected_version ? &expected_version : NULL, result, refusal);
    cfc_service_leave(service);
    return error;
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
    uint32_t required;
    uint32_t count = 0;
    uint64_t mod_seq;
    int error = read_required(service, scope->path, &required);

    if (error != CONFCAST_OK || required == 0) {
        return error;
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
                uint64_t revision, json_t *record, uint64_t mod_seq)
{
    struct cfc_record_key key = cfc_record_key_numbered('o', path, revision);
    struct cfc_store_batch batch;
    uint64_t seq;
    int error;

    cfc_store_batch_init(&batch);
    cfc_record_guard(&batch, &key, mod_seq);
    cfc_record_put(&batch, &key, json_incref(record));
    cfc_change_record(service, state, &batch, "approve", path, revision, json_incref(record));
    error = cfc_service_commit(service, &batch, &seq);
    cfc_store_batch_clear(&batch);
    return error;
}

/* Under the lock. */
static int
approve(struct cfc_service *service, const struct cfc_change_state *state, const char *path,
        uint64_t revision, const struct cfc_digest *digest, struct cfc_approval *approval,
        struct cfc_refusal *refusal)
{
    struct cfc_definition_meta meta;
    struct cfc_scope *scope;
    json_t *record = NULL;
    json_t *answer = NULL;
    uint64_t mod_seq;
    uint64_t seq;
    int replay = cfc_change_replay(service, state, &answer, &seq);
    int error = cfc_service_find(service, path, &scope);

    json_decref(answer);
    if (replay != CONFCAST_OK && replay != CONFCAST_ERR_NOT_FOUND) {
        return replay;
    }
    if (error == CONFCAST_OK) {
        error = cfc_definition_read_meta(service->store, path, revision, &meta);
    }
    if (error == CONFCAST_OK) {
        error = read_approvals(service, path, &meta, &record, &mod_seq);
    }
    if (error == CONFCAST_OK && replay == CONFCAST_ERR_NOT_FOUND) {
        json_t *by = json_object_get(record, "by");

        error = check_approver(state, &meta, digest, by, refusal);
        if (error == CONFCAST_OK && json_array_append_new(by, json_string(state->author)) != 0) {
            error = CONFCAST_ERR_NO_MEMORY;
        }
        if (error == CONFCAST_OK && !state->change->is_dry_run) {
            error = commit_approval(service, state, path, revision, record, mod_seq);
        }
    }
    if (error == CONFCAST_OK) {
        approval->revision = revision;
        approval->count = count_approvals(record, &meta);
        approval->is_replay = replay == CONFCAST_OK;
        error = read_required(service, path, &approval->required);
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
    error = approve(service, &state, path, revision, digest, approval, refusal);
    cfc_service_leave(service);
    return error;
}
