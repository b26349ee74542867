/* What a receiver knows of the losses of one content, and what it asks for, when.  It holds no
 * payload, hashes nothing and decodes nothing: content_rx.c does, and tells it what came.  A
 * receiver in the simulator that is one of a million has this and nothing else of a collection, so
 * that what is measured there is what receivers do.
 *
 * Blocks are numbered 0..block_count-1; those of the same group of CFC_FEC_GROUP_BLOCKS are sent
 * interleaved when the coding has an erasure code.  content_rx.h tells in words what counts as
 * lost.
 *
 * No I/O, no clock, no allocation; the memory is the caller's.  One thread at a time. */
#ifndef CFC_SESSION_LOSS_RX_H
#define CFC_SESSION_LOSS_RX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/time.h"
#include "protocol/session/ask.h"
#include "protocol/snapshot/tree.h"
#include "protocol/wire/nack.h"

enum {
    CFC_LOSS_SLOTS_MAX = 64,        /* blocks that are asked for at one time */
    CFC_LOSS_TAIL_BLOCKS_MAX = 16,  /* that one silent interval adds to what is missed */
    CFC_LOSS_TAIL_DELAYS = 4,       /* the first silent interval, in nack delays */
    CFC_LOSS_PROBE_SYMBOLS = 1,     /* that are asked for because of mere silence */
    CFC_LOSS_CLOSE_SHARE = 4,       /* of a nack delay: how long the end of a pass is waited for */
    CFC_LOSS_TAIL_SCALE_MAX = 4,    /* doublings of it for a slow sender */
    CFC_LOSS_DUPLICATE_DELAYS = 32, /* silent intervals that symbols without news can add */
    CFC_LOSS_TAIL_DOUBLINGS_MAX = 6
};

struct cfc_nack_timing {
    uint64_t delay_ns; /* a gap waits this long for reordering */
    uint64_t
        retry_ns; /* first spacing of repeated requests; of a content of few blocks the second */
    uint64_t first_ns; /* ... whose first one is this; 0: it has none, see cfc_ask_sent_first() */
    uint8_t doublings; /* of it, at most; cfc_nack_wait_doublings() */
    /* Doublings of the silence that counts with a large content, as the last ones had it:
       cfc_loss_rx_tail_scale(). */
    uint8_t tail_scale;
};

/* A block that is asked for, or for which repair symbols are here. */
struct cfc_loss_slot {
    struct cfc_ask ask; /* never, while nothing of the block is known to be lost */
    uint64_t asked_ns;  /* when it was asked for last; 0 = it never was */
    uint32_t block;
    uint8_t place; /* 0..slot_max-1, for as long as the slot is open: for what the owner keeps */
    uint8_t row_count; /* repair symbols that are here */
    bool is_poisoned; /* a decoded symbol was wrong: only rows that have a leaf count from now on */
    bool is_hopeless; /* the same with such rows alone: only source symbols help */
};

/* What passes lost on their way here, by the order that symbols are sent in, as RFC 3550 (A.1) and
 * RFC 5740 do by sequence numbers: a symbol says that all before it were sent.  Silence says
 * nothing: a sender may just be slow, and would slow down further for what is taken for loss.  Nor
 * does a symbol that was asked for, which may be repair. */
struct cfc_loss_count {
    uint32_t expected; /* source symbols that were sent */
    uint32_t lost;     /* of these, not here when a later one came */
    uint32_t late;     /* of these, came before they were asked for: overtaken, not lost */
};

struct cfc_loss_rx {
    const struct cfc_tree *tree;          /* the owner's */
    const struct cfc_nack_timing *timing; /* the owner's, who may change it */
    uint64_t *masks; /* per block: source symbols that are here; verified once the leaf page is */
    struct cfc_loss_slot *slots;
    uint8_t *pages;  /* a bit for each page that is here, level 0 first */
    uint8_t *closed; /* a bit for each block of which a verified repair symbol came */
    uint64_t news_ns;
    uint64_t tail_at_ns;
    uint64_t answer_ns;  /* what the last answer took; 0 = taken */
    uint32_t cursor;     /* every incomplete block below has a slot */
    uint32_t sent_block; /* all symbols of the blocks below this one have been sent, ... */
    uint32_t told_block; /* ... of those from this one on only silence says so */
    uint32_t count_end;  /* symbols that are sent before this one were counted, or never will be */
    struct cfc_loss_count count; /* not yet taken */
    uint8_t slot_max;
    uint8_t slot_count;
    uint8_t group_blocks; /* blocks that are sent interleaved */
    uint8_t tail_tries;
    uint8_t tail_blocks; /* that the next silent interval adds */
    uint8_t tail_scale;  /* doublings because earlier silences proved to be none */
    bool is_empty;
    bool has_asked_tail; /* a silence ended once */
    bool has_tail_erred; /* what was asked for in a silence had not been lost */
    bool has_duplicate;  /* a symbol came twice since */
    bool has_begun;      /* a symbol of a pass came */
    bool is_pass_over;   /* what was asked for came, or the end was told, and nothing else since */
};

