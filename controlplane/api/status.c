/* Views: who applied what, the inventory, the audit log. */
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/log/log.h"
#include "protocol/wire/report.h"

static json_t *
integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *
counts_json(struct cfc_api *api, const char *scope, const struct cfc_apply_counts *counts)
{
    struct cfc_release_view view = {0};
    json_t *object = json_object();
    const char *state = cfc_service_get_release(api->service, scope, &view) == CONFCAST_OK
                            ? cfc_release_state_word(view.release.state)
                            : cfc_release_state_word(CFC_RELEASE_EMPTY);

    if (!cfc_api_set(object, "scope", json_string(scope)) ||
        !cfc_api_set(object, "state", json_string(state)) ||
        !cfc_api_set(object, "version", integer(counts->version)) ||
        !cfc_api_set(object, "published", integer(counts->published)) ||
        !cfc_api_set(object, "published_time", cfc_api_time_json(counts->published_unix_ns)) ||
        !cfc_api_set(object, "total", integer(counts->total)) ||
        !cfc_api_set(object, "accepted", integer(counts->accepted)) ||
        !cfc_api_set(object, "prepared", integer(counts->prepared)) ||
        !cfc_api_set(object, "applied", integer(counts->applied)) ||
        !cfc_api_set(object, "durable", integer(counts->durable)) ||
        !cfc_api_set(object, "rejected", integer(counts->rejected)) ||
        !cfc_api_set(object, "stale", integer(counts->stale)) ||
        !cfc_api_set(object, "alive", integer(counts->alive)) ||
        !cfc_api_set(object, "silent", integer(counts->silent))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *
rollout_counts_json(const struct cfc_rollout_counts *counts)
{
    json_t *object = json_object();

    if (!cfc_api_set(object, "total", integer(counts->total)) ||
        !cfc_api_set(object, "alive", integer(counts->alive)) ||
        !cfc_api_set(object, "silent", integer(counts->silent)) ||
        !cfc_api_set(object, "prepared", integer(counts->prepared)) ||
        !cfc_api_set(object, "applied", integer(counts->applied)) ||
        !cfc_api_set(object, "good_clocks", integer(counts->timely)) ||
        !cfc_api_set(object, "good_clocks_prepared", integer(counts->timely_prepared)) ||
        !cfc_api_set(object, "candidate", integer(counts->candidate)) ||
        !cfc_api_set(object, "candidate_applied", integer(counts->candidate_applied)) ||
        !cfc_api_set(object, "candidate_rejected", integer(counts->candidate_rejected)) ||
        !cfc_api_set(object, "stable", integer(counts->stable)) ||
        !cfc_api_set(object, "stable_rejected", integer(counts->stable_rejected))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* The rollout that a scope takes part in: the layer's release, and who reports what; null for none.
 */
static json_t *
rollout_json(struct cfc_api *api, const char *scope)
{
    struct cfc_rollout_view view;
    json_t *object;

    if (cfc_service_rollout(api->service, scope, &view) != CONFCAST_OK) {
        return json_null();
    }
    object = cfc_api_release_json(&view.release);
    if (!cfc_api_set(object, "layer", json_string(view.holder)) ||
        !cfc_api_set(object, "consumers", rollout_counts_json(&view.counts))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *
apply_json(const struct cfc_apply_view *view)
{
    const struct cfc_report_entry *entry = &view->entry;
    json_t *object = json_object();
    json_t *reason =
        entry->reason != 0 ? json_string(confcast_error_word(-(int)entry->reason)) : json_null();

    if (!cfc_api_set(object, "consumer", json_string(view->consumer)) ||
        !cfc_api_set(object, "scope", json_string(view->scope)) ||
        !cfc_api_set(object, "state", json_string(cfc_apply_state_name(entry->state))) ||
        !cfc_api_set(object, "reason", reason) ||
        !cfc_api_set(object, "accepted", integer(entry->accepted)) ||
        !cfc_api_set(object, "serving", integer(entry->serving_version)) ||
        !cfc_api_set(object, "durable", integer(entry->durable)) ||
        !cfc_api_set(object, "highest_applied", integer(view->highest_applied)) ||
        !cfc_api_set(object, "arm", integer(entry->arm)) ||
        !cfc_api_set(object, "stale", json_boolean(view->is_stale)) ||
        !cfc_api_set(object, "from_disk",
                     json_boolean((entry->flags & CFC_REPORT_FLAG_FROM_DISK) != 0)) ||
        !cfc_api_set(object, "seen", cfc_api_time_json(view->seen_unix_ns))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* Appends the views to `list`; false without memory. */
static bool
append_views(json_t *list, const struct cfc_apply_view *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(list, apply_json(&items[i])) != 0) {
            return false;
        }
    }
    return true;
}

static void
reply_list(struct cfc_reply *reply, const char *key, json_t *list, bool is_whole)
{
    if (!is_whole) {
        json_decref(list);
        list = NULL;
    }
    cfc_reply_json(reply, 200, list != NULL ? json_pack("{so}", key, list) : NULL);
}

static json_t *
node_json(struct cfc_api *api)
{
    struct cfc_publisher_status status = {0};
    json_t *object = json_object();

    if (api->publisher != NULL) {
        api->publisher_status(api->publisher, &status);
    }
    if (!cfc_api_set(object, "epoch", integer(cfc_service_epoch(api->service))) ||
        !cfc_api_set(object, "sequence", integer(cfc_service_seq(api->service))) ||
        !cfc_api_set(object, "publishes", json_boolean(api->publisher != NULL)) ||
        !cfc_api_set(object, "engine_connected", json_boolean(status.is_connected)) ||
        !cfc_api_set(object, "refusing", json_boolean(status.is_refusing)) ||
        (status.is_refusing &&
         (!cfc_api_set(object, "seen_epoch", integer(status.proof_epoch)) ||
          !cfc_api_set(object, "seen_version", integer(status.proof_version)))) ||
        !cfc_api_set(object, "heads", integer(status.heads)) ||
        !cfc_api_set(object, "contents", integer(status.contents)) ||
        !cfc_api_set(object, "consumers", integer(status.consumers))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

void
cfc_api_get_status(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    json_t *list = json_array();
    char *scopes = NULL;
    size_t count = 0;
    const char *scope;
    bool is_whole = list != NULL;
    int rc = cfc_service_scopes(api->service, &scopes, &count);

    (void)request;
    if (rc != CONFCAST_OK) {
        json_decref(list);
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    scope = scopes;
    for (size_t i = 0; i < count && is_whole; i++, scope += strlen(scope) + 1) {
        struct cfc_apply_counts counts = {0};

        if (cfc_service_status(api->service, scope, &counts) == CONFCAST_OK) {
            is_whole = json_array_append_new(list, counts_json(api, scope, &counts)) == 0;
        }
    }
    free(scopes);
    if (!is_whole) {
        json_decref(list);
        list = NULL;
    }
    cfc_reply_json(reply, 200,
                   list != NULL ? json_pack("{so so}", "node", node_json(api), "scopes", list)
                                : NULL);
}

/* The bound of the scope's settings, and how many consumers are beyond it; null for none. */
static bool
set_propagation(struct cfc_api *api, const struct cfc_request *request, json_t *object)
{
    struct cfc_propagation propagation = {0};
    bool has_bound = cfc_service_propagation(api->service, request->rest, request->unix_ns,
                                             &propagation) == CONFCAST_OK &&
                     propagation.bound_ms != 0;

    return cfc_api_set(object, "propagation_ms",
                       has_bound ? integer(propagation.bound_ms) : json_null()) &&
           cfc_api_set(object, "beyond", has_bound ? integer(propagation.beyond) : json_null());
}

void
cfc_api_get_scope_status(struct cfc_api *api, const struct cfc_request *request,
                         struct cfc_reply *reply)
{
    struct cfc_apply_counts counts = {0};
    struct cfc_apply_view *items = NULL;
    uint64_t wanted = 20;
    bool is_given;
    size_t count = 0;
    json_t *object;
    json_t *list;
    int rc;

    if (!cfc_api_param_uint(request, "stragglers", CFC_API_LIMIT_MAX, &is_given, &wanted, reply)) {
        return;
    }
    rc = cfc_service_status(api->service, request->rest, &counts);
    if (rc == CONFCAST_OK && wanted > 0) {
        rc = cfc_service_stragglers(api->service, request->rest, (size_t)wanted, &items, &count);
    }
    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    object = counts_json(api, request->rest, &counts);
    list = json_array();
    if (!append_views(list, items, count) ||
        !cfc_api_set(object, "stragglers", json_incref(list)) ||
        !cfc_api_set(object, "rollout", rollout_json(api, request->rest)) ||
        !set_propagation(api, request, object)) {
        json_decref(object);
        object = NULL;
    }
    json_decref(list);
    free(items);
    cfc_reply_json(reply, 200, object);
}

/* Stragglers of all scopes, scope by scope, until `limit` is reached. */
static int
collect_behind(struct cfc_api *api, size_t limit, json_t *list, bool *is_whole)
{
    char *scopes = NULL;
    size_t scope_count = 0;
    const char *scope;
    int rc = cfc_service_scopes(api->service, &scopes, &scope_count);

    scope = scopes;
    for (size_t i = 0;
         rc == CONFCAST_OK && *is_whole && i < scope_count && json_array_size(list) < limit;
         i++, scope += strlen(scope) + 1) {
        struct cfc_apply_view *items = NULL;
        size_t count = 0;

        rc = cfc_service_stragglers(api->service, scope, limit - json_array_size(list), &items,
                                    &count);
        *is_whole = append_views(list, items, count);
        free(items);
        rc = rc == CONFCAST_ERR_NOT_FOUND ? CONFCAST_OK : rc;
    }
    free(scopes);
    return rc;
}

static int
collect_consumers(struct cfc_api *api, const char *consumer, const char *after, size_t limit,
                  json_t *list, bool *is_whole)
{
    struct cfc_apply_view *items = NULL;
    size_t count = 0;
    int rc = cfc_service_consumers(api->service, consumer, after, limit, &items, &count);

    if (rc == CONFCAST_OK) {
        *is_whole = append_views(list, items, count);
        free(items);
    }
    return rc;
}

void
cfc_api_get_consumers(struct cfc_api *api, const struct cfc_request *request,
                      struct cfc_reply *reply)
{
    const char *after = cfc_target_param(&request->target, "after");
    bool wants_behind = false;
    bool is_whole = true;
    size_t limit = 0;
    json_t *list;
    int rc;

    if (!cfc_api_param_limit(request, &limit, reply) ||
        !cfc_api_param_flag(request, "behind", &wants_behind, reply)) {
        return;
    }
    list = json_array();
    rc = wants_behind ? collect_behind(api, limit, list, &is_whole)
                      : collect_consumers(api, NULL, after, limit, list, &is_whole);
    if (rc != CONFCAST_OK) {
        json_decref(list);
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    reply_list(reply, "consumers", list, is_whole);
}

void
cfc_api_get_consumer(struct cfc_api *api, const struct cfc_request *request,
                     struct cfc_reply *reply)
{
    json_t *list = json_array();
    bool is_whole = true;
    int rc = collect_consumers(api, request->rest, NULL, CFC_API_LIMIT_MAX, list, &is_whole);

    if (rc == CONFCAST_OK && json_array_size(list) == 0 && is_whole) {
        rc = CONFCAST_ERR_NOT_FOUND;
    }
    if (rc != CONFCAST_OK) {
        json_decref(list);
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    reply_list(reply, "consumers", list, is_whole);
}

/* A broken chain names its entry, and how the rest can still be read. */
static void
refuse_audit(struct cfc_reply *reply, int rc, uint64_t broken)
{
    if (broken == 0) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    cfc_log(CFC_LOG_ERROR, "audit", "the chain is broken entry=%llu", (unsigned long long)broken);
    cfc_reply_failure(reply, rc,
                      "an entry of the audit log was edited or removed in the store; read below it "
                      "with before=, above it with format=lines and after=",
                      json_pack("{sI}", "n", (json_int_t)broken));
}

/* Entries as lines of JSON just as they are stored, from the oldest up. */
static void
reply_audit_lines(struct cfc_api *api, const struct cfc_request *request, size_t limit,
                  struct cfc_reply *reply)
{
    uint64_t after = 0;
    bool is_given;
    char *text = NULL;
    size_t size = 0;
    uint64_t broken = 0;
    int rc;

    if (!cfc_api_param_uint(request, "after", UINT64_MAX, &is_given, &after, reply)) {
        return;
    }
    rc = cfc_service_audit_lines(api->service, after, limit, &text, &size, &broken);
    if (rc == CONFCAST_OK && text == NULL && (text = strdup("")) == NULL) {
        rc = CONFCAST_ERR_NO_MEMORY;
    }
    if (rc != CONFCAST_OK) {
        refuse_audit(reply, rc, broken);
        return;
    }
    cfc_reply_text(reply, "application/x-ndjson", text, size);
}

void
cfc_api_get_audit(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    const char *format = cfc_target_param(&request->target, "format");
    bool wants_lines = format != NULL && strcmp(format, "lines") == 0;
    uint64_t before = 0;
    uint64_t broken = 0;
    bool is_given;
    size_t limit = 0;
    json_t *entries = NULL;
    json_t *entry;
    size_t i;
    bool is_whole = true;
    int rc;

    if (!cfc_api_param_limit(request, &limit, reply) ||
        !cfc_api_param_uint(request, "before", UINT64_MAX, &is_given, &before, reply)) {
        return;
    }
    if ((format != NULL && !wants_lines) ||
        cfc_target_param(&request->target, wants_lines ? "before" : "after") != NULL) {
        cfc_reply_error(reply, 400, "invalid",
                        "format is lines or absent; after goes with lines, before without");
        return;
    }
    if (wants_lines) {
        reply_audit_lines(api, request, limit, reply);
        return;
    }
    rc = cfc_service_audit(api->service, before, limit, &entries, &broken);
    if (rc != CONFCAST_OK) {
        refuse_audit(reply, rc, broken);
        return;
    }
    json_array_foreach(entries, i, entry)
    {
        uint64_t unix_ns = (uint64_t)json_integer_value(json_object_get(entry, "time_unix_ns"));

        is_whole = is_whole && cfc_api_set(entry, "time", cfc_api_time_json(unix_ns));
    }
    reply_list(reply, "entries", entries, is_whole);
}
