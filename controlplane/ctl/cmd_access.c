/* token and role: who may do what. */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/keys/files.h"

enum {
    CHANGE_TRY_COUNT = 4, /* others may change the bindings between reading and writing */
};

static const char *const role_words[] = {"viewer", "author", "approver", "releaser", "operator"};

static bool
check_role(const char *word)
{
    for (size_t i = 0; i < sizeof(role_words) / sizeof(role_words[0]); i++) {
        if (strcmp(word, role_words[i]) == 0) {
            return true;
        }
    }
    cfc_ctl_fail(CFC_EXIT_USAGE, "%s is no role: viewer, author, approver, releaser, operator",
                 word);
    return false;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static json_t *
token_order(const struct cfc_ctl_args *args, uint64_t life_ms)
{
    json_t *roles = json_array();
    const char *role;

    for (size_t i = 0; (role = cfc_ctl_option_at(args, "role", i)) != NULL; i++) {
        if (!check_role(role)) {
            json_decref(roles);
            return NULL;
        }
        json_array_append_new(roles, json_string(role));
    }
    if (json_array_size(roles) == 0 || !cfc_ctl_has(args, "scope")) {
        json_decref(roles);
        cfc_ctl_fail(CFC_EXIT_USAGE, "token create needs --role ROLE and --scope SCOPE");
        return NULL;
    }
    return json_pack("{ss so ss so*}", "identity", cfc_ctl_positional(args, 0), "roles", roles,
                     "scope", cfc_ctl_option(args, "scope"), "expires_in_s",
                     life_ms > 0 ? json_integer((json_int_t)(life_ms / 1000)) : NULL);
}

/* The text goes to a file and leaves the answer; a token that cannot be kept is taken back. */
static int
save_token(struct cfc_ctl *ctl, json_t *answer, const char *file)
{
    const char *text = json_string_value(json_object_get(answer, "token"));
    const char *id = json_string_value(json_object_get(answer, "id"));
    char line[512];
    struct cfc_ctl_path path;
    json_t *ignored = NULL;
    int size = snprintf(line, sizeof(line), "%s\n", text);
    int rc = size > 0 && (size_t)size < sizeof(line)
                 ? cfc_file_create(file, line, (size_t)size, 0600)
                 : CONFCAST_ERR_LIMIT;

    sodium_memzero(line, sizeof(line));
    if (rc == CONFCAST_OK) {
        if (ctl->format == CFC_FORMAT_TABLE) {
            json_object_del(answer, "token");
        } else {
            json_object_set_new(answer, "token", json_null());
        }
        json_object_set_new(answer, "saved", json_string(file));
        return CFC_EXIT_OK;
    }
    cfc_ctl_path_init(&path, "/v1/tokens/", id);
    if (cfc_ctl_call_json(ctl, "DELETE", &path, NULL, 0, &ignored) == CFC_EXIT_OK) {
        json_decref(ignored);
    }
    return cfc_ctl_fail(rc == CONFCAST_ERR_EXISTS ? CFC_EXIT_CONFLICT : CFC_EXIT_USAGE,
                        "cannot write %s: %s; token %s was taken back", file,
                        confcast_error_text(rc), id);
}

static int
show_token(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, json_t *answer)
{
    const char *file = cfc_ctl_option(args, "save");
    const char *id = json_string_value(json_object_get(answer, "id"));
    int rc = CFC_EXIT_OK;

    if (!json_is_string(json_object_get(answer, "token"))) {
        return cfc_ctl_fail(CFC_EXIT_CONFLICT,
                            "token %s was made before by this idempotency key, or its first answer "
                            "was lost; its text is not shown again: delete it and make another",
                            id != NULL ? id : "?");
    }
    if (file != NULL) {
        rc = save_token(ctl, answer, file);
    }
    return rc == CFC_EXIT_OK ? cfc_ctl_print_object(ctl, answer) : rc;
}

int
cfc_ctl_token_create(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *expires = cfc_ctl_option(args, "expires");
    struct cfc_ctl_path path;
    uint64_t life_ms = 0;
    json_t *order;
    json_t *answer = NULL;
    char *text;
    int rc;

    if (expires != NULL && (!cfc_ctl_duration_ms(expires, &life_ms) || life_ms < 1000)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--expires needs a time like 30d");
    }
    order = token_order(args, life_ms);
    text = order != NULL ? json_dumps(order, JSON_COMPACT) : NULL;
    json_decref(order);
    if (text == NULL) {
        return CFC_EXIT_USAGE;
    }
    cfc_ctl_path_init(&path, "/v1/tokens", NULL);
    rc = cfc_ctl_call_json(ctl, "POST", &path, text, strlen(text), &answer);
    free(text);
    if (rc == CFC_EXIT_OK) {
        rc = show_token(ctl, args, answer);
        json_decref(answer);
    }
    return rc;
}

int
cfc_ctl_token_list(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    static const struct cfc_ctl_column columns[] = {
        {"ID", "id"},       {"IDENTITY", "identity"}, {"ROLES", "roles"},
        {"SCOPE", "scope"}, {"EXPIRES", "expires"},   {"CREATED BY", "created_by"},
    };
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    int rc;

    (void)args;
    cfc_ctl_path_init(&path, "/v1/tokens", NULL);
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &answer);
    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_print_rows(ctl, answer, "tokens", columns,
                                sizeof(columns) / sizeof(columns[0]));
        json_decref(answer);
    }
    return rc;
}

