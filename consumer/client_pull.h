/* A client that pulls, beside multicast or instead of it: feeds what comes over HTTP to the same
 * receiver, by which it is checked, activated and reported as any frame.
 *
 * Beside multicast it begins when multicast does not help: nothing proves for pull_after_ms that a
 * scope is current, or one lacks something for which no symbol came in that time (or in thirty
 * times that time in any case).  It ends when multicast proves again that all is current and
 * nothing lacks, after a minimum that doubles when it had to begin again soon.  It also begins when
 * the engine advises it, and then goes on for as long as the advice holds.
 *
 * The client's loop thread owns it. */
#ifndef CFC_CONSUMER_CLIENT_PULL_H
#define CFC_CONSUMER_CLIENT_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "confcast/confcast.h"

struct cfc_client_pull;

struct cfc_client_pull_stats {
    bool is_pulling;
    uint64_t requests; /* answered with 200 */
    uint64_t failures;
    uint64_t bytes; /* of snapshots */
};

/* Nothing is done for CONFCAST_PULL_OFF, and in AUTO for a fleet without pull_urls.  INVALID:
 * options outside their ranges, or CONFCAST_PULL_ONLY without pull_urls; errors of
 * cfc_pull_http_open(). */
int cfc_client_pull_open(struct confcast *client, const struct confcast_options *options);
void cfc_client_pull_close(struct confcast *client);

/* In a forked child.  Async-signal-safe. */
void cfc_client_pull_abandon(struct confcast *client);

/* All below: nothing without a pull. */

/* A frame came from the engine and was taken: does it prove that multicast works? */
void cfc_client_pull_heard(struct confcast *client, const uint8_t *frame, uint64_t mono_ns);

/* Begins, goes on and ends as it is due. */
void cfc_client_pull_run(struct confcast *client);

/* What to poll for reading (-1: nothing), and when to run at the latest. */
int cfc_client_pull_fd(const struct confcast *client);
uint64_t cfc_client_pull_deadline(const struct confcast *client);

void cfc_client_pull_stats(const struct confcast *client, struct cfc_client_pull_stats *out);

#endif
