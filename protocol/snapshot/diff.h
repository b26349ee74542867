/* What differs between two bodies, key by key.
 *
 * Objects are walked side by side: their keys are in one order, and equal values have equal bytes.
 * A key is reported where the two part: objects on both sides are gone into, everything else is one
 * value, an array too, as in a merge patch (RFC 7396).  No allocation, no recursion; a diff belongs
 * to one thread, and both bodies outlive it. */
#ifndef CFC_SNAPSHOT_DIFF_H
#define CFC_SNAPSHOT_DIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/base/limits.h"
#include "protocol/snapshot/body.h"

enum {
    CFC_DIFF_POINTER_SIZE_MAX = 4096,
};

enum cfc_diff_kind {
    CFC_DIFF_ADDED = 1,
    CFC_DIFF_REMOVED = 2,
    CFC_DIFF_CHANGED = 3,
};

struct cfc_diff_item {
    enum cfc_diff_kind kind;
    const struct cfc_value *before; /* NULL: ADDED */
    const struct cfc_value *after;  /* NULL: REMOVED */
    const char *pointer;            /* RFC 6901, NUL-terminated; until the next item */
    size_t pointer_size;            /* bytes */
};

struct cfc_diff {
    struct cfc_diff_level {
        const struct cfc_value *before; /* the two objects; NULL = none */
        const struct cfc_value *after;
        struct cfc_iter before_iter;
        struct cfc_iter after_iter;
        struct cfc_child before_child;
        struct cfc_child after_child;
        bool has_before;
        bool has_after;
        size_t pointer_size; /* of these objects */
    } levels[CFC_DEPTH_MAX];
    size_t depth;
    char pointer[CFC_DIFF_POINTER_SIZE_MAX + 1];
};

/* Begins with two objects, such as roots; NULL counts as an empty one. */
void cfc_diff_begin(struct cfc_diff *diff, const struct cfc_value *before,
                    const struct cfc_value *after);

/* The next key that differs, in canonical key order; false after the last one.  A key whose pointer
 * would be longer than CFC_DIFF_POINTER_SIZE_MAX is not told of: the object around it is, as
 * CHANGED, after what of it was told before. */
bool cfc_diff_next(struct cfc_diff *diff, struct cfc_diff_item *item);

#endif
