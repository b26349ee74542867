#include "controlplane/api/handlers.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "protocol/base/time.h"

static void
refuse_param(struct cfc_reply *reply, const char *name, const char *what)
{
    char message[128];

    snprintf(message, sizeof(message), "%s: %s", name, what);
    cfc_reply_error(reply, 400, "invalid", message);
}

bool
cfc_api_param_uint(const struct cfc_request *request, const char *name, uint64_t max,
                   bool *is_given, uint64_t *out, struct cfc_reply *reply)
{
    const char *text = cfc_target_param(&request->target, name);

    *is_given = text != NULL;
    if (text != NULL && cfc_target_uint(text, max, out) != CONFCAST_OK) {
        refuse_param(reply, name, "not a whole number in its range");
        return false;
    }
    return true;
}

bool
cfc_api_param_flag(const struct cfc_request *request, const char *name, bool *out,
                   struct cfc_reply *reply)
{
    const char *text = cfc_target_param(&request->target, name);

    *out = text != NULL && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
    if (text != NULL && !*out && strcmp(text, "0") != 0 && strcmp(text, "false") != 0) {
        refuse_param(reply, name, "neither 1 nor 0");
        return false;
    }
    return true;
}

bool
cfc_api_param_limit(const struct cfc_request *request, size_t *out, struct cfc_reply *reply)
{
    uint64_t limit = CFC_API_LIMIT_DEFAULT;
    bool is_given;

    if (!cfc_api_param_uint(request, "limit", CFC_API_LIMIT_MAX, &is_given, &limit, reply)) {
        return false;
    }
    if (limit == 0) {
        refuse_param(reply, "limit", "must be at least 1");
        return false;
    }
    *out = (size_t)limit;
    return true;
}

bool
cfc_api_change(const struct cfc_request *request, struct cfc_change *change,
               struct cfc_reply *reply)
{
    const char *message = cfc_target_param(&request->target, "message");

    memset(change, 0, sizeof(*change));
    if (message != NULL && strlen(message) > CFC_MESSAGE_SIZE_MAX) {
        refuse_param(reply, "message", "longer than 1024 bytes");
        return false;
    }
    change->author = request->author;
    change->claimed = request->claimed;
    change->proof = request->identity != NULL ? request->identity->proof : CFC_PROOF_NONE;
    change->message = message;
    change->idempotency_key = request->idempotency_key;
    change->unix_ns = request->unix_ns;
    return cfc_api_param_flag(request, "override", &change->is_override, reply) &&
           cfc_api_param_flag(request, "dry_run", &change->is_dry_run, reply);
}

bool
cfc_api_set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

json_t *
cfc_api_time_json(uint64_t unix_ns)
{
    time_t seconds = (time_t)(unix_ns / CFC_S);
    struct tm utc;
    char text[40];
    size_t size;

    if (unix_ns == 0 || gmtime_r(&seconds, &utc) == NULL) {
        return json_null();
    }
    size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + size, sizeof(text) - size, ".%06uZ", (unsigned)(unix_ns % CFC_S / CFC_US));
    return json_string(text);
}

json_t *
cfc_api_digest_json(const struct cfc_digest *digest)
{
    char text[2 * sizeof(digest->bytes) + 1];

    if (cfc_digest_is_zero(digest)) {
        return json_null();
    }
    sodium_bin2hex(text, sizeof(text), digest->bytes, sizeof(digest->bytes));
    return json_string(text);
}

static json_t *
stage_json(const struct cfc_release *release)
{
    json_t *stages = json_array();
    char strategy[CFC_STRATEGY_TEXT_MAX];

    if (!cfc_release_has_candidate(release)) {
        json_decref(stages);
        return json_null();
    }
    for (uint32_t i = 0; i < release->strategy.stage_count; i++) {
        if (json_array_append_new(stages, json_real(release->strategy.stage_ppm[i] / 10000.0)) !=
            0) {
            json_decref(stages);
            return NULL;
        }
    }
    cfc_strategy_format(&release->strategy, strategy);
    return json_pack("{si ss so}", "index", (int)release->stage_idx, "strategy", strategy,
                     "percents", stages);
}

