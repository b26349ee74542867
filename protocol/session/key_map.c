#include "protocol/session/key_map.h"

#include <assert.h>
#include <stddef.h>

#include "confcast/error.h"

int
cfc_key_map_init(struct cfc_key_map *map, uint32_t count_max, uint64_t seed,
                 const struct cfc_alloc *alloc)
{
    uint32_t cell_count = 4;

    assert(count_max >= 1 && count_max <= (1u << 29));
    while (cell_count < count_max * 2) {
        cell_count *= 2;
    }
    map->cells = cfc_alloc(alloc, cell_count * (sizeof(map->keys[0]) + sizeof(map->values[0])));
    if (map->cells == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    map->keys = map->cells;
    map->values = (uint32_t *)(map->keys + cell_count);
    for (uint32_t i = 0; i < cell_count; i++) {
        map->values[i] = CFC_KEY_MAP_NONE;
    }
    map->cell_mask = cell_count - 1;
    map->count = 0;
    map->count_max = count_max;
    map->seed = seed;
    return CONFCAST_OK;
}

void
cfc_key_map_free(struct cfc_key_map *map, const struct cfc_alloc *alloc)
{
    cfc_free(alloc, map->cells);
    map->cells = NULL;
}

/* The finaliser of MurmurHash3 (Appleby): every bit of the key moves every bit of the place. */
static uint32_t
home_of(const struct cfc_key_map *map, uint64_t key)
{
    uint64_t h = key ^ map->seed;

    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(h ^ (h >> 33)) & map->cell_mask;
}

/* The cell of a key, or the empty one where it would be. */
static uint32_t
find(const struct cfc_key_map *map, uint64_t key)
{
    uint32_t i = home_of(map, key);

    while (map->values[i] != CFC_KEY_MAP_NONE && map->keys[i] != key) {
        i = (i + 1) & map->cell_mask;
    }
    return i;
}

uint32_t
cfc_key_map_get(const struct cfc_key_map *map, uint64_t key)
{
    return map->values[find(map, key)];
}

void
cfc_key_map_put(struct cfc_key_map *map, uint64_t key, uint32_t value)
{
    uint32_t cell = find(map, key);

    assert(value != CFC_KEY_MAP_NONE);
    if (map->values[cell] == CFC_KEY_MAP_NONE) {
        assert(map->count < map->count_max);
        map->count++;
    }
    map->keys[cell] = key;
    map->values[cell] = value;
}

void
cfc_key_map_remove(struct cfc_key_map *map, uint64_t key)
{
    uint32_t hole = find(map, key);

    if (map->values[hole] == CFC_KEY_MAP_NONE) {
        return;
    }
    map->count--;
    for (uint32_t i = (hole + 1) & map->cell_mask; map->values[i] != CFC_KEY_MAP_NONE;
         i = (i + 1) & map->cell_mask) {
        uint32_t home = home_of(map, map->keys[i]);

        /* A cell may fill the hole unless its home lies behind the hole. */
        if (((i - home) & map->cell_mask) >= ((i - hole) & map->cell_mask)) {
            map->keys[hole] = map->keys[i];
            map->values[hole] = map->values[i];
            hole = i;
        }
    }
    map->values[hole] = CFC_KEY_MAP_NONE;
}
