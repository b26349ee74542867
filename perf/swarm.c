/* A crowd of consumers in one process, for the load of their reports, NACKs and HELLOs on a real
 * engine and control plane: each is the library's own receiver (protocol/session/receiver.h) with
 * its own keys, its own UDP socket to the engine and its own loss.
 *
 *   swarm --fleet FILE --session-key FILE --report-key FILE --scope PATH --interface NAME
 *         [--addresses 10.78.0.1] [--receivers 10000] [--loss PPM] [--seed N]
 *
 * It proves what such a crowd asks of engine and control plane, not delivery: one multicast socket
 * (consumer/port_udp.h) hears for all of them, and which of its datagrams a receiver misses is
 * decided here, by a sequence of the receiver's own.  Signatures are checked once for all, since
 * the processor is one; all else each receiver does itself, the digests of symbols and contents
 * too.  Nothing is kept on disk; what is served counts as durable.
 *
 * Lines on standard input: "status" prints one JSON line of totals, "loss PPM" sets the loss from
 * now on, "restart" ends all receivers and starts them anew with their next incarnation, as after a
 * power cut.  The process ends with its standard input.
 *
 * With --addresses each receiver sends from an address of its own, from that one up, since an
 * engine answers one address so many HELLOs a second and no more.  The namespace needs a route that
 * makes them its own: ip route add local 10.78.0.0/16 dev lo.
 *
 * One thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/port_udp.h"
#include "protocol/base/prng.h"
#include "protocol/session/receiver.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/coding.h"
#include "protocol/snapshot/index.h"
#include "protocol/trust/fleet.h"
#include "protocol/trust/key_file.h"
#include "protocol/wire/frame.h"

enum {
    RECEIVERS_MAX = 50000,
    FILE_SIZE_MAX = 1 << 16,
    BODY_SIZE_MAX = 1 << 20,
    HELD_MAX = 8,    /* contents that a receiver holds at most */
    BODIES_MAX = 64, /* contents that anybody holds */
    MEMO_COUNT = 16,
    MEMO_SIZE_MAX = 2048,
    EPOLL_BATCH = 256,
    BUFFER_SIZE = 64 << 20, /* of the multicast socket, bytes */
    WAIT_MS_MAX = 20,
    LINE_SIZE = 64,
    PPM = 1000000,
};

struct body {
    struct cfc_digest id;
    uint8_t *bytes;
    size_t size;
    uint32_t holders;
};

struct member {
    char id[24];
    size_t id_size;
    struct cfc_receiver *receiver;
    uint32_t scope;
    int fd;
    struct cfc_prng losses;
    struct body *held[HELD_MAX];
    uint64_t accepted;
    uint64_t served;
};

struct memo {
    uint8_t bytes[MEMO_SIZE_MAX];
    size_t size;
    uint8_t signature[CFC_SIGNATURE_SIZE];
    const char *domain;
    uint64_t second; /* keys may expire */
    int verdict;
};

struct swarm {
    const char *scope;
    const char *interface_name;
    uint32_t count;
    uint32_t first_address; /* host order; 0 = the namespace's own serves all */
    uint32_t loss_ppm;
    uint64_t seed;
    uint64_t incarnation;
    struct cfc_fleet fleet;
    struct cfc_key session_key;
    struct cfc_key report_key;
    struct cfc_verifier verifier; /* of the fleet's keys */
    struct memo memos[MEMO_COUNT];
    uint32_t memo_next;
    struct cfc_sha256 *sha;
    struct cfc_coder *coder;
    struct cfc_port_udp *port;
    int epoll_fd;
    struct member *members;
    uint64_t *deadlines; /* of each member, apart so that a look at all is quick */
    struct body bodies[BODIES_MAX];
    uint8_t scratch[BODY_SIZE_MAX];
    /* Totals since the start of the process; those of the receivers end with them. */
    uint64_t datagrams;
    uint64_t missed; /* pairs of a datagram and a receiver that was not to see it */
    uint64_t sent;
    uint64_t sent_again; /* by a full socket: not sent */
    uint64_t refused;    /* contents and versions that were turned down */
    struct cfc_receiver_stats ended;
};

