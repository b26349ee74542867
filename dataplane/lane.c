#include "dataplane/lane.h"

#include <string.h>

#include "confcast/error.h"

enum {
    UNICAST_TTL = 64,
    FRAMES_PER_TURN = 2 * CFC_PORT_BURST,
    GRANT_FRAMES = 4, /* of the largest size, at least */
    LANE_SHARES = 4   /* of the burst: what lanes hold of it while they sit on it is at most one */
};

/* A pacer that lets one frame through every few microseconds would keep a core spinning; letting
 * some gather costs no rate, since the bucket holds more than this. */
#define GATHER_NS (100 * CFC_US)
/* A port that takes nothing (a peer that is away, a link that is down) is not pressed. */
#define PORT_FULL_SLEEP_NS (250 * CFC_US)
#define LINK_DOWN_SLEEP_NS (5 * CFC_MS)

/* What a lane may sit on: a draw, and less than a frame that was left of the one before. */
static uint64_t
hold_max(uint64_t grant_size, size_t frame_size_max)
{
    return grant_size + frame_size_max;
}

uint32_t
cfc_lane_burst(uint32_t burst, uint32_t lane_count, size_t frame_size_max)
{
    uint64_t least = LANE_SHARES * lane_count *
                     hold_max(GRANT_FRAMES * (uint64_t)frame_size_max, frame_size_max);

    return lane_count > 1 && burst < least ? (uint32_t)least : burst;
}

void
cfc_lane_budgets_init(struct cfc_lane_budgets *b, const struct cfc_sender_config *config,
                      uint32_t lane_count, uint64_t now_ns)
{
    const uint64_t rates[CFC_GRANT_COUNT] = {config->rate_bytes, config->repair_rate_bytes};
    uint64_t burst = config->burst_bytes;

    /* What lanes hold was earned and not spent, so it comes off the bucket for the cap to stand. */
    b->grant_size = burst / (LANE_SHARES * lane_count) - config->frame_size_max;
    burst -= lane_count * hold_max(b->grant_size, config->frame_size_max);
    b->reserve = burst / 4;
    for (uint32_t i = 0; i < CFC_GRANT_COUNT; i++) {
        b->is_limited[i] = rates[i] > 0;
        if (b->is_limited[i]) {
            cfc_budget_init(&b->budgets[i], rates[i], burst, now_ns);
        }
    }
}

/* Draws what the sender lacks.  Whether it got something. */
static bool
draw(struct cfc_lane *lane)
{
    struct cfc_lane_budgets *b = lane->budgets;
    bool has_drawn = false;

    for (uint32_t i = 0; i < CFC_GRANT_COUNT; i++) {
        uint64_t reserve = lane->number > 0 && i == CFC_GRANT_MULTICAST ? b->reserve : 0;
        uint64_t ready_ns;

        if (!cfc_sender_lacks(lane->sender, (enum cfc_grant)i)) {
            continue;
        }
        if (cfc_budget_draw(&b->budgets[i], b->grant_size, reserve, lane->now.mono_ns, &ready_ns)) {
            cfc_sender_grant(lane->sender, (enum cfc_grant)i, b->grant_size);
            has_drawn = true;
        } else {
            cfc_sender_expect(lane->sender, (enum cfc_grant)i, ready_ns);
        }
    }
    return has_drawn;
}

void
cfc_lane_publish(struct cfc_lane *lane)
{
    pthread_mutex_lock(&lane->counts_mutex);
    lane->counts.sender = *cfc_sender_stats(lane->sender);
    cfc_sender_view_queues(lane->sender, &lane->counts.queues);
    lane->counts.tx = lane->tx->stats;
    lane->counts.tx_queue = lane->tx->queue_count;
    lane->counts.no_neighbor = lane->no_neighbor;
    lane->counts.sleeps = lane->sleeps;
    lane->counts.turns = lane->turns;
    pthread_mutex_unlock(&lane->counts_mutex);
}

void
cfc_lane_read(struct cfc_lane *lane, struct cfc_lane_counts *out)
{
    pthread_mutex_lock(&lane->counts_mutex);
    *out = lane->counts;
    pthread_mutex_unlock(&lane->counts_mutex);
}

uint64_t
cfc_lane_due_ns(const struct cfc_lane *lane)
{
    uint64_t now_ns = lane->now.mono_ns;
    uint64_t due_ns = cfc_sender_deadline(lane->sender);
    bool is_paced = cfc_sender_is_streaming(lane->sender) || due_ns <= now_ns;
    uint64_t gather_ns = is_paced ? GATHER_NS : 0;

    if (lane->tx->queue_count > 0) {
        gather_ns = atomic_load_explicit(&lane->tx->port->is_link_up, memory_order_relaxed)
                        ? PORT_FULL_SLEEP_NS
                        : LINK_DOWN_SLEEP_NS;
    }
    return due_ns < now_ns + gather_ns ? now_ns + gather_ns : due_ns;
}

/* The header for a frame, or NULL when nobody knows the way to its consumer. */
static const struct cfc_net_template *
find_way(struct cfc_lane *lane, const struct cfc_tx *tx, struct cfc_net_template *unicast)
{
    struct cfc_net_endpoint to = {.port = tx->to.port};
    const uint8_t *mac;

    if (tx->is_multicast) {
        return &lane->routes->groups[tx->group];
    }
    memcpy(to.ip, tx->to.ip, sizeof(to.ip));
    mac = cfc_neighbors_find(lane->neighbors, to.ip);
    if (mac == NULL) {
        lane->no_neighbor++;
        return NULL;
    }
    memcpy(to.mac, mac, sizeof(to.mac));
    cfc_net_template_init(unicast, &lane->routes->own, &to, UNICAST_TTL);
    return unicast;
}

uint32_t
cfc_lane_send(struct cfc_lane *lane)
{
    struct cfc_net_template unicast;
    const struct cfc_net_template *way;
    struct cfc_port_tx *port = lane->tx;
    struct cfc_sender *sender = lane->sender;
    const size_t size_max = port->datagram_max;
    uint32_t count = 0;
    struct cfc_tx tx;
    uint8_t *room;

    while (count < FRAMES_PER_TURN) {
        int rc = cfc_port_tx_begin(port, &room);

        if (rc == CONFCAST_ERR_BUSY && cfc_port_tx_flush(port) > 0) {
            continue;
        }
        if (rc != CONFCAST_OK) {
            break;
        }
        if (cfc_sender_poll_frame(sender, &lane->now, room, size_max, &tx) != CONFCAST_OK) {
            if (lane->budgets != NULL && draw(lane)) {
                continue;
            }
            break;
        }
        count++;
        way = find_way(lane, &tx, &unicast);
        if (way != NULL) {
            cfc_port_tx_commit(port, way, tx.header_size, tx.payload, tx.payload_size, tx.slot);
        } else if (tx.payload != NULL) {
            cfc_sender_payload_done(sender, tx.slot, 1);
        }
    }
    cfc_port_tx_flush(port);
    return count;
}
