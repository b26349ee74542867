#include "consumer/xdp/wish_map.h"

#include <stdbool.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"

enum {
    ROOM_MIN = 64
};

static bool
is_free(const struct cfc_wish *wish)
{
    return wish->needed == 0 && wish->held == 0;
}

static uint32_t
home_of(const struct cfc_wish_map *map, uint64_t key)
{
    return (uint32_t)XXH3_64bits_withSeed(&key, sizeof(key), map->seed) & (map->room - 1);
}

/* Where the key is, or the free place where it would be. */
static uint32_t
place_of(const struct cfc_wish_map *map, uint64_t key)
{
    uint32_t i = home_of(map, key);

    while (!is_free(&map->wishes[i]) && map->wishes[i].key != key) {
        i = (i + 1) & (map->room - 1);
    }
    return i;
}

struct cfc_wish *
cfc_wish_map_find(const struct cfc_wish_map *map, uint64_t key)
{
    uint32_t i;

    if (map->room == 0) {
        return NULL;
    }
    i = place_of(map, key);
    return is_free(&map->wishes[i]) ? NULL : &map->wishes[i];
}

/* Half of it stays free. */
static int
make_room(struct cfc_wish_map *map)
{
    struct cfc_wish_map grown = *map;

    if (map->count == map->count_max) {
        return CONFCAST_ERR_RESOURCE;
    }
    if (2 * (map->count + 1) <= map->room) {
        return CONFCAST_OK;
    }
    grown.room = map->room == 0 ? ROOM_MIN : 2 * map->room;
    grown.wishes = calloc(grown.room, sizeof(*grown.wishes));
    if (grown.wishes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < map->room; i++) {
        if (!is_free(&map->wishes[i])) {
            grown.wishes[place_of(&grown, map->wishes[i].key)] = map->wishes[i];
        }
    }
    free(map->wishes);
    *map = grown;
    return CONFCAST_OK;
}

/* Those behind it that are not at home move up, so that no search ends at the gap. */
static void
close_gap(struct cfc_wish_map *map, uint32_t gap)
{
    const uint32_t mask = map->room - 1;

    for (uint32_t i = (gap + 1) & mask; !is_free(&map->wishes[i]); i = (i + 1) & mask) {
        uint32_t home = home_of(map, map->wishes[i].key);

        if (((i - home) & mask) >= ((i - gap) & mask)) {
            map->wishes[gap] = map->wishes[i];
            map->wishes[i] = (struct cfc_wish){.key = 0};
            gap = i;
        }
    }
    map->count--;
}

int
cfc_wish_map_add(struct cfc_wish_map *map, uint64_t key, int needed, int held)
{
    struct cfc_wish *wish = cfc_wish_map_find(map, key);

    if (wish == NULL) {
        int error = make_room(map);

        if (error != CONFCAST_OK) {
            return error;
        }
        wish = &map->wishes[place_of(map, key)];
        wish->key = key;
        map->count++;
    }
    wish->needed += (uint32_t)needed;
    wish->held += (uint32_t)held;
    if (is_free(wish)) {
        close_gap(map, (uint32_t)(wish - map->wishes));
    }
    return CONFCAST_OK;
}

const struct cfc_wish *
cfc_wish_map_next(const struct cfc_wish_map *map, uint32_t *at)
{
    while (*at < map->room && is_free(&map->wishes[*at])) {
        ++*at;
    }
    return *at < map->room ? &map->wishes[*at] : NULL;
}

void
cfc_wish_map_clear(struct cfc_wish_map *map)
{
    free(map->wishes);
    map->wishes = NULL;
    map->room = 0;
    map->count = 0;
}
