#include "controlplane/ctl/output.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/terminal.h"
#include "controlplane/ctl/yaml_text.h"

int
cfc_ctl_print_machine(const struct cfc_ctl *ctl, json_t *value)
{
    if (ctl->format == CFC_FORMAT_JSON) {
        json_dumpf(value, stdout,
                   JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
        putchar('\n');
        return CFC_EXIT_OK;
    }
    return cfc_yaml_write(stdout, value)
               ? CFC_EXIT_OK
               : cfc_ctl_fail(CFC_EXIT_REFUSED, "the value is nested too deeply");
}

int
cfc_ctl_print_rows(const struct cfc_ctl *ctl, json_t *answer, const char *key,
                   const struct cfc_ctl_column *columns, size_t column_count)
{
    if (ctl->format != CFC_FORMAT_TABLE) {
        return cfc_ctl_print_machine(ctl, answer);
    }
    cfc_grid_write(stdout, json_object_get(answer, key), columns, column_count,
                   cfc_terminal_has_color(stdout));
    return CFC_EXIT_OK;
}

int
cfc_ctl_print_object(const struct cfc_ctl *ctl, json_t *object)
{
    const char *key;
    json_t *value;
    int width = 0;

    if (ctl->format != CFC_FORMAT_TABLE) {
        return cfc_ctl_print_machine(ctl, object);
    }
    json_object_foreach(object, key, value)
    {
        int size = (int)strlen(key);

        width = size > width ? size : width;
    }
    json_object_foreach(object, key, value)
    {
        char *text = cfc_grid_text(value);

        printf("%-*s  ", width, key);
        puts(text != NULL ? text : "?");
        free(text);
    }
    return CFC_EXIT_OK;
}

int
cfc_ctl_print_document(const struct cfc_ctl *ctl, const char *text, size_t size)
{
    json_t *value;
    int rc;

    if (ctl->format != CFC_FORMAT_YAML) {
        fwrite(text, 1, size, stdout);
        putchar('\n');
        return CFC_EXIT_OK;
    }
    value = json_loadb(text, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
    if (value == NULL) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "the document is no JSON");
    }
    rc = cfc_ctl_print_machine(ctl, value);
    json_decref(value);
    return rc;
}

char *
cfc_ctl_scalar_text(const json_t *value)
{
    char text[40];

    if (!json_is_real(value)) {
        return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, json_real_value(value));
        if (strtod(text, NULL) == json_real_value(value)) {
            break;
        }
    }
    return strdup(text);
}
