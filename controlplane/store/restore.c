/* A store from a backup: extracted beside its place, opened, read from end to end, lifted, and only
 * then moved there. */
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
#include "controlplane/store/folder.h"
#include "controlplane/store/internal.h"
#include "controlplane/store/meta.h"
#include "controlplane/store/store_rocksdb.h"
#include "protocol/base/endian.h"

enum {
    COPY_SIZE = 256 * 1024
};

struct restore {
    const struct cfc_restore_config *config;
    struct cfc_restore_result *result;
    FILE *in;
    struct cfc_sha256 *sha;
    struct cfc_store_folder folder; /* the place beside; only its path and log are used here */
    char db_path[CFC_STORE_PATH_MAX];
    uint8_t *buffer;
};

static int
error_of_errno(struct restore *r, const char *what)
{
    int number = errno;

    cfc_store_folder_say(&r->folder, what, strerror(number));
    return number == ENOSPC || number == EDQUOT ? CONFCAST_ERR_NO_SPACE : CONFCAST_ERR_IO;
}

/* Bytes that the digest covers. */
static int
take(struct restore *r, void *bytes, size_t size)
{
    if (fread(bytes, 1, size, r->in) != size) {
        return ferror(r->in) ? error_of_errno(r, "reading the backup") : CONFCAST_ERR_DIGEST;
    }
    cfc_sha256_add(r->sha, bytes, size);
    return CONFCAST_OK;
}

static int
take_header(struct restore *r)
{
    struct cfc_backup_info *info = &r->result->backup;
    uint8_t header[CFC_BACKUP_HEADER_SIZE];
    int error = take(r, header, sizeof(header));

    if (error != CONFCAST_OK) {
        return error;
    }
    if (memcmp(header, CFC_BACKUP_MAGIC, CFC_BACKUP_MAGIC_SIZE) != 0 ||
        cfc_get_u32(header + 16) != CFC_BACKUP_FORMAT) {
        return CONFCAST_ERR_UNSUPPORTED;
    }
    info->schema = cfc_get_u32(header + 20);
    info->file_count = cfc_get_u32(header + 24);
    info->epoch = cfc_get_u64(header + 32);
    info->sequence = cfc_get_u64(header + 40);
    info->unix_ns = cfc_get_u64(header + 48);
    if (info->schema != CFC_STORE_SCHEMA) {
        return CONFCAST_ERR_SCHEMA;
    }
    return info->file_count <= CFC_BACKUP_FILE_COUNT_MAX ? CONFCAST_OK : CONFCAST_ERR_DIGEST;
}

static int
copy_bytes(struct restore *r, int fd, uint64_t left)
{
    int error = CONFCAST_OK;

    while (error == CONFCAST_OK && left > 0) {
        size_t size = left < COPY_SIZE ? (size_t)left : COPY_SIZE;

        error = take(r, r->buffer, size);
        for (size_t done = 0; error == CONFCAST_OK && done < size;) {
            ssize_t written = write(fd, r->buffer + done, size - done);

            if (written > 0) {
                done += (size_t)written;
            } else if (errno != EINTR) {
                error = error_of_errno(r, "writing a file");
            }
        }
        left -= size;
    }
    return error;
}

