#include "consumer/persister.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/receiver.h"

enum {
    KEEP_MAX = 1024
};

struct pending {
    struct cfc_cache_job job;
    uint64_t version;
};

struct cfc_persister {
    struct cfc_cache *cache;
    cfc_persisted_fn *fn;
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    struct pending *pending[CFC_RECEIVER_SCOPES_MAX];
    struct cfc_digest keep[KEEP_MAX];
    size_t keep_count;
    bool is_stopping;
};

static void
pending_free(struct pending *pending)
{
    if (pending != NULL) {
        cfc_loaded_unref(pending->job.loaded);
        free(pending);
    }
}

/* Takes one pending job, or NULL.  Under the lock. */
static struct pending *
take(struct cfc_persister *p, uint32_t *scope_idx)
{
    for (uint32_t i = 0; i < CFC_RECEIVER_SCOPES_MAX; i++) {
        if (p->pending[i] != NULL) {
            struct pending *pending = p->pending[i];

            p->pending[i] = NULL;
            *scope_idx = i;
            return pending;
        }
    }
    return NULL;
}

static void
trim(struct cfc_persister *p)
{
    struct cfc_digest *keep = malloc(sizeof(p->keep));
    size_t count;

    if (keep == NULL) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    count = p->keep_count;
    memcpy(keep, p->keep, count * sizeof(keep[0]));
    pthread_mutex_unlock(&p->lock);
    cfc_cache_trim(p->cache, keep, count);
    free(keep);
}

static void *
run(void *arg)
{
    struct cfc_persister *p = arg;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        uint32_t scope_idx = 0;
        struct pending *pending = take(p, &scope_idx);
        int code;

        if (pending == NULL && p->is_stopping) {
            break;
        }
        if (pending == NULL) {
            pthread_cond_wait(&p->wake, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        code = cfc_cache_commit(p->cache, &pending->job);
        p->fn(p->arg, scope_idx, pending->version, code);
        pending_free(pending);
        trim(p);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int
cfc_persister_start(struct cfc_cache *cache, cfc_persisted_fn *fn, void *arg,
                    struct cfc_persister **out)
{
    struct cfc_persister *p = calloc(1, sizeof(*p));

    *out = NULL;
    if (p == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    p->cache = cache;
    p->fn = fn;
    p->arg = arg;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    if (pthread_create(&p->thread, NULL, run, p) != 0) {
        pthread_cond_destroy(&p->wake);
        pthread_mutex_destroy(&p->lock);
        free(p);
        return CONFCAST_ERR_RESOURCE;
    }
    *out = p;
    return CONFCAST_OK;
}

void
cfc_persister_stop(struct cfc_persister *p)
{
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->is_stopping = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* What the newer job leaves open comes from the older one. */
static void
inherit(struct cfc_cache_job *job, struct pending *older)
{
    if (job->head_size == 0 && older->job.head_size > 0) {
        memcpy(job->head, older->job.head, older->job.head_size);
        job->head_size = older->job.head_size;
    }
    if (job->serving.version == 0 && older->job.serving.version != 0) {
        job->serving = older->job.serving;
        job->loaded = older->job.loaded;
        older->job.loaded = NULL;
    }
}

void
cfc_persister_put(struct cfc_persister *p, uint32_t scope_idx, uint64_t version,
                  const struct cfc_cache_job *job)
{
    struct pending *pending = malloc(sizeof(*pending));
    struct pending *older;

    if (pending == NULL) {
        cfc_loaded_unref(job->loaded); /* not durable: the next version tries again */
        return;
    }
    pending->job = *job;
    pending->version = version;
    pthread_mutex_lock(&p->lock);
    older = p->pending[scope_idx];
    if (older != NULL) {
        inherit(&pending->job, older);
    }
    p->pending[scope_idx] = pending;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pending_free(older);
}

void
cfc_persister_keep(struct cfc_persister *p, const struct cfc_digest *ids, size_t count)
{
    pthread_mutex_lock(&p->lock);
    p->keep_count = count < KEEP_MAX ? count : KEEP_MAX;
    memcpy(p->keep, ids, p->keep_count * sizeof(ids[0]));
    pthread_mutex_unlock(&p->lock);
}
