/* IPv6 on both ways: headers with their checksum, group addresses, neighbour advertisement, and
 * received frames.  The golden bytes were made by other code than the engine's. */
#include <string.h>

#include "dataplane/neighbor.h"
#include "dataplane/net_header.h"
#include "dataplane/rx_parse.h"
#include "tests/unit/cunit_main.h"

enum {
    ENGINE_PORT = 7500,
    CONSUMER_PORT = 40000,
    PAYLOAD_SIZE = 100,
    FRAME_SIZE = CFC_NET_HEADER6_SIZE + PAYLOAD_SIZE,

    AT_TYPE = 12,
    AT_IP = 14,
    AT_UDP = 54,
};

#define ENGINE_IP                                                                                  \
    {                                                                                              \
        0xfd, 0x77, [15] = 1                                                                       \
    }
#define CONSUMER_IP                                                                                \
    {                                                                                              \
        0xfd, 0x77, [15] = 0xb                                                                     \
    }

static const struct cfc_net_endpoint engine = {
    .mac = {2, 0, 0, 0, 0, 1}, .ip = ENGINE_IP, .port = ENGINE_PORT};
static const struct cfc_net_endpoint consumer = {
    .mac = {2, 0, 0, 0, 0, 0xb}, .ip = CONSUMER_IP, .port = CONSUMER_PORT};
static const struct cfc_rx_rules rules = {.ip = ENGINE_IP, .port = ENGINE_PORT};
static const struct cfc_rx_rules wire_rules = {
    .ip = ENGINE_IP, .port = ENGINE_PORT, .is_checksum_final = true};

static void
a_header_has_these_bytes_however_the_payload_lies(void)
{
    static const uint8_t golden[CFC_NET_HEADER6_SIZE] = {
        0x33, 0x33, 0x00, 0x4d, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86,
        0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x0d, 0x11, 0x08, 0xfd, 0x77, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff,
        0x3e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x4d,
        0x00, 0x01, 0x1d, 0x4c, 0x1d, 0x4d, 0x00, 0x0d, 0x9e, 0x6e};
    static const uint8_t payload[] = "abcde";
    struct cfc_net_endpoint group = {.ip = {0xff, 0x3e, [13] = 0x4d, [15] = 1}, .port = 7501};
    struct cfc_net_template template;

    cfc_net_group_mac(group.ip, group.mac);
    cfc_net_template_init(&template, &engine, &group, 8);
    CU_ASSERT_EQUAL(template.size, CFC_NET_HEADER6_SIZE);
    for (size_t room = 0; room <= 5; room++) {
        uint8_t frame[CFC_NET_HEADER6_SIZE + 5];

        memcpy(frame + CFC_NET_HEADER6_SIZE, payload, room);
        cfc_net_template_write(&template, 5, frame);
        cfc_net_template_seal(&template, frame, room, payload + room, 5 - room);
        CU_ASSERT_EQUAL(memcmp(frame, golden, sizeof(golden)), 0);
    }
}

static void
make_frame(uint8_t frame[FRAME_SIZE])
{
    struct cfc_net_template template;

    for (int i = 0; i < PAYLOAD_SIZE; i++) {
        frame[CFC_NET_HEADER6_SIZE + i] = (uint8_t)i;
    }
    cfc_net_template_init(&template, &consumer, &engine, 64);
    cfc_net_template_write(&template, PAYLOAD_SIZE, frame);
    cfc_net_template_seal(&template, frame, PAYLOAD_SIZE, NULL, 0);
}

