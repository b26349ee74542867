#include "tests/sim/lean.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "protocol/base/scope.h"
#include "protocol/fec/fec.h"
#include "protocol/session/early_rx.h"
#include "protocol/session/receiver.h"
#include "protocol/wire/head.h"
#include "protocol/wire/nack.h"
#include "protocol/wire/report.h"

enum {
    SYMBOL_SIZE = CFC_SYMBOL_SIZE_DEFAULT,
    REPAIR_LEAVES = 8,
    HEADER_SIZE = 24, /* of a PAGE or SYMBOL: all that a receiver without payload reads */
    UP_BUCKETS = 4,
    EARLY_MAX = CFC_EARLY_SIZE_MAX / (CFC_FRAME_SIZE_DEFAULT + sizeof(struct cfc_early_frame)),
    NACK_ENTRIES = 44, /* what a frame of the default size has room for */
    JOIN_NS = 20 * CFC_US,
    SCOPE_SIZE = 8
};

#define SCOPE "acme/web"

/* A frame on its way down. */
struct down {
    uint8_t bytes[HEADER_SIZE];
    uint8_t type;
    uint32_t to; /* UINT32_MAX: everybody */
};

/* A frame on its way up. */
struct up {
    struct up *next;
    uint32_t from;
    size_t size;
    uint8_t bytes[];
};

struct content {
    struct cfc_tree tree;
    struct cfc_digest id;
    uint64_t key;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t frame_size;
    uint8_t *digests;
    uint8_t *coded;
    uint16_t *heard; /* per block: NACKs since something was sent for it */
};

struct lean {
    const struct lean_options *options;
    struct lean_result *result;
    struct cfc_sender *sender;
    struct cfc_sha256 *sha;
    struct cfc_now now;
    struct cfc_nack_timing timing;
    struct cfc_windows windows; /* as the last STATUS said */
    struct cfc_key fleet_key;
    struct content content;
    uint64_t scope_id;
    uint8_t *receivers;
    size_t receiver_size;
    uint64_t *due_ns; /* of each receiver: nothing is asked for before */
    uint32_t *active; /* receivers that lack something */
    uint32_t active_count;
    struct lean_chain *switches;
    bool *is_switch_losing; /* this frame */
    struct down *downs;     /* sent in this step */
    uint32_t down_count;
    uint32_t down_capacity;
    struct up *ups[UP_BUCKETS];
    struct up **up_ends[UP_BUCKETS];
    uint32_t step;
    uint64_t *took_ns; /* of each content */
    uint32_t took_count;
};

static void *
get(size_t size)
{
    void *p = calloc(1, size);

    if (p == NULL) {
        fprintf(stderr, "lean: no memory\n");
        exit(2);
    }
    return p;
}

static void *
sender_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void
sender_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static int
sign(void *ctx, const char *domain, const uint8_t *bytes, size_t size,
     uint8_t signature[CFC_SIGNATURE_SIZE])
{
    (void)ctx;
    (void)domain;
    (void)bytes;
    (void)size;
    memset(signature, 0x5a, CFC_SIGNATURE_SIZE);
    return CONFCAST_OK;
}

static const struct cfc_signer signer = {.sign = sign};

static struct lean_receiver *
receiver_at(const struct lean *lean, uint32_t i)
{
    return (struct lean_receiver *)(void *)(lean->receivers + i * lean->receiver_size);
}

static struct cfc_address
address_of(uint32_t i)
{
    return cfc_address_ipv4(0x0a000001 + i, 9000);
}

static void
pass(struct lean *lean, uint64_t ns)
{
    lean->now.mono_ns += ns;
    lean->now.unix_ns += ns;
}

/* -- Joining: the whole handshake and a first REPORT, by which the sender knows the groups ----- */

static void
drain_upcalls(struct lean *lean)
{
    struct cfc_upcall upcall;

    while (cfc_sender_poll_upcall(lean->sender, &upcall) == CONFCAST_OK) {
    }
}