int
cfc_ctl_token_delete(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *id = cfc_ctl_positional(args, 0);
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    int rc;

    /* Not echoed: by mistake it may be a token. */
    if (id[0] == '\0' || strlen(id) > 64 ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
            strlen(id)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "this is no id; confcastctl token list shows them");
    }
    cfc_ctl_path_init(&path, "/v1/tokens/", id);
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    rc = cfc_ctl_call_json(ctl, "DELETE", &path, NULL, 0, &answer);
    if (rc == CFC_EXIT_OK) {
        rc = cfc_ctl_print_object(ctl, answer);
        json_decref(answer);
    }
    return rc;
}

/* ---- Roles ----------------------------------------------------------------------------------- */

static int
read_roles(struct cfc_ctl *ctl, json_t **answer)
{
    struct cfc_ctl_path path;

    cfc_ctl_path_init(&path, "/v1/roles", NULL);
    return cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, answer);
}

static int
print_roles(struct cfc_ctl *ctl, json_t *answer)
{
    static const struct cfc_ctl_column columns[] = {
        {"IDENTITY", "identity"}, {"ROLES", "roles"}, {"SCOPE", "scope"}};

    return cfc_ctl_print_rows(ctl, answer, "bindings", columns,
                              sizeof(columns) / sizeof(columns[0]));
}

int
cfc_ctl_role_show(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    json_t *answer = NULL;
    int rc = read_roles(ctl, &answer);

    (void)args;
    if (rc == CFC_EXIT_OK) {
        rc = print_roles(ctl, answer);
        json_decref(answer);
    }
    return rc;
}

static int
send_roles(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, const char *expected,
           const char *text, size_t size, json_t **answer)
{
    struct cfc_ctl_path path;

    cfc_ctl_path_init(&path, "/v1/roles", NULL);
    cfc_ctl_path_param(&path, "expected_version", expected);
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    return cfc_ctl_call_json(ctl, "PUT", &path, text, size, answer);
}

int
cfc_ctl_role_set(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *file = cfc_ctl_option(args, "file");
    json_t *answer = NULL;
    char *bytes = NULL;
    size_t size = 0;
    int rc;

    if (file == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "role set needs -f FILE");
    }
    if (!cfc_ctl_check_uint(args, "expected-version")) {
        return CFC_EXIT_USAGE;
    }
    rc = cfc_ctl_read_input(file, &bytes, &size);
    if (rc == CFC_EXIT_OK) {
        rc = send_roles(ctl, args, cfc_ctl_option(args, "expected-version"), bytes, size, &answer);
        free(bytes);
    }
    if (rc == CFC_EXIT_OK) {
        rc = print_roles(ctl, answer);
        json_decref(answer);
    }
    return rc;
}

