#include "consumer/client.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "consumer/big_memory.h"
#include "consumer/client_pull.h"
#include "consumer/fork_guard.h"
#include "consumer/set.h"
#include "protocol/base/time.h"

enum {
    BATCHES_MAX = 32,         /* receive batches before calls and sending get their turn */
    STREAM_MIN = 16,          /* datagrams in STREAM_NS that make a stream */
    NAP_LEFT_MIN = 512 << 10, /* coded bytes to come: towards the end every moment counts */
    NAP_BUFFER_MIN = 4 << 20, /* bytes of receive buffer that hold what comes meanwhile */
};

#define WAIT_MAX_NS          CFC_S
#define STREAM_NS            CFC_MS /* in which datagrams are counted */
#define NAP_NS               (250 * CFC_US)
#define OVERFLOW_TOLD_MIN_NS (10 * CFC_S)

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

struct cfc_now
cfc_client_now(void)
{
    return (struct cfc_now){.mono_ns = clock_ns(CLOCK_MONOTONIC),
                            .unix_ns = clock_ns(CLOCK_REALTIME)};
}

/* ---- Calls ----------------------------------------------------------------------------------- */

void
cfc_client_wake(void *arg)
{
    struct confcast *client = arg;
    uint64_t one = 1;

    /* A full counter means that a wake-up is pending already. */
    (void)!write(client->wake_fd, &one, sizeof(one));
}

bool
cfc_client_is_own_thread(const struct confcast *client)
{
    return client->has_thread && pthread_equal(pthread_self(), client->thread);
}

int
cfc_client_call(struct confcast *client, int (*run)(struct confcast *client, void *arg), void *arg)
{
    struct cfc_call call = {.run = run, .arg = arg, .result = CONFCAST_ERR_CLOSED};

    if (atomic_load(&client->is_forked)) {
        return CONFCAST_ERR_CLOSED;
    }
    cfc_fork_guard_resume();
    if (cfc_client_is_own_thread(client)) {
        return run(client, arg);
    }
    pthread_mutex_lock(&client->call_lock);
    if (!client->is_ended) {
        *client->calls_end = &call;
        client->calls_end = &call.next;
        cfc_client_wake(client);
        while (!call.is_done) {
            pthread_cond_wait(&client->call_done, &client->call_lock);
        }
    }
    pthread_mutex_unlock(&client->call_lock);
    return call.result;
}

static void
finish_call(struct confcast *client, struct cfc_call *call, int result)
{
    pthread_mutex_lock(&client->call_lock);
    call->result = result;
    call->is_done = true;
    pthread_cond_broadcast(&client->call_done);
    pthread_mutex_unlock(&client->call_lock);
}

static struct cfc_call *
take_call(struct confcast *client)
{
    struct cfc_call *call;

    pthread_mutex_lock(&client->call_lock);
    call = client->calls;
    if (call != NULL) {
        client->calls = call->next;
        if (client->calls == NULL) {
            client->calls_end = &client->calls;
        }
    }
    pthread_mutex_unlock(&client->call_lock);
    return call;
}

void
cfc_client_run_calls(struct confcast *client)
{
    struct cfc_call *call;

    while ((call = take_call(client)) != NULL) {
        finish_call(client, call, call->run(client, call->arg));
    }
}

void
cfc_client_end_calls(struct confcast *client)
{
    struct cfc_call *call;

    pthread_mutex_lock(&client->call_lock);
    client->is_ended = true;
    pthread_mutex_unlock(&client->call_lock);
    while ((call = take_call(client)) != NULL) {
        finish_call(client, call, CONFCAST_ERR_CLOSED);
    }
}

/* ---- The loop -------------------------------------------------------------------------------- */

