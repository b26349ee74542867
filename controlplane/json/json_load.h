/* Reading and writing JSON by Jansson, which does not always notice that memory ran out: it then
 * reads a string without one of its bytes, or writes a member without its name, and goes on.  What
 * was made so may not be used, least of all be stored.  (It may also free what it never allocated,
 * when memory runs out at a number that it reads: 2.14.  That ends the process, and the store is
 * whole.)
 *
 * No state but a flag of each thread; any thread. */
#ifndef CFC_JSON_JSON_LOAD_H
#define CFC_JSON_JSON_LOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* json_loadb(3).  NULL with *is_out_of_memory when any allocation failed meanwhile, whatever
 * Jansson made of it; else NULL with `why`, as it says. */
json_t *cfc_json_load(const void *bytes, size_t size, size_t flags, json_error_t *why,
                      bool *is_out_of_memory);

/* json_dumps(3); the caller frees it.  NULL: out of memory (or no JSON at all). */
char *cfc_json_dump(const json_t *value, size_t flags);

/* A test hook: whether an allocation of Jansson's is to fail, also outside of these functions;
 * reading or not.  NULL (the default) costs one load. */
extern bool (*cfc_json_alloc_hook)(bool is_reading);

#endif
