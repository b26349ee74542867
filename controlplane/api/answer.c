#include "controlplane/api/answer.h"

#include <stdio.h>

#include "confcast/error.h"
#include "controlplane/api/intake.h"
#include "controlplane/api/response.h"
#include "controlplane/log/log.h"

/* Answers wait in memory for clients that read slowly: beyond the bound they are replaced. */
static void
admit_answer(struct cfc_exchange *x)
{
    struct cfc_server *server = x->server;
    size_t size = x->reply.body_size;

    if (atomic_fetch_add(&server->answer_total, size) + size > server->config.answer_total_max) {
        atomic_fetch_sub(&server->answer_total, size);
        cfc_reply_error(&x->reply, 503, "busy",
                        "too many answers are on their way; try again later");
        x->reply.retry_s = 1;
        return;
    }
    x->answer_size = size;
}

enum MHD_Result
cfc_answer_send(struct cfc_exchange *x, struct MHD_Connection *mhd)
{
    struct MHD_Response *response;
    enum MHD_Result result;

    admit_answer(x);
    if (x->connection != NULL) {
        cfc_reaper_enter_sending(x->connection, x->answer_size + x->reply.stream.size);
    }
    response = cfc_response_of(&x->reply);
    if (response == NULL) {
        return MHD_NO;
    }
    x->is_answered = true;
    if (x->reply.retry_s > 0) {
        char seconds[16];

        snprintf(seconds, sizeof(seconds), "%u", x->reply.retry_s);
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, x->reply.type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (x->must_close) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    if (x->reply.status == 401) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"confcast\"");
    }
    if (x->is_pull && x->server->api->pull != NULL) {
        char nonce[CFC_PULL_NONCE_TEXT_SIZE + 1];

        cfc_consumer_auth_nonce(&x->server->api->pull->auth, cfc_exchange_now_ns(CLOCK_MONOTONIC),
                                nonce);
        MHD_add_response_header(response, "Confcast-Nonce", nonce);
    }
    if (x->reply.is_replay) {
        MHD_add_response_header(response, "Idempotency-Replayed", "true");
    }
    cfc_api_count_reply(x->server->api, x->reply.status);
    result = MHD_queue_response(mhd, x->reply.status, response);
    MHD_destroy_response(response);
    return result;
}

static bool
may_watch(void *arg)
{
    struct cfc_exchange *x = arg;
    const struct cfc_api_route *route = x->route;
    bool may = cfc_exchange_may_still(x);

    x->route = route;
    return may;
}

static enum MHD_Result
answer_stream(struct cfc_exchange *x, struct MHD_Connection *mhd)
{
    struct MHD_Response *response = cfc_watch_response(x->watch);
    enum MHD_Result result;

    if (response == NULL) {
        return MHD_NO;
    }
    x->is_answered = true;
    cfc_api_count_reply(x->server->api, 200);
    result = MHD_queue_response(mhd, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* An answer that goes on, or that says nothing new yet.  True: it has been seen to. */
static bool
wait_for_change(struct cfc_exchange *x, struct MHD_Connection *mhd, enum MHD_Result *result)
{
    struct cfc_wait wait = x->reply.wait;

    x->reply.wait = (struct cfc_wait){.is_stream = false};
    if (x->reply.status != 200 || (!wait.is_stream && !wait.is_poll) || x->watch != NULL) {
        return false;
    }
    x->watch =
        cfc_watch_new(&x->server->watches, &(struct cfc_watch_request){.mhd = mhd,
                                                                       .connection = x->connection,
                                                                       .wait = wait,
                                                                       .scope = x->request.rest,
                                                                       .may_read = may_watch,
                                                                       .arg = x});
    if (x->watch == NULL) {
        cfc_reply_error(&x->reply, 503, "busy", "too many watch already; try again later");
        x->reply.retry_s = 1;
        return false;
    }
    if (wait.is_stream) {
        *result = answer_stream(x, mhd);
        return true;
    }
    x->is_handled = false; /* It is asked again once there is something new. */
    *result = MHD_YES;
    return cfc_watch_park(x->watch);
}

enum MHD_Result
cfc_answer_conclude(struct cfc_exchange *x, struct MHD_Connection *mhd)
{
    enum MHD_Result result;

    cfc_intake_drop_body(x);
    if (x->pull != NULL) {
        cfc_pull_wait_reply(x->pull, &x->reply);
    } else if (x->reply.status == 200 && x->reply.wish != NULL) {
        x->pull = cfc_pull_wait_new(&x->server->pulls, mhd, x->reply.wish);
        if (x->pull != NULL) {
            x->is_handled = true;
            return MHD_YES;
        }
        cfc_reply_error(&x->reply, 503, "busy", "too many wait already; try again later");
        x->reply.retry_s = 1;
    }
    if (wait_for_change(x, mhd, &result)) {
        return result;
    }
    if (x->reply.status >= 500) {
        cfc_log(CFC_LOG_WARN, "api", "answered status=%u path=%s", x->reply.status,
                x->request.target.path);
    }
    return cfc_answer_send(x, mhd);
}
