/* Release actions and layers. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/preview.h"

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
        rc = cfc_preview_print(ctl, answer);
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

/* A time span in whole seconds; false (said) when it is none. */
static bool
check_seconds(const struct cfc_ctl_args *args, const char *name, json_t **out)
{
    const char *text = cfc_ctl_option(args, name);
    uint64_t ms;

    *out = NULL;
    if (text == NULL) {
        return true;
    }
    if (!cfc_ctl_duration_ms(text, &ms) || ms % 1000 != 0 || ms == 0) {
        cfc_ctl_fail(CFC_EXIT_USAGE, "--%s needs a time in whole seconds like 10m", name);
        return false;
    }
    *out = json_integer((json_int_t)(ms / 1000));
    return true;
}

/* "at=+30s" becomes a point in time; everything else is the server's to judge. */
static json_t *
activation(const struct cfc_ctl_args *args)
{
    const char *text = cfc_ctl_option(args, "activate");
    struct timespec now;
    char absolute[40];
    uint64_t ms;

    if (text == NULL || strncmp(text, "at=+", 4) != 0 || !cfc_ctl_duration_ms(text + 4, &ms)) {
        return text != NULL ? json_string(text) : NULL;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(absolute, sizeof(absolute), "at=%llu%09llu",
             (unsigned long long)now.tv_sec + ms / 1000 +
                 ((unsigned long long)now.tv_nsec + ms % 1000 * 1000000) / 1000000000,
             ((unsigned long long)now.tv_nsec + ms % 1000 * 1000000) % 1000000000);
    return json_string(absolute);
}

int
cfc_ctl_release(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    const char *positional = cfc_ctl_positional(args, 1);
    const char *revision = positional != NULL ? positional : cfc_ctl_option(args, "to");
    const char *expected = cfc_ctl_option(args, "expected-release-version");
    json_t *bake;
    json_t *confirm;
    struct cfc_ctl_path path;
    uint64_t value;

    if (scope == NULL || !cfc_ctl_check_uint(args, "expected-release-version") ||
        !cfc_ctl_check_uint(args, "to")) {
        return CFC_EXIT_USAGE;
    }
    if (positional != NULL && !cfc_ctl_uint(positional, INT64_MAX, &value)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "%s is no revision", positional);
    }
    if (!check_seconds(args, "bake", &bake)) {
        return CFC_EXIT_USAGE;
    }
    if (!check_seconds(args, "confirm-within", &confirm)) {
        json_decref(bake);
        return CFC_EXIT_USAGE;
    }
    cfc_ctl_path_init(&path, "/v1/release/", scope);
    cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
    cfc_ctl_path_param(&path, "override", cfc_ctl_has(args, "override") ? "1" : NULL);
    return send_object(
        ctl, "POST", &path,
        json_pack("{ss so* ss* ss* so* so* so* so* ss*}", "action", args->command->name, "revision",
                  number(revision), "strategy", cfc_ctl_option(args, "strategy"), "message",
                  cfc_ctl_option(args, "message"), "expected_release_version", number(expected),
                  "activate", activation(args), "bake_s", bake, "confirm_within_s", confirm,
                  "require_prepared", cfc_ctl_option(args, "require-prepared")));
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
        rc = cfc_preview_print(ctl, answer);
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

/* The digest that begins with the digits that were read, if that revision has it: whole digits go
 * to the server as they are. */
static int
whole_digest(struct cfc_ctl *ctl, const char *scope, const char *revision, const char *digits,
             char digest[CFC_CTL_DIGEST_SIZE + 1])
{
    size_t size = strlen(digits);
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    const char *found;
    int rc;

    if (size < CFC_CTL_DIGEST_DIGITS || size > CFC_CTL_DIGEST_SIZE ||
        strspn(digits, "0123456789abcdef") != size) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "a digest is at least %d of its hex digits",
                            CFC_CTL_DIGEST_DIGITS);
    }
    memcpy(digest, digits, size + 1);
    if (size == CFC_CTL_DIGEST_SIZE) {
        return CFC_EXIT_OK;
    }
    cfc_ctl_path_init(&path, "/v1/config/", scope);
    cfc_ctl_path_param(&path, "revision", revision);
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    found = json_string_value(json_object_get(answer, "digest"));
    if (found == NULL || strlen(found) != CFC_CTL_DIGEST_SIZE || memcmp(found, digits, size) != 0) {
        rc = cfc_ctl_fail(CFC_EXIT_CONFLICT, "revision %s of %s has the digest %s", revision, scope,
                          found != NULL ? found : "of nothing");
    } else {
        memcpy(digest, found, CFC_CTL_DIGEST_SIZE + 1);
    }
    json_decref(answer);
    return rc;
}

int
cfc_ctl_approve(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    const char *revision = cfc_ctl_positional(args, 1);
    char digest[CFC_CTL_DIGEST_SIZE + 1];
    struct cfc_ctl_path path;
    uint64_t value;
    int rc;

    if (scope == NULL) {
        return CFC_EXIT_USAGE;
    }
    if (!cfc_ctl_uint(revision, INT64_MAX, &value)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "%s is no revision", revision);
    }
    rc = whole_digest(ctl, scope, revision, cfc_ctl_positional(args, 2), digest);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    cfc_ctl_path_init(&path, "/v1/approve/", scope);
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
    return send_object(ctl, "POST", &path,
                       json_pack("{so ss}", "revision", number(revision), "digest", digest));
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
    cfc_ctl_path_param(&path, "override", cfc_ctl_has(args, "override") ? "1" : NULL);
    return send_object(ctl, "PUT", &path, json_pack("{so}", "layers", list));
}
