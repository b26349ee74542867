/* Reads a body back as a consumer does, and compares every value with the tree it was made from. */
#ifndef CFC_JSON_JSON_CHECK_H
#define CFC_JSON_JSON_CHECK_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* The body passes the consumer's validation, its index finds every value of `root` under its JSON
 * Pointer and equal to it, and it holds nothing else.  `root` is an object nested at most
 * CFC_DEPTH_MAX deep.  CONFCAST_OK; CONFCAST_ERR_BODY: it is not so, and must not be signed;
 * CONFCAST_ERR_LIMIT, _NO_MEMORY. */
int cfc_json_check_body(const json_t *root, const void *body, size_t size);

#endif
