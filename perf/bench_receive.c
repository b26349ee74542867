/* What a consumer makes of the frames that come: the library's own client on the loopback
 * interface, fed by an engine of this program (loop_engine.h).
 *
 *   bench_receive [stream] [tail] [open] [swap] [--state DIR]     all of them without a word
 *
 * stream: processor time of the client's thread from the first frame of a content of 64 MB until
 *         readers see it, and beside it that of its unavoidable parts, each measured alone in this
 *         run: recvmmsg of the same datagrams, SHA-256 of their symbols and of the body, zstd,
 *         validation with the index.  Goal: the parts are 0.8 of it at least.
 * tail:   from the sending of the last symbol until readers see the content, everything before it
 *         being in; for 10 KB beside the parts.  Goals: 100 us for 10 KB, 8 ms for 10 MB.
 * open:   from confcast_open() until 1 MB from disk is served; no frame comes.  Goal: 10 ms.
 * swap:   from the sending of a head until readers see what it turns to: a rollback to the content
 *         before, and an activation of one that was held.  Goal: 0.3 ms.
 *
 * Times until readers see it are taken by the thread that sends, which looks all the time; the
 * client's thread has the next core to itself.  In turns with tail and swap, after the same pause,
 * goes the limit that they cannot beat here: a thread on that core which sleeps in poll() for a
 * datagram, until the looking thread sees that it has read it. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/confcast.h"
#include "confcast/error.h"
#include "consumer/client.h"
#include "perf/bench.h"
#include "perf/loop_engine.h"
#include "protocol/base/time.h"
#include "protocol/snapshot/coding.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/head.h"

enum {
    STREAM_SIZE = 64 << 20,
    STREAM_ROUNDS = 5,
    TAIL_ROUNDS = 15,
    SWAP_ROUNDS = 40,
    OPEN_ROUNDS = 15,
    CHUNK = 512, /* frames that lie in a socket while recvmmsg is measured */
    BUFFER_SIZE = 512 << 20,
};

static struct loop_engine engine;
static struct confcast *client;
static struct confcast_scope *scope;
static uint64_t version;

/* ---- The client ------------------------------------------------------------------------------ */

/* Threads that wake each other have a core each: else it is chance whether the one that looks is
 * put off by the one that it looks for. */
static void
pin(pthread_t thread, long core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)(core % sysconf(_SC_NPROCESSORS_ONLN)), &set);
    if (pthread_setaffinity_np(thread, sizeof(set), &set) != 0) {
        fprintf(stderr, "bench_receive: core %ld is not ours\n", core);
        exit(1);
    }
}

static void
open_client(void)
{
    engine.options.receive_buffer_size = BUFFER_SIZE / 2;
    loop_must("open", confcast_open(&engine.options, &client));
    pin(client->thread, 1);
    loop_must("subscribe", confcast_subscribe(client, LOOP_SCOPE, NULL, &scope));
}

static void
close_client(void)
{
    confcast_close(client);
    client = NULL;
}

static uint64_t
version_now(void)
{
    uint64_t now;

    confcast_read_lock();
    now = confcast_view(scope) != NULL ? confcast_view_version(confcast_view(scope)) : 0;
    confcast_read_unlock();
    return now;
}

/* When readers see the version, ns. */
static uint64_t
await_version(uint64_t wanted)
{
    uint64_t begin_ns = cfc_bench_now_ns();

    while (version_now() < wanted) {
        if (cfc_bench_now_ns() - begin_ns > 20 * CFC_S) {
            fprintf(stderr, "bench_receive: version %llu is not served\n",
                    (unsigned long long)wanted);
            exit(1);
        }
    }
    return cfc_bench_now_ns();
}

static void
await_frames(uint64_t wanted)
{
    struct confcast_stats stats = {.size = sizeof(stats)};
    struct timespec pause = {.tv_nsec = 1000000};

    for (int tries = 0; tries < 20000; tries++) {
        loop_must("stats", confcast_stats(client, &stats));
        if (stats.frames >= wanted) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "bench_receive: frames are lost\n");
    exit(1);
}

static uint64_t
frames_now(void)
{
    struct confcast_stats stats = {.size = sizeof(stats)};

    loop_must("stats", confcast_stats(client, &stats));
    return stats.frames;
}

/* Lets the persister end, whose work is not measured. */
static void
await_durable(void)
{
    struct confcast_status status = {.size = sizeof(status)};
    struct timespec pause = {.tv_nsec = 5000000};

    for (int tries = 0; tries < 4000 && status.durable < version; tries++) {
        nanosleep(&pause, NULL);
        loop_must("status", confcast_status(scope, &status));
    }
    nanosleep(&pause, NULL);
}

