#include "controlplane/api/time_text.h"

#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "protocol/base/time.h"

enum {
    YEAR_FIRST = 1970,
    YEAR_LAST = 2500,
    FRACTION_DIGITS_MAX = 9,
    NUMBER_DIGITS_MAX = 19
};

/* Exactly `count` digits at *p, within the bounds; -1 when they are not there. */
static int
digits(const char **p, int count, int min, int max)
{
    int value = 0;

    for (int i = 0; i < count; i++, (*p)++) {
        if (**p < '0' || **p > '9') {
            return -1;
        }
        value = value * 10 + (**p - '0');
    }
    return value >= min && value <= max ? value : -1;
}

static int
separator(const char **p, const char *allowed)
{
    if (**p == '\0' || strchr(allowed, **p) == NULL) {
        return -1;
    }
    return *(*p)++;
}

static int
read_fraction(const char **p, uint64_t *ns)
{
    uint64_t unit = CFC_S / 10;
    int count = 0;

    *ns = 0;
    if (**p != '.') {
        return 0;
    }
    for ((*p)++; **p >= '0' && **p <= '9'; (*p)++, unit /= 10) {
        if (++count > FRACTION_DIGITS_MAX) {
            return -1;
        }
        *ns += (uint64_t)(**p - '0') * unit;
    }
    return count > 0 ? 0 : -1;
}

/* "Z" or "+hh:mm"; the seconds that the written time is ahead of UTC. */
static int
read_offset(const char **p, int *ahead_s)
{
    int sign = separator(p, "Zz+-");
    int hours;
    int minutes;

    *ahead_s = 0;
    if (sign == 'Z' || sign == 'z') {
        return 0;
    }
    if (sign < 0 || (hours = digits(p, 2, 0, 23)) < 0 || separator(p, ":") < 0 ||
        (minutes = digits(p, 2, 0, 59)) < 0) {
        return -1;
    }
    *ahead_s = (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return 0;
}

/* Days that do not exist come back as others. */
static int
utc_seconds(struct tm *fields, int64_t *seconds)
{
    struct tm normal = *fields;

    *seconds = timegm(&normal);
    return normal.tm_mday == fields->tm_mday && normal.tm_mon == fields->tm_mon ? 0 : -1;
}

static int
parse_number(const char *text, uint64_t *unix_ns)
{
    size_t size = strspn(text, "0123456789");
    uint64_t value = 0;

    if (size == 0 || size > NUMBER_DIGITS_MAX || text[size] != '\0') {
        return CONFCAST_ERR_INVALID;
    }
    for (size_t i = 0; i < size; i++) {
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *unix_ns = value;
    return CONFCAST_OK;
}

int
cfc_time_parse(const char *text, uint64_t *unix_ns)
{
    struct tm fields = {0};
    const char *p = text;
    uint64_t fraction_ns;
    int64_t seconds;
    int ahead_s;
    int year;

    if (parse_number(text, unix_ns) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    if ((year = digits(&p, 4, YEAR_FIRST, YEAR_LAST)) < 0 || separator(&p, "-") < 0 ||
        (fields.tm_mon = digits(&p, 2, 1, 12) - 1) < 0 || separator(&p, "-") < 0 ||
        (fields.tm_mday = digits(&p, 2, 1, 31)) < 0 || separator(&p, "Tt ") < 0 ||
        (fields.tm_hour = digits(&p, 2, 0, 23)) < 0 || separator(&p, ":") < 0 ||
        (fields.tm_min = digits(&p, 2, 0, 59)) < 0 || separator(&p, ":") < 0 ||
        (fields.tm_sec = digits(&p, 2, 0, 59)) < 0 || read_fraction(&p, &fraction_ns) != 0 ||
        read_offset(&p, &ahead_s) != 0 || *p != '\0') {
        return CONFCAST_ERR_INVALID;
    }
    fields.tm_year = year - 1900;
    if (utc_seconds(&fields, &seconds) != 0 || seconds < ahead_s) {
        return CONFCAST_ERR_INVALID;
    }
    *unix_ns = (uint64_t)(seconds - ahead_s) * CFC_S + fraction_ns;
    return CONFCAST_OK;
}
