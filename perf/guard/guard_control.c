/* The hot paths of the control plane, with work that is the same in every run (see guard.h): a
 * report that is taken in, a put.  Both on the store in memory, whose cost is not counted upon. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "controlplane/publish/report_intake.h"
#include "controlplane/store/store.h"
#include "perf/guard/guard.h"
#include "protocol/base/cursor.h"
#include "protocol/base/time.h"
#include "protocol/trust/credential.h"
#include "protocol/wire/report.h"

enum {
    CONSUMERS = 500,
    SCOPES = 50,
    PUTS = 400,
    WARM_PUTS = 100,
    TEXT_SIZE = 200,
    FRAME_SIZE_MAX = 192,
};

#define UNIX_NS (UINT64_C(1800000000) * CFC_S)

struct consumer {
    char id[32];
    struct cfc_key key;
    uint8_t frame[FRAME_SIZE_MAX];
    size_t frame_size;
};

static struct consumer consumers[CONSUMERS];
static struct cfc_key fleet_key = {.bytes = {1}};
static struct cfc_sha256 *sha;

static void
must(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "guard_control: %s failed\n", what);
        exit(1);
    }
}

static void
put(struct cfc_service *service, const char *scope, uint32_t number)
{
    char text[TEXT_SIZE + 1];
    int size = snprintf(text, sizeof(text), "{\"limit\":%u,\"text\":\"", number);
    struct cfc_change change = {.unix_ns = UNIX_NS + number * CFC_MS};
    struct cfc_put order = {.scope = scope, .text = text, .text_size = TEXT_SIZE};
    struct cfc_put_result result;

    memset(text + size, 'a' + (int)(number % 26), (size_t)(TEXT_SIZE - size));
    memcpy(text + TEXT_SIZE - 2, "\"}", 2);
    must(cfc_service_put(service, &change, &order, &result, NULL) == CONFCAST_OK, "put");
}

/* ---- Reports ---- */

static struct cfc_report_entry
publish(struct cfc_service *service)
{
    struct cfc_change change = {.unix_ns = UNIX_NS};
    struct cfc_release_order order = {.scope = "acme/app", .action = CFC_ACTION_PROMOTE};
    struct cfc_report_entry entry;
    struct cfc_release_view view;
    struct cfc_decision *decision;

    put(service, "acme/app", 1);
    must(cfc_service_release(service, &change, &order, &view, NULL) == CONFCAST_OK, "promote");
    must(cfc_service_decision(service, "acme/app", &decision) == CONFCAST_OK, "decision");
    entry = (struct cfc_report_entry){
        .scope_id = cfc_scope_id(sha, "acme/app", 8),
        .epoch = cfc_service_epoch(service),
        .accepted = decision->version,
        .serving_version = decision->version,
        .durable = decision->version,
        .serving_content = cfc_digest_key(&decision->arms[0].content->id),
        .state = CFC_APPLY_APPLIED,
    };
    cfc_service_note_published(service, "acme/app", decision->version, UNIX_NS);
    cfc_decision_unref(decision);
    return entry;
}

static void
write_reports(const struct cfc_report_entry *entry, uint64_t report_seq)
{
    const struct cfc_key session_key = {.bytes = {2}};
    const struct cfc_address address = {.port = 1};

    for (uint32_t i = 0; i < CONSUMERS; i++) {
        struct consumer *c = &consumers[i];
        size_t id_size = (size_t)snprintf(c->id, sizeof(c->id), "host-%07u.eu-1", i);
        struct cfc_report report = {.consumer_key = cfc_consumer_key(sha, c->id, id_size),
                                    .incarnation = 1,
                                    .report_seq = report_seq,
                                    .clock_bound_us = 100,
                                    .part_count = 1,
                                    .entry_count = 1};
        struct cfc_writer w = cfc_writer_of(c->frame, sizeof(c->frame));

        cfc_credential_key(&fleet_key, CFC_DOMAIN_CRED_REPORT, c->id, id_size, &c->key);
        must(cfc_report_write(&w, &report, entry, c->id, id_size, &c->key) == CONFCAST_OK &&
                 cfc_trailer_seal(&w, 1, report_seq, &session_key, &address, &c->frame_size) ==
                     CONFCAST_OK,
             "writing a report");
    }
}

static void
take_reports(struct cfc_service *service)
{
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        const struct consumer *c = &consumers[i];

        must(cfc_report_intake(service, sha, &fleet_key, c->id, strlen(c->id), c->frame,
                               c->frame_size, UNIX_NS + CFC_S) == CONFCAST_OK,
             "a report");
    }
}

static void
count_reports(struct cfc_service *service)
{
    struct cfc_report_entry entry = publish(service);
    struct cfc_apply_counts counts;

    entry.durable = 0;
    write_reports(&entry, 1);
    take_reports(service);
    entry.durable = entry.accepted; /* Everybody has something new to say. */
    write_reports(&entry, 2);
    cfc_guard_begin();
    take_reports(service);
    cfc_guard_end("report", CONSUMERS, "report");
    must(cfc_service_status(service, "acme/app", &counts) == CONFCAST_OK &&
             counts.applied == CONSUMERS,
         "counting every report once");
}

/* ---- Puts ---- */

static void
put_many(struct cfc_service *service, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        char scope[32];

        snprintf(scope, sizeof(scope), "shop/app-%u", i % SCOPES);
        put(service, scope, i);
    }
}

static void
count_puts(struct cfc_service *service)
{
    put_many(service, 0, WARM_PUTS);
    cfc_guard_begin();
    put_many(service, WARM_PUTS, WARM_PUTS + PUTS);
    cfc_guard_end("put", PUTS, "put");
}

int
main(void)
{
    struct cfc_service *service;
    struct cfc_store *store;

    cfc_log_set_level(CFC_LOG_ERROR);
    sha = cfc_sha256_new();
    must(sha != NULL && cfc_store_mem_open(&store) == CONFCAST_OK &&
             cfc_service_open(store, NULL, &service) == CONFCAST_OK,
         "opening the service");
    count_reports(service);
    count_puts(service);
    cfc_service_close(service);
    cfc_store_close(store);
    cfc_sha256_free(sha);
    return 0;
}
