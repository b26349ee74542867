/* Effective config: what a consumer scope's layers merge to, as a decision.
 *
 * A pure function of the layers' release records and documents: the same bytes on every node and in
 * every order of insertion.  Bodies are shared between the scopes that have the same content.
 * Called under the service's lock. */
#ifndef CFC_MODEL_EFFECTIVE_H
#define CFC_MODEL_EFFECTIVE_H

#include <jansson.h>
#include <uthash.h>

#include "controlplane/model/bodies.h"
#include "controlplane/model/catalog.h"
#include "controlplane/model/decision.h"
#include "controlplane/model/recipe.h"
#include "controlplane/store/store.h"

/* Documents parsed during one pass over many scopes. */
struct cfc_doc;

/* One pass: documents and what is needed to make decisions. */
struct cfc_effective_pass {
    struct cfc_store *store;
    struct cfc_sha256 *sha;
    struct cfc_bodies *bodies;
    uint64_t floor;                        /* no version is below this */
    const struct cfc_pending_doc *pending; /* set after cfc_effective_begin() */
    /* Set after it: the first big merge that is not known yet is put off, and its recipe written
     * here (empty before); NULL = every merge is made. */
    struct cfc_recipe *put_off;
    struct cfc_doc *docs;
    size_t docs_size;      /* bytes of their texts */
    uint64_t decide_count; /* decisions that were computed */
};

void cfc_effective_begin(struct cfc_effective_pass *pass, struct cfc_store *store,
                         struct cfc_sha256 *sha, struct cfc_bodies *bodies, uint64_t floor);
void cfc_effective_end(struct cfc_effective_pass *pass);

/* The release records that scopes are about to get: a list. */
struct cfc_what_if {
    const struct cfc_scope *scope;
    const struct cfc_release *release;
    const struct cfc_what_if *next;
};

/* The record among these that a scope is about to get, or the one that it has. */
const struct cfc_release *cfc_what_if_release(const struct cfc_scope *scope,
                                              const struct cfc_what_if *what_if);

/* A revision that is about to be written with the change, and is not in the store yet: a list. */
struct cfc_pending_doc {
    const struct cfc_scope *scope;
    uint64_t revision;
    const json_t *root;
    const struct cfc_digest *digest; /* of its canonical text */
    uint64_t size;                   /* bytes of that */
    const struct cfc_pending_doc *next;
};

/* The layers of one consumer scope, and when they were set, or it got a version with another. */
struct cfc_layer_set {
    struct cfc_scope *const *layers;
    uint32_t count;
    uint64_t seq;
    uint64_t unix_ns;
};

/* Decides for `scope`.  With a what-if that touches a layer, or `set->seq` UINT64_MAX, the version
 * is UINT64_MAX, to be replaced by the sequence of the commit.  *decision is NULL when nothing was
 * ever released or set.  CONFCAST_ERR_LIMIT / _DEPTH / _NUMBER: the merged config cannot be had;
 * CONFCAST_ERR_CORRUPT, _NO_MEMORY, errors of the store;
 * CONFCAST_ERR_AGAIN: a big merge was put off (pass->put_off): cook the recipe, note its body, and
 * decide once more. */
int cfc_effective_decide(struct cfc_effective_pass *pass, const struct cfc_scope *scope,
                         const struct cfc_layer_set *set, const struct cfc_what_if *what_if,
                         struct cfc_decision **decision);

/* What one layer gives: its candidate where it is `rolling` (or NULL), else what is stable.  *doc
 * is the pass's until its next use, and NULL (revision 0) when the layer gives nothing. */
int cfc_effective_layer(struct cfc_effective_pass *pass, const struct cfc_scope *layer,
                        const struct cfc_what_if *what_if, const struct cfc_scope *rolling,
                        uint64_t *revision, const json_t **doc);
/* The revision that a release gives to those who take part in its rollout, or to the others; 0 =
 * nothing. */
uint64_t cfc_effective_revision(const struct cfc_release *release, bool is_candidate);
/* The layer of a set whose rollout its consumers take part in, or NULL. */
const struct cfc_scope *cfc_effective_rolling(const struct cfc_layer_set *set,
                                              const struct cfc_what_if *what_if);

/* The layers that a known scope has. */
struct cfc_layer_set cfc_effective_layers(const struct cfc_scope *scope);

/* The rollout salt: the first 8 bytes of SHA-256(CFC_DOMAIN_SALT, path, NUL, revision LE64). */
uint64_t cfc_rollout_salt(struct cfc_sha256 *sha, const char *path, uint64_t revision);

/* The share of 2^32 of a stage. */
uint32_t cfc_stage_threshold(uint32_t ppm);

#endif
