/* Everything at once: a random schedule of changes and faults, then quiet, then judgement. */
#include "confcast/error.h"
#include "tests/sim/stories.h"

enum {
    STEPS = 40,
    LAYERS = 3
};

static uint64_t
below(struct sim *sim, uint64_t bound)
{
    return sim_world_below(&sim->world, SIM_STREAM_STORY, bound);
}

static uint32_t
any_document(struct sim *sim)
{
    switch (below(sim, 8)) {
    case 0:
        return sim_unliked(sim);
    case 1:
        return sim_broken(sim);
    case 2:
    case 3:
        return sim_medium(sim);
    default:
        return sim_small(sim);
    }
}

/* One rolling layer at a time, as the design says. */
static bool
is_rolling(const struct sim *sim)
{
    for (uint32_t l = 0; l < LAYERS; l++) {
        if (sim->store.state.layers[l].state == SIM_LAYER_ROLLING) {
            return true;
        }
    }
    return false;
}

static void
change_something(struct sim *sim)
{
    uint32_t l = (uint32_t)below(sim, LAYERS);
    const struct sim_layer *layer = &sim->store.state.layers[l];
    struct sim_when when = {.activation = (uint8_t)below(sim, 3)};

    if (sim->connected == NULL) {
        return;
    }
    if (layer->state == SIM_LAYER_ROLLING) {
        if (below(sim, 3) == 0) {
            sim_abort(sim, l);
        } else {
            sim_advance(sim, l, below(sim, 2) == 0 ? 100 : 30 + (uint32_t)below(sim, 60));
        }
        return;
    }
    switch (below(sim, 6)) {
    case 0:
        if (layer->previous != SIM_NO_DOCUMENT) {
            sim_rollback(sim, l);
        }
        break;
    case 1:
        if (layer->state == SIM_LAYER_ACTIVE && !is_rolling(sim)) {
            sim_roll(sim, l, any_document(sim), 5 + (uint32_t)below(sim, 50));
        }
        break;
    case 2:
        when.activate_unix_ns =
            when.activation == CFC_ACTIVATE_AT ? sim_unix(sim) + below(sim, 3 * CFC_S) : 0;
        when.confirm_by_unix_ns = below(sim, 2) == 0 ? sim_unix(sim) + below(sim, 4 * CFC_S) : 0;
        sim_publish_when(sim, l, any_document(sim), &when);
        break;
    case 3:
        if (layer->state == SIM_LAYER_DISABLED) {
            sim_enable(sim, l);
        } else if (layer->state == SIM_LAYER_ACTIVE) {
            sim_disable(sim, l);
        }
        break;
    default:
        sim_publish(sim, l, any_document(sim));
        break;
    }
}

static void
break_something(struct sim *sim)
{
    struct sim_consumer *c = sim_any(sim);

    switch (below(sim, 8)) {
    case 0:
        if (sim->engine.sender != NULL) {
            sim_engine_kill(&sim->engine);
        } else {
            sim_engine_start(&sim->engine);
        }
        break;
    case 1: {
        uint32_t next = sim->connected == &sim->owners[0] ? 1 : 0;

        if (sim->connected != NULL) {
            sim_control_kill(sim->connected);
        }
        if (!sim->owners[next].is_alive) {
            sim_control_start(&sim->owners[next]);
        }
        break;
    }
    case 2:
        sim_consumer_cut_power(c);
        sim_start_consumers(sim, c->idx, c->idx + 1, 100 * CFC_MS);
        break;
    case 3:
        sim_consumer_kill(c);
        sim_start_consumers(sim, c->idx, c->idx + 1, 100 * CFC_MS);
        break;
    case 4:
        for (uint32_t i = c->idx; i < sim->consumer_count && i < c->idx + 100; i++) {
            sim->net.links[i].is_down_cut = !sim->net.links[i].is_down_cut;
        }
        break;
    case 5:
        for (uint32_t i = c->idx; i < sim->consumer_count && i < c->idx + 100; i++) {
            sim->net.links[i].is_up_cut = !sim->net.links[i].is_up_cut;
        }
        break;
    case 6:
        c->clock_off_ns += (int64_t)below(sim, 4 * CFC_S) - (int64_t)(2 * CFC_S);
        break;
    default:
        sim->kill_ppm = (uint32_t)below(sim, 20000);
        break;
    }
}

static void
mend_everything(struct sim *sim)
{
    sim_calm(sim);
    sim->kill_ppm = 0;
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        sim->net.links[i].is_down_cut = false;
        sim->net.links[i].is_up_cut = false;
    }
    if (sim->engine.sender == NULL && sim_is_fine(sim)) {
        sim_engine_start(&sim->engine);
    }
    if (sim->connected == NULL && sim_is_fine(sim)) {
        sim_control_start(&sim->owners[0]);
    }
    sim_start_consumers(sim, 0, sim->consumer_count, 100 * CFC_MS);
}

void
sim_story_chaos(struct sim *sim)
{
    sim_begin(sim);
    sim_publish(sim, 0, sim_small(sim));
    sim_publish(sim, 1, sim_medium(sim));
    sim_publish(sim, 2, sim_small(sim));
    sim_converge(sim, 5 * CFC_S);
    sim_storm(sim);
    for (int i = 0; i < STEPS && sim_is_fine(sim); i++) {
        if (below(sim, 3) == 0) {
            break_something(sim);
        } else {
            change_something(sim);
        }
        sim_run(sim, below(sim, 300 * CFC_MS));
    }
    mend_everything(sim);
    sim_run(sim, 5 * CFC_S); /* activation and confirm-by times pass */
    sim_converge(sim, 90 * CFC_S);
    for (uint32_t l = 0; l < LAYERS && sim_is_fine(sim); l++) {
        sim_publish(sim, l, sim_small(sim));
    }
    sim_converge(sim, 60 * CFC_S);
}
