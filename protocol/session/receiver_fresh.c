/* FRESH as it comes: what is current, and how fresh that knowledge is. */
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/receiver_state.h"

static uint64_t
stale_after_ns(const struct cfc_receiver *r)
{
    return CFC_RECEIVER_FRESH_TRIES * r->config.fresh_period_ns;
}

bool
cfc_receiver_is_engine_alive(const struct cfc_receiver *r)
{
    return r->link.has_status && r->now.mono_ns - r->link.status_ns < stale_after_ns(r);
}

enum cfc_freshness
cfc_receiver_freshness(const struct cfc_receiver *r, const struct cfc_scope_rx *scope)
{
    const struct cfc_fresh_rx *shard;

    if (!scope->is_proved) {
        return CFC_FRESHNESS_UNKNOWN;
    }
    if (r->now.mono_ns - scope->proved_mono_ns < stale_after_ns(r)) {
        return CFC_FRESHNESS_FRESH;
    }
    shard = cfc_receiver_find_shard(r, scope->shard);
    if (shard != NULL && r->now.mono_ns - shard->mono_ns >= stale_after_ns(r) &&
        cfc_receiver_is_engine_alive(r)) {
        return CFC_FRESHNESS_CONTROL_SILENT;
    }
    return CFC_FRESHNESS_STALE;
}

/* Whether a shard can matter: a followed scope is in it, or may be. */
static bool
is_relevant(const struct cfc_receiver *r, uint32_t shard)
{
    for (uint32_t i = 0; i < r->scope_count; i++) {
        if (!r->scopes[i]->has_shard || r->scopes[i]->shard == shard) {
            return true;
        }
    }
    return false;
}

static void
note_proof(struct cfc_receiver *r, struct cfc_scope_rx *scope, const struct cfc_fresh_rx *shard)
{
    scope->is_proved = true;
    scope->proved_mono_ns = shard->mono_ns;
    memcpy(scope->proved_root, shard->root, sizeof(scope->proved_root));
    cfc_ask_stop(&scope->fresh_ask);
    if (scope->freshness != CFC_FRESHNESS_FRESH) {
        cfc_receiver_queue_scope(r, scope);
    }
}

/* The shard lists this scope: is what it lists here? */
static void
compare(struct cfc_receiver *r, struct cfc_scope_rx *scope, const struct cfc_fresh_rx *shard,
        const struct cfc_fresh_entry *entry)
{
    bool is_other = scope->frame == NULL ||
                    memcmp(entry->head_digest, scope->head_digest, CFC_SHORT_DIGEST_SIZE) != 0;
    bool is_wanted =
        entry->version > scope->version || (entry->version == scope->version && is_other &&
                                            (scope->frame == NULL || shard->epoch > scope->epoch));
    uint64_t ask_at_ns = r->now.mono_ns + r->timing.delay_ns;

    if (entry->version < scope->published) {
        /* A restored control plane; what was proved once stays proved. */
        return;
    }
    if (!is_wanted) {
        cfc_ask_stop(&scope->head_ask);
    } else if (entry->version > scope->published) {
        cfc_ask_restart(&scope->head_ask, ask_at_ns);
    } else {
        cfc_ask_start(&scope->head_ask, ask_at_ns);
    }
    if (entry->version > scope->published) {
        scope->published = entry->version;
        scope->gone_count = 0;
        scope->head_error = CONFCAST_OK;
        cfc_receiver_queue_scope(r, scope);
    }
    memcpy(scope->published_digest, entry->head_digest, CFC_SHORT_DIGEST_SIZE);
}

/* What a checked page says of the scopes followed here. */
static void
read_page(struct cfc_receiver *r, const struct cfc_fresh_rx *shard, const struct cfc_fresh *fresh)
{
    for (uint32_t i = 0; i < r->scope_count; i++) {
        struct cfc_scope_rx *scope = r->scopes[i];
        struct cfc_fresh_entry entry;

        if (scope->has_shard && scope->shard != shard->shard) {
            continue;
        }
        switch (cfc_fresh_find(fresh, scope->id, &entry)) {
        case CFC_FRESH_LISTED:
            scope->has_shard = true;
            scope->shard = shard->shard;
            compare(r, scope, shard, &entry);
            note_proof(r, scope, shard);
            break;
        case CFC_FRESH_ABSENT:
            if (scope->has_shard && scope->version == 0) {
                cfc_ask_stop(&scope->head_ask);
            }
            if (scope->has_shard) {
                note_proof(r, scope, shard);
            }
            break;
        case CFC_FRESH_OUTSIDE:
            break;
        }
    }
}

