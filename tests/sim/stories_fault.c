/* Stories of faults: lost frames, lost processes, lost power. */
#include "confcast/error.h"
#include "tests/sim/stories.h"

enum {
    CHECKOUT = 1,
    SEARCH = 2,
    SYMBOL_BLOCK_OFFSET = 20 /* docs/wire-format.md */
};

#define SOON (5 * CFC_S)
#define LATE (30 * CFC_S)

/* A third of the fleet gets no head by multicast. */
static bool
loses_heads(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast)
{
    (void)ctx;
    return is_multicast && consumer % 3 == 0 && sim_frame_type(packet) == CFC_FRAME_HEAD;
}

void
sim_story_lost_heads(struct sim *sim)
{
    uint32_t documents[2] = {sim_medium(sim), sim_small(sim)};

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    for (int i = 0; i < 2; i++) {
        uint64_t before = sim->net.stats.up_by_type[CFC_FRAME_NACK];

        /* Only the first sendings are lost: what is asked for comes. */
        sim->net.loses = loses_heads;
        sim_publish(sim, CHECKOUT, documents[i]);
        sim_run(sim, 300 * CFC_MS);
        sim->net.loses = NULL;
        sim_converge(sim, SOON);
        sim_claim(sim, sim->net.stats.up_by_type[CFC_FRAME_NACK] > before, "heads were asked for");
    }
    /* So many ask at once that one multicast answers them all.  Each round of asking costs a few
     * frames whatever the fleet's size: 65 in all for 60 consumers, 257 for 1,000. */
    sim_claim(sim, sim->net.stats.down_by_type[CFC_FRAME_HEAD] < sim->consumer_count + 50,
              "the answers do not follow the number of those who ask");
}

/* Everybody loses the end of what is sent once. */
static bool
loses_tail(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast)
{
    uint32_t kept = *(const uint32_t *)ctx;

    (void)consumer;
    if (!is_multicast || sim_frame_type(packet) != CFC_FRAME_SYMBOL) {
        return is_multicast && sim_frame_type(packet) == CFC_FRAME_CONTENT && kept == 0;
    }
    return cfc_get_u32(packet->bytes + SYMBOL_BLOCK_OFFSET) >= kept;
}

void
sim_story_tail_loss(struct sim *sim)
{
    uint32_t kept;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    for (kept = 0; kept < 3; kept++) {
        sim->net.loses = loses_tail;
        sim->net.loses_ctx = &kept;
        sim_publish(sim, CHECKOUT, sim_large(sim));
        sim_run(sim, 50 * CFC_MS);
        sim->net.loses = NULL;
        sim_converge(sim, LATE);
    }
}

/* All that is behind one switch loses a burst. */
static bool
loses_burst(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast)
{
    const struct sim *sim = ctx;

    return is_multicast && sim->net.links[consumer].switch_idx == 3 &&
           sim_frame_type(packet) == CFC_FRAME_SYMBOL &&
           cfc_get_u32(packet->bytes + SYMBOL_BLOCK_OFFSET) == 1;
}

void
sim_story_correlated_loss(struct sim *sim)
{
    uint64_t before, repair;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    before = sim->net.stats.unicast_bytes;
    repair = sim->net.stats.multicast_bytes;
    sim->net.loses = loses_burst;
    sim->net.loses_ctx = sim;
    sim_publish(sim, CHECKOUT, sim_large(sim));
    sim_run(sim, 4 * CFC_MS);
    sim->net.loses = NULL;
    sim_converge(sim, LATE);
    sim_claim(sim,
              sim->consumer_count < 100 ||
                  cfc_sender_stats(sim->engine.sender)->repairs_multicast > 0,
              "the repair was multicast");
    sim_claim(sim,
              sim->consumer_count < 100 ||
                  sim->net.stats.unicast_bytes - before <
                      4 * (sim->net.stats.multicast_bytes - repair) + 200 * sim->consumer_count,
              "the repair did not follow the number of hosts");
}

