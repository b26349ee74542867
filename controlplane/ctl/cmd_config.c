/* put, get, delete, history. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/preview.h"
#include "controlplane/ctl/terminal.h"
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

int
cfc_ctl_read_input(const char *path, char **bytes, size_t *size)
{
    FILE *in;
    int rc;

    if (strcmp(path, "-") == 0) {
        return read_stream(stdin, "standard input", bytes, size);
    }
    in = fopen(path, "rbe");
    if (in == NULL) {
        return cfc_ctl_fail(errno == ENOENT ? CFC_EXIT_NOT_FOUND : CFC_EXIT_USAGE,
                            "cannot read %s: %s", path, strerror(errno));
    }
    rc = read_stream(in, path, bytes, size);
    fclose(in);
    return rc;
}

/* The body of a batch that puts a document and promotes it; NULL without memory, or when something
 * is not UTF-8. */
static char *
promote_body(const struct cfc_ctl_args *args, const char *scope, const char *bytes, size_t size,
             size_t *body_size)
{
    const char *expected = cfc_ctl_option(args, "expected-revision");
    json_t *release = json_pack("{ss ss ss*}", "release", scope, "action", "promote", "strategy",
                                cfc_ctl_option(args, "strategy"));
    char *order = release != NULL ? json_dumps(release, JSON_COMPACT) : NULL;
    char *body = NULL;
    FILE *out = order != NULL ? open_memstream(&body, body_size) : NULL;

    json_decref(release);
    if (out != NULL) {
        /* The document goes as it is: the server is strict about what a parser here would mend. */
        fprintf(out, "{\"items\":[{\"put\":\"%s\"%s%s,\"document\":", scope,
                expected != NULL ? ",\"expected_revision\":" : "",
                expected != NULL ? expected : "");
        fwrite(bytes, 1, size, out);
        fprintf(out, "},%s]}", order);
        if (fclose(out) != 0) {
            free(body);
            body = NULL;
        }
    }
    free(order);
    return body;
}

/* Puts and promotes in one step; *result is shaped as that of a put. */
static int
put_and_promote(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, const char *scope,
                const char *bytes, size_t size, json_t **result)
{
    json_t *document = json_loadb(bytes, size, 0, NULL);
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    json_t *release;
    size_t body_size;
    char *body;
    int rc;

    if (!json_is_object(document)) {
        json_decref(document);
        return cfc_ctl_fail(CFC_EXIT_USAGE, "the document is no JSON object");
    }
    json_decref(document);
    body = promote_body(args, scope, bytes, size, &body_size);
    if (body == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "the strategy is not UTF-8");
    }
    cfc_ctl_path_init(&path, "/v1/batch", NULL);
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
    cfc_ctl_path_param(&path, "override", cfc_ctl_has(args, "override") ? "1" : NULL);
    rc = cfc_ctl_call_json(ctl, "POST", &path, body, body_size, &answer);
    free(body);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    *result = json_incref(json_array_get(json_object_get(answer, "items"), 0));
    release = json_object_get(json_array_get(json_object_get(answer, "items"), 1), "release");
    json_object_del(*result, "action");
    json_object_update_missing(*result, answer);
    json_object_del(*result, "items");
    json_object_set(release, "version", json_object_get(answer, "version"));
    json_object_set(*result, "release", release);
    json_decref(answer);
    return CFC_EXIT_OK;
}

/* What promoting it would do, or why that would be refused. */
static void
print_dry_run(const json_t *result)
{
    const json_t *promotion = json_object_get(result, "promotion");
    const json_t *error = json_object_get(promotion, "error");
    const json_t *preview = json_object_get(promotion != NULL ? promotion : result, "preview");

    if (json_is_object(error)) {
        printf("a promotion would be refused: %s: %s\n",
               json_string_value(json_object_get(error, "code")),
               json_string_value(json_object_get(error, "message")));
        return;
    }
    fputs(promotion != NULL ? "promoted to all, it " : "", stdout);
    cfc_preview_write(stdout, preview, cfc_terminal_has_color(stdout));
}

