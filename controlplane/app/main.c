/* confcastd: the control plane.  This file names every thread and socket of the process.
 *
 * Threads:
 *   main               waits for signals; once a second ticks the service and gives back memory
 *   MHD-worker (4+4)   HTTP on TCP and on the unix socket: parse, call the service, answer;
 *                      a backup has a thread of its own while it is made
 *   confcast-commit    syncs the disk for all changes that wait for it
 *   confcast-reaper    ends HTTP requests that do not arrive in time
 *   publisher (1)      signs decisions, hands them to the engine, takes reports
 *   confcast-pull      with --pull: makes the answers of consumers that pull
 *   confcast-watch     tells who watches the status of its changes
 *   rocksdb:*          background work of the store
 * Sockets: --listen (TCP), --unix, --engine-socket (connected to, by the publisher).
 * What they share is the service, which locks itself. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/api/server.h"
#include "controlplane/app/confine.h"
#include "controlplane/app/options.h"
#include "controlplane/keys/keys.h"
#include "controlplane/log/log.h"
#include "controlplane/model/service.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/store/backup.h"
#include "controlplane/store/store.h"
#include "protocol/base/time.h"

#define FREE_BYTES_KEPT ((size_t)64 << 20)

/* Key material in use.  It stays as long as the publisher runs, in memory that is locked, fenced by
 * guard pages and left out of core dumps. */
struct keys {
    struct cfc_signing_key release;
    struct cfc_key report;
    struct cfc_fleet fleet;
};

struct daemon {
    struct cfc_options options;
    struct keys *keys; /* NULL when nothing is published */
    struct cfc_store *store;
    struct cfc_service *service;
    struct cfc_publisher *publisher; /* NULL when nothing is published */
    struct cfc_pull pull;            /* for consumers that pull; its store is NULL without them */
    struct cfc_tls *tls;             /* NULL without --tls-cert */
    struct cfc_access access;
    bool has_access;
    struct cfc_api api;
    struct cfc_server *server;
};

static void
on_store_line(void *arg, const char *line)
{
    (void)arg;
    cfc_log(CFC_LOG_ERROR, "store", "%s", line);
}

static int
failed(const char *what, int rc)
{
    cfc_log(CFC_LOG_ERROR, "main", "cannot %s error=%s text=\"%s\"", what, confcast_error_word(rc),
            confcast_error_text(rc));
    return rc;
}

/* A release key that the fleet file does not list would sign what no consumer takes. */
static int
check_release_key(const struct keys *keys)
{
    uint8_t id[CFC_KEY_ID_SIZE];

    cfc_key_id(keys->release.public_key, id);
    for (uint32_t i = 0; i < keys->fleet.release_keys.key_count; i++) {
        if (memcmp(keys->fleet.release_keys.keys[i].id, id, sizeof(id)) == 0) {
            return CONFCAST_OK;
        }
    }
    cfc_log(CFC_LOG_ERROR, "main", "release.key is not among the release keys of fleet.json");
    return CONFCAST_ERR_AUTHORITY;
}

static int
open_keys(struct daemon *d)
{
    const char *dir = d->options.keys_dir;
    char why[CFC_KEYS_WHY_SIZE] = "";
    int rc;

    if (d->options.engine_socket == NULL && !d->options.serves_pull) {
        return CONFCAST_OK;
    }
    d->keys = sodium_malloc(sizeof(*d->keys));
    if (d->keys == NULL) {
        return failed("load keys", CONFCAST_ERR_NO_MEMORY);
    }
    memset(d->keys, 0, sizeof(*d->keys));
    if ((rc = cfc_keys_load_signing(dir, CFC_KEY_RELEASE, &d->keys->release, why)) != CONFCAST_OK ||
        (rc = cfc_keys_load(dir, CFC_KEY_REPORT, d->keys->report.bytes, why)) != CONFCAST_OK ||
        (rc = cfc_keys_load_fleet(dir, &d->keys->fleet, why)) != CONFCAST_OK) {
        cfc_log(CFC_LOG_ERROR, "main", "cannot load keys reason=\"%s\"", why);
        return rc;
    }
    return check_release_key(d->keys);
}

static int
open_service(struct daemon *d)
{
    struct cfc_store_rocksdb_config store = {.path = d->options.data_dir, .log = on_store_line};
    struct cfc_service_config service = {.stale_after_ns = d->options.stale_after_ns,
                                         .rollout = d->options.rollout,
                                         .validators_dir = d->options.validators_dir,
                                         .shares_syncs = true,
                                         .document_size_max = d->options.document_size_max};
    int rc = cfc_store_rocksdb_open(&store, &d->store);

    if (rc != CONFCAST_OK) {
        return failed("open the store", rc);
    }
    rc = cfc_service_open(d->store, &service, &d->service);
    if (rc != CONFCAST_OK) {
        return failed("read the store", rc);
    }
    cfc_log(CFC_LOG_INFO, "main", "opened data=%s epoch=%llu sequence=%llu", d->options.data_dir,
            (unsigned long long)cfc_service_epoch(d->service),
            (unsigned long long)cfc_service_seq(d->service));
    return CONFCAST_OK;
}

