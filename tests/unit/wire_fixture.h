/* What the tests of protocol/wire share: a key pair from a fixed seed in a real Ed25519 ring, a
 * SHA-256 context, and a valid example of every message. */
#ifndef CFC_TESTS_WIRE_FIXTURE_H
#define CFC_TESTS_WIRE_FIXTURE_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/content.h"
#include "protocol/wire/fresh.h"
#include "protocol/wire/head.h"
#include "protocol/wire/link.h"
#include "protocol/wire/loss.h"
#include "protocol/wire/nack.h"
#include "protocol/wire/report.h"

#define FIXTURE_SCOPE    "acme/checkout/prod"
#define FIXTURE_CONSUMER "host-17.eu-1"
#define FIXTURE_BOOT_ID  UINT64_C(0xb007b007b007b007)

struct fixture {
    struct cfc_sha256 *sha;
    struct cfc_signing_key signing_key;
    struct cfc_signer signer;
    struct cfc_keyring ring;
    struct cfc_verifier verifier;
    struct cfc_key credential_key; /* towards engines */
    struct cfc_key report_key;     /* towards the control plane */
    struct cfc_key session_key;
    struct cfc_address address;
    uint8_t hello_nonce[CFC_NONCE_SIZE];
    uint8_t engine_nonce[CFC_NONCE_SIZE];
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    size_t size;
};

static inline void
fill(void *out, size_t size, uint8_t first)
{
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)out)[i] = (uint8_t)(first + i);
    }
}

static inline struct cfc_ring_key
ring_key_of(const struct cfc_signing_key *key)
{
    struct cfc_ring_key ring_key = {0};

    memcpy(ring_key.public_key, key->public_key, sizeof(ring_key.public_key));
    return ring_key;
}

static inline void
fixture_open(struct fixture *f)
{
    struct cfc_ring_key ring_key;
    struct cfc_key fleet_key;
    uint8_t seed[32];

    memset(f, 0, sizeof(*f));
    f->sha = cfc_sha256_new();
    assert(f->sha != NULL);
    fill(seed, sizeof(seed), 0);
    cfc_signing_key_from_seed(seed, &f->signing_key);
    f->signer = cfc_signing_key_signer(&f->signing_key);
    ring_key = ring_key_of(&f->signing_key);
    cfc_keyring_add(&f->ring, &ring_key);
    f->verifier = cfc_keyring_verifier(&f->ring);
    fill(f->hello_nonce, sizeof(f->hello_nonce), 1);
    fill(f->engine_nonce, sizeof(f->engine_nonce), 9);
    fill(&fleet_key, sizeof(fleet_key), 0x40);
    cfc_credential_key(&fleet_key, CFC_DOMAIN_CRED_SESSION, FIXTURE_CONSUMER,
                       sizeof(FIXTURE_CONSUMER) - 1, &f->credential_key);
    fill(&fleet_key, sizeof(fleet_key), 0x60);
    cfc_credential_key(&fleet_key, CFC_DOMAIN_CRED_REPORT, FIXTURE_CONSUMER,
                       sizeof(FIXTURE_CONSUMER) - 1, &f->report_key);
    cfc_session_key(&f->credential_key, f->hello_nonce, f->engine_nonce, FIXTURE_BOOT_ID,
                    &f->session_key);
    f->address = cfc_address_ipv4(0x0a000011, 40000);
}

static inline void
fixture_close(struct fixture *f)
{
    cfc_sha256_free(f->sha);
}

/* Opens a copy of the first `size` bytes with the size field set to fit, in memory of exactly that
 * size, so that the address sanitizer sees a read past the end. */
static inline uint8_t *
prefix_of(const struct fixture *f, size_t size, struct cfc_frame *out, int *rc)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert(copy != NULL);
    memcpy(copy, f->frame, size);
    if (size >= 6) {
        cfc_put_u16(copy + 4, (uint16_t)size);
    }
    *rc = cfc_frame_open(copy, size, out);
    return copy;
}

/* The body of {"retries":3}. */
static const uint8_t example_body[] = {'C', 'F', 'B', 1,   2,   8,   1, 11, 7, 'r',
                                       'e', 't', 'r', 'i', 'e', 's', 0, 4,  6};

static inline struct cfc_head
example_head(struct cfc_sha256 *sha)
{
    struct cfc_head head = {
        .kind = CFC_HEAD_NORMAL,
        .activation = CFC_ACTIVATE_AT,
        .arm_count = 3,
        .shard = 7,
        .epoch = 5,
        .version = 1042,
        .issued_unix_ns = UINT64_C(1700000000000000000),
        .not_after_unix_ns = UINT64_C(1700086400000000000),
        .activate_unix_ns = UINT64_C(1700000060000000000),
        .confirm_by_unix_ns = UINT64_C(1700000360000000000),
        .rollout_salt = UINT64_C(0x1122334455667788),
        .scope = FIXTURE_SCOPE,
        .scope_size = sizeof(FIXTURE_SCOPE) - 1,
    };

    head.arms[0] = (struct cfc_arm){.selector = CFC_SELECT_LABEL,
                                    .label_key = "zone",
                                    .label_key_size = 4,
                                    .label_value = "eu-1",
                                    .label_value_size = 4};
    head.arms[1] = (struct cfc_arm){.selector = CFC_SELECT_COHORT, .threshold = 0x0ccccccc};
    head.arms[2] = (struct cfc_arm){.selector = CFC_SELECT_ALL};
    fill(&head.arms[0].content, 32, 0x10);
    fill(&head.arms[1].content, 32, 0x30);
    cfc_content_id(sha, example_body, sizeof(example_body), &head.arms[2].content);
    fill(&head.arms[0].fallback, 32, 0xa0);
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .arm = 2,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = sizeof(example_body),
                                               .coded = example_body,
                                               .coded_size = sizeof(example_body)};
    return head;
}

