#include "protocol/snapshot/json_write.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "confcast/error.h"

/* What to write for a byte behind a backslash: 'u' for the long form, 0 for the byte itself. */
static char
escape_of(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return (char)byte;
    case '\b':
        return 'b';
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\f':
        return 'f';
    case '\r':
        return 'r';
    default:
        return byte < 0x20 ? 'u' : 0;
    }
}

static int
write_escape(struct cfc_buffer *out, uint8_t byte, char escape)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', escape, '0', '0', hex[byte >> 4], hex[byte & 15]};

    return cfc_buffer_add(out, text, escape == 'u' ? 6 : 2);
}

int
cfc_json_write_string(struct cfc_buffer *out, const char *text, size_t size)
{
    int error = cfc_buffer_add(out, "\"", 1);
    size_t start = 0;

    for (size_t i = 0; i < size && error == CONFCAST_OK; i++) {
        uint8_t byte = (uint8_t)text[i];
        char escape = escape_of(byte);

        if (escape == 0) {
            continue;
        }
        error = cfc_buffer_add(out, text + start, i - start);
        if (error == CONFCAST_OK) {
            error = write_escape(out, byte, escape);
        }
        start = i + 1;
    }
    if (error == CONFCAST_OK) {
        error = cfc_buffer_add(out, text + start, size - start);
    }
    return error == CONFCAST_OK ? cfc_buffer_add(out, "\"", 1) : error;
}

static int
write_integer(struct cfc_buffer *out, int64_t i)
{
    char text[CFC_JSON_NUMBER_SIZE_MAX];
    char *end = text + sizeof(text);
    char *p = end;
    uint64_t magnitude = i < 0 ? -(uint64_t)i : (uint64_t)i;

    do {
        *--p = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (i < 0) {
        *--p = '-';
    }
    return cfc_buffer_add(out, p, (size_t)(end - p));
}

static int
write_scalar(struct cfc_buffer *out, const struct cfc_value *value)
{
    char number[CFC_JSON_NUMBER_SIZE_MAX];
    const char *text;
    size_t size;

    switch (cfc_value_type(value)) {
    case CFC_TYPE_NULL:
        return cfc_buffer_add(out, "null", 4);
    case CFC_TYPE_BOOL:
        return cfc_value_bool(value) ? cfc_buffer_add(out, "true", 4)
                                     : cfc_buffer_add(out, "false", 5);
    case CFC_TYPE_I64:
        return write_integer(out, cfc_value_i64(value));
    case CFC_TYPE_F64:
        size = cfc_json_write_number(number, cfc_value_f64(value));
        return cfc_buffer_add(out, number, size);
    default:
        text = cfc_value_string(value, &size);
        return cfc_json_write_string(out, text, size);
    }
}

/* Writes a scalar, or the opening bracket of a container, which then becomes the next level. */
static int
write_value(struct cfc_buffer *out, const struct cfc_value *value, struct cfc_iter *levels,
            uint32_t *depth)
{
    enum cfc_type type = cfc_value_type(value);

    if (type != CFC_TYPE_ARRAY && type != CFC_TYPE_OBJECT) {
        return write_scalar(out, value);
    }
    assert(*depth < CFC_DEPTH_MAX);
    levels[(*depth)++] = cfc_iter_of(value);
    return cfc_buffer_add(out, type == CFC_TYPE_OBJECT ? "{" : "[", 1);
}

int
cfc_json_write(struct cfc_buffer *out, const struct cfc_value *value)
{
    struct cfc_iter levels[CFC_DEPTH_MAX];
    uint32_t depth = 0;
    struct cfc_child child;
    bool is_first = true;
    int error = write_value(out, value, levels, &depth);

    while (depth > 0 && error == CONFCAST_OK) {
        struct cfc_iter *level = &levels[depth - 1];
        uint32_t parent_depth = depth;

        if (!cfc_iter_next(level, &child)) {
            error = cfc_buffer_add(out, level->is_object ? "}" : "]", 1);
            depth--;
            is_first = false;
            continue;
        }
        if (!is_first) {
            error = cfc_buffer_add(out, ",", 1);
        }
        if (error == CONFCAST_OK && child.key != NULL) {
            error = cfc_json_write_string(out, child.key, child.key_size);
            if (error == CONFCAST_OK) {
                error = cfc_buffer_add(out, ":", 1);
            }
        }
        if (error == CONFCAST_OK) {
            error = write_value(out, child.value, levels, &depth);
        }
        is_first = depth > parent_depth;
    }
    return error;
}