/* Takes what has come.  False: there may be more. */
static bool
receive(struct confcast *client)
{
    struct cfc_datagram datagrams[CFC_PORT_BATCH];

    for (int batch = 0; batch < BATCHES_MAX; batch++) {
        struct cfc_now now = cfc_client_now();
        size_t count = cfc_port_udp_receive(client->port, datagrams);

        if (cfc_port_udp_is_drained(client->port)) {
            cfc_receiver_heard(client->receiver, now.mono_ns);
        }
        if (count == 0) {
            return true;
        }
        now = cfc_client_now();
        for (size_t i = 0; i < count; i++) {
            /* What is wrong with a frame is counted by the receiver. */
            int code = cfc_receiver_on_frame(client->receiver, datagrams[i].bytes,
                                             datagrams[i].size, &now);

            if (code == CONFCAST_OK) {
                cfc_client_pull_heard(client, datagrams[i].bytes, now.mono_ns);
            } else if (code == CONFCAST_ERR_AUTHORITY) {
                cfc_fleet_watch_stranger(client);
            }
        }
        client->stream_count += (uint32_t)count;
        cfc_client_drain_events(client);
        if (count < CFC_PORT_BATCH) {
            return true; /* what came meanwhile ends the next sleep at once */
        }
    }
    return false;
}

static void
transmit(struct confcast *client)
{
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    size_t size = 0;
    struct cfc_now now = cfc_client_now();

    while (cfc_receiver_poll_frame(client->receiver, &now, frame, sizeof(frame), &size) ==
           CONFCAST_OK) {
        if (cfc_port_udp_send(client->port, frame, size) != CONFCAST_OK) {
            break; /* the protocol repeats what matters */
        }
    }
}

static void
on_persisted(struct confcast *client, const struct cfc_persisted *outcome)
{
    struct confcast_scope *scope = client->scopes[outcome->scope_idx];
    struct cfc_receiver_event about = {.scope_idx = scope->idx,
                                       .epoch = outcome->durable.epoch,
                                       .version = outcome->durable.version,
                                       .content = outcome->durable.content};
    struct cfc_now now = cfc_client_now();

    if (about.version != 0) {
        cfc_receiver_durable(client->receiver, scope->idx, about.version, &now);
        cfc_client_tell(client, "durable", &about, 0);
    }
    if (outcome->code != CONFCAST_OK && outcome->code != scope->persist_error) {
        about.version = scope->status.accepted;
        about.epoch = scope->status.epoch;
        about.reason = outcome->code;
        cfc_client_say(client, 0, "state is not durable scope=%s error=%s", scope->path,
                       confcast_error_word(outcome->code));
        cfc_client_tell(client, "not_durable", &about, 0);
    }
    scope->persist_error = outcome->code;
}

static void
poll_persister(struct confcast *client)
{
    struct cfc_persisted outcome;

    while (client->persister != NULL &&
           cfc_persister_poll(client->persister, &outcome) == CONFCAST_OK) {
        on_persisted(client, &outcome);
    }
}

static void
tend_port(struct confcast *client)
{
    const struct cfc_port_udp_stats *stats = cfc_port_udp_stats(client->port);
    uint64_t now_ns = cfc_client_now().mono_ns;

    if (cfc_port_udp_tend(client->port, now_ns)) {
        cfc_client_say(client, 1, "interface %s",
                       stats->is_up ? "up, sockets opened anew" : "down or without an address");
    }
    if (stats->overflows > client->overflows_told &&
        now_ns - client->overflows_told_ns >= OVERFLOW_TOLD_MIN_NS) {
        cfc_client_say(client, 1, "receive buffer overflowed datagrams=%llu buffer_bytes=%u",
                       (unsigned long long)(stats->overflows - client->overflows_told),
                       stats->buffer_size);
        client->overflows_told = stats->overflows;
        client->overflows_told_ns = now_ns;
    }
}

/* In the middle of a large content that comes quickly.  To be woken for each few datagrams costs
 * more than to take them. */
