/* What readers see: loaded contents and the views that name them.
 *
 * A loaded content is one body with its index, shared by every version that names it.  A view is
 * one version of one scope; its pointer is what RCU publishes.  Both are immutable once made. */
#ifndef CFC_CONSUMER_VIEW_H
#define CFC_CONSUMER_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <urcu/urcu-memb.h>

#include "confcast/confcast.h"
#include "protocol/base/alloc.h"
#include "protocol/snapshot/index.h"
#include "protocol/trust/digest.h"

/* malloc and free as a cfc_alloc. */
extern const struct cfc_alloc cfc_consumer_heap;

struct cfc_loaded {
    atomic_uint ref_count;
    struct cfc_digest id;
    struct cfc_index index;
    size_t body_size;
    uint8_t *body; /* owned */
};

/* Validates `body`, checks that it is what `id` names, builds the index and takes the body over
 * (also on an error, when it is freed). DIGEST, NO_MEMORY, or an error of cfc_index_build(): refuse
 * the content. */
int cfc_loaded_new(uint8_t *body, size_t size, const struct cfc_digest *id, struct cfc_sha256 *sha,
                   struct cfc_loaded **out);
struct cfc_loaded *cfc_loaded_ref(struct cfc_loaded *loaded);
void cfc_loaded_unref(struct cfc_loaded *loaded); /* NULL is fine */

/* The seed of every index and key of this process: random, made once, never 0. */
uint64_t cfc_index_seed(void);

struct confcast_view {
    struct cfc_index index; /* copy of loaded->index, so that a lookup begins in this cache line */
    struct cfc_loaded *loaded;
    uint64_t version;
    uint64_t epoch;
    struct rcu_head rcu;
};

/* Takes a reference of `loaded`.  NULL when there is no memory. */
struct confcast_view *cfc_view_new(struct cfc_loaded *loaded, uint64_t epoch, uint64_t version);
void cfc_view_free(struct confcast_view *view);   /* at once: nobody may see it */
void cfc_view_retire(struct confcast_view *view); /* after a grace period; NULL is fine */

#endif
