/* confcast/confcast.h: read configuration that a confcast fleet multicasts.
 *
 * A process opens one client, subscribes to scopes, and reads typed values inside reader sections.
 * The library receives, verifies and publishes new versions on a thread of its own; a reader
 * section sees exactly one version of a scope, at memory speed: no lock, no allocation, no system
 * call.  Publication is by RCU (liburcu, urcu-memb): Desnoyers et al., "User-Level Implementations
 * of Read-Copy Update", IEEE TPDS 2012.
 *
 *     struct confcast_options options = CONFCAST_OPTIONS_INIT;
 *     options.fleet_path = "/etc/confcast/fleet.json";
 *     options.credential_path = "/etc/confcast/credential.json";
 *     options.interface = "eth0";
 *     options.state_dir = "/var/lib/confcast";
 *     confcast_open(&options, &client);
 *     confcast_subscribe(client, "acme/checkout/prod", &scope);
 *     confcast_wait(scope, 1, 5000);
 *
 *     confcast_read_lock();
 *     const struct confcast_view *view = confcast_view(scope);
 *     int64_t timeout_ms = confcast_get_i64(view, CONFCAST_KEY("/http/timeout_ms"), 500, NULL);
 *     confcast_read_unlock();
 *
 * Threads: every function may be called from any thread unless it says otherwise.  After fork() a
 * child must not use a client that its parent opened: calls return CONFCAST_ERR_CLOSED there, and
 * reader sections still see the version of the moment of the fork. */
#ifndef CONFCAST_CONFCAST_H
#define CONFCAST_CONFCAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "confcast/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct confcast;       /* one client: a receiver thread, its sockets, its disk cache */
struct confcast_scope; /* one subscription; lives as long as its client */
struct confcast_view;  /* one version of one scope, valid inside the reader section that got it */

/* ---- Opening
 * ----------------------------------------------------------------------------------------------------------
 */

struct confcast_label {
    const char *key;   /* 1..63 bytes of [A-Za-z0-9._/-] */
    const char *value; /* 0..63 bytes of the same */
};

struct confcast_options {
    size_t size; /* sizeof(struct confcast_options), set by CONFCAST_OPTIONS_INIT: later versions
                    may be longer */
    const char *fleet_path; /* fleet.json, signed by the fleet's root key; required */
    const char
        *credential_path; /* this consumer's credential; required; must not be readable by others */
    const char *id;       /* consumer id; NULL = the credential's; must equal it when given */
    const char *interface; /* network interface that carries the multicast; required */
    const char *state_dir; /* disk cache and floor; created when missing; NULL = keep nothing across
                              restarts */
    const struct confcast_label *labels; /* over the credential's; may be NULL */
    size_t label_count;                  /* 0..16 together with the credential's */
    uint64_t content_size_max;           /* bytes of one content; 0 = 256 MiB */
    uint64_t memory_max;                 /* bytes of contents under collection; 0 = 512 MiB */
    uint32_t
        receive_buffer_size; /* socket buffer, bytes; 0 = 8 MiB; the system's limit may cut it */
    /* Structured log lines ("what happened key=value ..."), called on the library's thread; NULL =
     * silent.  level: 0 error, 1 warning, 2 info, 3 debug. */
    void (*log)(void *arg, int level, const char *line);
    void *log_arg;
};

#define CONFCAST_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(struct confcast_options), NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL,     \
            NULL                                                                                   \
    }

/* Reads the two files, opens sockets and the state directory, and starts the receiver thread.
 *
 * CONFCAST_ERR_INVALID: an option is missing or outside its range.  NOT_FOUND: a file or the
 * interface is not there.  SYNTAX, SIGNATURE, ROOT_CHAIN, EXPIRED: fleet.json is damaged, forged or
 * over; get a fresh one.  AUTHORITY: the credential is of another fleet or readable by others.
 * BUSY: another process uses this state directory.  IO, RESOURCE, NO_MEMORY: the system said no. On
 * error nothing is left behind and *out is NULL. */
int confcast_open(const struct confcast_options *options, struct confcast **out);

/* Stops the thread and frees everything, scopes included.  Waits for reader sections that still
 * hold a view.  NULL is fine.  Must not be called from a callback or inside a reader section. */
void confcast_close(struct confcast *client);

/* Follows a scope.  What the disk cache holds of it is served before this returns.  SCOPE_NAME: the
 * path is not well formed.  EXISTS: it is followed already, and *out names it.  LIMIT: more than
 * 256.  CLOSED: after fork. */
