/* Reading the status of one scope with 1,000,000 consumers, as the API does it.
 *
 *     bench_status [CONSUMERS] [READS]        1,000,000 and 2,000 unless said
 *
 * The fleet goes through five versions: most follow, others receive, prepare, reject, revert, stay
 * behind, or fall silent and come back.  Cases, each GET /v1/status/{scope} with its 20 stragglers:
 *   handler     the route's handler: the service's counts, stragglers and rollout, and the JSON
 * text http        the whole request and answer on a kept connection over loopback http, busy  the
 * same while another thread takes reports of the fleet as fast as it can page        one page of
 * 100 of GET /v1/consumers?scope= scan        counting all of them anew: what the incremental views
 * save; the ratio stands beside Before anything is printed the counts are compared with a count
 * made from every consumer's view by code of its own, after each version and each tick. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/api/server.h"
#include "controlplane/log/log.h"
#include "controlplane/store/store.h"
#include "perf/bench.h"
#include "protocol/base/prng.h"
#include "protocol/base/time.h"

enum {
    VERSION_COUNT = 5,
    PAGE_COUNT = 20000, /* views of one look at the inventory */
    STALE_AFTER_S = 30
};

static const char scope[] = "acme/app";

static struct bench {
    struct cfc_store *store;
    struct cfc_service *service;
    struct cfc_api api;
    struct cfc_access access;
    struct cfc_sha256 *sha;
    struct cfc_prng prng;
    struct cfc_report_entry entry; /* of the version in force, served */
    uint64_t unix_ns;
    uint64_t report_seq;
    uint32_t count;
    atomic_bool is_stopping;
    atomic_ullong report_count; /* taken by the other thread */
} b;

static void
must(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "bench_status: %s failed\n", what);
        exit(1);
    }
}

/* ---- The fleet --------------------------------------------------------------------------------
 */

static void
publish(unsigned version)
{
    struct cfc_change change = {.unix_ns = b.unix_ns};
    char text[32];
    struct cfc_put put = {.scope = scope, .text = text};
    struct cfc_release_order order = {.scope = scope, .action = CFC_ACTION_PROMOTE};
    struct cfc_put_result written;
    struct cfc_release_view view;
    struct cfc_decision *decision;

    put.text_size = (size_t)snprintf(text, sizeof(text), "{\"limit\":%u}", version);
    must(cfc_service_put(b.service, &change, &put, &written, NULL) == CONFCAST_OK, "put");
    must(cfc_service_release(b.service, &change, &order, &view, NULL) == CONFCAST_OK, "promote");
    must(cfc_service_decision(b.service, scope, &decision) == CONFCAST_OK, "decision");
    b.entry = (struct cfc_report_entry){
        .scope_id = cfc_scope_id(b.sha, scope, sizeof(scope) - 1),
        .epoch = cfc_service_epoch(b.service),
        .accepted = decision->version,
        .serving_version = decision->version,
        .durable = decision->version,
        .serving_content = cfc_digest_key(&decision->arms[0].content->id),
        .state = CFC_APPLY_APPLIED,
    };
    cfc_service_note_published(b.service, scope, decision->version, b.unix_ns);
    cfc_decision_unref(decision);
}

/* What one consumer says of the version in force. */
static struct cfc_report_entry
entry_of(uint32_t luck)
{
    static const uint8_t states[] = {CFC_APPLY_RECEIVING, CFC_APPLY_PREPARED, CFC_APPLY_REJECTED,
                                     CFC_APPLY_REVERTED,  CFC_APPLY_DEGRADED, CFC_APPLY_NONE};
    struct cfc_report_entry entry = b.entry;

    if (luck % 16 == 0) {
        entry.state = states[luck / 16 % sizeof(states)];
        entry.serving_version--;
        entry.durable--;
        entry.reason = entry.state >= CFC_APPLY_REJECTED ? (uint16_t)(10 + luck / 256 % 12) : 0;
    } else if (luck % 16 == 1) {
        entry.durable = 0;
    }
    return entry;
}

static void
report_one(uint32_t i, uint32_t luck)
{
    struct cfc_report_entry entry = entry_of(luck);
    char id[32];
    struct cfc_report_source source = {.id = id,
                                       .incarnation = 1,
                                       .report_seq = b.report_seq,
                                       .unix_ns = b.unix_ns,
                                       .has_clock = true,
                                       .clock_bound_us = luck % 64 == 0 ? 0 : 100};

    source.id_size = (size_t)snprintf(id, sizeof(id), "host-%07u.eu-1", i);
    must(cfc_service_take_report(b.service, &source, &entry, 1, NULL) == CONFCAST_OK, "a report");
}

/* All of the fleet but `silent` of 256. */
static void
report_all(uint32_t silent)
{
    b.report_seq++;
    for (uint32_t i = 0; i < b.count; i++) {
        uint32_t luck = (uint32_t)cfc_prng_next(&b.prng);

        if (luck >> 24 >= silent) {
            report_one(i, luck);
        }
    }
}

