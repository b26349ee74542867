/* Checks the reports that an engine passes on, end to end, and hands them to the model.
 *
 * The engine checked the session; the tag under the consumer's report key, which only the control
 * plane can derive, shows that no engine or relay made the report up.  One thread owns an intake.
 */
#ifndef CFC_PUBLISH_REPORT_INTAKE_H
#define CFC_PUBLISH_REPORT_INTAKE_H

#include <stddef.h>
#include <stdint.h>

#include "controlplane/model/service.h"
#include "protocol/trust/mac.h"

/* Takes one REPORT frame of consumer `id`.  CONFCAST_OK; MAC: the tag does not hold; WRONG_STREAM:
 * the frame is another consumer's; INVALID: no well-formed id; NO_MEMORY; or a decoding error.
 * Count it and go on. */
int cfc_report_intake(struct cfc_service *service, struct cfc_sha256 *sha,
                      const struct cfc_key *fleet_report_key, const char *id, size_t id_size,
                      const uint8_t *frame, size_t frame_size, uint64_t unix_ns);

#endif
