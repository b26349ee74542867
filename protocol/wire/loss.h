/* LOSS and ADVICE: what a consumer measured, and what its engine makes of it.
 *
 * Both are of types that an older end skips.
 *
 * LOSS, from a consumer under its session:
 *     16  u32  source symbols that counted since the session began, modulo 2^32
 *     20  u32  of these, the ones that were lost; likewise
 *     24  u16  loss: weighted mean over the last windows, in 1 / 65,536, at most 65,535
 *     26  u8   windows that it is made of, 1..8
 *     27  u8   reserved
 *     28  u32  flags: 1 PULLING; others are refused
 *     32       TLVs: none defined
 *      .       session trailer
 *
 * ADVICE, to a consumer's address:
 *     16  u8      kind: 1 PULL
 *     17  u8, u16 reserved
 *     20  u32     for how long, s, 1..86,400
 *     24  u32     session
 *     28  u32     reserved
 *     32  u64     sequence; rises with every ADVICE of a session
 *     40  u8[16]  MAC under the session key over CFC_DOMAIN_ADVICE and the frame up to here
 *
 * What loss means, and what an engine does about it: protocol/session/loss_meter.h and
 * fleet_loss.h. */
#ifndef CFC_WIRE_LOSS_H
#define CFC_WIRE_LOSS_H

#include "protocol/wire/frame.h"

#define CFC_DOMAIN_ADVICE "confcast/v1/advice"

enum {
    CFC_LOSS_ONE = 65536, /* the unit of losses: all is lost */
    CFC_LOSS_WINDOWS_MAX = 8,
    CFC_ADVICE_SIZE = 56, /* below the smallest LOSS, which it answers */
    CFC_ADVICE_HOLD_S_MAX = 86400
};

enum {
    CFC_LOSS_FLAG_PULLING = 1u << 0 /* the consumer pulls, whether it was told to or not */
};

struct cfc_loss {
    uint64_t consumer_key;
    uint32_t expected;
    uint32_t lost;
    uint16_t loss; /* in 1 / CFC_LOSS_ONE */
    uint8_t window_count;
    uint32_t flags;
};

/* Checks the shape; the MAC (cfc_trailer_check) is apart.  SHORT, LENGTH (TLVs), VERSION (reserved,
 * unknown flags), RANGE (windows), UNSUPPORTED (a critical TLV): drop and count. */
int cfc_loss_decode(const struct cfc_frame *frame, struct cfc_loss *out);
/* Writes a frame up to its trailer, which cfc_trailer_seal() then adds to the same writer.  INVALID
 * for fields outside their rules, LIMIT. */
int cfc_loss_write(struct cfc_writer *w, const struct cfc_loss *loss);

enum cfc_advice_kind {
    CFC_ADVICE_PULL = 1 /* pull: multicast loses far more on the way to you than to the others */
};

struct cfc_advice {
    uint64_t boot_id;
    uint8_t kind;
    uint32_t hold_s;
    uint32_t session;
    uint64_t seq;
};

/* SHORT, LENGTH, VERSION (reserved, kind), RANGE (hold_s): drop and count. */
int cfc_advice_decode(const struct cfc_frame *frame, struct cfc_advice *out);
/* CONFCAST_OK or CONFCAST_ERR_MAC. */
int cfc_advice_check(const struct cfc_frame *frame, const struct cfc_key *session_key);
/* INVALID for fields outside their rules, LIMIT. */
int cfc_advice_encode(const struct cfc_advice *advice, const struct cfc_key *session_key,
                      uint8_t *frame, size_t capacity, size_t *size);

#endif