void
sim_story_late_joiner(struct sim *sim)
{
    uint32_t half = sim->consumer_count / 2;
    uint64_t version;

    sim_engine_start(&sim->engine);
    sim_control_start(&sim->owners[0]);
    sim_publish(sim, CHECKOUT, sim_large(sim));
    sim_publish(sim, SEARCH, sim_small(sim));
    sim_run(sim, CFC_S);

    /* Nobody was there when it was sent: one joins, then half of the fleet at once. */
    sim_start_consumers(sim, 0, 1, 0);
    sim_converge(sim, SOON);
    sim_start_consumers(sim, 1, half, 50 * CFC_MS);
    sim_converge(sim, LATE);

    /* The rest joins a network that loses, among them some that multicast never reaches. */
    sim_loss(sim, 20000);
    for (uint32_t i = half; i < sim->consumer_count && i < half + 3; i++) {
        sim->net.links[i].is_multicast_cut = true;
    }
    sim_start_consumers(sim, half, sim->consumer_count, 500 * CFC_MS);
    sim_converge(sim, LATE);
    for (uint32_t i = half; i < sim->consumer_count && i < half + 3; i++) {
        sim->net.links[i].is_multicast_cut = false;
    }
    version = sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
    sim_claim(sim, sim_control_applied(sim_owner(sim), 0, version) == sim_followers(sim, 0),
              "the late ones count, too");
}

void
sim_story_engine_restart(struct sim *sim)
{
    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    for (int i = 0; i < 3; i++) {
        uint64_t version;

        /* In the middle of a transfer, at another place each time. */
        sim_loss(sim, 20000);
        version = sim_publish(sim, CHECKOUT, sim_large(sim));
        sim_run(sim, 200 * CFC_US + 1500 * CFC_US * (uint64_t)i);
        sim_engine_kill(&sim->engine);
        sim_run(sim, 400 * CFC_MS);
        sim_engine_start(&sim->engine);
        sim_converge(sim, LATE);
        sim_claim(sim, sim_control_applied(sim_owner(sim), 0, version) == sim_followers(sim, 0),
                  "the new engine heard of everybody");
    }
}

void
sim_story_engine_down(struct sim *sim)
{
    uint32_t document = sim_medium(sim);

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, document);
    sim_converge(sim, SOON);
    sim_engine_kill(&sim->engine);
    sim_run(sim, 5 * CFC_S);
    sim_claim(sim, sim_count_freshness(sim, CFC_FRESHNESS_STALE) == sim_followers(sim, 0),
              "everybody says STALE");
    for (uint32_t i = 0; i < sim->consumer_count; i += 2) {
        sim_consumer_kill(&sim->consumers[i]);
        sim_consumer_start(&sim->consumers[i]);
    }
    sim_run(sim, 10 * CFC_S);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, document) == sim_followers(sim, 0),
              "everybody serves");
    /* A change that no engine hears of goes out when there is one again. */
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_run(sim, CFC_S);
    sim_engine_start(&sim->engine);
    sim_converge(sim, LATE);
    sim_run(sim, 3 * CFC_S);
    sim_claim(sim, sim_count_freshness(sim, CFC_FRESHNESS_FRESH) == sim_followers(sim, 0),
              "everybody is fresh again");
}

void
sim_story_control_silent(struct sim *sim)
{
    uint32_t document = sim_medium(sim);

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, document);
    sim_converge(sim, SOON);
    sim->net.is_recording = true;
    sim_run(sim, 2 * CFC_S);
    sim->net.is_recording = false;
    sim_control_kill(sim_owner(sim));
    sim_run(sim, 3 * SIM_FRESH_PERIOD_NS + CFC_S);
    sim_claim(sim, sim_count_freshness(sim, CFC_FRESHNESS_CONTROL_SILENT) == sim_followers(sim, 0),
              "within three periods everybody says that the control plane is silent");
    /* Whoever plays its beacons back does not make it speak. */
    for (uint32_t i = 0; i < sim->net.record_count; i++) {
        if (sim_frame_type(sim->net.records[i].packet) == CFC_FRAME_FRESH) {
            sim_net_inject_all(&sim->net, sim->net.records[i].packet);
        }
    }
    sim_run(sim, 10 * CFC_S);
    sim_claim(sim, sim_count_freshness(sim, CFC_FRESHNESS_FRESH) == 0, "nobody takes it for fresh");
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, document) == sim_followers(sim, 0),
              "everybody serves");
    /* The engine answers joiners without it, as it always does. */
    sim_consumer_kill(&sim->consumers[0]);
    sim_consumer_start(&sim->consumers[0]);
    sim_control_start(&sim->owners[1]);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
    sim_claim(sim, sim_count_freshness(sim, CFC_FRESHNESS_FRESH) == sim_followers(sim, 0),
              "everybody is fresh again");
}

