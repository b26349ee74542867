/* When a consumer pulls what: a HELLO to each control plane that it comes to, one request after the
 * other for every scope, and its reports.  No I/O and no clock: the owner sends what next() gives
 * and says what came of it by done().
 *
 *     IDLE -> GREETING -> POLLING -> IDLE        start(), HELLO taken, stop()
 *                ^  \_______/  |
 *                |_____________|                 401 or a failure: the next control plane, a new
 * HELLO
 *
 * With up to CFC_PULL_LONG_MAX scopes requests wait at the control plane until there is news (long
 * polls, each followed by the next at once); with more they come in turns, every wait_ns.  What
 * fails is tried again after a time that doubles, half of it random, at the next control plane of
 * the list.  An answer that brings a scope no further counts as a failure of that scope alone.
 *
 * One thread at a time. */
#ifndef CFC_CONSUMER_PULL_H
#define CFC_CONSUMER_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/prng.h"
#include "protocol/base/time.h"
#include "protocol/session/receiver.h"
#include "protocol/trust/pull_auth.h"

enum {
    CFC_PULL_LONG_MAX = 16, /* scopes, and requests for them at one time */
    CFC_PULL_DOUBLINGS_MAX = 10,
};

#define CFC_PULL_STATES(X)                                                                         \
    X(IDLE)     /* nothing is pulled */                                                            \
    X(GREETING) /* a HELLO is due or under way */                                                  \
    X(POLLING)

enum cfc_pull_state {
#define CFC_ENUM_(name) CFC_PULL_STATE_##name,
    CFC_PULL_STATES(CFC_ENUM_)
#undef CFC_ENUM_
};

struct cfc_pull_config {
    uint32_t url_count;    /* control planes, 1 or more */
    uint64_t wait_ns;      /* that a control plane keeps a request without news, 1..60 s */
    uint64_t retry_ns;     /* first spacing after a failure */
    uint64_t retry_max_ns; /* and the longest */
    uint64_t seed;
};

enum cfc_pull_kind {
    CFC_PULL_HELLO,
    CFC_PULL_ACK,
    CFC_PULL_SNAPSHOT
};

struct cfc_pull_job {
    enum cfc_pull_kind kind;
    uint32_t scope_idx; /* SNAPSHOT */
    uint32_t url_idx;
    uint32_t wait_s; /* SNAPSHOT: 0 = answer at once */
    uint8_t nonce[CFC_PULL_NONCE_SIZE];
    uint64_t begin_ns;
};

/* What came of a job. */
struct cfc_pull_outcome {
    uint32_t status;  /* of HTTP; 0 = no whole answer */
    uint32_t retry_s; /* that the server asked to wait; 0 = nothing */
    bool has_nonce;
    uint8_t nonce[CFC_PULL_NONCE_SIZE];
    bool is_lacking;  /* SNAPSHOT with 200: the scope lacks something still */
    bool is_progress; /* and something came of it */
};

struct cfc_pull_scope {
    bool is_busy;
    bool is_quick; /* the next request does not wait, to learn at once where we are */
    uint8_t tries;
    uint64_t at_ns;
};

struct cfc_pull {
    struct cfc_pull_config config;
    struct cfc_prng prng;
    enum cfc_pull_state state;
    uint32_t url_idx;
    uint8_t nonce[CFC_PULL_NONCE_SIZE];
    bool is_greeting; /* a HELLO is under way */
    bool is_acking;
    bool was_unauthorized; /* since the last snapshot */
    uint8_t tries;         /* failures since then */
    uint64_t at_ns;        /* no request before */
    uint32_t busy_count;   /* SNAPSHOTs under way */
    uint32_t scope_count;
    struct cfc_pull_scope scopes[CFC_RECEIVER_SCOPES_MAX];
};

void cfc_pull_init(struct cfc_pull *p, const struct cfc_pull_config *config);

/* Begins within spread_ns, and ends; what is under way is to be reported by done() all the same. */
void cfc_pull_start(struct cfc_pull *p, uint64_t spread_ns, uint64_t now_ns);
void cfc_pull_stop(struct cfc_pull *p);

/* Scopes 0..count - 1 are to be pulled. */
void cfc_pull_set_scopes(struct cfc_pull *p, uint32_t count, uint64_t now_ns);

/* Something is lacking that the next request of this scope should bring: it goes now, if the one
 * before is over. */
void cfc_pull_hurry(struct cfc_pull *p, uint32_t scope_idx, uint64_t now_ns);

/* What to send now.  CONFCAST_OK: the job is under way until done().  AGAIN. */
int cfc_pull_next(struct cfc_pull *p, bool is_report_due, uint64_t now_ns,
                  struct cfc_pull_job *job);

/* True: a HELLO was taken, so that everything is to be reported. */
bool cfc_pull_done(struct cfc_pull *p, const struct cfc_pull_job *job,
                   const struct cfc_pull_outcome *outcome, uint64_t now_ns);

/* When next() has something, but for reports; `report_due_ns` is when one is due. */
uint64_t cfc_pull_deadline(const struct cfc_pull *p, uint64_t report_due_ns);

#endif
