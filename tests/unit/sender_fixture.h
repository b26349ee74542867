/* What the tests of the sender share: a sender over counted memory, a control plane's hand that
 * makes contents, heads and FRESH pages, and consumers that do the handshake, ask and report. */
#ifndef CFC_TESTS_SENDER_FIXTURE_H
#define CFC_TESTS_SENDER_FIXTURE_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/sender.h"
#include "protocol/snapshot/repairs.h"
#include "protocol/snapshot/tree.h"
#include "protocol/wire/fresh.h"
#include "protocol/wire/head.h"
#include "protocol/wire/nack.h"
#include "protocol/wire/report.h"

enum {
    BED_CONTENTS_MAX = 16,
    BED_SENT_MAX = 8192,
    BED_CONTROL_GROUP = 4,
    BED_SYMBOL_SIZE = 256
};

#define BED_BOOT_ID UINT64_C(0xb007)

/* A frame that the sender gave, put together. */
struct sent {
    struct cfc_tx tx;
    uint8_t bytes[CFC_FRAME_SIZE_DEFAULT];
    size_t size;
    uint64_t at_ns;
};

struct bed_content {
    struct cfc_digest id;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t frame_size;
    struct cfc_tree tree;
    uint8_t *digests;
    uint8_t *coded;
    size_t coded_size;
    uint32_t slot;
};

struct bed {
    struct cfc_sender_config config;
    struct cfc_sender *sender;
    struct cfc_now now;
    struct cfc_sha256 *sha;
    struct cfc_signer signer;
    struct bed_content contents[BED_CONTENTS_MAX];
    uint32_t content_count;
    uint8_t repair_leaves; /* of contents made from now on; 0 = no erasure code */
    struct sent *sent;     /* what the last bed_drain() got */
    uint32_t sent_count;
    size_t live_allocations;
    size_t allocations;
    size_t fail_at;    /* this allocation fails; 0 = none */
    size_t fail_count; /* and so many in all, from that one on; 0 is 1 */
};

struct bed_consumer {
    char id[CFC_CONSUMER_ID_SIZE_MAX + 1];
    size_t id_size;
    uint64_t key;
    uint64_t incarnation;
    struct cfc_address address;
    struct cfc_key credential_key;
    struct cfc_key report_key;
    uint8_t nonce[CFC_NONCE_SIZE];
    uint8_t cookie[CFC_COOKIE_SIZE];
    uint32_t session;
    struct cfc_key session_key;
    struct cfc_welcome welcome; /* the last one */
    uint64_t seq;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT]; /* the last one it sent */
    size_t size;
};

static inline void *
bed_alloc(void *ctx, size_t size)
{
    struct bed *bed = ctx;

    bed->allocations++;
    if (bed->fail_at != 0 && bed->allocations >= bed->fail_at &&
        bed->allocations < bed->fail_at + (bed->fail_count > 0 ? bed->fail_count : 1)) {
        return NULL;
    }
    bed->live_allocations++;
    return malloc(size);
}

static inline void
bed_dealloc(void *ctx, void *p)
{
    struct bed *bed = ctx;

    if (p != NULL) {
        bed->live_allocations--;
    }
    free(p);
}

static inline int
bed_sign(void *ctx, const char *domain, const uint8_t *bytes, size_t size,
         uint8_t signature[CFC_SIGNATURE_SIZE])
{
    (void)ctx;
    (void)domain;
    (void)bytes;
    (void)size;
    memset(signature, 0x5a, CFC_SIGNATURE_SIZE);
    return CONFCAST_OK;
}

/* Fills the config; a test changes what it is about, then calls bed_start(). */
static inline void
bed_init(struct bed *bed)
{
    memset(bed, 0, sizeof(*bed));
    cfc_sender_config_defaults(&bed->config);
    bed->config.boot_id = BED_BOOT_ID;
    memset(bed->config.fleet_key.bytes, 0x11, CFC_KEY_SIZE);
    memset(bed->config.cookie_key.bytes, 0x22, CFC_KEY_SIZE);
    bed->config.alloc = (struct cfc_alloc){.alloc = bed_alloc, .free = bed_dealloc, .ctx = bed};
    bed->config.seed = 7;
    bed->config.unicast = cfc_address_ipv4(0x0a000001, 7401);
    bed->config.group_count = BED_CONTROL_GROUP;
    bed->config.rate_bytes = 0;
    bed->config.repair_rate_bytes = 0;
    bed->config.echo_ns = 0;
    bed->config.windows.nack_us = 250; /* so that gather_ns is what is gathered */
    bed->config.consumers_max = 64;
    bed->config.scopes_max = 16;
    bed->config.contents_max = BED_CONTENTS_MAX;
    bed->now = (struct cfc_now){.mono_ns = 1000 * CFC_S, .unix_ns = 1700000000 * CFC_S};
    bed->sha = cfc_sha256_new();
    bed->signer = (struct cfc_signer){.sign = bed_sign};
    bed->sent = malloc(BED_SENT_MAX * sizeof(bed->sent[0]));
    assert(bed->sha != NULL && bed->sent != NULL);
}

