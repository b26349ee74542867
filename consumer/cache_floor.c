#include "consumer/cache_floor.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"

enum {
    SCOPES_MAX = 256,
    RECORD_SIZE = 32, /* u64 scope id, u64 epoch, u64 version, u32 turn, u32 checksum */
    SLOT_SIZE = 2 * RECORD_SIZE,
    HEADER_SIZE = 64, /* magic 8, then two records of the incarnation in its `version` */
    INCARNATION_OFFSET = HEADER_SIZE,
    SLOTS_OFFSET = HEADER_SIZE + SLOT_SIZE,
    PAGE_SIZE = SLOTS_OFFSET + SCOPES_MAX * SLOT_SIZE,
};

static const char MAGIC[8] = "CFCFLR1";

struct record {
    uint64_t scope_id;
    uint64_t epoch;
    uint64_t version;
    uint32_t turn;
};

static uint32_t
checksum(const uint8_t *record)
{
    return (uint32_t)XXH3_64bits(record, RECORD_SIZE - 4) |
           1; /* never 0: an unused record is zero */
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
    *out = !has_b || (has_a && a.turn > b.turn) ? a : b;
    return true;
}

static void
slot_write(uint8_t *slot, const struct record *from)
{
    struct record last;
    uint32_t turn = slot_read(slot, &last) ? last.turn + 1 : 1;
    uint8_t *p = slot + (turn % 2) * RECORD_SIZE;

    /* The checksum goes first and comes back last: a process that dies in between leaves the other
     * record in force. */
    cfc_put_u32(p + 28, 0);
    atomic_signal_fence(memory_order_seq_cst);
    cfc_put_u64(p, from->scope_id);
    cfc_put_u64(p + 8, from->epoch);
    cfc_put_u64(p + 16, from->version);
    cfc_put_u32(p + 24, turn);
    atomic_signal_fence(memory_order_seq_cst);
    cfc_put_u32(p + 28, checksum(p));
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

/* A new page is all zero; a used one has the magic and no slot whose both records are damaged. */
static bool
is_sound(const uint8_t *page)
{
    if (memcmp(page, MAGIC, sizeof(MAGIC)) != 0) {
        return false;
    }
    for (size_t i = 0; i <= SCOPES_MAX; i++) {
        const uint8_t *slot = page + INCARNATION_OFFSET + i * SLOT_SIZE;
        struct record record;

        if (!slot_read(slot, &record) && !is_all_zero(slot, SLOT_SIZE)) {
            return false;
        }
    }
    return true;
}

int
cfc_floor_open(struct cfc_floor *floor, int dir_fd, const char *name, bool is_readonly)
{
    int flags = is_readonly ? O_RDONLY : O_RDWR | O_CREAT;
    int protection = is_readonly ? PROT_READ : PROT_READ | PROT_WRITE;
    int error = CONFCAST_OK;
    struct stat st;
    uint8_t *page;
    int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

    floor->page = NULL;
    if (fd < 0) {
        return is_readonly ? CONFCAST_ERR_NOT_FOUND : CONFCAST_ERR_IO;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        error = CONFCAST_ERR_AUTHORITY;
        goto out_close;
    }
    if (st.st_size == 0 && !is_readonly) {
        /* posix_fallocate: a full disk must show here, not as SIGBUS at the first store. */
        if (posix_fallocate(fd, 0, PAGE_SIZE) != 0) {
            error = CONFCAST_ERR_NO_SPACE;
            goto out_close;
        }
    } else if (st.st_size != PAGE_SIZE) {
        error = CONFCAST_ERR_CORRUPT;
        goto out_close;
    }
    page = mmap(NULL, PAGE_SIZE, protection, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        error = CONFCAST_ERR_RESOURCE;
        goto out_close;
    }
    if (!is_readonly && is_all_zero(page, PAGE_SIZE)) {
        memcpy(page, MAGIC, sizeof(MAGIC));
    }
    if (!is_sound(page)) {
        munmap(page, PAGE_SIZE);
        error = CONFCAST_ERR_CORRUPT;
        goto out_close;
    }
    floor->page = page;

out_close:
    close(fd);
    return error;
}

void
cfc_floor_close(struct cfc_floor *floor)
{
    if (floor->page != NULL) {
        munmap(floor->page, PAGE_SIZE);
        floor->page = NULL;
    }
}

/* The slot of a scope, or the first free one, or NULL. */
static uint8_t *
slot_of(const struct cfc_floor *floor, uint64_t scope_id, struct record *record, bool *is_used)
{
    for (size_t i = 0; i < SCOPES_MAX; i++) {
        uint8_t *slot = floor->page + SLOTS_OFFSET + i * SLOT_SIZE;

        *is_used = slot_read(slot, record);
        if (!*is_used || record->scope_id == scope_id) {
            return slot;
        }
    }
    return NULL;
}

int
cfc_floor_get(const struct cfc_floor *floor, uint64_t scope_id, uint64_t *epoch, uint64_t *version)
{
    struct record record;
    bool is_used = false;

    if (slot_of(floor, scope_id, &record, &is_used) == NULL || !is_used) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    *epoch = record.epoch;
    *version = record.version;
    return CONFCAST_OK;
}

int
cfc_floor_raise(struct cfc_floor *floor, uint64_t scope_id, uint64_t epoch, uint64_t version)
{
    struct record record;
    bool is_used = false;
    uint8_t *slot = slot_of(floor, scope_id, &record, &is_used);

    if (slot == NULL) {
        return CONFCAST_ERR_LIMIT;
    }
    if (!is_used) {
        record = (struct record){.scope_id = scope_id};
    }
    record.epoch = epoch > record.epoch ? epoch : record.epoch;
    record.version = version > record.version ? version : record.version;
    slot_write(slot, &record);
    return CONFCAST_OK;
}

uint64_t
cfc_floor_next_incarnation(struct cfc_floor *floor, uint64_t at_least)
{
    uint8_t *slot = floor->page + INCARNATION_OFFSET;
    struct record record = {0};

    if (slot_read(slot, &record) && record.version >= at_least) {
        at_least = record.version + 1;
    }
    record.version = at_least;
    slot_write(slot, &record);
    return at_least;
}

int
cfc_floor_sync(const struct cfc_floor *floor)
{
    return msync(floor->page, PAGE_SIZE, MS_SYNC) == 0 ? CONFCAST_OK : CONFCAST_ERR_IO;
}
