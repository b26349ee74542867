/* How many reports a second one core absorbs: real REPORT frames of a whole fleet, each under its
 * own consumer's key, through the intake that the publisher uses, into the model.
 *
 *     bench_reports [CONSUMERS] [ROUNDS]        1,000,000 and 3 unless said
 *
 * Each round every consumer reports a new state once, in an order that is not the table's.  Cases:
 *   tag       the end-to-end tag alone, with the consumer's key at hand: the bound of what follows
 *   memory    the whole intake; nothing is written
 *   stored    the same on RocksDB in a folder under the current one, with the service ticked twice
 *             a second in the same thread as the publisher does, until nothing is due
 *   repeated  the same frames again: what a quiet fleet costs
 *   inbox     the whole way: this program is the engine at the other end of a real publisher's
 *             socket, and sends every frame as a packet; on RocksDB, until nothing is due.  All
 *             processor time but that of the sending thread counts, RocksDB's threads' too
 * It prints the memory that a consumer takes as well.  Figures are reports a second of processor
 * time of this thread (wall time beside where it writes), and ratios to `tag` of the same round. */
#include <ftw.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/publish/report_intake.h"
#include "controlplane/store/store.h"
#include "perf/bench.h"
#include "protocol/base/cursor.h"
#include "protocol/base/time.h"
#include "protocol/handoff/handoff.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/report.h"

enum {
    FRAME_SIZE = 1472,
    JOINED_COUNT = 32, /* reports of one packet on the engine's socket */
    SLOT_SIZE = 192,
    ID_SIZE_MAX = 32
};

struct slot {
    uint16_t frame_size;
    uint16_t id_size;
    char id[ID_SIZE_MAX];
    struct cfc_key key;
    uint8_t frame[SLOT_SIZE];
};

struct fleet {
    struct slot *slots;
    uint32_t count;
    struct cfc_key fleet_key;
    struct cfc_key session_key;
    struct cfc_sha256 *sha;
    struct cfc_report_entry entry; /* of the version in force */
    uint64_t report_seq;
    uint64_t unix_ns;
};

static void
must(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "bench_reports: %s failed\n", what);
        exit(1);
    }
}

static double
cpu_seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
thread_seconds(void)
{
    return cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
}

static void
publish(struct cfc_service *service, struct fleet *fleet)
{
    static const char text[] = "{\"limit\":1}";
    struct cfc_change change = {.unix_ns = fleet->unix_ns};
    struct cfc_put put = {.scope = "acme/app", .text = text, .text_size = sizeof(text) - 1};
    struct cfc_release_order order = {.scope = "acme/app", .action = CFC_ACTION_PROMOTE};
    struct cfc_put_result written;
    struct cfc_release_view view;
    struct cfc_decision *decision;

    must(cfc_service_put(service, &change, &put, &written, NULL) == CONFCAST_OK, "put");
    must(cfc_service_release(service, &change, &order, &view, NULL) == CONFCAST_OK, "promote");
    must(cfc_service_decision(service, "acme/app", &decision) == CONFCAST_OK, "decision");
    fleet->entry = (struct cfc_report_entry){
        .scope_id = cfc_scope_id(fleet->sha, "acme/app", 8),
        .epoch = cfc_service_epoch(service),
        .accepted = decision->version,
        .serving_version = decision->version,
        .durable = decision->version,
        .serving_content = cfc_digest_key(&decision->arms[0].content->id),
        .state = CFC_APPLY_APPLIED,
    };
    cfc_service_note_published(service, "acme/app", decision->version, fleet->unix_ns);
    cfc_decision_unref(decision);
}

/* The next report of every consumer; one in a hundred turns something down. */
static void
write_reports(struct fleet *fleet)
{
    struct cfc_address address = {.port = 1};

    fleet->report_seq++;
    for (uint32_t i = 0; i < fleet->count; i++) {
        struct slot *slot = &fleet->slots[i];
        struct cfc_report report = {.consumer_key =
                                        cfc_consumer_key(fleet->sha, slot->id, slot->id_size),
                                    .incarnation = 1,
                                    .report_seq = fleet->report_seq,
                                    .clock_bound_us = 100,
                                    .part_count = 1,
                                    .entry_count = 1};
        struct cfc_report_entry entry = fleet->entry;
        struct cfc_writer w = cfc_writer_of(slot->frame, sizeof(slot->frame));
        size_t size = 0;

        if ((i + fleet->report_seq) % 100 == 0) {
            entry.state = CFC_APPLY_REJECTED;
            entry.reason = 20;
        }
        must(cfc_report_write(&w, &report, &entry, slot->id, slot->id_size, &slot->key) ==
                     CONFCAST_OK &&
                 cfc_trailer_seal(&w, 1, fleet->report_seq, &fleet->session_key, &address, &size) ==
                     CONFCAST_OK,
             "writing a report");
        slot->frame_size = (uint16_t)size;
    }
}

