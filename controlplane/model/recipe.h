/* What a big effective config is made of, so that it can be made without the service's lock.
 *
 * Parsing, merging and checking 60 MB takes seconds.  A recipe names the documents of one merge by
 * the digests of their texts, in the order of merging: what it gives is a function of it alone, so
 * nothing has to be looked at again after the lock was let go but whether the recipe that is wanted
 * then is still this one.  The bodies that were made stay known by their recipes (bodies.h).
 *
 * Made under the service's lock; cooked by any thread, which holds nothing. */
#ifndef CFC_MODEL_RECIPE_H
#define CFC_MODEL_RECIPE_H

#include <jansson.h>

#include "controlplane/model/decision.h"
#include "controlplane/model/definition.h"

enum {
    CFC_RECIPE_BIG_BYTES = 1024 * 1024 /* of texts: below it takes no longer than letting go */
};

struct cfc_recipe_part {
    const json_t *root; /* of a document that is not written yet: borrowed; NULL = the text */
    struct cfc_definition_text text;
};

struct cfc_recipe {
    struct cfc_digest id;
    struct cfc_recipe_part parts[CFC_LAYER_COUNT_MAX]; /* in the order of merging */
    uint32_t count;                                    /* 0 = no recipe */
    uint64_t size;                                     /* bytes of all texts */
};

/* Names the recipe by its parts. */
void cfc_recipe_seal(struct cfc_recipe *recipe, struct cfc_sha256 *sha);
static inline bool
cfc_recipe_is_big(const struct cfc_recipe *recipe)
{
    return recipe->size >= CFC_RECIPE_BIG_BYTES;
}
/* Lets go of the texts; an empty one is fine. */
void cfc_recipe_free(struct cfc_recipe *recipe);

/* Reads `text`, which is not inline, from the store: `arg` knows how and under which lock. */
typedef int (*cfc_recipe_read_fn)(void *arg, const struct cfc_definition_text *text,
                                  struct cfc_store_value *value);

/* Makes the body.  *body has one reference.  CONFCAST_ERR_LIMIT, _DEPTH, _NUMBER: the merged config
 * cannot be had; CONFCAST_ERR_CORRUPT, _NO_MEMORY, errors of `read`. */
int cfc_recipe_cook(const struct cfc_recipe *recipe, cfc_recipe_read_fn read, void *arg,
                    struct cfc_config_body **body);

/* ---- Merging ----------------------------------------------------------------------------------
 * A merge under way.  The first document that has no nulls is what it merges to, and is copied only
 * when another one follows: most big ones stand alone.
 */

struct cfc_merging {
    json_t *first;  /* a reference; NULL = none, or copied */
    json_t *merged; /* NULL while there is only the first */
};

/* CONFCAST_ERR_NO_MEMORY, errors of cfc_json_merge_patch(). */
int cfc_merging_take(struct cfc_merging *merging, const json_t *doc);
/* The body of what was taken, in `bytes` (heap), with its tree, which is the merging's. */
int cfc_merging_finish(struct cfc_merging *merging, const json_t **root, uint8_t **bytes,
                       size_t *size);
void cfc_merging_free(struct cfc_merging *merging);

/* A body of these bytes with one reference, once a consumer's reader sees in it what `root` says.
 * CONFCAST_ERR_NO_MEMORY, errors of cfc_json_check_body(). */
int cfc_config_body_make(const struct cfc_digest *id, const json_t *root, const uint8_t *bytes,
                         size_t size, struct cfc_config_body **body);

#endif
