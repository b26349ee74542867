/* RFC 7396, JSON Merge Patch, over jansson trees; no recursion. */
#ifndef CFC_JSON_JSON_MERGE_H
#define CFC_JSON_JSON_MERGE_H

#include <jansson.h>

/* *target = MergePatch(*target, patch).  `*target` must be the only reference to its tree (it is
 * changed in place, or replaced when the patch is no object); NULL means "undefined".  `patch` is
 * not changed, and shares no container with the result.  Nesting of both is at most CFC_DEPTH_MAX.
 * CONFCAST_OK; CONFCAST_ERR_DEPTH; CONFCAST_ERR_NO_MEMORY (then `*target` holds some half-merged
 * tree: throw it away). */
int cfc_json_merge_patch(json_t **target, const json_t *patch);

/* The members of a patch that are null: merging drops them, and what they name in the target. */
struct cfc_json_nulls {
    size_t count;
    char first[128]; /* JSON Pointer of the first one that is found; cut to "..." when longer */
};

void cfc_json_find_nulls(const json_t *patch, struct cfc_json_nulls *nulls);

#endif
