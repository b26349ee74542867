#include "controlplane/api/pull_hub.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "protocol/base/time.h"

struct cfc_pull_wait {
    struct cfc_pull_wait *prev;
    struct cfc_pull_wait *next;
    struct cfc_pull_wait *next_due; /* of the hub's thread */
    struct cfc_pull_hub *hub;
    struct MHD_Connection *mhd;
    struct cfc_pull_ask ask;
    uint64_t deadline_ns; /* monotonic */

    /* Under the hub's lock: */
    bool is_due; /* to be looked at */
    bool is_suspended;

    /* The hub's thread's, then that of the connection that it resumed. */
    struct cfc_pull_answer *answer;
    int error;
};

static uint64_t
mono_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

/* The publisher's thread, under the store's lock. */
static void
on_change(void *arg, uint64_t scope_id)
{
    struct cfc_pull_hub *hub = arg;
    bool is_any = false;

    pthread_mutex_lock(&hub->lock);
    for (struct cfc_pull_wait *w = hub->first; w != NULL; w = w->next) {
        if (w->is_suspended && w->ask.scope_id == scope_id) {
            w->is_due = true;
            is_any = true;
        }
    }
    if (is_any) {
        pthread_cond_signal(&hub->changed);
    }
    pthread_mutex_unlock(&hub->lock);
}

/* Those to look at now, linked by next_due; *next_ns is when the next one's time is over.  Under
 * the lock. */
static struct cfc_pull_wait *
gather_due(struct cfc_pull_hub *hub, uint64_t now_ns, uint64_t *next_ns)
{
    struct cfc_pull_wait *due = NULL;

    *next_ns = now_ns + CFC_PULL_WAIT_S_MAX * CFC_S;
    for (struct cfc_pull_wait *w = hub->first; w != NULL; w = w->next) {
        if (!w->is_suspended) {
            continue;
        }
        if (w->is_due || w->deadline_ns <= now_ns) {
            w->is_due = false;
            w->next_due = due;
            due = w;
        } else if (w->deadline_ns < *next_ns) {
            *next_ns = w->deadline_ns;
        }
    }
    return due;
}

static void
resume(struct cfc_pull_hub *hub, struct cfc_pull_wait *w)
{
    pthread_mutex_lock(&hub->lock);
    w->is_suspended = false;
    MHD_resume_connection(w->mhd);
    pthread_mutex_unlock(&hub->lock);
}

/* Suspended connections stay as they are, so that these need no lock. */
static void
look_at(struct cfc_pull_hub *hub, struct cfc_pull_wait *due, uint64_t now_ns)
{
    while (due != NULL) {
        struct cfc_pull_wait *w = due;

        due = due->next_due;
        if (w->deadline_ns <= now_ns || cfc_pull_store_has_news(hub->store, &w->ask)) {
            w->error = cfc_pull_store_answer(hub->store, &w->ask, &w->answer);
            resume(hub, w);
        }
    }
}

static void *
run(void *arg)
{
    struct cfc_pull_hub *hub = arg;

    pthread_setname_np(pthread_self(), "confcast-pull");
    pthread_mutex_lock(&hub->lock);
    while (!hub->is_stopping) {
        uint64_t now_ns = mono_ns();
        uint64_t next_ns;
        struct cfc_pull_wait *due = gather_due(hub, now_ns, &next_ns);
        struct timespec until = {.tv_sec = (time_t)(next_ns / CFC_S),
                                 .tv_nsec = (long)(next_ns % CFC_S)};

        if (due == NULL) {
            pthread_cond_timedwait(&hub->changed, &hub->lock, &until);
            continue;
        }
        pthread_mutex_unlock(&hub->lock);
        look_at(hub, due, now_ns);
        pthread_mutex_lock(&hub->lock);
    }
    for (struct cfc_pull_wait *w = hub->first; w != NULL; w = w->next) {
        if (w->is_suspended) {
            w->is_suspended = false;
            w->error = CONFCAST_ERR_CLOSED;
            MHD_resume_connection(w->mhd);
        }
    }
    pthread_mutex_unlock(&hub->lock);
    return NULL;
}

int
cfc_pull_hub_start(struct cfc_pull_hub *hub, struct cfc_pull_store *store)
{
    pthread_condattr_t attr;

    memset(hub, 0, sizeof(*hub));
    hub->store = store;
    pthread_mutex_init(&hub->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&hub->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&hub->thread, NULL, run, hub) != 0) {
        pthread_cond_destroy(&hub->changed);
        pthread_mutex_destroy(&hub->lock);
        hub->store = NULL;
        return CONFCAST_ERR_RESOURCE;
    }
    cfc_pull_store_on_change(store, on_change, hub);
    return CONFCAST_OK;
}

void
cfc_pull_hub_stop(struct cfc_pull_hub *hub)
{
    if (hub->store == NULL) {
        return;
    }
    cfc_pull_store_on_change(hub->store, NULL, NULL);
    pthread_mutex_lock(&hub->lock);
    hub->is_stopping = true;
    pthread_cond_signal(&hub->changed);
    pthread_mutex_unlock(&hub->lock);
    pthread_join(hub->thread, NULL);
}

struct cfc_pull_wait *
cfc_pull_wait_new(struct cfc_pull_hub *hub, struct MHD_Connection *mhd,
                  const struct cfc_pull_wish *wish)
{
    struct cfc_pull_wait *w = hub->store != NULL ? calloc(1, sizeof(*w)) : NULL;

    if (w == NULL) {
        return NULL;
    }
    w->hub = hub;
    w->mhd = mhd;
    w->ask = wish->ask;
    w->deadline_ns = mono_ns() + wish->wait_ms * CFC_MS;
    w->is_due = true;
    pthread_mutex_lock(&hub->lock);
    if (hub->is_stopping || hub->count >= CFC_PULL_WAIT_MAX) {
        pthread_mutex_unlock(&hub->lock);
        free(w);
        return NULL;
    }
    w->next = hub->first;
    if (w->next != NULL) {
        w->next->prev = w;
    }
    hub->first = w;
    hub->count++;
    w->is_suspended = true;
    MHD_suspend_connection(mhd);
    pthread_cond_signal(&hub->changed);
    pthread_mutex_unlock(&hub->lock);
    return w;
}

static int
on_read(void *arg, void *bytes, size_t capacity, size_t *size)
{
    *size = cfc_pull_answer_read(arg, bytes, capacity);
    return CONFCAST_OK;
}

static void
on_close(void *arg)
{
    cfc_pull_answer_free(arg);
}

void
cfc_pull_wait_reply(struct cfc_pull_wait *w, struct cfc_reply *reply)
{
    struct cfc_reply_stream stream = {.read = on_read, .close = on_close, .arg = w->answer};

    if (w->answer == NULL) {
        cfc_reply_failure(reply, w->error != CONFCAST_OK ? w->error : CONFCAST_ERR_CLOSED, NULL,
                          NULL);
        return;
    }
    stream.size = cfc_pull_answer_size(w->answer);
    w->answer = NULL;
    cfc_reply_stream(reply, "application/vnd.confcast.frames", &stream);
}

void
cfc_pull_wait_free(struct cfc_pull_wait *w)
{
    struct cfc_pull_hub *hub;

    if (w == NULL) {
        return;
    }
    hub = w->hub;
    pthread_mutex_lock(&hub->lock);
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else {
        hub->first = w->next;
    }
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    hub->count--;
    pthread_mutex_unlock(&hub->lock);
    cfc_pull_answer_free(w->answer);
    free(w);
}