/* ---- Counting anew ----------------------------------------------------------------------------
 */

struct tally {
    uint64_t total, stale, alive, accepted, receiving, prepared, applied, durable, rejected;
    uint64_t reverted, degraded, with_reason;
};

static void
count_view(struct tally *t, const struct cfc_apply_view *view, uint64_t published)
{
    const struct cfc_report_entry *entry = &view->entry;
    bool serves = entry->state == CFC_APPLY_APPLIED && entry->serving_version == published;

    t->total++;
    t->stale += view->is_stale;
    t->alive += !view->is_stale;
    if (view->is_stale || entry->accepted != published) {
        return;
    }
    t->accepted++;
    t->receiving += entry->state == CFC_APPLY_RECEIVING;
    t->prepared += entry->state == CFC_APPLY_PREPARED || serves;
    t->applied += serves;
    t->durable += serves && entry->durable == published;
    t->rejected += entry->state == CFC_APPLY_REJECTED || entry->state == CFC_APPLY_REVERTED ||
                   entry->state == CFC_APPLY_DEGRADED;
    t->reverted += entry->state == CFC_APPLY_REVERTED;
    t->degraded += entry->state == CFC_APPLY_DEGRADED;
    t->with_reason += entry->reason != 0;
}

static double
scan(struct tally *t, uint64_t published)
{
    struct cfc_consumer_query query = {.scope = scope, .count_max = PAGE_COUNT};
    uint64_t start = cfc_bench_now_ns();

    memset(t, 0, sizeof(*t));
    do {
        struct cfc_apply_view *items;
        size_t count;
        uint64_t next;

        must(cfc_service_find_consumers(b.service, &query, &items, &count, &next) == CONFCAST_OK,
             "the inventory");
        for (size_t i = 0; i < count; i++) {
            count_view(t, &items[i], published);
        }
        free(items);
        query.after_place = next;
    } while (query.after_place != 0);
    return (double)(cfc_bench_now_ns() - start) / 1e6;
}

static double
compare(void)
{
    struct cfc_scope_status status;
    uint64_t reasons = 0;
    struct tally t;
    double scan_ms;

    must(cfc_service_scope_status(b.service, scope, b.unix_ns, &status) == CONFCAST_OK, "status");
    scan_ms = scan(&t, status.counts.published);
    for (size_t i = 0; i < status.reason_count; i++) {
        reasons += status.reasons[i].count;
    }
#define SAME_(member) must(t.member == status.counts.member, "counting " #member)
    SAME_(total);
    SAME_(stale);
    SAME_(alive);
    SAME_(accepted);
    SAME_(receiving);
    SAME_(prepared);
    SAME_(applied);
    SAME_(durable);
    SAME_(rejected);
    SAME_(reverted);
    SAME_(degraded);
#undef SAME_
    must(t.with_reason == reasons, "counting reasons");
    must(status.behind == t.total - t.applied, "counting who is behind");
    must(t.total == 0 || t.total == b.count, "knowing everybody");
    return scan_ms;
}

static void
tick(void)
{
    must(cfc_service_tick(b.service, b.unix_ns) == CONFCAST_OK, "tick");
}

static void
live(void)
{
    tick();
    for (unsigned version = 1; version <= VERSION_COUNT; version++) {
        publish(version);
        compare();
        report_all(version == 1 ? 0 : 8);
        compare();
        b.unix_ns += (STALE_AFTER_S + 2) * CFC_S;
        tick(); /* Whoever said nothing since the last version is silent now. */
        compare();
        report_all(128); /* half of them come back */
        compare();
    }
}

/* ---- Cases ------------------------------------------------------------------------------------
 */

static size_t
read_by_handler(const char *target, const char *path)
{
    struct cfc_request request = {.author = "bench", .unix_ns = b.unix_ns};
    struct cfc_reply reply = {.status = 0};
    const struct cfc_api_route *route;
    size_t size;

    must(cfc_target_parse(target, &request.target) == CONFCAST_OK, path);
    route = cfc_api_find(&request, "GET", &reply);
    must(route != NULL, "the route");
    cfc_api_handle(&b.api, &request, route, &reply);
    must(reply.status == 200 && reply.body_size > 100, "the handler");
    size = reply.body_size;
    cfc_reply_clear(&reply);
    return size;
}

static void
measure_handler(struct cfc_bench *times, uint32_t reads)
{
    times->count = 0;
    for (uint32_t i = 0; i < reads; i++) {
        uint64_t start = cfc_bench_now_ns();

        read_by_handler("/v1/status/acme/app", "status");
        cfc_bench_add(times, (double)(cfc_bench_now_ns() - start) / 1e6);
    }
}

