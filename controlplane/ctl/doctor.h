/* The checks of `confcastctl doctor`.  Each adds one row {check, result, detail, advice}: the
 * result is "ok", "warn" (it works, but) or "fail"; the advice says what to do and is empty for
 * "ok".
 *
 * Checks only look, but for two: the querier's joins and leaves a multicast group of its own, and
 * the path's sends one datagram that engines drop. */
#ifndef CFC_CTL_DOCTOR_H
#define CFC_CTL_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/trust/fleet.h"

struct cfc_doctor {
    json_t *rows;
    bool has_failed;
};

enum cfc_verdict {
    CFC_VERDICT_OK,
    CFC_VERDICT_WARN,
    CFC_VERDICT_FAIL,
};

/* Adds a row; `detail` is a format. */
void cfc_doctor_add(struct cfc_doctor *doctor, const char *check, enum cfc_verdict verdict,
                    const char *advice, const char *detail, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- The host (doctor_host.c).  `root` is "" but in tests. ----------------------------------- */

/* Free huge pages of any size, below root/sys/kernel/mm/hugepages. */
void cfc_doctor_huge_pages(struct cfc_doctor *doctor, const char *root);
/* The receive buffer that an unprivileged consumer can have: root/proc/sys/net/core/rmem_max. */
void cfc_doctor_receive_buffer(struct cfc_doctor *doctor, const char *root);
/* Multicast memberships of one socket against the groups of the fleet. */
void cfc_doctor_memberships(struct cfc_doctor *doctor, const char *root, uint32_t group_count);
/* Whether the kernel says that something keeps the clock right; `server_unix_s` is the time of the
 * server's answer, 0 for none. */
void cfc_doctor_clock(struct cfc_doctor *doctor, int64_t server_unix_s);
/* Free bytes where the store is. */
void cfc_doctor_space(struct cfc_doctor *doctor, const char *data_dir);
/* What `free_bytes` of `total_bytes` are worth. */
enum cfc_verdict cfc_doctor_judge_space(uint64_t free_bytes, uint64_t total_bytes);
/* Modes and owners of a key folder's files, and that they belong together. */
void cfc_doctor_keys(struct cfc_doctor *doctor, const char *keys_dir);

/* ---- The network (doctor_net.c) ---------------------------------------------------------------
 */

/* There, up, multicast, with an address. */
void cfc_doctor_interface(struct cfc_doctor *doctor, const char *interface);
/* The interface's MTU, and that of the path to each engine of the fleet (NULL: only the first). */
void cfc_doctor_mtu(struct cfc_doctor *doctor, const char *interface,
                    const struct cfc_fleet *fleet);
/* Whether anybody on the segment sends IGMP queries (RFC 3376): without one, switches that snoop
 * forget who listens.  Asks by joining and leaving a group, which a querier answers with a query.
 * Needs CAP_NET_RAW. */
void cfc_doctor_querier(struct cfc_doctor *doctor, const char *interface);
/* Whether the fleet's beacons arrive: joins its control group and waits. */
void cfc_doctor_groups(struct cfc_doctor *doctor, const char *interface,
                       const struct cfc_fleet *fleet, uint64_t wait_ms);

#endif
