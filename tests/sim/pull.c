#include "tests/sim/pull.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/publish/pull_coding.h"
#include "tests/sim/sim.h"

enum {
    GENERATION = 16 /* in an event's argument, above the transfer's number */
};

#define CHECK_NS (100 * CFC_MS)
#define LOOK_NS  (20 * CFC_MS) /* between an owner's looks for news */
#define DELAY_NS CFC_MS        /* each way */
#define HEARD_NS (3 * CFC_S)   /* FRESH by multicast is expected once a second */

static void drive(struct sim_puller *p);

static uint64_t
now_ns(const struct sim_puller *p)
{
    return p->consumer->sim->world.now_ns;
}

/* -- Frames of a transfer ---------------------------------------------------------------------- */

static void
clear_frames(struct sim_transfer *t)
{
    for (uint32_t i = 0; i < t->frame_count; i++) {
        sim_packet_unref(t->frames[i]);
    }
    free(t->frames);
    t->frames = NULL;
    t->frame_count = 0;
    t->frame_idx = 0;
}

static void
add_frame(struct sim_transfer *t, const uint8_t *bytes, size_t size)
{
    if ((t->frame_count & (t->frame_count - 1)) == 0) {
        size_t capacity = t->frame_count > 0 ? 2 * (size_t)t->frame_count : 1;

        t->frames = sim_realloc(t->frames, capacity * sizeof(t->frames[0]));
    }
    t->frames[t->frame_count++] = sim_packet_new(bytes, size);
}

static void
later(struct sim_puller *p, const struct sim_transfer *t, uint64_t ns, sim_event_fn run)
{
    uint64_t number = (uint64_t)(t - p->transfers);

    sim_world_at(&p->consumer->sim->world, now_ns(p) + ns, run, p,
                 p->generation * GENERATION + number, NULL);
}

/* The transfer of an event, or NULL when its process is no more. */
static struct sim_transfer *
transfer_of(struct sim_puller *p, uint64_t arg)
{
    struct sim_transfer *t = &p->transfers[arg % GENERATION];

    return arg / GENERATION == p->generation && t->is_busy ? t : NULL;
}

/* -- The owner's end --------------------------------------------------------------------------- */

static struct cfc_config_body *
body_of(const struct sim_content *content)
{
    struct cfc_config_body *body = sim_alloc(sizeof(*body) + content->body_size);

    body->id = content->id;
    body->body_size = content->body_size;
    memcpy(body->body, content->body, content->body_size);
    return body;
}

static const struct cfc_pull_coding *
make_coding(struct sim *sim, const struct sim_content *content, const struct sim_content *base)
{
    struct sim_pull_server *server = &sim->pull;
    struct cfc_pull_coding_config config = {.signer = sim->trust.signers[SIM_KEY_RELEASE],
                                            .shard = SIM_SHARD};
    struct cfc_config_body *body, *base_body;
    struct cfc_pull_coding *coding;
    int rc;

    for (uint32_t i = 0; i < server->made_count; i++) {
        if (server->made[i].content == content && server->made[i].base == base) {
            return server->made[i].coding;
        }
    }
    assert(server->made_count < SIM_PULL_CODINGS);
    body = body_of(content);
    base_body = base != NULL ? body_of(base) : NULL;
    rc = cfc_pull_coding_new(&config, sim->catalog.coder, sim->catalog.sha, body, base_body,
                             &coding);
    assert(rc == CONFCAST_OK);
    free(body);
    free(base_body);
    server->made[server->made_count++] =
        (struct sim_pull_made){.content = content, .base = base, .coding = coding};
    return coding;
}

static void
add_content(struct sim *sim, struct sim_transfer *t, const struct sim_content *content)
{
    const struct cfc_pull_coding *coding;
    struct cfc_pull_walk walk = {.stage = 0};
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    const struct sim_content *base = NULL;
    size_t size;

    if (content == NULL || content->is_inline) {
        return;
    }
    for (uint32_t i = 0; i < t->need.have_count; i++) {
        if (cfc_digest_equal(&t->need.have[i], &content->id)) {
            return;
        }
    }
    coding = make_coding(sim, content, NULL);
    if (t->need.have_count > 0) {
        base = sim_catalog_find(&sim->catalog, &t->need.have[0]);
    }
    if (base != NULL && base->kind != SIM_DOCUMENT_BROKEN &&
        make_coding(sim, content, base)->wire_size < coding->wire_size) {
        coding = make_coding(sim, content, base);
    }
    while (cfc_pull_coding_next(coding, &walk, frame, &size) == CONFCAST_OK) {
        add_frame(t, frame, size);
    }
}

