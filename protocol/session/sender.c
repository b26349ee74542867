#include "protocol/session/sender.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/beacon_tx.h"
#include "protocol/session/content_tx.h"
#include "protocol/session/head_tx.h"
#include "protocol/session/link_tx.h"
#include "protocol/session/pacer.h"
#include "protocol/session/repair.h"
#include "protocol/session/roster.h"
#include "protocol/session/upcall_queue.h"

enum {
    CONSUMERS_MAX = 1 << 24,
    SCOPES_MAX = 1 << 22,
    CONTENTS_MAX = 1 << 20,
    /* One consumer takes at most this part of the repair rate. */
    CONSUMER_SHARE = 4,
};

struct shard {
    uint64_t epoch; /* 0: nobody has taken it yet */
    uint32_t fleet_size;
};

struct cfc_sender {
    struct cfc_sender_config config;
    struct cfc_sha256 *sha;
    struct shard shards[CFC_SENDER_SHARDS_MAX];
    struct cfc_content_tx contents;
    struct cfc_head_tx heads;
    struct cfc_beacon_tx beacons;
    struct cfc_roster roster;
    struct cfc_link_tx link;
    struct cfc_upcall_queue upcalls;
    struct cfc_repair_tx repair;
    struct cfc_pacer pacer; /* multicast bytes */
    uint64_t status_due_ns;
    bool is_repair_turn; /* repair and contents alternate when both have something to send */
    struct cfc_sender_stats stats;
};

void
cfc_sender_config_defaults(struct cfc_sender_config *config)
{
    memset(config, 0, sizeof(*config));
    config->group_count = CFC_GROUP_COUNT_MAX;
    config->frame_size_max = CFC_FRAME_SIZE_DEFAULT;
    config->rate_bytes = 62500000; /* 500 Mbit/s */
    config->burst_bytes = 64 * CFC_FRAME_SIZE_DEFAULT;
    config->consumers_max = 1 << 17;
    config->scopes_max = 1 << 14;
    config->contents_max = 1 << 12;
    config->gather_ns = CFC_MS;
    config->unicast_askers_max = 2;
    config->status_period_ns = 500 * CFC_MS;
    config->repair_rate_bytes = 31250000; /* 250 Mbit/s */
    config->windows = (struct cfc_windows){
        .hello_ms = 20, .nack_us = 1000, .report_ms = 5, .report_generation = 1};
}

static bool
is_valid(const struct cfc_sender_config *c)
{
    return c->alloc.alloc != NULL && c->alloc.free != NULL && c->group_count >= 1 &&
           c->group_count <= CFC_GROUP_COUNT_MAX && c->frame_size_max >= CFC_FRAME_SIZE_MIN &&
           c->frame_size_max <= CFC_FRAME_SIZE_MAX &&
           (c->rate_bytes == 0 || c->burst_bytes >= c->frame_size_max) &&
           c->rate_bytes <= CFC_PACER_RATE_MAX && c->repair_rate_bytes <= CFC_PACER_RATE_MAX &&
           c->consumers_max >= 1 && c->consumers_max <= CONSUMERS_MAX && c->scopes_max >= 1 &&
           c->scopes_max <= SCOPES_MAX && c->contents_max >= 1 && c->contents_max <= CONTENTS_MAX &&
           c->unicast_askers_max >= 1 && c->unicast_askers_max <= CFC_ASKERS_MAX &&
           c->status_period_ns >= 1;
}

static uint64_t
larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int
init_roster(struct cfc_sender *s)
{
    const struct cfc_sender_config *c = &s->config;
    struct cfc_roster_config roster = {
        .consumer_count_max = c->consumers_max,
        .repair_rate = c->repair_rate_bytes / CONSUMER_SHARE,
        .boot_id = c->boot_id,
        .nonce_key = c->cookie_key,
        .seed = c->seed,
    };

    if (roster.repair_rate == 0 && c->repair_rate_bytes > 0) {
        roster.repair_rate = 1;
    }
    roster.repair_burst =
        larger(CFC_BLOCK_SYMBOLS_MAX * c->frame_size_max, roster.repair_rate / 10);
    return cfc_roster_init(&s->roster, &roster, &c->alloc);
}

static int
init_repair(struct cfc_sender *s)
{
    const struct cfc_sender_config *c = &s->config;
    struct cfc_repair_config repair = {
        .gather_ns = c->gather_ns,
        .unicast_askers_max = c->unicast_askers_max,
        .frame_size_max = c->frame_size_max,
        .rate_bytes = c->repair_rate_bytes,
        .burst_bytes = larger(16 * c->frame_size_max, c->repair_rate_bytes / 100),
        .seed = c->seed,
    };

    s->repair.contents = &s->contents;
    s->repair.heads = &s->heads;
    s->repair.beacons = &s->beacons;
    s->repair.roster = &s->roster;
    s->repair.stats = &s->stats;
    return cfc_repair_init(&s->repair, &repair, &c->alloc);
}

