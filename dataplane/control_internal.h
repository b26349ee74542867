/* What control.c (the socket) and control_apply.c (the messages) share. */
#ifndef CFC_DATAPLANE_CONTROL_INTERNAL_H
#define CFC_DATAPLANE_CONTROL_INTERNAL_H

#include "dataplane/control.h"
#include "dataplane/ledger.h"

enum {
    CFC_CONTROL_NO_FD = -1
};

struct cfc_control {
    struct cfc_control_config config;
    struct cfc_control_stats stats;
    struct cfc_arenas arenas;
    struct cfc_ledger *ledger;
    int listen_fd;
    int fd; /* the control plane, or CFC_CONTROL_NO_FD */
    bool has_hello;
    uint64_t stats_due_ns;
    size_t unsent_size; /* a packet that the socket did not take yet; 0: none */
    uint8_t unsent[CFC_HANDOFF_SIZE_MAX];
    uint8_t packet[CFC_HANDOFF_SIZE_MAX];
    /* Small answers that wait for the socket, oldest first. */
    uint32_t answer_first;
    uint32_t answer_count;
    struct cfc_handoff answers[256];
};

/* Applies one message.  `fd` is the descriptor that came with it or CFC_CONTROL_NO_FD, and stays
 * the caller's.  CONFCAST_OK also when the message was refused to the control plane; an error when
 * the connection cannot go on. */
int cfc_control_apply(struct cfc_control *c, const struct cfc_handoff *message, int fd,
                      const struct cfc_now *now);

/* Books a released slot and tells the control plane of arenas that became free. */
void cfc_control_slot_released(struct cfc_control *c, uint32_t slot);

/* Queues RELEASE_ARENA or REFUSED.  A control plane that does not read its answers while it sends
 * fills the queue: false then, and the connection cannot go on. */
bool cfc_control_answer(struct cfc_control *c, const struct cfc_handoff *message);

#endif
