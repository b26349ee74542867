/* Packets from an engine to the groups of a fleet, for the tests of the XDP filter: IPv4, or IPv6
 * while is_ipv6 is set. */
#ifndef CFC_TESTS_XDP_FIXTURE_H
#define CFC_TESTS_XDP_FIXTURE_H

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "consumer/xdp/filter.h"
#include "protocol/base/endian.h"
#include "protocol/wire/frame.h"

enum {
    ETH = 14,
    VLAN = 4,
    IPV4 = 20,
    IPV6 = 40,
    UDP = 8,
    PORT = 7500,
    GROUPS = 4,
    PACKET_MAX = 2048,
    EXIT_SKIP = 77,
};

static const uint8_t SOURCE4[4] = {10, 77, 0, 1};
static const uint8_t BASE4[4] = {239, 7, 0, 0};
static const uint8_t SOURCE6[16] = {0xfd, [15] = 1};
static const uint8_t BASE6[16] = {0xff, 0x35, [14] = 0x10};

/* Scopes of group 1 and 2, and contents. */
#define MINE      UINT64_C(0x1111111111110001)
#define FOREIGN   UINT64_C(0x2222222222220001)
#define ELSEWHERE UINT64_C(0x3333333333330002)
#define A         UINT64_C(0xaaaaaaaaaaaaaaa1)
#define B         UINT64_C(0xbbbbbbbbbbbbbbb2)
#define C         UINT64_C(0xccccccccccccccc3)

struct packet {
    uint8_t bytes[PACKET_MAX];
    size_t size;
    size_t ip; /* offsets */
    size_t udp;
    size_t frame;
};

static bool is_ipv6;

/* ---- Packets --------------------------------------------------------------------------------- */

static inline void
put_be16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

/* From the engine to a group, with `size` bytes of a datagram's payload that are zero. */
static inline struct packet
datagram(uint32_t group, size_t size)
{
    struct packet p = {.ip = ETH};
    uint8_t *ip = p.bytes + ETH;

    p.udp = ETH + (is_ipv6 ? IPV6 : IPV4);
    p.frame = p.udp + UDP;
    p.size = p.frame + size;
    memset(p.bytes, 2, 12);
    put_be16(p.bytes + 12, is_ipv6 ? ETH_P_IPV6 : ETH_P_IP);
    if (is_ipv6) {
        ip[0] = 0x60;
        put_be16(ip + 4, (unsigned)(UDP + size));
        ip[6] = IPPROTO_UDP;
        ip[7] = 1;
        memcpy(ip + 8, SOURCE6, 16);
        memcpy(ip + 24, BASE6, 16);
        ip[39] = (uint8_t)(ip[39] + group);
    } else {
        ip[0] = 0x45;
        put_be16(ip + 2, (unsigned)(IPV4 + UDP + size));
        ip[8] = 1;
        ip[9] = IPPROTO_UDP;
        memcpy(ip + 12, SOURCE4, 4);
        memcpy(ip + 16, BASE4, 4);
        ip[19] = (uint8_t)(ip[19] + group);
    }
    put_be16(p.bytes + p.udp, PORT);
    put_be16(p.bytes + p.udp + 2, PORT);
    put_be16(p.bytes + p.udp + 4, (unsigned)(UDP + size));
    return p;
}

static inline struct packet
packet_of(uint32_t group, uint8_t type, uint64_t key, size_t size)
{
    struct packet p = datagram(group, size);
    uint8_t *frame = p.bytes + p.frame;

    cfc_put_u16(frame, CFC_FRAME_MAGIC);
    frame[2] = CFC_FRAME_VERSION;
    frame[3] = type;
    cfc_put_u16(frame + 4, (uint16_t)size);
    cfc_put_u64(frame + 8, key);
    return p;
}

static inline struct packet
symbol(uint64_t content)
{
    return packet_of(1, CFC_FRAME_SYMBOL, content, 24 + 1400);
}

/* A content id, or zero. */
static inline void
put_digest(uint8_t *to, uint64_t key)
{
    memset(to, key != 0 ? 0x5a : 0, 32);
    cfc_put_u64(to, key);
}

/* A HEAD with up to four arms, of which the second has a label of 3 and 60 bytes. */
static inline struct packet
head(uint64_t scope_id, unsigned arm_count, const uint64_t *contents, const uint64_t *fallbacks)
{
    static const char path[] = "acme/checkout/prod";
    struct packet p = packet_of((uint32_t)(scope_id % GROUPS), CFC_FRAME_HEAD, scope_id, 700);
    uint8_t *frame = p.bytes + p.frame;
    uint8_t *arm = frame + 96 + sizeof(path) - 1;

    cfc_put_u16(frame + 18, sizeof(path) - 1);
    frame[22] = (uint8_t)arm_count;
    memcpy(frame + 96, path, sizeof(path) - 1);
    for (unsigned i = 0; i < arm_count; i++) {
        if (i == 1) {
            arm[1] = 3;
            arm[2] = 60;
        }
        put_digest(arm + 8, contents[i]);
        put_digest(arm + 40, fallbacks != NULL ? fallbacks[i] : 0);
        arm += 72 + arm[1] + arm[2];
    }
    return p;
}

static inline struct packet
plain_head(uint64_t scope_id, uint64_t content)
{
    return head(scope_id, 1, &content, NULL);
}

/* The fleet that these packets are of. */
static inline struct cfc_xdp_filter_config
fleet_config(void)
{
    struct cfc_xdp_filter_config config = {.source = {.family = is_ipv6 ? 6 : 4, .port = PORT},
                                           .group_base = {.family = is_ipv6 ? 6 : 4, .port = PORT},
                                           .group_count = GROUPS};

    memcpy(config.source.bytes, is_ipv6 ? SOURCE6 : SOURCE4, is_ipv6 ? 16 : 4);
    memcpy(config.group_base.bytes, is_ipv6 ? BASE6 : BASE4, is_ipv6 ? 16 : 4);
    return config;
}

#endif
