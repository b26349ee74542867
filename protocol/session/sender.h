/* The engine's half of the protocol: multicasts heads, contents and FRESH, heals losses that
 * receivers report, and gathers their reports.  It performs no I/O, reads no clock and takes no
 * lock; one thread owns a sender.  It holds no signing key: all that it sends downwards was signed
 * by the control plane, or is its own word (STATUS, WELCOME, GONE).
 *
 * Payload stays where the caller has it: poll_frame() gives a header in the caller's buffer and a
 * pointer to the payload, so that the data plane can send both as one chain without a copy.
 *
 * What poll_frame() gives, most urgent first:
 *   0. new heads that take something back: disabled, deleted, rolled back;
 *   1. answers to single consumers: WELCOME, GONE, then STATUS with the echo of a report;
 *   2. STATUS of the period, GONE to a crowd (gone_tx.h), new heads (repeated as head_tx.h says),
 * FRESH pages that are new or due for their replay, an overdue page of the FRESH sweep;
 *   3. heads that somebody asked for (NACK);
 *   4. other repair and contents, in turns: repair within its byte rate, contents as
 *      pass_queue.h says, CONTENT, then for each block its pages and symbols, then CONTENT again;
 *      those of heads issued within the last minute before those of older heads, which are news to
 *      nobody but an engine that restarted;
 *   5. the sweep of unchanged FRESH pages.
 * All multicast takes from one token bucket with a hard cap, whose rate falls when much of the
 * fleet loses much (fleet_loss.h).  Unicast takes from the budgets of repair and of its consumer.
 * A content is sent once to each group with a head that names it: a head that names contents which
 * its group has had, as a rollback does, costs one frame.
 *
 * The same calls with the same arguments give the same frames: nothing depends on where memory
 * lies.  on_frame() and poll_frame() allocate nothing.
 *
 * Everything in a sender is soft state: after a restart the control plane puts all of it again. */
#ifndef CFC_SESSION_SENDER_H
#define CFC_SESSION_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/time.h"
#include "protocol/session/latency.h"
#include "protocol/trust/digest.h"
#include "protocol/wire/content.h"
#include "protocol/wire/link.h"

struct cfc_sender;
struct cfc_share_hooks;

#define CFC_SENDER_NO_SLOT UINT32_MAX
#define CFC_SENDER_NEWS_NS (60 * CFC_S) /* a head issued longer ago names no news */

enum {
    CFC_SENDER_SHARDS_MAX = 64
};

struct cfc_sender_config {
    uint64_t boot_id;          /* random, new at every start */
    struct cfc_key fleet_key;  /* fleet session key: credentials' session keys derive from it */
    struct cfc_key cookie_key; /* random, new at every start */
    struct cfc_alloc alloc;
    uint64_t seed;
    struct cfc_address unicast; /* where consumers reach this engine */
    uint32_t group_count;   /* data groups, 1..CFC_GROUP_COUNT_MAX; group number group_count is the
                               control group */
    size_t frame_size_max;  /* UDP payload that the port can carry */
    uint64_t rate_bytes;    /* multicast bytes a second, UDP payload; 0 = no pacing */
    uint32_t burst_bytes;   /* token bucket depth; at least frame_size_max when paced */
    uint32_t consumers_max; /* roster size */
    uint32_t scopes_max;    /* heads held */
    uint32_t contents_max;  /* contents held */
    uint64_t gather_ns;     /* a NACKed block waits this long for other askers, at most */
    uint64_t
        echo_ns; /* in a small fleet (one STATUS has room for all) the echoes of this long go
                    together; below the spacing of repeated reports.  0 = one by one, at once */
    uint32_t unicast_askers_max; /* up to this many askers are answered by unicast, more by
                                    multicast; 1..8 */
    uint64_t status_period_ns;   /* of STATUS, and of the replay of changed FRESH pages */
    uint64_t repair_rate_bytes;  /* repair bytes a second over all consumers, of which one consumer
                                    gets at most a quarter; 0 = no limit */
    /* How the pace follows reported loss, and who is advised to pull: fleet_loss.h.  Losses in
     * 1/65,536. */
    uint64_t rate_floor_bytes; /* multicast slows to this at most; 0 = a sixteenth of rate_bytes */
    uint16_t loss_quantile;    /* per mille of the receivers, 1..1000 */
    uint16_t loss_max;         /* that this part of them may have before multicast slows down */
    uint16_t outlier_min;   /* a receiver with less is never advised to pull; 0 = nobody ever is */
    uint32_t advice_hold_s; /* for how long it is; 1..CFC_ADVICE_HOLD_S_MAX */
    struct cfc_windows windows; /* floor of the windows, which grow with the fleet (link_tx.h says
                                   how), and the first report generation */
    /* For a sender that several threads share; sender_share.h. */
    const struct cfc_share_hooks *share; /* the first one: its helpers send the contents; outlives
                                            the sender.  NULL: it is alone, or a helper */
    bool is_helper;                      /* sends contents only, and no STATUS */
    uint32_t share_count;                /* senders that share the budgets, whose bytes come from
                                            cfc_sender_grant() when they are several; 0 is 1 */
};

