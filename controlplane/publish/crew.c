#include "controlplane/publish/crew.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "confcast/error.h"

enum {
    PIECES_WORTH_WAKING = 4, /* fewer are done before another thread is awake */
};

struct member {
    struct cfc_crew *crew;
    pthread_t thread;
    uint32_t worker;
};

struct cfc_crew {
    struct member members[CFC_CREW_SIZE_MAX];
    uint32_t size; /* threads, the caller's included */
    pthread_mutex_t lock;
    pthread_cond_t begun;
    pthread_cond_t done;
    uint64_t job;  /* rises with each */
    uint32_t busy; /* members that have not finished this one */
    bool is_stopping;
    void (*fn)(void *arg, uint32_t worker, size_t piece);
    void *arg;
    size_t count;
    atomic_size_t next;
};

uint32_t
cfc_crew_size_here(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    if (count < 1) {
        return 1;
    }
    return count < CFC_CREW_SIZE_MAX ? (uint32_t)count : CFC_CREW_SIZE_MAX;
}

static void
take_pieces(struct cfc_crew *crew, uint32_t worker)
{
    size_t piece = atomic_fetch_add(&crew->next, 1);

    for (; piece < crew->count; piece = atomic_fetch_add(&crew->next, 1)) {
        crew->fn(crew->arg, worker, piece);
    }
}

static void *
run(void *arg)
{
    struct member *member = arg;
    struct cfc_crew *crew = member->crew;
    uint64_t seen = 0;

    pthread_setname_np(pthread_self(), "confcast-sign");
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (!crew->is_stopping && crew->job == seen) {
            pthread_cond_wait(&crew->begun, &crew->lock);
        }
        if (crew->is_stopping) {
            break;
        }
        seen = crew->job;
        pthread_mutex_unlock(&crew->lock);
        take_pieces(crew, member->worker);
        pthread_mutex_lock(&crew->lock);
        if (--crew->busy == 0) {
            pthread_cond_signal(&crew->done);
        }
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

int
cfc_crew_new(uint32_t size, struct cfc_crew **out)
{
    struct cfc_crew *crew = calloc(1, sizeof(*crew));

    assert(size >= 1 && size <= CFC_CREW_SIZE_MAX);
    *out = crew;
    if (crew == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->begun, NULL);
    pthread_cond_init(&crew->done, NULL);
    for (crew->size = 1; crew->size < size; crew->size++) {
        struct member *member = &crew->members[crew->size];

        *member = (struct member){.crew = crew, .worker = crew->size};
        if (pthread_create(&member->thread, NULL, run, member) != 0) {
            break;
        }
    }
    return CONFCAST_OK;
}

void
cfc_crew_free(struct cfc_crew *crew)
{
    if (crew == NULL) {
        return;
    }
    pthread_mutex_lock(&crew->lock);
    crew->is_stopping = true;
    pthread_cond_broadcast(&crew->begun);
    pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 1; i < crew->size; i++) {
        pthread_join(crew->members[i].thread, NULL);
    }
    pthread_cond_destroy(&crew->done);
    pthread_cond_destroy(&crew->begun);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

void
cfc_crew_run(struct cfc_crew *crew, size_t count,
             void (*fn)(void *arg, uint32_t worker, size_t piece), void *arg)
{
    if (crew == NULL || crew->size == 1 || count < PIECES_WORTH_WAKING) {
        for (size_t i = 0; i < count; i++) {
            fn(arg, 0, i);
        }
        return;
    }
    pthread_mutex_lock(&crew->lock);
    crew->fn = fn;
    crew->arg = arg;
    crew->count = count;
    atomic_store(&crew->next, 0);
    crew->busy = crew->size - 1;
    crew->job++;
    pthread_cond_broadcast(&crew->begun);
    pthread_mutex_unlock(&crew->lock);
    take_pieces(crew, 0);
    pthread_mutex_lock(&crew->lock);
    while (crew->busy > 0) {
        pthread_cond_wait(&crew->done, &crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
}
