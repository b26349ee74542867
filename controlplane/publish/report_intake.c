#include "controlplane/publish/report_intake.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/base/scope.h"
#include "protocol/wire/report.h"

int
cfc_report_intake(struct cfc_service *service, struct cfc_sha256 *sha,
                  const struct cfc_key *fleet_report_key, const char *id, size_t id_size,
                  const uint8_t *frame_bytes, size_t frame_size, uint64_t unix_ns)
{
    struct cfc_report_entry entries[CFC_REPORT_ENTRIES_MAX];
    struct cfc_report_source source;
    struct cfc_report report;
    struct cfc_frame frame;
    struct cfc_key key;
    int error;

    if (cfc_consumer_id_check(id, id_size) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    error = cfc_frame_open(frame_bytes, frame_size, &frame);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (frame.type != CFC_FRAME_REPORT || frame.key != cfc_consumer_key(sha, id, id_size)) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    error = cfc_report_decode(&frame, &report);
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_credential_key(fleet_report_key, CFC_DOMAIN_CRED_REPORT, id, id_size, &key);
    error = cfc_report_check_tag(&frame, id, id_size, &key);
    if (error != CONFCAST_OK) {
        return error;
    }
    for (uint32_t i = 0; i < report.entry_count; i++) {
        cfc_report_entry_at(&report, i, &entries[i]);
    }
    source = (struct cfc_report_source){.id = id,
                                        .id_size = id_size,
                                        .incarnation = report.incarnation,
                                        .report_seq = report.report_seq,
                                        .unix_ns = unix_ns,
                                        .has_clock = true,
                                        .clock_error_ns = report.clock_error_ns,
                                        .clock_bound_us = report.clock_bound_us};
    return cfc_service_take_report(service, &source, entries, report.entry_count, NULL);
}
