/* Stories of reported loss: the pace that follows it, and who is told to pull. */
#include "confcast/error.h"
#include "protocol/session/sender_view.h"
#include "protocol/wire/loss.h"
#include "tests/sim/stories.h"

enum {
    CHECKOUT = 1,
    RATE = 4000000,       /* of the engine, bytes a second */
    BOTTLENECK = 1500000, /* what gets through */
    QUEUE = 64000,        /* bytes that wait before it */
    BAD = 0,              /* the consumer that loses much */
    LIAR_STEP = 3,        /* every third claims to lose everything */
    CHANGES = 12,
    LIES = 8,
    LIARS_FLOOR = RATE / 4
};

#define LATE   (60 * CFC_S)
#define LOOK   (50 * CFC_MS)
#define CHANGE (400 * CFC_MS) /* that a megabyte takes at that rate, and some more */

/* A link that all multicast passes, with a queue that overflows. */
struct bottleneck {
    const struct sim *sim;
    uint64_t frame; /* number of the last one, which has a copy for each consumer */
    uint64_t at_ns;
    uint64_t queued; /* bytes */
    bool is_lost;
};

static bool
loses_by_congestion(void *ctx, uint32_t consumer, const struct sim_packet *packet,
                    bool is_multicast)
{
    struct bottleneck *b = ctx;
    uint64_t now_ns = b->sim->world.now_ns;
    uint64_t passed = (now_ns - b->at_ns) * BOTTLENECK / CFC_S;

    (void)consumer;
    if (!is_multicast) {
        return false;
    }
    if (b->frame != b->sim->engine.frame_count) {
        b->frame = b->sim->engine.frame_count;
        b->queued = b->queued > passed ? b->queued - passed : 0;
        b->at_ns = now_ns;
        b->is_lost = b->queued + packet->size > QUEUE;
        b->queued += b->is_lost ? 0 : packet->size;
    }
    return b->is_lost;
}

static struct sim_engine *
engine_of(struct sim *sim)
{
    return &sim->engine;
}

static struct cfc_sender_queues
look(struct sim *sim)
{
    struct cfc_sender_queues queues;

    cfc_sender_view_queues(engine_of(sim)->sender, &queues);
    return queues;
}

static void
begin(struct sim *sim)
{
    sim->options.rate_bytes = RATE;
    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
}

void
sim_story_congestion(struct sim *sim)
{
    struct bottleneck bottleneck = {.sim = sim};
    struct cfc_sender_queues queues;

    begin(sim);
    sim_claim(sim, look(sim).pacing_rate_bytes == RATE,
              "without loss the rate is the configured one");
    sim->net.loses = loses_by_congestion;
    sim->net.loses_ctx = &bottleneck;
    for (int i = 0; i < CHANGES; i++) {
        sim_publish(sim, CHECKOUT, sim_huge(sim));
        sim_converge_served(sim, LATE);
    }
    queues = look(sim);
    sim_world_trace(&sim->world, "pace", queues.pacing_state, queues.pacing_rate_bytes,
                    queues.loss_p90);
    sim_claim(sim, queues.loss_reporters > sim->consumer_count / 2, "losses are reported");
    sim_claim(sim, queues.pacing_slowdowns > 0 && queues.pacing_rate_bytes < RATE * 2 / 3,
              "multicast slows down towards what gets through");
    sim_claim(sim, queues.pacing_rate_bytes >= queues.pacing_floor_bytes,
              "and not below its floor");
    sim->net.loses = NULL;
    sim_converge(sim, LATE);
    sim_run(sim, 40 * CFC_S);
    sim_claim(sim, look(sim).pacing_rate_bytes == RATE, "and it recovers");
    sim_publish(sim, CHECKOUT, sim_huge(sim));
    sim_converge(sim, LATE);
}

/* Three of five on their way to one. */
static bool
loses_of_one(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast)
{
    struct sim *sim = ctx;

    (void)packet;
    return is_multicast && consumer == BAD &&
           cfc_prng_below(&sim->world.streams[SIM_STREAM_STORY], 5) < 3;
}

/* Advice that nobody sealed reaches somebody who should not pull. */
static void
forge_advice(struct sim *sim, uint32_t consumer)
{
    static const struct cfc_key key = {.bytes = {1}};
    uint8_t frame[CFC_ADVICE_SIZE];

    for (uint32_t session = 1; session < 4 * sim->consumer_count + 64; session++) {
        struct cfc_advice advice = {
            .boot_id = 1, .kind = CFC_ADVICE_PULL, .hold_s = 60, .session = session, .seq = 1};
        struct sim_packet *packet;
        size_t size;

        if (cfc_advice_encode(&advice, &key, frame, sizeof(frame), &size) != CONFCAST_OK) {
            continue;
        }
        packet = sim_packet_new(frame, size);
        sim_net_inject(&sim->net, consumer, packet);
        sim_packet_unref(packet);
    }
}

