/* The consumer's half of the protocol: accepts signed heads, collects and verifies the contents
 * that they name, asks for what is lost, decides what is to be served, and reports.  It performs no
 * I/O, reads no clock and takes no lock; one thread owns a receiver.  The same object file runs in
 * the library, in the host agent, in the simulator and under the fuzzer.
 *
 * It does not decode contents, keep them, publish pointers or write to disk: its owner does, driven
 * by events, and tells the receiver what came of it.
 *
 * The owner's loop: feed frames (on_frame), drain events (poll_event) in order, send frames
 * (poll_frame) to the engine until AGAIN, sleep until deadline() or the next frame.
 *
 * Order that the events guarantee (invariant 5): ACCEPTED of a version comes before its SERVE, and
 * the owner makes the floor of ACCEPTED outlive the process before it polls the next event. */
#ifndef CFC_SESSION_RECEIVER_H
#define CFC_SESSION_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/time.h"
#include "protocol/trust/digest.h"
#include "protocol/trust/sign.h"
#include "protocol/wire/head.h"
#include "protocol/wire/link.h"
#include "protocol/wire/report.h"

struct cfc_receiver;

enum {
    CFC_RECEIVER_SCOPES_MAX = 256
};

#define CFC_RECEIVER_NO_SCOPE UINT32_MAX

struct cfc_receiver_config {
    const char *id; /* copied */
    size_t id_size;
    const struct cfc_label *labels; /* copied */
    uint32_t label_count;
    uint64_t incarnation;       /* above every earlier one of this consumer id */
    struct cfc_key session_key; /* from the credential */
    struct cfc_key report_key;  /* from the credential */
    struct cfc_verifier verifier;
    struct cfc_alloc alloc;
    uint64_t seed;             /* of jitter and nonces; must differ between consumers and starts */
    size_t frame_size_max;     /* of frames to send; CFC_FRAME_SIZE_MIN..CFC_FRAME_SIZE_MAX */
    uint64_t content_size_max; /* body and coded bytes of one content; <= CFC_BODY_SIZE_MAX */
    uint64_t budget_size; /* coded bytes under collection at one time; what this consumer's own arm
                             needs comes first */
    uint64_t fresh_period_ns; /* expected spacing of FRESH; stale after three of them */
    uint64_t nack_delay_ns;   /* a gap waits this long for reordering */
    uint64_t nack_retry_ns;   /* first spacing of repeated NACKs, doubles up to 32 times it */
    uint64_t hello_retry_ns;  /* first spacing of repeated HELLOs, doubles up to 16 times it */
    uint64_t report_retry_ns; /* first spacing of repeated REPORTs without an echo, doubles up to 16
                                 times it */
    uint64_t report_refresh_ns; /* a REPORT at least this often, as a sign of life */
};

/* Fills everything but id, labels, incarnation, keys, verifier, alloc and seed with the defaults
 * for a LAN. */
void cfc_receiver_config_defaults(struct cfc_receiver_config *config);

/* CONFCAST_ERR_INVALID for a config outside its ranges, CONFCAST_ERR_NO_MEMORY.  free(NULL) is
 * fine; free gives back every byte that it took from `alloc`. */
int cfc_receiver_new(const struct cfc_receiver_config *config, struct cfc_receiver **out);
void cfc_receiver_free(struct cfc_receiver *r);

/* Follows a scope; *idx names it from now on (0, 1, ...).  SCOPE_NAME, EXISTS, LIMIT (too many
 * scopes), COLLISION (another subscribed path with this id), NO_MEMORY. */
int cfc_receiver_subscribe(struct cfc_receiver *r, const char *path, size_t size, uint32_t *idx);

/* Puts back what survived the last process: the floor, and the head accepted last (a HEAD frame;
 * NULL when it is lost).  Call it after subscribe and before the first frame.  A head that does not
 * verify, or is not at the floor's version (ROLLBACK below it, INVALID above), is refused with its
 * error and only the floor counts.  Expiry of the head or of its key does not matter here
 * (invariant 8).  No ACCEPTED follows for it.  The arm is chosen anew, from the labels of now.
 * EXISTS: something is accepted already; RANGE: no such scope. */
int cfc_receiver_restore(struct cfc_receiver *r, uint32_t idx, uint64_t floor_epoch,
                         uint64_t floor_version, const uint8_t *head_frame, size_t size,
                         const struct cfc_now *now);

