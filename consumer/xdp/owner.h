/* The owner of an interface's XDP filter: it has the filter, and hears what the other processes of
 * the host want (member.h).
 *
 * No process can stall it: of each it hears so much in a turn, and takes in so many; while somebody
 * waits or finds no place, the filter drops nothing.  The thread of the host owns it. */
#ifndef CFC_CONSUMER_XDP_OWNER_H
#define CFC_CONSUMER_XDP_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/xdp/wishes.h"

struct cfc_xdp_owner {
    struct cfc_xdp_wishes *wishes; /* with wishes->filter as long as there is an owner */
    enum confcast_xdp mode;        /* OFF: there is none */
    int listen_fd;
    int epoll_fd;      /* of the listener and the parties; -1: none */
    bool is_listening; /* the listener is in the epoll set */
    uint64_t open_until_ns;
    uint64_t crowded_until_ns;                     /* somebody found no place, and comes again */
    uint64_t counts_before[CFC_XDP_VERDICT_COUNT]; /* of filters that are gone */
};

void cfc_xdp_owner_init(struct cfc_xdp_owner *o, struct cfc_xdp_wishes *wishes);

/* Listens at the interface and attaches a filter, which drops nothing until all others can have
 * found it.  BUSY: another process owns it; RESOURCE; and the errors of cfc_xdp_filter_open() and
 * cfc_xdp_filter_attach().  Then there is no owner. */
int cfc_xdp_owner_open(struct cfc_xdp_owner *o, const struct cfc_xdp_filter_config *fleet,
                       unsigned interface_idx, enum confcast_xdp wanted, uint64_t now_ns);

/* Detaches the filter and forgets the other parties.  Fine when there is none. */
void cfc_xdp_owner_close(struct cfc_xdp_owner *o);

/* In a forked child.  Async-signal-safe. */
void cfc_xdp_owner_abandon(struct cfc_xdp_owner *o);

/* Hears the others, for a bounded time.  `is_due`: a second has passed, after which a listener that
 * rested listens again. */
void cfc_xdp_owner_serve(struct cfc_xdp_owner *o, uint64_t now_ns, bool is_due);

/* Has the filter drop, or not, by what is known at this time.  After each change. */
void cfc_xdp_owner_settle(struct cfc_xdp_owner *o, uint64_t now_ns);

/* Frames by what became of them, in this filter and those before it. */
void cfc_xdp_owner_counts(const struct cfc_xdp_owner *o, uint64_t counts[CFC_XDP_VERDICT_COUNT]);

#endif
