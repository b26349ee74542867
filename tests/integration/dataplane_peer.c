/* The two ends that test_dataplane.py plays with frames it cannot make by itself:
 *
 *   dataplane_peer frames DIR SCOPE EPOCH VERSION CODED_SIZE SYMBOL_SIZE SEED
 *       writes content.frame, tree, coded, head.frame and fresh.frame, signed by a test key, and
 *       prints {"scope_id", "content", "content_key", "symbols", "pages"}
 *   dataplane_peer consumer ENGINE_IP PORT SESSION_KEY_HEX ID DIR
 *       joins the engine, asks for three symbols of the content in DIR, reports, and prints what
 *       came of it as one JSON object
 *   dataplane_peer reports ENGINE_IP PORT SESSION_KEY_HEX ID COUNT
 *       joins as COUNT consumers, ID-0000 and so on, and sends 60 reports as each of them without
 *       looking at answers
 *
 * Exit 0; 1 when a file cannot be written; 2 for wrong use. */
#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "protocol/snapshot/tree.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/fresh.h"
#include "protocol/wire/head.h"
#include "protocol/wire/link.h"
#include "protocol/wire/nack.h"
#include "protocol/wire/report.h"

enum {
    BLOCK_SYMBOLS = 64,
    FRAME_ROOM = 16384,
    WAIT_MS = 2000,
    ASKED_BLOCK = 1,
    REPORTS_EACH = 60,
};

#define ASKED_MASK UINT64_C(0x8000000000000005)

static struct cfc_sha256 *sha;

static uint64_t
now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * CFC_S + (uint64_t)ts.tv_nsec;
}

static void
write_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static uint8_t *
read_file(const char *folder, const char *name, size_t *size)
{
    char path[512];
    uint8_t *bytes;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*size + 1);
    assert(bytes != NULL);
    if (fread(bytes, 1, *size, file) != *size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return bytes;
}

static void
test_signer(struct cfc_signing_key *key, struct cfc_signer *signer)
{
    static const uint8_t seed[32] = {1, 2, 3};
    int rc = cfc_signing_key_from_seed(seed, key);

    assert(rc == CONFCAST_OK);
    (void)rc;
    *signer = cfc_signing_key_signer(key);
}

/* CONTENT, tree and coded bytes; the body is the coded bytes as they are. */
static uint32_t
make_content(const char *folder, size_t size, uint16_t symbol_size, uint64_t seed,
             const struct cfc_signer *signer, struct cfc_digest *id, uint32_t *page_count)
{
    struct cfc_content content = {.coding = 3,
                                  .encoding = CFC_ENCODING_RAW,
                                  .fec_code = CFC_FEC_NONE,
                                  .fec_k = BLOCK_SYMBOLS,
                                  .body_size = size,
                                  .coded_size = size,
                                  .symbol_size = symbol_size};
    uint8_t *coded = malloc(size);
    uint8_t frame[FRAME_ROOM];
    struct cfc_tree tree;
    uint8_t *digests;
    size_t frame_size;
    int rc;

    assert(coded != NULL);
    for (size_t i = 0; i < size; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        coded[i] = (uint8_t)(seed >> 56);
    }
    cfc_content_id(sha, coded, size, id);
    content.content = *id;
    rc = cfc_tree_init(&tree, &content);
    assert(rc == CONFCAST_OK);
    digests = malloc(cfc_tree_digests_size(&tree));
    assert(digests != NULL);
    cfc_tree_build(&tree, sha, coded, NULL, digests);
    content.page_levels = (uint8_t)tree.level_count;
    content.top_count = (uint8_t)tree.top_count;
    content.top_digests = digests + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE;
    rc = cfc_content_encode(&content, signer, frame, sizeof(frame), &frame_size);
    assert(rc == CONFCAST_OK);
    (void)rc;
    write_file(folder, "content.frame", frame, frame_size);
    write_file(folder, "tree", digests, cfc_tree_digests_size(&tree));
    write_file(folder, "coded", coded, size);
    *page_count = 0;
    for (uint32_t i = 0; i < tree.level_count; i++) {
        *page_count += tree.geometry.page_counts[i];
    }
    free(digests);
    free(coded);
    return tree.geometry.symbol_count;
}

