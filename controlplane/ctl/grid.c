#include "controlplane/ctl/grid.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/terminal.h"

enum {
    GAP = 2, /* blanks between columns */
    DOTS = 3,
};

/* How the values of some keys are shown. */
static const struct {
    const char *key;
    bool may_shrink;
    bool at_end;
} shrinking[] = {
    {"scope", true, false},    {"layer", true, false},  {"consumer", true, false},
    {"identity", true, false}, {"author", true, false}, {"created_by", true, false},
    {"at", true, false},       {"value", true, true},   {"roles", true, true},
    {"reason", true, true},    {"message", true, true}, {"advice", true, true},
    {"detail", true, true},
};

/* A code point of UTF-8 and its size; a broken byte counts as itself. */
static uint32_t
code_point(const char *text, size_t *size)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t count = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 1;
    uint32_t value = count == 1 ? p[0] : p[0] & (0x7fu >> count);

    for (size_t i = 1; i < count; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            *size = 1;
            return p[0];
        }
        value = value << 6 | (p[i] & 0x3f);
    }
    *size = count;
    return value;
}

/* The East Asian wide blocks and pictographs take two columns, combining marks none. */
static size_t
width_of_code_point(uint32_t c)
{
    static const struct {
        uint32_t first;
        uint32_t last;
        size_t width;
    } ranges[] = {
        {0x300, 0x36f, 0},   {0x200b, 0x200f, 0}, {0xfe00, 0xfe0f, 0},   {0x1100, 0x115f, 2},
        {0x2e80, 0xa4cf, 2}, {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2},   {0xfe30, 0xfe6f, 2},
        {0xff00, 0xff60, 2}, {0xffe0, 0xffe6, 2}, {0x1f300, 0x1faff, 2}, {0x20000, 0x3fffd, 2},
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (c >= ranges[i].first && c <= ranges[i].last) {
            return ranges[i].width;
        }
    }
    return 1;
}

size_t
cfc_grid_width(const char *text)
{
    size_t width = 0;
    size_t size;

    for (; *text != '\0'; text += size) {
        width += width_of_code_point(code_point(text, &size));
    }
    return width;
}

/* Bytes at the front of `text` that take at most `width` columns. */
static size_t
prefix_size(const char *text, size_t width)
{
    size_t used = 0;
    size_t at = 0;

    while (text[at] != '\0') {
        size_t size;
        size_t next = width_of_code_point(code_point(text + at, &size));

        if (used + next > width) {
            break;
        }
        used += next;
        at += size;
    }
    return at;
}

/* Where the longest end of `text` begins that takes at most `width` columns. */
static const char *
suffix(const char *text, size_t width)
{
    size_t rest = cfc_grid_width(text);
    size_t size;

    while (rest > width) {
        rest -= width_of_code_point(code_point(text, &size));
        text += size;
    }
    return text;
}

void
cfc_grid_elide(char *text, size_t width, bool at_end)
{
    size_t tail_width = at_end ? 0 : (width - DOTS) / 2;
    const char *tail;
    size_t head;

    if (cfc_grid_width(text) <= width) {
        return;
    }
    tail = suffix(text, tail_width);
    head = prefix_size(text, width - DOTS - tail_width);
    /* Only forward: what is cut out takes at least as many bytes as the dots. */
    memmove(text + head + DOTS, tail, strlen(tail) + 1);
    memcpy(text + head, "...", DOTS);
}

/* "2026-07-01T09:30:00.123456Z" without the fraction; other text as it is. */
static void
cut_fraction(char *text)
{
    size_t size = strlen(text);
    char *dot = strchr(text, '.');

    if (size > 21 && dot == text + 19 && text[4] == '-' && text[10] == 'T' &&
        text[size - 1] == 'Z' && strspn(dot + 1, "0123456789") == size - 21) {
        memcpy(dot, "Z", 2);
    }
}

/* A terminal must not be told what to do by a commit message: no C0 and (as UTF-8) no C1 controls,
 * no marks that change the direction of what follows. */
static void
make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = ' ';
        } else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
            p[0] = ' ';
            p[1] = ' ';
        } else if (p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
                                    (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9))) {
            memset(p, ' ', 3);
        }
    }
}

/* The strings of a list, separated by commas. */
static char *
join(const json_t *list)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    for (size_t i = 0; out != NULL && i < json_array_size(list); i++) {
        fprintf(out, "%s%s", i > 0 ? ", " : "", json_string_value(json_array_get(list, i)));
    }
    if (out != NULL) {
        fclose(out);
    }
    return text;
}

static bool
is_list_of_strings(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i))) {
            return false;
        }
    }
    return json_array_size(value) > 0;
}

static char *
raw_text(const json_t *value)
{
    char number[32];

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
        snprintf(number, sizeof(number), "%lld", json_integer_value(value));
        return strdup(number);
    }
    if (is_list_of_strings(value)) {
        return join(value);
    }
    return json_dumps(value,
                      JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
}

char *
cfc_grid_text(const json_t *value)
{
    char *text = raw_text(value);

    if (text != NULL) {
        make_printable(text);
        cut_fraction(text);
    }
    return text;
}

