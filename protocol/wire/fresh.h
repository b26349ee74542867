/* FRESH: one signature per shard and period over what is current, so that a receiver detects gaps,
 * freezes and its own lateness with one check, whatever the number of scopes.
 *
 *     16  u16     signed size: the signed part is the `signed size` bytes that begin here
 *     18  u16     0
 *     20  u32     shard
 *     24  u64     epoch >= 1
 *     32  u64     sequence: highest committed sequence of the shard
 *     40  u64     time, unix ns
 *     48  u64     not after, unix ns
 *     56  u32     fleet size
 *     60  u32     scope count 0..131,072
 *     64  u8[16]  Merkle root over the pages of entries; zero when there are none
 *     80  u8[8]   key id
 *     88          signed TLVs to the end of the signed part
 *      .  u8[64]  signature over CFC_DOMAIN_FRESH_SIG and the signed part
 *      .  u32     page index
 *      .  u32     page count
 *      .  u8      proof count 0..12
 *      .  u8      entry count 0..32
 *      .  u16     0
 *      .          proof, 16 bytes each, lowest level first
 *      .          entries, 32 bytes each, ascending by scope id over all pages: u64 scope id,
 *                 u64 version, u8[16] head digest
 *
 * Merkle tree: leaf = 16 bytes of SHA-256(CFC_DOMAIN_FRESH_LEAF, u32 page index, entries of the
 * page); node = 16 bytes of SHA-256(CFC_DOMAIN_FRESH_NODE, left, right); an odd last node moves up
 * unchanged.  All pages but the last are full. */
#ifndef CFC_WIRE_FRESH_H
#define CFC_WIRE_FRESH_H

#include "protocol/trust/digest.h"
#include "protocol/trust/sign.h"
#include "protocol/wire/frame.h"

enum {
    CFC_FRESH_ENTRY_SIZE = 32
};

struct cfc_fresh_entry {
    uint64_t scope_id;
    uint64_t version;
    uint8_t head_digest[CFC_SHORT_DIGEST_SIZE];
};

struct cfc_fresh {
    uint32_t shard;
    uint64_t epoch;
    uint64_t sequence;
    uint64_t time_unix_ns;
    uint64_t not_after_unix_ns;
    uint32_t fleet_size;
    uint32_t scope_count;
    uint8_t root[CFC_SHORT_DIGEST_SIZE];
    uint8_t key_id[CFC_KEY_ID_SIZE];
    uint32_t page_index;
    uint32_t page_count; /* 0 only when scope_count is 0; then entry_count and proof_count are 0 */
    uint8_t proof_count;
    uint8_t entry_count;
    const uint8_t *proof;   /* in the frame */
    const uint8_t *entries; /* in the frame: cfc_fresh_entry_at() */
    const uint8_t *signed_bytes;
    size_t signed_size;
    const uint8_t *signature;
};

/* Checks all that needs neither key nor digest.  The page fields are not signed, but follow from
 * the signed scope count and the index.  SHORT, LENGTH, VERSION, RANGE (also entries out of order),
 * LIMIT (scope count), UNSUPPORTED, WRONG_STREAM (key is not the shard): drop and count. */
int cfc_fresh_decode(const struct cfc_frame *frame, struct cfc_fresh *out);
void cfc_fresh_entry_at(const struct cfc_fresh *fresh, uint32_t i, struct cfc_fresh_entry *out);

/* The signature alone; its key needs authority for every scope, since a shard's epoch and sequence
 * concern all of them (memoise it by the signed bytes: all pages of a period share them). */
int cfc_fresh_verify(const struct cfc_fresh *fresh, const struct cfc_verifier *verifier,
                     uint64_t unix_ns);

/* The page against the root.  CONFCAST_OK or CONFCAST_ERR_DIGEST. */
int cfc_fresh_check_page(const struct cfc_fresh *fresh, struct cfc_sha256 *sha);

/* All pages of a period for `entries`, which must ascend by scope id.  init computes the tree in
 * `nodes`, memory of cfc_fresh_nodes_size(count) bytes, and signs; encode then writes any page.
 * INVALID for unsorted entries, LIMIT for more than 131,072. */
struct cfc_fresh_builder {
    struct cfc_fresh fixed;
    const struct cfc_fresh_entry *entries;
    uint32_t entry_count;
    uint8_t *nodes;
    uint8_t signed_part[128];
    size_t signed_size;
    uint8_t signature[CFC_SIGNATURE_SIZE];
};

size_t cfc_fresh_nodes_size(uint32_t entry_count);
uint32_t cfc_fresh_page_count(
    uint32_t entry_count); /* at least 1: an empty shard still has one (empty) page to send */
int cfc_fresh_builder_init(struct cfc_fresh_builder *b, const struct cfc_fresh *fixed,
                           const struct cfc_fresh_entry *entries, uint32_t entry_count,
                           uint8_t *nodes, const struct cfc_signer *signer, struct cfc_sha256 *sha);
/* RANGE for a page beyond cfc_fresh_page_count(), LIMIT when it does not fit. */
int cfc_fresh_encode_page(const struct cfc_fresh_builder *b, uint32_t page_index, uint8_t *frame,
                          size_t capacity, size_t *size);

#endif
