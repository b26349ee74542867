#include "controlplane/api/target.h"

#include <jansson.h>
#include <string.h>

#include "confcast/error.h"

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes up to a byte of `stops` or the end, appends a NUL, and leaves *from at the stop. */
static int
decode(const char **from, const char *stops, bool is_query, char **to)
{
    const char *p = *from;
    char *out = *to;

    while (*p != '\0' && strchr(stops, *p) == NULL) {
        unsigned char c = (unsigned char)*p++;

        if (c == '%') {
            int high = hex_digit(p[0]);
            int low = high >= 0 ? hex_digit(p[1]) : -1;

            if (low < 0) {
                return CONFCAST_ERR_INVALID;
            }
            c = (unsigned char)(high * 16 + low);
            p += 2;
            if (!is_query && c == '/') {
                return CONFCAST_ERR_INVALID;
            }
        } else if (is_query && c == '+') {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7f || (!is_query && c > 0x7e)) {
            return CONFCAST_ERR_INVALID;
        }
        *out++ = (char)c;
    }
    *out++ = '\0';
    *from = p;
    *to = out;
    return CONFCAST_OK;
}

static bool
has_dot_segment(const char *path)
{
    for (const char *p = path; *p != '\0'; p++) {
        size_t size = p[0] == '/' ? strcspn(p + 1, "/") : 0;

        if ((size == 1 && p[1] == '.') || (size == 2 && p[1] == '.' && p[2] == '.')) {
            return true;
        }
    }
    return false;
}

static bool
is_utf8(const char *text)
{
    json_t *value = json_string(text);
    bool ok = value != NULL;

    json_decref(value);
    return ok;
}

static int
add_param(struct cfc_target *out, const char **from, char **to)
{
    struct cfc_target_param *param = &out->params[out->param_count];
    int rc;

    if (out->param_count == CFC_TARGET_PARAMS_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    param->name = *to;
    param->value = "";
    rc = decode(from, "=&", true, to);
    if (rc == CONFCAST_OK && **from == '=') {
        (*from)++;
        param->value = *to;
        rc = decode(from, "&", true, to);
    }
    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (param->name[0] == '\0' || cfc_target_param(out, param->name) != NULL ||
        !is_utf8(param->name) || !is_utf8(param->value)) {
        return CONFCAST_ERR_INVALID;
    }
    out->param_count++;
    return CONFCAST_OK;
}

int
cfc_target_parse(const char *raw, struct cfc_target *out)
{
    char *to = out->text;
    int rc;

    out->path = out->text;
    out->param_count = 0;
    out->text[0] = '\0';
    if (strlen(raw) > CFC_TARGET_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (raw[0] != '/') {
        return CONFCAST_ERR_INVALID;
    }
    rc = decode(&raw, "?", false, &to);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (has_dot_segment(out->path)) {
        return CONFCAST_ERR_INVALID;
    }
    /* Every parameter begins after '?' or '&'; a lone '?' is an empty query. */
    while (rc == CONFCAST_OK && *raw != '\0' && !(out->param_count == 0 && raw[1] == '\0')) {
        raw++;
        rc = add_param(out, &raw, &to);
    }
    return rc;
}

const char *
cfc_target_param(const struct cfc_target *target, const char *name)
{
    for (uint32_t i = 0; i < target->param_count; i++) {
        if (strcmp(target->params[i].name, name) == 0) {
            return target->params[i].value;
        }
    }
    return NULL;
}

int
cfc_target_uint(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    size_t size = strlen(text);

    if (size == 0 || size > 20 || (size > 1 && text[0] == '0')) {
        return CONFCAST_ERR_INVALID;
    }
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)(text[i] - '0');

        if (digit > 9 || digit > max || value > (max - digit) / 10) {
            return CONFCAST_ERR_INVALID;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return CONFCAST_OK;
}
