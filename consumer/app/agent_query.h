/* `confcast-agent get` and `stats`: the running agent answers on a unix socket in its state
 * directory; without one the disk cache does. */
#ifndef CFC_AGENT_QUERY_H
#define CFC_AGENT_QUERY_H

#include <stddef.h>

#include "confcast/confcast.h"
#include "protocol/base/buffer.h"

/* Answers queries of other processes of this user from the client's views, one at a time, on a
 * thread of its own.  The state directory's lock must be held: a socket that lies there is a dead
 * agent's and is replaced. */
struct cfc_agent_server;

struct cfc_agent_server_config {
    const char *state_dir;
    struct confcast *client; /* whose counters to tell */
    struct confcast_scope *const *scopes;
    const char *const *paths; /* of the scopes */
    size_t scope_count;
};

/* IO, NO_MEMORY, RESOURCE. */
int cfc_agent_server_start(const struct cfc_agent_server_config *config,
                           struct cfc_agent_server **out);
void cfc_agent_server_stop(struct cfc_agent_server *server); /* NULL is fine */

/* The canonical JSON of `pointer` in what `scope` serves (or, with the empty scope, the agent's
 * counters: "stats" as JSON, "metrics" for Prometheus), in a buffer that the caller frees in any
 * case.  NOT_FOUND: no such scope or value here; INVALID: no JSON Pointer; CLOSED: no agent runs,
 * or it ended before it had answered; TIMEOUT, IO, NO_MEMORY. */
int cfc_agent_ask(const char *state_dir, const char *scope, const char *pointer,
                  struct cfc_buffer *json);

/* The same from the disk cache alone.  AUTHORITY: it is another user's. */
int cfc_agent_read_disk(const char *state_dir, const char *scope, const char *pointer,
                        struct cfc_buffer *json);

#endif
