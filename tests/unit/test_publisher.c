/* The publisher against a real model on the store in memory and an engine of the test's own. */
#include "controlplane/publish/publisher.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "controlplane/store/store.h"
#include "protocol/base/prng.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/content.h"
#include "protocol/wire/fresh.h"
#include "protocol/wire/head.h"
#include "protocol/wire/link.h"
#include "protocol/wire/report.h"
#include "tests/unit/cunit_main.h"

enum {
    LONG_TEXT = 12288,
    PATIENCE_MS = 5000,
    QUIET_MS = 300
};

struct bench {
    char path[64];
    int listen_fd;
    int fd;       /* the publisher's connection */
    int arena_fd; /* the last descriptor that came */
    uint8_t packet[CFC_HANDOFF_SIZE_MAX];
    struct cfc_handoff message;
    struct cfc_store *store;
    struct cfc_service *service;
    struct cfc_publisher *publisher;
    struct cfc_signing_key key;
    struct cfc_keyring ring;
    struct cfc_key session_key;
    struct cfc_key report_key;
    struct cfc_sha256 *sha;
};

static struct bench b;

static void
start_publisher(void)
{
    struct cfc_publisher_config config = {
        .service = b.service,
        .signer = cfc_signing_key_signer(&b.key),
        .verifier = cfc_keyring_verifier(&b.ring),
        .report_key = b.report_key,
        .engine_socket = b.path,
        .fresh_period_ns = 100000000,
    };

    CU_ASSERT_EQUAL_FATAL(cfc_publisher_start(&config, &b.publisher), CONFCAST_OK);
}