/* FRESH; and what is in force, if that is above what the consumer is done with. */
static void
answer_snapshot(struct sim_puller *p, struct sim_transfer *t)
{
    struct sim *sim = p->consumer->sim;
    struct sim_control *owner = sim->connected;
    uint32_t scope = sim_consumer_scope_of(p->consumer, t->job.scope_idx);
    struct sim_decision decision = sim_store_decide(&owner->state, scope, &sim->catalog);
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t size;

    size = sim_control_make_fresh(sim, &sim->trust.signers[SIM_KEY_RELEASE], &owner->state,
                                  owner->beacon_unix_ns, frame, sizeof(frame));
    add_frame(t, frame, size);
    if (decision.version <= t->need.after) {
        return;
    }
    size = sim_control_make_head(owner, &decision, frame, sizeof(frame));
    add_frame(t, frame, size);
    for (uint32_t i = 0; i < decision.arm_count; i++) {
        add_content(sim, t, decision.arms[i].content);
        add_content(sim, t, decision.arms[i].fallback);
    }
}

static bool
has_news(struct sim_puller *p, const struct sim_transfer *t)
{
    struct sim *sim = p->consumer->sim;
    uint32_t scope = sim_consumer_scope_of(p->consumer, t->job.scope_idx);

    return sim_store_decide(&sim->connected->state, scope, &sim->catalog).version > t->need.after;
}

/* -- The consumer's end ------------------------------------------------------------------------ */

static uint64_t
symbol_count(const struct sim_puller *p)
{
    const struct cfc_receiver_stats *stats = cfc_receiver_stats(p->consumer->receiver);

    return stats->symbols + stats->symbols_decoded + stats->contents;
}

static uint64_t
accepted_of(const struct sim_puller *p, uint32_t scope_idx)
{
    struct cfc_receiver_scope scope;

    return cfc_receiver_scope(p->consumer->receiver, scope_idx, &scope) == CONFCAST_OK
               ? scope.entry.accepted
               : 0;
}

static void
finish(struct sim_puller *p, struct sim_transfer *t, bool is_whole)
{
    struct cfc_receiver *receiver = p->consumer->receiver;
    struct cfc_now now = sim_consumer_now(p->consumer);
    struct cfc_pull_outcome outcome = {.status = is_whole ? 200 : 0};
    struct cfc_receiver_need need;

    clear_frames(t);
    t->is_busy = false;
    p->ended += is_whole;
    p->broken += !is_whole;
    cfc_receiver_pull_ended(receiver, is_whole, &now);
    if (t->job.kind == CFC_PULL_SNAPSHOT &&
        cfc_receiver_need(receiver, t->job.scope_idx, &need) == CONFCAST_OK) {
        outcome.is_lacking = need.is_lacking;
        outcome.is_progress =
            accepted_of(p, t->job.scope_idx) != t->accepted || symbol_count(p) != t->symbols;
    }
    if (t->job.kind == CFC_PULL_ACK && is_whole) {
        cfc_receiver_report_taken(receiver, t->report_seq, &now);
    }
    if (cfc_pull_done(&p->machine, &t->job, &outcome, now.mono_ns)) {
        cfc_receiver_report_again(receiver, &now);
    }
    drive(p);
}

/* The next frame of an answer came, or the link broke. */
static void
on_answer(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_puller *p = ctx;
    struct sim_transfer *t = transfer_of(p, arg);
    struct sim *sim = p->consumer->sim;
    struct sim_packet *frame;

    (void)packet;
    if (t == NULL) {
        return;
    }
    if (t->frame_idx == t->frame_count) {
        finish(p, t, true);
        return;
    }
    if (sim_world_chance(&sim->world, SIM_STREAM_DOWN, sim->pull.break_ppm)) {
        finish(p, t, false);
        return;
    }
    frame = t->frames[t->frame_idx++];
    p->bytes += frame->size;
    later(p, t, (uint64_t)frame->size * CFC_S / SIM_PULL_RATE, on_answer);
    sim_consumer_on_pulled(p->consumer, frame);
}