static void
give(struct lean *lean, uint32_t from, const uint8_t *bytes, size_t size)
{
    struct cfc_address address = address_of(from);
    int code = cfc_sender_on_frame(lean->sender, bytes, size, &address, &lean->now);

    assert(code == CONFCAST_OK || code == CONFCAST_ERR_LIMIT);
    (void)code;
    drain_upcalls(lean);
}

static bool
take_welcome(struct lean *lean, struct cfc_welcome *welcome)
{
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_frame frame;
    struct cfc_tx tx;
    bool has_one = false;

    while (cfc_sender_poll_frame(lean->sender, &lean->now, bytes, sizeof(bytes), &tx) ==
           CONFCAST_OK) {
        if (cfc_frame_open(bytes, tx.header_size, &frame) == CONFCAST_OK &&
            frame.type == CFC_FRAME_WELCOME) {
            has_one = cfc_welcome_decode(&frame, welcome) == CONFCAST_OK;
        }
    }
    return has_one;
}

static void
join(struct lean *lean, uint32_t i, const struct cfc_key *fleet_report_key)
{
    struct lean_receiver *r = receiver_at(lean, i);
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_report_entry entry = {.scope_id = lean->scope_id};
    struct cfc_address address = address_of(i);
    struct cfc_key key, report_key;
    struct cfc_welcome welcome;
    struct cfc_writer w;
    struct cfc_hello hello = {.incarnation = 1};
    char id[32];
    size_t size;
    int code;

    hello.id_size = (uint8_t)snprintf(id, sizeof(id), "host-%u", i);
    hello.id = id;
    hello.consumer_key = cfc_consumer_key(lean->sha, id, hello.id_size);
    cfc_put_u64(hello.nonce, i + 1);
    cfc_credential_key(&lean->fleet_key, CFC_DOMAIN_CRED_SESSION, id, hello.id_size, &key);
    cfc_credential_key(fleet_report_key, CFC_DOMAIN_CRED_REPORT, id, hello.id_size, &report_key);
    do {
        code = cfc_hello_encode(&hello, &key, bytes, sizeof(bytes), &size);
        assert(code == CONFCAST_OK);
        give(lean, i, bytes, size);
        pass(lean, JOIN_NS);
        if (!take_welcome(lean, &welcome)) {
            pass(lean, CFC_MS); /* its share of the answers is used up */
            continue;
        }
        memcpy(hello.cookie, welcome.token, sizeof(hello.cookie));
    } while (welcome.kind != CFC_WELCOME_ACCEPT);
    r->consumer_key = hello.consumer_key;
    r->session = welcome.session;
    r->wait.seed = hello.consumer_key;
    cfc_session_key(&key, hello.nonce, welcome.token, welcome.boot_id, &r->session_key);
    w = cfc_writer_of(bytes, sizeof(bytes));
    code = cfc_report_write(&w,
                            &(struct cfc_report){.consumer_key = hello.consumer_key,
                                                 .incarnation = 1,
                                                 .report_seq = 1,
                                                 .part_count = 1,
                                                 .entry_count = 1},
                            &entry, id, hello.id_size, &report_key);
    assert(code == CONFCAST_OK);
    code = cfc_trailer_seal(&w, r->session, ++r->seq, &r->session_key, &address, &size);
    assert(code == CONFCAST_OK);
    (void)code;
    give(lean, i, bytes, size);
}

/* -- Contents ---------------------------------------------------------------------------------- */