static void
die(const char *what, int code)
{
    fprintf(stderr, "swarm: %s: %s\n", what,
            code != 0 ? confcast_error_text(code) : strerror(errno));
    exit(1);
}

static void
must(const char *what, int code)
{
    if (code != CONFCAST_OK) {
        die(what, code);
    }
}

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

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

static struct cfc_now
now_of(void)
{
    return (struct cfc_now){.mono_ns = clock_ns(CLOCK_MONOTONIC),
                            .unix_ns = clock_ns(CLOCK_REALTIME)};
}

/* ---- What all share ---- */

/* Each signature is one that thousands check: the answer is remembered for a second. */
static int
verify_once(void *ctx, const uint8_t key_id[CFC_KEY_ID_SIZE], const char *scope, size_t scope_size,
            uint64_t unix_ns, const char *domain, const uint8_t *bytes, size_t size,
            const uint8_t signature[CFC_SIGNATURE_SIZE])
{
    struct swarm *s = ctx;
    struct memo *memo;

    for (uint32_t i = 0; i < MEMO_COUNT; i++) {
        memo = &s->memos[i];
        if (memo->size == size && memo->domain == domain && memo->second == unix_ns / CFC_S &&
            memcmp(memo->signature, signature, CFC_SIGNATURE_SIZE) == 0 &&
            memcmp(memo->bytes, bytes, size) == 0) {
            return memo->verdict;
        }
    }
    memo = &s->memos[s->memo_next];
    if (size > sizeof(memo->bytes)) {
        return s->verifier.verify(s->verifier.ctx, key_id, scope, scope_size, unix_ns, domain,
                                  bytes, size, signature);
    }
    s->memo_next = (s->memo_next + 1) % MEMO_COUNT;
    memcpy(memo->bytes, bytes, size);
    memcpy(memo->signature, signature, CFC_SIGNATURE_SIZE);
    memo->size = size;
    memo->domain = domain;
    memo->second = unix_ns / CFC_S;
    memo->verdict = s->verifier.verify(s->verifier.ctx, key_id, scope, scope_size, unix_ns, domain,
                                       bytes, size, signature);
    return memo->verdict;
}

static struct body *
find_body(struct swarm *s, const struct cfc_digest *id)
{
    for (uint32_t i = 0; i < BODIES_MAX; i++) {
        if (s->bodies[i].holders > 0 && cfc_digest_equal(&s->bodies[i].id, id)) {
            return &s->bodies[i];
        }
    }
    return NULL;
}

static struct body *
add_body(struct swarm *s, const struct cfc_digest *id, size_t size)
{
    for (uint32_t i = 0; i < BODIES_MAX; i++) {
        struct body *body = &s->bodies[i];

        if (body->holders == 0) {
            *body = (struct body){.id = *id, .bytes = malloc(size), .size = size};
            if (body->bytes == NULL) {
                die("memory", CONFCAST_ERR_NO_MEMORY);
            }
            memcpy(body->bytes, s->scratch, size);
            return body;
        }
    }
    die("contents", CONFCAST_ERR_LIMIT);
    return NULL;
}

/* ---- A member as the owner of its receiver ---- */

/* Where the member holds it, NULL being room; HELD_MAX: nowhere. */
static uint32_t
find_held(const struct member *m, const struct body *body)
{
    uint32_t k = 0;

    while (k < HELD_MAX && m->held[k] != body) {
        k++;
    }
    return k;
}

static void
drop(struct member *m, uint32_t k)
{
    struct body *body = m->held[k];

    m->held[k] = NULL;
    if (body != NULL && --body->holders == 0) {
        free(body->bytes);
        body->bytes = NULL;
    }
}

