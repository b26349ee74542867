/* Why an effective config has the value that it has at one place: what each layer does to a JSON
 * Pointer (RFC 6901) when it is merged (RFC 7396).
 *
 * Pure: trees in, an effect out; no store, no lock, no recursion. */
#ifndef CFC_MODEL_EXPLAIN_H
#define CFC_MODEL_EXPLAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    CFC_POINTER_SIZE_MAX = 4096 /* bytes of a pointer that can be asked for */
};

/* What a layer does to the value at a pointer.  X(name, word) */
#define CFC_EXPLAIN_EFFECTS(X)                                                                     \
    X(NONE, "none")         /* it says nothing about it */                                         \
    X(SETS, "sets")         /* it gives the value, whatever was there before */                    \
    X(MERGES, "merges")     /* it is an object at this place, and so is what was there before */   \
    X(DELETES, "deletes")   /* it has null there, or above it */                                   \
    X(REPLACES, "replaces") /* it gives something else in place of what holds the value */

enum cfc_explain_effect {
#define CFC_EXPLAIN_ENUM_(name, word) CFC_EXPLAIN_##name,
    CFC_EXPLAIN_EFFECTS(CFC_EXPLAIN_ENUM_)
#undef CFC_EXPLAIN_ENUM_
};

const char *cfc_explain_effect_word(enum cfc_explain_effect effect);

/* "" or "/token/token..."; "~" only in "~0" and "~1".  CONFCAST_OK; CONFCAST_ERR_INVALID;
 * CONFCAST_ERR_LIMIT above CFC_POINTER_SIZE_MAX. */
int cfc_pointer_check(const char *pointer);

/* The value at a pointer that was checked, borrowed; NULL when there is none. */
json_t *cfc_pointer_get(json_t *root, const char *pointer);

struct cfc_explain_step {
    enum cfc_explain_effect effect;
    size_t at_size; /* bytes of the pointer down to where it acts; all of it for SETS, MERGES */
    const json_t *value; /* what the layer has at the pointer, borrowed; NULL = nothing */
};

/* What merging `patch` into `target` (NULL = nothing yet) does at a pointer that was checked. */
struct cfc_explain_step cfc_explain_merge(json_t *target, json_t *patch, const char *pointer);

#endif
