/* The inside of a collection, for the files that make it up: content_rx.c (pages and symbols that
 * come) and content_rx_fec.c (repair symbols and what is decoded from them).  Nobody else includes
 * this. */
#ifndef CFC_SESSION_CONTENT_RX_STATE_H
#define CFC_SESSION_CONTENT_RX_STATE_H

#include "protocol/base/time.h"
#include "protocol/session/content_rx.h"
#include "protocol/session/loss_rx.h"
#include "protocol/snapshot/tree.h"

struct cfc_content_rx {
    struct cfc_loss_rx loss; /* what is here, what lacks, what is asked for */
    struct cfc_tree tree;
    struct cfc_alloc alloc;
    uint64_t key;
    uint8_t *coded;   /* apart, since it outlives the rest; whole symbols, so the last is padded */
    uint8_t *digests; /* of all pages, then the top ones */
    /* Repair symbols are kept in the places of source symbols that are not here.  For each place of
     * a slot of `loss`: rows[j] is the number of the one in place j, 0 = none. */
    uint8_t (*rows)[CFC_BLOCK_SYMBOLS_MAX];
    uint32_t symbol_count;  /* verified source symbols */
    uint32_t prefix_blocks; /* blocks below are known to be complete */
};

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
