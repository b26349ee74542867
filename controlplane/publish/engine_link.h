/* One connection to an engine's control socket: packets out with descriptors, packets in.  One
 * thread owns a link. */
#ifndef CFC_PUBLISH_ENGINE_LINK_H
#define CFC_PUBLISH_ENGINE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/handoff/handoff.h"

struct cfc_engine_link {
    int fd; /* -1 = not connected */
    size_t packet_size;
    size_t packet_at; /* its next message; packet_size = none is left */
    uint8_t
        packet[CFC_HANDOFF_SIZE_MAX]; /* the last packet received; decoded messages point into it */
};

void cfc_engine_link_init(struct cfc_engine_link *link);

/* CONFCAST_OK; NOT_FOUND: nobody listens there (yet); BUSY: the engine has another control plane;
 * INVALID: the path is too long; IO. */
int cfc_engine_link_connect(struct cfc_engine_link *link, const char *path);
void cfc_engine_link_close(struct cfc_engine_link *link); /* closed already is fine */
bool cfc_engine_link_is_open(const struct cfc_engine_link *link);

/* Sends one message, with a descriptor unless `fd` is -1 (which stays the caller's).  Waits at most
 * two seconds for a slow engine. CLOSED: the engine is gone or stuck, and the link was closed; hand
 * over everything again after a reconnection. */
int cfc_engine_link_send(struct cfc_engine_link *link, const struct cfc_handoff *message, int fd);

/* The next message, without waiting.  AGAIN: none; CLOSED: the engine is gone or sent rubbish, and
 * the link was closed. */
int cfc_engine_link_receive(struct cfc_engine_link *link, struct cfc_handoff *message);

#endif
