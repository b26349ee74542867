/* The inside of a receiver, for the files that make it up: receiver.c (its life and what goes
 * where), receiver_heads.c, receiver_contents.c, receiver_fresh.c (frames that come),
 * receiver_events.c (what the owner is told), receiver_frames.c (frames that go), receiver_pull.c.
 * Nobody else includes this. */
#ifndef CFC_SESSION_RECEIVER_STATE_H
#define CFC_SESSION_RECEIVER_STATE_H

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/session/content_set.h"
#include "protocol/session/early_rx.h"
#include "protocol/session/fresh_rx.h"
#include "protocol/session/link_rx.h"
#include "protocol/session/loss_meter.h"
#include "protocol/session/nack_wait.h"
#include "protocol/session/receiver.h"
#include "protocol/session/report_rx.h"
#include "protocol/session/scope_rx.h"
#include "protocol/session/verify_guard.h"
#include "protocol/wire/content.h"
#include "protocol/wire/nack.h"

enum {
    CFC_RECEIVER_SHARDS_MAX = 256,
    CFC_RECEIVER_HOLDS_MAX = 32,  /* contents that a HELLO names as held */
    CFC_RECEIVER_FRESH_TRIES = 3, /* periods without FRESH until it counts as missing */
    CFC_RECEIVER_GONE_MAX = 3,    /* doublings of the spacing in which a head that is gone is asked
                                     for:    from 8 FRESH periods to 64 */
    CFC_RECEIVER_PAGE_PERIODS = 2 /* periods without this scope's page until it is asked for */
};

#define CFC_RECEIVER_COLLECT_TIMEOUT_NS (120 * CFC_S)  /* a collection without any news ends */
#define CFC_RECEIVER_OWNER_RETRY_NS     (100 * CFC_MS) /* CONTENT again for an owner out of memory */
#define CFC_RECEIVER_REFUSED_RETRY_NS   (5 * CFC_S) /* a head that was refused is asked for again */

struct cfc_receiver {
    struct cfc_receiver_config config; /* id and labels point to the copies below */
    char *id;
    struct cfc_label *labels; /* the array, then the text; one allocation */
    uint64_t consumer_key;
    struct cfc_sha256 *sha;
    struct cfc_prng prng;
    struct cfc_nack_timing timing;
    struct cfc_now now; /* of the last call that brought a time */
    uint64_t heard_ns;  /* what came before was given; CFC_NEVER: the owner does not tell */

    struct cfc_scope_rx **scopes; /* by idx */
    uint32_t scope_count;
    uint32_t scope_capacity; /* power of two */
    uint16_t *scope_table; /* open addressing by scope id: idx + 1, 0 = free; 2 * scope_capacity */
    struct cfc_scope_rx *queue_first, *queue_last; /* scopes to evaluate */

    struct cfc_fresh_rx *shards;
    uint32_t shard_count;
    uint32_t shard_capacity;

    struct cfc_content_set contents;
    uint64_t collection_count; /* begun so far */
    uint64_t part_collection;  /* that cfc_receiver_part() gave last */
    struct cfc_early_rx early; /* frames that came before what names them */
    struct cfc_verify_guard guard;
    struct cfc_link_rx link;
    struct cfc_report_rx report;
    struct cfc_loss_meter loss;
    uint64_t advice_seq;       /* of the last ADVICE of this session */
    uint64_t advised_until_ns; /* the engine asks to pull until then; 0 = it does not */
    int identity_reason;       /* of the IDENTITY event that is due; 0 = none */

    uint64_t pulled_ns; /* a pull brought something last */
    enum cfc_pull_mode pull_mode;
    bool is_pull_working;            /* the last pull that ended did not fail */
    bool is_pulled;                  /* the frame under way was */
    uint64_t engine_fresh_period_ns; /* of the config; that in force is in `config` */

    bool is_tick_due;
    uint64_t tick_ns;       /* monotonic: a freshness or content timer */
    uint64_t latch_unix_ns; /* an activation or confirm-by */
    struct cfc_nack_wait nack_wait;
    struct cfc_answer_time answer_time;
    struct cfc_receiver_stats stats;
};

/* The followed scope with this id, or NULL. */
struct cfc_scope_rx *cfc_receiver_find_scope(const struct cfc_receiver *r, uint64_t scope_id);

