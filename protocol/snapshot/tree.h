/* The digest tree of one coding of a content: what lets a receiver verify every symbol as it
 * arrives, whoever sent it.
 *
 * Coded bytes are cut into symbols of symbol_size bytes (the last one may be shorter), symbols into
 * blocks of block_symbols source symbols (the last one may have fewer) and repair_count repair
 * symbols.  All digests are SHA-256 truncated to 16 bytes:
 *
 *     leaf = H("confcast/v1/symbol" NUL, content id, block u32, index u16, coding u16, bytes)
 *     page = H("confcast/v1/page" NUL, content id, coding u16, level u8, 0 u8, page u32, digests)
 *
 * Level 0 has one page per block: its source leaves, then its repair leaves.  A page of level n > 0
 * holds the digests of up to CFC_PAGE_DIGESTS_MAX pages of level n - 1.  Levels are added until at
 * most CFC_TOP_DIGESTS_MAX page digests are left; these are the top digests, which CONTENT carries
 * under its signature.  `coding` is the number of the coding within its content, as CONTENT states
 * it.
 *
 * The control plane builds, engines and consumers verify.  Memory is the caller's; a cfc_sha256
 * belongs to one thread at a time. */
#ifndef CFC_SNAPSHOT_TREE_H
#define CFC_SNAPSHOT_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/trust/digest.h"

/* What CONTENT says about the cutting, and what follows from it. */
struct cfc_tree {
    uint32_t coded_size;                         /* bytes */
    uint16_t symbol_size;                        /* bytes of a symbol */
    uint8_t block_symbols;                       /* source symbols of a block but the last */
    uint8_t repair_count;                        /* repair leaves of every block */
    uint32_t symbol_count;                       /* source symbols */
    uint32_t block_count;                        /* = pages of level 0 */
    uint32_t level_count;                        /* levels of pages, at least 1 */
    uint32_t top_count;                          /* top digests = pages of the highest level */
    uint32_t digest_count;                       /* digests of all pages and the top ones */
    uint32_t page_counts[CFC_PAGE_LEVELS_MAX];   /* pages of each level */
    uint32_t level_offsets[CFC_PAGE_LEVELS_MAX]; /* first digest of each level, in digests */
};

/* Fills `tree`.  CONFCAST_ERR_RANGE: coded_size is 0 or above CFC_BODY_SIZE_MAX, symbol_size
 * outside CFC_SYMBOL_SIZE_MIN..MAX, block_symbols outside 1..CFC_BLOCK_SYMBOLS_MAX, repair_count
 * above CFC_REPAIR_LEAVES_MAX.  CONFCAST_ERR_LIMIT: it would take more than CFC_PAGE_LEVELS_MAX
 * levels. Refuse the CONTENT on either. */
int cfc_tree_init(struct cfc_tree *tree, size_t coded_size, size_t symbol_size,
                  size_t block_symbols, size_t repair_count);

/* Geometry.  Arguments must be in range (assert). */
uint32_t cfc_tree_block_symbols(const struct cfc_tree *tree, uint32_t block); /* source symbols */
size_t cfc_tree_symbol_offset(const struct cfc_tree *tree, uint32_t block, uint32_t idx);
size_t cfc_tree_symbol_size(const struct cfc_tree *tree, uint32_t block, uint32_t idx); /* bytes;
    a repair symbol (idx >= source symbols of the block) has the full symbol_size */
uint32_t cfc_tree_page_digests(const struct cfc_tree *tree, uint32_t level, uint32_t page);

/* Digests of all pages, one after the other: level 0 first, and the top digests last. */
static inline size_t
cfc_tree_digests_size(const struct cfc_tree *tree)
{
    return (size_t)tree->digest_count * CFC_SHORT_DIGEST_SIZE;
}

/* Where, in that memory (in digests), a page begins, ... */
uint32_t cfc_tree_page_offset(const struct cfc_tree *tree, uint32_t level, uint32_t page);
/* ... where the digest of a page itself stands: in its parent page or among the top digests, ... */
uint32_t cfc_tree_parent_offset(const struct cfc_tree *tree, uint32_t level, uint32_t page);
/* ... and where the top digests begin. */
uint32_t cfc_tree_top_offset(const struct cfc_tree *tree);

/* Names the tree in every digest. */
struct cfc_tree_id {
    struct cfc_digest content_id;
    uint16_t coding;
};

/* Digests of the whole coding into `digests`, cfc_tree_digests_size() bytes.  `coded` is
 * tree->coded_size bytes.  `repair` holds repair_count symbols of symbol_size bytes per block,
 * block after block; NULL if repair_count is 0. */
void cfc_tree_build(const struct cfc_tree *tree, struct cfc_sha256 *sha,
                    const struct cfc_tree_id *id, const uint8_t *coded, const uint8_t *repair,
                    uint8_t *digests);

/* One leaf and one page digest, 16 bytes each. */
void cfc_tree_leaf(struct cfc_sha256 *sha, const struct cfc_tree_id *id, uint32_t block,
                   uint32_t idx, const uint8_t *bytes, size_t size,
                   uint8_t leaf[CFC_SHORT_DIGEST_SIZE]);
void cfc_tree_page(struct cfc_sha256 *sha, const struct cfc_tree_id *id, uint32_t level,
                   uint32_t page, const uint8_t *digests, uint32_t digest_count,
                   uint8_t digest[CFC_SHORT_DIGEST_SIZE]);

/* Checks a received page against its digest in the verified parent (or top).  CONFCAST_ERR_RANGE:
 * the tree has no such page; CONFCAST_ERR_LENGTH: it has another number of digests;
 * CONFCAST_ERR_DIGEST: other bytes.  Drop the frame and count it; ask again later. */
int cfc_tree_verify_page(const struct cfc_tree *tree, struct cfc_sha256 *sha,
                         const struct cfc_tree_id *id, uint32_t level, uint32_t page,
                         const uint8_t *digests, size_t digest_count,
                         const uint8_t expected[CFC_SHORT_DIGEST_SIZE]);

/* Checks a received symbol against its leaf in the verified leaf page of its block.  idx counts
 * source symbols, then repair symbols.  CONFCAST_ERR_RANGE: no such block or no leaf for this
 * index; CONFCAST_ERR_LENGTH: not the size of this symbol; CONFCAST_ERR_DIGEST. */
int cfc_tree_verify_symbol(const struct cfc_tree *tree, struct cfc_sha256 *sha,
                           const struct cfc_tree_id *id, uint32_t block, uint32_t idx,
                           const uint8_t *bytes, size_t size,
                           const uint8_t expected[CFC_SHORT_DIGEST_SIZE]);

#endif
