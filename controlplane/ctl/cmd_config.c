/* put, get, delete, history, effective. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "protocol/base/scope.h"

#define INPUT_SIZE_MAX ((size_t)256 << 20)

const char *
cfc_ctl_scope(const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_positional(args, 0);

    if (cfc_scope_check(scope, strlen(scope)) != CONFCAST_OK) {
        cfc_ctl_fail(CFC_EXIT_USAGE,
                     "%s is no scope: 1 to 8 segments of [a-z0-9][a-z0-9._-]{0,62} joined by /",
                     scope);
        return NULL;
    }
    return scope;
}

bool
cfc_ctl_check_uint(const struct cfc_ctl_args *args, const char *name)
{
    const char *text = cfc_ctl_option(args, name);
    uint64_t value;

    if (text != NULL && !cfc_ctl_uint(text, UINT64_MAX, &value)) {
        cfc_ctl_fail(CFC_EXIT_USAGE, "--%s needs a whole number, not %s", name, text);
        return false;
    }
    return true;
}

/* All of a stream; *bytes is on the heap. */
static int
read_stream(FILE *in, const char *name, char **bytes, size_t *size)
{
    size_t capacity = 65536;
    size_t used = 0;
    char *buffer = malloc(capacity);

    while (buffer != NULL) {
        char *grown;

        used += fread(buffer + used, 1, capacity - used, in);
        if (used < capacity) {
            break;
        }
        if (capacity >= INPUT_SIZE_MAX) {
            free(buffer);
            return cfc_ctl_fail(CFC_EXIT_REFUSED, "%s is too big", name);
        }
        capacity *= 2;
        grown = realloc(buffer, capacity);
        if (grown == NULL) {
            free(buffer);
        }
        buffer = grown;
    }
    if (buffer == NULL || ferror(in)) {
        free(buffer);
        return cfc_ctl_fail(CFC_EXIT_USAGE, "cannot read %s: %s", name, strerror(errno));
    }
    *bytes = buffer;
    *size = used;
    return CFC_EXIT_OK;
}

static int
read_input(const char *path, char **bytes, size_t *size)
{
    FILE *in;
    int rc;

    if (strcmp(path, "-") == 0) {
        return read_stream(stdin, "standard input", bytes, size);
    }
    in = fopen(path, "rbe");
    if (in == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "cannot read %s: %s", path, strerror(errno));
    }
    rc = read_stream(in, path, bytes, size);
    fclose(in);
    return rc;
}

static int
promote_put(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, const char *scope, json_t *result)
{
    const char *strategy = cfc_ctl_option(args, "strategy");
    const char *message = cfc_ctl_option(args, "message");
    const char *put_key = ctl->idempotency_key;
    json_t *order =
        json_pack("{ss sO ss* ss*}", "action", "promote", "revision",
                  json_object_get(result, "revision"), "strategy", strategy, "message", message);
    char *text = order != NULL ? json_dumps(order, JSON_COMPACT) : NULL;
    char key[256];
    struct cfc_ctl_path path;
    json_t *release = NULL;
    int rc;

    json_decref(order);
    if (text == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "the message or strategy is not UTF-8");
    }
    if (put_key != NULL) {
        /* One key names one request, and this command makes two. */
        snprintf(key, sizeof(key), "%s.promote", put_key);
        ctl->idempotency_key = key;
    }
    cfc_ctl_path_init(&path, "/v1/release/", scope);
    rc = cfc_ctl_call_json(ctl, "POST", &path, text, strlen(text), &release);
    ctl->idempotency_key = put_key;
    free(text);
    if (rc == CFC_EXIT_OK) {
        json_object_set_new(result, "release", release);
    }
    return rc;
}

static int
print_put(const struct cfc_ctl *ctl, json_t *result)
{
    const json_t *release = json_object_get(result, "release");
    const char *digest = json_string_value(json_object_get(result, "digest"));

    if (ctl->format != CFC_FORMAT_TABLE) {
        return cfc_ctl_print_object(ctl, result);
    }
    printf("%s revision %lld%s%.16s%s\n", json_string_value(json_object_get(result, "scope")),
           json_integer_value(json_object_get(result, "revision")),
           digest != NULL ? " digest " : "", digest != NULL ? digest : "",
           json_is_true(json_object_get(result, "dry_run")) ? " (dry run, nothing written)" : "");
    if (release != NULL) {
        printf("%s %s version %lld\n", json_string_value(json_object_get(result, "scope")),
               json_string_value(json_object_get(release, "state")),
               json_integer_value(json_object_get(release, "version")));
    }
    return CFC_EXIT_OK;
}

