/* What the routes for consumers that pull share: GET /v1/snapshot, POST /v1/hello, POST /v1/ack.
 * They take a consumer's credential and nothing else, and nothing else takes one. */
#ifndef CFC_API_PULL_H
#define CFC_API_PULL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "controlplane/auth/consumer.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/publish/pull_store.h"

struct cfc_pull {
    struct cfc_pull_store *store;
    struct cfc_publisher *publisher;
    struct cfc_consumer_auth auth;
    atomic_ullong hellos; /* taken */
    atomic_ullong reports;
    atomic_ullong reports_refused;
    atomic_ullong nonces_over; /* requests under a nonce that had ended */
};

/* Whether a raw target is of these routes, so that it must be kept as it came. */
bool cfc_pull_is_target(const char *raw);

/* Its series of /metrics. */
void cfc_pull_put_metrics(struct cfc_pull *pull, FILE *out);

#endif
