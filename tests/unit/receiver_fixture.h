/* What the tests of the receiver share: a bench with one receiver, a sender written by hand (heads,
 * contents, FRESH and STATUS under a cheap signature that the bench's verifier knows), and an owner
 * that does what owners do and keeps a log of the events. */
#ifndef CFC_TESTS_RECEIVER_FIXTURE_H
#define CFC_TESTS_RECEIVER_FIXTURE_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/fec/fec.h"
#include "protocol/session/receiver.h"
#include "protocol/snapshot/repairs.h"
#include "protocol/snapshot/tree.h"
#include "protocol/trust/mac.h"
#include "protocol/wire/content.h"
#include "protocol/wire/fresh.h"
#include "protocol/wire/head.h"
#include "protocol/wire/link.h"
#include "protocol/wire/nack.h"
#include "protocol/wire/report.h"
#include "tests/unit/heap.h"

#define BENCH_SCOPE   "acme/checkout/prod"
#define BENCH_ID      "host-17.eu-1"
#define BENCH_BOOT_ID UINT64_C(0xb007b007b007b007)
#define BENCH_EPOCH   5
#define BENCH_SHARD   7
#define BENCH_UNIX_NS UINT64_C(1700000000000000000)
#define BENCH_EVENTS  64

struct bench {
    struct cfc_test_heap heap;
    struct cfc_sha256 *sha;
    struct cfc_signer signer;
    uint32_t verifications; /* signatures that the receiver had checked */
    int verdict;            /* of the verifier for right signatures; CONFCAST_OK at first */
    bool is_confined;       /* the key has no authority for the whole shard */
    struct cfc_key credential_key;
    struct cfc_key report_key;
    struct cfc_receiver_config config;
    struct cfc_receiver *r;
    uint32_t scope; /* idx of BENCH_SCOPE */
    struct cfc_now now;
    struct cfc_address address; /* of the consumer, as the engine sees it */
    struct cfc_windows windows;
    uint64_t boot_id;
    struct cfc_key session_key;
    struct cfc_prng prng;
    uint8_t repair_leaves; /* of contents made from now on; 0 = no erasure code */

    /* The owner. */
    int content_code; /* its answer to CONTENT; 1 = check the id of a RAW body */
    int serve_code;   /* its answer to SERVE */
    bool is_lazy;     /* it answers nothing */
    struct cfc_receiver_event events[BENCH_EVENTS];
    uint32_t event_count;

    uint8_t frame[CFC_FRAME_SIZE_MAX]; /* last frame made or polled */
    size_t size;
};

/* A digest whose bytes are all alike. */
static inline struct cfc_digest
digest_of(uint8_t byte)
{
    struct cfc_digest digest;

    memset(&digest, byte, sizeof(digest));
    return digest;
}

static inline void
bench_signature(struct cfc_sha256 *sha, const char *domain, const uint8_t *bytes, size_t size,
                uint8_t signature[CFC_SIGNATURE_SIZE])
{
    struct cfc_digest digest;

    cfc_sha256_once(sha, domain, bytes, size, &digest);
    memcpy(signature, digest.bytes, 32);
    memcpy(signature + 32, digest.bytes, 32);
}

static inline int
bench_sign(void *ctx, const char *domain, const uint8_t *bytes, size_t size,
           uint8_t signature[CFC_SIGNATURE_SIZE])
{
    struct bench *b = ctx;

    bench_signature(b->sha, domain, bytes, size, signature);
    return CONFCAST_OK;
}

static inline int
bench_verify(void *ctx, const uint8_t key_id[CFC_KEY_ID_SIZE], const char *scope, size_t scope_size,
             uint64_t unix_ns, const char *domain, const uint8_t *bytes, size_t size,
             const uint8_t signature[CFC_SIGNATURE_SIZE])
{
    struct bench *b = ctx;
    uint8_t expected[CFC_SIGNATURE_SIZE];

    (void)unix_ns;
    b->verifications++;
    if (b->is_confined && scope != NULL && scope_size == 0) {
        return CONFCAST_ERR_AUTHORITY;
    }
    if (memcmp(key_id, b->signer.key_id, CFC_KEY_ID_SIZE) != 0) {
        return CONFCAST_ERR_AUTHORITY;
    }
    bench_signature(b->sha, domain, bytes, size, expected);
    return memcmp(signature, expected, sizeof(expected)) == 0 ? b->verdict : CONFCAST_ERR_SIGNATURE;
}

