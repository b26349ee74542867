/* Tells the owner of an interface's XDP filter what this process wants (host.h): one direction,
 * over an abstract unix socket that bears the interface's index.
 *
 * A message that cannot be sent ends the connection, and the next one begins with everything, so
 * that the owner never knows half of it.  The thread of the host owns it. */
#ifndef CFC_CONSUMER_XDP_MEMBER_H
#define CFC_CONSUMER_XDP_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "consumer/xdp/wishes.h"

enum {
    CFC_XDP_RECORDS_MAX = 255,
    CFC_XDP_MESSAGE_MAGIC = 0x31584643, /* "CFX1" */
};

/* Everything in host order, since it is this host's. */
enum cfc_xdp_operation {
    CFC_XDP_WANT = 1,   /* value: scope id */
    CFC_XDP_UNWANT = 2, /* likewise */
    CFC_XDP_PIN_NONE = 3,
    CFC_XDP_PIN_NEEDED = 4, /* value: content key */
    CFC_XDP_PIN_HELD = 5,
};

struct cfc_xdp_record {
    uint32_t operation;
    uint32_t zero;
    uint64_t value;
};

/* One datagram: as many records as it counts. */
struct cfc_xdp_message {
    uint32_t magic;
    uint32_t count; /* 0..CFC_XDP_RECORDS_MAX */
    struct cfc_xdp_record records[CFC_XDP_RECORDS_MAX];
};

struct cfc_xdp_member {
    int fd; /* -1: nobody is told */
    struct cfc_xdp_message outbox;
};

/* The address that the owner of an interface's filter listens at; its size. */
socklen_t cfc_xdp_member_address(unsigned interface_idx, struct sockaddr_un *at);

void cfc_xdp_member_init(struct cfc_xdp_member *m);

/* Finds the owner, if there is one, and tells it all that `own` wants.  m->fd says whether. */
void cfc_xdp_member_join(struct cfc_xdp_member *m, unsigned interface_idx,
                         const struct cfc_xdp_party *own);
void cfc_xdp_member_leave(struct cfc_xdp_member *m);

/* The owner says nothing; that it is gone shows in the socket.  m->fd is one. */
bool cfc_xdp_member_is_alone(const struct cfc_xdp_member *m);

/* Notes what changed; flush() sends it.  Without an owner, nothing happens. */
void cfc_xdp_member_tell(struct cfc_xdp_member *m, enum cfc_xdp_operation operation,
                         uint64_t value);
void cfc_xdp_member_tell_pin(struct cfc_xdp_member *m, uint64_t key, uint32_t pin);
void cfc_xdp_member_flush(struct cfc_xdp_member *m);

#endif
