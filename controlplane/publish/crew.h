/* A few threads that share the pieces of one job: coding and signing of a batch, whose pieces do
 * not touch each other.  Results go where the piece says, so that they do not depend on who did it
 * when.
 *
 * One thread runs jobs, and takes part; it comes back when all pieces are done.  Between jobs the
 * others sleep. */
#ifndef CFC_PUBLISH_CREW_H
#define CFC_PUBLISH_CREW_H

#include <stddef.h>
#include <stdint.h>

struct cfc_crew;

enum {
    CFC_CREW_SIZE_MAX = 4, /* threads, the caller's included */
};

/* The threads that a machine has processors for, up to CFC_CREW_SIZE_MAX. */
uint32_t cfc_crew_size_here(void);

/* `size` threads, 1..CFC_CREW_SIZE_MAX, the caller's included.  Threads that cannot be started are
 * done without.  NO_MEMORY. */
int cfc_crew_new(uint32_t size, struct cfc_crew **out);
void cfc_crew_free(struct cfc_crew *crew); /* NULL is fine; no job may run */

/* Calls fn for every piece 0..count-1, each once; `worker`, below CFC_CREW_SIZE_MAX, is the
 * thread's own for the time of the job.  NULL: the caller does all, as worker 0. */
void cfc_crew_run(struct cfc_crew *crew, size_t count,
                  void (*fn)(void *arg, uint32_t worker, size_t piece), void *arg);

#endif
