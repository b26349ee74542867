/* The inside of a cache, for cache*.c.  Nobody else includes this. */
#ifndef CFC_CONSUMER_CACHE_STATE_H
#define CFC_CONSUMER_CACHE_STATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "consumer/cache.h"
#include "consumer/cache_floor.h"

enum {
    CFC_CACHE_NAME_SIZE = 65, /* a digest in hex */
    CFC_CATALOG_WORDS = 1024,
};

/* What of the folder of contents is known without looking at it: whether a content is surely not
 * there, and how large all are at the most.  The persister writes it, once the cache is open. */
struct cfc_catalog {
    /* A bit for each content there, chosen by its digest; contents may share one, and a bit may
     * outlive what it is for. */
    atomic_uint words[CFC_CATALOG_WORDS];
    uint64_t size_max; /* no more bytes than these; UINT64_MAX: not counted yet */
    uint64_t count_max;
};

struct cfc_cache {
    uint64_t size_max;
    int dir_fd; /* holds the lock */
    int heads_fd;
    int serving_fd;
    int contents_fd;
    bool is_readonly;
    bool is_contents_dirty; /* the persister's: the folder has names that were not synced */
    struct cfc_floor floor;
    struct cfc_trials *trials;
    struct cfc_catalog catalog;
};

/* ---- cache_catalog.c ---- */

/* Reads the names in the folder; unless all of them could be read, anything may be there. */
void cfc_catalog_open(struct cfc_catalog *catalog, int contents_fd);

/* A content is about to be written. */
void cfc_catalog_add(struct cfc_catalog *catalog, const struct cfc_digest *id, uint64_t size);

/* These are all that is there. */
void cfc_catalog_set(struct cfc_catalog *catalog, const struct cfc_digest *ids, size_t id_stride,
                     size_t count, uint64_t size);

/* False: the content is not there.  Any thread. */
bool cfc_catalog_may_have(const struct cfc_catalog *catalog, const struct cfc_digest *id);

/* ---- cache.c ---- */

/* The file of a content, and back; false for a name that is none. */
void cfc_cache_content_name(const struct cfc_digest *id, char name[CFC_CACHE_NAME_SIZE]);
bool cfc_cache_content_parse(const char *name, struct cfc_digest *id);

/* As cfc_cache_head() and cfc_cache_serving(), by the name of the file. */
int cfc_cache_read_head(struct cfc_cache *cache, const char *name, uint8_t *frame, size_t capacity,
                        size_t *size);
int cfc_cache_read_serving(struct cfc_cache *cache, const char *name,
                           struct cfc_cache_serving *out);

#endif
