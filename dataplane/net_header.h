/* Ethernet, IPv4 and UDP in front of a datagram that the engine sends, and the one ARP answer that
 * it gives.  Pure functions over bytes: no I/O, no state; any thread.  IPv6 is not built.
 *
 * The IPv4 header has no options, the don't-fragment bit and identification 0 (RFC 6864 allows any
 * value in an atomic datagram).  The UDP checksum is 0, which RFC 768 reads as "none": every byte
 * that matters is under a digest, a signature or a MAC, and a software checksum costs more than
 * the rest of the header. */
#ifndef CFC_DATAPLANE_NET_HEADER_H
#define CFC_DATAPLANE_NET_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_MAC_ADDRESS_SIZE = 6,
    CFC_ETHERNET_SIZE = 14,
    CFC_IPV4_SIZE = 20,
    CFC_UDP_SIZE = 8,
    CFC_NET_HEADER_SIZE = CFC_ETHERNET_SIZE + CFC_IPV4_SIZE + CFC_UDP_SIZE,
    CFC_ARP_FRAME_SIZE = 42,

    CFC_ETHERTYPE_IPV4 = 0x0800,
    CFC_ETHERTYPE_ARP = 0x0806,
    CFC_IP_PROTOCOL_UDP = 17,
};

struct cfc_net_endpoint {
    uint8_t mac[CFC_MAC_ADDRESS_SIZE];
    uint32_t ip; /* IPv4, host order */
    uint16_t port;
};

/* A header in which only the lengths are open. */
struct cfc_net_template {
    uint8_t bytes[CFC_NET_HEADER_SIZE];
    uint32_t ip_sum; /* ones' complement sum of the IPv4 header without its length, unfolded */
};

static inline bool
cfc_net_is_multicast(uint32_t ip)
{
    return ip >> 28 == 0xe;
}

/* The Ethernet address of an IPv4 group (RFC 1112, section 6.4). */
void cfc_net_group_mac(uint32_t group_ip, uint8_t mac[CFC_MAC_ADDRESS_SIZE]);

/* `ttl` 1..255. */
void cfc_net_template_init(struct cfc_net_template *t, const struct cfc_net_endpoint *from,
                           const struct cfc_net_endpoint *to, uint8_t ttl);

/* Writes the header of a datagram with `payload_size` <= 65,507 bytes. */
void cfc_net_template_write(const struct cfc_net_template *t, size_t payload_size,
                            uint8_t header[CFC_NET_HEADER_SIZE]);

/* The checksum of RFC 1071 in host order, to be stored big endian; 0 over bytes that include a
 * right one.  `initial` is the sum of what precedes, 0 for none; an odd last byte counts as if a
 * zero followed. */
uint16_t cfc_net_checksum(uint32_t initial, const uint8_t *bytes, size_t size);

/* Whether the UDP checksum over `udp` (header and payload, `size` bytes) holds. */
bool cfc_net_udp_checksum_holds(uint32_t from_ip, uint32_t to_ip, const uint8_t *udp, size_t size);

/* Answers an ARP request for our own address, for ports whose frames the kernel does not see.
 * False when `frame` is anything else: nothing is written then. */
bool cfc_net_arp_reply(const uint8_t *frame, size_t size, const struct cfc_net_endpoint *own,
                       uint8_t reply[CFC_ARP_FRAME_SIZE]);

#endif
