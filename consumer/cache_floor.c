#include "consumer/cache_floor.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"
#include "consumer/cache_file.h"
#include "protocol/base/endian.h"

enum {
    RECORD_SIZE = 32, /* u64 scope id, u64 epoch, u64 version, u32 turn, u32 checksum */
    SLOT_SIZE = 2 * RECORD_SIZE,
    FLEET_OFFSET = 8,         /* behind the magic: u64 hash of the fleet's name */
    START_OFFSET = SLOT_SIZE, /* slot: incarnation as `version`, fleet sequence as `epoch` */
    SCOPES_OFFSET = START_OFFSET + SLOT_SIZE,
    PAGE_SIZE = SCOPES_OFFSET + CFC_FLOOR_SCOPES_MAX * SLOT_SIZE,
};

static const char NAME[] = "floor";
static const char MAGIC[8] = "CFCFLR2";

struct record {
    uint64_t scope_id;
    uint64_t epoch;
    uint64_t version;
    uint32_t turn;
};

static uint32_t
checksum(const uint8_t *record)
{
    /* Never 0: an unused record is zero. */
    return (uint32_t)XXH3_64bits(record, RECORD_SIZE - 4) | 1;
}

static bool
record_read(const uint8_t *p, struct record *out)
{
    *out = (struct record){
        .scope_id = cfc_get_u64(p),
        .epoch = cfc_get_u64(p + 8),
        .version = cfc_get_u64(p + 16),
        .turn = cfc_get_u32(p + 24),
    };
    return cfc_get_u32(p + 28) == checksum(p);
}

/* The valid record of a slot with the later turn; false when both are unused or damaged. */
static bool
slot_read(const uint8_t *slot, struct record *out)
{
    struct record a;
    struct record b;
    bool has_a = record_read(slot, &a);
    bool has_b = record_read(slot + RECORD_SIZE, &b);

    if (!has_a && !has_b) {
        return false;
    }
    *out = !has_b || (has_a && (int32_t)(a.turn - b.turn) > 0) ? a : b;
    return true;
}

