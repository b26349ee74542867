/* What an owner needs that pulls: what a scope lacks, and a HELLO and REPORTs without an engine. */
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/receiver_state.h"
#include "protocol/wire/loss.h"

void
cfc_receiver_set_pull(struct cfc_receiver *r, enum cfc_pull_mode mode, uint64_t fresh_period_ns,
                      const struct cfc_now *now)
{
    bool was_off = r->pull_mode == CFC_PULL_OFF;

    r->now = *now;
    r->pull_mode = mode;
    r->config.fresh_period_ns = fresh_period_ns > r->engine_fresh_period_ns && mode != CFC_PULL_OFF
                                    ? fresh_period_ns
                                    : r->engine_fresh_period_ns;
    r->is_tick_due = true;
    if (was_off != (mode == CFC_PULL_OFF)) {
        r->is_pull_working = false;
        /* Whoever takes reports now has not heard them. */
        cfc_report_rx_again(&r->report, true, 0, now->mono_ns);
    }
}

int
cfc_receiver_on_pulled(struct cfc_receiver *r, const uint8_t *frame, size_t size,
                       const struct cfc_now *now)
{
    int code;

    r->pulled_ns = now->mono_ns;
    r->is_pulled = true;
    code = cfc_receiver_on_frame(r, frame, size, now);
    r->is_pulled = false;
    return code;
}

void
cfc_receiver_pull_ended(struct cfc_receiver *r, bool has_worked, const struct cfc_now *now)
{
    r->now = *now;
    r->is_pull_working = has_worked;
    if (has_worked) {
        r->pulled_ns = now->mono_ns;
    }
}

static bool
is_on_its_way(const struct cfc_entry *entry)
{
    return cfc_entry_is_wanted(entry) && !entry->is_deferred &&
           (entry->state == CFC_ENTRY_ABSENT || entry->state == CFC_ENTRY_COLLECTING);
}

static void
add_held(struct cfc_receiver_need *need, const struct cfc_entry *entry)
{
    if (entry == NULL || entry->state != CFC_ENTRY_HELD || entry->is_no_base ||
        need->have_count == CFC_RECEIVER_HAVE_MAX) {
        return;
    }
    for (uint32_t i = 0; i < need->have_count; i++) {
        if (cfc_digest_equal(&need->have[i], &entry->id)) {
            return;
        }
    }
    need->have[need->have_count++] = entry->id;
}

int
cfc_receiver_need(const struct cfc_receiver *r, uint32_t idx, struct cfc_receiver_need *out)
{
    const struct cfc_scope_rx *scope;

    memset(out, 0, sizeof(*out));
    if (idx >= r->scope_count) {
        return CONFCAST_ERR_RANGE;
    }
    scope = r->scopes[idx];
    out->is_lacking = scope->published != 0 && cfc_ask_is_on(&scope->head_ask);
    add_held(out, scope->serving);
    for (uint32_t i = 0; i < scope->name_count; i++) {
        out->is_lacking = out->is_lacking || is_on_its_way(scope->names[i].entry);
        add_held(out, scope->names[i].entry);
    }
    out->after = out->is_lacking || scope->frame == NULL ? 0 : scope->version;
    return CONFCAST_OK;
}

bool
cfc_receiver_is_held_up(const struct cfc_receiver *r, uint32_t idx)
{
    struct cfc_receiver_need need;

    if (cfc_receiver_need(r, idx, &need) != CONFCAST_OK) {
        return false;
    }
    return need.is_lacking || cfc_receiver_freshness(r, r->scopes[idx]) != CFC_FRESHNESS_FRESH;
}

uint64_t
cfc_receiver_report_due(const struct cfc_receiver *r)
{
    return r->scope_count > 0 ? r->report.at_ns : CFC_NEVER;
}

int
cfc_receiver_poll_report(struct cfc_receiver *r, const struct cfc_now *now, uint8_t *frame,
                         size_t capacity, size_t *size, uint64_t *seq)
{
    int code;

    r->now = *now;
    code = cfc_receiver_write_report(r, frame, capacity, size);
    *seq = r->report.seq;
    return code;
}

void
cfc_receiver_report_taken(struct cfc_receiver *r, uint64_t seq, const struct cfc_now *now)
{
    r->now = *now;
    cfc_report_rx_echo(&r->report, seq, now->mono_ns);
}

void
cfc_receiver_report_again(struct cfc_receiver *r, const struct cfc_now *now)
{
    r->now = *now;
    cfc_report_rx_again(&r->report, true, 0, now->mono_ns);
}

int
cfc_receiver_on_advice(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    struct cfc_advice advice;
    int code = cfc_advice_decode(frame, &advice);

    if (code != CONFCAST_OK) {
        return code;
    }
    if (!r->link.has_session || advice.session != r->link.session) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    code = cfc_advice_check(frame, &r->link.key);
    if (code != CONFCAST_OK) {
        return code;
    }
    if (advice.seq <= r->advice_seq) {
        return CONFCAST_ERR_REPLAY;
    }
    r->advice_seq = advice.seq;
    r->advised_until_ns = r->now.mono_ns + advice.hold_s * CFC_S;
    r->stats.advices++;
    return CONFCAST_OK;
}

bool
cfc_receiver_is_pull_advised(const struct cfc_receiver *r, const struct cfc_now *now)
{
    return now->mono_ns < r->advised_until_ns;
}

uint16_t
cfc_receiver_loss(const struct cfc_receiver *r)
{
    return cfc_loss_meter_loss(&r->loss);
}