/* Fills everything but the receiver, so that a test can change the config first. */
static inline void
bench_prepare(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    b->sha = cfc_sha256_new();
    assert(b->sha != NULL);
    memset(b->signer.key_id, 0x77, sizeof(b->signer.key_id));
    b->signer.sign = bench_sign;
    b->signer.ctx = b;
    memset(&b->credential_key, 0x11, sizeof(b->credential_key));
    memset(&b->report_key, 0x22, sizeof(b->report_key));
    b->address = cfc_address_ipv4(0x0a000011, 40000);
    b->boot_id = BENCH_BOOT_ID;
    b->windows = (struct cfc_windows){
        .hello_ms = 100, .nack_us = 125, .report_ms = 80, .report_generation = 1};
    b->now = (struct cfc_now){.mono_ns = CFC_S, .unix_ns = BENCH_UNIX_NS};
    b->prng.state = 1;
    b->content_code = 1;
    cfc_receiver_config_defaults(&b->config);
    b->config.id = BENCH_ID;
    b->config.id_size = sizeof(BENCH_ID) - 1;
    b->config.incarnation = 12;
    b->config.session_key = b->credential_key;
    b->config.report_key = b->report_key;
    b->config.verifier = (struct cfc_verifier){.verify = bench_verify, .ctx = b};
    b->config.alloc = cfc_test_heap_table(&b->heap);
    b->config.seed = 99;
}

static inline void
bench_open(struct bench *b)
{
    int code;

    bench_prepare(b);
    code = cfc_receiver_new(&b->config, &b->r);
    assert(code == CONFCAST_OK);
    code = cfc_receiver_subscribe(b->r, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1, &b->scope);
    assert(code == CONFCAST_OK);
    (void)code;
}

static inline void
bench_close(struct bench *b)
{
    cfc_receiver_free(b->r);
    b->r = NULL;
    cfc_sha256_free(b->sha);
}

static inline void
bench_wait(struct bench *b, uint64_t ns)
{
    b->now.mono_ns += ns;
    b->now.unix_ns += ns;
}

/* Gives the last frame made to the receiver. */
static inline int
bench_deliver(struct bench *b)
{
    return cfc_receiver_on_frame(b->r, b->frame, b->size, &b->now);
}

/* -- The sender ------------------------------------------------------------------------------- */

/* A head for all, activated now, without an inline content. */
static inline struct cfc_head
bench_head(const struct bench *b, uint64_t version, const struct cfc_digest *content)
{
    struct cfc_head head;

    memset(&head, 0, sizeof(head));
    head.kind = CFC_HEAD_NORMAL;
    head.activation = CFC_ACTIVATE_NOW;
    head.arm_count = 1;
    head.shard = BENCH_SHARD;
    head.epoch = BENCH_EPOCH;
    head.version = version;
    head.issued_unix_ns = b->now.unix_ns;
    head.scope = BENCH_SCOPE;
    head.scope_size = sizeof(BENCH_SCOPE) - 1;
    head.arms[0].selector = CFC_SELECT_ALL;
    head.arms[0].content = *content;
    return head;
}

static inline void
bench_make_head(struct bench *b, const struct cfc_head *head)
{
    int code = cfc_head_encode(head, &b->signer, b->sha, b->frame, sizeof(b->frame), &b->size);

    assert(code == CONFCAST_OK);
    (void)code;
}

static inline int
bench_send_head(struct bench *b, const struct cfc_head *head)
{
    bench_make_head(b, head);
    return bench_deliver(b);
}

static inline void
bench_digest_of(struct bench *b, const struct cfc_head *head, uint8_t out[CFC_SHORT_DIGEST_SIZE])
{
    struct cfc_frame frame;
    struct cfc_head decoded;
    int code;

    bench_make_head(b, head);
    code = cfc_frame_open(b->frame, b->size, &frame);
    assert(code == CONFCAST_OK);
    code = cfc_head_decode(&frame, b->sha, &decoded);
    assert(code == CONFCAST_OK);
    (void)code;
    cfc_head_digest(&decoded, b->sha, out);
}

