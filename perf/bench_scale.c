/* 100,000 consumer scopes under 1,000 tenants: how long one edit takes until the engine has the
 * signed heads, what it recomputes, how long a start takes, and how much memory that is.
 *
 *     bench_scale [TENANTS [LEAVES]]     default 1000 100
 *
 * The real service on RocksDB with synced writes, and the real publisher; the engine at the other
 * end of its socket is this program, which reads everything that is handed over.  An edit is timed
 * from before the call that promotes until the engine's socket has given the last head that it
 * changes.  The ratio to one synced commit of the same store in the same run stands beside it. */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "controlplane/model/service.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/store/store.h"
#include "perf/bench.h"
#include "protocol/handoff/handoff.h"
#include "protocol/trust/keyring.h"

enum {
    LEAF_ROUNDS = 400,
    TENANT_ROUNDS = 40,
    BATCH_SCOPES = CFC_BATCH_ITEM_COUNT_MAX / 2,
    DOCUMENT_SIZE = 512,
};

static struct scale {
    char folder[64];
    char socket_path[80];
    unsigned tenants;
    unsigned leaves;
    struct cfc_store *store;
    struct cfc_service *service;
    struct cfc_publisher *publisher;
    struct cfc_signing_key key;
    struct cfc_keyring ring;
    int listen_fd;
    pthread_t engine;
    atomic_uint_fast64_t heads; /* received on this connection */
    atomic_uint_fast64_t contents;
    atomic_uint_fast64_t fresh;
    atomic_uint_fast64_t last_head_ns;
    atomic_bool is_synced;
    atomic_bool is_stopping;
} s;

static void
must(int error, const char *what)
{
    if (error != CONFCAST_OK) {
        fprintf(stderr, "bench_scale: %s: %s\n", what, confcast_error_word(error));
        exit(1);
    }
}

/* ---- The engine's end -------------------------------------------------------------------------
 */

/* False: the publisher is gone. */
static bool
receive_one(int fd)
{
    static uint8_t packet[CFC_HANDOFF_SIZE_MAX];
    struct iovec piece = {.iov_base = packet, .iov_len = sizeof(packet)};
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    struct cfc_handoff message;
    ssize_t size = recvmsg(fd, &header, 0);

    if (size < 0 && errno == EAGAIN) {
        return true;
    }
    if (size <= 0 || cfc_handoff_decode(packet, (size_t)size, &message) != CONFCAST_OK) {
        return false;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
        int passed;

        memcpy(&passed, CMSG_DATA(c), sizeof(passed));
        close(passed);
    }
    if (message.type == CFC_HANDOFF_HEAD) {
        atomic_store(&s.last_head_ns, cfc_bench_now_ns());
        atomic_fetch_add(&s.heads, 1);
    } else if (message.type == CFC_HANDOFF_CONTENT) {
        atomic_fetch_add(&s.contents, 1);
    } else if (message.type == CFC_HANDOFF_FRESH) {
        atomic_fetch_add(&s.fresh, 1);
    } else if (message.type == CFC_HANDOFF_SYNCED) {
        atomic_store(&s.is_synced, true);
    }
    return true;
}

