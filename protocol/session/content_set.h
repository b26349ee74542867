/* The contents that a receiver knows of: wanted, under collection, complete, or held by its owner.
 *
 * An entry lives as long as somebody refers to it (an accepted head, what is served, a delta that
 * needs it as base), or as long as the owner holds it.  The kind of reference says how urgent the
 * content is.  When the last reference goes, a collection ends, and the owner is told to drop what
 * it holds.
 *
 * No I/O, no clock; one thread at a time.  Memory comes through the allocator handed in. */
#ifndef CFC_SESSION_CONTENT_SET_H
#define CFC_SESSION_CONTENT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/session/ask.h"
#include "protocol/session/content_rx.h"
#include "protocol/trust/digest.h"

/* Most urgent first. */
enum cfc_need {
    CFC_NEED_TARGET, /* to be served now */
    CFC_NEED_ARM,    /* content or fallback of this consumer's arm, not yet to be served */
    CFC_NEED_OTHER,  /* of other arms: makes the next stage one frame */
    CFC_NEED_KEEP,   /* served now, or base of a delta: must not go, need not be fetched */
    CFC_NEED_COUNT
};

#define CFC_ENTRY_STATES(X)                                                                        \
    X(ABSENT)     /* not here, no collection */                                                    \
    X(COLLECTING) /* a coding is under collection */                                               \
    X(COMPLETE)   /* coded bytes are here, the owner is to be told */                              \
    X(DELIVERED)  /* the owner is at it; the bytes must stay */                                    \
    X(HELD)       /* the owner holds it decoded and validated */                                   \
    X(REFUSED)    /* the owner refused it (reason), until another version names it */

enum cfc_entry_state {
#define CFC_ENUM_(name) CFC_ENTRY_##name,
    CFC_ENTRY_STATES(CFC_ENUM_)
#undef CFC_ENUM_
};

enum {
    CFC_CONTENT_SET_MAX = 8192,     /* entries of one receiver */
    CFC_ENTRY_BAD_CODINGS_MAX = 4,  /* codings of one content known to be of no use */
    CFC_ENTRY_OWNER_RETRIES_MAX = 1 /* CONTENT events after the first, for an owner out of memory */
};

struct cfc_entry {
    struct cfc_entry *next_in_bucket;
    struct cfc_entry *next_event; /* event queue */
    struct cfc_entry *active_prev, *active_next;
    bool is_queued;
    bool is_active;
    bool is_from_disk;  /* the owner had it before any collection */
    bool is_inlined;    /* the bytes came inside a head, which nothing signs */
    bool is_inline_bad; /* such bytes were wrong once: collect it symbol by symbol */
    bool is_no_base;    /* held, but a delta against it came to nothing */
    bool is_deferred;   /* no room in the budget now: do not ask */
    bool is_gone;       /* the engine said that it does not have it */
    bool was_forged;    /* a CONTENT that was not checked at once was not of the control plane */
    uint8_t state;      /* enum cfc_entry_state; written by set_state() only */
    uint8_t bad_count;
    uint8_t owner_retries;
    uint8_t encoding;
    uint16_t bad_codings[CFC_ENTRY_BAD_CODINGS_MAX];
    uint16_t coding;
    int reason; /* REFUSED */
    uint32_t refs[CFC_NEED_COUNT];
    struct cfc_digest id;
    struct cfc_ask ask;        /* ABSENT: for the CONTENT frame */
    struct cfc_content_rx *rx; /* COLLECTING */
    uint8_t *coded;            /* COMPLETE, DELIVERED */
    uint8_t
        *unproved; /* the CONTENT frame of the bytes, whose signature was not checked; or NULL */
    size_t unproved_size;
    uint64_t prove_at_ns; /* nothing is asked before, since it could not be checked lately */
    uint64_t coded_size;  /* COLLECTING, COMPLETE, DELIVERED: counted against the budget */
    uint64_t body_size;
    uint64_t collection;          /* number of the collection that the bytes are of */
    struct cfc_digest base;       /* of a delta */
    struct cfc_entry *base_entry; /* held for a delta */
    uint64_t retry_at_ns;         /* COMPLETE: when to tell the owner again; 0 = now */
};

struct cfc_content_set {
    struct cfc_alloc alloc;
    struct cfc_entry **buckets;
    uint32_t bucket_count; /* power of two */
    uint32_t entry_count;
    struct cfc_entry *active; /* ABSENT and wanted, COLLECTING, or COMPLETE */
    struct cfc_entry *event_first, *event_last;
    uint64_t used_size; /* coded bytes of COLLECTING, COMPLETE, DELIVERED */
};

int cfc_content_set_init(struct cfc_content_set *set, const struct cfc_alloc *alloc);
void cfc_content_set_free(struct cfc_content_set *set);

/* The entry of a content, or NULL. */
struct cfc_entry *cfc_content_set_find(const struct cfc_content_set *set,
                                       const struct cfc_digest *id);

/* The first entry with this content key, and the next one after `entry`, or NULL. */
struct cfc_entry *cfc_content_set_find_key(const struct cfc_content_set *set, uint64_t key);
struct cfc_entry *cfc_content_set_next_key(const struct cfc_entry *entry);

/* Refers to a content, whose entry is made when there is none; its CONTENT is asked for from
 * `ask_at_ns` on.  NULL for LIMIT or no memory: nothing changed. */
struct cfc_entry *cfc_content_set_acquire(struct cfc_content_set *set, const struct cfc_digest *id,
                                          enum cfc_need need, uint64_t ask_at_ns);

/* Gives a reference back; the entry may be gone afterwards. */
void cfc_content_set_release(struct cfc_content_set *set, struct cfc_entry *entry,
                             enum cfc_need need);

/* The owner holds `id`.  LIMIT, NO_MEMORY. */
int cfc_content_set_hold(struct cfc_content_set *set, const struct cfc_digest *id);

/* Moves an entry to another state, and frees what the new state does not have.  `entry` may be gone
 * afterwards when nobody refers to it. */
void cfc_content_set_state(struct cfc_content_set *set, struct cfc_entry *entry,
                           enum cfc_entry_state state);

/* The most urgent need of an entry; CFC_NEED_COUNT for none. */
enum cfc_need cfc_entry_need(const struct cfc_entry *entry);

/* Whether somebody waits for this content to come. */
bool cfc_entry_is_wanted(const struct cfc_entry *entry);

/* Takes the first entry off the event queue: COMPLETE, or HELD without a reference.  NULL for
 * none. */
struct cfc_entry *cfc_content_set_pop_event(struct cfc_content_set *set);

/* Puts an entry on the event queue, once. */
void cfc_content_set_push_event(struct cfc_content_set *set, struct cfc_entry *entry);

/* Forgets an entry that the owner was told to drop. */
void cfc_content_set_forget(struct cfc_content_set *set, struct cfc_entry *entry);

#endif