/* What the last process served last, which this one is to serve again before anything else happens:
 * without it a consumer whose accepted head is lost, waits, or is newer than any content that is
 * here would come back serving nothing (invariant 8).  Epoch, version and state are those of its
 * SERVE; CFC_APPLY_NONE: not known, what the accepted head asks for is served anew.  An activation
 * or confirm-by that had passed stays so, whatever the wall clock says now.  Call it after restore
 * and content_held, and before the first event is polled; the owner swaps, and answers with
 * cfc_receiver_served() as it does to SERVE.  NOT_FOUND: the content is not held; INVALID: the
 * version is 0 or above the floor, or no SERVE has this state; BUSY: a SERVE is not answered yet;
 * RANGE. */
int cfc_receiver_restore_serving(struct cfc_receiver *r, uint32_t idx, uint64_t epoch,
                                 uint64_t version, const struct cfc_digest *content, uint8_t state);

/* The owner holds this content decoded and validated (from its disk cache).  Call it any time;
 * idempotent.  An owner that keeps more than it is asked to answers ACCEPTED by this for what it
 * has of the head's contents: what a RELEASE named is forgotten here.  LIMIT, NO_MEMORY. */
int cfc_receiver_content_held(struct cfc_receiver *r, const struct cfc_digest *content);

/* One datagram that came from the engine's address.  The frame may be anything; what is wrong with
 * it is counted by error code and returned, and needs no answer from the owner.  CONFCAST_OK when
 * it was used or was a harmless duplicate. */
int cfc_receiver_on_frame(struct cfc_receiver *r, const uint8_t *frame, size_t size,
                          const struct cfc_now *now);

/* Everything that came before this time (monotonic) has been given to on_frame(), or will be before
 * the next poll_frame().  What is asked for is what lacked then: an owner that was not scheduled
 * for a while does not take for lost, or for the end of a pass, what waits in its socket.  An owner
 * that cannot keep up asks by CFC_RECEIVER_BEHIND_MAX_NS ago.  Never called: by the time of
 * poll_frame(). */
#define CFC_RECEIVER_BEHIND_MAX_NS (20 * CFC_MS)
void cfc_receiver_heard(struct cfc_receiver *r, uint64_t until_ns);

/* One frame for the engine's unicast address.  CONFCAST_OK, or CONFCAST_ERR_AGAIN when there is
 * nothing to send before deadline().  `capacity` must be at least frame_size_max. */
int cfc_receiver_poll_frame(struct cfc_receiver *r, const struct cfc_now *now, uint8_t *frame,
                            size_t capacity, size_t *size);

enum cfc_receiver_event_type {
    CFC_EVENT_ACCEPTED, /* a head was accepted: persist floor and head frame, then go on */
    CFC_EVENT_CONTENT,  /* a content is complete: decode, check its id (cfc_content_id(): what came
                           inside a head is not signed), validate, then
                           cfc_receiver_content_done() */
    CFC_EVENT_SERVE,    /* serve this content: swap, then cfc_receiver_served() */
    CFC_EVENT_PREPARED, /* the arm's content is held and waits for its activation */
    CFC_EVENT_REJECTED, /* the accepted version cannot be served (reason); the last good content
                           stays */
    CFC_EVENT_RELEASE, /* no accepted head names this content any more and nothing serves it: it may
                          be dropped */
    CFC_EVENT_FRESHNESS, /* freshness of a scope changed */
    CFC_EVENT_IDENTITY,  /* the engine refused this consumer (reason), for instance two consumers
                            with one id */
};

enum cfc_freshness {
    CFC_FRESHNESS_UNKNOWN, /* no valid FRESH yet */
    CFC_FRESHNESS_FRESH, /* signed proof, within three periods, that what is accepted is current or
                            on its way */
    CFC_FRESHNESS_CONTROL_SILENT, /* the engine is alive but the control plane's signature does not
                                     advance */
    CFC_FRESHNESS_STALE,          /* nothing valid for three periods */
};

struct cfc_receiver_event {
    enum cfc_receiver_event_type type;
    uint32_t scope_idx; /* CFC_RECEIVER_NO_SCOPE for CONTENT, RELEASE, IDENTITY */
    uint64_t epoch;
    uint64_t version;
    uint8_t kind;  /* ACCEPTED, SERVE: enum cfc_head_kind */
    uint8_t arm;   /* ACCEPTED, SERVE, PREPARED */
    uint8_t state; /* SERVE: CFC_APPLY_APPLIED, or _REVERTED for the fallback after confirm-by, or
                      _PREPARED for the fallback that is served before activation */
    int reason;    /* REJECTED, IDENTITY: error code */
    enum cfc_freshness freshness;
    struct cfc_digest
        content; /* CONTENT, SERVE, PREPARED, REJECTED, RELEASE; ACCEPTED: the arm's */
    /* ACCEPTED: the HEAD frame without its unsigned part (an inlined content).  CONTENT: the coded
     * bytes.  Valid until the next call that takes the receiver, but a CONTENT's bytes stay until
     * cfc_receiver_content_done(). */
    const uint8_t *bytes;
    size_t size;
    uint64_t collection;    /* CONTENT: as in struct cfc_receiver_part */
    uint8_t encoding;       /* CONTENT: enum cfc_encoding */
    uint64_t body_size;     /* CONTENT: signed size of the body; bounds the decoder */
    struct cfc_digest base; /* CONTENT with ZSTD_DELTA */
};

