/* The publisher: the thread that turns decisions into signed frames, hands them to the engine, and
 * takes its reports.
 *
 * It signs all heads and FRESH; codings for consumers that pull are signed by the thread that makes
 * them (pull_store.h).  A batch of decisions is coded and signed by as many threads as there are
 * processors, four at most (crew.h).  What it sends was committed before, since decisions come from
 * the model after their commit.  While no engine is connected it goes on deciding and signing; a
 * new connection is handed everything that is current. */
#ifndef CFC_PUBLISH_PUBLISHER_H
#define CFC_PUBLISH_PUBLISHER_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/model/service.h"
#include "controlplane/publish/pull_store.h"
#include "protocol/handoff/handoff.h"
#include "protocol/trust/mac.h"
#include "protocol/trust/sign.h"

struct cfc_publisher;

struct cfc_publisher_config {
    struct cfc_service *service; /* must outlive the publisher */
    struct cfc_signer signer;    /* release key; called by several threads at once */
    struct cfc_verifier
        verifier; /* release keys of the fleet: for heads that consumers show as proof */
    struct cfc_key report_key;   /* fleet report key */
    const char *engine_socket;   /* path; copied.  NULL = no engine: for consumers that pull only */
    struct cfc_pull_store *pull; /* gets what is current, engine or not; NULL = nobody pulls */
    uint32_t shard;
    uint64_t fresh_period_ns; /* 0 = 1 s */
    uint64_t retained_max;    /* bytes of contents kept for rollbacks; 0 = 256 MiB */
};

/* Starts the thread.  NO_MEMORY, RESOURCE, INVALID.  `out` must be stopped with
 * cfc_publisher_stop(), which joins it. */
int cfc_publisher_start(const struct cfc_publisher_config *config, struct cfc_publisher **out);
void cfc_publisher_stop(struct cfc_publisher *publisher); /* NULL is fine */

struct cfc_publisher_status {
    bool is_connected; /* an engine has everything that is current */
    bool is_refusing;  /* a consumer proved a head above our sequence or epoch: this store is older
                          than what was published.  Lasts until a restore lifts the store */
    uint64_t proof_epoch; /* highest of such heads */
    uint64_t proof_version;
    uint64_t engine_boot_id;
    uint64_t heads;        /* in force */
    uint64_t contents;     /* held, retained ones included */
    uint64_t heads_handed; /* over all connections */
    uint64_t contents_handed;
    uint64_t deltas_published; /* contents that went to all as deltas, inside heads or apart */
    uint64_t fresh_signed;
    uint64_t connections;
    uint64_t reports;                       /* taken */
    uint64_t reports_refused;               /* bad tag, malformed */
    uint64_t engine_refusals;               /* REFUSED messages */
    uint64_t consumers;                     /* seen since the start */
    struct cfc_handoff_engine_stats engine; /* count 0 = not heard yet */
};

/* The HELLO frame of a consumer that pulls, who was proven to be `id`: it counts as one that an
 * engine passes on.  Any thread.  WRONG_STREAM: it names another id; BUSY: too many wait, try again
 * later; NO_MEMORY; or a decoding error. */
int cfc_publisher_hello(struct cfc_publisher *publisher, const char *id, const uint8_t *frame,
                        size_t size);

/* Any thread. */
void cfc_publisher_status(struct cfc_publisher *publisher, struct cfc_publisher_status *out);

#endif
