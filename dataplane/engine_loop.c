#include "dataplane/engine_internal.h"

#include <errno.h>
#include <poll.h>
#include <rte_pause.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "confcast/error.h"
#include "dataplane/doorbell.h"
#include "dataplane/helper.h"
#include "dataplane/log.h"

enum {
    FRAMES_MANY = 64, /* found after a sleep that nothing rang: it was too long */
    FRAMES_FEW = 8,
    FDS_MAX = 4,
};

/* The control socket's turn while there is other work. */
#define CONTROL_PERIOD_NS (50 * CFC_US)
/* Less is not worth a sleep and is spun through. */
#define SLEEP_MIN_NS (20 * CFC_US)
/* Where nothing can wake the sleeper: while there was work a moment ago, to which answers come, and
 * later. */
#define POLL_SLEEP_NS      (250 * CFC_US)
#define POLL_SLEEP_IDLE_NS CFC_MS
#define POLL_IDLE_NS       (50 * CFC_MS)
/* Where the doorbell can: bounds of the adaptive sleep. */
#define RING_SLEEP_MIN_NS (250 * CFC_US)
#define RING_SLEEP_MAX_NS (20 * CFC_MS)
#define WATCH_PERIOD_NS   CFC_S
#define TIMER_SLACK_NS    1000

/* A host of its own, where no kernel answers for it. */
static void
answer_as_host(struct cfc_engine *engine, enum cfc_rx_verdict verdict, const uint8_t *frame,
               size_t size)
{
    uint8_t reply[CFC_ND_FRAME_SIZE];

    if (engine->options->is_kernel_answering) {
        return;
    }
    if (verdict == CFC_RX_ARP && cfc_net_arp_reply(frame, size, &engine->routes.own, reply) &&
        cfc_port_tx_raw(engine->lanes[0].tx, reply, CFC_ARP_FRAME_SIZE) == CONFCAST_OK) {
        engine->arp_replies++;
    }
    if (verdict == CFC_RX_ND && cfc_net_nd_reply(frame, size, &engine->routes.own, reply) &&
        cfc_port_tx_raw(engine->lanes[0].tx, reply, CFC_ND_FRAME_SIZE) == CONFCAST_OK) {
        engine->nd_replies++;
    }
}

static void
on_frame(void *ctx, const uint8_t *frame, size_t size)
{
    struct cfc_engine *engine = ctx;
    struct cfc_rx_datagram datagram;
    enum cfc_rx_verdict verdict = cfc_rx_parse(&engine->rules, frame, size, &datagram);

    engine->rx_verdicts[verdict]++;
    if (verdict != CFC_RX_DATAGRAM) {
        answer_as_host(engine, verdict, frame, size);
        return;
    }
    if (engine->crew != NULL) {
        cfc_crew_set_from(engine->crew, &datagram.from);
    }
    /* A frame that the protocol refuses, with a forged source perhaps, does not move anybody. */
    if (cfc_sender_on_frame(engine->lanes[0].sender, datagram.payload, datagram.payload_size,
                            &datagram.address, &engine->lanes[0].now) == CONFCAST_OK) {
        cfc_neighbors_learn(engine->lanes[0].neighbors, datagram.from.ip, datagram.from.mac,
                            engine->lanes[0].now.mono_ns);
    }
}

static uint64_t
poll_sleep(const struct cfc_engine *engine)
{
    bool is_idle = engine->lanes[0].now.mono_ns - engine->worked_ns >= POLL_IDLE_NS;

    return is_idle ? POLL_SLEEP_IDLE_NS : POLL_SLEEP_NS;
}

/* How long the engine may sleep now, in ns. */
static uint64_t
sleep_time(const struct cfc_engine *engine)
{
    uint64_t now_ns = engine->lanes[0].now.mono_ns;
    uint64_t due_ns = cfc_lane_due_ns(&engine->lanes[0]);
    uint64_t bound_ns = engine->doorbell_fd >= 0 ? engine->ring_sleep_ns : poll_sleep(engine);
    uint64_t control_ns = cfc_control_deadline(engine->control);

    if (engine->crew != NULL && cfc_crew_is_waiting(engine->crew)) {
        bound_ns = POLL_SLEEP_NS;
    }
    if (control_ns < due_ns) {
        due_ns = control_ns;
    }
    if (engine->watch_due_ns < due_ns) {
        due_ns = engine->watch_due_ns;
    }
    if (due_ns <= now_ns) {
        return 0;
    }
    return due_ns - now_ns < bound_ns ? due_ns - now_ns : bound_ns;
}

