#include "perf/loop_engine.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/alloc.h"
#include "protocol/base/prng.h"
#include "protocol/base/time.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/coding.h"
#include "protocol/snapshot/repairs.h"
#include "protocol/snapshot/tree.h"
#include "protocol/trust/credential.h"
#include "protocol/wire/content.h"

enum {
    REPAIR_LEAVES = 8,
    BLOB_SIZE = 64 << 10,
    BURST = 64
};

/* Not the client's, which would find what was left here. */
static void *
heap_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void
heap_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static const struct cfc_alloc heap = {heap_alloc, heap_free, NULL};

void
loop_must(const char *what, int error)
{
    if (error != CONFCAST_OK) {
        fprintf(stderr, "%s: %s\n", what, confcast_error_text(error));
        exit(1);
    }
}

static void
system_must(const char *what, bool is_well)
{
    if (!is_well) {
        perror(what);
        exit(1);
    }
}

static void
write_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    system_must(path, fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

static void
hex(char *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

static void
write_fleet(struct loop_engine *e, uint16_t engine_port)
{
    uint8_t key_id[CFC_KEY_ID_SIZE];
    char id[17];
    char key[65];
    char text[1024];
    char *sealed = NULL;
    size_t size = 0;

    cfc_key_id(e->release.public_key, key_id);
    hex(id, key_id, sizeof(key_id));
    hex(key, e->release.public_key, sizeof(e->release.public_key));
    snprintf(text, sizeof(text),
             "{\"format\":\"confcast-fleet-1\",\"name\":\"bench\",\"sequence\":1,\"port\":%u,"
             "\"groups\":{\"base\":\"239.87.%u.0\",\"count\":4},"
             "\"engines\":[{\"address\":\"127.0.0.1\",\"port\":%u}],\"pull_urls\":[],"
             "\"release_keys\":[{\"id\":\"%s\",\"public_key\":\"%s\",\"not_after\":0,"
             "\"scopes\":[\"\"]}]}",
             20000 + (unsigned)getpid() % 20000, (unsigned)getpid() / 20000 % 200, engine_port, id,
             key);
    loop_must("fleet", cfc_fleet_seal(text, strlen(text), &e->root, &sealed, &size));
    loop_must("fleet", cfc_fleet_parse(sealed, size, NULL, &e->fleet));
    write_file(e->fleet_path, sealed, size, 0644);
    free(sealed);
}

static void
write_credential(struct loop_engine *e)
{
    struct cfc_credential credential = {.id = "host-1"};
    char *text = NULL;
    size_t size = 0;

    snprintf(credential.fleet, sizeof(credential.fleet), "bench");
    memcpy(credential.root_key, e->root.public_key, sizeof(credential.root_key));
    memset(&credential.session_key, 1, sizeof(credential.session_key));
    memset(&credential.report_key, 2, sizeof(credential.report_key));
    loop_must("credential", cfc_credential_write(&credential, &text, &size));
    write_file(e->credential_path, text, size, 0600);
    free(text);
}

static uint16_t
open_socket(struct loop_engine *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(at);

    e->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    system_must("socket", e->fd >= 0 && bind(e->fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
                              setsockopt(e->fd, IPPROTO_IP, IP_MULTICAST_IF, &at.sin_addr,
                                         sizeof(at.sin_addr)) == 0 &&
                              getsockname(e->fd, (struct sockaddr *)&at, &size) == 0);
    return ntohs(at.sin_port);
}

void
loop_open(struct loop_engine *e, const char *state_root)
{
    struct cfc_fleet_address group;
    uint8_t seed[32];

    memset(e, 0, sizeof(*e));
    snprintf(e->dir, sizeof(e->dir), "%s/confcast-bench-XXXXXX", state_root);
    system_must(e->dir, mkdtemp(e->dir) != NULL);
    snprintf(e->fleet_path, sizeof(e->fleet_path), "%s/fleet.json", e->dir);
    snprintf(e->credential_path, sizeof(e->credential_path), "%s/credential.json", e->dir);
    snprintf(e->state_dir, sizeof(e->state_dir), "%s/state", e->dir);
    e->sha = cfc_sha256_new();
    system_must("SHA-256", e->sha != NULL);
    memset(seed, 7, sizeof(seed));
    cfc_signing_key_from_seed(seed, &e->root);
    memset(seed, 8, sizeof(seed));
    cfc_signing_key_from_seed(seed, &e->release);
    e->signer = cfc_signing_key_signer(&e->release);
    write_fleet(e, open_socket(e));
    write_credential(e);
    cfc_fleet_group(&e->fleet, cfc_scope_id(e->sha, LOOP_SCOPE, sizeof(LOOP_SCOPE) - 1), &group);
    e->group = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(group.port)};
    memcpy(&e->group.sin_addr, group.bytes, 4);
    system_must("connect", connect(e->fd, (struct sockaddr *)&e->group, sizeof(e->group)) == 0);
    e->options = (struct confcast_options)CONFCAST_OPTIONS_INIT;
    e->options.fleet_path = e->fleet_path;
    e->options.credential_path = e->credential_path;
    e->options.interface = "lo";
    e->options.state_dir = e->state_dir;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

void
loop_forget(struct loop_engine *e)
{
    (void)nftw(e->state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* it may not be there */
}

void
loop_close(struct loop_engine *e)
{
    loop_forget(e);
    unlink(e->fleet_path);
    unlink(e->credential_path);
    system_must(e->dir, rmdir(e->dir) == 0);
    close(e->fd);
    cfc_sha256_free(e->sha);
}

/* ---- Contents -------------------------------------------------------------------------------- */

static void
write_random(struct cfc_body_writer *w, size_t size, struct cfc_prng *prng)
{
    static char blob[BLOB_SIZE];

    cfc_body_key(w, "blobs", 5);
    cfc_body_begin_array(w);
    for (size_t done = 0; done < size; done += sizeof(blob)) {
        size_t left = size - done < sizeof(blob) ? size - done : sizeof(blob);

        for (size_t i = 0; i < left; i++) {
            blob[i] = (char)(1 + cfc_prng_below(prng, 127));
        }
        cfc_body_string(w, blob, left);
    }
    cfc_body_end(w);
}

static void
write_text(struct cfc_body_writer *w, const char *key, const char *text)
{
    cfc_body_key(w, key, strlen(key));
    cfc_body_string(w, text, strlen(text));
}

static void
write_config(struct cfc_body_writer *w, size_t size, struct cfc_prng *prng)
{
    char text[256];

    for (size_t n = 0; n < size / 520; n++) { /* bytes of one, with 6 values */
        snprintf(text, sizeof(text), "service-%07zu", n);
        cfc_body_key(w, text, strlen(text));
        cfc_body_begin_object(w);
        snprintf(text, sizeof(text), "10.%u.%u.%u", (unsigned)cfc_prng_below(prng, 256),
                 (unsigned)cfc_prng_below(prng, 256), (unsigned)cfc_prng_below(prng, 256));
        write_text(w, "address", text);
        snprintf(text, sizeof(text),
                 "/usr/lib/services/%zu/bin/serve --listen=0.0.0.0:%u --workers=%u "
                 "--upstream=https://backend-%u.internal.example:8443/v2/items "
                 "--log-format=json --trace-endpoint=otel.monitoring.svc.cluster.local:4317",
                 n % 97, 1024 + (unsigned)cfc_prng_below(prng, 60000),
                 1 + (unsigned)cfc_prng_below(prng, 64), (unsigned)cfc_prng_below(prng, 4000));
        write_text(w, "command", text);
        cfc_body_key(w, "limit", 5);
        cfc_body_i64(w, (int64_t)cfc_prng_below(prng, 100000));
        snprintf(text, sizeof(text),
                 "Owned by team %u; pages go to rotation-%u and, out of hours, to the platform "
                 "desk. See https://runbooks.internal.example/services/%zu/incidents for what to "
                 "do when the error budget of %u minutes is spent.",
                 (unsigned)cfc_prng_below(prng, 300), (unsigned)cfc_prng_below(prng, 40), n,
                 (unsigned)cfc_prng_below(prng, 45));
        write_text(w, "owner", text);
        cfc_body_key(w, "timeout_ms", 10);
        cfc_body_i64(w, (int64_t)cfc_prng_below(prng, 5000));
        cfc_body_end(w);
    }
}

static void
make_body(struct loop_engine *e, struct loop_content *c, enum loop_kind kind, size_t size,
          uint64_t seed)
{
    struct cfc_prng prng = {.state = seed};
    struct cfc_body_writer w;

    cfc_body_writer_init(&w, &heap);
    cfc_body_begin_object(&w);
    if (kind == LOOP_RANDOM) {
        write_random(&w, size, &prng);
    } else {
        write_config(&w, size, &prng);
    }
    cfc_body_end(&w);
    loop_must("body", cfc_body_finish(&w, &c->body, &c->body_size));
    cfc_content_id(e->sha, c->body, c->body_size, &c->id);
}

static void
code_body(struct loop_content *c)
{
    struct cfc_coder *coder = cfc_coder_new(&heap);
    enum cfc_encoding encoding = CFC_ENCODING_RAW;
    size_t bound = cfc_coding_bound(c->body_size);

    c->coded = malloc(bound);
    system_must("memory", coder != NULL && c->coded != NULL);
    loop_must("encode", cfc_coding_encode(coder, c->body, c->body_size, c->coded, bound,
                                          &c->coded_size, &encoding));
    c->encoding = (uint8_t)encoding;
    cfc_coder_free(coder);
}

static uint8_t *
next_frame(struct loop_content *c)
{
    return c->frames + c->offsets[c->frame_count];
}

static void
end_frame(struct loop_content *c, size_t size)
{
    c->offsets[c->frame_count + 1] = c->offsets[c->frame_count] + (uint32_t)size;
    c->frame_count++;
}

static void
add_page(struct loop_content *c, const struct cfc_tree *tree, const uint8_t *digests,
         uint32_t level, uint32_t index)
{
    struct cfc_page page = {.level = (uint8_t)level,
                            .digest_count = (uint8_t)cfc_tree_page_digests(tree, level, index),
                            .index = index,
                            .digests = digests + (size_t)cfc_tree_page_offset(tree, level, index) *
                                                     CFC_SHORT_DIGEST_SIZE};
    size_t size = 0;

    loop_must("page", cfc_page_encode(cfc_digest_key(&c->id), &page, next_frame(c),
                                      CFC_FRAME_SIZE_MAX, &size));
    end_frame(c, size);
}

static void
add_block(struct loop_content *c, const struct cfc_tree *tree, const uint8_t *digests,
          uint32_t block)
{
    const struct cfc_geometry *g = &tree->geometry;
    uint32_t count = cfc_geometry_block_symbols(g, &tree->content, block);
    uint32_t page = block;

    for (uint32_t level = tree->level_count - 1; level > 0; level--) {
        uint32_t span = 1;

        for (uint32_t i = 0; i < level; i++) {
            span *= CFC_PAGE_DIGESTS_MAX;
        }
        if (block % span == 0) {
            add_page(c, tree, digests, level, block / span);
        }
    }
    add_page(c, tree, digests, 0, page);
    for (uint32_t i = 0; i < count; i++) {
        size_t size = cfc_geometry_symbol_size(g, &tree->content, block, i);
        size_t from = ((size_t)block * tree->content.fec_k + i) * tree->content.symbol_size;

        cfc_symbol_header(cfc_digest_key(&c->id), 0, block, (uint16_t)i, size, next_frame(c));
        memcpy(next_frame(c) + CFC_SYMBOL_HEADER_SIZE, c->coded + from, size);
        end_frame(c, CFC_SYMBOL_HEADER_SIZE + size);
    }
}

static void
cut(struct loop_engine *e, struct loop_content *c)
{
    struct cfc_content content = {.encoding = c->encoding,
                                  .fec_code = CFC_FEC_RS_CAUCHY,
                                  .fec_k = CFC_BLOCK_SYMBOLS_MAX,
                                  .repair_leaves = REPAIR_LEAVES,
                                  .body_size = c->body_size,
                                  .coded_size = c->coded_size,
                                  .symbol_size = CFC_SYMBOL_SIZE_DEFAULT,
                                  .content = c->id};
    struct cfc_tree tree;
    uint8_t *digests, *repairs;
    size_t size = 0;
    size_t frames;

    loop_must("tree", cfc_tree_init(&tree, &content));
    digests = malloc(cfc_tree_digests_size(&tree));
    repairs = malloc(cfc_repairs_size(&tree));
    frames = tree.geometry.symbol_count + 2 * (size_t)tree.geometry.block_count + 8;
    c->frames = malloc(frames * CFC_FRAME_SIZE_DEFAULT + CFC_FRAME_SIZE_MAX);
    c->offsets = calloc(frames + 1, sizeof(*c->offsets));
    system_must("memory",
                digests != NULL && repairs != NULL && c->frames != NULL && c->offsets != NULL);
    cfc_repairs_build(&tree, c->coded, repairs);
    cfc_tree_build(&tree, e->sha, c->coded, repairs, digests);
    content.page_levels = (uint8_t)tree.level_count;
    content.top_count = (uint8_t)tree.top_count;
    content.top_digests = digests + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE;
    loop_must("content",
              cfc_content_encode(&content, &e->signer, next_frame(c), CFC_FRAME_SIZE_MAX, &size));
    end_frame(c, size);
    for (uint32_t block = 0; block < tree.geometry.block_count; block++) {
        add_block(c, &tree, digests, block);
    }
    free(repairs);
    free(digests);
}

void
loop_make(struct loop_engine *e, struct loop_content *c, enum loop_kind kind, size_t size,
          uint64_t seed)
{
    memset(c, 0, sizeof(*c));
    make_body(e, c, kind, size, seed);
    code_body(c);
    cut(e, c);
}

void
loop_free(struct loop_content *c)
{
    cfc_free(&heap, c->body);
    free(c->coded);
    free(c->frames);
    free(c->offsets);
    memset(c, 0, sizeof(*c));
}

/* ---- Sending --------------------------------------------------------------------------------- */

struct cfc_head
loop_head(uint64_t version, const struct cfc_digest *content)
{
    struct timespec t;
    struct cfc_head head = {.kind = CFC_HEAD_NORMAL,
                            .activation = CFC_ACTIVATE_NOW,
                            .arm_count = 1,
                            .epoch = 1,
                            .version = version,
                            .scope = LOOP_SCOPE,
                            .scope_size = sizeof(LOOP_SCOPE) - 1};

    clock_gettime(CLOCK_REALTIME, &t);
    head.issued_unix_ns = (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
    head.arms[0].content = *content;
    return head;
}

void
loop_send_head(struct loop_engine *e, const struct cfc_head *head)
{
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    size_t size = 0;

    loop_must("head", cfc_head_encode(head, &e->signer, e->sha, frame, sizeof(frame), &size));
    system_must("send", send(e->fd, frame, size, 0) == (ssize_t)size);
}

void
loop_send_frames(int fd, const struct loop_content *c, uint32_t first, uint32_t count)
{
    struct mmsghdr messages[BURST] = {0};
    struct iovec parts[BURST];

    for (uint32_t done = 0; done < count;) {
        uint32_t burst = count - done < BURST ? count - done : BURST;
        int sent;

        for (uint32_t i = 0; i < burst; i++) {
            uint32_t at = first + done + i;

            parts[i] = (struct iovec){.iov_base = c->frames + c->offsets[at],
                                      .iov_len = c->offsets[at + 1] - c->offsets[at]};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        }
        sent = sendmmsg(fd, messages, burst, 0);
        system_must("sendmmsg", sent > 0);
        done += (uint32_t)sent;
    }
}
