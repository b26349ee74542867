/* The usual JSON text to a tree of Jansson's, several times as fast as Jansson reads it.
 *
 * What it does not know for sure to be JSON, or not to have the same key twice, or what is unusual
 * (keys with escapes, integers of more than 18 digits, more than CFC_DEPTH_MAX levels), it leaves
 * to Jansson, which then also says what is wrong: so whatever it accepts, Jansson accepts as the
 * same value.  For json_load.c.  No state; any thread. */
#ifndef CFC_JSON_JSON_TREE_H
#define CFC_JSON_JSON_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* An object or array with nothing but white space around it.  `ints_as_reals` is
 * JSON_DECODE_INT_AS_REAL.  NULL: ask Jansson (or there is no memory). */
json_t *cfc_json_tree(const char *text, size_t size, bool ints_as_reals);

#endif
