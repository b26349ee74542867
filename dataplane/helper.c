#include "dataplane/helper.h"

#include <rte_launch.h>
#include <rte_pause.h>
#include <string.h>
#include <sys/prctl.h>

#include "confcast/error.h"
#include "dataplane/engine_internal.h"
#include "dataplane/log.h"

/* Less is not worth a sleep and is spun through. */
#define SLEEP_MIN_NS      (20 * CFC_US)
#define PUBLISH_PERIOD_NS CFC_S
#define TIMER_SLACK_NS    1000

static uint32_t
turn(struct cfc_engine *engine, struct cfc_lane *lane)
{
    uint32_t work;

    lane->now = cfc_clock_now(&lane->clock);
    lane->turns++;
    work = cfc_crew_hear(engine->crew, lane->number);
    cfc_engine_answer(engine, lane);
    work += cfc_lane_send(lane);
    atomic_store_explicit(&lane->source_count,
                          cfc_sender_stats(lane->sender)->kind_frames[CFC_TX_SOURCE],
                          memory_order_relaxed);
    return work;
}

static int
run(void *arg)
{
    struct cfc_lane *lane = arg;
    struct cfc_engine *engine = lane->engine;
    uint64_t publish_due_ns = 0;

    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    while (!engine->is_stopping) {
        uint32_t work = turn(engine, lane);
        uint64_t due_ns;

        if (lane->now.mono_ns >= publish_due_ns) {
            cfc_lane_publish(lane);
            publish_due_ns = lane->now.mono_ns + PUBLISH_PERIOD_NS;
        }
        if (work > 0) {
            continue;
        }
        cfc_port_tx_reclaim(lane->tx);
        due_ns = cfc_lane_due_ns(lane);
        due_ns = due_ns < publish_due_ns ? due_ns : publish_due_ns;
        if (due_ns < lane->now.mono_ns + SLEEP_MIN_NS) {
            rte_pause();
            continue;
        }
        lane->sleeps++;
        cfc_crew_sleep(engine->crew, lane->number, due_ns - lane->now.mono_ns);
    }
    return 0;
}

int
cfc_helpers_start(struct cfc_engine *engine)
{
    for (uint32_t i = 1; i < engine->lane_count; i++) {
        struct cfc_lane *lane = &engine->lanes[i];

        lane->clock = engine->lanes[0].clock;
        if (rte_eal_remote_launch(run, lane, i) != 0) {
            cfc_log_error("lcore %u does not start", i);
            return CONFCAST_ERR_RESOURCE;
        }
    }
    return CONFCAST_OK;
}

void
cfc_helpers_stop(struct cfc_engine *engine)
{
    engine->is_stopping = true;
    for (uint32_t i = 1; i < engine->lane_count; i++) {
        cfc_crew_wake(engine->crew, i);
        rte_eal_wait_lcore(i);
    }
}