/* Fits the spacing of repeated requests to the fleet's size and to how long answers take. */
void cfc_receiver_fit_timing(struct cfc_receiver *r);

/* Has poll_event() look at a scope. */
void cfc_receiver_queue_scope(struct cfc_receiver *r, struct cfc_scope_rx *scope);

/* Has poll_event() look at all scopes that name a content. */
void cfc_receiver_queue_users(struct cfc_receiver *r, const struct cfc_entry *entry);

/* What is known of a shard, or NULL; the second makes it, NULL for no memory. */
struct cfc_fresh_rx *cfc_receiver_find_shard(const struct cfc_receiver *r, uint32_t shard);
struct cfc_fresh_rx *cfc_receiver_make_shard(struct cfc_receiver *r, uint32_t shard);

/* When a content that is needed from now on is asked for, if its CONTENT does not come by
 * itself. */
uint64_t cfc_receiver_content_due(const struct cfc_receiver *r);

/* Counts a refusal that no caller sees. */
void cfc_receiver_count(struct cfc_receiver *r, int code);

/* receiver_heads.c */
int cfc_receiver_on_head(struct cfc_receiver *r, const struct cfc_frame *frame);

/* Makes `head`, which was verified, the accepted one.  NO_MEMORY: nothing changed. */
int cfc_receiver_accept_head(struct cfc_receiver *r, struct cfc_scope_rx *scope,
                             const struct cfc_frame *frame, const struct cfc_head *head,
                             bool is_same_decision);

/* Refers anew to what the accepted head names, since the urgency changed. */
void cfc_receiver_rename(struct cfc_receiver *r, struct cfc_scope_rx *scope);

/* receiver_contents.c */
int cfc_receiver_on_content(struct cfc_receiver *r, const struct cfc_frame *frame);
int cfc_receiver_on_page(struct cfc_receiver *r, const struct cfc_frame *frame);
int cfc_receiver_on_symbol(struct cfc_receiver *r, const struct cfc_frame *frame);
int cfc_receiver_on_gone(struct cfc_receiver *r, const struct cfc_frame *frame);

/* A frame that could not be used since what names it is not here: keeps it. */
void cfc_receiver_keep_early(struct cfc_receiver *r, const struct cfc_frame *frame);
/* Something that names contents came: takes the frames that waited for it. */
void cfc_receiver_take_early(struct cfc_receiver *r);

/* Takes the content that rides in a verified head, when it is wanted. */
void cfc_receiver_take_inlined(struct cfc_receiver *r, const struct cfc_head *head);

/* Ends collections that nothing came for. */
void cfc_receiver_expire_contents(struct cfc_receiver *r);

/* Checks the signature of a CONTENT that was believed so far, as soon as something does not fit or
 * somebody is to be asked because of it.  CONFCAST_OK: it is genuine, or was checked before. LIMIT,
 * NO_MEMORY: it could not be checked now, nothing changed.  Another error: the collection is given
 * up, and the content asked for again. */
int cfc_receiver_prove(struct cfc_receiver *r, struct cfc_entry *entry);

/* Whether this is what cfc_receiver_prove() returns when it proved nothing either way. */
static inline bool
cfc_receiver_is_unproved(int code)
{
    return code == CONFCAST_ERR_LIMIT || code == CONFCAST_ERR_NO_MEMORY;
}

/* Takes note of what a collection counted as lost, unless its CONTENT may yet be a forgery. */
void cfc_receiver_note_loss(struct cfc_receiver *r, struct cfc_entry *entry);

/* receiver_pull.c */
int cfc_receiver_on_advice(struct cfc_receiver *r, const struct cfc_frame *frame);

/* receiver_fresh.c */
int cfc_receiver_on_fresh(struct cfc_receiver *r, const struct cfc_frame *frame);
enum cfc_freshness cfc_receiver_freshness(const struct cfc_receiver *r,
                                          const struct cfc_scope_rx *scope);

/* Whether STATUS came within the last periods. */
bool cfc_receiver_is_engine_alive(const struct cfc_receiver *r);

/* receiver_frames.c */
/* One part of a REPORT; sealed for the session unless the owner pulls. */
int cfc_receiver_write_report(struct cfc_receiver *r, uint8_t *frame, size_t capacity,
                              size_t *size);
uint64_t cfc_receiver_nack_due(const struct cfc_receiver *r);

#endif