/* A content of pseudo-random bytes, coded RAW. */
struct made {
    struct cfc_digest id;
    uint8_t *body;
    size_t size;
    uint8_t *digests;
    uint8_t *repairs; /* those that have a leaf, or NULL */
    struct cfc_tree tree;
    struct cfc_content content;
};

static inline void
made_content_encoding(struct bench *b, struct made *m, size_t size, uint32_t symbol_size,
                      uint32_t fec_k, uint16_t coding)
{
    int code;

    memset(m, 0, sizeof(*m));
    m->size = size;
    m->body = malloc(size);
    assert(m->body != NULL);
    for (size_t i = 0; i < size; i++) {
        m->body[i] = (uint8_t)cfc_prng_next(&b->prng);
    }
    cfc_content_id(b->sha, m->body, size, &m->id);
    m->content =
        (struct cfc_content){.coding = coding,
                             .encoding = CFC_ENCODING_RAW,
                             .fec_code = b->repair_leaves > 0 ? CFC_FEC_RS_CAUCHY : CFC_FEC_NONE,
                             .fec_k = (uint8_t)fec_k,
                             .repair_leaves = b->repair_leaves,
                             .body_size = size,
                             .coded_size = size,
                             .symbol_size = (uint16_t)symbol_size,
                             .shard = BENCH_SHARD,
                             .content = m->id};
    code = cfc_tree_init(&m->tree, &m->content);
    assert(code == CONFCAST_OK);
    m->digests = malloc(cfc_tree_digests_size(&m->tree));
    assert(m->digests != NULL);
    m->repairs = b->repair_leaves > 0 ? malloc(cfc_repairs_size(&m->tree)) : NULL;
    assert((m->repairs != NULL) == (b->repair_leaves > 0));
    if (m->repairs != NULL) {
        cfc_repairs_build(&m->tree, m->body, m->repairs);
    }
    cfc_tree_build(&m->tree, b->sha, m->body, m->repairs, m->digests);
    m->content.page_levels = (uint8_t)m->tree.level_count;
    m->content.top_count = (uint8_t)m->tree.top_count;
    m->content.top_digests =
        m->digests + (size_t)cfc_tree_top_offset(&m->tree) * CFC_SHORT_DIGEST_SIZE;
    (void)code;
}

static inline void
made_content(struct bench *b, struct made *m, size_t size)
{
    made_content_encoding(b, m, size, 100, 8, 1);
}

static inline void
made_free(struct made *m)
{
    free(m->body);
    free(m->digests);
    free(m->repairs);
}

static inline void
bench_make_content(struct bench *b, const struct made *m)
{
    int code = cfc_content_encode(&m->content, &b->signer, b->frame, sizeof(b->frame), &b->size);

    assert(code == CONFCAST_OK);
    (void)code;
}

static inline int
bench_send_content(struct bench *b, const struct made *m)
{
    bench_make_content(b, m);
    return bench_deliver(b);
}

static inline void
bench_make_page(struct bench *b, const struct made *m, uint32_t level, uint32_t index)
{
    struct cfc_page page = {.coding = m->content.coding,
                            .level = (uint8_t)level,
                            .digest_count = (uint8_t)cfc_tree_page_digests(&m->tree, level, index),
                            .index = index,
                            .digests =
                                m->digests + (size_t)cfc_tree_page_offset(&m->tree, level, index) *
                                                 CFC_SHORT_DIGEST_SIZE};
    int code = cfc_page_encode(cfc_digest_key(&m->id), &page, b->frame, sizeof(b->frame), &b->size);

    assert(code == CONFCAST_OK);
    (void)code;
}

static inline int
bench_send_page(struct bench *b, const struct made *m, uint32_t level, uint32_t index)
{
    bench_make_page(b, m, level, index);
    return bench_deliver(b);
}

