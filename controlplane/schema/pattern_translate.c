/* The parser of regular expressions: ECMA-262 with the u flag in, PCRE2 out.  Every character
 * leaves as itself when it is a letter or a digit and as \x{...} otherwise, so that nothing that is
 * special to PCRE2 alone gets through.  Groups do not capture: nothing can refer back to them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/pattern.h"
#include "protocol/base/buffer.h"

/* ECMA-262 WhiteSpace and LineTerminator, and their complement. */
#define SPACES                                                                                     \
    "\\x{9}-\\x{d}\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"  \
    "\\x{3000}\\x{feff}"
#define NOT_SPACES                                                                                 \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"               \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"                 \
    "\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

enum {
    CODE_POINT_MAX = 0x10ffff
};

/* What a quantifier would refer to. */
enum last {
    NOTHING,   /* the begin of an alternative, or another quantifier */
    ATOM,      /* something that can be repeated */
    ASSERTION, /* something that cannot */
};

struct translator {
    const char *p;
    const char *end;
    struct cfc_buffer *out;
    enum last last;
    size_t depth;
    bool is_look[CFC_SCHEMA_PATTERN_DEPTH_MAX]; /* open groups that look ahead or behind */
    uint32_t repeat_max;
    char *message;
    size_t message_size;
};

/* One element of a class, or one escape. */
struct element {
    enum {
        CHARACTER,
        SET,
        BOUNDARY,
    } kind;
    uint32_t code_point;
    const char *inside;  /* SET: text inside a class; NULL for a property, which is in `property` */
    const char *outside; /* SET and BOUNDARY: text outside */
    char property[96];
};

static int
refuse(struct translator *t, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(t->message, t->message_size, format, args);
    va_end(args);
    return code;
}

static int
invalid(struct translator *t, const char *what)
{
    return refuse(t, CONFCAST_ERR_SCHEMA_INVALID, "the regular expression is not valid: %s", what);
}

static int
emit(struct translator *t, const char *text)
{
    int error = cfc_buffer_add(t->out, text, strlen(text));

    if (error == CONFCAST_ERR_LIMIT) {
        return refuse(t, error, "the regular expression is too big");
    }
    return error;
}

static int
emit_character(struct translator *t, uint32_t code_point)
{
    char text[16];
    bool is_plain = (code_point >= '0' && code_point <= '9') ||
                    (code_point >= 'a' && code_point <= 'z') ||
                    (code_point >= 'A' && code_point <= 'Z');

    snprintf(text, sizeof(text), is_plain ? "%c" : "\\x{%x}", code_point);
    return emit(t, text);
}