struct layout {
    size_t widths[CFC_GRID_COLUMNS_MAX];
    bool is_number[CFC_GRID_COLUMNS_MAX]; /* to the right */
    bool may_shrink[CFC_GRID_COLUMNS_MAX];
    bool shrinks_at_end[CFC_GRID_COLUMNS_MAX];
};

static void
measure_column(const json_t *list, const struct cfc_ctl_column *column, size_t c,
               struct layout *layout)
{
    layout->widths[c] = cfc_grid_width(column->title);
    layout->is_number[c] = json_array_size(list) > 0;
    for (size_t i = 0; i < sizeof(shrinking) / sizeof(shrinking[0]); i++) {
        if (strcmp(shrinking[i].key, column->key) == 0) {
            layout->may_shrink[c] = shrinking[i].may_shrink;
            layout->shrinks_at_end[c] = shrinking[i].at_end;
        }
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_object_get(json_array_get(list, i), column->key);
        char *text = cfc_grid_text(value);
        size_t width = text != NULL ? cfc_grid_width(text) : 1;

        layout->widths[c] = width > layout->widths[c] ? width : layout->widths[c];
        layout->is_number[c] = layout->is_number[c] &&
                               (value == NULL || json_is_null(value) || json_is_integer(value));
        free(text);
    }
}

/* Takes from the widest column that may shrink until the line fits. */
static void
fit(struct layout *layout, size_t column_count)
{
    size_t total = GAP * (column_count - 1);

    for (size_t c = 0; c < column_count; c++) {
        total += layout->widths[c];
    }
    while (total > CFC_GRID_WIDTH_MAX) {
        size_t widest = column_count;

        for (size_t c = 0; c < column_count; c++) {
            if (layout->may_shrink[c] && layout->widths[c] > CFC_GRID_ELIDED_MIN &&
                (widest == column_count || layout->widths[c] > layout->widths[widest])) {
                widest = c;
            }
        }
        if (widest == column_count) {
            return;
        }
        layout->widths[widest]--;
        total--;
    }
}

static enum cfc_color
color_of(const char *key, const json_t *value)
{
    static const struct {
        const char *word;
        enum cfc_color color;
    } words[] = {
        {"ACTIVE", CFC_COLOR_GREEN},    {"ROLLING", CFC_COLOR_YELLOW}, {"PAUSED", CFC_COLOR_RED},
        {"DISABLED", CFC_COLOR_YELLOW}, {"rejected", CFC_COLOR_RED},   {"reverted", CFC_COLOR_RED},
        {"ok", CFC_COLOR_GREEN},        {"warn", CFC_COLOR_YELLOW},    {"fail", CFC_COLOR_RED},
    };
    const char *text = json_string_value(value);

    if (strcmp(key, "rejected") == 0 && json_integer_value(value) > 0) {
        return CFC_COLOR_RED;
    }
    if (strcmp(key, "stale") == 0 && (json_integer_value(value) > 0 || json_is_true(value))) {
        return CFC_COLOR_YELLOW;
    }
    for (size_t i = 0; text != NULL && (strcmp(key, "state") == 0 || strcmp(key, "result") == 0) &&
                       i < sizeof(words) / sizeof(words[0]);
         i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            return words[i].color;
        }
    }
    return CFC_COLOR_NONE;
}

static void
write_cell(FILE *out, const char *text, size_t width, bool to_the_right, bool is_last,
           enum cfc_color color)
{
    size_t own = cfc_grid_width(text);
    int pad = own < width ? (int)(width - own) : 0;

    fprintf(out, "%*s%s%s%s", to_the_right ? pad : 0, "", cfc_color_on(color), text,
            cfc_color_off(color));
    if (is_last) {
        fputc('\n', out);
    } else {
        fprintf(out, "%*s", (to_the_right ? 0 : pad) + GAP, "");
    }
}

void
cfc_grid_write(FILE *out, const json_t *list, const struct cfc_ctl_column *columns,
               size_t column_count, bool has_color)
{
    struct layout layout = {0};

    column_count = column_count < CFC_GRID_COLUMNS_MAX ? column_count : CFC_GRID_COLUMNS_MAX;
    for (size_t c = 0; c < column_count; c++) {
        measure_column(list, &columns[c], c, &layout);
    }
    fit(&layout, column_count);
    for (size_t c = 0; c < column_count; c++) {
        write_cell(out, columns[c].title, layout.widths[c], layout.is_number[c],
                   c + 1 == column_count, has_color ? CFC_COLOR_BOLD : CFC_COLOR_NONE);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        for (size_t c = 0; c < column_count; c++) {
            const json_t *value = json_object_get(json_array_get(list, i), columns[c].key);
            char *text = cfc_grid_text(value);

            if (text != NULL && layout.may_shrink[c]) {
                cfc_grid_elide(text, layout.widths[c], layout.shrinks_at_end[c]);
            }
            write_cell(out, text != NULL ? text : "?", layout.widths[c], layout.is_number[c],
                       c + 1 == column_count,
                       has_color ? color_of(columns[c].key, value) : CFC_COLOR_NONE);
            free(text);
        }
    }
}
