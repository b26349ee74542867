/* confcast/confcast.h: read configuration that a confcast fleet multicasts.  docs/consumers.md is
 * the guide.
 *
 * A process opens one client, subscribes to scopes, and reads typed values inside reader sections.
 * The library receives, verifies and publishes new versions on a thread of its own; a reader
 * section sees exactly one version of a scope, at memory speed: no lock, no allocation, no system
 * call.  Publication is by RCU (liburcu, urcu-bp): Desnoyers et al., "User-Level Implementations
 * of Read-Copy Update", IEEE TPDS 2012.
 *
 *     struct confcast_options options = CONFCAST_OPTIONS_INIT;
 *     options.fleet_path = "/etc/confcast/fleet.json";
 *     options.credential_path = "/etc/confcast/credential.json";
 *     options.interface = "eth0";
 *     options.state_dir = "/var/lib/confcast";
 *     confcast_open(&options, &client);
 *     confcast_subscribe(client, "acme/checkout/prod", NULL, &scope);
 *     confcast_wait(scope, 1, 5000);
 *
 *     confcast_read_lock();
 *     const struct confcast_view *view = confcast_view(scope);
 *     int64_t timeout_ms = confcast_get_i64(view, CONFCAST_KEY("/http/timeout_ms"), 500, NULL);
 *     confcast_read_unlock();
 *
 * Threads: every function may be called from any thread unless it says otherwise.  Callbacks run
 * one at a time on the library's thread; they may call the library, but not confcast_close(), and
 * confcast_wait() only with a timeout of 0.  Other threads' calls but reading, confcast_status()
 * and confcast_wait() are done by the library's thread between two callbacks: do not make them
 * while you hold a lock that a callback takes.
 *
 * fork(): a client that reads through an agent goes on in a child (which does not exec): it gets a
 * thread of its own with the child's first read or call.  Another one is dead there.  Its reader
 * sections still see the version of the moment of the fork, for ever; other calls return
 * CONFCAST_ERR_CLOSED, and confcast_close() does nothing.  The child may open a client of its own,
 * with a credential and a state directory of its own.  fork() waits for reader sections of other
 * threads; after one inside a reader section the child may only read, and only in its first thread.
 *
 * Structs that begin with `size` may grow: the library takes and gives what both sides know. */
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

/* ---- Opening --------------------------------------------------------------------------------- */

struct confcast_label {
    const char *key;   /* 1..63 bytes of [A-Za-z0-9._/-] */
    const char *value; /* 0..63 bytes of the same */
};

enum confcast_pull {
    CONFCAST_PULL_AUTO = 0, /* while multicast is of no help; not without pull_urls */
    CONFCAST_PULL_ONLY = 1, /* instead of multicast; needs no interface */
    CONFCAST_PULL_OFF = 2,
};

/* Dropping what no process of this host has a use for in the network driver, before the kernel
 * spends time on it (XDP): frames of scopes that nobody follows, and contents that are held.  Takes
 * CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.  One process owns the filter of an interface, best the
 * agent; all others of its network namespace tell it what they follow, also those that say OFF.
 * Without rights, support or a free interface the client runs on without it: confcast_stats() says
 * why. */
enum confcast_xdp {
    CONFCAST_XDP_OFF = 0,     /* never own the filter */
    CONFCAST_XDP_AUTO = 1,    /* in the driver, else behind it; not under a bridge, bond, VLAN or
                                 macvlan, where processes that nobody hears of may listen */
    CONFCAST_XDP_NATIVE = 2,  /* in the driver, whatever is on the interface */
    CONFCAST_XDP_GENERIC = 3, /* behind the driver, which any has, likewise */
};

