#include "controlplane/publish/publisher.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "controlplane/publish/coded_set.h"
#include "controlplane/publish/engine_link.h"
#include "controlplane/publish/head_set.h"
#include "controlplane/publish/report_intake.h"
#include "protocol/base/time.h"
#include "protocol/wire/content.h"
#include "protocol/wire/link.h"

enum {
    BATCH_COUNT = 64,   /* decisions whose contents share an arena */
    MESSAGES_MAX = 512, /* engine messages taken before decisions get their turn */
    RECONNECT_MS = 100,
    TICK_MS = 500,
    CONSUMERS_MAX = 1 << 20,
};

struct cfc_publisher {
    struct cfc_publisher_config config;
    char *engine_socket;
    pthread_t thread;
    int stop_fd;
    atomic_bool is_stopping;

    /* Everything below belongs to the thread. */
    struct cfc_sha256 *sha;
    struct cfc_coded_set *contents;
    struct cfc_head_set *heads;
    struct cfc_engine_link link;
    bool is_synced;          /* this connection was handed everything */
    uint32_t frame_size_max; /* that contents and heads were made for */
    uint64_t start_seq;      /* committed before this process began: the fleet may have it */
    uint64_t next_fresh_ns;  /* monotonic */
    uint64_t next_connect_ns;
    uint64_t next_tick_ns;
    bool is_fresh_due;       /* heads changed */
    uint64_t *consumer_keys; /* open addressing, 0 = free: who was seen */
    size_t consumer_capacity;

    pthread_mutex_t lock; /* guards status */
    struct cfc_publisher_status status;
};

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

static uint64_t
mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t
unix_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

#define COUNT(p, counter, n)                                                                       \
    do {                                                                                           \
        pthread_mutex_lock(&(p)->lock);                                                            \
        (p)->status.counter += (n);                                                                \
        pthread_mutex_unlock(&(p)->lock);                                                          \
    } while (0)

/* ---- The sets, made for one frame size ------------------------------------------------------- */

static void
free_sets(struct cfc_publisher *p)
{
    cfc_head_set_free(p->heads); /* names contents: goes first */
    cfc_coded_set_free(p->contents);
    p->heads = NULL;
    p->contents = NULL;
}

static uint32_t
symbol_size_for(uint32_t frame_size_max)
{
    uint32_t room = frame_size_max - CFC_SYMBOL_HEADER_SIZE;

    return room < CFC_SYMBOL_SIZE_DEFAULT ? room / 32 * 32 : CFC_SYMBOL_SIZE_DEFAULT;
}

static int
make_sets(struct cfc_publisher *p, uint32_t frame_size_max)
{
    struct cfc_coded_set_config contents = {
        .signer = p->config.signer,
        .shard = p->config.shard,
        .symbol_size = symbol_size_for(frame_size_max),
        .retained_max = p->config.retained_max,
    };
    struct cfc_head_set_config heads = {
        .signer = p->config.signer,
        .shard = p->config.shard,
        .epoch = cfc_service_epoch(p->config.service),
        .frame_size_max = frame_size_max,
    };
    int error = cfc_coded_set_new(&contents, &p->contents);

    if (error == CONFCAST_OK) {
        error = cfc_head_set_new(&heads, p->contents, &p->heads);
    }
    if (error != CONFCAST_OK) {
        free_sets(p);
        return error;
    }
    p->frame_size_max = frame_size_max;
    return CONFCAST_OK;
}

/* ---- Handing over ---------------------------------------------------------------------------- */

static void
disconnected(struct cfc_publisher *p, const char *why)
{
    cfc_engine_link_close(&p->link);
    p->is_synced = false;
    p->next_connect_ns = mono_ns() + RECONNECT_MS * CFC_MS;
    pthread_mutex_lock(&p->lock);
    p->status.is_connected = false;
    p->status.engine.count = 0;
    pthread_mutex_unlock(&p->lock);
    cfc_log(CFC_LOG_WARN, "publish", "engine disconnected why=%s", why);
}

