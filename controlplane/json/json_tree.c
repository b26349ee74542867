#include "controlplane/json/json_tree.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/limits.h"
#include "protocol/snapshot/text.h"

enum {
    INTEGER_DIGITS_MAX = 18, /* fit into 64 bits */
    REAL_SIZE_MAX = 63,
};

struct tree {
    const char *p;
    const char *end;
    bool ints_as_reals;
    json_t *open[CFC_DEPTH_MAX]; /* containers that are not closed; the first has the others */
    size_t depth;
};

static void
skip_space(struct tree *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\r' || *t->p == '\t')) {
        t->p++;
    }
}

static bool
take(struct tree *t, char c)
{
    if (t->p == t->end || *t->p != c) {
        return false;
    }
    t->p++;
    return true;
}

/* ---- Strings ----------------------------------------------------------------------------------
 */

/* The code unit of four hex digits; negative for anything else. */
static int32_t
hex_unit(const char *p, const char *end)
{
    static const char digits[] = "0123456789abcdef";
    int32_t unit = 0;

    for (int i = 0; i < 4; i++) {
        const char *digit = p + i < end && p[i] != '\0'
                                ? strchr(digits, p[i] >= 'A' && p[i] <= 'F' ? p[i] + 32 : p[i])
                                : NULL;

        if (digit == NULL) {
            return -1;
        }
        unit = unit * 16 + (int32_t)(digit - digits);
    }
    return unit;
}

static char *
put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* `*p` is behind "\u".  False: malformed, NUL or a lone surrogate. */
static bool
unescape_unit(const char **p, const char *end, char **out)
{
    int32_t unit = hex_unit(*p, end);
    int32_t second;

    if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return false;
    }
    *p += 4;
    if (unit < 0xd800 || unit > 0xdbff) {
        *out = put_utf8(*out, (uint32_t)unit);
        return true;
    }
    second = end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex_unit(*p + 2, end) : -1;
    if (second < 0xdc00 || second > 0xdfff) {
        return false;
    }
    *p += 6;
    *out =
        put_utf8(*out, 0x10000 + ((uint32_t)(unit - 0xd800) << 10 | (uint32_t)(second - 0xdc00)));
    return true;
}

static bool
unescape(const char *p, const char *end, char **out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";

    while (p < end) {
        const char *name;

        if (*p != '\\') {
            *(*out)++ = *p++;
            continue;
        }
        p++;
        if (p < end && *p == 'u') {
            p++;
            if (!unescape_unit(&p, end, out)) {
                return false;
            }
            continue;
        }
        name = p < end && *p != '\0' ? strchr(names, *p) : NULL;
        if (name == NULL) {
            return false;
        }
        *(*out)++ = meanings[name - names];
        p++;
    }
    return true;
}

/* The raw bytes up to the closing quote, which is taken; `p` is behind the opening one. */
static bool
take_string(struct tree *t, const char **bytes, size_t *size, bool *has_escapes)
{
    const char *start = t->p;

    *has_escapes = false;
    while (t->p < t->end && *t->p != '"') {
        if ((unsigned char)*t->p < 0x20) {
            return false;
        }
        if (*t->p == '\\') {
            *has_escapes = true;
            t->p++;
            if (t->p == t->end) {
                return false;
            }
        }
        t->p++;
    }
    *bytes = start;
    *size = (size_t)(t->p - start);
    return take(t, '"') && cfc_utf8_is_valid(*bytes, *size);
}

static json_t *
string_value(struct tree *t)
{
    const char *bytes;
    bool has_escapes;
    size_t size;
    char *text;
    char *out;
    json_t *value = NULL;

    if (!take_string(t, &bytes, &size, &has_escapes)) {
        return NULL;
    }
    if (!has_escapes) {
        return json_stringn_nocheck(bytes, size);
    }
    text = malloc(size); /* An escape is never shorter than what it stands for. */
    out = text;
    if (text != NULL && unescape(bytes, bytes + size, &out)) {
        value = json_stringn_nocheck(text, (size_t)(out - text));
    }
    free(text);
    return value;
}

/* ---- Numbers, words ---------------------------------------------------------------------------
 */

static size_t
take_digits(struct tree *t, uint64_t *value)
{
    const char *start = t->p;

    for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
        *value = *value * 10 + (uint64_t)(*t->p - '0');
    }
    return (size_t)(t->p - start);
}

