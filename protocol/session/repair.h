/* Repair: gathers what consumers lack and decides how each loss is healed.
 *
 * A *repair* is one object that somebody asked for: a head, the CONTENT frames of a content, a
 * page, the symbols of one block, or a FRESH page.  It gathers for gather_ns, counting from its
 * first asker, and is then answered:
 *   - up to unicast_askers_max askers: to each one by unicast exactly what it lacks;
 *   - more: what any of them lacks, once, by multicast to the groups they follow.
 * Of a block with an erasure code, any symbols do: many askers then get as many fresh repair
 * symbols as the worst of them lacks (RFC 5740, 4.2.3), or the source symbols when all lack the
 * same.  With a code, a quarter of the consumers is many, too: one multicast symbol serves all of
 * them. A head is answered at once; askers are still counted for gather_ns, and when there are too
 * many it is multicast and later askers of that time get nothing more.  After a multicast a repair
 * stays quiet for a while: NACKs that crossed it on the way are taken as answered.  Nobody waits
 * for anything here: a consumer that still lacks something asks again.
 *
 * Where so much is lost all over the fleet that others are likely to lack something of the same
 * block (cfc_fleet_loss_lacking()), the first asker that lacks a few symbols is answered by
 * multicast with fresh repair symbols: on the sender's link that costs what unicast does, and
 * others then need not ask.  Symbols that were multicast count for CFC_REPAIR_QUIET_NS: who
 * asks later has seen them, since a receiver reads its socket before it asks.
 *
 * So the sender's work follows what was lost, not how many lost it (faults 62, 63).  Budgets: bytes
 * of each consumer, bytes of all repair together (heads are exempt), CFC_REPAIRS_MAX repairs, of
 * which one consumer opens at most CFC_REPAIRS_PER_CONSUMER.  Consumers take turns by one frame,
 * so that one with much to repair delays another by no more than itself (fault 59).
 *
 * A request for "any n symbols", without a mask, gets n fresh repair symbols of a block with a
 * code, and all source symbols of one without.  One thread owns it. */
#ifndef CFC_SESSION_REPAIR_H
#define CFC_SESSION_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/time.h"
#include "protocol/session/key_map.h"
#include "protocol/session/pacer.h"
#include "protocol/session/repair_target.h"
#include "protocol/session/roster.h"
#include "protocol/session/slot_list.h"
#include "protocol/session/turns.h"
#include "protocol/wire/nack.h"

enum {
    CFC_REPAIRS_MAX = 4096,
    CFC_REPAIRS_PER_CONSUMER = 256,
    /* In a large fleet an asker that lacks no more symbols of a block, and of no more objects, than
       this stands for others: its loss is that of the fleet.  Who lacks more, or asks again for
       what was multicast for it, is helped alone. */
    CFC_REPAIR_FEW = 8,
    CFC_REPAIR_STOOD_MAX = 12, /* objects that are remembered for that */
    CFC_ASKERS_MAX = 8         /* that a repair can remember; bounds unicast_askers_max */
};

/* NACKs cross a multicast by what the way up and the sender's bursts take; less than the spacing of
 * repeated requests. */
#define CFC_REPAIR_QUIET_NS (2 * CFC_MS)

#define CFC_REPAIR_STATES(X)                                                                       \
    X(FREE)                                                                                        \
    X(GATHERING) /* waits for other askers until due_ns */                                         \
    X(UNICAST)   /* sends to each asker what it lacks */                                           \
    X(MULTICAST) /* sends what anybody lacks */                                                    \
    X(QUIET)     /* answered; what was sent is not sent again until due_ns */