static int
hand_content(struct cfc_publisher *p, struct cfc_coded *coded, bool is_pull_only)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_ARENA};
    int error;

    if (coded->is_handed) {
        return CONFCAST_OK;
    }
    if (!coded->arena->is_handed) {
        message.u.arena.arena = coded->arena->number;
        message.u.arena.size = coded->arena->size;
        error = cfc_engine_link_send(&p->link, &message, coded->arena->fd);
        if (error != CONFCAST_OK) {
            return error;
        }
        coded->arena->is_handed = true;
    }
    message = (struct cfc_handoff){
        .type = CFC_HANDOFF_CONTENT,
        .u.content = {.arena = coded->arena->number,
                      .tree_offset = coded->tree_offset,
                      .tree_size = coded->tree_size,
                      .coded_offset = coded->coded_offset,
                      .is_pull_only = is_pull_only,
                      .frame = coded->frame,
                      .frame_size = coded->frame_size},
    };
    error = cfc_engine_link_send(&p->link, &message, -1);
    if (error == CONFCAST_OK) {
        coded->is_handed = true;
        coded->was_published = true;
        COUNT(p, contents_handed, 1);
    }
    return error;
}

/* Whether the head carries this content itself, so that nobody needs its symbols unless they ask.
 */
static bool
is_inlined(const struct cfc_signed_head *head, const struct cfc_coded *coded,
           struct cfc_sha256 *sha)
{
    struct cfc_frame frame;
    struct cfc_head decoded;

    return cfc_frame_open(head->frame, head->frame_size, &frame) == CONFCAST_OK &&
           cfc_head_decode(&frame, sha, &decoded) == CONFCAST_OK && decoded.inlined.is_present &&
           cfc_digest_equal(&decoded.arms[decoded.inlined.arm].content, &coded->id);
}

static int
hand_head(struct cfc_publisher *p, struct cfc_signed_head *head)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_HEAD,
                                  .u.head = {.frame = head->frame, .frame_size = head->frame_size}};
    int error = CONFCAST_OK;

    for (size_t i = 0; error == CONFCAST_OK && i < head->content_count; i++) {
        struct cfc_coded *coded = head->contents[i];

        error = hand_content(p, coded, coded->was_published || is_inlined(head, coded, p->sha));
    }
    if (error == CONFCAST_OK) {
        error = cfc_engine_link_send(&p->link, &message, -1);
    }
    if (error == CONFCAST_OK) {
        COUNT(p, heads_handed, 1);
        cfc_service_note_published(p->config.service, head->decision->scope,
                                   head->decision->version, unix_ns());
    }
    return error;
}

static uint32_t
fleet_size(struct cfc_publisher *p)
{
    return (uint32_t)p->status.consumers; /* only this thread writes it */
}

static int
hand_fresh_page(void *arg, const uint8_t *frame, size_t size, bool is_changed)
{
    struct cfc_publisher *p = arg;
    struct cfc_handoff message = {
        .type = CFC_HANDOFF_FRESH,
        .u.fresh = {.is_changed = is_changed, .frame = frame, .frame_size = size}};

    return cfc_engine_link_send(&p->link, &message, -1);
}

static int
hand_fresh(struct cfc_publisher *p)
{
    uint64_t now = unix_ns();
    int error;

    p->is_fresh_due = false;
    p->next_fresh_ns = mono_ns() + p->config.fresh_period_ns;
    error =
        cfc_head_set_fresh(p->heads, cfc_service_seq(p->config.service), now,
                           now + 10 * p->config.fresh_period_ns, fleet_size(p), hand_fresh_page, p);
    COUNT(p, fresh_signed, 1);
    return error;
}

static int
hand_everything(struct cfc_publisher *p)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_SHARD,
                                  .u.shard = {.shard = p->config.shard,
                                              .fleet_size = fleet_size(p),
                                              .epoch = cfc_service_epoch(p->config.service)}};
    int error = cfc_engine_link_send(&p->link, &message, -1);

    cfc_coded_set_forget_handed(p->contents);
    for (size_t i = 0; error == CONFCAST_OK && i < cfc_head_set_count(p->heads); i++) {
        error = hand_head(p, cfc_head_set_at(p->heads, i));
    }
    if (error == CONFCAST_OK) {
        error = hand_fresh(p);
    }
    if (error == CONFCAST_OK) {
        message.type = CFC_HANDOFF_SYNCED;
        error = cfc_engine_link_send(&p->link, &message, -1);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    p->is_synced = true;
    pthread_mutex_lock(&p->lock);
    p->status.is_connected = true;
    pthread_mutex_unlock(&p->lock);
    cfc_log(CFC_LOG_INFO, "publish", "engine synced heads=%zu contents=%zu",
            cfc_head_set_count(p->heads), cfc_coded_set_count(p->contents));
    return CONFCAST_OK;
}

