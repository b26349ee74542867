/* Walks a JSON value without recursion: every value below the root, containers before what is in
 * them.  Documents come from a server that bounds their depth; what is deeper ends the walk. */
#ifndef CFC_CTL_WALK_H
#define CFC_CTL_WALK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    CFC_WALK_DEPTH_MAX = 96,
};

struct cfc_walk_frame {
    json_t *container;
    void *iter;      /* objects: the next member */
    size_t next_idx; /* arrays: the next element */
};

struct cfc_walk {
    struct cfc_walk_frame frames[CFC_WALK_DEPTH_MAX];
    size_t depth; /* frames in use */
    bool is_too_deep;
};

struct cfc_walk_step {
    size_t depth;    /* containers around the value, at least 1 */
    const char *key; /* in an object; NULL in an array */
    size_t idx;      /* in an array */
    json_t *value;   /* borrowed */
};

/* Begins at `root`; a scalar has nothing below it. */
void cfc_walk_init(struct cfc_walk *walk, json_t *root);

/* The next value; false at the end, or when is_too_deep. */
bool cfc_walk_next(struct cfc_walk *walk, struct cfc_walk_step *step);

#endif