static uint64_t
coded_size(struct sim *sim, uint32_t document)
{
    return sim_catalog_content(&sim->catalog, SIM_NO_DOCUMENT, document)->whole.coded_size;
}

static uint32_t
count_advised(struct sim *sim)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        struct cfc_now now = sim_world_now(&sim->world);

        count += i != BAD && sim->consumers[i].receiver != NULL &&
                 cfc_receiver_is_pull_advised(sim->consumers[i].receiver, &now);
    }
    return count;
}

void
sim_story_one_bad_receiver(struct sim *sim)
{
    struct cfc_sender_queues queues;
    struct cfc_now now;
    uint32_t last;
    bool is_advised;

    begin(sim);
    forge_advice(sim, 1);
    sim->net.loses = loses_of_one;
    sim->net.loses_ctx = sim;
    for (int i = 0; i < CHANGES / 2; i++) {
        sim_publish(sim, CHECKOUT, sim_huge(sim));
        sim_run(sim, CHANGE);
    }
    queues = look(sim);
    now = sim_world_now(&sim->world);
    is_advised = cfc_receiver_is_pull_advised(sim->consumers[BAD].receiver, &now);
    sim_world_trace(&sim->world, "worst", is_advised, queues.loss_worst, queues.loss_p90);
    sim_claim(sim, queues.loss_worst > CFC_LOSS_ONE * 2 / 5,
              "the worst receiver says how much it loses");
    sim_claim(sim, queues.pacing_slowdowns == 0 && queues.pacing_rate_bytes == RATE,
              "one bad receiver slows nobody");
    sim_claim(sim, is_advised && queues.loss_outliers == 1, "it is told to pull");
    sim_claim(sim, count_advised(sim) == 0, "nobody else is");
    sim_pull_allow(sim, BAD);
    last = sim_huge(sim);
    sim_publish(sim, CHECKOUT, last);
    sim_converge(sim, LATE);
    sim_claim(sim, sim->consumers[BAD].puller->bytes > coded_size(sim, last) / 8,
              "it pulls what changed, and has what the others have");
    sim->net.loses = NULL;
    sim_converge(sim, LATE);
    /* Advice ends by itself, and is not renewed for who loses no more. */
    for (int i = 0; i < CHANGES / 2; i++) {
        sim_publish(sim, CHECKOUT, sim_huge(sim));
        sim_run(sim, CHANGE);
    }
    sim_run(sim, 300 * CFC_S);
    now = sim_world_now(&sim->world);
    sim_claim(sim, !cfc_receiver_is_pull_advised(sim->consumers[BAD].receiver, &now),
              "what heals is left alone");
    sim_converge(sim, LATE);
}

/* Whoever reports that nearly all is lost looks like this to the engine, lie or not. */
static bool
loses_of_liars(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast)
{
    struct sim *sim = ctx;

    return is_multicast && consumer % LIAR_STEP == 0 &&
           sim_frame_type(packet) == CFC_FRAME_SYMBOL &&
           cfc_prng_below(&sim->world.streams[SIM_STREAM_STORY], 10) < 9;
}

void
sim_story_liars(struct sim *sim)
{
    uint64_t lowest = RATE, floor_bytes;
    bool is_sending;

    sim->options.rate_floor_bytes = LIARS_FLOOR;
    begin(sim);
    floor_bytes = look(sim).pacing_floor_bytes;
    sim->net.loses = loses_of_liars;
    sim->net.loses_ctx = sim;
    for (int i = 0; i < LIES; i++) {
        sim_publish(sim, CHECKOUT, sim_huge(sim));
        do {
            struct cfc_sender_queues queues = look(sim);

            sim_run(sim, LOOK);
            lowest = queues.pacing_rate_bytes < lowest ? queues.pacing_rate_bytes : lowest;
            is_sending = queues.passes_news + queues.passes_rest > 0;
        } while (is_sending && sim_is_fine(sim));
    }
    sim_world_trace(&sim->world, "lowest", look(sim).pacing_slowdowns, lowest, floor_bytes);
    sim_claim(sim, lowest == floor_bytes,
              "a third of liars slows multicast to its floor, not below");
    sim->net.loses = NULL;
    sim_converge(sim, LATE);
}
