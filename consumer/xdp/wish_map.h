/* How many processes want something of a key: a hash table from scopes or contents to two counts.
 *
 * Keys are others' choice, so the hash has a secret seed.  A map that is all zero but for `seed`
 * and `count_max` is empty; it allocates with its first key.  One thread owns a map. */
#ifndef CFC_CONSUMER_XDP_WISH_MAP_H
#define CFC_CONSUMER_XDP_WISH_MAP_H

#include <stdint.h>

struct cfc_wish {
    uint64_t key;
    uint32_t needed; /* by so many */
    uint32_t held;   /* likewise; both 0: no key is here */
};

struct cfc_wish_map {
    struct cfc_wish *wishes;
    uint32_t room; /* of wishes: a power of two, or 0 */
    uint32_t count;
    uint32_t count_max;
    uint64_t seed; /* random */
};

/* NULL when it is not there. */
struct cfc_wish *cfc_wish_map_find(const struct cfc_wish_map *map, uint64_t key);

/* Changes the counts of a key, which comes with the first and goes with the last.  The caller takes
 * away only what it added.  RESOURCE: count_max keys are there; NO_MEMORY.  Then nothing changed; a
 * key that is there already never fails. */
int cfc_wish_map_add(struct cfc_wish_map *map, uint64_t key, int needed, int held);

/* The first wish from *at on, which moves there; NULL: none is left.  To go on, raise *at by one,
 * or leave it as it is if that wish was taken away. */
const struct cfc_wish *cfc_wish_map_next(const struct cfc_wish_map *map, uint32_t *at);

/* Frees what it holds; it is empty then. */
void cfc_wish_map_clear(struct cfc_wish_map *map);

#endif