static void
a_checksum_of_zero_is_sent_as_ones(void)
{
    struct cfc_rx_datagram datagram;
    uint8_t frame[FRAME_SIZE];
    struct cfc_net_template template;
    uint16_t sum;

    /* The first two bytes of payload take the checksum to 0. */
    make_frame(frame);
    frame[AT_UDP + 8] = frame[AT_UDP + 9] = 0;
    cfc_net_template_init(&template, &consumer, &engine, 64);
    cfc_net_template_seal(&template, frame, PAYLOAD_SIZE, NULL, 0);
    memcpy(&sum, frame + AT_UDP + 6, sizeof(sum));
    memcpy(frame + AT_UDP + 8, &sum, sizeof(sum));
    cfc_net_template_seal(&template, frame, PAYLOAD_SIZE, NULL, 0);
    CU_ASSERT_EQUAL(frame[AT_UDP + 6], 0xff);
    CU_ASSERT_EQUAL(frame[AT_UDP + 7], 0xff);
    CU_ASSERT_EQUAL(cfc_rx_parse(&wire_rules, frame, sizeof(frame), &datagram), CFC_RX_DATAGRAM);
}

static void
ipv4_needs_no_seal(void)
{
    struct cfc_net_endpoint from = {.ip = CFC_NET_IPV4(0x0a4d0001), .port = 1};
    struct cfc_net_endpoint to = {.ip = CFC_NET_IPV4(0x0a4d0002), .port = 2};
    struct cfc_net_template template;
    uint8_t header[CFC_NET_HEADER_SIZE];

    cfc_net_template_init(&template, &from, &to, 8);
    cfc_net_template_write(&template, 3, header);
    cfc_net_template_seal(&template, header, 0, (const uint8_t *)"abc", 3);
    CU_ASSERT_EQUAL(header[40] | header[41], 0);
}

static void
addresses_count_in_their_last_32_bits(void)
{
    uint8_t ip[CFC_IP_SIZE] = {0xff, 0x3e, [12] = 0xff, 0xff, 0xff, 0xff};
    static const uint8_t wrapped[CFC_IP_SIZE] = {0xff, 0x3e, [15] = 1};

    cfc_net_add(ip, 2);
    CU_ASSERT_EQUAL(memcmp(ip, wrapped, sizeof(ip)), 0);
    CU_ASSERT_TRUE(cfc_net_is_multicast(ip));
    CU_ASSERT_FALSE(cfc_net_is_multicast(engine.ip));
    CU_ASSERT_FALSE(cfc_net_is_ipv4(engine.ip));
    CU_ASSERT_EQUAL(cfc_net_header_size(engine.ip), CFC_NET_HEADER6_SIZE);
}

static const uint8_t solicitation[CFC_ND_FRAME_SIZE] = {
    0x33, 0x33, 0xff, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x86, 0xdd, 0x60,
    0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x77, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0b, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x00, 0x00, 0x01, 0x87, 0x00, 0x7c, 0x97, 0x00, 0x00,
    0x00, 0x00, 0xfd, 0x77, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x01, 0x01, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b};

static void
a_solicitation_for_us_is_answered(void)
{
    static const uint8_t golden[CFC_ND_FRAME_SIZE] = {
        0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xdd, 0x60,
        0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x77, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xfd, 0x77, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x88, 0x00, 0x1b, 0x2e, 0x60, 0x00,
        0x00, 0x00, 0xfd, 0x77, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x01, 0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01};
    uint8_t reply[CFC_ND_FRAME_SIZE];
    struct cfc_rx_datagram datagram;

    CU_ASSERT_TRUE(cfc_net_nd_reply(solicitation, sizeof(solicitation), &engine, reply));
    CU_ASSERT_EQUAL(memcmp(reply, golden, sizeof(golden)), 0);
    CU_ASSERT_EQUAL(cfc_rx_parse(&rules, solicitation, sizeof(solicitation), &datagram), CFC_RX_ND);
}

