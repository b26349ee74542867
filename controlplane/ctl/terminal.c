#include "controlplane/ctl/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool
cfc_terminal_is(FILE *stream)
{
    const char *term = getenv("TERM");

    return isatty(fileno(stream)) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

bool
cfc_terminal_has_color(FILE *stream)
{
    const char *refusal = getenv("NO_COLOR");

    return cfc_terminal_is(stream) && (refusal == NULL || refusal[0] == '\0');
}

int
cfc_terminal_rows(FILE *stream)
{
    struct winsize size = {0};

    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

const char *
cfc_color_on(enum cfc_color color)
{
    static const char *const sequences[] = {
        [CFC_COLOR_NONE] = "",          [CFC_COLOR_BOLD] = "\033[1m",
        [CFC_COLOR_GREEN] = "\033[32m", [CFC_COLOR_YELLOW] = "\033[33m",
        [CFC_COLOR_RED] = "\033[1;31m",
    };

    return sequences[color];
}

const char *
cfc_color_off(enum cfc_color color)
{
    return color == CFC_COLOR_NONE ? "" : "\033[0m";
}
