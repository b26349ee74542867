#include "consumer/persister.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "protocol/session/receiver.h"

enum {
    RETRY_DOUBLINGS_MAX = 6, /* of the first second */
    PERSISTER_NICE = 10,
};

/* From the first news to the work: the head, the content and that it is served follow each other
 * and are written in one go, and not while this consumer and others of its host still apply. */
#define GATHER_NS (5 * CFC_MS)

struct slot {
    bool is_due;              /* `job` is to be committed */
    struct cfc_cache_job job; /* holds a reference of job.loaded */
    bool is_told;             /* `outcome` was polled */
    struct cfc_persisted outcome;
};

struct queued_content {
    struct queued_content *next;
    struct cfc_loaded *loaded;
};

struct cfc_persister {
    struct cfc_cache *cache;
    cfc_persister_notify_fn *notify;
    void *arg;
    pthread_t thread;
    bool has_thread;
    struct cfc_cache_job working; /* the thread's own */
    bool is_held;                 /* these two are of the thread that puts */
    bool is_wake_due;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    struct slot *slots[CFC_RECEIVER_SCOPES_MAX];
    uint32_t next_idx; /* where the search for work goes on, so that no scope starves */
    struct queued_content *contents; /* first to write */
    struct queued_content **contents_end;
    bool is_grown;        /* a content was written since the last trim */
    bool is_failing;      /* the last commit failed: wait for the time below */
    bool is_news;         /* something was put since: try at once */
    uint32_t retries;     /* failures in a row */
    uint64_t retry_at_ns; /* monotonic */
    bool is_idle;         /* the thread waits to be told of news */
    bool is_stopping;
};

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

/* ---- The thread ------------------------------------------------------------------------------ */

static struct slot *
find_due(struct cfc_persister *p)
{
    for (uint32_t n = 0; n < CFC_RECEIVER_SCOPES_MAX; n++) {
        uint32_t i = (p->next_idx + n) % CFC_RECEIVER_SCOPES_MAX;

        if (p->slots[i] != NULL && p->slots[i]->is_due) {
            p->next_idx = i + 1;
            return p->slots[i];
        }
    }
    return NULL;
}

/* Gives what was not written back to the slot, unless something newer came meanwhile. */
static void
put_back(struct slot *slot, struct cfc_cache_job *job)
{
    slot->is_due = true;
    if (slot->job.head_size == 0) {
        memcpy(slot->job.head, job->head, job->head_size);
        slot->job.head_size = job->head_size;
    }
    if (slot->job.serving.version == 0) {
        slot->job.serving = job->serving;
        slot->job.loaded = job->loaded;
        job->loaded = NULL;
    }
}

static void
note_outcome(struct slot *slot, const struct cfc_cache_job *job, int code)
{
    if (code == slot->outcome.code && (code != CONFCAST_OK || job->serving.version == 0)) {
        return; /* no news */
    }
    slot->outcome.code = code;
    if (code == CONFCAST_OK && job->serving.version != 0) {
        slot->outcome.durable = job->serving;
    }
    slot->is_told = false;
}

/* Commits one scope.  Called and left under the lock. */
static void
commit_one(struct cfc_persister *p, struct slot *slot)
{
    int code;

    p->working = slot->job;
    p->is_grown =
        p->is_grown || (p->working.loaded != NULL && !atomic_load(&p->working.loaded->is_stored));
    slot->job.head_size = 0;
    slot->job.serving.version = 0;
    slot->job.loaded = NULL;
    slot->is_due = false;
    pthread_mutex_unlock(&p->lock);
    code = cfc_cache_commit(p->cache, &p->working);
    pthread_mutex_lock(&p->lock);
    p->is_failing = code != CONFCAST_OK;
    if (p->is_failing) {
        put_back(slot, &p->working);
        p->retry_at_ns = now_ns() + (CFC_S << p->retries);
        p->retries += p->retries < RETRY_DOUBLINGS_MAX;
    } else {
        p->retries = 0;
    }
    note_outcome(slot, &p->working, code);
    pthread_mutex_unlock(&p->lock);
    cfc_loaded_unref(p->working.loaded);
    p->notify(p->arg);
    pthread_mutex_lock(&p->lock);
}

/* Stores one content of the queue.  Called and left under the lock. */
static void
store_one(struct cfc_persister *p)
{
    struct queued_content *first = p->contents;

    p->is_grown = true;
    p->contents = first->next;
    if (p->contents == NULL) {
        p->contents_end = &p->contents;
    }
    pthread_mutex_unlock(&p->lock);
    (void)cfc_cache_store(p->cache, first->loaded);
    cfc_loaded_unref(first->loaded);
    free(first);
    pthread_mutex_lock(&p->lock);
}

static void
wait_until(struct cfc_persister *p, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / CFC_S),
                             .tv_nsec = (long)(until_ns % CFC_S)};

    pthread_cond_timedwait(&p->wake, &p->lock, &until);
}

static void
wait_for_work(struct cfc_persister *p)
{
    uint64_t gathered_ns;

    p->is_idle = true;
    if (p->is_failing) {
        wait_until(p, p->retry_at_ns);
    } else {
        pthread_cond_wait(&p->wake, &p->lock);
    }
    p->is_idle = false;
    gathered_ns = now_ns() + GATHER_NS;
    while (p->is_news && !p->is_stopping && now_ns() < gathered_ns) {
        wait_until(p, gathered_ns);
    }
}

/* One round over all that is pending: once after each failure, so that a disk that does not take
 * anything is not tried for every scope. */