static int
init_parts(struct cfc_sender *s)
{
    const struct cfc_sender_config *c = &s->config;
    int code;

    cfc_pacer_init(&s->pacer, c->rate_bytes, larger(c->burst_bytes, 1), 0);
    cfc_beacon_tx_init(&s->beacons, c->group_count, c->status_period_ns, &c->alloc);
    s->sha = cfc_sha256_new();
    if (s->sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    code =
        cfc_content_tx_init(&s->contents, c->contents_max, c->frame_size_max, c->seed, &c->alloc);
    if (code == CONFCAST_OK) {
        code =
            cfc_head_tx_init(&s->heads, c->scopes_max, c->group_count, s->sha, c->seed, &c->alloc);
    }
    if (code == CONFCAST_OK) {
        code = init_roster(s);
    }
    if (code == CONFCAST_OK) {
        code = cfc_link_tx_init(&s->link, c);
    }
    if (code == CONFCAST_OK) {
        code = cfc_upcall_queue_init(&s->upcalls, &c->alloc);
    }
    return code == CONFCAST_OK ? init_repair(s) : code;
}

int
cfc_sender_new(const struct cfc_sender_config *config, struct cfc_sender **out)
{
    struct cfc_sender *s;
    int code;

    if (!is_valid(config)) {
        return CONFCAST_ERR_INVALID;
    }
    s = cfc_alloc(&config->alloc, sizeof(*s));
    if (s == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(s, 0, sizeof(*s));
    s->config = *config;
    code = init_parts(s);
    if (code != CONFCAST_OK) {
        cfc_sender_free(s);
        return code;
    }
    *out = s;
    return CONFCAST_OK;
}

void
cfc_sender_free(struct cfc_sender *s)
{
    struct cfc_alloc alloc;

    if (s == NULL) {
        return;
    }
    alloc = s->config.alloc;
    cfc_repair_free(&s->repair, &alloc);
    cfc_upcall_queue_free(&s->upcalls, &alloc);
    cfc_link_tx_free(&s->link, &alloc);
    cfc_roster_free(&s->roster, &alloc);
    cfc_head_tx_free(&s->heads);
    cfc_content_tx_free(&s->contents);
    cfc_beacon_tx_free(&s->beacons);
    cfc_sha256_free(s->sha);
    cfc_free(&alloc, s);
}

static uint32_t
fleet_size(const struct cfc_sender *s)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < CFC_SENDER_SHARDS_MAX; i++) {
        if (s->shards[i].fleet_size > size) {
            size = s->shards[i].fleet_size;
        }
    }
    return size;
}

static void
fit_windows(struct cfc_sender *s)
{
    cfc_link_tx_fit_windows(&s->link, (uint32_t)larger(fleet_size(s), s->roster.known.count));
}

