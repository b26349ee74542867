/* The heads that a sender holds, one per scope, and when each is to be multicast again.
 *
 * A new head is sent at once and then repeated 0.3, 10, 50 and 250 ms later, so that a single lost
 * frame costs little of the content that follows, and not a FRESH period.  In a fleet of more than
 * CFC_HEAD_FOLLOWERS_MAX, a head that takes nothing back and whose content does not ride in it is
 * repeated three times while receivers that lost it still keep what came since (early_rx.h), as
 * CONTENT is: after 0.3, 1 and 2.5 ms, or 24, 72 and 144 frames when those take less.  Of 1,000
 * receivers that lose 1 % one in ten contents finds one that lost two sendings, who then asks for
 * all of the content that came before the third, by unicast; of a million, a hundred do.  First
 * sendings go before every repeat, and among them heads that take something back (disabled,
 * deleted, rolled back) before all others: the sender sends those before anything else it has.  A
 * small fleet tells when repeats are of no use: once all consumers that ever reported on the scope
 * have said what became of the version, its head rests.
 *
 * It does not judge whether a content is held.  One thread owns it. */
#ifndef CFC_SESSION_HEAD_TX_H
#define CFC_SESSION_HEAD_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/session/key_map.h"
#include "protocol/session/sender.h"
#include "protocol/session/slot_list.h"
#include "protocol/wire/head.h"
#include "protocol/wire/report.h"

enum {
    CFC_HEAD_SENDINGS = 11, /* the first one, four repeats, or six for many; not in this order */
    CFC_HEAD_RESTING = CFC_HEAD_SENDINGS,
    CFC_HEAD_FOLLOWERS_MAX = 64 /* told apart; of a scope with more all repeats go */
};

struct cfc_head_slot {
    uint8_t *frame; /* NULL: the slot is free */
    size_t frame_size;
    uint64_t scope_id;
    uint64_t epoch;
    uint64_t version;
    uint64_t due_ns;
    uint64_t news_ns;   /* when it came, until its first report; 0: reported, or no news */
    uint64_t followers; /* bit per place in the roster: reported on the scope */
    uint64_t holders;   /* those of them that need this head no more */
    uint32_t group;
    bool has_many;    /* followers beyond those that have a bit */
    bool is_for_many; /* repeated for many */
    bool is_stop;     /* takes something back */
    uint32_t sending; /* which comes next, 0..CFC_HEAD_SENDINGS-1, or CFC_HEAD_RESTING */
};

struct cfc_head_tx {
    struct cfc_alloc alloc;
    struct cfc_sha256 *sha; /* borrowed */
    struct cfc_head_slot *slots;
    struct cfc_slot_link *links; /* over `free` and `due` */
    struct cfc_slot_list free;
    struct cfc_slot_list due[CFC_HEAD_SENDINGS]; /* each in order of due_ns */
    struct cfc_slot_list stops; /* first sendings of those that take something back */
    struct cfc_key_map by_scope;
    uint64_t frame_ns; /* that a frame takes at the configured rate; 0: not known */
    uint32_t slot_count;
    uint32_t used_count; /* slots below this were taken once; the memory above was never touched */
    uint32_t group_count;
};

/* `frame_ns` as above.  CONFCAST_OK or CONFCAST_ERR_NO_MEMORY; free after either. */
int cfc_head_tx_init(struct cfc_head_tx *ht, uint32_t slot_count, uint32_t group_count,
                     uint64_t frame_ns, struct cfc_sha256 *sha, uint64_t seed,
                     const struct cfc_alloc *alloc);
void cfc_head_tx_free(struct cfc_head_tx *ht);

/* Holds a copy of a decoded head in place of an earlier one of its scope and sends it to a fleet of
 * this size; the same bytes again change nothing.  ROLLBACK: a higher version is held at this
 * epoch, or a higher epoch. EQUIVOCATION: another decision under the same epoch and version; the
 * one held stays.  LIMIT: no slot left.  NO_MEMORY. */
int cfc_head_tx_put(struct cfc_head_tx *ht, const struct cfc_frame *frame,
                    const struct cfc_head *head, uint32_t fleet_size, bool is_news,
                    uint64_t now_ns);

/* NOT_FOUND. */
int cfc_head_tx_drop(struct cfc_head_tx *ht, uint64_t scope_id);

/* The slot of a scope, or CFC_SLOT_NONE. */
uint32_t cfc_head_tx_find(const struct cfc_head_tx *ht, uint64_t scope_id);

/* What the consumer at this place in the roster reports on a scope.  If it serves the version of
 * the head that is held, this is the first such report and the head was news: how long the head has
 * been here, else 0. */
uint64_t cfc_head_tx_note_report(struct cfc_head_tx *ht, uint32_t consumer,
                                 const struct cfc_report_entry *entry, uint64_t now_ns);

/* The next head that is due, for its group; AGAIN.  out->pass_since_ns is set with its first
 * sending. */
int cfc_head_tx_poll(struct cfc_head_tx *ht, uint64_t now_ns, uint8_t *header, size_t capacity,
                     struct cfc_tx *out);
/* Likewise the first sending of a head that takes something back; AGAIN. */
int cfc_head_tx_poll_stop(struct cfc_head_tx *ht, uint64_t now_ns, uint8_t *header, size_t capacity,
                          struct cfc_tx *out);
/* When the next one is due; CFC_NEVER. */
uint64_t cfc_head_tx_deadline(const struct cfc_head_tx *ht);

/* Fills header, header_size and payload of `out`, not where it goes. */
void cfc_head_tx_write(const struct cfc_head_tx *ht, uint32_t slot, uint8_t *header,
                       size_t capacity, struct cfc_tx *out);

#endif
