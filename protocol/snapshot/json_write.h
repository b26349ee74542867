/* Canonical JSON (RFC 8785) from a validated body.  No locale, no stdio, no recursion; any thread.
 */
#ifndef CFC_SNAPSHOT_JSON_WRITE_H
#define CFC_SNAPSHOT_JSON_WRITE_H

#include <stddef.h>

#include "protocol/base/buffer.h"
#include "protocol/snapshot/body.h"

/* Enough for any number, without a NUL: "-1.2345678901234567e-308" is 24 bytes, 21 digits and a
 * sign 22. */
#define CFC_JSON_NUMBER_SIZE_MAX 25

/* Appends the text of `value` (for a body: of its root) to `out`, without NUL or newline.
 * CONFCAST_ERR_LIMIT when the text would exceed the buffer's limit, CONFCAST_ERR_NO_MEMORY; `out`
 * holds a part then. */
int cfc_json_write(struct cfc_buffer *out, const struct cfc_value *value);

/* Appends a JSON string literal with the escapes of RFC 8785 (3.2.2.2).  `text` is well-formed
 * UTF-8; NUL is escaped as well. */
int cfc_json_write_string(struct cfc_buffer *out, const char *text, size_t size);

/* Prints a finite double as ECMAScript does (ECMA-262, Number::toString): the shortest decimal that
 * reads back as the same double, and of those the closest.  Returns the bytes written. */
size_t cfc_json_write_number(char out[CFC_JSON_NUMBER_SIZE_MAX], double d);

#endif
