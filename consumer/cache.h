/* What a consumer keeps across restarts, in its state directory:
 *
 *     lock                    flock()ed by the one process that uses the directory
 *     floor                   mapped: per scope the accepted (epoch, version), written before the
 * swap, so that it survives the death of the process at once and power loss after the next sync
 *     heads/<scope id>        the HEAD frame accepted last
 *     serving/<scope id>      what is served: scope path, version, content digest
 *     contents/<digest>       bodies, checked against their digest when they are read
 *
 * Files are written beside their name, synced and renamed; a file is old or new, never half.  After
 * a failed fsync the same bytes are written to a new file (the page cache may claim to be clean).
 * One thread uses a cache at a time but for cfc_cache_commit(), which the background thread calls.
 */
#ifndef CFC_CONSUMER_CACHE_H
#define CFC_CONSUMER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/view.h"
#include "protocol/base/limits.h"
#include "protocol/trust/digest.h"

struct cfc_cache;

struct cfc_cache_config {
    const char *dir;
    uint64_t size_max; /* bytes of contents kept; what is served or named is never dropped */
};

/* Opens the directory, makes it (0700) when it is missing, and locks it.  BUSY: another process has
 * it.  AUTHORITY: it, or a file in it that must be ours, is owned by somebody else, writable by
 * others, or no regular file.  IO, NO_MEMORY. */
int cfc_cache_open(const struct cfc_cache_config *config, struct cfc_cache **out);
void cfc_cache_close(struct cfc_cache *cache); /* NULL is fine */

/* Opens it without the lock, for looking only. */
int cfc_cache_open_readonly(const char *dir, struct cfc_cache **out);

/* A number above every one that it gave before, and at least `unix_ns`: the incarnation of this
 * start. */
uint64_t cfc_cache_next_incarnation(struct cfc_cache *cache, uint64_t unix_ns);

/* The floor of a scope: CONFCAST_OK or NOT_FOUND. */
int cfc_cache_floor(struct cfc_cache *cache, uint64_t scope_id, uint64_t *epoch, uint64_t *version);

/* Raises the floor in the mapping: no system call, survives this process.  LIMIT: the page is full
 * (256 scopes). */
int cfc_cache_set_floor(struct cfc_cache *cache, uint64_t scope_id, uint64_t epoch,
                        uint64_t version);

/* The HEAD frame accepted last, into `frame` of `capacity` bytes.  NOT_FOUND, IO, LENGTH. */
int cfc_cache_head(struct cfc_cache *cache, uint64_t scope_id, uint8_t *frame, size_t capacity,
                   size_t *size);

struct cfc_cache_serving {
    char path[CFC_SCOPE_SIZE_MAX + 1];
    uint64_t epoch;
    uint64_t version;
    struct cfc_digest content;
};

int cfc_cache_serving(struct cfc_cache *cache, uint64_t scope_id, struct cfc_cache_serving *out);

bool cfc_cache_has_content(struct cfc_cache *cache, const struct cfc_digest *id);

/* Reads, checks and indexes a content.  NOT_FOUND; DIGEST: the file is damaged and was removed; IO,
 * NO_MEMORY. */
int cfc_cache_load(struct cfc_cache *cache, const struct cfc_digest *id, struct cfc_sha256 *sha,
                   struct cfc_loaded **out);

/* One accepted or served version, to be made durable. */
struct cfc_cache_job {
    uint64_t scope_id;
    struct cfc_cache_serving serving; /* version 0: nothing is served yet */
    struct cfc_loaded *loaded;        /* body of serving.content, or NULL */
    uint8_t head[CFC_FRAME_SIZE_MAX];
    size_t head_size; /* 0: leave the head file */
};

/* Writes content, head and serving files, syncs them, the folder and the floor.  CONFCAST_OK: all
 * of it survives power loss.  NO_SPACE, IO: the old files are whole; serving from memory goes on;
 * try again with the next version. */
int cfc_cache_commit(struct cfc_cache *cache, const struct cfc_cache_job *job);

/* Removes the contents that were written longest ago until size_max holds again; those in `keep`
 * stay. */
void cfc_cache_trim(struct cfc_cache *cache, const struct cfc_digest *keep, size_t keep_count);

#endif
