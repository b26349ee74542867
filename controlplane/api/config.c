/* Definitions: put, get, delete, history. */
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/model/record_text.h"

/* What promoting to all would do: {preview}, or {error} when it would be refused. */
static json_t *
promotion_json(struct cfc_api *api, const struct cfc_request *request,
               const struct cfc_change *change, const struct cfc_put *put)
{
    struct cfc_batch_item items[2] = {
        {.kind = CFC_BATCH_PUT, .put = *put},
        {.kind = CFC_BATCH_RELEASE, .order = {.scope = put->scope, .action = CFC_ACTION_PROMOTE}},
    };
    struct cfc_refusal refusal = {0};
    struct cfc_batch_result result;
    json_t *object;
    int rc = cfc_service_batch(api->service, change, items, 2, &result, &refusal);

    if (rc != CONFCAST_OK) {
        return json_pack("{s{ss ss}}", "error", "code", confcast_error_word(rc), "message",
                         refusal.message);
    }
    object = json_pack("{so}", "preview", cfc_api_preview_json(api, request, result.preview));
    cfc_batch_result_free(&result);
    return object;
}

/* What nearly every put is answered with. */
static void
reply_plain_put(struct cfc_reply *reply, const struct cfc_request *request,
                const struct cfc_put_result *result)
{
    struct cfc_record_text text;

    cfc_record_text_begin(&text);
    cfc_record_text_digest(&text, "digest", &result->digest);
    cfc_record_text_number(&text, "revision", result->revision);
    cfc_record_text_string(&text, "scope", request->rest);
    cfc_reply_record(reply, 200, &text);
}

static void
reply_put(struct cfc_reply *reply, const struct cfc_request *request,
          const struct cfc_change *change, const struct cfc_put_result *result, json_t *promotion)
{
    json_t *object;

    reply->is_replay = result->is_replay;
    if (result->nulls.count == 0 && !change->is_dry_run && !cfc_digest_is_zero(&result->digest)) {
        reply_plain_put(reply, request, result);
        return;
    }
    object = json_object();
    if (!cfc_api_set(object, "scope", json_string(request->rest)) ||
        !cfc_api_set(object, "revision", json_integer((json_int_t)result->revision)) ||
        !cfc_api_set(object, "digest", cfc_api_digest_json(&result->digest)) ||
        (result->nulls.count > 0 &&
         !cfc_api_set(object, "warnings", cfc_api_warnings_json(&result->nulls))) ||
        (change->is_dry_run && !cfc_api_set(object, "dry_run", json_true())) ||
        (promotion != NULL && !cfc_api_set(object, "promotion", json_incref(promotion)))) {
        json_decref(object);
        object = NULL;
    }
    json_decref(promotion);
    cfc_reply_json(reply, 200, object);
}

void
cfc_api_put_config(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_put put = {
        .scope = request->rest, .text = request->body, .text_size = request->body_size};
    struct cfc_put_result result = {0};
    struct cfc_refusal refusal = {0};
    struct cfc_change change;
    int rc;

    if (!cfc_api_change(request, &change, reply) ||
        !cfc_api_param_uint(request, "expected_revision", UINT64_MAX, &put.has_expected_revision,
                            &put.expected_revision, reply)) {
        return;
    }
    rc = cfc_service_put(api->service, &change, &put, &result, &refusal);
    if (rc != CONFCAST_OK) {
        cfc_api_refused(reply, rc, &refusal);
        return;
    }
    reply_put(reply, request, &change, &result,
              change.is_dry_run ? promotion_json(api, request, &change, &put) : NULL);
}

void
cfc_api_delete_config(struct cfc_api *api, const struct cfc_request *request,
                      struct cfc_reply *reply)
{
    struct cfc_put_result result = {0};
    struct cfc_refusal refusal = {0};
    struct cfc_change change;
    uint64_t expected = 0;
    bool has_expected = false;
    int rc;

    if (!cfc_api_change(request, &change, reply) ||
        !cfc_api_param_uint(request, "expected_revision", UINT64_MAX, &has_expected, &expected,
                            reply)) {
        return;
    }
    rc = cfc_service_delete(api->service, &change, request->rest, has_expected, expected, &result,
                            &refusal);
    if (rc != CONFCAST_OK) {
        cfc_api_refused(reply, rc, &refusal);
        return;
    }
    reply_put(reply, request, &change, &result, NULL);
}

json_t *
cfc_api_meta_json(const struct cfc_definition_meta *meta)
{
    json_t *object = json_object();

    if (!cfc_api_set(object, "revision", json_integer((json_int_t)meta->revision)) ||
        !cfc_api_set(object, "time", cfc_api_time_json(meta->unix_ns)) ||
        !cfc_api_set(object, "author", json_string(meta->author)) ||
        !cfc_api_set(object, "message", json_string(meta->message)) ||
        !cfc_api_set(object, "digest", cfc_api_digest_json(&meta->digest)) ||
        !cfc_api_set(object, "size", json_integer((json_int_t)meta->size)) ||
        !cfc_api_set(object, "deleted", json_boolean(meta->is_tombstone)) ||
        (meta->is_gone && !cfc_api_set(object, "gone", json_true()))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

void
cfc_api_get_config(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_definition definition = {0};
    uint64_t revision = 0;
    bool has_revision = false;
    json_t *meta;
    int rc;

    if (!cfc_api_param_uint(request, "revision", UINT64_MAX, &has_revision, &revision, reply)) {
        return;
    }
    if (has_revision && revision == 0) {
        cfc_reply_failure(reply, CONFCAST_ERR_NOT_FOUND, "revisions begin at 1", NULL);
        return;
    }
    rc = cfc_service_get(api->service, request->rest, revision, &definition);
    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    meta = cfc_api_meta_json(&definition.meta);
    if (meta != NULL && !cfc_api_set(meta, "scope", json_string(request->rest))) {
        json_decref(meta);
        meta = NULL;
    }
    if (definition.text == NULL) {
        cfc_reply_failure(reply, CONFCAST_ERR_NOT_FOUND, "the definition was deleted", meta);
    } else {
        cfc_reply_document(reply, meta, definition.text, strlen(definition.text));
    }
    cfc_definition_free(&definition);
}

void
cfc_api_get_history(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_definition_meta *items = NULL;
    uint64_t before = 0;
    bool has_before = false;
    size_t limit = 0;
    size_t count = 0;
    json_t *list;
    int rc;

    if (!cfc_api_param_limit(request, &limit, reply) ||
        !cfc_api_param_uint(request, "before", UINT64_MAX, &has_before, &before, reply)) {
        return;
    }
    rc = cfc_service_history(api->service, request->rest, before, limit, &items, &count);
    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(list, cfc_api_meta_json(&items[i])) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    }
    free(items);
    cfc_reply_json(reply, 200,
                   list != NULL ? json_pack("{ss so}", "scope", request->rest, "revisions", list)
                                : NULL);
}