int
cfc_sender_set_shard(struct cfc_sender *s, uint32_t shard, uint64_t epoch, uint32_t size)
{
    if (shard >= CFC_SENDER_SHARDS_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (epoch < s->shards[shard].epoch) {
        return CONFCAST_ERR_FENCED;
    }
    s->shards[shard] = (struct shard){.epoch = epoch, .fleet_size = size};
    fit_windows(s);
    return CONFCAST_OK;
}

/* The fence: what comes under a higher epoch than the one announced raises it. */
static int
pass_fence(struct cfc_sender *s, uint32_t shard, uint64_t epoch)
{
    if (shard >= CFC_SENDER_SHARDS_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (epoch < s->shards[shard].epoch) {
        return CONFCAST_ERR_FENCED;
    }
    s->shards[shard].epoch = epoch;
    return CONFCAST_OK;
}

int
cfc_sender_put_content(struct cfc_sender *s, const uint8_t *frame, size_t size, const uint8_t *tree,
                       size_t tree_size, const uint8_t *coded, bool is_pull_only, uint32_t *slot)
{
    return cfc_content_tx_put(&s->contents, frame, size, tree, tree_size, coded, is_pull_only,
                              slot);
}

int
cfc_sender_drop_content(struct cfc_sender *s, const struct cfc_digest *content)
{
    return cfc_content_tx_drop(&s->contents, content);
}

/* Opens a frame that must be of one type. */
static int
open_frame(const struct cfc_sender *s, const uint8_t *bytes, size_t size, uint8_t type,
           struct cfc_frame *out)
{
    int code = cfc_frame_open(bytes, size, out);

    if (code == CONFCAST_ERR_AGAIN || (code == CONFCAST_OK && out->type != type)) {
        return CONFCAST_ERR_UNSUPPORTED;
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    return size <= s->config.frame_size_max ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

static bool
is_held(const struct cfc_sender *s, const struct cfc_head *head, const struct cfc_digest *content)
{
    const struct cfc_inline_content *inlined = &head->inlined;

    return cfc_digest_is_zero(content) || cfc_content_tx_holds(&s->contents, content) ||
           (inlined->is_present && cfc_digest_equal(&head->arms[inlined->arm].content, content));
}

int
cfc_sender_put_head(struct cfc_sender *s, const uint8_t *bytes, size_t size,
                    const struct cfc_now *now)
{
    struct cfc_frame frame;
    struct cfc_head head;
    uint32_t group;
    int code = open_frame(s, bytes, size, CFC_FRAME_HEAD, &frame);

    if (code == CONFCAST_OK) {
        code = cfc_head_decode(&frame, s->sha, &head);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    for (uint32_t i = 0; i < head.arm_count; i++) {
        if (!is_held(s, &head, &head.arms[i].content) ||
            !is_held(s, &head, &head.arms[i].fallback)) {
            return CONFCAST_ERR_NOT_FOUND;
        }
    }
    code = pass_fence(s, head.shard, head.epoch);
    if (code == CONFCAST_OK) {
        code = cfc_head_tx_put(&s->heads, &frame, &head, now->mono_ns);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    group = (uint32_t)(frame.key % s->config.group_count);
    for (uint32_t i = 0; i < head.arm_count; i++) {
        cfc_content_tx_want(&s->contents, &head.arms[i].content, group);
        cfc_content_tx_want(&s->contents, &head.arms[i].fallback, group);
    }
    return CONFCAST_OK;
}

int
cfc_sender_drop_head(struct cfc_sender *s, uint64_t scope_id)
{
    return cfc_head_tx_drop(&s->heads, scope_id);
}

int
cfc_sender_put_fresh(struct cfc_sender *s, const uint8_t *bytes, size_t size, bool is_changed,
                     const struct cfc_now *now)
{
    struct cfc_frame frame;
    struct cfc_fresh fresh;
    int code = open_frame(s, bytes, size, CFC_FRAME_FRESH, &frame);

    (void)now;
    if (code == CONFCAST_OK) {
        code = cfc_fresh_decode(&frame, &fresh);
    }
    if (code == CONFCAST_OK) {
        code = pass_fence(s, fresh.shard, fresh.epoch);
    }
    if (code == CONFCAST_OK) {
        code = cfc_beacon_tx_put(&s->beacons, &frame, &fresh, is_changed);
    }
    if (code == CONFCAST_OK) {
        s->shards[fresh.shard].fleet_size = fresh.fleet_size;
    }
    return code;
}

void
cfc_sender_ask_reports(struct cfc_sender *s, const struct cfc_now *now)
{
    s->link.windows.report_generation++;
    cfc_roster_forget_reports(&s->roster);
    s->status_due_ns = now->mono_ns;
}

/* -- Frames of consumers */

static int
accept(struct cfc_sender *s, const struct cfc_consumer_session *session,
       const struct cfc_key *credential_key)
{
    struct cfc_welcome welcome = {
        .kind = CFC_WELCOME_ACCEPT, .session = session->id, .observed = session->address};

    memcpy(welcome.nonce, session->hello_nonce, CFC_NONCE_SIZE);
    memcpy(welcome.token, session->engine_nonce, CFC_NONCE_SIZE);
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
        return accept(s, session, &key);
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
    s->stats.consumers = s->roster.known.count;
    s->stats.consumers_evicted = s->roster.evicted;
    return accept(s, &s->roster.consumers[slot].pending, &key);
}

/* One small answer to one entry of a NACK, so never larger than the NACK. */
static void
say_gone(struct cfc_sender *s, struct cfc_consumer *c, const struct cfc_nack_entry *entry,
         uint64_t now_ns)
{
    struct cfc_gone gone = {.key = entry->key, .want = entry->want};

    if (entry->want == CFC_WANT_PAGE || entry->want == CFC_WANT_SYMBOLS) {
        gone.coding = entry->coding;
        gone.index = entry->index;
    }
    if (cfc_pacer_try(&c->repair_budget, CFC_GONE_SIZE, now_ns)) {
        cfc_link_tx_gone(&s->link, &gone, &c->current.address);
    }
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
        code = cfc_repair_ask(&s->repair, slot, &entry, now_ns);
        if (code == CONFCAST_ERR_GONE) {
            say_gone(s, &s->roster.consumers[slot], &entry, now_ns);
        } else if (result == CONFCAST_OK) {
            result = code;
        }
    }
    return result;
}

static uint32_t
groups_of_report(const struct cfc_sender *s, const struct cfc_report *report)
{
    uint32_t groups = 0;

    for (uint32_t i = 0; i < report->entry_count; i++) {
        struct cfc_report_entry entry;

        cfc_report_entry_at(report, i, &entry);
        groups |= UINT32_C(1) << entry.scope_id % s->config.group_count;
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
    if (!cfc_pacer_try(&c->report_budget, 1, now_ns)) {
        return CONFCAST_ERR_LIMIT;
    }
    if (report.report_seq < c->report_seq) {
        return CONFCAST_OK; /* overtaken by a newer one */
    }
    c->groups |= groups_of_report(s, &report);
    code = push_upcall(s, CFC_UPCALL_REPORT, c->id, c->id_size, from, frame);
    if (code != CONFCAST_OK) {
        s->stats.reports_refused++;
        cfc_roster_refuse_report(&s->roster, slot, &report);
        return code;
    }
    s->stats.reports++;
    cfc_roster_note_report(&s->roster, slot, &report);
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
    default:
        return CONFCAST_ERR_WRONG_STREAM;
    }
}

int
cfc_sender_on_frame(struct cfc_sender *s, const uint8_t *frame, size_t size,
                    const struct cfc_address *from, const struct cfc_now *now)
{
    int code = take_frame(s, frame, size, from, now->mono_ns);

    s->stats.frames_in++;
    if (code != CONFCAST_OK) {
        assert(-code > 0 && (size_t)-code < sizeof(s->stats.errors) / sizeof(s->stats.errors[0]));
        s->stats.errors[-code]++;
    }
    return code;
}

/* -- Frames to consumers */

static void
write_status(const struct cfc_sender *s, const struct cfc_now *now, const struct cfc_echo *echoes,
             uint16_t echo_count, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    struct cfc_status status = {.boot_id = s->config.boot_id,
                                .time_unix_ns = now->unix_ns,
                                .fleet_size = fleet_size(s),
                                .windows = s->link.windows,
                                .unicast = s->config.unicast,
                                .echo_count = echo_count};
    int code = cfc_status_encode(&status, echoes, header, capacity, &out->header_size);

    assert(code == CONFCAST_OK);
    (void)code;
}

static int
poll_echo(struct cfc_sender *s, const struct cfc_now *now, uint8_t *header, size_t capacity,
          struct cfc_tx *out)
{
    uint32_t slot = cfc_roster_take_echo(&s->roster);
    const struct cfc_consumer *c;
    struct cfc_echo echo;

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_AGAIN;
    }
    c = &s->roster.consumers[slot];
    echo = (struct cfc_echo){.consumer_key = c->key, .report_seq = c->report_seq};
    write_status(s, now, &echo, 1, header, capacity, out);
    out->to = c->current.address;
    return CONFCAST_OK;
}

static int
poll_status(struct cfc_sender *s, const struct cfc_now *now, uint8_t *header, size_t capacity,
            struct cfc_tx *out)
{
    if (now->mono_ns < s->status_due_ns) {
        return CONFCAST_ERR_AGAIN;
    }
    fit_windows(s);
    write_status(s, now, NULL, 0, header, capacity, out);
    out->is_multicast = true;
    out->group = s->config.group_count;
    s->status_due_ns = now->mono_ns + s->config.status_period_ns;
    return CONFCAST_OK;
}

/* Repair and contents, in turns. */
static int
poll_bulk(struct cfc_sender *s, uint64_t now_ns, bool may_multicast, uint8_t *header,
          size_t capacity, struct cfc_tx *out)
{
    bool is_repair_turn = s->is_repair_turn;

    for (uint32_t i = 0; i < 2; i++) {
        int code = CONFCAST_ERR_AGAIN;

        if (is_repair_turn) {
            code = cfc_repair_poll(&s->repair, now_ns, may_multicast, header, capacity, out);
        } else if (may_multicast) {
            code = cfc_content_tx_poll(&s->contents, header, capacity, out);
        }
        is_repair_turn = !is_repair_turn;
        if (code == CONFCAST_OK) {
            s->is_repair_turn = is_repair_turn;
            return code;
        }
    }
    return CONFCAST_ERR_AGAIN;
}

/* Everything in order of urgency; sender.h says the same in words. */
static int
poll_next(struct cfc_sender *s, const struct cfc_now *now, bool may_multicast, uint8_t *header,
          size_t capacity, struct cfc_tx *out)
{
    uint64_t now_ns = now->mono_ns;

    if (cfc_link_tx_poll(&s->link, header, capacity, out) == CONFCAST_OK ||
        poll_echo(s, now, header, capacity, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    if (may_multicast &&
        (poll_status(s, now, header, capacity, out) == CONFCAST_OK ||
         cfc_head_tx_poll(&s->heads, now_ns, header, capacity, out) == CONFCAST_OK ||
         cfc_beacon_tx_poll(&s->beacons, now_ns, header, capacity, out) == CONFCAST_OK ||
         cfc_beacon_tx_poll_sweep(&s->beacons, now_ns, s->config.status_period_ns, header, capacity,
                                  out) == CONFCAST_OK)) {
        return CONFCAST_OK;
    }
    if (cfc_repair_poll_urgent(&s->repair, now_ns, may_multicast, header, capacity, out) ==
            CONFCAST_OK ||
        poll_bulk(s, now_ns, may_multicast, header, capacity, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    return may_multicast ? cfc_beacon_tx_poll_sweep(&s->beacons, now_ns, 0, header, capacity, out)
                         : CONFCAST_ERR_AGAIN;
}

static void
count_frame(struct cfc_sender_stats *stats, const uint8_t *header, size_t size)
{
    stats->bytes_out += size;
    switch (header[3]) {
    case CFC_FRAME_HEAD:
        stats->heads_sent++;
        break;
    case CFC_FRAME_PAGE:
        stats->pages_sent++;
        break;
    case CFC_FRAME_SYMBOL:
        stats->symbols_sent++;
        break;
    case CFC_FRAME_FRESH:
        stats->fresh_sent++;
        break;
    case CFC_FRAME_STATUS:
        stats->status_sent++;
        break;
    case CFC_FRAME_GONE:
        stats->gone_sent++;
        break;
    default:
        break;
    }
}

int
cfc_sender_poll_frame(struct cfc_sender *s, const struct cfc_now *now, uint8_t *header,
                      size_t capacity, struct cfc_tx *out)
{
    bool may_multicast = cfc_pacer_has(&s->pacer, s->config.frame_size_max, now->mono_ns);
    size_t size;

    assert(capacity >= s->config.frame_size_max);
    *out = (struct cfc_tx){.slot = CFC_SENDER_NO_SLOT};
    if (poll_next(s, now, may_multicast, header, capacity, out) != CONFCAST_OK) {
        return CONFCAST_ERR_AGAIN;
    }
    size = out->header_size + out->payload_size;
    if (out->is_multicast) {
        cfc_pacer_take(&s->pacer, size);
    }
    count_frame(&s->stats, header, size);
    return CONFCAST_OK;
}

void
cfc_sender_payload_done(struct cfc_sender *s, uint32_t slot, uint32_t count)
{
    cfc_content_tx_payload_done(&s->contents, slot, count);
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t
cfc_sender_deadline(const struct cfc_sender *s)
{
    uint64_t multicast_ns = cfc_pacer_ready_ns(&s->pacer, s->config.frame_size_max);
    uint64_t due_ns = s->status_due_ns;

    if (s->link.reply_count > 0 || !cfc_slot_list_is_empty(&s->roster.echoes)) {
        return 0;
    }
    if (!cfc_slot_list_is_empty(&s->contents.casting)) {
        due_ns = 0;
    }
    due_ns = sooner(due_ns, cfc_head_tx_deadline(&s->heads));
    due_ns = sooner(due_ns, cfc_beacon_tx_deadline(&s->beacons));
    due_ns = sooner(due_ns, cfc_beacon_tx_sweep_deadline(&s->beacons));
    return sooner(larger(due_ns, multicast_ns), cfc_repair_deadline(&s->repair, multicast_ns));
}

int
cfc_sender_poll_upcall(struct cfc_sender *s, struct cfc_upcall *out)
{
    uint32_t slot = cfc_content_tx_take_released(&s->contents);

    if (slot != CFC_SLOT_NONE) {
        *out = (struct cfc_upcall){.type = CFC_UPCALL_RELEASED, .slot = slot};
        return CONFCAST_OK;
    }
    return cfc_upcall_queue_poll(&s->upcalls, out);
}

const struct cfc_sender_stats *
cfc_sender_stats(const struct cfc_sender *s)
{
    return &s->stats;
}
