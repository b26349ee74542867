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

static uint32_t
get_be32(const uint8_t *p)
{
    return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
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
is_answerable(uint32_t ip, uint16_t port)
{
    return ip >> 24 != 0 && ip >> 24 != 127 && ip >> 28 < 0xe && port != 0;
}

/* `udp` holds `size` bytes: the rest of the IPv4 datagram. */
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
    if (rules->is_checksum_final && get_be16(udp + 6) != 0 &&
        !cfc_net_udp_checksum_holds(out->from.ip, rules->ip, udp, udp_size)) {
        return CFC_RX_CHECKSUM;
    }
    out->payload = udp + CFC_UDP_SIZE;
    out->payload_size = udp_size - CFC_UDP_SIZE;
    out->address = cfc_address_ipv4(out->from.ip, out->from.port);
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
    out->from.ip = get_be32(ip + 12);
    if (out->from.ip == rules->ip) {
        return CFC_RX_OWN;
    }
    if (ip[9] != CFC_IP_PROTOCOL_UDP || get_be32(ip + 16) != rules->ip) {
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
    if (get_be16(frame + 12) != CFC_ETHERTYPE_IPV4) {
        return CFC_RX_FOREIGN;
    }
    memcpy(datagram.from.mac, frame + CFC_MAC_ADDRESS_SIZE, CFC_MAC_ADDRESS_SIZE);
    verdict = parse_ipv4(rules, frame + CFC_ETHERNET_SIZE, size - CFC_ETHERNET_SIZE, &datagram);
    if (verdict == CFC_RX_DATAGRAM) {
        *out = datagram;
    }
    return verdict;
}