static json_t *
real_value(const char *start, size_t size)
{
    char text[REAL_SIZE_MAX + 1];
    char *rest;
    double value;

    if (size > REAL_SIZE_MAX) {
        return NULL;
    }
    memcpy(text, start, size);
    text[size] = '\0';
    value = strtod(text, &rest);
    return rest == text + size && isfinite(value) ? json_real(value) : NULL;
}

static json_t *
number_value(struct tree *t)
{
    const char *start = t->p;
    bool is_negative = take(t, '-');
    const char *digits = t->p;
    uint64_t value = 0;
    uint64_t rest = 0;
    size_t count = take_digits(t, &value);

    if (count == 0 || count > INTEGER_DIGITS_MAX || (count > 1 && *digits == '0')) {
        return NULL;
    }
    if (t->p == t->end || (*t->p != '.' && *t->p != 'e' && *t->p != 'E')) {
        return t->ints_as_reals
                   ? json_real(is_negative ? -(double)value : (double)value)
                   : json_integer(is_negative ? -(json_int_t)value : (json_int_t)value);
    }
    if (take(t, '.') && take_digits(t, &rest) == 0) {
        return NULL;
    }
    if (take(t, 'e') || take(t, 'E')) {
        (void)(take(t, '-') || take(t, '+'));
        if (take_digits(t, &rest) == 0) {
            return NULL;
        }
    }
    return real_value(start, (size_t)(t->p - start));
}

static bool
take_word(struct tree *t, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(t->end - t->p) < size || memcmp(t->p, word, size) != 0) {
        return false;
    }
    t->p += size;
    return true;
}

static json_t *
plain_value(struct tree *t)
{
    switch (*t->p) {
    case '"':
        t->p++;
        return string_value(t);
    case 't':
        return take_word(t, "true") ? json_true() : NULL;
    case 'f':
        return take_word(t, "false") ? json_false() : NULL;
    case 'n':
        return take_word(t, "null") ? json_null() : NULL;
    default:
        return number_value(t);
    }
}

/* ---- Containers -------------------------------------------------------------------------------
 */

/* Takes `value` over, NULL included. */
static bool
add(json_t *parent, const char *key, size_t key_size, json_t *value)
{
    size_t count = json_object_size(parent);

    if (value == NULL) {
        return false;
    }
    if (json_is_array(parent)) {
        return json_array_append_new(parent, value) == 0;
    }
    /* One more, or the key was there. */
    return json_object_setn_new_nocheck(parent, key, key_size, value) == 0 &&
           json_object_size(parent) == count + 1;
}

/* An item or a member; a container is opened. */
static bool
take_item(struct tree *t, json_t *parent, bool *is_opened)
{
    const char *key = NULL;
    bool has_escapes = false;
    size_t key_size = 0;
    json_t *value;

    *is_opened = false;
    if (json_is_object(parent)) {
        if (!take(t, '"') || !take_string(t, &key, &key_size, &has_escapes) || has_escapes) {
            return false;
        }
        skip_space(t);
        if (!take(t, ':')) {
            return false;
        }
        skip_space(t);
    }
    if (t->p == t->end) {
        return false;
    }
    if (*t->p != '{' && *t->p != '[') {
        return add(parent, key, key_size, plain_value(t));
    }
    if (t->depth == CFC_DEPTH_MAX) {
        return false;
    }
    value = *t->p++ == '{' ? json_object() : json_array();
    if (!add(parent, key, key_size, value)) {
        return false;
    }
    t->open[t->depth++] = value;
    *is_opened = true;
    return true;
}

static bool
fill(struct tree *t)
{
    bool is_opened = true;

    while (t->depth > 0) {
        json_t *parent = t->open[t->depth - 1];

        skip_space(t);
        if (take(t, json_is_array(parent) ? ']' : '}')) {
            t->depth--;
            is_opened = false;
            continue;
        }
        if (!is_opened) {
            if (!take(t, ',')) {
                return false;
            }
            skip_space(t);
        }
        if (!take_item(t, parent, &is_opened)) {
            return false;
        }
    }
    skip_space(t);
    return t->p == t->end;
}

json_t *
cfc_json_tree(const char *text, size_t size, bool ints_as_reals)
{
    struct tree t = {.p = text, .end = text + size, .ints_as_reals = ints_as_reals};
    json_t *root = NULL;

    skip_space(&t);
    if (take(&t, '{')) {
        root = json_object();
    } else if (take(&t, '[')) {
        root = json_array();
    }
    if (root == NULL) {
        return NULL;
    }
    t.open[t.depth++] = root;
    if (!fill(&t)) {
        json_decref(root);
        return NULL;
    }
    return root;
}
