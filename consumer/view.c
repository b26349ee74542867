#include "consumer/view.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "consumer/big_memory.h"

static void *
heap_alloc(void *ctx, size_t size)
{
    void *big = cfc_big_alloc(size);

    (void)ctx;
    return big != NULL ? big : malloc(size);
}

static void
heap_free(void *ctx, void *p)
{
    (void)ctx;
    if (!cfc_big_free(p)) {
        free(p);
    }
}

const struct cfc_alloc cfc_consumer_heap = {.alloc = heap_alloc, .free = heap_free};

char cfc_grace;

static pthread_once_t seed_once = PTHREAD_ONCE_INIT;
static uint64_t seed;
static uint64_t seed_offered; /* by the thread that may be the first; 0 = none */

static void
make_seed(void)
{
    seed = seed_offered;
    if (seed != 0) {
        return;
    }
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        struct timespec now;

        /* No entropy this early after boot: the clock and the address layout still differ by
         * process. */
        clock_gettime(CLOCK_REALTIME, &now);
        seed = (uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uintptr_t)&now;
    }
    seed |= 1;
}

uint64_t
cfc_index_seed(void)
{
    pthread_once(&seed_once, make_seed);
    return seed;
}

void
cfc_index_seed_adopt(uint64_t offered)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    seed_offered = offered | 1;
    pthread_once(&seed_once, make_seed);
    pthread_mutex_unlock(&lock);
}

int
cfc_loaded_new(uint8_t *body, size_t size, const struct cfc_digest *id, struct cfc_sha256 *sha,
               struct cfc_loaded **out)
{
    struct cfc_digest found;
    struct cfc_index index;
    int error;

    *out = NULL;
    cfc_content_id(sha, body, size, &found);
    error = cfc_digest_equal(&found, id) ? CONFCAST_OK : CONFCAST_ERR_DIGEST;
    if (error == CONFCAST_OK) {
        error = cfc_index_build(&index, body, size, cfc_index_seed(), &cfc_consumer_heap);
    }
    if (error != CONFCAST_OK) {
        cfc_free(&cfc_consumer_heap, body);
        return error;
    }
    return cfc_loaded_take(body, size, id, &index, out);
}

int
cfc_loaded_take(uint8_t *body, size_t size, const struct cfc_digest *id, struct cfc_index *index,
                struct cfc_loaded **out)
{
    struct cfc_loaded *loaded = calloc(1, sizeof(*loaded));

    *out = loaded;
    if (loaded == NULL) {
        cfc_index_free(index, &cfc_consumer_heap);
        cfc_free(&cfc_consumer_heap, body);
        return CONFCAST_ERR_NO_MEMORY;
    }
    atomic_init(&loaded->ref_count, 1);
    atomic_init(&loaded->is_stored, false);
    loaded->id = *id;
    loaded->index = *index;
    loaded->body = body;
    loaded->body_size = size;
    return CONFCAST_OK;
}

struct cfc_loaded *
cfc_loaded_ref(struct cfc_loaded *loaded)
{
    atomic_fetch_add_explicit(&loaded->ref_count, 1, memory_order_relaxed);
    return loaded;
}

void
cfc_loaded_unref(struct cfc_loaded *loaded)
{
    if (loaded != NULL &&
        atomic_fetch_sub_explicit(&loaded->ref_count, 1, memory_order_acq_rel) == 1) {
        if (loaded->mapping != NULL) {
            munmap(loaded->mapping, loaded->mapping_size);
        } else {
            cfc_index_free(&loaded->index, &cfc_consumer_heap);
            cfc_free(&cfc_consumer_heap, loaded->body);
        }
        free(loaded);
    }
}

struct confcast_view *
cfc_view_new(struct cfc_loaded *loaded, const struct cfc_served *served)
{
    struct confcast_view *view = calloc(1, sizeof(*view));

    if (view != NULL) {
        view->loaded = cfc_loaded_ref(loaded);
        view->index = loaded->index;
        view->served = *served;
    }
    return view;
}

void
cfc_view_free(struct confcast_view *view)
{
    if (view != NULL) {
        cfc_loaded_unref(view->loaded);
        free(view);
    }
}

uint64_t
cfc_view_content_size(const struct confcast_view *view)
{
    return view->loaded->body_size +
           (uint64_t)view->index.line_count * 4 * sizeof(struct cfc_index_slot);
}

static void
free_after_grace(struct rcu_head *head)
{
    struct confcast_view *view = caa_container_of(head, struct confcast_view, rcu);

    cfc_grace_acquire();
    atomic_fetch_sub(&view->retired->size, view->retired_size);
    cfc_view_free(view);
}

void
cfc_view_retire(struct confcast_view *view, bool with_content, struct cfc_retired *retired)
{
    if (view == NULL) {
        return;
    }
    view->retired = retired;
    view->retired_size = sizeof(*view);
    if (with_content) {
        view->retired_size += cfc_view_content_size(view);
    }
    atomic_fetch_add(&retired->size, view->retired_size);
    cfc_grace_release();
    urcu_bp_call_rcu(&view->rcu, free_after_grace);
}
