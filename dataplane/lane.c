#include "dataplane/lane.h"

#include <string.h>

#include "confcast/error.h"

enum {
    UNICAST_TTL = 64,
    FRAMES_PER_TURN = 2 * CFC_PORT_BURST
};

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
        if (rc != CONFCAST_OK ||
            cfc_sender_poll_frame(sender, &lane->now, room, size_max, &tx) != CONFCAST_OK) {
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
