#include "consumer/app/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"
#include "consumer/cache_file.h"
#include "protocol/base/limits.h"

static const char SUFFIX[] = ".json";

/* Makes a directory that others may look into; one that is there is fine, and synced with
 * `is_doubtful`. */
static int
make_dir(int parent_fd, const char *name, bool is_doubtful)
{
    if (mkdirat(parent_fd, name, 0755) == 0) {
        return parent_fd != AT_FDCWD ? cfc_dir_sync(parent_fd) : CONFCAST_OK;
    }
    switch (errno) {
    case EEXIST:
        return is_doubtful ? cfc_dir_sync(parent_fd) : CONFCAST_OK;
    case ENOENT:
        return CONFCAST_ERR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
        return CONFCAST_ERR_NO_SPACE;
    default:
        return CONFCAST_ERR_IO;
    }
}

static int
open_dir(int parent_fd, const char *name, bool is_doubtful, int *fd)
{
    bool is_new;
    int error = make_dir(parent_fd, name, is_doubtful);

    return error == CONFCAST_OK ? cfc_dir_open(parent_fd, name, false, fd, &is_new) : error;
}

int
cfc_export_open(const char *dir, int *fd)
{
    *fd = -1;
    return open_dir(AT_FDCWD, dir, false, fd);
}

/* The directory of the scope's file; *name is what follows its last slash. */
static int
open_parent(int dir_fd, const char *scope, bool is_doubtful, int *fd, const char **name)
{
    int error = CONFCAST_OK;
    const char *slash;

    *fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (*fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    while (error == CONFCAST_OK && (slash = strchr(scope, '/')) != NULL) {
        char segment[CFC_SCOPE_SIZE_MAX + 1];
        int inner = -1;

        memcpy(segment, scope, (size_t)(slash - scope));
        segment[slash - scope] = '\0';
        error = open_dir(*fd, segment, is_doubtful, &inner);
        close(*fd);
        *fd = inner;
        scope = slash + 1;
    }
    *name = scope;
    return error;
}

static bool
is_there(int dir_fd, const char *name, mode_t mode, const char *json, size_t size)
{
    uint8_t *bytes = NULL;
    size_t there = 0;
    struct stat st;
    bool is_same;

    if (cfc_file_read(dir_fd, name, size, &bytes, &there) != CONFCAST_OK) {
        return false;
    }
    is_same = there == size && memcmp(bytes, json, size) == 0 &&
              fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & 07777) == mode;
    free(bytes);
    return is_same;
}

static int
replace(int dir_fd, const char *name, mode_t mode, const char *json, size_t size)
{
    char temporary[CFC_FILE_TEMPORARY_SIZE];
    int fd;
    int error = cfc_file_create(dir_fd, json, size, &fd, temporary);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (fchmod(fd, mode) != 0 || renameat(dir_fd, temporary, dir_fd, name) != 0) {
        error = errno == EISDIR ? CONFCAST_ERR_AUTHORITY : CONFCAST_ERR_IO;
        unlinkat(dir_fd, temporary, 0);
    }
    close(fd);
    return error == CONFCAST_OK ? cfc_dir_sync(dir_fd) : error;
}

int
cfc_export_write(int dir_fd, const char *scope, mode_t mode, const char *json, size_t size,
                 bool is_doubtful)
{
    char file[CFC_SCOPE_SIZE_MAX + sizeof(SUFFIX)];
    const char *name;
    int fd;
    int error = open_parent(dir_fd, scope, is_doubtful, &fd, &name);

    if (error != CONFCAST_OK) {
        return error;
    }
    snprintf(file, sizeof(file), "%s%s", name, SUFFIX);
    if (!is_there(fd, file, mode, json, size)) {
        cfc_dir_clean(fd);
        error = replace(fd, file, mode, json, size);
    } else if (is_doubtful) {
        error = cfc_dir_sync(fd);
    }
    close(fd);
    return error;
}
