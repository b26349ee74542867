/* A sender that several threads share.  The *first* one does what it always does, but for sending
 * contents: it has the heads, FRESH, STATUS, all sessions, reports and upcalls, checks what the
 * control plane hands over, and checks the MAC and the replay window of every NACK.  Its *helpers*
 * send the contents, their passes and their repair; which one has a content is the owner's to say,
 * by the content's key, and stays so.
 *
 * Each of them is a struct cfc_sender that one thread owns; nothing is shared between them.  What
 * the first one has for a helper it says through its hooks, and the owner carries it over, in order
 * for each helper:
 *
 *     put   -> cfc_sender_put_content() of the helper, with what cfc_sender_share_content() says
 *     want  -> cfc_sender_share_want()
 *     drop  -> cfc_sender_share_drop(); once the helper's RELEASED says so, or when put was never
 *              carried over, the first one's cfc_sender_payload_done(slot, 1)
 *     ask   -> cfc_sender_share_ask()
 *
 * The first one holds each content as well, though it never sends it, and the helper's entry points
 * to the same bytes: the frame, tree and coded bytes of a slot do not move until the first one's
 * RELEASED.
 *
 * What one consumer may ask for is a budget of the first one: it pays for what it asks of helpers,
 * before they have seen whether it is on its way anyhow.  So the ceiling is the same with any
 * number of helpers, wherever a consumer's contents are.  Budgets of all together are cut to fit:
 * with a share_count, multicast and repair bytes do not come with time but from cfc_sender_grant(),
 * out of what the owner has for all of them together. */
#ifndef CFC_SESSION_SENDER_SHARE_H
#define CFC_SESSION_SENDER_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/time.h"
#include "protocol/session/sender.h"
#include "protocol/session/sender_view.h"
#include "protocol/wire/link.h"
#include "protocol/wire/nack.h"

/* An entry of a valid NACK that wants something of a content. */
struct cfc_share_ask {
    uint32_t consumer; /* its slot with the first sender */
    uint32_t session;
    uint64_t consumer_key;
    uint32_t groups; /* that it is known to follow */
    struct cfc_address address;
    struct cfc_nack_entry entry;
};

/* Called from within functions of the first sender, by its thread. */
struct cfc_share_hooks {
    /* The content in `slot` is new, or is not pull-only any more. */
    void (*put)(void *ctx, uint32_t slot, bool is_pull_only);
    /* A head of `group` names the content of this slot, in all its codings. */
    void (*want)(void *ctx, uint32_t slot, uint32_t group, bool is_news, uint64_t now_ns);
    void (*drop)(void *ctx, uint32_t slot);
    /* false: no room now; the consumer asks again. */
    bool (*ask)(void *ctx, const struct cfc_share_ask *ask);
    void *ctx;
};

/* -- The first one -- */

/* What a helper is given of a slot that the first one holds. */
struct cfc_share_content {
    uint64_t key;
    const uint8_t *frame;
    size_t frame_size;
    const uint8_t *tree;
    size_t tree_size;
    const uint8_t *coded;
};

void cfc_sender_share_content(const struct cfc_sender *first, uint32_t slot,
                              struct cfc_share_content *out);

/* Whether heads wait to be sent for the first time: contents they name go after them. */
bool cfc_sender_share_has_new_heads(const struct cfc_sender *first);

/* How many consumers the windows and repair go by; tell the helpers now and then. */
struct cfc_share_fleet {
    uint32_t size;      /* as the control plane says */
    uint32_t consumers; /* with a session */
    uint64_t lacking;   /* as cfc_fleet_loss_lacking() */
    uint32_t parity;    /* as cfc_fleet_loss_parity() */
};

struct cfc_share_fleet cfc_sender_share_fleet(const struct cfc_sender *first);

/* Multicast bytes a second that the grants of all are to add up to: what the first one was
 * configured with, or less while much of the fleet loses much (fleet_loss.h); 0 = no limit.  Look
 * again after each frame of a consumer and each STATUS. */
uint64_t cfc_sender_share_rate(const struct cfc_sender *first);

/* The helpers sent this many source symbols (kind_frames[CFC_TX_SOURCE] of their stats) since the
 * last call.  The first one judges by it whether a lower rate may show in what receivers report, so
 * call it at least as often as STATUS is sent. */
void cfc_sender_share_sent(struct cfc_sender *first, uint32_t symbols);

/* -- A helper -- */

/* `groups`: bit per group.  Nothing happens when the content is not held, nor with the next. */
void cfc_sender_share_want(struct cfc_sender *helper, uint64_t content_key, uint32_t groups,
                           bool is_news, uint64_t now_ns);
void cfc_sender_share_drop(struct cfc_sender *helper, uint64_t content_key);

/* As a NACK's entry; the errors are cfc_repair_ask()'s and counted. */
int cfc_sender_share_ask(struct cfc_sender *helper, const struct cfc_share_ask *ask,
                         const struct cfc_now *now);

/* At least as often as STATUS is sent: windows shrink step by step. */
void cfc_sender_share_fit(struct cfc_sender *helper, const struct cfc_share_fleet *fleet);

/* Corrects, in what the first one said of a scope, the codings that this helper has. */
void cfc_sender_share_view(const struct cfc_sender *helper, struct cfc_scope_view *view);

/* -- Either, with a share_count -- */

enum cfc_grant {
    CFC_GRANT_MULTICAST,
    CFC_GRANT_REPAIR,
    CFC_GRANT_COUNT
};

/* Whether a frame of the largest size would have to wait for a grant. */
bool cfc_sender_lacks(const struct cfc_sender *s, enum cfc_grant which);
void cfc_sender_grant(struct cfc_sender *s, enum cfc_grant which, uint64_t bytes);

/* No grant before `at_ns`: deadlines go by it. */
void cfc_sender_expect(struct cfc_sender *s, enum cfc_grant which, uint64_t at_ns);

#endif
