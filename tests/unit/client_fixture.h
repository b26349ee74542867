/* A whole client on the loopback interface, without privileges: a fleet file and a credential made
 * here, and an engine that is a socket which sends signed heads with their content inside. */
#ifndef CFC_TESTS_CLIENT_FIXTURE_H
#define CFC_TESTS_CLIENT_FIXTURE_H

#include <CUnit/Basic.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "confcast/confcast.h"
#include "consumer/view.h"
#include "protocol/base/time.h"
#include "protocol/snapshot/body.h"
#include "protocol/trust/credential.h"
#include "protocol/trust/fleet.h"
#include "protocol/wire/content.h"
#include "protocol/wire/head.h"
#include "tests/unit/temp_dir.h"

#define CLIENT_SCOPE    "acme/checkout/prod"
#define CLIENT_ID       "host-1"
#define CLIENT_WAIT_MS  5000
#define CLIENT_BODY_MAX 7000

struct bench {
    struct temp_dir dir;
    char fleet_path[300];
    char credential_path[300];
    char state_dir[300];
    struct cfc_sha256 *sha;
    struct cfc_signing_key root;
    struct cfc_signing_key release;
    struct cfc_signer signer;
    struct cfc_fleet *fleet;
    int engine_fd;
    uint16_t engine_port;
    struct confcast_options options;
    struct confcast *client;
    struct confcast_scope *scope;
    char *log; /* what the client said, one line each */
    size_t log_size;
};

static inline uint64_t
bench_unix_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

static inline void
bench_sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/* Waits until a condition holds. */
#define BENCH_AWAIT(condition)                                                                     \
    do {                                                                                           \
        for (int tries_ = 0; !(condition) && tries_ < CLIENT_WAIT_MS / 5; tries_++) {              \
            bench_sleep_ms(5);                                                                     \
        }                                                                                          \
        CU_ASSERT(condition);                                                                      \
    } while (0)

