/* The FRESH pages that a sender holds, per shard, and when each is multicast on the control group.
 *
 * Each shard has the pages of its newest period.  A page that changed, and the first page that
 * comes of a period, changed or not, is sent at once and again in every replay period: so each
 * signed period reaches the fleet as soon as it is here, and the last one goes on being replayed
 * when the control plane falls silent.  The other pages take turns in a sweep that goes round in
 * CFC_SWEEP_PERIODS replay periods, however many they are.
 *
 * One thread owns it. */
#ifndef CFC_SESSION_BEACON_TX_H
#define CFC_SESSION_BEACON_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/session/sender.h"
#include "protocol/wire/fresh.h"

enum {
    CFC_SWEEP_PERIODS = 16,
    CFC_FRESH_PAGES_MAX = 4096 /* of one shard */
};

enum cfc_page_queue {
    CFC_PAGES_NEW,    /* to be sent at once */
    CFC_PAGES_REPLAY, /* in order of due_ns */
    CFC_PAGE_QUEUES,
    CFC_PAGES_SWEEP = CFC_PAGE_QUEUES /* in no queue: they take turns by shard and index */
};

/* One page; its frame follows it in memory. */
struct cfc_fresh_slot {
    struct cfc_fresh_slot *prev;
    struct cfc_fresh_slot *next;
    enum cfc_page_queue queue;
    uint32_t shard;
    uint32_t index;
    uint64_t first_scope; /* 0 on an empty page */
    uint64_t due_ns;      /* REPLAY */
    size_t frame_size;
    uint8_t frame[];
};

struct cfc_page_list {
    struct cfc_fresh_slot *head;
    struct cfc_fresh_slot *tail;
};

struct cfc_fresh_shard {
    uint64_t epoch; /* of the pages held; 0 = none were ever held */
    uint64_t sequence;
    uint8_t *signed_part; /* of the pages held; NULL = none */
    size_t signed_size;
    struct cfc_fresh_slot **pages; /* held ones, ascending by index */
    uint32_t page_count;           /* held */
    uint32_t page_capacity;
};

struct cfc_beacon_tx {
    struct cfc_alloc alloc;
    struct cfc_fresh_shard shards[CFC_SENDER_SHARDS_MAX];
    struct cfc_page_list queues[CFC_PAGE_QUEUES];
    uint32_t control_group;
    uint64_t replay_ns;
    uint32_t sweep_count; /* pages that are in no queue */
    uint32_t sweep_shard; /* the sweep goes on here, ... */
    uint32_t sweep_index; /* ... with the first such page at or after this index, so that a new
                             period does not set it back */
    uint64_t swept_ns;    /* when it sent its last page */
};

/* replay_ns > 0.  Allocates nothing. */
void cfc_beacon_tx_init(struct cfc_beacon_tx *bt, uint32_t control_group, uint64_t replay_ns,
                        const struct cfc_alloc *alloc);
void cfc_beacon_tx_free(struct cfc_beacon_tx *bt);

/* Holds a copy of a decoded page of a shard below CFC_SENDER_SHARDS_MAX.  ROLLBACK: its sequence is
 * below that of the period held at this epoch, or its epoch is below.  LIMIT: a page index beyond
 * CFC_FRESH_PAGES_MAX.  NO_MEMORY. */
int cfc_beacon_tx_put(struct cfc_beacon_tx *bt, const struct cfc_frame *frame,
                      const struct cfc_fresh *fresh, bool is_changed);

/* The page that a FRESH want names: the one that covers, or would cover, the scope id; 0 = the
 * first page held.  NULL: no page of the shard is held. */
const struct cfc_fresh_slot *cfc_beacon_tx_find(const struct cfc_beacon_tx *bt, uint32_t shard,
                                                uint64_t scope_id);

/* The page with this index in the period held, or NULL. */
const struct cfc_fresh_slot *cfc_beacon_tx_page(const struct cfc_beacon_tx *bt, uint32_t shard,
                                                uint32_t index);

/* The next page that is new or due for its replay; AGAIN. */
int cfc_beacon_tx_poll(struct cfc_beacon_tx *bt, uint64_t now_ns, uint8_t *header, size_t capacity,
                       struct cfc_tx *out);
uint64_t cfc_beacon_tx_deadline(const struct cfc_beacon_tx *bt);

/* The next page of the sweep if one has been due for `late_ns` or longer; AGAIN. */
int cfc_beacon_tx_poll_sweep(struct cfc_beacon_tx *bt, uint64_t now_ns, uint64_t late_ns,
                             uint8_t *header, size_t capacity, struct cfc_tx *out);
uint64_t cfc_beacon_tx_sweep_deadline(const struct cfc_beacon_tx *bt);

/* Fills header, header_size and payload of `out`, not where it goes. */
void cfc_beacon_tx_write(const struct cfc_fresh_slot *page, uint8_t *header, size_t capacity,
                         struct cfc_tx *out);

#endif
