/* What fork() does to clients.
 *
 * A forked child has none of the threads that work for a client, so that a client is dead there:
 * its descriptors are closed in the child at once, lest the child hold the lock on the state
 * directory when its parent is gone.  Reader sections still work there, on what was served at the
 * moment of the fork, and the child may open clients of its own.
 *
 * RCU is told of every fork: fork() then waits for reader sections of other threads that hold up a
 * grace period.  A fork() inside a reader section cannot wait for itself: its child is frozen,
 * which means that it may read in the thread that it has, and nothing else. */
#ifndef CFC_CONSUMER_FORK_GUARD_H
#define CFC_CONSUMER_FORK_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>

struct confcast;

/* Has fork() look after this client from now on, and no longer.  RESOURCE: no memory for the
 * handlers. */
int cfc_fork_guard_add(struct confcast *client);
void cfc_fork_guard_remove(struct confcast *client);

/* Held while descriptors of a client change, so that no fork() happens then. */
void cfc_fork_guard_lock(void);
void cfc_fork_guard_unlock(void);

/* reader.c: held over fork(), so that no child finds it taken by a thread that it does not have. */
void cfc_reader_lock_keys(void);
void cfc_reader_unlock_keys(void);

/* Whether this is a child that was forked inside a reader section. */
bool cfc_fork_guard_is_frozen(void);

/* Clients that read through an agent go on in a child: their threads are started anew when the
 * child first reads or calls, so that a fork() before an exec() costs no thread. */
extern atomic_bool cfc_fork_is_pending;
void cfc_fork_guard_resume_now(void);

/* A fork() waits for the locks of all links: whose thread could take its lock anew stands back, so
 * that a busy one does not keep the fork waiting for ever. */
extern atomic_bool cfc_fork_is_wanted;

static inline void
cfc_fork_guard_resume(void)
{
    if (__builtin_expect(atomic_load_explicit(&cfc_fork_is_pending, memory_order_relaxed), 0)) {
        cfc_fork_guard_resume_now();
    }
}

#endif
