/* The bodies that decisions name: one per content, whatever scopes have it, and found by the recipe
 * it was made by where that took long (recipe.h).
 *
 * Called under the service's lock. */
#ifndef CFC_MODEL_BODIES_H
#define CFC_MODEL_BODIES_H

#include "controlplane/model/decision.h"

/* The table holds one reference to each. */
struct cfc_bodies;

/* CONFCAST_ERR_NO_MEMORY. */
int cfc_bodies_new(struct cfc_bodies **bodies);
void cfc_bodies_free(struct cfc_bodies *bodies); /* NULL is fine */
/* Drops those that nobody else refers to, and their recipes. */
void cfc_bodies_sweep(struct cfc_bodies *bodies);

/* The body with this content and a reference to it, or NULL. */
struct cfc_config_body *cfc_bodies_find(struct cfc_bodies *bodies, const struct cfc_digest *id);
/* Adds a body, whose reference is taken over, and returns the one to use, with a reference for the
 * caller: another one with the same content may be there already.  NULL without memory. */
struct cfc_config_body *cfc_bodies_add(struct cfc_bodies *bodies, struct cfc_config_body *body);

/* Whether any body is known by its recipe. */
bool cfc_bodies_know_recipes(const struct cfc_bodies *bodies);
/* The body that a recipe gave and a reference to it, or NULL. */
struct cfc_config_body *cfc_bodies_find_recipe(struct cfc_bodies *bodies,
                                               const struct cfc_digest *recipe);
/* Remembers what a recipe gave: a body of the table.  Without memory it is forgotten, and made
 * again when it is asked for. */
void cfc_bodies_note_recipe(struct cfc_bodies *bodies, const struct cfc_digest *recipe,
                            struct cfc_config_body *body);

#endif