static inline void
bed_start(struct bed *bed)
{
    int code = cfc_sender_new(&bed->config, &bed->sender);

    assert(code == CONFCAST_OK);
    (void)code;
}

static inline void
bed_open(struct bed *bed)
{
    bed_init(bed);
    bed_start(bed);
}

static inline void
bed_close(struct bed *bed)
{
    cfc_sender_free(bed->sender);
    assert(bed->live_allocations == 0);
    for (uint32_t i = 0; i < bed->content_count; i++) {
        free(bed->contents[i].digests);
        free(bed->contents[i].coded);
    }
    cfc_sha256_free(bed->sha);
    free(bed->sent);
}

/* Takes frames until AGAIN, or until `max`; payload is given back at once. */
static inline uint32_t
bed_drain_max(struct bed *bed, uint32_t max)
{
    bed->sent_count = 0;
    while (bed->sent_count < max) {
        struct sent *sent = &bed->sent[bed->sent_count];

        if (cfc_sender_poll_frame(bed->sender, &bed->now, sent->bytes, sizeof(sent->bytes),
                                  &sent->tx) != CONFCAST_OK) {
            break;
        }
        sent->at_ns = bed->now.mono_ns;
        sent->size = sent->tx.header_size + sent->tx.payload_size;
        assert(sent->size <= sizeof(sent->bytes));
        if (sent->tx.payload != NULL) {
            memcpy(sent->bytes + sent->tx.header_size, sent->tx.payload, sent->tx.payload_size);
            cfc_sender_payload_done(bed->sender, sent->tx.slot, 1);
        }
        bed->sent_count++;
    }
    return bed->sent_count;
}

static inline uint32_t
bed_drain(struct bed *bed)
{
    return bed_drain_max(bed, BED_SENT_MAX);
}

static inline void
bed_pass(struct bed *bed, uint64_t ns)
{
    bed->now.mono_ns += ns;
    bed->now.unix_ns += ns;
}

/* Lets `ns` pass as an engine would, waking up at each deadline; everything sent is gathered. */
static inline uint32_t
bed_run(struct bed *bed, uint64_t ns)
{
    uint64_t end_ns = bed->now.mono_ns + ns;
    uint32_t count = 0;

    for (;;) {
        struct sent *sent = &bed->sent[count];
        uint64_t deadline_ns = cfc_sender_deadline(bed->sender);

        if (deadline_ns > end_ns) {
            bed_pass(bed, end_ns - bed->now.mono_ns);
            break;
        }
        if (deadline_ns > bed->now.mono_ns) {
            bed_pass(bed, deadline_ns - bed->now.mono_ns);
        }
        assert(count < BED_SENT_MAX);
        if (cfc_sender_poll_frame(bed->sender, &bed->now, sent->bytes, sizeof(sent->bytes),
                                  &sent->tx) != CONFCAST_OK) {
            /* Woken for something that is not a frame, as the end of a gathering; never in vain
             * twice. */
            assert(cfc_sender_deadline(bed->sender) > bed->now.mono_ns);
            continue;
        }
        sent->at_ns = bed->now.mono_ns;
        sent->size = sent->tx.header_size + sent->tx.payload_size;
        if (sent->tx.payload != NULL) {
            memcpy(sent->bytes + sent->tx.header_size, sent->tx.payload, sent->tx.payload_size);
            cfc_sender_payload_done(bed->sender, sent->tx.slot, 1);
        }
        count++;
    }
    bed->sent_count = count;
    return count;
}

/* Past the first STATUS, which is due at once. */
static inline void
bed_open_quiet(struct bed *bed)
{
    bed_init(bed);
    bed->config.status_period_ns = 1000 * CFC_S;
    bed_start(bed);
    bed_drain(bed);
}

static inline uint8_t
sent_type(const struct sent *sent)
{
    return sent->bytes[3];
}