static double
seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* As a network would: what is under way fits into caches and buffers. */
static void
send_paced(const struct loop_content *c)
{
    const volatile struct cfc_port_udp_stats *stats = cfc_port_udp_stats(client->port);
    uint64_t before = stats->datagrams;

    for (uint32_t done = 0; done < c->frame_count;) {
        uint32_t left = c->frame_count - done;
        uint32_t count = left < CHUNK / 4 ? left : CHUNK / 4;

        loop_send_frames(engine.fd, c, done, count);
        done += count;
        while (stats->datagrams + CHUNK < before + done) {
            sched_yield();
        }
    }
}

static void
announce(const struct loop_content *c)
{
    struct cfc_head head = loop_head(++version, &c->id);
    uint64_t before = frames_now();

    loop_send_head(&engine, &head);
    await_frames(before + 1);
}

/* ---- A bare wake-up -------------------------------------------------------------------------- */

struct sleeper {
    int fd;
    int from;
    pthread_t thread;
    atomic_uint seen;
    atomic_bool is_over;
};

static void *
run_sleeper(void *arg)
{
    struct sleeper *s = arg;
    uint8_t room[CFC_FRAME_SIZE_MAX];

    while (!atomic_load(&s->is_over)) {
        struct pollfd wait = {.fd = s->fd, .events = POLLIN};

        poll(&wait, 1, 1000);
        if (recv(s->fd, room, sizeof(room), MSG_DONTWAIT) > 0) {
            atomic_fetch_add(&s->seen, 1);
        }
    }
    return NULL;
}

static void
open_pair(int *fd, int *from)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t at_size = sizeof(at);

    *fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || *from < 0 || bind(*fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        getsockname(*fd, (struct sockaddr *)&at, &at_size) != 0 ||
        connect(*from, (struct sockaddr *)&at, sizeof(at)) != 0) {
        perror("bench_receive");
        exit(1);
    }
}

static void
start_sleeper(struct sleeper *s)
{
    memset(s, 0, sizeof(*s));
    open_pair(&s->fd, &s->from);
    if (pthread_create(&s->thread, NULL, run_sleeper, s) != 0) {
        exit(1);
    }
    pin(s->thread, 1);
}

static void
stop_sleeper(struct sleeper *s)
{
    atomic_store(&s->is_over, true);
    (void)!send(s->from, s, 1, 0);
    pthread_join(s->thread, NULL);
    close(s->fd);
    close(s->from);
}

static const struct timespec still = {.tv_nsec = 20000000};

/* ns. */
static uint64_t
wake_alone(struct sleeper *s, const void *bytes, size_t size)
{
    unsigned before = atomic_load(&s->seen);
    uint64_t begin_ns;

    nanosleep(&still, NULL);
    begin_ns = cfc_bench_now_ns();
    if (send(s->from, bytes, size, 0) != (ssize_t)size) {
        perror("bench_receive");
        exit(1);
    }
    while (atomic_load(&s->seen) == before) {
    }
    return cfc_bench_now_ns() - begin_ns;
}

/* ---- The parts ------------------------------------------------------------------------------- */