int
cfc_ctl_put(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    const char *file = cfc_ctl_option(args, "file");
    bool is_dry_run = cfc_ctl_has(args, "dry-run");
    struct cfc_ctl_path path;
    json_t *result = NULL;
    char *bytes = NULL;
    size_t size = 0;
    int rc;

    if (scope == NULL || !cfc_ctl_check_uint(args, "expected-revision")) {
        return CFC_EXIT_USAGE;
    }
    if (file == NULL || (cfc_ctl_has(args, "strategy") && !cfc_ctl_has(args, "promote"))) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "put needs -f FILE, and --strategy needs --promote");
    }
    if (is_dry_run && cfc_ctl_has(args, "promote")) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--dry-run and --promote exclude each other");
    }
    rc = read_input(file, &bytes, &size);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    cfc_ctl_path_init(&path, "/v1/config/", scope);
    cfc_ctl_path_param(&path, "expected_revision", cfc_ctl_option(args, "expected-revision"));
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    cfc_ctl_path_param(&path, "dry_run", is_dry_run ? "1" : NULL);
    rc = cfc_ctl_call_json(ctl, "PUT", &path, bytes, size, &result);
    free(bytes);
    if (rc == CFC_EXIT_OK && cfc_ctl_has(args, "promote")) {
        rc = promote_put(ctl, args, scope, result);
    }
    if (result != NULL) {
        /* What was written is said even when the promotion was refused. */
        print_put(ctl, result);
        json_decref(result);
    }
    return rc;
}

/* Prints the document of an answer, or with --meta the answer around it. */
static int
get_document(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, const struct cfc_ctl_path *path)
{
    struct cfc_ctl_response response;
    const char *text = NULL;
    size_t size = 0;
    int rc = cfc_ctl_call(ctl, "GET", path, NULL, 0, &response);

    if (rc == CFC_EXIT_OK && cfc_ctl_has(args, "meta")) {
        text = response.body;
        size = response.size;
    } else if (rc == CFC_EXIT_OK &&
               !cfc_ctl_raw_member(response.body, response.size, "document", &text, &size)) {
        rc = cfc_ctl_fail(CFC_EXIT_CONNECT, "%s sent no document", ctl->server);
    }
    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_print_document(ctl, text, size);
    }
    cfc_ctl_response_free(&response);
    return rc;
}

int
cfc_ctl_get(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    struct cfc_ctl_path path;

    if (scope == NULL || !cfc_ctl_check_uint(args, "revision")) {
        return CFC_EXIT_USAGE;
    }
    cfc_ctl_path_init(&path, "/v1/config/", scope);
    cfc_ctl_path_param(&path, "revision", cfc_ctl_option(args, "revision"));
    return get_document(ctl, args, &path);
}

int
cfc_ctl_effective(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    struct cfc_ctl_path path;

    if (scope == NULL) {
        return CFC_EXIT_USAGE;
    }
    cfc_ctl_path_init(&path, "/v1/effective/", scope);
    cfc_ctl_path_param(&path, "variant", cfc_ctl_has(args, "candidate") ? "candidate" : NULL);
    return get_document(ctl, args, &path);
}

int
cfc_ctl_delete(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    struct cfc_ctl_path path;
    json_t *result = NULL;
    int rc;

    if (scope == NULL || !cfc_ctl_check_uint(args, "expected-revision")) {
        return CFC_EXIT_USAGE;
    }
    cfc_ctl_path_init(&path, "/v1/config/", scope);
    cfc_ctl_path_param(&path, "expected_revision", cfc_ctl_option(args, "expected-revision"));
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
    rc = cfc_ctl_call_json(ctl, "DELETE", &path, NULL, 0, &result);
    if (rc == CFC_EXIT_OK) {
        rc = print_put(ctl, result);
        json_decref(result);
    }
    return rc;
}

int
cfc_ctl_history(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    static const struct cfc_ctl_column columns[] = {
        {"REVISION", "revision"}, {"TIME", "time"},       {"AUTHOR", "author"},
        {"SIZE", "size"},         {"DELETED", "deleted"}, {"MESSAGE", "message"},
    };
    const char *scope = cfc_ctl_scope(args);
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    int rc;

    if (scope == NULL || !cfc_ctl_check_uint(args, "limit") ||
        !cfc_ctl_check_uint(args, "before")) {
        return CFC_EXIT_USAGE;
    }
    cfc_ctl_path_init(&path, "/v1/history/", scope);
    cfc_ctl_path_param(&path, "limit", cfc_ctl_option(args, "limit"));
    cfc_ctl_path_param(&path, "before", cfc_ctl_option(args, "before"));
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_print_rows(ctl, answer, "revisions", columns,
                                sizeof(columns) / sizeof(columns[0]));
        json_decref(answer);
    }
    return rc;
}