/* The next event.  CONFCAST_OK or CONFCAST_ERR_AGAIN. */
int cfc_receiver_poll_event(struct cfc_receiver *r, const struct cfc_now *now,
                            struct cfc_receiver_event *event);

/* What is here, verified and without a gap, of a content that is under collection to be served now:
 * for an owner that decodes as it comes.  CONTENT follows when it is complete, with all bytes. */
struct cfc_receiver_part {
    uint64_t collection; /* a number of its own: with another one all begins anew */
    uint8_t encoding;
    uint64_t coded_size;
    uint64_t body_size;
    struct cfc_digest base; /* with ZSTD_DELTA */
    const uint8_t *bytes;   /* from the first one on; valid until the next call that takes the
                               receiver */
    size_t size;            /* never fewer than last time */
    /* What digests the symbols to come: the body may be digested beside them (digest.h). */
    struct cfc_sha256 *sha;
};

/* One content at a time.  OK, or AGAIN when there is none: whatever was begun is of no use, unless
 * a CONTENT waits.  Any time. */
int cfc_receiver_part(struct cfc_receiver *r, struct cfc_receiver_part *part);

/* The owner's answer to CONTENT.  CONFCAST_OK: it is held now.  CONFCAST_ERR_NO_MEMORY: the event
 * comes once more after 100 ms, then the content is collected again.  NO_BASE, DIGEST, BODY, LIMIT
 * or a zstd error of a delta: its base is not here or is damaged, so that no delta against it is
 * taken any more, and another coding is asked for.  The same (but NO_BASE) for bytes that came
 * inside a head: they are dropped, and the content is collected from its signed CONTENT.  Any other
 * error: this content is refused for the reason given until another version names it.  Returns
 * NOT_FOUND for a content that no CONTENT event named. */
int cfc_receiver_content_done(struct cfc_receiver *r, const struct cfc_digest *content, int code,
                              const struct cfc_now *now);

/* The owner's answer to SERVE.  CONFCAST_OK: readers see it now.  Any error (APP_REJECT, ...)
 * rejects the version for this scope, unless a newer one was accepted meanwhile; the next SERVE of
 * the scope comes only after this answer.  RANGE, or NOT_FOUND when no SERVE waits for one. */
int cfc_receiver_served(struct cfc_receiver *r, uint32_t idx, int code, const struct cfc_now *now);

/* What is accepted and served as of `version` survives power loss now.  RANGE, or INVALID for a
 * version above the accepted one. */
int cfc_receiver_durable(struct cfc_receiver *r, uint32_t idx, uint64_t version,
                         const struct cfc_now *now);

/* The labels changed; they count from the next accepted version on.  INVALID, NO_MEMORY. */
int cfc_receiver_set_labels(struct cfc_receiver *r, const struct cfc_label *labels, uint32_t count);

/* When the owner must poll again at the latest, monotonic ns; CFC_NEVER when only a frame can
 * change something. */
uint64_t cfc_receiver_deadline(const struct cfc_receiver *r);

struct cfc_receiver_scope {
    struct cfc_report_entry entry; /* what a REPORT says of this scope now */
    uint64_t published;            /* highest version that FRESH proved to exist, 0 = none */
    enum cfc_freshness freshness;
    uint64_t fresh_unix_ns; /* signed time of the newest valid FRESH of the shard, 0 = none */
    struct cfc_digest serving;
    /* Two signed decisions under one version: proof against the release key's holder. */
    uint64_t equivocations;
    uint64_t evidence_version;
    uint8_t evidence[2][CFC_SHORT_DIGEST_SIZE]; /* head digests: of the one kept, of the other */
};

/* RANGE for an idx that is no scope. */
int cfc_receiver_scope(const struct cfc_receiver *r, uint32_t idx, struct cfc_receiver_scope *out);