int confcast_subscribe(struct confcast *client, const char *path, struct confcast_scope **out);

/* ---- Reading
 * ----------------------------------------------------------------------------------------------------------
 */

/* Begins and ends a reader section of this thread; sections nest.  Never fails, never blocks.  A
 * section should be short: as long as it lasts the memory of replaced versions cannot be freed. A
 * thread registers itself on its first section and unregisters when it ends. */
void confcast_read_lock(void);
void confcast_read_unlock(void);

/* What the scope serves now, or NULL while nothing was ever received.  Only inside a reader
 * section; the pointer and all that is read through it are valid until the section ends.  Two calls
 * in one section may see two versions: get the view once. */
const struct confcast_view *confcast_view(const struct confcast_scope *scope);

/* A hashed key: a JSON Pointer (RFC 6901) such as "/http/timeout_ms"; "" is the whole document. Its
 * members are the library's. */
struct confcast_key {
    uint64_t hash;
    uint64_t seed;       /* of this process; 0 = not hashed yet */
    const char *pointer; /* kept, not copied */
    uint32_t size;
    uint32_t segment_offset;
};

/* Hashes a key once for any number of reads, by any thread.  `pointer` must outlive it.
 * CONFCAST_ERR_INVALID when it is no JSON Pointer: the key then finds nothing. */
int confcast_key_init(struct confcast_key *key, const char *pointer);

/* A key that is hashed on its first use and kept in a static variable of this place in the code;
 * the pointer must be a string literal. */
#if defined(__GNUC__)
#define CONFCAST_KEY(literal)                                                                      \
    (__extension__({                                                                               \
        static struct confcast_key confcast_key_ = {0, 0, "" literal, sizeof("" literal) - 1, 0};  \
        confcast_key_ready(&confcast_key_);                                                        \
    }))
#endif
const struct confcast_key *confcast_key_ready(struct confcast_key *key);

/* Typed getters never fail: they give the value, or `fallback`, and say why in *why when it is not
 * NULL: CONFCAST_OK; CONFCAST_ERR_NOT_FOUND: no such key, or `view` is NULL; CONFCAST_ERR_TYPE: the
 * value has another type.  f64 accepts integers. */
bool confcast_get_bool(const struct confcast_view *view, const struct confcast_key *key,
                       bool fallback, int *why);
int64_t confcast_get_i64(const struct confcast_view *view, const struct confcast_key *key,
                         int64_t fallback, int *why);
double confcast_get_f64(const struct confcast_view *view, const struct confcast_key *key,
                        double fallback, int *why);
/* NUL-terminated UTF-8 without NUL inside; valid as long as the view.  *size (may be NULL) is its
 * bytes. */
const char *confcast_get_string(const struct confcast_view *view, const struct confcast_key *key,
                                const char *fallback, size_t *size, int *why);

enum confcast_type {
    CONFCAST_NULL = 0,
    CONFCAST_BOOL = 1,
    CONFCAST_I64 = 2,
    CONFCAST_F64 = 3,
    CONFCAST_STRING = 4,
    CONFCAST_ARRAY = 5,
    CONFCAST_OBJECT = 6,
};

/* A value inside a view: small, copied freely, valid as long as the view. */
struct confcast_value {
    const struct confcast_view *view; /* NULL: there is no value */
    uint32_t offset;
    uint32_t type; /* enum confcast_type */
};

/* The value at a key; .view is NULL when there is none. */
struct confcast_value confcast_get(const struct confcast_view *view,
                                   const struct confcast_key *key);

/* The same getters on a value. */
bool confcast_value_bool(struct confcast_value value, bool fallback, int *why);
int64_t confcast_value_i64(struct confcast_value value, int64_t fallback, int *why);
double confcast_value_f64(struct confcast_value value, double fallback, int *why);
const char *confcast_value_string(struct confcast_value value, const char *fallback, size_t *size,
                                  int *why);

/* Members of an object or elements of an array; 0 for other types. */
uint32_t confcast_value_count(struct confcast_value value);

/* Walks an object (in canonical key order) or an array.  Begin with confcast_iterate(); each
 * confcast_next() that returns true gives a value and, in an object, its key (NUL-terminated; NULL
 * in an array). */
struct confcast_iterator {
    struct confcast_value value; /* the current one */
    const char *key;
    const struct confcast_view *container;
    uint32_t key_size;
    uint32_t left;
    uint32_t next_offset;
    uint32_t is_object;
};
struct confcast_iterator confcast_iterate(struct confcast_value container);
bool confcast_next(struct confcast_iterator *it);