/* The sender signs and hashes nothing, so that digests may be anything. */
static void
make_content(struct lean *lean, uint32_t number)
{
    struct content *c = &lean->content;
    uint64_t size = lean->options->content_size;
    struct cfc_content wire = {.encoding = CFC_ENCODING_RAW,
                               .fec_code = CFC_FEC_RS_CAUCHY,
                               .fec_k = CFC_BLOCK_SYMBOLS_MAX,
                               .repair_leaves = REPAIR_LEAVES,
                               .body_size = size,
                               .coded_size = size,
                               .symbol_size = SYMBOL_SIZE};
    uint32_t slot;
    int code;

    cfc_put_u64(wire.content.bytes, number + 1);
    c->id = wire.content;
    c->key = cfc_digest_key(&c->id);
    code = cfc_tree_init(&c->tree, &wire);
    assert(code == CONFCAST_OK);
    free(c->digests);
    free(c->heard);
    c->digests = get(cfc_tree_digests_size(&c->tree));
    c->heard = get(c->tree.geometry.block_count * sizeof(c->heard[0]));
    if (c->coded == NULL) {
        c->coded = get(size);
    }
    wire.page_levels = (uint8_t)c->tree.level_count;
    wire.top_count = (uint8_t)c->tree.top_count;
    wire.top_digests = c->digests;
    code = cfc_content_encode(&wire, &signer, c->frame, sizeof(c->frame), &c->frame_size);
    assert(code == CONFCAST_OK);
    code = cfc_sender_put_content(lean->sender, c->frame, c->frame_size, c->digests,
                                  cfc_tree_digests_size(&c->tree), c->coded, false, &slot);
    assert(code == CONFCAST_OK);
    (void)code;
    lean->result->content_bytes += size;
}

static void
put_head(struct lean *lean, uint64_t version)
{
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_head head = {.scope = SCOPE,
                            .scope_size = SCOPE_SIZE,
                            .epoch = 1,
                            .version = version,
                            .issued_unix_ns = lean->now.unix_ns,
                            .arm_count = 1};
    size_t size;
    int code;

    head.arms[0].content = lean->content.id;
    code = cfc_head_encode(&head, &signer, lean->sha, bytes, sizeof(bytes), &size);
    assert(code == CONFCAST_OK);
    code = cfc_sender_put_head(lean->sender, bytes, size, &lean->now);
    assert(code == CONFCAST_OK);
    (void)code;
}

static void
fit_first(struct lean_receiver *r)
{
    r->timing.first_ns = r->timing.doublings > CFC_ASK_DOUBLINGS_MIN
                             ? 0
                             : cfc_answer_time_first(&r->answer_time, r->timing.retry_ns);
}

static void
begin_collecting(struct lean *lean)
{
    for (uint32_t i = 0; i < lean->options->receiver_count; i++) {
        struct lean_receiver *r = receiver_at(lean, i);

        r->timing = lean->timing;
        fit_first(r);
        cfc_loss_rx_init(&r->loss, &lean->content.tree, &r->timing, r + 1, lean->now.mono_ns);
        cfc_ask_restart(&r->content_ask, lean->now.mono_ns + LEAN_FRESH_NS);
        r->has_head = false;
        r->has_early_content = false;
        r->is_early_closed = false;
        r->has_content = false;
        r->early_count = 0;
        r->blocks_left = (uint16_t)lean->content.tree.geometry.block_count;
        lean->due_ns[i] = 0;
        lean->active[i] = i;
    }
    lean->active_count = lean->options->receiver_count;
}

/* -- A receiver -------------------------------------------------------------------------------- */

static uint64_t
first_due(const struct lean_receiver *r)
{
    return r->has_content ? cfc_loss_rx_due(&r->loss) : r->content_ask.at_ns;
}

/* What is enough to decode counts as decoded. */
static void
settle(struct lean *lean, struct lean_receiver *r, uint32_t block, bool is_repair)
{
    struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(&r->loss, block);
    uint64_t missing = cfc_loss_missing(&r->loss, block);
    uint64_t answer_ns = cfc_loss_rx_take_answer(&r->loss);

    if (answer_ns != 0) {
        cfc_answer_time_note(&r->answer_time, answer_ns);
        fit_first(r);
    }
    if (slot != NULL && slot->row_count > 0 &&
        slot->row_count == (uint32_t)__builtin_popcountll(missing) &&
        cfc_loss_has_page(&r->loss, 0, block)) {
        r->loss.masks[block] |= missing;
        slot->row_count = 0;
    }
    r->blocks_left = (uint16_t)(r->blocks_left - cfc_loss_is_block_complete(&r->loss, block));
    cfc_loss_rx_settle(&r->loss, block, is_repair, lean->now.mono_ns);
}