static void *
run_engine(void *arg)
{
    struct cfc_handoff hello = {
        .type = CFC_HANDOFF_ENGINE_HELLO,
        .u.engine_hello = {
            .boot_id = 9, .frame_size_max = 1472, .port_text = "bench", .port_text_size = 5}};
    struct timeval patience = {.tv_usec = 50000};
    uint8_t bytes[CFC_HANDOFF_SIZE_MAX];
    size_t size = 0;
    int fd;

    (void)arg;
    fd = accept(s.listen_fd, NULL, NULL);
    must(cfc_handoff_encode(&hello, bytes, sizeof(bytes), &size), "hello");
    if (send(fd, bytes, size, MSG_NOSIGNAL) < 0) {
        return NULL;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    while (!atomic_load(&s.is_stopping) && receive_one(fd)) {
    }
    close(fd);
    return NULL;
}

/* ---- The control plane ------------------------------------------------------------------------
 */

static void
open_all(bool is_measured)
{
    struct cfc_store_rocksdb_config config = {.path = s.folder};
    struct cfc_publisher_config publisher = {.engine_socket = s.socket_path};
    struct cfc_bench opened = {.count = 0};
    struct cfc_bench ready = {.count = 0};
    uint64_t start = cfc_bench_now_ns();

    must(cfc_store_rocksdb_open(&config, &s.store), "store");
    must(cfc_service_open(s.store, NULL, &s.service), "service");
    cfc_bench_add(&opened, (double)(cfc_bench_now_ns() - start) / 1e9);
    publisher.service = s.service;
    publisher.signer = cfc_signing_key_signer(&s.key);
    publisher.verifier = cfc_keyring_verifier(&s.ring);
    atomic_store(&s.is_synced, false);
    atomic_store(&s.is_stopping, false);
    if (pthread_create(&s.engine, NULL, run_engine, NULL) != 0) {
        exit(1);
    }
    must(cfc_publisher_start(&publisher, &s.publisher), "publisher");
    if (!is_measured) {
        return;
    }
    while (!atomic_load(&s.is_synced) ||
           atomic_load(&s.heads) < (uint64_t)s.tenants * (s.leaves + 1)) {
        poll(NULL, 0, 1);
    }
    cfc_bench_add(&ready, (double)(cfc_bench_now_ns() - start) / 1e9);
    cfc_bench_print(&opened, "scale", "start_service", "s");
    cfc_bench_print(&ready, "scale", "start_until_engine_has_all", "s");
}

static void
close_all(void)
{
    cfc_publisher_stop(s.publisher);
    atomic_store(&s.is_stopping, true);
    pthread_join(s.engine, NULL);
    cfc_service_close(s.service);
    cfc_store_close(s.store);
}

static struct cfc_change
change_now(void)
{
    static uint64_t now = UINT64_C(1700000000000000000);

    return (struct cfc_change){.author = "bench", .unix_ns = now += 1000};
}

/* Half a kilobyte that no two scopes share. */
static void
make_text(char text[DOCUMENT_SIZE], unsigned tenant, unsigned leaf, unsigned round)
{
    size_t size = (size_t)snprintf(text, DOCUMENT_SIZE, "{\"tenant\":%u,\"leaf%u\":%u,\"keys\":{",
                                   tenant, leaf, round);

    for (unsigned i = 0; i < 16; i++) {
        size += (size_t)snprintf(text + size, DOCUMENT_SIZE - size, "%s\"k%u_%u\":\"%u-%u-%u\"",
                                 i > 0 ? "," : "", i, leaf, tenant * 31 + i, leaf * 17, round);
    }
    snprintf(text + size, DOCUMENT_SIZE - size, "}}");
}

static void
name_scope(char scope[64], unsigned tenant, unsigned leaf)
{
    if (leaf == 0) {
        snprintf(scope, 64, "tenant-%04u", tenant);
    } else {
        snprintf(scope, 64, "tenant-%04u/service-%03u", tenant, leaf);
    }
}

static void
fill_item(struct cfc_batch_item *items, char scope[64], char text[DOCUMENT_SIZE])
{
    items[0] = (struct cfc_batch_item){
        .kind = CFC_BATCH_PUT, .put = {.scope = scope, .text = text, .text_size = strlen(text)}};
    items[1] = (struct cfc_batch_item){.kind = CFC_BATCH_RELEASE,
                                       .order = {.scope = scope, .action = CFC_ACTION_PROMOTE}};
}

static void
fill(void)
{
    static struct cfc_batch_item items[CFC_BATCH_ITEM_COUNT_MAX];
    static char scopes[BATCH_SCOPES][64];
    static char texts[BATCH_SCOPES][DOCUMENT_SIZE];
    size_t count = 0;

    for (unsigned tenant = 0; tenant < s.tenants; tenant++) {
        for (unsigned leaf = 0; leaf <= s.leaves; leaf++) {
            struct cfc_change change = change_now();
            struct cfc_batch_result result;

            name_scope(scopes[count], tenant, leaf);
            make_text(texts[count], tenant, leaf, 0);
            fill_item(&items[2 * count], scopes[count], texts[count]);
            count++;
            if (count < BATCH_SCOPES && (tenant + 1 < s.tenants || leaf < s.leaves)) {
                continue;
            }
            must(cfc_service_batch(s.service, &change, items, 2 * count, &result, NULL), "batch");
            cfc_batch_result_free(&result);
            count = 0;
        }
    }
}

/* Puts, and then times the promotion until `head_count` more heads are there. */
static double
edit(unsigned tenant, unsigned leaf, unsigned round, uint64_t head_count, uint64_t *decided)
{
    struct cfc_release_order order = {.action = CFC_ACTION_PROMOTE};
    struct cfc_change change = change_now();
    struct cfc_release_view view;
    struct cfc_put_result put;
    struct cfc_put request;
    char scope[64];
    char text[DOCUMENT_SIZE];
    uint64_t heads;
    uint64_t start;

    name_scope(scope, tenant, leaf);
    make_text(text, tenant, leaf, round);
    request = (struct cfc_put){.scope = scope, .text = text, .text_size = strlen(text)};
    must(cfc_service_put(s.service, &change, &request, &put, NULL), "put");
    change = change_now();
    order.scope = scope;
    heads = atomic_load(&s.heads);
    *decided = cfc_service_decided(s.service);
    start = cfc_bench_now_ns();
    must(cfc_service_release(s.service, &change, &order, &view, NULL), "promote");
    while (atomic_load(&s.heads) < heads + head_count) {
        sched_yield();
    }
    *decided = cfc_service_decided(s.service) - *decided;
    return (double)(atomic_load(&s.last_head_ns) - start) / 1e6;
}

/* One synced commit of the same store, for the ratio. */
static void
measure_commits(struct cfc_bench *bench)
{
    for (int i = 0; i < 100; i++) {
        struct cfc_change change = change_now();
        struct cfc_put request = {.scope = "bench", .text = "{}", .text_size = 2};
        struct cfc_put_result put;
        uint64_t start = cfc_bench_now_ns();

        must(cfc_service_put(s.service, &change, &request, &put, NULL), "put");
        cfc_bench_add(bench, (double)(cfc_bench_now_ns() - start) / 1e6);
    }
}

static void
print_one(const char *name, const char *unit, double value)
{
    struct cfc_bench bench = {.count = 0};

    cfc_bench_add(&bench, value);
    cfc_bench_print(&bench, "scale", name, unit);
}

static void
measure_edits(void)
{
    struct cfc_bench commits = {.count = 0};
    struct cfc_bench paced = {.count = 0};
    struct cfc_bench back_to_back = {.count = 0};
    struct cfc_bench tenant = {.count = 0};
    uint64_t decided = 0;

    measure_commits(&commits);
    cfc_bench_print(&commits, "scale", "synced_put", "ms");
    for (unsigned i = 0; i < LEAF_ROUNDS; i++) {
        cfc_bench_add(&back_to_back, edit(i * 7 % s.tenants, 1 + i % s.leaves, 1 + i, 1, &decided));
    }
    print_one("leaf_edit_scopes_recomputed", "scopes", (double)decided);
    cfc_bench_print(&back_to_back, "scale", "leaf_edit_back_to_back", "ms");
    print_one("leaf_edit_back_to_back_p99", "ms", cfc_bench_quantile(&back_to_back, 0.99));
    for (unsigned i = 0; i < LEAF_ROUNDS / 4; i++) {
        poll(NULL, 0, 20);
        cfc_bench_add(&paced, edit(i * 11 % s.tenants, 1 + i % s.leaves, 1000 + i, 1, &decided));
    }
    cfc_bench_print(&paced, "scale", "leaf_edit_every_20_ms", "ms");
    print_one("leaf_edit_over_synced_put", "ratio",
              cfc_bench_quantile(&back_to_back, 0.5) / cfc_bench_quantile(&commits, 0.5));
    for (unsigned i = 0; i < TENANT_ROUNDS; i++) {
        cfc_bench_add(&tenant, edit(i * 13 % s.tenants, 0, 2000 + i, s.leaves + 1, &decided));
    }
    print_one("tenant_edit_scopes_recomputed", "scopes", (double)decided);
    cfc_bench_print(&tenant, "scale", "tenant_edit", "ms");
}

static unsigned
descriptor_count(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 65536; fd++) {
        struct stat st;

        count += fstat(fd, &st) == 0;
    }
    return count;
}

