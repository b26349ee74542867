/* The control socket between the control plane and an engine on the same host: encoding and
 * decoding only.
 *
 * A unix SOCK_SEQPACKET socket; the engine listens, one control plane at a time is connected.  One
 * packet is one message, or several CONSUMER and REPORT one after the other, each with its header,
 * and has at most CFC_HANDOFF_SIZE_MAX bytes; ARENA carries one file descriptor
 * (SCM_RIGHTS): a memfd sealed with F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE, that the engine
 * maps read-only and closes after the last content in it is released.
 *
 *      0  u32  magic 'CFCH' = 0x48434643
 *      4  u16  type
 *      6  u16  version 1
 *      8       the message, little endian; unknown types are an error: both sides are of one
 * release
 *
 * The order after a connection: both send HELLO; then the control plane puts SHARD, ARENA, CONTENT,
 * HEAD, FRESH for everything current (heads after their contents), then SYNCED: what the engine
 * holds beyond that it drops.  Afterwards changes come as they happen.  RELEASE_ARENA tells the
 * control plane that an arena has no content left in the engine: no content that a CONTENT of this
 * connection placed there, even if the engine holds its bytes since an earlier connection.  An
 * arena with no CONTENT that was taken stays until the connection ends.
 *
 * The control plane is trusted by the engine as far as memory goes: CONTENT offsets are checked
 * against the arena all the same. */
#ifndef CFC_HANDOFF_HANDOFF_H
#define CFC_HANDOFF_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/trust/digest.h"
#include "protocol/wire/frame.h"

enum {
    CFC_HANDOFF_SIZE_MAX = 16384,
    CFC_HANDOFF_TEXT_MAX = 255
};

#define CFC_HANDOFF_TYPES(X)                                                                       \
    X(CONTROL_HELLO, 1) /* control plane -> engine */                                              \
    X(SHARD, 2)                                                                                    \
    X(ARENA, 3) /* with one descriptor */                                                          \
    X(CONTENT, 4)                                                                                  \
    X(DROP_CONTENT, 5)                                                                             \
    X(HEAD, 6)                                                                                     \
    X(DROP_HEAD, 7)                                                                                \
    X(FRESH, 8)                                                                                    \
    X(SYNCED, 9)                                                                                   \
    X(ENGINE_HELLO, 32) /* engine -> control plane */                                              \
    X(CONSUMER, 33)                                                                                \
    X(REPORT, 34)                                                                                  \
    X(RELEASE_ARENA, 35)                                                                           \
    X(REFUSED, 36)                                                                                 \
    X(ENGINE_STATS, 37)

enum cfc_handoff_type {
#define CFC_ENUM_(name, number) CFC_HANDOFF_##name = number,
    CFC_HANDOFF_TYPES(CFC_ENUM_)
#undef CFC_ENUM_
};

struct cfc_handoff_control_hello { /* u64 */
    uint64_t boot_id;
};

struct cfc_handoff_shard { /* u32, u32 fleet size, u64 */
    uint32_t shard;
    uint32_t fleet_size;
    uint64_t epoch;
};

struct cfc_handoff_arena { /* u64, u64; the descriptor comes beside */
    uint64_t arena;        /* number, never used twice in a connection */
    uint64_t size;         /* bytes of the memfd */
};

struct cfc_handoff_content { /* u64 arena, u64 tree offset, u64 tree size, u64 coded offset, u8 pull
                                only, u8[3] 0, u32 frame size, frame */
    uint64_t arena;
    uint64_t tree_offset; /* page digests, as protocol/snapshot/tree.h lays them out */
    uint64_t tree_size;
    uint64_t coded_offset; /* coded bytes; their size stands in the CONTENT frame */
    bool is_pull_only;
    const uint8_t *frame; /* the CONTENT frame */
    size_t frame_size;
};

struct cfc_handoff_drop_content { /* digest 32 */
    struct cfc_digest content;
};

struct cfc_handoff_head { /* u32 frame size, frame */
    const uint8_t *frame;
    size_t frame_size;
};

struct cfc_handoff_drop_head { /* u64 */
    uint64_t scope_id;
};

