#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/sender_share.h"
#include "protocol/session/sender_state.h"
#include "protocol/wire/loss.h"
#include "protocol/wire/report.h"

static int
accept(struct cfc_sender *s, const struct cfc_consumer_session *session,
       const struct cfc_hello *hello, const struct cfc_key *credential_key)
{
    struct cfc_welcome welcome = {
        .kind = CFC_WELCOME_ACCEPT, .session = session->id, .observed = session->address};

    memcpy(welcome.nonce, hello->nonce, CFC_NONCE_SIZE);
    cfc_roster_engine_nonce(&s->roster, session, welcome.token);
    return cfc_link_tx_welcome(&s->link, &welcome, credential_key) ? CONFCAST_OK
                                                                   : CONFCAST_ERR_LIMIT;
}

/* Tells the consumer why it gets no session; returns the reason. */
static int
refuse(struct cfc_sender *s, const struct cfc_hello *hello, const struct cfc_key *credential_key,
       const struct cfc_address *from, int reason)
{
    struct cfc_welcome welcome = {
        .kind = CFC_WELCOME_REFUSE, .observed = *from, .refusal = (uint16_t)-reason};

    memcpy(welcome.nonce, hello->nonce, CFC_NONCE_SIZE);
    cfc_link_tx_welcome(&s->link, &welcome, credential_key);
    return reason;
}

