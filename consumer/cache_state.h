/* The inside of a cache, for cache.c and cache_trim.c.  Nobody else includes this. */
#ifndef CFC_CONSUMER_CACHE_STATE_H
#define CFC_CONSUMER_CACHE_STATE_H

#include <stdbool.h>

#include "consumer/cache.h"
#include "consumer/cache_floor.h"

enum {
    CFC_CACHE_NAME_SIZE = 65 /* a digest in hex */
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
};

/* The file of a content, and back; false for a name that is none. */
void cfc_cache_content_name(const struct cfc_digest *id, char name[CFC_CACHE_NAME_SIZE]);
bool cfc_cache_content_parse(const char *name, struct cfc_digest *id);

/* As cfc_cache_head() and cfc_cache_serving(), by the name of the file. */
int cfc_cache_read_head(struct cfc_cache *cache, const char *name, uint8_t *frame, size_t capacity,
                        size_t *size);
int cfc_cache_read_serving(struct cfc_cache *cache, const char *name,
                           struct cfc_cache_serving *out);

#endif