/* ---- Decisions ------------------------------------------------------------------------------- */

static int
add_contents(struct cfc_publisher *p, struct cfc_decision *const *decisions, size_t count)
{
    struct cfc_config_body *bodies[BATCH_COUNT * 2 * CFC_ARM_COUNT_MAX];
    size_t body_count = 0;

    for (size_t i = 0; i < count; i++) {
        for (uint32_t a = 0; a < decisions[i]->arm_count; a++) {
            bodies[body_count++] = decisions[i]->arms[a].content;
            if (decisions[i]->arms[a].fallback != NULL) {
                bodies[body_count++] = decisions[i]->arms[a].fallback;
            }
        }
    }
    return cfc_coded_set_add(p->contents, bodies, body_count);
}

static int
publish(struct cfc_publisher *p, struct cfc_decision *decision)
{
    struct cfc_signed_head *head;
    int error = cfc_head_set_put(p->heads, decision, unix_ns(), &head);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (decision->version <= p->start_seq) {
        /* An earlier process published this; whoever lacks it asks. */
        for (size_t i = 0; i < head->content_count; i++) {
            head->contents[i]->was_published = true;
        }
    }
    p->is_fresh_due = true;
    if (p->is_synced && !p->status.is_refusing) {
        error = hand_head(p, head);
        if (error != CONFCAST_OK) {
            disconnected(p, confcast_error_word(error));
        }
    }
    return CONFCAST_OK; /* What was not handed over goes with the next connection. */
}

static void
evict(struct cfc_publisher *p)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_DROP_CONTENT};
    bool was_handed = false;

    while (cfc_coded_set_evict(p->contents, &message.u.drop_content.content, &was_handed) ==
           CONFCAST_OK) {
        if (p->is_synced && was_handed &&
            cfc_engine_link_send(&p->link, &message, -1) != CONFCAST_OK) {
            disconnected(p, "send");
        }
    }
}

static void
take_decisions(struct cfc_publisher *p)
{
    struct cfc_decision *decisions[BATCH_COUNT];
    size_t count = 0;
    int error;

    while (count < BATCH_COUNT &&
           cfc_service_poll_decision(p->config.service, &decisions[count]) == CONFCAST_OK) {
        count++;
    }
    if (count == 0) {
        return;
    }
    error = add_contents(p, decisions, count);
    for (size_t i = 0; error == CONFCAST_OK && i < count; i++) {
        error = publish(p, decisions[i]);
    }
    if (error != CONFCAST_OK) {
        /* Nothing is lost: the model gives every decision again, and a scope keeps its head until
         * then. */
        cfc_log(CFC_LOG_ERROR, "publish", "publish failed error=%s", confcast_error_word(error));
        cfc_service_requeue_decisions(p->config.service);
        p->next_tick_ns = mono_ns() + TICK_MS * CFC_MS;
        poll(NULL, 0, RECONNECT_MS);
    }
    for (size_t i = 0; i < count; i++) {
        cfc_decision_unref(decisions[i]);
    }
    evict(p);
}

/* ---- What the engine says -------------------------------------------------------------------- */

/* Counts a consumer once.  A full table stops counting: the fleet size only tunes windows. */
static void
note_consumer(struct cfc_publisher *p, uint64_t key)
{
    size_t at;

    if (key == 0 || p->status.consumers * 4 >= p->consumer_capacity * 3) {
        return;
    }
    for (at = key & (p->consumer_capacity - 1); p->consumer_keys[at] != 0;
         at = (at + 1) & (p->consumer_capacity - 1)) {
        if (p->consumer_keys[at] == key) {
            return;
        }
    }
    p->consumer_keys[at] = key;
    COUNT(p, consumers, 1);
}

/* A consumer shows the highest head that it accepted.  If we signed it and do not know of it, our
 * store is older than what was published: going on would send versions that consumers refuse, or
 * worse, versions twice. */
