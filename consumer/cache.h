/* What a consumer keeps across restarts, in its state directory, which is flock()ed by the one
 * process that uses it:
 *
 *     floor                   what must never fall: cache_floor.h
 *     heads/<scope id>        the HEAD frame accepted last
 *     serving/<scope id>      what is served: scope path, epoch, version, apply state,
 *                             content digest, checksum
 *     contents/<digest>       bodies, checked against their digest when they are read
 *     trials                  contents that are on trial, and the good ones: trials.h
 *
 * Files are written beside their name, synced and renamed; a file is old or new, never half.  A
 * directory on a file system that has become read-only can still be opened and read: what it holds
 * is served, and every commit says IO.
 *
 * Two threads use a cache: the client's loop opens, loads and raises floors; the persister stores,
 * commits and trims. */
#ifndef CFC_CONSUMER_CACHE_H
#define CFC_CONSUMER_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "consumer/cache_floor.h"
#include "consumer/trials.h"
#include "consumer/view.h"
#include "protocol/base/limits.h"
#include "protocol/trust/digest.h"

enum {
    CFC_CACHE_CONTENTS_MAX = 4096 /* files; beyond it the oldest go, whatever their size */
};

struct cfc_cache;

struct cfc_cache_config {
    const char *dir;
    const char *fleet; /* the fleet's name: a directory belongs to one fleet */
    uint64_t size_max; /* bytes of contents kept; what a head or a scope names is never dropped */
    uint32_t strikes_max; /* trials.h; 0 = the default */
};

/* Opens the directory, makes it (0700) when it is missing, and locks it.  BUSY: another process has
 * it.  AUTHORITY: it, or a file in it that must be ours, is owned by somebody else, writable by
 * others, a link or no regular file, or of another fleet.  CORRUPT: the floor is damaged.
 * NOT_FOUND: its parent is not there.  NO_SPACE, IO, NO_MEMORY. */
int cfc_cache_open(const struct cfc_cache_config *config, struct cfc_cache **out);
void cfc_cache_close(struct cfc_cache *cache); /* NULL is fine */

/* Gives up the lock in a forked child, which would otherwise hold it when its parent is gone.  The
 * cache is of no use there afterwards.  Async-signal-safe. */
void cfc_cache_abandon(struct cfc_cache *cache);

/* Opens it without lock and floor, for looking only: serving and load work.  NOT_FOUND, AUTHORITY,
 * IO, NO_MEMORY. */
int cfc_cache_open_readonly(const char *dir, struct cfc_cache **out);

struct cfc_floor *cfc_cache_floor(struct cfc_cache *cache);
struct cfc_trials *cfc_cache_trials(struct cfc_cache *cache); /* may be NULL, which it takes */

/* The HEAD frame accepted last, into `frame` of `capacity` bytes.  NOT_FOUND, AUTHORITY, LIMIT, IO,
 * NO_MEMORY. */
int cfc_cache_head(struct cfc_cache *cache, uint64_t scope_id, uint8_t *frame, size_t capacity,
                   size_t *size);

struct cfc_cache_serving {
    char path[CFC_SCOPE_SIZE_MAX + 1];
    uint64_t epoch;
    uint64_t version; /* 0 = nothing is served yet */
    uint8_t state;    /* enum cfc_apply_state of its SERVE */
    struct cfc_digest content;
};

/* CORRUPT: the file is damaged; else as for head. */
int cfc_cache_serving(struct cfc_cache *cache, uint64_t scope_id, struct cfc_cache_serving *out);

/* Reads, checks and indexes a content.  NOT_FOUND; DIGEST: the file is damaged, and removed unless
 * opened for looking only; AUTHORITY, LIMIT, IO, NO_MEMORY. */
int cfc_cache_load(struct cfc_cache *cache, const struct cfc_digest *id, struct cfc_sha256 *sha,
                   struct cfc_loaded **out);

/* Writes a content unless it is there already, durably.  NO_SPACE, IO. */
int cfc_cache_store(struct cfc_cache *cache, struct cfc_loaded *loaded);

/* One accepted or served version, to be made durable. */
struct cfc_cache_job {
    uint64_t scope_id;
    struct cfc_cache_serving serving; /* version 0: leave the serving file */
    struct cfc_loaded *loaded;        /* body of serving.content */
    uint8_t head[CFC_FRAME_SIZE_MAX];
    size_t head_size; /* 0: leave the head file */
};

/* Writes the content, syncs the floor, writes the head and serving files, and syncs them and their
 * folders, in this order.  CONFCAST_OK: all of it survives power loss.  NO_SPACE, IO, NO_MEMORY:
 * the old files are whole; serving from memory goes on; try again later. */
int cfc_cache_commit(struct cfc_cache *cache, const struct cfc_cache_job *job);

/* Removes the contents that were written longest ago until size_max and CFC_CACHE_CONTENTS_MAX hold
 * again; those that a head or serving file of the directory names stay, and the good ones. */
void cfc_cache_trim(struct cfc_cache *cache);

#endif