static uint64_t
make_head(const char *folder, const char *scope, uint64_t epoch, uint64_t version,
          const struct cfc_digest *content, const struct cfc_signer *signer,
          struct cfc_fresh_entry *entry)
{
    struct cfc_head head = {.epoch = epoch,
                            .version = version,
                            .arm_count = 1,
                            .scope = scope,
                            .scope_size = (uint16_t)strlen(scope),
                            .issued_unix_ns = now_ns(CLOCK_REALTIME)};
    uint8_t bytes[FRAME_ROOM];
    struct cfc_frame frame;
    size_t size;
    int rc;

    head.arms[0].content = *content;
    rc = cfc_head_encode(&head, signer, sha, bytes, sizeof(bytes), &size);
    assert(rc == CONFCAST_OK);
    rc = cfc_frame_open(bytes, size, &frame);
    assert(rc == CONFCAST_OK);
    rc = cfc_head_decode(&frame, sha, &head);
    assert(rc == CONFCAST_OK);
    (void)rc;
    entry->scope_id = frame.key;
    entry->version = version;
    cfc_head_digest(&head, sha, entry->head_digest);
    write_file(folder, "head.frame", bytes, size);
    return frame.key;
}

static void
make_fresh(const char *folder, uint64_t epoch, uint64_t sequence,
           const struct cfc_fresh_entry *entry, const struct cfc_signer *signer)
{
    uint64_t time_ns = now_ns(CLOCK_REALTIME);
    struct cfc_fresh fixed = {.epoch = epoch,
                              .sequence = sequence,
                              .time_unix_ns = time_ns,
                              .not_after_unix_ns = time_ns + 3600 * CFC_S,
                              .fleet_size = 2};
    struct cfc_fresh_builder builder;
    uint8_t *nodes = malloc(cfc_fresh_nodes_size(1));
    uint8_t bytes[FRAME_ROOM];
    size_t size;
    int rc;

    assert(nodes != NULL);
    rc = cfc_fresh_builder_init(&builder, &fixed, entry, 1, nodes, signer, sha);
    assert(rc == CONFCAST_OK);
    rc = cfc_fresh_encode_page(&builder, 0, bytes, sizeof(bytes), &size);
    assert(rc == CONFCAST_OK);
    (void)rc;
    write_file(folder, "fresh.frame", bytes, size);
    free(nodes);
}

static int
run_frames(char **argv)
{
    uint64_t epoch = strtoull(argv[4], NULL, 10);
    uint64_t version = strtoull(argv[5], NULL, 10);
    struct cfc_signing_key key;
    struct cfc_signer signer;
    struct cfc_digest content;
    struct cfc_fresh_entry entry;
    uint32_t page_count;
    uint32_t symbol_count;
    uint64_t scope_id;

    test_signer(&key, &signer);
    symbol_count =
        make_content(argv[2], strtoull(argv[6], NULL, 10), (uint16_t)strtoul(argv[7], NULL, 10),
                     strtoull(argv[8], NULL, 10), &signer, &content, &page_count);
    scope_id = make_head(argv[2], argv[3], epoch, version, &content, &signer, &entry);
    make_fresh(argv[2], epoch, version, &entry, &signer);
    printf("{\"scope_id\": %" PRIu64 ", \"content\": \"", scope_id);
    for (size_t i = 0; i < sizeof(content.bytes); i++) {
        printf("%02x", content.bytes[i]);
    }
    printf("\", \"content_key\": %" PRIu64 ", \"symbols\": %u, \"pages\": %u}\n",
           cfc_digest_key(&content), symbol_count, page_count);
    return 0;
}

struct consumer {
    int fd;
    const char *id;
    size_t id_size;
    uint64_t key;
    struct cfc_key credential_key;
    struct cfc_key session_key;
    struct cfc_key report_key;
    struct cfc_address address;
    uint32_t session;
    uint64_t seq;
    uint8_t nonce[CFC_NONCE_SIZE];
    uint8_t cookie[CFC_COOKIE_SIZE];
    uint8_t in[FRAME_ROOM];
    struct cfc_frame frame; /* the last one received */
};

