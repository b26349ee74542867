/* The consumers that a sender knows: their sessions, replay windows, budgets and last reports.
 *
 * A HELLO whose address and MAC held opens a *pending* session beside the current one; the first
 * valid frame under it makes it current.  So a HELLO that somebody recorded and plays again never
 * cuts a living consumer off.
 *
 * Two consumers under one id (a cloned machine): the newest incarnation wins, an older one is
 * refused while the newer lives.  Under one incarnation the first change of address is taken as a
 * move; the way back, while the other address is alive, gives the clone away and is refused.
 *
 * The table is taken at start; when it is full, the consumer that has been silent longest makes
 * room if it has been silent for CFC_CONSUMER_IDLE_NS, else newcomers are refused.  One thread owns
 * it. */
#ifndef CFC_SESSION_ROSTER_H
#define CFC_SESSION_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/time.h"
#include "protocol/session/bucket.h"
#include "protocol/session/key_map.h"
#include "protocol/session/slot_list.h"
#include "protocol/wire/link.h"
#include "protocol/wire/report.h"

#define CFC_CONSUMER_IDLE_NS (30 * CFC_S)

enum {
    CFC_REPLAY_WINDOW = 64,    /* frames of a session may overtake each other by this much */
    CFC_REPORT_PARTS_MAX = 64, /* parts of one report; 256 scopes make 11 */
    CFC_REPORT_RATE = 32,      /* REPORT frames a second from one consumer, ... */
    CFC_REPORT_BURST = 64,     /* ... and at once */
    CFC_ROSTER_ID_NEAR = 24    /* ids of up to this size lie in the table itself */
};

struct cfc_consumer_session {
    uint64_t incarnation;
    uint64_t hello_tag;   /* the first bytes of the HELLO's nonce, which is random */
    uint64_t nonce_count; /* what our own nonce was made of */
    uint64_t seq_top;     /* highest seq accepted */
    uint64_t seq_seen;    /* bit n: seq_top - n was accepted */
    struct cfc_key key;
    struct cfc_address address;
    uint32_t id; /* 0 = there is none */
};

/* An engine has a million of them in 256 MB, with all that is kept of each elsewhere
 * (test_sender_scale.c). */
struct cfc_consumer {
    uint64_t key;
    struct cfc_consumer_session current;
    struct cfc_consumer_session *pending; /* until its first frame; NULL = none */
    union {
        char near[CFC_ROSTER_ID_NEAR];
        char *far; /* of a longer id */
    } id;
    uint64_t heard_ns;      /* last valid frame or HELLO */
    uint64_t stood;         /* bit per hash of an object for which it stood for many (repair.h) */
    uint64_t repair_budget; /* bucket of bytes */
    uint64_t report_budget; /* bucket of frames */
    uint64_t report_seq;    /* of the newest report */
    uint64_t report_parts;  /* bit per part of it that went upwards */
    uint32_t groups;        /* bit per data group of the scopes that it was seen to follow */
    uint32_t left;          /* seeded hash of the address where this incarnation was before its last
                               move; 0: it never moved */
    uint32_t generation;    /* counts sessions of this slot */
    uint16_t open_repairs;  /* repairs that it opened and that still run */
    uint8_t id_size;
    bool has_echo; /* report_seq is whole and waits for its echo */
};

struct cfc_roster_config {
    uint32_t consumer_count_max; /* 1..2^24 */
    uint64_t repair_rate;        /* of each consumer's budget, bytes a second; 0 = no limit */
    uint64_t repair_burst;       /* bytes */
    uint64_t boot_id;
    struct cfc_key nonce_key; /* engine nonces are made with it */
    uint64_t seed;
};

struct cfc_roster {
    struct cfc_roster_config config;
    struct cfc_alloc alloc; /* for long ids and pending sessions */
    struct cfc_bucket_limit repair_limit;
    struct cfc_bucket_limit report_limit;
    struct cfc_consumer *consumers;
    uint32_t used_count; /* slots below this were taken once; the memory above was never touched */
    struct cfc_slot_link *links;      /* over `known` */
    struct cfc_slot_link *echo_links; /* over `echoes` */
    struct cfc_slot_list known;       /* by heard_ns, longest silent first */
    struct cfc_slot_list echoes;
    struct cfc_key_map by_key;
    uint64_t nonce_count;
    uint64_t evicted;
};

