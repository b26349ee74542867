/* The story of those whom multicast does not serve. */
#include "confcast/error.h"
#include "tests/sim/stories.h"

enum {
    CHECKOUT = 1,
    SEARCH = 2,
    DARK_STEP = 10,  /* every tenth link goes dark */
    BREAK_PPM = 5000 /* at a frame of some seventy */
};

#define LATE (60 * CFC_S)
#define HALF (8 * CFC_MS) /* of what a megabyte takes */

/* Bytes that consumers of one kind have pulled. */
static uint64_t
pulled(const struct sim *sim, bool is_dark)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        bytes += sim->net.links[i].is_down_cut == is_dark ? sim->consumers[i].puller->bytes : 0;
    }
    return bytes;
}

static uint64_t
count_broken(const struct sim *sim)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        count += sim->consumers[i].puller->broken;
    }
    return count;
}

static const struct sim_content *
content_of(struct sim *sim, uint32_t document)
{
    return sim_catalog_content(&sim->catalog, SIM_NO_DOCUMENT, document);
}

/* Links go dark amid a content, which is then pulled in another coding. */
static void
go_dark(struct sim *sim, uint32_t document)
{
    uint64_t least = 0;

    sim_publish(sim, CHECKOUT, document);
    sim_run(sim, HALF);
    for (uint32_t i = 0; i < sim->consumer_count; i += DARK_STEP) {
        sim->net.links[i].is_down_cut = true;
        least += content_of(sim, document)->whole.coded_size / 2;
    }
    sim_converge(sim, LATE);
    sim_claim(sim, pulled(sim, true) > least, "who gets nothing pulls");
    sim_claim(sim, pulled(sim, false) == 0, "who gets everything does not");
}

/* The engine drops what its head names before anybody has all of it. */
static void
lose_content(struct sim *sim, uint32_t document)
{
    sim_publish(sim, CHECKOUT, document);
    sim_run(sim, HALF);
    sim_control_lose_content(sim_owner(sim), content_of(sim, document));
    sim_converge(sim, LATE);
    sim_claim(sim, sim_pull_count(sim) == sim->consumer_count, "what the engine lost is pulled");
}

void
sim_story_pull(struct sim *sim)
{
    uint64_t broken;

    sim->options.rate_bytes = 62500000;
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        sim_pull_allow(sim, i);
    }
    sim_begin(sim);
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_publish(sim, SEARCH, sim_small(sim));
    sim_converge(sim, LATE);
    sim_claim(sim, pulled(sim, false) == 0, "where multicast works nobody pulls");
    go_dark(sim, sim_huge(sim));
    lose_content(sim, sim_huge(sim));
    /* Links break, the owner is replaced; what came before is not asked for in vain. */
    broken = count_broken(sim);
    sim->pull.break_ppm = BREAK_PPM;
    sim_publish(sim, CHECKOUT, sim_huge(sim));
    sim_run(sim, HALF);
    sim_control_kill(&sim->owners[0]);
    sim_run(sim, CFC_S);
    sim_control_start(&sim->owners[1]);
    sim_converge(sim, LATE);
    sim_claim(sim, count_broken(sim) > broken, "answers broke off");
    sim->pull.break_ppm = 0;
    /* Who is served by multicast again leaves the owner alone. */
    sim_run(sim, 2 * SIM_PULL_STAY_NS);
    sim_claim(sim, sim_pull_count(sim) == (sim->consumer_count + DARK_STEP - 1) / DARK_STEP,
              "only those in the dark go on pulling");
    for (uint32_t i = 0; i < sim->consumer_count; i += DARK_STEP) {
        sim->net.links[i].is_down_cut = false;
    }
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_converge(sim, LATE);
    sim_run(sim, 2 * SIM_PULL_STAY_NS);
    sim_claim(sim, sim_pull_count(sim) == 0, "and none when the light is on");
}
