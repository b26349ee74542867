/* What a read costs: typed reads by key through the public API, against the same lookup behind a
 * plain pointer (the limit) and behind a pthread_rwlock (what services use), with 1 and 2 threads,
 * while nobody writes. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "confcast/confcast.h"
#include "consumer/scope.h"
#include "consumer/view.h"
#include "perf/bench.h"
#include "protocol/snapshot/body.h"

enum {
    KEYS = 1024,
    ROUNDS = 9,
    READS = 2000000,
    THREADS_MAX = 2
};

static struct confcast_scope scope;
static struct confcast_key keys[KEYS];
static char pointers[KEYS][32];
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile int64_t sink[THREADS_MAX * 16];

/* {"service":{"key0000":0,...}} */
static void
publish_example(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_loaded *loaded = NULL;
    struct cfc_body_writer w;
    struct cfc_digest id;
    uint8_t *body = NULL;
    size_t size = 0;

    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "service", 7);
    cfc_body_begin_object(&w);
    for (int i = 0; i < KEYS; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key%04d", i);
        cfc_body_key(&w, key, strlen(key));
        cfc_body_i64(&w, i);
        snprintf(pointers[i], sizeof(pointers[i]), "/service/key%04d", i);
        confcast_key_init(&keys[i], pointers[i]);
    }
    cfc_body_end(&w);
    cfc_body_end(&w);
    if (cfc_body_finish(&w, &body, &size) != CONFCAST_OK) {
        abort();
    }
    cfc_content_id(sha, body, size, &id);
    if (cfc_loaded_new(body, size, &id, sha, &loaded) != CONFCAST_OK) {
        abort();
    }
    scope.view = cfc_view_new(loaded, 1, 1);
    cfc_loaded_unref(loaded);
    cfc_sha256_free(sha);
}

static int64_t
read_plain(int n)
{
    int64_t sum = 0;

    for (int i = 0; i < n; i++) {
        const struct confcast_view *view = *(struct confcast_view *volatile *)&scope.view;

        sum += confcast_get_i64(view, &keys[i % KEYS], 0, NULL);
    }
    return sum;
}

static int64_t
read_api(int n)
{
    int64_t sum = 0;

    for (int i = 0; i < n; i++) {
        confcast_read_lock();
        sum += confcast_get_i64(confcast_view(&scope), &keys[i % KEYS], 0, NULL);
        confcast_read_unlock();
    }
    return sum;
}

static int64_t
read_rwlock(int n)
{
    int64_t sum = 0;

    for (int i = 0; i < n; i++) {
        pthread_rwlock_rdlock(&rwlock);
        sum += confcast_get_i64(scope.view, &keys[i % KEYS], 0, NULL);
        pthread_rwlock_unlock(&rwlock);
    }
    return sum;
}

struct job {
    int64_t (*read)(int n);
    int number;
    double ns_per_read;
};

static pthread_barrier_t barrier;

static void *
run(void *arg)
{
    struct job *job = arg;
    uint64_t begin;

    sink[job->number * 16] = job->read(READS / 20); /* warm up, register */
    pthread_barrier_wait(&barrier);
    begin = cfc_bench_now_ns();
    sink[job->number * 16] = job->read(READS);
    job->ns_per_read = (double)(cfc_bench_now_ns() - begin) / READS;
    return NULL;
}

static double
measure(int64_t (*read)(int n), int threads)
{
    struct job jobs[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    double sum = 0;

    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        jobs[i] = (struct job){.read = read, .number = i};
        if (pthread_create(&ids[i], NULL, run, &jobs[i]) != 0) {
            abort();
        }
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        sum += jobs[i].ns_per_read;
    }
    pthread_barrier_destroy(&barrier);
    return sum / threads;
}

int
main(void)
{
    static struct cfc_bench plain;
    static struct cfc_bench api;
    static struct cfc_bench lock;
    static struct cfc_bench to_plain;
    static struct cfc_bench to_lock;

    publish_example();
    for (int threads = 1; threads <= THREADS_MAX; threads++) {
        char name[64];

        plain.count = api.count = lock.count = to_plain.count = to_lock.count = 0;
        for (int round = 0; round < ROUNDS; round++) {
            double p = measure(read_plain, threads);
            double a = measure(read_api, threads);
            double l = measure(read_rwlock, threads);

            cfc_bench_add(&plain, p);
            cfc_bench_add(&api, a);
            cfc_bench_add(&lock, l);
            cfc_bench_add(&to_plain, a / p);
            cfc_bench_add(&to_lock, l / a);
        }
        snprintf(name, sizeof(name), "plain pointer, %d thread(s)", threads);
        cfc_bench_print(&plain, "read", name, "ns/read");
        snprintf(name, sizeof(name), "public API, %d thread(s)", threads);
        cfc_bench_print(&api, "read", name, "ns/read");
        snprintf(name, sizeof(name), "pthread_rwlock, %d thread(s)", threads);
        cfc_bench_print(&lock, "read", name, "ns/read");
        snprintf(name, sizeof(name), "public API / plain pointer, %d thread(s)", threads);
        cfc_bench_print(&to_plain, "read", name, "ratio");
        snprintf(name, sizeof(name), "pthread_rwlock / public API, %d thread(s)", threads);
        cfc_bench_print(&to_lock, "read", name, "ratio");
    }
    return 0;
}
