/* Received frames, good and bad. */
#include <string.h>

#include "dataplane/rx_parse.h"
#include "tests/unit/cunit_main.h"

enum {
    ENGINE_IP = 0x0a4d0001,
    CONSUMER_IP = 0x0a4d000b,
    ENGINE_PORT = 7500,
    CONSUMER_PORT = 40000,
    PAYLOAD_SIZE = 100,
    FRAME_SIZE = CFC_NET_HEADER_SIZE + PAYLOAD_SIZE,

    AT_TYPE = 12,
    AT_IP = 14,
    AT_UDP = 34,
};

static const struct cfc_rx_rules rules = {.ip = CFC_NET_IPV4(ENGINE_IP), .port = ENGINE_PORT};
static const struct cfc_rx_rules wire_rules = {
    .ip = CFC_NET_IPV4(ENGINE_IP), .port = ENGINE_PORT, .is_checksum_final = true};

/* A datagram of a consumer to the engine, with payload 0, 1, 2, ... */
static void
make_frame(uint8_t frame[FRAME_SIZE])
{
    struct cfc_net_endpoint from = {
        .mac = {2, 0, 0, 0, 0, 0xb}, .ip = CFC_NET_IPV4(CONSUMER_IP), .port = CONSUMER_PORT};
    struct cfc_net_endpoint to = {
        .mac = {2, 0, 0, 0, 0, 1}, .ip = CFC_NET_IPV4(ENGINE_IP), .port = ENGINE_PORT};
    struct cfc_net_template template;

    cfc_net_template_init(&template, &from, &to, 64);
    cfc_net_template_write(&template, PAYLOAD_SIZE, frame);
    for (int i = 0; i < PAYLOAD_SIZE; i++) {
        frame[CFC_NET_HEADER_SIZE + i] = (uint8_t)i;
    }
}

/* Makes the IPv4 header checksum right again after a change. */
static void
mend(uint8_t *frame)
{
    uint16_t sum;

    frame[AT_IP + 10] = 0;
    frame[AT_IP + 11] = 0;
    sum = cfc_net_checksum(0, frame + AT_IP, CFC_IPV4_SIZE);
    frame[AT_IP + 10] = (uint8_t)(sum >> 8);
    frame[AT_IP + 11] = (uint8_t)sum;
}

static enum cfc_rx_verdict
parse(const uint8_t *frame, size_t size)
{
    struct cfc_rx_datagram datagram;

    return cfc_rx_parse(&rules, frame, size, &datagram);
}

/* The verdict once the byte at `at` is `value`. */
static enum cfc_rx_verdict
parse_with(size_t at, uint8_t value)
{
    uint8_t frame[FRAME_SIZE];

    make_frame(frame);
    frame[at] = value;
    if (at >= AT_IP && at < AT_UDP) {
        mend(frame);
    }
    return parse(frame, sizeof(frame));
}

static void
a_datagram_for_us_is_taken_apart(void)
{
    static const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 77, 0, 11};
    struct cfc_rx_datagram datagram;
    uint8_t frame[FRAME_SIZE];

    make_frame(frame);
    CU_ASSERT_EQUAL_FATAL(cfc_rx_parse(&rules, frame, sizeof(frame), &datagram), CFC_RX_DATAGRAM);
    CU_ASSERT_PTR_EQUAL(datagram.payload, frame + CFC_NET_HEADER_SIZE);
    CU_ASSERT_EQUAL(datagram.payload_size, PAYLOAD_SIZE);
    CU_ASSERT_EQUAL(memcmp(datagram.from.ip, mapped, sizeof(mapped)), 0);
    CU_ASSERT_EQUAL(datagram.from.port, CONSUMER_PORT);
    CU_ASSERT_EQUAL(datagram.from.mac[5], 0xb);
    CU_ASSERT_EQUAL(memcmp(datagram.address.ip, mapped, sizeof(mapped)), 0);
    CU_ASSERT_EQUAL(datagram.address.port, CONSUMER_PORT);
}

static void
ip_options_are_stepped_over(void)
{
    struct cfc_rx_datagram datagram;
    uint8_t frame[FRAME_SIZE + 4];
    uint16_t sum;

    make_frame(frame);
    memmove(frame + AT_UDP + 4, frame + AT_UDP, FRAME_SIZE - AT_UDP);
    memset(frame + AT_UDP, 1, 4); /* four no-operations */
    frame[AT_IP] = 0x46;
    frame[AT_IP + 3] = (uint8_t)(frame[AT_IP + 3] + 4);
    frame[AT_IP + 10] = 0;
    frame[AT_IP + 11] = 0;
    sum = cfc_net_checksum(0, frame + AT_IP, CFC_IPV4_SIZE + 4);
    frame[AT_IP + 10] = (uint8_t)(sum >> 8);
    frame[AT_IP + 11] = (uint8_t)sum;
    CU_ASSERT_EQUAL_FATAL(cfc_rx_parse(&rules, frame, sizeof(frame), &datagram), CFC_RX_DATAGRAM);
    CU_ASSERT_EQUAL(datagram.payload_size, PAYLOAD_SIZE);
    CU_ASSERT_PTR_EQUAL(datagram.payload, frame + CFC_NET_HEADER_SIZE + 4);
}