static void
open_consumer(struct consumer *c, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10))};
    struct timeval wait = {.tv_sec = WAIT_MS / 1000};
    struct sockaddr_in own;
    socklen_t size = sizeof(own);
    struct cfc_key fleet_key;

    memset(c, 0, sizeof(*c));
    c->id = argv[5];
    c->id_size = strlen(c->id);
    c->key = cfc_consumer_key(sha, c->id, c->id_size);
    for (size_t i = 0; i < CFC_KEY_SIZE; i++) {
        char digits[3] = {argv[4][2 * i], argv[4][2 * i + 1], '\0'};

        fleet_key.bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    cfc_credential_key(&fleet_key, CFC_DOMAIN_CRED_SESSION, c->id, c->id_size, &c->credential_key);
    memset(c->nonce, 0x42, sizeof(c->nonce));
    c->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 || c->fd < 0 ||
        setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
        connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        getsockname(c->fd, (struct sockaddr *)&own, &size) != 0) {
        perror("socket");
        exit(1);
    }
    c->address = cfc_address_ipv4(ntohl(own.sin_addr.s_addr), ntohs(own.sin_port));
}

/* The next frame of a type.  False when none comes in time or the kernel says ICMP unreachable. */
static bool
receive(struct consumer *c, uint8_t type)
{
    for (;;) {
        ssize_t size = recv(c->fd, c->in, sizeof(c->in), 0);

        if (size < 0) {
            perror("recv");
            return false;
        }
        if (cfc_frame_open(c->in, (size_t)size, &c->frame) == CONFCAST_OK &&
            c->frame.type == type) {
            return true;
        }
    }
}

/* HELLO, and the WELCOME that answers it. */
static bool
hello(struct consumer *c, struct cfc_welcome *welcome)
{
    struct cfc_hello message = {
        .consumer_key = c->key, .incarnation = 1, .id = c->id, .id_size = (uint8_t)c->id_size};
    uint8_t bytes[FRAME_ROOM];
    size_t size;

    memcpy(message.nonce, c->nonce, sizeof(message.nonce));
    memcpy(message.cookie, c->cookie, sizeof(message.cookie));
    return cfc_hello_encode(&message, &c->credential_key, bytes, sizeof(bytes), &size) ==
               CONFCAST_OK &&
           send(c->fd, bytes, size, 0) == (ssize_t)size && receive(c, CFC_FRAME_WELCOME) &&
           cfc_welcome_decode(&c->frame, welcome) == CONFCAST_OK;
}

static bool
join(struct consumer *c)
{
    struct cfc_welcome welcome;

    if (!hello(c, &welcome) || welcome.kind != CFC_WELCOME_CHALLENGE) {
        return false;
    }
    memcpy(c->cookie, welcome.token, sizeof(c->cookie));
    if (!hello(c, &welcome) || welcome.kind != CFC_WELCOME_ACCEPT ||
        !cfc_address_equal(&welcome.observed, &c->address)) {
        return false;
    }
    c->session = welcome.session;
    cfc_session_key(&c->credential_key, c->nonce, welcome.token, welcome.boot_id, &c->session_key);
    return true;
}

static void
seal_and_send(struct consumer *c, struct cfc_writer *w)
{
    size_t size;
    int rc = cfc_trailer_seal(w, c->session, ++c->seq, &c->session_key, &c->address, &size);

    assert(rc == CONFCAST_OK);
    (void)rc;
    if (send(c->fd, w->start, size, 0) != (ssize_t)size) {
        perror("send");
    }
}

static void
nack(struct consumer *c, uint64_t content_key, uint16_t coding)
{
    struct cfc_nack_entry entry = {.want = CFC_WANT_SYMBOLS,
                                   .coding = coding,
                                   .index = ASKED_BLOCK,
                                   .key = content_key,
                                   .mask = ASKED_MASK,
                                   .count = (uint16_t)__builtin_popcountll(ASKED_MASK)};
    uint8_t bytes[FRAME_ROOM];
    struct cfc_writer w = cfc_writer_of(bytes, sizeof(bytes));

    (void)cfc_nack_write(&w, c->key, &entry, 1);
    seal_and_send(c, &w);
}

static void
send_report(struct consumer *c, uint64_t report_seq)
{
    struct cfc_report message = {
        .consumer_key = c->key, .incarnation = 1, .report_seq = report_seq, .part_count = 1};
    uint8_t bytes[FRAME_ROOM];
    struct cfc_writer w = cfc_writer_of(bytes, sizeof(bytes));

    (void)cfc_report_write(&w, &message, NULL, c->id, c->id_size, &c->report_key);
    seal_and_send(c, &w);
}

