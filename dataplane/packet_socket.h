/* The packet sockets that net_af_packet has opened in this process.
 *
 * The kernel sends a frame of their transmit ring only while less than SO_SNDBUF of the socket is
 * under way, some 90 frames as it comes.  What is above stays in the ring until the next system
 * call for it: the PMD has reported it as sent, makes that call with its next burst only, and has
 * no function for it.  So on a link that holds frames up, the last ones of a content, up to a whole
 * ring, did not go before somebody asked for them. */
#ifndef CFC_DATAPLANE_PACKET_SOCKET_H
#define CFC_DATAPLANE_PACKET_SOCKET_H

#include <stdint.h>

/* Gives each AF_PACKET socket of the process room for `size` bytes that are under way, as the
 * kernel counts them.  By the first lcore, after the device has started.  The number of sockets
 * that have it now; less than there are without CAP_NET_ADMIN, where `size` is above
 * net.core.wmem_max. */
uint32_t cfc_packet_sockets_widen(uint32_t size);

#endif