static inline void
bench_write_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
    int fd;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    CU_ASSERT_EQUAL(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static inline void
bench_hex(char *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

static inline void
bench_write_fleet(struct bench *b, const char *name, unsigned sequence)
{
    uint8_t key_id[CFC_KEY_ID_SIZE];
    char id[17];
    char key[65];
    char text[1024];
    char *sealed = NULL;
    size_t size = 0;

    cfc_key_id(b->release.public_key, key_id);
    bench_hex(id, key_id, sizeof(key_id));
    bench_hex(key, b->release.public_key, sizeof(b->release.public_key));
    snprintf(text, sizeof(text),
             "{\"format\":\"confcast-fleet-1\",\"name\":\"%s\",\"sequence\":%u,\"port\":%u,"
             "\"groups\":{\"base\":\"239.88.%u.0\",\"count\":4},"
             "\"engines\":[{\"address\":\"127.0.0.1\",\"port\":%u}],\"pull_urls\":[],"
             "\"release_keys\":[{\"id\":\"%s\",\"public_key\":\"%s\",\"not_after\":0,"
             "\"scopes\":[\"\"]}]}",
             name, sequence, 20000 + (unsigned)getpid() % 20000, (unsigned)getpid() / 20000 % 200,
             b->engine_port, id, key);
    CU_ASSERT_EQUAL_FATAL(cfc_fleet_seal(text, strlen(text), &b->root, &sealed, &size),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fleet_parse(sealed, size, NULL, b->fleet), CONFCAST_OK);
    bench_write_file(b->fleet_path, sealed, size, 0644);
    free(sealed);
}

static inline void
bench_write_credential(struct bench *b, const char *fleet, const struct cfc_signing_key *root)
{
    struct cfc_credential credential = {.id = CLIENT_ID, .label_count = 1};
    char *text = NULL;
    size_t size = 0;

    snprintf(credential.fleet, sizeof(credential.fleet), "%s", fleet);
    memcpy(credential.root_key, root->public_key, sizeof(credential.root_key));
    memset(&credential.session_key, 1, sizeof(credential.session_key));
    memset(&credential.report_key, 2, sizeof(credential.report_key));
    memcpy(credential.labels[0].key, "zone", 5);
    memcpy(credential.labels[0].value, "eu-1", 5);
    CU_ASSERT_EQUAL_FATAL(cfc_credential_write(&credential, &text, &size), CONFCAST_OK);
    bench_write_file(b->credential_path, text, size, 0600);
    free(text);
}

static inline void
bench_log(void *arg, int level, const char *line)
{
    struct bench *b = arg;
    size_t size = strlen(line);
    char *log = realloc(b->log, b->log_size + size + 4);

    if (log != NULL) {
        b->log = log;
        b->log_size += (size_t)snprintf(log + b->log_size, size + 4, "%d %s\n", level, line);
    }
}

/* Everything but the client. */
static inline void
bench_begin(struct bench *b)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(at);
    uint8_t seed[32];

    memset(b, 0, sizeof(*b));
    b->dir = temp_dir_make();
    snprintf(b->fleet_path, sizeof(b->fleet_path), "%s/fleet.json", b->dir.path);
    snprintf(b->credential_path, sizeof(b->credential_path), "%s/credential.json", b->dir.path);
    snprintf(b->state_dir, sizeof(b->state_dir), "%s/state", b->dir.path);
    b->sha = cfc_sha256_new();
    b->fleet = calloc(1, sizeof(*b->fleet));
    CU_ASSERT_FATAL(b->sha != NULL && b->fleet != NULL);
    memset(seed, 7, sizeof(seed));
    cfc_signing_key_from_seed(seed, &b->root);
    memset(seed, 8, sizeof(seed));
    cfc_signing_key_from_seed(seed, &b->release);
    b->signer = cfc_signing_key_signer(&b->release);
    b->engine_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(b->engine_fd, (struct sockaddr *)&at, sizeof(at)), 0);
    CU_ASSERT_EQUAL(
        setsockopt(b->engine_fd, IPPROTO_IP, IP_MULTICAST_IF, &at.sin_addr, sizeof(at.sin_addr)),
        0);
    CU_ASSERT_EQUAL(getsockname(b->engine_fd, (struct sockaddr *)&at, &size), 0);
    b->engine_port = ntohs(at.sin_port);
    bench_write_fleet(b, "dc1", 7);
    bench_write_credential(b, "dc1", &b->root);
    b->options = (struct confcast_options)CONFCAST_OPTIONS_INIT;
    b->options.fleet_path = b->fleet_path;
    b->options.credential_path = b->credential_path;
    b->options.interface = "lo";
    b->options.state_dir = b->state_dir;
    b->options.receive_buffer_size = 1 << 20;
    b->options.log = bench_log;
    b->options.log_arg = b;
}

static inline void
bench_open(struct bench *b)
{
    CU_ASSERT_EQUAL_FATAL(confcast_open(&b->options, &b->client), CONFCAST_OK);
}

static inline void
bench_subscribe(struct bench *b, const struct confcast_scope_options *options)
{
    CU_ASSERT_EQUAL_FATAL(confcast_subscribe(b->client, CLIENT_SCOPE, options, &b->scope),
                          CONFCAST_OK);
}

static inline void
bench_close(struct bench *b)
{
    confcast_close(b->client);
    b->client = NULL;
}

static inline void
bench_end(struct bench *b)
{
    bench_close(b);
    close(b->engine_fd);
    cfc_sha256_free(b->sha);
    free(b->fleet);
    free(b->log);
    temp_dir_remove(&b->dir);
}

/* The body {"n": n, "pad": "..."} with that many bytes of padding. */
static inline size_t
bench_body(struct bench *b, int64_t n, size_t pad_size, uint8_t body[CLIENT_BODY_MAX],
           struct cfc_digest *id)
{
    static char pad[CLIENT_BODY_MAX];
    struct cfc_body_writer w;
    uint8_t *bytes = NULL;
    size_t size = 0;

