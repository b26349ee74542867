/* The story of deltas: what is sent to all is what changed, and who cannot use that gets the whole.
 */
#include "confcast/error.h"
#include "tests/sim/stories.h"

enum {
    CHECKOUT = 1, /* the own layer of scope 0, which everybody follows */
    REVISIONS = 3,
    SHARE = 20 /* one in so many cannot use a delta; nine of ten can */
};

#define SOON (5 * CFC_S)
#define LATE (30 * CFC_S)

static uint64_t
symbols_sent(const struct sim *sim)
{
    return sim->net.stats.down_by_type[CFC_FRAME_SYMBOL];
}

static uint64_t
whole_symbols(struct sim *sim, uint32_t document)
{
    const struct sim_content *content =
        sim_catalog_content(&sim->catalog, SIM_NO_DOCUMENT, document);

    return (content->whole.coded_size + CFC_SYMBOL_SIZE_DEFAULT - 1) / CFC_SYMBOL_SIZE_DEFAULT;
}

/* Publishes a revision that everybody gets as a delta, and gives the symbols that it took. */
static uint64_t
revise(struct sim *sim, uint32_t document, uint64_t bound_ns)
{
    uint64_t before = symbols_sent(sim);
    uint64_t deltas = sim_owner(sim)->deltas;

    sim_publish(sim, CHECKOUT, document);
    sim_claim(sim, sim_owner(sim)->deltas == deltas + 1, "a delta goes to all");
    sim_converge(sim, bound_ns);
    return symbols_sent(sim) - before;
}

static void
claim_change(struct sim *sim, uint64_t symbols, uint32_t document, const char *what)
{
    if (sim->options.loss_ppm <= 0) {
        sim_claim(sim, symbols * 4 < whole_symbols(sim, document), what);
    }
}

/* Some miss a revision, and those after it. */
static void
miss_some(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->consumer_count; i += SHARE) {
        sim->net.links[i].is_down_cut = true;
    }
    revise(sim, sim_revision(sim), LATE);
    for (uint32_t i = 0; i < sim->consumer_count; i += SHARE) {
        sim->net.links[i].is_down_cut = false;
    }
    revise(sim, sim_revision(sim), LATE);
}

/* Some hold what they should, but its bytes are damaged. */
static void
damage_some(struct sim *sim)
{
    uint64_t before =
        sim_check_errors(sim, CONFCAST_ERR_DIGEST) + sim_check_errors(sim, CONFCAST_ERR_ZSTD);

    for (uint32_t i = 1; i < sim->consumer_count; i += SHARE) {
        sim->consumers[i].damaged = sim->consumers[i].serving[0];
    }
    revise(sim, sim_revision(sim), LATE);
    sim_claim(sim,
              sim_check_errors(sim, CONFCAST_ERR_DIGEST) +
                      sim_check_errors(sim, CONFCAST_ERR_ZSTD) >
                  before,
              "what is damaged was found out");
}

/* Some die and come back, with what they served on disk, after the delta has passed. */
static void
kill_some(struct sim *sim)
{
    uint32_t document = sim_revision(sim);
    uint64_t before = symbols_sent(sim);

    for (uint32_t i = 2; i < sim->consumer_count; i += SHARE) {
        sim_consumer_kill(&sim->consumers[i]);
    }
    sim_publish(sim, CHECKOUT, document);
    sim_run(sim, CFC_S);
    for (uint32_t i = 2; i < sim->consumer_count; i += SHARE) {
        sim_consumer_start(&sim->consumers[i]);
    }
    sim_converge(sim, LATE);
    claim_change(sim, (symbols_sent(sim) - before) / (1 + sim->consumer_count / SHARE), document,
                 "who comes back late takes the delta");
}

void
sim_story_deltas(struct sim *sim)
{
    uint32_t document = sim_revision(sim);
    uint64_t before;

    sim->has_deltas = true;
    sim_begin(sim);
    before = symbols_sent(sim);
    sim_publish(sim, CHECKOUT, document);
    sim_converge(sim, SOON);
    sim_claim(sim, symbols_sent(sim) - before >= whole_symbols(sim, document),
              "who holds nothing gets the whole");

    document = sim_revision(sim);
    claim_change(sim, revise(sim, document, SOON), document, "a revision costs what changed");
    kill_some(sim);
    damage_some(sim);

    sim_loss(sim, 20000);
    miss_some(sim);
    damage_some(sim);
    sim_storm(sim);
    sim->kill_ppm = 20000;
    for (int i = 0; i < REVISIONS; i++) {
        sim_publish(sim, CHECKOUT, sim_revision(sim));
        sim_run(sim, 300 * CFC_MS);
    }
    sim->kill_ppm = 0;
    sim_calm(sim);
    sim_converge(sim, LATE);

    /* Neither a new engine nor a new owner forgets how. */
    sim_engine_kill(&sim->engine);
    sim_engine_start(&sim->engine);
    sim_converge(sim, LATE);
    sim_run(sim, CFC_S);
    document = sim_revision(sim);
    claim_change(sim, revise(sim, document, LATE), document, "nor after the engine's restart");
    sim_control_kill(sim_owner(sim));
    sim_control_start(&sim->owners[1]);
    sim_converge(sim, LATE);
    document = sim_revision(sim);
    claim_change(sim, revise(sim, document, LATE), document, "nor after a takeover");
    sim_rollback(sim, CHECKOUT);
    sim_converge(sim, LATE);
}