static void
on_symbol(struct lean *lean, struct lean_receiver *r, uint32_t block, uint32_t index)
{
    uint64_t missing = cfc_loss_missing(&r->loss, block);
    uint32_t count = cfc_loss_block_symbols(&r->loss, block);
    struct cfc_loss_slot *slot;
    bool is_repair;

    if (index < count) {
        if ((missing >> index & 1) == 0) {
            cfc_loss_rx_duplicate(&r->loss, lean->now.mono_ns);
            return;
        }
        /* Repair symbols are kept in the places of what is missing: with one place less, one goes.
         */
        slot = cfc_loss_rx_find_slot(&r->loss, block);
        if (slot != NULL && slot->row_count == (uint32_t)__builtin_popcountll(missing)) {
            slot->row_count--;
        }
        if (cfc_loss_rx_source(&r->loss, block, index, lean->now.mono_ns, &is_repair)) {
            settle(lean, r, block, is_repair);
        }
        return;
    }
    slot = missing != 0 ? cfc_loss_rx_open_slot(&r->loss, block) : NULL;
    if (slot != NULL && slot->row_count < CFC_FEC_LOST_MAX &&
        slot->row_count < (uint32_t)__builtin_popcountll(missing) &&
        cfc_loss_rx_row(&r->loss, slot,
                        index < count + REPAIR_LEAVES && cfc_loss_has_page(&r->loss, 0, block),
                        lean->now.mono_ns)) {
        settle(lean, r, block, true);
    }
}

static void
on_page(struct lean *lean, struct lean_receiver *r, uint32_t level, uint32_t page)
{
    if (cfc_loss_has_page(&r->loss, level, page) ||
        (level + 1 < lean->content.tree.level_count &&
         !cfc_loss_has_page(&r->loss, level + 1, page / CFC_PAGE_DIGESTS_MAX))) {
        return;
    }
    if (cfc_loss_rx_page(&r->loss, level, page, lean->now.mono_ns)) {
        settle(lean, r, page, true);
    }
}

static void
on_content(struct lean *lean, struct lean_receiver *r)
{
    if (r->has_content) {
        cfc_loss_rx_announced(&r->loss, lean->now.mono_ns);
    }
    r->has_content = true;
    cfc_ask_stop(&r->content_ask);
}

static void
on_head(struct lean *lean, struct lean_receiver *r)
{
    if (r->has_content) {
        cfc_loss_rx_probed(&r->loss, lean->now.mono_ns);
    }
    if (r->has_head) {
        return;
    }
    r->has_head = true;
    if (r->has_early_content) {
        on_content(lean, r);
        if (r->is_early_closed) {
            on_content(lean, r);
        }
    } else {
        cfc_ask_restart(&r->content_ask,
                        lean->now.mono_ns + CFC_LOSS_TAIL_DELAYS * lean->timing.delay_ns);
    }
}

/* Before HEAD and CONTENT the rest is kept in quarantine, as far as there is room. */
static bool
is_taken(struct lean *lean, struct lean_receiver *r, const struct down *down)
{
    uint64_t soon_ns = lean->now.mono_ns + lean->timing.delay_ns;

    if (r->has_content || down->type == CFC_FRAME_HEAD ||
        (down->type == CFC_FRAME_CONTENT && r->has_head)) {
        return true;
    }
    if (r->has_head && r->content_ask.tries == 0 && r->content_ask.at_ns > soon_ns) {
        r->content_ask.at_ns = soon_ns;
    }
    return ++r->early_count <= EARLY_MAX;
}