/* Seconds of processor time in recvmmsg for all frames of a content. */
static double
receive_alone(const struct loop_content *c)
{
    static uint8_t room[CFC_PORT_BATCH][CFC_FRAME_SIZE_MAX];
    struct mmsghdr messages[CFC_PORT_BATCH] = {0};
    struct iovec pieces[CFC_PORT_BATCH];
    int fd, from;
    int size = 16 << 20;
    double seconds = 0;

    open_pair(&fd, &from);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    for (int i = 0; i < CFC_PORT_BATCH; i++) {
        pieces[i] = (struct iovec){.iov_base = room[i], .iov_len = sizeof(room[i])};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    for (uint32_t done = 0; done < c->frame_count; done += CHUNK) {
        uint32_t left = c->frame_count - done;
        double begin;

        loop_send_frames(from, c, done, left < CHUNK ? left : CHUNK);
        begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        while (recvmmsg(fd, messages, CFC_PORT_BATCH, MSG_DONTWAIT, NULL) > 0) {
        }
        seconds += seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
    }
    close(from);
    close(fd);
    return seconds;
}

/* The symbols and beside them the body, both to their ends. */
static double
digest_alone(const struct loop_content *c)
{
    struct cfc_sha256 *body_sha = cfc_sha256_new();
    double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    struct cfc_digest digest;
    double seconds;

    cfc_content_id_begin(body_sha);
    cfc_sha256_add_beside(body_sha, c->body, c->body_size, engine.sha, c->body_size);
    for (size_t at = 0; at < c->coded_size; at += CFC_SYMBOL_SIZE_DEFAULT) {
        size_t left = c->coded_size - at;

        cfc_sha256_once(engine.sha, CFC_DOMAIN_SYMBOL, c->coded + at,
                        left < CFC_SYMBOL_SIZE_DEFAULT ? left : CFC_SYMBOL_SIZE_DEFAULT, &digest);
    }
    cfc_sha256_end(body_sha, &digest);
    seconds = seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
    cfc_sha256_free(body_sha);
    return seconds;
}

static double
decode_alone(const struct loop_content *c, uint8_t *body)
{
    static struct cfc_coder *coder; /* a client has one, too, that has worked before */
    double begin;

    if (coder == NULL) {
        coder = cfc_coder_new(&cfc_consumer_heap);
    }
    begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    loop_must("decode", cfc_coding_decode(coder, (enum cfc_encoding)c->encoding, c->coded,
                                          c->coded_size, NULL, 0, body, c->body_size));
    return seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
}

static double
validate_alone(const uint8_t *body, size_t size)
{
    struct cfc_index index;
    double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    double seconds;

    loop_must("index", cfc_index_build(&index, body, size, cfc_index_seed(), &cfc_consumer_heap));
    seconds = seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
    cfc_index_free(&index, &cfc_consumer_heap);
    return seconds;
}

struct parts {
    double receive, digest, decode, validate;
};

static struct parts
measure_parts(const struct loop_content *c)
{
    uint8_t *body = malloc(c->body_size);
    struct parts parts;

    if (body == NULL) {
        exit(1);
    }
    memset(body, 1, c->body_size);
    parts.receive = receive_alone(c);
    parts.digest = digest_alone(c);
    parts.decode = decode_alone(c, body);
    parts.validate = validate_alone(body, c->body_size);
    free(body);
    return parts;
}

/* ---- Cases ----------------------------------------------------------------------------------- */

static void
show(struct cfc_bench *b, const char *what, const char *name, const char *unit)
{
    char line[128];

    snprintf(line, sizeof(line), "%s: %s", what, name);
    cfc_bench_print(b, "receive", line, unit);
}

static void
bench_stream(const char *what, enum loop_kind kind)
{
    struct cfc_bench ours = {0}, sum = {0}, ratio = {0}, wall = {0};
    struct cfc_bench each[4] = {{.count = 0}};
    clockid_t clock;

    open_client();
    pthread_getcpuclockid(client->thread, &clock);
    for (int round = -1; round < STREAM_ROUNDS; round++) {
        struct loop_content c;
        struct parts parts;
        double begin, seconds, total;
        uint64_t begin_ns;

        loop_make(&engine, &c, kind, STREAM_SIZE, 100 + version);
        announce(&c);
        begin = seconds_of(clock);
        begin_ns = cfc_bench_now_ns();
        send_paced(&c);
        begin_ns = await_version(version) - begin_ns;
        seconds = seconds_of(clock) - begin;
        await_durable();
        if (round >= 0) { /* the first one finds everything cold */
            parts = measure_parts(&c);
            total = parts.receive + parts.digest + parts.decode + parts.validate;
            cfc_bench_add(&ours, seconds * 1e3);
            cfc_bench_add(&sum, total * 1e3);
            cfc_bench_add(&ratio, total / seconds);
            cfc_bench_add(&wall, (double)begin_ns / 1e6);
            cfc_bench_add(&each[0], parts.receive * 1e3);
            cfc_bench_add(&each[1], parts.digest * 1e3);
            cfc_bench_add(&each[2], parts.decode * 1e3);
            cfc_bench_add(&each[3], parts.validate * 1e3);
        }
        loop_free(&c);
    }
    show(&each[0], what, "recvmmsg alone", "ms");
    show(&each[1], what, "SHA-256 alone", "ms");
    show(&each[2], what, "zstd alone", "ms");
    show(&each[3], what, "validation and index alone", "ms");
    show(&sum, what, "sum of the parts", "ms");
    show(&ours, what, "client's thread until readers see it", "ms");
    show(&wall, what, "first frame to visible", "ms");
    show(&ratio, what, "sum of the parts / client's thread", "ratio");
    close_client();
    loop_forget(&engine);
}

static void
show_beside(struct cfc_bench *ours, struct cfc_bench *bare, struct cfc_bench *ratio,
            const char *what, const char *name, const char *unit)
{
    char line[128];

    cfc_bench_print(bare, "receive", "bare wake-up", unit);
    show(ours, what, name, unit);
    snprintf(line, sizeof(line), "%s: %s / bare wake-up", what, name);
    cfc_bench_print(ratio, "receive", line, "ratio");
}

/* What the last symbol is followed by, each alone and with warm caches. */
static void
add_parts(struct cfc_bench each[3], const struct loop_content *c)
{
    struct parts parts = measure_parts(c);

    cfc_bench_add(&each[0], parts.digest * 1e6);
    cfc_bench_add(&each[1], parts.decode * 1e6);
    cfc_bench_add(&each[2], parts.validate * 1e6);
}

static void
bench_tail(const char *what, enum loop_kind kind, size_t size, const char *unit, double scale)
{
    struct cfc_bench times = {0}, bare = {0}, ratio = {0};
    struct cfc_bench each[3] = {{.count = 0}};
    bool is_small = size < 1 << 20;
    struct sleeper sleeper;

    open_client();
    start_sleeper(&sleeper);
    for (int round = -2; round < TAIL_ROUNDS; round++) {
        struct loop_content c;
        uint64_t begin_ns, bare_ns;
        uint64_t before;

        loop_make(&engine, &c, kind, size, 1000 + version);
        announce(&c);
        before = frames_now();
        loop_send_frames(engine.fd, &c, 0, c.frame_count - 1);
        await_frames(before + c.frame_count - 1);
        bare_ns = wake_alone(&sleeper, c.frames, CFC_SYMBOL_SIZE_DEFAULT);
        nanosleep(&still, NULL);
        begin_ns = cfc_bench_now_ns();
        loop_send_frames(engine.fd, &c, c.frame_count - 1, 1);
        begin_ns = await_version(version) - begin_ns;
        if (round >= 0) {
            cfc_bench_add(&times, (double)begin_ns / scale);
            cfc_bench_add(&bare, (double)bare_ns / scale);
            cfc_bench_add(&ratio, (double)begin_ns / (double)bare_ns);
            if (is_small) {
                add_parts(each, &c);
            }
        }
        await_durable();
        loop_free(&c);
    }
    stop_sleeper(&sleeper);
    if (is_small) {
        show_beside(&times, &bare, &ratio, what, "last symbol to visible", unit);
        show(&each[0], what, "SHA-256 alone", unit);
        show(&each[1], what, "zstd alone", unit);
        show(&each[2], what, "validation and index alone", unit);
    } else {
        show(&times, what, "last symbol to visible", unit);
    }
    close_client();
    loop_forget(&engine);
}

static void
bench_open(void)
{
    struct cfc_bench times = {0};
    struct loop_content c;

    loop_make(&engine, &c, LOOP_CONFIG, 1 << 20, 5);
    open_client();
    announce(&c);
    loop_send_frames(engine.fd, &c, 0, c.frame_count);
    await_version(version);
    await_durable();
    close_client();
    for (int round = 0; round < OPEN_ROUNDS; round++) {
        uint64_t begin_ns = cfc_bench_now_ns();

        open_client();
        cfc_bench_add(&times, (double)(await_version(version) - begin_ns) / 1e6);
        close_client();
    }
    show(&times, "1 MB from disk", "open to served", "ms");
    loop_free(&c);
    loop_forget(&engine);
}

static void
send_content(const struct loop_content *c)
{
    announce(c);
    loop_send_frames(engine.fd, c, 0, c->frame_count);
    await_version(version);
    await_durable();
}

/* Sends a head and adds the time until readers see it, beside that of a bare wake-up. */
static void
swap_once(const struct cfc_head *head, struct sleeper *sleeper, struct cfc_bench b[3])
{
    uint8_t bytes[300] = {0};
    uint64_t bare_ns = wake_alone(sleeper, bytes, sizeof(bytes));
    uint64_t begin_ns;

    nanosleep(&still, NULL);
    begin_ns = cfc_bench_now_ns();
    loop_send_head(&engine, head);
    begin_ns = await_version(version) - begin_ns;
    cfc_bench_add(&b[0], (double)begin_ns / 1e3);
    cfc_bench_add(&b[1], (double)bare_ns / 1e3);
    cfc_bench_add(&b[2], (double)begin_ns / (double)bare_ns);
    await_durable();
}

static void
bench_swap(const char *what, size_t size)
{
    struct cfc_bench rollback[3] = {{.count = 0}}, activation[3] = {{.count = 0}};
    struct loop_content c[2];
    struct sleeper sleeper;

    open_client();
    start_sleeper(&sleeper);
    for (int i = 0; i < 2; i++) {
        loop_make(&engine, &c[i], LOOP_CONFIG, size, 7000 + (uint64_t)i);
        send_content(&c[i]);
    }
    for (int round = 0; round < SWAP_ROUNDS; round++) {
        struct cfc_head head = loop_head(++version, &c[round % 2].id);

        head.kind = CFC_HEAD_ROLLBACK;
        swap_once(&head, &sleeper, rollback);
    }
    for (int round = 0; round < SWAP_ROUNDS; round++) {
        struct cfc_head head = loop_head(++version, &c[round % 2].id);

        head.activation = CFC_ACTIVATE_HOLD;
        head.arms[0].fallback = c[1 - round % 2].id;
        loop_send_head(&engine, &head);
        await_version(version);
        await_durable();
        head = loop_head(++version, &c[round % 2].id);
        head.arms[0].fallback = c[1 - round % 2].id;
        swap_once(&head, &sleeper, activation);
    }
    stop_sleeper(&sleeper);
    show_beside(&rollback[0], &rollback[1], &rollback[2], what, "head of a rollback to visible",
                "us");
    show_beside(&activation[0], &activation[1], &activation[2], what,
                "head of an activation to visible", "us");
    close_client();
    for (int i = 0; i < 2; i++) {
        loop_free(&c[i]);
    }
    loop_forget(&engine);
}

/* The one signature that a head costs. */
static void
bench_signature(void)
{
    struct cfc_bench times = {0};
    struct cfc_keyring ring = {.key_count = 0};
    struct cfc_ring_key key = {.prefix_count = 0};
    struct cfc_digest content = {{1}};
    struct cfc_head head = loop_head(1, &content);
    uint8_t bytes[CFC_FRAME_SIZE_MAX];
    struct cfc_verifier verifier;
    struct cfc_frame frame;
    size_t size = 0;

    memcpy(key.public_key, engine.release.public_key, sizeof(key.public_key));
    loop_must("key", cfc_keyring_add(&ring, &key));
    verifier = cfc_keyring_verifier(&ring);
    loop_must("head",
              cfc_head_encode(&head, &engine.signer, engine.sha, bytes, sizeof(bytes), &size));
    loop_must("frame", cfc_frame_open(bytes, size, &frame));
    loop_must("head", cfc_head_decode(&frame, engine.sha, &head));
    for (int round = 0; round < 200; round++) {
        double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);

        loop_must("signature", cfc_head_verify(&head, &verifier, 0));
        cfc_bench_add(&times, (seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin) * 1e6);
    }
    cfc_bench_print(&times, "receive", "a head's Ed25519 check alone", "us");
}

