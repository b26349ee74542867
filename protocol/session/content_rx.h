/* One coding of one content under collection: pages against the digest tree, symbols against their
 * leaves, and which of them to ask for again, when.
 *
 * What counts as lost: everything before the highest verified symbol is known to have been sent; a
 * block that lacks some of it is asked for nack_delay_ns later.  When nothing new comes for a
 * while, the tail may be lost: what is asked for then grows by one block, then by two, by four, ...
 * A sender that is merely slow shows by sending symbols that are here already, since they were
 * asked for: then the silences that count become longer.  At most CFC_LOSS_SLOTS_MAX blocks
 * are asked for at one time, which bounds state and NACKs of a receiver that joins late.
 *
 * Repair symbols: a block is decoded as soon as as many of them are here as source symbols lack,
 * and what is decoded is taken when it passes its leaf.  A repair symbol with a leaf is checked
 * when it comes, one without cannot be: when a block that such a one helped to decode turns out
 * wrong, its repair symbols are dropped and only those with a leaf count from then on; when it
 * turns out wrong again, only source symbols do.  What is asked for is a number of symbols of a
 * block, with the source symbols that would do.
 *
 * Pages are stored only when their parent vouches for them.  Symbols that come before the page of
 * their block are stored in place, the first one wins, and are checked when the page comes, so that
 * early symbols cost no memory beyond the content's own.
 *
 * The CONTENT frame was verified by the caller, or is believed until something fails here (ADR 84).
 * No I/O, no clock; one thread at a time. */
#ifndef CFC_SESSION_CONTENT_RX_H
#define CFC_SESSION_CONTENT_RX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/session/loss_rx.h"
#include "protocol/trust/digest.h"
#include "protocol/wire/content.h"
#include "protocol/wire/nack.h"

struct cfc_content_rx;

struct cfc_content_rx_stats {
    uint64_t symbols;           /* source symbols verified and stored */
    uint64_t symbols_duplicate; /* were here already */
    uint64_t symbols_repair;    /* repair symbols stored */
    uint64_t symbols_decoded;   /* source symbols got back by repair symbols */
    uint64_t symbols_ignored;   /* repair symbols of no use */
    uint64_t blocks_decoded;
    uint64_t blocks_poisoned; /* what was decoded failed its leaves */
};

/* Takes all memory that the collection will ever need, through `alloc`, which must outlive it, as
 * must `timing`, which may change meanwhile.
 * CONFCAST_ERR_NO_MEMORY: nothing was taken, try again later.  CONFCAST_ERR_RANGE,
 * CONFCAST_ERR_LIMIT: geometry outside the rules. */
int cfc_content_rx_new(const struct cfc_content *content, const struct cfc_alloc *alloc,
                       const struct cfc_nack_timing *timing, uint64_t now_ns,
                       struct cfc_content_rx **out);
void cfc_content_rx_free(struct cfc_content_rx *rx); /* NULL is fine */

/* One page of this coding.  CONFCAST_OK when used or a duplicate.  CONFCAST_ERR_NOT_FOUND: its
 * parent is not here yet; it is dropped and asked for again.  CONFCAST_ERR_RANGE,
 * CONFCAST_ERR_LENGTH, CONFCAST_ERR_DIGEST as in tree.h: dropped. */
int cfc_content_rx_page(struct cfc_content_rx *rx, struct cfc_sha256 *sha,
                        const struct cfc_page *page, uint64_t now_ns,
                        struct cfc_content_rx_stats *stats);

/* One symbol of this coding.  CONFCAST_OK when stored, a duplicate (no hashing), or of no use
 * (ignored, no hashing either).  RANGE, LENGTH, DIGEST as above: not stored. */
int cfc_content_rx_symbol(struct cfc_content_rx *rx, struct cfc_sha256 *sha,
                          const struct cfc_symbol *symbol, uint64_t now_ns,
                          struct cfc_content_rx_stats *stats);

bool cfc_content_rx_is_complete(const struct cfc_content_rx *rx);

/* Whether nothing of this content is here yet, so that nothing is lost by taking another coding. */
bool cfc_content_rx_is_empty(const struct cfc_content_rx *rx);

/* The coded bytes from the first one on that are here and verified without a gap; they do not
 * change any more, and stay until take or free. */
const uint8_t *cfc_content_rx_prefix(struct cfc_content_rx *rx, size_t *size);

/* Hands over the coded bytes of a complete content: free them with the same allocator. */
uint8_t *cfc_content_rx_take(struct cfc_content_rx *rx);

/* What passes lost on their way here since the last call; loss_rx.h says what counts. */
struct cfc_loss_count cfc_content_rx_take_count(struct cfc_content_rx *rx);

/* When something is to be asked for, monotonic ns; CFC_NEVER for nothing. */
uint64_t cfc_content_rx_due(const struct cfc_content_rx *rx);

/* When something of this content came last (or its collection began). */
uint64_t cfc_content_rx_news(const struct cfc_content_rx *rx);

/* Writes what is due at `now_ns` into `entries` and counts it as asked for.  Returns the number of
 * entries; what did not fit stays due. */
uint32_t cfc_content_rx_ask(struct cfc_content_rx *rx, uint64_t now_ns,
                            struct cfc_nack_entry *entries, uint32_t capacity);

/* Its CONTENT came again.  The sender closes a pass with it, so that near the end what is lacking
 * then is lost, and need not be waited for as long as in mere silence. */
void cfc_content_rx_announced(struct cfc_content_rx *rx, uint64_t now_ns);

/* What the last answer took; see cfc_loss_rx_take_answer(). */
uint64_t cfc_content_rx_take_answer(struct cfc_content_rx *rx);

/* For the timing of the next content; see cfc_loss_rx_tail_scale(). */
uint8_t cfc_content_rx_tail_scale(const struct cfc_content_rx *rx);

/* The head that names it came again; see cfc_loss_rx_probed(). */
void cfc_content_rx_probed(struct cfc_content_rx *rx, uint64_t now_ns);

/* The sender says it does not have what is asked for: CFC_WANT_PAGE or CFC_WANT_SYMBOLS. */
void cfc_content_rx_gone(struct cfc_content_rx *rx, uint64_t now_ns);

#endif
