#include "tests/sim/net.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESS_BASE 0x0a000001u
#define PORT         7401

enum {
    FRAME_TYPE_OFFSET = 3
};

void
sim_net_init(struct sim_net *net, struct sim_world *world, const struct sim_net_ends *ends,
             uint32_t link_count)
{
    memset(net, 0, sizeof(*net));
    net->world = world;
    net->ends = *ends;
    net->link_count = link_count;
    net->links = sim_alloc(link_count * sizeof(*net->links));
    for (uint32_t i = 0; i < link_count; i++) {
        net->links[i].switch_idx = i % SIM_SWITCH_COUNT;
    }
    sim_net_calm(net);
}

void
sim_net_close(struct sim_net *net)
{
    for (uint32_t i = 0; i < net->record_count; i++) {
        sim_packet_unref(net->records[i].packet);
    }
    free(net->records);
    free(net->links);
}

void
sim_net_calm(struct sim_net *net)
{
    net->faults = (struct sim_net_faults){.delay_ns = 50 * CFC_US, .jitter_ns = 50 * CFC_US};
}

struct cfc_address
sim_net_address(uint32_t consumer)
{
    return cfc_address_ipv4(ADDRESS_BASE + consumer, PORT);
}

static bool
address_consumer(const struct sim_net *net, const struct cfc_address *address, uint32_t *consumer)
{
    uint32_t ip = (uint32_t)address->ip[12] << 24 | (uint32_t)address->ip[13] << 16 |
                  (uint32_t)address->ip[14] << 8 | address->ip[15];
    struct cfc_address again;

    *consumer = ip - ADDRESS_BASE;
    again = sim_net_address(*consumer);
    return *consumer < net->link_count && cfc_address_equal(&again, address);
}

uint8_t
sim_frame_type(const struct sim_packet *packet)
{
    return packet->size > FRAME_TYPE_OFFSET ? packet->bytes[FRAME_TYPE_OFFSET] : 0;
}

static void
arrive_down(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_net *net = ctx;

    net->stats.delivered++;
    net->ends.down(net->ends.ctx, (uint32_t)arg, packet);
}

static void
arrive_up(void *ctx, uint64_t arg, struct sim_packet *packet)
{
    struct sim_net *net = ctx;
    struct cfc_address from = sim_net_address((uint32_t)arg);

    net->stats.delivered++;
    net->ends.up(net->ends.ctx, &from, packet);
}

static bool
step_burst(struct sim_net *net, enum sim_stream stream, const struct sim_burst *burst, bool *is_bad)
{
    if (burst->enter_ppm == 0) {
        *is_bad = false;
        return false;
    }
    if (sim_world_chance(net->world, stream, *is_bad ? burst->leave_ppm : burst->enter_ppm)) {
        *is_bad = !*is_bad;
    }
    return *is_bad;
}

/* When a copy arrives that leaves now; `last_ns`, unless NULL, is the link's last arrival in order.
 */
static uint64_t
arrival(struct sim_net *net, enum sim_stream stream, uint64_t *last_ns)
{
    const struct sim_net_faults *f = &net->faults;
    uint64_t at_ns =
        net->world->now_ns + f->delay_ns + sim_world_below(net->world, stream, f->jitter_ns + 1);

    if (sim_world_chance(net->world, stream, f->late_ppm)) {
        return at_ns + f->late_ns;
    }
    if (last_ns != NULL && !f->is_reordering) {
        at_ns = at_ns > *last_ns ? at_ns : *last_ns;
        *last_ns = at_ns;
    }
    return at_ns;
}

static struct sim_packet *
maybe_corrupt(struct sim_net *net, enum sim_stream stream, struct sim_packet *packet)
{
    struct sim_packet *bad;
    uint8_t bytes[CFC_FRAME_SIZE_MAX];
    uint64_t bit;

    if (!sim_world_chance(net->world, stream, net->faults.corrupt_ppm) || packet->size == 0 ||
        packet->size > sizeof(bytes)) {
        return sim_packet_ref(packet);
    }
    memcpy(bytes, packet->bytes, packet->size);
    bit = sim_world_below(net->world, stream, (uint64_t)packet->size * 8);
    bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    bad = sim_packet_new(bytes, packet->size);
    net->stats.corrupted++;
    return bad;
}

