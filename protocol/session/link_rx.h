/* A receiver's link to its engine: the HELLO handshake, the session that came of it, and what
 * STATUS says of the engine.
 *
 *     START -> ASKED -> PROVING -> LINKED        (HELLO, CHALLENGE, HELLO with cookie, ACCEPT)
 *                  \________\----> REFUSED -> ASKED   (after a long pause)
 *     LINKED -> ASKED when the engine or the control plane restarted, or the engine no longer
 *     answers; the old session is used until the new one stands.
 *
 * STATUS is not authenticated: what it says costs at most a handshake per second or a longer wait,
 * whose bounds are here.  No I/O, no allocation, no clock; one thread at a time. */
#ifndef CFC_SESSION_LINK_RX_H
#define CFC_SESSION_LINK_RX_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/prng.h"
#include "protocol/base/time.h"
#include "protocol/trust/mac.h"
#include "protocol/wire/link.h"

#define CFC_LINK_STATES(X)                                                                         \
    X(START)   /* the first HELLO is to go */                                                      \
    X(ASKED)   /* HELLO without a cookie went */                                                   \
    X(PROVING) /* a cookie came; HELLO with it goes */                                             \
    X(LINKED)  /* accepted */                                                                      \
    X(REFUSED) /* the engine refused this consumer */

enum cfc_link_state {
#define CFC_ENUM_(name) CFC_LINK_##name,
    CFC_LINK_STATES(CFC_ENUM_)
#undef CFC_ENUM_
};

enum {
    CFC_LINK_DOUBLINGS_MAX = 4,       /* of the HELLO spacing: up to 16 times the first */
    CFC_LINK_ALIVE_DOUBLINGS_MAX = 2, /* the same, while STATUS says that the engine is there */
    CFC_LINK_CHALLENGES_MAX = 3, /* cookies taken per HELLO timer: bounds what forged ones cause */
    CFC_LINK_HELLO_MS_MAX = 60 * 1000,
    CFC_LINK_NACK_US_MAX = 16 * 1000 * 1000,
    CFC_LINK_REPORT_MS_MAX = 60 * 1000,
    /* A STATUS, which anybody can forge, moves a window by no more than this from what the engine's
     * WELCOME proved. */
    CFC_LINK_WINDOW_TIMES = 8
};

#define CFC_LINK_FIRST_JITTER_NS (20 * CFC_MS) /* of the first HELLO, before a window is known */
#define CFC_LINK_ALIVE_NS        (3 * CFC_S)   /* an engine is there for so long after a STATUS */
#define CFC_LINK_RENEW_MIN_NS    CFC_S         /* between handshakes that STATUS caused */

struct cfc_link_rx {
    enum cfc_link_state state;
    uint64_t deadline_ns; /* next HELLO */
    uint8_t tries;        /* HELLOs of this handshake, capped at CFC_LINK_DOUBLINGS_MAX */
    uint8_t challenges;   /* cookies since the last timer */
    bool is_answering;    /* the HELLO that is due answers a challenge */
    uint8_t nonce[CFC_NONCE_SIZE];
    uint8_t cookie[CFC_COOKIE_SIZE];
    uint64_t nonce_count;
    uint64_t hello_retry_ns;
    uint64_t seed;
    uint64_t incarnation;
    uint64_t linked_at_ns;
    const struct cfc_key *credential_key;
    struct cfc_prng *prng;

    bool has_session;
    uint32_t session;
    uint64_t boot_id;
    uint64_t seq; /* of the last sealed frame */
    struct cfc_key key;
    struct cfc_address observed;
    struct cfc_windows windows; /* zero until WELCOME or STATUS */
    struct cfc_windows proved;  /* of the session's WELCOME */

    bool has_status;
    uint64_t status_ns; /* when the last STATUS came */
};

/* Formats `link`; the key and the generator must outlive it.  The first HELLO goes within
 * CFC_LINK_FIRST_JITTER_NS of the first call that brings a time. */
void cfc_link_rx_init(struct cfc_link_rx *link, const struct cfc_key *credential_key,
                      uint64_t incarnation, uint64_t seed, uint64_t hello_retry_ns,
                      struct cfc_prng *prng);

/* Sets the deadline of the first HELLO, once. */
void cfc_link_rx_tick(struct cfc_link_rx *link, uint64_t now_ns);

/* Whether a HELLO is due, in which case nonce and cookie are those to send and the timer has moved
 * on. */
bool cfc_link_rx_begin_hello(struct cfc_link_rx *link, uint64_t now_ns);

/* A WELCOME.  CONFCAST_OK: used, *kind says what it was.  REPLAY: not for the HELLO under way.
 * MAC: forged, or our credential is not the engine's.  Or a decode error. */
int cfc_link_rx_welcome(struct cfc_link_rx *link, const struct cfc_frame *frame, uint64_t now_ns,
                        struct cfc_welcome *welcome);

/* A STATUS.  True when everything is to be reported again: a new generation says that the control
 * plane came back, so a new HELLO goes as well, whose proof tells it how far the fleet is. */
bool cfc_link_rx_status(struct cfc_link_rx *link, const struct cfc_status *status, uint64_t now_ns);

/* Makes a new handshake (labels changed, or the engine no longer answers), within the window. */
void cfc_link_rx_renew(struct cfc_link_rx *link, uint64_t now_ns);

#endif
