#include "controlplane/api/watch.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "controlplane/api/status.h"
#include "controlplane/json/json_load.h"
#include "protocol/base/time.h"

enum {
    BLOCK_SIZE = 32 * 1024,
    TEXT_TOTAL_MAX = 64 << 20,
    GONE_PERIODS = 5, /* between two looks whether clients are still there */
};

struct cfc_watch {
    struct cfc_watch *prev;
    struct cfc_watch *next;
    struct cfc_watch_hub *hub;
    struct cfc_watch_request request;
    char scope[CFC_SCOPE_SIZE_MAX + 1]; /* "" = all */
    uint64_t begin_ns;                  /* monotonic, as the next one */
    uint64_t beat_ns;                   /* last event */

    /* Under the hub's lock: */
    uint64_t looked_at;  /* change of the whole service at the last look */
    uint64_t noticed;    /* change of what is watched at the last look */
    uint64_t missed;     /* changes that came while one waited to be sent */
    uint64_t generation; /* of who may do what, at the last look */
    bool is_due;
    bool is_suspended;
    bool is_gone; /* the client closed its end */

    /* Of the connection's thread: */
    uint64_t seen; /* change that the last event showed */
    bool is_begun;
    bool is_over; /* the last event says why */
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
        MHD_resume_connection(w->request.mhd);
    }
}

static uint64_t
generation_of(const struct cfc_watch_hub *hub)
{
    return hub->api->access != NULL ? cfc_access_generation(hub->api->access) : 0;
}

static void
look_at(struct cfc_watch *w, uint64_t change, uint64_t now_ns)
{
    uint64_t generation = generation_of(w->hub);
    uint64_t new_change = w->noticed;

    if (change != w->looked_at || w->noticed == w->request.wait.after) {
        w->looked_at = change;
        new_change = change_of(w, change);
    }
    if (new_change != w->noticed) {
        w->noticed = new_change;
        w->missed += w->is_due;
        w->is_due = true;
    }
    if (w->request.wait.is_stream && (now_ns - w->beat_ns > CFC_WATCH_BEAT_S * CFC_S ||
                                      now_ns - w->begin_ns > CFC_WATCH_LIFE_S * CFC_S)) {
        w->is_due = true;
    }
    if (!w->request.wait.is_stream && now_ns - w->begin_ns > w->request.wait.wait_ms * CFC_MS) {
        w->is_due = true;
    }
    if (generation != w->generation) {
        w->generation = generation;
        w->is_due = true;
    }
    if (w->is_due || w->hub->is_stopping) {
        wake(w);
    }
}

/* A suspended connection is not polled by the library: its client could be gone for long, and keep
 * its place.  It cannot be closed meanwhile, since its request ends under the hub's lock. */
static void
look_for_the_gone(struct cfc_watch_hub *hub)
{
    struct pollfd fds[CFC_WATCH_COUNT_MAX];
    struct cfc_watch *watches[CFC_WATCH_COUNT_MAX];
    nfds_t count = 0;

    for (struct cfc_watch *w = hub->first; w != NULL; w = w->next) {
        if (w->is_suspended && w->request.connection != NULL) {
            fds[count] = (struct pollfd){.fd = w->request.connection->fd, .events = POLLRDHUP};
            watches[count++] = w;
        }
    }
    if (poll(fds, count, 0) <= 0) {
        return;
    }
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].revents != 0) {
            watches[i]->is_gone = true;
            wake(watches[i]);
        }
    }
}