/* One copy on one link, with all that may befall it. */
static void
send_copy(struct sim_net *net, enum sim_stream stream, sim_event_fn arrive, uint32_t node,
          uint64_t *last_ns, struct sim_packet *packet)
{
    const struct sim_net_faults *f = &net->faults;

    if (sim_world_chance(net->world, stream, f->loss_ppm)) {
        net->stats.lost++;
        return;
    }
    sim_world_at(net->world, arrival(net, stream, last_ns), arrive, net, node,
                 maybe_corrupt(net, stream, packet));
    if (sim_world_chance(net->world, stream, f->duplicate_ppm)) {
        net->stats.duplicated++;
        sim_world_at(net->world, arrival(net, stream, last_ns), arrive, net, node,
                     sim_packet_ref(packet));
    }
}

static void
send_down(struct sim_net *net, uint32_t consumer, bool is_multicast, bool is_in_switch_burst,
          struct sim_packet *packet)
{
    struct sim_link *link = &net->links[consumer];
    bool is_bad = step_burst(net, SIM_STREAM_DOWN, &net->faults.link_burst, &link->is_in_burst);

    if (link->is_down_cut || is_in_switch_burst || is_bad ||
        (net->loses != NULL && net->loses(net->loses_ctx, consumer, packet, is_multicast))) {
        net->stats.lost++;
        return;
    }
    send_copy(net, SIM_STREAM_DOWN, arrive_down, consumer, &link->down_ns, packet);
}

static void
record(struct sim_net *net, uint32_t from, struct sim_packet *packet)
{
    if (!net->is_recording || net->record_count == SIM_RECORDS_MAX) {
        return;
    }
    if ((net->record_count & (net->record_count - 1)) == 0) {
        size_t capacity = net->record_count > 0 ? 2 * (size_t)net->record_count : 1;

        net->records = sim_realloc(net->records, capacity * sizeof(*net->records));
    }
    net->records[net->record_count++] = (struct sim_record){
        .packet = sim_packet_ref(packet), .at_ns = net->world->now_ns, .from = from};
}

void
sim_net_multicast(struct sim_net *net, uint32_t group, struct sim_packet *packet)
{
    bool is_bad[SIM_SWITCH_COUNT];

    net->stats.multicast_frames++;
    net->stats.multicast_bytes += packet->size;
    net->stats.down_by_type[sim_frame_type(packet)]++;
    record(net, SIM_FROM_ENGINE, packet);
    for (uint32_t i = 0; i < SIM_SWITCH_COUNT; i++) {
        is_bad[i] = step_burst(net, SIM_STREAM_DOWN, &net->faults.switch_burst,
                               &net->is_switch_in_burst[i]);
    }
    for (uint32_t i = 0; i < net->link_count; i++) {
        if ((net->links[i].groups >> group & 1) != 0 && !net->links[i].is_multicast_cut) {
            send_down(net, i, true, is_bad[net->links[i].switch_idx], packet);
        }
    }
}

void
sim_net_unicast(struct sim_net *net, const struct cfc_address *to, struct sim_packet *packet)
{
    uint32_t consumer;

    net->stats.unicast_frames++;
    net->stats.unicast_bytes += packet->size;
    net->stats.down_by_type[sim_frame_type(packet)]++;
    if (!address_consumer(net, to, &consumer)) {
        net->stats.stray++;
        net->stats.stray_bytes += packet->size;
        return;
    }
    record(net, SIM_FROM_ENGINE, packet);
    send_down(net, consumer, false, net->is_switch_in_burst[net->links[consumer].switch_idx],
              packet);
}

void
sim_net_up(struct sim_net *net, uint32_t from, struct sim_packet *packet)
{
    net->stats.up_frames++;
    net->stats.up_bytes += packet->size;
    net->stats.up_by_type[sim_frame_type(packet)]++;
    record(net, from, packet);
    if (from < net->link_count && net->links[from].is_up_cut) {
        net->stats.lost++;
        return;
    }
    send_copy(net, SIM_STREAM_UP, arrive_up, from,
              from < net->link_count ? &net->links[from].up_ns : NULL, packet);
}

void
sim_net_inject(struct sim_net *net, uint32_t consumer, struct sim_packet *packet)
{
    sim_world_at(net->world, arrival(net, SIM_STREAM_DOWN, NULL), arrive_down, net, consumer,
                 sim_packet_ref(packet));
}

void
sim_net_inject_all(struct sim_net *net, struct sim_packet *packet)
{
    for (uint32_t i = 0; i < net->link_count; i++) {
        sim_net_inject(net, i, packet);
    }
}
