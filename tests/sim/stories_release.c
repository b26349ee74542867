/* Stories of releases: what operators do on a good day, and on a bad one. */
#include "confcast/error.h"
#include "tests/sim/stories.h"

enum {
    TENANT = SIM_LAYER_TENANT,
    CHECKOUT = 1, /* the own layer of scope 0, which everybody follows */
    SEARCH = 2    /* ... of scope 1, which every second one follows */
};

#define SOON (5 * CFC_S)
#define LATE (30 * CFC_S)

static uint64_t
symbols_sent(const struct sim *sim)
{
    return sim->net.stats.down_by_type[CFC_FRAME_SYMBOL];
}

static uint64_t
symbols_of(struct sim *sim, uint32_t tenant_document, uint32_t own_document)
{
    const struct sim_content *content =
        sim_catalog_content(&sim->catalog, tenant_document, own_document);

    return (content->whole.coded_size + CFC_SYMBOL_SIZE_DEFAULT - 1) / CFC_SYMBOL_SIZE_DEFAULT;
}

/* Everybody serves these two documents, and the control plane knows. */
static void
expect_all(struct sim *sim, uint32_t tenant_document, uint32_t own_document, uint64_t version)
{
    sim_claim(sim, sim_serving(sim, 0, tenant_document, own_document) == sim_followers(sim, 0),
              "everybody serves the content");
    sim_claim(sim, sim_control_applied(sim_owner(sim), 0, version) == sim_followers(sim, 0),
              "everybody is counted as applied");
}

void
sim_story_publish(struct sim *sim)
{
    uint32_t tenant = sim_small(sim), medium = sim_medium(sim), large = sim_large(sim);
    uint32_t documents[3];
    uint64_t before, version;

    sim_begin(sim);
    sim_publish(sim, TENANT, tenant);
    sim_publish(sim, SEARCH, sim_small(sim));
    sim_converge(sim, SOON);

    before = symbols_sent(sim);
    version = sim_publish(sim, CHECKOUT, medium);
    sim_converge(sim, SOON);
    expect_all(sim, tenant, medium, version);
    if (sim->options.loss_ppm <= 0) {
        sim_claim(sim, symbols_sent(sim) - before == symbols_of(sim, tenant, medium),
                  "each symbol was sent once, whatever the size of the fleet");
    }

    sim_storm(sim);
    version = sim_publish(sim, CHECKOUT, large);
    sim_run(sim, 2 * CFC_S);
    sim_calm(sim);
    sim_converge(sim, LATE);
    expect_all(sim, tenant, large, version);

    /* One after the other before anybody can be done with the last. */
    sim_storm(sim);
    for (int i = 0; i < 3; i++) {
        documents[i] = sim_medium(sim);
        version = sim_publish(sim, CHECKOUT, documents[i]);
        sim_run(sim, 3 * CFC_MS);
    }
    sim_calm(sim);
    sim_converge(sim, LATE);
    expect_all(sim, tenant, documents[2], version);
}

void
sim_story_rollback(struct sim *sim)
{
    uint32_t first = sim_medium(sim), second = sim_medium(sim);
    uint64_t before, heads, version;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, first);
    sim_converge(sim, SOON);
    sim_publish(sim, CHECKOUT, second);
    sim_converge(sim, SOON);
    sim_run(sim, CFC_S);

    before = symbols_sent(sim);
    heads = sim->net.stats.down_by_type[CFC_FRAME_HEAD];
    version = sim_rollback(sim, CHECKOUT);
    sim_converge(sim, SOON);
    expect_all(sim, SIM_NO_DOCUMENT, first, version);
    if (sim->options.loss_ppm <= 0) {
        sim_claim(sim, symbols_sent(sim) == before, "a rollback sends no payload");
        sim_claim(sim, sim->net.stats.down_by_type[CFC_FRAME_HEAD] - heads <= 4,
                  "a rollback is one head and its three repeats");
    }

    sim_storm(sim);
    for (int i = 0; i < 4; i++) {
        version = sim_rollback(sim, CHECKOUT);
        sim_run(sim, 100 * CFC_MS);
    }
    sim_calm(sim);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, first, version);
}