static void
check_proof(struct cfc_publisher *p, const uint8_t *bytes, size_t size)
{
    struct cfc_frame frame;
    struct cfc_head head;
    uint64_t epoch = cfc_service_epoch(p->config.service);
    uint64_t seq = cfc_service_seq(p->config.service);

    if (cfc_frame_open(bytes, size, &frame) != CONFCAST_OK || frame.type != CFC_FRAME_HEAD ||
        cfc_head_decode(&frame, p->sha, &head) != CONFCAST_OK || head.shard != p->config.shard ||
        (head.version <= seq && head.epoch <= epoch) ||
        cfc_head_verify(&head, &p->config.verifier, unix_ns()) != CONFCAST_OK) {
        return; /* an unproved claim changes nothing */
    }
    if (!p->status.is_refusing) {
        cfc_log(CFC_LOG_ERROR, "publish",
                "refusing to publish: a consumer proved epoch=%llu version=%llu, this store has "
                "epoch=%llu sequence=%llu; restore a newer backup",
                (unsigned long long)head.epoch, (unsigned long long)head.version,
                (unsigned long long)epoch, (unsigned long long)seq);
    }
    pthread_mutex_lock(&p->lock);
    p->status.is_refusing = true;
    p->status.proof_epoch = head.epoch;
    p->status.proof_version = head.version;
    pthread_mutex_unlock(&p->lock);
}

static void
on_consumer(struct cfc_publisher *p, const struct cfc_handoff_consumer *m)
{
    struct cfc_frame frame;
    struct cfc_hello hello;

    if (cfc_frame_open(m->frame, m->frame_size, &frame) != CONFCAST_OK ||
        frame.type != CFC_FRAME_HELLO || cfc_hello_decode(&frame, p->sha, &hello) != CONFCAST_OK) {
        return;
    }
    note_consumer(p, hello.consumer_key);
    if (hello.head_proof != NULL) {
        check_proof(p, hello.head_proof, hello.head_proof_size);
    }
    cfc_log(CFC_LOG_DEBUG, "publish", "consumer id=%.*s incarnation=%llu", (int)hello.id_size,
            hello.id, (unsigned long long)hello.incarnation);
}

static void
on_report(struct cfc_publisher *p, const struct cfc_handoff_report *m)
{
    int error = cfc_report_intake(p->config.service, p->sha, &p->config.report_key, m->id,
                                  m->id_size, m->frame, m->frame_size, unix_ns());

    if (error == CONFCAST_OK) {
        COUNT(p, reports, 1);
    } else {
        COUNT(p, reports_refused, 1);
        cfc_log(CFC_LOG_WARN, "publish", "report refused id=%.*s error=%s", (int)m->id_size, m->id,
                confcast_error_word(error));
    }
}

static void
on_engine_hello(struct cfc_publisher *p, const struct cfc_handoff_engine_hello *m)
{
    int error = CONFCAST_OK;

    cfc_log(CFC_LOG_INFO, "publish", "engine connected boot=%016llx frame_size_max=%u port=%.*s",
            (unsigned long long)m->boot_id, m->frame_size_max, (int)m->port_text_size,
            m->port_text);
    if (m->frame_size_max < CFC_FRAME_SIZE_MIN) {
        disconnected(p, "frame_size");
        return;
    }
    COUNT(p, connections, 1);
    pthread_mutex_lock(&p->lock);
    p->status.engine_boot_id = m->boot_id;
    pthread_mutex_unlock(&p->lock);
    if (symbol_size_for(m->frame_size_max) != symbol_size_for(p->frame_size_max)) {
        /* Another port size: every content is cut anew, which its bodies in the model allow at any
         * time. */
        free_sets(p);
        error = make_sets(p, m->frame_size_max);
        cfc_service_requeue_decisions(p->config.service);
    }
    if (error == CONFCAST_OK && !p->status.is_refusing) {
        error = hand_everything(p);
    }
    if (error != CONFCAST_OK) {
        disconnected(p, confcast_error_word(error));
    }
}

static void
on_message(struct cfc_publisher *p, const struct cfc_handoff *m)
{
    switch (m->type) {
    case CFC_HANDOFF_ENGINE_HELLO:
        on_engine_hello(p, &m->u.engine_hello);
        break;
    case CFC_HANDOFF_CONSUMER:
        on_consumer(p, &m->u.consumer);
        break;
    case CFC_HANDOFF_REPORT:
        on_report(p, &m->u.report);
        break;
    case CFC_HANDOFF_REFUSED:
        COUNT(p, engine_refusals, 1);
        cfc_log(CFC_LOG_ERROR, "publish", "engine refused type=%u error=%s key=%016llx",
                m->u.refused.type, confcast_error_word(-(int)m->u.refused.error),
                (unsigned long long)m->u.refused.key);
        break;
    case CFC_HANDOFF_ENGINE_STATS:
        pthread_mutex_lock(&p->lock);
        p->status.engine = m->u.engine_stats;
        pthread_mutex_unlock(&p->lock);
        break;
    case CFC_HANDOFF_RELEASE_ARENA: /* our own mapping goes with its last content */
        break;
    default:
        disconnected(p, "unexpected message");
        break;
    }
}

