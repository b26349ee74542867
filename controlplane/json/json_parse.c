#include "controlplane/json/json_parse.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_load.h"
#include "protocol/base/limits.h"

#define INTEGER_MAX_DIGITS "9007199254740991"

/* What a value costs in a tree of jansson 2.14 on glibc, measured and rounded up.  A string costs
 * its bytes besides. */
enum {
    CONTAINER_COST = 272,
    NUMBER_COST = 32,
    STRING_COST = 80,
    ITEM_COST = 16,    /* a place in an array that has doubled */
    MEMBER_COST = 128, /* a key, without its bytes, and its place in the table */
};

static int
refuse(struct cfc_json_error *error, size_t offset, int code, const char *message)
{
    if (error != NULL) {
        snprintf(error->message, sizeof(error->message), "%s", message);
        error->offset = offset;
    }
    return code;
}

/* The four hex digits at `p`, or -1. */
static int32_t
hex4(const char *p, const char *end)
{
    int32_t value = 0;

    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit;

        if (c >= '0' && c <= '9') {
            digit = c - '0';
        } else if (c >= 'a' && c <= 'f') {
            digit = c - 'a' + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = c - 'A' + 10;
        } else {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* One scan over the text; see scan_string() and scan_number() for what it looks for in there. */
struct scan {
    const char *start;
    const char *p;
    const char *end;
    uint64_t cost; /* of the tree, so far */
    struct cfc_json_error *error;
};

static int
refuse_here(const struct scan *scan, int code, const char *message)
{
    return refuse(scan->error, (size_t)(scan->p - scan->start), code, message);
}

/* `p` is behind "\u".  Other malformed escapes are left to the parser. */
static int
scan_unicode_escape(struct scan *scan)
{
    int32_t unit = hex4(scan->p, scan->end);
    int32_t second;

    if (unit < 0) {
        return CONFCAST_OK;
    }
    if (unit == 0) {
        return refuse_here(scan, CONFCAST_ERR_ENCODING, "a string holds NUL");
    }
    if (unit >= 0xdc00 && unit <= 0xdfff) {
        return refuse_here(scan, CONFCAST_ERR_ENCODING, "a string holds a lone surrogate");
    }
    scan->p += 4;
    if (unit < 0xd800 || unit > 0xdbff) {
        return CONFCAST_OK;
    }
    second = scan->end - scan->p >= 2 && scan->p[0] == '\\' && scan->p[1] == 'u'
                 ? hex4(scan->p + 2, scan->end)
                 : -1;
    if (second < 0xdc00 || second > 0xdfff) {
        return refuse_here(scan, CONFCAST_ERR_ENCODING, "a string holds a lone surrogate");
    }
    scan->p += 6;
    return CONFCAST_OK;
}

/* `p` is behind the opening quote; leaves it behind the closing one or at the end. */
static int
scan_string(struct scan *scan)
{
    while (scan->p < scan->end) {
        char c = *scan->p++;

        if (c == '"') {
            break;
        }
        if (c == '\0') {
            return refuse_here(scan, CONFCAST_ERR_ENCODING, "a string holds NUL");
        }
        if (c != '\\' || scan->p == scan->end) {
            continue;
        }
        if (*scan->p++ == 'u') {
            int error = scan_unicode_escape(scan);

            if (error != CONFCAST_OK) {
                return error;
            }
        }
    }
    return CONFCAST_OK;
}

/* `p` is at the first character of a number; leaves it behind the last one. */
static int
scan_number(struct scan *scan)
{
    const char *digits = scan->p + (*scan->p == '-');
    const char *p = digits;
    size_t size;

    while (p < scan->end && *p >= '0' && *p <= '9') {
        p++;
    }
    size = (size_t)(p - digits);
    if (p == scan->end || (*p != '.' && *p != 'e' && *p != 'E')) {
        if (size > 16 || (size == 16 && memcmp(digits, INTEGER_MAX_DIGITS, 16) > 0)) {
            return refuse_here(scan, CONFCAST_ERR_NUMBER,
                               "an integer is beyond 2^53 - 1, which canonical JSON cannot hold");
        }
    } else {
        while (p < scan->end && ((*p >= '0' && *p <= '9') || *p == '.' || *p == 'e' || *p == 'E' ||
                                 *p == '+' || *p == '-')) {
            p++;
        }
    }
    scan->p = p;
    return CONFCAST_OK;
}

/* What has to be known before the parser recurses, and what it would not tell apart. */
static int
scan_text(const char *text, size_t size, uint64_t *cost, struct cfc_json_error *error)
{
    struct scan scan = {.start = text, .p = text, .end = text + size, .cost = size, .error = error};
    size_t depth = 0;
    int code = CONFCAST_OK;

    *cost = size;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        return refuse(error, 0, CONFCAST_ERR_SYNTAX, "the document begins with a byte order mark");
    }
    while (code == CONFCAST_OK && scan.p < scan.end) {
        char c = *scan.p;

        if (c == '-' || (c >= '0' && c <= '9')) {
            code = scan_number(&scan);
            scan.cost += NUMBER_COST;
            continue;
        }
        scan.p++;
        if (c == '"') {
            code = scan_string(&scan);
            scan.cost += STRING_COST;
        } else if (c == '{' || c == '[') {
            depth++;
            scan.cost += CONTAINER_COST;
            if (depth > CFC_DEPTH_MAX) {
                code = refuse_here(&scan, CONFCAST_ERR_DEPTH, "nested deeper than 64 levels");
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        } else if (c == ',' || c == ':') {
            scan.cost += c == ',' ? ITEM_COST : MEMBER_COST - STRING_COST;
        }
    }
    *cost = scan.cost;
    if (code == CONFCAST_OK && scan.cost > CFC_JSON_TREE_SIZE_MAX) {
        return refuse(
            error, size, CONFCAST_ERR_LIMIT,
            "the document has too many values: they would take more than 1 GiB of memory");
    }
    return code;
}

static int
code_of(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        return CONFCAST_ERR_DUPLICATE_KEY;
    case json_error_invalid_utf8:
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return CONFCAST_ERR_ENCODING;
    case json_error_out_of_memory:
        return CONFCAST_ERR_NO_MEMORY;
    case json_error_stack_overflow:
        return CONFCAST_ERR_DEPTH;
    default:
        return CONFCAST_ERR_SYNTAX;
    }
}

static const char *
message_of(enum json_error_code code)
{
    switch (code) {
    case json_error_duplicate_key:
        return "an object holds the same key twice";
    case json_error_invalid_utf8:
        return "not valid UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a string holds NUL";
    case json_error_out_of_memory:
        return "out of memory";
    case json_error_numeric_overflow:
        return "a number is out of range";
    case json_error_end_of_input_expected:
        return "there are bytes after the end of the document";
    case json_error_premature_end_of_input:
        return "the document ends too early";
    default:
        return "not valid JSON";
    }
}

static int
parse(const char *text, size_t size, json_t **root, struct cfc_json_error *error)
{
    json_error_t detail;
    bool is_out_of_memory;

    /* All numbers become doubles: those that are integers are exact, since they are at most 2^53 -
     * 1, and what is written out again does not depend on how they were written. */
    *root = cfc_json_load(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &detail,
                          &is_out_of_memory);
    if (is_out_of_memory) {
        return refuse(error, 0, CONFCAST_ERR_NO_MEMORY, "there is no memory for the document");
    }
    if (*root == NULL) {
        int code = code_of(&detail);

        refuse(error, detail.position > 0 ? (size_t)detail.position : 0, code,
               message_of(json_error_code(&detail)));
        if (error != NULL) {
            size_t used = strlen(error->message);

            snprintf(error->message + used, sizeof(error->message) - used, " (line %d, column %d)",
                     detail.line, detail.column);
        }
        return code;
    }
    if (!json_is_object(*root)) {
        json_decref(*root);
        *root = NULL;
        return refuse(error, 0, CONFCAST_ERR_SYNTAX, "the document is not an object");
    }
    return CONFCAST_OK;
}

int
cfc_json_parse_object(const char *text, size_t size, size_t size_max, json_t **root,
                      struct cfc_json_error *error)
{
    uint64_t cost;
    int code;

    *root = NULL;
    if (size > size_max) {
        return refuse(error, size_max, CONFCAST_ERR_LIMIT, "the document is too big");
    }
    if (size == 0) {
        return refuse(error, 0, CONFCAST_ERR_SYNTAX, "the document is empty");
    }
    code = scan_text(text, size, &cost, error);
    return code == CONFCAST_OK ? parse(text, size, root, error) : code;
}

uint64_t
cfc_json_tree_size(const char *text, size_t size)
{
    uint64_t cost;

    scan_text(text, size, &cost, NULL);
    return cost;
}

int
cfc_json_parse_canonical(const char *text, size_t size, json_t **root)
{
    *root = NULL;
    return parse(text, size, root, NULL);
}