static void
deliver(struct lean *lean, uint32_t i, const struct down *down)
{
    struct lean_receiver *r = receiver_at(lean, i);

    if (!is_taken(lean, r, down)) {
        return;
    }
    switch (down->type) {
    case CFC_FRAME_CONTENT:
        if (r->has_head) {
            on_content(lean, r);
        } else {
            r->has_early_content = true;
            r->is_early_closed = r->early_count > 1;
        }
        break;
    case CFC_FRAME_HEAD:
        on_head(lean, r);
        break;
    case CFC_FRAME_PAGE:
        on_page(lean, r, down->bytes[18], cfc_get_u32(down->bytes + 20));
        break;
    case CFC_FRAME_SYMBOL:
        on_symbol(lean, r, cfc_get_u32(down->bytes + 20), cfc_get_u16(down->bytes + 18));
        break;
    default:
        break;
    }
    if (r->loss.slot_count > 0 || down->type == CFC_FRAME_CONTENT || down->type == CFC_FRAME_HEAD) {
        lean->due_ns[i] = cfc_nack_wait_due(&r->wait, first_due(r), lean->windows.nack_us);
    }
}

static bool
is_done(const struct lean_receiver *r)
{
    return r->has_content && r->blocks_left == 0;
}

/* Has a receiver ask for what is due. */
static void
ask(struct lean *lean, uint32_t i)
{
    struct lean_receiver *r = receiver_at(lean, i);
    struct cfc_nack_entry entries[NACK_ENTRIES];
    uint64_t now_ns = lean->now.mono_ns;
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_address address = address_of(i);
    struct cfc_writer w;
    struct up *up;
    uint32_t count, bucket;
    size_t size;
    int code;

    lean->due_ns[i] = cfc_nack_wait_due(&r->wait, first_due(r), lean->windows.nack_us);
    if (lean->due_ns[i] > now_ns) {
        return;
    }
    if (r->has_content) {
        count = cfc_loss_rx_ask(&r->loss, lean->content.key, now_ns, entries, NACK_ENTRIES);
    } else {
        entries[0] =
            r->has_head
                ? (struct cfc_nack_entry){.want = CFC_WANT_CONTENT, .key = lean->content.key}
                : (struct cfc_nack_entry){.want = CFC_WANT_HEAD, .key = lean->scope_id, .mask = 1};
        cfc_ask_sent_first(&r->content_ask, r->timing.first_ns, r->timing.retry_ns,
                           r->timing.doublings, now_ns);
        count = 1;
    }
    cfc_nack_wait_sent(&r->wait, first_due(r) <= now_ns);
    lean->due_ns[i] = cfc_nack_wait_due(&r->wait, first_due(r), lean->windows.nack_us);
    if (count == 0) {
        return;
    }
    w = cfc_writer_of(bytes, sizeof(bytes));
    code = cfc_nack_write(&w, r->consumer_key, entries, (uint16_t)count);
    assert(code == CONFCAST_OK);
    code = cfc_trailer_seal(&w, r->session, ++r->seq, &r->session_key, &address, &size);
    assert(code == CONFCAST_OK);
    (void)code;
    if (lean_chain_step(&r->link, &lean->options->link)) {
        return;
    }
    up = malloc(sizeof(*up) + size);
    assert(up != NULL);
    *up = (struct up){.from = i, .size = size};
    memcpy(up->bytes, bytes, size);
    bucket = (lean->step + 1 + (uint32_t)(cfc_prng_next(&r->link.prng) & 1)) % UP_BUCKETS;
    *lean->up_ends[bucket] = up;
    lean->up_ends[bucket] = &up->next;
}

/* -- A step ------------------------------------------------------------------------------------ */

static void
note_heard(struct lean *lean, const struct up *up)
{
    struct cfc_frame frame;
    struct cfc_nack nack;

    if (cfc_frame_open(up->bytes, up->size, &frame) != CONFCAST_OK ||
        cfc_nack_decode(&frame, &nack) != CONFCAST_OK) {
        return;
    }
    for (uint32_t i = 0; i < nack.entry_count; i++) {
        struct cfc_nack_entry entry;

        cfc_nack_entry_at(&nack, i, &entry);
        if (entry.want == CFC_WANT_SYMBOLS && lean->content.heard[entry.index] < UINT16_MAX) {
            lean->content.heard[entry.index]++;
        }
    }
}

