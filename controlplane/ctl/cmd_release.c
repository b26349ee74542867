/* Release actions and layers. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"

/* Sends a body and prints the object that comes back. */
static int
send_object(struct cfc_ctl *ctl, const char *method, const struct cfc_ctl_path *path, json_t *body)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_t *answer = NULL;
    int rc;

    json_decref(body);
    if (text == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "an argument is not UTF-8");
    }
    rc = cfc_ctl_call_json(ctl, method, path, text, strlen(text), &answer);
    free(text);
    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_print_object(ctl, answer);
        json_decref(answer);
    }
    return rc;
}

/* A whole number given as an option or positional; NULL for none. */
static json_t *
number(const char *text)
{
    uint64_t value;

    return text != NULL && cfc_ctl_uint(text, INT64_MAX, &value) ? json_integer((json_int_t)value)
                                                                 : NULL;
}

int
cfc_ctl_release(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    const char *positional = cfc_ctl_positional(args, 1);
    const char *revision = positional != NULL ? positional : cfc_ctl_option(args, "to");
    const char *expected = cfc_ctl_option(args, "expected-release-version");
    struct cfc_ctl_path path;
    uint64_t value;

    if (scope == NULL || !cfc_ctl_check_uint(args, "expected-release-version") ||
        !cfc_ctl_check_uint(args, "to")) {
        return CFC_EXIT_USAGE;
    }
    if (positional != NULL && !cfc_ctl_uint(positional, INT64_MAX, &value)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "%s is no revision", positional);
    }
    cfc_ctl_path_init(&path, "/v1/release/", scope);
    cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
    return send_object(ctl, "POST", &path,
                       json_pack("{ss so* ss* ss* so*}", "action", args->command->name, "revision",
                                 number(revision), "strategy", cfc_ctl_option(args, "strategy"),
                                 "message", cfc_ctl_option(args, "message"),
                                 "expected_release_version", number(expected)));
}

static int
print_get(struct cfc_ctl *ctl, const char *prefix, const char *scope)
{
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    int rc;

    cfc_ctl_path_init(&path, prefix, scope);
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_print_object(ctl, answer);
        json_decref(answer);
    }
    return rc;
}

int
cfc_ctl_show_release(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);

    return scope != NULL ? print_get(ctl, "/v1/release/", scope) : CFC_EXIT_USAGE;
}

int
cfc_ctl_layers_show(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);

    return scope != NULL ? print_get(ctl, "/v1/layers/", scope) : CFC_EXIT_USAGE;
}

int
cfc_ctl_layers_set(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    bool wants_default = cfc_ctl_has(args, "default");
    json_t *list;
    struct cfc_ctl_path path;

    if (scope == NULL || !cfc_ctl_check_uint(args, "expected-version")) {
        return CFC_EXIT_USAGE;
    }
    if (wants_default == (args->positional_count > 1)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "layers set needs layers, or --default");
    }
    list = json_array();
    for (size_t i = 1; i < args->positional_count; i++) {
        json_array_append_new(list, json_string(cfc_ctl_positional(args, i)));
    }
    cfc_ctl_path_init(&path, "/v1/layers/", scope);
    cfc_ctl_path_param(&path, "expected_version", cfc_ctl_option(args, "expected-version"));
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
    return send_object(ctl, "PUT", &path, json_pack("{so}", "layers", list));
}