/* Sleeps until something is due or rings.  Whether the doorbell rang. */
static bool
wait(struct cfc_engine *engine, uint64_t time_ns)
{
    struct timespec time = {.tv_sec = (time_t)(time_ns / CFC_S),
                            .tv_nsec = (long)(time_ns % CFC_S)};
    struct pollfd fds[FDS_MAX];
    uint32_t count = cfc_control_wait_on(engine->control, fds);
    uint32_t bell = 0;

    fds[count++] = (struct pollfd){.fd = engine->stop_fd, .events = POLLIN};
    if (engine->doorbell_fd >= 0) {
        bell = count;
        fds[count++] = (struct pollfd){.fd = engine->doorbell_fd, .events = POLLIN};
    }
    engine->lanes[0].sleeps++;
    if (ppoll(fds, count, &time, NULL) <= 0) {
        return false;
    }
    engine->control_due_ns = 0;
    if (bell != 0 && fds[bell].revents != 0) {
        cfc_doorbell_clear(engine->doorbell_fd);
        return true;
    }
    return false;
}

/* Frames of others came while the engine slept: how many tells how long it may sleep, lest they
 * fill the ring that ours come through. */
static void
adapt_sleep(struct cfc_engine *engine, uint32_t frame_count)
{
    if (frame_count >= FRAMES_MANY && engine->ring_sleep_ns > RING_SLEEP_MIN_NS) {
        engine->ring_sleep_ns /= 2;
    } else if (frame_count < FRAMES_FEW && engine->ring_sleep_ns < RING_SLEEP_MAX_NS) {
        engine->ring_sleep_ns += engine->ring_sleep_ns / 8;
    }
}

static int
watch(struct cfc_engine *engine)
{
    if (engine->lanes[0].now.mono_ns < engine->watch_due_ns) {
        return CONFCAST_OK;
    }
    engine->watch_due_ns = engine->lanes[0].now.mono_ns + WATCH_PERIOD_NS;
    cfc_engine_publish(engine);
    return cfc_port_watch(&engine->port);
}

uint32_t
cfc_engine_turn(struct cfc_engine *engine, uint32_t *rx_count)
{
    uint32_t work;

    engine->lanes[0].now = cfc_clock_now(&engine->lanes[0].clock);
    engine->lanes[0].turns++;
    *rx_count = cfc_port_rx(&engine->port, on_frame, engine);
    work = *rx_count;
    if (engine->lanes[0].now.mono_ns >= engine->control_due_ns) {
        work += cfc_control_poll(engine->control, &engine->lanes[0].now);
        cfc_engine_answer(engine, &engine->lanes[0]);
        engine->control_due_ns = engine->lanes[0].now.mono_ns + CONTROL_PERIOD_NS;
    }
    work += cfc_lane_send(&engine->lanes[0]);
    return engine->crew != NULL ? work + cfc_crew_carry(engine->crew) : work;
}

int
cfc_engine_run(struct cfc_engine *engine)
{
    bool has_slept = false;
    uint32_t rx_count;
    int rc = CONFCAST_OK;

    engine->ring_sleep_ns = RING_SLEEP_MAX_NS;
    rc = cfc_helpers_start(engine);
    /* The default slack of 50 us is longer than the sleeps that pacing asks for. */
    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    while (!engine->is_stopping && rc == CONFCAST_OK) {
        uint64_t time_ns;
        uint32_t work;

        work = cfc_engine_turn(engine, &rx_count);
        if (has_slept) {
            adapt_sleep(engine, rx_count);
            has_slept = false;
        }
        rc = watch(engine);
        if (work > 0) {
            engine->worked_ns = engine->lanes[0].now.mono_ns;
            continue;
        }
        cfc_port_tx_reclaim(engine->lanes[0].tx);
        time_ns = sleep_time(engine);
        if (time_ns < SLEEP_MIN_NS) {
            rte_pause();
            continue;
        }
        has_slept = !wait(engine, time_ns);
    }
    cfc_helpers_stop(engine);
    return rc;
}