void
sim_story_stages(struct sim *sim)
{
    static const uint32_t percents[] = {1, 5, 25, 60};
    uint32_t stable = sim_medium(sim), candidate = sim_medium(sim);
    const struct sim_content *content;
    uint32_t served_before = 0;
    uint64_t before, version;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, stable);
    sim_converge(sim, SOON);
    content = sim_catalog_content(&sim->catalog, SIM_NO_DOCUMENT, candidate);
    for (uint32_t i = 0; i < 4 && sim_is_fine(sim); i++) {
        uint32_t served, expected = sim->consumer_count * percents[i] / 100;
        bool was_in[64] = {false};

        for (uint32_t c = 0; c < 64 && c < sim->consumer_count; c++) {
            was_in[c] = sim->consumers[c].serving[0] == content;
        }
        before = symbols_sent(sim);
        sim_loss(sim, 20000);
        version = i == 0 ? sim_roll(sim, CHECKOUT, candidate, percents[i])
                         : sim_advance(sim, CHECKOUT, percents[i]);
        sim_converge(sim, LATE);
        served = sim_serving(sim, 0, SIM_NO_DOCUMENT, candidate);
        sim_claim(sim,
                  served >= served_before && served <= 2 * expected + 10 &&
                      2 * served + 10 >= expected,
                  "a stage means about its share of the fleet");
        for (uint32_t c = 0; c < 64 && c < sim->consumer_count; c++) {
            sim_claim(sim, !was_in[c] || sim->consumers[c].serving[0] == content,
                      "who was in a stage is in the next one");
        }
        sim_claim(sim, sim_control_applied(sim_owner(sim), 0, version) == sim_followers(sim, 0),
                  "both arms count as applied");
        sim_claim(sim, i == 0 || symbols_sent(sim) == before,
                  "everybody had the candidate before its first stage");
        served_before = served;
        sim_run(sim, 3 * CFC_S); /* the other arm's content comes, too */
    }
    version = sim_advance(sim, CHECKOUT, 100);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, candidate, version);
}

void
sim_story_abort(struct sim *sim)
{
    uint32_t tenant = sim_small(sim), stable = sim_medium(sim), candidate = sim_large(sim);
    uint64_t version;

    sim_begin(sim);
    sim_publish(sim, TENANT, tenant);
    sim_publish(sim, CHECKOUT, stable);
    sim_converge(sim, SOON);

    /* In the middle of the candidate's transfer. */
    sim_storm(sim);
    sim_roll(sim, CHECKOUT, candidate, 25);
    sim_run(sim, 5 * CFC_MS);
    version = sim_abort(sim, CHECKOUT);
    sim_calm(sim);
    sim_converge(sim, LATE);
    expect_all(sim, tenant, stable, version);

    /* After it was served. */
    sim_roll(sim, CHECKOUT, candidate, 25);
    sim_converge(sim, LATE);
    sim_claim(sim, sim_serving(sim, 0, tenant, candidate) > 0, "the candidate was served");
    sim_storm(sim);
    version = sim_abort(sim, CHECKOUT);
    sim_run(sim, CFC_S);
    sim_calm(sim);
    sim_converge(sim, LATE);
    expect_all(sim, tenant, stable, version);

    /* A rollout of the layer above, with a change below in the middle of it. */
    sim_roll(sim, TENANT, sim_medium(sim), 50);
    sim_run(sim, 20 * CFC_MS);
    version = sim_publish(sim, CHECKOUT, stable);
    sim_converge(sim, LATE);
    sim_abort(sim, TENANT);
    sim_converge(sim, LATE);
}

void
sim_story_label_arm(struct sim *sim)
{
    uint32_t stable = sim_medium(sim), candidate = sim_medium(sim);
    uint64_t version;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, stable);
    sim_converge(sim, SOON);
    sim_loss(sim, 20000);
    version = sim_roll_label(sim, CHECKOUT, candidate, "eu-1");
    sim_converge(sim, LATE);
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        const struct sim_content *content =
            sim_catalog_content(&sim->catalog, SIM_NO_DOCUMENT, i % 4 == 0 ? candidate : stable);

        sim_claim(sim, sim->consumers[i].serving[0] == content, "the label decides the arm");
    }
    version = sim_advance(sim, CHECKOUT, 100);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, candidate, version);
}