static int
challenge(struct cfc_sender *s, const struct cfc_hello *hello, const struct cfc_address *from,
          uint64_t now_ns)
{
    struct cfc_welcome welcome = {.kind = CFC_WELCOME_CHALLENGE, .observed = *from};

    memcpy(welcome.nonce, hello->nonce, CFC_NONCE_SIZE);
    cfc_link_tx_make_cookie(&s->link, from, hello->consumer_key, now_ns, welcome.token);
    return cfc_link_tx_welcome(&s->link, &welcome, NULL) ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

static int
push_upcall(struct cfc_sender *s, enum cfc_upcall_type type, const char *id, size_t id_size,
            const struct cfc_address *from, const struct cfc_frame *frame)
{
    struct cfc_upcall upcall = {.type = type,
                                .id = id,
                                .id_size = id_size,
                                .address = *from,
                                .frame = frame->bytes,
                                .frame_size = frame->size,
                                .slot = CFC_SENDER_NO_SLOT};

    return cfc_upcall_queue_push(&s->upcalls, &upcall);
}

static int
on_hello(struct cfc_sender *s, const struct cfc_frame *frame, const struct cfc_address *from,
         uint64_t now_ns)
{
    const struct cfc_consumer_session *session;
    struct cfc_hello hello;
    struct cfc_key key;
    uint32_t slot;
    int code = cfc_hello_decode(frame, s->sha, &hello);

    if (code != CONFCAST_OK) {
        return code;
    }
    if (!cfc_link_tx_may_answer(&s->link, from, now_ns)) {
        return CONFCAST_ERR_LIMIT;
    }
    if (!cfc_link_tx_is_cookie(&s->link, from, hello.consumer_key, now_ns, hello.cookie)) {
        return challenge(s, &hello, from, now_ns);
    }
    cfc_credential_key(&s->config.fleet_key, CFC_DOMAIN_CRED_SESSION, hello.id, hello.id_size,
                       &key);
    if (cfc_hello_check(frame, &key) != CONFCAST_OK) {
        return refuse(s, &hello, &key, from, CONFCAST_ERR_MAC);
    }
    if (cfc_roster_find_hello(&s->roster, &hello, from, &session) != CFC_SLOT_NONE) {
        return accept(s, session, &hello, &key);
    }
    code = cfc_roster_check(&s->roster, &hello, from, now_ns);
    if (code != CONFCAST_OK) {
        s->stats.identities_refused += code == CONFCAST_ERR_EXISTS;
        return refuse(s, &hello, &key, from, code);
    }
    code = push_upcall(s, CFC_UPCALL_CONSUMER, hello.id, hello.id_size, from, frame);
    if (code != CONFCAST_OK) {
        return code;
    }
    slot = cfc_roster_admit(&s->roster, &hello, &key, from, now_ns);
    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_fleet_loss_forget(&s->loss, slot);
    s->stats.consumers = s->roster.known.count;
    s->stats.consumers_evicted = s->roster.evicted;
    return accept(s, s->roster.consumers[slot].pending, &hello, &key);
}

/* One small answer to one entry of a NACK, so never larger than the NACK; to a crowd that lacks a
 * head which there is not, one to all. */
static void
say_gone(struct cfc_sender *s, uint32_t slot, const struct cfc_nack_entry *entry, uint64_t now_ns)
{
    struct cfc_consumer *c = &s->roster.consumers[slot];
    struct cfc_gone gone = {.key = entry->key, .want = entry->want};

    if (entry->want == CFC_WANT_HEAD && cfc_head_tx_find(&s->heads, entry->key) == CFC_SLOT_NONE &&
        cfc_gone_tx_covers(&s->gone, entry->key, slot, now_ns)) {
        return;
    }
    if (entry->want == CFC_WANT_PAGE || entry->want == CFC_WANT_SYMBOLS) {
        gone.coding = entry->coding;
        gone.index = entry->index;
    }
    if (cfc_roster_pay_repair(&s->roster, c, CFC_GONE_SIZE, now_ns)) {
        cfc_link_tx_gone(&s->link, &gone, &c->current.address);
    }
}

/* Takes what an entry asks a helper for from its consumer's budget, which is one for all helpers.
 * What is not paid for is left out.  False: nothing is. */
static bool
pay_for(struct cfc_sender *s, struct cfc_consumer *c, const struct cfc_repair_target *target,
        struct cfc_nack_entry *entry, uint64_t now_ns)
{
    uint32_t count = target->is_any ? target->count : (uint32_t)__builtin_popcountll(target->mask);
    uint32_t paid = 0;

    while (paid < count && cfc_roster_pay_repair(&s->roster, c, target->part_size, now_ns)) {
        paid++;
    }
    if (entry->want == CFC_WANT_SYMBOLS && paid < count) {
        entry->mask = target->mask;
        while (__builtin_popcountll(entry->mask) > (int)paid) {
            entry->mask &= ~(UINT64_C(1) << (63 - __builtin_clzll(entry->mask)));
        }
        entry->count = (uint16_t)paid;
    }
    /* A content's frames, one per coding, are no part of an entry: all of them, or none. */
    return entry->want == CFC_WANT_CONTENT ? paid == count : paid > 0;
}

/* An entry that wants something of a content, which a helper sends. */
static int
ask_helper(struct cfc_sender *s, uint32_t slot, const struct cfc_nack_entry *entry, uint64_t now_ns)
{
    const struct cfc_share_hooks *share = s->config.share;
    struct cfc_consumer *c = &s->roster.consumers[slot];
    struct cfc_repair_target target;
    int code = cfc_repair_resolve(&s->repair.stock, c, entry, &target);
    struct cfc_share_ask ask = {.consumer = slot,
                                .session = c->current.id,
                                .consumer_key = c->key,
                                .groups = c->groups,
                                .address = c->current.address,
                                .entry = *entry};

    if (code != CONFCAST_OK) {
        return code;
    }
    if (target.is_any ? target.count == 0 : target.mask == 0) {
        s->stats.nack_entries_suppressed++; /* all of it is on its way */
        return CONFCAST_OK;
    }
    if (!pay_for(s, c, &target, &ask.entry, now_ns)) {
        return CONFCAST_ERR_LIMIT;
    }
    return share->ask(share->ctx, &ask) ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

static int
ask(struct cfc_sender *s, uint32_t slot, const struct cfc_nack_entry *entry, uint64_t now_ns)
{
    bool is_content = entry->want == CFC_WANT_CONTENT || entry->want == CFC_WANT_PAGE ||
                      entry->want == CFC_WANT_SYMBOLS;

    return is_content && s->config.share != NULL ? ask_helper(s, slot, entry, now_ns)
                                                 : cfc_repair_ask(&s->repair, slot, entry, now_ns);
}

static int
on_nack(struct cfc_sender *s, const struct cfc_frame *frame, const struct cfc_address *from,
        uint64_t now_ns)
{
    struct cfc_nack nack;
    uint32_t slot;
    int result = CONFCAST_OK;
    int code = cfc_nack_decode(frame, &nack);

    if (code == CONFCAST_OK) {
        code = cfc_roster_open(&s->roster, frame, from, now_ns, &slot);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    s->stats.nacks++;
    s->stats.nack_entries += nack.entry_count;
    for (uint32_t i = 0; i < nack.entry_count; i++) {
        struct cfc_nack_entry entry;

        cfc_nack_entry_at(&nack, i, &entry);
        code = ask(s, slot, &entry, now_ns);
        if (code == CONFCAST_ERR_GONE) {
            say_gone(s, slot, &entry, now_ns);
        } else if (result == CONFCAST_OK) {
            result = code;
        }
    }
    return result;
}

/* The groups that its scopes are sent to.  The first report that serves a head ends what is
 * measured of it. */
static uint32_t
scan_report(struct cfc_sender *s, uint32_t slot, const struct cfc_report *report, uint64_t now_ns)
{
    uint32_t groups = 0;
    uint64_t time_ns;

    for (uint32_t i = 0; i < report->entry_count; i++) {
        struct cfc_report_entry entry;

        cfc_report_entry_at(report, i, &entry);
        groups |= UINT32_C(1) << entry.scope_id % s->config.group_count;
        time_ns = cfc_head_tx_note_report(&s->heads, slot, &entry, now_ns);
        if (time_ns != 0) {
            cfc_latency_note(&s->stats.ack_latency, time_ns);
        }
    }
    return groups;
}

static int
on_report(struct cfc_sender *s, const struct cfc_frame *frame, const struct cfc_address *from,
          uint64_t now_ns)
{
    struct cfc_report report;
    struct cfc_consumer *c;
    uint32_t slot;
    int code = cfc_report_decode(frame, &report);

    if (code == CONFCAST_OK && report.part_count > CFC_REPORT_PARTS_MAX) {
        code = CONFCAST_ERR_LIMIT;
    }
    if (code == CONFCAST_OK) {
        code = cfc_roster_open(&s->roster, frame, from, now_ns, &slot);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    c = &s->roster.consumers[slot];
    if (report.incarnation != c->current.incarnation) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    if (!cfc_roster_pay_report(&s->roster, c, now_ns)) {
        return CONFCAST_ERR_LIMIT;
    }
    if (report.report_seq < c->report_seq) {
        return CONFCAST_OK; /* overtaken by a newer one */
    }
    c->groups |= scan_report(s, slot, &report, now_ns);
    code = push_upcall(s, CFC_UPCALL_REPORT, cfc_roster_id(c), c->id_size, from, frame);
    if (code != CONFCAST_OK) {
        s->stats.reports_refused++;
        cfc_roster_refuse_report(&s->roster, slot, &report);
        return code;
    }
    s->stats.reports++;
    if (s->roster.echoes.count == 0) {
        s->echo_due_ns = now_ns + s->config.echo_ns;
    }
    cfc_roster_note_report(&s->roster, slot, &report);
    return CONFCAST_OK;
}

static void
advise(struct cfc_sender *s, const struct cfc_consumer *c)
{
    struct cfc_advice advice = {.boot_id = s->config.boot_id,
                                .kind = CFC_ADVICE_PULL,
                                .hold_s = s->config.advice_hold_s,
                                .session = c->current.id,
                                .seq = ++s->advice_seq};

    s->stats.advices_sent +=
        cfc_link_tx_advice(&s->link, &advice, &c->current.key, &c->current.address);
}

static int
on_loss(struct cfc_sender *s, const struct cfc_frame *frame, const struct cfc_address *from,
        uint64_t now_ns)
{
    struct cfc_consumer *c;
    struct cfc_loss loss;
    uint32_t slot;
    int code = cfc_loss_decode(frame, &loss);

    if (code == CONFCAST_OK) {
        code = cfc_roster_open(&s->roster, frame, from, now_ns, &slot);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    c = &s->roster.consumers[slot];
    if (!cfc_roster_pay_report(&s->roster, c, now_ns)) {
        return CONFCAST_ERR_LIMIT;
    }
    s->stats.losses++;
    if (cfc_fleet_loss_note(&s->loss, slot, &loss)) {
        advise(s, c);
    }
    cfc_sender_fit_pace(s, now_ns);
    return CONFCAST_OK;
}

static int
take_frame(struct cfc_sender *s, const uint8_t *bytes, size_t size, const struct cfc_address *from,
           uint64_t now_ns)
{
    struct cfc_frame frame;
    int code = cfc_frame_open(bytes, size, &frame);

    if (code != CONFCAST_OK) {
        return code == CONFCAST_ERR_AGAIN ? CONFCAST_OK : code;
    }
    switch (frame.type) {
    case CFC_FRAME_HELLO:
        return on_hello(s, &frame, from, now_ns);
    case CFC_FRAME_NACK:
        return on_nack(s, &frame, from, now_ns);
    case CFC_FRAME_REPORT:
        return on_report(s, &frame, from, now_ns);
    case CFC_FRAME_LOSS:
        return on_loss(s, &frame, from, now_ns);
    default:
        return CONFCAST_ERR_WRONG_STREAM;
    }
}

int
cfc_sender_on_frame(struct cfc_sender *s, const uint8_t *frame, size_t size,
                    const struct cfc_address *from, const struct cfc_now *now)
{
    int code = take_frame(s, frame, size, from, now->mono_ns);

    s->calm_until_ns = 0;
    s->stats.frames_in++;
    if (code != CONFCAST_OK) {
        assert(-code > 0 && (size_t)-code < sizeof(s->stats.errors) / sizeof(s->stats.errors[0]));
        s->stats.errors[-code]++;
    }
    return code;
}
