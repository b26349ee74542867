/* Every scope in memory, found by path and by id, with its layers and the scopes that depend on it.
 *
 * A scope is known when the store has a record of it; an entry may also exist only because a known
 * scope names it as a layer, or because it has rules.  Such entries live as long as the catalog;
 * what was made for a change that came to nothing goes with cfc_catalog_tidy().  Called under the
 * service's lock. */
#ifndef CFC_MODEL_CATALOG_H
#define CFC_MODEL_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "controlplane/model/apply.h"
#include "controlplane/model/decision.h"
#include "controlplane/model/release.h"
#include "controlplane/model/service.h"

struct cfc_apply_detail;
struct cfc_apply_entry;
struct cfc_rules;
struct cfc_scope;

/* What consumers report for one scope; kept by apply_table.h. */
struct cfc_scope_apply {
    struct cfc_apply_counts counts;  /* version is filled in by whoever reads */
    struct cfc_apply_entry *behind;  /* lists: not known to serve what is published ... */
    struct cfc_apply_entry *current; /* ... and serving it */
    struct cfc_apply_detail *detail; /* NULL = no consumer follows it */
    uint64_t level;                  /* consumers that said they lack nothing, stale ones too */
    uint64_t change;                 /* when anything of it changed, in changes of all scopes */
    struct cfc_scope *prev_change;   /* list: in the order of these */
    struct cfc_scope *next_change;
    uint32_t generation; /* rises with each published version */
    bool is_dirty;       /* what is published is not written yet */
    struct cfc_scope *next_dirty;
};

struct cfc_scope {
    char *path;
    uint64_t id;
    bool is_known;
    bool is_deleted;             /* the latest revision is a tombstone */
    uint64_t seq;                /* mod_seq of its record; 0 = not known */
    uint64_t latest_revision;    /* 0 = none */
    uint64_t tenant_scope_count; /* of a first segment: known scopes of the tenant, itself too */

    struct cfc_release release;
    uint64_t release_seq; /* mod_seq of its record; 0 = never released */

    struct cfc_scope *layers[CFC_LAYER_COUNT_MAX]; /* known scopes: in the order of merging */
    uint32_t layer_places[CFC_LAYER_COUNT_MAX];    /* where each layer's dependents have this one */
    uint32_t layer_count;
    bool has_own_layers;
    uint64_t layers_seq; /* mod_seq of the layers record; 0 = never set */
    uint64_t layers_unix_ns;
    uint64_t together_seq; /* mod_seq of its g record; 0 = none */
    uint64_t together_unix_ns;

    struct cfc_scope **dependents; /* known scopes that have this one as a layer */
    uint32_t dependent_count;
    uint32_t dependent_capacity;

    struct cfc_decision *decision; /* in force; NULL = nothing was released for it */
    bool is_queued;                /* waits for the publisher */
    uint64_t queued_seq;           /* ... and for this commit to be durable */
    struct cfc_scope *prev;        /* the publisher's queue */
    struct cfc_scope *next;

    bool is_rolling;                /* in the service's list of rollouts */
    struct cfc_scope *prev_rollout; /* that list */
    struct cfc_scope *next_rollout;

    struct cfc_rules *rules; /* NULL = none were ever set; rules.h */

    struct cfc_scope_apply apply;
    struct cfc_scope *next_fresh; /* the catalog's list */
    UT_hash_handle hh;            /* by path */
    UT_hash_handle hh_id;         /* by id; known scopes only */
};

struct cfc_catalog {
    struct cfc_scope *by_path;
    struct cfc_scope *by_id;
    struct cfc_scope *fresh; /* entries that were made since cfc_catalog_tidy() */
    struct cfc_sha256 *sha;  /* borrowed */
};

/* The entry of a path's first segment, or NULL. */
struct cfc_scope *cfc_catalog_find_tenant(struct cfc_catalog *catalog, const char *path);

void cfc_catalog_init(struct cfc_catalog *catalog, struct cfc_sha256 *sha);
/* Frees all entries and what they hold, but not apply states. */
void cfc_catalog_free(struct cfc_catalog *catalog);

/* NULL when there is no entry; `find_known` also when it is not known. */
struct cfc_scope *cfc_catalog_find(struct cfc_catalog *catalog, const char *path);
struct cfc_scope *cfc_catalog_find_known(struct cfc_catalog *catalog, const char *path);
struct cfc_scope *cfc_catalog_find_id(struct cfc_catalog *catalog, uint64_t id);

/* The entry of a path that passed cfc_scope_check(), made where it is missing; NULL without memory.
 */
struct cfc_scope *cfc_catalog_ensure(struct cfc_catalog *catalog, const char *path);

/* Frees the entries made since the last call that nothing came of: requests that are refused must
 * not fill the memory.  Pointers to entries that are not known end here. */
void cfc_catalog_tidy(struct cfc_catalog *catalog);

/* The entries of a path's prefixes, the shortest first: its default layers. CONFCAST_ERR_NO_MEMORY.
 */
int cfc_catalog_prefixes(struct cfc_catalog *catalog, const char *path,
                         struct cfc_scope *layers[CFC_LAYER_COUNT_MAX], uint32_t *count);

/* Makes an entry known, with its default layers.  Known already: nothing happens.
 * CONFCAST_ERR_NO_MEMORY: the catalog has to be loaded again. */
int cfc_catalog_know(struct cfc_catalog *catalog, struct cfc_scope *scope);

/* Replaces the layers of a known scope.  CONFCAST_ERR_NO_MEMORY as above. */
int cfc_catalog_set_layers(struct cfc_scope *scope, struct cfc_scope *const *layers,
                           uint32_t count);

/* Orders pointers to scopes by path, for qsort. */
int cfc_scope_compare_paths(const void *a, const void *b);

#endif
