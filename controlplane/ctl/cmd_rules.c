/* schema and settings: what is asked of effective configs. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/preview.h"

/* "schema", "schema set": the route is the first word. */
static void
path_of(struct cfc_ctl_path *path, const struct cfc_ctl_args *args, const char *scope)
{
    cfc_ctl_path_init(
        path, strncmp(args->command->name, "schema", 6) == 0 ? "/v1/schema/" : "/v1/settings/",
        scope);
}

int
cfc_ctl_rule_show(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    struct cfc_ctl_path path;

    if (scope == NULL || !cfc_ctl_check_uint(args, "revision")) {
        return CFC_EXIT_USAGE;
    }
    path_of(&path, args, scope);
    cfc_ctl_path_param(&path, "revision", cfc_ctl_option(args, "revision"));
    return cfc_ctl_print_document_of(ctl, args, &path);
}

static int
send_rule(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, const char *scope,
          const char *expected, const char *text, size_t size)
{
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    int rc;

    path_of(&path, args, scope);
    cfc_ctl_path_param(&path, "expected_revision", expected);
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
    rc = cfc_ctl_call_json(ctl, "PUT", &path, text, size, &answer);
    if (rc == CFC_EXIT_OK) {
        rc = cfc_preview_print(ctl, answer);
        json_decref(answer);
    }
    return rc;
}

/* The settings that there are, and the revision to guard them by; none is revision 0. */
static int
read_settings(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, const char *scope,
              json_t **settings, char revision[24])
{
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    int rc;

    path_of(&path, args, scope);
    ctl->accepts_absent = true;
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    ctl->accepts_absent = false;
    if (rc == CFC_EXIT_NOT_FOUND) {
        *settings = json_object();
        snprintf(revision, 24, "0");
        return CFC_EXIT_OK;
    }
    if (rc == CFC_EXIT_OK) {
        *settings = json_incref(json_object_get(answer, "document"));
        snprintf(revision, 24, "%lld", json_integer_value(json_object_get(answer, "revision")));
        json_decref(answer);
    }
    return rc;
}

/* Changes one member and leaves the others. */
static int
set_approval(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, const char *scope)
{
    const char *approval = cfc_ctl_option(args, "approval");
    const char *expected = cfc_ctl_option(args, "expected-revision");
    bool inherits = strcmp(approval, "inherit") == 0;
    json_t *settings = NULL;
    char revision[24];
    uint64_t value = 0;
    char *text;
    int rc;

    if (!inherits && !cfc_ctl_uint(approval, INT64_MAX, &value)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--approval needs a whole number or inherit, not %s",
                            approval);
    }
    rc = read_settings(ctl, args, scope, &settings, revision);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    json_object_set_new(settings, "approval",
                        inherits ? json_null() : json_integer((json_int_t)value));
    text = json_dumps(settings, JSON_COMPACT);
    json_decref(settings);
    rc = text != NULL ? send_rule(ctl, args, scope, expected != NULL ? expected : revision, text,
                                  strlen(text))
                      : cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
    free(text);
    return rc;
}

int
cfc_ctl_rule_set(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    const char *file = cfc_ctl_option(args, "file");
    bool has_approval = cfc_ctl_has(args, "approval");
    char *bytes = NULL;
    size_t size = 0;
    int rc;

    if (scope == NULL || !cfc_ctl_check_uint(args, "expected-revision")) {
        return CFC_EXIT_USAGE;
    }
    if ((file != NULL) == has_approval) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "%s needs %s", args->command->name,
                            strcmp(args->command->name, "schema set") == 0
                                ? "-f FILE"
                                : "either -f FILE or --approval N");
    }
    if (has_approval) {
        return set_approval(ctl, args, scope);
    }
    rc = cfc_ctl_read_input(file, &bytes, &size);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    rc = send_rule(ctl, args, scope, cfc_ctl_option(args, "expected-revision"), bytes, size);
    free(bytes);
    return rc;
}
