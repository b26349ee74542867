#include "controlplane/api/intake.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/answer.h"

enum {
    BODY_FIRST_SIZE = 16 * 1024,
    /* A body above its limit is read and dropped up to this many times the limit, so that clients
     * that write before they read get their 413 and not a reset. */
    DRAIN_FACTOR = 4,
    /* And of who may not be here at all, only so much. */
    DRAIN_STRANGER_MAX = 1 << 20,
};

void
cfc_intake_drop_body(struct cfc_exchange *x)
{
    free(x->body);
    atomic_fetch_sub(&x->server->body_total, x->body_capacity);
    if (x->body_capacity > 0 && x->connection != NULL) {
        cfc_reaper_drop(x->connection);
    }
    x->body = NULL;
    x->body_size = 0;
    x->body_capacity = 0;
}

static enum MHD_Result
take_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
            const char *value, size_t value_size)
{
    (void)kind;
    cfc_headers_add(cls, name, name_size, value, value_size);
    return MHD_YES;
}

enum MHD_Result
cfc_intake_start(struct cfc_exchange *x, struct MHD_Connection *mhd, const char *method,
                 const char *version)
{
    const char *length;
    uint64_t size = 0;

    x->is_started = true;
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, take_header, &x->headers);
    if (!cfc_headers_check_framing(&x->headers, version, &x->reply)) {
        x->must_close = true;
        return cfc_answer_send(x, mhd);
    }
    length = x->headers.content_length;
    if (x->target_rc != CONFCAST_OK) {
        cfc_exchange_refuse(x, 400, "invalid", "the request target is malformed or too long");
    } else {
        x->route = cfc_api_find(&x->request, method, &x->reply);
    }
    if (x->route != NULL) {
        x->body_size_max = cfc_api_body_size_max(x->server->api, x->route);
        cfc_exchange_check_headers(x);
    }
    if (x->route != NULL) {
        x->is_pull = x->route->right == CFC_RIGHT_CONSUME;
        cfc_exchange_admit(x, mhd, method, false);
    }
    if (length != NULL && cfc_target_uint(length, UINT64_MAX, &size) != CONFCAST_OK) {
        size = UINT64_MAX;
    }
    if (x->route != NULL && size > x->body_size_max) {
        cfc_exchange_refuse(x, 413, "limit", "the body is above its limit");
    }
    x->drain_max = DRAIN_FACTOR * x->server->api->document_size_max;
    if ((x->reply.status == 401 || x->reply.status == 429) && x->drain_max > DRAIN_STRANGER_MAX) {
        x->drain_max = DRAIN_STRANGER_MAX;
    }
    if (x->route == NULL && (x->headers.expect != NULL || size > x->drain_max)) {
        return cfc_answer_send(x, mhd);
    }
    return MHD_YES;
}

/* Makes room for `size` more bytes.  Doubling means that a client which announces much and sends
 * little costs little. */
static bool
reserve(struct cfc_exchange *x, size_t size)
{
    size_t wanted = x->body_size + size;
    size_t capacity = x->body_capacity > 0 ? x->body_capacity : BODY_FIRST_SIZE;
    size_t total_max = x->server->config.body_total_max;
    size_t peer_max = total_max / 2 > x->body_size_max ? total_max / 2 : x->body_size_max;
    size_t added;
    char *body;

    if (wanted <= x->body_capacity) {
        return true;
    }
    while (capacity < wanted) {
        capacity *= 2;
    }
    capacity = capacity < x->body_size_max ? capacity : x->body_size_max;
    added = capacity - x->body_capacity;
    if (atomic_fetch_add(&x->server->body_total, added) + added > total_max ||
        (x->connection != NULL && !cfc_reaper_hold(x->connection, added, peer_max))) {
        atomic_fetch_sub(&x->server->body_total, added);
        return false;
    }
    body = realloc(x->body, capacity);
    if (body == NULL) {
        atomic_fetch_sub(&x->server->body_total, added);
        return false;
    }
    x->body = body;
    x->body_capacity = capacity;
    return true;
}

enum MHD_Result
cfc_intake_take_body(struct cfc_exchange *x, const char *bytes, size_t size)
{
    atomic_fetch_add_explicit(&x->server->api->body_bytes, size, memory_order_relaxed);
    if (x->route != NULL && size > x->body_size_max - x->body_size) {
        cfc_exchange_refuse(x, 413, "limit", "the body is above its limit");
    } else if (x->route != NULL && !reserve(x, size)) {
        cfc_exchange_refuse(x, 503, "busy", "too many bodies are on their way; try again later");
        x->reply.retry_s = 1;
    }
    if (x->route != NULL) {
        memcpy(x->body + x->body_size, bytes, size);
        x->body_size += size;
        return MHD_YES;
    }
    cfc_intake_drop_body(x);
    x->dropped_size += size;
    if (x->dropped_size <= x->drain_max) {
        return MHD_YES;
    }
    if (x->connection != NULL && x->reply.body != NULL) {
        cfc_connection_refuse(x->connection, x->reply.status, "Refused", x->reply.body);
        cfc_api_count_reply(x->server->api, x->reply.status);
    }
    return MHD_NO;
}
