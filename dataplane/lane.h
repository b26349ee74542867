/* The sending half of one lcore: its sender, its transmit queue, and the way to everybody it sends
 * to.  An engine has one for each of its lcores; the first one's also belongs to the thread that
 * receives and hears the control plane.
 *
 * One thread owns a lane.  The routes are everybody's, and nobody changes them after start. */
#ifndef CFC_DATAPLANE_LANE_H
#define CFC_DATAPLANE_LANE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/budget.h"
#include "dataplane/clock.h"
#include "dataplane/neighbor.h"
#include "dataplane/net_header.h"
#include "dataplane/port.h"
#include "protocol/base/limits.h"
#include "protocol/session/sender.h"
#include "protocol/session/sender_share.h"
#include "protocol/session/sender_view.h"

struct cfc_lane_routes {
    struct cfc_net_endpoint own;
    struct cfc_net_template groups[CFC_GROUP_COUNT_MAX + 1];
};

/* What several lanes share their rates by.  The first lane may take all there is, the others leave
 * a reserve, so that what goes before contents never waits for them. */
struct cfc_lane_budgets {
    struct cfc_budget budgets[CFC_GRANT_COUNT];
    bool is_limited[CFC_GRANT_COUNT]; /* by a rate */
    uint64_t grant_size;              /* bytes of one draw */
    uint64_t reserve;                 /* of multicast */
};

/* A lane's counters, for other threads. */
struct cfc_lane_counts {
    struct cfc_sender_stats sender;
    struct cfc_sender_queues queues;
    struct cfc_port_stats tx;
    uint64_t tx_queue; /* frames that wait for the PMD */
    uint64_t no_neighbor;
    uint64_t sleeps;
    uint64_t turns;
};

struct cfc_engine;

/* Aligned, so that no two lcores write to one cache line. */
struct cfc_lane {
    _Alignas(128) uint32_t number; /* 0: the first */
    struct cfc_engine *engine;
    struct cfc_sender *sender;
    struct cfc_port_tx *tx;
    struct cfc_neighbors *neighbors;
    const struct cfc_lane_routes *routes;
    struct cfc_clock clock;
    struct cfc_now now; /* of this turn */
    uint64_t no_neighbor;
    uint64_t sleeps;
    uint64_t turns;
    struct cfc_lane_budgets *budgets; /* NULL: it is the only one */
    _Atomic uint64_t source_count;    /* source symbols sent, for the first lane; with several */
    pthread_mutex_t counts_mutex;     /* guards the next member only */
    struct cfc_lane_counts counts;
};

/* A burst that `lane_count` lanes can share at all, from `burst` upwards, and how; the rates are
 * bytes a second, 0: no limit. */
uint32_t cfc_lane_burst(uint32_t burst, uint32_t lane_count, size_t frame_size_max);
void cfc_lane_budgets_init(struct cfc_lane_budgets *b, const struct cfc_sender_config *config,
                           uint32_t lane_count, uint64_t now_ns);

/* Copies the counters for other threads, and for one of them. */
void cfc_lane_publish(struct cfc_lane *lane);
void cfc_lane_read(struct cfc_lane *lane, struct cfc_lane_counts *out);

/* When there is something to do, as far as sending goes: not before what is worth a wake-up has
 * gathered.  Other reasons are the caller's. */
uint64_t cfc_lane_due_ns(const struct cfc_lane *lane);

/* Fills the transmit queue from the sender, at most a few bursts.  The number of frames. */
uint32_t cfc_lane_send(struct cfc_lane *lane);

#endif
