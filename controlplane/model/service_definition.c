/* put, delete, get, history. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/model/definition.h"
#include "controlplane/model/service_internal.h"
#include "controlplane/store/internal.h"
#include "protocol/base/scope.h"

enum {
    HISTORY_COUNT_MAX = 10000
};

#define REVISION_MAX (UINT64_C(1) << 52)

/* A put or delete on its way through. */
struct write_state {
    struct cfc_change_state change;
    struct cfc_scope *scope;
    struct cfc_definition_meta meta;
    char *text; /* NULL = a tombstone */
};

static int
check_scope_id(struct cfc_service *service, const struct cfc_scope *scope)
{
    struct cfc_record_key key = cfc_record_key_number('i', scope->id);
    struct cfc_store_value value;
    int error = cfc_store_get(service->store, key.bytes, key.size, &value);

    if (error == CONFCAST_OK) {
        cfc_store_value_free(&value);
        return CONFCAST_ERR_COLLISION;
    }
    return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_OK : error;
}

int
cfc_service_add_scope(struct cfc_service *service, struct cfc_store_batch *batch,
                      const struct cfc_scope *scope, uint64_t latest_revision, bool is_deleted)
{
    struct cfc_record_key key = cfc_record_key_named('s', scope->path);

    if (!scope->is_known) {
        struct cfc_record_key id_key = cfc_record_key_number('i', scope->id);
        int error = check_scope_id(service, scope);

        if (error != CONFCAST_OK) {
            return error;
        }
        cfc_record_guard(batch, &id_key, 0);
        cfc_store_put(batch, id_key.bytes, id_key.size, scope->path, strlen(scope->path));
    }
    cfc_record_guard(batch, &key, scope->seq);
    cfc_record_put(
        batch, &key,
        json_pack("{sI sb}", "latest", (json_int_t)latest_revision, "tombstone", (int)is_deleted));
    return CONFCAST_OK;
}

/* The first decision for a scope that has just become known. */
static int
decide_new(struct cfc_service *service, struct cfc_scope *scope)
{
    struct cfc_layer_set set = cfc_effective_layers(scope);
    struct cfc_effective_pass pass;
    struct cfc_decision *decision;
    int error;

    cfc_effective_begin(&pass, service->store, service->sha, service->bodies, service->floor);
    error = cfc_effective_decide(&pass, scope, &set, NULL, &decision);
    cfc_effective_end(&pass);
    if (error == CONFCAST_OK && decision != NULL) {
        cfc_service_install(service, scope, decision);
    }
    return error;
}

void
cfc_service_scope_committed(struct cfc_service *service, struct cfc_scope *scope, uint64_t seq,
                            uint64_t latest_revision, bool is_deleted)
{
    bool was_known = scope->is_known;
    int error = cfc_catalog_know(&service->catalog, scope);

    scope->seq = seq;
    scope->latest_revision = latest_revision;
    scope->is_deleted = is_deleted;
    if (error == CONFCAST_OK && !was_known) {
        error = decide_new(service, scope);
    }
    if (error != CONFCAST_OK) {
        /* The change is done; memory catches up before the next call. */
        service->needs_load = true;
    }
}

static void
refuse_revision(struct cfc_service *service, const struct cfc_scope *scope,
                struct cfc_refusal *refusal)
{
    struct cfc_definition_meta meta;

    if (refusal == NULL) {
        return;
    }
    refusal->has_revision = true;
    refusal->current_revision = scope->latest_revision;
    if (scope->latest_revision != 0 &&
        cfc_definition_read_meta(service->store, scope->path, scope->latest_revision, &meta) ==
            CONFCAST_OK) {
        snprintf(refusal->current_author, sizeof(refusal->current_author), "%s", meta.author);
    }
    snprintf(refusal->message, sizeof(refusal->message),
             "the current revision is %llu%s%s, not the expected one",
             (unsigned long long)scope->latest_revision,
             refusal->current_author[0] != '\0' ? " by " : "", refusal->current_author);
}

static bool
is_expected(const struct cfc_scope *scope, bool has_expected, uint64_t expected)
{
    if (!has_expected || expected == scope->latest_revision) {
        return true;
    }
    return expected == 0 && scope->is_deleted;
}