static void
ethernet_padding_is_not_payload(void)
{
    uint8_t frame[FRAME_SIZE + 18] = {0};
    struct cfc_rx_datagram datagram;

    make_frame(frame);
    CU_ASSERT_EQUAL_FATAL(cfc_rx_parse(&rules, frame, sizeof(frame), &datagram), CFC_RX_DATAGRAM);
    CU_ASSERT_EQUAL(datagram.payload_size, PAYLOAD_SIZE);
}

static void
every_truncation_is_refused(void)
{
    uint8_t frame[FRAME_SIZE];

    make_frame(frame);
    for (size_t size = 0; size < sizeof(frame); size++) {
        enum cfc_rx_verdict verdict = parse(frame, size);

        CU_ASSERT_EQUAL(verdict,
                        size < CFC_ETHERNET_SIZE + CFC_IPV4_SIZE ? CFC_RX_RUNT : CFC_RX_LENGTH);
    }
}

static void
a_datagram_without_payload_is_taken(void)
{
    uint8_t frame[FRAME_SIZE];
    struct cfc_rx_datagram datagram;

    make_frame(frame);
    frame[AT_IP + 3] = CFC_IPV4_SIZE + CFC_UDP_SIZE;
    frame[AT_UDP + 5] = CFC_UDP_SIZE;
    mend(frame);
    CU_ASSERT_EQUAL_FATAL(cfc_rx_parse(&rules, frame, CFC_NET_HEADER_SIZE, &datagram),
                          CFC_RX_DATAGRAM);
    CU_ASSERT_EQUAL(datagram.payload_size, 0);
}

static void
what_is_not_for_us_is_foreign(void)
{
    CU_ASSERT_EQUAL(parse_with(AT_TYPE, 0x86), CFC_RX_FOREIGN);    /* no IPv4 */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 9, 6), CFC_RX_FOREIGN);     /* TCP */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 19, 2), CFC_RX_FOREIGN);    /* another host */
    CU_ASSERT_EQUAL(parse_with(AT_UDP + 3, 0x4d), CFC_RX_FOREIGN); /* another port */
}

static void
arp_is_told_apart(void)
{
    CU_ASSERT_EQUAL(parse_with(AT_TYPE + 1, 0x06), CFC_RX_ARP);
}

static void
our_own_multicast_is_dropped(void)
{
    CU_ASSERT_EQUAL(parse_with(AT_IP + 15, 1), CFC_RX_OWN);
}

static void
a_bad_ip_header_is_refused(void)
{
    uint8_t frame[FRAME_SIZE];

    CU_ASSERT_EQUAL(parse_with(AT_IP, 0x65), CFC_RX_HEADER); /* version 6 */
    CU_ASSERT_EQUAL(parse_with(AT_IP, 0x44), CFC_RX_HEADER); /* header of 16 bytes */
    make_frame(frame);
    frame[AT_IP + 8] ^= 1; /* and the checksum does not know */
    CU_ASSERT_EQUAL(parse(frame, sizeof(frame)), CFC_RX_HEADER);
    /* A header that is said to be longer than the frame. */
    make_frame(frame);
    frame[AT_IP] = 0x4f;
    CU_ASSERT_EQUAL(parse(frame, AT_IP + 59), CFC_RX_RUNT);
}

static void
fragments_are_refused(void)
{
    CU_ASSERT_EQUAL(parse_with(AT_IP + 6, 0x20), CFC_RX_FRAGMENT); /* more fragments */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 7, 0x01), CFC_RX_FRAGMENT); /* offset 8 */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 6, 0x40), CFC_RX_DATAGRAM); /* don't fragment */
}

