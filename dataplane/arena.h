/* The memory that the control plane shares: sealed memfds, mapped read-only, and how many contents
 * of each the engine still holds.  Knows nothing of sockets, ports or the protocol's sender.  One
 * thread owns a table.
 *
 * A content is *held* in the arena of every CONTENT that named it in the present connection, and
 * its bytes stay mapped through the one that was used.  After the control plane came back it hands
 * over the same contents in new arenas: the bytes in use stay the old ones until the content is
 * released, and the new arena is held beside them, so that its release means the same to the
 * control plane either way. */
#ifndef CFC_DATAPLANE_ARENA_H
#define CFC_DATAPLANE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_ARENAS_MAX = 1024, /* mapped at a time */
    CFC_ARENA_NONE = UINT32_MAX
};

#define CFC_ARENA_SIZE_MAX (UINT64_C(1) << 36)

struct cfc_arena {
    uint64_t number;      /* the control plane's; 0 is as good as any */
    uint64_t connection;  /* that brought it */
    const uint8_t *bytes; /* NULL: this place in the table is free */
    uint64_t size;
    uint32_t held_count; /* contents held in it */
};

/* For ports that must know of memory before they send from it.  Either may be NULL. */
struct cfc_arena_hooks {
    void (*mapped)(void *ctx, const uint8_t *bytes, uint64_t size);
    void (*unmapping)(void *ctx, const uint8_t *bytes, uint64_t size);
    void *ctx;
};

struct cfc_arenas {
    struct cfc_arena_hooks hooks;
    uint64_t connection; /* the present one */
    struct cfc_arena table[CFC_ARENAS_MAX];
};

void cfc_arenas_init(struct cfc_arenas *a, const struct cfc_arena_hooks *hooks);

/* Unmaps everything: nothing may be in flight any more. */
void cfc_arenas_close(struct cfc_arenas *a);

/* A new connection: its arena numbers mean other arenas.  What no content is held in goes. */
void cfc_arenas_begin_connection(struct cfc_arenas *a);

/* Checks and maps a memfd.  `fd` stays the caller's, who closes it in every case: the mapping keeps
 * the memory.  EXISTS: the number was used in this connection; INVALID: not sealed against
 * shrinking, growing and writing (F_SEAL_FUTURE_WRITE is enough: who made it may add to it), or not
 * `size` bytes; LIMIT: size 0 or above CFC_ARENA_SIZE_MAX,
 * or the table is full; RESOURCE: the mapping failed.  Refuse the arena; the table is unchanged. */
int cfc_arenas_add(struct cfc_arenas *a, uint64_t number, int fd, uint64_t size, uint32_t *idx);

/* An arena of this connection.  NOT_FOUND. */
int cfc_arenas_find(const struct cfc_arenas *a, uint64_t number, uint32_t *idx);

/* `size` bytes at `offset`, or NULL when they do not lie inside the arena. */
const uint8_t *cfc_arena_range(const struct cfc_arenas *a, uint32_t idx, uint64_t offset,
                               uint64_t size);

void cfc_arenas_hold(struct cfc_arenas *a, uint32_t idx);

/* Lets go of one content.  With the last one the arena is unmapped; then true is returned and
 * *number set if the control plane of this connection is to be told. */
bool cfc_arenas_release(struct cfc_arenas *a, uint32_t idx, uint64_t *number);

/* Bytes mapped. */
uint64_t cfc_arenas_size(const struct cfc_arenas *a);

#endif
