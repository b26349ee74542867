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

#include <urcu/urcu-bp.h>
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#include "confcast/confcast.h"
#include "protocol/base/alloc.h"
#include "protocol/snapshot/index.h"
#include "protocol/trust/digest.h"

/* malloc and free as a cfc_alloc; big_memory.h for what is big.  It also frees what malloc()
 * gave. */
extern const struct cfc_alloc cfc_consumer_heap;

struct cfc_loaded {
    atomic_uint ref_count;
    atomic_bool is_stored; /* the disk cache has it, as read or written by this process */
    bool is_from_disk;     /* it was read from there */
    bool is_pulled;        /* it came over HTTP */
    struct cfc_digest id;
    struct cfc_index index;
    size_t body_size;
    uint8_t *body; /* owned */
    void *mapping; /* when it is another process's: body and index lie in it (shared_content.h) */
    size_t mapping_size;
};

/* Validates `body`, checks that it is what `id` names, builds the index and takes the body over
 * (also on an error, when it is freed); it comes from cfc_consumer_heap. DIGEST, NO_MEMORY, or an
 * error of cfc_index_build(): refuse the content. */
int cfc_loaded_new(uint8_t *body, size_t size, const struct cfc_digest *id, struct cfc_sha256 *sha,
                   struct cfc_loaded **out);
/* The same of a body that was checked, and its index: takes both over in any case.  NO_MEMORY. */
int cfc_loaded_take(uint8_t *body, size_t size, const struct cfc_digest *id,
                    struct cfc_index *index, struct cfc_loaded **out);
struct cfc_loaded *cfc_loaded_ref(struct cfc_loaded *loaded);
void cfc_loaded_unref(struct cfc_loaded *loaded); /* NULL is fine */

/* The seed of every index and key of this process: random, made once, never 0. */
uint64_t cfc_index_seed(void);

/* Makes `seed` that of this process if it has none yet: keys are then hashed for the contents of
 * the agent that uses it.  With another seed lookups in them hash every time. */
void cfc_index_seed_adopt(uint64_t seed);

/* What replaced views hold until their grace period ends: one reader that parks inside its section
 * keeps all of them. */
struct cfc_retired {
    atomic_uint_fast64_t size; /* bytes */
};

/* The decision under which a content is served: what sets compare (set.h). */
struct cfc_served {
    uint64_t epoch;
    uint64_t version;
    /* The phases that this version goes through here, by the signed times of its head. */
    uint64_t activate_unix_ns; /* 0 = at once, UINT64_MAX = by a later version */
    uint64_t confirm_unix_ns;  /* when it is reverted; 0 = never */
    uint8_t phase;             /* enum cfc_apply_state of the SERVE; 0 = not known */
};

struct confcast_view {
    struct cfc_index index; /* copy of loaded->index, so that a lookup begins in this cache line */
    struct cfc_loaded *loaded;
    struct cfc_served served;
    struct rcu_head rcu;
    struct cfc_retired *retired; /* where it is counted from its retirement on */
    uint64_t retired_size;
};

/* Takes a reference of `loaded`.  NULL when there is no memory. */
struct confcast_view *cfc_view_new(struct cfc_loaded *loaded, const struct cfc_served *served);
void cfc_view_free(struct confcast_view *view); /* at once: nobody may see it */

/* What the content of a view holds in memory, bytes. */
uint64_t cfc_view_content_size(const struct confcast_view *view);

/* Frees it after a grace period, and counts it in `retired` until then; with its content when that
 * goes too.  NULL is fine.  `retired` must live until urcu_bp_barrier(). */
void cfc_view_retire(struct confcast_view *view, bool with_content, struct cfc_retired *retired);

/* The pointer that readers load and one thread exchanges: rcu_dereference() and rcu_xchg_pointer(),
 * spelled so that ThreadSanitizer understands them. */
static inline const struct confcast_view *
cfc_view_load(struct confcast_view *const *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static inline struct confcast_view *
cfc_view_exchange(struct confcast_view **place, struct confcast_view *view)
{
    return __atomic_exchange_n(place, view, __ATOMIC_ACQ_REL);
}

/* ThreadSanitizer cannot see grace periods: it is told that what is freed after one comes after
 * all reader sections that ended. */
extern char cfc_grace;

static inline void
cfc_grace_release(void)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_release(&cfc_grace);
#endif
}

static inline void
cfc_grace_acquire(void)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&cfc_grace);
#endif
}

#endif
