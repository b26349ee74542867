#include "dataplane/net_header.h"

#include <assert.h>
#include <string.h>

enum {
    IPV4_VERSION_IHL = 0x45,
    IPV4_DONT_FRAGMENT = 0x4000,
    ARP_HARDWARE_ETHERNET = 1,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    UDP_PAYLOAD_SIZE_MAX = 65507,
};

static void
put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void
put_be32(uint8_t *p, uint32_t v)
{
    put_be16(p, (uint16_t)(v >> 16));
    put_be16(p + 2, (uint16_t)v);
}

static uint16_t
get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
get_be32(const uint8_t *p)
{
    return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
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

void
cfc_net_group_mac(uint32_t group_ip, uint8_t mac[CFC_MAC_ADDRESS_SIZE])
{
    mac[0] = 0x01;
    mac[1] = 0x00;
    mac[2] = 0x5e;
    mac[3] = (uint8_t)(group_ip >> 16 & 0x7f);
    mac[4] = (uint8_t)(group_ip >> 8);
    mac[5] = (uint8_t)group_ip;
}

void
cfc_net_template_init(struct cfc_net_template *t, const struct cfc_net_endpoint *from,
                      const struct cfc_net_endpoint *to, uint8_t ttl)
{
    uint8_t *ip = t->bytes + CFC_ETHERNET_SIZE;
    uint8_t *udp = ip + CFC_IPV4_SIZE;

    assert(ttl > 0);
    memset(t, 0, sizeof(*t));
    memcpy(t->bytes, to->mac, CFC_MAC_ADDRESS_SIZE);
    memcpy(t->bytes + CFC_MAC_ADDRESS_SIZE, from->mac, CFC_MAC_ADDRESS_SIZE);
    put_be16(t->bytes + 12, CFC_ETHERTYPE_IPV4);
    ip[0] = IPV4_VERSION_IHL;
    put_be16(ip + 6, IPV4_DONT_FRAGMENT);
    ip[8] = ttl;
    ip[9] = CFC_IP_PROTOCOL_UDP;
    put_be32(ip + 12, from->ip);
    put_be32(ip + 16, to->ip);
    put_be16(udp, from->port);
    put_be16(udp + 2, to->port);
    t->ip_sum = sum_words(0, ip, CFC_IPV4_SIZE);
}

void
cfc_net_template_write(const struct cfc_net_template *t, size_t payload_size,
                       uint8_t header[CFC_NET_HEADER_SIZE])
{
    uint8_t *ip = header + CFC_ETHERNET_SIZE;
    uint16_t udp_size = (uint16_t)(CFC_UDP_SIZE + payload_size);
    uint16_t ip_size = (uint16_t)(CFC_IPV4_SIZE + udp_size);

    assert(payload_size <= UDP_PAYLOAD_SIZE_MAX);
    memcpy(header, t->bytes, CFC_NET_HEADER_SIZE);
    put_be16(ip + 2, ip_size);
    put_be16(ip + 10, fold(t->ip_sum + ip_size));
    put_be16(ip + CFC_IPV4_SIZE + 4, udp_size);
}

uint16_t
cfc_net_checksum(uint32_t initial, const uint8_t *bytes, size_t size)
{
    return fold(sum_words(initial, bytes, size));
}

bool
cfc_net_udp_checksum_holds(uint32_t from_ip, uint32_t to_ip, const uint8_t *udp, size_t size)
{
    uint32_t pseudo = (from_ip >> 16) + (from_ip & 0xffff) + (to_ip >> 16) + (to_ip & 0xffff) +
                      CFC_IP_PROTOCOL_UDP + (uint32_t)size;

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
        get_be32(arp + 24) != own->ip) {
        return false;
    }
    memcpy(reply, arp + 8, CFC_MAC_ADDRESS_SIZE);
    memcpy(reply + CFC_MAC_ADDRESS_SIZE, own->mac, CFC_MAC_ADDRESS_SIZE);
    put_be16(reply + 12, CFC_ETHERTYPE_ARP);
    memcpy(answer, arp, 6);
    put_be16(answer + 6, ARP_REPLY);
    memcpy(answer + 8, own->mac, CFC_MAC_ADDRESS_SIZE);
    put_be32(answer + 14, own->ip);
    memcpy(answer + 18, arp + 8, CFC_MAC_ADDRESS_SIZE + 4);
    return true;
}
