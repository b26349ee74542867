/* What the owner is told, in which order, and what it answers. */
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/receiver_state.h"

static void
fill(struct cfc_receiver_event *event, enum cfc_receiver_event_type type,
     const struct cfc_scope_rx *scope)
{
    memset(event, 0, sizeof(*event));
    event->type = type;
    event->scope_idx = CFC_RECEIVER_NO_SCOPE;
    if (scope != NULL) {
        event->scope_idx = scope->idx;
        event->epoch = scope->epoch;
        event->version = scope->version;
        event->kind = scope->head.kind;
        event->arm = scope->arm;
        event->freshness = scope->freshness;
    }
}

static struct cfc_entry *
arm_entry(const struct cfc_receiver *r, const struct cfc_scope_rx *scope)
{
    if (scope->frame == NULL) {
        return NULL;
    }
    return cfc_content_set_find(&r->contents, &scope->head.arms[scope->arm].content);
}

static void
reject(struct cfc_scope_rx *scope, const struct cfc_digest *content, int reason)
{
    struct cfc_rejection *rejection = &scope->rejections[cfc_scope_rx_role(scope, content)];

    if (rejection->reason == CONFCAST_OK) {
        rejection->reason = reason;
    }
}

static bool
is_rejected(const struct cfc_scope_rx *scope, const struct cfc_digest *content)
{
    return scope->rejections[cfc_scope_rx_role(scope, content)].reason != CONFCAST_OK;
}

static bool
poll_rejected(const struct cfc_receiver *r, struct cfc_scope_rx *scope,
              const struct cfc_entry *target, struct cfc_receiver_event *event)
{
    const struct cfc_entry *arm = arm_entry(r, scope);

    if (target != NULL && target->state == CFC_ENTRY_REFUSED) {
        reject(scope, &target->id, target->reason);
    }
    if (arm != NULL && arm->state == CFC_ENTRY_REFUSED && cfc_scope_rx_is_waiting(scope)) {
        reject(scope, &arm->id, arm->reason);
    }
    for (enum cfc_scope_role role = 0; role < CFC_SCOPE_ROLES; role++) {
        struct cfc_rejection *rejection = &scope->rejections[role];

        if (rejection->reason != CONFCAST_OK && !rejection->is_told) {
            rejection->is_told = true;
            fill(event, CFC_EVENT_REJECTED, scope);
            event->reason = rejection->reason;
            event->content = *cfc_scope_rx_named(scope, role);
            return true;
        }
    }
    return false;
}

static bool
poll_prepared(const struct cfc_receiver *r, struct cfc_scope_rx *scope,
              struct cfc_receiver_event *event)
{
    const struct cfc_entry *arm = arm_entry(r, scope);

    if (scope->is_prepared_told || !cfc_scope_rx_is_waiting(scope) || arm == NULL ||
        arm->state != CFC_ENTRY_HELD) {
        return false;
    }
    scope->is_prepared_told = true;
    fill(event, CFC_EVENT_PREPARED, scope);
    event->content = arm->id;
    return true;
}

static bool
poll_serve(struct cfc_receiver *r, struct cfc_scope_rx *scope, struct cfc_entry *target,
           uint8_t state, struct cfc_receiver_event *event)
{
    if (target == NULL || target->state != CFC_ENTRY_HELD || scope->pending != NULL ||
        is_rejected(scope, &target->id)) {
        return false;
    }
    if (scope->serving == target && scope->serving_version == scope->version &&
        scope->serving_state == state) {
        return false;
    }
    /* The entry exists, so that this cannot fail. */
    scope->pending = cfc_content_set_acquire(&r->contents, &target->id, CFC_NEED_KEEP, CFC_NEVER);
    scope->pending_version = scope->version;
    scope->pending_epoch = scope->epoch;
    scope->pending_state = state;
    fill(event, CFC_EVENT_SERVE, scope);
    event->state = state;
    event->content = target->id;
    return true;
}

static bool
is_urgent_change(const struct cfc_report_entry *before, const struct cfc_report_entry *after)
{
    return after->state != CFC_APPLY_RECEIVING &&
           (after->state != before->state || after->serving_version != before->serving_version ||
            after->serving_content != before->serving_content);
}

/* Notices that a REPORT would say something else now. */
static void
compare_report(struct cfc_receiver *r, struct cfc_scope_rx *scope)
{
    struct cfc_report_entry entry;

    cfc_scope_rx_report(scope, arm_entry(r, scope), &entry);
    if (memcmp(&entry, &scope->reported, sizeof(entry)) != 0) {
        cfc_report_rx_changed(&r->report, is_urgent_change(&scope->reported, &entry),
                              r->link.windows.report_ms, r->now.mono_ns);
        scope->reported = entry;
    }
}