static void
lengths_that_disagree_are_refused(void)
{
    CU_ASSERT_EQUAL(parse_with(AT_IP + 2, 0x40), CFC_RX_LENGTH); /* IP longer than the frame */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 3, 19), CFC_RX_LENGTH);   /* shorter than its header */
    CU_ASSERT_EQUAL(parse_with(AT_IP + 3, 24), CFC_RX_RUNT);     /* no room for UDP */
    CU_ASSERT_EQUAL(parse_with(AT_UDP + 5, PAYLOAD_SIZE + 9), CFC_RX_LENGTH);
    CU_ASSERT_EQUAL(parse_with(AT_UDP + 5, PAYLOAD_SIZE + 7), CFC_RX_LENGTH);
    CU_ASSERT_EQUAL(parse_with(AT_UDP + 5, 7), CFC_RX_LENGTH);
}

static void
senders_that_cannot_be_answered_are_refused(void)
{
    uint8_t frame[FRAME_SIZE];

    CU_ASSERT_EQUAL(parse_with(AT_IP + 12, 0), CFC_RX_SOURCE);
    CU_ASSERT_EQUAL(parse_with(AT_IP + 12, 127), CFC_RX_SOURCE);
    CU_ASSERT_EQUAL(parse_with(AT_IP + 12, 224), CFC_RX_SOURCE);
    CU_ASSERT_EQUAL(parse_with(AT_IP + 12, 255), CFC_RX_SOURCE);
    CU_ASSERT_EQUAL(parse_with(AT_IP + 12, 223), CFC_RX_DATAGRAM);
    make_frame(frame);
    frame[AT_UDP] = 0;
    frame[AT_UDP + 1] = 0;
    CU_ASSERT_EQUAL(parse(frame, sizeof(frame)), CFC_RX_SOURCE);
}

static void
a_udp_checksum_counts_only_where_it_is_final(void)
{
    struct cfc_rx_datagram datagram;
    uint8_t frame[FRAME_SIZE];

    make_frame(frame);
    CU_ASSERT_EQUAL(cfc_rx_parse(&wire_rules, frame, sizeof(frame), &datagram), CFC_RX_DATAGRAM);
    frame[AT_UDP + 7] = 1; /* unfinished, as a veth passes it on */
    CU_ASSERT_EQUAL(cfc_rx_parse(&rules, frame, sizeof(frame), &datagram), CFC_RX_DATAGRAM);
    CU_ASSERT_EQUAL(cfc_rx_parse(&wire_rules, frame, sizeof(frame), &datagram), CFC_RX_CHECKSUM);
}

static void
a_right_udp_checksum_passes(void)
{
    struct cfc_rx_datagram datagram;
    uint8_t frame[FRAME_SIZE];
    uint32_t pseudo = 0x0a4d + 0x000b + 0x0a4d + 0x0001 + 17 + CFC_UDP_SIZE + PAYLOAD_SIZE;
    uint16_t sum;

    make_frame(frame);
    sum = cfc_net_checksum(pseudo, frame + AT_UDP, CFC_UDP_SIZE + PAYLOAD_SIZE);
    frame[AT_UDP + 6] = (uint8_t)(sum >> 8);
    frame[AT_UDP + 7] = (uint8_t)sum;
    CU_ASSERT_EQUAL(cfc_rx_parse(&wire_rules, frame, sizeof(frame), &datagram), CFC_RX_DATAGRAM);
    frame[FRAME_SIZE - 1] ^= 1;
    CU_ASSERT_EQUAL(cfc_rx_parse(&wire_rules, frame, sizeof(frame), &datagram), CFC_RX_CHECKSUM);
}

static void
every_verdict_has_a_word(void)
{
    for (int v = 0; v < CFC_RX_VERDICT_COUNT; v++) {
        CU_ASSERT_STRING_NOT_EQUAL(cfc_rx_verdict_word((enum cfc_rx_verdict)v), "?");
    }
    CU_ASSERT_STRING_EQUAL(cfc_rx_verdict_word(CFC_RX_VERDICT_COUNT), "?");
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_datagram_for_us_is_taken_apart),
    CFC_CASE(ip_options_are_stepped_over),
    CFC_CASE(ethernet_padding_is_not_payload),
    CFC_CASE(every_truncation_is_refused),
    CFC_CASE(a_datagram_without_payload_is_taken),
    CFC_CASE(what_is_not_for_us_is_foreign),
    CFC_CASE(arp_is_told_apart),
    CFC_CASE(our_own_multicast_is_dropped),
    CFC_CASE(a_bad_ip_header_is_refused),
    CFC_CASE(fragments_are_refused),
    CFC_CASE(lengths_that_disagree_are_refused),
    CFC_CASE(senders_that_cannot_be_answered_are_refused),
    CFC_CASE(a_udp_checksum_counts_only_where_it_is_final),
    CFC_CASE(a_right_udp_checksum_passes),
    CFC_CASE(every_verdict_has_a_word),
};

CFC_TEST_MAIN("dataplane_rx_parse", cases)
