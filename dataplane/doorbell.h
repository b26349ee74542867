/* A kernel UDP socket on the engine's address and port, for ports whose frames the kernel sees too
 * (net_af_packet).  It carries no data.  It does two things:
 *
 * - Without it the kernel would answer every NACK with ICMP port unreachable.
 * - An idle engine sleeps until it rings.  The packet socket gets each frame before the UDP socket
 *   does, so a ring means that the port has something.  Its filter cuts every datagram to nothing
 *   and its buffer holds but a few: what does not fit needs no ringing, the bell is up already.
 *   (The kernel counts those as UdpRcvbufErrors.)
 *
 * One thread owns it. */
#ifndef CFC_DATAPLANE_DOORBELL_H
#define CFC_DATAPLANE_DOORBELL_H

#include <stdint.h>

#include "dataplane/net_header.h"

/* The descriptor, or CONFCAST_ERR_EXISTS (somebody has the port),
 * CONFCAST_ERR_RESOURCE; the reason is logged. */
int cfc_doorbell_open(const uint8_t ip[CFC_IP_SIZE], uint16_t port);

/* Silences it.  Receive from the port afterwards, not before: what comes in between rings again. */
void cfc_doorbell_clear(int fd);

#endif
