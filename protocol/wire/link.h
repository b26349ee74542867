/* HELLO, WELCOME, STATUS: how a consumer and an engine get to know each other.
 *
 * HELLO, at least CFC_HELLO_SIZE_MIN bytes, so that it is never shorter than the answers to it:
 *     16  u64     incarnation: rises with every start of the consumer
 *     24  u8[16]  nonce
 *     40  u8[16]  cookie, zero at first
 *     56  u8      id size
 *     57  u8      label count
 *     58  u16     0
 *     60  u32     0
 *     64          id; then the labels, each: u8 key size, u8 value size, key, value (no key twice);
 *                 then TLVs (HEAD_PROOF, HOLDS, CAPABILITIES, PADDING)
 *      .  u8[16]  MAC over CFC_DOMAIN_HELLO and the frame up to it, under the credential's session
 *                 key
 *
 * WELCOME, CFC_WELCOME_SIZE bytes:
 *     16  u8      kind
 *     17  u8      0
 *     18  u16     0
 *     20  u32     session; 0 unless ACCEPT
 *     24  u8[16]  the HELLO's nonce
 *     40  u8[16]  CHALLENGE: cookie; ACCEPT: engine nonce; REFUSE: zero
 *     56  u8[16]  observed IP
 *     72  u16     observed port
 *     74  u16     refusal: positive error number; 0 unless REFUSE
 *     76  u32     0
 *     80  u32     hello window, ms
 *     84  u32     NACK window, us
 *     88  u32     report window, ms
 *     92  u32     report generation
 *     96  u8[16]  MAC over CFC_DOMAIN_WELCOME and the frame up to it, under the credential's
 * session key; zero in CHALLENGE
 *
 * Session key = derive(credential session key, CFC_DOMAIN_SESSION, HELLO nonce, engine nonce, u64
 * engine boot id).
 *
 * STATUS (the engine's own word, never trusted for safety):
 *     16  u64     engine time, unix ns
 *     24  u32     report generation
 *     28  u32     fleet size
 *     32  u32     hello window, ms
 *     36  u32     NACK window, us
 *     40  u32     report window, ms
 *     44  u16     echo count 0..64
 *     46  u16     unicast port
 *     48  u8[16]  unicast IP
 *     64          echoes, 16 bytes each: u64 consumer key, u64 report seq
 */
#ifndef CFC_WIRE_LINK_H
#define CFC_WIRE_LINK_H

#include "protocol/trust/digest.h"
#include "protocol/wire/frame.h"

enum {
    CFC_NONCE_SIZE = 16,
    CFC_COOKIE_SIZE = 16,
    CFC_HELLO_SIZE_MIN = 128,
    CFC_WELCOME_SIZE = 112,
    CFC_ECHO_SIZE = 16
};

enum cfc_welcome_kind {
    CFC_WELCOME_CHALLENGE = 0,
    CFC_WELCOME_ACCEPT = 1,
    CFC_WELCOME_REFUSE = 2
};

/* What a consumer can do that not every one can; bits that are not known here mean nothing. */
#define CFC_CAPABILITY_DELTAS UINT64_C(1) /* takes ZSTD_DELTA: in heads, and as codings */

struct cfc_label {
    const char *key;
    const char *value;
    uint8_t key_size;
    uint8_t value_size;
};

struct cfc_hello {
    uint64_t consumer_key;
    uint64_t incarnation;
    uint8_t nonce[CFC_NONCE_SIZE];
    uint8_t cookie[CFC_COOKIE_SIZE];
    const char *id;
    uint8_t id_size;
    uint8_t label_count;
    struct cfc_label labels[CFC_LABEL_COUNT_MAX];
    const uint8_t *head_proof; /* a HEAD frame, or NULL */
    size_t head_proof_size;
    const uint8_t *holds; /* u64 LE each, or NULL */
    size_t hold_count;
    uint64_t capabilities; /* CFC_CAPABILITY_*; 0: none are told */
};