static bool
is_all_zero(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* No slot in which both records are damaged.  One whose other record was never used was torn at its
 * first write, which reserves the slot and says nothing yet. */
static bool
is_sound(const uint8_t *page)
{
    for (size_t at = START_OFFSET; at < PAGE_SIZE; at += SLOT_SIZE) {
        struct record record;

        if (!slot_read(page + at, &record) && !is_all_zero(page + at, RECORD_SIZE) &&
            !is_all_zero(page + at + RECORD_SIZE, RECORD_SIZE)) {
            return false;
        }
    }
    return true;
}

static int
create(int dir_fd, uint64_t fleet_hash, uint8_t **page)
{
    int error;

    *page = calloc(1, PAGE_SIZE);
    if (*page == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memcpy(*page, MAGIC, sizeof(MAGIC));
    cfc_put_u64(*page + FLEET_OFFSET, fleet_hash);
    error = cfc_file_replace(dir_fd, NAME, *page, PAGE_SIZE);
    return error == CONFCAST_OK ? cfc_dir_sync(dir_fd) : error;
}

int
cfc_floor_open(struct cfc_floor *floor, int dir_fd, const char *fleet)
{
    uint64_t fleet_hash = XXH3_64bits(fleet, strlen(fleet));
    uint8_t *page = NULL;
    size_t size = 0;
    int error = cfc_file_read(dir_fd, NAME, PAGE_SIZE, &page, &size);

    if (error == CONFCAST_ERR_NOT_FOUND) {
        error = create(dir_fd, fleet_hash, &page);
    } else if (error == CONFCAST_ERR_LIMIT ||
               (error == CONFCAST_OK && (size != PAGE_SIZE || !is_sound(page) ||
                                         memcmp(page, MAGIC, sizeof(MAGIC)) != 0))) {
        error = CONFCAST_ERR_CORRUPT;
    } else if (error == CONFCAST_OK && cfc_get_u64(page + FLEET_OFFSET) != fleet_hash) {
        error = CONFCAST_ERR_AUTHORITY;
    }
    if (error != CONFCAST_OK) {
        free(page);
        return error;
    }
    floor->dir_fd = dir_fd;
    floor->fd = openat(dir_fd, NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    floor->page = page;
    floor->must_rewrite = floor->fd < 0;
    pthread_mutex_init(&floor->lock, NULL);
    return CONFCAST_OK;
}

void
cfc_floor_close(struct cfc_floor *floor)
{
    if (floor->page == NULL) {
        return;
    }
    if (floor->fd >= 0) {
        close(floor->fd);
    }
    pthread_mutex_destroy(&floor->lock);
    free(floor->page);
    floor->page = NULL;
}

/* Writes a slot's next record to the page and to the file.  Under the lock. */
static int
slot_write(struct cfc_floor *floor, uint8_t *slot, const struct record *from)
{
    struct record last;
    uint32_t turn = slot_read(slot, &last) ? last.turn + 1 : 1;
    uint8_t *p = slot + (turn % 2) * RECORD_SIZE;
    int error = CONFCAST_ERR_IO;

    cfc_put_u64(p, from->scope_id);
    cfc_put_u64(p + 8, from->epoch);
    cfc_put_u64(p + 16, from->version);
    cfc_put_u32(p + 24, turn);
    cfc_put_u32(p + 28, checksum(p));
    if (floor->fd >= 0) {
        error = cfc_file_write_at(floor->fd, p, RECORD_SIZE, (uint64_t)(p - floor->page));
    }
    if (error != CONFCAST_OK) {
        floor->must_rewrite = true;
    }
    return error;
}

/* The slot of a scope, or the first free one, or NULL. */
static uint8_t *
slot_of(const struct cfc_floor *floor, uint64_t scope_id, struct record *record, bool *is_used)
{
    for (size_t at = SCOPES_OFFSET; at < PAGE_SIZE; at += SLOT_SIZE) {
        *is_used = slot_read(floor->page + at, record);
        if (!*is_used || record->scope_id == scope_id) {
            return floor->page + at;
        }
    }
    return NULL;
}

int
cfc_floor_get(struct cfc_floor *floor, uint64_t scope_id, uint64_t *epoch, uint64_t *version)
{
    struct record record;
    bool is_used = false;
    bool is_there;

    pthread_mutex_lock(&floor->lock);
    is_there = slot_of(floor, scope_id, &record, &is_used) != NULL && is_used;
    pthread_mutex_unlock(&floor->lock);
    if (!is_there) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    *epoch = record.epoch;
    *version = record.version;
    return CONFCAST_OK;
}

static uint64_t
higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

int
cfc_floor_raise(struct cfc_floor *floor, uint64_t scope_id, uint64_t epoch, uint64_t version)
{
    struct record record;
    bool is_used = false;
    int error = CONFCAST_ERR_LIMIT;
    uint8_t *slot;

    pthread_mutex_lock(&floor->lock);
    slot = slot_of(floor, scope_id, &record, &is_used);
    if (slot != NULL) {
        if (!is_used) {
            record = (struct record){.scope_id = scope_id};
            (void)slot_write(floor, slot, &record);
        }
        record.epoch = higher(record.epoch, epoch);
        record.version = higher(record.version, version);
        error = slot_write(floor, slot, &record);
    }
    pthread_mutex_unlock(&floor->lock);
    return error;
}

int
cfc_floor_raise_fleet(struct cfc_floor *floor, uint64_t sequence, uint64_t *before)
{
    uint8_t *slot = floor->page + START_OFFSET;
    struct record record = {0};
    int error = CONFCAST_OK;

    pthread_mutex_lock(&floor->lock);
    if (!slot_read(slot, &record)) {
        record = (struct record){0};
    }
    *before = record.epoch;
    if (sequence > record.epoch) {
        record.epoch = sequence;
        error = slot_write(floor, slot, &record);
    }
    pthread_mutex_unlock(&floor->lock);
    return error;
}

uint64_t
cfc_floor_next_incarnation(struct cfc_floor *floor, uint64_t at_least)
{
    uint8_t *slot = floor->page + START_OFFSET;
    struct record record = {0};

    pthread_mutex_lock(&floor->lock);
    if (!slot_read(slot, &record)) {
        record = (struct record){0};
    }
    record.version = higher(record.version + 1, at_least);
    /* When the disk refuses it, the clock still tells this start from the last one. */
    (void)slot_write(floor, slot, &record);
    pthread_mutex_unlock(&floor->lock);
    return record.version;
}

/* Puts the whole page into a new file in the place of the old one. */
static int
rewrite(struct cfc_floor *floor)
{
    char temporary[CFC_FILE_TEMPORARY_SIZE];
    uint8_t *copy = malloc(PAGE_SIZE);
    int error;
    int fd;

    if (copy == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    pthread_mutex_lock(&floor->lock);
    memcpy(copy, floor->page, PAGE_SIZE);
    pthread_mutex_unlock(&floor->lock);
    error = cfc_file_create(floor->dir_fd, copy, PAGE_SIZE, &fd, temporary);
    free(copy);
    if (error != CONFCAST_OK) {
        return error;
    }
    pthread_mutex_lock(&floor->lock);
    /* What was raised meanwhile. */
    error = cfc_file_write_at(fd, floor->page, PAGE_SIZE, 0);
    if (error == CONFCAST_OK && renameat(floor->dir_fd, temporary, floor->dir_fd, NAME) != 0) {
        error = CONFCAST_ERR_IO;
    }
    if (error == CONFCAST_OK) {
        int old = floor->fd;

        floor->fd = fd;
        floor->must_rewrite = false;
        fd = old;
    } else {
        unlinkat(floor->dir_fd, temporary, 0);
    }
    pthread_mutex_unlock(&floor->lock);
    if (fd >= 0) {
        close(fd);
    }
    return error == CONFCAST_OK ? cfc_dir_sync(floor->dir_fd) : error;
}

int
cfc_floor_sync(struct cfc_floor *floor)
{
    bool must_rewrite;
    int error = CONFCAST_OK;

    pthread_mutex_lock(&floor->lock);
    must_rewrite = floor->must_rewrite;
    pthread_mutex_unlock(&floor->lock);
    if (must_rewrite) {
        error = rewrite(floor);
    }
    /* Only this function replaces the descriptor, and one thread syncs at a time. */
    if (error == CONFCAST_OK && fdatasync(floor->fd) != 0) {
        error = CONFCAST_ERR_IO;
    }
    if (error != CONFCAST_OK) {
        pthread_mutex_lock(&floor->lock);
        floor->must_rewrite = true;
        pthread_mutex_unlock(&floor->lock);
    }
    return error;
}
