/* Frames that a receiver sends: HELLO, NACK, LOSS, REPORT. */
#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "protocol/session/receiver_state.h"

enum {
    NACK_ENTRIES_OFFSET = 24
};

/* The accepted head with the highest version: what a control plane must not fall behind. */
static const struct cfc_scope_rx *
highest_head(const struct cfc_receiver *r)
{
    const struct cfc_scope_rx *highest = NULL;

    for (uint32_t i = 0; i < r->scope_count; i++) {
        const struct cfc_scope_rx *scope = r->scopes[i];

        if (scope->frame != NULL && (highest == NULL || scope->version > highest->version)) {
            highest = scope;
        }
    }
    return highest;
}

static size_t
list_held(const struct cfc_receiver *r, uint8_t keys[CFC_RECEIVER_HOLDS_MAX * 8])
{
    size_t count = 0;

    for (uint32_t i = 0; i < r->contents.bucket_count; i++) {
        const struct cfc_entry *entry = r->contents.buckets[i];

        for (; entry != NULL && count < CFC_RECEIVER_HOLDS_MAX; entry = entry->next_in_bucket) {
            if (entry->state == CFC_ENTRY_HELD) {
                cfc_put_u64(keys + 8 * count++, cfc_digest_key(&entry->id));
            }
        }
    }
    return count;
}

int
cfc_receiver_write_hello(struct cfc_receiver *r, uint8_t *frame, size_t capacity, size_t *size)
{
    const struct cfc_scope_rx *highest = highest_head(r);
    uint8_t keys[CFC_RECEIVER_HOLDS_MAX * 8];
    struct cfc_hello hello;
    int code;

    memset(&hello, 0, sizeof(hello));
    hello.consumer_key = r->consumer_key;
    hello.incarnation = r->config.incarnation;
    memcpy(hello.nonce, r->link.nonce, sizeof(hello.nonce));
    memcpy(hello.cookie, r->link.cookie, sizeof(hello.cookie));
    hello.id = r->id;
    hello.id_size = (uint8_t)r->config.id_size;
    hello.label_count = (uint8_t)r->config.label_count;
    if (r->config.label_count > 0) {
        memcpy(hello.labels, r->config.labels, r->config.label_count * sizeof(hello.labels[0]));
    }
    if (highest != NULL) {
        hello.head_proof = highest->frame;
        hello.head_proof_size = highest->frame_size;
    }
    hello.holds = keys;
    hello.hold_count = list_held(r, keys);
    hello.capabilities = CFC_CAPABILITY_DELTAS;
    code = cfc_hello_encode(&hello, &r->config.session_key, frame, capacity, size);
    if (code == CONFCAST_ERR_LIMIT) {
        /* What helps only is left out when it does not fit. */
        hello.hold_count = 0;
        code = cfc_hello_encode(&hello, &r->config.session_key, frame, capacity, size);
    }
    if (code == CONFCAST_ERR_LIMIT) {
        hello.head_proof = NULL;
        hello.head_proof_size = 0;
        code = cfc_hello_encode(&hello, &r->config.session_key, frame, capacity, size);
    }
    return code;
}

static uint64_t
entry_due(const struct cfc_entry *entry)
{
    uint64_t due_ns = CFC_NEVER;

    if (entry->state == CFC_ENTRY_ABSENT) {
        return entry->is_deferred ? CFC_NEVER : entry->ask.at_ns;
    }
    if (entry->state == CFC_ENTRY_COLLECTING) {
        due_ns = cfc_content_rx_due(entry->rx);
        if (entry->ask.at_ns < due_ns) {
            due_ns = entry->ask.at_ns;
        }
        if (entry->unproved != NULL && entry->prove_at_ns > due_ns) {
            due_ns = entry->prove_at_ns;
        }
    }
    return due_ns;
}

static uint64_t
scopes_due(const struct cfc_receiver *r)
{
    uint64_t due_ns = CFC_NEVER;

    for (uint32_t i = 0; i < r->scope_count; i++) {
        const struct cfc_scope_rx *scope = r->scopes[i];

        due_ns = scope->head_ask.at_ns < due_ns ? scope->head_ask.at_ns : due_ns;
        due_ns = scope->fresh_ask.at_ns < due_ns ? scope->fresh_ask.at_ns : due_ns;
    }
    return due_ns;
}

/* Who is advised to pull, and does, leaves the engine in peace as long as pulling works. */
static uint64_t
contents_due(const struct cfc_receiver *r)
{
    uint64_t due_ns = CFC_NEVER;

    for (const struct cfc_entry *at = r->contents.active; at != NULL; at = at->active_next) {
        uint64_t entry_ns = entry_due(at);

        due_ns = entry_ns < due_ns ? entry_ns : due_ns;
    }
    if (due_ns != CFC_NEVER && r->pull_mode != CFC_PULL_OFF && r->is_pull_working &&
        r->now.mono_ns < r->advised_until_ns) {
        due_ns = (due_ns > r->pulled_ns ? due_ns : r->pulled_ns) + CFC_RECEIVER_PULL_GRACE_NS;
    }
    return due_ns;
}