void cfc_sender_config_defaults(struct cfc_sender_config *config);

/* INVALID, NO_MEMORY.  All memory is taken here but that of contents, heads and FRESH, of sessions
 * until their first frame, and of consumer ids above CFC_ROSTER_ID_NEAR bytes. */
int cfc_sender_new(const struct cfc_sender_config *config, struct cfc_sender **out);
void cfc_sender_free(struct cfc_sender *s);

/* -- From the control plane
 * -------------------------------------------------------------------------------------------- */

/* Takes over a shard at `epoch`; everything of a lower epoch is refused from now on with FENCED.
 * What is held stays, and goes on answering NACKs, until the new owner replaces it.  A head or
 * FRESH under a higher epoch than announced raises the fence as this call does.  FENCED for a lower
 * epoch, RANGE for a shard number beyond the limit. */
int cfc_sender_set_shard(struct cfc_sender *s, uint32_t shard, uint64_t epoch, uint32_t fleet_size);

/* Holds one coding of a content.  `frame` is its CONTENT frame (copied); `tree` all page digests,
 * level 0 first, as protocol/snapshot/tree.h lays them out; `coded` the coded bytes.  Both stay the
 * caller's and must not move until CFC_UPCALL_RELEASED names *slot.  With is_pull_only it is sent
 * only when asked for (its head carries it inline, or the fleet has it already).  A further coding
 * of a content that heads name already is sent to their groups.
 *   EXISTS      this (content, coding) is here already: *slot names it, the memory handed in is not
 *               used; no error for the caller.  When it was pull-only and now is not, heads put
 * from now on have it sent. LENGTH      tree_size is not what the frame says LIMIT       no slot
 * left, more than 8 codings of one content, or frames above frame_size_max (an index page is up to
 * 1,304 bytes) COLLISION   another content with this content key is held NO_MEMORY, or a decode
 * error of the frame */
int cfc_sender_put_content(struct cfc_sender *s, const uint8_t *frame, size_t size,
                           const uint8_t *tree, size_t tree_size, const uint8_t *coded,
                           bool is_pull_only, uint32_t *slot);

/* Forgets a content (all codings); RELEASED follows when nothing in flight points into it.
 * NOT_FOUND. */
int cfc_sender_drop_content(struct cfc_sender *s, const struct cfc_digest *content);

/* Replaces the head of its scope and sends it at once, then the contents it names, as arm or as
 * fallback, that its group has not had.  The frame that is held already changes nothing and is not
 * sent again.  FENCED (epoch below the shard's), ROLLBACK (version below the one held at this
 * epoch), EQUIVOCATION (another decision under the epoch and version held, which stays), NOT_FOUND
 * (a content that it names is neither held nor inlined: put that first), RANGE (shard), LIMIT,
 * NO_MEMORY, or a decode error. */
int cfc_sender_put_head(struct cfc_sender *s, const uint8_t *frame, size_t size,
                        const struct cfc_now *now);
int cfc_sender_drop_head(struct cfc_sender *s, uint64_t scope_id);

/* One page of the newest FRESH of its shard; pages with other signed bytes are dropped when the
 * first page of a new period comes. Changed pages, and the first one of a period in any case, are
 * sent at once and in every period, the others in a slow sweep.  FENCED, ROLLBACK (sequence below
 * that of the period held), RANGE (shard), LIMIT, NO_MEMORY, or a decode error. */
int cfc_sender_put_fresh(struct cfc_sender *s, const uint8_t *frame, size_t size, bool is_changed,
                         const struct cfc_now *now);

/* The control plane (re)connected: reports that it may have lost are asked for again (a new report
 * generation). */
void cfc_sender_ask_reports(struct cfc_sender *s, const struct cfc_now *now);

/* -- The wire
 * ----------------------------------------------------------------------------------------------------------
 */

/* One datagram from a consumer.  Whatever is wrong with it is counted and returned, and needs
 * nothing from the owner: decode errors; MAC (unknown session, other address or wrong MAC: no
 * answer), REPLAY, EXISTS (the id of another living consumer), WRONG_STREAM (a frame that only goes
 * downwards, or a REPORT of another incarnation than its session), RANGE (a NACK for what an object
 * does not have), LIMIT (a budget, a table or the upcall queue is exhausted: the consumer repeats).
 * A NACK of several entries returns the first error and answers the others. */
int cfc_sender_on_frame(struct cfc_sender *s, const uint8_t *frame, size_t size,
                        const struct cfc_address *from, const struct cfc_now *now);

