/* Who changes something and why, and answers under idempotency keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"
#include "protocol/snapshot/text.h"

enum {
    EXPIRE_COUNT_MAX = 500, /* answers forgotten in one batch */
};

#define REQUEST_DOMAIN "confcast/v1/request"

static bool
is_key(const char *key)
{
    size_t size = strlen(key);

    for (size_t i = 0; i < size; i++) {
        if (key[i] < 0x21 || key[i] > 0x7e) {
            return false;
        }
    }
    return size >= 1 && size <= CFC_IDEMPOTENCY_KEY_SIZE_MAX;
}

static bool
is_text(const char *text, size_t size_max)
{
    size_t size = strlen(text);

    return size <= size_max && cfc_utf8_is_valid(text, size);
}

static void
name_request(struct cfc_sha256 *sha, struct cfc_change_state *state, const char *const *parts,
             const void *bytes, size_t size)
{
    struct cfc_digest digest;

    cfc_sha256_begin(sha, REQUEST_DOMAIN);
    for (; *parts != NULL; parts++) {
        cfc_sha256_add(sha, *parts, strlen(*parts) + 1);
    }
    cfc_sha256_add(sha, bytes, size);
    cfc_sha256_end(sha, &state->request);
    cfc_sha256_begin(sha, REQUEST_DOMAIN);
    cfc_sha256_add(sha, state->author, strlen(state->author) + 1);
    cfc_sha256_add(sha, state->change->idempotency_key, strlen(state->change->idempotency_key));
    cfc_sha256_end(sha, &digest);
    state->replay_key = cfc_record_key_bytes('y', digest.bytes, sizeof(digest.bytes));
}

int
cfc_change_begin(struct cfc_change_state *state, const struct cfc_change *change,
                 const char *const *parts, const void *bytes, size_t size)
{
    struct cfc_sha256 *sha;

    state->change = change;
    state->author = change->author != NULL ? change->author : "anonymous";
    state->message = change->message != NULL ? change->message : "";
    if (state->author[0] == '\0' || !is_text(state->author, CFC_AUTHOR_SIZE_MAX) ||
        !is_text(state->message, CFC_MESSAGE_SIZE_MAX) || change->unix_ns > INT64_MAX ||
        (change->claimed != NULL && !is_text(change->claimed, CFC_AUTHOR_SIZE_MAX)) ||
        (change->idempotency_key != NULL && !is_key(change->idempotency_key))) {
        return CONFCAST_ERR_INVALID;
    }
    state->replay_key.size = 0;
    if (change->idempotency_key == NULL) {
        return CONFCAST_OK; /* Nobody will ask for it by name. */
    }
    sha = cfc_sha256_new();
    if (sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    name_request(sha, state, parts, bytes, size);
    cfc_sha256_free(sha);
    return CONFCAST_OK;
}

int
cfc_change_replay(struct cfc_service *service, const struct cfc_change_state *state,
                  json_t **answer, uint64_t *seq)
{
    char request[65];
    const char *known;
    json_t *record;
    int error;

    *answer = NULL;
    if (state->replay_key.size == 0 || state->change->is_dry_run) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    error = cfc_record_get(service->store, &state->replay_key, &record, seq);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_digest_to_hex(&state->request, request);
    known = json_string_value(json_object_get(record, "request"));
    if (known == NULL || strcmp(known, request) != 0) {
        json_decref(record);
        return CONFCAST_ERR_REPLAY;
    }
    *answer = json_incref(json_object_get(record, "answer"));
    json_decref(record);
    return *answer != NULL ? CONFCAST_OK : CONFCAST_ERR_CORRUPT;
}

static struct cfc_record_key
age_key(const struct cfc_change_state *state)
{
    uint8_t bytes[8 + 32];

    cfc_be64_put(bytes, state->change->unix_ns);
    memcpy(bytes + 8, state->replay_key.bytes + 2, 32);
    return cfc_record_key_bytes('z', bytes, sizeof(bytes));
}

void
cfc_change_record(struct cfc_service *service, const struct cfc_change_state *state,
                  struct cfc_store_batch *batch, const char *action, const char *scope,
                  uint64_t revision, json_t *answer)
{
    cfc_audit_add(service, state, batch, action, scope, revision);
    if (state->replay_key.size > 0) {
        struct cfc_record_key age = age_key(state);
        char request[65];

        cfc_digest_to_hex(&state->request, request);
        cfc_record_guard(batch, &state->replay_key, 0);
        cfc_record_put(batch, &state->replay_key,
                       json_pack("{ss sO}", "request", request, "answer", answer));
        cfc_store_put(batch, age.bytes, age.size, "", 0);
    }
    json_decref(answer);
}

struct expired {
    uint64_t before_unix_ns;
    struct cfc_store_batch *batch;
    size_t count;
};

static int
expire_item(void *arg, const struct cfc_store_item *item)
{
    struct expired *expired = arg;
    struct cfc_record_key answer;

    if (item->key_size != 2 + 8 + 32) {
        return CONFCAST_ERR_CORRUPT;
    }
    if (cfc_be64_get(item->key + 2) >= expired->before_unix_ns ||
        expired->count == EXPIRE_COUNT_MAX) {
        return 1;
    }
    answer = cfc_record_key_bytes('y', item->key + 2 + 8, 32);
    cfc_store_delete(expired->batch, item->key, item->key_size);
    cfc_store_delete(expired->batch, answer.bytes, answer.size);
    expired->count++;
    return 0;
}

int
cfc_change_expire(struct cfc_service *service, uint64_t unix_ns, bool *is_done)
{
    struct cfc_store_batch batch;
    struct expired expired = {.batch = &batch};
    uint64_t ttl_ns = service->config.idempotency_ttl_ns;
    uint64_t seq;
    int error;

    cfc_store_batch_init(&batch);
    expired.before_unix_ns = unix_ns > ttl_ns ? unix_ns - ttl_ns : 0;
    error = cfc_store_scan(service->store, "z/", 2, NULL, 0, expire_item, &expired);
    error = error == 1 ? CONFCAST_OK : error;
    *is_done = expired.count < EXPIRE_COUNT_MAX;
    if (error == CONFCAST_OK && expired.count > 0) {
        error = cfc_service_commit(service, &batch, &seq);
    }
    cfc_store_batch_clear(&batch);
    return error;
}

void
cfc_refusal_say(struct cfc_refusal *refusal, const char *message)
{
    if (refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message), "%s", message);
    }
}

void
cfc_refusal_release(struct cfc_refusal *refusal, const struct cfc_scope *scope)
{
    if (refusal != NULL) {
        refusal->has_release = true;
        refusal->current_release = scope->release;
    }
}