/* Repair symbol `row` of a block, with a leaf or without. */
static inline void
bench_make_repair(struct bench *b, const struct made *m, uint32_t block, uint32_t row)
{
    const struct cfc_content *c = &m->content;
    uint32_t k = cfc_geometry_block_symbols(&m->tree.geometry, c, block);
    size_t offset = (size_t)block * c->fec_k * c->symbol_size;
    int code = cfc_fec_encode(m->body + offset, k, c->symbol_size,
                              cfc_geometry_symbol_size(&m->tree.geometry, c, block, k - 1), row, 1,
                              b->frame + CFC_SYMBOL_HEADER_SIZE);

    assert(code == CONFCAST_OK);
    (void)code;
    cfc_symbol_header(cfc_digest_key(&m->id), c->coding, block, (uint16_t)row, c->symbol_size,
                      b->frame);
    b->size = CFC_SYMBOL_HEADER_SIZE + c->symbol_size;
}

static inline void
bench_make_source(struct bench *b, const struct made *m, uint32_t block, uint32_t index)
{
    uint32_t size = cfc_geometry_symbol_size(&m->tree.geometry, &m->content, block, index);
    size_t offset = ((size_t)block * m->content.fec_k + index) * m->content.symbol_size;

    cfc_symbol_header(cfc_digest_key(&m->id), m->content.coding, block, (uint16_t)index, size,
                      b->frame);
    memcpy(b->frame + CFC_SYMBOL_HEADER_SIZE, m->body + offset, size);
    b->size = CFC_SYMBOL_HEADER_SIZE + size;
}

static inline void
bench_make_symbol(struct bench *b, const struct made *m, uint32_t block, uint32_t index)
{
    if (m->content.fec_code == CFC_FEC_RS_CAUCHY &&
        index >= cfc_geometry_block_symbols(&m->tree.geometry, &m->content, block)) {
        bench_make_repair(b, m, block, index);
        return;
    }
    bench_make_source(b, m, block, index);
}

static inline int
bench_send_symbol(struct bench *b, const struct made *m, uint32_t block, uint32_t index)
{
    bench_make_symbol(b, m, block, index);
    return bench_deliver(b);
}

static inline void
bench_send_block(struct bench *b, const struct made *m, uint32_t block)
{
    uint32_t count = cfc_geometry_block_symbols(&m->tree.geometry, &m->content, block);

    (void)bench_send_page(b, m, 0, block);
    for (uint32_t i = 0; i < count; i++) {
        (void)bench_send_symbol(b, m, block, i);
    }
}

/* CONTENT, then all upper pages, then block after block. */
static inline void
bench_send_all(struct bench *b, const struct made *m)
{
    (void)bench_send_content(b, m);
    for (uint32_t level = m->tree.level_count - 1; level > 0; level--) {
        for (uint32_t i = 0; i < m->tree.geometry.page_counts[level]; i++) {
            (void)bench_send_page(b, m, level, i);
        }
    }
    for (uint32_t block = 0; block < m->tree.geometry.block_count; block++) {
        bench_send_block(b, m, block);
    }
}

/* Page `page` of a FRESH of the bench's shard over `entries`, which ascend. */
static inline int
bench_make_fresh(struct bench *b, uint64_t epoch, uint64_t sequence, uint64_t time_unix_ns,
                 const struct cfc_fresh_entry *entries, uint32_t count, uint32_t page)
{
    struct cfc_fresh fixed;
    struct cfc_fresh_builder builder;
    uint8_t *nodes = malloc(cfc_fresh_nodes_size(count) + 1);
    int code;

    assert(nodes != NULL);
    memset(&fixed, 0, sizeof(fixed));
    fixed.shard = BENCH_SHARD;
    fixed.epoch = epoch;
    fixed.sequence = sequence;
    fixed.time_unix_ns = time_unix_ns;
    fixed.not_after_unix_ns = time_unix_ns + 60 * CFC_S;
    fixed.fleet_size = 1;
    code = cfc_fresh_builder_init(&builder, &fixed, entries, count, nodes, &b->signer, b->sha);
    if (code == CONFCAST_OK) {
        code = cfc_fresh_encode_page(&builder, page, b->frame, sizeof(b->frame), &b->size);
    }
    free(nodes);
    return code;
}

/* A FRESH of now that lists the bench's scope with this head. */
static inline int
bench_send_fresh(struct bench *b, uint64_t epoch, uint64_t sequence, const struct cfc_head *head)
{
    struct cfc_fresh_entry entry;
    int code;

    entry.scope_id = cfc_scope_id(b->sha, BENCH_SCOPE, sizeof(BENCH_SCOPE) - 1);
    entry.version = head->version;
    bench_digest_of(b, head, entry.head_digest);
    code = bench_make_fresh(b, epoch, sequence, b->now.unix_ns, &entry, 1, 0);
    assert(code == CONFCAST_OK);
    (void)code;
    return bench_deliver(b);
}

