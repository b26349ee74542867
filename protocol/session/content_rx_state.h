/* The inside of a collection, for the files that make it up: content_rx.c (pages and symbols that
 * come), content_rx_fec.c (repair symbols and what is decoded from them), content_rx_ask.c (what is
 * asked for, and when).  Nobody else includes this. */
#ifndef CFC_SESSION_CONTENT_RX_STATE_H
#define CFC_SESSION_CONTENT_RX_STATE_H

#include "protocol/base/time.h"
#include "protocol/session/ask.h"
#include "protocol/session/content_rx.h"
#include "protocol/snapshot/tree.h"

/* A block that is asked for, or for which repair symbols are kept. */
struct cfc_rx_slot {
    uint32_t block;
    struct cfc_ask ask; /* never, while nothing of the block is known to be lost */
    uint64_t asked_ns;  /* when it was asked for last; of a repeat only */
    /* Repair symbols are kept in the places of source symbols that are not here: rows[j] is the
     * number of the one in place j, 0 = none. */
    uint8_t rows[CFC_BLOCK_SYMBOLS_MAX];
    uint8_t row_count;
    bool is_poisoned; /* a decoded symbol was wrong: only rows that have a leaf count from now on */
    bool is_hopeless; /* the same with such rows alone: only source symbols help */
};

struct cfc_content_rx {
    struct cfc_tree tree;
    struct cfc_alloc alloc;
    const struct cfc_nack_timing *timing; /* the owner's, who may change it */
    uint64_t key;
    uint8_t *coded;   /* apart, since it outlives the rest; whole symbols, so the last is padded */
    uint64_t *masks;  /* per block: source symbols stored; verified once the leaf page is here */
    uint8_t *digests; /* of all pages, then the top ones */
    uint8_t *pages;   /* a bit for each page that is here, level 0 first */
    uint8_t *closed;  /* a bit for each block of which a verified repair symbol came */
    uint32_t page_bases[CFC_PAGE_LEVELS_MAX];
    struct cfc_rx_slot *slots;
    uint32_t slot_max;
    uint32_t slot_count;
    uint32_t cursor;       /* every incomplete block below has a slot */
    uint32_t group_blocks; /* blocks that are sent interleaved */
    uint32_t sent_block;   /* all symbols of the blocks below this one have been sent */
    uint32_t symbol_count; /* verified source symbols */
    bool is_empty;
    uint64_t news_ns;
    uint64_t tail_at_ns;
    uint8_t tail_tries;
    uint32_t tail_blocks; /* that the next silent interval adds */
    uint8_t tail_scale;   /* doublings because earlier silences proved to be none */
    bool has_asked_tail;  /* a silence ended once */
    bool has_duplicate;   /* a symbol came twice since */
};

static inline uint64_t
cfc_rx_low_bits(uint32_t count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static inline uint32_t
cfc_rx_block_symbols(const struct cfc_content_rx *rx, uint32_t block)
{
    return cfc_geometry_block_symbols(&rx->tree.geometry, &rx->tree.content, block);
}

/* The source symbols of a block that are not here. */
static inline uint64_t
cfc_rx_missing(const struct cfc_content_rx *rx, uint32_t block)
{
    return cfc_rx_low_bits(cfc_rx_block_symbols(rx, block)) & ~rx->masks[block];
}

static inline bool
cfc_rx_has_page(const struct cfc_content_rx *rx, uint32_t level, uint32_t page)
{
    uint32_t bit = rx->page_bases[level] + page;

    return (rx->pages[bit / 8] >> (bit % 8) & 1) != 0;
}

static inline bool
cfc_rx_is_block_complete(const struct cfc_content_rx *rx, uint32_t block)
{
    return cfc_rx_has_page(rx, 0, block) && cfc_rx_missing(rx, block) == 0;
}

static inline bool
cfc_rx_has_fec(const struct cfc_content_rx *rx)
{
    return rx->tree.content.fec_code == CFC_FEC_RS_CAUCHY;
}

static inline uint8_t *
cfc_rx_place(const struct cfc_content_rx *rx, uint32_t block, uint32_t index)
{
    const struct cfc_content *c = &rx->tree.content;

    return rx->coded + ((size_t)block * c->fec_k + index) * c->symbol_size;
}

/* -- content_rx.c */

/* A symbol against its leaf, which stands at its index in the verified leaf page. */
int cfc_rx_verify(const struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block,
                  uint32_t index, const uint8_t *bytes, size_t size);

/* -- content_rx_ask.c */

/* The symbols of a block that are known to have been sent and are not here, ... */
uint64_t cfc_rx_lost_symbols(const struct cfc_content_rx *rx, uint32_t block);
/* ... and whether something of it is to be asked for, the repair symbols that are here counted. */
bool cfc_rx_is_lacking(const struct cfc_content_rx *rx, uint32_t block);

/* The slot of a block, or NULL; open makes one, NULL when there is no room. */
struct cfc_rx_slot *cfc_rx_find_slot(const struct cfc_content_rx *rx, uint32_t block);
struct cfc_rx_slot *cfc_rx_open_slot(struct cfc_content_rx *rx, uint32_t block);

/* Raises what is known to have been sent to cover the verified symbols of a block. */
void cfc_rx_note_sent(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns);
/* Something new came: nothing is silent now. */
void cfc_rx_note_news(struct cfc_content_rx *rx, uint64_t now_ns);
/* A symbol that is here already. */
void cfc_rx_note_duplicate(struct cfc_content_rx *rx, uint64_t now_ns);
/* Something that was asked for, or repaired for others, came: more of it may be under way. */
void cfc_rx_note_repair(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns);
/* Closes the slot of a block that is complete. */
void cfc_rx_note_complete(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns);
/* A symbol of a block whose page is not here came. */
void cfc_rx_want_page(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns);

/* -- content_rx_fec.c */

/* A repair symbol, whose index is at least the block's number of source symbols. */
int cfc_rx_repair_symbol(struct cfc_content_rx *rx, struct cfc_sha256 *sha,
                         const struct cfc_symbol *symbol, uint64_t now_ns,
                         struct cfc_content_rx_stats *stats);
/* Place `index` of a block is needed for its source symbol: what is kept there moves or goes. */
void cfc_rx_clear_place(struct cfc_content_rx *rx, uint32_t block, uint32_t index);
/* The page of a block came: repair symbols that came before it are checked. */
void cfc_rx_verify_rows(struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block);
/* Decodes a block if as many symbols as it has source symbols are here. */
void cfc_rx_try_decode(struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block,
                       uint64_t now_ns, struct cfc_content_rx_stats *stats);

#endif
