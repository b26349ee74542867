/* Tokens and roles.  The secret of a token is in one answer, that to the request that made it. */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/json/json_parse.h"
#include "protocol/base/time.h"

enum {
    EXPIRES_IN_S_DEFAULT = 90 * 86400,
    EXPIRES_IN_S_MAX = 10 * 365 * 86400,
};

/* A body that is an object with none but these members. */
static json_t *
parse_body(const struct cfc_request *request, const char *const *members, struct cfc_reply *reply)
{
    struct cfc_json_error error = {.message = ""};
    json_t *body = NULL;
    size_t known = 0;
    int rc = cfc_json_parse_object(request->body != NULL ? request->body : "", request->body_size,
                                   CFC_API_SMALL_BODY_MAX, &body, &error);

    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, error.message, NULL);
        return NULL;
    }
    for (; *members != NULL; members++) {
        known += json_object_get(body, *members) != NULL;
    }
    if (known != json_object_size(body)) {
        json_decref(body);
        cfc_reply_error(reply, 400, "invalid", "the body has a member that is not known here");
        return NULL;
    }
    return body;
}

static void
refuse_invalid(struct cfc_reply *reply, const char *message)
{
    cfc_reply_error(reply, 400, "invalid", message);
}

/* What everybody may see of a token: all but its digest. */
static json_t *
token_view(const json_t *record)
{
    json_t *view = json_object();
    uint64_t expires = (uint64_t)json_integer_value(json_object_get(record, "expires_unix_ns"));
    uint64_t created = (uint64_t)json_integer_value(json_object_get(record, "created_unix_ns"));
    static const char *const copied[] = {"id", "identity", "roles", "scope", "created_by"};

    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
        if (json_object_set(view, copied[i], json_object_get(record, copied[i])) != 0) {
            json_decref(view);
            return NULL;
        }
    }
    if (!cfc_api_set(view, "expires", cfc_api_time_json(expires)) ||
        !cfc_api_set(view, "created", cfc_api_time_json(created))) {
        json_decref(view);
        return NULL;
    }
    return view;
}

/* Seconds of life; false for what is no whole number within the limits. */
static bool
read_life(const json_t *value, uint64_t *life_s)
{
    double number = json_number_value(value);

    *life_s = EXPIRES_IN_S_DEFAULT;
    if (value == NULL) {
        return true;
    }
    if (!json_is_number(value) || number < 1 || number > EXPIRES_IN_S_MAX ||
        number != floor(number)) {
        return false;
    }
    *life_s = (uint64_t)number;
    return true;
}

static void
copy_id(const char *text, char id[CFC_TOKEN_ID_SIZE + 1])
{
    memcpy(id, text + sizeof(CFC_TOKEN_PREFIX) - 1, CFC_TOKEN_ID_SIZE);
    id[CFC_TOKEN_ID_SIZE] = '\0';
}

/* The record of a new token; NULL: *reply says what is wrong. */
static json_t *
token_record(const struct cfc_request *request, const json_t *body, const char *text,
             struct cfc_reply *reply)
{
    const char *identity = json_string_value(json_object_get(body, "identity"));
    uint64_t life_s;
    struct cfc_digest digest;
    struct cfc_grant grant;
    char hex[2 * sizeof(digest.bytes) + 1];
    char id[CFC_TOKEN_ID_SIZE + 1];

    if (identity == NULL || !cfc_identity_name_check(identity, false)) {
        refuse_invalid(reply, "identity: 1 to 128 printable ASCII characters, no blank, no uid:");
        return NULL;
    }
    if (cfc_grant_from_json(json_object_get(body, "roles"), json_object_get(body, "scope"),
                            &grant) != CONFCAST_OK) {
        refuse_invalid(reply, "roles: a list of viewer, author, approver, releaser, operator; "
                              "scope: a scope path, or * for all");
        return NULL;
    }
    if (!read_life(json_object_get(body, "expires_in_s"), &life_s)) {
        refuse_invalid(reply, "expires_in_s: 1 to 315360000 seconds");
        return NULL;
    }
    cfc_token_digest(text, &digest);
    copy_id(text, id);
    sodium_bin2hex(hex, sizeof(hex), digest.bytes, sizeof(digest.bytes));
    return json_pack("{ss ss ss sO sO sI sI ss}", "id", id, "digest", hex, "identity", identity,
                     "roles", json_object_get(body, "roles"), "scope",
                     json_object_get(body, "scope"), "expires_unix_ns",
                     (json_int_t)(request->unix_ns + life_s * CFC_S), "created_unix_ns",
                     (json_int_t)request->unix_ns, "created_by", request->author);
}

