/* The contents that a sender holds and how far each has been sent.
 *
 * A slot is one coding of one content.  Its CONTENT frame is copied; page digests and coded bytes
 * stay the caller's.  A *pass* sends everything of a slot once to every group in pass_groups: the
 * CONTENT, then for each block the index pages that begin with it, its leaf page and its source
 * symbols, and the CONTENT once more, for those whose first one was lost.  With an erasure code,
 * blocks go interleaved in groups of CFC_FEC_GROUP_BLOCKS, and the source symbols of each are
 * followed by as many repair symbols as recent blocks needed (cfc_parity).  All groups of a pass
 * move together, frame by frame, so that one cursor tells what is still to come.  Whose frame goes
 * next is the pass queue's to say: small contents before large ones, and *news*, what a new head
 * names, before the rest: after an engine's restart everything is handed over again, and a change
 * that comes meanwhile does not wait for it.
 *
 * It neither paces nor decides who is answered; sender.c and repair.c do.  One thread owns it. */
#ifndef CFC_SESSION_CONTENT_TX_H
#define CFC_SESSION_CONTENT_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/session/key_map.h"
#include "protocol/session/pass_queue.h"
#include "protocol/session/sender.h"
#include "protocol/session/slot_list.h"
#include "protocol/snapshot/tree.h"
#include "protocol/wire/content.h"
#include "protocol/wire/nack.h"

enum {
    CFC_CODINGS_MAX = 8, /* codings of one content held at one time */
    /* After so many pages and symbols of a pass CONTENT goes again: who lost the first one keeps
     * what follows it only for as long as early_rx.h has room, which is some 170 frames.  Of a
     * million receivers that lose 1 % each, one loses any three. */
    CFC_REMINDER_FIRST = 24,
    CFC_REMINDER_SECOND = 72,
    CFC_REMINDER_THIRD = 144
};

#define CFC_CAST_PHASES(X)                                                                         \
    X(IDLE)     /* nothing to send: every group that wants it has had a pass */                    \
    X(ANNOUNCE) /* CONTENT comes next */                                                           \
    X(PAGES)    /* page `level` of `block` comes next */                                           \
    X(SYMBOLS)  /* source or repair symbol `symbol` of `block` comes next */                       \
    X(CLOSE)    /* CONTENT comes once more; all symbols have been sent */

enum cfc_cast_phase {
#define CFC_ENUM_(name) CFC_CAST_##name,
    CFC_CAST_PHASES(CFC_ENUM_)
#undef CFC_ENUM_
};

struct cfc_content_slot {
    uint8_t *frame; /* the CONTENT frame; NULL: the slot is free */
    size_t frame_size;
    struct cfc_content content; /* decoded, points into `frame` */
    struct cfc_tree tree;
    const uint8_t *digests; /* caller's */
    const uint8_t *coded;   /* caller's */
    uint8_t *next_rows; /* with a code: per block, the next fresh repair symbol; behind `frame` */
    uint32_t sibling;   /* next coding of the same content, or CFC_SLOT_NONE */
    uint32_t refs;      /* payload references on their way out */
    bool is_dropped;    /* forgotten; released when refs is 0 */
    bool is_pull_only;
    uint32_t groups;      /* bit per group with a head that names the content */
    uint32_t sent_groups; /* had a whole pass */
    uint32_t pass_groups; /* in the pass that runs; 0 when IDLE */
    uint32_t next_groups; /* wait for the pass after it */
    uint32_t left_groups; /* of this pass, still to get the frame at the cursor */
    bool is_news;         /* its passes go first */
    uint64_t news_ns;     /* when the head came that made the running pass news; 0: none did */
    enum cfc_pass_class pass_class; /* where the running pass stands */
    enum cfc_cast_phase phase;
    uint32_t first_block; /* of the blocks that go interleaved, ... */
    uint32_t end_block;   /* ... and the one after the last of them */
    uint32_t block;
    uint32_t symbol;
    uint32_t parity;      /* of the blocks that go now */
    uint32_t pass_frames; /* pages and symbols of this pass */
    bool is_reminding;    /* CONTENT comes next, once more; the cursor stays */
    uint8_t level;
};

/* How many repair symbols a full block is sent with before anybody asks, in sixteenths.  It rises
 * with every block that several consumers lacked more of, and falls with every block, so that it
 * settles where three blocks of four would have needed one more.  What hardly anybody needs is
 * cheaper sent when asked for; what nearly every block needs, as in a large fleet, costs no more
 * sent at once and saves the round and its NACKs (J. Nonnenmacher, E. Biersack and D. Towsley,
 * Parity-based loss recovery for reliable multicast transmission, 1997). */
struct cfc_parity {
    uint32_t level;
    uint32_t reported; /* symbols that most blocks need by what receivers report; the owner's to
                          set.  A pass begins with them, and goes on as blocks prove to need */
};

enum {
    CFC_PARITY_RISE = 4,
    CFC_PARITY_FALL = 3,
    CFC_PARITY_UNIT = 16,
    CFC_PARITY_BEGIN = 12,    /* above what is reported, so that it goes with the first 8 blocks */
    CFC_PARITY_BLOCK_MIN = 32 /* blocks with fewer source symbols tell nothing of the level */
};