static void
any_other_frame_is_not_answered_as_a_solicitation(void)
{
    uint8_t reply[CFC_ND_FRAME_SIZE];
    uint8_t frame[CFC_ND_FRAME_SIZE];

    for (size_t size = 0; size < sizeof(solicitation); size++) {
        CU_ASSERT_FALSE(cfc_net_nd_reply(solicitation, size, &engine, reply));
    }
    /* Whatever byte behind the Ethernet addresses is changed, but for traffic class and flow label,
     * the checksum or a rule finds it. */
    for (size_t i = AT_TYPE; i < sizeof(solicitation); i++) {
        if (i >= AT_IP && i < AT_IP + 4) {
            continue;
        }
        memcpy(frame, solicitation, sizeof(frame));
        frame[i] ^= 0x04;
        CU_ASSERT_FALSE(cfc_net_nd_reply(frame, sizeof(frame), &engine, reply));
    }
    /* From nobody: another host tries whether the address is free.  The checksum holds. */
    memcpy(frame, solicitation, sizeof(frame));
    memset(frame + AT_IP + 8, 0, CFC_IP_SIZE);
    frame[AT_IP + 24 + 2] = 0xfd;
    frame[AT_IP + 24 + 3] = 0x77 + 0x0b;
    CU_ASSERT_FALSE(cfc_net_nd_reply(frame, sizeof(frame), &engine, reply));
}

static enum cfc_rx_verdict
parse(const uint8_t *frame, size_t size)
{
    struct cfc_rx_datagram datagram;

    return cfc_rx_parse(&rules, frame, size, &datagram);
}

static enum cfc_rx_verdict
parse_with(size_t at, uint8_t value)
{
    uint8_t frame[FRAME_SIZE];

    make_frame(frame);
    frame[at] = value;
    return parse(frame, sizeof(frame));
}

static void
a_datagram_for_us_is_taken_apart(void)
{
    struct cfc_rx_datagram datagram;
    uint8_t frame[FRAME_SIZE + 10] = {0};

    make_frame(frame);
    CU_ASSERT_EQUAL_FATAL(cfc_rx_parse(&wire_rules, frame, sizeof(frame), &datagram),
                          CFC_RX_DATAGRAM);
    CU_ASSERT_PTR_EQUAL(datagram.payload, frame + CFC_NET_HEADER6_SIZE);
    CU_ASSERT_EQUAL(datagram.payload_size, PAYLOAD_SIZE);
    CU_ASSERT_EQUAL(memcmp(datagram.from.ip, consumer.ip, CFC_IP_SIZE), 0);
    CU_ASSERT_EQUAL(memcmp(datagram.from.mac, consumer.mac, CFC_MAC_ADDRESS_SIZE), 0);
    CU_ASSERT_EQUAL(memcmp(datagram.address.ip, consumer.ip, CFC_IP_SIZE), 0);
    CU_ASSERT_EQUAL(datagram.address.port, CONSUMER_PORT);
}

static void
every_truncation_is_refused(void)
{
    uint8_t frame[FRAME_SIZE];

    make_frame(frame);
    for (size_t size = 0; size < sizeof(frame); size++) {
        CU_ASSERT_EQUAL(parse(frame, size),
                        size < CFC_ETHERNET_SIZE + CFC_IPV6_SIZE ? CFC_RX_RUNT : CFC_RX_LENGTH);
    }
}

static void
what_is_not_for_us_is_told_apart(void)
{
    CU_ASSERT_EQUAL(parse_with(AT_IP + 6, 6), CFC_RX_FOREIGN);     /* TCP */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 6, 0), CFC_RX_FOREIGN);     /* an extension header */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 6, 44), CFC_RX_FRAGMENT);   /* a fragment */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 39, 2), CFC_RX_FOREIGN);    /* another host */
    CU_ASSERT_EQUAL(parse_with(AT_UDP + 3, 0x4d), CFC_RX_FOREIGN); /* another port */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 23, 1), CFC_RX_OWN);        /* from ourselves */
    CU_ASSERT_EQUAL(parse_with(AT_IP, 0x50), CFC_RX_HEADER);       /* version 5 */
    CU_ASSERT_EQUAL(parse_with(AT_TYPE + 1, 0), CFC_RX_FOREIGN);   /* IPv4 is not ours here */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 6, 58), CFC_RX_FOREIGN);    /* other ICMPv6 */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 5, 7), CFC_RX_RUNT);        /* no room for UDP */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 4, 1), CFC_RX_LENGTH);      /* longer than the frame */
    CU_ASSERT_EQUAL(parse_with(AT_UDP + 5, PAYLOAD_SIZE + 7), CFC_RX_LENGTH);
    CU_ASSERT_EQUAL(parse_with(AT_IP + 6, 17), CFC_RX_DATAGRAM);
}