/* Decodes as the library does: bounds first, then zstd, then the name, then the body. */
static int
take_content(struct swarm *s, struct member *m, const struct cfc_receiver_event *event)
{
    const struct body *base = NULL;
    uint32_t room = find_held(m, NULL);
    struct cfc_digest id;
    struct body *body;
    int rc;

    if (event->body_size > sizeof(s->scratch) || room == HELD_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (event->encoding == CFC_ENCODING_ZSTD_DELTA) {
        base = find_body(s, &event->base);
        if (base == NULL || find_held(m, base) == HELD_MAX) {
            return CONFCAST_ERR_NO_BASE;
        }
    }
    rc = cfc_coding_decode(s->coder, (enum cfc_encoding)event->encoding, event->bytes, event->size,
                           base != NULL ? base->bytes : NULL, base != NULL ? base->size : 0,
                           s->scratch, (size_t)event->body_size);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    cfc_content_id(s->sha, s->scratch, (size_t)event->body_size, &id);
    if (!cfc_digest_equal(&id, &event->content)) {
        return CONFCAST_ERR_DIGEST;
    }
    rc = cfc_body_validate(s->scratch, (size_t)event->body_size);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    body = find_body(s, &id);
    body = body != NULL ? body : add_body(s, &id, (size_t)event->body_size);
    if (find_held(m, body) == HELD_MAX) {
        body->holders++;
        m->held[room] = body;
    }
    return CONFCAST_OK;
}

static void
on_serve(struct swarm *s, struct member *m, const struct cfc_receiver_event *event,
         const struct cfc_now *now)
{
    struct body *body = find_body(s, &event->content);

    if (body == NULL || find_held(m, body) == HELD_MAX) {
        die("told to serve what is not held", CONFCAST_ERR_INTERNAL);
    }
    (void)cfc_receiver_served(m->receiver, event->scope_idx, CONFCAST_OK, now);
    (void)cfc_receiver_durable(m->receiver, event->scope_idx, event->version, now);
    m->served = event->version;
}

static void
on_event(struct swarm *s, struct member *m, const struct cfc_receiver_event *event,
         const struct cfc_now *now)
{
    struct body *body;
    int code;

    switch (event->type) {
    case CFC_EVENT_ACCEPTED:
        m->accepted = event->version;
        break;
    case CFC_EVENT_CONTENT:
        code = take_content(s, m, event);
        s->refused += code != CONFCAST_OK ? 1 : 0;
        (void)cfc_receiver_content_done(m->receiver, &event->content, code, now);
        break;
    case CFC_EVENT_SERVE:
        on_serve(s, m, event, now);
        break;
    case CFC_EVENT_RELEASE:
        body = find_body(s, &event->content);
        if (body != NULL && find_held(m, body) < HELD_MAX) {
            drop(m, find_held(m, body));
        }
        break;
    case CFC_EVENT_REJECTED:
    case CFC_EVENT_IDENTITY:
        s->refused++;
        break;
    case CFC_EVENT_PREPARED:
    case CFC_EVENT_FRESHNESS:
        break;
    }
}

/* Events, then what there is to send, then the next deadline. */
static void
pump(struct swarm *s, struct member *m, const struct cfc_now *now)
{
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    struct cfc_receiver_event event;
    size_t size;

    while (cfc_receiver_poll_event(m->receiver, now, &event) == CONFCAST_OK) {
        on_event(s, m, &event, now);
    }
    while (cfc_receiver_poll_frame(m->receiver, now, frame, sizeof(frame), &size) == CONFCAST_OK) {
        if (send(m->fd, frame, size, MSG_DONTWAIT) == (ssize_t)size) {
            s->sent++;
        } else {
            s->sent_again++; /* The protocol repeats it. */
        }
    }
    s->deadlines[m - s->members] = cfc_receiver_deadline(m->receiver);
}

static void
start_member(struct swarm *s, struct member *m)
{
    struct cfc_receiver_config config = {.label_count = 0};

    cfc_receiver_config_defaults(&config);
    config.id = m->id;
    config.id_size = m->id_size;
    config.incarnation = s->incarnation;
    config.verifier = (struct cfc_verifier){.verify = verify_once, .ctx = s};
    config.alloc = heap;
    config.seed = cfc_prng_next(&m->losses);
    cfc_credential_key(&s->session_key, CFC_DOMAIN_CRED_SESSION, m->id, m->id_size,
                       &config.session_key);
    cfc_credential_key(&s->report_key, CFC_DOMAIN_CRED_REPORT, m->id, m->id_size,
                       &config.report_key);
    must("receiver", cfc_receiver_new(&config, &m->receiver));
    must("subscribe", cfc_receiver_subscribe(m->receiver, s->scope, strlen(s->scope), &m->scope));
}

static void
add_stats(struct cfc_receiver_stats *to, const struct cfc_receiver_stats *from)
{
    to->frames += from->frames;
    to->symbols += from->symbols;
    to->symbols_repair += from->symbols_repair;
    to->symbols_decoded += from->symbols_decoded;
    to->nacks += from->nacks;
    to->nack_entries += from->nack_entries;
    to->reports += from->reports;
    to->losses += from->losses;
    to->hellos += from->hellos;
    to->contents += from->contents;
}

static void
restart(struct swarm *s)
{
    struct cfc_now now = now_of();

    s->incarnation++;
    for (uint32_t i = 0; i < s->count; i++) {
        struct member *m = &s->members[i];

        if (m->receiver != NULL) {
            add_stats(&s->ended, cfc_receiver_stats(m->receiver));
            cfc_receiver_free(m->receiver);
        }
        for (uint32_t k = 0; k < HELD_MAX; k++) {
            drop(m, k);
        }
        m->accepted = 0;
        m->served = 0;
        start_member(s, m);
        s->deadlines[i] = now.mono_ns;
    }
}

/* ---- Sockets ---- */

static int
open_unicast(const struct swarm *s, uint32_t number)
{
    struct sockaddr_in own = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(s->first_address + number)};
    const struct cfc_fleet_address *engine = &s->fleet.engines[0];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(engine->port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(&address.sin_addr, engine->bytes, sizeof(address.sin_addr));
    if (s->first_address != 0 && bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0) {
        die("an address that is not the namespace's", 0);
    }
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        die("socket", 0);
    }
    return fd;
}