/* The next event of a scope; false when it has none. */
static bool
poll_scope(struct cfc_receiver *r, struct cfc_scope_rx *scope, struct cfc_receiver_event *event)
{
    enum cfc_freshness freshness = cfc_receiver_freshness(r, scope);
    const struct cfc_digest *id;
    struct cfc_entry *target;
    uint8_t state;

    if (scope->is_accepted_due) {
        scope->is_accepted_due = false;
        fill(event, CFC_EVENT_ACCEPTED, scope);
        event->content = scope->head.arms[scope->arm].content;
        event->bytes = scope->frame;
        event->size = scope->frame_size;
        return true;
    }
    if (freshness != scope->freshness) {
        scope->freshness = freshness;
        fill(event, CFC_EVENT_FRESHNESS, scope);
        return true;
    }
    if (cfc_scope_rx_latch(scope, r->now.unix_ns)) {
        cfc_receiver_rename(r, scope);
    }
    id = cfc_scope_rx_target(scope, &state);
    target = id != NULL ? cfc_content_set_find(&r->contents, id) : NULL;
    if (poll_rejected(r, scope, target, event) || poll_prepared(r, scope, event) ||
        poll_serve(r, scope, target, state, event)) {
        return true;
    }
    compare_report(r, scope);
    return false;
}

static bool
poll_content(struct cfc_receiver *r, struct cfc_receiver_event *event)
{
    struct cfc_entry *entry = cfc_content_set_pop_event(&r->contents);

    while (entry != NULL) {
        if (entry->state == CFC_ENTRY_COMPLETE && entry->retry_at_ns == 0) {
            fill(event, CFC_EVENT_CONTENT, NULL);
            event->content = entry->id;
            event->bytes = entry->coded;
            event->size = (size_t)entry->coded_size;
            event->collection = entry->collection;
            event->encoding = entry->encoding;
            event->body_size = entry->body_size;
            event->base = entry->base;
            cfc_content_set_state(&r->contents, entry, CFC_ENTRY_DELIVERED);
            return true;
        }
        if (entry->state == CFC_ENTRY_HELD && cfc_entry_need(entry) == CFC_NEED_COUNT) {
            fill(event, CFC_EVENT_RELEASE, NULL);
            event->content = entry->id;
            cfc_content_set_forget(&r->contents, entry);
            return true;
        }
        entry = cfc_content_set_pop_event(&r->contents);
    }
    return false;
}

static uint64_t
freshness_due(const struct cfc_receiver *r, const struct cfc_scope_rx *scope)
{
    uint64_t silence_ns = CFC_RECEIVER_FRESH_TRIES * r->config.fresh_period_ns;

    switch (scope->freshness) {
    case CFC_FRESHNESS_FRESH:
        return scope->proved_mono_ns + silence_ns;
    case CFC_FRESHNESS_CONTROL_SILENT:
        return r->link.status_ns + silence_ns;
    case CFC_FRESHNESS_STALE: {
        /* The engine may be alive while the shard's signature is about to fall silent. */
        const struct cfc_fresh_rx *shard = cfc_receiver_find_shard(r, scope->shard);

        return shard != NULL && shard->mono_ns + silence_ns > r->now.mono_ns
                   ? shard->mono_ns + silence_ns
                   : CFC_NEVER;
    }
    default:
        return CFC_NEVER;
    }
}

