/* A client that reads through the host's agent: a thread that keeps a connection to it, maps the
 * contents that it names and publishes them (share_wire.h).  While no agent is there, readers keep
 * what they have.
 *
 * The loop thread holds the link's lock but while it sleeps; fork() takes it, so that a child finds
 * everything whole and can go on. */
#ifndef CFC_CONSUMER_AGENT_LINK_H
#define CFC_CONSUMER_AGENT_LINK_H

#include <stdbool.h>

struct confcast;
struct confcast_scope;

/* Sets client->link.  INVALID: `path` is longer than 107 bytes.  NO_MEMORY. */
int cfc_agent_link_open(struct confcast *client, const char *path);
void cfc_agent_link_close(struct confcast *client); /* after the thread has ended */

/* The thread's function; takes the client. */
void *cfc_agent_link_run(void *client);

/* ---- On the loop thread ---- */

/* Adds a scope; what the agent serves is served when this returns, unless no agent answers within a
 * second, a reader is stalled, or this is inside of a callback: then it comes later.  NOT_FOUND:
 * this agent does not follow the scope.  LIMIT: more than 256. */
int cfc_agent_link_subscribe(struct confcast *client, struct confcast_scope *scope);
bool cfc_agent_link_is_up(const struct confcast *client);

/* ---- For fork_guard.c ---- */

/* Whether the lock is held now; the loop thread itself holds it already. */
bool cfc_agent_link_try_lock(struct confcast *client);
void cfc_agent_link_unlock(struct confcast *client);

/* In a child where it goes on no more: closes its descriptor. */
void cfc_agent_link_abandon(struct confcast *client);

/* In the child: makes the client ready for a thread of the child's.  False when its own thread
 * forked, in the middle of something: the client is dead then. */
bool cfc_agent_link_after_fork(struct confcast *client);
void cfc_agent_link_resume(struct confcast *client); /* starts that thread, if there is none */

#endif
