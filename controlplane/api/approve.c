/* Approvals of revisions. */
#include <math.h>
#include <sodium.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/json/json_parse.h"

#define NUMBER_MAX 9007199254740991.0 /* 2^53 - 1 */

static bool
refuse(struct cfc_reply *reply, const char *message)
{
    cfc_reply_failure(reply, CONFCAST_ERR_INVALID, message, NULL);
    return false;
}

/* The body as an object; NULL: *reply is the error. */
static json_t *
parse_body(const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_json_error error = {.message = ""};
    json_t *body = NULL;
    int rc = cfc_json_parse_object(request->body != NULL ? request->body : "", request->body_size,
                                   CFC_API_SMALL_BODY_MAX, &body, &error);

    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, error.message, NULL);
        return NULL;
    }
    return body;
}

static bool
is_count(const json_t *value, double max)
{
    double number = json_number_value(value);

    return json_is_number(value) && number >= 0 && number <= max && number == floor(number);
}

static bool
read_approval(const json_t *body, uint64_t *revision, struct cfc_digest *digest,
              struct cfc_reply *reply)
{
    const json_t *number = json_object_get(body, "revision");
    const json_t *hex = json_object_get(body, "digest");
    size_t size = 0;

    if (json_object_size(body) != 2 || !is_count(number, NUMBER_MAX) ||
        json_string_length(hex) != 2 * sizeof(digest->bytes) ||
        sodium_hex2bin(digest->bytes, sizeof(digest->bytes), json_string_value(hex),
                       json_string_length(hex), NULL, &size, NULL) != 0 ||
        size != sizeof(digest->bytes)) {
        return refuse(reply, "the body is {\"revision\": N, \"digest\": \"64 hex digits\"}");
    }
    *revision = (uint64_t)json_number_value(number);
    return true;
}

void
cfc_api_approve(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_approval approval = {0};
    struct cfc_refusal refusal = {0};
    struct cfc_change change;
    struct cfc_digest digest;
    uint64_t revision = 0;
    json_t *body;
    bool is_read;
    int rc;

    if (!cfc_api_change(request, &change, reply)) {
        return;
    }
    body = parse_body(request, reply);
    is_read = body != NULL && read_approval(body, &revision, &digest, reply);
    json_decref(body);
    if (!is_read) {
        return;
    }
    rc = cfc_service_approve(api->service, &change, request->rest, revision, &digest, &approval,
                             &refusal);
    if (rc != CONFCAST_OK) {
        cfc_api_refused(reply, rc, &refusal);
        return;
    }
    reply->is_replay = approval.is_replay;
    cfc_reply_json(reply, 200,
                   json_pack("{ss sI si si}", "scope", request->rest, "revision",
                             (json_int_t)approval.revision, "approvals", (int)approval.count,
                             "required", (int)approval.required));
}