static bool
take(struct translator *t, const char *text)
{
    size_t size = strlen(text);

    if ((size_t)(t->end - t->p) < size || memcmp(t->p, text, size) != 0) {
        return false;
    }
    t->p += size;
    return true;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The code point at `p`, which moves behind it. */
static int
take_utf8(struct translator *t, uint32_t *code_point)
{
    unsigned char first = (unsigned char)*t->p++;
    int more = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;

    if (more < 0 || first > 0xf4 || t->end - t->p < more) {
        return invalid(t, "it is not UTF-8");
    }
    *code_point = more == 0 ? first : first & (0x3fu >> more);
    for (; more > 0; more--) {
        unsigned char next = (unsigned char)*t->p++;

        if ((next & 0xc0) != 0x80) {
            return invalid(t, "it is not UTF-8");
        }
        *code_point = *code_point << 6 | (next & 0x3fu);
    }
    return CONFCAST_OK;
}

/* `digits` hex digits at `p`, or one up to six when it is 0. */
static bool
take_hex(struct translator *t, int digits, uint32_t *value)
{
    int count = 0;

    *value = 0;
    while (t->p < t->end && (digits == 0 || count < digits) && count < 6) {
        char c = *t->p;

        if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F')) {
            break;
        }
        *value = *value * 16 + (uint32_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
        t->p++;
        count++;
    }
    return digits == 0 ? count > 0 : count == digits;
}

/* Behind "\u": four digits, two surrogates of four, or any number in braces. */
static int
take_unicode_escape(struct translator *t, uint32_t *code_point)
{
    uint32_t low;

    if (take(t, "{")) {
        if (!take_hex(t, 0, code_point) || !take(t, "}") || *code_point > CODE_POINT_MAX) {
            return invalid(t, "\\u{...} names no code point");
        }
    } else if (!take_hex(t, 4, code_point)) {
        return invalid(t, "\\u needs four hexadecimal digits");
    } else if (*code_point >= 0xd800 && *code_point <= 0xdbff && take(t, "\\u")) {
        if (!take_hex(t, 4, &low) || low < 0xdc00 || low > 0xdfff) {
            return invalid(t, "a surrogate stands alone");
        }
        *code_point = 0x10000 + ((*code_point - 0xd800) << 10) + (low - 0xdc00);
    }
    if (*code_point >= 0xd800 && *code_point <= 0xdfff) {
        return invalid(t, "a surrogate stands alone");
    }
    return CONFCAST_OK;
}

/* Behind "\p" or "\P". */
static int
take_property(struct translator *t, bool is_negated, struct element *element)
{
    char name[40];
    char buffer[48];
    char *value;
    const char *property;
    size_t size = 0;

    if (!take(t, "{")) {
        return invalid(t, "\\p needs a property in braces");
    }
    while (t->p < t->end && size < sizeof(name) - 1 &&
           (is_letter(*t->p) || is_digit(*t->p) || *t->p == '_' || *t->p == '=')) {
        name[size++] = *t->p++;
    }
    name[size] = '\0';
    if (!take(t, "}")) {
        return invalid(t, "\\p needs a property in braces");
    }
    value = strchr(name, '=');
    if (value != NULL) {
        *value++ = '\0';
    }
    property = value != NULL && (*value == '\0' || strchr(value, '=') != NULL)
                   ? NULL
                   : cfc_schema_pattern_property(name, value, buffer, sizeof(buffer));
    if (property == NULL) {
        return invalid(t, "\\p names no property that is known here");
    }
    element->kind = SET;
    element->inside = NULL;
    snprintf(element->property, sizeof(element->property), "\\%c{%s}", is_negated ? 'P' : 'p',
             property);
    return CONFCAST_OK;
}

/* The sets and boundaries that are one letter; false when `c` is none of them. */
static bool
set_of(char c, bool is_in_class, struct element *element)
{
    static const struct {
        char letter;
        const char *inside;
        const char *outside;
    } sets[] = {
        {'d', "0-9", "[0-9]"},
        {'D', "\\x{0}-\\x{2f}\\x{3a}-\\x{10ffff}", "[^0-9]"},
        {'w', "0-9A-Z_a-z", "[0-9A-Z_a-z]"},
        {'W', "\\x{0}-\\x{2f}\\x{3a}-\\x{40}\\x{5b}-\\x{5e}\\x{60}\\x{7b}-\\x{10ffff}",
         "[^0-9A-Z_a-z]"},
        {'s', SPACES, "[" SPACES "]"},
        {'S', NOT_SPACES, "[^" SPACES "]"},
        {'b', NULL, "\\b"},
        {'B', NULL, "\\B"},
    };

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        if (sets[i].letter == c && (sets[i].inside != NULL || !is_in_class)) {
            element->kind = sets[i].inside != NULL ? SET : BOUNDARY;
            element->inside = sets[i].inside;
            element->outside = sets[i].outside;
            return true;
        }
    }
    return false;
}

/* The control characters that have a letter, or -1. */
static int
control_of(char c, bool is_in_class)
{
    switch (c) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'v':
        return '\v';
    case 'f':
        return '\f';
    case 'r':
        return '\r';
    case 'b':
        return is_in_class ? '\b' : -1;
    default:
        return -1;
    }
}

/* Behind the letter or digit of an escape that stands for a character. */
static int
take_character_escape(struct translator *t, char c, bool is_in_class, uint32_t *code_point)
{
    int control = control_of(c, is_in_class);

    if (control >= 0) {
        *code_point = (uint32_t)control;
        return CONFCAST_OK;
    }
    switch (c) {
    case 'c':
        if (t->p == t->end || !is_letter(*t->p)) {
            return invalid(t, "\\c needs a letter");
        }
        *code_point = (uint32_t)*t->p++ & 31;
        return CONFCAST_OK;
    case 'x':
        return take_hex(t, 2, code_point) ? CONFCAST_OK
                                          : invalid(t, "\\x needs two hexadecimal digits");
    case 'u':
        return take_unicode_escape(t, code_point);
    case '0':
        *code_point = 0;
        return t->p < t->end && is_digit(*t->p) ? invalid(t, "there are no octal escapes")
                                                : CONFCAST_OK;
    default:
        if (c == 'k' || is_digit(c)) {
            return refuse(t, CONFCAST_ERR_SCHEMA_UNSUPPORTED,
                          "the regular expression has a back-reference: those cannot be matched in "
                          "bounded time");
        }
        return refuse(t, CONFCAST_ERR_SCHEMA_INVALID,
                      "the regular expression is not valid: \\%c means nothing", c);
    }
}