static int
print_put(const struct cfc_ctl *ctl, json_t *result)
{
    const json_t *release = json_object_get(result, "release");
    const char *digest = json_string_value(json_object_get(result, "digest"));

    if (ctl->format != CFC_FORMAT_TABLE) {
        return cfc_ctl_print_object(ctl, result);
    }
    cfc_preview_warn(ctl, result);
    printf("%s revision %lld%s%.16s%s\n", json_string_value(json_object_get(result, "scope")),
           json_integer_value(json_object_get(result, "revision")),
           digest != NULL ? " digest " : "", digest != NULL ? digest : "",
           json_is_true(json_object_get(result, "dry_run")) ? " (dry run, nothing written)" : "");
    if (json_is_true(json_object_get(result, "dry_run"))) {
        print_dry_run(result);
    } else if (release != NULL) {
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
    struct cfc_ctl_path path;
    json_t *result = NULL;
    char *bytes = NULL;
    size_t size = 0;
    int rc;

    if (scope == NULL || !cfc_ctl_check_uint(args, "expected-revision")) {
        return CFC_EXIT_USAGE;
    }
    if (file == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "put needs -f FILE; -f - is standard input");
    }
    if (cfc_ctl_has(args, "strategy") && !cfc_ctl_has(args, "promote")) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--strategy says how to release: it needs --promote");
    }
    rc = cfc_ctl_read_input(file, &bytes, &size);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    if (cfc_ctl_has(args, "promote")) {
        rc = put_and_promote(ctl, args, scope, bytes, size, &result);
    } else {
        cfc_ctl_path_init(&path, "/v1/config/", scope);
        cfc_ctl_path_param(&path, "expected_revision", cfc_ctl_option(args, "expected-revision"));
        cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
        cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
        rc = cfc_ctl_call_json(ctl, "PUT", &path, bytes, size, &result);
    }
    free(bytes);
    if (rc == CFC_EXIT_OK) {
        rc = print_put(ctl, result);
        json_decref(result);
    }
    return rc;
}

int
cfc_ctl_print_document_of(struct cfc_ctl *ctl, const struct cfc_ctl_args *args,
                          const struct cfc_ctl_path *path)
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
    return cfc_ctl_print_document_of(ctl, args, &path);
}

/* What consumers would see of it: a batch of one knows. */
static int
preview_delete(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, const char *scope)
{
    const char *expected = cfc_ctl_option(args, "expected-revision");
    json_t *item = json_pack("{ss}", "delete", scope);
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    json_t *result;
    char *body;
    int rc;

    if (expected != NULL) {
        json_object_set_new(item, "expected_revision",
                            json_integer((json_int_t)strtoull(expected, NULL, 10)));
    }
    item = json_pack("{s[o]}", "items", item);
    body = json_dumps(item, JSON_COMPACT);
    json_decref(item);
    if (body == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "an argument is not UTF-8");
    }
    cfc_ctl_path_init(&path, "/v1/batch", NULL);
    cfc_ctl_path_param(&path, "dry_run", "1");
    rc = cfc_ctl_call_json(ctl, "POST", &path, body, strlen(body), &answer);
    free(body);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    result = json_copy(json_array_get(json_object_get(answer, "items"), 0));
    json_object_del(result, "action");
    json_object_set(result, "dry_run", json_true());
    json_object_set(result, "preview", json_object_get(answer, "preview"));
    rc = print_put(ctl, result);
    json_decref(result);
    json_decref(answer);
    return rc;
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
    if (cfc_ctl_has(args, "dry-run")) {
        return preview_delete(ctl, args, scope);
    }
    cfc_ctl_path_init(&path, "/v1/config/", scope);
    cfc_ctl_path_param(&path, "expected_revision", cfc_ctl_option(args, "expected-revision"));
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    rc = cfc_ctl_call_json(ctl, "DELETE", &path, NULL, 0, &result);
    if (rc == CFC_EXIT_OK) {
        rc = print_put(ctl, result);
        json_decref(result);
    }
    return rc;
}

/* For people: as many digits as approve wants at least; a tombstone has no content. */
static void
shorten_digests(json_t *rows)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        const char *digest = json_string_value(json_object_get(row, "digest"));

        json_object_set_new(row, "digest",
                            json_is_true(json_object_get(row, "deleted")) || digest == NULL
                                ? json_string("deleted")
                                : json_stringn(digest, strnlen(digest, CFC_CTL_DIGEST_DIGITS)));
    }
}

int
cfc_ctl_history(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    static const struct cfc_ctl_column columns[] = {
        {"REVISION", "revision"}, {"TIME", "time"},     {"AUTHOR", "author"},
        {"SIZE", "size"},         {"DIGEST", "digest"}, {"MESSAGE", "message"},
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
        if (ctl->format == CFC_FORMAT_TABLE) {
            shorten_digests(json_object_get(answer, "revisions"));
        }
        rc = cfc_ctl_print_rows(ctl, answer, "revisions", columns,
                                sizeof(columns) / sizeof(columns[0]));
        json_decref(answer);
    }
    return rc;
}