static bool
is_streaming(struct confcast *client, uint64_t now_ns)
{
    struct cfc_receiver_part part;
    uint64_t elapsed_ns = now_ns - client->stream_ns;

    if (elapsed_ns >= STREAM_NS) {
        client->is_stream = client->stream_count * STREAM_NS >= STREAM_MIN * elapsed_ns;
        client->stream_count = 0;
        client->stream_ns = now_ns;
    }
    return client->is_stream && cfc_port_udp_stats(client->port)->buffer_size >= NAP_BUFFER_MIN &&
           cfc_receiver_part(client->receiver, &part) == CONFCAST_OK &&
           part.coded_size - part.size >= NAP_LEFT_MIN;
}

static void
nap(struct confcast *client, uint64_t deadline_ns)
{
    uint64_t now_ns = cfc_client_now().mono_ns;
    struct timespec wait = {.tv_nsec = NAP_NS};

    if (deadline_ns > now_ns + NAP_NS && is_streaming(client, now_ns)) {
        nanosleep(&wait, NULL);
    }
}

static void
sleep_until(struct confcast *client, uint64_t deadline_ns)
{
    uint64_t now_ns = cfc_client_now().mono_ns;
    uint64_t wait_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    struct timespec wait;
    uint64_t count;
    int fds[2] = {-1, -1};

    /* The interface is looked after every second at least. */
    wait_ns = wait_ns < WAIT_MAX_NS ? wait_ns : WAIT_MAX_NS;
    wait =
        (struct timespec){.tv_sec = (time_t)(wait_ns / CFC_S), .tv_nsec = (long)(wait_ns % CFC_S)};
    if (client->port != NULL) {
        cfc_port_udp_fds(client->port, fds);
    }

    struct pollfd polls[] = {
        {.fd = client->wake_fd, .events = POLLIN},
        {.fd = fds[0], .events = POLLIN},
        {.fd = fds[1], .events = POLLIN},
        {.fd = cfc_client_pull_fd(client), .events = POLLIN},
        {.fd = cfc_xdp_host_fd(client->xdp), .events = POLLIN},
    };

    if (ppoll(polls, sizeof(polls) / sizeof(polls[0]), &wait, NULL) < 0) {
        return;
    }
    if (polls[0].revents != 0) {
        (void)!read(client->wake_fd, &count, sizeof(count)); /* what woke us is looked for anyway */
    }
    if (client->port != NULL) {
        cfc_port_udp_polled(client->port, polls[1].revents != 0, polls[2].revents != 0);
    }
}

static uint64_t
next_deadline(const struct confcast *client)
{
    uint64_t receiver_ns = cfc_receiver_deadline(client->receiver);
    uint64_t pull_ns = cfc_client_pull_deadline(client);

    return receiver_ns < pull_ns ? receiver_ns : pull_ns;
}

void *
cfc_client_run(void *arg)
{
    struct confcast *client = arg;

    while (!atomic_load(&client->is_stopping)) {
        bool is_behind = false;

        cfc_client_run_calls(client);
        if (client->port != NULL && receive(client)) {
            /* What comes goes first: a buffer that overflows costs more than a late decoding. */
            is_behind = cfc_client_assemble(client);
        }
        cfc_client_pull_run(client);
        poll_persister(client);
        cfc_client_serve_deferred(client);
        cfc_client_drain_events(client);
        cfc_client_end_assembly(client);
        if (client->port != NULL) {
            transmit(client);
            tend_port(client);
            cfc_xdp_host_tend(client->xdp, cfc_client_now().mono_ns);
        }
        cfc_fleet_watch_tend(client, cfc_client_now().mono_ns);
        cfc_client_refresh_status(client);
        cfc_sets_update(client);
        cfc_big_tend(cfc_client_now().mono_ns);
        if (client->port != NULL && !is_behind) {
            nap(client, next_deadline(client));
        }
        sleep_until(client, is_behind ? 0 : next_deadline(client));
    }
    cfc_client_end_calls(client);
    return NULL;
}
