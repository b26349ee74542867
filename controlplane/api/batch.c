/* POST /v1/batch: several puts, deletes and release actions in one step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/json/json_parse.h"

#define NUMBER_MAX 9007199254740991.0 /* 2^53 - 1 */

/* A batch on its way in: the parsed body, and the items that point into it. */
struct batch {
    json_t *body;
    struct cfc_batch_item *items;
    struct cfc_api_order_text *texts; /* one per item */
    size_t count;
};

static bool
refuse_item(struct cfc_reply *reply, size_t idx, const char *message)
{
    cfc_reply_failure(reply, CONFCAST_ERR_INVALID, message,
                      json_pack("{sI}", "item", (json_int_t)idx));
    return false;
}

/* ?expected_revision of the single calls. */
static bool
read_guard(const json_t *item, struct cfc_put *put)
{
    const json_t *value = json_object_get(item, "expected_revision");
    double number = json_number_value(value);

    put->has_expected_revision = value != NULL;
    if (value == NULL) {
        return true;
    }
    if (!json_is_number(value) || number < 0 || number > NUMBER_MAX || number != floor(number)) {
        return false;
    }
    put->expected_revision = (uint64_t)number;
    return true;
}

static bool
read_write(json_t *item, size_t idx, struct cfc_batch_item *out, struct cfc_reply *reply)
{
    bool is_put = out->kind == CFC_BATCH_PUT;
    size_t known_count = 1;

    if (!read_guard(item, &out->put)) {
        return refuse_item(reply, idx, "expected_revision is a whole number from 0");
    }
    known_count += out->put.has_expected_revision ? 1 : 0;
    if (is_put) {
        out->put.document = json_object_get(item, "document");
        known_count++;
        if (!json_is_object(out->put.document)) {
            return refuse_item(reply, idx, "a put has a document, which is a JSON object");
        }
    }
    if (json_object_size(item) != known_count) {
        return refuse_item(reply, idx, "the item has a member that is not known here");
    }
    return true;
}

static bool
read_item(json_t *item, size_t idx, struct batch *batch, struct cfc_reply *reply)
{
    static const char *const kinds[] = {"put", "delete", "release"};
    struct cfc_batch_item *out = &batch->items[idx];
    struct cfc_change change = {.message = ""}; /* an item has no message of its own */
    const char *scope = NULL;
    bool is_read;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *value = json_string_value(json_object_get(item, kinds[i]));

        if (value != NULL && scope != NULL) {
            return refuse_item(reply, idx, "an item is one of put, delete, release");
        }
        if (value != NULL) {
            out->kind = (enum cfc_batch_kind)i;
            scope = value;
        }
    }
    if (scope == NULL) {
        return refuse_item(reply, idx, "an item is one of put, delete, release, with a scope");
    }
    if (out->kind != CFC_BATCH_RELEASE) {
        out->put.scope = scope;
        return read_write(item, idx, out, reply);
    }
    out->order.scope = scope;
    if (json_object_get(item, "message") != NULL) {
        return refuse_item(reply, idx, "the message belongs to the batch, not to an item");
    }
    json_incref(json_object_get(item, "release")); /* the scope outlives its member */
    json_array_append_new(json_object_get(batch->body, "scopes"), json_object_get(item, "release"));
    json_object_del(item, "release");
    is_read = cfc_api_read_order(item, &out->order, &batch->texts[idx], &change, reply);
    return is_read;
}

/* The message of the body, unless the URL has one. */
static bool
read_message(const struct batch *batch, struct cfc_change *change, struct cfc_reply *reply)
{
    const json_t *message = json_object_get(batch->body, "message");

    if (message != NULL && !json_is_string(message)) {
        cfc_reply_failure(reply, CONFCAST_ERR_INVALID, "message is a string", NULL);
        return false;
    }
    if (message != NULL && change->message == NULL) {
        change->message = json_string_value(message);
    }
    return true;
}