static void
make_fleet(struct fleet *fleet, uint32_t count)
{
    fleet->count = count;
    fleet->slots = calloc(count, sizeof(*fleet->slots));
    fleet->sha = cfc_sha256_new();
    must(fleet->slots != NULL && fleet->sha != NULL, "memory");
    memset(fleet->fleet_key.bytes, 1, sizeof(fleet->fleet_key.bytes));
    memset(fleet->session_key.bytes, 2, sizeof(fleet->session_key.bytes));
    fleet->unix_ns = UINT64_C(1800000000) * CFC_S;
    for (uint32_t i = 0; i < count; i++) {
        /* Frames lie in the order of their arrival; the table sees ids in another one. */
        uint32_t number = (uint32_t)((uint64_t)i * 2654435761u % count);
        struct slot *slot = &fleet->slots[i];

        slot->id_size = (uint16_t)snprintf(slot->id, sizeof(slot->id), "host-%07u.eu-1", number);
        cfc_credential_key(&fleet->fleet_key, CFC_DOMAIN_CRED_REPORT, slot->id, slot->id_size,
                           &slot->key);
    }
}

static double
check_tags(const struct fleet *fleet)
{
    double start = thread_seconds();

    for (uint32_t i = 0; i < fleet->count; i++) {
        const struct slot *slot = &fleet->slots[i];
        struct cfc_frame frame;

        must(cfc_frame_open(slot->frame, slot->frame_size, &frame) == CONFCAST_OK &&
                 cfc_report_check_tag(&frame, slot->id, slot->id_size, &slot->key) == CONFCAST_OK,
             "a tag");
    }
    return thread_seconds() - start;
}