static void
take_messages(struct cfc_publisher *p)
{
    for (int i = 0; i < MESSAGES_MAX && cfc_engine_link_is_open(&p->link); i++) {
        struct cfc_handoff message;
        int error = cfc_engine_link_receive(&p->link, &message);

        if (error == CONFCAST_ERR_AGAIN) {
            return;
        }
        if (error != CONFCAST_OK) {
            disconnected(p, confcast_error_word(error));
            return;
        }
        on_message(p, &message);
    }
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void
try_connect(struct cfc_publisher *p)
{
    struct cfc_handoff hello = {.type = CFC_HANDOFF_CONTROL_HELLO};
    int error = cfc_engine_link_connect(&p->link, p->engine_socket);

    p->next_connect_ns = mono_ns() + RECONNECT_MS * CFC_MS;
    hello.u.control_hello.boot_id = cfc_service_epoch(p->config.service);
    if (error == CONFCAST_OK && cfc_engine_link_send(&p->link, &hello, -1) != CONFCAST_OK) {
        disconnected(p, "hello");
    }
}

static void
run_timers(struct cfc_publisher *p)
{
    uint64_t now = mono_ns();

    if (!cfc_engine_link_is_open(&p->link) && now >= p->next_connect_ns) {
        try_connect(p);
    }
    if (p->is_synced && !p->status.is_refusing && (p->is_fresh_due || now >= p->next_fresh_ns)) {
        int error = hand_fresh(p);

        if (error != CONFCAST_OK) {
            disconnected(p, confcast_error_word(error));
        }
    }
    if (now >= p->next_tick_ns) {
        int error = cfc_service_tick(p->config.service, unix_ns());

        p->next_tick_ns = now + TICK_MS * CFC_MS;
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
    uint64_t now = mono_ns();
    uint64_t next = p->next_tick_ns;

    if (!cfc_engine_link_is_open(&p->link) && p->next_connect_ns < next) {
        next = p->next_connect_ns;
    }
    if (p->is_synced && p->next_fresh_ns < next) {
        next = p->next_fresh_ns;
    }
    return next <= now ? 0 : (int)((next - now + CFC_MS - 1) / CFC_MS);
}

static void *
run(void *arg)
{
    struct cfc_publisher *p = arg;

    while (!atomic_load(&p->is_stopping)) {
        struct pollfd fds[3] = {
            {.fd = p->stop_fd, .events = POLLIN},
            {.fd = cfc_service_wake_fd(p->config.service), .events = POLLIN},
            {.fd = p->link.fd, .events = POLLIN}, /* poll(2) skips -1 */
        };

        poll(fds, 3, wait_ms(p));
        take_decisions(p);
        take_messages(p);
        run_timers(p);
    }
    return NULL;
}

static int
init(struct cfc_publisher *p, const struct cfc_publisher_config *config)
{
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
    p->engine_socket = strdup(config->engine_socket);
    p->consumer_capacity = CONSUMERS_MAX * 2;
    p->consumer_keys = calloc(p->consumer_capacity, sizeof(*p->consumer_keys));
    p->sha = cfc_sha256_new();
    if (p->engine_socket == NULL || p->consumer_keys == NULL || p->sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->stop_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    return make_sets(p, CFC_FRAME_SIZE_DEFAULT);
}

static void
destroy(struct cfc_publisher *p)
{
    cfc_engine_link_close(&p->link);
    free_sets(p);
    cfc_sha256_free(p->sha);
    if (p->stop_fd >= 0) {
        close(p->stop_fd);
    }
    pthread_mutex_destroy(&p->lock);
    free(p->consumer_keys);
    free(p->engine_socket);
    free(p);
}

int
cfc_publisher_start(const struct cfc_publisher_config *config, struct cfc_publisher **out)
{
    struct cfc_publisher *p;
    int error;

    *out = NULL;
    if (config->service == NULL || config->engine_socket == NULL) {
        return CONFCAST_ERR_INVALID;
    }
    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
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

void
cfc_publisher_status(struct cfc_publisher *p, struct cfc_publisher_status *out)
{
    pthread_mutex_lock(&p->lock);
    *out = p->status;
    pthread_mutex_unlock(&p->lock);
}