struct cfc_content_tx {
    struct cfc_alloc alloc;
    struct cfc_content_slot *slots;
    struct cfc_slot_link *links; /* over free, passes and released */
    struct cfc_slot_list free;
    struct cfc_pass_queue passes;
    struct cfc_slot_list released;
    struct cfc_key_map by_key; /* content key -> first coding */
    uint32_t slot_count;
    uint32_t used_count; /* slots below this were taken once; the memory above was never touched */
    size_t frame_size_max;
    struct cfc_parity parity;
};

/* CONFCAST_OK or CONFCAST_ERR_NO_MEMORY; free after either. */
int cfc_content_tx_init(struct cfc_content_tx *ct, uint32_t slot_count, size_t frame_size_max,
                        uint64_t seed, const struct cfc_alloc *alloc);
void cfc_content_tx_free(struct cfc_content_tx *ct);

/* As cfc_sender_put_content() says.  Another coding of a content that heads name already is wanted
 * by the same groups at once. */
int cfc_content_tx_put(struct cfc_content_tx *ct, const uint8_t *frame, size_t size,
                       const uint8_t *tree, size_t tree_size, const uint8_t *coded,
                       bool is_pull_only, uint32_t *slot);

/* As cfc_sender_drop_content() says. */
int cfc_content_tx_drop(struct cfc_content_tx *ct, const struct cfc_digest *content);

void cfc_content_tx_payload_done(struct cfc_content_tx *ct, uint32_t slot, uint32_t count);

/* The next slot whose memory is free, which is the caller's again with this call; CFC_SLOT_NONE
 * when there is none. */
uint32_t cfc_content_tx_take_released(struct cfc_content_tx *ct);

/* The first coding of a content by its key, CFC_SLOT_NONE when it is not held; the others follow
 * along `sibling`. */
uint32_t cfc_content_tx_find(const struct cfc_content_tx *ct, uint64_t content_key);
uint32_t cfc_content_tx_find_coding(const struct cfc_content_tx *ct, uint64_t content_key,
                                    uint16_t coding);

/* Whether some coding of this very content (not only of its key) is held. */
bool cfc_content_tx_holds(const struct cfc_content_tx *ct, const struct cfc_digest *content);

/* A head of `group` names the content: every coding that is not pull-only gets to that group, once.
 * Nothing happens when the content is not held. */
void cfc_content_tx_want(struct cfc_content_tx *ct, const struct cfc_digest *content,
                         uint32_t group, bool is_news, uint64_t now_ns);

/* Whether what a NACK wants is still to come with the running or the next pass, so that an answer
 * would only send it twice.  `groups` are those the asker is known to follow; 0 = unknown, then
 * only a first pass counts. */
bool cfc_content_tx_is_coming(const struct cfc_content_tx *ct, uint32_t slot, uint32_t groups,
                              const struct cfc_nack_entry *entry);

/* Whether a pass is running. */
static inline bool
cfc_content_tx_is_busy(const struct cfc_content_tx *ct)
{
    return !cfc_pass_queue_is_empty(&ct->passes);
}

/* The frame at the cursor whose turn it is, for one group.  CONFCAST_ERR_AGAIN: nothing to send. */
int cfc_content_tx_poll(struct cfc_content_tx *ct, uint8_t *header, size_t capacity,
                        struct cfc_tx *out);

/* Single frames of a slot, for poll and for repair.  They fill header, header_size and payload of
 * `out` (a symbol's payload counts as in flight), not where it goes. */
void cfc_content_tx_write_content(struct cfc_content_tx *ct, uint32_t slot, uint8_t *header,
                                  size_t capacity, struct cfc_tx *out);
void cfc_content_tx_write_page(struct cfc_content_tx *ct, uint32_t slot, uint32_t level,
                               uint32_t page, uint8_t *header, size_t capacity, struct cfc_tx *out);
void cfc_content_tx_write_symbol(struct cfc_content_tx *ct, uint32_t slot, uint32_t block,
                                 uint32_t symbol, uint8_t *header, size_t capacity,
                                 struct cfc_tx *out);

/* Repair symbol `row` of a block, made into `header`, behind the header: there is no payload.  Only
 * for a slot with a code; row must be one of the block's. */
void cfc_content_tx_write_repair(struct cfc_content_tx *ct, uint32_t slot, uint32_t block,
                                 uint32_t row, uint8_t *header, size_t capacity,
                                 struct cfc_tx *out);

static inline bool
cfc_content_tx_has_fec(const struct cfc_content_slot *slot)
{
    return slot->content.fec_code == CFC_FEC_RS_CAUCHY;
}

/* The number of a repair symbol of this block that has not been sent for longest. */
uint32_t cfc_content_tx_next_row(struct cfc_content_tx *ct, uint32_t slot, uint32_t block);

/* Several consumers lacked `count` symbols of a block when its pass was through. */
void cfc_content_tx_note_demand(struct cfc_content_tx *ct, uint32_t slot, uint32_t block,
                                uint32_t count);

/* Bytes of a symbol's datagram. */
size_t cfc_content_tx_symbol_frame_size(const struct cfc_content_tx *ct, uint32_t slot,
                                        uint32_t block, uint32_t symbol);

#endif