/* 100,000 coded bytes in 70 symbols of 1,440 bytes: 5 blocks of 16, the last of 6. */
static inline struct cfc_content
example_content(void)
{
    static uint8_t top[5 * CFC_SHORT_DIGEST_SIZE];
    struct cfc_content content = {
        .coding = 1,
        .encoding = CFC_ENCODING_ZSTD_DELTA,
        .fec_code = CFC_FEC_RS_CAUCHY,
        .fec_k = 16,
        .repair_leaves = 8,
        .body_size = 700000,
        .coded_size = 100000,
        .symbol_size = 1440,
        .page_levels = 1,
        .top_count = 5,
        .shard = 7,
        .top_digests = top,
    };

    fill(top, sizeof(top), 0x80);
    fill(&content.content, 32, 0x10);
    fill(&content.base, 32, 0x50);
    return content;
}

static inline struct cfc_hello
example_hello(struct cfc_sha256 *sha)
{
    static uint8_t holds[16];
    static uint8_t proof[40];
    struct cfc_hello hello = {
        .consumer_key = cfc_consumer_key(sha, FIXTURE_CONSUMER, sizeof(FIXTURE_CONSUMER) - 1),
        .incarnation = 12,
        .id = FIXTURE_CONSUMER,
        .id_size = sizeof(FIXTURE_CONSUMER) - 1,
        .label_count = 2,
        .labels = {{"zone", "eu-1", 4, 4}, {"tier", "", 4, 0}},
        .head_proof = proof,
        .head_proof_size = sizeof(proof),
        .holds = holds,
        .hold_count = 2,
    };

    fill(hello.nonce, sizeof(hello.nonce), 1);
    fill(hello.cookie, sizeof(hello.cookie), 2);
    fill(holds, sizeof(holds), 3);
    fill(proof, sizeof(proof), 4);
    return hello;
}

static inline struct cfc_welcome
example_welcome(void)
{
    struct cfc_welcome welcome = {
        .boot_id = FIXTURE_BOOT_ID,
        .kind = CFC_WELCOME_ACCEPT,
        .session = 77,
        .observed = cfc_address_ipv4(0x0a000011, 40000),
        .windows = {.hello_ms = 1000, .nack_us = 2000, .report_ms = 3000, .report_generation = 4},
    };

    fill(welcome.nonce, sizeof(welcome.nonce), 1);
    fill(welcome.token, sizeof(welcome.token), 9);
    return welcome;
}

static inline struct cfc_status
example_status(void)
{
    return (struct cfc_status){
        .boot_id = FIXTURE_BOOT_ID,
        .time_unix_ns = UINT64_C(1700000000000000000),
        .fleet_size = 100000,
        .windows = {.hello_ms = 1000, .nack_us = 2000, .report_ms = 3000, .report_generation = 4},
        .unicast = cfc_address_ipv4(0x0a000001, 7401),
        .echo_count = 2,
    };
}

static const struct cfc_echo example_echoes[2] = {{UINT64_C(0x1111), 5}, {UINT64_C(0x2222), 6}};

static inline struct cfc_report
example_report(struct cfc_sha256 *sha)
{
    return (struct cfc_report){
        .consumer_key = cfc_consumer_key(sha, FIXTURE_CONSUMER, sizeof(FIXTURE_CONSUMER) - 1),
        .incarnation = 12,
        .report_seq = 34,
        .clock_error_ns = -1500000,
        .clock_bound_us = 900,
        .part = 0,
        .part_count = 1,
        .entry_count = 2,
    };
}

static const struct cfc_report_entry example_report_entries[2] = {
    {.scope_id = 0x1001,
     .epoch = 5,
     .accepted = 1042,
     .serving_version = 1042,
     .durable = 1041,
     .serving_content = 0x7001,
     .state = CFC_APPLY_APPLIED,
     .arm = 2,
     .flags = CFC_REPORT_FLAG_FROM_DISK},
    {.scope_id = 0x1002, .epoch = 5, .accepted = 9, .state = CFC_APPLY_REJECTED, .reason = 61},
};

static const struct cfc_nack_entry example_nack_entries[5] = {
    {.want = CFC_WANT_HEAD, .key = 0x1001, .mask = 1042},
    {.want = CFC_WANT_CONTENT, .key = 0x7001},
    {.want = CFC_WANT_PAGE, .level = 1, .coding = 1, .index = 3, .key = 0x7001},
    {.want = CFC_WANT_SYMBOLS, .coding = 1, .index = 4, .key = 0x7001, .mask = 0x15, .count = 3},
    {.want = CFC_WANT_FRESH, .key = 7, .mask = 0x1001},
};

#endif