/* CONFCAST_OK or CONFCAST_ERR_NO_MEMORY; free after either. */
int cfc_roster_init(struct cfc_roster *roster, const struct cfc_roster_config *config,
                    const struct cfc_alloc *alloc);
void cfc_roster_free(struct cfc_roster *roster, const struct cfc_alloc *alloc);

/* The id of a consumer that was admitted; id_size bytes, no NUL. */
const char *cfc_roster_id(const struct cfc_consumer *consumer);

/* The engine's nonce of a session. */
void cfc_roster_engine_nonce(const struct cfc_roster *roster,
                             const struct cfc_consumer_session *session,
                             uint8_t nonce[CFC_NONCE_SIZE]);

/* Whether a consumer's budget pays for this; it is taken then. */
static inline bool
cfc_roster_pay_repair(const struct cfc_roster *roster, struct cfc_consumer *consumer,
                      uint64_t bytes, uint64_t now_ns)
{
    return cfc_bucket_try(&consumer->repair_budget, &roster->repair_limit, bytes, now_ns);
}

static inline bool
cfc_roster_pay_report(const struct cfc_roster *roster, struct cfc_consumer *consumer,
                      uint64_t now_ns)
{
    return cfc_bucket_try(&consumer->report_budget, &roster->report_limit, 1, now_ns);
}

/* Whether a HELLO, whose cookie and MAC held, may have a session: CONFCAST_OK; EXISTS: another
 * living consumer has this id; COLLISION: another id has this consumer key; LIMIT: the table is
 * full of living consumers.  Refuse with that code.  Changes nothing. */
int cfc_roster_check(const struct cfc_roster *roster, const struct cfc_hello *hello,
                     const struct cfc_address *from, uint64_t now_ns);

/* The slot whose pending or current session this very HELLO made before (its WELCOME was lost), or
 * CFC_SLOT_NONE. *session is that session. */
uint32_t cfc_roster_find_hello(const struct cfc_roster *roster, const struct cfc_hello *hello,
                               const struct cfc_address *from,
                               const struct cfc_consumer_session **session);

/* Opens the pending session of a HELLO that cfc_roster_check() passed; the slot, or CFC_SLOT_NONE
 * without memory: nothing changed, the HELLO comes again. */
uint32_t cfc_roster_admit(struct cfc_roster *roster, const struct cfc_hello *hello,
                          const struct cfc_key *credential_key, const struct cfc_address *from,
                          uint64_t now_ns);

/* Checks the trailer of a NACK or REPORT: session, address, MAC, replay window; *slot is who sent
 * it.  A valid one makes its session current.  SHORT, VERSION, MAC (unknown session, other address,
 * wrong MAC), REPLAY: no answer. */
int cfc_roster_open(struct cfc_roster *roster, const struct cfc_frame *frame,
                    const struct cfc_address *from, uint64_t now_ns, uint32_t *slot);

/* Whether the consumer in `slot` is still the one that had this session. */
bool cfc_roster_is_session(const struct cfc_roster *roster, uint32_t slot, uint32_t session);

/* For a roster that does not admit consumers but follows another one (sender_share.h): the consumer
 * in `slot` of that one has this session now. */
void cfc_roster_mirror(struct cfc_roster *roster, uint32_t slot, uint64_t consumer_key,
                       uint32_t session, const struct cfc_address *address, uint32_t groups);

/* Takes note of a report part that went upwards; the echo is due when the report is whole. */
void cfc_roster_note_report(struct cfc_roster *roster, uint32_t slot,
                            const struct cfc_report *report);

/* A part could not go upwards: its report is not whole and gets no echo until the part comes again.
 */
void cfc_roster_refuse_report(struct cfc_roster *roster, uint32_t slot,
                              const struct cfc_report *report);

/* What went upwards was lost there: no report counts as whole until all its parts come again. */
void cfc_roster_forget_reports(struct cfc_roster *roster);

/* The next consumer whose echo is due, which counts as sent with this call; CFC_SLOT_NONE. */
uint32_t cfc_roster_take_echo(struct cfc_roster *roster);

#endif