static int
open_pull_store(struct daemon *d)
{
    struct cfc_pull_store_config config = {.signer = cfc_signing_key_signer(&d->keys->release)};
    int rc;

    if (!d->options.serves_pull) {
        return CONFCAST_OK;
    }
    cfc_consumer_auth_init(&d->pull.auth, &d->keys->report);
    rc = cfc_pull_store_new(&config, &d->pull.store);
    return rc == CONFCAST_OK ? rc : failed("make room for what consumers pull", rc);
}

static int
open_publisher(struct daemon *d)
{
    struct cfc_publisher_config config;
    int rc;

    if (d->keys == NULL) {
        cfc_log(CFC_LOG_INFO, "main", "no --engine-socket and no --pull: nothing is published");
        return CONFCAST_OK;
    }
    rc = open_pull_store(d);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    config = (struct cfc_publisher_config){
        .service = d->service,
        .signer = cfc_signing_key_signer(&d->keys->release),
        .verifier = cfc_keyring_verifier(&d->keys->fleet.release_keys),
        .report_key = d->keys->report,
        .engine_socket = d->options.engine_socket,
        .pull = d->pull.store,
        .fresh_period_ns = d->options.fresh_period_ns,
    };
    rc = cfc_publisher_start(&config, &d->publisher);
    sodium_memzero(&config.report_key, sizeof(config.report_key));
    d->pull.publisher = d->publisher;
    return rc == CONFCAST_OK ? rc : failed("start the publisher", rc);
}

static int
open_tls(struct daemon *d)
{
    const struct cfc_tls_config config = {.cert_file = d->options.tls_cert,
                                          .key_file = d->options.tls_key,
                                          .client_ca_file = d->options.tls_client_ca,
                                          .client_crl_file = d->options.tls_client_crl,
                                          .client_name = d->options.tls_client_name};
    char why[CFC_TLS_WHY_SIZE] = "";
    int rc;

    if (d->options.tls_cert == NULL) {
        return CONFCAST_OK;
    }
    rc = cfc_tls_open(&config, &d->tls, why);
    if (rc != CONFCAST_OK) {
        cfc_log(CFC_LOG_ERROR, "main", "cannot use TLS reason=\"%s\"", why);
    }
    return rc;
}

static int
open_api(struct daemon *d)
{
    struct cfc_server_config config = {.listen = d->options.listen,
                                       .unix_path = d->options.unix_path,
                                       .body_total_max = d->options.body_total_max,
                                       .request_timeout_ms = d->options.request_timeout_ms,
                                       .connection_max = d->options.connection_max};
    size_t document_size_max =
        d->options.document_size_max > 0 ? d->options.document_size_max : CFC_JSON_SIZE_MAX_DEFAULT;

    int rc = cfc_access_open(&d->access, d->service, d->options.requires_auth);

    if (rc != CONFCAST_OK) {
        return failed("read tokens and roles", rc);
    }
    d->has_access = true;
    cfc_access_limit(&d->access, d->options.rate_per_s);
    rc = open_tls(d);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    config.tls = d->tls;
    cfc_api_init(&d->api, d->service, document_size_max);
    d->api.access = &d->access;
    d->api.publisher = d->publisher;
    d->api.publisher_status = cfc_publisher_status;
    d->api.pull = d->pull.store != NULL ? &d->pull : NULL;
    return cfc_server_open(&d->api, &config, &d->server);
}

/* In the reverse order of opening; nothing that runs outlives what it uses. */
static void
close_all(struct daemon *d)
{
    if (d->service != NULL) {
        cfc_service_interrupt(d->service); /* the server waits for requests that run */
    }
    cfc_server_close(d->server);
    cfc_tls_close(d->tls);
    if (d->has_access) {
        cfc_access_close(&d->access);
    }
    cfc_publisher_stop(d->publisher);
    cfc_pull_store_free(d->pull.store);
    cfc_consumer_auth_wipe(&d->pull.auth);
    cfc_service_close(d->service);
    cfc_store_close(d->store);
    sodium_free(d->keys); /* which wipes it */
}

static int
open_all(struct daemon *d)
{
    int rc;

    if ((rc = open_keys(d)) != CONFCAST_OK || (rc = open_service(d)) != CONFCAST_OK ||
        (rc = open_publisher(d)) != CONFCAST_OK || (rc = open_api(d)) != CONFCAST_OK) {
        return rc;
    }
    return CONFCAST_OK;
}

