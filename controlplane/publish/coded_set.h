/* The coded contents that heads name, as the engine gets them: in sealed memfds (arenas) that the
 * engine maps, so that a payload is written once and never passes through a socket.
 *
 * A content is coded whole, and as deltas against what fleets hold, when those are worth it.  The
 * whole is always there: whoever lacks a base, or cannot decode with the one it has, gets that.
 *
 * A content that no head names any more stays for a while (up to retained_max bytes of coded data),
 * so that a rollback to it costs one head frame.  One thread owns a set. */
#ifndef CFC_PUBLISH_CODED_SET_H
#define CFC_PUBLISH_CODED_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/model/decision.h"
#include "controlplane/publish/crew.h"
#include "protocol/trust/digest.h"
#include "protocol/trust/sign.h"

struct cfc_coded_set;

enum {
    CFC_CODED_FRAME_SIZE_MAX = 1024, /* bytes of a CONTENT frame: 120 + 32 * 16 + 64 and TLVs */
    CFC_CODED_DELTAS_MAX = 4,        /* of one content; an engine holds 8 codings of each */
    CFC_CODED_TOLD_MAX = 4,          /* scopes remembered to have had a content */
    CFC_CODED_DELTA_PART = 2         /* a delta is at most this part of the whole */
};

/* A sealed memfd; several contents lie in it.  One that small contents are still added to keeps the
 * mapping that was writable before it was sealed; nobody can make another one, and what was written
 * stays as it is. */
struct cfc_arena {
    uint64_t number;      /* never used twice by a process */
    int fd;               /* sealed against writing (but by `room`), shrinking and growing */
    const uint8_t *bytes; /* mapped read-only */
    size_t size;
    uint8_t *room;          /* where to add; NULL = nothing is added any more */
    size_t used;            /* bytes of the room that are written */
    uint32_t content_count; /* contents of the set that lie in it, and the set while it adds to it;
                             * the arena is closed at 0 */
    bool is_handed;         /* the engine of this connection has it */
};

/* One coding of a content: the whole, which is what the set finds, or one of its deltas. */
struct cfc_coded {
    struct cfc_digest id;
    struct cfc_digest base;       /* what a delta is against; zero: the whole */
    uint16_t coding;              /* its number within the content; 0 = the whole */
    struct cfc_coded *deltas;     /* of the whole, newest first; they live as long as it does */
    struct cfc_coded *next_delta; /* of a delta */
    size_t held_size;             /* of the whole: coded bytes, those of the deltas too */
    uint32_t name_count;          /* heads that name it */
    uint64_t last_named;          /* stamp of the last time that a head did, for retention */
    struct cfc_arena *arena;
    size_t tree_offset;
    size_t tree_size;
    size_t coded_offset;
    size_t coded_size;
    size_t body_size;
    uint8_t encoding;                  /* enum cfc_encoding */
    bool is_handed;                    /* the engine of this connection has it */
    bool is_pull_only;                 /* as it was handed: the engine sends it to those who ask */
    uint64_t told[CFC_CODED_TOLD_MAX]; /* of the whole: the last scopes (ids, 0 = none) whose head
                                        * named it for an engine */
    uint8_t frame[CFC_CODED_FRAME_SIZE_MAX]; /* the CONTENT frame */
    size_t frame_size;
    struct cfc_coded *next_in_bucket;
};

struct cfc_coded_set_config {
    struct cfc_signer signer; /* with a crew: for any thread */
    struct cfc_crew *crew;    /* codes and signs what is added together; NULL = none.  Outlives the
                               * set */
    uint32_t shard;
    uint32_t symbol_size; /* CFC_SYMBOL_SIZE_MIN..CFC_SYMBOL_SIZE_MAX */
    size_t retained_max;  /* coded bytes that nobody names and that are kept all the same */
};

/* NO_MEMORY.  free(NULL) is fine. */
int cfc_coded_set_new(const struct cfc_coded_set_config *config, struct cfc_coded_set **out);
void cfc_coded_set_free(struct cfc_coded_set *set);

/* Codes every body that is not here yet into one arena: a new one, or the one that small contents
 * are added to, so that 100,000 of them need few descriptors.  All or nothing: on an error
 * (NO_MEMORY, RESOURCE: no memfd, LIMIT: a body above CFC_BODY_SIZE_MAX) nothing was added; try
 * again later.  `bodies` may name a content twice. */
int cfc_coded_set_add(struct cfc_coded_set *set, struct cfc_config_body *const *bodies,
                      size_t body_count);

/* A content of the set, and what a fleet holds in its place. */
struct cfc_delta_wish {
    struct cfc_config_body *body;
    struct cfc_config_body *base;
};

/* Codes contents that are in the set (assert) against their bases.  A delta that is above half of
 * the whole is not kept, nor is one above CFC_CODED_DELTAS_MAX of a content; what is there already
 * stays.  On an error (as above) there are no new ones, and the whole does as well.  The bases are
 * not looked at again afterwards. */
int cfc_coded_set_add_deltas(struct cfc_coded_set *set, const struct cfc_delta_wish *wishes,
                             size_t wish_count);

/* The delta of a content against this base, NULL when there is none. */
struct cfc_coded *cfc_coded_find_delta(const struct cfc_coded *whole,
                                       const struct cfc_digest *base);

/* A head of this scope named the content for an engine, so that its fleet has it, or asks. */
void cfc_coded_note_told(struct cfc_coded *whole, uint64_t scope_id);
bool cfc_coded_was_told(const struct cfc_coded *whole, uint64_t scope_id);

/* NULL when it is not here. */
struct cfc_coded *cfc_coded_set_find(struct cfc_coded_set *set, const struct cfc_digest *id);

/* A head names, or does not name any more, this content. */
void cfc_coded_set_name(struct cfc_coded_set *set, struct cfc_coded *coded);
void cfc_coded_set_unname(struct cfc_coded_set *set, struct cfc_coded *coded);

/* Removes one content that nobody names and that retention has no room for, oldest first, and gives
 * its id and whether the engine had it.  CONFCAST_ERR_AGAIN when there is none. */
int cfc_coded_set_evict(struct cfc_coded_set *set, struct cfc_digest *id, bool *was_handed);

/* A new connection: the engine has nothing yet. */
void cfc_coded_set_forget_handed(struct cfc_coded_set *set);

/* Calls fn for every content; stops at the first non-zero and returns it. */
int cfc_coded_set_each(struct cfc_coded_set *set, int (*fn)(void *arg, struct cfc_coded *coded),
                       void *arg);

/* Coded bytes of a content, in its arena. */
const uint8_t *cfc_coded_bytes(const struct cfc_coded *coded);

size_t cfc_coded_set_count(const struct cfc_coded_set *set);

#endif
