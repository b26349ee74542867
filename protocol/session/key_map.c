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
    map->cells = cfc_alloc(alloc, cell_count * sizeof(map->cells[0]));
    if (map->cells == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < cell_count; i++) {
        map->cells[i] = (struct cfc_key_map_cell){.key = 0, .value = CFC_KEY_MAP_NONE};
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

static struct cfc_key_map_cell *
find(const struct cfc_key_map *map, uint64_t key)
{
    uint32_t i = home_of(map, key);

    while (map->cells[i].value != CFC_KEY_MAP_NONE && map->cells[i].key != key) {
        i = (i + 1) & map->cell_mask;
    }
    return &map->cells[i];
}

uint32_t
cfc_key_map_get(const struct cfc_key_map *map, uint64_t key)
{
    return find(map, key)->value;
}

void
cfc_key_map_put(struct cfc_key_map *map, uint64_t key, uint32_t value)
{
    struct cfc_key_map_cell *cell = find(map, key);

    assert(value != CFC_KEY_MAP_NONE);
    if (cell->value == CFC_KEY_MAP_NONE) {
        assert(map->count < map->count_max);
        map->count++;
    }
    *cell = (struct cfc_key_map_cell){.key = key, .value = value};
}

void
cfc_key_map_remove(struct cfc_key_map *map, uint64_t key)
{
    struct cfc_key_map_cell *cell = find(map, key);
    uint32_t hole = (uint32_t)(cell - map->cells);

    if (cell->value == CFC_KEY_MAP_NONE) {
        return;
    }
    map->count--;
    for (uint32_t i = (hole + 1) & map->cell_mask; map->cells[i].value != CFC_KEY_MAP_NONE;
         i = (i + 1) & map->cell_mask) {
        uint32_t home = home_of(map, map->cells[i].key);

        /* A cell may fill the hole unless its home lies behind the hole. */
        if (((i - home) & map->cell_mask) >= ((i - hole) & map->cell_mask)) {
            map->cells[hole] = map->cells[i];
            hole = i;
        }
    }
    map->cells[hole].value = CFC_KEY_MAP_NONE;
}
