#include "controlplane/publish/report_intake.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/base/scope.h"
#include "protocol/wire/report.h"

_Static_assert(sizeof(struct cfc_key) == sizeof(((struct cfc_consumer_memo *)NULL)->secret),
               "a memo holds a key");

/* What is derived from the id, which takes a great part of what a report costs: for a consumer
 * that was heard before it is at hand.  False: it is not, and was derived. */
static bool
recall(struct cfc_service *service, struct cfc_sha256 *sha, const struct cfc_key *fleet_report_key,
       const char *id, size_t id_size, struct cfc_consumer_memo *memo)
{
    struct cfc_key key;

    if (cfc_service_recall(service, id, id_size, memo)) {
        return true;
    }
    memo->key = cfc_consumer_key(sha, id, id_size);
    cfc_credential_key(fleet_report_key, CFC_DOMAIN_CRED_REPORT, id, id_size, &key);
    memcpy(memo->secret, key.bytes, sizeof(key.bytes));
    return false;
}

int
cfc_report_intake(struct cfc_service *service, struct cfc_sha256 *sha,
                  const struct cfc_key *fleet_report_key, const char *id, size_t id_size,
                  const uint8_t *frame_bytes, size_t frame_size, uint64_t unix_ns)
{
    struct cfc_report_entry entries[CFC_REPORT_ENTRIES_MAX];
    struct cfc_report_source source;
    struct cfc_report report;
    struct cfc_consumer_memo memo;
    struct cfc_frame frame;
    struct cfc_key key;
    bool is_known;
    int error;

    if (cfc_consumer_id_check(id, id_size) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    error = cfc_frame_open(frame_bytes, frame_size, &frame);
    if (error != CONFCAST_OK) {
        return error;
    }
    is_known = recall(service, sha, fleet_report_key, id, id_size, &memo);
    if (frame.type != CFC_FRAME_REPORT || frame.key != memo.key) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    error = cfc_report_decode(&frame, &report);
    if (error != CONFCAST_OK) {
        return error;
    }
    memcpy(key.bytes, memo.secret, sizeof(key.bytes));
    error = cfc_report_check_tag(&frame, id, id_size, &key);
    if (error != CONFCAST_OK) {
        return error;
    }
    for (uint32_t i = 0; i < report.entry_count; i++) {
        cfc_report_entry_at(&report, i, &entries[i]);
    }
    source = (struct cfc_report_source){.id = id,
                                        .id_size = id_size,
                                        .memo = is_known ? NULL : &memo,
                                        .incarnation = report.incarnation,
                                        .report_seq = report.report_seq,
                                        .unix_ns = unix_ns,
                                        .has_clock = true,
                                        .clock_error_ns = report.clock_error_ns,
                                        .clock_bound_us = report.clock_bound_us};
    return cfc_service_take_report(service, &source, entries, report.entry_count, NULL);
}
