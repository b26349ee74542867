#include "dataplane/net_header.h"

#include <assert.h>
#include <string.h>

enum {
    IPV4_VERSION_IHL = 0x45,
    IPV4_DONT_FRAGMENT = 0x4000,
    ARP_HARDWARE_ETHERNET = 1,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    UDP_PAYLOAD_SIZE_MAX = 65487,
    IPV6_VERSION = 0x60,
    ICMPV6_ADVERTISEMENT = 136,
    ND_SIZE = 24,    /* type, code, checksum, flags, target */
    ND_OPTION = 2,   /* target link-layer address */
    ND_FLAGS = 0x60, /* solicited, override */
    ND_HOP_LIMIT = 255,
};

static void
put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint16_t
get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
sum_words(uint32_t sum, const uint8_t *bytes, size_t size)
{
    size_t i;

    for (i = 0; i + 1 < size; i += 2) {
        sum += get_be16(bytes + i);
    }
    if (i < size) {
        sum += (uint32_t)bytes[i] << 8;
    }
    return sum;
}

static uint16_t
fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The sum of RFC 1071 in memory order, four bytes at a time; the order does not matter to it
 * (section 2.B). */
static uint64_t
sum_fast(uint64_t sum, const uint8_t *bytes, size_t size)
{
    uint32_t word;
    size_t i;

    for (i = 0; i + sizeof(word) <= size; i += sizeof(word)) {
        memcpy(&word, bytes + i, sizeof(word));
        sum += word;
    }
    if (i < size) {
        word = 0;
        memcpy(&word, bytes + i, size - i);
        sum += word;
    }
    return sum;
}

/* What sum_fast() gave, as sum_words() would have given it. */
static uint32_t
sum_in_order(uint64_t sum)
{
    uint8_t bytes[2];
    uint16_t folded;

    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    folded = (uint16_t)sum;
    memcpy(bytes, &folded, sizeof(bytes));
    return get_be16(bytes);
}

static const uint8_t ipv4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool
cfc_net_is_ipv4(const uint8_t ip[CFC_IP_SIZE])
{
    return memcmp(ip, ipv4_prefix, sizeof(ipv4_prefix)) == 0;
}

bool
cfc_net_is_multicast(const uint8_t ip[CFC_IP_SIZE])
{
    return cfc_net_is_ipv4(ip) ? ip[12] >> 4 == 0xe : ip[0] == 0xff;
}

bool
cfc_net_is_given(const uint8_t ip[CFC_IP_SIZE])
{
    static const uint8_t none[CFC_IP_SIZE];

    return memcmp(ip, none, sizeof(none)) != 0;
}

size_t
cfc_net_header_size(const uint8_t ip[CFC_IP_SIZE])
{
    return cfc_net_is_ipv4(ip) ? CFC_NET_HEADER_SIZE : CFC_NET_HEADER6_SIZE;
}

void
cfc_net_add(uint8_t ip[CFC_IP_SIZE], uint32_t addend)
{
    uint32_t low = ((uint32_t)get_be16(ip + 12) << 16 | (uint32_t)get_be16(ip + 14)) + addend;

    put_be16(ip + 12, (uint16_t)(low >> 16));
    put_be16(ip + 14, (uint16_t)low);
}

void
cfc_net_group_mac(const uint8_t group_ip[CFC_IP_SIZE], uint8_t mac[CFC_MAC_ADDRESS_SIZE])
{
    if (!cfc_net_is_ipv4(group_ip)) {
        mac[0] = 0x33;
        mac[1] = 0x33;
        memcpy(mac + 2, group_ip + 12, 4);
        return;
    }
    mac[0] = 0x01;
    mac[1] = 0x00;
    mac[2] = 0x5e;
    mac[3] = group_ip[13] & 0x7f;
    mac[4] = group_ip[14];
    mac[5] = group_ip[15];
}

static void
init_ipv4(struct cfc_net_template *t, const struct cfc_net_endpoint *from,
          const struct cfc_net_endpoint *to, uint8_t ttl)
{
    uint8_t *ip = t->bytes + CFC_ETHERNET_SIZE;

    ip[0] = IPV4_VERSION_IHL;
    put_be16(ip + 6, IPV4_DONT_FRAGMENT);
    ip[8] = ttl;
    ip[9] = CFC_IP_PROTOCOL_UDP;
    memcpy(ip + 12, from->ip + 12, 4);
    memcpy(ip + 16, to->ip + 12, 4);
    t->sum = sum_words(0, ip, CFC_IPV4_SIZE);
}

