#include "dataplane/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_SIZE_MAX = 1024
};

static void
write_line(const char *level, const char *format, va_list args)
{
    char line[LINE_SIZE_MAX];
    int size = snprintf(line, sizeof(line), CFC_LOG_NAME ": %s", level);
    size_t used;

    vsnprintf(line + size, sizeof(line) - (size_t)size - 1, format, args);
    used = strlen(line);
    line[used++] = '\n';
    /* Nobody could be told that the log is broken. */
    if (write(STDERR_FILENO, line, used) < 0) {
        return;
    }
}

#define LEVEL_(function, prefix)                                                                   \
    void function(const char *format, ...)                                                         \
    {                                                                                              \
        va_list args;                                                                              \
                                                                                                   \
        va_start(args, format);                                                                    \
        write_line(prefix, format, args);                                                          \
        va_end(args);                                                                              \
    }

LEVEL_(cfc_log_info, "")
LEVEL_(cfc_log_warning, "warning: ")
LEVEL_(cfc_log_error, "error: ")
