/* REPORT: the whole state of a consumer, level-triggered, in as few frames as its scopes need (it
 * is the ack).
 *
 *     16  u64     incarnation
 *     24  u64     report seq
 *     32  i64     clock error, ns (consumer minus FRESH time, as last seen)
 *     40  u32     clock bound, us
 *     44  u8      part, below the part count
 *     45  u8      part count
 *     46  u16     entry count 0..24
 *     48  u8[16]  end-to-end tag under the credential's report key: MAC over CFC_DOMAIN_REPORT_TAG,
 *                 consumer id (u8 size, bytes), frame bytes 16..47, entries
 *     64          entries, 56 bytes each:
 *                    0 u64 scope id            8 u64 epoch
 *                   16 u64 accepted version   24 u64 serving version
 *                   32 u64 durable version    40 u64 serving content key
 *                   48 u8  state              49 u8  arm 0..3
 *                   50 u16 reason (positive error number, 0 = none)
 *                   52 u32 flags
 *      .          session trailer
 */
#ifndef CFC_WIRE_REPORT_H
#define CFC_WIRE_REPORT_H

#include "protocol/wire/frame.h"

enum {
    CFC_REPORT_ENTRY_SIZE = 56,
    CFC_REPORT_ENTRIES_OFFSET = 64
};

#define CFC_APPLY_STATES(X)                                                                        \
    X(NONE, 0)      /* subscribed, nothing accepted yet */                                         \
    X(RECEIVING, 1) /* accepted a head, its content is on the way */                               \
    X(PREPARED, 2)  /* holds the content of its arm, activation has not come */                    \
    X(APPLIED, 3)   /* serves what the accepted head names for its arm */                          \
    X(REJECTED, 4)  /* refused the content (reason), serves the last good one */                   \
    X(REVERTED, 5)  /* confirm-by passed, serves the fallback */                                   \
    X(DEGRADED, 6)  /* the version was set aside (reason), serves its predecessor */

enum cfc_apply_state {
#define CFC_ENUM_(name, number) CFC_APPLY_##name = number,
    CFC_APPLY_STATES(CFC_ENUM_)
#undef CFC_ENUM_
};

const char *cfc_apply_state_name(uint8_t state); /* "applied", ...; "?" */

enum {
    CFC_REPORT_FLAG_STALE = 1u << 0,          /* no valid FRESH for three periods */
    CFC_REPORT_FLAG_CONTROL_SILENT = 1u << 1, /* the engine is alive, FRESH does not advance */
    CFC_REPORT_FLAG_FROM_DISK = 1u << 2,      /* serving content came from the disk cache */
};

struct cfc_report_entry {
    uint64_t scope_id;
    uint64_t epoch;
    uint64_t accepted;        /* highest accepted version, 0 = none */
    uint64_t serving_version; /* version whose head named what is served, 0 = nothing served */
    uint64_t durable;         /* highest version that survives power loss, 0 = none */
    uint64_t serving_content; /* content key, 0 = nothing served */
    uint8_t state;            /* enum cfc_apply_state */
    uint8_t arm;
    uint16_t reason;
    uint32_t flags;
};

struct cfc_report {
    uint64_t consumer_key;
    uint64_t incarnation;
    uint64_t
        report_seq; /* rises with every changed report of an incarnation; a repeat has the same */
    int64_t clock_error_ns;
    uint32_t clock_bound_us;
    uint8_t part;
    uint8_t part_count;
    uint16_t entry_count;
    struct cfc_mac tag;
    const uint8_t *entries; /* in the frame */
};

/* Checks the shape; MAC (cfc_trailer_check) and tag are apart.  The session trailer must be there.
 * SHORT, LENGTH, VERSION (reserved, state, unknown flags), RANGE (counts, part, arm): drop and
 * count. */
int cfc_report_decode(const struct cfc_frame *frame, struct cfc_report *out);
void cfc_report_entry_at(const struct cfc_report *report, uint32_t i, struct cfc_report_entry *out);
/* CONFCAST_OK or CONFCAST_ERR_MAC. */
int cfc_report_check_tag(const struct cfc_frame *frame, const char *id, size_t id_size,
                         const struct cfc_key *report_key);
/* Writes a frame up to its trailer, which cfc_trailer_seal() then adds to the same writer.  INVALID
 * for fields outside their rules, LIMIT. */
int cfc_report_write(struct cfc_writer *w, const struct cfc_report *report,
                     const struct cfc_report_entry *entries, const char *id, size_t id_size,
                     const struct cfc_key *report_key);

#endif
