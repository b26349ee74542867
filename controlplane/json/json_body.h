/* From a jansson tree to the two canonical forms: the body (protocol/snapshot/body.h) and RFC 8785
 * text (protocol/snapshot/json_write.h, which prints bodies and is the only canonical writer). */
#ifndef CFC_JSON_JSON_BODY_H
#define CFC_JSON_JSON_BODY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* The canonical body of a tree: `*body` is on the heap (free).  Numbers are normalised, so that 1.0
 * and 1 give one body, and -0 is 0.  CONFCAST_ERR_LIMIT (size or count of values), _DEPTH, _NUMBER,
 * _ENCODING, _NO_MEMORY. */
int cfc_json_to_body(const json_t *root, uint8_t **body, size_t *body_size);

/* RFC 8785 text of a body: `*text` is on the heap (free), followed by a NUL that `*size` does not
 * count.  CONFCAST_ERR_BODY for a body that is not valid. */
int cfc_json_body_to_text(const uint8_t *body, size_t body_size, char **text, size_t *size);

/* Both steps: the canonical text of a tree. */
int cfc_json_to_text(const json_t *root, char **text, size_t *size);

#endif
