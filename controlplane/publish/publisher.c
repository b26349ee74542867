#include "controlplane/publish/publisher.h"

#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "controlplane/publish/publisher_internal.h"
#include "protocol/base/time.h"
#include "protocol/wire/link.h"

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

uint64_t
cfc_publisher_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
cfc_publisher_unix_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void
cfc_publisher_refuse(struct cfc_publisher *p, uint64_t epoch, uint64_t version)
{
    bool is_news = epoch > p->status.proof_epoch || version > p->status.proof_version;
    int error = CONFCAST_OK;

    pthread_mutex_lock(&p->lock);
    p->status.is_refusing = true;
    p->status.proof_epoch = epoch > p->status.proof_epoch ? epoch : p->status.proof_epoch;
    p->status.proof_version = version > p->status.proof_version ? version : p->status.proof_version;
    pthread_mutex_unlock(&p->lock);
    if (p->config.pull != NULL) {
        cfc_pull_store_refuse(p->config.pull);
    }
    if (is_news) {
        error = cfc_service_note_proof(p->config.service, epoch, version);
    }
    if (error != CONFCAST_OK) {
        cfc_log(CFC_LOG_ERROR, "publish", "the proof is not remembered error=%s",
                confcast_error_word(error));
    }
}

/* What consumers proved to an earlier process, and no restore has settled since. */
static int
recall_proof(struct cfc_publisher *p)
{
    uint64_t epoch;
    uint64_t version;
    int error = cfc_service_get_proof(p->config.service, &epoch, &version);

    if (error == CONFCAST_OK && (epoch != 0 || version != 0)) {
        cfc_log(CFC_LOG_ERROR, "publish",
                "refusing to publish error=regress: consumers have proved epoch=%llu version=%llu",
                (unsigned long long)epoch, (unsigned long long)version);
        if (p->config.pull != NULL) {
            cfc_pull_store_refuse(p->config.pull);
        }
        p->status.is_refusing = true;
        p->status.proof_epoch = epoch;
        p->status.proof_version = version;
    }
    return error;
}

static void
try_connect(struct cfc_publisher *p)
{
    struct cfc_handoff hello = {.type = CFC_HANDOFF_CONTROL_HELLO};
    int error = cfc_engine_link_connect(&p->link, p->engine_socket);

    p->next_connect_ns = cfc_publisher_mono_ns() + CFC_PUBLISHER_RECONNECT_MS * CFC_MS;
    hello.u.control_hello.boot_id = cfc_service_epoch(p->config.service);
    if (error == CONFCAST_OK && cfc_engine_link_send(&p->link, &hello, -1) != CONFCAST_OK) {
        cfc_publisher_disconnected(p, "hello");
    }
}

/* Whether anybody is to hear FRESH. */
static bool
makes_fresh(const struct cfc_publisher *p)
{
    return (p->is_synced || p->config.pull != NULL) && !p->status.is_refusing;
}

static bool
has_engine(const struct cfc_publisher *p)
{
    return p->engine_socket != NULL;
}

/* The engine gets FRESH in each period.  Whoever lost a new head and all its repeats learns of it
 * then; a signature that everybody checks for each change would cost more than it is worth. */
static uint64_t
next_fresh_ns(const struct cfc_publisher *p)
{
    return p->is_pull_fresh_due && p->fresh_free_ns < p->next_fresh_ns ? p->fresh_free_ns
                                                                       : p->next_fresh_ns;
}

static void
run_timers(struct cfc_publisher *p)
{
    uint64_t now = cfc_publisher_mono_ns();

    if (has_engine(p) && !cfc_engine_link_is_open(&p->link) && now >= p->next_connect_ns) {
        try_connect(p);
    }
    if (makes_fresh(p) && now >= next_fresh_ns(p)) {
        bool is_for_engine = now >= p->next_fresh_ns;
        int error = cfc_publisher_hand_fresh(p, is_for_engine);

        if (error != CONFCAST_OK) {
            cfc_publisher_disconnected(p, confcast_error_word(error));
        }
    }
    if (now >= p->next_tick_ns) {
        int error = cfc_service_tick(p->config.service, cfc_publisher_unix_ns());

        p->next_tick_ns = now + CFC_PUBLISHER_TICK_MS * CFC_MS;
        if (error != CONFCAST_OK) {
            cfc_log(CFC_LOG_ERROR, "publish", "apply state not written error=%s",
                    confcast_error_word(error));
        }
    }
    pthread_mutex_lock(&p->lock);
    p->status.heads = cfc_head_set_count(p->heads);
    p->status.contents = cfc_coded_set_count(p->contents);
    pthread_mutex_unlock(&p->lock);
}

static int
wait_ms(const struct cfc_publisher *p)
{
    uint64_t now = cfc_publisher_mono_ns();
    uint64_t next = p->next_tick_ns;

    if (has_engine(p) && !cfc_engine_link_is_open(&p->link) && p->next_connect_ns < next) {
        next = p->next_connect_ns;
    }
    /* While it refuses none is sent: one that is due must not keep the thread awake. */
    if (makes_fresh(p)) {
        uint64_t fresh = next_fresh_ns(p);

        next = fresh < next ? fresh : next;
    }
    return next <= now ? 0 : (int)((next - now + CFC_MS - 1) / CFC_MS);
}