/* A new period: scopes whose shard did not change are proved by the signature alone, the others
 * wait for their page. */
static void
begin_period(struct cfc_receiver *r, const struct cfc_fresh_rx *shard)
{
    uint64_t ask_at_ns = r->now.mono_ns + CFC_RECEIVER_PAGE_PERIODS * r->config.fresh_period_ns;

    for (uint32_t i = 0; i < r->scope_count; i++) {
        struct cfc_scope_rx *scope = r->scopes[i];

        if (!scope->has_shard || scope->shard != shard->shard) {
            continue;
        }
        if (scope->is_proved && memcmp(scope->proved_root, shard->root, sizeof(shard->root)) == 0) {
            note_proof(r, scope, shard);
        } else {
            cfc_ask_start(&scope->fresh_ask, ask_at_ns);
        }
    }
}

static int
verify_fresh(struct cfc_receiver *r, const struct cfc_fresh *fresh)
{
    uint8_t memo[CFC_SHORT_DIGEST_SIZE];
    int code = cfc_verify_guard_admit(&r->guard, CFC_VERIFY_FRESH, r->sha, fresh->signed_bytes,
                                      fresh->signed_size, fresh->signature, r->now.mono_ns, memo);

    if (code != CONFCAST_OK) {
        return code;
    }
    code = cfc_fresh_verify(fresh, &r->config.verifier, r->now.unix_ns);
    if (code == CONFCAST_ERR_SIGNATURE) {
        cfc_verify_guard_failed(&r->guard, memo);
    }
    return code;
}

/* Whether the page lists a scope whose restored floor has a higher epoch.  Without its head, the
 * shard of such a scope is not known before the first page that lists it. */
static bool
is_below_a_floor(const struct cfc_receiver *r, const struct cfc_fresh *fresh)
{
    for (uint32_t i = 0; i < r->scope_count; i++) {
        const struct cfc_scope_rx *scope = r->scopes[i];
        struct cfc_fresh_entry entry;

        if (!scope->has_shard && scope->epoch > fresh->epoch &&
            cfc_fresh_find(fresh, scope->id, &entry) == CFC_FRESH_LISTED) {
            return true;
        }
    }
    return false;
}

int
cfc_receiver_on_fresh(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    uint8_t memo[CFC_SHORT_DIGEST_SIZE];
    struct cfc_fresh_rx unknown, *shard;
    struct cfc_fresh fresh;
    bool is_same_period;
    int code;

    if (frame->key > UINT32_MAX || !is_relevant(r, (uint32_t)frame->key)) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    code = cfc_fresh_decode(frame, &fresh);
    if (code != CONFCAST_OK) {
        return code;
    }
    cfc_fresh_rx_init(&unknown, fresh.shard);
    shard = cfc_receiver_find_shard(r, fresh.shard);
    code = cfc_fresh_rx_check(shard != NULL ? shard : &unknown, r->sha, &fresh, r->now.unix_ns,
                              &is_same_period, memo);
    if (code == CONFCAST_OK && !is_same_period) {
        code = verify_fresh(r, &fresh);
    }
    if (code == CONFCAST_OK) {
        code = cfc_fresh_check_page(&fresh, r->sha);
    }
    if (code == CONFCAST_OK && is_below_a_floor(r, &fresh)) {
        code = CONFCAST_ERR_FENCED;
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    if (shard == NULL) {
        shard = cfc_receiver_make_shard(r, fresh.shard);
        if (shard == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    if (!is_same_period) {
        cfc_fresh_rx_take(shard, &fresh, memo, &r->now);
        begin_period(r, shard);
    }
    read_page(r, shard, &fresh);
    return CONFCAST_OK;
}
