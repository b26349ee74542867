#include "controlplane/store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/store/store.h"
#include "protocol/base/endian.h"

enum {
    FLOOR_SIZE = 16
};

#define FORMAT_TEXT "confcast store "

void
cfc_store_folder_say(const struct cfc_store_folder *folder, const char *what, const char *detail)
{
    char line[CFC_STORE_PATH_MAX + 1280];

    if (folder->log != NULL) {
        snprintf(line, sizeof(line), "store %s/db: %s: %s", folder->path, what, detail);
        folder->log(folder->log_arg, line);
    }
}

int
cfc_store_folder_path(const struct cfc_store_folder *folder, const char *name,
                      char out[CFC_STORE_PATH_MAX])
{
    int size = snprintf(out, CFC_STORE_PATH_MAX, "%s/%s", folder->path, name);

    return size > 0 && size < CFC_STORE_PATH_MAX ? CONFCAST_OK : CONFCAST_ERR_INVALID;
}

bool
cfc_store_folder_has_space(const struct cfc_store_folder *folder)
{
    struct statvfs fs;

    if (statvfs(folder->path, &fs) != 0) {
        return true; /* The write will tell. */
    }
    return (uint64_t)fs.f_bavail * fs.f_frsize >= folder->space_min_bytes;
}

uint64_t
cfc_store_folder_floor(const struct cfc_store_folder *folder)
{
    uint64_t seq = cfc_get_u64(folder->floor);

    return cfc_get_u64(folder->floor + 8) == ~seq ? seq : 0;
}

void
cfc_store_folder_set_floor(struct cfc_store_folder *folder, uint64_t seq)
{
    cfc_put_u64(folder->floor, seq);
    cfc_put_u64(folder->floor + 8, ~seq);
}

static int
error_of_errno(const struct cfc_store_folder *folder, const char *what)
{
    int number = errno;

    cfc_store_folder_say(folder, what, strerror(number));
    return number == ENOSPC || number == EDQUOT ? CONFCAST_ERR_NO_SPACE : CONFCAST_ERR_IO;
}

static int
sync_path(const struct cfc_store_folder *folder, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = CONFCAST_OK;

    if (fd < 0 || fsync(fd) != 0) {
        error = error_of_errno(folder, "syncing the folder");
    }
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

int
cfc_store_folder_sync(const struct cfc_store_folder *folder)
{
    char parent[CFC_STORE_PATH_MAX];
    size_t size = strlen(folder->path);
    int error = sync_path(folder, folder->path);

    if (error != CONFCAST_OK || !folder->is_made) {
        return error;
    }
    while (size > 1 && folder->path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && folder->path[size - 1] != '/') {
        size--;
    }
    memcpy(parent, folder->path, size);
    parent[size] = '\0';
    return sync_path(folder, size > 0 ? parent : ".");
}

int
cfc_store_folder_write_format(struct cfc_store_folder *folder)
{
    char path[CFC_STORE_PATH_MAX];
    char temporary[CFC_STORE_PATH_MAX];
    char text[64];
    int size = snprintf(text, sizeof(text), FORMAT_TEXT "%d\n", CFC_STORE_SCHEMA);
    int error = cfc_store_folder_path(folder, "format.new", temporary);
    int fd;

    if (error == CONFCAST_OK) {
        error = cfc_store_folder_path(folder, "format", path);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return error_of_errno(folder, "writing format");
    }
    if (write(fd, text, (size_t)size) != size || fsync(fd) != 0 || rename(temporary, path) != 0) {
        error = error_of_errno(folder, "writing format");
    }
    close(fd);
    return error == CONFCAST_OK ? sync_path(folder, folder->path) : error;
}

/* Reads what wrote this store, before anything is touched.  CONFCAST_ERR_NOT_FOUND: it is new. */
static int
check_format(struct cfc_store_folder *folder)
{
    char path[CFC_STORE_PATH_MAX];
    char db_path[CFC_STORE_PATH_MAX];
    char text[64] = "";
    char expected[64];
    struct stat st;
    ssize_t size;
    int fd;

    if (cfc_store_folder_path(folder, "format", path) != CONFCAST_OK ||
        cfc_store_folder_path(folder, "db", db_path) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        /* A database without its format file is not ours. */
        return stat(db_path, &st) == 0 ? CONFCAST_ERR_SCHEMA : CONFCAST_ERR_NOT_FOUND;
    }
    if (fd < 0) {
        return error_of_errno(folder, "opening format");
    }
    size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size < 0) {
        return error_of_errno(folder, "reading format");
    }
    snprintf(expected, sizeof(expected), FORMAT_TEXT "%d\n", CFC_STORE_SCHEMA);
    if (strcmp(text, expected) != 0) {
        cfc_store_folder_say(folder, "format", "written by another version of confcast");
        return CONFCAST_ERR_SCHEMA;
    }
    return CONFCAST_OK;
}