struct cfc_handoff_fresh { /* u8 changed, u8[3] 0, u32 frame size, frame: one FRESH page */
    bool is_changed;
    const uint8_t *frame;
    size_t frame_size;
};

struct cfc_handoff_engine_hello { /* u64, u32 frame size max, u32 0, ip 16, u16 port, u16 text size,
                                     text */
    uint64_t boot_id;
    uint32_t frame_size_max; /* UDP payload that the port carries; symbol size follows from it */
    struct cfc_address unicast;
    const char *port_text; /* driver and device, for people; no NUL */
    size_t port_text_size;
};

struct cfc_handoff_consumer { /* ip 16, u16 port, u16 0, u32 frame size, HELLO frame */
    struct cfc_address address;
    const uint8_t *frame; /* the HELLO, whose cookie and MAC the engine checked */
    size_t frame_size;
};

struct cfc_handoff_report { /* u8 id size, u8[3] 0, u32 frame size, id, REPORT frame */
    const char *id;         /* no NUL */
    size_t id_size;
    const uint8_t *frame; /* its session MAC was checked by the engine; the tag is the control
                             plane's to check */
    size_t frame_size;
};

struct cfc_handoff_release_arena { /* u64 */
    uint64_t arena;
};

struct cfc_handoff_refused { /* u16 type of the refused message, u16 positive error number, u32 0,
                                u64 key */
    uint16_t type;
    uint16_t error;
    uint64_t key; /* scope id, content key, shard or arena */
};

struct cfc_handoff_engine_stats { /* u32 count, u32 0, then count x (u64) in the order of
                                     CFC_ENGINE_COUNTERS */
    uint32_t count;
    uint64_t values[64];
};

/* X(name as Prometheus sees it: confcast_engine_<name>) */
#define CFC_ENGINE_COUNTERS(X)                                                                     \
    X(frames_in)                                                                                   \
    X(frames_refused)                                                                              \
    X(frames_out)                                                                                  \
    X(bytes_out)                                                                                   \
    X(heads_sent)                                                                                  \
    X(symbols_sent)                                                                                \
    X(pages_sent)                                                                                  \
    X(fresh_sent)                                                                                  \
    X(nacks)                                                                                       \
    X(repairs_unicast)                                                                             \
    X(repairs_multicast)                                                                           \
    X(gone_sent)                                                                                   \
    X(reports)                                                                                     \
    X(reports_refused)                                                                             \
    X(consumers)                                                                                   \
    X(tx_full)                                                                                     \
    X(mbuf_shortage)

struct cfc_handoff {
    enum cfc_handoff_type type;
    union {
        struct cfc_handoff_control_hello control_hello;
        struct cfc_handoff_shard shard;
        struct cfc_handoff_arena arena;
        struct cfc_handoff_content content;
        struct cfc_handoff_drop_content drop_content;
        struct cfc_handoff_head head;
        struct cfc_handoff_drop_head drop_head;
        struct cfc_handoff_fresh fresh;
        struct cfc_handoff_engine_hello engine_hello;
        struct cfc_handoff_consumer consumer;
        struct cfc_handoff_report report;
        struct cfc_handoff_release_arena release_arena;
        struct cfc_handoff_refused refused;
        struct cfc_handoff_engine_stats engine_stats;
    } u;
};

/* Decodes one packet; pointers go into it.  SHORT, VERSION (magic, version, reserved), LENGTH
 * (bytes left over), UNSUPPORTED (type), LIMIT: close the connection, both sides are of one release
 * and this cannot happen between them. */
int cfc_handoff_decode(const uint8_t *bytes, size_t size, struct cfc_handoff *out);

/* The message at *at < size of a packet, of which CONSUMER and REPORT may be several; *at moves on
 * to the next one, or to `size`.  Errors as above. */
int cfc_handoff_decode_next(const uint8_t *bytes, size_t size, size_t *at, struct cfc_handoff *out);

/* INVALID for a type that is none, LIMIT when it does not fit. */
int cfc_handoff_encode(const struct cfc_handoff *message, uint8_t *bytes, size_t capacity,
                       size_t *size);

#endif
