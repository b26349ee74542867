/* The engine's first lcore: one thread that runs everything to completion.  Each turn receives a
 * burst and hands it to the sender, polls the control socket now and then, and fills a burst from
 * the sender for the port.  What the port does not take waits; nothing is dropped on the way out.
 *
 * An idle engine sleeps until the sender's deadline or until something rings: the control socket
 * does, and on net_af_packet the doorbell.  Other PMDs cannot wake a sleeper, so there the sleep is
 * a quarter of a millisecond, and
 * a whole one when nothing happened for a while.  The doorbell does not ring for frames that are
 * not ours, which fill the packet socket's ring too: so that sleep has a bound as well, which falls
 * as they become more.
 *
 * With several lcores the others, helpers, send the contents and their repair (helper.h, crew.h),
 * each over a transmit queue of its own; all else stays with the first.
 *
 * One thread owns an engine; other threads may call cfc_engine_snapshot() and cfc_engine_stop(). */
#ifndef CFC_DATAPLANE_ENGINE_H
#define CFC_DATAPLANE_ENGINE_H

#include <stdint.h>

#include "dataplane/control.h"
#include "dataplane/options.h"
#include "dataplane/port.h"
#include "dataplane/rx_parse.h"
#include "protocol/handoff/handoff.h"
#include "protocol/session/sender.h"
#include "protocol/session/sender_view.h"

struct cfc_engine;

/* Of one lcore. */
struct cfc_engine_lane {
    uint64_t frames_out;
    uint64_t bytes_out;
    uint64_t sleeps;
    uint64_t turns;
};

/* A copy of all counters, for other threads; those of all lcores together. */
struct cfc_engine_snapshot {
    struct cfc_sender_stats sender;
    struct cfc_port_stats port;
    struct cfc_control_stats control;
    struct cfc_sender_queues queues;
    uint64_t port_queue; /* frames that wait for the PMD */
    uint64_t rx_verdicts[CFC_RX_VERDICT_COUNT];
    uint64_t arp_replies;
    uint64_t nd_replies;  /* neighbour advertisements, IPv6 */
    uint64_t no_neighbor; /* unicast frames dropped: nobody knows the way */
    uint64_t sleeps;
    uint64_t turns;
    uint64_t arena_bytes;
    uint64_t budget_bytes; /* in the bucket that lcores share */
    uint32_t lane_count;
    struct cfc_engine_lane lanes[CFC_LCORES_MAX];
    bool is_connected; /* to a control plane */
    bool is_link_up;
};

/* Opens the port, the doorbell and the control socket, in this order.  EAL is up, with as many
 * lcores as the options say, from 0; they outlive the engine.  Errors of cfc_port_open(),
 * cfc_doorbell_open(), cfc_control_open(), cfc_sender_new(); the reason is logged. */
int cfc_engine_open(const struct cfc_options *options, struct cfc_engine **out);
void cfc_engine_close(struct cfc_engine *engine);

/* Runs until cfc_engine_stop().  OK; CLOSED when the port is gone for good; RESOURCE: a helper did
 * not start. */
int cfc_engine_run(struct cfc_engine *engine);

/* From a signal handler or any thread. */
void cfc_engine_stop(struct cfc_engine *engine);

/* At most a second old. */
void cfc_engine_snapshot(struct cfc_engine *engine, struct cfc_engine_snapshot *out);

/* From any thread: asks the engine's thread how far a scope has got, and waits for the answer, at
 * most a second.  OK, NOT_FOUND (no such scope), TIMEOUT, BUSY (another thread is asking). */
int cfc_engine_ask_scope(struct cfc_engine *engine, uint64_t scope_id, struct cfc_scope_view *out);

/* What never changes after open. */
const struct cfc_port *cfc_engine_port(const struct cfc_engine *engine);
const char *cfc_engine_port_text(const struct cfc_engine *engine);

#endif
