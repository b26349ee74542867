/* Who is at the other end of a connection of the API: a user of this host, by the kernel's word, or
 * an address.  Any thread. */
#ifndef CFC_API_CONNECTION_H
#define CFC_API_CONNECTION_H

#include <stdbool.h>
#include <sys/socket.h>

#include "controlplane/api/reaper.h"

enum {
    CFC_PEER_TEXT_SIZE = 64, /* bytes of an address as text, with its NUL */
};

/* A connection on `fd`, to be added to a reaper; on the heap (free).  `address` is its peer's, NULL
 * = unknown; `is_tls` what TCP speaks here.  NULL without memory. */
struct cfc_connection *cfc_connection_new(int fd, const struct sockaddr *address, bool is_tls);

/* The peer for a log line: an address, "unix", or NULL when it is not known.  `c` may be NULL. */
const char *cfc_connection_peer(const struct cfc_connection *c, char text[CFC_PEER_TEXT_SIZE]);

#endif
