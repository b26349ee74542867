/* Checks on UTF-8 text.  No state; any thread. */
#ifndef CFC_SNAPSHOT_TEXT_H
#define CFC_SNAPSHOT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF) without NUL. */
bool cfc_utf8_is_valid(const char *text, size_t size);

/* Orders two well-formed UTF-8 strings by their UTF-16 code units, as RFC 8785 (3.2.3) sorts keys:
 * negative, 0 or positive.  This differs from byte order where a character above U+FFFF meets one
 * in U+E000..U+FFFF. */
int cfc_utf16_compare(const char *a, size_t a_size, const char *b, size_t b_size);

#endif
