/* The sending half of one lcore: its sender, its transmit queue, and the way to everybody it sends
 * to.  An engine has one for each of its lcores; the first one's also belongs to the thread that
 * receives and hears the control plane.
 *
 * One thread owns a lane.  The routes are everybody's, and nobody changes them after start. */
#ifndef CFC_DATAPLANE_LANE_H
#define CFC_DATAPLANE_LANE_H

#include <stdint.h>

#include "dataplane/clock.h"
#include "dataplane/neighbor.h"
#include "dataplane/net_header.h"
#include "dataplane/port.h"
#include "protocol/base/limits.h"
#include "protocol/session/sender.h"

struct cfc_lane_routes {
    struct cfc_net_endpoint own;
    struct cfc_net_template groups[CFC_GROUP_COUNT_MAX + 1];
};

struct cfc_lane {
    uint32_t number; /* 0: the first */
    struct cfc_sender *sender;
    struct cfc_port_tx *tx;
    struct cfc_neighbors *neighbors;
    const struct cfc_lane_routes *routes;
    struct cfc_clock clock;
    struct cfc_now now; /* of this turn */
    uint64_t no_neighbor;
    uint64_t sleeps;
    uint64_t turns;
};

/* Fills the transmit queue from the sender, at most a few bursts.  The number of frames. */
uint32_t cfc_lane_send(struct cfc_lane *lane);

#endif