struct confcast_options {
    size_t size;                 /* set by CONFCAST_OPTIONS_INIT */
    const char *fleet_path;      /* fleet.json, signed by the fleet's root key; required */
    const char *credential_path; /* this consumer's credential, mode 0600 or 0400; required */
    const char *id;              /* consumer id; NULL = the credential's, which it must equal */
    const char *interface;       /* network interface that carries the multicast; required */
    const char *state_dir; /* disk cache and floor, made when missing (not its parents); NULL =
                              keep nothing across restarts */
    const struct confcast_label *labels; /* over the credential's; may be NULL */
    size_t label_count;                  /* 0..16 together with the credential's */
    uint64_t content_size_max;           /* bytes of one content, at most 256 MiB; 0 = 256 MiB */
    uint64_t memory_max;                 /* bytes of contents under collection, and of replaced ones
                                            that a reader still keeps; 0 = 512 MiB */
    uint32_t receive_buffer_size; /* socket buffer, bytes; 0 = 8 MiB; the system may cut it */
    /* Structured log lines ("what happened key=value ..."), called on the library's thread and
     * during confcast_open(); NULL = silent.  level: 0 error, 1 warning, 2 info, 3 debug. */
    void (*log)(void *arg, int level, const char *line);
    void *log_arg;
    /* Read through this host's agent, at the path of its `--share` socket, instead of the network:
     * one receiver and one copy in memory for all processes.  Only `log` and `memory_max` count
     * besides; the others must be zero. */
    const char *agent_path;
    /* Pulling over HTTP(S) from the control planes that fleet.json names (pull_urls). */
    enum confcast_pull pull;
    const char *pull_ca_file;   /* PEM: whom to trust by TLS; NULL = the system's */
    const char *pull_cert_file; /* of this consumer, where the control plane asks for one; with */
    const char *pull_key_file;
    uint32_t pull_wait_ms;  /* a control plane without news answers after this, 1,000..60,000, and a
                               scope is stale after three of them; 0 = 10 s */
    uint32_t pull_after_ms; /* AUTO: multicast may be of no help for so long, 100..3,600,000;
                               0 = 10 s */
    /* A process that ends without confcast_close() or exit() within a minute of serving a content
     * has crashed; so many crashes within ten minutes set that version aside: the last content that
     * was served for a minute serves instead, and the version is rejected (CRASH_LOOP) until there
     * is a newer one.  Needs a state directory.  0 = 5; UINT32_MAX = never. */
    uint32_t crash_starts_max;
    uint32_t unused; /* whatever it holds: older programs have padding here */
    enum confcast_xdp xdp;
};

#define CONFCAST_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(struct confcast_options), NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL,     \
            NULL, NULL, CONFCAST_PULL_AUTO, NULL, NULL, NULL, 0, 0, 0, 0, CONFCAST_XDP_OFF         \
    }

/* Through an agent: connects to it, now or when it comes; one that is not there is no error.
 * INVALID: agent_path is longer than 107 bytes, or another option is set.
 *
 * Otherwise: reads the two files, opens sockets and the state directory, and starts the library's
 * thread.  An interface without an address and an engine that is not there are no errors: what the
 * disk holds is served, and the rest comes when it can.
 *
 * INVALID: an option is missing or outside its range.  NOT_FOUND: a file, the interface or the
 * parent of the state directory is not there.  SIGNATURE, EXPIRED: fleet.json is damaged, forged or
 * over; ROLLBACK: it is older than one used before with this state directory: get the newest.
 * AUTHORITY: fleet.json has another root than the credential, the credential is of another fleet or
 * id or readable by others, or the state directory is not ours alone or of another fleet.  VERSION,
 * TYPE, RANGE, LIMIT or an error of JSON syntax: fleet.json or the credential is malformed.  BUSY:
 * another process uses this state directory.  CORRUPT: the floor in it is damaged; remove the
 * directory, which gives up the protection against replayed versions once.  NO_SPACE, IO, RESOURCE,
 * NO_MEMORY: the system said no.  CLOSED: a forked child, see above.  On error nothing is left
 * behind and *out is NULL. */
int confcast_open(const struct confcast_options *options, struct confcast **out);

/* Stops the thread, writes what is not on disk yet, and frees everything, scopes included.  Sends
 * threads in confcast_wait() away with CLOSED and waits for them and for reader sections.  NULL is
 * fine.  Not from a callback or inside a reader section, and no other call may be made any more. */
