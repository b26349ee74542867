/* What other threads, the control plane and people are told of an engine. */
#include <assert.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "dataplane/engine_internal.h"

/* The sum of members that are all uint64_t. */
static void
add_words(void *sum, const void *more, size_t size)
{
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t a;
        uint64_t b;

        memcpy(&a, (const uint8_t *)sum + at, sizeof(a));
        memcpy(&b, (const uint8_t *)more + at, sizeof(b));
        a += b;
        memcpy((uint8_t *)sum + at, &a, sizeof(a));
    }
}

/* What waits with a helper; what is one thing for all lanes is the first one's. */
static void
add_queues(struct cfc_sender_queues *sum, const struct cfc_sender_queues *more)
{
    sum->passes_news += more->passes_news;
    sum->passes_rest += more->passes_rest;
    sum->repairs_gathering += more->repairs_gathering;
    sum->repairs_unicast += more->repairs_unicast;
    sum->repairs_multicast += more->repairs_multicast;
    sum->repairs_quiet += more->repairs_quiet;
    sum->pacing_level_bytes += more->pacing_level_bytes;
    if (more->parity_sixteenths > sum->parity_sixteenths) {
        sum->parity_sixteenths = more->parity_sixteenths;
    }
}

void
cfc_engine_publish(struct cfc_engine *engine)
{
    struct cfc_engine_snapshot *s = &engine->snapshot;

    cfc_lane_publish(&engine->lanes[0]);
    pthread_mutex_lock(&engine->snapshot_mutex);
    s->port = engine->port.stats;
    s->control = *cfc_control_stats(engine->control);
    memcpy(s->rx_verdicts, engine->rx_verdicts, sizeof(s->rx_verdicts));
    s->arp_replies = engine->arp_replies;
    s->nd_replies = engine->nd_replies;
    s->arena_bytes = cfc_control_arena_size(engine->control);
    s->is_connected = cfc_control_is_connected(engine->control);
    s->is_link_up = engine->port.is_link_up;
    if (engine->lane_count > 1 && engine->budgets.is_limited[CFC_GRANT_MULTICAST]) {
        s->budget_bytes = cfc_budget_level(&engine->budgets.budgets[CFC_GRANT_MULTICAST],
                                           engine->lanes[0].now.mono_ns);
    }
    pthread_mutex_unlock(&engine->snapshot_mutex);
}

void
cfc_engine_snapshot(struct cfc_engine *engine, struct cfc_engine_snapshot *out)
{
    struct cfc_lane_counts counts;

    pthread_mutex_lock(&engine->snapshot_mutex);
    *out = engine->snapshot;
    pthread_mutex_unlock(&engine->snapshot_mutex);
    out->lane_count = engine->lane_count;
    for (uint32_t i = 0; i < engine->lane_count; i++) {
        cfc_lane_read(&engine->lanes[i], &counts);
        add_words(&out->sender, &counts.sender, sizeof(out->sender));
        add_words(&out->port, &counts.tx, sizeof(out->port));
        if (i == 0) {
            out->queues = counts.queues;
        } else {
            add_queues(&out->queues, &counts.queues);
        }
        out->port_queue += counts.tx_queue;
        out->no_neighbor += counts.no_neighbor;
        out->sleeps += counts.sleeps;
        out->turns += counts.turns;
        out->lanes[i] = (struct cfc_engine_lane){.frames_out = counts.tx.frames_out,
                                                 .bytes_out = counts.sender.bytes_out,
                                                 .sleeps = counts.sleeps,
                                                 .turns = counts.turns};
    }
    out->queues.pacing_level_bytes += out->budget_bytes;
}

void
cfc_engine_fill_counters(void *ctx, uint64_t *values)
{
    struct cfc_engine *engine = ctx;
    struct cfc_engine_snapshot snapshot;
    const struct cfc_sender_stats *s = &snapshot.sender;
    uint64_t frames_refused = 0;

    cfc_engine_publish(engine);
    cfc_engine_snapshot(engine, &snapshot);
    for (size_t i = 0; i < sizeof(s->errors) / sizeof(s->errors[0]); i++) {
        frames_refused += s->errors[i];
    }
    for (int v = CFC_RX_OWN; v < CFC_RX_VERDICT_COUNT; v++) {
        frames_refused += snapshot.rx_verdicts[v];
    }
    const struct {
        uint64_t frames_in, frames_refused, frames_out, bytes_out, heads_sent, symbols_sent,
            pages_sent, fresh_sent, nacks, repairs_unicast, repairs_multicast, gone_sent, reports,
            reports_refused, consumers, tx_full, mbuf_shortage;
    } counters = {
        .frames_in = s->frames_in,
        .frames_refused = frames_refused,
        .frames_out = snapshot.port.frames_out,
        .bytes_out = s->bytes_out,
        .heads_sent = s->heads_sent,
        .symbols_sent = s->symbols_sent,
        .pages_sent = s->pages_sent,
        .fresh_sent = s->fresh_sent,
        .nacks = s->nacks,
        .repairs_unicast = s->repairs_unicast,
        .repairs_multicast = s->repairs_multicast,
        .gone_sent = s->gone_sent,
        .reports = s->reports,
        .reports_refused = s->reports_refused,
        .consumers = s->consumers,
        .tx_full = snapshot.port.tx_full,
        .mbuf_shortage = snapshot.port.mbuf_shortage,
    };
#define VALUE_(name) *values++ = counters.name;
    CFC_ENGINE_COUNTERS(VALUE_)
#undef VALUE_
}

void
cfc_engine_question_init(struct cfc_engine_question *q)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&q->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&q->answered, &attributes);
    pthread_condattr_destroy(&attributes);
}

void
cfc_engine_answer(struct cfc_engine *engine, struct cfc_lane *lane)
{
    struct cfc_engine_question *q = &engine->question;
    uint32_t own = lane->number + 1;

    if (atomic_load_explicit(&q->at, memory_order_relaxed) != own) {
        return;
    }
    pthread_mutex_lock(&q->mutex);
    if (atomic_load(&q->at) == own) {
        if (lane->number == 0) {
            q->code = cfc_sender_view_scope(lane->sender, q->scope_id, &q->view);
        } else {
            cfc_sender_share_view(lane->sender, &q->view);
        }
        if (q->code == CONFCAST_OK && own < engine->lane_count) {
            atomic_store(&q->at, own + 1);
            cfc_crew_wake(engine->crew, own);
        } else {
            atomic_store(&q->at, 0);
            q->is_answered = true;
            pthread_cond_signal(&q->answered);
        }
    }
    pthread_mutex_unlock(&q->mutex);
}

int
cfc_engine_ask_scope(struct cfc_engine *engine, uint64_t scope_id, struct cfc_scope_view *out)
{
    struct cfc_engine_question *q = &engine->question;
    struct timespec end;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 1;
    pthread_mutex_lock(&q->mutex);
    if (q->is_taken) {
        pthread_mutex_unlock(&q->mutex);
        return CONFCAST_ERR_BUSY;
    }
    q->is_taken = true;
    q->is_answered = false;
    q->scope_id = scope_id;
    atomic_store(&q->at, 1);
    while (!q->is_answered && rc == 0) {
        rc = pthread_cond_timedwait(&q->answered, &q->mutex, &end);
    }
    rc = q->is_answered ? q->code : CONFCAST_ERR_TIMEOUT;
    if (rc == CONFCAST_OK) {
        *out = q->view;
    }
    atomic_store(&q->at, 0);
    q->is_taken = false;
    pthread_mutex_unlock(&q->mutex);
    return rc;
}
