#include "controlplane/api/handling.h"

#include <pthread.h>
#include <stddef.h>

#include "confcast/error.h"
#include "controlplane/api/answer.h"
#include "controlplane/api/intake.h"

enum {
    BIG_BODY_SIZE = 1 << 20, /* bytes; from here on bodies pass through the gate */
};

static bool
suspend(struct cfc_exchange *x)
{
    struct cfc_server *server = x->server;
    bool is_closing;

    pthread_mutex_lock(&server->lock);
    is_closing = server->is_closing;
    if (!is_closing) {
        server->suspended_count++;
        MHD_suspend_connection(x->mhd);
    }
    pthread_mutex_unlock(&server->lock);
    return !is_closing;
}

/* From here on the exchange is the connection's thread's again. */
static void
resume(struct cfc_exchange *x, bool is_handled)
{
    struct cfc_server *server = x->server;

    x->is_handled = is_handled;
    pthread_mutex_lock(&server->lock);
    MHD_resume_connection(x->mhd);
    server->suspended_count--;
    pthread_cond_signal(&server->resumed);
    pthread_mutex_unlock(&server->lock);
}

/* A reply that nobody may see is replaced. */
static void
judge(struct cfc_exchange *x, int error)
{
    if (error != CONFCAST_OK) {
        cfc_reply_failure(&x->reply, error,
                          "the disk failed: whether this took place is not known; read again",
                          NULL);
    }
}

static void
on_durable(struct cfc_waiter *waiter, int error)
{
    struct cfc_exchange *x =
        (struct cfc_exchange *)((char *)waiter - offsetof(struct cfc_exchange, waiter));

    judge(x, error);
    resume(x, true);
}

/* Its turn has come at the gate. */
static void
on_turn(struct cfc_gate_entry *turn)
{
    struct cfc_exchange *x =
        (struct cfc_exchange *)((char *)turn - offsetof(struct cfc_exchange, turn));

    resume(x, false);
}

/* False: the connection is suspended until the exchange may be handled. */
static bool
pass_gate(struct cfc_exchange *x)
{
    struct cfc_gate *gate = &x->server->big;

    x->turn.size = x->body_size;
    x->turn.go = on_turn;
    if (x->body_size < BIG_BODY_SIZE || cfc_gate_try(gate, &x->turn)) {
        return true;
    }
    /* Without suspending there is no waiting: the daemon stops, and this is among the last. */
    if (!suspend(x)) {
        return true;
    }
    cfc_gate_wait(gate, &x->turn);
    return false;
}

/* A handler, or the rest of its work, that takes long. */
static void *
run_later(void *arg)
{
    struct cfc_exchange *x = arg;
    struct cfc_server *server = x->server;

    if (x->reply.later == NULL) {
        cfc_api_handle(server->api, &x->request, x->route, &x->reply);
    }
    if (x->reply.later != NULL) {
        x->reply.later(server->api, &x->request, &x->reply);
    }
    cfc_gate_leave(&server->big, &x->turn);
    cfc_intake_drop_body(x);
    atomic_fetch_sub(&server->long_count, 1);
    cfc_service_mark_end(server->api->service, &x->waiter.mark);
    judge(x, cfc_service_wait_durable(server->api->service, &x->waiter.mark));
    resume(x, true);
    return NULL;
}

static bool
start_later(struct cfc_exchange *x)
{
    pthread_attr_t attr;
    pthread_t thread;
    bool is_started;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    is_started = suspend(x);
    if (is_started) {
        atomic_fetch_add(&x->server->long_count, 1);
    }
    if (is_started && pthread_create(&thread, &attr, run_later, x) != 0) {
        atomic_fetch_sub(&x->server->long_count, 1);
        cfc_reply_failure(&x->reply, CONFCAST_ERR_RESOURCE, NULL, NULL);
        resume(x, true);
    }
    pthread_attr_destroy(&attr);
    return is_started;
}

/* True when the connection is suspended: on_request() is called again once it is resumed. */
static bool
handle(struct cfc_exchange *x)
{
    struct cfc_service *service = x->server->api->service;

    if (!pass_gate(x)) {
        return true;
    }
    cfc_service_mark_begin(service, &x->waiter.mark);
    if (cfc_api_takes_long(&x->request, x->route) && start_later(x)) {
        return true;
    }
    cfc_api_handle(x->server->api, &x->request, x->route, &x->reply);
    cfc_gate_leave(&x->server->big, &x->turn);
    if (x->reply.later != NULL) {
        if (start_later(x)) {
            return true;
        }
        cfc_reply_error(&x->reply, 503, "not_ready", "the daemon is stopping");
    }
    cfc_service_mark_end(service, &x->waiter.mark);
    if (cfc_service_is_durable(service, &x->waiter.mark)) {
        return false;
    }
    if (!suspend(x)) {
        judge(x, cfc_service_wait_durable(service, &x->waiter.mark));
        return false;
    }
    x->waiter.fn = on_durable;
    cfc_service_when_durable(service, &x->waiter);
    return true;
}

enum MHD_Result
cfc_handling_begin(struct cfc_exchange *x, struct MHD_Connection *mhd)
{
    if (x->connection != NULL && !cfc_reaper_enter(x->connection, CFC_CONNECTION_ANSWERING)) {
        cfc_api_count_reply(x->server->api, 408);
        return MHD_NO;
    }
    x->mhd = mhd;
    if (x->route != NULL && cfc_exchange_may_still(x)) {
        x->request.body = x->body;
        x->request.body_size = x->body_size;
        x->request.unix_ns = cfc_exchange_now_ns(CLOCK_REALTIME);
        if (handle(x)) {
            return MHD_YES;
        }
    }
    return cfc_answer_conclude(x, mhd);
}
