/* How a sender answers HELLOs: cookies, the brake against being used as a reflector, and the
 * windows that it asks consumers to spread their frames over.
 *
 * A cookie is a MAC over address, consumer key and a count of CFC_COOKIE_PERIOD_NS periods; the
 * present period and the one before are good, so that nothing is stored for an address that proved
 * nothing.  Answers that are not yet backed by a session (CHALLENGE, REFUSE, ACCEPT) are never
 * larger than the HELLO, take from a budget per source IP, and wait in a bounded ring. */
#ifndef CFC_SESSION_LINK_TX_H
#define CFC_SESSION_LINK_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/time.h"
#include "protocol/session/pacer.h"
#include "protocol/session/sender.h"
#include "protocol/wire/link.h"
#include "protocol/wire/loss.h"
#include "protocol/wire/nack.h"

#define CFC_COOKIE_PERIOD_NS (64 * CFC_S)

enum {
    CFC_SOURCE_BUDGETS = 1024,              /* sources that hash alike share one */
    CFC_SOURCE_RATE = 256,                  /* answers a second to one source, ... */
    CFC_SOURCE_BURST = 256,                 /* ... and at once */
    CFC_REPLIES_MAX = 4096,                 /* answers that wait for poll_frame() */
    CFC_REPLY_SIZE_MAX = CFC_HELLO_SIZE_MIN /* no answer is larger than the smallest question */
};

struct cfc_reply {
    struct cfc_address to;
    uint16_t size;
    uint8_t bytes[CFC_REPLY_SIZE_MAX];
};

struct cfc_link_tx {
    uint64_t boot_id;
    struct cfc_key cookie_key;
    uint64_t seed;
    struct cfc_pacer *sources; /* CFC_SOURCE_BUDGETS */
    struct cfc_reply *replies; /* ring of CFC_REPLIES_MAX */
    uint32_t reply_head;
    uint32_t reply_count;
    struct cfc_windows floor;
    struct cfc_windows windows; /* what is announced now */
};

/* CONFCAST_OK or CONFCAST_ERR_NO_MEMORY; free after either. */
int cfc_link_tx_init(struct cfc_link_tx *link, const struct cfc_sender_config *config);
void cfc_link_tx_free(struct cfc_link_tx *link, const struct cfc_alloc *alloc);

void cfc_link_tx_make_cookie(const struct cfc_link_tx *link, const struct cfc_address *from,
                             uint64_t consumer_key, uint64_t now_ns,
                             uint8_t cookie[CFC_COOKIE_SIZE]);
bool cfc_link_tx_is_cookie(const struct cfc_link_tx *link, const struct cfc_address *from,
                           uint64_t consumer_key, uint64_t now_ns,
                           const uint8_t cookie[CFC_COOKIE_SIZE]);

/* Takes one answer from the budget of a source; false: leave the HELLO unanswered. */
bool cfc_link_tx_may_answer(struct cfc_link_tx *link, const struct cfc_address *from,
                            uint64_t now_ns);

/* Queues a WELCOME; boot id and windows are filled in here.  `credential_key` is NULL for a
 * CHALLENGE.  false: the ring is full. */
bool cfc_link_tx_welcome(struct cfc_link_tx *link, const struct cfc_welcome *welcome,
                         const struct cfc_key *credential_key);

/* Queues a GONE.  false: the ring is full. */
bool cfc_link_tx_gone(struct cfc_link_tx *link, const struct cfc_gone *gone,
                      const struct cfc_address *to);

/* Queues an ADVICE.  false: the ring is full. */
bool cfc_link_tx_advice(struct cfc_link_tx *link, const struct cfc_advice *advice,
                        const struct cfc_key *session_key, const struct cfc_address *to);

/* The oldest answer; CONFCAST_ERR_AGAIN. */
int cfc_link_tx_poll(struct cfc_link_tx *link, uint8_t *header, size_t capacity,
                     struct cfc_tx *out);

/* Fits the windows to a fleet of `count` consumers.  Each window is its floor plus what the engine
 * needs to serve that many frames of the kind one after the other, so that even when the whole
 * fleet has the same reason to send at once, frames come no faster than they are served:
 *     hello_ms  + count / 10   (100 us for the two HELLOs, their five MACs and the upcall)
 *     nack_us   + count * 2    (2 us for a NACK's MAC and its gathering)
 *     report_ms + count / 20   (50 us for a REPORT, which goes on to the store)
 * They grow at once, and shrink by at most an eighth per call, since consumers that have not heard
 * of the change still spread themselves by the old window's needs.  (RFC 5740 scales its back-off
 * with the group in the same spirit.) */
void cfc_link_tx_fit_windows(struct cfc_link_tx *link, uint32_t count);

#endif
