/* Headers that the engine writes: golden bytes, checksums against known ones, and its ARP answer.
 */
#include <string.h>

#include "dataplane/net_header.h"
#include "tests/unit/cunit_main.h"

#define IPV4(ip) ((const uint8_t[CFC_IP_SIZE])CFC_NET_IPV4(ip))

static const struct cfc_net_endpoint engine = {
    .mac = {0x02, 0x00, 0x00, 0x00, 0x00, 0x01}, .ip = CFC_NET_IPV4(0x0a4d0001), .port = 7500};

static void
group_addresses_map_to_their_low_23_bits(void)
{
    static const uint8_t plain[6] = {0x01, 0x00, 0x5e, 0x4d, 0x00, 0x01};
    static const uint8_t high_bit_lost[6] = {0x01, 0x00, 0x5e, 0x7f, 0xff, 0xff};
    uint8_t mac[6];

    cfc_net_group_mac(IPV4(0xef4d0001), mac);
    CU_ASSERT_EQUAL(memcmp(mac, plain, 6), 0);
    cfc_net_group_mac(IPV4(0xefffffff), mac);
    CU_ASSERT_EQUAL(memcmp(mac, high_bit_lost, 6), 0);
}

static void
a_header_has_these_bytes(void)
{
    /* The IPv4 checksum was computed by hand: 4500 + 05c8 + 0000 + 4000 + 0811 + 0a4d + 0001 +
     * ef4d + 0001 = 18c75, folded 8c76, complemented 7389. */
    static const uint8_t golden[CFC_NET_HEADER_SIZE] = {
        0x01, 0x00, 0x5e, 0x4d, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00,
        0x45, 0x00, 0x05, 0xc8, 0x00, 0x00, 0x40, 0x00, 0x08, 0x11, 0x73, 0x89, 0x0a, 0x4d,
        0x00, 0x01, 0xef, 0x4d, 0x00, 0x01, 0x1d, 0x4c, 0x1d, 0x4d, 0x05, 0xb4, 0x00, 0x00};
    struct cfc_net_endpoint group = {.ip = CFC_NET_IPV4(0xef4d0001), .port = 7501};
    struct cfc_net_template template;
    uint8_t header[CFC_NET_HEADER_SIZE];

    cfc_net_group_mac(group.ip, group.mac);
    cfc_net_template_init(&template, &engine, &group, 8);
    cfc_net_template_write(&template, 1452, header);
    CU_ASSERT_EQUAL(memcmp(header, golden, sizeof(golden)), 0);
}

static void
the_ip_checksum_holds_for_every_size_and_address(void)
{
    static const uint32_t addresses[] = {0x0a4d0001, 0xffffffff, 0x00000001, 0xc0a80164};
    static const size_t sizes[] = {0, 1, 1472, 8932, 65487};

    for (size_t a = 0; a < sizeof(addresses) / sizeof(addresses[0]); a++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            struct cfc_net_endpoint from = engine;
            struct cfc_net_endpoint to = {.ip = CFC_NET_IPV4(~addresses[a]), .port = 0xffff};
            struct cfc_net_template template;
            uint8_t header[CFC_NET_HEADER_SIZE];
            size_t ip_size;

            memcpy(from.ip, (const uint8_t[CFC_IP_SIZE])CFC_NET_IPV4(addresses[a]), CFC_IP_SIZE);
            cfc_net_template_init(&template, &from, &to, 255);
            cfc_net_template_write(&template, sizes[s], header);
            CU_ASSERT_EQUAL(cfc_net_checksum(0, header + CFC_ETHERNET_SIZE, CFC_IPV4_SIZE), 0);
            ip_size = (size_t)header[16] << 8 | header[17];
            CU_ASSERT_EQUAL(ip_size, sizes[s] + CFC_IPV4_SIZE + CFC_UDP_SIZE);
        }
    }
}

static void
one_template_writes_many_sizes(void)
{
    struct cfc_net_endpoint to = {.ip = CFC_NET_IPV4(0x0a4d000b), .port = 40000};
    struct cfc_net_template template;
    uint8_t small[CFC_NET_HEADER_SIZE];
    uint8_t again[CFC_NET_HEADER_SIZE];

    cfc_net_template_init(&template, &engine, &to, 64);
    cfc_net_template_write(&template, 100, small);
    cfc_net_template_write(&template, 1472, again);
    CU_ASSERT_NOT_EQUAL(memcmp(small, again, sizeof(small)), 0);
    cfc_net_template_write(&template, 100, again);
    CU_ASSERT_EQUAL(memcmp(small, again, sizeof(small)), 0);
}

