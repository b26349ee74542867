/* CONTENT, PAGE and SYMBOL: the bytes of a content.
 *
 * CONTENT announces one *coding* of a content: how its body became coded bytes, and the top of the
 * digest tree over the symbols (protocol/snapshot/tree.h).  The release key signs it, so that one
 * head may stand for any number of codings (docs/adr).
 *
 *     16  u16     signed size: the signed part is the `signed size` bytes that begin here
 *     18  u16     coding: a number within the content
 *     20  u8      encoding
 *     21  u8      FEC code
 *     22  u8      FEC k: source symbols of a full block, 1..64
 *     23  u8      repair leaves of each block's page, 0..16; 0 without FEC
 *     24  u64     body size, 1..CFC_BODY_SIZE_MAX
 *     32  u64     coded size, 1..CFC_BODY_SIZE_MAX; RAW: the body size
 *     40  u16     symbol size
 *     42  u8      page levels 1..3: the fewest that leave at most 32 top digests
 *     43  u8      top digests 1..32
 *     44  u32     shard
 *     48  u8[8]   key id
 *     56  u8[32]  content id
 *     88  u8[32]  base content id: zero unless the encoding is ZSTD_DELTA
 *    120          top digests, 16 bytes each; then signed TLVs to the end of the signed part
 *      .  u8[64]  signature over CFC_DOMAIN_CONTENT_SIG and the signed part; then unsigned TLVs
 *
 * PAGE: one page of the tree.
 *     16  u16     coding
 *     18  u8      level; 0 = leaf page of one block
 *     19  u8      digest count 1..80
 *     20  u32     page index in its level
 *     24          digests, 16 bytes each
 *
 * SYMBOL: one source or repair symbol.
 *     16  u16     coding
 *     18  u16     index in the block, 0..255: below the block's number of source symbols (k, or
 *                 fewer in the last block) a source symbol, else a repair symbol
 *     20  u32     block
 *     24          the symbol, to the end of the frame
 */
#ifndef CFC_WIRE_CONTENT_H
#define CFC_WIRE_CONTENT_H

#include <assert.h>

#include "protocol/trust/digest.h"
#include "protocol/trust/sign.h"
#include "protocol/wire/frame.h"

enum cfc_encoding {
    CFC_ENCODING_RAW = 0,        /* coded bytes are the body */
    CFC_ENCODING_ZSTD = 1,       /* one zstd frame (RFC 8878) with content size, no dictionary */
    CFC_ENCODING_ZSTD_DELTA = 2, /* one zstd frame with the base content's body as prefix */
};

enum {
    CFC_CODING_PULLED = 0x8000 /* codings from here on are for pull (docs/wire-format.md, 12) */
};

static inline bool
cfc_coding_is_pulled(uint16_t coding)
{
    return coding >= CFC_CODING_PULLED;
}

enum cfc_fec_code {
    CFC_FEC_NONE = 0,
    /* GF(2^8) with polynomial 0x11d.  Symbol i >= k of a block is the sum over j < k of
     * source symbol j (the last one padded with zeroes) times 1 / (i xor j); k is the number of
     * source symbols of that block. */
    CFC_FEC_RS_CAUCHY = 1,
};

enum {
    CFC_PAGE_HEADER_SIZE = 24,
    CFC_SYMBOL_HEADER_SIZE = 24,
};

struct cfc_content {
    uint16_t coding;
    uint8_t encoding;
    uint8_t fec_code;
    uint8_t fec_k;
    uint8_t repair_leaves;
    uint64_t body_size;
    uint64_t coded_size;
    uint16_t symbol_size;
    uint8_t page_levels;
    uint8_t top_count;
    uint32_t shard;
    uint8_t key_id[CFC_KEY_ID_SIZE];
    struct cfc_digest content;
    struct cfc_digest base;
    const uint8_t *top_digests; /* in the frame, 16 * top_count bytes */
    const uint8_t *signed_bytes;
    size_t signed_size;
    const uint8_t *signature;
};