    memset(pad, 'x', sizeof(pad));
    cfc_body_writer_init(&w, &cfc_consumer_heap);
    cfc_body_begin_object(&w);
    cfc_body_key(&w, "n", 1);
    cfc_body_i64(&w, n);
    cfc_body_key(&w, "pad", 3);
    cfc_body_string(&w, pad, pad_size);
    cfc_body_end(&w);
    CU_ASSERT_EQUAL_FATAL(cfc_body_finish(&w, &bytes, &size), CONFCAST_OK);
    CU_ASSERT_FATAL(size <= CLIENT_BODY_MAX);
    memcpy(body, bytes, size);
    free(bytes);
    cfc_content_id(b->sha, body, size, id);
    return size;
}

/* A head for all with one content. */
static inline struct cfc_head
bench_head(const struct bench *b, uint64_t version, const struct cfc_digest *content)
{
    struct cfc_head head = {.kind = CFC_HEAD_NORMAL,
                            .activation = CFC_ACTIVATE_NOW,
                            .arm_count = 1,
                            .epoch = 1,
                            .version = version,
                            .issued_unix_ns = bench_unix_ns(),
                            .scope = CLIENT_SCOPE,
                            .scope_size = sizeof(CLIENT_SCOPE) - 1};

    (void)b;
    head.arms[0].content = *content;
    return head;
}

/* To the group of a scope. */
static inline void
bench_send_to(struct bench *b, const char *scope, size_t scope_size, const void *bytes, size_t size)
{
    struct cfc_fleet_address group;
    struct sockaddr_in to = {.sin_family = AF_INET};

    cfc_fleet_group(b->fleet, cfc_scope_id(b->sha, scope, scope_size), &group);
    to.sin_port = htons(group.port);
    memcpy(&to.sin_addr, group.bytes, 4);
    CU_ASSERT_EQUAL(sendto(b->engine_fd, bytes, size, 0, (struct sockaddr *)&to, sizeof(to)),
                    (ssize_t)size);
}

static inline void
bench_send(struct bench *b, const void *bytes, size_t size)
{
    bench_send_to(b, CLIENT_SCOPE, sizeof(CLIENT_SCOPE) - 1, bytes, size);
}

static inline void
bench_send_head(struct bench *b, const struct cfc_head *head)
{
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    size_t size = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_head_encode(head, &b->signer, b->sha, frame, sizeof(frame), &size),
                          CONFCAST_OK);
    bench_send_to(b, head->scope, head->scope_size, frame, size);
}

/* Publishes {"n": n} as a version, in one frame. */
static inline void
bench_publish(struct bench *b, uint64_t version, int64_t n, size_t pad_size)
{
    uint8_t body[CLIENT_BODY_MAX];
    struct cfc_digest id;
    size_t size = bench_body(b, n, pad_size, body, &id);
    struct cfc_head head = bench_head(b, version, &id);

    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = (uint32_t)size,
                                               .coded = body,
                                               .coded_size = size};
    bench_send_head(b, &head);
}

/* What readers see at /n; -1 for nothing. */
static inline int64_t
bench_n(const struct bench *b)
{
    int64_t n;

    confcast_read_lock();
    n = confcast_get_i64(confcast_view(b->scope), CONFCAST_KEY("/n"), -1, NULL);
    confcast_read_unlock();
    return n;
}

static inline struct confcast_status
bench_status(const struct bench *b)
{
    struct confcast_status status = {.size = sizeof(status)};

    CU_ASSERT_EQUAL(confcast_status(b->scope, &status), CONFCAST_OK);
    return status;
}

static inline struct confcast_stats
bench_stats(const struct bench *b)
{
    struct confcast_stats stats = {.size = sizeof(stats)};

    CU_ASSERT_EQUAL(confcast_stats(b->client, &stats), CONFCAST_OK);
    return stats;
}

#endif