static inline uint64_t
sent_key(const struct sent *sent)
{
    return cfc_get_u64(sent->bytes + 8);
}

static inline bool
is_sent_to(const struct sent *sent, const struct cfc_address *to)
{
    return !sent->tx.is_multicast && cfc_address_equal(&sent->tx.to, to);
}

static inline uint32_t
bed_count(const struct bed *bed, uint8_t type, bool is_multicast)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < bed->sent_count; i++) {
        count += sent_type(&bed->sent[i]) == type && bed->sent[i].tx.is_multicast == is_multicast;
    }
    return count;
}

/* Makes a content of `size` coded bytes in blocks of k symbols without handing it over. */
static inline struct bed_content *
bed_make_coding(struct bed *bed, const struct cfc_digest *id, uint16_t coding, size_t size,
                uint8_t k)
{
    struct bed_content *c = &bed->contents[bed->content_count++];
    struct cfc_content content = {
        .coding = coding,
        .encoding = CFC_ENCODING_ZSTD,
        .fec_code = bed->repair_leaves > 0 ? CFC_FEC_RS_CAUCHY : CFC_FEC_NONE,
        .fec_k = k,
        .repair_leaves = bed->repair_leaves,
        .body_size = size,
        .coded_size = size,
        .symbol_size = BED_SYMBOL_SIZE,
        .content = *id,
    };
    uint8_t *repairs;
    int code;

    assert(bed->content_count <= BED_CONTENTS_MAX);
    c->id = *id;
    c->coded_size = size;
    c->coded = malloc(size);
    assert(c->coded != NULL);
    for (size_t i = 0; i < size; i++) {
        c->coded[i] = (uint8_t)(i * 31 + i / 256 + id->bytes[0]);
    }
    code = cfc_tree_init(&c->tree, &content);
    assert(code == CONFCAST_OK);
    c->digests = malloc(cfc_tree_digests_size(&c->tree));
    assert(c->digests != NULL);
    repairs = bed->repair_leaves > 0 ? malloc(cfc_repairs_size(&c->tree)) : NULL;
    assert((repairs != NULL) == (bed->repair_leaves > 0));
    if (repairs != NULL) {
        cfc_repairs_build(&c->tree, c->coded, repairs);
    }
    cfc_tree_build(&c->tree, bed->sha, c->coded, repairs, c->digests);
    free(repairs);
    content.page_levels = (uint8_t)c->tree.level_count;
    content.top_count = (uint8_t)c->tree.top_count;
    content.top_digests =
        c->digests + (size_t)cfc_tree_top_offset(&c->tree) * CFC_SHORT_DIGEST_SIZE;
    code = cfc_content_encode(&content, &bed->signer, c->frame, sizeof(c->frame), &c->frame_size);
    assert(code == CONFCAST_OK);
    (void)code;
    return c;
}

static inline struct cfc_digest
bed_content_id(uint8_t number)
{
    struct cfc_digest id;

    memset(id.bytes, number, sizeof(id.bytes));
    return id;
}

static inline struct bed_content *
bed_make_content(struct bed *bed, uint8_t number, size_t size, uint8_t k)
{
    struct cfc_digest id = bed_content_id(number);

    return bed_make_coding(bed, &id, 1, size, k);
}

static inline int
bed_put_made(struct bed *bed, struct bed_content *c, bool is_pull_only)
{
    return cfc_sender_put_content(bed->sender, c->frame, c->frame_size, c->digests,
                                  cfc_tree_digests_size(&c->tree), c->coded, is_pull_only,
                                  &c->slot);
}

static inline struct bed_content *
bed_put_content(struct bed *bed, uint8_t number, size_t size, uint8_t k)
{
    struct bed_content *c = bed_make_content(bed, number, size, k);
    int code = bed_put_made(bed, c, false);

    assert(code == CONFCAST_OK);
    (void)code;
    return c;
}

/* Puts a head of one arm for all. */
static inline int
bed_put_head_of(struct bed *bed, const char *scope, uint64_t epoch, uint64_t version,
                const struct cfc_digest *content, uint64_t issued_unix_ns)
{
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_head head = {
        .arm_count = 1,
        .epoch = epoch,
        .version = version,
        .issued_unix_ns = issued_unix_ns,
        .scope = scope,
        .scope_size = (uint16_t)strlen(scope),
        .arms = {{.selector = CFC_SELECT_ALL, .content = *content}},
    };
    size_t size;
    int code = cfc_head_encode(&head, &bed->signer, bed->sha, frame, sizeof(frame), &size);

    assert(code == CONFCAST_OK);
    return cfc_sender_put_head(bed->sender, frame, size, &bed->now);
}

