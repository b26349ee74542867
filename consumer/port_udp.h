/* Receiving by kernel UDP: one socket that joins the groups (source-specific, RFC 4607), one that
 * talks to the engine.  No privileges needed.  One thread owns a port.
 *
 * The interface may come and go.  A port without an address is down and opens as soon as there is
 * one; a new address or index opens both sockets anew; while nothing is heard the groups are joined
 * again now and then, for switches that have forgotten them. */
#ifndef CFC_CONSUMER_PORT_UDP_H
#define CFC_CONSUMER_PORT_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/trust/fleet.h"

struct cfc_port_udp;

struct cfc_port_udp_config {
    const char *interface;
    struct cfc_fleet_address
        source; /* the engine: the only source of multicast, and the unicast peer */
    struct cfc_fleet_address control_group;
    uint32_t receive_buffer_size; /* bytes */
    uint64_t seed;                /* of the spread of what all consumers would do at once */
    uint64_t now_ns;              /* monotonic */
};

struct cfc_datagram {
    const uint8_t *bytes; /* valid until the next receive */
    size_t size;
};

enum {
    CFC_PORT_BATCH = 64
};

/* Opens both sockets and joins the control group; without an address of the source's family on the
 * interface the port is down for now.  NOT_FOUND: no such interface; RESOURCE; IO; NO_MEMORY. */
int cfc_port_udp_open(const struct cfc_port_udp_config *config, struct cfc_port_udp **out);
void cfc_port_udp_close(struct cfc_port_udp *port); /* NULL is fine */

/* Closes the sockets in a forked child.  The port is of no use there afterwards.
 * Async-signal-safe. */
void cfc_port_udp_abandon(struct cfc_port_udp *port);

/* Joins one more group (idempotent), now or when the port comes up.  LIMIT: more groups than a
 * fleet has; RESOURCE: the system's limit of memberships; IO. */
int cfc_port_udp_join(struct cfc_port_udp *port, const struct cfc_fleet_address *group);

/* Looks after the interface; cheap while datagrams come.  Call it every second at least.  True when
 * the port came up, went down or was opened anew. */
bool cfc_port_udp_tend(struct cfc_port_udp *port, uint64_t now_ns);

/* Up to CFC_PORT_BATCH datagrams that are there now, from the engine only (others are counted and
 * dropped).  Returns their count. */
size_t cfc_port_udp_receive(struct cfc_port_udp *port, struct cfc_datagram *datagrams);

/* Whether the last receive took all that was there when it began; what poll(2) found nothing in
 * counts as empty.  True while the port is down. */
bool cfc_port_udp_is_drained(const struct cfc_port_udp *port);

/* What poll(2) just said of the two descriptors, in the order of cfc_port_udp_fds(): the next
 * receive leaves alone what has nothing.  It need not be called. */
void cfc_port_udp_polled(struct cfc_port_udp *port, bool is_group_readable,
                         bool is_unicast_readable);

/* One datagram to the engine.  CONFCAST_OK; AGAIN: the socket is full, or the network is down: the
 * protocol repeats it anyway. */
int cfc_port_udp_send(struct cfc_port_udp *port, const void *bytes, size_t size);

/* The two descriptors to poll for reading; -1 while it is down. */
void cfc_port_udp_fds(const struct cfc_port_udp *port, int fds[2]);

struct cfc_port_udp_stats {
    uint64_t datagrams;
    uint64_t wrong_source; /* dropped: not from the engine */
    uint64_t truncated;    /* dropped: longer than any frame */
    uint64_t overflows;    /* dropped by the kernel: the buffer was full (SO_RXQ_OVFL) */
    uint64_t opened;       /* times that the sockets were opened */
    uint64_t rejoined;     /* times that the groups were joined again in silence */
    uint32_t buffer_size;  /* what the system granted, bytes */
    bool is_up;
};
const struct cfc_port_udp_stats *cfc_port_udp_stats(const struct cfc_port_udp *port);

#endif