static void
on_failure(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_puller *p = ctx;
    struct sim_transfer *t = transfer_of(p, arg);

    (void)packet;
    if (t != NULL) {
        finish(p, t, false);
    }
}

/* A request is at the owner's. */
static void
on_request(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_puller *p = ctx;
    struct sim_transfer *t = transfer_of(p, arg);
    struct sim *sim = p->consumer->sim;

    (void)packet;
    if (t == NULL) {
        return;
    }
    if (sim->connected == NULL || sim->connected->is_behind) {
        later(p, t, DELAY_NS, on_failure);
        return;
    }
    if (t->job.kind == CFC_PULL_SNAPSHOT && now_ns(p) < t->until_ns && !has_news(p, t)) {
        later(p, t, LOOK_NS, on_request);
        return;
    }
    for (uint32_t i = 0; i < t->frame_count; i++) {
        struct cfc_upcall upcall = {.type = t->job.kind == CFC_PULL_HELLO ? CFC_UPCALL_CONSUMER
                                                                          : CFC_UPCALL_REPORT,
                                    .id = p->consumer->id,
                                    .id_size = p->consumer->id_size,
                                    .frame = t->frames[i]->bytes,
                                    .frame_size = t->frames[i]->size};

        sim_control_on_pulled(sim, &upcall);
    }
    clear_frames(t);
    if (t->job.kind == CFC_PULL_SNAPSHOT) {
        answer_snapshot(p, t);
    }
    later(p, t, DELAY_NS, on_answer);
}

static void
begin(struct sim_puller *p, const struct cfc_pull_job *job)
{
    struct cfc_receiver *receiver = p->consumer->receiver;
    struct cfc_now now = sim_consumer_now(p->consumer);
    struct sim_transfer *t = p->transfers;
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    size_t size;

    while (t->is_busy) {
        t++;
        assert(t < p->transfers + SIM_PULL_TRANSFERS);
    }
    *t = (struct sim_transfer){.is_busy = true, .job = *job};
    t->accepted = accepted_of(p, job->scope_idx);
    t->symbols = symbol_count(p);
    if (job->kind == CFC_PULL_SNAPSHOT) {
        (void)cfc_receiver_need(receiver, job->scope_idx, &t->need);
        t->until_ns = now_ns(p) + job->wait_s * CFC_S;
    } else if (job->kind == CFC_PULL_HELLO) {
        if (cfc_receiver_write_hello(receiver, frame, sizeof(frame), &size) == CONFCAST_OK) {
            add_frame(t, frame, size);
        }
    } else {
        while (cfc_receiver_poll_report(receiver, &now, frame, sizeof(frame), &size,
                                        &t->report_seq) == CONFCAST_OK) {
            add_frame(t, frame, size);
        }
    }
    later(p, t, DELAY_NS, on_request);
}

static void
turn(struct sim_puller *p, bool is_on)
{
    struct cfc_now now = sim_consumer_now(p->consumer);

    p->is_on = is_on;
    sim_world_trace(&p->consumer->sim->world, "pull", p->consumer->idx, is_on, 0);
    if (is_on) {
        cfc_receiver_set_pull(p->consumer->receiver, CFC_PULL_BESIDE, p->machine.config.wait_ns,
                              &now);
        cfc_pull_start(&p->machine, 0, now.mono_ns);
    } else {
        cfc_pull_stop(&p->machine);
        cfc_receiver_set_pull(p->consumer->receiver, CFC_PULL_OFF, 0, &now);
    }
}

/* Whether multicast does: looked at now and then. */
static void
check(struct sim_puller *p)
{
    const struct sim_consumer *c = p->consumer;
    struct cfc_now now = sim_consumer_now(c);
    bool is_held_up = false, is_advised = cfc_receiver_is_pull_advised(c->receiver, &now);

    for (uint32_t i = 0; i < p->machine.scope_count; i++) {
        is_held_up = is_held_up || cfc_receiver_is_held_up(c->receiver, i);
    }
    p->checked_ns = now.mono_ns;
    p->held_up_ns = !is_held_up ? 0 : p->held_up_ns != 0 ? p->held_up_ns : now.mono_ns;
    p->fine_ns = is_held_up || is_advised ? 0 : p->fine_ns != 0 ? p->fine_ns : now.mono_ns;
    if (!p->is_on) {
        if (is_advised || (is_held_up && now.mono_ns - p->held_up_ns >= SIM_PULL_AFTER_NS)) {
            turn(p, true);
        }
    } else if (p->fine_ns != 0 && now.mono_ns - p->fine_ns >= SIM_PULL_STAY_NS &&
               now.mono_ns - p->heard_ns <= HEARD_NS) {
        turn(p, false);
    }
}

