#include "consumer/app/agent_events.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"

enum {
    ROOM = 1 << 20,        /* bytes that wait at most */
    PIECE_SIZE_MAX = 4096, /* PIPE_BUF: a pipe that poll() calls writable takes this at once */
    CLOSE_WAIT_MS = 1000,
    GATHER_NS = 1000000, /* lines come in twos and threes: they are written together */
};

struct cfc_agent_events {
    int fd;
    int stop_fd; /* readable once it is to end */
    pthread_t thread;
    uint64_t deadline_ms; /* the thread's: of the last writes; 0 = it is not to end yet */
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t filled;
    char room[ROOM]; /* a ring */
    size_t first;
    size_t size;
    uint64_t dropped; /* lines since the last one that said so */
    bool is_idle;     /* the thread waits for a line */
    bool is_stopping;
    bool is_broken; /* nobody reads */
};

static uint64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Under the lock.  false: it does not fit. */
static bool
append(struct cfc_agent_events *e, const char *line, size_t size)
{
    size_t at = (e->first + e->size) % ROOM;
    size_t before_end = ROOM - at < size ? ROOM - at : size;

    if (size > ROOM - e->size) {
        return false;
    }
    memcpy(e->room + at, line, before_end);
    memcpy(e->room, line + before_end, size - before_end);
    e->size += size;
    return true;
}

void
cfc_agent_events_put(struct cfc_agent_events *e, const char *line, size_t size)
{
    char note[64];
    int note_size;
    bool must_wake;

    pthread_mutex_lock(&e->lock);
    if (!e->is_broken) {
        if (e->dropped > 0) {
            note_size = snprintf(note, sizeof(note), "{\"event\":\"dropped\",\"count\":%llu}\n",
                                 (unsigned long long)e->dropped);
            e->dropped = append(e, note, (size_t)note_size) ? 0 : e->dropped;
        }
        if (e->dropped > 0 || !append(e, line, size)) {
            e->dropped++;
        }
    }
    must_wake = e->is_idle;
    e->is_idle = false;
    pthread_mutex_unlock(&e->lock);
    if (must_wake) {
        pthread_cond_signal(&e->filled);
    }
}

/* Waits until the descriptor takes a piece, once it is to end until the deadline at most.  false:
 * it does not. */
static bool
await(struct cfc_agent_events *e)
{
    struct pollfd fds[2] = {{.fd = e->fd, .events = POLLOUT}, {.fd = e->stop_fd, .events = POLLIN}};

    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    if (fds[0].revents == 0) {
        uint64_t now = now_ms();

        e->deadline_ms = e->deadline_ms == 0 ? now + CLOSE_WAIT_MS : e->deadline_ms;
        return now < e->deadline_ms && poll(fds, 1, (int)(e->deadline_ms - now)) > 0;
    }
    return true;
}

/* false: the reader has gone, or it is time to stop. */
static bool
write_piece(struct cfc_agent_events *e, const char *piece, size_t size)
{
    while (size > 0) {
        ssize_t n;

        if (!await(e)) {
            return false;
        }
        n = write(e->fd, piece, size);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            fprintf(stderr, "confcast-agent: events are not written any more: %s\n",
                    strerror(errno));
            return false;
        }
        piece += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Under the lock: until there are lines. */
static void
wait_for_lines(struct cfc_agent_events *e)
{
    struct timespec until;

    e->is_idle = true;
    pthread_cond_wait(&e->filled, &e->lock);
    e->is_idle = false;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += GATHER_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (!e->is_stopping && pthread_cond_timedwait(&e->filled, &e->lock, &until) == 0) {
    }
}

static void *
run(void *arg)
{
    struct cfc_agent_events *e = arg;
    char piece[PIECE_SIZE_MAX];

    pthread_mutex_lock(&e->lock);
    while (!e->is_broken && (e->size > 0 || !e->is_stopping)) {
        size_t size = ROOM - e->first < e->size ? ROOM - e->first : e->size;
        bool is_written;

        if (size == 0) {
            wait_for_lines(e);
            continue;
        }
        size = size < sizeof(piece) ? size : sizeof(piece);
        memcpy(piece, e->room + e->first, size);
        e->first = (e->first + size) % ROOM;
        e->size -= size;
        pthread_mutex_unlock(&e->lock);
        is_written = write_piece(e, piece, size);
        pthread_mutex_lock(&e->lock);
        e->is_broken = !is_written;
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

int
cfc_agent_events_open(int fd, struct cfc_agent_events **out)
{
    struct cfc_agent_events *e = calloc(1, sizeof(*e));
    pthread_condattr_t monotonic;

    *out = NULL;
    if (e == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    e->fd = fd;
    e->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->filled, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (e->stop_fd < 0 || pthread_create(&e->thread, NULL, run, e) != 0) {
        if (e->stop_fd >= 0) {
            close(e->stop_fd);
        }
        free(e);
        return CONFCAST_ERR_RESOURCE;
    }
    *out = e;
    return CONFCAST_OK;
}

void
cfc_agent_events_close(struct cfc_agent_events *e)
{
    uint64_t one = 1;

    if (e == NULL) {
        return;
    }
    pthread_mutex_lock(&e->lock);
    e->is_stopping = true;
    pthread_cond_signal(&e->filled);
    pthread_mutex_unlock(&e->lock);
    while (write(e->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    pthread_join(e->thread, NULL);
    pthread_cond_destroy(&e->filled);
    pthread_mutex_destroy(&e->lock);
    close(e->stop_fd);
    free(e);
}
