#include "controlplane/ctl/scope_list.h"

#include "controlplane/ctl/http.h"

/* Appends one page; *next is "after" of the one behind it, or NULL. */
static int
append_page(struct cfc_ctl *ctl, const char *under, json_t *rows, json_t **next)
{
    struct cfc_ctl_path path;
    json_t *page = NULL;
    int rc;

    cfc_ctl_path_init(&path, under != NULL ? "/v1/scopes/" : "/v1/status", under);
    if (under != NULL) {
        cfc_ctl_path_param(&path, "limit", "1000");
        cfc_ctl_path_param(&path, "after", json_string_value(*next));
    }
    rc = cfc_ctl_call_json(ctl, "GET", &path, NULL, 0, &page);
    json_decref(*next);
    *next = NULL;
    if (rc == CFC_EXIT_OK) {
        json_array_extend(rows, json_object_get(page, "scopes"));
        *next = json_incref(json_object_get(page, "next"));
        json_decref(page);
    }
    return rc;
}

int
cfc_scope_list(struct cfc_ctl *ctl, const char *under, json_t **list)
{
    json_t *rows = json_array();
    json_t *next = NULL;
    int rc;

    do {
        rc = append_page(ctl, under, rows, &next);
    } while (rc == CFC_EXIT_OK && json_string_value(next) != NULL);
    json_decref(next);
    if (rc != CFC_EXIT_OK) {
        json_decref(rows);
        rows = NULL;
    }
    *list = rows;
    return rc;
}