void
sim_story_partition(struct sim *sim)
{
    uint32_t third = sim->consumer_count / 3, tenth = sim->consumer_count / 10;
    uint64_t version;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    for (uint32_t i = 0; i < third; i++) {
        sim->net.links[i].is_down_cut = true;
        sim->net.links[i].is_up_cut = true;
    }
    /* Some hear, and are not heard. */
    for (uint32_t i = third; i < third + tenth; i++) {
        sim->net.links[i].is_up_cut = true;
    }
    version = sim_publish(sim, CHECKOUT, sim_large(sim));
    sim_converge(sim, SOON);
    sim_claim(sim,
              sim_control_applied(sim_owner(sim), 0, version) ==
                  sim_followers(sim, 0) - third - tenth,
              "who cannot be heard counts for nothing");
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_publish(sim, SEARCH, sim_medium(sim));
    sim_converge(sim, SOON);
    sim_run(sim, 4 * CFC_S);
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        sim->net.links[i].is_down_cut = false;
        sim->net.links[i].is_up_cut = false;
    }
    sim_loss(sim, 20000);
    sim_converge(sim, 60 * CFC_S);
}

void
sim_story_restarts(struct sim *sim)
{
    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_publish(sim, SEARCH, sim_small(sim));
    sim_converge(sim, SOON);
    sim_storm(sim);
    sim->kill_ppm = 100000;
    for (int i = 0; i < 6; i++) {
        switch (i) {
        case 2:
            sim_rollback(sim, CHECKOUT);
            break;
        case 4:
            sim_roll(sim, CHECKOUT, sim_medium(sim), 50);
            break;
        default:
            sim_publish(sim, CHECKOUT, i % 2 == 0 ? sim_small(sim) : sim_medium(sim));
            break;
        }
        sim_run(sim, 150 * CFC_MS);
    }
    sim->kill_ppm = 0;
    sim_calm(sim);
    sim_converge(sim, LATE);
}

void
sim_story_power_loss(struct sim *sim)
{
    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, SOON);
    sim_loss(sim, 20000);
    for (int round = 0; round < 8 && sim_is_fine(sim); round++) {
        sim_publish(sim, CHECKOUT, round % 2 == 0 ? sim_medium(sim) : sim_small(sim));
        sim_run(sim, sim_world_below(&sim->world, SIM_STREAM_STORY, 60 * CFC_MS));
        for (uint32_t i = 0; i < sim->consumer_count / 8; i++) {
            struct sim_consumer *c = sim_any(sim);

            sim_consumer_cut_power(c);
            sim_consumer_start(c);
        }
    }
    sim_converge(sim, LATE);
}

/* Nothing of any content comes through. */
static bool
loses_contents(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast)
{
    uint8_t type = sim_frame_type(packet);

    (void)ctx;
    (void)consumer;
    (void)is_multicast;
    return type == CFC_FRAME_CONTENT || type == CFC_FRAME_PAGE || type == CFC_FRAME_SYMBOL;
}

void
sim_story_cold_cache(struct sim *sim)
{
    uint32_t served = sim_medium(sim);

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, served);
    sim_publish(sim, SEARCH, sim_small(sim));
    sim_converge(sim, SOON);
    /* Its head comes to all of them, its content to nobody. */
    sim->net.loses = loses_contents;
    sim_publish(sim, CHECKOUT, sim_large(sim));
    sim_run(sim, 20 * CFC_MS);
    sim_engine_kill(&sim->engine);
    sim_control_kill(sim_owner(sim));
    sim->net.loses = NULL;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < sim->consumer_count; i++) {
            sim_consumer_kill(&sim->consumers[i]);
        }
        sim_run(sim, CFC_S);
        sim_start_consumers(sim, 0, sim->consumer_count, 10 * CFC_MS);
        sim_run(sim, CFC_S);
        sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, served) == sim->consumer_count,
                  "everybody serves its last good content from its cache");
    }
    sim_engine_start(&sim->engine);
    sim_control_start(&sim->owners[1]);
    sim_converge(sim, LATE);
}
