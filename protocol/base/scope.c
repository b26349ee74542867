#include "protocol/base/scope.h"

#include <string.h>

#include "confcast/error.h"

static bool
is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
is_alnum(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool
is_alnum_or(char c, const char *others)
{
    return is_alnum(c) || (c != '\0' && strchr(others, c) != NULL);
}

int
cfc_scope_check(const char *path, size_t size)
{
    size_t segment_size = 0;
    size_t segment_count = 1;

    if (size == 0 || size > CFC_SCOPE_SIZE_MAX) {
        return CONFCAST_ERR_SCOPE_NAME;
    }
    for (size_t i = 0; i < size; i++) {
        char c = path[i];

        if (c == '/') {
            if (segment_size == 0 || ++segment_count > CFC_SEGMENT_COUNT_MAX) {
                return CONFCAST_ERR_SCOPE_NAME;
            }
            segment_size = 0;
            continue;
        }
        if (!is_lower_or_digit(c) && (segment_size == 0 || (c != '.' && c != '_' && c != '-'))) {
            return CONFCAST_ERR_SCOPE_NAME;
        }
        if (++segment_size > CFC_SEGMENT_SIZE_MAX) {
            return CONFCAST_ERR_SCOPE_NAME;
        }
    }
    return segment_size > 0 ? CONFCAST_OK : CONFCAST_ERR_SCOPE_NAME;
}

static bool
all_of(const char *s, size_t size, const char *others)
{
    for (size_t i = 0; i < size; i++) {
        if (!is_alnum_or(s[i], others)) {
            return false;
        }
    }
    return true;
}

int
cfc_consumer_id_check(const char *id, size_t size)
{
    bool ok = size >= 1 && size <= CFC_CONSUMER_ID_SIZE_MAX && all_of(id, size, "._:@-");

    return ok ? CONFCAST_OK : CONFCAST_ERR_INVALID;
}

int
cfc_label_check(const char *key, size_t key_size, const char *value, size_t value_size)
{
    bool ok = key_size >= 1 && key_size <= CFC_LABEL_SIZE_MAX && value_size <= CFC_LABEL_SIZE_MAX &&
              all_of(key, key_size, "._/-") && all_of(value, value_size, "._/-");

    return ok ? CONFCAST_OK : CONFCAST_ERR_INVALID;
}