static int
answer_replay(const json_t *answer, uint64_t seq, struct cfc_put_result *result)
{
    char digest[65];

    result->seq = seq;
    result->is_replay = true;
    if (!cfc_record_u64(answer, "revision", &result->revision) ||
        !cfc_record_string(answer, "digest", digest, sizeof(digest)) ||
        !cfc_digest_from_hex(digest, &result->digest)) {
        return CONFCAST_ERR_CORRUPT;
    }
    return CONFCAST_OK;
}

/* Commits the next revision together with what `release` (or NULL) changes. */
static int
write_revision(struct cfc_service *service, struct write_state *state,
               struct cfc_release_change *release, struct cfc_put_result *result)
{
    struct cfc_store_batch batch;
    struct cfc_scope *scope = state->scope;
    bool is_deleted = state->text == NULL;
    char digest[65];
    uint64_t seq = 0;
    int error;

    cfc_digest_to_hex(&state->meta.digest, digest);
    cfc_store_batch_init(&batch);
    error = cfc_service_add_scope(service, &batch, scope, state->meta.revision, is_deleted);
    if (error == CONFCAST_OK) {
        error = cfc_definition_add(service->store, &batch, scope->path, &state->meta, state->text);
    }
    if (error == CONFCAST_OK) {
        cfc_change_record(
            service, &state->change, &batch, is_deleted ? "delete" : "put", scope->path,
            state->meta.revision,
            json_pack("{sI ss}", "revision", (json_int_t)state->meta.revision, "digest", digest));
        if (release != NULL) {
            cfc_release_change_add(release, &state->change, &batch);
        }
        cfc_store_crash_point("revision:prepared");
        error = cfc_service_commit(service, &batch, &seq);
    }
    cfc_store_batch_clear(&batch);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_service_scope_committed(service, scope, seq, state->meta.revision, is_deleted);
    if (release != NULL) {
        cfc_release_change_committed(service, release, seq);
    }
    result->seq = seq;
    return CONFCAST_OK;
}

/* Under the lock: guards, replay, the next revision's number. */
static int
prepare_write(struct cfc_service *service, struct write_state *state, const char *path,
              bool has_expected, uint64_t expected, struct cfc_put_result *result,
              struct cfc_refusal *refusal)
{
    uint64_t seq;
    json_t *answer;
    int error = cfc_change_replay(service, &state->change, &answer, &seq);