static bool
report(struct consumer *c)
{
    struct cfc_status status;
    struct cfc_echo echo;

    send_report(c, 9);
    if (!receive(c, CFC_FRAME_STATUS) || cfc_status_decode(&c->frame, &status) != CONFCAST_OK ||
        status.echo_count != 1) {
        return false;
    }
    cfc_status_echo_at(&status, 0, &echo);
    return echo.consumer_key == c->key && echo.report_seq == 9;
}

static int
run_consumer(char **argv)
{
    struct cfc_frame frame;
    struct cfc_content content;
    struct consumer c;
    size_t frame_size;
    size_t coded_size;
    uint8_t *frame_bytes = read_file(argv[6], "content.frame", &frame_size);
    uint8_t *coded = read_file(argv[6], "coded", &coded_size);
    uint64_t seen = 0;
    uint64_t first_ns = 0;
    uint64_t asked_ns;
    int wrong_count = 0;
    bool has_joined;
    bool is_echoed = false;

    open_consumer(&c, argv);
    if (cfc_frame_open(frame_bytes, frame_size, &frame) != CONFCAST_OK ||
        cfc_content_decode(&frame, &content) != CONFCAST_OK) {
        return 1;
    }
    has_joined = join(&c);
    asked_ns = now_ns(CLOCK_MONOTONIC);
    if (has_joined) {
        nack(&c, frame.key, content.coding);
    }
    while (has_joined && seen != ASKED_MASK && receive(&c, CFC_FRAME_SYMBOL)) {
        struct cfc_symbol symbol;
        size_t offset;

        if (first_ns == 0) {
            first_ns = now_ns(CLOCK_MONOTONIC);
        }
        if (cfc_symbol_decode(&c.frame, &symbol) != CONFCAST_OK) {
            wrong_count++;
            continue;
        }
        offset = ((size_t)symbol.block * BLOCK_SYMBOLS + symbol.index) * content.symbol_size;
        if (symbol.block != ASKED_BLOCK || symbol.index >= BLOCK_SYMBOLS ||
            offset + symbol.size > coded_size ||
            memcmp(symbol.bytes, coded + offset, symbol.size) != 0) {
            wrong_count++;
            continue;
        }
        seen |= UINT64_C(1) << symbol.index;
    }
    if (has_joined) {
        is_echoed = report(&c);
    }
    printf("{\"joined\": %s, \"repaired\": %s, \"wrong\": %d, \"nack_us\": %" PRIu64
           ", \"echoed\": %s}\n",
           has_joined ? "true" : "false", seen == ASKED_MASK ? "true" : "false", wrong_count,
           first_ns > asked_ns ? (first_ns - asked_ns) / 1000 : 0, is_echoed ? "true" : "false");
    close(c.fd);
    free(frame_bytes);
    free(coded);
    return 0;
}

/* All join before the first report: an engine that cannot tell of reports lets nobody in either.
 * They join slowly, since the engine answers one address 256 times a second. */
static int
run_reports(char **argv)
{
    const struct timespec pause = {.tv_nsec = 8000000};
    unsigned long count = strtoul(argv[6], NULL, 10);
    struct consumer *consumers = calloc(count, sizeof(*consumers));
    char(*ids)[64] = calloc(count, sizeof(*ids));
    const char *prefix = argv[5];

    assert(consumers != NULL && ids != NULL);
    for (unsigned long i = 0; i < count; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%s-%04lu", prefix, i);
        argv[5] = ids[i];
        open_consumer(&consumers[i], argv);
        if (!join(&consumers[i])) {
            return 1;
        }
        nanosleep(&pause, NULL);
    }
    for (unsigned long i = 0; i < count; i++) {
        for (uint64_t seq = 1; seq <= REPORTS_EACH; seq++) {
            send_report(&consumers[i], seq);
        }
        nanosleep(&pause, NULL);
        close(consumers[i].fd);
    }
    free(consumers);
    free(ids);
    return 0;
}

int
main(int argc, char **argv)
{
    int rc = 2;

    sha = cfc_sha256_new();
    assert(sha != NULL);
    if (argc == 9 && strcmp(argv[1], "frames") == 0) {
        rc = run_frames(argv);
    } else if (argc == 7 && strcmp(argv[1], "consumer") == 0) {
        rc = run_consumer(argv);
    } else if (argc == 7 && strcmp(argv[1], "reports") == 0) {
        rc = run_reports(argv);
    } else {
        fputs("usage: see the head of dataplane_peer.c\n", stderr);
    }
    cfc_sha256_free(sha);
    return rc;
}
