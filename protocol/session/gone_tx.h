/* What a sender answers a crowd that asks for a head that it does not have: a fleet that follows a
 * scope which nobody has published yet.  The first CFC_GONE_ALONE askers of a second get a GONE
 * each.  From the next one on, GONE goes by multicast to the scope's group, where it reaches those
 * who were about to ask as well: they fall silent, and a dozen of a fleet have asked instead of all
 * (suppression by a negative answer, as NCFs do in RFC 3208).  What asks within CFC_GONE_QUIET_NS
 * of such a GONE crossed it on the way, and is answered by it.  Who is alone behind a link without
 * multicast is among the first of some second.
 *
 * Scopes are told apart by CFC_GONE_CROWDS places; of two that fall on one, the later one's askers
 * are answered one by one until the earlier one's second is over.  No head is known here; one
 * thread owns it. */
#ifndef CFC_SESSION_GONE_TX_H
#define CFC_SESSION_GONE_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/time.h"
#include "protocol/session/sender.h"

#define CFC_GONE_WINDOW_NS CFC_S
#define CFC_GONE_QUIET_NS  CFC_MS

enum {
    CFC_GONE_CROWDS = 64,
    CFC_GONE_ALONE = 2
};

struct cfc_gone_crowd {
    uint64_t scope_id;
    uint64_t since_ns; /* its second; 0: nobody ever asked */
    uint64_t quiet_until_ns;
    uint32_t alone[CFC_GONE_ALONE]; /* roster slots of those who are answered one by one */
    uint32_t alone_count;
};

struct cfc_gone_tx {
    struct cfc_gone_crowd crowds[CFC_GONE_CROWDS];
    uint64_t due; /* bit per crowd that waits for its GONE */
    uint32_t group_count;
};

void cfc_gone_tx_init(struct cfc_gone_tx *gt, uint32_t group_count);

/* The consumer in this slot of the roster asks for the head of a scope that has none.  True: a
 * multicast GONE answers it, which poll gives or has just given.  False: answer it alone. */
bool cfc_gone_tx_covers(struct cfc_gone_tx *gt, uint64_t scope_id, uint32_t consumer,
                        uint64_t now_ns);

static inline bool
cfc_gone_tx_is_due(const struct cfc_gone_tx *gt)
{
    return gt->due != 0;
}

/* A GONE for the group of a scope; CONFCAST_ERR_AGAIN. */
int cfc_gone_tx_poll(struct cfc_gone_tx *gt, uint8_t *header, size_t capacity, struct cfc_tx *out);

#endif
