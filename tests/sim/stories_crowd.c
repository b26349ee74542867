/* Stories of crowds that all do the same. */
#include "confcast/error.h"
#include "tests/sim/stories.h"

enum {
    CHECKOUT = 1,
    /* NACKs of a whole fleet that joins within a second, and of one that asks again: 21 and 6 of 60
     * consumers, 25 and 6 of 1,000, 29 and 6 of 10,000. */
    CROWD_NACKS_MAX = 50,
    ROUNDS_A_MINUTE = 3 /* after 8, 24 and 56 s */
};

#define SOON (5 * CFC_S)

/* A third of the fleet gets no head by multicast. */
static bool
loses_heads(void *ctx, uint32_t consumer, const struct sim_packet *packet, bool is_multicast)
{
    (void)ctx;
    return is_multicast && consumer % 3 == 0 && sim_frame_type(packet) == CFC_FRAME_HEAD;
}

void
sim_story_unpublished(struct sim *sim)
{
    const uint64_t *up = sim->net.stats.up_by_type, *down = sim->net.stats.down_by_type;
    uint64_t nacks;

    sim_loss(sim, 10000);
    sim_begin(sim);
    sim_claim(sim, up[CFC_FRAME_NACK] > 0, "who joins asks for the head");
    sim_claim(sim, up[CFC_FRAME_NACK] <= CROWD_NACKS_MAX,
              "a crowd without a head asks a few times");
    nacks = up[CFC_FRAME_NACK];
    sim_run(sim, 60 * CFC_S);
    sim_claim(sim, up[CFC_FRAME_NACK] > nacks, "and again, in case it is there by now,");
    sim_claim(sim, up[CFC_FRAME_NACK] - nacks <= ROUNDS_A_MINUTE * CROWD_NACKS_MAX,
              "but hardly ever");
    sim_claim(sim, down[CFC_FRAME_GONE] <= up[CFC_FRAME_NACK] * SIM_SCOPE_COUNT,
              "no more is answered than was asked");
    /* The silence delays nothing: FRESH tells those who got no head. */
    sim->net.loses = loses_heads;
    sim_publish(sim, CHECKOUT, sim_medium(sim));
    sim_run(sim, 300 * CFC_MS);
    sim->net.loses = NULL;
    sim_calm(sim);
    sim_converge(sim, SOON);
}