static int
take_file(struct restore *r)
{
    char path[CFC_STORE_PATH_MAX + CFC_BACKUP_NAME_SIZE_MAX + 2];
    char name[CFC_BACKUP_NAME_SIZE_MAX + 1];
    uint8_t number[8];
    uint32_t name_size;
    int error = take(r, number, 4);
    int fd;

    if (error != CONFCAST_OK) {
        return error;
    }
    name_size = cfc_get_u32(number);
    if (name_size == 0 || name_size > CFC_BACKUP_NAME_SIZE_MAX) {
        return CONFCAST_ERR_DIGEST;
    }
    error = take(r, name, name_size);
    if (error == CONFCAST_OK) {
        error = take(r, number, sizeof(number));
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    name[name_size] = '\0';
    /* Checked before the digest can be: a torn backup must not write elsewhere. */
    if (strlen(name) != name_size || !cfc_backup_name_is_fine(name)) {
        return CONFCAST_ERR_DIGEST;
    }
    snprintf(path, sizeof(path), "%s/%s", r->db_path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == EEXIST ? CONFCAST_ERR_DIGEST : error_of_errno(r, "making a file");
    }
    error = copy_bytes(r, fd, cfc_get_u64(number));
    close(fd);
    return error;
}

/* Once it is known that they are worth it. */
static int
sync_files(struct restore *r)
{
    DIR *dir = opendir(r->db_path);
    struct dirent *entry;
    int error = CONFCAST_OK;

    if (dir == NULL) {
        return error_of_errno(r, "reading the folder");
    }
    while (error == CONFCAST_OK && (entry = readdir(dir)) != NULL) {
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || (strcmp(entry->d_name, "..") != 0 && fsync(fd) != 0)) {
            error = error_of_errno(r, "syncing a file");
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    closedir(dir);
    return error;
}

static int
check_digest(struct restore *r)
{
    struct cfc_digest expected;
    struct cfc_digest found;

    cfc_sha256_end(r->sha, &found);
    if (fread(expected.bytes, 1, sizeof(expected.bytes), r->in) != sizeof(expected.bytes) ||
        fgetc(r->in) != EOF || !cfc_digest_equal(&expected, &found)) {
        return CONFCAST_ERR_DIGEST;
    }
    return CONFCAST_OK;
}

static int
extract(struct restore *r)
{
    int error = take_header(r);

    for (uint32_t i = 0; error == CONFCAST_OK && i < r->result->backup.file_count; i++) {
        error = take_file(r);
        cfc_store_crash_point("restore:file");
    }
    if (error == CONFCAST_OK) {
        error = check_digest(r);
    }
    if (error == CONFCAST_OK) {
        error = sync_files(r);
    }
    if (error == CONFCAST_ERR_DIGEST) {
        cfc_store_folder_say(&r->folder, "reading the backup",
                             "it is torn or was changed: its digest does not fit");
    }
    return error;
}

/* ---- Lifting ----------------------------------------------------------------------------------
 */

static uint64_t
above(uint64_t seen, uint64_t found, uint64_t margin)
{
    return seen != 0 ? seen : found + margin;
}

static int
lift(struct cfc_store *store, const struct cfc_restore_config *config,
     struct cfc_restore_result *result)
{
    uint64_t proof_version;
    uint64_t proof_epoch;
    uint64_t sequence = cfc_store_seq(store);
    uint64_t epoch;
    int error = cfc_store_get_epoch(store, &epoch);

    if (error == CONFCAST_OK) {
        error = cfc_store_get_proof(store, &proof_epoch, &proof_version);
    }
    if (error == CONFCAST_OK) {
        epoch = proof_epoch > epoch ? proof_epoch : epoch;
        sequence = proof_version > sequence ? proof_version : sequence;
        error = cfc_store_restore(store, above(config->epoch_seen, epoch, CFC_BACKUP_EPOCH_MARGIN),
                                  above(config->sequence_seen, sequence, CFC_BACKUP_SEQ_MARGIN),
                                  &result->epoch);
    }
    result->sequence = cfc_store_seq(store);
    return error;
}

static int
open_store(const struct cfc_restore_config *config, const char *path, struct cfc_store **store)
{
    struct cfc_store_rocksdb_config rocksdb = {
        .path = path, .log = config->log, .log_arg = config->log_arg};

    return cfc_store_rocksdb_open(&rocksdb, store);
}

int
cfc_backup_lift(const struct cfc_restore_config *config, struct cfc_restore_result *result)
{
    struct cfc_store *store;
    struct stat st;
    int error;

    memset(result, 0, sizeof(*result));
    if (stat(config->data_path, &st) != 0) {
        return errno == ENOENT ? CONFCAST_ERR_NOT_FOUND : CONFCAST_ERR_IO;
    }
    error = open_store(config, config->data_path, &store);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = lift(store, config, result);
    cfc_store_close(store);
    return error;
}

static int
open_and_lift(struct restore *r)
{
    struct cfc_checkpoint found;
    struct cfc_store *store;
    int error;

    snprintf(found.path, sizeof(found.path), "%s", r->db_path);
    error = cfc_store_rocksdb_inspect(&r->folder, &found);
    if (error == CONFCAST_OK && found.sequence != r->result->backup.sequence) {
        error = CONFCAST_ERR_CORRUPT;
    }
    if (error == CONFCAST_OK) {
        error = open_store(r->config, r->folder.path, &store);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    error = lift(store, r->config, r->result);
    cfc_store_close(store);
    return error;
}

/* ---- The folders ------------------------------------------------------------------------------
 */

static void
clean_up(struct restore *r)
{
    cfc_store_folder_remove(&r->folder, "db");
    cfc_store_folder_remove(&r->folder, NULL);
}

static int
make_folders(struct restore *r)
{
    clean_up(r);
    if (mkdir(r->folder.path, 0700) != 0 || mkdir(r->db_path, 0700) != 0) {
        return error_of_errno(r, "making the folder");
    }
    return CONFCAST_OK;
}

/* The folder above gets the new name, durably. */
static int
move_into_place(struct restore *r)
{
    char parent[CFC_STORE_PATH_MAX];
    char *slash;
    int error = CONFCAST_OK;
    int fd;

    cfc_store_crash_point("restore:lifted");
    /* An empty folder may stand there, nothing else. */
    if (rename(r->folder.path, r->config->data_path) != 0) {
        return errno == ENOTEMPTY || errno == EEXIST ? CONFCAST_ERR_EXISTS
                                                     : error_of_errno(r, "moving the store");
    }
    cfc_store_crash_point("restore:moved");
    snprintf(parent, sizeof(parent), "%s", r->folder.path);
    slash = strrchr(parent, '/');
    if (slash != NULL) {
        slash[slash == parent ? 1 : 0] = '\0';
    }
    fd = open(slash != NULL ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        error = error_of_errno(r, "syncing the folder above");
    }
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

static int
check_place(struct restore *r)
{
    const char *path = r->config->data_path;
    size_t size = strlen(path);
    int written;

    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    written = snprintf(r->folder.path, sizeof(r->folder.path), "%.*s.restoring", (int)size, path);
    if (size == 0 || written < 0 || (size_t)written >= sizeof(r->folder.path) ||
        cfc_store_folder_path(&r->folder, "db", r->db_path) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    return cfc_store_path_is_free(path) ? CONFCAST_OK : CONFCAST_ERR_EXISTS;
}

static int
run(struct restore *r)
{
    int error = check_place(r);

    if (error != CONFCAST_OK) {
        return error;
    }
    r->in = fopen(r->config->backup_path, "rbe");
    if (r->in == NULL) {
        return errno == ENOENT ? CONFCAST_ERR_NOT_FOUND : error_of_errno(r, "opening the backup");
    }
    error = make_folders(r);
    if (error == CONFCAST_OK) {
        cfc_sha256_begin(r->sha, CFC_BACKUP_DOMAIN);
        error = extract(r);
    }
    if (error == CONFCAST_OK) {
        cfc_store_crash_point("restore:extracted");
        error = cfc_store_folder_write_format(&r->folder);
    }
    if (error == CONFCAST_OK) {
        error = open_and_lift(r);
    }
    if (error == CONFCAST_OK) {
        error = move_into_place(r);
    }
    if (error != CONFCAST_OK) {
        clean_up(r);
    }
    fclose(r->in);
    return error;
}

int
cfc_backup_restore(const struct cfc_restore_config *config, struct cfc_restore_result *result)
{
    struct restore r = {.config = config, .result = result};
    int error = CONFCAST_ERR_NO_MEMORY;

    memset(result, 0, sizeof(*result));
    r.folder.lock_fd = -1;
    r.folder.log = config->log;
    r.folder.log_arg = config->log_arg;
    r.buffer = malloc(COPY_SIZE);
    r.sha = cfc_sha256_new();
    if (r.buffer != NULL && r.sha != NULL) {
        error = run(&r);
    }
    cfc_sha256_free(r.sha);
    free(r.buffer);
    return error;
}