static inline int
bench_send_status(struct bench *b, const struct cfc_echo *echoes, uint16_t count)
{
    struct cfc_status status;
    int code;

    memset(&status, 0, sizeof(status));
    status.boot_id = b->boot_id;
    status.time_unix_ns = b->now.unix_ns;
    status.fleet_size = 1;
    status.windows = b->windows;
    status.unicast = cfc_address_ipv4(0x0a000001, 7401);
    status.echo_count = count;
    code = cfc_status_encode(&status, echoes, b->frame, sizeof(b->frame), &b->size);
    assert(code == CONFCAST_OK);
    (void)code;
    return bench_deliver(b);
}

/* -- Frames of the receiver ------------------------------------------------------------------- */

/* The type of the next frame that the receiver sends now; 0 for none. */
static inline uint8_t
bench_poll(struct bench *b, struct cfc_frame *frame)
{
    int code = cfc_receiver_poll_frame(b->r, &b->now, b->frame, sizeof(b->frame), &b->size);

    if (code == CONFCAST_ERR_AGAIN) {
        return 0;
    }
    assert(code == CONFCAST_OK);
    code = cfc_frame_open(b->frame, b->size, frame);
    assert(code == CONFCAST_OK);
    (void)code;
    return frame->type;
}

/* Goes on until the receiver sends a frame of `type`, at most `ns`; skips other frames.  False when
 * none came. */
static inline bool
bench_await(struct bench *b, uint8_t type, uint64_t ns, struct cfc_frame *frame)
{
    uint64_t end_ns = b->now.mono_ns + ns;

    for (;;) {
        uint64_t deadline_ns;
        uint8_t polled = bench_poll(b, frame);

        if (polled == type) {
            return true;
        }
        if (polled != 0) {
            continue;
        }
        deadline_ns = cfc_receiver_deadline(b->r);
        if (deadline_ns > end_ns) {
            bench_wait(b, end_ns - b->now.mono_ns);
            return false;
        }
        if (deadline_ns > b->now.mono_ns) {
            bench_wait(b, deadline_ns - b->now.mono_ns);
        } else {
            struct cfc_receiver_event event;

            /* An event is due. */
            if (cfc_receiver_poll_event(b->r, &b->now, &event) == CONFCAST_OK) {
                assert(b->event_count < BENCH_EVENTS);
                b->events[b->event_count++] = event;
            }
        }
    }
}

static inline void
bench_make_welcome(struct bench *b, const struct cfc_hello *hello, uint8_t kind)
{
    struct cfc_welcome welcome;
    int code;

    memset(&welcome, 0, sizeof(welcome));
    welcome.boot_id = b->boot_id;
    welcome.kind = kind;
    memcpy(welcome.nonce, hello->nonce, sizeof(welcome.nonce));
    welcome.observed = b->address;
    welcome.windows = b->windows;
    if (kind != CFC_WELCOME_REFUSE) {
        memset(welcome.token, kind == CFC_WELCOME_CHALLENGE ? 0xcc : 0xee, sizeof(welcome.token));
    } else {
        welcome.refusal = (uint16_t)-CONFCAST_ERR_EXISTS;
    }
    if (kind == CFC_WELCOME_ACCEPT) {
        welcome.session = 77;
        cfc_session_key(&b->credential_key, hello->nonce, welcome.token, b->boot_id,
                        &b->session_key);
    }
    code = cfc_welcome_encode(&welcome, &b->credential_key, b->frame, sizeof(b->frame), &b->size);
    assert(code == CONFCAST_OK);
    (void)code;
}

/* Waits for a HELLO and answers it.  False when none came or the answer was refused. */
static inline bool
bench_answer_hello(struct bench *b, uint8_t kind, struct cfc_hello *hello)
{
    struct cfc_frame frame;

    if (!bench_await(b, CFC_FRAME_HELLO, 10 * CFC_S, &frame) ||
        cfc_hello_decode(&frame, b->sha, hello) != CONFCAST_OK ||
        cfc_hello_check(&frame, &b->credential_key) != CONFCAST_OK) {
        return false;
    }
    bench_make_welcome(b, hello, kind);
    return bench_deliver(b) == CONFCAST_OK;
}