void confcast_close(struct confcast *client);

/* Called when another content is visible, inside a reader section: both views are valid during the
 * call.  `before` is NULL for the first one.  A version that names the content that is served
 * already is not told.  Keep it short: the next version waits for it. */
typedef void confcast_change_fn(void *arg, struct confcast_scope *scope,
                                const struct confcast_view *before,
                                const struct confcast_view *after);

/* Called with a candidate that nobody sees yet.  A return other than 0 refuses it: the last good
 * content stays, and the control plane hears of it (APP_REJECT).  Not called again for the same
 * content and version.  Contents from disk are asked for, too. */
typedef int confcast_validate_fn(void *arg, struct confcast_scope *scope,
                                 const struct confcast_view *candidate);

struct confcast_scope_options {
    size_t size; /* set by CONFCAST_SCOPE_OPTIONS_INIT */
    confcast_change_fn *change;
    void *change_arg;
    confcast_validate_fn *validate;
    void *validate_arg;
};

#define CONFCAST_SCOPE_OPTIONS_INIT                                                                \
    {                                                                                              \
        sizeof(struct confcast_scope_options), NULL, NULL, NULL, NULL                              \
    }

/* Follows a scope.  `options` may be NULL; callbacks given here see everything from the first
 * content on.  What the disk cache holds is served before this returns (when called from a
 * callback: before the next one).
 *
 * SCOPE_NAME: the path is not well formed.  EXISTS: it is followed already, *out names it, and the
 * options count for nothing.  LIMIT: more than 256, or the state directory has seen 1,024. INVALID:
 * options of an unknown size.  NOT_FOUND: the agent does not follow this scope.  COLLISION: another
 * followed path has its scope id.  RESOURCE, IO: the group cannot be joined.  NO_MEMORY.  CLOSED:
 * after fork. */
int confcast_subscribe(struct confcast *client, const char *path,
                       const struct confcast_scope_options *options, struct confcast_scope **out);

/* ---- Reading --------------------------------------------------------------------------------- */

/* Begins and ends a reader section of this thread; sections nest.  Never fails, never blocks.  A
 * section should be short: as long as it lasts the memory of replaced versions cannot be freed, and
 * a fork() of another thread may wait; so call nothing in it but what reads. A
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

/* One value in a reader section of its own: the cheapest way to read one key.  Two of these may see
 * two versions; read in one section what belongs together.  `fallback` and *why as above.  The
 * string is copied with its NUL, cut to `capacity` (at least 1) at the end of a character; returns
 * its whole bytes without the NUL, so that a result >= capacity means that it was cut. */
bool confcast_read_bool(const struct confcast_scope *scope, const struct confcast_key *key,
                        bool fallback, int *why);
int64_t confcast_read_i64(const struct confcast_scope *scope, const struct confcast_key *key,
                          int64_t fallback, int *why);
double confcast_read_f64(const struct confcast_scope *scope, const struct confcast_key *key,
                         double fallback, int *why);
size_t confcast_read_string(const struct confcast_scope *scope, const struct confcast_key *key,
                            const char *fallback, char *string, size_t capacity, int *why);

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

/* One key that differs between two views. */
enum confcast_change_kind {
    CONFCAST_ADDED = 1,
    CONFCAST_REMOVED = 2,
    CONFCAST_CHANGED = 3,
};

struct confcast_change {
    enum confcast_change_kind kind;
    const char *pointer;          /* JSON Pointer, NUL-terminated; valid during the call only */
    size_t pointer_size;          /* bytes */
    struct confcast_value before; /* .view is NULL when ADDED */
    struct confcast_value after;  /* .view is NULL when REMOVED */
};

/* Return 0 to go on; anything else ends the walk. */
typedef int confcast_changed_key_fn(void *arg, const struct confcast_change *change);

