/* NACK and GONE.
 *
 * NACK:
 *     16  u16     entry count 1..40
 *     18  u16     0
 *     20  u32     0
 *     24          entries, 32 bytes each:
 *                    0 u8  want                1 u8  level
 *                    2 u16 coding              4 u32 index
 *                    8 u64 key                16 u64 mask
 *                   24 u16 count              26 u16 0
 *                   28 u32 0
 *      .          session trailer
 *
 * What an entry uses; the rest of it is zero:
 *     HEAD     key = scope id; mask = lowest version wanted
 *     CONTENT  key = content key
 *     PAGE     key = content key, coding, level, index
 *     SYMBOLS  key = content key, coding, index = block, count = symbols lacking 1..64, mask = as
 *              many source symbols that would help (0 = not told); level = 0 when other symbols of
 *              the block, such as repair symbols, help as well, 1 when only those in the mask do
 *     FRESH    key = shard; mask = scope id whose page is wanted (0 = the first)
 *
 * GONE; the frame's key names what is gone:
 *     16  u8      want
 *     17  u8      0
 *     18  u16     coding
 *     20  u32     index
 */
#ifndef CFC_WIRE_NACK_H
#define CFC_WIRE_NACK_H

#include "protocol/wire/frame.h"

enum {
    CFC_NACK_ENTRY_SIZE = 32,
    CFC_GONE_SIZE = 24
};

enum cfc_want {
    CFC_WANT_HEAD = 1,
    CFC_WANT_CONTENT = 2,
    CFC_WANT_PAGE = 3,
    CFC_WANT_SYMBOLS = 4,
    CFC_WANT_FRESH = 5,
};

/* Level of a request for SYMBOLS. */
enum cfc_nack_symbols {
    CFC_NACK_ANY = 0,
    CFC_NACK_SOURCES = 1,
};

struct cfc_nack_entry {
    uint8_t want;
    uint8_t level;
    uint16_t coding;
    uint32_t index;
    uint64_t key;
    uint64_t mask;
    uint16_t count;
};

struct cfc_nack {
    uint64_t consumer_key;
    uint16_t entry_count;
    const uint8_t *entries; /* in the frame */
};

/* Checks counts, enums and reserved fields of every entry (a field that its want does not use is
 * reserved), that count equals the bits of a non-zero SYMBOLS mask, and that there is a mask where
 * only source symbols help.  SHORT, LENGTH, VERSION,
 * RANGE: drop and count. */
int cfc_nack_decode(const struct cfc_frame *frame, struct cfc_nack *out);
void cfc_nack_entry_at(const struct cfc_nack *nack, uint32_t i, struct cfc_nack_entry *out);
/* Writes a frame up to its trailer, which cfc_trailer_seal() then adds.  INVALID, LIMIT. */
int cfc_nack_write(struct cfc_writer *w, uint64_t consumer_key,
                   const struct cfc_nack_entry *entries, uint16_t entry_count);

struct cfc_gone {
    uint64_t key;
    uint8_t want;
    uint16_t coding;
    uint32_t index;
};

/* SHORT, LENGTH, VERSION: drop and count. */
int cfc_gone_decode(const struct cfc_frame *frame, struct cfc_gone *out);
int cfc_gone_encode(const struct cfc_gone *gone, uint8_t *frame, size_t capacity, size_t *size);

#endif