static bool
read_batch(struct batch *batch, struct cfc_change *change, struct cfc_reply *reply)
{
    json_t *items = json_object_get(batch->body, "items");
    size_t known_count = json_object_get(batch->body, "message") != NULL ? 2 : 1;

    batch->count = json_array_size(items);
    if (!json_is_array(items) || json_object_size(batch->body) != known_count ||
        batch->count == 0) {
        cfc_reply_failure(reply, CONFCAST_ERR_INVALID,
                          "the body is {\"items\": [...], \"message\": ...} with at least one item",
                          NULL);
        return false;
    }
    if (batch->count > CFC_BATCH_ITEM_COUNT_MAX) {
        cfc_reply_failure(reply, CONFCAST_ERR_LIMIT, "a batch has at most 256 items", NULL);
        return false;
    }
    batch->items = calloc(batch->count, sizeof(*batch->items));
    batch->texts = calloc(batch->count, sizeof(*batch->texts));
    if (batch->items == NULL || batch->texts == NULL ||
        json_object_set_new(batch->body, "scopes", json_array()) != 0) {
        cfc_reply_failure(reply, CONFCAST_ERR_NO_MEMORY, NULL, NULL);
        return false;
    }
    if (!read_message(batch, change, reply)) {
        return false;
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (!read_item(json_array_get(items, i), i, batch, reply)) {
            return false;
        }
    }
    return true;
}

/* The rule of the route: each scope of the body, by what is done to it. */
static bool
may_do_all(struct cfc_api *api, const struct cfc_request *request, const struct batch *batch,
           struct cfc_reply *reply)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct cfc_batch_item *item = &batch->items[i];
        bool is_release = item->kind == CFC_BATCH_RELEASE;

        if (!cfc_api_require(api, request, is_release ? CFC_RIGHT_RELEASE : CFC_RIGHT_WRITE,
                             is_release ? item->order.scope : item->put.scope, reply)) {
            return false;
        }
    }
    return true;
}

static json_t *
item_json(const struct cfc_batch_item_result *item)
{
    static const char *const kinds[] = {"put", "delete", "release"};
    json_t *object = json_object();

    if (!cfc_api_set(object, "action", json_string(kinds[item->kind])) ||
        !cfc_api_set(object, "scope", json_string(item->scope))) {
        json_decref(object);
        return NULL;
    }
    if (item->kind != CFC_BATCH_RELEASE) {
        json_object_set_new(object, "revision", json_integer((json_int_t)item->revision));
        json_object_set_new(object, "digest", cfc_api_digest_json(&item->digest));
        if (item->nulls.count > 0) {
            json_object_set_new(object, "warnings", cfc_api_warnings_json(&item->nulls));
        }
    }
    if (item->has_release) {
        json_object_set_new(object, "release", cfc_api_release_json(&item->release));
    }
    return object;
}

static json_t *
result_json(struct cfc_api *api, const struct cfc_request *request,
            const struct cfc_batch_result *result, const struct cfc_change *change)
{
    json_t *object = json_object();
    json_t *items = json_array();

    for (size_t i = 0; i < result->count; i++) {
        if (json_array_append_new(items, item_json(&result->items[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    if (!cfc_api_set(object, "items", items) ||
        !cfc_api_set(object, "version", json_integer((json_int_t)result->seq)) ||
        !cfc_api_set(object, "affected", json_integer((json_int_t)result->affected_count)) ||
        (change->is_dry_run &&
         (!cfc_api_set(object, "dry_run", json_true()) ||
          !cfc_api_set(object, "preview", cfc_api_preview_json(api, request, result->preview))))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static void
run(struct cfc_api *api, const struct cfc_request *request, struct batch *batch,
    struct cfc_change *change, struct cfc_reply *reply)
{
    struct cfc_refusal refusal = {0};
    struct cfc_batch_result result;
    int rc = cfc_service_batch(api->service, change, batch->items, batch->count, &result, &refusal);

    if (rc == CONFCAST_OK) {
        reply->is_replay = result.is_replay;
        cfc_reply_json(reply, 200, result_json(api, request, &result, change));
        cfc_batch_result_free(&result);
    } else {
        cfc_api_refused(reply, rc, &refusal);
    }
}

void
cfc_api_post_batch(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct batch batch = {.body = NULL};
    struct cfc_json_error error = {.message = ""};
    struct cfc_change change;
    int rc;

    if (cfc_api_change(request, &change, reply)) {
        rc = cfc_json_parse_object(request->body != NULL ? request->body : "", request->body_size,
                                   api->document_size_max, &batch.body, &error);
        if (rc != CONFCAST_OK) {
            cfc_reply_failure(reply, rc, error.message, NULL);
        } else if (read_batch(&batch, &change, reply) && may_do_all(api, request, &batch, reply)) {
            run(api, request, &batch, &change, reply);
        }
    }
    json_decref(batch.body);
    free(batch.items);
    free(batch.texts);
}