static void
setup(void)
{
    static const uint8_t seed[32] = {3};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct cfc_ring_key ring_key = {.prefix_count = 0};

    memset(&b, 0, sizeof(b));
    cfc_log_set_level(CFC_LOG_ERROR);
    snprintf(b.path, sizeof(b.path), "/tmp/cfc-publisher-%ld.sock", (long)getpid());
    unlink(b.path);
    memcpy(address.sun_path, b.path, sizeof(b.path));
    b.fd = b.arena_fd = -1;
    b.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CU_ASSERT_EQUAL_FATAL(bind(b.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(b.listen_fd, 4), 0);
    b.sha = cfc_sha256_new();
    memset(b.session_key.bytes, 1, sizeof(b.session_key.bytes));
    memset(b.report_key.bytes, 2, sizeof(b.report_key.bytes));
    cfc_signing_key_from_seed(seed, &b.key);
    memcpy(ring_key.public_key, b.key.public_key, sizeof(ring_key.public_key));
    CU_ASSERT_EQUAL_FATAL(cfc_keyring_add(&b.ring, &ring_key), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_store_mem_open(&b.store), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(b.store, NULL, &b.service), CONFCAST_OK);
}

static void
drop_connection(void)
{
    if (b.fd >= 0) {
        close(b.fd);
        b.fd = -1;
    }
}

static void
teardown(void)
{
    cfc_publisher_stop(b.publisher);
    drop_connection();
    if (b.arena_fd >= 0) {
        close(b.arena_fd);
    }
    close(b.listen_fd);
    unlink(b.path);
    cfc_service_close(b.service);
    cfc_store_close(b.store);
    cfc_sha256_free(b.sha);
}

static void
send_message(const struct cfc_handoff *message)
{
    uint8_t bytes[CFC_HANDOFF_SIZE_MAX];
    size_t size = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_handoff_encode(message, bytes, sizeof(bytes), &size), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(send(b.fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* The next message, or false after `patience_ms` without one. */
static bool
next_message(int patience_ms)
{
    struct pollfd wait = {.fd = b.fd, .events = POLLIN};
    struct iovec piece = {.iov_base = b.packet, .iov_len = sizeof(b.packet)};
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    ssize_t size;

    if (poll(&wait, 1, patience_ms) != 1) {
        return false;
    }
    size = recvmsg(b.fd, &header, 0);
    if (size <= 0) {
        return false;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
        if (b.arena_fd >= 0) {
            close(b.arena_fd);
        }
        memcpy(&b.arena_fd, CMSG_DATA(c), sizeof(b.arena_fd));
    }
    CU_ASSERT_EQUAL_FATAL(cfc_handoff_decode(b.packet, (size_t)size, &b.message), CONFCAST_OK);
    return true;
}

/* The next message of a type; others before it are passed over, but a HEAD or CONTENT never
 * silently. */
static void
expect(enum cfc_handoff_type type)
{
    do {
        CU_ASSERT_FATAL(next_message(PATIENCE_MS));
        if (b.message.type != type) {
            CU_ASSERT(b.message.type != CFC_HANDOFF_HEAD && b.message.type != CFC_HANDOFF_CONTENT);
        }
    } while (b.message.type != type);
}

static void
accept_publisher(void)
{
    struct pollfd wait = {.fd = b.listen_fd, .events = POLLIN};
    struct cfc_handoff hello = {
        .type = CFC_HANDOFF_ENGINE_HELLO,
        .u.engine_hello = {.boot_id = 9,
                           .frame_size_max = 1472,
                           .port_text = "t",
                           .port_text_size = 1},
    };

    drop_connection();
    CU_ASSERT_EQUAL_FATAL(poll(&wait, 1, PATIENCE_MS), 1);
    b.fd = accept(b.listen_fd, NULL, NULL);
    CU_ASSERT_FATAL(b.fd >= 0);
    expect(CFC_HANDOFF_CONTROL_HELLO);
    send_message(&hello);
    expect(CFC_HANDOFF_SHARD);
}

static uint64_t
release(const char *scope, const char *text)
{
    struct cfc_change change = {.author = "test", .unix_ns = 1000};
    struct cfc_put put = {.scope = scope, .text = text, .text_size = strlen(text)};
    struct cfc_release_order order = {.scope = scope, .action = CFC_ACTION_PROMOTE};
    struct cfc_put_result put_result;
    struct cfc_release_view view;

    CU_ASSERT_EQUAL_FATAL(cfc_service_put(b.service, &change, &put, &put_result, NULL),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_release(b.service, &change, &order, &view, NULL),
                          CONFCAST_OK);
    return view.version;
}

static void
decode_head(struct cfc_head *head)
{
    struct cfc_verifier verifier = cfc_keyring_verifier(&b.ring);
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(
        cfc_frame_open(b.message.u.head.frame, b.message.u.head.frame_size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_head_decode(&frame, b.sha, head), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_head_verify(head, &verifier, 0), CONFCAST_OK);
}

static void
a_change_comes_as_arena_content_head_and_fresh_in_this_order(void)
{
    struct cfc_head head;
    struct cfc_fresh fresh;
    struct cfc_fresh_entry entry;
    struct cfc_content content;
    struct cfc_frame frame;
    uint64_t version;

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    version = release("acme/app", "{\"a\":1}");
    expect(CFC_HANDOFF_ARENA);
    CU_ASSERT(b.arena_fd >= 0);
    expect(CFC_HANDOFF_CONTENT);
    CU_ASSERT_EQUAL_FATAL(
        cfc_frame_open(b.message.u.content.frame, b.message.u.content.frame_size, &frame),
        CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_content_decode(&frame, &content), CONFCAST_OK);
    CU_ASSERT(b.message.u.content.is_pull_only); /* it rides in its head */
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    CU_ASSERT_EQUAL(head.version, version);
    CU_ASSERT_EQUAL(head.epoch, cfc_service_epoch(b.service));
    CU_ASSERT(cfc_digest_equal(&head.arms[0].content, &content.content));
    expect(CFC_HANDOFF_FRESH);
    CU_ASSERT(b.message.u.fresh.is_changed);
    CU_ASSERT_EQUAL_FATAL(
        cfc_frame_open(b.message.u.fresh.frame, b.message.u.fresh.frame_size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(fresh.entry_count, 1);
    cfc_fresh_entry_at(&fresh, 0, &entry);
    CU_ASSERT_EQUAL(entry.version, version);
    CU_ASSERT(fresh.sequence >= version);
    teardown();
}

static void
a_new_version_of_the_same_content_hands_over_no_bytes(void)
{
    struct cfc_publisher_status status;
    struct cfc_head first;
    struct cfc_head second;
    struct cfc_digest content;
    uint64_t version;

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    release("acme/app", "{\"a\":1,\"b\":2}");
    expect(CFC_HANDOFF_ARENA);
    expect(CFC_HANDOFF_CONTENT);
    expect(CFC_HANDOFF_HEAD);
    decode_head(&first);
    content = first.arms[0].content;
    version = release("acme/app", "{\"b\":2.0,\"a\":1}");
    expect(CFC_HANDOFF_HEAD); /* a CONTENT before it would fail */
    decode_head(&second);
    CU_ASSERT_EQUAL(second.version, version);
    CU_ASSERT(cfc_digest_equal(&second.arms[0].content, &content));
    release("acme/other", "{\"a\":1,\"b\":2}");
    expect(CFC_HANDOFF_HEAD);
    cfc_publisher_status(b.publisher, &status);
    CU_ASSERT_EQUAL(status.contents_handed, 1);
    teardown();
}

static void
beacons_go_on_without_changes(void)
{
    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    for (int i = 0; i < 3; i++) {
        expect(CFC_HANDOFF_FRESH);
    }
    teardown();
}

/* Text that hardly shrinks, above what a head carries inline. */
static void
make_long_text(char text[LONG_TEXT], size_t size)
{
    struct cfc_prng prng = {11};

    memcpy(text, "{\"a\":\"", 6);
    for (size_t i = 6; i < size; i++) {
        text[i] = "abcdefghijklmnopqrstuvwxyz012345"[cfc_prng_next(&prng) % 32];
    }
    memcpy(text + size, "\"}", 3);
}

static void
a_new_connection_gets_everything_and_pushes_nothing_again(void)
{
    struct cfc_head head;
    uint64_t version;
    char text[LONG_TEXT];

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    make_long_text(text, 3000);
    version = release("acme/app", text);
    expect(CFC_HANDOFF_ARENA);
    expect(CFC_HANDOFF_CONTENT);
    CU_ASSERT(!b.message.u.content.is_pull_only); /* new to the fleet */
    expect(CFC_HANDOFF_HEAD);
    accept_publisher();
    expect(CFC_HANDOFF_ARENA);
    expect(CFC_HANDOFF_CONTENT);
    CU_ASSERT(b.message.u.content.is_pull_only); /* whoever lacks it asks */
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    CU_ASSERT_EQUAL(head.version, version);
    expect(CFC_HANDOFF_SYNCED);
    teardown();
}

static void
what_happens_without_an_engine_is_handed_over_later(void)
{
    struct cfc_head head;
    uint64_t version;

    setup();
    release("acme/app", "{\"a\":1}");
    start_publisher();
    version = release("acme/app", "{\"a\":2}");
    accept_publisher();
    expect(CFC_HANDOFF_ARENA);
    expect(CFC_HANDOFF_CONTENT);
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    CU_ASSERT_EQUAL(head.version, version);
    expect(CFC_HANDOFF_SYNCED);
    teardown();
}

/* A HELLO of consumer "c1" that shows `proof` as the highest head it accepted. */
static void
send_hello(const uint8_t *proof, size_t proof_size, uint64_t capabilities)
{
    struct cfc_hello hello = {.id = "c1", .id_size = 2, .incarnation = 1};
    struct cfc_handoff message = {.type = CFC_HANDOFF_CONSUMER};
    struct cfc_key credential;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    size_t size = 0;

    hello.consumer_key = cfc_consumer_key(b.sha, "c1", 2);
    hello.head_proof = proof;
    hello.head_proof_size = proof_size;
    hello.capabilities = capabilities;
    cfc_credential_key(&b.session_key, CFC_DOMAIN_CRED_SESSION, "c1", 2, &credential);
    CU_ASSERT_EQUAL_FATAL(cfc_hello_encode(&hello, &credential, frame, sizeof(frame), &size),
                          CONFCAST_OK);
    message.u.consumer.frame = frame;
    message.u.consumer.frame_size = size;
    send_message(&message);
}

static void
send_consumer(const uint8_t *proof, size_t proof_size)
{
    send_hello(proof, proof_size, CFC_CAPABILITY_DELTAS);
}

static size_t
make_proof(uint64_t version, const struct cfc_signing_key *key, uint8_t *frame, size_t capacity)
{
    struct cfc_signer signer = cfc_signing_key_signer(key);
    struct cfc_head head = {
        .epoch = cfc_service_epoch(b.service),
        .version = version,
        .arm_count = 1,
        .scope = "acme/app",
        .scope_size = 8,
    };
    size_t size = 0;

    head.arms[0].content.bytes[0] = 1;
    CU_ASSERT_EQUAL_FATAL(cfc_head_encode(&head, &signer, b.sha, frame, capacity, &size),
                          CONFCAST_OK);
    return size;
}

static bool
is_refusing_within(int patience_ms)
{
    struct cfc_publisher_status status;

    for (int waited = 0; waited < patience_ms; waited += 10) {
        cfc_publisher_status(b.publisher, &status);
        if (status.is_refusing) {
            return true;
        }
        poll(NULL, 0, 10);
    }
    return false;
}

static void
only_a_signed_proof_of_a_later_head_stops_publishing(void)
{
    static const uint8_t other_seed[32] = {77};
    struct cfc_signing_key stranger;
    clock_t cpu;
    uint8_t proof[1400];
    size_t size;

    setup();
    start_publisher();
    release("acme/app", "{\"a\":1}");
    accept_publisher();
    expect(CFC_HANDOFF_ARENA);
    expect(CFC_HANDOFF_CONTENT);
    expect(CFC_HANDOFF_HEAD);
    expect(CFC_HANDOFF_SYNCED);
    cfc_signing_key_from_seed(other_seed, &stranger);
    size = make_proof(1000, &stranger, proof, sizeof(proof));
    send_consumer(proof, size); /* an unproved claim changes nothing */
    size = make_proof(cfc_service_seq(b.service), &b.key, proof, sizeof(proof));
    send_consumer(proof, size); /* we know that one */
    CU_ASSERT(!is_refusing_within(QUIET_MS));
    size = make_proof(1000, &b.key, proof, sizeof(proof));
    send_consumer(proof, size);
    CU_ASSERT(is_refusing_within(PATIENCE_MS));
    /* A FRESH that is due and is not sent keeps nobody awake. */
    poll(NULL, 0, 200);
    cpu = clock();
    poll(NULL, 0, 500);
    CU_ASSERT(clock() - cpu < CLOCKS_PER_SEC / 4);
    while (next_message(0)) { /* what was under way */
    }
    release("acme/app", "{\"a\":2}");
    while (next_message(QUIET_MS)) {
        CU_ASSERT_NOT_EQUAL(b.message.type, CFC_HANDOFF_HEAD);
        CU_ASSERT_NOT_EQUAL(b.message.type, CFC_HANDOFF_FRESH);
    }
    teardown();
}

/* Appends to a packet a REPORT of "c1" that it applied `version`, under a report key and said to be
 * of `as_id`. */
static void
join_report(uint64_t version, uint64_t content_key, const struct cfc_key *fleet_report_key,
            const char *as_id, uint8_t packet[CFC_HANDOFF_SIZE_MAX], size_t *packet_size)
{
    struct cfc_report_entry entry = {.scope_id = cfc_scope_id(b.sha, "acme/app", 8),
                                     .epoch = cfc_service_epoch(b.service),
                                     .accepted = version,
                                     .serving_version = version,
                                     .serving_content = content_key,
                                     .state = CFC_APPLY_APPLIED};
    struct cfc_report report = {.incarnation = 5,
                                .report_seq = version,
                                .part_count = 1,
                                .entry_count = 1,
                                .consumer_key = cfc_consumer_key(b.sha, "c1", 2)};
    struct cfc_handoff message = {.type = CFC_HANDOFF_REPORT};
    struct cfc_address address = {.port = 1};
    struct cfc_key key;
    uint8_t frame[CFC_FRAME_SIZE_DEFAULT];
    struct cfc_writer w = cfc_writer_of(frame, sizeof(frame));
    size_t size = 0;

    cfc_credential_key(fleet_report_key, CFC_DOMAIN_CRED_REPORT, "c1", 2, &key);
    CU_ASSERT_EQUAL_FATAL(cfc_report_write(&w, &report, &entry, "c1", 2, &key), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_trailer_seal(&w, 1, 1, &b.session_key, &address, &size), CONFCAST_OK);
    message.u.report.id = as_id;
    message.u.report.id_size = strlen(as_id);
    message.u.report.frame = frame;
    message.u.report.frame_size = size;
    CU_ASSERT_EQUAL_FATAL(cfc_handoff_encode(&message, packet + *packet_size,
                                             CFC_HANDOFF_SIZE_MAX - *packet_size, &size),
                          CONFCAST_OK);
    *packet_size += size;
}

static void
send_report(uint64_t version, uint64_t content_key, const struct cfc_key *fleet_report_key,
            const char *as_id)
{
    uint8_t packet[CFC_HANDOFF_SIZE_MAX];
    size_t size = 0;

    join_report(version, content_key, fleet_report_key, as_id, packet, &size);
    CU_ASSERT_EQUAL_FATAL(send(b.fd, packet, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void
wait_for_reports(uint64_t taken, uint64_t refused)
{
    struct cfc_publisher_status status;

    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        cfc_publisher_status(b.publisher, &status);
        if (status.reports == taken && status.reports_refused == refused) {
            return;
        }
        poll(NULL, 0, 10);
    }
    CU_FAIL("the reports were not taken as expected");
}

static void
a_report_counts_only_under_its_consumers_own_tag(void)
{
    struct cfc_apply_counts counts;
    struct cfc_head head;
    uint64_t version;
    uint64_t content;

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    version = release("acme/app", "{\"a\":1}");
    expect(CFC_HANDOFF_ARENA);
    expect(CFC_HANDOFF_CONTENT);
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    content = cfc_digest_key(&head.arms[0].content);
    expect(CFC_HANDOFF_FRESH);
    send_report(version, content, &b.session_key, "c1"); /* what an engine could make */
    wait_for_reports(0, 1);
    send_report(version, content, &b.report_key, "c2"); /* another consumer's name on it */
    wait_for_reports(0, 2);
    CU_ASSERT_EQUAL_FATAL(cfc_service_status(b.service, "acme/app", &counts), CONFCAST_OK);
    CU_ASSERT_EQUAL(counts.total, 0);
    send_report(version, content, &b.report_key, "c1");
    wait_for_reports(1, 2);
    CU_ASSERT_EQUAL_FATAL(cfc_service_status(b.service, "acme/app", &counts), CONFCAST_OK);
    CU_ASSERT_EQUAL(counts.total, 1);
    CU_ASSERT_EQUAL(counts.applied, 1);
    /* Its key is at hand from now on, which makes nobody else's word good. */
    send_report(version, content, &b.session_key, "c1");
    wait_for_reports(1, 3);
    send_report(version, content, &b.report_key, "c2");
    wait_for_reports(1, 4);
    send_report(version, content, &b.report_key, "c1");
    wait_for_reports(2, 4);
    CU_ASSERT_EQUAL_FATAL(cfc_service_status(b.service, "acme/app", &counts), CONFCAST_OK);
    CU_ASSERT_EQUAL(counts.total, 1);
    teardown();
}

/* Releases a content that "c1", which can do this, says it serves. */
static struct cfc_digest
release_to_c1(const char *text, uint64_t capabilities)
{
    struct cfc_publisher_status status;
    struct cfc_head head;
    uint64_t version = release("acme/app", text);

    expect(CFC_HANDOFF_CONTENT);
    CU_ASSERT_FALSE(b.message.u.content.is_pull_only);
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    send_hello(NULL, 0, capabilities);
    cfc_publisher_status(b.publisher, &status);
    send_report(version, cfc_digest_key(&head.arms[0].content), &b.report_key, "c1");
    wait_for_reports((uint32_t)status.reports + 1, (uint32_t)status.reports_refused);
    return head.arms[0].content;
}

static void
expect_coding(const struct cfc_digest *base, bool is_pull_only)
{
    struct cfc_content content;
    struct cfc_frame frame;

    expect(CFC_HANDOFF_CONTENT);
    CU_ASSERT_EQUAL(b.message.u.content.is_pull_only, is_pull_only);
    CU_ASSERT_EQUAL_FATAL(
        cfc_frame_open(b.message.u.content.frame, b.message.u.content.frame_size, &frame),
        CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_content_decode(&frame, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL(content.encoding == CFC_ENCODING_ZSTD_DELTA, base != NULL);
    if (base != NULL) {
        CU_ASSERT(cfc_digest_equal(&content.base, base));
        CU_ASSERT_NOT_EQUAL(content.coding, 0);
    } else {
        CU_ASSERT_EQUAL(content.coding, 0);
    }
}

static void
what_rode_in_one_scopes_head_is_sent_to_all_for_another_scope(void)
{
    struct cfc_head head;
    struct cfc_digest base;
    struct cfc_digest content;
    char before[LONG_TEXT];
    char after[LONG_TEXT];

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    make_long_text(before, 3000);
    make_long_text(after, 3000);
    after[1500] = '!';
    base = release_to_c1(before, CFC_CAPABILITY_DELTAS);
    (void)release("acme/app", after);
    expect_coding(&base, true); /* for those who come late, and hold the base */
    expect_coding(NULL, true);
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    CU_ASSERT_FATAL(head.inlined.is_present);
    CU_ASSERT_EQUAL(head.inlined.encoding, CFC_ENCODING_ZSTD_DELTA);
    content = head.arms[0].content;
    /* Nobody of the other scope holds what the delta is against. */
    (void)release("acme/other", after);
    expect_coding(NULL, false);
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    CU_ASSERT_FALSE(head.inlined.is_present);
    CU_ASSERT(cfc_digest_equal(&head.arms[0].content, &content));
    /* The engine has it to send to all by now. */
    (void)release("acme/third", after);
    expect(CFC_HANDOFF_HEAD);
    teardown();
}

static void
what_rode_in_a_head_is_not_sent_to_all_when_its_scope_comes_back_to_it(void)
{
    struct cfc_head head;
    struct cfc_digest base;
    char before[LONG_TEXT];
    char after[LONG_TEXT];
    uint64_t version;

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    make_long_text(before, 3000);
    make_long_text(after, 3000);
    after[1500] = '!';
    base = release_to_c1(before, CFC_CAPABILITY_DELTAS);
    (void)release("acme/app", after);
    expect_coding(&base, true);
    expect_coding(NULL, true);
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    CU_ASSERT(head.inlined.is_present);
    version = release("acme/app", before);
    expect(CFC_HANDOFF_HEAD);
    send_report(version, cfc_digest_key(&base), &b.report_key, "c1");
    wait_for_reports(2, 0);
    (void)release("acme/app", after);
    expect(CFC_HANDOFF_HEAD); /* a CONTENT before it would fail */
    decode_head(&head);
    CU_ASSERT_FALSE(head.inlined.is_present);
    teardown();
}

/* Changes so much of a text that the delta is above what a head carries and below half of it. */
static void
change_a_third(char *text, size_t size)
{
    struct cfc_prng prng = {12};

    for (size_t i = size / 3; i < 2 * size / 3; i++) {
        text[i] = "abcdefghijklmnopqrstuvwxyz012345"[cfc_prng_next(&prng) % 32];
    }
}

static void
a_delta_too_large_for_a_head_goes_to_all_and_the_whole_to_who_asks(void)
{
    struct cfc_publisher_status status;
    struct cfc_head head;
    struct cfc_digest base;
    char before[LONG_TEXT];
    char after[LONG_TEXT];

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    make_long_text(before, 12000);
    make_long_text(after, 12000);
    change_a_third(after, 12000);
    base = release_to_c1(before, CFC_CAPABILITY_DELTAS);
    (void)release("acme/app", after);
    expect_coding(&base, false);
    expect_coding(NULL, true);
    expect(CFC_HANDOFF_HEAD);
    decode_head(&head);
    CU_ASSERT_FALSE(head.inlined.is_present);
    cfc_publisher_status(b.publisher, &status);
    CU_ASSERT_EQUAL(status.deltas_published, 1);
    /* An engine that restarted gets both, and sends neither before it is asked. */
    accept_publisher();
    expect(CFC_HANDOFF_ARENA);
    expect_coding(&base, true);
    expect_coding(NULL, true);
    expect(CFC_HANDOFF_HEAD);
    expect(CFC_HANDOFF_SYNCED);
    /* Who follows another scope never had any of it. */
    (void)release("acme/other", after);
    expect_coding(NULL, false);
    expect(CFC_HANDOFF_HEAD);
    cfc_publisher_status(b.publisher, &status);
    CU_ASSERT_EQUAL(status.deltas_published, 1);
    teardown();
}

static void
who_does_not_take_deltas_counts_as_one_without_the_base(void)
{
    char before[LONG_TEXT];
    char after[LONG_TEXT];

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    make_long_text(before, 12000);
    make_long_text(after, 12000);
    change_a_third(after, 12000);
    (void)release_to_c1(before, ~CFC_CAPABILITY_DELTAS);
    (void)release("acme/app", after);
    expect_coding(NULL, false);
    expect(CFC_HANDOFF_HEAD);
    teardown();
}

static void
what_an_earlier_process_published_is_news_to_a_later_scope(void)
{
    char text[LONG_TEXT];

    setup();
    make_long_text(text, 3000);
    (void)release("acme/app", text);
    start_publisher(); /* the release was before it */
    accept_publisher();
    expect(CFC_HANDOFF_ARENA);
    expect_coding(NULL, true);
    expect(CFC_HANDOFF_HEAD);
    expect(CFC_HANDOFF_SYNCED);
    (void)release("acme/other", text);
    expect_coding(NULL, false);
    expect(CFC_HANDOFF_HEAD);
    /* The engine has it to send to all now; the next one starts again from what each scope had. */
    accept_publisher();
    expect(CFC_HANDOFF_ARENA);
    expect_coding(NULL, true);
    expect(CFC_HANDOFF_HEAD);
    expect(CFC_HANDOFF_HEAD);
    expect(CFC_HANDOFF_SYNCED);
    teardown();
}

static void
what_many_scopes_had_is_sent_to_none_of_them_again(void)
{
    enum {
        SCOPES = 6 /* more than a content remembers */
    };
    char scope[32];
    char text[LONG_TEXT];

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    make_long_text(text, 3000);
    for (int i = 0; i < SCOPES; i++) {
        snprintf(scope, sizeof(scope), "acme/s%d", i);
        (void)release(scope, text);
        if (i == 0) {
            expect_coding(NULL, false);
        }
        expect(CFC_HANDOFF_HEAD);
    }
    accept_publisher();
    expect(CFC_HANDOFF_ARENA);
    expect_coding(NULL, true);
    for (int i = 0; i < SCOPES; i++) {
        expect(CFC_HANDOFF_HEAD); /* a CONTENT before it would fail */
    }
    expect(CFC_HANDOFF_SYNCED);
    /* Nor by another version with the same content. */
    text[strlen(text) - 1] = '\0';
    for (int i = 0; i < SCOPES; i++) {
        char again[LONG_TEXT + 8];

        snprintf(scope, sizeof(scope), "acme/s%d", i);
        snprintf(again, sizeof(again), "%s }", text);
        (void)release(scope, again);
        expect(CFC_HANDOFF_HEAD);
    }
    teardown();
}

static void
each_report_of_a_packet_stands_for_itself(void)
{
    uint8_t packet[CFC_HANDOFF_SIZE_MAX];
    struct cfc_handoff fresh = {.type = CFC_HANDOFF_SYNCED};
    size_t size = 0;
    size_t added = 0;

    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    for (uint64_t i = 1; i <= 3; i++) {
        join_report(i, 1, i == 2 ? &b.session_key : &b.report_key, "c1", packet, &size);
    }
    CU_ASSERT_EQUAL_FATAL(send(b.fd, packet, size, MSG_NOSIGNAL), (ssize_t)size);
    wait_for_reports(2, 1);
    /* What may not be joined ends the connection after what came before it. */
    CU_ASSERT_EQUAL_FATAL(cfc_handoff_encode(&fresh, packet + size, sizeof(packet) - size, &added),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(send(b.fd, packet, size + added, MSG_NOSIGNAL), (ssize_t)(size + added));
    while (next_message(PATIENCE_MS)) { /* until it is closed */
    }
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    wait_for_reports(4, 2);
    teardown();
}

static void
rubbish_from_the_engine_ends_the_connection_and_another_one_begins(void)
{
    setup();
    start_publisher();
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    CU_ASSERT_EQUAL(send(b.fd, "rubbish", 7, 0), 7);
    while (next_message(PATIENCE_MS)) { /* until it is closed */
    }
    accept_publisher();
    expect(CFC_HANDOFF_SYNCED);
    teardown();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_change_comes_as_arena_content_head_and_fresh_in_this_order),
    CFC_CASE(a_new_version_of_the_same_content_hands_over_no_bytes),
    CFC_CASE(beacons_go_on_without_changes),
    CFC_CASE(a_new_connection_gets_everything_and_pushes_nothing_again),
    CFC_CASE(what_happens_without_an_engine_is_handed_over_later),
    CFC_CASE(only_a_signed_proof_of_a_later_head_stops_publishing),
    CFC_CASE(a_report_counts_only_under_its_consumers_own_tag),
    CFC_CASE(what_rode_in_one_scopes_head_is_sent_to_all_for_another_scope),
    CFC_CASE(what_rode_in_a_head_is_not_sent_to_all_when_its_scope_comes_back_to_it),
    CFC_CASE(a_delta_too_large_for_a_head_goes_to_all_and_the_whole_to_who_asks),
    CFC_CASE(who_does_not_take_deltas_counts_as_one_without_the_base),
    CFC_CASE(what_an_earlier_process_published_is_news_to_a_later_scope),
    CFC_CASE(what_many_scopes_had_is_sent_to_none_of_them_again),
    CFC_CASE(each_report_of_a_packet_stands_for_itself),
    CFC_CASE(rubbish_from_the_engine_ends_the_connection_and_another_one_begins),
};

CFC_TEST_MAIN("publisher", cases)
