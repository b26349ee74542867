/* Tables for people: columns as wide as what is in them, no line wider than CFC_GRID_WIDTH_MAX.
 *
 * What does not fit is shortened where it hurts least: names in the middle, sentences at the end;
 * numbers, states and times never.  Programs ask for JSON, which is whole. */
#ifndef CFC_CTL_GRID_H
#define CFC_CTL_GRID_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    CFC_GRID_WIDTH_MAX = 100,
    CFC_GRID_COLUMNS_MAX = 16,
    CFC_GRID_ELIDED_MIN = 12, /* no column gets narrower */
};

struct cfc_ctl_column {
    const char *title;
    const char *key; /* member of a row; some keys have a colour, or may be shortened (grid.c) */
};

/* Writes the rows of `list`, objects, under their titles.  At most CFC_GRID_COLUMNS_MAX columns. */
void cfc_grid_write(FILE *out, const json_t *list, const struct cfc_ctl_column *columns,
                    size_t column_count, bool has_color);

/* What a table shows of a value, on the heap: no control characters, "-" for nothing, whole seconds
 * of times.  NULL without memory. */
char *cfc_grid_text(const json_t *value);

/* Columns that UTF-8 text takes on a terminal. */
size_t cfc_grid_width(const char *text);

/* Shortens `text` in place to `width` columns, at least 4: "..." in the middle, or at the end. */
void cfc_grid_elide(char *text, size_t width, bool at_end);

#endif
