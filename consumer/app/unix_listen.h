/* A listening unix socket at a path. */
#ifndef CFC_AGENT_UNIX_LISTEN_H
#define CFC_AGENT_UNIX_LISTEN_H

#include <sys/types.h>

struct cfc_unix_listener {
    int fd;
    int lock_fd; /* holds the lock of `path`.lock, a file that stays */
};

/* Makes a SOCK_SEQPACKET socket at `path` that takes connections, non-blocking.  A socket that lies
 * there and that nobody listens on is replaced.  Who listens holds a lock beside the path, so that
 * of several that start at once one gets it, and nobody's socket is unlinked by another.  INVALID:
 * the path is longer than 107 bytes.  BUSY: somebody listens there, or is about to.  IO: it is no
 * socket, or the path or its lock cannot be made.  RESOURCE.  On an error both descriptors are
 * -1. */
int cfc_unix_listen(const char *path, mode_t mode, int backlog, struct cfc_unix_listener *out);

/* Closes it and unlinks its path.  One that is not open, both -1, is fine. */
void cfc_unix_listen_close(struct cfc_unix_listener *listener, const char *path);

#endif