static void
open_sockets(struct swarm *s)
{
    struct rlimit files = {.rlim_cur = s->count + 64, .rlim_max = s->count + 64};
    struct cfc_port_udp_config config = {.interface = s->interface_name,
                                         .source = s->fleet.engines[0],
                                         .receive_buffer_size = BUFFER_SIZE,
                                         .seed = s->seed,
                                         .now_ns = clock_ns(CLOCK_MONOTONIC)};
    struct cfc_fleet_address group;

    if (s->fleet.engines[0].family != 4 || setrlimit(RLIMIT_NOFILE, &files) != 0) {
        die("an IPv4 engine and enough descriptors", 0);
    }
    cfc_fleet_control_group(&s->fleet, &config.control_group);
    must("multicast", cfc_port_udp_open(&config, &s->port));
    cfc_fleet_group(&s->fleet, cfc_scope_id(s->sha, s->scope, strlen(s->scope)), &group);
    must("the scope's group", cfc_port_udp_join(s->port, &group));
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < s->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};

        s->members[i].fd = open_unicast(s, i);
        if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->members[i].fd, &event) != 0) {
            die("epoll", 0);
        }
    }
}

static bool
is_missed(struct swarm *s, struct member *m)
{
    if (s->loss_ppm == 0 || cfc_prng_below(&m->losses, PPM) >= s->loss_ppm) {
        return false;
    }
    s->missed++;
    return true;
}

/* What everybody hears: all of it by one member, then by the next, as on hosts of their own. */
static bool
hear(struct swarm *s)
{
    struct cfc_datagram datagrams[CFC_PORT_BATCH];
    size_t count = cfc_port_udp_receive(s->port, datagrams);

    s->datagrams += count;
    for (uint32_t k = 0; k < s->count && count > 0; k++) {
        struct member *m = &s->members[k];
        struct cfc_now now = now_of();

        for (size_t i = 0; i < count; i++) {
            if (!is_missed(s, m)) {
                (void)cfc_receiver_on_frame(m->receiver, datagrams[i].bytes, datagrams[i].size,
                                            &now);
            }
        }
        pump(s, m, &now);
    }
    return count > 0;
}

