/* The names below a scope: for those who may read there and nowhere else. */
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "protocol/base/scope.h"

/* Whether `scope` is `top` or below it. */
static bool
is_at_or_below(const char *scope, const char *top)
{
    size_t size = strlen(top);

    return strncmp(scope, top, size) == 0 && (scope[size] == '/' || scope[size] == '\0');
}

/* One more than asked for says whether there are more.  NULL without memory. */
static json_t *
list_names(const char *scopes, size_t count, const char *top, const char *after, size_t count_max,
           const char **next)
{
    json_t *list = json_array();
    const char *last = NULL;

    *next = NULL;
    for (size_t i = 0; i < count; i++, scopes += strlen(scopes) + 1) {
        if (!is_at_or_below(scopes, top) || (after != NULL && strcmp(scopes, after) <= 0)) {
            continue;
        }
        if (json_array_size(list) == count_max) {
            *next = last;
            break;
        }
        if (json_array_append_new(list, json_pack("{ss}", "scope", scopes)) != 0) {
            json_decref(list);
            return NULL;
        }
        last = scopes;
    }
    return list;
}

void
cfc_api_get_scopes(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    const char *after = cfc_target_param(&request->target, "after");
    const char *next = NULL;
    char *scopes = NULL;
    size_t count_max = 0;
    size_t count = 0;
    json_t *list;
    int rc;

    if (!cfc_api_param_limit(request, &count_max, reply)) {
        return;
    }
    if (after != NULL && cfc_scope_check(after, strlen(after)) != CONFCAST_OK) {
        cfc_reply_error(reply, 400, "invalid", "after: a scope");
        return;
    }
    rc = cfc_service_scopes(api->service, &scopes, &count);
    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    list = list_names(scopes, count, request->rest, after, count_max, &next);
    cfc_reply_json(reply, 200,
                   list != NULL ? json_pack("{so ss?}", "scopes", list, "next", next) : NULL);
    free(scopes);
}