static void
senders_that_cannot_be_answered_are_refused(void)
{
    static const uint8_t sources[][CFC_IP_SIZE] = {
        {0}, {[15] = 1}, {0xff, 2, [15] = 1}, CFC_NET_IPV4(0x0a4d000b)};
    uint8_t frame[FRAME_SIZE];

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        make_frame(frame);
        memcpy(frame + AT_IP + 8, sources[i], CFC_IP_SIZE);
        CU_ASSERT_EQUAL(parse(frame, sizeof(frame)), CFC_RX_SOURCE);
    }
    make_frame(frame);
    frame[AT_UDP] = frame[AT_UDP + 1] = 0;
    CU_ASSERT_EQUAL(parse(frame, sizeof(frame)), CFC_RX_SOURCE);
}

static void
a_checksum_must_hold_where_it_is_final(void)
{
    struct cfc_rx_datagram datagram;
    uint8_t frame[FRAME_SIZE];

    make_frame(frame);
    frame[FRAME_SIZE - 1] ^= 1;
    CU_ASSERT_EQUAL(cfc_rx_parse(&wire_rules, frame, sizeof(frame), &datagram), CFC_RX_CHECKSUM);
    CU_ASSERT_EQUAL(cfc_rx_parse(&rules, frame, sizeof(frame), &datagram), CFC_RX_DATAGRAM);
    /* None at all is for IPv4. */
    make_frame(frame);
    frame[AT_UDP + 6] = frame[AT_UDP + 7] = 0;
    CU_ASSERT_EQUAL(cfc_rx_parse(&wire_rules, frame, sizeof(frame), &datagram), CFC_RX_CHECKSUM);
}

static void
neighbours_of_one_network_spread(void)
{
    static const uint8_t mac[CFC_MAC_ADDRESS_SIZE] = {2};
    struct cfc_neighbors *n = cfc_neighbors_new(4096, 99);
    uint8_t ip[CFC_IP_SIZE] = {0xfd, 0x77};
    uint32_t found = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    for (uint32_t i = 0; i < 4096; i++) {
        cfc_net_add(ip, 1);
        cfc_neighbors_learn(n, ip, mac, i);
    }
    memset(ip + 12, 0, 4);
    for (uint32_t i = 0; i < 4096; i++) {
        cfc_net_add(ip, 1);
        found += cfc_neighbors_find(n, ip) != NULL;
    }
    CU_ASSERT_TRUE(found >= 4096 - 40);
    cfc_neighbors_free(n);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_header_has_these_bytes_however_the_payload_lies),
    CFC_CASE(a_checksum_of_zero_is_sent_as_ones),
    CFC_CASE(ipv4_needs_no_seal),
    CFC_CASE(addresses_count_in_their_last_32_bits),
    CFC_CASE(a_solicitation_for_us_is_answered),
    CFC_CASE(any_other_frame_is_not_answered_as_a_solicitation),
    CFC_CASE(a_datagram_for_us_is_taken_apart),
    CFC_CASE(every_truncation_is_refused),
    CFC_CASE(what_is_not_for_us_is_told_apart),
    CFC_CASE(senders_that_cannot_be_answered_are_refused),
    CFC_CASE(a_checksum_must_hold_where_it_is_final),
    CFC_CASE(neighbours_of_one_network_spread),
};

CFC_TEST_MAIN("dataplane_ipv6", cases)