static json_t *
quarantined_json(const struct cfc_release *release)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < release->quarantined_count; i++) {
        if (json_array_append_new(list, json_integer((json_int_t)release->quarantined[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Revisions that are none are null, so that nobody takes 0 for one. */
static json_t *
revision_json(uint64_t revision)
{
    return revision != 0 ? json_integer((json_int_t)revision) : json_null();
}

static json_t *
share_json(uint32_t ppm)
{
    char text[16];

    snprintf(text, sizeof(text), "%g%%", ppm / 10000.0);
    return ppm != 0 ? json_string(text) : json_null();
}

static json_t *
seconds_json(uint64_t seconds)
{
    return seconds != 0 ? json_integer((json_int_t)seconds) : json_null();
}

/* What a rollout waits for, and why it stands still. */
static bool
set_rollout(json_t *object, const struct cfc_release *release)
{
    static const char *const words[] = {"now", "hold", "at"};
    const struct cfc_release_plan *plan = &release->plan;

    if (!cfc_release_has_candidate(release)) {
        return true;
    }
    return cfc_api_set(object, "activate", json_string(words[plan->activation])) &&
           cfc_api_set(object, "waiting", json_boolean(release->is_waiting)) &&
           cfc_api_set(object, "activate_at", cfc_api_time_json(plan->activate_unix_ns)) &&
           cfc_api_set(object, "require_prepared", share_json(plan->require_prepared_ppm)) &&
           cfc_api_set(object, "bake_s", seconds_json(plan->bake_s)) &&
           cfc_api_set(object, "stage_since", cfc_api_time_json(release->stage_unix_ns)) &&
           cfc_api_set(object, "confirm_by", cfc_api_time_json(release->confirm_by_unix_ns)) &&
           cfc_api_set(object, "confirm_within_s", seconds_json(plan->confirm_within_s)) &&
           cfc_api_set(object, "reason",
                       release->reason[0] != '\0' ? json_string(release->reason) : json_null());
}

json_t *
cfc_api_release_json(const struct cfc_release *release)
{
    json_t *object = json_object();
    json_t *action = release->last_action == CFC_ACTION_NONE
                         ? json_null()
                         : json_string(cfc_release_action_word(release->last_action));

    if (!cfc_api_set(object, "state", json_string(cfc_release_state_word(release->state))) ||
        !cfc_api_set(object, "release_version",
                     json_integer((json_int_t)release->release_version)) ||
        !cfc_api_set(object, "active_revision", revision_json(release->active_revision)) ||
        !cfc_api_set(object, "previous_revision", revision_json(release->previous_revision)) ||
        !cfc_api_set(object, "candidate_revision", revision_json(release->candidate_revision)) ||
        !cfc_api_set(object, "stage", stage_json(release)) ||
        !cfc_api_set(object, "last_action", action) ||
        !cfc_api_set(object, "changed", cfc_api_time_json(release->changed_unix_ns)) ||
        !cfc_api_set(object, "quarantined", quarantined_json(release)) ||
        !set_rollout(object, release)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *
cfc_api_warnings_json(const struct cfc_json_nulls *nulls)
{
    json_t *list = json_array();
    char text[320];

    if (nulls->count > 0) {
        snprintf(
            text, sizeof(text),
            "%zu member%s null, the first at %s: it deletes what the layers before have there, "
            "and no config will have the null itself",
            nulls->count, nulls->count == 1 ? " is" : "s are", nulls->first);
        if (json_array_append_new(list, json_string(text)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *
cfc_api_preview_json(struct cfc_api *api, const struct cfc_request *request, const json_t *preview)
{
    json_t *shown = json_copy((json_t *)(uintptr_t)preview);
    json_t *list = json_array();
    json_t *item;
    size_t i;

    json_array_foreach(json_object_get(preview, "affected"), i, item)
    {
        const char *scope = json_string_value(json_object_get(item, "scope"));
        struct cfc_reply refusal = {0};

        if (cfc_api_require(api, request, CFC_RIGHT_READ, scope, &refusal)) {
            json_array_append(list, item);
        }
        cfc_reply_clear(&refusal);
    }
    if (!cfc_api_set(shown, "affected", list)) {
        json_decref(shown);
        return NULL;
    }
    return shown;
}

void
cfc_api_refused(struct cfc_reply *reply, int rc, const struct cfc_refusal *refusal)
{
    json_t *current = NULL;

    if (refusal->has_release) {
        current = cfc_api_release_json(&refusal->current_release);
    } else if (refusal->has_revision) {
        current = json_pack("{sI}", "revision", (json_int_t)refusal->current_revision);
    } else if (refusal->holder[0] != '\0' || refusal->has_item) {
        current = json_object();
    }
    if (current != NULL && refusal->current_author[0] != '\0') {
        json_object_set_new(current, "author", json_string(refusal->current_author));
    }
    if (current != NULL && refusal->holder[0] != '\0') {
        json_object_set_new(current, "holder", json_string(refusal->holder));
    }
    if (current != NULL && refusal->has_item) {
        json_object_set_new(current, "item", json_integer((json_int_t)refusal->item_idx));
    }
    cfc_reply_failure(reply, rc, refusal->message, current);
}