static void
hear(struct lean *lean)
{
    uint32_t bucket = lean->step % UP_BUCKETS;
    struct up *up = lean->ups[bucket];

    while (up != NULL) {
        struct up *next = up->next;
        struct cfc_address address = address_of(up->from);

        (void)cfc_sender_on_frame(lean->sender, up->bytes, up->size, &address, &lean->now);
        note_heard(lean, up);
        free(up);
        up = next;
    }
    lean->ups[bucket] = NULL;
    lean->up_ends[bucket] = &lean->ups[bucket];
}

/* A repair of a block goes out: a round of NACKs has ended. */
static void
note_round(struct lean *lean, const struct down *down)
{
    uint16_t *heard = &lean->content.heard[cfc_get_u32(down->bytes + 20)];

    if (*heard > lean->result->round_nacks_max) {
        lean->result->round_nacks_max = *heard;
    }
    lean->result->rounds += *heard > 0;
    *heard = 0;
}

static void
take_status(struct lean *lean, const uint8_t *bytes, size_t size)
{
    struct cfc_status status;
    struct cfc_frame frame;

    if (cfc_frame_open(bytes, size, &frame) != CONFCAST_OK ||
        cfc_status_decode(&frame, &status) != CONFCAST_OK) {
        return;
    }
    lean->windows = status.windows;
    lean->timing.doublings = cfc_nack_wait_doublings(status.windows.nack_us, lean->timing.retry_ns);
    for (uint32_t i = 0; i < lean->options->receiver_count; i++) {
        receiver_at(lean, i)->timing.doublings = lean->timing.doublings;
        fit_first(receiver_at(lean, i));
    }
}

static void
send(struct lean *lean)
{
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_tx tx;

    lean->down_count = 0;
    while (cfc_sender_poll_frame(lean->sender, &lean->now, bytes, sizeof(bytes), &tx) ==
           CONFCAST_OK) {
        struct down *down;

        lean->result->kind_frames[tx.kind]++;
        lean->result->kind_bytes[tx.kind] += tx.header_size + tx.payload_size + LEAN_ETHERNET_SIZE;
        if (tx.payload != NULL) {
            cfc_sender_payload_done(lean->sender, tx.slot, 1);
        }
        if (bytes[3] == CFC_FRAME_STATUS) {
            take_status(lean, bytes, tx.header_size);
        }
        if (lean->down_count == lean->down_capacity) {
            lean->down_capacity = lean->down_capacity > 0 ? 2 * lean->down_capacity : 64;
            lean->downs = realloc(lean->downs, lean->down_capacity * sizeof(lean->downs[0]));
            assert(lean->downs != NULL);
        }
        down = &lean->downs[lean->down_count++];
        memcpy(down->bytes, bytes, HEADER_SIZE);
        down->type = bytes[3];
        down->to = tx.is_multicast ? UINT32_MAX
                                   : (uint32_t)tx.to.ip[12] << 24 | (uint32_t)tx.to.ip[13] << 16 |
                                         (uint32_t)tx.to.ip[14] << 8 | tx.to.ip[15];
        if (!tx.is_multicast) {
            down->to -= 0x0a000001;
        }
        if (tx.kind == CFC_TX_REPAIR_MULTICAST || tx.kind == CFC_TX_REPAIR_UNICAST) {
            note_round(lean, down);
        }
    }
}

static void
deliver_all(struct lean *lean, const struct down *down)
{
    const struct lean_options *o = lean->options;
    uint32_t switch_count = (o->receiver_count + LEAN_SWITCH_PORTS - 1) / LEAN_SWITCH_PORTS;

    if (down->type == CFC_FRAME_STATUS) {
        return;
    }
    if (down->to != UINT32_MAX) {
        struct lean_receiver *r = receiver_at(lean, down->to);

        if (!is_done(r) && !lean_chain_step(&r->link, &o->link)) {
            deliver(lean, down->to, down);
        }
        return;
    }
    for (uint32_t i = 0; o->switches.enter > 0 && i < switch_count; i++) {
        lean->is_switch_losing[i] = lean_chain_step(&lean->switches[i], &o->switches);
    }
    for (uint32_t n = 0; n < lean->active_count; n++) {
        uint32_t i = lean->active[n];

        if (!lean_chain_step(&receiver_at(lean, i)->link, &o->link) &&
            !lean->is_switch_losing[i / LEAN_SWITCH_PORTS]) {
            deliver(lean, i, down);
        }
    }
}