static bool
work(struct cfc_persister *p)
{
    bool is_worked = false;
    struct slot *slot;

    if (p->is_failing && !p->is_news && !p->is_stopping && now_ns() < p->retry_at_ns) {
        return false;
    }
    p->is_news = false;
    p->is_failing = false;
    /* Heads first: what they name is not trimmed. */
    while (!p->is_failing && (slot = find_due(p)) != NULL) {
        commit_one(p, slot);
        is_worked = true;
    }
    while (!p->is_failing && p->contents != NULL) {
        store_one(p);
        is_worked = true;
    }
    return is_worked && !p->is_failing;
}

static void *
run(void *arg)
{
    struct cfc_persister *p = arg;

    /* Whoever has yet to apply goes first: hosts with many consumers would else write to the disk
     * while others wait for a core.  Without the lower priority it works just as well. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), PERSISTER_NICE);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        bool is_stopping = p->is_stopping;

        if (work(p)) {
            bool is_grown = p->is_grown;

            p->is_grown = false;
            pthread_mutex_unlock(&p->lock);
            if (is_grown) {
                cfc_cache_trim(p->cache);
            }
            pthread_mutex_lock(&p->lock);
        } else if (is_stopping) {
            break;
        } else if (!p->is_news && !p->is_stopping) {
            wait_for_work(p);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- Life ------------------------------------------------------------------------------------ */

int
cfc_persister_start(struct cfc_cache *cache, cfc_persister_notify_fn *notify, void *arg,
                    struct cfc_persister **out)
{
    struct cfc_persister *p = calloc(1, sizeof(*p));
    pthread_condattr_t monotonic;

    *out = NULL;
    if (p == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    p->cache = cache;
    p->notify = notify;
    p->arg = arg;
    p->contents_end = &p->contents;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    p->has_thread = pthread_create(&p->thread, NULL, run, p) == 0;
    if (!p->has_thread) {
        cfc_persister_free(p);
        return CONFCAST_ERR_RESOURCE;
    }
    *out = p;
    return CONFCAST_OK;
}

void
cfc_persister_stop(struct cfc_persister *p)
{
    if (!p->has_thread) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->is_stopping = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    p->has_thread = false;
}

void
cfc_persister_free(struct cfc_persister *p)
{
    if (p == NULL) {
        return;
    }
    cfc_persister_stop(p);
    for (uint32_t i = 0; i < CFC_RECEIVER_SCOPES_MAX; i++) {
        if (p->slots[i] != NULL) {
            cfc_loaded_unref(p->slots[i]->job.loaded);
            free(p->slots[i]);
        }
    }
    while (p->contents != NULL) {
        struct queued_content *next = p->contents->next;

        cfc_loaded_unref(p->contents->loaded);
        free(p->contents);
        p->contents = next;
    }
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- Work ------------------------------------------------------------------------------------ */

int
cfc_persister_add_scope(struct cfc_persister *p, uint32_t scope_idx, uint64_t scope_id)
{
    struct slot *slot = calloc(1, sizeof(*slot));

    if (slot == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    slot->job.scope_id = scope_id;
    slot->outcome.scope_idx = scope_idx;
    slot->is_told = true;
    pthread_mutex_lock(&p->lock);
    p->slots[scope_idx] = slot;
    pthread_mutex_unlock(&p->lock);
    return CONFCAST_OK;
}

static void
unlock_and_wake(struct cfc_persister *p)
{
    bool must_wake = p->is_idle;

    p->is_news = true;
    p->is_idle = false;
    pthread_mutex_unlock(&p->lock);
    p->is_wake_due = p->is_wake_due || must_wake;
    if (!p->is_held) {
        cfc_persister_let_go(p);
    }
}

void
cfc_persister_hold(struct cfc_persister *p)
{
    p->is_held = true;
}

void
cfc_persister_let_go(struct cfc_persister *p)
{
    p->is_held = false;
    if (p->is_wake_due) {
        p->is_wake_due = false;
        pthread_cond_signal(&p->wake);
    }
}

void
cfc_persister_put_head(struct cfc_persister *p, uint32_t scope_idx, const uint8_t *frame,
                       size_t size)
{
    struct slot *slot = p->slots[scope_idx];

    pthread_mutex_lock(&p->lock);
    memcpy(slot->job.head, frame, size);
    slot->job.head_size = size;
    slot->is_due = true;
    unlock_and_wake(p);
}

void
cfc_persister_put_serving(struct cfc_persister *p, uint32_t scope_idx,
                          const struct cfc_cache_serving *serving, struct cfc_loaded *loaded)
{
    struct slot *slot = p->slots[scope_idx];
    struct cfc_loaded *older;

    pthread_mutex_lock(&p->lock);
    older = slot->job.loaded;
    slot->job.serving = *serving;
    slot->job.loaded = cfc_loaded_ref(loaded);
    slot->is_due = true;
    unlock_and_wake(p);
    cfc_loaded_unref(older);
}

void
cfc_persister_put_content(struct cfc_persister *p, struct cfc_loaded *loaded)
{
    struct queued_content *last = malloc(sizeof(*last));

    if (last == NULL) {
        return;
    }
    *last = (struct queued_content){.loaded = cfc_loaded_ref(loaded)};
    pthread_mutex_lock(&p->lock);
    *p->contents_end = last;
    p->contents_end = &last->next;
    unlock_and_wake(p);
}

int
cfc_persister_poll(struct cfc_persister *p, struct cfc_persisted *out)
{
    int error = CONFCAST_ERR_AGAIN;

    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < CFC_RECEIVER_SCOPES_MAX && error != CONFCAST_OK; i++) {
        struct slot *slot = p->slots[i];

        if (slot != NULL && !slot->is_told) {
            *out = slot->outcome;
            slot->outcome.durable.version = 0;
            slot->is_told = true;
            error = CONFCAST_OK;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return error;
}
