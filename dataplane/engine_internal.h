/* What engine.c (set-up), engine_loop.c (the first lcore's turns), helper.c (the others') and
 * engine_view.c (what others are told) share. */
#ifndef CFC_DATAPLANE_ENGINE_INTERNAL_H
#define CFC_DATAPLANE_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "dataplane/crew.h"
#include "dataplane/engine.h"
#include "dataplane/lane.h"

/* A question of another thread and its answer. */
struct cfc_engine_question {
    pthread_mutex_t mutex;   /* guards all of it; `at` may be looked at without */
    pthread_cond_t answered; /* signalled when is_answered */
    atomic_uint at;          /* whose turn it is to add to the answer: lane number + 1, or 0 */
    bool is_answered;
    bool is_taken; /* somebody is waiting */
    uint64_t scope_id;
    int code;
    struct cfc_scope_view view;
};

struct cfc_engine {
    const struct cfc_options *options;
    struct cfc_port port;
    struct cfc_control *control;
    struct cfc_rx_rules rules;
    struct cfc_lane_routes routes;
    uint32_t lane_count;
    struct cfc_lane lanes[CFC_LCORES_MAX]; /* the first is the engine's own thread's */
    struct cfc_lane_budgets budgets;       /* with several lanes */
    struct cfc_crew *crew;                 /* likewise; else NULL */
    char port_text[192];
    int doorbell_fd; /* -1: none */
    int stop_fd;     /* an eventfd: readable when the engine is to stop */
    atomic_bool is_stopping;
    bool is_port_open;
    uint64_t control_due_ns;
    uint64_t watch_due_ns;
    uint64_t worked_ns;     /* when a turn last found something to do */
    uint64_t ring_sleep_ns; /* bound of a sleep that the doorbell can end */
    uint64_t rx_verdicts[CFC_RX_VERDICT_COUNT];
    uint64_t arp_replies;
    uint64_t nd_replies;
    pthread_mutex_t snapshot_mutex; /* guards the next member only */
    struct cfc_engine_snapshot snapshot;
    struct cfc_engine_question question;
};

/* One turn of the lcore: reads the clocks, receives, hears the control socket now and then, sends.
 * The amount of work that it found; *rx_count of it were received frames. */
uint32_t cfc_engine_turn(struct cfc_engine *engine, uint32_t *rx_count);

/* Adds what this lane knows to the answer to what another thread asked; cheap when nobody did.  By
 * the lane's thread. */
void cfc_engine_answer(struct cfc_engine *engine, struct cfc_lane *lane);

void cfc_engine_question_init(struct cfc_engine_question *q);

/* For the control plane: values in the order of CFC_ENGINE_COUNTERS. */
void cfc_engine_fill_counters(void *ctx, uint64_t *values);

/* Copies the counters for other threads. */
void cfc_engine_publish(struct cfc_engine *engine);

#endif