/* Receivers whose time has come ask; those that have everything are done. */
static void
poll_receivers(struct lean *lean)
{
    uint32_t n = 0;

    while (n < lean->active_count) {
        uint32_t i = lean->active[n];

        if (is_done(receiver_at(lean, i))) {
            lean->active[n] = lean->active[--lean->active_count];
            continue;
        }
        if (lean->due_ns[i] <= lean->now.mono_ns) {
            ask(lean, i);
        }
        n++;
    }
}

static void
collect(struct lean *lean)
{
    uint64_t began_ns = lean->now.mono_ns;

    begin_collecting(lean);
    while (lean->active_count > 0 && lean->now.mono_ns - began_ns < LEAN_GIVE_UP_NS) {
        hear(lean);
        send(lean);
        pass(lean,
             lean->options->receiver_count <= LEAN_FINE_MAX ? LEAN_FINE_STEP_NS : LEAN_STEP_NS);
        lean->step++;
        for (uint32_t i = 0; i < lean->down_count; i++) {
            deliver_all(lean, &lean->downs[i]);
        }
        poll_receivers(lean);
    }
    lean->took_ns[lean->took_count++] = lean->now.mono_ns - began_ns;
    lean->result->simulated_ns += lean->now.mono_ns - began_ns;
    lean->result->is_complete = lean->result->is_complete && lean->active_count == 0;
}

/* -- Life -------------------------------------------------------------------------------------- */

static void
open_sender(struct lean *lean)
{
    const struct lean_options *o = lean->options;
    struct cfc_sender_config config;
    int code;

    cfc_sender_config_defaults(&config);
    config.boot_id = o->seed;
    config.alloc = (struct cfc_alloc){.alloc = sender_alloc, .free = sender_free};
    config.fleet_key = lean->fleet_key;
    config.seed = o->seed;
    config.unicast = cfc_address_ipv4(0x0affff01, 7400);
    config.consumers_max = o->receiver_count + 16;
    config.scopes_max = 16;
    config.contents_max = 64;
    if (o->rate_bytes > 0) {
        config.rate_bytes = o->rate_bytes;
        config.repair_rate_bytes = o->rate_bytes / 2;
    }
    code = cfc_sender_new(&config, &lean->sender);
    assert(code == CONFCAST_OK);
    code = cfc_sender_set_shard(lean->sender, 0, 1, o->receiver_count);
    assert(code == CONFCAST_OK);
    (void)code;
}

