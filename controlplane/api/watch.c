#include "controlplane/api/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "controlplane/api/status.h"
#include "protocol/base/time.h"

enum {
    BLOCK_SIZE = 32 * 1024,
    TEXT_TOTAL_MAX = 64 << 20
};

struct cfc_watch {
    struct cfc_watch *prev;
    struct cfc_watch *next;
    struct cfc_watch_hub *hub;
    struct MHD_Connection *mhd;
    struct cfc_connection *connection;
    struct cfc_wait wait;
    char scope[CFC_SCOPE_SIZE_MAX + 1]; /* "" = all */
    uint64_t begin_ns;                  /* monotonic, as the next one */
    uint64_t beat_ns;                   /* last event */

    /* Under the hub's lock: */
    uint64_t looked_at; /* change of the whole service at the last look */
    uint64_t noticed;   /* change of what is watched at the last look */
    uint64_t missed;    /* changes that came while one waited to be sent */
    bool is_due;
    bool is_suspended;

    /* Of the connection's thread: */
    uint64_t seen; /* change that the last event showed */
    bool is_begun;
    char *text;
    size_t size;
    size_t at; /* sent up to here */
};

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

/* The change of what is watched. */
static uint64_t
change_of(const struct cfc_watch *w, uint64_t change)
{
    struct cfc_scope_status status;

    if (w->scope[0] == '\0') {
        return change;
    }
    cfc_service_scope_status(w->hub->api->service, w->scope, 0, &status);
    return status.change;
}

static void
wake(struct cfc_watch *w)
{
    if (w->is_suspended) {
        w->is_suspended = false;
        MHD_resume_connection(w->mhd);
    }
}

static void
look_at(struct cfc_watch *w, uint64_t change, uint64_t now_ns)
{
    uint64_t new_change = w->noticed;

    if (change != w->looked_at || w->noticed == w->wait.after) {
        w->looked_at = change;
        new_change = change_of(w, change);
    }
    if (new_change != w->noticed) {
        w->noticed = new_change;
        w->missed += w->is_due;
        w->is_due = true;
    }
    if (w->wait.is_stream && (now_ns - w->beat_ns > CFC_WATCH_BEAT_S * CFC_S ||
                              now_ns - w->begin_ns > CFC_WATCH_LIFE_S * CFC_S)) {
        w->is_due = true;
    }
    if (!w->wait.is_stream && now_ns - w->begin_ns > w->wait.wait_ms * CFC_MS) {
        w->is_due = true;
    }
    if (w->is_due || w->hub->is_stopping) {
        wake(w);
    }
}

static void *
run(void *arg)
{
    struct cfc_watch_hub *hub = arg;

    pthread_setname_np(pthread_self(), "confcast-watch");
    pthread_mutex_lock(&hub->lock);
    while (!hub->is_stopping) {
        uint64_t next_ns = clock_ns(CLOCK_MONOTONIC) + CFC_WATCH_PERIOD_MS * CFC_MS;
        struct timespec until = {.tv_sec = (time_t)(next_ns / CFC_S),
                                 .tv_nsec = (long)(next_ns % CFC_S)};
        uint64_t change;

        if (hub->first == NULL) {
            pthread_cond_wait(&hub->changed, &hub->lock);
            continue;
        }
        change = cfc_service_change(hub->api->service);
        for (struct cfc_watch *w = hub->first; w != NULL; w = w->next) {
            look_at(w, change, next_ns);
        }
        pthread_cond_timedwait(&hub->changed, &hub->lock, &until);
    }
    for (struct cfc_watch *w = hub->first; w != NULL; w = w->next) {
        wake(w);
    }
    pthread_mutex_unlock(&hub->lock);
    return NULL;
}

int
cfc_watch_hub_start(struct cfc_watch_hub *hub, struct cfc_api *api)
{
    pthread_condattr_t attr;

    memset(hub, 0, sizeof(*hub));
    hub->api = api;
    pthread_mutex_init(&hub->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&hub->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&hub->thread, NULL, run, hub) != 0) {
        pthread_cond_destroy(&hub->changed);
        pthread_mutex_destroy(&hub->lock);
        hub->api = NULL;
        return CONFCAST_ERR_RESOURCE;
    }
    return CONFCAST_OK;
}

void
cfc_watch_hub_stop(struct cfc_watch_hub *hub)
{
    if (hub->api == NULL) {
        return;
    }
    pthread_mutex_lock(&hub->lock);
    hub->is_stopping = true;
    pthread_cond_signal(&hub->changed);
    pthread_mutex_unlock(&hub->lock);
    pthread_join(hub->thread, NULL);
}