static void *
run(void *arg)
{
    struct cfc_watch_hub *hub = arg;
    uint32_t periods = 0;

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
        if (++periods % GONE_PERIODS == 0) {
            look_for_the_gone(hub);
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

/* Under the lock: whether one more may watch. */
static bool
has_room(const struct cfc_watch_hub *hub, const struct cfc_connection *connection)
{
    uint32_t tcp_count = 0;
    uint32_t peer_count = 0;

    if (hub->is_stopping || hub->count >= CFC_WATCH_COUNT_MAX) {
        return false;
    }
    if (connection != NULL && connection->is_unix) {
        return true;
    }
    for (const struct cfc_watch *w = hub->first; w != NULL; w = w->next) {
        const struct cfc_connection *other = w->request.connection;

        if (other == NULL || !other->is_unix) {
            tcp_count++;
            peer_count += connection != NULL && other != NULL &&
                          memcmp(other->peer, connection->peer, sizeof(other->peer)) == 0;
        }
    }
    return tcp_count < CFC_WATCH_TCP_MAX && peer_count < CFC_WATCH_PEER_MAX;
}

struct cfc_watch *
cfc_watch_new(struct cfc_watch_hub *hub, const struct cfc_watch_request *request)
{
    struct cfc_watch *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return NULL;
    }
    w->hub = hub;
    w->request = *request;
    w->generation = generation_of(hub);
    snprintf(w->scope, sizeof(w->scope), "%s", request->scope);
    w->begin_ns = w->beat_ns = clock_ns(CLOCK_MONOTONIC);
    w->looked_at = cfc_service_change(hub->api->service);
    w->noticed = request->wait.is_stream ? change_of(w, w->looked_at) : request->wait.after;
    w->is_due = request->wait.is_stream;
    pthread_mutex_lock(&hub->lock);
    if (!has_room(hub, request->connection)) {
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
        MHD_suspend_connection(w->request.mhd);
    }
    pthread_mutex_unlock(&w->hub->lock);
    return is_parked;
}

/* ---- Streams ----------------------------------------------------------------------------------
 */

/* The state as JSON text, which is the caller's to free. */
static int
state_of(struct cfc_watch *w, char **text)
{
    struct cfc_api *api = w->hub->api;
    uint64_t unix_ns = clock_ns(CLOCK_REALTIME);
    json_t *body = NULL;
    size_t size;
    int rc;

    *text = NULL;
    if (w->request.may_read != NULL && !w->request.may_read(w->request.arg)) {
        return CONFCAST_ERR_AUTHORITY;
    }
    if (w->scope[0] == '\0') {
        return cfc_api_all_status(api, w->seen, unix_ns, TEXT_TOTAL_MAX, text, &size, &w->seen);
    }
    rc = cfc_api_scope_status(api, w->scope, w->request.wait.stragglers, unix_ns, &body, &w->seen);
    if (rc == CONFCAST_OK) {
        *text = cfc_json_dump(body, JSON_COMPACT | JSON_SORT_KEYS);
        rc = *text != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    }
    json_decref(body);
    return rc;
}

/* The text of the next event, or of the last one: `rc` says why it is the last. */
static bool
write_event(struct cfc_watch *w, const char *json, int rc, uint64_t missed)
{
    const char *code = rc == CONFCAST_ERR_AUTHORITY ? "unauthorized" : confcast_error_word(rc);
    FILE *out = open_memstream(&w->text, &w->size);

    if (out == NULL) {
        w->text = NULL;
        return false;
    }
    if (!w->is_begun) {
        fputs("retry: 1000\n\n", out);
    }
    if (rc != CONFCAST_OK) {
        fprintf(out, "event: end\ndata: {\"code\":\"%s\"}\n\n", code);
        w->is_over = true;
    } else {
        if (missed > 0) {
            fprintf(out, "event: missed\ndata: {\"missed\":%llu}\n\n", (unsigned long long)missed);
        }
        fprintf(out, "event: status\nid: %llu\ndata: %s\n\n", (unsigned long long)w->seen, json);
    }
    if (fclose(out) != 0) {
        free(w->text);
        w->text = NULL;
        w->size = 0;
        return false;
    }
    w->is_begun = true;
    return true;
}

/* False when not even the reason for the end can be told. */
static bool
make_event(struct cfc_watch *w, uint64_t missed)
{
    char *json = NULL;
    int rc = state_of(w, &json);
    bool is_made;

    if (rc == CONFCAST_OK &&
        atomic_load(&w->hub->text_total) + strlen(json) > (size_t)TEXT_TOTAL_MAX) {
        rc = CONFCAST_ERR_BUSY;
    }
    is_made = write_event(w, json, rc, missed);
    free(json);
    atomic_fetch_add(&w->hub->text_total, w->size);
    return is_made;
}

/* Under the hub's lock: to go on when something is due. */
static void
park(struct cfc_watch *w)
{
    if (w->request.connection != NULL) {
        cfc_reaper_enter(w->request.connection, CFC_CONNECTION_ANSWERING);
    }
    w->is_suspended = true;
    MHD_suspend_connection(w->request.mhd);
}

/* Waits for the next event, or makes it.  What the reader returns when there is nothing to send
 * now; 1 when there is. */
static ssize_t
next_event(struct cfc_watch *w)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t missed;

    if (w->is_over) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    pthread_mutex_lock(&w->hub->lock);
    if (w->is_gone || w->hub->is_stopping || now_ns - w->begin_ns > CFC_WATCH_LIFE_S * CFC_S) {
        bool is_gone = w->is_gone;

        pthread_mutex_unlock(&w->hub->lock);
        return is_gone ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (!w->is_due) {
        park(w);
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
    if (w->request.connection != NULL) {
        cfc_reaper_enter_sending(w->request.connection, w->size);
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