static void
init_ipv6(struct cfc_net_template *t, const struct cfc_net_endpoint *from,
          const struct cfc_net_endpoint *to, uint8_t hop_limit)
{
    uint8_t *ip = t->bytes + CFC_ETHERNET_SIZE;

    ip[0] = IPV6_VERSION;
    ip[6] = CFC_IP_PROTOCOL_UDP;
    ip[7] = hop_limit;
    memcpy(ip + 8, from->ip, CFC_IP_SIZE);
    memcpy(ip + 24, to->ip, CFC_IP_SIZE);
    t->sum =
        sum_words((uint32_t)CFC_IP_PROTOCOL_UDP + from->port + to->port, ip + 8, 2 * CFC_IP_SIZE);
}

void
cfc_net_template_init(struct cfc_net_template *t, const struct cfc_net_endpoint *from,
                      const struct cfc_net_endpoint *to, uint8_t ttl)
{
    bool is_ipv4 = cfc_net_is_ipv4(to->ip);
    uint8_t *udp;

    assert(ttl > 0 && is_ipv4 == cfc_net_is_ipv4(from->ip));
    memset(t, 0, sizeof(*t));
    t->size = (uint8_t)cfc_net_header_size(to->ip);
    memcpy(t->bytes, to->mac, CFC_MAC_ADDRESS_SIZE);
    memcpy(t->bytes + CFC_MAC_ADDRESS_SIZE, from->mac, CFC_MAC_ADDRESS_SIZE);
    put_be16(t->bytes + 12, is_ipv4 ? CFC_ETHERTYPE_IPV4 : CFC_ETHERTYPE_IPV6);
    udp = t->bytes + t->size - CFC_UDP_SIZE;
    put_be16(udp, from->port);
    put_be16(udp + 2, to->port);
    if (is_ipv4) {
        init_ipv4(t, from, to, ttl);
    } else {
        init_ipv6(t, from, to, ttl);
    }
}

void
cfc_net_template_write(const struct cfc_net_template *t, size_t payload_size, uint8_t *header)
{
    uint8_t *ip = header + CFC_ETHERNET_SIZE;
    uint16_t udp_size = (uint16_t)(CFC_UDP_SIZE + payload_size);

    assert(payload_size <= UDP_PAYLOAD_SIZE_MAX);
    if (t->size == CFC_NET_HEADER_SIZE) {
        uint16_t ip_size = (uint16_t)(CFC_IPV4_SIZE + udp_size);

        memcpy(header, t->bytes, CFC_NET_HEADER_SIZE);
        put_be16(ip + 2, ip_size);
        put_be16(ip + 10, fold(t->sum + ip_size));
        put_be16(ip + CFC_IPV4_SIZE + 4, udp_size);
        return;
    }
    memcpy(header, t->bytes, CFC_NET_HEADER6_SIZE);
    put_be16(ip + 4, udp_size);
    put_be16(ip + CFC_IPV6_SIZE + 4, udp_size);
}

void
cfc_net_template_seal(const struct cfc_net_template *t, uint8_t *header, size_t room_size,
                      const uint8_t *rest, size_t rest_size)
{
    uint32_t udp_size = (uint32_t)(CFC_UDP_SIZE + room_size + rest_size);
    uint8_t *udp = header + t->size - CFC_UDP_SIZE;
    uint32_t sum;
    uint16_t checksum;

    if (t->size == CFC_NET_HEADER_SIZE) {
        return;
    }
    /* A rest that begins at an odd byte counts with its bytes swapped (RFC 1071, section 2.B). */
    sum = sum_in_order(sum_fast(0, rest, rest_size));
    if (room_size % 2 != 0) {
        sum = (sum & 0xff) << 8 | sum >> 8;
    }
    /* The length counts twice: in the pseudo header and in UDP's own. */
    sum += t->sum + 2 * udp_size + sum_in_order(sum_fast(0, header + t->size, room_size));
    checksum = fold(sum);
    put_be16(udp + 6, checksum == 0 ? 0xffff : checksum);
}

uint16_t
cfc_net_checksum(uint32_t initial, const uint8_t *bytes, size_t size)
{
    return fold(sum_words(initial, bytes, size));
}

bool
cfc_net_udp_checksum_holds(const uint8_t from_ip[CFC_IP_SIZE], const uint8_t to_ip[CFC_IP_SIZE],
                           const uint8_t *udp, size_t size)
{
    size_t skip = cfc_net_is_ipv4(from_ip) ? sizeof(ipv4_prefix) : 0;
    uint32_t pseudo = CFC_IP_PROTOCOL_UDP + (uint32_t)size;

    pseudo = sum_words(pseudo, from_ip + skip, CFC_IP_SIZE - skip);
    pseudo = sum_words(pseudo, to_ip + skip, CFC_IP_SIZE - skip);
    return cfc_net_checksum(pseudo, udp, size) == 0;
}