static void
on_timer(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_puller *p = ctx;

    (void)packet;
    if (arg == p->timer_ns && p->consumer->receiver != NULL) {
        p->timer_ns = CFC_NEVER;
        drive(p);
        sim_consumer_pump(p->consumer);
    }
}

static void
drive(struct sim_puller *p)
{
    struct cfc_receiver *receiver = p->consumer->receiver;
    struct cfc_pull_job job;
    uint64_t report_ns, due_ns;

    if (now_ns(p) >= p->checked_ns + CHECK_NS) {
        check(p);
    }
    while (cfc_pull_next(&p->machine, cfc_receiver_report_due(receiver) <= now_ns(p), now_ns(p),
                         &job) == CONFCAST_OK) {
        begin(p, &job);
    }
    report_ns = cfc_receiver_report_due(receiver);
    due_ns = cfc_pull_deadline(&p->machine, report_ns);
    due_ns = due_ns < p->checked_ns + CHECK_NS ? due_ns : p->checked_ns + CHECK_NS;
    due_ns = due_ns > now_ns(p) ? due_ns : now_ns(p) + CFC_US;
    if (due_ns < p->timer_ns) {
        p->timer_ns = due_ns;
        sim_world_at(&p->consumer->sim->world, due_ns, on_timer, p, due_ns, NULL);
    }
}

/* -- Life -------------------------------------------------------------------------------------- */

void
sim_pull_pump(struct sim_consumer *c)
{
    if (c->puller != NULL && c->receiver != NULL && c->puller->is_on) {
        drive(c->puller);
    }
}

void
sim_pull_ended(struct sim_consumer *c)
{
    struct sim_puller *p = c->puller;

    if (p == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SIM_PULL_TRANSFERS; i++) {
        clear_frames(&p->transfers[i]);
        p->transfers[i].is_busy = false;
    }
    p->generation++;
    p->timer_ns = CFC_NEVER;
    p->is_on = false;
}

void
sim_pull_started(struct sim_consumer *c)
{
    struct sim_puller *p = c->puller;
    struct cfc_pull_config config = {
        .url_count = 1, .wait_ns = 5 * CFC_S, .retry_ns = 500 * CFC_MS, .retry_max_ns = 60 * CFC_S};
    uint32_t scope_count = 0;

    if (p == NULL) {
        return;
    }
    config.seed = c->sim->options.seed * 31 + c->idx * UINT64_C(7919) + c->incarnation;
    cfc_pull_init(&p->machine, &config);
    for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
        scope_count += c->scope_mask >> s & 1;
    }
    cfc_pull_set_scopes(&p->machine, scope_count, now_ns(p));
    p->timer_ns = CFC_NEVER;
    p->held_up_ns = 0;
    p->fine_ns = 0;
    p->checked_ns = now_ns(p);
    drive(p);
}

void
sim_pull_allow(struct sim *sim, uint32_t consumer)
{
    struct sim_consumer *c = &sim->consumers[consumer];

    assert(c->puller == NULL);
    c->puller = sim_alloc(sizeof(*c->puller));
    c->puller->consumer = c;
    c->puller->timer_ns = CFC_NEVER;
    if (c->receiver != NULL) {
        sim_pull_started(c);
    }
}

void
sim_pull_close(struct sim_puller *puller)
{
    free(puller);
}

void
sim_pull_server_close(struct sim_pull_server *server)
{
    for (uint32_t i = 0; i < server->made_count; i++) {
        cfc_pull_coding_unref(server->made[i].coding);
    }
}

uint32_t
sim_pull_count(const struct sim *sim)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        count += sim->consumers[i].puller != NULL && sim->consumers[i].puller->is_on;
    }
    return count;
}