/* ---- About versions
 * ----------------------------------------------------------------------------------------------------
 */

enum confcast_source {
    CONFCAST_SOURCE_NONE = 0,
    CONFCAST_SOURCE_NETWORK = 1,
    CONFCAST_SOURCE_DISK = 2,
};

/* Why a scope is in the state it is in; see docs/consumers.md. */
enum confcast_state {
    CONFCAST_STATE_NONE = 0,      /* nothing accepted yet */
    CONFCAST_STATE_RECEIVING = 1, /* accepted a version whose content is on the way */
    CONFCAST_STATE_PREPARED = 2,  /* holds it and waits for its activation */
    CONFCAST_STATE_APPLIED = 3,   /* serves what the accepted version says */
    CONFCAST_STATE_REJECTED = 4,  /* refused the content; the last good one is served */
    CONFCAST_STATE_REVERTED = 5,  /* not confirmed in time: the stated fallback is served */
    CONFCAST_STATE_DEGRADED = 6,
};

struct confcast_status {
    size_t size; /* set to sizeof(struct confcast_status) by the caller */
    uint64_t epoch;
    uint64_t accepted;  /* highest version accepted; never falls */
    uint64_t serving;   /* version that named what readers see */
    uint64_t published; /* highest version known to exist; 0 = unknown */
    uint64_t durable;   /* highest version that survives power loss */
    enum confcast_state state;
    enum confcast_source source;
    int reason;             /* error code when REJECTED or DEGRADED */
    bool is_stale;          /* nothing valid was heard for three beacon periods */
    bool is_control_silent; /* the engine is alive but the control plane's signature does not
                               advance */
    uint8_t content[32];    /* digest of the served content */
    uint64_t content_size;  /* bytes of its body */
};

/* CONFCAST_OK, or INVALID for a wrong `size`. */
int confcast_status(const struct confcast_scope *scope, struct confcast_status *status);

/* The version that `view` belongs to, and its content digest (32 bytes, as long as the view). */
uint64_t confcast_view_version(const struct confcast_view *view);
const uint8_t *confcast_view_content(const struct confcast_view *view);

/* The whole document as RFC 8785 canonical JSON.  Writes at most `capacity` bytes and no NUL; *size
 * is the full size.  NOT_FOUND: no such key.  LIMIT: the capacity is too small.  NO_MEMORY. */
int confcast_view_json(const struct confcast_view *view, const struct confcast_key *key, char *json,
                       size_t capacity, size_t *size);

/* Blocks until the scope serves `version` or a later one (1 = anything).  TIMEOUT after
 * `timeout_ms` (0 = look once).  APP_REJECT or another reason: that version was refused here.
 * CLOSED: the client is being closed.  Not from a callback. */
int confcast_wait(struct confcast_scope *scope, uint64_t version, uint32_t timeout_ms);

/* ---- Being told
 * --------------------------------------------------------------------------------------------------------
 */

/* Called on the library's thread after a new version is visible, inside a reader section: both
 * views are valid during the call.  `before` is NULL for the first one.  Keep it short: the next
 * version waits for it.  One callback per scope; NULL ends it, and when this returns no call is
 * under way (unless called from the callback itself). */
typedef void confcast_change_fn(void *arg, struct confcast_scope *scope,
                                const struct confcast_view *before,
                                const struct confcast_view *after);
int confcast_on_change(struct confcast_scope *scope, confcast_change_fn *fn, void *arg);

/* Called on the library's thread with a candidate that nobody sees yet.  A return other than 0
 * refuses it: the last good content stays, and the control plane hears of it.  Not called again for
 * the same content and version. */
typedef int confcast_validate_fn(void *arg, struct confcast_scope *scope,
                                 const struct confcast_view *candidate);
int confcast_set_validator(struct confcast_scope *scope, confcast_validate_fn *fn, void *arg);

/* What the library does, for agents and logs: one call per event on the library's thread.  `event`
 * is a short word: accepted, prepared, applied, rejected, reverted, durable, stale, control_silent,
 * fresh, identity. */
struct confcast_event {
    const char *event;
    const char *scope; /* path, or NULL */
    uint64_t epoch;
    uint64_t version;
    uint8_t content[32];
    uint64_t bytes; /* of the body */
    int reason;     /* error code, 0 = none */
    uint8_t arm;
    uint64_t unix_ns; /* wall clock of the event */
};
typedef void confcast_event_fn(void *arg, const struct confcast_event *event);
int confcast_on_event(struct confcast *client, confcast_event_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
