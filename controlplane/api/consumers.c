/* The inventory: consumers, and what they said last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "protocol/base/scope.h"

static json_t *
integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* "k=v,k=v" as an object. */
static json_t *
labels_json(const char *text)
{
    json_t *object = json_object();

    while (object != NULL && *text != '\0') {
        size_t size = strcspn(text, ",");
        size_t key_size = strcspn(text, "=");
        char key[CFC_LABEL_SIZE_MAX + 1];

        if (key_size < size && key_size <= CFC_LABEL_SIZE_MAX) {
            memcpy(key, text, key_size);
            key[key_size] = '\0';
            if (json_object_set_new(object, key,
                                    json_stringn(text + key_size + 1, size - key_size - 1)) != 0) {
                json_decref(object);
                return NULL;
            }
        }
        text += size + (text[size] == ',');
    }
    return object;
}

/* Of a consumer that is silent nobody knows what it does now. */
static json_t *
apply_json(const struct cfc_apply_view *view)
{
    const struct cfc_report_entry *entry = &view->entry;
    const char *last_state = cfc_apply_state_name(entry->state);
    json_t *object = json_object();
    json_t *reason =
        entry->reason != 0 ? json_string(confcast_error_word(-(int)entry->reason)) : json_null();

    if (!cfc_api_set(object, "consumer", json_string(view->consumer)) ||
        !cfc_api_set(object, "scope", json_string(view->scope)) ||
        !cfc_api_set(object, "state", json_string(view->is_stale ? "unknown" : last_state)) ||
        !cfc_api_set(object, "last_state", json_string(last_state)) ||
        !cfc_api_set(object, "reason", reason) ||
        !cfc_api_set(object, "accepted", integer(entry->accepted)) ||
        !cfc_api_set(object, "serving", integer(entry->serving_version)) ||
        !cfc_api_set(object, "durable", integer(entry->durable)) ||
        !cfc_api_set(object, "highest_applied", integer(view->highest_applied)) ||
        !cfc_api_set(object, "arm", integer(entry->arm)) ||
        !cfc_api_set(object, "incarnation", integer(view->incarnation)) ||
        !cfc_api_set(object, "labels", labels_json(view->labels)) ||
        !cfc_api_set(object, "stale", json_boolean(view->is_stale)) ||
        !cfc_api_set(object, "cloned", json_boolean(view->is_cloned)) ||
        !cfc_api_set(object, "from_disk",
                     json_boolean((entry->flags & CFC_REPORT_FLAG_FROM_DISK) != 0)) ||
        !cfc_api_set(object, "behind_since", cfc_api_time_json(view->behind_unix_ns)) ||
        !cfc_api_set(object, "seen", cfc_api_time_json(view->seen_unix_ns))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

bool
cfc_api_append_views(json_t *list, const struct cfc_apply_view *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(list, apply_json(&items[i])) != 0) {
            return false;
        }
    }
    return list != NULL;
}

static void
reply_consumers(struct cfc_api *api, const struct cfc_consumer_query *query, bool wants_one,
                struct cfc_reply *reply)
{
    struct cfc_apply_view *items = NULL;
    size_t count = 0;
    uint64_t next = 0;
    json_t *list = json_array();
    char place[32];
    int rc = cfc_service_find_consumers(api->service, query, &items, &count, &next);

    if (rc == CONFCAST_OK && wants_one && count == 0) {
        rc = CONFCAST_ERR_NOT_FOUND;
    }
    if (rc == CONFCAST_OK && !cfc_api_append_views(list, items, count)) {
        rc = CONFCAST_ERR_NO_MEMORY;
    }
    free(items);
    if (rc != CONFCAST_OK) {
        json_decref(list);
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    snprintf(place, sizeof(place), "~%llu", (unsigned long long)next);
    cfc_reply_json(reply, 200,
                   json_pack("{so ss?}", "consumers", list, "next", next != 0 ? place : NULL));
}

/* ?after= an id, or "~" and a place as an answer named it. */
static bool
read_after(const struct cfc_request *request, struct cfc_consumer_query *query,
           struct cfc_reply *reply)
{
    const char *after = cfc_target_param(&request->target, "after");
    bool is_valid = true;

    if (after == NULL) {
        return true;
    }
    if (after[0] == '~') {
        is_valid = cfc_target_uint(after + 1, UINT32_MAX, &query->after_place) == CONFCAST_OK;
    } else {
        is_valid = cfc_consumer_id_check(after, strlen(after)) == CONFCAST_OK;
        query->after = after;
    }
    if (!is_valid) {
        cfc_reply_error(reply, 400, "invalid",
                        "after: a consumer id, or \"next\" of an answer before");
    }
    return is_valid;
}

/* ?state= a state of a report, or stale, or cloned. */
static bool
read_state(const struct cfc_request *request, struct cfc_consumer_query *query,
           struct cfc_reply *reply)
{
    const char *word = cfc_target_param(&request->target, "state");

    if (word == NULL) {
        return true;
    }
    query->is_stale = strcmp(word, "unknown") == 0 || strcmp(word, "stale") == 0;
    query->is_cloned = strcmp(word, "cloned") == 0;
    for (uint8_t state = 0; state <= CFC_APPLY_DEGRADED; state++) {
        if (strcmp(word, cfc_apply_state_name(state)) == 0) {
            query->has_state = true;
            query->state = state;
        }
    }
    if (!query->has_state && !query->is_stale && !query->is_cloned) {
        cfc_reply_error(reply, 400, "invalid",
                        "state: none, receiving, prepared, applied, rejected, reverted, degraded, "
                        "unknown or cloned");
        return false;
    }
    return true;
}

void
cfc_api_get_consumers(struct cfc_api *api, const struct cfc_request *request,
                      struct cfc_reply *reply)
{
    struct cfc_consumer_query query = {
        .scope = cfc_target_param(&request->target, "scope"),
        .label = cfc_target_param(&request->target, "label"),
    };

    if (!cfc_api_param_limit(request, &query.count_max, reply) ||
        !cfc_api_param_flag(request, "behind", &query.is_behind, reply) ||
        !read_after(request, &query, reply) || !read_state(request, &query, reply)) {
        return;
    }
    reply_consumers(api, &query, false, reply);
}

void
cfc_api_get_consumer(struct cfc_api *api, const struct cfc_request *request,
                     struct cfc_reply *reply)
{
    struct cfc_consumer_query query = {.consumer = request->rest, .count_max = CFC_API_LIMIT_MAX};

    reply_consumers(api, &query, true, reply);
}
