/* The control socket: how the control plane on this host hands over what is to be sent, and gets
 * back what consumers say.  protocol/handoff/handoff.h has the messages.
 *
 * One control plane at a time: a second connection is answered with REFUSED (BUSY) and closed.
 * When the control plane goes, everything it handed over goes on being sent; when it is back it
 * hands over all that is current, and after SYNCED the rest is dropped.
 *
 * While the socket would block, upcalls stay in the sender, whose queue then fills, and consumers
 * whose reports find it full say them again.  The same while nobody is connected.
 *
 * The engine's thread owns it; nothing here waits. */
#ifndef CFC_DATAPLANE_CONTROL_H
#define CFC_DATAPLANE_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/arena.h"
#include "protocol/base/time.h"
#include "protocol/handoff/handoff.h"
#include "protocol/session/sender.h"

struct cfc_control;

struct cfc_control_config {
    const char *path; /* of the socket; outlives the control */
    struct cfc_sender *sender;
    struct cfc_arena_hooks hooks; /* the port's */
    uint32_t contents_max;        /* as the sender's */
    uint32_t scopes_max;
    uint64_t seed;
    struct cfc_handoff_engine_hello hello; /* port_text outlives the control */
    /* Fills values in the order of CFC_ENGINE_COUNTERS. */
    void (*stats)(void *ctx, uint64_t *values);
    void *ctx;
};

struct cfc_control_stats {
    uint64_t connections;
    uint64_t messages_in;
    uint64_t messages_out;
    uint64_t refused; /* messages answered with REFUSED */
    uint64_t blocked; /* times that the socket would have blocked */
};

/* Binds and listens (mode 0600).  EXISTS: another engine answers at this path; RESOURCE, NO_MEMORY;
 * the reason is logged. */
int cfc_control_open(const struct cfc_control_config *config, struct cfc_control **out);

/* Closes and removes the socket, and unmaps the arenas: the port is closed by then. */
void cfc_control_close(struct cfc_control *c);

/* Does what there is to do, in bounded time.  The number of messages moved. */
uint32_t cfc_control_poll(struct cfc_control *c, const struct cfc_now *now);

/* What to wait for with poll(2): the descriptors and events for the next cfc_control_poll(). */
uint32_t cfc_control_wait_on(const struct cfc_control *c, struct pollfd fds[2]);

/* When the next ENGINE_STATS is due, or CFC_NEVER. */
uint64_t cfc_control_deadline(const struct cfc_control *c);

bool cfc_control_is_connected(const struct cfc_control *c);
uint64_t cfc_control_arena_size(const struct cfc_control *c);
const struct cfc_control_stats *cfc_control_stats(const struct cfc_control *c);

#endif