/* Issued at a fixed time, so that the same arguments give the same frame. */
static inline int
bed_put_head(struct bed *bed, const char *scope, uint64_t epoch, uint64_t version,
             const struct cfc_digest *content)
{
    return bed_put_head_of(bed, scope, epoch, version, content, 1700000000 * CFC_S);
}

static inline uint64_t
bed_scope_id(struct bed *bed, const char *scope)
{
    return cfc_scope_id(bed->sha, scope, strlen(scope));
}

static inline uint32_t
bed_group(struct bed *bed, const char *scope)
{
    return (uint32_t)(bed_scope_id(bed, scope) % BED_CONTROL_GROUP);
}

/* A scope path that falls into `group`; the n-th such. */
static inline const char *
bed_scope_in(struct bed *bed, uint32_t group, uint32_t n, char out[32])
{
    for (uint32_t i = 0;; i++) {
        snprintf(out, 32, "acme/s%u", i);
        if (bed_group(bed, out) == group && n-- == 0) {
            return out;
        }
    }
}

/* Puts page `page` of a FRESH period with `scope_count` entries with scope ids 10, 20, ... */
static inline int
bed_put_fresh_page(struct bed *bed, uint32_t shard, uint64_t epoch, uint64_t sequence,
                   uint32_t scope_count, uint32_t page, bool is_changed)
{
    static struct cfc_fresh_entry entries[1024];
    static uint8_t nodes[1 << 16];
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_fresh_builder builder;
    struct cfc_fresh fixed = {.shard = shard,
                              .epoch = epoch,
                              .sequence = sequence,
                              .time_unix_ns = bed->now.unix_ns,
                              .fleet_size = 100};
    size_t size;
    int code;

    assert(scope_count <= 1024 && cfc_fresh_nodes_size(scope_count) <= sizeof(nodes));
    for (uint32_t i = 0; i < scope_count; i++) {
        entries[i] = (struct cfc_fresh_entry){.scope_id = (i + 1) * 10, .version = sequence};
    }
    code = cfc_fresh_builder_init(&builder, &fixed, entries, scope_count, nodes, &bed->signer,
                                  bed->sha);
    assert(code == CONFCAST_OK);
    code = cfc_fresh_encode_page(&builder, page, frame, sizeof(frame), &size);
    assert(code == CONFCAST_OK);
    return cfc_sender_put_fresh(bed->sender, frame, size, is_changed, &bed->now);
}

static inline void
consumer_init_named(struct bed *bed, struct bed_consumer *c, uint32_t number, const char *id)
{
    struct cfc_key fleet_report_key;

    memset(c, 0, sizeof(*c));
    c->id_size = (size_t)snprintf(c->id, sizeof(c->id), "%s", id);
    c->key = cfc_consumer_key(bed->sha, c->id, c->id_size);
    c->incarnation = 5;
    c->address = cfc_address_ipv4(0x0a010000 + number, 40000);
    cfc_credential_key(&bed->config.fleet_key, CFC_DOMAIN_CRED_SESSION, c->id, c->id_size,
                       &c->credential_key);
    memset(fleet_report_key.bytes, 0x33, CFC_KEY_SIZE);
    cfc_credential_key(&fleet_report_key, CFC_DOMAIN_CRED_REPORT, c->id, c->id_size,
                       &c->report_key);
    memset(c->nonce, (int)number, sizeof(c->nonce));
}

static inline void
consumer_init(struct bed *bed, struct bed_consumer *c, uint32_t number)
{
    char id[32];

    snprintf(id, sizeof(id), "host-%u", number);
    consumer_init_named(bed, c, number, id);
}

static inline int
consumer_give(struct bed *bed, struct bed_consumer *c)
{
    return cfc_sender_on_frame(bed->sender, c->frame, c->size, &c->address, &bed->now);
}

static inline void
consumer_write_hello(struct bed_consumer *c)
{
    struct cfc_hello hello = {.consumer_key = c->key,
                              .incarnation = c->incarnation,
                              .id = c->id,
                              .id_size = (uint8_t)c->id_size};
    int code;

    memcpy(hello.nonce, c->nonce, sizeof(hello.nonce));
    memcpy(hello.cookie, c->cookie, sizeof(hello.cookie));
    code = cfc_hello_encode(&hello, &c->credential_key, c->frame, sizeof(c->frame), &c->size);
    assert(code == CONFCAST_OK);
    (void)code;
}