/* Tells each key that differs, in canonical key order: what the change callback calls with its two
 * views.  NULL counts as an empty object.  Objects on both sides are gone into; any other value, an
 * array too, is one.  Keys whose pointer would be longer than 4,096 bytes are told as a change of
 * the object around them.  Costs a pass over both documents, and no more memory than 16 KiB; a
 * reader section lasts as long.  CONFCAST_OK, NO_MEMORY (`fn` was not called), or what `fn`
 * returned. */
int confcast_diff(const struct confcast_view *before, const struct confcast_view *after,
                  confcast_changed_key_fn *fn, void *arg);

/* Whether the value at `key` is another one, or is in one of them only: for a callback that cares
 * about some keys.  NULL counts as an empty object. */
bool confcast_differs(const struct confcast_view *before, const struct confcast_view *after,
                      const struct confcast_key *key);

/* ---- About versions -------------------------------------------------------------------------- */

/* Where the bytes of what is served came from. */
enum confcast_source {
    CONFCAST_SOURCE_NONE = 0,
    CONFCAST_SOURCE_NETWORK = 1,
    CONFCAST_SOURCE_DISK = 2,
    CONFCAST_SOURCE_AGENT = 3, /* this host's agent; its own source is in its status */
    CONFCAST_SOURCE_PULL = 4,  /* a control plane, over HTTP */
};

/* Why a scope is in the state it is in; see docs/consumers.md. */
enum confcast_state {
    CONFCAST_STATE_NONE = 0,      /* nothing accepted yet */
    CONFCAST_STATE_RECEIVING = 1, /* accepted a version whose content is on the way */
    CONFCAST_STATE_PREPARED = 2,  /* holds it and waits for its activation */
    CONFCAST_STATE_APPLIED = 3,   /* serves what the accepted version says */
    CONFCAST_STATE_REJECTED = 4,  /* refused the content; the last good one is served */
    CONFCAST_STATE_REVERTED = 5,  /* not confirmed in time: the stated fallback is served */
    /* Either reason is CRASH_LOOP: the version was set aside since the process kept crashing with
     * it, and its predecessor is served.  Or what the accepted version says is served, but power
     * loss would take it back: the disk fails, reason says how. */
    CONFCAST_STATE_DEGRADED = 6,
};

struct confcast_status {
    size_t size; /* set to sizeof(struct confcast_status) by the caller */
    uint64_t epoch;
    uint64_t accepted;  /* highest version accepted; never falls */
    uint64_t serving;   /* version that named what readers see; 0 = nothing */
    uint64_t published; /* highest version known to exist; 0 = unknown */
    uint64_t durable;   /* highest version that survives power loss; 0 = none */
    enum confcast_state state;
    enum confcast_source source;
    int reason;             /* error code when REJECTED or DEGRADED, or of a refused newer head */
    bool is_stale;          /* nothing valid was heard for three beacon periods */
    bool is_control_silent; /* the engine is alive but the control plane's signature does not
                               advance */
    uint8_t content[32];    /* digest of the served content */
    uint64_t content_size;  /* bytes of its body */
    uint64_t fresh_unix_ns; /* signed time of the newest proof that this is current; 0 = none since
                               the start */
};

/* CONFCAST_OK; INVALID for a wrong `size`; CLOSED after fork. */
int confcast_status(const struct confcast_scope *scope, struct confcast_status *status);

