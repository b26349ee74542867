/* Who somebody is, and what they may do: the tokens and role bindings of the store, in memory.
 *
 * The service keeps the records; this reads them again after each change.  Any thread may ask: a
 * lock inside lets many read at once. */
#ifndef CFC_AUTH_ACCESS_H
#define CFC_AUTH_ACCESS_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "controlplane/auth/rate.h"
#include "controlplane/auth/role.h"
#include "controlplane/auth/token.h"
#include "controlplane/model/service.h"

enum {
    CFC_ACCESS_TOKENS_MAX = 4096,
    CFC_ACCESS_BINDINGS_MAX = 1024,
};

struct cfc_identity {
    char name[CFC_AUTHOR_SIZE_MAX + 1];
    enum cfc_proof proof;
    bool is_consumer; /* proven by a consumer's credential: may consume, and nothing else */
    bool is_all;      /* may do everything: root, the daemon's own user, or nothing is required */
    uint32_t grant_count;
    struct cfc_grant grants[CFC_GRANTS_MAX]; /* last, since it is large (cfc_identity_clear()) */
};

/* Makes it nobody, who may do nothing. */
void cfc_identity_clear(struct cfc_identity *identity);

/* Why somebody was turned away; counted, logged at most once a second for each reason (so that a
 * flood for one reason hides nobody who is turned away for another), and never told to them. */
#define CFC_DENIALS(X)                                                                             \
    X(NO_CREDENTIAL, "no_credential")                                                              \
    X(BAD_TOKEN, "bad_token") /* unknown, revoked or malformed */                                  \
    X(EXPIRED_TOKEN, "expired_token")                                                              \
    X(CERTIFICATE, "certificate") /* foreign, expired or revoked */                                \
    X(FORBIDDEN, "forbidden")     /* known, and not allowed */                                     \
    X(RATE, "rate")               /* known, and too fast */                                        \
    X(CONNECTIONS, "connections") /* too many of one address */                                    \
    X(WEB_PAGE, "web_page")       /* a browser on behalf of a page */

enum cfc_denial {
#define CFC_ENUM_(name, word) CFC_DENIAL_##name,
    CFC_DENIALS(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_DENIAL_COUNT
};

struct cfc_access_token {
    uint64_t id; /* what cfc_token_id() makes of the text */
    struct cfc_digest digest;
    uint64_t expires_unix_ns;
    char identity[CFC_AUTHOR_SIZE_MAX + 1];
    struct cfc_grant grant;
};

struct cfc_access_binding {
    char identity[CFC_AUTHOR_SIZE_MAX + 1];
    struct cfc_grant grant;
};

struct cfc_access {
    pthread_rwlock_t lock;
    struct cfc_service *service;
    struct cfc_access_token *tokens;
    struct cfc_access_binding *bindings;
    size_t token_count;
    size_t binding_count;
    bool is_required;         /* without credentials nobody may do anything */
    atomic_bool needs_load;   /* memory may differ from the store */
    atomic_ullong generation; /* of tokens and roles: another number after every change */
    uid_t own_uid;
    atomic_ullong denials[CFC_DENIAL_COUNT];
    atomic_ullong unlogged_counts[CFC_DENIAL_COUNT]; /* since the last line about its reason */
    atomic_ullong logged_s[CFC_DENIAL_COUNT];        /* wall clock, of that line */
    struct cfc_rate rate;                            /* of identities that were proven */
};

/* What came with a request. */
struct cfc_credentials {
    const char *authorization;    /* the header; NULL = none */
    bool has_certificate;         /* a client certificate was shown */
    const char *certificate_name; /* NULL: it was refused */
    bool is_unix;                 /* over the unix socket, by */
    uint32_t peer_uid;
    const char *peer; /* where from, for the log; NULL = unknown */
    uint64_t unix_ns; /* now */
};

/* Reads what the service holds.  `service` must outlive it.  Errors of the service; nothing is to
 * be closed then. */
int cfc_access_open(struct cfc_access *access, struct cfc_service *service, bool is_required);

/* Limits each identity that a token or certificate proves to so many requests a second; 0 = not.
 * Before the first request. */
void cfc_access_limit(struct cfc_access *access, uint32_t requests_per_s);

void cfc_access_close(struct cfc_access *access);

/* To be called after every change of tokens or roles, whatever came of it, before it is answered.
 */
void cfc_access_reload(struct cfc_access *access);

/* Who asks.  CONFCAST_ERR_AUTHORITY: 401, and the same for every reason.  CONFCAST_ERR_IO: memory
 * could not be brought up to date: 503.  A token is looked for and compared in a time that depends
 * on nothing but how many tokens there are.  What is shown is never passed over: a certificate that
 * is refused is refused with a good token beside it too; of a good token and a good certificate the
 * token says who it is. */
int cfc_access_identify(struct cfc_access *access, const struct cfc_credentials *credentials,
                        struct cfc_identity *identity);

/* Whether they may.  `scope` NULL = all scopes. */
bool cfc_identity_allows(const struct cfc_identity *identity, enum cfc_right right,
                         const char *scope);

/* Whether there is any scope over which they may. */
bool cfc_identity_allows_somewhere(const struct cfc_identity *identity, enum cfc_right right);

/* Whether they may ask now, at `mono_ns`; if not, *wait_ns is how long to wait.  Nobody is held up
 * whom only the kernel or nothing proves: the unix socket is for the day on which all else fails.
 */
bool cfc_access_may_ask(struct cfc_access *access, const struct cfc_identity *identity,
                        uint64_t mono_ns, uint64_t *wait_ns);

size_t cfc_access_token_count(struct cfc_access *access);

/* Another number after every change of tokens and roles: who was identified under this one is who
 * they are still, until what proves it runs out. */
uint64_t cfc_access_generation(const struct cfc_access *access);

/* Counts a denial and logs it, unless one for this reason was logged within the same second: the
 * next line then says how many were left out.  `who` is a proven name, `what` the route or address;
 * both may be NULL and hold no secret. */
void cfc_access_deny(struct cfc_access *access, enum cfc_denial denial, const char *who,
                     const char *what);
const char *cfc_denial_word(enum cfc_denial denial);

/* Names that a token or binding may have: 1 to 128 printable ASCII characters without blanks; only
 * bindings may begin with "uid:", which is then the number of a user. */
bool cfc_identity_name_check(const char *name, bool may_be_uid);

/* A grant of JSON: `roles`, a list of at least one role, and `scope`, a path or "*".
 * CONFCAST_ERR_INVALID. */
int cfc_grant_from_json(const json_t *roles, const json_t *scope, struct cfc_grant *grant);

#endif