static inline int
consumer_hello(struct bed *bed, struct bed_consumer *c)
{
    consumer_write_hello(c);
    return consumer_give(bed, c);
}

/* Takes the WELCOMEs that are waiting and keeps the last one for this consumer; how many. */
static inline uint32_t
consumer_take_welcome(struct bed *bed, struct bed_consumer *c)
{
    uint32_t count = 0;

    bed_drain(bed);
    for (uint32_t i = 0; i < bed->sent_count; i++) {
        struct cfc_frame frame;

        if (sent_type(&bed->sent[i]) == CFC_FRAME_WELCOME &&
            is_sent_to(&bed->sent[i], &c->address)) {
            int code = cfc_frame_open(bed->sent[i].bytes, bed->sent[i].size, &frame);

            assert(code == CONFCAST_OK);
            code = cfc_welcome_decode(&frame, &c->welcome);
            assert(code == CONFCAST_OK);
            (void)code;
            count++;
        }
    }
    if (count > 0 && c->welcome.kind == CFC_WELCOME_CHALLENGE) {
        memcpy(c->cookie, c->welcome.token, sizeof(c->cookie));
    }
    if (count > 0 && c->welcome.kind == CFC_WELCOME_ACCEPT) {
        c->session = c->welcome.session;
        c->seq = 0;
        cfc_session_key(&c->credential_key, c->nonce, c->welcome.token, BED_BOOT_ID,
                        &c->session_key);
    }
    return count;
}

/* The whole handshake. */
static inline void
consumer_join(struct bed *bed, struct bed_consumer *c)
{
    memset(c->cookie, 0, sizeof(c->cookie));
    consumer_hello(bed, c);
    consumer_take_welcome(bed, c);
    assert(c->welcome.kind == CFC_WELCOME_CHALLENGE);
    consumer_hello(bed, c);
    consumer_take_welcome(bed, c);
    assert(c->welcome.kind == CFC_WELCOME_ACCEPT);
}

static inline void
consumer_write_nack(struct bed_consumer *c, const struct cfc_nack_entry *entries, uint16_t count)
{
    struct cfc_writer w = cfc_writer_of(c->frame, sizeof(c->frame));
    int code = cfc_nack_write(&w, c->key, entries, count);

    assert(code == CONFCAST_OK);
    code = cfc_trailer_seal(&w, c->session, ++c->seq, &c->session_key, &c->address, &c->size);
    assert(code == CONFCAST_OK);
    (void)code;
}

static inline int
consumer_nack(struct bed *bed, struct bed_consumer *c, const struct cfc_nack_entry *entries,
              uint16_t count)
{
    consumer_write_nack(c, entries, count);
    return consumer_give(bed, c);
}

static inline int
consumer_nack_symbols(struct bed *bed, struct bed_consumer *c, const struct bed_content *content,
                      uint32_t block, uint64_t mask)
{
    struct cfc_nack_entry entry = {.want = CFC_WANT_SYMBOLS,
                                   .coding = content->tree.content.coding,
                                   .index = block,
                                   .key = cfc_digest_key(&content->id),
                                   .mask = mask,
                                   .count = (uint16_t)__builtin_popcountll(mask)};

    return consumer_nack(bed, c, &entry, 1);
}

static inline void
consumer_write_report(struct bed_consumer *c, uint64_t report_seq, uint8_t part, uint8_t part_count,
                      uint64_t scope_id)
{
    struct cfc_writer w = cfc_writer_of(c->frame, sizeof(c->frame));
    struct cfc_report report = {.consumer_key = c->key,
                                .incarnation = c->incarnation,
                                .report_seq = report_seq,
                                .part = part,
                                .part_count = part_count,
                                .entry_count = 1};
    struct cfc_report_entry entry = {.scope_id = scope_id};
    int code = cfc_report_write(&w, &report, &entry, c->id, c->id_size, &c->report_key);

    assert(code == CONFCAST_OK);
    code = cfc_trailer_seal(&w, c->session, ++c->seq, &c->session_key, &c->address, &c->size);
    assert(code == CONFCAST_OK);
    (void)code;
}

static inline int
consumer_report(struct bed *bed, struct bed_consumer *c, uint64_t report_seq, uint64_t scope_id)
{
    consumer_write_report(c, report_seq, 0, 1, scope_id);
    return consumer_give(bed, c);
}

#endif