/* Commits, brings the rights in memory up to date, and leaves the answer in *result. */
static int
commit(struct cfc_api *api, const struct cfc_request *request, struct cfc_access_change *access,
       struct cfc_access_result *result, struct cfc_reply *reply)
{
    struct cfc_refusal refusal = {0};
    struct cfc_change change;
    int rc;

    if (!cfc_api_change(request, &change, reply)) {
        return CONFCAST_ERR_INVALID;
    }
    access->request = request->body;
    access->request_size = request->body_size;
    rc = cfc_service_put_access(api->service, &change, access, result, &refusal);
    cfc_access_reload(api->access);
    if (rc != CONFCAST_OK) {
        cfc_api_refused(reply, rc, &refusal);
    }
    return rc;
}

/* The answer with the secret as its last member.  It goes through none of the buffers of the JSON
 * library, which are not wiped: only the body of the reply, which is, holds it. */
static void
reply_secret(struct cfc_reply *reply, json_t *answer, const char *text)
{
    static const char format[] = "%.*s,\"token\":\"%s\"}";
    size_t size;
    char *whole;

    cfc_reply_json(reply, 200, answer);
    size = reply->body_size + sizeof(format) + CFC_TOKEN_TEXT_SIZE;
    whole = reply->body != NULL ? malloc(size) : NULL;
    if (whole != NULL) {
        snprintf(whole, size, format, (int)reply->body_size - 1, reply->body, text);
    }
    free(reply->body);
    reply->body = whole;
    reply->body_size = whole != NULL ? strlen(whole) : 0;
    reply->is_secret = true;
}

static void
add_token(struct cfc_api *api, const struct cfc_request *request, const json_t *body,
          const char *text, struct cfc_reply *reply)
{
    char id[CFC_TOKEN_ID_SIZE + 1];
    char name[sizeof("token:") + CFC_TOKEN_ID_SIZE];
    json_t *record = token_record(request, body, text, reply);
    json_t *view = record != NULL ? token_view(record) : NULL;
    struct cfc_access_change access = {.action = "token-create",
                                       .name = name,
                                       .request_name = "token",
                                       .record = record,
                                       .answer = view,
                                       .has_expected_version = true};
    struct cfc_access_result result = {0};

    copy_id(text, id);
    snprintf(name, sizeof(name), "token:%s", id);
    if (record != NULL && view == NULL) {
        cfc_reply_failure(reply, CONFCAST_ERR_NO_MEMORY, NULL, NULL);
    } else if (record != NULL && commit(api, request, &access, &result, reply) == CONFCAST_OK) {
        json_t *answer = json_copy(result.answer);

        json_decref(result.answer);
        reply->is_replay = result.is_replay;
        if (!result.is_replay && result.version != 0) {
            reply_secret(reply, answer, text);
        } else if (cfc_api_set(answer, "token", json_null())) {
            cfc_reply_json(reply, 200, answer);
        } else {
            json_decref(answer);
            cfc_reply_failure(reply, CONFCAST_ERR_NO_MEMORY, NULL, NULL);
        }
    }
    json_decref(view);
    json_decref(record);
}

void
cfc_api_post_token(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    static const char *const members[] = {"identity", "roles", "scope", "expires_in_s", NULL};
    char text[CFC_TOKEN_TEXT_SIZE + 1];
    json_t *body = parse_body(request, members, reply);

    if (body == NULL) {
        return;
    }
    if (cfc_access_token_count(api->access) >= CFC_ACCESS_TOKENS_MAX) {
        cfc_reply_failure(reply, CONFCAST_ERR_LIMIT,
                          "there are 4096 tokens; delete those that have expired", NULL);
    } else {
        cfc_token_make(text);
        add_token(api, request, body, text, reply);
        sodium_memzero(text, sizeof(text));
    }
    json_decref(body);
}

