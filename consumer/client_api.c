/* What applications call on a client that is open. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consumer/agent_link.h"
#include "consumer/client.h"
#include "consumer/client_pull.h"
#include "consumer/fork_guard.h"
#include "protocol/base/scope.h"
#include "protocol/base/time.h"
#include "protocol/wire/loss.h"

/* ---- Subscriptions --------------------------------------------------------------------------- */

void
cfc_client_init_lock(pthread_mutex_t *lock, pthread_cond_t *changed)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void
cfc_client_reset_locks(struct confcast_scope *scope)
{
    scope->waiter_count = 0;
    cfc_client_init_lock(&scope->lock, &scope->changed);
}

static struct confcast_scope *
new_scope(struct confcast *client, const char *path, const struct confcast_scope_options *options)
{
    struct confcast_scope *scope = calloc(1, sizeof(*scope));

    if (scope == NULL) {
        return NULL;
    }
    scope->client = client;
    scope->scope_id = cfc_scope_id(client->sha, path, strlen(path));
    strncpy(scope->path, path, sizeof(scope->path) - 1);
    scope->status.size = sizeof(scope->status);
    scope->since_ns = cfc_client_now().mono_ns;
    scope->change = options->change;
    scope->change_arg = options->change_arg;
    scope->validate = options->validate;
    scope->validate_arg = options->validate_arg;
    cfc_client_reset_locks(scope);
    return scope;
}

static void
free_scope(struct confcast_scope *scope)
{
    pthread_cond_destroy(&scope->changed);
    pthread_mutex_destroy(&scope->lock);
    free(scope);
}

/* What a scope needs besides itself.  What was done for one that then fails is used by the next. */
static int
prepare_scope(struct confcast *client, const struct confcast_scope *scope)
{
    struct cfc_fleet_address group;
    int error = CONFCAST_OK;

    if (client->port != NULL) {
        cfc_fleet_group(client->fleet, scope->scope_id, &group);
        error = cfc_port_udp_join(client->port, &group);
    }
    if (error != CONFCAST_OK || client->cache == NULL) {
        return error;
    }
    /* Its place in the floor page, so that accepting cannot fail for want of one.  A disk that does
     * not take it is told of by the persister. */
    if (cfc_floor_raise(cfc_cache_floor(client->cache), scope->scope_id, 0, 0) ==
        CONFCAST_ERR_LIMIT) {
        return CONFCAST_ERR_LIMIT;
    }
    return client->scope_count < CFC_RECEIVER_SCOPES_MAX
               ? cfc_persister_add_scope(client->persister, client->scope_count, scope->scope_id)
               : CONFCAST_ERR_LIMIT;
}

struct subscription {
    const char *path;
    struct confcast_scope_options options;
    struct confcast_scope *scope;
};

