/* The audit log. */
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/log/log.h"

static void
reply_list(struct cfc_reply *reply, const char *key, json_t *list, bool is_whole)
{
    if (!is_whole) {
        json_decref(list);
        list = NULL;
    }
    cfc_reply_json(reply, 200, list != NULL ? json_pack("{so}", key, list) : NULL);
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
