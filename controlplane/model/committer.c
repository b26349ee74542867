#include "controlplane/model/committer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "confcast/error.h"
#include "protocol/base/time.h"

enum {
    RETRY_S = 1, /* after a sync that failed, while somebody waits */
    GATHER_STEP_NS = 200 * 1000,
    GATHER_STEPS_MAX = 2,
};

struct cfc_committer {
    struct cfc_committer_config config;
    pthread_t thread;
    atomic_ullong staged;
    atomic_ullong losses;
    atomic_bool is_kicked; /* there is something to do; set before the wake-up */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t wake;
    bool is_stopping;
    struct cfc_waiter *waiters;
    size_t told_count; /* who waited for the last sync; the thread's own */
    struct cfc_histogram syncs;
};

static uint64_t
mono_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

const struct cfc_histogram *
cfc_committer_syncs(const struct cfc_committer *c)
{
    return &c->syncs;
}

static void
wake(struct cfc_committer *c)
{
    pthread_mutex_lock(&c->lock);
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void
cfc_committer_staged(struct cfc_committer *c, uint64_t seq)
{
    atomic_store(&c->staged, seq);
    /* Once is enough until it looks. */
    if (!atomic_exchange(&c->is_kicked, true)) {
        wake(c);
    }
}

void
cfc_committer_lost(struct cfc_committer *c)
{
    atomic_fetch_add(&c->losses, 1);
    atomic_store(&c->is_kicked, true);
    wake(c);
}

void
cfc_committer_mark_begin(struct cfc_committer *c, struct cfc_mark *mark)
{
    mark->losses = atomic_load(&c->losses);
    mark->seq = 0;
}

void
cfc_committer_mark_end(struct cfc_committer *c, struct cfc_mark *mark)
{
    mark->seq = atomic_load(&c->staged);
}

/* CONFCAST_OK, CONFCAST_ERR_IO, or CONFCAST_ERR_AGAIN when it is not known yet. */
static int
outcome(struct cfc_committer *c, const struct cfc_mark *mark)
{
    /* The durable sequence first: a loss that comes after it does not touch what it covers, and one
     * that came before is seen. */
    bool is_durable = mark->seq <= cfc_store_durable_seq(c->config.store);

    if (mark->losses != atomic_load(&c->losses)) {
        return CONFCAST_ERR_IO;
    }
    return is_durable ? CONFCAST_OK : CONFCAST_ERR_AGAIN;
}

bool
cfc_committer_is_durable(struct cfc_committer *c, const struct cfc_mark *mark)
{
    return outcome(c, mark) == CONFCAST_OK;
}

void
cfc_committer_when_durable(struct cfc_committer *c, struct cfc_waiter *waiter)
{
    int error;

    pthread_mutex_lock(&c->lock);
    error = outcome(c, &waiter->mark);
    if (error == CONFCAST_ERR_AGAIN) {
        DL_APPEND(c->waiters, waiter);
    }
    pthread_mutex_unlock(&c->lock);
    if (error != CONFCAST_ERR_AGAIN) {
        waiter->fn(waiter, error);
    }
}

/* Takes those whose outcome is known out of the list and tells them. */
static void
tell(struct cfc_committer *c)
{
    struct cfc_waiter *known = NULL;
    struct cfc_waiter *waiter;
    struct cfc_waiter *next;

    c->told_count = 0;
    pthread_mutex_lock(&c->lock);
    DL_FOREACH_SAFE(c->waiters, waiter, next)
    {
        waiter->error = outcome(c, &waiter->mark);
        if (waiter->error != CONFCAST_ERR_AGAIN) {
            DL_DELETE(c->waiters, waiter);
            DL_APPEND(known, waiter);
        }
    }
    pthread_mutex_unlock(&c->lock);
    DL_FOREACH_SAFE(known, waiter, next)
    {
        c->told_count++;
        waiter->fn(waiter, waiter->error);
    }
}

/* A sync costs as much for one change as for thirty.  Where several waited for the last one, the
 * next ones are on their way: it is put off for as long as they go on coming, within bounds, until
 * they are as many.  Who is alone waits for nobody. */
static void
gather(struct cfc_committer *c)
{
    const struct timespec step = {.tv_nsec = GATHER_STEP_NS};
    uint64_t durable = cfc_store_durable_seq(c->config.store);
    uint64_t last = durable;

    for (int i = 0; i < GATHER_STEPS_MAX && c->told_count >= 2; i++) {
        uint64_t staged = atomic_load(&c->staged);

        if (staged == last || staged - durable >= c->told_count) {
            break;
        }
        last = staged;
        nanosleep(&step, NULL);
    }
}

static void
sync_once(struct cfc_committer *c)
{
    if (atomic_load(&c->staged) > cfc_store_durable_seq(c->config.store)) {
        uint64_t begin_ns = mono_ns();
        int error = cfc_store_sync(c->config.store);

        cfc_histogram_add(&c->syncs, mono_ns() - begin_ns);
        if (error != CONFCAST_OK) {
            c->config.settle(c->config.arg);
        }
    }
    c->config.synced(c->config.arg);
    tell(c);
}

/* Until something is staged, or those who wait have waited for long. */
static bool
wait_for_work(struct cfc_committer *c)
{
    struct timespec until;
    bool goes_on;

    pthread_mutex_lock(&c->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RETRY_S;
    while (!atomic_load(&c->is_kicked) && !c->is_stopping) {
        if (c->waiters == NULL) {
            pthread_cond_wait(&c->wake, &c->lock);
        } else if (pthread_cond_timedwait(&c->wake, &c->lock, &until) != 0) {
            break;
        }
    }
    atomic_store(&c->is_kicked, false);
    goes_on = !c->is_stopping;
    pthread_mutex_unlock(&c->lock);
    return goes_on;
}

static void *
run(void *arg)
{
    struct cfc_committer *c = arg;

    while (wait_for_work(c)) {
        gather(c);
        sync_once(c);
    }
    sync_once(c);
    return NULL;
}

int
cfc_committer_start(const struct cfc_committer_config *config, struct cfc_committer **out)
{
    struct cfc_committer *c = calloc(1, sizeof(*c));

    *out = NULL;
    if (c == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    c->config = *config;
    atomic_store(&c->staged, cfc_store_seq(config->store));
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        pthread_cond_destroy(&c->wake);
        pthread_mutex_destroy(&c->lock);
        free(c);
        return CONFCAST_ERR_RESOURCE;
    }
    pthread_setname_np(c->thread, "confcast-commit");
    *out = c;
    return CONFCAST_OK;
}

void
cfc_committer_stop(struct cfc_committer *c)
{
    struct cfc_waiter *waiter;
    struct cfc_waiter *next;

    if (c == NULL) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->is_stopping = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    /* Only after a disk that failed to the last. */
    DL_FOREACH_SAFE(c->waiters, waiter, next)
    {
        waiter->fn(waiter, CONFCAST_ERR_IO);
    }
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
