/* batch, and put: several changes in one step. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/commands.h"
#include "controlplane/ctl/http.h"
#include "controlplane/ctl/output.h"
#include "controlplane/ctl/preview.h"
#include "controlplane/ctl/terminal.h"

static void
print_item(const json_t *item)
{
    const json_t *release = json_object_get(item, "release");
    const json_t *revision = json_object_get(item, "revision");

    printf("%s %s", json_string_value(json_object_get(item, "scope")),
           json_string_value(json_object_get(item, "action")));
    if (revision != NULL) {
        printf(" revision %lld", json_integer_value(revision));
    }
    if (release != NULL) {
        printf(" %s", json_string_value(json_object_get(release, "state")));
    }
    putchar('\n');
}

static int
print_batch(const struct cfc_ctl *ctl, json_t *answer)
{
    const json_t *items = json_object_get(answer, "items");

    if (ctl->format != CFC_FORMAT_TABLE) {
        return cfc_ctl_print_object(ctl, answer);
    }
    cfc_preview_warn(ctl, answer);
    for (size_t i = 0; i < json_array_size(items); i++) {
        print_item(json_array_get(items, i));
    }
    if (json_is_true(json_object_get(answer, "dry_run"))) {
        puts("dry run, nothing written");
        cfc_preview_write(stdout, json_object_get(answer, "preview"),
                          cfc_terminal_has_color(stdout));
    } else {
        long long affected = json_integer_value(json_object_get(answer, "affected"));

        printf("version %lld, %lld %s affected\n",
               json_integer_value(json_object_get(answer, "version")), affected,
               affected == 1 ? "scope" : "scopes");
    }
    return CFC_EXIT_OK;
}

int
cfc_ctl_batch(struct cfc_ctl *ctl, const struct cfc_ctl_args *args)
{
    const char *file = cfc_ctl_option(args, "file");
    struct cfc_ctl_path path;
    json_t *answer = NULL;
    char *bytes = NULL;
    size_t size = 0;
    int rc;

    if (file == NULL) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "batch needs -f FILE");
    }
    rc = cfc_ctl_read_input(file, &bytes, &size);
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    cfc_ctl_path_init(&path, "/v1/batch", NULL);
    cfc_ctl_path_param(&path, "message", cfc_ctl_option(args, "message"));
    cfc_ctl_path_param(&path, "dry_run", cfc_ctl_has(args, "dry-run") ? "1" : NULL);
    cfc_ctl_path_param(&path, "override", cfc_ctl_has(args, "override") ? "1" : NULL);
    rc = cfc_ctl_call_json(ctl, "POST", &path, bytes, size, &answer);
    free(bytes);
    if (rc == CFC_EXIT_OK) {
        rc = print_batch(ctl, answer);
        json_decref(answer);
    }
    return rc;
}
