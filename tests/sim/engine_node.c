#include "tests/sim/engine_node.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "tests/sim/sim.h"

enum {
    SPINS_MAX = 10000
};

void
sim_engine_init(struct sim_engine *engine, struct sim *sim)
{
    struct cfc_prng g = {.state = sim->options.seed ^ 0xe};

    memset(engine, 0, sizeof(*engine));
    engine->sim = sim;
    engine->timer_ns = CFC_NEVER;
    for (size_t i = 0; i < CFC_KEY_SIZE; i += 8) {
        cfc_put_u64(engine->fleet_key.bytes + i, cfc_prng_next(&g));
    }
}

void
sim_engine_close(struct sim_engine *engine)
{
    sim_engine_kill(engine);
}

void
sim_engine_kill(struct sim_engine *engine)
{
    sim_world_trace(&engine->sim->world, "engine-kill", 0, engine->boot_count, 0);
    if (engine->sender != NULL) {
        sim_check_engine_stats(engine->sim, cfc_sender_stats(engine->sender));
    }
    cfc_sender_free(engine->sender);
    engine->sender = NULL;
    engine->timer_ns = CFC_NEVER;
    if (engine->memory.byte_count != 0) {
        sim_check_fail(engine->sim, 0, "a sender kept %llu bytes after free",
                       (unsigned long long)engine->memory.byte_count);
    }
}

void
sim_engine_start(struct sim_engine *engine)
{
    struct sim *sim = engine->sim;
    struct cfc_prng g = {.state = sim->options.seed + 0x1000 * ++engine->boot_count};
    struct cfc_sender_config config;
    int rc;

    assert(engine->sender == NULL);
    cfc_sender_config_defaults(&config);
    config.boot_id = cfc_prng_next(&g);
    config.fleet_key = engine->fleet_key;
    for (size_t i = 0; i < CFC_KEY_SIZE; i += 8) {
        cfc_put_u64(config.cookie_key.bytes + i, cfc_prng_next(&g));
    }
    config.alloc = sim_counter_alloc(&engine->memory);
    config.seed = cfc_prng_next(&g);
    config.unicast = cfc_address_ipv4(0x0affff01, 7400);
    config.group_count = SIM_GROUP_COUNT;
    config.consumers_max = sim->consumer_count + 16;
    config.scopes_max = 16;
    config.contents_max = 64;
    if (sim->options.rate_bytes > 0) {
        config.rate_bytes = sim->options.rate_bytes;
    }
    config.rate_floor_bytes = sim->options.rate_floor_bytes;
    rc = cfc_sender_new(&config, &engine->sender);
    assert(rc == CONFCAST_OK);
    sim_world_trace(&sim->world, "engine-boot", 0, config.boot_id, 0);
    sim_check_engine_boot(sim);
    sim_control_engine_started(sim);
    sim_engine_pump(engine);
}

static void
send_frames(struct sim_engine *engine)
{
    struct sim *sim = engine->sim;
    struct cfc_now now = sim_world_now(&sim->world);
    uint8_t header[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_tx tx;
    int rc;

    while ((rc = cfc_sender_poll_frame(engine->sender, &now, header, sizeof(header), &tx)) ==
           CONFCAST_OK) {
        struct sim_packet *packet =
            sim_packet_join(header, tx.header_size, tx.payload, tx.payload_size);

        engine->frame_count++;
        engine->kind_frames[tx.kind]++;
        engine->kind_bytes[tx.kind] += packet->size + SIM_ETHERNET_SIZE;
        if (tx.payload != NULL) {
            cfc_sender_payload_done(engine->sender, tx.slot, 1);
        }
        sim_world_trace(&sim->world, "tx", tx.is_multicast ? tx.group : 100, packet->digest,
                        packet->size);
        sim_check_engine_sends(sim, packet);
        if (tx.is_multicast) {
            sim_net_multicast(&sim->net, tx.group == SIM_GROUP_COUNT ? SIM_CONTROL_GROUP : tx.group,
                              packet);
        } else {
            sim_net_unicast(&sim->net, &tx.to, packet);
        }
        sim_packet_unref(packet);
    }
    if (rc != CONFCAST_ERR_AGAIN) {
        sim_check_fail(sim, 0, "the sender's poll_frame returned %d", rc);
    }
}

static void
hand_up(struct sim_engine *engine)
{
    struct cfc_upcall upcall;

    while (cfc_sender_poll_upcall(engine->sender, &upcall) == CONFCAST_OK) {
        if (upcall.type == CFC_UPCALL_RELEASED) {
            engine->released++;
        } else {
            sim_control_on_upcall(engine->sim, &upcall);
        }
    }
}

static void
on_timer(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_engine *engine = ctx;

    (void)packet;
    if (arg == engine->timer_ns && engine->sender != NULL) {
        engine->timer_ns = CFC_NEVER;
        sim_engine_pump(engine);
    }
}

static void
arm(struct sim_engine *engine)
{
    struct sim_world *world = &engine->sim->world;
    uint64_t at_ns = cfc_sender_deadline(engine->sender);

    if (at_ns <= world->now_ns) {
        at_ns = world->now_ns + CFC_US; /* a port that was full a moment ago, say */
        engine->spin_count = world->now_ns - engine->spin_ns > CFC_MS ? 0 : engine->spin_count + 1;
        engine->spin_ns = world->now_ns;
        if (engine->spin_count > SPINS_MAX) {
            sim_check_fail(engine->sim, 0, "the sender's deadline stays in the past");
        }
    }
    if (at_ns < engine->timer_ns) {
        engine->timer_ns = at_ns;
        sim_world_at(world, at_ns, on_timer, engine, at_ns, NULL);
    }
}

void
sim_engine_pump(struct sim_engine *engine)
{
    if (engine->sender == NULL) {
        return;
    }
    hand_up(engine);
    send_frames(engine);
    arm(engine);
}

void
sim_engine_on_frame(struct sim_engine *engine, const struct cfc_address *from,
                    const struct sim_packet *packet)
{
    struct sim *sim = engine->sim;
    struct cfc_now now = sim_world_now(&sim->world);
    int rc;

    if (engine->sender == NULL) {
        return;
    }
    rc = cfc_sender_on_frame(engine->sender, packet->bytes, packet->size, from, &now);
    sim_world_trace(&sim->world, "engine-rx", from->ip[15] + 256u * from->ip[14], packet->digest,
                    (uint64_t)(int64_t)rc);
    sim_engine_pump(engine);
}
