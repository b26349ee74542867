/* The floor page: what must never fall, in one small file.  Per scope the accepted (epoch, version)
 * of up to 1,024 scopes that this directory has seen, the incarnation of the last start, and the
 * highest sequence of the fleet file.
 *
 * Raising is one write of a 32-byte record to the page cache: it survives the death of the process
 * at once, and power loss after the next sync.  Each scope has two records that are written in
 * turn, each with a checksum, so that one torn by power loss leaves the other.  The page lives in
 * memory as well: a disk that fails costs durability and nothing else in this process.  After a
 * failed write or sync the whole page goes to a new file, since the old one's pages may count as
 * clean.
 *
 * Any thread; sync may block on the disk, raise does not wait for it. */
#ifndef CFC_CONSUMER_CACHE_FLOOR_H
#define CFC_CONSUMER_CACHE_FLOOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CFC_FLOOR_SCOPES_MAX = 1024
};

struct cfc_floor {
    int dir_fd; /* borrowed */
    int fd;     /* -1: the file system takes no writes */
    pthread_mutex_t lock;
    uint8_t *page; /* NULL when closed */
    bool must_rewrite;
};

/* Reads the file "floor" of a directory, which must outlive it, or makes it (durably) when it is
 * missing.  A read-only file system is fine: raising then says IO.  CORRUPT: damaged, and nothing
 * may be accepted on top of it, since the floor is lost; the operator removes the state directory.
 * AUTHORITY: it belongs to another fleet, or the file is not ours alone.  NO_SPACE, IO, NO_MEMORY.
 */
int cfc_floor_open(struct cfc_floor *floor, int dir_fd, const char *fleet);
void cfc_floor_close(struct cfc_floor *floor); /* fine on one that is all zero */

/* CONFCAST_OK or NOT_FOUND. */
int cfc_floor_get(struct cfc_floor *floor, uint64_t scope_id, uint64_t *epoch, uint64_t *version);

/* Never lowers: the higher of both is kept, epoch and version apart.  LIMIT: the page is full, and
 * nothing changed.  NO_SPACE, IO: it is raised in memory, and in the file at the next sync that
 * succeeds. */
int cfc_floor_raise(struct cfc_floor *floor, uint64_t scope_id, uint64_t epoch, uint64_t version);

/* The highest fleet sequence seen: gives the one before in *before, and keeps the higher.  Errors
 * are those of raise. */
int cfc_floor_raise_fleet(struct cfc_floor *floor, uint64_t sequence, uint64_t *before);

/* A number above every one given before and at least `at_least`. */
uint64_t cfc_floor_next_incarnation(struct cfc_floor *floor, uint64_t at_least);

/* Power loss cannot take back what was raised before this call.  NO_SPACE, IO: try again later. */
int cfc_floor_sync(struct cfc_floor *floor);

#endif
