/* A map from 64-bit keys to small numbers, of fixed size: open addressing with linear probing and
 * deletion by shifting back, so that it needs no tombstones and never degrades.  The hash is
 * seeded.  Nothing walks it: order must not follow a hash.  One thread owns it. */
#ifndef CFC_SESSION_KEY_MAP_H
#define CFC_SESSION_KEY_MAP_H

#include <stdint.h>

#include "protocol/base/alloc.h"

#define CFC_KEY_MAP_NONE UINT32_MAX

struct cfc_key_map {
    void *cells;      /* what the two below lie in; NULL = none */
    uint64_t *keys;   /* by cell */
    uint32_t *values; /* by cell; CFC_KEY_MAP_NONE: it is empty */
    uint32_t cell_mask;
    uint32_t count;
    uint32_t count_max;
    uint64_t seed;
};

/* Room for `count_max` keys, 1..2^29.  CONFCAST_OK or CONFCAST_ERR_NO_MEMORY. */
int cfc_key_map_init(struct cfc_key_map *map, uint32_t count_max, uint64_t seed,
                     const struct cfc_alloc *alloc);
/* Gives the cells back; fine on a zeroed map. */
void cfc_key_map_free(struct cfc_key_map *map, const struct cfc_alloc *alloc);

/* The value, or CFC_KEY_MAP_NONE. */
uint32_t cfc_key_map_get(const struct cfc_key_map *map, uint64_t key);

/* Adds the key or replaces its value.  A new key must find count < count_max (assert); value is not
 * CFC_KEY_MAP_NONE. */
void cfc_key_map_put(struct cfc_key_map *map, uint64_t key, uint32_t value);

/* Removes the key; nothing happens when it is not there. */
void cfc_key_map_remove(struct cfc_key_map *map, uint64_t key);

#endif
