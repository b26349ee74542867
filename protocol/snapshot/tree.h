/* The digest tree of one coding of a content: what lets a receiver verify every symbol as it
 * arrives, whoever sent it.
 *
 * Coded bytes are cut into symbols and blocks as wire/content.h says (struct cfc_geometry).  All
 * digests are SHA-256 truncated to 16 bytes:
 *
 *     leaf = H("confcast/v1/symbol" NUL, content id, block u32, index u16, coding u16, bytes)
 *     page = H("confcast/v1/page" NUL, content id, coding u16, level u8, 0 u8, page u32, digests)
 *
 * Level 0 has one page per block: the leaves of its source symbols, then of its first repair_leaves
 * repair symbols.  A page of level n > 0 holds the digests of up to CFC_PAGE_DIGESTS_MAX pages of
 * level n - 1.  Levels are added until at most CFC_TOP_DIGESTS_MAX page digests are left: these are
 * the top digests, which CONTENT carries under its signature.
 *
 * The control plane builds, engines and consumers verify.  Memory is the caller's; a cfc_sha256
 * belongs to one thread at a time. */
#ifndef CFC_SNAPSHOT_TREE_H
#define CFC_SNAPSHOT_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/limits.h"
#include "protocol/trust/digest.h"
#include "protocol/wire/content.h"

struct cfc_tree {
    struct cfc_content content; /* a copy; only coding, content id, fec_k, repair_leaves, coded_size
                                   and symbol_size are read, and nothing that it points to */
    struct cfc_geometry geometry;
    uint32_t level_count;                        /* levels of pages, 1..CFC_PAGE_LEVELS_MAX */
    uint32_t top_count;                          /* top digests = pages of the highest level */
    uint32_t digest_count;                       /* digests of all pages, and the top ones */
    uint32_t level_offsets[CFC_PAGE_LEVELS_MAX]; /* where each level begins, in digests */
};

/* Fills `tree` from the fields of `content` named above.  A builder copies level_count and
 * top_count into its CONTENT afterwards.  CONFCAST_ERR_RANGE, CONFCAST_ERR_LIMIT as
 * cfc_geometry_of(), and LIMIT for too many repair leaves: refuse the CONTENT. */
int cfc_tree_init(struct cfc_tree *tree, const struct cfc_content *content);

/* Bytes for the digests of all pages, one after the other: level 0 first, the top digests last. */
static inline size_t
cfc_tree_digests_size(const struct cfc_tree *tree)
{
    return (size_t)tree->digest_count * CFC_SHORT_DIGEST_SIZE;
}

/* Digests that a page holds.  Level and page must exist (assert); likewise below. */
uint32_t cfc_tree_page_digests(const struct cfc_tree *tree, uint32_t level, uint32_t page);

/* Where, in that memory (in digests), a page begins, ... */
uint32_t cfc_tree_page_offset(const struct cfc_tree *tree, uint32_t level, uint32_t page);
/* ... where the digest of a page itself stands: in its parent page or among the top digests, ... */
uint32_t cfc_tree_parent_offset(const struct cfc_tree *tree, uint32_t level, uint32_t page);
/* ... and where the top digests begin. */
uint32_t cfc_tree_top_offset(const struct cfc_tree *tree);

/* Digests of the whole coding into `digests`, cfc_tree_digests_size() bytes.  `coded` is coded_size
 * bytes.  `repair` holds repair_leaves symbols of symbol_size bytes per block, block after block;
 * NULL if repair_leaves is 0. */
void cfc_tree_build(const struct cfc_tree *tree, struct cfc_sha256 *sha, const uint8_t *coded,
                    const uint8_t *repair, uint8_t *digests);

/* Checks a received page against its digest in the verified parent (or top).  CONFCAST_ERR_RANGE:
 * the tree has no such page; CONFCAST_ERR_LENGTH: it has another number of digests;
 * CONFCAST_ERR_DIGEST: other bytes.  Drop the frame and count it; ask again later. */
int cfc_tree_verify_page(const struct cfc_tree *tree, struct cfc_sha256 *sha, uint32_t level,
                         uint32_t page, const uint8_t *digests, size_t digest_count,
                         const uint8_t expected[CFC_SHORT_DIGEST_SIZE]);

/* Checks a received symbol against its leaf, which stands at `idx` in the verified leaf page of its
 * block.  `idx` counts the source symbols of that block and then, without a gap, its repair
 * symbols. CONFCAST_ERR_RANGE: no such block, or no leaf for this index; CONFCAST_ERR_LENGTH: not
 * the size of this symbol; CONFCAST_ERR_DIGEST: other bytes. */
int cfc_tree_verify_symbol(const struct cfc_tree *tree, struct cfc_sha256 *sha, uint32_t block,
                           uint32_t idx, const uint8_t *bytes, size_t size,
                           const uint8_t expected[CFC_SHORT_DIGEST_SIZE]);

#endif
