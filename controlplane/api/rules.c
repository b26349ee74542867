/* Schemas and settings. */
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"

static void
put_rule(struct cfc_api *api, enum cfc_rule_kind kind, const struct cfc_request *request,
         struct cfc_reply *reply)
{
    struct cfc_put put = {.scope = request->rest,
                          .text = request->body != NULL ? request->body : "",
                          .text_size = request->body_size};
    struct cfc_put_result result = {0};
    struct cfc_refusal refusal = {0};
    struct cfc_change change;
    json_t *object;
    int rc;

    if (!cfc_api_change(request, &change, reply) ||
        !cfc_api_param_uint(request, "expected_revision", UINT64_MAX, &put.has_expected_revision,
                            &put.expected_revision, reply)) {
        return;
    }
    rc = cfc_service_put_rule(api->service, &change, kind, &put, &result, &refusal);
    if (rc != CONFCAST_OK) {
        cfc_api_refused(reply, rc, &refusal);
        return;
    }
    object = json_object();
    reply->is_replay = result.is_replay;
    if (!cfc_api_set(object, "scope", json_string(request->rest)) ||
        !cfc_api_set(object, "revision", json_integer((json_int_t)result.revision)) ||
        !cfc_api_set(object, "digest", cfc_api_digest_json(&result.digest)) ||
        (change.is_dry_run && !cfc_api_set(object, "dry_run", json_true()))) {
        json_decref(object);
        object = NULL;
    }
    cfc_reply_json(reply, 200, object);
}

static void
get_rule(struct cfc_api *api, enum cfc_rule_kind kind, const struct cfc_request *request,
         struct cfc_reply *reply)
{
    struct cfc_definition rule = {0};
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
    rc = cfc_service_get_rule(api->service, kind, request->rest, revision, &rule);
    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    meta = cfc_api_meta_json(&rule.meta);
    if (!cfc_api_set(meta, "scope", json_string(request->rest))) {
        json_decref(meta);
        meta = NULL;
    }
    cfc_reply_document(reply, meta, rule.text, strlen(rule.text));
    cfc_definition_free(&rule);
}

void
cfc_api_put_schema(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    put_rule(api, CFC_RULE_SCHEMA, request, reply);
}

void
cfc_api_get_schema(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    get_rule(api, CFC_RULE_SCHEMA, request, reply);
}

void
cfc_api_put_settings(struct cfc_api *api, const struct cfc_request *request,
                     struct cfc_reply *reply)
{
    put_rule(api, CFC_RULE_SETTINGS, request, reply);
}

void
cfc_api_get_settings(struct cfc_api *api, const struct cfc_request *request,
                     struct cfc_reply *reply)
{
    get_rule(api, CFC_RULE_SETTINGS, request, reply);
}
