/* A listening unix socket at a path. */
#ifndef CFC_AGENT_UNIX_LISTEN_H
#define CFC_AGENT_UNIX_LISTEN_H

#include <sys/types.h>

/* Makes a SOCK_SEQPACKET socket at `path` that takes connections, non-blocking, and puts it into
 * *fd: the caller's, who unlinks the path as well.  A socket that lies there and that nobody
 * listens on is replaced.  INVALID: the path is longer than 107 bytes.  BUSY: somebody listens
 * there.  IO: it is no socket, or the path cannot be made.  RESOURCE.  On an error *fd is -1. */
int cfc_unix_listen(const char *path, mode_t mode, int backlog, int *fd);

#endif