struct cfc_page {
    uint16_t coding;
    uint8_t level;
    uint8_t digest_count;
    uint32_t index;
    const uint8_t *digests; /* in the frame */
};

struct cfc_symbol {
    uint16_t coding;
    uint16_t index;
    uint32_t block;
    const uint8_t *bytes; /* in the frame */
    size_t size;
};

/* What follows from a CONTENT by arithmetic alone. */
struct cfc_geometry {
    uint32_t symbol_count;                     /* source symbols */
    uint32_t block_count;                      /* = leaf pages */
    uint32_t page_counts[CFC_PAGE_LEVELS_MAX]; /* pages of each level, [0] = block_count */
    uint32_t last_block_symbols;               /* source symbols of the last block */
    uint32_t last_symbol_size;                 /* bytes of the last source symbol */
};

/* Checks everything that needs no key, including that page levels and top digests follow from the
 * sizes, the key from the content id, and every limit, before anybody allocates.  SHORT, LENGTH,
 * VERSION, RANGE, LIMIT, UNSUPPORTED, WRONG_STREAM: drop and count. */
int cfc_content_decode(const struct cfc_frame *frame, struct cfc_content *out);
/* Encodes and signs; the signer's key id is used.  INVALID for fields outside their rules, LIMIT
 * for those above a limit or a frame that does not fit, or the signer's error. */
int cfc_content_encode(const struct cfc_content *content, const struct cfc_signer *signer,
                       uint8_t *frame, size_t capacity, size_t *size);
/* CONFCAST_OK, or the verifier's error (a CONTENT has no scope: any key of the ring may sign it).
 */
int cfc_content_verify(const struct cfc_content *content, const struct cfc_verifier *verifier,
                       uint64_t unix_ns);

/* CONFCAST_OK, or RANGE/LIMIT for sizes outside the rules.  Reads coded_size, symbol_size, fec_k
 * only. */
int cfc_geometry_of(const struct cfc_content *content, struct cfc_geometry *out);

/* Levels of pages, source symbols of a block, and bytes of a source symbol; `block` and `index`
 * must be in range. */
uint32_t cfc_geometry_levels(const struct cfc_geometry *g); /* 1..CFC_PAGE_LEVELS_MAX */
static inline uint32_t
cfc_geometry_block_symbols(const struct cfc_geometry *g, const struct cfc_content *c,
                           uint32_t block)
{
    assert(block < g->block_count);
    return block + 1 == g->block_count ? g->last_block_symbols : c->fec_k;
}

static inline uint32_t
cfc_geometry_symbol_size(const struct cfc_geometry *g, const struct cfc_content *c, uint32_t block,
                         uint32_t index)
{
    assert(index < cfc_geometry_block_symbols(g, c, block));
    return block + 1 == g->block_count && index + 1 == g->last_block_symbols ? g->last_symbol_size
                                                                             : c->symbol_size;
}

/* SHORT, RANGE (level, digest count), LENGTH: drop and count. */
int cfc_page_decode(const struct cfc_frame *frame, struct cfc_page *out);
int cfc_page_encode(uint64_t content_key, const struct cfc_page *page, uint8_t *frame,
                    size_t capacity, size_t *size);

/* SHORT (no payload), RANGE (index above 255), LIMIT (payload above CFC_SYMBOL_SIZE_MAX): drop and
 * count. */
int cfc_symbol_decode(const struct cfc_frame *frame, struct cfc_symbol *out);

/* Writes only the CFC_SYMBOL_HEADER_SIZE bytes of a symbol frame; the payload of `payload_size`
 * bytes follows from elsewhere (an external buffer on the data path). */
void cfc_symbol_header(uint64_t content_key, uint16_t coding, uint32_t block, uint16_t index,
                       size_t payload_size, uint8_t header[CFC_SYMBOL_HEADER_SIZE]);

#endif