/* Behind the backslash. */
static int
take_escape(struct translator *t, bool is_in_class, struct element *element)
{
    char c;

    if (t->p == t->end) {
        return invalid(t, "it ends in a backslash");
    }
    c = *t->p++;
    if (set_of(c, is_in_class, element)) {
        return CONFCAST_OK;
    }
    if (c == 'p' || c == 'P') {
        return take_property(t, c == 'P', element);
    }
    element->kind = CHARACTER;
    if (is_letter(c) || is_digit(c)) {
        return take_character_escape(t, c, is_in_class, &element->code_point);
    }
    if (c < '!' || c > '~') {
        return invalid(t, "a backslash stands before something that is no punctuation");
    }
    /* The u flag asks for less; a needless backslash before punctuation is taken all the same. */
    element->code_point = (uint32_t)c;
    return CONFCAST_OK;
}

static int
take_class_element(struct translator *t, struct element *element)
{
    if (take(t, "\\")) {
        return take_escape(t, true, element);
    }
    element->kind = CHARACTER;
    return take_utf8(t, &element->code_point);
}

static int
emit_range(struct translator *t, const struct element *from)
{
    struct element to;
    int error = take_class_element(t, &to);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (from->kind != CHARACTER || to.kind != CHARACTER) {
        return invalid(t, "a range has a set at one of its ends");
    }
    if (from->code_point > to.code_point) {
        return invalid(t, "a range ends before it begins");
    }
    error = emit_character(t, from->code_point);
    if (error == CONFCAST_OK) {
        error = emit(t, "-");
    }
    return error == CONFCAST_OK ? emit_character(t, to.code_point) : error;
}

static int
emit_class_element(struct translator *t)
{
    struct element element;
    int error = take_class_element(t, &element);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (t->end - t->p >= 2 && t->p[0] == '-' && t->p[1] != ']') {
        t->p++;
        return emit_range(t, &element);
    }
    if (element.kind == SET) {
        return emit(t, element.inside != NULL ? element.inside : element.property);
    }
    return emit_character(t, element.code_point);
}

/* Behind the opening bracket. */
static int
translate_class(struct translator *t)
{
    bool is_negated = take(t, "^");
    int error;

    t->last = ATOM;
    if (take(t, "]")) {
        return emit(t, is_negated ? "[\\x{0}-\\x{10ffff}]" : "(?:(?!))");
    }
    error = emit(t, is_negated ? "[^" : "[");
    while (error == CONFCAST_OK && !take(t, "]")) {
        error = t->p == t->end ? invalid(t, "a class is not closed") : emit_class_element(t);
    }
    return error == CONFCAST_OK ? emit(t, "]") : error;
}

/* Behind "(?<", where no = or ! follows: a name, which nothing can refer to. */
static int
skip_group_name(struct translator *t)
{
    const char *begin = t->p;

    while (t->p < t->end && (is_letter(*t->p) || *t->p == '_' || *t->p == '$' ||
                             (is_digit(*t->p) && t->p > begin))) {
        t->p++;
    }
    return t->p > begin && take(t, ">") ? CONFCAST_OK : invalid(t, "a group's name is malformed");
}

/* Behind the opening parenthesis. */
static int
translate_group(struct translator *t)
{
    static const char *const looks[] = {"?=", "?!", "?<=", "?<!"};

    if (t->depth == CFC_SCHEMA_PATTERN_DEPTH_MAX) {
        return refuse(t, CONFCAST_ERR_LIMIT,
                      "the regular expression is nested more than %d groups deep",
                      CFC_SCHEMA_PATTERN_DEPTH_MAX);
    }
    t->last = NOTHING;
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        if (take(t, looks[i])) {
            int error = emit(t, "(");

            t->is_look[t->depth++] = true;
            return error == CONFCAST_OK ? emit(t, looks[i]) : error;
        }
    }
    if (take(t, "?<")) {
        int error = skip_group_name(t);

        if (error != CONFCAST_OK) {
            return error;
        }
    } else if (!take(t, "?:") && t->p < t->end && *t->p == '?') {
        return invalid(t, "a group begins with something that is unknown");
    }
    t->is_look[t->depth++] = false;
    return emit(t, "(?:");
}

static int
translate_group_end(struct translator *t)
{
    if (t->depth == 0) {
        return invalid(t, "a parenthesis closes nothing");
    }
    t->last = t->is_look[--t->depth] ? ASSERTION : ATOM;
    return emit(t, ")");
}

/* A number of a quantifier: false when there is none.  One above the limit stays above it. */
static bool
take_count(struct translator *t, uint32_t *count)
{
    const char *begin = t->p;

    *count = 0;
    while (t->p < t->end && is_digit(*t->p)) {
        if (*count <= CFC_SCHEMA_PATTERN_REPEAT_MAX) {
            *count = *count * 10 + (uint32_t)(*t->p - '0');
        }
        t->p++;
    }
    return t->p > begin;
}