/* Bytes of memory for the losses of a coding, aligned for 64-bit words, and the blocks that can be
 * asked for at one time. */
size_t cfc_loss_rx_size(const struct cfc_tree *tree);
uint32_t cfc_loss_rx_slot_max(const struct cfc_tree *tree);

/* Nothing is here.  `memory` is of that size; tree, timing and memory outlive it. */
void cfc_loss_rx_init(struct cfc_loss_rx *rx, const struct cfc_tree *tree,
                      const struct cfc_nack_timing *timing, void *memory, uint64_t now_ns);

static inline uint64_t
cfc_loss_low_bits(uint32_t count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static inline uint32_t
cfc_loss_block_symbols(const struct cfc_loss_rx *rx, uint32_t block)
{
    return cfc_geometry_block_symbols(&rx->tree->geometry, &rx->tree->content, block);
}

static inline bool
cfc_loss_has_fec(const struct cfc_loss_rx *rx)
{
    return rx->tree->content.fec_code == CFC_FEC_RS_CAUCHY;
}

/* The source symbols of a block that are not here. */
static inline uint64_t
cfc_loss_missing(const struct cfc_loss_rx *rx, uint32_t block)
{
    return cfc_loss_low_bits(cfc_loss_block_symbols(rx, block)) & ~rx->masks[block];
}

bool cfc_loss_has_page(const struct cfc_loss_rx *rx, uint32_t level, uint32_t page);

static inline bool
cfc_loss_is_block_complete(const struct cfc_loss_rx *rx, uint32_t block)
{
    return cfc_loss_missing(rx, block) == 0 && cfc_loss_has_page(rx, 0, block);
}

/* The slot of a block, or NULL; open makes one, NULL when there is no room. */
struct cfc_loss_slot *cfc_loss_rx_find_slot(const struct cfc_loss_rx *rx, uint32_t block);
struct cfc_loss_slot *cfc_loss_rx_open_slot(struct cfc_loss_rx *rx, uint32_t block);

/* -- What came.  The owner calls cfc_loss_rx_settle() after each of page (of level 0), source and
 * row that returned true, when it has decoded what can be decoded: the places of what was decoded
 * are in the masks then. */

/* A verified page.  True for a leaf page. */
bool cfc_loss_rx_page(struct cfc_loss_rx *rx, uint32_t level, uint32_t page, uint64_t now_ns);

/* A source symbol that was not here.  False: the page of its block is not here, so nothing can be
 * concluded yet.  *is_repair: it was known to be lost. */
bool cfc_loss_rx_source(struct cfc_loss_rx *rx, uint32_t block, uint32_t index, uint64_t now_ns,
                        bool *is_repair);

/* A repair symbol that was stored, in a slot.  `is_verified`: its leaf says that it is genuine.
 * False as above. */
bool cfc_loss_rx_row(struct cfc_loss_rx *rx, struct cfc_loss_slot *slot, bool is_verified,
                     uint64_t now_ns);

/* A symbol that is here already. */
void cfc_loss_rx_duplicate(struct cfc_loss_rx *rx, uint64_t now_ns);

/* Draws the conclusions for a block of which something came.  `is_repair`: something that was asked
 * for, or repaired for others, so that more of it may be under way. */
void cfc_loss_rx_settle(struct cfc_loss_rx *rx, uint32_t block, bool is_repair, uint64_t now_ns);

/* The CONTENT came again; see cfc_content_rx_announced(). */
void cfc_loss_rx_announced(struct cfc_loss_rx *rx, uint64_t now_ns);

/* The head that names the content came again, as heads do some times after they were new.  In a
 * small fleet, near the end and after a silence, that is as good as the CONTENT that closes a pass:
 * a lost tail needs no further frame to show. */
void cfc_loss_rx_probed(struct cfc_loss_rx *rx, uint64_t now_ns);

/* What the next content is to begin with as timing->tail_scale: what this one came to when silences
 * proved to be none, else a doubling less. */
uint8_t cfc_loss_rx_tail_scale(const struct cfc_loss_rx *rx);

/* The sender does not have what is asked for. */
void cfc_loss_rx_gone(struct cfc_loss_rx *rx, uint64_t now_ns);

/* What the last answer to something that was asked for once took to come; 0 when there was none
 * since the last call. */
static inline uint64_t
cfc_loss_rx_take_answer(struct cfc_loss_rx *rx)
{
    uint64_t answer_ns = rx->answer_ns;

    rx->answer_ns = 0;
    return answer_ns;
}

/* What was counted since the last call. */
struct cfc_loss_count cfc_loss_rx_take_count(struct cfc_loss_rx *rx);

/* -- What to ask for; see content_rx.h */

uint64_t cfc_loss_rx_due(const struct cfc_loss_rx *rx);
uint32_t cfc_loss_rx_ask(struct cfc_loss_rx *rx, uint64_t key, uint64_t now_ns,
                         struct cfc_nack_entry *entries, uint32_t capacity);

#endif