/* Of this process, the shared memory of arenas included. */
static double
resident_mib(void)
{
    FILE *in = fopen("/proc/self/status", "r");
    char line[128];
    double kib = 0;

    while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            kib = strtod(line + 6, NULL);
        }
    }
    if (in != NULL) {
        fclose(in);
    }
    return kib / 1024;
}

static void
set_up(int argc, char **argv)
{
    static const uint8_t seed[32] = {3};
    const char *base = getenv("TMPDIR");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct cfc_ring_key ring_key = {.prefix_count = 0};
    struct rlimit descriptors;

    s.tenants = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    s.leaves = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100;
    if (s.tenants == 0 || s.leaves == 0 || s.tenants > 10000 || s.leaves > 999) {
        fprintf(stderr, "usage: bench_scale [TENANTS [LEAVES]]\n");
        exit(2);
    }
    snprintf(s.folder, sizeof(s.folder), "%.40s/cfc-scale-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(s.folder) == NULL || getrlimit(RLIMIT_NOFILE, &descriptors) != 0) {
        exit(1);
    }
    cfc_log_set_level(CFC_LOG_ERROR);
    snprintf(s.socket_path, sizeof(s.socket_path), "%s.sock", s.folder);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", s.socket_path);
    s.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(s.listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(s.listen_fd, 4) != 0) {
        exit(1);
    }
    cfc_signing_key_from_seed(seed, &s.key);
    memcpy(ring_key.public_key, s.key.public_key, sizeof(ring_key.public_key));
    must(cfc_keyring_add(&s.ring, &ring_key), "key");
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

int
main(int argc, char **argv)
{
    uint64_t start;

    set_up(argc, argv);
    open_all(false);
    start = cfc_bench_now_ns();
    fill();
    print_one("fill", "s", (double)(cfc_bench_now_ns() - start) / 1e9);
    close_all();
    atomic_store(&s.heads, 0);
    open_all(true);
    print_one("memory_after_start", "MiB", resident_mib());
    print_one("descriptors", "files", descriptor_count());
    measure_edits();
    print_one("memory_at_the_end", "MiB", resident_mib());
    close_all();
    close(s.listen_fd);
    unlink(s.socket_path);
    return nftw(s.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : 1;
}