static void
open_receivers(struct lean *lean)
{
    const struct lean_options *o = lean->options;
    struct cfc_content shape = {.fec_code = CFC_FEC_RS_CAUCHY,
                                .fec_k = CFC_BLOCK_SYMBOLS_MAX,
                                .repair_leaves = REPAIR_LEAVES,
                                .coded_size = o->content_size,
                                .symbol_size = SYMBOL_SIZE};
    struct cfc_key report_key = {{0x33}};
    uint32_t switch_count = (o->receiver_count + LEAN_SWITCH_PORTS - 1) / LEAN_SWITCH_PORTS;
    struct cfc_tree tree;
    clock_t began = clock();
    int code = cfc_tree_init(&tree, &shape);

    assert(code == CONFCAST_OK);
    (void)code;
    lean->scope_id = cfc_scope_id(lean->sha, SCOPE, SCOPE_SIZE);
    lean->receiver_size = (sizeof(struct lean_receiver) + cfc_loss_rx_size(&tree) + 7) / 8 * 8;
    lean->receivers = get(o->receiver_count * lean->receiver_size);
    lean->due_ns = get(o->receiver_count * sizeof(lean->due_ns[0]));
    lean->active = get(o->receiver_count * sizeof(lean->active[0]));
    lean->switches = get(switch_count * sizeof(lean->switches[0]));
    lean->is_switch_losing = get(switch_count * sizeof(lean->is_switch_losing[0]));
    for (uint32_t i = 0; i < switch_count; i++) {
        lean_chain_init(&lean->switches[i], &o->switches, o->seed * 7919 + i);
    }
    for (uint32_t i = 0; i < o->receiver_count; i++) {
        join(lean, i, &report_key);
        lean_chain_init(&receiver_at(lean, i)->link, &o->link,
                        (o->seed << 32 | i) * UINT64_C(0x9e3779b97f4a7c15));
    }
    lean->result->receiver_size =
        lean->receiver_size + sizeof(lean->due_ns[0]) + sizeof(lean->active[0]);
    lean->result->joined_ms = (uint64_t)(clock() - began) * 1000 / CLOCKS_PER_SEC;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void
sum_up(struct lean *lean)
{
    uint32_t count = lean->took_count;

    qsort(lean->took_ns, count, sizeof(lean->took_ns[0]), compare);
    lean->result->p50_us = lean->took_ns[(count - 1) / 2] / CFC_US;
    lean->result->p99_us = lean->took_ns[(count - 1) * 99 / 100] / CFC_US;
    lean->result->p999_us = lean->took_ns[(uint64_t)(count - 1) * 999 / 1000] / CFC_US;
}

void
lean_run(const struct lean_options *options, struct lean_result *result)
{
    struct lean *lean = get(sizeof(*lean));
    struct cfc_receiver_config defaults;
    uint64_t nacks;

    cfc_receiver_config_defaults(&defaults);
    *result = (struct lean_result){.is_complete = true};
    lean->options = options;
    lean->result = result;
    lean->now = (struct cfc_now){.mono_ns = CFC_S, .unix_ns = UINT64_C(1800000000000000000)};
    lean->timing = (struct cfc_nack_timing){.delay_ns = defaults.nack_delay_ns,
                                            .retry_ns = defaults.nack_retry_ns};
    lean->sha = cfc_sha256_new();
    for (uint32_t i = 0; i < UP_BUCKETS; i++) {
        lean->up_ends[i] = &lean->ups[i];
    }
    lean->took_ns = get(options->content_count * sizeof(lean->took_ns[0]));
    open_sender(lean);
    open_receivers(lean);
    pass(lean, CFC_S);
    send(lean); /* the STATUS */
    memset(result->kind_frames, 0, sizeof(result->kind_frames));
    memset(result->kind_bytes, 0, sizeof(result->kind_bytes));
    nacks = cfc_sender_stats(lean->sender)->nacks;
    for (uint32_t i = 0; i < options->content_count; i++) {
        make_content(lean, i);
        put_head(lean, i + 1);
        collect(lean);
        cfc_sender_drop_content(lean->sender, &lean->content.id);
        drain_upcalls(lean);
        pass(lean, 10 * CFC_MS);
    }
    sum_up(lean);
    result->nacks = cfc_sender_stats(lean->sender)->nacks - nacks;
    result->nack_entries = cfc_sender_stats(lean->sender)->nack_entries;
    for (uint32_t i = 0; i < UP_BUCKETS; i++) {
        while (lean->ups[i] != NULL) {
            struct up *next = lean->ups[i]->next;

            free(lean->ups[i]);
            lean->ups[i] = next;
        }
    }
    cfc_sender_free(lean->sender);
    cfc_sha256_free(lean->sha);
    free(lean->content.digests);
    free(lean->content.coded);
    free(lean->content.heard);
    free(lean->receivers);
    free(lean->due_ns);
    free(lean->active);
    free(lean->switches);
    free(lean->is_switch_losing);
    free(lean->took_ns);
    free(lean->downs);
    free(lean);
}