/* What the engine says to one. */
static bool
listen_to_engine(struct swarm *s, int wait_ms)
{
    struct epoll_event events[EPOLL_BATCH];
    int count = epoll_wait(s->epoll_fd, events, EPOLL_BATCH, wait_ms);

    for (int i = 0; i < count; i++) {
        struct member *m = &s->members[events[i].data.u32];
        struct cfc_now now = now_of();
        uint8_t frame[CFC_FRAME_SIZE_MAX];
        ssize_t size;

        while ((size = recv(m->fd, frame, sizeof(frame), 0)) > 0) {
            if (!is_missed(s, m)) {
                (void)cfc_receiver_on_frame(m->receiver, frame, (size_t)size, &now);
            }
        }
        pump(s, m, &now);
    }
    return count > 0;
}

/* Pumps those whose time has come; the ns until the next. */
static uint64_t
keep_time(struct swarm *s)
{
    struct cfc_now now = now_of();
    uint64_t next_ns = now.mono_ns + WAIT_MS_MAX * CFC_MS;

    for (uint32_t i = 0; i < s->count; i++) {
        if (s->deadlines[i] <= now.mono_ns) {
            pump(s, &s->members[i], &now);
        }
        next_ns = s->deadlines[i] < next_ns ? s->deadlines[i] : next_ns;
    }
    return next_ns > now.mono_ns ? next_ns - now.mono_ns : 0;
}

/* ---- Orders ---- */

static void
print_status(const struct swarm *s)
{
    struct cfc_receiver_stats sum = s->ended;
    const struct cfc_port_udp_stats *port = cfc_port_udp_stats(s->port);
    uint64_t newest = 0;
    uint32_t linked = 0;
    uint32_t serving = 0;

    for (uint32_t i = 0; i < s->count; i++) {
        const struct member *m = &s->members[i];

        add_stats(&sum, cfc_receiver_stats(m->receiver));
        linked += cfc_receiver_is_linked(m->receiver) ? 1 : 0;
        newest = m->served > newest ? m->served : newest;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        serving += newest != 0 && s->members[i].served == newest ? 1 : 0;
    }
    printf("{\"receivers\":%u,\"linked\":%u,\"serving\":%u,\"version\":%llu,\"datagrams\":%llu,"
           "\"missed\":%llu,\"overflows\":%llu,\"sent\":%llu,\"unsent\":%llu,\"refused\":%llu,"
           "\"frames\":%llu,\"hellos\":%llu,\"reports\":%llu,\"losses\":%llu,\"nacks\":%llu,"
           "\"nack_entries\":%llu,\"symbols\":%llu,\"repairs\":%llu,\"decoded\":%llu,"
           "\"contents\":%llu}\n",
           s->count, linked, serving, (unsigned long long)newest, (unsigned long long)s->datagrams,
           (unsigned long long)s->missed, (unsigned long long)port->overflows,
           (unsigned long long)s->sent, (unsigned long long)s->sent_again,
           (unsigned long long)s->refused, (unsigned long long)sum.frames,
           (unsigned long long)sum.hellos, (unsigned long long)sum.reports,
           (unsigned long long)sum.losses, (unsigned long long)sum.nacks,
           (unsigned long long)sum.nack_entries, (unsigned long long)sum.symbols,
           (unsigned long long)sum.symbols_repair, (unsigned long long)sum.symbols_decoded,
           (unsigned long long)sum.contents);
    fflush(stdout);
}