/* Of this process, in bytes. */
static double
resident_size(void)
{
    FILE *in = fopen("/proc/self/statm", "r");
    long total = 0;
    long resident = 0;

    must(in != NULL && fscanf(in, "%ld %ld", &total, &resident) == 2, "reading /proc");
    fclose(in);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

struct timing {
    double cpu_s;
    double wall_s;
};

static void
tick_all(struct cfc_service *service, const struct fleet *fleet)
{
    must(cfc_service_tick(service, fleet->unix_ns) == CONFCAST_OK, "tick");
}

/* All frames through the intake.  With `is_stored` the service is ticked as time passes, and at the
 * end until a tick writes nothing. */
static struct timing
take_reports(struct cfc_service *service, struct fleet *fleet, bool is_stored)
{
    uint64_t wall = cfc_bench_now_ns();
    uint64_t next_tick = wall + 500 * CFC_MS;
    double cpu = thread_seconds();

    for (uint32_t i = 0; i < fleet->count; i++) {
        const struct slot *slot = &fleet->slots[i];

        must(cfc_report_intake(service, fleet->sha, &fleet->fleet_key, slot->id, slot->id_size,
                               slot->frame, slot->frame_size, fleet->unix_ns) == CONFCAST_OK,
             "a report");
        if (is_stored && i % 4096 == 0 && cfc_bench_now_ns() > next_tick) {
            tick_all(service, fleet);
            next_tick = cfc_bench_now_ns() + 500 * CFC_MS;
        }
    }
    for (uint64_t seq = 0; is_stored && seq != cfc_service_seq(service);) {
        seq = cfc_service_seq(service);
        tick_all(service, fleet);
    }
    return (struct timing){thread_seconds() - cpu, (double)(cfc_bench_now_ns() - wall) / 1e9};
}

static void
check_counts(struct cfc_service *service, const struct fleet *fleet)
{
    struct cfc_apply_counts counts;

    must(cfc_service_status(service, "acme/app", &counts) == CONFCAST_OK, "status");
    must(counts.total == fleet->count && counts.applied + counts.rejected == fleet->count,
         "counting every report once");
}

static void
run_case(struct fleet *fleet, struct cfc_store *store, uint32_t rounds, bool is_stored)
{
    const char *name = is_stored ? "stored" : "memory";
    static struct cfc_bench tag, taken, taken_wall, repeated, ratio, repeated_ratio;
    struct cfc_service *service;
    char text[64];

    tag.count = taken.count = taken_wall.count = repeated.count = 0;
    ratio.count = repeated_ratio.count = 0;
    must(cfc_service_open(store, NULL, &service) == CONFCAST_OK, "opening the service");
    publish(service, fleet);
    for (uint32_t round = 0; round <= rounds; round++) {
        struct timing timing;
        double tag_s, again_s, size;

        fleet->unix_ns += CFC_S;
        write_reports(fleet);
        tag_s = check_tags(fleet);
        size = resident_size();
        timing = take_reports(service, fleet, is_stored);
        again_s = take_reports(service, fleet, false).cpu_s;
        check_counts(service, fleet);
        if (round == 0) { /* Everybody is new: shown apart. */
            printf("{\"bench\":\"reports\",\"case\":\"%s: first of each consumer\",\"unit\":"
                   "\"reports/s\",\"median\":%.4g}\n",
                   name, fleet->count / timing.cpu_s);
            if (!is_stored) {
                printf(
                    "{\"bench\":\"reports\",\"case\":\"memory of a consumer\",\"unit\":\"bytes\","
                    "\"median\":%.4g}\n",
                    (resident_size() - size) / fleet->count);
            }
            continue;
        }
        cfc_bench_add(&tag, fleet->count / tag_s);
        cfc_bench_add(&taken, fleet->count / timing.cpu_s);
        cfc_bench_add(&taken_wall, fleet->count / timing.wall_s);
        cfc_bench_add(&repeated, fleet->count / again_s);
        cfc_bench_add(&ratio, tag_s / timing.cpu_s);
        cfc_bench_add(&repeated_ratio, tag_s / again_s);
    }
    cfc_bench_print(&tag, "reports", "tag alone", "reports/s");
    cfc_bench_print(&taken, "reports", name, "reports/s");
    snprintf(text, sizeof(text), "%s / tag alone", name);
    cfc_bench_print(&ratio, "reports", text, "ratio");
    if (is_stored) {
        cfc_bench_print(&taken_wall, "reports", "stored, wall time", "reports/s");
    }
    snprintf(text, sizeof(text), "%s, repeated", name);
    cfc_bench_print(&repeated, "reports", text, "reports/s");
    snprintf(text, sizeof(text), "%s, repeated / tag alone", name);
    cfc_bench_print(&repeated_ratio, "reports", text, "ratio");
    cfc_service_close(service);
}

/* ---- The whole way ----------------------------------------------------------------------------
 */

struct engine {
    struct sockaddr_un address;
    int listen_fd;
    int fd;
};

static void
send_message(const struct engine *engine, const struct cfc_handoff *message)
{
    uint8_t packet[CFC_HANDOFF_SIZE_MAX];
    size_t size = 0;

    must(cfc_handoff_encode(message, packet, sizeof(packet), &size) == CONFCAST_OK &&
             send(engine->fd, packet, size, MSG_NOSIGNAL) == (ssize_t)size,
         "sending");
}

/* Everything that the publisher hands over is of no interest here. */
static void
drain(const struct engine *engine)
{
    static uint8_t packet[CFC_HANDOFF_SIZE_MAX];

    while (recv(engine->fd, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
    }
}

static void
open_engine(struct engine *engine, const char *folder)
{
    engine->address.sun_family = AF_UNIX;
    snprintf(engine->address.sun_path, sizeof(engine->address.sun_path), "%s.sock", folder);
    engine->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    must(bind(engine->listen_fd, (struct sockaddr *)&engine->address, sizeof(engine->address)) ==
                 0 &&
             listen(engine->listen_fd, 1) == 0,
         "listening");
}

static void
accept_publisher(struct engine *engine)
{
    struct cfc_handoff hello = {
        .type = CFC_HANDOFF_ENGINE_HELLO,
        .u.engine_hello = {
            .boot_id = 1, .frame_size_max = FRAME_SIZE, .port_text = "bench", .port_text_size = 5}};

    engine->fd = accept(engine->listen_fd, NULL, NULL);
    must(engine->fd >= 0, "accepting");
    send_message(engine, &hello);
}

/* In packets of many, as a busy engine does. */
static void
send_reports(const struct engine *engine, const struct fleet *fleet)
{
    uint8_t packet[CFC_HANDOFF_SIZE_MAX];
    size_t size = 0;

    for (uint32_t i = 0; i < fleet->count; i++) {
        const struct slot *slot = &fleet->slots[i];
        struct cfc_handoff message = {.type = CFC_HANDOFF_REPORT,
                                      .u.report = {.id = slot->id,
                                                   .id_size = slot->id_size,
                                                   .frame = slot->frame,
                                                   .frame_size = slot->frame_size}};
        size_t added = 0;

        must(cfc_handoff_encode(&message, packet + size, sizeof(packet) - size, &added) ==
                 CONFCAST_OK,
             "encoding");
        size += added;
        if (i % JOINED_COUNT == JOINED_COUNT - 1 || i + 1 == fleet->count) {
            must(send(engine->fd, packet, size, MSG_NOSIGNAL) == (ssize_t)size, "sending");
            size = 0;
        }
        if (i % 65536 == 0) {
            drain(engine);
        }
    }
}

static void
wait_for_reports(struct cfc_publisher *publisher, uint64_t reports)
{
    struct cfc_publisher_status status;

    do {
        poll(NULL, 0, 1);
        cfc_publisher_status(publisher, &status);
    } while (status.reports + status.reports_refused < reports);
    must(status.reports == reports, "taking every report");
}

static void
wait_for_pages(struct cfc_service *service)
{
    struct cfc_apply_totals totals;

    do {
        poll(NULL, 0, 1);
        cfc_service_apply_totals(service, &totals);
    } while (totals.unwritten_pages > 0);
}

static void
run_inbox(struct fleet *fleet, struct cfc_store *store, const char *folder, uint32_t rounds)
{
    static const uint8_t seed[32] = {3};
    static struct cfc_bench tag, taken, wall, ratio;
    struct cfc_signing_key key;
    struct cfc_keyring ring = {.key_count = 0};
    struct cfc_ring_key ring_key = {.prefix_count = 0};
    struct cfc_publisher_config config = {.report_key = fleet->fleet_key};
    struct cfc_publisher *publisher;
    struct engine engine;

    open_engine(&engine, folder);
    cfc_signing_key_from_seed(seed, &key);
    memcpy(ring_key.public_key, key.public_key, sizeof(ring_key.public_key));
    must(cfc_keyring_add(&ring, &ring_key) == CONFCAST_OK, "a key");
    must(cfc_service_open(store, NULL, &config.service) == CONFCAST_OK, "opening the service");
    publish(config.service, fleet);
    config.engine_socket = engine.address.sun_path;
    config.signer = cfc_signing_key_signer(&key);
    config.verifier = cfc_keyring_verifier(&ring);
    must(cfc_publisher_start(&config, &publisher) == CONFCAST_OK, "the publisher");
    accept_publisher(&engine);
    for (uint32_t round = 0; round <= rounds; round++) {
        uint64_t begin;
        double tag_s, cpu_s, wall_s;

        write_reports(fleet);
        tag_s = check_tags(fleet);
        begin = cfc_bench_now_ns();
        cpu_s = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - thread_seconds();
        send_reports(&engine, fleet);
        wait_for_reports(publisher, (uint64_t)(round + 1) * fleet->count);
        wall_s = (double)(cfc_bench_now_ns() - begin) / 1e9;
        wait_for_pages(config.service);
        cpu_s = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - thread_seconds() - cpu_s;
        check_counts(config.service, fleet);
        if (round > 0) { /* In the first one everybody is new. */
            cfc_bench_add(&tag, fleet->count / tag_s);
            cfc_bench_add(&taken, fleet->count / cpu_s);
            cfc_bench_add(&wall, fleet->count / wall_s);
            cfc_bench_add(&ratio, tag_s / cpu_s);
        }
    }
    cfc_bench_print(&tag, "reports", "tag alone", "reports/s");
    cfc_bench_print(&taken, "reports", "inbox", "reports/s");
    cfc_bench_print(&wall, "reports", "inbox, wall time", "reports/s");
    cfc_bench_print(&ratio, "reports", "inbox / tag alone", "ratio");
    cfc_publisher_stop(publisher);
    cfc_service_close(config.service);
    close(engine.fd);
    close(engine.listen_fd);
    unlink(engine.address.sun_path);
}

static int
remove_item(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

int
main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 3;
    char folder[] = "bench_reports.XXXXXX";
    struct cfc_store_rocksdb_config config = {.path = folder};
    struct cfc_store *store;
    static struct fleet fleet;

    must(count > 0 && count <= 1000000 && rounds > 0 && rounds <= 100, "reading the arguments");
    cfc_log_set_level(CFC_LOG_ERROR);
    make_fleet(&fleet, count);
    must(cfc_store_mem_open(&store) == CONFCAST_OK, "opening a store");
    run_case(&fleet, store, rounds, false);
    cfc_store_close(store);

    must(mkdtemp(folder) != NULL, "making a folder");
    for (int i = 0; i < 2; i++) {
        must(cfc_store_rocksdb_open(&config, &store) == CONFCAST_OK, "opening a store");
        if (i == 0) {
            run_case(&fleet, store, rounds, true);
        } else {
            run_inbox(&fleet, store, folder, rounds);
        }
        cfc_store_close(store);
        must(nftw(folder, remove_item, 16, FTW_DEPTH | FTW_PHYS) == 0, "clearing up");
    }
    cfc_sha256_free(fleet.sha);
    free(fleet.slots);
    return 0;
}