void
sim_story_hold_activate(struct sim *sim)
{
    struct sim_when hold = {.activation = CFC_ACTIVATE_HOLD};
    uint32_t stable = sim_medium(sim), next = sim_large(sim), skipped = sim_medium(sim);
    uint64_t before, version;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, stable);
    sim_converge(sim, SOON);

    sim_storm(sim);
    sim_publish_when(sim, CHECKOUT, next, &hold);
    sim_run(sim, CFC_S);
    sim_calm(sim);
    sim_converge(sim, LATE);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, stable) == sim_followers(sim, 0),
              "what is held is not served");
    before = symbols_sent(sim);
    version = sim_settle(sim, CHECKOUT);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, next, version);
    sim_claim(sim, symbols_sent(sim) == before, "activation sends no payload");

    /* Held, and given up before it was activated. */
    sim_publish_when(sim, CHECKOUT, skipped, &hold);
    sim_run(sim, 10 * CFC_MS);
    version = sim_rollback(sim, CHECKOUT);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, next, version);
}

void
sim_story_activate_at(struct sim *sim)
{
    uint32_t stable = sim_medium(sim), next = sim_medium(sim);
    struct sim_when when = {.activation = CFC_ACTIVATE_AT};
    uint64_t before_ns, after_ns;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, stable);
    sim_converge(sim, SOON);
    when.activate_unix_ns = sim_unix(sim) + 20 * CFC_S;
    sim_loss(sim, 20000);
    sim_publish_when(sim, CHECKOUT, next, &when);
    sim_converge(sim, 15 * CFC_S);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, stable) == sim_followers(sim, 0),
              "nobody is early");

    /* Nobody is there to say it once more. */
    sim_control_kill(sim_owner(sim));
    sim_engine_kill(&sim->engine);
    before_ns = when.activate_unix_ns - 11 * CFC_MS - sim_unix(sim);
    sim_run(sim, before_ns);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, stable) == sim_followers(sim, 0),
              "nobody is earlier than its clock");
    after_ns = when.activate_unix_ns + 11 * CFC_MS - sim_unix(sim);
    sim_run(sim, after_ns);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, next) == sim_followers(sim, 0),
              "everybody switched at the stated time");

    /* A wall clock that steps back undoes nothing, nor does a restart on it. */
    for (uint32_t i = 0; i < sim->consumer_count; i += 3) {
        sim->consumers[i].clock_off_ns -= (int64_t)(30 * CFC_S);
        if (i % 2 == 0) {
            sim_consumer_kill(&sim->consumers[i]);
            sim_consumer_start(&sim->consumers[i]);
        }
    }
    sim_run(sim, 2 * CFC_S);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, next) == sim_followers(sim, 0),
              "a clock that steps back changes nothing");
}

void
sim_story_confirm_by(struct sim *sim)
{
    uint32_t stable = sim_medium(sim), next = sim_medium(sim), third = sim_medium(sim);
    struct sim_when when = {.activation = CFC_ACTIVATE_NOW};
    uint64_t version;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, stable);
    sim_converge(sim, SOON);

    /* Confirmed in time. */
    when.confirm_by_unix_ns = sim_unix(sim) + 5 * CFC_S;
    version = sim_publish_when(sim, CHECKOUT, next, &when);
    sim_converge(sim, 4 * CFC_S);
    expect_all(sim, SIM_NO_DOCUMENT, next, version);
    version = sim_settle(sim, CHECKOUT);
    sim_run(sim, 6 * CFC_S);
    sim_converge(sim, SOON);
    expect_all(sim, SIM_NO_DOCUMENT, next, version);

    /* Nobody is there to confirm. */
    sim_loss(sim, 20000);
    when.confirm_by_unix_ns = sim_unix(sim) + 10 * CFC_S;
    version = sim_publish_when(sim, CHECKOUT, third, &when);
    sim_converge(sim, 8 * CFC_S);
    sim_control_kill(sim_owner(sim));
    sim_run(sim, when.confirm_by_unix_ns + 20 * CFC_MS - sim_unix(sim));
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, next) == sim_followers(sim, 0),
              "everybody went back by itself");
    for (uint32_t i = 0; i < sim->consumer_count; i += 5) {
        sim->consumers[i].clock_off_ns -= (int64_t)(20 * CFC_S);
        if (i % 2 == 0) {
            sim_consumer_kill(&sim->consumers[i]);
            sim_consumer_start(&sim->consumers[i]);
        }
    }
    sim_run(sim, 2 * CFC_S);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, next) == sim_followers(sim, 0),
              "a clock that steps back does not bring it again");
    for (uint32_t i = 0; i < sim->consumer_count; i += 5) {
        sim->consumers[i].clock_off_ns += (int64_t)(20 * CFC_S);
    }
    sim_control_start(&sim->owners[1]);
    sim_converge(sim, 60 * CFC_S);
    sim_claim(sim, sim_control_applied(sim_owner(sim), 0, version) == 0,
              "what was reverted does not count as applied");
    version = sim_publish(sim, CHECKOUT, stable);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, stable, version);
}