enum cfc_repair_state {
#define CFC_ENUM_(name) CFC_REPAIR_##name,
    CFC_REPAIR_STATES(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_REPAIR_STATE_COUNT
};

struct cfc_asker {
    uint32_t slot; /* in the roster */
    uint32_t session;
    uint64_t mask;   /* parts still to be sent to it */
    uint32_t rows;   /* fresh repair symbols still to be sent to it */
    bool is_any;     /* repair symbols do for the parts of the mask */
    bool is_waiting; /* in turns, for its next part */
};

struct cfc_repair {
    enum cfc_repair_state state;
    struct cfc_nack_entry object; /* as struct cfc_repair_target has it */
    uint64_t due_ns;              /* GATHERING, QUIET */
    uint64_t mask;                /* too many askers: parts still to be multicast */
    uint64_t sent;                /* parts that were multicast */
    uint64_t hints;               /* gathering for multicast: source symbols that would do, ... */
    uint32_t need;                /* ... of as many symbols, whichever they are; ... */
    bool is_blind;                /* ... somebody did not say which source symbols would do */
    uint32_t rows_left;           /* fresh repair symbols still to be multicast */
    uint32_t rows_sent;
    uint32_t row_part;    /* the part number of the one at hand */
    uint32_t groups;      /* bit per group to multicast to */
    uint32_t left_groups; /* of those, still to get the part at hand */
    bool is_multicast;    /* there were too many askers for unicast */
    uint8_t asker_count;
    uint8_t block_symbols; /* source symbols of a block with a code */
    uint32_t opener;       /* roster slot of its first asker */
    uint64_t opener_key;
    struct cfc_asker askers[CFC_ASKERS_MAX];
};

struct cfc_repair_tx {
    struct cfc_repair_stock stock;  /* this and the next two: set by the caller before init */
    struct cfc_roster *roster;      /* borrowed */
    struct cfc_sender_stats *stats; /* borrowed */
    uint64_t gather_ns;
    bool is_asker_many; /* others wait longer than is gathered: see CFC_REPAIR_FEW */
    uint64_t lacking;   /* as cfc_fleet_loss_lacking(); the owner's to set */
    uint32_t unicast_askers_max;
    size_t frame_size_max;
    struct cfc_pacer budget; /* bytes of all repair; heads are exempt */
    struct cfc_repair *repairs;
    struct cfc_slot_link *links; /* over the lists below */
    struct cfc_slot_list lists[CFC_REPAIR_STATE_COUNT];
    struct cfc_slot_list urgent_multicast; /* heads in MULTICAST; the list has the others */
    struct cfc_turns turns;                /* askers in UNICAST, by consumer */
    struct cfc_turns urgent_turns;         /* likewise, of heads */
    bool is_unicast_turn;                  /* unicast and multicast alternate when both are ready */
    struct cfc_key_map by_object;
};

struct cfc_repair_config {
    uint64_t gather_ns;
    uint32_t unicast_askers_max; /* 1..CFC_ASKERS_MAX */
    size_t frame_size_max;
    uint64_t rate_bytes; /* of all repair; 0 = no limit */
    uint64_t burst_bytes;
    uint64_t seed;
};

/* The borrowed members of `rt` are set by the caller before.  OK or NO_MEMORY; free after either.
 */
int cfc_repair_init(struct cfc_repair_tx *rt, const struct cfc_repair_config *config,
                    const struct cfc_alloc *alloc);
void cfc_repair_free(struct cfc_repair_tx *rt, const struct cfc_alloc *alloc);

/* The NACKs of the fleet come spread over `nack_us` (nack_wait.h): gathers no longer than those of
 * a small fleet take, at most `gather_ns`.  Where they take longer, one asker stands for others
 * that wait. */
void cfc_repair_fit(struct cfc_repair_tx *rt, uint32_t nack_us, uint64_t gather_ns);

/* One entry of a valid NACK of the consumer in `slot`.
 *   CONFCAST_OK   it will be answered, was answered just now, or is on its way anyhow
 *   GONE          there is no such object: tell the consumer
 *   RANGE         the object has no such page, block or symbol
 *   LIMIT         a budget or a table is exhausted: the consumer asks again */
int cfc_repair_ask(struct cfc_repair_tx *rt, uint32_t slot, const struct cfc_nack_entry *entry,
                   uint64_t now_ns);

/* A head somebody asked for.  A multicast one only with `may_multicast`.  OK or AGAIN. */
int cfc_repair_poll_urgent(struct cfc_repair_tx *rt, uint64_t now_ns, bool may_multicast,
                           uint8_t *header, size_t capacity, struct cfc_tx *out);

/* Any other repair, likewise. */
int cfc_repair_poll(struct cfc_repair_tx *rt, uint64_t now_ns, bool may_multicast, uint8_t *header,
                    size_t capacity, struct cfc_tx *out);

/* When either poll may give something; `multicast_ns` is when the port may multicast again. */
uint64_t cfc_repair_deadline(const struct cfc_repair_tx *rt, uint64_t multicast_ns);

#endif
