/* What an agent and the processes of its host say to each other: fixed-size messages over a
 * SOCK_SEQPACKET unix socket, and memfds that hold contents.
 *
 *     process                                   agent
 *     SUBSCRIBE token, path, content held  ->
 *                                          <-   STATE token ... (with a memfd when the content
 * served is not the one held)
 *                                          <-   ANSWER token, code
 *                                          <-   STATE, whenever something changed
 *                                          <-   ALIVE, every second
 *     REFUSED token, version, code         ->   the process's validator said no
 *
 * STATE is level-triggered: an agent that finds a process slow sends it the newest state when it
 * reads again, and none between.  Both ends run on one machine and are of one version of this
 * header: another magic is another version, and is hung up on.
 *
 * A memfd holds one content with its index, sealed against writing and resizing, so that it can be
 * used in place: struct cfc_share_content, the slots of the index, the body.  The agent has
 * verified and validated it; a process trusts it as it trusts the path of the socket, and checks
 * only what keeps its own accesses inside of the mapping. */
#ifndef CFC_CONSUMER_SHARE_WIRE_H
#define CFC_CONSUMER_SHARE_WIRE_H

#include <stdint.h>

#include "protocol/base/limits.h"

#define CFC_SHARE_MAGIC         UINT32_C(0x33524853) /* of messages */
#define CFC_SHARE_CONTENT_MAGIC UINT64_C(0x31544e4f43464331)

enum cfc_share_type {
    CFC_SHARE_SUBSCRIBE = 1,
    CFC_SHARE_REFUSED = 2,
    CFC_SHARE_ANSWER = 3,
    CFC_SHARE_STATE = 4,
    CFC_SHARE_ALIVE = 5, /* an agent that says nothing for three seconds is as good as gone */
};

enum {
    CFC_SHARE_IS_STALE = 1 << 0,
    CFC_SHARE_IS_CONTROL_SILENT = 1 << 1,
};

struct cfc_share_message {
    uint32_t magic;
    uint32_t type;  /* enum cfc_share_type */
    uint32_t token; /* the process's number of the subscription, below CFC_RECEIVER_SCOPES_MAX */
    int32_t code;   /* ANSWER: NOT_FOUND or OK; REFUSED: why; STATE: confcast_status.reason */
    uint64_t epoch;
    uint64_t serving; /* STATE: 0 = nothing is served, and `content` is zero */
    uint64_t accepted;
    uint64_t published;
    uint64_t durable;
    uint64_t fresh_unix_ns;
    uint32_t state; /* enum confcast_state */
    uint32_t flags;
    uint64_t activate_unix_ns; /* STATE: of struct cfc_served */
    uint64_t confirm_unix_ns;
    uint32_t phase;
    uint32_t reserved;
    uint8_t content[32];               /* SUBSCRIBE: held already, or zero; STATE: served */
    char path[CFC_SCOPE_SIZE_MAX + 1]; /* SUBSCRIBE: NUL-terminated */
};

struct cfc_share_content {
    uint64_t magic;
    uint64_t seed; /* of the index */
    uint64_t slots_offset;
    uint64_t body_offset;
    uint32_t line_count; /* of 64 bytes at slots_offset */
    uint32_t node_count;
    uint32_t body_size;
    uint32_t reserved;
    uint8_t content[32];
};

#endif
