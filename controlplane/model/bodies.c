#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(obj) (is_out_of_memory = true)

#include "controlplane/model/bodies.h"

#include <stdlib.h>
#include <uthash.h>

#include "confcast/error.h"

struct shared_body {
    struct cfc_digest id;
    struct cfc_config_body *body;
    UT_hash_handle hh;
};

/* Holds no reference: it goes with its body. */
struct known_recipe {
    struct cfc_digest id;
    struct cfc_config_body *body;
    UT_hash_handle hh;
};

struct cfc_bodies {
    struct shared_body *by_id;
    struct known_recipe *by_recipe;
};

int
cfc_bodies_new(struct cfc_bodies **bodies)
{
    *bodies = calloc(1, sizeof(**bodies));
    return *bodies != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

static void
drop_body(struct cfc_bodies *bodies, struct shared_body *shared)
{
    struct known_recipe *known;
    struct known_recipe *next;

    HASH_ITER(hh, bodies->by_recipe, known, next)
    {
        if (known->body == shared->body) {
            HASH_DEL(bodies->by_recipe, known);
            free(known);
        }
    }
    HASH_DEL(bodies->by_id, shared);
    cfc_config_body_unref(shared->body);
    free(shared);
}

void
cfc_bodies_free(struct cfc_bodies *bodies)
{
    struct shared_body *shared;
    struct shared_body *next;

    if (bodies == NULL) {
        return;
    }
    HASH_ITER(hh, bodies->by_id, shared, next)
    {
        drop_body(bodies, shared);
    }
    free(bodies);
}

void
cfc_bodies_sweep(struct cfc_bodies *bodies)
{
    struct shared_body *shared;
    struct shared_body *next;

    HASH_ITER(hh, bodies->by_id, shared, next)
    {
        if (atomic_load(&shared->body->ref_count) == 1) {
            drop_body(bodies, shared);
        }
    }
}

struct cfc_config_body *
cfc_bodies_find(struct cfc_bodies *bodies, const struct cfc_digest *id)
{
    struct shared_body *shared = NULL;

    HASH_FIND(hh, bodies->by_id, id, sizeof(*id), shared);
    return shared != NULL ? cfc_config_body_ref(shared->body) : NULL;
}

struct cfc_config_body *
cfc_bodies_add(struct cfc_bodies *bodies, struct cfc_config_body *body)
{
    struct cfc_config_body *known = cfc_bodies_find(bodies, &body->id);
    struct shared_body *shared;
    bool is_out_of_memory = false;

    if (known != NULL) {
        cfc_config_body_unref(body);
        return known;
    }
    shared = calloc(1, sizeof(*shared));
    if (shared == NULL) {
        cfc_config_body_unref(body);
        return NULL;
    }
    shared->id = body->id;
    shared->body = body;
    HASH_ADD(hh, bodies->by_id, id, sizeof(shared->id), shared);
    if (is_out_of_memory) {
        cfc_config_body_unref(body);
        free(shared);
        return NULL;
    }
    return cfc_config_body_ref(body);
}

bool
cfc_bodies_know_recipes(const struct cfc_bodies *bodies)
{
    return bodies->by_recipe != NULL;
}

struct cfc_config_body *
cfc_bodies_find_recipe(struct cfc_bodies *bodies, const struct cfc_digest *recipe)
{
    struct known_recipe *known = NULL;

    HASH_FIND(hh, bodies->by_recipe, recipe, sizeof(*recipe), known);
    return known != NULL ? cfc_config_body_ref(known->body) : NULL;
}

void
cfc_bodies_note_recipe(struct cfc_bodies *bodies, const struct cfc_digest *recipe,
                       struct cfc_config_body *body)
{
    struct known_recipe *known = NULL;
    bool is_out_of_memory = false;

    HASH_FIND(hh, bodies->by_recipe, recipe, sizeof(*recipe), known);
    if (known != NULL) {
        return;
    }
    known = calloc(1, sizeof(*known));
    if (known == NULL) {
        return;
    }
    known->id = *recipe;
    known->body = body;
    HASH_ADD(hh, bodies->by_recipe, id, sizeof(known->id), known);
    if (is_out_of_memory) {
        free(known);
    }
}
