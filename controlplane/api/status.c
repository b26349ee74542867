/* Status: who applied what, once or as it changes. */
#include "controlplane/api/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "protocol/base/time.h"

enum {
    STRAGGLERS_DEFAULT = 20,
    WAIT_S_MAX = 120
};

static json_t *
integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *
reasons_json(const struct cfc_scope_status *status)
{
    json_t *list = json_array();

    for (size_t i = 0; i < status->reason_count; i++) {
        const struct cfc_reject_reason *reason = &status->reasons[i];
        json_t *item = json_pack("{ss sI}", "reason",
                                 reason->error != 0 ? confcast_error_word(reason->error) : "other",
                                 "count", (json_int_t)reason->count);

        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The arms of the published head up to the last one that anybody follows. */
static json_t *
arms_json(const struct cfc_apply_counts *counts)
{
    json_t *list = json_array();
    size_t count = CFC_ARM_COUNT_MAX;

    while (count > 0 && counts->arms[count - 1].alive == 0) {
        count--;
    }
    for (size_t i = 0; i < count; i++) {
        const struct cfc_arm_counts *arm = &counts->arms[i];
        json_t *item = json_pack("{sI sI sI}", "alive", (json_int_t)arm->alive, "applied",
                                 (json_int_t)arm->applied, "rejected", (json_int_t)arm->rejected);

        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *
scope_json(struct cfc_api *api, const char *scope, const struct cfc_scope_status *status)
{
    const struct cfc_apply_counts *counts = &status->counts;
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"version", counts->version},   {"published", counts->published},
        {"total", counts->total},       {"stale", counts->stale},
        {"cloned", counts->cloned},     {"alive", counts->alive},
        {"accepted", counts->accepted}, {"receiving", counts->receiving},
        {"prepared", counts->prepared}, {"applied", counts->applied},
        {"durable", counts->durable},   {"rejected", counts->rejected},
        {"reverted", counts->reverted}, {"degraded", counts->degraded},
        {"silent", counts->silent},     {"behind", status->behind},
        {"change", status->change},
    };
    struct cfc_release_view view = {0};
    json_t *object = json_object();
    const char *state = cfc_service_get_release(api->service, scope, &view) == CONFCAST_OK
                            ? cfc_release_state_word(view.release.state)
                            : cfc_release_state_word(CFC_RELEASE_EMPTY);
    bool is_whole = cfc_api_set(object, "scope", json_string(scope)) &&
                    cfc_api_set(object, "state", json_string(state));

    for (size_t i = 0; is_whole && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        is_whole = cfc_api_set(object, numbers[i].key, integer(numbers[i].value));
    }
    if (!is_whole ||
        !cfc_api_set(object, "published_time", cfc_api_time_json(counts->published_unix_ns)) ||
        !cfc_api_set(object, "behind_since", cfc_api_time_json(status->behind_unix_ns)) ||
        !cfc_api_set(object, "propagation_ms",
                     status->bound_ns != 0 ? integer(status->bound_ns / CFC_MS) : json_null()) ||
        !cfc_api_set(object, "beyond",
                     status->bound_ns != 0 ? integer(status->beyond_bound) : json_null()) ||
        !cfc_api_set(object, "reasons", reasons_json(status)) ||
        !cfc_api_set(object, "arms", arms_json(counts))) {
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
node_json(struct cfc_api *api)
{
    struct cfc_publisher_status status = {0};
    struct cfc_apply_totals totals;
    json_t *object = json_object();

    cfc_service_apply_totals(api->service, &totals);
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
        !cfc_api_set(object, "consumers", integer(status.consumers)) ||
        !cfc_api_set(object, "known", integer(totals.consumers)) ||
        !cfc_api_set(object, "cloned", integer(totals.cloned))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* ---- Bodies -----------------------------------------------------------------------------------
 */

/* Takes over the value. */
static bool
write_json(FILE *out, json_t *value)
{
    bool is_good = value != NULL && json_dumpf(value, out, JSON_COMPACT | JSON_SORT_KEYS) == 0;

    json_decref(value);
    return is_good;
}

/* The scopes whose status changed after `after` (0 = all of them), as the members of a list.  A
 * hundred thousand of them are text at once: as JSON values they would take ten times the memory.
 */
static int
write_scopes(struct cfc_api *api, uint64_t after, uint64_t unix_ns, size_t size_max, FILE *out)
{
    char *scopes = NULL;
    size_t count = 0;
    const char *scope;
    bool is_first = true;
    int rc = after != 0 ? cfc_service_changed_scopes(api->service, after, &scopes, &count)
                        : cfc_service_scopes(api->service, &scopes, &count);

    scope = scopes;
    for (size_t i = 0; rc == CONFCAST_OK && i < count; i++, scope += strlen(scope) + 1) {
        struct cfc_scope_status status;

        if (cfc_service_scope_status(api->service, scope, unix_ns, &status) != CONFCAST_OK) {
            continue;
        }
        if (!is_first) {
            fputc(',', out);
        }
        is_first = false;
        if (!write_json(out, scope_json(api, scope, &status))) {
            rc = CONFCAST_ERR_NO_MEMORY;
        } else if ((size_t)ftell(out) > size_max) {
            rc = CONFCAST_ERR_LIMIT;
        }
    }
    free(scopes);
    return rc;
}

int
cfc_api_all_status(struct cfc_api *api, uint64_t after, uint64_t unix_ns, size_t size_max,
                   char **text, size_t *size, uint64_t *seen)
{
    /* Taken first: a change during the listing is shown twice rather than never. */
    uint64_t change = cfc_service_change(api->service);
    FILE *out = open_memstream(text, size);
    int rc;

    if (out == NULL) {
        *text = NULL;
        return CONFCAST_ERR_NO_MEMORY;
    }
    fprintf(out, "{\"change\":%llu,\"node\":", (unsigned long long)change);
    rc = write_json(out, node_json(api)) ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    fputs(",\"scopes\":[", out);
    if (rc == CONFCAST_OK) {
        rc = write_scopes(api, after, unix_ns, size_max, out);
    }
    fputs("]}", out);
    if (fclose(out) != 0 && rc == CONFCAST_OK) {
        rc = CONFCAST_ERR_NO_MEMORY;
    }
    if (rc != CONFCAST_OK) {
        free(*text);
        *text = NULL;
        return rc;
    }
    *seen = change;
    return CONFCAST_OK;
}

int
cfc_api_scope_status(struct cfc_api *api, const char *scope, size_t stragglers, uint64_t unix_ns,
                     json_t **body, uint64_t *seen)
{
    struct cfc_scope_status status;
    struct cfc_apply_view *items = NULL;
    size_t count = 0;
    json_t *object;
    json_t *list;
    int rc = cfc_service_scope_status(api->service, scope, unix_ns, &status);

    *body = NULL;
    if (rc == CONFCAST_OK && stragglers > 0) {
        rc = cfc_service_stragglers(api->service, scope, stragglers, &items, &count);
    }
    if (rc != CONFCAST_OK) {
        return rc;
    }
    *seen = status.change;
    object = scope_json(api, scope, &status);
    list = json_array();
    if (!cfc_api_append_views(list, items, count) ||
        !cfc_api_set(object, "stragglers", json_incref(list)) ||
        !cfc_api_set(object, "rollout", rollout_json(api, scope))) {
        json_decref(object);
        object = NULL;
    }
    json_decref(list);
    free(items);
    *body = object;
    return object != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

/* ---- Routes -----------------------------------------------------------------------------------
 */

/* ?watch=1, or ?after=CHANGE and ?wait_s=.  False: *reply is the error. */
static bool
read_wait(const struct cfc_request *request, struct cfc_reply *reply)
{
    uint64_t wait_s = 30;
    bool has_wait;
    bool has_after;

    if (!cfc_api_param_flag(request, "watch", &reply->wait.is_stream, reply) ||
        !cfc_api_param_uint(request, "after", UINT64_MAX, &has_after, &reply->wait.after, reply) ||
        !cfc_api_param_uint(request, "wait_s", WAIT_S_MAX, &has_wait, &wait_s, reply)) {
        return false;
    }
    if ((has_wait && !has_after) || (reply->wait.is_stream && has_after)) {
        cfc_reply_error(reply, 400, "invalid", "wait_s goes with after, and neither with watch");
        return false;
    }
    reply->wait.is_poll = has_after;
    reply->wait.wait_ms = (uint32_t)wait_s * 1000;
    return true;
}

/* An answer that may have to wait; false after a failure, which does not. */
static bool
settle(struct cfc_reply *reply, int rc, uint64_t seen)
{
    if (rc != CONFCAST_OK) {
        reply->wait = (struct cfc_wait){.is_poll = false};
        cfc_reply_failure(reply, rc, NULL, NULL);
        return false;
    }
    reply->wait.is_poll = reply->wait.is_poll && seen == reply->wait.after;
    return true;
}

void
cfc_api_get_status(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    char *text = NULL;
    size_t size = 0;
    uint64_t seen = 0;
    int rc;

    if (!read_wait(request, reply)) {
        return;
    }
    rc = cfc_api_all_status(api, 0, request->unix_ns, SIZE_MAX, &text, &size, &seen);
    if (settle(reply, rc, seen)) {
        cfc_reply_text(reply, "application/json", text, size);
    }
}

void
cfc_api_get_scope_status(struct cfc_api *api, const struct cfc_request *request,
                         struct cfc_reply *reply)
{
    uint64_t wanted = STRAGGLERS_DEFAULT;
    json_t *body = NULL;
    uint64_t seen = 0;
    bool is_given;
    int rc;

    if (!cfc_api_param_uint(request, "stragglers", CFC_API_LIMIT_MAX, &is_given, &wanted, reply) ||
        !read_wait(request, reply)) {
        return;
    }
    reply->wait.stragglers = (size_t)wanted;
    rc = cfc_api_scope_status(api, request->rest, (size_t)wanted, request->unix_ns, &body, &seen);
    if (settle(reply, rc, seen)) {
        cfc_reply_json(reply, 200, body);
    }
}