struct cfc_watch *
cfc_watch_new(struct cfc_watch_hub *hub, struct MHD_Connection *mhd,
              struct cfc_connection *connection, const struct cfc_wait *wait, const char *scope)
{
    struct cfc_watch *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return NULL;
    }
    w->hub = hub;
    w->mhd = mhd;
    w->connection = connection;
    w->wait = *wait;
    snprintf(w->scope, sizeof(w->scope), "%s", scope);
    w->begin_ns = w->beat_ns = clock_ns(CLOCK_MONOTONIC);
    w->looked_at = cfc_service_change(hub->api->service);
    w->noticed = wait->is_stream ? change_of(w, w->looked_at) : wait->after;
    w->is_due = wait->is_stream;
    pthread_mutex_lock(&hub->lock);
    if (hub->is_stopping || hub->count >= CFC_WATCH_COUNT_MAX) {
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
    pthread_cond_signal(&hub->changed);
    pthread_mutex_unlock(&hub->lock);
    return w;
}

static void
drop_event(struct cfc_watch *w)
{
    atomic_fetch_sub(&w->hub->text_total, w->size);
    free(w->text);
    w->text = NULL;
    w->size = 0;
    w->at = 0;
}

void
cfc_watch_free(struct cfc_watch *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->hub->lock);
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else {
        w->hub->first = w->next;
    }
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    w->hub->count--;
    pthread_mutex_unlock(&w->hub->lock);
    drop_event(w);
    free(w);
}

bool
cfc_watch_park(struct cfc_watch *w)
{
    bool is_parked;

    pthread_mutex_lock(&w->hub->lock);
    is_parked = !w->hub->is_stopping;
    if (is_parked) {
        w->is_suspended = true;
        MHD_suspend_connection(w->mhd);
    }
    pthread_mutex_unlock(&w->hub->lock);
    return is_parked;
}

/* ---- Streams ----------------------------------------------------------------------------------
 */

static json_t *
state_of(struct cfc_watch *w)
{
    struct cfc_api *api = w->hub->api;
    uint64_t unix_ns = clock_ns(CLOCK_REALTIME);
    json_t *body = NULL;

    if (w->scope[0] == '\0') {
        cfc_api_all_status(api, w->seen, unix_ns, &body, &w->seen);
    } else {
        cfc_api_scope_status(api, w->scope, w->wait.stragglers, unix_ns, &body, &w->seen);
    }
    return body;
}

/* The next event; false when it cannot be made. */
static bool
make_event(struct cfc_watch *w, uint64_t missed)
{
    json_t *body = state_of(w);
    char *json = body != NULL ? json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    size_t size = 0;
    char *text = NULL;
    FILE *out = json != NULL ? open_memstream(&text, &size) : NULL;

    json_decref(body);
    if (out == NULL) {
        free(json);
        return false;
    }
    if (!w->is_begun) {
        fputs("retry: 1000\n\n", out);
    }
    if (missed > 0) {
        fprintf(out, "event: missed\ndata: {\"missed\":%llu}\n\n", (unsigned long long)missed);
    }
    fprintf(out, "event: status\nid: %llu\ndata: %s\n\n", (unsigned long long)w->seen, json);
    free(json);
    if (fclose(out) != 0 || atomic_load(&w->hub->text_total) + size > TEXT_TOTAL_MAX) {
        free(text);
        return false;
    }
    atomic_fetch_add(&w->hub->text_total, size);
    w->text = text;
    w->size = size;
    w->is_begun = true;
    return true;
}

/* Waits for the next event, or makes it.  What the reader returns when there is nothing to send
 * now; 1 when there is. */
static ssize_t
next_event(struct cfc_watch *w)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t missed;

    pthread_mutex_lock(&w->hub->lock);
    if (w->hub->is_stopping || now_ns - w->begin_ns > CFC_WATCH_LIFE_S * CFC_S) {
        pthread_mutex_unlock(&w->hub->lock);
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (!w->is_due) {
        if (w->connection != NULL) {
            cfc_reaper_enter(w->connection, CFC_CONNECTION_ANSWERING);
        }
        w->is_suspended = true;
        MHD_suspend_connection(w->mhd);
        pthread_mutex_unlock(&w->hub->lock);
        return 0;
    }
    w->is_due = false;
    missed = w->missed;
    w->missed = 0;
    w->beat_ns = now_ns;
    pthread_mutex_unlock(&w->hub->lock);
    if (!make_event(w, missed)) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    pthread_mutex_lock(&w->hub->lock);
    if (w->seen > w->noticed) {
        w->noticed = w->seen;
    }
    pthread_mutex_unlock(&w->hub->lock);
    if (w->connection != NULL) {
        cfc_reaper_enter_sending(w->connection, w->size);
    }
    return 1;
}

static ssize_t
read_stream(void *cls, uint64_t position, char *buffer, size_t room)
{
    struct cfc_watch *w = cls;
    size_t size;

    (void)position;
    if (w->at == w->size) {
        ssize_t result;

        drop_event(w);
        result = next_event(w);
        if (result != 1) {
            return result;
        }
    }
    size = w->size - w->at < room ? w->size - w->at : room;
    memcpy(buffer, w->text + w->at, size);
    w->at += size;
    return (ssize_t)size;
}

struct MHD_Response *
cfc_watch_response(struct cfc_watch *w)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, read_stream, w, NULL);

    if (response != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    }
    return response;
}
