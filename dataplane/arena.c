#include "dataplane/arena.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "confcast/error.h"

void
cfc_arenas_init(struct cfc_arenas *a, const struct cfc_arena_hooks *hooks)
{
    memset(a, 0, sizeof(*a));
    a->hooks = *hooks;
}

static void
unmap(struct cfc_arenas *a, struct cfc_arena *arena)
{
    int rc;

    if (a->hooks.unmapping != NULL) {
        a->hooks.unmapping(a->hooks.ctx, arena->bytes, arena->size);
    }
    rc = munmap((void *)(uintptr_t)arena->bytes, arena->size);
    assert(rc == 0);
    (void)rc;
    memset(arena, 0, sizeof(*arena));
}

void
cfc_arenas_close(struct cfc_arenas *a)
{
    for (uint32_t i = 0; i < CFC_ARENAS_MAX; i++) {
        if (a->table[i].bytes != NULL) {
            unmap(a, &a->table[i]);
        }
    }
}

void
cfc_arenas_begin_connection(struct cfc_arenas *a)
{
    a->connection++;
    for (uint32_t i = 0; i < CFC_ARENAS_MAX; i++) {
        if (a->table[i].bytes != NULL && a->table[i].held_count == 0) {
            unmap(a, &a->table[i]);
        }
    }
}

static int
check_memory(int fd, uint64_t size)
{
    const int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    if (size == 0 || size > CFC_ARENA_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (seals < 0 || (seals & wanted) != wanted ||
        (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0) {
        return CONFCAST_ERR_INVALID;
    }
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != size) {
        return CONFCAST_ERR_INVALID;
    }
    return CONFCAST_OK;
}

int
cfc_arenas_add(struct cfc_arenas *a, uint64_t number, int fd, uint64_t size, uint32_t *idx)
{
    struct cfc_arena *arena = NULL;
    void *bytes;
    int rc;

    if (cfc_arenas_find(a, number, idx) == CONFCAST_OK) {
        return CONFCAST_ERR_EXISTS;
    }
    rc = check_memory(fd, size);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (uint32_t i = 0; arena == NULL && i < CFC_ARENAS_MAX; i++) {
        if (a->table[i].bytes == NULL) {
            arena = &a->table[i];
            *idx = i;
        }
    }
    if (arena == NULL) {
        return CONFCAST_ERR_LIMIT;
    }
    bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        return CONFCAST_ERR_RESOURCE;
    }
    *arena = (struct cfc_arena){
        .number = number, .connection = a->connection, .bytes = bytes, .size = size};
    if (a->hooks.mapped != NULL) {
        a->hooks.mapped(a->hooks.ctx, bytes, size);
    }
    return CONFCAST_OK;
}

int
cfc_arenas_find(const struct cfc_arenas *a, uint64_t number, uint32_t *idx)
{
    for (uint32_t i = 0; i < CFC_ARENAS_MAX; i++) {
        const struct cfc_arena *arena = &a->table[i];

        if (arena->bytes != NULL && arena->connection == a->connection && arena->number == number) {
            *idx = i;
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_NOT_FOUND;
}

const uint8_t *
cfc_arena_range(const struct cfc_arenas *a, uint32_t idx, uint64_t offset, uint64_t size)
{
    const struct cfc_arena *arena = &a->table[idx];

    assert(idx < CFC_ARENAS_MAX && arena->bytes != NULL);
    if (offset > arena->size || size > arena->size - offset) {
        return NULL;
    }
    return arena->bytes + offset;
}

void
cfc_arenas_hold(struct cfc_arenas *a, uint32_t idx)
{
    assert(idx < CFC_ARENAS_MAX && a->table[idx].bytes != NULL);
    a->table[idx].held_count++;
}

bool
cfc_arenas_release(struct cfc_arenas *a, uint32_t idx, uint64_t *number)
{
    struct cfc_arena *arena = &a->table[idx];
    bool is_present;

    assert(idx < CFC_ARENAS_MAX && arena->bytes != NULL && arena->held_count > 0);
    arena->held_count--;
    if (arena->held_count > 0) {
        return false;
    }
    is_present = arena->connection == a->connection;
    *number = arena->number;
    unmap(a, arena);
    return is_present;
}

uint64_t
cfc_arenas_size(const struct cfc_arenas *a)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < CFC_ARENAS_MAX; i++) {
        size += a->table[i].size;
    }
    return size;
}
