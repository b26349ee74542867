#include "protocol/trust/strict_json.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"

struct scan {
    bool is_in_string;
    size_t depth;
    size_t digit_count;
};

static int
scan_string_byte(struct scan *s, uint8_t c)
{
    if (c < 0x20 || c > 0x7e || c == '\\') {
        return CONFCAST_ERR_ENCODING;
    }
    s->is_in_string = c != '"';
    return CONFCAST_OK;
}

static int
scan_plain_byte(struct scan *s, uint8_t c)
{
    s->digit_count = c >= '0' && c <= '9' ? s->digit_count + 1 : 0;
    if (s->digit_count > CFC_STRICT_DIGITS_MAX) {
        return CONFCAST_ERR_NUMBER;
    }
    switch (c) {
    case '{':
    case '[':
        return ++s->depth > CFC_STRICT_DEPTH_MAX ? CONFCAST_ERR_DEPTH : CONFCAST_OK;
    case '}':
    case ']':
        s->depth -= s->depth > 0 ? 1 : 0;
        return CONFCAST_OK;
    case '"':
        s->is_in_string = true;
        return CONFCAST_OK;
    case ':':
    case ',':
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return CONFCAST_OK;
    default:
        return s->digit_count > 0 ? CONFCAST_OK : CONFCAST_ERR_ENCODING;
    }
}

/* The parser recurses, so that depth is bounded before it sees a byte. */
static int
scan_bytes(const uint8_t *bytes, size_t size)
{
    struct scan s = {0};
    int rc = CONFCAST_OK;

    for (size_t i = 0; i < size && rc == CONFCAST_OK; i++) {
        rc = s.is_in_string ? scan_string_byte(&s, bytes[i]) : scan_plain_byte(&s, bytes[i]);
    }
    return rc;
}

static int
error_of(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        return CONFCAST_ERR_NO_MEMORY;
    case json_error_duplicate_key:
        return CONFCAST_ERR_DUPLICATE_KEY;
    default:
        return CONFCAST_ERR_SYNTAX;
    }
}

int
cfc_strict_load(const void *bytes, size_t size, size_t size_max, json_t **out)
{
    json_error_t error;
    json_t *value;
    int rc;

    *out = NULL;
    if (size > size_max) {
        return CONFCAST_ERR_LIMIT;
    }
    rc = scan_bytes(bytes, size);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        return error_of(&error);
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return CONFCAST_ERR_TYPE;
    }
    *out = value;
    return CONFCAST_OK;
}

char *
cfc_strict_dump(const json_t *value, size_t *size)
{
    char *text = json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT);

    if (text != NULL) {
        *size = strlen(text);
    }
    return text;
}

int
cfc_strict_string(const json_t *object, const char *key, size_t size_min, size_t capacity,
                  char *out)
{
    const json_t *value = json_object_get(object, key);
    size_t size = json_string_length(value);

    if (!json_is_string(value)) {
        return CONFCAST_ERR_TYPE;
    }
    if (size < size_min || size >= capacity) {
        return CONFCAST_ERR_RANGE;
    }
    memcpy(out, json_string_value(value), size + 1);
    return CONFCAST_OK;
}

int
cfc_strict_uint(const json_t *object, const char *key, uint64_t min, uint64_t max, uint64_t *out)
{
    const json_t *value = json_object_get(object, key);
    uint64_t number = (uint64_t)json_integer_value(value);

    if (!json_is_integer(value)) {
        return CONFCAST_ERR_TYPE;
    }
    if (number < min || number > max) {
        return CONFCAST_ERR_RANGE;
    }
    *out = number;
    return CONFCAST_OK;
}

int
cfc_strict_hex(const json_t *object, const char *key, uint8_t *out, size_t size)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    size_t written = 0;

    if (!json_is_string(value)) {
        return CONFCAST_ERR_TYPE;
    }
    /* libsodium takes upper case as well, which would give one key two spellings. */
    if (json_string_length(value) != 2 * size ||
        strspn(text, "0123456789abcdef") != json_string_length(value) ||
        sodium_hex2bin(out, size, text, 2 * size, NULL, &written, NULL) != 0 || written != size) {
        return CONFCAST_ERR_RANGE;
    }
    return CONFCAST_OK;
}

int
cfc_strict_array(const json_t *object, const char *key, size_t count_max, json_t **out)
{
    json_t *value = json_object_get(object, key);

    if (!json_is_array(value)) {
        return CONFCAST_ERR_TYPE;
    }
    if (json_array_size(value) > count_max) {
        return CONFCAST_ERR_RANGE;
    }
    *out = value;
    return CONFCAST_OK;
}