int
main(int argc, char **argv)
{
    const char *state_root = "/dev/shm";
    bool is_all = true;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--state") == 0 && i + 1 < argc) {
            state_root = argv[++i];
        } else {
            is_all = false;
        }
    }
    pin(pthread_self(), 0);
    loop_open(&engine, state_root);
    for (int i = is_all ? 0 : 1; i < (is_all ? 1 : argc); i++) {
        const char *word = is_all ? "" : argv[i];

        if (is_all || strcmp(word, "stream") == 0) {
            bench_stream("64 MB of random text", LOOP_RANDOM);
            bench_stream("64 MB of config", LOOP_CONFIG);
        }
        if (is_all || strcmp(word, "tail") == 0) {
            bench_tail("10 KB", LOOP_CONFIG, 10 << 10, "us", 1e3);
            bench_tail("10 KB of random text", LOOP_RANDOM, 10 << 10, "us", 1e3);
            bench_tail("10 MB", LOOP_CONFIG, 10 << 20, "ms", 1e6);
            bench_tail("10 MB of random text", LOOP_RANDOM, 10 << 20, "ms", 1e6);
        }
        if (is_all || strcmp(word, "open") == 0) {
            bench_open();
        }
        if (is_all || strcmp(word, "swap") == 0) {
            bench_signature();
            bench_swap("4 KB", 4 << 10);
            bench_swap("1 MB", 1 << 20);
        }
    }
    loop_close(&engine);
    return 0;
}