static void *
run(void *arg)
{
    struct cfc_publisher *p = arg;
    uint64_t count;

    while (!atomic_load(&p->is_stopping)) {
        struct pollfd fds[3] = {
            {.fd = p->stop_fd, .events = POLLIN},
            {.fd = cfc_service_wake_fd(p->config.service), .events = POLLIN},
            {.fd = p->link.fd, .events = POLLIN}, /* poll(2) skips -1 */
        };

        if (poll(fds, 3, wait_ms(p)) > 0 && (fds[0].revents & POLLIN) != 0) {
            (void)!read(p->stop_fd, &count, sizeof(count)); /* what woke us is looked for anyway */
        }
        cfc_publisher_take_decisions(p);
        cfc_publisher_take_hellos(p);
        cfc_publisher_take_messages(p);
        run_timers(p);
    }
    return NULL;
}

static int
init(struct cfc_publisher *p, const struct cfc_publisher_config *config)
{
    int error;

    p->config = *config;
    p->stop_fd = -1;
    cfc_engine_link_init(&p->link);
    pthread_mutex_init(&p->lock, NULL);
    if (p->config.fresh_period_ns == 0) {
        p->config.fresh_period_ns = CFC_S;
    }
    if (p->config.retained_max == 0) {
        p->config.retained_max = UINT64_C(256) << 20;
    }
    p->start_seq = cfc_service_seq(config->service);
    error = recall_proof(p);
    if (error != CONFCAST_OK) {
        return error;
    }
    p->engine_socket = config->engine_socket != NULL ? strdup(config->engine_socket) : NULL;
    p->consumer_capacity = CFC_PUBLISHER_CONSUMERS_MAX * 2;
    p->consumer_keys = calloc(p->consumer_capacity, sizeof(*p->consumer_keys));
    p->sha = cfc_sha256_new();
    if ((p->engine_socket == NULL) != (config->engine_socket == NULL) || p->consumer_keys == NULL ||
        p->sha == NULL || cfc_crew_new(cfc_crew_size_here(), &p->crew) != CONFCAST_OK) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->stop_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    return cfc_publisher_make_sets(p, CFC_FRAME_SIZE_DEFAULT);
}

static void
destroy(struct cfc_publisher *p)
{
    cfc_engine_link_close(&p->link);
    cfc_publisher_free_sets(p);
    cfc_crew_free(p->crew);
    cfc_sha256_free(p->sha);
    if (p->stop_fd >= 0) {
        close(p->stop_fd);
    }
    while (p->hellos != NULL) {
        struct cfc_pulled_hello *hello = p->hellos;

        p->hellos = hello->next;
        free(hello);
    }
    pthread_mutex_destroy(&p->lock);
    free(p->consumer_keys);
    free(p->engine_socket);
    sodium_free(p); /* which wipes it */
}

int
cfc_publisher_start(const struct cfc_publisher_config *config, struct cfc_publisher **out)
{
    struct cfc_publisher *p;
    int error;

    *out = NULL;
    if (config->service == NULL || (config->engine_socket == NULL && config->pull == NULL)) {
        return CONFCAST_ERR_INVALID;
    }
    /* It holds the fleet's report key: memory that is locked, and left out of core dumps. */
    p = sodium_init() >= 0 ? sodium_malloc(sizeof(*p)) : NULL;
    if (p == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(p, 0, sizeof(*p));
    error = init(p, config);
    if (error == CONFCAST_OK && pthread_create(&p->thread, NULL, run, p) != 0) {
        error = CONFCAST_ERR_RESOURCE;
    }
    if (error != CONFCAST_OK) {
        destroy(p);
        return error;
    }
    *out = p;
    return CONFCAST_OK;
}

void
cfc_publisher_stop(struct cfc_publisher *p)
{
    uint64_t one = 1;

    if (p == NULL) {
        return;
    }
    atomic_store(&p->is_stopping, true);
    if (write(p->stop_fd, &one, sizeof(one)) < 0) {
        cfc_log(CFC_LOG_WARN, "publish",
                "stop signal not written"); /* the next timer sees the flag */
    }
    pthread_join(p->thread, NULL);
    destroy(p);
}

int
cfc_publisher_hello(struct cfc_publisher *p, const char *id, const uint8_t *bytes, size_t size)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_pulled_hello *pulled = malloc(sizeof(*pulled) + size);
    struct cfc_frame frame;
    struct cfc_hello hello;
    uint64_t one = 1;
    int error = sha != NULL && pulled != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;

    if (error == CONFCAST_OK) {
        error = cfc_frame_open(bytes, size, &frame);
    }
    if (error == CONFCAST_OK) {
        error = frame.type == CFC_FRAME_HELLO ? cfc_hello_decode(&frame, sha, &hello)
                                              : CONFCAST_ERR_WRONG_STREAM;
    }
    if (error == CONFCAST_OK &&
        (strlen(id) != hello.id_size || memcmp(id, hello.id, hello.id_size) != 0)) {
        error = CONFCAST_ERR_WRONG_STREAM;
    }
    cfc_sha256_free(sha);
    if (error != CONFCAST_OK) {
        free(pulled);
        return error;
    }
    pulled->size = size;
    memcpy(pulled->frame, bytes, size);
    pthread_mutex_lock(&p->lock);
    if (p->hello_count == CFC_PUBLISHER_HELLOS_MAX) {
        pthread_mutex_unlock(&p->lock);
        free(pulled);
        return CONFCAST_ERR_BUSY;
    }
    pulled->next = p->hellos;
    p->hellos = pulled;
    p->hello_count++;
    pthread_mutex_unlock(&p->lock);
    (void)!write(p->stop_fd, &one, sizeof(one)); /* full: it is about to wake anyway */
    return CONFCAST_OK;
}

void
cfc_publisher_status(struct cfc_publisher *p, struct cfc_publisher_status *out)
{
    pthread_mutex_lock(&p->lock);
    *out = p->status;
    pthread_mutex_unlock(&p->lock);
}