static int
subscribe(struct confcast *client, void *arg)
{
    struct subscription *s = arg;
    struct confcast_scope *scope;
    uint32_t idx;
    int error;

    for (uint32_t i = 0; i < client->scope_count; i++) {
        if (strcmp(client->scopes[i]->path, s->path) == 0) {
            s->scope = client->scopes[i];
            return CONFCAST_ERR_EXISTS;
        }
    }
    scope = new_scope(client, s->path, &s->options);
    if (scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (client->link != NULL) {
        error = cfc_agent_link_subscribe(client, scope);
        if (error != CONFCAST_OK) {
            free_scope(scope);
        }
        s->scope = error == CONFCAST_OK ? scope : NULL;
        return error;
    }
    error = prepare_scope(client, scope);
    if (error == CONFCAST_OK) {
        error = cfc_receiver_subscribe(client->receiver, s->path, strlen(s->path), &idx);
    }
    if (error != CONFCAST_OK) {
        free_scope(scope);
        return error;
    }
    cfc_xdp_host_want(client->xdp, scope->scope_id);
    scope->idx = idx;
    client->scopes[idx] = scope;
    client->scope_count = idx + 1;
    s->scope = scope;
    cfc_client_restore(client, scope);
    cfc_client_refresh_status(client);
    return CONFCAST_OK;
}

int
confcast_subscribe(struct confcast *client, const char *path,
                   const struct confcast_scope_options *options, struct confcast_scope **out)
{
    struct subscription s = {.path = path};
    int error;

    *out = NULL;
    if (options != NULL && cfc_client_take_struct(&s.options, sizeof(s.options), options,
                                                  sizeof(s.options)) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    error = cfc_scope_check(path, strlen(path));
    if (error == CONFCAST_OK) {
        error = cfc_client_call(client, subscribe, &s);
    }
    *out = s.scope;
    return error;
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

struct callback {
    struct confcast_scope *scope;
    confcast_change_fn *change;
    confcast_validate_fn *validate;
    confcast_event_fn *event;
    void *arg;
};

/* These run on the thread that makes the callbacks, and so never during one of another thread's. */

static int
set_change(struct confcast *client, void *arg)
{
    const struct callback *c = arg;

    (void)client;
    c->scope->change = c->change;
    c->scope->change_arg = c->arg;
    return CONFCAST_OK;
}

static int
set_validator(struct confcast *client, void *arg)
{
    const struct callback *c = arg;

    (void)client;
    c->scope->validate = c->validate;
    c->scope->validate_arg = c->arg;
    return CONFCAST_OK;
}

static int
set_event(struct confcast *client, void *arg)
{
    const struct callback *c = arg;

    client->event = c->event;
    client->event_arg = c->arg;
    return CONFCAST_OK;
}

int
confcast_on_change(struct confcast_scope *scope, confcast_change_fn *fn, void *arg)
{
    struct callback c = {.scope = scope, .change = fn, .arg = arg};

    return cfc_client_call(scope->client, set_change, &c);
}

int
confcast_set_validator(struct confcast_scope *scope, confcast_validate_fn *fn, void *arg)
{
    struct callback c = {.scope = scope, .validate = fn, .arg = arg};

    return cfc_client_call(scope->client, set_validator, &c);
}

struct status_hook {
    void (*fn)(void *arg);
    void *arg;
};

static int
set_on_status(struct confcast *client, void *arg)
{
    const struct status_hook *hook = arg;

    client->on_status = hook->fn;
    client->on_status_arg = hook->arg;
    return CONFCAST_OK;
}

int
cfc_client_on_status(struct confcast *client, void (*fn)(void *arg), void *arg)
{
    struct status_hook hook = {.fn = fn, .arg = arg};

    return cfc_client_call(client, set_on_status, &hook);
}

int
confcast_on_event(struct confcast *client, confcast_event_fn *fn, void *arg)
{
    struct callback c = {.event = fn, .arg = arg};

    return cfc_client_call(client, set_event, &c);
}

/* ---- Status and statistics ------------------------------------------------------------------- */

int
cfc_client_give_struct(void *out, const void *mine, size_t size, size_t size_first)
{
    size_t given_size;

    memcpy(&given_size, out, sizeof(given_size));
    if (given_size < size_first) {
        return CONFCAST_ERR_INVALID;
    }
    memset(out, 0, given_size);
    memcpy(out, mine, given_size < size ? given_size : size);
    memcpy(out, &given_size, sizeof(given_size));
    return CONFCAST_OK;
}

int
confcast_status(const struct confcast_scope *scope, struct confcast_status *status)
{
    struct confcast_scope *mine = (struct confcast_scope *)(uintptr_t)scope;
    struct confcast_status copy;

    if (atomic_load(&scope->client->is_forked)) {
        return CONFCAST_ERR_CLOSED;
    }
    cfc_fork_guard_resume();
    pthread_mutex_lock(&mine->lock);
    copy = mine->status;
    pthread_mutex_unlock(&mine->lock);
    return cfc_client_give_struct(status, &copy, sizeof(copy), sizeof(copy));
}

static void
gather_xdp(const struct confcast *client, struct confcast_stats *out)
{
    struct cfc_xdp_host_stats xdp;

    cfc_xdp_host_stats(client->xdp, &xdp);
    out->xdp = xdp.mode;
    out->xdp_error = xdp.error;
    out->xdp_processes = xdp.members;
    out->is_xdp_open = xdp.is_open;
    out->is_xdp_told = xdp.is_member;
    out->xdp_passed = xdp.counts[CFC_XDP_PASSED];
    out->xdp_unwanted = xdp.counts[CFC_XDP_DROPPED_UNWANTED];
    out->xdp_held = xdp.counts[CFC_XDP_DROPPED_HELD];
    out->xdp_malformed = xdp.counts[CFC_XDP_MALFORMED];
    out->xdp_others = xdp.counts[CFC_XDP_NOT_OURS];
}

static int
gather_stats(struct confcast *client, void *arg)
{
    static const struct cfc_port_udp_stats no_port;
    const struct cfc_port_udp_stats *port;
    struct cfc_client_pull_stats pull;
    const struct cfc_receiver_stats *receiver;
    struct confcast_stats *out = arg;
    struct cfc_now now;

    out->retired_size = atomic_load(&client->retired.size);
    if (client->link != NULL) {
        out->is_linked = cfc_agent_link_is_up(client);
        return CONFCAST_OK;
    }
    port = client->port != NULL ? cfc_port_udp_stats(client->port) : &no_port;
    gather_xdp(client, out);
    cfc_client_pull_stats(client, &pull);
    out->is_pulling = pull.is_pulling;
    out->pulls = pull.requests;
    out->pull_failures = pull.failures;
    out->pull_bytes = pull.bytes;
    now = cfc_client_now();
    out->is_pull_advised = cfc_receiver_is_pull_advised(client->receiver, &now);
    out->loss_ppm =
        (uint32_t)((uint64_t)cfc_receiver_loss(client->receiver) * 1000000 / CFC_LOSS_ONE);
    receiver = cfc_receiver_stats(client->receiver);
    out->datagrams = port->datagrams;
    out->wrong_source = port->wrong_source;
    out->truncated = port->truncated;
    out->overflows = port->overflows;
    out->receive_buffer_size = port->buffer_size;
    out->sockets_opened = port->opened;
    out->is_interface_up = port->is_up;
    out->is_linked = cfc_receiver_is_linked(client->receiver);
    out->frames = receiver->frames;
    out->symbols = receiver->symbols;
    out->symbols_duplicate = receiver->symbols_duplicate;
    out->symbols_decoded = receiver->symbols_decoded;
    out->nacks = receiver->nacks;
    out->reports = receiver->reports;
    out->contents = receiver->contents;
    _Static_assert(sizeof(out->refused) == sizeof(receiver->errors), "one counter per code");
    memcpy(out->refused, receiver->errors, sizeof(out->refused));
    return CONFCAST_OK;
}

int
confcast_stats(struct confcast *client, struct confcast_stats *stats)
{
    struct confcast_stats mine = {.size = sizeof(mine)};
    int error = cfc_client_call(client, gather_stats, &mine);

    return error == CONFCAST_OK
               ? cfc_client_give_struct(stats, &mine, sizeof(mine),
                                        offsetof(struct confcast_stats, is_pulling))
               : error;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

struct scope_wait {
    const struct confcast_scope *scope;
    uint64_t version;
};

/* AGAIN: not yet.  Under the scope's lock. */
static int
wait_result(const void *arg)
{
    const struct scope_wait *wait = arg;
    const struct confcast_scope *scope = wait->scope;
    uint64_t version = wait->version;

    if (scope->status.serving >= version && scope->status.serving != 0) {
        return CONFCAST_OK;
    }
    if (scope->is_closed) {
        return CONFCAST_ERR_CLOSED;
    }
    if ((scope->status.state == CONFCAST_STATE_REJECTED ||
         scope->status.state == CONFCAST_STATE_DEGRADED) &&
        scope->status.accepted >= version) {
        return scope->status.reason;
    }
    return CONFCAST_ERR_AGAIN;
}

static struct timespec
in_ms(uint32_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * (long)CFC_MS;
    if (t.tv_nsec >= (long)CFC_S) {
        t.tv_nsec -= (long)CFC_S;
        t.tv_sec++;
    }
    return t;
}

int
cfc_client_wait(struct confcast *client, const struct cfc_client_waiting *waiting,
                int (*result)(const void *arg), const void *arg, uint32_t timeout_ms)
{
    struct timespec deadline = in_ms(timeout_ms);
    int code;

    if (atomic_load(&client->is_forked)) {
        return CONFCAST_ERR_CLOSED;
    }
    cfc_fork_guard_resume();
    if (timeout_ms > 0 && cfc_client_is_own_thread(client)) {
        return CONFCAST_ERR_INVALID; /* it would wait for itself */
    }
    pthread_mutex_lock(waiting->lock);
    (*waiting->count)++;
    while ((code = result(arg)) == CONFCAST_ERR_AGAIN) {
        if (pthread_cond_timedwait(waiting->changed, waiting->lock, &deadline) == ETIMEDOUT) {
            code = result(arg);
            code = code == CONFCAST_ERR_AGAIN ? CONFCAST_ERR_TIMEOUT : code;
            break;
        }
    }
    (*waiting->count)--;
    if (*waiting->is_closed) {
        pthread_cond_broadcast(waiting->changed); /* whoever closes waits for us */
    }
    pthread_mutex_unlock(waiting->lock);
    return code;
}

int
confcast_wait(struct confcast_scope *scope, uint64_t version, uint32_t timeout_ms)
{
    const struct scope_wait wait = {.scope = scope, .version = version};
    const struct cfc_client_waiting waiting = {.lock = &scope->lock,
                                               .changed = &scope->changed,
                                               .count = &scope->waiter_count,
                                               .is_closed = &scope->is_closed};

    return cfc_client_wait(scope->client, &waiting, wait_result, &wait, timeout_ms);
}