void
sim_story_bad_content(struct sim *sim)
{
    uint32_t good = sim_medium(sim), better = sim_medium(sim);
    struct sim_when when = {.activation = CFC_ACTIVATE_AT};
    uint64_t version;

    sim_begin(sim);
    sim_publish(sim, CHECKOUT, good);
    sim_converge(sim, SOON);
    sim_loss(sim, 20000);
    for (int i = 0; i < 2; i++) {
        version = sim_publish(sim, CHECKOUT, i == 0 ? sim_unliked(sim) : sim_broken(sim));
        sim_converge(sim, LATE);
        sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, good) == sim_followers(sim, 0),
                  "everybody keeps the last good content");
        sim_claim(sim, sim_control_applied(sim_owner(sim), 0, version) == 0,
                  "nobody counts as applied");
    }
    sim_claim(sim, sim_check_errors(sim, CONFCAST_ERR_APP_REJECT) > 0, "validators refused it");
    /* In its place. */
    version = sim_publish(sim, CHECKOUT, better);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, better, version);
    /* What is held is refused, and what would be served until then as well. */
    sim_publish(sim, CHECKOUT, sim_unliked(sim));
    sim_converge(sim, LATE);
    sim_publish_when(sim, CHECKOUT, sim_broken(sim),
                     &(struct sim_when){.activation = CFC_ACTIVATE_HOLD});
    sim_converge(sim, LATE);
    sim_claim(sim, sim_serving(sim, 0, SIM_NO_DOCUMENT, better) == sim_followers(sim, 0),
              "everybody keeps the last good content");
    /* ... and a good one at a stated time, over a fallback that is refused. */
    when.activate_unix_ns = sim_unix(sim) + 4 * CFC_S;
    better = sim_medium(sim);
    version = sim_publish_when(sim, CHECKOUT, better, &when);
    sim_run(sim, 5 * CFC_S);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, better, version);
    /* A candidate that only its cohort sees is refused there only. */
    sim_roll(sim, CHECKOUT, sim_unliked(sim), 30);
    sim_converge(sim, LATE);
    version = sim_abort(sim, CHECKOUT);
    sim_converge(sim, LATE);
    expect_all(sim, SIM_NO_DOCUMENT, better, version);
}

void
sim_story_kill_switch(struct sim *sim)
{
    uint32_t tenant = sim_medium(sim), own = sim_medium(sim);
    uint64_t version;

    sim_begin(sim);
    sim_publish(sim, TENANT, tenant);
    sim_publish(sim, CHECKOUT, own);
    sim_converge(sim, SOON);
    sim_storm(sim);
    version = sim_disable(sim, CHECKOUT);
    sim_run(sim, CFC_S);
    sim_calm(sim);
    sim_converge(sim, LATE);
    expect_all(sim, tenant, SIM_NO_DOCUMENT, version);
    sim_disable(sim, TENANT);
    sim_converge(sim, LATE);
    sim_enable(sim, TENANT);
    version = sim_enable(sim, CHECKOUT);
    sim_converge(sim, LATE);
    expect_all(sim, tenant, own, version);
}