/* Behind the opening brace. */
static int
translate_repeat(struct translator *t)
{
    char text[32];
    uint32_t from;
    uint32_t to;
    bool is_open = false;
    bool is_pair = false;

    if (!take_count(t, &from)) {
        return invalid(t, "a brace is no quantifier: write \\{ for the character");
    }
    if (take(t, ",")) {
        is_pair = take_count(t, &to);
        is_open = !is_pair;
    }
    if (!is_pair) {
        to = from;
    }
    if (!take(t, "}")) {
        return invalid(t, "a brace is no quantifier: write \\{ for the character");
    }
    if (from > CFC_SCHEMA_PATTERN_REPEAT_MAX || to > CFC_SCHEMA_PATTERN_REPEAT_MAX) {
        return refuse(t, CONFCAST_ERR_LIMIT, "the regular expression repeats more than %d times",
                      CFC_SCHEMA_PATTERN_REPEAT_MAX);
    }
    if (to < from) {
        return invalid(t, "a quantifier's numbers are in the wrong order");
    }
    if (to > t->repeat_max) {
        t->repeat_max = to;
    }
    if (is_pair) {
        snprintf(text, sizeof(text), "{%u,%u}", from, to);
    } else {
        snprintf(text, sizeof(text), is_open ? "{%u,}" : "{%u}", from);
    }
    return emit(t, text);
}

/* Behind the quantifier's first character, `c`. */
static int
translate_quantifier(struct translator *t, char c)
{
    const char sign[2] = {c, '\0'};
    int error;

    if (t->last != ATOM) {
        return invalid(t, "a quantifier has nothing to repeat");
    }
    t->last = NOTHING;
    error = c == '{' ? translate_repeat(t) : emit(t, sign);
    if (error == CONFCAST_OK && take(t, "?")) {
        error = emit(t, "?");
    }
    return error;
}

/* Behind a backslash outside of a class. */
static int
translate_escape(struct translator *t)
{
    struct element element;
    int error = take_escape(t, false, &element);

    if (error != CONFCAST_OK) {
        return error;
    }
    t->last = element.kind == BOUNDARY ? ASSERTION : ATOM;
    if (element.kind == CHARACTER) {
        return emit_character(t, element.code_point);
    }
    if (element.kind == SET && element.inside == NULL) {
        return emit(t, element.property);
    }
    return emit(t, element.outside);
}

static int
translate_next(struct translator *t)
{
    uint32_t code_point;
    char c = *t->p;
    int error;

    if (strchr("()[]{}*+?|^$.\\", c) == NULL || c == '\0') {
        error = take_utf8(t, &code_point);
        t->last = ATOM;
        return error == CONFCAST_OK ? emit_character(t, code_point) : error;
    }
    t->p++;
    switch (c) {
    case '(':
        return translate_group(t);
    case ')':
        return translate_group_end(t);
    case '[':
        return translate_class(t);
    case '\\':
        return translate_escape(t);
    case '|':
        t->last = NOTHING;
        return emit(t, "|");
    case '^':
        t->last = ASSERTION;
        return emit(t, "^");
    case '$':
        t->last = ASSERTION;
        return emit(t, "\\z");
    case '.':
        t->last = ATOM;
        return emit(t, "[^\\x{a}\\x{d}\\x{2028}\\x{2029}]");
    case ']':
    case '}':
        return refuse(t, CONFCAST_ERR_SCHEMA_INVALID,
                      "the regular expression is not valid: %c closes nothing: write \\%c for the "
                      "character",
                      c, c);
    default:
        return translate_quantifier(t, c);
    }
}

int
cfc_schema_pattern_translate(const char *text, size_t size, struct cfc_buffer *out,
                             uint32_t *repeat_max, char *message, size_t message_size)
{
    struct translator t = {.p = text,
                           .end = text + size,
                           .out = out,
                           .message = message,
                           .message_size = message_size};
    int error = CONFCAST_OK;

    if (size > CFC_SCHEMA_PATTERN_SIZE_MAX) {
        return refuse(&t, CONFCAST_ERR_LIMIT, "the regular expression has more than %d bytes",
                      CFC_SCHEMA_PATTERN_SIZE_MAX);
    }
    while (error == CONFCAST_OK && t.p < t.end) {
        error = translate_next(&t);
    }
    if (error == CONFCAST_OK && t.depth > 0) {
        error = invalid(&t, "a group is not closed");
    }
    *repeat_max = t.repeat_max;
    return error;
}
