/* What has to change so that the server holds what a tree of files says (tree.h), and under which
 * guards: every step names the revision that was seen, so that a step which somebody else overtook
 * is a conflict and not an overwrite. */
#ifndef CFC_CTL_PLAN_H
#define CFC_CTL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/ctl/ctl.h"
#include "controlplane/ctl/tree.h"

enum cfc_plan_action {
    CFC_PLAN_UNCHANGED,
    CFC_PLAN_CREATE,
    CFC_PLAN_CHANGE,
    CFC_PLAN_RELEASE, /* the definition is as it shall be, and its release is not */
    CFC_PLAN_DELETE,
    CFC_PLAN_ACTION_COUNT,
};

struct cfc_plan_step {
    char scope[CFC_SCOPE_SIZE_MAX + 1];
    enum cfc_tree_kind kind;
    enum cfc_plan_action action;
    const struct cfc_tree_file *file; /* NULL for DELETE */
    uint64_t revision;                /* that the server has (of layers: their version); 0 = none */
    uint64_t release_version;         /* with has_release */
    bool has_release;                 /* the release was looked at, and is to be moved as well */
};

struct cfc_plan {
    struct cfc_plan_step *steps;
    size_t count;
    size_t capacity;
    size_t counts[CFC_PLAN_ACTION_COUNT];
};

struct cfc_plan_wish {
    bool promotes;     /* what is written is released as well */
    bool prunes;       /* what the tree does not have is deleted */
    const char *under; /* only this scope and what is below it; NULL = all of the tree, and for
                        * pruning the tenants that it has files of */
};

/* "/v1/config/" and so on: what a scope follows. */
const char *cfc_plan_route(enum cfc_tree_kind kind);

const char *cfc_plan_action_word(enum cfc_plan_action action);

/* Asks the server for what it has and compares.  An exit code, said on stderr.  Free the plan in
 * either case. */
int cfc_plan_make(struct cfc_ctl *ctl, const struct cfc_tree *tree,
                  const struct cfc_plan_wish *wish, struct cfc_plan *plan);
void cfc_plan_free(struct cfc_plan *plan);

/* True for `scope` itself and all below it. */
bool cfc_plan_is_under(const char *scope, const char *under);

/* GET of one thing of a scope; *answer is NULL, and CFC_EXIT_OK, where the server has none.
 * *revision is that of the tombstone, if there is one. */
int cfc_plan_fetch(struct cfc_ctl *ctl, const char *scope, enum cfc_tree_kind kind, json_t **answer,
                   uint64_t *revision);

#endif
