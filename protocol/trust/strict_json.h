/* The JSON of fleet files and credentials: a subset in which every value has exactly one form.
 *
 * Objects, arrays, strings and non-negative integers only.  Strings hold printable ASCII without
 * backslashes, integers have at most 15 digits, nesting stops at CFC_STRICT_DEPTH_MAX, duplicate
 * keys are refused.  Inside this subset "sorted and compact" is the canonical form of RFC 8785, so
 * that what a signature covers needs no number or string rules.  jansson is used as a parser over
 * bytes; no files are opened.  No state; any thread. */
#ifndef CFC_TRUST_STRICT_JSON_H
#define CFC_TRUST_STRICT_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_STRICT_DEPTH_MAX = 8,
    CFC_STRICT_DIGITS_MAX = 15, /* below 2^53 */
};

/* Parses `size` bytes that must be one object.  On CONFCAST_OK *out is a reference that the caller
 * drops with json_decref().  CONFCAST_ERR_LIMIT: more than size_max bytes; _ENCODING: a character
 * or escape outside the subset; _DEPTH; _NUMBER: too many digits; _DUPLICATE_KEY; _TYPE: not an
 * object; _NO_MEMORY; _SYNTAX.  In each case the file cannot be used: say so and stop. */
int cfc_strict_load(const void *bytes, size_t size, size_t size_max, json_t **out);

/* The canonical form, NUL-terminated; free() it.  NULL without memory. */
char *cfc_strict_dump(const json_t *value, size_t *size);

/* Members of an object.  CONFCAST_ERR_TYPE: missing or of another type; CONFCAST_ERR_RANGE: outside
 * the stated bounds.  `capacity` includes the NUL. */
int cfc_strict_string(const json_t *object, const char *key, size_t size_min, size_t capacity,
                      char *out);
int cfc_strict_uint(const json_t *object, const char *key, uint64_t min, uint64_t max,
                    uint64_t *out);
/* Exactly `size` bytes as lower-case hex. */
int cfc_strict_hex(const json_t *object, const char *key, uint8_t *out, size_t size);
/* An array of at most count_max members, borrowed from `object`. */
int cfc_strict_array(const json_t *object, const char *key, size_t count_max, json_t **out);

#endif