static bool
has_word(const json_t *list, const char *word)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *other = json_string_value(json_array_get(list, i));

        if (other != NULL && strcmp(other, word) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_binding(const json_t *binding, const char *identity, const char *scope)
{
    const char *name = json_string_value(json_object_get(binding, "identity"));
    const char *where = json_string_value(json_object_get(binding, "scope"));

    return name != NULL && where != NULL && strcmp(name, identity) == 0 &&
           (scope == NULL || strcmp(where, scope) == 0);
}

/* Adds the roles to the binding of (identity, scope), which is made when there is none. */
static void
grant(json_t *bindings, const struct cfc_ctl_args *args, const char *scope)
{
    const char *identity = cfc_ctl_positional(args, 0);
    json_t *roles = NULL;
    size_t i;
    json_t *binding;

    json_array_foreach(bindings, i, binding)
    {
        if (is_binding(binding, identity, scope)) {
            roles = json_object_get(binding, "roles");
        }
    }
    if (roles == NULL) {
        roles = json_array();
        json_array_append_new(bindings, json_pack("{ss ss so}", "identity", identity, "scope",
                                                  scope, "roles", roles));
    }
    for (size_t k = 1; k < args->positional_count; k++) {
        if (!has_word(roles, args->positionals[k])) {
            json_array_append_new(roles, json_string(args->positionals[k]));
        }
    }
}

static bool
is_named(const struct cfc_ctl_args *args, const char *role)
{
    for (size_t i = 1; i < args->positional_count; i++) {
        if (strcmp(args->positionals[i], role) == 0) {
            return true;
        }
    }
    return args->positional_count == 1; /* none named: all */
}

/* Takes the roles away; returns how many. */
static size_t
revoke(json_t *bindings, const struct cfc_ctl_args *args, const char *scope)
{
    size_t count = 0;

    for (size_t i = json_array_size(bindings); i > 0; i--) {
        json_t *binding = json_array_get(bindings, i - 1);
        json_t *roles = json_object_get(binding, "roles");

        if (!is_binding(binding, cfc_ctl_positional(args, 0), scope)) {
            continue;
        }
        for (size_t k = json_array_size(roles); k > 0; k--) {
            const char *role = json_string_value(json_array_get(roles, k - 1));

            if (role != NULL && is_named(args, role)) {
                json_array_remove(roles, k - 1);
                count++;
            }
        }
        if (json_array_size(roles) == 0) {
            json_array_remove(bindings, i - 1);
        }
    }
    return count;
}

/* One reading, changing, writing back; a conflict says that others wrote in between. */
static int
change_roles(struct cfc_ctl *ctl, const struct cfc_ctl_args *args, json_t **answer)
{
    bool is_grant = strcmp(args->command->name, "role grant") == 0;
    const char *scope = cfc_ctl_option(args, "scope");
    json_t *roles = NULL;
    json_t *bindings;
    char expected[24];
    char *text;
    int rc = read_roles(ctl, &roles);

    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    bindings = json_object_get(roles, "bindings");
    if (is_grant) {
        grant(bindings, args, scope);
    } else if (revoke(bindings, args, scope) == 0) {
        json_decref(roles);
        return cfc_ctl_fail(CFC_EXIT_NOT_FOUND, "%s has none of these roles there",
                            cfc_ctl_positional(args, 0));
    }
    snprintf(expected, sizeof(expected), "%lld",
             json_integer_value(json_object_get(roles, "version")));
    json_object_del(roles, "version");
    text = json_dumps(roles, JSON_COMPACT);
    json_decref(roles);
    if (text == NULL) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
    }
    rc = send_roles(ctl, args, expected, text, strlen(text), answer);
    free(text);
    return rc;
}

int
cfc_ctl_role_change(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    json_t *answer = NULL;
    int rc = CFC_EXIT_CONFLICT;

    for (size_t i = 1; i < args->positional_count; i++) {
        if (!check_role(args->positionals[i])) {
            return CFC_EXIT_USAGE;
        }
    }
    if (strcmp(args->command->name, "role grant") == 0 && !cfc_ctl_has(args, "scope")) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "role grant needs --scope SCOPE (* is everywhere)");
    }
    for (int i = 0; i < CHANGE_TRY_COUNT && rc == CFC_EXIT_CONFLICT; i++) {
        ctl->accepts_conflict = i + 1 < CHANGE_TRY_COUNT;
        rc = change_roles(ctl, args, &answer);
    }
    ctl->accepts_conflict = false;
    if (rc == CFC_EXIT_OK) {
        rc = print_roles(ctl, answer);
        json_decref(answer);
    }
    return rc;
}
