/* Which Ethernet address leads to a consumer: learnt from the frames that consumers send, so that
 * the engine needs neither the kernel's tables nor ARP requests, and a consumer behind a router is
 * reached through the router.  A cache of fixed size: 4 ways a set, the oldest entry goes.  One
 * thread owns a table. */
#ifndef CFC_DATAPLANE_NEIGHBOR_H
#define CFC_DATAPLANE_NEIGHBOR_H

#include <stdint.h>

#include "dataplane/net_header.h"

struct cfc_neighbors;

/* Room for at least `count` (1..2^20) addresses when they spread well.  NULL when out of memory.
 * `seed` keeps outsiders from choosing addresses that share a set. */
struct cfc_neighbors *cfc_neighbors_new(uint32_t count, uint64_t seed);
void cfc_neighbors_free(struct cfc_neighbors *n);

/* Notes where `ip` was last heard from. */
void cfc_neighbors_learn(struct cfc_neighbors *n, const uint8_t ip[CFC_IP_SIZE],
                         const uint8_t mac[CFC_MAC_ADDRESS_SIZE], uint64_t now_ns);

/* 6 bytes, valid until the next learn; NULL when the address is not known. */
const uint8_t *cfc_neighbors_find(const struct cfc_neighbors *n, const uint8_t ip[CFC_IP_SIZE]);

#endif
