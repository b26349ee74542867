/* export: the latest of all scopes as a tree of files, which apply reads. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "confcast/error.h"
#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/plan.h"
#include "controlplane/ctl/scope_list.h"
#include "controlplane/ctl/tree.h"
#include "protocol/base/scope.h"

static int
exit_of(int rc)
{
    switch (rc) {
    case CONFCAST_ERR_NOT_FOUND:
        return CFC_EXIT_NOT_FOUND;
    case CONFCAST_ERR_EXISTS:
        return CFC_EXIT_CONFLICT;
    default:
        return CFC_EXIT_USAGE;
    }
}

/* A word for scripts before the sentence for people. */
int
cfc_tree_fail(int rc, const char *why)
{
    return cfc_ctl_fail(exit_of(rc), "%s: %s", confcast_error_word(rc), why);
}

bool
cfc_tree_check_under(const char *under)
{
    if (under != NULL && cfc_scope_check(under, strlen(under)) != CONFCAST_OK) {
        cfc_ctl_fail(CFC_EXIT_USAGE, "--under needs a scope, not %s", under);
        return false;
    }
    return true;
}

struct export
{
    struct cfc_ctl *ctl;
    const char *dir;
    bool may_replace;
    json_t *written; /* {kind, scope, written} of each file */
    size_t written_count;
};

/* The JSON text of what a file of this kind holds; NULL when the scope has none. */
static int
text_of(struct export *e, const char *scope, enum cfc_tree_kind kind,
        struct cfc_ctl_response *response, const char **text, size_t *size)
{
    struct cfc_ctl_path path;
    const char *is_default = NULL;
    size_t default_size = 0;
    int rc;

    *text = NULL;
    cfc_ctl_path_init(&path, cfc_plan_route(kind), scope);
    e->ctl->accepts_absent = true;
    rc = cfc_ctl_call(e->ctl, "GET", &path, NULL, 0, response);
    e->ctl->accepts_absent = false;
    if (rc != CFC_EXIT_OK) {
        return rc == CFC_EXIT_NOT_FOUND ? CFC_EXIT_OK : rc;
    }
    if (!cfc_ctl_raw_member(response->body, response->size,
                            kind == CFC_TREE_LAYERS ? "layers" : "document", text, size)) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "%s sent no document", e->ctl->server);
    }
    if (kind == CFC_TREE_LAYERS &&
        cfc_ctl_raw_member(response->body, response->size, "default", &is_default, &default_size) &&
        default_size == 4) {
        *text = NULL;
    }
    if (kind != CFC_TREE_DEFINITION && *text != NULL && *size == 2) {
        *text = NULL; /* {} asks for nothing */
    }
    return CFC_EXIT_OK;
}

static int
export_scope(struct export *e, const char *scope)
{
    int rc = CFC_EXIT_OK;

    for (int kind = 0; rc == CFC_EXIT_OK && kind < CFC_TREE_KIND_COUNT; kind++) {
        struct cfc_ctl_response response;
        char why[CFC_TREE_WHY_SIZE];
        const char *text;
        size_t size = 0;
        bool is_written = false;

        rc = text_of(e, scope, (enum cfc_tree_kind)kind, &response, &text, &size);
        if (rc == CFC_EXIT_OK && text != NULL) {
            int error = cfc_tree_write(e->dir, scope, (enum cfc_tree_kind)kind, text, size,
                                       e->may_replace, &is_written, why);

            rc = error != CONFCAST_OK ? cfc_tree_fail(error, why) : CFC_EXIT_OK;
            json_array_append_new(e->written,
                                  json_pack("{ss ss sb}", "kind",
                                            cfc_tree_kind_word((enum cfc_tree_kind)kind), "scope",
                                            scope, "written", (int)is_written));
            e->written_count += is_written ? 1 : 0;
        }
        cfc_ctl_response_free(&response);
    }
    return rc;
}

static int
export_all(struct export *e, const char *under)
{
    json_t *list;
    json_t *row;
    size_t i;
    int rc = cfc_scope_list(e->ctl, under, &list);

    json_array_foreach(list, i, row)
    {
        const char *scope = json_string_value(json_object_get(row, "scope"));

        if (rc == CFC_EXIT_OK && scope != NULL &&
            cfc_scope_check(scope, strlen(scope)) == CONFCAST_OK) {
            rc = export_scope(e, scope);
        }
    }
    json_decref(list);
    return rc;
}

int
cfc_ctl_export(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *under = cfc_ctl_option(args, "under");
    struct export e = {
        .ctl = ctl, .dir = cfc_ctl_option(args, "dir"), .may_replace = cfc_ctl_has(args, "force")};
    json_t *answer;
    int rc;

    if (e.dir == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "export needs -d DIR");
    }
    if (!cfc_tree_check_under(under)) {
        return CFC_EXIT_USAGE;
    }
    if (mkdir(e.dir, 0777) != 0 && errno != EEXIST) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "cannot make %s: %s", e.dir, strerror(errno));
    }
    e.written = json_array();
    rc = export_all(&e, under);
    if (rc == CFC_EXIT_OK && ctl->format == CFC_FORMAT_TABLE) {
        printf("%zu files, %zu written\n", json_array_size(e.written), e.written_count);
    } else if (rc == CFC_EXIT_OK) {
        answer = json_pack("{sO}", "files", e.written);
        rc = cfc_ctl_print_machine(ctl, answer);
        json_decref(answer);
    }
    json_decref(e.written);
    return rc;
}
