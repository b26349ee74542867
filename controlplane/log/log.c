#include "controlplane/log/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"

enum {
    LINE_SIZE_MAX = 1000,
};

static const char *const words[] = {
#define WORD_(name, word) word,
    CFC_LOG_LEVELS(WORD_)
#undef WORD_
};

static enum cfc_log_level level_max = CFC_LOG_INFO;

void
cfc_log_set_level(enum cfc_log_level level)
{
    level_max = level;
}

int
cfc_log_level_parse(const char *word, enum cfc_log_level *level)
{
    for (int i = 0; i < CFC_LOG_LEVEL_COUNT; i++) {
        if (strcmp(word, words[i]) == 0) {
            *level = (enum cfc_log_level)i;
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_INVALID;
}

static size_t
put_prefix(char *line, enum cfc_log_level level, const char *unit)
{
    struct timespec now;
    struct tm utc;
    size_t size;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size = strftime(line, LINE_SIZE_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    size += (size_t)snprintf(line + size, LINE_SIZE_MAX - size, ".%06ldZ %s %s ",
                             now.tv_nsec / 1000, words[level], unit);
    return size;
}

void
cfc_log(enum cfc_log_level level, const char *unit, const char *format, ...)
{
    char line[LINE_SIZE_MAX + 1];
    size_t size;
    va_list args;
    ssize_t ignored;

    if (level > level_max) {
        return;
    }
    size = put_prefix(line, level, unit);
    va_start(args, format);
    vsnprintf(line + size, LINE_SIZE_MAX - size, format, args);
    va_end(args);
    size = strlen(line);
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[size++] = '\n';
    /* There is nobody to tell when the log itself cannot be written. */
    ignored = write(STDERR_FILENO, line, size);
    (void)ignored;
}
