#include "controlplane/ctl/preview.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/output.h"
#include "controlplane/ctl/release_view.h"
#include "controlplane/ctl/terminal.h"

static long long
integer_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void
write_keys(FILE *out, const json_t *scope, bool has_color)
{
    static const struct {
        const char *word;
        char sign;
        enum cfc_color color;
    } changes[] = {{"added", '+', CFC_COLOR_GREEN},
                   {"removed", '-', CFC_COLOR_RED},
                   {"changed", '~', CFC_COLOR_YELLOW}};
    const json_t *keys = json_object_get(scope, "keys");
    long long all =
        integer_at(scope, "added") + integer_at(scope, "removed") + integer_at(scope, "changed");

    if (json_array_size(keys) == 0) {
        return;
    }
    fprintf(out, "\nkeys of %s\n", json_string_value(json_object_get(scope, "scope")));
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *item = json_array_get(keys, i);
        const char *word = json_string_value(json_object_get(item, "change"));
        char *key = cfc_grid_text(json_object_get(item, "key"));

        for (size_t k = 0; word != NULL && k < sizeof(changes) / sizeof(changes[0]); k++) {
            if (strcmp(word, changes[k].word) == 0) {
                enum cfc_color color = has_color ? changes[k].color : CFC_COLOR_NONE;

                fprintf(out, "  %s%c %s%s\n", cfc_color_on(color), changes[k].sign,
                        key != NULL ? key : "?", cfc_color_off(color));
            }
        }
        free(key);
    }
    if ((long long)json_array_size(keys) < all) {
        fprintf(out, "  and %lld more\n", all - (long long)json_array_size(keys));
    }
}

void
cfc_preview_write(FILE *out, const json_t *preview, bool has_color)
{
    static const struct cfc_ctl_column columns[] = {
        {"SCOPE", "scope"},
        {"CONSUMERS", "consumers"},
        {"BYTES NOW", "bytes_before"},
        {"BYTES THEN", "bytes_after"},
        {"ADDED", "added"},
        {"CHANGED", "changed"},
        {"REMOVED", "removed"},
    };
    const json_t *affected = json_object_get(preview, "affected");
    long long scopes = integer_at(preview, "scopes");

    if (!json_is_object(preview)) {
        return;
    }
    fprintf(out,
            "would give %lld %s a new version; consumers: %lld; new contents: %lld, %lld bytes "
            "before compression\n",
            scopes, scopes == 1 ? "scope" : "scopes", integer_at(preview, "consumers"),
            integer_at(preview, "contents"), integer_at(preview, "bytes"));
    if (json_array_size(affected) == 0) {
        return;
    }
    fputc('\n', out);
    cfc_grid_write(out, affected, columns, sizeof(columns) / sizeof(columns[0]), has_color);
    if ((long long)json_array_size(affected) < scopes) {
        fprintf(out, "and %lld more\n", scopes - (long long)json_array_size(affected));
    }
    for (size_t i = 0; i < json_array_size(affected); i++) {
        write_keys(out, json_array_get(affected, i), has_color);
    }
}

void
cfc_preview_warn(const struct cfc_ctl *ctl, const json_t *answer)
{
    const json_t *warnings = json_object_get(answer, "warnings");

    for (size_t i = 0; ctl->format == CFC_FORMAT_TABLE && i < json_array_size(warnings); i++) {
        char *text = cfc_grid_text(json_array_get(warnings, i));

        fprintf(stderr, "confcastctl: warning: %s\n", text != NULL ? text : "?");
        free(text);
    }
}

int
cfc_preview_print(const struct cfc_ctl *ctl, json_t *answer)
{
    json_t *members;
    int rc;

    if (ctl->format != CFC_FORMAT_TABLE) {
        return cfc_ctl_print_machine(ctl, answer);
    }
    cfc_preview_warn(ctl, answer);
    members = json_object_get(answer, "last_action") != NULL ? cfc_release_view(answer)
                                                             : json_copy(answer);
    json_object_del(members, "preview");
    json_object_del(members, "warnings");
    rc = cfc_ctl_print_object(ctl, members);
    json_decref(members);
    if (json_object_get(answer, "preview") != NULL) {
        puts("");
        cfc_preview_write(stdout, json_object_get(answer, "preview"),
                          cfc_terminal_has_color(stdout));
    }
    return rc;
}
