/* Receiving by kernel UDP: one socket that joins the groups (source-specific, RFC 4607), one that
 * talks to the engine.  No privileges needed.  One thread owns a port. */
#ifndef CFC_CONSUMER_PORT_UDP_H
#define CFC_CONSUMER_PORT_UDP_H

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
};

struct cfc_datagram {
    const uint8_t *bytes; /* valid until the next receive */
    size_t size;
};

enum {
    CFC_PORT_BATCH = 64
};

/* Opens both sockets and joins the control group.  NOT_FOUND: no such interface, or it has no
 * address of the source's family; RESOURCE; IO. */
int cfc_port_udp_open(const struct cfc_port_udp_config *config, struct cfc_port_udp **out);
void cfc_port_udp_close(struct cfc_port_udp *port); /* NULL is fine */

/* Joins one more group (idempotent).  RESOURCE: the system's limit of memberships; IO. */
int cfc_port_udp_join(struct cfc_port_udp *port, const struct cfc_fleet_address *group);

/* Up to CFC_PORT_BATCH datagrams that are there now, from the engine only (others are counted and
 * dropped).  Returns their count. */
size_t cfc_port_udp_receive(struct cfc_port_udp *port, struct cfc_datagram *datagrams);

/* One datagram to the engine.  CONFCAST_OK; AGAIN: the socket is full, or the network is down: the
 * protocol repeats it anyway. */
int cfc_port_udp_send(struct cfc_port_udp *port, const void *bytes, size_t size);

/* The two descriptors to poll for reading. */
void cfc_port_udp_fds(const struct cfc_port_udp *port, int fds[2]);

struct cfc_port_udp_stats {
    uint64_t datagrams;
    uint64_t wrong_source; /* dropped: not from the engine */
    uint64_t truncated;    /* dropped: longer than any frame */
    uint64_t overflows;    /* dropped by the kernel: the buffer was full (SO_RXQ_OVFL) */
    uint32_t buffer_size;  /* what the system granted, bytes */
};
const struct cfc_port_udp_stats *cfc_port_udp_stats(const struct cfc_port_udp *port);

#endif