static int
connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connecting");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* One answer with a Content-Length; its bytes. */
static size_t
read_answer(int fd)
{
    static char text[256 * 1024];
    size_t size = 0;
    size_t wanted = SIZE_MAX;

    while (size < wanted) {
        ssize_t got = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        const char *end;
        const char *length;

        must(got > 0, "an answer");
        size += (size_t)got;
        text[size] = '\0';
        end = strstr(text, "\r\n\r\n");
        length = strcasestr(text, "content-length:");
        if (end != NULL) {
            must(strncmp(text, "HTTP/1.1 200", 12) == 0 && length != NULL, "the request");
            wanted = (size_t)(end + 4 - text) + strtoul(length + 15, NULL, 10);
        }
    }
    return size;
}

static void
measure_http(struct cfc_bench *times, int fd, const char *path, uint32_t reads)
{
    char request[256];
    size_t size = (size_t)snprintf(request, sizeof(request),
                                   "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);

    times->count = 0;
    for (uint32_t i = 0; i < reads; i++) {
        uint64_t start = cfc_bench_now_ns();

        must(send(fd, request, size, MSG_NOSIGNAL) == (ssize_t)size, "asking");
        read_answer(fd);
        cfc_bench_add(times, (double)(cfc_bench_now_ns() - start) / 1e6);
    }
}

static void *
report_on(void *arg)
{
    (void)arg;
    b.report_seq++;
    for (uint32_t i = 0; !atomic_load_explicit(&b.is_stopping, memory_order_relaxed); i++) {
        if (i == b.count) {
            i = 0;
            b.report_seq++;
        }
        report_one(i, (uint32_t)cfc_prng_next(&b.prng));
        atomic_fetch_add_explicit(&b.report_count, 1, memory_order_relaxed);
    }
    return NULL;
}

static void
print(struct cfc_bench *times, const char *name)
{
    char text[64];
    struct cfc_bench p99 = {.count = 0};

    cfc_bench_print(times, "status", name, "ms");
    snprintf(text, sizeof(text), "%s, p99", name);
    cfc_bench_add(&p99, cfc_bench_quantile(times, 0.99));
    cfc_bench_print(&p99, "status", text, "ms");
}

static void
measure(uint32_t reads, double scan_ms)
{
    static struct cfc_bench times;
    struct cfc_bench one = {.count = 0};
    struct cfc_server_config config = {.listen = "127.0.0.1:0"};
    struct cfc_server *server;
    pthread_t thread;
    uint64_t start;
    int fd;

    measure_handler(&times, reads);
    print(&times, "handler");
    cfc_bench_add(&one, scan_ms);
    cfc_bench_print(&one, "status", "scan", "ms");
    one.rounds[0] = scan_ms / cfc_bench_quantile(&times, 0.5);
    cfc_bench_print(&one, "status", "scan / handler", "ratio");
    must(cfc_server_open(&b.api, &config, &server) == CONFCAST_OK, "the server");
    fd = connect_to(cfc_server_port(server));
    measure_http(&times, fd, "/v1/status/acme/app", reads);
    print(&times, "http");
    measure_http(&times, fd, "/v1/consumers?scope=acme/app&limit=100", reads / 10 + 1);
    print(&times, "page");
    start = cfc_bench_now_ns();
    must(pthread_create(&thread, NULL, report_on, NULL) == 0, "a thread");
    measure_http(&times, fd, "/v1/status/acme/app", reads);
    atomic_store(&b.is_stopping, true);
    pthread_join(thread, NULL);
    one.rounds[0] =
        (double)atomic_load(&b.report_count) * 1e9 / (double)(cfc_bench_now_ns() - start);
    print(&times, "http, busy");
    cfc_bench_print(&one, "status", "http, busy: reports meanwhile", "reports/s");
    compare();
    close(fd);
    cfc_server_close(server);
}

int
main(int argc, char **argv)
{
    struct cfc_service_config config = {.stale_after_ns = STALE_AFTER_S * CFC_S};
    uint32_t reads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 2000;

    b.count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    must(b.count > 0 && b.count <= 1000000 && reads > 0 && reads <= CFC_BENCH_ROUNDS_MAX,
         "reading the arguments");
    cfc_log_set_level(CFC_LOG_ERROR);
    b.prng = (struct cfc_prng){1};
    b.unix_ns = UINT64_C(1800000000) * CFC_S;
    b.sha = cfc_sha256_new();
    must(b.sha != NULL && cfc_store_mem_open(&b.store) == CONFCAST_OK, "a store");
    must(cfc_service_open(b.store, &config, &b.service) == CONFCAST_OK, "the service");
    must(cfc_access_open(&b.access, b.service, false) == CONFCAST_OK, "the access");
    cfc_api_init(&b.api, b.service, 1 << 20);
    b.api.access = &b.access;
    atomic_store(&b.api.is_ready, true);
    live();
    measure(reads, compare());
    cfc_access_close(&b.access);
    cfc_service_close(b.service);
    cfc_store_close(b.store);
    cfc_sha256_free(b.sha);
    return 0;
}
