/* Releases and layers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/time_text.h"
#include "controlplane/json/json_parse.h"

#define NUMBER_MAX 9007199254740991.0 /* 2^53 - 1 */

static void
reply_release(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply,
              const struct cfc_release_view *view, bool is_change)
{
    json_t *object = cfc_api_release_json(&view->release);

    reply->is_replay = view->is_replay;
    if (!cfc_api_set(object, "scope", json_string(request->rest)) ||
        !cfc_api_set(object, "version", json_integer((json_int_t)view->version)) ||
        !cfc_api_set(object, "author", json_string(view->author)) ||
        !cfc_api_set(object, "message", json_string(view->message)) ||
        (is_change &&
         !cfc_api_set(object, "affected", json_integer((json_int_t)view->affected_count))) ||
        (view->preview != NULL &&
         (!cfc_api_set(object, "dry_run", json_true()) ||
          !cfc_api_set(object, "preview", cfc_api_preview_json(api, request, view->preview))))) {
        json_decref(object);
        object = NULL;
    }
    cfc_reply_json(reply, 200, object);
}

void
cfc_api_get_release(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_release_view view = {0};
    int rc = cfc_service_get_release(api->service, request->rest, &view);

    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    reply_release(api, request, reply, &view, false);
}

/* Who moved the release that is in the way, as far as the client may read it. */
static void
name_author(struct cfc_api *api, const struct cfc_request *request, struct cfc_refusal *refusal)
{
    const char *scope = refusal->holder[0] != '\0' ? refusal->holder : request->rest;
    struct cfc_release_view view = {0};
    struct cfc_reply denied = {0};

    if (refusal->has_release && refusal->current_author[0] == '\0' &&
        cfc_api_require(api, request, CFC_RIGHT_READ, scope, &denied) &&
        cfc_service_get_release(api->service, scope, &view) == CONFCAST_OK) {
        memcpy(refusal->current_author, view.author, sizeof(refusal->current_author));
    }
    cfc_reply_clear(&denied);
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
refuse(struct cfc_reply *reply, int rc, const char *message)
{
    cfc_reply_failure(reply, rc, message, NULL);
    return false;
}

/* Takes the members that this build acts on out of the body; what is left over is unknown. */
static bool
take_uint(json_t *body, const char *key, bool *is_given, uint64_t *out, struct cfc_reply *reply)
{
    const json_t *value = json_object_get(body, key);
    double number = json_number_value(value);

    *is_given = value != NULL;
    if (value == NULL) {
        return true;
    }
    /* The strict parser gives every number as a double, which is exact up to 2^53 - 1. */
    if (!json_is_number(value) || number < 0 || number > NUMBER_MAX || number != floor(number)) {
        return refuse(reply, CONFCAST_ERR_INVALID,
                      "revision, expected_release_version, bake_s and confirm_within_s are whole "
                      "numbers from 0");
    }
    *out = (uint64_t)number;
    json_object_del(body, key);
    return true;
}

static bool
take_text(json_t *body, const char *key, char *out, size_t capacity, struct cfc_reply *reply)
{
    const json_t *value = json_object_get(body, key);

    out[0] = '\0';
    if (value == NULL) {
        return true;
    }
    if (!json_is_string(value) || json_string_length(value) >= capacity) {
        return refuse(reply, CONFCAST_ERR_INVALID,
                      "action, strategy, message, activate and require_prepared are strings within "
                      "their limits");
    }
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    json_object_del(body, key);
    return true;
}

/* "now", "hold" or "at=TIME". */
static bool
take_activate(json_t *body, struct cfc_release_plan *plan, struct cfc_reply *reply)
{
    char text[64];

    if (!take_text(body, "activate", text, sizeof(text), reply)) {
        return false;
    }
    if (text[0] == '\0' || strcmp(text, "now") == 0) {
        plan->activation = CFC_ACTIVATE_NOW;
    } else if (strcmp(text, "hold") == 0) {
        plan->activation = CFC_ACTIVATE_HOLD;
    } else if (strncmp(text, "at=", 3) == 0 &&
               cfc_time_parse(text + 3, &plan->activate_unix_ns) == CONFCAST_OK) {
        plan->activation = CFC_ACTIVATE_AT;
    } else {
        return refuse(reply, CONFCAST_ERR_INVALID,
                      "activate is now, hold or at=TIME, like at=2026-07-01T09:30:00Z or "
                      "nanoseconds since 1970");
    }
    return true;
}

static bool
take_plan(json_t *body, struct cfc_release_order *order, struct cfc_reply *reply)
{
    char share[16];
    bool is_given;

    if (!take_activate(body, &order->plan, reply) ||
        !take_uint(body, "bake_s", &is_given, &order->plan.bake_s, reply) ||
        !take_uint(body, "confirm_within_s", &is_given, &order->plan.confirm_within_s, reply) ||
        !take_text(body, "require_prepared", share, sizeof(share), reply)) {
        return false;
    }
    order->has_require_prepared = share[0] != '\0';
    if (order->has_require_prepared &&
        cfc_share_parse(share, &order->plan.require_prepared_ppm) != CONFCAST_OK) {
        return refuse(reply, CONFCAST_ERR_INVALID, "require_prepared is a share like 99%");
    }
    return true;
}

bool
cfc_api_read_order(json_t *body, struct cfc_release_order *order, struct cfc_api_order_text *text,
                   struct cfc_change *change, struct cfc_reply *reply)
{
    bool has_revision;

    if (!take_text(body, "action", text->action, sizeof(text->action), reply) ||
        !take_text(body, "strategy", text->strategy, sizeof(text->strategy), reply) ||
        !take_text(body, "message", text->message, sizeof(text->message), reply) ||
        !take_uint(body, "revision", &has_revision, &order->revision, reply) ||
        !take_uint(body, "expected_release_version", &order->has_expected_version,
                   &order->expected_version, reply) ||
        !take_plan(body, order, reply)) {
        return false;
    }
    if (json_object_size(body) > 0) {
        return refuse(reply, CONFCAST_ERR_INVALID, "the body has a member that is not known here");
    }
    if (cfc_release_action_parse(text->action, &order->action) != CONFCAST_OK ||
        order->action == CFC_ACTION_DELETE) {
        return refuse(reply, CONFCAST_ERR_INVALID,
                      "action is one of promote, advance, pause, resume, abort, rollback, disable, "
                      "enable, quarantine, confirm");
    }
    if (text->strategy[0] != '\0') {
        order->strategy = text->strategy;
    }
    if (text->message[0] != '\0' && change->message == NULL) {
        change->message = text->message;
    }
    return true;
}

void
cfc_api_post_release(struct cfc_api *api, const struct cfc_request *request,
                     struct cfc_reply *reply)
{
    struct cfc_release_order order = {.scope = request->rest};
    struct cfc_release_view view = {0};
    struct cfc_refusal refusal = {0};
    struct cfc_api_order_text text;
    struct cfc_change change;
    json_t *body;
    int rc;

    if (!cfc_api_change(request, &change, reply)) {
        return;
    }
    body = parse_body(request, reply);
    if (body == NULL || !cfc_api_read_order(body, &order, &text, &change, reply)) {
        json_decref(body);
        return;
    }
    json_decref(body);
    rc = cfc_service_release(api->service, &change, &order, &view, &refusal);
    if (rc != CONFCAST_OK) {
        name_author(api, request, &refusal);
        cfc_api_refused(reply, rc, &refusal);
        return;
    }
    reply_release(api, request, reply, &view, true);
    json_decref(view.preview);
}

/* NULL without memory. */
static json_t *
layers_json(const char *scope, const struct cfc_layers *layers)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < layers->count; i++) {
        if (json_array_append_new(list, json_string(layers->scopes[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return json_pack("{ss so sb sI}", "scope", scope, "layers", list, "default",
                     (int)layers->is_default, "version", (json_int_t)layers->version);
}

static void
reply_layers(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply,
             const struct cfc_layers *layers)
{
    json_t *object = layers_json(request->rest, layers);

    reply->is_replay = layers->is_replay;
    if (object != NULL && layers->preview != NULL &&
        (!cfc_api_set(object, "dry_run", json_true()) ||
         !cfc_api_set(object, "preview", cfc_api_preview_json(api, request, layers->preview)))) {
        json_decref(object);
        object = NULL;
    }
    cfc_reply_json(reply, 200, object);
}

/* With the layers that hold, when others were expected. */
static void
refuse_layers(struct cfc_reply *reply, int rc, const char *scope, const struct cfc_layers *layers,
              const struct cfc_refusal *refusal)
{
    json_t *current;

    if (!refusal->has_layers) {
        cfc_api_refused(reply, rc, refusal);
        return;
    }
    current = layers_json(scope, layers);
    if (refusal->current_author[0] != '\0') {
        json_object_set_new(current, "author", json_string(refusal->current_author));
    }
    cfc_reply_failure(reply, rc, refusal->message, current);
}

void
cfc_api_get_layers(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_layers layers = {.count = 0};
    int rc = cfc_service_get_layers(api->service, request->rest, &layers);

    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    reply_layers(api, request, reply, &layers);
}

static bool
read_layers(const json_t *body, const char *names[CFC_LAYER_COUNT_MAX], size_t *count,
            struct cfc_reply *reply)
{
    const json_t *list = json_object_get(body, "layers");

    if (!json_is_array(list) || json_object_size(body) != 1 ||
        json_array_size(list) > CFC_LAYER_COUNT_MAX) {
        return refuse(reply, CONFCAST_ERR_INVALID,
                      "the body is {\"layers\": [...]} with at most 16 scopes");
    }
    *count = json_array_size(list);
    for (size_t i = 0; i < *count; i++) {
        names[i] = json_string_value(json_array_get(list, i));
        if (names[i] == NULL) {
            return refuse(reply, CONFCAST_ERR_INVALID, "a layer is a scope path");
        }
    }
    return true;
}

/* What a scope gets from a layer can be read there, so that naming one takes the right to read it.
 * The prefixes of the scope itself are its layers anyway. */
static bool
may_name_layers(struct cfc_api *api, const struct cfc_request *request, const char *const *names,
                size_t count, struct cfc_reply *reply)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(names[i]);
        bool is_prefix = strncmp(names[i], request->rest, size) == 0 &&
                         (request->rest[size] == '/' || request->rest[size] == '\0');

        if (!is_prefix && !cfc_api_require(api, request, CFC_RIGHT_READ, names[i], reply)) {
            return false;
        }
    }
    return true;
}

void
cfc_api_put_layers(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    const char *names[CFC_LAYER_COUNT_MAX];
    struct cfc_layers layers = {.count = 0};
    struct cfc_refusal refusal = {0};
    struct cfc_change change;
    uint64_t expected = 0;
    bool has_expected = false;
    size_t count = 0;
    json_t *body;
    int rc;

    if (!cfc_api_change(request, &change, reply) ||
        !cfc_api_param_uint(request, "expected_version", UINT64_MAX, &has_expected, &expected,
                            reply)) {
        return;
    }
    body = parse_body(request, reply);
    if (body == NULL || !read_layers(body, names, &count, reply) ||
        !may_name_layers(api, request, names, count, reply)) {
        json_decref(body);
        return;
    }
    rc = cfc_service_set_layers(api->service, &change, request->rest, names, count, has_expected,
                                expected, &layers, &refusal);
    json_decref(body);
    if (rc != CONFCAST_OK) {
        refuse_layers(reply, rc, request->rest, &layers, &refusal);
        return;
    }
    reply_layers(api, request, reply, &layers);
    json_decref(layers.preview);
}
