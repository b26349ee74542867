#include "controlplane/publish/arena.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "confcast/error.h"

static uint64_t
next_number(void)
{
    static atomic_uint_fast64_t last;

    return atomic_fetch_add(&last, 1) + 1;
}

static int
fill_and_seal(int fd, size_t size, int (*fill)(void *arg, uint8_t *bytes), void *arg)
{
    uint8_t *bytes;
    int error;

    if (ftruncate(fd, (off_t)size) != 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        return CONFCAST_ERR_RESOURCE;
    }
    error = fill(arg, bytes);
    munmap(bytes, size); /* F_SEAL_WRITE is refused while a writable mapping exists. */
    if (error != CONFCAST_OK) {
        return error;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    return CONFCAST_OK;
}

int
cfc_arena_new(size_t size, int (*fill)(void *arg, uint8_t *bytes), void *arg,
              struct cfc_arena **out)
{
    struct cfc_arena *arena = calloc(1, sizeof(*arena));
    void *bytes;
    int error;

    *out = NULL;
    if (arena == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    arena->fd = memfd_create("confcast-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (arena->fd < 0) {
        error = CONFCAST_ERR_RESOURCE;
        goto err_free;
    }
    error = fill_and_seal(arena->fd, size, fill, arg);
    if (error != CONFCAST_OK) {
        goto err_close;
    }
    bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, arena->fd, 0);
    if (bytes == MAP_FAILED) {
        error = CONFCAST_ERR_RESOURCE;
        goto err_close;
    }
    arena->bytes = bytes;
    arena->size = size;
    arena->number = next_number();
    *out = arena;
    return CONFCAST_OK;

err_close:
    close(arena->fd);
err_free:
    free(arena);
    return error;
}

int
cfc_arena_open(size_t size, struct cfc_arena **out)
{
    struct cfc_arena *arena = calloc(1, sizeof(*arena));
    void *room;

    *out = NULL;
    if (arena == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    arena->fd = memfd_create("confcast-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (arena->fd < 0) {
        goto err_free;
    }
    if (ftruncate(arena->fd, (off_t)size) != 0) {
        goto err_close;
    }
    room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, 0);
    if (room == MAP_FAILED) {
        goto err_close;
    }
    if (fcntl(arena->fd, F_ADD_SEALS,
              F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        goto err_unmap;
    }
    arena->bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, arena->fd, 0);
    if (arena->bytes == MAP_FAILED) {
        goto err_unmap;
    }
    arena->size = size;
    arena->room = room;
    arena->number = next_number();
    *out = arena;
    return CONFCAST_OK;

err_unmap:
    munmap(room, size);
err_close:
    close(arena->fd);
err_free:
    free(arena);
    return CONFCAST_ERR_RESOURCE;
}

void
cfc_arena_end(struct cfc_arena *arena)
{
    if (arena->room != NULL) {
        munmap(arena->room, arena->size);
        arena->room = NULL;
    }
}

void
cfc_arena_free(struct cfc_arena *arena)
{
    if (arena != NULL) {
        cfc_arena_end(arena);
        munmap((void *)(uintptr_t)arena->bytes, arena->size);
        close(arena->fd);
        free(arena);
    }
}