/* False at the end of the input. */
static bool
take_order(struct swarm *s)
{
    char line[LINE_SIZE] = "";
    struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};

    if (poll(&wait, 1, 0) <= 0) {
        return true;
    }
    for (size_t size = 0; size + 1 < sizeof(line); size++) {
        if (read(STDIN_FILENO, line + size, 1) != 1) {
            return false;
        }
        if (line[size] == '\n') {
            break;
        }
    }
    if (strcmp(line, "status\n") == 0) {
        print_status(s);
    } else if (strcmp(line, "restart\n") == 0) {
        restart(s);
    } else if (strncmp(line, "loss ", 5) == 0) {
        s->loss_ppm = (uint32_t)strtoul(line + 5, NULL, 10);
    } else {
        fprintf(stderr, "swarm: no such order: %s", line);
        exit(2);
    }
    return true;
}

/* ---- Start ---- */

static size_t
read_file(const char *path, uint8_t *bytes)
{
    FILE *in = fopen(path, "rb");
    size_t size;

    if (in == NULL) {
        die(path, 0);
    }
    size = fread(bytes, 1, FILE_SIZE_MAX, in);
    fclose(in);
    return size;
}

static void
parse(struct swarm *s, int argc, char **argv)
{
    static const struct option options[] = {
        {"fleet", required_argument, NULL, 'f'},      {"session-key", required_argument, NULL, 'k'},
        {"report-key", required_argument, NULL, 'r'}, {"scope", required_argument, NULL, 's'},
        {"interface", required_argument, NULL, 'i'},  {"addresses", required_argument, NULL, 'a'},
        {"receivers", required_argument, NULL, 'n'},  {"loss", required_argument, NULL, 'l'},
        {"seed", required_argument, NULL, 'e'},       {NULL, 0, NULL, 0},
    };
    static uint8_t bytes[FILE_SIZE_MAX];
    int given = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        given++;
        switch (option) {
        case 'f':
            must(optarg, cfc_fleet_parse(bytes, read_file(optarg, bytes), NULL, &s->fleet));
            break;
        case 'k':
            must(optarg, cfc_key_file_parse(bytes, read_file(optarg, bytes), CFC_KEY_SESSION,
                                            s->session_key.bytes));
            break;
        case 'r':
            must(optarg, cfc_key_file_parse(bytes, read_file(optarg, bytes), CFC_KEY_REPORT,
                                            s->report_key.bytes));
            break;
        case 's':
            s->scope = optarg;
            break;
        case 'i':
            s->interface_name = optarg;
            break;
        case 'a':
            s->first_address = ntohl(inet_addr(optarg));
            break;
        case 'n':
            s->count = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'l':
            s->loss_ppm = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'e':
            s->seed = strtoull(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    if (s->fleet.engine_count == 0 || s->scope == NULL || s->interface_name == NULL ||
        s->count == 0 || s->count > RECEIVERS_MAX || given < 5) {
        fputs("swarm: see the head of its source\n", stderr);
        exit(2);
    }
}

int
main(int argc, char **argv)
{
    static struct swarm s = {.count = 10000, .seed = 1};

    parse(&s, argc, argv);
    s.verifier = cfc_keyring_verifier(&s.fleet.release_keys);
    s.sha = cfc_sha256_new();
    s.coder = cfc_coder_new(&heap);
    s.members = calloc(s.count, sizeof(*s.members));
    s.deadlines = calloc(s.count, sizeof(*s.deadlines));
    if (s.sha == NULL || s.coder == NULL || s.members == NULL || s.deadlines == NULL) {
        die("memory", CONFCAST_ERR_NO_MEMORY);
    }
    for (uint32_t i = 0; i < s.count; i++) {
        struct member *m = &s.members[i];

        m->id_size = (size_t)snprintf(m->id, sizeof(m->id), "swarm-%05u", i);
        m->losses.state = s.seed << 32 | i;
    }
    s.incarnation = clock_ns(CLOCK_REALTIME);
    open_sockets(&s);
    restart(&s);
    while (take_order(&s)) {
        uint64_t wait_ns = keep_time(&s);
        bool is_busy = hear(&s);

        (void)cfc_port_udp_tend(s.port, clock_ns(CLOCK_MONOTONIC));
        (void)listen_to_engine(&s, is_busy || wait_ns < CFC_MS ? 0 : 1);
    }
    return 0;
}
