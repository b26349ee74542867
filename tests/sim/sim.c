#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"

static void
on_down(void *ctx, uint32_t consumer, const struct sim_packet *packet)
{
    struct sim *sim = ctx;

    sim_consumer_on_frame(&sim->consumers[consumer], packet);
}

static void
on_up(void *ctx, const struct cfc_address *from, const struct sim_packet *packet)
{
    struct sim *sim = ctx;

    sim_engine_on_frame(&sim->engine, from, packet);
}

void
sim_open(struct sim *sim, const struct sim_options *options)
{
    struct sim_net_ends ends = {.down = on_down, .up = on_up, .ctx = sim};
    struct cfc_prng g = {.state = options->seed ^ 0x5a};

    memset(sim, 0, sizeof(*sim));
    sim->options = *options;
    sim->consumer_count = options->consumer_count;
    sim_world_init(&sim->world, options->seed);
    sim->world.is_loud = options->is_loud;
    sim_trust_init(&sim->trust, options->seed);
    sim_catalog_init(&sim->catalog, &sim->trust.signers[SIM_KEY_RELEASE]);
    sim_store_init(&sim->store, &sim->world, &sim->catalog);
    for (size_t i = 0; i < CFC_KEY_SIZE; i += 8) {
        cfc_put_u64(sim->report_key.bytes + i, cfc_prng_next(&g));
    }
    sim_engine_init(&sim->engine, sim);
    sim_net_init(&sim->net, &sim->world, &ends, sim->consumer_count);
    sim_check_init(sim);
    for (uint32_t i = 0; i < SIM_OWNER_COUNT; i++) {
        sim_control_init(&sim->owners[i], sim, i);
    }
    sim->consumers = sim_alloc(sim->consumer_count * sizeof(*sim->consumers));
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        sim_consumer_init(&sim->consumers[i], sim, i);
    }
    sim_calm(sim);
}

void
sim_close(struct sim *sim)
{
    sim_world_close(&sim->world);
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        if (sim->consumers[i].memory.peak_count > sim->check.memory_peak) {
            sim->check.memory_peak = sim->consumers[i].memory.peak_count;
        }
        sim_consumer_close(&sim->consumers[i]);
    }
    free(sim->consumers);
    sim_pull_server_close(&sim->pull);
    for (uint32_t i = 0; i < SIM_OWNER_COUNT; i++) {
        sim_control_close(&sim->owners[i]);
    }
    sim_engine_close(&sim->engine);
    sim_net_close(&sim->net);
    sim_check_close(sim);
    sim_store_close(&sim->store);
    sim_catalog_close(&sim->catalog);
}

void
sim_run(struct sim *sim, uint64_t ns)
{
    sim_world_run_until(&sim->world, sim->world.now_ns + ns);
}

uint64_t
sim_unix(const struct sim *sim)
{
    return sim_world_now(&sim->world).unix_ns;
}

static void
start_one(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim *sim = ctx;

    (void)packet;
    if (sim->consumers[arg].receiver == NULL) {
        sim_consumer_start(&sim->consumers[arg]);
    }
}

void
sim_start_consumers(struct sim *sim, uint32_t first, uint32_t end, uint64_t spread_ns)
{
    for (uint32_t i = first; i < end && i < sim->consumer_count; i++) {
        sim->consumers[i].is_enrolled = true;
        sim_world_at(&sim->world,
                     sim->world.now_ns +
                         sim_world_below(&sim->world, SIM_STREAM_CONSUMER, spread_ns + 1),
                     start_one, sim, i, NULL);
    }
}

void
sim_begin(struct sim *sim)
{
    sim_engine_start(&sim->engine);
    sim_control_start(&sim->owners[0]);
    sim_start_consumers(sim, 0, sim->consumer_count, 100 * CFC_MS);
    sim_run(sim, CFC_S);
}

/* -- Documents --------------------------------------------------------------------------------- */

uint32_t
sim_small(struct sim *sim)
{
    return sim_catalog_write(&sim->catalog, SIM_DOCUMENT_GOOD, 12, 0);
}

uint32_t
sim_medium(struct sim *sim)
{
    return sim_catalog_write(&sim->catalog, SIM_DOCUMENT_GOOD, 300, 60);
}

uint32_t
sim_large(struct sim *sim)
{
    return sim_catalog_write(&sim->catalog, SIM_DOCUMENT_GOOD, 1500, 200);
}

uint32_t
sim_revision(struct sim *sim)
{
    uint32_t document = sim_large(sim);

    sim->catalog.documents[document].kept_count = 50;
    return document;
}

uint32_t
sim_huge(struct sim *sim)
{
    return sim_catalog_write(&sim->catalog, SIM_DOCUMENT_GOOD, 2000, 1000);
}