/* Counters since confcast_open(). */
struct confcast_stats {
    size_t size;                  /* set to sizeof(struct confcast_stats) by the caller */
    uint64_t datagrams;           /* that came */
    uint64_t wrong_source;        /* of them, dropped: not from the engine */
    uint64_t truncated;           /* of them, dropped: longer than any frame */
    uint64_t overflows;           /* dropped by the kernel: the receive buffer was full */
    uint64_t sockets_opened;      /* 1, and one for each change of the interface or its address */
    uint32_t receive_buffer_size; /* granted, as the system counts */
    bool is_interface_up;         /* it is there and has an address */
    bool is_linked;               /* the engine knows this consumer */
    uint64_t frames;              /* given to the protocol */
    uint64_t refused[128];        /* of them, refused: by positive error number */
    uint64_t symbols;             /* verified and stored */
    uint64_t symbols_duplicate;
    uint64_t symbols_decoded; /* recovered by forward error correction */
    uint64_t nacks;           /* sent */
    uint64_t reports;         /* sent */
    uint64_t contents;        /* completed */
    uint64_t retired_size;    /* bytes of replaced versions that readers still keep */
    bool is_pulling;          /* over HTTP, now */
    uint64_t pulls;           /* requests that were answered */
    uint64_t pull_failures;
    uint64_t pull_bytes;    /* of snapshots */
    enum confcast_xdp xdp;  /* NATIVE or GENERIC: how this client's filter is attached; else OFF */
    int xdp_error;          /* why it is not, though asked for: PERMISSION; BUSY: another process's
                               is; EXISTS: another program is; UNAVAILABLE: kernel or interface */
    uint32_t xdp_processes; /* that tell this one what they want */
    bool is_xdp_open;       /* attached, but dropping nothing for now */
    bool is_xdp_told;       /* another process's filter knows what this client wants */
    uint64_t xdp_passed;    /* frames of the fleet */
    uint64_t xdp_unwanted;  /* dropped: of scopes that nobody here follows */
    uint64_t xdp_held;      /* dropped: of contents that are held */
    uint64_t xdp_malformed; /* passed: no frames of this version, on the fleet's port */
    uint64_t xdp_others;    /* passed: all else on the interface */
    bool is_pull_advised;   /* the engine says: multicast loses far more on the way here than to
                               others */
    uint32_t loss_ppm;      /* of multicast, lately */
};

/* CONFCAST_OK; INVALID for a wrong `size`; CLOSED after fork. */
int confcast_stats(struct confcast *client, struct confcast_stats *stats);

/* The version that `view` belongs to, and its content digest (32 bytes, as long as the view). */
uint64_t confcast_view_version(const struct confcast_view *view);
const uint8_t *confcast_view_content(const struct confcast_view *view);

/* The whole document as RFC 8785 canonical JSON.  Writes at most `capacity` bytes and no NUL; *size
 * is the full size.  NOT_FOUND: no such key.  LIMIT: the capacity is too small.  NO_MEMORY. */
int confcast_view_json(const struct confcast_view *view, const struct confcast_key *key, char *json,
                       size_t capacity, size_t *size);

/* Blocks until the scope serves `version` or a later one (1 = anything).  TIMEOUT after
 * `timeout_ms` (0 = look once).  CLOSED: the client is being closed, or after fork.  INVALID: from
 * a callback with a timeout.  Any other code: that version or a later one was refused here, for
 * this reason (APP_REJECT: by the validator); a later one may come. */
int confcast_wait(struct confcast_scope *scope, uint64_t version, uint32_t timeout_ms);

/* ---- Sets ------------------------------------------------------------------------------------ */

/* Several scopes read under one version: a set's view holds one view of each member, all of the
 * same version and in the same phase of it (before or after its activation, reverted or not).  One
 * change of the control plane, such as a batch, has one version in all scopes that it touches; so
 * scopes that are always released together, or that settings hold together, are seen to change, and
 * to go back, together.
 *
 * While a member lacks what the others serve, the set goes on with the view before: it is held, and
 * confcast_set_status() says by whom and why.  What members serve alone, and what this consumer
 * reports, is not touched by that.  A set keeps nothing on disk: after a restart its view is there
 * as soon as the members agree, which they do unless the process died between two swaps. */
struct confcast_set;
struct confcast_set_view; /* valid inside the reader section that got it */

enum {
    CONFCAST_SET_SCOPES_MAX = 64, /* members of one set */
    CONFCAST_SETS_MAX = 64,       /* sets of one client */
};

/* Called when another view is visible whose contents differ, inside a reader section; `before` is
 * NULL for the first one. */
typedef void confcast_set_change_fn(void *arg, struct confcast_set *set,
                                    const struct confcast_set_view *before,
                                    const struct confcast_set_view *after);