/* --restore and --lift: no daemon, one piece of work. */
static int
restore(const struct cfc_options *options)
{
    const struct cfc_restore_config config = {.backup_path = options->restore_from,
                                              .data_path = options->data_dir,
                                              .epoch_seen = options->epoch_seen,
                                              .sequence_seen = options->sequence_seen,
                                              .log = on_store_line};
    struct cfc_restore_result result;
    int rc =
        options->is_lift ? cfc_backup_lift(&config, &result) : cfc_backup_restore(&config, &result);

    if (rc != CONFCAST_OK) {
        return failed(options->is_lift ? "lift the store" : "restore the backup", rc);
    }
    if (!options->is_lift) {
        cfc_log(CFC_LOG_INFO, "main", "restored data=%s backup_epoch=%llu backup_sequence=%llu",
                options->data_dir, (unsigned long long)result.backup.epoch,
                (unsigned long long)result.backup.sequence);
    }
    cfc_log(CFC_LOG_INFO, "main", "lifted data=%s epoch=%llu sequence=%llu", options->data_dir,
            (unsigned long long)result.epoch, (unsigned long long)result.sequence);
    return CONFCAST_OK;
}

/* Signals that end the daemon are taken by sigtimedwait() in main; no thread runs a handler. */
static void
block_signals(sigset_t *stops)
{
    sigemptyset(stops);
    sigaddset(stops, SIGTERM);
    sigaddset(stops, SIGINT);
    sigaddset(stops, SIGHUP);
    pthread_sigmask(SIG_BLOCK, stops, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static uint64_t
unix_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

/* A big document is a tree of small pieces for a moment.  The allocator would keep their pages for
 * the thread that used them, and every thread has its turn.  While one is at it, looking would hold
 * up whoever shares its arena, perhaps under the service's lock. */
static void
give_back_memory(const struct daemon *d)
{
    if (cfc_server_long_count(d->server) == 0 && mallinfo2().fordblks > FREE_BYTES_KEPT) {
        malloc_trim(0);
    }
}

/* SIGHUP: what may have been replaced by something newer. */
static void
reload(struct daemon *d)
{
    char why[CFC_TLS_WHY_SIZE] = "";

    if (d->tls == NULL) {
        cfc_log(CFC_LOG_INFO, "main", "nothing to read again without --tls-cert");
    } else if (cfc_tls_reload(d->tls, why) == CONFCAST_OK) {
        cfc_log(CFC_LOG_INFO, "main", "read again cert=%s key=%s", d->options.tls_cert,
                d->options.tls_key);
    } else {
        cfc_log(CFC_LOG_ERROR, "main", "the old certificate stays in use reason=\"%s\"", why);
    }
}

static void
run(struct daemon *d, const sigset_t *stops)
{
    const struct timespec period = {.tv_sec = 1};
    int last_rc = CONFCAST_OK;

    for (;;) {
        int signal_number = sigtimedwait(stops, NULL, &period);
        int rc;

        if (signal_number == SIGHUP) {
            reload(d);
        } else if (signal_number > 0) {
            cfc_log(CFC_LOG_INFO, "main", "stopping signal=%d", signal_number);
            return;
        }
        rc = cfc_service_tick(d->service, unix_now_ns());
        if (rc != CONFCAST_OK && rc != last_rc) {
            failed("write apply states", rc);
        }
        last_rc = rc;
        give_back_memory(d);
    }
}

int
main(int argc, char **argv)
{
    static struct daemon d;
    sigset_t stops;
    int rc;

    /* The millions of small pieces of a big document are joined as they are freed, and not all at
     * once by whoever asks for memory next, perhaps under the service's lock. */
    mallopt(M_MXFAST, 0);
    switch (cfc_options_parse(argc, argv, &d.options)) {
    case CFC_OPTIONS_DONE:
        return 0;
    case CFC_OPTIONS_WRONG:
        return 2;
    case CFC_OPTIONS_RUN:
        break;
    }
    cfc_log_set_level(d.options.log_level);
    block_signals(&stops);
    cfc_confine_process();
    if (sodium_init() < 0) {
        failed("get random numbers", CONFCAST_ERR_RESOURCE);
        return 1;
    }
    if (d.options.restore_from != NULL || d.options.is_lift) {
        return restore(&d.options) == CONFCAST_OK ? 0 : 1;
    }
    rc = open_all(&d);
    if (rc == CONFCAST_OK) {
        atomic_store(&d.api.is_ready, true);
        cfc_log(CFC_LOG_INFO, "main", "ready pid=%ld", (long)getpid());
        run(&d, &stops);
        atomic_store(&d.api.is_ready, false);
    }
    close_all(&d);
    cfc_log(CFC_LOG_INFO, "main", "stopped");
    return rc == CONFCAST_OK ? 0 : 1;
}
