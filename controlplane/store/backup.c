#include "controlplane/store/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/store/backup_internal.h"
#include "controlplane/store/internal.h"
#include "protocol/base/endian.h"

struct file {
    char name[CFC_BACKUP_NAME_SIZE_MAX + 1];
    uint64_t size;
};

/* What the stream is made of, in this order; each part but the bytes of a file is built in
 * `part`. */
enum stage {
    STAGE_HEADER,
    STAGE_FILE, /* the head of a file, then its bytes */
    STAGE_DIGEST,
    STAGE_END,
};

struct cfc_backup {
    struct cfc_store *store;
    struct cfc_checkpoint checkpoint;
    struct cfc_backup_info info;
    struct file *files;
    uint64_t size;
    struct cfc_sha256 *sha;
    enum stage stage;
    size_t file_idx; /* whose head comes next */
    uint8_t part[CFC_BACKUP_HEADER_SIZE + CFC_BACKUP_NAME_SIZE_MAX];
    size_t part_size;
    size_t part_offset;
    int fd;             /* the file whose bytes are read; -1 = none */
    uint64_t file_left; /* bytes */
};

/* What a checkpoint holds and a store needs; a lock or a text log is neither. */
static bool
belongs(const char *name)
{
    size_t size = strlen(name);

    return strcmp(name, "CURRENT") == 0 || strcmp(name, "IDENTITY") == 0 ||
           strncmp(name, "MANIFEST-", 9) == 0 || strncmp(name, "OPTIONS-", 8) == 0 ||
           (size > 4 &&
            (strcmp(name + size - 4, ".sst") == 0 || strcmp(name + size - 4, ".log") == 0));
}

bool
cfc_backup_name_is_fine(const char *name)
{
    return strchr(name, '/') == NULL && strlen(name) <= CFC_BACKUP_NAME_SIZE_MAX && belongs(name);
}