/* The whole handshake. */
static inline void
bench_link(struct bench *b)
{
    struct cfc_hello hello;
    bool is_good = bench_answer_hello(b, CFC_WELCOME_CHALLENGE, &hello) &&
                   bench_answer_hello(b, CFC_WELCOME_ACCEPT, &hello);

    assert(is_good && cfc_receiver_is_linked(b->r));
    (void)is_good;
}

/* Waits for a NACK and decodes its entries; 0 when none came within `ns`. */
static inline uint32_t
bench_await_nack(struct bench *b, uint64_t ns, struct cfc_nack_entry entries[CFC_NACK_ENTRIES_MAX])
{
    struct cfc_frame frame;
    struct cfc_nack nack;
    int code;

    if (!bench_await(b, CFC_FRAME_NACK, ns, &frame)) {
        return 0;
    }
    code = cfc_trailer_check(&frame, &b->session_key, &b->address);
    assert(code == CONFCAST_OK);
    code = cfc_nack_decode(&frame, &nack);
    assert(code == CONFCAST_OK);
    (void)code;
    for (uint32_t i = 0; i < nack.entry_count; i++) {
        cfc_nack_entry_at(&nack, i, &entries[i]);
    }
    return nack.entry_count;
}

static inline const struct cfc_nack_entry *
find_want(const struct cfc_nack_entry *entries, uint32_t count, uint8_t want)
{
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].want == want) {
            return &entries[i];
        }
    }
    return NULL;
}

/* -- The owner -------------------------------------------------------------------------------- */

static inline void
bench_answer(struct bench *b, const struct cfc_receiver_event *event)
{
    if (b->is_lazy) {
        return;
    }
    if (event->type == CFC_EVENT_CONTENT) {
        int code = b->content_code;

        if (code == 1) {
            struct cfc_digest id;

            cfc_content_id(b->sha, event->bytes, event->size, &id);
            code = cfc_digest_equal(&id, &event->content) ? CONFCAST_OK : CONFCAST_ERR_DIGEST;
        }
        (void)cfc_receiver_content_done(b->r, &event->content, code, &b->now);
    } else if (event->type == CFC_EVENT_SERVE) {
        (void)cfc_receiver_served(b->r, event->scope_idx, b->serve_code, &b->now);
    }
}

/* Takes all events, answers them, and appends them to the log. */
static inline void
bench_run_owner(struct bench *b)
{
    struct cfc_receiver_event event;

    while (cfc_receiver_poll_event(b->r, &b->now, &event) == CONFCAST_OK) {
        assert(b->event_count < BENCH_EVENTS);
        b->events[b->event_count++] = event;
        bench_answer(b, &event);
    }
}

/* How many events of a type are in the log. */
static inline uint32_t
bench_count(const struct bench *b, enum cfc_receiver_event_type type)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < b->event_count; i++) {
        count += b->events[i].type == type;
    }
    return count;
}

/* The last event of a type; one with an impossible version when there is none. */
static inline const struct cfc_receiver_event *
bench_last(const struct bench *b, enum cfc_receiver_event_type type)
{
    static const struct cfc_receiver_event none = {.version = UINT64_MAX, .state = UINT8_MAX};

    for (uint32_t i = b->event_count; i > 0; i--) {
        if (b->events[i - 1].type == type) {
            return &b->events[i - 1];
        }
    }
    return &none;
}

static inline void
bench_forget(struct bench *b)
{
    b->event_count = 0;
}

static inline struct cfc_receiver_scope
bench_scope(const struct bench *b)
{
    struct cfc_receiver_scope scope;
    int code = cfc_receiver_scope(b->r, b->scope, &scope);

    assert(code == CONFCAST_OK);
    (void)code;
    return scope;
}

/* Accepts a head at `version` for a made content, gets the content through, and has it served. */
static inline void
bench_publish(struct bench *b, uint64_t version, const struct made *m)
{
    struct cfc_head head = bench_head(b, version, &m->id);

    (void)bench_send_head(b, &head);
    bench_run_owner(b);
    bench_send_all(b, m);
    bench_run_owner(b);
}

#endif