static void
the_checksum_is_that_of_rfc_1071(void)
{
    /* The example of its section 3: 0001 f203 f4f5 f6f7 sums to ddf2. */
    static const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    static const uint8_t odd[] = {0x00, 0x01, 0xf2};

    CU_ASSERT_EQUAL(cfc_net_checksum(0, example, sizeof(example)), 0x220d);
    CU_ASSERT_EQUAL(cfc_net_checksum(0, odd, sizeof(odd)), (uint16_t)~0xf201);
    CU_ASSERT_EQUAL(cfc_net_checksum(0, NULL, 0), 0xffff);
}

static void
a_udp_checksum_covers_addresses_ports_and_payload(void)
{
    /* 10.77.0.11:40000 -> 10.77.0.1:7500, payload "abc": computed by hand over the pseudo header.
     * 0a4d+000b+0a4d+0001+0011+000b + 9c40+1d4c+000b+0000 + 6162+6300 = 192bb -> 92bc -> 6d43 */
    uint8_t udp[] = {0x9c, 0x40, 0x1d, 0x4c, 0x00, 0x0b, 0x6d, 0x43, 'a', 'b', 'c'};

    CU_ASSERT_TRUE(
        cfc_net_udp_checksum_holds(IPV4(0x0a4d000b), IPV4(0x0a4d0001), udp, sizeof(udp)));
    CU_ASSERT_FALSE(
        cfc_net_udp_checksum_holds(IPV4(0x0a4d000c), IPV4(0x0a4d0001), udp, sizeof(udp)));
    for (size_t i = 0; i < sizeof(udp); i++) {
        udp[i] ^= 0x10;
        CU_ASSERT_FALSE(
            cfc_net_udp_checksum_holds(IPV4(0x0a4d000b), IPV4(0x0a4d0001), udp, sizeof(udp)));
        udp[i] ^= 0x10;
    }
}

static const uint8_t arp_request[CFC_ARP_FRAME_SIZE] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x08, 0x06,
    0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b,
    0x0a, 0x4d, 0x00, 0x0b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x4d, 0x00, 0x01};

static void
an_arp_request_for_us_is_answered(void)
{
    static const uint8_t golden[CFC_ARP_FRAME_SIZE] = {
        0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06,
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
        0x0a, 0x4d, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x0a, 0x4d, 0x00, 0x0b};
    uint8_t reply[CFC_ARP_FRAME_SIZE];

    CU_ASSERT_TRUE(cfc_net_arp_reply(arp_request, sizeof(arp_request), &engine, reply));
    CU_ASSERT_EQUAL(memcmp(reply, golden, sizeof(golden)), 0);
}

static void
any_other_arp_frame_is_not_answered(void)
{
    /* Ethernet type, hardware, protocol, both sizes, operation, target address. */
    static const size_t decisive[] = {13, 15, 16, 18, 19, 21, 38, 41};
    uint8_t reply[CFC_ARP_FRAME_SIZE];

    for (size_t size = 0; size < sizeof(arp_request); size++) {
        CU_ASSERT_FALSE(cfc_net_arp_reply(arp_request, size, &engine, reply));
    }
    for (size_t i = 0; i < sizeof(decisive) / sizeof(decisive[0]); i++) {
        uint8_t frame[sizeof(arp_request)];

        memcpy(frame, arp_request, sizeof(frame));
        frame[decisive[i]] ^= 0x03;
        CU_ASSERT_FALSE(cfc_net_arp_reply(frame, sizeof(frame), &engine, reply));
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(group_addresses_map_to_their_low_23_bits),
    CFC_CASE(a_header_has_these_bytes),
    CFC_CASE(the_ip_checksum_holds_for_every_size_and_address),
    CFC_CASE(one_template_writes_many_sizes),
    CFC_CASE(the_checksum_is_that_of_rfc_1071),
    CFC_CASE(a_udp_checksum_covers_addresses_ports_and_payload),
    CFC_CASE(an_arp_request_for_us_is_answered),
    CFC_CASE(any_other_arp_frame_is_not_answered),
};

CFC_TEST_MAIN("dataplane_net_header", cases)