static int
add_file(struct cfc_backup *b, int dir_fd, const char *name)
{
    struct file *files;
    struct stat st;

    if (!cfc_backup_name_is_fine(name)) {
        return CONFCAST_OK;
    }
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) {
        return CONFCAST_ERR_IO;
    }
    if (b->info.file_count == CFC_BACKUP_FILE_COUNT_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    files = reallocarray(b->files, b->info.file_count + 1, sizeof(*files));
    if (files == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    b->files = files;
    snprintf(files[b->info.file_count].name, sizeof(files->name), "%s", name);
    files[b->info.file_count].size = (uint64_t)st.st_size;
    b->info.file_count++;
    b->size += CFC_BACKUP_FILE_HEAD_SIZE + strlen(name) + (uint64_t)st.st_size;
    return CONFCAST_OK;
}

static int
list_files(struct cfc_backup *b)
{
    DIR *dir = opendir(b->checkpoint.path);
    struct dirent *entry;
    int error = CONFCAST_OK;

    if (dir == NULL) {
        return CONFCAST_ERR_IO;
    }
    while (error == CONFCAST_OK && (entry = readdir(dir)) != NULL) {
        error = add_file(b, dirfd(dir), entry->d_name);
    }
    closedir(dir);
    return error;
}

static void
build_header(struct cfc_backup *b)
{
    uint8_t *p = b->part;

    memcpy(p, CFC_BACKUP_MAGIC, CFC_BACKUP_MAGIC_SIZE);
    cfc_put_u32(p + 16, CFC_BACKUP_FORMAT);
    cfc_put_u32(p + 20, b->info.schema);
    cfc_put_u32(p + 24, b->info.file_count);
    cfc_put_u32(p + 28, 0);
    cfc_put_u64(p + 32, b->info.epoch);
    cfc_put_u64(p + 40, b->info.sequence);
    cfc_put_u64(p + 48, b->info.unix_ns);
    b->part_size = CFC_BACKUP_HEADER_SIZE;
}

/* The head of the next file, which is opened. */
static int
build_file_head(struct cfc_backup *b)
{
    const struct file *file = &b->files[b->file_idx++];
    size_t name_size = strlen(file->name);
    char path[CFC_STORE_PATH_MAX + CFC_BACKUP_NAME_SIZE_MAX + 2];

    snprintf(path, sizeof(path), "%s/%s", b->checkpoint.path, file->name);
    b->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (b->fd < 0) {
        return CONFCAST_ERR_IO;
    }
    cfc_put_u32(b->part, (uint32_t)name_size);
    memcpy(b->part + 4, file->name, name_size);
    cfc_put_u64(b->part + 4 + name_size, file->size);
    b->part_size = CFC_BACKUP_FILE_HEAD_SIZE + name_size;
    b->file_left = file->size;
    return CONFCAST_OK;
}

/* Makes the next part.  The digest is not a part of what it covers. */
static int
next_part(struct cfc_backup *b)
{
    struct cfc_digest digest;

    b->part_offset = 0;
    b->part_size = 0;
    if (b->fd >= 0) {
        close(b->fd);
        b->fd = -1;
    }
    switch (b->stage) {
    case STAGE_HEADER:
        build_header(b);
        b->stage = STAGE_FILE;
        return CONFCAST_OK;
    case STAGE_FILE:
        if (b->file_idx < b->info.file_count) {
            return build_file_head(b);
        }
        cfc_sha256_end(b->sha, &digest);
        memcpy(b->part, digest.bytes, sizeof(digest.bytes));
        b->part_size = sizeof(digest.bytes);
        b->stage = STAGE_DIGEST;
        return CONFCAST_OK;
    case STAGE_DIGEST:
        b->stage = STAGE_END;
        return CONFCAST_OK;
    case STAGE_END:
        break;
    }
    return CONFCAST_OK;
}

static int
read_file(struct cfc_backup *b, void *bytes, size_t capacity, size_t *size)
{
    ssize_t got;

    capacity = capacity < b->file_left ? capacity : (size_t)b->file_left;
    do {
        got = read(b->fd, bytes, capacity);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return got == 0 ? CONFCAST_ERR_CORRUPT : CONFCAST_ERR_IO;
    }
    b->file_left -= (uint64_t)got;
    *size = (size_t)got;
    return CONFCAST_OK;
}

int
cfc_backup_read(struct cfc_backup *b, void *bytes, size_t capacity, size_t *size)
{
    int error = CONFCAST_OK;

    *size = 0;
    while (b->part_offset == b->part_size && b->file_left == 0 && b->stage != STAGE_END) {
        error = next_part(b);
        if (error != CONFCAST_OK) {
            return error;
        }
    }
    if (b->part_offset < b->part_size) {
        size_t left = b->part_size - b->part_offset;

        *size = left < capacity ? left : capacity;
        memcpy(bytes, b->part + b->part_offset, *size);
        b->part_offset += *size;
    } else if (b->file_left > 0) {
        error = read_file(b, bytes, capacity, size);
    }
    if (b->stage < STAGE_DIGEST) {
        cfc_sha256_add(b->sha, bytes, *size);
    }
    if (*size > 0) {
        cfc_store_crash_point("backup:read");
    }
    return error;
}

int
cfc_backup_open(struct cfc_store *store, uint64_t unix_ns, struct cfc_backup **out)
{
    struct cfc_backup *b = calloc(1, sizeof(*b));
    int error;

    *out = NULL;
    if (b == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    b->fd = -1;
    b->sha = cfc_sha256_new();
    if (b->sha == NULL) {
        free(b);
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = store->ops->checkpoint(store, &b->checkpoint);
    if (error != CONFCAST_OK) {
        cfc_sha256_free(b->sha);
        free(b);
        return error;
    }
    b->store = store;
    b->info = (struct cfc_backup_info){.schema = CFC_STORE_SCHEMA,
                                       .epoch = b->checkpoint.epoch,
                                       .sequence = b->checkpoint.sequence,
                                       .unix_ns = unix_ns};
    b->size = CFC_BACKUP_HEADER_SIZE + sizeof(struct cfc_digest);
    error = list_files(b);
    if (error != CONFCAST_OK) {
        cfc_backup_close(b);
        return error;
    }
    cfc_sha256_begin(b->sha, CFC_BACKUP_DOMAIN);
    *out = b;
    return CONFCAST_OK;
}

const struct cfc_backup_info *
cfc_backup_info(const struct cfc_backup *b)
{
    return &b->info;
}

uint64_t
cfc_backup_size(const struct cfc_backup *b)
{
    return b->size;
}

void
cfc_backup_close(struct cfc_backup *b)
{
    if (b == NULL) {
        return;
    }
    if (b->fd >= 0) {
        close(b->fd);
    }
    b->store->ops->checkpoint_end(b->store);
    cfc_sha256_free(b->sha);
    free(b->files);
    free(b);
}