static int
take_lock(struct cfc_store_folder *folder)
{
    char path[CFC_STORE_PATH_MAX];
    int error = cfc_store_folder_path(folder, "lock", path);

    if (error != CONFCAST_OK) {
        return error;
    }
    folder->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (folder->lock_fd < 0) {
        return error_of_errno(folder, "opening lock");
    }
    if (flock(folder->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? CONFCAST_ERR_BUSY : error_of_errno(folder, "locking");
    }
    return CONFCAST_OK;
}

static int
map_floor(struct cfc_store_folder *folder)
{
    char path[CFC_STORE_PATH_MAX];
    void *page;
    int error = cfc_store_folder_path(folder, "floor", path);
    int fd;

    if (error != CONFCAST_OK) {
        return error;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return error_of_errno(folder, "opening floor");
    }
    /* Allocated now, so that a full disk cannot turn a later store to the page into SIGBUS. */
    if (ftruncate(fd, FLOOR_SIZE) != 0 || (errno = posix_fallocate(fd, 0, FLOOR_SIZE)) != 0) {
        error = error_of_errno(folder, "sizing floor");
        close(fd);
        return error;
    }
    page = mmap(NULL, FLOOR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        error = error_of_errno(folder, "mapping floor");
    } else {
        folder->floor = page;
    }
    close(fd);
    return error;
}

int
cfc_store_folder_open(struct cfc_store_folder *folder)
{
    int format;
    int error;

    folder->is_made = mkdir(folder->path, 0700) == 0;
    if (!folder->is_made && errno != EEXIST) {
        return error_of_errno(folder, "making the folder");
    }
    format = check_format(folder);
    if (format != CONFCAST_OK && format != CONFCAST_ERR_NOT_FOUND) {
        return format;
    }
    error = take_lock(folder);
    if (error == CONFCAST_OK && format == CONFCAST_ERR_NOT_FOUND) {
        error = cfc_store_folder_write_format(folder);
    }
    if (error == CONFCAST_OK) {
        error = map_floor(folder);
    }
    return error;
}

void
cfc_store_folder_close(struct cfc_store_folder *folder)
{
    if (folder->floor != NULL) {
        munmap(folder->floor, FLOOR_SIZE);
        folder->floor = NULL;
    }
    if (folder->lock_fd >= 0) {
        close(folder->lock_fd);
        folder->lock_fd = -1;
    }
}

void
cfc_store_folder_remove(const struct cfc_store_folder *folder, const char *name)
{
    char path[CFC_STORE_PATH_MAX];
    struct dirent *entry;
    DIR *dir = NULL;

    if (name == NULL) {
        snprintf(path, sizeof(path), "%s", folder->path);
    } else if (cfc_store_folder_path(folder, name, path) != CONFCAST_OK) {
        return;
    }
    dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        /* Folders, "." and ".." among them, are refused and stay. */
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
    (void)rmdir(path);
}

bool
cfc_store_path_is_free(const char *path)
{
    struct dirent *entry;
    bool is_free = true;
    DIR *dir = opendir(path);

    if (dir == NULL) {
        return errno == ENOENT;
    }
    while (is_free && (entry = readdir(dir)) != NULL) {
        is_free = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    closedir(dir);
    return is_free;
}