void
cfc_api_get_tokens(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    json_t *list = json_array();
    json_t *records = NULL;
    json_t *item;
    size_t i;
    bool is_whole = list != NULL;
    int rc = cfc_service_access(api->service, &records);

    (void)request;
    if (rc != CONFCAST_OK) {
        json_decref(list);
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    json_array_foreach(records, i, item)
    {
        if (strncmp(json_string_value(json_object_get(item, "name")), "token:", 6) == 0) {
            json_t *view = token_view(json_object_get(item, "record"));

            is_whole = is_whole && json_array_append_new(list, view) == 0;
        }
    }
    json_decref(records);
    if (!is_whole) {
        json_decref(list);
        list = NULL;
    }
    cfc_reply_json(reply, 200, list != NULL ? json_pack("{so}", "tokens", list) : NULL);
}

void
cfc_api_delete_token(struct cfc_api *api, const struct cfc_request *request,
                     struct cfc_reply *reply)
{
    char name[sizeof("token:") + CFC_TOKEN_ID_SIZE];
    json_t *answer = json_pack("{ss sb}", "id", request->rest, "deleted", true);
    struct cfc_access_change access = {
        .action = "token-delete", .name = name, .request_name = name, .answer = answer};
    struct cfc_access_result result = {0};

    snprintf(name, sizeof(name), "token:%s", request->rest);
    if (commit(api, request, &access, &result, reply) == CONFCAST_OK) {
        reply->is_replay = result.is_replay;
        cfc_reply_json(reply, 200, result.answer);
    }
    json_decref(answer);
}

static int
roles_record(struct cfc_api *api, json_t **record, json_int_t *version)
{
    json_t *records = NULL;
    json_t *item;
    size_t i;
    int rc = cfc_service_access(api->service, &records);

    *record = NULL;
    *version = 0;
    json_array_foreach(records, i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "name")), "roles") == 0) {
            *record = json_incref(json_object_get(item, "record"));
            *version = json_integer_value(json_object_get(item, "version"));
        }
    }
    json_decref(records);
    if (rc == CONFCAST_OK && *record == NULL) {
        *record = json_pack("{s[]}", "bindings");
        rc = *record != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    }
    return rc;
}

void
cfc_api_get_roles(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    json_int_t version;
    json_t *record;
    int rc = roles_record(api, &record, &version);

    (void)request;
    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    if (!cfc_api_set(record, "version", json_integer(version))) {
        json_decref(record);
        record = NULL;
    }
    cfc_reply_json(reply, 200, record);
}

/* Each {identity, roles, scope}; of one identity at most CFC_GRANTS_MAX. */
static const char *
check_bindings(const json_t *bindings)
{
    size_t i;
    json_t *item;

    if (!json_is_array(bindings) || json_array_size(bindings) > CFC_ACCESS_BINDINGS_MAX) {
        return "bindings: a list of at most 1024";
    }
    json_array_foreach(bindings, i, item)
    {
        const char *identity = json_string_value(json_object_get(item, "identity"));
        struct cfc_grant grant;
        size_t same = 0;
        size_t k;
        json_t *other;

        if (identity == NULL || json_object_size(item) != 3 ||
            !cfc_identity_name_check(identity, true) ||
            cfc_grant_from_json(json_object_get(item, "roles"), json_object_get(item, "scope"),
                                &grant) != CONFCAST_OK) {
            return "each binding is {identity, roles, scope}: a name or uid:NUMBER, a list of "
                   "viewer, author, approver, releaser, operator, and a scope path or *";
        }
        json_array_foreach(bindings, k, other)
        {
            same +=
                json_equal(json_object_get(other, "identity"), json_object_get(item, "identity"));
        }
        if (same > CFC_GRANTS_MAX) {
            return "an identity may have at most 16 bindings";
        }
    }
    return NULL;
}

void
cfc_api_put_roles(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    static const char *const members[] = {"bindings", NULL};
    struct cfc_access_change access = {.action = "roles", .name = "roles", .request_name = "roles"};
    struct cfc_access_result result = {0};
    json_t *body;
    const char *wrong;

    if (!cfc_api_param_uint(request, "expected_version", INT64_MAX, &access.has_expected_version,
                            &access.expected_version, reply) ||
        (body = parse_body(request, members, reply)) == NULL) {
        return;
    }
    access.record = body;
    access.answer = body;
    wrong = check_bindings(json_object_get(body, "bindings"));
    if (wrong != NULL) {
        refuse_invalid(reply, wrong);
    } else if (commit(api, request, &access, &result, reply) == CONFCAST_OK) {
        json_t *answer = json_deep_copy(result.answer);

        if (!cfc_api_set(answer, "version", json_integer((json_int_t)result.version))) {
            json_decref(answer);
            answer = NULL;
        }
        json_decref(result.answer);
        reply->is_replay = result.is_replay;
        cfc_reply_json(reply, 200, answer);
    }
    json_decref(body);
}