uint32_t
sim_unliked(struct sim *sim)
{
    return sim_catalog_write(&sim->catalog, SIM_DOCUMENT_UNLIKED, 40, 60);
}

uint32_t
sim_broken(struct sim *sim)
{
    return sim_catalog_write(&sim->catalog, SIM_DOCUMENT_BROKEN, 40, 60);
}

/* -- Changes ----------------------------------------------------------------------------------- */

struct sim_control *
sim_owner(struct sim *sim)
{
    return sim->connected;
}

static uint64_t
commit(struct sim *sim, const struct sim_state *next)
{
    int rc;

    if (!sim_is_fine(sim)) {
        return 0;
    }
    if (sim->connected == NULL) {
        sim_check_fail(sim, 0, "the story changes something while nobody owns the shard");
        return 0;
    }
    rc = sim_control_commit(sim->connected, next);
    return rc == CONFCAST_OK ? next->sequence : 0;
}

uint64_t
sim_publish_when(struct sim *sim, uint32_t layer, uint32_t document, const struct sim_when *when)
{
    struct sim_state next = sim->store.state;

    sim_store_publish(&next, layer, document, when, sim_unix(sim));
    return commit(sim, &next);
}

uint64_t
sim_publish(struct sim *sim, uint32_t layer, uint32_t document)
{
    return sim_publish_when(sim, layer, document, NULL);
}

uint64_t
sim_roll(struct sim *sim, uint32_t layer, uint32_t document, uint32_t percent)
{
    struct sim_state next = sim->store.state;

    sim_store_roll(&next, layer, document, percent, NULL, sim_unix(sim));
    return commit(sim, &next);
}

uint64_t
sim_roll_label(struct sim *sim, uint32_t layer, uint32_t document, const char *value)
{
    struct sim_state next = sim->store.state;

    sim_store_roll(&next, layer, document, 0, value, sim_unix(sim));
    return commit(sim, &next);
}

uint64_t
sim_advance(struct sim *sim, uint32_t layer, uint32_t percent)
{
    struct sim_state next = sim->store.state;

    sim_store_advance(&next, layer, percent, sim_unix(sim));
    return commit(sim, &next);
}

uint64_t
sim_abort(struct sim *sim, uint32_t layer)
{
    struct sim_state next = sim->store.state;

    sim_store_abort(&next, layer, sim_unix(sim));
    return commit(sim, &next);
}

uint64_t
sim_rollback(struct sim *sim, uint32_t layer)
{
    struct sim_state next = sim->store.state;

    sim_store_rollback(&next, layer, sim_unix(sim));
    return commit(sim, &next);
}

uint64_t
sim_disable(struct sim *sim, uint32_t layer)
{
    struct sim_state next = sim->store.state;

    sim_store_disable(&next, layer, sim_unix(sim));
    return commit(sim, &next);
}

uint64_t
sim_enable(struct sim *sim, uint32_t layer)
{
    struct sim_state next = sim->store.state;

    sim_store_enable(&next, layer, sim_unix(sim));
    return commit(sim, &next);
}

uint64_t
sim_settle(struct sim *sim, uint32_t layer)
{
    struct sim_state next = sim->store.state;

    sim_store_settle(&next, layer, sim_unix(sim));
    return commit(sim, &next);
}

/* -- Faults ------------------------------------------------------------------------------------ */

void
sim_calm(struct sim *sim)
{
    sim_net_calm(&sim->net);
    if (sim->options.loss_ppm > 0) {
        sim->net.faults.loss_ppm = (uint32_t)sim->options.loss_ppm;
    }
}

void
sim_loss(struct sim *sim, uint32_t loss_ppm)
{
    sim_calm(sim);
    if (sim->options.loss_ppm < 0) {
        sim->net.faults.loss_ppm = loss_ppm;
    }
}

void
sim_storm(struct sim *sim)
{
    sim_loss(sim, 30000);
    sim->net.faults.duplicate_ppm = 20000;
    sim->net.faults.corrupt_ppm = 5000;
    sim->net.faults.is_reordering = true;
    sim->net.faults.late_ppm = 30000;
    sim->net.faults.late_ns = 20 * CFC_MS;
    sim->net.faults.jitter_ns = 2 * CFC_MS;
    sim->net.faults.link_burst = (struct sim_burst){.enter_ppm = 2000, .leave_ppm = 200000};
    sim->net.faults.switch_burst = (struct sim_burst){.enter_ppm = 2000, .leave_ppm = 100000};
}

struct sim_consumer *
sim_any(struct sim *sim)
{
    return &sim->consumers[sim_world_below(&sim->world, SIM_STREAM_STORY, sim->consumer_count)];
}

/* -- Judgement --------------------------------------------------------------------------------- */

