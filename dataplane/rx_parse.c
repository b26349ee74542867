#include "dataplane/rx_parse.h"

#include <string.h>

enum {
    IPV4_FRAGMENT_MASK = 0x3fff, /* more-fragments and offset */
};

static uint16_t
get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

const char *
cfc_rx_verdict_word(enum cfc_rx_verdict verdict)
{
    static const char *const words[] = {
#define WORD_(name, word, text) word,
        CFC_RX_VERDICTS(WORD_)
#undef WORD_
    };

    return (unsigned)verdict < CFC_RX_VERDICT_COUNT ? words[verdict] : "?";
}

static bool
is_answerable(const uint8_t ip[CFC_IP_SIZE], uint16_t port)
{
    static const uint8_t loopback6[CFC_IP_SIZE] = {[15] = 1};

    if (port == 0) {
        return false;
    }
    if (cfc_net_is_ipv4(ip)) {
        return ip[12] != 0 && ip[12] != 127 && ip[12] < 0xe0;
    }
    return cfc_net_is_given(ip) && ip[0] != 0xff && memcmp(ip, loopback6, sizeof(loopback6)) != 0;
}

/* `udp` holds `size` bytes: the rest of the IP datagram. */
static enum cfc_rx_verdict
parse_udp(const struct cfc_rx_rules *rules, const uint8_t *udp, size_t size,
          struct cfc_rx_datagram *out)
{
    size_t udp_size;

    if (size < CFC_UDP_SIZE) {
        return CFC_RX_RUNT;
    }
    if (get_be16(udp + 2) != rules->port) {
        return CFC_RX_FOREIGN;
    }
    udp_size = get_be16(udp + 4);
    if (udp_size < CFC_UDP_SIZE || udp_size != size) {
        return CFC_RX_LENGTH;
    }
    out->from.port = get_be16(udp);
    if (!is_answerable(out->from.ip, out->from.port)) {
        return CFC_RX_SOURCE;
    }
    if (rules->is_checksum_final && (get_be16(udp + 6) != 0 || !cfc_net_is_ipv4(out->from.ip)) &&
        !cfc_net_udp_checksum_holds(out->from.ip, rules->ip, udp, udp_size)) {
        return CFC_RX_CHECKSUM;
    }
    out->payload = udp + CFC_UDP_SIZE;
    out->payload_size = udp_size - CFC_UDP_SIZE;
    memcpy(out->address.ip, out->from.ip, sizeof(out->address.ip));
    out->address.port = out->from.port;
    return CFC_RX_DATAGRAM;
}

static enum cfc_rx_verdict
parse_ipv4(const struct cfc_rx_rules *rules, const uint8_t *ip, size_t size,
           struct cfc_rx_datagram *out)
{
    size_t header_size;
    size_t ip_size;

    if (size < CFC_IPV4_SIZE) {
        return CFC_RX_RUNT;
    }
    header_size = (size_t)(ip[0] & 0xf) * 4;
    if (ip[0] >> 4 != 4 || header_size < CFC_IPV4_SIZE) {
        return CFC_RX_HEADER;
    }
    if (header_size > size) {
        return CFC_RX_RUNT;
    }
    memcpy(out->from.ip, (const uint8_t[CFC_IP_SIZE])CFC_NET_IPV4(0), CFC_IP_SIZE);
    memcpy(out->from.ip + 12, ip + 12, 4);
    if (memcmp(out->from.ip, rules->ip, CFC_IP_SIZE) == 0) {
        return CFC_RX_OWN;
    }
    if (ip[9] != CFC_IP_PROTOCOL_UDP || !cfc_net_is_ipv4(rules->ip) ||
        memcmp(ip + 16, rules->ip + 12, 4) != 0) {
        return CFC_RX_FOREIGN;
    }
    if (cfc_net_checksum(0, ip, header_size) != 0) {
        return CFC_RX_HEADER;
    }
    ip_size = get_be16(ip + 2);
    if (ip_size < header_size || ip_size > size) {
        return CFC_RX_LENGTH;
    }
    if ((get_be16(ip + 6) & IPV4_FRAGMENT_MASK) != 0) {
        return CFC_RX_FRAGMENT;
    }
    return parse_udp(rules, ip + header_size, ip_size - header_size, out);
}

/* Extension headers are foreign: nobody has a reason to send us any, and walking them is work that
 * an outsider could order. */
static enum cfc_rx_verdict
parse_ipv6(const struct cfc_rx_rules *rules, const uint8_t *ip, size_t size,
           struct cfc_rx_datagram *out)
{
    size_t payload_size;
    bool is_for_us;

    if (size < CFC_IPV6_SIZE) {
        return CFC_RX_RUNT;
    }
    if (ip[0] >> 4 != 6) {
        return CFC_RX_HEADER;
    }
    memcpy(out->from.ip, ip + 8, CFC_IP_SIZE);
    if (memcmp(out->from.ip, rules->ip, CFC_IP_SIZE) == 0) {
        return CFC_RX_OWN;
    }
    if (cfc_net_is_ipv4(out->from.ip)) {
        return CFC_RX_SOURCE; /* never on a wire (RFC 4291), and it would pass for an IPv4 consumer
                               */
    }
    if (ip[6] == CFC_IP_PROTOCOL_ICMPV6 && size > CFC_IPV6_SIZE &&
        ip[CFC_IPV6_SIZE] == CFC_ICMPV6_SOLICITATION) {
        return CFC_RX_ND;
    }
    is_for_us = memcmp(ip + 24, rules->ip, CFC_IP_SIZE) == 0;
    if (is_for_us && ip[6] == CFC_IP_PROTOCOL_FRAGMENT) {
        return CFC_RX_FRAGMENT;
    }
    if (!is_for_us || ip[6] != CFC_IP_PROTOCOL_UDP) {
        return CFC_RX_FOREIGN;
    }
    payload_size = get_be16(ip + 4);
    if (payload_size > size - CFC_IPV6_SIZE) {
        return CFC_RX_LENGTH;
    }
    return parse_udp(rules, ip + CFC_IPV6_SIZE, payload_size, out);
}

enum cfc_rx_verdict
cfc_rx_parse(const struct cfc_rx_rules *rules, const uint8_t *frame, size_t size,
             struct cfc_rx_datagram *out)
{
    struct cfc_rx_datagram datagram = {0};
    enum cfc_rx_verdict verdict;

    if (size < CFC_ETHERNET_SIZE) {
        return CFC_RX_RUNT;
    }
    if (get_be16(frame + 12) == CFC_ETHERTYPE_ARP) {
        return CFC_RX_ARP;
    }
    memcpy(datagram.from.mac, frame + CFC_MAC_ADDRESS_SIZE, CFC_MAC_ADDRESS_SIZE);
    if (get_be16(frame + 12) == CFC_ETHERTYPE_IPV4) {
        verdict = parse_ipv4(rules, frame + CFC_ETHERNET_SIZE, size - CFC_ETHERNET_SIZE, &datagram);
    } else if (get_be16(frame + 12) == CFC_ETHERTYPE_IPV6) {
        verdict = parse_ipv6(rules, frame + CFC_ETHERNET_SIZE, size - CFC_ETHERNET_SIZE, &datagram);
    } else {
        verdict = CFC_RX_FOREIGN;
    }
    if (verdict == CFC_RX_DATAGRAM) {
        *out = datagram;
    }
    return verdict;
}
