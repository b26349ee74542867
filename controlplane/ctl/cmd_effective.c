/* effective: what consumers of a scope get, and why. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/terminal.h"

/* A value as JSON: a string keeps its quotes. */
static json_t *
json_text(const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS |
                                       JSON_REAL_PRECISION(15));
    json_t *string = text != NULL ? json_string(text) : NULL;

    free(text);
    return string;
}

static void
add_row(json_t *rows, const json_t *layer, const char *rank)
{
    json_t *row = json_deep_copy(layer);
    bool is_candidate = json_is_true(json_object_get(layer, "candidate"));
    json_t *value = json_object_get(layer, "value");

    if (row == NULL) {
        return;
    }
    json_object_set_new(row, "rank", json_string(rank));
    if (is_candidate) {
        json_object_set_new(row, "state", json_string("candidate"));
    }
    if (json_is_true(json_object_get(layer, "hidden"))) {
        json_object_set_new(row, "value", json_string("(hidden)"));
    } else if (!json_is_true(json_object_get(layer, "found"))) {
        json_object_set_new(row, "value", json_null());
    } else if (value == NULL) {
        json_object_set_new(row, "value", json_string("(too big to show)"));
    } else {
        json_object_set_new(row, "value", json_text(value));
    }
    json_array_append_new(rows, row);
}

static void
print_explanation(const json_t *answer)
{
    static const struct cfc_ctl_column columns[] = {
        {"RANK", "rank"},     {"LAYER", "layer"}, {"REVISION", "revision"}, {"STATE", "state"},
        {"EFFECT", "effect"}, {"AT", "at"},       {"VALUE", "value"},
    };
    const json_t *losers = json_object_get(answer, "losers");
    const json_t *winner = json_object_get(answer, "winner");
    json_t *value = json_text(json_object_get(answer, "value"));
    json_t *rows = json_array();

    if (json_is_object(winner)) {
        add_row(rows, winner, "wins");
    }
    for (size_t i = 0; i < json_array_size(losers); i++) {
        add_row(rows, json_array_get(losers, i), "loses");
    }
    printf("%s in %s: %s\n", json_string_value(json_object_get(answer, "pointer")),
           json_string_value(json_object_get(answer, "scope")),
           json_is_true(json_object_get(answer, "found")) ? json_string_value(value) : "no value");
    if (json_array_size(rows) > 0) {
        cfc_grid_write(stdout, rows, columns, sizeof(columns) / sizeof(columns[0]),
                       cfc_terminal_has_color(stdout));
    }
    json_decref(rows);
    json_decref(value);
}

static int
explain(struct cfc_ctl *ctl, const struct cfc_ctl_path *path)
{
    json_t *answer = NULL;
    int rc = cfc_ctl_call_json(ctl, "GET", path, NULL, 0, &answer);
    bool is_found = json_is_true(json_object_get(answer, "found"));

    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    if (ctl->format == CFC_FORMAT_TABLE) {
        print_explanation(answer);
    } else {
        rc = cfc_ctl_print_machine(ctl, answer);
    }
    json_decref(answer);
    return rc == CFC_EXIT_OK && !is_found ? CFC_EXIT_NEGATIVE : rc;
}

int
cfc_ctl_effective(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *scope = cfc_ctl_scope(args);
    const char *pointer = cfc_ctl_option(args, "explain");
    struct cfc_ctl_path path;

    if (scope == NULL) {
        return CFC_EXIT_USAGE;
    }
    if (pointer != NULL && cfc_ctl_has(args, "meta")) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "--explain or --meta, not both");
    }
    cfc_ctl_path_init(&path, "/v1/effective/", scope);
    cfc_ctl_path_param(&path, "variant", cfc_ctl_has(args, "candidate") ? "candidate" : NULL);
    cfc_ctl_path_param(&path, "explain", pointer);
    return pointer != NULL ? explain(ctl, &path) : cfc_ctl_print_document_of(ctl, args, &path);
}