struct cfc_receiver_stats {
    uint64_t frames;      /* given to on_frame */
    uint64_t errors[128]; /* by positive error number */
    uint64_t symbols;     /* verified and stored */
    uint64_t symbols_duplicate;
    uint64_t symbols_repair;  /* repair symbols stored */
    uint64_t symbols_decoded; /* recovered by FEC */
    uint64_t symbols_ignored; /* of no use: superfluous repair symbols, another coding */
    uint64_t blocks_decoded;  /* by FEC */
    uint64_t blocks_poisoned; /* what FEC gave failed its leaves and was dropped */
    uint64_t nacks;           /* NACK frames sent */
    uint64_t nack_entries;
    uint64_t reports; /* REPORT frames sent */
    uint64_t losses;  /* LOSS frames sent */
    uint64_t advices; /* ADVICE frames taken */
    uint64_t hellos;
    uint64_t contents;     /* completed */
    uint64_t frames_early; /* came before what names them, and were kept for a while */
};

const struct cfc_receiver_stats *cfc_receiver_stats(const struct cfc_receiver *r);

/* ---- Pull -------------------------------------------------------------------------------------
 * An owner that pulls (docs/wire-format.md, section 12) brings the same frames by HTTP.  They are
 * checked as any others; what differs is who is asked and who takes reports. */

enum cfc_pull_mode {
    CFC_PULL_OFF,    /* an engine is all there is */
    CFC_PULL_BESIDE, /* an engine is asked as well, but reports go by poll_report() */
    CFC_PULL_ONLY    /* there is no engine: poll_frame() is not called */
};

/* From now on.  While it pulls, FRESH is expected every fresh_period_ns, if that is longer than the
 * config's. */
void cfc_receiver_set_pull(struct cfc_receiver *r, enum cfc_pull_mode mode,
                           uint64_t fresh_period_ns, const struct cfc_now *now);

/* A frame that was pulled: as on_frame(), but its coding is taken in the place of one that an
 * engine began, since all of it follows. */
int cfc_receiver_on_pulled(struct cfc_receiver *r, const uint8_t *frame, size_t size,
                           const struct cfc_now *now);

/* A request ended.  After one that failed the engine is asked for contents again, advised or not,
 * until one works. */
void cfc_receiver_pull_ended(struct cfc_receiver *r, bool has_worked, const struct cfc_now *now);

enum {
    CFC_RECEIVER_HAVE_MAX = 8
};
#define CFC_RECEIVER_PULL_GRACE_NS (5 * CFC_S)

struct cfc_receiver_need {
    uint64_t after;  /* the version that needs nothing more; 0 = a head or a content is lacking */
    bool is_lacking; /* a version or a content is known to exist, and is neither here nor refused */
    uint32_t have_count;
    struct cfc_digest
        have[CFC_RECEIVER_HAVE_MAX]; /* contents that are held, what is served first */
};

/* What to pull for a scope.  RANGE. */
int cfc_receiver_need(const struct cfc_receiver *r, uint32_t idx, struct cfc_receiver_need *out);

/* Whether the scope lacks something, or nothing proves that it does not. */
bool cfc_receiver_is_held_up(const struct cfc_receiver *r, uint32_t idx);

/* Whether the engine advised this consumer to pull: multicast loses far more on the way to it than
 * to the rest of the fleet.  What comes by multicast is taken all the same.  While pulling works,
 * contents are not asked of the engine, unless one is due for CFC_RECEIVER_PULL_GRACE_NS in which
 * nothing was pulled; heads and FRESH, which are small and may be urgent, always are. */
bool cfc_receiver_is_pull_advised(const struct cfc_receiver *r, const struct cfc_now *now);

/* The share of multicast that was lost lately, in 1/65,536 (loss_meter.h). */
uint16_t cfc_receiver_loss(const struct cfc_receiver *r);

/* A HELLO frame for the control plane.  LIMIT: `capacity` is below frame_size_max. */
int cfc_receiver_write_hello(struct cfc_receiver *r, uint8_t *frame, size_t capacity, size_t *size);

/* When the next report is due; deadline() leaves it out while the owner pulls. */
uint64_t cfc_receiver_report_due(const struct cfc_receiver *r);

/* One part of a REPORT that is due, with a session trailer of zeros; call it until AGAIN and send
 * all parts together.  *seq names the report for report_taken(). */
int cfc_receiver_poll_report(struct cfc_receiver *r, const struct cfc_now *now, uint8_t *frame,
                             size_t capacity, size_t *size, uint64_t *seq);
void cfc_receiver_report_taken(struct cfc_receiver *r, uint64_t seq, const struct cfc_now *now);

/* Whoever takes reports may have lost them: a HELLO was taken. */
void cfc_receiver_report_again(struct cfc_receiver *r, const struct cfc_now *now);

/* Whether a session with the engine stands. */
bool cfc_receiver_is_linked(const struct cfc_receiver *r);

#endif