/* When the first thing is to be asked for, the random wait not counted. */
static uint64_t
first_due(const struct cfc_receiver *r)
{
    uint64_t scopes_ns = scopes_due(r);
    uint64_t contents_ns = contents_due(r);

    return scopes_ns < contents_ns ? scopes_ns : contents_ns;
}

uint64_t
cfc_receiver_nack_due(const struct cfc_receiver *r)
{
    return cfc_nack_wait_due(&r->nack_wait, first_due(r), r->link.windows.nack_us);
}

static uint32_t
ask_scopes(struct cfc_receiver *r, uint64_t now_ns, struct cfc_nack_entry *entries,
           uint32_t capacity)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < r->scope_count; i++) {
        struct cfc_scope_rx *scope = r->scopes[i];

        if (scope->head_ask.at_ns <= now_ns && count < capacity) {
            uint64_t lowest = scope->published > scope->version ? scope->published
                              : scope->version > 0              ? scope->version
                                                                : 1;

            entries[count++] =
                (struct cfc_nack_entry){.want = CFC_WANT_HEAD, .key = scope->id, .mask = lowest};
            cfc_ask_sent_first(&scope->head_ask, r->timing.first_ns, r->timing.retry_ns,
                               r->timing.doublings, now_ns);
        }
        if (scope->fresh_ask.at_ns <= now_ns && count < capacity) {
            entries[count++] = (struct cfc_nack_entry){
                .want = CFC_WANT_FRESH, .key = scope->shard, .mask = scope->id};
            cfc_ask_sent(&scope->fresh_ask, r->config.fresh_period_ns, CFC_ASK_DOUBLINGS_MIN,
                         now_ns);
        }
    }
    return count;
}

static uint32_t
ask_contents(struct cfc_receiver *r, enum cfc_need need, uint64_t now_ns,
             struct cfc_nack_entry *entries, uint32_t capacity)
{
    struct cfc_entry *next;
    uint32_t count = 0;

    for (struct cfc_entry *at = r->contents.active; at != NULL; at = next) {
        int code;

        next = at->active_next;
        if (cfc_entry_need(at) != need || entry_due(at) > now_ns) {
            continue;
        }
        code = cfc_receiver_prove(r, at);
        if (cfc_receiver_is_unproved(code)) {
            at->prove_at_ns = r->now.mono_ns + r->timing.retry_ns;
        }
        if (code != CONFCAST_OK) {
            continue;
        }
        if (at->ask.at_ns <= now_ns && count < capacity) {
            entries[count++] =
                (struct cfc_nack_entry){.want = CFC_WANT_CONTENT, .key = cfc_digest_key(&at->id)};
            cfc_ask_sent_first(&at->ask, r->timing.first_ns, r->timing.retry_ns,
                               r->timing.doublings, now_ns);
        }
        if (at->state == CFC_ENTRY_COLLECTING) {
            count += cfc_content_rx_ask(at->rx, now_ns, entries + count, capacity - count);
            cfc_receiver_note_loss(r, at);
        }
    }
    return count;
}

/* What was due then is asked for: what came since may still wait to be given. */
static uint64_t
asking_ns(const struct cfc_receiver *r)
{
    uint64_t now_ns = r->now.mono_ns;

    if (r->heard_ns >= now_ns) {
        return now_ns;
    }
    return now_ns - r->heard_ns < CFC_RECEIVER_BEHIND_MAX_NS ? r->heard_ns
                                                             : now_ns - CFC_RECEIVER_BEHIND_MAX_NS;
}

/* All that is due, in as few frames as it fits.  AGAIN when nothing is. */
static int
write_nack(struct cfc_receiver *r, uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX];
    uint32_t max = (uint32_t)((r->config.frame_size_max - NACK_ENTRIES_OFFSET - CFC_TRAILER_SIZE) /
                              CFC_NACK_ENTRY_SIZE);
    uint64_t now_ns = asking_ns(r);
    struct cfc_writer w;
    bool are_contents_due;
    uint32_t count;
    int code;

    max = max < CFC_NACK_ENTRIES_MAX ? max : CFC_NACK_ENTRIES_MAX;
    if (cfc_receiver_nack_due(r) > now_ns) {
        return CONFCAST_ERR_AGAIN;
    }
    are_contents_due = contents_due(r) <= now_ns;
    count = ask_scopes(r, now_ns, entries, max);
    for (enum cfc_need need = CFC_NEED_TARGET; need < CFC_NEED_KEEP && are_contents_due; need++) {
        count += ask_contents(r, need, now_ns, entries + count, max - count);
    }
    cfc_nack_wait_sent(&r->nack_wait, first_due(r) <= now_ns);
    if (count == 0) {
        return CONFCAST_ERR_AGAIN;
    }
    w = cfc_writer_of(frame, capacity);
    code = cfc_nack_write(&w, r->consumer_key, entries, (uint16_t)count);
    if (code == CONFCAST_OK) {
        code = cfc_trailer_seal(&w, r->link.session, ++r->link.seq, &r->link.key, &r->link.observed,
                                size);
    }
    if (code == CONFCAST_OK) {
        r->stats.nacks++;
        r->stats.nack_entries += count;
    }
    return code;
}

