#include "controlplane/ctl/output.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/walk.h"

enum {
    COLUMN_COUNT_MAX = 16,
};

/* What a table shows of a value: on the heap. */
static char *
cell(const json_t *value)
{
    char text[32];

    if (value == NULL || json_is_null(value)) {
        return strdup("-");
    }
    if (json_is_boolean(value)) {
        return strdup(json_is_true(value) ? "yes" : "no");
    }
    if (json_is_string(value)) {
        return strdup(json_string_length(value) > 0 ? json_string_value(value) : "-");
    }
    if (json_is_integer(value)) {
        snprintf(text, sizeof(text), "%lld", json_integer_value(value));
        return strdup(text);
    }
    return json_dumps(value,
                      JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
}

/* A terminal must not be told what to do by a commit message: no C0 and (as UTF-8) no C1 controls.
 */
static void
make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = ' ';
        } else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
            p[0] = ' ';
            p[1] = ' ';
        }
    }
}

static void
print_cell(const json_t *value, int width, const char *end)
{
    char *text = cell(value);

    if (text != NULL) {
        make_printable(text);
    }
    printf("%-*s%s", width, text != NULL ? text : "?", end);
    free(text);
}

static int
width_of(const json_t *value)
{
    char *text = cell(value);
    int width = text != NULL ? (int)strlen(text) : 1;

    free(text);
    return width;
}

static void
measure(json_t *list, const struct cfc_ctl_column *columns, size_t column_count,
        int widths[COLUMN_COUNT_MAX])
{
    json_t *row;
    size_t i;

    for (size_t c = 0; c < column_count; c++) {
        widths[c] = (int)strlen(columns[c].title);
        json_array_foreach(list, i, row)
        {
            int width = width_of(json_object_get(row, columns[c].key));

            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    /* The last column needs no blanks behind it. */
    widths[column_count - 1] = 0;
}

static void
print_table(json_t *list, const struct cfc_ctl_column *columns, size_t column_count)
{
    int widths[COLUMN_COUNT_MAX];
    json_t *row;
    size_t i;

    column_count = column_count < COLUMN_COUNT_MAX ? column_count : COLUMN_COUNT_MAX;
    measure(list, columns, column_count, widths);
    for (size_t c = 0; c < column_count; c++) {
        printf("%-*s%s", widths[c], columns[c].title, c + 1 < column_count ? "  " : "\n");
    }
    json_array_foreach(list, i, row)
    {
        for (size_t c = 0; c < column_count; c++) {
            print_cell(json_object_get(row, columns[c].key), widths[c],
                       c + 1 < column_count ? "  " : "\n");
        }
    }
}

static int
print_machine(const struct cfc_ctl *ctl, json_t *value)
{
    if (ctl->format == CFC_FORMAT_JSON) {
        json_dumpf(value, stdout,
                   JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
        putchar('\n');
        return CFC_EXIT_OK;
    }
    return cfc_ctl_write_yaml(stdout, value)
               ? CFC_EXIT_OK
               : cfc_ctl_fail(CFC_EXIT_REFUSED, "the value is nested too deeply");
}

int
cfc_ctl_print_rows(const struct cfc_ctl *ctl, json_t *answer, const char *key,
                   const struct cfc_ctl_column *columns, size_t column_count)
{
    if (ctl->format != CFC_FORMAT_TABLE) {
        return print_machine(ctl, answer);
    }
    print_table(json_object_get(answer, key), columns, column_count);
    return CFC_EXIT_OK;
}

int
cfc_ctl_print_object(const struct cfc_ctl *ctl, json_t *object)
{
    const char *key;
    json_t *value;
    int width = 0;

    if (ctl->format != CFC_FORMAT_TABLE) {
        return print_machine(ctl, object);
    }
    json_object_foreach(object, key, value)
    {
        int size = (int)strlen(key);

        width = size > width ? size : width;
    }
    json_object_foreach(object, key, value)
    {
        printf("%-*s  ", width, key);
        print_cell(value, 0, "\n");
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
    rc = print_machine(ctl, value);
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

static void
write_scalar(FILE *out, const json_t *value)
{
    char *text = cfc_ctl_scalar_text(value);

    fputs(text != NULL ? text : "null", out);
    free(text);
}

static bool
is_empty_container(const json_t *value)
{
    return json_object_size(value) == 0 && json_array_size(value) == 0;
}

static bool
is_container(const json_t *value)
{
    return json_is_object(value) || json_is_array(value);
}

static void
write_key(FILE *out, const struct cfc_walk_step *step)
{
    json_t *key;

    if (step->key == NULL) {
        fputs("-", out);
        return;
    }
    key = json_string(step->key);
    write_scalar(out, key);
    fputs(":", out);
    json_decref(key);
}

bool
cfc_ctl_write_yaml(FILE *out, json_t *value)
{
    struct cfc_walk walk;
    struct cfc_walk_step step;

    if (!is_container(value) || is_empty_container(value)) {
        write_scalar(out, value);
        fputc('\n', out);
        return true;
    }
    cfc_walk_init(&walk, value);
    while (cfc_walk_next(&walk, &step)) {
        fprintf(out, "%*s", (int)(2 * (step.depth - 1)), "");
        write_key(out, &step);
        if (!is_container(step.value) || is_empty_container(step.value)) {
            fputc(' ', out);
            write_scalar(out, step.value);
        }
        fputc('\n', out);
    }
    return !walk.is_too_deep;
}
