/* From a received Ethernet frame to the UDP datagram in it, if it is one for this engine.  Pure
 * functions over contiguous bytes: no I/O, no state; any thread.  Whoever owns the port makes
 * multi-segment mbufs contiguous first.
 *
 * The kernel hands unfinished UDP checksums to a packet socket at the other end of a veth pair, so
 * they are checked only where `is_checksum_final` says that frames come off a wire. */
#ifndef CFC_DATAPLANE_RX_PARSE_H
#define CFC_DATAPLANE_RX_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/net_header.h"
#include "protocol/wire/frame.h"

/* X(name, word for counters, what the frame is).  All but the first three are dropped. */
#define CFC_RX_VERDICTS(X)                                                                         \
    X(DATAGRAM, "datagram", "for this engine: hand it to the protocol")                            \
    X(ARP, "arp", "an ARP frame")                                                                  \
    X(ND, "nd", "an IPv6 neighbour solicitation")                                                  \
    X(FOREIGN, "foreign", "another protocol, address or port: not for us, nothing wrong")          \
    X(OWN, "own", "our own multicast, looped back")                                                \
    X(RUNT, "runt", "ends inside a header")                                                        \
    X(HEADER, "bad_header", "IP version, header length or header checksum is wrong")               \
    X(FRAGMENT, "fragment", "an IP fragment: confcast frames fit the path MTU")                    \
    X(LENGTH, "bad_length", "lengths in IP, UDP and frame disagree")                               \
    X(SOURCE, "bad_source", "source address or port that nobody can be answered at")               \
    X(CHECKSUM, "bad_checksum", "the UDP checksum does not hold")

enum cfc_rx_verdict {
#define CFC_ENUM_(name, word, text) CFC_RX_##name,
    CFC_RX_VERDICTS(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_RX_VERDICT_COUNT
};

/* The word of a verdict; static storage. */
const char *cfc_rx_verdict_word(enum cfc_rx_verdict verdict);

struct cfc_rx_rules {
    uint8_t ip[CFC_IP_SIZE]; /* own address */
    uint16_t port;           /* own UDP port */
    bool is_checksum_final;  /* check UDP checksums other than 0 */
};

struct cfc_rx_datagram {
    const uint8_t *payload; /* in the frame */
    size_t payload_size;
    struct cfc_net_endpoint from;
    struct cfc_address address; /* of `from`, as the protocol writes it */
};

/* Fills *out only for CFC_RX_DATAGRAM. */
enum cfc_rx_verdict cfc_rx_parse(const struct cfc_rx_rules *rules, const uint8_t *frame,
                                 size_t size, struct cfc_rx_datagram *out);

#endif
