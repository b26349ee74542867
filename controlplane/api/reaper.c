#include "controlplane/api/reaper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "confcast/error.h"
#include "protocol/base/time.h"

#define GRACE_NS (200 * CFC_MS)

static const char late_body[] =
    "{\"error\":{\"code\":\"timeout\",\"message\":\"the request did not arrive in time\"}}";

static uint64_t
mono_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

void
cfc_connection_refuse(const struct cfc_connection *c, unsigned status, const char *reason,
                      const char *body)
{
    char text[512];
    int size = snprintf(text, sizeof(text),
                        "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        status, reason, strlen(body), body);

    /* Plain text amid a TLS session would only break it in another way. */
    if (c->is_tls) {
        return;
    }
    /* A peer that takes nothing gets nothing: this must not wait for it. */
    if (size > 0 && (size_t)size < sizeof(text)) {
        send(c->fd, text, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void
end_late(struct cfc_reaper *reaper, struct cfc_connection *c)
{
    if (c->phase == CFC_CONNECTION_RECEIVING) {
        cfc_connection_refuse(c, 408, "Request Timeout", late_body);
        atomic_fetch_add(&reaper->late_count, 1);
    }
    c->phase = CFC_CONNECTION_ENDED;
    shutdown(c->fd, SHUT_RDWR);
}

/* Bytes that have arrived and wait for us: then it is this process that is slow, not the client. */
static bool
has_unread_bytes(const struct cfc_connection *c)
{
    int size = 0;

    return ioctl(c->fd, FIONREAD, &size) == 0 && size > 0;
}

/* Wakes the thread when it would sleep for too long.  Requests come by the ten thousand a second,
 * and each moves its deadline away from now: most have nothing to say. */
static void
wake_before(struct cfc_reaper *reaper, uint64_t deadline_ns)
{
    if (deadline_ns < reaper->sleeps_until_ns) {
        reaper->sleeps_until_ns = deadline_ns;
        pthread_cond_signal(&reaper->changed);
    }
}

/* Ends what is due and returns the next deadline. */
static uint64_t
sweep(struct cfc_reaper *reaper, uint64_t now_ns)
{
    uint64_t next_ns = CFC_NEVER;

    for (struct cfc_connection *c = reaper->first; c != NULL; c = c->next) {
        if (c->phase == CFC_CONNECTION_ANSWERING || c->phase == CFC_CONNECTION_ENDED) {
            continue;
        }
        if (c->deadline_ns <= now_ns && c->phase != CFC_CONNECTION_SENDING && has_unread_bytes(c)) {
            c->deadline_ns = now_ns + GRACE_NS;
        }
        if (c->deadline_ns <= now_ns) {
            end_late(reaper, c);
        } else if (c->deadline_ns < next_ns) {
            next_ns = c->deadline_ns;
        }
    }
    return next_ns;
}

static void *
run(void *arg)
{
    struct cfc_reaper *reaper = arg;

    pthread_setname_np(pthread_self(), "confcast-reaper");
    pthread_mutex_lock(&reaper->lock);
    while (!reaper->is_stopping) {
        uint64_t next_ns = sweep(reaper, mono_ns());
        struct timespec until = {.tv_sec = (time_t)(next_ns / CFC_S),
                                 .tv_nsec = (long)(next_ns % CFC_S)};

        reaper->sleeps_until_ns = next_ns;
        if (next_ns == CFC_NEVER) {
            pthread_cond_wait(&reaper->changed, &reaper->lock);
        } else {
            pthread_cond_timedwait(&reaper->changed, &reaper->lock, &until);
        }
    }
    pthread_mutex_unlock(&reaper->lock);
    return NULL;
}

int
cfc_reaper_start(struct cfc_reaper *reaper, uint64_t timeout_ns)
{
    pthread_condattr_t attr;

    memset(reaper, 0, sizeof(*reaper));
    reaper->timeout_ns = timeout_ns;
    pthread_mutex_init(&reaper->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&reaper->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&reaper->thread, NULL, run, reaper) != 0) {
        pthread_cond_destroy(&reaper->changed);
        pthread_mutex_destroy(&reaper->lock);
        return CONFCAST_ERR_RESOURCE;
    }
    return CONFCAST_OK;
}

void
cfc_reaper_stop(struct cfc_reaper *reaper)
{
    pthread_mutex_lock(&reaper->lock);
    reaper->is_stopping = true;
    pthread_cond_signal(&reaper->changed);
    pthread_mutex_unlock(&reaper->lock);
    pthread_join(reaper->thread, NULL);
    pthread_cond_destroy(&reaper->changed);
    pthread_mutex_destroy(&reaper->lock);
}

static uint32_t
count_peer(const struct cfc_reaper *reaper, const struct cfc_connection *c)
{
    uint32_t count = 0;

    for (const struct cfc_connection *other = reaper->first; other != NULL; other = other->next) {
        count += !other->is_unix && memcmp(other->peer, c->peer, sizeof(c->peer)) == 0 ? 1 : 0;
    }
    return count;
}

uint32_t
cfc_reaper_add(struct cfc_reaper *reaper, struct cfc_connection *c)
{
    uint32_t count;

    c->reaper = reaper;
    c->phase = CFC_CONNECTION_IDLE;
    c->deadline_ns = mono_ns() + reaper->timeout_ns;
    pthread_mutex_lock(&reaper->lock);
    c->prev = NULL;
    c->next = reaper->first;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    reaper->first = c;
    count = c->is_unix ? 0 : count_peer(reaper, c);
    wake_before(reaper, c->deadline_ns);
    pthread_mutex_unlock(&reaper->lock);
    return count;
}

static size_t
held_of_peer(const struct cfc_reaper *reaper, const struct cfc_connection *c)
{
    size_t held = 0;

    for (const struct cfc_connection *other = reaper->first; other != NULL; other = other->next) {
        if (!other->is_unix && memcmp(other->peer, c->peer, sizeof(c->peer)) == 0) {
            held += other->held;
        }
    }
    return held;
}

bool
cfc_reaper_hold(struct cfc_connection *c, size_t size, size_t peer_max)
{
    bool has_room;
    size_t held;

    pthread_mutex_lock(&c->reaper->lock);
    held = c->is_unix ? 0 : held_of_peer(c->reaper, c);
    has_room = c->is_unix || (held <= peer_max && size <= peer_max - held);
    c->held += has_room ? size : 0;
    pthread_mutex_unlock(&c->reaper->lock);
    return has_room;
}

void
cfc_reaper_drop(struct cfc_connection *c)
{
    pthread_mutex_lock(&c->reaper->lock);
    c->held = 0;
    pthread_mutex_unlock(&c->reaper->lock);
}

void
cfc_reaper_turn_away(struct cfc_connection *c, unsigned status, const char *reason,
                     const char *body)
{
    pthread_mutex_lock(&c->reaper->lock);
    cfc_connection_refuse(c, status, reason, body);
    c->phase = CFC_CONNECTION_ENDED;
    shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&c->reaper->lock);
}

void
cfc_reaper_remove(struct cfc_connection *c)
{
    struct cfc_reaper *reaper = c->reaper;

    pthread_mutex_lock(&reaper->lock);
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        reaper->first = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    pthread_mutex_unlock(&reaper->lock);
}

bool
cfc_reaper_enter(struct cfc_connection *c, enum cfc_connection_phase phase)
{
    struct cfc_reaper *reaper = c->reaper;
    bool is_alive;

    pthread_mutex_lock(&reaper->lock);
    is_alive = c->phase != CFC_CONNECTION_ENDED;
    if (is_alive) {
        c->phase = phase;
    }
    if (is_alive && phase == CFC_CONNECTION_IDLE) {
        c->deadline_ns = mono_ns() + reaper->timeout_ns;
        wake_before(reaper, c->deadline_ns);
    }
    pthread_mutex_unlock(&reaper->lock);
    return is_alive;
}

void
cfc_reaper_enter_sending(struct cfc_connection *c, size_t size)
{
    struct cfc_reaper *reaper = c->reaper;
    uint64_t extra_ns = (uint64_t)size * CFC_S / CFC_SEND_RATE_MIN;

    pthread_mutex_lock(&reaper->lock);
    if (c->phase != CFC_CONNECTION_ENDED) {
        c->phase = CFC_CONNECTION_SENDING;
        c->deadline_ns = mono_ns() + reaper->timeout_ns + extra_ns;
        wake_before(reaper, c->deadline_ns);
    }
    pthread_mutex_unlock(&reaper->lock);
}