bool
cfc_net_arp_reply(const uint8_t *frame, size_t size, const struct cfc_net_endpoint *own,
                  uint8_t reply[CFC_ARP_FRAME_SIZE])
{
    const uint8_t *arp = frame + CFC_ETHERNET_SIZE;
    uint8_t *answer = reply + CFC_ETHERNET_SIZE;

    if (size < CFC_ARP_FRAME_SIZE || get_be16(frame + 12) != CFC_ETHERTYPE_ARP ||
        get_be16(arp) != ARP_HARDWARE_ETHERNET || get_be16(arp + 2) != CFC_ETHERTYPE_IPV4 ||
        arp[4] != CFC_MAC_ADDRESS_SIZE || arp[5] != 4 || get_be16(arp + 6) != ARP_REQUEST ||
        !cfc_net_is_ipv4(own->ip) || memcmp(arp + 24, own->ip + 12, 4) != 0) {
        return false;
    }
    memcpy(reply, arp + 8, CFC_MAC_ADDRESS_SIZE);
    memcpy(reply + CFC_MAC_ADDRESS_SIZE, own->mac, CFC_MAC_ADDRESS_SIZE);
    put_be16(reply + 12, CFC_ETHERTYPE_ARP);
    memcpy(answer, arp, 6);
    put_be16(answer + 6, ARP_REPLY);
    memcpy(answer + 8, own->mac, CFC_MAC_ADDRESS_SIZE);
    memcpy(answer + 14, own->ip + 12, 4);
    memcpy(answer + 18, arp + 8, CFC_MAC_ADDRESS_SIZE + 4);
    return true;
}

/* The ICMPv6 checksum over a whole IPv6 packet whose payload has `size` bytes. */
static uint16_t
icmpv6_checksum(const uint8_t *ip, size_t size)
{
    uint32_t sum = sum_words(CFC_IP_PROTOCOL_ICMPV6 + (uint32_t)size, ip + 8, 2 * CFC_IP_SIZE);

    return cfc_net_checksum(sum, ip + CFC_IPV6_SIZE, size);
}

bool
cfc_net_nd_reply(const uint8_t *frame, size_t size, const struct cfc_net_endpoint *own,
                 uint8_t reply[CFC_ND_FRAME_SIZE])
{
    const uint8_t *ip = frame + CFC_ETHERNET_SIZE;
    const uint8_t *icmp = ip + CFC_IPV6_SIZE;
    uint8_t *ip_out = reply + CFC_ETHERNET_SIZE;
    uint8_t *icmp_out = ip_out + CFC_IPV6_SIZE;
    size_t icmp_size = size >= CFC_ETHERNET_SIZE + CFC_IPV6_SIZE ? get_be16(ip + 4) : 0;

    /* RFC 4861, section 7.1.1. */
    if (icmp_size < ND_SIZE || size < CFC_ETHERNET_SIZE + CFC_IPV6_SIZE + icmp_size ||
        get_be16(frame + 12) != CFC_ETHERTYPE_IPV6 || ip[0] >> 4 != 6 ||
        ip[6] != CFC_IP_PROTOCOL_ICMPV6 || ip[7] != ND_HOP_LIMIT ||
        icmp[0] != CFC_ICMPV6_SOLICITATION || icmp[1] != 0 || !cfc_net_is_given(ip + 8) ||
        cfc_net_is_multicast(ip + 8) || memcmp(icmp + 8, own->ip, CFC_IP_SIZE) != 0 ||
        icmpv6_checksum(ip, icmp_size) != 0) {
        return false;
    }
    memset(reply, 0, CFC_ND_FRAME_SIZE);
    memcpy(reply, frame + CFC_MAC_ADDRESS_SIZE, CFC_MAC_ADDRESS_SIZE);
    memcpy(reply + CFC_MAC_ADDRESS_SIZE, own->mac, CFC_MAC_ADDRESS_SIZE);
    put_be16(reply + 12, CFC_ETHERTYPE_IPV6);
    ip_out[0] = IPV6_VERSION;
    put_be16(ip_out + 4, ND_SIZE + 8);
    ip_out[6] = CFC_IP_PROTOCOL_ICMPV6;
    ip_out[7] = ND_HOP_LIMIT;
    memcpy(ip_out + 8, own->ip, CFC_IP_SIZE);
    memcpy(ip_out + 24, ip + 8, CFC_IP_SIZE);
    icmp_out[0] = ICMPV6_ADVERTISEMENT;
    icmp_out[4] = ND_FLAGS;
    memcpy(icmp_out + 8, own->ip, CFC_IP_SIZE);
    icmp_out[ND_SIZE] = ND_OPTION;
    icmp_out[ND_SIZE + 1] = 1;
    memcpy(icmp_out + ND_SIZE + 2, own->mac, CFC_MAC_ADDRESS_SIZE);
    put_be16(icmp_out + 2, icmpv6_checksum(ip_out, ND_SIZE + 8));
    return true;
}