/* Checks everything but the MAC.  SHORT (below CFC_HELLO_SIZE_MIN), LENGTH, VERSION (reserved
 * fields, padding), RANGE (counts, the id and label rules of scope.h, a label key or TLV twice),
 * UNSUPPORTED (critical TLV), WRONG_STREAM (the key does not follow from the id): drop and count.
 */
int cfc_hello_decode(const struct cfc_frame *frame, struct cfc_sha256 *sha, struct cfc_hello *out);
/* CONFCAST_OK or CONFCAST_ERR_MAC. */
int cfc_hello_check(const struct cfc_frame *frame, const struct cfc_key *credential_key);
/* The consumer_key must be that of the id.  INVALID for names outside their rules, LIMIT. */
int cfc_hello_encode(const struct cfc_hello *hello, const struct cfc_key *credential_key,
                     uint8_t *frame, size_t capacity, size_t *size);

struct cfc_windows {
    uint32_t hello_ms;          /* spread HELLOs over this much, after an engine's restart */
    uint32_t nack_us;           /* for a NACK of everybody; waits follow from it */
    uint32_t report_ms;         /* spread REPORTs over this much */
    uint32_t report_generation; /* changed: report everything again */
};

struct cfc_welcome {
    uint64_t boot_id;
    uint8_t kind;
    uint32_t session;
    uint8_t nonce[CFC_NONCE_SIZE]; /* the HELLO's */
    uint8_t token[16];             /* cookie or engine nonce */
    struct cfc_address observed;
    uint16_t refusal; /* REFUSE: positive error number (27 = mac, ...) */
    struct cfc_windows windows;
};

/* SHORT, LENGTH, VERSION (reserved fields, kind, a CHALLENGE with a MAC), RANGE (a refusal code in
 * another kind than REFUSE, none in REFUSE, a session in another kind than ACCEPT, a token in
 * REFUSE): drop and count. */
int cfc_welcome_decode(const struct cfc_frame *frame, struct cfc_welcome *out);
/* CONFCAST_OK or CONFCAST_ERR_MAC; ACCEPT and REFUSE only (a REFUSE for a bad MAC carries the
 * engine's own MAC). */
int cfc_welcome_check(const struct cfc_frame *frame, const struct cfc_key *credential_key);
/* credential_key may be NULL for a CHALLENGE.  INVALID for fields outside their rules, LIMIT. */
int cfc_welcome_encode(const struct cfc_welcome *welcome, const struct cfc_key *credential_key,
                       uint8_t *frame, size_t capacity, size_t *size);

/* The cookie that an engine gives to an address, without keeping state: MAC under the engine's
 * random cookie key over CFC_DOMAIN_COOKIE, u64 slot, u64 consumer key, IP, u16 port.  The slot is
 * the engine's time divided by the cookie's life; an engine accepts the current slot and the one
 * before. */
void cfc_cookie_make(const struct cfc_key *cookie_key, uint64_t slot, uint64_t consumer_key,
                     const struct cfc_address *consumer, uint8_t out[CFC_COOKIE_SIZE]);

void cfc_session_key(const struct cfc_key *credential_key,
                     const uint8_t hello_nonce[CFC_NONCE_SIZE],
                     const uint8_t engine_nonce[CFC_NONCE_SIZE], uint64_t boot_id,
                     struct cfc_key *out);

struct cfc_echo {
    uint64_t consumer_key;
    uint64_t report_seq;
};

struct cfc_status {
    uint64_t boot_id;
    uint64_t time_unix_ns;
    uint32_t fleet_size;
    struct cfc_windows windows;
    struct cfc_address unicast; /* where the engine takes HELLO, REPORT and NACK */
    uint16_t echo_count;
    const uint8_t *echoes; /* decode: in the frame */
};

/* SHORT, LENGTH, RANGE: drop and count. */
int cfc_status_decode(const struct cfc_frame *frame, struct cfc_status *out);
void cfc_status_echo_at(const struct cfc_status *status, uint32_t i, struct cfc_echo *out);
/* INVALID for too many echoes, LIMIT. */
int cfc_status_encode(const struct cfc_status *status, const struct cfc_echo *echoes,
                      uint8_t *frame, size_t capacity, size_t *size);

#endif
