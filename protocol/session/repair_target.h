/* What the entries of a NACK name, looked up in what the sender holds: which object, which parts of
 * it, how large, and by which groups it would reach the asker; and the frames of those parts.
 *
 * An object's parts are numbered 0..63: the source symbols of a block, the codings of a content
 * (their CONTENT frames); a head, a page and a FRESH page have one.  A fresh repair symbol of a
 * block is part CFC_PART_ROW + its number.  No state of its own. */
#ifndef CFC_SESSION_REPAIR_TARGET_H
#define CFC_SESSION_REPAIR_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/session/beacon_tx.h"
#include "protocol/session/content_tx.h"
#include "protocol/session/head_tx.h"
#include "protocol/session/roster.h"
#include "protocol/wire/nack.h"

/* Where objects are looked up; borrowed. */
struct cfc_repair_stock {
    struct cfc_content_tx *contents;
    struct cfc_head_tx *heads;
    struct cfc_beacon_tx *beacons;
};

enum {
    CFC_PART_ROW = 256
};

struct cfc_repair_target {
    struct cfc_nack_entry object; /* want, level, coding, index and key name it; FRESH by its page
                                     index; mask and count are 0 */
    uint64_t mask;                /* parts wanted; 0 = all of it is on its way anyhow */
    bool is_any; /* symbols: `count` others of the block do as well, whichever they are; the mask,
                    when it is given, has as many bits */
    uint32_t count;         /* with is_any; 0 = it is on its way anyhow */
    uint32_t block_symbols; /* source symbols of the block */
    size_t part_size;       /* bytes of a part's datagram, at most */
    uint32_t groups;        /* bit per group by which it reaches the asker; 0 = not known */
};

/* Looks up one entry of a NACK of `c`, whose groups it adds to when the entry tells of one.
 *   CONFCAST_OK   *out is filled
 *   GONE          there is no such object, or no head of that version
 *   RANGE         the object has no such page, block or symbol */
int cfc_repair_resolve(const struct cfc_repair_stock *stock, struct cfc_consumer *c,
                       const struct cfc_nack_entry *entry, struct cfc_repair_target *out);

/* The part number of a fresh repair symbol of a block, made once; false when the object is not
 * there any more. */
bool cfc_repair_fresh_part(const struct cfc_repair_stock *stock,
                           const struct cfc_nack_entry *object, uint32_t *part);

/* Several consumers lacked up to `count` symbols of a block. */
void cfc_repair_note_demand(const struct cfc_repair_stock *stock,
                            const struct cfc_nack_entry *object, uint32_t count);

/* Writes one part of an object; fills header, header_size and payload of `out`, not where it goes.
 * false when the object is not there any more. */
bool cfc_repair_write_part(const struct cfc_repair_stock *stock,
                           const struct cfc_nack_entry *object, uint32_t part, uint8_t *header,
                           size_t capacity, struct cfc_tx *out);

#endif
