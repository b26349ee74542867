/* Ethernet, IPv4 or IPv6, and UDP in front of a datagram that the engine sends, and the two answers
 * that it gives as a host: ARP (RFC 826) and neighbour advertisement (RFC 4861).  Pure functions
 * over bytes: no I/O, no state; any thread.
 *
 * Addresses are 16 bytes, IPv4 mapped into IPv6 (RFC 4291, section 2.5.5.2).
 *
 * The IPv4 header has no options, the don't-fragment bit and identification 0 (RFC 6864 allows any
 * value in an atomic datagram).  Its UDP checksum is 0, which RFC 768 reads as "none": every byte
 * that matters is under a digest, a signature or a MAC, and a software checksum costs more than
 * the rest of the header.  Over IPv6 there is none without a checksum (RFC 8200, section 8.1), so
 * there cfc_net_template_seal() computes it. */
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
    CFC_IPV6_SIZE = 40,
    CFC_NET_HEADER_SIZE = CFC_ETHERNET_SIZE + CFC_IPV4_SIZE + CFC_UDP_SIZE, /* over IPv4 */
    CFC_NET_HEADER6_SIZE = CFC_ETHERNET_SIZE + CFC_IPV6_SIZE + CFC_UDP_SIZE,
    CFC_NET_HEADER_SIZE_MAX = CFC_NET_HEADER6_SIZE,
    CFC_ARP_FRAME_SIZE = 42,
    CFC_ND_FRAME_SIZE = CFC_ETHERNET_SIZE + CFC_IPV6_SIZE + 32,

    CFC_ETHERTYPE_IPV4 = 0x0800,
    CFC_ETHERTYPE_ARP = 0x0806,
    CFC_ETHERTYPE_IPV6 = 0x86dd,
    CFC_IP_PROTOCOL_UDP = 17,
    CFC_IP_PROTOCOL_FRAGMENT = 44, /* IPv6 */
    CFC_IP_PROTOCOL_ICMPV6 = 58,
    CFC_ICMPV6_SOLICITATION = 135,
    CFC_IP_SIZE = 16, /* bytes of an address here */
};

/* An IPv4 address in host order as an initializer of 16 bytes. */
#define CFC_NET_IPV4(ip)                                                                           \
    {                                                                                              \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (uint8_t)((uint32_t)(ip) >> 24),                 \
            (uint8_t)((uint32_t)(ip) >> 16), (uint8_t)((uint32_t)(ip) >> 8), (uint8_t)(ip)         \
    }

struct cfc_net_endpoint {
    uint8_t mac[CFC_MAC_ADDRESS_SIZE];
    uint8_t ip[CFC_IP_SIZE];
    uint16_t port;
};

/* A header in which only the lengths, and over IPv6 the checksum, are open. */
struct cfc_net_template {
    uint8_t bytes[CFC_NET_HEADER_SIZE_MAX];
    uint8_t size; /* of the header: CFC_NET_HEADER_SIZE or CFC_NET_HEADER6_SIZE */
    uint32_t sum; /* ones' complement sum, unfolded: of the IPv4 header without its length; of the
                     IPv6 pseudo header and the ports without the lengths */
};

bool cfc_net_is_ipv4(const uint8_t ip[CFC_IP_SIZE]);
bool cfc_net_is_multicast(const uint8_t ip[CFC_IP_SIZE]);
bool cfc_net_is_given(const uint8_t ip[CFC_IP_SIZE]); /* not all zero */
size_t cfc_net_header_size(const uint8_t ip[CFC_IP_SIZE]);

/* The address `addend` above, counted in its last 32 bits. */
void cfc_net_add(uint8_t ip[CFC_IP_SIZE], uint32_t addend);

/* The Ethernet address of a group (RFC 1112, section 6.4; RFC 2464, section 7). */
void cfc_net_group_mac(const uint8_t group_ip[CFC_IP_SIZE], uint8_t mac[CFC_MAC_ADDRESS_SIZE]);

/* `ttl` 1..255; both ends are of one family. */
void cfc_net_template_init(struct cfc_net_template *t, const struct cfc_net_endpoint *from,
                           const struct cfc_net_endpoint *to, uint8_t ttl);

/* Writes the header of a datagram with `payload_size` <= 65,487 bytes: t->size bytes. */
void cfc_net_template_write(const struct cfc_net_template *t, size_t payload_size, uint8_t *header);

/* Completes the header with the UDP checksum where it needs one.  Behind the header lie `room_size`
 * bytes of the payload; the rest of it, perhaps none, is at `rest`. */
void cfc_net_template_seal(const struct cfc_net_template *t, uint8_t *header, size_t room_size,
                           const uint8_t *rest, size_t rest_size);

/* The checksum of RFC 1071 in host order, to be stored big endian; 0 over bytes that include a
 * right one.  `initial` is the sum of what precedes, 0 for none; an odd last byte counts as if a
 * zero followed. */
uint16_t cfc_net_checksum(uint32_t initial, const uint8_t *bytes, size_t size);

/* Whether the UDP checksum over `udp` (header and payload, `size` bytes) holds. */
bool cfc_net_udp_checksum_holds(const uint8_t from_ip[CFC_IP_SIZE],
                                const uint8_t to_ip[CFC_IP_SIZE], const uint8_t *udp, size_t size);

/* Answers an ARP request for our own address, for ports whose frames the kernel does not see.
 * False when `frame` is anything else: nothing is written then. */
bool cfc_net_arp_reply(const uint8_t *frame, size_t size, const struct cfc_net_endpoint *own,
                       uint8_t reply[CFC_ARP_FRAME_SIZE]);

/* Answers a neighbour solicitation for our own address, likewise.  Not one from the unspecified
 * address: that is another host trying whether the address is free, which ours is not to be. */
bool cfc_net_nd_reply(const uint8_t *frame, size_t size, const struct cfc_net_endpoint *own,
                      uint8_t reply[CFC_ND_FRAME_SIZE]);

#endif
