/* What a read costs: typed reads by key through the public API of the shared library, one call for
 * one value and in sections of 1 and 8 reads, against the same lookup behind a plain pointer (the
 * limit) and behind a pthread_rwlock (what services use), with 1 and 2 threads, while nobody
 * writes.
 *
 * Each thread has a processor of its own.  What a lock costs two threads is what its cache line
 * costs to go from one to the other, and two processors may be two threads of one core: both are
 * measured, so that the rest can be read. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "confcast/confcast.h"
#include "consumer/scope.h"
#include "consumer/shared_content.h"
#include "consumer/view.h"
#include "perf/bench.h"
#include "protocol/snapshot/body.h"

enum {
    KEYS = 1024,
    ROUNDS = 9,
    READS = 2000000,
    PASSES = 200000,
    THREADS_MAX = 2
};

static struct confcast_scope scope;
static struct confcast_scope shared_scope;
static struct confcast_key keys[KEYS];
static char pointers[KEYS][32];
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile int64_t sink[THREADS_MAX * 16];

/* The same content as a process finds it that reads through its host's agent: mapped from a sealed
 * memfd. */
static void
publish_shared(const struct cfc_loaded *loaded, const struct cfc_digest *id)
{
    struct cfc_loaded *mapped = NULL;
    int fd;

    if (cfc_shared_content_make(loaded, &fd) != CONFCAST_OK ||
        cfc_shared_content_map(fd, id, &mapped) != CONFCAST_OK) {
        abort();
    }
    close(fd);
    shared_scope.view = cfc_view_new(mapped, &(struct cfc_served){.epoch = 1, .version = 1});
    cfc_loaded_unref(mapped);
}

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
    scope.view = cfc_view_new(loaded, &(struct cfc_served){.epoch = 1, .version = 1});
    publish_shared(loaded, &id);
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
read_one_call(int n)
{
    int64_t sum = 0;

    for (int i = 0; i < n; i++) {
        sum += confcast_read_i64(&scope, &keys[i % KEYS], 0, NULL);
    }
    return sum;
}

static int64_t
read_one_call_shared(int n)
{
    int64_t sum = 0;

    for (int i = 0; i < n; i++) {
        sum += confcast_read_i64(&shared_scope, &keys[i % KEYS], 0, NULL);
    }
    return sum;
}

static int64_t
read_sections(int n, int reads_per_section)
{
    int64_t sum = 0;

    for (int i = 0; i < n; i += reads_per_section) {
        const struct confcast_view *view;

        confcast_read_lock();
        view = confcast_view(&scope);
        for (int k = 0; k < reads_per_section; k++) {
            sum += confcast_get_i64(view, &keys[(i + k) % KEYS], 0, NULL);
        }
        confcast_read_unlock();
    }
    return sum;
}

static int64_t
read_section_of_1(int n)
{
    return read_sections(n, 1);
}

static int64_t
read_section_of_8(int n)
{
    return read_sections(n, 8);
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

/* On the n-th of the processors that this process may use; where there is none, anywhere. */
static void
pin(int n)
{
    cpu_set_t all;
    cpu_set_t one;

    if (sched_getaffinity(0, sizeof(all), &all) != 0) {
        return;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && n-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
            return;
        }
    }
}

static void *
run(void *arg)
{
    struct job *job = arg;
    uint64_t begin;

    pin(job->number);
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

/* ---- The machine ---- */

static _Alignas(128) atomic_int turn;

static void *
pass_on(void *arg)
{
    struct job *job = arg;
    uint64_t begin;

    pin(job->number);
    pthread_barrier_wait(&barrier);
    begin = cfc_bench_now_ns();
    for (int i = 0; i < PASSES; i++) {
        while (atomic_load_explicit(&turn, memory_order_acquire) != job->number) {
        }
        atomic_store_explicit(&turn, 1 - job->number, memory_order_release);
    }
    job->ns_per_read = (double)(cfc_bench_now_ns() - begin) / (2 * PASSES);
    return NULL;
}

/* How long a cache line takes from one processor to another, ns. */
static double
measure_line(void)
{
    struct job jobs[2] = {{.number = 0}, {.number = 1}};
    pthread_t ids[2];

    atomic_store(&turn, 0);
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&ids[i], NULL, pass_on, &jobs[i]) != 0) {
            abort();
        }
    }
    pthread_join(ids[0], NULL);
    pthread_join(ids[1], NULL);
    pthread_barrier_destroy(&barrier);
    return jobs[0].ns_per_read;
}

struct way {
    const char *name;
    int64_t (*read)(int n);
};

static const struct way ways[] = {
    {"plain pointer", read_plain},       {"one call", read_one_call},
    {"section of 1", read_section_of_1}, {"section of 8", read_section_of_8},
    {"pthread_rwlock", read_rwlock},     {"one call through an agent", read_one_call_shared},
};

enum {
    PLAIN = 0,
    ONE_CALL = 1,
    RWLOCK = 4,
    SHARED = 5,
    WAYS = 6
};

static void
print(struct cfc_bench *b, const char *what, const char *unit, int threads)
{
    char name[96];

    snprintf(name, sizeof(name), "%s, %d thread(s)", what, threads);
    cfc_bench_print(b, "read", name, unit);
}

int
main(void)
{
    static struct cfc_bench ns[WAYS];
    static struct cfc_bench to_plain[WAYS];
    static struct cfc_bench lock_to_call;
    static struct cfc_bench shared_to_call;
    static struct cfc_bench line;
    static struct cfc_bench slower;

    publish_example();
    for (int round = 0; round < ROUNDS && sysconf(_SC_NPROCESSORS_ONLN) > 1; round++) {
        double alone = measure(read_plain, 1);

        cfc_bench_add(&line, measure_line());
        cfc_bench_add(&slower, measure(read_plain, 2) / alone);
    }
    if (line.count > 0) {
        cfc_bench_print(&line, "read", "a cache line from one processor to the other", "ns");
        cfc_bench_print(&slower, "read", "plain pointer, 2 threads / 1 thread, each", "ratio");
    }
    for (int threads = 1; threads <= THREADS_MAX; threads++) {
        memset(ns, 0, sizeof(ns));
        memset(to_plain, 0, sizeof(to_plain));
        lock_to_call.count = 0;
        shared_to_call.count = 0;
        for (int round = 0; round < ROUNDS; round++) {
            double took[WAYS];

            for (int i = 0; i < WAYS; i++) {
                took[i] = measure(ways[i].read, threads);
                cfc_bench_add(&ns[i], took[i]);
                cfc_bench_add(&to_plain[i], took[i] / took[PLAIN]);
            }
            cfc_bench_add(&lock_to_call, took[RWLOCK] / took[ONE_CALL]);
            cfc_bench_add(&shared_to_call, took[SHARED] / took[ONE_CALL]);
        }
        for (int i = 0; i < WAYS; i++) {
            char ratio[64];

            print(&ns[i], ways[i].name, "ns/read", threads);
            snprintf(ratio, sizeof(ratio), "%s / plain pointer", ways[i].name);
            if (i != PLAIN) {
                print(&to_plain[i], ratio, "ratio", threads);
            }
        }
        print(&lock_to_call, "pthread_rwlock / one call", "ratio", threads);
        print(&shared_to_call, "one call through an agent / one call", "ratio", threads);
    }
    return 0;
}