struct confcast_set_options {
    size_t size; /* set by CONFCAST_SET_OPTIONS_INIT */
    confcast_set_change_fn *change;
    void *change_arg;
    uint32_t held_ms; /* a set that is held for so long is told of: the event set_held, and a line
                         of the log; 0 = 10 s */
};

#define CONFCAST_SET_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(struct confcast_set_options), NULL, NULL, 0                                         \
    }

/* Makes a set of scopes of this client.  `scopes` is copied; `options` may be NULL.  What the
 * members agree on is visible when this returns (when called from a callback: before the next one).
 *
 * INVALID: none or more than CONFCAST_SET_SCOPES_MAX, one that is NULL, named twice or another
 * client's, or options of an unknown size.  LIMIT: CONFCAST_SETS_MAX.  NO_MEMORY.  CLOSED. */
int confcast_set_open(struct confcast *client, struct confcast_scope *const *scopes, size_t count,
                      const struct confcast_set_options *options, struct confcast_set **out);

/* Ends a set; its members stay.  Sends threads in confcast_set_wait() away with CLOSED and waits
 * for them.  A reader section may use views that it got before; no other call with the set may be
 * under way or follow.  CONFCAST_OK, also for NULL; INVALID: from a callback; CLOSED after fork.
 * confcast_close() closes the sets that are open. */
int confcast_set_close(struct confcast_set *set);

/* What the set serves now, or NULL while its members never agreed.  Only inside a reader section.
 * Two calls in one section may see two versions: get the view once. */
const struct confcast_set_view *confcast_set_view(const struct confcast_set *set);

/* The view of a member, by its place in confcast_set_open(): what all getters take.  NULL when
 * `view` is, or there is no such member. */
const struct confcast_view *confcast_set_member(const struct confcast_set_view *view, size_t idx);

/* The version of all members; 0 when `view` is NULL. */
uint64_t confcast_set_version(const struct confcast_set_view *view);

struct confcast_set_status {
    size_t size;      /* set to sizeof(struct confcast_set_status) by the caller */
    uint64_t serving; /* version of the set's view; 0 = none yet */
    uint64_t newest;  /* the highest version that a member serves; 0 = none */
    bool is_held;     /* the members serve something else than the set, or nothing yet */
    uint32_t held_by; /* then: the member that lags most, by its place */
    uint64_t held_ns; /* ... for how long */
    int reason;       /* ... why: the member's refusal (APP_REJECT, ...); AGAIN: what it lacks is
                         not here yet; NO_MEMORY */
    enum confcast_state state; /* ... the member's */
    uint64_t member_accepted;  /* ... the highest version that it accepted: below `newest`, the
                                  decision of that version has not come, or does not touch it */
};

/* CONFCAST_OK; INVALID for a wrong `size`; CLOSED after fork. */
int confcast_set_status(const struct confcast_set *set, struct confcast_set_status *status);

/* As confcast_wait(), for the set's view.  Any other code: a member refused that version or a later
 * one for this reason. */
int confcast_set_wait(struct confcast_set *set, uint64_t version, uint32_t timeout_ms);

/* For a language runtime whose threads wait for a lock of its own to run (Python's GIL): does what
 * fork() would do here first, which waits for callbacks and reader sections of other threads.  Call
 * it without that lock, and then fork() in the same thread with nothing of confcast in between. */
void confcast_prepare_fork(void);

/* ---- Being told ------------------------------------------------------------------------------ */

/* Replace what was given at confcast_subscribe(); NULL ends it.  When they return no call of the
 * old one is under way, unless called from it.  CONFCAST_OK; CLOSED after fork. */
int confcast_on_change(struct confcast_scope *scope, confcast_change_fn *fn, void *arg);
int confcast_set_validator(struct confcast_scope *scope, confcast_validate_fn *fn, void *arg);

/* What the library does, for agents and logs.  `event` is a short word: accepted, prepared,
 * applied, fallback, reverted, rejected, durable, not_durable, fresh, control_silent, stale,
 * unknown, identity, stalled_reader, set_held; docs/consumers.md says what each means. */
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