/* What a datagram is for; the account of what is on the wire goes by it. */
#define CFC_TX_KINDS(X)                                                                            \
    X(ANSWER) /* WELCOME, GONE, echo of a report */                                                \
    X(STATUS)                                                                                      \
    X(FRESH)                                                                                       \
    X(HEAD)                                                                                        \
    X(CONTENT) /* CONTENT frames of a pass */                                                      \
    X(PAGE)                                                                                        \
    X(SOURCE)           /* source symbols of a pass */                                             \
    X(PARITY)           /* repair symbols that nobody asked for */                                 \
    X(REPAIR_MULTICAST) /* symbols that were asked for, to everybody ... */                        \
    X(REPAIR_UNICAST)   /* ... and to who asked */                                                 \
    X(REPAIR_OTHER)     /* heads, CONTENT, pages and FRESH that were asked for */

enum cfc_tx_kind {
#define CFC_ENUM_(name) CFC_TX_##name,
    CFC_TX_KINDS(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_TX_KIND_COUNT
};

struct cfc_tx {
    size_t header_size; /* bytes written to the caller's buffer */
    const uint8_t
        *payload; /* the rest of the datagram, in a content's memory; NULL when there is none */
    size_t payload_size;
    uint32_t slot; /* content that `payload` points into, or CFC_SENDER_NO_SLOT */
    enum cfc_tx_kind kind;
    bool is_pass_end;       /* the last frame of a content's pass */
    uint64_t pass_since_ns; /* that, or the first of a head: when the head came if it was news,
                               else 0 */
    bool is_multicast;
    uint32_t group;        /* multicast: 0..group_count */
    struct cfc_address to; /* unicast */
};

/* The next datagram.  CONFCAST_OK; CONFCAST_ERR_AGAIN when nothing may go before deadline().
 * `capacity` >= frame_size_max. When `payload` is given the slot counts as in flight until
 * cfc_sender_payload_done(). */
int cfc_sender_poll_frame(struct cfc_sender *s, const struct cfc_now *now, uint8_t *header,
                          size_t capacity, struct cfc_tx *out);

/* `count` payload references of `slot` have left the port. */
void cfc_sender_payload_done(struct cfc_sender *s, uint32_t slot, uint32_t count);

uint64_t cfc_sender_deadline(const struct cfc_sender *s);

/* Whether a content is being sent, so that the deadline is mostly the pacer's. */
bool cfc_sender_is_streaming(const struct cfc_sender *s);

/* -- To the control plane
 * ---------------------------------------------------------------------------------------------- */

enum cfc_upcall_type {
    CFC_UPCALL_CONSUMER, /* a consumer proved its address and credential: id, labels, incarnation,
                            head proof */
    CFC_UPCALL_REPORT,   /* a REPORT whose MAC held; the control plane checks its tag */
    CFC_UPCALL_RELEASED, /* a dropped content's memory is free */
};

struct cfc_upcall {
    enum cfc_upcall_type type;
    const char *id; /* CONSUMER, REPORT: no NUL; valid until the next call that takes the sender */
    size_t id_size;
    struct cfc_address address;
    const uint8_t *frame; /* CONSUMER: the HELLO frame; REPORT: the REPORT frame; likewise */
    size_t frame_size;
    uint32_t slot; /* RELEASED */
};

/* CONFCAST_OK or CONFCAST_ERR_AGAIN.  The queue is bounded: a report that finds it full is not
 * echoed, so its consumer repeats it. */
int cfc_sender_poll_upcall(struct cfc_sender *s, struct cfc_upcall *out);

struct cfc_sender_stats {
    uint64_t frames_in;
    uint64_t errors[128]; /* of frames in, by positive error number */
    uint64_t heads_sent;
    uint64_t symbols_sent;
    uint64_t pages_sent;
    uint64_t fresh_sent;
    uint64_t status_sent;
    uint64_t nacks;
    uint64_t nack_entries;
    uint64_t nack_entries_suppressed; /* wanted nothing that was not on its way, or just sent */
    uint64_t repairs_unicast;         /* symbols */
    uint64_t repairs_multicast;       /* symbols */
    uint64_t repairs_fresh;           /* of both: repair symbols, the others are source symbols */
    uint64_t parity_sent;             /* repair symbols that nobody had asked for */
    uint64_t gone_sent;
    uint64_t reports;
    uint64_t reports_refused; /* upcall queue full */
    uint64_t losses;          /* LOSS frames taken */
    uint64_t advices_sent;
    uint64_t consumers;          /* in the roster */
    uint64_t consumers_evicted;  /* silent ones that made room for others */
    uint64_t identities_refused; /* HELLOs of a consumer whose id another living one has */
    uint64_t bytes_out;          /* UDP payload */
    uint64_t kind_frames[CFC_TX_KIND_COUNT];
    uint64_t kind_bytes[CFC_TX_KIND_COUNT]; /* of bytes_out */
    uint64_t contents_sent;                 /* passes that were finished */
    struct cfc_latency head_latency;        /* news: from put_head() to the head's first frame */
    struct cfc_latency content_latency;     /* ... to the last frame of a content's pass */
    struct cfc_latency ack_latency;         /* ... to the first report that serves the head */
};

const struct cfc_sender_stats *cfc_sender_stats(const struct cfc_sender *s);

#endif
