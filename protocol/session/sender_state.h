/* What a sender is made of, for the files that put it together: sender.c (its life and what the
 * control plane hands over), sender_in.c (frames of consumers), sender_out.c (what is sent when).
 */
#ifndef CFC_SESSION_SENDER_STATE_H
#define CFC_SESSION_SENDER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/session/beacon_tx.h"
#include "protocol/session/content_tx.h"
#include "protocol/session/fleet_loss.h"
#include "protocol/session/gone_tx.h"
#include "protocol/session/head_tx.h"
#include "protocol/session/link_tx.h"
#include "protocol/session/pacer.h"
#include "protocol/session/repair.h"
#include "protocol/session/roster.h"
#include "protocol/session/sender.h"
#include "protocol/session/upcall_queue.h"

struct cfc_sender_shard {
    uint64_t epoch; /* 0: nobody has taken it yet */
    uint32_t fleet_size;
};

struct cfc_sender {
    struct cfc_sender_config config;
    struct cfc_sha256 *sha;
    struct cfc_sender_shard shards[CFC_SENDER_SHARDS_MAX];
    struct cfc_content_tx contents;
    struct cfc_head_tx heads;
    struct cfc_beacon_tx beacons;
    struct cfc_roster roster;
    struct cfc_link_tx link;
    struct cfc_gone_tx gone;
    struct cfc_upcall_queue upcalls;
    struct cfc_repair_tx repair;
    struct cfc_pacer pacer; /* multicast bytes */
    struct cfc_fleet_loss loss;
    uint64_t advice_seq;
    uint64_t status_due_ns;
    uint64_t echo_due_ns;   /* of the echoes that wait, in a small fleet */
    uint64_t calm_until_ns; /* before it nothing but contents can be due; 0: look again.  Whatever
                               may add something else sets it to 0 */
    bool is_repair_turn;    /* repair and contents alternate when both have something to send */
    struct cfc_sender_stats stats;
};

/* The largest fleet that any shard tells of. */
uint32_t cfc_sender_fleet_size(const struct cfc_sender *s);

/* When echoes go: 0 at once, CFC_NEVER for none. */
uint64_t cfc_sender_echo_due(const struct cfc_sender *s);

/* Fits the windows to the fleet, or to the roster when that is larger. */
void cfc_sender_fit_windows(struct cfc_sender *s);

/* Ends a round of reported losses when it is over, and sets the pace. */
void cfc_sender_fit_pace(struct cfc_sender *s, uint64_t now_ns);

static inline uint64_t
cfc_sender_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t
cfc_sender_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
