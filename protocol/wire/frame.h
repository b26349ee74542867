/* The frame header that all messages share, the TLVs that extend them, and the session trailer.
 *
 * Layout (little endian, docs/wire-format.md is the law):
 *
 *      0  u16  magic 0xcfc5
 *      2  u8   version 1
 *      3  u8   type
 *      4  u16  size of the whole frame, equal to the datagram
 *      6  u16  flags, 0
 *      8  u64  key: what the frame is about, so that a filter needs one load
 *     16       the message
 *
 * Decoding never allocates and never copies variable parts: decoded structs point into the frame,
 * which must outlive them. */
#ifndef CFC_WIRE_FRAME_H
#define CFC_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cursor.h"
#include "protocol/base/limits.h"
#include "protocol/trust/mac.h"

enum {
    CFC_FRAME_MAGIC = 0xcfc5,
    CFC_FRAME_VERSION = 1,
    CFC_FRAME_HEADER_SIZE = 16,
    CFC_FRAME_SKIPPABLE = 0x80, /* an unknown type with this bit is skipped without an error */
};

/* X(name, number).  The key of each type is named beside it. */
#define CFC_FRAME_TYPES(X)                                                                         \
    X(HEAD, 1)      /* down; key = scope id */                                                     \
    X(CONTENT, 2)   /* down; key = content key: the first 8 bytes of the content id */             \
    X(PAGE, 3)      /* down; key = content key */                                                  \
    X(SYMBOL, 4)    /* down; key = content key */                                                  \
    X(FRESH, 5)     /* down; key = shard */                                                        \
    X(STATUS, 6)    /* down; key = engine boot id */                                               \
    X(WELCOME, 7)   /* down, unicast; key = engine boot id */                                      \
    X(GONE, 8)      /* down, unicast; key = scope id or content key */                             \
    X(HELLO, 16)    /* up; key = consumer key */                                                   \
    X(REPORT, 17)   /* up; key = consumer key */                                                   \
    X(NACK, 18)     /* up; key = consumer key */                                                   \
    X(ADVICE, 0x89) /* down, unicast; key = engine boot id; older consumers skip it */             \
    X(LOSS, 0x93)   /* up; key = consumer key; older engines skip it */

enum cfc_frame_type {
#define CFC_FRAME_TYPE_ENUM_(name, number) CFC_FRAME_##name = number,
    CFC_FRAME_TYPES(CFC_FRAME_TYPE_ENUM_)
#undef CFC_FRAME_TYPE_ENUM_
};

struct cfc_frame {
    uint8_t type; /* any value: see cfc_frame_open() */
    uint64_t key;
    const uint8_t *bytes; /* the whole frame */
    size_t size;          /* bytes in it, header included */
};

/* Checks the header of a datagram.  Every decoder takes a frame that came from here and returns
 * CONFCAST_ERR_INVALID for a frame of another type than its own.  CONFCAST_OK for a known type;
 * CONFCAST_ERR_AGAIN for an unknown skippable type (skip it silently); SHORT, VERSION (magic,
 * version or flags), LENGTH (size field is not the datagram's), LIMIT (above CFC_FRAME_SIZE_MAX),
 * UNSUPPORTED (unknown critical type): drop the frame and count the code. */
int cfc_frame_open(const uint8_t *bytes, size_t size, struct cfc_frame *out);

/* Begins a frame in `w` with its size still open; cfc_frame_finish() closes it and gives its size.
 * finish returns CONFCAST_ERR_LIMIT when the frame did not fit the writer. */
void cfc_frame_begin(struct cfc_writer *w, enum cfc_frame_type type, uint64_t key);
int cfc_frame_finish(struct cfc_writer *w, size_t *size);

/* The short name of a type ("HEAD"), or "?" */
const char *cfc_frame_type_name(uint8_t type);

/* TLVs: u16 type (bit 15 = critical), u16 size, bytes.  They fill their area exactly. */
enum {
    CFC_TLV_CRITICAL = 0x8000,
    CFC_TLV_INLINE_CONTENT =
        1, /* HEAD, outside the signature: u8 arm, u8 encoding, u16 0, u32 body size, coded bytes */
    CFC_TLV_HEAD_PROOF = 2, /* HELLO: a whole HEAD frame, the highest that the consumer accepted */
    CFC_TLV_HOLDS = 3,      /* HELLO: content keys, u64 each */
    CFC_TLV_INLINE_DELTA =
        5, /* HEAD, likewise: u8 arm, u8[3] 0, u32 body size, u8[32] base content id, coded bytes */
    CFC_TLV_CAPABILITIES = 6, /* HELLO: u64 of bits, CFC_CAPABILITY_* */
    CFC_TLV_PADDING = 4,      /* HELLO: zeroes, so that no answer is larger than the question */
};

struct cfc_tlv {
    uint16_t type; /* without the critical bit */
    bool is_critical;
    const uint8_t *bytes;
    size_t size;
};

/* The next TLV of an area.  CONFCAST_OK, CONFCAST_ERR_AGAIN at the end, CONFCAST_ERR_LENGTH when
 * the area is not filled exactly.  Whoever walks an area returns CONFCAST_ERR_UNSUPPORTED for a
 * critical type it does not know. */
int cfc_tlv_next(struct cfc_reader *r, struct cfc_tlv *out);

/* Walks an area in which no type is known.  CONFCAST_OK, UNSUPPORTED (critical) or LENGTH. */
int cfc_tlv_skip_all(struct cfc_reader *r);

/* Writes one TLV; the critical bit is part of `type`. */
void cfc_tlv_write(struct cfc_writer *w, uint16_t type, const void *bytes, size_t size);

/* An address as frames and MACs carry it: IPv6, or IPv4 mapped into it (RFC 4291, ::ffff:a.b.c.d);
 * port in host order. */
struct cfc_address {
    uint8_t ip[16];
    uint16_t port;
};

bool cfc_address_equal(const struct cfc_address *a, const struct cfc_address *b);
struct cfc_address cfc_address_ipv4(uint32_t ip_host_order, uint16_t port);

/* The last CFC_TRAILER_SIZE bytes of REPORT, NACK and LOSS: u32 session, u32 0, u64 seq, u8[16] MAC
 * under the session key over CFC_DOMAIN_FRAME, the frame up to the MAC, and the consumer's address
 * as the engine sees it (16 bytes, u16 port). */
enum {
    CFC_TRAILER_SIZE = 32
};

struct cfc_trailer {
    uint32_t session;
    uint64_t seq; /* rises with every frame of a session */
    struct cfc_mac mac;
};

/* Reads the trailer without checking the MAC.  SHORT, or VERSION when the reserved field is not 0.
 */
int cfc_trailer_read(const struct cfc_frame *frame, struct cfc_trailer *out);

/* Begins to decode a frame of `type` that ends in a trailer, not checking the MAC: *out reads what
 * is between header and trailer.  INVALID: another type; SHORT: less than `fields_end` bytes before
 * the trailer; VERSION, as above. */
int cfc_trailer_open(const struct cfc_frame *frame, enum cfc_frame_type type, size_t fields_end,
                     struct cfc_reader *out);

/* CONFCAST_OK or CONFCAST_ERR_MAC. */
int cfc_trailer_check(const struct cfc_frame *frame, const struct cfc_key *session_key,
                      const struct cfc_address *consumer);

/* Appends the trailer and finishes the frame.  CONFCAST_ERR_LIMIT when it does not fit. */
int cfc_trailer_seal(struct cfc_writer *w, uint32_t session, uint64_t seq,
                     const struct cfc_key *session_key, const struct cfc_address *consumer,
                     size_t *size);

#endif
