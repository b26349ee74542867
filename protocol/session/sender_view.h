/* What a sender is doing, for people: how much waits in its queues, and how far one scope has got.
 * It only looks; the thread that owns the sender calls it, now and then and not per frame. */
#ifndef CFC_SESSION_SENDER_VIEW_H
#define CFC_SESSION_SENDER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/session/sender.h"
#include "protocol/trust/digest.h"

/* What waits, and how much of what is bounded is in use. */
struct cfc_sender_queues {
    uint64_t heads;             /* held */
    uint64_t contents;          /* codings held */
    uint64_t heads_due;         /* first sendings and repeats that are scheduled */
    uint64_t passes_news;       /* contents that are being sent: named by news, ... */
    uint64_t passes_rest;       /* ... and the others */
    uint64_t replies;           /* WELCOMEs and GONEs that wait for the port */
    uint64_t echoes;            /* reports whose echo waits */
    uint64_t repairs_gathering; /* by state, protocol/session/repair.h */
    uint64_t repairs_unicast;
    uint64_t repairs_multicast;
    uint64_t repairs_quiet;
    uint64_t upcalls;            /* reports and consumers that wait for the control plane */
    uint64_t fleet_size;         /* that the windows follow */
    uint64_t pacing_rate_bytes;  /* a second; 0: none */
    uint64_t pacing_level_bytes; /* in the bucket when it was last asked */
    uint64_t pacing_slowdowns;   /* times that reported loss lowered the rate */
    uint64_t pacing_floor_bytes; /* 0: none */
    uint8_t pacing_state;        /* enum cfc_pace_state, fleet_loss.h */
    uint64_t loss_reporters;     /* receivers whose loss is known, ... */
    uint64_t loss_outliers;      /* ... of these, those that were advised to pull */
    /* What that many of them do not exceed, in 1/65,536. */
    uint16_t loss_p50, loss_p90, loss_p99, loss_p999, loss_worst;
    uint64_t parity_sixteenths; /* repair symbols that go unasked with a full block, in 1/16 */
};

void cfc_sender_view_queues(const struct cfc_sender *s, struct cfc_sender_queues *out);

enum {
    CFC_SCOPE_CODINGS_MAX = 32 /* shown of one scope */
};

/* One coding of a content that a scope's head names. */
struct cfc_scope_coding {
    struct cfc_digest content;
    uint16_t coding;
    const char *phase;     /* "idle", "announce", ... */
    uint64_t symbols;      /* source symbols in all */
    uint64_t symbols_done; /* of the running pass; all of them once every group had its pass */
    uint32_t groups;       /* bit per group with a head that names it, ... */
    uint32_t sent_groups;  /* ... and that had a whole pass */
    bool is_pull_only;
};

struct cfc_scope_view {
    uint64_t epoch;
    uint64_t version;
    uint64_t sendings; /* of the head, 0..5 */
    uint32_t group;
    bool is_reported; /* somebody serves it, as far as that was watched: heads that were news */
    uint32_t coding_count;
    struct cfc_scope_coding codings[CFC_SCOPE_CODINGS_MAX];
};

/* CONFCAST_OK, or NOT_FOUND: no head of this scope is held. */
int cfc_sender_view_scope(const struct cfc_sender *s, uint64_t scope_id,
                          struct cfc_scope_view *out);

#endif
