/* What is known of the terminal, if there is one: nothing here is asked of files and pipes. */
#ifndef CFC_CTL_TERMINAL_H
#define CFC_CTL_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

enum cfc_color {
    CFC_COLOR_NONE,
    CFC_COLOR_BOLD,
    CFC_COLOR_GREEN,
    CFC_COLOR_YELLOW,
    CFC_COLOR_RED,
};

/* True for a terminal that can redraw: TERM is neither empty nor "dumb". */
bool cfc_terminal_is(FILE *stream);

/* True where colours are wanted as well: NO_COLOR is not set, or empty (https://no-color.org). */
bool cfc_terminal_has_color(FILE *stream);

/* Lines of the terminal, 24 when it does not say. */
int cfc_terminal_rows(FILE *stream);

/* The escape sequences around coloured text; "" for CFC_COLOR_NONE. */
const char *cfc_color_on(enum cfc_color color);
const char *cfc_color_off(enum cfc_color color);

#endif
