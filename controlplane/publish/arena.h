/* Makes a sealed memfd.  One thread owns an arena. */
#ifndef CFC_PUBLISH_ARENA_H
#define CFC_PUBLISH_ARENA_H

#include "controlplane/publish/coded_set.h"

/* A new arena of `size` > 0 bytes that `fill` writes.  RESOURCE: no descriptor or no memory for it;
 * NO_MEMORY; or what `fill` returned. Afterwards nobody can change the bytes: writing, growing and
 * shrinking are sealed (memfd_create(2)). */
int cfc_arena_new(size_t size, int (*fill)(void *arg, uint8_t *bytes), void *arg,
                  struct cfc_arena **out);

/* An empty arena to add to: `size` bytes of room.  Nobody but the holder of `room` can write to it
 * (F_SEAL_FUTURE_WRITE, Linux 5.1).  Errors as above; RESOURCE on an older kernel. */
int cfc_arena_open(size_t size, struct cfc_arena **out);
/* Nothing is added any more. */
void cfc_arena_end(struct cfc_arena *arena);

/* Unmaps and closes; what the engine mapped lives on there.  NULL is fine. */
void cfc_arena_free(struct cfc_arena *arena);

#endif
