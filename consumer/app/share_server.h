/* The agent's other face: contents and states for the processes of its host (share_wire.h), on a
 * thread of its own.  No process can hold it up: who does not read gets the newest state when it
 * does. */
#ifndef CFC_AGENT_SHARE_SERVER_H
#define CFC_AGENT_SHARE_SERVER_H

#include <sys/types.h>

#include "confcast/confcast.h"

enum {
    CFC_SHARE_PEERS_MAX = 1024
};

struct cfc_share_server;

/* Takes the seed of this process's indexes from STATE_DIR/seed, which it makes when it is not
 * there: so that processes whose keys are hashed find the contents of the next agent as fast.
 * Before anything is loaded; a failure costs only that. */
void cfc_share_adopt_seed(const char *state_dir);

struct cfc_share_server_config {
    const char *path; /* of the socket */
    mode_t mode;      /* of the socket: who may read everything */
    struct confcast *client;
    struct confcast_scope *const *scopes; /* all of the client's, in its order */
    const char *const *paths;             /* of them */
    size_t scope_count;
    void (*log)(void *arg, int level, const char *line); /* on the server's thread */
    void *log_arg;
};

/* A socket that lies at the path and that nobody listens on is replaced.  BUSY: somebody does.  IO:
 * the path cannot be made.  INVALID: it is longer than 107 bytes.  RESOURCE, NO_MEMORY. */
int cfc_share_server_start(const struct cfc_share_server_config *config,
                           struct cfc_share_server **out);
void cfc_share_server_stop(struct cfc_share_server *server); /* NULL is fine */

#endif