static uint64_t
content_due(const struct cfc_entry *entry)
{
    if (entry->state == CFC_ENTRY_COLLECTING) {
        return cfc_content_rx_news(entry->rx) + CFC_RECEIVER_COLLECT_TIMEOUT_NS;
    }
    return entry->state == CFC_ENTRY_COMPLETE && entry->retry_at_ns != 0 ? entry->retry_at_ns
                                                                         : CFC_NEVER;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Sets the timers that poll_event() serves. */
static void
set_timers(struct cfc_receiver *r)
{
    r->is_tick_due = false;
    r->tick_ns = CFC_NEVER;
    r->latch_unix_ns = CFC_NEVER;
    for (uint32_t i = 0; i < r->scope_count; i++) {
        r->tick_ns = earlier(r->tick_ns, freshness_due(r, r->scopes[i]));
        r->latch_unix_ns = earlier(r->latch_unix_ns, cfc_scope_rx_next_latch(r->scopes[i]));
    }
    for (const struct cfc_entry *at = r->contents.active; at != NULL; at = at->active_next) {
        r->tick_ns = earlier(r->tick_ns, content_due(at));
    }
}

static bool
is_tick_due(const struct cfc_receiver *r)
{
    return r->is_tick_due || r->now.mono_ns >= r->tick_ns || r->now.unix_ns >= r->latch_unix_ns;
}

static void
tick(struct cfc_receiver *r)
{
    cfc_receiver_expire_contents(r);
    for (uint32_t i = 0; i < r->scope_count; i++) {
        struct cfc_scope_rx *scope = r->scopes[i];

        if (cfc_scope_rx_next_latch(scope) <= r->now.unix_ns ||
            cfc_receiver_freshness(r, scope) != scope->freshness) {
            cfc_receiver_queue_scope(r, scope);
        }
    }
    set_timers(r);
}

static bool
poll_scopes(struct cfc_receiver *r, struct cfc_receiver_event *event)
{
    while (r->queue_first != NULL) {
        struct cfc_scope_rx *scope = r->queue_first;

        if (poll_scope(r, scope, event)) {
            return true;
        }
        r->queue_first = scope->next_queued;
        if (r->queue_first == NULL) {
            r->queue_last = NULL;
        }
        scope->is_queued = false;
    }
    return false;
}

int
cfc_receiver_poll_event(struct cfc_receiver *r, const struct cfc_now *now,
                        struct cfc_receiver_event *event)
{
    r->now = *now;
    cfc_early_rx_expire(&r->early, now->mono_ns);
    for (;;) {
        if (is_tick_due(r)) {
            tick(r);
        }
        if (poll_scopes(r, event) || poll_content(r, event)) {
            return CONFCAST_OK;
        }
        if (r->identity_reason != CONFCAST_OK) {
            fill(event, CFC_EVENT_IDENTITY, NULL);
            event->reason = r->identity_reason;
            r->identity_reason = CONFCAST_OK;
            return CONFCAST_OK;
        }
        /* What came since the timers were set last may be due already. */
        set_timers(r);
        if (!is_tick_due(r)) {
            return CONFCAST_ERR_AGAIN;
        }
    }
}

int
cfc_receiver_restore_serving(struct cfc_receiver *r, uint32_t idx, uint64_t epoch, uint64_t version,
                             const struct cfc_digest *content, uint8_t state)
{
    struct cfc_scope_rx *scope = idx < r->scope_count ? r->scopes[idx] : NULL;
    const struct cfc_entry *entry = cfc_content_set_find(&r->contents, content);

    if (scope == NULL) {
        return CONFCAST_ERR_RANGE;
    }
    if (version == 0 || version > scope->version ||
        (state != CFC_APPLY_NONE && state != CFC_APPLY_APPLIED && state != CFC_APPLY_REVERTED &&
         state != CFC_APPLY_PREPARED)) {
        return CONFCAST_ERR_INVALID;
    }
    if (scope->pending != NULL) {
        return CONFCAST_ERR_BUSY;
    }
    if (entry == NULL || entry->state != CFC_ENTRY_HELD) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    /* The entry exists, so that this cannot fail. */
    scope->pending = cfc_content_set_acquire(&r->contents, content, CFC_NEED_KEEP, CFC_NEVER);
    scope->pending_version = version;
    scope->pending_epoch = epoch;
    scope->pending_state = state;
    if (version == scope->version && scope->frame != NULL &&
        (state == CFC_APPLY_APPLIED || state == CFC_APPLY_REVERTED)) {
        scope->is_active = true;
        scope->is_reverted = scope->is_reverted || state == CFC_APPLY_REVERTED;
        cfc_receiver_rename(r, scope);
    }
    return CONFCAST_OK;
}

int
cfc_receiver_served(struct cfc_receiver *r, uint32_t idx, int code, const struct cfc_now *now)
{
    struct cfc_scope_rx *scope = idx < r->scope_count ? r->scopes[idx] : NULL;
    struct cfc_entry *pending;

    r->now = *now;
    if (scope == NULL) {
        return CONFCAST_ERR_RANGE;
    }
    pending = scope->pending;
    if (pending == NULL) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    scope->pending = NULL;
    if (code == CONFCAST_OK) {
        struct cfc_entry *before = scope->serving;

        scope->serving = pending;
        scope->serving_version = scope->pending_version;
        scope->serving_epoch = scope->pending_epoch;
        scope->serving_state = scope->pending_state;
        if (before != NULL) {
            cfc_content_set_release(&r->contents, before, CFC_NEED_KEEP);
        }
    } else {
        cfc_receiver_count(r, code);
        if (scope->pending_version == scope->version) {
            reject(scope, &pending->id, code);
        }
        cfc_content_set_release(&r->contents, pending, CFC_NEED_KEEP);
    }
    cfc_receiver_queue_scope(r, scope);
    return CONFCAST_OK;
}

int
cfc_receiver_durable(struct cfc_receiver *r, uint32_t idx, uint64_t version,
                     const struct cfc_now *now)
{
    struct cfc_scope_rx *scope = idx < r->scope_count ? r->scopes[idx] : NULL;

    r->now = *now;
    if (scope == NULL) {
        return CONFCAST_ERR_RANGE;
    }
    if (version > scope->version) {
        return CONFCAST_ERR_INVALID;
    }
    if (version > scope->durable) {
        scope->durable = version;
        cfc_receiver_queue_scope(r, scope);
    }
    return CONFCAST_OK;
}