/* What multicast lost, when it is due. */
static int
write_loss(struct cfc_receiver *r, uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_loss loss = {.consumer_key = r->consumer_key};
    struct cfc_writer w = cfc_writer_of(frame, capacity);
    int code;

    if (!cfc_loss_meter_poll(&r->loss, r->now.mono_ns, &loss)) {
        return CONFCAST_ERR_AGAIN;
    }
    loss.flags = r->pull_mode != CFC_PULL_OFF ? CFC_LOSS_FLAG_PULLING : 0;
    code = cfc_loss_write(&w, &loss);
    if (code == CONFCAST_OK) {
        code = cfc_trailer_seal(&w, r->link.session, ++r->link.seq, &r->link.key, &r->link.observed,
                                size);
    }
    r->stats.losses += code == CONFCAST_OK;
    return code;
}

static void
fill_clock(const struct cfc_receiver *r, struct cfc_report *report)
{
    for (uint32_t i = 0; i < r->shard_count; i++) {
        if (r->shards[i].has_period) {
            report->clock_error_ns = r->shards[i].clock_error_ns;
            /* An engine repeats FRESH for a period at most before the next one comes. */
            report->clock_bound_us = (uint32_t)(r->config.fresh_period_ns / CFC_US);
            return;
        }
    }
}

/* Where no session is there is nothing to seal with; the tag protects what is said. */
static int
add_empty_trailer(struct cfc_writer *w, size_t *size)
{
    cfc_write_zero(w, CFC_TRAILER_SIZE);
    return cfc_frame_finish(w, size);
}

int
cfc_receiver_write_report(struct cfc_receiver *r, uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_report_entry entries[CFC_REPORT_ENTRIES_MAX];
    uint32_t per_part =
        (uint32_t)((r->config.frame_size_max - CFC_REPORT_ENTRIES_OFFSET - CFC_TRAILER_SIZE) /
                   CFC_REPORT_ENTRY_SIZE);
    uint32_t part, part_count, first, count;
    struct cfc_report report;
    struct cfc_writer w;
    int code;

    if (r->scope_count == 0 || !cfc_report_rx_begin(&r->report, r->now.mono_ns, &part)) {
        return CONFCAST_ERR_AGAIN;
    }
    per_part = per_part < CFC_REPORT_ENTRIES_MAX ? per_part : CFC_REPORT_ENTRIES_MAX;
    part_count = (r->scope_count + per_part - 1) / per_part;
    first = part * per_part;
    count = r->scope_count - first < per_part ? r->scope_count - first : per_part;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = r->scopes[first + i]->reported;
    }
    memset(&report, 0, sizeof(report));
    report.consumer_key = r->consumer_key;
    report.incarnation = r->config.incarnation;
    report.report_seq = r->report.seq;
    report.part = (uint8_t)part;
    report.part_count = (uint8_t)part_count;
    report.entry_count = (uint16_t)count;
    fill_clock(r, &report);
    w = cfc_writer_of(frame, capacity);
    code = cfc_report_write(&w, &report, entries, r->id, r->config.id_size, &r->config.report_key);
    if (code == CONFCAST_OK && r->pull_mode != CFC_PULL_OFF) {
        code = add_empty_trailer(&w, size);
    } else if (code == CONFCAST_OK) {
        code = cfc_trailer_seal(&w, r->link.session, ++r->link.seq, &r->link.key, &r->link.observed,
                                size);
    }
    if (cfc_report_rx_sent(&r->report, part_count, r->now.mono_ns) &&
        r->pull_mode == CFC_PULL_OFF) {
        cfc_link_rx_renew(&r->link, r->now.mono_ns);
    }
    if (code == CONFCAST_OK) {
        r->stats.reports++;
    }
    return code;
}

int
cfc_receiver_poll_frame(struct cfc_receiver *r, const struct cfc_now *now, uint8_t *frame,
                        size_t capacity, size_t *size)
{
    int code = CONFCAST_ERR_AGAIN;

    assert(capacity >= r->config.frame_size_max);
    r->now = *now;
    cfc_link_rx_tick(&r->link, now->mono_ns);
    if (cfc_link_rx_begin_hello(&r->link, now->mono_ns)) {
        code = cfc_receiver_write_hello(r, frame, r->config.frame_size_max, size);
        if (code == CONFCAST_OK) {
            r->stats.hellos++;
        }
        return code;
    }
    if (!r->link.has_session) {
        return CONFCAST_ERR_AGAIN;
    }
    code = write_nack(r, frame, r->config.frame_size_max, size);
    if (code == CONFCAST_ERR_AGAIN) {
        code = write_loss(r, frame, r->config.frame_size_max, size);
    }
    if (code == CONFCAST_ERR_AGAIN && r->pull_mode == CFC_PULL_OFF) {
        code = cfc_receiver_write_report(r, frame, r->config.frame_size_max, size);
    }
    return code;
}