static bool
is_there(struct sim *sim, const struct sim_consumer *c, uint32_t scope, bool is_counted)
{
    const struct sim_link *link = &sim->net.links[c->idx];

    if (!c->is_enrolled || (c->scope_mask >> scope & 1) == 0 ||
        (link->is_down_cut && c->puller == NULL)) {
        return true;
    }
    if (link->is_up_cut && c->receiver == NULL) {
        return true;
    }
    return sim_check_is_served(sim, c, scope) &&
           (!is_counted || link->is_up_cut || sim_check_is_known(sim, c, scope));
}

/* The first consumer that is behind; consumer_count when there is none. */
static uint32_t
first_behind(struct sim *sim, uint32_t from, uint32_t *scope, bool is_counted)
{
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        uint32_t idx = (from + i) % sim->consumer_count;

        for (uint32_t s = 0; s < SIM_SCOPE_COUNT; s++) {
            if (!is_there(sim, &sim->consumers[idx], s, is_counted)) {
                *scope = s;
                return idx;
            }
        }
    }
    return sim->consumer_count;
}

static void
tell_behind(struct sim *sim, const struct sim_consumer *c, uint32_t scope, uint64_t bound_ns)
{
    struct sim_expected e = sim_check_expected(sim, c, scope);
    struct cfc_receiver_scope now = {0};
    const struct sim_apply *apply =
        sim->connected != NULL ? &sim->connected->enrolled[c->idx].scopes[scope] : NULL;

    if (c->receiver != NULL) {
        (void)cfc_receiver_scope(c->receiver, c->scope_idx[scope], &now);
    }
    sim_check_fail(sim, 0,
                   "host-%05u is behind in scope %u after %.1f s: it ought to have %llu %s, it is "
                   "%s with %llu %s, serves %llu, and the control plane thinks %llu %s",
                   c->idx, scope, (double)bound_ns / 1e9, (unsigned long long)e.version,
                   cfc_apply_state_name(e.state), c->receiver != NULL ? "up" : "down",
                   (unsigned long long)now.entry.accepted, cfc_apply_state_name(now.entry.state),
                   (unsigned long long)now.entry.serving_version,
                   (unsigned long long)(apply != NULL ? apply->entry.accepted : 0),
                   apply != NULL ? cfc_apply_state_name(apply->entry.state) : "?");
}

static void
converge(struct sim *sim, uint64_t bound_ns, bool is_counted)
{
    uint64_t began_ns = sim->world.now_ns;
    uint32_t behind = 0, scope = 0;

    while (sim_is_fine(sim)) {
        behind = first_behind(sim, behind, &scope, is_counted);
        if (behind == sim->consumer_count) {
            break;
        }
        if (sim->world.now_ns - began_ns >= bound_ns) {
            tell_behind(sim, &sim->consumers[behind], scope, bound_ns);
            return;
        }
        sim_run(sim, 10 * CFC_MS);
    }
    if (sim->world.now_ns - began_ns > sim->converged_ns_max) {
        sim->converged_ns_max = sim->world.now_ns - began_ns;
    }
}

void
sim_converge(struct sim *sim, uint64_t bound_ns)
{
    converge(sim, bound_ns, true);
}

void
sim_converge_served(struct sim *sim, uint64_t bound_ns)
{
    converge(sim, bound_ns, false);
}

void
sim_claim(struct sim *sim, bool holds, const char *what)
{
    if (sim_is_fine(sim) && !holds && !sim->options.skips_claims) {
        sim_check_fail(sim, 0, "the story claims: %s", what);
    }
}

uint32_t
sim_consumer_by_id(const struct sim *sim, const char *id, size_t size)
{
    char text[16];
    unsigned long idx;

    if (size != 10 || memcmp(id, "host-", 5) != 0) {
        return sim->consumer_count;
    }
    memcpy(text, id + 5, 5);
    text[5] = '\0';
    idx = strtoul(text, NULL, 10);
    return idx < sim->consumer_count ? (uint32_t)idx : sim->consumer_count;
}

uint32_t
sim_serving(struct sim *sim, uint32_t scope, uint32_t tenant_document, uint32_t own_document)
{
    const struct sim_content *content =
        sim_catalog_content(&sim->catalog, tenant_document, own_document);
    uint32_t count = 0;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        count += sim->consumers[i].serving[scope] == content;
    }
    return count;
}

uint32_t
sim_followers(const struct sim *sim, uint32_t scope)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        const struct sim_consumer *c = &sim->consumers[i];

        count += c->receiver != NULL && (c->scope_mask >> scope & 1) != 0;
    }
    return count;
}

uint32_t
sim_count_freshness(const struct sim *sim, enum cfc_freshness freshness)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        const struct sim_consumer *c = &sim->consumers[i];
        struct cfc_receiver_scope scope;

        if (c->receiver != NULL &&
            cfc_receiver_scope(c->receiver, c->scope_idx[0], &scope) == CONFCAST_OK) {
            count += scope.freshness == freshness;
        }
    }
    return count;
}
