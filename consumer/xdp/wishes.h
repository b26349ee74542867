/* What the processes of one host want of an interface, each by itself and all together.
 *
 * The first party is this process; the others are those that its owner hears (owner.h).  While
 * there is a filter, it is told of each change of what they want together.  What cannot be noted
 * makes a party unclear for as long as it is there, and while one is, nothing may be dropped.
 *
 * The thread of the host owns it. */
#ifndef CFC_CONSUMER_XDP_WISHES_H
#define CFC_CONSUMER_XDP_WISHES_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/xdp/filter.h"
#include "consumer/xdp/host.h"
#include "consumer/xdp/wish_map.h"

enum {
    CFC_XDP_PARTIES_MAX = 1 + CFC_XDP_HOST_MEMBERS_MAX,
};

/* One process. */
struct cfc_xdp_party {
    int fd;          /* it speaks here; -1: this process */
    bool is_unclear; /* it wants more than was noted */
    bool is_trusted; /* of this user, or root's: what it holds counts */
    uint32_t scope_count;
    uint64_t scopes[CFC_XDP_HOST_SCOPES_MAX];
    struct cfc_wish_map pins;
};

struct cfc_xdp_wishes {
    struct cfc_xdp_party *parties[CFC_XDP_PARTIES_MAX];
    uint32_t party_count;
    struct cfc_wish_map scopes;    /* of all parties */
    struct cfc_wish_map pins;      /* likewise */
    uint32_t needed_count;         /* of pins: keys that somebody needs */
    struct cfc_xdp_filter *filter; /* NULL: there is none */
};

/* With this process as the only party.  `seed` is random.  NO_MEMORY: nothing is left to free. */
int cfc_xdp_wishes_init(struct cfc_xdp_wishes *w, uint64_t seed);

/* Frees what it holds; only this process is left by then. */
void cfc_xdp_wishes_clear(struct cfc_xdp_wishes *w);

/* A party that speaks at `fd`, which stays the caller's until it was added.  NULL: no memory. */
struct cfc_xdp_party *cfc_xdp_party_new(const struct cfc_xdp_wishes *w, int fd);
void cfc_xdp_party_free(struct cfc_xdp_party *party);

/* There is room for it: party_count is below CFC_XDP_PARTIES_MAX.  Takes the party and its fd. */
void cfc_xdp_wishes_add(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party);

/* Takes back all that parties[i] wants, closes its fd and frees it.  Not the first. */
void cfc_xdp_wishes_remove(struct cfc_xdp_wishes *w, uint32_t i);

/* A party follows a scope from now on, or no more.  Idempotent. */
void cfc_xdp_wishes_want(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party, uint64_t scope_id);
void cfc_xdp_wishes_unwant(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party,
                           uint64_t scope_id);

/* The place of a scope in party->scopes; scope_count: it does not want it. */
uint32_t cfc_xdp_party_find_scope(const struct cfc_xdp_party *party, uint64_t scope_id);

/* What a content is to a party: CFC_XDP_NEEDED, CFC_XDP_HELD, or 0 for nothing. */
void cfc_xdp_wishes_pin(struct cfc_xdp_wishes *w, struct cfc_xdp_party *party, uint64_t key,
                        uint32_t pin);
uint32_t cfc_xdp_party_pin(const struct cfc_xdp_party *party, uint64_t key);

/* Whether some party wants more than is noted. */
bool cfc_xdp_wishes_are_unclear(const struct cfc_xdp_wishes *w);

/* Tells a filter that is new everything. */
void cfc_xdp_wishes_tell(const struct cfc_xdp_wishes *w, struct cfc_xdp_filter *filter);

/* Tells the filter all needs again when it lost one and all may fit again. */
void cfc_xdp_wishes_retry_needs(const struct cfc_xdp_wishes *w);

#endif