    if (error == CONFCAST_OK) {
        error = answer_replay(answer, seq, result);
        json_decref(answer);
        return error;
    }
    if (error != CONFCAST_ERR_NOT_FOUND) {
        return error;
    }
    if (state->text == NULL && cfc_catalog_find_known(&service->catalog, path) == NULL) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    state->scope = cfc_catalog_ensure(&service->catalog, path);
    if (state->scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (!is_expected(state->scope, has_expected, expected)) {
        refuse_revision(service, state->scope, refusal);
        return CONFCAST_ERR_CONFLICT;
    }
    if (state->scope->latest_revision >= REVISION_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (!state->scope->is_known) {
        error = check_scope_id(service, state->scope);
        if (error != CONFCAST_OK) {
            return error;
        }
    }
    state->meta.revision = state->scope->latest_revision + 1;
    state->meta.unix_ns = state->change.change->unix_ns;
    snprintf(state->meta.author, sizeof(state->meta.author), "%s", state->change.author);
    snprintf(state->meta.message, sizeof(state->meta.message), "%s", state->change.message);
    result->revision = state->meta.revision;
    result->digest = state->meta.digest;
    return CONFCAST_OK;
}

/* Parses and makes canonical, before the lock is taken. */
static int
read_document(struct cfc_service *service, const struct cfc_put *put, struct write_state *state,
              struct cfc_refusal *refusal)
{
    struct cfc_json_error detail = {.message = ""};
    struct cfc_sha256 *sha;
    json_t *root;
    size_t size;
    int error = cfc_json_parse_object(put->text, put->text_size, service->config.document_size_max,
                                      &root, &detail);

    if (error != CONFCAST_OK) {
        cfc_refusal_say(refusal, detail.message);
        return error;
    }
    error = cfc_json_to_text(root, &state->text, &size);
    json_decref(root);
    if (error != CONFCAST_OK) {
        return error;
    }
    sha = cfc_sha256_new();
    if (sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_sha256_once(sha, NULL, state->text, size, &state->meta.digest);
    cfc_sha256_free(sha);
    state->meta.size = size;
    return CONFCAST_OK;
}

static int
format_expected(char out[24], bool has_expected, uint64_t expected)
{
    return has_expected ? snprintf(out, 24, "%llu", (unsigned long long)expected)
                        : snprintf(out, 24, "any");
}

static void
say_error(struct cfc_refusal *refusal, int error)
{
    if (refusal != NULL && error != CONFCAST_OK && refusal->message[0] == '\0') {
        cfc_refusal_say(refusal, confcast_error_text(error));
    }
}

int
cfc_service_put(struct cfc_service *service, const struct cfc_change *change,
                const struct cfc_put *put, struct cfc_put_result *result,
                struct cfc_refusal *refusal)
{
    char expected[24];
    const char *parts[] = {"put", put->scope, expected,
                           change->message != NULL ? change->message : "", NULL};
    struct write_state state = {.text = NULL};
    int error;

    memset(result, 0, sizeof(*result));
    if (refusal != NULL) {
        memset(refusal, 0, sizeof(*refusal));
    }
    format_expected(expected, put->has_expected_revision, put->expected_revision);
    error = cfc_scope_check(put->scope, strlen(put->scope));
    if (error == CONFCAST_OK) {
        error = read_document(service, put, &state, refusal);
    }
    if (error == CONFCAST_OK) {
        error = cfc_change_begin(&state.change, change, parts, state.meta.digest.bytes,
                                 sizeof(state.meta.digest.bytes));
    }
    if (error == CONFCAST_OK) {
        error = cfc_service_enter(service);
        if (error == CONFCAST_OK) {
            error = prepare_write(service, &state, put->scope, put->has_expected_revision,
                                  put->expected_revision, result, refusal);
            if (error == CONFCAST_OK && !result->is_replay && !change->is_dry_run) {
                error = write_revision(service, &state, NULL, result);
            }
            cfc_service_leave(service);
        }
    }
    free(state.text);
    say_error(refusal, error);
    return error;
}

/* Under the lock: the tombstone, and with it the end of what is released. */
static int
delete_scope(struct cfc_service *service, struct write_state *state, bool is_dry_run,
             struct cfc_put_result *result, struct cfc_refusal *refusal)
{
    struct cfc_release_request request = {.action = CFC_ACTION_DELETE};
    struct cfc_release_change release;
    enum cfc_release_state current = state->scope->release.state;
    bool is_released = current != CFC_RELEASE_EMPTY && current != CFC_RELEASE_DELETED;
    int error = CONFCAST_OK;

    if (state->scope->latest_revision == 0 || state->scope->is_deleted) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    if (!is_released) {
        return is_dry_run ? CONFCAST_OK : write_revision(service, state, NULL, result);
    }
    error = cfc_release_change_prepare(service, state->scope, &request, state->meta.unix_ns,
                                       &release, refusal);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (!is_dry_run) {
        error = write_revision(service, state, &release, result);
    }
    cfc_release_change_free(&release);
    return error;
}

int
cfc_service_delete(struct cfc_service *service, const struct cfc_change *change, const char *scope,
                   bool has_expected_revision, uint64_t expected_revision,
                   struct cfc_put_result *result, struct cfc_refusal *refusal)
{
    char expected[24];
    const char *parts[] = {"delete", scope, expected,
                           change->message != NULL ? change->message : "", NULL};
    struct write_state state = {.text = NULL};
    int error;

    memset(result, 0, sizeof(*result));
    if (refusal != NULL) {
        memset(refusal, 0, sizeof(*refusal));
    }
    format_expected(expected, has_expected_revision, expected_revision);
    state.meta.is_tombstone = true;
    error = cfc_scope_check(scope, strlen(scope));
    if (error == CONFCAST_OK) {
        error = cfc_change_begin(&state.change, change, parts, "", 0);
    }
    if (error == CONFCAST_OK) {
        error = cfc_service_enter(service);
        if (error == CONFCAST_OK) {
            error = prepare_write(service, &state, scope, has_expected_revision, expected_revision,
                                  result, refusal);
            if (error == CONFCAST_OK && !result->is_replay) {
                error = delete_scope(service, &state, change->is_dry_run, result, refusal);
            }
            cfc_service_leave(service);
        }
    }
    say_error(refusal, error);
    return error;
}

int
cfc_service_get(struct cfc_service *service, const char *path, uint64_t revision,
                struct cfc_definition *definition)
{
    struct cfc_store_value text;
    struct cfc_scope *scope;
    int error;

    memset(definition, 0, sizeof(*definition));
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK && scope->latest_revision == 0) {
        error = CONFCAST_ERR_NOT_FOUND;
    }
    if (error == CONFCAST_OK) {
        error = cfc_definition_read_meta(service->store, path,
                                         revision != 0 ? revision : scope->latest_revision,
                                         &definition->meta);
    }
    if (error == CONFCAST_OK && !definition->meta.is_tombstone) {
        error = cfc_definition_read_text(service->store, path, definition->meta.revision, &text);
        if (error == CONFCAST_OK) {
            definition->text = (char *)text.bytes;
        } else if (error == CONFCAST_ERR_NOT_FOUND) {
            error = CONFCAST_ERR_CORRUPT;
        }
    }
    cfc_service_leave(service);
    return error;
}

void
cfc_definition_free(struct cfc_definition *definition)
{
    free(definition->text);
    memset(definition, 0, sizeof(*definition));
}

static int
read_history(struct cfc_service *service, const struct cfc_scope *scope, uint64_t before,
             size_t count_max, struct cfc_definition_meta **items, size_t *count)
{
    uint64_t newest = scope->latest_revision;
    int error = CONFCAST_OK;

    if (before != 0 && before <= newest) {
        newest = before - 1;
    }
    if (count_max > newest) {
        count_max = (size_t)newest;
    }
    *items = calloc(count_max + 1, sizeof(**items));
    if (*items == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (; error == CONFCAST_OK && *count < count_max; (*count)++) {
        error = cfc_definition_read_meta(service->store, scope->path, newest - *count,
                                         &(*items)[*count]);
    }
    if (error != CONFCAST_OK) {
        free(*items);
        *items = NULL;
        *count = 0;
        /* Revisions have no gaps. */
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
    }
    return CONFCAST_OK;
}

int
cfc_service_history(struct cfc_service *service, const char *path, uint64_t before,
                    size_t count_max, struct cfc_definition_meta **items, size_t *count)
{
    struct cfc_scope *scope;
    int error;

    *items = NULL;
    *count = 0;
    if (count_max > HISTORY_COUNT_MAX) {
        count_max = HISTORY_COUNT_MAX;
    }
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_service_find(service, path, &scope);
    if (error == CONFCAST_OK) {
        error = read_history(service, scope, before, count_max, items, count);
    }
    cfc_service_leave(service);
    return error;
}

static int
collect_names(struct cfc_service *service, struct cfc_scope **sorted, char **names)
{
    size_t count = 0;
    size_t size = 0;
    char *p;

    for (struct cfc_scope *scope = service->catalog.by_id; scope != NULL;
         scope = scope->hh_id.next) {
        sorted[count++] = scope;
        size += strlen(scope->path) + 1;
    }
    qsort(sorted, count, sizeof(struct cfc_scope *), cfc_scope_compare_paths);
    *names = malloc(size + 1);
    if (*names == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    p = *names;
    for (size_t i = 0; i < count; i++) {
        size_t path_size = strlen(sorted[i]->path) + 1;

        memcpy(p, sorted[i]->path, path_size);
        p += path_size;
    }
    *p = '\0';
    return CONFCAST_OK;
}

int
cfc_service_scopes(struct cfc_service *service, char **scopes, size_t *count)
{
    struct cfc_scope **sorted;
    int error;

    *scopes = NULL;
    *count = 0;
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    *count = HASH_CNT(hh_id, service->catalog.by_id);
    sorted = calloc(*count + 1, sizeof(struct cfc_scope *));
    error = sorted != NULL ? collect_names(service, sorted, scopes) : CONFCAST_ERR_NO_MEMORY;
    free(sorted);
    cfc_service_leave(service);
    if (error != CONFCAST_OK) {
        *count = 0;
    }
    return error;
}
